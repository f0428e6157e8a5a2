"""k of n: how many members must act, and who is still missing.

Cosigners signing a vault's coins, officers agreeing to a transfer and witnesses cosigning the log are all counted here,
so there is one place to get counting right. A member is whatever makes one holder one: a public key, never a name for
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from custody.errors import InvalidInput

Member = TypeVar("Member")


class InvalidQuorum(InvalidInput, code="QUORUM_INVALID"):
    """A threshold that its members cannot meet, or members counted twice."""

    message = "{threshold} of {members} members ({distinct} distinct) is not a quorum"
    hint = "Choose a threshold between 1 and the number of members, and name each member once."
    threshold: int
    members: int
    distinct: int


@dataclass(frozen=True, slots=True)
class Tally(Generic[Member]):
    """Who has acted and who has not, in the order of the quorum's members."""

    threshold: int
    acted: tuple[Member, ...]
    missing: tuple[Member, ...]

    @property
    def is_met(self) -> bool:
        """Whether enough members acted."""
        return len(self.acted) >= self.threshold

    @property
    def needed(self) -> int:
        """How many more members must act; 0 when the quorum is met."""
        return max(0, self.threshold - len(self.acted))


@dataclass(frozen=True, slots=True)
class Quorum(Generic[Member]):
    """Any `threshold` of `members`.

    Raises:
        InvalidQuorum: unless 1 <= threshold <= number of members, each named once.
    """

    threshold: int
    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        distinct = len(set(self.members))
        if distinct != len(self.members) or not 1 <= self.threshold <= distinct:
            raise InvalidQuorum(threshold=self.threshold, members=len(self.members), distinct=distinct)

    def tally(self, acted: Iterable[Member]) -> Tally[Member]:
        """Count each member once; ignore strangers."""
        seen = set(acted)
        return Tally(
            threshold=self.threshold,
            acted=tuple(member for member in self.members if member in seen),
            missing=tuple(member for member in self.members if member not in seen),
        )
