"""What one look at the chain adds to the log: new blocks, what a reorganisation took back, what became final.

1. Find the newest block seen before that is still part of the chain.
2. Take back deposits and confirmations whose blocks no longer are.
3. Scan every block from there to the tip for deposits and spends.
4. Deposits deep enough become coins; spends deep enough settle their transfers.

All views must agree on the tip before anything is believed. Looking twice adds nothing: whatever a block says is
entered once, however often the block is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custody.errors import BackendError
from custody.logbook import Work
from custody.ports import BlockUnknown, ChainView, NodeNotReady
from custody.transfer.observe import (
    BlockView,
    ChainSeen,
    CoinMatured,
    DepositReversed,
    SpendSeen,
    Tip,
    UnexplainedSpend,
    Watch,
    deposits_in,
    spends_in,
)
from custody.transfer.settlement import Confirmation, Ending, Unconfirmation
from custody.transfer.state import Kind, Transfer
from custody.units import HARDENED
from custody.vault.coins import ScriptIndex, depth
from custody.vault.descriptor import Branch

RECEIVE_GAP: Final = 1_000
"""Receive addresses watched beyond the next unused one: restored wallets and old lists pay further on (THREATS C8)."""
CHANGE_GAP: Final = 100
"""The same for change, whose indexes nobody but a draft gives out."""


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
    hint = "Look again: nothing was entered."
    height: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at the chain added to the log, by kind of entry."""

    height: int
    added: tuple[Kind, ...]


class Lookout:
    """The scripts that are looked for, derived once and kept between looks; none of it comes from the log."""

    def __init__(self) -> None:
        self._scripts: dict[bytes, ScriptIndex] = {}

    def watches(self, work: Work) -> list[Watch]:
        """Every vault with its window, ahead of each address given out and each deposit seen."""
        history = work.history
        furthest: dict[tuple[bytes, int], int] = {}
        for holding in history.holdings.values():
            place = (holding.seen.vault, holding.seen.branch)
            furthest[place] = max(furthest.get(place, -1), holding.seen.index)
        found: list[Watch] = []
        for entry in history.charter.vaults:
            vault = history.charter.vault(entry.name)
            scripts = self._scripts.setdefault(vault.id, ScriptIndex(vault, 0, 0))
            for branch in Branch:
                used = max(history.next_index(vault.id, branch), furthest.get((vault.id, branch), -1) + 1)
                _look_ahead(scripts, branch, used)
            found.append(Watch(vault.id, scripts))
        return found


def observe(work: Work, views: Sequence[ChainView], lookout: Lookout) -> Observation:
    """Bring the log up to the tip that all `views` share.

    Raises:
        ViewsDisagree: they do not share one.
        NodeNotReady: a node is still downloading the chain.
        NodeUnavailable: a node does not answer.
        ChainMoved: the chain changed while it was read.
    """
    before = work.store.size
    tip = _agreed_tip(views)
    view = views[0]
    fork = _fork_height(work, view)
    tips = work.history.tips
    if tips and _is_gone(view, tips[-1].height, tips[-1].block):
        # What was seen above is forgotten, or a chain that comes back would pass for one that was read.
        fork = min(max(fork, 0), tip.height)
        _see_chain(work, fork, view.block_hash(fork))
        _take_back(work, view, fork)
    _scan(work, _blocks(view, fork, tip), lookout.watches(work))
    if not work.history.tips or tip.height > fork:
        _see_chain(work, tip.height, tip.hash)
    _mature(work, tip)
    _settle(work, tip)
    return Observation(tip.height, tuple(Kind(each.head.entry) for each in work.store.entries(before)))


def _see_chain(work: Work, height: int, block: bytes) -> None:
    work.append(Kind.CHAIN_SEEN, ChainSeen(height=height, block=block, at=work.now))


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


def _fork_height(work: Work, view: ChainView) -> int:
    """Height up to which what was scanned still holds; below everything that was scanned when nothing does."""
    tips = work.history.tips
    for seen in reversed(tips):
        if not _is_gone(view, seen.height, seen.block):
            return seen.height
    birthday = min(entry.birthday for entry in work.history.charter.vaults)
    return min([birthday - 1, *(seen.height for seen in tips[:1])])


def _is_gone(view: ChainView, height: int, block: bytes) -> bool:
    """Whether the block that stood at `height` is no longer part of the chain."""
    try:
        return view.block_hash(height) != block
    except BlockUnknown:
        return True


def _take_back(work: Work, view: ChainView, fork: int) -> None:
    """Reverse what stood in blocks above `fork` that are no longer part of the chain."""
    for transfer in list(work.history.transfers.values()):
        seen = transfer.seen
        if seen is not None and seen.height > fork and _is_gone(view, seen.height, seen.block):
            gone = Unconfirmation(transfer=transfer.id, txid=seen.txid, block=seen.block, at=work.now)
            work.append(Kind.UNCONFIRMED, gone, transfer.id)
            _hold_again(work, work.history.members(transfer.group))
    for holding in list(work.history.holdings.values()):
        deposit = holding.seen
        if deposit.height > fork and _is_gone(view, deposit.height, deposit.block):
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


def _blocks(view: ChainView, fork: int, tip: Tip) -> Iterator[BlockView]:
    """The blocks above `fork` up to `tip`, each following the one before."""
    previous = view.block_hash(fork) if 0 <= fork < tip.height else None
    for height in range(fork + 1, tip.height + 1):
        block = view.block(height)
        if previous not in (None, block.previous) or (height == tip.height and block.hash != tip.hash):
            raise ChainMoved(height=height)
        previous = block.hash
        yield block


def _look_ahead(scripts: ScriptIndex, branch: int, used: int) -> bool:
    """Widen the window to well beyond `used` indexes of a branch; whether that made it wider."""
    before = scripts.end(branch)
    ends = {each: scripts.end(each) for each in Branch}
    gap = RECEIVE_GAP if branch == Branch.RECEIVE else CHANGE_GAP
    ends[Branch(branch)] = max(before, min(used + gap, HARDENED))
    scripts.grow(ends[Branch.RECEIVE], ends[Branch.CHANGE])
    return scripts.end(branch) > before


def _scan(work: Work, blocks: Iterable[BlockView], watches: Sequence[Watch]) -> None:
    released = {each.release.txid: each for each in work.history.transfers.values() if each.release is not None}
    for block in blocks:
        # A deposit far ahead moves the window with it; what stood behind it in the same block is found then.
        while _scan_deposits(work, block, watches):
            pass
        _scan_spends(work, block, released)


def _scan_deposits(work: Work, block: BlockView, watches: Sequence[Watch]) -> bool:
    """Enter the deposits of a block; whether a window grew, so that there may be more."""
    by_vault = {watch.vault_id: watch.scripts for watch in watches}
    has_grown = False
    for deposit in deposits_in(block, watches, work.now):
        if deposit.deposit.outpoint not in work.history.holdings:
            work.append(Kind.DEPOSIT_SEEN, deposit, deposit.txid)
            has_grown |= _look_ahead(by_vault[deposit.vault], deposit.branch, deposit.index + 1)
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
