"""How do entries become what is so: the one fold.

Coordinator, station, store and auditor all use it, so they cannot disagree about what entries mean. Everything that is
not in the log can be built again from it. An entry that does not fit what stands before it is an integrity error, at
its index. Nothing here decides or sends.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from custody.charter.document import CharterMismatch
from custody.errors import CustodyError, IntegrityError
from custody.history import tables
from custody.history.entry import COORDINATOR, AnyKind, EntryAuthor, HistoryInvalid, Misfit, Needed
from custody.history.kinds import BY_NAME
from custody.history.rows import number
from custody.history.state import State
from custody.log import LogEntry, open_body
from custody.record import read

_SELDOM: Final = 20_000
"""Objects that are new, and not gone, before Python looks for cycles."""


@contextmanager
def folding_many() -> Iterator[None]:
    """Have Python look for cycles seldom while a whole log is folded.

    What is folded has none and is gone with its batch, and all that stays would be walked for each batch: on a log of a
    million entries that is a fifth of the time.
    """
    usual = gc.get_threshold()
    if usual[0] == 0 or usual[0] >= _SELDOM:
        yield
        return
    gc.set_threshold(_SELDOM, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def fold(state: State, entries: Iterable[LogEntry]) -> State:
    """The state after more entries.

    Raises:
        HistoryInvalid, EntryAuthor: an entry does not fit.
        LogCorrupt: an entry's body is not the one that was written.
        SealBroken: the log says another state of itself.
    """
    for entry in entries:
        state = _fold(state, entry)
    return state


def _fold(state: State, entry: LogEntry) -> State:
    head = entry.head
    if head.index != state.size:
        raise HistoryInvalid(index=head.index, entry=head.entry, problem=f"stands where {state.size} should")
    kind = BY_NAME.get(head.entry)
    if kind is None:
        raise HistoryInvalid(index=head.index, entry=head.entry, problem="is of a kind this program does not know")
    try:
        after = _read_and_fold(state, kind, entry)
    except Misfit as misfit:
        raise HistoryInvalid(index=head.index, entry=head.entry, problem=misfit.problem) from None
    except (IntegrityError, CharterMismatch):
        # Under another charter than the pinned one this is not our log; that says nothing against its entries.
        raise
    except CustodyError as error:
        raise HistoryInvalid(index=head.index, entry=head.entry, problem=f"is refused: {error}") from error
    after = after.put(tables.ROOTS, number(state.size), state.frontier.root)
    return after.appended(entry.leaf)


def _read_and_fold(state: State, kind: AnyKind, entry: LogEntry) -> State:
    head = entry.head
    if kind.needed is Needed.BY_NOBODY or (entry.body is None and kind.needed is Needed.BY_COORDINATOR):
        _refuse_author(entry, COORDINATOR)
        state = kind.withheld(state, head)
        return state if entry.body is None else state.put(tables.BODIES, number(head.index), open_body(entry))
    data = open_body(entry)
    body = read(kind.record, data)
    # The entry itself can be read by what it makes: a draft's meaning is asked for while it is folded.
    after = kind.fold(state.put(tables.BODIES, number(head.index), data), body, head.index)
    _refuse_author(entry, kind.author(body))
    if head.subjects != kind.subjects(body):
        raise Misfit("is filed under other subjects than its body is about")
    return after


def _refuse_author(entry: LogEntry, expected: str) -> None:
    head = entry.head
    if head.author != expected:
        raise EntryAuthor(index=head.index, entry=head.entry, expected=expected, actual=head.author)
