"""The one fold: what each kind of entry does, who may write it, and where it may not stand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin.transaction import OutPoint
from custody.envelope import sign
from custody.examine.shown import needed_size
from custody.history import kinds, lists, tables
from custody.history.entry import COORDINATOR, Needed
from custody.history.fold import fold
from custody.history.holdings import (
    balance,
    coins,
    held_by,
    holding,
    holdings,
    past_height,
    spendable,
    still_free,
    unspent,
)
from custody.history.questions import History
from custody.history.relations import members, refuse_drafted
from custody.history.state import State
from custody.history.tables import outpoint_of
from custody.log import Frontier, LogEntry, seal, withhold
from custody.record import Record
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, Chance
from custody.testing.forge import moved, sealed
from custody.transfer.address import MOST_SKIPPED, AddressIssued
from custody.transfer.approval import Approval, Authorization
from custody.transfer.draft import Draft, Plan, draft
from custody.transfer.observe import DepositReversed
from custody.transfer.selection import Algorithm, Selection
from custody.transfer.settlement import Ended, Ending, Unconfirmation, broadcast
from custody.transfer.state import Status
from custody.transfer.verify import VerifiedTransaction
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch

every_kind = pytest.mark.parametrize("kind", kinds.ALL, ids=str)

FROM_THE_START = {
    kinds.ADDRESS_ISSUED,
    kinds.ANNEXED,
    kinds.CHAIN_SEEN,
    kinds.DEPOSIT_SEEN,
    kinds.PAST_CLOSED,
    kinds.REQUESTED,
    kinds.UNEXPLAINED_SPEND,
}
"""Kinds that need nothing before them but a charter."""
AGAIN = {kinds.CHAIN_SEEN, kinds.BROADCAST, kinds.PAST_SPEND, kinds.UNEXPLAINED_SPEND}
"""Kinds that may say the same again: looking, sending and crying wolf."""
WITHHELD = {kinds.DEPOSIT_SEEN, kinds.DEPOSIT_REVERSED, kinds.COIN_MATURED, kinds.PAST_SPEND}
SIGNED_BY_PEOPLE = {kinds.REQUESTED, kinds.APPROVED, kinds.WITHDRAWN, kinds.ABANDONED, kinds.COIN_RELEASED}


def refiled(entry: LogEntry, author: str | None = None, body: bytes | None = None) -> LogEntry:
    """The entry in another author's name, or with another body."""
    head = entry.head
    return seal(head.index, head.entry, author or head.author, head.subjects, body or entry.body, entry.salt)


def more(history: History, *entries: LogEntry) -> History:
    """What a history is after these entries."""
    return History(fold(history.state, entries))


def held(history: History) -> dict[OutPoint, bytes]:
    """Who holds what."""
    return {outpoint_of(key): row.value for key, row in history.state.scan(tables.HELD)}


def rows(history: History, *tables_: tables.Table) -> dict[tuple[str, bytes], object]:
    """Every row of these tables, or of all."""
    return {(each.name, key): row for each in tables_ or tables.ALL for key, row in history.state.scan(each)}


# --- the story itself -------------------------------------------------------------------------------------------------


def test_the_story_has_an_entry_of_every_kind(told):
    assert {entry.head.entry for entry in told.entries} == set(kinds.ALL)


def test_the_fold_gives_the_same_however_it_is_cut(told):
    whole = told.states[-1]

    @given(st.lists(st.integers(0, len(told.entries)), max_size=6))
    def check(cuts: list[int]) -> None:
        state = State(told.cast.digest)
        ends = sorted({*cuts, len(told.entries)})
        for start, end in zip([0, *ends], ends, strict=False):
            state = fold(state, told.entries[start:end])
        assert state.frontier == whole.frontier
        assert state.digest() == whole.digest()
        assert rows(History(state)) == rows(told.whole)

    check()


def test_the_fold_s_root_is_the_log_s(told):
    assert told.whole.frontier == Frontier.of(entry.leaf for entry in told.entries)
    assert told.whole.size == len(told.entries)


