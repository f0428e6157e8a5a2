"""RIPEMD-160, for machines whose OpenSSL has left it out.

`hash160` needs it for P2SH addresses and key fingerprints; some distributions ship an OpenSSL 3 that refuses it. Slow
beside OpenSSL's, used only where that is missing.

Source: Dobbertin, Bosselaers, Preneel, "RIPEMD-160: A Strengthened Version of RIPEMD" (1996), appendix A.
"""

from __future__ import annotations

from typing import Final

_MASK: Final = 0xFFFFFFFF
_BLOCK: Final = 64
_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)

_RHO: Final = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
_PI: Final = tuple((9 * i + 5) % 16 for i in range(16))
_SHIFTS: Final = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)
_LEFT_ADDED: Final = (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_RIGHT_ADDED: Final = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0)


def _orders(first: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    orders = [first]
    for _ in range(4):
        orders.append(tuple(_RHO[word] for word in orders[-1]))
    return tuple(orders)


_LEFT_WORDS: Final = _orders(tuple(range(16)))
_RIGHT_WORDS: Final = _orders(_PI)


def ripemd160(data: bytes) -> bytes:
    """The RIPEMD-160 digest of `data`, 20 bytes."""
    padding = b"\x80" + bytes(-(len(data) + 9) % _BLOCK) + (8 * len(data)).to_bytes(8, "little")
    padded = data + padding
    state: tuple[int, ...] = _START
    for at in range(0, len(padded), _BLOCK):
        state = _compress(state, padded[at : at + _BLOCK])
    return b"".join(word.to_bytes(4, "little") for word in state)


def _compress(state: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    words = [int.from_bytes(block[at : at + 4], "little") for at in range(0, _BLOCK, 4)]
    left, right = state, state
    for step in range(5):
        left = _round(left, words, step, _LEFT_WORDS[step], (step, _LEFT_ADDED[step]))
        right = _round(right, words, step, _RIGHT_WORDS[step], (4 - step, _RIGHT_ADDED[step]))
    return tuple((state[(i + 1) % 5] + left[(i + 2) % 5] + right[(i + 3) % 5]) & _MASK for i in range(5))


def _round(
    line: tuple[int, ...], words: list[int], step: int, order: tuple[int, ...], rule: tuple[int, int]
) -> tuple[int, ...]:
    """Sixteen steps of one line; `rule` is which Boolean function and which constant."""
    a, b, c, d, e = line
    function, added = rule
    for word in order:
        total = (a + _mix(function, b, c, d) + words[word] + added) & _MASK
        shift = _SHIFTS[step][word]
        total = ((total << shift | total >> (32 - shift)) + e) & _MASK
        a, e, d, c, b = e, d, (c << 10 | c >> 22) & _MASK, b, total
    return a, b, c, d, e


def _mix(function: int, x: int, y: int, z: int) -> int:
    match function:
        case 0:
            return x ^ y ^ z
        case 1:
            return (x & y) | (~x & z)
        case 2:
            return (x | ~y) ^ z
        case 3:
            return (x & z) | (y & ~z)
        case _:
            return x ^ (y | ~z)
