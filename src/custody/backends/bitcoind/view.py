"""What does this node's chain say? `ChainView`, and beside it the mempool, proofs and the set of unspent outputs.

Checked once, when it is made: the genesis block. Checked with every look at the tip: the chain's name and, on signet,
the challenge, as signets share one genesis block. Blocks and proofs are hashed here: a node can leave something out or
show another chain, which a second view shows, but it cannot alter what stands in a block.

Hashes are bytes in internal order, amounts sats, fee rates sat/kvB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from custody.backends.bitcoind import answers
from custody.backends.bitcoind.rpc import Refusal, Rpc
from custody.bitcoin.block import Block, BlockEncoding, BlockHeader, TxOutProof, TxOutProofInvalid
from custody.bitcoin.script import NetworkMismatch
from custody.bitcoin.serialize import TransactionEncoding
from custody.bitcoin.transaction import OutPoint, Transaction, TxOut
from custody.ports import BlockUnknown, BlockView, MethodRefused, Tip
from custody.units import Network

SIGNET_CHALLENGE: Final = bytes.fromhex(
    "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430"
    "210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae"
)
"""What the blocks of the public signet are signed for (BIP 325; Bitcoin Core, SigNetParams)."""
_CHALLENGE_SHOWN: Final = 160
"""Digits of a challenge in messages: all of the public signet's."""
SCAN_BATCH: Final = 100_000
"""Scripts in one question to the set of unspent outputs: some 9 MB, and one walk through the whole set."""
SCAN_TIMEOUT: Final = 3600
_SCAN_ATTEMPTS: Final = 3
_NOT_FOUND: Final = -5
_OUT_OF_RANGE: Final = -8
_MISC: Final = -1


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """How far the node is.

    `first_block` is the lowest height whose block it can give: above 0 when it prunes. `headers` is the height up to
    which it knows that blocks exist.
    """

    tip: Tip
    headers: int
    is_initial_download: bool
    first_block: int
    version: str


@dataclass(frozen=True, slots=True)
class WaitingTransaction:
    """A transaction in the mempool: sats and vbytes of its own, and with everything unconfirmed that it spends.

    `descendants` are itself and all that spends of it, `descendant_fee` what these pay together.
    """

    txid: bytes
    fee: int
    vsize: int
    package_fee: int
    package_vsize: int
    descendant_fee: int
    descendants: int


@dataclass(frozen=True, slots=True)
class UnspentOutput:
    """An output that stands in the set of unspent outputs since the block at `height`."""

    outpoint: OutPoint
    output: TxOut
    height: int
    is_coinbase: bool


@dataclass(frozen=True, slots=True)
class UtxoScan:
    """Every unspent output, sorted, that is locked to a script asked for, as of the block `block_hash` at `height`."""

    height: int
    block_hash: bytes
    outputs: tuple[UnspentOutput, ...]

    @property
    def total(self) -> int:
        """Sats."""
        return sum(each.output.amount for each in self.outputs)


