"""A transfer that waits too long: another takes its place, or a child pays for it. On both kinds of chain."""

import pytest
from pydantic import TypeAdapter

import custody.testing.cast as cast_module
from custody.bitcoin.script import address, script_of
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.charter.decide import Verdict
from custody.history import kinds, lists, tables
from custody.history.fold import fold
from custody.history.questions import History
from custody.history.relations import children
from custody.history.state import State
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting, payee_address
from custody.testing.scenario import Scenario
from custody.transfer.request import Purpose, RequestPaper, read_request
from custody.transfer.settlement import Ending
from custody.transfer.state import Status
from custody.units import COIN, Network
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType

LOW, HIGH, HIGHER = 1_500, 20_000, 40_000
PAID = 25_000_000
GENEROUS = Setting(max_fee=1_000_000, max_rate=1_000_000, max_share=10_000)
MEMPOOL_ENTRY = TypeAdapter(dict[str, object])


@pytest.fixture
def on_any(any_chain) -> Scenario:
    return Scenario.funded(setting=GENEROUS, chain=any_chain)


@pytest.fixture
def setting() -> Setting:
    return GENEROUS


def raw(story: Scenario, transfer_id: bytes) -> Transaction:
    return Transaction.parse(story.transfer(transfer_id).verified.raw)


def txid(story: Scenario, transfer_id: bytes) -> bytes:
    return story.transfer(transfer_id).release.txid


def waiting(story: Scenario) -> set[bytes]:
    return {each.txid for each in story.chain.view.pending()}


def statuses(story: Scenario, *transfer_ids: bytes) -> list[Status]:
    return [story.transfer(each).status for each in transfer_ids]


def fees(story: Scenario, *transfer_ids: bytes) -> int:
    return sum(story.transfer(each).draft.fee for each in transfer_ids)


def rate_together(*transactions: tuple[int, Transaction]) -> float:
    """sat/kvB of these (fee, transaction)."""
    return sum(fee for fee, _ in transactions) * 1000 / sum(each.vsize for _, each in transactions)


def again(story: Scenario, transfer_id: bytes, **rest: object) -> object:
    """A request for the same in the place of a transfer."""
    request = story.transfer(transfer_id).request
    payments = tuple((each.payee, each.amount) for each in request.payments)
    return story.request(*payments, purpose=request.purpose, parent=request.parent, replaces=(transfer_id,), **rest)


def child_of(story: Scenario, transfer_id: bytes, **rest: object) -> object:
    return story.request(purpose=Purpose.CHILD, parent=transfer_id, **rest)


def cancelled(story: Scenario, transfer_id: bytes) -> object:
    return story.request(purpose=Purpose.CANCELLATION, replaces=(transfer_id,))


def entered(story: Scenario) -> list[str]:
    with story.store.read() as view:
        return [entry.head.entry for entry in view.entries()]


def queued(story: Scenario) -> set[bytes]:
    with story.store.read() as view:
        return {row.transfer_id for row in view.outbox()}


# --- in its place -----------------------------------------------------------------------------------------------------


def test_a_bump_takes_the_place_of_what_waits_and_confirms(on_any):
    story, before = on_any, on_any.balance
    first = story.sent(rate=LOW)
    second = story.sent(again(story, first), rate=HIGH)
    assert waiting(story) == {txid(story, second)}
    one, other = story.transfer(first).draft, story.transfer(second).draft
    assert set(one.outpoints) == set(other.outpoints)
    assert other.fee > one.fee
    story.mine()
    assert statuses(story, first, second) == [Status.ENDED, Status.CONFIRMED]
    assert story.balance == before - PAID - other.fee
    assert story.history().committed() == PAID + other.fee
    assert story.history().frozen_by is None


def test_the_least_rate_that_is_named_is_one_that_nodes_take(on_any):
    story = on_any
    first = story.sent(rate=HIGH)
    request = story.custodian.submit(again(story, first))
    with refuses("REPLACE_FEE_LOW") as caught:
        story.custodian.draft(request.digest(), HIGH)
    assert (caught.error.evicted, caught.error.fee) == (fees(story, first),) * 2
    with refuses("REPLACE_FEE_LOW"):
        story.custodian.draft(request.digest(), caught.error.rate - 20)
    # Nothing is held for a draft that was refused.
    assert lists.live(story.history()) == (story.transfer(first),)
    drafted = story.custodian.draft(request.digest(), caught.error.rate)
    story.custodian.decide(drafted.transfer_id)
    story.approved(drafted.transfer_id)
    story.custodian.authorize(drafted.transfer_id)
    story.custodian.request_signatures(drafted.transfer_id)
    story.signed(drafted.transfer_id)
    story.custodian.release(drafted.transfer_id)
    story.custodian.deliver()
    assert waiting(story) == {txid(story, drafted.transfer_id)}


