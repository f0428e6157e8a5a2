"""Coins that came to nobody's address are shown, counted apart and spent by nobody, until an officer releases them."""

import pytest

from custody.bitcoin.transaction import OutPoint, TxOut
from custody.charter.decide import decide
from custody.drafter import _asked, choose, draft_chosen
from custody.examine.evidence import Stage
from custody.history import kinds
from custody.history.quarantine import Quarantine, quarantined
from custody.history.tables import ADDRESSES, index_key
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, SUPPLIER, TAX_OFFICE, Setting, expected
from custody.testing.scenario import RATE, Scenario
from custody.testing.theft import steal_coin
from custody.transfer.coin_release import CoinReleasePaper
from custody.transfer.draft import draft
from custody.transfer.request import Purpose
from custody.transfer.selection import LONG_TERM_RATE, Algorithm, Left, LeftBehind, Rates, Selection, small_below
from custody.transfer.state import Status
from custody.vault.descriptor import Branch

FAR = 40


def pay(story: Scenario, branch: Branch, index: int, amount: int = 5_000_000) -> OutPoint:
    return story.chain.pay(story.cast.vault.script_pubkey(branch, index), amount)


def shut(story: Scenario) -> dict[OutPoint, Quarantine]:
    return quarantined(story.history(), story.cast.vault.id, story.coins)


def change_index(story: Scenario, transfer_id: bytes) -> int:
    return story.transfer(transfer_id).draft.change


def issue(story: Scenario) -> int:
    return story.custodian.issue_address("reserve", expected("later")).index


def drafted_anyway(story: Scenario, *outpoints: OutPoint, is_decided: bool = True) -> bytes:
    """A coordinator's draft of a payment of 100,000 sat that spends these coins and no others, decided if need be."""
    custodian, below = story.custodian, story.chance.below
    request = custodian.submit(story.request((SUPPLIER, 100_000)))
    with custodian._work() as work:
        plan, _ = _asked(work.history, request.digest(), Rates(RATE), work.now)
        chosen = tuple(coin for coin in story.coins if coin.outpoint in outpoints)
        fee = 5_000
        change = sum(coin.amount for coin in chosen) - 100_000 - fee
        made = draft(plan, Selection(chosen, change, fee, 0, Algorithm.EVERYTHING), below)
        work.append(kinds.DRAFTED, made)
        case = work.history.proposal(work.history.transfer(made.transfer_id)).case
        decision = decide(made.transfer_id, case, work.history.charter, work.history.facts(work.now))
        if is_decided:
            work.append(kinds.DECIDED, decision)
    return made.transfer_id


def is_refused_by_all(story: Scenario, transfer_id: bytes, outpoint: OutPoint) -> None:
    """Neither an officer's desk nor our own gate lets it go on."""
    for judged in (
        lambda: story.approval(story.custodian.evidence(transfer_id), OFFICERS[0]),
        lambda: story.custodian.showing.examined(transfer_id, Stage.APPROVE),
    ):
        with refuses("COIN_QUARANTINED") as caught:
            judged()
        assert caught.error.outpoint == outpoint


def test_coins_at_addresses_that_nobody_was_given_are_neither_chosen_nor_counted(story):
    # A year's change address, a receive address far ahead, and the one that is due.
    sent = story.confirmed()
    due = story.history().next_index(story.cast.vault.id, Branch.RECEIVE)
    coins = {
        pay(story, Branch.RECEIVE, FAR): Quarantine.NOT_ISSUED,
        pay(story, Branch.RECEIVE, due): Quarantine.NOT_ISSUED,
        pay(story, Branch.CHANGE, 7): Quarantine.NOT_OUR_CHANGE,
        pay(story, Branch.CHANGE, change_index(story, sent)): Quarantine.NOT_OUR_CHANGE,
    }
    story.mine(3)
    assert shut(story) == coins
    assert not {coin.outpoint for coin in story.spendable} & set(coins)
    free = sum(coin.amount for coin in story.spendable)
    with refuses("INSUFFICIENT_FUNDS") as caught:
        story.drafted(story.request((SUPPLIER, free)))
    assert caught.error.available == free
    swept, _ = story.drafted(story.request((SUPPLIER, None), purpose=Purpose.SWEEP))
    assert not set(swept.outpoints) & set(coins)
    assert swept.left == (LeftBehind(why=Left.QUARANTINED, coins=4, amount=20_000_000),)


