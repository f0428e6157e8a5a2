"""Published vectors for keys and signatures: BIP 32, BIP 340, wycheproof."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from custody.bitcoin.curve import ParentKey, is_public_key, public_key, sign_schnorr, verify_schnorr
from custody.bitcoin.script import base58check_decode
from custody.units import HARDENED


def test_bip_340_verification(vectors: Path):
    with (vectors / "bips/bip-0340/test-vectors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 19
    for row in rows:
        key, message, signature = (bytes.fromhex(row[name]) for name in ("public key", "message", "signature"))
        expected = row["verification result"] == "TRUE"
        assert verify_schnorr(key, message, signature) is expected, row["index"]


def test_bip_340_signing(vectors: Path):
    with (vectors / "bips/bip-0340/test-vectors.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["secret key"]]
    signed = 0
    for row in rows:
        secret, message, aux = (bytes.fromhex(row[name]) for name in ("secret key", "message", "aux_rand"))
        assert public_key(secret)[1:] == bytes.fromhex(row["public key"])
        if len(message) == 32:
            assert sign_schnorr(secret, message, aux) == bytes.fromhex(row["signature"]), row["index"]
            signed += 1
        else:
            # Bitcoin signs digests only, so other sizes are not signed here.
            with pytest.raises(ValueError, match="32 bytes"):
                sign_schnorr(secret, message, aux)
    assert (signed, len(rows)) == (4, 8)


def split(extended: str) -> tuple[bytes, bytes]:
    """Chain code and key of an extended key's text."""
    payload = base58check_decode(extended)
    return payload[13:45], payload[45:]


def test_bip_32_public_children(vectors: Path):
    steps = 0
    for case in json.loads((vectors / "bips-extracted/bip032.json").read_text())["valid"]:
        known = {chain["path"]: chain["xpub"] for chain in case["chains"]}
        for path, xpub in known.items():
            parent, _, last = path.rpartition("/")
            if not parent or last.endswith(("h", "H", "'")):
                continue
            chain_code, key = split(known[parent])
            child_chain_code, child = split(xpub)
            assert int(last) < HARDENED
            assert ParentKey(key, chain_code).child_with_chain_code(int(last)) == (child, child_chain_code)
            assert ParentKey(key, chain_code).children(int(last), int(last) + 1) == [child]
            steps += 1
    assert steps >= 5


def test_bip_32_secrets_and_their_public_keys(vectors: Path):
    for case in json.loads((vectors / "bips-extracted/bip032.json").read_text())["valid"]:
        for chain in case["chains"]:
            assert public_key(split(chain["xprv"])[1][1:]) == split(chain["xpub"])[1]


def test_bip_32_invalid_points(vectors: Path):
    cases = json.loads((vectors / "bips-extracted/bip032.json").read_text())["invalid"]
    wrong = [case for case in cases if case["key"].startswith("xpub") and "pubkey" in case["why"]]
    assert wrong
    for case in wrong:
        assert not is_public_key(split(case["key"])[1]), case["why"]


def test_wycheproof_keys_of_bitcoin_ecdsa_are_points(vectors: Path):
    path = vectors / "wycheproof/testvectors_v1/ecdsa_secp256k1_sha256_bitcoin_test.json"
    for group in json.loads(path.read_text())["testGroups"]:
        uncompressed = bytes.fromhex(group["publicKey"]["uncompressed"])
        assert not is_public_key(uncompressed)
        assert is_public_key(bytes([2 + uncompressed[-1] % 2]) + uncompressed[1:33])