def test_a_bump_takes_another_coin_only_when_those_of_what_it_replaces_do_not_suffice(begin):
    story = begin(30_000_000, 31_000_000)
    payment = (SUPPLIER, 29_999_000)
    first = story.sent(story.request(payment), rate=2_000)
    assert len(story.transfer(first).draft.outpoints) == 1
    second = story.sent(again(story, first), rate=HIGH)
    assert set(story.transfer(second).draft.outpoints) > set(story.transfer(first).draft.outpoints)
    assert waiting(story) == {txid(story, second)}


def test_whatever_is_drafted_is_what_everybody_else_lets_pass(begin):
    # Around the rate from which the coins of the first do not suffice any more.
    story = begin(30_000_000, 30_000_001)
    first = story.authorized(story.request((SUPPLIER, 29_998_000)), rate=2_000)
    coins = []
    for rate in range(8_000, 14_000, 50):
        drafted, decision = story.drafted(again(story, first), rate=rate)
        assert decision.verdict is Verdict.NEEDS
        coins.append(len(drafted.outpoints))
        story.custodian.withdraw(story.withdrawal(drafted.transfer_id))
    assert coins == sorted(coins)
    assert set(coins) == {1, 2}


@pytest.mark.parametrize(
    ("purpose", "payments"), [(Purpose.SWEEP, ((TAX_OFFICE, None),)), (Purpose.CONSOLIDATION, ())], ids=str
)
def test_a_sweep_and_a_consolidation_are_bumped_with_the_same_coins(begin, purpose, payments):
    story = begin(10_000_000, 20_000_000, 15_000_000)
    first = story.sent(story.request(*payments, purpose=purpose), rate=LOW)
    # A coin that comes later is left alone.
    story.chain.mine(1, transactions=[])
    story.deposit(9_000_000)
    pending = [each for each in story.chain.view.pending() if each.txid != txid(story, first)]
    story.chain.mine(1, transactions=pending)
    story.custodian.observe()
    second = story.sent(again(story, first), rate=HIGH)
    assert set(story.transfer(second).draft.outpoints) == set(story.transfer(first).draft.outpoints)
    story.mine()
    assert statuses(story, first, second) == [Status.ENDED, Status.CONFIRMED]


def test_a_payment_to_a_vault_is_bumped_to_its_next_address(begin):
    story = begin()
    first = story.sent(story.request(("Reserve", 5_000_000)), rate=LOW)
    second = story.sent(again(story, first), rate=HIGH)
    (one,), (other,) = (story.transfer(each).draft.destinations for each in (first, second))
    assert other.index == one.index + 1
    story.mine()
    assert statuses(story, first, second) == [Status.ENDED, Status.CONFIRMED]


def test_a_cancellation_takes_more_coins_when_one_does_not_pay_its_fee(begin):
    story = begin(20_000, 21_000)
    first = story.authorized(story.request((SUPPLIER, None), purpose=Purpose.SWEEP), rate=LOW)
    cheap, _ = story.drafted(cancelled(story, first), rate=5_000)
    assert len(cheap.outpoints) == 1
    story.custodian.withdraw(story.withdrawal(cheap.transfer_id))
    dear, _ = story.drafted(cancelled(story, first), rate=150_000)
    assert len(dear.outpoints) == 2


def test_all_fees_of_a_purpose_are_one_fee_to_the_ceiling(begin):
    story = begin(setting=Setting(max_fee=10_000, max_rate=1_000_000, max_share=10_000))
    first = story.sent(rate=LOW)
    second = story.sent(again(story, first), rate=10_000)
    request = again(story, second)
    drafted, decision = story.drafted(request, rate=50_000)
    assert decision.verdict is Verdict.DENY
    assert [each.code for each in decision.findings if each.code] == ["REPLACE_FEE_TOTAL"]
    assert drafted.fee < 10_000 < drafted.fee + fees(story, first, second)
    # What was denied ended, and counts no more: the same request is drafted again at a rate that fits.
    lower = story.custodian.draft(request_id(request), 14_000)
    assert story.custodian.decide(lower.transfer_id).verdict is Verdict.NEEDS
    assert lower.fee + fees(story, first, second) <= 10_000


