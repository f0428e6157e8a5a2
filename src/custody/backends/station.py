"""How does a station keep what it must not forget: one SQLite file, in which a save is there whole or not at all?

Whom it trusts is one record. What it has seen of the log is rows, written above those that were there; what they
replaced stays until the next save, so that whoever holds the state from before can still read it; who holds an older
one is told so.

The file is the owner's only, and is written with a rollback journal and a sync after it: after a power cut there is the
old or the new. Nothing here reaches a network.

Sources: sqlite.org pragma.html, lockingv3.html.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from custody.history import tables
from custody.history.multiset import Multiset
from custody.history.rows import KEY_NAMES, Head, Key, NoRows, Row, Rows, StateCorrupt, Table, together
from custody.history.snapshot import Written
from custody.history.state import State
from custody.log import Frontier
from custody.ports import ChangedMeanwhile, FileUnusable, StateGone, StationDamaged, StationState
from custody.record import RecordInvalid, RecordNotCanonical

FORMAT: Final = 2
PAGE: Final = 200
"""Rows fetched at once."""
_FOREVER: Final = 2**62
_BEGIN_AGAIN: Final = (
    "Then let the station begin in a new folder: trust the charter by words told by voice, and catch up with the log "
    "from a file, before it signs anything. What was seen here last, somebody must compare: custody-station status "
    "elsewhere."
)
_BUSY_SECONDS: Final = 10
_PRAGMAS: Final = (
    "PRAGMA journal_mode=DELETE",
    "PRAGMA synchronous=EXTRA",
    "PRAGMA fullfsync=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    # What a thousand entries change fits in, else pages would be written, and read again, before the save is whole.
    "PRAGMA cache_size=-16384",
)
_SCHEMA: Final = f"""
PRAGMA user_version={FORMAT};
CREATE TABLE trusted (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL) STRICT;
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, peaks BLOB NOT NULL, total BLOB NOT NULL,
    oldest INTEGER NOT NULL
) STRICT;
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, key BLOB NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
    value BLOB NOT NULL, UNIQUE (name, key, since)
) STRICT;
CREATE INDEX rows_ended ON rows (until) WHERE until < {_FOREVER};
"""
REMEMBERED: Final = 10_000
"""Rows of a save, at most, that the process remembers: it goes on from there without reading them."""
_Known: TypeAlias = dict[tuple[Table[Any], Key], Any]
_AS_OF: Final = "name = :name AND since <= :size AND until > :size"
_DELETE_ENDED: Final = f"DELETE FROM rows WHERE until <= ? AND until < {_FOREVER}"  # noqa: S608 - words of this file
"""The second condition is the index's own: without it SQLite would look through all rows."""
_INSERT: Final = "INSERT INTO rows (name, key, since, until, value) VALUES (?, ?, ?, ?, ?)"
_GET: Final = f"SELECT oldest, (SELECT value FROM rows WHERE {_AS_OF} AND key = :key) FROM head"  # noqa: S608 - words of this file
_MANY: Final = f"SELECT key, value FROM rows WHERE {_AS_OF} AND key IN (:{', :'.join(KEY_NAMES)})"  # noqa: S608 - the same


