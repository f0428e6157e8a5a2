"""Each field of a PSBT has one shape: what passes, and everything beside it that is refused."""

import hashlib

import pytest

from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.asserts import refuses

G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
G_WHOLE = b"\x04" + bytes.fromhex(
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
OFF_CURVE = b"\x02" + bytes(31) + b"\x05"
SIGNATURE = bytes.fromhex("3006020101020101") + b"\x01"
ORIGIN = b"\xde\xad\xbe\xef" + bytes(8)
XPUB = bytes.fromhex("043587cf") + b"\x02" + bytes(4) + bytes(4) + b"\x07" * 32 + G
UNSIGNED = Transaction(2, (TxIn(OutPoint(b"\x11" * 32, 1), b"", 1),), (TxOut(4000, b"\x51"),), 9)

Pairs = list[tuple[bytes, bytes]]


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def v0(inputs: Pairs = (), outputs: Pairs = (), more: Pairs = ()) -> bytes:
    """Bytes of a version 0 PSBT of one input and one output."""
    maps = ([(b"\x00", UNSIGNED.stripped()), *more], inputs, outputs)
    return b"psbt\xff" + b"".join(PsbtMap(each).raw for each in maps)


CONTROL = b"\xc0" + b"\x05" * 32
LEAF = b"\xc0\x01\x51"
INPUT_FIELDS = {
    "witness utxo": (b"\x01", TxOut(1, b"\x51").serialize()),
    "partial signature": (b"\x02" + G, SIGNATURE),
    "partial signature, uncompressed key": (b"\x02" + G_WHOLE, SIGNATURE),
    "sighash": (b"\x03", u32(0x83)),
    "redeem script": (b"\x04", b""),
    "witness script": (b"\x05", b"\x51"),
    "derivation": (b"\x06" + G, ORIGIN),
    "derivation of the master itself": (b"\x06" + G_WHOLE, ORIGIN[:4]),
    "final scriptSig": (b"\x07", b"\x00"),
    "final witness": (b"\x08", b"\x02\x00\x01a"),
    "proof of reserves": (b"\x09", "Größe".encode()),
    "ripemd160": (b"\x0a" + bytes(20), b"preimage"),
    "sha256": (b"\x0b" + bytes(32), b"preimage"),
    "hash160": (b"\x0c" + bytes(20), b"preimage"),
    "hash256": (b"\x0d" + bytes(32), b"preimage"),
    "taproot key signature": (b"\x13", bytes(64)),
    "taproot key signature with type": (b"\x13", bytes(65)),
    "taproot script signature": (b"\x14" + bytes(64), bytes(64)),
    "taproot leaf": (b"\x15" + CONTROL, LEAF),
    "taproot leaf at depth 128": (b"\x15" + CONTROL + bytes(32 * 128), LEAF),
    "taproot derivation": (b"\x16" + bytes(32), b"\x01" + bytes(32) + ORIGIN),
    "taproot derivation of the internal key": (b"\x16" + bytes(32), b"\x00" + ORIGIN),
    "taproot internal key": (b"\x17", bytes(32)),
    "taproot root": (b"\x18", bytes(32)),
    "musig2 participants": (b"\x1a" + G, G + G),
    "musig2 nonce": (b"\x1b" + G + G, bytes(66)),
    "musig2 nonce for a leaf": (b"\x1b" + G + G + bytes(32), bytes(66)),
    "musig2 signature": (b"\x1c" + G + G, bytes(32)),
}
BAD_INPUT_FIELDS = {
    "witness utxo with key data": (b"\x01\x00", TxOut(1, b"\x51").serialize()),
    "witness utxo cut short": (b"\x01", TxOut(1, b"\x51").serialize()[:-1]),
    "witness utxo with a byte too many": (b"\x01", TxOut(1, b"\x51").serialize() + b"\x00"),
    "witness utxo with a longer length": (b"\x01", bytes(8) + b"\xfd\x01\x00\x51"),
    "empty witness utxo": (b"\x01", b""),
    "previous transaction with key data": (b"\x00\x00", UNSIGNED.serialize()),
    "signature of a 32-byte key": (b"\x02" + G[1:], SIGNATURE),
    "signature of a 34-byte key": (b"\x02" + G + b"\x00", SIGNATURE),
    "signature of a key starting 05": (b"\x02\x05" + G[1:], SIGNATURE),
    "signature of a hybrid key": (b"\x02\x06" + G_WHOLE[1:], SIGNATURE),
    "signature of a whole key starting 02": (b"\x02\x02" + G_WHOLE[1:], SIGNATURE),
    "signature of no key": (b"\x02", SIGNATURE),
    "empty signature": (b"\x02" + G, b""),
    "short sighash": (b"\x03", bytes(3)),
    "sighash with key data": (b"\x03\x01", bytes(4)),
    "redeem script with key data": (b"\x04\x01", b""),
    "witness script with key data": (b"\x05\x01", b""),
    "derivation of a 32-byte key": (b"\x06" + G[1:], ORIGIN),
    "derivation without a fingerprint": (b"\x06" + G, b""),
    "derivation with half a step": (b"\x06" + G, ORIGIN + b"\x00\x00"),
    "final scriptSig with key data": (b"\x07\x00", b""),
    "final witness with key data": (b"\x08\x00", b"\x00"),
    "empty final witness": (b"\x08", b""),
    "final witness cut short": (b"\x08", b"\x02\x00"),
    "final witness with more": (b"\x08", b"\x01\x00\x00"),
    "final witness of 2^64 items": (b"\x08", b"\xff" + b"\xff" * 8),
    "proof of reserves not in UTF-8": (b"\x09", b"\xff"),
    "ripemd160 of 32 bytes": (b"\x0a" + bytes(32), b""),
    "sha256 of 20 bytes": (b"\x0b" + bytes(20), b""),
    "hash160 without hash": (b"\x0c", b""),
    "hash256 of 33 bytes": (b"\x0d" + bytes(33), b""),
    "taproot key signature of 63": (b"\x13", bytes(63)),
    "taproot key signature of 66": (b"\x13", bytes(66)),
    "taproot key signature with key data": (b"\x13\x00", bytes(64)),
    "taproot script signature without leaf": (b"\x14" + bytes(32), bytes(64)),
    "taproot script signature of 66": (b"\x14" + bytes(64), bytes(66)),
    "taproot control block of 32": (b"\x15" + CONTROL[:-1], LEAF),
    "taproot control block of 34": (b"\x15" + CONTROL + b"\x00", LEAF),
    "taproot leaf at depth 129": (b"\x15" + CONTROL + bytes(32 * 129), LEAF),
    "taproot leaf without version": (b"\x15" + CONTROL, b""),
    "taproot derivation of a 33-byte key": (b"\x16" + G, b"\x00" + ORIGIN),
    "taproot derivation without origin": (b"\x16" + bytes(32), b"\x00"),
    "taproot derivation with half a step": (b"\x16" + bytes(32), b"\x00" + ORIGIN + b"\x00"),
    "taproot derivation with too few leaves": (b"\x16" + bytes(32), b"\x02" + bytes(32)),
    "taproot derivation with 2^64 leaves": (b"\x16" + bytes(32), b"\xff" + b"\xff" * 8),
    "taproot internal key of 33": (b"\x17", G),
    "taproot root of 31": (b"\x18", bytes(31)),
    "musig2 aggregate off the curve": (b"\x1a" + OFF_CURVE, G),
    "musig2 aggregate x-only": (b"\x1a" + G[1:], G),
    "musig2 participant off the curve": (b"\x1a" + G, G + OFF_CURVE),
    "musig2 without participants": (b"\x1a" + G, b""),
    "musig2 half a participant": (b"\x1a" + G, G + G[:-1]),
    "musig2 nonce of 65": (b"\x1b" + G + G, bytes(65)),
    "musig2 nonce of one key": (b"\x1b" + G, bytes(66)),
    "musig2 nonce, participant off the curve": (b"\x1b" + OFF_CURVE + G, bytes(66)),
    "musig2 nonce, aggregate off the curve": (b"\x1b" + G + OFF_CURVE, bytes(66)),
    "musig2 signature of 33": (b"\x1c" + G + G, bytes(33)),
    "version 2 txid": (b"\x0e", bytes(32)),
    "version 2 index": (b"\x0f", bytes(4)),
    "version 2 sequence": (b"\x10", bytes(4)),
    "version 2 time": (b"\x11", u32(500_000_000)),
    "version 2 height": (b"\x12", u32(1)),
}
TREES = {
    "one leaf": b"\x00" + LEAF,
    "two leaves": (b"\x01" + LEAF) * 2,
    "left deep": b"\x02" + LEAF + b"\x02" + LEAF + b"\x01" + LEAF,
    "right deep": b"\x01" + LEAF + b"\x02" + LEAF + b"\x02" + LEAF,
    "four leaves": (b"\x02" + LEAF) * 4,
    "a chain of 128": b"".join(bytes([depth]) + LEAF for depth in range(1, 129)) + b"\x80" + LEAF,
}
BAD_TREES = {
    "empty": b"",
    "one half": b"\x01" + LEAF,
    "two roots": (b"\x00" + LEAF) * 2,
    "three halves": (b"\x01" + LEAF) * 3,
    "a leaf above an open half": b"\x02" + LEAF + b"\x01" + LEAF + b"\x02" + LEAF,
    "two halves above an open one": b"\x02" + LEAF + b"\x01" + LEAF + b"\x01" + LEAF,
    "a root above an open half": b"\x01" + LEAF + b"\x00" + LEAF,
    "more after the root": b"\x00" + LEAF + b"\x01" + LEAF + b"\x01" + LEAF,
    "a chain of 129": b"".join(bytes([depth]) + LEAF for depth in range(1, 130)) + b"\x81" + LEAF,
    "an odd leaf version": b"\x00\xc1\x01\x51",
    "a script cut short": b"\x00\xc0\x02\x51",
    "no script": b"\x00\xc0",
}


@pytest.mark.parametrize("name", INPUT_FIELDS)
def test_a_known_input_field_passes(name: str):
    raw = v0([INPUT_FIELDS[name]])
    assert Psbt.parse(raw).serialize() == raw


@pytest.mark.parametrize("name", BAD_INPUT_FIELDS)
def test_an_input_field_of_another_shape_is_refused(name: str):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0([BAD_INPUT_FIELDS[name]]))
    assert caught.error.where == "input 0"


