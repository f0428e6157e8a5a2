"""A store that keeps everything in memory, for tests that are about something else.

It passes the same contract suite as the stores on disk and shares no code with them. Nothing is durable, and it is for
one process; a transaction works on a copy, so its cost grows with the log. Regtest only.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from custody.bitcoin.script import NetworkMismatch
from custody.bitcoin.transaction import OutPoint
from custody.history import kinds, tables
from custody.history.difference import encoded, first_difference
from custody.history.maps import MapRows
from custody.history.rows import NoRows, Rows, StateCorrupt, Table
from custody.history.snapshot import Written, sealed_rows
from custody.history.state import State
from custody.log import Frontier, LogCorrupt, LogEntry, SignedCheckpoint, check_name, open_body, withhold
from custody.ports import (
    NotQueued,
    OutboxRow,
    Scratch,
    StateChanged,
    StateGone,
    StoreBusy,
    StoreCorrupt,
    StoreTransaction,
    StoreView,
    UtxoReserved,
    plain_reason,
)
from custody.units import Network
from custody.vault.coins import ScriptPlace
from custody.vault.descriptor import Branch

_NAME: Final = "(in memory)"


class InMemoryStore:
    """Implements `Store`. Two threads may use it; the second waits `busy_seconds` for the first.

    Raises:
        NetworkMismatch: for any network but regtest.
        CheckpointInvalid: `origin` cannot name a log.
    """

    def __init__(self, network: Network, origin: str, busy_seconds: int = 10) -> None:
        if network is not Network.REGTEST:
            raise NetworkMismatch(what="a store in memory", expected=Network.REGTEST.value, actual=network.value)
        self._origin = check_name(origin)
        self._busy_seconds = busy_seconds
        self._lock = threading.Lock()
        self._state = _State()

    @property
    def network(self) -> Network:
        """Regtest."""
        return Network.REGTEST

    @property
    def origin(self) -> str:
        """The log's name in checkpoints."""
        return self._origin

    @contextmanager
    def transaction(self) -> Iterator[StoreTransaction]:
        """One atomic change: the copy it worked on becomes the state when the block ends without an exception."""
        if not self._lock.acquire(timeout=self._busy_seconds):
            raise StoreBusy(store=_NAME, seconds=self._busy_seconds)
        try:
            state = self._state.copy()
            yield _Transaction(state, self._origin)
            self._state = state
        finally:
            self._lock.release()

    @contextmanager
    def read(self) -> Iterator[StoreView]:
        """One consistent state: no transaction changes it once it stands."""
        yield _View(self._state, self._origin)

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        """Empty rows to fold into."""
        yield _Scratch()

    def difference(self, scratch: Scratch, compared: Collection[Table[Any]]) -> StateCorrupt | None:
        """The first row of these tables that is not what was folded into `scratch`."""
        return first_difference(encoded(scratch.rows), encoded(self._state.rows), compared)

    def sealed_rows(self, size: int) -> Iterator[Written]:
        """The rows that the digest covers, as they were after `size` entries: just behind a seal, or now."""
        state = self._state
        rows = state.rows if size == state.frontier.size else state.behind_seals.get(size)
        if rows is None:
            raise StateGone(store=_NAME, size=size, oldest=max(state.behind_seals, default=state.frontier.size))
        return sealed_rows(rows)

    def verify(self) -> Frontier:
        """Recompute everything."""
        state = self._state
        frontier = Frontier()
        roots = [frontier.root]
        for index, entry in enumerate(state.entries):
            _check_entry(entry, index)
            frontier = frontier.append(entry.leaf)
            roots.append(frontier.root)
        if (roots, frontier) != (state.roots, state.frontier):
            raise StoreCorrupt(store=_NAME, what="the log's head is not what its entries give")
        for size, note in state.notes.items():
            checkpoint = SignedCheckpoint.parse(note).checkpoint
            if size >= len(roots) or (checkpoint.size, checkpoint.root) != (size, roots[size]):
                raise StoreCorrupt(store=_NAME, what=f"the checkpoint of size {size} is not of this log")
        return frontier


