"""Published vectors for taproot: BIP 341's wallet tests, whole trees and all key path spends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custody.bitcoin.curve import ORDER, add_secret, public_key, sign_schnorr, x_only_tweak
from custody.bitcoin.script import address, p2tr
from custody.bitcoin.sighash import Taproot, tap_branch, tap_leaf_hash, tap_tweak
from custody.bitcoin.transaction import Transaction, TxOut
from custody.units import Network

FILES = ["bips/bip-0341/wallet-test-vectors.json", "bitcoin-core/src/test/data/bip341_wallet_vectors.json"]

Tree = dict | list | None


def root_and_leaves(tree: Tree) -> tuple[bytes, list[tuple[bytes, bytes, bytes]]]:
    """Root, and (script with version, leaf hash, path to the root) of each leaf from left to right."""
    if tree is None:
        return b"", []
    if isinstance(tree, dict):
        script, version = bytes.fromhex(tree["script"]), tree["leafVersion"]
        leaf = tap_leaf_hash(script, version)
        return leaf, [(bytes([version]), leaf, b"")]
    (left, left_leaves), (right, right_leaves) = (root_and_leaves(side) for side in tree)
    leaves = [(*leaf, path + right) for *leaf, path in left_leaves]
    leaves += [(*leaf, path + left) for *leaf, path in right_leaves]
    return tap_branch(left, right), leaves


@pytest.mark.parametrize("file", FILES)
def test_output_keys_addresses_and_control_blocks(vectors: Path, file: str):
    cases = json.loads((vectors / file).read_text())["scriptPubKey"]
    assert len(cases) == 7
    for case in cases:
        internal = bytes.fromhex(case["given"]["internalPubkey"])
        root, leaves = root_and_leaves(case["given"]["scriptTree"])
        expected = case["intermediary"]
        assert root.hex() == (expected["merkleRoot"] or "")
        assert [leaf.hex() for _, leaf, _ in leaves] == expected.get("leafHashes", [])
        tweak = tap_tweak(internal, root)
        assert tweak.hex() == expected["tweak"]
        output_key, parity = x_only_tweak(internal, tweak)
        assert output_key.hex() == expected["tweakedPubkey"]
        assert p2tr(output_key).hex() == case["expected"]["scriptPubKey"]
        assert address(p2tr(output_key), Network.MAIN) == case["expected"]["bip350Address"]
        blocks = [bytes([version[0] | parity]) + internal + path for version, _, path in leaves]
        assert [block.hex() for block in blocks] == case["expected"].get("scriptPathControlBlocks", [])


@pytest.mark.parametrize("file", FILES)
def test_key_path_spends(vectors: Path, file: str):
    (case,) = json.loads((vectors / file).read_text())["keyPathSpending"]
    transaction = Transaction.parse(bytes.fromhex(case["given"]["rawUnsignedTx"]))
    spent = [TxOut(u["amountSats"], bytes.fromhex(u["scriptPubKey"])) for u in case["given"]["utxosSpent"]]
    hashes = Taproot(transaction, spent)
    assert len(case["inputSpending"]) == 7
    for spending in case["inputSpending"]:
        given, expected = spending["given"], spending["intermediary"]
        hash_type, index = given["hashType"], given["txinIndex"]
        digest = hashes.digest(index, hash_type)
        assert digest.hex() == expected["sigHash"], index
        secret = bytes.fromhex(given["internalPrivkey"])
        internal = public_key(secret)
        assert internal[1:].hex() == expected["internalPubkey"]
        even = secret if internal[0] == 2 else (ORDER - int.from_bytes(secret, "big")).to_bytes(32, "big")
        tweaked = add_secret(even, tap_tweak(internal[1:], bytes.fromhex(given["merkleRoot"] or "")))
        assert tweaked.hex() == expected["tweakedPrivkey"]
        signature = sign_schnorr(tweaked, digest) + (bytes([hash_type]) if hash_type else b"")
        assert [signature.hex()] == spending["expected"]["witness"]
