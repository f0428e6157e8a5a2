"""How are files read and written?

Rules:

1. A file somebody else may own is never overwritten: a new file appears at its name complete, or not at all. A medium
   that can promise neither is not written to.
2. Files are 0600 and directories 0700. Only the owner's umask can take more away.
3. Data is on the medium before a function returns: the file is synced, then the directory that names it.
4. Reading has a cap, given by the caller, and takes regular files only: a pipe or a device can feed a reader for ever.
5. Only this program's own state is replaced, in one step: after a power cut there is the old state or the new.
6. Data is first written under a temporary name beside its own, locked while its writer lives. What a writer that was
   killed left behind is taken away by whoever next writes that name, or starts in that folder (`remove_leftovers`).
7. A clean-up that fails never hides the error before it.

It does not know `-`, formats or names: those are for apps. Sizes are bytes.

Sources: POSIX.1-2017 open(2), link(2), rename(2), fsync(2); Linux renameat2(2), flock(2).
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from custody.ports import FileExists, FileIsFolder, FileMissing, FileTooLarge, FileUnusable


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

    A medium without hard links (FAT, as on most cards carried to a station) has the file renamed, which the kernel
    refuses where something stands.

    Raises:
        FileExists: something stands at `path`, be it a dangling link.
        FileUnusable: it cannot be written.
    """
    # An early answer; what decides is link() or renameat2() below.
    refuse_existing(path)
    with _temporary(path, data, mode) as temporary:
        try:
            _name(temporary, path)
        except FileExistsError:
            raise FileExists(path=_shown(path)) from None
        except OSError as error:
            raise _unusable(path, error) from None
    _sync_directory(path)


def refuse_existing(path: Path) -> None:
    """Pass when nothing stands at `path`. What killed writers of it left behind is gone afterwards in any case.

    Raises:
        FileExists: something does, be it a dangling link.
    """
    # A writer may have been killed between giving its file the name and taking the temporary one away.
    remove_leftovers(path.parent, path.name[:_NAME_KEPT])
    if os.path.lexists(path):
        raise FileExists(path=_shown(path))


def replace_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write this program's own state at `path`, in place of what was there: old or new stands afterwards.

    Raises:
        FileUnusable: it cannot be written; the old file stands.
    """
    remove_leftovers(path.parent, path.name[:_NAME_KEPT])
    with _temporary(path, data, mode) as temporary:
        try:
            temporary.replace(path)
        except OSError as error:
            raise _unusable(path, error) from None
    _sync_directory(path)


def remove_leftovers(folder: Path, names: str = "") -> None:
    """Take away the temporary files in `folder` whose writers are gone; of files called `names` only, where given.

    What cannot be taken away stays: nobody reads it.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match is not None and names in {"", match["name"]}:
                _remove_leftover(entry.path)


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
_NO_SUCH_RENAME: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_NAME_KEPT: Final = 100
"""Characters of a name that its temporary file keeps."""
_TEMPORARY: Final = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.tmp(-journal)?", re.DOTALL)
"""With the journal that a database left, which was being filled under such a name."""


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
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise FileIsFolder(path=_shown(path))
        if not stat.S_ISREG(mode):
            raise FileUnusable(path=_shown(path), reason="it is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    except OSError as error:
        raise _unusable(path, error) from None
    finally:
        os.close(descriptor)


@contextmanager
def _temporary(path: Path, data: bytes | Iterable[bytes], mode: int) -> Iterator[Path]:
    """A complete and synced file beside `path`, on the same file system; gone afterwards. Errors speak of `path`."""
    try:
        temporary, descriptor = _created(path, mode)
    except FileNotFoundError:
        raise FileMissing(path=_shown(path.parent)) from None
    except OSError as error:
        raise _unusable(path, error) from None
    file = open(descriptor, "wb")  # noqa: PTH123, SIM115 - the descriptor that O_EXCL made, closed below
    try:
        try:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(descriptor)
        except OSError as error:
            raise _unusable(path, error) from None
        yield temporary
    finally:
        # Also when whatever gives the data failed: half of it must not stay. It is gone already where it was renamed.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        # What did not fit is tried once more by closing, and fails once more.
        with suppress(OSError):
            file.close()


def _created(path: Path, mode: int) -> tuple[Path, int]:
    """A new file beside `path`, open and locked for as long as this process lives."""
    while True:
        temporary = path.with_name(f".{path.name[:_NAME_KEPT]}.{secrets.token_hex(8)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        # Where a file system knows no locks, nobody takes files for left behind either.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # taken for left behind before it was locked


def _name(temporary: Path, path: Path) -> None:
    """Give a complete file its name, unless something has it.

    Raises:
        OSError: something has it (FileExistsError), or the medium can give a name only by writing over another.
    """
    try:
        os.link(temporary, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_new(temporary, path)


def _rename_new(before: Path, after: Path) -> None:
    """rename(2) that refuses to replace, which Python does not offer.

    Raises:
        OSError: as `_name`.
    """
    rename = _renameat2()
    if rename is None or rename(os.fsencode(before), os.fsencode(after)):
        import ctypes  # noqa: PLC0415 - loaded by then, or not needed

        number = errno.ENOSYS if rename is None else ctypes.get_errno()
        if number in _NO_SUCH_RENAME:
            raise OSError(number, "this medium cannot take a new file without writing over another; use another medium")
        raise OSError(number, os.strerror(number))


@functools.lru_cache(maxsize=1)
def _renameat2() -> Callable[[bytes, bytes], int] | None:
    """renameat2(2) with RENAME_NOREPLACE; None where the system has no such call."""
    import ctypes  # noqa: PLC0415 - only needed for media without hard links

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return lambda before, after: int(call(_AT_FDCWD, before, _AT_FDCWD, after, _RENAME_NOREPLACE))


def _remove_leftover(path: str) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            # Its writer holds the lock for as long as it lives.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)  # noqa: PTH108 - as scandir named it
        finally:
            os.close(descriptor)


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