def test_every_root_on_the_way_is_kept(told):
    for size in range(len(told.entries) + 1):
        assert told.whole.root_at(size) == Frontier.of(entry.leaf for entry in told.entries[:size]).root
    assert told.whole.root_at(len(told.entries) + 1) is None


def test_every_beginning_of_a_log_is_a_history(told):
    for state in told.states[1:]:
        history = History(state)
        # What is kept beside the transfers says the same as looking at all of them.
        transfers = list(lists.transfers(history))
        live = [each for each in transfers if each.is_live]
        assert list(lists.live(history)) == live
        assert set(held(history)) == {o for each in live for o in each.draft.outpoints}
        for group in {each.group for each in transfers}:
            assert [each.id for each in members(history, group)] == [t.id for t in transfers if t.group == group]
        for each in transfers:
            assert lists.transfer_of(history, each.draft.identity.transactions[0]).id == each.id
            assert each in lists.drafts_of(history, each.row.request)


# --- every kind -------------------------------------------------------------------------------------------------------


@every_kind
def test_an_entry_without_its_author_is_refused(told, kind):
    entry = told.entry(kind)
    wrong = REQUESTER if entry.head.author == COORDINATOR else COORDINATOR
    with refuses("ENTRY_AUTHOR") as caught:
        more(told.until(kind), refiled(entry, author=wrong))
    assert caught.error.values() == {
        "index": entry.head.index,
        "entry": kind,
        "expected": entry.head.author,
        "actual": wrong,
    }


@every_kind
def test_people_write_what_they_signed_and_the_coordinator_everything_else(told, kind):
    assert (told.entry(kind).head.author != COORDINATOR) is (kind in SIGNED_BY_PEOPLE)


@pytest.mark.parametrize(
    "kind", sorted(set(kinds.ALL) - {kinds.CHARTER_ADOPTED, kinds.CHAIN_SEEN, kinds.UNEXPLAINED_SPEND})
)
def test_nothing_about_vaults_or_people_stands_before_the_charter(told, kind):
    with refuses("HISTORY_INVALID"):
        fold(State(told.cast.digest), [moved(told.entry(kind), 0)])


@every_kind
def test_an_entry_right_after_the_charter_is_refused_unless_it_needs_nothing_else(told, kind):
    history = History(told.states[1])
    entry = moved(told.entry(kind), 1)
    if kind in FROM_THE_START:
        assert more(history, entry).size == 2
    else:
        with refuses("HISTORY_INVALID") as caught:
            more(history, entry)
        assert (caught.error.index, caught.error.entry) == (1, kind)


@every_kind
def test_an_entry_twice_is_refused_unless_it_may_be_said_again(told, kind):
    history = told.after(kind)
    entry = moved(told.entry(kind), history.size)
    if kind in AGAIN:
        again = more(history, entry)
        changed = {name for name, row in rows(again).items() if rows(history).get(name) != row}
        # Where the newest entry stands is all that changes.
        assert {table for table, _ in changed} <= {"transfers"}
    else:
        with refuses("HISTORY_INVALID"):
            more(history, entry)


@every_kind
def test_only_annexes_and_what_is_said_of_deposits_may_be_withheld(told, kind):
    entry = withhold(told.entry(kind))
    history = told.until(kind)
    assert (kinds.BY_NAME[kind].needed is Needed.BY_COORDINATOR) is (kind in WITHHELD)
    assert (kinds.BY_NAME[kind].needed is Needed.BY_NOBODY) is (kind is kinds.ANNEXED)
    if kind is kinds.ANNEXED:
        assert rows(more(history, entry)) == rows(told.after(kind))
    elif kind in WITHHELD:
        after = more(history, entry)
        # That a deposit of this transaction was spoken of, the head says.
        kept = [each for each in tables.ALL if each not in (tables.UNTOLD, tables.CAME)]
        assert rows(after, *kept) == rows(history, *kept)
        assert rows(after, tables.CAME) == rows(told.after(kind), tables.CAME)
        assert after.frontier == told.after(kind).frontier
        assert after.state.digest() == told.after(kind).state.digest()
    else:
        with refuses("HISTORY_INVALID"):
            more(history, entry)


