"""A transaction has one spelling; reading it is bounded and loses nothing."""

import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Final

import pbk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.bitcoin.serialize import (
    Reader,
    TransactionEncoding,
    compact_size,
)
from custody.bitcoin.transaction import (
    MinedTransaction,
    OutPoint,
    PreviousTransaction,
    Transaction,
    TxIn,
    TxOut,
    txid_of,
)
from custody.bounds import LimitExceeded
from custody.testing.asserts import refuses

# The first transaction with a witness in BIP 143 (P2WPKH): one legacy input, one with a witness.
BIP143 = bytes.fromhex(
    "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b9d1dc26ba6a9"
    "cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618e"
    "f3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb20600000000"
    "1976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa81"
    "5988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f9030"
    "0e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000"
)
BIP143_TXID = "e8151a2af31c368a35053ddd4bdb285a8595c769a3ad83e0fa02314a602d4609"

txids = st.binary(min_size=32, max_size=32)
words = st.integers(0, 2**32 - 1)
scripts = st.binary(max_size=300)
inputs = st.builds(TxIn, st.builds(OutPoint, txids, words), scripts, words)
outputs = st.builds(TxOut, st.integers(-(2**63), 2**63 - 1), scripts)
stacks = st.lists(st.binary(max_size=260), max_size=3).map(tuple)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    spent = draw(st.lists(inputs, min_size=1, max_size=4).map(tuple))
    paid = draw(st.lists(outputs, min_size=1, max_size=4).map(tuple))
    witness = draw(
        st.one_of(st.just(()), st.tuples(*[stacks] * len(spent)).map(lambda all_: all_ if any(all_) else ()))
    )
    return Transaction(draw(st.integers(-(2**31), 2**31 - 1)), spent, paid, draw(words), witness)


def simple(**changes: object) -> Transaction:
    fields = {
        "version": 2,
        "inputs": (TxIn(OutPoint(bytes(32), 0), b"", 0xFFFFFFFD),),
        "outputs": (TxOut(1000, b"\x51"),),
        "locktime": 0,
    }
    return Transaction(**(fields | changes))


@given(transactions())
def test_reading_and_writing_is_identity(transaction: Transaction):
    raw = transaction.serialize()
    assert Transaction.parse(raw) == transaction
    assert Transaction.parse(raw).serialize() == raw
    assert Transaction.parse_stripped(transaction.stripped()).serialize() == transaction.stripped()


@given(transactions())
def test_the_quick_reader_agrees_with_the_whole_one(transaction: Transaction):
    raw = transaction.serialize()
    previous = PreviousTransaction(raw)
    assert previous.txid == txid_of(raw) == transaction.txid
    assert previous.stripped == transaction.stripped()
    assert previous.output_count == len(transaction.outputs)
    assert tuple(previous.output(n) for n in range(previous.output_count)) == transaction.outputs
    assert previous.output(previous.output_count) is None
    assert previous.output(-1) is None


@settings(max_examples=40)
@given(transactions())
def test_txids_agree_with_bitcoin_core(transaction: Transaction):
    assert str(pbk.Transaction(transaction.serialize()).txid) == transaction.txid_hex


@settings(max_examples=30)
@given(transactions(), st.data())
def test_both_readers_accept_the_same_bytes(transaction: Transaction, data: st.DataObject):
    raw = bytearray(transaction.serialize())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        whole = Transaction.parse(bytes(raw))
    except TransactionEncoding:
        whole = None
    try:
        quick = PreviousTransaction(bytes(raw))
    except TransactionEncoding:
        quick = None
    if whole is None or not whole.inputs or not whole.outputs:
        assert quick is None
    else:
        assert quick is not None
        assert quick.txid == whole.txid


