"""One unit of work on the log: the history loaded, entries appended, all of it durable together or not at all.

The fold is kept between units and only extended; before it is used again its root is compared with the store's, so a
store that was rolled back or rewritten is noticed here (THREATS D13) and not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from custody.bitcoin.profile import TransferPsbt
from custody.errors import CustodyError, IntegrityError, Refused
from custody.log import Frontier, LogCorrupt, LogEntry, seal
from custody.ports import Store, StoreTransaction, StoreView
from custody.record import MAX_TEXT, Record
from custody.transfer.draft import Draft
from custody.transfer.history import COORDINATOR, History
from custody.transfer.ledger import HistoryInvalid
from custody.transfer.settlement import Ended, Ending
from custody.transfer.signing import signing_psbt
from custody.transfer.state import Kind, Transfer
from custody.vault.descriptor import Vault
from custody.vault.ownership import PrevtxMissing


class OutOfTurn(Refused, code="OUT_OF_TURN"):
    """A step that does not follow from where things stand."""

    message = "{entry} cannot be entered in the log now: it {problem}"
    hint = "Look at how far the transfer has come: custody transfer show TRANSFER."
    entry: str
    problem: str


class RolledBack(IntegrityError, code="ROLLBACK"):
    """A store whose log is not the one this process has read before."""

    message = "the log had {size} entries with root {expected}; now it has {actual}"
    hint = "Stop: the store was restored from a backup or rewritten while in use. Compare it with a witness's copy."
    size: int
    expected: str
    actual: str


@dataclass(slots=True)
class Work:
    """An open store transaction with the history as it stands in it. `now` is Unix seconds."""

    store: StoreTransaction
    history: History
    now: int
    salt: Callable[[], bytes]

    def append(self, kind: Kind, body: Record, *subjects: bytes, author: str = COORDINATOR) -> LogEntry:
        """Seal `body` as the next entry, fold it, and write it."""
        entry = seal(self.store.size, kind, author, subjects, body.to_bytes(), self.salt())
        # Folding comes first: an entry that does not fit what stands before it is never written.
        try:
            self.history.extend([entry])
        except HistoryInvalid as error:
            # The log is sound; what was asked for does not fit it. A rule that said so speaks by its own code.
            if isinstance(error.__cause__, CustodyError):
                raise error.__cause__ from None
            raise OutOfTurn(entry=error.entry, problem=error.problem) from None
        self.store.append(entry)
        return entry

    def end(self, transfer: Transfer, reason: Ending, detail: str) -> None:
        """End a transfer that moved nothing, and free its coins."""
        ended = Ended(transfer=transfer.id, reason=reason, detail=detail[:MAX_TEXT].strip(), at=self.now)
        self.append(Kind.ENDED, ended, transfer.id)
        self.free(transfer)

    def free(self, transfer: Transfer) -> None:
        """Let go of what a transfer held, unless a conflicting one is still live."""
        if not any(other.is_live for other in self.history.members(transfer.group)):
            self.store.release_holds(transfer.group)

    def shelve_children(self, transfer: Transfer) -> None:
        """Stop sending the children of what `transfer` replaces: with it they wait for a parent that nodes threw out.

        They are queued again when their parent is found in a block (`observer`).
        """
        waiting = {row.transfer_id for row in self.store.outbox()}
        for replaced in transfer.replaced:
            for child in self.history.children(replaced):
                if child.id in waiting and self.history.is_stranded(child):
                    self.store.dequeue(child.id)

    def vault_of(self, transfer: Transfer) -> Vault:
        """The vault a transfer spends from."""
        return self.history.charter.vault_by_id(transfer.draft.identity.vault)[1]

    def previous(self, drafted: Draft) -> list[bytes]:
        """The raw transactions whose outputs a draft spends, as the log has them.

        Raises:
            PrevtxMissing: a coin is not in the log (any more).
        """
        found: dict[bytes, bytes] = {}
        for index, outpoint in enumerate(drafted.outpoints):
            raw = self.history.previous(outpoint)
            if raw is None:
                raise PrevtxMissing(index=index)
            found[outpoint.txid] = raw
        return list(found.values())

    def psbt(self, transfer: Transfer) -> TransferPsbt:
        """The PSBT that goes to the transfer's signers."""
        drafted = transfer.draft
        found = {outpoint.txid: self.history.previous(outpoint) for outpoint in drafted.outpoints}
        by_txid = {txid: raw for txid, raw in found.items() if raw is not None}
        return signing_psbt(drafted, self.vault_of(transfer), by_txid)


class Logbook:
    """A store's log with its fold kept current."""

    def __init__(self, store: Store, charter_digest: bytes, salt: Callable[[], bytes]) -> None:
        """`charter_digest` is pinned outside the store; `salt()` gives 32 fresh random bytes for an entry."""
        self._store = store
        self._pinned = charter_digest
        self._salt = salt
        self._known: History | None = None

    def read(self) -> History:
        """The history as of now. It is this logbook's own: read it, and only `write` changes it."""
        with self._store.read() as view:
            return self._load(view)

    @contextmanager
    def write(self, now: int) -> Iterator[Work]:
        """One unit of work, alone in the store; an exception that leaves it undoes all of it."""
        with self._store.transaction() as transaction:
            history = self._load(transaction)
            # What this unit folds is not written yet: nobody else may read it, and a unit that fails leaves no fold.
            self._known = None
            yield Work(transaction, history, now, self._salt)
        self._known = history

    def _load(self, view: StoreView) -> History:
        known = self._known
        if known is None:
            known = History(self._pinned)
        # An entry that does not fold leaves a fold that is half written: it is let go before, and kept again after.
        self._known = None
        if known.size > view.size or view.root_at(known.size) != known.frontier.root:
            # Remembered, so that asking again does not make the other log true.
            self._known = known
            raise RolledBack(size=known.size, expected=known.frontier.root.hex(), actual=f"{view.size} entries")
        known.extend(view.entries(known.size))
        # Each entry fits itself; that they make the log whose head is recorded is seen only from the root.
        if known.frontier.root != view.root:
            raise LogCorrupt(index=_first_difference(view), problem="it is not the one that the roots were made of")
        self._known = known
        return known


def _first_difference(view: StoreView) -> int:
    """The first entry above which the recorded root is not that of the leaves."""
    frontier = Frontier()
    for index, leaf in enumerate(view.leaves()):
        frontier = frontier.append(leaf)
        if view.root_at(index + 1) != frontier.root:
            return index
    return view.size
