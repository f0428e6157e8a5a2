"""How do transfers stand to each other: which pay the same, replace or spend each other, which can still confirm?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from custody.bitcoin.transaction import OutPoint
from custody.errors import Refused
from custody.history import lists, tables
from custody.history.holdings import held_by, holding, unconfirmed
from custody.history.questions import History
from custody.transfer.approval import Opinion, refuse_vetoed
from custody.transfer.child import ChildParent, check_waiting
from custody.transfer.request import TransferRequest
from custody.transfer.settlement import Ending
from custody.transfer.state import Status, Transfer

_NEVER: Final = (Ending.SUPERSEDED, Ending.ABANDONED)
"""Endings after which what spends the outputs of a transfer cannot confirm either."""
MOST_ALIKE: Final = 5
"""Vetoes of one payment that are named, and transfers that may still pay it."""


class RequestInUse(Refused, code="REQUEST_IN_USE"):
    """A request that is drafted again while its first transfer may still pay, or has paid."""

    message = "request {request} is already transfer {transfer}, which is {status}"
    hint = (
        "One request pays once. Go on with that transfer: custody transfer show TRANSFER. Or withdraw it first, or "
        "have a new request signed that replaces it."
    )
    request: str
    transfer: str
    status: str


def refuse_drafted(history: History, request_id: bytes) -> None:
    """Pass when no transfer of this request can pay or has: one request pays once.

    Raises:
        RequestInUse: there is one. Two drafts of one request, both approved, would pay twice.
    """
    for transfer in lists.drafts_of(history, request_id):
        if transfer.is_live or transfer.is_bearer:
            raise RequestInUse(request=request_id.hex(), transfer=transfer.id.hex(), status=transfer.status)


def refuse_vetoed_request(history: History, request_id: bytes) -> None:
    """Pass when no officer has said no to a transfer of this request: whatever it is drafted as, it stays said.

    Raises:
        Vetoed: somebody did.
    """
    for _, row in history.state.under(tables.VETOES, request_id):
        refuse_vetoed(history.transfer(row.value).opinions)


@dataclass(frozen=True, slots=True)
class VetoedAlike:
    """An officer's no to a transfer that would have paid the same, sats (None: all there was), to the same payee."""

    officer: str
    transfer: bytes
    payee: str
    amount: int | None


def vetoed_alike(history: History, request: TransferRequest) -> tuple[VetoedAlike, ...]:
    """Who has said no to the same payee and amount before, the newest first and few of each."""
    found: list[VetoedAlike] = []
    for each in request.payments:
        prefix = tables.payment_key(each.payee, each.amount)
        for _, row in islice(history.state.under(tables.VETOED, prefix, backwards=True), MOST_ALIKE):
            transfer = history.transfer(row.value)
            officers = dict.fromkeys(one.officer for one in transfer.opinions if one.verdict is Opinion.VETO)
            found += [VetoedAlike(officer, transfer.id, each.payee, each.amount) for officer in officers]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class PaidAlike:
    """A transfer that may still pay the same, sats (None: all there is), to the same payee."""

    transfer: bytes
    status: Status
    payee: str
    amount: int | None


def paid_alike(history: History, request: TransferRequest) -> tuple[PaidAlike, ...]:
    """What else may pay the same payee the same, the newest first and few of each: of two, one may be a mistake.

    Not what the request is drafted as or takes the place of: of these, one at most can confirm.
    """
    rivals = (*lists.drafts_of(history, request.digest()), *map(history.transfer, request.replaces))
    groups = {each.group for each in rivals}
    found: list[PaidAlike] = []
    for each in request.payments:
        rows = history.state.under(tables.PAYING, tables.payment_key(each.payee, each.amount), backwards=True)
        transfers = (history.transfer(row.value) for _, row in rows)
        others = (other for other in transfers if other.group not in groups)
        found += [PaidAlike(one.id, one.status, each.payee, each.amount) for one in islice(others, MOST_ALIKE)]
    return tuple(dict.fromkeys(found))


def members(history: History, group: bytes) -> tuple[Transfer, ...]:
    """The transfers of a group, in the order they were drafted."""
    return tuple(history.transfer(row.value) for _, row in history.state.under(tables.MEMBERS, group))


