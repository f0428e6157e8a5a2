"""What a case is judged on beside itself.

A fact is earned (the witnessed log says so) or local (this machine's clock).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log and the clock say when a case is judged.

    `at` is local: Unix seconds. `frozen_by` is earned: why everything stands still, or None.
    """

    at: int
    frozen_by: str | None = None
