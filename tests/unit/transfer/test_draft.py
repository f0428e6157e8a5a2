"""A draft: from a request and coins to one unsigned transaction, and back to what it means."""

from collections import Counter
from dataclasses import replace

import pytest

from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import OutPoint, Transaction, TxOut
from custody.charter.rules import Payment
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Chance, payee_address
from custody.transfer.draft import (
    REPLACEABLE,
    Draft,
    Plan,
    VaultDestination,
    change_script,
    draft,
    outputs_of,
    signed_weight,
    terms_of,
)
from custody.transfer.proposal import (
    Proposal,
    check_conflicts,
    check_indexes,
    check_transaction,
    propose,
)
from custody.transfer.request import Purpose, RequestedPayment
from custody.transfer.selection import Algorithm, Selection, select_coins, select_everything, weight_of
from custody.units import MAX_MONEY, Network
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch

HEIGHT = 150


def script_for(payee: str) -> bytes:
    return script_of(payee_address(payee), Network.REGTEST)


def proposal_of(told, **changes: object) -> Proposal:
    """The story's proposal, with other parts as a liar would pass them on."""
    return replace(propose(told.draft, told.request, told.charter), **changes)


@pytest.fixture
def coins(told) -> list[Coin]:
    vault = told.cast.vault
    return [
        Coin(
            OutPoint(bytes([n]) * 32, n),
            10_000_000 + n,
            vault.script_pubkey(n % 2, n),
            n % 2,
            n,
            100,
            is_coinbase=False,
        )
        for n in range(6)
    ]


@pytest.fixture
def plan_of(told, edit):
    def make(*payments: tuple[str, int | None], purpose: Purpose = Purpose.PAYMENT, **rest: object) -> Plan:
        asked = tuple(RequestedPayment(payee=payee, amount=amount) for payee, amount in payments)
        replaces = (bytes(32),) if purpose is Purpose.CANCELLATION else ()
        request = edit(told.request, payments=asked, purpose=purpose, replaces=replaces)
        made = Plan(
            request=request,
            charter=told.charter,
            entry=told.charter.vaults[0],
            vault=told.cast.vault,
            next_change=4,
            next_receive={"reserve": 9},
            height=HEIGHT,
            rate=5_000,
            at=told.now,
        )
        return replace(made, **rest)

    return make


def drafted(plan: Plan, coins: list[Coin], seed: int = 0) -> Draft:
    below = Chance(seed).below
    terms = terms_of(plan, 10_000)
    if plan.request.purpose is Purpose.PAYMENT:
        selection = select_coins(coins, terms, below)
    else:
        selection = select_everything(coins, terms, limit=False)
    return draft(plan, selection, below)


# --- making one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_a_draft_pays_what_was_asked_and_returns_the_rest(told, coins, plan_of, seed):
    plan = plan_of((SUPPLIER, 7_000_000), (TAX_OFFICE, 8_000_000), ("Reserve", 1_000_000))
    made = drafted(plan, coins, seed)
    case = propose(made, plan.request, told.charter).case
    assert case.payments == (
        Payment(SUPPLIER, 7_000_000),
        Payment(TAX_OFFICE, 8_000_000),
        Payment("Reserve", 1_000_000),
    )
    assert case.fee == made.fee
    assert case.outflow == 16_000_000 + made.fee
    spent = sum(each.amount for each in made.identity.spent)
    assert spent == case.outflow + case.change
    assert (case.vault, case.requester, case.purpose) == ("reserve", plan.request.requester, Purpose.PAYMENT)
    check_transaction(propose(made, plan.request, told.charter), HEIGHT)
    check_indexes(proposal_of(told, draft=made), 4, {"reserve": 9})


def test_seats_say_where_each_input_sits(told, coins, plan_of):
    made = drafted(plan_of((SUPPLIER, 35_000_000)), coins)
    assert len(made.seats) == len(made.transaction.inputs) > 3
    for seat, spent in zip(made.seats, made.identity.spent, strict=True):
        assert told.cast.vault.script_pubkey(seat.branch, seat.index) == spent.script_pubkey


def test_inputs_and_outputs_stand_in_no_telling_order(coins, plan_of):
    plan = plan_of((SUPPLIER, 25_000_000))
    made = [drafted(plan, coins, seed).transaction for seed in range(30)]
    assert {each.outputs[0].script_pubkey for each in made} == {script_for(SUPPLIER), change_script(plan)}
    assert len({tuple(spending.outpoint for spending in each.inputs) for each in made}) > 10


def test_a_seed_makes_the_same_draft_again(coins, plan_of):
    plan = plan_of((SUPPLIER, 25_000_000))
    assert drafted(plan, coins, 3).transfer_id == drafted(plan, coins, 3).transfer_id
    assert drafted(plan, coins, 3).transfer_id != drafted(plan, coins, 4).transfer_id


