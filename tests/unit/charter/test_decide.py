"""The decision: pure, order independent, and no unless something says yes to every payee."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.charter.decide import Decision, Verdict, decide, refuse_denied
from custody.charter.document import Charter
from custody.charter.facts import Facts
from custody.charter.people import Role
from custody.charter.rules import AllowRule, ApprovalsRule, Case, FeeRule, LimitRule, Payment
from custody.record import MAX_TEXT
from custody.testing.asserts import refuses
from custody.testing.cast import STRANGER, SUPPLIER, TAX_OFFICE, make_cast

TRANSFER = bytes(31) + b"\x07"
CAST = make_cast()
FACTS = Facts(at=1_700_000_000)


def charter(*rules: object) -> Charter:
    """The cast's charter with these rules, named in the order given."""
    fields = {name: getattr(CAST.charter, name) for name in Charter.model_fields}
    return Charter(**(fields | {"rules": tuple(sorted(rules, key=lambda each: each.name))})) if rules else CAST.charter


def case(*payments: tuple[str, int], fee: int = 1_000, change: int = 50_000, **rest: object) -> Case:
    paid = tuple(Payment(payee, amount) for payee, amount in payments or ((SUPPLIER, 1_000_000),))
    return Case(
        **(
            {
                "vault": "reserve",
                "purpose": "payment",
                "requester": "Dana",
                "payments": paid,
                "change": change,
                "fee": fee,
                "vbytes": 300,
            }
            | rest
        )
    )


def verdict(asked: Case, under: Charter | None = None, facts: Facts = FACTS) -> Decision:
    return decide(TRANSFER, asked, under or CAST.charter, facts)


def codes(decision: Decision) -> list[str]:
    return [finding.code for finding in decision.findings if finding.code]


def test_what_the_rules_allow_needs_the_approvals_they_ask():
    decision = verdict(case())
    assert decision.verdict is Verdict.NEEDS
    (demand,) = decision.demands
    assert (demand.rule, demand.role, demand.count) == ("two officers", Role.OFFICER, 2)
    assert (decision.transfer, decision.charter) == (TRANSFER, CAST.digest)
    assert {finding.rule for finding in decision.findings} == {each.name for each in CAST.charter.rules}
    refuse_denied(case(), CAST.charter, FACTS)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (case((STRANGER, 1_000_000)), "DEST_NOT_ALLOWED"),
        (case((SUPPLIER, 600_000_000), fee=1_000), "LIMIT_TRANSFER"),
        (case((SUPPLIER, 100_000_000), fee=200_001, vbytes=10_000), "FEE_ABSOLUTE"),
        (case((SUPPLIER, 100_000_000), fee=30_001, vbytes=300), "FEE_RATE"),
        (case((SUPPLIER, 10_000), fee=1_001), "FEE_SHARE"),
        (case(vault="another"), "DEST_NOT_ALLOWED"),
    ],
    ids=["payee", "limit", "fee", "rate", "share", "vault"],
)
def test_each_rule_denies_what_only_it_is_against(asked, code):
    decision = verdict(asked)
    assert decision.verdict is Verdict.DENY
    assert codes(decision) == [code]
    with refuses(code):
        refuse_denied(asked, CAST.charter, FACTS)


def test_a_freeze_denies_everything():
    frozen = Facts(at=1, frozen_by="a coin was stolen")
    decision = verdict(case(), facts=frozen)
    assert (decision.verdict, codes(decision)) == (Verdict.DENY, ["FROZEN"])
    with refuses("FROZEN"):
        refuse_denied(case(), CAST.charter, frozen)


def test_one_payee_that_nothing_allows_spoils_the_rest():
    decision = verdict(case((SUPPLIER, 1_000_000), (STRANGER, 1), (TAX_OFFICE, 1_000_000)))
    assert codes(decision) == ["DEST_NOT_ALLOWED"]


def test_payees_may_be_allowed_by_different_rules():
    rest = [each for each in CAST.charter.rules if not isinstance(each, AllowRule)]
    two = (
        AllowRule(name="one", vaults=("reserve",), payees=(SUPPLIER,)),
        AllowRule(name="other", vaults=("reserve",), payees=(TAX_OFFICE,)),
    )
    assert verdict(case((SUPPLIER, 1_000_000), (TAX_OFFICE, 1)), charter(*rest, *two)).verdict is Verdict.NEEDS
    assert verdict(case((SUPPLIER, 1_000_000), (TAX_OFFICE, 1)), charter(*rest, two[0])).verdict is Verdict.DENY


