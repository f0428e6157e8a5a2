"""How does a moment read to people? In UTC, to the minute. Records and `--json` keep Unix seconds."""

from __future__ import annotations

from typing import Final

_LAST_SECOND: Final = 253_402_300_799
"""9999-12-31 23:59:59 UTC; later times are numbers."""


def moment(seconds: int) -> str:
    """Unix seconds as `2025-01-31 14:05 UTC`."""
    if not 0 <= seconds <= _LAST_SECOND:
        return f"{seconds} (Unix seconds)"
    # What only shows help, or never an error with a time in it, does not wait for it.
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(seconds: int) -> str:
    """The day of Unix seconds in UTC: `2025-01-31`."""
    return moment(seconds).partition(" ")[0]
