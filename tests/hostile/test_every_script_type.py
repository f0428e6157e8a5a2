"""The same lies to a vault of each script type (THREATS A1, A4, A6, A8, A11, B6, F2): none of them is a back door.

The other files of this folder ask most of their questions of `wsh` vaults, and of `tr` where it differs. Here the
attacker owns the coordinator or one cosigner's device, and tries the vault in each of its wrappings.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody.backends.kernel import KernelJudge
from custody.bitcoin.key_paths import KeyPath, TapKeyPath
from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import InputField
from custody.bitcoin.script import p2sh, push
from custody.bitcoin.transaction import Transaction, TxOut
from custody.examine.evidence import Stage
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, SUPPLIER, Setting, make_cast, vault_of
from custody.transfer.draft import Draft
from custody.transfer.signing import CombinedPsbt, accept, combine
from custody.transfer.verify import finalize, refuse_other_transaction
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType

from .altered import with_input

NAMES = Setting().cosigners
OTHER = {ScriptType.WSH: ScriptType.SH_WSH, ScriptType.SH_WSH: ScriptType.TR, ScriptType.TR: ScriptType.WSH}


@pytest.fixture(scope="module", params=list(ScriptType), ids=str)
def forger(forger_of, request):
    return forger_of(make_cast(Setting(script_type=request.param)))


def with_field(psbt: Psbt, index: int, key: bytes, value: bytes | None) -> Psbt:
    """The PSBT with one field of one input set, or dropped where the value is None."""
    maps = list(psbt.inputs)
    kept = [pair for pair in maps[index].pairs if pair[0] != key]
    maps[index] = PsbtMap(kept if value is None else [*kept, (key, value)])
    return Psbt(0, psbt.global_map, tuple(maps), psbt.outputs)


def test_the_honest_transfer_passes(forger, stage):
    drafted = forger.draft()
    assert forger.read(forger.psbt(drafted)).fee == forger.judge(drafted, stage).case.fee


# --- A1: amounts ------------------------------------------------------------------------------------------------------


def test_amounts_without_proof_are_refused(forger, stage, edit):
    drafted, psbt = forger.draft(), forger.psbt()
    told = psbt.inputs[0].witness_utxo
    for lie, code in (
        ({"witness_utxo": TxOut(told.amount - 1, told.script_pubkey)}, "UTXO_CONFLICT"),
        ({"witness_utxo": TxOut(told.amount + 1, told.script_pubkey)}, "UTXO_CONFLICT"),
        ({"previous_transaction": b""}, "PREVTX_MISSING"),
        ({"previous_transaction": psbt.inputs[1].previous_transaction}, "PREVTX_TXID"),
    ):
        with refuses(code):
            forger.read(with_input(psbt, 0, **lie))
    first, *others = drafted.identity.spent
    with refuses("UTXO_CONFLICT"):
        forger.judge(forger.redrafted(drafted, spent=(edit(first, amount=first.amount + 1), *others)), stage)


def test_an_own_signer_is_not_fooled_either(forger):
    # The station's examination is not the last word: a key file that is handed a lying PSBT signs nothing.
    psbt, signer = forger.psbt(), forger.cast.signers[0]
    told = psbt.inputs[1].witness_utxo
    for lie, code in (
        ({"witness_utxo": TxOut(told.amount - 1, told.script_pubkey)}, "UTXO_CONFLICT"),
        ({"previous_transaction": b""}, "PREVTX_MISSING"),
    ):
        with refuses(code):
            signer.sign(with_input(psbt, 1, **lie).to_psbt())


# --- A4, A6, A11: places, scripts, coins of others --------------------------------------------------------------------


def test_one_cosigner_s_key_at_another_index_than_the_others_is_refused(forger):
    # Trezor #4351: the others at 1/5, one at 1/777, and whoever has that one asks for a ransom.
    coin = forger.coin(50_000_000, Branch.CHANGE, 5)
    psbt = forger.psbt(forger.draft(coins=(coin, *forger.coins)))
    at = next(index for index, each in enumerate(psbt.inputs) if each.witness_utxo.amount == coin.amount)
    assert forger.read(psbt).inputs[at].index == 5
    own = dict(psbt.inputs[at].key_paths)
    for key, holder in forger.vault.holders(Branch.CHANGE, 5).items():
        path = own[key]
        steps = (*path.path[:-1], 777)
        far = (
            TapKeyPath(path.fingerprint, steps, *path.leaf_hashes)
            if isinstance(path, TapKeyPath)
            else KeyPath(path.fingerprint, steps)
        )
        with refuses("PATH_MISMATCH"):
            forger.read(with_input(psbt, at, key_paths=tuple(sorted((own | {key: far}).items()))))
        assert holder.fingerprint == path.fingerprint


def test_the_fields_of_another_script_type_are_refused(forger):
    # The same cosigners, the same place, another wrapping: scripts that hash to something, but not to this coin.
    other, _ = vault_of(NAMES, 2, OTHER[forger.vault.script_type])
    psbt = forger.psbt()
    told = replace(
        other.input_fields(0, 0),
        previous_transaction=psbt.inputs[0].previous_transaction,
        witness_utxo=psbt.inputs[0].witness_utxo,
    )
    with refuses("PATH_MISMATCH"):
        forger.read(replace(psbt, inputs=(told, *psbt.inputs[1:])))
    own_paths = replace(told, key_paths=psbt.inputs[0].key_paths)
    is_mixed = ScriptType.TR in {forger.vault.script_type, other.script_type}
    with refuses("FIELD_FORBIDDEN" if is_mixed else "SCRIPT_MISMATCH"):
        forger.read(replace(psbt, inputs=(own_paths, *psbt.inputs[1:])))


def test_a_coin_of_the_same_cosigners_in_another_wrapping_is_foreign(forger, stage):
    for script_type in set(ScriptType) - {forger.vault.script_type}:
        other, _ = vault_of(NAMES, 2, script_type)
        coin = forger.coin(50_000_000, 0, 0, other.script_pubkey(0, 0))
        drafted = forger.draft(coins=(*forger.coins, coin))
        with refuses("FOREIGN_INPUT") as caught:
            forger.judge(drafted, stage)
        assert caught.error.outpoint == coin.outpoint


def test_change_in_another_wrapping_is_somebody_else_s(forger, stage):
    own = forger.vault.script_pubkey(Branch.CHANGE, 0)
    scripts = [vault_of(NAMES, 2, each)[0].script_pubkey(Branch.CHANGE, 0) for each in ScriptType]
    scripts.append(p2sh(own))
    drafted = forger.draft()
    for script in set(scripts) - {own}:
        outputs = [
            TxOut(each.amount, script if each.script_pubkey == own else each.script_pubkey)
            for each in drafted.transaction.outputs
        ]
        for change in (0, None):
            with refuses("OUTPUTS_NOT_REQUESTED"):
                forger.judge(forger.redrafted(drafted, outputs=outputs, change=change), stage)


def test_a_transaction_that_brings_the_right_script_sig_is_another_name_and_refused(forger, stage, edit):
    # In sh(wsh) it is the very push that the finished transaction will carry, so nothing of it looks wrong.
    drafted = forger.draft()
    lock = forger.vault.lock(0, 0)
    first, *rest = drafted.transaction.inputs
    script_sig = lock.script_sig or push(lock.script_pubkey)
    raw = replace(drafted.transaction, inputs=(replace(first, script_sig=script_sig), *rest)).serialize()
    with refuses("SPENT_MISMATCH"):
        forger.judge(edit(drafted, identity=edit(drafted.identity, transactions=(raw,))), stage)


# --- A8: hash types, every one ----------------------------------------------------------------------------------------


def allowed(forger) -> int:
    return 0 if forger.vault.script_type is ScriptType.TR else 1


@pytest.mark.parametrize("direction", list(Direction))
def test_of_all_hash_types_a_field_may_wish_for_one(forger, direction):
    psbt = forger.psbt().to_psbt()
    # And of the wider ones those whose last byte looks right.
    for hash_type in (*range(256), 0x100, 0x101, 0x0101_0001, 0x8000_0001, 0xFFFF_FF01, 0xFFFF_FFFF):
        asked = with_field(psbt, 1, bytes([InputField.SIGHASH_TYPE]), hash_type.to_bytes(4, "little"))
        if hash_type == allowed(forger):
            assert TransferPsbt.from_psbt(asked, direction).inputs[1].sighash_type == hash_type
            continue
        with refuses("SIGHASH_FORBIDDEN") as caught:
            TransferPsbt.from_psbt(asked, direction)
        assert caught.error.hash_type == hash_type


def test_of_all_last_bytes_a_signature_may_have_one(forger, signed):
    drafted, files = signed
    sent = forger.psbt(drafted)
    fields = files[0].inputs[0].pairs
    key, good = next(each for each in fields if each[0][0] in {InputField.PARTIAL_SIG, InputField.TAP_SCRIPT_SIG})
    body = good if forger.vault.script_type is ScriptType.TR else good[:-1]
    for last in range(256):
        returned = with_field(files[0], 0, key, body + bytes([last]))
        if body + bytes([last]) == good:
            assert accept(returned, sent, drafted, forger.vault, 0)
            continue
        with refuses("SIGHASH_FORBIDDEN") as caught:
            accept(returned, sent, drafted, forger.vault, 0)
        assert caught.error.hash_type == last


# --- B6: what one cosigner's device returns ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signed(forger) -> tuple[Draft, list[Psbt]]:
    """A draft, and what each of the three cosigners' devices gives back for it."""
    drafted = forger.draft()
    psbt = forger.psbt(drafted).to_psbt()
    return drafted, [signer.sign(psbt) for signer in forger.cast.signers]


