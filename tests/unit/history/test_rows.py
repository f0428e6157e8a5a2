"""A row has one spelling: it reads back from its bytes, and nothing else reads."""

import json
from contextlib import suppress
from dataclasses import dataclass, fields
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.history import tables
from custody.history.maps import MapRows
from custody.history.rows import Named, NoRows, Nothing, Number, Sealing, StateCorrupt, Table
from custody.history.state import State
from custody.testing.asserts import refuses
from custody.transfer.settlement import Ending
from custody.transfer.state import Status, TransferRow


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner:
    name: str
    colour: Colour | None


@dataclass(frozen=True, slots=True)
class Outer:
    data: bytes
    count: int
    is_so: bool
    inner: Inner
    pairs: tuple[tuple[str, int], ...]
    maybe: bytes | None


OUTER = Table("outer", Outer)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
inners = st.builds(Inner, texts, st.none() | st.sampled_from(Colour))
outers = st.builds(
    Outer,
    st.binary(max_size=8),
    st.integers(),
    st.booleans(),
    inners,
    st.lists(st.tuples(texts, st.integers()), max_size=3).map(tuple),
    st.none() | st.binary(max_size=4),
)
digests = st.binary(min_size=32, max_size=32)
indexes = st.integers(0, 2**32)
transfers = st.builds(
    TransferRow,
    *([digests] * 4),
    *([indexes] * 5),
    due_receive=st.lists(st.tuples(texts, indexes), max_size=2).map(tuple),
    replaced=st.lists(digests, max_size=2).map(tuple),
    parent=st.none() | digests,
    status=st.sampled_from(Status),
    decided=st.none() | indexes,
    approved=st.lists(indexes, max_size=3).map(tuple),
    ending=st.none() | st.sampled_from(Ending),
)


@given(outers)
def test_a_row_reads_back_from_its_bytes(row):
    assert OUTER.decode(b"", OUTER.encode(row)) == row


@given(transfers)
def test_a_transfer_s_row_reads_back_too(row):
    assert tables.TRANSFERS.decode(b"", tables.TRANSFERS.encode(row)) == row


@given(outers, outers)
def test_two_rows_have_two_spellings(one, other):
    assert (OUTER.encode(one) == OUTER.encode(other)) is (one == other)


@given(outers, st.data())
def test_bytes_that_read_are_the_ones_that_would_be_written(row, data):
    good = OUTER.encode(row)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    with suppress(StateCorrupt):
        assert OUTER.encode(OUTER.decode(b"", bad)) == bad


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b"null",
        b"{}",
        b"[7",
        b"[7] ",
        b" [7]",
        b"[07]",
        b"[7.0]",
        b'["7"]',
        b"[true]",
        b"[null]",
        b"[[7]]",
        b"[7,8]",
        b"[]",
        b'{"value":7}',
        b"\xff",
        b"[NaN]",
    ],
)
def test_one_number_is_spelled_in_one_way(data):
    table = Table("numbers", Number)
    assert table.encode(Number(7)) == b"[7]"
    with refuses("STATE_CORRUPT") as caught:
        table.decode(b"\x01\x02", data)
    assert (caught.error.table, caught.error.key) == ("numbers", "0102")


@pytest.mark.parametrize("data", [b'["0G"]', b'["AB"]', b'["a"]', b'["ab cd"]', b"[7]"])
def test_bytes_are_spelled_in_small_hexadecimal(data):
    with refuses("STATE_CORRUPT"):
        Table("named", Named).decode(b"", data)


def test_every_table_writes_what_its_log_makes_and_reads_it_back(told):
    kept = MapRows.of(told.states[-1])
    for table in tables.ALL:
        for key, row in told.states[-1].scan(table):
            data = table.encode(row)
            assert kept.tables[table.name][key] == data
            assert table.decode(key, data) == row
    # The story touches all of them.
    assert {each.name for each in tables.ALL} - set(kept.tables) <= {"untold", "maturing"}


def test_tables_have_names_of_their_own_and_no_row_stands_for_another():
    assert len({each.name for each in tables.ALL}) == len(tables.ALL)
    one, other = Table("a", Number), Table("a/1", Number)
    seen = {one.element(b"1/2", Number(3)), other.element(b"2", Number(3)), one.element(b"1", Number(3))}
    assert len(seen) == 3


def test_a_type_that_no_row_holds_is_refused_where_the_table_is_made():
    @dataclass(frozen=True)
    class Odd:
        value: float

    with pytest.raises(TypeError):
        Table("odd", Odd)


def test_the_row_that_says_nothing_is_an_empty_list():
    assert Table("nothing", Nothing).encode(Nothing()) == b"[]"
    assert len(json.loads(tables.TRANSFERS.encode(_some_row()))) == len(fields(TransferRow))


def _some_row() -> TransferRow:
    return TransferRow(bytes(32), bytes(32), bytes(32), bytes(32), 1, 2, 3, 3, 0, 0)


# --- no rows ----------------------------------------------------------------------------------------------------------


def test_a_base_without_rows_has_the_digest_of_none():
    assert NoRows().head.total.digest() == State(bytes(32)).digest()
    assert NoRows().get(tables.FREEZE, b"") is None
    assert list(NoRows().scan(tables.FREEZE, b"", None)) == []


def test_what_a_coordinator_alone_says_is_local_and_the_log_repeats_itself():
    assert {each.name for each in tables.ALL if each.sealing is Sealing.LOCAL} == {
        "holdings",
        "unspent",
        "received",
        "maturing",
        "balances",
        "furthest",
        "paid",
        "in_blocks",
        "untold",
    }
    assert tables.BODIES.sealing is tables.ROOTS.sealing is Sealing.LOG
