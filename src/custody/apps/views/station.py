"""How did a station begin: by folding the log, or with a snapshot?"""

from __future__ import annotations

from custody.apps.terminal import JsonValue
from custody.ports import SnapshotStart


def began(start: SnapshotStart | None, size: int) -> str:
    """In words, of a station that has seen `size` entries."""
    if start is not None:
        names = ", ".join(start.officers)
        return f"WITH A SNAPSHOT of {start.size} entries, which {names} confirmed; those were not folded here"
    return "with the log's first entry; every entry was folded here" if size else "nothing seen yet"


def began_data(start: SnapshotStart | None, size: int) -> JsonValue:
    """As data: `with` is "nothing" yet, "the first entry" or "a snapshot"."""
    if start is None:
        return {"with": "the first entry" if size else "nothing"}
    return {
        "with": "a snapshot",
        "size": start.size,
        "state": start.state.hex(),
        "officers": list(start.officers),
    }
