"""The route from a request to a settled transfer, on a real chain with real keys: one short story a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from custody.backends.sql import create_store, open_store
from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import Transaction
from custody.charter.decide import Verdict
from custody.clock import BLOCK_AHEAD
from custody.custodian import Custodian, Outside
from custody.envelope import sign
from custody.examine.evidence import Stage
from custody.examine.examination import examine
from custody.history import kinds, lists
from custody.history.state import State
from custody.ports import RelayRefused
from custody.testing.asserts import refuses
from custody.testing.cast import (
    OFFICERS,
    ORIGIN,
    STRANGER,
    SUPPLIER,
    TAX_OFFICE,
    WITNESS,
    Setting,
    expected,
    payee_address,
)
from custody.testing.chain import RegtestChain
from custody.testing.scenario import HOUR, RATE, Scenario
from custody.testing.theft import steal_coin
from custody.transfer.approval import Approval, Opinion
from custody.transfer.observe import ChainSeen
from custody.transfer.request import Purpose
from custody.transfer.settlement import Ending
from custody.transfer.state import Status
from custody.units import Network
from custody.vault.coins import COINBASE_MATURITY
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType


def script_for(payee: str) -> bytes:
    return script_of(payee_address(payee), Network.REGTEST)


def on_chain(story: Scenario, transfer_id: bytes) -> Transaction:
    """The transfer's transaction as it stands in a block."""
    seen = story.transfer(transfer_id).seen
    assert seen is not None
    block = story.chain.view.block(seen.height)
    return next(each.decode() for each in block.transactions if each.txid == seen.txid)


def entered(story: Scenario) -> list[str]:
    with story.store.read() as view:
        return [entry.head.entry for entry in view.entries()]


# --- what moves -------------------------------------------------------------------------------------------------------


def test_a_payment_is_confirmed_and_its_change_comes_back(story):
    before = story.balance
    transfer_id = story.confirmed(story.request((SUPPLIER, 25_000_000)))
    transfer = story.transfer(transfer_id)
    spent = sum(each.amount for each in transfer.draft.identity.spent)
    assert transfer.status is Status.CONFIRMED
    assert {output.script_pubkey: output.amount for output in on_chain(story, transfer_id).outputs} == {
        script_for(SUPPLIER): 25_000_000,
        story.cast.vault.script_pubkey(Branch.CHANGE, 0): spent - 25_000_000 - transfer.draft.fee,
    }
    assert story.balance == before - 25_000_000 - transfer.draft.fee
    assert story.history().committed() == 25_000_000 + transfer.draft.fee
    with story.store.read() as view:
        assert (view.outbox(), view.held(transfer_id)) == ((), ())


def test_the_transaction_in_the_block_is_the_one_that_was_approved(story):
    transfer_id = story.confirmed()
    transfer = story.transfer(transfer_id)
    assert on_chain(story, transfer_id).stripped() == transfer.draft.identity.transactions[0]
    assert transfer.verified is not None
    assert transfer.verified.judges


def test_several_payees_are_paid_at_once_and_two_of_them_the_same_amount_twice(story):
    payments = ((SUPPLIER, 10_000_000), (TAX_OFFICE, 7_000_000), (SUPPLIER, 10_000_000), (SUPPLIER, 3_000_000))
    transfer_id = story.confirmed(story.request(*payments))
    paid = [(output.script_pubkey, output.amount) for output in on_chain(story, transfer_id).outputs]
    for payee, amount in set(payments):
        assert paid.count((script_for(payee), amount)) == payments.count((payee, amount))
    assert len(paid) == len(payments) + 1


def test_a_payment_to_a_vault_of_the_charter_goes_to_its_next_address(story):
    due = story.history().next_index(story.cast.vault.id, Branch.RECEIVE)
    transfer_id = story.confirmed(story.request(("Reserve", 5_000_000), ("Reserve", 6_000_000)))
    outputs = {output.script_pubkey: output.amount for output in on_chain(story, transfer_id).outputs}
    assert outputs[story.cast.vault.script_pubkey(Branch.RECEIVE, due)] == 5_000_000
    assert outputs[story.cast.vault.script_pubkey(Branch.RECEIVE, due + 1)] == 6_000_000
    issued = story.custodian.issue_address("reserve", expected("a deposit"))
    assert issued.index == due + 2


