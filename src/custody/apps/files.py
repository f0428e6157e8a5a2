"""What is the file that somebody gave, and is it of the kind that the command needs?

Every file says itself what it is, and nothing is guessed from its name or from what else stands in it:

- a record that travels alone begins with its `_type`, such as `custody/payer-card/v1` (`record.FileRecord`);
- a signed document is a DSSE envelope, whose `payloadType` names what it carries (`custody.envelope`);
- a PSBT begins with its magic bytes, in whichever form another program wrote it (BIP 174, `bitcoin.psbt_forms`), and a
  checkpoint ends in signature lines (C2SP signed-note).

What a file claims to be is not believed: reading it checks the same field again, and everything else. Sizes are bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from custody.apps.terminal import STANDARD, output, read_input, shown
from custody.backends import files
from custody.bitcoin.psbt import MAGIC
from custody.bitcoin.psbt_forms import Unwrapped, is_wrapped_psbt, unwrap
from custody.envelope import Envelope, payload_type
from custody.errors import InvalidInput
from custody.ports import FileTooLarge
from custody.record import MAX_RECORD, FileRecord, Record
from custody.saved import looks_like, text_in

F = TypeVar("F", bound=FileRecord)


class WrongFile(InvalidInput, code="FILE_KIND"):
    """A file of another kind than the command works on."""

    message = "{path} is {found}; this command needs {expected}"
    hint = "Give it to {taken_by}. custody-station inspect FILE shows what any file says."
    path: str
    found: str
    taken_by: str
    expected: str

    def advice(self) -> str:
        """Where the file belongs, if there is such a place."""
        text = super().advice() if self.taken_by else "Check which file you gave: no command here takes it."
        return text[:1].upper() + text[1:]


class FileKind(StrEnum):
    """What a file is, in the words of messages."""

    EVIDENCE = "a transfer's evidence"
    STATEMENT_PAPER = "an officers' paper for an address statement"
    CARD = "a payer card"
    WITNESS_REQUEST = "a checkpoint to cosign"
    KEY_FILE = "a key file"
    CHARTER = "a charter"
    REQUEST = "a signed request for a transfer"
    APPROVAL = "an officer's signed yes or no"
    WITHDRAWAL = "a signed withdrawal of a transfer"
    COIN_RELEASE = "a release of a coin"
    STATEMENT = "a signed address statement"
    CONFIRMATION = "an officer's confirmation of a sealed state"
    DOCUMENT = "a signed document of a kind that is not known here"
    CHECKPOINT = "a signed checkpoint"
    LOG = "the log for stations"
    SNAPSHOT = "a snapshot for stations"
    PSBT = "a PSBT"
    EMPTY = "empty"
    UNKNOWN = "nothing that this program knows"

    @property
    def is_signed(self) -> bool:
        """Whether it is an envelope."""
        return self in _SIGNED.values() or self is FileKind.DOCUMENT

    @property
    def taken_by(self) -> str:
        """The commands that it is for; empty when there is none."""
        return _TAKEN_BY.get(self, "")


_ALONE: Final = {
    "evidence-file": FileKind.EVIDENCE,
    "statement-paper": FileKind.STATEMENT_PAPER,
    "payer-card": FileKind.CARD,
    "request-paper": FileKind.REQUEST,
    "withdrawal-paper": FileKind.WITHDRAWAL,
    "coin-release-paper": FileKind.COIN_RELEASE,
    "witness-request": FileKind.WITNESS_REQUEST,
    "key-file": FileKind.KEY_FILE,
    "log-file": FileKind.LOG,
    "snapshot": FileKind.SNAPSHOT,
}
"""By the kind of record."""
_SIGNED: Final = {
    "charter": FileKind.CHARTER,
    "approval": FileKind.APPROVAL,
    "address-statement": FileKind.STATEMENT,
    "state-confirmed": FileKind.CONFIRMATION,
}
"""By the kind of record in the envelope."""
_TAKEN_BY: Final = {
    FileKind.EVIDENCE: "custody-station approve and custody-station sign",
    FileKind.STATEMENT_PAPER: "custody-station statement",
    FileKind.CARD: "custody-station verify-statement, after the statement",
    FileKind.WITNESS_REQUEST: "custody-station witness",
    FileKind.KEY_FILE: "the --key of a command that signs, and custody-station export",
    FileKind.CHARTER: "custody-station trust and sign-charter, custody charter merge and custody init",
    FileKind.REQUEST: "custody transfer submit",
    FileKind.APPROVAL: "custody transfer approve",
    FileKind.COIN_RELEASE: "custody-station release-coin, and once signed to custody coin release --signed",
    FileKind.STATEMENT: "custody-station verify-statement, with the payer card",
    FileKind.CHECKPOINT: "custody log cosign",
    FileKind.LOG: "custody-station catch-up",
    FileKind.SNAPSHOT: "custody-station catch-up",
    FileKind.CONFIRMATION: "custody log snapshot",
    FileKind.PSBT: "custody transfer combine and custody transfer import",
}
_NOTE_SIGNATURE: Final = "\n\n\u2014 ".encode()
_TYPE: Final = re.compile(rb'\s*\{\s*"_type"\s*:\s*"custody/([a-z-]{1,40})/v1"')
_PAYLOAD_TYPE: Final = re.compile(rb'"payloadType"\s*:\s*"([!-~]{1,120}?)"')


def kind_of(data: bytes) -> FileKind:
    """What a file claims to be. Whether it is that, reading it shows."""
    if data.startswith(MAGIC) or is_wrapped_psbt(data):
        return FileKind.PSBT
    if alone := _TYPE.match(data):
        return _ALONE.get(alone[1].decode("ascii"), FileKind.UNKNOWN)
    begins = data.lstrip()[:1]
    if not begins:
        return FileKind.EMPTY
    if begins == b"{":
        signed = _PAYLOAD_TYPE.search(data)
        return FileKind.UNKNOWN if signed is None else _by_payload_type(signed[1].decode("ascii"))
    return FileKind.CHECKPOINT if _NOTE_SIGNATURE in data[: 64 * 1024] else FileKind.UNKNOWN


def _by_payload_type(found: str) -> FileKind:
    kinds = (kind for name, kind in _SIGNED.items() if found == f"application/vnd.custody.{name}.v1+json")
    return next(kinds, FileKind.DOCUMENT)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_alone(record: type[F], path: str, cap: int = MAX_RECORD) -> F:
    """The record in the file at `path` (`-` is stdin), which travels without an envelope.

    Raises:
        WrongFile: it is of another kind.
        RecordInvalid, RecordNotCanonical: it is damaged or was edited.
        FileMissing, FileTooLarge, FileUnusable: it cannot be read.
    """
    return record.from_bytes(_read(path, cap, lambda data: refuse_other(data, path, _ALONE[record.kind])))


def alone_in(data: bytes, record: type[F], path: str) -> F:
    """The record that `data` holds; `path` is for messages. Raises as `read_alone`."""
    refuse_other(data, path, _ALONE[record.kind])
    return record.from_bytes(data)


def read_signed(record: type[Record], path: str) -> Envelope:
    """The envelope of such a record in the file at `path` (`-` is stdin). Who signed it is not looked at.

    Raises:
        WrongFile: it is of another kind.
        RecordInvalid, RecordNotCanonical: it is damaged or was edited.
        FileMissing, FileTooLarge, FileUnusable: it cannot be read.
    """
    return signed_in(read_input(path, MAX_RECORD), record, path)


def signed_in(data: bytes, record: type[Record], path: str) -> Envelope:
    """The envelope that `data` holds; `path` is for messages. Raises as `read_signed`."""
    expected = _SIGNED[record.kind]
    refuse_other(data, path, expected)
    envelope = Envelope.from_bytes(data)
    if envelope.payloadType != payload_type(record):
        raise wrong_file(path, _by_payload_type(envelope.payloadType), expected)
    return envelope


def read_foreign(path: str, cap: int, expected: FileKind, what: str = "") -> bytes:
    """What stands in the file at `path` (`-` is stdin), when it may be what is expected: that, or nothing of ours.

    What other programs write need not say what it is, so reading it shows; `what` it should be is for messages.

    Raises:
        WrongFile: it says that it is something else.
        FileMissing, FileTooLarge, FileUnusable: it cannot be read.
    """

    def refuse(data: bytes) -> None:
        found = kind_of(data)
        if found not in {expected, FileKind.UNKNOWN, FileKind.EMPTY}:
            raise wrong_file(path, found, what or expected)

    return _read(path, cap, refuse)


def read_psbt(path: str, cap: int) -> bytes:
    """The PSBT in the file at `path` (`-` is stdin), in its binary or base64 spelling.

    Other programs wrap it in other forms; in which one it came is told.

    Raises:
        WrongFile: it says that it is something else.
        PsbtEncoding, FileNotText: it holds no PSBT, or more than one.
        FileMissing, FileTooLarge, FileUnusable: it cannot be read.
    """
    return psbt_in(read_foreign(path, cap, FileKind.PSBT), path)


def psbt_in(data: bytes, path: str) -> bytes:
    """The PSBT that `data` holds; `path` is for messages. Raises as `read_psbt`."""
    return _unwrapped(data, path).psbt


def read_psbt_or_transaction(path: str, cap: int) -> bytes:
    """The same, or a transaction in hexadecimal. Raises as `read_psbt`."""
    return _unwrapped(read_foreign(path, cap, FileKind.PSBT, "a PSBT or a transaction"), path).data


def _unwrapped(data: bytes, path: str) -> Unwrapped:
    found = unwrap(data)
    if found.form:
        output().talk(f"{_named(path)}: read from {found.form}")
    return found


def read_text(path: str, cap: int, what: str, expected: FileKind = FileKind.UNKNOWN) -> str:
    """The text in the file at `path` (`-` is stdin), as `custody.saved` reads it; `what` it should be is for messages.

    Raises:
        WrongFile: it is a file of ours, of another kind than `expected`.
        FileNotText: it is not UTF-8; what it looks like is told.
        FileMissing, FileTooLarge, FileUnusable: it cannot be read.
    """
    data = read_foreign(path, cap, expected, what if expected is FileKind.UNKNOWN else "")
    return text_in(data, what)


def refuse_other(data: bytes, path: str, expected: FileKind) -> None:
    """Pass when `data` claims to be what is expected.

    Raises:
        WrongFile: it does not.
    """
    found = kind_of(data)
    if found is expected:
        return
    saved_as = _saved_as(data) if found is FileKind.UNKNOWN else None
    if saved_as is not None:
        # A record has one spelling: it is copied, and never saved from an editor.
        raise WrongFile(path=_named(path), found=saved_as, taken_by="", expected=expected)
    raise wrong_file(path, found, expected)


def _saved_as(data: bytes) -> str | None:
    """What an editor or a mail program made of a file, if it was one; None when nothing shows that."""
    if data.startswith(_BYTE_ORDER_MARK):
        return "a text that an editor has saved again, with a byte order mark"
    found = looks_like(data)
    return None if found is None else f"nothing that this program knows: it looks like {found}"


_BYTE_ORDER_MARK: Final = "\ufeff".encode()


def _read(path: str, cap: int, refuse: Callable[[bytes], None]) -> bytes:
    """The file's bytes. What is too large for this command may be a file for another, which is said first."""
    data = read_input(path, MAX_RECORD)
    refuse(data)
    if len(data) > cap:
        raise FileTooLarge(path=_named(path), limit=cap)
    return data


def wrong_file(path: str, found: FileKind, expected: str) -> WrongFile:
    """The error that says what the file at `path` is, where it belongs, and what is needed instead."""
    return WrongFile(path=_named(path), found=found.value, taken_by=found.taken_by, expected=expected)


def _named(path: str) -> str:
    return "stdin" if path == STANDARD else shown(path)


def refuse_existing(out: str) -> None:
    """Say before any question is asked, and not after, that a file stands where `out` should.

    Raises:
        FileExists: it does.
    """
    if out != STANDARD:
        files.refuse_existing(Path(out))
