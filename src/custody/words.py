"""How people compare digests aloud: twelve words that carry 128 bits.

Shorter checks collide: an honest and an evil pair at 48 bits is a minute's work (THREATS F14).
"""

from __future__ import annotations

from typing import Final

from embit.wordlists.bip39 import WORDLIST

from custody.errors import InvalidInput
from custody.record import tagged_hash

WORD_COUNT: Final = 12


class WordsMismatch(InvalidInput, code="DIGEST_MISMATCH"):
    """Words or digest that a person typed name something else."""

    message = "expected {expected}, but this file has {actual}"
    hint = "Somebody is looking at another document. Do not go on: compare the words by voice, over a line you trust."
    expected: str
    actual: str


def words(digest: bytes) -> tuple[str, ...]:
    """Twelve BIP 39 words for the first 128 bits of `digest` (32 bytes), the last word ending in a 4-bit check."""
    entropy = digest[:16]
    check = tagged_hash("custody/words/v1", entropy)[0] >> 4
    number = int.from_bytes(entropy, "big") << 4 | check
    return tuple(WORDLIST[number >> 11 * (WORD_COUNT - 1 - i) & 2047] for i in range(WORD_COUNT))


def show_words(digest: bytes) -> str:
    """The twelve words in one line, as people read them to each other."""
    return " ".join(words(digest))


def check_spoken(digest: bytes, spoken: str) -> None:
    """Check `spoken`, twelve words or 64 hexadecimal digits typed by a person, against `digest`.

    Raises:
        WordsMismatch: it names another digest.
    """
    heard = " ".join(spoken.split()).lower()
    if heard not in (show_words(digest), digest.hex()):
        # What was typed is not shown: twelve words typed by mistake may be somebody's mnemonic (THREATS C9).
        count = len(heard.split())
        typed = "the digest that was typed" if count == 1 else f"the {count} words that were typed"
        raise WordsMismatch(expected=typed, actual=f"{show_words(digest)!r} ({digest.hex()})")
