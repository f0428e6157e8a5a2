"""Is this machine's clock right, as far as the words of others show?

Others tell the time too: a block by its header, a witness by its cosignature, people by what they date and sign. Each
may be a little ahead of the truth; what is left when that is taken off is a time that has come, whatever our clock
says. A clock that is behind it is wrong, or they are: nothing is entered or signed until a person has looked.

How far a clock is ahead nobody can tell from what is old. It is refused where something new should be there: a block,
or anything at all in a file that was handed over just now. For the rest, nothing that people agreed ends by our clock
alone (ADR 0028).

All times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from custody.errors import Refused
from custody.units import Network

CLOCK_SKEW: Final = 600
"""Seconds by which two honest clocks may differ."""
BLOCK_AHEAD: Final = 2 * 3600
"""Seconds by which a block may be ahead of a node's clock (Bitcoin Core, MAX_FUTURE_BLOCK_TIME)."""
MAX_SILENCE: Final = 24 * 3600
"""Seconds without a block after which a clock, or the node, is wrong: once in e^144 days by chance."""
MAX_AGE: Final = 90 * 24 * 3600
"""Seconds after which a file says nothing about now: no approval holds longer."""
_NEVER_SILENT: Final = frozenset({Network.MAIN, Network.TESTNET4})
"""Where blocks come whether or not anybody asks: a signet of one's own may rest, and regtest does."""


class ClockSkew(Refused, code="CLOCK_SKEW"):
    """A clock that cannot be right when what others have dated is."""

    message = "this machine's clock says {now!t}, but {what} {told!t}"
    hint = (
        "Nothing was entered or signed. Compare this machine's clock with two others, in UTC, set it, and try again. "
        "If it is right, ask another node, or whoever dated the other what their clock says."
    )
    now: int
    what: str
    told: int


@dataclass(frozen=True, slots=True)
class Told:
    """A time that somebody else has told: what says so, when, and by how many seconds it may be ahead of the truth."""

    what: str
    at: int
    ahead: int

    @property
    def least(self) -> int:
        """The time that has come, if this is not wrong."""
        return self.at - self.ahead


def by_block(time: int) -> Told:
    """What a block's header tells."""
    return Told("the newest block is of", time, BLOCK_AHEAD)


def by_witnesses(time: int) -> Told:
    """What cosignatures under a checkpoint tell."""
    return Told("witnesses cosigned the log at", time, CLOCK_SKEW)


def time_that_has_come(told: Iterable[Told]) -> int:
    """The latest time that has come by what others tell; 0 when nobody does."""
    return max((each.least for each in told), default=0)


def refuse_behind(now: int, told: Iterable[Told]) -> None:
    """Pass when a clock that says `now` is behind nothing that others tell.

    Raises:
        ClockSkew: it is.
    """
    for each in told:
        if now < each.least:
            raise ClockSkew(now=now, what=each.what, told=each.at)


def refuse_silent(now: int, newest: int, network: Network) -> None:
    """Pass when a newest block of the time `newest` does not show that a clock which says `now` is ahead.

    Raises:
        ClockSkew: on this network a block would have come since.
    """
    if network in _NEVER_SILENT and now > newest + MAX_SILENCE:
        raise ClockSkew(now=now, what="no block has come since", told=newest)


def refuse_old(now: int, told: Iterable[int]) -> None:
    """Pass when something of what was handed over is so new that it can have been made for a clock that says `now`.

    Raises:
        ClockSkew: the newest is from long before: the clock is ahead, or the file is old.
    """
    newest = max(told, default=now)
    if now > newest + MAX_AGE:
        raise ClockSkew(now=now, what="nothing in this file is later than", told=newest)
