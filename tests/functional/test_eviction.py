"""What a node drops after it was sent: noticed, sent again, and brought back by a child that pays for its parent.

The node's mempool is small here, and is filled. Nodes also forget what has waited for two weeks.
"""

import pytest

from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.custodian import Custodian
from custody.history import kinds
from custody.ports import Standing
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, Setting
from custody.testing.node import NodeChain, OfflineNode
from custody.testing.scenario import HOUR, Scenario
from custody.transfer.request import Purpose
from custody.transfer.state import Status
from custody.units import fee_at

DAY = 24 * HOUR
STRANGER = b"\x00\x14" + bytes(20)
SMALL = ("-maxmempool=5",)
"""The least that every node takes without being told of other limits, which differ from version to version."""
CHEAP, DEAR = 1_200, 60_000
FILLERS = 60
PAID = 2_800
"""Outputs of a filler: about as many as make it as heavy as a standard transaction may be."""


@pytest.fixture
def small(bitcoind):
    with OfflineNode(bitcoind, options=SMALL) as running, NodeChain(running) as chain:
        yield chain


def fill(chain, rate=8_000, until=CHEAP):
    """Let strangers' transactions, of about `rate`, wait until the node takes nothing at `until` sat/kvB any more."""
    outputs = (TxOut(1_000, STRANGER),) * PAID
    size = 200 + 31 * PAID
    spent = sum(output.amount for output in outputs)
    for number, (outpoint, unspent) in enumerate(chain._coins()):
        change = TxOut(unspent.output.amount - spent - fee_at(rate + 10 * number, size), chain.faucet_script)
        bare = Transaction(2, (TxIn(outpoint, b"", 0xFFFFFFFD),), (*outputs, change), 0)
        chain.view.send(chain._sign(bare, [unspent.output]).serialize())
        if chain.view.min_fee_rate() > until:
            return
    raise AssertionError("the mempool is larger than it was to be")


def mine_all(story):
    """Mine until nothing waits: what fills the mempool takes more than a block."""
    while story.chain.view.pending():
        story.mine()


def story_on(chain, *amounts, **setting):
    story = Scenario.funded(*amounts, chain=chain, setting=Setting(**setting))
    chain.fund(FILLERS)
    story.custodian.observe()
    return story


def standings(story):
    return {each.transfer: each.standing for each in story.custodian.underway()}


def row_of(story, transfer_id):
    with story.store.read() as view:
        return next(row for row in view.outbox() if row.transfer_id == transfer_id)


def test_what_a_full_mempool_dropped_is_noticed_refused_and_sent_once_there_is_room(small):
    story = story_on(small)
    transfer_id = story.sent(rate=CHEAP)
    assert standings(story) == {transfer_id: Standing.WAITING}
    fill(small)
    size = story.history().size
    assert standings(story) == {transfer_id: Standing.GONE}
    with refuses("RELAY_REFUSED") as caught:
        story.custodian.deliver()
    assert "mempool min fee not met" in caught.error.reason
    row = row_of(story, transfer_id)
    assert row.was_sent
    assert "mempool min fee not met" in row.last_error
    # One node's word at one moment: nothing of it is entered, and the transfer is what it was.
    assert story.history().size == size
    assert story.transfer(transfer_id).status is Status.BROADCAST
    story.mine()
    small.wait(3 * DAY)
    assert [each.transfer for each in story.custodian.deliver()] == [transfer_id]
    assert standings(story) == {transfer_id: Standing.WAITING}
    assert not row_of(story, transfer_id).last_error
    mine_all(story)
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    assert standings(story) == {}


def parent_and_child(small, **filling):
    """A transfer that lost its block, and one that spends its change; both dropped, the mempool full."""
    story = story_on(small, 60_000_000)
    parent = story.confirmed(story.request((SUPPLIER, 10_000_000)), rate=CHEAP)
    child = story.sent(story.request((SUPPLIER, 5_000_000)), rate=DEAR)
    txid = story.transfer(parent).release.txid
    assert {each.txid for each in story.transfer(child).draft.outpoints} == {txid}
    small.reorganise(1, leave_out=[txid])
    story.custodian.observe()
    small.wait(15 * DAY)
    fill(small, **filling)
    assert standings(story) == {child: Standing.GONE, parent: Standing.GONE}
    return story, parent, child