def test_a_true_signature_on_another_transaction_of_the_same_coins_is_refused(forger, signed):
    # A device that shows one payee and signs another, its answer moved into the file that was sent.
    drafted, files = signed
    at = next(i for i, each in enumerate(drafted.transaction.outputs) if each.amount == 70_000_000)
    outputs = list(drafted.transaction.outputs)
    outputs[at] = TxOut(69_999_999, outputs[at].script_pubkey)
    other = forger.redrafted(drafted, outputs=outputs)
    elsewhere = forger.cast.signers[0].sign(forger.psbt(other).to_psbt())
    with refuses("COSIGNER_ALTERED"):
        accept(elsewhere, forger.psbt(drafted), drafted, forger.vault, 0)
    moved = Psbt(0, files[0].global_map, elsewhere.inputs, files[0].outputs)
    with refuses("SIG_INVALID"):
        accept(moved, forger.psbt(drafted), drafted, forger.vault, 0)


def test_a_signature_in_the_other_kind_of_field_is_refused(forger, signed):
    # ECDSA where Schnorr belongs, and the other way round: by a true key, in a field that the vault's lock has not.
    drafted, files = signed
    own = {False: InputField.TAP_SCRIPT_SIG, True: InputField.PARTIAL_SIG}[forger.vault.script_type is ScriptType.TR]
    size = {InputField.TAP_SCRIPT_SIG: 64, InputField.PARTIAL_SIG: 33}[own]
    good = next(key for key in forger.vault.public_keys(0, 0))
    key = bytes([own]) + (good if size == 33 else good[1:] + bytes(32))
    value = bytes(64) if size == 64 else bytes.fromhex("3006020101020101") + b"\x01"
    bare = with_field(files[0], 0, key, value)
    with refuses("FIELD_FORBIDDEN"):
        accept(bare, forger.psbt(drafted), drafted, forger.vault, 0)
    # The device drops everything that would say which kind the input is.
    lonely = Psbt(0, bare.global_map, (PsbtMap([(key, value)]), *files[0].inputs[1:]), files[0].outputs)
    with refuses("SIG_INVALID" if forger.vault.script_type is ScriptType.TR else "COSIGNER_ALTERED"):
        accept(lonely, forger.psbt(drafted), drafted, forger.vault, 0)


