"""Twelve words for a digest: what people compare by voice (THREATS F14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.testing.asserts import refuses
from custody.transfer.request import Purpose, RequestedPayment, TransferRequest
from custody.units import Network
from custody.words import check_spoken, show_words, words

digests = st.binary(min_size=32, max_size=32)


def request(payee: str, nonce: int) -> TransferRequest:
    return TransferRequest(
        network=Network.MAIN,
        charter=bytes(32),
        vault=bytes(32),
        purpose=Purpose.PAYMENT,
        payments=(RequestedPayment(payee=payee, amount=100_000_000),),
        replaces=(),
        annex=bytes(32),
        requester="Dana",
        issued=1_800_000_000,
        expires=1_800_086_400,
        nonce=nonce.to_bytes(16, "big"),
    )


HONEST, EVIL = request("Supplier", 2_077_849), request("Stranger", 1_871_949)
"""A real pair: a minute of one processor core found requests whose digests agree in their first 48 bits."""


def test_a_pair_that_agrees_in_48_bits_shows_different_words():
    assert HONEST.digest() != EVIL.digest()
    assert HONEST.digest()[:6] == EVIL.digest()[:6]
    assert show_words(HONEST.digest()) != show_words(EVIL.digest())
    with refuses("DIGEST_MISMATCH"):
        check_spoken(HONEST.digest(), show_words(EVIL.digest()))


def test_four_words_would_not_have_told_that_pair_apart():
    assert words(HONEST.digest())[:4] == words(EVIL.digest())[:4]


@given(digests, st.integers(0, 127))
def test_every_one_of_the_first_128_bits_shows(digest, bit):
    other = bytearray(digest)
    other[bit // 8] ^= 0x80 >> bit % 8
    assert words(digest) != words(bytes(other))


@given(digests)
def test_there_are_twelve_words_and_they_are_accepted_as_people_type_them(digest):
    assert len(words(digest)) == 12
    shown = show_words(digest)
    for typed in (shown, shown.upper(), f"  {shown.replace(' ', '   ')}\n", digest.hex(), digest.hex().upper()):
        check_spoken(digest, typed)


@given(digests, st.integers(0, 10))
def test_words_in_another_order_are_other_words(digest, at):
    spoken = list(words(digest))
    spoken[at], spoken[at + 1] = spoken[at + 1], spoken[at]
    if spoken != list(words(digest)):
        with refuses("DIGEST_MISMATCH"):
            check_spoken(digest, " ".join(spoken))


@pytest.mark.parametrize("cut", [0, 1, 11])
def test_fewer_words_are_not_enough(cut):
    digest = HONEST.digest()
    with refuses("DIGEST_MISMATCH"):
        check_spoken(digest, " ".join(words(digest)[:cut]))


def test_part_of_the_digest_is_not_enough():
    with refuses("DIGEST_MISMATCH"):
        check_spoken(HONEST.digest(), HONEST.digest().hex()[:32])


def test_what_was_typed_is_not_shown_again():
    with refuses("DIGEST_MISMATCH") as caught:
        check_spoken(HONEST.digest(), "abandon " * 11 + "about")
    assert "abandon" not in str(caught.error)


def test_the_last_word_ends_in_a_check_of_the_others():
    # Of 16 words that differ only in the check, one belongs to a digest.
    assert len({words(bytes(16) + bytes([each]) * 16) for each in range(16)}) == 1
