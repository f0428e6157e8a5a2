"""Approvals: an officer's word on one draft, counted once a person, for as long as it holds."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.charter.people import Role
from custody.charter.rules import Demand
from custody.clock import CLOCK_SKEW
from custody.envelope import Envelope, sign
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, Cast
from custody.transfer.approval import (
    Approval,
    Opinion,
    Withdrawal,
    authorize,
    check_approval,
    check_withdrawal,
    may_follow,
    refuse_forked,
    refuse_misdated,
    refuse_unfit,
    tallies,
)
from custody.transfer.proposal import Proposal, propose
from custody.units import Network

HOUR = 3600


def proposal_of(told, **changes: object) -> Proposal:
    """The story's proposal, with other parts as a liar would pass them on."""
    return replace(propose(told.draft, told.request, told.charter), **changes)


@pytest.fixture
def word(told, edit):
    """An approval by an officer, as they sign it, with `changes` in it."""

    def make(officer: str = OFFICERS[0], /, *, signer: str | None = None, **changes: object) -> Envelope:
        first = told.transfer.opinions[0]
        own = {
            "officer": officer,
            "key": told.cast.people[officer].public_key,
            "nonce": officer.encode().ljust(16, b".")[:16],
            "issued": told.now,
            "expires": told.now + HOUR,
        }
        return sign(edit(first, **(own | changes)), told.cast.people[signer or officer])

    return make


def checked(told, envelope: Envelope) -> Approval:
    return check_approval(envelope, proposal_of(told))


def authorized(told, *envelopes: Envelope, now: int | None = None, decision: object = None):
    decision = decision or told.transfer.decision
    return authorize(proposal_of(told), decision, envelopes, told.now if now is None else now)


# --- one approval -----------------------------------------------------------------------------------------------------


def test_an_officer_s_own_word_passes(told, word):
    assert checked(told, word()).officer == OFFICERS[0]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"network": Network.MAIN}, "NETWORK_MISMATCH"),
        ({"vault": bytes(32)}, "APPROVAL_MISMATCH"),
        ({"transfer": bytes(32)}, "APPROVAL_MISMATCH"),
        ({"charter": bytes(32)}, "APPROVAL_MISMATCH"),
        ({"charter_version": 2}, "APPROVAL_MISMATCH"),
        ({"key": bytes(32)}, "APPROVAL_AUTHOR"),
        ({"officer": "Mallory"}, "APPROVAL_AUTHOR"),
        ({"officer": OFFICERS[1]}, "APPROVAL_AUTHOR"),
    ],
)
def test_a_word_on_something_else_or_by_somebody_else_is_refused(told, word, changes, code):
    with refuses(code):
        checked(told, word(**changes))


def test_a_word_that_another_officer_signed_is_refused(told, word):
    with refuses("APPROVAL_AUTHOR"):
        checked(told, word(OFFICERS[0], signer=OFFICERS[1]))


def test_who_is_no_officer_cannot_approve_what_somebody_else_asked_for(told, word, edit):
    request = edit(told.request, requester="Somebody")
    with refuses("APPROVAL_AUTHOR"):
        check_approval(word(REQUESTER), proposal_of(told, request=request))


def both_roles(cast: Cast, edit) -> object:
    """The charter with a requester who is an officer too."""
    people = tuple(
        edit(each, roles=(Role.OFFICER, Role.REQUESTER)) if each.name == REQUESTER else each
        for each in cast.charter.people
    )
    return edit(cast.charter, people=people)


def test_who_asked_does_not_approve_but_may_say_no(told, word, edit):
    charter = both_roles(told.cast, edit)
    digest = charter.digest()
    with refuses("APPROVAL_SELF"):
        check_approval(word(REQUESTER, charter=digest), proposal_of(told, charter=charter))
    veto = word(REQUESTER, charter=digest, verdict=Opinion.VETO)
    assert check_approval(veto, proposal_of(told, charter=charter)).verdict is Opinion.VETO


def test_an_officer_who_asked_is_no_member_of_the_quorum(told, edit):
    charter = both_roles(told.cast, edit)
    (tally,) = tallies(proposal_of(told, charter=charter), told.transfer.decision, ())
    assert REQUESTER not in tally.tally.missing
    assert set(tally.tally.missing) == set(OFFICERS)


