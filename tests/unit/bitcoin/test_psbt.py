"""A PSBT has one spelling, keeps every field to the byte, and is bounded before it is read."""

import base64
import dataclasses
import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin.psbt import MAX_FIELDS, Psbt, PsbtMap, read_psbt_file
from custody.bitcoin.serialize import compact_size
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.asserts import refuses

G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
SIGNATURE = bytes.fromhex("3006020101020101") + b"\x01"

PREVIOUS = Transaction(2, (TxIn(OutPoint(b"\x11" * 32, 3), b"", 1),), (TxOut(5000, b"\x51"), TxOut(7, b"\x52")), 0)
UNSIGNED = Transaction(
    2, (TxIn(OutPoint(PREVIOUS.txid, 1), b"", 0xFFFFFFFD),), (TxOut(4000, b"\x00\x14" + b"z" * 20),), 9
)

Pairs = list[tuple[bytes, bytes]]


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def v0(inputs: Pairs = (), outputs: Pairs = (), more: Pairs = (), unsigned: bytes = UNSIGNED.stripped()) -> bytes:
    """Bytes of a version 0 PSBT of one input and one output, put together without the code under test."""
    return b"psbt\xff" + pack([(b"\x00", unsigned), *more]) + pack(inputs) + pack(outputs)


def v2(inputs: list[Pairs], outputs: list[Pairs], more: Pairs = ()) -> bytes:
    fixed = [
        (b"\x02", u32(2)),
        (b"\x04", compact_size(len(inputs))),
        (b"\x05", compact_size(len(outputs))),
        (b"\xfb", u32(2)),
    ]
    return b"psbt\xff" + pack([*fixed, *more]) + b"".join(map(pack, inputs)) + b"".join(map(pack, outputs))


def pack(pairs: Pairs) -> bytes:
    def sized(data: bytes) -> bytes:
        return (bytes([len(data)]) if len(data) < 253 else b"\xfd" + len(data).to_bytes(2, "little")) + data

    return b"".join(sized(key) + sized(value) for key, value in pairs) + b"\x00"


V2_INPUT = [(b"\x0e", b"\x22" * 32), (b"\x0f", u32(1))]
V2_OUTPUT = [(b"\x03", (4000).to_bytes(8, "little")), (b"\x04", b"\x51")]


# The container


def test_fields_are_kept_in_their_order():
    inputs = [(b"\xf0b", b"2"), (b"\x00", PREVIOUS.serialize()), (b"\xf0a", b"1"), (b"\x03", u32(1))]
    raw = v0(inputs, [(b"\x99", b"")], [(b"\xf1", b"x")])
    psbt = Psbt.parse(raw)
    assert psbt.serialize() == raw
    assert psbt.version == 0
    assert psbt.inputs[0].pairs == tuple(inputs)
    assert psbt.inputs[0].get(b"\xf0a") == b"1"
    assert psbt.inputs[0].get(b"\xf0") is None
    assert psbt.inputs[0].of_type(0xF0) == [(b"b", b"2"), (b"a", b"1")]
    assert psbt.unsigned_transaction == UNSIGNED
    assert psbt.previous_transaction(0).output(1) == PREVIOUS.outputs[1]
    assert Psbt.parse(v0()).previous_transaction(0) is None


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.binary(max_size=300)), max_size=8))
def test_unknown_fields_pass_through(fields: Pairs):
    # 0x60 to 0xef: nobody's types.
    pairs = list({bytes([0x60 + key[0] % 0x90]) + key[1:]: value for key, value in fields}.items())
    raw = v0(pairs, pairs, pairs)
    psbt = Psbt.parse(raw)
    assert psbt.serialize() == raw
    assert Psbt.from_base64(psbt.to_base64()) == psbt
    assert list(psbt.inputs[0].pairs) == list(psbt.outputs[0].pairs) == pairs
    assert Psbt(0, PsbtMap(psbt.global_map.pairs), (PsbtMap(pairs),), (PsbtMap(pairs),)).serialize() == raw


def test_every_proper_prefix_is_refused():
    raw = v0([(b"\x00", PREVIOUS.serialize()), (b"\x02" + G, SIGNATURE)], [(b"\x01", b"\x51")])
    Psbt.parse(raw)
    for size in range(len(raw)):
        with refuses("PSBT_ENCODING"):
            Psbt.parse(raw[:size])


def test_a_file_that_ends_inside_a_field_says_so():
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0([(b"\x17", bytes(32))])[:-10])
    assert "TAP_INTERNAL_KEY: the file ends inside it" in str(caught.error)


