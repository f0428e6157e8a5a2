"""How is a statement run that every unit of work needs? Compiled once, and handed to SQLite itself.

SQLAlchemy takes many times as long to prepare a statement and wrap its answer as SQLite takes to give it, and a step of
the route runs about twenty, under the store's lock. What is asked seldom goes through `Connection.execute`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import ClauseElement, Connection, Select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from custody.backends.sql.kinds import WrongKind, kind_of

_DIALECT: Final = SQLiteDialect_pysqlite(paramstyle="named")
_Row: TypeAlias = tuple[Any, ...]
_Value: TypeAlias = Any


class Statement:
    """A statement by its text. Values are plain integers, text and bytes, by the names of its parameters.

    Raises:
        sqlite3.Error: from every method; the store's door translates it.
    """

    def __init__(self, statement: ClauseElement, *, may_lack: bool = False) -> None:
        """`may_lack` when its last two columns may both be left out."""
        self._may_lack: Final = may_lack
        columns = list(statement.selected_columns) if isinstance(statement, Select) else []
        self._kinds: Final = tuple(kind_of(each.type) for each in columns)
        compiled = statement.compile(dialect=_DIALECT)
        self._text: Final = str(compiled)
        self._fixed: Final = {name: value for name, value in compiled.params.items() if value is not None}

    def rows(self, connection: Connection, **values: object) -> list[_Row]:
        """Every row it gives."""
        # All of them: a cursor that stands on a row would keep the file locked.
        found = _driver(connection).execute(self._text, {**self._fixed, **values}).fetchall()
        for row in found:
            if tuple(map(type, row)) != self._kinds:
                self._refuse_other(row)
        return found

    def _refuse_other(self, row: _Row) -> None:
        """Pass where only the last two are left out, and both: the salt and the body of an entry that has none."""
        kinds = tuple(map(type, row))
        if not self._may_lack or kinds[:-2] != self._kinds[:-2] or row[-2:] != (None, None):
            raise WrongKind

    def first(self, connection: Connection, **values: object) -> _Row | None:
        """The first row it gives, if any."""
        found = self.rows(connection, **values)
        return found[0] if found else None

    def scalar(self, connection: Connection, **values: object) -> _Value:
        """The first value of the first row; None when there is none."""
        found = self.rows(connection, **values)
        return found[0][0] if found else None

    def run(self, connection: Connection, each: Iterable[Mapping[str, object]]) -> None:
        """Once for each of these values."""
        _driver(connection).executemany(self._text, [{**self._fixed, **values} for values in each])


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.driver_connection)
