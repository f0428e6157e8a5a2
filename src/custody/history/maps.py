"""A base in memory: plain maps of rows as bytes. For tests, and for logs that are small."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from custody.history.rows import Head, Key, Row, Table
from custody.history.snapshot import Written
from custody.history.state import State


class MapRows:
    """Rows by table and key. Implements `Rows`; nothing changes it."""

    def __init__(self, head: Head, tables: Mapping[str, Mapping[Key, bytes]]) -> None:
        self.head: Final = head
        self.tables: Final = tables
        self._sorted: Final[dict[str, list[Key]]] = {}

    @classmethod
    def of(cls, state: State) -> MapRows:
        """The rows of a state over such a base, or over none."""
        below = state.base.tables if isinstance(state.base, MapRows) else {}
        tables = {name: dict(rows) for name, rows in below.items()}
        encoded = state.encoded()
        for table, key, data in encoded:
            rows = tables.setdefault(table.name, {})
            if data is None:
                rows.pop(key, None)
            else:
                rows[key] = data
        return cls(Head(state.frontier, state.total_with(encoded)), tables)

    @classmethod
    def begun(cls, head: Head, rows: Iterable[Written]) -> MapRows:
        """These rows, which stand at `head`."""
        tables: dict[str, dict[Key, bytes]] = {}
        for table, key, data in rows:
            tables.setdefault(table.name, {})[key] = data
        return cls(head, tables)

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row under `key`, or None."""
        data = self.tables.get(table.name, {}).get(key)
        return None if data is None else table.decode(key, data)

    def get_many(self, table: Table[Row], keys: Collection[Key]) -> dict[Key, Row]:
        """Those of the rows under `keys` that are there."""
        rows = self.tables.get(table.name, {})
        return {key: table.decode(key, rows[key]) for key in keys if key in rows}

    def scan(
        self, table: Table[Row], start: Key, stop: Key | None, *, backwards: bool = False
    ) -> Iterator[tuple[Key, Row]]:
        """The rows in a range, in the order of their keys."""
        rows = self.tables.get(table.name, {})
        keys = self._sorted.get(table.name)
        if keys is None:
            keys = self._sorted[table.name] = sorted(rows)
        first = bisect.bisect_left(keys, start)
        last = len(keys) if stop is None else bisect.bisect_left(keys, stop)
        found = reversed(keys[first:last]) if backwards else iter(keys[first:last])
        return ((key, table.decode(key, rows[key])) for key in found)
