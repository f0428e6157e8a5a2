"""What do we ask where people sign? Files, a memory that forgets nothing, and whatever holds a key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from custody.bitcoin.psbt import Psbt
from custody.errors import BackendError, IntegrityError, InvalidInput, Refused
from custody.history.rows import Head, Rows
from custody.history.snapshot import Written
from custody.history.state import State
from custody.record import Digest, Record, Text
from custody.units import Count, Network, UnixTime
from custody.vault.keys import AccountKey, KeyOrigin


class SignerRefused(Refused, code="SIGNER_REFUSED"):
    """A signer that will not sign what it was given."""

    message = "the signer {fingerprint} refused: {reason}"
    hint = "Have the request examined again at the station; a signer that refuses is not to be talked round."
    fingerprint: str
    reason: str


class Signer(Protocol):
    """What holds one cosigner's key and fills the PSBT Signer role (BIP 174): a device or a key file.

    Its word is never taken: whoever asked verifies the signatures that came back.
    """

    @property
    def fingerprint(self) -> bytes:
        """First four bytes of the HASH160 of the master public key (BIP 32)."""

    def account_key(self, path: tuple[int, ...]) -> tuple[KeyOrigin, AccountKey]:
        """The extended public key at `path` (raw child numbers, hardened from 2^31) and its origin."""

    def sign(self, psbt: Psbt) -> Psbt:
        """`psbt` with this signer's partial signatures added wherever its fingerprint is named, ALL only.

        Raises:
            SignerRefused: it will not sign this.
        """


class FileExists(InvalidInput, code="FILE_EXISTS"):
    """A file that stands where a new one was to be written."""

    message = "{path} exists already"
    hint = "Choose another name, or move the file away yourself: no file is ever overwritten."
    path: str


class FileMissing(InvalidInput, code="FILE_MISSING"):
    """No file where one was expected."""

    message = "there is no file {path}"
    hint = "Check the path, and that the medium is mounted."
    path: str


class FileIsFolder(InvalidInput, code="FILE_IS_FOLDER"):
    """A folder where a file was expected."""

    message = "{path} is a folder, not a file"
    hint = "Give a file in it, or several one after the other."
    path: str


class FileTooLarge(InvalidInput, code="FILE_TOO_LARGE"):
    """A file larger than anything it could rightly hold."""

    message = "{path} is larger than {limit} bytes"
    hint = "This is not a file of the kind expected here. Check the path."
    path: str
    limit: int


class FileUnusable(BackendError, code="FILE_UNUSABLE"):
    """A path that cannot be read or written."""

    message = "cannot use {path}: {reason}"
    hint = "Check the path, its permissions and the space left on the medium."
    path: str
    reason: str


class StationDamaged(IntegrityError, code="STATION_DAMAGED"):
    """A file of a station's own that does not read as what was written."""

    message = "{path}, {what}, is damaged: {problem}"
    hint = "Find out what damaged it, and keep it as it is. {then}"
    path: str
    what: str
    problem: str
    then: str


class SnapshotStart(Record):
    """That a station began with a snapshot: the state after `size` entries, by the word of these officers."""

    kind = "snapshot-start"

    size: Count
    state: Digest
    officers: tuple[Text, ...]


class Untrusted(Refused, code="STATION_UNTRUSTED"):
    """A station that has not been told which charter to trust."""

    message = "this station trusts no charter yet"
    hint = "Have the charter's 24 words read to you over a line you trust, then: custody-station trust CHARTER WORDS."


class StationState(Record):
    """Whom an offline station trusts: `charter` is the digest of the charter it was told by voice.

    `witnessed_at` is the latest witness time it has seen. What the log said, up to there, lies in rows beside it.
    `start` is None when it has folded the log from its first entry on.
    """

    kind = "station-state"

    network: Network
    origin: Text
    charter: Digest
    charter_version: Count
    witnessed_at: UnixTime
    start: SnapshotStart | None = None


class StationMemory(Protocol):
    """Where a station keeps whom it trusts and what it has seen. A power cut leaves all of the old or of the new."""

    def load(self) -> StationState | None:
        """What was saved last; None before the first time.

        Raises:
            RecordInvalid, RecordNotCanonical: what is there is damaged. Never taken as "first time".
        """

    def rows(self) -> Rows:
        """What the log says, as far as it was seen: no rows before anything was saved.

        Raises:
            StateCorrupt: they do not read.
        """

    def save(self, trusted: StationState, seen: State) -> None:
        """Keep both durably before returning; `seen` was folded over `rows`."""

    def begin(self, trusted: StationState, seen: State, head: Head, rows: Iterable[Written]) -> None:
        """Keep these rows, which stand at `head`, in place of all that were there: those of `seen`.

        Until the last of `rows` has come nothing is kept; what they raise leaves everything as it was.
        """