def test_our_own_change_and_payments_between_our_vaults_are_no_stranger_s(begin):
    story = begin(60_000_000, setting=Setting(more_vaults=1))
    story.confirmed(story.request(("Reserve", 10_000_000)))
    assert shut(story) == {}
    spent = story.confirmed(story.request((SUPPLIER, None), purpose=Purpose.SWEEP))
    assert story.transfer(spent).status is Status.CONFIRMED
    assert story.balance == 0


def test_a_coordinator_that_drafts_one_finds_nobody_to_agree(story):
    coin = pay(story, Branch.RECEIVE, FAR)
    story.mine(3)
    is_refused_by_all(story, drafted_anyway(story, coin, story.spendable[0].outpoint), coin)


def test_nor_when_its_address_was_given_out_afterwards(story):
    due = story.history().next_index(story.cast.vault.id, Branch.RECEIVE)
    coin = pay(story, Branch.RECEIVE, due)
    # Nobody had looked at the block when the address was given out, so the order of entries does not show it.
    story.chain.mine()
    assert issue(story) == due
    story.mine(3)
    assert shut(story) == {coin: Quarantine.EARLY}
    with story.store.read() as view:
        assert kinds.CAME_EARLY in [each.head.entry for each in view.entries()]
    is_refused_by_all(story, drafted_anyway(story, coin), coin)
    # What comes after that is the payer's, and nothing more is said.
    later = pay(story, Branch.RECEIVE, due)
    story.mine(3)
    assert shut(story) == {coin: Quarantine.EARLY}
    assert later in {each.outpoint for each in story.spendable}


def test_what_was_known_before_stays_unasked_wherever_a_reorganisation_moves_it(story):
    due = story.history().next_index(story.cast.vault.id, Branch.RECEIVE)
    coin = pay(story, Branch.RECEIVE, due)
    story.chain.mine()
    issue(story)
    story.custodian.observe()
    story.chain.reorganise(1, leave_out=[coin.txid])
    story.mine(2)
    story.mine(3)
    assert (
        story.holdings[coin].height > story.history().state.get(ADDRESSES, index_key(story.cast.vault.id, due)).height
    )
    assert shut(story) == {coin: Quarantine.EARLY}


# --- the release ------------------------------------------------------------------------------------------------------


def test_a_coin_that_an_officer_has_released_goes_the_whole_route(begin):
    story = begin(1_000_000)
    coin = pay(story, Branch.CHANGE, FAR, 50_000_000)
    story.mine(3)
    released = story.custodian.release_coin(story.coin_release(coin))
    assert (released.outpoint, released.officer) == (coin, OFFICERS[0])
    assert coin in {each.outpoint for each in story.spendable}
    sent = story.confirmed(story.request((SUPPLIER, 30_000_000)))
    assert coin in story.transfer(sent).draft.outpoints


def test_one_that_was_moved_by_a_reorganisation_is_to_be_released_again(story):
    coin = pay(story, Branch.RECEIVE, FAR)
    story.mine()
    paper = story.coin_release(coin)
    story.custodian.release_coin(paper)
    assert shut(story) == {}
    story.chain.reorganise(1)
    story.custodian.observe()
    assert coin in story.holdings
    story.mine(3)
    assert shut(story) == {coin: Quarantine.NOT_ISSUED}
    with refuses("COIN_RELEASE_MISMATCH") as caught:
        story.custodian.release_coin(paper)
    assert caught.error.what == "block"
    story.custodian.release_coin(story.coin_release(coin, OFFICERS[1]))
    assert shut(story) == {}


def test_a_transfer_whose_released_coin_was_moved_stops_until_it_is_released_again(begin):
    story = begin(1_000_000)
    coin = pay(story, Branch.RECEIVE, FAR, 50_000_000)
    story.mine(3)
    story.custodian.release_coin(story.coin_release(coin))
    transfer_id = story.authorized(story.request((SUPPLIER, 30_000_000)))
    story.chain.reorganise(3)
    story.mine(3)
    with refuses("COIN_QUARANTINED"):
        story.signature(transfer_id, 0)
    story.custodian.release_coin(story.coin_release(coin))
    story.signed(transfer_id)
    story.custodian.release(transfer_id)


