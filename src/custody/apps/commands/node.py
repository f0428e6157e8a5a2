"""How far is the node, what would it take, and is its chain the one that the log has seen?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import click

from custody.apps.chains import Chain
from custody.apps.coordinator import coordinator
from custody.apps.station_commands.desk import SystemClock
from custody.apps.station_commands.layout import moment, rate, span, table
from custody.apps.terminal import Verb, output
from custody.custodian import why_unready
from custody.drafter import FALLBACK_RATE
from custody.ports import BlockUnknown
from custody.transfer.history import History

# The node's client takes long to load, and only its types are needed here.
if TYPE_CHECKING:
    from custody.backends.bitcoind import ChainStatus


class Agreement(StrEnum):
    """Whether the node's chain holds the newest block that the log has seen."""

    AGREES = "agrees"
    NOTHING_SEEN = "nothing seen"
    BEHIND = "behind"
    DIFFERS = "differs"


_AGREEMENT_TEXT = {
    Agreement.AGREES: "its chain is the one that the log has seen",
    Agreement.NOTHING_SEEN: "the log has looked at no block yet",
    Agreement.BEHIND: "it has not come to where the log is",
    Agreement.DIFFERS: "ANOTHER CHAIN than the log has seen: a reorganisation, or a node that is wrong",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What was found. Rates are sat/kvB; `estimate` is None when the node has none. `unready` says why, if it is."""

    status: ChainStatus
    min_rate: int
    estimate: int | None
    agreement: Agreement
    unready: str | None

    @property
    def rate(self) -> int:
        """The rate that a draft would use."""
        return self.estimate or max(FALLBACK_RATE, self.min_rate)


@click.command(cls=Verb)
def status() -> None:
    """Show how far the node is, and its fees.

    Drafting and release wait for a node that still downloads the chain, or whose newest block is hours old.
    """
    desk = coordinator()
    history, now = desk.history(), SystemClock().now()
    with desk.work() as work:
        look, name = _look(work.chain, history, now), work.chain.name
    found = look.status
    output().emit(
        {
            "node": name,
            "network": desk.settings.network.value,
            "version": found.version,
            "height": found.tip.height,
            "block": found.tip.hash[::-1].hex(),
            "tip_time": found.tip.time,
            "headers": found.headers,
            "is_initial_download": found.is_initial_download,
            "first_block": found.first_block,
            "min_fee_rate": look.min_rate,
            "fee_rate": look.rate,
            "is_fee_estimated": look.estimate is not None,
            "log_height": history.height,
            "log": look.agreement.value,
            "is_ready": look.unready is None,
            "unready": look.unready,
        },
        lambda: "\n".join(
            table([("node", name), ("network", desk.settings.network.value), *_rows(look, history, now)])
        ),
    )


def _look(chain: Chain, history: History, now: int) -> Look:
    return Look(
        chain.status(), chain.min_fee_rate(), chain.fee_rate(), agreement(chain, history), why_unready(chain, now)
    )


def agreement(chain: Chain, history: History) -> Agreement:
    """Whether `chain` holds the newest block that the log has seen."""
    if not history.tips:
        return Agreement.NOTHING_SEEN
    seen = history.tips[-1]
    try:
        block = chain.block_hash(seen.height)
    except BlockUnknown:
        return Agreement.BEHIND
    return Agreement.AGREES if block == seen.block else Agreement.DIFFERS


def _rows(look: Look, history: History, now: int) -> list[tuple[str, str]]:
    found = look.status
    age = span(max(0, now - found.tip.time))
    source = "the node's estimate" if look.estimate is not None else "no estimate: a fallback"
    pruned = f"from height {found.first_block} on" if found.first_block else "all"
    return [
        ("version", found.version),
        ("height", f"{found.tip.height} of {found.headers}"),
        ("newest block", f"{moment(found.tip.time)}, {age} ago"),
        ("blocks kept", pruned),
        ("fee rate", f"{rate(look.rate)} ({source})"),
        ("least fee rate", rate(look.min_rate)),
        ("log", f"height {history.height}: {_AGREEMENT_TEXT[look.agreement]}"),
        ("ready", "yes" if look.unready is None else f"NO: {look.unready}"),
    ]