def replaced_by(history: History, request: TransferRequest) -> tuple[Transfer, ...]:
    """What a draft of `request` has to conflict with now, in the order it was drafted.

    Of each group that it names: the transfers named, and all rivals, since it could meet any of them.

    Raises:
        TransferUnknown: it names a transfer that is not there.
    """
    named = {each: history.transfer(each) for each in request.replaces}
    groups = dict.fromkeys(each.group for each in named.values())
    found = (each for group in groups for each in members(history, group))
    return tuple(each for each in found if each.id in named or each.is_live or each.is_bearer)


def parent_of(history: History, request: TransferRequest) -> Transfer:
    """The transfer that the child which `request` asks for would speed up now.

    Raises:
        TransferUnknown: there is no such transfer.
        ChildParent: it does not wait for a block with change that is free.
    """
    parent = history.transfer(request.parent or b"")
    change = check_waiting(parent, history.charter.vault_by_id(request.vault)[1])
    holder = held_by(history, change.outpoint)
    problem = None
    if any(unconfirmed(history, outpoint) is not None for outpoint in parent.draft.outpoints):
        problem = "spends what waits for a block itself"
    elif is_displaced(history, parent):
        problem = "is replaced by a transfer that is signed already"
    elif holder is not None and all(each.group != holder for each in replaced_by(history, request)):
        problem = f"has a child already, {holder.hex()}: replace that"
    if problem is not None:
        raise ChildParent(parent=parent.id.hex(), problem=problem)
    return parent


def children(history: History, transfer: Transfer) -> tuple[Transfer, ...]:
    """The transfers that spend an output of one that was sent: they can confirm with it and never without."""
    if transfer.txid is None:
        return ()
    rows = history.state.under(tables.SPENDERS, transfer.txid)
    return tuple(history.transfer(row.value) for _, row in rows)


def is_orphaned(history: History, transfer: Transfer) -> bool:
    """Whether something else was buried in the place of a transfer whose output this one spends, or it was given up."""
    parents = _parents(history, transfer)
    return any(each.status is Status.ENDED and each.row.ending in _NEVER for each in parents)


def is_stranded(history: History, transfer: Transfer) -> bool:
    """Whether it spends an output of a transfer that a signed one is to take the place of."""
    return any(is_displaced(history, each) for each in _parents(history, transfer))


def is_displaced(history: History, transfer: Transfer) -> bool:
    """Whether a transfer that waits has a newer rival with enough signatures to be sent in its place."""
    if transfer.row.seen is not None:
        return False
    newer = (each for each in members(history, transfer.group) if each.row.drafted > transfer.row.drafted)
    return any(each.is_live and each.row.combined is not None for each in newer)


def is_superseded(history: History, transfer: Transfer) -> bool:
    """Whether another of its group is confirmed, or it spends what can never be."""
    others = members(history, transfer.group)
    return any(each.status is Status.CONFIRMED for each in others) or is_orphaned(history, transfer)


def coins_gone(history: History, transfer: Transfer) -> tuple[OutPoint, ...]:
    """The coins of a transfer that the chain no longer has for it, as far as is known here.

    A deposit may have lost its block, or something that is no rival of it has spent it. Whatever of a coin this copy of
    the log does not say, is not gone; neither is change that waits for a block.
    """
    return tuple(each for each in transfer.draft.outpoints if _is_gone(history, transfer, each))


def _is_gone(history: History, transfer: Transfer, outpoint: OutPoint) -> bool:
    row = holding(history, outpoint)
    if row is None:
        is_untold = history.state.has(tables.UNTOLD, outpoint.txid)
        return not is_untold and unconfirmed(history, outpoint) is None
    return row.spent_by is not None and row.spent_by not in {each.txid for each in members(history, transfer.group)}


def _parents(history: History, transfer: Transfer) -> list[Transfer]:
    txids = dict.fromkeys(outpoint.txid for outpoint in transfer.draft.outpoints)
    released = (history.state.get(tables.RELEASED, txid) for txid in txids)
    return [history.transfer(row.value) for row in released if row is not None]
