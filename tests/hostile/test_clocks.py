"""What does a wrong clock do, whosever it is? It stops what goes on by it, and ends nothing. (THREATS D12)"""

from contextlib import closing
from dataclasses import replace

import pytest

from custody.clock import BLOCK_AHEAD, CLOCK_SKEW, MAX_AGE, MAX_SILENCE
from custody.custodian import Custodian
from custody.examine.evidence import Stage
from custody.examine.shown import noted_at
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, Setting, SoftwareWitness, expected
from custody.testing.scenario import HOUR, RATE, RememberedState, Scenario
from custody.transfer.approval import Opinion
from custody.transfer.settlement import Ending
from custody.units import Network
from custody.words import show_words

DAY = 24 * HOUR
YEAR = 365 * DAY


class Moved:
    """A clock that is wrong by so many seconds, until somebody sets it."""

    def __init__(self, chain, by):
        self.chain, self.by = chain, by

    def now(self):
        return self.chain.now() + self.by


class Elsewhere:
    """A chain that says it is another network's."""

    def __init__(self, view, network):
        self._view, self.network = view, network

    def __getattr__(self, name):
        return getattr(self._view, name)


class Dated:
    """A chain whose node says another time of its newest block than its header does."""

    def __init__(self, view, by):
        self._view, self._by = view, by

    def __getattr__(self, name):
        return getattr(self._view, name)

    def tip(self):
        return replace(self._view.tip(), time=self._view.tip().time + self._by)


@pytest.fixture(params=["witnessed", "not witnessed"])
def story(request):
    story = Scenario.funded(setting=Setting(is_witnessed=request.param == "witnessed"))
    yield story
    story.close()


@pytest.fixture
def witnessed():
    story = Scenario.funded()
    yield story
    story.close()


def custodian_of(story, by=0, **changes):
    outside = replace(story.custodian._outside, clock=Moved(story.chain, by), **changes)
    return Custodian(story.store, story.cast.digest, story.cast.coordinator, outside)


def at_wrong_time(story, by):
    """A station of somebody's whose clock is wrong."""
    station = Station(RememberedState(), Moved(story.chain, by))
    station.trust(story.cast.envelope, show_words(story.cast.digest))
    return station


def decided(story, lifetime=72 * HOUR):
    """A transfer that waits for its approvals; its id."""
    return story.drafted(story.request(lifetime=lifetime))[0].transfer_id


# --- the coordinator's ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [BLOCK_AHEAD + 1, DAY, YEAR, 1_735_689_600])
def test_a_coordinator_whose_clock_is_behind_the_newest_block_enters_nothing(story, behind):
    transfer_id, paper = decided(story), story.request()
    approval = story.approval(story.custodian.evidence(transfer_id), OFFICERS[0])
    size, late = story.history().size, custodian_of(story, -behind)
    steps = (
        late.observe,
        lambda: late.submit(paper),
        lambda: late.approve(approval),
        lambda: late.withdraw(story.withdrawal(transfer_id)),
        lambda: late.authorize(transfer_id),
        lambda: late.issue_address("reserve", expected("case 18")),
        late.seal,
    )
    for step in steps:
        with refuses("CLOCK_SKEW"):
            step()
    assert story.history().size == size
    story.custodian.approve(approval)
    assert story.custodian.submit(paper)


def test_a_block_may_be_as_far_ahead_of_us_as_nodes_take_it_and_no_second_further(story):
    now, newest = story.chain.now(), story.chain.view.tip().time
    behind = now - newest + BLOCK_AHEAD
    assert custodian_of(story, -behind).observe().added == ()
    with refuses("CLOCK_SKEW"):
        custodian_of(story, -behind - 1).observe()


def test_a_coordinator_whose_clock_is_behind_what_witnesses_cosigned_enters_nothing(witnessed):
    transfer_id = decided(witnessed)
    witnessed.chain.wait(HOUR)
    witnessed.approved(transfer_id, OFFICERS[:1])
    size = witnessed.history().size
    with refuses("CLOCK_SKEW") as caught:
        custodian_of(witnessed, -CLOCK_SKEW - 1).authorize(transfer_id)
    assert "witnesses" in str(caught.error)
    # By the newest block alone, an hour is not too much.
    with refuses("APPROVAL_MISSING"):
        custodian_of(witnessed, -CLOCK_SKEW).authorize(transfer_id)
    assert witnessed.history().size == size


