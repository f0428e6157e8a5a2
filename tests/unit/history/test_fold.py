"""The one fold: what each kind of entry does, who may write it, and where it may not stand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin.transaction import OutPoint
from custody.envelope import sign
from custody.log import Frontier, LogEntry, seal, withhold
from custody.record import Record
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, Chance, expected
from custody.transfer.approval import Approval, Authorization
from custody.transfer.draft import Draft, Plan, draft
from custody.transfer.history import COORDINATOR, History, replay
from custody.transfer.observe import CoinMatured, DepositReversed, DepositSeen
from custody.transfer.selection import Algorithm, Selection
from custody.transfer.settlement import Ended, Ending, Unconfirmation, broadcast
from custody.transfer.state import AddressIssued, Kind, Status
from custody.transfer.verify import VerifiedTransaction
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch

every_kind = pytest.mark.parametrize("kind", list(Kind), ids=str)

FROM_THE_START = {Kind.ADDRESS_ISSUED, Kind.CHAIN_SEEN, Kind.DEPOSIT_SEEN, Kind.REQUESTED, Kind.UNEXPLAINED_SPEND}
"""Kinds that need nothing before them but a charter."""
AGAIN = {Kind.CHAIN_SEEN, Kind.BROADCAST, Kind.UNEXPLAINED_SPEND}
"""Kinds that may say the same again: looking, sending and crying wolf."""
WITHHELD = {Kind.DEPOSIT_SEEN, Kind.DEPOSIT_REVERSED, Kind.COIN_MATURED}
SIGNED_BY_PEOPLE = {Kind.REQUESTED, Kind.APPROVED, Kind.WITHDRAWN}


def moved(entry: LogEntry, index: int, author: str | None = None, body: bytes | None = None) -> LogEntry:
    """The entry written again at another place, or with another author or body."""
    head = entry.head
    return seal(index, head.entry, author or head.author, head.subjects, body or entry.body, entry.salt)


def picture(history: History) -> object:
    """Everything a history says, to be compared."""
    return (
        history.frontier,
        {
            key: (each.status, each.group, each.ended, each.seen, len(each.signed))
            for key, each in history.transfers.items()
        },
        {key: (each.seen, each.is_mature, each.spent_by) for key, each in history.holdings.items()},
        history.held(),
        history.frozen_by,
        history.tips,
        history.addresses,
        history.next_receive() if history.has_charter else None,
    )


# --- the story itself -------------------------------------------------------------------------------------------------


def test_the_story_has_an_entry_of_every_kind(told):
    assert {entry.head.entry for entry in told.entries} == set(Kind)


def test_the_fold_gives_the_same_however_it_is_cut(told):
    whole = picture(replay(told.entries, told.cast.digest))

    @given(st.lists(st.integers(0, len(told.entries)), max_size=6))
    def check(cuts: list[int]) -> None:
        history = History(told.cast.digest)
        ends = sorted({*cuts, len(told.entries)})
        for start, end in zip([0, *ends], ends, strict=False):
            history.extend(told.entries[start:end])
        assert picture(history) == whole

    check()


def test_the_fold_s_root_is_the_log_s(told):
    history = replay(told.entries, told.cast.digest)
    assert history.frontier == Frontier.of(entry.leaf for entry in told.entries)
    assert history.size == len(told.entries)


def test_every_beginning_of_a_log_is_a_history(told):
    history = History(told.cast.digest)
    for entry in told.entries:
        history.extend([entry])
        # What is kept beside the transfers says the same as looking at all of them.
        live = {each.id for each in history.transfers.values() if each.is_live}
        assert {each.id for each in history.live()} == live
        assert set(history.held()) == {o for key in live for o in history.transfers[key].draft.outpoints}
        for group in {each.group for each in history.transfers.values()}:
            assert [each.group for each in history.members(group)] == [group] * len(history.members(group))


# --- every kind -------------------------------------------------------------------------------------------------------


@every_kind
def test_an_entry_without_its_author_is_refused(told, kind):
    entry = told.entry(kind)
    wrong = REQUESTER if entry.head.author == COORDINATOR else COORDINATOR
    with refuses("ENTRY_AUTHOR") as caught:
        told.until(kind).extend([moved(entry, entry.head.index, author=wrong)])
    assert caught.error.values() == {
        "index": entry.head.index,
        "entry": kind,
        "expected": entry.head.author,
        "actual": wrong,
    }


@every_kind
def test_people_write_what_they_signed_and_the_coordinator_everything_else(told, kind):
    assert (told.entry(kind).head.author != COORDINATOR) is (kind in SIGNED_BY_PEOPLE)


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.CHARTER_ADOPTED, Kind.CHAIN_SEEN, Kind.UNEXPLAINED_SPEND}))
def test_nothing_about_vaults_or_people_stands_before_the_charter(told, kind):
    with refuses("HISTORY_INVALID"):
        History(told.cast.digest).extend([moved(told.entry(kind), 0)])


@every_kind
def test_an_entry_right_after_the_charter_is_refused_unless_it_needs_nothing_else(told, kind):
    history = replay(told.entries[:1], told.cast.digest)
    entry = moved(told.entry(kind), 1)
    if kind in FROM_THE_START:
        history.extend([entry])
        assert history.size == 2
    else:
        with refuses("HISTORY_INVALID") as caught:
            history.extend([entry])
        assert (caught.error.index, caught.error.entry) == (1, kind)


@every_kind
def test_an_entry_twice_is_refused_unless_it_may_be_said_again(told, kind):
    history = told.after(kind)
    entry = moved(told.entry(kind), history.size)
    before = picture(history)[1:4]
    if kind in AGAIN:
        assert picture(history.extend([entry]))[1:4] == before
    else:
        with refuses("HISTORY_INVALID"):
            history.extend([entry])


@every_kind
def test_only_what_is_said_of_deposits_may_be_withheld(told, kind):
    entry = withhold(told.entry(kind))
    history = told.until(kind)
    if kind in WITHHELD:
        before = picture(history)[1:]
        history.extend([entry])
        assert picture(history)[1:] == before
        assert history.frontier == told.after(kind).frontier
    else:
        with refuses("HISTORY_INVALID"):
            history.extend([entry])


@pytest.mark.parametrize("kind", sorted(WITHHELD))
def test_a_withheld_entry_still_has_its_author(told, kind):
    entry = told.entry(kind)
    with refuses("ENTRY_AUTHOR"):
        told.until(kind).extend([withhold(moved(entry, entry.head.index, author=OFFICERS[0]))])


@every_kind
def test_a_body_of_another_kind_is_refused(told, kind):
    entry = told.entry(kind)
    other = told.entry(Kind.DECIDED if kind is not Kind.DECIDED else Kind.CHAIN_SEEN)
    with refuses("HISTORY_INVALID"):
        told.until(kind).extend([moved(entry, entry.head.index, body=other.body)])


@every_kind
def test_a_body_that_is_not_the_one_written_is_damage_at_its_index(told, kind):
    entry = told.entry(kind)
    with refuses("LOG_CORRUPT") as caught:
        told.until(kind).extend([replace(entry, body=entry.body + b" ")])
    assert caught.error.index == entry.head.index


@every_kind
def test_a_story_with_one_kind_left_out_is_refused_if_anything_stood_on_it(told, kind):
    kept = [entry for entry in told.entries if entry.head.entry != kind]
    again = [moved(entry, index) for index, entry in enumerate(kept)]
    loose = {
        Kind.CHAIN_SEEN,
        Kind.COIN_MATURED,
        Kind.BROADCAST,
        Kind.CONFIRMED,
        Kind.UNEXPLAINED_SPEND,
        Kind.WITHDRAWN,
        Kind.ADDRESS_ISSUED,
        Kind.APPROVED,
    }
    if kind in loose:
        # Nothing follows from these within the story: what they allow is judged elsewhere, or looked at again.
        replay(again, told.cast.digest)
    else:
        with refuses("HISTORY_INVALID"):
            replay(again, told.cast.digest)


# --- the log's form ---------------------------------------------------------------------------------------------------


def test_an_entry_of_no_known_kind_is_refused(told):
    with refuses("HISTORY_INVALID"):
        told.after(Kind.CHAIN_SEEN).extend([seal(2, "blessed", COORDINATOR, (), b"{}", bytes(32))])


@pytest.mark.parametrize("step", [-1, 1, 5])
def test_a_gap_or_a_repetition_in_the_log_is_refused(told, step):
    history = told.until(Kind.REQUESTED)
    with refuses("HISTORY_INVALID"):
        history.extend([moved(told.entry(Kind.REQUESTED), history.size + step)])


def test_another_charter_than_the_pinned_one_is_refused(told):
    with refuses("CHARTER_MISMATCH"):
        replay(told.entries[:1], bytes(32))


def test_a_history_without_a_charter_says_so(told):
    history = History(told.cast.digest)
    assert not history.has_charter
    with refuses("HISTORY_INVALID"):
        _ = history.charter


def test_what_the_log_does_not_know_is_named(told):
    history = told.after(Kind.CHARTER_ADOPTED)
    for find in (history.transfer, history.request):
        with refuses("TRANSFER_UNKNOWN"):
            find(bytes(32))


# --- the chain --------------------------------------------------------------------------------------------------------


def test_a_shorter_look_forgets_what_was_seen_above_it(told, add, edit):
    history = told.after(Kind.CHAIN_SEEN, 1)
    seen = history.tips[-1]
    add(history, Kind.CHAIN_SEEN, edit(seen, height=seen.height + 5, block=b"\x05" * 32))
    add(history, Kind.CHAIN_SEEN, edit(seen, height=seen.height + 2, block=b"\x02" * 32))
    assert [each.height for each in history.tips][-2:] == [seen.height, seen.height + 2]
    assert history.height == seen.height + 2


def deposit_of(history: History) -> DepositSeen:
    return next(iter(history.holdings.values())).seen


@pytest.mark.parametrize("field", ["block", "txid", "vout"])
@pytest.mark.parametrize("kind", [Kind.DEPOSIT_REVERSED, Kind.COIN_MATURED])
def test_what_is_said_of_a_deposit_names_one_that_is_there(told, add, edit, kind, field):
    entry = told.entry(kind)
    record = {Kind.DEPOSIT_REVERSED: DepositReversed, Kind.COIN_MATURED: CoinMatured}[kind]
    body = record.from_bytes(entry.body)
    other = edit(body, **{field: 77 if field == "vout" else b"\x07" * 32})
    with refuses("HISTORY_INVALID"):
        add(told.until(kind), kind, other)


def test_a_deposit_of_a_vault_that_the_charter_does_not_name_is_refused(told, add, edit):
    history = told.after(Kind.DEPOSIT_SEEN)
    with refuses("HISTORY_INVALID"):
        add(history, Kind.DEPOSIT_SEEN, edit(deposit_of(history), vault=bytes(32), vout=9))


def test_the_balance_is_what_is_unspent_and_seen(told):
    vault = told.cast.vault.id
    history = told.until(Kind.SPEND_SEEN)
    # The change is a deposit already; a moment later the coins that made it are spent.
    assert history.balance(vault) > 130_000_000
    history = told.after(Kind.SPEND_SEEN)
    assert history.balance(vault) == 130_000_000 - 85_000_000 - told.draft.fee
    history = told.after(Kind.DEPOSIT_REVERSED)
    assert history.balance(vault) == 130_000_000
    history = told.after(Kind.CONFIRMED)
    assert history.balance(vault) == 130_000_000 - 85_000_000 - told.draft.fee


def test_a_theft_freezes_and_its_coin_is_gone(told):
    history = told.after(Kind.UNEXPLAINED_SPEND)
    assert history.frozen_by is not None
    assert history.facts(told.now).frozen_by == history.frozen_by
    spent = [outpoint for outpoint, each in history.holdings.items() if each.spent_by is not None]
    assert {outpoint for outpoint in spent if outpoint not in told.draft.outpoints}
    assert history.needed_size(told.transfer_id) == told.index(Kind.UNEXPLAINED_SPEND) + 1


# --- addresses and indexes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("branch", "index"), [(0, 4), (0, 2), (0, 2**31 - 1), (1, 0), (2, 3)])
def test_an_address_is_issued_at_the_next_receive_index_only(told, add, edit, branch, index):
    history = told.until(Kind.REQUESTED)
    issued = edit(AddressIssued.of(expected(), told.cast.vault.id, index, told.now), branch=branch)
    with refuses("HISTORY_INVALID"):
        add(history, Kind.ADDRESS_ISSUED, issued)


def test_an_address_of_an_unknown_vault_is_refused(told, add):
    issued = AddressIssued.of(expected("a deposit"), bytes(32), 0, told.now)
    with refuses("HISTORY_INVALID"):
        add(told.until(Kind.REQUESTED), Kind.ADDRESS_ISSUED, issued)


def test_a_draft_with_a_far_index_does_not_push_the_next_one_out_of_reach(told, add, edit):
    history = told.until(Kind.DRAFTED)
    add(history, Kind.DRAFTED, edit(told.draft, change=2**31 - 1), told.transfer_id)
    assert history.next_index(told.cast.vault.id, Branch.CHANGE) == 0


def test_a_draft_uses_the_next_change_index(told):
    assert told.until(Kind.DRAFTED).next_index(told.cast.vault.id, Branch.CHANGE) == 0
    history = told.after(Kind.DRAFTED)
    assert history.next_index(told.cast.vault.id, Branch.CHANGE) == 1
    assert history.transfer(told.transfer_id).due_change == 0


# --- transfers --------------------------------------------------------------------------------------------------------


def test_a_live_transfer_holds_its_coins(told):
    history = told.after(Kind.DRAFTED)
    assert history.held() == dict.fromkeys(told.draft.outpoints, told.transfer_id)
    free = {coin.outpoint for coin in history.spendable(told.cast.vault.id)}
    assert free == {coin.outpoint for coin in history.coins(told.cast.vault.id)} - set(told.draft.outpoints)
    for_the_group = history.spendable(told.cast.vault.id, frozenset([told.transfer_id]))
    assert {coin.outpoint for coin in for_the_group} == {coin.outpoint for coin in history.coins(told.cast.vault.id)}


def test_a_coin_in_a_live_transfer_is_not_taken_by_another(told, add, edit, redrafted):
    # Another request, drafted while the first transfer lives, with a coin of it.
    second = told.entry(Kind.REQUESTED, 1)
    history = told.after(Kind.DRAFTED)
    history.extend([moved(second, history.size)])
    stolen = redrafted(told.draft, locktime=told.draft.transaction.locktime - 1)
    identity = edit(stolen.identity, request=second.head.subjects[0])
    with refuses("HISTORY_INVALID") as caught:
        add(history, Kind.DRAFTED, edit(stolen, identity=identity))
    assert str(told.draft.outpoints[0]) in str(caught.error)


def test_a_request_that_is_being_paid_is_not_drafted_again(told, add, redrafted):
    again = redrafted(told.draft, locktime=told.draft.transaction.locktime - 1)
    for kind in (Kind.DRAFTED, Kind.SIGNING_REQUESTED, Kind.BROADCAST, Kind.CONFIRMED):
        with refuses("HISTORY_INVALID"):
            add(told.after(kind), Kind.DRAFTED, again)


def test_what_was_withdrawn_may_be_drafted_again_and_what_was_confirmed_may_not(told):
    history = told.after(Kind.WITHDRAWN)
    (ended,) = [each for each in history.transfers.values() if each.status is Status.ENDED]
    history.refuse_drafted(ended.draft.identity.request)
    with refuses("REQUEST_IN_USE") as caught:
        history.refuse_drafted(told.draft.identity.request)
    assert caught.error.status == Status.CONFIRMED


def test_a_replacement_that_leaves_one_of_its_group_alone_is_refused(told, add, edit):
    # The first transfer spends two coins. The second replaces it with one of them and a third coin; the last names only
    # the second, and shares the third coin with it: beside the first it could confirm, and both would pay.
    history = told.after(Kind.SIGNING_REQUESTED)
    held = {coin.outpoint: coin for coin in history.coins(told.cast.vault.id)}
    shared = held[told.draft.outpoints[0]]
    (third,) = [coin for outpoint, coin in held.items() if outpoint not in told.draft.outpoints]

    def replacing(which: bytes, coins: tuple[Coin, ...], nonce: int) -> Draft:
        request = edit(told.request, replaces=(which,), nonce=bytes([nonce]) * 16)
        add(history, Kind.REQUESTED, sign(request, told.cast.people[REQUESTER]), request.digest(), author=REQUESTER)
        plan = Plan(
            request=request,
            charter=told.charter,
            entry=told.charter.vaults[0],
            vault=told.cast.vault,
            next_change=history.next_index(told.cast.vault.id, Branch.CHANGE),
            next_receive=history.next_receive(),
            height=history.height,
            rate=5_000,
            at=told.now,
        )
        change = sum(coin.amount for coin in coins) - 1_000
        return draft(plan, Selection(coins, change, 1_000, 0, Algorithm.EVERYTHING), Chance().below)

    second = replacing(told.transfer_id, (shared, third), 1)
    add(history, Kind.DRAFTED, second, second.transfer_id)
    assert history.transfer(second.transfer_id).group == told.transfer_id
    last = replacing(second.transfer_id, (third,), 2)
    with refuses("HISTORY_INVALID") as caught:
        add(history, Kind.DRAFTED, last)
    assert told.transfer_id.hex() in str(caught.error)


@pytest.mark.parametrize("reason", [Ending.DENIED, Ending.VETOED, Ending.EXPIRED, Ending.SUPERSEDED, Ending.WITHDRAWN])
@pytest.mark.parametrize("when", [Kind.DRAFTED, Kind.DECIDED, Kind.AUTHORIZED, Kind.SIGNING_REQUESTED, Kind.BROADCAST])
def test_a_transfer_ends_only_for_a_reason_that_the_log_gives(told, add, reason, when):
    ended = Ended(transfer=told.transfer_id, reason=reason, detail="so it is said", at=told.now)
    with refuses("HISTORY_INVALID"):
        add(told.after(when), Kind.ENDED, ended)


def test_an_expired_request_ends_its_transfer_until_signatures_are_asked_for(told, add):
    late = told.request.expires
    ended = Ended(transfer=told.transfer_id, reason=Ending.EXPIRED, detail="late", at=late)
    history = add(told.until(Kind.SIGNING_REQUESTED), Kind.ENDED, ended)
    assert history.transfer(told.transfer_id).status is Status.ENDED
    assert history.held() == {}
    with refuses("HISTORY_INVALID"):
        add(told.after(Kind.SIGNING_REQUESTED), Kind.ENDED, ended)


def test_limits_count_from_the_moment_signatures_are_asked_for(told):
    assert told.until(Kind.SIGNING_REQUESTED).committed() == 0
    outflow = 85_000_000 + told.draft.fee
    for kind in (Kind.SIGNING_REQUESTED, Kind.CONFIRMED):
        assert told.after(kind).committed() == outflow


def test_what_was_denied_is_not_authorized(told, add):
    history = told.until(Kind.ENDED)
    denied = next(each for each in history.transfers.values() if each.status is Status.DECIDED)
    authorization = Authorization(
        transfer=denied.id, charter=told.cast.digest, decision=denied.decision.digest(), approvals=(), at=told.now
    )
    with refuses("HISTORY_INVALID"):
        add(history, Kind.AUTHORIZED, authorization)


def test_a_cosigner_s_second_answer_is_refused(told, add, edit):
    history = told.after(Kind.SIGNED)
    first = history.transfer(told.transfer_id).signed[0]
    with refuses("HISTORY_INVALID"):
        add(history, Kind.SIGNED, edit(first, at=first.at + 1))


def test_signatures_of_who_has_not_signed_are_not_combined(told, add, edit):
    history = told.until(Kind.COMBINED)
    combined = told.after(Kind.COMBINED).transfer(told.transfer_id).combined
    stranger = told.cast.signers[2].fingerprint
    with refuses("HISTORY_INVALID"):
        add(history, Kind.COMBINED, edit(combined, cosigners=(combined.cosigners[0], stranger)))


@pytest.mark.parametrize("field", ["txid", "verified"])
def test_only_the_verified_transaction_is_released(told, add, edit, field):
    release = told.after(Kind.RELEASED).transfer(told.transfer_id).release
    with refuses("HISTORY_INVALID"):
        add(told.until(Kind.RELEASED), Kind.RELEASED, edit(release, **{field: bytes(32)}))


def test_a_transaction_swapped_after_it_was_verified_is_not_released(told, add, edit):
    history = told.until(Kind.VERIFIED)
    verified = told.after(Kind.VERIFIED).transfer(told.transfer_id).verified
    assert isinstance(verified, VerifiedTransaction)
    add(history, Kind.VERIFIED, edit(verified, judges=()))
    release = told.after(Kind.RELEASED).transfer(told.transfer_id).release
    with refuses("HISTORY_INVALID"):
        add(history, Kind.RELEASED, release)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (Kind.BROADCAST, "txid"),
        (Kind.SPEND_SEEN, "txid"),
        (Kind.CONFIRMED, "txid"),
        (Kind.CONFIRMED, "block"),
        (Kind.CONFIRMED, "height"),
        (Kind.UNCONFIRMED, "block"),
    ],
)
def test_what_the_chain_says_of_a_transfer_is_about_its_own_transaction_and_block(told, add, edit, kind, field):
    after = told.after(kind).transfer(told.transfer_id)
    before = told.until(kind).transfer(told.transfer_id)
    body = {
        Kind.BROADCAST: lambda: broadcast(after.release, told.now),
        Kind.SPEND_SEEN: lambda: after.seen,
        Kind.CONFIRMED: lambda: after.confirmation,
        Kind.UNCONFIRMED: lambda: Unconfirmation(
            transfer=before.id, txid=before.release.txid, block=before.seen.block, at=told.now
        ),
    }[kind]()
    add(told.until(kind), kind, body)
    with refuses("HISTORY_INVALID"):
        add(told.until(kind), kind, edit(body, **{field: 1 if field == "height" else bytes(32)}))


def test_an_unconfirmed_transfer_holds_its_coins_again(told):
    before, after = told.until(Kind.UNCONFIRMED), told.after(Kind.UNCONFIRMED)
    assert {each.spent_by for key, each in before.holdings.items() if key in told.draft.outpoints} != {None}
    assert {each.spent_by for key, each in after.holdings.items() if key in told.draft.outpoints} == {None}
    assert set(after.held()) == set(told.draft.outpoints)


# --- people -----------------------------------------------------------------------------------------------------------


def test_an_approval_is_entered_once(told):
    history = told.after(Kind.APPROVED)
    again = told.entry(Kind.APPROVED)
    with refuses("HISTORY_INVALID"):
        history.extend([moved(again, history.size)])


def test_an_approval_stands_until_it_expires_and_may_be_given_again_then(told, add, edit):
    history = told.after(Kind.AUTHORIZED)
    first = history.transfer(told.transfer_id).opinions[0]
    signer = told.cast.people[first.officer]

    def later(at: int) -> Record:
        return sign(edit(first, issued=at, expires=at + 100, nonce=at.to_bytes(16, "big")), signer)

    with refuses("HISTORY_INVALID"):
        add(told.after(Kind.AUTHORIZED), Kind.APPROVED, later(first.expires - 1), author=first.officer)
    add(history, Kind.APPROVED, later(first.expires), author=first.officer)
    transfer = history.transfer(told.transfer_id)
    assert [each.officer for each in transfer.opinions] == [OFFICERS[1], OFFICERS[0]]
    assert [Approval.from_bytes(each.body) for each in transfer.approvals] == transfer.opinions
    assert (transfer.status, transfer.authorization) == (Status.DECIDED, None)


def test_a_nonce_is_spent_once_even_when_the_first_word_has_expired(told, add, edit):
    history = told.after(Kind.APPROVED)
    first = history.transfer(told.transfer_id).opinions[0]
    replayed = sign(edit(first, issued=first.expires, expires=first.expires + 1), told.cast.people[first.officer])
    with refuses("HISTORY_INVALID"):
        add(history, Kind.APPROVED, replayed, author=first.officer)


def test_a_holding_is_found_by_its_outpoint(told):
    history = replay(told.entries, told.cast.digest)
    for outpoint, holding in history.holdings.items():
        assert isinstance(outpoint, OutPoint)
        assert holding.deposit.outpoint == outpoint
        assert holding.deposit.coin.amount == holding.seen.amount
