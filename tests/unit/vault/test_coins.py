from collections.abc import Callable

import pytest

from custody.bitcoin.transaction import OutPoint
from custody.testing.asserts import refuses
from custody.vault.coins import COINBASE_MATURITY, Coin, Deposit, ScriptIndex, depth, needed_depth
from custody.vault.descriptor import Branch, Vault

MakeVault = Callable[..., Vault]


def deposit(height: int = 100, *, is_coinbase: bool = False) -> Deposit:
    return Deposit(
        outpoint=OutPoint(bytes(31) + b"\1", 3),
        amount=5_000,
        script_pubkey=b"\x00\x20" + bytes(32),
        branch=1,
        index=7,
        height=height,
        is_coinbase=is_coinbase,
        block_hash=bytes(32),
    )


@pytest.mark.parametrize(("height", "tip", "blocks"), [(100, 100, 1), (100, 105, 6), (0, 0, 1), (101, 100, 0)])
def test_depth_counts_the_blocks_own_block(height: int, tip: int, blocks: int) -> None:
    assert depth(height, tip) == blocks


def test_a_deposit_is_a_coin_at_the_depth_asked_for() -> None:
    assert not deposit(100).is_mature(tip=104, confirmations=6)
    assert deposit(100).is_mature(tip=105, confirmations=6)


def test_a_deposit_is_never_a_coin_before_its_block() -> None:
    assert needed_depth(0, is_coinbase=False) == 1
    assert not deposit(100).is_mature(tip=99, confirmations=0)


def test_a_coinbase_waits_a_hundred_blocks_whatever_is_asked_for() -> None:
    mined = deposit(100, is_coinbase=True)
    assert not mined.is_mature(tip=198, confirmations=1)
    assert mined.is_mature(tip=199, confirmations=1)
    assert not mined.is_mature(tip=199, confirmations=COINBASE_MATURITY + 1)


def test_a_coin_is_its_deposit_without_the_block() -> None:
    seen = deposit()
    assert seen.coin == Coin(seen.outpoint, 5_000, seen.script_pubkey, 1, 7, 100, is_coinbase=False)


def test_every_script_of_the_window_is_found_and_no_other(vault: MakeVault) -> None:
    made = vault()
    index = ScriptIndex()
    for branch, stop in ((Branch.RECEIVE, 30), (Branch.CHANGE, 10)):
        assert index.grow(made, branch, stop)
        for i in range(stop):
            assert index.find(made.script_pubkey(branch, i)) == (made.id, branch, i)
        assert index.find(made.script_pubkey(branch, stop)) is None
        assert index.end(made.id, branch) == stop
    assert len(index) == 40
    assert {script for script, _ in index.items()} == {*made.scripts(0, 0, 30), *made.scripts(1, 0, 10)}


def test_a_window_grows_and_never_shrinks(vault: MakeVault) -> None:
    made = vault()
    index = ScriptIndex()
    assert index.find(made.script_pubkey(0, 0)) is None
    assert index.grow(made, Branch.CHANGE, 5)
    assert index.grow(made, Branch.RECEIVE, 1501)
    assert not index.grow(made, Branch.CHANGE, 3)
    assert index.find(made.script_pubkey(0, 1500)) == (made.id, Branch.RECEIVE, 1500)
    assert index.find(made.script_pubkey(1, 4)) is not None
    assert (index.end(made.id, Branch.RECEIVE), index.end(made.id, Branch.CHANGE)) == (1501, 5)
    assert index.grow(made, Branch.RECEIVE, 1510)
    assert index.find(made.script_pubkey(0, 1505)) == (made.id, Branch.RECEIVE, 1505)
    assert len(index) == 1515


def test_each_vault_has_windows_of_its_own(vault: MakeVault) -> None:
    first, second = vault(seed=1), vault(seed=2)
    index = ScriptIndex()
    index.grow(first, Branch.RECEIVE, 5)
    assert index.find(second.script_pubkey(0, 0)) is None
    assert index.end(second.id, Branch.RECEIVE) == 0
    index.grow(second, Branch.RECEIVE, 2)
    assert index.find(second.script_pubkey(0, 1)) == (second.id, Branch.RECEIVE, 1)
    assert index.find(first.script_pubkey(0, 4)) == (first.id, Branch.RECEIVE, 4)


def test_a_window_beyond_the_last_index_is_refused(vault: MakeVault) -> None:
    with refuses("INDEX_RANGE"):
        ScriptIndex().grow(vault(), Branch.RECEIVE, 2**31 + 1)
