"""What does a block say, and does a transaction stand in it?

`Block` is a whole block, `TxOutProof` the part of one that shows some of its transactions under the header's root, as
nodes make it with `gettxoutproof`. Both are refused unless every hash fits; neither says that the block is part of the
best chain, or valid: ask a node, or compare the hash.

A proof shows a path of hashes, not how long paths are: whoever mines a transaction of exactly 64 bytes can pass a path
off as one step longer, and show a transaction that never was (CVE-2017-12842). So compare `count` with the number of
transactions that a node says the block has.

Hashes are bytes in internal order. Sources: BIP 37 (partial merkle tree), Bitcoin Core's merkleblock.cpp.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from custody.bitcoin.script import double_sha256
from custody.bitcoin.serialize import Reader, TransactionEncoding
from custody.bitcoin.transaction import MinedTransaction
from custody.errors import InvalidInput
from custody.units import MAX_BLOCK_WEIGHT, WITNESS_SCALE

HEADER_SIZE: Final = 80
MIN_TRANSACTION: Final = 60
"""Bytes of the smallest transaction that a block can hold (Bitcoin Core, MIN_TRANSACTION_WEIGHT / 4)."""
MAX_TRANSACTIONS: Final = MAX_BLOCK_WEIGHT // (MIN_TRANSACTION * WITNESS_SCALE)


class BlockEncoding(InvalidInput, code="BLOCK_ENCODING"):
    """Bytes that are not a block, or whose transactions are not those the header commits to."""

    message = "not a valid block: {what}"
    hint = "Get the block again, from another node if the same one gives it so twice."
    what: str


class TxOutProofInvalid(InvalidInput, code="TX_OUT_PROOF"):
    """Bytes that do not prove that a transaction stands in a block."""

    message = "not a valid proof that a transaction is in a block: {what}"
    hint = "Get the proof again with gettxoutproof from a node that has the block; do not rely on the transaction yet."
    what: str


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """The 80 bytes that a block's hash is the hash of.

    Raises:
        BlockEncoding: `raw` is not 80 bytes long.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != HEADER_SIZE:
            raise BlockEncoding(what=f"its header has {len(self.raw)} bytes instead of {HEADER_SIZE}")

    @property
    def hash(self) -> bytes:
        """32 bytes."""
        return double_sha256(self.raw)

    @property
    def previous(self) -> bytes:
        """Hash of the block before it."""
        return self.raw[4:36]

    @property
    def merkle_root(self) -> bytes:
        """Root over its transactions' txids."""
        return self.raw[36:68]

    @property
    def time(self) -> int:
        """Unix seconds, as its miner claims."""
        return int.from_bytes(self.raw[68:72], "little")

    @property
    def target(self) -> int:
        """What its hash, as a number, may be at most (Bitcoin Core, SetCompact); 0 when it names none."""
        exponent, mantissa = self.raw[75], int.from_bytes(self.raw[72:75], "little")
        if mantissa & 0x80_0000:
            return 0
        # Numbers of at most 256 bits: a longer one overflows, and no hash meets it.
        target = mantissa << 8 * (exponent - 3) if exponent >= 3 else mantissa >> 8 * (3 - exponent)  # noqa: PLR2004
        return target if target < 2**256 else 0

    @property
    def has_work(self) -> bool:
        """Whether its hash meets the target that it names itself: what a forged one costs."""
        return int.from_bytes(self.hash, "little") <= self.target


