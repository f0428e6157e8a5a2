"""What a block says about our vaults: deposits, spends, and what a reorganisation takes back.

Pure: blocks come in, records come out. A deposit counts by its outpoint and its block together, so the same output in
another block is another deposit (THREATS D7). A spend of our coins that no transfer explains for which signatures were
asked is the loudest alarm there is: it freezes everything, until others than who saw it can see that its block is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from custody.bitcoin.block import BlockHeader
from custody.bitcoin.transaction import MinedTransaction, OutPoint, Transaction
from custody.record import Digest, HexBytes, Record
from custody.units import Count, Height, Index, Sat, UnixTime
from custody.vault.coins import Deposit, ScriptPlace


@dataclass(frozen=True, slots=True)
class Tip:
    """The best block: its height, its hash (32 bytes, internal order) and its header's time."""

    height: int
    hash: bytes
    time: int


@dataclass(frozen=True, slots=True)
class BlockView:
    """One block of the best chain, whole, with its transactions in order.

    The transactions are walked over and not decoded: whose block it is needs no more, and nearly none of them is ours.
    """

    height: int
    header: BlockHeader
    transactions: tuple[MinedTransaction, ...]

    @property
    def hash(self) -> bytes:
        """32 bytes, internal order."""
        return self.header.hash

    @property
    def previous(self) -> bytes:
        """Hash of the block before it."""
        return self.header.previous

    @property
    def time(self) -> int:
        """Unix seconds, as its miner claims."""
        return self.header.time


class ChainSeen(Record):
    """The coordinator looked: this was the best block, and everything up to it has been scanned.

    `time` is the block's own, as its miner claims; `at` the coordinator's.
    """

    kind: ClassVar[str] = "chain-seen"

    height: Height
    block: Digest
    time: UnixTime
    at: UnixTime


class DepositSeen(Record):
    """An output of a vault, in a block. Its txid is the digest of the transaction that proves the amount."""

    kind: ClassVar[str] = "deposit-seen"

    vault: Digest
    txid: Digest
    vout: Count
    amount: Sat
    script_pubkey: HexBytes
    branch: Count
    index: Index
    height: Height
    block: Digest
    is_coinbase: bool
    at: UnixTime

    @property
    def deposit(self) -> Deposit:
        """The deposit as a value."""
        return Deposit(
            outpoint=OutPoint(self.txid, self.vout),
            amount=self.amount,
            script_pubkey=self.script_pubkey,
            branch=self.branch,
            index=self.index,
            height=self.height,
            is_coinbase=self.is_coinbase,
            block_hash=self.block,
        )


class DepositReversed(Record):
    """The block that held a deposit is no longer part of the chain."""

    kind: ClassVar[str] = "deposit-reversed"

    txid: Digest
    vout: Count
    block: Digest
    at: UnixTime


class CameEarly(Record):
    """A deposit stood in a block before its address was given out, though it was entered after that.

    Heads show in which order entries stand, and that to everybody; heights stand in bodies, which not everybody has.
    """

    kind: ClassVar[str] = "came-early"

    txid: Digest
    vout: Count
    at: UnixTime

    @property
    def outpoint(self) -> OutPoint:
        """Where it is."""
        return OutPoint(self.txid, self.vout)


class CoinMatured(Record):
    """A deposit reached the depth its vault asks for: it may be spent."""

    kind: ClassVar[str] = "coin-matured"

    txid: Digest
    vout: Count
    block: Digest
    at: UnixTime


class PastClosed(Record):
    """When the charter was adopted this was the best block: what stands in blocks up to it is the vaults' past."""

    kind: ClassVar[str] = "past-closed"

    height: Height
    block: Digest
    at: UnixTime


class SpendSeen(Record):
    """A transfer's transaction stands in a block, not yet deep enough: after its release, or sent before by others."""

    kind: ClassVar[str] = "spend-seen"

    transfer: Digest
    txid: Digest
    block: Digest
    height: Height
    at: UnixTime


class UnexplainedSpend(Record):
    """A coin of ours was spent by a transaction that is no transfer for which signatures were asked.

    `transfer` is the one that it is, when there is one: it was vetoed, say, or nobody had agreed to it yet. `header` is
    that of the block, 80 bytes: what is to show that the block lost its place has to have cost as much.
    """

    kind: ClassVar[str] = "unexplained-spend"

    txid: Digest
    vout: Count
    spender: Digest
    header: HexBytes
    height: Height
    transfer: Digest | None = None
    at: UnixTime

    @property
    def block(self) -> bytes:
        """Hash of the block."""
        return BlockHeader(self.header).hash


class PastSpend(Record):
    """A coin was spent in a block that stood when the charter was adopted: by whoever kept the vault before."""

    kind: ClassVar[str] = "past-spend"

    txid: Digest
    vout: Count
    spender: Digest
    block: Digest
    height: Height
    at: UnixTime


class SpendReversed(Record):
    """The block that held a spend of ours, which is no transfer's, is no longer part of the chain.

    `branch` shows it of a spend that froze everything: headers, 80 bytes each, from the one above the block at `since`,
    which was looked at before the spend, to one that is higher than the spend's. A past spend needs none.
    """

    kind: ClassVar[str] = "spend-reversed"

    txid: Digest
    vout: Count
    spender: Digest
    block: Digest
    height: Height
    since: Height = 0
    branch: tuple[HexBytes, ...] = ()
    at: UnixTime


Find: TypeAlias = Callable[[bytes], ScriptPlace | None]
"""Whose a locking script is, of all vaults at once; None for everybody else's."""


@dataclass(frozen=True, slots=True)
class Spend:
    """A watched coin spent in a block. `unsigned` is the spender's txid with its scriptSigs emptied: a draft's."""

    outpoint: OutPoint
    spender: bytes
    unsigned: bytes
    header: BlockHeader
    height: int


def deposits_in(block: BlockView, find: Find, at: int) -> Iterator[tuple[DepositSeen, Transaction]]:
    """Every output in `block` whose script `find` knows, in the block's order, with its transaction.

    A payment with many outputs to us is decoded once, and is one value for all of them.
    """
    for position, transaction in enumerate(block.transactions):
        whole: Transaction | None = None
        for vout, script in enumerate(transaction.scripts):
            place = find(script)
            if place is None:
                continue
            whole = whole or transaction.decode()
            seen = DepositSeen(
                vault=place.vault_id,
                txid=transaction.txid,
                vout=vout,
                amount=whole.outputs[vout].amount,
                script_pubkey=script,
                branch=int(place.branch),
                index=place.number,
                height=block.height,
                block=block.hash,
                is_coinbase=position == 0,
                at=at,
            )
            yield seen, whole


def spends_in(block: BlockView, coins: Container[OutPoint]) -> Iterator[Spend]:
    """Every input in `block` that spends one of `coins`."""
    for transaction in block.transactions[1:]:
        ours = [outpoint for outpoint in transaction.spends if outpoint in coins]
        unsigned = transaction.decode().without_script_sigs().txid if ours else b""
        for outpoint in ours:
            yield Spend(outpoint, transaction.txid, unsigned, block.header, block.height)
