"""What do nodes say of the chain since the log looked, and is it to be believed?

All views must agree on the tip before anything is believed. A block is taken from the first of them, with its
network's work, with a target that follows from the one before it, and with the transactions that its header commits to.
Nothing is entered here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.block import BlockHeader, check_transactions
from custody.bitcoin.work import Displaced, check_follows, check_work
from custody.clock import by_block, refuse_behind, refuse_silent
from custody.errors import BackendError
from custody.history import lists, tables
from custody.history.questions import History
from custody.history.tables import TakenRow
from custody.ports import BlockUnknown, ChainView, NodeNotReady, NodeUnavailable
from custody.transfer.observe import (
    BlockView,
    PastClosed,
    Tip,
    UnexplainedSpend,
)

OUTPOINT: Final = 36
"""Bytes of an outpoint as part of a key."""
BATCH_BLOCKS: Final = 1_000
"""Blocks at most that are read before they are entered."""
BATCH_TRANSACTIONS: Final = 50_000
"""Transactions after which a batch ends: a dozen full blocks, some 50 MB of what is kept of them."""


class ViewsDisagree(BackendError, code="VIEWS_DISAGREE"):
    """Two nodes see different chains."""

    message = "at height {height} one node has block {first}, another {second}"
    hint = "Wait until the nodes agree, and find out which one is wrong before relying on either."
    height: int
    first: str
    second: str


class ChainMoved(BackendError, code="CHAIN_MOVED"):
    """A chain that changed while it was read."""

    message = "the block at height {height} does not follow the one read before it"
    hint = "Look again: nothing of it was entered."
    height: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block stands."""

    height: int
    block: bytes


def past_closed(views: Sequence[ChainView], now: int) -> PastClosed | None:
    """Up to where spends are older than a charter that is adopted now; None when no node can say.

    Raises:
        ViewsDisagree: nodes see different chains.
        ClockSkew: our clock is not theirs.
    """
    tip = tip_if_any(views, now)
    return None if tip is None else PastClosed(height=tip.height, block=tip.hash, at=now)


def seen_height(views: Sequence[ChainView], now: int) -> int:
    """Where the chain stands, looked at or not; 0 when no node can say.

    Raises:
        ViewsDisagree: nodes see different chains.
        ClockSkew: our clock is not theirs.
    """
    tip = tip_if_any(views, now)
    return 0 if tip is None else tip.height


def tip_if_any(views: Sequence[ChainView], now: int) -> Tip | None:
    """The highest block that all views have; None when there is no view, or one cannot say.

    Raises:
        ViewsDisagree: they see different chains.
        ClockSkew: our clock is not theirs.
    """
    try:
        return agreed_tip(views, now) if views else None
    except (NodeUnavailable, NodeNotReady):
        return None


def agreed_tip(views: Sequence[ChainView], now: int) -> Tip:
    """The highest block that all views have, and that a clock which says `now` (Unix seconds) can have.

    Raises:
        NodeNotReady: one is still downloading the chain.
        ViewsDisagree: they see different chains.
        ClockSkew: our clock is not theirs.
    """
    tips = [view.tip() for view in views]
    for view in views:
        if view.is_initial_download():
            raise NodeNotReady(reason="it is still downloading the chain")
    lowest = min(tips, key=lambda tip: tip.height)
    for view in views:
        other = view.block_hash(lowest.height)
        if other != lowest.hash:
            first, second = lowest.hash[::-1].hex(), other[::-1].hex()
            raise ViewsDisagree(height=lowest.height, first=first, second=second)
    for view, tip in zip(views, tips, strict=True):
        refuse_behind(now, [by_block(tip.time)])
        refuse_silent(now, tip.time, view.network)
    return lowest


def newest_place(history: History) -> Place | None:
    """The highest block that the log has looked at."""
    newest = lists.newest_block(history)
    return None if newest is None else Place(newest[0], newest[1].block)


def fork_of(history: History, view: ChainView) -> tuple[int, bytes | None]:
    """Up to where what was scanned still holds: the newest such block, or a height below everything scanned."""
    lowest = lowest_read(history)
    for height, seen in lists.blocks(history):
        if not is_gone(view, Place(height, seen.block)):
            return height, seen.block
        lowest = min(lowest, height)
    return lowest, None


