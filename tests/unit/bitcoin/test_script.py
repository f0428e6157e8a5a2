"""Scripts, their addresses and their dust."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin.ripemd160 import ripemd160
from custody.bitcoin.script import (
    OutputType,
    address,
    base58_decode,
    base58check_decode,
    base58check_encode,
    double_sha256,
    dust_limit,
    hash160,
    multisig_a_script,
    multisig_script,
    output_type,
    p2pkh,
    p2sh,
    p2tr,
    p2wpkh,
    p2wsh,
    push,
    read_multisig,
    script_of,
    sha256,
    witness_program,
)
from custody.testing.asserts import refuses
from custody.units import Network

KEYS = [bytes([2 + number % 2]) + hashlib.sha256(bytes([number])).digest() for number in range(20)]
HASH = bytes(range(20))
ANCHOR = bytes.fromhex("51024e73")
UNCOMPRESSED = b"\x04" + bytes(64)

EXAMPLES = [
    (p2pkh(HASH), OutputType.P2PKH, 546),
    (p2sh(b"\x51"), OutputType.P2SH, 540),
    (p2wpkh(HASH), OutputType.P2WPKH, 294),
    (p2wsh(b"\x51"), OutputType.P2WSH, 330),
    (p2tr(KEYS[0][1:]), OutputType.P2TR, 330),
    (ANCHOR, OutputType.ANCHOR, 240),
    (b"\x52\x02\xab\xcd", OutputType.WITNESS_UNKNOWN, 240),
    (b"\x6a" + push(b"hello"), OutputType.OP_RETURN, 0),
    (b"\x6a", OutputType.OP_RETURN, 0),
    (b"\x6a\x4c\x05hello", OutputType.OP_RETURN, 0),
    (b"\x6a\x4d\x05\x00hello", OutputType.OP_RETURN, 0),
    (b"\x6a\x4e\x05\x00\x00\x00hello\x51", OutputType.OP_RETURN, 0),
    (push(KEYS[0]) + b"\xac", OutputType.P2PK, 576),
    (push(UNCOMPRESSED) + b"\xac", OutputType.P2PK, 672),
    (push(b"\x06" + bytes(64)) + b"\xac", OutputType.P2PK, 672),
    (push(b"\x07" + bytes(64)) + b"\xac", OutputType.P2PK, 672),
    (multisig_script(1, KEYS[:2]), OutputType.BARE_MULTISIG, 684),
    (b"", OutputType.UNKNOWN, 471),
    (b"\x00\x03abc", OutputType.UNKNOWN, 243),
]


@pytest.mark.parametrize(("script", "kind", "dust"), EXAMPLES)
def test_each_type_is_recognised_and_has_its_dust_limit(script, kind, dust):
    assert output_type(script) is kind
    assert dust_limit(script) == dust


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(p2pkh(HASH) + b"\x61", id="p2pkh with an opcode more"),
        pytest.param(p2pkh(HASH)[:-1] + b"\xad", id="p2pkh ending otherwise"),
        pytest.param(p2sh(b"")[:-1] + b"\x88", id="p2sh ending otherwise"),
        pytest.param(b"\x00" + push(b"\x05" * 33), id="version 0 with 33 bytes"),
        pytest.param(b"\x51\x29" + bytes(41), id="a program of 41 bytes"),
        pytest.param(b"\x51\x4c\x20" + bytes(32), id="a program pushed the long way"),
        pytest.param(b"\x6a\x05abcd", id="OP_RETURN with a push beyond the end"),
        pytest.param(b"\x6a\x4d\xff", id="OP_RETURN with half a length"),
        pytest.param(b"\x6a\x4c\x05hell", id="OP_RETURN with a length beyond the end"),
        pytest.param(b"\x6a\x4d\x05\x00hello\xac", id="OP_RETURN with an opcode behind a long push"),
        pytest.param(b"\x6a\xac", id="OP_RETURN with an opcode that pushes nothing"),
        pytest.param(b"\x21" + b"\x05" * 33 + b"\xac", id="p2pk with no key's first byte"),
        pytest.param(push(b"\x05" + bytes(64)) + b"\xac", id="p2pk with no whole key's first byte"),
        pytest.param(push(b"\x08" + bytes(64)) + b"\xac", id="p2pk beyond hybrid keys"),
        pytest.param(b"\x53" + multisig_script(2, KEYS[:2])[1:], id="3 of 2"),
        pytest.param(multisig_script(2, KEYS[:3])[:-2] + b"\x52\xae", id="3 keys, said to be 2"),
        pytest.param(b"\x00" + multisig_script(1, KEYS[:2])[1:], id="0 of 2"),
        pytest.param(b"\x51\x4c\x21" + KEYS[0] + b"\x51\xae", id="multisig, key pushed the long way"),
        pytest.param(b"\x51\x51\x51\xae", id="multisig of numbers"),
        pytest.param(b"\x51\x51\xae", id="multisig without keys"),
        pytest.param(b"\xae", id="nothing but CHECKMULTISIG"),
        pytest.param(b"\x01\x01" + push(KEYS[0]) + b"\x51\xae", id="a threshold pushed the long way"),
    ],
)
def test_almost_a_standard_type_is_none(script):
    assert output_type(script) is OutputType.UNKNOWN


@given(st.binary(max_size=120))
def test_any_bytes_have_a_type_and_a_dust_limit(script):
    assert output_type(script) in OutputType
    assert dust_limit(script) >= 0
    assert (witness_program(script) is None) or output_type(script) not in {OutputType.P2PKH, OutputType.P2SH}


def test_a_script_too_long_to_spend_has_no_dust_limit():
    assert dust_limit(b"\x61" * 10_000) == 3 * (8 + 3 + 10_000 + 148)
    assert dust_limit(b"\x61" * 10_001) == 0


@pytest.mark.parametrize(
    ("data", "script"),
    [
        (b"", "00"),
        (b"\x00", "0100"),
        (b"\x01", "51"),
        (b"\x10", "60"),
        (b"\x11", "0111"),
        (b"\x80", "0180"),
        (b"\x81", "4f"),
        (b"a" * 75, "4b" + "61" * 75),
        (b"a" * 76, "4c4c" + "61" * 76),
        (b"a" * 255, "4cff" + "61" * 255),
        (b"a" * 256, "4d0001" + "61" * 256),
        (b"a" * 65536, "4e00000100" + "61" * 65536),
    ],
)
def test_a_push_is_the_shortest_one(data, script):
    assert push(data).hex() == script


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (2, 3), (15, 15), (16, 16), (3, 17), (17, 20), (20, 20)])
def test_a_multisig_script_reads_back(threshold, count):
    script = multisig_script(threshold, KEYS[:count])
    assert read_multisig(script) == (threshold, tuple(KEYS[:count]))
    assert output_type(script) is OutputType.BARE_MULTISIG


def test_above_sixteen_a_number_is_a_push():
    assert multisig_script(17, KEYS[:18])[:2] == b"\x01\x11"
    assert multisig_script(16, KEYS[:18])[:1] == b"\x60"
    assert multisig_script(1, KEYS[:18])[-3:] == b"\x01\x12\xae"


@pytest.mark.parametrize(
    ("threshold", "keys"),
    [(0, KEYS[:2]), (3, KEYS[:2]), (1, []), (1, [*KEYS, KEYS[0]]), (1, [UNCOMPRESSED]), (-1, KEYS[:2])],
)
def test_a_multisig_nobody_can_satisfy_is_not_built(threshold, keys):
    with pytest.raises(ValueError, match="threshold"):
        multisig_script(threshold, keys)


@pytest.mark.parametrize(("build", "size"), [(p2pkh, 20), (p2wpkh, 20), (p2tr, 32)])
def test_a_hash_of_another_size_is_refused(build, size):
    assert build(bytes(size))
    for wrong in (size - 1, size + 1):
        with pytest.raises(ValueError, match=f"expected {size} bytes"):
            build(bytes(wrong))


# BIP 173 and 350, "Test vectors": addresses and their scripts.
@pytest.mark.parametrize(
    ("text", "network", "script"),
    [
        ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", Network.MAIN, "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
        (
            "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
            Network.TESTNET4,
            "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
        ),
        (
            "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
            Network.MAIN,
            "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
        ),
        ("BC1SW50QGDZ25J", Network.MAIN, "6002751e"),
        ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", Network.MAIN, "5210751e76e8199196d454941c45d1b3a323"),
        (
            "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
            Network.SIGNET,
            "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
        ),
        (
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
            Network.MAIN,
            "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        ),
        ("bc1pfeessrawgf", Network.MAIN, "51024e73"),
    ],
)
def test_addresses_of_the_bips(text, network, script):
    assert script_of(text, network).hex() == script
    assert address(bytes.fromhex(script), network) == text.lower()


# BIP 350, "Test vectors": invalid addresses, each for its own reason.
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "base58"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "checksum"),
        ("tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf", "checksum"),
        ("BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "checksum"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "checksum"),
        ("bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "character 60"),
        ("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "version 17"),
        ("bc1pw5dgrnzv", "1 bytes"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", "41 bytes"),
        ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "16 bytes"),
        ("tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", "mixes"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "mean nothing"),
        ("tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j", "mean nothing"),
        ("bc1gmk9yu", "too short"),
        ("bc1" + "q" * 100, "90"),
        ("", "checksum"),
        ("1", "checksum"),
        ("bc1", "too short"),
    ],
)
def test_each_way_to_misspell_an_address_has_its_reason(text, problem):
    with refuses("ADDRESS_INVALID") as caught:
        script_of(text, Network.MAIN)
    assert problem in caught.error.problem


def test_a_letter_that_lowers_into_ascii_is_no_other_spelling():
    text = "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"
    assert script_of(text, Network.MAIN)
    with refuses("ADDRESS_INVALID") as caught:
        script_of(text.replace("K", "\N{KELVIN SIGN}"), Network.MAIN)
    assert "ASCII" in caught.error.problem


def test_every_wrong_character_in_a_segwit_address_is_noticed():
    good = address(p2wsh(b"\x51"), Network.REGTEST)
    for at in range(5, len(good)):
        for character in "qpzry9x8gf2tvdw0s3jn54khce6mua7l":
            if character != good[at]:
                with refuses("ADDRESS_INVALID"):
                    script_of(good[:at] + character + good[at + 1 :], Network.REGTEST)


@pytest.mark.parametrize(
    "script", [script for script, kind, _ in EXAMPLES if kind in {"p2pkh", "p2sh", "p2wsh", "p2tr"}]
)
@pytest.mark.parametrize("network", Network)
def test_an_address_of_another_network_is_refused(script, network):
    text = address(script, network)
    assert script_of(text, network) == script
    for other in Network:
        shares = address(script, other) == text
        if not shares:
            with refuses("NETWORK_MISMATCH") as caught:
                script_of(text, other)
            assert (caught.error.expected, str(network) in caught.error.actual) == (str(other), True)


@pytest.mark.parametrize(
    "script", [script for script, kind, _ in EXAMPLES if kind in {"op-return", "bare-multisig", "p2pk", "unknown"}]
)
def test_a_script_without_an_address_is_refused_by_its_type(script):
    with refuses("OUTPUT_TYPE") as caught:
        address(script, Network.MAIN)
    assert caught.error.output_type == output_type(script)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x80" + bytes(range(32)) + b"\x01", id="wif, compressed, main"),
        pytest.param(b"\x80" + bytes(range(32)), id="wif, uncompressed, main"),
        pytest.param(b"\xef" + bytes(range(32)) + b"\x01", id="wif, test networks"),
        pytest.param(bytes.fromhex("0488ade4") + bytes(41) + b"\0" + bytes(range(32)), id="xprv"),
        pytest.param(bytes.fromhex("045f18bc") + bytes(41) + b"\0" + bytes(range(32)), id="vprv"),
    ],
)
def test_a_private_key_in_place_of_an_address_is_refused_and_not_shown(payload):
    text = base58check_encode(payload)
    with refuses("SECRET_MATERIAL") as caught:
        script_of(text, Network.MAIN)
    shown = repr(caught.error) + caught.error.advice()
    assert text not in shown
    assert payload[-32:].hex() not in shown


def test_base58_of_another_kind_is_no_address():
    for payload in (b"\x30" + HASH, b"\x00" + HASH + b"\0", b"\x00" + HASH[1:], b""):
        with refuses("ADDRESS_INVALID"):
            script_of(base58check_encode(payload), Network.MAIN)


@given(st.binary(max_size=120))
def test_base58check_reads_back(payload):
    assert base58check_decode(base58check_encode(payload)) == payload


@given(st.binary(min_size=1, max_size=90), st.data())
def test_a_wrong_character_in_base58check_is_noticed(payload, data):
    text = base58check_encode(payload)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0OIl \n"))
    if other != text[at]:
        with refuses("BASE58_INVALID"):
            base58check_decode(text[:at] + other + text[at + 1 :])


def test_base58_is_bounded():
    assert len(base58_decode("z" * 512)) > 300
    with refuses("BASE58_INVALID"):
        base58_decode("z" * 513)


@given(st.integers(0, 16), st.binary(min_size=2, max_size=40), st.sampled_from(Network))
def test_every_witness_program_has_an_address_that_reads_back(version, program, network):
    script = bytes([version and 0x50 + version, len(program)]) + program
    if version == 0 and len(program) not in {20, 32}:
        with refuses("OUTPUT_TYPE"):
            address(script, network)
    else:
        assert script_of(address(script, network), network) == script
        assert script_of(address(script, network).upper(), network) == script


def test_hashes_are_the_known_ones():
    assert sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert double_sha256(b"") == sha256(sha256(b""))
    generator = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    assert hash160(generator).hex() == "751e76e8199196d454941c45d1b3a323f1433bd6"


# The digests in the RIPEMD-160 paper, appendix B.
@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"),
        (b"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        (b"message digest", "5d0689ef49d2fae572b881b123a85ffa21595f36"),
        (b"abcdefghijklmnopqrstuvwxyz", "f71c27109c692c1b56bbdceb5b9d2865b3708dbc"),
        (b"1234567890" * 8, "9b752e45573d4b39f4dbd3323cab82bf63326bfb"),
    ],
)
def test_our_own_ripemd_160_gives_the_published_digests(data, digest):
    assert ripemd160(data).hex() == digest


@given(st.binary(max_size=200))
def test_hash160_does_not_depend_on_whose_ripemd_160_runs(data):
    assert hash160(data) == ripemd160(sha256(data))


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (2, 3), (15, 15), (16, 16), (17, 20), (20, 20)])
def test_a_tapscript_that_counts_signatures_asks_every_key(threshold: int, count: int) -> None:
    keys = [bytes([number]) * 32 for number in range(count)]
    made = multisig_a_script(threshold, keys)
    number = bytes([0x50 + threshold]) if threshold <= 16 else bytes([1, threshold])
    asked = [b"\x20" + key + (b"\xba" if at else b"\xac") for at, key in enumerate(keys)]
    assert made == b"".join(asked) + number + b"\x9c"


@pytest.mark.parametrize(
    ("threshold", "keys"),
    [(0, [bytes(32)]), (2, [bytes(32)]), (1, []), (1, [bytes(33)]), (2, [bytes(32), bytes(31)]), (1, [bytes(32)] * 21)],
)
def test_a_tapscript_that_nobody_could_meet_is_not_built(threshold: int, keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="x-only"):
        multisig_a_script(threshold, keys)
