"""What does a regtest chain inside this process hold? Bitcoin Core's validation, with no node and no peers.

`KernelChain` validates and stores the blocks it is given, follows reorganisations, and implements the ports `ChainView`
and `Relay`. What was submitted is all there is, so it is for tests and the demo, and refuses every other network. Use
it from one thread.

The library says that it processed a block when the block is invalid: the verdict is taken from its validation callback.
It gives no access to the unspent outputs either, so they are followed here, block by block.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pbk
import pbk.capi.bindings
import pbk.validation

from custody.backends.kernel.judge import KernelJudge
from custody.backends.kernel.pending import (
    MIN_FEE_RATE,
    Moment,
    PendingPool,
    Refusal,
    Unspent,
    Waiting,
    fee_of,
    refuse_cheap,
    spendable,
)
from custody.bitcoin.block import BlockHeader
from custody.bitcoin.script import NetworkMismatch, double_sha256
from custody.bitcoin.serialize import TransactionEncoding
from custody.bitcoin.transaction import MinedTransaction, OutPoint, Transaction
from custody.errors import Refused
from custody.ports import BlockUnknown, BlockView, NodeUnavailable, RelayRefused, Standing, Tip
from custody.transfer.replacement import Evicted
from custody.units import Network, rate_of

HEADER_SIZE: Final = 80
_MEDIAN_SPAN: Final = 11
_NAME: Final = "libbitcoinkernel"

# The library writes its log into memory until somebody connects to it: nobody does.
pbk.capi.bindings.btck_logging_disable()

_RULES: Final = {
    pbk.BlockValidationResult.CONSENSUS: "it breaks a consensus rule",
    pbk.BlockValidationResult.CACHED_INVALID: "it was found invalid before",
    pbk.BlockValidationResult.INVALID_HEADER: "its proof of work or its time is wrong",
    pbk.BlockValidationResult.MUTATED: "its transactions are not those its header commits to",
    pbk.BlockValidationResult.MISSING_PREV: "the block before it is unknown",
    pbk.BlockValidationResult.INVALID_PREV: "a block before it is invalid",
    pbk.BlockValidationResult.TIME_FUTURE: "its time is more than two hours in the future",
    pbk.BlockValidationResult.HEADER_LOW_WORK: "it stands on too little work",
}


class BlockRefused(Refused, code="BLOCK_REFUSED"):
    """A block that consensus does not allow. The chain is as it was, or better."""

    message = "block {block} is invalid: {reason}"
    hint = "Build the block again on the chain's present tip, and look at its transactions for one that is not allowed."
    block: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Connected:
    """A block of the best chain, its transactions decoded, and the unspent outputs that it took away."""

    view: BlockView
    transactions: tuple[Transaction, ...]
    spent: tuple[tuple[OutPoint, Unspent], ...]


class KernelChain:
    """A regtest chain kept in `directory`, or in a temporary place that goes with it. Implements `ChainView`, `Relay`.

    Raises:
        NetworkMismatch: any network but regtest.
        NodeUnavailable: the directory cannot be used, or another process has it.
    """

    def __init__(self, directory: Path | None = None, network: Network = Network.REGTEST) -> None:
        if network is not Network.REGTEST:
            raise NetworkMismatch(what="a chain without peers", expected=Network.REGTEST.value, actual=network.value)
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="custody-chain-")
        place = directory or Path(self._temporary.name if self._temporary else "")
        self._verdicts: dict[bytes, pbk.BlockValidationResult] = {}
        self._manager = self._open(place)
        self._active = self._manager.get_active_chain()
        self._blocks: list[_Connected] = []
        self._unspent: dict[OutPoint, Unspent] = {}
        self._confirmed: dict[bytes, int] = {}
        self._pool = PendingPool(self._unspent.get)
        self._judge = KernelJudge()
        self._follow()

    def _open(self, place: Path) -> pbk.ChainstateManager:
        options = pbk.ContextOptions()
        options.set_chainparams(pbk.ChainParameters(pbk.ChainType.REGTEST))
        options.set_validation_interface(pbk.validation.ValidationInterfaceCallbacks(block_checked=self._checked))
        try:
            settings = pbk.ChainstateManagerOptions(pbk.Context(options), str(place), str(place / "blocks"))
            settings.set_worker_threads_num(0)
            settings.update_block_tree_db_in_memory(self._temporary is not None)
            settings.update_chainstate_db_in_memory(self._temporary is not None)
            return pbk.ChainstateManager(settings)
        except RuntimeError:
            raise NodeUnavailable(node=_NAME, reason=f"cannot open a chain in {str(place)!a}") from None

    def _checked(self, _: object, block: pbk.Block, state: pbk.BlockValidationState) -> None:
        if state.validation_mode != pbk.ValidationMode.VALID:
            self._verdicts[bytes(block.block_hash)] = state.block_validation_result

    def close(self) -> None:
        """Let go of the directory. Nothing else may be called afterwards."""
        del self._active
        with self._manager:
            pass
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- ChainView ----------------------------------------------------------------------------------------------------

    @property
    def network(self) -> Network:
        """Regtest."""
        return Network.REGTEST

    def tip(self) -> Tip:
        """The best block now."""
        view = self._blocks[-1].view
        return Tip(height=view.height, hash=view.hash, time=view.time)

    def block_hash(self, height: int) -> bytes:
        """Hash of the block at `height`, internal order.

        Raises:
            BlockUnknown: the chain is shorter.
        """
        return self.block(height).hash

    def block(self, height: int) -> BlockView:
        """The block at `height`.

        Raises:
            BlockUnknown: the chain is shorter.
        """
        if not 0 <= height < len(self._blocks):
            raise BlockUnknown(block=f"height {height}", reason=f"the chain ends at height {len(self._blocks) - 1}")
        return self._blocks[height].view

    def header(self, height: int) -> BlockHeader:
        """The header of the block at `height`.

        Raises:
            BlockUnknown: the chain is shorter.
        """
        return self.block(height).header

    def first_block(self) -> int:
        """0: it keeps every block."""
        return 0

    def is_initial_download(self) -> bool:
        """False: there are no peers to catch up with."""
        return False

    def median_time(self, height: int) -> int:
        """Median time past of the block at `height`: what the time of the next one must exceed (BIP 113)."""
        times = sorted(each.view.time for each in self._blocks[max(0, height - _MEDIAN_SPAN + 1) : height + 1])
        return times[len(times) // 2]

    def unspent(self, outpoint: OutPoint) -> Unspent | None:
        """The confirmed output at `outpoint`; None when there is none or it is spent."""
        return self._unspent.get(outpoint)

    def unspent_of(self, script_pubkey: bytes) -> Iterator[tuple[OutPoint, Unspent]]:
        """Every output locked to `script_pubkey`, confirmed or waiting, that nothing spends, waiting or not."""
        for outpoint, unspent in self._unspent.items():
            if unspent.output.script_pubkey == script_pubkey and not self._pool.is_spent(outpoint):
                yield outpoint, unspent
        for outpoint, output in self._pool.made():
            if output.script_pubkey == script_pubkey and not self._pool.is_spent(outpoint):
                yield outpoint, Unspent(output, len(self._blocks), is_coinbase=False)

    def confirmed_of(self, scripts: Collection[bytes]) -> Iterator[tuple[OutPoint, Unspent]]:
        """Every confirmed output locked to one of `scripts`, also one that something waiting spends."""
        return (each for each in self._unspent.items() if each[1].output.script_pubkey in scripts)

    # --- Relay --------------------------------------------------------------------------------------------------------

    def send(self, raw: bytes) -> None:
        """Let `raw` wait for a block; success again while it waits or stands in the best chain.

        Raises:
            RelayRefused: with the reason.
        """
        self.send_package([raw])

    def send_package(self, raws: Sequence[bytes]) -> None:
        """Let the last of `raws` wait together with the others, which it spends; its fee pays for all of them.

        Raises:
            RelayRefused: with the reason; then none of them waits that did not before.
        """
        transactions = [_parse(raw) for raw in raws]
        new = [each for each in transactions if self.standing(each) is Standing.GONE]
        try:
            with self._pool.all_or_nothing():
                refuse_cheap([self._admit(each) for each in new])
        except Refusal as refusal:
            raise RelayRefused(txid=transactions[-1].txid_hex, reason=str(refusal)) from None

    def _admit(self, transaction: Transaction) -> Waiting:
        """Let `transaction` wait, whether or not it pays enough for itself."""
        spent = self._pool.examine(transaction, self._moment())
        self._check_scripts(transaction.serialize(), spent)
        return self._pool.add(transaction, fee_of(transaction, spent))

    def standing(self, transaction: Transaction) -> Standing:
        """Where `transaction` is now."""
        if transaction.txid in self._confirmed:
            return Standing.MINED
        return Standing.WAITING if transaction.txid in self._pool else Standing.GONE

    def _check_scripts(self, raw: bytes, spent: tuple[Unspent, ...]) -> None:
        reason = self._judge.judge(raw, [each.output for each in spent])
        if reason is not None:
            raise Refusal(f"mandatory-script-verify-flag-failed ({reason})")

    def evicted(self, txid: bytes) -> Evicted | None:
        """What a replacement of `txid` would throw out; None when it does not wait."""
        found = {each.transaction.txid: each for each in self._pool.with_spenders(txid)}
        if not found:
            return None
        own = found[txid]
        rate = rate_of(own.fee, own.transaction.vsize)
        return Evicted(sum(each.fee for each in found.values()), rate, len(found))

    def step_rate(self) -> int:
        """sat/kvB that a replacement has to pay on top, for its own size."""
        return MIN_FEE_RATE

    def fee_rate(self) -> int | None:
        """None: nobody competes for block space here."""
        return None

    def min_fee_rate(self) -> int:
        """sat/kvB below which `send` takes nothing."""
        return MIN_FEE_RATE

    def pending(self) -> tuple[Transaction, ...]:
        """What waits, in an order in which a block may hold it."""
        return tuple(each.transaction for each in self._pool)

    # --- Blocks -------------------------------------------------------------------------------------------------------

    def submit(self, raw: bytes) -> bytes:
        """Validate and store the block `raw`; its hash. It extends the best chain once its branch has the most work.

        Raises:
            BlockRefused: the block is invalid, or a block of its branch that was only now looked at is.
        """
        block_hash = double_sha256(raw[:HEADER_SIZE])
        try:
            block = pbk.Block(raw)
        except RuntimeError:
            raise BlockRefused(block=block_hash[::-1].hex(), reason="it cannot be read") from None
        if pbk.BlockHash(raw[4:36]) not in self._manager.block_tree_entries:
            raise self._refusal(block_hash, pbk.BlockValidationResult.MISSING_PREV)
        self._verdicts.clear()
        try:
            self._manager.process_block(block)
        except pbk.ProcessBlockException:
            raise self._refusal(block_hash, self._verdicts.get(block_hash)) from None
        finally:
            self._follow()
        for refused, rule in self._verdicts.items():
            raise self._refusal(refused, rule)
        return block_hash

    def _refusal(self, block_hash: bytes, rule: pbk.BlockValidationResult | None) -> BlockRefused:
        reason = _RULES.get(rule, "it was not accepted") if rule is not None else "it was not accepted"
        return BlockRefused(block=block_hash[::-1].hex(), reason=reason)

    def _moment(self) -> Moment:
        return Moment(next_height=len(self._blocks), median_time=self.median_time)

    def _follow(self) -> None:
        """Bring the unspent outputs, the confirmed txids and the pool to where the library's best chain is."""
        entries = self._active.block_tree_entries
        returned: list[Transaction] = []
        moved = False
        while self._blocks and not self._is_active(self._blocks[-1].view):
            moved = True
            returned[:0] = self._disconnect(self._blocks.pop())
        while len(self._blocks) <= self._active.height:
            moved = True
            self._connect(self._read(entries[len(self._blocks)]))
        if moved:
            self._pool.rebuild(returned, self._confirmed.__contains__, self._moment())

    def _is_active(self, view: BlockView) -> bool:
        if view.height > self._active.height:
            return False
        return bytes(self._active.block_tree_entries[view.height].block_hash) == view.hash

    def _read(self, entry: pbk.BlockTreeEntry) -> BlockView:
        block = self._manager.blocks[entry]
        return BlockView(
            height=entry.height,
            header=BlockHeader(bytes(block.block_header)),
            transactions=tuple(MinedTransaction.read(bytes(each), 0)[0] for each in block.transactions),
        )

    def _connect(self, view: BlockView) -> None:
        spent: list[tuple[OutPoint, Unspent]] = []
        transactions = tuple(each.decode() for each in view.transactions)
        for position, transaction in enumerate(transactions):
            if position:
                spent += [(each.outpoint, self._unspent.pop(each.outpoint)) for each in transaction.inputs]
            self._confirmed[transaction.txid] = view.height
            # Nobody can spend the genesis block's output: Bitcoin Core never puts it among the unspent ones.
            if view.height:
                for outpoint, output in spendable(transaction):
                    self._unspent[outpoint] = Unspent(output, view.height, is_coinbase=not position)
        self._blocks.append(_Connected(view, transactions, tuple(spent)))

    def _disconnect(self, connected: _Connected) -> tuple[Transaction, ...]:
        for outpoint, unspent in connected.spent:
            self._unspent[outpoint] = unspent
        for transaction in connected.transactions:
            del self._confirmed[transaction.txid]
            for outpoint, _ in spendable(transaction):
                self._unspent.pop(outpoint, None)
        return connected.transactions[1:]


def _parse(raw: bytes) -> Transaction:
    try:
        return Transaction.parse(raw)
    except TransactionEncoding as error:
        raise RelayRefused(txid="(unreadable)", reason=f"TX decode failed: {error}") from None
