"""Which coins do the vaults have by the chain alone, and does the log agree?

What is asked for and compared is for `apps.unspent`. Amounts are sats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from custody.apps.commands.telling import tell_progress, warn_of_theft, warn_unread
from custody.apps.coordinator import OpenCoordinator, coordinator
from custody.apps.terminal import JsonValue, Verb, output
from custody.apps.unspent import Owner, differences, owners
from custody.apps.views.layout import bitcoin, counted
from custody.apps.views.unspent import difference_data, differences_table, found_data, scan_text
from custody.errors import IntegrityError
from custody.history import lists
from custody.history.questions import History
from custody.looking import ChainMoved

# The node's client takes long to load, and only its type is needed here.
if TYPE_CHECKING:
    from custody.backends.bitcoind import UtxoScan

AHEAD: Final = 10_000
"""Indexes of each branch that are asked for beyond the last one used: ten times what a look at the chain watches."""
_MOST_AHEAD: Final = 1_000_000
_LOOKS: Final = 3


class CoinsDiffer(IntegrityError, code="COINS_DIFFER"):
    """A log and a chain that do not know the same coins."""

    message = "the log and the set of unspent outputs differ in {count} coin(s) at height {height}"
    hint = (
        "Explain each before anything is signed: compare with another node, and look at the vault's descriptor. Coins "
        "from before a birthday, or far ahead, are taken in by: custody observe --from HEIGHT --ahead COUNT."
    )
    count: int
    height: int


_ahead_option = click.option(
    "--ahead",
    type=click.IntRange(0, _MOST_AHEAD),
    default=AHEAD,
    show_default=True,
    metavar="N",
    help="Addresses of each branch beyond the last one used.",
)


@click.command(cls=Verb)
@_ahead_option
def scan(*, ahead: int) -> None:
    """Ask the chain for every coin of every vault.

    The whole set of unspent outputs is searched, whatever the log says: on the main network it takes minutes. A pruned
    node has all of it. Nothing is entered in the log.
    """
    desk = coordinator()
    history = desk.history()
    known = owners(history, ahead)
    with desk.work() as work:
        found = work.chain.scan(known.keys())
    output().emit(
        {
            "height": found.height,
            "block": found.block_hash[::-1].hex(),
            "scripts": len(known),
            "total": found.total,
            "coins": [found_data(each, known, history) for each in found.outputs],
        },
        lambda: scan_text(found, known, history),
    )


@click.command(cls=Verb)
@_ahead_option
@click.pass_context
def reconcile(context: click.Context, *, ahead: int) -> None:
    """Compare the log with the chain's unspent outputs.

    The chain is looked at first, as observe does. Every coin that only one of the two knows, or that they tell
    differently, is listed; then the command exits with 6.
    """
    with coordinator().work() as work:
        history, found, known = _at_one_block(work, ahead)
    listed = differences(history, found, known)
    answer: dict[str, JsonValue] = {
        "height": found.height,
        "block": found.block_hash[::-1].hex(),
        "scripts": len(known),
        "coins": len(found.outputs),
        "total": found.total,
        "differences": [difference_data(each) for each in listed],
    }
    if not listed:
        output().emit(
            answer,
            f"height {found.height}: the log and the chain agree on {counted(len(found.outputs), 'coin')} "
            f"of {bitcoin(found.total)}; {len(known)} addresses were searched",
        )
        return
    error = CoinsDiffer(count=len(listed), height=found.height)
    if output().is_json:
        # A script gets one object: what is wrong, and what it is wrong in.
        answer["error"] = {"code": error.code, "message": str(error), "hint": error.advice()}
        output().emit(answer, "")
        context.exit(error.exit_code)
    output().emit(answer, lambda: differences_table(listed))
    raise error


def _at_one_block(work: OpenCoordinator, ahead: int) -> tuple[History, UtxoScan, dict[bytes, Owner]]:
    """Log, unspent outputs and the scripts asked for, all as of one block.

    Raises:
        ChainMoved: new blocks came each time.
    """
    height = 0
    for _ in range(_LOOKS):
        seen = work.custodian.observe(tell_progress())
        warn_of_theft(seen)
        warn_unread(seen)
        history = work.custodian.history()
        known = owners(history, ahead)
        found = work.chain.scan(known.keys())
        newest = lists.newest_block(history)
        if newest is not None and newest[1].block == found.block_hash:
            return history, found, known
        height = found.height
    raise ChainMoved(height=height)
