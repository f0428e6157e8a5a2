"""Which requests and transfers are there: all of them, or those of a date, a state, a payee, a vault?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from custody.apps.coordinator import coordinator, find_transfer, own_clock
from custody.apps.since import seconds_at
from custody.apps.terminal import Verb, output
from custody.apps.views.layout import SHORT
from custody.apps.views.request import request_data
from custody.apps.views.transfer import reason_of, transfer_data
from custody.apps.views.transfers import transfers_table
from custody.clock import CLOCK_SKEW
from custody.history import lists
from custody.transfer.request import TransferRequest, read_request
from custody.transfer.state import Status, Transfer

PAGE: Final = 100
"""Transfers that are listed when nobody says how many."""
LOOKED: Final = 1_000
"""Transfers that are looked at for one list: whoever seeks few among many goes on from there."""
REQUESTED: Final = "requested"
"""The state of a request that no transfer was drafted for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is listed: since when (Unix seconds), in which states, for which payees, from which vaults (ids).

    An empty set leaves it open.
    """

    since: int | None
    states: frozenset[str]
    payees: frozenset[str]
    vaults: frozenset[bytes]

    @property
    def is_open(self) -> bool:
        """Whether everything is wanted."""
        return self.since is None and not (self.states or self.payees or self.vaults)

    def takes(self, transfer: Transfer) -> bool:
        """Whether a transfer is wanted; what costs least is asked first."""
        return (
            (not self.states or transfer.status.value in self.states)
            and self._takes_vault(transfer.row.vault)
            and (self.since is None or transfer.draft.at >= self.since)
            and self._pays(transfer.request)
        )

    def takes_request(self, request: TransferRequest) -> bool:
        """Whether a request that waits to be drafted is wanted."""
        return (
            (not self.states or REQUESTED in self.states)
            and self._takes_vault(request.vault)
            and (self.since is None or request.issued >= self.since)
            and self._pays(request)
        )

    def is_past(self, transfer: Transfer) -> bool:
        """Whether everything that was drafted before this one is too old."""
        return self.since is not None and transfer.draft.at < self.since - CLOCK_SKEW

    def _takes_vault(self, vault: bytes) -> bool:
        return not self.vaults or vault in self.vaults

    def _pays(self, request: TransferRequest) -> bool:
        return not self.payees or any(each.payee in self.payees for each in request.payments)


@click.command(name="list", cls=Verb)
@click.option("--live", "is_live", is_flag=True, help="Only what is not settled or over yet.")
@click.option("--since", metavar="DATE", help="Drafted on this day (UTC) or later, such as 2026-01-31.")
@click.option(
    "--status",
    "states",
    multiple=True,
    type=click.Choice([REQUESTED, *(each.value for each in Status)]),
    help="In this state. May be repeated.",
)
@click.option("--payee", "payees", metavar="PAYEE", multiple=True, help="That pay this payee. May be repeated.")
@click.option("--vault", "vaults", metavar="VAULT", multiple=True, help="From this vault. May be repeated.")
@click.option("--most", type=click.IntRange(1), default=PAGE, show_default=True, help="How many transfers at most.")
@click.option("--before", metavar="ID", help="The ones drafted before this transfer.")
def list_transfers(  # noqa: PLR0913 - click gives each option by its name
    *,
    is_live: bool,
    since: str | None,
    states: tuple[str, ...],
    payees: tuple[str, ...],
    vaults: tuple[str, ...],
    most: int,
    before: str | None,
) -> None:
    """List requests and transfers, and how far they are.

    The newest transfers, the latest of them last. An id may be shortened in every command: six digits are enough while
    they name one transfer only.
    """
    history = coordinator().history()
    wanted = Wanted(
        since=None if since is None else seconds_at(since),
        states=frozenset(states),
        payees=frozenset(history.charter.payee(each).name for each in payees),
        vaults=frozenset(history.charter.vault(each).id for each in vaults),
    )
    end = None if before is None else history.transfer(find_transfer(before, history)).row.drafted
    if is_live:
        transfers, last = tuple(filter(wanted.takes, lists.live(history))), None
    else:
        transfers, last = _page(lists.drafted(history, end), wanted, most)
    requests = [read_request(each) for each in lists.undrafted(history)]
    requests = [each for each in requests if wanted.takes_request(each)]
    output().emit(
        {
            "requests": [request_data(each, reason_of(each, history)) for each in requests],
            "transfers": [transfer_data(each, history, own_clock().now()) for each in transfers],
            "before": None if last is None else last.id.hex(),
        },
        lambda: transfers_table(requests, transfers, history, is_all=wanted.is_open and end is None),
    )
    if last is not None:
        output().talk(f"there may be earlier ones: custody transfer list --before {last.id.hex()[:SHORT]}")


def _page(newest_first: Iterator[Transfer], wanted: Wanted, most: int) -> tuple[tuple[Transfer, ...], Transfer | None]:
    """The newest that are wanted, in the order they were drafted; and the last one looked at when there may be more."""
    found: list[Transfer] = []
    for looked, transfer in enumerate(newest_first, start=1):
        if wanted.is_past(transfer):
            break
        if wanted.takes(transfer):
            found.append(transfer)
        if len(found) == most or looked == LOOKED:
            return tuple(reversed(found)), transfer
    return tuple(reversed(found)), None
