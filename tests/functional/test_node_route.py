"""The route with a real node at its end: deposits, a transfer, its confirmation, and what nodes do to transactions.

No wallet of the node is used. The node is one of the judges.
"""

import pytest
from pydantic import TypeAdapter

from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import Transaction, TxIn, TxOut
from custody.custodian import Custodian
from custody.envelope import sign
from custody.history import kinds, lists
from custody.history.holdings import holdings
from custody.ports import Standing
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting, payee_address
from custody.testing.memory import InMemoryStore
from custody.testing.node import NodeChain, OfflineNode
from custody.testing.scenario import HOUR, Scenario
from custody.testing.theft import steal_coin
from custody.transfer.state import Status
from custody.units import COIN, Network
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType

SUPPLIER_SCRIPT = script_of(payee_address(SUPPLIER), Network.REGTEST)
JUDGES = ("libbitcoinkernel", "python-bitcointx", "testmempoolaccept")
DAY = 24 * HOUR
NUMBER = TypeAdapter(int)


@pytest.fixture
def begin(node_chain):
    def make(*amounts, **rest):
        return Scenario.funded(*amounts, chain=node_chain, **rest)

    return make


@pytest.fixture
def story(begin):
    return begin()


def raw(story, transfer_id):
    return story.transfer(transfer_id).verified.raw


def standing(story, transfer_id):
    return story.chain.node_view.relay.standing(Transaction.parse(raw(story, transfer_id)))


def vault_scripts(story, stop=200):
    return [script for branch in Branch for script in story.cast.vault.scripts(branch, 0, stop)]


@pytest.mark.parametrize(
    "setting",
    [
        Setting(),
        Setting(script_type=ScriptType.SH_WSH),
        Setting(threshold=3, cosigners=("astana", "almaty", "shymkent", "aktau", "oral")),
    ],
    ids=["2-of-3 wsh", "2-of-3 sh-wsh", "3-of-5 wsh"],
)
def test_a_transfer_goes_from_its_request_to_a_block(begin, setting):
    story = begin(30_000_000, 20_000_000, setting=setting)
    assert story.balance == story.chain.node_view.scan(vault_scripts(story)).total == 50_000_000
    transfer_id = story.authorized(story.request((SUPPLIER, 35_000_000)))
    story.signed(transfer_id)
    assert story.transfer(transfer_id).verified.judges == JUDGES
    story.custodian.release(transfer_id)
    assert standing(story, transfer_id) is Standing.GONE
    story.custodian.deliver()
    assert standing(story, transfer_id) is Standing.WAITING
    story.mine()
    assert standing(story, transfer_id) is Standing.MINED
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    paid = story.chain.node_view.scan([SUPPLIER_SCRIPT])
    assert paid.total == 35_000_000
    assert story.chain.node_view.scan(vault_scripts(story)).total == story.balance > 14_900_000
    proof = story.chain.node_view.tx_out_proof(paid.outputs[0].outpoint.txid, paid.block_hash)
    assert proof.proves(story.transfer(transfer_id).release.txid)


def test_a_node_and_a_chain_in_the_process_tell_the_same_story(story):
    with_kernel = Scenario.funded()
    told = []
    for each in (story, with_kernel):
        transfer_id = each.confirmed()
        with each.store.read() as view:
            kinds = [entry.head.entry for entry in view.entries()]
        told.append((transfer_id, raw(each, transfer_id), each.chain.view.tip(), kinds))
    with_kernel.close()
    assert told[0] == told[1]


def test_a_deposit_counts_from_its_block_and_is_a_coin_at_its_depth(begin):
    story = begin(10_000_000, setting=Setting(confirmations=3))
    story.deposit(20_000_000)
    story.custodian.observe()
    assert story.balance == 10_000_000
    spendable = []
    for _ in range(4):
        story.mine()
        spendable.append(sum(coin.amount for coin in story.spendable))
    assert story.balance == 30_000_000
    assert spendable == [10_000_000, 10_000_000, 30_000_000, 30_000_000]