@dataclass(slots=True)
class _State:
    """Everything there is. `roots[n]` is the root of the first n entries; dicts keep the order things were added in."""

    frontier: Frontier = field(default_factory=Frontier)
    entries: list[LogEntry] = field(default_factory=list)
    roots: list[bytes] = field(default_factory=lambda: [Frontier().root])
    holds: dict[OutPoint, bytes] = field(default_factory=dict)
    outbox: dict[bytes, OutboxRow] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    documents: dict[bytes, bytes] = field(default_factory=dict)
    scripts: dict[bytes, ScriptPlace] = field(default_factory=dict)
    windows: dict[tuple[bytes, int], int] = field(default_factory=dict)
    rows: MapRows = field(default_factory=lambda: MapRows(NoRows.head, {}))
    behind_seals: dict[int, MapRows] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(
            frontier=self.frontier,
            entries=self.entries.copy(),
            roots=self.roots.copy(),
            holds=self.holds.copy(),
            outbox=self.outbox.copy(),
            notes=self.notes.copy(),
            documents=self.documents.copy(),
            scripts=self.scripts.copy(),
            windows=self.windows.copy(),
            rows=self.rows,
            behind_seals=self.behind_seals.copy(),
        )


class _Scratch:
    """Rows to fold into. Implements `Scratch`."""

    def __init__(self) -> None:
        self.rows = MapRows(NoRows.head, {})

    def add(self, state: State) -> State:
        self.rows = MapRows.of(state)
        return State.over(self.rows, state.pinned)


