"""24 words for a digest: what people compare by voice (THREATS F14, F18)."""

import pytest
from embit.bip39 import mnemonic_is_valid
from embit.wordlists.bip39 import WORDLIST
from hypothesis import given
from hypothesis import strategies as st

from custody.testing.asserts import refuses
from custody.transfer.request import Purpose, RequestedPayment, TransferRequest
from custody.units import Network
from custody.words import IN_A_ROW, WORD_COUNT, check_spoken, show_words, word_rows, words, words_so_far

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


DIGEST = HONEST.digest()
WORDS = words(DIGEST)


def changed(place: int, word: str) -> str:
    """The words of `DIGEST` with another one at `place`, counted from 1."""
    return " ".join((*WORDS[: place - 1], word, *WORDS[place:]))


def test_a_pair_that_agrees_in_48_bits_shows_different_words():
    assert HONEST.digest() != EVIL.digest()
    assert HONEST.digest()[:6] == EVIL.digest()[:6]
    assert show_words(HONEST.digest()) != show_words(EVIL.digest())
    with refuses("DIGEST_MISMATCH"):
        check_spoken(HONEST.digest(), show_words(EVIL.digest()))


def test_four_words_would_not_have_told_that_pair_apart():
    assert words(HONEST.digest())[:4] == words(EVIL.digest())[:4]


