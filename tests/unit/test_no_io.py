"""The guard of this folder does what it says."""

import socket
import subprocess
import sys
import traceback
from pathlib import Path

import pytest


def test_reading_a_file_is_refused():
    with pytest.raises(AssertionError, match="unit tests do no I/O"):
        Path(__file__).read_text()


def test_writing_a_file_is_refused():
    with pytest.raises(AssertionError, match="unit tests do no I/O"):
        Path("left-behind").write_text("")


def test_a_socket_is_refused():
    with pytest.raises(AssertionError, match="unit tests do no I/O"):
        socket.socket()


def test_a_process_is_refused():
    with pytest.raises(AssertionError, match="unit tests do no I/O"):
        subprocess.run([sys.executable, "-c", ""], check=True)


def test_looking_into_a_folder_is_refused():
    with pytest.raises(AssertionError, match="unit tests do no I/O"):
        list(Path(__file__).parent.iterdir())


def test_an_import_inside_a_test_is_allowed():
    sys.modules.pop("this_is_not_needed", None)
    import wave  # noqa: PLC0415 - the import is what is tested

    assert wave.Error


def test_a_traceback_inside_a_test_is_allowed():
    try:
        int("no number")
    except ValueError as error:
        shown = "".join(traceback.format_exception(error))
    assert 'int("no number")' in shown
