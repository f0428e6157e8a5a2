"""How does a test get a chain with coins on it, in under a second and the same every time?

`RegtestChain` mines on a `KernelChain`: blocks that Bitcoin Core's rules accept, a faucet that pays anybody, and
reorganisations of any depth. On a node it does the same (node.py). Keys, block times and so every txid and block hash
follow from what was asked, so fixtures made with it can be made again. Regtest only.

Times are Unix seconds and start on 2025-01-01; each block is ten minutes after the one before. The chain is a `Clock`:
it is always as late as its newest block, or as late as `wait` made it. Sources: BIP 34, BIP 141 (commitment).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from custody.backends.kernel import KernelChain, Unspent
from custody.bitcoin import curve
from custody.bitcoin.block import merkle_root
from custody.bitcoin.script import double_sha256, hash160, p2pkh, p2wpkh, push
from custody.bitcoin.serialize import compact_size
from custody.bitcoin.sighash import ALL, SegwitV0
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.errors import InvalidInput
from custody.ports import BlockView, ChainView, Judge, Relay
from custody.record import tagged_hash
from custody.units import COIN, MAX_BLOCK_WEIGHT, Network, fee_at
from custody.vault.coins import COINBASE_MATURITY

START: Final = 1_735_689_600
"""2025-01-01 00:00 UTC: before any clock that runs this, so that no block lies in its future."""
SPACING: Final = 600
_HALVING: Final = 150
_BITS: Final = 0x207FFFFF
_TARGET: Final = 0x7FFFFF << 8 * (0x20 - 3)
_VERSION: Final = 0x20000000
_NO_OUTPOINT: Final = OutPoint(bytes(32), 0xFFFFFFFF)
_REPLACEABLE: Final = 0xFFFFFFFD
_FAUCET_FEE_RATE: Final = 2000
_DUST: Final = 1000
_ONE_INPUT: Final = 68
_COINBASE_WEIGHT: Final = 10_000
_ONE_CHANGE: Final = 31


class FaucetEmpty(InvalidInput, code="FAUCET_EMPTY"):
    """A payment larger than what the faucet may spend now."""

    message = "the faucet has {available} sat to spend and was asked for {needed} sat"
    hint = "Mine more blocks to the faucet: each is worth at most 50 BTC, and may be spent 100 blocks later."
    available: int
    needed: int


class RegtestView(ChainView, Relay, Protocol):
    """What a chain is mined on: `KernelChain`, or a node."""

    def submit(self, raw: bytes) -> bytes:
        """Validate and store the block `raw`; its hash.

        Raises:
            BlockRefused: it is not valid.
        """

    def pending(self) -> tuple[Transaction, ...]:
        """What waits, in an order in which a block may hold it."""

    def unspent_of(self, script_pubkey: bytes) -> Iterator[tuple[OutPoint, Unspent]]:
        """Every output locked to `script_pubkey`, confirmed or waiting, that nothing spends, waiting or not."""

    def close(self) -> None:
        """Let go of it."""


class RegtestChain:
    """Mines, pays and reorganises. `view` is the chain itself, as `ChainView` and `Relay`.

    `directory` keeps the chain; without it, it lives in a temporary place until `close`. Or it is mined on `view`.
    `judges` are opinions that this kind of chain brings with it.

    Raises:
        NetworkMismatch: any network but regtest.
        NodeUnavailable: the directory cannot be used.
    """

    def __init__(
        self, directory: Path | None = None, network: Network = Network.REGTEST, view: RegtestView | None = None
    ) -> None:
        self.view: RegtestView = view or KernelChain(directory, network)
        self.judges: tuple[Judge, ...] = ()
        self._secret = tagged_hash("custody/testing/faucet", b"")
        self._public_key = curve.public_key(self._secret)
        self._time = max(START, self.view.tip().time)
        self._mined = self.view.tip().height

    @classmethod
    def funded(cls, coinbases: int = 10) -> Self:
        """A chain in a temporary place whose faucet can spend `coinbases` block rewards."""
        return cls().fund(coinbases)

    def fund(self, coinbases: int = 10) -> Self:
        """Mine until the faucet can spend `coinbases` more block rewards; this chain."""
        self.mine(coinbases + COINBASE_MATURITY - 1)
        return self

    def close(self) -> None:
        """Let go of the chain."""
        self.view.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Time ---------------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Unix seconds: the time of the newest block, or later after `wait`."""
        return self._time

    def wait(self, seconds: int) -> int:
        """Let `seconds` pass without a block; the time then."""
        self._time += seconds
        return self._time

    # --- Blocks -------------------------------------------------------------------------------------------------------

    @property
    def faucet_script(self) -> bytes:
        """What mined coins are locked to unless asked otherwise (P2WPKH)."""
        return p2wpkh(hash160(self._public_key))

    def mine(
        self,
        count: int = 1,
        script_pubkey: bytes | None = None,
        transactions: Sequence[Transaction] | None = None,
        spacing: int = SPACING,
    ) -> tuple[bytes, ...]:
        """Add `count` blocks, `spacing` seconds apart, that pay `script_pubkey` (the faucet); their hashes.

        The first holds `transactions`: unless given, what waits, as much of it as fits. Fees are left to nobody.

        Raises:
            BlockRefused: a transaction given is not valid there.
        """
        hashes = []
        included = _fitting(self.view.pending()) if transactions is None else tuple(transactions)
        for _ in range(count):
            tip = self.view.tip()
            self.wait(spacing)
            hashes.append(self._add(tip.hash, tip.height + 1, included, script_pubkey))
            included = ()
        return tuple(hashes)

    def reorganise(
        self, depth: int, leave_out: Collection[bytes] = (), instead: Sequence[Transaction] = ()
    ) -> tuple[BlockView, ...]:
        """Replace the last `depth` blocks by `depth` + 1 others; the blocks that lost their place, lowest first.

        Their transactions stand at the same heights of the new branch, except those whose txids are in `leave_out` and
        all that spend them: these wait again. `instead` goes first, into the lowest new block; what conflicts with it
        must be left out, and then waits no more.

        Raises:
            BlockRefused: the new branch is not valid.
        """
        tip = self.view.tip()
        lost = tuple(self.view.block(height) for height in range(tip.height - depth + 1, tip.height + 1))
        missing = set(leave_out)
        previous = self.view.block_hash(tip.height - depth)
        for position in range(depth + 1):
            kept: list[Transaction] = list(instead) if not position else []
            for mined in lost[position].transactions[1:] if position < depth else ():
                each = mined.decode()
                if each.txid in missing or any(spending.outpoint.txid in missing for spending in each.inputs):
                    missing.add(each.txid)
                else:
                    kept.append(each)
            self.wait(SPACING)
            previous = self._add(previous, tip.height - depth + 1 + position, kept, None)
        return lost

    def _add(
        self, previous: bytes, height: int, transactions: Sequence[Transaction], script_pubkey: bytes | None
    ) -> bytes:
        self._mined += 1
        raw = build_block(
            previous=previous,
            height=height,
            time=self._time,
            reward_to=script_pubkey or self.faucet_script,
            transactions=transactions,
            extra_nonce=self._mined,
        )
        return self.view.submit(raw)

    # --- Payments -----------------------------------------------------------------------------------------------------

    def pay(self, script_pubkey: bytes, amount: int) -> OutPoint:
        """Pay `amount` sats from the faucet; the new output, which waits for a block.

        Raises:
            FaucetEmpty: it has not as much.
        """
        return OutPoint(self.pay_all([TxOut(amount, script_pubkey)]).txid, 0)

    def pay_all(self, outputs: Sequence[TxOut]) -> Transaction:
        """One transaction from the faucet with `outputs` in their order and change after them; it waits for a block.

        Raises:
            FaucetEmpty: it has not as much.
        """
        transaction = self._fund(outputs)
        self.view.send(transaction.serialize())
        return transaction

    def _fund(self, outputs: Sequence[TxOut]) -> Transaction:
        bare = Transaction(2, (), tuple(outputs), 0)
        wanted = sum(output.amount for output in outputs)
        chosen: list[tuple[OutPoint, TxOut]] = []
        total, needed = 0, 0
        for outpoint, unspent in self._coins():
            chosen.append((outpoint, unspent.output))
            total += unspent.output.amount
            size = len(bare.stripped()) + _ONE_INPUT * len(chosen) + _ONE_CHANGE
            needed = wanted + fee_at(_FAUCET_FEE_RATE, size)
            if total >= needed:
                break
        else:
            raise FaucetEmpty(available=total, needed=max(needed, wanted))
        change = [TxOut(total - needed, self.faucet_script)] if total - needed >= _DUST else []
        inputs = tuple(TxIn(outpoint, b"", _REPLACEABLE) for outpoint, _ in chosen)
        return self._sign(Transaction(2, inputs, (*outputs, *change), 0), [output for _, output in chosen])

    def _coins(self) -> list[tuple[OutPoint, Unspent]]:
        """What the faucet may spend now, oldest first, in an order that does not depend on how it came."""
        next_height = self.view.tip().height + 1
        found = [
            (outpoint, each)
            for outpoint, each in self.view.unspent_of(self.faucet_script)
            if not each.is_coinbase or next_height - each.height >= COINBASE_MATURITY
        ]
        return sorted(found, key=lambda coin: (coin[1].height, coin[0]))

    def _sign(self, transaction: Transaction, spent: Sequence[TxOut]) -> Transaction:
        hasher = SegwitV0(transaction)
        # BIP 143: the script code of P2WPKH is the P2PKH script of the same hash.
        script_code = p2pkh(hash160(self._public_key))
        witness = []
        for index, output in enumerate(spent):
            digest = hasher.digest(index, script_code, output.amount)
            witness.append((curve.sign_ecdsa(self._secret, digest) + bytes([ALL]), self._public_key))
        return Transaction(
            transaction.version, transaction.inputs, transaction.outputs, transaction.locktime, tuple(witness)
        )


