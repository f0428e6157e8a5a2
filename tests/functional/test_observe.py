"""What a coordinator makes of the chain: reorganisations of every kind, thefts, gaps, and nodes that disagree."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from custody.bitcoin.block import BlockHeader
from custody.bitcoin.transaction import OutPoint, Transaction, TxOut
from custody.charter.document import Charter, CharterVault
from custody.custodian import Custodian, Outside
from custody.envelope import sign
from custody.history import kinds, lists, tables
from custody.history.holdings import past_height
from custody.history.questions import History
from custody.ports import BlockView, Tip
from custody.testing import theft as thefts
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, Cast, Setting, expected, make_cast
from custody.testing.chain import RegtestChain
from custody.testing.memory import InMemoryStore
from custody.testing.scenario import Scenario
from custody.transfer.proposal import CHANGE_GAP
from custody.transfer.settlement import Ending
from custody.transfer.state import Status
from custody.units import Network
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType
from custody.watching import RECEIVE_GAP


def entered(story: Scenario, since: int = 0) -> list[str]:
    with story.store.read() as view:
        return [entry.head.entry for entry in view.entries(since)]


def outside(story: Scenario, *views: object) -> Outside:
    return replace(story.custodian._outside, views=views or (story.chain.view,))


def from_scratch(story: Scenario, *views: object) -> Custodian:
    """A coordinator with an empty store that sees the chain for the first time."""
    store = InMemoryStore(Network.REGTEST, story.cast.charter.origin)
    custodian = Custodian(store, story.cast.digest, story.cast.coordinator, outside(story, *views))
    custodian.adopt_charter(story.cast.envelope)
    return custodian


def deposits(history: History) -> dict[OutPoint, tuple[bytes, int, int, bool]]:
    return {
        row.outpoint: (row.block, row.height, row.amount, row.is_mature)
        for _, row in history.state.scan(tables.HOLDINGS)
    }


def steal(story: Scenario, funding: Transaction, vout: int, index: int) -> Transaction:
    """Two cosigners spend an output of the vault at receive `index` past all of us."""
    return thefts.steal(story.cast, funding, vout, index)


def come_back(chain: RegtestChain, lost: tuple[BlockView, ...], count: int) -> None:
    """Let the branch that lost its place win again, by `count` blocks on top of it."""
    previous, height = lost[-1].hash, lost[-1].height
    for step in range(1, count + 1):
        chain.wait(600)
        previous = chain._add(previous, height + step, (), None)


# --- looking ----------------------------------------------------------------------------------------------------------


def test_looking_twice_adds_nothing(story):
    story.sent()
    story.mine()
    assert story.custodian.observe().added == ()


def test_looking_once_tells_the_same_as_looking_at_every_block(begin):
    story = begin()
    for amount in (1_000_000, 2_000_000, 3_000_000):
        story.deposit(amount)
        story.mine()
    late = from_scratch(story)
    late.observe()
    assert deposits(late.history()) == deposits(story.history())


def test_a_block_on_top_adds_one_entry(story):
    story.mine()
    story.chain.mine()
    assert story.custodian.observe().added == (kinds.CHAIN_SEEN,)


# --- deposits and reorganisations -------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_a_deposit_that_lands_in_another_block_is_another_deposit(begin, depth):
    story = begin(setting=Setting(confirmations=2))
    outpoint = story.deposit(5_000_000)
    story.mine(depth)
    before = story.holdings[outpoint].block
    story.chain.reorganise(depth)
    added = story.custodian.observe().added
    assert kinds.DEPOSIT_REVERSED in added
    assert kinds.DEPOSIT_SEEN in added
    after = story.holdings[outpoint]
    assert after.block != before
    assert after.is_mature is (depth + 1 >= 2)
    fresh = from_scratch(story)
    fresh.observe()
    assert deposits(fresh.history()) == deposits(story.history())


def test_a_deposit_that_was_replaced_is_gone(story):
    before = story.balance
    outpoint = story.deposit(5_000_000)
    story.mine()
    assert story.balance == before + 5_000_000
    story.chain.reorganise(1, leave_out=[outpoint.txid])
    story.custodian.observe()
    assert story.balance == before
    assert outpoint not in story.holdings
    story.mine()
    assert story.balance == before + 5_000_000


def test_a_reorganisation_takes_back_only_what_stood_in_lost_blocks(story):
    # The coordinator slept through six blocks: the last it had looked at lies well below the fork.
    kept = story.deposit(5_000_000)
    story.chain.mine(4)
    lost = story.deposit(6_000_000)
    story.chain.mine(2)
    story.custodian.observe()
    since = story.history().size
    story.chain.reorganise(2, leave_out=[lost.txid])
    story.custodian.observe()
    assert entered(story, since).count(kinds.DEPOSIT_REVERSED) == 1
    assert kept in story.holdings
    assert lost not in story.holdings


def test_a_branch_that_lost_and_wins_again_is_read_again(story):
    outpoint = story.deposit(5_000_000)
    story.mine(2)
    lost = story.chain.reorganise(2)
    story.custodian.observe()
    in_other = story.holdings[outpoint].block
    come_back(story.chain, lost, 2)
    story.custodian.observe()
    held = story.holdings[outpoint]
    assert held.block != in_other
    assert held.block == story.chain.view.block_hash(held.height)
    fresh = from_scratch(story)
    fresh.observe()
    assert deposits(fresh.history()) == deposits(story.history())


@pytest.mark.parametrize("seed", range(4))
def test_after_any_reorganisations_the_log_tells_what_a_first_look_tells(begin, seed):
    chance = random.Random(seed)  # noqa: S311 - the same walk every time
    story = begin(setting=Setting(confirmations=2))
    paid: list[bytes] = []
    lost: tuple[BlockView, ...] = ()
    for _ in range(14):
        match chance.randrange(5):
            case 0 | 1:
                paid.append(story.deposit(chance.randrange(1_000_000, 9_000_000)).txid)
            case 2:
                story.chain.mine(chance.randrange(1, 4))
            case 3:
                leave_out = chance.sample(paid, min(len(paid), chance.randrange(3)))
                lost = story.chain.reorganise(chance.randrange(1, 5), leave_out=leave_out)
            case 4 if lost:
                tip = story.chain.view.tip().height
                come_back(story.chain, lost, tip - lost[-1].height + 1)
                lost = ()
        if chance.randrange(3):
            story.custodian.observe()
    story.mine()
    fresh = from_scratch(story)
    fresh.observe()
    assert deposits(fresh.history()) == deposits(story.history())
    assert story.history().frozen_by is None


def test_another_witness_in_another_block_does_not_change_the_evidence(story):
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    issued = story.custodian.issue_address("reserve", expected("seized coins"))
    funding = story.chain.pay_all([TxOut(90_000_000, story.cast.vault.script_pubkey(Branch.RECEIVE, issued.index))])
    story.mine()
    transfer_id = story.authorized(story.request((SUPPLIER, 200_000_000)))
    assert OutPoint(funding.txid, 0) in story.transfer(transfer_id).draft.outpoints
    # The same signature with the other S: no node relays it, but a miner may put it into a block.
    signature, key = funding.witness[0]
    size_r = signature[3]
    r, s = signature[4 : 4 + size_r], int.from_bytes(signature[6 + size_r : -1], "big")
    high = (order - s).to_bytes(33, "big")
    body = b"\x02" + bytes([len(r)]) + r + b"\x02" + bytes([len(high)]) + high
    malleated = replace(funding, witness=((b"\x30" + bytes([len(body)]) + body + signature[-1:], key),))
    assert (malleated.txid, malleated.wtxid != funding.wtxid) == (funding.txid, True)
    story.chain.reorganise(1, leave_out=[funding.txid], instead=[malleated])
    story.custodian.observe()
    story.signed(transfer_id)
    assert story.custodian.release(transfer_id)


# --- transfers and reorganisations ------------------------------------------------------------------------------------


def test_a_confirmed_transfer_is_live_again_and_confirms_again(begin):
    story = begin(setting=Setting(confirmations=2))
    transfer_id = story.confirmed()
    before, block = story.balance, story.transfer(transfer_id).confirmation.block
    story.chain.reorganise(2)
    added = story.custodian.observe().added
    assert added.count(kinds.UNCONFIRMED) == 1
    assert added.count(kinds.SPEND_SEEN) == 1
    assert added.count(kinds.CONFIRMED) == 1
    transfer = story.transfer(transfer_id)
    assert transfer.status is Status.CONFIRMED
    assert transfer.confirmation.block != block
    assert story.balance == before


def test_a_transfer_that_lost_its_block_holds_its_coins_and_is_sent_again(begin):
    story = begin()
    transfer_id = story.confirmed()
    txid = story.transfer(transfer_id).release.txid
    story.chain.reorganise(1, leave_out=[txid])
    story.custodian.observe()
    transfer = story.transfer(transfer_id)
    assert transfer.status is Status.BROADCAST
    assert (transfer.seen, transfer.confirmation) == (None, None)
    with story.store.read() as view:
        assert set(view.held(transfer_id)) == set(transfer.draft.outpoints)
    free = {coin.outpoint for coin in story.spendable}
    assert free.isdisjoint(transfer.draft.outpoints)
    assert [each.transfer for each in story.custodian.deliver()] == [transfer_id]
    story.mine()
    assert story.transfer(transfer_id).status is Status.CONFIRMED


def test_the_change_of_a_transfer_that_lost_its_block_is_no_deposit_any_more(story):
    transfer_id = story.confirmed()
    with_change = len(story.holdings)
    story.chain.reorganise(1, leave_out=[story.transfer(transfer_id).release.txid])
    story.custodian.observe()
    assert len(story.holdings) == with_change - 1
    assert story.balance == 130_000_000


def test_the_replaced_transfer_may_win_after_a_reorganisation(story):
    first = story.sent(rate=2_000)
    old = Transaction.parse(story.transfer(first).verified.raw)
    second = story.sent(story.request(replaces=(first,)), rate=12_000)
    story.mine()
    assert story.transfer(first).ended.reason is Ending.SUPERSEDED
    new = story.transfer(second).release.txid
    story.chain.reorganise(1, leave_out=[new], instead=[old])
    story.custodian.observe()
    assert story.transfer(first).status is Status.CONFIRMED
    assert story.transfer(second).ended.reason is Ending.SUPERSEDED
    with story.store.read() as view:
        assert view.outbox() == ()
        assert view.held(first) == ()
    assert story.history().frozen_by is None


def test_all_of_a_group_is_live_again_when_the_winner_loses_its_block(story):
    first = story.sent(rate=2_000)
    second = story.sent(story.request(replaces=(first,)), rate=12_000)
    story.mine()
    story.chain.reorganise(1, leave_out=[story.transfer(second).release.txid])
    story.custodian.observe()
    assert [story.transfer(each).is_live for each in (first, second)] == [True, True]
    with story.store.read() as view:
        assert set(view.held(first)) == {o for each in (first, second) for o in story.transfer(each).draft.outpoints}
    # Both wait in the outbox, and the newer is the one that is sent.
    assert [each.transfer for each in story.custodian.deliver()] == [second]
    story.mine()
    assert story.transfer(second).status is Status.CONFIRMED


def test_what_was_never_signed_stays_over_when_the_winner_loses_its_block(story):
    first = story.sent(rate=2_000)
    draft, _ = story.drafted(story.request(replaces=(first,)), rate=12_000)
    story.mine()
    assert story.transfer(draft.transfer_id).ended.reason is Ending.SUPERSEDED
    story.chain.reorganise(1, leave_out=[story.transfer(first).release.txid])
    story.custodian.observe()
    assert story.transfer(first).is_live
    assert story.transfer(draft.transfer_id).status is Status.ENDED


def test_a_coin_that_was_free_in_between_does_not_stop_the_coordinator(begin):
    # B replaces A and spends one coin more; A wins and frees that coin; C takes it; then A's block is lost.
    story = begin(30_000_000, 31_000_000, setting=Setting(max_share=10_000))
    first = story.sent(story.request((SUPPLIER, 29_999_000)), rate=2_000)
    second = story.authorized(story.request((SUPPLIER, 29_999_000), replaces=(first,)), rate=12_000)
    story.signed(second)
    story.mine()
    assert story.transfer(second).ended.reason is Ending.SUPERSEDED
    (coin,) = set(story.transfer(second).draft.outpoints) - set(story.transfer(first).draft.outpoints)
    third = story.authorized(story.request((SUPPLIER, 25_000_000)))
    assert story.transfer(third).draft.outpoints == (coin,)
    story.chain.reorganise(1, leave_out=[story.transfer(first).release.txid])
    story.custodian.observe()
    with story.store.read() as view:
        assert view.holder(coin) == third
    story.mine()
    assert story.transfer(first).status is Status.CONFIRMED


# --- thefts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script_type", list(ScriptType))
def test_a_coin_spent_past_us_freezes_everything(begin, script_type):
    story = begin(setting=Setting(script_type=script_type))
    funding = story.chain.pay_all([TxOut(7_000_000, story.cast.vault.script_pubkey(Branch.RECEIVE, 3))])
    story.mine()
    balance = story.balance
    theft = steal(story, funding, 0, 3)
    story.chain.view.send(theft.serialize())
    story.mine()
    assert theft.txid_hex in story.history().frozen_by
    assert story.balance == balance - 7_000_000


def test_a_coin_spent_in_the_very_block_it_came_in_is_noticed(story):
    funding = story.chain.pay_all([TxOut(7_000_000, story.cast.vault.script_pubkey(Branch.RECEIVE, 3))])
    story.chain.view.send(steal(story, funding, 0, 3).serialize())
    before = story.balance
    since = story.history().size
    story.mine()
    found = entered(story, since)
    assert found.index(kinds.DEPOSIT_SEEN) < found.index(kinds.UNEXPLAINED_SPEND)
    assert story.balance == before
    assert story.history().frozen_by is not None
    assert kinds.COIN_MATURED not in found


def test_a_theft_in_a_block_that_is_read_twice_is_told_once(story):
    funding = story.chain.pay_all([TxOut(7_000_000, story.cast.vault.script_pubkey(Branch.RECEIVE, 3))])
    story.mine()
    story.chain.view.send(steal(story, funding, 0, 3).serialize())
    # The coordinator sleeps through the theft and two blocks more; then the newest of them is lost.
    story.chain.mine(3)
    story.custodian.observe()
    story.chain.reorganise(1)
    story.custodian.observe()
    assert entered(story).count(kinds.UNEXPLAINED_SPEND) == 1


def stolen(story: Scenario) -> Transaction:
    """A coin of 7,000,000 sat that is mature, and the theft of it, in a block that was looked at."""
    funding = story.chain.pay_all([TxOut(7_000_000, story.cast.vault.script_pubkey(Branch.RECEIVE, 3))])
    story.mine(2)
    theft = steal(story, funding, 0, 3)
    story.chain.view.send(theft.serialize())
    story.mine()
    return theft


def test_a_theft_that_loses_its_block_is_taken_back_and_the_freeze_with_it(story):
    balance = story.balance
    theft = stolen(story)
    before = story.history()
    assert before.frozen_by is not None
    story.chain.reorganise(1, leave_out=[theft.txid])
    assert story.custodian.observe().added.count(kinds.SPEND_REVERSED) == 1
    assert story.history().frozen_by is None
    assert story.balance == balance + 7_000_000
    coin = story.holdings[theft.inputs[0].outpoint]
    assert (coin.is_mature, coin.spent_by) == (True, None)
    # The alarm itself stays in the log, and every station goes on.
    assert entered(story).count(kinds.UNEXPLAINED_SPEND) == 1
    story.signed(story.authorized(story.request((SUPPLIER, 1_000_000))))


def test_a_theft_that_moves_to_another_block_freezes_on(story):
    theft = stolen(story)
    balance = story.balance
    story.chain.reorganise(1)
    added = story.custodian.observe().added
    assert added.index(kinds.SPEND_REVERSED) < added.index(kinds.UNEXPLAINED_SPEND)
    assert theft.txid_hex in story.history().frozen_by
    assert story.balance == balance


def test_of_two_thefts_that_lose_their_blocks_one_after_the_other_each_freezes_alone(story):
    funding = story.chain.pay_all(
        [TxOut(7_000_000 + index, story.cast.vault.script_pubkey(Branch.RECEIVE, index)) for index in (3, 4)]
    )
    story.mine()
    both = [steal(story, funding, vout, index) for vout, index in ((0, 3), (1, 4))]
    for theft in both:
        story.chain.view.send(theft.serialize())
        story.mine()
    assert both[1].txid_hex in story.history().frozen_by
    story.chain.reorganise(1, leave_out=[both[1].txid])
    story.custodian.observe()
    assert both[0].txid_hex in story.history().frozen_by
    story.chain.reorganise(3, leave_out=[theft.txid for theft in both])
    story.custodian.observe()
    assert story.history().frozen_by is None


def test_a_chain_that_is_only_shorter_takes_no_theft_back(story):
    theft = stolen(story)
    tip = story.chain.view.tip()
    view = story.chain.view
    shorter = Node(view, tip=lambda: Tip(tip.height - 1, view.block_hash(tip.height - 1), tip.time))
    custodian = Custodian(story.store, story.cast.digest, story.cast.coordinator, outside(story, shorter))
    custodian.observe()
    assert theft.txid_hex in story.history().frozen_by


def test_a_theft_is_taken_back_after_a_reorganisation_that_nobody_saw_happen(story):
    balance = story.balance
    theft = stolen(story)
    story.chain.reorganise(1, leave_out=[theft.txid])
    story.chain.mine(3, transactions=())
    story.custodian.observe()
    assert story.history().frozen_by is None
    assert story.balance == balance + 7_000_000


def test_a_coin_and_its_theft_that_are_gone_together_leave_nothing_behind(story):
    balance = story.balance
    funding = story.chain.pay_all([TxOut(7_000_000, story.cast.vault.script_pubkey(Branch.RECEIVE, 3))])
    story.chain.view.send(steal(story, funding, 0, 3).serialize())
    story.mine()
    story.chain.reorganise(1, leave_out=[funding.txid])
    story.custodian.observe()
    assert story.history().frozen_by is None
    assert story.balance == balance
    assert OutPoint(funding.txid, 0) not in story.holdings


# --- gaps -------------------------------------------------------------------------------------------------------------


def pay_at(story: Scenario, *indexes: int, branch: Branch = Branch.RECEIVE) -> Transaction:
    outputs = [TxOut(2_000_000 + index, story.cast.vault.script_pubkey(branch, index)) for index in indexes]
    return story.chain.pay_all(outputs)


def found_indexes(story: Scenario, branch: Branch = Branch.RECEIVE) -> list[int]:
    held = story.holdings.values()
    return sorted(each.index for each in held if each.branch == branch)


def test_an_address_up_to_the_gap_is_watched_and_one_beyond_is_not(begin):
    story = begin(1_000_000)
    due = story.history().next_index(story.cast.vault.id, Branch.RECEIVE)
    last = due + RECEIVE_GAP - 1
    pay_at(story, last + 1)
    story.mine()
    assert last + 1 not in found_indexes(story)
    pay_at(story, last)
    story.mine()
    assert last in found_indexes(story)
    pay_at(story, CHANGE_GAP - 1, branch=Branch.CHANGE)
    story.mine()
    assert found_indexes(story, Branch.CHANGE) == [CHANGE_GAP - 1]


@pytest.mark.parametrize("together", [True, False])
def test_a_deposit_far_ahead_moves_the_window_with_it(begin, together):
    story = begin(1_000_000)
    indexes = (2_800, 1_900, 950)
    if together:
        # In one block, the furthest first.
        for index in indexes:
            pay_at(story, index)
        story.mine()
    else:
        for index in reversed(indexes):
            pay_at(story, index)
            story.mine()
            story.custodian = Custodian(story.store, story.cast.digest, story.cast.coordinator, outside(story))
    assert found_indexes(story)[-3:] == sorted(indexes)


def test_a_deposit_far_ahead_does_not_move_the_next_address(begin):
    story = begin(1_000_000)
    due = story.history().next_index(story.cast.vault.id, Branch.RECEIVE)
    pay_at(story, 900)
    story.mine()
    assert story.custodian.issue_address("reserve", expected("next")).index == due


def test_a_chain_younger_than_the_vault_is_looked_at_and_looked_at_again():
    # The vault's birthday lies ahead of the tip, and every block that was seen is replaced.
    with RegtestChain() as chain:
        story = Scenario.begin(chain=chain)
        cast = story.cast
        entry = CharterVault(
            **{name: getattr(cast.charter.vaults[0], name) for name in CharterVault.model_fields} | {"birthday": 50}
        )
        charter = Charter(**{name: getattr(cast.charter, name) for name in Charter.model_fields} | {"vaults": (entry,)})
        store = InMemoryStore(Network.REGTEST, charter.origin)
        custodian = Custodian(store, charter.digest(), cast.coordinator, outside(story))
        custodian.adopt_charter(sign(charter, cast.coordinator, cast.witness, *cast.people.values()))
        chain.mine(3)
        assert custodian.observe().height == 3
        chain.reorganise(3)
        assert custodian.observe().height == 4
        assert lists.newest_block(custodian.history())[1].block == chain.view.tip().hash


# --- nodes ------------------------------------------------------------------------------------------------------------


class Node:
    """A real chain seen through a node that is `changes` different."""

    def __init__(self, view: object, **changes: object) -> None:
        self._view = view
        self.__dict__.update(changes)

    def __getattr__(self, name: str) -> object:
        return getattr(self._view, name)


def test_nodes_on_different_chains_are_not_believed(story):
    with RegtestChain() as other:
        other.mine(story.chain.view.tip().height, b"\x00\x14" + bytes(20))
        size = story.history().size
        custodian = Custodian(
            story.store, story.cast.digest, story.cast.coordinator, outside(story, story.chain.view, other.view)
        )
        with refuses("VIEWS_DISAGREE"):
            custodian.observe()
    assert story.history().size == size


@pytest.mark.parametrize("is_behind", ["first", "second"])
def test_the_chain_is_read_up_to_where_all_nodes_are(is_behind):
    with RegtestChain() as ahead, RegtestChain() as behind:
        story = Scenario.begin(chain=ahead)
        # The same blocks: what a chain mines follows from what was asked of it.
        ahead.mine(3)
        behind.mine(2)
        assert ahead.view.block_hash(2) == behind.view.block_hash(2)
        views = (behind.view, ahead.view) if is_behind == "first" else (ahead.view, behind.view)
        custodian = from_scratch(story, *views)
        assert custodian.observe().height == 2
        behind.mine()
        assert custodian.observe().height == 3


def test_a_node_that_falls_behind_what_was_seen_adds_nothing():
    with RegtestChain() as ahead, RegtestChain() as behind:
        story = Scenario.begin(chain=ahead)
        ahead.mine(3)
        custodian = from_scratch(story, ahead.view)
        custodian.observe()
        behind.mine(2)
        both = Custodian(
            custodian._showing.store, story.cast.digest, story.cast.coordinator, outside(story, ahead.view, behind.view)
        )
        assert both.observe().added == ()
        assert both.history().height == 3


def test_a_node_that_still_downloads_the_chain_is_not_asked(story):
    syncing = Node(story.chain.view, is_initial_download=lambda: True)
    custodian = Custodian(story.store, story.cast.digest, story.cast.coordinator, outside(story, syncing))
    request = custodian.submit(story.request())
    with refuses("NODE_NOT_READY"):
        custodian.observe()
    with refuses("NODE_NOT_READY"):
        custodian.draft(request.digest())
    transfer_id = story.authorized()
    story.signed(transfer_id)
    with refuses("NODE_NOT_READY"):
        custodian.release(transfer_id)


def previous_changed(raw: bytes) -> bytes:
    return raw[:4] + bytes(32) + raw[36:]


def test_a_chain_that_changes_while_it_is_read_is_read_again(story):
    story.chain.mine(2)
    tip = story.chain.view.tip().height
    real = story.chain.view.block

    def moved(height: int) -> BlockView:
        block = real(height)
        return replace(block, header=BlockHeader(previous_changed(block.header.raw))) if height == tip else block

    custodian = Custodian(
        story.store, story.cast.digest, story.cast.coordinator, outside(story, Node(story.chain.view, block=moved))
    )
    size = story.history().size
    with refuses("CHAIN_MOVED"):
        custodian.observe()
    assert story.history().size == size
    assert story.custodian.observe().height == tip


# --- vaults with a past -----------------------------------------------------------------------------------------------


def used(chain: RegtestChain, story_cast: Cast, *indexes: int) -> None:
    """Somebody kept the vault before: coins came to receive addresses, and all but the last were spent."""
    vault = story_cast.vault
    funding = chain.pay_all([TxOut(10_000_000, vault.script_pubkey(Branch.RECEIVE, index)) for index in indexes])
    chain.mine()
    for vout, index in enumerate(indexes[:-1]):
        kept = TxOut(4_000_000, vault.script_pubkey(Branch.CHANGE, vout))
        paid = TxOut(5_900_000, b"\x00\x14" + bytes(20))
        chain.view.send(thefts.steal(story_cast, funding, vout, index, outputs=[paid, kept]).serialize())
        chain.mine()


@pytest.fixture
def chain() -> Iterator[RegtestChain]:
    with RegtestChain().fund(4) as chain:
        yield chain


def test_a_vault_with_a_past_is_adopted_and_not_frozen(chain):
    used(chain, make_cast(), 0, 1, 2)
    story = Scenario.begin(chain=chain)
    added = story.custodian.observe().added
    assert (added.count(kinds.PAST_SPEND), kinds.UNEXPLAINED_SPEND in added) == (2, False)
    assert story.history().frozen_by is None
    assert story.balance == 10_000_000 + 2 * 4_000_000
    story.mine(2)
    # This log knows nobody who was to send them: an officer says of each that it may be spent.
    with refuses("INSUFFICIENT_FUNDS"):
        story.drafted(story.request((SUPPLIER, 12_000_000)))
    for coin in story.coins:
        story.custodian.release_coin(story.coin_release(coin.outpoint))
    assert story.sent(story.request((SUPPLIER, 12_000_000)))


def test_a_theft_after_the_charter_is_a_theft_though_nobody_had_looked_yet(chain):
    cast = make_cast()
    used(chain, cast, 0, 1)
    story = Scenario.begin(chain=chain)
    used(chain, cast, 5, 6)
    added = story.custodian.observe().added
    assert (added.count(kinds.PAST_SPEND), added.count(kinds.UNEXPLAINED_SPEND)) == (1, 1)
    assert story.history().frozen_by is not None


def test_an_old_coin_that_is_spent_after_the_charter_is_a_theft(chain):
    cast = make_cast()
    funding = chain.pay_all([TxOut(10_000_000, cast.vault.script_pubkey(Branch.RECEIVE, 0))])
    chain.mine()
    story = Scenario.begin(chain=chain)
    chain.view.send(thefts.steal(cast, funding, 0, 0).serialize())
    chain.mine()
    assert story.custodian.observe().added.count(kinds.UNEXPLAINED_SPEND) == 1


def test_while_no_node_can_say_where_the_chain_stands_nothing_is_past(chain):
    cast = make_cast()
    used(chain, cast, 0, 1)
    story = Scenario.begin(chain=chain)
    for is_ready in (True, False):
        node = Node(chain.view, is_initial_download=lambda is_ready=is_ready: not is_ready)
        custodian = from_scratch(story, node)
        assert (past_height(custodian.history()) == chain.view.tip().height) is is_ready


@pytest.mark.parametrize("is_left_out", [True, False])
def test_a_past_spend_that_loses_its_block_is_taken_back(chain, is_left_out):
    used(chain, make_cast(), 0, 1)
    story = Scenario.begin(chain=chain)
    story.custodian.observe()
    before = story.balance
    spent = chain.view.block(chain.view.tip().height).transactions[1].txid
    chain.reorganise(1, leave_out=[spent] if is_left_out else [])
    added = story.custodian.observe().added
    assert added.count(kinds.SPEND_REVERSED) == 1
    assert story.balance == (20_000_000 if is_left_out else before)
    assert story.history().frozen_by is None
