"""A transfer with signatures around is a bearer instrument (THREATS F2): only another spend of its coins ends it.

The thief collects signatures on T1, says that it failed, and pays again from other coins with T2; both confirm.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from custody.bitcoin.transaction import TxOut
from custody.envelope import sign
from custody.examine.evidence import Evidence, Stage
from custody.history import kinds
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, SUPPLIER
from custody.testing.scenario import HOUR, RATE, Scenario
from custody.transfer.approval import Opinion, Withdrawal
from custody.transfer.observe import SpendSeen
from custody.transfer.request import Purpose, TransferRequest
from custody.transfer.settlement import Broadcast, Confirmation, Ended, Ending, Release
from custody.transfer.signing import CombinedPsbt, SigningRequested
from custody.transfer.state import Status
from custody.transfer.verify import VerifiedTransaction
from custody.vault.descriptor import Branch

FEE = 5_000


@pytest.fixture
def story() -> Iterator[Scenario]:
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


def outflow(story: Scenario, transfer_id: bytes) -> int:
    history = story.history()
    return history.case(history.transfer(transfer_id)).outflow


# --- limits ---------------------------------------------------------------------------------------------------------


def test_what_was_asked_to_be_signed_counts_for_ever(story):
    assert story.history().committed() == 0
    drafted, _ = story.drafted()
    story.approved(drafted.transfer_id)
    story.custodian.authorize(drafted.transfer_id)
    assert story.history().committed() == 0
    story.custodian.request_signatures(drafted.transfer_id)
    counted = story.history().committed()
    assert counted == outflow(story, drafted.transfer_id)
    # Request and approvals expire, a year goes by, and the coordinator looks: the signatures are as good as ever.
    story.chain.wait(365 * 24 * HOUR)
    story.mine(3)
    assert story.history().committed() == counted
    assert story.transfer(drafted.transfer_id).is_live


def test_an_expired_transfer_keeps_its_coins(story):
    transfer = story.transfer(story.authorized())
    story.chain.wait(365 * 24 * HOUR)
    story.mine(1)
    free = {coin.outpoint for coin in story.spendable}
    assert free.isdisjoint(transfer.draft.outpoints)
    again, _ = story.drafted(story.request((SUPPLIER, 20_000_000)))
    assert set(again.outpoints).isdisjoint(transfer.draft.outpoints)


def test_a_replacement_counts_at_the_largest_of_its_group_and_never_gives_back(story):
    first = story.authorized(story.request((SUPPLIER, 25_000_000)))
    smaller = story.authorized(story.request(purpose=Purpose.CANCELLATION, replaces=(first,)))
    assert story.history().committed() == outflow(story, first) > outflow(story, smaller)
    story.signed(smaller)
    story.custodian.release(smaller)
    story.custodian.deliver()
    story.mine(1)
    assert story.transfer(first).status is Status.ENDED
    assert story.transfer(first).ended.reason is Ending.SUPERSEDED
    # The smaller one is buried; the larger one may come back with a reorganisation.
    assert story.history().committed() == outflow(story, first)


# --- T2 from other coins --------------------------------------------------------------------------------------------


def test_a_replacement_takes_a_coin_of_what_it_replaces(story):
    first = story.authorized()
    second, _ = story.drafted(story.request(replaces=(first,)))
    assert not set(second.outpoints).isdisjoint(story.transfer(first).draft.outpoints)


def test_a_replacement_from_other_coins_is_refused(forger, stage):
    # The coordinator has signatures on T1, and logs a T2 that says it replaces T1, from a coin T1 does not spend.
    log, first = signing(forger)
    other = forger.coin(90_000_000, 0, 1)
    request = forger.request((SUPPLIER, 70_000_000), replaces=(first.transfer_id,), nonce=b"\x02" * 16)
    beside = forger.redrafted(forger.draft(request, coins=(other,)))
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(renamed(forger, beside), stage, log=log, request=request)
    assert caught.error.__cause__.code == "REPLACE_NO_CONFLICT"


def test_a_replacement_that_shares_a_coin_passes(forger, stage):
    log, first = signing(forger)
    request = forger.request((SUPPLIER, 70_000_000), replaces=(first.transfer_id,), nonce=b"\x02" * 16)
    sharing = forger.draft(request, fee=2 * FEE)
    assert forger.judge(renamed(forger, sharing), stage, log=log, request=request)


def renamed(forger, drafted):
    """The same draft with its change at the next index, which the first transfer has used already."""
    old = forger.vault.script_pubkey(Branch.CHANGE, 0)
    outputs = [
        TxOut(each.amount, forger.vault.script_pubkey(Branch.CHANGE, 1)) if each.script_pubkey == old else each
        for each in drafted.transaction.outputs
    ]
    return forger.redrafted(drafted, outputs=outputs, change=1)


def signing(forger):
    """A log in which signatures on a first transfer were asked for, and that transfer."""
    log = forger.log()
    request = forger.request()
    first = forger.draft(request)
    forger.evidence(first, Stage.SIGN, log=log, request=request)
    return log, first


@pytest.mark.parametrize("fate", ["expired", "withdrawn", "vetoed", "denied"])
def test_a_coordinator_cannot_declare_a_transfer_dead(forger, fate):
    log, first = signing(forger)
    assert log.history().transfer(first.transfer_id).is_live
    ended = Ended(transfer=first.transfer_id, reason=Ending(fate), detail="it failed", at=forger.now)
    log.write(kinds.ENDED, ended)
    with refuses("HISTORY_INVALID"):
        log.history()


def test_a_coordinator_cannot_declare_a_transfer_superseded_by_nothing(forger):
    log, first = signing(forger)
    ended = Ended(transfer=first.transfer_id, reason=Ending.SUPERSEDED, detail="by another", at=forger.now)
    log.write(kinds.ENDED, ended)
    with refuses("HISTORY_INVALID"):
        log.history()


def test_a_coordinator_that_claims_a_confirmation_frees_no_limit(forger):
    # It owns every entry from here on, so it can write that T1 was sent and buried. What was committed stays so.
    log, first = signing(forger)
    counted = log.history().committed()
    assert counted
    name, at = first.transfer_id, forger.now
    combined = CombinedPsbt(transfer=name, cosigners=(), signatures=(), at=at)
    verified = VerifiedTransaction(transfer=name, raw=first.identity.transactions[0], judges=(), at=at)
    txid = first.transaction.txid
    for kind, body in (
        (kinds.COMBINED, combined),
        (kinds.VERIFIED, verified),
        (kinds.RELEASED, Release(transfer=name, txid=txid, verified=verified.digest(), at=at)),
        (kinds.BROADCAST, Broadcast(transfer=name, txid=txid, at=at)),
        (kinds.SPEND_SEEN, SpendSeen(transfer=name, txid=txid, block=bytes(32), height=1, at=at)),
        (kinds.CONFIRMED, Confirmation(transfer=name, txid=txid, block=bytes(32), height=1, at=at)),
    ):
        log.write(kind, body)
        assert log.history().committed() == counted


def test_a_signed_transfer_asked_for_again_is_the_same_transfer(forger, stage):
    # The same request drafted anew from other coins: officers would read the same payee, amount and reason.
    log, first = signing(forger)
    request = forger.request()
    other = forger.coin(90_000_000, 0, 1)
    again = renamed(forger, forger.draft(request, coins=(other,)))
    assert set(again.outpoints).isdisjoint(first.outpoints)
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(again, stage, log=log, request=request, ask=False)
    assert caught.error.__cause__.code == "REQUEST_IN_USE"


def test_the_coins_of_a_signed_transfer_are_not_taken_by_another(forger, stage):
    log, first = signing(forger)
    request = forger.request((SUPPLIER, 30_000_000), nonce=b"\x02" * 16)
    taking = renamed(forger, forger.draft(request, coins=forger.coins[:1]))
    assert not set(taking.outpoints).isdisjoint(first.outpoints)
    with refuses("HISTORY_INVALID"):
        forger.judge(taking, stage, log=log, request=request)


# --- ways out -------------------------------------------------------------------------------------------------------


def test_a_transfer_is_withdrawn_before_signatures_are_asked_for_and_not_after(story):
    first, _ = story.drafted()
    story.custodian.withdraw(story.withdrawal(first.transfer_id))
    assert story.transfer(first.transfer_id).status is Status.ENDED
    second = story.authorized()
    counted = story.history().committed()
    for person in ("Dana", OFFICERS[0]):
        with refuses("TRANSFER_LIVE"):
            story.custodian.withdraw(story.withdrawal(second, person))
    assert story.transfer(second).is_live
    assert story.history().committed() == counted


def test_a_withdrawal_in_the_log_after_signatures_were_asked_for_is_refused(forger):
    log, first = signing(forger)
    withdrawal = Withdrawal(
        network=forger.cast.charter.network,
        charter=forger.cast.digest,
        transfer=first.transfer_id,
        person="Dana",
        annex=bytes(32),
        issued=forger.now,
        nonce=bytes(16),
    )
    log.write(kinds.WITHDRAWN, sign(withdrawal, forger.cast.people["Dana"]))
    with refuses("HISTORY_INVALID"):
        log.history()


def test_a_veto_after_signatures_were_asked_for_ends_nothing(story):
    transfer_id = story.authorized()
    veto = story.approval(story.custodian.evidence(transfer_id), OFFICERS[2], Opinion.VETO)
    counted = story.history().committed()
    with refuses("TRANSFER_LIVE"):
        story.custodian.approve(veto)
    assert story.transfer(transfer_id).is_live
    assert story.history().committed() == counted


def test_a_cancellation_spends_a_coin_of_what_it_cancels_and_only_its_burial_ends_that(story):
    first = story.authorized()
    story.signed(first)
    cancel = story.authorized(story.request(purpose=Purpose.CANCELLATION, replaces=(first,)), rate=RATE * 2)
    assert not set(story.transfer(cancel).draft.outpoints).isdisjoint(story.transfer(first).draft.outpoints)
    story.signed(cancel)
    story.custodian.release(cancel)
    story.custodian.deliver()
    assert story.transfer(first).is_live
    story.mine(1)
    assert story.transfer(first).ended.reason is Ending.SUPERSEDED
    with refuses("TRANSFER_OVER"):
        story.custodian.release(first)


def test_a_transfer_that_came_true_cannot_be_replaced_any_more(story):
    first = story.confirmed()
    request = story.custodian.submit(story.request(replaces=(first,)))
    with refuses("REPLACE_NO_CONFLICT"):
        story.custodian.draft(request.digest(), RATE)


def test_signatures_are_not_asked_for_after_the_request_expired(story):
    drafted, _ = story.drafted(story.request(lifetime=HOUR))
    story.approved(drafted.transfer_id)
    story.custodian.authorize(drafted.transfer_id)
    story.chain.wait(2 * HOUR)
    with refuses("REQUEST_EXPIRED"):
        story.custodian.request_signatures(drafted.transfer_id)
    assert not story.history().committed()


def asked_at(forger, drafted, request, at: int) -> Evidence:
    """Evidence whose log says that signatures on the draft were asked for at this time."""
    log = forger.log()
    story = forger.story(drafted, request=request)
    log.write(kinds.REQUESTED, request)
    log.tell(story, at)
    return log.evidence(drafted.transfer_id, story.previous)


@pytest.mark.usefixtures("visits")
@pytest.mark.parametrize("late", [0, 1, 5 * 24 * HOUR])
def test_a_station_signs_nothing_that_was_asked_for_after_the_request_expired(forger, late):
    # The coordinator waits: its requester has given the matter up, and the approvals hold for days yet.
    request = forger.request(expires=forger.now + HOUR)
    evidence = asked_at(forger, forger.draft(request), request, forger.now + HOUR + late)
    with refuses("REQUEST_EXPIRED"):
        forger.examine(evidence, Stage.SIGN, forger.now + HOUR + late)


@pytest.mark.usefixtures("visits")
def test_what_was_asked_for_in_time_may_be_signed_later_and_says_whose_word_that_is(forger):
    request = forger.request(expires=forger.now + HOUR)
    evidence = asked_at(forger, forger.draft(request), request, forger.now + HOUR - 1)
    word = "whether signatures were asked for before the request expired: the coordinator says so"
    assert word not in forger.examine(evidence, Stage.SIGN, forger.now + HOUR - 1).not_checked
    assert word in forger.examine(evidence, Stage.SIGN, forger.now + 24 * HOUR).not_checked


@pytest.mark.usefixtures("visits")
def test_signing_requested_on_another_body_counts_for_nothing(forger):
    # Limits count from an entry that names this very evidence: another one, for other eyes, is not it.
    log = forger.log()
    request = forger.request()
    drafted = forger.draft(request)
    forger.evidence(drafted, Stage.SIGN, log=log, request=request)
    last = log.entries.pop()
    assert last.head.entry == kinds.SIGNING_REQUESTED
    other = SigningRequested(transfer=drafted.transfer_id, evidence=bytes(32), at=forger.now)
    log.write(kinds.SIGNING_REQUESTED, other)
    previous = forger.previous_of(drafted)
    with refuses("NOT_LOGGED"):
        forger.examine(log.evidence(drafted.transfer_id, previous))
    log.entries.pop()
    with refuses("NOT_LOGGED"):
        forger.examine(log.evidence(drafted.transfer_id, previous))


def test_the_request_of_these_tests_is_read_as_written(forger):
    assert TransferRequest.from_bytes(forger.request().body).replaces == ()
