"""A proposal: what a draft means under its request and its charter, and that it is in form."""

from dataclasses import replace

import pytest

from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import TxOut
from custody.charter.document import OWN_INDEXES
from custody.charter.rules import Payment
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, payee_address
from custody.transfer.draft import Draft, VaultDestination, change_script
from custody.transfer.proposal import Proposal, check_conflicts, check_indexes, check_transaction, propose
from custody.transfer.request import Purpose
from custody.units import MAX_MONEY, Network
from custody.vault.descriptor import Branch


def script_for(payee: str) -> bytes:
    return script_of(payee_address(payee), Network.REGTEST)


def proposal_of(told, **changes: object) -> Proposal:
    """The story's proposal, with other parts as a liar would pass them on."""
    return replace(propose(told.draft, told.request, told.charter), **changes)


# --- whose it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("network", "NETWORK_MISMATCH"),
        ("charter", "TRANSFER_MISMATCH"),
        ("request", "TRANSFER_MISMATCH"),
        ("vault", "TRANSFER_MISMATCH"),
    ],
)
def test_a_draft_for_another_charter_request_or_vault_is_refused(told, edit, field, code):
    value = Network.SIGNET if field == "network" else bytes(32)
    other = edit(told.draft, identity=edit(told.draft.identity, **{field: value}))
    with refuses(code):
        propose(other, told.request, told.charter)


def test_a_draft_from_a_vault_that_was_not_asked_about_is_refused(told, edit):
    # The charter has the vault, but the requester named another one.
    with refuses("TRANSFER_MISMATCH"):
        propose(told.draft, edit(told.request, vault=bytes(32)), told.charter)


# --- its form ---------------------------------------------------------------------------------------------------------


def looked_at(told, made: Draft, height: int = 10_000) -> None:
    check_transaction(proposal_of(told, draft=made), height)


def test_the_story_s_draft_is_in_form(told):
    looked_at(told, told.draft)
    propose(told.draft, told.request, told.charter)


@pytest.mark.parametrize("version", [0, 1, 3, -1, 2**31 - 1])
def test_another_version_is_refused(told, redrafted, version):
    with refuses("TX_VERSION"):
        looked_at(told, redrafted(told.draft, version=version))


@pytest.mark.parametrize("sequence", [0, 1, 10, 0x400001, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFC])
@pytest.mark.parametrize("position", [0, -1])
def test_another_sequence_is_refused_wherever_it_stands(told, redrafted, sequence, position):
    inputs = list(told.draft.transaction.inputs)
    inputs[position] = replace(inputs[position], sequence=sequence)
    with refuses("SEQUENCE"):
        looked_at(told, redrafted(told.draft, inputs=tuple(inputs)))


def test_the_other_allowed_sequence_passes(told, redrafted):
    inputs = tuple(replace(each, sequence=0xFFFFFFFE) for each in told.draft.transaction.inputs)
    looked_at(told, redrafted(told.draft, inputs=inputs))


@pytest.mark.parametrize(
    ("locktime", "is_fine"),
    [(0, True), (150, True), (151, False), (499_999_999, False), (500_000_000, False), (1_700_000_000, False)],
)
def test_a_locktime_is_a_height_that_has_been(told, redrafted, locktime, is_fine):
    made = redrafted(told.draft, locktime=locktime)
    if is_fine:
        looked_at(told, made, height=150)
    else:
        with refuses("LOCKTIME"):
            looked_at(told, made, height=150)


def test_a_time_as_locktime_is_refused_even_when_it_is_past_and_the_chain_is_long(told, redrafted):
    with refuses("LOCKTIME"):
        looked_at(told, redrafted(told.draft, locktime=500_000_000), height=2**31 - 1)


def test_a_coin_spent_twice_is_refused(told, redrafted):
    inputs = told.draft.transaction.inputs
    spent = told.draft.identity.spent
    made = redrafted(
        told.draft,
        inputs=(*inputs, inputs[0]),
        spent=(*spent, spent[0]),
        seats=(*told.draft.seats, told.draft.seats[0]),
    )
    with refuses("DUP_INPUT"):
        looked_at(told, made)


@pytest.mark.parametrize("part", ["inputs", "spent", "seats"])
def test_inputs_that_nobody_explains_are_refused(told, edit, redrafted, part):
    short = {
        "inputs": lambda: redrafted(told.draft, inputs=told.draft.transaction.inputs[1:]),
        "spent": lambda: redrafted(told.draft, spent=told.draft.identity.spent[1:]),
        "seats": lambda: edit(told.draft, seats=told.draft.seats[1:]),
    }[part]()
    with refuses("SPENT_MISMATCH"):
        looked_at(told, short)


def test_spent_outputs_in_another_order_are_refused(told, redrafted):
    with refuses("SPENT_MISMATCH"):
        looked_at(told, redrafted(told.draft, spent=told.draft.identity.spent[::-1]))


