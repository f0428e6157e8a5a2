"""What every reader knows: the same digest by any visits, with bodies that may be withheld and without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.examine.shown import lines_of, read_lines
from custody.history import kinds, lists, tables
from custody.history.difference import encoded, first_difference
from custody.history.entry import Needed
from custody.history.fold import fold
from custody.history.holdings import holdings
from custody.history.maps import MapRows
from custody.history.on.charter import StateSealed
from custody.history.questions import History
from custody.history.rows import Named, Sealing, number
from custody.history.state import State
from custody.log import withhold
from custody.testing.asserts import refuses
from custody.testing.forge import sealed

SEALED = tuple(each for each in tables.ALL if each.sealing is Sealing.SEALED)
every_kind = pytest.mark.parametrize("kind", kinds.ALL, ids=str)


def erasable(told) -> list[int]:
    """Where bodies stand that this copy may lack."""
    return [each.head.index for each in told.entries if kinds.BY_NAME[each.head.entry].needed is not Needed.BY_READERS]


# --- visits -----------------------------------------------------------------------------------------------------------


def test_every_split_of_a_log_into_visits_gives_the_same_state(told):
    lines = lines_of(told.entries)
    whole = fold(State(told.cast.digest), read_lines(lines, 0))

    @given(st.lists(st.integers(0, len(lines)), max_size=5))
    def check(cuts):
        state = State(told.cast.digest)
        for end in sorted({*cuts, len(lines)}):
            # Between two visits a reader keeps rows and nothing else.
            state = State.over(MapRows.of(state), told.cast.digest)
            state = fold(state, read_lines(lines[state.size : end], state.size))
        assert state.digest() == whole.digest() == told.states[-1].digest()
        assert first_difference(encoded(MapRows.of(state)), encoded(MapRows.of(whole)), tables.ALL) is None

    check()


def test_a_reader_without_the_coordinator_s_bodies_has_the_same_digest_after_every_entry(told):
    state = State(told.cast.digest)
    for line, own in zip(lines_of(told.entries), told.states[1:], strict=True):
        state = fold(state, read_lines([line], state.size))
        assert state.digest() == own.digest()


# --- bodies that are not there ----------------------------------------------------------------------------------------


def test_bodies_that_are_withheld_or_erased_change_no_answer_but_what_they_say(told):
    places = erasable(told)
    assert len(places) > 5
    full, vault = told.whole, told.cast.vault.id

    @given(st.sets(st.sampled_from(places)))
    def check(erased):
        entries = [withhold(each) if each.head.index in erased else each for each in told.entries]
        history = History(fold(State(told.cast.digest), entries))
        assert history.frontier == full.frontier
        assert history.state.digest() == full.state.digest()
        assert first_difference(encoded(MapRows.of(full.state)), encoded(MapRows.of(history.state)), SEALED) is None
        assert list(lists.transfers(history)) == list(lists.transfers(full))
        assert (lists.live(history), history.committed(), history.frozen_by) == (
            lists.live(full),
            full.committed(),
            full.frozen_by,
        )
        # What is still said of deposits is a part of what was said.
        kept = {each.outpoint for each in holdings(history, vault)}
        seen = {told.entries[at].head.subjects[0] for at in erased if told.entries[at].head.entry == "deposit_seen"}
        if not erased:
            assert kept == {each.outpoint for each in holdings(full, vault)}
        assert {each for each in kept if each.txid not in seen} <= {
            outpoint for each in told.states for outpoint in (row.outpoint for _, row in each.scan(tables.HOLDINGS))
        }

    check()


@pytest.mark.parametrize("kind", [kinds.DEPOSIT_REVERSED, kinds.COIN_MATURED])
def test_what_follows_a_deposit_that_this_copy_does_not_know_still_names_one(told, add, edit, kind):
    body = told.body(kind)
    seen = next(
        each for each in told.entries if each.head.entry == "deposit_seen" and each.head.subjects == (body.txid,)
    )
    before = told.states[seen.head.index]
    history = History(fold(before, [withhold(seen)]))
    assert add(history, kind, body).size == history.size + 1
    with refuses("HISTORY_INVALID"):
        add(history, kind, edit(body, txid=bytes(32)))


# --- heads that lie ---------------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("how", ["none", "another", "one more", "one less"])
def test_an_entry_filed_under_other_subjects_is_refused(told, add, kind, how):
    true = told.entry(kind).head.subjects
    false = {"none": (), "another": (b"\x07" * 32, *true[1:]), "one more": (*true, bytes(32)), "one less": true[:-1]}[
        how
    ]
    assert add(told.until(kind), kind, told.body(kind)).size
    if false == true:
        return
    with refuses("HISTORY_INVALID") as caught:
        add(told.until(kind), kind, told.body(kind), subjects=false)
    assert (caught.error.entry, caught.error.index) == (kind, told.until(kind).size)


@pytest.mark.parametrize("subjects", [(), (bytes(32), bytes(32))], ids=["none", "two"])
def test_a_deposit_whose_body_is_withheld_names_one_transaction(told, subjects):
    entry = sealed(told.index("deposit_seen"), kinds.DEPOSIT_SEEN, told.body(kinds.DEPOSIT_SEEN), subjects=subjects)
    with refuses("HISTORY_INVALID"):
        fold(told.until("deposit_seen").state, [withhold(entry)])


# --- seals ------------------------------------------------------------------------------------------------------------


@every_kind
def test_a_true_seal_may_stand_after_every_entry(told, add, kind):
    history = told.after(kind)
    seal = StateSealed(size=history.size, state=history.state.digest())
    after = add(history, kinds.STATE_SEALED, seal).state
    assert after.get(tables.SEALS, number(seal.size)) == Named(seal.state)


@every_kind
def test_a_seal_of_another_state_is_broken(told, add, kind):
    history, before = told.after(kind), told.until(kind)
    lies = [bytes(32)]
    if history.state.digest() != before.state.digest():
        lies.append(before.state.digest())
    for lie in lies:
        with refuses("SEAL_BROKEN") as caught:
            add(history, kinds.STATE_SEALED, StateSealed(size=history.size, state=lie))
        assert (caught.error.size, caught.error.sealed) == (history.size, lie.hex())
        assert caught.error.own == history.state.digest().hex()


@pytest.mark.parametrize("off", [-1, 1])
def test_a_seal_speaks_of_the_entries_before_it_and_no_others(told, add, off):
    history = told.until(kinds.REQUESTED)
    with refuses("HISTORY_INVALID"):
        add(history, kinds.STATE_SEALED, StateSealed(size=history.size + off, state=history.state.digest()))


def test_a_row_that_somebody_changed_breaks_the_next_seal(told, add):
    history = told.until(kinds.UNEXPLAINED_SPEND)
    seal = StateSealed(size=history.size, state=history.state.digest())
    altered = History(history.state.put(tables.COMMITTED_ALL, tables.ONLY, None))
    with refuses("SEAL_BROKEN"):
        add(altered, kinds.STATE_SEALED, seal)
