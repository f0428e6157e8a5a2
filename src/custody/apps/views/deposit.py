"""Which addresses were given out, to whom, what came to them, and how does that read? Amounts are sats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.views.layout import Data, Theirs, bitcoin, counted, said, table
from custody.dates import moment
from custody.history import lists
from custody.history.holdings import holdings, issued_for
from custody.history.questions import History
from custody.history.tables import HoldingRow
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.vault.descriptor import Branch

_RIGHT: Final = frozenset({0, 2, 6})


@dataclass(frozen=True, slots=True)
class GivenAddress:
    """An address that was given out, and the deposits that came to it, spent ones included.

    `annex` says to whom, None when that was erased; `annexed` is the log entry that has it, or had.
    """

    issued: AddressIssued
    annex: AddressAnnex | None
    annexed: int | None
    address: str
    deposits: tuple[HoldingRow, ...]

    @property
    def paid(self) -> int:
        """Sats that came in."""
        return sum(each.amount for each in self.deposits)


def given_out(history: History, name: str) -> list[GivenAddress]:
    """Every address of a vault that was issued, with what came to it."""
    vault = history.charter.vault(name)
    came: dict[int, list[HoldingRow]] = {}
    for each in holdings(history, vault.id):
        if issued_for(history, each) is not None:
            came.setdefault(each.index, []).append(each)
    return [
        GivenAddress(
            issued,
            history.annex(AddressAnnex, issued.annex),
            history.annexed_at(issued.annex),
            vault.address(Branch.RECEIVE, issued.index),
            tuple(came.get(issued.index, ())),
        )
        for issued in lists.addresses(history, vault.id)
    ]


def given_table(given: Sequence[GivenAddress]) -> str:
    """The same for a person."""
    if not given:
        return "no address was issued yet"
    rows = [
        (
            str(each.issued.index),
            moment(each.issued.at),
            _paid(each),
            each.issued.coin_class,
            said(None if each.annex is None else each.annex.payer),
            "" if each.annex is None else Theirs(each.annex.purpose),
            "" if each.annexed is None else str(each.annexed),
            each.address,
        )
        for each in given
    ]
    return "\n".join(
        table([("index", "issued", "paid", "class", "payer", "purpose", "annex", "address"), *rows], _RIGHT)
    )


def _paid(each: GivenAddress) -> str:
    if not each.deposits:
        return "not paid"
    count = len(each.deposits)
    return bitcoin(each.paid) if count == 1 else f"{bitcoin(each.paid)} in {counted(count, 'deposit')}"


def given_data(each: GivenAddress) -> Data:
    """One of them for a program."""
    issued = each.issued
    return {
        "index": issued.index,
        "address": each.address,
        "payer": None if each.annex is None else each.annex.payer,
        "purpose": None if each.annex is None else each.annex.purpose,
        "annex_entry": each.annexed,
        "class": issued.coin_class,
        "issued": issued.at,
        "is_paid": bool(each.deposits),
        "paid": each.paid,
        "deposits": [{"outpoint": str(d.outpoint), "amount": d.amount, "height": d.height} for d in each.deposits],
    }
