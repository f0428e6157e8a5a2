"""Blocks are what their headers commit to; a proof shows a transaction in a block, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin.block import (
    MAX_TRANSACTIONS,
    Block,
    BlockHeader,
    TxOutProof,
    merkle_root,
)
from custody.bitcoin.script import double_sha256
from custody.bitcoin.serialize import compact_size
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.asserts import refuses
from custody.testing.chain import build_block

EASY = bytes.fromhex("ffff7f20")
# Block 0 of the main network (Bitcoin Core, chainparams.cpp).
GENESIS = bytes.fromhex(
    "01000000" + "00" * 32 + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)


def transaction(number):
    return Transaction(2, (TxIn(OutPoint(bytes(31) + b"\x01", number), b"", 0),), (TxOut(number, b"\x51"),), 0)


def block(*numbers):
    raw = build_block(
        previous=bytes(32), height=1, time=1, reward_to=b"\x51", transactions=[transaction(each) for each in numbers]
    )
    return Block.parse(raw), raw


def ground(root):
    """A regtest header with that root and its proof of work."""
    for nonce in range(1000):
        header = BlockHeader(bytes(36) + root + bytes(4) + EASY + nonce.to_bytes(4, "little"))
        if header.has_work:
            return header
    raise AssertionError("no nonce found")


def proof_of(txids, shown):
    """A proof as BIP 37 writes it, made apart from the code that reads it."""
    levels = [list(txids)]
    while len(levels[-1]) > 1:
        last = levels[-1] + levels[-1][-1:] * (len(levels[-1]) % 2)
        levels.append([double_sha256(last[i] + last[i + 1]) for i in range(0, len(last), 2)])
    hashes, bits = [], []

    def visit(height, position):
        covers = range(position << height, min(position + 1 << height, len(txids)))
        is_opened = any(each in shown for each in covers)
        bits.append(is_opened)
        if not height or not is_opened:
            hashes.append(levels[height][position])
            return
        visit(height - 1, 2 * position)
        if 2 * position + 1 < len(levels[height - 1]):
            visit(height - 1, 2 * position + 1)

    visit(len(levels) - 1, 0)
    flags = bytearray(-(-len(bits) // 8))
    for index, bit in enumerate(bits):
        flags[index // 8] |= bit << index % 8
    return assemble(ground(levels[-1][0]), len(txids), hashes, bytes(flags))


def assemble(header, count, hashes, flags):
    return b"".join(
        (header.raw, count.to_bytes(4, "little"), compact_size(len(hashes)), *hashes, compact_size(len(flags)), flags)
    )


def leaves(count):
    return [double_sha256(bytes([each])) for each in range(count)]


def test_the_first_block_s_header_says_what_is_known_of_it():
    header = BlockHeader(GENESIS)
    assert header.hash[::-1].hex() == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert header.time == 1_231_006_505
    assert header.previous == bytes(32)
    assert header.has_work
    assert header.target == 0xFFFF << 208


@pytest.mark.parametrize(
    ("bits", "target"),
    [("56349204", 0), ("ffff7f20", 0x7FFFFF << 232), ("56341201", 0x12), ("ffff7fff", 0), ("00000020", 0)],
)
def test_a_target_that_is_negative_or_overflows_is_met_by_nothing(bits, target):
    assert BlockHeader(bytes(72) + bytes.fromhex(bits) + bytes(4)).target == target


def test_a_header_changed_in_one_bit_has_no_work():
    assert not BlockHeader(GENESIS[:-1] + bytes([GENESIS[-1] ^ 1])).has_work


def test_a_block_gives_its_transactions_in_order():
    found, raw = block(1, 2, 3)
    assert [each.decode() for each in found.transactions[1:]] == [transaction(each) for each in (1, 2, 3)]
    assert found.header.raw == raw[:80]


@pytest.mark.parametrize("at", [40, 81, 110, -5])
def test_a_block_whose_transactions_are_not_its_header_s_is_refused(at):
    _, raw = block(1, 2)
    changed = bytearray(raw)
    changed[at] ^= 1
    with refuses("BLOCK_ENCODING"):
        Block.parse(bytes(changed))


def test_a_block_that_is_cut_short_or_goes_on_is_refused():
    _, raw = block(1)
    for cut in (b"", raw[:79], raw[:80], raw[:-1], raw + b"\x00"):
        with refuses("BLOCK_ENCODING"):
            Block.parse(cut)


def test_a_block_that_repeats_its_end_is_refused_though_the_root_is_the_same():
    found, raw = block(1, 2)
    doubled = raw[:80] + b"\x04" + raw[81:] + found.transactions[-1].raw
    assert merkle_root([each.txid for each in (*found.transactions, found.transactions[-1])]) == (
        found.header.merkle_root
    )
    with refuses("BLOCK_ENCODING"):
        Block.parse(doubled)


@given(
    st.integers(1, 40).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1), min_size=1)))
)
def test_a_proof_shows_exactly_what_it_was_made_for(drawn):
    count, shown = drawn
    txids = leaves(count)
    proof = TxOutProof.parse(proof_of(txids, shown))
    assert proof.places == tuple((each, txids[each]) for each in sorted(shown))
    assert proof.count == count
    assert proof.header.merkle_root == merkle_root(txids)
    assert [proof.proves(txid) for txid in txids] == [each in shown for each in range(count)]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_changed_byte_of_a_proof_is_noticed(count):
    raw = proof_of(leaves(count), {count - 1})
    said = TxOutProof.parse(raw).places
    for at in range(36, len(raw)):
        if 68 <= at < 80:
            continue  # time, target and nonce: what the hash and its work are for
        changed = bytearray(raw)
        changed[at] ^= 0x55
        with refuses("TX_OUT_PROOF"):
            TxOutProof.parse(bytes(changed))
    assert said == ((count - 1, leaves(count)[-1]),)


def test_a_proof_that_is_cut_short_or_goes_on_is_refused():
    raw = proof_of(leaves(5), {3})
    for cut in (b"", raw[:80], raw[:-1], raw[:-2], raw + b"\x00"):
        with refuses("TX_OUT_PROOF"):
            TxOutProof.parse(cut)


def test_hashes_and_flags_that_no_node_of_the_tree_takes_are_refused():
    a, b = leaves(2)
    header = ground(merkle_root([a, b]))
    assert TxOutProof.parse(assemble(header, 2, [a, b], b"\x05")).places == ((1, b),)
    for hashes, flags in [
        ([a, b, a], b"\x05"),
        ([a], b"\x05"),
        ([a, b], b"\x0d"),
        ([a, b], b"\x05\x00"),
        ([a, b], b""),
        ([a, b], b"\x85"),
    ]:
        with refuses("TX_OUT_PROOF"):
            TxOutProof.parse(assemble(header, 2, hashes, flags))


def test_a_position_that_does_not_exist_cannot_be_shown():
    a, b, c = leaves(3)
    root = merkle_root([a, b, c])
    upper = double_sha256(a + b)
    # The last transaction again, as a fourth: the same root, by an equal pair.
    with refuses("TX_OUT_PROOF") as caught:
        TxOutProof.parse(assemble(ground(root), 4, [upper, c, c], bytes([0b11101])))
    assert "equal" in caught.error.what


@pytest.mark.parametrize("count", [0, MAX_TRANSACTIONS + 1, 2**32 - 1])
def test_a_count_that_no_block_has_is_refused(count):
    a, b = leaves(2)
    with refuses("TX_OUT_PROOF") as caught:
        TxOutProof.parse(assemble(ground(merkle_root([a, b])), count, [a, b], b"\x05"))
    assert caught.error.what == f"a block cannot have {count} transactions"
    # As many as there can be are refused for something else.
    with refuses("TX_OUT_PROOF") as caught:
        TxOutProof.parse(assemble(ground(merkle_root([a, b])), MAX_TRANSACTIONS, [a, b], b"\x05"))
    assert "cannot have" not in caught.error.what


def test_a_proof_without_work_is_refused():
    raw = proof_of(leaves(3), {1})
    with refuses("TX_OUT_PROOF") as caught:
        TxOutProof.parse(raw[:72] + bytes.fromhex("ffff001d") + raw[76:])
    assert "work" in caught.error.what


def test_a_transaction_of_64_bytes_shows_one_that_never_was_and_the_count_tells():
    # CVE-2017-12842: its two halves read as two hashes, so the path goes one step further than the block's tree.
    fake, other = double_sha256(b"fake"), double_sha256(b"other")
    real = double_sha256(other + fake)
    raw = assemble(ground(real), 2, [other, fake], b"\x05")
    proof = TxOutProof.parse(raw)
    assert proof.proves(fake)
    assert proof.count == 2, "the block has one transaction: what a node says of it tells the lie"