class _View:
    """Reads over one state."""

    def __init__(self, state: _State, origin: str) -> None:
        self._state = state
        self._origin = origin

    @property
    def size(self) -> int:
        return self._state.frontier.size

    @property
    def root(self) -> bytes:
        return self._state.frontier.root

    def frontier(self) -> Frontier:
        return self._state.frontier

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LogEntry]:
        end = self.size if stop is None else min(stop, self.size)
        for index, entry in enumerate(islice(self._state.entries, start, end), start):
            _check_entry(entry, index)
            yield entry

    def leaves(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        return (entry.leaf for entry in self.entries(start, stop))

    def root_at(self, size: int) -> bytes:
        if not 0 <= size <= self.size:
            raise StateChanged(what="the log's size", expected=f"at least {size}", actual=str(self.size))
        return self._state.roots[size]

    def rows(self) -> Rows:
        return self._state.rows

    def document(self, digest: bytes) -> bytes | None:
        return self._state.documents.get(digest)

    def watched(self, scripts: Collection[bytes]) -> dict[bytes, ScriptPlace]:
        return {script: self._state.scripts[script] for script in scripts if script in self._state.scripts}

    def windows(self) -> dict[tuple[bytes, int], int]:
        return dict(self._state.windows)

    def holder(self, outpoint: OutPoint) -> bytes | None:
        return self._state.holds.get(outpoint)

    def holds(self) -> dict[OutPoint, bytes]:
        return dict(self._state.holds)

    def held(self, holder: bytes) -> tuple[OutPoint, ...]:
        return tuple(sorted(outpoint for outpoint, by in self._state.holds.items() if by == holder))

    def outbox(self) -> tuple[OutboxRow, ...]:
        return tuple(self._state.outbox.values())

    def queued(self, transfer_id: bytes) -> OutboxRow | None:
        return self._state.outbox.get(transfer_id)

    def checkpoint(self, size: int | None = None) -> str | None:
        notes = self._state.notes
        if size is None:
            size = max(notes, default=0)
        return notes.get(size)

    def checkpoints(self, most: int | None = None) -> Iterator[str]:
        return (self._state.notes[size] for size in sorted(self._state.notes, reverse=True)[:most])


class _Transaction(_View):
    """The same, and changes."""

    def append(self, entry: LogEntry) -> None:
        if entry.head.index != self.size:
            raise StateChanged(what="the log's size", expected=str(entry.head.index), actual=str(self.size))
        _check_entry(entry, self.size)
        self._state.entries.append(entry)
        self._state.frontier = self._state.frontier.append(entry.leaf)
        self._state.roots.append(self._state.frontier.root)

    def replace_rows(self, scratch: Scratch) -> StateCorrupt | None:
        found = first_difference(encoded(scratch.rows), encoded(self._state.rows), tables.ALL)
        self.save(State.over(scratch.rows, b""))
        return found

    def save(self, state: State) -> None:
        if (state.frontier, state.base.head.frontier) != (self._state.frontier, self._state.rows.head.frontier):
            what = "the log that the state is of"
            raise StateChanged(what=what, expected=f"{self.size} entries", actual=f"{state.size} entries")
        self._state.rows = MapRows.of(state)
        if self._state.entries and self._state.entries[-1].head.entry == kinds.STATE_SEALED:
            self._state.behind_seals[self.size] = self._state.rows

    def watch(self, vault_id: bytes, branch: int, start: int, scripts: Sequence[bytes]) -> None:
        end = self._state.windows.get((vault_id, branch), 0)
        if start > end:
            raise StateChanged(what="the window of scripts", expected=f"at least {start}", actual=str(end))
        for index, script in enumerate(scripts[end - start :], end):
            self._state.scripts[script] = ScriptPlace(vault_id, Branch(branch), index)
        self._state.windows[vault_id, branch] = max(end, start + len(scripts))

    def keep_document(self, digest: bytes, data: bytes) -> None:
        self._state.documents.setdefault(digest, data)

    def erase_body(self, index: int) -> None:
        if not 0 <= index < self.size:
            raise StateChanged(what="the log's size", expected=f"more than {index}", actual=str(self.size))
        self._state.entries[index] = withhold(self._state.entries[index])
        # What the erased body had made is to be found nowhere.
        self._state.behind_seals.clear()

    def hold(self, outpoints: Iterable[OutPoint], holder: bytes) -> None:
        wanted = dict.fromkeys(outpoints, holder)
        for outpoint in wanted:
            present = self._state.holds.get(outpoint, holder)
            if present != holder:
                raise UtxoReserved(outpoint=outpoint, holder=present.hex())
        self._state.holds.update(wanted)

    def release_holds(self, holder: bytes) -> None:
        self._state.holds = {outpoint: by for outpoint, by in self._state.holds.items() if by != holder}

    def queue(self, transfer_id: bytes, raw: bytes, queued_at: int) -> None:
        row = self._state.outbox.setdefault(transfer_id, OutboxRow(transfer_id, raw, queued_at))
        if row.raw != raw:
            what = f"the transaction queued for transfer {transfer_id.hex()}"
            raise StateChanged(what=what, expected=f"{len(row.raw)} bytes", actual=f"other {len(raw)} bytes")

    def attempted(self, transfer_id: bytes, error: str | None) -> None:
        row = self._queued(transfer_id)
        self._state.outbox[transfer_id] = replace(
            row,
            attempts=row.attempts + 1,
            was_sent=row.was_sent or error is None,
            last_error="" if error is None else plain_reason(error),
        )

    def dequeue(self, transfer_id: bytes) -> None:
        self._queued(transfer_id)
        del self._state.outbox[transfer_id]

    def save_checkpoint(self, note: str) -> None:
        checkpoint = SignedCheckpoint.parse(note).checkpoint
        if checkpoint.origin != self._origin:
            raise StateChanged(what="the checkpoint's log", expected=self._origin, actual=checkpoint.origin)
        root = self.root_at(checkpoint.size)
        if checkpoint.root != root:
            what = f"the log's root at size {checkpoint.size}"
            raise StateChanged(what=what, expected=root.hex(), actual=checkpoint.root.hex())
        self._state.notes[checkpoint.size] = note

    def _queued(self, transfer_id: bytes) -> OutboxRow:
        row = self._state.outbox.get(transfer_id)
        if row is None:
            raise NotQueued(transfer=transfer_id.hex())
        return row


def _check_entry(entry: LogEntry, index: int) -> None:
    if entry.head.index != index:
        raise LogCorrupt(index=index, problem=f"entry {entry.head.index} stands in its place")
    if entry.body is not None:
        open_body(entry)
