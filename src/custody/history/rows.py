"""How is what the log says kept: tables of small rows, each under a key, read by key and by range?

A *base* is where rows lie: tables beside the log, a file of a station, or nothing at all. It answers as of one size of
the log, for as long as whoever reads keeps it, whatever is written after that. Changes above a base are `state`'s.

Keys are bytes and sort as bytes, so numbers in them are big-endian. A row is a frozen dataclass of plain values; its
bytes are a JSON list of its fields in their order, one spelling for each row. Which tables there are: `tables`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain, repeat
from types import NoneType, UnionType
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from custody.errors import IntegrityError
from custody.history.multiset import Multiset
from custody.log import HASH_SIZE, Frontier

Row = TypeVar("Row")
Key = bytes


class StateCorrupt(IntegrityError, code="STATE_CORRUPT"):
    """A row that is not what the log makes it."""

    message = "row {key} of table {table} is not what the log says: {problem}"
    hint = "Stop every coordinator and keep the files as they are; then compare, or build again: custody store rebuild."
    table: str
    key: str
    problem: str


class Sealing(Enum):
    """Who can build a table's rows, and so whether the digest of the state covers them."""

    SEALED = "sealed"
    """Whoever has the bodies that every reader gets: covered."""
    LOCAL = "local"
    """Only who has bodies that may be withheld or erased as well: not covered."""
    LOG = "log"
    """They repeat the log, which covers them itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Table(Generic[Row]):
    """A table by its name and the type of its rows."""

    name: str
    row: type[Row]
    sealing: Sealing = Sealing.SEALED
    encode: Callable[[Row], bytes] = dataclasses.field(init=False, repr=False)
    _decode: Callable[[bytes], Row] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        encode, decode = _codec(self.row)
        object.__setattr__(self, "encode", encode)
        object.__setattr__(self, "_decode", decode)

    def decode(self, key: Key, data: bytes) -> Row:
        """The row in `data`.

        Raises:
            StateCorrupt: it is none, or spelled in another way than the one way.
        """
        try:
            row = self._decode(data)
            if self.encode(row) == data:
                return row
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            pass
        raise StateCorrupt(table=self.name, key=key.hex(), problem="it does not read")

    def element(self, key: Key, row: Row) -> bytes:
        """What stands for a row in the digest of the state: no two rows have the same."""
        return self.element_of(key, self.encode(row))

    def element_of(self, key: Key, data: bytes) -> bytes:
        """The same for a row that is encoded already."""
        return b"%s/%d/%s/%s" % (self.name.encode("ascii"), len(key), key, data)


@dataclass(frozen=True, slots=True)
class Nothing:
    """The row of a table that says all by its keys."""


@dataclass(frozen=True, slots=True)
class Number:
    """A row that is one number."""

    value: int


@dataclass(frozen=True, slots=True)
class Named:
    """A row that is one digest."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where a base stands: the log it was made from, and the sum over its sealed rows."""

    frontier: Frontier
    total: Multiset

    @classmethod
    def of_columns(cls, size: int, peaks: bytes, total: bytes) -> Head:
        """What `columns` gave.

        Raises:
            ValueError: it gives no such thing.
        """
        parted = tuple(peaks[at : at + HASH_SIZE] for at in range(0, len(peaks), HASH_SIZE))
        return cls(Frontier(size, parted), Multiset.from_bytes(total))

    def columns(self) -> tuple[int, bytes, bytes]:
        """The same for a database: the log's size, its peaks one behind the other, and the sum."""
        return self.frontier.size, b"".join(self.frontier.peaks), self.total.to_bytes()


