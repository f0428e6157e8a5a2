"""Which of a coordinator's files cannot be written, and which can others write?

A store that cannot be written stops everything half-way; a file or folder that others can write is theirs: with
`config.toml` they exchange the charter's digest, with a folder whatever stands in it. Only modes and owners are looked
at. Nothing is changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from custody.apps.config import Folders, Settings
from custody.apps.terminal import shown
from custody.errors import IntegrityError


class FilesUnwritable(IntegrityError, code="FILES_UNWRITABLE"):
    """Files of a coordinator that it cannot write."""

    message = "cannot be written: {paths}"
    hint = (
        "Give them back to whoever runs the coordinator, with the right to write (chown, chmod u+w), or mount the disk."
    )
    paths: str


class FilesExposed(IntegrityError, code="FILES_EXPOSED"):
    """Files of a coordinator that somebody else can write."""

    message = "others can write: {paths}"
    hint = (
        "Take that right away (chown, chmod go-w), then find out what was changed: compare the charter's words, and "
        "custody log verify --deep."
    )
    paths: str


def refuse_unwritable(where: Folders) -> str:
    """Say that the store, and what is kept beside it, can be written.

    Raises:
        FilesUnwritable: with those that cannot.
    """
    found = [shown(each) for each in _standing(_written(where)) if not _is_writable(each)]
    if found:
        raise FilesUnwritable(paths=", ".join(found))
    return "store and folders can be written"


def refuse_exposed(where: Folders, settings: Settings) -> str:
    """Say that nobody else can write what the coordinator goes by.

    Raises:
        FilesExposed: with what others can write.
    """
    files = [*_written(where), *_gone_by(where, settings)]
    # Who can write a folder can put another file in the place of one that is closed to them.
    looked_at = _standing(dict.fromkeys([*files, *(each.parent for each in files)]))
    found = [shown(each) for each in looked_at if _is_others(each)]
    if found:
        raise FilesExposed(paths=", ".join(found))
    return "nobody else can write store, configuration, or key and passphrase files"


def _written(where: Folders) -> list[Path]:
    return [where.folder, where.store, where.folder / "seen.json", where.chain]


def _gone_by(where: Folders, settings: Settings) -> list[Path]:
    named = (settings.coordinator_key, settings.passphrase_file, settings.cookie, settings.rpc_password_file)
    configurations = (where.root / "config.toml", where.folder / "config.toml")
    return [*configurations, *(Path(each) for each in named if each is not None)]


def _standing(paths: Iterable[Path]) -> Iterator[Path]:
    return (each for each in paths if each.exists())


def _is_writable(path: Path) -> bool:
    found = path.stat()
    # Root may write whatever it likes, and takes what was closed on purpose for open.
    is_closed = found.st_uid == os.geteuid() and not found.st_mode & stat.S_IWUSR
    return not is_closed and os.access(path, os.W_OK)


def _is_others(path: Path) -> bool:
    found = path.stat()
    # In a folder like /tmp others may add files, and may not touch ours.
    is_shared = stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
    is_open = bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not is_shared
    return is_open or found.st_uid not in {0, os.geteuid()}
