"""The store in an SQL database: `SqlStore`. SQLite today, through SQLAlchemy Core.

Imported only by whoever opens a store: SQLAlchemy is slow to load, and a station has no use for it.
"""

from custody.extras import part_of_an_extra

with part_of_an_extra:
    from custody.backends.sql.store import SqlStore, create_store, open_store, upgrade_store

__all__ = ["SqlStore", "create_store", "open_store", "upgrade_store"]
