"""Which moment did a person write? In UTC, as our screens show them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from custody.errors import InvalidInput

_FORMS: Final = ("%Y-%m-%d", "%Y-%m-%d %H:%M")


class DateUnreadable(InvalidInput, code="DATE_UNREADABLE"):
    """A text that is no date."""

    message = "{given} is no date"
    hint = "Write a day, such as 2026-01-31, or a minute of it, such as '2026-01-31 14:05'; both are read as UTC."
    given: str


def seconds_at(given: str) -> int:
    """Unix seconds at the beginning of a day, or at a minute: `2025-01-31`, `2025-01-31 14:05`.

    Raises:
        DateUnreadable: it is neither.
    """
    text = given.strip().removesuffix("UTC").strip()
    for form in _FORMS:
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    raise DateUnreadable(given=ascii(given[:40]))
