"""May a transfer take the place of those it replaces, and what do their fees come to together?

1. It is for the same, and pays the same payees the same amounts, unless it is a cancellation or replaces one.
2. It takes no coin that none of them takes, as long as their coins are enough.
3. All their fees are one fee to the charter's ceiling in sats (`fees_before`, judged by the fee rules).
4. Nodes will take it: more in sats and a better rate than what it throws out, which a payee may have built on and no
   log knows. Asked when it is drafted, and only there: what nodes hold stands in no log.

1 to 3 follow from the log, so whoever judges a draft judges them. That each spends a coin of the others is for the fold
(`history`). Amounts in sats, rates in sat/kvB. Sources: BIP 125, rules 3 and 4; Bitcoin Core, policy/rbf.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.transaction import OutPoint
from custody.errors import Refused
from custody.transfer.draft import Draft, signed_weight
from custody.transfer.request import Purpose, TransferRequest
from custody.transfer.state import Transfer
from custody.units import fee_at, rate_of, vsize
from custody.vault.descriptor import Vault

INCREMENTAL_RATE: Final = 1_000
"""sat/kvB that a replacement pays on top for its own size. Newer nodes ask for less; those they pass it to may not."""
MAX_EVICTED: Final = 100
"""Transactions that nodes throw out for one (BIP 125, rule 5)."""
_SAME_COINS: Final = (Purpose.SWEEP, Purpose.CONSOLIDATION)


class ReplacePayees(Refused, code="REPLACE_PAYEES"):
    """A replacement that is for something else than what it replaces."""

    message = "transfer {transfer} is {theirs}; what should replace it is {own}"
    hint = (
        "A replacement changes the fee and nothing else: custody transfer request --replaces TRANSFER, without --pay, "
        "takes everything over. To pay somebody else, cancel the transfer first."
    )
    transfer: str
    theirs: str
    own: str


class ReplaceInputs(Refused, code="REPLACE_INPUTS"):
    """A replacement with other coins than it needs."""

    message = "the replacement {problem}"
    hint = "Draft again: a replacement takes the coins of what it replaces, and one more only when they do not suffice."
    problem: str


class ReplaceFeeLow(Refused, code="REPLACE_FEE_LOW"):
    """A replacement that nodes would not take for what waits."""

    message = (
        "the fee of {fee} sat is too low to replace what waits ({evicted} sat): nodes ask for {needed} sat and more "
        "sat/kvB"
    )
    hint = "Draft again at a higher rate: custody transfer draft REQUEST --feerate {rate}, or more."
    fee: int
    evicted: int
    needed: int
    rate: int


class ReplaceTooMany(Refused, code="REPLACE_TOO_MANY"):
    """A replacement for which nodes would have to throw out more than they do."""

    message = "{count} transactions wait on what should be replaced, and nodes throw out {most} at most for another"
    hint = "Wait until it stands in a block, or speed up what waits with a child: custody transfer child TRANSFER."
    count: int
    most: int


@dataclass(frozen=True, slots=True)
class Evicted:
    """What nodes throw out with one transaction: its fee and those of all that spend it; its own rate; how many."""

    fee: int
    rate: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a node says of what a draft replaces: `step` is the rate that it asks for on top (sat/kvB)."""

    evicted: tuple[Evicted, ...] = ()
    step: int = INCREMENTAL_RATE


def check_replacement(drafted: Draft, request: TransferRequest, replaced: Sequence[Transfer]) -> None:
    """Rules 1 and 2, for a draft of `request` that replaces `replaced`.

    Raises:
        ReplacePayees, ReplaceInputs.
    """
    check_payees(request, replaced)
    _check_inputs(drafted, request, replaced)


