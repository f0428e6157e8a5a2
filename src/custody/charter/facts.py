"""What a case is judged on beside itself.

A fact is earned (the witnessed log says so) or local (this machine's clock). A decision names the earned ones that were
asked for, each with its value, and the size of the log they follow from: whoever folds the log finds them again there,
and the decision is the same years later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from custody.record import MAX_TEXT, Record, Text

FROZEN_BY: Final = "frozen_by"


class Fact(Record):
    """One earned fact: its name, and its value in words; None where there is nothing to say."""

    kind: ClassVar[str] = "fact"

    name: Text
    value: Text | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log and the clock say when a case is judged.

    `at` is local: Unix seconds. `size` is how many log entries the others follow from, and these are earned:
    `frozen_by` is why everything stands still, or None.
    """

    at: int
    size: int = 0
    frozen_by: str | None = None

    @classmethod
    def named(cls, at: int, size: int, facts: Iterable[Fact]) -> Facts:
        """Those that a decision names."""
        values = {fact.name: fact.value for fact in facts}
        return cls(at, size, values.get(FROZEN_BY))

    def asked(self) -> tuple[Fact, ...]:
        """The earned facts that rules ask for, in the order of their names."""
        why = self.frozen_by
        return (Fact(name=FROZEN_BY, value=None if why is None else why[:MAX_TEXT].strip()),)
