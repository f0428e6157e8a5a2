"""For whom, and what for, are addresses asked in a file? A CSV of payer, purpose and class, read strictly.

Each line is one address, also when two lines say the same: a payer may be asked to pay twice.
"""

from __future__ import annotations

from typing import Final

from custody.apps.commands.csv_file import CsvForm
from custody.errors import CustodyError, InvalidInput
from custody.transfer.address import DepositUnsaid, ExpectedDeposit
from custody.vault.coins import check_class

MOST_AT_ONCE: Final = 500
"""Addresses that are issued in one step."""
_FORM: Final = CsvForm(
    "deposits file",
    ("payer", "purpose", "class"),
    "Ministry of Justice,case 17,seized",
    "a text that holds a comma stands in quotes",
)


class DepositsTooMany(InvalidInput, code="DEPOSITS_TOO_MANY"):
    """More lines than addresses are issued for in one step."""

    message = "line {line} of the deposits file is one too many: {most} addresses are issued at once"
    hint = "Split the file, and issue addresses for each part."
    line: int
    most: int


def parse_deposits(data: bytes) -> list[ExpectedDeposit]:
    """The deposits in `data`, in its order.

    Raises:
        CsvUnreadable, CsvSeparator, CsvFormula: the file has another form, or a spreadsheet computes what stands there.
        TextForbidden, SecretMaterial: a text could lie on a screen, or is private.
        DepositsTooMany: there are too many lines.
    """
    found: list[ExpectedDeposit] = []
    for row in _FORM.rows(data):
        if len(found) == MOST_AT_ONCE:
            raise DepositsTooMany(line=row.line, most=MOST_AT_ONCE)
        said = [each.strip(" ") for each in row.fields]
        for each in said:
            _FORM.check_text(row.line, each)
            _FORM.refuse_formula(row.line, each)
        try:
            found.append(ExpectedDeposit(*said))
            check_class(said[2])
        except DepositUnsaid as error:
            raise _FORM.unreadable(row.line, f"lacks its {error.missing}") from None
        except CustodyError as error:
            error.add_note(f"line {row.line} of the deposits file, class")
            raise
    return found
