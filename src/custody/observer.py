"""What one look at the chain adds to the log: new blocks, what a reorganisation took back, what became final.

1. Find the newest block seen before that is still part of the chain.
2. Take back deposits and confirmations whose blocks no longer are.
3. Scan every block from there to the tip for deposits and spends.
4. Deposits deep enough become coins; spends deep enough settle their transfers; what expired unsigned ends.

All views must agree on the tip before anything is believed. Looking twice adds nothing: whatever a block says is
entered once, however often the block is read.

The node is asked while nobody holds the store, a batch of blocks at a time, and each batch is entered in one unit of
work. When somebody else has looked at the chain in between, the batch is let go and read again from where they came to.
A long look that is ended half-way is taken up again after its last batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from custody.errors import BackendError
from custody.logbook import Logbook, Work
from custody.ports import BlockUnknown, ChainView, Clock, NodeNotReady
from custody.transfer.history import History
from custody.transfer.observe import (
    BlockView,
    ChainSeen,
    CoinMatured,
    DepositReversed,
    SpendSeen,
    Tip,
    UnexplainedSpend,
    deposits_in,
    spends_in,
)
from custody.transfer.settlement import Confirmation, Ending, Unconfirmation
from custody.transfer.state import Kind, Transfer
from custody.units import HARDENED
from custody.vault.coins import ScriptIndex, depth
from custody.vault.descriptor import Branch, Vault

RECEIVE_GAP: Final = 1_000
"""Receive addresses watched beyond the next unused one: restored wallets and old lists pay further on (THREATS C8)."""
CHANGE_GAP: Final = 100
"""The same for change, whose indexes nobody but a draft gives out."""
BATCH_BLOCKS: Final = 1_000
"""Blocks at most that are read before they are entered."""
BATCH_TRANSACTIONS: Final = 50_000
"""Transactions after which a batch ends: a dozen full blocks, some 50 MB of what is kept of them."""

Progress: TypeAlias = Callable[[int, int], None]
"""Told the height that was reached, and the one to be reached."""


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
class Observation:
    """What one look at the chain added to the log, by kind of entry."""

    height: int
    added: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a block stands."""

    height: int
    block: bytes


@dataclass(frozen=True, slots=True)
class _Look:
    """What the node said to a log whose newest block was `since`.

    `fork` is the height up to which what the log says still holds. When `fork_block` is given, blocks above it are
    gone: `lost` are those that the log names. `blocks` follow the fork, up to `tip` or as far as a batch goes.
    """

    since: ChainSeen | None
    tip: Tip
    fork: int
    fork_block: bytes | None
    lost: frozenset[_Place]
    blocks: tuple[BlockView, ...]

    @property
    def reached(self) -> _Place:
        """The block up to which everything was read."""
        if self.blocks:
            return _Place(self.blocks[-1].height, self.blocks[-1].hash)
        return _Place(self.tip.height, self.tip.hash)

    @property
    def is_whole(self) -> bool:
        """Whether it reaches the tip."""
        return self.reached.height == self.tip.height


class Lookout:
    """The scripts that are looked for, derived once and kept between looks; none of it comes from the log."""

    def __init__(self) -> None:
        self._scripts = ScriptIndex()

    def scripts(self, history: History) -> ScriptIndex:
        """Those of every vault, ahead of each address given out and each deposit seen."""
        furthest: dict[tuple[bytes, int], int] = {}
        for holding in history.holdings.values():
            place = (holding.seen.vault, holding.seen.branch)
            furthest[place] = max(furthest.get(place, -1), holding.seen.index)
        for entry in history.charter.vaults:
            vault = history.charter.vault(entry.name)
            for branch in Branch:
                used = max(history.next_index(vault.id, branch), furthest.get((vault.id, branch), -1) + 1)
                _look_ahead(self._scripts, vault, branch, used)
        return self._scripts


def observe(
    logbook: Logbook, clock: Clock, views: Sequence[ChainView], lookout: Lookout, progress: Progress | None = None
) -> Observation:
    """Bring the log up to the tip that all `views` share.

    Raises:
        ViewsDisagree: they do not share one.
        NodeNotReady: a node is still downloading the chain.
        NodeUnavailable: a node does not answer.
        BlockUnknown: the node has pruned a block that was not looked at yet.
        ChainMoved: the chain changed while it was read.
    """
    added: list[Kind] = []
    while True:
        history = logbook.read()
        look = _look(history, views)
        # The scripts take a moment to derive the first time; nobody has to wait for that either.
        lookout.scripts(history)
        with logbook.write(clock.now()) as work:
            # Whoever looked meanwhile has come further: their blocks count, and this look begins again above them.
            is_ours = _newest(work.history) == look.since
            if is_ours:
                added += _enter(work, look, lookout)
        if is_ours and look.is_whole:
            return Observation(look.tip.height, tuple(added))
        if progress is not None:
            progress(look.reached.height, look.tip.height)


def _newest(history: History) -> ChainSeen | None:
    return history.tips[-1] if history.tips else None


