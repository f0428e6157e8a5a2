"""Whatever an office does, everybody knows the same of it: what the log says in the plainest reading of it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from custody.backends.station import FileStationMemory
from custody.custodian import EraseRefused
from custody.examine.shown import lines_of, read_lines
from custody.history import kinds, lists, tables
from custody.history.difference import encoded, first_difference
from custody.history.entry import Needed
from custody.history.fold import fold
from custody.history.maps import MapRows
from custody.history.on.annex import ERASABLE
from custody.history.questions import History
from custody.history.rows import Rows, number
from custody.history.state import State
from custody.log import LogEntry, withhold
from custody.rebuild import rebuild, verify_deep
from custody.station import Station
from custody.testing.asserts import refuses

from . import asked
from .naive import Answers, Naive
from .office import Office

SHORT, EVERY = 200, 40
LONG, SELDOM = 2_000, 100
RECENT = 200
"""Blocks that are looked through for what should have been seen."""
CAMPAIGN = [pytest.param(seed, LONG, SELDOM, marks=pytest.mark.campaign) for seed in range(100, 104)]
EVERYTHING = (*tables.ALL, tables.BODIES, tables.ROOTS)


@pytest.fixture
def office(tmp_path, seed) -> Iterator[Office]:
    opened = Office.opened(tmp_path, seed)
    yield opened
    print(f"seed {seed}: {opened.figures}")  # noqa: T201 - the figures of a campaign
    opened.story.close()


def refuse_other(one: Answers, other: Answers) -> None:
    """Question by question, and transfer by transfer: what differs is to be seen."""
    assert one.keys() == other.keys()
    for question, answer in one.items():
        if question == "transfers":
            for ours, theirs in zip(answer, other[question], strict=True):
                assert ours == theirs
        assert answer == other[question], question


def refuse_unseen(office: Office) -> None:
    """What was released and stands in a block is seen there, whatever was erased of the coins that it spends."""
    office.story.custodian.observe()
    chain = office.story.chain.view
    tip = chain.tip().height
    blocks = [chain.block(height) for height in range(max(tip - RECENT, 0), tip + 1)]
    mined = {each.txid for block in blocks for each in block.transactions}
    for each in lists.transfers(office.story.history()):
        if each.seen is not None:
            assert chain.block_hash(each.seen.height) == each.seen.block
        elif each.release is not None:
            assert each.release.txid not in mined


def differs(one: Rows, other: Rows, only: Sequence[object] = EVERYTHING) -> object:
    return first_difference(encoded(one), encoded(other), only)


@dataclass
class Kept:
    """A history that somebody holds on to, and what it said when they read it."""

    history: History
    said: Answers
    of_bodies: Answers

    @classmethod
    def of(cls, history: History) -> "Kept":
        return cls(history, asked.answers(history), asked.answers_of_bodies(history))


@dataclass
class Comparison:
    """Who is compared with whom, each with a plain reading of the log that grows as they do."""

    office: Office
    own: Naive = field(default_factory=Naive)
    theirs: dict[Station, Naive] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    copy: State = field(init=False)
    """Of somebody who copies the log as it grows: with bodies that were erased afterwards."""

    def __post_init__(self) -> None:
        self.copy = State(self.office.story.cast.digest)

    def now(self) -> None:
        refuse_unseen(self.office)
        entries, machines = self.office.entries(), self.office.machines()
        from_nothing = self._from_nothing(entries, {each.seen().size for each in machines} | {len(entries)})
        self._coordinators(entries, from_nothing[len(entries)])
        for each in machines:
            self._station(each, entries, from_nothing)
        for kept in random.Random(len(entries)).sample(self.kept, min(3, len(self.kept))):  # noqa: S311 - seeded
            self._older(kept)

    def _older(self, kept: Kept) -> None:
        """It still says what it said; when something was erased since, nothing."""
        if kept.history.size <= max(self.own.erased.values(), default=-1):
            with refuses("STATE_GONE"):
                asked.answers(kept.history)
            return
        refuse_other(asked.answers(kept.history), kept.said)
        refuse_other(asked.answers_of_bodies(kept.history), kept.of_bodies)

    def _from_nothing(self, entries: list[LogEntry], sizes: set[int]) -> dict[int, State]:
        state, found = State(self.office.story.cast.digest), {}
        for size in sorted(sizes):
            state = found[size] = fold(state, entries[state.size : size])
        return found

    def _coordinators(self, entries: list[LogEntry], from_nothing: State) -> None:
        self.own.read(entries[self.own.size :])
        self.copy = fold(self.copy, entries[self.copy.size :])
        assert differs(MapRows.of(self.copy), MapRows.of(from_nothing)) is None
        said, of_bodies = self.own.answers(), self.own.answers_of_bodies()
        for history in [each.history() for each in self.office.coordinators]:
            assert history.state.digest() == from_nothing.digest()
            assert differs(history.state.base, MapRows.of(from_nothing), tables.ALL) is None
            kept = Kept.of(history)
            refuse_other(kept.said, said)
            refuse_other(kept.of_bodies, of_bodies)
        self.kept.append(kept)
        refuse_other(asked.answers(History(from_nothing)), said)
        with self.office.story.store.read() as view:
            spent = {outpoint for each in self.own.transfers for outpoint in each.spends}
            holders = {outpoint: view.holder(outpoint) for outpoint in spent}
        assert {outpoint: holder for outpoint, holder in holders.items() if holder is not None} == self.own.held

    def _station(self, station: Station, entries: list[LogEntry], from_nothing: dict[int, State]) -> None:
        seen, naive = station.seen(), self.theirs.setdefault(station, Naive())
        assert seen.digest() == from_nothing[seen.size].digest()
        naive.read(entries[naive.size : seen.size])
        refuse_other(asked.answers(History(seen)), naive.answers())


# --- whatever is done -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "steps", "every"), [(1, SHORT, EVERY), *CAMPAIGN])
def test_store_fold_stations_and_the_plainest_reading_say_the_same(office, seed, steps, every):
    del seed
    comparison = Comparison(office)
    for step in range(1, steps + 1):
        office.step(may_steal=step > steps * 0.9)
        if step % every == 0:
            comparison.now()
    comparison.now()
    store, pinned = office.story.store, office.story.cast.digest
    assert verify_deep(store, pinned).erased == len(comparison.own.erased) > 0
    assert rebuild(store, pinned).replaced is None


# --- however it is read -----------------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module", params=[3, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(200, 204))]
)
def told(request, tmp_path_factory) -> Iterator[Office]:
    """An office after many steps, whose log is read in other ways; the chance in a test is the same every time."""
    opened = Office.opened(tmp_path_factory.mktemp("told"), request.param)
    steps = SHORT if request.param < 100 else LONG
    for step in range(steps):
        opened.step(may_steal=step > steps * 0.9)
    print(f"seed {request.param}: {opened.figures}")  # noqa: T201 - the figures of a campaign
    yield opened
    opened.story.close()


@pytest.fixture
def chance(request) -> random.Random:
    return random.Random(request.node.name)  # noqa: S311 - the same every time


def shown(office: Office) -> list[LogEntry]:
    """The log as stations get it."""
    return read_lines(lines_of(office.entries()), 0)


def visits(entries: Sequence[LogEntry], chance: random.Random, most: int) -> Iterator[Sequence[LogEntry]]:
    at = 0
    while at < len(entries):
        size = chance.randrange(1, most)
        yield entries[at : at + size]
        at += size


def may_be_withheld(entry: LogEntry) -> bool:
    return kinds.BY_NAME[entry.head.entry].needed is not Needed.BY_READERS


def refuse_unlike(one: State, other: State) -> None:
    """Two who know the same, whatever either has of what only a coordinator needs."""
    assert one.digest() == other.digest()
    refuse_other(asked.answers(History(one)), asked.answers(History(other)))


@pytest.mark.parametrize("most", [2, 10, 100])
def test_any_split_of_the_log_into_visits_gives_the_same_station(told, chance, most):
    pinned, entries = told.story.cast.digest, shown(told)
    at_once = fold(State(pinned), entries)
    state = State(pinned)
    for visit in visits(entries, chance, most):
        state = fold(State.over(MapRows.of(state), pinned), visit)
        assert state.frontier.root == at_once.get(tables.ROOTS, number(state.size)) or state.size == at_once.size
    refuse_unlike(state, at_once)
    assert differs(MapRows.of(state), MapRows.of(at_once)) is None


def test_any_split_into_visits_gives_the_same_file_and_the_state_of_the_visit_before_still_answers(
    told, chance, tmp_path
):
    pinned, entries = told.story.cast.digest, shown(told)
    memory, trusted = FileStationMemory(tmp_path / "station"), told.story.stations[0].state()
    before, plain = State(pinned), State(pinned)
    for visit in visits(entries, chance, 60):
        memory.save(trusted, fold(before, visit))
        assert differs(before.base, MapRows.of(plain)) is None
        before, plain = State.over(memory.rows(), pinned), fold(plain, visit)
        assert before.digest() == plain.digest()
    refuse_unlike(before, fold(State(pinned), entries))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 1])
def test_withholding_any_bodies_about_deposits_changes_no_answer_but_theirs(told, chance, share):
    entries = told.entries()
    left = [withhold(each) if may_be_withheld(each) and chance.random() < share else each for each in entries]
    naive, state = Naive(), State(told.story.cast.digest)
    naive.read(left)
    known = fold(state, left)
    refuse_unlike(known, fold(state, entries))
    refuse_other(asked.answers_of_bodies(History(known)), naive.answers_of_bodies())


def test_erasing_half_of_all_that_may_be_hinders_nobody_who_goes_on(told, chance):
    comparison = Comparison(told)
    comparison.now()
    could = [each.head.index for each in told.entries() if each.head.entry in ERASABLE and each.body is not None]
    refused = 0
    for index in could:
        if chance.random() < 0.5:
            try:
                told.coordinators[index % 2].erase(index, "half of it")
            except EraseRefused:
                refused += 1
    assert refused < len(could) / 10
    comparison.now()
    for _ in range(30):
        told.step()
    comparison.now()
    assert verify_deep(told.story.store, told.story.cast.digest).erased >= len(could) / 3
