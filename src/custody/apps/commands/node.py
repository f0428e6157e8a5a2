"""How far is the node, what would it take, and is its chain the one that the log has seen?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import click

from custody.apps.chains import Chain
from custody.apps.commands.sending import rate_text, underway_data
from custody.apps.commands.transfer_show import standing_text, txid, warn_dropped
from custody.apps.coordinator import coordinator
from custody.apps.station_commands.desk import SystemClock
from custody.apps.station_commands.layout import moment, rate, span, table
from custody.apps.terminal import Verb, output
from custody.custodian import why_unready
from custody.delivery import Underway, underway
from custody.observer import pruned_unread
from custody.ports import BlockUnknown, ChainView, OutboxRow
from custody.rate import ChosenRate, rate_for
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
    """What was found. `rate` is what a draft would use; `missing` what is still to be looked at and was pruned.

    `unready` says why, if it is.
    """

    status: ChainStatus
    rate: ChosenRate
    agreement: Agreement
    missing: range
    underway: tuple[Underway, ...]
    unready: str | None


@click.command(cls=Verb)
def status() -> None:
    """Show how far the node is, and its fees.

    Drafting and release wait for a node that still downloads the chain, or whose newest block is hours old. Shown too:
    whether it still has the blocks that are to be looked at, and where it has what was sent.
    """
    desk = coordinator()
    history, now = desk.history(), SystemClock().now()
    with desk.chain() as chain:
        look, name = _look(chain, history, desk.outbox(), now), chain.name
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
            "missing_blocks": {"first": look.missing[0], "last": look.missing[-1]} if look.missing else None,
            "min_fee_rate": look.rate.least,
            "fee_rate": look.rate.rate,
            "fee_rate_source": look.rate.source.value,
            "underway": underway_data(look.underway),
            "log_height": history.height,
            "log": look.agreement.value,
            "is_ready": look.unready is None,
            "unready": look.unready,
        },
        lambda: "\n".join(
            table([("node", name), ("network", desk.settings.network.value), *_rows(look, history, now)])
        ),
    )
    warn_dropped(look.underway)


def _look(chain: Chain, history: History, rows: Sequence[OutboxRow], now: int) -> Look:
    status = chain.status()
    return Look(
        status=status,
        rate=rate_for(chain.relay),
        agreement=agreement(chain.view, history),
        missing=pruned_unread(history, status.first_block, status.tip.height),
        underway=underway(history, rows, chain.relay),
        unready=why_unready(chain.view, now),
    )


def agreement(view: ChainView, history: History) -> Agreement:
    """Whether `view` holds the newest block that the log has seen."""
    if not history.tips:
        return Agreement.NOTHING_SEEN
    seen = history.tips[-1]
    try:
        block = view.block_hash(seen.height)
    except BlockUnknown:
        return Agreement.BEHIND
    return Agreement.AGREES if block == seen.block else Agreement.DIFFERS


def _rows(look: Look, history: History, now: int) -> list[tuple[str, str]]:
    found = look.status
    age = span(max(0, now - found.tip.time))
    kept = f"from height {found.first_block} on" if found.first_block else "all"
    return [
        ("version", found.version),
        ("height", f"{found.tip.height} of {found.headers}"),
        ("newest block", f"{moment(found.tip.time)}, {age} ago"),
        ("blocks kept", kept),
        *([("MISSING", _missing_text(look.missing))] if look.missing else []),
        ("fee rate", rate_text(look.rate)),
        ("least fee rate", rate(look.rate.least)),
        *(("sent", f"{txid(each.txid)} {standing_text(each.standing)}") for each in look.underway),
        ("log", f"height {history.height}: {_AGREEMENT_TEXT[look.agreement]}"),
        ("ready", "yes" if look.unready is None else f"NO: {look.unready}"),
    ]


def _missing_text(missing: range) -> str:
    return (
        f"blocks {missing[0]} to {missing[-1]} are still to be looked at and were pruned: "
        "observe and reconcile cannot go on with this node; node scan can"
    )
