"""The table of threats says what is so: every row once, every test that it names exists, and so does every code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
REFERENCE = TESTS.parent / "docs" / "reference"
ROWS = [
    f"{letter}{number}"
    for letter, last in {"A": 12, "B": 9, "C": 11, "D": 14, "E": 3, "F": 27}.items()
    for number in range(1, last + 1)
]
CELLS = 5
STATE = re.compile(r"refused|in part: \S.+|to come: \S.+")


@dataclass(frozen=True)
class Row:
    name: str
    attack: str
    codes: tuple[str, ...]
    tests: tuple[tuple[str, str], ...]
    """(file, function) of each."""
    state: str


def read_rows() -> Iterator[Row]:
    for line in (REFERENCE / "threats.md").read_text("utf-8").splitlines():
        if re.match(r"\| [A-Z]\d+ \|", line):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == CELLS, line
            name, attack, codes, tests, state = cells
            assert codes == "—" or re.fullmatch(r"`[A-Z0-9_]+`(, `[A-Z0-9_]+`)*", codes), line
            assert tests == "—" or re.fullmatch(r"`[\w/]+\.py::\w+`(<br>`[\w/]+\.py::\w+`)*", tests), line
            named = tuple(re.findall(r"`([\w/]+\.py)::(\w+)`", tests))
            yield Row(name, attack, tuple(re.findall(r"`(\w+)`", codes)), named, state)


TABLE = list(read_rows())
TRIED = [row for row in TABLE if row.tests]


def functions(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_every_threat_stands_in_the_table_once_and_in_order():
    assert [row.name for row in TABLE] == ROWS


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_row_says_what_the_attack_is_and_how_far_it_is_met(row):
    assert row.attack
    assert STATE.fullmatch(row.state), row.state
    # What is said to be refused, or refused in part, is tried by some test.
    assert row.tests or row.state.startswith("to come: ")


@pytest.mark.parametrize("row", TRIED, ids=lambda row: row.name)
def test_every_test_that_is_named_exists(row):
    missing = [f"{file}::{name}" for file, name in row.tests if name not in functions(file)]
    assert all(name.startswith("test_") for _, name in row.tests)
    assert not missing
    assert len(set(row.tests)) == len(row.tests)


@pytest.mark.parametrize("row", TRIED, ids=lambda row: row.name)
def test_every_code_is_an_error_s_and_stands_in_a_file_that_is_named(row):
    known = set(re.findall(r"^\| `(\w+)` \|", (REFERENCE / "errors.md").read_text("utf-8"), re.MULTILINE))
    tried = "".join((TESTS / file).read_text("utf-8") for file, _ in row.tests)
    assert set(row.codes) <= known
    assert not [code for code in row.codes if not re.search(rf"\b{code}\b", tried)]


def test_a_row_without_a_test_claims_no_code():
    assert not [row.name for row in TABLE if row.codes and not row.tests]
