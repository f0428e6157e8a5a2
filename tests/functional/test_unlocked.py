"""Nobody holds the store while a node or a judge is asked; what changes meanwhile counts; long looks go in batches."""

from dataclasses import replace

import pytest

from custody import looking
from custody.custodian import Custodian
from custody.delivery import _judged_still
from custody.history import kinds, tables
from custody.ports import NodeUnavailable
from custody.testing.asserts import refuses
from custody.testing.cast import Setting
from custody.testing.memory import InMemoryStore
from custody.testing.scenario import Scenario
from custody.testing.theft import steal_coin
from custody.transfer.request import Purpose
from custody.transfer.settlement import Ending
from custody.transfer.state import Status
from custody.units import Network


class Asked:
    """The real thing; before each of its methods answers, `meanwhile` runs."""

    def __init__(self, real, meanwhile, *only):
        self._real, self._meanwhile, self._only = real, meanwhile, only
        self.count = 0

    def __getattr__(self, name):
        found = getattr(self._real, name)
        if not callable(found) or (self._only and name not in self._only):
            return found

        def asked(*arguments):
            self.count += 1
            self._meanwhile()
            return found(*arguments)

        return asked


class Once:
    """Runs an action the first time it is called, and not while it runs."""

    def __init__(self, action):
        self._action = action

    def __call__(self):
        action, self._action = self._action, None
        if action is not None:
            action()


@pytest.fixture
def story():
    story = Scenario.begin(Setting(confirmations=2))
    # Whoever finds the store taken is told at once.
    story.store._busy_seconds = 0
    story.chain.fund(4)
    story.custodian.observe()
    for amount in (60_000_000, 40_000_000, 30_000_000):
        story.deposit(amount)
    story.mine(2)
    yield story
    story.close()


def custodian(story, **outside):
    return Custodian(
        story.store, story.cast.digest, story.cast.coordinator, replace(story.custodian._outside, **outside)
    )


def from_scratch(story, **outside):
    store = InMemoryStore(Network.REGTEST, story.cast.charter.origin, busy_seconds=0)
    fresh = Custodian(store, story.cast.digest, story.cast.coordinator, replace(story.custodian._outside, **outside))
    fresh.adopt_charter(story.cast.envelope)
    return fresh


def known(history):
    return {
        row.outpoint: (row.block, row.height, row.is_mature, row.spent_by)
        for _, row in history.state.scan(tables.HOLDINGS)
    }


def entered(store):
    with store.read() as view:
        return [entry.head.entry for entry in view.entries()]


def free(store):
    """Fails when somebody holds the store."""

    def look():
        with store.transaction():
            pass

    return look


# --- the store is free ------------------------------------------------------------------------------------------------


def test_a_store_that_is_taken_is_noticed_by_these_tests(story):
    with story.store.transaction(), refuses("STORE_BUSY"):
        free(story.store)()


def test_the_store_is_free_while_a_node_is_asked_about_blocks(story):
    transfer_id = story.sent()
    story.chain.mine(3)
    story.chain.reorganise(1)
    view = Asked(story.chain.view, free(story.store))
    assert kinds.CONFIRMED in custodian(story, views=(view,)).observe().added
    assert view.count > 5
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    story.chain.reorganise(4, leave_out=[story.transfer(transfer_id).release.txid])
    assert kinds.UNCONFIRMED in custodian(story, views=(view,)).observe().added


def test_the_store_is_free_while_a_transfer_is_judged_and_sent(story):
    transfer_id = story.authorized()
    for cosigner in (0, 1):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    story.custodian.combine(transfer_id)
    judges = tuple(Asked(judge, free(story.store)) for judge in story.custodian._outside.judges)
    relay = Asked(story.chain.view, free(story.store))
    asked = custodian(story, judges=judges, relay=relay)
    assert asked.verify(transfer_id).judges == ("libbitcoinkernel", "python-bitcointx")
    asked.release(transfer_id)
    asked.deliver()
    assert asked.underway()
    assert all(each.count >= 2 for each in (*judges, relay))


def test_the_store_is_free_while_a_passphrase_is_typed(story):
    # What signs as the coordinator opens its key file when it is first needed, and asks a person for the passphrase.
    key = Asked(story.cast.coordinator, free(story.store), "sign")
    asked = Custodian(story.store, story.cast.digest, key, story.custodian._outside)
    transfer_id = story.authorized()
    asked.showing.checkpoint()
    asked.evidence(transfer_id)
    signed = key.count
    for cosigner in (0, 1):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    story.custodian.combine(transfer_id)
    story.custodian.verify(transfer_id)
    asked.release(transfer_id)
    asked.seal()
    list(asked.showing.log_file())
    assert key.count > signed > 0


def test_the_store_is_free_while_a_fee_is_asked_for(story):
    request = story.custodian.submit(story.request())
    relay = Asked(story.chain.view, free(story.store))
    assert custodian(story, relay=relay).draft(request.digest()).rate == 2_000
    assert relay.count


