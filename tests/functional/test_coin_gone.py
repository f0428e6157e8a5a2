"""A transfer was signed, and a reorganisation takes its coin away: how is it ended, and what becomes of the others?"""

import pytest

from custody.bitcoin.transaction import OutPoint, Transaction, TxOut
from custody.delivery import stuck
from custody.history import kinds
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, STRANGER, SUPPLIER, Setting
from custody.testing.scenario import Scenario
from custody.transfer.settlement import Ending
from custody.transfer.state import Status

SPENT = 30_000_000


@pytest.fixture
def story(begin) -> Scenario:
    return begin(20_000_000, setting=Setting(max_share=10_000))


def paid(story: Scenario) -> OutPoint:
    """A coin in the newest block that alone is large enough for the transfers here."""
    outpoint = story.deposit(SPENT)
    story.mine()
    return outpoint


def replaced_by_payer(story: Scenario, outpoint: OutPoint) -> Transaction:
    """The payer takes the money back with another transaction that spends the same."""
    chain = story.chain
    tip = chain.view.tip().height
    mined = next(each for each in chain.view.block(tip).transactions if each.txid == outpoint.txid).decode()
    spent = [_output(story, each.outpoint) for each in mined.inputs]
    total = sum(each.amount for each in spent)
    return chain._sign(Transaction(2, mined.inputs, (TxOut(total - 5_000, chain.faucet_script),), 0), spent)


def _output(story: Scenario, outpoint: OutPoint) -> TxOut:
    view = story.chain.view
    blocks = (view.block(height) for height in range(view.tip().height, -1, -1))
    found = next(each for block in blocks for each in block.transactions if each.txid == outpoint.txid)
    return found.decode().outputs[outpoint.index]


def take_away(story: Scenario, outpoint: OutPoint) -> None:
    """For good: nobody can bring the coin back on this branch."""
    instead = replaced_by_payer(story, outpoint)
    story.chain.reorganise(1, leave_out=[outpoint.txid], instead=[instead])
    story.custodian.observe()


def sent_with(story: Scenario, outpoint: OutPoint) -> bytes:
    """A transfer of that coin alone, released and delivered."""
    draft, _ = story.drafted(story.request((SUPPLIER, 25_000_000)))
    while draft.outpoints != (outpoint,):
        # Which coins are chosen is up to chance.
        story.custodian.withdraw(story.withdrawal(draft.transfer_id))
        draft, _ = story.drafted(story.request((SUPPLIER, 25_000_000)))
    transfer_id = draft.transfer_id
    story.approved(transfer_id)
    story.custodian.authorize(transfer_id)
    story.custodian.request_signatures(transfer_id)
    story.signed(transfer_id)
    story.custodian.release(transfer_id)
    story.custodian.deliver()
    return transfer_id


def test_it_is_given_up_on_somebody_s_signed_word_while_the_coin_is_gone(story):
    outpoint = paid(story)
    transfer_id = sent_with(story, outpoint)
    with refuses("TRANSFER_LIVE"):
        story.custodian.withdraw(story.withdrawal(transfer_id))
    committed = story.history().committed()
    take_away(story, outpoint)
    with refuses("COIN_GONE") as caught:
        story.custodian.deliver()
    assert (caught.error.transfer, caught.error.outpoint) == (transfer_id.hex(), outpoint)
    story.custodian.withdraw(story.withdrawal(transfer_id, OFFICERS[0]))
    transfer = story.transfer(transfer_id)
    assert (transfer.status, transfer.ended.reason) == (Status.ENDED, Ending.ABANDONED)
    assert transfer.ended.detail == "no longer needed"
    # It goes on being counted, and its request is used: the coin may come back.
    assert story.history().committed() == committed
    with refuses("REQUEST_IN_USE"):
        story.custodian.draft(transfer.row.request)
    with refuses("NOTHING_TO_SEND"):
        story.custodian.deliver()
    with story.store.read() as view:
        assert view.holder(outpoint) is None


def test_who_may_not_withdraw_may_not_give_up(story):
    outpoint = paid(story)
    transfer_id = sent_with(story, outpoint)
    take_away(story, outpoint)
    assert STRANGER not in {each.name for each in story.cast.charter.people}
    paper = story.withdrawal(transfer_id, OFFICERS[0])
    forged = type(paper)(signed=story.withdrawal(transfer_id, OFFICERS[1]).signed, annex=paper.annex)
    with refuses("ANNEX_MISMATCH"):
        story.custodian.withdraw(forged)
    assert story.transfer(transfer_id).is_live


def test_others_are_sent_all_the_same_and_what_is_left_out_is_named(story):
    outpoint = paid(story)
    dead = sent_with(story, outpoint)
    take_away(story, outpoint)
    alive = story.authorized(story.request((SUPPLIER, 1_000_000)))
    story.signed(alive)
    story.custodian.release(alive)
    assert [each.transfer for each in story.custodian.deliver()] == [alive]
    with story.store.read() as view:
        (left_out,) = stuck(story.history(), view.outbox())
    assert (left_out.transfer, left_out.gone) == (dead, (outpoint,))
    assert [each.transfer for each in story.custodian.deliver()] == [alive]
    story.mine()
    assert story.transfer(alive).status is Status.CONFIRMED


def test_a_coin_that_comes_back_is_sent_for_again(story):
    outpoint = paid(story)
    transfer_id = sent_with(story, outpoint)
    story.chain.reorganise(1, leave_out=[outpoint.txid])
    story.custodian.observe()
    with refuses("COIN_GONE"):
        story.custodian.deliver()
    # The coin and what spends it, in one block.
    story.mine()
    assert story.transfer(transfer_id).status is Status.CONFIRMED


def test_one_that_was_given_up_and_is_mined_after_all_is_settled_and_freezes_nothing(story):
    outpoint = paid(story)
    transfer_id = sent_with(story, outpoint)
    story.chain.reorganise(1, leave_out=[outpoint.txid])
    story.custodian.observe()
    story.custodian.withdraw(story.withdrawal(transfer_id))
    assert not story.transfer(transfer_id).is_live
    story.mine(2)
    with story.store.read() as view:
        said = [each.head.entry for each in view.entries()]
    assert kinds.SENT_EARLY in said
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    assert story.history().frozen_by is None


def test_a_station_ends_it_only_by_a_person_s_word(story):
    outpoint = paid(story)
    transfer_id = sent_with(story, outpoint)
    with refuses("OUT_OF_TURN"), story.custodian._work() as work:
        work.end(work.history.transfer(transfer_id), Ending.ABANDONED, "says the coordinator")
    draft, _ = story.drafted(story.request((SUPPLIER, 1_000_000)))
    with refuses("OUT_OF_TURN"), story.custodian._work() as work:
        work.append(kinds.ABANDONED, story.withdrawal(draft.transfer_id).signed)
    story.mine()
    with refuses("OUT_OF_TURN"), story.custodian._work() as work:
        work.append(kinds.ABANDONED, story.withdrawal(transfer_id).signed)
