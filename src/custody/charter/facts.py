"""What a case is judged on beside itself, and how each fact is known.

A fact is *earned* (the witnessed log says so), *attested* (somebody outside signed it) or *local* (this machine's
clock). A rule kind names the facts it uses and where it is judged, so that a station can say what it did not check.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """How a fact is known."""

    EARNED = "earned"
    ATTESTED = "attested"
    LOCAL = "local"


class Place(StrEnum):
    """Where a rule is judged."""

    DRAFT = "draft"
    STATION = "station"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log and the clock say when a case is judged.

    `at` is local: Unix seconds. `frozen_by` is earned: why everything stands still, or None.
    """

    at: int
    frozen_by: str | None = None
