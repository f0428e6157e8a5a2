"""How do many entries become one root, and how does one root prove that it holds an entry or an earlier root?

Roots and proofs are those of RFC 6962, 2.1; they are checked by the algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2. Leaf
hashes come in, 32 bytes each; what a leaf is made of is for `entry`, and who vouches for a root is for `checkpoint`.

`Frontier` is what one must remember to append and to know the root: at most one hash for each bit of the size.
`MerkleTree` keeps every leaf hash and can prove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from custody.errors import IntegrityError, InvalidInput

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of a log without entries (RFC 6962, 2.1)."""


class ProofInvalid(IntegrityError, code="PROOF_INVALID"):
    """A proof or a history that does not lead to the root it should."""

    message = "{claim} is not proved: {problem}"
    hint = (
        "Ask for the proof again, from another source. If it fails again somebody holds two histories: sign nothing, "
        "keep both files and call the witnesses."
    )
    claim: str
    problem: str


class NotInLog(InvalidInput, code="NOT_IN_LOG"):
    """A proof asked for about an entry or a size that the tree does not have."""

    message = "there is no proof from {index} to {size} in a log of {entries} entries"
    hint = "Entries count from 0. Check the index and the size, or load more of the log."
    index: int
    size: int
    entries: int


def hash_leaf(data: bytes) -> bytes:
    """Leaf hash of `data`, 32 bytes. Source: RFC 6962, 2.1."""
    # Leaf and node hashes start with different bytes, or an inner node could pass for an entry.
    return hashlib.sha256(b"\x00" + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees side by side, 32 bytes. Source: RFC 6962, 2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The roots of the complete subtrees that make up a log of `size` entries, largest first.

    Raises:
        ValueError: not one peak of 32 bytes for each bit set in the size.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or self.size.bit_count() != len(self.peaks):
            raise ValueError("a frontier has one peak for each bit set in its size")
        if set(map(len, self.peaks)) - {HASH_SIZE}:
            raise ValueError("a hash of the log has 32 bytes")

    @classmethod
    def of(cls, leaves: Iterable[bytes]) -> Frontier:
        """The frontier of a log with these leaf hashes."""
        return cls().extend(leaves)

    def append(self, leaf: bytes) -> Frontier:
        """The frontier with one more leaf hash: one hash on average, one for each bit of the size at worst."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """The frontier with more leaf hashes, in order."""
        size, peaks = self.size, list(self.peaks)
        sha256 = hashlib.sha256
        for leaf in leaves:
            _check_hash(leaf)
            node, carry = leaf, size
            while carry & 1:
                node = sha256(b"\x01" + peaks.pop() + node).digest()
                carry >>= 1
            peaks.append(node)
            size += 1
        return Frontier(size=size, peaks=tuple(peaks))

    @property
    def root(self) -> bytes:
        """The log's root, 32 bytes."""
        return _fold(self.peaks)

    def consistency(self, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
        """The proof that this log begins the one in which `leaves` follow it. Source: RFC 6962, 2.1.2.

        It is empty when there are none, or this log has no entries.
        """
        peaks = reversed(self.peaks)
        # What a proof shows of the old log are its peaks, the last one nearest; so no older leaf is needed.
        return tuple(
            next(peaks) if stop <= self.size else Frontier.of(leaves[start - self.size : stop - self.size]).root
            for start, stop in _proving(self.size, self.size + len(leaves))
        )


class MerkleTree:
    """Every leaf hash of a log and every complete subtree above them: 64 bytes an entry.

    It only grows. Roots and proofs of any size up to its own take as many steps as the size has bits, squared.
    """

    __slots__ = ("_levels",)

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        self.extend(leaves)

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return len(self._levels[0]) // HASH_SIZE

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes, in order."""
        added = list(leaves)
        for leaf in added:
            _check_hash(leaf)
        self._levels[0] += b"".join(added)
        self._complete()

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves, or of all.

        Raises:
            NotInLog: it has fewer leaves.
        """
        wanted = self.size if size is None else size
        self._check_range(0, wanted)
        return self._range(0, wanted)

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """The audit path of leaf `index` in the first `size` leaves, nearest first. Source: RFC 6962, 2.1.1.

        Raises:
            NotInLog: unless index < size <= its own size.
        """
        self._check_range(index, size)
        if index == size:
            raise NotInLog(index=index, size=size, entries=self.size)
        path: list[bytes] = []
        start, stop = 0, size
        while stop - start > 1:
            middle = start + _split(stop - start)
            if index < middle:
                path.append(self._range(middle, stop))
                stop = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return tuple(reversed(path))

    def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """The proof that the first `old_size` leaves begin the first `new_size`. Source: RFC 6962, 2.1.2.

        It is empty when the sizes are equal or the old one is 0.

        Raises:
            NotInLog: unless old size <= new size <= its own size.
        """
        self._check_range(old_size, new_size)
        return tuple(self._range(start, stop) for start, stop in _proving(old_size, new_size))

    def _complete(self) -> None:
        """Hash the pairs of each level that have become complete."""
        sha256 = hashlib.sha256
        depth = 0
        while len(self._levels[depth]) >= 2 * HASH_SIZE:
            if depth + 1 == len(self._levels):
                self._levels.append(bytearray())
            below, level = bytes(self._levels[depth]), self._levels[depth + 1]
            pairs = range(2 * len(level), len(below) - HASH_SIZE, 2 * HASH_SIZE)
            level += b"".join([sha256(b"\x01" + below[at : at + 64]).digest() for at in pairs])
            depth += 1

    def _range(self, start: int, stop: int) -> bytes:
        """Root of the leaves from `start` to before `stop`; `start` is a multiple of the largest power of 2 inside."""
        peaks: list[bytes] = []
        while start < stop:
            depth = (stop - start).bit_length() - 1
            at = (start >> depth) * HASH_SIZE
            peaks.append(bytes(self._levels[depth][at : at + HASH_SIZE]))
            start += 1 << depth
        return _fold(peaks)

    def _check_range(self, index: int, size: int) -> None:
        if not 0 <= index <= size <= self.size:
            raise NotInLog(index=index, size=size, entries=self.size)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that `leaf` (a leaf hash) is entry `index` of the log with `size` entries and this root.

    Source: RFC 9162, 2.1.3.2.

    Raises:
        ProofInvalid: it is not, or the proof is for something else.
    """
    claim = f"entry {index} in a log of {size}"
    _require(0 <= index < size, claim, "there is no such entry")
    _require(all(len(each) == HASH_SIZE for each in (leaf, root, *proof)), claim, "a hash is not 32 bytes")
    at, last, node = index, size - 1, leaf
    for sibling in proof:
        _require(last > 0, claim, "the proof is too long")
        if at & 1 or at == last:
            node = hash_node(sibling, node)
            at, last = _to_left_edge(at, last)
        else:
            node = hash_node(node, sibling)
        at, last = at >> 1, last >> 1
    _require(last == 0, claim, "the proof is too short")
    _require(node == root, claim, "the proof leads to another root")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the log of `new_size` entries begins with the log of `old_size` entries.

    Source: RFC 9162, 2.1.4.2. As in C2SP tlog-witness the proof is empty when the old size is 0 or the sizes are equal.

    Raises:
        ProofInvalid: it does not, or the proof is for something else.
    """
    claim = f"that a log of {new_size} extends one of {old_size}"
    _require(0 <= old_size <= new_size, claim, "it is shorter")
    _require(all(len(each) == HASH_SIZE for each in (old_root, new_root, *proof)), claim, "a hash is not 32 bytes")
    if old_size in {0, new_size}:
        _require(not proof, claim, "the proof is too long")
        _require(old_root == (new_root if old_size == new_size else EMPTY_ROOT), claim, "the roots differ")
        _require(new_size > 0 or new_root == EMPTY_ROOT, claim, "an empty log has another root")
        return
    # When the old log is one complete subtree its root is left out of the proof: the verifier has it.
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    _require(bool(path), claim, "the proof is too short")
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        _require(last > 0, claim, "the proof is too long")
        if at & 1 or at == last:
            old_node, new_node = hash_node(sibling, old_node), hash_node(sibling, new_node)
            at, last = _to_left_edge(at, last)
        else:
            new_node = hash_node(new_node, sibling)
        at, last = at >> 1, last >> 1
    _require(last == 0, claim, "the proof is too short")
    _require(old_node == old_root, claim, "the proof leads to another earlier root")
    _require(new_node == new_root, claim, "the proof leads to another root")


def _require(holds: bool, claim: str, problem: str) -> None:  # noqa: FBT001 - the condition, as in assert
    if not holds:
        raise ProofInvalid(claim=claim, problem=problem)


def _to_left_edge(at: int, last: int) -> tuple[int, int]:
    """Climb while the node is a left child without sibling (RFC 9162: until the lowest bit of `at` is set)."""
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last


def _proving(old_size: int, new_size: int) -> list[tuple[int, int]]:
    """The leaves, from and to, whose roots prove that the old log begins the new one, nearest first."""
    if old_size == 0:
        return []
    path: list[tuple[int, int]] = []
    start, stop = 0, new_size
    while stop != old_size:
        middle = start + _split(stop - start)
        if old_size <= middle:
            path.append((middle, stop))
            stop = middle
        else:
            path.append((start, middle))
            start = middle
    # From leaf 0 on, this subtree is the whole old log, whose root the verifier has.
    if start:
        path.append((start, stop))
    return path[::-1]


def _split(width: int) -> int:
    """The largest power of two below `width`, which is 2 or more."""
    return 1 << ((width - 1).bit_length() - 1)


def _fold(peaks: Sequence[bytes]) -> bytes:
    """Root over complete subtrees that grow smaller: each joined with all that stands right of it."""
    if not peaks:
        return EMPTY_ROOT
    node, sha256 = peaks[-1], hashlib.sha256
    for peak in peaks[-2::-1]:
        # As `hash_node`; written out because every entry that is read makes a root.
        node = sha256(b"\x01" + peak + node).digest()
    return node


def _check_hash(value: bytes) -> None:
    if len(value) != HASH_SIZE:
        raise ValueError("a hash of the log has 32 bytes")
