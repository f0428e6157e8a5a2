"""F14, F18: who drafts a charter or a transfer makes two of them, and searches for a pair that shows the same words.

A pair whose digests agree in b bits costs 2^(b/2) hashes: 32 bits are found here in a moment, 48 in a minute, 128 by
whoever can pay for it. So everybody compares all 256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count

from custody.charter.document import Charter
from custody.envelope import sign
from custody.record import tagged_hash
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import make_cast, person_key
from custody.testing.scenario import RememberedState
from custody.words import check_spoken, show_words

SHARED_BITS = 32
"""Searched for here; 48 take the same program a minute."""


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


def test_digests_alike_in_all_that_twelve_words_held_are_told_apart():
    honest = bytes(range(32))
    evil = honest[:16] + hashlib.sha256(b"evil").digest()[:16]
    assert show_words(honest).split()[:11] == show_words(evil).split()[:11]
    with refuses("DIGEST_MISMATCH"):
        check_spoken(evil, show_words(honest))


def test_one_wrong_word_is_refused_wherever_it_stands():
    digest = bytes(range(32))
    words = show_words(digest).split()
    for place in range(len(words)):
        swapped = [*words[:place], "zoo", *words[place + 1 :]]
        with refuses("WORDS_MISTYPED"):
            check_spoken(digest, " ".join(swapped))


# --- two charters -----------------------------------------------------------------------------------------------------


def variants(charter: Charter) -> Iterator[tuple[bytes, str]]:
    """The charter under ever other names of its log, which look innocent: each name, with its digest."""
    before, _, after = charter.to_bytes().partition(charter.origin.encode())
    for number in count():
        origin = f"{charter.origin}-{number:x}"
        yield tagged_hash("custody/charter/v1", before + origin.encode() + after), origin


def under(charter: Charter, origin: str) -> Charter:
    return Charter.from_bytes(charter.to_bytes().replace(charter.origin.encode(), origin.encode()))


def pair(honest: Charter, evil: Charter) -> tuple[Charter, Charter]:
    """An honest and an evil charter whose digests agree in their first 32 bits."""
    names: dict[bytes, str] = {}
    for (digest, origin), (other, name) in zip(variants(honest), variants(evil), strict=False):
        names[digest[: SHARED_BITS // 8]] = origin
        found = names.get(other[: SHARED_BITS // 8])
        if found is not None:
            return under(honest, found), under(evil, name)
    raise AssertionError("there is always another name")


class Clock:
    def now(self) -> int:
        return 1_800_000_000


def test_a_station_does_not_trust_the_evil_charter_of_a_pair(edit):
    cast = make_cast()
    thieves = {each.name: person_key(f"thief {each.name}") for each in (*cast.charter.people, *cast.charter.witnesses)}
    evil = edit(
        cast.charter,
        people=tuple(edit(each, key=thieves[each.name].public_key) for each in cast.charter.people),
        witnesses=tuple(edit(each, key=thieves[each.name].public_key) for each in cast.charter.witnesses),
        coordinator=person_key("thief").public_key,
    )
    honest, evil = pair(cast.charter, evil)
    assert honest.digest()[:4] == evil.digest()[:4]
    assert honest.vaults == evil.vaults
    # Signed by everyone it lists, who are the drafter's people: nothing but its words speaks against it.
    envelope = sign(evil, person_key("thief"), *thieves.values())
    station = Station(RememberedState(), Clock())
    with refuses("DIGEST_MISMATCH"):
        station.trust(envelope, show_words(honest.digest()))
    with refuses("STATION_UNTRUSTED"):
        station.state()
