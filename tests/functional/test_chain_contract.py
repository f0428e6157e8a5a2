"""What every `ChainView` and `Relay` does alike: a chain inside the process, and a node."""

import re
from dataclasses import replace

import pytest

from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.ports import Standing
from custody.testing.asserts import refuses
from custody.transfer.replacement import Evicted
from custody.units import COIN, Network, fee_at, rate_of

ELSEWHERE = b"\x00\x14" + bytes(range(20))
PAYEE = b"\x00\x20" + bytes(range(32))
REPLACEABLE = 0xFFFFFFFD


@pytest.fixture
def chain(any_chain):
    return any_chain.fund(4)


def spend(chain, *outputs, coin=0, sequence=REPLACEABLE, locktime=0, version=2):
    """One of the faucet's coins, spent as told."""
    outpoint, unspent = chain._coins()[coin]
    bare = Transaction(version, (TxIn(outpoint, b"", sequence),), outputs, locktime)
    return chain._sign(bare, [unspent.output])


def txids(chain, height):
    return [each.txid for each in chain.view.block(height).transactions]


def test_an_empty_chain_is_the_genesis_block_of_its_network(any_chain):
    tip = any_chain.view.tip()
    assert any_chain.view.network is Network.REGTEST
    assert tip.height == 0
    assert tip.hash == any_chain.view.block_hash(0) == any_chain.view.block(0).hash
    assert tip.hash[::-1].hex() == Network.REGTEST.genesis


def test_blocks_hang_together_from_the_tip_to_the_first(chain):
    tip = chain.view.tip()
    assert tip.height == 103
    expected = tip.hash
    for height in range(tip.height, -1, -1):
        block = chain.view.block(height)
        assert (block.height, block.hash) == (height, expected)
        assert chain.view.block_hash(height) == expected
        expected = block.previous
    assert expected == bytes(32)
    assert chain.view.block(tip.height).time == tip.time == chain.now()


def test_a_height_that_the_chain_does_not_have_is_unknown(chain):
    for height in (-1, chain.view.tip().height + 1, 2**31 - 1):
        with refuses("BLOCK_UNKNOWN"):
            chain.view.block_hash(height)
        with refuses("BLOCK_UNKNOWN"):
            chain.view.block(height)


def test_a_chain_whose_newest_block_is_recent_is_not_being_downloaded(chain):
    assert not chain.view.is_initial_download()


def test_a_block_holds_what_was_sent_with_its_witness(chain):
    payment = chain.pay_all([TxOut(COIN, PAYEE), TxOut(2 * COIN, ELSEWHERE)])
    (mined,) = chain.mine()
    block = chain.view.block(104)
    assert block.hash == mined
    (found,) = block.transactions[1:]
    assert (found.decode(), found.raw) == (payment, payment.serialize())
    assert found.scripts == tuple(each.script_pubkey for each in payment.outputs)
    assert found.spends == tuple(each.outpoint for each in payment.inputs)


def test_sending_again_is_success_while_it_waits_and_once_it_is_mined(chain):
    payment = chain.pay_all([TxOut(COIN, PAYEE)])
    chain.view.send(payment.serialize())
    assert chain.view.pending() == (payment,)
    chain.mine()
    chain.view.send(payment.serialize())
    assert chain.view.pending() == ()
    chain.mine(3)
    chain.view.send(payment.serialize())


def test_sending_again_is_success_even_when_every_output_is_spent(chain):
    payment = chain.pay_all([TxOut(4 * COIN, chain.faucet_script)])
    chain.mine()
    outputs = [(OutPoint(payment.txid, index), output) for index, output in enumerate(payment.outputs)]
    inputs = tuple(TxIn(outpoint, b"", REPLACEABLE) for outpoint, _ in outputs)
    total = sum(output.amount for _, output in outputs)
    bare = Transaction(2, inputs, (TxOut(total - 1000, ELSEWHERE),), 0)
    chain.view.send(chain._sign(bare, [output for _, output in outputs]).serialize())
    chain.mine()
    chain.view.send(payment.serialize())
    assert chain.view.pending() == ()


