"""Signatures that are almost right (THREATS B7): lax encodings, mirrored s, numbers out of range, keys in disguise."""

from __future__ import annotations

import hashlib

import pbk
import pytest

from custody.bitcoin.curve import (
    ORDER,
    is_low_s,
    is_strict_der,
    public_key,
    sign_ecdsa,
    sign_schnorr,
    verify_ecdsa,
    verify_schnorr,
)
from custody.bitcoin.script import hash160, p2pkh, p2wpkh
from custody.bitcoin.sighash import SegwitV0
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut

FIELD = 2**256 - 2**32 - 977
SECRET = hashlib.sha256(b"a custodian").digest()
KEY = public_key(SECRET)
DIGEST = hashlib.sha256(b"what was approved").digest()
SIGNATURE = sign_ecdsa(SECRET, DIGEST)
SCHNORR = sign_schnorr(SECRET, DIGEST)


def numbers(signature: bytes) -> tuple[int, int]:
    end = 4 + signature[3]
    return int.from_bytes(signature[4:end], "big"), int.from_bytes(signature[end + 2 :], "big")


def minimal(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def der(r: bytes, s: bytes) -> bytes:
    body = b"\x02" + bytes([len(r)]) + r + b"\x02" + bytes([len(s)]) + s
    return b"\x30" + bytes([len(body)]) + body


R, S = numbers(SIGNATURE)


# --- the wycheproof set for Bitcoin --------------------------------------------------------------------------------


def test_all_463_published_signatures_get_the_published_verdict(wycheproof):
    verdicts = {"valid": 0, "invalid": 0}
    for key, case in wycheproof:
        digest = hashlib.sha256(bytes.fromhex(case["msg"])).digest()
        is_good = verify_ecdsa(key, digest, bytes.fromhex(case["sig"]))
        assert is_good is (case["result"] == "valid"), (case["tcId"], case["comment"])
        verdicts[case["result"]] += 1
    assert verdicts == {"valid": 162, "invalid": 301}


def test_what_verifies_is_strict_and_low(wycheproof):
    for _, case in wycheproof:
        if case["result"] == "valid":
            signature = bytes.fromhex(case["sig"])
            assert is_strict_der(signature), case["tcId"]
            assert is_low_s(signature), case["tcId"]


def test_each_published_reason_is_found_by_the_check_for_it(wycheproof):
    seen = {"BerEncodedSignature": 0, "SignatureMalleabilityBitcoin": 0}
    for _, case in wycheproof:
        signature = bytes.fromhex(case["sig"])
        if case["result"] == "invalid" and "BerEncodedSignature" in case["flags"]:
            assert not is_strict_der(signature), (case["tcId"], case["comment"])
            seen["BerEncodedSignature"] += 1
        if case["result"] == "invalid" and "SignatureMalleabilityBitcoin" in case["flags"]:
            assert is_strict_der(signature), (case["tcId"], case["comment"])
            assert not is_low_s(signature), (case["tcId"], case["comment"])
            seen["SignatureMalleabilityBitcoin"] += 1
    assert all(seen.values()), seen


# --- our own mutations ---------------------------------------------------------------------------------------------


def test_the_signature_that_is_mutated_below_is_good():
    assert verify_ecdsa(KEY, DIGEST, SIGNATURE)
    assert der(minimal(R), minimal(S)) == SIGNATURE
    assert verify_schnorr(KEY[1:], DIGEST, SCHNORR)


@pytest.mark.parametrize("of", ["signature", "digest", "key"])
def test_no_flipped_bit_verifies(of):
    parts = {"key": KEY, "digest": DIGEST, "signature": SIGNATURE}
    good = parts[of]
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not verify_ecdsa(*(parts | {of: bytes(flipped)}).values()), bit


def test_no_part_of_a_signature_and_nothing_behind_it_verifies():
    for size in range(len(SIGNATURE)):
        assert not verify_ecdsa(KEY, DIGEST, SIGNATURE[:size])
    for last in range(256):
        assert not verify_ecdsa(KEY, DIGEST, SIGNATURE + bytes([last]))
    assert not verify_ecdsa(KEY, DIGEST, b"\x30" * 1_000_000)
    assert not verify_ecdsa(KEY, DIGEST, SIGNATURE * 2)


BODY = SIGNATURE[2:]
R_FIELD = b"\x02" + bytes([len(minimal(R))]) + minimal(R)
S_FIELD = b"\x02" + bytes([len(minimal(S))]) + minimal(S)


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(b"\x30\x81" + bytes([len(BODY)]) + BODY, id="length of the whole in two bytes"),
        pytest.param(b"\x30\x82\x00" + bytes([len(BODY)]) + BODY, id="length of the whole in three bytes"),
        pytest.param(b"\x30\x80" + BODY + b"\x00\x00", id="indefinite length"),
        pytest.param(b"\x30" + bytes([len(BODY) + 1]) + BODY + b"\x00", id="a byte more, counted"),
        pytest.param(b"\x30" + bytes([len(BODY) + 1]) + BODY, id="a byte announced that is missing"),
        pytest.param(b"\x30" + bytes([len(BODY) - 1]) + BODY, id="a byte too few announced"),
        pytest.param(b"\x31" + SIGNATURE[1:], id="a set"),
        pytest.param(der(b"\x00" + minimal(R), minimal(S)), id="r behind a zero"),
        pytest.param(der(minimal(R), b"\x00" + minimal(S)), id="s behind a zero"),
        pytest.param(der(minimal(R), b"\x00" * 5 + minimal(S)), id="s behind five zeros"),
        pytest.param(b"\x30" + bytes([len(BODY)]) + b"\x03" + BODY[1:], id="r is no integer"),
        pytest.param(
            b"\x30" + bytes([len(BODY)]) + R_FIELD + b"\x03" + S_FIELD[1:],
            id="s is no integer",
        ),
        pytest.param(
            b"\x30" + bytes([len(BODY) + 1]) + b"\x02\x81" + bytes([len(minimal(R))]) + minimal(R) + S_FIELD,
            id="length of r in two bytes",
        ),
        pytest.param(
            b"\x30" + bytes([len(BODY) + 1]) + R_FIELD + b"\x02\x81" + bytes([len(minimal(S))]) + minimal(S),
            id="length of s in two bytes",
        ),
        pytest.param(der(b"", minimal(S)), id="r without bytes"),
        pytest.param(der(minimal(R), b""), id="s without bytes"),
        pytest.param(der((R - 2**256).to_bytes(33, "big", signed=True), minimal(S)), id="r negative"),
        pytest.param(der((S - ORDER).to_bytes(33, "big", signed=True), minimal(S)), id="s - n for r"),
        pytest.param(der(minimal(R), (S - ORDER).to_bytes(33, "big", signed=True)), id="s - n"),
        pytest.param(b"\x30" + bytes([len(R_FIELD)]) + R_FIELD, id="r alone"),
        pytest.param(SIGNATURE + R_FIELD, id="a third integer behind"),
        pytest.param(
            b"\x30" + bytes([len(BODY) + len(R_FIELD)]) + BODY + R_FIELD,
            id="a third integer inside",
        ),
        pytest.param(R.to_bytes(32, "big") + S.to_bytes(32, "big"), id="r and s without DER"),
        pytest.param(SIGNATURE + b"\x01", id="with its hash type"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x30\x00", id="an empty sequence"),
    ],
)
def test_another_encoding_of_a_good_signature_is_refused(signature):
    assert not is_strict_der(signature)
    assert not is_low_s(signature)
    assert not verify_ecdsa(KEY, DIGEST, signature)