@pytest.mark.parametrize("kind", sorted({*WITHHELD, kinds.ANNEXED}))
def test_a_withheld_entry_still_has_its_author(told, kind):
    entry = told.entry(kind)
    with refuses("ENTRY_AUTHOR"):
        more(told.until(kind), withhold(refiled(entry, author=OFFICERS[0])))


def seen_again(told, add, edit, block: bytes, *, has_reversal: bool) -> History:
    """A deposit that is a coin, taken back, seen again in `block`, and a coin again."""
    seen, matured = told.body(kinds.DEPOSIT_SEEN, 1), told.body(kinds.COIN_MATURED)
    history = told.until(kinds.REQUESTED)
    reversed_ = DepositReversed(txid=seen.txid, vout=seen.vout, block=seen.block, at=seen.at)
    entry = sealed(history.size, kinds.DEPOSIT_REVERSED, reversed_)
    history = more(history, entry if has_reversal else withhold(entry))
    history = add(history, kinds.DEPOSIT_SEEN, edit(seen, block=block, height=seen.height + 1))
    return add(history, kinds.COIN_MATURED, edit(matured, block=block))


def test_a_deposit_whose_reversal_is_withheld_may_be_seen_again(told, add, edit):
    whole, partly = (seen_again(told, add, edit, b"\x07" * 32, has_reversal=each) for each in (True, False))
    kept = [each for each in tables.ALL if each is not tables.UNTOLD]
    assert rows(partly, *kept) == rows(whole, *kept)
    assert partly.state.digest() == whole.state.digest()


def test_a_coin_whose_return_to_its_block_is_withheld_may_mature_again(told, add):
    seen, matured = told.body(kinds.DEPOSIT_SEEN, 1), told.body(kinds.COIN_MATURED)
    history = told.until(kinds.REQUESTED)
    reversed_ = DepositReversed(txid=seen.txid, vout=seen.vout, block=seen.block, at=seen.at)
    for kind, body in ((kinds.DEPOSIT_REVERSED, reversed_), (kinds.DEPOSIT_SEEN, seen)):
        history = more(history, withhold(sealed(history.size, kind, body)))
    before = rows(history)
    assert rows(add(history, kinds.COIN_MATURED, matured)) == before


@every_kind
def test_a_body_of_another_kind_is_refused(told, kind):
    entry = told.entry(kind)
    other = told.entry(kinds.DECIDED if kind is not kinds.DECIDED else kinds.CHAIN_SEEN)
    if kind is kinds.ANNEXED:
        # No fold reads it: what it holds is found by who does.
        more(told.until(kind), refiled(entry, body=other.body))
        return
    with refuses("HISTORY_INVALID"):
        more(told.until(kind), refiled(entry, body=other.body))


@every_kind
def test_a_body_that_is_not_the_one_written_is_damage_at_its_index(told, kind):
    entry = told.entry(kind)
    with refuses("LOG_CORRUPT") as caught:
        more(told.until(kind), replace(entry, body=entry.body + b" "))
    assert caught.error.index == entry.head.index


@every_kind
def test_a_story_with_one_kind_left_out_is_refused_if_anything_stood_on_it(told, kind):
    # Two are left out too: they name what stands before them by its place, so they would notice all by themselves.
    kept = [entry for entry in told.entries if entry.head.entry not in (kind, kinds.STATE_SEALED, kinds.ERASED)]
    again = [moved(entry, index) for index, entry in enumerate(kept)]
    loose = {
        kinds.PAST_SPEND,
        kinds.ABANDONED,
        kinds.CAME_EARLY,
        kinds.COIN_MATURED,
        kinds.COIN_RELEASED,
        kinds.BROADCAST,
        kinds.CONFIRMED,
        kinds.SPEND_REVERSED,
        kinds.ADDRESS_ISSUED,
        kinds.ANNEXED,
        kinds.ERASED,
        kinds.STATE_SEALED,
    }
    if kind in loose:
        # Nothing follows from these within the story: what they allow is judged elsewhere, or looked at again.
        fold(State(told.cast.digest), again)
    else:
        with refuses("HISTORY_INVALID"):
            fold(State(told.cast.digest), again)