# --- when it holds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        (-CLOCK_SKEW - 1, "APPROVAL_NOT_YET"),
        (-CLOCK_SKEW, None),
        (0, None),
        (HOUR - 1, None),
        (HOUR, "APPROVAL_EXPIRED"),
        (365 * 24 * HOUR, "APPROVAL_EXPIRED"),
    ],
)
def test_a_word_holds_from_its_issue_less_the_skew_of_clocks_to_its_expiry(told, word, offset, code):
    opinions = [checked(told, word())]
    if code is None:
        refuse_unfit(opinions, told.now + offset)
    else:
        with refuses(code):
            refuse_unfit(opinions, told.now + offset)


@pytest.mark.parametrize(
    ("issued", "code"),
    [
        (-CLOCK_SKEW - 1, "APPROVAL_BEFORE_DRAFT"),
        (-CLOCK_SKEW, None),
        (CLOCK_SKEW, None),
        (CLOCK_SKEW + 1, "APPROVAL_NOT_YET"),
    ],
)
def test_a_yes_comes_in_only_dated_after_the_draft_and_not_later_than_now(told, word, issued, code):
    approval = checked(told, word(issued=told.now + issued))
    if code is None:
        refuse_misdated(approval, told.now, told.now)
    else:
        with refuses(code):
            refuse_misdated(approval, told.now, told.now)


def test_a_yes_that_has_expired_does_not_come_in_and_a_no_does_whatever_its_date(told, word):
    with refuses("APPROVAL_EXPIRED"):
        refuse_misdated(checked(told, word()), told.now, told.now + HOUR)
    for issued in (0, told.now + 365 * 24 * HOUR):
        veto = word(issued=issued, expires=issued + HOUR, verdict=Opinion.VETO)
        refuse_misdated(checked(told, veto), told.now, told.now)


def test_a_draft_that_is_dated_later_than_now_says_nothing_of_an_officer_s_clock(told, word):
    refuse_misdated(checked(told, word()), told.now + 365 * 24 * HOUR, told.now)


def test_a_yes_by_a_clock_that_was_ahead_may_be_given_again_by_one_that_is_right(told, word):
    ahead = 365 * 24 * HOUR
    early = checked(told, word(issued=told.now + ahead, expires=told.now + ahead + HOUR))
    assert may_follow(early, checked(told, word()))
    assert may_follow(early, checked(told, word(expires=early.issued)))
    overlapping = checked(told, word(expires=early.issued + 1))
    assert not may_follow(early, overlapping)


def test_an_expired_word_may_be_given_again_and_one_that_holds_may_not(told, word):
    first = checked(told, word())
    assert may_follow(first, checked(told, word(issued=first.expires)))
    assert not may_follow(first, checked(told, word(issued=first.expires - 1)))
    veto = checked(told, word(verdict=Opinion.VETO))
    assert not may_follow(veto, checked(told, word(issued=veto.expires)))


def test_a_yes_may_turn_into_a_no_and_a_no_stays(told, word):
    first, veto = checked(told, word()), checked(told, word(verdict=Opinion.VETO))
    assert may_follow(first, veto)
    assert not may_follow(veto, first)
    assert not may_follow(veto, veto)


def test_a_word_is_on_the_history_its_officer_saw(told, word):
    opinion = checked(told, word())
    refuse_forked(opinion, opinion.log_root)
    for root in (bytes(32), b""):
        with refuses("APPROVAL_FORKED"):
            refuse_forked(opinion, root)


# --- enough of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_words_are_counted_and_the_missing_named(told, word, count):
    given_ = [word(officer) for officer in OFFICERS[:count]]
    with refuses("APPROVAL_MISSING") as caught:
        authorized(told, *given_)
    assert (caught.error.given, caught.error.needed) == (count, 2 - count)
    assert caught.error.missing == ", ".join(OFFICERS[count:])


@given(st.sets(st.sampled_from(OFFICERS)), st.randoms(use_true_random=False))
def test_any_two_officers_are_enough_in_any_order(told, acted, chance):
    envelopes = [envelope for envelope in _words(told) if Approval.from_bytes(envelope.body).officer in acted]
    chance.shuffle(envelopes)
    if len(acted) < 2:
        with refuses("APPROVAL_MISSING"):
            authorized(told, *envelopes)
    else:
        made = authorized(told, *envelopes)
        assert made.approvals == tuple(envelope.digest() for envelope in envelopes)
        assert (made.transfer, made.decision) == (told.transfer_id, told.transfer.decision.digest())


