"""Which coins does a consolidation leave behind, and why?

It takes the smallest first, as many as fit into one transaction. So of what is still free, coins at least as large as
the largest one taken did not fit; smaller ones than those taken cost more to spend than they are worth.
"""

from __future__ import annotations

from dataclasses import dataclass

from custody.apps.views.layout import counted
from custody.history.holdings import spendable
from custody.history.questions import History
from custody.transfer.request import Purpose
from custody.transfer.state import Transfer


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Counts of coins: taken, left for another consolidation, and worth less than spending them costs."""

    taken: int
    for_another: int
    not_worth_it: int

    def lines(self) -> list[str]:
        """What a person should know; nothing when every coin was taken."""
        told: list[str] = []
        if self.for_another:
            larger = "1 larger coin is" if self.for_another == 1 else f"{self.for_another} larger coins are"
            told.append(
                f"{self.taken} coins are taken, the smallest: more do not fit into one transaction. "
                f"{larger} left for another consolidation"
            )
        if self.not_worth_it:
            told.append(f"{counted(self.not_worth_it, 'coin')} left alone: not worth the fee of spending it")
        return told


def left_behind(transfer: Transfer, history: History) -> LeftBehind | None:
    """What a transfer that was just drafted leaves of its vault's coins; None when it is no consolidation."""
    if transfer.request.purpose is not Purpose.CONSOLIDATION:
        return None
    spent = transfer.draft.identity.spent
    largest = max(each.amount for each in spent)
    free = spendable(history, transfer.row.vault)
    for_another = sum(coin.amount >= largest for coin in free)
    return LeftBehind(len(spent), for_another, len(free) - for_another)
