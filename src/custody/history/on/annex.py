"""Which annexes are there, and which bodies were erased?

An annex is folded from its head: the state knows its salted digest and where it stands, whether the words are there or
not. Erasing is an entry too. What the erased body had made of the state goes with it, so that whoever folds a copy of
the log without that body has the same rows.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field

from custody.history import tables
from custody.history.entry import EntryKind, Needed, require
from custody.history.on.chain import DEPOSIT_SEEN, forget_deposit
from custody.history.rows import Number, number
from custody.history.state import State
from custody.history.tables import ONLY
from custody.log import EntryHead
from custody.record import Digest, Record, Text, read
from custody.transfer.observe import DepositSeen
from custody.units import Count, UnixTime
from custody.vault.keys import PublicText


class Erased(Record):
    """The body of an earlier entry was erased: of which, of what kind that is, what stands for the body, and why."""

    kind: ClassVar[str] = "erased"

    index: Count
    entry: Text
    body: Digest
    why: Annotated[PublicText, Field(min_length=1)]
    at: UnixTime


def _annex(state: State, head: EntryHead) -> State:
    require(state.has(tables.IN_FORCE, ONLY), "comes before any charter")
    require(not head.subjects, "is filed under subjects, which no annex has")
    require(not state.has(tables.ANNEXES, head.body), "repeats an annex")
    return state.put(tables.ANNEXES, head.body, Number(head.index))


def _erase(state: State, erased: Erased, at: int) -> State:
    key = number(erased.index)
    require(erased.index < at, f"erases entry {erased.index}, which does not stand before it")
    require(erased.entry in ERASABLE, f"erases a {erased.entry}, which somebody needs")
    require(not state.has(tables.ERASED, key), "erases what was erased before")
    if erased.entry == ANNEXED:
        require(state.get(tables.ANNEXES, erased.body) == Number(erased.index), "erases another annex than it says")
    # A copy of the log may still have the body, this entry notwithstanding: it has the same rows as one without.
    data = state.get(tables.BODIES, key)
    if data is not None and erased.entry == DEPOSIT_SEEN:
        state = forget_deposit(state, read(DepositSeen, data), erased.index)
    return state.put(tables.BODIES, key, None).put(tables.ERASED, key, Number(at))


ANNEXED: Final = EntryKind(
    "annexed", Record, lambda state, _, __: state, subjects=lambda _: (), needed=Needed.BY_NOBODY, withheld=_annex
)
ERASED: Final = EntryKind("erased", Erased, _erase, subjects=lambda _: ())
ERASABLE: Final = frozenset({ANNEXED, DEPOSIT_SEEN})
"""The kinds whose bodies may be erased: no reader needs them, and nothing else is made of them."""
