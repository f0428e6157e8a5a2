"""What is so after so many entries: rows over a base, as a value.

A state never changes. Folding an entry gives a new one, which shares with the old one all that stayed; both may be read
by any thread, and compared. What was put stands in layers above the base, each at least twice the size of the next, so
that a change copies little and a question looks at few. Nothing here knows what rows mean: `on/` and `history` do.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from custody.history.multiset import Multiset
from custody.history.rows import Key, NoRows, Row, Rows, Sealing, Table, beyond
from custody.log import Frontier
from custody.record import Record

Body = TypeVar("Body", bound=Record)
_SMALL: Final = 64 * 1024
"""Bytes of a body up to which its record is kept once it was read."""


class _Layer:
    """Rows by table and key; None takes one away. `count` is how many there are."""

    __slots__ = ("_sorted", "count", "tables")

    def __init__(self, tables: dict[Table[Any], dict[Key, Any]], count: int) -> None:
        self.tables: Final = tables
        self.count: Final = count
        self._sorted: dict[Table[Any], list[Key]] = {}

    def above(self, older: _Layer) -> _Layer:
        """Both layers as one; what stands here counts."""
        tables = dict(older.tables)
        for table, rows in self.tables.items():
            below = tables.get(table)
            tables[table] = rows if below is None else {**below, **rows}
        return _Layer(tables, sum(len(rows) for rows in tables.values()))

    def between(self, table: Table[Any], start: Key, stop: Key | None) -> dict[Key, Any]:
        """The rows of a table in a range, in the order of their keys."""
        rows = self.tables.get(table)
        if rows is None:
            return {}
        keys = self._sorted.get(table)
        if keys is None:
            keys = self._sorted[table] = sorted(rows)
        first = bisect.bisect_left(keys, start)
        last = len(keys) if stop is None else bisect.bisect_left(keys, stop)
        return {key: rows[key] for key in keys[first:last]}


@dataclass(frozen=True, slots=True)
class State:
    """The rows after `size` entries, under the charter whose digest is `pinned` (32 bytes)."""

    pinned: bytes
    base: Rows = field(default_factory=NoRows, repr=False)
    frontier: Frontier = field(default_factory=Frontier)
    _layers: tuple[_Layer, ...] = field(default=(), repr=False)

    @classmethod
    def over(cls, base: Rows, pinned: bytes) -> State:
        """What a base says, and nothing above it."""
        return cls(pinned, base, base.head.frontier)

    @property
    def size(self) -> int:
        """Entries folded so far."""
        return self.frontier.size

    # --- to be read --------------------------------------------------------------------------------------------------

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row under `key`, or None."""
        for layer in reversed(self._layers):
            rows = layer.tables.get(table)
            if rows is not None and key in rows:
                found: Row | None = rows[key]
                return found
        return self.base.get(table, key)

    def get_many(self, table: Table[Row], keys: Collection[Key]) -> dict[Key, Row]:
        """Those of the rows under `keys` that are there: for many at once, most of which are not."""
        found = self.base.get_many(table, keys)
        for key in keys if self._layers else ():
            row = self.get(table, key)
            if row is None:
                found.pop(key, None)
            else:
                found[key] = row
        return found

    def has(self, table: Table[Any], key: Key) -> bool:
        """Whether there is a row under `key`."""
        return self.get(table, key) is not None

    def scan(
        self, table: Table[Row], start: Key = b"", stop: Key | None = None, *, backwards: bool = False
    ) -> Iterator[tuple[Key, Row]]:
        """The rows from `start` up to but not including `stop` (None: to the end), in the order of their keys."""
        changed: dict[Key, Row | None] = {}
        for layer in self._layers:
            changed.update(layer.between(table, start, stop))
        below = self.base.scan(table, start, stop, backwards=backwards)
        if not changed:
            return below
        return _merged(sorted(changed, reverse=backwards), changed, below, backwards=backwards)

    def under(self, table: Table[Row], prefix: Key, *, backwards: bool = False) -> Iterator[tuple[Key, Row]]:
        """The rows whose keys begin with `prefix`, in their order."""
        return self.scan(table, prefix, beyond(prefix), backwards=backwards)

    def digest(self) -> bytes:
        """32 bytes that are the same for the same sealed rows, however they were reached."""
        return self.total().digest()

    def total(self) -> Multiset:
        """What `digest` is the digest of."""
        put: list[bytes] = []
        taken: list[bytes] = []
        for table, key, row in self.changes():
            if table.sealing is not Sealing.SEALED:
                continue
            before = self.base.get(table, key)
            if before == row:
                continue
            if before is not None:
                taken.append(table.element(key, before))
            if row is not None:
                put.append(table.element(key, row))
        return self.base.head.total.changed(put, taken)

    def changes(self) -> Iterator[tuple[Table[Any], Key, Any]]:
        """Every row that was put above the base, None for one that was taken away; each table's by key."""
        whole = functools.reduce(lambda older, newer: newer.above(older), self._layers, _Layer({}, 0))
        for table in sorted(whole.tables, key=lambda each: each.name):
            for key, row in whole.between(table, b"", None).items():
                yield table, key, row

    # --- to be folded ------------------------------------------------------------------------------------------------

    def put(self, table: Table[Row], key: Key, row: Row | None) -> State:
        """With this row; None takes the one that is there away."""
        layer = _Layer({table: {key: row}}, 1)
        layers = self._layers
        while layers and layers[-1].count <= layer.count:
            layer = layer.above(layers[-1])
            layers = layers[:-1]
        return State(self.pinned, self.base, self.frontier, (*layers, layer))

    def appended(self, leaf: bytes) -> State:
        """With one more entry, whose leaf hash is given."""
        return replace(self, frontier=self.frontier.append(leaf))


def _merged(
    keys: list[Key], changed: dict[Key, Row | None], below: Iterator[tuple[Key, Row]], *, backwards: bool
) -> Iterator[tuple[Key, Row]]:
    at = 0
    for key, row in below:
        while at < len(keys) and (keys[at] > key if backwards else keys[at] < key):
            above = changed[keys[at]]
            if above is not None:
                yield keys[at], above
            at += 1
        if at < len(keys) and keys[at] == key:
            continue
        yield key, row
    for each in keys[at:]:
        above = changed[each]
        if above is not None:
            yield each, above


@functools.lru_cache(maxsize=512)
def _read_small(record: type[Body], data: bytes) -> Body:
    return record.from_bytes(data)


def read(record: type[Body], data: bytes) -> Body:
    """The record in `data`. Small ones are read once: a fold asks for a draft again with every entry about it.

    Raises:
        InvalidInput: as `Record.from_bytes`.
    """
    return _read_small(record, data) if len(data) <= _SMALL else record.from_bytes(data)
