"""Whom does a file of payments pay, and how much? A CSV with the columns payee and amount, read strictly.

1. Its form is strict (`csv_file`). Each line is one payment.
2. A payee is a name of the charter, letter by letter, and stands once: a second line for it is more often a mistake
   than meant. An amount is in sats, or in BTC with its unit, as for `--pay`.

The sum is for whoever asks to compare with a number that came another way: `check_total`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from custody.apps.commands.csv_file import CsvForm, shown_cell
from custody.apps.views.layout import bitcoin, sats
from custody.apps.views.request import total_of
from custody.charter.document import Charter
from custody.errors import InvalidInput, Refused
from custody.transfer.request import MAX_PAYMENTS, RequestedPayment
from custody.units import MAX_MONEY, AmountInvalid, AmountRange, parse_amount

_FORM: Final = CsvForm(
    "payments file",
    ("payee", "amount"),
    "Supplier,0.25 BTC or Supplier,25000000 (sats)",
    "a name that holds a comma stands in quotes, and an amount holds none",
)


class PaymentPayee(InvalidInput, code="PAYMENT_PAYEE"):
    """A line that pays somebody whom the charter does not name."""

    message = "line {line} of the payments file pays {shown}, and the charter has no such payee"
    hint = "Write the name as the charter does, letter by letter: custody charter show. Only its payees are paid."
    line: int
    shown: str


class PaymentAmount(InvalidInput, code="PAYMENT_AMOUNT"):
    """A line whose amount cannot be paid."""

    message = "line {line} of the payments file: {problem}"
    hint = (
        "Write whole sats such as 25000000, or a decimal point and the unit such as 0.25 BTC; above zero, nothing "
        "between the thousands."
    )
    line: int
    problem: str


class PaymentTwice(InvalidInput, code="PAYMENT_TWICE"):
    """A payee with two lines."""

    message = "line {line} of the payments file pays {payee} again, who is paid in line {first} already"
    hint = "Find out whether one of the two is a mistake. If both are owed, write one line with their sum."
    line: int
    payee: str
    first: int


class PaymentsTooMany(InvalidInput, code="PAYMENTS_TOO_MANY"):
    """More payments than one request may have."""

    message = "line {line} of the payments file is one payment too many: a request has {most} at most"
    hint = "Split the file, and ask for a transfer with each part."
    line: int
    most: int


class PaymentsTotal(InvalidInput, code="PAYMENTS_TOTAL"):
    """Payments that come to more than there can be."""

    message = "up to line {line} the payments file comes to {total}, more than all the bitcoin there can be"
    hint = "Check the unit: without one, amounts are in sats."
    line: int
    total: str


class ControlTotalDiffers(Refused, code="CONTROL_TOTAL"):
    """Payments whose sum is not the one that was expected."""

    message = "{count} payment(s) come to {actual}; the control total is {expected}"
    hint = "Compare the list with the paper that the control total comes from, and not the total with the list."
    count: int
    actual: str
    expected: str


def parse_payments(data: bytes, charter: Charter) -> tuple[RequestedPayment, ...]:
    """The payments in `data`, a CSV file, in its order, to payees of `charter`.

    Raises:
        CsvUnreadable, CsvSeparator: it has another form.
        PaymentPayee, PaymentTwice, PaymentAmount, CsvFormula, TextForbidden: a line is wrong.
        PaymentsTooMany, PaymentsTotal: there are too many lines, or sats.
        SecretMaterial: private material anywhere in it.
    """
    known = {each.name for each in charter.payees}
    paid: dict[str, int] = {}
    payments: list[RequestedPayment] = []
    total = 0
    for row in _FORM.rows(data):
        if len(payments) == MAX_PAYMENTS:
            raise PaymentsTooMany(line=row.line, most=MAX_PAYMENTS)
        written, amount_written = row.fields
        payee = _payee(row.line, written, known)
        if payee in paid:
            raise PaymentTwice(line=row.line, payee=payee, first=paid[payee])
        paid[payee] = row.line
        amount = _amount(row.line, amount_written)
        total += amount
        if total > MAX_MONEY:
            raise PaymentsTotal(line=row.line, total=sats(total))
        payments.append(RequestedPayment(payee=payee, amount=amount))
    return tuple(payments)


def check_total(payments: Sequence[RequestedPayment], expected: int) -> None:
    """Compare the payments' sum with a control total, in sats.

    Raises:
        ControlTotalDiffers: with both.
    """
    actual = total_of(payments) or 0
    if actual != expected:
        raise ControlTotalDiffers(count=len(payments), actual=_both(actual), expected=_both(expected))


def _both(amount: int) -> str:
    return f"{bitcoin(amount)} ({sats(amount)})"


def _payee(line: int, written: str, known: set[str]) -> str:
    name = written.strip(" ")
    if name in known:
        return name
    if not name:
        raise _FORM.unreadable(line, "names no payee")
    _FORM.check_text(line, name)
    _FORM.refuse_formula(line, name)
    raise PaymentPayee(line=line, shown=shown_cell(name))


def _amount(line: int, written: str) -> int:
    _FORM.refuse_formula(line, written)
    try:
        amount = parse_amount(written)
    except (AmountInvalid, AmountRange) as error:
        raise PaymentAmount(line=line, problem=str(error)) from None
    if amount == 0:
        raise PaymentAmount(line=line, problem="an amount of 0 pays nothing")
    return amount