# --- the log's form ---------------------------------------------------------------------------------------------------


def test_an_entry_of_no_known_kind_is_refused(told):
    with refuses("HISTORY_INVALID"):
        more(told.after(kinds.CHAIN_SEEN), seal(2, "blessed", COORDINATOR, (), b"{}", bytes(32)))


@pytest.mark.parametrize("step", [-1, 1, 5])
def test_a_gap_or_a_repetition_in_the_log_is_refused(told, step):
    history = told.until(kinds.REQUESTED)
    with refuses("HISTORY_INVALID"):
        more(history, moved(told.entry(kinds.REQUESTED), history.size + step))


def test_another_charter_than_the_pinned_one_is_refused(told):
    with refuses("CHARTER_MISMATCH"):
        fold(State(bytes(32)), told.entries[:1])


def test_a_history_without_a_charter_says_so(told):
    history = History(State(told.cast.digest))
    assert not history.has_charter
    with refuses("HISTORY_INVALID"):
        _ = history.charter


def test_what_the_log_does_not_know_is_named(told):
    history = told.after(kinds.CHARTER_ADOPTED)
    for find in (history.transfer, history.request):
        with refuses("TRANSFER_UNKNOWN"):
            find(bytes(32))


# --- the chain --------------------------------------------------------------------------------------------------------


def test_a_shorter_look_forgets_what_was_seen_above_it(told, add, edit):
    history = told.after(kinds.CHAIN_SEEN, 1)
    seen = told.body(kinds.CHAIN_SEEN, 1)
    history = add(history, kinds.CHAIN_SEEN, edit(seen, height=seen.height + 5, block=b"\x05" * 32))
    history = add(history, kinds.CHAIN_SEEN, edit(seen, height=seen.height + 2, block=b"\x02" * 32))
    assert [height for height, _ in lists.blocks(history)][:2] == [seen.height + 2, seen.height]
    assert (history.height, lists.newest_block(history)[1].block) == (seen.height + 2, b"\x02" * 32)


@pytest.mark.parametrize("field", ["block", "txid", "vout"])
@pytest.mark.parametrize("kind", [kinds.DEPOSIT_REVERSED, kinds.COIN_MATURED])
def test_what_is_said_of_a_deposit_names_one_that_is_there(told, add, edit, kind, field):
    other = edit(told.body(kind), **{field: 77 if field == "vout" else b"\x07" * 32})
    with refuses("HISTORY_INVALID"):
        add(told.until(kind), kind, other)


def test_a_deposit_of_a_vault_that_the_charter_does_not_name_is_refused(told, add, edit):
    history = told.after(kinds.DEPOSIT_SEEN)
    with refuses("HISTORY_INVALID"):
        add(history, kinds.DEPOSIT_SEEN, edit(told.body(kinds.DEPOSIT_SEEN), vault=bytes(32), vout=9))


def test_the_balance_is_what_is_unspent_and_seen(told):
    vault = told.cast.vault.id
    history = told.until(kinds.SPEND_SEEN)
    # The change is a deposit already; a moment later the coins that made it are spent.
    assert balance(history, vault) > 130_000_000
    history = told.after(kinds.SPEND_SEEN)
    assert balance(history, vault) == 130_000_000 - 85_000_000 - told.draft.fee
    history = told.after(kinds.DEPOSIT_REVERSED)
    assert balance(history, vault) == 130_000_000
    history = told.after(kinds.CONFIRMED)
    assert balance(history, vault) == 130_000_000 - 85_000_000 - told.draft.fee


