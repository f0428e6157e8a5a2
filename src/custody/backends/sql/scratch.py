"""Where are the rows of a history folded again, beside those that stand in the store, and how do the two compare?

In a database of its own, which SQLite keeps in a file that has no name: what does not fit into the cache is written
there, so memory is bounded, and a process that dies leaves nothing behind. A TEMP table of the store would do the same,
but only for as long as one connection is open, and the log is read in many short ones so that writers need not wait.

Rows are compared by `history.difference`, which is given them as bytes, a page at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from sqlalchemy import Connection, bindparam, delete, insert, update

from custody.backends.sql import schema
from custody.backends.sql.rows import LogRow, head_values
from custody.history import tables
from custody.history.difference import Listing, differences
from custody.history.rows import Head, Key, NoRows, Row, Sealing, StateCorrupt, Table
from custody.history.state import State
from custody.ports import Scratch

PAGE: Final = 1_000
"""Rows read, and written, at once."""
_CACHE_KIB: Final = 64 * 1024
_RECENT: Final = 5_000
"""Bodies kept in memory."""


class _Paged(Protocol):
    """Rows that are read as bytes, a page at a time."""

    def page(self, name: str, behind: Key | None, most: int) -> list[tuple[Key, bytes]]:
        """The rows of the table of this name behind a key (None: from the first one on), by key."""


class ScratchRows:
    """Rows that only this process sees. Implements `Scratch`."""

    def __init__(self, log: Connection, from_log: LogRow) -> None:
        """`from_log` reads through `log` what repeats the log."""
        self.head: Head = NoRows.head
        self._log: Final = log
        self._from_log: Final = from_log
        self._known: Final[dict[tuple[Table[Any], Key], Any]] = {}
        self._recent: Final[dict[tuple[Table[Any], Key], bytes]] = {}
        self._own: Final = sqlite3.connect("", isolation_level=None)
        # Nothing of it has to outlive the process.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{_CACHE_KIB}"):
            self._own.execute(f"PRAGMA {pragma}")
        # Most keys are digests: what is reached for at random are an index's small entries; rows are appended.
        self._own.execute(_TABLE)
        # One transaction that never ends: nobody else reads this, and each end would walk the whole cache.
        self._own.execute("BEGIN")

    @property
    def rows(self) -> ScratchRows:
        """These."""
        return self

    def close(self) -> None:
        """Have the file gone."""
        self._own.close()

    def add(self, state: State) -> State:
        """Take in what a state has above these rows; the same state over them. Of states before it nothing is left."""
        encoded = state.encoded()
        head = Head(state.frontier, state.total_with(encoded))
        written, gone = [], []
        for table, key, data in encoded:
            if table.sealing is Sealing.LOG:
                self._remember(table, key, data)
            elif data is None:
                gone.append((table.name, key))
            else:
                written.append((table.name, key, data))
        self._own.executemany("DELETE FROM rows WHERE name = ? AND key = ?", gone)
        self._own.executemany(_WRITE, written)
        self.head = head
        self._known.clear()
        return State.over(self, state.pinned)

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row under `key`, or None."""
        place = (table, key)
        if place not in self._known:
            self._known[place] = self._read(table, key)
        found: Row | None = self._known[place]
        return found

    def _read(self, table: Table[Row], key: Key) -> Row | None:
        if table.sealing is Sealing.LOG:
            data = self._recent.get((table, key)) or self._from_log(self._log, table, key)
        else:
            found = self._own.execute("SELECT value FROM rows WHERE name = ? AND key = ?", (table.name, key)).fetchone()
            data = None if found is None else found[0]
        return None if data is None else table.decode(key, data)

    def _remember(self, table: Table[Any], key: Key, data: bytes | None) -> None:
        """Keep the newest bodies: what is asked for is mostly about the transfers that are under way."""
        if table is tables.BODIES and data is not None:
            self._recent[table, key] = data
            if len(self._recent) > _RECENT:
                del self._recent[next(iter(self._recent))]

    def get_many(self, table: Table[Row], keys: Collection[Key]) -> dict[Key, Row]:
        """Those of the rows under `keys` that are there."""
        found = ((key, self.get(table, key)) for key in keys)
        return {key: row for key, row in found if row is not None}

    def scan(
        self, table: Table[Row], start: Key, stop: Key | None, *, backwards: bool = False
    ) -> Iterator[tuple[Key, Row]]:
        """The rows in a range, in the order of their keys."""
        high, asked = ("", (table.name, start)) if stop is None else ("AND key < ?", (table.name, start, stop))
        order = "DESC" if backwards else "ASC"
        query = f"SELECT key, value FROM rows WHERE name = ? AND key >= ? {high} ORDER BY key {order}"  # noqa: S608
        return ((key, table.decode(key, data)) for key, data in self._own.execute(query, asked))

    def page(self, name: str, behind: Key | None, most: int) -> list[tuple[Key, bytes]]:
        """The rows of the table of this name behind a key (None: from the first one on), as bytes, by key."""
        after, low = (">=", b"") if behind is None else (">", behind)
        query = f"SELECT key, value FROM rows WHERE name = ? AND key {after} ? ORDER BY key LIMIT ?"  # noqa: S608
        return self._own.execute(query, (name, low, most)).fetchall()


