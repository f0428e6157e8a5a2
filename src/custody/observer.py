"""What one look at the chain adds to the log: new blocks, what a reorganisation took back, what became final.

1. Find the newest block seen before that is still part of the chain.
2. Take back deposits and confirmations whose blocks no longer are.
3. Scan every block from there to the tip for deposits and spends. Which scripts and coins are ours, rows say.
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

from custody.bitcoin.transaction import OutPoint, Transaction
from custody.errors import BackendError
from custody.history import kinds, lists, tables
from custody.history.entry import AnyKind
from custody.history.holdings import holding
from custody.history.kinds import BY_NAME
from custody.history.questions import History
from custody.history.relations import children, is_stranded, members
from custody.history.tables import height_key, outpoint_key, outpoint_of
from custody.logbook import Logbook, Work
from custody.ports import BlockUnknown, ChainView, Clock, NodeNotReady
from custody.transfer.observe import (
    BlockView,
    ChainSeen,
    CoinMatured,
    DepositReversed,
    DepositSeen,
    Spend,
    SpendSeen,
    Tip,
    UnexplainedSpend,
    deposits_in,
    spends_in,
)
from custody.transfer.proposal import CHANGE_GAP
from custody.transfer.settlement import Confirmation, Ending, Unconfirmation
from custody.transfer.state import Transfer
from custody.units import HARDENED
from custody.vault.coins import depth
from custody.vault.descriptor import Branch

RECEIVE_GAP: Final = 1_000
"""Receive addresses watched beyond the next unused one: restored wallets and old lists pay further on (THREATS C8)."""
BATCH_SCRIPTS: Final = 1_000
"""Scripts that are watched in one unit of work."""
DIGEST: Final = 32
"""Bytes of a TransferId; an outpoint has four more."""
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
    added: tuple[AnyKind, ...]


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

    since: _Place | None
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


@dataclass(frozen=True, slots=True)
class _Found:
    """What is ours in a block: deposits, each with its transaction, and spends of what we hold."""

    deposits: tuple[tuple[DepositSeen, Transaction], ...]
    spends: tuple[Spend, ...]


def observe(
    logbook: Logbook, clock: Clock, views: Sequence[ChainView], progress: Progress | None = None
) -> Observation:
    """Bring the log up to the tip that all `views` share.

    Raises:
        ViewsDisagree: they do not share one.
        NodeNotReady: a node is still downloading the chain.
        NodeUnavailable: a node does not answer.
        BlockUnknown: the node has pruned a block that was not looked at yet.
        ChainMoved: the chain changed while it was read.
    """
    added: list[AnyKind] = []
    while True:
        history = logbook.read()
        look = _look(history, views)
        found = _find(logbook, clock, history, look.blocks)
        with logbook.write(clock.now()) as work:
            # Whoever looked meanwhile has come further: their blocks count, and this look begins again above them.
            is_ours = _newest(work.history) == look.since
            if is_ours:
                added += _enter(work, look, found)
        if is_ours and look.is_whole:
            return Observation(look.tip.height, tuple(added))
        if progress is not None:
            progress(look.reached.height, look.tip.height)


# --- what is ours -----------------------------------------------------------------------------------------------------


def _find(logbook: Logbook, clock: Clock, history: History, blocks: Sequence[BlockView]) -> list[_Found]:
    """What is ours in each block. Everything is looked for at once, and while nobody holds the store.

    A deposit far ahead moves its window with it; what stands behind it in the same blocks is found then. Where no
    block is new, nothing has to be watched for.
    """
    if not blocks:
        return []
    used = _used(history, _vaults(history, logbook.windows()))
    scripts = {script for block in blocks for transaction in block.transactions for script in transaction.scripts}
    while True:
        _watch_ahead(logbook, clock, history, used)
        known = logbook.watched(scripts)
        deposits = [tuple(deposits_in(block, known.get, clock.now())) for block in blocks]
        before = dict(used)
        for seen in (seen for each in deposits for seen, _ in each):
            place = (seen.vault, seen.branch)
            used[place] = max(used.get(place, 0), seen.index + 1)
        if used == before:
            break
    coins = _coins(history, blocks) | {seen.deposit.outpoint for each in deposits for seen, _ in each}
    spends = [tuple(spends_in(block, coins)) for block in blocks]
    return [_Found(*each) for each in zip(deposits, spends, strict=True)]


def _vaults(history: History, windows: Iterable[tuple[bytes, int]]) -> set[bytes]:
    """The ids of all vaults. Once each has a window these say so, and no key has to be derived for it."""
    watched, charter = {vault_id for vault_id, _ in windows}, history.charter
    if len(watched) == len(charter.vaults):
        return watched
    return {charter.vault(entry.name).id for entry in charter.vaults}


def _used(history: History, vaults: Iterable[bytes]) -> dict[tuple[bytes, int], int]:
    """The first index of each vault and branch beyond every one that was issued, drafted or seen to be paid."""
    used = {(vault_id, branch.value): 0 for vault_id in vaults for branch in Branch}
    for table, beyond in ((tables.NEXT_INDEX, 0), (tables.FURTHEST, 1)):
        for key, row in history.state.scan(table):
            place = (key[:-1], key[-1])
            used[place] = max(used.get(place, 0), row.value + beyond)
    return used


def _watch_ahead(logbook: Logbook, clock: Clock, history: History, used: Mapping[tuple[bytes, int], int]) -> None:
    """Watch well beyond the used indexes of every branch. Scripts are derived before anybody has to wait."""
    due: list[tuple[bytes, Branch, int, list[bytes]]] = []
    for vault_id, branch, start, stop in _unwatched(logbook.windows(), used):
        due.append((vault_id, branch, start, history.charter.vault_by_id(vault_id)[1].scripts(branch, start, stop)))
        if sum(len(scripts) for *_, scripts in due) >= BATCH_SCRIPTS:
            _watch(logbook, clock, due)
            due = []
    if due:
        _watch(logbook, clock, due)


def _watch(logbook: Logbook, clock: Clock, due: Iterable[tuple[bytes, Branch, int, list[bytes]]]) -> None:
    with logbook.write(clock.now()) as work:
        for each in due:
            work.store.watch(*each)


def _unwatched(
    windows: Mapping[tuple[bytes, int], int], used: Mapping[tuple[bytes, int], int]
) -> Iterator[tuple[bytes, Branch, int, int]]:
    """Vaults, branches and ranges of indexes that are to be watched and are not, few at a time."""
    for (vault_id, number), index in used.items():
        branch = Branch(number)
        stop = min(index + (RECEIVE_GAP if branch is Branch.RECEIVE else CHANGE_GAP), HARDENED)
        for start in range(windows.get((vault_id, number), 0), stop, BATCH_SCRIPTS):
            yield vault_id, branch, start, min(stop, start + BATCH_SCRIPTS)


def _coins(history: History, blocks: Iterable[BlockView]) -> set[OutPoint]:
    """What the blocks spend of what we hold, and whatever released transfers spend: of that a deposit may be erased."""
    transactions = {each.txid: each for block in blocks for each in block.transactions[1:]}
    spent = {outpoint_key(outpoint): outpoint for each in transactions.values() for outpoint in each.spends}
    released = history.state.get_many(tables.RELEASED, transactions)
    ours = {outpoint for txid in released for outpoint in transactions[txid].spends}
    return ours | {spent[key] for key in history.state.get_many(tables.HOLDINGS, spent)}


# --- the chain --------------------------------------------------------------------------------------------------------


def _newest(history: History) -> _Place | None:
    newest = lists.newest_block(history)
    return None if newest is None else _Place(newest[0], newest[1].block)


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


def _enter(work: Work, look: _Look, found: Iterable[_Found]) -> list[AnyKind]:
    """Enter what the node said; the kinds of the entries."""
    before = work.store.size
    if look.fork_block is not None:
        _see_chain(work, _Place(look.fork, look.fork_block))
        _take_back(work, look.lost)
    _scan(work, found)
    if lists.newest_block(work.history) is None or look.reached.height > look.fork:
        _see_chain(work, look.reached)
    if look.is_whole:
        _mature(work, look.tip)
        _settle(work, look.tip)
        _expire(work)
    return [BY_NAME[each.head.entry] for each in work.store.entries(before)]


def _see_chain(work: Work, place: _Place) -> None:
    work.append(kinds.CHAIN_SEEN, ChainSeen(height=place.height, block=place.block, at=work.now))


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
    lowest = lowest_birthday(history) - 1
    for height, seen in lists.blocks(history):
        if not _is_gone(view, _Place(height, seen.block)):
            return height, seen.block
        lowest = min(lowest, height)
    return lowest, None


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
    return frozenset(place for place, _ in _standing_above(history, fork))


def _standing_above(history: History, fork: int) -> Iterator[tuple[_Place, bytes]]:
    """What stands in blocks above `fork`: the block, and an outpoint (36 bytes) or a transfer's id (32)."""
    for key, _ in history.state.scan(tables.IN_BLOCKS, height_key(fork + 1)):
        yield _Place(int.from_bytes(key[:4], "big"), key[4:36]), key[36:]