def test_a_theft_freezes_and_its_coin_is_gone(told):
    history = told.after(kinds.UNEXPLAINED_SPEND)
    assert history.frozen_by is not None
    assert history.facts(told.now).frozen_by == history.frozen_by
    spent = {each.outpoint for each in holdings(history, told.cast.vault.id) if each.spent_by is not None}
    assert spent - set(told.draft.outpoints)
    assert needed_size(history, told.transfer_id) == told.index(kinds.UNEXPLAINED_SPEND) + 1


# --- addresses and indexes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("branch", "index"), [(0, 3 + MOST_SKIPPED), (0, 2), (0, 2**31 - 1), (1, 0), (2, 3)])
def test_an_address_is_issued_at_a_next_receive_index_that_everybody_looks_at_only(told, add, edit, branch, index):
    history = told.until(kinds.REQUESTED)
    issued = edit(AddressIssued.of("seized", bytes(32), told.cast.vault.id, index, 0, told.now), branch=branch)
    with refuses("HISTORY_INVALID"):
        add(history, kinds.ADDRESS_ISSUED, issued)


@pytest.mark.parametrize("index", [3, 4, 3 + MOST_SKIPPED - 1])
def test_an_index_that_was_paid_is_left_out_and_not_come_back_to(told, add, index):
    history = told.until(kinds.REQUESTED)
    vault = told.cast.vault.id
    after = add(history, kinds.ADDRESS_ISSUED, AddressIssued.of("seized", bytes(32), vault, index, 0, told.now))
    assert after.next_index(vault, Branch.RECEIVE) == index + 1
    with refuses("HISTORY_INVALID"):
        add(after, kinds.ADDRESS_ISSUED, AddressIssued.of("seized", bytes(32), vault, 3, 0, told.now))


def test_an_address_of_an_unknown_vault_is_refused(told, add):
    issued = AddressIssued.of("seized", bytes(32), bytes(32), 0, 0, told.now)
    with refuses("HISTORY_INVALID"):
        add(told.until(kinds.REQUESTED), kinds.ADDRESS_ISSUED, issued)


def test_a_draft_with_a_far_index_does_not_push_the_next_one_out_of_reach(told, add, edit):
    history = told.until(kinds.DRAFTED)
    history = add(history, kinds.DRAFTED, edit(told.draft, change=2**31 - 1))
    assert history.next_index(told.cast.vault.id, Branch.CHANGE) == 0


def change_indexes(told, history: History) -> tuple[int, int]:
    """The next one, and the next one behind those that signatures were asked for."""
    vault_id = told.cast.vault.id
    return history.next_index(vault_id, Branch.CHANGE), history.asked_index(vault_id, Branch.CHANGE)


def test_a_draft_keeps_the_next_change_index_and_signatures_use_it(told):
    assert change_indexes(told, told.until(kinds.DRAFTED)) == (0, 0)
    history = told.after(kinds.DRAFTED)
    assert change_indexes(told, history) == (1, 0)
    row = history.transfer(told.transfer_id).row
    assert (row.due_change, row.asked_change) == (0, 0)
    assert change_indexes(told, told.until(kinds.SIGNING_REQUESTED)) == (1, 0)
    assert change_indexes(told, told.after(kinds.SIGNING_REQUESTED)) == (1, 1)
    assert not list(told.after(kinds.SIGNING_REQUESTED).state.scan(tables.DRAWN))


@pytest.mark.parametrize("end", [kinds.WITHDRAWN, kinds.ENDED], ids=str)
def test_a_draft_that_comes_to_nothing_gives_its_index_back(told, end):
    before, after = change_indexes(told, told.until(end)), change_indexes(told, told.after(end))
    assert before == (2, 1)
    assert after == (1, 1)


# --- transfers --------------------------------------------------------------------------------------------------------


def test_a_live_transfer_holds_its_coins(told):
    history = told.after(kinds.DRAFTED)
    vault = told.cast.vault.id
    assert held(history) == dict.fromkeys(told.draft.outpoints, told.transfer_id)
    assert {held_by(history, outpoint) for outpoint in told.draft.outpoints} == {told.transfer_id}
    free = {coin.outpoint for coin in spendable(history, vault)}
    assert free == {coin.outpoint for coin in coins(history, vault)} - set(told.draft.outpoints)
    assert spendable(history, vault, frozenset([told.transfer_id])) == coins(history, vault)