def test_a_transaction_may_spend_one_that_waits(chain):
    parent = chain.pay_all([TxOut(COIN, PAYEE)])
    child_input = TxIn(OutPoint(parent.txid, 1), b"", REPLACEABLE)
    bare = Transaction(2, (child_input,), (TxOut(parent.outputs[1].amount - 1000, ELSEWHERE),), 0)
    child = chain._sign(bare, [parent.outputs[1]])
    chain.view.send(child.serialize())
    assert chain.view.pending() == (parent, child)
    chain.mine()
    assert txids(chain, 104)[1:] == [parent.txid, child.txid]


def test_what_may_not_wait_is_refused_with_the_reason(chain):
    amount = 50 * COIN
    height = chain.view.tip().height
    unsigned = spend(chain, TxOut(amount - 1000, PAYEE))
    cases = [
        ("script-verify-flag-failed", Transaction(2, unsigned.inputs, unsigned.outputs, 0, ((bytes(71), bytes(33)),))),
        ("bad-txns-inputs-missingorspent", spend_of_nothing(chain)),
        ("min relay fee not met", spend(chain, TxOut(amount, PAYEE))),
        ("bad-txns-in-belowout", spend(chain, TxOut(amount + 1, PAYEE))),
        ("non-final", spend(chain, TxOut(amount - 1000, PAYEE), locktime=height + 1)),
        ("non-BIP68-final", spend(chain, TxOut(amount - 1000, PAYEE), sequence=200)),
    ]
    for reason, transaction in cases:
        with refuses("RELAY_REFUSED") as caught:
            chain.view.send(transaction.serialize())
        assert re.search(reason, caught.error.reason), (reason, caught.error.reason)
        assert caught.error.txid == transaction.txid_hex
    with refuses("RELAY_REFUSED"):
        chain.view.send(b"no transaction")
    assert chain.view.pending() == ()


def spend_of_nothing(chain):
    bare = Transaction(2, (TxIn(OutPoint(bytes(31) + b"\x01", 0), b"", REPLACEABLE),), (TxOut(COIN, PAYEE),), 0)
    return chain._sign(bare, [TxOut(2 * COIN, chain.faucet_script)])


def test_an_absolute_lock_opens_one_block_after_its_height(chain):
    height = chain.view.tip().height
    chain.view.send(spend(chain, TxOut(49 * COIN, PAYEE), locktime=height).serialize())
    assert len(chain.view.pending()) == 1


def test_a_coinbase_may_be_spent_a_hundred_blocks_later_and_not_before(any_chain):
    any_chain.mine(99)
    coinbase = any_chain.view.block(1).transactions[0].decode()
    bare = Transaction(2, (TxIn(OutPoint(coinbase.txid, 0), b"", REPLACEABLE),), (TxOut(49 * COIN, PAYEE),), 0)
    transaction = any_chain._sign(bare, [coinbase.outputs[0]])
    with refuses("RELAY_REFUSED") as caught:
        any_chain.view.send(transaction.serialize())
    assert "bad-txns-premature-spend-of-coinbase" in caught.error.reason
    any_chain.mine()
    any_chain.view.send(transaction.serialize())
    any_chain.mine()
    assert transaction.txid in txids(any_chain, 101)


def test_a_replacement_must_pay_for_itself_and_for_what_it_replaces(chain):
    first = spend(chain, TxOut(50 * COIN - 10_000, PAYEE))
    chain.view.send(first.serialize())
    outpoint, output = first.inputs[0].outpoint, TxOut(50 * COIN, chain.faucet_script)

    def replacement(fee):
        bare = Transaction(2, (TxIn(outpoint, b"", REPLACEABLE),), (TxOut(50 * COIN - fee, ELSEWHERE),), 0)
        return chain._sign(bare, [output])

    with refuses("RELAY_REFUSED") as caught:
        chain.view.send(replacement(10_001).serialize())
    assert "insufficient fee" in caught.error.reason
    assert chain.view.pending() == (first,)
    better = replacement(20_000)
    chain.view.send(better.serialize())
    assert chain.view.pending() == (better,)
    with refuses("RELAY_REFUSED"):
        chain.view.send(first.serialize())


