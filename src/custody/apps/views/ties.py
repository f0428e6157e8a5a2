"""What does a screen say of the transfers that another one replaces or speeds up?

The same lines at an officer's desk, at a station and at the coordinator: which transfers, and what all fees come to.
"""

from __future__ import annotations

from custody.apps.terminal import JsonValue
from custody.apps.views.layout import bitcoin, rate, sats
from custody.charter.rules import Case
from custody.transfer.request import TransferRequest
from custody.transfer.state import Transfer


def named(request: TransferRequest) -> list[tuple[str, str]]:
    """Rows for what a request names, when only the request is known."""
    rows = [("replaces", each.hex()) for each in request.replaces]
    return rows if request.parent is None else [*rows, ("speeds up", request.parent.hex())]


def tied(transfer: Transfer) -> list[tuple[str, str]]:
    """Rows for everything it conflicts with on purpose, named in its request or not, and for what it speeds up."""
    rows = [
        ("replaces", f"{each.id.hex()}, a {each.request.purpose} with a fee of {sats(each.draft.fee)}")
        for each in transfer.replaced
    ]
    if transfer.parent is not None:
        fee = sats(transfer.parent.draft.fee)
        rows.append(("speeds up", f"{transfer.parent.id.hex()}, which waits with a fee of {fee}"))
    return rows


def fee_rows(case: Case) -> list[tuple[str, str, str, str]]:
    """Rows beside the fee: what it comes to with those before it, and at which rate a child takes its parent along."""
    if not case.fees_before:
        return []
    what = "replaces" if case.carried is None else "speeds up or replaces"
    rows = [("fees", bitcoin(case.fees), sats(case.fees), f"with those of what it {what}: one fee to the rules")]
    if case.carried is not None:
        together = case.fee + case.carried.fee
        at = f"{rate(case.rate_together)} with what it speeds up"
        rows.append(("together", bitcoin(together), sats(together), at))
    return rows


def tied_data(transfer: Transfer) -> JsonValue:
    """What `tied` shows, for a program."""
    parent = transfer.parent
    return {
        "replaces": [{"transfer": each.id.hex(), "fee": each.draft.fee} for each in transfer.replaced],
        "speeds_up": None if parent is None else {"transfer": parent.id.hex(), "fee": parent.draft.fee},
    }


def fees_data(case: Case) -> dict[str, JsonValue]:
    """What `fee_rows` shows, for a program: sats before this fee, and sat/kvB with what is sped up."""
    return {"fees_before": case.fees_before, "sat_per_kvb_together": case.rate_together}
