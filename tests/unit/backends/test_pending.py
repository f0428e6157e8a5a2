"""What may wait for a block, without a chain: the rules about inputs, amounts and time."""

from dataclasses import replace

import pytest

from custody.backends.kernel.pending import MIN_FEE_RATE, Moment, PendingPool, Refusal, Unspent, fee_of, refuse_cheap
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.units import MAX_MONEY

NEXT = 200
START = 1_700_000_000
SCRIPT = b"\x00\x14" + bytes(20)
COIN_A, COIN_B, COINBASE = (OutPoint(bytes([number]) * 32, 0) for number in (1, 2, 3))
CHAIN = {
    COIN_A: Unspent(TxOut(100_000, SCRIPT), 150, is_coinbase=False),
    COIN_B: Unspent(TxOut(100_000, SCRIPT), 150, is_coinbase=False),
    COINBASE: Unspent(TxOut(100_000, SCRIPT), NEXT - 99, is_coinbase=True),
}
MOMENT = Moment(next_height=NEXT, median_time=lambda height: START + 600 * height)


def spending(*outpoints, pays=90_000, sequence=0xFFFFFFFD, locktime=0, version=2):
    inputs = tuple(TxIn(each, b"", sequence) for each in outpoints)
    return Transaction(version, inputs, (TxOut(pays, SCRIPT),), locktime)


@pytest.fixture
def pool():
    return PendingPool(CHAIN.get)


def add(pool, transaction):
    fee = fee_of(transaction, pool.examine(transaction, MOMENT))
    with pool.all_or_nothing():
        refuse_cheap([pool.add(transaction, fee)])
    return transaction


def waiting(pool):
    return [each.transaction for each in pool]


def test_a_spend_of_a_coin_waits(pool):
    transaction = add(pool, spending(COIN_A))
    assert waiting(pool) == [transaction]
    assert transaction.txid in pool
    assert pool.is_spent(COIN_A)


def test_a_spend_of_a_waiting_output_waits_after_it(pool):
    parent = add(pool, spending(COIN_A))
    child = add(pool, spending(OutPoint(parent.txid, 0), pays=80_000))
    assert waiting(pool) == [parent, child]


@pytest.mark.parametrize(
    ("reason", "transaction"),
    [
        ("bad-txns-inputs-missingorspent", spending(OutPoint(bytes(32), 7))),
        ("bad-txns-premature-spend-of-coinbase", spending(COINBASE)),
        ("bad-txns-inputs-duplicate", spending(COIN_A, COIN_A)),
        ("bad-txns-in-belowout", spending(COIN_A, pays=100_001)),
        ("bad-txns-vout-negative", spending(COIN_A, pays=-1)),
        ("bad-txns-vout-negative or toolarge", spending(COIN_A, pays=MAX_MONEY + 1)),
        ("bad-txns-vin-empty", spending()),
        ("bad-txns-vout-empty", replace(spending(COIN_A), outputs=())),
        ("coinbase", spending(OutPoint(bytes(32), 0xFFFFFFFF))),
        ("tx-size", replace(spending(COIN_A), outputs=(TxOut(1, bytes(100_000)),))),
        ("min relay fee not met", spending(COIN_A, pays=99_950)),
        ("non-final", spending(COIN_A, locktime=NEXT)),
        ("non-final", spending(COIN_A, locktime=START + 600 * (NEXT - 1))),
        ("non-BIP68-final", spending(COIN_A, sequence=51)),
        ("non-BIP68-final", spending(COIN_A, sequence=1 << 22 | 60)),
    ],
)
def test_what_the_chain_would_not_hold_is_refused_by_name(pool, reason, transaction):
    with pytest.raises(Refusal, match=reason):
        add(pool, transaction)
    assert waiting(pool) == []


