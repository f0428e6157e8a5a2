"""What single sentences of a charter say."""

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from custody.charter.people import Role
from custody.charter.rules import (
    AllowRule,
    ApprovalsRule,
    Carried,
    Case,
    FeeRule,
    LimitRule,
    Payment,
)

amounts = st.integers(1, 10**12)


def case(paid: int = 1_000_000, fee: int = 1_000, change: int = 0, vbytes: int = 200, vault: str = "cold") -> Case:
    payments = (Payment("Supplier", paid),) if paid else ()
    return Case(
        vault=vault, purpose="payment", requester="Dana", payments=payments, change=change, fee=fee, vbytes=vbytes
    )


def limit(most: int) -> LimitRule:
    return LimitRule(name="limit", vaults=("cold",), max_outflow=most)


def fees(max_fee: int = 10**12, max_rate: int = 10**15, max_share: int = 10_000) -> FeeRule:
    return FeeRule(name="fees", vaults=("cold",), max_fee=max_fee, max_rate=max_rate, max_share=max_share)


@given(st.lists(amounts, max_size=5), amounts, amounts)
def test_what_leaves_is_what_is_paid_and_the_fee(paid, fee, change):
    payments = tuple(Payment("Supplier", amount) for amount in paid)
    asked = Case(
        vault="cold", purpose="payment", requester="Dana", payments=payments, change=change, fee=fee, vbytes=200
    )
    assert asked.outflow == sum(paid) + fee
    assert asked.moved == (sum(paid) if paid else change)


@given(amounts, amounts)
def test_a_limit_refuses_from_the_first_satoshi_over_it(paid, fee):
    outflow = paid + fee
    assert limit(outflow).refusals(case(paid, fee)) == ()
    (refusal,) = limit(outflow - 1).refusals(case(paid, fee))
    assert (refusal.code, refusal.outflow, refusal.limit) == ("LIMIT_TRANSFER", outflow, outflow - 1)


@given(amounts, st.integers(1, 10**6))
def test_a_fee_s_ceiling_in_sats(fee, vbytes):
    asked = case(10**12, fee, vbytes=vbytes)
    assert fees(max_fee=fee).refusals(asked) == ()
    (refusal,) = fees(max_fee=fee - 1).refusals(asked)
    assert refusal.code == "FEE_ABSOLUTE"


@given(amounts, amounts)
def test_fees_before_count_under_the_same_ceiling(fee, before):
    asked = replace(case(10**12, fee), fees_before=before)
    assert asked.outflow == 10**12 + fee
    assert fees(max_fee=fee + before).refusals(asked) == ()
    (refusal,) = fees(max_fee=fee + before - 1).refusals(asked)
    assert (refusal.code, refusal.total) == ("REPLACE_FEE_TOTAL", fee + before)
    # Above the ceiling by itself, it is that and nothing else.
    (refusal,) = fees(max_fee=fee - 1).refusals(asked)
    assert refusal.code == "FEE_ABSOLUTE"


@given(
    st.integers(1, 10**9), st.integers(1, 10**5), st.integers(0, 10**9), st.integers(1, 10**5), st.integers(0, 10**9)
)
def test_the_rate_of_a_child_is_its_own_whatever_it_carries(fee, vbytes, their_fee, their_vbytes, most):
    asked = replace(case(10**12, fee, vbytes=vbytes), carried=Carried(their_fee, their_vbytes))
    refused = fees(max_rate=most).refusals(asked)
    assert bool(refused) is (Fraction(fee * 1000, vbytes) > most)
    assert asked.rate_together == ceil(Fraction((fee + their_fee) * 1000, vbytes + their_vbytes))
    assert all(each.code == "FEE_RATE" for each in refused)


@given(st.integers(1, 10**9), st.integers(1, 10**5), st.integers(0, 10**9))
def test_a_fee_s_ceiling_for_its_size_is_never_passed_by_rounding(fee, vbytes, most):
    refused = fees(max_rate=most).refusals(case(10**12, fee, vbytes=vbytes))
    assert bool(refused) is (Fraction(fee * 1000, vbytes) > most)
    assert all(each.code == "FEE_RATE" for each in refused)


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 10_000))
def test_a_fee_s_ceiling_for_the_amount_moved_is_never_passed_by_rounding(fee, moved, share):
    refused = fees(max_share=share).refusals(case(moved, fee))
    assert bool(refused) is (Fraction(fee, moved) > Fraction(share, 10_000))
    assert all(each.code == "FEE_SHARE" for each in refused)


def test_of_several_ceilings_each_speaks():
    refused = fees(max_fee=1, max_rate=1, max_share=1).refusals(case(1_000, 500))
    assert [each.code for each in refused] == ["FEE_ABSOLUTE", "FEE_RATE", "FEE_SHARE"]


def test_what_only_returns_is_measured_by_what_returns():
    returning = case(0, fee=1_000, change=1_000_000)
    assert fees(max_share=10).refusals(returning) == ()
    assert fees(max_share=9).refusals(returning)


@pytest.mark.parametrize(("outflow", "is_asked"), [(999, False), (1_000, True), (1_001, True)])
def test_approvals_are_asked_from_an_amount_up(outflow, is_asked):
    rule = ApprovalsRule(name="two", vaults=("cold",), role=Role.OFFICER, count=2, from_amount=1_000)
    demand = rule.demand(case(outflow - 10, 10))
    assert (demand is not None) is is_asked
    if demand is not None:
        assert (demand.rule, demand.role, demand.count) == ("two", Role.OFFICER, 2)


def test_a_rule_speaks_of_its_own_vaults_only():
    rule = AllowRule(name="allow", vaults=("cold", "warm"), payees=("Supplier",))
    assert rule.governs(case())
    assert rule.governs(case(vault="warm"))
    assert not rule.governs(case(vault="hot"))
    assert not rule.governs(case(vault="col"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: AllowRule(name="a", vaults=(), payees=("Supplier",)),
        lambda: AllowRule(name="a", vaults=("cold",), payees=()),
        lambda: AllowRule(name="a", vaults=("b", "a"), payees=("Supplier",)),
        lambda: AllowRule(name="a", vaults=("cold",), payees=("b", "a")),
        lambda: ApprovalsRule(name="a", vaults=("cold",), role=Role.OFFICER, count=0),
        lambda: ApprovalsRule(name="a", vaults=("cold",), role=Role.OFFICER, count=101),
        lambda: FeeRule(name="a", vaults=("cold",), max_fee=1, max_rate=1, max_share=10_001),
    ],
    ids=["no vault", "no payee", "vaults unsorted", "payees unsorted", "nobody", "too many", "more than all"],
)
def test_a_rule_that_would_say_nothing_or_two_things_is_refused(wrong):
    with pytest.raises(ValidationError):
        wrong()
