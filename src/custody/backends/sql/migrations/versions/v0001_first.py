"""The first tables. A later change of `schema.py` needs a new file here, never a change of this one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables, and let the database itself refuse changes to log entries."""
    op.create_table(
        "meta",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.CheckConstraint("id = 1", name="meta_is_one_row"),
        sqlite_strict=True,
    )
    op.create_table(
        "log_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("peaks", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("id = 1", name="log_head_is_one_row"),
        sqlite_strict=True,
    )
    op.create_table(
        "entries",
        sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "bodies",
        sa.Column(
            "index",
            sa.Integer,
            sa.ForeignKey("entries.index", name="body_of_entry"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "holds",
        sa.Column("outpoint", sa.LargeBinary, primary_key=True),
        sa.Column("holder", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("holds_by_holder", "holds", ["holder"])
    op.create_table(
        "outbox",
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("transfer_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("queued_at", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("was_sent", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "documents",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "scripts",
        sa.Column("script", sa.LargeBinary, primary_key=True),
        sa.Column("vault", sa.LargeBinary, nullable=False),
        sa.Column("branch", sa.Integer, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "windows",
        sa.Column("vault", sa.LargeBinary, primary_key=True),
        sa.Column("branch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("end", sa.Integer, nullable=False),
        sqlite_strict=True,
    )
    _make_state()
    if op.get_bind().dialect.name == "sqlite":
        _make_append_only()


def _make_state() -> None:
    op.create_table(
        "state_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("peaks", sa.LargeBinary, nullable=False),
        sa.Column("total", sa.LargeBinary, nullable=False),
        sa.Column("oldest", sa.Integer, nullable=False),
        sa.CheckConstraint("id = 1", name="state_head_is_one_row"),
        sqlite_strict=True,
    )
    op.create_table(
        "state_rows",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("since", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("until", sa.Integer, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("state_rows_ended", "state_rows", ["until"], sqlite_where=sa.text("until < 4611686018427387904"))


def _make_append_only() -> None:
    """Stop a slip of ours, or of somebody with a database browser, before it becomes a LOG_CORRUPT."""
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER entries_no_{verb.lower()} BEFORE {verb} ON entries "
            "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"
        )
