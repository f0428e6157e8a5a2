"""How do people compare digests aloud? As twenty-four words, which hold every bit.

Whoever drafts a charter or a transfer chooses both texts of a pair: b bits of words cost him 2^(b/2) hashes, and words
for half of a digest can be searched for (THREATS F18). 256 bits and a check of eight are 24 words of the BIP 39 list.

What people type is read as they type it: capitals, blanks, a list with numbers, the first four letters of a word. What
cannot be these words, or differs from them in a place or two, was typed wrong. Only other words that are whole in
themselves say that somebody looks at another document.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from embit.wordlists.bip39 import WORDLIST

from custody.errors import InvalidInput
from custody.record import digest_given, tagged_hash

WORD_COUNT: Final = 24
IN_A_ROW: Final = 4
"""Words of a row on a screen: as many as a person says in one breath, and another types."""
_HEX: Final = frozenset("0123456789abcdef")
_HEX_DIGITS: Final = 64
_NEAR: Final = 2
"""Places in which a typing mistake may differ: the others agree in 242 bits, which no other document's do."""
_ENOUGH: Final = 4
"""Letters by which every longer word of the list is known (BIP 39)."""
_LONGEST: Final = 8
"""Letters of the longest word."""
_TYPED_CAP: Final = 2_000
"""Characters; 24 of the longest words with numbers are a fifth of it."""


class WordsMismatch(InvalidInput, code="DIGEST_MISMATCH"):
    """Words or digest that a person typed name something else."""

    message = "{typed} are those of another document than this file's"
    hint = "Somebody is looking at another document. Do not go on: compare the words by voice, over a line you trust."
    typed: str


class WordsMistyped(InvalidInput, code="WORDS_MISTYPED"):
    """What a person typed is no words of any document, or nearly the right ones."""

    message = "typed wrong: {problem}"
    hint = (
        "This says nothing against the document. Have the words read again, row by row, and type all 24; "
        "the first four letters of each are enough."
    )
    problem: str


def words(digest: bytes) -> tuple[str, ...]:
    """24 BIP 39 words for `digest` (32 bytes), the last one ending in an 8-bit check of it."""
    number = int.from_bytes(digest_given(digest, "what is told in words"), "big") << 8 | _check(digest)
    return tuple(WORDLIST[number >> 11 * (WORD_COUNT - 1 - i) & 2047] for i in range(WORD_COUNT))


def show_words(digest: bytes) -> str:
    """The words in one line, for files and programs."""
    return " ".join(words(digest))


def word_rows(digest: bytes) -> tuple[str, ...]:
    """The words as people read them to each other: rows of four, each after the number of its first word."""
    spoken = words(digest)
    columns = [[f"{at + 1:2}" for at in range(0, WORD_COUNT, IN_A_ROW)]]
    columns += [list(spoken[start::IN_A_ROW]) for start in range(IN_A_ROW)]
    widths = [max(map(len, column)) for column in columns]
    return tuple(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    )


def check_spoken(digest: bytes, spoken: str) -> None:
    """Check `spoken`, 24 words or 64 hexadecimal digits typed by a person, against `digest`.

    Raises:
        WordsMistyped: it names no digest at all, or this one but for a place or two.
        WordsMismatch: it names another digest.
    """
    text = _plain(spoken)
    digits = _as_digits(text)
    if digits is None:
        heard = _as_words(text)
        _refuse_near(heard, words(digest), "word")
        _refuse_no_words(heard)
        is_other, typed = heard != words(digest), f"the {WORD_COUNT} words that were typed"
    else:
        _refuse_near(digits, digest.hex(), "digit")
        _refuse_count(len(digits), _HEX_DIGITS, "hexadecimal digit")
        is_other, typed = digits != digest.hex(), f"the {_HEX_DIGITS} digits that were typed"
    if is_other:
        # Neither what was typed is shown, which may be somebody's mnemonic (THREATS C9), nor what the file would answer
        # to: the next thing typed must not be what the file wants.
        raise WordsMismatch(typed=typed)


def words_so_far(typed: str) -> int:
    """How many words stand in `typed`, whichever they are; all of them when it is a digest in hexadecimal."""
    text = _plain(typed)
    return WORD_COUNT if _as_digits(text) is not None else len(_in_order(text))


def _plain(typed: str) -> str:
    if len(typed) > _TYPED_CAP:
        raise WordsMistyped(problem=f"more than {_TYPED_CAP} characters")
    return unicodedata.normalize("NFKC", typed).lower()


def _check(digest: bytes) -> int:
    # Not BIP 39's: of these sentences all but one in 256 are no valid mnemonic (ADR 0008).
    return tagged_hash("custody/words/v2", digest)[0]


