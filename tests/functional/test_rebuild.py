"""Rows are made again from the log alone, and a row that is not what the log makes is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from custody.backends.sql.store import SqlStore, create_store, open_store
from custody.history import kinds
from custody.history.on.annex import ERASABLE, Erased
from custody.history.rows import StateCorrupt
from custody.log import EntryHead, LogCorrupt
from custody.logbook import Logbook
from custody.ports import StateGone, Store
from custody.rebuild import rebuild, verify_deep
from custody.testing.cast import make_cast
from custody.testing.memory import InMemoryStore
from custody.testing.years import Size, Years
from custody.units import Network

SIZE = Size(entries=120, vaults=2, transfers=4, weeks=2)
PINNED = make_cast(SIZE.setting).digest
NOW = 1_800_000_000
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


def first(store: Store, kind: str) -> EntryHead:
    with store.read() as view:
        return next(each.head for each in view.entries() if each.head.entry == kind)


def erase(store: Store, head: EntryHead) -> None:
    """As a custodian does it."""
    erased = Erased(index=head.index, entry=head.entry, body=head.body, why="it named somebody", at=NOW)
    with Logbook(store, PINNED, lambda: bytes(32)).write(NOW) as work:
        work.append(kinds.ERASED, erased)
        work.store.erase_body(head.index)


@pytest.mark.parametrize("kind", sorted(ERASABLE))
def test_what_was_erased_is_in_no_row_and_all_rows_are_compared_still(path: Path, store: SqlStore, kind: str) -> None:
    seen = len([each for each in rows(path) if each[0] == "holdings"])
    erase(store, first(store, kind))
    left = rows(path)
    assert len([each for each in left if each[0] == "holdings"]) == seen - (kind == kinds.DEPOSIT_SEEN)
    assert verify_deep(store, PINNED).erased == 1
    made = rebuild(store, PINNED)
    assert (made.erased, made.replaced, rows(path)) == (1, None, left)
    change(path, "DELETE FROM state_rows WHERE name = 'balances'")
    with pytest.raises(StateCorrupt, match="balances"):
        verify_deep(store, PINNED)


@pytest.mark.parametrize("kind", sorted(ERASABLE))
def test_a_body_that_is_gone_though_nothing_says_that_it_was_erased_is_found(store: SqlStore, kind: str) -> None:
    head = first(store, kind)
    with store.transaction() as transaction:
        transaction.erase_body(head.index)
    with pytest.raises((StateCorrupt, LogCorrupt)) as caught:
        verify_deep(store, PINNED)
    assert caught.value.code == ("LOG_CORRUPT" if kind == kinds.ANNEXED else "STATE_CORRUPT")


def test_an_erased_body_that_is_there_again_is_found_and_makes_no_row(path: Path, store: SqlStore) -> None:
    head = first(store, kinds.DEPOSIT_SEEN)
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute('SELECT * FROM bodies WHERE "index" = ?', (head.index,)).fetchone()
    erase(store, head)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO bodies VALUES (?, ?, ?)", kept)
        connection.commit()
    assert rebuild(store, PINNED).replaced is None
    with pytest.raises(LogCorrupt, match="its body is there, and was erased"):
        verify_deep(store, PINNED)


def test_what_is_erased_while_the_log_is_folded_is_in_no_row_either(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custody.backends.sql.scratch._RECENT", 1)
    heads = [first(store, kind) for kind in sorted(ERASABLE)]
    told: list[tuple[int, int]] = []

    def erase_one(done: int, size: int) -> None:
        told.append((done, size))
        if heads:
            erase(store, heads.pop())

    made = rebuild(store, PINNED, erase_one)
    assert (made.replaced, made.erased) == (None, 2)
    assert [size for _, size in told] == [told[0][1] + each for each in range(3)]
    assert verify_deep(store, PINNED).frontier == made.frontier


def test_who_compares_while_something_is_erased_is_told_to_ask_again(store: SqlStore) -> None:
    head = first(store, kinds.DEPOSIT_SEEN)
    with pytest.raises(StateGone):
        verify_deep(store, PINNED, lambda *_: erase(store, head))


def test_a_store_in_memory_is_rebuilt_alike() -> None:
    store: Store = InMemoryStore(Network.REGTEST, ORIGIN)
    Years(store, SIZE).write()
    found = rebuild(store, PINNED)
    assert found.replaced is None
    assert verify_deep(store, PINNED) == found
