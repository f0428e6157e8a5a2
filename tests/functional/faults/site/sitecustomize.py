"""Harms the program that loads it at a chosen call to the medium: a folder for PYTHONPATH, named by tests alone.

Calls that write are numbered from 1: those of `os`, of files opened for writing, and SQLite's statements that are no
question. CUSTODY_FAULT says what happens at which, as in `kill@12`:

- `kill`, `killed`: the process ends by SIGKILL right before, or right after it.
- `cut`: it ends by a signal that arrives within a few milliseconds, so in the middle of it.
- `enospc`: there is no space from here on. SQLite is not let grow (`max_page_count`).
- `eio`: the call fails once. SQLite, which writes by itself, cannot write from here on (RLIMIT_FSIZE).
- `short`: half of it is written, and then there is no space.

CUSTODY_FAULT_CALLS names a file that the calls are listed in, one a line.
"""

import builtins
import errno
import io
import os
import resource
import signal
import sqlite3

HOW, _, AT = os.environ.get("CUSTODY_FAULT", "").partition("@")
CALLS = os.environ.get("CUSTODY_FAULT_CALLS")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
PAGE = 4096
state = {"calls": 0, "is_full": False}


def is_due(name: str) -> bool:
    """Count a call; whether it is the one."""
    state["calls"] += 1
    if CALLS:
        with io.FileIO(CALLS, "a") as file:
            file.write(f"{name}\n".encode())
    return state["calls"] == int(AT or 0)


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def cut() -> None:
    """End soon, whatever runs then: nobody has asked for this signal."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.0001 + 0.005 * (int(AT) * 37 % 100) / 100)


def limited(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def harmed(name: str, call: object, *, takes_space: bool) -> object:
    """`call`, numbered."""

    def instead(*given: object, **named: object) -> object:
        due = is_due(name)
        if state["is_full"] and takes_space:
            raise FULL
        if not due:
            return call(*given, **named)
        if HOW == "kill":
            end()
        if HOW == "cut":
            cut()
        if HOW == "eio":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if HOW in {"enospc", "short"} and takes_space:
            state["is_full"] = True
            if HOW == "short" and name == "write":
                data = memoryview(given[-1]).cast("B")
                return call(*given[:-1], data[: len(data) // 2])
            raise FULL
        done = call(*given, **named)
        if HOW == "killed":
            end()
        return done

    return instead


class Raw(io.FileIO):
    """A file open for writing, below its buffer."""

    def write(self, data: object) -> int:
        return write_raw(self, data)


def opened(file: object, mode: str = "r", *rest: object, **named: object) -> object:
    """`open`, with our own file where bytes are written."""
    if mode in {"wb", "xb", "ab"}:
        return io.BufferedWriter(Raw(file, mode.replace("b", ""), closefd=named.get("closefd", True)))
    return whole_open(file, mode, *rest, **named)


def opened_low(path: object, flags: int, *rest: object, **named: object) -> int:
    if flags & os.O_CREAT:
        return create(path, flags, *rest, **named)
    return whole_low(path, flags, *rest, **named)


class Cursor(sqlite3.Cursor):
    """What the program asks SQLite."""

    def execute(self, statement: str, *rest: object) -> object:
        return self._counted(statement, super().execute, statement, *rest)

    def executemany(self, statement: str, *rest: object) -> object:
        return self._counted(statement, super().executemany, statement, *rest)

    def executescript(self, script: str) -> object:
        return self._counted("script", super().executescript, script)

    def _counted(self, statement: str, call: object, *given: object) -> object:
        word = statement.split(None, 1)[0].lower()
        if word in {"select", "pragma", "explain", "with", "begin", "rollback"}:
            return call(*given)
        return asked(self.connection, word, call, *given)


class Connection(sqlite3.Connection):
    """A file of SQLite's."""

    def cursor(self, factory: type = Cursor) -> object:
        return super().cursor(factory)

    def execute(self, *given: object) -> object:
        return self.cursor().execute(*given)

    def executemany(self, *given: object) -> object:
        return self.cursor().executemany(*given)

    def executescript(self, script: str) -> object:
        return self.cursor().executescript(script)

    def commit(self) -> None:
        if not self.in_transaction or not self.total_changes:
            super().commit()
            return
        asked(self, "commit", super().commit)


def asked(connection: Connection, name: str, call: object, *given: object) -> object:
    """A statement, numbered."""
    if is_due(f"sqlite {name}"):
        if HOW == "kill":
            end()
        elif HOW == "cut":
            cut()
        elif HOW == "eio":
            limited(0)
        elif HOW == "short":
            limited(PAGE + PAGE // 2)
        elif HOW == "enospc":
            state["is_full"] = True
            sqlite3.Cursor(connection).execute("PRAGMA max_page_count=1")
        done = call(*given)
        if HOW == "killed":
            end()
        return done
    return call(*given)


def connected(*given: object, **named: object) -> object:
    return whole_connect(*given, **{"factory": Connection} | named)


if AT or CALLS:
    whole_open, whole_low, whole_connect = builtins.open, os.open, sqlite3.connect
    write_raw = harmed("write", io.FileIO.write, takes_space=True)
    create = harmed("open", os.open, takes_space=True)
    builtins.open, os.open, sqlite3.connect = opened, opened_low, connected
    for each in ("write", "fsync", "link", "rename", "replace", "mkdir"):
        setattr(os, each, harmed(each, getattr(os, each), takes_space=each != "fsync"))
    for each in ("unlink", "rmdir"):
        setattr(os, each, harmed(each, getattr(os, each), takes_space=False))
