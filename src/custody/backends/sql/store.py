"""How does a coordinator's log, its holds and its outbox live in one SQLite file?

1. A transaction takes the file's write lock before it reads anything, so nothing it has read can change under it.
2. It checks that the log ends where the log's head says, with the root the frontier gives. That costs a few hashes.
3. What is read is checked as it is read: an entry's head against its leaf, its place, and its body against the head.
4. `verify` trusts nothing that can be computed, and names the first entry that is wrong.

A restored backup is a good store: that it is too old shows only against a checkpoint kept elsewhere, which is for the
custodian to compare. Who may write which entry is for `history`.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError

from custody.backends.sql import schema, sqlite
from custody.backends.sql.entries import (
    PAGE,
    check_end,
    entry_index,
    from_log,
    load_frontier,
    read_entry,
    read_page,
    root_at,
    save_frontier,
    write_entry,
)
from custody.backends.sql.rows import SqlRows, read_head, write_rows
from custody.backends.sql.scratch import ScratchRows, first_difference, replace_rows
from custody.backends.sql.statement import Statement
from custody.bitcoin.script import NetworkMismatch
from custody.bitcoin.transaction import OutPoint
from custody.errors import InvalidInput
from custody.history.multiset import Multiset
from custody.history.rows import Head, StateCorrupt, Table
from custody.history.state import State
from custody.log import Frontier, LogCorrupt, LogEntry, SignedCheckpoint, check_name, open_body
from custody.ports import (
    FileExists,
    NotQueued,
    OutboxRow,
    Scratch,
    StateChanged,
    StoreCorrupt,
    StoreFailed,
    StoreMissing,
    StoreOutdated,
    StoreTransaction,
    StoreVersion,
    StoreView,
    UtxoReserved,
    plain_reason,
)
from custody.units import Network
from custody.vault.coins import ScriptPlace
from custody.vault.descriptor import Branch

BUSY_SECONDS: Final = 10
"""How long a transaction waits for others before it gives up."""
IN_ONE_QUESTION: Final = 500
"""Scripts that are looked for at once."""

_DOCUMENT: Final = Statement(select(schema.documents.c.data).where(schema.documents.c.digest == bindparam("digest")))


def create_store(path: Path, network: Network, origin: str, busy_seconds: int = BUSY_SECONDS) -> SqlStore:
    """Make an empty store at `path` (0600), for a log named `origin`. The file appears complete or not at all.

    Raises:
        FileExists: something stands there.
        CheckpointInvalid: `origin` cannot name a log.
        StoreFailed: the directory cannot be written.
    """
    check_name(origin)
    if os.path.lexists(path):
        raise FileExists(path=sqlite.shown(path))
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            _fill(temporary, network, origin, busy_seconds)
            os.link(temporary, path, follow_symlinks=False)
        finally:
            temporary.unlink()
        _sync_directory(path.parent)
    except FileExistsError:
        raise FileExists(path=sqlite.shown(path)) from None
    except OSError as error:
        raise StoreFailed(store=sqlite.shown(path), reason=error.strerror or type(error).__name__) from None
    return open_store(path, network, busy_seconds)


def open_store(path: Path, network: Network, busy_seconds: int = BUSY_SECONDS) -> SqlStore:
    """The store at `path`, which must be of `network`.

    Raises:
        StoreMissing: there is no file. One is never made by opening.
        StoreVersion: it is no store, or of a format this program does not know.
        StoreOutdated: its tables must be upgraded first.
        NetworkMismatch: it is of another network.
        StoreCorrupt, LogCorrupt: it disagrees with itself.
    """
    if not path.is_file():
        raise StoreMissing(store=sqlite.shown(path))
    store = SqlStore(path, network, busy_seconds)
    with store.read():
        pass
    return store


def upgrade_store(path: Path, network: Network, busy_seconds: int = BUSY_SECONDS) -> None:
    """Bring the tables of the store at `path` to what this program needs, in one transaction. Copy the file first.

    Raises:
        StoreMissing, StoreVersion, NetworkMismatch: as for opening.
    """
    if not path.is_file():
        raise StoreMissing(store=sqlite.shown(path))
    with _translating(path, busy_seconds), sqlite.writer(path, busy_seconds).begin() as connection:
        try:
            _check_identity(connection, path, network)
        except StoreOutdated:
            _migrate(connection)


class SqlStore:
    """A store in one SQLite file. Implements `Store`; make it with `create_store` or `open_store`.

    It holds no connection between transactions, so it may be shared by threads and survives a fork. What it has read
    keeps one of its own for each thread that asks on (`SqlRows`).
    """

    def __init__(self, path: Path, network: Network, busy_seconds: int) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._writer = sqlite.writer(path, busy_seconds)
        self._reader = sqlite.reader(path, busy_seconds)
        self._asker = sqlite.asker(path, busy_seconds)
        self._network = network
        with _translating(path, busy_seconds), self._reader.begin() as connection:
            self._origin = _check_identity(connection, path, network)

    @property
    def network(self) -> Network:
        """The network this store is of."""
        return self._network

    @property
    def origin(self) -> str:
        """The log's name in checkpoints."""
        return self._origin

    @contextmanager
    def transaction(self) -> Iterator[StoreTransaction]:
        """One atomic change, durable once the block has ended without an exception."""
        with _translating(self._path, self._busy_seconds), self._writer.begin() as connection:
            transaction = _Transaction.begun(connection, self)
            with transaction.reading():
                yield transaction
                transaction.finish()

    @contextmanager
    def read(self) -> Iterator[StoreView]:
        """One consistent state. While it is open nobody's transaction can end, so keep it short."""
        with _translating(self._path, self._busy_seconds), self._reader.begin() as connection:
            view = _View.begun(connection, self)
            with view.reading():
                yield view

    def asker(self) -> Connection:
        """A connection for whoever holds no transaction."""
        return self._asker.connect()

    def translating(self) -> AbstractContextManager[None]:
        """What the database raises, in the words of the port."""
        return _translating(self._path, self._busy_seconds)

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return sqlite.shown(self._path)

    @contextmanager
    def scratch(self) -> Iterator[ScratchRows]:
        """Empty rows to fold into, which only this process sees."""
        with self.translating(), self.asker() as log:
            rows = ScratchRows(log, from_log)
            try:
                yield rows
            finally:
                rows.close()

    def difference(self, scratch: Scratch, compared: Collection[Table[Any]]) -> StateCorrupt | None:
        """The first row of these tables that is not what was folded into `scratch`; None when all are the same."""
        own = _scratch_rows(scratch)
        with self.translating(), self.asker() as connection:
            head = read_head(connection, self.shown)
        found = first_difference(own, self.rows_of(own.head), compared)
        is_other = head.frontier == own.head.frontier and head.total.digest() != own.head.total.digest()
        if found is None and is_other:
            return StateCorrupt(table="state_head", key="", problem="its sum is not that of the rows")
        return found

    def rows_of(self, head: Head) -> SqlRows:
        """The rows as of `head`."""
        return SqlRows(head, self, from_log)

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    def verify(self) -> Frontier:
        """Recompute everything. Entries never change, so they are read a page at a time and writers go on meanwhile."""
        with _translating(self._path, self._busy_seconds):
            with self._reader.begin() as connection:
                self._check_file(connection)
                stored = load_frontier(connection, self._path)
                beyond = connection.scalar(select(func.max(entry_index)))
                notes = {row.size: row.note for row in connection.execute(select(schema.checkpoints))}
            computed = self._recompute(stored.size, notes)
        if computed != stored:
            raise StoreCorrupt(store=sqlite.shown(self._path), what="the log's head is not what its entries give")
        if beyond is not None and beyond >= stored.size:
            raise StoreCorrupt(store=sqlite.shown(self._path), what=f"the log goes on behind its head at {stored.size}")
        if notes:
            raise self._wrong_checkpoint(min(notes))
        return computed

    def _check_file(self, connection: Connection) -> None:
        for pragma in ("quick_check(1)", "foreign_key_check"):
            found = connection.exec_driver_sql(f"PRAGMA {pragma}").first()
            if found is not None and found[0] != "ok":
                raise StoreCorrupt(store=sqlite.shown(self._path), what=f"SQLite's {pragma} finds fault")

    def _recompute(self, size: int, notes: dict[int, str]) -> Frontier:
        """The frontier of the entries' own bytes. Takes from `notes` each checkpoint that it has found to be right."""
        frontier = Frontier()
        self._settle_checkpoint(frontier, notes)
        while frontier.size < size:
            with self._reader.begin() as connection:
                rows = read_page(connection, frontier.size, size)
            for row in rows:
                read_entry(row, frontier.size)
                frontier = frontier.append(row.leaf)
                if row.root != frontier.root:
                    raise LogCorrupt(index=row.at, problem="the root recorded with it is not that of the log")
                if frontier.size in notes:
                    self._settle_checkpoint(frontier, notes)
        return frontier

    def _settle_checkpoint(self, frontier: Frontier, notes: dict[int, str]) -> None:
        note = notes.pop(frontier.size, None)
        if note is None:
            return
        try:
            checkpoint = SignedCheckpoint.parse(note).checkpoint
        except InvalidInput:
            raise self._wrong_checkpoint(frontier.size) from None
        if (checkpoint.origin, checkpoint.size, checkpoint.root) != (self._origin, frontier.size, frontier.root):
            raise self._wrong_checkpoint(frontier.size)

    def _wrong_checkpoint(self, size: int) -> StoreCorrupt:
        return StoreCorrupt(store=sqlite.shown(self._path), what=f"the checkpoint of size {size} is not of this log")


