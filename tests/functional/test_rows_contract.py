"""One contract for every place where rows lie: maps, the tables beside the log, a station's own file."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from custody.backends.sql import create_store
from custody.backends.sql import rows as sql_rows
from custody.backends.station import FileStationMemory
from custody.history import tables
from custody.history.maps import MapRows
from custody.history.rows import Named, NoRows, Number, Rows, number
from custody.history.state import State
from custody.log import seal
from custody.ports import StationState
from custody.testing.asserts import refuses
from custody.testing.memory import InMemoryStore
from custody.units import Network

ORIGIN = "custody.example/regtest"
PINNED = b"\x11" * 32
TABLES = (tables.REQUESTS, tables.COMMITTED, tables.DRAFTED, tables.BALANCES)
TRUSTED = StationState(
    network=Network.REGTEST, origin=ORIGIN, charter=PINNED, charter_version=1, witnessed_at=1_735_000_000
)


@dataclass
class Place:
    """A place for rows: what lies there now, and how a state over it is kept."""

    rows: Callable[[], Rows]
    save: Callable[[State], None]


def entry(index: int):
    return seal(index, "told", "coordinator", (), b"{}", index.to_bytes(32, "big"))


def in_store(store) -> Place:
    def rows() -> Rows:
        with store.read() as view:
            return view.rows()

    def save(state: State) -> None:
        with store.transaction() as transaction:
            for index in range(transaction.size, state.size):
                transaction.append(entry(index))
            transaction.save(state)

    return Place(rows, save)


def in_maps() -> Place:
    kept: list[Rows] = [NoRows()]
    return Place(lambda: kept[-1], lambda state: kept.append(MapRows.of(state)))


@pytest.fixture(params=["maps", "store in memory", "SQLite beside the log", "a station's file", "one opened again"])
def place(request, tmp_path) -> Iterator[Place]:
    match request.param:
        case "maps":
            yield in_maps()
        case "store in memory":
            yield in_store(InMemoryStore(Network.REGTEST, ORIGIN))
        case "SQLite beside the log":
            yield in_store(create_store(tmp_path / "store.sqlite", Network.REGTEST, ORIGIN))
        case "a station's file":
            memory = FileStationMemory(tmp_path / "station.db")
            yield Place(memory.rows, lambda state: memory.save(TRUSTED, state))
        case _:
            path = tmp_path / "station.db"
            yield Place(
                lambda: FileStationMemory(path).rows(), lambda state: FileStationMemory(path).save(TRUSTED, state)
            )


def over(place: Place) -> State:
    return State.over(place.rows(), PINNED)


def told(state: State) -> State:
    """One more entry, which makes a state another one."""
    return state.appended(entry(state.size).leaf)


def everything(state: State) -> object:
    return [(table.name, list(state.scan(table))) for table in TABLES], state.digest(), state.frontier


def test_nothing_is_there_at_first(place):
    assert over(place).get(tables.REQUESTS, b"a") is None
    assert list(over(place).scan(tables.REQUESTS)) == []
    assert over(place).size == 0


def test_what_was_saved_is_there_and_nothing_else(place):
    place.save(told(over(place).put(tables.REQUESTS, b"a", Number(1)).put(tables.DRAFTED, b"b", Named(b"x"))))
    again = over(place)
    assert (again.get(tables.REQUESTS, b"a"), again.get(tables.DRAFTED, b"b")) == (Number(1), Named(b"x"))
    assert again.get(tables.REQUESTS, b"b") is None
    assert again.size == 1


def test_a_row_is_replaced_and_taken_away(place):
    place.save(told(over(place).put(tables.REQUESTS, b"a", Number(1)).put(tables.REQUESTS, b"b", Number(2))))
    place.save(told(over(place).put(tables.REQUESTS, b"a", Number(3)).put(tables.REQUESTS, b"b", None)))
    assert list(over(place).scan(tables.REQUESTS)) == [(b"a", Number(3))]


def test_ranges_go_both_ways_over_more_than_a_page(place):
    state = over(place)
    for index in range(450):
        state = state.put(tables.DRAFTED, number(index), Named(bytes([index % 256])))
    place.save(told(state))
    again = over(place)
    keys = [key for key, _ in again.scan(tables.DRAFTED)]
    assert keys == [number(index) for index in range(450)]
    assert [key for key, _ in again.scan(tables.DRAFTED, backwards=True)] == keys[::-1]
    assert [key for key, _ in again.scan(tables.DRAFTED, number(7), number(240))] == keys[7:240]
    assert [key for key, _ in again.scan(tables.DRAFTED, number(7), number(240), backwards=True)] == keys[239:6:-1]


def test_many_are_asked_for_at_once(place):
    state = over(place)
    for index in range(0, 1_200, 2):
        state = state.put(tables.REQUESTS, number(index), Number(index))
    place.save(told(state))
    found = over(place).get_many(tables.REQUESTS, [number(index) for index in range(1_200)])
    assert found == {number(index): Number(index) for index in range(0, 1_200, 2)}


def test_a_state_from_before_says_what_it_said(place):
    place.save(told(over(place).put(tables.REQUESTS, b"a", Number(1)).put(tables.REQUESTS, b"c", Number(9))))
    before = over(place)
    place.save(told(over(place).put(tables.REQUESTS, b"a", Number(2)).put(tables.REQUESTS, b"b", Number(5))))
    after = over(place)
    assert list(before.scan(tables.REQUESTS)) == [(b"a", Number(1)), (b"c", Number(9))]
    assert before.get(tables.REQUESTS, b"b") is None
    assert list(after.scan(tables.REQUESTS)) == [(b"a", Number(2)), (b"b", Number(5)), (b"c", Number(9))]


def test_the_digest_is_that_of_the_same_rows_put_at_once(place):
    chance = random.Random(7)  # noqa: S311 - the same rows each time
    whole = State(PINNED)
    for _ in range(25):
        state = over(place)
        for _ in range(chance.randrange(12)):
            table, key = (
                chance.choice((tables.REQUESTS, tables.COMMITTED, tables.BALANCES)),
                bytes([chance.randrange(9)]),
            )
            row = chance.choice((None, Number(chance.randrange(5))))
            state, whole = state.put(table, key, row), whole.put(table, key, row)
        place.save(told(state))
        whole = told(whole)
        assert everything(over(place)) == everything(whole)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("store in memory", "STATE_CHANGED"),
        ("SQLite beside the log", "STATE_CHANGED"),
        ("a station's file", "CHANGED_MEANWHILE"),  # no lock is held there while a person reads
    ],
    indirect=["place"],
)
def test_a_state_that_was_begun_before_another_was_saved_is_not_kept(place, code):
    place.save(told(over(place)))
    one, other = told(over(place).put(tables.REQUESTS, b"a", Number(1))), over(place)
    place.save(one)
    with refuses(code):
        place.save(told(other.put(tables.REQUESTS, b"b", Number(2))))


def test_a_state_from_long_ago_says_that_its_rows_are_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(sql_rows, "KEPT", 3)
    place = in_store(create_store(tmp_path / "store.sqlite", Network.REGTEST, ORIGIN))
    place.save(told(over(place).put(tables.REQUESTS, b"a", Number(1))))
    before = over(place)
    for value in range(5):
        place.save(told(over(place).put(tables.REQUESTS, b"a", Number(value))))
    with refuses("STATE_GONE"):
        before.get(tables.REQUESTS, b"a")


@pytest.fixture
def replaced(tmp_path) -> State:
    """What a station knew before its file was written twice by another process."""
    one, other = (FileStationMemory(tmp_path / "station.db") for _ in range(2))
    one.save(TRUSTED, told(State.over(one.rows(), PINNED).put(tables.REQUESTS, b"a", Number(1))))
    before = State.over(other.rows(), PINNED)
    for value in (2, 3):
        one.save(TRUSTED, told(State.over(one.rows(), PINNED).put(tables.REQUESTS, b"a", Number(value))))
    return before


def test_what_a_station_knew_two_saves_ago_says_that_its_rows_are_gone(replaced):
    with refuses("STATE_GONE"):
        replaced.get(tables.REQUESTS, b"a")
    with refuses("STATE_GONE"):
        replaced.get_many(tables.REQUESTS, [b"a"])
    with refuses("STATE_GONE"):
        list(replaced.scan(tables.REQUESTS))


def test_what_a_station_knew_before_it_began_with_a_snapshot_is_gone(tmp_path):
    memory = FileStationMemory(tmp_path / "station.db")
    memory.save(TRUSTED, told(State.over(memory.rows(), PINNED).put(tables.REQUESTS, b"a", Number(1))))
    before = State.over(FileStationMemory(tmp_path / "station.db").rows(), PINNED)
    further = told(told(State(PINNED)))
    memory.begin(TRUSTED, State.over(memory.rows(), PINNED), MapRows.of(further).head, [])
    with refuses("STATE_GONE"):
        before.get(tables.REQUESTS, b"a")


@pytest.mark.parametrize("question", ["one", "many"])
def test_a_file_whose_head_is_lost_meanwhile_is_damaged(tmp_path, question):
    memory = FileStationMemory(tmp_path / "station.db")
    memory.save(TRUSTED, told(State.over(memory.rows(), PINNED)))
    rows = FileStationMemory(tmp_path / "station.db").rows()
    with closing(sqlite3.connect(tmp_path / "station.db")) as connection, connection:
        connection.execute("DELETE FROM head")
    with refuses("STATE_CORRUPT"):
        rows.get(tables.REQUESTS, b"a") if question == "one" else rows.get_many(tables.REQUESTS, [b"a"])


# --- a station's file -------------------------------------------------------------------------------------------------


def test_a_station_s_file_is_its_owner_s_and_alone(tmp_path):
    memory = FileStationMemory(tmp_path / "station.db")
    assert memory.load() is None
    memory.save(TRUSTED, told(State.over(memory.rows(), PINNED)))
    assert memory.load() == TRUSTED
    assert (tmp_path / "station.db").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["station.db"]


def test_a_file_that_was_made_and_not_written_is_a_first_time(tmp_path):
    memory = FileStationMemory(tmp_path / "station.db")
    memory._make()
    assert memory.load() is None
    memory.save(TRUSTED, told(State.over(memory.rows(), PINNED)))
    assert memory.load() == TRUSTED


def test_rows_under_nobody_whom_the_station_trusts_are_damage(tmp_path):
    memory = FileStationMemory(tmp_path / "station.db")
    memory.save(TRUSTED, told(State.over(memory.rows(), PINNED)))
    with closing(sqlite3.connect(tmp_path / "station.db")) as connection, connection:
        connection.execute("DELETE FROM trusted")
    with refuses("STATION_DAMAGED"):
        memory.load()


def test_what_another_process_saved_is_read_and_not_what_this_one_remembers(tmp_path):
    one, other = (FileStationMemory(tmp_path / "station.db") for _ in range(2))
    one.save(TRUSTED, told(State.over(one.rows(), PINNED).put(tables.REQUESTS, b"a", Number(1))))
    other.save(TRUSTED, told(State.over(other.rows(), PINNED).put(tables.REQUESTS, b"a", Number(2))))
    assert one.rows().get(tables.REQUESTS, b"a") == Number(2)


def test_what_was_not_written_is_not_remembered(tmp_path):
    memory = FileStationMemory(tmp_path / "station.db")
    memory.save(TRUSTED, told(State.over(memory.rows(), PINNED)))
    # No entry makes this row, so there is nothing to keep.
    memory.save(TRUSTED, State.over(memory.rows(), PINNED).put(tables.REQUESTS, b"a", Number(1)))
    assert memory.rows().get(tables.REQUESTS, b"a") is None


@pytest.mark.parametrize("damaged", [b"", b"not a database at all", bytes(4096)])
def test_a_damaged_station_file_is_never_taken_for_a_first_time(tmp_path, damaged):
    (tmp_path / "station.db").write_bytes(damaged)
    memory = FileStationMemory(tmp_path / "station.db")
    with refuses("STATION_DAMAGED"):
        memory.load()
    with refuses("STATION_DAMAGED"):
        memory.rows()