@pytest.mark.parametrize("tail", [b"\x00", b"\n", b"psbt\xff"])
def test_bytes_after_the_last_map_are_refused(tail: bytes):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0() + tail)
    assert "follow the last map" in str(caught.error)


@pytest.mark.parametrize("magic", [b"", b"psbt", b"psbt\x00", b"PSBT\xff", b"psat\xff"])
def test_another_magic_is_refused(magic: bytes):
    with refuses("PSBT_ENCODING"):
        Psbt.parse(magic + v0()[5:])


@pytest.mark.parametrize("part", ["global", "input", "output"])
def test_a_key_that_stands_twice_is_refused(part: str):
    twice = [(b"\xaa\x01", b"x"), (b"\xaa\x01", b"x")]
    raws = {"global": v0(more=twice), "input": v0(twice), "output": v0(outputs=twice)}
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(raws[part])
    assert "twice" in str(caught.error)


@pytest.mark.parametrize(
    ("plain", "longer"), [(b"\x01\xaa\x00", b"\xfd\x01\x00\xaa\x00"), (b"\x01\xaa\x00", b"\x01\xaa\xfd\x00\x00")]
)
def test_a_length_longer_than_needed_is_refused(plain: bytes, longer: bytes):
    raw = v0([(b"\xaa", b"")])
    assert raw.count(plain) == 1
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(raw.replace(plain, longer))
    assert "shortest form" in str(caught.error)


@pytest.mark.parametrize("key", [b"\xfd\x01\x00", b"\xfd\xfc", b"\xfe\x00\x01\x00\x00", b"\xff"])
def test_a_key_type_longer_than_needed_or_cut_short_is_refused(key: bytes):
    with refuses("PSBT_ENCODING"):
        Psbt.parse(v0([(key, b"")]))


def test_a_wide_key_type_passes():
    psbt = Psbt.parse(v0([(b"\xfd\x00\x01data", b"v")]))
    assert psbt.inputs[0].of_type(0x100) == [(b"data", b"v")]


@pytest.mark.parametrize("key", [b"\xfc\x04abcd\x01data", b"\xfc\x00\x00"])
def test_a_proprietary_key_passes(key: bytes):
    assert Psbt.parse(v0([(key, b"v")])).inputs[0].get(key) == b"v"


@pytest.mark.parametrize("key", [b"\xfc", b"\xfc\x05abcd", b"\xfc\x04abcd", b"\xfc\xfd\x04\x00abcd\x01"])
def test_a_proprietary_key_cut_short_is_refused(key: bytes):
    with refuses("PSBT_ENCODING"):
        Psbt.parse(v0([(key, b"v")]))


@pytest.mark.parametrize("version", [1, 3, 7, 2**32 - 1])
def test_other_versions_are_refused(version: int):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0(more=[(b"\xfb", u32(version))]))
    assert f"version is {version}" in str(caught.error)


@pytest.mark.parametrize("value", [b"", b"\x00", bytes(3), bytes(5), bytes(400)])
def test_a_version_that_is_not_four_bytes_is_refused(value: bytes):
    with refuses("PSBT_ENCODING"):
        Psbt.parse(v0(more=[(b"\xfb", value)]))


def test_version_zero_may_be_said():
    raw = v0(more=[(b"\xfb", u32(0))])
    assert Psbt.parse(raw).serialize() == raw


# The unsigned transaction and previous ones


@pytest.mark.parametrize(
    "unsigned",
    [
        b"",
        UNSIGNED.stripped() + b"\x00",
        UNSIGNED.stripped()[:-1],
        dataclasses.replace(UNSIGNED, inputs=(TxIn(OutPoint(bytes(32), 0), b"\x51", 0),)).stripped(),
        dataclasses.replace(UNSIGNED, witness=((b"a",),)).serialize(),
    ],
)
def test_an_unsigned_transaction_is_one_and_unsigned(unsigned: bytes):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0(unsigned=unsigned))
    assert "UNSIGNED_TX" in str(caught.error)


def test_a_psbt_without_a_transaction_is_refused():
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(b"psbt\xff\x00")
    assert "UNSIGNED_TX is missing" in str(caught.error)


def test_a_transaction_without_inputs_is_read():
    raw = b"psbt\xff" + pack([(b"\x00", dataclasses.replace(UNSIGNED, inputs=()).stripped())]) + pack([])
    assert Psbt.parse(raw).serialize() == raw


