"""A file of payments is read in full or not at all: what it may look like, and what each line is refused for."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.apps.commands.payments_file import check_total, parse_payments
from custody.apps.views.request import total_of
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting, make_cast
from custody.transfer.request import MAX_PAYMENTS, RequestedPayment
from custody.units import MAX_MONEY

TRICKY = ("Bolat, Dana & Sons", 'The "Blue" House', "=Cell", "Қазақстан Банкі", "O'Neil; Sons", "Total")
MANY = tuple(f"Payee {number:03d}" for number in range(MAX_PAYMENTS + 1))
CHARTER = make_cast(Setting(more_payees=TRICKY)).charter
BEGIN = "payee,amount\n"


def paid(text, charter=CHARTER):
    data = text if isinstance(text, bytes) else text.encode()
    return [(each.payee, each.amount) for each in parse_payments(data, charter)]


def test_a_line_is_a_payee_and_an_amount_in_the_file_s_order():
    text = f"{BEGIN}{TAX_OFFICE},25000000\n{SUPPLIER},0.25 BTC\n"
    assert paid(text) == [(TAX_OFFICE, 25_000_000), (SUPPLIER, 25_000_000)]


@pytest.mark.parametrize(
    "text",
    [
        "payee,amount\nSupplier,5000\n",
        "payee,amount\nSupplier,5000",
        "payee,amount\r\nSupplier,5000\r\n",
        "payee,amount\rSupplier,5000\r",
        "\ufeffpayee,amount\nSupplier,5000\n",
        "Payee, Amount\n Supplier , 5000 sat \n",
        '"payee","amount"\n"Supplier","5000"\n',
        "PAYEE,AMOUNT\nSupplier,0.00005 BTC\n",
    ],
)
def test_the_ways_in_which_programs_write_the_same_file(text):
    assert paid(text) == [(SUPPLIER, 5_000)]


def test_names_that_hold_commas_quotes_or_other_alphabets_are_read():
    text = io.StringIO()
    csv.writer(text).writerows([("payee", "amount"), *((name, 1000 + at) for at, name in enumerate(TRICKY))])
    assert paid(text.getvalue()) == [(name, 1000 + at) for at, name in enumerate(TRICKY)]


@given(st.lists(st.tuples(st.sampled_from((SUPPLIER, TAX_OFFICE, *TRICKY)), st.integers(1, 10**12)), min_size=1))
def test_what_is_written_is_read_again(rows):
    rows = list(dict(rows).items())
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("payee", "amount"), *rows])
    assert paid(text.getvalue()) == rows


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "CSV_UNREADABLE", "line 1"),
        ("\ufeff", "CSV_UNREADABLE", "line 1"),
        (BEGIN, "CSV_UNREADABLE", "line 2"),
        ("Supplier,5000\n", "CSV_UNREADABLE", "'Supplier,5000'"),
        ("payee,amount,note\nSupplier,5000,May\n", "CSV_UNREADABLE", "line 1"),
        ("amount,payee\n5000,Supplier\n", "CSV_UNREADABLE", "line 1"),
        ("payee;amount\nSupplier;5000\n", "CSV_SEPARATOR", "semicolons"),
        ("payee\tamount\nSupplier\t5000\n", "CSV_SEPARATOR", "tabs"),
        ("payee;amount\nSupplier;0,25 BTC\n", "CSV_SEPARATOR", "semicolons"),
        (BEGIN + "Supplier,5000\nTax office;6000\n", "CSV_SEPARATOR", "line 3"),
        (BEGIN + "Supplier,5000\n\nTax office,6000\n", "CSV_UNREADABLE", "line 3 of the payments file is blank"),
        (BEGIN + "Supplier,5000\n,,,\n", "CSV_UNREADABLE", "line 3 of the payments file is blank"),
        (BEGIN + "Supplier,5000\n\n", "CSV_UNREADABLE", "line 3 of the payments file is blank"),
        (BEGIN + ",5000\n", "CSV_UNREADABLE", "names no payee"),
        (BEGIN + "Supplier,1,000\n", "CSV_UNREADABLE", "3 columns"),
        (BEGIN + "Supplier\n", "CSV_UNREADABLE", "1 column"),
        (BEGIN + 'Supplier,5000\n"Tax office,6000\n', "CSV_UNREADABLE", "line 3"),
        (BEGIN + '"Supp"lier,5000\n', "CSV_UNREADABLE", "is not CSV"),
        (BEGIN + '"Supplier",5000\nTax office,x\n', "PAYMENT_AMOUNT", "line 3"),
        (BEGIN + "Supplier,0.25\n", "PAYMENT_AMOUNT", "'0.25' is not a whole number of sats"),
        (BEGIN + 'Supplier,"0,25 BTC"\n', "PAYMENT_AMOUNT", "line 2"),
        (BEGIN + 'Supplier,"1,000"\n', "PAYMENT_AMOUNT", "line 2"),
        (BEGIN + "Supplier,1 000\n", "PAYMENT_AMOUNT", "line 2"),
        (BEGIN + "Supplier,-5\n", "PAYMENT_AMOUNT", "line 2"),
        (BEGIN + "Supplier,1e5\n", "PAYMENT_AMOUNT", "line 2"),
        (BEGIN + "Supplier,$5\n", "PAYMENT_AMOUNT", "line 2"),
        (BEGIN + "Supplier,\n", "PAYMENT_AMOUNT", "line 2"),
        (BEGIN + "Supplier,0\n", "PAYMENT_AMOUNT", "0 pays nothing"),
        (BEGIN + "Supplier,0.00000000 BTC\n", "PAYMENT_AMOUNT", "0 pays nothing"),
        (BEGIN + "Supplier,21000001 BTC\n", "PAYMENT_AMOUNT", "2100000100000000"),
        (BEGIN + "Supplier,=B2*1000\n", "CSV_FORMULA", "'=B2*1000'"),
        (BEGIN + "Supplier,#REF!\n", "CSV_FORMULA", "'#REF!'"),
        (BEGIN + "Supplier,+A1\n", "CSV_FORMULA", "line 2"),
        (BEGIN + '"=HYPERLINK(""x"")",5000\n', "CSV_FORMULA", "line 2"),
        (BEGIN + "@SUM(A1),5000\n", "CSV_FORMULA", "line 2"),
        (BEGIN + "Nobody,5000\n", "PAYMENT_PAYEE", "'Nobody'"),
        (BEGIN + "supplier,5000\n", "PAYMENT_PAYEE", "'supplier'"),
        (BEGIN + "Supplier,5000\nSum,5000\n", "PAYMENT_PAYEE", "line 3"),
        (BEGIN + "Supplier,5000\nTax office,1\nSupplier,5000\n", "PAYMENT_TWICE", "line 4"),
        (BEGIN + f"Supplier,{MAX_MONEY}\nTax office,1\n", "PAYMENTS_TOTAL", "2 100 000 000 000 001 sat"),
    ],
)
def test_what_is_wrong_is_refused_by_its_line(text, code, says):
    with refuses(code) as caught:
        paid(text)
    assert says in str(caught.error)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (BEGIN.encode("utf-16"), "UTF-16"),
        (BEGIN.encode() + b"Supplier,5000\nM\xfcller,1\n", "line 3 of the payments file is not UTF-8"),
        (b"PK\x03\x04 a spreadsheet's own format \xff", "is not UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_refused(data, says):
    with refuses("CSV_UNREADABLE") as caught:
        paid(data)
    assert says in str(caught.error)


def test_as_many_payments_as_a_request_takes_and_not_one_more():
    charter = make_cast(Setting(more_payees=MANY)).charter
    lines = [f"{name},1000\n" for name in MANY]
    assert len(paid(BEGIN + "".join(lines[:MAX_PAYMENTS]), charter)) == MAX_PAYMENTS
    with refuses("PAYMENTS_TOO_MANY") as caught:
        paid(BEGIN + "".join(lines), charter)
    assert caught.error.line == MAX_PAYMENTS + 2


def test_a_refusal_of_a_second_payment_names_both_lines():
    with refuses("PAYMENT_TWICE") as caught:
        paid(BEGIN + "Supplier,5000\nTax office,1\n Supplier ,6000\n")
    assert (caught.error.first, caught.error.line, caught.error.payee) == (2, 4, SUPPLIER)


def test_the_control_total_is_the_sum_or_a_refusal():
    payments = parse_payments(f"{BEGIN}Supplier,5000\nTax office,7000\n".encode(), CHARTER)
    check_total(payments, 12_000)
    for other in (11_999, 12_001, 0):
        with refuses("CONTROL_TOTAL") as caught:
            check_total(payments, other)
        assert "12 000 sat" in caught.error.actual


def test_a_sweep_has_no_total():
    assert total_of([RequestedPayment(payee=SUPPLIER, amount=None)]) is None
    assert total_of([]) == 0