def test_a_coin_in_a_live_transfer_is_not_taken_by_another(told, add, edit, redrafted):
    # Another request, drafted while the first transfer lives, with a coin of it.
    second = told.entry(kinds.REQUESTED, 1)
    history = told.after(kinds.DRAFTED)
    history = more(history, moved(second, history.size))
    stolen = redrafted(told.draft, locktime=told.draft.transaction.locktime - 1)
    identity = edit(stolen.identity, request=second.head.subjects[0])
    with refuses("HISTORY_INVALID") as caught:
        add(history, kinds.DRAFTED, edit(stolen, identity=identity))
    assert str(told.draft.outpoints[0]) in str(caught.error)


def test_a_request_that_is_being_paid_is_not_drafted_again(told, add, redrafted):
    again = redrafted(told.draft, locktime=told.draft.transaction.locktime - 1)
    for kind in (kinds.DRAFTED, kinds.SIGNING_REQUESTED, kinds.BROADCAST, kinds.CONFIRMED):
        with refuses("HISTORY_INVALID"):
            add(told.after(kind), kinds.DRAFTED, again)


def test_what_was_withdrawn_may_be_drafted_again_and_what_was_confirmed_may_not(told):
    history = told.after(kinds.WITHDRAWN)
    (ended,) = [each for each in lists.transfers(history) if each.status is Status.ENDED]
    refuse_drafted(history, ended.draft.identity.request)
    with refuses("REQUEST_IN_USE") as caught:
        refuse_drafted(history, told.draft.identity.request)
    assert caught.error.status == Status.CONFIRMED


def test_what_is_over_is_not_drafted_again_to_the_letter(told, add):
    history = told.after(kinds.WITHDRAWN)
    (ended,) = [each for each in lists.transfers(history) if each.status is Status.ENDED]
    with refuses("HISTORY_INVALID") as caught:
        add(history, kinds.DRAFTED, ended.draft)
    assert "repeats a draft" in str(caught.error)


def test_a_replacement_that_leaves_one_of_its_group_alone_is_refused(told, add, edit):
    # The first transfer spends two coins. The second replaces it with one of them and a third coin; the last names only
    # the second, and shares the third coin with it: beside the first it could confirm, and both would pay.
    history = told.after(kinds.SIGNING_REQUESTED)
    known = {coin.outpoint: coin for coin in coins(history, told.cast.vault.id)}
    shared = known[told.draft.outpoints[0]]
    (third,) = [coin for outpoint, coin in known.items() if outpoint not in told.draft.outpoints]

    def replacing(history: History, which: bytes, coins: tuple[Coin, ...], nonce: int) -> tuple[History, Draft]:
        request = edit(told.request, replaces=(which,), nonce=bytes([nonce]) * 16)
        history = add(history, kinds.REQUESTED, sign(request, told.cast.people[REQUESTER]))
        plan = Plan(
            request=request,
            charter=told.charter,
            entry=told.charter.vaults[0],
            vault=told.cast.vault,
            next_change=history.next_index(told.cast.vault.id, Branch.CHANGE),
            next_receive={},
            height=history.height,
            rate=5_000,
            at=told.now,
        )
        change = sum(coin.amount for coin in coins) - 1_000
        selection = Selection(coins, change, 1_000, 0, Algorithm.EVERYTHING)
        return history, draft(plan, selection, Chance().below)

    history, second = replacing(history, told.transfer_id, (shared, third), 1)
    history = add(history, kinds.DRAFTED, second)
    assert history.transfer(second.transfer_id).group == told.transfer_id
    history, last = replacing(history, second.transfer_id, (third,), 2)
    with refuses("HISTORY_INVALID") as caught:
        add(history, kinds.DRAFTED, last)
    assert told.transfer_id.hex() in str(caught.error)