def test_any_two_cosigners_finish_what_was_approved_and_nothing_else_passes_for_it(forger, signed):
    drafted, files = signed
    sent = forger.psbt(drafted)
    made = combine(drafted, forger.vault, [accept(each, sent, drafted, forger.vault, 0)[0] for each in files[:2]], 0)
    finished = finalize(made, drafted, forger.vault)
    spent = [each.output for each in drafted.identity.spent]
    assert KernelJudge().judge(finished.serialize(), spent) is None
    for other in (
        replace(finished, outputs=finished.outputs[::-1]),
        replace(finished, locktime=finished.locktime - 1),
        replace(finished, version=1),
        replace(finished, inputs=finished.inputs[::-1], witness=finished.witness[::-1]),
    ):
        with refuses("STATE_CHANGED"):
            refuse_other_transaction(other.serialize(), drafted)
        assert KernelJudge().judge(other.serialize(), spent) is not None


def test_three_signatures_or_one_cosigner_s_twice_do_not_finish(forger, signed):
    drafted, files = signed
    sent = forger.psbt(drafted)
    first, second, third = (accept(each, sent, drafted, forger.vault, 0)[0] for each in files)
    with refuses("SIGNATURES_MISSING"):
        combine(drafted, forger.vault, [first, first], 0)
    made = combine(drafted, forger.vault, [first, second], 0)
    for signatures in ((*made.signatures, *third.signatures), first.signatures):
        with refuses("SIGNATURES_MISSING"):
            finalize(
                CombinedPsbt(transfer=made.transfer, cosigners=made.cosigners, signatures=signatures, at=0),
                drafted,
                forger.vault,
            )


# --- F2: replacement groups -------------------------------------------------------------------------------------------


def signing(forger):
    """A log in which signatures on a first transfer, of the vault's first two coins, were asked for."""
    log, request = forger.log(), forger.request()
    first = forger.draft(request)
    forger.evidence(first, Stage.SIGN, log=log, request=request)
    return log, first


