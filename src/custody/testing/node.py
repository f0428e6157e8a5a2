"""How does a test get a real node, with a chain on it that it controls? bitcoind, started here and ended here.

`OfflineNode` is the process: a data directory and a port of its own, no peers, loopback only, ended with whoever
started it. `NodeChain` mines and pays on a regtest one as `RegtestChain` does on a chain in the process: the same calls
give the same blocks, so a story can be told on either. The node's clock is the chain's.

The program is the caller's to name. What is needed of it is in Bitcoin Core 29 and newer, and in Knots.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import TypeAdapter

from custody.backends.bitcoind import BitcoindJudge, BitcoindRelay, BitcoindView, CookieFile, Rpc
from custody.backends.kernel import BlockRefused, Unspent
from custody.bitcoin.block import HEADER_SIZE
from custody.bitcoin.script import double_sha256
from custody.bitcoin.transaction import OutPoint, Transaction
from custody.ports import NodeUnavailable, Standing, plain_reason
from custody.testing.chain import RegtestChain
from custody.transfer.replacement import Evicted
from custody.units import Network

_START_WITHIN: Final = 60
_STOP_WITHIN: Final = 30
_START_ATTEMPTS: Final = 3
_OPTIONS: Final = (
    "-server",
    "-listen=0",
    "-connect=0",
    "-dnsseed=0",
    "-rpcbind=127.0.0.1",
    "-rpcallowip=127.0.0.1",
    "-printtoconsole=0",
    "-par=1",
    # Regtest would let transactions wait that no other network relays.
    "-acceptnonstdtxn=0",
)
_FOLDERS: Final = {Network.MAIN: "", Network.TESTNET4: "testnet4", Network.SIGNET: "signet", Network.REGTEST: "regtest"}
_NOTHING: Final = TypeAdapter(type(None))
_NUMBER: Final = TypeAdapter(int)
_TEXT: Final = TypeAdapter(str)
_TEXTS: Final = TypeAdapter(list[str])
_VERDICT: Final[TypeAdapter[str | None]] = TypeAdapter(str | None)
# A valid block on a branch that is not the best one.
_KEPT: Final = ("inconclusive", "duplicate", "duplicate-inconclusive")


class OfflineNode:
    """A bitcoind without peers, in a temporary directory that goes with it. It ends with `stop`, or with this process.

    `program` is its path; `options` are added to its command line. `rpc` asks it.

    Raises:
        NodeUnavailable: it does not start; the reason is the last thing it said.
    """

    def __init__(self, program: str, network: Network = Network.REGTEST, options: tuple[str, ...] = ()) -> None:
        self.network = network
        self._command = (program, f"-chain={network.value}", *_OPTIONS, *options)
        self._place = tempfile.TemporaryDirectory(prefix="custody-node-")
        self.directory = Path(self._place.name)
        self._moment = 0
        self._port = 0
        try:
            self.rpc = self._start()
        except NodeUnavailable:
            self._place.cleanup()
            raise

    def stop(self) -> None:
        """End it and remove its directory."""
        # At once: what it would still write down goes with the directory.
        self._process.kill()
        self.halt()
        self._place.cleanup()

    def halt(self) -> None:
        """End it; `resume` starts it again on what it has."""
        self.rpc.close()
        self._finalizer()

    def resume(self) -> None:
        """Start it again, at the same address, with another cookie and the clock where it was."""
        self._launch(self._port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def credentials(self) -> CookieFile:
        """Its cookie file."""
        return CookieFile(self.directory / _FOLDERS[self.network] / ".cookie")

    def set_time(self, moment: int) -> None:
        """Set its clock to `moment` (Unix seconds); it stands still from then on. Regtest only."""
        self.rpc.ask(_NOTHING, "setmocktime", moment)
        self._moment = moment

    def _start(self) -> Rpc:
        for attempt in range(1, _START_ATTEMPTS + 1):
            self._port = _free_port()
            try:
                return self._launch(self._port)
            except NodeUnavailable:
                # Between finding a free port and using it somebody else may have taken it.
                if attempt == _START_ATTEMPTS:
                    raise
        raise AssertionError("not reached")

    def _launch(self, port: int) -> Rpc:
        self.credentials.path.unlink(missing_ok=True)
        clock = [f"-mocktime={self._moment}"] if self._moment else []
        with self._talk.open("wb") as talk:
            process = self._process = subprocess.Popen(  # noqa: S603 - the program that the test was given
                [*self._command, f"-datadir={self.directory}", f"-rpcport={port}", *clock],
                stdin=subprocess.DEVNULL,
                stdout=talk,
                stderr=subprocess.STDOUT,
            )
        # A run that is interrupted ends its nodes all the same.
        self._finalizer = weakref.finalize(self, _end, process)
        rpc = Rpc(f"http://127.0.0.1:{port}", self.credentials)
        if self._is_up(rpc, process):
            return rpc
        rpc.close()
        self._finalizer()
        said = self._talk.read_text(errors="replace").strip().splitlines() or ["nothing"]
        raise NodeUnavailable(node=self._command[0], reason=plain_reason(f"it does not start and says: {said[-1]}"))

    def _is_up(self, rpc: Rpc, process: subprocess.Popen[bytes]) -> bool:
        """Wait until it answers; False when it ended or takes too long."""
        deadline = time.monotonic() + _START_WITHIN
        while process.poll() is None and time.monotonic() < deadline:
            if self.credentials.path.exists():
                try:
                    rpc.ask(_NUMBER, "getblockcount")
                except NodeUnavailable:
                    pass
                else:
                    return True
            time.sleep(0.01)
        return False

    @property
    def _talk(self) -> Path:
        return self.directory / "talk"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End `process` and wait for it."""
    process.terminate()
    try:
        process.wait(_STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


class NodeView(BitcoindView):
    """A regtest node as `RegtestChain` needs one: chain and relay at once, and blocks can be given to it."""

    def __init__(self, node: OfflineNode) -> None:
        super().__init__(node.rpc, Network.REGTEST)
        self.relay = BitcoindRelay(self)
        self._sent: dict[bytes, int] = {}

    def close(self) -> None:
        """Let go of the connection; the node goes on."""
        self.node.close()

    def send(self, raw: bytes) -> None:
        """As `BitcoindRelay.send`."""
        self.relay.send(raw)
        self._sent.setdefault(Transaction.parse(raw).txid, len(self._sent))

    def send_package(self, raws: Sequence[bytes]) -> None:
        """As `BitcoindRelay.send_package`."""
        self.relay.send_package(raws)
        for raw in raws:
            self._sent.setdefault(Transaction.parse(raw).txid, len(self._sent))

    def standing(self, transaction: Transaction) -> Standing:
        """As `BitcoindRelay.standing`."""
        return self.relay.standing(transaction)

    def evicted(self, txid: bytes) -> Evicted | None:
        """As `BitcoindRelay.evicted`."""
        return self.relay.evicted(txid)

    def step_rate(self) -> int:
        """As `BitcoindRelay.step_rate`."""
        return self.relay.step_rate()

    def fee_rate(self) -> int | None:
        """As `BitcoindRelay.fee_rate`."""
        return self.relay.fee_rate()

    def min_fee_rate(self) -> int:
        """As `BitcoindRelay.min_fee_rate`."""
        return self.relay.min_fee_rate()

    def submit(self, raw: bytes) -> bytes:
        """Give the node a block; its hash.

        Raises:
            BlockRefused: the block is invalid.
        """
        block_hash = double_sha256(raw[:HEADER_SIZE])
        verdict = self.node.ask(_VERDICT, "submitblock", raw.hex())
        if verdict is not None and verdict not in _KEPT:
            raise BlockRefused(block=block_hash[::-1].hex(), reason=plain_reason(verdict))
        return block_hash

    def pending(self) -> tuple[Transaction, ...]:
        """What waits, in the order it was sent, each after those it spends. A mempool itself has no steady order."""
        txids = [bytes.fromhex(txid)[::-1] for txid in self.node.ask(_TEXTS, "getrawmempool")]
        txids.sort(key=lambda txid: (self._sent.get(txid, len(self._sent)), txid))
        waiting = map(self.waiting_transaction, txids)
        return _parents_first({each.txid: each for each in waiting if each is not None})

    def unspent_of(self, script_pubkey: bytes) -> Iterator[tuple[OutPoint, Unspent]]:
        """Every output locked to `script_pubkey`, confirmed or waiting, that nothing spends, waiting or not."""
        scan, waiting = self.scan([script_pubkey]), self.pending()
        spent = {each.outpoint for transaction in waiting for each in transaction.inputs}
        found = [(each.outpoint, Unspent(each.output, each.height, each.is_coinbase)) for each in scan.outputs]
        for transaction in waiting:
            for index, output in enumerate(transaction.outputs):
                if output.script_pubkey == script_pubkey:
                    unspent = Unspent(output, scan.height + 1, is_coinbase=False)
                    found.append((OutPoint(transaction.txid, index), unspent))
        return (each for each in found if each[0] not in spent)


def _parents_first(waiting: dict[bytes, Transaction]) -> tuple[Transaction, ...]:
    ordered: dict[bytes, Transaction] = {}
    while len(ordered) < len(waiting):
        for txid, transaction in waiting.items():
            if all(each.outpoint.txid in ordered or each.outpoint.txid not in waiting for each in transaction.inputs):
                ordered.setdefault(txid, transaction)
    return tuple(ordered.values())


class NodeChain(RegtestChain):
    """Mines, pays and reorganises on a node. `view` is the node, as `ChainView` and `Relay`; `judges` its opinion.

    Raises:
        NetworkMismatch: the node is not on regtest.
    """

    def __init__(self, node: OfflineNode) -> None:
        self.node = node
        self.node_view = NodeView(node)
        super().__init__(view=self.node_view)
        self.judges = (BitcoindJudge(self.node_view),)
        node.set_time(self.now())

    def wait(self, seconds: int) -> int:
        """Let `seconds` pass without a block, on the node's clock too; the time then."""
        now = super().wait(seconds)
        self.node.set_time(now)
        return now

    def invalidate(self, height: int) -> None:
        """Have the node take the block at `height`, and all after it, for invalid: its chain ends below."""
        self.node.rpc.ask(_NOTHING, "invalidateblock", self.view.block_hash(height)[::-1].hex())

    def reconsider(self, block_hash: bytes) -> None:
        """Take that back."""
        self.node.rpc.ask(_NOTHING, "reconsiderblock", block_hash[::-1].hex())
