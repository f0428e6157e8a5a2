"""Will this node take a transaction, what would it cost, and where is one that was sent?

`BitcoindRelay` sends, and says where a transaction stands: waiting, in a block, or nowhere, which is how one that was
dropped from the mempool is noticed. Sending it again brings it back; one that pays too little for a full mempool comes
back in a package, with a child that pays for both (submitpackage: Bitcoin Core 27 and newer, and Knots).
`BitcoindJudge` asks for the node's opinion (testmempoolaccept) without sending.

The node's own ceiling on fees is put aside: what a transfer may cost is the charter's to say, and judged before. Node
policies differ (Knots has limits that Bitcoin Core has not), so a refusal here need not be one elsewhere.

Amounts are sats, fee rates sat/kvB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from custody.backends.bitcoind import answers
from custody.backends.bitcoind.rpc import Refusal
from custody.backends.bitcoind.view import BitcoindView
from custody.bitcoin.serialize import TransactionEncoding
from custody.bitcoin.transaction import Transaction, TxOut
from custody.ports import BlockUnknown, MethodRefused, RelayRefused, Standing, plain_reason
from custody.transfer.replacement import Evicted
from custody.units import rate_of

CONFIRM_WITHIN: Final = 6
"""Blocks within which a fee estimate is for: about an hour."""
LOOK_BACK: Final = 144
"""Blocks in which a transaction is looked for once all its outputs are spent: about a day."""
_NO_CEILING: Final = 0
_IN_MEMPOOL: Final = "txn-already-in-mempool"
_INPUTS_GONE: Final = -25
_IN_UTXO_SET: Final = -27


class BitcoindRelay:
    """Sends through the node behind `view`. Implements `Relay`."""

    def __init__(self, view: BitcoindView) -> None:
        self._view = view
        self._node = view.node

    def send(self, raw: bytes) -> None:
        """Give `raw` to the network; success again while it waits or stands in the best chain.

        Raises:
            RelayRefused: the node says no, with its reason.
            NodeUnavailable: nobody knows whether it was sent; send it again.
        """
        transaction = _parse(raw)
        answer = self._node.attempt(answers.HASH, "sendrawtransaction", raw.hex(), _NO_CEILING)
        if isinstance(answer, bytes):
            if answer != transaction.txid:
                raise self._node.failed("sendrawtransaction: it took another transaction than the one sent")
            return
        # "Already there" is a claim about some output, "inputs are gone" is what a spent one gets: neither is success
        # until the transaction is found in a block.
        if answer.code in (_IN_UTXO_SET, _INPUTS_GONE) and self.mined_in(transaction) is not None:
            return
        raise RelayRefused(txid=transaction.txid_hex, reason=answer.reason)

    def send_package(self, raws: Sequence[bytes]) -> None:
        """Give the last of `raws` together with its unconfirmed parents, for whom it pays.

        Raises:
            RelayRefused: the node does not take the last one, with the first reason it gives.
            NodeUnavailable: nobody knows whether they were sent; send them again.
        """
        transactions = [_parse(raw) for raw in raws]
        child = transactions[-1]
        package = [raw.hex() for raw in raws]
        answer = self._node.attempt(answers.PACKAGE, "submitpackage", package, _NO_CEILING)
        if isinstance(answer, Refusal):
            reason = answer.reason
        else:
            found = {each.txid: each for each in answer.results.values()}
            if child.txid not in found:
                raise self._node.failed("submitpackage: it spoke about another transaction")
            if not found[child.txid].error:
                return
            # A child is "missing inputs" because of its parent: what is wrong with the parent says more.
            errors = (found[each.txid].error for each in transactions if each.txid in found)
            reason = plain_reason(next(filter(None, errors)))
        if self.mined_in(child) is None:
            raise RelayRefused(txid=child.txid_hex, reason=reason)

    def fee_rate(self) -> int | None:
        """sat/kvB at which the node expects a block within six; never below `min_fee_rate`. None without an estimate.

        There is none on a new chain, while the node has seen too few blocks, or where it makes none (`-blocksonly`) or
        does not tell us: whoever drafts has a fallback then.
        """
        try:
            estimate = self._node.attempt(answers.FEE_ESTIMATE, "estimatesmartfee", CONFIRM_WITHIN)
        except MethodRefused:
            return None
        if isinstance(estimate, Refusal) or not estimate.rate:
            return None
        return max(estimate.rate, self.min_fee_rate())

    def evicted(self, txid: bytes) -> Evicted | None:
        """What a replacement of `txid` would throw out; None when it does not wait."""
        entry = self._view.waiting(txid)
        if entry is None:
            return None
        return Evicted(entry.descendant_fee, rate_of(entry.fee, entry.vsize), entry.descendants)

    def step_rate(self) -> int:
        """sat/kvB that a replacement has to pay on top, for its own size."""
        return self._node.ask(answers.MEMPOOL_INFO, "getmempoolinfo").step

    def min_fee_rate(self) -> int:
        """sat/kvB below which the node takes nothing now; it rises while the mempool is full."""
        info = self._node.ask(answers.MEMPOOL_INFO, "getmempoolinfo")
        return max(info.min_fee, info.min_relay_fee)

    def standing(self, transaction: Transaction) -> Standing:
        """Where `transaction` is. One mined long ago, all its outputs spent since, may be GONE: see `mined_in`."""
        if self._view.waiting(transaction.txid) is not None:
            return Standing.WAITING
        return Standing.GONE if self.mined_in(transaction) is None else Standing.MINED

    def mined_in(self, transaction: Transaction) -> bytes | None:
        """Hash of the block of the best chain that holds it, shown by a proof; None when it is not found.

        Without an index a node finds a transaction by an output that is not spent yet. Once all are spent, the newest
        blocks are looked through.
        """
        height = self._view.tip().height
        for index in range(len(transaction.outputs)):
            output = self._node.ask(answers.OUTPUT_INFO, "gettxout", transaction.txid[::-1].hex(), index, False)  # noqa: FBT003
            if output is not None and output.confirmations > 0:
                return self._proven(transaction, self._view.block_hash(height + 1 - output.confirmations))
        for each in range(height, max(height - LOOK_BACK, -1), -1):
            block_hash = self._view.block_hash(each)
            block = self._node.attempt(answers.BLOCK_TXIDS, "getblock", block_hash[::-1].hex(), 1)
            if isinstance(block, Refusal):
                return None
            if transaction.txid in block.txids:
                return self._proven(transaction, block_hash)
        return None

    def _proven(self, transaction: Transaction, block_hash: bytes) -> bytes | None:
        try:
            proof = self._view.tx_out_proof(transaction.txid, block_hash)
        except BlockUnknown:
            return None
        return block_hash if proof is not None else None


def _parse(raw: bytes) -> Transaction:
    try:
        return Transaction.parse(raw)
    except TransactionEncoding as error:
        raise RelayRefused(txid="(unreadable)", reason=f"TX decode failed: {error}") from None


class BitcoindJudge:
    """The node's opinion on a finished transaction: consensus and its own policy, against its own coins and mempool.

    Implements `Judge`. Its no may come from policy or from a coin that is spent elsewhere by now; either way nothing
    should be sent before a person has looked.
    """

    def __init__(self, view: BitcoindView) -> None:
        self._view = view

    @property
    def name(self) -> str:
        """What this judge is called in findings."""
        return "testmempoolaccept"

    def applies_to(self, inputs: int, spent: Sequence[TxOut]) -> bool:  # noqa: ARG002 - the port asks
        """True: it knows every kind of script."""
        return True

    def judge(self, raw: bytes, spent: Sequence[TxOut]) -> str | None:  # noqa: ARG002 - it looks its coins up itself
        """None when the node would take `raw`, or has it waiting already; else the node's reason.

        Raises:
            NodeUnavailable: no answer.
        """
        try:
            transaction = Transaction.parse(raw)
        except TransactionEncoding as error:
            return plain_reason(f"it is not a transaction: {error}")
        found = self._view.node.attempt(answers.ACCEPTANCES, "testmempoolaccept", [raw.hex()], _NO_CEILING)
        if isinstance(found, Refusal):
            return found.reason
        if len(found) != 1 or found[0].txid != transaction.txid:
            raise self._view.node.failed("testmempoolaccept: it spoke about another transaction")
        opinion = found[0]
        # The same bytes, witness included, were judged when they came in.
        if opinion.allowed or opinion.reason == _IN_MEMPOOL:
            return None
        return plain_reason(opinion.details or opinion.reason or "it gives no reason")
