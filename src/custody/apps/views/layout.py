"""How does one fact stand on a terminal, so that nobody can misread it?

Text from outside is shown as text: a character that could move the cursor, turn the line round or hide stands as its
escape (THREATS F13). What another person wrote freely stands in brackets on every line that it takes, and its lines are
short: `Text` holds no bracket, so nobody can write a row of a screen (F22). Nothing here is markup and nothing is
coloured. Amounts are in BTC and in sats, addresses in groups of four characters, times in UTC, and a table is aligned.

It knows no records: what is on which screen is for the other files here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from custody.apps import terminal
from custody.apps.terminal import JsonValue, columns
from custody.units import show_amount
from custody.words import WORD_COUNT, word_rows

Data: TypeAlias = dict[str, JsonValue]
"""One JSON object of `--json`; it leaves the program and enters no other module."""

INDENT: Final = "  "
GROUP: Final = 4
GROUPS_A_LINE: Final = 8
"""Groups of an address on one line: a long one takes two lines of equal groups rather than running off the screen."""
_FURTHER: Final = 3 * INDENT
"""Before what belongs to the row above."""
_ONE_LINE: Final = 11
SHORT: Final = 12
"""Digits of an id in lists: enough for the commands, and for a few thousand transfers."""
WIDTH: Final = 40
"""Columns of what another person wrote, on one line: beside what stands before it, it fits on any terminal."""


def plain(text: str) -> str:
    r"""`text` on one line, every character that could act on a terminal as its escape, such as `\x1b` or `\u202e`."""
    return terminal.plain(text).replace("\n", "\\n")


@dataclass(frozen=True, slots=True)
class Theirs:
    """What another person wrote, as a cell of a table. `lead` is ours, and stands before its first line."""

    text: str
    lead: str = ""

    def lines(self) -> list[str]:
        """In brackets, line by line; none is longer than `WIDTH` beside lead and brackets."""
        lead = plain(self.lead)
        # `Text` has no brackets; what is no `Text`, such as the type of a foreign document, may.
        lines = _folded(plain(self.text).replace("[", r"\x5b").replace("]", r"\x5d")) or [""]
        return [f"{lead if at == 0 else ' ' * columns(lead)}[{line}]" for at, line in enumerate(lines)]


Cell: TypeAlias = str | Theirs


def said(words: str | None) -> Cell:
    """What an annex says; None is one that is not there."""
    return "(erased or withheld)" if words is None else Theirs(words)


def _folded(text: str) -> list[str]:
    """A text in lines of at most `WIDTH` columns, broken at blanks where there are some. No character is lost."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if columns(joined) <= WIDTH:
            line = joined
            continue
        lines += [line] if line else []
        line = ""
        for each in word:
            if columns(line + each) > WIDTH:
                lines.append(line)
                line = ""
            line += each
    return [*lines, line] if line else lines


def sats(amount: int) -> str:
    """`25 000 000 sat`."""
    return f"{amount:,} sat".replace(",", " ")


def bitcoin(amount: int) -> str:
    """`0.25000000 BTC`; negative amounts keep their sign."""
    return f"-{show_amount(-amount)}" if amount < 0 else show_amount(amount)


def rate(per_thousand: int) -> str:
    """sat/kvB for a person: `5.000 sat/vB`."""
    return f"{per_thousand // 1000}.{per_thousand % 1000:03d} sat/vB"


def share(part: int, whole: int) -> str:
    """`part` of `whole` in per cent with two decimals, rounded up so that no share looks smaller than it is."""
    if whole <= 0:
        return "all"
    hundredths = -(-part * 10_000 // whole)
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def span(seconds: int) -> str:
    """A length of time in its largest unit, rounded down: `3 days`, `5 hours`, `12 minutes`."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = seconds // size
        if count:
            return counted(count, unit)
    return "less than a minute"


def counted(count: int, what: str) -> str:
    """`1 coin`, `2 coins`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def grouped(address: str) -> tuple[str, ...]:
    """An address in groups of four characters, on as many lines as it needs; no character is left out."""
    shown = plain(address)
    groups = [shown[start : start + GROUP] for start in range(0, len(shown), GROUP)]
    width = len(groups) if len(groups) <= _ONE_LINE else GROUPS_A_LINE
    return tuple(" ".join(groups[start : start + width]) for start in range(0, len(groups), width))


def txid(internal: bytes) -> str:
    """A txid or block hash as people and nodes write it."""
    return internal[::-1].hex()


def under(lines: Iterable[str]) -> list[str]:
    """Lines that belong to the row above them, further in."""
    return [f"{INDENT}     {line}" for line in lines]


def table(rows: Iterable[Sequence[Cell]], right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as aligned and indented lines; columns in `right` are aligned to the right. Cells are escaped here.

    A row takes one line, and more where another person wrote much. Where a terminal is too narrow, the last columns of
    every row go on below, further in: nothing is ever cut off.
    """
    cells = [[cell.lines() if isinstance(cell, Theirs) else [plain(cell)] for cell in row] for row in rows]
    count = max(map(len, cells), default=0)
    widths = [max(columns(line) for row in cells if at < len(row) for line in row[at]) for at in range(count)]
    found: list[str] = []
    for row in cells:
        for number, part in enumerate(_parts(widths)):
            for line in itertools.zip_longest(*row[part.start : part.stop], fillvalue=""):
                padded = (_padded(cell, widths[at], is_right=at in right) for at, cell in zip(part, line, strict=False))
                found.append((_FURTHER if number else INDENT) + INDENT.join(padded).rstrip())
    return [line.rstrip() for line in found if line.strip()]


def _parts(widths: Sequence[int]) -> list[range]:
    """Which columns stand beside each other on one line: all of them, if the terminal has room."""
    room = terminal.room()
    parts, start, used = [], 0, len(INDENT)
    for at, width in enumerate(widths):
        if room is not None and used + width > room and at > start:
            parts.append(range(start, at))
            start, used = at, len(_FURTHER)
        used += width + len(INDENT)
    return [*parts, range(start, len(widths))]


def _padded(text: str, width: int, *, is_right: bool) -> str:
    blanks = " " * (width - columns(text))
    return blanks + text if is_right else text + blanks


def listed(texts: Iterable[str]) -> list[str]:
    """Lines `- ...`."""
    return [f"{INDENT}- {plain(text)}" for text in texts]


def block(title: str, lines: Iterable[str]) -> str:
    """A titled paragraph; empty when there is nothing under the title."""
    body = list(lines)
    return "\n".join((title, *body)) if body else ""


def screen(*blocks: str) -> str:
    """Blocks with a blank line between them; empty ones are left out."""
    return "\n\n".join(each for each in blocks if each)


def spoken(digest: bytes) -> str:
    """The words of `digest`, in rows as people read them to each other."""
    return "\n".join(f"{INDENT}{row}" for row in word_rows(digest))


def in_words(digest: bytes, what: str = "In") -> str:
    """The words of `digest` without more ado, for who need not say them now."""
    return f"{what} {WORD_COUNT} words\n{spoken(digest)}"


def words_block(what: str, digest: bytes) -> str:
    """The words of `digest` with what to do with them."""
    return f"{what} in {WORD_COUNT} words: everybody must read the same aloud\n{spoken(digest)}"
