"""How does a screen say, first and last, that nothing of it is proved?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from custody.apps.views.layout import Data, block, listed, screen
from custody.charter.document import Charter
from custody.examine.lack import NO_CHARTER, NOTHING_PROVED, Lack

Shown: TypeAlias = tuple[Data, str]
"""A file for a program and for a person."""

UNTRUSTED: Final = f"NOTHING OF THIS IS PROVED: {NO_CHARTER}, so all of it is only as the file says."
NOT_CHECKED: Final = f"not checked: {NO_CHARTER}"


def banner(lack: Lack) -> str:
    """What stands first and last on the screen; empty when nothing was missing."""
    if not lack.is_trusting:
        return UNTRUSTED
    if lack.is_gap:
        return f"NOT PROVED: the log before entry {lack.since} was not seen here, so nothing shows that this is in it."
    return ""


def framed_paper(charter: Charter | None, data: Data, not_checked: Sequence[str], *blocks: str) -> Shown:
    """Any other file, as data and as a screen: the list of what was not checked stands before the last block.

    Without a trusted `charter`, it begins and ends like everything that is not proved.
    """
    unknown = [*([] if charter is not None else [NOTHING_PROVED]), *not_checked]
    line = "" if charter is not None else UNTRUSTED
    text = screen(line, *blocks[:-1], block("Not checked here", listed(unknown)), blocks[-1], line)
    return {**data, "not_checked": unknown}, text


def self_signed(keys: Sequence[bytes]) -> str:
    """How far a signature shows anything where nobody has said whose the key is."""
    if not keys:
        return f"not checked: {NO_CHARTER}, and nobody has signed it"
    shown = ", ".join(key.hex() for key in keys)
    return f"not checked: {NO_CHARTER}; it verifies by {shown}, which only the file names"
