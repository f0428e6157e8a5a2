"""Taproot vaults under attack (THREATS F7; A1 to A6, A8, B6 as far as taproot differs): keys that somebody has.

A taproot coin can be spent past its script by whoever has its internal key. So the internal key is nobody's in every
descriptor, every address, every input and every change output, or nothing is signed.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import pytest
from embit import base58, bip32

from custody.bitcoin.curve import public_key
from custody.bitcoin.key_paths import TapKeyPath
from custody.bitcoin.lock import TapLeaf
from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import InputField
from custody.bitcoin.script import multisig_a_script, multisig_script, p2tr, p2wsh
from custody.bitcoin.serialize import serialize_stack
from custody.bitcoin.sighash import tap_leaf_hash
from custody.bitcoin.taproot import UNSPENDABLE, UNSPENDABLE_FINGERPRINT, output_key
from custody.bitcoin.transaction import TxOut
from custody.charter.document import verify_charter
from custody.envelope import sign
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast, secret, vault_of
from custody.units import Network
from custody.vault.descriptor import Branch, Vault, checksum
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin
from custody.vault.templates import ScriptType

from .altered import with_input

EVE = secret("eve")
EVE_KEY = public_key(EVE)
"""A key that somebody has."""
TPUB = Network.REGTEST.xpub_version
NAMES = ("astana", "almaty", "shymkent")


@pytest.fixture(scope="module")
def forger(forger_of):
    return forger_of(make_cast(Setting(script_type=ScriptType.TR)))


@pytest.fixture(scope="module")
def vault() -> Vault:
    return vault_of(NAMES, 2, ScriptType.TR)[0]


# --- F7: descriptors --------------------------------------------------------------------------------------------------


def with_internal(vault: Vault, expression: str) -> str:
    body = vault.descriptor[:-9].replace(f"tr({vault.internal_key}/<0;1>/*", f"tr({expression}")
    return f"{body}#{checksum(body)}"


def extended(point: bytes, depth: int = 0) -> str:
    parent, number = (b"\1\2\3\4", 7) if depth else (bytes(4), 0)
    return str(AccountKey(point, bytes(32), depth, parent, number, TPUB))


LIVE = extended(EVE_KEY)
OWN = vault_of(NAMES, 2, ScriptType.TR)[0].cosigners[0]
OTHER_KEYS = {
    "another extended key": f"{LIVE}/<0;1>/*",
    "another extended key with an origin": f"[deadbeef]{LIVE}/<0;1>/*",
    "a cosigner's own key": f"{OWN.key}/<0;1>/*",
    "a cosigner's own key with its origin": f"{OWN.expression()}/<0;1>/*",
    "the negated point": f"{extended(bytes([3]) + UNSPENDABLE[1:])}/<0;1>/*",
    "the point, said to be somebody's": f"[{UNSPENDABLE_FINGERPRINT.hex()}]{extended(UNSPENDABLE)}/<0;1>/*",
    "the point, said to be a child": f"{extended(UNSPENDABLE, depth=1)}/<0;1>/*",
    "a bare key": EVE_KEY[1:].hex(),
    "a bare compressed key": EVE_KEY.hex(),
    "the point bare": UNSPENDABLE[1:].hex(),
    "an aggregate of the cosigners": f"musig({LIVE},{OWN.key})/<0;1>/*",
    "a key by another notation": f"unspend({bytes(32).hex()})/<0;1>/*",
    "a random key": "r=@",
    "nothing": "",
}


def test_the_descriptor_that_the_cases_below_alter_is_good(vault):
    assert Vault.parse(with_internal(vault, f"{vault.internal_key}/<0;1>/*"), Network.REGTEST).id == vault.id
    assert Vault.parse(with_internal(vault, f"{extended(UNSPENDABLE)}/<0;1>/*"), Network.REGTEST)


# --- C6: no script that nobody can spend ------------------------------------------------------------------------------


def of_keys(vault: Vault, threshold: str, keys: list[str], form: str = "tr({},sortedmulti_a({},{}))") -> str:
    body = form.format(f"{vault.internal_key}/<0;1>/*", threshold, ",".join(keys))
    return f"{body}#{checksum(body)}"


def keys_of(count: int) -> list[str]:
    names = tuple(f"holder {number}" for number in range(count))
    return [f"{each.expression()}/<0;1>/*" for each in vault_of(names, 2, ScriptType.TR)[0].cosigners]


SIXTEENTH = f"{vault_of(('one', 'holder 16'), 2, ScriptType.TR)[0].cosigners[1].expression()}/<0;1>/*"


def test_fifteen_keys_pass_and_one_more_is_refused(vault):
    keys = keys_of(15)
    assert Vault.parse(of_keys(vault, "8", keys), Network.REGTEST).threshold == 8
    with refuses("TEMPLATE"):
        Vault.parse(of_keys(vault, "8", [*keys, SIXTEENTH]), Network.REGTEST)


@pytest.mark.parametrize("threshold", ["0", "1", "4", "999", "02", "-1", ""])
def test_a_threshold_that_is_unsafe_or_never_met_is_refused(vault, threshold):
    with refuses("TEMPLATE"):
        Vault.parse(of_keys(vault, threshold, keys_of(3)), Network.REGTEST)


@pytest.mark.parametrize(
    "key",
    [
        EVE_KEY.hex(),
        EVE_KEY[1:].hex(),
        "04" + EVE_KEY[1:].hex() * 2,
        f"[deadbeef/48h/1h/0h/3h]04{EVE_KEY[1:].hex() * 2}/<0;1>/*",
    ],
)
def test_a_bare_key_is_no_cosigner_s_whatever_its_form(vault, key):
    with refuses("TEMPLATE"):
        Vault.parse(of_keys(vault, "2", [*keys_of(2), key]), Network.REGTEST)


@pytest.mark.parametrize("first", [0x00, 0x01, 0x04, 0x05, 0x06, 0x07])
def test_an_extended_key_of_another_form_is_refused(vault, first):
    raw = bytearray(vault.cosigners[0].key.to_bytes())
    raw[45] = first
    origin = vault.cosigners[0].expression().split("]")[0]
    whole = f"{origin}]{base58.encode_check(bytes(raw))}/<0;1>/*"
    # With 00 in front it is what a private key looks like.
    with refuses("SECRET_MATERIAL" if first == 0 else "XPUB_INVALID"):
        Vault.parse(of_keys(vault, "2", [*keys_of(2), whole]), Network.REGTEST)


@pytest.mark.parametrize(
    "form",
    [
        "tr({},multi_a({},{}))",
        "tr({},sortedmulti({},{}))",
        "tr({0},{{sortedmulti_a({1},{2}),sortedmulti_a({1},{2})}})",
        "sh(tr({},sortedmulti_a({},{})))",
        "tr({0})",
        "rawtr({0})",
        "wsh(sortedmulti_a({1},{2}))",
    ],
)
def test_another_tree_than_one_sorted_leaf_is_refused(vault, form):
    with refuses("TEMPLATE"):
        Vault.parse(of_keys(vault, "2", keys_of(3), form), Network.REGTEST)


# --- F7: descriptors, again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", OTHER_KEYS)
def test_an_internal_key_that_somebody_may_have_is_refused(vault, which):
    with refuses("TAPROOT_KEYPATH"):
        Vault.parse(with_internal(vault, OTHER_KEYS[which]), Network.REGTEST)


@pytest.mark.parametrize("seed", range(20))
def test_no_random_point_is_taken_for_the_one_that_nobody_has(vault, seed):
    point = public_key(hashlib.sha256(b"live %d" % seed).digest())
    with refuses("TAPROOT_KEYPATH"):
        Vault.parse(with_internal(vault, f"{extended(point)}/<0;1>/*"), Network.REGTEST)
    with refuses("TAPROOT_KEYPATH"):
        Vault(2, vault.cosigners, ScriptType.TR, Network.REGTEST, 0, AccountKey.parse(extended(point)))


def test_a_child_of_the_point_is_not_taken_for_the_point(vault):
    child = vault.input_fields(0, 0).internal_key
    with refuses("TAPROOT_KEYPATH"):
        Vault.parse(with_internal(vault, f"{extended(bytes([2]) + child)}/<0;1>/*"), Network.REGTEST)


def test_a_private_internal_key_is_a_secret(vault):
    private = bip32.HDKey.from_seed(bytes(32)).to_base58()
    with refuses("SECRET_MATERIAL") as caught:
        Vault.parse(with_internal(vault, f"{private}/<0;1>/*"), Network.REGTEST)
    assert private not in str(caught.error)


@pytest.mark.parametrize("claim", ["fingerprint", "key", "negated key"])
def test_a_cosigner_who_claims_the_internal_key_is_refused(vault, claim):
    first, *others = vault.cosigners
    if claim == "fingerprint":
        fake = Cosigner("", KeyOrigin(UNSPENDABLE_FINGERPRINT, first.origin.path), first.key)
    else:
        point = UNSPENDABLE if claim == "key" else bytes([3]) + UNSPENDABLE[1:]
        fake = Cosigner("", first.origin, replace(first.key, public_key=point))
    with refuses("TAPROOT_KEYPATH"):
        Vault.create(2, (fake, *others), ScriptType.TR, Network.REGTEST)


@pytest.mark.parametrize("which", OTHER_KEYS)
def test_a_charter_with_such_a_vault_is_refused_however_well_signed(forger, vault, edit, which):
    # Everybody was fooled once: the envelope is signed by all, and its digest was told by voice.
    cast = forger.cast
    entry = edit(cast.charter.vaults[0], descriptor=with_internal(vault, OTHER_KEYS[which]))
    with refuses("TAPROOT_KEYPATH"):
        charter = edit(cast.charter, vaults=(entry,))
        verify_charter(sign(charter, cast.coordinator, *cast.people.values(), cast.witness), charter.digest())


# --- F7: inputs, change, witnesses ------------------------------------------------------------------------------------


def changed(psbt: Psbt, index: int, *fields: tuple[bytes, bytes | None]) -> Psbt:
    """The PSBT with these fields of one input set, or dropped where the value is None."""
    maps = list(psbt.inputs)
    keys = {key for key, _ in fields}
    kept = [pair for pair in maps[index].pairs if pair[0] not in keys]
    maps[index] = PsbtMap([*kept, *((key, value) for key, value in fields if value is not None)])
    return Psbt(0, psbt.global_map, tuple(maps), psbt.outputs)


def test_the_honest_psbt_and_the_honest_evidence_pass(forger, stage):
    drafted = forger.draft()
    reading = forger.read(forger.psbt(drafted))
    assert [each.change for each in reading.outputs].count(0) == 1
    assert forger.judge(drafted, stage).case.fee == reading.fee


def test_an_input_that_names_another_internal_key_is_refused(forger):
    with refuses("TAPROOT_KEYPATH"):
        forger.read(with_input(forger.psbt(), 1, internal_key=EVE_KEY[1:]))


def live_leaf(forger, branch: int, index: int) -> TapLeaf:
    return TapLeaf(forger.vault.lock(branch, index).script, EVE_KEY[1:])


def test_a_coin_under_a_live_internal_key_is_not_the_vault_s(forger, stage):
    # The very script of the vault, every claim about the coin told truthfully, and a key that somebody has above it.
    leaf = live_leaf(forger, 0, 0)
    coin = forger.coin(50_000_000, 0, 0, leaf.script_pubkey)
    drafted = forger.draft(coins=(*forger.coins, coin))
    with refuses("FOREIGN_INPUT"):
        forger.judge(drafted, stage)
    psbt = forger.psbt(drafted)
    at = [spent.outpoint for spent in drafted.identity.spent].index(coin.outpoint)
    fields = leaf.input_fields()
    truthful = with_input(psbt, at, internal_key=fields.internal_key, control_block=fields.control_block)
    with refuses("FOREIGN_INPUT"):
        forger.read(truthful)


def test_another_vault_of_the_same_cosigners_is_another_vault(forger):
    # Another chain code moves every address: a coin of the one is no coin of the other.
    key = AccountKey(UNSPENDABLE, bytes(32), 0, bytes(4), 0, TPUB)
    twin = Vault(2, forger.vault.cosigners, ScriptType.TR, Network.REGTEST, 0, key)
    assert twin.id != forger.vault.id
    coin = forger.coin(50_000_000, 0, 0, twin.script_pubkey(0, 0))
    drafted = forger.draft(coins=(*forger.coins, coin))
    with refuses("FOREIGN_INPUT") as caught:
        forger.read(forger.psbt(drafted))
    assert caught.error.outpoint == coin.outpoint


@pytest.mark.parametrize("is_called_change", [True, False])
def test_change_under_a_live_internal_key_is_somebody_else_s(forger, stage, is_called_change):
    drafted = forger.draft()
    honest = forger.vault.script_pubkey(Branch.CHANGE, 0)
    script = live_leaf(forger, 1, 0).script_pubkey
    outputs = [
        TxOut(each.amount, script if each.script_pubkey == honest else each.script_pubkey)
        for each in drafted.transaction.outputs
    ]
    with refuses("OUTPUTS_NOT_REQUESTED"):
        forger.judge(forger.redrafted(drafted, outputs=outputs, change=0 if is_called_change else None), stage)
    psbt = forger.psbt(drafted)
    claimed = tuple(replace(each, internal_key=EVE_KEY[1:]) if each.key_paths else each for each in psbt.outputs)
    lying = replace(psbt, transaction=replace(psbt.transaction, outputs=tuple(outputs)), outputs=claimed)
    assert [each.change for each in forger.read(lying).outputs] == [None, None]


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("size", [64, 65])
def test_a_signature_by_the_internal_key_has_no_place_in_a_transfer(forger, direction, size):
    with refuses("FIELD_FORBIDDEN"):
        TransferPsbt.from_psbt(
            changed(forger.psbt().to_psbt(), 0, (bytes([InputField.TAP_KEY_SIG]), bytes(size))), direction
        )


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("annex", [None, b"\x50", b"\x50 a note to miners"])
@pytest.mark.parametrize("kind", ["key path", "script path"])
def test_a_final_witness_past_the_script_or_with_an_annex_is_refused(forger, kind, annex, is_alone):
    lock = forger.vault.lock(0, 0)
    stack = (bytes(64),) if kind == "key path" else lock.witness([bytes(64), bytes(64), b""])
    if annex is not None:
        stack = (*stack, annex)
    field = (bytes([InputField.FINAL_SCRIPTWITNESS]), serialize_stack(stack))
    psbt = forger.psbt().to_psbt()
    if is_alone:
        psbt = Psbt(0, psbt.global_map, (PsbtMap([psbt.inputs[0].pairs[1]]), *psbt.inputs[1:]), psbt.outputs)
    returned = changed(psbt, 0, field)
    if kind == "script path" and annex is None:
        # The honest one: a signer that finalises. It is refused later, because it signed for nobody by name.
        assert TransferPsbt.from_psbt(returned, Direction.FROM_SIGNER).inputs[0].final_witness == stack
        return
    with refuses("TAPROOT_KEYPATH"):
        TransferPsbt.from_psbt(returned, Direction.FROM_SIGNER)


# --- A1, A3, A4, A6: amounts, key paths, scripts ----------------------------------------------------------------------


@pytest.mark.parametrize("lie", [-1, 1])
def test_an_amount_that_is_one_satoshi_off_is_refused(forger, lie):
    # Every taproot signature signs every amount, but only if the signer looks: the rule is the same for all scripts.
    psbt = forger.psbt()
    told = psbt.inputs[0].witness_utxo
    with refuses("UTXO_CONFLICT"):
        forger.read(with_input(psbt, 0, witness_utxo=TxOut(told.amount + lie, told.script_pubkey)))
    with refuses("PREVTX_MISSING"):
        forger.read(with_input(psbt, 1, previous_transaction=b""))


def permuted(psbt: TransferPsbt, index: int, paths) -> Psbt:
    made = psbt.to_psbt()
    prefix = bytes([InputField.TAP_BIP32_DERIVATION])
    others = [pair for pair in made.inputs[index].pairs if pair[0][:1] != prefix]
    maps = list(made.inputs)
    maps[index] = PsbtMap([*others, *((prefix + key, bytes(path)) for key, path in paths)])
    return Psbt(0, made.global_map, tuple(maps), made.outputs)


def test_a_foreign_key_among_the_vault_s_is_refused_wherever_it_stands(forger):
    psbt = forger.psbt()
    own = tuple(psbt.inputs[0].key_paths)
    assert len(own) == 4
    foreign = (EVE_KEY[1:], TapKeyPath(b"\xde\xad\xbe\xef", own[0][1].path, psbt.inputs[0].merkle_root))
    for paths in itertools.permutations([*own, foreign]):
        with refuses("PATH_MISMATCH"):
            forger.read(permuted(psbt, 0, paths))


def test_a_live_key_in_the_place_of_the_internal_one_is_refused_in_every_order(forger):
    psbt = forger.psbt()
    internal = psbt.inputs[0].internal_key
    own = [(key, path) for key, path in psbt.inputs[0].key_paths if key != internal]
    fake = (EVE_KEY[1:], dict(psbt.inputs[0].key_paths)[internal])
    for paths in itertools.permutations([*own, fake]):
        with refuses("PATH_MISMATCH"):
            forger.read(permuted(psbt, 0, paths))


PLACES = {
    "one cosigner at another index": lambda path, at: (0, 777) if at == 1 else path[-2:],
    "a third branch": lambda _path, _at: (2, 0),
    "no index": lambda _path, _at: (0,),
    "the internal key alone at another index": lambda path, at: (0, 1) if at == 3 else path[-2:],
}


@pytest.mark.parametrize("which", PLACES)
def test_keys_that_do_not_sit_at_one_known_place_are_refused(forger, which):
    psbt = forger.psbt()
    internal = psbt.inputs[0].internal_key
    ordered = sorted(psbt.inputs[0].key_paths, key=lambda each: each[0] == internal)
    paths = tuple(
        (key, TapKeyPath(path.fingerprint, (*path.path[:-2], *PLACES[which](path.path, at)), *path.leaf_hashes))
        for at, (key, path) in enumerate(ordered)
    )
    with refuses("PATH_MISMATCH"):
        forger.read(with_input(psbt, 0, key_paths=tuple(sorted(paths))))


@pytest.mark.parametrize("leaf_hashes", [(), (bytes(32),)])
def test_a_key_said_to_stand_in_another_script_is_refused(forger, leaf_hashes):
    psbt = forger.psbt()
    internal = psbt.inputs[0].internal_key
    paths = tuple(
        (key, path if key == internal else TapKeyPath(path.fingerprint, path.path, *leaf_hashes))
        for key, path in psbt.inputs[0].key_paths
    )
    with refuses("PATH_MISMATCH"):
        forger.read(with_input(psbt, 0, key_paths=paths))


def other_scripts(forger) -> dict[str, bytes]:
    keys = list(forger.vault.holders(0, 0))
    return {
        "a lower threshold": multisig_a_script(1, keys),
        "a higher threshold": multisig_a_script(3, keys),
        "keys in another order": multisig_a_script(2, keys[::-1]),
        "one key swapped": multisig_a_script(2, sorted([*keys[:-1], EVE_KEY[1:]])),
        "another place": forger.vault.lock(0, 1).script,
        "a byte more": forger.vault.lock(0, 0).script + b"\x51",
    }


OTHER_SCRIPTS = (
    "a lower threshold",
    "a higher threshold",
    "keys in another order",
    "one key swapped",
    "another place",
    "a byte more",
)


@pytest.mark.parametrize("which", OTHER_SCRIPTS)
def test_a_leaf_that_is_not_the_vault_s_own_is_refused(forger, which):
    scripts = other_scripts(forger)
    assert tuple(scripts) == OTHER_SCRIPTS
    script = scripts[which]
    with refuses("SCRIPT_MISMATCH"):
        forger.read(with_input(forger.psbt(), 0, leaf_script=script, merkle_root=tap_leaf_hash(script)))


@pytest.mark.parametrize(
    "lie",
    [
        {"control_block": b"\xc0" + EVE_KEY[1:]},
        {"control_block": b"\xc1" + EVE_KEY[1:]},
        {"leaf_script": b"", "control_block": b""},
        {"internal_key": b""},
    ],
)
def test_what_commits_to_the_leaf_is_the_vault_s_own(forger, lie):
    with refuses("SCRIPT_MISMATCH"):
        forger.read(with_input(forger.psbt(), 0, **lie))


def test_the_fields_of_another_script_type_are_refused(forger, forger_of):
    # wsh fields on a tr coin, and tr fields on a wsh coin: the same keys, the same place.
    plain = forger_of(make_cast(Setting(script_type=ScriptType.WSH)))
    for victim, other in ((forger, plain), (plain, forger)):
        psbt = victim.psbt()
        told = replace(
            other.vault.input_fields(0, 0),
            previous_transaction=psbt.inputs[0].previous_transaction,
            witness_utxo=psbt.inputs[0].witness_utxo,
        )
        with refuses("PATH_MISMATCH"):
            victim.read(replace(psbt, inputs=(told, *psbt.inputs[1:])))


def frauds(forger) -> dict[str, bytes]:
    """Scripts that look like this vault's change at index 0 and are not."""
    vault = forger.vault
    keys = list(vault.holders(Branch.CHANGE, 0))
    internal = vault.output_fields(Branch.CHANGE, 0).internal_key
    compressed = sorted(vault.public_keys(Branch.CHANGE, 0))

    def tap(script: bytes, key: bytes = internal) -> bytes:
        return TapLeaf(script, key).script_pubkey

    honest = multisig_a_script(2, keys)
    return {
        "keys in another order": tap(multisig_a_script(2, keys[::-1])),
        "one key swapped": tap(multisig_a_script(2, sorted([*keys[:-1], EVE_KEY[1:]]))),
        "a key added": tap(multisig_a_script(2, sorted([*keys, EVE_KEY[1:]]))),
        "a lower threshold": tap(multisig_a_script(1, keys)),
        "a higher threshold": tap(multisig_a_script(3, keys)),
        "a cosigner's key above the script": tap(honest, keys[0]),
        "the point itself above the script": tap(honest, UNSPENDABLE[1:]),
        "the internal key of another place": tap(honest, vault.output_fields(Branch.CHANGE, 1).internal_key),
        "a cosigner's key alone": p2tr(keys[0]),
        "a cosigner's key without a script": p2tr(output_key(keys[0], b"")[0]),
        "the internal key untweaked": p2tr(internal),
        "the same keys in wsh": p2wsh(multisig_script(2, compressed)),
        "the vault's own receive branch": vault.script_pubkey(Branch.RECEIVE, 0),
        "the next index but one": vault.script_pubkey(Branch.CHANGE, 1),
    }