def request_id(paper: RequestPaper) -> bytes:
    return read_request(paper.signed).digest()


# --- a child ----------------------------------------------------------------------------------------------------------


def test_a_child_takes_its_parent_into_the_next_block(on_any):
    story, before = on_any, on_any.balance
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=HIGH)
    assert waiting(story) == {txid(story, parent), txid(story, child)}
    (spent,) = story.transfer(child).draft.outpoints
    assert spent.txid == txid(story, parent)
    assert story.history().committed() == PAID + fees(story, parent, child)
    story.mine()
    assert statuses(story, parent, child) == [Status.CONFIRMED, Status.CONFIRMED]
    assert story.transfer(parent).seen.block == story.transfer(child).seen.block
    assert story.balance == before - PAID - fees(story, parent, child)
    assert story.history().frozen_by is None
    assert kinds.UNEXPLAINED_SPEND not in entered(story)
    assert not queued(story)
    # What came back is a coin as any other.
    story.confirmed(story.request((TAX_OFFICE, 90_000_000)))


@pytest.mark.parametrize("script_type", list(ScriptType))
def test_parent_and_child_together_reach_the_rate_and_do_not_pass_it_by_much(begin, script_type):
    story = begin(setting=Setting(script_type=script_type, max_fee=1_000_000, max_share=10_000))
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=HIGH)
    together = rate_together(*((fees(story, each), raw(story, each)) for each in (parent, child)))
    assert HIGH <= together <= HIGH * 1.05
    story.mine()
    assert statuses(story, parent, child) == [Status.CONFIRMED, Status.CONFIRMED]


def test_a_node_counts_the_child_s_fee_for_both(node_chain):
    story = Scenario.funded(setting=GENEROUS, chain=node_chain)
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=HIGH)
    entry = node_chain.node.rpc.ask(MEMPOOL_ENTRY, "getmempoolentry", txid(story, child)[::-1].hex())
    assert entry["ancestorcount"] == 2
    paid = round(entry["fees"]["ancestor"] * COIN)
    assert paid == fees(story, parent, child)
    assert paid * 1000 >= HIGH * entry["ancestorsize"]
    alone = node_chain.node.rpc.ask(MEMPOOL_ENTRY, "getmempoolentry", txid(story, parent)[::-1].hex())
    assert round(alone["fees"]["ancestor"] * COIN) * 1000 < HIGH * alone["ancestorsize"]


def test_parent_and_child_in_two_blocks_are_both_explained(begin):
    story = begin(setting=Setting(confirmations=2))
    before = story.balance
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=HIGH)
    story.chain.mine(1, transactions=[raw(story, parent)])
    story.custodian.observe()
    # The change is a deposit now and the child's all the same.
    assert story.balance == before - PAID - fees(story, parent)
    story.mine()
    assert story.balance == before - PAID - fees(story, parent, child)
    story.mine(2)
    assert statuses(story, parent, child) == [Status.CONFIRMED, Status.CONFIRMED]
    assert story.history().frozen_by is None
    with story.store.read() as view:
        assert view.held(child) == ()


def test_a_station_proves_the_amount_from_the_parent_s_own_transaction(begin):
    story = begin(setting=Setting(script_type=ScriptType.SH_WSH))
    parent = story.sent(rate=LOW)
    child = story.authorized(child_of(story, parent), rate=HIGH)
    (previous,) = story.custodian.evidence(child).previous
    assert previous == raw(story, parent).stripped()
    assert any(each.script_sig for each in Transaction.parse(previous).inputs)
    # Once the parent stands in a block it is a deposit like others: the evidence is the same to the byte.
    before = story.custodian.evidence(child).previous
    story.mine()
    assert story.custodian.evidence(child).previous == before
    story.signed(child)
    story.custodian.release(child)
    story.custodian.deliver()
    story.mine()
    assert story.transfer(child).status is Status.CONFIRMED


def test_a_stuck_child_is_replaced_by_another(on_any):
    story = on_any
    parent = story.sent(rate=LOW)
    first = story.sent(child_of(story, parent), rate=5_000)
    second = story.sent(again(story, first), rate=HIGH)
    assert waiting(story) == {txid(story, parent), txid(story, second)}
    assert story.transfer(second).group == first
    assert story.history().case(story.transfer(second)).fees_before == fees(story, parent, first)
    story.mine()
    assert statuses(story, parent, first, second) == [Status.CONFIRMED, Status.ENDED, Status.CONFIRMED]