def test_nothing_that_no_station_would_sign_becomes_a_bearer_instrument(begin):
    story = begin(1_000_000)
    coin = pay(story, Branch.RECEIVE, FAR, 50_000_000)
    story.mine(3)
    story.custodian.release_coin(story.coin_release(coin))
    drafted, _ = story.drafted(story.request((SUPPLIER, 30_000_000)))
    story.approved(drafted.transfer_id)
    story.custodian.authorize(drafted.transfer_id)
    story.chain.reorganise(3)
    story.mine(3)
    with refuses("COIN_QUARANTINED"):
        story.custodian.request_signatures(drafted.transfer_id)
    story.custodian.withdraw(story.withdrawal(drafted.transfer_id))


def test_what_was_chosen_before_it_was_quarantined_is_not_drafted(begin):
    story = begin(1_000_000)
    coin = pay(story, Branch.RECEIVE, FAR, 50_000_000)
    story.mine(3)
    story.custodian.release_coin(story.coin_release(coin))
    request, below = story.custodian.submit(story.request((SUPPLIER, 30_000_000))), story.chance.below
    choice = choose(story.history(), request.digest(), Rates(RATE), below, story.chain.now())
    assert {each.outpoint for each in choice.selection.coins} >= {coin}
    story.chain.reorganise(3)
    story.mine(3)
    with story.custodian._work() as work:
        assert draft_chosen(work, choice, below) is None


def test_a_draft_that_spends_one_is_not_even_decided(story):
    coin = pay(story, Branch.RECEIVE, FAR)
    story.mine(3)
    made = drafted_anyway(story, coin, is_decided=False)
    with refuses("COIN_QUARANTINED"):
        story.custodian.decide(made)
    story.custodian.withdraw(story.withdrawal(made))


def test_a_replacement_of_what_was_moved_waits_for_a_release_too(begin):
    story = begin(1_000_000)
    coin = pay(story, Branch.RECEIVE, FAR, 50_000_000)
    story.mine(3)
    story.custodian.release_coin(story.coin_release(coin))
    first = story.authorized(story.request((SUPPLIER, 30_000_000)))
    story.chain.reorganise(3)
    story.mine(3)
    cancel = story.request(purpose=Purpose.CANCELLATION, replaces=(first,))
    with refuses("COIN_QUARANTINED"):
        story.drafted(cancel, 2 * RATE)
    story.custodian.release_coin(story.coin_release(coin))
    cancelled, _ = story.drafted(cancel, 2 * RATE)
    assert cancelled.outpoints == (coin,)


def test_a_coin_that_was_stolen_is_not_released(story):
    stolen = steal_coin(story)
    story.mine()
    with refuses("COIN_NOT_QUARANTINED") as caught:
        story.custodian.release_coin(story.coin_release(stolen.inputs[0].outpoint))
    assert "was spent already" in str(caught.error)


def test_nobody_but_an_officer_releases_and_only_what_there_is(story):
    coin = pay(story, Branch.RECEIVE, FAR)
    story.mine()
    size = story.history().size
    papers = {
        "COIN_RELEASE_AUTHOR": story.coin_release(coin, REQUESTER),
        "COIN_UNKNOWN": story.coin_release(coin, vout=9),
        "COIN_RELEASE_MISMATCH": story.coin_release(coin, amount=1),
        "COIN_NOT_QUARANTINED": story.coin_release(story.spendable[0].outpoint),
    }
    for code, paper in papers.items():
        with refuses(code):
            story.custodian.release_coin(paper)
    with refuses("COIN_RELEASE_MISMATCH"):
        story.custodian.release_coin(story.coin_release(coin, charter=bytes(32)))
    paper, other = story.coin_release(coin), story.coin_release(coin)
    with refuses("ANNEX_MISMATCH"):
        story.custodian.release_coin(CoinReleasePaper(signed=paper.signed, annex=other.annex))
    assert story.history().size == size
    story.custodian.release_coin(story.coin_release(coin))
    with refuses("COIN_NOT_QUARANTINED") as caught:
        story.custodian.release_coin(story.coin_release(coin, OFFICERS[1]))
    assert OFFICERS[0] in str(caught.error)