@pytest.mark.parametrize(
    "transaction",
    [
        spending(COIN_A, locktime=NEXT - 1),
        spending(COIN_A, locktime=START + 600 * (NEXT - 1) - 1),
        spending(COIN_A, locktime=NEXT, sequence=0xFFFFFFFF),
        spending(COIN_A, sequence=50),
        spending(COIN_A, sequence=51, version=1),
        spending(COIN_A, sequence=1 << 22 | 58),
    ],
)
def test_a_lock_that_is_open_in_the_next_block_is_no_hindrance(pool, transaction):
    add(pool, transaction)
    assert transaction.txid in pool


def test_a_coinbase_is_spendable_in_the_hundredth_block_after_it():
    chain = {COINBASE: replace(CHAIN[COINBASE], height=NEXT - 100)}
    pool = PendingPool(chain.get)
    add(pool, spending(COINBASE))


def test_a_conflict_must_pay_for_what_it_replaces_and_for_itself(pool):
    first = add(pool, spending(COIN_A))
    child = add(pool, spending(OutPoint(first.txid, 0), pays=80_000))
    own = first.vsize * MIN_FEE_RATE // 1000
    with pytest.raises(Refusal, match="insufficient fee"):
        add(pool, spending(COIN_A, pays=100_000 - 20_000 - own + 1))
    assert waiting(pool) == [first, child]
    second = add(pool, spending(COIN_A, pays=100_000 - 20_000 - own))
    assert waiting(pool) == [second]


def test_a_replacement_cannot_spend_what_it_replaces(pool):
    first = add(pool, spending(COIN_A))
    with pytest.raises(Refusal, match="bad-txns-spends-conflicting-tx"):
        add(pool, spending(COIN_A, OutPoint(first.txid, 0), pays=10_000))
    assert waiting(pool) == [first]


def test_after_the_chain_moved_only_what_still_fits_waits(pool):
    parent = add(pool, spending(COIN_A))
    add(pool, spending(OutPoint(parent.txid, 0), pays=80_000))
    other = add(pool, spending(COIN_B))
    # COIN_A is gone: spent by a transaction that never waited here.
    moved = {COIN_B: CHAIN[COIN_B]}
    pool._unspent = moved.get
    pool.rebuild([], lambda _: False, MOMENT)
    assert waiting(pool) == [other]


def test_a_transaction_that_lost_its_block_waits_before_those_that_spend_it(pool):
    parent = spending(COIN_A)
    made = {OutPoint(parent.txid, 0): Unspent(parent.outputs[0], NEXT - 1, is_coinbase=False)}
    pool._unspent = made.get
    child = add(pool, spending(OutPoint(parent.txid, 0), pays=80_000))
    pool._unspent = CHAIN.get
    pool.rebuild([parent], lambda _: False, MOMENT)
    assert waiting(pool) == [parent, child]


def package(pool, *transactions):
    with pool.all_or_nothing():
        refuse_cheap([pool.add(each, fee_of(each, pool.examine(each, MOMENT))) for each in transactions])


def test_a_child_pays_for_a_parent_that_pays_nothing(pool):
    parent = spending(COIN_A, pays=100_000)
    with pytest.raises(Refusal, match="min relay fee not met"):
        add(pool, parent)
    child = spending(OutPoint(parent.txid, 0), pays=90_000)
    package(pool, parent, child)
    assert waiting(pool) == [parent, child]


def test_a_package_pays_to_the_sat_or_nothing_of_it_waits(pool):
    parent = spending(COIN_A, pays=100_000)
    both = 2 * parent.vsize * MIN_FEE_RATE // 1000
    with pytest.raises(Refusal, match="1 sat too little"):
        package(pool, parent, spending(OutPoint(parent.txid, 0), pays=100_000 - both + 1))
    assert waiting(pool) == []
    assert not pool.is_spent(COIN_A)
    assert list(pool.made()) == []
    package(pool, parent, spending(OutPoint(parent.txid, 0), pays=100_000 - both))
    assert len(waiting(pool)) == 2


def test_a_parent_does_not_pay_for_its_child(pool):
    parent = spending(COIN_A, pays=50_000)
    with pytest.raises(Refusal, match="min relay fee not met"):
        package(pool, parent, spending(OutPoint(parent.txid, 0), pays=50_000))
    assert waiting(pool) == []
