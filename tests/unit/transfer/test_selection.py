"""Coin selection: the target is reached, nothing is dust, nothing is too heavy, and no other choice wastes less."""

import hashlib
import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from custody.bitcoin.script import dust_limit
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.asserts import refuses
from custody.testing.cast import Chance, vault_of
from custody.transfer import selection as module
from custody.transfer.selection import (
    Algorithm,
    Selection,
    Take,
    Terms,
    select_coins,
    select_everything,
    weight_of,
)
from custody.units import MAX_TRANSACTION_WEIGHT, fee_at, vsize
from custody.vault.coins import Coin

P2WSH = b"\x00\x20" + bytes(32)
P2WPKH = b"\x00\x14" + bytes(20)
VAULT, _ = vault_of(("a", "b", "c"), 2)
INPUT_WEIGHT = VAULT.input_weight


def coin(amount: int, number: int) -> Coin:
    outpoint = OutPoint(hashlib.sha256(b"%d" % number).digest(), number % 3)
    return Coin(outpoint, amount, P2WSH, 0, number, 100, is_coinbase=False)


def coins_of(*amounts: int) -> list[Coin]:
    return [coin(amount, number) for number, amount in enumerate(amounts)]


def terms(*amounts: int, rate: int = 5_000, **rest: object) -> Terms:
    outputs = tuple(TxOut(amount, P2WPKH) for amount in amounts)
    return Terms(
        **(
            {
                "outputs": outputs,
                "change_script": P2WSH,
                "input_weight": INPUT_WEIGHT,
                "max_inputs": 250,
                "rate": rate,
                "long_term_rate": 10_000,
            }
            | rest
        )
    )


def seeded(seed: int = 0):
    return random.Random(seed).randrange  # noqa: S311 - repeatable on purpose


def built_weight(selection: Selection, asked: Terms) -> int:
    """The weight of the transaction itself, serialized, every witness at its largest."""
    outputs = [*asked.outputs] + (
        [TxOut(selection.change, asked.change_script)] if selection.change is not None else []
    )
    inputs = tuple(TxIn(each.outpoint, b"", 0xFFFFFFFD) for each in selection.coins)
    script = VAULT.witness_script(0, 0)
    stack = (b"", *[bytes(72)] * VAULT.threshold, script)
    return Transaction(2, inputs, tuple(outputs), 0, (stack,) * len(inputs)).weight


