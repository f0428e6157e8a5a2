"""What do we ask of the chain? What it says, that it takes what we send, and what time it is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from custody.bitcoin.block import BlockHeader
from custody.bitcoin.transaction import Transaction
from custody.errors import BackendError, Refused
from custody.transfer.observe import BlockView, Tip
from custody.transfer.replacement import Evicted
from custody.units import Network


class NodeUnavailable(BackendError, code="NODE_UNAVAILABLE"):
    """A node that does not answer, or answers with something that is not an answer."""

    message = "the node {node} failed: {reason}"
    hint = "Check that the node runs, that its address and credentials are right, and try again: nothing was changed."
    node: str
    reason: str


class MethodRefused(NodeUnavailable, code="NODE_METHOD"):
    """A node that does not know a question, or does not let us ask it. What needs no answer to it goes on."""

    message = "the node {node} does not answer {method}: {reason}. Without it {without}"
    hint = (
        "Have it allowed: add it to rpcwhitelist of this user in the node's bitcoin.conf, and start the node again; a "
        "node that does not know it is too old (docs/how-to/node.md). Everything else goes on as before."
    )
    method: str
    without: str


class NodeNotReady(Refused, code="NODE_NOT_READY"):
    """A node whose view of the chain is not to be relied on yet."""

    message = "the node is not ready: {reason}"
    hint = (
        "Wait until the node has caught up with its peers, or ask another one. Nothing is drafted or sent until then."
    )
    reason: str


class BlockUnknown(BackendError, code="BLOCK_UNKNOWN"):
    """A height above the node's tip, or a block whose data it no longer has."""

    message = "the node has no block data for {block}: {reason}"
    hint = (
        "Use a height up to the node's tip. A pruned node cannot give old blocks: ask one that keeps them. Coins are "
        "still found without them: custody node scan."
    )
    block: str
    reason: str


class RelayRefused(BackendError, code="RELAY_REFUSED"):
    """A node that would not take a transaction."""

    message = "the node refused transaction {txid}: {reason}"
    hint = (
        "Nothing was sent by this node. Read its reason; when it is a fee or a policy limit, ask another node as well."
    )
    txid: str
    reason: str


class ChainView(Protocol):
    """One node's view of the chain.

    A backend has checked that the node is on `network`: its genesis block, and on signet its challenge too. Between two
    calls the best chain may change, so whoever walks it compares `previous` with the hash it had. What a block cost,
    and that its transactions are its header's, whoever walks it checks too: a node may lie.

    Raises:
        NodeUnavailable: from every method.
    """

    @property
    def network(self) -> Network: ...

    def tip(self) -> Tip:
        """The best block now."""

    def block_hash(self, height: int) -> bytes:
        """Hash of the block at `height` of the best chain.

        Raises:
            BlockUnknown: the chain is shorter.
        """

    def block(self, height: int) -> BlockView:
        """The block at `height` of the best chain.

        Raises:
            BlockUnknown: the chain is shorter, or the node has pruned the block.
        """

    def header(self, height: int) -> BlockHeader:
        """The header of the block at `height` of the best chain, also where the block itself was pruned.

        Raises:
            BlockUnknown: the chain is shorter.
        """

    def first_block(self) -> int:
        """The lowest height from which on it can give every block: above 0 when it prunes."""

    def is_initial_download(self) -> bool:
        """Whether the node says itself that it is still catching up."""


class Standing(StrEnum):
    """Where a transaction is, as far as one node knows. It is that node's word at that moment, and changes nothing."""

    WAITING = "waiting"
    MINED = "mined"
    GONE = "gone"
    """In no block, and not waiting: after it was sent, dropped, or replaced. Sending it again brings it back."""


class Relay(Protocol):
    """Sends finished transactions, and says where one is."""

    def send(self, raw: bytes) -> None:
        """Give `raw` (a serialized transaction) to the network. Sending it again is success while it is still known.

        Raises:
            RelayRefused: the node says no.
            NodeUnavailable: nobody knows whether it was sent; send it again.
        """

    def send_package(self, raws: Sequence[bytes]) -> None:
        """Give a transaction, the last of `raws`, together with what it spends, so that its fee pays for all of them.

        The parents are in no block, do not spend each other, and come before it. Sending the same again is success.

        Raises:
            RelayRefused: the node does not take the last one; whether it took parents is not said.
            NodeUnavailable: nobody knows whether they were sent; send them again.
        """

    def standing(self, transaction: Transaction) -> Standing:
        """Where `transaction` is now."""

    def evicted(self, txid: bytes) -> Evicted | None:
        """What a replacement of `txid` would throw out: it, and all that spends of it; None when it does not wait."""

    def step_rate(self) -> int:
        """sat/kvB that a replacement has to pay on top of what it throws out, for its own size; rounded up."""

    def fee_rate(self) -> int | None:
        """sat/kvB that confirm soon by the node's estimate, rounded up; None when it has none."""

    def min_fee_rate(self) -> int:
        """sat/kvB below which the node takes nothing now, rounded up."""


class Clock(Protocol):
    """What time it is. Only apps read a clock; everything else is told."""

    def now(self) -> int:
        """Unix seconds."""
