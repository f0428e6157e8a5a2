"""The internal key of a taproot vault is one that nobody has."""

import hashlib
import itertools
from collections.abc import Callable

import coincurve
import pytest

from custody.bitcoin import curve
from custody.bitcoin.taproot import UNSPENDABLE, UNSPENDABLE_FINGERPRINT
from custody.testing.asserts import refuses
from custody.units import Network
from custody.vault.descriptor import Vault, checksum
from custody.vault.internal_key import check_internal_key, internal_key_of, internal_path, read_internal_key
from custody.vault.keys import AccountKey, Cosigner, branches_of
from custody.vault.templates import ScriptType

MakeVault = Callable[..., Vault]
MakeCosigner = Callable[..., Cosigner]


def test_the_point_is_the_hash_of_the_generator() -> None:
    generator = coincurve.PrivateKey((1).to_bytes(32, "big")).public_key.format(compressed=False)
    assert b"\x02" + hashlib.sha256(generator).digest() == UNSPENDABLE
    assert curve.is_public_key(UNSPENDABLE)


def test_the_chain_code_comes_from_the_keys_in_any_order(cosigner: MakeCosigner) -> None:
    trio = [cosigner(seed, script_type=ScriptType.TR) for seed in (1, 2, 3)]
    keys = {str(internal_key_of(order, Network.REGTEST)) for order in itertools.permutations(trio)}
    assert len(keys) == 1
    key = internal_key_of(trio, Network.REGTEST)
    assert key.chain_code == hashlib.sha256(b"".join(sorted(each.key.public_key for each in trio))).digest()
    assert (key.public_key, key.depth, key.child_number, key.parent_fingerprint) == (UNSPENDABLE, 0, 0, bytes(4))
    assert keys == {str(read_internal_key(str(key)))}
    assert str(internal_key_of(trio[:2], Network.REGTEST)) not in keys
    assert str(internal_key_of(trio, Network.MAIN)).startswith("xpub")


def test_any_chain_code_is_taken_on_import_and_kept(vault: MakeVault) -> None:
    made = vault(script_type=ScriptType.TR)
    key = AccountKey(UNSPENDABLE, b"\x07" * 32, 0, bytes(4), 0, Network.REGTEST.xpub_version)
    body = made.descriptor[:-9].replace(str(made.internal_key), str(key))
    read = Vault.parse(f"{body}#{checksum(body)}", Network.REGTEST)
    assert read.internal_key == key
    assert read.descriptor[:-9] == body
    assert read.id != made.id
    assert read != made
    # The script is the same, the internal key at each place and so every address is another.
    assert read.lock(0, 0).script == made.lock(0, 0).script
    assert not set(read.addresses(0, 0, 5)) & set(made.addresses(0, 0, 5))
    assert Vault.parse(read.descriptor, Network.REGTEST) == read


def test_the_internal_key_at_a_place_is_an_unhardened_child(vault: MakeVault) -> None:
    made = vault(script_type=ScriptType.TR)
    for branch, index in ((0, 0), (1, 7), (0, 2**31 - 1)):
        parent = curve.ParentKey(UNSPENDABLE, made.internal_key.chain_code).child_with_chain_code(branch)
        child = curve.ParentKey(*parent).child(index)
        assert made.input_fields(branch, index).internal_key == child[1:]
        assert branches_of(made.internal_key)[branch].child(index) == child
    paths = [internal_path(branch, 3) for branch in (0, 1)]
    assert [(each.fingerprint, each.path, each.leaf_hashes) for each in paths] == [
        (UNSPENDABLE_FINGERPRINT, (branch, 3), ()) for branch in (0, 1)
    ]


def test_only_taproot_has_an_internal_key(vault: MakeVault) -> None:
    taproot = vault(script_type=ScriptType.TR)
    assert vault().internal_key is None
    for script_type in (ScriptType.WSH, ScriptType.SH_WSH):
        other = vault(script_type=script_type)
        with refuses("TEMPLATE"):
            Vault(2, other.cosigners, script_type, other.network, 0, taproot.internal_key)


def test_an_internal_key_of_another_network_is_refused(vault: MakeVault) -> None:
    made = vault(script_type=ScriptType.TR)
    key = internal_key_of(made.cosigners, Network.MAIN)
    with refuses("NETWORK_MISMATCH"):
        check_internal_key(key, made.cosigners, Network.REGTEST)
    with refuses("NETWORK_MISMATCH"):
        Vault(2, made.cosigners, made.script_type, made.network, 0, key)


def test_a_vault_does_not_show_its_internal_key_in_logs(vault: MakeVault) -> None:
    made = vault(script_type=ScriptType.TR)
    assert str(made.internal_key) not in repr(made)
    assert made.internal_key.chain_code.hex() not in repr(made)


@pytest.mark.parametrize("steps", ["", "/*", "/0/*", "/<1;0>/*", "/<0;1>", "/<0;1>/*/0"])
def test_the_internal_key_is_derived_as_the_others_are(vault: MakeVault, steps: str) -> None:
    made = vault(script_type=ScriptType.TR)
    body = made.descriptor[:-9].replace(f"{made.internal_key}/<0;1>/*", f"{made.internal_key}{steps}")
    with refuses("TEMPLATE") as caught:
        Vault.parse(f"{body}#{checksum(body)}", Network.REGTEST)
    assert "the internal key" in str(caught.error)