def test_another_previous_transaction_is_refused():
    other = dataclasses.replace(PREVIOUS, locktime=1)
    with refuses("PREVTX_TXID") as caught:
        Psbt.parse(v0([(b"\x00", other.serialize())]))
    assert caught.error.actual == other.txid_hex
    assert caught.error.outpoint == UNSIGNED.inputs[0].outpoint


def test_a_previous_transaction_without_that_output_is_refused():
    unsigned = dataclasses.replace(UNSIGNED, inputs=(TxIn(OutPoint(PREVIOUS.txid, 2), b"", 0),))
    with refuses("PREVTX_OUTPUT"):
        Psbt.parse(v0([(b"\x00", PREVIOUS.serialize())], unsigned=unsigned.stripped()))


def test_a_previous_transaction_with_bytes_after_it_is_refused():
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0([(b"\x00", PREVIOUS.serialize() + b"\x00")]))
    assert "input 0: NON_WITNESS_UTXO" in str(caught.error)


def test_a_previous_transaction_with_a_witness_has_the_same_txid():
    witnessed = dataclasses.replace(PREVIOUS, witness=((b"w" * 70,),))
    psbt = Psbt.parse(v0([(b"\x00", witnessed.serialize())]))
    assert psbt.previous_transaction(0).txid == PREVIOUS.txid


# Version 2


def test_a_version_2_psbt_gives_its_transaction():
    raw = v2([[*V2_INPUT, (b"\x10", u32(7))], V2_INPUT[::-1]], [V2_OUTPUT], [(b"\x03", u32(77))])
    psbt = Psbt.parse(raw)
    assert psbt.serialize() == raw
    assert psbt.version == 2
    outpoint = OutPoint(b"\x22" * 32, 1)
    assert psbt.unsigned_transaction == Transaction(
        2, (TxIn(outpoint, b"", 7), TxIn(outpoint, b"", 0xFFFFFFFF)), (TxOut(4000, b"\x51"),), 77
    )


def test_a_version_2_previous_transaction_is_compared_too():
    fields = [(b"\x0e", PREVIOUS.txid), (b"\x0f", u32(1)), (b"\x00", PREVIOUS.serialize())]
    assert Psbt.parse(v2([fields], [V2_OUTPUT])).previous_transaction(0).txid == PREVIOUS.txid
    with refuses("PREVTX_TXID"):
        Psbt.parse(v2([[(b"\x0e", bytes(32)), *fields[1:]]], [V2_OUTPUT]))


@pytest.mark.parametrize("missing", [0x02, 0x04, 0x05])
def test_a_version_2_psbt_says_its_version_and_counts(missing: int):
    fields = [(b"\x02", u32(2)), (b"\x04", b"\x00"), (b"\x05", b"\x00"), (b"\xfb", u32(2))]
    assert Psbt.parse(b"psbt\xff" + pack(fields)).unsigned_transaction == Transaction(2, (), (), 0)
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(b"psbt\xff" + pack([field for field in fields if field[0][0] != missing]))
    assert "is missing" in str(caught.error)


@pytest.mark.parametrize(("inputs", "outputs"), [(V2_INPUT[:1], V2_OUTPUT), (V2_INPUT[1:], V2_OUTPUT)])
def test_a_version_2_input_says_what_it_spends(inputs: Pairs, outputs: Pairs):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v2([inputs], [outputs]))
    assert caught.error.where == "input 0"


@pytest.mark.parametrize("outputs", [V2_OUTPUT[:1], V2_OUTPUT[1:]])
def test_a_version_2_output_says_what_it_pays(outputs: Pairs):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v2([V2_INPUT], [outputs]))
    assert caught.error.where == "output 0"


@pytest.mark.parametrize("kind", [b"\x04", b"\x05"])
@pytest.mark.parametrize("value", [b"\x01\x00", b"\xfd\x01\x00", b""])
def test_a_version_2_count_is_one_number_in_its_one_spelling(kind: bytes, value: bytes):
    honest = v2([V2_INPUT], [V2_OUTPUT])
    field = b"\x01" + kind + b"\x01\x01"
    assert honest.count(field) == 1
    with refuses("PSBT_ENCODING"):
        Psbt.parse(honest.replace(field, b"\x01" + kind + bytes([len(value)]) + value))


