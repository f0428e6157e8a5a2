"""What is the file that somebody gave, and is it of the kind that the command needs?

A file says itself what it is; a command that needs another kind says so. Sizes are bytes.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import Final, TypeVar

from custody.apps.terminal import STANDARD, read_input, shown
from custody.bitcoin.psbt import MAGIC
from custody.errors import InvalidInput
from custody.ports import FileExists
from custody.record import MAX_RECORD, Record

R = TypeVar("R", bound=Record)


class FileKind(InvalidInput, code="FILE_KIND"):
    """A file of another kind than the command works on."""

    message = "{path} is {found}; this command needs {expected}"
    hint = "Check which file you gave. custody-station inspect FILE shows what a file is."
    path: str
    found: str
    expected: str


class Paper(StrEnum):
    """What a file that reaches a station is, in the words of messages."""

    EVIDENCE = "a transfer's evidence"
    ENVELOPE = "a signed document"
    WITNESS_REQUEST = "a checkpoint to cosign"
    CHECKPOINT = "a signed checkpoint"
    STATEMENT = "an officers' paper for an address statement"
    CARD = "a payer card"
    KEY_FILE = "a key file"
    PSBT = "a PSBT"
    UNKNOWN = "nothing that this program knows"


def kind_of(data: bytes) -> Paper:
    """What a file claims to be, by how it begins. Whether it is that, reading it shows."""
    if data.startswith(MAGIC) or data.lstrip()[: len(_PSBT_TEXT)] == _PSBT_TEXT:
        return Paper.PSBT
    match = _FIRST_FIELD.match(data[:200])
    if match is not None:
        return _BY_FIRST_FIELD.get(match[1], Paper.UNKNOWN)
    return Paper.CHECKPOINT if _NOTE_SIGNATURE in data[: 64 * 1024] else Paper.UNKNOWN


_PSBT_TEXT: Final = b"cHNidP"
"""How the base64 of every PSBT begins."""
_NOTE_SIGNATURE: Final = "\n\n\u2014 ".encode()
_FIRST_FIELD: Final = re.compile(rb'\s*\{\s*"([A-Za-z]+)"\s*:')
_BY_FIRST_FIELD: Final = {
    b"asked": Paper.STATEMENT,
    b"body": Paper.EVIDENCE,
    b"charter": Paper.CARD,
    b"payload": Paper.ENVELOPE,
    b"checkpoint": Paper.WITNESS_REQUEST,
    b"ciphertext": Paper.KEY_FILE,
}
_NAMED: Final = {
    "evidence-file": Paper.EVIDENCE,
    "envelope": Paper.ENVELOPE,
    "witness-request": Paper.WITNESS_REQUEST,
    "statement-paper": Paper.STATEMENT,
    "payer-card": Paper.CARD,
    "key-file": Paper.KEY_FILE,
}


def read_paper(record: type[R], path: str, cap: int = MAX_RECORD) -> R:
    """The record in the file at `path` (`-` is stdin).

    Raises:
        FileKind: it is of another kind.
        RecordInvalid, RecordNotCanonical: it is damaged or was edited.
        FileMissing, FileTooLarge, FileUnusable: it cannot be read.
    """
    return read_as(record, read_input(path, cap), path)


def read_as(record: type[R], data: bytes, path: str) -> R:
    """The record that `data` holds; `path` is for messages."""
    expected, found = _NAMED[record.kind], kind_of(data)
    if found is not expected:
        raise FileKind(path="stdin" if path == STANDARD else shown(path), found=found, expected=expected)
    return record.from_bytes(data)


def refuse_existing(out: str) -> None:
    """Say before any question is asked, and not after, that a file stands where `out` should.

    Raises:
        FileExists: it does.
    """
    if out != STANDARD and os.path.lexists(out):
        raise FileExists(path=shown(out))