def scratch_rows(scratch: Scratch) -> ScratchRows:
    """The same, as one of this kind.

    Raises:
        TypeError: it is of another kind of store.
    """
    if not isinstance(scratch, ScratchRows):
        raise TypeError("rows are compared with, and taken over from, a scratch of this kind of store")
    return scratch


def paged(rows: _Paged) -> Listing:
    """The rows of tables, read a page at a time."""

    def listed(table: Table[Any]) -> Iterator[tuple[Key, bytes]]:
        behind: Key | None = None
        while True:
            page = rows.page(table.name, behind, PAGE)
            found: dict[Key, bytes] = {}
            for key, data in page:
                # Two rows under one key are no row: nothing is spelled like that.
                found[key] = b"" if key in found else data
            yield from found.items()
            if len(page) < PAGE:
                return
            behind = page[-1][0]

    return listed


def replace_rows(connection: Connection, kept: _Paged, scratch: ScratchRows) -> StateCorrupt | None:
    """Have the store's rows be those of the scratch: those that differ are written again, and no older ones are left.

    Gives the first that differed.

    Most often few differ or none, and the others are only read: a store is as large as its history.
    """
    rows, size = schema.state_rows.c, scratch.head.frontier.size
    known = [each.name for each in tables.ALL]
    made, stands = paged(scratch), paged(kept)
    first: StateCorrupt | None = None
    is_no_row = (rows.until < schema.FOREVER) | (rows.since > size) | rows.name.not_in(known)
    connection.execute(delete(schema.state_rows).where(is_no_row))
    for table in tables.ALL:
        # Each page is read before it is changed, and never again.
        differing = differences(made, stands, table)
        while some := list(islice(differing, PAGE)):
            first = first or some[0].named()
            connection.execute(_DELETE, [{"_name": table.name, "_key": each.key} for each in some])
            written = [
                {"name": table.name, "key": each.key, "since": size, "until": schema.FOREVER, "value": each.made}
                for each in some
                if each.made is not None
            ]
            if written:
                connection.execute(insert(schema.state_rows), written)
    values = head_values(scratch.head, size)
    if not connection.execute(update(schema.state_head).values(values)).rowcount:
        connection.execute(insert(schema.state_head), {"id": 1, **values})
    return first


_TABLE: Final = "CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, key BLOB, value BLOB, UNIQUE (name, key))"
_WRITE: Final = """
INSERT INTO rows (name, key, value) VALUES (?, ?, ?) ON CONFLICT (name, key) DO UPDATE SET value = excluded.value
"""
_rows: Final = schema.state_rows.c
_DELETE: Final = delete(schema.state_rows).where(_rows.name == bindparam("_name"), _rows.key == bindparam("_key"))
