"""What Alembic runs for a migration: on the connection it is handed, in the transaction that is already open."""

from __future__ import annotations

from alembic import context

from custody.backends.sql.schema import metadata


def run() -> None:
    """Run the migrations that were asked for."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


# Alembic loads this file under this name; importing it as a module of the package does nothing.
if __name__ == "env_py":
    run()