def replacing(forger, coins, *replaced: bytes, number: int) -> tuple[Draft, object]:
    """A draft of these coins that replaces transfers, with its change at index `number`; and its request."""
    request = forger.request((SUPPLIER, 70_000_000), replaces=replaced, nonce=bytes([number]) * 16)
    drafted = forger.draft(request, coins=coins)
    old, new = (forger.vault.script_pubkey(Branch.CHANGE, index) for index in (0, number))
    outputs = [
        TxOut(each.amount, new if each.script_pubkey == old else each.script_pubkey)
        for each in drafted.transaction.outputs
    ]
    return forger.redrafted(drafted, outputs=outputs, change=number), request


@pytest.mark.parametrize("is_honest", [False, True])
def test_a_third_conflicts_with_the_second_as_well_or_is_refused(forger, stage, is_honest):
    # T1 spends a and b, T2 replaces it with a. T3 names T1 and spends b: T2 and T3 could both confirm, counted once.
    log, first = signing(forger)
    fresh = [forger.coin(90_000_000, 0, 20 + number) for number in range(2)]
    second, request = replacing(forger, (forger.coins[0], fresh[0]), first.transfer_id, number=1)
    forger.evidence(second, Stage.SIGN, log=log, request=request)
    coins = forger.coins if is_honest else (forger.coins[1], fresh[1])
    third, request = replacing(forger, coins, first.transfer_id, number=2)
    if is_honest:
        assert forger.judge(third, stage, log=log, request=request)
        return
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(third, stage, log=log, request=request)
    assert caught.error.__cause__.code == "REPLACE_NO_CONFLICT"


@pytest.mark.parametrize("beside", [True, False])
def test_a_replacement_of_what_nobody_knows_is_refused(forger, stage, beside):
    log, first = signing(forger)
    named = sorted({bytes(31) + b"\x01", *([first.transfer_id] if beside else [])})
    drafted, request = replacing(forger, forger.coins, *named, number=1)
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(drafted, stage, log=log, request=request)
    assert caught.error.__cause__.code == "TRANSFER_UNKNOWN"


def test_one_replacement_of_two_transfers_that_could_both_confirm_is_refused(forger, stage):
    # T1 and T2 share no coin. A T3 that conflicts with both, and counts with one of them, would hide the other.
    log, first = signing(forger)
    other = forger.coin(90_000_000, 0, 40)
    second, request = replacing(forger, (other,), number=1)
    forger.evidence(second, Stage.SIGN, log=log, request=request)
    coins = (forger.coins[0], other)
    third, request = replacing(forger, coins, *sorted((first.transfer_id, second.transfer_id)), number=2)
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(third, stage, log=log, request=request)
    assert "do not conflict with each other" in str(caught.error)


def test_a_transfer_that_shares_a_coin_without_naming_what_it_replaces_is_refused(forger, stage):
    log, _ = signing(forger)
    drafted, request = replacing(forger, (forger.coins[0], forger.coin(50_000_000, 0, 30)), number=1)
    with refuses("HISTORY_INVALID"):
        forger.judge(drafted, stage, log=log, request=request)


def test_the_first_one_s_approvals_are_none_for_its_replacement(forger):
    log, first = signing(forger)
    second, request = replacing(forger, forger.coins, first.transfer_id, number=1)
    old = [forger.approval(first, name) for name in OFFICERS[:2]]
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(second, log=log, request=request, approvals=old)
    assert caught.error.entry == "approved"


def test_signatures_for_the_first_one_are_none_for_its_replacement(forger):
    _, first = signing(forger)
    second, _ = replacing(forger, forger.coins, first.transfer_id, number=1)
    assert first.outpoints == second.outpoints
    answer, sent = forger.cast.signers[0].sign(forger.psbt(first).to_psbt()), forger.psbt(second)
    with refuses("COSIGNER_ALTERED"):
        accept(answer, sent, second, forger.vault, 0)
    with refuses("SIG_INVALID"):
        accept(Psbt(0, sent.to_psbt().global_map, answer.inputs, sent.to_psbt().outputs), sent, second, forger.vault, 0)


def test_a_witness_is_no_part_of_the_name_of_a_transfer(forger, stage, edit):
    # Empty stacks behind a witness marker: other bytes, the same transaction to a lax reader.
    drafted = forger.draft()
    raw = drafted.identity.transactions[0]
    marked = raw[:4] + b"\x00\x01" + raw[4:-4] + b"\x00" * len(drafted.transaction.inputs) + raw[-4:]
    with refuses("TX_ENCODING"):
        Transaction.parse(marked)
    with refuses("TX_ENCODING"):
        forger.judge(edit(drafted, identity=edit(drafted.identity, transactions=(marked,))), stage)
