"""What a draft is made from: coins of the story's vault, and a plan for any request."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from custody.bitcoin.transaction import OutPoint
from custody.testing.cast import Chance
from custody.transfer.draft import Draft, Plan, draft, terms_of
from custody.transfer.request import Purpose, RequestedPayment
from custody.transfer.selection import Take, select_coins, select_everything
from custody.vault.coins import Coin

HEIGHT = 150


@pytest.fixture
def coins(told) -> list[Coin]:
    vault = told.cast.vault
    return [
        Coin(
            OutPoint(bytes([n]) * 32, n),
            10_000_000 + n,
            vault.script_pubkey(n % 2, n),
            n % 2,
            n,
            100,
            is_coinbase=False,
        )
        for n in range(6)
    ]


@pytest.fixture
def plan_of(told, edit):
    def make(*payments: tuple[str, int | None], purpose: Purpose = Purpose.PAYMENT, **rest: object) -> Plan:
        asked = tuple(RequestedPayment(payee=payee, amount=amount) for payee, amount in payments)
        replaces = (bytes(32),) if purpose is Purpose.CANCELLATION else ()
        request = edit(told.request, payments=asked, purpose=purpose, replaces=replaces)
        made = Plan(
            request=request,
            charter=told.charter,
            entry=told.charter.vaults[0],
            vault=told.cast.vault,
            next_change=4,
            next_receive={"reserve": 9},
            height=HEIGHT,
            rate=5_000,
            at=told.now,
        )
        return replace(made, **rest)

    return make


def drafted(plan: Plan, coins: list[Coin], seed: int = 0) -> Draft:
    below = Chance(seed).below
    terms = terms_of(plan)
    if plan.request.purpose is Purpose.PAYMENT:
        selection = select_coins(coins, terms, below)
    else:
        selection = select_everything(coins, terms, Take.ALL)
    return draft(plan, selection, below)


@pytest.fixture(scope="session", name="drafted")
def _drafted() -> Callable[..., Draft]:
    return drafted