@dataclass(frozen=True, slots=True)
class Block:
    """A block with its transactions in order, which are those its header commits to. Witnesses are not compared.

    They are walked over and not decoded, though no less strictly: whoever looks for a few needs little of the others.
    """

    header: BlockHeader
    transactions: tuple[MinedTransaction, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a serialized block.

        Raises:
            BlockEncoding: not exactly one block, or its transactions do not hash to its header's root.
        """
        header = BlockHeader(raw[:HEADER_SIZE])
        try:
            reader = Reader(raw, HEADER_SIZE)
            count = reader.count(MIN_TRANSACTION, "transactions")
            transactions, at = [], reader.at
            for _ in range(count):
                transaction, at = MinedTransaction.read(raw, at)
                transactions.append(transaction)
            Reader(raw, at).finish()
        except TransactionEncoding as error:
            raise BlockEncoding(what=str(error)) from None
        check_transactions(header, transactions)
        return cls(header, tuple(transactions))


def check_transactions(header: BlockHeader, transactions: Sequence[MinedTransaction]) -> None:
    """Pass when these are, in their order, the transactions that a header commits to.

    Raises:
        BlockEncoding: they are not.
    """
    txids = [each.txid for each in transactions]
    # A list that repeats its end has the root of the list that does not (CVE-2012-2459).
    if len(set(txids)) != len(txids) or merkle_root(txids) != header.merkle_root:
        raise BlockEncoding(what="its transactions are not those its header commits to")


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Root of a block's tree over `hashes`, the last doubled where a level is odd; 32 bytes, zeros over none."""
    level, sha256 = list(hashes), hashlib.sha256
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [sha256(sha256(left + right).digest()).digest() for left, right in pairs]
    return level[0] if level else bytes(32)


@dataclass(frozen=True, slots=True)
class TxOutProof:
    """That transactions stand in the block of `header`, which has `count` of them by the proof's own account.

    `places` are (position in the block, txid), ascending. `raw` is the proof as nodes write it.
    """

    raw: bytes
    header: BlockHeader
    count: int
    places: tuple[tuple[int, bytes], ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read and check a proof in the form of `gettxoutproof`.

        Raises:
            TxOutProofInvalid: cut short, padded, or its hashes do not come to the header's root.
        """
        try:
            reader = Reader(raw, HEADER_SIZE)
            header = BlockHeader(raw[:HEADER_SIZE])
            count = reader.u32()
            hashes = [reader.take(32) for _ in range(reader.count(32, "hashes"))]
            flags = reader.sized()
            reader.finish()
        except (TransactionEncoding, BlockEncoding) as error:
            raise TxOutProofInvalid(what=str(error)) from None
        if not 0 < count <= MAX_TRANSACTIONS:
            raise TxOutProofInvalid(what=f"a block cannot have {count} transactions")
        tree = _PartialTree(count, hashes, flags)
        if tree.root() != header.merkle_root:
            raise TxOutProofInvalid(what="its hashes do not come to the root in the block's header")
        if not header.has_work:
            raise TxOutProofInvalid(what="the block's header has no proof of work")
        return cls(raw, header, count, tuple(tree.places))

    def proves(self, txid: bytes) -> bool:
        """Whether it shows the transaction `txid`."""
        return any(each == txid for _, each in self.places)


class _PartialTree:
    """A tree walked depth first: a flag for each node met, a hash for each that is not opened."""

    def __init__(self, count: int, hashes: Sequence[bytes], flags: bytes) -> None:
        self.places: list[tuple[int, bytes]] = []
        self._count = count
        self._hashes: Iterator[bytes] = iter(hashes)
        self._flags = flags
        self._used = 0

    def root(self) -> bytes:
        height = (self._count - 1).bit_length()
        root = self._walk(height, 0)
        if next(self._hashes, None) is not None:
            raise TxOutProofInvalid(what="it has more hashes than its tree needs")
        rest = int.from_bytes(self._flags, "little") >> self._used
        if rest or len(self._flags) != -(-self._used // 8):
            raise TxOutProofInvalid(what="it has more flags than its tree needs")
        return root

    def _walk(self, height: int, position: int) -> bytes:
        """Hash of the node `height` levels above the transactions; not deeper than 15 for any block."""
        is_opened = self._flag()
        if not height or not is_opened:
            found = next(self._hashes, None)
            if found is None:
                raise TxOutProofInvalid(what="it has fewer hashes than its tree needs")
            if is_opened:
                self.places.append((position, found))
            return found
        left = self._walk(height - 1, 2 * position)
        if 2 * position + 1 >= self._width(height - 1):
            return double_sha256(left + left)
        right = self._walk(height - 1, 2 * position + 1)
        # An equal pair is how one transaction is shown at a position that does not exist (CVE-2012-2459).
        if left == right:
            raise TxOutProofInvalid(what="two neighbours in its tree are equal")
        return double_sha256(left + right)

    def _width(self, height: int) -> int:
        """Nodes at `height`."""
        return (self._count + (1 << height) - 1) >> height

    def _flag(self) -> int:
        byte, bit = divmod(self._used, 8)
        if byte >= len(self._flags):
            raise TxOutProofInvalid(what="it has fewer flags than its tree needs")
        self._used += 1
        return self._flags[byte] >> bit & 1
