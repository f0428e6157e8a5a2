"""How do the rows of a state come to whoever has not folded the log, and what do they still take from the log itself?

What the digest of the state covers travels as rows, a line each. Bodies and roots repeat the log and are taken from it.
Rows of the chain, which no reader needs, do not travel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from custody.errors import InvalidInput
from custody.history import tables
from custody.history.entry import HistoryInvalid, Needed
from custody.history.kinds import BY_NAME
from custody.history.multiset import Multiset
from custody.history.rows import Key, Rows, Sealing, StateCorrupt, Table, number
from custody.log import Frontier, LogEntry, open_body

Written: TypeAlias = tuple[Table[Any], Key, bytes]
"""A row as it is written: its table, its key and its bytes."""

MAX_ROW: Final = 1024 * 1024
"""Bytes of a row's line. JSON takes many times its bytes in memory; the longest rows are of some kilobytes."""
MAX_KEY: Final = 1024
"""Bytes of a row's key, the longest of which begin with a name."""
SEALED: Final[tuple[Table[Any], ...]] = tuple(
    sorted((each for each in tables.ALL if each.sealing is Sealing.SEALED), key=lambda table: table.name)
)
"""The tables that the digest of the state covers, by name."""
_BY_NAME: Final = {table.name: table for table in SEALED}


class SnapshotInvalid(InvalidInput, code="SNAPSHOT_INVALID"):
    """A snapshot that cannot be read."""

    message = "the snapshot {problem}"
    hint = "Have it exported and carried again: custody log snapshot."
    problem: str


def sealed_rows(rows: Rows) -> Iterator[Written]:
    """The rows that the digest covers, by table and key."""
    return ((table, key, table.encode(row)) for table in SEALED for key, row in rows.scan(table, b"", None))


def write_row(row: Written) -> bytes:
    """The row as a line of a file, without a line feed."""
    table, key, data = row
    return _dumps([table.name, key.hex(), data.decode("utf-8")])


def read_row(line: bytes) -> Written:
    """The row in a line.

    Raises:
        SnapshotInvalid: it holds none of a table that travels, or it is spelled in another way than the one way.
        StateCorrupt: the row does not read.
    """
    if len(line) > MAX_ROW:
        raise SnapshotInvalid(problem=f"has a row of more than {MAX_ROW} bytes: {_shown(line)}")
    try:
        name, key, data = json.loads(line)
        table, at, encoded = _BY_NAME[name], bytes.fromhex(key), data.encode("utf-8")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise SnapshotInvalid(problem=f"has a line that is no row: {_shown(line)}") from None
    if len(at) > MAX_KEY:
        raise SnapshotInvalid(problem=f"has a row under a key of more than {MAX_KEY} bytes: {_shown(line)}")
    if write_row((table, at, encoded)) != line:
        raise SnapshotInvalid(problem=f"has a row that is spelled in another way: {_shown(line)}")
    table.decode(at, encoded)
    return table, at, encoded


def read_rows(lines: Iterable[bytes]) -> Iterator[Written]:
    """The rows in lines, by table and key, each once.

    Raises:
        SnapshotInvalid, StateCorrupt: as `read_row`, or they stand in another order.
    """
    behind = ("", b"")
    for line in lines:
        row = read_row(line)
        place = (row[0].name, row[1])
        if place <= behind:
            raise SnapshotInvalid(problem=f"has row {place[1].hex()} of table {place[0]} out of its order")
        behind = place
        yield row


def total_of(rows: Iterable[Written]) -> Multiset:
    """What the digest of a state with these rows is of."""
    return Multiset().changed(table.element_of(key, data) for table, key, data in rows)


def check_sum(rows: Rows) -> None:
    """Add up every row that the digest covers.

    Raises:
        StateCorrupt: they are not those that the base says it has: one was changed where it lies.
    """
    if total_of(sealed_rows(rows)).digest() != rows.head.total.digest():
        raise StateCorrupt(table="head", key="", problem="its sum is not that of the rows")


def rows_of_entry(entry: LogEntry, before: Frontier) -> Iterator[Written]:
    """The rows that repeat an entry of the log; `before` is the log in front of it.

    Raises:
        HistoryInvalid: it is of no known kind.
        BodyWithheld, LogCorrupt: its body is missing though readers need it, or it is another one.
    """
    head = entry.head
    kind = BY_NAME.get(head.entry)
    if kind is None:
        raise HistoryInvalid(index=head.index, entry=head.entry, problem="is of a kind this program does not know")
    yield tables.ROOTS, number(head.index), before.root
    if kind.needed is Needed.BY_READERS:
        yield tables.BODIES, number(head.index), open_body(entry)


def _shown(line: bytes) -> str:
    return ascii(line[:60].decode("utf-8", "replace"))


def _dumps(value: list[str]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
