"""Do two names read alike, so that one may stand where the other is meant?

Names are compared as people see them: by the skeleton of UTS 39, in which whatever is drawn alike is one character, and
by case where they stand beside each other. A name of several scripts is as good as any; only twins are refused.

Not seen here: letters that merely resemble each other (h and n), names that sound alike, and what a bad font does.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from custody.errors import InvalidInput


class Lookalike(InvalidInput, code="LOOKALIKE"):
    """Two names, or two addresses, of which one may be taken for the other."""

    message = "{second} may be taken for {first}: {how}"
    hint = (
        "If both are meant, let them differ in what people see: a town, a department, a number. Compare addresses in "
        "full with their owners. Chance hardly does this; people who want to be taken for somebody do."
    )
    first: str
    second: str
    how: str


class Named(NamedTuple):
    """A name, and the table of a document in which it stands: `payees`, `people`."""

    table: str
    name: str


def skeleton(text: str) -> str:
    """What `text` looks like, in characters of which no two are drawn alike.

    Source: UTS 39, 4, Confusable Detection.
    """
    plain = text.translate(_IN_ASCII) if text.isascii() else _drawn(text)
    # On a line, a script from right to left and digits or Latin letters beside it change places: what is written "1 a"
    # and "a 1" may be drawn the same. Such runs are compared in any order.
    runs = _runs(plain) if not plain.isascii() else []
    return "\0".join(sorted(runs)) if len(set(map(_is_from_right, filter(str.strip, runs)))) > 1 else plain


def readings(name: str) -> tuple[str, str]:
    """As which texts a name may be read if nobody minds its case; two names read alike if either is the same."""
    return skeleton(name.casefold()), skeleton(skeleton(name).casefold())


def refuse_twins(*tables: Iterable[Named]) -> None:
    """Check that no two names read alike.

    Among the names of one argument none may differ by case alone, or not at all. Names of two arguments may be the
    same, as a vault's and that of the payee by which it is paid, or differ by case, but not by what is drawn alike.

    Raises:
        Lookalike: with both names and the tables they stand in.
    """
    drawn: dict[str, Named] = {}
    for table in tables:
        read: tuple[dict[str, Named], dict[str, Named]] = ({}, {})
        for named in table:
            for seen, reading in zip(read, readings(named.name), strict=True):
                other = seen.setdefault(reading, named)
                if other is not named:
                    raise Lookalike(first=other.name, second=named.name, how=_how(other, named))
            other = drawn.setdefault(skeleton(named.name), named)
            if other.name != named.name:
                raise Lookalike(first=other.name, second=named.name, how=_how(other, named))


def _how(first: Named, second: Named) -> str:
    """Where they stand and how they differ: nobody sees it, so it is spelled out."""
    where = f"it stands in {second.table}, the other in {first.table}"
    pairs = itertools.zip_longest(first.name, second.name)
    at, a, b = next(((at, a, b) for at, (a, b) in enumerate(pairs, 1) if a != b), (0, "", ""))
    if at == 0:
        return f"{where}, and they are the same"
    return f"{where}; they read alike, and at character {at} it has {_point(b)}, the other {_point(a)}"


def _point(character: str | None) -> str:
    return "nothing" if character is None else f"U+{ord(character):04X}"


# --- skeletons --------------------------------------------------------------------------------------------------------

_IN_ASCII: Final[Mapping[int, str]] = {
    ord(character): prototype
    for character, prototype in {"0": "O", "1": "l", "I": "l", "|": "l", "m": "rn", '"': "''", "`": "'"}.items()
} | {ord("%"): "\u00ba/\u2080"}
"""What of `custody.confusables` is about ASCII: names in it are compared without loading the rest."""
_STRETCH: Final = "\u0640"
"""The Arabic tatweel makes a word wider and says nothing."""


def _drawn(text: str) -> str:
    """NFD, prototypes, NFD again. What is not drawn at all is in no name (`record.check_text`)."""
    apart = unicodedata.normalize("NFD", text.replace(_STRETCH, ""))
    return unicodedata.normalize("NFD", apart.translate(_prototypes()))


@functools.cache
def _prototypes() -> dict[int, str]:
    from custody.confusables import PROTOTYPES  # noqa: PLC0415 - most names are ASCII, and it takes long to load

    groups = (line.rpartition("\t") for line in PROTOTYPES.split("\n"))
    return {ord(each): prototype for prototype, _, characters in groups for each in characters}


_RUNS: Final = re.compile(r"\d+|[^\W\d_]+|[\W_]+")


def _runs(text: str) -> list[str]:
    """Words, numbers and what stands between them, words parted where their direction changes."""
    words = (itertools.groupby(each, _is_from_right) for each in _RUNS.findall(text))
    return ["".join(part) for word in words for _, part in word]


def _is_from_right(text: str) -> bool:
    """Whether it is written from right to left, by its first character."""
    return unicodedata.bidirectional(text[0]) in {"R", "AL", "AN"}
