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
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Integer, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from custody.backends.sql import schema, sqlite
from custody.backends.sql.entries import (
    entry_index,
    from_log,
    load_frontier,
    read_entry,
    read_page,
)
from custody.backends.sql.kinds import checked
from custody.backends.sql.rows import RowsAsOf, SqlRows, read_head
from custody.backends.sql.scratch import ScratchRows, paged, scratch_rows
from custody.backends.sql.view import SqlTransaction, SqlView
from custody.bitcoin.script import NetworkMismatch
from custody.errors import InvalidInput
from custody.history.difference import first_difference
from custody.history.multiset import Multiset
from custody.history.rows import Head, StateCorrupt, Table
from custody.history.snapshot import SEALED, Written
from custody.log import Frontier, LogCorrupt, SignedCheckpoint, check_name
from custody.ports import (
    FileExists,
    Scratch,
    StoreCorrupt,
    StoreFailed,
    StoreMissing,
    StoreOutdated,
    StoreTransaction,
    StoreVersion,
    StoreView,
)
from custody.units import Network

BUSY_SECONDS: Final = 10
"""How long a transaction waits for others before it gives up."""


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
            # A clean-up that fails must not hide why.
            with suppress(OSError):
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
            transaction = SqlTransaction.begun(connection, self)
            with transaction.reading():
                yield transaction
                transaction.finish()

    @contextmanager
    def read(self) -> Iterator[StoreView]:
        """One consistent state. While it is open nobody's transaction can end, so keep it short."""
        with _translating(self._path, self._busy_seconds), self._reader.begin() as connection:
            view = SqlView.begun(connection, self)
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
        own = scratch_rows(scratch)
        with self.translating(), self.asker() as connection:
            head = read_head(connection, self.shown)
        found = first_difference(paged(own), paged(self.rows_of(own.head)), compared)
        is_other = head.frontier == own.head.frontier and head.total.digest() != own.head.total.digest()
        if found is None and is_other:
            return StateCorrupt(table="state_head", key="", problem="its sum is not that of the rows")
        return found

    def sealed_rows(self, size: int) -> Iterator[Written]:
        """The rows that the digest of the state covers, as they were after `size` entries, by table and key."""
        listed = paged(RowsAsOf(size, self))
        return ((table, key, data) for table in SEALED for key, data in listed(table))

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
                beyond = connection.scalar(select(func.max(entry_index, type_=Integer)))
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
    revisions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    check_revision(store, [str(checked(each, str)) for each in revisions])
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