def test_the_locktime_is_the_height_seen_and_sometimes_a_little_less(coins, plan_of):
    plan = plan_of((SUPPLIER, 25_000_000))
    found = Counter(drafted(plan, coins, seed).transaction.locktime for seed in range(200))
    assert found[HEIGHT] > 140
    assert all(HEIGHT - 100 < each <= HEIGHT for each in found)
    assert len(found) > 5
    low = replace(plan, height=3)
    assert all(0 <= drafted(low, coins, seed).transaction.locktime <= 3 for seed in range(60))


def test_every_input_may_be_replaced_and_none_carries_a_relative_lock(coins, plan_of):
    made = drafted(plan_of((SUPPLIER, 25_000_000)), coins)
    assert {each.sequence for each in made.transaction.inputs} == {REPLACEABLE}
    assert made.transaction.version == 2


def test_a_sweep_pays_all_but_the_fee(told, coins, plan_of):
    plan = plan_of((SUPPLIER, None), purpose=Purpose.SWEEP)
    made = drafted(plan, coins)
    total = sum(each.amount for each in coins)
    assert made.transaction.outputs == (TxOut(total - made.fee, script_for(SUPPLIER)),)
    assert made.change is None
    case = propose(made, plan.request, told.charter).case
    assert (case.payments, case.change) == ((Payment(SUPPLIER, total - made.fee),), 0)
    assert case.moved == total - made.fee


@pytest.mark.parametrize("purpose", [Purpose.CONSOLIDATION, Purpose.CANCELLATION])
def test_what_stays_inside_returns_as_change(told, coins, plan_of, purpose):
    plan = plan_of(purpose=purpose)
    made = drafted(plan, coins)
    case = propose(made, plan.request, told.charter).case
    assert (case.payments, case.outflow) == ((), made.fee)
    assert case.moved == case.change == sum(each.amount for each in coins) - made.fee


def test_a_vault_is_paid_at_its_next_addresses_in_the_order_asked(told, coins, plan_of):
    plan = plan_of(("Reserve", 1_000_000), (SUPPLIER, 2_000_000), ("Reserve", 3_000_000))
    assert [output.script_pubkey for output in outputs_of(plan)] == [
        told.cast.vault.script_pubkey(Branch.RECEIVE, 9),
        script_for(SUPPLIER),
        told.cast.vault.script_pubkey(Branch.RECEIVE, 10),
    ]
    made = drafted(plan, coins)
    assert [each.index for each in made.destinations] == [9, 10]
    paid = propose(made, plan.request, told.charter).paid
    assert [each.address for each in paid] == [
        told.cast.vault.address(Branch.RECEIVE, 9),
        payee_address(SUPPLIER),
        told.cast.vault.address(Branch.RECEIVE, 10),
    ]


def test_the_weight_told_is_that_of_the_signed_transaction(told):
    signed = told.after_verified
    raw = Transaction.parse(signed.raw)
    weight = signed_weight(told.draft, told.cast.vault)
    # Signatures are counted at their largest; a small r makes one byte less.
    slack = 2 * len(raw.inputs) * 3
    assert weight - slack <= raw.weight <= weight
    terms = terms_of_draft(told)
    assert weight == weight_of(terms, len(raw.inputs), has_change=True)


def terms_of_draft(told):
    plan = Plan(
        request=told.request,
        charter=told.charter,
        entry=told.charter.vaults[0],
        vault=told.cast.vault,
        next_change=0,
        next_receive={"reserve": 3},
        height=HEIGHT,
        rate=5_000,
        at=told.now,
    )
    return terms_of(plan, 10_000)


# --- what names it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["network", "vault", "charter", "request", "transactions", "spent"])
def test_the_transfer_id_covers_every_part_of_its_identity(told, edit, field):
    identity = told.draft.identity
    other = {
        "network": Network.SIGNET,
        "vault": bytes(32),
        "charter": bytes(32),
        "request": bytes(32),
        "transactions": (identity.transactions[0] + b"\x00",),
        "spent": (edit(identity.spent[0], amount=identity.spent[0].amount + 1), *identity.spent[1:]),
    }
    assert edit(identity, **{field: other[field]}).digest() != identity.digest()


def test_what_only_helps_to_check_is_not_part_of_the_name(told, edit):
    assert edit(told.draft, rate=1, height=1, at=1).transfer_id == told.draft.transfer_id


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


@pytest.mark.parametrize("count", [0, 2])
def test_there_is_exactly_one_transaction(told, edit, count):
    identity = edit(told.draft.identity, transactions=told.draft.identity.transactions * count)
    with refuses("SPENT_MISMATCH"):
        _ = edit(told.draft, identity=identity).transaction