# --- what changes while judges think ----------------------------------------------------------------------------------


def combined(story):
    transfer_id = story.authorized()
    for cosigner in (0, 1):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    story.custodian.combine(transfer_id)
    return transfer_id


def with_judge(story, action):
    first, *others = story.custodian._outside.judges
    return custodian(story, judges=(Asked(first, Once(action), "judge"), *others))


def test_two_that_verify_at_once_enter_it_once(story):
    transfer_id = combined(story)
    slow = with_judge(story, lambda: story.custodian.verify(transfer_id))
    assert slow.verify(transfer_id) == story.transfer(transfer_id).verified
    assert entered(story.store).count(kinds.VERIFIED) == 1


def test_two_that_release_at_once_queue_it_once(story):
    transfer_id = combined(story)
    story.custodian.verify(transfer_id)
    slow = with_judge(story, lambda: story.custodian.release(transfer_id))
    assert slow.release(transfer_id) == story.transfer(transfer_id).release
    assert entered(story.store).count(kinds.RELEASED) == 1
    with story.store.read() as view:
        assert len(view.outbox()) == 1


def test_what_is_over_when_the_judges_have_thought_is_not_verified(story):
    transfer_id = combined(story)

    def supersede():
        story.sent(story.request(purpose=Purpose.CANCELLATION, replaces=(transfer_id,)), rate=20_000)
        story.mine(2)

    with refuses("OUT_OF_TURN"):
        with_judge(story, supersede).verify(transfer_id)
    assert story.transfer(transfer_id).ended.reason is Ending.SUPERSEDED
    assert story.transfer(transfer_id).verified is None


def test_what_is_frozen_when_the_judges_have_thought_is_not_released(story):
    transfer_id = combined(story)
    story.custodian.verify(transfer_id)

    def steal():
        steal_coin(story)
        story.mine()

    with refuses("FROZEN"):
        with_judge(story, steal).release(transfer_id)
    with story.store.read() as view:
        assert view.outbox() == ()
    assert story.transfer(transfer_id).status is Status.VERIFIED


def test_other_bytes_than_the_judges_saw_are_not_entered(story):
    transfer_id, other = combined(story), combined(story)
    seen = story.custodian.verify(other)
    with story.custodian._work() as work, refuses("STATE_CHANGED") as caught:
        _judged_still(work, work.history.transfer(transfer_id), seen)
    assert caught.error.expected == seen.txid[::-1].hex()
    with story.custodian._work() as work:
        assert _judged_still(work, work.history.transfer(other), seen).judges == seen.judges


def test_what_has_no_signatures_any_more_is_not_entered(story):
    transfer_id, other = story.authorized(), combined(story)
    seen = story.custodian.verify(other)
    with story.custodian._work() as work, refuses("STATE_CHANGED"):
        _judged_still(work, work.history.transfer(transfer_id), seen)


# --- two looks at once ------------------------------------------------------------------------------------------------


def test_a_look_that_another_has_overtaken_begins_again_and_enters_nothing_twice(story):
    story.deposit(5_000_000)
    story.chain.mine(3)
    view = Asked(story.chain.view, Once(story.custodian.observe), "block")
    late = custodian(story, views=(view,))
    before = len(entered(story.store))
    assert late.observe().added == ()
    added = entered(story.store)[before:]
    assert sorted(added) == [kinds.CHAIN_SEEN, kinds.COIN_MATURED, kinds.DEPOSIT_SEEN]
    assert known(late.history()) == known(from_scratch_seen(story))


def from_scratch_seen(story):
    fresh = from_scratch(story)
    fresh.observe()
    return fresh.history()


def test_a_look_that_was_overtaken_by_one_of_a_newer_chain_tells_of_that(story):
    outpoint = story.deposit(5_000_000)
    story.chain.mine(2)

    def other():
        story.chain.reorganise(2, leave_out=[outpoint.txid])
        story.custodian.observe()

    # Everything is read, and nothing entered yet.
    clock = Asked(story.chain, Once(other), "now")
    assert custodian(story, clock=clock).observe().height == story.chain.view.tip().height
    assert outpoint not in story.holdings
    assert known(story.history()) == known(from_scratch_seen(story))


def test_a_chain_that_moves_between_the_fork_and_its_first_block_is_not_read_over(story):
    outpoint = story.deposit(5_000_000)
    story.mine()
    assert outpoint in story.holdings
    story.chain.mine()
    moved = Asked(story.chain.view, Once(lambda: story.chain.reorganise(2, leave_out=[outpoint.txid])), "first_block")
    before = len(entered(story.store))
    with refuses("CHAIN_MOVED"):
        custodian(story, views=(moved,)).observe()
    assert len(entered(story.store)) == before
    story.custodian.observe()
    assert outpoint not in story.holdings


