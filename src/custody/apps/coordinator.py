"""What does a command of the coordinator work with: the store, the history, the custodian, the chain?

Reading needs the store alone. Whatever changes something gets a custodian, with this machine's clock and chance. The
chain is opened when somebody first looks at it, and the coordinator's key when it first signs: most commands need
neither, and so do not wait for one another.

Before a store is believed it is compared with what commands here have seen of it before. Whether everything stands
still is looked up here too, before a command and after it, so that every answer says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from custody.apps.chains import Chain, open_chain
from custody.apps.config import Folders, Settings, folders
from custody.apps.keys import open_person, read_key_file
from custody.apps.terminal import output
from custody.backends.clock import SystemClock
from custody.backends.files import remove_leftovers
from custody.beside import check_beside, set_right
from custody.charter.document import Charter
from custody.custodian import Custodian, Outside
from custody.envelope import DocumentSigner, Ed25519Signer
from custody.errors import CustodyError, InvalidInput
from custody.history import lists, tables
from custody.history.questions import History, TransferUnknown
from custody.history.rows import Named, Table
from custody.history.state import State
from custody.logbook import Logbook
from custody.ports import Clock, Judge, OutboxRow, Store
from custody.showing import witnessed_size
from custody.transfer.request import read_request

# The database and the consensus library take longest to load: each is imported where it is used.

LEAST_PREFIX: Final = 6
"""Hexadecimal digits that a shortened id must have."""
_DIGEST_DIGITS: Final = 64
SHORT_ID: Final = 12
"""Digits by which an error names a request."""
_SHOWN_AMBIGUOUS: Final = 10


NEWEST: Final = "newest"
"""What names the last request or transfer, where an id is asked for."""


class IdInvalid(InvalidInput, code="ID_INVALID"):
    """Text that is no id and no beginning of one."""

    message = "{shown} is no id: {least} to 64 hexadecimal digits name a transfer or a request"
    hint = "Copy the beginning of an id from: custody transfer list."
    shown: str
    least: int


class IdAmbiguous(InvalidInput, code="ID_AMBIGUOUS"):
    """The beginning of several ids."""

    message = "{count} {what}s or more begin with {prefix}"
    hint = "Give more digits; custody transfer list --json shows whole ids."
    count: int
    what: str
    prefix: str


class RequestUndrafted(InvalidInput, code="REQUEST_UNDRAFTED"):
    """A request's id where a transfer's is needed, and nothing was drafted for it yet."""

    message = "{request} is a request, and no transfer was drafted for it yet"
    hint = (
        "To go on: custody transfer draft {request}. If it is not wanted any more there is nothing to cancel: it holds "
        "no coins, and nothing can be drafted for it after {expires!t}."
    )
    request: str
    expires: int


class CoordinatorKey:
    """The coordinator's key, opened when it first signs. Implements `DocumentSigner`.

    Raises:
        FileMissing, FileKind, RecordInvalid: the key file cannot be read.
    """

    def __init__(self, path: str, passphrase_file: str | None) -> None:
        self._file = read_key_file(path)
        self._passphrase_file = passphrase_file
        self._opened: DocumentSigner | None = None

    @property
    def public_key(self) -> bytes:
        """Raw public key, 32 bytes, as the key file's header has it."""
        return self._file.header.identity

    def unlock(self) -> DocumentSigner:
        """Open the key now, before a transaction that others would have to wait for.

        Raises:
            PassphraseNeeded, PassphraseWrong, KeyFileInvalid: it does not open.
        """
        if self._opened is None:
            self._opened = open_person(self._file, self._passphrase_file)
        return self._opened

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature over `message`, 64 bytes."""
        return self.unlock().sign(message)


@dataclass(frozen=True, slots=True)
class OpenCoordinator:
    """A custodian at work, with the chain it looks at and the key it signs with."""

    custodian: Custodian
    chain: Chain
    key: CoordinatorKey


@dataclass(frozen=True, slots=True)
class Coordinator:
    """A coordinator that was set up: its folders, what was pinned there, and its store."""

    folders: Folders
    settings: Settings
    store: Store

    def history(self) -> History:
        """The history as of now, under the pinned charter."""
        return Logbook(self.store, self.settings.charter, _salt).read()

    def notes(self, sizes: Iterable[int]) -> dict[int, str | None]:
        """The checkpoints that are kept of the log at these sizes, with whoever has signed them."""
        with self.store.read() as view:
            return {each: view.checkpoint(each) for each in sizes}

    def witnessed_size(self) -> int:
        """Entries under the newest checkpoint that is kept here, if enough witnesses stand under it; else 0."""
        with self.store.read() as view:
            note = view.checkpoint()
        return witnessed_size(note, self.charter())

    def charter(self) -> Charter:
        """The charter in force, verified against the pinned digest."""
        return self.history().charter

    @contextmanager
    def work(self, passphrase_file: str | None = None) -> Iterator[OpenCoordinator]:
        """A custodian on the store and the chain. `passphrase_file` opens the coordinator's key, if it must sign.

        Raises:
            ChainMissing: nothing here sees the network's chain.
            NodeUnavailable: the node does not answer, or another command uses the chain; when it is looked at.
        """
        key = CoordinatorKey(self.settings.coordinator_key, passphrase_file or self.settings.passphrase_file)
        with self.chain() as chain:
            try:
                yield OpenCoordinator(Custodian(self.store, self.settings.charter, key, outside(chain)), chain, key)
            finally:
                self._remember()
                self.tell_frozen()

    def _remember(self) -> None:
        """Keep how far the log has come; what cannot be kept is told, and makes no failure of what was done."""
        try:
            with self.store.read() as view:
                self.folders.remember_seen(view)
        except CustodyError as error:
            output().talk(
                f"warning: the step stands, but how far the log has come could not be noted here: {error}\n"
                "  what to do: mend that before the next step; until then a store that was put back is noticed later"
            )

    def tell_frozen(self) -> None:
        """Have every answer of this command say whether everything stands still, as of now."""
        # Rows that are not the log's, or another charter: what a command is about it says itself.
        with suppress(CustodyError), self.store.read() as view:
            freeze = tables.newest_freeze(State.over(view.rows(), self.settings.charter))
            output().freeze(None if freeze is None else freeze.why)

    def chain(self) -> AbstractContextManager[Chain]:
        """The chain alone, for commands that only ask it something.

        Raises:
            ChainMissing, NodeUnavailable: as `work`.
        """
        return closing(
            open_chain(self.folders, self.settings, lambda: [row.raw for row in self.outbox() if row.was_sent])
        )

    def check_beside(self) -> None:
        """Pass when holds and outbox are what the log says.

        Raises:
            BesideLog: one is not.
        """
        with self.store.read() as view:
            check_beside(History(State.over(view.rows(), self.settings.charter)), view)

    def set_right(self) -> list[str]:
        """Make holds and outbox what the log says; what was wrong with them."""
        with self.store.transaction() as transaction:
            return set_right(History(State.over(transaction.rows(), self.settings.charter)), transaction)

    def outbox(self) -> tuple[OutboxRow, ...]:
        """What was released and is not settled, in the order it was queued."""
        with self.store.read() as view:
            return view.outbox()


def coordinator() -> Coordinator:
    """The coordinator that the running command works for.

    Raises:
        NotInitialised: none was set up there.
        RolledBack: its store is older than what was seen here before, or another one.
    """
    from custody.backends.sql import open_store  # noqa: PLC0415 - as said above

    where = folders()
    settings = where.settings()
    remove_leftovers(where.folder)
    store = open_store(where.store, where.network)
    with store.read() as view:
        where.check_seen(view)
    desk = Coordinator(where, settings, store)
    desk.tell_frozen()
    return desk


def outside(chain: Chain) -> Outside:
    """This machine's clock and chance, every judge there is, the node among them, and the chain."""
    return Outside(
        views=(chain.view,),
        relay=chain.relay,
        judges=(*judges(), *chain.judges),
        clock=own_clock(),
        below=secrets.randbelow,
        salt=_salt,
    )


