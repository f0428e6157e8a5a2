"""What one officer has stopped, nobody sets going again (THREATS F26).

The coordinator owns the log: it may keep a veto from ending its transfer, draft the same request anew, and find
officers who know nothing of it. Once the veto stands in a witnessed log, it binds the request wherever that is seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from custody.apps.views.examination import examination_data, examination_screen
from custody.apps.views.layout import sats
from custody.envelope import Envelope
from custody.examine.evidence import Stage
from custody.history import kinds
from custody.history.relations import MOST_ALIKE
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, SUPPLIER, TAX_OFFICE
from custody.testing.scenario import RATE, Scenario
from custody.transfer.approval import Opinion
from custody.transfer.draft import Draft
from custody.transfer.settlement import Ended, Ending

PAYMENT = (SUPPLIER, 25_000_000)


@pytest.fixture
def story() -> Iterator[Scenario]:
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


def drafted_twice(forger, log, *, ends: bool) -> tuple[Draft, Envelope]:
    """A log in which a draft was vetoed, and ended by the coordinator's word; another draft of the same request."""
    request = forger.request()
    first = forger.draft(request)
    forger.evidence(first, Stage.APPROVE, log=log, request=request)
    log.write(kinds.APPROVED, forger.approval(first, OFFICERS[2], verdict=Opinion.VETO))
    if ends:
        log.write(kinds.ENDED, Ended(transfer=first.transfer_id, reason=Ending.VETOED, detail="", at=forger.now))
    return forger.draft(request, fee=30_000), request


def test_a_veto_that_did_not_end_its_transfer_stops_the_next_officer(forger, visits):
    del visits
    log, request = forger.log(), forger.request()
    drafted = forger.draft(request)
    veto = forger.approval(drafted, OFFICERS[2], verdict=Opinion.VETO)
    story = forger.story(drafted, Stage.APPROVE, request=request, approvals=[veto])
    log.write(kinds.REQUESTED, request)
    log.tell(story)
    with refuses("VETOED") as caught:
        forger.examine(log.evidence(drafted.transfer_id, story.previous), Stage.APPROVE)
    assert caught.error.officer == OFFICERS[2]


def test_another_draft_of_a_vetoed_request_is_refused(forger, stage):
    log = forger.log()
    drafted, request = drafted_twice(forger, log, ends=True)
    with refuses("VETOED") as caught:
        forger.judge(drafted, stage, log=log, request=request, ask=False)
    assert caught.error.officer == OFFICERS[2]


def test_the_coordinator_drafts_nothing_of_a_vetoed_request(story):
    drafted, _ = story.drafted(story.request(PAYMENT))
    evidence = story.custodian.evidence(drafted.transfer_id)
    story.custodian.approve(story.approval(evidence, OFFICERS[0], Opinion.VETO))
    with refuses("VETOED") as caught:
        story.custodian.draft(drafted.identity.request, RATE)
    assert caught.error.officer == OFFICERS[0]
    assert len(story.spendable) == 3


def test_a_new_request_for_the_same_names_the_veto_at_every_desk_and_station(story):
    drafted, _ = story.drafted(story.request(PAYMENT, (TAX_OFFICE, 1_000_000)))
    evidence = story.custodian.evidence(drafted.transfer_id)
    story.custodian.approve(story.approval(evidence, OFFICERS[0], Opinion.VETO))
    again = story.authorized(story.request(PAYMENT))
    found = story.stations[0].examine(story.custodian.evidence(again), Stage.SIGN)
    (alike,) = found.vetoed_alike
    assert (alike.officer, alike.transfer) == (OFFICERS[0], drafted.transfer_id)
    assert (alike.payee, alike.amount) == PAYMENT
    text = examination_screen(found, story.chain.now())
    assert f"{OFFICERS[0]} vetoed {sats(25_000_000)} to {SUPPLIER}: transfer {drafted.transfer_id.hex()}" in text
    (told,) = examination_data(found)["vetoed_before"]
    assert told == {
        "officer": OFFICERS[0],
        "transfer": drafted.transfer_id.hex(),
        "payee": SUPPLIER,
        "amount": 25_000_000,
    }


def test_another_amount_or_payee_names_no_veto(story):
    drafted, _ = story.drafted(story.request(PAYMENT))
    evidence = story.custodian.evidence(drafted.transfer_id)
    story.custodian.approve(story.approval(evidence, OFFICERS[0], Opinion.VETO))
    for payment in ((SUPPLIER, 25_000_001), (TAX_OFFICE, 25_000_000)):
        other, _ = story.drafted(story.request(payment))
        found = story.stations[0].examine(story.custodian.evidence(other.transfer_id), Stage.APPROVE)
        assert found.vetoed_alike == ()
        assert "Vetoed before" not in examination_screen(found, story.chain.now())


def test_of_many_vetoes_the_newest_are_named(story):
    vetoed = []
    for _ in range(MOST_ALIKE + 1):
        drafted, _ = story.drafted(story.request(PAYMENT))
        vetoed.append(drafted.transfer_id)
        evidence = story.custodian.evidence(drafted.transfer_id)
        story.custodian.approve(story.approval(evidence, OFFICERS[0], Opinion.VETO))
    other, _ = story.drafted(story.request(PAYMENT))
    found = story.stations[0].examine(story.custodian.evidence(other.transfer_id), Stage.APPROVE)
    assert [each.transfer for each in found.vetoed_alike] == vetoed[:0:-1]
