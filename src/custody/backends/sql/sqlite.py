"""How is an SQLite file opened so that what was committed stays committed, and only one process writes at a time?

What each connection is told, and why:

- `journal_mode=DELETE`. A write-ahead log would let readers and writers pass each other, but up to SQLite 3.51.2, which
  is what stable distributions carry, two connections that commit and checkpoint at the same moment can corrupt the file
  (the "WAL-reset" bug, fixed in 3.51.3), and several coordinators at once are what this store is for. The rollback
  journal also leaves one file to copy, with nothing committed standing in a second one.
- `synchronous=EXTRA`. That is FULL, plus a sync of the directory once the journal is unlinked. With FULL alone a power
  cut right after a commit can bring the journal back, and the commit is rolled back.
- `foreign_keys=ON`; `trusted_schema=OFF` and `cell_size_check=ON`, because the file may have been in other hands;
  `secure_delete=ON`, because an erased body is personal data; `fullfsync=ON` has an effect on macOS only.
- Writers start with `BEGIN IMMEDIATE`, so that they queue up at the start. A transaction that reads first and locks
  later would either fail late or work on what it read before the others wrote.

Each transaction has its own connection, which is closed after it: nothing is shared between threads, and nothing is
inherited over a fork. The driver never begins or ends a transaction by itself.

Sources: sqlite.org pragma.html, lockingv3.html, lang_transaction.html, wal.html section 11.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from custody.backends.sql.kinds import WrongKind
from custody.errors import CustodyError
from custody.ports import StoreBusy, StoreCorrupt, StoreFailed

_PRAGMAS: Final = (
    "PRAGMA journal_mode=DELETE",
    "PRAGMA synchronous=EXTRA",
    "PRAGMA fullfsync=ON",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
)


def writer(path: Path, busy_seconds: int) -> Engine:
    """Connections to the existing file at `path` whose transactions are alone from their first statement on."""
    engine = _engine(path, busy_seconds)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def reader(path: Path, busy_seconds: int) -> Engine:
    """Connections to the existing file at `path` that see one state and cannot change it."""
    engine = _engine(path, busy_seconds, "PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def asker(path: Path, busy_seconds: int) -> Engine:
    """Connections to the existing file at `path` that cannot change it, and hold it for one question at a time."""
    return _engine(path, busy_seconds, "PRAGMA query_only=ON")


def translated(error: DBAPIError | sqlite3.Error, path: Path, busy_seconds: int) -> CustodyError:
    """What `error` means to whoever uses the store at `path`. It keeps SQLite's name for it, no value."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    # What Python's own module raises, of text that is none, has no code.
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    name = getattr(cause, "sqlite_errorname", type(cause).__name__)
    store = shown(path)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusy(store=store, seconds=busy_seconds)
    if code in _DAMAGE:
        return StoreCorrupt(store=store, what=f"SQLite reports {name}")
    return StoreFailed(store=store, reason=f"SQLite reports {name}")


def shown(path: Path) -> str:
    """A path for a message: names come from outside and may hold escape codes."""
    return ascii(str(path))[1:-1]


# ERROR is a table or column that is not there: somebody changed the file.
_DAMAGE: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_FORMAT,
    }
)


def _engine(path: Path, busy_seconds: int, *more: str) -> Engine:
    # mode=rw: opening never makes a file, so a mistyped path is an error and not an empty log.
    uri = f"{path.absolute().as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (*_PRAGMAS, *more):
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        except UnicodeDecodeError:
            # What SQLite says of a damaged schema repeats bytes of it.
            connection.close()
            raise WrongKind from None
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)
