"""What may take the place of another transfer: the same from the same coins, at another fee that nodes take."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE
from custody.transfer.draft import signed_weight
from custody.transfer.replacement import (
    INCREMENTAL_RATE,
    MAX_EVICTED,
    Evicted,
    Waiting,
    check_payees,
    check_relayed,
    check_replacement,
    fees_before,
)
from custody.transfer.request import Purpose, RequestedPayment
from custody.units import fee_at, vsize


def pay(*payments):
    return tuple(RequestedPayment(payee=payee, amount=amount) for payee, amount in payments)


BOTH = pay((SUPPLIER, 1_000), (TAX_OFFICE, 2_000))


@pytest.mark.parametrize(
    ("payments", "is_same"),
    [
        (BOTH, True),
        (BOTH[::-1], True),
        (BOTH[:1], False),
        ((*BOTH, BOTH[0]), False),
        (pay((SUPPLIER, 1_000), (TAX_OFFICE, 2_001)), False),
        (pay((SUPPLIER, 2_000), (TAX_OFFICE, 1_000)), False),
        (pay((SUPPLIER, 3_000)), False),
    ],
)
def test_the_same_payees_get_the_same_in_any_order(told, edit, retold, payments, is_same):
    theirs = retold(told.transfer, request=edit(told.request, payments=BOTH))
    own = edit(told.request, payments=payments)
    if is_same:
        check_payees(own, [theirs])
    else:
        with refuses("REPLACE_PAYEES"):
            check_payees(own, [theirs])
    # Whatever a transfer pays, it may be cancelled; and a cancellation binds nobody.
    cancel = edit(told.request, purpose=Purpose.CANCELLATION, payments=(), replaces=(theirs.id,))
    check_payees(cancel, [theirs])
    check_payees(own, [retold(theirs, request=cancel)])


def test_a_child_of_another_parent_is_another_purpose(told, edit, retold):
    one, other = (edit(told.request, purpose=Purpose.CHILD, payments=(), parent=bytes([n]) * 32) for n in (1, 2))
    check_payees(one, [retold(told.transfer, request=one)])
    with refuses("REPLACE_PAYEES") as caught:
        check_payees(other, [retold(told.transfer, request=one)])
    assert "a child-pays-for-parent to nobody" in str(caught.error)


def test_what_replaces_nothing_is_free_in_its_coins(told):
    check_replacement(told.draft, told.request, ())


def test_fees_before_are_those_of_all_that_is_replaced_and_of_what_is_sped_up_each_once(told, redrafted, retold):
    def made(number, **rest):
        outputs = [replace(told.draft.transaction.outputs[0], amount=1_000 + number)]
        return retold(told.transfer, draft=redrafted(told.draft, outputs=outputs), **rest)

    first = made(1)
    second = made(2, replaced=(first,))
    child = made(3, parent=second)
    other = made(4, parent=second, replaced=(child,))
    fee = {each.id: each.draft.fee for each in (first, second, child, other)}
    assert fees_before(first) == 0
    assert fees_before(second) == fee[first.id]
    assert fees_before(child) == fee[first.id] + fee[second.id]
    assert fees_before(other) == fee[first.id] + fee[second.id] + fee[child.id]
    # A cancellation of the child is none itself, and spends the same change.
    assert fees_before(retold(other, parent=None)) == fees_before(other)
    assert fees_before(retold(other, replaced=(child, second))) == fees_before(other)


@given(evicted=st.integers(0, 10**6), rate=st.integers(0, 10**6))
def test_nodes_take_it_from_the_rate_that_is_named(told, redrafted, evicted, rate):
    size = vsize(signed_weight(told.draft, told.cast.vault))
    spent = sum(each.amount for each in told.draft.identity.spent)
    (output,) = told.draft.transaction.outputs[:1]

    def paying(fee):
        return redrafted(told.draft, outputs=[replace(output, amount=spent - fee)])

    waiting = Waiting((Evicted(evicted, rate),))
    vault = told.cast.vault
    # One output instead of two: smaller than `size`, which is all the same for what is compared.
    size = vsize(signed_weight(paying(1), vault))
    with refuses("REPLACE_FEE_LOW") as caught:
        check_relayed(paying(min(evicted, 1)), vault, waiting)
    least = caught.error.rate
    check_relayed(paying(fee_at(least, size)), vault, waiting)
    enough = fee_at(least, size)
    assert enough >= evicted + fee_at(INCREMENTAL_RATE, size)
    assert enough * 1000 > rate * size
    with refuses("REPLACE_FEE_LOW"):
        check_relayed(paying(enough - 2 * size // 1000 - 2), vault, waiting)


def test_where_nothing_waits_any_fee_will_do(told):
    check_relayed(told.draft, told.cast.vault, Waiting())


def test_of_several_that_may_wait_each_must_be_outbid(told):
    fee = told.draft.fee
    low, high = Evicted(fee // 4, 1), Evicted(fee, 1)
    check_relayed(told.draft, told.cast.vault, Waiting((low,)))
    with refuses("REPLACE_FEE_LOW") as caught:
        check_relayed(told.draft, told.cast.vault, Waiting((low, high)))
    assert caught.error.evicted == fee


def test_what_a_node_asks_for_on_top_counts_where_it_is_more(told):
    size = vsize(signed_weight(told.draft, told.cast.vault))
    fee = told.draft.fee
    nearly = Evicted(fee - fee_at(INCREMENTAL_RATE, size), 1)
    for step in (1, INCREMENTAL_RATE):
        check_relayed(told.draft, told.cast.vault, Waiting((nearly,), step))
    with refuses("REPLACE_FEE_LOW"):
        check_relayed(told.draft, told.cast.vault, Waiting((nearly,), INCREMENTAL_RATE + 1_000))


def test_nodes_throw_out_a_hundred_for_one_and_no_more(told):
    check_relayed(told.draft, told.cast.vault, Waiting((Evicted(0, 0, MAX_EVICTED),)))
    with refuses("REPLACE_TOO_MANY"):
        check_relayed(told.draft, told.cast.vault, Waiting((Evicted(0, 0, MAX_EVICTED + 1),)))
