"""A length has one spelling, and nothing is read beyond the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin.serialize import Reader, compact_size, read_compact_size, serialize_stack
from custody.testing.asserts import refuses

stacks = st.lists(st.binary(max_size=260), max_size=3).map(tuple)


@given(st.integers(0, 2**64 - 1))
def test_compact_sizes_round_trip(number: int):
    raw = compact_size(number)
    assert read_compact_size(raw, 0) == (number, len(raw))
    assert Reader(b"\x00" + raw, 1).compact_size() == number


@pytest.mark.parametrize("number", [0, 0xFC, 0xFD, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 0x1_0000_0000, 2**64 - 1])
def test_compact_sizes_at_their_edges(number: int):
    sizes = {0: 1, 0xFC: 1, 0xFD: 3, 0xFFFF: 3, 0x1_0000: 5, 0xFFFF_FFFF: 5, 0x1_0000_0000: 9, 2**64 - 1: 9}
    assert len(compact_size(number)) == sizes[number]
    assert read_compact_size(compact_size(number), 0) == (number, sizes[number])


@pytest.mark.parametrize(
    "raw", ["fd0000", "fdfc00", "fe00000000", "feffff0000", "ff0000000000000000", "ffffffffff00000000"]
)
def test_a_compact_size_longer_than_needed_is_refused(raw: str):
    with refuses("TX_ENCODING") as caught:
        read_compact_size(bytes.fromhex(raw), 0)
    assert "shortest form" in str(caught.error)


@pytest.mark.parametrize("raw", ["", "fd", "fd00", "fe000000", "ff00000000000000"])
def test_a_compact_size_cut_short_is_refused(raw: str):
    with refuses("TX_ENCODING"):
        read_compact_size(bytes.fromhex(raw), 0)


def test_the_reader_stops_at_the_end():
    reader = Reader(b"\x01\x02\x03\x04\x05")
    assert reader.u8() == 1
    assert reader.u32() == 0x05040302
    assert reader.remaining == 0
    reader.finish()
    for step in (reader.u8, reader.u32, reader.i64, reader.compact_size, reader.sized, reader.stack):
        with refuses("TX_ENCODING"):
            step()
    with refuses("TX_ENCODING"):
        Reader(b"\x00").finish()


@given(stacks)
def test_stacks_round_trip(stack: tuple[bytes, ...]):
    reader = Reader(serialize_stack(stack))
    assert reader.stack() == stack
    reader.finish()