@pytest.mark.parametrize("network", list(Network))
def test_a_single_look_a_year_ahead_ends_nothing_that_people_agreed(story, network):
    transfer_id = decided(story)
    story.approved(transfer_id)
    ahead = custodian_of(story, YEAR, views=(Elsewhere(story.chain.view, network),))
    if network in (Network.MAIN, Network.TESTNET4):
        with refuses("CLOCK_SKEW"):
            ahead.observe()
    else:
        ahead.observe()
    for step in (ahead.authorize, ahead.request_signatures):
        with refuses("APPROVAL_EXPIRED" if step == ahead.authorize else "STEP_EARLY"):
            step(transfer_id)
    assert story.transfer(transfer_id).is_live
    story.custodian.authorize(transfer_id)
    story.custodian.request_signatures(transfer_id)
    assert story.signature(transfer_id, 0)


@pytest.mark.parametrize("network", [Network.MAIN, Network.TESTNET4])
def test_a_clock_may_be_a_day_ahead_of_the_newest_block_and_no_second_more(story, network):
    views = (Elsewhere(story.chain.view, network),)
    ahead = story.chain.view.tip().time + MAX_SILENCE - story.chain.now()
    assert custodian_of(story, ahead, views=views).observe().added == ()
    with refuses("CLOCK_SKEW"):
        custodian_of(story, ahead + 1, views=views).observe()
    with refuses("CLOCK_SKEW"):
        custodian_of(story, ahead + 1, views=views).issue_address("reserve", expected("case 18"))


def test_where_blocks_come_when_asked_for_a_chain_may_rest(story):
    for network in (Network.REGTEST, Network.SIGNET):
        views = (Elsewhere(story.chain.view, network),)
        assert custodian_of(story, YEAR, views=views).issue_address("reserve", expected("case 18"))


def test_what_has_expired_by_blocks_too_ends(story):
    transfer_id = decided(story, lifetime=HOUR)
    story.chain.wait(HOUR + BLOCK_AHEAD)
    story.custodian.observe()
    assert story.transfer(transfer_id).is_live
    story.mine()
    assert story.transfer(transfer_id).ended.reason is Ending.EXPIRED


def test_what_has_expired_by_witnesses_too_ends(witnessed):
    transfer_id, other = decided(witnessed, lifetime=2 * HOUR), decided(witnessed)
    witnessed.chain.wait(2 * HOUR + CLOCK_SKEW)
    witnessed.custodian.observe()
    assert witnessed.transfer(transfer_id).is_live
    witnessed.approved(other, OFFICERS[:1])
    witnessed.custodian.observe()
    assert witnessed.transfer(transfer_id).ended.reason is Ending.EXPIRED


# --- a node's ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", list(Network))
def test_a_node_whose_newest_block_is_ahead_is_not_drafted_released_or_looked_by(story, network):
    request = story.custodian.submit(story.request())
    signed = story.authorized()
    story.signed(signed)
    size = story.history().size
    view = Elsewhere(Dated(story.chain.view, BLOCK_AHEAD + DAY), network)
    ahead = custodian_of(story, views=(view,))
    steps = (
        ahead.observe,
        lambda: ahead.draft(request.digest(), RATE),
        lambda: ahead.release(signed),
        lambda: ahead.issue_address("reserve", expected("case 18")),
    )
    for step in steps:
        with refuses("CLOCK_SKEW") as caught:
            step()
        assert "newest block" in str(caught.error)
    assert story.history().size == size


def test_one_node_that_is_ahead_among_two_is_enough(story):
    views = (story.chain.view, Dated(story.chain.view, BLOCK_AHEAD + DAY))
    with refuses("CLOCK_SKEW"):
        custodian_of(story, views=views).observe()


# --- an officer's -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [-1_735_689_600, -YEAR, -DAY, MAX_AGE + DAY, YEAR])
def test_an_officer_whose_clock_cannot_be_right_approves_nothing(story, by):
    evidence = story.custodian.evidence(decided(story))
    with refuses("CLOCK_SKEW"):
        at_wrong_time(story, by).examine(evidence, Stage.APPROVE)


def refused_and_given_again(story, transfer_id, by, code):
    officer, evidence = OFFICERS[0], story.custodian.evidence(transfer_id)
    signer, nonce = story.cast.people[officer], story.chance.nonce()
    wrong = at_wrong_time(story, by).approve(evidence, signer, Opinion.APPROVE, nonce)
    with refuses(code):
        story.custodian.approve(wrong)
    assert story.transfer(transfer_id).opinions == ()
    story.approved(transfer_id)
    story.custodian.authorize(transfer_id)
    story.custodian.request_signatures(transfer_id)
    assert story.signature(transfer_id, 0)


