"""Where do two bases not say the same: the one that a log makes, and the one that stands somewhere?

Rows are compared as bytes: there is one spelling for each, so nothing has to be decoded for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from custody.history.rows import Key, Rows, StateCorrupt, Table

Listing = Callable[[Table[Any]], Iterator[tuple[Key, bytes]]]
"""Gives the rows of a table as bytes, in the order of their keys, each key once."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A key, what the log makes under it, and what stands there; None is no row."""

    table: str
    key: Key
    made: bytes | None
    stands: bytes | None

    def named(self) -> StateCorrupt:
        """The same for whoever is to look."""
        problem = "it says something else"
        if self.stands is None:
            problem = "it is missing"
        elif self.made is None:
            problem = "nothing in the log makes it"
        return StateCorrupt(table=self.table, key=self.key.hex(), problem=problem)


def first_difference(made: Listing, stands: Listing, compared: Iterable[Table[Any]]) -> StateCorrupt | None:
    """The first row of these tables in which what stands is not what the log makes; None when it is all the same."""
    found = (each.named() for table in compared for each in differences(made, stands, table))
    return next(found, None)


def differences(made: Listing, stands: Listing, table: Table[Any]) -> Iterator[Difference]:
    """Where the two have other rows in a table, by key."""
    ours, theirs = made(table), stands(table)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        if one == other:
            one, other = next(ours, None), next(theirs, None)
            continue
        key = min(row[0] for row in (one, other) if row is not None)
        right: bytes | None = None
        found: bytes | None = None
        if one is not None and one[0] == key:
            right, one = one[1], next(ours, None)
        if other is not None and other[0] == key:
            found, other = other[1], next(theirs, None)
        yield Difference(table.name, key, right, found)


def encoded(rows: Rows) -> Listing:
    """The rows of a base that gives them decoded."""
    return lambda table: ((key, table.encode(row)) for key, row in rows.scan(table, b"", None))
