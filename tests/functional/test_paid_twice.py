"""The same amount to the same payee, asked for again while the first may still be paid: every desk says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from custody.apps.views.examination import examination_data, examination_screen
from custody.examine.evidence import Stage
from custody.history import tables
from custody.history.relations import MOST_ALIKE, PaidAlike, paid_alike
from custody.testing.cast import SUPPLIER, TAX_OFFICE
from custody.testing.scenario import Scenario
from custody.transfer.request import Purpose
from custody.transfer.state import Status
from custody.units import COIN

PAYMENT = (SUPPLIER, 25_000_000)


@pytest.fixture
def story() -> Iterator[Scenario]:
    scenario = Scenario.funded(COIN, COIN, COIN)
    yield scenario
    scenario.close()


def others(story: Scenario, transfer_id: bytes) -> list[bytes]:
    """What else may pay what a transfer pays."""
    return [each.transfer for each in paid_alike(story.history(), story.transfer(transfer_id).request)]


def test_a_second_request_names_the_first_at_every_desk_and_station(story):
    first = story.authorized(story.request(PAYMENT, (TAX_OFFICE, 1_000_000)))
    again = story.custodian.submit(story.request(PAYMENT))
    assert [each.transfer for each in paid_alike(story.history(), again)] == [first]
    second = story.drafted(story.request(PAYMENT))[0].transfer_id
    found = story.stations[0].examine(story.custodian.evidence(second), Stage.APPROVE)
    assert found.paid_alike == (PaidAlike(first, Status.SIGNING, *PAYMENT),)
    shown = examination_screen(found, story.chain.now())
    assert f"25 000 000 sat to {SUPPLIER}: transfer {first.hex()}, signing" in shown
    assert "May be paid twice" in shown
    (told,) = examination_data(found)["paid_alike"]
    assert told == {"transfer": first.hex(), "status": "signing", "payee": SUPPLIER, "amount": 25_000_000}
    # Whoever signs the first is told of the second as well.
    asked = story.stations[1].examine(story.custodian.evidence(first), Stage.SIGN)
    assert [each.transfer for each in asked.paid_alike] == [second]


def test_another_amount_or_payee_is_another_payment(story):
    story.authorized(story.request(PAYMENT))
    for payment in ((SUPPLIER, 25_000_001), (TAX_OFFICE, 25_000_000)):
        other = story.drafted(story.request(payment))[0].transfer_id
        assert others(story, other) == []
        found = story.stations[0].examine(story.custodian.evidence(other), Stage.APPROVE)
        assert "May be paid twice" not in examination_screen(found, story.chain.now())


def test_what_takes_a_transfer_s_place_pays_once_and_names_other_groups_only(story):
    first = story.sent(story.request(PAYMENT), rate=1_500)
    second = story.sent(story.request(PAYMENT, replaces=(first,)), rate=20_000)
    assert others(story, first) == others(story, second) == []
    third = story.drafted(story.request(PAYMENT))[0].transfer_id
    assert others(story, third) == [second, first]
    assert others(story, second) == [third]


def test_what_is_sent_or_dropped_counts_until_it_is_settled_and_again_when_its_block_is_gone(story):
    first = story.sent(story.request(PAYMENT))
    second = story.drafted(story.request(PAYMENT))[0].transfer_id
    assert others(story, second) == [first]
    story.mine(6)
    assert story.transfer(first).status is Status.CONFIRMED
    assert others(story, second) == []
    story.chain.reorganise(7, leave_out=[story.transfer(first).txid])
    story.custodian.observe()
    assert others(story, second) == [first]


def test_a_transfer_that_was_given_up_is_named_no_more_and_no_row_is_left(story):
    first = story.drafted(story.request(PAYMENT))[0].transfer_id
    story.custodian.withdraw(story.withdrawal(first))
    second = story.drafted(story.request(PAYMENT))[0].transfer_id
    assert others(story, second) == []
    assert len(list(story.history().state.scan(tables.PAYING))) == 1


def test_two_sweeps_to_one_payee_are_alike(story):
    first = story.drafted(story.request((SUPPLIER, None), purpose=Purpose.SWEEP))[0].transfer_id
    again = story.custodian.submit(story.request((SUPPLIER, None), purpose=Purpose.SWEEP))
    (found,) = paid_alike(story.history(), again)
    assert found == PaidAlike(first, story.transfer(first).status, SUPPLIER, None)


def test_of_many_the_newest_are_named(story):
    small = (SUPPLIER, 1_000_000)
    for _ in range(MOST_ALIKE):
        story.deposit(20_000_000)
    story.mine(6)
    story.custodian.observe()
    drafted = [story.drafted(story.request(small))[0].transfer_id for _ in range(MOST_ALIKE + 2)]
    assert others(story, drafted[-1]) == drafted[-2:0:-1]
