"""How does a finished transfer leave for the network, and where is it then?

1. verify: finalize, extract, and have every judge agree.
2. release: the whole gate again; with the entry, the outbox has the transaction.
3. deliver: the gate again, then send, any number of times, alone or together with what it spends.
4. underway: which of what was sent waits, stands in a block, or was dropped.

Judges and nodes take their time, so they are asked while nobody holds the store. What they judged is compared, in the
unit of work that enters it, with what the log says by then: other bytes are STATE_CHANGED.

Where a transaction is, is one node's word at one moment and changes nothing here: it is reported and never entered in
the log. Only a block ends a transfer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from custody.bitcoin.serialize import TransactionEncoding
from custody.bitcoin.transaction import OutPoint, Transaction
from custody.charter.decide import refuse_denied
from custody.errors import BackendError, Refused
from custody.examine.evidence import Stage
from custody.history import kinds
from custody.history.questions import History, TransferUnknown
from custody.history.relations import coins_gone
from custody.logbook import Logbook, Work, vault_of
from custody.ports import Clock, Judge, OutboxRow, Relay, RelayRefused, Standing, StateChanged, Store
from custody.showing import Showing
from custody.transfer.settlement import Broadcast, Release, broadcast, release
from custody.transfer.state import Status, Transfer, over, unready
from custody.transfer.verify import ChangedMeanwhile, VerifiedTransaction, refuse_other_transaction, verify


class NothingToSend(Refused, code="NOTHING_TO_SEND"):
    """An outbox without rows."""

    message = "no released transfer waits to be sent"
    hint = "Release one first: custody transfer release."


class CoinGone(Refused, code="COIN_GONE"):
    """A released transfer that no node can take, since the chain no longer has a coin of it."""

    message = "transfer {transfer} spends {outpoint}, which is gone: its block lost its place, or it was spent"
    hint = (
        "Wait: the coin may come back with another block (custody observe). When it does not, its requester or an "
        "officer gives the transfer up: custody transfer cancel TRANSFER."
    )
    transfer: str
    outpoint: OutPoint


@dataclass(frozen=True, slots=True)
class Stuck:
    """A released transfer that is not sent while coins of it are gone."""

    transfer: bytes
    gone: tuple[OutPoint, ...]


@dataclass(frozen=True, slots=True)
class Underway:
    """A transfer that was sent and, by the log, stands in no block yet: its txid, and where the node has it."""

    transfer: bytes
    txid: bytes
    standing: Standing


@dataclass(frozen=True, slots=True)
class _Due:
    """A row to be sent, and the rows whose outputs it spends."""

    row: OutboxRow
    parents: tuple[OutboxRow, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The last steps of the route. `showing` has every transfer judged from its evidence before it goes."""

    store: Store
    logbook: Logbook
    clock: Clock
    relay: Relay
    judges: tuple[Judge, ...]
    showing: Showing

    def verify(self, transfer_id: bytes) -> VerifiedTransaction:
        """Finalize, extract, and have every judge agree."""
        transfer = self.logbook.read().transfer(transfer_id)
        if transfer.verified is not None:
            return transfer.verified
        judged = self._judged(transfer_id)
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.verified is not None:
                return transfer.verified
            verified = _judged_still(work, transfer, judged)
            work.append(kinds.VERIFIED, verified)
        return verified

    def release(self, transfer_id: bytes) -> Release:
        """Run the whole gate again and let the outbox have the transaction."""
        history = self.logbook.read()
        transfer = history.transfer(transfer_id)
        if transfer.release is not None:
            return transfer.release
        if transfer.verified is None:
            raise unready(transfer, "releasing it", Status.VERIFIED)
        refuse_denied_now(history, transfer, self.clock.now())
        examined = self.showing.examined(transfer_id, Stage.RELEASE)
        judged = self._judged(transfer_id)
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.release is not None:
                return transfer.release
            if transfer.verified is None:
                raise unready(transfer, "releasing it", Status.VERIFIED)
            if transfer.row != examined.transfer.row:
                raise ChangedMeanwhile(what="the transfer", expected=examined.transfer.status, actual=transfer.status)
            # What is new since it was examined is nothing about it; a freeze is about everything.
            refuse_denied_now(work.history, transfer, work.now)
            again = _judged_still(work, transfer, judged)
            _refuse_other_bytes("the finished transaction", transfer.verified.raw, again.raw)
            released = release(transfer.verified, work.now)
            work.append(kinds.RELEASED, released)
            work.store.queue(transfer_id, transfer.verified.raw, work.now)
        return released

    def deliver(self) -> tuple[Broadcast, ...]:
        """Send what was released and is not confirmed yet, the gate run before each; safe to repeat at any time.

        Of transfers that replace each other only the one queued last is sent. One that fails does not keep the others,
        and one whose coin is gone is left out: no node can take it, until the coin is back.

        Raises:
            NothingToSend: the outbox is empty.
            CoinGone: there is nothing else in it.
            RelayRefused, NodeUnavailable: the node says no or nothing; the row stays.
            Refused: the gate says no.
        """
        rows = self._outbox()
        if not rows:
            raise NothingToSend
        sent: dict[bytes, Broadcast] = {}
        failures: dict[bytes, BackendError | Refused] = {}
        history = self.logbook.read()
        left_out = stuck(history, rows)
        stuck_ids = {each.transfer for each in left_out}
        for due in _parents_first(history, rows):
            if due.row.transfer_id in stuck_ids:
                continue
            try:
                taken = self._deliver(due)
            except (BackendError, Refused) as error:
                failures[due.row.transfer_id] = error
                continue
            for each in taken:
                sent[each.transfer] = each
                # A parent that was refused alone came in with its child.
                failures.pop(each.transfer, None)
        if failures:
            raise next(iter(failures.values()))
        if left_out and not sent:
            raise CoinGone(transfer=left_out[0].transfer.hex(), outpoint=left_out[0].gone[0])
        return tuple(sent.values())

    def underway(self) -> tuple[Underway, ...]:
        """See the function of this name."""
        return underway(self.logbook.read(), self._outbox(), self.relay)

    # --- what the steps share ----------------------------------------------------------------------------------------

    def _work(self) -> AbstractContextManager[Work]:
        return self.logbook.write(self.clock.now())

    def _outbox(self) -> tuple[OutboxRow, ...]:
        with self.store.read() as view:
            return view.outbox()

    def _judged(self, transfer_id: bytes) -> VerifiedTransaction:
        """The finished transaction that every judge agrees to, as of what the log says now; the store is free."""
        history = self.logbook.read()
        transfer = history.transfer(transfer_id)
        if transfer.combined is None:
            raise unready(transfer, "having the transaction judged", Status.COMBINED)
        vault = vault_of(history, transfer)
        return verify(transfer.combined, transfer.draft, vault, self.judges, self.clock.now())

    def _deliver(self, due: _Due) -> list[Broadcast]:
        """Send a row; what the node took. It is asked outside of the store: it may take its time, and twice is once."""
        self._gate((due.row,))
        try:
            taken = self._send(due)
        except BackendError as error:
            with self._work() as work:
                _attempted(work, due.row.transfer_id, str(error))
            raise
        with self._work() as work:
            return [_sent(work, row) for row in taken]

    def _send(self, due: _Due) -> tuple[OutboxRow, ...]:
        """Give a row to the network: alone, or when that is refused with what it spends; what the node took."""
        try:
            self.relay.send(due.row.raw)
        except RelayRefused:
            package = (*self._missing(due.parents), due.row)
            if len(package) == 1:
                raise
            self.relay.send_package([each.raw for each in package])
            return package
        return (due.row,)

    def _missing(self, parents: Sequence[OutboxRow]) -> tuple[OutboxRow, ...]:
        """Those of `parents` that are in no block, the gate run before each."""
        self._gate(parents)
        return tuple(each for each in parents if self.relay.standing(Transaction.parse(each.raw)) is not Standing.MINED)

    def _gate(self, rows: Sequence[OutboxRow]) -> None:
        """What must hold each time before transactions leave: released, these bytes, the approved transaction."""
        with self._work() as work:
            for row in rows:
                transfer = work.history.transfer(row.transfer_id)
                if transfer.ended is not None:
                    raise over(transfer)
                if transfer.release is None or transfer.verified is None:
                    raise StateChanged(what="the transfer", expected=Status.RELEASED, actual=transfer.status)
                _refuse_other_bytes("the transaction to send", transfer.verified.raw, row.raw)
                refuse_other_transaction(row.raw, transfer.draft)
                refuse_denied_now(work.history, transfer, work.now)


