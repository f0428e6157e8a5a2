"""What is a kind of log entry?

A kind is declared once: its name, the record that is its body, who writes it, what it is about, who needs its body, and
how it changes the state. Appending fills in author and subjects from the body; folding compares them with it, so that
nothing can be filed under another transfer or another name (THREATS F3, F24).

`fold` says what must be so for such an entry to stand where it does. What is signed by a person is verified there; what
the coordinator claims alone may only tighten at a station.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Generic, Self, TypeVar

from custody.errors import IntegrityError
from custody.history.state import State
from custody.log import EntryHead
from custody.record import Record

COORDINATOR: Final = "coordinator"
Body = TypeVar("Body", bound=Record)


class Needed(Enum):
    """Who needs the body of an entry. Its head is everybody's."""

    BY_READERS = "readers"
    """Whoever folds the log: it travels to every station."""
    BY_COORDINATOR = "coordinator"
    """Who keeps coins: stations prove amounts otherwise, and it may be erased."""
    BY_NOBODY = "nobody"
    """No fold, which goes by the head alone: words for people. It may be erased."""


class HistoryInvalid(IntegrityError, code="HISTORY_INVALID"):
    """An entry that contradicts what stands before it."""

    message = "log entry {index} ({entry}) {problem}"
    hint = "Stop: the log was written by a broken or hostile coordinator. Compare it with a witness's copy."
    index: int
    entry: str
    problem: str


class EntryAuthor(IntegrityError, code="ENTRY_AUTHOR"):
    """An entry not written by whoever may write its kind."""

    message = "log entry {index} ({entry}) names {actual} as its author, but {expected} writes such entries"
    hint = "Stop: somebody wrote in another's name. Compare the log with a witness's copy."
    index: int
    entry: str
    expected: str
    actual: str


class Misfit(Exception):
    """An entry that cannot stand here, and why; which entry, the fold adds."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem: Final = problem


def require(holds: bool, problem: str) -> None:  # noqa: FBT001 - as in assert
    """Pass when it holds.

    Raises:
        Misfit: it does not.
    """
    if not holds:
        raise Misfit(problem)


def _coordinator(_: Record) -> str:
    return COORDINATOR


def _unchanged(state: State, _: EntryHead) -> State:
    return state


class EntryKind(str, Generic[Body]):  # noqa: SLOT000 - it carries its declaration
    """A kind of entry, under its name in the past tense.

    `author` names who writes such a body, `subjects` gives the digests of what it is about, `fold` the state after an
    entry at an index, and `withheld` the state after one whose body this copy does not have; where nobody needs the
    body it is always asked.
    """

    record: type[Body]
    fold: Callable[[State, Body, int], State]
    subjects: Callable[[Body], tuple[bytes, ...]]
    author: Callable[[Body], str]
    needed: Needed
    withheld: Callable[[State, EntryHead], State]

    def __new__(  # noqa: PLR0913 - one call declares one kind
        cls,
        name: str,
        record: type[Body],
        fold: Callable[[State, Body, int], State],
        *,
        subjects: Callable[[Body], tuple[bytes, ...]],
        author: Callable[[Body], str] = _coordinator,
        needed: Needed = Needed.BY_READERS,
        withheld: Callable[[State, EntryHead], State] = _unchanged,
    ) -> Self:
        """Declare it."""
        kind = super().__new__(cls, name)
        kind.record, kind.fold, kind.subjects = record, fold, subjects
        kind.author, kind.needed, kind.withheld = author, needed, withheld
        return kind


AnyKind = EntryKind[Any]