def test_nothing_is_allowed_because_nothing_was_said():
    rest = [each for each in CAST.charter.rules if not isinstance(each, AllowRule)]
    assert codes(verdict(case(), charter(*rest))) == ["DEST_NOT_ALLOWED"]


def test_the_demands_of_every_matching_rule_are_asked():
    more = ApprovalsRule(name="large", vaults=("reserve",), role=Role.OFFICER, count=3, from_amount=2_000_000)
    under = charter(*CAST.charter.rules, more)
    assert [demand.count for demand in verdict(case(), under).demands] == [2]
    assert {demand.count for demand in verdict(case((SUPPLIER, 2_000_000)), under).demands} == {2, 3}


def test_what_pays_nobody_needs_approvals_too():
    decision = verdict(case(fee=1_000, change=5_000_000, payments=(), purpose="consolidation"))
    assert (decision.verdict, codes(decision)) == (Verdict.NEEDS, [])


def test_a_reason_always_fits_and_a_name_can_be_long():
    frozen = Facts(at=1, frozen_by="x" * 5_000)
    (finding,) = [each for each in verdict(case(), facts=frozen).findings if each.code]
    assert len(finding.reason) <= MAX_TEXT


payments = st.lists(
    st.tuples(st.sampled_from([SUPPLIER, TAX_OFFICE, STRANGER, "Reserve"]), st.integers(1, 10**9)),
    min_size=1,
    max_size=5,
)
rules = st.lists(
    st.one_of(
        st.builds(lambda most: LimitRule(name="", vaults=("reserve",), max_outflow=most), st.integers(0, 10**9)),
        st.builds(
            lambda fee: FeeRule(name="", vaults=("reserve",), max_fee=fee, max_rate=10**6, max_share=10_000),
            st.integers(0, 10**6),
        ),
        st.builds(
            lambda payee: AllowRule(name="", vaults=("reserve",), payees=(payee,)),
            st.sampled_from([SUPPLIER, TAX_OFFICE, "Reserve"]),
        ),
        st.builds(
            lambda count, least: ApprovalsRule(
                name="", vaults=("reserve",), role=Role.OFFICER, count=count, from_amount=least
            ),
            st.integers(1, 3),
            st.integers(0, 10**9),
        ),
    ),
    max_size=5,
)


def named(rule: object, name: str) -> object:
    return type(rule)(**({each: getattr(rule, each) for each in type(rule).model_fields} | {"name": name}))


@given(payments, st.integers(1, 10**5), rules, st.integers(0, 99))
def test_the_decision_depends_on_no_order_and_no_time(paid, fee, extra, seed):
    added = [named(rule, f"extra {n}") for n, rule in enumerate(extra)]
    under = charter(*CAST.charter.rules, *added)
    first = verdict(case(*paid, fee=fee), under)
    assert verdict(case(*paid, fee=fee), under, Facts(at=5)) == first
    shuffled = list(paid)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - any order will do
    other = verdict(case(*shuffled, fee=fee), under)
    assert (other.verdict, other.demands, sorted(codes(other))) == (first.verdict, first.demands, sorted(codes(first)))
    # The names that order the rules say nothing either.
    renamed = charter(*CAST.charter.rules, *(named(rule, f"extra {9 - n}") for n, rule in enumerate(extra)))
    assert verdict(case(*paid, fee=fee), renamed).verdict is first.verdict
    is_denied = bool(codes(first))
    assert first.verdict is (Verdict.DENY if is_denied else Verdict.NEEDS)


@given(payments, st.integers(1, 10**5), rules)
def test_a_limit_a_fee_cap_or_a_demand_more_never_allows_more(paid, fee, extra):
    tighter = [named(rule, f"extra {n}") for n, rule in enumerate(extra) if not isinstance(rule, AllowRule)]
    before = verdict(case(*paid, fee=fee))
    after = verdict(case(*paid, fee=fee), charter(*CAST.charter.rules, *tighter))
    if before.verdict is Verdict.DENY:
        assert after.verdict is Verdict.DENY
    assert set(codes(before)) <= set(codes(after))
    assert {(d.role, d.count) for d in before.demands} <= {(d.role, d.count) for d in after.demands}


@given(payments, st.integers(1, 10**5))
def test_refusing_and_deciding_agree(paid, fee):
    asked = case(*paid, fee=fee)
    decision = verdict(asked)
    if decision.verdict is Verdict.DENY:
        with refuses(codes(decision)[0]):
            refuse_denied(asked, CAST.charter, FACTS)
    else:
        refuse_denied(asked, CAST.charter, FACTS)
