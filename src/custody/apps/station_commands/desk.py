"""What is a station given: a folder of its own, a clock, key files, and the files that people carry to it?

The folder holds what must not be forgotten: which charter is trusted and how far its log was seen (`station.json`), a
copy of that charter (verified again at every use), and what each witness on this machine has cosigned. One command at a
time works with it. Nothing else of the machine is read: no configuration of the coordinator, no network, no database.

A file says itself what it is; a command that needs another kind says so. Sizes are bytes.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import click
import platformdirs
from pydantic import model_validator

from custody.apps.terminal import STANDARD, read_input, read_passphrase
from custody.backends.files import FileStationMemory, create_directory, read_file, replace_atomically
from custody.backends.keyfile import MAX_KEY_FILE, KeyFile, KeyFileSigner, open_document_key
from custody.bitcoin.psbt import MAGIC
from custody.charter.document import Charter, verify_charter
from custody.envelope import Ed25519Signer, Envelope
from custody.errors import BackendError, InvalidInput, Refused
from custody.log import Frontier
from custody.ports import Clock, FileExists, FileMissing
from custody.record import MAX_RECORD, Digest, Record, Text, tagged_hash
from custody.station import Station
from custody.units import Count
from custody.words import WordsMismatch

PROGRAM: Final = "custody-station"
MAX_STATE: Final = 4096
R = TypeVar("R", bound=Record)
_Command = TypeVar("_Command", bound=Callable[..., None])


class FileKind(InvalidInput, code="FILE_KIND"):
    """A file of another kind than the command works on."""

    message = "{path} is {found}; this command needs {expected}"
    hint = "Check which file you gave. custody-station inspect FILE shows what a file is."
    path: str
    found: str
    expected: str


class KeyNotListed(Refused, code="KEY_NOT_LISTED"):
    """A key that the charter does not name, or not in this role."""

    message = "the charter lists no {role} with the key {key}"
    hint = "Check which key file you gave; custody-station export KEYFILE shows the key that belongs in the charter."
    role: str
    key: str


class StationBusy(BackendError, code="STATION_BUSY"):
    """Another command works with this station's folder."""

    message = "another command works with the station's folder {path}"
    hint = "Wait until it has ended. It may be waiting for an answer in another window."
    path: str


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


class WitnessMemory(Record):
    """The log, of this name and key, as far as a witness on this machine has cosigned it: its size and its peaks."""

    kind: ClassVar[str] = "witness-memory"

    origin: Text
    log: Digest
    witness: Text
    size: Count
    peaks: tuple[Digest, ...]

    @model_validator(mode="after")
    def _has_a_root(self) -> WitnessMemory:
        # A frontier that cannot be is a damaged file, and found as one.
        self.frontier()
        return self

    def frontier(self) -> Frontier:
        """What is remembered, as a value."""
        return Frontier(self.size, self.peaks)


class SystemClock:
    """This machine's own clock, which nobody outside sets. Implements `Clock`."""

    def now(self) -> int:
        """Unix seconds."""
        return int(time.time())


