"""A child's fee is what both are worth to a miner at the rate that was asked for, less what the parent pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin.transaction import OutPoint
from custody.charter.rules import Carried
from custody.history import kinds
from custody.testing.asserts import refuses
from custody.transfer.child import change_of, check_child, check_waiting, select_change
from custody.transfer.selection import Terms, weight_of
from custody.units import fee_at, vsize
from custody.vault.coins import Coin

AMOUNT = 10**9


def terms(vault, rate):
    return Terms(
        outputs=(),
        change_script=vault.script_pubkey(1, 3),
        input_weight=vault.input_weight,
        max_inputs=250,
        rate=rate,
        long_term_rate=10_000,
    )


def coin(vault, amount=AMOUNT):
    return Coin(OutPoint(bytes(32), 1), amount, vault.script_pubkey(1, 2), 1, 2, 151, is_coinbase=False)


@given(rate=st.integers(1_000, 500_000), parent_rate=st.integers(0, 500_000), vbytes=st.integers(100, 100_000))
def test_both_together_reach_the_rate_to_the_satoshi(told, rate, parent_rate, vbytes):
    vault = told.cast.vault
    asked, parent = terms(vault, rate), Carried(fee_at(parent_rate, vbytes), vbytes)
    size = vsize(weight_of(asked, 1, has_change=True))
    if parent.fee >= fee_at(rate, vbytes):
        with refuses("CHILD_FEE_LOW"):
            select_change(coin(vault), parent, asked)
        return
    if fee_at(rate, size + vbytes) - parent.fee <= fee_at(rate, size):
        return  # a satoshi of rounding between the two
    found = select_change(coin(vault), parent, asked)
    assert found.fee + parent.fee == fee_at(rate, size + vbytes)
    assert (found.change, found.coins) == (AMOUNT - found.fee, (coin(vault),))
    # The child alone pays more than the rate, or it would carry nothing.
    assert found.fee > fee_at(rate, size)


def test_change_that_would_leave_dust_is_too_little(told):
    vault = told.cast.vault
    asked, parent = terms(vault, 20_000), Carried(300, 300)
    fee = select_change(coin(vault), parent, asked).fee
    assert select_change(coin(vault, fee + asked.dust), parent, asked).change == asked.dust
    with refuses("INSUFFICIENT_FUNDS") as caught:
        select_change(coin(vault, fee + asked.dust - 1), parent, asked)
    assert caught.error.needed == fee + asked.dust


def test_the_change_of_a_released_transfer_is_where_its_own_bytes_say(told):
    vault = told.cast.vault
    assert change_of(told.until(kinds.RELEASED).transfer(told.transfer_id), vault) is None
    parent = told.after(kinds.RELEASED).transfer(told.transfer_id)
    found = check_waiting(parent, vault)
    assert found == change_of(parent, vault)
    assert found.outpoint.txid == parent.release.txid
    output = parent.draft.transaction.outputs[found.outpoint.index]
    assert (output.amount, output.script_pubkey) == (found.amount, vault.script_pubkey(1, parent.draft.change))


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        (kinds.VERIFIED, "was not released (verified)"),
        (kinds.SPEND_SEEN, "stands in a block already"),
        (kinds.CONFIRMED, "stands in a block already"),
    ],
)
def test_what_does_not_wait_has_no_child(told, after, problem):
    with refuses("CHILD_PARENT") as caught:
        check_waiting(told.after(after).transfer(told.transfer_id), told.cast.vault)
    assert problem in str(caught.error)


def test_a_reorganisation_lets_a_parent_wait_again(told):
    assert check_waiting(told.after(kinds.UNCONFIRMED).transfer(told.transfer_id), told.cast.vault)


def test_a_child_spends_the_change_and_nothing_else(told):
    parent = told.after(kinds.RELEASED).transfer(told.transfer_id)
    with refuses("CHILD_INPUTS") as caught:
        check_child(told.draft, parent, told.cast.vault)
    assert caught.error.change == str(change_of(parent, told.cast.vault).outpoint)