@pytest.mark.parametrize("reason", [Ending.DENIED, Ending.VETOED, Ending.EXPIRED, Ending.SUPERSEDED, Ending.WITHDRAWN])
@pytest.mark.parametrize(
    "when", [kinds.DRAFTED, kinds.DECIDED, kinds.AUTHORIZED, kinds.SIGNING_REQUESTED, kinds.BROADCAST]
)
def test_a_transfer_ends_only_for_a_reason_that_the_log_gives(told, add, reason, when):
    ended = Ended(transfer=told.transfer_id, reason=reason, detail="so it is said", at=told.now)
    with refuses("HISTORY_INVALID"):
        add(told.after(when), kinds.ENDED, ended)


def test_an_expired_request_ends_its_transfer_until_signatures_are_asked_for(told, add):
    late = told.request.expires
    ended = Ended(transfer=told.transfer_id, reason=Ending.EXPIRED, detail="late", at=late)
    history = add(told.until(kinds.SIGNING_REQUESTED), kinds.ENDED, ended)
    assert history.transfer(told.transfer_id).status is Status.ENDED
    assert held(history) == {}
    with refuses("HISTORY_INVALID"):
        add(told.after(kinds.SIGNING_REQUESTED), kinds.ENDED, ended)


def test_limits_count_from_the_moment_signatures_are_asked_for(told):
    assert told.until(kinds.SIGNING_REQUESTED).committed() == 0
    outflow = 85_000_000 + told.draft.fee
    for kind in (kinds.SIGNING_REQUESTED, kinds.CONFIRMED):
        assert told.after(kind).committed() == outflow


def test_what_was_denied_is_not_authorized(told, add):
    history = told.until(kinds.ENDED)
    denied = next(each for each in lists.transfers(history) if each.status is Status.DECIDED)
    authorization = Authorization(
        transfer=denied.id, charter=told.cast.digest, decision=denied.decision.digest(), approvals=(), at=told.now
    )
    with refuses("HISTORY_INVALID"):
        add(history, kinds.AUTHORIZED, authorization)


def test_a_cosigner_s_second_answer_is_refused(told, add, edit):
    history = told.after(kinds.SIGNED)
    first = history.transfer(told.transfer_id).signed[0]
    with refuses("HISTORY_INVALID"):
        add(history, kinds.SIGNED, edit(first, at=first.at + 1))


def test_signatures_of_who_has_not_signed_are_not_combined(told, add, edit):
    history = told.until(kinds.COMBINED)
    combined = told.after(kinds.COMBINED).transfer(told.transfer_id).combined
    stranger = told.cast.signers[2].fingerprint
    with refuses("HISTORY_INVALID"):
        add(history, kinds.COMBINED, edit(combined, cosigners=(combined.cosigners[0], stranger)))


@pytest.mark.parametrize("field", ["txid", "verified"])
def test_only_the_verified_transaction_is_released(told, add, edit, field):
    release = told.after(kinds.RELEASED).transfer(told.transfer_id).release
    with refuses("HISTORY_INVALID"):
        add(told.until(kinds.RELEASED), kinds.RELEASED, edit(release, **{field: bytes(32)}))


def test_a_transaction_swapped_after_it_was_verified_is_not_released(told, add, edit):
    history = told.until(kinds.VERIFIED)
    verified = told.after(kinds.VERIFIED).transfer(told.transfer_id).verified
    assert isinstance(verified, VerifiedTransaction)
    history = add(history, kinds.VERIFIED, edit(verified, judges=()))
    release = told.after(kinds.RELEASED).transfer(told.transfer_id).release
    with refuses("HISTORY_INVALID"):
        add(history, kinds.RELEASED, release)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kinds.BROADCAST, "txid"),
        (kinds.SPEND_SEEN, "txid"),
        (kinds.CONFIRMED, "txid"),
        (kinds.CONFIRMED, "block"),
        (kinds.CONFIRMED, "height"),
        (kinds.UNCONFIRMED, "block"),
    ],
)
def test_what_the_chain_says_of_a_transfer_is_about_its_own_transaction_and_block(told, add, edit, kind, field):
    after = told.after(kind).transfer(told.transfer_id)
    before = told.until(kind).transfer(told.transfer_id)
    body = {
        kinds.BROADCAST: lambda: broadcast(after.release, told.now),
        kinds.SPEND_SEEN: lambda: after.seen,
        kinds.CONFIRMED: lambda: after.confirmation,
        kinds.UNCONFIRMED: lambda: Unconfirmation(
            transfer=before.id, txid=before.release.txid, block=before.seen.block, at=told.now
        ),
    }[kind]()
    add(told.until(kind), kind, body)
    with refuses("HISTORY_INVALID"):
        add(told.until(kind), kind, edit(body, **{field: 1 if field == "height" else bytes(32)}))


