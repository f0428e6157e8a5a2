"""A coin is a payer's when the address was given to them before the block that holds it, and nobody's otherwise."""

from custody.bitcoin.transaction import TxOut
from custody.custodian import Custodian
from custody.history.holdings import issued_for
from custody.testing.asserts import refuses
from custody.testing.cast import expected
from custody.testing.memory import InMemoryStore
from custody.testing.scenario import Scenario
from custody.transfer.address import MOST_SKIPPED
from custody.units import Network
from custody.vault.descriptor import Branch


def due(story: Scenario) -> int:
    return story.history().next_index(story.cast.vault.id, Branch.RECEIVE)


def issue(story: Scenario, purpose: str = "seized, case 17") -> int:
    return story.custodian.issue_address("reserve", expected(purpose)).index


def pay(story: Scenario, *indexes: int) -> bytes:
    outputs = [TxOut(2_000_000, story.cast.vault.script_pubkey(Branch.RECEIVE, index)) for index in indexes]
    return story.chain.pay_all(outputs).txid


def classes(story: Scenario, txid: bytes) -> list[str | None]:
    """The class of origin of each coin of a transaction, None where it is nobody's."""
    history = story.history()
    rows = sorted((row for at, row in story.holdings.items() if at.txid == txid), key=lambda row: row.vout)
    issued = [issued_for(history, row) for row in rows]
    return [None if each is None else each.coin_class for each in issued]


def test_what_comes_after_its_address_was_given_out_is_the_payer_s(story):
    txid = pay(story, issue(story))
    story.mine()
    assert classes(story, txid) == [expected("x").coin_class]


def test_an_index_that_was_paid_is_never_given_out(story):
    first = due(story)
    txid = pay(story, first, first + 2)
    story.mine(3)
    assert [issue(story), issue(story), issue(story)] == [first + 1, first + 3, first + 4]
    assert classes(story, txid) == [None, None]
    assert due(story) == first + 5


def test_nor_one_whose_deposit_was_taken_back_or_spent(story):
    first = due(story)
    txid = pay(story, first)
    story.mine()
    story.chain.reorganise(1, leave_out=[txid])
    story.custodian.observe()
    assert issue(story) == first + 1


def test_what_lies_in_a_block_that_nobody_had_looked_at_is_not_a_later_payer_s(story):
    txid = pay(story, due(story))
    story.chain.mine(3)
    issued = issue(story)
    story.custodian.observe()
    assert story.holdings[next(at for at in story.holdings if at.txid == txid)].index == issued
    assert classes(story, txid) == [None]
    later = pay(story, issued)
    story.mine()
    assert classes(story, later) == [expected("x").coin_class]


def test_a_first_look_gives_no_old_coin_to_a_new_payer(story):
    # Addresses are given out before the coordinator has looked at any block.
    txid = pay(story, 0)
    story.chain.mine(2)
    store = InMemoryStore(Network.REGTEST, story.cast.charter.origin)
    story.custodian = Custodian(store, story.cast.digest, story.cast.coordinator, story.custodian._outside)
    story.custodian.adopt_charter(story.cast.envelope)
    assert issue(story) == 0
    story.custodian.observe()
    assert classes(story, txid) == [None]


def test_a_deposit_in_another_block_after_a_reorganisation_is_still_the_payer_s(story):
    txid = pay(story, issue(story))
    story.mine()
    story.chain.reorganise(1)
    story.custodian.observe()
    assert classes(story, txid) == [expected("x").coin_class]


def test_change_is_nobody_s_though_an_address_has_the_same_index(story):
    issue(story)
    transfer_id = story.confirmed()
    assert classes(story, story.transfer(transfer_id).txid) == [None]


def test_a_vault_whose_addresses_somebody_pays_one_after_the_other_gives_none_out(begin):
    story = begin(1_000_000)
    first = due(story)
    pay(story, *range(first, first + MOST_SKIPPED))
    story.mine()
    size = story.history().size
    with refuses("INDEXES_PAID") as caught:
        issue(story)
    assert (caught.error.first, caught.error.last) == (first, first + MOST_SKIPPED - 1)
    assert story.history().size == size
