"""How did a station begin: by folding the log, or with a snapshot?"""

from __future__ import annotations

from custody.apps.terminal import JsonValue
from custody.ports import SnapshotStart


def began(start: SnapshotStart | None) -> str:
    """In words."""
    if start is None:
        return "with the log's first entry; every entry was folded here"
    names = ", ".join(start.officers)
    return f"WITH A SNAPSHOT of {start.size} entries, which {names} confirmed; those were not folded here"


def began_data(start: SnapshotStart | None) -> JsonValue:
    """As data; None when every entry was folded here."""
    if start is None:
        return None
    return {"size": start.size, "state": start.state.hex(), "officers": list(start.officers)}