# --- long looks -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["blocks", "transactions"])
def in_batches(request, monkeypatch):
    """Batches of seven blocks, however much stands in them; or of one, as each holds a transaction."""
    if request.param == "blocks":
        monkeypatch.setattr(looking, "BATCH_BLOCKS", 7)
    else:
        monkeypatch.setattr(looking, "BATCH_TRANSACTIONS", 1)
    return 7 if request.param == "blocks" else 1


def long_story(story):
    """Deposits, a transfer and its change along sixty blocks; the log that saw each block."""
    for amount in (1_000_000, 2_000_000, 3_000_000):
        story.deposit(amount)
        story.mine(7)
    transfer_id = story.confirmed()
    story.mine(30)
    return story.transfer(transfer_id)


def test_a_long_look_tells_the_same_as_many_short_ones_and_how_far_it_is(story, in_batches):
    expected = from_scratch_seen(story)
    height = story.chain.view.tip().height
    told = []
    late = from_scratch(story)
    seen = late.observe(lambda reached, goal: told.append((reached, goal)))
    assert seen.height == height
    assert known(late.history()) == known(expected)
    # To a log that gave out no address these lie far ahead: all blocks are read once more for what lies further.
    once = [(reached, height) for reached in range(in_batches - 1, height, in_batches)]
    assert told[: len(once)] == once
    assert told[len(once) :] == sorted(told[len(once) :])
    assert told[-1] == (height, height)
    assert list(seen.added) == entered(late._showing.store)[2:]
    # Coins mature when the tip is reached, and are not to be had before.
    first = seen.added.index(kinds.COIN_MATURED)
    assert set(seen.added[first:]) == {kinds.COIN_MATURED}
    assert late.observe().added == ()


@pytest.mark.usefixtures("in_batches")
def test_a_look_in_batches_follows_transfers_as_a_whole_one_does(story):
    # The coordinator sleeps from the moment it has sent until long after.
    transfer_id = story.sent()
    txid = story.transfer(transfer_id).release.txid
    story.chain.mine(20)
    story.custodian.observe()
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    story.chain.reorganise(20, leave_out=[txid])
    added = story.custodian.observe().added
    assert added.count(kinds.UNCONFIRMED) == 1
    assert story.transfer(transfer_id).status is Status.BROADCAST
    assert known(story.history()).keys() == known(from_scratch_seen(story)).keys()


def test_a_look_that_is_ended_half_way_goes_on_where_it_came_to(story, in_batches):
    height = story.chain.view.tip().height

    asked = []

    def ended():
        asked.append(1)
        if len(asked) == 50:
            raise NodeUnavailable(node="the node", reason="it went away")

    late = from_scratch(story, views=(Asked(story.chain.view, ended, "block"),))
    with refuses("NODE_UNAVAILABLE"):
        late.observe()
    reached = late.history().height
    assert reached == 49 // in_batches * in_batches - 1
    goes_on = Custodian(late._showing.store, story.cast.digest, story.cast.coordinator, story.custodian._outside)
    told = []
    assert goes_on.observe(lambda at, _: told.append(at)).height == height
    assert told[0] == reached + in_batches
    assert known(goes_on.history()) == known(from_scratch_seen(story))


def test_a_chain_that_moves_between_two_batches_is_followed(story, in_batches):
    outpoint = story.deposit(5_000_000)
    story.chain.mine(10)
    late = from_scratch(story)
    tip = story.chain.view.tip().height

    def moves(reached, _):
        if reached >= tip - in_batches and story.chain.view.tip().height == tip:
            story.chain.reorganise(10, leave_out=[outpoint.txid])

    late.observe(moves)
    assert late.history().height == tip + 1
    assert outpoint not in known(late.history())
    assert known(late.history()) == known(from_scratch_seen(story))


class Stopped(Exception):
    """By whoever looks at the chain, after a batch."""


def test_two_long_looks_at_once_divide_the_work(story, in_batches):
    store = InMemoryStore(Network.REGTEST, story.cast.charter.origin, busy_seconds=0)
    outside = story.custodian._outside
    one = Custodian(store, story.cast.digest, story.cast.coordinator, outside)
    one.adopt_charter(story.cast.envelope)
    heights = []

    def batch_of_the_other(reached, goal):
        heights.append(reached)
        if reached + 3 * in_batches < goal:
            look = Custodian(store, story.cast.digest, story.cast.coordinator, outside)
            with pytest.raises(Stopped):
                look.observe(stop)

    def stop(*_):
        raise Stopped

    one.observe(batch_of_the_other)
    # Once for all of it, and once more for what lies further ahead than the deposits that were found.
    again = next((at for at in range(1, len(heights)) if heights[at] < heights[at - 1]), len(heights))
    assert heights[:again] == sorted(heights[:again])
    assert heights[again:] == sorted(heights[again:])
    assert known(one.history()) == known(from_scratch_seen(story))
    assert entered(store).count(kinds.DEPOSIT_SEEN) == len(known(one.history()))
