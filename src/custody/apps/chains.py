"""Which chain does a coordinator look at: a node that was named at set-up, or regtest's own in its folder?

Both are opened when somebody first looks, so that a command that needs no chain waits for none. What a node is asked,
and what its answers are worth, is for `backends.bitcoind`. Hashes are in internal order, amounts sats, rates sat/kvB.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from custody.apps.config import ConfigInvalid, Folders, Settings, shown
from custody.backends.files import read_file
from custody.bitcoin.transaction import Transaction, TxOut
from custody.errors import InvalidInput
from custody.ports import BlockView, ChainView, Judge, NodeUnavailable, Relay, RelayRefused, Standing, Tip
from custody.units import Network

# The node's client and the consensus library take long to load: each is imported where it is used.
if TYPE_CHECKING:
    from custody.backends.bitcoind import BitcoindRelay, BitcoindView, ChainStatus, CookieFile, UserPassword, UtxoScan
    from custody.backends.kernel import KernelChain
    from custody.testing.chain import RegtestChain

_MAX_PASSWORD = 4096


class ChainMissing(InvalidInput, code="CHAIN_MISSING"):
    """A network of which nothing here can see the chain."""

    message = "no node was named for the network {network}; a chain of its own comes with regtest only"
    hint = "Set up with a node: custody init ... --node http://HOST:PORT --cookie FILE."
    network: str


class ChainNotOurs(InvalidInput, code="CHAIN_NOT_OURS"):
    """A node's chain, where only regtest's own will do."""

    message = "the chain is that of the node {node}; this command mines and pays on regtest's own chain only"
    hint = "Have the node mine, or pay with a wallet of yours; then: custody observe."
    node: str


class Chain(ChainView, Relay, Protocol):
    """What a command needs of a chain. `judges` are opinions that come with it."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def judges(self) -> tuple[Judge, ...]: ...

    def status(self) -> ChainStatus:
        """How far it is."""

    def scan(self, scripts: Collection[bytes]) -> UtxoScan:
        """Every confirmed unspent output locked to one of `scripts`."""

    def close(self) -> None:
        """Let others have it."""


def open_chain(where: Folders, settings: Settings, sent: Callable[[], Sequence[bytes]] = tuple) -> Chain:
    """The chain that `settings` name; nothing is asked of it yet. `sent()` gives the transactions that were sent.

    Raises:
        ChainMissing: none is named, and the network is not regtest.
        NodeAddressInvalid: the node's address is none.
        FileMissing, FileUnusable: the file with the node's password cannot be read.
    """
    return OwnChain(where, sent) if settings.node is None else NodeChain(settings.node, settings)


def own_chain(chain: Chain) -> OwnChain:
    """`chain` itself when it is regtest's own.

    Raises:
        ChainNotOurs: it is a node's.
    """
    if not isinstance(chain, OwnChain):
        raise ChainNotOurs(node=chain.name)
    return chain


class OwnChain:
    """The chain in the coordinator's folder. Implements `Chain`.

    What waits there for a block does not outlive a command, so what was sent is handed in again when it is opened.

    Raises:
        ChainMissing: nothing here sees this network's chain.
        NodeUnavailable: another command uses it, or it is gone.
    """

    name = "regtest's own chain"
    judges: tuple[Judge, ...] = ()

    def __init__(self, where: Folders, sent: Callable[[], Sequence[bytes]] = tuple) -> None:
        if where.network is not Network.REGTEST:
            raise ChainMissing(network=where.network)
        self._folder = where.chain
        self._sent = sent
        self._opened: tuple[KernelChain, RegtestChain] | None = None

    @property
    def regtest(self) -> RegtestChain:
        """The chain itself, which can mine and pay."""
        return self._open()[1]

    def _open(self) -> tuple[KernelChain, RegtestChain]:
        if self._opened is None:
            from custody.backends.kernel import KernelChain  # noqa: PLC0415 - as said above
            from custody.testing.chain import RegtestChain  # noqa: PLC0415

            # An empty chain made in its place would look like a reorganisation of everything.
            if not self._folder.is_dir():
                raise NodeUnavailable(node="regtest", reason=f"there is no chain in {shown(self._folder)}")
            kernel = KernelChain(self._folder)
            for raw in self._sent():
                # One whose place another transfer of its group has taken is refused, as a node would have dropped it.
                with suppress(RelayRefused):
                    kernel.send(raw)
            self._opened = kernel, RegtestChain(view=kernel)
        return self._opened

    @property
    def _kernel(self) -> KernelChain:
        return self._open()[0]

    def close(self) -> None:
        """Let others have it."""
        if self._opened is not None:
            self._kernel.close()
            self._opened = None

    @property
    def network(self) -> Network:
        """Regtest."""
        return Network.REGTEST

    def status(self) -> ChainStatus:
        """The tip; there is nothing to catch up with."""
        from custody.backends.bitcoind import ChainStatus  # noqa: PLC0415 - as said above

        tip = self.tip()
        return ChainStatus(tip, tip.height, is_initial_download=False, first_block=0, version="libbitcoinkernel")

    def scan(self, scripts: Collection[bytes]) -> UtxoScan:
        """Every confirmed unspent output locked to one of `scripts`."""
        from custody.backends.bitcoind import UnspentOutput, UtxoScan  # noqa: PLC0415 - as said above

        found = [
            UnspentOutput(outpoint, each.output, each.height, each.is_coinbase)
            for outpoint, each in self._kernel.confirmed_of(frozenset(scripts))
        ]
        tip = self.tip()
        return UtxoScan(tip.height, tip.hash, tuple(sorted(found, key=lambda each: each.outpoint)))

    def tip(self) -> Tip:
        """The best block now."""
        return self._kernel.tip()

    def block_hash(self, height: int) -> bytes:
        """Hash of the block at `height`."""
        return self._kernel.block_hash(height)

    def block(self, height: int) -> BlockView:
        """The block at `height`."""
        return self._kernel.block(height)

    def first_block(self) -> int:
        """0: it keeps every block."""
        return self._kernel.first_block()

    def is_initial_download(self) -> bool:
        """False: there are no peers to catch up with."""
        return self._kernel.is_initial_download()

    def send(self, raw: bytes) -> None:
        """Let `raw` wait for a block."""
        self._kernel.send(raw)

    def send_package(self, raws: Sequence[bytes]) -> None:
        """Let the last of `raws` wait with the others, for which it pays."""
        self._kernel.send_package(raws)

    def standing(self, transaction: Transaction) -> Standing:
        """Where `transaction` is now."""
        return self._kernel.standing(transaction)

    def fee_rate(self) -> int | None:
        """None: nobody competes for block space here."""
        return self._kernel.fee_rate()

    def min_fee_rate(self) -> int:
        """sat/kvB below which nothing is taken."""
        return self._kernel.min_fee_rate()


