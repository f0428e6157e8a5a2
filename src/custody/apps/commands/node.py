"""How far is the node, what would it take, and is its chain the one that the log has seen?"""

from __future__ import annotations

from collections.abc import Sequence

import click

from custody.apps.chains import Chain
from custody.apps.commands.telling import ask_underway, warn_dropped
from custody.apps.coordinator import coordinator, own_clock
from custody.apps.terminal import Verb, output
from custody.apps.views.node import Agreement, Look, node_data, node_text
from custody.custodian import why_unready
from custody.delivery import underway
from custody.history import lists
from custody.history.questions import History
from custody.looking import pruned_unread
from custody.ports import BlockUnknown, ChainView, OutboxRow
from custody.rate import rate_for


@click.command(cls=Verb)
def status() -> None:
    """Show how far the node is, and its fees.

    Drafting and release wait for a node that still downloads the chain, or whose newest block is hours old, and for
    clocks that do not agree; while everything is frozen they are refused. Shown too:
    whether it still has the blocks that are to be looked at, and where it has what was sent.
    """
    desk = coordinator()
    history, now = desk.history(), own_clock().now()
    with desk.chain() as chain:
        look = _look(chain, history, desk.outbox(), now)
    output().emit(node_data(look, history), lambda: node_text(look, history, now))
    warn_dropped(look.underway or ())


def _look(chain: Chain, history: History, rows: Sequence[OutboxRow], now: int) -> Look:
    status = chain.status()
    return Look(
        name=chain.name,
        network=chain.view.network,
        status=status,
        rate=rate_for(chain.relay),
        agreement=agreement(chain.view, history),
        missing=pruned_unread(history, status.first_block, status.tip.height),
        underway=ask_underway(lambda: underway(history, rows, chain.relay)),
        unready=why_unready(chain.view, now) or _why_frozen(history),
    )


def _why_frozen(history: History) -> str | None:
    return None if history.frozen_by is None else f"the vaults are frozen: {history.frozen_by}"


def agreement(view: ChainView, history: History) -> Agreement:
    """Whether `view` holds the newest block that the log has seen."""
    newest = lists.newest_block(history)
    if newest is None:
        return Agreement.NOTHING_SEEN
    height, seen = newest
    try:
        block = view.block_hash(height)
    except BlockUnknown:
        return Agreement.BEHIND
    return Agreement.AGREES if block == seen.block else Agreement.DIFFERS
