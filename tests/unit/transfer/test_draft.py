"""A draft: from a request and coins to one unsigned transaction."""

from collections import Counter
from dataclasses import replace

import pytest

from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import Transaction, TxOut
from custody.charter.rules import Payment
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Chance, payee_address
from custody.transfer.draft import REPLACEABLE, Plan, change_script, draft, outputs_of, signed_weight, terms_of
from custody.transfer.proposal import check_indexes, check_transaction, propose
from custody.transfer.request import Purpose
from custody.transfer.selection import Algorithm, Selection, weight_of
from custody.units import Network
from custody.vault.descriptor import Branch

HEIGHT = 150


def script_for(payee: str) -> bytes:
    return script_of(payee_address(payee), Network.REGTEST)


# --- making one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_a_draft_pays_what_was_asked_and_returns_the_rest(told, coins, plan_of, seed, drafted):
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
    check_indexes(propose(made, plan.request, told.charter), 4, 4, {"reserve": 9})


def test_seats_say_where_each_input_sits(told, coins, plan_of, drafted):
    made = drafted(plan_of((SUPPLIER, 35_000_000)), coins)
    assert len(made.seats) == len(made.transaction.inputs) > 3
    for seat, spent in zip(made.seats, made.identity.spent, strict=True):
        assert told.cast.vault.script_pubkey(seat.branch, seat.index) == spent.script_pubkey


def test_inputs_and_outputs_stand_in_no_telling_order(coins, plan_of, drafted):
    plan = plan_of((SUPPLIER, 25_000_000))
    made = [drafted(plan, coins, seed).transaction for seed in range(30)]
    assert {each.outputs[0].script_pubkey for each in made} == {script_for(SUPPLIER), change_script(plan)}
    assert len({tuple(spending.outpoint for spending in each.inputs) for each in made}) > 10


def test_a_seed_makes_the_same_draft_again(coins, plan_of, drafted):
    plan = plan_of((SUPPLIER, 25_000_000))
    assert drafted(plan, coins, 3).transfer_id == drafted(plan, coins, 3).transfer_id
    assert drafted(plan, coins, 3).transfer_id != drafted(plan, coins, 4).transfer_id


def test_the_locktime_is_the_height_seen_and_sometimes_a_little_less(coins, plan_of, drafted):
    plan = plan_of((SUPPLIER, 25_000_000))
    found = Counter(drafted(plan, coins, seed).transaction.locktime for seed in range(200))
    assert found[HEIGHT] > 140
    assert all(HEIGHT - 100 < each <= HEIGHT for each in found)
    assert len(found) > 5
    low = replace(plan, height=3)
    assert all(0 <= drafted(low, coins, seed).transaction.locktime <= 3 for seed in range(60))


def test_every_input_may_be_replaced_and_none_carries_a_relative_lock(coins, plan_of, drafted):
    made = drafted(plan_of((SUPPLIER, 25_000_000)), coins)
    assert {each.sequence for each in made.transaction.inputs} == {REPLACEABLE}
    assert made.transaction.version == 2


def test_a_sweep_pays_all_but_the_fee(told, coins, plan_of, drafted):
    plan = plan_of((SUPPLIER, None), purpose=Purpose.SWEEP)
    made = drafted(plan, coins)
    total = sum(each.amount for each in coins)
    assert made.transaction.outputs == (TxOut(total - made.fee, script_for(SUPPLIER)),)
    assert made.change is None
    case = propose(made, plan.request, told.charter).case
    assert (case.payments, case.change) == ((Payment(SUPPLIER, total - made.fee),), 0)
    assert case.moved == total - made.fee


@pytest.mark.parametrize("purpose", [Purpose.CONSOLIDATION, Purpose.CANCELLATION])
def test_what_stays_inside_returns_as_change(told, coins, plan_of, purpose, drafted):
    plan = plan_of(purpose=purpose)
    made = drafted(plan, coins)
    case = propose(made, plan.request, told.charter).case
    assert (case.payments, case.outflow) == ((), made.fee)
    assert case.moved == case.change == sum(each.amount for each in coins) - made.fee


def test_a_vault_is_paid_at_its_next_addresses_in_the_order_asked(told, coins, plan_of, drafted):
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


def test_a_selection_without_change_makes_one_output_less(coins, plan_of):
    plan = plan_of((SUPPLIER, 1_000_000))
    selection = Selection((coins[0],), None, coins[0].amount - 1_000_000, 0, Algorithm.BRANCH_AND_BOUND)
    made = draft(plan, selection, Chance().below)
    assert (made.change, len(made.transaction.outputs)) == (None, 1)


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
    return terms_of(plan)


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


# --- what holds it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 2])
def test_there_is_exactly_one_transaction(told, edit, count):
    identity = edit(told.draft.identity, transactions=told.draft.identity.transactions * count)
    with refuses("SPENT_MISMATCH"):
        _ = edit(told.draft, identity=identity).transaction


def test_bytes_that_are_no_transaction_are_refused_by_name(told, edit):
    for raw in (b"", b"\x02\x00\x00\x00", told.draft.identity.transactions[0] + b"\x00"):
        with refuses("TX_ENCODING"):
            _ = edit(told.draft, identity=edit(told.draft.identity, transactions=(raw,))).transaction
