"""The device's process: reads one request from its standard input, drives the device, writes one answer and ends.

Started by `program` as `python -P -m custody.backends.hwi.child [--emulator]`. It keeps to itself what drivers print,
it refuses every socket unless it was started for an emulator, it ends at its time whatever it is doing, and it does not
take more memory than it needs. An exception that nobody expected becomes an answer as well, in `sys.excepthook`: there
is no other way to map what may come out of seven vendors' drivers without catching everything everywhere.
"""

from __future__ import annotations

import errno
import os
import sys
from types import TracebackType
from typing import Final

from custody.backends.hwi.foreign import judge
from custody.backends.hwi.program import EMULATOR
from custody.backends.hwi.protocol import DeviceAnswer, DeviceRequest, failed

MAX_MEMORY: Final = 4 * 1024 * 1024 * 1024
"""Bytes of address space; reading the largest PSBT takes a tenth of it."""
_GRACE: Final = 2
"""Seconds after which the process ends itself although its parent should have ended it."""


class Reply:
    """The one answer. What is printed after `begin` goes to standard error."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def send(self, answer: DeviceAnswer) -> None:
        """Write the answer, unless one was written, and let the reader go on at once."""
        if not self._file.closed:
            with self._file:
                self._file.write(answer.to_bytes())

    def report(self, _kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        """What `sys.excepthook` does here."""
        fault, reason = judge(error)
        self.send(failed(fault, reason))


def main(arguments: list[str]) -> None:
    """Answer the request on standard input."""
    reply = Reply()
    sys.excepthook = reply.report
    is_emulator = arguments == [EMULATOR]
    request = DeviceRequest.from_bytes(sys.stdin.buffer.read())
    _limit(request.seconds)
    if not is_emulator:
        sys.addaudithook(_refuse_sockets)
    # Not before the hooks stand: without the extra this is the first thing to fail.
    from custody.backends.hwi.driver import perform  # noqa: PLC0415

    perform(request, reply.send, is_emulator=is_emulator)


def _limit(seconds: int) -> None:
    """Bound time and memory by the operating system. Windows has neither; there the parent's timer stands alone."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows
    import signal  # noqa: PLC0415

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds + _GRACE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


def _refuse_sockets(event: str, _arguments: tuple[object, ...]) -> None:
    if event.startswith("socket."):
        raise PermissionError(errno.EACCES, "sockets are for emulators only")


if __name__ == "__main__":
    main(sys.argv[1:])