class _View:
    """Reads over one open transaction."""

    def __init__(self, connection: Connection, store: SqlStore, frontier: Frontier) -> None:
        self._connection = connection
        self._store = store
        self._frontier = frontier
        self._begun_with = frontier
        self._open = ExitStack()
        self._rows: SqlRows | None = None
        self._has_erased = False

    @classmethod
    def begun(cls, connection: Connection, store: SqlStore) -> Self:
        """A view of what is there, once the log's end has been found to be in order."""
        frontier = load_frontier(connection, store.path)
        check_end(connection, store.path, frontier)
        return cls(connection, store, frontier)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """For as long as this lasts its rows are read through its connection."""
        with self._open:
            yield

    @property
    def size(self) -> int:
        return self._frontier.size

    @property
    def root(self) -> bytes:
        return self._frontier.root

    def frontier(self) -> Frontier:
        return self._frontier

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LogEntry]:
        end = self.size if stop is None else min(stop, self.size)
        at = start
        # A page at a time, so that a caller may append between two entries.
        while at < end:
            for row in read_page(self._connection, at, end):
                yield read_entry(row, at)
                at += 1

    def leaves(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        statement = select(entry_index, schema.entries.c.leaf).order_by(entry_index)
        end = self.size if stop is None else min(stop, self.size)
        for at in range(start, end, PAGE):
            page = range(at, min(end, at + PAGE))
            rows = self._connection.execute(statement.where(entry_index >= page.start, entry_index < page.stop))
            found = {row[0]: row[1] for row in rows}
            for index in page:
                if index not in found:
                    raise LogCorrupt(index=index, problem="it is missing")
                yield found[index]

    def root_at(self, size: int) -> bytes:
        if size == self.size:
            return self.root
        if not 0 <= size < self.size:
            raise StateChanged(what="the log's size", expected=f"at least {size}", actual=str(self.size))
        root = root_at(self._connection, size)
        if root is None:
            raise LogCorrupt(index=size - 1, problem="it is missing")
        return root

    def rows(self) -> SqlRows:
        """What the log says is so, as of this view."""
        # Not before somebody asks: whoever builds them again must get here though their head is damaged.
        if self._rows is None:
            head = read_head(self._connection, sqlite.shown(self._store.path))
            self._rows = self._store.rows_of(head)
            self._open.enter_context(self._rows.bound(self._connection))
        return self._rows

    def document(self, digest: bytes) -> bytes | None:
        found: bytes | None = _DOCUMENT.scalar(self._connection, digest=digest)
        return found

    def watched(self, scripts: Collection[bytes]) -> dict[bytes, ScriptPlace]:
        table, wanted = schema.scripts, sorted(set(scripts))
        found: dict[bytes, ScriptPlace] = {}
        for at in range(0, len(wanted), IN_ONE_QUESTION):
            some = select(table).where(table.c.script.in_(wanted[at : at + IN_ONE_QUESTION]))
            found.update(
                (row[0], ScriptPlace(row[1], Branch(row[2]), row[3])) for row in self._connection.execute(some)
            )
        return found

    def windows(self) -> dict[tuple[bytes, int], int]:
        return {(row.vault, row.branch): row.end for row in self._connection.execute(select(schema.windows))}

    def holder(self, outpoint: OutPoint) -> bytes | None:
        statement = select(schema.holds.c.holder).where(schema.holds.c.outpoint == outpoint.to_bytes())
        return self._connection.scalar(statement)

    def held(self, holder: bytes) -> tuple[OutPoint, ...]:
        found = self._connection.scalars(select(schema.holds.c.outpoint).where(schema.holds.c.holder == holder))
        return tuple(sorted(OutPoint(raw[:32], int.from_bytes(raw[32:], "little")) for raw in found))

    def outbox(self) -> tuple[OutboxRow, ...]:
        rows = self._connection.execute(select(schema.outbox).order_by(schema.outbox.c.position)).mappings()
        return tuple(_outbox_row(row) for row in rows)

    def queued(self, transfer_id: bytes) -> OutboxRow | None:
        statement = select(schema.outbox).where(schema.outbox.c.transfer_id == transfer_id)
        row = self._connection.execute(statement).mappings().first()
        return None if row is None else _outbox_row(row)

    def checkpoint(self, size: int | None = None) -> str | None:
        table = schema.checkpoints
        statement = select(table.c.note).order_by(table.c.size.desc()).limit(1)
        return self._connection.scalar(statement if size is None else statement.where(table.c.size == size))

    def checkpoints(self) -> Iterator[str]:
        table = schema.checkpoints
        return iter(self._connection.scalars(select(table.c.note).order_by(table.c.size.desc())))


class _Transaction(_View):
    """The same, and changes. The log's head is written once, at the end."""

    def append(self, entry: LogEntry) -> None:
        index = entry.head.index
        if index != self.size:
            raise StateChanged(what="the log's size", expected=str(index), actual=str(self.size))
        if entry.body is not None:
            open_body(entry)
        frontier = self._frontier.append(entry.leaf)
        write_entry(self._connection, entry, frontier.root)
        self._frontier = frontier

    def save(self, state: State) -> None:
        if (state.frontier, state.base.head.frontier) != (self._frontier, self.rows().head.frontier):
            what = "the log that the state is of"
            raise StateChanged(what=what, expected=f"{self.size} entries", actual=f"{state.size} entries")
        # Rows that have ended may say what an erased body said: then none is kept for those who read an older log.
        write_rows(self._connection, state, keeps_ended=not self._has_erased)

    def replace_rows(self, scratch: Scratch) -> StateCorrupt | None:
        own = _scratch_rows(scratch)
        if own.head.frontier != self._frontier:
            raise StateChanged(
                what="the log that the rows are of",
                expected=f"{self.size} entries",
                actual=f"{own.head.frontier.size} entries",
            )
        kept = self._store.rows_of(own.head)
        with kept.bound(self._connection):
            return replace_rows(self._connection, kept, own)

    def watch(self, vault_id: bytes, branch: int, start: int, scripts: Sequence[bytes]) -> None:
        table = schema.windows
        window = (table.c.vault == vault_id, table.c.branch == branch)
        end = self._connection.scalar(select(table.c.end).where(*window)) or 0
        if start > end:
            raise StateChanged(what="the window of scripts", expected=f"at least {start}", actual=str(end))
        rows = [
            {"script": script, "vault": vault_id, "branch": branch, "index": index}
            for index, script in enumerate(scripts[end - start :], end)
        ]
        if rows:
            self._connection.execute(insert(schema.scripts), rows)
            self._connection.execute(delete(table).where(*window))
            values = {"vault": vault_id, "branch": branch, "end": end + len(rows)}
            self._connection.execute(insert(table), values)

    def keep_document(self, digest: bytes, data: bytes) -> None:
        if self.document(digest) is None:
            self._connection.execute(insert(schema.documents), {"digest": digest, "data": data})

    def erase_body(self, index: int) -> None:
        if not 0 <= index < self.size:
            raise StateChanged(what="the log's size", expected=f"more than {index}", actual=str(self.size))
        # The salt stands in the same row and goes with it: with the salt, likely bodies could be tried.
        self._connection.execute(delete(schema.bodies).where(schema.bodies.c.index == index))
        self._has_erased = True

    def hold(self, outpoints: Iterable[OutPoint], holder: bytes) -> None:
        wanted = {outpoint.to_bytes(): outpoint for outpoint in outpoints}
        present = self._holders(list(wanted))
        for raw, outpoint in wanted.items():
            if present.get(raw, holder) != holder:
                raise UtxoReserved(outpoint=outpoint, holder=present[raw].hex())
        rows = [{"outpoint": raw, "holder": holder} for raw in wanted if raw not in present]
        if rows:
            self._connection.execute(insert(schema.holds), rows)

    def release_holds(self, holder: bytes) -> None:
        self._connection.execute(delete(schema.holds).where(schema.holds.c.holder == holder))

    def queue(self, transfer_id: bytes, raw: bytes, queued_at: int) -> None:
        table = schema.outbox
        queued = self._connection.scalar(select(table.c.raw).where(table.c.transfer_id == transfer_id))
        if queued is None:
            fresh = {"attempts": 0, "was_sent": 0, "last_error": ""}
            values = {"transfer_id": transfer_id, "raw": raw, "queued_at": queued_at, **fresh}
            self._connection.execute(insert(table), values)
        elif queued != raw:
            what = f"the transaction queued for transfer {transfer_id.hex()}"
            raise StateChanged(what=what, expected=_sample(raw), actual=_sample(queued))

    def attempted(self, transfer_id: bytes, error: str | None) -> None:
        table = schema.outbox
        statement = update(table).where(table.c.transfer_id == transfer_id)
        if error is None:
            statement = statement.values(attempts=table.c.attempts + 1, was_sent=1, last_error="")
        else:
            statement = statement.values(attempts=table.c.attempts + 1, last_error=plain_reason(error))
        self._require_row(self._connection.execute(statement).rowcount, transfer_id)

    def dequeue(self, transfer_id: bytes) -> None:
        statement = delete(schema.outbox).where(schema.outbox.c.transfer_id == transfer_id)
        self._require_row(self._connection.execute(statement).rowcount, transfer_id)

    def save_checkpoint(self, note: str) -> None:
        checkpoint = SignedCheckpoint.parse(note).checkpoint
        if checkpoint.origin != self._store.origin:
            raise StateChanged(what="the checkpoint's log", expected=self._store.origin, actual=checkpoint.origin)
        root = self.root_at(checkpoint.size)
        if checkpoint.root != root:
            what = f"the log's root at size {checkpoint.size}"
            raise StateChanged(what=what, expected=root.hex(), actual=checkpoint.root.hex())
        table = schema.checkpoints
        self._connection.execute(delete(table).where(table.c.size == checkpoint.size))
        self._connection.execute(insert(table), {"size": checkpoint.size, "note": note})

    def finish(self) -> None:
        """Write the log's head if the log grew. Called once, before the commit."""
        if self._frontier is not self._begun_with:
            save_frontier(self._connection, self._frontier)

    def _holders(self, outpoints: list[bytes]) -> dict[bytes, bytes]:
        """Who holds which of `outpoints` (36 bytes each), free ones left out."""
        table = schema.holds
        found: dict[bytes, bytes] = {}
        for at in range(0, len(outpoints), PAGE):
            some = select(table.c.outpoint, table.c.holder).where(table.c.outpoint.in_(outpoints[at : at + PAGE]))
            found.update((row.outpoint, row.holder) for row in self._connection.execute(some))
        return found

    @staticmethod
    def _require_row(count: int, transfer_id: bytes) -> None:
        if count != 1:
            raise NotQueued(transfer=transfer_id.hex())


def _scratch_rows(scratch: Scratch) -> ScratchRows:
    if not isinstance(scratch, ScratchRows):
        raise TypeError("rows are compared with, and taken over from, a scratch of this kind of store")
    return scratch


def _outbox_row(row: RowMapping) -> OutboxRow:
    return OutboxRow(
        transfer_id=row["transfer_id"],
        raw=row["raw"],
        queued_at=row["queued_at"],
        attempts=row["attempts"],
        was_sent=bool(row["was_sent"]),
        last_error=row["last_error"],
    )


def _sample(raw: bytes) -> str:
    """Bytes told apart in a message without showing them: with a signed transaction anybody can broadcast."""
    return f"SHA-256 {sha256(raw).hexdigest()[:16]}"


def _check_identity(connection: Connection, path: Path, network: Network) -> str:
    """The origin of a store that is one of ours, of `network`, and up to date.

    Raises:
        StoreVersion, StoreOutdated, NetworkMismatch, StoreCorrupt.
    """
    store = sqlite.shown(path)
    if not {"alembic_version", "meta"} <= set(inspect(connection).get_table_names()):
        raise StoreVersion(store=store, found="none")
    row = connection.execute(select(schema.meta)).first()
    if row is None:
        raise StoreCorrupt(store=store, what="it does not say whose it is")
    if row.format != schema.FORMAT:
        raise StoreVersion(store=store, found=str(row.format))
    if row.network != network.value:
        raise NetworkMismatch(what="the store", expected=network.value, actual=row.network)
    check_revision(store, connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all())
    return str(row.origin)


def check_revision(store: str, found: Sequence[str], known: Sequence[str] = schema.REVISIONS) -> None:
    """Check that the tables are at the last of the `known` revisions.

    Raises:
        StoreOutdated: at an earlier one.
        StoreVersion: at one this program does not know.
    """
    at = ", ".join(found) or "none"
    if list(found) == [known[-1]]:
        return
    if len(found) == 1 and found[0] in known:
        raise StoreOutdated(store=store, found=at, needed=known[-1])
    raise StoreVersion(store=store, found=at)


def _fill(path: Path, network: Network, origin: str, busy_seconds: int) -> None:
    """Make the tables and their single rows in the empty file at `path`."""
    with _translating(path, busy_seconds), sqlite.writer(path, busy_seconds).begin() as connection:
        _migrate(connection)
        values = {"id": 1, "format": schema.FORMAT, "network": network.value, "origin": origin}
        connection.execute(insert(schema.meta), values)
        connection.execute(insert(schema.log_head), {"id": 1, "size": 0, "peaks": b""})
        total = Multiset().to_bytes()
        connection.execute(insert(schema.state_head), {"id": 1, "size": 0, "peaks": b"", "total": total, "oldest": 0})


def _migrate(connection: Connection) -> None:
    # Only a new or an outdated store needs Alembic, which is slow to load.
    from custody.backends.sql.migrations import migrate  # noqa: PLC0415

    migrate(connection, schema.REVISIONS[-1])


@contextmanager
def _translating(path: Path, busy_seconds: int) -> Iterator[None]:
    """The door: what SQLAlchemy and SQLite raise ends here."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise sqlite.translated(error, path, busy_seconds) from None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
