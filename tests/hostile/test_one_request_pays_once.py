"""A request is a signed order; a coordinator that drafts it twice and has both approved would pay it twice."""

from collections.abc import Iterator

import pytest

from custody.testing.asserts import refuses
from custody.testing.scenario import Scenario


@pytest.fixture
def story() -> Iterator[Scenario]:
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


def test_a_request_is_not_drafted_beside_its_live_transfer(story):
    request = story.request()
    story.drafted(request)
    with refuses("REQUEST_IN_USE"):
        story.custodian.draft(story.custodian.submit(request).digest())


def test_a_paid_request_is_not_drafted_again(story):
    request = story.request()
    story.confirmed(request)
    with refuses("REQUEST_IN_USE"):
        story.custodian.draft(story.custodian.submit(request).digest())


def test_a_request_whose_transfer_was_withdrawn_may_be_drafted_again(story):
    request = story.request()
    draft, _ = story.drafted(request)
    story.custodian.withdraw(story.withdrawal(draft.transfer_id))
    again = story.custodian.draft(story.custodian.submit(request).digest(), 7_000)
    assert again.transfer_id != draft.transfer_id
