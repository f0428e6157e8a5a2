"""How is a device's process started, and what may it cost before it is ended?

The process is ours, `python -m custody.backends.hwi.child`, started from a list of arguments without a shell, with the
request on its standard input. It is ended when its time is up or its answer grows too long, whatever it is doing: no
call of hwilib has a timeout of its own. It also ends itself at its time, should this program die first.

The answer of any program in its place would be read with the same suspicion: `Program.command` may name another.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from custody.backends.hwi.errors import DeviceFailed, DeviceTimeout, SignerProtocol
from custody.backends.hwi.foreign import plain
from custody.backends.hwi.protocol import (
    MAX_SIGNED_ANSWER,
    MAX_SMALL_ANSWER,
    DeviceAnswer,
    DeviceRequest,
    Operation,
)
from custody.errors import InvalidInput

EMULATOR: Final = "--emulator"
"""The argument that lets a device's process use sockets: emulators listen on them, devices never need one."""
_ORDERLY_END: Final = 2
"""Seconds in which a process that has answered may close its device."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds each kind of operation may take: look around, read from a device, wait for its holder."""

    look: int = 60
    ask: int = 180
    confirm: int = 1800

    def of(self, operation: Operation) -> int:
        """Seconds for `operation`."""
        match operation:
            case Operation.LIST:
                return self.look
            case Operation.OPEN | Operation.KEY | Operation.PROMPT | Operation.UNLOCK:
                return self.ask
            case Operation.ADDRESS | Operation.ENROL | Operation.SIGN:
                return self.confirm


PATIENCE: Final = Patience()


COMMAND: Final = (sys.executable, "-P", "-m", "custody.backends.hwi.child")
"""Starts a device's process. `-P` keeps modules in the present directory from being taken for ours."""


def is_device_start(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether an audit event (PEP 578) is the start of a device's process: the one program a station starts.

    Its emulators' sockets are its own; `custody-station` may let it through as it is and refuse every other.
    """
    if event != "subprocess.Popen" or arguments[:1] not in ((None,), (sys.executable,)):
        return False
    return arguments[1:2] in (([*COMMAND],), ([*COMMAND, EMULATOR],))


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in a device's process, and how long it may."""

    command: tuple[str, ...] = COMMAND
    patience: Patience = PATIENCE

    def ask(self, request: DeviceRequest, *, is_emulator: bool) -> DeviceAnswer:
        """The answer to `request`, whatever it says.

        Raises:
            DeviceTimeout: the process was ended.
            DeviceFailed: it ended without an answer, or could not be started.
            SignerProtocol: the answer is too long, or not an answer.
        """
        limit = MAX_SIGNED_ANSWER if request.operation is Operation.SIGN else MAX_SMALL_ANSWER
        data, status = self._run(request, limit, (EMULATOR,) if is_emulator else ())
        if len(data) > limit:
            raise SignerProtocol(device=request.device, problem=f"more than {limit} bytes")
        if not data:
            raise DeviceFailed(device=request.device, reason=f"its driver ended without an answer (status {status})")
        try:
            return DeviceAnswer.from_bytes(data)
        except InvalidInput as error:
            raise SignerProtocol(device=request.device, problem=plain(f"{error.code}: {error}")) from None

    def _run(self, request: DeviceRequest, limit: int, arguments: tuple[str, ...]) -> tuple[bytes, int]:
        """At most `limit` + 1 bytes of the answer, and how the process ended."""
        is_late = threading.Event()
        try:
            process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                (*self.command, *arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise DeviceFailed(device=request.device, reason=plain(f"its driver did not start: {error}")) from None

        def end() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(request.seconds, end)
        timer.start()
        try:
            data = _exchange(process, request.to_bytes(), limit + 1)
            was_late = is_late.is_set()
            if len(data) <= limit and not was_late:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_ORDERLY_END)
        finally:
            timer.cancel()
            process.kill()
            status = process.wait()
        if was_late:
            raise DeviceTimeout(device=request.device, seconds=request.seconds)
        return data, status


def _exchange(process: subprocess.Popen[bytes], request: bytes, most: int) -> bytes:
    """Write the request and read up to `most` bytes. Both end when the process does."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both were asked for")
    with process.stdin, process.stdout:
        with suppress(BrokenPipeError):
            process.stdin.write(request)
            process.stdin.flush()
        with suppress(BrokenPipeError):
            process.stdin.close()
        return process.stdout.read(most)