@pytest.mark.parametrize("name", TREES)
def test_a_whole_taproot_tree_passes(name: str):
    raw = v0(outputs=[(b"\x06", TREES[name])])
    assert Psbt.parse(raw).serialize() == raw


@pytest.mark.parametrize("name", BAD_TREES)
def test_a_taproot_tree_that_is_not_one_tree_is_refused(name: str):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0(outputs=[(b"\x06", BAD_TREES[name])]))
    assert "TAP_TREE" in str(caught.error)


@pytest.mark.parametrize(
    "field",
    [
        (b"\x00\x01", b""),
        (b"\x01\x01", b""),
        (b"\x02" + G[1:], ORIGIN),
        (b"\x03", bytes(8)),
        (b"\x04", b""),
        (b"\x05", bytes(33)),
        (b"\x06\x00", b"\x00" + LEAF),
        (b"\x07" + G, b"\x00" + ORIGIN),
        (b"\x08" + G[1:], G),
        (b"\x08" + G, OFF_CURVE),
    ],
)
def test_an_output_field_of_another_shape_is_refused(field: tuple[bytes, bytes]):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0(outputs=[field]))
    assert caught.error.where == "output 0"


def test_an_account_key_passes_with_its_path():
    raw = v0(more=[(b"\x01" + XPUB, ORIGIN)])
    assert Psbt.parse(raw).global_map.of_type(1) == [(XPUB, ORIGIN)]