def test_a_transfer_whose_block_is_invalidated_waits_and_confirms_again(story):
    transfer_id = story.confirmed()
    balance, height = story.balance, story.chain.view.tip().height
    story.chain.invalidate(height)
    story.custodian.observe()
    assert story.chain.view.tip().height == height - 1
    assert story.transfer(transfer_id).status is not Status.CONFIRMED
    assert standing(story, transfer_id) is Standing.WAITING
    story.custodian.deliver()
    story.mine()
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    assert story.balance == balance


def test_deposits_of_invalidated_blocks_are_taken_back_and_come_again(story):
    before = story.balance
    story.deposit(5_000_000)
    story.mine(2)
    lost = story.chain.view.block_hash(story.chain.view.tip().height - 1)
    story.chain.invalidate(story.chain.view.tip().height - 1)
    assert kinds.DEPOSIT_REVERSED in story.custodian.observe().added
    assert story.balance == before
    story.chain.reconsider(lost)
    assert kinds.DEPOSIT_SEEN in story.custodian.observe().added
    assert story.balance == before + 5_000_000


def test_a_transaction_that_was_dropped_is_noticed_and_sent_again(story):
    transfer_id = story.sent()
    # Nodes forget what waits for two weeks, and look when the next one comes in.
    story.chain.wait(15 * DAY)
    story.chain.pay(SUPPLIER_SCRIPT, COIN)
    assert standing(story, transfer_id) is Standing.GONE
    story.custodian.deliver()
    assert standing(story, transfer_id) is Standing.WAITING
    story.mine()
    assert story.transfer(transfer_id).status is Status.CONFIRMED


def test_delivering_what_is_mined_but_not_looked_at_yet_is_success(story):
    transfer_id = story.sent()
    story.chain.mine()
    story.custodian.deliver()
    with story.store.read() as view:
        (row,) = view.outbox()
    assert row.was_sent
    assert not row.last_error
    story.custodian.observe()
    assert story.transfer(transfer_id).status is Status.CONFIRMED


def test_the_node_as_judge_stops_a_release_whose_coin_was_never_paid_in_the_end(node_chain):
    story = Scenario.begin(chain=node_chain.fund(4))
    story.custodian.observe()
    outpoint = story.deposit(30_000_000)
    story.mine()
    transfer_id = story.authorized()
    story.signed(transfer_id)
    # Whoever paid the deposit takes it back, in a longer branch that the custodian has not looked at.
    deposit = next(each.decode() for each in story.chain.view.block(104).transactions if each.txid == outpoint.txid)
    story.chain.reorganise(1, leave_out=[deposit.txid], instead=[taken_back(story.chain, deposit)])
    with refuses("JUDGE_REFUSED") as caught:
        story.custodian.release(transfer_id)
    assert caught.error.judge == "testmempoolaccept"
    assert "missing" in caught.error.reason
    assert story.transfer(transfer_id).status is Status.VERIFIED


def taken_back(chain, deposit):
    coin = deposit.inputs[0].outpoint
    spent = next(
        block.transactions[0].decode().outputs[0]
        for block in map(chain.view.block, range(1, 104))
        if block.transactions[0].txid == coin.txid
    )
    bare = Transaction(2, (TxIn(coin, b"", 0xFFFFFFFD),), (TxOut(spent.amount - 1000, chain.faucet_script),), 0)
    return chain._sign(bare, [spent])


def test_a_node_that_still_downloads_is_not_believed(node_chain):
    # Its newest block is the first one there ever was.
    story = Scenario.begin(chain=node_chain)
    assert node_chain.view.is_initial_download()
    with refuses("NODE_NOT_READY"):
        story.custodian.observe()
    request = story.custodian.submit(story.request())
    with refuses("NODE_NOT_READY"):
        story.custodian.draft(request.digest())