class Rows(Protocol):
    """A base. What it gives never changes.

    Raises:
        StateCorrupt: from every method, when a row does not read.
    """

    @property
    def head(self) -> Head:
        """Where it stands."""

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row under `key`, or None."""

    def get_many(self, table: Table[Row], keys: Collection[Key]) -> dict[Key, Row]:
        """Those of the rows under `keys` that are there."""

    def scan(
        self, table: Table[Row], start: Key, stop: Key | None, *, backwards: bool = False
    ) -> Iterator[tuple[Key, Row]]:
        """The rows from `start` up to but not including `stop` (None: to the end), in the order of their keys."""


class NoRows:
    """The base of a log that nobody has read yet."""

    head: Final = Head(Frontier(), Multiset())

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """None."""
        del table, key
        return None

    def get_many(self, table: Table[Row], keys: Collection[Key]) -> dict[Key, Row]:
        """None."""
        del table, keys
        return {}

    def scan(
        self, table: Table[Row], start: Key, stop: Key | None, *, backwards: bool = False
    ) -> Iterator[tuple[Key, Row]]:
        """Nothing."""
        del table, start, stop, backwards
        return iter(())


TOGETHER: Final = 100
"""Keys that are looked for at once."""
KEY_NAMES: Final = tuple(f"key_{at}" for at in range(TOGETHER))


def together(keys: Collection[Key]) -> Iterator[dict[str, Key]]:
    """The keys in their order, a hundred at a time under `KEY_NAMES`, for a question that is always the same.

    The last key stands for those that are lacking.
    """
    wanted = sorted(keys)
    for at in range(0, len(wanted), TOGETHER):
        some = wanted[at : at + TOGETHER]
        yield dict(zip(KEY_NAMES, chain(some, repeat(some[-1])), strict=False))


def number(value: int) -> Key:
    """A number as (part of) a key: eight bytes, big-endian."""
    return value.to_bytes(8, "big")


def beyond(prefix: Key) -> Key | None:
    """The first key behind all that begin with `prefix`; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


# --- bytes of rows ----------------------------------------------------------------------------------------------------

_Value: TypeAlias = Any
"""What a field holds, or the JSON data that stands for it."""
_Plain = Callable[[_Value], _Value]


def _codec(row: type[Row]) -> tuple[Callable[[Row], bytes], Callable[[bytes], Row]]:
    """How rows of a type become bytes, and come back."""
    if row is bytes:
        return cast("Callable[[Row], bytes]", bytes), cast("Callable[[bytes], Row]", bytes)
    to_plain, from_plain = _plain(row)
    dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

    def encode(value: Row) -> bytes:
        return dumps(to_plain(value)).encode("utf-8")

    def decode(data: bytes) -> Row:
        return cast("Row", from_plain(json.loads(data)))

    return encode, decode


def _plain(kind: _Value) -> tuple[_Plain, _Plain]:
    """Functions from a value of type `kind` to JSON data and back."""
    if dataclasses.is_dataclass(kind):
        return _plain_fields(kind)
    origin: _Value = get_origin(kind)
    arguments = get_args(kind)
    if origin in (Union, UnionType):
        return _plain_or_none(next(each for each in arguments if each is not NoneType))
    if origin is tuple:
        return _plain_tuple(arguments)
    if kind is bytes:
        return bytes.hex, bytes.fromhex
    if isinstance(kind, type) and issubclass(kind, Enum):
        return (lambda value: value.value), kind
    if kind in (int, str, bool):
        return _same, _exactly(kind)
    raise TypeError(f"no row holds a {kind}")


def _same(value: _Value) -> _Value:
    return value


def _exactly(kind: type) -> _Plain:
    def checked(value: _Value) -> _Value:
        # JSON's true is no number here, though Python's is.
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}")
        return value

    return checked


def _plain_fields(kind: _Value) -> tuple[_Plain, _Plain]:
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    pairs = [(name, *_plain(hints[name])) for name in names]
    outward = [(name, out) for name, out, _ in pairs]
    inward = [back for _, _, back in pairs]

    def to_plain(value: _Value) -> list[_Value]:
        return [out(getattr(value, name)) for name, out in outward]

    def from_plain(data: _Value) -> _Value:
        return kind(*[back(each) for back, each in zip(inward, data, strict=True)])

    return to_plain, from_plain


def _plain_or_none(kind: _Value) -> tuple[_Plain, _Plain]:
    out, back = _plain(kind)
    return (
        lambda value: None if value is None else out(value),
        lambda data: None if data is None else back(data),
    )


def _plain_tuple(arguments: tuple[Any, ...]) -> tuple[_Plain, _Plain]:
    if arguments[-1] is Ellipsis:
        out, back = _plain(arguments[0])
        return (lambda value: [out(each) for each in value]), (lambda data: tuple(back(each) for each in data))
    parts = [_plain(each) for each in arguments]
    return (
        lambda value: [out(each) for (out, _), each in zip(parts, value, strict=True)],
        lambda data: tuple(back(each) for (_, back), each in zip(parts, data, strict=True)),
    )