def test_a_child_that_pays_brings_back_the_parent_that_the_node_refuses_alone(small):
    story, parent, child = parent_and_child(small)
    relay = small.view
    alone = story.transfer(parent).verified.raw
    with refuses("RELAY_REFUSED") as caught:
        relay.send(alone)
    assert "mempool min fee not met" in caught.error.reason
    # The parent was queued again after its child, and goes first.
    with story.store.read() as view:
        assert [row.transfer_id for row in view.outbox()] == [child, parent]
    assert [each.transfer for each in story.custodian.deliver()] == [child, parent][::-1]
    assert standings(story) == {child: Standing.WAITING, parent: Standing.WAITING}
    assert [row_of(story, each).last_error for each in (parent, child)] == ["", ""]
    # Again, now that both wait.
    assert len(story.custodian.deliver()) == 2
    mine_all(story)
    assert [story.transfer(each).status for each in (parent, child)] == [Status.CONFIRMED, Status.CONFIRMED]


def test_a_parent_in_a_block_is_left_out_of_the_package(small):
    story, parent, child = parent_and_child(small)
    raws = [story.transfer(each).verified.raw for each in (parent, child)]
    # A miner took the parent alone; the coordinator has not looked.
    small.mine(1, transactions=[Transaction.parse(raws[0])])
    assert {each.transfer for each in story.custodian.deliver()} == {parent, child}
    assert standings(story) == {parent: Standing.MINED, child: Standing.WAITING}


def test_a_parent_whose_bytes_were_exchanged_is_not_sent_with_its_child(small):
    story, parent, child = parent_and_child(small)
    with story.store.transaction() as change:
        change.dequeue(parent)
        change.queue(parent, story.transfer(child).verified.raw, story.chain.now())
    with refuses("STATE_CHANGED"):
        story.custodian.deliver()
    assert standings(story) == {child: Standing.GONE, parent: Standing.GONE}


def test_a_child_whose_package_pays_too_little_is_refused_and_both_stay_in_the_outbox(small):
    # The mempool asks for more than even the child pays.
    story, parent, child = parent_and_child(small, rate=4 * DEAR, until=DEAR)
    raws = [story.transfer(each).verified.raw for each in (parent, child)]
    with refuses("RELAY_REFUSED"):
        story.custodian.deliver()
    assert standings(story) == {child: Standing.GONE, parent: Standing.GONE}
    with refuses("RELAY_REFUSED") as caught:
        small.view.send_package(raws)
    assert caught.error.txid == Transaction.parse(raws[1]).txid_hex
    assert "fee" in caught.error.reason
    assert "fee" in row_of(story, child).last_error


def test_of_transfers_that_replace_each_other_only_the_newest_is_missed(small):
    story = story_on(small)
    first = story.sent(rate=2_000)
    second = story.sent(story.request(purpose=Purpose.CANCELLATION, replaces=(first,)), rate=20_000)
    assert standings(story) == {second: Standing.WAITING}


def test_what_was_released_and_never_sent_is_not_missed(small):
    story = story_on(small)
    transfer_id = story.authorized()
    story.signed(transfer_id)
    story.custodian.release(transfer_id)
    assert standings(story) == {}


def test_a_transaction_in_a_block_that_was_not_looked_at_yet_is_told_as_such(small):
    story = story_on(small)
    transfer_id = story.sent()
    small.mine()
    assert standings(story) == {transfer_id: Standing.MINED}
    assert kinds.SPEND_SEEN in story.custodian.observe().added
    assert standings(story) == {}


def test_another_coordinator_tells_the_same(small):
    story = story_on(small)
    transfer_id = story.sent(rate=CHEAP)
    fill(small)
    other = Custodian(story.store, story.cast.digest, story.cast.coordinator, story.custodian._outside)
    assert [(each.transfer, each.standing) for each in other.underway()] == [(transfer_id, Standing.GONE)]


def test_a_package_is_taken_where_each_alone_is_refused(small):
    small.fund(FILLERS)
    outpoint, unspent = small._coins()[-1]
    bare = Transaction(
        2, (TxIn(outpoint, b"", 0xFFFFFFFD),), (TxOut(unspent.output.amount - 134, small.faucet_script),), 0
    )
    parent = small._sign(bare, [unspent.output])
    fill(small)

    def child(fee):
        spending = TxIn(OutPoint(parent.txid, 0), b"", 0xFFFFFFFD)
        outputs = (TxOut(parent.outputs[0].amount - fee, STRANGER),)
        return small._sign(Transaction(2, (spending,), outputs, 0), [parent.outputs[0]])

    good, poor = child(20_000), child(200)
    for alone in (parent, good):
        with refuses("RELAY_REFUSED"):
            small.view.send(alone.serialize())
    with refuses("RELAY_REFUSED"):
        small.view.send_package([parent.serialize(), poor.serialize()])
    small.view.send_package([parent.serialize(), good.serialize()])
    assert [small.view.standing(each) for each in (parent, good)] == [Standing.WAITING, Standing.WAITING]
    # What the node will not have as a package at all has a reason too.
    with refuses("RELAY_REFUSED") as caught:
        small.view.send_package([good.serialize(), parent.serialize(), poor.serialize()])
    assert "topology" in caught.error.reason
