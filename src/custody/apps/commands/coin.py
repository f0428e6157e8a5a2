"""What coins are there, in which state, and what did a look at the chain add?

How a coin reads, and what its states mean, is for `views.coin`.
"""

from __future__ import annotations

from collections import Counter

import click

from custody.apps.commands.telling import tell_progress, warn_dropped, warn_frozen, warn_of_theft
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

_vault_option = click.option("--vault", metavar="NAME", help="This vault only.")


@click.command(name="list", cls=Verb)
@_vault_option
def list_coins(*, vault: str | None) -> None:
    """List the coins: state, amount, class, payer, address.

    A coin is seen, then mature; held by a transfer; and at last spent. One that came to an address nobody was given
    says "not issued": find out who sent it before it is counted as anybody's.
    """
    history = coordinator().history()
    warn_frozen(history)
    coins = coins_of(history, vault)
    output().emit([coin_data(each, history) for each in coins], lambda: coins_table(coins, history))


@click.command(cls=Verb)
@_vault_option
def balance(*, vault: str | None) -> None:
    """Show what the vaults hold: mature, held and only seen."""
    history = coordinator().history()
    warn_frozen(history)
    totals = totals_of(history, vault)
    output().emit(totals_data(totals), lambda: totals_table(totals))


@click.command(cls=Verb)
def observe() -> None:
    """Look at the chain: deposits, maturity, confirmations, alarms.

    Everything found is entered in the log. A spend that no released transfer explains freezes everything. What was sent
    and has been dropped since by the node is told; that is the node's word, and not entered.
    """
    with coordinator().work() as work:
        seen = work.custodian.observe(tell_progress())
        # Before the node is asked again, which may fail: the alarm must not.
        warn_of_theft(seen)
        underway = work.custodian.underway()
    counts = Counter(each.value for each in seen.added)
    output().emit(
        {"height": seen.height, "added": dict(counts), "underway": underway_data(underway)}, observation_text(seen)
    )
    warn_dropped(underway)
