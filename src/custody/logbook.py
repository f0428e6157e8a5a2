"""One unit of work on the log: the history as it stands, entries appended, all of it durable together or not at all.

The rows of the history are written in the transaction that appends the entries they come from, so a unit reads what it
asks for and folds what it adds, however long the log is. What was read before stays as it was: a history is a value.

A store whose log is not the one this process has read before was rolled back or rewritten; that is noticed here
(THREATS D13) and not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.serialize import TransactionEncoding
from custody.bitcoin.transaction import OutPoint, PreviousTransaction
from custody.charter.decide import refuse_frozen
from custody.charter.document import refuse_other_charter
from custody.clock import Told, by_block, by_witnesses, refuse_behind
from custody.errors import CustodyError, IntegrityError, Refused
from custody.examine.shown import noted_at
from custody.history import kinds, lists, tables
from custody.history.entry import COORDINATOR, EntryKind, HistoryInvalid
from custody.history.fold import fold
from custody.history.holdings import held_by, is_paid
from custody.history.on.charter import StateSealed
from custody.history.questions import History, forget_charters
from custody.history.relations import children, is_stranded, members
from custody.history.state import State
from custody.log import Frontier, LogEntry, seal
from custody.ports import Store, StoreTransaction, StoreView
from custody.record import MAX_TEXT, Record
from custody.transfer.address import MOST_SKIPPED, AddressAnnex, AddressIssued, ExpectedDeposit, IndexesPaid
from custody.transfer.annex import Annex
from custody.transfer.draft import Draft
from custody.transfer.settlement import Ended, Ending
from custody.transfer.signing import signing_psbt
from custody.transfer.state import Transfer
from custody.vault.coins import ScriptPlace
from custody.vault.descriptor import Branch, Vault
from custody.vault.ownership import PrevtxMissing

Body = TypeVar("Body", bound=Record)
PAGE: Final = 1_000
"""Entries that are read while a view is open."""
NOTES_READ: Final = 16
"""Checkpoints that are looked through, the newest first, for one that enough witnesses have cosigned."""
SEAL_EVERY: Final = 1_000
"""Entries after which the log says what its state is."""


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


class StateBehind(IntegrityError, code="STATE_BEHIND"):
    """A store whose rows are not those of its log."""

    message = "the log has {size} entries, but what it says was kept for {kept} of them, or for others"
    hint = "Have the rows made again from the log: custody store rebuild."
    size: int
    kept: int


@dataclass(slots=True)
class Work:
    """An open store transaction with the state as it stands in it. `now` is Unix seconds."""

    store: StoreTransaction
    state: State
    now: int
    salt: Callable[[], bytes]

    @property
    def history(self) -> History:
        """What the log says by now, entries of this unit included."""
        return History(self.state)

    def append(self, kind: EntryKind[Body], body: Body) -> LogEntry:
        """Seal `body` as the next entry, fold it, and write it."""
        author, subjects = kind.author(body), kind.subjects(body)
        return self._enter(seal(self.store.size, kind, author, subjects, body.to_bytes(), self.salt()))

    def annex(self, annex: Annex) -> None:
        """Enter an annex under its own salt, unless it stands there already."""
        if self.history.annexed_at(annex.named) is None:
            body = annex.body.encode("utf-8")
            self._enter(seal(self.store.size, kinds.ANNEXED, COORDINATOR, (), body, annex.salt))

    def issue(self, vault_id: bytes, expected: ExpectedDeposit, height: int = 0) -> int:
        """Give out the next receive address of a vault that nobody has paid to yet, on a chain that is at `height`.

        Its index. Payer and purpose go into an annex.

        Raises:
            Frozen: everything stands still.
            IndexesPaid: too many have been paid already.
        """
        history = self.history
        # Somebody else holds enough keys of a vault: what is paid in now may be theirs.
        refuse_frozen(history.frozen_by)
        due, height = history.next_index(vault_id, Branch.RECEIVE), max(height, history.height)
        free = (each for each in range(due, due + MOST_SKIPPED) if not is_paid(history, vault_id, Branch.RECEIVE, each))
        index = next(free, None)
        if index is None:
            name = history.charter.vault_by_id(vault_id)[0].name
            raise IndexesPaid(vault=name, first=due, last=due + MOST_SKIPPED - 1)
        annex = Annex.of(AddressAnnex.of(expected), self.salt())
        self.annex(annex)
        issued = AddressIssued.of(expected.coin_class, annex.named, vault_id, index, height, self.now)
        self.append(kinds.ADDRESS_ISSUED, issued)
        return index

    def _enter(self, entry: LogEntry) -> LogEntry:
        # Folding comes first: an entry that does not fit what stands before it is never written.
        try:
            self.state = fold(self.state, [entry])
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
        self.append(kinds.ENDED, ended)
        self.free(transfer)

    def free(self, transfer: Transfer) -> None:
        """Let go of what a transfer held: the store holds what the log says is held, and for whom."""
        history, group = self.history, transfer.group
        others = (each for each in members(history, group) if each.is_live)
        concerned = dict.fromkeys(outpoint for each in (transfer, *others) for outpoint in each.draft.outpoints)
        self.store.release_holds(group)
        held: dict[bytes, list[OutPoint]] = {}
        for outpoint in concerned:
            if (holder := held_by(history, outpoint)) is not None:
                held.setdefault(holder, []).append(outpoint)
        for holder, outpoints in held.items():
            self.store.hold(outpoints, holder)

    def shelve_children(self, transfer: Transfer) -> None:
        """Stop sending the children of what `transfer` replaces: with it they wait for a parent that nodes threw out.

        They are queued again when their parent is found in a block (`observer`).
        """
        for replaced in transfer.replaced:
            for child in children(self.history, replaced):
                if self.store.queued(child.id) is not None and is_stranded(self.history, child):
                    self.store.dequeue(child.id)

    def told(self) -> Iterator[Told]:
        """What time it is by the words of others, as far as they stand here."""
        return told_in(self.history, self.store)

    def vault_of(self, transfer: Transfer) -> Vault:
        """The vault a transfer spends from."""
        return vault_of(self.history, transfer)

    def psbt(self, transfer: Transfer) -> TransferPsbt:
        """The PSBT that goes to the transfer's signers."""
        drafted = transfer.draft
        found = {outpoint.txid: previous(self.history, self.store, outpoint) for outpoint in drafted.outpoints}
        by_txid = {txid: raw for txid, raw in found.items() if raw is not None}
        return signing_psbt(drafted, self.vault_of(transfer), by_txid)

    def seal(self) -> StateSealed:
        """Say in the log what its state is."""
        sealed = StateSealed(size=self.state.size, state=self.state.digest())
        self.append(kinds.STATE_SEALED, sealed)
        return sealed

    def seal_when_due(self, every: int) -> None:
        """The same, once in so many entries."""
        if every and self.state.size // every > self.state.base.head.frontier.size // every:
            self.seal()