def test_a_sweep_sends_everything_and_leaves_no_change(begin):
    story = begin(20_000_000, 15_000_000, setting=Setting(max_outflow=2_100_000_000))
    request = story.request((TAX_OFFICE, None), purpose=Purpose.SWEEP)
    transfer_id = story.confirmed(request)
    transaction = on_chain(story, transfer_id)
    assert [output.script_pubkey for output in transaction.outputs] == [script_for(TAX_OFFICE)]
    assert transaction.outputs[0].amount == 35_000_000 - story.transfer(transfer_id).draft.fee
    assert story.balance == 0


def test_a_consolidation_turns_many_coins_into_one(begin):
    story = begin(*(3_000_000 + each for each in range(6)))
    transfer_id = story.confirmed(story.request(purpose=Purpose.CONSOLIDATION))
    (coin,) = story.coins
    assert (coin.branch, coin.index) == (Branch.CHANGE, 0)
    assert coin.amount == 18_000_015 - story.transfer(transfer_id).draft.fee


@pytest.mark.parametrize("script_type", list(ScriptType))
def test_either_kind_of_vault_pays(begin, script_type):
    story = begin(setting=Setting(script_type=script_type))
    transfer_id = story.confirmed()
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    sig = on_chain(story, transfer_id).inputs[0].script_sig
    assert bool(sig) is (script_type is ScriptType.SH_WSH)


def test_the_fee_rate_that_was_asked_for_is_reached_and_not_passed_by_much(story):
    transfer_id = story.confirmed(rate=RATE)
    transaction = on_chain(story, transfer_id)
    rate = story.transfer(transfer_id).draft.fee * 1000 / transaction.vsize
    assert RATE <= rate <= RATE * 1.05


def test_a_charter_without_witnesses_works_and_says_so(begin):
    story = begin(setting=Setting(is_witnessed=False))
    transfer_id = story.authorized()
    examined = story.stations[0].examine(story.custodian.evidence(transfer_id), Stage.SIGN)
    assert not examined.is_witnessed
    assert "names no witness" in examined.not_checked[0]
    story.signed(transfer_id)
    story.custodian.release(transfer_id)
    story.custodian.deliver()
    story.mine()
    assert story.transfer(transfer_id).status is Status.CONFIRMED


# --- what ends --------------------------------------------------------------------------------------------------------


def free_coins(story: Scenario) -> int:
    return len(story.spendable)


def test_a_withdrawal_frees_the_coins(story):
    draft, _ = story.drafted()
    assert free_coins(story) < 3
    story.custodian.withdraw(story.withdrawal(draft.transfer_id))
    assert story.transfer(draft.transfer_id).ended.reason is Ending.WITHDRAWN
    assert free_coins(story) == 3
    with story.store.read() as view:
        assert view.held(draft.transfer_id) == ()


def test_an_officer_may_withdraw_what_somebody_else_asked_for(story):
    draft, _ = story.drafted()
    story.custodian.withdraw(story.withdrawal(draft.transfer_id, OFFICERS[2]))
    assert story.transfer(draft.transfer_id).status is Status.ENDED


def test_a_veto_ends_a_transfer_and_frees_the_coins(story):
    draft, _ = story.drafted()
    evidence = story.custodian.evidence(draft.transfer_id)
    story.custodian.approve(story.approval(evidence, OFFICERS[0], Opinion.VETO))
    assert story.transfer(draft.transfer_id).ended.reason is Ending.VETOED
    assert free_coins(story) == 3
    with refuses("VETOED"):
        story.custodian.authorize(draft.transfer_id)


def test_a_veto_after_the_authorization_still_ends_it(story):
    draft, _ = story.drafted()
    story.approved(draft.transfer_id)
    story.custodian.authorize(draft.transfer_id)
    evidence = story.custodian.evidence(draft.transfer_id)
    story.custodian.approve(story.approval(evidence, OFFICERS[2], Opinion.VETO))
    with refuses("VETOED"):
        story.custodian.request_signatures(draft.transfer_id)


