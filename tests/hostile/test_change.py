"""Whose is an output, and where does a key sit (THREATS A2 to A5)? Change that is none, and keys at two places at once.

What a PSBT says about its outputs makes none of them change: only the vault's own derivation does. An output that only
claims to be change is somebody else's, and a transfer that has one pays a payee nobody asked for.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import InputField, OutputField
from custody.bitcoin.script import hash160, multisig_script, p2pkh, p2sh, p2wpkh, p2wsh
from custody.bitcoin.transaction import TxOut
from custody.charter.decide import Verdict
from custody.examine.evidence import Stage
from custody.history import kinds
from custody.record import canonical
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, vault_of
from custody.transfer.address import AddressIssued
from custody.transfer.proposal import CHANGE_GAP
from custody.transfer.settlement import Ended, Ending
from custody.units import HARDENED
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType

from .altered import ATTACKER, change_at, with_input, with_output

FAR = 2**31 - 1


# --- A2: change -----------------------------------------------------------------------------------------------------


def frauds(forger) -> dict[str, bytes]:
    """Scripts that look like this vault's change at index 0 and are not."""
    vault = forger.vault
    keys = list(vault.public_keys(Branch.CHANGE, 0))
    by_text = sorted(keys)
    swapped = sorted([*keys[:-1], ATTACKER])
    threshold = vault.threshold
    receive = vault_of(tuple(each.name for each in vault.cosigners), threshold, ScriptType.SH_WSH)[0]
    return {
        "keys in another order": p2wsh(multisig_script(threshold, by_text[::-1])),
        "keys in the order of the descriptor": p2wsh(multisig_script(threshold, [by_text[1], by_text[0], by_text[2]])),
        "one key swapped": p2wsh(multisig_script(threshold, swapped)),
        "an attacker's key added": p2wsh(multisig_script(threshold, sorted([*keys, ATTACKER]))),
        "a lower threshold": p2wsh(multisig_script(1, by_text)),
        "a higher threshold": p2wsh(multisig_script(3, by_text)),
        "one cosigner's own key": p2wpkh(hash160(keys[0])),
        "one cosigner's own key, older type": p2pkh(hash160(keys[0])),
        "the same script nested": p2sh(p2wsh(multisig_script(threshold, by_text))),
        "the same script bare in p2sh": p2sh(multisig_script(threshold, by_text)),
        "the same cosigners' other vault": receive.script_pubkey(Branch.CHANGE, 0),
        "the vault's own receive branch": vault.script_pubkey(Branch.RECEIVE, 0),
        "the next index but one": vault.script_pubkey(Branch.CHANGE, 1),
        "an index nobody looks at": vault.script_pubkey(Branch.CHANGE, FAR),
    }


FRAUDS = (
    "keys in another order",
    "keys in the order of the descriptor",
    "one key swapped",
    "an attacker's key added",
    "a lower threshold",
    "a higher threshold",
    "one cosigner's own key",
    "one cosigner's own key, older type",
    "the same script nested",
    "the same script bare in p2sh",
    "the same cosigners' other vault",
    "the vault's own receive branch",
    "the next index but one",
    "an index nobody looks at",
)


def test_every_fraud_differs_from_the_change_it_looks_like(forger):
    scripts = frauds(forger)
    assert tuple(scripts) == FRAUDS
    honest = forger.vault.script_pubkey(Branch.CHANGE, 0)
    assert len({honest, *scripts.values()}) == len(scripts) + 1


@pytest.mark.parametrize("which", FRAUDS)
def test_what_only_claims_to_be_change_is_somebody_else_s(forger, which):
    # The file keeps every claim of the honest one: key paths, scripts and all xpubs say "change".
    psbt = forger.psbt()
    at = change_at(forger.draft(), forger.vault)
    outputs = list(psbt.transaction.outputs)
    outputs[at] = TxOut(outputs[at].amount, frauds(forger)[which])
    reading = forger.read(replace(psbt, transaction=replace(psbt.transaction, outputs=tuple(outputs))))
    assert [each.change for each in reading.outputs] == [None, None]


