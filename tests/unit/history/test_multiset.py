"""One number for many elements: the same in any order, and for whatever was put in and taken out on the way."""

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.history.multiset import PRIME, SIZE, Multiset

elements = st.lists(st.binary(max_size=40), max_size=12)


def naive(*products: list[bytes]) -> list[int]:
    """The product of each list's elements, by Python's own arithmetic."""
    return [
        math.prod(int.from_bytes(hashlib.shake_256(each).digest(SIZE), "little") for each in product) % PRIME
        for product in products
    ]


@given(elements, elements)
def test_what_is_put_in_and_taken_out_is_two_products_modulo_the_prime(put, taken):
    found = Multiset().changed(put, taken)
    assert [found.numerator, found.denominator] == naive(put, taken)


@given(elements, st.randoms(use_true_random=False))
def test_the_order_says_nothing(put, random):
    shuffled = random.sample(put, len(put))
    assert Multiset().changed(shuffled) == Multiset().changed(put)


@given(elements, elements, elements)
def test_one_step_or_many_give_the_same(first, second, taken):
    at_once = Multiset().changed([*first, *second], taken)
    assert Multiset().changed(first).changed(second, taken) == at_once
    assert Multiset().changed(first, taken).changed(second) == at_once


@given(elements, elements)
def test_what_was_taken_out_again_leaves_no_trace(stays, goes):
    found = Multiset().changed([*stays, *goes]).changed(taken=goes)
    assert found.digest() == Multiset().changed(stays).digest()
    # Nor does it when it was taken out before it was put in.
    assert Multiset().changed(stays, goes).changed(goes).digest() == found.digest()


@given(elements, st.binary(max_size=40))
def test_one_element_more_is_another_digest(put, more):
    assert Multiset().changed([*put, more]).digest() != Multiset().changed(put).digest()


def test_an_element_twice_is_not_the_element_once():
    assert Multiset().changed([b"a", b"a"]).digest() != Multiset().changed([b"a"]).digest()


def test_the_digest_of_nothing_is_32_bytes_like_any_other():
    assert len(Multiset().digest()) == len(Multiset().changed([b"a"]).digest()) == 32


def test_the_digest_does_not_change_between_versions():
    found = Multiset().changed([b"one", b"two"], [b"three"])
    assert found.digest().hex() == "42470403af80cacbc62482e34b2b9e6ff1e21c4b4cef583a354a3551e9b80b6b"


@given(elements, elements)
def test_its_bytes_read_back(put, taken):
    found = Multiset().changed(put, taken)
    assert len(found.to_bytes()) == 2 * SIZE
    assert Multiset.from_bytes(found.to_bytes()) == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(2 * SIZE),
        (1).to_bytes(SIZE, "little") + bytes(SIZE),
        PRIME.to_bytes(SIZE, "little") + (1).to_bytes(SIZE, "little"),
        b"\xff" * (2 * SIZE),
        (1).to_bytes(SIZE, "little") * 3,
    ],
    ids=["nothing", "zeros", "a zero below", "the prime", "more than the prime", "too long"],
)
def test_other_bytes_are_none(data):
    with pytest.raises(ValueError, match=r"."):
        Multiset.from_bytes(data)


def test_the_prime_is_the_one_that_is_published():
    assert PRIME == 2**3072 - 1_103_717
    assert pow(3, PRIME - 1, PRIME) == 1
