"""Which draft does the coordinator make of a signed request, from which coins and at which rate?

A payment, sweep or consolidation takes coins that nothing else holds, and none that is quarantined. A replacement takes
the coins of the newest of those it replaces, then of all of them, and others only when these do not suffice; a
cancellation takes one coin of each and no more than it needs; a child takes its parent's change. Whatever comes out is
checked here as everybody else will check it, before a coin is held for it; and where nodes would rather keep what
waits, nothing is drafted.

1. Coins are chosen on the history as it was read, while nobody holds the store: a vault may have thousands.
2. In the transaction that holds them every rule is asked again, and what else a draft is made from is read as it stands
   then. When a coin is no longer free, nothing is drafted, and the caller chooses again.

Rates are sat/kvB, amounts sats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from custody.bitcoin.transaction import OutPoint, Transaction
from custody.charter.decide import refuse_frozen
from custody.charter.document import VaultPayee
from custody.history import lists, tables
from custody.history.holdings import spendable, still_free, unconfirmed, unspent
from custody.history.quarantine import CoinQuarantined, quarantined, seated
from custody.history.questions import History
from custody.history.relations import children, parent_of, refuse_drafted, refuse_vetoed_request, replaced_by
from custody.history.tables import outpoint_key
from custody.logbook import Work
from custody.transfer.child import carried, check_waiting, select_change
from custody.transfer.draft import Draft, Plan, draft, terms_of
from custody.transfer.proposal import ReplaceNoConflict, check_conflicts, refuse_far
from custody.transfer.replacement import Evicted, Waiting, check_payees, check_relayed, check_replacement
from custody.transfer.request import Purpose, TransferRequest, check_request, refuse_expired_request
from custody.transfer.selection import (
    Below,
    InsufficientFunds,
    Left,
    LeftBehind,
    Rates,
    Selection,
    Take,
    Terms,
    select_coins,
    select_everything,
    small_below,
)
from custody.transfer.state import Transfer
from custody.units import rate_of
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch, Vault

NOBODY_ASKED: Final = Waiting()
_ALL_THERE_IS: Final = (Purpose.SWEEP, Purpose.CONSOLIDATION)
"""What is to take all there is, so that what stays has to be said."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Coins for a request, by its id, at these rates, chosen when the log had `size` entries, and what they leave."""

    size: int
    request: bytes
    rates: Rates
    selection: Selection
    left: tuple[LeftBehind, ...]


def draft_for(work: Work, request_id: bytes, rates: Rates, below: Below) -> tuple[Draft, bytes]:
    """The draft for a request at `rates`, chosen now, and the id of the group of conflicting transfers it is in.

    Raises:
        As `choose` and `draft_chosen`.
    """
    chosen = draft_chosen(work, choose(work.history, request_id, rates, below, work.now), below)
    if chosen is None:
        raise AssertionError("nothing changes within one unit of work")
    return chosen


def choose(history: History, request_id: bytes, rates: Rates, below: Below, now: int) -> Choice:
    """Coins for a request at `rates`, as it stands at `now` (Unix seconds).

    Raises:
        Frozen, RequestExpired, RequestInUse: nothing is drafted for it now.
        ReplaceNoConflict, ReplacePayees: it may not replace what it names.
        ChildParent, ChildFeeLow: what it names cannot be sped up, or not so.
        InsufficientFunds, TooHeavy, NothingToConsolidate, OutputDust: its coins do not make it.
        CoinQuarantined: what it is to replace spends a coin that is quarantined by now.
    """
    plan, replaced = _asked(history, request_id, rates, now)
    selection = _select(plan, _Coins.of(history, plan.request, replaced), history, below)
    left: tuple[LeftBehind, ...] = ()
    if plan.request.purpose in _ALL_THERE_IS:
        groups, taken = frozenset(each.group for each in replaced), {coin.outpoint for coin in selection.coins}
        left = left_of(history, plan.vault, rates, taken, groups)
    return Choice(history.size, request_id, rates, selection, left)


def rivals(history: History, request_id: bytes) -> tuple[bytes, ...]:
    """Txids of what a draft of the request would replace and nodes may hold: of all that was ever signed."""
    replaced = replaced_by(history, check_request(history.request(request_id), history.charter))
    return tuple(Transaction.parse(each.verified.raw).txid for each in replaced if each.verified is not None)


