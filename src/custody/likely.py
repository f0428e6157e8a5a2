"""Which of the names that there are did somebody mean, who wrote another?

Only ever said, never acted upon: whoever reads it writes the name again.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

_LONGEST: Final = 60
_MOST: Final = 2_000
"""Names that are compared: among more of them, somebody looks at the list."""
_LISTED: Final = 12


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """What to add to a refusal of `given`: the nearest of `known`; empty when none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - nobody needs it who writes well

    names = {each.lower(): each for each in islice(known, _MOST)}
    found = get_close_matches(given[:_LONGEST].lower(), names, n=1)
    return f"; did you mean {names[found[0]]!r}?" if found else ""


def some_of(known: Iterable[str]) -> str:
    """The first of these names, and that there are more."""
    names = list(islice(known, _LISTED + 1))
    return ", ".join([*names[:_LISTED], *(["and others"] if len(names) > _LISTED else [])]) or "none"