FRAUDS = (
    "keys in another order",
    "one key swapped",
    "a key added",
    "a lower threshold",
    "a higher threshold",
    "a cosigner's key above the script",
    "the point itself above the script",
    "the internal key of another place",
    "a cosigner's key alone",
    "a cosigner's key without a script",
    "the internal key untweaked",
    "the same keys in wsh",
    "the vault's own receive branch",
    "the next index but one",
)


def test_every_fraud_differs_from_the_change_it_looks_like(forger):
    scripts = frauds(forger)
    assert tuple(scripts) == FRAUDS
    assert len({forger.vault.script_pubkey(Branch.CHANGE, 0), *scripts.values()}) == len(scripts) + 1


@pytest.mark.parametrize("which", FRAUDS)
def test_what_only_claims_to_be_change_is_somebody_else_s(forger, stage, which):
    drafted = forger.draft()
    honest = forger.vault.script_pubkey(Branch.CHANGE, 0)
    outputs = [
        TxOut(each.amount, frauds(forger)[which] if each.script_pubkey == honest else each.script_pubkey)
        for each in drafted.transaction.outputs
    ]
    psbt = forger.psbt(drafted)
    reading = forger.read(replace(psbt, transaction=replace(psbt.transaction, outputs=tuple(outputs))))
    assert [each.change for each in reading.outputs] == [None, None]
    with refuses("OUTPUTS_NOT_REQUESTED"):
        forger.judge(forger.redrafted(drafted, outputs=outputs), stage)