def draft_chosen(
    work: Work, choice: Choice, below: Below, waiting: Waiting = NOBODY_ASKED
) -> tuple[Draft, bytes] | None:
    """The draft from chosen coins, and the id of its group; None when one of them is no longer free.

    `waiting` is what a node says of its `rivals`.

    Raises:
        Frozen, RequestExpired, RequestInUse: nothing is drafted for it now.
        ReplaceNoConflict, ReplacePayees, ReplaceInputs, ReplaceFeeLow, ReplaceTooMany: it may not replace what it
            names, or not so.
        ChildParent: what it names cannot be sped up any more.
    """
    history = work.history
    plan, replaced = _asked(history, choice.request, choice.rates, work.now)
    groups, coins = frozenset(each.group for each in replaced), choice.selection.coins
    if history.size != choice.size and not all(still_free(history, plan.vault.id, each, groups) for each in coins):
        return None
    drafted = draft(replace(plan, left=choice.left), choice.selection, below)
    check_conflicts(drafted, {each.id: each.draft for each in replaced})
    check_replacement(drafted, plan.request, replaced)
    known = tuple(_evicted(history, replaced))
    check_relayed(drafted, plan.vault, replace(waiting, evicted=(*known, *waiting.evicted)))
    return drafted, replaced[0].group if replaced else drafted.transfer_id


def left_of(
    history: History,
    vault: Vault,
    rates: Rates,
    taken: Container[OutPoint] = (),
    groups: frozenset[bytes] = frozenset(),
) -> tuple[LeftBehind, ...]:
    """What stays of a vault's coins, and why, when one transfer takes `taken` of all that it may at these rates.

    What none but `groups` hold is not held. Each coin counts once, for the first reason that holds.
    """
    rows = [row for row in unspent(history, vault.id) if row.outpoint not in taken]
    held = history.state.get_many(tables.HELD, {outpoint_key(row.outpoint) for row in rows})
    shut = quarantined(history, vault.id, rows)
    small, cost = small_below(vault.input_weight, rates.long_term), small_below(vault.input_weight, rates.now)
    counts, sums = Counter[Left](), Counter[Left]()
    for row in rows:
        holder = held.get(outpoint_key(row.outpoint))
        if row.outpoint in shut:
            why = Left.QUARANTINED
        elif holder is not None and holder.value not in groups:
            why = Left.HELD
        elif row.amount <= small:
            why = Left.SMALL
        elif not row.is_mature:
            why = Left.NOT_DEEP
        else:
            why = Left.COSTLY if row.amount <= cost else Left.NO_ROOM
        counts[why] += 1
        sums[why] += row.amount
    return tuple(LeftBehind(why=why, coins=counts[why], amount=sums[why]) for why in Left if counts[why])


def _asked(history: History, request_id: bytes, rates: Rates, now: int) -> tuple[Plan, tuple[Transfer, ...]]:
    """What a draft of the request is made from beside coins, and the transfers that it has to conflict with."""
    refuse_frozen(history.frozen_by)
    request = check_request(history.request(request_id), history.charter)
    refuse_expired_request(request, now)
    refuse_vetoed_request(history, request_id)
    refuse_drafted(history, request_id)
    replaced = replaced_by(history, request)
    check_payees(request, replaced)
    if request.parent is not None:
        parent_of(history, request)
    return _plan(history, request, rates, now), replaced


def _plan(history: History, request: TransferRequest, rates: Rates, now: int) -> Plan:
    charter = history.charter
    entry, vault = charter.vault_by_id(request.vault)
    payees = (charter.payee(payment.payee) for payment in request.payments)
    paid = {payee.vault for payee in payees if isinstance(payee, VaultPayee)}
    next_change = history.next_index(vault.id, Branch.CHANGE)
    refuse_far(next_change, history.asked_index(vault.id, Branch.CHANGE))
    return Plan(
        request=request,
        charter=charter,
        entry=entry,
        vault=vault,
        next_change=next_change,
        next_receive={name: lists.next_receive(history, name) for name in paid},
        height=history.height,
        rate=rates.now,
        at=now,
        long_term_rate=rates.long_term,
    )


