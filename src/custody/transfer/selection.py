"""Which coins pay for a transfer, and what comes back.

A payment takes few coins. Branch and bound looks for coins that need no change, a single random draw and the largest
coins are the other candidates; the fewest coins win, change being one that is to be spent later, and of those the least
waste. Many coins become one by a consolidation, which begins with the smallest; a sweep begins with the most valuable,
so that what does not fit is the least. All coins of one vault weigh the same, so a coin's effective value is its amount
less one fixed input fee. Chance is an argument: `below(n)` gives a whole number from 0 to n - 1, so a seed gives the
same selection again.

What a coin is worth spending for is said by two rates: the one that this transfer is to pay, and a long-term one, at
which it could be spent another time. A coin worth no more than spending it costs at either is small: nothing takes it.

Sources: Bitcoin Core's coin selection (branch and bound by Murch, 2016). Its waste metric counts an input as a gain
when fees are low; here every input costs what it costs now, so that a payment is not made of a hundred small coins,
which is what a consolidation is for. Amounts in sats, rates in sat/kvB, sizes in weight units. Fees are rounded up per
input, so the rate asked for is always reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from operator import attrgetter
from typing import ClassVar, Final

from custody.bitcoin.script import dust_limit
from custody.bitcoin.serialize import compact_size
from custody.bitcoin.transaction import TxOut
from custody.errors import InvalidInput, Refused
from custody.record import Record
from custody.units import MAX_MONEY, MAX_TRANSACTION_WEIGHT, WITNESS_SCALE, Count, Sat, fee_at, vsize
from custody.vault.coins import Coin

MAX_TRIES: Final = 100_000
"""Nodes that branch and bound visits before it gives up, as in Bitcoin Core."""

LONG_TERM_RATE: Final = 10_000
"""sat/kvB at which coins are thought to be spent another time, unless somebody says otherwise; as in Bitcoin Core."""

Below = Callable[[int], int]
"""Chance: `below(n)` is a whole number from 0 to n - 1."""


class InsufficientFunds(Refused, code="INSUFFICIENT_FUNDS"):
    """The vault's spendable coins do not reach the amount and its fee. Coins not worth their own fee do not count."""

    message = "{needed} sat are needed with the fee; {available} sat are spendable in {coins} coins"
    hint = (
        "Ask for less, wait for deposits to mature, end transfers that hold coins, or have an officer release what is "
        "quarantined (custody coin list)."
    )
    needed: int
    available: int
    coins: int


class TooHeavy(Refused, code="TX_TOO_HEAVY"):
    """A transaction that nodes would not relay or the vault's devices could not sign."""

    message = (
        "{inputs} inputs and {outputs} outputs come to {weight} weight units; at most {limit} and {max_inputs} inputs"
    )
    hint = "Consolidate small coins first, or split the transfer."
    inputs: int
    outputs: int
    weight: int
    limit: int
    max_inputs: int


class NothingToConsolidate(Refused, code="NOTHING_TO_CONSOLIDATE"):
    """A consolidation that would turn one coin into one, or none into none."""

    message = "a consolidation turns several coins into one; of this vault's {free} can be taken at these rates"
    hint = (
        "Nothing is to be done. Small coins are taken at a lower long-term rate (custody transfer draft "
        "--long-term-feerate); see what there is with custody coin list."
    )
    free: int


class OutputDust(InvalidInput, code="OUTPUT_DUST"):
    """A payment too small for nodes to relay."""

    message = "an output of {amount} sat is below the dust limit of {limit} sat for its type"
    hint = "Pay at least the dust limit."
    amount: int
    limit: int


class Left(StrEnum):
    """Why a coin stays where a transfer is to take all there is."""

    QUARANTINED = "quarantined"
    """Nobody was to send it, and no officer has released it."""
    HELD = "held"
    """Another transfer spends it."""
    NOT_DEEP = "not-deep"
    """Its block is not buried deep enough yet."""
    SMALL = "small"
    """It is worth no more than spending it costs at the long-term rate."""
    COSTLY = "costly"
    """It is worth no more than spending it costs at this transfer's rate."""
    NO_ROOM = "no-room"
    """It does not fit: by weight, by how many inputs the vault's devices take, or by the charter's highest fee."""


class LeftBehind(Record):
    """How many coins stay for one reason, and what they come to in sats."""

    kind: ClassVar[str] = "left-behind"

    why: Left
    coins: Count
    amount: Sat


@dataclass(frozen=True, slots=True)
class Rates:
    """Both in sat/kvB: what a transfer is to pay, and at which its vault's coins could be spent another time."""

    now: int
    long_term: int = LONG_TERM_RATE


