"""Taproot signatures under attack (THREATS A8, B6, B7 as far as taproot differs): hash types, what comes back.

Every file carries true signatures on what was sent, so what refuses it is the check for the one thing that differs.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from custody.backends.kernel import KernelJudge
from custody.bitcoin.curve import ORDER, public_key, sign_schnorr
from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import InputField, OutputField
from custody.bitcoin.script import p2tr
from custody.bitcoin.serialize import serialize_stack
from custody.bitcoin.sighash import Taproot
from custody.bitcoin.transaction import TxOut
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast, secret
from custody.transfer.signing import CombinedPsbt, InputSignature, SignedPsbt, accept, combine
from custody.transfer.verify import finalize, refuse_other_transaction
from custody.vault.templates import ScriptType

EVE = secret("eve")
EVE_KEY = public_key(EVE)


@pytest.fixture(scope="module")
def forger(forger_of):
    return forger_of(make_cast(Setting(script_type=ScriptType.TR)))


def changed(psbt: Psbt, index: int, *fields: tuple[bytes, bytes | None]) -> Psbt:
    """The PSBT with these fields of one input set, or dropped where the value is None."""
    maps = list(psbt.inputs)
    keys = {key for key, _ in fields}
    kept = [pair for pair in maps[index].pairs if pair[0] not in keys]
    maps[index] = PsbtMap([*kept, *((key, value) for key, value in fields if value is not None)])
    return Psbt(0, psbt.global_map, tuple(maps), psbt.outputs)


def key_of_first(forger, drafted, index: int) -> tuple[bytes, bytes]:
    """The first cosigner's key at an input, x-only, and its secret."""
    seat, cosigner = drafted.seats[index], forger.vault.cosigners[0]
    own = forger.cast.signers[0]._node((*cosigner.origin.path, seat.branch, seat.index))
    assert forger.vault.holders(seat.branch, seat.index)[own.public_key[1:]] == cosigner
    return own.public_key[1:], own.secret


# --- A8: hash types ---------------------------------------------------------------------------------------------------


HASH_TYPES = [0x00, 0x01, 0x02, 0x03, 0x81, 0x82, 0x83, 0x04, 0x41, 0xFF]
KNOWN = {0x01, 0x02, 0x03, 0x81, 0x82, 0x83}


