"""Payer, purpose and reason are erased: what is left says the same as before, and the store forgets."""

import pytest

from custody.backends.sql.store import create_store
from custody.examine.evidence import Stage
from custody.examine.statement import state_address
from custody.history import kinds, lists, tables
from custody.history.fold import fold
from custody.history.holdings import holdings
from custody.history.rows import Sealing
from custody.history.state import State
from custody.testing.asserts import refuses
from custody.testing.cast import DEPOSITOR, make_cast
from custody.testing.chain import RegtestChain
from custody.testing.memory import InMemoryStore
from custody.testing.scenario import Scenario
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.transfer.settlement import Ending
from custody.transfer.state import Status
from custody.units import Network

REASON = "compensation of a witness, case 17"


@pytest.fixture(params=["memory", "sql"])
def story(request, tmp_path):
    """A coordinator with three mature coins, on each kind of store."""
    origin = make_cast(None).charter.origin
    if request.param == "memory":
        store = InMemoryStore(Network.REGTEST, origin)
    else:
        store = create_store(tmp_path / "store.sqlite", Network.REGTEST, origin)
    story = Scenario.begin(chain=RegtestChain().fund(4), store=store)
    story.custodian.observe()
    for amount in (60_000_000, 40_000_000, 30_000_000):
        story.deposit(amount)
    story.mine(story.cast.charter.vaults[0].confirmations)
    yield story
    story.close()


def rows(state):
    return {(each.name, key): row for each in tables.ALL for key, row in state.scan(each)}


def rebuilt(story):
    with story.store.read() as view:
        return fold(State(story.cast.digest), view.entries())


def refuse_differing(story):
    """The store's rows are those that its log makes."""
    state = rebuilt(story)
    assert rows(story.history().state) == rows(state)
    assert story.history().state.digest() == state.digest()
    story.store.verify()


def sealed_rows(story, size=None):
    """The sealed rows, but for what was erased, after so many entries."""
    with story.store.read() as view:
        state = fold(State(story.cast.digest), view.entries(0, size))
    kept = [each for each in tables.ALL if each.sealing is Sealing.SEALED and each is not tables.ERASED]
    return {(each.name, key): row for each in kept for key, row in state.scan(each)}


def payer_of(story, index):
    history = story.history()
    issued = history.read(AddressIssued, lists.address(history, story.cast.vault.id, index).issued)
    return history.annexed_at(issued.annex), history.annex(AddressAnnex, issued.annex)


def test_an_erased_payer_is_gone_and_the_address_stays(story):
    before, at = sealed_rows(story), story.history().size
    digest = story.history().state.digest()
    entry, annex = payer_of(story, 1)
    assert annex.payer == DEPOSITOR
    story.custodian.erase(entry, "asked for by the payer")
    assert payer_of(story, 1) == (entry, None)
    assert payer_of(story, 0)[1] == annex
    assert sealed_rows(story) == sealed_rows(story, at) == before
    with story.store.read() as view:
        assert fold(State(story.cast.digest), view.entries(0, at)).digest() == digest
    refuse_differing(story)


def test_an_address_whose_payer_was_erased_is_not_stated_any_more(story):
    stated = story.paper(1)
    entry, _ = payer_of(story, 1)
    story.custodian.erase(entry, "asked for by the payer")
    # What was written before still holds: its annex is in it.
    story.stated(stated)
    story.stated(story.paper(0))
    history = story.history()
    issued = history.read(AddressIssued, lists.address(history, story.cast.vault.id, 1).issued)
    with refuses("ANNEX_WITHHELD"):
        state_address(issued, None, story.cast.charter, story.custodian.showing.checkpoint().signed().checkpoint, 0, 1)


def test_a_transfer_is_approved_signed_and_settled_without_its_reason(story):
    transfer_id = story.drafted(story.request(reason=REASON))[0].transfer_id
    told = story.stations[0].examine(story.custodian.evidence(transfer_id), Stage.APPROVE)
    assert told.reason == REASON
    # It is a person's text, and not a finding.
    assert not any(REASON in each.finding for each in told.steps)
    assert not [each for each in told.not_checked if "reason" in each]
    annexed = story.history().annexed_at(told.request.annex)
    story.custodian.erase(annexed, "it names somebody")
    # Another's reason is nobody's business: evidence has one annex at most.
    other = story.drafted(story.request(reason="something else"))[0].transfer_id
    assert REASON not in story.custodian.evidence(other).to_bytes().decode()

    evidence = story.custodian.evidence(transfer_id)
    assert evidence.annex is None
    found = story.stations[0].examine(evidence, Stage.APPROVE)
    assert found.reason is None
    assert found.body_digest == told.body_digest
    assert "why it was asked for: the reason was withheld or erased" in found.not_checked
    story.approved(transfer_id)
    story.custodian.authorize(transfer_id)
    story.custodian.request_signatures(transfer_id)
    story.signed(transfer_id)
    story.custodian.release(transfer_id)
    story.custodian.deliver()
    story.mine(6)
    assert story.transfer(transfer_id).confirmation is not None
    assert story.transfer(transfer_id).reason is None
    refuse_differing(story)