def test_a_node_that_is_away_loses_nothing(story):
    transfer_id = story.authorized()
    story.signed(transfer_id)
    story.custodian.release(transfer_id)
    story.chain.node.halt()
    for act in (story.custodian.deliver, story.custodian.observe):
        with refuses("NODE_UNAVAILABLE"):
            act()
    assert story.transfer(transfer_id).status is Status.RELEASED
    story.chain.node.resume()
    story.custodian.deliver()
    story.mine()
    assert story.transfer(transfer_id).status is Status.CONFIRMED


def test_a_waiting_transfer_outlives_a_restart_of_the_node(story):
    transfer_id = story.sent()
    story.chain.node.halt()
    story.chain.node.resume()
    assert standing(story, transfer_id) is Standing.WAITING


def test_a_replacement_takes_the_place_of_what_waits(story):
    first = story.sent(rate=2_000)
    second = story.sent(story.request((SUPPLIER, 25_000_000), replaces=(first,)), rate=20_000)
    assert standing(story, first) is Standing.GONE
    assert standing(story, second) is Standing.WAITING
    outpoints = [outpoint for each in (first, second) for outpoint in story.transfer(each).draft.outpoints]
    spends = dict(story.chain.node_view.waiting_spends(outpoints))
    assert set(spends.values()) == {story.transfer(second).release.txid}
    story.mine()
    assert story.transfer(second).status is Status.CONFIRMED
    assert story.transfer(first).status is Status.ENDED


def test_a_spend_that_nobody_released_freezes_everything(story):
    transfer_id = story.authorized(story.request((TAX_OFFICE, 20_000_000)))
    story.signed(transfer_id)
    stolen = steal_coin(story)
    assert story.chain.node_view.waiting_spends([each.outpoint for each in stolen.inputs])
    story.mine()
    assert story.history().frozen_by is not None
    with refuses("FROZEN"):
        story.custodian.release(transfer_id)


def test_a_coin_beyond_every_window_is_found_in_the_set_of_unspent_outputs(story):
    far = story.cast.vault.script_pubkey(Branch.RECEIVE, 1_500)
    outpoint = story.chain.pay(far, 7_000_000)
    story.mine()
    known = story.balance
    scan = story.chain.node_view.scan(vault_scripts(story, 2_000), batch=1_000)
    assert scan.total == known + 7_000_000
    assert [each.outpoint for each in scan.outputs if each.output.script_pubkey == far] == [outpoint]


def test_a_vault_younger_than_what_was_pruned_is_looked_at_from_its_birthday(bitcoind):
    with OfflineNode(bitcoind, options=("-prune=1", "-fastprune")) as running, NodeChain(running) as chain:
        cast = Scenario.begin(chain=chain.fund(4)).cast
        script = cast.vault.script_pubkey(Branch.RECEIVE, 0)
        chain.pay(script, 1_000_000)
        chain.mine(700)
        running.rpc.ask(NUMBER, "pruneblockchain", 400)
        first = chain.view.first_block()
        assert first > 200
        later = chain.pay(script, 2_000_000)
        chain.mine()
        for birthday in (first - 1, first):
            entry = cast.charter.vaults[0].model_copy(update={"birthday": birthday})
            charter = cast.charter.model_copy(update={"vaults": (entry,)})
            store = InMemoryStore(Network.REGTEST, charter.origin)
            outside = Scenario.begin(chain=chain).custodian._outside
            custodian = Custodian(store, charter.digest(), cast.coordinator, outside)
            custodian.adopt_charter(sign(charter, cast.coordinator, cast.witness, *cast.people.values()))
            if birthday < first:
                with refuses("BLOCK_UNKNOWN") as caught:
                    custodian.observe()
                assert caught.error.block == f"height {birthday}"
                assert lists.newest_block(custodian.history()) is None
            else:
                assert custodian.observe().height == 804
                assert [each.outpoint for each in holdings(custodian.history(), cast.vault.id)] == [later]
