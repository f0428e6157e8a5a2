"""Unit tests do no I/O: while one runs, opening a file, a socket or a process is refused.

Imports look at the code, lint looks at imports; this looks at what really happens, through an audit hook (PEP 578).
Python's own machinery may read (imports, source lines for a traceback, pytest, hypothesis): the nearest caller decides.
"""

import linecache
import sys
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
from _pytest import pathlib as pytest_internals

_REFUSED = (
    "open",
    "os.",
    "shutil.",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "tempfile.",
    "urllib.",
)
_HARMLESS = frozenset({"os.putenv", "os.unsetenv", "os.add_dll_directory"})
_PROJECT = Path(__file__).resolve().parents[2]
_OURS = (str(_PROJECT / "src"), str(_PROJECT / "tests"))
_MACHINERY = (
    "<frozen importlib",
    linecache.__file__,
    str(Path(linecache.__file__).parent / "importlib"),
    str(Path(hypothesis.__file__).parent),
    str(Path(pytest_internals.__file__).parent),
)

_running: list[str] = []


class IoInUnitTest(AssertionError):
    """Code under a unit test reached outside the process."""


def _caller_is_ours() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name != __file__:
            if name.startswith(_MACHINERY):
                return False
            if name.startswith(_OURS):
                return True
        frame = frame.f_back
    return False


def _refuse_io(event: str, arguments: tuple[object, ...]) -> None:
    if not _running or not event.startswith(_REFUSED) or event in _HARMLESS:
        return
    if _caller_is_ours():
        raise IoInUnitTest(f"{_running[-1]} caused {event}{arguments!r}: unit tests do no I/O")


sys.addaudithook(_refuse_io)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Refuse I/O from here to the end of the test itself; fixtures are set up outside of this."""
    _running.append(item.nodeid)
    try:
        return (yield)
    finally:
        _running.pop()
