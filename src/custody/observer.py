"""What one look at the chain adds to the log: new blocks, what a reorganisation took back, what became final.

1. Find the newest block seen before that is still part of the chain.
2. Take back deposits, confirmations and spends whose blocks no longer are. A spend that froze everything stays until
   the chain is higher than where it stood: headers show then that its block has lost its place.
3. Scan every block from there to the tip for deposits and spends. Which scripts and coins are ours, rows say. A block
   without its network's work, or whose transactions are not its header's, is not believed.
4. A spend is a transfer's, or it is older than the charter, or everything is frozen. A transfer that was sent before
   its release is settled like others, and told.
5. Deposits deep enough become coins; spends deep enough settle their transfers; what expired unsigned ends.

All views must agree on the tip before anything is believed. Looking twice adds nothing: whatever a block says is
entered once, however often the block is read.

The node is asked while nobody holds the store, a batch of blocks at a time, and each batch is entered in one unit of
work. When somebody else has looked at the chain in between, the batch is let go and read again from where they came to.
A long look that is ended half-way is taken up again after its last batch. A deposit far ahead has all blocks read once
more (ADR 0032): a coin even further ahead may stand in one that was read before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from custody.bitcoin.work import Displaced
from custody.clock import by_block, refuse_behind
from custody.entering import enter_found, expire, mature, places_above, reverse_thefts, see_chain, settle, take_back
from custody.history import lists
from custody.history.entry import AnyKind
from custody.history.kinds import BY_NAME
from custody.history.questions import History
from custody.logbook import Logbook, Work
from custody.looking import (
    ChainMoved,
    Place,
    agreed_tip,
    displaced_blocks,
    fork_of,
    is_gone,
    lowest_read,
    newest_place,
    next_blocks,
)
from custody.ports import ChainView, Clock
from custody.transfer.observe import BlockView, Tip
from custody.watching import Found, Overdue, find_ours, overdue

Progress: TypeAlias = Callable[[int, int], None]
"""Told the height that was reached, and the one to be reached."""
Finder: TypeAlias = Callable[[History, Sequence[BlockView]], list[Found]]
"""Given the history as it is and some blocks, it says what in each of them is ours."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at the chain added to the log, by kind of entry.

    `unread` are blocks that were due to be read once more, and that the node has pruned: coins far ahead may be there.
    """

    height: int
    added: tuple[AnyKind, ...]
    unread: range = range(0)


@dataclass(frozen=True, slots=True)
class Since:
    """From which block on blocks are read again, and how many addresses are watched beyond those in use at least."""

    height: int
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class _Look:
    """What the node said to a log whose newest block was `since`.

    `fork` is the height up to which what the log says still holds. When `forked` (the block there) is given, blocks
    above it are gone: `lost` are those that the log names. `displaced` show which blocks with a spend that froze
    everything have lost their places. `blocks` follow the fork, up to `tip` or as far as a batch goes.
    """

    since: Place | None
    tip: Tip
    fork: int
    forked: Tip | None
    lost: frozenset[Place]
    displaced: Mapping[bytes, Displaced]
    blocks: tuple[BlockView, ...]

    @property
    def reached(self) -> Tip:
        """The block up to which everything was read."""
        if self.blocks:
            last = self.blocks[-1]
            return Tip(last.height, last.hash, last.time)
        return self.tip

    @property
    def is_whole(self) -> bool:
        """Whether it reaches the tip."""
        return self.reached.height == self.tip.height


def observe(
    logbook: Logbook, clock: Clock, views: Sequence[ChainView], progress: Progress | None = None
) -> Observation:
    """Bring the log up to the tip that all `views` share.

    Raises:
        ViewsDisagree: they do not share one.
        NodeNotReady: a node is still downloading the chain.
        NodeUnavailable: a node does not answer.
        ClockSkew: our clock is not that of the chain, or of the log's witnesses.
        BlockUnknown: the node has pruned a block that was not looked at yet.
        ChainMoved: the chain changed while it was read.
        BlockWork, BlockEncoding: a block is none that its network would take.
    """
    added: list[AnyKind] = []
    while True:
        history = logbook.read()
        look = _look(history, views, clock.now())
        found = find_ours(logbook, clock, history, look.blocks)
        with logbook.write(clock.now()) as work:
            # Whoever looked meanwhile has come further: their blocks count, and this look begins again above them.
            is_ours = newest_place(work.history) == look.since
            if is_ours:
                added += _enter(work, look, found)
        if is_ours and look.is_whole:
            more, unread = _catch_up(logbook, clock, views[0], progress)
            return Observation(look.tip.height, (*added, *more), unread)
        if progress is not None:
            progress(look.reached.height, look.tip.height)


def look_again(
    logbook: Logbook, clock: Clock, views: Sequence[ChainView], since: Since, progress: Progress | None = None
) -> Observation:
    """Read blocks again, or some from before any birthday, for coins that nobody watched for when they were read.

    After a look like any other: from `since` up to the newest block that was looked at. What is found is entered as it
    would have been then; a deposit that was erased stays erased.

    Raises:
        CustodyError: as `observe`. What was entered by then stays.
    """
    seen = observe(logbook, clock, views, progress)

    def find(history: History, blocks: Sequence[BlockView]) -> list[Found]:
        return find_ours(logbook, clock, history, blocks, since.ahead)

    added, _ = _read_again(logbook, clock, views[0], since.height, find, progress)
    more, unread = _catch_up(logbook, clock, views[0], progress)
    # What the node has pruned lies below everything that it can be asked for: the longer range holds the other.
    return Observation(seen.height, (*seen.added, *added, *more), max(seen.unread, unread, key=len))


def _catch_up(
    logbook: Logbook, clock: Clock, view: ChainView, progress: Progress | None
) -> tuple[list[AnyKind], range]:
    """Look through every block again for what deposits far ahead have moved into the windows.

    The kinds of the entries, and the heights that it should have read and that the node has pruned: nobody can ask it
    for these, and what comes from now on must be watched for all the same. Ended half-way, it is begun again by the
    next look.
    """
    added: list[AnyKind] = []
    unread = range(0)
    while True:
        history = logbook.read()
        late, top = overdue(logbook, history), newest_place(history)
        if late is None or top is None:
            return added, unread

        def find(history: History, blocks: Sequence[BlockView], late: Overdue = late) -> list[Found]:
            return late.find(logbook, clock, history, blocks)

        due = lowest_read(history) + 1
        first = max(due, view.first_block())
        unread = max(unread, range(due, first), key=len)
        more, reached = _read_again(logbook, clock, view, first, find, progress)
        added += more
        # Whoever looked meanwhile has come further, and not for these.
        if newest_place(logbook.read()) == reached:
            late.watch(logbook, clock)


def _read_again(
    logbook: Logbook, clock: Clock, view: ChainView, first: int, find: Finder, progress: Progress | None
) -> tuple[list[AnyKind], Place | None]:
    """Read blocks again from height `first` to the newest that was looked at; the kinds of the entries, and which.

    Raises:
        ChainMoved: the chain changed, or somebody else looked at it.
    """
    added: list[AnyKind] = []
    top, fork, before = newest_place(logbook.read()), first - 1, None
    while top is not None and fork < top.height:
        history = logbook.read()
        if is_gone(view, top):
            raise ChainMoved(height=top.height)
        tip = Tip(top.height, top.block, clock.now())
        blocks = tuple(next_blocks(view, fork, before, tip))
        found = [each.told(history) for each in find(history, blocks)]
        with logbook.write(clock.now()) as work:
            if newest_place(work.history) != top:
                raise ChainMoved(height=top.height)
            size = work.store.size
            enter_found(work, found)
            mature(work, tip)
            added += [BY_NAME[each.head.entry] for each in work.store.entries(size)]
        fork, before = blocks[-1].height, blocks[-1].hash
        if progress is not None:
            progress(fork, tip.height)
    return added, top


def _look(history: History, views: Sequence[ChainView], now: int) -> _Look:
    """Ask the node; nothing is entered."""
    tip = agreed_tip(views, now)
    view = views[0]
    since = newest_place(history)
    fork, block = fork_of(history, view)
    displaced = displaced_blocks(history, view, tip)
    if since is None or block == since.block:
        blocks = _timely(next_blocks(view, fork, block, tip), now)
        return _Look(since, tip, fork, None, frozenset(), displaced, blocks)
    # What was seen above is forgotten, or a chain that comes back would pass for one that was read.
    height = min(max(fork, 0), tip.height)
    header = view.header(height)
    if height == fork and block not in (None, header.hash):
        raise ChainMoved(height=height)
    lost = frozenset(place for place in places_above(history, height) if is_gone(view, place))
    blocks = _timely(next_blocks(view, height, header.hash, tip), now)
    return _Look(since, tip, height, Tip(height, header.hash, header.time), lost, displaced, blocks)


def _timely(blocks: Iterable[BlockView], now: int) -> tuple[BlockView, ...]:
    """The same blocks, when none is of a time that nodes do not take yet: it would stand in the log as told time.

    Raises:
        ClockSkew: one is.
    """
    found = tuple(blocks)
    refuse_behind(now, (by_block(each.time) for each in found))
    return found


def _enter(work: Work, look: _Look, found: Iterable[Found]) -> list[AnyKind]:
    """Enter what the node said; the kinds of the entries."""
    before = work.store.size
    if look.forked is not None:
        see_chain(work, look.forked)
        take_back(work, look.lost)
    reverse_thefts(work, look.displaced)
    enter_found(work, found)
    if lists.newest_block(work.history) is None or look.reached.height > look.fork:
        see_chain(work, look.reached)
    if look.is_whole:
        mature(work, look.tip)
        settle(work, look.tip)
        expire(work)
    return [BY_NAME[each.head.entry] for each in work.store.entries(before)]
