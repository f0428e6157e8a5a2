"""Published vectors for extended keys, key expressions, descriptors and sorted multi-signature scripts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from embit import ec

from custody.bitcoin import curve, script
from custody.bitcoin.lock import TapLeaf
from custody.bitcoin.taproot import UNSPENDABLE
from custody.errors import CustodyError
from custody.testing.asserts import refuses
from custody.units import HARDENED, Network
from custody.vault.descriptor import Vault, check, checksum
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin, refuse_secrets
from custody.vault.templates import ScriptType


def load(vectors: Path, name: str) -> Any:
    return json.loads((vectors / name).read_text(encoding="utf-8"))


def cases(vectors: Path, bip: int) -> list[dict[str, Any]]:
    return load(vectors, f"bips-extracted/bip{bip}_descriptors.json")["cases"]


def has_private_key(text: str) -> bool:
    """Whether one of the words of a descriptor is a private key, by embit's reading."""
    for word in re.split(r"[^1-9A-Za-z]", text):
        if word.startswith("xprv"):
            return True
        try:
            ec.PrivateKey.from_wif(word)
        except (ValueError, ec.ECError):
            continue
        return True
    return False


def code_of(text: str) -> str:
    """How a descriptor (without checksum) is refused as a vault of the main network."""
    with pytest.raises(CustodyError) as caught:
        Vault.parse(f"{text}#{checksum(text)}", Network.MAIN)
    assert caught.value.advice()
    return caught.value.code


# --- BIP 32


def test_bip32_xpubs_read_back_as_written(vectors: Path) -> None:
    for chains in load(vectors, "bips-extracted/bip032.json")["valid"]:
        for depth, node in enumerate(chains["chains"]):
            key = AccountKey.parse(node["xpub"])
            assert str(key) == node["xpub"]
            steps = KeyOrigin.parse("[00000000" + node["path"][1:] + "]").path
            assert key.depth == depth == len(steps)
            assert key.child_number == (steps[-1] if steps else 0)


def test_bip32_unhardened_children_derive_from_their_parents(vectors: Path) -> None:
    derived = 0
    for chains in load(vectors, "bips-extracted/bip032.json")["valid"]:
        for parent, child in zip(chains["chains"], chains["chains"][1:], strict=False):
            above, below = AccountKey.parse(parent["xpub"]), AccountKey.parse(child["xpub"])
            assert script.hash160(above.public_key)[:4] == below.parent_fingerprint
            if below.child_number < HARDENED:
                node = curve.ParentKey(above.public_key, above.chain_code)
                found = node.child_with_chain_code(below.child_number)
                assert found == (below.public_key, below.chain_code)
                derived += 1
    assert derived >= 6


def test_bip32_private_keys_are_refused(vectors: Path) -> None:
    for chains in load(vectors, "bips-extracted/bip032.json")["valid"]:
        for node in chains["chains"]:
            with refuses("SECRET_MATERIAL") as caught:
                AccountKey.parse(node["xprv"])
            assert node["xprv"][:12] not in repr(caught.error)


def test_bip32_invalid_keys_are_refused(vectors: Path) -> None:
    for case in load(vectors, "bips-extracted/bip032.json")["invalid"]:
        holds_secret = case["key"].startswith("xprv") or "prvkey version" in case["why"]
        with pytest.raises(CustodyError) as caught:
            AccountKey.parse(case["key"])
        if holds_secret:
            assert caught.value.code == "SECRET_MATERIAL", case["why"]
        else:
            assert caught.value.code in {"XPUB_INVALID", "SECRET_MATERIAL"}, case["why"]
        assert caught.value.advice()


# --- BIP 67


def test_bip67_keys_sort_into_the_published_scripts(vectors: Path) -> None:
    for case in load(vectors, "bips-extracted/bip067.json")["vectors"]:
        keys = sorted(bytes.fromhex(key) for key in case["list"])
        assert [key.hex() for key in keys] == case["sorted"]
        witness_script = script.multisig_script(2, keys)
        assert [witness_script.hex()] == case["script"]
        assert [script.address(script.p2sh(witness_script), Network.MAIN)] == case["address"]
    for case in load(vectors, "bitcoin-core/test/functional/data/rpc_bip67.json"):
        found = script.multisig_script(2, sorted(bytes.fromhex(key) for key in case["keys"]))
        assert found.hex() == case["script"]