def test_a_denied_draft_ends_at_once_and_holds_nothing(story):
    draft, decision = story.drafted(story.request((STRANGER, 1_000_000)))
    assert decision.verdict is Verdict.DENY
    transfer = story.transfer(draft.transfer_id)
    assert transfer.ended.reason is Ending.DENIED
    assert transfer.ended.detail == "DEST_NOT_ALLOWED"
    assert free_coins(story) == 3


def test_an_expired_request_is_not_taken_drafted_or_signed(story):
    late = story.request(lifetime=HOUR)
    story.chain.wait(HOUR)
    with refuses("REQUEST_EXPIRED"):
        story.custodian.submit(late)
    in_time = story.request(lifetime=HOUR)
    submitted = story.custodian.submit(in_time)
    story.chain.wait(HOUR)
    with refuses("REQUEST_EXPIRED"):
        story.custodian.draft(submitted.digest(), RATE)
    draft, _ = story.drafted(story.request(lifetime=HOUR))
    story.approved(draft.transfer_id)
    story.custodian.authorize(draft.transfer_id)
    story.chain.wait(HOUR)
    with refuses("REQUEST_EXPIRED"):
        story.custodian.request_signatures(draft.transfer_id)
    story.chain.wait(BLOCK_AHEAD)
    story.mine()
    assert story.transfer(draft.transfer_id).ended.reason is Ending.EXPIRED
    assert free_coins(story) == 3


def test_an_officer_s_desk_refuses_an_expired_request(story):
    draft, _ = story.drafted(story.request(lifetime=HOUR))
    evidence = story.custodian.evidence(draft.transfer_id)
    story.chain.wait(HOUR)
    with refuses("REQUEST_EXPIRED"):
        story.approval(evidence, OFFICERS[0])


def test_signatures_that_may_be_around_cannot_be_withdrawn_vetoed_or_expired(story):
    transfer_id = story.authorized()
    evidence = story.custodian.evidence(transfer_id)
    with refuses("TRANSFER_LIVE"):
        story.custodian.withdraw(story.withdrawal(transfer_id))
    veto = story.approval(evidence, OFFICERS[2], Opinion.VETO)
    with refuses("TRANSFER_LIVE"):
        story.custodian.approve(veto)
    story.chain.wait(1000 * HOUR)
    story.mine()
    assert story.transfer(transfer_id).status is Status.SIGNING
    assert free_coins(story) < 3


def test_a_step_out_of_turn_is_a_refusal_and_not_a_broken_log(story):
    draft, _ = story.drafted()
    evidence = story.custodian.evidence(draft.transfer_id)
    late = story.approval(evidence, OFFICERS[0])
    story.custodian.withdraw(story.withdrawal(draft.transfer_id))
    before = story.history().size
    with refuses("OUT_OF_TURN"):
        story.custodian.approve(late)
    with refuses("OUT_OF_TURN"):
        story.custodian.withdraw(story.withdrawal(draft.transfer_id))
    with refuses("TRANSFER_OVER"):
        story.custodian.request_signatures(draft.transfer_id)
    assert story.history().size == before


# --- agreeing ---------------------------------------------------------------------------------------------------------


def test_the_last_approval_makes_the_difference(story):
    draft, decision = story.drafted()
    assert decision.verdict is Verdict.NEEDS
    story.approved(draft.transfer_id, OFFICERS[:1])
    with refuses("APPROVAL_MISSING") as caught:
        story.custodian.authorize(draft.transfer_id)
    assert OFFICERS[1] in str(caught.error)
    story.approved(draft.transfer_id, OFFICERS[1:2])
    assert len(story.custodian.authorize(draft.transfer_id).approvals) == 2


def test_an_officer_counts_once_until_the_approval_has_expired(story):
    draft, _ = story.drafted()
    story.approved(draft.transfer_id, OFFICERS[:1])
    with refuses("APPROVAL_TWICE"):
        story.approved(draft.transfer_id, OFFICERS[:1])


