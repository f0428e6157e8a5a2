"""Which tables are there?

    meta         one row: format, network and the log's origin      entries      the log's heads, leaf hashes and roots
    log_head     one row: the log's size and frontier               bodies       what entries say; a row may be erased
    holds        coins in use, each by one holder                   outbox       transactions to send
    checkpoints  signed checkpoints by size                         documents    raw transactions, by what they hash to
    state_head   one row: what log the rows are made of             state_rows   what the log says is so (`history`)
    scripts      locking scripts that are watched                   windows      up to where each branch is watched

Only `entries`, `bodies`, `documents` and `checkpoints` are the truth; `log_head`, the state and the scripts can be
computed from them. Digests, scripts and outpoints are raw bytes. On SQLite the tables are STRICT: a column holds its
type and nothing else. What the tables look like on disk is made by `migrations/`; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    Table,
)

from custody.backends.sql.kinds import Blob, Line, Whole

FORMAT: Final = 1
"""What the bytes in the tables mean. It changes when an older program would misread them."""
REVISIONS: Final = ("0001",)
"""Alembic revisions in their order; a store must be at the last one."""

metadata: Final = MetaData()

meta: Final = Table(
    "meta",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=False),
    Column("format", Whole, nullable=False),
    Column("network", Line, nullable=False),
    Column("origin", Line, nullable=False),
    CheckConstraint("id = 1", name="meta_is_one_row"),
    sqlite_strict=True,
)

log_head: Final = Table(
    "log_head",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=False),
    Column("size", Whole, nullable=False),
    # Roots of the full subtrees, 32 bytes each, in the order of `Frontier.peaks`.
    Column("peaks", Blob, nullable=False),
    CheckConstraint("id = 1", name="log_head_is_one_row"),
    sqlite_strict=True,
)

entries: Final = Table(
    "entries",
    metadata,
    Column("index", Whole, primary_key=True, autoincrement=False),
    Column("head", Blob, nullable=False),
    Column("leaf", Blob, nullable=False),
    # Merkle root over all entries up to and including this one.
    Column("root", Blob, nullable=False),
    sqlite_strict=True,
)

bodies: Final = Table(
    "bodies",
    metadata,
    Column("index", Whole, ForeignKey("entries.index", name="body_of_entry"), primary_key=True, autoincrement=False),
    Column("salt", Blob, nullable=False),
    Column("body", Blob, nullable=False),
    sqlite_strict=True,
)

holds: Final = Table(
    "holds",
    metadata,
    # 36 bytes as in an input. The primary key is the reservation: a coin has one holder (THREATS A10, D5).
    Column("outpoint", Blob, primary_key=True),
    Column("holder", Blob, nullable=False),
    Index("holds_by_holder", "holder"),
    sqlite_strict=True,
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("position", Whole, primary_key=True),
    Column("transfer_id", Blob, nullable=False, unique=True),
    Column("raw", Blob, nullable=False),
    Column("queued_at", Whole, nullable=False),
    Column("attempts", Whole, nullable=False),
    Column("was_sent", Whole, nullable=False),
    Column("last_error", Line, nullable=False),
    sqlite_strict=True,
)

documents: Final = Table(
    "documents",
    metadata,
    # A previous transaction's txid; each once, however many of its outputs are ours.
    Column("digest", Blob, primary_key=True),
    Column("data", Blob, nullable=False),
    sqlite_strict=True,
)

scripts: Final = Table(
    "scripts",
    metadata,
    Column("script", Blob, primary_key=True),
    Column("vault", Blob, nullable=False),
    Column("branch", Whole, nullable=False),
    Column("index", Whole, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

windows: Final = Table(
    "windows",
    metadata,
    Column("vault", Blob, primary_key=True),
    Column("branch", Whole, primary_key=True, autoincrement=False),
    # The first index that is not among the scripts.
    Column("end", Whole, nullable=False),
    sqlite_strict=True,
)

FOREVER: Final = 2**62
"""The end of a row that is still so."""

state_head: Final = Table(
    "state_head",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=False),
    Column("size", Whole, nullable=False),
    Column("peaks", Blob, nullable=False),
    # The sum over sealed rows, as `Multiset.to_bytes`.
    Column("total", Blob, nullable=False),
    # The smallest log whose rows are all still here.
    Column("oldest", Whole, nullable=False),
    CheckConstraint("id = 1", name="state_head_is_one_row"),
    sqlite_strict=True,
)

state_rows: Final = Table(
    "state_rows",
    metadata,
    Column("name", Line, primary_key=True),
    Column("key", Blob, primary_key=True),
    # A row is so for logs of `since` entries and more, and fewer than `until`: who reads an older log still finds it.
    Column("since", Whole, primary_key=True, autoincrement=False),
    Column("until", Whole, nullable=False),
    Column("value", Blob, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("state_rows_ended", state_rows.c.until, sqlite_where=state_rows.c.until < FOREVER)

checkpoints: Final = Table(
    "checkpoints",
    metadata,
    Column("size", Whole, primary_key=True, autoincrement=False),
    Column("note", Line, nullable=False),
    sqlite_strict=True,
)
