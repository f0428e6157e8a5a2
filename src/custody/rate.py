"""At which fee rate is a transfer drafted, and who says so?

A person may ask for a rate; otherwise it is the node's estimate; and where the node has none (a new chain, or too few
blocks seen) a fixed fallback, which is to be said wherever it is used. None of them is below what the node takes at
that moment: a transfer that is drafted, approved and signed only to be refused by every node helps nobody.

Rates are sat/kvB. Too high is for the charter's rules to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from custody.errors import Refused
from custody.ports import Relay

FALLBACK_RATE: Final = 2_000
"""When nobody has an estimate, unless the node asks for more."""


class FeeRateLow(Refused, code="FEE_RATE_LOW"):
    """A fee rate at which the node would not take the transaction."""

    message = "the fee rate of {rate} sat/kvB is below the {least} sat/kvB that the node takes now"
    hint = (
        "Ask for at least {least} sat/kvB (--feerate {least}), or for none, to use the node's estimate. A rate without "
        "a unit is in sat/kvB: 1sat/vB is 1000 of them."
    )
    rate: int
    least: int


class RateSource(StrEnum):
    """Where a fee rate is from."""

    ASKED = "asked"
    ESTIMATE = "estimate"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class ChosenRate:
    """A fee rate, where it is from, and the least that the node took when it was chosen."""

    rate: int
    source: RateSource
    least: int


def rate_for(relay: Relay, asked: int | None = None) -> ChosenRate:
    """The rate to draft at: `asked` when somebody did, else the node's estimate, else the fallback.

    Raises:
        FeeRateLow: the node takes nothing at the rate that was asked for.
        NodeUnavailable: the node does not answer.
    """
    least = relay.min_fee_rate()
    if asked is not None:
        if asked < least:
            raise FeeRateLow(rate=asked, least=least)
        return ChosenRate(asked, RateSource.ASKED, least)
    estimate = relay.fee_rate()
    if estimate is not None:
        return ChosenRate(max(estimate, least), RateSource.ESTIMATE, least)
    return ChosenRate(max(FALLBACK_RATE, least), RateSource.FALLBACK, least)
