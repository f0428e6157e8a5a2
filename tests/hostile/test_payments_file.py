"""A list of payments that somebody prepared (THREATS F13, C9, D8): what lies on a screen, and what does not belong."""

import pytest

from custody.apps.commands.payments_file import parse_payments
from custody.testing.asserts import refuses
from custody.testing.cast import cosigner_key, make_cast

CHARTER = make_cast().charter
BEGIN = "payee,amount\n"

LIES = {
    "right to left": "Supplier\u202e",
    "an isolate": "\u2066Supplier\u2069",
    "no width": "Sup\u200bplier",
    "an escape": "\x1b[2JSupplier",
    "a zero byte": "Supplier\0",
    "a line break": '"Supp\nlier"',
    "not in normal form": "Mu\u0308ller",
    "a mark inside the file": "\ufeffSupplier",
    "markup": "[bold]Supplier",
    "a blank that is none": "Supplier\u00a0",
}


@pytest.mark.parametrize("name", LIES.values(), ids=LIES)
def test_a_payee_that_lies_on_a_screen_is_refused_with_its_line(name):
    with refuses("TEXT_FORBIDDEN") as caught:
        parse_payments(f"{BEGIN}Tax office,1000\n{name},5000\n".encode(), CHARTER)
    message = str(caught.error)
    assert "line 3" in message
    assert message.isprintable()


@pytest.mark.parametrize("name", ["Supp1ier", "Suppl\u0456er", "\u0405upplier", "Supplier.", "SUPPLIER"])
def test_a_name_that_looks_like_a_payee_s_is_nobody_s_and_is_shown_letter_by_letter(name):
    with refuses("PAYMENT_PAYEE") as caught:
        parse_payments(f"{BEGIN}{name},5000\n".encode(), CHARTER)
    assert ascii(name) in str(caught.error)


@pytest.mark.parametrize("amount", ["\u0665\u0660\u0660\u0660", "5000\u202e", "\uff15000", "5\u00a0000", "5000\x1b[2J"])
def test_digits_that_only_look_so_are_no_amount(amount):
    with refuses("PAYMENT_AMOUNT") as caught:
        parse_payments(f"{BEGIN}Supplier,{amount}\n".encode(), CHARTER)
    assert str(caught.error).isprintable()


@pytest.mark.parametrize("header", ["payee,amount\u202e", "payee,\x1b[8mamount"])
def test_a_header_that_lies_is_shown_with_its_escapes(header):
    with refuses("CSV_UNREADABLE") as caught:
        parse_payments(f"{header}\nSupplier,5000\n".encode(), CHARTER)
    assert str(caught.error).isprintable()


def test_a_private_key_in_any_cell_is_refused_and_not_shown():
    words = " ".join(["abandon"] * 11 + ["about"])
    for text in (f"{BEGIN}{words},5000\n", f"{BEGIN}Supplier,{words}\n", f"{words},amount\n"):
        with refuses("SECRET_MATERIAL") as caught:
            parse_payments(text.encode(), CHARTER)
        assert "abandon" not in str(caught.error)


def test_a_cell_without_end_is_refused():
    with refuses("CSV_UNREADABLE") as caught:
        parse_payments(f'{BEGIN}Supplier,5000\n"{"x" * 900_000}'.encode(), CHARTER)
    assert len(str(caught.error)) < 200


def test_no_address_is_paid_only_names_are():
    own = next(each.address for each in CHARTER.payees if each.type == "address")
    fingerprint = cosigner_key("astana").fingerprint.hex()
    for name in (own, fingerprint):
        with refuses("PAYMENT_PAYEE"):
            parse_payments(f"{BEGIN}{name},5000\n".encode(), CHARTER)
