"""Which coins are held, and by whom: the log says it, the store says the same, and so does what is spendable."""

from collections.abc import Callable

import pytest

from custody.beside import check_beside
from custody.bitcoin.transaction import OutPoint
from custody.custodian import Custodian, Outside
from custody.history import lists, tables
from custody.history.holdings import held_by, spendable
from custody.history.tables import outpoint_of
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting
from custody.testing.scenario import Scenario
from custody.transfer.request import Purpose
from custody.transfer.state import Status

LOW, HIGH = 2_000, 20_000
GENEROUS = Setting(max_fee=1_000_000, max_rate=1_000_000, max_share=10_000)


@pytest.fixture
def story(begin) -> Scenario:
    return begin(30_000_000, 31_000_000, setting=GENEROUS)


def held(story: Scenario) -> dict[OutPoint, bytes]:
    """Who holds what by the log; the store says the same of every coin that was ever drafted."""
    history = story.history()
    said = {outpoint_of(key): row.value for key, row in history.state.scan(tables.HELD)}
    drafted = {outpoint for each in lists.transfers(history) for outpoint in each.draft.outpoints}
    with story.store.read() as view:
        check_beside(history, view)
        assert {each: view.holder(each) for each in drafted} == {each: said.get(each) for each in drafted}
    return said


def test_a_replacement_that_is_withdrawn_gives_back_the_coin_that_only_it_took(story):
    payment = (SUPPLIER, 29_999_500)  # one coin and no change, while fees are low
    first = story.authorized(story.request(payment), rate=LOW)
    second, _ = story.drafted(story.request(payment, replaces=(first,)), rate=HIGH)
    (more,) = set(second.outpoints) - set(story.transfer(first).draft.outpoints)
    assert held(story)[more] == first
    story.custodian.withdraw(story.withdrawal(second.transfer_id))
    assert held(story) == dict.fromkeys(story.transfer(first).draft.outpoints, first)
    other, _ = story.drafted(story.request((TAX_OFFICE, 5_000_000)))
    assert other.outpoints == (more,)


def test_a_coin_that_was_another_s_when_its_transfer_came_back_is_that_transfer_s_afterwards(story):
    first = story.sent(story.request((SUPPLIER, 55_000_000)), rate=LOW)
    cancelled = story.sent(story.request(purpose=Purpose.CANCELLATION, replaces=(first,)), rate=HIGH)
    (left,) = set(story.transfer(first).draft.outpoints) - set(story.transfer(cancelled).draft.outpoints)
    story.mine()
    swept, _ = story.drafted(story.request((SUPPLIER, None), purpose=Purpose.SWEEP))
    assert left in swept.outpoints
    story.chain.reorganise(1, leave_out=[story.transfer(cancelled).release.txid])
    story.custodian.observe()
    # Both are live and spend it: whoever held it first keeps it.
    assert story.transfer(first).status is Status.RELEASED
    assert held(story)[left] == swept.transfer_id
    story.custodian.withdraw(story.withdrawal(swept.transfer_id))
    assert held(story)[left] == first
    assert left not in {coin.outpoint for coin in spendable(story.history(), story.cast.vault.id)}
    with refuses("INSUFFICIENT_FUNDS"):
        story.drafted(story.request((TAX_OFFICE, 5_000_000)))
    story.mine()
    assert held_by(story.history(), left) is None


def another_coordinator(story: Scenario, meanwhile: Callable[[], object]) -> Custodian:
    """One that chooses coins on the same store, and before it has chosen the first time something happens."""
    waiting = [meanwhile]

    def below(limit: int) -> int:
        if waiting:
            waiting.pop()()
        return story.chance.below(limit)

    view = story.chain.view
    outside = Outside((view,), view, (), story.chain, below, story.chance.salt)
    return Custodian(story.store, story.cast.digest, story.cast.coordinator, outside)


def test_coins_that_another_takes_while_they_are_chosen_are_not_drafted_twice(story):
    asked = story.custodian.submit(story.request((SUPPLIER, 5_000_000))).digest()
    # A sweep returns nothing, so all that changes for the other one is that its coins are gone.
    sweep = story.request((TAX_OFFICE, None), purpose=Purpose.SWEEP)
    with refuses("INSUFFICIENT_FUNDS"):
        another_coordinator(story, lambda: story.drafted(sweep)).draft(asked, LOW)
    (swept,) = lists.transfers(story.history())
    assert set(held(story)) == set(swept.draft.outpoints)


def test_a_change_index_that_another_uses_while_coins_are_chosen_is_not_used_twice(story):
    asked = story.custodian.submit(story.request((SUPPLIER, 5_000_000))).digest()

    def draft() -> None:
        story.drafted(story.request((TAX_OFFICE, 6_000_000)))

    drafted = another_coordinator(story, draft).draft(asked, LOW)
    theirs, ours = lists.transfers(story.history())
    assert (ours.id, theirs.draft.change, ours.draft.change) == (drafted.transfer_id, 0, 1)
    assert set(held(story)) == {*theirs.draft.outpoints, *drafted.outpoints}