@pytest.mark.parametrize(
    "field",
    [
        (b"\x10", bytes(3)),
        (b"\x11", u32(499_999_999)),
        (b"\x11", bytes(5)),
        (b"\x12", u32(500_000_000)),
        (b"\x12", u32(0)),
        (b"\x12", bytes(5)),
        (b"\x1d" + G, bytes(32)),
        (b"\x1e" + G, bytes(63)),
        (b"\x1e" + G[1:], bytes(64)),
    ],
)
def test_a_version_2_field_of_another_shape_is_refused(field: tuple[bytes, bytes]):
    with refuses("PSBT_ENCODING"):
        Psbt.parse(v2([[*V2_INPUT, field]], [V2_OUTPUT]))


@pytest.mark.parametrize(
    ("required", "fallback", "locktime"),
    [
        ([{}], None, 0),
        ([{}], 1234, 1234),
        ([{"height": 5}], 1234, 5),
        ([{"time": 500_000_001}], 1234, 500_000_001),
        ([{"height": 5}, {}, {"height": 9}], None, 9),
        ([{"height": 5, "time": 500_000_001}, {"height": 9, "time": 500_000_002}], None, 9),
        ([{"height": 5, "time": 500_000_001}, {"time": 500_000_000}], None, 500_000_001),
        ([{"height": 5}, {"time": 500_000_001}], None, None),
        ([{"height": 5}, {"time": 500_000_001}, {"height": 5, "time": 500_000_001}], None, None),
    ],
)
def test_the_locktime_satisfies_every_input(required: list[dict], fallback: int | None, locktime: int | None):
    kinds = {"height": b"\x12", "time": b"\x11"}
    inputs = [[*V2_INPUT, *((kinds[kind], u32(value)) for kind, value in each.items())] for each in required]
    raw = v2(inputs, [V2_OUTPUT], [] if fallback is None else [(b"\x03", u32(fallback))])
    if locktime is not None:
        assert Psbt.parse(raw).unsigned_transaction.locktime == locktime
        return
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(raw)
    assert "locktime" in str(caught.error)


# Text


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_one_line_break_may_end_the_text(ending: str):
    text = base64.b64encode(v0()).decode() + ending
    assert Psbt.from_base64(text).serialize() == v0()
    assert read_psbt_file(text.encode()) == read_psbt_file(v0())


@pytest.mark.parametrize("change", ["\n\n", " ", "\t", "\r", "\n ", "\x00", "=", "AAAA", "!", "-", "\u00e4"])
def test_anything_else_after_the_text_is_refused(change: str):
    text = base64.b64encode(v0()).decode()
    with refuses("PSBT_ENCODING"):
        Psbt.from_base64(text + change)
    with refuses("PSBT_ENCODING"):
        read_psbt_file((text + change).encode())


@pytest.mark.parametrize("junk", [" ", "\n", "!", "=", "-", "\u00e4"])
def test_junk_inside_the_text_is_refused(junk: str):
    text = base64.b64encode(v0()).decode()
    for at in (0, 4, 9, len(text) // 2):
        with refuses("PSBT_ENCODING"):
            Psbt.from_base64(text[:at] + junk + text[at:])


@pytest.mark.parametrize("size", [1, 2])
def test_spare_bits_at_the_end_of_the_text_are_refused(size: int):
    raw = next(raw for n in range(1, 4) if len(raw := v0([(b"\xf0", bytes(n))])) % 3 == size)
    text = base64.b64encode(raw).decode()
    assert text.endswith("=" * (3 - size))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = text.rstrip("=")[-1]
    other = text.rstrip("=")[:-1] + alphabet[alphabet.index(last) + 1] + "=" * (3 - size)
    assert base64.b64decode(other) == raw
    with refuses("PSBT_ENCODING"):
        Psbt.from_base64(other)
    with refuses("PSBT_ENCODING"):
        Psbt.from_base64(text.rstrip("="))


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"PSBT", b"70736274ff", "cHNidP8\u200b".encode()])
def test_a_file_that_is_neither_form_is_refused(data: bytes):
    with refuses("PSBT_ENCODING"):
        read_psbt_file(data)


# Built by hand


def test_a_psbt_built_by_hand_is_checked_too():
    good = Psbt.parse(v0([(b"\x03", u32(1))]))
    assert dataclasses.replace(good) == good
    with refuses("PSBT_ENCODING"):
        Psbt(0, good.global_map, (PsbtMap([(b"\x03", b"")]),), good.outputs)
    with refuses("PSBT_ENCODING"):
        Psbt(0, good.global_map, (PsbtMap([(b"\xaa", b""), (b"\xaa", b"")]),), good.outputs)
    with refuses("PSBT_ENCODING"):
        Psbt(0, good.global_map, good.inputs, (PsbtMap([(b"\x04", b"")]),))
    with refuses("PSBT_ENCODING"):
        Psbt(0, PsbtMap(), good.inputs, good.outputs)
    with refuses("PSBT_ENCODING"):
        Psbt(0, good.global_map, good.inputs * 2, good.outputs)
    with refuses("PSBT_ENCODING"):
        Psbt(2, good.global_map, good.inputs, good.outputs)


