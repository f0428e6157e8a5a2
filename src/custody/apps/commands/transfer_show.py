"""How far has a request or a transfer come?"""

from __future__ import annotations

import click

from custody.apps.commands.telling import tell_next, warn_dropped
from custody.apps.coordinator import (
    Coordinator,
    RequestUndrafted,
    coordinator,
    find_request,
    find_transfer,
    own_clock,
)
from custody.apps.terminal import Verb, output
from custody.apps.views.alike import known_blocks, known_data
from custody.apps.views.layout import INDENT, SHORT, block, screen
from custody.apps.views.request import request_data, request_text
from custody.apps.views.sending import standing_text
from custody.apps.views.transfer import reason_of, transfer_data, transfer_text
from custody.delivery import Underway, underway
from custody.errors import BackendError
from custody.transfer.request import read_request
from custody.transfer.state import Transfer


@click.command(cls=Verb)
@click.argument("transfer_id", metavar="ID")
def show(*, transfer_id: str) -> None:
    """Show one transfer: payees, rules, approvals, signatures.

    ID is a transfer's or its request's, whole or its beginning. Where the node has what was sent is asked of it.
    """
    desk = coordinator()
    history = desk.history()
    try:
        found = find_transfer(transfer_id, history)
    except RequestUndrafted:
        found = find_request(transfer_id, history)
        request = read_request(history.request(found))
        reason = reason_of(request, history)
        annexed = history.annexed_at(request.annex)
        output().emit(
            {**request_data(request, reason), **known_data(request, history), "annex_entry": annexed},
            lambda: screen(request_text(request, reason), *known_blocks(request, history)),
        )
        output().next_step(f"custody transfer draft {found.hex()[:SHORT]}")
        return
    transfer, now = history.transfer(found), own_clock().now()
    sent = _underway(desk, transfer)
    standing = sent[0].standing if sent else None
    output().emit(
        {**transfer_data(transfer, history, now), **known_data(transfer.request, history), "standing": standing},
        lambda: screen(
            transfer_text(transfer, history, now),
            block("At the node", [] if standing is None else [f"{INDENT}{standing_text(standing)}"]),
            *(known_blocks(transfer.request, history) if transfer.is_live else ()),
        ),
    )
    warn_dropped(sent)
    tell_next(desk, transfer, history)


def _underway(desk: Coordinator, transfer: Transfer) -> list[Underway]:
    """Where the node has the transfer, if it was sent and no block is known to hold it; nothing when it is away."""
    if transfer.release is None or transfer.seen is not None or not transfer.is_live:
        return []
    try:
        with desk.chain() as chain:
            return [
                each for each in underway(desk.history(), desk.outbox(), chain.relay) if each.transfer == transfer.id
            ]
    except BackendError as error:
        output().talk(f"whether it still waits for a block is not known: {error}")
        return []
