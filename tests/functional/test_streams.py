"""What is printed cannot fail: letters are escaped, and what did not arrive is told of when the command is over."""

import errno
import io
import subprocess
import sys

import click
import pytest

from custody.apps.streams import Patient, patient


class Full(io.RawIOBase):
    """A medium that takes nothing."""

    def __init__(self, number: int) -> None:
        self.number = number

    def writable(self) -> bool:
        return True

    def write(self, _data: object) -> int:
        raise OSError(self.number, "it is so")


def broken(number: int) -> Patient:
    return Patient(io.TextIOWrapper(io.BufferedWriter(Full(number), 1), encoding="utf-8", write_through=True))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "iso-8859-1", "cp1251"])
def test_a_letter_that_the_encoding_lacks_is_escaped(encoding):
    below = io.BytesIO()
    stream = Patient(io.TextIOWrapper(below, encoding=encoding))
    stream.write("\u049a\u0430\u0437 \u20bf \udce9 ok\n")
    stream.flush()
    assert stream.lost is None
    assert "\\u049a" in below.getvalue().decode(encoding)
    assert below.getvalue().endswith(b"ok\n")


@pytest.mark.parametrize(("number", "is_left"), [(errno.ENOSPC, False), (errno.EPIPE, True), (errno.EIO, False)])
def test_a_failure_is_kept_and_not_raised(number, is_left):
    stream = broken(number)
    for _ in range(3):
        stream.write("text")
        stream.buffer.write(b"bytes")
        stream.flush()
    assert stream.lost is not None
    assert stream.lost.is_left is is_left


def test_a_stream_that_was_closed_takes_everything_and_says_so():
    stream = Patient(None)
    stream.write("text")
    assert stream.lost is not None
    assert not stream.lost.is_left
    assert not stream.isatty()


def test_click_writes_through_it_and_bytes_stand_after_the_text_before_them():
    below = io.BytesIO()
    before = sys.stdout
    sys.stdout = io.TextIOWrapper(below, encoding="ascii")
    try:
        with patient() as (out, _):
            click.echo("\u00e9")
            sys.stdout.write("text ")
            sys.stdout.buffer.write(b"\xff")
        assert sys.stdout is not out
    finally:
        sys.stdout = before
    assert below.getvalue() == b"\\xe9\ntext \xff"


def test_no_file_gets_the_number_of_a_standard_stream_that_was_closed():
    code = "import os, sys; from custody.apps.streams import occupy_closed; {}; sys.stderr.write(str(os.open('/', 0)))"
    numbers = []
    for before in ("pass", "occupy_closed()"):
        line = ["/bin/sh", "-c", '"$0" -c "$1" >&- <&-', sys.executable, code.format(before)]
        numbers.append(int(subprocess.run(line, capture_output=True, check=True).stderr))
    assert numbers[0] < 3 <= numbers[1]
