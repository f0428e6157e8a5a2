"""Coins that no look could see: from before a vault's birthday, or further ahead than its addresses are watched."""

import pytest

from custody.bitcoin.transaction import OutPoint, TxOut
from custody.history import kinds
from custody.observer import Since
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, Setting, make_cast
from custody.testing.chain import RegtestChain
from custody.testing.scenario import Scenario
from custody.testing.theft import steal
from custody.transfer.proposal import CHANGE_GAP
from custody.vault.descriptor import Branch
from custody.watching import RECEIVE_GAP

SETTING = Setting(birthday=115)


def pay(chain: RegtestChain, setting: Setting, branch: Branch, index: int) -> OutPoint:
    return chain.pay(make_cast(setting).vault.script_pubkey(branch, index), 50_000_000)


@pytest.fixture
def chain():
    with RegtestChain().fund(4) as chain:
        yield chain


def test_a_coin_from_before_the_birthday_is_taken_in_and_may_be_spent(chain):
    coin = pay(chain, SETTING, Branch.RECEIVE, 0)
    chain.mine(20)
    story = Scenario.begin(SETTING, chain=chain)
    story.custodian.observe()
    assert coin not in story.holdings
    added = story.custodian.observe(since=Since(100)).added
    assert (added.count(kinds.DEPOSIT_SEEN), added.count(kinds.COIN_MATURED)) == (1, 1)
    assert story.custodian.observe(since=Since(100)).added == ()
    # Nobody was given its address, as far as the log goes.
    story.custodian.release_coin(story.coin_release(coin))
    assert story.sent(story.request((SUPPLIER, 25_000_000)))


@pytest.mark.parametrize(("branch", "index"), [(Branch.RECEIVE, RECEIVE_GAP + 500), (Branch.CHANGE, CHANGE_GAP + 20)])
def test_a_coin_far_ahead_is_taken_in_and_its_window_is_watched_from_then_on(chain, branch, index):
    setting = Setting()
    story = Scenario.begin(setting, chain=chain)
    coin = pay(chain, setting, branch, index)
    story.mine()
    assert coin not in story.holdings
    # Not by reading alone: so far ahead nobody looks unless told.
    assert kinds.DEPOSIT_SEEN not in story.custodian.observe(since=Since(0)).added
    story.custodian.observe(since=Since(0, 2_000))
    assert coin in story.holdings
    later = pay(chain, setting, branch, index + 1)
    story.mine()
    assert later in story.holdings


def test_what_was_stolen_out_of_sight_is_a_theft(chain):
    setting = Setting()
    story = Scenario.begin(setting, chain=chain)
    funding = chain.pay_all([TxOut(7_000_000, story.cast.vault.script_pubkey(Branch.RECEIVE, 1_500))])
    chain.view.send(steal(story.cast, funding, 0, 1_500).serialize())
    story.mine(2)
    assert story.history().frozen_by is None
    story.custodian.observe(since=Since(0, 2_000))
    assert story.history().frozen_by is not None
    assert story.balance == 0


def test_what_was_spent_before_the_charter_out_of_sight_is_its_past(chain):
    setting = Setting()
    cast = make_cast(setting)
    funding = chain.pay_all([TxOut(7_000_000, cast.vault.script_pubkey(Branch.RECEIVE, 1_500))])
    chain.view.send(steal(cast, funding, 0, 1_500).serialize())
    chain.mine(2)
    story = Scenario.begin(setting, chain=chain)
    story.custodian.observe()
    assert story.custodian.observe(since=Since(0, 2_000)).added.count(kinds.PAST_SPEND) == 1
    assert (story.history().frozen_by, story.balance) == (None, 0)


def test_reading_everything_again_adds_nothing_that_is_known(story):
    story.confirmed()
    story.sent(story.request((SUPPLIER, 1_000_000)))
    story.mine()
    size = story.history().size
    assert story.custodian.observe(since=Since(0)).added == ()
    assert story.history().size == size


def test_what_was_erased_stays_erased(story):
    row = next(iter(story.holdings.values()))
    story.custodian.erase(row.seen, "nobody may know")
    story.custodian.observe(since=Since(0))
    assert row.outpoint not in story.holdings


def test_a_coin_that_came_long_before_is_nobody_s_and_reorganised_like_others(chain):
    coin = pay(chain, SETTING, Branch.RECEIVE, 0)
    chain.mine(20)
    story = Scenario.begin(SETTING, chain=chain)
    story.custodian.observe()
    story.custodian.observe(since=Since(0))
    story.chain.reorganise(25, leave_out=[coin.txid])
    story.custodian.observe()
    assert coin not in story.holdings


def test_blocks_beyond_the_newest_are_nothing_to_read(story):
    assert story.custodian.observe(since=Since(story.history().height + 5)).added == ()
    with refuses("BLOCK_UNKNOWN"):
        story.chain.view.block(10_000)