def own_clock() -> Clock:
    """This machine's clock, or the one that whoever runs the program has brought."""
    found: Clock | None = click.get_current_context().find_root().obj
    return SystemClock() if found is None else found


def judges() -> tuple[Judge, ...]:
    """Who must agree with our own check of a finished transaction."""
    from custody.backends.bitcointx import BitcointxJudge  # noqa: PLC0415 - as said above
    from custody.backends.kernel import KernelJudge  # noqa: PLC0415

    return KernelJudge(), BitcointxJudge()


def find_transfer(text: str, history: History) -> bytes:
    """The id of the transfer that `text`, its first six or more hexadecimal digits, begins; `newest` is the last one.

    A request's id names the newest transfer that was drafted for it.

    Raises:
        IdInvalid: the text is too short or not hexadecimal.
        IdAmbiguous: it begins several.
        TransferUnknown: it begins none.
        RequestUndrafted: it begins a request for which there is no transfer yet.
    """
    try:
        return _find(text, history, "transfer", tables.TRANSFERS, tables.DRAFTED)
    except TransferUnknown as unknown:
        with suppress(TransferUnknown):
            return _drafted_for(find_request(text, history), history)
        raise unknown from None


def _drafted_for(request_id: bytes, history: History) -> bytes:
    """The newest transfer that was drafted for a request.

    Raises:
        RequestUndrafted: there is none.
    """
    drafts = lists.drafts_of(history, request_id)
    if not drafts:
        expires = read_request(history.request(request_id)).expires
        raise RequestUndrafted(request=request_id.hex()[:SHORT_ID], expires=expires)
    return drafts[-1].id


def find_request(text: str, history: History) -> bytes:
    """The same for a request.

    Raises:
        IdInvalid, IdAmbiguous, TransferUnknown: as for a transfer.
    """
    return _find(text, history, "request", tables.REQUESTS, tables.ASKED)


def _find(text: str, history: History, what: str, by_id: Table[Any], in_order: Table[Named]) -> bytes:
    prefix = text.strip().lower()
    if prefix == NEWEST:
        newest = next(history.state.scan(in_order, backwards=True), None)
        if newest is None:
            raise TransferUnknown(what=what, shown=prefix)
        return newest[1].value
    is_hex = not set(prefix) - set("0123456789abcdef")
    if not is_hex or not LEAST_PREFIX <= len(prefix) <= _DIGEST_DIGITS:
        raise IdInvalid(shown=ascii(text[:80]), least=LEAST_PREFIX)
    whole = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
    begun = (key for key, _ in history.state.under(by_id, whole) if key.hex().startswith(prefix))
    found = list(islice(begun, _SHOWN_AMBIGUOUS))
    if len(found) > 1:
        raise IdAmbiguous(count=len(found), what=what, prefix=prefix)
    if not found:
        raise TransferUnknown(what=what, shown=prefix)
    return found[0]


def open_own_key(path: str, passphrase_file: str | None) -> Ed25519Signer:
    """The document key of the person at this machine.

    Raises:
        PassphraseNeeded, PassphraseWrong, KeyFileInvalid: it does not open.
    """
    return open_person(read_key_file(path), passphrase_file)


def absolute(path: str) -> str:
    """A path that means the same from any folder."""
    return str(Path(path).absolute())


def _salt() -> bytes:
    return secrets.token_bytes(32)
