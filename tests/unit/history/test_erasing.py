"""What may be withheld or erased: any of it, and no answer changes but its own."""

from hypothesis import given, settings
from hypothesis import strategies as st

from custody.bitcoin.transaction import OutPoint
from custody.history import kinds, tables
from custody.history.entry import COORDINATOR
from custody.history.fold import fold
from custody.history.holdings import holding
from custody.history.on.annex import ERASABLE, Erased
from custody.history.questions import History
from custody.history.rows import Sealing
from custody.history.state import State
from custody.log import seal, withhold
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


class Coordinator:
    """Writes what it likes of two transactions, each with two outputs to us, and of words; and erases any of it."""

    def __init__(self, told, choose):
        self.told, self.choose = told, choose
        self.state, self.log, self.erased = told.until(kinds.REQUESTED).state, [], set()

    def step(self):
        self.choose(
            st.sampled_from([self.see, self.see, self.reverse, self.mature, self.steal, self.annex, self.erase])
        )()

    def enter(self, entry):
        self.state = fold(self.state, [entry])
        self.log.append(entry)

    def write(self, kind, **said):
        self.enter(sealed(self.state.size, kind, kind.record(**said | {"at": self.told.now})))

    def standing(self):
        return [row for _, row in self.state.scan(tables.HOLDINGS)]

    def see(self):
        first = self.told.body(kinds.DEPOSIT_SEEN)
        txid, block = (bytes([self.choose(st.integers(1, 2))]) * 32 for _ in range(2))
        place = {"vout": self.choose(st.integers(0, 1)), "branch": self.choose(st.integers(0, 1))}
        said = dict(first) | place | {"txid": txid, "block": block, "index": self.choose(st.integers(0, 3))}
        if holding(History(self.state), OutPoint(txid, place["vout"])) is None:
            self.write(kinds.DEPOSIT_SEEN, **said)

    def reverse(self):
        for row in self.one_of(self.standing()):
            self.write(kinds.DEPOSIT_REVERSED, txid=row.txid, vout=row.vout, block=row.block)

    def mature(self):
        for row in self.one_of([each for each in self.standing() if not each.is_mature]):
            self.write(kinds.COIN_MATURED, txid=row.txid, vout=row.vout, block=row.block)

    def steal(self):
        for row in self.one_of(self.standing()):
            spent = {"txid": row.txid, "vout": row.vout, "header": bytes(80), "height": row.height}
            self.write(kinds.UNEXPLAINED_SPEND, spender=bytes(32), **spent)

    def annex(self):
        size = self.state.size
        self.enter(seal(size, kinds.ANNEXED, COORDINATOR, (), ReasonAnnex(reason="why").to_bytes(), bytes([size]) * 32))

    def erase(self):
        could = [each.head for each in self.log if each.head.entry in ERASABLE and each.head.index not in self.erased]
        for head in self.one_of(could):
            self.write(kinds.ERASED, index=head.index, entry=head.entry, body=head.body, why="it named somebody")
            self.erased.add(head.index)

    def one_of(self, found):
        return [self.choose(st.sampled_from(found))] if found else []


def test_whatever_is_erased_at_whatever_time_a_log_without_it_makes_the_same_rows(told):
    @settings(max_examples=60)
    @given(st.data())
    def check(data):
        coordinator = Coordinator(told, data.draw)
        for _ in range(40):
            coordinator.step()
        before, erased = told.until(kinds.REQUESTED).state, coordinator.erased
        assert rows(fold(before, without(coordinator.log, erased))) == rows(coordinator.state)
        # Nor does it matter when a copy was made: some bodies were there then and are not now.
        gone = data.draw(st.sets(st.sampled_from(sorted(erased)))) if erased else set()
        assert rows(fold(before, without(coordinator.log, gone))) == rows(coordinator.state)

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
