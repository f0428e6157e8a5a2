"""What does bitcoind need to race? A regtest node without peers, wallets on it, and a clock of its CPU time.

`custody.testing.node` starts and ends it. Its caller is for questions that may be asked twice, and custody keeps no
wallet in a node; here coins are sent and wallets are what is raced, so requests go out on their own.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Sequence

from custody.ports import NodeUnavailable
from custody.testing.node import OfflineNode

TIMEOUT = 1800
"""Seconds: bitcoind's signing grows with the square of the inputs."""
_OPTIONS = ("-fallbackfee=0.0001", "-keypool=1")


class Node(OfflineNode):
    """A running bitcoind: `with Node(program) as node: node.call("getblockcount")`.

    Raises:
        NodeUnavailable: it does not start.
    """

    def __init__(self, program: str) -> None:
        super().__init__(program, options=_OPTIONS)
        _, _, (process,), _ = self._finalizer.peek()
        self._pid = process.pid
        self.version = str(self.call("getnetworkinfo")["subversion"]).strip("/")

    def cpu(self) -> int:
        """Nanoseconds of CPU that all its threads have used."""
        # Linux names the CPU clock of another process by its number, as clock_getcpuclockid(3) does.
        return time.clock_gettime_ns((~self._pid << 3) | 2)

    def call(self, method: str, *parameters: object, wallet: str = ""):
        """What it answers, decoded.

        Raises:
            NodeUnavailable: it refuses, or does not answer.
        """
        cookie = base64.b64encode(self.credentials.path.read_bytes()).decode("ascii")
        body = json.dumps({"id": 0, "method": method, "params": parameters})
        place = f"/wallet/{wallet}" if wallet else "/"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        try:
            connection.request("POST", place, body, {"Authorization": f"Basic {cookie}"})
            answer = json.loads(connection.getresponse().read())
        except (OSError, ValueError) as error:
            raise NodeUnavailable(node="bitcoind", reason=f"{method}: {error}") from None
        finally:
            connection.close()
        if answer["error"] is not None:
            raise NodeUnavailable(node="bitcoind", reason=f"{method}: {answer['error']}")
        return answer["result"]

    def with_checksum(self, descriptor: str) -> str:
        """`descriptor` with its checksum, as it has it."""
        return f"{descriptor}#{self.call('getdescriptorinfo', descriptor)['checksum']}"

    def open_wallet(self, name: str, descriptors: Sequence[str], count: int, *, has_keys: bool) -> None:
        """A wallet of the receive and the change descriptor, the first `count` addresses of each."""
        # By position: name, disable_private_keys, blank.
        self.call("createwallet", name, not has_keys, True)  # noqa: FBT003
        requests = [
            {
                "desc": self.with_checksum(descriptor),
                "active": True,
                "internal": bool(branch),
                "range": [0, count - 1],
                "timestamp": "now",
            }
            for branch, descriptor in enumerate(descriptors)
        ]
        answers = self.call("importdescriptors", requests, wallet=name)
        if not all(each["success"] for each in answers):
            raise NodeUnavailable(node="bitcoind", reason=f"importdescriptors: {answers}")

    def pay(self, outputs: Sequence[tuple[str, int]], *, at_once: int = 1000) -> None:
        """Pay sats to addresses, `at_once` in a transaction, and confirm them."""
        self.call("createwallet", "miner")
        mine = self.call("getnewaddress", wallet="miner")
        self.call("generatetoaddress", 150, mine)
        for start in range(0, len(outputs), at_once):
            part = {address: f"{amount / 1e8:.8f}" for address, amount in outputs[start : start + at_once]}
            self.call("sendmany", "", part, wallet="miner")
            self.call("generatetoaddress", 1, mine)