def test_a_child_is_called_off_by_a_spend_of_the_same_change(on_any):
    story = on_any
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=5_000)
    last = story.sent(cancelled(story, child), rate=HIGH)
    assert waiting(story) == {txid(story, parent), txid(story, last)}
    story.mine()
    assert statuses(story, parent, child, last) == [Status.CONFIRMED, Status.ENDED, Status.CONFIRMED]


def test_a_child_that_was_given_up_frees_the_change(story):
    parent = story.sent(rate=LOW)
    drafted, _ = story.drafted(child_of(story, parent), rate=HIGH)
    story.mine()
    assert story.transfer(parent).status is Status.CONFIRMED
    change = OutPoint(txid(story, parent), drafted.outpoints[0].index)
    assert change not in {coin.outpoint for coin in story.spendable}
    story.custodian.withdraw(story.withdrawal(drafted.transfer_id))
    assert change in {coin.outpoint for coin in story.spendable}


# --- parent and child, whatever becomes of them -----------------------------------------------------------------------


def test_a_cancelled_parent_ends_its_child(on_any):
    story, before = on_any, on_any.balance
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=5_000)
    last = story.sent(cancelled(story, parent), rate=HIGHER)
    assert waiting(story) == {txid(story, last)}
    story.mine()
    assert statuses(story, parent, child, last) == [Status.ENDED, Status.ENDED, Status.CONFIRMED]
    assert story.transfer(child).ended.reason is Ending.SUPERSEDED
    assert parent.hex() in story.transfer(child).ended.detail
    assert not queued(story)
    with story.store.read() as view:
        assert view.held(child) == ()
    assert story.balance == before - fees(story, last)
    # Signatures on it are around: it goes on being counted.
    assert story.history().committed() == PAID + fees(story, parent) + fees(story, child)


def test_what_replaces_a_parent_pays_for_the_child_that_goes_with_it(story):
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=HIGH)
    request = story.custodian.submit(cancelled(story, parent))
    with refuses("REPLACE_FEE_LOW") as caught:
        story.custodian.draft(request.digest(), HIGH)
    assert caught.error.evicted == fees(story, parent, child)


@pytest.fixture
def built_on(any_chain, monkeypatch):
    """A payment that waits, whose payee has spent it again for a fee of 20,000 sat: no log knows of that."""
    own = address(any_chain.faucet_script, Network.REGTEST)
    monkeypatch.setattr(cast_module, "payee_address", lambda name: own if name == SUPPLIER else payee_address(name))
    story = Scenario.funded(setting=GENEROUS, chain=any_chain)
    sent = story.sent(rate=LOW)
    paid = raw(story, sent)
    index, output = next(
        (at, each) for at, each in enumerate(paid.outputs) if each.script_pubkey == any_chain.faucet_script
    )
    spent = TxIn(OutPoint(paid.txid, index), b"", 0xFFFFFFFD)
    theirs = Transaction(2, (spent,), (TxOut(output.amount - 20_000, any_chain.faucet_script),), 0)
    any_chain.view.send(any_chain._sign(theirs, [output]).serialize())
    return story, sent


@pytest.mark.parametrize("make", [again, cancelled])
def test_what_payees_built_on_a_payment_is_paid_for_before_anybody_approves(built_on, make):
    story, sent = built_on
    request = story.custodian.submit(make(story, sent))
    with refuses("REPLACE_FEE_LOW") as caught:
        story.custodian.draft(request.digest(), HIGH)
    assert caught.error.evicted == fees(story, sent) + 20_000
    assert lists.live(story.history()) == (story.transfer(sent),)
    last = story.custodian.draft(request.digest(), caught.error.rate).transfer_id
    story.custodian.decide(last)
    story.approved(last)
    story.custodian.authorize(last)
    story.custodian.request_signatures(last)
    story.signed(last)
    story.custodian.release(last)
    story.custodian.deliver()
    assert waiting(story) == {txid(story, last)}


def test_parent_and_child_are_live_again_when_what_replaced_them_loses_its_block(on_any):
    story, before = on_any, on_any.balance
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=5_000)
    old = [raw(story, parent), raw(story, child)]
    last = story.sent(cancelled(story, parent), rate=HIGHER)
    story.mine()
    story.chain.reorganise(1, leave_out=[txid(story, last)], instead=old)
    story.custodian.observe()
    assert statuses(story, parent, child, last) == [Status.CONFIRMED, Status.CONFIRMED, Status.ENDED]
    assert story.balance == before - PAID - fees(story, parent, child)
    assert story.history().frozen_by is None
    assert not queued(story)