def _take_back(work: Work, lost: frozenset[_Place]) -> None:
    """Reverse what stood in blocks that are no longer part of the chain."""
    if not lost:
        return
    fork = min(place.height for place in lost) - 1
    gone_with = [what for place, what in _standing_above(work.history, fork) if place in lost]
    transfers = [work.history.transfer(what) for what in gone_with if len(what) == DIGEST]
    for transfer in sorted(transfers, key=lambda each: each.row.drafted):
        seen = transfer.seen
        if seen is not None:
            gone = Unconfirmation(transfer=transfer.id, txid=seen.txid, block=seen.block, at=work.now)
            work.append(kinds.UNCONFIRMED, gone)
            _hold_again(work, members(work.history, transfer.group))
    found = [holding(work.history, outpoint_of(what)) for what in gone_with if len(what) != DIGEST]
    for deposit in sorted((each for each in found if each is not None), key=lambda each: each.seen):
        reversed_ = DepositReversed(txid=deposit.txid, vout=deposit.vout, block=deposit.block, at=work.now)
        work.append(kinds.DEPOSIT_REVERSED, reversed_)


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
        _hold_again(work, children(work.history, transfer))


def _queue(work: Work, transfers: Iterable[Transfer]) -> None:
    """Have those that were released and may still confirm sent again, unless nodes throw out what they spend."""
    for transfer in transfers:
        is_sendable = transfer.is_live and transfer.release is not None and not is_stranded(work.history, transfer)
        if is_sendable and transfer.verified is not None:
            work.store.queue(transfer.id, transfer.verified.raw, work.now)