def _look(history: History, views: Sequence[ChainView]) -> _Look:
    """Ask the node; nothing is entered."""
    tip = _agreed_tip(views)
    view = views[0]
    since = _newest(history)
    fork, block = _fork(history, view)
    if since is None or block == since.block:
        return _Look(since, tip, fork, None, frozenset(), tuple(_batch(view, fork, block, tip)))
    # What was seen above is forgotten, or a chain that comes back would pass for one that was read.
    height = min(max(fork, 0), tip.height)
    if block is None or height != fork:
        block = view.block_hash(height)
    lost = frozenset(place for place in _places_above(history, height) if _is_gone(view, place))
    return _Look(since, tip, height, block, lost, tuple(_batch(view, height, block, tip)))


def _enter(work: Work, look: _Look, lookout: Lookout) -> list[Kind]:
    """Enter what the node said; the kinds of the entries."""
    before = work.store.size
    if look.fork_block is not None:
        _see_chain(work, _Place(look.fork, look.fork_block))
        _take_back(work, look.lost)
    _scan(work, look.blocks, lookout.scripts(work.history))
    if not work.history.tips or look.reached.height > look.fork:
        _see_chain(work, look.reached)
    if look.is_whole:
        _mature(work, look.tip)
        _settle(work, look.tip)
        _expire(work)
    return [Kind(each.head.entry) for each in work.store.entries(before)]


def _see_chain(work: Work, place: _Place) -> None:
    work.append(Kind.CHAIN_SEEN, ChainSeen(height=place.height, block=place.block, at=work.now))


def _agreed_tip(views: Sequence[ChainView]) -> Tip:
    """The highest block that all views have."""
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
    return lowest


def _fork(history: History, view: ChainView) -> tuple[int, bytes | None]:
    """Up to where what was scanned still holds: the newest such block, or a height below everything scanned."""
    for seen in reversed(history.tips):
        if not _is_gone(view, _Place(seen.height, seen.block)):
            return seen.height, seen.block
    return min([lowest_birthday(history) - 1, *(seen.height for seen in history.tips[:1])]), None


def lowest_birthday(history: History) -> int:
    """The height from which on blocks must be looked at: that of the oldest vault."""
    return min(entry.birthday for entry in history.charter.vaults)


def _is_gone(view: ChainView, place: _Place) -> bool:
    """Whether the block that stood at a place is no longer part of the chain."""
    try:
        return view.block_hash(place.height) != place.block
    except BlockUnknown:
        return True


def _places_above(history: History, fork: int) -> frozenset[_Place]:
    """Every block above `fork` that the log names for a deposit or a transfer."""
    spends = [each.seen for each in history.transfers.values() if each.seen is not None]
    places = {_Place(each.height, each.block) for each in spends}
    places |= {_Place(each.seen.height, each.seen.block) for each in history.holdings.values()}
    return frozenset(each for each in places if each.height > fork)


def _take_back(work: Work, lost: frozenset[_Place]) -> None:
    """Reverse what stood in blocks that are no longer part of the chain."""
    for transfer in list(work.history.transfers.values()):
        seen = transfer.seen
        if seen is not None and _Place(seen.height, seen.block) in lost:
            gone = Unconfirmation(transfer=transfer.id, txid=seen.txid, block=seen.block, at=work.now)
            work.append(Kind.UNCONFIRMED, gone, transfer.id)
            _hold_again(work, work.history.members(transfer.group))
    for holding in list(work.history.holdings.values()):
        deposit = holding.seen
        if _Place(deposit.height, deposit.block) in lost:
            reversed_ = DepositReversed(txid=deposit.txid, vout=deposit.vout, block=deposit.block, at=work.now)
            work.append(Kind.DEPOSIT_REVERSED, reversed_, deposit.txid)


def _hold_again(work: Work, transfers: Iterable[Transfer]) -> None:
    """What is live again holds its coins again and waits to be sent again, and so do its children."""
    for transfer in transfers:
        if not transfer.is_live:
            continue
        # A coin that was free since may be another's by now; then only one of the two can confirm.
        group = transfer.group
        ours = [each for each in transfer.draft.outpoints if work.store.holder(each) in (None, group)]
        work.store.hold(ours, group)
        _queue(work, [transfer])
        _hold_again(work, work.history.children(transfer))


def _queue(work: Work, transfers: Iterable[Transfer]) -> None:
    """Have those that were released and may still confirm sent again, unless nodes throw out what they spend."""
    for transfer in transfers:
        is_sendable = transfer.is_live and transfer.release is not None and not work.history.is_stranded(transfer)
        if is_sendable and transfer.verified is not None:
            work.store.queue(transfer.id, transfer.verified.raw, work.now)


def _dequeue(work: Work, transfer: Transfer) -> None:
    """Send a transfer no more; a child whose parent is being replaced was taken out already."""
    if any(row.transfer_id == transfer.id for row in work.store.outbox()):
        work.store.dequeue(transfer.id)