@given(transactions(), st.binary(max_size=5), st.binary(max_size=5))
def test_what_is_walked_over_says_the_same_wherever_it_stands(transaction: Transaction, before: bytes, after: bytes):
    raw = transaction.serialize()
    mined, end = MinedTransaction.read(before + raw + after, len(before))
    assert (mined.raw, end) == (raw, len(before) + len(raw))
    assert mined.txid == transaction.txid
    assert mined.scripts == tuple(each.script_pubkey for each in transaction.outputs)
    assert mined.spends == tuple(each.outpoint for each in transaction.inputs)
    assert mined.decode() == transaction


@settings(max_examples=300)
@given(transactions(), st.data())
def test_what_is_walked_over_is_refused_when_the_whole_is_and_for_the_same_reason(
    transaction: Transaction, data: st.DataObject
):
    raw = bytearray(transaction.serialize())
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from(EDGES) | st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw)
    assert outcome(walked, cut) == outcome(decoded, cut)


@pytest.mark.parametrize("seed", range(40))
def test_ten_thousand_mutations_are_judged_alike(seed):
    chance = Random(seed)  # noqa: S311 - the same mutations on every run
    shapes = [transaction_of(chance).serialize() for _ in range(10)]
    for _ in range(250):
        raw = bytearray(chance.choice(shapes))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(raw))
            change = chance.randrange(4)
            if change == 0:
                raw[at] = chance.choice(EDGES)
            elif change == 1:
                raw[at:at] = chance.choice((b"\x00", b"\xfd\x01\x00", b"\xfe" + bytes(4), b"\xff" * 9))
            elif change == 2:
                del raw[at : at + chance.randrange(1, 5)]
            else:
                raw[at] ^= 1 << chance.randrange(8)
            raw = raw or bytearray(1)
        assert outcome(walked, bytes(raw)) == outcome(decoded, bytes(raw))


@pytest.mark.parametrize("raw", [BIP143, simple().serialize()])
def test_what_is_walked_over_does_not_end_beyond_its_bytes(raw):
    for missing in range(1, len(raw)):
        with refuses("TX_ENCODING"):
            MinedTransaction.read(raw[:-missing], 0)


EDGES: Final = (0, 1, 2, 41, 0x7F, 0xFC, 0xFD, 0xFE, 0xFF)
"""Bytes that counts and lengths turn on."""


Said = tuple[bytes, tuple[bytes, ...], tuple[OutPoint, ...]]
"""Txid, scripts, what is spent."""


def walked(raw: bytes) -> Said:
    mined, end = MinedTransaction.read(raw, 0)
    Reader(raw, end).finish()
    return mined.txid, mined.scripts, mined.spends


def decoded(raw: bytes) -> Said:
    whole = Transaction.parse(raw)
    paid, spent = (each.script_pubkey for each in whole.outputs), (each.outpoint for each in whole.inputs)
    return whole.txid, tuple(paid), tuple(spent)


def outcome(read: Callable[[bytes], Said], raw: bytes) -> Said | str:
    """What was read, or the words in which it was refused: they say what is wrong and at which byte."""
    try:
        return read(raw)
    except TransactionEncoding as error:
        return f"{error.code} {error}"


def transaction_of(chance: Random) -> Transaction:
    """Inputs, outputs and witness of all the sizes that lengths are written in."""
    size = lambda: chance.choice((0, 1, 22, 34, 71, 252, 253, 300))  # noqa: E731 - said once, used in each part
    inputs = tuple(
        TxIn(OutPoint(chance.randbytes(32), chance.randrange(9)), chance.randbytes(size()), 0xFFFFFFFD)
        for _ in range(chance.randrange(1, 4))
    )
    outputs = tuple(TxOut(chance.randrange(10**9), chance.randbytes(size())) for _ in range(chance.randrange(1, 4)))
    stacks = tuple(tuple(chance.randbytes(size()) for _ in range(chance.randrange(3))) for _ in inputs)
    return Transaction(2, inputs, outputs, 0, stacks if any(stacks) else ())