def test_an_officer_who_agreed_may_still_say_no_and_not_yes_again(story):
    draft, _ = story.drafted()
    story.approved(draft.transfer_id)
    story.custodian.authorize(draft.transfer_id)
    veto = story.approval(story.custodian.evidence(draft.transfer_id), OFFICERS[0], Opinion.VETO)
    again = story.approval(story.custodian.evidence(draft.transfer_id), OFFICERS[0])
    story.custodian.approve(veto)
    assert story.transfer(draft.transfer_id).ended.reason is Ending.VETOED
    with refuses("APPROVAL_TWICE"):
        story.custodian.approve(again)


def test_an_expired_approval_is_renewed_and_the_transfer_goes_on(story):
    draft, _ = story.drafted(story.request(lifetime=1000 * HOUR))
    story.approved(draft.transfer_id)
    story.custodian.authorize(draft.transfer_id)
    story.chain.wait(8 * 24 * HOUR)
    with refuses("APPROVAL_EXPIRED"):
        story.custodian.request_signatures(draft.transfer_id)
    for officer in OFFICERS[:2]:
        story.custodian.approve(story.approval(story.custodian.evidence(draft.transfer_id), officer))
    assert [each.officer for each in story.transfer(draft.transfer_id).opinions] == list(OFFICERS[:2])
    with refuses("STEP_EARLY"):
        story.custodian.request_signatures(draft.transfer_id)
    story.custodian.authorize(draft.transfer_id)
    story.custodian.request_signatures(draft.transfer_id)
    story.signed(draft.transfer_id)
    assert story.custodian.release(draft.transfer_id)


def test_an_approval_after_the_authorization_does_not_stand_in_the_way(story):
    draft, _ = story.drafted()
    story.approved(draft.transfer_id)
    story.custodian.authorize(draft.transfer_id)
    story.approved(draft.transfer_id, OFFICERS[2:])
    story.custodian.request_signatures(draft.transfer_id)
    story.signed(draft.transfer_id)
    story.custodian.release(draft.transfer_id)
    assert len(story.transfer(draft.transfer_id).approvals) == 3


def test_an_approval_of_another_history_is_refused(story):
    draft, _ = story.drafted()
    evidence = story.custodian.evidence(draft.transfer_id)
    good = Approval.from_bytes(story.approval(evidence, OFFICERS[0]).body)
    for size, root in ((good.log_size, bytes(32)), (good.log_size - 1, good.log_root), (10_000, good.log_root)):
        fields = {name: getattr(good, name) for name in Approval.model_fields}
        fork = sign(Approval(**fields | {"log_size": size, "log_root": root}), story.cast.people[OFFICERS[0]])
        with refuses("APPROVAL_FORKED"):
            story.custodian.approve(fork)


# --- signing and sending ----------------------------------------------------------------------------------------------


def test_any_two_of_the_cosigners_are_enough_and_the_third_comes_too_late(story):
    transfer_id = story.authorized()
    for cosigner in (2, 1):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    story.custodian.combine(transfer_id)
    third = story.signature(transfer_id, 0)
    story.custodian.verify(transfer_id)
    assert [each.cosigner for each in story.custodian.receive(transfer_id, third)] == [
        story.cast.signers[0].fingerprint
    ]
    assert len(story.transfer(transfer_id).signed) == 2


def test_the_same_signature_received_twice_is_entered_once(story):
    transfer_id = story.authorized()
    returned = story.signature(transfer_id, 0)
    first = story.custodian.receive(transfer_id, returned)
    size = story.history().size
    assert story.custodian.receive(transfer_id, returned) == first
    assert story.history().size == size
    with refuses("SIGNATURES_MISSING"):
        story.custodian.combine(transfer_id)


def test_every_step_may_be_repeated_and_adds_nothing(story):
    draft, decision = story.drafted()
    transfer_id = draft.transfer_id
    assert story.custodian.decide(transfer_id) == decision
    story.approved(transfer_id)
    for step in (story.custodian.authorize, story.custodian.request_signatures):
        assert step(transfer_id) == step(transfer_id)
    for cosigner in (0, 1):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    for step in (story.custodian.combine, story.custodian.verify, story.custodian.release):
        assert step(transfer_id) == step(transfer_id)
    story.custodian.deliver()
    size = story.history().size
    story.custodian.deliver()
    assert story.history().size == size
    found = entered(story)
    for kind in (
        kinds.AUTHORIZED,
        kinds.SIGNING_REQUESTED,
        kinds.COMBINED,
        kinds.VERIFIED,
        kinds.RELEASED,
        kinds.BROADCAST,
    ):
        assert found.count(kind) == 1


