"""How do the rows of the history lie beside the log, so that who reads an older one still reads what was so then?

1. Rows are written in the transaction that appends the entries they are made from.
2. A row that changes is ended and stays for a while; the new one stands beside it. A reader asks as of the size of its
   log, and sees nothing of what was written since, though it holds no transaction open.
3. Of the log itself nothing is written twice: bodies and roots are read where they stand, and checked.

Rows that ended more than `KEPT` entries ago are taken away, and all that have ended when a body is erased. Who reads a
log as old as that is told so.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

from sqlalchemy import Connection, bindparam, delete, insert, literal_column, select, update

from custody.backends.sql import schema
from custody.backends.sql.statement import Statement
from custody.history import tables
from custody.history.rows import KEY_NAMES, Head, Key, Row, Sealing, StateCorrupt, Table, together
from custody.history.state import State
from custody.ports import StateGone, StoreCorrupt

KEPT: Final = 10_000
"""Entries for which an ended row is kept."""
FIRST: Final = 10
"""Rows that are fetched first: most questions are about the newest, or about a few."""
PAGE: Final = 200
"""Rows fetched at once after that."""

_rows: Final = schema.state_rows.c
_AS_OF: Final = (_rows.name == bindparam("name"), _rows.since <= bindparam("size"), _rows.until > bindparam("size"))
_GET: Final = Statement(select(_rows.value).where(*_AS_OF, _rows.key == bindparam("key")))
_ROWS: Final = select(_rows.key, _rows.value).where(*_AS_OF)
_MANY: Final = Statement(_ROWS.where(_rows.key.in_([bindparam(each) for each in KEY_NAMES])))
_FROM: Final = _ROWS.where(_rows.key >= bindparam("low")).limit(bindparam("most"))
_BELOW: Final = _FROM.where(_rows.key < bindparam("high"))
_FORWARDS: Final = (Statement(_FROM.order_by(_rows.key)), Statement(_BELOW.order_by(_rows.key)))
"""To the end, and up to a key; `_BACKWARDS` is the same."""
_BACKWARDS: Final = (Statement(_FROM.order_by(_rows.key.desc())), Statement(_BELOW.order_by(_rows.key.desc())))
_HEAD: Final = Statement(select(schema.state_head.c.size, schema.state_head.c.peaks, schema.state_head.c.total))
_OLDEST: Final = Statement(select(schema.state_head.c.oldest))
_INSERT: Final = Statement(insert(schema.state_rows))
_END: Final = Statement(
    update(schema.state_rows)
    .where(_rows.name == bindparam("_name"), _rows.key == bindparam("_key"), _rows.until == schema.FOREVER)
    .values(until=bindparam("_size"))
)
# The second condition is the index's own, in its own words: without it SQLite would look through all rows.
_DELETE_ENDED: Final = Statement(
    delete(schema.state_rows).where(
        _rows.until <= bindparam("oldest"), _rows.until < literal_column(str(schema.FOREVER))
    )
)
_SET_HEAD: Final = Statement(
    update(schema.state_head).values({name: bindparam(name) for name in ("size", "peaks", "total", "oldest")})
)
_KNOWN: Final = frozenset(tables.ALL)

LogRow = Callable[[Connection, Table[Any], Key], bytes | None]


class Home(Protocol):
    """The store that rows lie in."""

    @property
    def shown(self) -> str:
        """What it is called in messages."""

    def asker(self) -> Connection:
        """A connection that holds the store for one question at a time."""

    def translating(self) -> AbstractContextManager[None]:
        """What the database raises, in the words of the port."""


class RowsAsOf:
    """The rows as of one size of the log, as bytes.

    Within a transaction its connection is used, by the thread that has it open. Otherwise there is one for each thread
    that asks, as long as somebody keeps these rows: between two questions it is in no transaction, so that nobody who
    writes waits for a reader that thinks.
    """

    def __init__(self, size: int, home: Home) -> None:
        self._size: Final = size
        self._home: Final = home
        self._bound: tuple[int, Connection] | None = None
        self._askers: Final[dict[tuple[int, int], Connection]] = {}

    @contextmanager
    def bound(self, connection: Connection) -> Iterator[None]:
        """Use `connection` for as long as this lasts."""
        self._bound = (threading.get_ident(), connection)
        try:
            yield
        finally:
            self._bound = None

    def page(self, name: str, behind: Key | None, most: int) -> list[tuple[Key, bytes]]:
        """The rows of the table of this name behind a key (None: from the first one on), as bytes, by key."""
        low = b"" if behind is None else _next(behind)
        with self._reading() as connection:
            return _FORWARDS[0].rows(connection, name=name, size=self._size, low=low, most=most)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        if self._bound is not None and self._bound[0] == threading.get_ident():
            yield self._bound[1]
            return
        with self._home.translating():
            connection = self._asker()
            yield connection
            # Asked afterwards, since rows only ever go: what is kept now was there when the question was answered.
            oldest = _OLDEST.scalar(connection)
        if oldest is None or oldest > self._size:
            raise StateGone(store=self._home.shown, size=self._size, oldest=oldest or 0)

    def _asker(self) -> Connection:
        # No connection is taken over a fork: SQLite's locks belong to the process that took them.
        whose = (os.getpid(), threading.get_ident())
        found = self._askers.get(whose)
        if found is None:
            found = self._askers[whose] = self._home.asker()
            weakref.finalize(self, found.close)
        return found


class SqlRows(RowsAsOf):
    """The same as rows. Implements `Rows`; what was read once is kept, since it cannot change."""

    def __init__(self, head: Head, home: Home, from_log: LogRow) -> None:
        """`from_log` reads what repeats the log."""
        super().__init__(head.frontier.size, home)
        self.head: Final = head
        self._from_log: Final = from_log
        self._known: Final[dict[tuple[Table[Any], Key], Any]] = {}

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row under `key`, or None."""
        place = (table, key)
        if place not in self._known:
            with self._reading() as connection:
                if table.sealing is Sealing.LOG:
                    data = self._from_log(connection, table, key)
                else:
                    data = _GET.scalar(connection, name=table.name, size=self._size, key=key)
            self._known[place] = None if data is None else table.decode(key, data)
        found: Row | None = self._known[place]
        return found

    def get_many(self, table: Table[Row], keys: Collection[Key]) -> dict[Key, Row]:
        """Those of the rows under `keys` that are there."""
        places = {key: (table, key) for key in keys}
        found = {key: self._known[place] for key, place in places.items() if place in self._known}
        wanted = places.keys() - found.keys()
        if wanted:
            with self._reading() as connection:
                for asked in together(wanted):
                    for key, data in _MANY.rows(connection, name=table.name, size=self._size, **asked):
                        found[key] = table.decode(key, data)
        return {key: row for key, row in found.items() if row is not None}

    def scan(
        self, table: Table[Row], start: Key, stop: Key | None, *, backwards: bool = False
    ) -> Iterator[tuple[Key, Row]]:
        """The rows in a range, in the order of their keys, a page at a time."""
        size, most = self._size, FIRST
        to_end, below = _BACKWARDS if backwards else _FORWARDS
        while True:
            with self._reading() as connection:
                if stop is None:
                    page = to_end.rows(connection, name=table.name, size=size, low=start, most=most)
                else:
                    page = below.rows(connection, name=table.name, size=size, low=start, high=stop, most=most)
            for key, data in page:
                row = table.decode(key, data)
                self._known[table, key] = row
                yield key, row
            if len(page) < most:
                return
            most = PAGE
            if backwards:
                stop = page[-1][0]
            else:
                start = _next(page[-1][0])