# --- BIP 380


def test_bip380_checksums(vectors: Path) -> None:
    group = [case for case in cases(vectors, 380) if "checksum" in case["group"]]
    assert len(group) == 8
    for case in group:
        if case["label"] == "Valid checksum":
            assert check(case["expr"]) == "raw(deadbeef)"
        else:
            with refuses("DESC_CHECKSUM"):
                check(case["expr"])


def test_bip380_origins_of_valid_expressions_are_read(vectors: Path) -> None:
    hardened = HARDENED
    expected = {
        "0h/0h/0h": (hardened,) * 3,
        "0h/1h/2h": (hardened, 1 + hardened, 2 + hardened),
        "0h/1h/2": (hardened, 1 + hardened, 2),
    }
    read = 0
    for case in cases(vectors, 380):
        if case["group"].startswith("Valid") and case["expr"].startswith("["):
            origin = KeyOrigin.parse(case["expr"][: case["expr"].index("]") + 1])
            assert origin.fingerprint.hex() == "deadbeef"
            assert origin.path == expected[case["expr"][10:].split("]")[0].replace("'", "h")]
            read += 1
    assert read >= 10


def test_bip380_valid_expressions_that_no_vault_uses_are_refused_by_name(vectors: Path) -> None:
    group = [case for case in cases(vectors, 380) if case["group"].startswith("Valid")]
    assert len(group) >= 20
    for case in group:
        if has_private_key(case["expr"]):
            expected = "SECRET_MATERIAL"
        elif not case["expr"].startswith("["):
            expected = "PATH_NONSTANDARD"  # no origin
        elif "xpub" in case["expr"] and not case["expr"].endswith("*h") and "/" not in case["expr"].split("]")[1]:
            expected = "PATH_NONSTANDARD"  # the vectors' origins are not those of their keys
        else:
            expected = "XPUB_INVALID"  # a bare key, or steps after it
        with refuses(expected):
            Cosigner.parse(case["expr"])


def test_bip380_invalid_expressions_are_refused_by_name(vectors: Path) -> None:
    group = [case for case in cases(vectors, 380) if case["group"].startswith("Invalid")]
    assert len(group) == 16
    for case in group:
        expected = "PATH_NONSTANDARD"
        if has_private_key(case["expr"]):
            expected = "SECRET_MATERIAL"
        elif case["label"] == "Key origin with no public key":
            expected = "XPUB_INVALID"
        with refuses(expected):
            Cosigner.parse(case["expr"])


# --- BIP 381 to 390: valid or not, none of these is a vault


@pytest.mark.parametrize("bip", [381, 382, 383, 384, 385, 386, 387, 389, 390])
def test_descriptors_that_are_no_vault_are_refused(vectors: Path, bip: int) -> None:
    found = cases(vectors, bip)
    assert found
    for case in found:
        expected = "SECRET_MATERIAL" if has_private_key(case["expr"]) else "TEMPLATE"
        if expected == "TEMPLATE" and re.fullmatch(r"tr\([^,]*,sortedmulti_a\(.*\)\)", case["expr"]):
            expected = "TAPROOT_KEYPATH"  # the published point, but not as an extended key
        assert code_of(case["expr"]) == expected, case["expr"]


def test_bip383_sorted_keys_expand_into_the_published_scripts(vectors: Path) -> None:
    tried = 0
    for case in cases(vectors, 383):
        match = re.fullmatch(r"sortedmulti\(2,(xpub\w+)/\*,(xpub\w+)/0/0/\*\)", case["expr"])
        if match is None:
            continue
        first, second = (AccountKey.parse(text) for text in match.groups())
        one = curve.ParentKey(first.public_key, first.chain_code)
        two = curve.ParentKey(second.public_key, second.chain_code)
        for step in (0, 0):
            two = curve.ParentKey(*two.child_with_chain_code(step))
        for index, expected in enumerate(case["expands_to"]):
            assert script.multisig_script(2, sorted([one.child(index), two.child(index)])).hex() == expected
            tried += 1
    assert tried == 3