@pytest.mark.parametrize("which", FRAUDS)
@pytest.mark.parametrize("is_called_change", [True, False])
def test_a_transfer_whose_change_is_not_the_vault_s_is_refused(forger, stage, which, is_called_change):
    drafted = forger.draft()
    at = change_at(drafted, forger.vault)
    outputs = list(drafted.transaction.outputs)
    outputs[at] = TxOut(outputs[at].amount, frauds(forger)[which])
    forged = forger.redrafted(drafted, outputs=outputs, change=0 if is_called_change else None)
    with refuses("OUTPUTS_NOT_REQUESTED"):
        forger.judge(forged, stage)


def test_account_keys_in_the_file_make_nothing_change(forger):
    # Coldcard 3.0.6: the file's own xpubs described the attacker's wallet, and its outputs were shown as change.
    fraud, _ = vault_of(("eve", "mallory", "trudy"), 2)
    psbt = forger.psbt()
    at = change_at(forger.draft(), forger.vault)
    outputs = list(psbt.transaction.outputs)
    outputs[at] = TxOut(outputs[at].amount, fraud.script_pubkey(Branch.CHANGE, 0))
    lying = replace(
        psbt,
        transaction=replace(psbt.transaction, outputs=tuple(outputs)),
        account_keys=tuple(
            sorted(
                (theirs.key.to_bytes(), KeyPath(ours.origin.fingerprint, ours.origin.path))
                for theirs, ours in zip(fraud.cosigners, forger.vault.cosigners, strict=True)
            )
        ),
    )
    lying = with_output(
        lying,
        at,
        witness_script=fraud.witness_script(Branch.CHANGE, 0),
        key_paths=tuple(
            sorted(
                (key, ours.key_path(Branch.CHANGE, 0))
                for key, ours in zip(fraud.public_keys(Branch.CHANGE, 0), forger.vault.cosigners, strict=True)
            )
        ),
    )
    assert [each.change for each in forger.read(lying).outputs] == [None, None]


# --- A3: the order of key paths -------------------------------------------------------------------------------------


def permuted(psbt: TransferPsbt, kind: InputField | OutputField, index: int, paths) -> Psbt:
    """The PSBT with these key paths, in this order, in one of its maps."""
    made = psbt.to_psbt()
    is_input = isinstance(kind, InputField)
    maps = list(made.inputs if is_input else made.outputs)
    others = [(key, value) for key, value in maps[index].pairs if key[0] != kind]
    maps[index] = PsbtMap([*others, *((bytes([kind]) + key, bytes(path)) for key, path in paths)])
    if is_input:
        return Psbt(0, made.global_map, tuple(maps), made.outputs)
    return Psbt(0, made.global_map, made.inputs, tuple(maps))


def test_a_foreign_key_among_the_vault_s_is_refused_wherever_it_stands(forger):
    psbt = forger.psbt()
    own = tuple(psbt.inputs[0].key_paths)
    foreign = (ATTACKER, KeyPath(b"\xde\xad\xbe\xef", own[0][1].path))
    found = set()
    for paths in itertools.permutations([*own, foreign]):
        with refuses("PATH_MISMATCH") as caught:
            forger.read(permuted(psbt, InputField.BIP32_DERIVATION, 0, paths))
        found.add(str(caught.error))
    assert len(found) == 1