def test_a_script_sig_is_refused(told, redrafted):
    inputs = list(told.draft.transaction.inputs)
    inputs[0] = replace(inputs[0], script_sig=b"\x00")
    with refuses("SPENT_MISMATCH"):
        looked_at(told, redrafted(told.draft, inputs=tuple(inputs)))


def test_more_inputs_than_the_vault_s_devices_take_are_refused(told, edit):
    entry = edit(told.charter.vaults[0], max_inputs=1)
    with refuses("TRANSFER_WEIGHT"):
        check_transaction(proposal_of(told, entry=entry), 10_000)


# --- its outputs ------------------------------------------------------------------------------------------------------


def outputs_changed(told, redrafted, change) -> Draft:
    return redrafted(told.draft, outputs=tuple(change(list(told.draft.transaction.outputs))))


def is_change(told, output: TxOut) -> bool:
    return output.script_pubkey == told.cast.vault.script_pubkey(Branch.CHANGE, told.draft.change)


def test_a_payee_s_amount_that_differs_is_refused(told, redrafted):
    for step in (-1, 1):

        def change(outputs: list[TxOut], step: int = step) -> list[TxOut]:
            return [each if is_change(told, each) else replace(each, amount=each.amount + step) for each in outputs]

        made = outputs_changed(told, redrafted, change)
        with refuses("OUTPUTS_NOT_REQUESTED"):
            propose(made, told.request, told.charter)


def test_an_output_beside_the_payees_is_refused(told, redrafted):
    extra = TxOut(1_000, script_for(TAX_OFFICE))
    with refuses("OUTPUTS_NOT_REQUESTED") as caught:
        propose(outputs_changed(told, redrafted, lambda o: [*o, extra]), told.request, told.charter)
    assert payee_address(TAX_OFFICE) in str(caught.error)


@pytest.mark.parametrize("script", [b"\x6a\x04abcd", b"", b"\x00", b"\x6a" * 200])
def test_an_odd_output_is_refused_by_its_type_and_shown_in_part(told, redrafted, script):
    with refuses("OUTPUT_TYPE") as caught:
        propose(outputs_changed(told, redrafted, lambda o: [*o, TxOut(1_000, script)]), told.request, told.charter)
    assert caught.error.script == script[:40].hex()


def test_a_payee_left_out_or_paid_twice_is_refused(told, redrafted):
    for change in (
        lambda o: [e for e in o if is_change(told, e)],
        lambda o: [replace(e, script_pubkey=script_for(SUPPLIER)) for e in o],
    ):
        with refuses("OUTPUTS_NOT_REQUESTED"):
            propose(outputs_changed(told, redrafted, change), told.request, told.charter)


