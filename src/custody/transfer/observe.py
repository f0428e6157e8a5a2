"""What a block says about our vaults: deposits, spends, and what a reorganisation takes back.

Pure: blocks come in, records come out. A deposit counts by its outpoint and its block together, so the same output in
another block is another deposit (THREATS D7). A spend of our coins that no released transfer explains is the loudest
alarm there is: it freezes everything.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

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
    """One block of the best chain, whole, with its transactions in order. `previous` is the hash of the one before.

    The transactions are walked over and not decoded: whose block it is needs no more, and nearly none of them is ours.
    """

    height: int
    hash: bytes
    previous: bytes
    time: int
    transactions: tuple[MinedTransaction, ...]


class ChainSeen(Record):
    """The coordinator looked: this was the best block, and everything up to it has been scanned."""

    kind: ClassVar[str] = "chain-seen"

    height: Height
    block: Digest
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


class CoinMatured(Record):
    """A deposit reached the depth its vault asks for: it may be spent."""

    kind: ClassVar[str] = "coin-matured"

    txid: Digest
    vout: Count
    block: Digest
    at: UnixTime


class SpendSeen(Record):
    """A released transfer's transaction stands in a block, not yet deep enough."""

    kind: ClassVar[str] = "spend-seen"

    transfer: Digest
    txid: Digest
    block: Digest
    height: Height
    at: UnixTime


class UnexplainedSpend(Record):
    """A coin of ours was spent by a transaction that no released transfer is."""

    kind: ClassVar[str] = "unexplained-spend"

    txid: Digest
    vout: Count
    spender: Digest
    block: Digest
    height: Height
    at: UnixTime


Find: TypeAlias = Callable[[bytes], ScriptPlace | None]
"""Whose a locking script is, of all vaults at once; None for everybody else's."""


@dataclass(frozen=True, slots=True)
class Spend:
    """A watched coin spent in a block."""

    outpoint: OutPoint
    spender: bytes
    block: bytes
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
        for outpoint in transaction.spends:
            if outpoint in coins:
                yield Spend(outpoint, transaction.txid, block.hash, block.height)