def _fitting(waiting: Iterable[Transaction]) -> tuple[Transaction, ...]:
    """The first of `waiting`, each after what it spends, up to the weight of a block."""
    found, room = [], MAX_BLOCK_WEIGHT - _COINBASE_WEIGHT
    for transaction in waiting:
        room -= transaction.weight
        if room < 0:
            break
        found.append(transaction)
    return tuple(found)


def subsidy(height: int) -> int:
    """Sats that a regtest block at `height` may create."""
    return 50 * COIN >> height // _HALVING


def build_block(
    *,
    previous: bytes,
    height: int,
    time: int,
    reward_to: bytes,
    transactions: Sequence[Transaction] = (),
    extra_nonce: int = 0,
) -> bytes:
    """A regtest block with its proof of work: serialized, ready to be submitted. It claims its subsidy and no fees."""
    coinbase = _coinbase(height, reward_to, transactions, extra_nonce)
    block = (coinbase, *transactions)
    root = merkle_root([each.txid for each in block])
    header = _VERSION.to_bytes(4, "little") + previous + root + time.to_bytes(4, "little") + _BITS.to_bytes(4, "little")
    return b"".join((_grind(header), compact_size(len(block)), *(each.serialize() for each in block)))


def _coinbase(height: int, reward_to: bytes, transactions: Sequence[Transaction], extra_nonce: int) -> Transaction:
    reserved = bytes(32)
    # BIP 141: the coinbase's own wtxid counts as zero.
    witness_root = merkle_root([bytes(32), *(each.wtxid for each in transactions)])
    commitment = b"\x6a\x24\xaa\x21\xa9\xed" + double_sha256(witness_root + reserved)
    script_sig = _push_number(height) + push(extra_nonce.to_bytes(8, "little"))
    return Transaction(
        version=2,
        inputs=(TxIn(_NO_OUTPOINT, script_sig, 0xFFFFFFFF),),
        outputs=(TxOut(subsidy(height), reward_to), TxOut(0, commitment)),
        locktime=0,
        witness=((reserved,),),
    )


def _push_number(number: int) -> bytes:
    """The script that pushes a positive `number` (BIP 34)."""
    if number <= 16:  # noqa: PLR2004 - OP_16
        return bytes([0x50 + number])
    return push(number.to_bytes(number.bit_length() // 8 + 1, "little"))


def _grind(header: bytes) -> bytes:
    """`header` with the first nonce that meets regtest's target: about two tries."""
    first, rest = hashlib.sha256(header[:64]), header[64:]
    nonce = 0
    while True:
        tail = rest + nonce.to_bytes(4, "little")
        inner = first.copy()
        inner.update(tail)
        if int.from_bytes(hashlib.sha256(inner.digest()).digest(), "little") <= _TARGET:
            return header[:64] + tail
        nonce += 1
