"""Which coins does a transfer spend that came unasked, and which officer has released each?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from custody.apps.terminal import JsonValue
from custody.bitcoin.transaction import OutPoint
from custody.history.quarantine import cleared
from custody.history.questions import History
from custody.history.tables import ClearedRow
from custody.transfer.state import Transfer

Released = Sequence[tuple[OutPoint, ClearedRow]]


def released_of(transfer: Transfer, history: History) -> Released:
    """The coins of a transfer that were released, as far as they are by now."""
    rows = ((each, cleared(history, each)) for each in transfer.draft.outpoints)
    return [(each, row) for each, row in rows if row is not None]


def released_lines(released: Iterable[tuple[OutPoint, ClearedRow]]) -> list[str]:
    """A line for each."""
    return [f"{outpoint} by {row.officer}, entry {row.at} of the log" for outpoint, row in released]


def released_data(released: Iterable[tuple[OutPoint, ClearedRow]]) -> list[JsonValue]:
    """The same for a program."""
    return [{"outpoint": str(outpoint), "officer": row.officer, "entry": row.at} for outpoint, row in released]