def test_why_a_transfer_was_withdrawn_is_forgotten_but_not_that(story):
    draft, _ = story.drafted()
    paper = story.withdrawal(draft.transfer_id)
    story.custodian.withdraw(paper)
    assert story.transfer(draft.transfer_id).ended.detail == "no longer needed"
    story.custodian.erase(story.history().annexed_at(paper.annex.named), "it named somebody")
    ended = story.transfer(draft.transfer_id).ended
    assert (ended.reason, ended.detail) == (Ending.WITHDRAWN, "")


def test_erased_deposits_stay_forgotten_whatever_the_chain_does(story):
    vault = story.cast.vault.id
    first, second, third = [each.seen for each in holdings(story.history(), vault)]
    story.custodian.erase(second, "asked for by the payer")
    refuse_differing(story)
    assert [each.seen for each in holdings(story.history(), vault)] == [first, third]
    assert story.balance == 90_000_000
    story.confirmed()
    refuse_differing(story)
    story.chain.reorganise(3)
    story.custodian.observe()
    refuse_differing(story)
    story.mine(8)
    refuse_differing(story)
    for each in list(holdings(story.history(), vault)):
        story.custodian.erase(each.seen, "all of it")
    refuse_differing(story)
    assert not story.history().state.has(tables.BALANCES, vault)


def test_a_transfer_whose_coins_were_erased_is_seen_and_settled_again_after_a_reorganisation(story):
    spent = story.confirmed()
    seen = [story.holdings[each].seen for each in story.transfer(spent).draft.outpoints]
    for each in seen:
        story.custodian.erase(each, "asked for by the payer")
    depth = story.history().height - story.transfer(spent).seen.height + 1
    story.chain.reorganise(depth, leave_out=[story.transfer(spent).release.txid])
    story.custodian.observe()
    assert story.transfer(spent).status is Status.BROADCAST
    story.custodian.deliver()
    story.mine(depth)
    assert story.transfer(spent).status is Status.CONFIRMED
    refuse_differing(story)


def test_who_reads_an_older_log_is_told_that_it_is_gone_however_late_they_ask(tmp_path):
    origin = make_cast(None).charter.origin
    store = create_store(tmp_path / "store.sqlite", Network.REGTEST, origin)
    story = Scenario.begin(chain=RegtestChain().fund(4), store=store)
    story.custodian.observe()
    story.deposit(60_000_000)
    entry, _ = payer_of(story, 0)
    older = story.history()
    story.custodian.erase(entry, "asked for by the payer")
    for _ in range(2):
        with refuses("STATE_GONE"):
            lists.live(older)
        story.mine(1)
    assert lists.live(story.history()) == ()
    story.close()


def test_what_somebody_needs_is_not_erased(story):
    history = story.history()
    entry, _ = payer_of(story, 0)
    for index in range(history.size):
        with story.store.read() as view:
            (each,) = view.entries(index, index + 1)
        if each.head.entry not in {kinds.ANNEXED, kinds.DEPOSIT_SEEN}:
            with refuses("ERASE_REFUSED") as caught:
                story.custodian.erase(index, "why not")
            assert (caught.error.index, caught.error.entry) == (index, each.head.entry)
    story.custodian.erase(entry, "asked for by the payer")
    with refuses("ERASE_REFUSED"):
        story.custodian.erase(entry, "again")
    with refuses("NOT_IN_LOG"):
        story.custodian.erase(story.history().size, "there is none")


def test_a_deposit_is_not_erased_while_a_live_transfer_spends_it(story):
    draft, _ = story.drafted()
    spent = [story.holdings[each].seen for each in draft.outpoints]
    with refuses("ERASE_REFUSED") as caught:
        story.custodian.erase(spent[0], "asked for by the payer")
    assert caught.error.problem == f"live transfer {draft.transfer_id.hex()} spends its coin"
    story.custodian.withdraw(story.withdrawal(draft.transfer_id))
    story.custodian.erase(spent[0], "asked for by the payer")
    refuse_differing(story)


def test_nothing_of_it_is_left_in_the_file(tmp_path):
    path = tmp_path / "store.sqlite"
    story = Scenario.begin(
        chain=RegtestChain().fund(4),
        store=create_store(path, Network.REGTEST, make_cast(None).charter.origin),
    )
    story.custodian.observe()
    story.deposit(60_000_000, purpose="case 170, Zhanar")
    story.mine(story.cast.charter.vaults[0].confirmations)
    entry, _ = payer_of(story, 0)
    (deposit,) = holdings(story.history(), story.cast.vault.id)
    with story.store.read() as view:
        (salted,) = view.entries(entry, entry + 1)
    script = deposit.script_pubkey.hex().encode()
    amount = b',60000000,"'
    for what in (b"Zhanar", salted.salt, amount):
        assert what in path.read_bytes()
    story.custodian.erase(entry, "asked for by the payer")
    story.custodian.erase(deposit.seen, "asked for by the payer")
    left = path.read_bytes()
    for what in (b"Zhanar", salted.salt, script, amount):
        assert what not in left
    story.close()
