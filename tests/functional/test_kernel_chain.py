"""A chain inside the process: it mines, pays, refuses what Bitcoin Core refuses, and changes its mind."""

from dataclasses import replace

import pytest

from custody.backends.kernel import KernelChain
from custody.bitcoin import curve
from custody.bitcoin.script import multisig_script, p2wsh
from custody.bitcoin.sighash import ALL, SegwitV0
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.asserts import refuses
from custody.testing.chain import SPACING, START, RegtestChain, build_block, merkle_root, subsidy
from custody.units import COIN, Network

SECRETS = tuple(bytes([number]) * 32 for number in (1, 2, 3))
KEYS = sorted((curve.public_key(secret), secret) for secret in SECRETS)
VAULT_SCRIPT = multisig_script(2, [key for key, _ in KEYS])
VAULT = p2wsh(VAULT_SCRIPT)
ELSEWHERE = b"\x00\x14" + bytes(range(20))


@pytest.fixture
def chain():
    with RegtestChain.funded(5) as running:
        yield running


def spend(outpoint, amount, *outputs, signers=2, sequence=0xFFFFFFFD, locktime=0):
    """A spend of one output locked to VAULT."""
    bare = Transaction(2, (TxIn(outpoint, b"", sequence),), outputs, locktime)
    digest = SegwitV0(bare).digest(0, VAULT_SCRIPT, amount)
    signatures = [curve.sign_ecdsa(secret, digest) + bytes([ALL]) for _, secret in KEYS[:signers]]
    return replace(bare, witness=((b"", *signatures, VAULT_SCRIPT),))


def next_block(chain, **changes):
    tip = chain.view.tip()
    arguments = {"previous": tip.hash, "height": tip.height + 1, "time": tip.time + SPACING, "reward_to": ELSEWHERE}
    return build_block(**arguments | changes)


def test_an_empty_chain_starts_at_regtests_genesis_block():
    with KernelChain() as view:
        assert view.tip().height == 0
        assert view.block_hash(0)[::-1].hex() == Network.REGTEST.genesis
        assert view.network is Network.REGTEST
        assert not view.is_initial_download()
        assert view.fee_rate() is None


@pytest.mark.parametrize("network", [each for each in Network if each is not Network.REGTEST])
def test_every_network_but_regtest_is_refused(network):
    with refuses("NETWORK_MISMATCH"):
        KernelChain(network=network)
    with refuses("NETWORK_MISMATCH"):
        RegtestChain(network=network)


def test_the_same_story_gives_the_same_chain():
    hashes = []
    for _ in range(2):
        with RegtestChain.funded(2) as chain:
            chain.pay(VAULT, COIN)
            chain.mine(2)
            chain.reorganise(1)
            hashes.append(chain.view.tip().hash)
    assert hashes[0] == hashes[1]


def test_blocks_are_read_back_as_they_were_mined(chain):
    outpoint = chain.pay(VAULT, 7 * COIN)
    (mined,) = chain.mine()
    tip = chain.view.tip()
    block = chain.view.block(tip.height)
    assert block.hash == tip.hash == mined == chain.view.block_hash(tip.height)
    assert block.previous == chain.view.block_hash(tip.height - 1)
    assert block.time == tip.time == chain.now() == START + SPACING * tip.height
    assert block.transactions[1].txid == outpoint.txid
    assert block.transactions[1].decode().outputs[0] == TxOut(7 * COIN, VAULT)
    assert chain.view.unspent(outpoint).height == tip.height


def test_a_height_beyond_the_tip_is_unknown(chain):
    for height in (-1, chain.view.tip().height + 1):
        with refuses("BLOCK_UNKNOWN"):
            chain.view.block(height)


def test_a_payment_waits_and_then_is_mined_and_sending_it_again_is_success(chain):
    payment = chain.pay_all([TxOut(COIN, VAULT), TxOut(2 * COIN, ELSEWHERE)])
    chain.view.send(payment.serialize())
    assert chain.view.pending() == (payment,)
    chain.mine()
    assert chain.view.pending() == ()
    chain.view.send(payment.serialize())
    assert chain.view.pending() == ()


def test_the_faucet_pays_from_change_that_waits_and_says_when_it_is_empty(chain):
    for _ in range(10):
        chain.pay(VAULT, 20 * COIN)
    chain.mine()
    assert sum(1 for _ in chain.view.unspent_of(VAULT)) == 10
    with refuses("FAUCET_EMPTY") as caught:
        chain.pay(VAULT, 1000 * COIN)
    assert 0 < caught.error.available < 1000 * COIN


