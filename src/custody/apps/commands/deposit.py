"""How is an address given out for a deposit, and which of them were paid?

An address is issued once, to one payer, for a purpose and for coins of a class, and all of it stands in the log.
Amounts are sats.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Final, TypeAlias

import click

from custody.apps.commands.csv_file import MAX_CSV
from custody.apps.commands.deposits_file import MOST_AT_ONCE, parse_deposits
from custody.apps.coordinator import coordinator
from custody.apps.files import FileKind, read_foreign
from custody.apps.terminal import Verb, output, plain
from custody.apps.vaults import compare_vault_in
from custody.apps.views.deposit import given_data, given_out, given_table
from custody.apps.views.layout import Data, Theirs, table
from custody.custodian import Issued
from custody.history import lists
from custody.history.questions import History
from custody.transfer.address import AddressAnnex, ExpectedDeposit

_LOOKED_BACK: Final = 100
"""Addresses that are looked at to find one that was given for the same."""

IssuedFor: TypeAlias = tuple[Issued, ExpectedDeposit, Sequence[int]]
"""An address that was just issued, what for, and the indexes that were given out for the same before."""

# --- issuing ----------------------------------------------------------------------------------------------------------


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  custody vault address reserve --payer 'Ministry of Justice' --purpose 'case 17' --class seized
  custody vault address reserve --from deposits.csv""",
)
@click.argument("name")
@click.option("--payer", metavar="TEXT", default="", help="Who will pay here.")
@click.option("--purpose", metavar="TEXT", default="", help="Why: the case, contract or invoice.")
@click.option(
    "--class", "coin_class", metavar="LABEL", default="", help="Where the coins come from: seized, mined, bought..."
)
@click.option("--count", type=click.IntRange(1, MOST_AT_ONCE), help="So many addresses for the same.")
@click.option(
    "--from", "list_file", metavar="FILE", help="One for each line of a CSV with the columns payer, purpose and class."
)
@click.option(
    "--descriptor", "descriptor_file", metavar="FILE", help="Refuse unless this descriptor is the charter's vault."
)
def address(  # noqa: PLR0913 - click gives each option by its name
    *,
    name: str,
    payer: str,
    purpose: str,
    coin_class: str,
    count: int | None,
    list_file: str | None,
    descriptor_file: str | None,
) -> None:
    """Issue a vault's next deposit address.

    The address is derived from the pinned charter, and entered in the log with payer, purpose and class; all three must
    be given. An address is issued once: asked again for the same, this gives the next one. Payer and purpose may be
    erased later (custody log erase). With --count or --from all are issued, or none.

    Do not send the payer what this screen shows. Have officers state it (custody vault statement).
    """
    if list_file is None:
        expected = [ExpectedDeposit(payer, purpose, coin_class)] * (count or 1)
    elif count is not None or payer or purpose or coin_class:
        raise click.UsageError("--from says what each address is for: give neither --count nor --payer and the like")
    else:
        expected = parse_deposits(read_foreign(list_file, MAX_CSV, FileKind.UNKNOWN, "a list of deposits"))
    desk = coordinator()
    if descriptor_file is not None:
        compare_vault_in(descriptor_file, desk.charter(), name)
    with desk.work() as work:
        history = work.custodian.history()
        before = _given_before(history, history.charter.vault(name).id)
        issued = work.custodian.issue_addresses(name, expected)
    given = [
        (each, said, sorted(before.get((said.payer, said.purpose, said.coin_class), ())))
        for each, said in zip(issued, expected, strict=True)
    ]
    _warn_of_earlier(given)
    if count is None and list_file is None:
        output().emit(_issued_data(*given[0]), issued[0].address)
    else:
        output().emit({"addresses": [_issued_data(*each) for each in given]}, lambda: _issued_table(given))
    at = str(issued[0].index) if len(issued) == 1 else "INDEX"
    output().next_step(f"have officers state it for the payer: custody vault statement {name} {at} -o FILE")


def _given_before(history: History, vault: bytes) -> dict[tuple[str, str, str], list[int]]:
    """At which of the newest indexes an address was given for the same payer, purpose and class."""
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for each in islice(lists.addresses(history, vault, backwards=True), _LOOKED_BACK):
        said = history.annex(AddressAnnex, each.annex)
        if said is not None:
            found[said.payer, said.purpose, each.coin_class].append(each.index)
    return found


def _warn_of_earlier(given: Sequence[IssuedFor]) -> None:
    """Say for whom addresses were given before, each payer and purpose once."""
    told = dict.fromkeys((said.payer, said.purpose, tuple(before)) for _, said, before in given if before)
    for payer, _, before in told:
        indexes = ", ".join(map(str, before))
        whom = "the same payer" if len(given) == 1 else plain(payer)
        output().talk(
            f"{whom} was given index {indexes} for this before; an address is never given again: this one is new"
        )


def _issued_data(issued: Issued, expected: ExpectedDeposit, before: Sequence[int]) -> Data:
    """The same for a program."""
    return {
        "vault": issued.vault,
        "index": issued.index,
        "address": issued.address,
        "payer": expected.payer,
        "purpose": expected.purpose,
        "class": expected.coin_class,
        "issued_before": list(before),
    }


def _issued_table(given: Sequence[IssuedFor]) -> str:
    """Several for a person, in the order in which they were asked for."""
    rows = [
        (str(each.index), each.address, Theirs(for_.payer), Theirs(for_.purpose), for_.coin_class)
        for each, for_, _ in given
    ]
    return "\n".join(table([("index", "address", "payer", "purpose", "class"), *rows], frozenset({0})))


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