def test_what_spends_of_a_transfer_and_of_its_child_is_over_once_when_another_is_buried_in_their_place(begin):
    story = begin(60_000_000)
    parent = story.sent(story.request(("Reserve", 20_000_000)), rate=LOW)
    bump = story.sent(again(story, parent), rate=HIGH)
    story.chain.mine(1, transactions=[raw(story, parent)])
    story.custodian.observe()
    child = story.confirmed(story.request((SUPPLIER, 15_000_000)))
    both = story.confirmed(story.request((SUPPLIER, 42_000_000)))
    spent = {each.txid for each in story.transfer(both).draft.outpoints}
    assert spent == {txid(story, parent), txid(story, child)}
    story.chain.reorganise(3, leave_out=[txid(story, parent)], instead=[raw(story, bump)])
    story.custodian.observe()
    assert statuses(story, parent, bump, child, both) == [Status.ENDED, Status.CONFIRMED, Status.ENDED, Status.ENDED]
    assert entered(story).count("ended") == 4  # the bump too, while its parent was buried
    assert not queued(story)


def test_a_child_waits_with_its_parent_while_a_signed_replacement_is_sent(story):
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=5_000)
    last = story.authorized(cancelled(story, parent), rate=HIGHER)
    assert queued(story) == {parent, child}
    story.signed(last)
    assert queued(story) == {parent}
    story.custodian.release(last)
    story.mine()
    # The replacement was never sent, and both others stood in the block.
    assert statuses(story, parent, child, last) == [Status.CONFIRMED, Status.CONFIRMED, Status.ENDED]


def test_a_child_is_sent_again_once_its_parent_stands_in_a_block(begin):
    story = begin(setting=Setting(confirmations=3))
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=5_000)
    story.signed(story.authorized(cancelled(story, parent), rate=HIGHER))
    story.chain.mine(1, transactions=[raw(story, parent)])
    story.custodian.observe()
    assert queued(story) == {parent, child}


def test_a_lost_block_with_both_is_no_loss(on_any):
    story = on_any
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=HIGH)
    story.mine()
    balance = story.balance
    story.chain.reorganise(1, leave_out=[txid(story, parent)])
    story.custodian.observe()
    assert [story.transfer(each).is_live for each in (parent, child)] == [True, True]
    assert queued(story) == {parent, child}
    assert story.balance == 130_000_000
    story.custodian.deliver()
    story.mine()
    assert statuses(story, parent, child) == [Status.CONFIRMED, Status.CONFIRMED]
    assert story.balance == balance


def test_a_spend_of_change_ends_when_the_change_can_never_be(story):
    # No child: the change was a coin when it was spent. Then the chain decided otherwise.
    first = story.sent(rate=LOW)
    old = raw(story, first)
    second = story.authorized(cancelled(story, first), rate=HIGH)
    story.signed(second)
    story.custodian.release(second)
    instead = raw(story, second)
    story.chain.mine(1, transactions=[old])
    story.custodian.observe()
    (change,) = (coin for coin in story.coins if coin.outpoint.txid == old.txid)
    later = story.sent(story.request((TAX_OFFICE, 100_000_000)), rate=LOW)
    assert change.outpoint in story.transfer(later).draft.outpoints
    story.chain.reorganise(1, leave_out=[old.txid], instead=[instead])
    story.custodian.observe()
    assert statuses(story, first, second, later) == [Status.ENDED, Status.CONFIRMED, Status.ENDED]
    assert first.hex() in story.transfer(later).ended.detail
    assert list(story.history().state.scan(tables.HELD)) == []


def test_whoever_folds_the_log_anew_sees_the_same(story):
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=5_000)
    story.sent(cancelled(story, parent), rate=HIGHER)
    story.mine()
    with story.store.read() as view:
        anew = History(fold(State(story.cast.digest), view.entries()))
    own = story.history().transfer(child)
    assert anew.transfer(child) == own
    assert anew.transfer(child).parent.id == parent
    assert [each.id for each in children(anew, anew.transfer(parent))] == [child]


# --- what is not sped up ----------------------------------------------------------------------------------------------


def refused(story: Scenario, transfer_id: bytes, code: str = "CHILD_PARENT", rate: int = HIGH, **rest: object) -> str:
    request = story.custodian.submit(child_of(story, transfer_id, **rest))
    size = story.history().size
    with refuses(code) as caught:
        story.custodian.draft(request.digest(), rate)
    assert story.history().size == size
    return str(caught.error)


