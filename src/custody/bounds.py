"""What would reading this JSON cost, before anything is made of it?

A parser builds all that a text holds before anybody can refuse it, and short texts hold much: `[]` is two bytes and
takes two hundred and thirty of memory, `{"":0}` seven and nine hundred (pydantic's reader, measured). So lists, objects
and values are counted first, by counting the characters that announce them. What our own files hold is mostly long
texts: they pass at the first count, which takes in whatever stands inside those texts too.

The rule: a text may cost what an honest one of its size does, and some tens of megabytes more.
"""

from __future__ import annotations

from typing import Final

from custody.errors import InvalidInput

FREE: Final = 16 * 1024
"""Bytes of a text that is read uncounted: nothing of that size costs more than a few megabytes."""
_ALLOWANCE: Final = 48 * 1024 * 1024
"""Bytes of memory that any text may take."""
PER_BYTE: Final = 4
"""Bytes of memory beside it that each byte of an honest record takes: it is read, written again, and compared."""
_LIST: Final = 460
"""Bytes of memory that a list takes by itself, at most."""
_OBJECT: Final = 900
"""The same of an object."""
_VALUE: Final = 220
"""The same of a value or a field; the worst is a field that no record has, when it is refused."""
_PIECE: Final = 64 * 1024


class LimitExceeded(InvalidInput, code="LIMIT"):
    """More of something than this program reads; noticed before memory is taken for it."""

    message = "{count} {what} are more than the {most} that are read"
    hint = "Check where the file comes from. If it is genuine, split what it is about: a transfer into smaller ones."
    what: str
    count: int
    most: int


def refuse_costly_json(data: bytes, per_byte: int = PER_BYTE) -> None:
    """Pass when reading `data` as JSON costs about what an honest text of its size does: so much for each byte.

    What is no JSON passes as well: a parser stops where it goes wrong, and all before that was counted.

    Raises:
        LimitExceeded: it would take much more.
    """
    if len(data) <= FREE:
        return
    allowed = _ALLOWANCE + per_byte * len(data)
    if _weight(data) > allowed and (weight := _weight_outside_texts(data, allowed)) > allowed:
        raise LimitExceeded(what="bytes of memory for its lists and values", count=weight, most=allowed)


def _weight(data: bytes) -> int:
    # Each value but the first of a list or an object stands behind a comma. Taking a character out is how Python
    # counts it fastest: it jumps from one to the next, where `bytes.count` looks at every byte.
    lists, objects, commas = (len(data) - len(data.replace(mark, b"")) for mark in (b"[", b"{", b","))
    return _LIST * lists + _OBJECT * objects + _VALUE * commas


def _weight_outside_texts(data: bytes, allowed: int) -> int:
    """The same without what stands inside texts; no more is counted once it is too much."""
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    weight, is_inside = 0, 0
    # In pieces: a text that is all quotes would fall into as many parts.
    for at in range(0, len(bare), _PIECE):
        parts = bare[at : at + _PIECE].split(b'"')
        weight += _weight(b"".join(parts[is_inside::2]))
        is_inside ^= (len(parts) - 1) & 1
        if weight > allowed:
            break
    return weight