@pytest.mark.parametrize(
    "field",
    [
        (b"\x01" + XPUB[:-1], ORIGIN),
        (b"\x01" + XPUB + b"\x00", ORIGIN),
        (b"\x01" + XPUB, ORIGIN[:-1]),
        (b"\x01" + XPUB, ORIGIN[:8]),
        (b"\x01" + XPUB, b""),
        (b"\x01" + XPUB[:45] + OFF_CURVE, ORIGIN),
        (b"\x02", bytes(4)),
        (b"\x03", bytes(4)),
        (b"\x04", b"\x01"),
        (b"\x05", b"\x01"),
        (b"\x06", b"\x00"),
        (b"\x00\x01", b""),
    ],
)
def test_a_global_field_of_another_shape_is_refused(field: tuple[bytes, bytes]):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0(more=[field]))
    assert caught.error.where == "global map"


def test_an_extended_private_key_is_refused_and_not_shown():
    secret = hashlib.sha256(b"secret").digest()
    private = bytes.fromhex("04358394") + XPUB[4:45] + b"\x00" + secret
    with refuses("SECRET_MATERIAL") as caught:
        Psbt.parse(v0(more=[(b"\x01" + private, ORIGIN)]))
    assert secret.hex() not in repr(caught.error)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sha256 of 20 bytes", "its key data is 20 bytes instead of 32"),
        ("taproot script signature without leaf", "its key data is 32 bytes instead of 64"),
        ("taproot control block of 34", "its control block is 34 bytes"),
        ("taproot derivation of a 33-byte key", "its key is 33 bytes instead of 32"),
        ("taproot key signature of 66", "its signature is 66 bytes instead of 64 or 65"),
        ("musig2 nonce of one key", "its key data is 33 bytes instead of 66 or 98"),
        ("musig2 nonce of 65", "its value is 65 bytes instead of 66"),
    ],
)
def test_what_has_another_size_is_told_in_true_numbers(name: str, said: str):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0([BAD_INPUT_FIELDS[name]]))
    assert said in caught.error.what


@pytest.mark.parametrize("size", [77, 79])
def test_an_account_key_of_another_size_is_told_in_true_numbers(size: int):
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(v0(more=[(b"\x01" + (XPUB + b"\x00")[:size], ORIGIN)]))
    assert f"its key data is {size} bytes instead of 78" in caught.error.what
