"""What coins are there, in which state, and what did a look at the chain add?

How a coin reads, and what its states mean, is for `views.coin`.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Final

import click

from custody.apps.commands.telling import ask_underway, tell_progress, warn_dropped, warn_of_theft, warn_unread
from custody.apps.coordinator import coordinator
from custody.apps.terminal import Verb, output
from custody.apps.views.coin import (
    coin_data,
    coins_of,
    coins_table,
    observation_text,
    totals_data,
    totals_of,
    totals_table,
)
from custody.apps.views.sending import underway_data
from custody.bitcoin.transaction import OutPoint
from custody.observer import Since

MAX_AHEAD: Final = 1_000_000
PAGE: Final = 200
"""Coins that are listed when nobody says how many."""

_vault_option = click.option("--vault", metavar="NAME", help="This vault only.")


@click.command(name="list", cls=Verb)
@_vault_option
@click.option("--most", type=click.IntRange(1), default=PAGE, show_default=True, help="How many coins at most.")
@click.option("--after", metavar="TXID:N", help="The ones behind this coin.")
def list_coins(*, vault: str | None, most: int, after: str | None) -> None:
    """List the coins: state, amount, class, payer, address.

    A coin is seen, then mature; held by a transfer; and at last spent. One that came to an address nobody was given
    says "not issued" and is quarantined: find out who sent it before an officer releases it (custody coin release).
    """
    history = coordinator().history()
    begin = None if after is None else OutPoint.parse(after)
    coins = list(islice(coins_of(history, vault, begin), most))
    more = None if len(coins) < most else str(coins[-1].holding.outpoint)
    output().emit(
        {"coins": [coin_data(each, history) for each in coins], "after": more}, lambda: coins_table(coins, history)
    )
    if more is not None:
        output().talk(f"there may be more: custody coin list --after {more}")


@click.command(cls=Verb)
@_vault_option
def balance(*, vault: str | None) -> None:
    """Show what the vaults hold: mature, held, seen, quarantined.

    What is mature may be spent; what is quarantined may not, until an officer releases it.
    """
    history = coordinator().history()
    totals = totals_of(history, vault)
    output().emit({"vaults": totals_data(totals)}, lambda: totals_table(totals))


@click.command(cls=Verb)
@click.option("--from", "height", metavar="HEIGHT", type=click.IntRange(0), help="Read blocks again from here on.")
@click.option(
    "--ahead",
    metavar="COUNT",
    type=click.IntRange(0, MAX_AHEAD),
    default=0,
    help="Then look so many addresses beyond those in use.",
)
def observe(*, height: int | None, ahead: int) -> None:
    """Look at the chain: deposits, maturity, confirmations, alarms.

    Everything found is entered in the log. A spend that no transfer explains freezes everything, until its block loses
    its place: every command says so until then, and this one exits with 6, whatever else comes of it. One that was sent
    before its release is settled and told. What the node has dropped since it was sent is told too; that is the node's
    word, and not entered.

    Coins from before a vault's birthday, or further on than addresses are watched, are taken in with --from and
    --ahead; custody coin reconcile finds them.
    """
    if ahead and height is None:
        raise click.UsageError("--ahead belongs to --from: blocks that were read are not read again without it.")
    output().is_watching = True
    with coordinator().work() as work:
        seen = work.custodian.observe(tell_progress(), None if height is None else Since(height, ahead))
        # Before the node is asked again, which may fail: the alarm must not.
        warn_of_theft(seen)
        warn_unread(seen)
        underway = ask_underway(work.custodian.underway)
    counts = Counter(str(each) for each in seen.added)
    output().emit(
        {
            "height": seen.height,
            "added": dict(counts),
            "unread_blocks": {"first": seen.unread[0], "last": seen.unread[-1]} if seen.unread else None,
            "underway": underway_data(underway),
        },
        observation_text(seen),
    )
    warn_dropped(underway or ())