def check(selection: Selection, coins: list[Coin], asked: Terms) -> None:
    """What holds of every selection."""
    assert len(set(selection.coins)) == len(selection.coins)
    assert set(selection.coins) <= set(coins) | set(asked.must)
    assert set(asked.must) <= set(selection.coins)
    paid = sum(output.amount for output in asked.outputs)
    total = sum(each.amount for each in selection.coins)
    assert total == paid + (selection.change or 0) + selection.fee
    assert selection.change is None or selection.change >= dust_limit(asked.change_script)
    weight = weight_of(asked, len(selection.coins), has_change=selection.change is not None)
    assert weight == built_weight(selection, asked)
    assert weight <= MAX_TRANSACTION_WEIGHT
    assert len(selection.coins) <= asked.max_inputs
    least = fee_at(asked.rate, vsize(weight))
    assert selection.fee >= least
    # What goes to miners beyond the rate would have been change that is not worth making, but for rounding.
    rounding = (asked.rate // 1000 + 1) * (3 + len(selection.coins))
    assert selection.fee - least <= max(asked.cost_of_change, asked.change_fee + asked.dust) + rounding


amount_lists = st.lists(st.integers(2_000, 5_000_000), min_size=1, max_size=40)
rates = st.sampled_from([1_000, 1_001, 3_333, 10_000, 25_000, 50_000])


@given(amount_lists, st.lists(st.integers(1_000, 3_000_000), min_size=1, max_size=5), rates, st.integers(0, 99))
def test_every_selection_pays_the_target_at_its_rate_without_dust(held, wanted, rate, seed):
    asked, coins = terms(*wanted, rate=rate), coins_of(*held)
    worth = [each for each in coins if each.amount > asked.least_coin]
    reachable = sum(each.amount - asked.input_fee for each in worth)
    if reachable < asked.target:
        with refuses("INSUFFICIENT_FUNDS") as caught:
            select_coins(coins, asked, seeded(seed))
        assert caught.error.available < caught.error.needed
    else:
        check(select_coins(coins, asked, seeded(seed)), coins, asked)


@given(amount_lists, st.integers(1_000, 3_000_000), rates, st.integers(0, 99), st.randoms(use_true_random=False))
def test_a_seed_gives_the_same_selection_in_whatever_order_the_coins_came(held, wanted, rate, seed, chance):
    asked, coins = terms(wanted, rate=rate), coins_of(*held)
    assume(sum(e.amount - asked.input_fee for e in coins if e.amount > asked.least_coin) >= asked.target)
    first = select_coins(coins, asked, seeded(seed))
    chance.shuffle(coins)
    assert select_coins(coins, asked, seeded(seed)) == first


def test_coins_of_one_amount_are_told_apart_by_their_outpoints():
    txid = bytes(32)
    same = [Coin(OutPoint(txid, n), 50_000, P2WSH, 0, n, 100, is_coinbase=False) for n in range(40)]
    held = [*same, *coins_of(70_000, 60_000, 60_000, 20_000)]
    for shuffled in (held, held[::-1], held[20:] + held[:20]):
        assert select_coins(shuffled, terms(400_000), seeded(7)) == select_coins(held, terms(400_000), seeded(7))
        assert select_everything(shuffled, replace(terms(), max_inputs=20), Take.SMALLEST).coins == (
            coins_of(0, 0, 0, 20_000)[3],
            *same[:19],
        )


@given(st.lists(st.integers(20_000, 2_000_000), min_size=3, max_size=16), st.data(), rates)
def test_branch_and_bound_finds_a_set_that_needs_no_change(held, data, rate):
    coins = coins_of(*held)
    chosen = data.draw(st.lists(st.sampled_from(coins), min_size=1, max_size=6, unique=True))
    bare = terms(0, rate=rate)
    spare = data.draw(st.integers(0, bare.cost_of_change))
    wanted = sum(each.amount - bare.input_fee for each in chosen) - bare.base_fee - spare
    assume(wanted >= dust_limit(P2WPKH))
    asked = terms(wanted, rate=rate)
    selection = select_coins(coins, asked, seeded())
    check(selection, coins, asked)
    if selection.algorithm is Algorithm.BRANCH_AND_BOUND:
        assert selection.change is None
    # It may find another set, but none that takes more coins than these, and one for change.
    assert selection.burden[0] <= len(chosen) + 1


@given(st.lists(st.integers(300, 60_000), min_size=1, max_size=9), st.integers(1, 200_000), st.integers(0, 9))
@example([50_000, 50_000, 50_000, 50_000], 150_000, 9)
@example([30_000, 20_000, 20_000, 20_000, 12_001], 40_000, 9)
def test_branch_and_bound_finds_the_set_that_wastes_least(effective, target, room):
    # Each coin costs something, so no set beats the best of those that stop once they have enough, and the search is
    # exact.
    effective.sort(reverse=True)
    asked = terms(1_000, rate=15_000)
    dearer = asked.input_fee
    wastes = [
        size * dearer + sum(subset) - target
        for size in range(1, min(room, len(effective)) + 1)
        for subset in itertools.combinations(effective, size)
        if target <= sum(subset) <= target + asked.cost_of_change
    ]
    found = module._branch_and_bound(effective, target, asked.cost_of_change, room, asked)
    if not wastes:
        assert found is None
    else:
        assert found is not None
        assert len(set(found)) == len(found) <= room
        assert len(found) * dearer + sum(effective[i] for i in found) - target == min(wastes)


@given(st.lists(st.integers(300, 60_000), min_size=1, max_size=9), st.integers(1, 200_000))
def test_branch_and_bound_finds_a_set_at_a_low_rate_whenever_there_is_one(effective, target):
    effective.sort(reverse=True)
    asked = terms(1_000, rate=2_000)
    sums = (sum(each) for size in range(1, 10) for each in itertools.combinations(effective, size))
    is_possible = any(target <= each <= target + asked.cost_of_change for each in sums)
    found = module._branch_and_bound(effective, target, asked.cost_of_change, 9, asked)
    assert (found is not None) is is_possible
    if found is not None:
        assert target <= sum(effective[i] for i in found) <= target + asked.cost_of_change


def test_nothing_more_is_chosen_when_what_must_be_spent_is_enough():
    asked = terms(1_000)
    assert module._branch_and_bound([5_000, 4_000], 0, asked.cost_of_change, 9, asked) == ()
    assert module._branch_and_bound([5_000, 4_000], -asked.cost_of_change - 1, asked.cost_of_change, 9, asked) is None


@given(amount_lists, st.integers(1_000, 3_000_000), rates, st.integers(0, 30))
def test_the_choice_is_no_greater_burden_than_the_drawn_alternative(held, wanted, rate, seed):
    asked, coins = terms(wanted, rate=rate), coins_of(*held)
    assume(sum(e.amount - asked.input_fee for e in coins if e.amount > asked.least_coin) >= asked.target)
    worth = sorted((e for e in coins if e.amount > asked.least_coin), key=lambda e: (-e.amount, e.outpoint))
    effective = [each.amount - asked.input_fee for each in worth]
    least_change = asked.change_fee + asked.dust
    drawn = module._single_random_draw(effective, asked.target, least_change, asked.max_inputs, seeded(seed))
    assume(drawn is not None)
    alternative = module._with_change(asked, tuple(worth[i] for i in drawn), Algorithm.SINGLE_RANDOM_DRAW)
    assert alternative.change is not None
    assert select_coins(coins, asked, seeded(seed)).burden <= alternative.burden


@pytest.mark.parametrize("rate", [1_000, 2_000, 5_000, 10_000, 50_000])
@pytest.mark.parametrize("wanted", [25_000, 300_000, 450_000, 25_000_000, 61_000_000])
def test_a_payment_is_not_made_of_the_small_coins_that_strangers_sent(rate, wanted):
    coins = coins_of(*[3_000 + each % 7 for each in range(300)], 60_000_000, 40_000_000)
    selection = select_coins(coins, terms(wanted, rate=rate, max_inputs=714), seeded())
    assert len(selection.coins) <= 2


def test_small_coins_pay_when_there_are_no_others_as_few_as_reach():
    coins = coins_of(*[3_000] * 300)
    asked = terms(25_000, rate=1_000)
    selection = select_coins(coins, asked, seeded())
    assert len(selection.coins) == 9
    check(selection, coins, asked)


def test_an_exact_match_is_preferred_to_a_draw():
    held = [2_000_000, 700_000, 300_000, 50_000]
    bare = terms(0)
    wanted = 700_000 + 300_000 - 2 * bare.input_fee - bare.base_fee
    selection = select_coins(coins_of(*held), terms(wanted), seeded())
    assert selection.algorithm is Algorithm.BRANCH_AND_BOUND
    assert sorted(each.amount for each in selection.coins) == [300_000, 700_000]
    assert selection.change is None


def test_many_equal_coins_do_not_exhaust_the_search():
    # Ten of the large ones and all five small ones fit, and nothing else does. Were a coin equal to one just left out
    # tried again, more sets of large ones would be looked at than there are tries.
    bare = terms(0)
    held = [100_000 + bare.input_fee] * 30 + [90_000 + bare.input_fee] * 5
    selection = select_coins(coins_of(*held), terms(1_450_000 - bare.base_fee), seeded())
    assert selection.algorithm is Algorithm.BRANCH_AND_BOUND
    assert sorted(each.amount - bare.input_fee for each in selection.coins) == [90_000] * 5 + [100_000] * 10


def test_different_seeds_draw_different_coins():
    coins = coins_of(*(1_000_000 + 1_000 * each for each in range(50)))
    drawn = {select_coins(coins, terms(2_500_000), seeded(seed)).coins for seed in range(10)}
    assert len(drawn) > 5


def test_with_hundreds_of_payees_all_are_paid():
    wanted = [10_000 + each for each in range(400)]
    coins = coins_of(*[1_000_000] * 10)
    asked = terms(*wanted)
    check(select_coins(coins, asked, seeded()), coins, asked)


def test_a_payment_below_dust_is_refused():
    with refuses("OUTPUT_DUST") as caught:
        select_coins(coins_of(1_000_000), terms(dust_limit(P2WPKH) - 1), seeded())
    assert caught.error.limit == dust_limit(P2WPKH)
    assert select_coins(coins_of(1_000_000), terms(dust_limit(P2WPKH)), seeded())


@given(st.integers(0, 2_000), st.sampled_from([0, 1_000, 10_000]))
def test_change_is_never_dust(excess, long_term_rate):
    bare = terms(0, rate=20_000, long_term_rate=long_term_rate)
    wanted = 1_000_000
    held = wanted + bare.base_fee + bare.input_fee + excess
    asked = terms(wanted, rate=20_000, long_term_rate=long_term_rate)
    selection = select_coins(coins_of(held), asked, seeded())
    check(selection, coins_of(held), asked)


@pytest.mark.parametrize("seed", range(6))
def test_a_draw_goes_on_until_its_change_is_no_dust(seed):
    # One coin alone leaves a little more than change costs to make, but less than it may be.
    bare = terms(0, long_term_rate=0)
    wanted = 1_000_000
    tight = wanted + bare.base_fee + bare.input_fee + bare.change_fee + 100
    asked = terms(wanted, long_term_rate=0)
    coins = coins_of(tight, 3_000_000)
    selection = select_coins(coins, asked, seeded(seed))
    assert selection.change is not None
    check(selection, coins, asked)


# --- what is not spent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [1, 330, 546, 1_000])
@pytest.mark.parametrize("rate", [1_000, 5_000])
def test_dust_from_strangers_is_not_spent_along(amount, rate):
    dust = coin(amount, 99)
    coins = [*coins_of(50_000, 60_000), dust]
    assert dust not in select_coins(coins, terms(100_000, rate=rate), seeded()).coins
    everything = terms(rate=rate)
    assert dust not in select_everything(coins, everything, Take.ALL).coins
    assert dust not in select_everything(coins, everything, Take.SMALLEST).coins


def test_a_coin_that_costs_more_than_it_brings_is_left():
    asked = terms(50_000, rate=100_000)
    poor = coin(asked.input_fee, 99)
    rich = coin(asked.input_fee + 1, 98)
    coins = [coin(1_000_000, 1), poor, rich]
    assert set(select_everything(coins, replace(asked, outputs=()), Take.ALL).coins) == {coins[0], rich}


def test_funds_that_only_seem_enough_are_told_as_they_are():
    # A hundred coins of 900 sat come to more than is asked, but none is worth its own fee.
    coins = [coin(50_000, 999), *coins_of(*[900] * 100)]
    with refuses("INSUFFICIENT_FUNDS") as caught:
        select_coins(coins, terms(60_000), seeded())
    assert (caught.error.available, caught.error.coins) == (50_000, 1)
    assert caught.error.needed > 60_000


# --- weight -----------------------------------------------------------------------------------------------------------


def test_a_transfer_never_has_more_inputs_than_its_vault_s_devices_take():
    coins = coins_of(*[100_000] * 30)
    asked = terms(1_900_000, max_inputs=20)
    selection = select_coins(coins, asked, seeded())
    assert len(selection.coins) == 20
    check(selection, coins, asked)
    with refuses("TX_TOO_HEAVY") as caught:
        select_coins(coins, replace(asked, max_inputs=19), seeded())
    assert caught.error.inputs == 20


def test_the_largest_coins_are_taken_where_a_draw_would_be_too_heavy():
    coins = coins_of(*[10_000] * 200, *[1_000_000] * 5)
    asked = terms(4_900_000, max_inputs=5)
    selection = select_coins(coins, asked, seeded())
    assert selection.algorithm is Algorithm.LARGEST_FIRST
    check(selection, coins, asked)


def test_no_transaction_is_heavier_than_nodes_relay():
    coins = coins_of(*[100_000] * 2_000)
    asked = terms(max_inputs=10_000)
    selection = select_everything(coins, asked, Take.SMALLEST)
    check_weight = weight_of(asked, len(selection.coins), has_change=True)
    assert check_weight <= MAX_TRANSACTION_WEIGHT < check_weight + 2 * INPUT_WEIGHT
    with refuses("TX_TOO_HEAVY"):
        select_everything(coins, asked, Take.ALL)
    with refuses("TX_TOO_HEAVY"):
        select_coins(coins, terms(190_000_000, max_inputs=10_000, rate=1_000), seeded())


# --- coins that have to be there --------------------------------------------------------------------------------------


@given(amount_lists, amount_lists, st.integers(1_000, 3_000_000), rates)
def test_coins_that_must_be_spent_are_spent(held, needed, wanted, rate):
    coins = coins_of(*held)
    must = tuple(coin(amount, 1_000 + number) for number, amount in enumerate(needed))
    asked = terms(wanted, rate=rate, must=must)
    worth = [each for each in coins if each.amount > asked.least_coin]
    assume(sum(each.amount - asked.input_fee for each in (*must, *worth)) >= asked.target)
    check(select_coins([*coins, *must], asked, seeded()), coins, asked)


def test_a_coin_that_must_be_spent_is_enough_alone():
    must = (coin(5_000_000, 77),)
    selection = select_coins([*coins_of(1_000_000, 2_000_000), *must], terms(1_000_000, must=must), seeded())
    assert selection.coins == must
    assert selection.change is not None


def test_more_coins_that_must_be_spent_than_fit_are_refused():
    must = tuple(coin(1_000_000, number) for number in range(5))
    with refuses("TX_TOO_HEAVY"):
        select_coins(must, terms(1_000_000, must=must, max_inputs=4), seeded())


# --- everything -------------------------------------------------------------------------------------------------------


@given(amount_lists, rates, st.sampled_from([Take.ALL, Take.LARGEST]))
def test_everything_worth_its_fee_goes_into_one_output(held, rate, take):
    asked, coins = terms(rate=rate), coins_of(*held)
    worth = {each for each in coins if each.amount > asked.least_coin}
    total = sum(each.amount for each in worth)
    fee = fee_at(rate, vsize(weight_of(asked, len(worth), has_change=True)))
    if total - fee < asked.dust:
        with refuses("INSUFFICIENT_FUNDS") as caught:
            select_everything(coins, asked, take)
        assert caught.error.available < caught.error.needed
        return
    selection = select_everything(coins, asked, take)
    assert set(selection.coins) == worth
    assert (selection.change, selection.fee) == (total - fee, fee)


def test_a_consolidation_begins_with_the_smallest_coins():
    selection = select_everything(coins_of(9_000, 5_000, 7_000, 8_000), terms(rate=1_000, max_inputs=2), Take.SMALLEST)
    assert sorted(each.amount for each in selection.coins) == [5_000, 7_000]


def test_a_sweep_begins_with_the_most_valuable_coins():
    selection = select_everything(coins_of(9_000, 5_000, 7_000, 8_000), terms(rate=1_000, max_inputs=2), Take.LARGEST)
    assert [each.amount for each in selection.coins] == [9_000, 8_000]


def test_more_coins_than_fit_are_refused_where_all_have_to_be_spent():
    with refuses("TX_TOO_HEAVY"):
        select_everything(coins_of(*[100_000] * 5), terms(max_inputs=4), Take.ALL)
    must = tuple(coins_of(*[100_000] * 5))
    for take in Take:
        with refuses("TX_TOO_HEAVY"):
            select_everything((), terms(max_inputs=4, must=must), take)
    with refuses("TX_TOO_HEAVY") as caught:
        select_everything((coin(100_000, 50), coin(100_000, 51)), terms(max_inputs=6, must=must), Take.ALL)
    assert (caught.error.inputs, caught.error.outputs) == (7, len(terms().outputs) + 1)


@pytest.mark.parametrize("held", [(), (100_000,), (100_000, 900), (900, 800)])
def test_one_coin_is_not_consolidated(held):
    with refuses("NOTHING_TO_CONSOLIDATE") as caught:
        select_everything(coins_of(*held), terms(), Take.SMALLEST)
    assert caught.error.free == sum(each > 1_040 for each in held)
    assert len(select_everything(coins_of(100_000, 90_000), terms(), Take.SMALLEST).coins) == 2


def test_what_a_coin_is_worth_is_said_by_both_rates():
    coins = coins_of(100_000, 1_000)
    assert len(select_everything(coins, terms(rate=1_000), Take.LARGEST).coins) == 1
    assert len(select_everything(coins, terms(rate=1_000, long_term_rate=1_000), Take.LARGEST).coins) == 2
    assert len(select_everything(coins, terms(rate=20_000, long_term_rate=1_000), Take.LARGEST).coins) == 1


def test_of_nothing_nothing_is_selected():
    for step in (
        lambda: select_coins([], terms(10_000), seeded()),
        lambda: select_everything([], terms(), Take.LARGEST),
    ):
        with refuses("INSUFFICIENT_FUNDS"):
            step()


# --- effort -----------------------------------------------------------------------------------------------------------


class Counted:
    """Chance that counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0
        self._below = Chance().below

    def __call__(self, limit: int) -> int:
        self.calls += 1
        return self._below(limit)


def test_ten_thousand_coins_take_no_more_chance_than_coins_drawn():
    chance = random.Random(3)  # noqa: S311 - repeatable on purpose
    coins = coins_of(*(chance.randrange(10_000, 10_000_000) for _ in range(10_000)))
    below = Counted()
    asked = terms(123_456_789)
    selection = select_coins(coins, asked, below)
    check(selection, coins, asked)
    assert below.calls < 200