def underway(history: History, rows: Sequence[OutboxRow], relay: Relay) -> tuple[Underway, ...]:
    """Where the node has what was sent and, by the log, stands in no block yet; the newest of each group.

    Raises:
        NodeUnavailable: the node does not answer.
    """
    found: list[Underway] = []
    for row in _newest(history, rows):
        transfer = history.transfer(row.transfer_id)
        # Not the row's own word for it: one whose block was lost is queued anew.
        if transfer.status is Status.BROADCAST and transfer.seen is None and transfer.verified is not None:
            transaction = Transaction.parse(transfer.verified.raw)
            found.append(Underway(transfer.id, transaction.txid, relay.standing(transaction)))
    return tuple(found)


def stuck(history: History, rows: Sequence[OutboxRow]) -> tuple[Stuck, ...]:
    """What of the outbox cannot be sent now, since coins of it are gone."""
    found = []
    for row in _newest(history, rows):
        transfer = history.transfer(row.transfer_id)
        gone = coins_gone(history, transfer) if transfer.row.seen is None else ()
        if gone:
            found.append(Stuck(transfer.id, gone))
    return tuple(found)


def refuse_denied_now(history: History, transfer: Transfer, now: int) -> None:
    """No rule refuses the transfer as things stand at `now`: a freeze may be newer than any checkpoint."""
    refuse_denied(history.case(transfer), history.charter, history.facts(now))