@pytest.mark.parametrize("hash_type", HASH_TYPES[1:])
@pytest.mark.parametrize("direction", list(Direction))
def test_a_wish_for_another_hash_type_is_refused(forger, hash_type, direction):
    field = (bytes([InputField.SIGHASH_TYPE]), hash_type.to_bytes(4, "little"))
    with refuses("SIGHASH_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(changed(forger.psbt().to_psbt(), 1, field), direction)
    assert caught.error.hash_type == hash_type


@pytest.mark.parametrize("hash_type", HASH_TYPES)
@pytest.mark.parametrize("field", [None, bytes(4)])
def test_a_true_signature_that_writes_its_hash_type_is_refused(forger, hash_type, field):
    # It verifies on the digest of its own hash type; 00 written out is the honest signature in a spelling of its own.
    drafted = forger.draft()
    psbt = changed(forger.psbt(drafted).to_psbt(), 0, (bytes([InputField.SIGHASH_TYPE]), field))
    spent = [each.output for each in drafted.identity.spent]
    seat = drafted.seats[0]
    leaf_hash = forger.psbt(drafted).inputs[0].merkle_root
    key, own = key_of_first(forger, drafted, 0)
    known = hash_type if hash_type in KNOWN else 0
    digest = Taproot(drafted.transaction, spent).digest(0, known, leaf_hash=leaf_hash)
    signature = sign_schnorr(own, digest) + bytes([hash_type])
    partial = (bytes([InputField.TAP_SCRIPT_SIG]) + key + leaf_hash, signature)
    stack = forger.vault.lock(seat.branch, seat.index).witness([signature, signature, b""])
    final = (bytes([InputField.FINAL_SCRIPTWITNESS]), serialize_stack(stack))
    for each in (partial, final):
        with refuses("SIGHASH_FORBIDDEN") as caught:
            TransferPsbt.from_psbt(changed(psbt, 0, each), Direction.FROM_SIGNER)
        assert caught.error.hash_type == hash_type


# --- B6: what comes back ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signed(forger):
    """A draft, and what each of the three cosigners' devices gives back for it."""
    drafted = forger.draft()
    psbt = forger.psbt(drafted).to_psbt()
    return drafted, [signer.sign(psbt) for signer in forger.cast.signers]


@pytest.fixture
def receives(forger, signed):
    drafted, _ = signed
    sent = forger.psbt(drafted)

    def receive(returned: Psbt) -> tuple[SignedPsbt, ...]:
        return accept(Psbt.parse(returned.serialize()), sent, drafted, forger.vault, 0)

    return receive


def combined(forger, drafted, files) -> CombinedPsbt:
    sent = forger.psbt(drafted)
    answers = [accept(each, sent, drafted, forger.vault, 0)[0] for each in files]
    return combine(drafted, forger.vault, answers, 0)


def test_the_honest_files_are_taken_and_any_two_of_them_make_a_valid_transaction(forger, signed, receives):
    drafted, files = signed
    for signer, each in zip(forger.cast.signers, files, strict=True):
        (answer,) = receives(each)
        assert answer.cosigner == signer.fingerprint
        assert [(given.input, len(given.public_key), len(given.signature)) for given in answer.signatures] == [
            (0, 32, 64),
            (1, 32, 64),
        ]
    spent = [each.output for each in drafted.identity.spent]
    for pair in itertools.permutations(files, 2):
        finished = finalize(combined(forger, drafted, pair), drafted, forger.vault)
        refuse_other_transaction(finished.serialize(), drafted)
        assert KernelJudge().judge(finished.serialize(), spent) is None
        assert [[len(item) for item in stack].count(64) for stack in finished.witness] == [2, 2]
        assert [stack.count(b"") for stack in finished.witness] == [1, 1]


def test_an_annex_on_the_finished_transaction_is_refused_by_the_judge(forger, signed):
    drafted, files = signed
    finished = finalize(combined(forger, drafted, files), drafted, forger.vault)
    spent = [each.output for each in drafted.identity.spent]
    assert KernelJudge().judge(finished.serialize(), spent) is None
    annexed = replace(finished, witness=((*finished.witness[0], b"\x50"), *finished.witness[1:]))
    # It is the approved transaction still, by its txid and its stripped bytes: only signatures tell.
    refuse_other_transaction(annexed.serialize(), drafted)
    assert "input 0" in KernelJudge().judge(annexed.serialize(), spent)


TAMPERED = {
    "internal key": (InputField.TAP_INTERNAL_KEY, b"", EVE_KEY[1:]),
    "control block": (InputField.TAP_LEAF_SCRIPT, b"\xc0" + EVE_KEY[1:], None),
    "key path of a stranger": (InputField.TAP_BIP32_DERIVATION, EVE_KEY[1:], b"\x00" + KeyPath(b"abcd", (0, 0))),
    "amount": (InputField.WITNESS_UTXO, b"", TxOut(60_000_001, p2tr(EVE_KEY[1:])).serialize()),
}


@pytest.mark.parametrize("which", TAMPERED)
def test_a_file_that_was_changed_in_anything_but_signatures_is_refused(signed, receives, which):
    kind, key, value = TAMPERED[which]
    file = signed[1][0]
    fields: list[tuple[bytes, bytes | None]] = [(bytes([kind]) + key, value)]
    if kind is InputField.TAP_LEAF_SCRIPT:
        ((own, leaf),) = file.inputs[0].of_type(kind)
        fields = [(bytes([kind]) + own, None), (bytes([kind]) + key, leaf)]
    with refuses("COSIGNER_ALTERED"):
        receives(changed(file, 0, *fields))


def test_fields_that_a_device_drops_are_no_alteration(signed, receives):
    file = signed[1][0]
    kept = {InputField.TAP_SCRIPT_SIG, InputField.NON_WITNESS_UTXO}
    bare = tuple(PsbtMap([pair for pair in each.pairs if pair[0][0] in kept]) for each in file.inputs)
    outputs = tuple(PsbtMap() for _ in file.outputs)
    assert receives(Psbt(0, file.global_map, bare, outputs)) == receives(file)


def test_a_changed_change_output_is_refused(signed, receives):
    file = signed[1][0]
    at = next(index for index, each in enumerate(file.outputs) if each.pairs)
    outputs = list(file.outputs)
    for kind, value in (
        (OutputField.TAP_INTERNAL_KEY, EVE_KEY[1:]),
        (OutputField.TAP_TREE, b"\x00\xc0\x01\x51"),
    ):
        kept = [pair for pair in file.outputs[at].pairs if pair[0][0] != kind]
        outputs[at] = PsbtMap([*kept, (bytes([kind]), value)])
        with refuses("COSIGNER_ALTERED"):
            receives(Psbt(0, file.global_map, file.inputs, tuple(outputs)))


def signatures_of(file: Psbt) -> list[tuple[bytes, bytes]]:
    return [each.of_type(InputField.TAP_SCRIPT_SIG)[0] for each in file.inputs]


def with_signature(file: Psbt, index: int, key: bytes, signature: bytes | None) -> Psbt:
    return changed(file, index, (bytes([InputField.TAP_SCRIPT_SIG]) + key, signature))


def test_a_signature_that_is_not_one_is_refused(signed, receives):
    _, (first, second, _) = signed
    (key, signature), (_, other) = signatures_of(first)
    _, stolen = signatures_of(second)[0]
    negated = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    for wrong in (other, stolen, bytes(64), negated, signature[32:] + signature[:32], b"\xff" * 64):
        with refuses("SIG_INVALID"):
            receives(with_signature(first, 0, key, wrong))


def test_a_signature_by_nobody_s_key_is_refused(forger, signed, receives):
    drafted, (first, *_) = signed
    spent = [each.output for each in drafted.identity.spent]
    root = signatures_of(first)[0][0][32:]
    digest = Taproot(drafted.transaction, spent).digest(0, leaf_hash=root)
    internal = forger.psbt(drafted).inputs[0].internal_key
    for key in (EVE_KEY[1:], internal):
        with refuses("SIG_INVALID"):
            receives(with_signature(first, 0, key + root, sign_schnorr(EVE, digest)))


def test_a_signature_for_another_script_is_refused(signed, receives):
    file = signed[1][0]
    key, signature = signatures_of(file)[0]
    elsewhere = changed(
        file,
        0,
        (bytes([InputField.TAP_SCRIPT_SIG]) + key, None),
        (bytes([InputField.TAP_SCRIPT_SIG]) + key[:32] + bytes(32), signature),
    )
    with refuses("FIELD_FORBIDDEN"):
        receives(elsewhere)


def test_a_signature_that_covers_other_amounts_is_refused(forger, signed, receives):
    # What a signer that believed a wrong amount of the other input would have signed.
    drafted, (first, *_) = signed
    key, _ = signatures_of(first)[0]
    spent = [each.output for each in drafted.identity.spent]
    lied = [spent[0], TxOut(spent[1].amount - 1, spent[1].script_pubkey)]
    _, own = key_of_first(forger, drafted, 0)
    digest = Taproot(drafted.transaction, lied).digest(0, leaf_hash=key[32:])
    with refuses("SIG_INVALID"):
        receives(with_signature(first, 0, key, sign_schnorr(own, digest)))


def test_a_missing_signature_on_one_input_is_refused(signed, receives):
    file = signed[1][0]
    with refuses("COSIGNER_ALTERED"):
        receives(with_signature(file, 1, signatures_of(file)[1][0], None))


def test_exactly_k_signatures_finalize(forger, signed):
    drafted, files = signed
    made = combined(forger, drafted, files[:2])
    third = accept(files[2], forger.psbt(drafted), drafted, forger.vault, 0)[0]
    everyone = tuple(sorted((*made.signatures, *third.signatures), key=lambda each: (each.input, each.public_key)))
    for signatures in (everyone, made.signatures[:-1], ()):
        with refuses("SIGNATURES_MISSING"):
            finalize(_with(made, signatures), drafted, forger.vault)


def test_a_logged_signature_is_not_believed(forger, signed):
    drafted, files = signed
    made = combined(forger, drafted, files[:2])
    first, *others = made.signatures
    for signature in (first.signature + b"\x00", first.signature + b"\x01", bytes(64), first.signature[:-1]):
        wrong = InputSignature(input=first.input, public_key=first.public_key, signature=signature)
        with refuses("SIG_INVALID"):
            finalize(_with(made, (wrong, *others)), drafted, forger.vault)


def _with(made: CombinedPsbt, signatures: tuple[InputSignature, ...]) -> CombinedPsbt:
    return CombinedPsbt(transfer=made.transfer, cosigners=made.cosigners, signatures=signatures, at=made.at)
