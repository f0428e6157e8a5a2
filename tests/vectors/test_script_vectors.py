"""Published vectors for scripts and addresses: Bitcoin Core's key_io, base58 and decodescript sets, BIP 67."""

from __future__ import annotations

import json
from pathlib import Path

from custody.bitcoin.script import (
    AddressInvalid,
    OutputType,
    address,
    base58_decode,
    base58_encode,
    hash160,
    multisig_script,
    output_type,
    p2sh,
    read_multisig,
    script_of,
)
from custody.errors import CustodyError
from custody.record import SecretMaterial
from custody.testing.asserts import refuses
from custody.units import Network

CORE = "bitcoin-core/src/test/data"


def load(path: Path) -> list:
    return json.loads(path.read_text())


def test_key_io_valid(vectors: Path):
    addresses = 0
    for text, payload, about in load(vectors / CORE / "key_io_valid.json"):
        network = Network(about["chain"])
        if about["isPrivkey"]:
            with refuses("SECRET_MATERIAL") as caught:
                script_of(text, network)
            assert payload not in str(caught.error)
            continue
        addresses += 1
        assert script_of(text, network).hex() == payload
        assert address(bytes.fromhex(payload), network) == text
        if about.get("tryCaseFlip"):
            assert script_of(text.swapcase(), network).hex() == payload
        else:
            with refuses("ADDRESS_INVALID"):
                script_of(text.swapcase(), network)
    assert addresses == 54


def test_key_io_valid_belongs_to_its_networks_only(vectors: Path):
    for text, payload, about in load(vectors / CORE / "key_io_valid.json"):
        if about["isPrivkey"]:
            continue
        for network in Network:
            if address(bytes.fromhex(payload), network) != text:
                with refuses("NETWORK_MISMATCH") as caught:
                    script_of(text, network)
                assert caught.error.expected == network
                assert about["chain"] in caught.error.actual


def test_key_io_invalid(vectors: Path):
    invalid = load(vectors / CORE / "key_io_invalid.json")
    assert len(invalid) == 70
    for (text,) in invalid:
        for network in Network:
            try:
                script_of(text, network)
            except CustodyError as error:
                # What is built like a private key is called one, even where its last byte is wrong.
                assert isinstance(error, AddressInvalid | SecretMaterial), text  # noqa: PT017
            else:
                raise AssertionError(text)


def test_base58(vectors: Path):
    cases = load(vectors / CORE / "base58_encode_decode.json")
    assert len(cases) == 21
    for data, text in cases:
        assert base58_encode(bytes.fromhex(data)) == text
        assert base58_decode(text) == bytes.fromhex(data)


CORE_TYPES = {
    "pubkey": OutputType.P2PK,
    "pubkeyhash": OutputType.P2PKH,
    "scripthash": OutputType.P2SH,
    "multisig": OutputType.BARE_MULTISIG,
    "nulldata": OutputType.OP_RETURN,
    "witness_v0_keyhash": OutputType.P2WPKH,
    "witness_v0_scripthash": OutputType.P2WSH,
    "witness_v1_taproot": OutputType.P2TR,
    "witness_unknown": OutputType.WITNESS_UNKNOWN,
    "anchor": OutputType.ANCHOR,
    "nonstandard": OutputType.UNKNOWN,
}


def test_decodescript(vectors: Path):
    for script, decoded in load(vectors / "bitcoin-core/test/functional/data/rpc_decodescript.json"):
        data = bytes.fromhex(script)
        assert output_type(data) is CORE_TYPES[decoded["type"]], script
        if "address" in decoded:
            assert address(data, Network.REGTEST) == decoded["address"]
        else:
            with refuses("OUTPUT_TYPE"):
                address(data, Network.REGTEST)
        wrapped = decoded.get("p2sh")
        if wrapped:
            assert address(p2sh(data), Network.REGTEST) == wrapped
            assert p2sh(data)[2:22] == hash160(data)


def test_bip_67_multisig(vectors: Path):
    cases = json.loads((vectors / "bips-extracted/bip067.json").read_text())["vectors"]
    assert len(cases) == 4
    for case in cases:
        keys = sorted(bytes.fromhex(key) for key in case["list"])
        script = multisig_script(2, keys)
        assert [script.hex()] == case["script"]
        assert [address(p2sh(script), Network.MAIN)] == case["address"]
        assert read_multisig(script) == (2, tuple(keys))


def test_bip_67_on_regtest(vectors: Path):
    for case in load(vectors / "bitcoin-core/test/functional/data/rpc_bip67.json"):
        script = multisig_script(2, [bytes.fromhex(key) for key in case["sorted_keys"]])
        assert script.hex() == case["script"]
        assert address(p2sh(script), Network.REGTEST) == case["address"]
