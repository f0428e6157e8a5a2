"""However a coordinator came to look at the chain, its log ends as that of one who reads the chain from nothing.

Looks are cut and killed, the chain is reorganised, and for a while the node has fewer blocks than it had. Coins come
within the windows, and far ahead of them, in any order.
"""

import random
from dataclasses import replace

import pytest

from custody import looking
from custody.bitcoin.transaction import OutPoint
from custody.custodian import Custodian, Outside
from custody.history import kinds, tables
from custody.history.questions import History
from custody.observer import Since
from custody.ports import BlockUnknown, BlockView, Tip
from custody.testing.cast import Setting
from custody.testing.chain import RegtestChain
from custody.testing.memory import InMemoryStore
from custody.testing.scenario import Scenario
from custody.transfer.proposal import CHANGE_GAP
from custody.units import Network
from custody.vault.descriptor import Branch
from custody.watching import RECEIVE_GAP

GAPS = {Branch.RECEIVE: RECEIVE_GAP, Branch.CHANGE: CHANGE_GAP}
FIRST_BATCH = 1_000


class Killed(Exception):
    """What ends a look half-way, between two of its units of work."""


class Moody:
    """A node that may know fewer blocks than there are, and on which whoever asks may die."""

    def __init__(self, chain: RegtestChain) -> None:
        self._view = chain.view
        self.hidden = 0
        self.patience: int | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._view, name)

    def tip(self) -> Tip:
        top = self._view.tip()
        if not self.hidden:
            return top
        header = self._view.header(top.height - self.hidden)
        return Tip(top.height - self.hidden, header.hash, header.time)

    def block_hash(self, height: int) -> bytes:
        if height > self.tip().height:
            raise BlockUnknown(block=f"height {height}", reason="it is hidden")
        return self._view.block_hash(height)

    def block(self, height: int) -> BlockView:
        if self.patience is not None:
            self.patience -= 1
            if self.patience < 0:
                raise Killed
        return self._view.block(height)


def coordinator(story: Scenario, view: object, store: object) -> Custodian:
    outside: Outside = replace(story.custodian._outside, views=(view,))
    return Custodian(store, story.cast.digest, story.cast.coordinator, outside)


def coins(history: History) -> dict[OutPoint, tuple[bytes, int, int, bool]]:
    return {
        row.outpoint: (row.block, row.height, row.amount, row.is_mature)
        for _, row in history.state.scan(tables.HOLDINGS)
    }


def from_nothing(story: Scenario, view: object) -> dict[OutPoint, tuple[bytes, int, int, bool]]:
    custodian = coordinator(story, view, InMemoryStore(Network.REGTEST, story.cast.charter.origin))
    custodian.adopt_charter(story.cast.envelope)
    custodian.observe()
    return coins(custodian.history())


def pay(story: Scenario, branch: Branch, index: int) -> OutPoint:
    return story.chain.pay(story.cast.vault.script_pubkey(branch, index), 1_000_000)


