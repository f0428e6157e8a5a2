"""What does what was seen in blocks become in the log, and what does it end, free, or have sent again?

Everything happens in one unit of work that somebody else has opened. Whatever a block says is entered once, however
often the block is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from custody.bitcoin.transaction import OutPoint
from custody.bitcoin.work import Displaced
from custody.clock import time_that_has_come
from custody.envelope import Envelope
from custody.history import kinds, lists, tables
from custody.history.holdings import holding, past_height
from custody.history.quarantine import is_to_be_told
from custody.history.questions import History
from custody.history.relations import children, is_stranded, members
from custody.history.tables import height_key, outpoint_key, outpoint_of
from custody.logbook import Work
from custody.looking import OUTPOINT, Place
from custody.transfer.observe import (
    CameEarly,
    ChainSeen,
    CoinMatured,
    DepositReversed,
    DepositSeen,
    PastSpend,
    Spend,
    SpendReversed,
    SpendSeen,
    Tip,
    UnexplainedSpend,
)
from custody.transfer.settlement import Confirmation, Ending, Unconfirmation
from custody.transfer.state import Transfer
from custody.vault.coins import depth
from custody.watching import Found

DIGEST: Final = 32
"""Bytes of a TransferId; an outpoint has four more, and a past spend one more than that."""


def places_above(history: History, fork: int) -> frozenset[Place]:
    """Every block above `fork` that the log names for a deposit or a transfer."""
    return frozenset(place for place, _ in _standing_above(history, fork))


def _standing_above(history: History, fork: int) -> Iterator[tuple[Place, bytes]]:
    """What stands in blocks above `fork`: the block, and an outpoint (36 bytes) or a transfer's id (32)."""
    for key, _ in history.state.scan(tables.IN_BLOCKS, height_key(fork + 1)):
        yield Place(int.from_bytes(key[:4], "big"), key[4:36]), key[36:]


def see_chain(work: Work, tip: Tip) -> None:
    """Enter that the chain was looked at up to a block."""
    work.append(kinds.CHAIN_SEEN, ChainSeen(height=tip.height, block=tip.hash, time=tip.time, at=work.now))


def take_back(work: Work, lost: frozenset[Place]) -> None:
    """Reverse what stood in blocks that are no longer part of the chain."""
    if not lost:
        return
    fork = min(place.height for place in lost) - 1
    gone_with = [(place, what) for place, what in _standing_above(work.history, fork) if place in lost]
    transfers = [work.history.transfer(what) for _, what in gone_with if len(what) == DIGEST]
    for transfer in sorted(transfers, key=lambda each: each.row.drafted):
        seen = transfer.seen
        if seen is not None:
            gone = Unconfirmation(transfer=transfer.id, txid=seen.txid, block=seen.block, at=work.now)
            work.append(kinds.UNCONFIRMED, gone)
            _hold_again(work, members(work.history, transfer.group))
            if not work.history.transfer(transfer.id).is_live:
                work.free(transfer)
    for place, what in gone_with:
        if len(what) > OUTPOINT:
            _reverse_past_spend(work, place, outpoint_of(what))
    found = [holding(work.history, outpoint_of(what)) for _, what in gone_with if len(what) == OUTPOINT]
    for deposit in sorted((each for each in found if each is not None), key=lambda each: each.seen):
        reversed_ = DepositReversed(txid=deposit.txid, vout=deposit.vout, block=deposit.block, at=work.now)
        work.append(kinds.DEPOSIT_REVERSED, reversed_)


def _reverse_past_spend(work: Work, place: Place, outpoint: OutPoint) -> None:
    coin = holding(work.history, outpoint)
    reversed_ = SpendReversed(
        txid=outpoint.txid,
        vout=outpoint.index,
        # Of a deposit that was erased nobody knows it any more, and nothing is to be taken back.
        spender=bytes(DIGEST) if coin is None or coin.spent_by is None else coin.spent_by,
        block=place.block,
        height=place.height,
        at=work.now,
    )
    work.append(kinds.SPEND_REVERSED, reversed_)


def reverse_thefts(work: Work, displaced: Mapping[bytes, Displaced]) -> None:
    """Take back what froze everything where its block is shown to be gone: with the last of them, the freeze ends."""
    thefts = [(key, row) for key, row in work.state.scan(tables.TAKEN) if key[OUTPOINT:] in displaced]
    for key, row in sorted(thefts, key=lambda each: each[1].at):
        outpoint, block = outpoint_of(key), key[OUTPOINT:]
        shown = displaced[block]
        reversed_ = SpendReversed(
            txid=outpoint.txid,
            vout=outpoint.index,
            spender=row.spender,
            block=block,
            height=row.height,
            since=shown.since,
            branch=tuple(each.raw for each in shown.branch),
            at=work.now,
        )
        work.append(kinds.SPEND_REVERSED, reversed_)


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
        is_released = transfer.release is not None and transfer.ended is None
        is_sendable = transfer.is_live and is_released and not is_stranded(work.history, transfer)
        if is_sendable and transfer.verified is not None:
            work.store.queue(transfer.id, transfer.verified.raw, work.now)


def dequeue(work: Work, transfer: Transfer) -> None:
    """Send a transfer no more; a child whose parent is being replaced was taken out already."""
    if work.store.queued(transfer.id) is not None:
        work.store.dequeue(transfer.id)