@pytest.mark.parametrize(
    ("r", "s"),
    [
        pytest.param(R, ORDER - S, id="s mirrored"),
        pytest.param(R, S + ORDER, id="s plus n"),
        pytest.param(R + ORDER, S, id="r plus n"),
        pytest.param(R + FIELD, S, id="r plus p"),
        pytest.param(R + 2**256, S, id="r plus 2^256"),
        pytest.param(R, S + 2**256, id="s plus 2^256"),
        pytest.param(S, R, id="r and s swapped"),
        pytest.param(0, S, id="r zero"),
        pytest.param(R, 0, id="s zero"),
        pytest.param(0, 0, id="both zero"),
        pytest.param(ORDER, S, id="r is n"),
        pytest.param(R, ORDER, id="s is n"),
        pytest.param(1, 1, id="both one"),
        pytest.param(ORDER - R, S, id="r mirrored"),
    ],
)
def test_other_numbers_in_good_der_are_refused(r, s):
    signature = der(minimal(r), minimal(s))
    assert len(signature) > 72 or is_strict_der(signature)
    assert not verify_ecdsa(KEY, DIGEST, signature)


UNCOMPRESSED = bytes.fromhex(
    "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(UNCOMPRESSED, id="uncompressed"),
        pytest.param(b"\x06" + UNCOMPRESSED[1:], id="hybrid"),
        pytest.param(b"\x05" + UNCOMPRESSED[1:33], id="unknown first byte"),
        pytest.param(b"\x03" + UNCOMPRESSED[1:33], id="the mirrored point"),
        pytest.param(UNCOMPRESSED[1:33], id="x alone"),
        pytest.param(b"\x00", id="infinity"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_key_in_disguise_verifies_nothing(key):
    one = (1).to_bytes(32, "big")
    signature = sign_ecdsa(one, DIGEST)
    assert verify_ecdsa(public_key(one), DIGEST, signature)
    assert not verify_ecdsa(key, DIGEST, signature)


@pytest.mark.parametrize("digest", [b"", DIGEST[:31], DIGEST + b"\0", b"\0" + DIGEST])
def test_a_digest_of_another_size_verifies_nothing(digest):
    assert not verify_ecdsa(KEY, digest, SIGNATURE)


def test_a_mirrored_s_is_refused_here_although_consensus_accepts_it():
    # What a miner could do to a witness on its way: other bytes, still valid. Only the rule of low S is broken.
    script = p2wpkh(hash160(KEY))
    spent = TxOut(50_000, script)
    inputs = (TxIn(OutPoint(bytes(32), 0), b"", 0xFFFFFFFD),)
    unsigned = Transaction(2, inputs, (TxOut(40_000, script),), 0)
    digest = SegwitV0(unsigned).digest(0, p2pkh(hash160(KEY)), spent.amount)
    low = sign_ecdsa(SECRET, digest)
    r, s = numbers(low)
    high = der(minimal(r), minimal(ORDER - s))
    for signature, is_ours in ((low, True), (high, False)):
        final = pbk.Transaction(
            Transaction(2, inputs, unsigned.outputs, 0, ((signature + b"\x01", KEY),)).serialize(),
        )
        rules = pbk.ScriptVerificationFlags.ALL & ~pbk.ScriptVerificationFlags.TAPROOT
        assert pbk.ScriptPubkey(script).verify(spent.amount, final, None, 0, rules)
        assert is_strict_der(signature)
        assert is_low_s(signature) is is_ours
        assert verify_ecdsa(KEY, digest, signature) is is_ours


# --- Schnorr -------------------------------------------------------------------------------------------------------


def test_no_flipped_bit_of_a_schnorr_signature_verifies():
    for bit in range(512):
        flipped = bytearray(SCHNORR)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not verify_schnorr(KEY[1:], DIGEST, bytes(flipped)), bit


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(SCHNORR[:63], id="a byte short"),
        pytest.param(SCHNORR + b"\x00", id="with hash type DEFAULT written out"),
        pytest.param(SCHNORR + b"\x01", id="with its hash type"),
        pytest.param(SCHNORR[:32] + (ORDER - int.from_bytes(SCHNORR[32:], "big")).to_bytes(32, "big"), id="s mirrored"),
        pytest.param(SCHNORR[:32] + ORDER.to_bytes(32, "big"), id="s is n"),
        pytest.param(SCHNORR[:32] + bytes(32), id="s zero"),
        pytest.param(bytes(32) + SCHNORR[32:], id="r zero"),
        pytest.param(FIELD.to_bytes(32, "big") + SCHNORR[32:], id="r is p"),
        pytest.param(bytes(64), id="all zero"),
        pytest.param(b"", id="nothing"),
        pytest.param(SIGNATURE, id="an ECDSA signature"),
    ],
)
def test_another_schnorr_signature_is_refused(signature):
    assert not verify_schnorr(KEY[1:], DIGEST, signature)


@pytest.mark.parametrize("key", [KEY, b"", bytes(32), FIELD.to_bytes(32, "big"), (5).to_bytes(32, "big")])
def test_what_is_no_x_only_key_verifies_nothing(key):
    assert not verify_schnorr(key, DIGEST, SCHNORR)
