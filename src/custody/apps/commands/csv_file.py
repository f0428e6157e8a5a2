"""What stands in a CSV file that a person, or a spreadsheet, has written? Read strictly, row by row.

1. UTF-8 (a byte order mark may stand before it), commas between the columns, fields quoted where they hold one (RFC
   4180). The first line names the columns; no line is blank.
2. Every refusal names the line. Nothing is guessed, left out or put right: what is not read in full is not read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from custody.apps.views.layout import counted
from custody.errors import InvalidInput
from custody.record import TextForbidden, check_text
from custody.vault.keys import refuse_secrets

MAX_CSV: Final = 1_000_000
"""Bytes of the longest file read: five hundred rows take a tenth of it."""
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
# What a spreadsheet computes: it begins so, or is what stands where that failed.
_FORMULA: Final = re.compile(r"\s*(?:[=@]|[+-](?!\s*[0-9.])|#(?:REF!|N/A|NAME\?|VALUE!|DIV/0!|NUM!|NULL!))")
_SHOWN: Final = 60


class CsvUnreadable(InvalidInput, code="CSV_UNREADABLE"):
    """A CSV file of another form."""

    message = "line {line} of the {what} {problem}"
    hint = (
        "Save it as CSV in UTF-8, separated by commas, without blank lines: first {header}, then a line for each, such "
        "as {example}."
    )
    line: int
    what: str
    problem: str
    header: str
    example: str


class CsvSeparator(InvalidInput, code="CSV_SEPARATOR"):
    """Columns that something else than a comma separates, as spreadsheets of many countries write them."""

    message = "line {line} of the {what} separates its columns by {found}, not by commas"
    hint = (
        "Export it again with the comma as separator of columns and the point in amounts. Do not replace the separator "
        "by hand: a decimal comma would then cut amounts in two."
    )
    line: int
    what: str
    found: str


class CsvFormula(InvalidInput, code="CSV_FORMULA"):
    """A cell that a spreadsheet computes, so that what it says depends on who opens it."""

    message = "line {line} of the {what} holds a formula, or the failure of one: {shown}"
    hint = "Paste the cells as values in the spreadsheet and export it again. Look where the formula came from."
    line: int
    what: str
    shown: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file: the number of its first line, and its fields."""

    line: int
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CsvForm:
    """What a file is, its columns, and a row for an error to show."""

    what: str
    columns: tuple[str, ...]
    example: str
    commas: str

    @property
    def header(self) -> str:
        """The first line."""
        return ",".join(self.columns)

    def rows(self, data: bytes) -> Iterator[Row]:
        """The rows of `data`, each with the number of the line that it begins in.

        Raises:
            CsvUnreadable, CsvSeparator: it has another form, or no rows.
            SecretMaterial: private material anywhere in it.
        """
        text = self._text(data)
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        number, found = 1, 0
        try:
            for fields in reader:
                if number == 1:
                    self._check_header(fields, text)
                else:
                    found += 1
                    yield self._row(number, fields)
                number = reader.line_num + 1
        except csv.Error as error:
            raise self.unreadable(number, f"is not CSV: {error}") from None
        if number == 1:
            raise self.unreadable(1, f"should be {self.header}, and the file is empty")
        if not found:
            raise self.unreadable(2, "should be the first row, and there is none")

    def unreadable(self, line: int, problem: str) -> CsvUnreadable:
        """That a line has another form."""
        return CsvUnreadable(line=line, what=self.what, problem=problem, header=self.header, example=self.example)

    def refuse_formula(self, line: int, text: str) -> None:
        """Pass when no spreadsheet computes what stands there.

        Raises:
            CsvFormula: it would.
        """
        if _FORMULA.match(text):
            raise CsvFormula(line=line, what=self.what, shown=shown_cell(text))

    def check_text(self, line: int, text: str) -> None:
        """Pass when a text could not lie on a screen.

        Raises:
            TextForbidden: it could; with the line.
        """
        try:
            check_text(text)
        except TextForbidden as error:
            raise TextForbidden(what=f"in line {line} of the {self.what} {error.what}", at=error.at) from None

    def _text(self, data: bytes) -> str:
        refuse_secrets(data, where=self.what)
        if data.startswith(_UTF_16):
            raise self.unreadable(1, "is UTF-16 and not UTF-8")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.unreadable(data.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None

    def _check_header(self, fields: list[str], text: str) -> None:
        if tuple(each.strip(" ").lower() for each in fields) == self.columns:
            return
        first = text.partition("\n")[0]
        for mark, found in _OTHER_SEPARATORS.items():
            if mark in first and "," not in first:
                raise CsvSeparator(line=1, what=self.what, found=found)
        raise self.unreadable(1, f"should be {self.header} and is {shown_cell(first)}")

    def _row(self, number: int, fields: list[str]) -> Row:
        if len(fields) == len(self.columns):
            return Row(number, tuple(fields))
        if not any(each.strip() for each in fields):
            raise self.unreadable(number, "is blank")
        if len(fields) == 1:
            found = next((name for mark, name in _OTHER_SEPARATORS.items() if mark in fields[0]), None)
            if found is not None:
                raise CsvSeparator(line=number, what=self.what, found=found)
        count = counted(len(fields), "column")
        raise self.unreadable(number, f"has {count} and not {len(self.columns)}; {self.commas}")


def shown_cell(text: str) -> str:
    """What stands in a cell, for an error."""
    return ascii(text[:_SHOWN])