@dataclass(frozen=True, slots=True)
class _Coins:
    """What a draft may take: `free` coins that nothing holds, and those of each transfer it replaces, oldest first."""

    free: tuple[Coin, ...]
    replaced: tuple[tuple[Transfer, tuple[Coin, ...]], ...]

    @classmethod
    def of(cls, history: History, request: TransferRequest, replaced: Sequence[Transfer]) -> _Coins:
        """Look them up.

        Raises:
            ReplaceNoConflict: a transfer to be replaced has no coin left that could be spent.
        """
        groups = frozenset(each.group for each in replaced)
        mature = {coin.outpoint: coin for coin in spendable(history, request.vault, groups)}
        found: list[tuple[Transfer, tuple[Coin, ...]]] = []
        for each in replaced:
            own = tuple(_available(history, mature, each.draft.outpoints))
            if not own:
                _refuse_shut(history, each)
                raise ReplaceNoConflict(transfer=each.id.hex())
            found.append((each, own))
        theirs = {coin.outpoint for _, own in found for coin in own}
        return cls(tuple(coin for outpoint, coin in mature.items() if outpoint not in theirs), tuple(found))

    def newest(self) -> tuple[Coin, ...]:
        """Those of the newest transfer to be replaced that still may confirm."""
        live = [own for each, own in self.replaced if each.is_live]
        return live[-1] if live else self.replaced[-1][1]

    def all_replaced(self) -> tuple[Coin, ...]:
        """Those of all transfers to be replaced, each once."""
        return tuple({coin.outpoint: coin for _, own in self.replaced for coin in own}.values())

    def one_each(self) -> tuple[Coin, ...]:
        """One of each transfer to be replaced, the largest, as few as that takes."""
        must: dict[OutPoint, Coin] = {}
        for _, own in self.replaced:
            if not any(coin.outpoint in must for coin in own):
                largest = max(own, key=lambda coin: (coin.amount, coin.outpoint))
                must[largest.outpoint] = largest
        return tuple(must.values())

    def same_purpose(self, purpose: Purpose) -> tuple[Coin, ...]:
        """Those of the newest transfer to be replaced that is for the same; else of the newest."""
        same = [own for each, own in self.replaced if each.request.purpose is purpose]
        return same[-1] if same else self.newest()


def _refuse_shut(history: History, transfer: Transfer) -> None:
    """Pass when no coin of a transfer is quarantined: what a reorganisation has moved may be."""
    for outpoint, why in quarantined(history, transfer.row.vault, seated(transfer.draft)).items():
        raise CoinQuarantined(outpoint=outpoint, problem=why.told)


def _available(history: History, mature: dict[OutPoint, Coin], outpoints: Iterable[OutPoint]) -> Iterator[Coin]:
    for outpoint in outpoints:
        # What a child spends is change of a transfer in no block: no deposit yet, and all the same to be spent again.
        coin = mature.get(outpoint) or unconfirmed(history, outpoint)
        if coin is not None:
            yield coin


def _select(plan: Plan, coins: _Coins, history: History, below: Below) -> Selection:
    terms, purpose = terms_of(plan), plan.request.purpose
    match purpose:
        case Purpose.PAYMENT:
            return _pay_again(coins, terms, below) if coins.replaced else select_coins(coins.free, terms, below)
        case Purpose.SWEEP | Purpose.CONSOLIDATION if coins.replaced:
            return select_everything((), replace(terms, must=coins.same_purpose(purpose)), Take.ALL)
        case Purpose.SWEEP:
            return select_everything(coins.free, terms, Take.LARGEST)
        case Purpose.CONSOLIDATION:
            return select_everything(coins.free, terms, Take.SMALLEST)
        case Purpose.CANCELLATION:
            return _cancel(coins, terms)
        case Purpose.CHILD:
            parent = parent_of(history, plan.request)
            return select_change(check_waiting(parent, plan.vault), carried(parent, plan.vault), terms)


def _pay_again(coins: _Coins, terms: Terms, below: Below) -> Selection:
    """The newest one's coins; all of theirs; others beside them only when these do not suffice."""
    for must in (coins.newest(), coins.all_replaced()):
        try:
            return select_coins((), replace(terms, must=must), below)
        except InsufficientFunds:
            continue
    return select_coins(coins.free, replace(terms, must=coins.all_replaced()), below)


def _cancel(coins: _Coins, terms: Terms) -> Selection:
    """One coin of each; all of theirs when that does not pay the fee."""
    try:
        return select_everything((), replace(terms, must=coins.one_each()), Take.ALL)
    except InsufficientFunds:
        return select_everything((), replace(terms, must=coins.all_replaced()), Take.ALL)


def _evicted(history: History, replaced: Iterable[Transfer]) -> Iterator[Evicted]:
    """What nodes may hold of the transfers to be replaced, each with the children that would go with it, by the log."""
    for each in replaced:
        if each.verified is not None and each.release is not None and each.is_live:
            size = Transaction.parse(each.verified.raw).vsize
            yield Evicted(_fees_with_children(history, each), rate_of(each.draft.fee, size))


def _fees_with_children(history: History, transfer: Transfer) -> int:
    released = (each for each in children(history, transfer) if each.release is not None and each.is_live)
    return transfer.draft.fee + sum(_fees_with_children(history, each) for each in released)
