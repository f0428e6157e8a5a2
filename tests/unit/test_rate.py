from dataclasses import dataclass

import pytest

from custody.rate import FALLBACK_RATE, ChosenRate, RateSource, rate_for
from custody.testing.asserts import refuses


@dataclass
class Quotes:
    """A relay as far as fees go."""

    least: int
    estimate: int | None = None

    def min_fee_rate(self):
        return self.least

    def fee_rate(self):
        return self.estimate


@pytest.mark.parametrize(
    ("relay", "asked", "rate", "source"),
    [
        (Quotes(1_000), None, FALLBACK_RATE, RateSource.FALLBACK),
        (Quotes(FALLBACK_RATE + 1), None, FALLBACK_RATE + 1, RateSource.FALLBACK),
        (Quotes(1_000, 12_345), None, 12_345, RateSource.ESTIMATE),
        (Quotes(1_000, 1_000), None, 1_000, RateSource.ESTIMATE),
        (Quotes(20_000, 12_345), None, 20_000, RateSource.ESTIMATE),
        (Quotes(1_000, 12_345), 1_000, 1_000, RateSource.ASKED),
        (Quotes(1_000, 12_345), 99_999, 99_999, RateSource.ASKED),
    ],
)
def test_a_rate_is_asked_for_or_estimated_or_a_fallback_and_never_below_the_least(relay, asked, rate, source):
    assert rate_for(relay, asked) == ChosenRate(rate, source, relay.least)


@pytest.mark.parametrize("asked", [999, 1, 0, -1])
def test_a_rate_below_the_least_is_refused_with_the_least_that_does(asked):
    with refuses("FEE_RATE_LOW") as caught:
        rate_for(Quotes(1_000, 12_345), asked)
    assert (caught.error.rate, caught.error.least) == (asked, 1_000)
    assert "--feerate 1000" in caught.error.advice()
