"""Which rows are there, in one number: a digest of many elements that costs the same for each change, in any order.

MuHash3072, as Bitcoin Core sums its coins: each element becomes a number below a prime of 3,072 bits, the set is their
product, and what is taken out is multiplied into a divisor. Finding another set with the same product is as hard as
discrete logarithms there. An element becomes a number by SHAKE256, where Bitcoin Core expands SHA-256 by ChaCha20.

Source: Bellare and Micciancio, "A New Paradigm for Collision-free Hashing" (1997); Bitcoin Core, crypto/muhash.h.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from custody.record import tagged_hash

BITS: Final = 3072
SIZE: Final = BITS // 8
_EXCESS: Final = 1_103_717
PRIME: Final = (1 << BITS) - _EXCESS
"""The largest safe prime below 2^3072."""
_MASK: Final = (1 << BITS) - 1
_TAG: Final = "custody/state/v1"


@dataclass(frozen=True, slots=True)
class Multiset:
    """The product of the elements put in, and that of those taken out; each is 1 when there are none.

    Raises:
        ValueError: a product that is no number from 1 to the prime.
    """

    numerator: int = 1
    denominator: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.numerator < PRIME and 0 < self.denominator < PRIME):
            raise ValueError("a product lies between 0 and the prime")

    def changed(self, put: Iterable[bytes] = (), taken: Iterable[bytes] = ()) -> Multiset:
        """With the elements of `put` and without those of `taken`."""
        return Multiset(_times(self.numerator, put), _times(self.denominator, taken))

    def digest(self) -> bytes:
        """32 bytes that name the elements that are there, whatever was put in and taken out on the way."""
        quotient = self.numerator * pow(self.denominator, -1, PRIME) % PRIME
        return tagged_hash(_TAG, quotient.to_bytes(SIZE, "little"))

    def to_bytes(self) -> bytes:
        """Both products, 768 bytes."""
        return self.numerator.to_bytes(SIZE, "little") + self.denominator.to_bytes(SIZE, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> Multiset:
        """What `to_bytes` gave.

        Raises:
            ValueError: it gave something else.
        """
        if len(data) != 2 * SIZE:
            raise ValueError(f"a multiset has {2 * SIZE} bytes")
        return cls(int.from_bytes(data[:SIZE], "little"), int.from_bytes(data[SIZE:], "little"))


def _times(product: int, elements: Iterable[bytes]) -> int:
    for element in elements:
        product *= int.from_bytes(hashlib.shake_256(element).digest(SIZE), "little")
        # 2^3072 is the excess modulo the prime: folding the high half down twice leaves less than one prime too many.
        product = (product & _MASK) + (product >> BITS) * _EXCESS
        product = (product & _MASK) + (product >> BITS) * _EXCESS
    return product % PRIME
