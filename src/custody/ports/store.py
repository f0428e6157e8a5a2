"""What do we ask of the store? A log that only grows, rows beside it, holds on coins, and an outbox."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from custody.bitcoin.transaction import OutPoint
from custody.errors import BackendError, IntegrityError, InvalidInput, Refused
from custody.history.rows import Rows, StateCorrupt, Table
from custody.history.snapshot import Written
from custody.history.state import State
from custody.log import Frontier, LogEntry
from custody.units import Network
from custody.vault.coins import ScriptPlace


class UtxoReserved(Refused, code="UTXO_RESERVED"):
    """A coin that another transfer holds."""

    message = "{outpoint} is held by transfer {holder}"
    hint = "Draft with other coins, or replace or cancel the transfer that holds this one."
    outpoint: OutPoint
    holder: str


class NotQueued(Refused, code="NOT_QUEUED"):
    """A transfer that is not in the outbox, or no longer."""

    message = "transfer {transfer} is not in the outbox"
    hint = "Look at the transfer's state: another coordinator may have settled it, or it was never released."
    transfer: str


class StoreBusy(BackendError, code="STORE_BUSY"):
    """Another process has the store for longer than we wait."""

    message = "the store {store} is in use and stayed so for {seconds} seconds; nothing was changed"
    hint = "Try again. If it stays busy, look for a process that hangs while it holds the store."
    store: str
    seconds: int


class StoreFailed(BackendError, code="STORE_FAILED"):
    """The medium below the store failed: full, read-only, unplugged."""

    message = "the store {store} failed: {reason}"
    hint = "Check the disk and the permissions of the store's directory, then look at the present state and try again."
    store: str
    reason: str


class StoreMissing(InvalidInput, code="STORE_MISSING"):
    """No store where one was expected."""

    message = "there is no store at {store}"
    hint = "Check the path and the network. A new store is made with 'custody init', never by opening one."
    store: str


class StoreOutdated(InvalidInput, code="STORE_OUTDATED"):
    """A store whose tables an older version of this program made."""

    message = "the store {store} is at revision {found}; this program needs {needed}"
    hint = "Back the store up, then run 'custody store upgrade'."
    store: str
    found: str
    needed: str


class StoreVersion(InvalidInput, code="STORE_VERSION"):
    """A store of a format this program does not know: newer, or none of ours."""

    message = "the store {store} has format {found}, which this program does not know"
    hint = "Use the version of this program that made the store, or a newer one."
    store: str
    found: str


class StoreCorrupt(IntegrityError, code="STORE_CORRUPT"):
    """Parts of the store that do not agree with each other. Damage to a log entry itself is LOG_CORRUPT."""

    message = "the store {store} is damaged: {what}"
    hint = "Stop every coordinator, keep the file as it is, and restore a copy that the newest checkpoint covers."
    store: str
    what: str


class StateGone(BackendError, code="STATE_GONE"):
    """A state so old that its rows are not kept any more."""

    message = "the store {store} keeps what was so from {oldest} entries on; asked was what was so after {size}"
    hint = "Ask again: what was read before has been overtaken by many entries."
    store: str
    size: int
    oldest: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A released transaction that is to be sent, any number of times, until it is settled.

    `raw` is the serialized transaction: with it anybody can broadcast. `queued_at` is Unix seconds. `was_sent` says
    that a node took it at least once; `last_error` is how the last attempt ended, empty when it went well.
    """

    transfer_id: bytes
    raw: bytes
    queued_at: int
    attempts: int = 0
    was_sent: bool = False
    last_error: str = ""