# --- where a transaction is, and packages -----------------------------------------------------------------------------


def child_of(chain, parent, fee, vout=0):
    """A spend of the faucet's output `vout` of `parent`."""
    output = parent.outputs[vout]
    bare = Transaction(
        2, (TxIn(OutPoint(parent.txid, vout), b"", REPLACEABLE),), (TxOut(output.amount - fee, ELSEWHERE),), 0
    )
    return chain._sign(bare, [output])


def test_a_transaction_is_gone_until_it_is_sent_then_waits_then_stands_in_a_block(chain):
    payment = spend(chain, TxOut(49 * COIN, PAYEE))
    assert chain.view.standing(payment) is Standing.GONE
    chain.view.send(payment.serialize())
    assert chain.view.standing(payment) is Standing.WAITING
    chain.mine()
    assert chain.view.standing(payment) is Standing.MINED
    chain.mine(3)
    assert chain.view.standing(payment) is Standing.MINED


def test_what_was_replaced_is_gone(chain):
    first, second = spend(chain, TxOut(50 * COIN - 1_000, PAYEE)), spend(chain, TxOut(50 * COIN - 9_000, ELSEWHERE))
    chain.view.send(first.serialize())
    chain.view.send(second.serialize())
    assert [chain.view.standing(each) for each in (first, second)] == [Standing.GONE, Standing.WAITING]


def test_a_replacement_throws_out_all_that_spends_of_what_it_replaces(chain):
    first = spend(chain, TxOut(50 * COIN - 10_000, chain.faucet_script))
    assert chain.view.evicted(first.txid) is None
    chain.view.send(first.serialize())
    alone = Evicted(10_000, rate_of(10_000, first.vsize))
    assert chain.view.evicted(first.txid) == alone
    child = child_of(chain, first, 7_000)
    chain.view.send(child.serialize())
    assert chain.view.evicted(first.txid) == replace(alone, fee=17_000, count=2)
    assert chain.view.evicted(child.txid) == Evicted(7_000, rate_of(7_000, child.vsize))
    chain.mine()
    assert chain.view.evicted(first.txid) is None


def test_what_lost_its_block_waits_or_is_gone(chain):
    left_out, beaten = spend(chain, TxOut(49 * COIN, PAYEE)), spend(chain, TxOut(48 * COIN, PAYEE), coin=1)
    winner = spend(chain, TxOut(47 * COIN, ELSEWHERE), coin=1)
    for each in (left_out, beaten):
        chain.view.send(each.serialize())
    chain.mine()
    chain.reorganise(1, leave_out=[left_out.txid, beaten.txid], instead=[winner])
    found = [chain.view.standing(each) for each in (left_out, beaten, winner)]
    assert found == [Standing.WAITING, Standing.GONE, Standing.MINED]


def test_a_package_waits_and_sending_it_again_is_success_until_it_is_mined_and_after(chain):
    parent = spend(chain, TxOut(50 * COIN - 500, chain.faucet_script))
    child = child_of(chain, parent, 5_000)
    package = [parent.serialize(), child.serialize()]
    with refuses("RELAY_REFUSED"):
        chain.view.send(child.serialize())
    for _ in range(2):
        chain.view.send_package(package)
        assert chain.view.pending() == (parent, child)
    chain.mine()
    chain.view.send_package(package)
    assert chain.view.pending() == ()


def test_a_package_with_several_parents_of_which_one_waits_already(chain):
    parents = [spend(chain, TxOut(50 * COIN - 500, chain.faucet_script), coin=each) for each in (0, 1)]
    chain.view.send(parents[1].serialize())
    inputs = tuple(TxIn(OutPoint(each.txid, 0), b"", REPLACEABLE) for each in parents)
    bare = Transaction(2, inputs, (TxOut(99 * COIN, ELSEWHERE),), 0)
    child = chain._sign(bare, [each.outputs[0] for each in parents])
    chain.view.send_package([each.serialize() for each in (*parents, child)])
    assert set(chain.view.pending()) == {*parents, child}


