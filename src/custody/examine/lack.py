"""What was missing where a file is looked at that cannot be proved there?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NO_CHARTER: Final = "no charter is trusted here"
NOTHING_PROVED: Final = f"whether any of this is so: {NO_CHARTER}, and everything is only as the file says"


@dataclass(frozen=True, slots=True)
class Lack:
    """What was missing: a trusted charter, or the log's entries from number `seen` up to `since`."""

    is_trusting: bool
    since: int
    seen: int

    @property
    def is_gap(self) -> bool:
        """Whether the file's lines begin after what was seen."""
        return self.since > self.seen

    @property
    def is_any(self) -> bool:
        """Whether anything was missing at all."""
        return self.is_gap or not self.is_trusting

    def not_checked(self) -> tuple[str, ...]:
        """What could not be, whatever the file is."""
        found = []
        if not self.is_trusting:
            found += [NOTHING_PROVED, "whose the keys are that signed: the file itself names them"]
        if self.is_gap:
            before = f"the log before entry {self.since}, of which {self.seen} entries were seen here"
            found += [
                f"{before}: whether these lines go on from it to the checkpoint's root",
                "freezes, earlier transfers, next indexes, limits and nonces: they stand in what was not seen",
            ]
        elif not self.is_trusting:
            found.append("whether others were shown the same log: none of it was seen here before")
        return tuple(found)