def told_in(history: History, view: StoreView) -> Iterator[Told]:
    """What time it is by the newest block that was looked at, and by the newest cosignatures that are enough."""
    newest = lists.newest_block(history)
    if newest is not None:
        yield by_block(newest[1].time)
    if not history.has_charter or not history.charter.witnesses:
        return
    witnesses = frozenset(history.charter.witness_keys.items())
    for note in list(view.checkpoints(NOTES_READ)):
        time = noted_at(note, witnesses, history.charter.witness_threshold)
        if time is not None:
            yield by_witnesses(time)
            return


def annex_of(history: History, store: StoreView, named: bytes) -> Annex | None:
    """The annex of this salted digest as it may be shown to others; None when it was erased, or never came."""
    at = history.annexed_at(named)
    entry = None if at is None else next(store.entries(at, at + 1))
    if entry is None or entry.body is None:
        return None
    return Annex(salt=entry.salt, body=entry.body.decode("utf-8"))


def vault_of(history: History, transfer: Transfer) -> Vault:
    """The vault a transfer spends from, as its charter has it."""
    return history.charter_version(transfer.row.charter).vault_by_id(transfer.row.vault)[1]


def previous(history: History, store: StoreView, outpoint: OutPoint) -> bytes | None:
    """The raw transaction, without witness, that made a coin: a deposit's, or a released one of our own."""
    kept = store.document(outpoint.txid)
    if kept is not None and _is_transaction(kept, outpoint.txid):
        return kept
    released = history.state.get(tables.RELEASED, outpoint.txid)
    parent = None if released is None else history.transfer(released.value)
    return None if parent is None or parent.verified is None else PreviousTransaction(parent.verified.raw).stripped


