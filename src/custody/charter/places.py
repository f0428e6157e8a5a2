"""Where in the text of a charter does something stand: in which line, which table, which field?

Errors keep their codes. Where they came up is a note on them (`BaseException.add_note`), looked for only then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from custody.errors import CustodyError
from custody.toml import lines_of

_SHOWN: Final = 60


@dataclass(slots=True)
class Places:
    """The text, and where in it each entry of the record's lists stands: by list and by place in its order of names."""

    text: str
    lists: Mapping[str, Sequence[Entry]] = field(default_factory=dict)

    def note(self, error: CustodyError, entry: Entry | None, name: str = "") -> None:
        """Note on an error where it came up, unless that is known already; `name` is a field of the entry, or none."""
        if getattr(error, "__notes__", None):
            return
        lines = lines_of(self.text)
        table, number = ("", 0) if entry is None else (entry.table, entry.number)
        # A field that is not known may be a table that is not known.
        line = lines.get((table, number, name)) or lines.get((name, 0, "") if entry is None else (table, number, ""))
        parts = [] if line is None else [f"line {line}"]
        if entry is not None:
            parts.append(f"[[{table}]] number {number + 1}{entry.shown}")
        parts += [ascii(name[:_SHOWN])[1:-1]] if name else []
        if parts:
            error.add_note(", ".join(parts))

    @contextmanager
    def within(self, entry: Entry | None, name: str = "") -> Iterator[None]:
        """Whatever is refused within came up there."""
        try:
            yield
        except CustodyError as error:
            self.note(error, entry, name)
            raise

    def of(self, *values: object) -> Entry | None:
        """The last entry that is called like one of these values of an error; else the last that names one.

        Of two that cannot stand together the later is meant, which was added.
        """
        entries = [each for listed in self.lists.values() for each in listed][::-1]
        called = (each for value in values[::-1] for each in entries if each.name == value)
        naming = (
            each for value in values[::-1] for each in entries if any(ascii(one) == value for one in each.names())
        )
        return next(chain(called, naming), None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One `[[table]]` of the text: which of its kind it is, from 0, and what it says."""

    table: str
    number: int
    written: Mapping[str, object]

    @property
    def name(self) -> object:
        """What it calls itself."""
        return self.written.get("name")

    def names(self) -> Iterator[object]:
        """Every value in it, alone or in a list."""
        for value in self.written.values():
            yield from value if isinstance(value, list) else [value]

    @property
    def shown(self) -> str:
        """Its name for an error."""
        return f" ({ascii(self.name[:_SHOWN])[1:-1]})" if isinstance(self.name, str) and self.name else ""