def test_a_map_has_no_empty_key():
    with pytest.raises(ValueError, match="at least its type"):
        PsbtMap([(b"", b"x")])
    assert dataclasses.replace(PsbtMap(), pairs=[(b"\xaa", b"")]).pairs == ((b"\xaa", b""),)


def test_a_wrong_previous_transaction_can_be_built_for_a_test_but_not_read():
    wrong = dataclasses.replace(PREVIOUS, locktime=1).serialize()
    good = Psbt.parse(v0())
    built = Psbt(0, good.global_map, (PsbtMap([(b"\x00", wrong)]),), good.outputs)
    with refuses("PREVTX_TXID"):
        built.check_previous()
    with refuses("PREVTX_TXID"):
        Psbt.parse(built.serialize())


def test_previous_transactions_are_checked_again_whenever_a_built_psbt_is_asked():
    wrong = dataclasses.replace(PREVIOUS, locktime=1).serialize()
    good = Psbt.parse(v0([(b"\x00", PREVIOUS.serialize())]))
    good.check_previous()
    built = dataclasses.replace(good, inputs=(PsbtMap([(b"\x00", wrong)]),))
    for _ in range(2):
        with refuses("PREVTX_TXID"):
            built.check_previous()
    Psbt(0, good.global_map, good.inputs, good.outputs).check_previous()


# Signatures added


@pytest.mark.parametrize("order", list(itertools.permutations((G, b"\x03" + G[1:]))))
def test_signatures_are_added_in_ascending_order_and_all_else_stays(order: tuple[bytes, ...]):
    fields = [(b"\x00", PREVIOUS.serialize()), (b"\x03", u32(1)), (b"\x05", b"\x51" * 300), (b"\xf0a", b"1")]
    signed = Psbt.parse(v0(fields, [(b"\x99", b"")], [(b"\xf1", b"x")]))
    for key in order:
        signed = signed.with_signatures([[(b"\x02" + key, SIGNATURE)]])
    added = [(b"\x02" + key, SIGNATURE) for key in sorted(order)]
    whole = v0([fields[0], *added, *fields[1:]], [(b"\x99", b"")], [(b"\xf1", b"x")])
    assert signed.serialize() == whole
    assert signed == Psbt.parse(whole)
    assert signed.unsigned_transaction == UNSIGNED


def test_a_signature_by_the_same_key_is_replaced_wherever_it_stands():
    other = SIGNATURE[:-2] + b"\x02\x01"
    # Not in ascending order: the old signature comes after a greater key.
    psbt = Psbt.parse(v0([(b"\x03", u32(1)), (b"\x02" + G, SIGNATURE), (b"\x05", b"\x51")]))
    signed = psbt.with_signatures([[(b"\x02" + G, other)]])
    assert Psbt.parse(signed.serialize()) == signed
    assert signed.inputs[0].pairs == ((b"\x02" + G, other), (b"\x03", u32(1)), (b"\x05", b"\x51"))


def test_a_key_that_only_looks_as_if_it_were_there_is_added():
    hidden = b"\x22\x02" + G
    psbt = Psbt.parse(v0([(b"\x05", hidden)]))
    signed = psbt.with_signatures([[(b"\x02" + G, SIGNATURE)]])
    assert signed.inputs[0].pairs == ((b"\x02" + G, SIGNATURE), (b"\x05", hidden))


@given(
    st.dictionaries(st.integers(0x60, 0xEF).map(lambda n: bytes([n])), st.binary(max_size=300), max_size=6),
    st.binary(min_size=1, max_size=4),
    st.binary(max_size=300),
)
def test_a_map_with_one_more_field_is_what_it_would_be_if_made_with_it(
    fields: dict[bytes, bytes], key: bytes, value: bytes
):
    grown = PsbtMap(sorted(fields.items())).with_field(key, value)
    assert grown == PsbtMap(sorted((fields | {key: value}).items()))