def lowest_read(history: History) -> int:
    """The height above which blocks are read: coins may have been taken in from before any birthday."""
    first = next(history.state.scan(tables.IN_BLOCKS), None)
    lowest = lowest_birthday(history) - 1
    return lowest if first is None else min(lowest, int.from_bytes(first[0][:4], "big") - 1)


def lowest_birthday(history: History) -> int:
    """The height from which on blocks must be looked at: that of the oldest vault."""
    return min(entry.birthday for entry in history.charter.vaults)


def is_gone(view: ChainView, place: Place) -> bool:
    """Whether the block that stood at a place is no longer part of the chain."""
    try:
        return view.block_hash(place.height) != place.block
    except BlockUnknown:
        return True


def next_blocks(view: ChainView, fork: int, block: bytes | None, tip: Tip) -> Iterator[BlockView]:
    """The next blocks above `fork` towards `tip`, each following the one before; the first follows `block`, if any.

    Raises:
        BlockUnknown: the node has pruned some of them.
        ChainMoved: one does not follow.
        BlockWork, BlockEncoding: one is none that its network would take.
    """
    if fork >= tip.height:
        return
    _refuse_pruned(range(fork + 1, view.first_block()))
    before, read = view.header(fork) if fork >= 0 else None, 0
    if before is not None and block not in (None, before.hash):
        raise ChainMoved(height=fork)
    for height in range(fork + 1, min(fork + BATCH_BLOCKS, tip.height) + 1):
        found = view.block(height)
        is_next = before is None or found.previous == before.hash
        if not is_next or (height == tip.height and found.hash != tip.hash):
            raise ChainMoved(height=height)
        check_work(found.header, height, view.network)
        if before is not None:
            check_follows(found.header, before, height, view.network)
        check_transactions(found.header, found.transactions)
        before = found.header
        yield found
        read += len(found.transactions)
        if read >= BATCH_TRANSACTIONS:
            return


def pruned_unread(history: History, first_block: int, tip: int) -> range:
    """Heights that are still to be looked at, of which a node that has blocks from `first_block` on has none."""
    newest = newest_place(history)
    due = lowest_birthday(history) if newest is None else newest.height + 1
    return range(due, first_block) if due <= tip else range(0)


def refuse_pruned_unread(history: History, view: ChainView) -> None:
    """Pass when the node has every block that is still to be looked at.

    Raises:
        BlockUnknown: with the heights that it has not.
    """
    _refuse_pruned(pruned_unread(history, view.first_block(), view.tip().height))


def _refuse_pruned(missing: range) -> None:
    if missing:
        heights = f"heights {missing[0]} to {missing[-1]}" if len(missing) > 1 else f"height {missing[0]}"
        reason = f"they are still to be looked at, and it has pruned them: it gives blocks from {missing.stop} on"
        raise BlockUnknown(block=heights, reason=reason)


def displaced_blocks(history: History, view: ChainView, tip: Tip) -> dict[bytes, Displaced]:
    """By hash, the blocks with a spend that froze everything which have lost their places, and what shows it.

    Raises:
        ChainMoved: the chain changed while it was read.
        BlockWork: the node's headers do not show it.
    """
    taken = {key[OUTPOINT:]: row for key, row in history.state.scan(tables.TAKEN)}
    found = {}
    for block, row in taken.items():
        # Until the chain is higher, a node that lost its newest blocks would look the same.
        if row.height < tip.height and is_gone(view, Place(row.height, block)):
            shown = _shown_displaced(history, view, row)
            if shown is not None:
                found[block] = shown
    return found


def _shown_displaced(history: History, view: ChainView, row: TakenRow) -> Displaced | None:
    """Headers above the newest block from before a spend that is still part of the chain; None when there is none."""
    known = ((height, each) for height, each in lists.blocks(history) if height < row.height and each.first < row.at)
    fork = next(((height, each) for height, each in known if not is_gone(view, Place(height, each.block))), None)
    if fork is None:
        return None
    since, seen = fork
    branch = tuple(view.header(height) for height in range(since + 1, row.height + 2))
    lost = BlockHeader(history.read(UnexplainedSpend, row.at).header)
    shown = Displaced(lost, row.height, since, seen.block, branch)
    shown.check(view.network)
    return shown
