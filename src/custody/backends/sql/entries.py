"""How are the log's own entries read from the database, and checked as they are read?

An entry's head is checked against its leaf and its place, its body against the head; the log's head against its last
entry. Whether the leaves make the roots is for whoever recomputes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from custody.backends.sql import schema, sqlite
from custody.backends.sql.statement import Statement
from custody.errors import InvalidInput
from custody.history import tables
from custody.history.rows import Table
from custody.log import EntryHead, Frontier, LogCorrupt, LogEntry, hash_leaf, open_body
from custody.log.entry import SALT_SIZE
from custody.ports import StoreCorrupt

PAGE: Final = 100
"""Entries fetched at once."""
entry_index: Final = schema.entries.c.index
_ROWS: Final = (
    select(
        schema.entries.c.index,
        schema.entries.c.head,
        schema.entries.c.leaf,
        schema.entries.c.root,
        schema.bodies.c.salt,
        schema.bodies.c.body,
    )
    .select_from(schema.entries.outerjoin(schema.bodies, schema.bodies.c.index == entry_index))
    .order_by(entry_index)
)
_RANGE: Final = Statement(
    _ROWS.where(entry_index >= bindparam("start"), entry_index < bindparam("stop")), may_lack=True
)
_ONE: Final = Statement(_ROWS.where(entry_index == bindparam("at")), may_lack=True)
_ROOT: Final = Statement(select(schema.entries.c.root).where(entry_index == bindparam("at")))
_HEAD: Final = Statement(select(schema.log_head.c.size, schema.log_head.c.peaks))
_LAST: Final = Statement(select(entry_index, schema.entries.c.root).order_by(entry_index.desc()).limit(1))
_INSERT: Final = Statement(insert(schema.entries))
_INSERT_BODY: Final = Statement(insert(schema.bodies))
_SET_HEAD: Final = Statement(update(schema.log_head).values(size=bindparam("size"), peaks=bindparam("peaks")))


class EntryRow(NamedTuple):
    """One row of `_ROWS`; salt and body are None together when the body was withheld or erased."""

    at: int
    head: bytes
    leaf: bytes
    root: bytes
    salt: bytes | None
    body: bytes | None


def read_page(connection: Connection, start: int, stop: int) -> list[EntryRow]:
    """Up to a page of rows from `start`, which is below `stop`.

    Raises:
        LogCorrupt: there is none.
    """
    rows = [EntryRow(*row) for row in _RANGE.rows(connection, start=start, stop=min(stop, start + PAGE))]
    if not rows:
        raise LogCorrupt(index=start, problem="it is missing")
    return rows


def read_entry(row: EntryRow, index: int) -> LogEntry:
    """The entry in `row`, which should be number `index`, with its own hashes checked.

    Raises:
        LogCorrupt: it is another one, or damaged.
    """
    if row.at != index:
        raise LogCorrupt(index=index, problem="it is missing")
    if hash_leaf(row.head) != row.leaf:
        raise LogCorrupt(index=index, problem="its head does not hash to its leaf")
    try:
        head = EntryHead.from_bytes(row.head)
    except InvalidInput as error:
        raise LogCorrupt(index=index, problem=f"its head does not read ({error.code})") from None
    if head.index != index:
        raise LogCorrupt(index=index, problem=f"entry {head.index} stands in its place")
    if row.salt is None or row.body is None:
        return LogEntry(head=head, salt=b"", body=None)
    if len(row.salt) != SALT_SIZE:
        raise LogCorrupt(index=index, problem="its salt has another size")
    entry = LogEntry(head=head, salt=row.salt, body=row.body)
    open_body(entry)
    return entry


def from_log(connection: Connection, table: Table[Any], key: bytes) -> bytes | None:
    """A row of a table that repeats the log, from the log itself."""
    index = int.from_bytes(key, "big")
    if table is tables.ROOTS:
        return root_at(connection, index)
    row = _ONE.first(connection, at=index)
    return None if row is None else read_entry(EntryRow(*row), index).body


def root_at(connection: Connection, size: int) -> bytes | None:
    """The root recorded for the first `size` entries; None when the last of them is missing."""
    if size == 0:
        return Frontier().root
    root: bytes | None = _ROOT.scalar(connection, at=size - 1)
    return root


def write_entry(connection: Connection, entry: LogEntry, root: bytes) -> None:
    """Write an entry behind the others, with the root that the log has then."""
    index = entry.head.index
    _INSERT.run(connection, [{"index": index, "head": entry.head.to_bytes(), "leaf": entry.leaf, "root": root}])
    if entry.body is not None:
        _INSERT_BODY.run(connection, [{"index": index, "salt": entry.salt, "body": entry.body}])


def save_frontier(connection: Connection, frontier: Frontier) -> None:
    """Write the log's head."""
    _SET_HEAD.run(connection, [{"size": frontier.size, "peaks": b"".join(frontier.peaks)}])


def load_frontier(connection: Connection, path: Path) -> Frontier:
    """What the log's head says it is.

    Raises:
        StoreCorrupt: it says nothing that can be.
    """
    row = _HEAD.first(connection)
    if row is None:
        raise StoreCorrupt(store=sqlite.shown(path), what="the log's head is missing")
    size, peaks = row
    try:
        return Frontier(size, tuple(peaks[at : at + 32] for at in range(0, len(peaks), 32)))
    except ValueError:
        raise StoreCorrupt(store=sqlite.shown(path), what="the log's head does not fit its size") from None


def check_end(connection: Connection, path: Path, frontier: Frontier) -> None:
    """Compare the log's head with the last entry.

    Raises:
        LogCorrupt: entries that the head counts are missing.
        StoreCorrupt: there are more, or their root is another.
    """
    last = _LAST.first(connection)
    size, root = (0, Frontier().root) if last is None else (last[0] + 1, last[1])
    if size < frontier.size:
        raise LogCorrupt(index=size, problem="it is missing")
    if size > frontier.size or root != frontier.root:
        raise StoreCorrupt(store=sqlite.shown(path), what="the log's head is not that of its last entry")