def test_a_schnorr_signature_is_added_for_its_leaf():
    psbt = Psbt.parse(v0([(b"\x03", u32(0)), (b"\x18", b"r" * 32)]))
    signed = psbt.with_signatures([[(b"\x14" + G[1:] + b"l" * 32, bytes(64))]])
    assert signed.inputs[0].pairs == (
        (b"\x03", u32(0)),
        (b"\x14" + G[1:] + b"l" * 32, bytes(64)),
        (b"\x18", b"r" * 32),
    )


def test_signatures_are_added_to_version_2_as_well():
    psbt = Psbt.parse(v2([V2_INPUT], [V2_OUTPUT]))
    signed = psbt.with_signatures([[(b"\x02" + G, SIGNATURE)]])
    assert signed.serialize() == v2([[(b"\x02" + G, SIGNATURE), *V2_INPUT]], [V2_OUTPUT])
    assert Psbt.parse(signed.serialize()) == signed


@pytest.mark.parametrize(
    "added",
    [
        (b"\x02\x05" + G[1:], SIGNATURE),
        (b"\x02" + G[:-1], SIGNATURE),
        (b"\x02" + G, b""),
        (b"\x14" + G, bytes(64)),
        (b"\x14" + bytes(64), bytes(66)),
        (b"\x13", bytes(64)),
        (b"\x05", b"\x51"),
        (b"\xf0", b"\x51"),
    ],
)
def test_what_is_no_signature_is_not_added(added: tuple[bytes, bytes]):
    with refuses("PSBT_ENCODING"):
        Psbt.parse(v0()).with_signatures([[added]])


def test_signatures_are_given_for_each_input():
    with pytest.raises(ValueError, match="shorter"):
        Psbt.parse(v0()).with_signatures([])


# Sizes


def peak_of_refusal(code: str, raw: bytes) -> int:
    tracemalloc.start()
    try:
        with refuses(code):
            Psbt.parse(raw)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [b"\x04", b"\x05"])
@pytest.mark.parametrize("count", [10_001, 2**32, 2**64 - 1])
def test_announced_maps_take_no_memory(kind: bytes, count: int):
    other = b"\x05" if kind == b"\x04" else b"\x04"
    fields = [(kind, compact_size(count)), (other, b"\x00"), (b"\x02", u32(2)), (b"\xfb", u32(2))]
    assert peak_of_refusal("LIMIT", b"psbt\xff" + pack(fields)) < 100_000


def test_announced_maps_within_the_limit_must_follow():
    fields = [(b"\x04", compact_size(10_000)), (b"\x05", b"\x00"), (b"\x02", u32(2)), (b"\xfb", u32(2))]
    raw = b"psbt\xff" + pack(fields)
    assert peak_of_refusal("PSBT_ENCODING", raw) < 100_000
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(raw)
    assert "10000 inputs and 0 outputs are announced and 0 bytes follow" in str(caught.error)


@pytest.mark.parametrize("count", [10_001, 2**32])
def test_announced_inputs_of_the_unsigned_transaction_take_no_memory(count: int):
    unsigned = b"\x02\x00\x00\x00" + compact_size(count) + bytes(10)
    assert peak_of_refusal("LIMIT", b"psbt\xff" + pack([(b"\x00", unsigned)])) < 100_000


@pytest.mark.parametrize("size", [2**16, 2**32, 2**63, 2**64 - 1])
def test_announced_lengths_take_no_memory(size: int):
    assert peak_of_refusal("PSBT_ENCODING", b"psbt\xff" + compact_size(size) + bytes(30)) < 100_000
    assert peak_of_refusal("PSBT_ENCODING", b"psbt\xff\x01\xaa" + compact_size(size) + bytes(30)) < 100_000


def test_a_map_has_a_limit_of_fields():
    fields = [(b"\xaa" + number.to_bytes(2, "little"), b"") for number in range(MAX_FIELDS + 1)]
    assert len(Psbt.parse(v0(fields[:-1])).inputs[0].pairs) == MAX_FIELDS
    with refuses("LIMIT"):
        Psbt.parse(v0(fields))


def test_the_caller_may_set_a_lower_limit():
    raw = v2([V2_INPUT] * 3, [V2_OUTPUT])
    assert len(Psbt.parse(raw, most=3).inputs) == 3
    for read in (Psbt.parse, read_psbt_file):
        with refuses("LIMIT") as caught:
            read(raw, most=2)
        assert caught.error.what == "inputs"


def test_a_file_above_the_largest_size_is_refused():
    with refuses("LIMIT"):
        Psbt.parse(b"psbt\xff" + bytes(100_000_000))