def test_change_twice_or_at_another_index_is_refused(told, edit, redrafted):
    halved = outputs_changed(
        told,
        redrafted,
        lambda o: [p for e in o for p in ([replace(e, amount=e.amount // 2)] * 2 if is_change(told, e) else [e])],
    )
    for made in (halved, edit(told.draft, change=1), edit(told.draft, change=None)):
        with refuses("OUTPUTS_NOT_REQUESTED"):
            propose(made, told.request, told.charter)


def test_a_payee_whose_address_is_the_change_address_is_told_apart_by_what_was_asked(told, edit, redrafted):
    # The charter pays an address that turns out to be the vault's own next change, beyond what it compares.
    own = told.cast.vault.address(Branch.CHANGE, OWN_INDEXES)
    payees = tuple(edit(each, address=own) if each.name == SUPPLIER else each for each in told.charter.payees)
    charter = edit(told.charter, payees=payees)
    request = edit(told.request, charter=charter.digest())
    change = next(each.amount for each in told.draft.transaction.outputs if is_change(told, each))
    script = told.cast.vault.script_pubkey(Branch.CHANGE, OWN_INDEXES)
    made = redrafted(told.draft, outputs=(TxOut(85_000_000, script), TxOut(change, script)))
    identity = edit(made.identity, charter=charter.digest(), request=request.digest())
    case = propose(edit(made, identity=identity, change=OWN_INDEXES), request, charter).case
    assert (case.payments, case.change) == ((Payment(SUPPLIER, 85_000_000),), change)


def test_a_sweep_that_keeps_something_back_is_refused(told, edit, coins, plan_of, drafted):
    plan = plan_of((SUPPLIER, None), purpose=Purpose.SWEEP)
    made = drafted(plan, coins)
    kept = TxOut(1_000_000, change_script(plan))
    paid = TxOut(made.transaction.outputs[0].amount - kept.amount, script_for(SUPPLIER))
    transaction = replace(made.transaction, outputs=(paid, kept))
    identity = edit(made.identity, transactions=(transaction.stripped(),))
    with refuses("OUTPUTS_NOT_REQUESTED") as caught:
        propose(edit(made, identity=identity, change=4), plan.request, told.charter)
    assert "keeps something back" in str(caught.error)


def test_a_sweep_into_two_outputs_is_refused(told, edit, coins, plan_of, drafted):
    plan = plan_of((SUPPLIER, None), purpose=Purpose.SWEEP)
    made = drafted(plan, coins)
    whole = made.transaction.outputs[0]
    parts = (replace(whole, amount=whole.amount - 1_000), replace(whole, amount=1_000))
    identity = edit(made.identity, transactions=(replace(made.transaction, outputs=parts).stripped(),))
    with refuses("OUTPUTS_NOT_REQUESTED"):
        propose(edit(made, identity=identity), plan.request, told.charter)


def test_a_consolidation_that_returns_nothing_is_refused(told, edit, redrafted):
    request = edit(told.request, purpose=Purpose.CONSOLIDATION, payments=())
    made = redrafted(told.draft, outputs=(), change=None)
    made = edit(made, identity=edit(made.identity, request=request.digest()))
    with refuses("OUTPUTS_NOT_REQUESTED"):
        propose(made, request, told.charter)


@pytest.mark.parametrize("destinations", [(), (("Reserve", 9), ("Reserve", 10)), (("Supplier", 9),)])
def test_each_vault_payee_has_its_own_index_and_nobody_else_has_one(told, edit, coins, plan_of, destinations, drafted):
    plan = plan_of(("Reserve", 1_000_000))
    made = drafted(plan, coins)
    listed = tuple(VaultDestination(payee=payee, index=index) for payee, index in destinations)
    with refuses("OUTPUTS_NOT_REQUESTED"):
        propose(edit(made, destinations=listed), plan.request, told.charter)


def test_an_address_payee_with_an_index_is_refused(told, edit):
    made = edit(told.draft, destinations=(VaultDestination(payee=SUPPLIER, index=0),))
    with refuses("OUTPUTS_NOT_REQUESTED"):
        check_indexes(proposal_of(told, draft=made), 0, 0, {"reserve": 3})


@pytest.mark.parametrize("index", [8, 10, 2**31 - 1])
def test_a_vault_payee_at_another_index_than_the_next_is_refused(told, edit, coins, plan_of, index, drafted):
    made = edit(
        drafted(plan_of(("Reserve", 1_000_000)), coins), destinations=(VaultDestination(payee="Reserve", index=index),)
    )
    with refuses("INDEX_NOT_NEXT"):
        check_indexes(proposal_of(told, draft=made), 4, 4, {"reserve": 9})


@pytest.mark.parametrize("change", [3, 5, 2**31 - 1])
def test_change_at_another_index_than_the_next_is_refused(told, edit, coins, plan_of, change, drafted):
    made = edit(drafted(plan_of((SUPPLIER, 1_000_000)), coins), change=change)
    with refuses("INDEX_NOT_NEXT"):
        check_indexes(proposal_of(told, draft=made), 4, 4, {"reserve": 9})


# --- its amounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "code"), [(-1, "AMOUNT_RANGE"), (MAX_MONEY + 1, "AMOUNT_RANGE"), (2**62, "AMOUNT_RANGE")]
)
def test_an_output_that_cannot_be_is_refused(told, redrafted, amount, code):
    with refuses(code):
        propose(
            outputs_changed(told, redrafted, lambda o: [TxOut(amount, o[0].script_pubkey), *o[1:]]),
            told.request,
            told.charter,
        )


def test_a_fee_of_nothing_or_less_is_refused(told, redrafted):
    for more in (told.draft.fee, told.draft.fee + 1):

        def change(outputs: list[TxOut], more: int = more) -> list[TxOut]:
            return [replace(each, amount=each.amount + more) if is_change(told, each) else each for each in outputs]

        with refuses("FEE_NEGATIVE"):
            propose(outputs_changed(told, redrafted, change), told.request, told.charter)


def test_amounts_that_only_together_are_too_much_are_refused(told, edit, redrafted):
    spent = tuple(edit(each, amount=MAX_MONEY) for each in told.draft.identity.spent)
    with refuses("AMOUNT_SUM"):
        propose(redrafted(told.draft, spent=spent), told.request, told.charter)


# --- replacing --------------------------------------------------------------------------------------------------------


def test_a_replacement_spends_a_coin_of_each_it_replaces(coins, plan_of, drafted):
    plan = plan_of((SUPPLIER, 5_000_000))
    one, other = drafted(plan, coins[:1]), drafted(plan, coins[1:2])
    both = drafted(plan_of((SUPPLIER, 15_000_000)), coins[:2])
    check_conflicts(both, {one.transfer_id: one, other.transfer_id: other})
    with refuses("REPLACE_NO_CONFLICT") as caught:
        check_conflicts(one, {one.transfer_id: one, other.transfer_id: other})
    assert caught.error.transfer == other.transfer_id.hex()