@pytest.mark.parametrize("by", [CLOCK_SKEW + 1, HOUR, 71 * HOUR])
def test_an_approval_dated_ahead_is_not_counted_and_can_be_given_again(story, by):
    refused_and_given_again(story, decided(story), by, "APPROVAL_NOT_YET")


def test_an_approval_dated_before_the_draft_is_not_counted_and_can_be_given_again():
    with closing(Scenario.funded(setting=Setting(is_witnessed=False))) as story:
        request = story.custodian.submit(story.request())
        story.chain.wait(HOUR)
        transfer_id = story.custodian.draft(request.digest(), RATE).transfer_id
        story.custodian.decide(transfer_id)
        refused_and_given_again(story, transfer_id, -HOUR, "APPROVAL_BEFORE_DRAFT")


def test_where_no_witness_tells_the_time_a_request_does():
    with closing(Scenario.funded(setting=Setting(is_witnessed=False))) as story:
        evidence = story.custodian.evidence(decided(story))
        with refuses("REQUEST_NOT_YET"):
            at_wrong_time(story, -HOUR).examine(evidence, Stage.APPROVE)


def test_a_veto_counts_whatever_its_date(story):
    transfer_id = decided(story)
    evidence, signer = story.custodian.evidence(transfer_id), story.cast.people[OFFICERS[0]]
    veto = at_wrong_time(story, 71 * HOUR).approve(evidence, signer, Opinion.VETO, story.chance.nonce())
    story.custodian.approve(veto)
    assert story.transfer(transfer_id).ended.reason is Ending.VETOED


def test_a_request_by_a_clock_that_is_ahead_is_not_taken_and_is_once_its_time_has_come(story):
    paper = story.request()
    early = custodian_of(story, -CLOCK_SKEW - 1)
    with refuses("REQUEST_NOT_YET"):
        early.submit(paper)
    assert custodian_of(story, -CLOCK_SKEW).submit(paper)


# --- a cosigner's, and a witness's ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [-YEAR, -DAY, YEAR])
def test_a_station_whose_clock_cannot_be_right_signs_nothing(story, by):
    evidence = story.custodian.evidence(story.authorized())
    with refuses("CLOCK_SKEW"):
        at_wrong_time(story, by).sign(evidence, story.cast.signers[0])
    assert at_wrong_time(story, 0).sign(evidence, story.cast.signers[0])


def test_a_witness_whose_clock_is_ahead_is_not_kept_and_stops_nobody(witnessed):
    transfer_id = decided(witnessed)
    request = witnessed.custodian.showing.checkpoint()
    (witness,) = witnessed.witnesses
    fast = SoftwareWitness(witness._name, witness._signer, witness._log, Moved(witnessed.chain, YEAR))
    with refuses("CLOCK_SKEW") as caught:
        witnessed.custodian.showing.cosigned(fast.cosign(request))
    assert witness._name in str(caught.error)
    with refuses("CLOCK_SKEW"):
        custodian_of(witnessed, witnesses=(fast,)).evidence(transfer_id)
    assert witnessed.custodian.showing.cosigned(witness.cosign(request))
    witnessed.approved(transfer_id)


def test_clocks_that_were_wrong_together_are_set_right_together(witnessed):
    request = witnessed.custodian.showing.checkpoint()
    (witness,) = witnessed.witnesses
    fast = SoftwareWitness(witness._name, witness._signer, witness._log, Moved(witnessed.chain, YEAR))
    assert custodian_of(witnessed, YEAR).showing.cosigned(fast.cosign(request))
    with refuses("CLOCK_SKEW"):
        decided(witnessed)
    assert witnessed.custodian.showing.cosigned(witness.cosign(request))
    assert witnessed.approved(decided(witnessed)) is None


def test_so_many_witnesses_as_are_needed_tell_the_time_and_not_the_one_that_is_ahead(witnessed):
    request = witnessed.custodian.showing.checkpoint()
    signed = witnessed.witnesses[0].cosign(request)
    charter = witnessed.cast.charter
    witnesses, needed = frozenset(charter.witness_keys.items()), charter.witness_threshold
    assert noted_at(signed.text(), witnesses, needed) == witnessed.chain.now()
    assert noted_at(request.checkpoint, witnesses, needed) is None