def test_nothing_released_is_nothing_to_send(story):
    with refuses("NOTHING_TO_SEND"):
        story.custodian.deliver()


class Stubborn:
    """The real relay, but for one transaction that it does not take."""

    def __init__(self, relay: object, txid: bytes) -> None:
        self._relay, self._txid = relay, txid

    def __getattr__(self, name: str) -> object:
        return getattr(self._relay, name)

    def send(self, raw: bytes) -> None:
        if Transaction.parse(raw).txid == self._txid:
            raise RelayRefused(txid=self._txid[::-1].hex(), reason="mempool full")
        self._relay.send(raw)


def with_relay(story: Scenario, relay: object) -> Custodian:
    return Custodian(
        story.store,
        story.cast.digest,
        story.cast.coordinator,
        Outside(
            views=(story.chain.view,),
            relay=relay,
            judges=(),
            clock=story.chain,
            below=story.chance.below,
            salt=story.chance.salt,
        ),
    )


def test_a_transaction_the_node_refuses_does_not_keep_the_others_from_being_sent(story):
    released = []
    for _ in range(2):
        transfer_id = story.authorized(story.request((SUPPLIER, 20_000_000)))
        story.signed(transfer_id)
        released.append(story.custodian.release(transfer_id))
    first, second = released
    with refuses("RELAY_REFUSED"):
        with_relay(story, Stubborn(story.chain.view, first.txid)).deliver()
    assert story.transfer(second.transfer).status is Status.BROADCAST
    assert story.transfer(first.transfer).status is Status.RELEASED
    with story.store.read() as view:
        (row,) = [each for each in view.outbox() if each.transfer_id == first.transfer]
    assert (row.attempts, row.was_sent) == (1, False)
    assert "mempool full" in row.last_error
    assert {each.transfer for each in story.custodian.deliver()} == {first.transfer, second.transfer}


# --- replacing and cancelling -----------------------------------------------------------------------------------------


def spent_by(story: Scenario, transfer_id: bytes) -> set[object]:
    return set(story.transfer(transfer_id).draft.outpoints)


def test_a_replacement_spends_a_coin_of_what_it_replaces_and_only_one_confirms(story):
    first = story.sent(rate=2_000)
    request = story.request((SUPPLIER, 25_000_000), replaces=(first,))
    second = story.sent(request, rate=12_000)
    assert spent_by(story, first) & spent_by(story, second)
    assert story.transfer(second).group == first
    story.mine()
    assert story.transfer(second).status is Status.CONFIRMED
    assert story.transfer(first).ended.reason is Ending.SUPERSEDED
    with story.store.read() as view:
        assert view.outbox() == ()
    # A group of conflicting transfers counts once, at its largest.
    draft = story.transfer(second).draft
    assert story.history().committed() == 25_000_000 + draft.fee


def test_only_the_newest_of_those_that_replace_each_other_is_sent_again(story):
    first = story.sent(rate=2_000)
    second = story.sent(story.request(replaces=(first,)), rate=12_000)
    other = story.sent(story.request((TAX_OFFICE, 5_000_000)))
    assert {each.transfer for each in story.custodian.deliver()} == {second, other}


def test_a_transfer_is_cancelled_by_a_conflicting_spend_back_to_the_vault(story):
    before = story.balance
    first = story.sent(rate=2_000)
    request = story.request(purpose=Purpose.CANCELLATION, replaces=(first,))
    second = story.sent(request, rate=20_000)
    story.mine()
    assert story.transfer(first).ended.reason is Ending.SUPERSEDED
    assert story.transfer(second).status is Status.CONFIRMED
    assert story.balance == before - story.transfer(second).draft.fee
    assert len(story.spendable) == 3