def test_bytes_that_are_no_transaction_are_refused_by_name(told, edit):
    for raw in (b"", b"\x02\x00\x00\x00", told.draft.identity.transactions[0] + b"\x00"):
        with refuses("TX_ENCODING"):
            _ = edit(told.draft, identity=edit(told.draft.identity, transactions=(raw,))).transaction


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
    # The charter pays an address that turns out to be the vault's own next change.
    own = told.cast.vault.address(Branch.CHANGE, 0)
    payees = tuple(edit(each, address=own) if each.name == SUPPLIER else each for each in told.charter.payees)
    charter = edit(told.charter, payees=payees)
    request = edit(told.request, charter=charter.digest())
    change = next(each.amount for each in told.draft.transaction.outputs if is_change(told, each))
    script = told.cast.vault.script_pubkey(Branch.CHANGE, 0)
    made = redrafted(told.draft, outputs=(TxOut(85_000_000, script), TxOut(change, script)))
    identity = edit(made.identity, charter=charter.digest(), request=request.digest())
    case = propose(edit(made, identity=identity), request, charter).case
    assert (case.payments, case.change) == ((Payment(SUPPLIER, 85_000_000),), change)


def test_a_sweep_that_keeps_something_back_is_refused(told, edit, coins, plan_of):
    plan = plan_of((SUPPLIER, None), purpose=Purpose.SWEEP)
    made = drafted(plan, coins)
    kept = TxOut(1_000_000, change_script(plan))
    paid = TxOut(made.transaction.outputs[0].amount - kept.amount, script_for(SUPPLIER))
    transaction = replace(made.transaction, outputs=(paid, kept))
    identity = edit(made.identity, transactions=(transaction.stripped(),))
    with refuses("OUTPUTS_NOT_REQUESTED") as caught:
        propose(edit(made, identity=identity, change=4), plan.request, told.charter)
    assert "keeps something back" in str(caught.error)


def test_a_sweep_into_two_outputs_is_refused(told, edit, coins, plan_of):
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
def test_each_vault_payee_has_its_own_index_and_nobody_else_has_one(told, edit, coins, plan_of, destinations):
    plan = plan_of(("Reserve", 1_000_000))
    made = drafted(plan, coins)
    listed = tuple(VaultDestination(payee=payee, index=index) for payee, index in destinations)
    with refuses("OUTPUTS_NOT_REQUESTED"):
        propose(edit(made, destinations=listed), plan.request, told.charter)


def test_an_address_payee_with_an_index_is_refused(told, edit):
    made = edit(told.draft, destinations=(VaultDestination(payee=SUPPLIER, index=0),))
    with refuses("OUTPUTS_NOT_REQUESTED"):
        check_indexes(proposal_of(told, draft=made), 0, {"reserve": 3})


@pytest.mark.parametrize("index", [8, 10, 2**31 - 1])
def test_a_vault_payee_at_another_index_than_the_next_is_refused(told, edit, coins, plan_of, index):
    made = edit(
        drafted(plan_of(("Reserve", 1_000_000)), coins), destinations=(VaultDestination(payee="Reserve", index=index),)
    )
    with refuses("INDEX_NOT_NEXT"):
        check_indexes(proposal_of(told, draft=made), 4, {"reserve": 9})


@pytest.mark.parametrize("change", [3, 5, 2**31 - 1])
def test_change_at_another_index_than_the_next_is_refused(told, edit, coins, plan_of, change):
    made = edit(drafted(plan_of((SUPPLIER, 1_000_000)), coins), change=change)
    with refuses("INDEX_NOT_NEXT"):
        check_indexes(proposal_of(told, draft=made), 4, {"reserve": 9})


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


def test_a_replacement_spends_a_coin_of_each_it_replaces(coins, plan_of):
    plan = plan_of((SUPPLIER, 5_000_000))
    one, other = drafted(plan, coins[:1]), drafted(plan, coins[1:2])
    both = drafted(plan_of((SUPPLIER, 15_000_000)), coins[:2])
    check_conflicts(both, {one.transfer_id: one, other.transfer_id: other})
    with refuses("REPLACE_NO_CONFLICT") as caught:
        check_conflicts(one, {one.transfer_id: one, other.transfer_id: other})
    assert caught.error.transfer == other.transfer_id.hex()


def test_a_selection_without_change_makes_one_output_less(coins, plan_of):
    plan = plan_of((SUPPLIER, 1_000_000))
    selection = Selection((coins[0],), None, coins[0].amount - 1_000_000, 0, Algorithm.BRANCH_AND_BOUND)
    made = draft(plan, selection, Chance().below)
    assert (made.change, len(made.transaction.outputs)) == (None, 1)
