"""What can a node make us believe of the chain that nobody worked for? (THREATS F19)"""

from dataclasses import replace

import pytest

from custody.bitcoin.block import BlockHeader
from custody.bitcoin.transaction import MinedTransaction, Transaction, TxIn, TxOut
from custody.custodian import Custodian
from custody.history import kinds
from custody.history.fold import fold
from custody.history.questions import History
from custody.ports import BlockUnknown, BlockView, Tip
from custody.testing.asserts import refuses
from custody.testing.chain import SPACING, START, build_block
from custody.testing.forge import sealed
from custody.testing.scenario import Scenario
from custody.testing.theft import steal
from custody.transfer.observe import ChainSeen, SpendReversed
from custody.vault.descriptor import Branch

FOREIGN = b"\x00\x14" + bytes(20)


@pytest.fixture
def story():
    told = Scenario.funded()
    yield told
    told.close()


class LyingNode:
    """A true chain with blocks of its own on top, from `height` on."""

    def __init__(self, view, height, *blocks):
        self._view, self._first = view, height
        self.blocks = dict(enumerate(blocks, height))

    def __getattr__(self, name):
        return getattr(self._view, name)

    def tip(self):
        block = self.blocks[max(self.blocks)]
        return Tip(block.height, block.hash, block.time)

    def block(self, height):
        if height < self._first:
            return self._view.block(height)
        if height not in self.blocks:
            raise BlockUnknown(block=str(height), reason="there is none")
        return self.blocks[height]

    def header(self, height):
        return self.block(height).header

    def block_hash(self, height):
        return self.block(height).hash


def block(previous, height, *transactions, ahead=0):
    time = START + SPACING * height + ahead
    raw = build_block(previous=previous, height=height, time=time, reward_to=FOREIGN, transactions=transactions)
    mined = tuple(MinedTransaction.read(each.serialize(), 0)[0] for each in (_coinbase(raw), *transactions))
    return BlockView(height, BlockHeader(raw[:80]), mined)


def _coinbase(raw):
    return MinedTransaction.read(raw, 81)[0].decode()


def idle(honest):
    """The same block, for which nobody worked."""
    forged = (BlockHeader(honest.header.raw[:76] + nonce.to_bytes(4, "little")) for nonce in range(64))
    return replace(honest, header=next(each for each in forged if not each.has_work))


def easier(honest):
    """The same block with a target that its network does not allow."""
    raw = honest.header.raw
    forged = (BlockHeader(raw[:72] + bytes.fromhex("ffff0021") + n.to_bytes(4, "little")) for n in range(64))
    return replace(honest, header=next(forged))


def harder(honest):
    """The same block with a target that regtest never has, and no work for it."""
    raw = honest.header.raw
    return replace(honest, header=BlockHeader(raw[:72] + bytes.fromhex("ffff001d") + raw[76:]))


def otherwise(honest):
    """A block with work, and other transactions than it was mined with."""
    return replace(honest, transactions=honest.transactions[:1] * 2)


def theft_of(story):
    row = next(iter(story.holdings.values()))
    with story.store.read() as view:
        funding = Transaction.parse(view.document(row.txid))
    return steal(story.cast, funding, row.vout, row.index, Branch(row.branch))


def gift_to(story):
    script = story.cast.vault.script_pubkey(Branch.RECEIVE, 0)
    spent = theft_of(story).inputs[0].outpoint
    return Transaction(2, (TxIn(replace_txid(spent), b"", 0xFFFFFFFF),), (TxOut(1_000 * 10**8, script),), 0)


def replace_txid(outpoint):
    return outpoint._replace(txid=b"\x07" * 32)


def shown_by(story, *blocks, height=None):
    tip = story.chain.view.tip()
    node = LyingNode(story.chain.view, tip.height + 1 if height is None else height, *blocks)
    return Custodian(
        story.store, story.cast.digest, story.cast.coordinator, replace(story.custodian._outside, views=(node,))
    )


@pytest.mark.parametrize("what", [theft_of, gift_to])
@pytest.mark.parametrize("forge", [idle, easier, harder])
def test_a_block_without_work_neither_freezes_nor_credits(story, what, forge):
    tip, before, size = story.chain.view.tip(), story.balance, story.history().size
    false = forge(block(tip.hash, tip.height + 1, what(story)))
    with refuses("BLOCK_WORK"):
        shown_by(story, false).observe()
    assert (story.balance, story.history().frozen_by, story.history().size) == (before, None, size)


def test_work_for_other_transactions_is_none_for_these(story):
    tip, size = story.chain.view.tip(), story.history().size
    with refuses("BLOCK_ENCODING"):
        shown_by(story, otherwise(block(tip.hash, tip.height + 1))).observe()
    assert story.history().size == size