def _next(key: Key) -> Key:
    """The first key behind this one."""
    return key + b"\0"


def read_head(connection: Connection, store: str) -> Head:
    """Where the rows stand.

    Raises:
        StoreCorrupt: they do not say.
    """
    row = _HEAD.first(connection)
    if row is None:
        raise StoreCorrupt(store=store, what="the head of the state is missing")
    try:
        return Head.of_columns(*row)
    except ValueError:
        raise StoreCorrupt(store=store, what="the head of the state does not read") from None


def head_values(head: Head, oldest: int) -> dict[str, object]:
    """The columns that say where rows stand, and from which size of the log on they can be read."""
    return {**dict(zip(("size", "peaks", "total"), head.columns(), strict=True)), "oldest": oldest}


def write_rows(connection: Connection, state: State, *, keeps_ended: bool = True) -> Head:
    """Write what a state has above its base, and where the rows stand then; rows that ended go, now or in their time.

    Raises:
        StateCorrupt: a row of the state is not of a known table.
    """
    before, size = state.base.head.frontier.size, state.size
    changed: list[dict[str, object]] = []
    written: list[dict[str, object]] = []
    encoded = state.encoded()
    for table, key, value in encoded:
        if table.sealing is Sealing.LOG:
            continue
        if table not in _KNOWN:
            raise StateCorrupt(table=table.name, key=key.hex(), problem="there is no such table")
        changed.append({"_name": table.name, "_key": key, "_size": size})
        if value is not None:
            written.append({"name": table.name, "key": key, "since": size, "until": schema.FOREVER, "value": value})
    if size == before:
        return state.base.head
    if before:
        _END.run(connection, changed)
    _INSERT.run(connection, written)
    head = Head(state.frontier, state.total_with(encoded))
    # What was taken away for an erased body is gone for whoever comes later, too.
    oldest = max(_OLDEST.scalar(connection) or 0, size - (KEPT if keeps_ended else 0))
    if before // PAGE != size // PAGE or not keeps_ended:
        _DELETE_ENDED.run(connection, [{"oldest": oldest}])
    _SET_HEAD.run(connection, [head_values(head, oldest)])
    return head
