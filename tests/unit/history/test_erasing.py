"""What may be withheld or erased: any of it, and no answer changes but its own."""

from hypothesis import given, settings
from hypothesis import strategies as st

from custody.history import kinds, tables
from custody.history.fold import fold
from custody.history.holdings import holding
from custody.history.on.annex import ERASABLE, Erased
from custody.history.questions import History
from custody.history.rows import Sealing
from custody.history.state import State
from custody.log import withhold
from custody.testing.asserts import refuses
from custody.testing.forge import sealed
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.transfer.observe import DepositSeen
from custody.transfer.request import ReasonAnnex

SEALED = [each for each in tables.ALL if each.sealing is Sealing.SEALED]
SPOKEN_OF = {*ERASABLE, kinds.DEPOSIT_REVERSED, kinds.COIN_MATURED}
"""All kinds whose bodies a copy may lack."""


def rows(state, tables_=tables.ALL):
    return {(each.name, key): row for each in tables_ for key, row in state.scan(each)}


def without(entries, indexes):
    return [withhold(each) if each.head.index in indexes else each for each in entries]


def of_kinds(told, which):
    return [each.head.index for each in told.entries if each.head.entry in which and each.body is not None]


def erased(told, which, at, **lies):
    head = told.entries[which].head
    said = {"index": which, "entry": head.entry, "body": head.body, "why": "it named somebody", "at": told.now}
    return sealed(at, kinds.ERASED, Erased(**said | lies))


def annexes(told, state):
    """Everything that an annex says, by its digest."""
    history = History(state)
    named = [each.head.body for each in told.entries if each.head.entry == kinds.ANNEXED]
    record = {}
    for key, row in state.scan(tables.ADDRESSES):
        del key
        record[history.read(AddressIssued, row.issued).annex] = AddressAnnex
    return {each: history.annex(record.get(each, ReasonAnnex), each) for each in named}


def test_any_set_of_bodies_may_be_withheld_and_the_sealed_rows_are_the_same(told):
    whole, could = told.states[-1], of_kinds(told, SPOKEN_OF)

    @settings(max_examples=60)
    @given(st.sets(st.sampled_from(could)))
    def check(gone):
        state = fold(State(told.cast.digest), without(told.entries, gone))
        assert rows(state, SEALED) == rows(whole, SEALED)
        assert (state.digest(), state.frontier) == (whole.digest(), whole.frontier)
        # Every annex that is there says what it said.
        own = {each.head.body for each in told.entries if each.head.index in gone}
        assert annexes(told, state) == {k: None if k in own else v for k, v in annexes(told, whole).items()}

    check()


def test_a_withheld_annex_changes_no_row_at_all(told):
    gone = of_kinds(told, {kinds.ANNEXED})
    state = fold(State(told.cast.digest), without(told.entries, gone))
    assert rows(state) == rows(told.states[-1])


def test_whoever_erased_and_whoever_never_had_it_have_the_same_rows(told):
    could = of_kinds(told, ERASABLE)

    @settings(max_examples=60)
    @given(st.lists(st.sampled_from(could), unique=True), st.integers(1, len(told.entries)))
    def check(gone, size):
        gone = [each for each in gone if each < size]
        then = [erased(told, index, size + number) for number, index in enumerate(gone)]
        had = fold(told.states[size], then)
        never = fold(State(told.cast.digest), [*without(told.entries[:size], gone), *then])
        assert rows(had) == rows(never)
        assert had.digest() == never.digest()
        # What stood before is as it was, but for what was erased and that it was.
        kept = [each for each in SEALED if each is not tables.ERASED]
        assert rows(had, kept) == rows(told.states[size], kept)

    check()


def test_an_erased_deposit_is_gone_and_the_others_stay(told):
    before = told.whole
    seen = told.entry(kinds.DEPOSIT_SEEN)
    outpoint = DepositSeen.from_bytes(seen.body).deposit.outpoint
    after = History(fold(before.state, [erased(told, seen.head.index, before.size)]))
    assert holding(before, outpoint) is not None
    assert holding(after, outpoint) is None
    others = [row for _, row in after.state.scan(tables.HOLDINGS)]
    assert others == [row for _, row in before.state.scan(tables.HOLDINGS) if row.outpoint != outpoint]


def test_only_what_nobody_needs_may_be_erased(told):
    for kind in set(kinds.ALL) - ERASABLE:
        index = told.index(kind)
        for lie in (kind, kinds.ANNEXED, kinds.DEPOSIT_SEEN):
            with refuses("HISTORY_INVALID"):
                fold(told.states[-1], [erased(told, index, told.whole.size, entry=lie)])


def test_what_was_erased_is_not_erased_again_and_nothing_is_before_it_came(told):
    index, size = told.index(kinds.ANNEXED), told.whole.size
    once = fold(told.states[-1], [erased(told, index, size)])
    with refuses("HISTORY_INVALID"):
        fold(once, [erased(told, index, size + 1)])
    for later in (size, size + 1):
        with refuses("HISTORY_INVALID"):
            fold(told.states[-1], [erased(told, index, size, index=later)])
    with refuses("HISTORY_INVALID"):
        fold(told.states[-1], [erased(told, told.index(kinds.ANNEXED, 1), size, index=index)])
