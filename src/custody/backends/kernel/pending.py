"""Which transactions wait for a block, and which may join them?

The consensus rules about inputs, amounts and time, then a minimum fee and replacement (BIP 125, rules 3 and 4). Scripts
are judged by whoever calls. Bitcoin Core's other relay policy is not here. Reasons are Core's words where it has one.

Pure: what is unspent and what time the chain has are arguments. Sources: BIP 68, BIP 113, BIP 125; Bitcoin Core's
validation.cpp for the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.transaction import OutPoint, Transaction, TxOut
from custody.units import MAX_MONEY, MAX_TRANSACTION_WEIGHT, fee_at
from custody.vault.coins import COINBASE_MATURITY

MIN_FEE_RATE: Final = 1000
"""sat/kvB below which nothing is taken."""
_LOCKTIME_THRESHOLD: Final = 500_000_000
_FINAL: Final = 0xFFFFFFFF
_SEQUENCE_DISABLE: Final = 1 << 31
_SEQUENCE_IS_TIME: Final = 1 << 22
_SEQUENCE_MASK: Final = 0xFFFF
_SEQUENCE_SECONDS: Final = 512
_NO_INDEX: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Unspent:
    """An output nobody spent yet, and the height of its block; for one that waits, the height it could have next."""

    output: TxOut
    height: int
    is_coinbase: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the chain stands: the next block's height, and its median time past (BIP 113) at each height so far."""

    next_height: int
    median_time: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction in the pool and what it pays, in sats."""

    transaction: Transaction
    fee: int


class Refusal(Exception):
    """Why a transaction may not wait here. The chain turns it into RELAY_REFUSED."""


def spendable(transaction: Transaction) -> Iterator[tuple[OutPoint, TxOut]]:
    """The outputs of `transaction` that can be spent at all: not those that return at once."""
    for index, output in enumerate(transaction.outputs):
        if not output.script_pubkey.startswith(b"\x6a"):
            yield OutPoint(transaction.txid, index), output


class PendingPool:
    """Transactions in an order in which a block may hold them: each after those it spends."""

    def __init__(self, unspent: Callable[[OutPoint], Unspent | None]) -> None:
        """`unspent` says what the chain holds at an outpoint, now and whenever it is asked."""
        self._unspent = unspent
        self._waiting: dict[bytes, Waiting] = {}
        self._made: dict[OutPoint, TxOut] = {}
        self._spenders: dict[OutPoint, bytes] = {}

    def __contains__(self, txid: bytes) -> bool:
        return txid in self._waiting

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def is_spent(self, outpoint: OutPoint) -> bool:
        """Whether a waiting transaction spends `outpoint`."""
        return outpoint in self._spenders

    def made(self) -> Iterable[tuple[OutPoint, TxOut]]:
        """What waiting transactions would create, spent by another of them or not."""
        return self._made.items()

    def examine(self, transaction: Transaction, moment: Moment) -> tuple[Unspent, ...]:
        """What `transaction` spends, in order, once everything about it but its scripts and its fee is right.

        Raises:
            Refusal: with the first reason.
        """
        _check_shape(transaction)
        spent = tuple(self._find(each.outpoint, moment) for each in transaction.inputs)
        for unspent in spent:
            if unspent.is_coinbase and moment.next_height - unspent.height < COINBASE_MATURITY:
                raise Refusal("bad-txns-premature-spend-of-coinbase")
        _check_final(transaction, moment)
        _check_relative_locks(transaction, spent, moment)
        if fee_of(transaction, spent) < 0:
            raise Refusal("bad-txns-in-belowout")
        return spent

    def add(self, transaction: Transaction, fee: int) -> Waiting:
        """Let an examined and judged `transaction` wait, in place of those it conflicts with.

        Whether it pays enough for itself is for `refuse_cheap`: another may pay for it.

        Raises:
            Refusal: it pays too little for what it replaces.
        """
        replaced = self._conflicts(transaction)
        own = fee_at(MIN_FEE_RATE, transaction.vsize)
        owed = sum(self._waiting[each].fee for each in replaced)
        if replaced and fee < owed + own:
            raise Refusal(f"insufficient fee, rejecting replacement; {fee} < {owed} + {own}")
        if any(each.outpoint.txid in replaced for each in transaction.inputs):
            raise Refusal("bad-txns-spends-conflicting-tx")
        for each in replaced:
            self._remove(each)
        waiting = Waiting(transaction, fee)
        self._insert(waiting)
        return waiting

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """What is added in this block waits only when the block ends without a refusal."""
        before = dict(self._waiting), dict(self._made), dict(self._spenders)
        try:
            yield
        except Refusal:
            self._waiting, self._made, self._spenders = before
            raise

    def rebuild(self, returned: Iterable[Transaction], is_confirmed: Callable[[bytes], bool], moment: Moment) -> None:
        """After the chain moved: transactions that lost their block come back, and what no longer fits goes.

        Their scripts were judged before, and scripts do not depend on the chain.
        """
        candidates = [*returned, *(each.transaction for each in self._waiting.values())]
        self._waiting, self._made, self._spenders = {}, {}, {}
        for transaction in candidates:
            if is_confirmed(transaction.txid) or transaction.txid in self._waiting:
                continue
            try:
                spent = self.examine(transaction, moment)
            except Refusal:
                continue
            if not any(self.is_spent(each.outpoint) for each in transaction.inputs):
                self._insert(Waiting(transaction, fee_of(transaction, spent)))

    def _find(self, outpoint: OutPoint, moment: Moment) -> Unspent:
        found = self._unspent(outpoint)
        if found is None and outpoint in self._made:
            found = Unspent(self._made[outpoint], moment.next_height, is_coinbase=False)
        if found is None:
            raise Refusal("bad-txns-inputs-missingorspent")
        return found

    def _insert(self, waiting: Waiting) -> None:
        transaction = waiting.transaction
        self._waiting[transaction.txid] = waiting
        self._made.update(spendable(transaction))
        self._spenders.update((each.outpoint, transaction.txid) for each in transaction.inputs)

    def _remove(self, txid: bytes) -> None:
        transaction = self._waiting.pop(txid).transaction
        for outpoint, _ in spendable(transaction):
            del self._made[outpoint]
        for each in transaction.inputs:
            del self._spenders[each.outpoint]

    def with_spenders(self, txid: bytes) -> tuple[Waiting, ...]:
        """What waits under `txid`, and all that spends what it would create; nothing when it does not wait."""
        return tuple(self._waiting[each] for each in self._with_spenders({txid} & self._waiting.keys()))

    def _conflicts(self, transaction: Transaction) -> frozenset[bytes]:
        """Waiting transactions that spend the same coins, and all that spend what those would create."""
        return self._with_spenders(
            {self._spenders[each.outpoint] for each in transaction.inputs if each.outpoint in self._spenders}
        )

    def _with_spenders(self, found: set[bytes]) -> frozenset[bytes]:
        for txid, waiting in self._waiting.items():
            # In their order, so parents come first.
            if any(each.outpoint.txid in found for each in waiting.transaction.inputs):
                found.add(txid)
        return frozenset(found)


def fee_of(transaction: Transaction, spent: Iterable[Unspent]) -> int:
    """Sats that `transaction` leaves to the miner; below zero when it makes money."""
    return sum(each.output.amount for each in spent) - sum(output.amount for output in transaction.outputs)


def refuse_cheap(package: Sequence[Waiting]) -> None:
    """Pass when the last of `package` pays for itself, and for those before it that do not.

    Fees go from a child to its parents and never the other way, as a miner could take the parents alone.

    Raises:
        Refusal: it does not.
    """
    owed = [fee_at(MIN_FEE_RATE, each.transaction.vsize) - each.fee for each in package]
    lacking = sum(max(0, each) for each in owed[:-1]) + sum(owed[-1:])
    if lacking > 0:
        raise Refusal(f"min relay fee not met, {lacking} sat too little")


def _check_shape(transaction: Transaction) -> None:
    """Rules that need nothing but the transaction (Bitcoin Core, CheckTransaction)."""
    outpoints = [each.outpoint for each in transaction.inputs]
    if not outpoints:
        raise Refusal("bad-txns-vin-empty")
    if not transaction.outputs:
        raise Refusal("bad-txns-vout-empty")
    if transaction.weight > MAX_TRANSACTION_WEIGHT:
        raise Refusal("tx-size")
    if not all(0 <= output.amount <= MAX_MONEY for output in transaction.outputs):
        raise Refusal("bad-txns-vout-negative or toolarge")
    if sum(output.amount for output in transaction.outputs) > MAX_MONEY:
        raise Refusal("bad-txns-txouttotal-toolarge")
    if len(set(outpoints)) != len(outpoints):
        raise Refusal("bad-txns-inputs-duplicate")
    if OutPoint(bytes(32), _NO_INDEX) in outpoints:
        raise Refusal("coinbase")


def _check_final(transaction: Transaction, moment: Moment) -> None:
    """Absolute locks: the next block must be allowed to hold it (BIP 113)."""
    if not transaction.locktime or all(each.sequence == _FINAL for each in transaction.inputs):
        return
    is_height = transaction.locktime < _LOCKTIME_THRESHOLD
    reached = moment.next_height if is_height else moment.median_time(moment.next_height - 1)
    if transaction.locktime >= reached:
        raise Refusal("non-final")


def _check_relative_locks(transaction: Transaction, spent: Iterable[Unspent], moment: Moment) -> None:
    """Relative locks of each input (BIP 68)."""
    if transaction.version < 2:  # noqa: PLR2004 - the version that BIP 68 names
        return
    now = moment.median_time(moment.next_height - 1)
    for each, unspent in zip(transaction.inputs, spent, strict=True):
        if each.sequence & _SEQUENCE_DISABLE:
            continue
        lock = each.sequence & _SEQUENCE_MASK
        if each.sequence & _SEQUENCE_IS_TIME:
            since = moment.median_time(max(unspent.height - 1, 0))
            is_open = now - since >= lock * _SEQUENCE_SECONDS
        else:
            is_open = moment.next_height - unspent.height >= lock
        if not is_open:
            raise Refusal("non-BIP68-final")
