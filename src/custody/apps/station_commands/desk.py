"""What does a station work with: a folder of its own, a clock, and what people must not be told first?

The folder holds what must not be forgotten: which charter is trusted and how far its log was seen (`station.db`), a
copy of that charter (compared with it at every use), and what each witness on this machine has cosigned. One command
at a time works with it. Nothing else of the machine is read: no configuration of the coordinator, no network, and no
database.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

import click
import platformdirs
from pydantic import model_validator

from custody.apps.files import WrongFile, signed_in
from custody.apps.terminal import output, read_input, shown
from custody.backends.clock import SystemClock
from custody.backends.files import create_directory, read_file, remove_leftovers, replace_atomically
from custody.backends.station import FileStationMemory
from custody.charter.document import Charter, verify_charter
from custody.envelope import Envelope
from custody.errors import BackendError, CustodyError
from custody.history.state import State
from custody.history.tables import newest_freeze
from custody.log import Frontier
from custody.ports import Clock, FileMissing, FileUnusable, StationDamaged, Untrusted
from custody.record import MAX_RECORD, Digest, Record, RecordInvalid, RecordNotCanonical, Text, tagged_hash
from custody.units import Count

if TYPE_CHECKING:
    from custody.station import Station

_CHARTER_AGAIN: Final = (
    "Then trust the charter again, from its signed file and the words told by voice: "
    "custody-station trust. What this station has seen of the log stays."
)
_WITNESS_STOPS: Final = (
    "Cosign nothing more with this key: what it has cosigned is forgotten, and two histories could be. Restore the "
    "file, or have a charter made with another witness."
)
PROGRAM: Final = "custody-station"
MAX_STATE: Final = 4096
_Command = TypeVar("_Command", bound=Callable[..., None])


class StationBusy(BackendError, code="STATION_BUSY"):
    """Another command works with this station's folder."""

    message = "another command works with the station's folder {path}"
    hint = "Wait until it has ended. It may be waiting for an answer in another window."
    path: str


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


@dataclass(frozen=True, slots=True)
class Desk:
    """A station's folder and clock."""

    folder: Path
    clock: Clock

    @property
    def station(self) -> Station:
        """The station whose memory lies in the folder."""
        from custody.station import Station  # noqa: PLC0415 - it takes long to load, and whoever only looks needs none

        return Station(self._memory, self.clock)

    @property
    def is_trusting(self) -> bool:
        """Whether a charter is trusted here."""
        return self._memory.load() is not None

    def tell_frozen(self) -> None:
        """Have every answer of this command say whether everything stands still, as far as the log was shown here."""
        # Nothing trusted yet, or a memory that is damaged: what a command needs of it, it says itself.
        with suppress(CustodyError):
            known = self._memory.load()
            if known is not None:
                freeze = newest_freeze(State.over(self._memory.rows(), known.charter))
                output().freeze(None if freeze is None else freeze.why)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work with the folder while no other command does: two could forget what each other saw.

        Raises:
            StationBusy: another one does.
            FileUnusable: the folder cannot be used, or others may write in it.
        """
        create_directory(self.folder)
        descriptor = self._lock()
        try:
            remove_leftovers(self.folder)
            yield
        finally:
            os.close(descriptor)

    def _lock(self) -> int:
        """The file that whoever works with the folder holds; closing it lets go.

        Raises:
            StationBusy, FileUnusable: as `alone`.
        """
        path = self.folder / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise
        except BlockingIOError:
            raise StationBusy(path=shown(self.folder)) from None
        except OSError as error:
            raise FileUnusable(path=shown(path), reason=error.strerror or type(error).__name__) from None
        return descriptor

    @contextmanager
    def _own(self, path: Path, what: str, then: str) -> Iterator[None]:
        """Read a file of the station's own: what is wrong with it is told of it by name.

        Raises:
            StationDamaged: it is not what this program wrote.
        """
        try:
            yield
        except (RecordInvalid, RecordNotCanonical, WrongFile) as error:
            raise StationDamaged(path=shown(path), what=what, problem=str(error), then=then) from None

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
        known = self._memory.load()
        if known is None:
            raise Untrusted
        if path is None:
            # The copy of what `trust` has verified: that it is still the same is all that has to be asked.
            with self._own(self._charter, "the charter's copy", _CHARTER_AGAIN):
                kept = signed_in(read_file(self._charter, MAX_RECORD), Charter, str(self._charter))
                return Charter.unsafe_from_verified(kept.body, known.charter)
        return verify_charter(signed_in(read_input(path, MAX_RECORD), Charter, path), known.charter)

    def known_charter(self, path: str | None = None) -> Charter | None:
        """The same, or None when this station trusts no charter yet and none is given."""
        if path is None and not self.is_trusting:
            return None
        return self.charter(path)

    @property
    def _memory(self) -> FileStationMemory:
        return FileStationMemory(self.folder / "station.db")

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
        with self._own(self._witness(charter, name), f"what the witness {name} has cosigned", _WITNESS_STOPS):
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
    found = Desk(folder, root.obj if root.obj is not None else SystemClock())
    found.tell_frozen()
    return found


def unsafe_option() -> Callable[[_Command], _Command]:
    """`--unsafe-mainnet-key-file`, given to the command as `is_risk_accepted`."""
    return click.option(
        "--unsafe-mainnet-key-file",
        "is_risk_accepted",
        is_flag=True,
        help="Accept that coins of value are signed for with a key in a file; only regtest needs no such word.",
    )
