"""Can what was printed be printed, and what becomes of it when it cannot?

An alarm, a commit and a print are apart: a command that has acted must not end as a failure, or as a bug, because a
terminal lacks a letter, a disk is full, or whoever read a pipe has left. So while a command runs, stdout and stderr are
`Patient`: writing never fails. A letter that the encoding lacks is escaped, and the first failure is kept until the
command is over; then `settle` says whether stdout held all of it.

A standard stream that was closed before the program began is opened on nothing first: the next file that is opened
would otherwise take its number, and what is printed would be written there.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, TextIO, cast

_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET})


@dataclass(frozen=True, slots=True)
class Lost:
    """Why some of what was printed did not arrive. `is_left` says that its reader went away, and so asked for it."""

    reason: str
    is_left: bool


class Patient(io.TextIOBase):
    """A stream over `stream` that takes whatever it is given. None stands for one that was closed.

    It says that it takes every letter; what the stream below cannot write is escaped as in Python's texts.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self.lost: Lost | None = None
        """The first failure; nothing is written after it."""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in typeshed
        """What callers may write: everything."""
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]  # as above
        """Nothing a caller writes is an error."""
        return "backslashreplace"

    @property
    def buffer(self) -> PatientBytes:
        """For bytes, after whatever text was written before them."""
        return PatientBytes(self)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write `text`, or keep why it could not be written."""
        if not isinstance(text, str):
            raise TypeError("text is written here, and bytes to the buffer")  # which tells click what this is
        below = self._below()
        if below is not None:
            encoding = below.encoding or "ascii"
            try:
                # A lone surrogate, which stands for a byte of a file's name, is escaped too.
                below.write(text.encode(encoding, "backslashreplace").decode(encoding))
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def write_bytes(self, data: bytes) -> int:
        """Write `data` as it is, or keep why it could not be written."""
        below = self._below()
        if below is not None:
            try:
                below.flush()
                below.buffer.write(data)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(data)

    def flush(self) -> None:
        """Hand on what was written, or keep why it could not be."""
        below = self._below()
        if below is not None:
            try:
                below.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def _below(self) -> TextIO | None:
        """The stream, while it can be written to."""
        if self.lost is not None:
            return None
        if self._stream is None:
            self.lost = Lost("it was closed", is_left=False)
        return self._stream

    def _lose(self, error: Exception) -> None:
        is_left = isinstance(error, OSError) and error.errno in _GONE
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it was closed"
        self.lost = Lost(reason, is_left)
        if self._stream is None:
            return
        # What is left in its buffer would fail once more when Python ends, and with a trace.
        with suppress(OSError, ValueError):
            nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.dup2(nothing, self._stream.fileno())
            finally:
                os.close(nothing)
        with suppress(OSError, ValueError):
            self._stream.flush()


class PatientBytes(io.RawIOBase):
    """The bytes' side of a `Patient`."""

    def __init__(self, text: Patient) -> None:
        super().__init__()
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        """Write bytes, or have it kept why they could not be written."""
        return self._text.write_bytes(bytes(cast("bytes", data)))

    def flush(self) -> None:
        if not self.closed:
            self._text.flush()


@contextmanager
def patient() -> Iterator[tuple[Patient, Patient]]:
    """Stdout and stderr, which cannot fail until this ends."""
    before = sys.stdout, sys.stderr
    out, talk = Patient(before[0]), Patient(before[1])
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", talk)
    try:
        yield out, talk
    finally:
        out.flush()
        talk.flush()
        sys.stdout, sys.stderr = before


def occupy_closed() -> None:
    """Open on nothing what was closed of stdin, stdout and stderr, so that no file gets its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given: this one, since those below are taken.
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