def test_a_published_segwit_transaction():
    transaction = Transaction.parse(BIP143)
    assert transaction.serialize() == BIP143
    assert transaction.txid_hex == BIP143_TXID
    assert transaction.wtxid != transaction.txid
    assert transaction.weight == 3 * len(transaction.stripped()) + len(BIP143)
    assert transaction.vsize == -(-transaction.weight // 4)
    assert [each.amount for each in transaction.outputs] == [112340000, 223450000]
    assert transaction.witness[0] == ()
    assert len(transaction.witness[1]) == 2
    assert transaction.locktime == 17


def test_without_script_sigs_drops_the_witness_too():
    bare = Transaction.parse(BIP143).without_script_sigs()
    assert bare.witness == ()
    assert all(not each.script_sig for each in bare.inputs)
    assert [each.outpoint for each in bare.inputs] == [each.outpoint for each in Transaction.parse(BIP143).inputs]


def test_without_witness_both_ids_are_one():
    assert simple().wtxid == simple().txid
    assert simple().serialize() == simple().stripped()


@pytest.mark.parametrize("version", [0, 1, 3, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("sequence", [0, 1, 0xFFFFFFFD, 0xFFFFFFFF])
def test_odd_versions_and_sequences_are_kept(version: int, sequence: int):
    transaction = simple(version=version, inputs=(TxIn(OutPoint(b"\x01" * 32, 7), b"", sequence),), locktime=2**32 - 1)
    raw = transaction.serialize()
    assert Transaction.parse(raw) == transaction
    assert str(pbk.Transaction(raw).txid) == Transaction.parse(raw).txid_hex


def test_every_proper_prefix_is_refused():
    for size in range(len(BIP143)):
        with refuses("TX_ENCODING"):
            Transaction.parse(BIP143[:size])
        with refuses("TX_ENCODING"):
            txid_of(BIP143[:size])


@pytest.mark.parametrize("parse", [Transaction.parse, Transaction.parse_stripped, PreviousTransaction])
def test_a_byte_after_the_end_is_refused(parse):
    with refuses("TX_ENCODING") as caught:
        parse(simple().serialize() + b"\x00")
    assert "1 bytes follow" in str(caught.error)


@pytest.mark.parametrize("parse", [Transaction.parse, PreviousTransaction])
def test_a_witness_marker_without_a_witness_is_refused(parse):
    raw = simple().stripped()
    with refuses("TX_ENCODING") as caught:
        parse(raw[:4] + b"\x00\x01" + raw[4:-4] + b"\x00" + raw[-4:])
    assert "without a witness" in str(caught.error)


@pytest.mark.parametrize("parse", [Transaction.parse, PreviousTransaction])
def test_an_unknown_flag_after_the_marker_is_refused(parse):
    with refuses("TX_ENCODING"):
        parse(BIP143[:5] + b"\x02" + BIP143[6:])


def test_no_inputs_and_no_outputs_can_be_read_but_spend_nothing():
    raw = bytes(10)
    assert Transaction.parse(raw) == Transaction(0, (), (), 0)
    assert Transaction.parse(raw).serialize() == raw
    with refuses("TX_ENCODING"):
        PreviousTransaction(raw)


def test_outputs_without_inputs_are_read_in_the_stripped_form_only():
    raw = simple(inputs=()).stripped()
    assert Transaction.parse_stripped(raw).outputs == simple().outputs
    with refuses("TX_ENCODING"):
        Transaction.parse(raw)


def test_a_previous_transaction_has_inputs():
    with refuses("TX_ENCODING") as caught:
        PreviousTransaction(simple(inputs=(), outputs=simple().outputs * 2).stripped())
    assert "no inputs" in str(caught.error)


def test_a_previous_transaction_has_outputs():
    with refuses("TX_ENCODING") as caught:
        PreviousTransaction(simple(outputs=()).serialize())
    assert "no outputs" in str(caught.error)


@pytest.mark.parametrize("parse", [Transaction.parse, Transaction.parse_stripped, PreviousTransaction])
@pytest.mark.parametrize("count", [2**16, 2**32, 2**64 - 1])
def test_announced_inputs_take_no_memory(parse, count: int):
    raw = b"\x02\x00\x00\x00" + compact_size(count) + bytes(20)
    tracemalloc.start()
    try:
        with refuses("TX_ENCODING") as caught:
            parse(raw)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert f"{count} inputs are announced" in str(caught.error)


def test_announced_outputs_and_witness_items_take_no_memory():
    raw = simple().stripped()
    outputs_at = 4 + 1 + 41
    many = raw[:outputs_at] + compact_size(2**40) + raw[outputs_at + 1 :]
    items = raw[:4] + b"\x00\x01" + raw[4:-4] + compact_size(2**40) + raw[-4:]
    tracemalloc.start()
    try:
        for each in (many, items):
            for parse in (Transaction.parse, PreviousTransaction):
                with refuses("TX_ENCODING"):
                    parse(each)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("items", [1, 252, 253, 300, 65_536])
def test_the_witness_of_a_previous_transaction_may_have_many_items(items: int):
    whole = simple(witness=((b"w",) * items,))
    previous = PreviousTransaction(whole.serialize())
    assert (previous.txid, previous.witness_items) == (whole.txid, items)
    assert previous.stripped == whole.stripped()


@pytest.mark.parametrize("size", [2**16, 2**32, 2**63, 2**64 - 1])
def test_an_announced_script_takes_no_memory(size: int):
    raw = b"\x02\x00\x00\x00\x01" + bytes(36) + compact_size(size) + bytes(60)
    for parse in (Transaction.parse, PreviousTransaction):
        with refuses("TX_ENCODING"):
            parse(raw)


def test_the_caller_may_set_a_lower_limit():
    raw = simple(inputs=simple().inputs * 3).stripped()
    assert len(Transaction.parse_stripped(raw, 3).inputs) == 3
    with refuses("LIMIT") as caught:
        Transaction.parse_stripped(raw, 2)
    assert isinstance(caught.error, LimitExceeded)
    assert (caught.error.what, caught.error.count, caught.error.most) == ("inputs", 3, 2)


def test_more_than_nodes_read_is_refused():
    with refuses("TX_ENCODING"):
        Transaction.parse(bytes(0x0200_0001))


@pytest.mark.parametrize("witness", [((),), ((b"a",), (b"b",))])
def test_a_witness_that_would_be_written_otherwise_cannot_be_built(witness: tuple):
    with pytest.raises(ValueError, match="one stack for each input"):
        simple(witness=witness)


def test_a_longer_length_inside_a_transaction_is_refused_by_both_readers():
    raw = simple().stripped()
    script_at = 4 + 1 + 36
    longer = raw[:script_at] + b"\xfd\x00\x00" + raw[script_at + 1 :]
    for parse in (Transaction.parse, PreviousTransaction):
        with refuses("TX_ENCODING"):
            parse(longer)


@given(txids, words)
def test_outpoints_round_trip(txid: bytes, index: int):
    outpoint = OutPoint(txid, index)
    assert OutPoint.parse(str(outpoint)) == outpoint
    assert str(outpoint).startswith(txid[::-1].hex())
    assert outpoint.to_bytes() == txid + index.to_bytes(4, "little")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ab:0",
        "0" * 64,
        "0" * 64 + ":",
        "0" * 64 + ":01",
        "0" * 64 + ":+1",
        "0" * 64 + ":-1",
        "0" * 64 + ":4294967296",
        "0" * 64 + ":1 ",
        " " + "0" * 64 + ":1",
        "A" * 64 + ":1",
        "0" * 63 + "g:1",
        "0" * 64 + ":1:1",
        "0" * 64 + ":\u0661",
        "0" * 64 + ":1\n",
    ],
)
def test_other_spellings_of_an_outpoint_are_refused(text: str):
    with refuses("TX_ENCODING") as caught:
        OutPoint.parse(text)
    assert "\n" not in str(caught.error)


def test_outpoints_sort_by_txid_then_index():
    points = [OutPoint(b"\x02" * 32, 0), OutPoint(b"\x01" * 32, 5), OutPoint(b"\x01" * 32, 2)]
    assert sorted(points) == [points[2], points[1], points[0]]
