"""How does a node read: how far it is, what it would take, and if its chain is the one that the log has seen?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from custody.apps.views.layout import Data, rate, span, table, txid
from custody.apps.views.sending import rate_text, standing_text, underway_data
from custody.dates import moment
from custody.delivery import Underway
from custody.history.questions import History
from custody.ports import Tip
from custody.rate import ChosenRate
from custody.units import Network


class NodeStatus(Protocol):
    """How far a node says it is. Its client is not needed to show that."""

    @property
    def tip(self) -> Tip: ...
    @property
    def headers(self) -> int: ...
    @property
    def is_initial_download(self) -> bool: ...
    @property
    def first_block(self) -> int: ...
    @property
    def version(self) -> str: ...


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

    name: str
    network: Network
    status: NodeStatus
    rate: ChosenRate
    agreement: Agreement
    missing: range
    underway: tuple[Underway, ...] | None
    unready: str | None


def node_data(look: Look, history: History) -> Data:
    """What was found, for a program."""
    found = look.status
    return {
        "node": look.name,
        "network": look.network.value,
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
    }


def node_text(look: Look, history: History, now: int) -> str:
    """The same for a person; `now` is this machine's clock."""
    found = look.status
    age = span(max(0, now - found.tip.time))
    kept = f"from height {found.first_block} on" if found.first_block else "all"
    rows = [
        ("node", look.name),
        ("network", look.network.value),
        ("version", found.version),
        ("height", f"{found.tip.height} of {found.headers}"),
        ("newest block", f"{moment(found.tip.time)}, {age} ago"),
        ("blocks kept", kept),
        *([("MISSING", _missing_text(look.missing))] if look.missing else []),
        ("fee rate", rate_text(look.rate)),
        ("least fee rate", rate(look.rate.least)),
        *(("sent", f"{txid(each.txid)} {standing_text(each.standing)}") for each in look.underway or ()),
        ("log", f"height {history.height}: {_AGREEMENT_TEXT[look.agreement]}"),
        ("ready", "yes" if look.unready is None else f"NO: {look.unready}"),
    ]
    return "\n".join(table(rows))


def _missing_text(missing: range) -> str:
    return (
        f"blocks {missing[0]} to {missing[-1]} are still to be looked at and were pruned: "
        "observe and reconcile cannot go on with this node; node scan can"
    )