def test_a_spend_with_two_of_three_signatures_reaches_a_block(chain):
    outpoint = chain.pay(VAULT, 10 * COIN)
    chain.mine()
    transaction = spend(outpoint, 10 * COIN, TxOut(9 * COIN, ELSEWHERE))
    chain.view.send(transaction.serialize())
    chain.mine()
    assert transaction.txid in [each.txid for each in chain.view.block(chain.view.tip().height).transactions]
    assert chain.view.unspent(outpoint) is None
    assert [unspent.output.amount for _, unspent in chain.view.unspent_of(ELSEWHERE)] == [9 * COIN]


def test_what_may_not_wait_is_refused_with_the_reason(chain):
    outpoint = chain.pay(VAULT, 10 * COIN)
    chain.mine()
    cases = {
        "mandatory-script-verify-flag-failed": spend(outpoint, 10 * COIN, TxOut(9 * COIN, ELSEWHERE), signers=1),
        "bad-txns-inputs-missingorspent": spend(OutPoint(bytes(32), 0), COIN, TxOut(1, ELSEWHERE)),
        "min relay fee not met": spend(outpoint, 10 * COIN, TxOut(10 * COIN, ELSEWHERE)),
        "non-final": spend(outpoint, 10 * COIN, TxOut(9 * COIN, ELSEWHERE), locktime=chain.view.tip().height + 1),
        "non-BIP68-final": spend(outpoint, 10 * COIN, TxOut(9 * COIN, ELSEWHERE), sequence=2),
    }
    for reason, transaction in cases.items():
        with refuses("RELAY_REFUSED") as caught:
            chain.view.send(transaction.serialize())
        assert reason in caught.error.reason
        assert caught.error.txid == transaction.txid_hex
    with refuses("RELAY_REFUSED"):
        chain.view.send(b"no transaction")
    assert chain.view.pending() == ()


def test_a_coinbase_may_be_spent_a_hundred_blocks_later_and_not_before():
    with RegtestChain() as chain:
        chain.mine(1, script_pubkey=VAULT)
        ((outpoint, coin),) = chain.view.unspent_of(VAULT)
        assert coin.is_coinbase
        transaction = spend(outpoint, 50 * COIN, TxOut(49 * COIN, ELSEWHERE))
        chain.mine(98)
        with refuses("RELAY_REFUSED") as caught:
            chain.view.send(transaction.serialize())
        assert caught.error.reason == "bad-txns-premature-spend-of-coinbase"
        # The kernel itself agrees, whatever the pool thinks.
        with refuses("BLOCK_REFUSED"):
            chain.mine(1, transactions=[transaction])
        chain.mine(1)
        chain.view.send(transaction.serialize())
        chain.mine(1)
        assert chain.view.unspent(outpoint) is None


def altered(raw, at):
    changed = bytearray(raw)
    changed[at] ^= 1
    return bytes(changed)


def test_invalid_blocks_are_refused_by_name_and_leave_the_chain_as_it_was(chain):
    outpoint = chain.pay(VAULT, 10 * COIN)
    chain.mine()
    tip = chain.view.tip()
    unsigned = spend(outpoint, 10 * COIN, TxOut(9 * COIN, ELSEWHERE), signers=1)
    money = spend(outpoint, 10 * COIN, TxOut(11 * COIN, ELSEWHERE))
    good = spend(outpoint, 10 * COIN, TxOut(9 * COIN, ELSEWHERE))
    cases = [
        ("consensus rule", next_block(chain, transactions=[unsigned])),
        ("consensus rule", next_block(chain, transactions=[money])),
        ("consensus rule", next_block(chain, transactions=[good, good])),
        ("consensus rule", next_block(chain, height=tip.height + 2)),
        ("proof of work or its time", next_block(chain, time=chain.view.median_time(tip.height))),
        ("two hours in the future", next_block(chain, time=2**32 - 1)),
        ("is unknown", next_block(chain, previous=bytes(32))),
        ("not those its header commits to", altered(next_block(chain), -1)),
        ("cannot be read", next_block(chain)[:80]),
    ]
    for reason, raw in cases:
        with refuses("BLOCK_REFUSED") as caught:
            chain.view.submit(raw)
        assert reason in caught.error.reason
        assert chain.view.tip() == tip
    chain.mine(1, transactions=[good])
    assert chain.view.tip().height == tip.height + 1


def test_a_block_known_to_be_invalid_is_refused_again(chain):
    raw = next_block(chain, height=1)
    for _ in range(2):
        with refuses("BLOCK_REFUSED"):
            chain.view.submit(raw)