def play(seed: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One random story; its end is compared with a scan from nothing."""
    chance = random.Random(seed)  # noqa: S311 - the same story on every run
    with RegtestChain().fund(4) as chain:
        story = Scenario.begin(Setting(confirmations=chance.randrange(1, 5)), chain=chain)
        view = Moody(chain)
        paid: list[OutPoint] = []
        for _ in range(steps):
            step = chance.choice(["pay", "pay", "mine", "look", "look", "reorganise", "shorten", "again"])
            if step == "pay":
                branch = chance.choice(list(Branch))
                index = chance.choice([chance.randrange(20), chance.randrange(3 * GAPS[branch]), GAPS[branch] - 1])
                paid.append(pay(story, branch, index))
                chain.mine()
            elif step == "mine":
                chain.mine(chance.randrange(1, 5))
            elif step == "reorganise":
                left_out = {each.txid for each in paid[-3:] if chance.random() < 0.5}
                chain.reorganise(chance.randrange(1, 6), leave_out=left_out)
            elif step == "shorten":
                view.hidden = chance.randrange(6)
            else:
                monkeypatch.setattr(looking, "BATCH_BLOCKS", chance.choice([1, 3, 7, FIRST_BATCH]))
                view.patience = chance.choice([None, chance.randrange(12), chance.randrange(150)])
                # Each look is another process's: what was known stands in the store alone.
                custodian = coordinator(story, view, story.store)
                try:
                    custodian.observe(since=Since(chance.randrange(100)) if step == "again" else None)
                except Killed:
                    continue
        view.hidden, view.patience = chance.choice([0, 0, 1, 4]), None
        coordinator(story, view, story.store).observe()
        monkeypatch.setattr(looking, "BATCH_BLOCKS", FIRST_BATCH)
        known, found = coins(story.history()), from_nothing(story, view)
        # A window does not shrink when the deposit that moved it is taken back: more may be known, and never other.
        assert {each: known.get(each) for each in found} == found
        for block, height, _, _ in known.values():
            assert view.block_hash(height) == block


@pytest.mark.parametrize("seed", [1, 5, 7])
def test_any_story_ends_as_a_scan_from_nothing(seed, monkeypatch):
    play(seed, 24, monkeypatch)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 200))
def test_any_long_story_ends_as_a_scan_from_nothing(seed, monkeypatch):
    play(seed, 60, monkeypatch)


def test_a_coin_that_is_not_deep_enough_any_more_waits_again(begin):
    story = begin(setting=Setting(confirmations=3))
    before = pay(story, Branch.RECEIVE, 0)
    story.mine()
    coin = pay(story, Branch.RECEIVE, 1)
    for _ in range(3):
        story.mine()
    view = Moody(story.chain)
    custodian = coordinator(story, view, story.store)
    view.hidden = 1
    assert custodian.observe().added == (kinds.CHAIN_SEEN,)
    known = coins(story.history())
    assert (known[before][-1], known[coin][-1]) == (True, False)
    assert coin not in {each.outpoint for each in story.spendable}
    assert known == from_nothing(story, view)
    view.hidden = 0
    # The one that stayed deep enough has matured once.
    assert custodian.observe().added.count(kinds.COIN_MATURED) == 1
    assert coins(story.history())[coin][-1]


@pytest.mark.parametrize("branch", list(Branch))
def test_a_coin_far_ahead_that_came_before_the_one_that_moved_the_window_is_found(begin, branch):
    story = begin()
    far = pay(story, branch, 2 * GAPS[branch] - 10)
    story.mine()
    near = pay(story, branch, GAPS[branch] - 5)
    farthest = pay(story, branch, 3 * GAPS[branch] - 15)
    story.mine()
    assert {far, near, farthest} <= set(coins(story.history()))
    assert story.custodian.observe().added == ()


def test_reading_again_for_a_window_that_moved_is_begun_again_when_it_was_cut(begin):
    story = begin()
    far = pay(story, Branch.RECEIVE, 2 * RECEIVE_GAP - 10)
    story.mine()
    near = pay(story, Branch.RECEIVE, RECEIVE_GAP - 5)
    story.chain.mine()
    view = Moody(story.chain)
    view.patience = 5
    with pytest.raises(Killed):
        coordinator(story, view, story.store).observe()
    assert (near in coins(story.history()), far in coins(story.history())) == (True, False)
    # Meanwhile more addresses are given out than the coin is ahead: the window may not jump over what is still due.
    view.patience = None
    story.chain.mine()
    coordinator(story, view, story.store).observe()
    assert far in coins(story.history())


def test_blocks_are_read_once_where_deposits_come_to_addresses_that_were_given_out(begin):
    story = begin()
    for _ in range(3):
        story.deposit(1_000_000)
        story.chain.mine()
        view = Moody(story.chain)
        view.patience = 1
        assert kinds.DEPOSIT_SEEN in coordinator(story, view, story.store).observe().added