def enter_found(work: Work, found: Iterable[Found]) -> None:
    """Enter deposits that are new, each with its evidence, and spends."""
    kept: set[bytes] = set()
    for each in found:
        for seen, transaction in each.deposits:
            if holding(work.history, seen.deposit.outpoint) is None:
                work.append(kinds.DEPOSIT_SEEN, seen)
                _tell_early(work, seen)
                if seen.txid not in kept:
                    # Without its witness: a miner may change that, and a reorganisation must not change the evidence.
                    work.store.keep_document(seen.txid, transaction.stripped())
                    kept.add(seen.txid)
        for spend in each.spends:
            _see_spend(work, spend)


def _tell_early(work: Work, seen: DepositSeen) -> None:
    """Enter of a deposit that its block came before its address was given out, where others could not know."""
    row = holding(work.history, seen.deposit.outpoint)
    if row is not None and is_to_be_told(work.history, row):
        work.append(kinds.CAME_EARLY, CameEarly(txid=seen.txid, vout=seen.vout, at=work.now))


def _see_spend(work: Work, spend: Spend) -> None:
    transfer = _transfer_of(work.history, spend)
    if transfer is not None:
        _see_ours(work, transfer, spend)
        if transfer.is_agreed:
            return
    coin = holding(work.history, spend.outpoint)
    if coin is None:
        return
    outpoint, spender, block = spend.outpoint, spend.spender, spend.header.hash
    if transfer is None and spend.height <= past_height(work.history):
        if coin.spent_by != spender:
            past = PastSpend(
                txid=outpoint.txid,
                vout=outpoint.index,
                spender=spender,
                block=block,
                height=spend.height,
                at=work.now,
            )
            work.append(kinds.PAST_SPEND, past)
    elif not work.state.has(tables.TAKEN, outpoint_key(outpoint) + block):
        theft = UnexplainedSpend(
            txid=outpoint.txid,
            vout=outpoint.index,
            spender=spender,
            header=spend.header.raw,
            height=spend.height,
            transfer=None if transfer is None else transfer.id,
            at=work.now,
        )
        work.append(kinds.UNEXPLAINED_SPEND, theft)


def _transfer_of(history: History, spend: Spend) -> Transfer | None:
    """The transfer whose transaction spends a coin: released, or drafted; of several the one that is agreed to."""
    released = history.state.get(tables.RELEASED, spend.spender)
    if released is not None:
        return history.transfer(released.value)
    drafted = [history.transfer(row.value) for _, row in history.state.under(tables.UNSIGNED, spend.unsigned)]
    return max(drafted, key=lambda each: (each.is_agreed, each.is_live), default=None)


def _see_ours(work: Work, transfer: Transfer, spend: Spend) -> None:
    """Enter once that a transfer's transaction stands in a block, and that it should not yet, or any more."""
    if transfer.seen is not None:
        return
    seen = SpendSeen(
        transfer=transfer.id, txid=spend.spender, block=spend.header.hash, height=spend.height, at=work.now
    )
    if transfer.release is not None and transfer.row.ended is None:
        work.append(kinds.SPEND_SEEN, seen)
    else:
        work.append(kinds.SENT_EARLY, seen)
        _hold_again(work, [work.history.transfer(transfer.id)])
    _queue(work, children(work.history, transfer))


def mature(work: Work, tip: Tip) -> None:
    """Enter which deposits are deep enough to be spent."""
    history = work.history
    charter = history.charter
    waiting = [holding(history, outpoint_of(key[4:])) for key, _ in work.state.scan(tables.MATURING)]
    for seen in sorted((each for each in waiting if each is not None), key=lambda each: each.seen):
        if seen.deposit.is_mature(tip.height, charter.vault_by_id(seen.vault)[0].confirmations):
            matured = CoinMatured(txid=seen.txid, vout=seen.vout, block=seen.block, at=work.now)
            work.append(kinds.COIN_MATURED, matured)


def settle(work: Work, tip: Tip) -> None:
    """Enter which transfers are deep enough to be over, and end what conflicts with them."""
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
        dequeue(work, transfer)
        _end_others(work, transfer)
        work.free(transfer)


def expire(work: Work) -> None:
    """End what may be ended: a transfer that expired before anybody was asked to sign.

    Not by our clock alone: it would end for good what people agreed, and need only be wrong once.
    """
    now = min(work.now, time_that_has_come(work.told()))
    for transfer in lists.live(work.history):
        if not transfer.is_bearer and transfer.request.expires <= now:
            work.end(transfer, Ending.EXPIRED, "its request expired before signatures were requested")


def _end_others(work: Work, confirmed: Transfer) -> None:
    """Everything that conflicts with a confirmed transfer is over: one of its coins is spent and buried."""
    for other in members(work.history, confirmed.group):
        supersede(work, other, f"by {confirmed.id.hex()}")


def abandon(work: Work, transfer: Transfer, signed: Envelope) -> None:
    """Give up a transfer whose coin is gone, as somebody signed, and with it what spends its outputs."""
    dequeue(work, transfer)
    work.append(kinds.ABANDONED, signed)
    work.free(transfer)
    _supersede_children(work, transfer)


def supersede(work: Work, transfer: Transfer, detail: str) -> None:
    """End a transfer that can never confirm, and with it what spends its outputs; whatever is over already, stays so.

    It is asked afresh: one that spends outputs of two of them has ended with the first when the second is looked at.
    """
    if not work.history.transfer(transfer.id).is_live:
        return
    dequeue(work, transfer)
    work.end(transfer, Ending.SUPERSEDED, detail)
    _supersede_children(work, transfer)


def _supersede_children(work: Work, transfer: Transfer) -> None:
    for child in children(work.history, transfer):
        supersede(work, child, f"with {transfer.id.hex()}, which it spends")