def test_a_block_on_a_weaker_branch_is_kept_but_does_not_move_the_tip(chain):
    tip = chain.view.tip()
    parent = chain.view.block(tip.height).previous
    chain.view.submit(next_block(chain, previous=parent, height=tip.height))
    assert chain.view.tip() == tip


def test_a_reorganisation_keeps_transactions_at_their_heights(chain):
    first = chain.pay(VAULT, COIN)
    chain.mine()
    second = chain.pay(VAULT, 2 * COIN)
    chain.mine()
    height = chain.view.tip().height
    before = chain.view.tip().hash
    lost = chain.reorganise(2)
    assert [each.height for each in lost] == [height - 1, height]
    assert lost[-1].hash == before
    assert chain.view.tip().height == height + 1
    assert chain.view.block_hash(height) != before
    assert [each.txid for each in chain.view.block(height - 1).transactions[1:]] == [first.txid]
    assert [each.txid for each in chain.view.block(height).transactions[1:]] == [second.txid]
    assert chain.view.pending() == ()


def test_a_transaction_left_out_by_a_reorganisation_waits_again_with_all_that_descends_from_it(chain):
    outpoint = chain.pay(VAULT, 10 * COIN)
    chain.mine()
    child = spend(outpoint, 10 * COIN, TxOut(9 * COIN, VAULT))
    chain.view.send(child.serialize())
    chain.mine()
    grandchild = spend(OutPoint(child.txid, 0), 9 * COIN, TxOut(8 * COIN, ELSEWHERE))
    chain.view.send(grandchild.serialize())
    chain.mine()
    chain.reorganise(3, leave_out=[outpoint.txid])
    assert chain.view.unspent(outpoint) is None
    assert [each.txid for each in chain.view.pending()] == [outpoint.txid, child.txid, grandchild.txid]
    chain.mine()
    assert chain.view.pending() == ()
    assert grandchild.txid in [each.txid for each in chain.view.block(chain.view.tip().height).transactions]


def test_a_double_spend_in_a_longer_branch_wins(chain):
    outpoint = chain.pay(VAULT, 10 * COIN)
    chain.mine()
    paid = spend(outpoint, 10 * COIN, TxOut(9 * COIN, ELSEWHERE))
    stolen = spend(outpoint, 10 * COIN, TxOut(8 * COIN, ELSEWHERE))
    chain.view.send(paid.serialize())
    chain.mine()
    chain.reorganise(1, leave_out=[paid.txid], instead=[stolen])
    assert chain.view.pending() == ()
    assert [unspent.output.amount for _, unspent in chain.view.unspent_of(ELSEWHERE)] == [8 * COIN]
    with refuses("RELAY_REFUSED") as caught:
        chain.view.send(paid.serialize())
    assert caught.error.reason == "bad-txns-inputs-missingorspent"


def test_what_is_followed_here_is_what_a_fresh_start_reads(tmp_path):
    with RegtestChain(tmp_path) as chain:
        chain.mine(103)
        chain.pay(VAULT, COIN)
        chain.mine(2)
        chain.pay(VAULT, 2 * COIN)
        chain.mine(1)
        chain.reorganise(3, leave_out=[chain.view.block(104).transactions[1].txid])
        followed = dict(chain.view._unspent), chain.view.tip()
        with refuses("NODE_UNAVAILABLE"):
            KernelChain(tmp_path)
    with RegtestChain(tmp_path) as again:
        assert (again.view._unspent, again.view.tip()) == followed
        again.mine()
        assert again.view.tip().height == followed[1].height + 1


def test_mined_coins_halve_every_150_blocks():
    assert [subsidy(height) for height in (1, 149, 150, 300)] == [50 * COIN, 50 * COIN, 25 * COIN, 1_250_000_000]
    with RegtestChain() as chain:
        chain.mine(151)
        assert chain.view.block(150).transactions[0].decode().outputs[0].amount == 25 * COIN


def test_the_merkle_root_of_a_block_is_in_its_header(chain):
    chain.pay(VAULT, COIN)
    chain.pay(VAULT, COIN)
    raw = next_block(chain, transactions=chain.view.pending())
    block_hash = chain.view.submit(raw)
    block = chain.view.block(chain.view.tip().height)
    assert block.hash == block_hash
    assert raw[36:68] == merkle_root([each.txid for each in block.transactions])


def test_time_passes_without_blocks(chain):
    now = chain.now()
    assert chain.wait(86_400) == now + 86_400
    chain.mine()
    assert chain.view.tip().time == now + 86_400 + SPACING
