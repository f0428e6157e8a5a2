"""How is an address given out for a deposit, and which of them were paid?

An address is issued once, to one payer, for a purpose and for coins of a class, and all of it stands in the log.
Amounts are sats.
"""

from __future__ import annotations

from itertools import islice

import click

from custody.apps.coordinator import coordinator
from custody.apps.terminal import Verb, output
from custody.apps.vaults import compare_vault_in
from custody.apps.views.deposit import given_data, given_out, given_table
from custody.history import lists
from custody.history.questions import History
from custody.transfer.address import AddressAnnex, AddressIssued, ExpectedDeposit

_LOOKED_BACK = 100
"""Addresses that are looked at to find one that was given for the same."""

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
    be given. An address is issued once: asked again for the same, this gives the next one. Payer and purpose may be
    erased later (custody log erase).

    Do not send the payer what this screen shows. Have officers state it (custody vault statement).
    """
    expected = ExpectedDeposit(payer, purpose, coin_class)
    desk = coordinator()
    if descriptor_file is not None:
        compare_vault_in(descriptor_file, desk.charter(), name)
    with desk.work() as work:
        history = work.custodian.history()
        vault = history.charter.vault(name).id
        newest = islice(lists.addresses(history, vault, backwards=True), _LOOKED_BACK)
        before = sorted(each.index for each in newest if _is_for(each, expected, history))
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


def _is_for(issued: AddressIssued, expected: ExpectedDeposit, history: History) -> bool:
    said = history.annex(AddressAnnex, issued.annex)
    given = None if said is None else (said.payer, said.purpose, issued.coin_class)
    return given == (expected.payer, expected.purpose, expected.coin_class)


# --- listing ----------------------------------------------------------------------------------------------------------


@click.command(cls=Verb)
@click.argument("name")
def addresses(*, name: str) -> None:
    """List the addresses issued: to whom, what for, what was paid.

    Payments count from the first block that holds them; custody coin list shows how deep each is.
    """
    history = coordinator().history()
    given = given_out(history, name)
    output().emit({"addresses": [given_data(each) for each in given]}, lambda: given_table(given))