def test_a_transfer_that_was_not_released_has_no_child(story):
    transfer_id = story.authorized()
    assert "was not released (signing)" in refused(story, transfer_id)
    story.signed(transfer_id)
    assert "was not released (verified)" in refused(story, transfer_id)
    story.custodian.release(transfer_id)
    story.drafted(child_of(story, transfer_id), rate=HIGH)


def test_a_transfer_without_change_has_no_child(begin):
    story = begin(10_000_000)
    swept = story.sent(story.request((SUPPLIER, None), purpose=Purpose.SWEEP), rate=LOW)
    assert "returns no change" in refused(story, swept)


def test_a_transfer_that_stands_in_a_block_has_no_child(begin):
    story = begin(setting=Setting(confirmations=3))
    parent = story.sent(rate=LOW)
    story.mine()
    assert "stands in a block already" in refused(story, parent)
    story.mine(2)
    assert "stands in a block already" in refused(story, parent)


def test_a_transfer_has_one_child_at_a_time(story):
    parent = story.sent(rate=LOW)
    child, _ = story.drafted(child_of(story, parent), rate=HIGH)
    assert f"has a child already, {child.transfer_id.hex()}" in refused(story, parent)
    story.custodian.withdraw(story.withdrawal(child.transfer_id))
    story.drafted(child_of(story, parent), rate=HIGH)


def test_a_child_has_no_child(story):
    parent = story.sent(rate=LOW)
    child = story.sent(child_of(story, parent), rate=5_000)
    assert "is a child itself" in refused(story, child)
    last = story.sent(cancelled(story, child), rate=HIGH)
    assert "spends what waits for a block itself" in refused(story, last)


def test_a_transfer_that_is_being_replaced_has_no_child(story):
    parent = story.sent(rate=LOW)
    second = story.authorized(again(story, parent), rate=HIGH)
    story.signed(second)
    assert "is replaced by a transfer that is signed already" in refused(story, parent)
    story.custodian.release(second)
    story.custodian.deliver()
    story.mine()
    assert "is over (superseded)" in refused(story, parent)


def test_a_rate_that_the_parent_reaches_alone_is_refused(story):
    parent = story.sent(rate=HIGH)
    assert "its parent pays" in refused(story, parent, "CHILD_FEE_LOW", rate=HIGH)


def test_a_change_that_is_too_small_pays_for_nobody(begin):
    story = begin(26_000_000)
    parent = story.sent(story.request((SUPPLIER, 25_990_000)), rate=LOW)
    refused(story, parent, "INSUFFICIENT_FUNDS", rate=HIGHER)


def test_parent_and_child_are_one_fee_to_the_ceiling_and_the_child_s_rate_is_its_own(begin):
    story = begin(setting=Setting(max_fee=10_000, max_rate=50_000, max_share=10_000))
    parent = story.sent(rate=8_000)
    drafted, decision = story.drafted(child_of(story, parent), rate=30_000)
    # Its fee is below the ceiling, with its parent's it is not; its rate is above, with its parent it is not.
    case = story.history().case(story.transfer(drafted.transfer_id))
    assert drafted.fee < 10_000
    assert case.rate_together <= 50_000 < case.rate
    assert [each.code for each in decision.findings if each.code] == ["REPLACE_FEE_TOTAL", "FEE_RATE"]
    fitting, decision = story.drafted(child_of(story, parent), rate=20_000)
    assert decision.verdict is Verdict.NEEDS
    case = story.history().case(story.transfer(fitting.transfer_id))
    assert case.rate_together <= 20_000 < case.rate <= 50_000


def test_a_parent_of_another_vault_s_request_is_not_there(story):
    with refuses("TRANSFER_UNKNOWN"):
        story.drafted(child_of(story, bytes(32)), rate=HIGH)


def test_what_the_supplier_was_paid_is_paid_once(on_any):
    story = on_any
    first = story.sent(rate=LOW)
    second = story.sent(again(story, first), rate=5_000)
    story.sent(child_of(story, second), rate=HIGHER)
    story.mine()
    script = script_of(payee_address(SUPPLIER), Network.REGTEST)
    paid = [unspent.output.amount for _, unspent in story.chain.view.unspent_of(script)]
    assert paid == [PAID]
    assert story.cast.vault.script_pubkey(Branch.CHANGE, 2) in {coin.script_pubkey for coin in story.coins}