def _words(told) -> list[Envelope]:
    first = told.transfer.opinions[0]
    return [
        sign(
            Approval(
                **{name: getattr(first, name) for name in Approval.model_fields}
                | {"officer": officer, "key": told.cast.people[officer].public_key, "nonce": bytes([n]) * 16}
            ),
            told.cast.people[officer],
        )
        for n, officer in enumerate(OFFICERS)
    ]


def test_one_officer_twice_counts_once(told, word):
    with refuses("APPROVAL_TWICE"):
        authorized(told, word(), word(nonce=bytes(16)))


@pytest.mark.parametrize("position", range(3))
def test_one_veto_is_enough_wherever_it_stands(told, word, position):
    envelopes = [word(OFFICERS[0]), word(OFFICERS[1])]
    envelopes.insert(position, word(OFFICERS[2], verdict=Opinion.VETO))
    with refuses("VETOED") as caught:
        authorized(told, *envelopes)
    assert caught.error.officer == OFFICERS[2]


def test_one_expired_word_among_enough_is_refused(told, word):
    envelopes = [word(OFFICERS[0]), word(OFFICERS[1], expires=told.now)]
    with refuses("APPROVAL_EXPIRED"):
        authorized(told, *envelopes)


def test_every_demand_is_met_or_none_is(told, word, edit):
    decision = told.transfer.decision
    more = Demand(rule="all of them", role=Role.OFFICER, count=3)
    both = edit(decision, demands=(*decision.demands, more))
    with refuses("APPROVAL_MISSING") as caught:
        authorized(told, word(OFFICERS[0]), word(OFFICERS[1]), decision=both)
    assert caught.error.rule == "all of them"
    assert authorized(told, *(word(officer) for officer in OFFICERS), decision=both)


def test_a_demand_that_nobody_can_meet_says_so(told, edit):
    demands = (Demand(rule="four", role=Role.OFFICER, count=4),)
    with refuses("APPROVAL_MISSING") as caught:
        tallies(proposal_of(told), edit(told.transfer.decision, demands=demands), ())
    assert "only 3 besides the requester" in str(caught.error)


def test_no_demand_needs_no_word(told, edit):
    assert authorized(told, decision=edit(told.transfer.decision, demands=())).approvals == ()


def test_a_replayed_word_is_the_same_word(told, word):
    one = word()
    assert one == word()
    with refuses("APPROVAL_TWICE"):
        authorized(told, one, one, word(OFFICERS[1]))


# --- withdrawing ------------------------------------------------------------------------------------------------------


@pytest.fixture
def withdrawal(told):
    def make(person: str, /, **changes: object) -> Envelope:
        record = Withdrawal(
            **(
                {
                    "network": told.charter.network,
                    "charter": told.cast.digest,
                    "transfer": told.transfer_id,
                    "person": person,
                    "annex": bytes(32),
                    "issued": told.now,
                    "nonce": bytes(16),
                }
                | changes
            )
        )
        return sign(record, told.cast.people[person])

    return make


@pytest.mark.parametrize("person", [REQUESTER, *OFFICERS])
def test_its_requester_and_any_officer_may_withdraw(told, withdrawal, person):
    assert check_withdrawal(withdrawal(person), proposal_of(told)).person == person


def test_somebody_else_who_may_only_ask_may_not_withdraw(told, withdrawal, edit):
    with refuses("APPROVAL_AUTHOR"):
        check_withdrawal(withdrawal(REQUESTER), proposal_of(told, request=edit(told.request, requester="Other")))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"transfer": bytes(32)}, "APPROVAL_MISMATCH"),
        ({"charter": bytes(32)}, "APPROVAL_MISMATCH"),
        ({"person": "Mallory"}, "APPROVAL_AUTHOR"),
        ({"person": OFFICERS[1]}, "APPROVAL_AUTHOR"),
    ],
)
def test_a_withdrawal_of_something_else_or_by_somebody_else_is_refused(told, withdrawal, changes, code):
    with refuses(code):
        check_withdrawal(withdrawal(OFFICERS[0], **changes), proposal_of(told))


def test_words_on_one_draft_do_not_fit_another(told, word, redrafted):
    other = redrafted(told.draft, locktime=told.draft.transaction.locktime - 1)
    for officer in itertools.islice(OFFICERS, 2):
        with refuses("APPROVAL_MISMATCH"):
            check_approval(word(officer), proposal_of(told, draft=other))