def test_a_foreign_key_in_the_change_s_paths_counts_the_same_wherever_it_stands(forger):
    psbt = forger.psbt()
    at = change_at(forger.draft(), forger.vault)
    own = tuple(psbt.outputs[at].key_paths)
    foreign = (ATTACKER, KeyPath(b"\xde\xad\xbe\xef", own[0][1].path))
    for paths in itertools.permutations([*own, foreign]):
        reading = forger.read(permuted(psbt, OutputField.BIP32_DERIVATION, at, paths))
        assert reading.outputs[at].change is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_foreign_and_an_own_key_alone_are_refused_in_either_order(forger, order):
    psbt = forger.psbt()
    own = next(iter(psbt.inputs[0].key_paths))
    paths = (own, (ATTACKER, KeyPath(b"\xde\xad\xbe\xef", own[1].path)))
    with refuses("PATH_MISMATCH"):
        forger.read(permuted(psbt, InputField.BIP32_DERIVATION, 0, [paths[each] for each in order]))


def test_an_own_fingerprint_on_a_foreign_key_is_refused_in_every_order(forger):
    psbt = forger.psbt()
    own = tuple(psbt.inputs[0].key_paths)
    for paths in itertools.permutations([own[0], own[1], (ATTACKER, own[2][1])]):
        with refuses("PATH_MISMATCH"):
            forger.read(permuted(psbt, InputField.BIP32_DERIVATION, 0, paths))


# --- A4: one place for all cosigners --------------------------------------------------------------------------------


def moved(path: KeyPath, *tail: int) -> KeyPath:
    return KeyPath(path.fingerprint, (*path.path[:-2], *tail))


@pytest.mark.parametrize(
    "places",
    [
        pytest.param([(0, 0), (0, 777), (0, 0)], id="one cosigner at another index"),
        pytest.param([(0, 0), (1, 0), (0, 0)], id="one cosigner on the other branch"),
        pytest.param([(2, 0)] * 3, id="a third branch"),
        pytest.param([(0, HARDENED)] * 3, id="a hardened index"),
        pytest.param([(HARDENED, 0)] * 3, id="a hardened branch"),
        pytest.param([(0,)] * 3, id="no index"),
        pytest.param([(0, 0, 0)] * 3, id="a step too many"),
    ],
)
def test_keys_that_do_not_sit_at_one_known_place_are_refused(forger, places):
    psbt = forger.psbt()
    paths = tuple((key, moved(path, *tail)) for (key, path), tail in zip(psbt.inputs[0].key_paths, places, strict=True))
    with refuses("PATH_MISMATCH"):
        forger.read(with_input(psbt, 0, key_paths=paths))
    at = change_at(forger.draft(), forger.vault)
    claims = tuple(
        (key, moved(path, *tail)) for (key, path), tail in zip(psbt.outputs[at].key_paths, places, strict=True)
    )
    assert forger.read(with_output(psbt, at, key_paths=claims)).outputs[at].change is None


def test_another_account_of_the_same_seed_is_refused(forger):
    psbt = forger.psbt()
    paths = tuple(
        (key, KeyPath(path.fingerprint, (*path.path[:2], HARDENED + 1, *path.path[3:])))
        for key, path in psbt.inputs[0].key_paths
    )
    with refuses("PATH_MISMATCH"):
        forger.read(with_input(psbt, 0, key_paths=paths))


def test_an_input_said_to_sit_where_it_does_not_is_refused(forger, stage, edit):
    drafted = forger.draft()
    for lie in ({"index": 777}, {"branch": 1}):
        seats = (edit(drafted.seats[0], **lie), *drafted.seats[1:])
        with refuses("FOREIGN_INPUT"):
            forger.judge(edit(drafted, seats=seats), stage)
    psbt = forger.psbt()
    vault = forger.vault
    elsewhere = with_input(psbt, 0, key_paths=vault.key_paths(0, 777), witness_script=vault.witness_script(0, 777))
    with refuses("FOREIGN_INPUT"):
        forger.read(elsewhere)


def test_an_input_on_a_third_branch_is_refused(forger, stage, edit):
    drafted = forger.draft()
    seats = (edit(drafted.seats[0], branch=2), *drafted.seats[1:])
    with refuses("PATH_NONSTANDARD"):
        forger.judge(edit(drafted, seats=seats), stage)


