"""How is an address given out for a deposit, and which of them were paid?

An address is issued once, to one payer, for a purpose and for coins of a class, and all of it stands in the log.
Amounts are sats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from custody.apps.commands.transfer_show import warn_frozen
from custody.apps.commands.vault import FileNotText
from custody.apps.coordinator import coordinator
from custody.apps.station_commands.layout import bitcoin, counted, moment, table
from custody.apps.terminal import JsonValue, Verb, output, read_input
from custody.station import compare_vault
from custody.transfer.history import History
from custody.transfer.state import AddressIssued, ExpectedDeposit, Holding
from custody.vault.descriptor import MAX_DESCRIPTOR, Branch

_RIGHT = frozenset({0, 2})


# --- issuing ----------------------------------------------------------------------------------------------------------


@click.command(
    cls=Verb,
    epilog="Example: custody vault address reserve --payer 'Ministry of Justice' --purpose 'case 17' --class seized",
)
@click.argument("name")
@click.option("--payer", metavar="TEXT", default="", help="Who will pay here.")
@click.option("--purpose", metavar="TEXT", default="", help="Why: the case, contract or invoice.")
@click.option(
    "--class", "coin_class", metavar="LABEL", default="", help="Where the coins come from: seized, mined, bought..."
)
@click.option(
    "--descriptor", "descriptor_file", metavar="FILE", help="Refuse unless this descriptor is the charter's vault."
)
def address(*, name: str, payer: str, purpose: str, coin_class: str, descriptor_file: str | None) -> None:
    """Issue a vault's next deposit address.

    The address is derived from the pinned charter, and entered in the log with payer, purpose and class; all three must
    be given. An address is issued once: asked again for the same, this gives the next one.

    Do not send the payer what this screen shows. Have officers state it (custody vault statement).
    """
    expected = ExpectedDeposit(payer, purpose, coin_class)
    desk = coordinator()
    if descriptor_file is not None:
        compare_vault(desk.charter(), name, _descriptor(descriptor_file))
    with desk.work() as work:
        history = work.custodian.history()
        warn_frozen(history)
        vault = history.charter.vault(name).id
        before = [i for (of, i), each in history.addresses.items() if of == vault and each.expected == expected]
        issued = work.custodian.issue_address(name, expected)
    if before:
        given = ", ".join(map(str, before))
        output().talk(
            f"the same payer was given index {given} for this before; an address is never given again: this one is new"
        )
    output().emit(
        {
            "vault": issued.vault,
            "index": issued.index,
            "address": issued.address,
            "payer": payer,
            "purpose": purpose,
            "class": coin_class,
            "issued_before": before,
        },
        issued.address,
    )
    output().next_step(f"have officers state it for the payer: custody vault statement {name} {issued.index} -o FILE")


def _descriptor(path: str) -> str:
    try:
        return read_input(path, MAX_DESCRIPTOR).decode("ascii").strip()
    except UnicodeDecodeError:
        raise FileNotText(what="the descriptor's file") from None


# --- listing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Given:
    """An address that was given out, and the deposits that came to it, spent ones included."""

    issued: AddressIssued
    address: str
    deposits: tuple[Holding, ...]

    @property
    def paid(self) -> int:
        """Sats that came in."""
        return sum(each.seen.amount for each in self.deposits)


@click.command(cls=Verb)
@click.argument("name")
def addresses(*, name: str) -> None:
    """List the addresses issued: to whom, what for, what was paid.

    Payments count from the first block that holds them; custody coin list shows how deep each is.
    """
    history = coordinator().history()
    warn_frozen(history)
    given = _given(history, name)
    output().emit([_given_data(each) for each in given], lambda: _given_table(given))


def _given(history: History, name: str) -> list[_Given]:
    vault = history.charter.vault(name)
    came: dict[int, list[Holding]] = {}
    for each in history.holdings.values():
        if each.seen.vault == vault.id and each.seen.branch == Branch.RECEIVE:
            came.setdefault(each.seen.index, []).append(each)
    return [
        _Given(issued, vault.address(Branch.RECEIVE, index), tuple(came.get(index, ())))
        for (of, index), issued in history.addresses.items()
        if of == vault.id
    ]


def _given_table(given: Sequence[_Given]) -> str:
    if not given:
        return "no address was issued yet"
    rows = [
        (
            str(each.issued.index),
            moment(each.issued.at),
            _paid(each),
            each.issued.coin_class,
            each.issued.payer,
            each.issued.purpose,
            each.address,
        )
        for each in given
    ]
    return "\n".join(table([("index", "issued", "paid", "class", "payer", "purpose", "address"), *rows], _RIGHT))


def _paid(each: _Given) -> str:
    if not each.deposits:
        return "not paid"
    count = len(each.deposits)
    return bitcoin(each.paid) if count == 1 else f"{bitcoin(each.paid)} in {counted(count, 'deposit')}"


def _given_data(each: _Given) -> JsonValue:
    issued = each.issued
    return {
        "index": issued.index,
        "address": each.address,
        "payer": issued.payer,
        "purpose": issued.purpose,
        "class": issued.coin_class,
        "issued": issued.at,
        "is_paid": bool(each.deposits),
        "paid": each.paid,
        "deposits": [
            {"outpoint": str(d.deposit.outpoint), "amount": d.seen.amount, "height": d.seen.height}
            for d in each.deposits
        ],
    }