def _judged_still(work: Work, transfer: Transfer, judged: VerifiedTransaction) -> VerifiedTransaction:
    """What the judges agreed to, entered now, when it is still what the transfer's signatures make.

    Raises:
        StateChanged: it is something else by now.
    """
    if transfer.combined is None:
        raise StateChanged(what="the transfer", expected=Status.COMBINED, actual=transfer.status)
    again = verify(transfer.combined, transfer.draft, work.vault_of(transfer), (), work.now)
    _refuse_other_bytes("the transaction that was judged", judged.raw, again.raw)
    return VerifiedTransaction(transfer=again.transfer, raw=again.raw, judges=judged.judges, at=again.at)


def _refuse_other_bytes(what: str, expected: bytes, actual: bytes) -> None:
    if actual != expected:
        raise StateChanged(what=what, expected=_txid(expected), actual=_txid(actual))


def _newest(history: History, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
    """Of transfers that replace each other the one queued last, oldest first; rows that name no transfer are none."""
    newest: dict[bytes, OutboxRow] = {}
    for row in rows:
        with suppress(TransferUnknown):
            newest[history.transfer(row.transfer_id).group] = row
    return list(newest.values())


def _parents_first(history: History, rows: Sequence[OutboxRow]) -> Iterator[_Due]:
    """What is to be sent, each after what it spends: after a reorganisation the queue's order may be another."""
    newest = _newest(history, rows)
    made = {released.txid: row for row in newest if (released := history.transfer(row.transfer_id).release) is not None}
    parents = {
        row.transfer_id: tuple(
            made[txid]
            for txid in dict.fromkeys(each.txid for each in history.transfer(row.transfer_id).draft.outpoints)
            if txid in made
        )
        for row in newest
    }
    due: dict[bytes, OutboxRow] = {}

    def visit(row: OutboxRow) -> None:
        for parent in parents[row.transfer_id]:
            visit(parent)
        due.setdefault(row.transfer_id, row)

    for row in newest:
        visit(row)
    return (_Due(row, parents[row.transfer_id]) for row in due.values())


def _sent(work: Work, row: OutboxRow) -> Broadcast:
    """Note that the network has a row's transaction; entered in the log the first time."""
    _attempted(work, row.transfer_id, None)
    transfer = work.history.transfer(row.transfer_id)
    if transfer.release is None:
        raise StateChanged(what="the transfer", expected=Status.RELEASED, actual=transfer.status)
    sent = broadcast(transfer.release, work.now)
    if transfer.status is Status.RELEASED:
        work.append(kinds.BROADCAST, sent)
    return sent


def _attempted(work: Work, transfer_id: bytes, error: str | None) -> None:
    """Note an attempt to send, unless somebody has settled the transfer meanwhile."""
    if work.store.queued(transfer_id) is not None:
        work.store.attempted(transfer_id, error)


def _txid(raw: bytes) -> str:
    try:
        return Transaction.parse(raw).txid_hex
    except TransactionEncoding:
        return "no transaction"