def test_change_beyond_the_window_that_anybody_looks_at_is_refused(forger, stage):
    drafted = forger.draft()
    at = change_at(drafted, forger.vault)
    for index in (1, 101, FAR):
        outputs = list(drafted.transaction.outputs)
        outputs[at] = TxOut(outputs[at].amount, forger.vault.script_pubkey(Branch.CHANGE, index))
        with refuses("INDEX_NOT_NEXT"):
            forger.judge(forger.redrafted(drafted, outputs=outputs, change=index), stage)


def with_change_at(forger, drafted, index):
    """The draft with its change at another index."""
    at, outputs = change_at(drafted, forger.vault), list(drafted.transaction.outputs)
    outputs[at] = TxOut(outputs[at].amount, forger.vault.script_pubkey(Branch.CHANGE, index))
    return forger.redrafted(drafted, outputs=outputs, change=index)


def test_drafts_that_came_to_nothing_push_change_nowhere(forger, stage, edit):
    # Drafted, denied and ended by the coordinator's word alone, as often as it likes.
    log, request = forger.log(), forger.request()
    for number in range(5):
        made = forger.draft(request, fee=10_000 + number)
        denied = edit(forger.decision(made, request), verdict=Verdict.DENY)
        forger.evidence(made, Stage.APPROVE, log=log, request=request, decision=denied, ask=number == 0)
        log.write(kinds.ENDED, Ended(transfer=made.transfer_id, reason=Ending.DENIED, detail="", at=forger.now))
    far = with_change_at(forger, forger.draft(request), 5)
    with refuses("INDEX_NOT_NEXT") as caught:
        forger.judge(far, stage, log=log, request=request, ask=False)
    assert caught.error.expected == 0


@pytest.mark.parametrize("waiting", [CHANGE_GAP - 1, CHANGE_GAP])
def test_drafts_that_wait_push_change_no_farther_than_it_is_looked_for(forger, stage, waiting):
    log = forger.log()
    for number in range(waiting):
        coin = forger.coin(2_000_000, 0, number)
        request = forger.request((SUPPLIER, 1_000_000), nonce=number.to_bytes(16, "big"))
        made = with_change_at(forger, forger.draft(request, coins=[coin]), number)
        log.write(kinds.REQUESTED, request)
        log.write(kinds.DRAFTED, made)
    request = forger.request(nonce=b"\xff" * 16)
    last = with_change_at(forger, forger.draft(request), waiting)
    if waiting < CHANGE_GAP:
        assert forger.judge(last, stage, log=log, request=request)
        return
    with refuses("INDEX_NOT_NEXT") as caught:
        forger.judge(last, stage, log=log, request=request)
    assert (caught.error.actual, caught.error.expected) == (CHANGE_GAP, 0)


# --- A5: hardened and overflowing indexes ---------------------------------------------------------------------------


def test_the_last_index_is_an_address_and_the_one_after_it_is_none(forger):
    assert forger.vault.address(Branch.CHANGE, FAR)
    for index in (FAR + 1, -1, 2**32):
        for derive in (forger.vault.script_pubkey, forger.vault.address, forger.vault.key_paths):
            with refuses("INDEX_RANGE"):
                derive(Branch.CHANGE, index)


@pytest.mark.parametrize("index", [FAR + 1, -1, 2**32, 2**64])
def test_no_record_carries_such_an_index(forger, index):
    drafted = forger.draft(forger.request((SUPPLIER, 30_000_000), ("Reserve", 1_000_000)))
    issued = AddressIssued.of("seized", bytes(32), forger.vault.id, 0, 0)
    for record, change in (
        (drafted, {"change": index}),
        (drafted, {"seats": [{"branch": 0, "index": index}] * 2}),
        (drafted, {"destinations": [{"payee": "Reserve", "index": index}]}),
        (issued, {"index": index}),
    ):
        tree = json.loads(record.to_bytes()) | change
        with refuses("INDEX_RANGE"):
            type(record).from_bytes(canonical(tree))
