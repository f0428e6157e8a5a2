"""What is so after so many entries: rows over a base, as a value.

A state never changes. Folding an entry gives a new one, which shares with the old one all that stayed; both may be read
by any thread, and compared. What was put stands in layers above the base, each about twice the size of the next, so
that a change copies little and a question looks at few. Nothing here knows what rows mean: `on/` and `history` do.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from custody.history.multiset import Multiset
from custody.history.rows import Key, NoRows, Row, Rows, Sealing, Table, beyond
from custody.log import Frontier

_FEW: Final = 16
"""Rows of a layer up to which it is copied whole for one more."""


class _Layer:
    """Rows by table and key; None takes one away."""

    __slots__ = ("_keys", "rows")

    def __init__(self, rows: dict[tuple[Table[Any], Key], Any]) -> None:
        self.rows: Final = rows
        self._keys: dict[Table[Any], list[Key]] | None = None

    def above(self, older: _Layer) -> _Layer:
        """Both layers as one; what stands here counts."""
        return _Layer({**older.rows, **self.rows})

    def keys(self, table: Table[Any]) -> list[Key]:
        """The keys of a table, in their order."""
        if self._keys is None:
            # Only layers that are scanned are sorted: most are merged into another before anybody asks.
            keys: dict[Table[Any], list[Key]] = {}
            for each, key in self.rows:
                keys.setdefault(each, []).append(key)
            for found in keys.values():
                found.sort()
            self._keys = keys
        return self._keys.get(table, [])

    def between(self, table: Table[Any], start: Key, stop: Key | None) -> dict[Key, Any]:
        """The rows of a table in a range, in the order of their keys."""
        keys = self.keys(table)
        first = bisect.bisect_left(keys, start)
        last = len(keys) if stop is None else bisect.bisect_left(keys, stop)
        return {key: self.rows[table, key] for key in keys[first:last]}


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
        place = (table, key)
        for layer in reversed(self._layers):
            if place in layer.rows:
                found: Row | None = layer.rows[place]
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
        return self.total_with(self.encoded())

    def total_with(self, encoded: Iterable[tuple[Table[Any], Key, bytes | None]]) -> Multiset:
        """The same for whoever has this state's `encoded` changes at hand."""
        put: list[bytes] = []
        taken: list[bytes] = []
        sealed = (each for each in encoded if each[0].sealing is Sealing.SEALED)
        for table, rows in groupby(sealed, key=itemgetter(0)):
            changed = {key: data for _, key, data in rows}
            stands = self.base.get_many(table, changed)
            for key, data in changed.items():
                before = table.encode(stands[key]) if key in stands else None
                if before == data:
                    continue
                if before is not None:
                    taken.append(table.element_of(key, before))
                if data is not None:
                    put.append(table.element_of(key, data))
        return self.base.head.total.changed(put, taken)

    def changes(self) -> Iterator[tuple[Table[Any], Key, Any]]:
        """Every row that was put above the base, None for one that was taken away; each table's by key."""
        whole = functools.reduce(lambda older, newer: newer.above(older), self._layers, _Layer({}))
        for table, key in sorted(whole.rows, key=lambda place: (place[0].name, place[1])):
            yield table, key, whole.rows[table, key]

    def encoded(self) -> list[tuple[Table[Any], Key, bytes | None]]:
        """The same as they are written."""
        return [(table, key, None if row is None else table.encode(row)) for table, key, row in self.changes()]

    # --- to be folded ------------------------------------------------------------------------------------------------

    def put(self, table: Table[Row], key: Key, row: Row | None) -> State:
        """With this row; None takes the one that is there away."""
        layers, rows = self._layers, {(table, key): row}
        if layers and len(layers[-1].rows) < _FEW:
            rows = {**layers[-1].rows, **rows}
            layers = layers[:-1]
        layer = _Layer(rows)
        if len(rows) == _FEW:
            # Full: from now on it is merged with others of its size, and a new one begins above it.
            while layers and len(layers[-1].rows) <= len(layer.rows):
                layer = layer.above(layers[-1])
                layers = layers[:-1]
        return State(self.pinned, self.base, self.frontier, (*layers, layer))

    def appended(self, leaf: bytes) -> State:
        """With one more entry, whose leaf hash is given."""
        return State(self.pinned, self.base, self.frontier.append(leaf), self._layers)


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
