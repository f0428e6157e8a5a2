"""What others tell of the time: how far it binds, and where it does not."""

import pytest

from custody.clock import (
    BLOCK_AHEAD,
    CLOCK_SKEW,
    MAX_AGE,
    MAX_SILENCE,
    ClockSkew,
    by_block,
    by_witnesses,
    refuse_behind,
    refuse_old,
    refuse_silent,
    time_that_has_come,
)
from custody.dates import moment
from custody.testing.asserts import refuses
from custody.units import Network

NOW = 1_796_000_000


@pytest.mark.parametrize(("tell", "ahead"), [(by_block, BLOCK_AHEAD), (by_witnesses, CLOCK_SKEW)])
def test_a_clock_may_be_behind_by_what_others_may_be_ahead_and_by_no_second_more(tell, ahead):
    told = tell(NOW)
    assert told.least == NOW - ahead
    refuse_behind(NOW - ahead, [told])
    with refuses("CLOCK_SKEW"):
        refuse_behind(NOW - ahead - 1, [told])


def test_of_all_that_is_told_the_latest_counts():
    told = [by_block(NOW), by_witnesses(NOW), by_block(NOW - 1)]
    assert time_that_has_come(told) == NOW - CLOCK_SKEW
    assert time_that_has_come([]) == 0
    refuse_behind(0, [])


@pytest.mark.parametrize("network", list(Network))
def test_silence_says_something_only_where_blocks_always_come(network):
    refuse_silent(NOW + MAX_SILENCE, NOW, network)
    if network in (Network.MAIN, Network.TESTNET4):
        with refuses("CLOCK_SKEW"):
            refuse_silent(NOW + MAX_SILENCE + 1, NOW, network)
    else:
        refuse_silent(NOW + 100 * MAX_SILENCE, NOW, network)


def test_something_of_what_was_handed_over_is_new():
    refuse_old(NOW + MAX_AGE, [NOW, 0])
    refuse_old(NOW, [])
    with refuses("CLOCK_SKEW"):
        refuse_old(NOW + MAX_AGE + 1, [NOW, 0])


def test_both_times_read_as_dates_and_stay_numbers():
    error = ClockSkew(now=NOW, what="the newest block is of", told=NOW + 60)
    assert str(error) == f"this machine's clock says {moment(NOW)}, but the newest block is of {moment(NOW + 60)}"
    assert (error.now, error.told) == (NOW, NOW + 60)
    assert moment(NOW) == "2026-11-30 00:53 UTC"