def test_a_transfer_that_was_signed_but_never_sent_is_cancelled_the_same_way(story):
    first = story.authorized()
    story.signed(first)
    second = story.sent(story.request(purpose=Purpose.CANCELLATION, replaces=(first,)))
    story.mine()
    assert story.transfer(first).ended.reason is Ending.SUPERSEDED
    assert story.transfer(second).status is Status.CONFIRMED


def test_a_replacement_conflicts_with_every_member_of_its_group(begin):
    # A spends one coin; B replaces A and, for its fee, needs two. C names only B: were it free to share just the other
    # coin with B, A and C could both confirm, and a group counts once against every limit.
    story = begin(30_000_000, 31_000_000, 32_000_000)
    payment = (SUPPLIER, 29_999_000)
    first = story.authorized(story.request(payment))
    second = story.authorized(story.request(payment, replaces=(first,)), rate=20_000)
    third = story.authorized(story.request(payment, replaces=(second,)), rate=30_000)
    assert [len(spent_by(story, each)) for each in (first, second, third)] == [1, 2, 2]
    assert story.transfer(third).group == first
    for one, other in ((first, second), (second, third), (first, third)):
        assert spent_by(story, one) & spent_by(story, other)


def test_what_is_confirmed_cannot_be_replaced(story):
    first = story.confirmed()
    request = story.custodian.submit(story.request(replaces=(first,)))
    with refuses("REPLACE_NO_CONFLICT"):
        story.custodian.draft(request.digest(), RATE)


def test_what_stands_in_a_block_cannot_be_replaced_even_before_it_is_settled(begin):
    story = begin(setting=Setting(confirmations=3))
    first = story.sent()
    story.mine()
    assert story.transfer(first).status is Status.BROADCAST
    request = story.custodian.submit(story.request(replaces=(first,)))
    with refuses("REPLACE_NO_CONFLICT"):
        story.custodian.draft(request.digest(), RATE)


# --- coins ------------------------------------------------------------------------------------------------------------


def test_a_mined_coin_is_spent_only_once_it_is_mature(begin):
    story = begin(1_000_000, setting=Setting(max_outflow=10_000_000_000))
    issued = story.custodian.issue_address("reserve", expected("state mining"))
    story.mine(1, story.cast.vault.script_pubkey(Branch.RECEIVE, issued.index))
    request = story.custodian.submit(story.request((SUPPLIER, 100_000_000)))
    story.mine(COINBASE_MATURITY - 2)
    with refuses("INSUFFICIENT_FUNDS"):
        story.custodian.draft(request.digest(), RATE)
    story.mine()
    assert story.confirmed(story.request((SUPPLIER, 100_000_000)))


def test_a_deposit_counts_at_the_depth_its_charter_asks(begin):
    story = begin(setting=Setting(confirmations=3))
    story.deposit(50_000_000)
    for depth in (1, 2, 3):
        story.mine()
        assert free_coins(story) == (4 if depth == 3 else 3)


def test_coins_of_one_transfer_are_not_offered_to_another(story):
    story.drafted(story.request((SUPPLIER, 100_000_000)))
    request = story.custodian.submit(story.request((TAX_OFFICE, 60_000_000)))
    with refuses("INSUFFICIENT_FUNDS"):
        story.custodian.draft(request.digest(), RATE)


def test_a_coin_is_not_counted_twice_while_its_spend_waits_for_depth(begin):
    story = begin(setting=Setting(confirmations=3))
    before = story.balance
    transfer_id = story.sent()
    story.mine()
    assert story.transfer(transfer_id).status is Status.BROADCAST
    assert story.balance == before - 25_000_000 - story.transfer(transfer_id).draft.fee


def test_dust_from_strangers_is_never_spent_along(story):
    for amount in (546, 1_000):
        story.deposit(amount)
    story.mine(2)
    request = story.request((SUPPLIER, None), purpose=Purpose.SWEEP)
    draft, _ = story.drafted(request, rate=1_000)
    assert {spent.amount for spent in draft.identity.spent} == {60_000_000, 40_000_000, 30_000_000}


# --- alarm ------------------------------------------------------------------------------------------------------------


