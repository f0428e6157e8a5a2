"""Do the holds and the outbox say what the log says, and how are they made to again?

Both follow from the log: a coin is held for whom the log says, and what was released waits to be sent until it is
settled. A step writes them together with its entries, so they differ only when the file was damaged or somebody changed
it: then a coin is kept from everybody, or taken twice, or what was released never leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

from custody.bitcoin.transaction import OutPoint
from custody.errors import IntegrityError
from custody.history import lists, tables
from custody.history.questions import History
from custody.history.relations import is_stranded
from custody.history.tables import outpoint_of
from custody.ports import StoreTransaction, StoreView
from custody.transfer.state import Status, Transfer


class BesideLog(IntegrityError, code="BESIDE_LOG"):
    """Holds or an outbox that do not say what the log says."""

    message = "{count} of what stands beside the log is not what the log says: {first}"
    hint = "Find out who changed the store, then have both made again from the log: custody store rebuild."
    count: int
    first: str


def check_beside(history: History, view: StoreView) -> None:
    """Pass when holds and outbox are what `history`, which is of this view, says.

    Raises:
        BesideLog: one is not.
    """
    found = [*_wrong_holds(history, view), *_wrong_rows(history, view)]
    if found:
        raise BesideLog(count=len(found), first=found[0])


def set_right(history: History, transaction: StoreTransaction) -> list[str]:
    """Make holds and outbox again from `history`, which is of this transaction; what was wrong with them."""
    holds, rows = [*_wrong_holds(history, transaction)], [*_wrong_rows(history, transaction)]
    if holds:
        _hold_again(history, transaction)
    if rows:
        _queue_again(history, transaction)
    return [*holds, *rows]


def _held(history: History) -> dict[OutPoint, bytes]:
    """Which coins are held by the log, and for whom."""
    return {outpoint_of(key): row.value for key, row in history.state.scan(tables.HELD)}


def _wrong_holds(history: History, view: StoreView) -> Iterator[str]:
    said, held = _held(history), view.holds()
    for outpoint in sorted(said.keys() | held.keys()):
        if said.get(outpoint) != held.get(outpoint):
            yield f"{outpoint} is held {_for(held.get(outpoint))}, and by the log {_for(said.get(outpoint))}"


def _for(holder: bytes | None) -> str:
    return "for nobody" if holder is None else f"for {holder.hex()}"


def _waiting(history: History) -> dict[bytes, tuple[Transfer, bytes]]:
    """What waits to be sent by the log, in the order of its release: each transfer, and its bytes."""
    released = (each for each in lists.live(history) if each.row.released is not None)
    found = sorted(released, key=lambda each: each.row.released or 0)
    return {
        each.id: (each, each.verified.raw)
        for each in found
        if each.verified is not None and not is_stranded(history, each)
    }


def _wrong_rows(history: History, view: StoreView) -> Iterator[str]:
    said, queued = _waiting(history), {row.transfer_id: row.raw for row in view.outbox()}
    for transfer_id in sorted(said.keys() | queued.keys()):
        if transfer_id not in queued:
            yield f"transfer {transfer_id.hex()} is released, and does not wait to be sent"
        elif transfer_id not in said:
            yield f"transfer {transfer_id.hex()} waits to be sent, and should not"
        elif said[transfer_id][1] != queued[transfer_id]:
            yield f"transfer {transfer_id.hex()} waits to be sent with other bytes than were released"


def _hold_again(history: History, transaction: StoreTransaction) -> None:
    for holder in set(transaction.holds().values()):
        transaction.release_holds(holder)
    for outpoint, holder in _held(history).items():
        transaction.hold([outpoint], holder)


def _queue_again(history: History, transaction: StoreTransaction) -> None:
    # All of them: of transfers that replace each other the one queued last is sent.
    before = {row.transfer_id: row for row in transaction.outbox()}
    for transfer_id in before:
        transaction.dequeue(transfer_id)
    for transfer_id, (transfer, raw) in _waiting(history).items():
        row = before.get(transfer_id)
        released = transfer.release
        at = 0 if released is None else released.at
        transaction.queue(transfer_id, raw, at if row is None else row.queued_at)
        if transfer.status is Status.BROADCAST or (row is not None and row.was_sent):
            transaction.attempted(transfer_id, None)
