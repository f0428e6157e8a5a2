"""F14: a coordinator makes both drafts, so it can search for two that look alike to a short check.

An honest and an evil digest that share 48 bits are a minute's work. Everybody compares 128 bits, as twelve words.
"""

import hashlib

from custody.testing.asserts import refuses
from custody.words import check_spoken, show_words

SHARED_BITS = 32
"""Searched for here in a moment; 48 take the same program a minute longer."""


def colliding_pair() -> tuple[bytes, bytes]:
    """Two digests that begin with the same 32 bits, found by the birthday search an attacker would run."""
    seen: dict[bytes, bytes] = {}
    for number in range(1_000_000):
        digest = hashlib.sha256(number.to_bytes(8, "big")).digest()
        earlier = seen.setdefault(digest[: SHARED_BITS // 8], digest)
        if earlier != digest:
            return earlier, digest
    raise AssertionError("no pair found")


def test_a_pair_that_passes_a_short_check_shows_different_words():
    honest, evil = colliding_pair()
    assert honest[:4] == evil[:4]
    assert show_words(honest) != show_words(evil)
    with refuses("DIGEST_MISMATCH"):
        check_spoken(evil, show_words(honest))


def test_digests_alike_in_their_first_48_bits_differ_in_words_and_one_word_is_enough_to_be_refused():
    honest = bytes(range(32))
    evil = honest[:6] + hashlib.sha256(b"evil").digest()[:26]
    assert show_words(honest).split()[:4] == show_words(evil).split()[:4]
    with refuses("DIGEST_MISMATCH"):
        check_spoken(evil, show_words(honest))


def test_one_wrong_word_of_twelve_is_refused():
    digest = bytes(range(32))
    words = show_words(digest).split()
    for place in range(len(words)):
        swapped = [*words[:place], "zoo" if words[place] != "zoo" else "abandon", *words[place + 1 :]]
        with refuses("DIGEST_MISMATCH"):
            check_spoken(digest, " ".join(swapped))