def test_a_block_that_follows_another_than_was_seen_is_not_read(story):
    tip, size = story.chain.view.tip(), story.history().size
    with refuses("CHAIN_MOVED"):
        shown_by(story, block(bytes(32), tip.height + 1, theft_of(story))).observe()
    assert story.history().size == size


def test_blocks_without_work_in_the_place_of_true_ones_take_nothing_back(story):
    story.deposit(5_000_000)
    story.mine(2)
    tip, before, size = story.chain.view.tip(), story.balance, story.history().size
    view = story.chain.view
    first = idle(block(view.block_hash(tip.height - 2), tip.height - 1))
    false = (first, block(first.hash, tip.height), block(first.hash, tip.height + 1))
    with refuses("BLOCK_WORK"):
        shown_by(story, *false, height=tip.height - 1).observe()
    assert (story.balance, story.history().size) == (before, size)


def test_a_false_block_with_work_is_taken_back_by_the_truth(story):
    tip, before = story.chain.view.tip(), story.balance
    shown_by(story, block(tip.hash, tip.height + 1, theft_of(story))).observe()
    assert story.history().frozen_by is not None
    story.mine(2)
    assert (story.balance, story.history().frozen_by) == (before, None)
    assert story.sent()


# --- what a freeze ends by --------------------------------------------------------------------------------------------


@pytest.fixture
def taken_back(story):
    """A story with a theft that lost its block: its history before that was entered, and the entry."""
    theft = theft_of(story)
    story.chain.view.send(theft.serialize())
    story.mine()
    frozen = story.history()
    story.chain.reorganise(1, leave_out=[theft.txid])
    story.custodian.observe()
    with story.store.read() as view:
        entries = list(view.entries())
    at = next(each.head.index for each in entries if each.head.entry == kinds.SPEND_REVERSED)
    return frozen, SpendReversed.from_bytes(entries[at].body)


def edited(record, **changes):
    return type(record)(**{name: getattr(record, name) for name in type(record).model_fields} | changes)


def after(history, kind, body):
    return History(fold(history.state, [sealed(history.size, kind, body)]))


def test_a_branch_with_work_ends_a_freeze_for_whoever_folds_it(taken_back):
    frozen, reversed_ = taken_back
    assert frozen.frozen_by is not None
    assert after(frozen, kinds.SPEND_REVERSED, reversed_).frozen_by is None


def test_the_coordinator_s_word_alone_does_not_end_a_freeze(taken_back):
    frozen, reversed_ = taken_back
    for branch in ((), reversed_.branch[:-1], (reversed_.branch[0],) * 2, (bytes(80), *reversed_.branch[1:])):
        with refuses("HISTORY_INVALID"):
            after(frozen, kinds.SPEND_REVERSED, edited(reversed_, branch=branch))


def test_a_branch_from_a_block_that_was_told_of_afterwards_does_not_end_a_freeze(taken_back, story):
    # True blocks that lie below the theft, said to stand above it: no work of anybody's is needed for that.
    frozen, reversed_ = taken_back
    height = frozen.height
    anchor = ChainSeen(height=height - 1, block=story.chain.view.block_hash(height - 6), time=0, at=0)
    lied = after(frozen, kinds.CHAIN_SEEN, anchor)
    headers = tuple(story.chain.view.header(each).raw for each in (height - 5, height - 4))
    with refuses("HISTORY_INVALID"):
        after(lied, kinds.SPEND_REVERSED, edited(reversed_, since=height - 1, branch=headers))


def test_a_theft_that_is_told_again_is_still_older_than_what_was_told_in_between(taken_back, story):
    frozen, reversed_ = taken_back
    height = frozen.height
    theft = frozen.read(kinds.UNEXPLAINED_SPEND.record, frozen.freeze.at)
    anchor = ChainSeen(height=height - 1, block=story.chain.view.block_hash(height - 6), time=0, at=0)
    lied = after(after(frozen, kinds.CHAIN_SEEN, anchor), kinds.UNEXPLAINED_SPEND, theft)
    headers = tuple(story.chain.view.header(each).raw for each in (height - 5, height - 4))
    with refuses("HISTORY_INVALID"):
        after(lied, kinds.SPEND_REVERSED, edited(reversed_, since=height - 1, branch=headers))


def test_the_past_is_closed_once_and_right_after_the_charter(story):
    history = story.history()
    with story.store.read() as view:
        closed = next(view.entries(1, 2))
    assert closed.head.entry == kinds.PAST_CLOSED
    with refuses("HISTORY_INVALID"):
        after(history, kinds.PAST_CLOSED, kinds.PAST_CLOSED.record.from_bytes(closed.body))
