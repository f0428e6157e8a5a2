"""Amounts, rates and networks: whole numbers that round the way they say."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from custody import units
from custody.testing.asserts import refuses
from custody.units import (
    COIN,
    HARDENED,
    MAX_MONEY,
    Network,
    check_amount,
    check_index,
    fee_at,
    parse_amount,
    parse_rate,
    rate_of,
    show_rate,
)

amounts = st.integers(0, MAX_MONEY)


@given(amounts)
def test_every_amount_there_can_be_is_an_amount(amount):
    assert check_amount(amount) == amount


@pytest.mark.parametrize("amount", [-1, MAX_MONEY + 1, 2**63, -(2**63)])
def test_an_amount_out_of_range_is_refused(amount):
    with refuses("AMOUNT_RANGE") as caught:
        check_amount(amount)
    assert str(amount) in str(caught.error)


@pytest.mark.parametrize("amount", [1.0, 0.1 + 0.2, True, "1", None, b"2"])
def test_what_is_no_whole_number_is_no_amount(amount):
    with refuses("AMOUNT_INVALID"):
        check_amount(amount)


@pytest.mark.parametrize("index", [0, 1, HARDENED - 1])
def test_an_unhardened_index_is_an_index(index):
    assert check_index(index) == index


@pytest.mark.parametrize("index", [-1, HARDENED, 2**32, True, "0", 1.0])
def test_a_hardened_or_odd_index_is_refused(index):
    with refuses("INDEX_RANGE"):
        check_index(index)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("150000", 150_000),
        ("150000 sat", 150_000),
        ("150000sats", 150_000),
        (" 0.0015 BTC ", 150_000),
        ("0.00000001btc", 1),
        ("1 BTC", COIN),
        ("21000000 BTC", MAX_MONEY),
        ("0", 0),
    ],
)
def test_an_amount_is_read_as_people_write_it(text, amount):
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.5",
        "1.5 sat",
        "0.000000001 BTC",
        "-1",
        "+1",
        "1e8",
        "1,000",
        "1 000",
        "1 btc btc",
        "0x10",
        "1 mBTC",
        "١٢ sat",
        ".",
    ],
)
def test_an_amount_that_could_be_misread_is_refused(text):
    with refuses("AMOUNT_INVALID"):
        parse_amount(text)


def test_an_amount_above_all_there_can_be_is_refused():
    with refuses("AMOUNT_RANGE"):
        parse_amount("21000000.00000001 BTC")


def test_a_long_text_in_place_of_an_amount_is_not_repeated():
    private = "abandon " * 11 + "about"
    with refuses("AMOUNT_INVALID") as caught:
        parse_amount(private)
    assert "abandon" not in str(caught.error)


@given(amounts)
def test_a_shown_amount_reads_back(amount):
    shown = units.show_amount(amount)
    assert parse_amount(shown) == amount
    assert len(shown.split()[0].split(".")[1]) == 8


@given(st.integers(1, 10**7), st.integers(1, 10**6))
def test_a_fee_reaches_its_rate_with_less_than_a_satoshi_too_much(rate, vbytes):
    fee = fee_at(rate, vbytes)
    assert fee == ceil(Fraction(rate * vbytes, 1000))


@given(st.integers(0, MAX_MONEY), st.integers(1, 10**6))
def test_a_rate_is_rounded_so_that_no_ceiling_is_passed(fee, vbytes):
    rate = rate_of(fee, vbytes)
    assert rate == ceil(Fraction(fee * 1000, vbytes))
    assert fee_at(rate, vbytes) >= fee


@pytest.mark.parametrize(("weight", "size"), [(0, 0), (1, 1), (4, 1), (5, 2), (400_000, 100_000), (399_997, 100_000)])
def test_virtual_bytes_are_rounded_up(weight, size):
    assert units.vsize(weight) == size


BOUNDS = {
    "Sat": (0, MAX_MONEY),
    "Index": (0, HARDENED - 1),
    "VBytes": (0, 2**32),
    "Weight": (0, 2**34),
    "FeeRate": (0, MAX_MONEY),
    "Height": (0, 2**31 - 1),
    "UnixTime": (0, 2**40),
    "Count": (0, 2**53 - 1),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_every_number_type_has_two_ends(name):
    adapter = TypeAdapter(getattr(units, name))
    least, most = BOUNDS[name]
    for good in (least, most):
        assert adapter.validate_json(str(good), strict=True) == good
    for bad in (least - 1, most + 1):
        with pytest.raises((ValidationError, units.AmountRange, units.IndexRange)):
            adapter.validate_json(str(bad), strict=True)
    # RFC 8785 writes numbers as doubles: beyond 2^53 two numbers could have one spelling.
    assert most <= 2**53


def test_networks_tell_themselves_apart():
    for each in ("hrp", "xpub_version", "coin_type", "p2sh_version", "p2pkh_version"):
        assert all(
            getattr(Network.MAIN, each) != getattr(other, each) for other in Network if other is not Network.MAIN
        )
    assert len({network.genesis for network in Network}) == len(Network)
    assert Network.REGTEST.hrp == "bcrt"


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("12500", 12_500),
        ("12.5sat/vB", 12_500),
        (" 12.5 sat/vB ", 12_500),
        ("12.5 sats/vb", 12_500),
        ("12500 sat/kvB", 12_500),
        ("12500.0 sat/kvB", 12_500),
        ("0.001 sat/vB", 1),
        ("1.1000000 sat/vB", 1_100),
        ("0.1 sat/vB", 100),
        ("0", 0),
        ("2100000000000 sat/vB", MAX_MONEY),
    ],
)
def test_a_fee_rate_is_read_as_people_write_it(text, rate):
    assert parse_rate(text) == rate


@given(st.integers(0, MAX_MONEY))
def test_a_fee_rate_that_was_shown_reads_the_same(rate):
    assert parse_rate(show_rate(rate)) == rate


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *[(each, "RATE_INVALID") for each in ("", "1.5", ".5 sat/vB", "1. sat/vB", "-1", "1e3", "1,5 sat/vB", "5 sat")],
        *[(each, "RATE_INVALID") for each in ("5 sat/B", "5 BTC/kvB", "\u0665", "5 sat / vB", "5 sat/vB 5")],
        ("0.0005 sat/vB", "RATE_FINE"),
        ("12.3456sat/vB", "RATE_FINE"),
        ("1.5 sat/kvB", "RATE_FINE"),
        ("2100000000000.001 sat/vB", "RATE_RANGE"),
        ("2100000000000001", "RATE_RANGE"),
    ],
)
def test_what_is_no_fee_rate_is_refused(text, code):
    with refuses(code):
        parse_rate(text)


def test_a_fee_rate_below_the_least_is_refused():
    assert parse_rate("0.001 sat/vB", least=1) == 1
    with refuses("RATE_RANGE"):
        parse_rate("0 sat/vB", least=1)
