"""Exactly the payees that were asked for, at the next unused index (THREATS F11, F12).

One output too many beside a listed payee, change in two pieces, a payee cut short, an index that nobody will look at.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody.bitcoin.script import p2wpkh
from custody.bitcoin.transaction import TxOut
from custody.charter.rules import AllowRule
from custody.envelope import Envelope
from custody.history import kinds
from custody.testing.asserts import refuses
from custody.testing.cast import (
    STRANGER,
    SUPPLIER,
    TAX_OFFICE,
    make_cast,
    secret,
    vault_of,
)
from custody.transfer.address import AddressIssued
from custody.transfer.draft import Draft, VaultDestination
from custody.transfer.proposal import propose
from custody.transfer.request import Purpose, TransferRequest, read_request
from custody.vault.descriptor import Branch

FAR = 2**31 - 1
DAY = 24 * 3600


# --- F11: exactly the payees that were asked for --------------------------------------------------------------------


def test_a_payee_beside_the_one_asked_for_is_refused(forger, stage):
    drafted = forger.draft()
    at = next(index for index, each in enumerate(drafted.transaction.outputs) if each.amount != 70_000_000)
    change = drafted.transaction.outputs[at]
    for name, amount in (("thief", 1_000_000), (STRANGER, 1_000_000), (SUPPLIER, 1_000_000), (TAX_OFFICE, 330)):
        script = p2wpkh(secret(f"payee {name}")[:20])
        outputs = list(drafted.transaction.outputs)
        outputs[at] = TxOut(change.amount - amount, change.script_pubkey)
        with refuses("OUTPUTS_NOT_REQUESTED"):
            forger.judge(forger.redrafted(drafted, outputs=[*outputs, TxOut(amount, script)]), stage)


def test_two_change_outputs_are_refused(forger, stage):
    drafted = forger.draft()
    at = next(index for index, each in enumerate(drafted.transaction.outputs) if each.amount != 70_000_000)
    change = drafted.transaction.outputs[at]
    for script in (change.script_pubkey, forger.vault.script_pubkey(Branch.CHANGE, 1)):
        outputs = list(drafted.transaction.outputs)
        outputs[at] = TxOut(change.amount - 5_000_000, change.script_pubkey)
        with refuses("OUTPUTS_NOT_REQUESTED"):
            forger.judge(forger.redrafted(drafted, outputs=[*outputs, TxOut(5_000_000, script)]), stage)


@pytest.mark.parametrize("difference", [-1, +1])
def test_a_payee_is_paid_to_the_satoshi(forger, stage, difference):
    drafted = forger.draft()
    outputs = [
        replace(each, amount=each.amount + difference * (1 if each.amount == 70_000_000 else -1))
        for each in drafted.transaction.outputs
    ]
    with refuses("OUTPUTS_NOT_REQUESTED"):
        forger.judge(forger.redrafted(drafted, outputs=outputs), stage)


def test_a_payment_split_in_two_or_left_out_is_refused(forger, stage):
    request = forger.request((SUPPLIER, 30_000_000), (TAX_OFFICE, 20_000_000))
    drafted = forger.draft(request)
    assert forger.judge(drafted, stage, request=request)
    by_amount = {each.amount: each for each in drafted.transaction.outputs}
    supplier, tax = by_amount.pop(30_000_000), by_amount.pop(20_000_000)
    (change,) = by_amount.values()
    for outputs in (
        (supplier, TxOut(change.amount + tax.amount, change.script_pubkey)),
        (TxOut(10_000_000, supplier.script_pubkey), TxOut(20_000_000, supplier.script_pubkey), tax, change),
        (TxOut(tax.amount, supplier.script_pubkey), TxOut(supplier.amount, tax.script_pubkey), change),
        (supplier, supplier, TxOut(change.amount - 10_000_000, change.script_pubkey)),
    ):
        with refuses("OUTPUTS_NOT_REQUESTED"):
            forger.judge(forger.redrafted(drafted, outputs=outputs), stage, request=request)


def test_a_payee_that_no_rule_allows_is_refused_beside_one_that_is(forger, stage):
    # Both are named and known; the rule that allows one of them does not speak for the other.
    request = forger.request((SUPPLIER, 30_000_000), (STRANGER, 1_000_000))
    with refuses("DEST_NOT_ALLOWED") as caught:
        forger.judge(forger.draft(request), stage, request=request)
    assert caught.error.payee == STRANGER


def test_a_rule_for_another_vault_allows_nothing_here(forger_of, stage, recast, edit):
    cast = make_cast()
    other, _ = vault_of(("eve", "mallory", "trudy"), 2)
    entry = cast.charter.vaults[0]
    second = edit(entry, name="second", descriptor=other.descriptor)
    rules = tuple(
        AllowRule(name=rule.name, vaults=("second",), payees=rule.payees)
        if isinstance(rule, AllowRule)
        else edit(rule, vaults=("reserve", "second"))
        for rule in cast.charter.rules
    )
    forger = forger_of(recast(cast, vaults=(entry, second), rules=rules))
    with refuses("DEST_NOT_ALLOWED"):
        forger.judge(forger.draft(), stage)


def test_a_transfer_of_another_vault_than_the_one_asked_for_is_refused(forger_of, stage, recast, edit):
    # Dana asked for money from one vault; the coordinator takes it from the other, which she may not even know.
    cast = make_cast()
    other, _ = vault_of(("eve", "mallory", "trudy"), 2)
    entry = cast.charter.vaults[0]
    second = edit(entry, name="second", descriptor=other.descriptor)
    rules = tuple(edit(rule, vaults=("reserve", "second")) for rule in cast.charter.rules)
    both = recast(cast, vaults=(entry, second), rules=rules)
    forger = forger_of(both)
    forger_of_other = forger_of(replace(both, vault=other))
    asked = forger.request()
    drafted = forger_of_other.draft(forger_of_other.request())
    identity = edit(drafted.identity, request=read_request(asked).digest())
    moved = edit(drafted, identity=identity)
    with refuses("TRANSFER_MISMATCH"):
        forger_of_other.judge(moved, stage, request=asked)
    own = forger_of_other.request()
    assert forger_of_other.judge(forger_of_other.draft(own), stage, request=own)


def test_a_sweep_that_keeps_something_back_is_refused(forger, stage, edit):
    request = forger.request((SUPPLIER, None), purpose=Purpose.SWEEP)
    drafted = forger.draft(forger.request((SUPPLIER, 70_000_000)))
    sweeping = TransferRequest.from_bytes(request.body)
    identity = edit(drafted.identity, request=sweeping.digest())
    kept = edit(drafted, identity=identity)
    with refuses("OUTPUTS_NOT_REQUESTED"):
        forger.judge(kept, stage, request=request)


@pytest.mark.parametrize("purpose", [Purpose.CONSOLIDATION])
def test_a_transfer_that_pays_nobody_pays_nobody(forger, stage, purpose):
    request = forger.request(purpose=purpose)
    drafted = forger.draft(request)
    assert forger.judge(drafted, stage, request=request).case.payments == ()
    (change,) = drafted.transaction.outputs
    thief = p2wpkh(secret("thief")[:20])
    for outputs, has_change in (
        ((TxOut(change.amount, thief),), False),
        ((TxOut(change.amount, thief),), True),
        ((TxOut(change.amount - 1_000, change.script_pubkey), TxOut(1_000, thief)), True),
    ):
        forged = forger.redrafted(drafted, outputs=outputs, change=0 if has_change else None)
        with refuses("OUTPUTS_NOT_REQUESTED"):
            forger.judge(forged, stage, request=request)


# --- F12: the next unused index -------------------------------------------------------------------------------------


def to_vault(forger, index: int) -> tuple[Envelope, Draft]:
    """A payment to the vault itself at `index` of its receive branch."""
    request = forger.request(("Reserve", 20_000_000))
    record = read_request(request)
    drafted = forger.draft(request)
    old = forger.vault.script_pubkey(Branch.RECEIVE, 2)
    outputs = [
        TxOut(each.amount, forger.vault.script_pubkey(Branch.RECEIVE, index)) if each.script_pubkey == old else each
        for each in drafted.transaction.outputs
    ]
    assert propose(drafted, record, forger.cast.charter)
    destinations = (VaultDestination(payee="Reserve", index=index),)
    return request, forger.redrafted(drafted, outputs=outputs, destinations=destinations)


def test_a_vault_is_paid_at_its_next_index_and_at_no_other(forger, stage):
    request, drafted = to_vault(forger, 2)
    assert forger.judge(drafted, stage, request=request)
    for index in (0, 3, 100, FAR):
        request, drafted = to_vault(forger, index)
        with refuses("INDEX_NOT_NEXT"):
            forger.judge(drafted, stage, request=request)


def test_an_index_that_was_used_is_not_used_again(forger, stage):
    request, drafted = to_vault(forger, 2)
    log = forger.log()
    issued = AddressIssued.of("seized", bytes(32), forger.vault.id, 2, 0, forger.now)
    log.write(kinds.ADDRESS_ISSUED, issued)
    with refuses("INDEX_NOT_NEXT"):
        forger.judge(drafted, stage, request=request, log=log)
    request, drafted = to_vault(forger, 3)
    log = forger.log()
    log.write(kinds.ADDRESS_ISSUED, issued)
    assert forger.judge(drafted, stage, request=request, log=log)


def test_a_script_at_another_index_than_it_says_is_not_the_payee_s(forger, stage, edit):
    request, drafted = to_vault(forger, FAR)
    lied = edit(drafted, destinations=(VaultDestination(payee="Reserve", index=0),))
    with refuses("OUTPUTS_NOT_REQUESTED"):
        forger.judge(lied, stage, request=request)


@pytest.mark.parametrize("what", ["change", "a payee that is a vault"])
def test_a_draft_that_nobody_will_sign_does_not_push_the_next_index_out_of_reach(forger, stage, what):
    # First a draft at the last index there is, which any officer refuses; then an honest one, at "the next".
    log = forger.log()
    if what == "change":
        bait_request = forger.request((SUPPLIER, 1_000_000), nonce=b"\x01" * 16)
        bait = forger.draft(bait_request, coins=(forger.coin(5_000_000, 0, 9),))
        old = forger.vault.script_pubkey(Branch.CHANGE, 0)
        outputs = [
            TxOut(each.amount, forger.vault.script_pubkey(Branch.CHANGE, FAR - 1))
            if each.script_pubkey == old
            else each
            for each in bait.transaction.outputs
        ]
        bait = forger.redrafted(bait, outputs=outputs, change=FAR - 1)
        request, drafted = forger.request(), forger.draft()
    else:
        bait_request = forger.request(("Reserve", 1_000_000), nonce=b"\x01" * 16)
        bait = forger.draft(bait_request, coins=(forger.coin(5_000_000, 0, 9),))
        bait = forger.redrafted(bait, destinations=(VaultDestination(payee="Reserve", index=FAR - 1),), change=0)
        request, drafted = to_vault(forger, 2)
        change = forger.vault.script_pubkey(Branch.CHANGE, 0)
        outputs = [
            TxOut(each.amount, forger.vault.script_pubkey(Branch.CHANGE, 1)) if each.script_pubkey == change else each
            for each in drafted.transaction.outputs
        ]
        drafted = forger.redrafted(drafted, outputs=outputs, change=1)
    log.write(kinds.REQUESTED, bait_request)
    log.write(kinds.DRAFTED, bait)
    assert forger.judge(drafted, stage, request=request, log=log)
