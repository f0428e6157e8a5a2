"""Nothing is drafted or released on a node whose newest block is old, except where blocks come when asked for."""

from dataclasses import replace

import pytest

from custody.custodian import MAX_TIP_AGE, Custodian, why_unready
from custody.testing.asserts import refuses
from custody.testing.scenario import Scenario
from custody.transfer.state import Status
from custody.units import Network


class Elsewhere:
    """A chain that says it is another network's: blocks of those cannot be mined here."""

    def __init__(self, view, network):
        self._view = view
        self.network = network

    def __getattr__(self, name):
        return getattr(self._view, name)


PUBLIC = [Network.MAIN, Network.TESTNET4, Network.SIGNET]


@pytest.fixture
def story():
    story = Scenario.funded()
    yield story
    story.close()


def custodian_on(story, *networks):
    views = tuple(Elsewhere(story.chain.view, network) for network in networks)
    outside = replace(story.custodian._outside, views=views)
    return Custodian(story.store, story.cast.digest, story.cast.coordinator, outside)


@pytest.mark.parametrize("network", PUBLIC)
def test_an_old_tip_stops_a_draft_until_a_block_comes(story, network):
    custodian = custodian_on(story, network)
    request = custodian.submit(story.request())
    story.chain.wait(MAX_TIP_AGE + 60)
    with refuses("NODE_NOT_READY") as caught:
        custodian.draft(request.digest())
    assert "121 minutes old" in caught.error.reason
    story.chain.mine()
    assert custodian.draft(request.digest()).transfer_id


def test_an_old_tip_stops_a_release_and_nothing_is_queued(story):
    transfer_id = story.authorized()
    story.signed(transfer_id)
    custodian = custodian_on(story, Network.MAIN)
    story.chain.wait(MAX_TIP_AGE + 1)
    with refuses("NODE_NOT_READY"):
        custodian.release(transfer_id)
    with story.store.read() as view:
        assert view.outbox() == ()
    assert story.transfer(transfer_id).status is Status.VERIFIED
    story.chain.mine()
    assert custodian.release(transfer_id).transfer == transfer_id


def test_one_old_view_among_several_is_enough(story):
    custodian = custodian_on(story, Network.REGTEST, Network.MAIN)
    request = custodian.submit(story.request())
    story.chain.wait(MAX_TIP_AGE + 1)
    with refuses("NODE_NOT_READY"):
        custodian.draft(request.digest())


def test_looking_at_an_old_chain_is_allowed(story):
    story.chain.wait(10 * MAX_TIP_AGE)
    assert custodian_on(story, Network.MAIN).observe().height == story.chain.view.tip().height


@pytest.mark.parametrize("network", list(Network))
def test_the_age_is_judged_from_the_second_after_the_limit_and_never_on_regtest(story, network):
    view = Elsewhere(story.chain.view, network)
    newest = view.tip().time
    assert why_unready(view, newest + MAX_TIP_AGE) is None
    assert why_unready(view, newest - 60) is None
    reason = why_unready(view, newest + MAX_TIP_AGE + 1)
    assert (reason is None) == (network is Network.REGTEST)
