"""The payer card: what it takes from a charter, and what it leaves there."""

from typing import Any

import pytest

from custody.charter.card import CardVault, PayerCard, card_of, check_card, statement_quorum
from custody.charter.document import Charter, CharterVault
from custody.charter.people import Role
from custody.charter.rules import ApprovalsRule, FeeRule
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, make_cast, vault_of

CAST = make_cast()
CARD = card_of(CAST.charter)


def edited(record: Any, **changes: Any) -> Any:
    return type(record)(**({name: getattr(record, name) for name in type(record).model_fields} | changes))


def asking(*rules: ApprovalsRule) -> Charter:
    """The charter with these approvals rules in place of its own."""
    kept = [each for each in CAST.charter.rules if not isinstance(each, ApprovalsRule)]
    return edited(CAST.charter, rules=tuple(sorted((*kept, *rules), key=lambda each: each.name)))


def rule(name: str, count: int, from_amount: int = 0, role: Role = Role.OFFICER) -> ApprovalsRule:
    return ApprovalsRule(name=name, vaults=("reserve",), role=role, count=count, from_amount=from_amount)


def test_a_card_names_the_officers_and_nobody_else():
    assert [each.name for each in CARD.officers] == sorted(OFFICERS)
    assert REQUESTER not in {each.name for each in CARD.officers}
    assert CARD.quorum(CAST.vault.id).threshold == 2
    assert (CARD.charter, CARD.network) == (CAST.digest, CAST.charter.network)
    assert PayerCard.from_bytes(CARD.to_bytes()) == CARD
    check_card(CARD, CAST.charter)


def test_a_card_tells_nothing_of_keys_of_coins_payees_or_rules():
    told = CARD.to_bytes().decode()
    assert "tpub" not in told
    assert "sortedmulti" not in told
    for secret in ("reserve", "Supplier", "two officers", "parliament.example"):
        assert secret not in told


@pytest.mark.parametrize(
    ("rules", "count"),
    [
        ((rule("a", 1),), 1),
        ((rule("a", 1), rule("b", 3)), 3),
        ((rule("a", 3), rule("b", 2)), 3),
        # What is asked for large transfers only is not asked for every one.
        ((rule("a", 2), rule("b", 3, from_amount=1)), 2),
        # Requesters approve transfers where the charter says so; they vouch for no address.
        ((rule("a", 1), rule("b", 1, role=Role.REQUESTER)), 1),
    ],
)
def test_as_many_officers_vouch_as_every_transfer_needs(rules, count):
    quorum = statement_quorum(asking(*rules), "reserve")
    assert (quorum.threshold, len(quorum.members)) == (count, 3)


def test_where_no_officer_approves_nobody_vouches():
    charter = asking(rule("a", 1, role=Role.REQUESTER), rule("b", 2, from_amount=1))
    with refuses("NOBODY_VOUCHES"):
        card_of(charter)
    with refuses("NOBODY_VOUCHES"):
        statement_quorum(charter, "reserve")


def two_vaults() -> Charter:
    """A second vault whose small transfers are approved by requesters."""
    other = vault_of(("eve", "mallory", "trudy"), 2)[0]
    entry = CharterVault(name="daily", descriptor=other.descriptor, birthday=0)
    vaults = ("daily",)
    rules = (
        FeeRule(name="daily fees", vaults=vaults, max_fee=1, max_rate=1, max_share=1),
        ApprovalsRule(name="daily yes", vaults=vaults, role=Role.REQUESTER, count=1),
    )
    kept = CAST.charter.rules
    return edited(
        CAST.charter,
        vaults=(entry, *CAST.charter.vaults),
        rules=tuple(sorted((*kept, *rules), key=lambda each: each.name)),
    )


def test_a_vault_that_nobody_vouches_for_is_not_on_the_card():
    charter = two_vaults()
    assert [each.vault for each in card_of(charter).vaults] == [CAST.vault.id]
    with refuses("NOBODY_VOUCHES"):
        statement_quorum(charter, "daily")
    assert statement_quorum(charter, "reserve").threshold == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"officers": CARD.officers[::-1]},
        {"officers": (*CARD.officers, CARD.officers[-1])},
        {"vaults": CARD.vaults * 2},
        {"vaults": (CardVault(vault=CAST.vault.id, threshold=4),)},
    ],
)
def test_a_card_that_contradicts_itself_is_refused(changes):
    with refuses("CARD_INVALID"):
        edited(CARD, **changes)


def test_one_key_is_one_officer():
    first, second, third = CARD.officers
    with refuses("DUP_OFFICER_KEY"):
        edited(CARD, officers=(first, edited(second, key=first.key), third))


def test_another_card_than_the_charter_s_is_refused():
    with refuses("CARD_MISMATCH"):
        check_card(edited(CARD, institution="National Bank"), CAST.charter)
