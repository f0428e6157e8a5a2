"""What one block says about our vaults."""

from dataclasses import replace

import pytest

from custody.bitcoin.block import BlockHeader
from custody.bitcoin.transaction import MinedTransaction, OutPoint, PreviousTransaction, Transaction, TxIn, TxOut
from custody.testing.cast import vault_of
from custody.transfer.observe import BlockView, Find, Spend, deposits_in, spends_in
from custody.vault.coins import ScriptIndex
from custody.vault.descriptor import Branch

HEADER = BlockHeader(bytes(80))
FOREIGN = b"\x00\x14" + bytes(20)


@pytest.fixture(scope="module")
def vault(told):
    return told.cast.vault


@pytest.fixture(scope="module")
def find(vault) -> Find:
    return index(vault, 10, 5).find


def index(vault, receive_to: int, change_to: int) -> ScriptIndex:
    made = ScriptIndex()
    made.grow(vault, Branch.RECEIVE, receive_to)
    made.grow(vault, Branch.CHANGE, change_to)
    return made


def spending(*outpoints: OutPoint) -> tuple[TxIn, ...]:
    return tuple(TxIn(each, b"", 0xFFFFFFFD) for each in outpoints or (OutPoint(b"\x09" * 32, 0),))


def block(*transactions: Transaction, coinbase: Transaction | None = None) -> BlockView:
    first = coinbase or Transaction(2, spending(OutPoint(bytes(32), 0xFFFFFFFF)), (TxOut(1, FOREIGN),), 0)
    mined = tuple(MinedTransaction.read(each.serialize(), 0)[0] for each in (first, *transactions))
    return BlockView(height=150, header=HEADER, transactions=mined)


def test_every_output_of_ours_is_a_deposit_and_no_other(vault, find):
    paying = Transaction(
        2,
        spending(),
        (
            TxOut(5, FOREIGN),
            TxOut(6, vault.script_pubkey(Branch.RECEIVE, 9)),
            TxOut(7, vault.script_pubkey(Branch.CHANGE, 4)),
            TxOut(8, vault.script_pubkey(Branch.RECEIVE, 10)),
        ),
        0,
    )
    found = [seen for seen, _ in deposits_in(block(paying), find, 77)]
    assert [(each.vout, each.amount, each.branch, each.index) for each in found] == [(1, 6, 0, 9), (2, 7, 1, 4)]
    for each in found:
        assert (each.vault, each.txid, each.height, each.block) == (vault.id, paying.txid, 150, HEADER.hash)
        assert not each.is_coinbase
        assert each.deposit.outpoint == OutPoint(paying.txid, each.vout)


def test_a_payment_with_many_outputs_to_us_is_decoded_once(vault, find):
    outputs = tuple(TxOut(5, vault.script_pubkey(Branch.RECEIVE, at)) for at in range(10))
    found = list(deposits_in(block(Transaction(2, spending(), outputs, 0)), find, 77))
    assert len(found) == len(outputs)
    assert {id(transaction) for _, transaction in found} == {id(found[0][1])}


def test_the_first_transaction_of_a_block_is_mined(vault, find):
    mined = Transaction(2, spending(), (TxOut(9, vault.script_pubkey(Branch.RECEIVE, 0)),), 0)
    ((found, _),) = deposits_in(block(coinbase=mined), find, 77)
    assert found.is_coinbase


def test_the_proof_of_an_amount_does_not_depend_on_a_witness(vault, find):
    paying = Transaction(2, spending(), (TxOut(6, vault.script_pubkey(Branch.RECEIVE, 1)),), 0, ((b"\x01", b"\x02"),))
    ((one, first),) = deposits_in(block(paying), find, 77)
    ((other, second),) = deposits_in(block(replace(paying, witness=((b"\x03",),))), find, 77)
    assert (one, first.stripped()) == (other, second.stripped())
    proof = PreviousTransaction(first.stripped())
    assert (proof.txid, proof.output(0)) == (paying.txid, paying.outputs[0])


def test_two_vaults_are_told_apart(vault):
    second, _ = vault_of(("x", "y"), 2)
    other, both = index(second, 3, 3), index(vault, 10, 5)
    both.grow(second, Branch.RECEIVE, 3)
    paying = Transaction(
        2, spending(), tuple(TxOut(6, each.script_pubkey(Branch.RECEIVE, 0)) for each in (vault, second)), 0
    )
    assert [each.vault for each, _ in deposits_in(block(paying), both.find, 77)] == [vault.id, second.id]
    assert [each.vault for each, _ in deposits_in(block(paying), other.find, 77)] == [second.id]


def test_each_input_that_spends_a_coin_of_ours_is_a_spend():
    ours = {OutPoint(b"\x01" * 32, 0), OutPoint(b"\x01" * 32, 1), OutPoint(b"\x02" * 32, 0)}
    both = Transaction(2, spending(*sorted(ours)[:2], OutPoint(b"\x07" * 32, 0)), (TxOut(1, FOREIGN),), 0)
    one = Transaction(2, spending(sorted(ours)[2]), (TxOut(1, FOREIGN),), 0)
    none = Transaction(2, spending(OutPoint(b"\x01" * 32, 2)), (TxOut(1, FOREIGN),), 0)
    found = list(spends_in(block(both, none, one), ours))
    assert [each.spender for each in found] == [both.txid, both.txid, one.txid]
    assert {each.outpoint for each in found} == ours
    assert found[0] == Spend(min(ours), both.txid, both.txid, HEADER, 150)


def test_what_mining_makes_spends_nothing_of_ours():
    null = OutPoint(bytes(32), 0xFFFFFFFF)
    assert list(spends_in(block(), {null})) == []
