"""Which chain does a coordinator look at: a node that was named at set-up, or regtest's own in its folder?

A chain is a view to look at, a relay to send by, and judges. Each is opened when it is first asked something, so that a
command that needs no chain waits for none. What a node is asked, and what its answers are worth, is for
`backends.bitcoind`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, cast

from custody.apps.config import ConfigInvalid, Folders, Settings
from custody.apps.terminal import shown
from custody.backends.files import read_file
from custody.errors import InvalidInput
from custody.ports import ChainView, Judge, NodeUnavailable, Relay, RelayRefused
from custody.saved import FileNotText, text_in
from custody.units import Network

# The node's client and the consensus library take long to load: each is imported where it is used.
if TYPE_CHECKING:
    from custody.backends.bitcoind import (
        BitcoindJudge,
        BitcoindRelay,
        BitcoindView,
        ChainStatus,
        CookieFile,
        Rpc,
        UserPassword,
        UtxoScan,
    )
    from custody.backends.kernel import KernelChain
    from custody.testing.chain import RegtestChain

Opened = TypeVar("Opened")

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


class Chain(Protocol):
    """What a command looks at, sends by and is judged by. Nothing is opened before one of them is asked something."""

    name: str
    """What people call it."""
    view: ChainView
    relay: Relay
    judges: tuple[Judge, ...]
    """Opinions that come with it."""

    def status(self) -> ChainStatus:
        """How far it is, and which blocks it can give."""

    def scan(self, scripts: Collection[bytes]) -> UtxoScan:
        """Every confirmed unspent output locked to one of `scripts`; minutes on the main network."""

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
        NodeUnavailable: another command uses it, or it is gone; when it is first asked something.
    """

    def __init__(self, where: Folders, sent: Callable[[], Sequence[bytes]] = tuple) -> None:
        if where.network is not Network.REGTEST:
            raise ChainMissing(network=where.network)
        self._kernel: Final = _Later(lambda: _open_kernel(where.chain, sent))
        self.name = "regtest's own chain"
        self.view: ChainView = cast("ChainView", self._kernel)
        self.relay: Relay = cast("Relay", self._kernel)
        self.judges: tuple[Judge, ...] = ()

    def regtest(self) -> RegtestChain:
        """The chain itself, which can mine and pay."""
        from custody.testing.chain import RegtestChain  # noqa: PLC0415 - as said above

        return RegtestChain(view=self._kernel.value())

    def status(self) -> ChainStatus:
        """The tip; there is nothing to catch up with."""
        from custody.backends.bitcoind import ChainStatus  # noqa: PLC0415 - as said above

        tip = self.view.tip()
        return ChainStatus(tip, tip.height, is_initial_download=False, first_block=0, version="libbitcoinkernel")

    def scan(self, scripts: Collection[bytes]) -> UtxoScan:
        """Every confirmed unspent output locked to one of `scripts`."""
        from custody.backends.bitcoind import UnspentOutput, UtxoScan  # noqa: PLC0415 - as said above

        found = [
            UnspentOutput(outpoint, each.output, each.height, each.is_coinbase)
            for outpoint, each in self._kernel.value().confirmed_of(frozenset(scripts))
        ]
        tip = self.view.tip()
        return UtxoScan(tip.height, tip.hash, tuple(sorted(found, key=lambda each: each.outpoint)))

    def close(self) -> None:
        """Let others have it; it is opened again when it is asked something."""
        opened = self._kernel.forget()
        if opened is not None:
            opened.close()


class NodeChain:
    """The node at `url`. Implements `Chain`.

    Raises:
        NetworkMismatch: the node is on another network; when it is first asked something.
        NodeUnavailable: it does not answer.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        from custody.backends.bitcoind import Rpc  # noqa: PLC0415 - as said above

        self._rpc: Final = Rpc(url, _credentials(settings))
        self._view: Final = _Later(lambda: _open_node(self._rpc, settings))
        self.name = self._rpc.name
        self.view: ChainView = cast("ChainView", self._view)
        self.relay: Relay = cast("Relay", _Later(lambda: _relay_of(self._view.value())))
        self.judges: tuple[Judge, ...] = (cast("Judge", _Later(lambda: _judge_of(self._view.value()))),)

    def status(self) -> ChainStatus:
        """How far the node is, and which blocks it can give."""
        return self._view.value().status()

    def scan(self, scripts: Collection[bytes]) -> UtxoScan:
        """Every confirmed unspent output locked to one of `scripts`; minutes on the main network."""
        return self._view.value().scan(scripts)

    def close(self) -> None:
        """Let go of the connection."""
        self._rpc.close()


class _Later(Generic[Opened]):
    """What `opens` gives, opened when it is first asked something; until then nothing waits for it."""

    def __init__(self, opens: Callable[[], Opened]) -> None:
        self._opens: Final = opens
        self._opened: Opened | None = None

    def value(self) -> Opened:
        """It, opened."""
        if self._opened is None:
            self._opened = self._opens()
        return self._opened

    def forget(self) -> Opened | None:
        """It, if it was opened; it is opened anew when it is asked again."""
        opened, self._opened = self._opened, None
        return opened

    def __getattr__(self, name: str) -> object:
        return getattr(self.value(), name)


def _open_kernel(folder: Path, sent: Callable[[], Sequence[bytes]]) -> KernelChain:
    from custody.backends.kernel import KernelChain  # noqa: PLC0415 - as said above

    # An empty chain made in its place would look like a reorganisation of everything.
    if not folder.is_dir():
        raise NodeUnavailable(node="regtest", reason=f"there is no chain in {shown(folder)}")
    kernel = KernelChain(folder)
    for raw in sent():
        # One whose place another transfer of its group has taken is refused, as a node would have dropped it.
        with suppress(RelayRefused):
            kernel.send(raw)
    return kernel


def _open_node(rpc: Rpc, settings: Settings) -> BitcoindView:
    from custody.backends.bitcoind import SIGNET_CHALLENGE, BitcoindView  # noqa: PLC0415 - as said above

    return BitcoindView(rpc, settings.network, settings.signet_challenge or SIGNET_CHALLENGE)


def _relay_of(view: BitcoindView) -> BitcoindRelay:
    from custody.backends.bitcoind import BitcoindRelay  # noqa: PLC0415 - as said above

    return BitcoindRelay(view)


def _judge_of(view: BitcoindView) -> BitcoindJudge:
    from custody.backends.bitcoind import BitcoindJudge  # noqa: PLC0415 - as said above

    return BitcoindJudge(view)


def _credentials(settings: Settings) -> CookieFile | UserPassword:
    from custody.backends.bitcoind import CookieFile, UserPassword  # noqa: PLC0415 - as said above

    if settings.cookie is not None:
        return CookieFile(Path(settings.cookie))
    # The settings have a password file wherever there is no cookie.
    path = Path(settings.rpc_password_file or "")
    try:
        password = text_in(read_file(path, _MAX_PASSWORD), "the node's password in it").rstrip("\n")
    except FileNotText as error:
        raise ConfigInvalid(path=shown(path), problem=str(error)) from None
    return UserPassword(settings.rpc_user or "", password)
