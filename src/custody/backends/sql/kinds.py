"""Is what stands in a column of the kind that was put there?

SQLite keeps the kinds of a STRICT table as it writes. Where pages were exchanged a row of one table is read as
another's, and nobody has looked: what comes out is looked at here, before anybody relies on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Dialect, Integer, LargeBinary, Text
from sqlalchemy.types import TypeEngine


class WrongKind(sqlite3.DatabaseError):
    """A value that nobody could have put there: the file is damaged."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    sqlite_errorname = "a value of another kind than its column's"


class Whole(Integer):
    """A column of whole numbers; none is left out."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """What looks at each value."""
        del dialect, coltype
        return lambda value: checked(value, int)


class Blob(LargeBinary):
    """A column of bytes; none is left out."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """What looks at each value."""
        del dialect, coltype
        return lambda value: checked(value, bytes)


class Line(Text):
    """A column of text; none is left out."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """What looks at each value."""
        del dialect, coltype
        return lambda value: checked(value, str)


_KINDS: Final[dict[type[TypeEngine[Any]], type]] = {Whole: int, Blob: bytes, Line: str}


def kind_of(column_type: TypeEngine[Any]) -> type:
    """What a column of this type gives."""
    return _KINDS[type(column_type)]


def checked(value: object, kind: type) -> object:
    """The same value.

    Raises:
        WrongKind: it is not of this kind.
    """
    if type(value) is not kind:
        raise WrongKind
    return value