def _dequeue(work: Work, transfer: Transfer) -> None:
    """Send a transfer no more; a child whose parent is being replaced was taken out already."""
    if work.store.queued(transfer.id) is not None:
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


def _scan(work: Work, found: Iterable[_Found]) -> None:
    kept: set[bytes] = set()
    for each in found:
        for seen, transaction in each.deposits:
            if holding(work.history, seen.deposit.outpoint) is None:
                work.append(kinds.DEPOSIT_SEEN, seen)
                if seen.txid not in kept:
                    # Without its witness: a miner may change that, and a reorganisation must not change the evidence.
                    work.store.keep_document(seen.txid, transaction.stripped())
                    kept.add(seen.txid)
        for spend in each.spends:
            _see_spend(work, spend)


def _see_spend(work: Work, spend: Spend) -> None:
    coin = holding(work.history, spend.outpoint)
    released = work.state.get(tables.RELEASED, spend.spender)
    if released is not None:
        transfer = work.history.transfer(released.value)
        if transfer.seen is None:
            seen = SpendSeen(
                transfer=transfer.id, txid=spend.spender, block=spend.block, height=spend.height, at=work.now
            )
            work.append(kinds.SPEND_SEEN, seen)
            _queue(work, children(work.history, transfer))
    elif coin is not None and coin.spent_by != spend.spender:
        theft = UnexplainedSpend(
            txid=spend.outpoint.txid,
            vout=spend.outpoint.index,
            spender=spend.spender,
            block=spend.block,
            height=spend.height,
            at=work.now,
        )
        work.append(kinds.UNEXPLAINED_SPEND, theft)


def _mature(work: Work, tip: Tip) -> None:
    history = work.history
    charter = history.charter
    waiting = [holding(history, outpoint_of(key[4:])) for key, _ in work.state.scan(tables.MATURING)]
    for seen in sorted((each for each in waiting if each is not None), key=lambda each: each.seen):
        if seen.deposit.is_mature(tip.height, charter.vault_by_id(seen.vault)[0].confirmations):
            matured = CoinMatured(txid=seen.txid, vout=seen.vout, block=seen.block, at=work.now)
            work.append(kinds.COIN_MATURED, matured)


def _settle(work: Work, tip: Tip) -> None:
    for transfer in lists.live(work.history):
        seen = transfer.seen
        if seen is None:
            continue
        entry, _ = work.history.charter.vault_by_id(transfer.draft.identity.vault)
        if depth(seen.height, tip.height) < entry.confirmations:
            continue
        confirmation = Confirmation(
            transfer=transfer.id, txid=seen.txid, block=seen.block, height=seen.height, at=work.now
        )
        work.append(kinds.CONFIRMED, confirmation)
        _dequeue(work, transfer)
        _end_others(work, transfer)
        work.free(transfer)


def _expire(work: Work) -> None:
    """End what may be ended: a transfer that expired before anybody was asked to sign."""
    for transfer in lists.live(work.history):
        if not transfer.is_bearer and transfer.request.expires <= work.now:
            work.end(transfer, Ending.EXPIRED, "its request expired before signatures were requested")


def _end_others(work: Work, confirmed: Transfer) -> None:
    """Everything that conflicts with a confirmed transfer is over: one of its coins is spent and buried."""
    for other in members(work.history, confirmed.group):
        _supersede(work, other, f"by {confirmed.id.hex()}")


def _supersede(work: Work, transfer: Transfer, detail: str) -> None:
    """End a transfer that can never confirm, and with it what spends its outputs; whatever is over already, stays so.

    It is asked afresh: one that spends outputs of two of them has ended with the first when the second is looked at.
    """
    if not work.history.transfer(transfer.id).is_live:
        return
    _dequeue(work, transfer)
    work.end(transfer, Ending.SUPERSEDED, detail)
    for child in children(work.history, transfer):
        _supersede(work, child, f"with {transfer.id.hex()}, which it spends")