class StoreView(Protocol):
    """One state of the store, consistent for as long as the view is open. Keep it short: writers wait for readers."""

    @property
    def size(self) -> int:
        """Number of log entries."""

    @property
    def root(self) -> bytes:
        """Merkle root over all entries, 32 bytes (RFC 9162, 2.1.1)."""

    def frontier(self) -> Frontier:
        """What appending needs to know of the log: its size and the roots of its full subtrees."""

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LogEntry]:
        """Entries from index `start` up to but not including `stop`, streamed in order; each is checked as it is read.

        Raises:
            LogCorrupt: an entry is missing or does not hash to what was recorded when it was appended.
        """

    def leaves(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Leaf hashes of the same entries, as recorded: enough for Merkle proofs."""

    def root_at(self, size: int) -> bytes:
        """Merkle root over the first `size` entries, as recorded.

        Raises:
            StateChanged: the log is shorter.
        """

    def rows(self) -> Rows:
        """What the log says is so, as of this view; it may still be asked when the view is closed."""

    def document(self, digest: bytes) -> bytes | None:
        """The document that was kept under this digest: a raw transaction under its txid. Check it before use."""

    def watched(self, scripts: Collection[bytes]) -> dict[bytes, ScriptPlace]:
        """Those of `scripts` that are watched, and whose they are."""

    def windows(self) -> dict[tuple[bytes, int], int]:
        """The first index that is not watched, of each vault and branch that is."""

    def holder(self, outpoint: OutPoint) -> bytes | None:
        """Who holds `outpoint`; None when it is free."""

    def holds(self) -> dict[OutPoint, bytes]:
        """Every coin that is held, and by whom."""

    def held(self, holder: bytes) -> tuple[OutPoint, ...]:
        """What `holder` holds, sorted."""

    def outbox(self) -> tuple[OutboxRow, ...]:
        """All rows, in the order they were queued."""

    def queued(self, transfer_id: bytes) -> OutboxRow | None:
        """The row of one transfer, when it is in the outbox."""

    def checkpoint(self, size: int | None = None) -> str | None:
        """The signed checkpoint kept for the log of `size` entries, or the largest one; None when there is none."""

    def checkpoints(self, most: int | None = None) -> Iterator[str]:
        """All that are kept, or `most` of them, the largest first."""


class StoreTransaction(StoreView, Protocol):
    """One atomic change. What it appended, held and queued becomes durable together, or not at all."""

    def append(self, entry: LogEntry) -> None:
        """Add `entry` at the end of the log.

        Raises:
            StateChanged: `entry.head.index` is not the log's size.
            LogCorrupt: its body does not hash to what its head says.
        """

    def save(self, state: State) -> None:
        """Keep the rows of a state that was folded over this store's rows, once, after the entries it was folded from.

        Raises:
            StateChanged: it is of another log than the one that stands here by now.
        """

    def replace_rows(self, scratch: Scratch) -> StateCorrupt | None:
        """Have the rows be those of `scratch`, into which the log was folded; the first that was another, if any.

        Raises:
            StateChanged: it is of another log.
        """

    def watch(self, vault_id: bytes, branch: int, start: int, scripts: Sequence[bytes]) -> None:
        """Watch the scripts of a vault's branch from index `start` on, beyond those that are watched already.

        Raises:
            StateChanged: its window ends before `start`.
        """

    def keep_document(self, digest: bytes, data: bytes) -> None:
        """Keep a document under its digest; one that is there already stays."""

    def erase_body(self, index: int) -> None:
        """Forget the body and the salt of entry `index`; its head stays, and so does every proof.

        Raises:
            StateChanged: there is no such entry.
        """

    def hold(self, outpoints: Iterable[OutPoint], holder: bytes) -> None:
        """Reserve all of `outpoints` for `holder`, or none.

        A holder is a group of conflicting transfers, named by the digest of its first. A replacement holds under the
        name of that group, so it may keep what its predecessors hold; holding the same coin again changes nothing.

        Raises:
            UtxoReserved: another holder has one of them.
        """

    def release_holds(self, holder: bytes) -> None:
        """Free everything `holder` holds."""

    def queue(self, transfer_id: bytes, raw: bytes, queued_at: int) -> None:
        """Put a transaction into the outbox; queueing the same bytes again changes nothing.

        Raises:
            StateChanged: other bytes are queued for this transfer.
        """

    def attempted(self, transfer_id: bytes, error: str | None) -> None:
        """Record one attempt to send: `error` says why it failed, None that a node took it.

        Raises:
            NotQueued: the transfer is not there.
        """

    def dequeue(self, transfer_id: bytes) -> None:
        """Take a transfer that is settled or dead out of the outbox.

        Raises:
            NotQueued: the transfer is not there.
        """

    def save_checkpoint(self, note: str) -> None:
        """Keep a signed checkpoint (C2SP signed note) of this log; one of the same size is replaced.

        Its signatures are not looked at.

        Raises:
            CheckpointInvalid: the text is no checkpoint.
            StateChanged: it is of another log, of a longer one, or names another root than this log had at that size.
        """


class Scratch(Protocol):
    """Rows to fold into, which nobody else sees. Unlike other bases they change: only the newest state may be read."""

    @property
    def rows(self) -> Rows:
        """What they are by now."""

    def add(self, state: State) -> State:
        """Take in what a state has above these rows; the same state over them."""


class Store(Protocol):
    """Where a coordinator keeps its log, the coins in use and what is to be sent.

    Any number of processes may use one store at once. A transaction is alone from its first statement on, so what it
    reads stays true until it ends. An exception that leaves the block undoes all of it. A transaction is not opened
    inside another one.

    Raises:
        StoreBusy: another process had the store for too long.
        StoreFailed: the medium failed.
        StoreCorrupt, LogCorrupt: what is stored disagrees with itself.
    """

    @property
    def network(self) -> Network: ...

    @property
    def origin(self) -> str:
        """The log's name in checkpoints (C2SP tlog-checkpoint, origin line)."""

    def transaction(self) -> AbstractContextManager[StoreTransaction]:
        """One atomic change."""

    def read(self) -> AbstractContextManager[StoreView]:
        """One consistent state."""

    def scratch(self) -> AbstractContextManager[Scratch]:
        """Empty rows to fold a log into again, gone when the block ends. Others read and write meanwhile."""

    def difference(self, scratch: Scratch, compared: Collection[Table[Any]]) -> StateCorrupt | None:
        """The first row of these tables that is not what was folded into `scratch`; None when all are the same.

        Compared is what stood here when the log was as long as the one that was folded.

        Raises:
            StateGone: that is too long ago.
        """

    def sealed_rows(self, size: int) -> Iterator[Written]:
        """The rows that the digest of the state covers, as they were after `size` entries, by table and key.

        Raises:
            StateGone: that is too long ago.
        """

    def verify(self) -> Frontier:
        """Recompute every hash, root and checkpoint from the entries' bytes; the size and root that were found.

        Raises:
            LogCorrupt: with the index of the first entry that is wrong or missing.
            StoreCorrupt: the rest of the store disagrees with the log.
        """