def test_an_unconfirmed_transfer_holds_its_coins_again(told):
    before, after = told.until(kinds.UNCONFIRMED), told.after(kinds.UNCONFIRMED)
    assert {holding(before, each).spent_by for each in told.draft.outpoints} == {told.after_verified.txid}
    assert {holding(after, each).spent_by for each in told.draft.outpoints} == {None}
    assert set(held(after)) == set(told.draft.outpoints)


# --- people -----------------------------------------------------------------------------------------------------------


def test_an_approval_is_entered_once(told):
    history = told.after(kinds.APPROVED)
    again = told.entry(kinds.APPROVED)
    with refuses("HISTORY_INVALID"):
        more(history, moved(again, history.size))


def test_an_approval_stands_until_it_expires_and_may_be_given_again_then(told, add, edit):
    history = told.after(kinds.AUTHORIZED)
    first = history.transfer(told.transfer_id).opinions[0]
    signer = told.cast.people[first.officer]

    def later(at: int) -> Record:
        return sign(edit(first, issued=at, expires=at + 100, nonce=at.to_bytes(16, "big")), signer)

    with refuses("HISTORY_INVALID"):
        add(history, kinds.APPROVED, later(first.expires - 1))
    history = add(history, kinds.APPROVED, later(first.expires))
    transfer = history.transfer(told.transfer_id)
    assert [each.officer for each in transfer.opinions] == [OFFICERS[1], OFFICERS[0]]
    assert [Approval.from_bytes(each.body) for each in transfer.approvals] == list(transfer.opinions)
    assert (transfer.status, transfer.authorization) == (Status.DECIDED, None)


def test_a_nonce_is_spent_once_even_when_the_first_word_has_expired(told, add, edit):
    history = told.after(kinds.APPROVED)
    first = history.transfer(told.transfer_id).opinions[0]
    replayed = sign(edit(first, issued=first.expires, expires=first.expires + 1), told.cast.people[first.officer])
    with refuses("HISTORY_INVALID"):
        add(history, kinds.APPROVED, replayed)


def test_a_holding_is_found_by_its_outpoint(told):
    found = list(holdings(told.whole, told.cast.vault.id))
    assert found
    for each in found:
        assert holding(told.whole, each.outpoint) == each
        assert each.deposit.outpoint == each.outpoint
        assert each.deposit.coin.amount == each.amount


def test_a_coin_is_free_while_it_is_mature_whole_and_nobody_else_s(told):
    vault, history = told.cast.vault.id, told.after(kinds.DRAFTED)
    free = {coin.outpoint: coin for coin in coins(history, vault)}
    for outpoint, coin in free.items():
        is_held = outpoint in told.draft.outpoints
        assert still_free(history, vault, coin, frozenset()) is not is_held
        assert still_free(history, vault, coin, frozenset([told.transfer_id]))
        assert not still_free(history, vault, replace(coin, amount=coin.amount + 1), frozenset([told.transfer_id]))
    before = told.after(kinds.DEPOSIT_SEEN)
    (seen,) = [each for each in unspent(before, vault) if not each.is_mature]
    assert not still_free(before, vault, seen.deposit.coin, frozenset())


def test_before_any_past_is_closed_nothing_is_older_than_the_charter(told):
    assert past_height(told.after(kinds.CHARTER_ADOPTED)) == -1
