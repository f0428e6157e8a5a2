"""How are files read and written?

Rules:

1. A file somebody else may own is never overwritten: a new file appears at its name complete, or not at all.
2. Files are 0600 and directories 0700. Only the owner's umask can take more away.
3. Data is on the medium before a function returns: the file is synced, then the directory that names it.
4. Reading has a cap, given by the caller, and takes regular files only: a pipe or a device can feed a reader for ever.
5. Only this program's own state is replaced, in one step: after a power cut there is the old state or the new.

It does not know `-`, formats or names: those are for apps. Sizes are bytes.

Sources: POSIX.1-2017 open(2), link(2), rename(2), fsync(2).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from custody.ports import FileExists, FileMissing, FileTooLarge, FileUnusable

COPIED: Final = 1 << 20
"""Bytes that are copied at once."""


def read_file(path: Path, cap: int) -> bytes:
    """Contents of the regular file at `path`, at most `cap` bytes.

    Raises:
        FileMissing: there is none.
        FileTooLarge: it has more than `cap` bytes.
        FileUnusable: it is no regular file or may not be read.
    """
    with _opened(path) as file:
        data = file.read(cap + 1)
    if len(data) > cap:
        raise FileTooLarge(path=_shown(path), limit=cap)
    return data


def read_lines(path: Path, cap: int) -> Iterator[bytes]:
    """The lines of the regular file at `path`, without their line feeds, each of at most `cap` bytes.

    Raises:
        FileMissing, FileUnusable: as `read_file`.
        FileTooLarge: a line has more than `cap` bytes.
    """
    with _opened(path) as file:
        while line := file.readline(cap + 1):
            if len(line) > cap:
                raise FileTooLarge(path=_shown(path), limit=cap)
            yield line.removesuffix(b"\n")


def write_new(path: Path, data: bytes | Iterable[bytes], mode: int = 0o600) -> None:
    """Write `data` to a file that does not exist yet; whoever sees the name sees all of it.

    A medium without hard links (FAT, as on most cards carried to a station) gets the file under its final name from the
    start, still never over another one; it is removed when writing fails, and a power cut may leave it short.

    Raises:
        FileExists: something stands at `path`, be it a dangling link.
        FileUnusable: it cannot be written.
    """
    # An early answer; what decides is link() below.
    if os.path.lexists(path):
        raise FileExists(path=_shown(path))
    temporary = _write_temporary(path, data, mode)
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        raise FileExists(path=_shown(path)) from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise _unusable(path, error) from None
        with _opened(temporary) as file:
            _write_exclusive(path, path, iter(lambda: file.read(COPIED), b""), mode)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path)


def replace_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write this program's own state at `path`, in place of what was there: old or new stands afterwards.

    Raises:
        FileUnusable: it cannot be written; the old file stands.
    """
    temporary = _write_temporary(path, data, mode)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unusable(path, error) from None
    _sync_directory(path)


def create_directory(path: Path) -> None:
    """Make the directory `path` (0700) and those above it, or take it as it is when it is safe.

    Raises:
        FileUnusable: it cannot be made, is no directory, or others may write in it, who could then swap any file there.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            continue  # another process was faster; what stands there is looked at below
        except OSError as error:
            raise _unusable(path, error) from None
        _sync_directory(each)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _unusable(path, error) from None
    if not stat.S_ISDIR(mode):
        raise FileUnusable(path=_shown(path), reason="it is not a directory")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise FileUnusable(path=_shown(path), reason="others may write in this directory")


_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def _shown(path: Path) -> str:
    """A path for a message: names come from outside and may hold escape codes."""
    return ascii(str(path))[1:-1]


def _unusable(path: Path, error: OSError) -> FileUnusable:
    return FileUnusable(path=_shown(path), reason=error.strerror or type(error).__name__)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The regular file at `path`, to be read.

    Raises:
        FileMissing, FileUnusable: there is none, or it may not be read.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer that may never come.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise FileMissing(path=_shown(path)) from None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileUnusable(path=_shown(path), reason="it is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    except OSError as error:
        raise _unusable(path, error) from None
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, data: bytes | Iterable[bytes], mode: int) -> Path:
    """A complete and synced file beside `path`, on the same file system."""
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    _write_exclusive(temporary, path, data, mode)
    return temporary


def _write_exclusive(target: Path, named: Path, data: bytes | Iterable[bytes], mode: int) -> None:
    """Create `target`, write and sync it; take it away again when that fails. Errors speak of `named`."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except FileExistsError:
        raise FileExists(path=_shown(named)) from None
    except FileNotFoundError:
        raise FileMissing(path=_shown(named.parent)) from None
    except OSError as error:
        raise _unusable(named, error) from None
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - the descriptor that O_EXCL made
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise _unusable(named, error) from None
    except BaseException:
        # Whatever gives the data may fail as well: half of it must not stay.
        target.unlink(missing_ok=True)
        raise


def _sync_directory(path: Path) -> None:
    """Make the name at `path` as durable as its file."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems know no sync of a directory; there is no more to do there.
        if error.errno != errno.EINVAL:
            raise _unusable(path, error) from None
    finally:
        os.close(descriptor)
