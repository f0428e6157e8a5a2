"""What does a transaction of the store read, and what does it change?

It sees the store as it stood when it began, and its own changes. What SQLAlchemy and SQLite raise is for the store to
translate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol, Self

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from custody.backends.sql import schema, sqlite
from custody.backends.sql.entries import (
    PAGE,
    check_end,
    entry_index,
    load_frontier,
    read_entry,
    read_page,
    root_at,
    save_frontier,
    write_entry,
)
from custody.backends.sql.kinds import WrongKind
from custody.backends.sql.rows import Home, SqlRows, read_head, write_rows
from custody.backends.sql.scratch import replace_rows, scratch_rows
from custody.backends.sql.statement import Statement
from custody.bitcoin.transaction import OutPoint
from custody.history.rows import Head, StateCorrupt
from custody.history.state import State
from custody.log import Frontier, LogCorrupt, LogEntry, SignedCheckpoint, open_body
from custody.ports import NotQueued, OutboxRow, Scratch, StateChanged, UtxoReserved, plain_reason
from custody.vault.coins import ScriptPlace
from custody.vault.descriptor import Branch

IN_ONE_QUESTION: Final = 500
"""Scripts that are looked for at once."""
_OUTPOINT: Final = 36
"""Bytes of an outpoint."""
_BRANCHES: Final = frozenset(Branch)
_WINDOWS: Final = Statement(select(schema.windows.c.vault, schema.windows.c.branch, schema.windows.c.end))
_DOCUMENT: Final = Statement(select(schema.documents.c.data).where(schema.documents.c.digest == bindparam("digest")))


class StoreFile(Home, Protocol):
    """The store that a transaction is of."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def origin(self) -> str:
        """The log's name in checkpoints."""

    def rows_of(self, head: Head) -> SqlRows:
        """The rows as of `head`."""


