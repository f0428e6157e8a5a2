"""What else is known of the payments that a transfer is to make: a no, or another that may make them too?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from custody.apps.terminal import JsonValue
from custody.apps.views.layout import Data, block, listed, sats
from custody.history.questions import History
from custody.history.relations import PaidAlike, VetoedAlike, paid_alike, vetoed_alike
from custody.transfer.request import TransferRequest


def alike_blocks(vetoed: Sequence[VetoedAlike], paid: Sequence[PaidAlike]) -> list[str]:
    """For a person: a block for each of the two, empty where there is nothing."""
    return [
        block("Vetoed before", listed(_vetoed_lines(vetoed))),
        block("May be paid twice: the same to the same payee", listed(_paid_lines(paid))),
    ]


def alike_data(vetoed: Iterable[VetoedAlike], paid: Iterable[PaidAlike]) -> Data:
    """For a program."""
    before: list[JsonValue] = [
        {"officer": each.officer, "transfer": each.transfer.hex(), "payee": each.payee, "amount": each.amount}
        for each in vetoed
    ]
    beside: list[JsonValue] = [
        {
            "transfer": each.transfer.hex(),
            "status": each.status.value,
            "payee": each.payee,
            "amount": each.amount,
        }
        for each in paid
    ]
    return {"vetoed_before": before, "paid_alike": beside}


def known_blocks(request: TransferRequest, history: History) -> list[str]:
    """The blocks, as the log knows."""
    return alike_blocks(vetoed_alike(history, request), paid_alike(history, request))


def known_data(request: TransferRequest, history: History) -> Data:
    """The data, as the log knows."""
    return alike_data(vetoed_alike(history, request), paid_alike(history, request))


def _vetoed_lines(vetoed: Iterable[VetoedAlike]) -> list[str]:
    return [
        f"{each.officer} vetoed {_amount(each.amount)} to {each.payee}: transfer {each.transfer.hex()}"
        for each in vetoed
    ]


def _paid_lines(paid: Iterable[PaidAlike]) -> list[str]:
    return [f"{_amount(each.amount)} to {each.payee}: transfer {each.transfer.hex()}, {each.status}" for each in paid]


def _amount(amount: int | None) -> str:
    return "everything" if amount is None else sats(amount)