def test_a_package_is_refused_by_the_name_of_its_child_when_any_of_it_may_not_wait(chain):
    good = spend(chain, TxOut(50 * COIN - 500, chain.faucet_script))
    bad = spend(chain, TxOut(51 * COIN, chain.faucet_script), coin=1)
    forged = child_of(chain, good, 5_000)
    forged = Transaction(2, forged.inputs, forged.outputs, 0, ((bytes(71), bytes(33)),))
    cases = [
        ("script-verify-flag-failed", [good, forged]),
        ("bad-txns-in-belowout", [bad, child_of(chain, bad, 5_000)]),
        ("fee not met", [good, child_of(chain, good, 0)]),
    ]
    for reason, package in cases:
        with refuses("RELAY_REFUSED") as caught:
            chain.view.send_package([each.serialize() for each in package])
        assert re.search(reason, caught.error.reason), (reason, caught.error.reason)
        assert caught.error.txid == package[-1].txid_hex
        assert chain.view.standing(package[-1]) is Standing.GONE
    with refuses("RELAY_REFUSED"):
        chain.view.send_package([good.serialize(), b"no transaction"])


def test_a_chain_that_prunes_nothing_has_every_block(chain):
    assert chain.view.first_block() == 0


def test_rates_are_whole_numbers_and_nothing_is_estimated_on_a_chain_without_competition(chain):
    assert chain.view.fee_rate() is None
    assert chain.view.step_rate() in range(1, 1_001)
    rate = chain.view.min_fee_rate()
    assert isinstance(rate, int)
    assert rate > 0
    cheap = spend(chain, TxOut(50 * COIN - 1, PAYEE))
    with refuses("RELAY_REFUSED") as caught:
        chain.view.send(cheap.serialize())
    assert "fee not met" in caught.error.reason
    enough = spend(chain, TxOut(50 * COIN - fee_at(rate, cheap.vsize), PAYEE))
    chain.view.send(enough.serialize())
    assert chain.view.pending() == (enough,)


def test_after_a_reorganisation_the_new_branch_is_the_chain(chain):
    kept, left_out = chain.pay_all([TxOut(COIN, PAYEE)]), chain.pay_all([TxOut(COIN, ELSEWHERE)])
    (lost,) = chain.mine()
    chain.reorganise(1, leave_out=[left_out.txid])
    assert chain.view.tip().height == 105
    assert chain.view.block_hash(104) != lost
    assert txids(chain, 104)[1:] == [kept.txid]
    assert chain.view.pending() == (left_out,)
    chain.mine()
    assert txids(chain, 106)[1:] == [left_out.txid]


def test_a_double_spend_in_a_longer_branch_wins(chain):
    paid = spend(chain, TxOut(49 * COIN, PAYEE))
    stolen = spend(chain, TxOut(48 * COIN, ELSEWHERE))
    chain.view.send(paid.serialize())
    chain.mine()
    chain.reorganise(1, leave_out=[paid.txid], instead=[stolen])
    assert chain.view.pending() == ()
    with refuses("RELAY_REFUSED") as caught:
        chain.view.send(paid.serialize())
    assert "bad-txns-inputs-missingorspent" in caught.error.reason


@pytest.mark.parametrize("depth", range(1, 7))
def test_a_reorganisation_of_any_depth_brings_payments_back_or_lets_them_wait(chain, depth):
    payments = []
    for _ in range(depth):
        payments.append(chain.pay_all([TxOut(COIN, PAYEE)]))
        chain.mine()
    chain.reorganise(depth, leave_out=[payments[-1].txid])
    assert chain.view.tip().height == 103 + depth + 1
    seen = [txid for height in range(104, 103 + depth + 2) for txid in txids(chain, height)[1:]]
    assert seen == [each.txid for each in payments[:-1]]
    assert chain.view.pending() == (payments[-1],)


def test_an_invalid_block_is_refused_and_the_chain_stays(chain):
    tip = chain.view.tip()
    thief = spend(chain, TxOut(51 * COIN, ELSEWHERE))
    with refuses("BLOCK_REFUSED"):
        chain.mine(1, transactions=[thief])
    assert chain.view.tip() == tip
