"""How are lengths and counts spelled, and bytes read that spell them in one way only?

Every length is in its shortest form, nothing is read beyond the end, and a count is compared with the bytes that are
left before anything is made of it. What the bytes say is for `transaction`, `psbt` and `block`.

Source: Bitcoin Core's serialize.h (CompactSize).
"""

from __future__ import annotations

from typing import Final

from custody.errors import InvalidInput

WIDE: Final = 0xFD
"""First byte from which a CompactSize has more bytes."""


class TransactionEncoding(InvalidInput, code="TX_ENCODING"):
    """Bytes or text that are not a transaction, or an outpoint, in its one spelling."""

    message = "not a valid transaction: {what} (byte {at})"
    hint = "Get the transaction again from where it was made; it may have been cut short or altered on the way."
    what: str
    at: int


class Reader:
    """A cursor over bytes that never reads past their end and accepts one spelling of each length.

    Every method raises TransactionEncoding where the bytes do not hold what is asked; `psbt` renames it.
    """

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > self.remaining:
            raise TransactionEncoding(what=f"{size} bytes are announced and {self.remaining} follow", at=self.at)
        self.at += size
        return self.data[self.at - size : self.at]

    def u8(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def u32(self) -> int:
        """Four bytes, unsigned, little-endian."""
        return int.from_bytes(self.take(4), "little")

    def i64(self) -> int:
        """Eight bytes, signed, little-endian."""
        return int.from_bytes(self.take(8), "little", signed=True)

    def compact_size(self) -> int:
        """A CompactSize in its shortest form."""
        value, self.at = read_compact_size(self.data, self.at)
        return value

    def sized(self) -> bytes:
        """Bytes with their length in front."""
        return self.take(self.compact_size())

    def count(self, smallest: int, what: str) -> int:
        """How many items of at least `smallest` bytes each follow; checked against the bytes that are left."""
        value = self.compact_size()
        check_count(self.data, self.at, value, smallest, what)
        return value

    def stack(self) -> tuple[bytes, ...]:
        """One witness stack."""
        count = self.count(1, "witness items")
        data, at, limit = self.data, self.at, len(self.data)
        items = []
        # Written out: an item may be one byte, and a transaction has millions of them.
        for _ in range(count):
            size = data[at] if at < limit else WIDE
            if size < WIDE:
                at += 1
            else:
                size, at = read_compact_size(data, at)
            end = at + size
            if end > limit:
                check_room(data, at, size)
            items.append(data[at:end])
            at = end
        self.at = at
        return tuple(items)

    def finish(self) -> None:
        """Check that nothing is left."""
        check_end(self.data, self.at)


def compact_size(number: int) -> bytes:
    """`number` as a CompactSize: 1, 3, 5 or 9 bytes."""
    if number < WIDE:
        return _ONE_BYTE[number]
    if number < _SMALLEST[0xFE]:
        return b"\xfd" + number.to_bytes(2, "little")
    if number < _SMALLEST[0xFF]:
        return b"\xfe" + number.to_bytes(4, "little")
    return b"\xff" + number.to_bytes(8, "little")


def read_compact_size(data: bytes, at: int) -> tuple[int, int]:
    """The CompactSize at `at`, and where it ends.

    Raises:
        TransactionEncoding: cut short, or not in its shortest form.
    """
    if at >= len(data):
        raise TransactionEncoding(what="it ends too early", at=len(data))
    first = data[at]
    if first < WIDE:
        return first, at + 1
    end = at + 1 + (2 << first - WIDE)
    if end > len(data):
        raise TransactionEncoding(what="it ends inside a length", at=at)
    value = int.from_bytes(data[at + 1 : end], "little")
    # Two spellings of one length would be two files, two digests and one meaning.
    if value < _SMALLEST[first]:
        raise TransactionEncoding(what=f"the length {value} is not in its shortest form", at=at)
    return value, end


def serialize_stack(stack: tuple[bytes, ...]) -> bytes:
    """A witness stack: a count, then each item with its length in front."""
    return b"".join((compact_size(len(stack)), *(compact_size(len(item)) + item for item in stack)))


def check_count(data: bytes, at: int, count: int, smallest: int, what: str) -> None:
    """Check that `count` items of at least `smallest` bytes each fit into what follows `at`.

    Raises:
        TransactionEncoding: they do not.
    """
    # Before anything is made for each: nine bytes can announce 2^64 of them.
    if count * smallest > len(data) - at:
        raise TransactionEncoding(what=f"{count} {what} are announced and {len(data) - at} bytes follow", at=at)


def check_room(data: bytes, at: int, size: int) -> None:
    """Check that `size` bytes follow `at`.

    Raises:
        TransactionEncoding: fewer do.
    """
    if size > len(data) - at:
        raise TransactionEncoding(what=f"{size} bytes are announced and {len(data) - at} follow", at=at)


def check_end(data: bytes, end: int) -> None:
    """Check that what ends at `end` is all there is.

    Raises:
        TransactionEncoding: it is cut short, or more follows.
    """
    if end > len(data):
        raise TransactionEncoding(what="it ends too early", at=len(data))
    if end < len(data):
        raise TransactionEncoding(what=f"{len(data) - end} bytes follow its end", at=end)


_ONE_BYTE: Final = tuple(bytes((number,)) for number in range(WIDE))
_SMALLEST: Final = {0xFD: 0xFD, 0xFE: 0x1_0000, 0xFF: 0x1_0000_0000}