def _batch(view: ChainView, fork: int, block: bytes | None, tip: Tip) -> Iterator[BlockView]:
    """The next blocks above `fork` towards `tip`, each following the one before; the first follows `block`, if any.

    Raises:
        BlockUnknown: the node has pruned some of them.
        ChainMoved: one does not follow.
    """
    if fork < tip.height:
        _refuse_pruned(range(fork + 1, view.first_block()))
    previous, read = block, 0
    for height in range(fork + 1, min(fork + BATCH_BLOCKS, tip.height) + 1):
        found = view.block(height)
        if previous not in (None, found.previous) or (height == tip.height and found.hash != tip.hash):
            raise ChainMoved(height=height)
        previous = found.hash
        yield found
        read += len(found.transactions)
        if read >= BATCH_TRANSACTIONS:
            return


def pruned_unread(history: History, first_block: int, tip: int) -> range:
    """Heights that are still to be looked at, of which a node that has blocks from `first_block` on has none."""
    newest = _newest(history)
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


def _look_ahead(scripts: ScriptIndex, vault: Vault, branch: Branch, used: int) -> bool:
    """Widen the window to well beyond `used` indexes of a branch; whether that made it wider."""
    gap = RECEIVE_GAP if branch is Branch.RECEIVE else CHANGE_GAP
    return scripts.grow(vault, branch, min(used + gap, HARDENED))


def _scan(work: Work, blocks: Iterable[BlockView], scripts: ScriptIndex) -> None:
    released = {each.release.txid: each for each in work.history.transfers.values() if each.release is not None}
    for block in blocks:
        # A deposit far ahead moves the window with it; what stood behind it in the same block is found then.
        while _scan_deposits(work, block, scripts):
            pass
        _scan_spends(work, block, released)


def _scan_deposits(work: Work, block: BlockView, scripts: ScriptIndex) -> bool:
    """Enter the deposits of a block; whether a window grew, so that there may be more."""
    has_grown = False
    for deposit in deposits_in(block, scripts.find, work.now):
        if deposit.deposit.outpoint not in work.history.holdings:
            work.append(Kind.DEPOSIT_SEEN, deposit, deposit.txid)
            _, vault = work.history.charter.vault_by_id(deposit.vault)
            has_grown |= _look_ahead(scripts, vault, Branch(deposit.branch), deposit.index + 1)
    return has_grown


def _scan_spends(work: Work, block: BlockView, released: Mapping[bytes, Transfer]) -> None:
    for spend in spends_in(block, work.history.holdings):
        transfer = released.get(spend.spender)
        if transfer is not None:
            if transfer.seen is None:
                seen = SpendSeen(
                    transfer=transfer.id, txid=spend.spender, block=spend.block, height=spend.height, at=work.now
                )
                work.append(Kind.SPEND_SEEN, seen, transfer.id)
                _queue(work, work.history.children(transfer))
        elif work.history.holdings[spend.outpoint].spent_by != spend.spender:
            theft = UnexplainedSpend(
                txid=spend.outpoint.txid,
                vout=spend.outpoint.index,
                spender=spend.spender,
                block=spend.block,
                height=spend.height,
                at=work.now,
            )
            work.append(Kind.UNEXPLAINED_SPEND, theft, spend.outpoint.txid)


def _mature(work: Work, tip: Tip) -> None:
    confirmations = {
        work.history.charter.vault(entry.name).id: entry.confirmations for entry in work.history.charter.vaults
    }
    for holding in list(work.history.holdings.values()):
        seen = holding.seen
        if (
            not holding.is_mature
            and holding.spent_by is None
            and holding.deposit.is_mature(tip.height, confirmations[seen.vault])
        ):
            matured = CoinMatured(txid=seen.txid, vout=seen.vout, block=seen.block, at=work.now)
            work.append(Kind.COIN_MATURED, matured, seen.txid)


def _settle(work: Work, tip: Tip) -> None:
    for transfer in work.history.live():
        seen = transfer.seen
        if seen is None:
            continue
        entry, _ = work.history.charter.vault_by_id(transfer.draft.identity.vault)
        if depth(seen.height, tip.height) < entry.confirmations:
            continue
        confirmation = Confirmation(
            transfer=transfer.id, txid=seen.txid, block=seen.block, height=seen.height, at=work.now
        )
        work.append(Kind.CONFIRMED, confirmation, transfer.id)
        _dequeue(work, transfer)
        _end_others(work, transfer)
        work.free(transfer)


def _expire(work: Work) -> None:
    """End what may be ended: a transfer that expired before anybody was asked to sign."""
    for transfer in work.history.live():
        if not transfer.is_bearer and transfer.request.expires <= work.now:
            work.end(transfer, Ending.EXPIRED, "its request expired before signatures were requested")


def _end_others(work: Work, confirmed: Transfer) -> None:
    """Everything that conflicts with a confirmed transfer is over: one of its coins is spent and buried."""
    for other in work.history.members(confirmed.group):
        if other.is_live:
            _supersede(work, other, f"by {confirmed.id.hex()}")


def _supersede(work: Work, transfer: Transfer, detail: str) -> None:
    """End a transfer that can never confirm, and with it what spends its outputs."""
    _dequeue(work, transfer)
    work.end(transfer, Ending.SUPERSEDED, detail)
    for child in work.history.children(transfer):
        if child.is_live:
            _supersede(work, child, f"with {transfer.id.hex()}, which it spends")