@given(digests, st.integers(0, 255))
def test_every_bit_of_a_digest_shows(digest, bit):
    other = bytearray(digest)
    other[bit // 8] ^= 0x80 >> bit % 8
    assert words(digest) != words(bytes(other))


@given(digests)
def test_the_words_say_the_digest_and_nothing_else(digest):
    number = 0
    for word in words(digest):
        number = number << 11 | WORDLIST.index(word)
    assert number >> 8 == int.from_bytes(digest, "big")


def test_the_words_are_no_seed_of_a_wallet():
    # The check is not BIP 39's, whose own would pass one sentence in 256.
    taken = [mnemonic_is_valid(show_words(bytes([each]) * 32)) for each in range(256)]
    assert sum(taken) < 8


# --- how people type --------------------------------------------------------------------------------------------------


@given(digests)
def test_words_are_understood_as_people_type_them(digest):
    spoken = words(digest)
    numbered = [f"{place}. {word}" for place, word in enumerate(spoken, 1)]
    for typed in (
        show_words(digest),
        show_words(digest).upper(),
        f"  {show_words(digest).replace(' ', '   ')}\n",
        "\n".join(word_rows(digest)),
        "\n".join(spoken),
        ", ".join(spoken),
        "\u00a0".join(spoken),
        f"\u201c{show_words(digest).capitalize()}.\u201d",
        " ".join(word[:4] for word in spoken),
        " ".join(word[:5] for word in spoken),
        " ".join(numbered),
        "\n".join(each.replace(". ", ")") for each in numbered),
        "\n".join(f"- {each.replace('. ', ': ')}" for each in numbered),
        # Two columns of a page, copied line by line.
        "\n".join(f"{left}    {right}" for left, right in zip(numbered[:12], numbered[12:], strict=True)),
    ):
        check_spoken(digest, typed)


@given(digests)
def test_a_digest_is_understood_as_people_type_it(digest):
    for typed in (digest.hex(), digest.hex().upper(), f" {digest.hex(' ', 4)} ", f"0x{digest.hex()}", digest.hex(" ")):
        check_spoken(digest, typed)


def test_rows_hold_four_words_after_the_number_of_the_first():
    rows = [row.split() for row in word_rows(DIGEST)]
    assert [int(row[0]) for row in rows] == [1, 5, 9, 13, 17, 21]
    assert tuple(word for row in rows for word in row[1:]) == WORDS
    assert {len(row) for row in rows} == {IN_A_ROW + 1}


def test_how_many_words_were_typed_is_known_before_they_are_compared():
    rows = word_rows(DIGEST)
    assert [words_so_far("\n".join(rows[:count])) for count in range(7)] == [0, 4, 8, 12, 16, 20, 24]
    assert words_so_far(DIGEST.hex()) == WORD_COUNT
    assert words_so_far("nonsense") == 1


# --- typed wrong ------------------------------------------------------------------------------------------------------


def misspelled() -> str:
    return WORDS[6][:-1] + "q"


MISTYPED = {
    "nothing": ("  ", "0 words were typed, and 24 are needed"),
    "twelve words": (" ".join(WORDLIST[:12]), "12 words were typed, and 24 are needed"),
    "one": ("abandon", "1 word was typed, and 24 are needed"),
    "too many": (" ".join(WORDLIST[:30]), "30 words were typed, and 24 are needed"),
    "one left out": (" ".join((*WORDS[:8], *WORDS[9:])), "word 9 is missing"),
    "the last left out": (" ".join(WORDS[:-1]), "word 24 is missing"),
    "one said twice": (" ".join((*WORDS[:8], WORDS[7], *WORDS[8:])), "word 9 is one too many"),
    "one too many at the end": (f"{show_words(DIGEST)} zoo", "word 25 is one too many"),
    "a word of no list": (changed(7, misspelled()), f"word 7 is none of the list; the nearest is {WORDS[6]!r}"),
    "nothing like a word": (changed(7, "\u0445\u043b\u0435\u0431"), "word 7 is none of the list"),
    "three letters of a longer one": (changed(7, "abs"), "word 7 is none of the list; the nearest is 'ab"),
    "another word": (changed(7, "zoo"), "word 7 is not this document's; all others are"),
    "two other words": (changed(24, "zoo").replace(WORDS[0], "zoo", 1), "words 1 and 24 are not this document's"),
    "two that changed places": (
        " ".join((*WORDS[:4], WORDS[5], WORDS[4], *WORDS[6:])),
        "words 5 and 6 are not this document's; all others are",
    ),
    "three other words": (
        " ".join(("zoo", "zoo", "zoo", *WORDS[3:])),
        "these 24 words are no document's: one or more were misheard",
    ),
    "a number that does not agree": (
        " ".join(f"{place}. {word}" for place, word in enumerate(WORDS, 1) if place != 9),
        "number 10 stands before word 9: a word before it is missing or stands twice",
    ),
    "part of a digest": (DIGEST.hex()[:32], "32 hexadecimal digits were typed, and 64 are needed"),
    "a digit left out": (DIGEST.hex()[:7] + DIGEST.hex()[8:], "is missing"),
    "another digit": (("1" if DIGEST.hex()[0] == "0" else "0") + DIGEST.hex()[1:], "digit 1 is not this document's"),
    "a letter for a digit": (f"{DIGEST.hex()[:9]}o{DIGEST.hex()[10:]}", "digit 10 is none of 0 to 9 and a to f"),
    "a page": ("abandon " * 300, "more than 2000 characters"),
}


@pytest.mark.parametrize("what", MISTYPED)
def test_what_was_typed_wrong_is_named_and_accuses_nobody(what):
    typed, problem = MISTYPED[what]
    with refuses("WORDS_MISTYPED") as caught:
        check_spoken(DIGEST, typed)
    assert problem in str(caught.error)
    assert "another document" not in str(caught.error) + caught.error.advice()


@pytest.mark.parametrize("typed", [show_words(EVIL.digest()), EVIL.digest().hex()])
def test_words_that_are_whole_say_that_it_is_another_document(typed):
    with refuses("DIGEST_MISMATCH") as caught:
        check_spoken(DIGEST, typed)
    shown = str(caught.error) + caught.error.advice()
    assert "another document" in shown
    # The next thing typed must not be what the file wants.
    assert DIGEST.hex() not in shown
    assert WORDS[0] not in shown


@pytest.mark.parametrize("number", range(40))
def test_words_of_another_document_are_never_called_mistyped(number):
    with refuses("DIGEST_MISMATCH"):
        check_spoken(DIGEST, show_words(request("Supplier", number).digest()))


def test_what_was_typed_is_not_shown_again():
    for typed in ("abandon " * 11 + "about", "abandon " * 23 + "art", "abandom " * 24):
        with refuses("WORDS_MISTYPED") as caught:
            check_spoken(DIGEST, typed)
        assert "abandom" not in str(caught.error)
        assert "about" not in str(caught.error)
        assert str(caught.error).count("abandon") <= 1
