"""What an address is given out for: payer, purpose and class, all three and in one spelling."""

import pytest

from custody.history import kinds, lists
from custody.record import canonical
from custody.testing.asserts import refuses
from custody.testing.cast import expected
from custody.transfer.address import AddressAnnex, AddressIssued, ExpectedDeposit
from custody.vault.coins import check_class

GOOD = AddressAnnex.of(expected())


@pytest.mark.parametrize("label", ["a", "seized", "mined", "bought-2024", "a" + "9" * 39])
def test_a_class_is_a_short_label(label):
    assert check_class(label) == label


@pytest.mark.parametrize(
    "label",
    ["", "Seized", "2024", "-mined", "mined coins", "mined_coins", "mined\n", "алынған", "a" * 41, "se\u0131zed"],
)
def test_anything_else_is_no_class(label):
    with refuses("CLASS_INVALID") as caught:
        check_class(label)
    assert str(caught.error).isascii()


@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize("what", ["payer", "purpose", "class"])
def test_an_address_is_given_out_for_something_and_to_somebody(what, blank):
    said = {"payer": "Ministry", "purpose": "case 17", "class": "seized"} | {what: blank}
    with refuses("DEPOSIT_UNSAID") as caught:
        ExpectedDeposit(*said.values())
    assert caught.error.missing == what


def test_all_that_is_missing_is_named_at_once():
    with refuses("DEPOSIT_UNSAID") as caught:
        ExpectedDeposit("", "", "")
    assert caught.error.missing == "payer, purpose, class"


def test_a_record_without_a_payer_is_none():
    fields = GOOD.model_dump(mode="json")
    assert AddressAnnex.from_bytes(canonical(fields)) == GOOD
    with refuses("DEPOSIT_UNSAID"):
        AddressAnnex.from_bytes(canonical(fields | {"payer": ""}))
    for name in ("payer", "purpose"):
        less = {key: value for key, value in fields.items() if key != name}
        with refuses("RECORD_INVALID"):
            AddressAnnex.from_bytes(canonical(less))


def test_the_history_finds_an_address_by_its_vault_and_index(told, add):
    history = told.until(kinds.REQUESTED)
    vault = told.cast.vault.id
    due = history.next_index(vault, 0)
    newest = lists.address(history, vault, due - 1)
    issued = history.read(AddressIssued, newest.issued)
    assert history.annex(AddressAnnex, issued.annex) == AddressAnnex.of(expected())
    assert newest.coin_class == expected().coin_class
    again = AddressIssued.of("seized", bytes(32), vault, due, 0, told.now)
    after = add(history, kinds.ADDRESS_ISSUED, again)
    assert [lists.address(after, vault, index) is not None for index in range(due + 2)] == [True] * (due + 1) + [False]
    assert lists.address(history, vault, due) is None
    # Asked for again, the same payer gets the next one: no index is given out twice.
    with refuses("HISTORY_INVALID"):
        add(after, kinds.ADDRESS_ISSUED, again)
