"""Whom does a file of payments pay, and how much? A CSV with the columns payee and amount, read strictly.

1. UTF-8 (a byte order mark may stand before it), commas between the columns, fields quoted where they hold one (RFC
   4180). The first line is `payee,amount`; each further line is one payment. No line is blank.
2. A payee is a name of the charter, letter by letter, and stands once: a second line for it is more often a mistake
   than meant. An amount is in sats, or in BTC with its unit, as for `--pay`.
3. Every refusal names the line. Nothing is guessed, left out or put right: what is not read in full is not read.

The sum is for whoever asks to compare with a number that came another way: `check_total`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.views.layout import bitcoin, counted, sats
from custody.apps.views.request import total_of
from custody.charter.document import Charter
from custody.errors import InvalidInput, Refused
from custody.record import TextForbidden, check_text
from custody.transfer.request import MAX_PAYMENTS, RequestedPayment
from custody.units import MAX_MONEY, AmountInvalid, AmountRange, parse_amount
from custody.vault.keys import refuse_secrets

MAX_PAYMENTS_FILE: Final = 1_000_000
"""Bytes of the longest file read: five hundred payees take a tenth of it."""
HEADER: Final = ("payee", "amount")
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
# What a spreadsheet computes: it begins so, or is what stands where that failed.
_FORMULA: Final = re.compile(r"\s*(?:[=@]|[+-](?!\s*[0-9.])|#(?:REF!|N/A|NAME\?|VALUE!|DIV/0!|NUM!|NULL!))")
_SHOWN: Final = 60
_COMMAS: Final = "a name that holds a comma stands in quotes, and an amount holds none"


class PaymentsUnreadable(InvalidInput, code="PAYMENTS_FILE"):
    """A file of payments that has another form."""

    message = "line {line} of the payments file {problem}"
    hint = (
        "Save it as CSV in UTF-8, separated by commas, without blank lines: first payee,amount, then a line a payment "
        "such as Supplier,0.25 BTC or Supplier,25000000 (sats)."
    )
    line: int
    problem: str


class PaymentsSeparator(InvalidInput, code="PAYMENTS_SEPARATOR"):
    """Columns that something else than a comma separates, as spreadsheets of many countries write them."""

    message = "line {line} of the payments file separates its columns by {found}, not by commas"
    hint = (
        "Export it again with the comma as separator of columns and the point in amounts. Do not replace the separator "
        "by hand: a decimal comma would then cut amounts in two."
    )
    line: int
    found: str


class PaymentFormula(InvalidInput, code="PAYMENT_FORMULA"):
    """A cell that a spreadsheet computes, so that what it says depends on who opens it."""

    message = "line {line} of the payments file holds a formula, or the failure of one: {shown}"
    hint = "Paste the cells as values in the spreadsheet and export it again. Look where the formula came from."
    line: int
    shown: str


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


@dataclass(frozen=True, slots=True)
class _Line:
    """One payment as it stands in the file: the number of its first line, and its two fields."""

    number: int
    payee: str
    amount: str


def parse_payments(data: bytes, charter: Charter) -> tuple[RequestedPayment, ...]:
    """The payments in `data`, a CSV file, in its order, to payees of `charter`.

    Raises:
        PaymentsUnreadable, PaymentsSeparator: it has another form.
        PaymentPayee, PaymentTwice, PaymentAmount, PaymentFormula, TextForbidden: a line is wrong.
        PaymentsTooMany, PaymentsTotal: there are too many lines, or sats.
        SecretMaterial: private material anywhere in it.
    """
    text = _text(data)
    known = {each.name for each in charter.payees}
    paid: dict[str, int] = {}
    payments: list[RequestedPayment] = []
    total = 0
    for line in _lines(text):
        if len(payments) == MAX_PAYMENTS:
            raise PaymentsTooMany(line=line.number, most=MAX_PAYMENTS)
        payee = _payee(line, known)
        if payee in paid:
            raise PaymentTwice(line=line.number, payee=payee, first=paid[payee])
        paid[payee] = line.number
        amount = _amount(line)
        total += amount
        if total > MAX_MONEY:
            raise PaymentsTotal(line=line.number, total=sats(total))
        payments.append(RequestedPayment(payee=payee, amount=amount))
    if not payments:
        raise PaymentsUnreadable(line=2, problem="should be the first payment, and there is none")
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


def _text(data: bytes) -> str:
    refuse_secrets(data, where="payments file")
    if data.startswith(_UTF_16):
        raise PaymentsUnreadable(line=1, problem="is UTF-16 and not UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PaymentsUnreadable(line=data.count(b"\n", 0, error.start) + 1, problem="is not UTF-8") from None


def _lines(text: str) -> Iterator[_Line]:
    """The payments, each with the number of the line that it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        for fields in reader:
            if number == 1:
                _check_header(fields, text)
            else:
                yield _line(number, fields)
            number = reader.line_num + 1
    except csv.Error as error:
        raise PaymentsUnreadable(line=number, problem=f"is not CSV: {error}") from None
    if number == 1:
        raise PaymentsUnreadable(line=1, problem="should be payee,amount, and the file is empty")


def _check_header(fields: list[str], text: str) -> None:
    if tuple(each.strip(" ").lower() for each in fields) == HEADER:
        return
    first = text.partition("\n")[0]
    for mark, found in _OTHER_SEPARATORS.items():
        if mark in first and "," not in first:
            raise PaymentsSeparator(line=1, found=found)
    raise PaymentsUnreadable(line=1, problem=f"should be payee,amount and is {_shown(first)}")


def _line(number: int, fields: list[str]) -> _Line:
    if len(fields) == len(HEADER):
        return _Line(number, *fields)
    if not any(each.strip() for each in fields):
        raise PaymentsUnreadable(line=number, problem="is blank")
    if len(fields) == 1:
        found = next((name for mark, name in _OTHER_SEPARATORS.items() if mark in fields[0]), None)
        if found is not None:
            raise PaymentsSeparator(line=number, found=found)
    raise PaymentsUnreadable(
        line=number, problem=f"has {counted(len(fields), 'column')} and not {len(HEADER)}; {_COMMAS}"
    )


def _payee(line: _Line, known: set[str]) -> str:
    name = line.payee.strip(" ")
    if name in known:
        return name
    if not name:
        raise PaymentsUnreadable(line=line.number, problem="names no payee")
    try:
        check_text(name)
    except TextForbidden as error:
        raise TextForbidden(what=f"in line {line.number} of the payments file {error.what}", at=error.at) from None
    if _FORMULA.match(name):
        raise PaymentFormula(line=line.number, shown=_shown(name))
    raise PaymentPayee(line=line.number, shown=_shown(name))


def _amount(line: _Line) -> int:
    if _FORMULA.match(line.amount):
        raise PaymentFormula(line=line.number, shown=_shown(line.amount))
    try:
        amount = parse_amount(line.amount)
    except (AmountInvalid, AmountRange) as error:
        raise PaymentAmount(line=line.number, problem=str(error)) from None
    if amount == 0:
        raise PaymentAmount(line=line.number, problem="an amount of 0 pays nothing")
    return amount


def _shown(text: str) -> str:
    return ascii(text[:_SHOWN])