# --- what was typed ---------------------------------------------------------------------------------------------------

_NUMBERED: Final = re.compile(r"(\d{1,3})[.):]*(.*)", re.DOTALL)
_AROUND: Final = " .,;:()\"'`*\u00b7\u2022\u2013\u2014\u2018\u2019\u201c\u201d\u00ab\u00bb-"
"""What stands around words in lists and letters, and belongs to no word."""


def _as_digits(text: str) -> str | None:
    """A digest's digits without what stands between them; None when these are words.

    Raises:
        WordsMistyped: they are a digest's but for a character or two.
    """
    joined = "".join(text.split()).removeprefix("0x")
    strange = [place for place, each in enumerate(joined, 1) if each not in _HEX]
    if not strange:
        return joined if any(each.isdigit() for each in joined) or len(text.split()) == 1 else None
    if len(strange) <= _NEAR and len(joined) >= _HEX_DIGITS - _NEAR:
        raise WordsMistyped(problem=f"digit {strange[0]} is none of 0 to 9 and a to f")
    return None


def _as_words(text: str) -> tuple[str, ...]:
    """The words of a text, whole.

    Raises:
        WordsMistyped: one is none of the list, or the text's own numbers show that one is missing or stands twice.
    """
    known = {word: word for word in WORDLIST}
    heard: list[str] = []
    for place, typed in enumerate(_in_order(text), 1):
        word = known.get(typed) or _beginning(typed)
        if word is None:
            raise WordsMistyped(problem=f"word {place} is none of the list{_nearest(typed)}")
        heard.append(word)
    return tuple(heard)


def _nearest(typed: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - nobody needs it who types well

    found = get_close_matches(typed[:_LONGEST], WORDLIST, n=1)
    return f"; the nearest is {found[0]!r}" if found else ""


def _beginning(typed: str) -> str | None:
    """The word that begins like this: the list is made so that four letters are enough (BIP 39)."""
    return None if len(typed) < _ENOUGH else next((word for word in WORDLIST if word.startswith(typed)), None)


def _in_order(text: str) -> Sequence[str]:
    """What stands between blanks and commas, without the numbers of a list, which must agree with the places."""
    found: list[str] = []
    numbers: list[tuple[int, int]] = []
    for token in re.split(r"[\s,;]+", text):
        bare = token.strip(_AROUND)
        if numbered := _NUMBERED.fullmatch(bare):
            numbers.append((int(numbered[1]), len(found) + 1))
            bare = numbered[2].strip(_AROUND)
        if bare:
            found.append(bare)
    if sorted(number for number, _ in numbers) == list(range(1, len(found) + 1)):
        # Every word has a number: a list in two columns is copied line by line.
        return [found[place - 1] for _, place in sorted(numbers)]
    for number, place in numbers:
        if number != place:
            problem = f"number {number} stands before word {place}: a word before it is missing or stands twice"
            raise WordsMistyped(problem=problem)
    return found


def _refuse_near(heard: Sequence[str], own: Sequence[str], what: str) -> None:
    """Pass when these are the document's own, or nothing like them.

    Raises:
        WordsMistyped: they are the document's but for one missing, one too many, or a place or two.
    """
    wrong = [place for place, (a, b) in enumerate(zip(heard, own, strict=False), 1) if a != b]
    first = wrong[0] if wrong else min(len(heard), len(own)) + 1
    if len(heard) == len(own) and 0 < len(wrong) <= _NEAR:
        named = f"{what}s {wrong[0]} and {wrong[1]} are" if wrong[1:] else f"{what} {first} is"
        raise WordsMistyped(problem=f"{named} not this document's; all others are")
    if len(heard) == len(own) - 1 and heard[first - 1 :] == own[first:]:
        raise WordsMistyped(problem=f"{what} {first} is missing")
    if len(heard) == len(own) + 1 and heard[first:] == own[first - 1 :]:
        raise WordsMistyped(problem=f"{what} {first} is one too many")


def _refuse_no_words(heard: Sequence[str]) -> None:
    """Pass when these are the words of some document.

    Raises:
        WordsMistyped: there are too few or too many, or their check is wrong.
    """
    _refuse_count(len(heard), WORD_COUNT, "word")
    number = 0
    for word in heard:
        number = number << 11 | WORDLIST.index(word)
    if _check((number >> 8).to_bytes(32, "big")) != number & 0xFF:
        raise WordsMistyped(problem=f"these {WORD_COUNT} words are no document's: one or more were misheard")


def _refuse_count(count: int, needed: int, what: str) -> None:
    if count != needed:
        verb = "was" if count == 1 else "were"
        raise WordsMistyped(problem=f"{count} {what}{'' if count == 1 else 's'} {verb} typed, and {needed} are needed")
