"""What does a TOML text say, of all that TOML could: tables, texts, numbers, yes and no?

Python's reader takes memory for every step of a dotted key, once for each step before it, reads numbers of any length,
nests as deep as it is told to, and gives dates and numbers that are none. So the text is walked over first,
once from end to end: what is beyond a plain file is refused there, with its line and its key. Whatever that walk takes
for something else than the reader does is no TOML, and the reader stops at it.

Source: TOML v1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from contextlib import suppress
from typing import Any, Final, TypeAlias

from custody.bounds import LimitExceeded
from custody.errors import InvalidInput

MAX_STEPS: Final = 8
"""Names in one dotted key; ours have two."""
MAX_DEPTH: Final = 8
"""Lists and tables within each other."""
MAX_WORD: Final = 64
"""Characters of a number, or of a name without quotes."""
_SHOWN: Final = 40
_MOST_LINES: Final = 100_000
"""Keys whose lines are noted; the largest charter has half as many."""

_ALLOWANCE: Final = 32 * 1024 * 1024
_PER_BYTE: Final = 4
# Bytes of memory that Python's reader takes at most, measured.
_WEIGHT: Final = {"[": 1_000, "{": 1_000, ".": 1_000, "=": 200, ",": 150}
_ANY: Final = 80
"""The same for whatever else stands there: it takes no memory, but time."""

_TOKEN: Final = re.compile(
    r'''(?P<text>"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5})?|\'\'\'(?:[^']|'(?!''))*+(?:'{3,5})?'''
    r"""|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?)"""
    r"""|(?P<comment>\#[^\n]*+)|(?P<line>\n)|(?P<word>[A-Za-z0-9_+:-]++)|(?P<mark>[][{}=.,])|[^\n]""",
    re.DOTALL,
)
_NOT_PLAIN: Final = "a date or a word stands there; write whole numbers, true, false, or text in quotes"
_OF_WORD_PROCESSORS: Final = {
    **dict.fromkeys("\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb", 'a quote of a word processor stands there; write "'),
    **dict.fromkeys("\u00a0\u202f\u2009\u200b", "a blank of a word processor stands there; write a plain one"),
}
"""What is drawn like a sign of TOML, and is none."""
_WHOLE: Final = re.compile(r"true|false|[+-]?[0-9][0-9_]*|0[xob][0-9a-fA-F_]+")


class TomlInvalid(InvalidInput, code="TOML_INVALID"):
    """A text that is no TOML, or has something in it that no file of ours has."""

    message = "line {line}, {where}: {problem}"
    hint = "Correct that line: text in quotes, whole numbers without a fraction, true or false."
    line: int
    where: str
    problem: str


def read_toml(text: str) -> dict[str, Any]:
    """The tables of `text`.

    Raises:
        TomlInvalid: it is no TOML, nests too deeply, or holds a date or a number that is none.
        LimitExceeded: reading it would cost much more than reading a text of its size does.
    """
    _Walk(text).go()
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line ([0-9]+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        problem = str(error).partition(" (at ")[0]
        raise TomlInvalid(line=line, where="TOML", problem=ascii(problem)[1:-1][: _SHOWN * 3]) from None


Lines: TypeAlias = dict[tuple[str, int, str], int]
"""In which line a key stands: by its table, which of the tables of that name it is (from 0), and its name.

The line of a table itself stands under no name; keys before the first table are of the table without a name.
"""


def lines_of(text: str) -> Lines:
    """In which line each key of `text` stands, of a text without end the first ones. It is what `read_toml` reads."""
    lines: Lines = {}
    walk = _Walk(text, lines)
    with suppress(TomlInvalid):
        walk.go()
    return lines


class _Walk:
    """Where the walk is: which line, in which lists and tables, and what the last key was."""

    def __init__(self, text: str, lines: Lines | None = None) -> None:
        self._text = text
        self._lines = lines
        self._table = ("", 0)
        self._tables: Counter[str] = Counter()
        self._line = 1
        self._within: list[str] = []
        self._is_value = False
        self._key = ""
        self._steps = 1
        self._weight = 0

    def go(self) -> None:
        """From the first line to the last."""
        allowed = _ALLOWANCE + _PER_BYTE * len(self._text)
        for token in _TOKEN.finditer(self._text):
            kind, found = token.lastgroup, token[0]
            self._weight += _WEIGHT.get(found, _ANY)
            if self._weight > allowed:
                raise LimitExceeded(what="bytes of memory for its tables", count=self._weight, most=allowed)
            if kind == "mark":
                self._mark(found)
            elif kind == "word":
                self._word(found)
            elif kind == "text":
                self._line += found.count("\n")
                self._name(found)
            elif kind == "line":
                self._line += 1
                self._end_line()
            elif found in _OF_WORD_PROCESSORS:
                raise self._wrong(_OF_WORD_PROCESSORS[found])

    def _mark(self, mark: str) -> None:
        match mark:
            case "[" | "{":
                self._within.append("header" if mark == "[" and not self._is_value else mark)
                if len(self._within) > MAX_DEPTH:
                    raise self._wrong("lists and tables stand in each other too deeply")
                self._is_value = mark == "[" and self._within[-1] == "["
                self._begin_key()
            case "]" | "}":
                closed = self._within.pop() if self._within else ""
                if closed == "header" and not self._within:
                    self._begin_table()
                self._is_value = bool(self._within) or mark == "}"
            case "=":
                if not self._within:
                    self._note(self._key)
                self._is_value = True
            case ",":
                self._is_value = self._within[-1:] == ["["]
                self._begin_key()
            case "." if not self._is_value:
                self._steps += 1
                if self._steps > MAX_STEPS:
                    raise self._wrong(f"the key has more than {MAX_STEPS} steps")

    def _word(self, word: str) -> None:
        if len(word) > MAX_WORD:
            raise self._wrong(f"a number or a name has more than {MAX_WORD} characters")
        if self._is_value and not _WHOLE.fullmatch(word):
            raise self._wrong(_NOT_PLAIN)
        self._name(word)

    def _name(self, name: str) -> None:
        if not self._is_value and len(self._key) < _SHOWN:
            self._key += ("." if self._steps > 1 else "") + name.strip("\"'")[:_SHOWN]

    def _begin_table(self) -> None:
        self._table = (self._key, self._tables[self._key])
        self._tables[self._key] += 1
        self._note("")

    def _note(self, key: str) -> None:
        if self._lines is not None and len(self._lines) < _MOST_LINES:
            self._lines[*self._table, key] = self._line

    def _begin_key(self) -> None:
        if not self._is_value:
            self._key, self._steps = "", 1

    def _end_line(self) -> None:
        if not self._within or self._within[-1] == "header":
            self._within.clear()
            self._is_value = False
            self._begin_key()

    def _wrong(self, problem: str) -> TomlInvalid:
        where = ascii(self._key[:_SHOWN])[1:-1] or "the first key"
        return TomlInvalid(line=self._line, where=where, problem=problem)