class SqlView:
    """Reads over one open transaction."""

    def __init__(self, connection: Connection, store: StoreFile, frontier: Frontier) -> None:
        self._connection = connection
        self._store = store
        self._frontier = frontier
        self._begun_with = frontier
        self._open = ExitStack()
        self._rows: SqlRows | None = None
        self._has_erased = False

    @classmethod
    def begun(cls, connection: Connection, store: StoreFile) -> Self:
        """A view of what is there, once the log's end has been found to be in order."""
        frontier = load_frontier(connection, store.path)
        check_end(connection, store.path, frontier)
        return cls(connection, store, frontier)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """For as long as this lasts its rows are read through its connection."""
        with self._open:
            yield

    @property
    def size(self) -> int:
        return self._frontier.size

    @property
    def root(self) -> bytes:
        return self._frontier.root

    def frontier(self) -> Frontier:
        return self._frontier

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LogEntry]:
        end = self.size if stop is None else min(stop, self.size)
        at = start
        # A page at a time, so that a caller may append between two entries.
        while at < end:
            for row in read_page(self._connection, at, end):
                yield read_entry(row, at)
                at += 1

    def leaves(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        statement = select(entry_index, schema.entries.c.leaf).order_by(entry_index)
        end = self.size if stop is None else min(stop, self.size)
        for at in range(start, end, PAGE):
            page = range(at, min(end, at + PAGE))
            rows = self._connection.execute(statement.where(entry_index >= page.start, entry_index < page.stop))
            found = {row[0]: row[1] for row in rows}
            for index in page:
                if index not in found:
                    raise LogCorrupt(index=index, problem="it is missing")
                yield found[index]

    def root_at(self, size: int) -> bytes:
        if size == self.size:
            return self.root
        if not 0 <= size < self.size:
            raise StateChanged(what="the log's size", expected=f"at least {size}", actual=str(self.size))
        root = root_at(self._connection, size)
        if root is None:
            raise LogCorrupt(index=size - 1, problem="it is missing")
        return root

    def rows(self) -> SqlRows:
        """What the log says is so, as of this view."""
        # Not before somebody asks: whoever builds them again must get here though their head is damaged.
        if self._rows is None:
            head = read_head(self._connection, sqlite.shown(self._store.path))
            self._rows = self._store.rows_of(head)
            self._open.enter_context(self._rows.bound(self._connection))
        return self._rows

    def document(self, digest: bytes) -> bytes | None:
        found: bytes | None = _DOCUMENT.scalar(self._connection, digest=digest)
        return found

    def watched(self, scripts: Collection[bytes]) -> dict[bytes, ScriptPlace]:
        table, wanted = schema.scripts, sorted(set(scripts))
        found: dict[bytes, ScriptPlace] = {}
        for at in range(0, len(wanted), IN_ONE_QUESTION):
            some = select(table).where(table.c.script.in_(wanted[at : at + IN_ONE_QUESTION]))
            for script, vault_id, branch, index in self._connection.execute(some):
                if branch not in _BRANCHES:
                    raise WrongKind
                found[script] = ScriptPlace(vault_id, Branch(branch), index)
        return found

    def windows(self) -> dict[tuple[bytes, int], int]:
        return {(vault_id, branch): end for vault_id, branch, end in _WINDOWS.rows(self._connection)}

    def holder(self, outpoint: OutPoint) -> bytes | None:
        statement = select(schema.holds.c.holder).where(schema.holds.c.outpoint == outpoint.to_bytes())
        return self._connection.scalar(statement)

    def holds(self) -> dict[OutPoint, bytes]:
        rows = self._connection.execute(select(schema.holds.c.outpoint, schema.holds.c.holder))
        return {_outpoint(row.outpoint): row.holder for row in rows}

    def held(self, holder: bytes) -> tuple[OutPoint, ...]:
        found = self._connection.scalars(select(schema.holds.c.outpoint).where(schema.holds.c.holder == holder))
        return tuple(sorted(_outpoint(raw) for raw in found))

    def outbox(self) -> tuple[OutboxRow, ...]:
        rows = self._connection.execute(select(schema.outbox).order_by(schema.outbox.c.position)).mappings()
        return tuple(_outbox_row(row) for row in rows)

    def queued(self, transfer_id: bytes) -> OutboxRow | None:
        statement = select(schema.outbox).where(schema.outbox.c.transfer_id == transfer_id)
        row = self._connection.execute(statement).mappings().first()
        return None if row is None else _outbox_row(row)

    def checkpoint(self, size: int | None = None) -> str | None:
        table = schema.checkpoints
        statement = select(table.c.note).order_by(table.c.size.desc()).limit(1)
        return self._connection.scalar(statement if size is None else statement.where(table.c.size == size))

    def checkpoints(self, most: int | None = None) -> Iterator[str]:
        table = schema.checkpoints
        return iter(self._connection.scalars(select(table.c.note).order_by(table.c.size.desc()).limit(most)))


class SqlTransaction(SqlView):
    """The same, and changes. The log's head is written once, at the end."""

    def append(self, entry: LogEntry) -> None:
        index = entry.head.index
        if index != self.size:
            raise StateChanged(what="the log's size", expected=str(index), actual=str(self.size))
        if entry.body is not None:
            open_body(entry)
        frontier = self._frontier.append(entry.leaf)
        write_entry(self._connection, entry, frontier.root)
        self._frontier = frontier

    def save(self, state: State) -> None:
        if (state.frontier, state.base.head.frontier) != (self._frontier, self.rows().head.frontier):
            what = "the log that the state is of"
            raise StateChanged(what=what, expected=f"{self.size} entries", actual=f"{state.size} entries")
        # Rows that have ended may say what an erased body said: then none is kept for those who read an older log.
        write_rows(self._connection, state, keeps_ended=not self._has_erased)

    def replace_rows(self, scratch: Scratch) -> StateCorrupt | None:
        own = scratch_rows(scratch)
        if own.head.frontier != self._frontier:
            raise StateChanged(
                what="the log that the rows are of",
                expected=f"{self.size} entries",
                actual=f"{own.head.frontier.size} entries",
            )
        kept = self._store.rows_of(own.head)
        with kept.bound(self._connection):
            return replace_rows(self._connection, kept, own)

    def watch(self, vault_id: bytes, branch: int, start: int, scripts: Sequence[bytes]) -> None:
        table = schema.windows
        window = (table.c.vault == vault_id, table.c.branch == branch)
        end = self._connection.scalar(select(table.c.end).where(*window)) or 0
        if start > end:
            raise StateChanged(what="the window of scripts", expected=f"at least {start}", actual=str(end))
        rows = [
            {"script": script, "vault": vault_id, "branch": branch, "index": index}
            for index, script in enumerate(scripts[end - start :], end)
        ]
        if rows:
            self._connection.execute(insert(schema.scripts), rows)
            self._connection.execute(delete(table).where(*window))
            values = {"vault": vault_id, "branch": branch, "end": end + len(rows)}
            self._connection.execute(insert(table), values)

    def keep_document(self, digest: bytes, data: bytes) -> None:
        if self.document(digest) is None:
            self._connection.execute(insert(schema.documents), {"digest": digest, "data": data})

    def erase_body(self, index: int) -> None:
        if not 0 <= index < self.size:
            raise StateChanged(what="the log's size", expected=f"more than {index}", actual=str(self.size))
        # The salt stands in the same row and goes with it: with the salt, likely bodies could be tried.
        self._connection.execute(delete(schema.bodies).where(schema.bodies.c.index == index))
        self._has_erased = True

    def hold(self, outpoints: Iterable[OutPoint], holder: bytes) -> None:
        wanted = {outpoint.to_bytes(): outpoint for outpoint in outpoints}
        present = self._holders(list(wanted))
        for raw, outpoint in wanted.items():
            if present.get(raw, holder) != holder:
                raise UtxoReserved(outpoint=outpoint, holder=present[raw].hex())
        rows = [{"outpoint": raw, "holder": holder} for raw in wanted if raw not in present]
        if rows:
            self._connection.execute(insert(schema.holds), rows)

    def release_holds(self, holder: bytes) -> None:
        self._connection.execute(delete(schema.holds).where(schema.holds.c.holder == holder))

    def queue(self, transfer_id: bytes, raw: bytes, queued_at: int) -> None:
        table = schema.outbox
        queued = self._connection.scalar(select(table.c.raw).where(table.c.transfer_id == transfer_id))
        if queued is None:
            fresh = {"attempts": 0, "was_sent": 0, "last_error": ""}
            values = {"transfer_id": transfer_id, "raw": raw, "queued_at": queued_at, **fresh}
            self._connection.execute(insert(table), values)
        elif queued != raw:
            what = f"the transaction queued for transfer {transfer_id.hex()}"
            raise StateChanged(what=what, expected=_sample(raw), actual=_sample(queued))

    def attempted(self, transfer_id: bytes, error: str | None) -> None:
        table = schema.outbox
        statement = update(table).where(table.c.transfer_id == transfer_id)
        if error is None:
            statement = statement.values(attempts=table.c.attempts + 1, was_sent=1, last_error="")
        else:
            statement = statement.values(attempts=table.c.attempts + 1, last_error=plain_reason(error))
        self._require_row(self._connection.execute(statement).rowcount, transfer_id)

    def dequeue(self, transfer_id: bytes) -> None:
        statement = delete(schema.outbox).where(schema.outbox.c.transfer_id == transfer_id)
        self._require_row(self._connection.execute(statement).rowcount, transfer_id)

    def save_checkpoint(self, note: str) -> None:
        checkpoint = SignedCheckpoint.parse(note).checkpoint
        if checkpoint.origin != self._store.origin:
            raise StateChanged(what="the checkpoint's log", expected=self._store.origin, actual=checkpoint.origin)
        root = self.root_at(checkpoint.size)
        if checkpoint.root != root:
            what = f"the log's root at size {checkpoint.size}"
            raise StateChanged(what=what, expected=root.hex(), actual=checkpoint.root.hex())
        table = schema.checkpoints
        self._connection.execute(delete(table).where(table.c.size == checkpoint.size))
        self._connection.execute(insert(table), {"size": checkpoint.size, "note": note})

    def finish(self) -> None:
        """Write the log's head if the log grew. Called once, before the commit."""
        if self._frontier is not self._begun_with:
            save_frontier(self._connection, self._frontier)

    def _holders(self, outpoints: list[bytes]) -> dict[bytes, bytes]:
        """Who holds which of `outpoints` (36 bytes each), free ones left out."""
        table = schema.holds
        found: dict[bytes, bytes] = {}
        for at in range(0, len(outpoints), PAGE):
            some = select(table.c.outpoint, table.c.holder).where(table.c.outpoint.in_(outpoints[at : at + PAGE]))
            found.update((row.outpoint, row.holder) for row in self._connection.execute(some))
        return found

    @staticmethod
    def _require_row(count: int, transfer_id: bytes) -> None:
        if count != 1:
            raise NotQueued(transfer=transfer_id.hex())


def _outpoint(raw: bytes) -> OutPoint:
    if len(raw) != _OUTPOINT:
        raise WrongKind
    return OutPoint(raw[:32], int.from_bytes(raw[32:], "little"))


def _outbox_row(row: RowMapping) -> OutboxRow:
    return OutboxRow(
        transfer_id=row["transfer_id"],
        raw=row["raw"],
        queued_at=row["queued_at"],
        attempts=row["attempts"],
        was_sent=bool(row["was_sent"]),
        last_error=row["last_error"],
    )


def _sample(raw: bytes) -> str:
    """Bytes told apart in a message without showing them: with a signed transaction anybody can broadcast."""
    return f"SHA-256 {sha256(raw).hexdigest()[:16]}"