def _is_transaction(raw: bytes, txid: bytes) -> bool:
    try:
        return PreviousTransaction(raw).txid == txid
    except TransactionEncoding:
        return False


def all_previous(history: History, store: StoreView, drafted: Draft) -> list[bytes]:
    """The raw transactions whose outputs a draft spends, as they are kept here.

    Raises:
        PrevtxMissing: one is not (any more).
    """
    found: dict[bytes, bytes] = {}
    for index, outpoint in enumerate(drafted.outpoints):
        raw = found.get(outpoint.txid) or previous(history, store, outpoint)
        if raw is None:
            raise PrevtxMissing(index=index)
        found[outpoint.txid] = raw
    return list(found.values())


def read_entries(store: Store, start: int, stop: int) -> Iterator[LogEntry]:
    """Entries from index `start` up to but not including `stop`, a page at a time: nobody who writes waits for long."""
    for at in range(start, stop, PAGE):
        with store.read() as view:
            page = list(view.entries(at, min(stop, at + PAGE)))
        yield from page


class Logbook:
    """A store's log, and what it says."""

    def __init__(
        self, store: Store, charter_digest: bytes, salt: Callable[[], bytes], seal_every: int = SEAL_EVERY
    ) -> None:
        """`charter_digest` is pinned outside the store; `salt()` gives 32 fresh random bytes for an entry."""
        forget_charters()
        self._store = store
        self._pinned = charter_digest
        self._salt = salt
        self._seal_every = seal_every
        self._known = Frontier()

    def read(self) -> History:
        """The history as of now."""
        with self._store.read() as view:
            return self.history_in(view)

    def history_in(self, view: StoreView) -> History:
        """The history as of a view."""
        return History(self._load(view))

    def watched(self, scripts: Collection[bytes]) -> dict[bytes, ScriptPlace]:
        """Those of `scripts` that are watched, and whose they are."""
        with self._store.read() as view:
            return view.watched(scripts)

    def windows(self) -> dict[tuple[bytes, int], int]:
        """The first index that is not watched, of each vault and branch that is."""
        with self._store.read() as view:
            return view.windows()

    @contextmanager
    def write(self, now: int) -> Iterator[Work]:
        """One unit of work, alone in the store, at `now` (Unix seconds); an exception that leaves it undoes all of it.

        Raises:
            ClockSkew: our clock is behind what others have told.
        """
        with self._store.transaction() as transaction:
            work = Work(transaction, self._load(transaction), now, self._salt)
            refuse_behind(now, work.told())
            yield work
            work.seal_when_due(self._seal_every)
            transaction.save(work.state)
        self._known = work.state.frontier

    def _load(self, view: StoreView) -> State:
        known = self._known
        if known.size > view.size or view.root_at(known.size) != known.root:
            raise RolledBack(size=known.size, expected=known.root.hex(), actual=f"{view.size} entries")
        rows = view.rows()
        if rows.head.frontier != view.frontier():
            raise StateBehind(size=view.size, kept=rows.head.frontier.size)
        state = State.over(rows, self._pinned)
        charter = History(state).charter_row
        if charter is not None:
            # Rows were folded under the charter pinned then: whoever has pinned another one does not go by it.
            refuse_other_charter(charter.digest, self._pinned)
        self._known = rows.head.frontier
        return state
