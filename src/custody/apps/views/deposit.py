"""Which addresses were given out, to whom, what came to them, and how does that read? Amounts are sats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.views.layout import Data, bitcoin, counted, moment, table
from custody.transfer.history import History
from custody.transfer.state import AddressIssued, Holding
from custody.vault.descriptor import Branch

_RIGHT: Final = frozenset({0, 2})


@dataclass(frozen=True, slots=True)
class GivenAddress:
    """An address that was given out, and the deposits that came to it, spent ones included."""

    issued: AddressIssued
    address: str
    deposits: tuple[Holding, ...]

    @property
    def paid(self) -> int:
        """Sats that came in."""
        return sum(each.seen.amount for each in self.deposits)


def given_out(history: History, name: str) -> list[GivenAddress]:
    """Every address of a vault that was issued, with what came to it."""
    vault = history.charter.vault(name)
    came: dict[int, list[Holding]] = {}
    for each in history.holdings.values():
        if each.seen.vault == vault.id and each.seen.branch == Branch.RECEIVE:
            came.setdefault(each.seen.index, []).append(each)
    return [
        GivenAddress(issued, vault.address(Branch.RECEIVE, index), tuple(came.get(index, ())))
        for (of, index), issued in history.addresses.items()
        if of == vault.id
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
            each.issued.payer,
            each.issued.purpose,
            each.address,
        )
        for each in given
    ]
    return "\n".join(table([("index", "issued", "paid", "class", "payer", "purpose", "address"), *rows], _RIGHT))


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