def test_a_spend_that_nobody_released_freezes_everything(story):
    other = story.authorized(story.request((TAX_OFFICE, 20_000_000)))
    story.signed(other)
    waiting, _ = story.drafted(story.request((TAX_OFFICE, 1_000_000)))
    story.approved(waiting.transfer_id)
    # A checkpoint from before the freeze that covers all there is to say about the other transfer.
    story.custodian.evidence(other)
    before = story.custodian.evidence(waiting.transfer_id)
    steal_coin(story)
    story.mine()
    assert story.history().frozen_by is not None
    with refuses("FROZEN"):
        story.custodian.release(other)
    with refuses("FROZEN"):
        story.custodian.authorize(waiting.transfer_id)
    examine(before, State(story.cast.digest), Stage.APPROVE, story.chain.now())
    with refuses("FROZEN"):
        story.desks[OFFICERS[2]].examine(story.custodian.evidence(waiting.transfer_id), Stage.APPROVE)
    with refuses("FROZEN"):
        story.stations[2].examine(story.custodian.evidence(other), Stage.SIGN)


def test_what_was_released_before_a_freeze_is_not_sent_after_it(story):
    released = story.authorized(story.request((TAX_OFFICE, 20_000_000)))
    story.signed(released)
    story.custodian.release(released)
    steal_coin(story)
    story.mine()
    with refuses("FROZEN"):
        story.custodian.deliver()
    assert not any(each.txid == story.transfer(released).release.txid for each in story.chain.view.pending())


def test_a_theft_is_told_once(story):
    steal_coin(story)
    story.mine(3)
    story.custodian.observe()
    assert entered(story).count(kinds.UNEXPLAINED_SPEND) == 1


# --- several coordinators, and the same one again ---------------------------------------------------------------------


