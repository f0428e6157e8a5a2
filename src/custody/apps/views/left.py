"""What stays in a vault of all that a transfer was to take, and why?

A sweep and a consolidation are to take all there is, and say what they leave. Nobody but the coordinator knows which
coins there are, so everybody is told that it is the coordinator's word.
"""

from __future__ import annotations

from collections.abc import Iterable

from custody.apps.terminal import JsonValue
from custody.apps.views.layout import bitcoin, block, counted, listed, rate
from custody.transfer.draft import Draft
from custody.transfer.request import Purpose
from custody.transfer.selection import Left, LeftBehind, Rates


def is_of_all(purpose: Purpose) -> bool:
    """Whether a transfer of this purpose is to take all there is."""
    return purpose in (Purpose.SWEEP, Purpose.CONSOLIDATION)


def rates_of(drafted: Draft) -> Rates:
    """The rates that a draft's coins were chosen by."""
    return Rates(drafted.rate, drafted.long_term_rate)


def left_lines(left: Iterable[LeftBehind], rates: Rates) -> list[str]:
    """A line for each reason: how many coins, what they come to, and why they stay."""
    return [
        f"{counted(each.coins, 'coin')}, {bitcoin(each.amount)} in all, {'stays' if each.coins == 1 else 'stay'}: "
        f"{_why(each.why, rates)}"
        for each in left
    ]


def left_block(drafted: Draft, purpose: Purpose, standing: str = "") -> str:
    """The same under a title; empty for a transfer that was not to take all there is."""
    if not is_of_all(purpose):
        return ""
    lines = left_lines(drafted.left, rates_of(drafted)) or ["nothing"]
    return block(f"Stays in the vault, as the coordinator says{standing}", listed(lines))


def left_data(left: Iterable[LeftBehind]) -> list[JsonValue]:
    """The same for a program."""
    return [{"why": each.why.value, "coins": each.coins, "sats": each.amount} for each in left]


def left_of_data(drafted: Draft, purpose: Purpose) -> JsonValue:
    """What a draft leaves, for a program; null where it was not to take all there is."""
    return left_data(drafted.left) if is_of_all(purpose) else None


def _why(why: Left, rates: Rates) -> str:
    match why:
        case Left.QUARANTINED:
            return "quarantined, since nobody was to send them; an officer may release them (custody coin release)"
        case Left.HELD:
            return "held by other transfers"
        case Left.NOT_DEEP:
            return "not buried deep enough yet"
        case Left.SMALL:
            return f"small: worth no more than spending them costs at the long-term rate of {rate(rates.long_term)}"
        case Left.COSTLY:
            return f"worth no more than spending them costs at {rate(rates.now)}"
        case Left.NO_ROOM:
            return "no room for them: one transaction has only so much weight, inputs and fee"
