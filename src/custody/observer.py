"""What one look at the chain adds to the log: new blocks, what a reorganisation took back, what became final.

1. Find the newest block seen before that is still part of the chain.
2. Take back deposits and confirmations above it.
3. Scan every block from there to the tip for deposits and spends.
4. Deposits deep enough become coins; spends deep enough settle their transfers.

All views must agree on the tip before anything is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from custody.transfer.state import Kind, Status, Transfer
from custody.vault.coins import ScriptIndex, depth
from custody.vault.descriptor import Branch

GAP: Final = 100
"""Addresses watched beyond the next unused one, on each branch."""


class ViewsDisagree(BackendError, code="VIEWS_DISAGREE"):
    """Two nodes see different chains."""

    message = "at height {height} one node has block {first}, another {second}"
    hint = "Wait until the nodes agree, and find out which one is wrong before relying on either."
    height: int
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at the chain added to the log, by kind of entry."""

    height: int
    added: tuple[Kind, ...]


def observe(work: Work, views: Sequence[ChainView]) -> Observation:
    """Bring the log up to the tip that all `views` share.

    Raises:
        ViewsDisagree: they do not share one.
        NodeNotReady: a node is still downloading the chain.
        NodeUnavailable: a node does not answer.
    """
    before = work.store.size
    tip = _agreed_tip(views)
    view = views[0]
    fork = _fork_height(work, view)
    _take_back(work, fork)
    watches = _watches(work)
    for height in range(fork + 1, tip.height + 1):
        _scan(work, view.block(height), watches)
    if not work.history.tips or work.history.tips[-1].block != tip.hash:
        seen = ChainSeen(height=tip.height, block=tip.hash, at=work.now)
        work.append(Kind.CHAIN_SEEN, seen)
    _mature(work, tip)
    _settle(work, tip)
    return Observation(tip.height, tuple(Kind(each.head.entry) for each in work.store.entries(before)))


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
    """Height up to which what was scanned still holds; below the lowest birthday before the first look."""
    for seen in reversed(work.history.tips):
        try:
            if view.block_hash(seen.height) == seen.block:
                return seen.height
        except BlockUnknown:
            continue
    return min(entry.birthday for entry in work.history.charter.vaults) - 1


def _take_back(work: Work, fork: int) -> None:
    """Reverse what stood in blocks above `fork`: they are no longer part of the chain."""
    for transfer in list(work.history.transfers.values()):
        seen = transfer.seen
        if seen is not None and seen.height > fork:
            gone = Unconfirmation(transfer=transfer.id, txid=seen.txid, block=seen.block, at=work.now)
            work.append(Kind.UNCONFIRMED, gone, transfer.id)
            work.store.hold(transfer.draft.outpoints, transfer.group)
            if transfer.verified is not None:
                work.store.queue(transfer.id, transfer.verified.raw, work.now)
    for holding in list(work.history.holdings.values()):
        seen_deposit = holding.seen
        if seen_deposit.height > fork:
            gone_deposit = DepositReversed(
                txid=seen_deposit.txid, vout=seen_deposit.vout, block=seen_deposit.block, at=work.now
            )
            work.append(Kind.DEPOSIT_REVERSED, gone_deposit, seen_deposit.txid)


def _watches(work: Work) -> list[Watch]:
    found: list[Watch] = []
    for entry in work.history.charter.vaults:
        vault = work.history.charter.vault(entry.name)
        ends = [work.history.next_index(vault.id, branch) + GAP for branch in (Branch.RECEIVE, Branch.CHANGE)]
        found.append(Watch(vault.id, ScriptIndex(vault, *ends)))
    return found


def _scan(work: Work, block: BlockView, watches: Sequence[Watch]) -> None:
    for deposit in deposits_in(block, watches, work.now):
        if deposit.deposit.outpoint not in work.history.holdings:
            work.append(Kind.DEPOSIT_SEEN, deposit, deposit.txid)
            for watch in watches:
                # A deposit far ahead moves the window with it, so nothing behind it is missed.
                if watch.vault_id == deposit.vault:
                    ends = [watch.scripts.end(branch) for branch in (Branch.RECEIVE, Branch.CHANGE)]
                    ends[deposit.branch] = max(ends[deposit.branch], deposit.index + 1 + GAP)
                    watch.scripts.grow(*ends)
    released = {each.release.txid: each for each in work.history.transfers.values() if each.release is not None}
    for spend in spends_in(block, work.history.holdings):
        transfer = released.get(spend.spender)
        if transfer is None:
            theft = UnexplainedSpend(
                txid=spend.outpoint.txid,
                vout=spend.outpoint.index,
                spender=spend.spender,
                block=spend.block,
                height=spend.height,
                at=work.now,
            )
            work.append(Kind.UNEXPLAINED_SPEND, theft, spend.outpoint.txid)
        elif transfer.seen is None:
            seen = SpendSeen(
                transfer=transfer.id, txid=spend.spender, block=spend.block, height=spend.height, at=work.now
            )
            work.append(Kind.SPEND_SEEN, seen, transfer.id)


def _mature(work: Work, tip: Tip) -> None:
    confirmations = {
        work.history.charter.vault(entry.name).id: entry.confirmations for entry in work.history.charter.vaults
    }
    for holding in list(work.history.holdings.values()):
        seen = holding.seen
        if not holding.is_mature and holding.deposit.is_mature(tip.height, confirmations[seen.vault]):
            matured = CoinMatured(txid=seen.txid, vout=seen.vout, block=seen.block, at=work.now)
            work.append(Kind.COIN_MATURED, matured, seen.txid)


def _settle(work: Work, tip: Tip) -> None:
    for transfer in list(work.history.transfers.values()):
        seen = transfer.seen
        if seen is None or transfer.confirmation is not None:
            continue
        entry, _ = work.history.charter.vault_by_id(transfer.draft.identity.vault)
        if depth(seen.height, tip.height) < entry.confirmations:
            continue
        confirmation = Confirmation(
            transfer=transfer.id, txid=seen.txid, block=seen.block, height=seen.height, at=work.now
        )
        work.append(Kind.CONFIRMED, confirmation, transfer.id)
        work.store.dequeue(transfer.id)
        _end_others(work, transfer)
        work.free(transfer)


def _end_others(work: Work, confirmed: Transfer) -> None:
    """Everything that conflicts with a confirmed transfer is over: one of its coins is spent and buried."""
    for other in list(work.history.transfers.values()):
        if other.group == confirmed.group and other.is_live:
            if other.status in (Status.RELEASED, Status.BROADCAST):
                work.store.dequeue(other.id)
            work.end(other, Ending.SUPERSEDED, f"by {confirmed.id.hex()}")