class BitcoindView:
    """One node's view of the chain. Implements `ChainView`.

    Raises:
        NetworkMismatch: the node is on another network, or a signet with another challenge; from `tip` as well.
        NodeUnavailable: from every method.
    """

    def __init__(self, node: Rpc, network: Network, signet_challenge: bytes = SIGNET_CHALLENGE) -> None:
        self.node = node
        self._network = network
        self._challenge = signet_challenge
        genesis = node.ask(answers.HASH, "getblockhash", 0)
        if genesis[::-1].hex() != network.genesis:
            raise NetworkMismatch(what=f"the node {node.name}", expected=network.value, actual="another network")
        self._chain()

    # --- ChainView ----------------------------------------------------------------------------------------------------

    @property
    def network(self) -> Network:
        """The network that was asked for and found."""
        return self._network

    def tip(self) -> Tip:
        """The best block now."""
        chain = self._chain()
        return Tip(height=chain.blocks, hash=chain.best, time=chain.time)

    def block_hash(self, height: int) -> bytes:
        """Hash of the block at `height` of the best chain.

        Raises:
            BlockUnknown: the chain is shorter.
        """
        answer = self.node.attempt(answers.HASH, "getblockhash", height)
        if isinstance(answer, Refusal):
            if answer.code != _OUT_OF_RANGE:
                raise self.node.failed(f"getblockhash: {answer.reason}")
            raise BlockUnknown(block=f"height {height}", reason=answer.reason)
        return answer

    def block(self, height: int) -> BlockView:
        """The block at `height` of the best chain, its transactions hashed against its header.

        Raises:
            BlockUnknown: the chain is shorter, or the node has pruned the block.
        """
        block_hash = self.block_hash(height)
        raw = self.node.attempt(answers.BYTES, "getblock", block_hash[::-1].hex(), 0)
        if isinstance(raw, Refusal):
            if raw.code not in (_MISC, _NOT_FOUND):
                raise self.node.failed(f"getblock: {raw.reason}")
            raise BlockUnknown(block=f"height {height}", reason=raw.reason)
        try:
            block = Block.parse(raw)
        except BlockEncoding as error:
            raise self.node.failed(f"getblock: {error}") from None
        if block.header.hash != block_hash:
            raise self.node.failed("getblock: it gave another block than the one asked for")
        return BlockView(height, block.header, block.transactions)

    def header(self, height: int) -> BlockHeader:
        """The header of the block at `height` of the best chain.

        Raises:
            BlockUnknown: the chain is shorter.
        """
        block_hash = self.block_hash(height)
        raw = self.node.ask(answers.BYTES, "getblockheader", block_hash[::-1].hex(), False)  # noqa: FBT003 - "verbose"
        try:
            header = BlockHeader(raw)
        except BlockEncoding as error:
            raise self.node.failed(f"getblockheader: {error}") from None
        if header.hash != block_hash:
            raise self.node.failed("getblockheader: it gave another header than the one asked for")
        return header

    def is_initial_download(self) -> bool:
        """Whether the node says itself that it is still catching up."""
        return self._chain().initial_download

    def first_block(self) -> int:
        """The lowest height from which on it can give every block: above 0 when it prunes."""
        return self._chain().prune_height

    def status(self) -> ChainStatus:
        """How far the node is, and which blocks it can give."""
        chain = self._chain()
        return ChainStatus(
            tip=Tip(height=chain.blocks, hash=chain.best, time=chain.time),
            headers=chain.headers,
            is_initial_download=chain.initial_download,
            first_block=chain.prune_height,
            version=self._version(),
        )

    def _version(self) -> str:
        """What the node calls itself, as far as it says."""
        try:
            return self.node.ask(answers.NETWORK_INFO, "getnetworkinfo").subversion
        except MethodRefused:
            return "not told"

    def _chain(self) -> answers.ChainInfo:
        chain = self.node.ask(answers.CHAIN_INFO, "getblockchaininfo")
        what = f"the node {self.node.name}"
        if chain.chain != self._network.value:
            raise NetworkMismatch(what=what, expected=self._network.value, actual=ascii(chain.chain[:40]))
        if self._network is Network.SIGNET and chain.signet_challenge != self._challenge:
            raise NetworkMismatch(
                what=what,
                expected=f"the signet with challenge {self._challenge.hex()[:_CHALLENGE_SHOWN]}",
                actual=f"one with {chain.signet_challenge.hex()[:_CHALLENGE_SHOWN]}",
            )
        return chain

    # --- the mempool --------------------------------------------------------------------------------------------------

    def waiting(self, txid: bytes) -> WaitingTransaction | None:
        """What the mempool says of `txid`; None when it is not there."""
        entry = self.node.attempt(answers.MEMPOOL_ENTRY, "getmempoolentry", txid[::-1].hex())
        if isinstance(entry, Refusal):
            if entry.code != _NOT_FOUND:
                raise self.node.failed(f"getmempoolentry: {entry.reason}")
            return None
        fees = entry.fees
        return WaitingTransaction(
            txid, fees.base, entry.vsize, fees.ancestor, entry.ancestor_size, fees.descendant, entry.descendants
        )

    def waiting_transaction(self, txid: bytes) -> Transaction | None:
        """The transaction `txid` itself while it is in the mempool."""
        if self.waiting(txid) is None:
            return None
        raw = self.node.attempt(answers.BYTES, "getrawtransaction", txid[::-1].hex())
        # It may have gone between the two questions.
        if isinstance(raw, Refusal):
            return None
        try:
            transaction = Transaction.parse(raw)
        except TransactionEncoding as error:
            raise self.node.failed(f"getrawtransaction: {error}") from None
        if transaction.txid != txid:
            raise self.node.failed("getrawtransaction: it gave another transaction than the one asked for")
        return transaction

    def waiting_spends(self, outpoints: Sequence[OutPoint]) -> tuple[tuple[OutPoint, bytes], ...]:
        """Which of `outpoints` a transaction in the mempool spends, each with that transaction's txid."""
        if not outpoints:
            return ()
        asked = [{"txid": each.txid[::-1].hex(), "vout": each.index} for each in outpoints]
        found = self.node.ask(answers.SPENDING, "gettxspendingprevout", asked)
        return tuple((OutPoint(each.txid, each.vout), each.spender) for each in found if each.spender is not None)

    # --- proofs -------------------------------------------------------------------------------------------------------

    def tx_out_proof(self, txid: bytes, block_hash: bytes) -> TxOutProof | None:
        """Proof that `txid` stands in that block of the best chain, checked; None when it does not.

        Raises:
            BlockUnknown: the node knows no such block, or has pruned it.
        """
        block = block_hash[::-1].hex()
        header = self.node.attempt(answers.HEADER_INFO, "getblockheader", block)
        if isinstance(header, Refusal):
            raise BlockUnknown(block=block, reason=header.reason)
        if header.confirmations < 1:
            return None
        raw = self.node.attempt(answers.BYTES, "gettxoutproof", [txid[::-1].hex()], block)
        if isinstance(raw, Refusal):
            if raw.code == _NOT_FOUND:
                return None
            raise BlockUnknown(block=block, reason=raw.reason)
        try:
            proof = TxOutProof.parse(raw)
        except TxOutProofInvalid as error:
            raise self.node.failed(f"gettxoutproof: {error}") from None
        # A path that is longer than the block's tree is how 64-byte transactions are used to lie.
        if proof.header.hash != block_hash or not proof.proves(txid) or proof.count != header.transactions:
            raise self.node.failed("gettxoutproof: it gave a proof of something else")
        return proof

    # --- the set of unspent outputs -----------------------------------------------------------------------------------

    def scan(self, scripts: Iterable[bytes], batch: int = SCAN_BATCH) -> UtxoScan:
        """Every unspent output locked to one of `scripts`, whenever it was made; no index or wallet is needed.

        The node walks through the whole set once for each `batch` scripts: minutes on the main network. All batches
        must see the same tip; when a block comes in between, the scan is done again.

        Raises:
            NodeUnavailable: another scan is running there, or blocks came too fast.
        """
        wanted = list(dict.fromkeys(scripts))
        with self.node.patient(SCAN_TIMEOUT) as patient:
            for _ in range(_SCAN_ATTEMPTS):
                parts = [_scan_once(patient, part) for part in _batches(wanted, batch)]
                first, *others = parts or [UtxoScan(*_place(self.tip()), ())]
                if all(each.block_hash == first.block_hash for each in others):
                    outputs = sorted((each for part in parts for each in part.outputs), key=lambda each: each.outpoint)
                    return UtxoScan(first.height, first.block_hash, tuple(outputs))
        raise self.node.failed("scantxoutset: new blocks came while it was scanning; try again")


def _place(tip: Tip) -> tuple[int, bytes]:
    return tip.height, tip.hash


def _batches(scripts: Sequence[bytes], size: int) -> Iterator[list[bytes]]:
    remaining = iter(scripts)
    while part := list(islice(remaining, size)):
        yield part


def _scan_once(node: Rpc, scripts: Sequence[bytes]) -> UtxoScan:
    # Ready-made scripts: the node need not derive a single key, and one descriptor a script is bounded work.
    answer = node.ask(answers.SCAN, "scantxoutset", "start", [f"raw({each.hex()})" for each in scripts])
    known = frozenset(scripts)
    if not answer.success or any(each.script_pubkey not in known for each in answer.unspents):
        raise node.failed("scantxoutset: it was ended early, or found what was not asked for")
    outputs = tuple(
        UnspentOutput(
            OutPoint(each.txid, each.vout), TxOut(each.amount, each.script_pubkey), each.height, each.coinbase
        )
        for each in answer.unspents
    )
    return UtxoScan(answer.height, answer.best, outputs)