class Fleet:
    """One SQL store that every new custodian opens for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path / "store.sqlite"
        store = create_store(self.path, Network.REGTEST, ORIGIN)
        self.story = Scenario.begin(chain=RegtestChain.funded(4), store=store)
        self.story.custodian.observe()
        for amount in (60_000_000, 40_000_000):
            self.story.deposit(amount)
        self.story.mine()
        self._outside = self.story.custodian._outside

    def custodian(self) -> Custodian:
        store = open_store(self.path, Network.REGTEST)
        return Custodian(store, self.story.cast.digest, self.story.cast.coordinator, self._outside)

    def restart(self) -> None:
        """A process ends, and another one goes on."""
        self.story.custodian = self.custodian()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    made.story.close()


def test_a_new_process_goes_on_at_every_step(fleet):
    story = fleet.story
    request = story.custodian.submit(story.request())
    fleet.restart()
    transfer_id = story.custodian.draft(request.digest(), RATE).transfer_id
    fleet.restart()
    story.custodian.decide(transfer_id)
    for officer in OFFICERS[:2]:
        fleet.restart()
        story.custodian.approve(story.approval(story.custodian.evidence(transfer_id), officer))
    fleet.restart()
    story.custodian.authorize(transfer_id)
    fleet.restart()
    story.custodian.request_signatures(transfer_id)
    for cosigner in (0, 1):
        fleet.restart()
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    for step in ("combine", "verify", "release"):
        fleet.restart()
        getattr(story.custodian, step)(transfer_id)
    fleet.restart()
    story.custodian.deliver()
    fleet.restart()
    story.mine()
    fleet.restart()
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    assert story.custodian.observe().added == ()


def test_two_coordinators_over_one_store_see_each_other_s_entries(fleet):
    story = fleet.story
    one, other = fleet.custodian(), fleet.custodian()
    request = one.submit(story.request((SUPPLIER, 55_000_000)))
    draft = other.draft(request.digest(), RATE)
    assert one.decide(draft.transfer_id) == other.decide(draft.transfer_id)
    for custodian, officer in ((one, OFFICERS[0]), (other, OFFICERS[1])):
        custodian.approve(story.approval(custodian.evidence(draft.transfer_id), officer))
    assert one.authorize(draft.transfer_id) == other.authorize(draft.transfer_id)
    rival = other.submit(story.request((TAX_OFFICE, 55_000_000)))
    with refuses("INSUFFICIENT_FUNDS"):
        one.draft(rival.digest(), RATE)
    assert one.history().frontier == other.history().frontier


def test_two_coordinators_send_once_and_settle_once(fleet):
    story = fleet.story
    transfer_id = story.authorized()
    story.signed(transfer_id)
    one, other = fleet.custodian(), fleet.custodian()
    assert one.release(transfer_id) == other.release(transfer_id)
    one.deliver()
    other.deliver()
    story.chain.mine()
    one.observe()
    assert other.observe().added == ()
    found = entered(story)
    for kind in (kinds.RELEASED, kinds.BROADCAST, kinds.CONFIRMED):
        assert found.count(kind) == 1
    with refuses("NOTHING_TO_SEND"):
        other.deliver()


def test_a_store_that_was_rolled_back_is_not_believed(fleet, tmp_path):
    story = fleet.story
    copy = tmp_path / "yesterday"
    copy.write_bytes(fleet.path.read_bytes())
    story.drafted()
    fleet.path.write_bytes(copy.read_bytes())
    with refuses("ROLLBACK"):
        story.custodian.history()
    with refuses("ROLLBACK"):
        story.custodian.observe()


def test_a_row_read_just_before_its_transfer_was_superseded_is_not_sent(story):
    first = story.sent(rate=2_000)
    with story.store.read() as view:
        (row,) = view.outbox()
    story.sent(story.request(replaces=(first,)), rate=12_000)
    story.mine()
    with refuses("TRANSFER_OVER"):
        story.custodian._delivery._gate((row,))


def looked(story: Scenario) -> ChainSeen:
    """A look at the chain that shows nothing new."""
    height, row = lists.newest_block(story.history())
    return ChainSeen(height=height, block=row.block, time=row.time, at=row.at)


def test_what_is_not_written_yet_is_read_by_nobody(story):
    before = story.history().size
    seen = looked(story)
    with story.custodian._logbook.write(story.chain.now()) as work:
        work.append(kinds.CHAIN_SEEN, seen)
        assert story.custodian.history().size == before
    assert story.custodian.history().size == before + 1


def test_a_unit_of_work_that_fails_leaves_nothing_behind(story):
    before = story.history().frontier
    seen = looked(story)

    def interrupted() -> None:
        with story.custodian._logbook.write(story.chain.now()) as work:
            work.append(kinds.CHAIN_SEEN, seen)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert story.history().frontier == before
    story.mine()


# --- chance -----------------------------------------------------------------------------------------------------------


def test_the_same_seed_tells_the_same_story(begin):
    one, other = begin(seed=7), begin(seed=7)
    assert one.confirmed() == other.confirmed()
    assert one.history().frontier == other.history().frontier


def test_a_payment_whose_coins_fit_exactly_leaves_no_change(begin):
    story = begin(60_000_000, 40_000_000)
    request = story.request((SUPPLIER, 40_000_000 - 1_000))
    draft, _ = story.drafted(request, rate=5_000)
    assert draft.change is None
    assert [spent.amount for spent in draft.identity.spent] == [40_000_000]
    assert draft.fee == 1_000


def test_a_checkpoint_is_asked_for_from_where_its_witness_is(story):
    story.custodian.issue_address("reserve", expected("one"))
    transfer = story.authorized()
    story.custodian.evidence(transfer)
    size = story.witnesses[0].state.size
    assert story.custodian.showing.sizes_seen() == {WITNESS: size}
    story.custodian.issue_address("reserve", expected("two"))
    request = story.custodian.showing.checkpoint()
    assert (request.since, len(request.leaves)) == (size, 2)
    assert story.custodian.showing.checkpoint(since=0).signed() == request.signed()
    with refuses("NOT_IN_LOG"):
        story.custodian.showing.checkpoint(since=size + 3)


def test_a_witness_that_is_further_behind_than_its_cosignature_says_is_given_the_rest(story):
    story.custodian.evidence(story.authorized())
    story.witnesses[0].state = None
    story.custodian.evidence(story.authorized())
    assert story.custodian.showing.sizes_seen() == {WITNESS: story.witnesses[0].state.size}