# --- small coins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [546, 1_000])
def test_a_stranger_s_small_coin_to_a_known_address_is_left_alone_and_stops_nothing(story, amount):
    assert amount <= small_below(story.cast.vault.input_weight, LONG_TERM_RATE)
    dust = pay(story, Branch.RECEIVE, 0, amount)
    story.mine(3)
    assert shut(story) == {}
    for request in (
        story.request((SUPPLIER, 100_000)),
        story.request((TAX_OFFICE, None), purpose=Purpose.SWEEP),
    ):
        drafted, _ = story.drafted(request, 1_000)
        assert dust not in drafted.outpoints
        story.custodian.withdraw(story.withdrawal(drafted.transfer_id))
    assert drafted.left == (LeftBehind(why=Left.SMALL, coins=1, amount=amount),)
    # Who states a lower rate takes it, and every machine agrees.
    request = story.custodian.submit(story.request((SUPPLIER, None), purpose=Purpose.SWEEP))
    swept = story.custodian.draft(request.digest(), 1_000, 1_000)
    assert dust in swept.outpoints
    assert (swept.rate, swept.long_term_rate, swept.left) == (1_000, 1_000, ())
    story.custodian.decide(swept.transfer_id)
    story.approved(swept.transfer_id)


# --- many coins -------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowded(begin):
    """A vault with two coins of worth, and 300 of 3,000 sat at an address that was given out."""
    story = begin(60_000_000, 40_000_000)
    script = story.cast.vault.script_pubkey(Branch.RECEIVE, 0)
    for _ in range(3):
        story.chain.pay_all([TxOut(3_000, script)] * 100)
    story.mine(3)
    return story


@pytest.mark.parametrize("rate", [1_000, 5_000, 10_000])
def test_three_hundred_small_deposits_stop_no_sweep_and_it_says_what_stays(crowded, rate):
    drafted, _ = crowded.drafted(crowded.request((SUPPLIER, None), purpose=Purpose.SWEEP), rate)
    amounts = sorted((each.amount for each in drafted.identity.spent), reverse=True)
    assert amounts[:2] == [60_000_000, 40_000_000]
    # At the highest rate the charter's highest fee pays for fewer.
    assert (len(amounts) == crowded.cast.charter.vaults[0].max_inputs) is (rate < 10_000)
    assert 150 < len(amounts) < 302
    stays = 302 - len(amounts)
    assert drafted.left == (LeftBehind(why=Left.NO_ROOM, coins=stays, amount=3_000 * stays),)
    crowded.approved(drafted.transfer_id)


def test_at_a_high_rate_they_stay_because_of_what_they_cost(crowded):
    drafted, _ = crowded.drafted(crowded.request((SUPPLIER, None), purpose=Purpose.SWEEP), 40_000)
    assert len(drafted.outpoints) == 2
    assert drafted.left == (LeftBehind(why=Left.COSTLY, coins=300, amount=900_000),)


@pytest.mark.parametrize("amount", [25_000, 25_000_000, 61_000_000])
@pytest.mark.parametrize("rate", [1_000, 5_000, 20_000])
def test_a_payment_is_not_made_of_them(crowded, rate, amount):
    drafted, _ = crowded.drafted(crowded.request((SUPPLIER, amount)), rate)
    assert len(drafted.outpoints) <= 2


def test_a_sweep_says_of_each_coin_that_stays_why_it_does(begin):
    story = begin(60_000_000, 40_000_000)
    held, _ = story.drafted(story.request((SUPPLIER, 30_000_000)))
    pay(story, Branch.RECEIVE, FAR, 700_000)
    pay(story, Branch.RECEIVE, 0, 800)
    story.mine(3)
    pay(story, Branch.RECEIVE, 0, 900_000)
    # Deposits count from more than one block on in this charter.
    story.mine()
    drafted, _ = story.drafted(story.request((SUPPLIER, None), purpose=Purpose.SWEEP))
    left = {each.why: (each.coins, each.amount) for each in drafted.left}
    assert left[Left.HELD] == (len(held.outpoints), sum(each.amount for each in held.identity.spent))
    assert left[Left.QUARANTINED] == (1, 700_000)
    assert left[Left.SMALL] == (1, 800)
    everything = sum(row.amount for row in story.holdings.values())
    swept = sum(each.amount for each in drafted.identity.spent)
    assert sum(amount for _, amount in left.values()) + swept == everything


def test_one_coin_is_not_consolidated(begin):
    story = begin(60_000_000)
    pay(story, Branch.RECEIVE, FAR)
    story.mine(3)
    with refuses("NOTHING_TO_CONSOLIDATE"):
        story.drafted(story.request(purpose=Purpose.CONSOLIDATION))
    story.deposit(1_000_000)
    story.mine(3)
    drafted, _ = story.drafted(story.request(purpose=Purpose.CONSOLIDATION))
    assert len(drafted.outpoints) == 2
    assert drafted.left == (LeftBehind(why=Left.QUARANTINED, coins=1, amount=5_000_000),)