def small_below(input_weight: int, long_term_rate: int = LONG_TERM_RATE) -> int:
    """Sats that spending one more input costs at the long-term rate, rounded up: what is worth no more is small.

    It is what strangers send to an address they know, so that it is spent along with others and links them
    (THREATS D9), and not worth an owner's while either.
    """
    return fee_at(long_term_rate, vsize(input_weight))


class Take(Enum):
    """Which of many coins are taken when all of them are meant."""

    ALL = "all"
    """All, or the transfer is refused: those that have to be spent."""
    SMALLEST = "smallest"
    """As many as fit, the smallest first: a consolidation's."""
    LARGEST = "largest"
    """As many as fit, the most valuable first: a sweep's."""


class Algorithm(StrEnum):
    """How the coins were found."""

    BRANCH_AND_BOUND = "branch-and-bound"
    SINGLE_RANDOM_DRAW = "single-random-draw"
    LARGEST_FIRST = "largest-first"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a selection must satisfy.

    `input_weight` is one signed input of the vault in weight units; `change_script` any script of its change branch
    (they all weigh the same); rates in sat/kvB; `must` are coins that have to be among the inputs. `max_fee` is the
    highest fee in sats that the charter allows: where all there is was meant, only so many coins are taken.
    """

    outputs: tuple[TxOut, ...]
    change_script: bytes
    input_weight: int
    max_inputs: int
    rate: int
    long_term_rate: int
    must: tuple[Coin, ...] = ()
    max_fee: int = MAX_MONEY

    @property
    def input_fee(self) -> int:
        """Sats that one more input costs now, rounded up."""
        return fee_at(self.rate, vsize(self.input_weight))

    @property
    def least_coin(self) -> int:
        """Sats a coin must be worth more than: what spending it costs, now or later, whichever is dearer.

        What strangers send to be spent along with others, to link addresses, is worth less (THREATS D9).
        """
        return max(self.input_fee, self.later_input_fee)

    @property
    def later_input_fee(self) -> int:
        """Sats that spending one more input costs at the long-term rate, rounded up."""
        return small_below(self.input_weight, self.long_term_rate)

    @property
    def paid(self) -> int:
        """Sats the outputs come to, without fee."""
        return sum(output.amount for output in self.outputs)

    @property
    def dust(self) -> int:
        """Sats below which change would not be relayed."""
        return dust_limit(self.change_script)

    @property
    def change_fee(self) -> int:
        """Sats a change output costs now."""
        return fee_at(self.rate, _output_size(self.change_script))

    @property
    def cost_of_change(self) -> int:
        """Sats that change costs now and when it is spent: what leaving it to the fee may cost instead."""
        return self.change_fee + self.later_input_fee

    @property
    def base_fee(self) -> int:
        """Sats that the transaction costs without inputs and change, rounded up."""
        return fee_at(self.rate, vsize(weight_of(self, 0, has_change=False)) + _COUNT_MARGIN)

    @property
    def target(self) -> int:
        """Effective sats the inputs must reach without change."""
        return self.paid + self.base_fee


_amount: Final = attrgetter("amount")
_SEVERAL: Final = 2
_COUNT_MARGIN: Final = 2
"""vbytes by which the input count may grow past 252 inputs (CompactSize)."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Coins that pay for a transfer. `change` is None or its sats; `fee` is all that is neither paid nor change.

    `waste` is what the inputs cost in sats, and what change costs now and later, or goes to miners for want of it.
    """

    coins: tuple[Coin, ...]
    change: int | None
    fee: int
    waste: int
    algorithm: Algorithm

    @property
    def burden(self) -> tuple[int, int]:
        """How many coins it takes to spend all this, change included, and its waste: less is better."""
        return len(self.coins) + (self.change is not None), self.waste


def refuse_dust(amount: int, script: bytes) -> None:
    """Pass when nodes relay an output of `amount` sats to `script`.

    Raises:
        OutputDust: it is too small.
    """
    limit = dust_limit(script)
    if amount < limit:
        raise OutputDust(amount=amount, limit=limit)


def select_coins(coins: Sequence[Coin], terms: Terms, below: Below) -> Selection:
    """Choose among `coins` for a payment under `terms`.

    Raises:
        InsufficientFunds: all of them are not enough.
        TooHeavy: enough of them would be too heavy.
        OutputDust: a payment is dust.
    """
    for output in terms.outputs:
        refuse_dust(output.amount, output.script_pubkey)
    input_fee = terms.input_fee
    worth = _worth_spending(coins, terms)
    # Sorting makes the answer independent of the order the store gave them in.
    worth.sort(key=_amount, reverse=True)
    _settle_ties(worth)
    effective = [coin.amount - input_fee for coin in worth]
    start = sum(coin.amount - input_fee for coin in terms.must)
    if start + sum(effective) < terms.target:
        every = (*terms.must, *worth)
        needed = terms.target + input_fee * len(every)
        raise InsufficientFunds(needed=needed, available=sum(coin.amount for coin in every), coins=len(every))
    room = _room(terms) - len(terms.must)
    found: list[Selection] = []
    exact = _branch_and_bound(effective, terms.target - start, terms.cost_of_change, room, terms)
    if exact is not None:
        found.append(_without_change(terms, tuple(worth[i] for i in exact), Algorithm.BRANCH_AND_BOUND))
    drawn = _single_random_draw(effective, terms.target - start, terms.change_fee + terms.dust, room, below)
    if drawn is not None:
        found.append(_with_change(terms, tuple(worth[i] for i in drawn), Algorithm.SINGLE_RANDOM_DRAW))
    # The largest coins are the fewest that reach the target; when even they do not fit, nothing does.
    largest = _largest_first(effective, terms.target - start)
    if largest <= room:
        found.append(_with_change(terms, tuple(worth[:largest]), Algorithm.LARGEST_FIRST))
    if not found:
        raise _too_heavy(terms, len(terms.must) + largest, has_change=False)
    return min(found, key=attrgetter("burden"))


def select_everything(coins: Sequence[Coin], terms: Terms, take: Take) -> Selection:
    """All of `coins` into one output: a sweep's payee or a consolidation's change output.

    Coins that cost more than they bring are left behind, and so are those that do not fit, unless all have to be taken.
    The output's amount is `change`: what the inputs come to, less the fee.

    Raises:
        InsufficientFunds: nothing would be left after the fee.
        TooHeavy: too many coins, and all have to be taken.
        NothingToConsolidate: a consolidation would have fewer than two.
    """
    worth = _worth_spending(coins, terms)
    worth.sort(key=_amount, reverse=take is Take.LARGEST)
    _settle_ties(worth)
    room = _room(terms) - len(terms.must)
    if room < 0 or (take is Take.ALL and len(worth) > room):
        raise _too_heavy(terms, len(worth) + len(terms.must), has_change=True)
    worth = worth[:room] if take is Take.ALL else worth[: min(room, _affordable(terms, room))]
    chosen = (*terms.must, *worth)
    if take is Take.SMALLEST and len(chosen) < _SEVERAL:
        raise NothingToConsolidate(free=len(chosen))
    total = sum(coin.amount for coin in chosen)
    fee = fee_at(terms.rate, vsize(weight_of(terms, len(chosen), has_change=True)))
    if not chosen or total - fee < terms.dust:
        raise InsufficientFunds(needed=fee + terms.dust, available=total, coins=len(chosen))
    return Selection(chosen, total - fee, fee, 0, Algorithm.EVERYTHING)


def weight_of(terms: Terms, inputs: int, *, has_change: bool) -> int:
    """Weight units of the signed transaction with this many inputs, every signature at its largest."""
    outputs = sum(_output_size(output.script_pubkey) for output in terms.outputs)
    count = len(terms.outputs)
    if has_change:
        outputs += _output_size(terms.change_script)
        count += 1
    fixed = 8 + len(compact_size(inputs)) + len(compact_size(count))
    return WITNESS_SCALE * (fixed + outputs) + 2 + inputs * terms.input_weight


def _worth_spending(coins: Sequence[Coin], terms: Terms) -> list[Coin]:
    """The coins that bring more than they cost, without those that are among the inputs anyway."""
    least, must = terms.least_coin, set(terms.must)
    worth = [coin for coin in coins if coin.amount > least]
    # Hashing a coin costs more than all the rest, so it is done only where there is something to compare with.
    return [coin for coin in worth if coin not in must] if must else worth


def _settle_ties(coins: list[Coin]) -> None:
    """Put neighbours of one amount in the order of their outpoints."""
    # Apart from the sort by amount, because numbers alone sort several times faster than anything they stand in.
    start = 0
    for stop in range(1, len(coins) + 1):
        if stop < len(coins) and coins[stop].amount == coins[start].amount:
            continue
        if stop - start > 1:
            coins[start:stop] = sorted(coins[start:stop], key=_place)
        start = stop


def _place(coin: Coin) -> tuple[bytes, int]:
    return coin.outpoint.txid, coin.outpoint.index


def _output_size(script: bytes) -> int:
    return 8 + len(compact_size(len(script))) + len(script)


def _room(terms: Terms) -> int:
    """Most inputs that fit under the weight cap and the vault's own limit."""
    left = MAX_TRANSACTION_WEIGHT - weight_of(terms, 0, has_change=True) - WITNESS_SCALE * _COUNT_MARGIN
    return min(terms.max_inputs, left // terms.input_weight)


def _affordable(terms: Terms, room: int) -> int:
    """How many inputs the charter's highest fee pays for; never so few that another rule than that would speak."""
    fees = (fee_at(terms.rate, vsize(weight_of(terms, count, has_change=True))) for count in range(room + 1))
    return max(_SEVERAL, sum(fee <= terms.max_fee for fee in fees) - 1)


def _too_heavy(terms: Terms, inputs: int, *, has_change: bool) -> TooHeavy:
    return TooHeavy(
        inputs=inputs,
        outputs=len(terms.outputs) + has_change,
        weight=weight_of(terms, inputs, has_change=has_change),
        limit=MAX_TRANSACTION_WEIGHT,
        max_inputs=terms.max_inputs,
    )


def _branch_and_bound(
    effective: Sequence[int], target: int, tolerance: int, room: int, terms: Terms
) -> tuple[int, ...] | None:
    """Indexes into `effective` (descending) whose sum lies in [target, target + tolerance] with the least waste.

    Depth first, largest coin first, inclusion before omission. A coin equal to one just omitted is omitted too, since
    it would only repeat that search.
    """
    input_waste = terms.input_fee
    remaining = sum(effective)
    best: tuple[int, ...] | None = None
    best_waste = tolerance + input_waste * len(effective) + 1
    chosen: list[int] = []
    total, at = 0, 0
    for _ in range(MAX_TRIES):
        waste = input_waste * len(chosen) + max(0, total - target)
        is_over = total > target + tolerance or len(chosen) > room
        # More coins only waste more, so a worse branch can be left early.
        is_hopeless = waste > best_waste
        if total + remaining < target or is_over or is_hopeless or total >= target:
            if not is_over and total >= target and waste < best_waste:
                best, best_waste = tuple(chosen), waste
            while chosen and at - 1 > chosen[-1]:
                at -= 1
                remaining += effective[at]
            if not chosen:
                break
            total -= effective[chosen.pop()]
            continue
        remaining -= effective[at]
        is_repeat = at > 0 and effective[at] == effective[at - 1] and (not chosen or chosen[-1] != at - 1)
        if not is_repeat:
            chosen.append(at)
            total += effective[at]
        at += 1
    return best


def _single_random_draw(
    effective: Sequence[int], target: int, least_change: int, room: int, below: Below
) -> tuple[int, ...] | None:
    """Indexes drawn at random until target and change are reached; None when they do not fit."""
    order = list(range(len(effective)))
    total = 0
    for count in range(len(order)):
        if total >= target + least_change:
            return tuple(order[:count]) if count <= room else None
        # One step of a Fisher-Yates shuffle at a time: only as much chance as is needed.
        swap = count + below(len(order) - count)
        order[count], order[swap] = order[swap], order[count]
        total += effective[order[count]]
    return tuple(order) if total >= target + least_change and len(order) <= room else None


def _largest_first(effective: Sequence[int], target: int) -> int:
    total = 0
    for count, value in enumerate(effective):
        if total >= target:
            return count
        total += value
    return len(effective)


def _with_change(terms: Terms, drawn: tuple[Coin, ...], algorithm: Algorithm) -> Selection:
    """Change if it is worth more than dust, else what would have been change goes to the fee."""
    coins = (*terms.must, *drawn)
    total = sum(coin.amount for coin in coins)
    fee = fee_at(terms.rate, vsize(weight_of(terms, len(coins), has_change=True)))
    change = total - terms.paid - fee
    if change < terms.dust:
        return _without_change(terms, drawn, algorithm)
    waste = _input_waste(terms, len(coins)) + terms.cost_of_change
    return Selection(coins, change, fee, waste, algorithm)


def _without_change(terms: Terms, drawn: tuple[Coin, ...], algorithm: Algorithm) -> Selection:
    coins = (*terms.must, *drawn)
    fee = sum(coin.amount for coin in coins) - terms.paid
    least = fee_at(terms.rate, vsize(weight_of(terms, len(coins), has_change=False)))
    return Selection(coins, None, fee, _input_waste(terms, len(coins)) + fee - least, algorithm)


def _input_waste(terms: Terms, inputs: int) -> int:
    """What spending this many inputs costs now."""
    return inputs * terms.input_fee
