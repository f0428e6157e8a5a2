"""Rows are made again from the log alone, and a row that is not what the log makes is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from custody.backends.sql.store import SqlStore, create_store, open_store
from custody.history import kinds
from custody.history.rows import StateCorrupt
from custody.log import LogCorrupt
from custody.ports import Store
from custody.rebuild import rebuild, verify_deep
from custody.testing.cast import make_cast
from custody.testing.memory import InMemoryStore
from custody.testing.years import Size, Years
from custody.units import Network

SIZE = Size(entries=120, vaults=2, transfers=4, weeks=2)
PINNED = make_cast(SIZE.setting).digest
ORIGIN = make_cast(SIZE.setting).charter.origin


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a store with a little history."""
    path = tmp_path_factory.mktemp("years") / "store.sqlite"
    Years(create_store(path, Network.REGTEST, ORIGIN), SIZE).write()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, written: bytes) -> Path:
    path = tmp_path / "store.sqlite"
    path.write_bytes(written)
    return path


@pytest.fixture
def store(path: Path) -> SqlStore:
    return open_store(path, Network.REGTEST)


def rows(path: Path) -> list[tuple[str, bytes, bytes]]:
    query = "SELECT name, key, value FROM state_rows WHERE until = 1 << 62 ORDER BY name, key"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def test_a_sound_store_is_found_sound_and_stays_as_it_is(path: Path, store: SqlStore) -> None:
    before = rows(path)
    told: list[tuple[int, int]] = []
    found = verify_deep(store, PINNED, lambda done, of: told.append((done, of)))
    assert (found.replaced, found.erased) == (None, 0)
    assert told[-1] == (found.frontier.size, found.frontier.size)
    assert rebuild(store, PINNED) == found
    assert rows(path) == before
    assert verify_deep(store, PINNED) == found


ADDED = "INSERT INTO state_rows VALUES ('{}', x'00', 1, 1 << 62, x'5b305d')"
CHANGES = (
    ("UPDATE state_rows SET value = x'5b5d' WHERE name = '{}'", "says something else"),
    ("DELETE FROM state_rows WHERE name = '{}'", "is missing"),
    (
        "INSERT INTO state_rows SELECT name, key, since - 1, until, value FROM state_rows WHERE name = '{}'",
        "something else",
    ),
)


@pytest.mark.parametrize(
    ("table", "statement", "problem"),
    [
        *((table, *change) for table in ("balances", "transfers", "in_force", "chain") for change in CHANGES),
        *((table, ADDED, "nothing in the log makes it") for table in ("balances", "transfers", "chain", "untold")),
    ],
)
def test_a_row_that_is_not_what_the_log_makes_is_named_and_made_again(
    path: Path, store: SqlStore, table: str, statement: str, problem: str
) -> None:
    before = rows(path)
    change(path, statement.format(table))
    with pytest.raises(StateCorrupt) as caught:
        verify_deep(store, PINNED)
    assert caught.value.table == table
    assert problem in caught.value.problem
    assert str(rebuild(store, PINNED).replaced) == str(caught.value)
    assert rows(path) == before
    assert verify_deep(store, PINNED).replaced is None


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM state_head", "UPDATE state_head SET total = x'00'", "UPDATE state_head SET size = 1, peaks = x''"],
)
def test_rows_whose_head_is_damaged_are_made_again(path: Path, store: SqlStore, statement: str) -> None:
    change(path, statement)
    rebuild(store, PINNED)
    assert verify_deep(store, PINNED).replaced is None


def test_a_sum_that_is_not_that_of_the_rows_is_found(path: Path, store: SqlStore) -> None:
    change(path, "UPDATE state_head SET total = CAST(substr(total, 385) || substr(total, 1, 384) AS BLOB)")
    with pytest.raises(StateCorrupt, match="its sum is not that of the rows"):
        verify_deep(store, PINNED)


def test_a_log_that_is_damaged_changes_no_row(path: Path, store: SqlStore) -> None:
    before = rows(path)
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE bodies SET body = x'7b7d' WHERE \"index\" = 20")
        connection.commit()
    with pytest.raises(LogCorrupt):
        rebuild(store, PINNED)
    assert rows(path) == before


def test_what_was_erased_is_in_no_rebuilt_row(path: Path, store: SqlStore) -> None:
    with store.read() as view:
        seen = next(each.head.index for each in view.entries() if each.head.entry == kinds.DEPOSIT_SEEN)
    with store.transaction() as transaction:
        transaction.erase_body(seen)
    assert verify_deep(store, PINNED).erased == 1
    before = len([each for each in rows(path) if each[0] == "holdings"])
    assert rebuild(store, PINNED).erased == 1
    assert len([each for each in rows(path) if each[0] == "holdings"]) == before - 1


def test_a_store_in_memory_is_rebuilt_alike() -> None:
    store: Store = InMemoryStore(Network.REGTEST, ORIGIN)
    Years(store, SIZE).write()
    found = rebuild(store, PINNED)
    assert found.replaced is None
    assert verify_deep(store, PINNED) == found