def check_payees(request: TransferRequest, replaced: Iterable[Transfer]) -> None:
    """Rule 1: a replacement is what it replaces, at another fee.

    Raises:
        ReplacePayees: it is something else.
    """
    if request.purpose is Purpose.CANCELLATION:
        return
    for each in replaced:
        if each.request.purpose is not Purpose.CANCELLATION and _meaning(each.request) != _meaning(request):
            raise ReplacePayees(transfer=each.id.hex(), theirs=_show(each.request), own=_show(request))


def fees_before(transfer: Transfer) -> int:
    """Rule 3: sats of the fees that count with this one's: of all it replaces, and of what it speeds up likewise.

    Whoever was replaced counts, though one of them can confirm at most: a ceiling that began anew with each attempt
    would let the fee of one payment climb to any height, an approval at a time.
    """
    # Whatever replaces a child, a cancellation too, spends what its parent returns: the parent's fee is paid as well.
    parents = [each.parent for each in (transfer, *transfer.replaced) if each.parent is not None]
    lines = [transfer.replaced, parents, *(each.replaced for each in parents)]
    # By id, since those of one group speed up the same parent.
    before = {each.id: each for line in lines for each in line}
    # A draft that nobody would sign may claim a fee below nothing: it must not make room for another.
    return sum(max(0, each.draft.fee) for each in before.values())


def check_relayed(drafted: Draft, vault: Vault, waiting: Waiting) -> None:
    """Rule 4, for each transaction that nodes may hold now; they conflict, so at most one of them waits anywhere.

    Raises:
        ReplaceTooMany, ReplaceFeeLow: nodes would keep one of them.
    """
    size = vsize(signed_weight(drafted, vault))
    for each in waiting.evicted:
        if each.count > MAX_EVICTED:
            raise ReplaceTooMany(count=each.count, most=MAX_EVICTED)
        needed = each.fee + fee_at(max(waiting.step, INCREMENTAL_RATE), size)
        if drafted.fee < needed or rate_of(drafted.fee, size) <= each.rate:
            rate = max(rate_of(needed, size), each.rate + 1)
            raise ReplaceFeeLow(fee=drafted.fee, evicted=each.fee, needed=needed, rate=rate)


def _check_inputs(drafted: Draft, request: TransferRequest, replaced: Sequence[Transfer]) -> None:
    if not replaced:
        return
    amounts: dict[OutPoint, int] = {}
    for each in replaced:
        for spent in each.draft.identity.spent:
            # Of two drafts that claim different amounts of one coin, one lies: the larger leaves less room.
            amounts[spent.outpoint] = max(spent.amount, amounts.get(spent.outpoint, 0))
    theirs = sum(amounts.values())
    needed = sum(payment.amount for payment in request.wanted()) + drafted.fee
    for outpoint in drafted.outpoints:
        if outpoint not in amounts and theirs >= needed:
            raise ReplaceInputs(
                problem=f"spends {outpoint} too, though {needed} sat are needed and the coins of what it replaces come "
                f"to {theirs} sat"
            )
    sets = {frozenset(each.draft.outpoints) for each in replaced if each.request.purpose is request.purpose}
    # What such a transfer moves is what its coins come to: with fewer of them the payee would get less.
    if request.purpose in _SAME_COINS and sets and frozenset(drafted.outpoints) not in sets:
        raise ReplaceInputs(problem=f"is a {request.purpose} and does not take the coins of the one it replaces")


def _meaning(request: TransferRequest) -> tuple[object, ...]:
    """What two requests must share for one to replace the other; the order of payees says nothing."""
    payments = sorted((each.payee, each.amount or 0) for each in request.payments)
    return request.vault, request.purpose, request.parent, payments


def _show(request: TransferRequest) -> str:
    paid = sum(payment.amount for payment in request.wanted())
    payees = ", ".join(each.payee for each in request.payments[:3]) or "nobody"
    more = f" and {len(request.payments) - 3} more" if len(request.payments) > 3 else ""  # noqa: PLR2004 - as shown
    amount = f" of {paid} sat" if paid else ""
    return f"a {request.purpose}{amount} to {payees}{more}"