@dataclass(frozen=True, slots=True)
class Desk:
    """A station's folder and clock."""

    folder: Path
    clock: Clock

    @property
    def station(self) -> Station:
        """The station whose memory lies in the folder."""
        return Station(FileStationMemory(self.folder / "station.json"), self.clock)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work with the folder while no other command does: two could forget what each other saw.

        Raises:
            StationBusy: another one does.
            FileUnusable: the folder cannot be used, or others may write in it.
        """
        create_directory(self.folder)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StationBusy(path=shown(self.folder)) from None
            yield
        finally:
            os.close(descriptor)

    # --- the charter ------------------------------------------------------------------------------------------------

    def keep_charter(self, envelope: Envelope) -> None:
        """Keep a copy of the charter that was trusted, so that it need not be carried again."""
        replace_atomically(self._charter, envelope.to_bytes())

    def charter(self, path: str | None = None) -> Charter:
        """The trusted charter, from the file at `path` or the copy kept; verified against what was told by voice.

        Raises:
            Untrusted: nothing was told yet.
            CharterMismatch: the file, or the copy, is another charter.
        """
        trusted = self.station.state().charter
        data = read_file(self._charter, MAX_RECORD) if path is None else read_input(path, MAX_RECORD)
        return verify_charter(read_as(Envelope, data, path or str(self._charter)), trusted)

    def known_charter(self, path: str | None = None) -> Charter | None:
        """The same, or None when this station trusts no charter yet and none is given."""
        if path is None and FileStationMemory(self.folder / "station.json").load() is None:
            return None
        return self.charter(path)

    @property
    def _charter(self) -> Path:
        return self.folder / "charter.json"

    # --- what witnesses remember -------------------------------------------------------------------------------------

    def witness_state(self, charter: Charter, name: str) -> Frontier | None:
        """What the witness `name` remembers of the charter's log; None before its first checkpoint."""
        try:
            data = read_file(self._witness(charter, name), MAX_STATE)
        except FileMissing:
            return None
        return WitnessMemory.from_bytes(data).frontier()

    def remember_witnessed(self, charter: Charter, name: str, state: Frontier) -> None:
        """Keep what the witness has seen. Do it before the cosignature leaves."""
        memory = WitnessMemory(
            origin=charter.origin, log=charter.coordinator, witness=name, size=state.size, peaks=state.peaks
        )
        replace_atomically(self._witness(charter, name), memory.to_bytes())

    def _witness(self, charter: Charter, name: str) -> Path:
        # Names may hold slashes and dots; a digest may not lead anywhere else.
        key = tagged_hash("custody/witness-file/v1", f"{charter.origin}\n{charter.coordinator.hex()}\n{name}".encode())
        return self.folder / f"witness-{key[:8].hex()}.json"


def desk() -> Desk:
    """The desk of the command that is running: `--state`, else CUSTODY_STATION_DIR, else the user's data folder."""
    root = click.get_current_context().find_root()
    given = root.params.get("state")
    folder = Path(given) if given else platformdirs.user_data_path(PROGRAM, appauthor=False)
    return Desk(folder, root.obj if root.obj is not None else SystemClock())


# --- files ------------------------------------------------------------------------------------------------------------


def shown(path: Path | str) -> str:
    """A path for a message: names come from outside."""
    return "stdin" if str(path) == STANDARD else ascii(str(path))[1:-1]


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
        raise FileKind(path=shown(path), found=found, expected=expected)
    return record.from_bytes(data)


def refuse_existing(out: str) -> None:
    """Say before any question is asked, and not after, that a file stands where `out` should.

    Raises:
        FileExists: it does.
    """
    if out != STANDARD and os.path.lexists(out):
        raise FileExists(path=shown(out))


@contextmanager
def words_unseen() -> Iterator[None]:
    """Do not tell what words a file would answer to: the next thing typed must not be what the file wants.

    Raises:
        WordsMismatch: other words were typed; without the file's.
    """
    try:
        yield
    except WordsMismatch as error:
        raise WordsMismatch(expected=error.expected, actual="other words, which are not shown here") from None


# --- keys -------------------------------------------------------------------------------------------------------------


def read_key_file(path: str) -> KeyFile:
    """The key file at `path`, still locked."""
    return read_paper(KeyFile, path, MAX_KEY_FILE)


def open_person(file: KeyFile, passphrase_file: str | None) -> Ed25519Signer:
    """The document key of a person, the coordinator or a witness.

    Raises:
        PassphraseNeeded, PassphraseWrong, KeyFileInvalid: it does not open.
    """
    return open_document_key(file, _passphrase(file, passphrase_file))


def open_cosigner(file: KeyFile, passphrase_file: str | None, *, is_risk_accepted: bool) -> KeyFileSigner:
    """The software cosigner inside. `is_risk_accepted` says that coins of value may be signed for with a file.

    Raises:
        PassphraseNeeded, PassphraseWrong, KeyFileInvalid, NetworkUnsafe: it does not open.
    """
    return KeyFileSigner(file, _passphrase(file, passphrase_file), unsafe_mainnet_key_file=is_risk_accepted)


def unsafe_option() -> Callable[[_Command], _Command]:
    """`--unsafe-mainnet-key-file`, given to the command as `is_risk_accepted`."""
    return click.option(
        "--unsafe-mainnet-key-file",
        "is_risk_accepted",
        is_flag=True,
        help="Accept that coins of value are signed for with a key in a file; only regtest needs no such word.",
    )


def _passphrase(file: KeyFile, path: str | None) -> bytes:
    return read_passphrase(path, f"the key file {file.header.name}")