class FileStationMemory:
    """A station's memory in one file. Implements `StationMemory`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest: tuple[Frontier, _Known] = (Frontier(), {})

    @property
    def shown(self) -> str:
        """What the file is called in messages."""
        return _shown(self._path)

    def load(self) -> StationState | None:
        """Whom this station trusts; None before anything was saved, the file having been made or not.

        Raises:
            StationDamaged: the file is damaged.
            FileUnusable: it cannot be read.
        """
        if not os.path.lexists(self._path):
            return None
        with self._reading() as connection:
            row = connection.execute("SELECT record FROM trusted").fetchone()
            is_new = row is None and not _read_head(connection).frontier.size
        if is_new:
            return None
        if row is None:
            raise self._damaged("it does not say which charter is trusted")
        try:
            return StationState.from_bytes(row[0])
        except (RecordInvalid, RecordNotCanonical) as error:
            raise self._damaged(f"what it says of the trusted charter does not read: {error}") from None

    def rows(self) -> Rows:
        """What the log says, as far as it was seen.

        Raises:
            StateCorrupt: the file is damaged.
            FileUnusable: it cannot be read.
        """
        if not os.path.lexists(self._path):
            return NoRows()
        with self._reading() as connection:
            head = _read_head(connection)
        saved, known = self._newest
        return _FileRows(self, head, known if saved == head.frontier else {})

    def save(self, trusted: StationState, seen: State) -> None:
        """Keep both.

        Raises:
            ChangedMeanwhile: something else was saved since `seen` was begun.
            FileUnusable: the file cannot be written; what was there stands.
        """
        self._make()
        encoded = seen.encoded()
        # Asked before anything is written: a large save locks the file early, and this asks through another connection.
        head = Head(seen.frontier, seen.total_with(encoded))
        with self._writing() as connection:
            before = _read_head(connection).frontier
            _refuse_other(seen, before)
            connection.execute(_DELETE_ENDED, (before.size,))
            connection.execute("INSERT OR REPLACE INTO trusted VALUES (1, ?)", (trusted.to_bytes(),))
            if seen.size > before.size:
                _write(connection, head, encoded, before.size)
        if seen.size > before.size:
            # Most of what the next entries ask for was written with those before them.
            newest = encoded if len(encoded) <= REMEMBERED else []
            self._newest = (seen.frontier, {(table, key): seen.get(table, key) for table, key, _ in newest})

    def begin(self, trusted: StationState, seen: State, head: Head, rows: Iterable[Written]) -> None:
        """Keep these rows in place of those of `seen`.

        Raises:
            ChangedMeanwhile: something else was saved since `seen` was begun.
            FileUnusable: the file cannot be written; what was there stands, as after whatever `rows` raise.
        """
        self._make()
        with self._writing() as connection:
            # Whoever was shown more meanwhile must not forget it.
            _refuse_other(seen, _read_head(connection).frontier)
            connection.execute("DELETE FROM rows")
            connection.execute("INSERT OR REPLACE INTO trusted VALUES (1, ?)", (trusted.to_bytes(),))
            size = head.frontier.size
            given = ((table.name, key, size, _FOREVER, data) for table, key, data in rows)
            connection.executemany(_INSERT, given)
            _write_head(connection, head, size)
        self._newest = (Frontier(), {})

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            yield connection
            connection.execute("ROLLBACK")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection, which closes and so gives up whatever an error left undone."""
        with self._translating(), closing(self._open()) as connection:
            yield connection

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            if name in _DAMAGE:
                raise self._damaged(f"SQLite reports {name}") from None
            raise FileUnusable(path=_shown(self._path), reason=f"SQLite reports {name}") from None

    def _damaged(self, problem: str) -> StationDamaged:
        what = "which holds what this station trusts and has seen"
        return StationDamaged(path=self.shown, what=what, problem=problem, then=_BEGIN_AGAIN)

    def _open(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        # A state may be read by any thread, and sqlite3 serializes what several ask of one connection.
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            found = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error:
            connection.close()
            raise
        if found not in (0, FORMAT):
            connection.close()
            raise FileUnusable(path=_shown(self._path), reason=f"it has format {found}, not known to this program")
        return connection

    def _make(self) -> None:
        """An empty file, where there is none: made under another name first, so that it appears whole."""
        if os.path.lexists(self._path):
            return
        # The one other name that the program lets a database have. What was killed here has left half of one there.
        temporary = self._path.with_name(f".{self._path.name}.new")
        try:
            temporary.unlink(missing_ok=True)
            os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with self._translating():
                _fill(temporary)
            temporary.replace(self._path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise FileUnusable(path=_shown(self._path), reason=reason) from None
        finally:
            # A clean-up that fails must not hide why.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _fill(path: Path) -> None:
    """Make the tables and their single row in the empty file at `path`, which nobody else knows."""
    with closing(sqlite3.connect(path)) as connection:
        # Half of it is thrown away, so it needs no second file to be taken back by.
        connection.execute("PRAGMA journal_mode=OFF")
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO head VALUES (1, 0, ?, ?, 0)", (b"", Multiset().to_bytes()))
        connection.commit()


class _FileRows:
    """The rows as of one save. Implements `Rows`.

    They keep a connection as long as somebody keeps them: a fold asks thousands of questions. Between two questions it
    is in no transaction and keeps nobody from saving.
    """

    def __init__(self, memory: FileStationMemory, head: Head, known: _Known) -> None:
        """`known` are rows that need not be read."""
        self.head: Final = head
        self._memory: Final = memory
        self._known: Final = dict(known)
        with memory._translating():  # noqa: SLF001 - the two are one file's
            self._connection: Final = memory._open()  # noqa: SLF001
            weakref.finalize(self, self._connection.close)
            self._connection.execute("PRAGMA query_only=ON")

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row under `key`, or None."""
        place = (table, key)
        if place not in self._known:
            asked = {"name": table.name, "size": self.head.frontier.size, "key": key}
            with self._memory._translating():  # noqa: SLF001
                found = self._connection.execute(_GET, asked).fetchone()
            self._refuse_gone(found)
            self._known[place] = None if found[1] is None else table.decode(key, found[1])
        known: Row | None = self._known[place]
        return known

    def get_many(self, table: Table[Row], keys: Collection[Key]) -> dict[Key, Row]:
        """Those of the rows under `keys` that are there."""
        as_of = {"name": table.name, "size": self.head.frontier.size}
        for some in together({key for key in keys if (table, key) not in self._known}):
            found = dict(self._asked(_MANY, as_of | some))
            for key in set(some.values()):
                self._known[table, key] = table.decode(key, found[key]) if key in found else None
        known = ((key, self._known[table, key]) for key in keys)
        return {key: row for key, row in known if row is not None}

    def scan(
        self, table: Table[Row], start: Key, stop: Key | None, *, backwards: bool = False
    ) -> Iterator[tuple[Key, Row]]:
        """The rows in a range, in the order of their keys, a page at a time."""
        asked: dict[str, object] = {"name": table.name, "size": self.head.frontier.size, "low": start, "high": stop}
        after, order = ">=", "DESC" if backwards else "ASC"
        while True:
            high = "" if asked["high"] is None else "AND key < :high"
            query = f"SELECT key, value FROM rows WHERE {_AS_OF} AND key {after} :low {high} ORDER BY key {order} LIMIT {PAGE}"  # noqa: E501, S608 - words of this file
            page = self._asked(query, asked)
            for key, data in page:
                yield key, table.decode(key, data)
            if len(page) < PAGE:
                return
            if backwards:
                asked["high"] = page[-1][0]
            else:
                asked["low"], after = page[-1][0], ">"

    def _asked(self, query: str, values: dict[str, Any]) -> list[tuple[Key, bytes]]:
        with self._memory._translating():  # noqa: SLF001
            found = self._connection.execute(query, values).fetchall()
            # Asked afterwards, since rows only ever go: what is kept now was there when the question was answered.
            head = self._connection.execute("SELECT oldest FROM head").fetchone()
        self._refuse_gone(head)
        return found

    def _refuse_gone(self, head: tuple[int, ...] | None) -> None:
        """Pass when what was asked for stood in the file; `head` begins with the oldest size that can be read."""
        if head is None:
            raise _no_head()
        if self.head.frontier.size < head[0]:
            raise StateGone(store=self._memory.shown, size=self.head.frontier.size, oldest=head[0])


_DAMAGE: Final = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_FORMAT", "DatabaseError"})


def _read_head(connection: sqlite3.Connection) -> Head:
    row = connection.execute("SELECT size, peaks, total FROM head").fetchone()
    if row is None:
        raise _no_head()
    try:
        return Head.of_columns(*row)
    except ValueError:
        raise StateCorrupt(table="head", key="", problem="it does not read") from None


def _no_head() -> StateCorrupt:
    return StateCorrupt(table="head", key="", problem="it is missing")


def _refuse_other(seen: State, there: Frontier) -> None:
    known = seen.base.head.frontier
    if there != known:
        what = "what this station has seen"
        raise ChangedMeanwhile(what=what, expected=f"{known.size} entries", actual=f"{there.size} entries")


def _write(
    connection: sqlite3.Connection, head: Head, encoded: list[tuple[Table[Any], Key, bytes | None]], before: int
) -> None:
    """Write what a state has above its base, of this size, and where the rows stand then."""
    size = head.frontier.size
    changed: list[tuple[int, str, bytes]] = []
    written: list[tuple[str, bytes, int, int, bytes]] = []
    for table, key, data in encoded:
        if table not in _KNOWN:
            raise StateCorrupt(table=table.name, key=key.hex(), problem="there is no such table")
        changed.append((size, table.name, key))
        if data is not None:
            written.append((table.name, key, size, _FOREVER, data))
    if before:
        connection.executemany(f"UPDATE rows SET until = ? WHERE name = ? AND key = ? AND until = {_FOREVER}", changed)  # noqa: S608
    connection.executemany(_INSERT, written)
    _write_head(connection, head, before)


def _write_head(connection: sqlite3.Connection, head: Head, oldest: int) -> None:
    """Say where the rows stand, and from which size of the log on they can be read."""
    connection.execute("UPDATE head SET size = ?, peaks = ?, total = ?, oldest = ?", (*head.columns(), oldest))


_KNOWN: Final = frozenset({*tables.ALL, tables.BODIES, tables.ROOTS})


def _shown(path: Path) -> str:
    """A path for a message: names come from outside and may hold escape codes."""
    return ascii(str(path))[1:-1]