def test_bip387_sorted_keys_expand_into_the_published_scripts(vectors: Path) -> None:
    tried = 0
    for case in cases(vectors, 387):
        match = re.fullmatch(r"tr\((\w+),sortedmulti_a\(2,(xpub\w+)/\*,(xpub\w+)/0/0/\*\)\)", case["expr"])
        if match is None:
            continue
        assert bytes.fromhex(match[1]) == UNSPENDABLE[1:]
        first, second = (AccountKey.parse(text) for text in match.groups()[1:])
        one = curve.ParentKey(first.public_key, first.chain_code)
        two = curve.ParentKey(second.public_key, second.chain_code)
        for step in (0, 0):
            two = curve.ParentKey(*two.child_with_chain_code(step))
        for index, expected in enumerate(case["expands_to"]):
            keys = sorted([one.child(index)[1:], two.child(index)[1:]])
            assert TapLeaf(script.multisig_a_script(2, keys), UNSPENDABLE[1:]).script_pubkey.hex() == expected
            tried += 1
    assert tried == 3


# --- BIP 388 and 129: real vaults


def test_bip388_multisig_descriptor_is_a_vault(vectors: Path) -> None:
    found = [c for c in load(vectors, "bips-extracted/bip388.json")["valid"] if "P2WSH multisig" in c["label"]]
    assert len(found) == 1
    text = found[0]["descriptor"]
    vault = Vault.parse(f"{text}#{checksum(text)}", Network.MAIN)
    assert (vault.threshold, vault.script_type) == (2, ScriptType.WSH)
    assert [each.expression() for each in vault.cosigners] == [key.replace("'", "h") for key in found[0]["keys"]]
    assert check(vault.descriptor) == text.replace("'", "h")


def test_bip388_other_policies_are_no_vault(vectors: Path) -> None:
    others = [c for c in load(vectors, "bips-extracted/bip388.json")["valid"] if "P2WSH multisig" not in c["label"]]
    assert len(others) >= 8
    for case in others:
        assert code_of(case["descriptor"]) == "TEMPLATE", case["label"]


def test_bip129_vaults_have_the_published_first_address(vectors: Path) -> None:
    tried = 0
    for session in load(vectors, "bips-extracted/bip129_bsms.json")["sessions"]:
        for file in session["files"]:
            lines = file["content"].split("\n")
            if lines[1].startswith("wsh(sortedmulti(2,"):
                text = lines[1].replace("/**", "/<0;1>/*")
                vault = Vault.parse(f"{text}#{checksum(text)}", Network.MAIN)
                assert vault.address(0, 0) == lines[3]
                tried += 1
    assert tried >= 2


def test_bip129_bare_keys_and_one_of_two_are_no_vault(vectors: Path) -> None:
    for session in load(vectors, "bips-extracted/bip129_bsms.json")["sessions"]:
        for file in session["files"]:
            line = file["content"].split("\n")[1]
            if line.startswith("wsh(sortedmulti(1,"):
                with refuses("TEMPLATE"):
                    Vault.parse(line, Network.MAIN)


# --- Bitcoin Core's key_io and BIP 39


def test_core_private_keys_are_found(vectors: Path) -> None:
    found = 0
    for text, _, facts in load(vectors, "bitcoin-core/src/test/data/key_io_valid.json"):
        if facts["isPrivkey"]:
            with refuses("SECRET_MATERIAL"):
                refuse_secrets(f"key={text};")
            found += 1
        else:
            refuse_secrets(text)
    assert found > 10


def test_the_bip39_list_is_the_one_that_is_looked_for(vectors: Path) -> None:
    words = (vectors / "bips" / "bip-0039" / "english.txt").read_text(encoding="utf-8").split()
    assert len(words) == 2048
    for start in range(0, 2048 - 12, 12):
        with refuses("SECRET_MATERIAL"):
            refuse_secrets(" ".join(words[start : start + 12]))
