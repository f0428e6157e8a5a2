"""How do a fee rate with its source, and what was sent and waits, read?"""

from __future__ import annotations

from collections.abc import Sequence

from custody.apps.terminal import JsonValue
from custody.apps.views.layout import rate, txid
from custody.delivery import Underway
from custody.ports import Standing
from custody.rate import ChosenRate, RateSource

_SOURCES = {
    RateSource.ASKED: "as asked",
    RateSource.ESTIMATE: "the node's estimate",
    RateSource.FALLBACK: "FALLBACK: the node has no estimate",
}


def rate_text(chosen: ChosenRate) -> str:
    """A fee rate, and where it is from."""
    return f"{rate(chosen.rate)} ({_SOURCES[chosen.source]})"


def underway_data(found: Sequence[Underway] | None) -> list[JsonValue] | None:
    """What was sent and stands in no block by the log, for a program; None when the node does not say where it is."""
    if found is None:
        return None
    return [{"transfer": each.transfer.hex(), "txid": txid(each.txid), "standing": each.standing} for each in found]


_STANDINGS = {
    Standing.WAITING: "waits for a block",
    Standing.MINED: "stands in a block: custody observe",
    Standing.GONE: "DROPPED: it waits nowhere, and stands in no block",
}


def standing_text(standing: Standing) -> str:
    """Where a sent transaction is, by the node's word."""
    return _STANDINGS[standing]
