"""How do people and programs read a fee rate with its source, what was sent, and how far a long look has come?"""

from __future__ import annotations

from collections.abc import Sequence

from custody.apps.commands.transfer_show import txid
from custody.apps.station_commands.layout import rate
from custody.apps.terminal import JsonValue, output
from custody.delivery import Underway
from custody.observer import Progress
from custody.rate import ChosenRate, RateSource

_SOURCES = {
    RateSource.ASKED: "as asked",
    RateSource.ESTIMATE: "the node's estimate",
    RateSource.FALLBACK: "FALLBACK: the node has no estimate",
}


def rate_text(chosen: ChosenRate) -> str:
    """A fee rate, and where it is from."""
    return f"{rate(chosen.rate)} ({_SOURCES[chosen.source]})"


def underway_data(found: Sequence[Underway]) -> list[JsonValue]:
    """What was sent and stands in no block by the log, for a program."""
    return [{"transfer": each.transfer.hex(), "txid": txid(each.txid), "standing": each.standing} for each in found]


def tell_progress() -> Progress:
    """Tells a person at a terminal how far a long look has come, whenever another hundredth is done."""
    told: list[int] = []

    def tell(reached: int, goal: int) -> None:
        percent = reached * 100 // max(goal, 1)
        if percent not in told:
            told.append(percent)
            output().progress(f"height {reached} of {goal} ({percent} %)")

    return tell