class NodeChain:
    """The node at `url`. Implements `Chain`.

    Raises:
        NetworkMismatch: the node is on another network.
        NodeUnavailable: it does not answer.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        from custody.backends.bitcoind import Rpc  # noqa: PLC0415 - as said above

        self._rpc = Rpc(url, _credentials(settings))
        self._network = settings.network
        self._challenge = settings.signet_challenge
        self._opened: tuple[BitcoindView, BitcoindRelay] | None = None

    def _open(self) -> tuple[BitcoindView, BitcoindRelay]:
        if self._opened is None:
            from custody.backends.bitcoind import SIGNET_CHALLENGE, BitcoindRelay, BitcoindView  # noqa: PLC0415 - as said above

            view = BitcoindView(self._rpc, self._network, self._challenge or SIGNET_CHALLENGE)
            self._opened = view, BitcoindRelay(view)
        return self._opened

    @property
    def view(self) -> BitcoindView:
        """The node's view, checked to be of the right network."""
        return self._open()[0]

    @property
    def _relay(self) -> BitcoindRelay:
        return self._open()[1]

    @property
    def name(self) -> str:
        """Host and port."""
        return self._rpc.name

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The node's own opinion."""
        return (_NodeOpinion(self),)

    @property
    def network(self) -> Network:
        """The network that was set up."""
        return self._network

    def close(self) -> None:
        """Let go of the connection."""
        self._rpc.close()
        self._opened = None

    def status(self) -> ChainStatus:
        """How far the node is, and which blocks it can give."""
        return self.view.status()

    def scan(self, scripts: Collection[bytes]) -> UtxoScan:
        """Every confirmed unspent output locked to one of `scripts`; minutes on the main network."""
        return self.view.scan(scripts)

    def tip(self) -> Tip:
        """The best block now."""
        return self.view.tip()

    def block_hash(self, height: int) -> bytes:
        """Hash of the block at `height`."""
        return self.view.block_hash(height)

    def block(self, height: int) -> BlockView:
        """The block at `height`."""
        return self.view.block(height)

    def first_block(self) -> int:
        """The lowest height from which on the node can give every block."""
        return self.view.first_block()

    def is_initial_download(self) -> bool:
        """Whether the node says itself that it is still catching up."""
        return self.view.is_initial_download()

    def send(self, raw: bytes) -> None:
        """Give `raw` to the network."""
        self._relay.send(raw)

    def send_package(self, raws: Sequence[bytes]) -> None:
        """Give the last of `raws` to the network with the others, for which it pays."""
        self._relay.send_package(raws)

    def standing(self, transaction: Transaction) -> Standing:
        """Where `transaction` is now, as far as the node knows."""
        return self._relay.standing(transaction)

    def fee_rate(self) -> int | None:
        """sat/kvB by the node's estimate; None when it has none."""
        return self._relay.fee_rate()

    def min_fee_rate(self) -> int:
        """sat/kvB below which the node takes nothing now."""
        return self._relay.min_fee_rate()


class _NodeOpinion:
    """The node as a judge, asked only when there is something to judge. Implements `Judge`."""

    name = "testmempoolaccept"

    def __init__(self, chain: NodeChain) -> None:
        self._chain = chain

    def applies_to(self, inputs: int, spent: Sequence[TxOut]) -> bool:  # noqa: ARG002 - the port asks
        """True: it knows every kind of script."""
        return True

    def judge(self, raw: bytes, spent: Sequence[TxOut]) -> str | None:
        """None when the node would take `raw`; else its reason."""
        from custody.backends.bitcoind import BitcoindJudge  # noqa: PLC0415 - as said above

        return BitcoindJudge(self._chain.view).judge(raw, spent)


def _credentials(settings: Settings) -> CookieFile | UserPassword:
    from custody.backends.bitcoind import CookieFile, UserPassword  # noqa: PLC0415 - as said above

    if settings.cookie is not None:
        return CookieFile(Path(settings.cookie))
    # The settings have a password file wherever there is no cookie.
    path = Path(settings.rpc_password_file or "")
    try:
        password = read_file(path, _MAX_PASSWORD).decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigInvalid(path=shown(path), problem="the node's password in it is not UTF-8") from None
    return UserPassword(settings.rpc_user or "", password)
