"""A station that begins with a snapshot: it knows what one knows that has folded everything, and says how it began."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from custody.backends.station import FileStationMemory
from custody.custodian import Custodian
from custody.envelope import sign
from custody.examine.confirmed import joined
from custody.examine.evidence import Stage
from custody.history import tables
from custody.history.difference import encoded, first_difference
from custody.history.rows import Sealing
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS
from custody.testing.scenario import RememberedState, Scenario
from custody.words import show_words

READ = tuple(each for each in (*tables.ALL, tables.BODIES, tables.ROOTS) if each.sealing is not Sealing.LOCAL)


class Office:
    """A scenario with a past, a sealed state, and officers whose stations have folded it."""

    def __init__(self) -> None:
        self.scenario = Scenario.funded()
        self.past = self.scenario.confirmed()
        self.early = list(self.custodian.showing.log_file())
        self.pending = self.scenario.authorized()
        self.sealed = self.scenario.custodian.seal()
        self.whole = list(self.custodian.showing.log_file())
        for officer in OFFICERS[:2]:
            self.scenario.desks[officer].catch_up(lambda: iter(self.whole))
        self.confirmations = [self.confirmed_by(officer) for officer in OFFICERS[:2]]
        self.lines = list(self.custodian.showing.snapshot(self.confirmations))

    @property
    def custodian(self) -> Custodian:
        return self.scenario.custodian

    def confirmed_by(self, officer: str):
        return self.scenario.desks[officer].confirm(self.scenario.cast.people[officer])

    def fresh(self, memory=None) -> Station:
        station = Station(memory or RememberedState(), self.scenario.chain)
        station.trust(self.scenario.cast.envelope, show_words(self.scenario.cast.digest))
        return station

    def begun(self, memory=None) -> Station:
        station = self.fresh(memory)
        station.begin(lambda: iter(self.lines))
        return station

    def folded(self, lines=None, memory=None) -> Station:
        station, given = self.fresh(memory), lines or list(self.custodian.showing.log_file())
        station.catch_up(lambda: iter(given))
        return station


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    made = Office()
    yield made
    made.scenario.close()


@pytest.fixture(params=["in memory", "in a file"])
def memory(request, tmp_path):
    return RememberedState() if request.param == "in memory" else FileStationMemory(tmp_path / "station.db")


def test_it_has_every_row_of_a_station_that_folded_everything(office, memory):
    begun, folded = office.begun(memory).seen(), office.folded(office.whole).seen()
    assert begun.frontier == folded.frontier
    assert begun.digest() == folded.digest()
    assert first_difference(encoded(folded.base), encoded(begun.base), READ) is None
    assert any(begun.base.scan(tables.NONCES, b"", None))


def test_it_goes_on_as_every_other_station(office, memory):
    station, scenario = office.begun(memory), office.scenario
    evidence = office.custodian.evidence(office.pending, station.seen().size)
    answer = station.sign(evidence, scenario.cast.signers[2])
    assert [each.cosigner for each in answer.signed] == [scenario.cast.signers[2].fingerprint]
    assert station.seen().size == evidence_size(evidence)


def evidence_size(evidence) -> int:
    return evidence.since + len(evidence.lines)


def test_it_says_for_ever_how_it_began(office, memory):
    station = office.begun(memory)
    start = station.state().start
    assert (start.size, start.state, start.officers) == (office.sealed.size, office.sealed.state, OFFICERS[:2])
    found = station.examine(office.custodian.evidence(office.pending), Stage.SIGN)
    assert f"the first {start.size} entries of the log" in found.not_checked[0]
    assert all(officer in found.not_checked[0] for officer in OFFICERS[:2])
    paper = office.scenario.paper(0)
    assert station.examine_statement(paper).not_checked[0] == found.not_checked[0]
    # What came later changes nothing about it.
    assert station.state().start == start


def test_whoever_took_in_the_whole_log_says_so(office):
    assert office.folded().state().start is None


def test_it_confirms_no_state_itself(office):
    station = office.begun()
    with refuses("STATE_NOT_FOLDED"):
        station.confirm(office.scenario.cast.people[OFFICERS[0]])
    with refuses("STATE_NOT_FOLDED"):
        station.confirmation()


def test_one_that_is_behind_may_begin_again(office, memory):
    station = office.folded(office.early, memory)
    assert 0 < station.seen().size < office.sealed.size
    told = []
    station.begin(lambda: iter(office.lines), lambda over, whole: told.append((over, whole)))
    for series in {whole for _, whole in told}:
        reached = [over for over, whole in told if whole == series]
        assert (reached, reached[-1]) == (sorted(reached), series)
    begun, folded = station.seen(), office.folded(office.whole).seen()
    assert begun.digest() == folded.digest()
    assert first_difference(encoded(folded.base), encoded(begun.base), READ) is None
    assert station.state().start.size == office.sealed.size


def test_a_file_that_breaks_off_leaves_what_was_folded_before(office, memory):
    station = office.folded(office.early, memory)
    before = (station.state(), station.seen().frontier, station.seen().digest())
    opened = []

    def lines():
        # Judged as a whole, and gone while it is written down.
        opened.append(None)
        return iter(office.lines if len(opened) < 5 else office.lines[:-5])

    with refuses("LOG_CORRUPT"):
        station.begin(lines)
    assert (station.state(), station.seen().frontier, station.seen().digest()) == before
    assert station.catch_up(lambda: iter(office.whole)).state.size > before[1].size
    assert station.state().start is None


def test_one_that_was_stopped_behind_the_snapshot_has_begun_with_it(office, memory):
    station = office.fresh(memory)
    opened = []

    def lines():
        opened.append(None)
        if len(opened) > 5:
            raise KeyboardInterrupt
        return iter(office.lines)

    with pytest.raises(KeyboardInterrupt):
        station.begin(lines)
    assert station.seen().size == office.sealed.size
    assert station.state().start.officers == OFFICERS[:2]
    with refuses("SNAPSHOT_BEHIND"):
        station.begin(lambda: iter(office.lines))
    station.catch_up(lambda: iter(office.whole))
    assert station.state().start.size == office.sealed.size
    with refuses("STATE_NOT_FOLDED"):
        station.confirm(office.scenario.cast.people[OFFICERS[0]])


def test_one_that_was_shown_more_meanwhile_does_not_forget_it(office, tmp_path):
    memory = FileStationMemory(tmp_path / "station.db")
    station, other = office.folded(office.early, memory), Station(memory, office.scenario.chain)
    opened = []

    def lines():
        opened.append(None)
        if len(opened) == 3:
            other.catch_up(lambda: iter(office.whole))
        return iter(office.lines)

    with refuses("CHANGED_MEANWHILE"):
        station.begin(lines)
    assert station.state().start is None
    assert station.seen().digest() == office.folded(office.whole).seen().digest()


def test_one_that_knows_more_by_itself_keeps_it(office):
    station = office.folded()
    with refuses("SNAPSHOT_BEHIND"):
        station.begin(lambda: iter(office.lines))
    assert station.state().start is None


def test_an_officer_confirms_what_the_log_has_sealed_last_or_at_a_size(office):
    desk = office.scenario.desks[OFFICERS[0]]
    assert desk.confirmation() == desk.confirmation(office.sealed.size)
    with refuses("STATE_NOT_SEALED") as caught:
        desk.confirmation(office.sealed.size - 1)
    assert str(office.sealed.size) in caught.error.sealed


def test_a_log_that_sealed_nothing_is_not_confirmed(office):
    with refuses("STATE_NOT_SEALED"):
        office.fresh().confirmation()


@pytest.mark.parametrize("what", ["root", "state"])
def test_no_snapshot_is_written_of_a_state_that_is_another_log_s(office, what):
    lie = office.scenario.desks[OFFICERS[0]].confirmation().model_copy(update={what: bytes(32)})
    signed = sign(lie, *(office.scenario.cast.people[each] for each in OFFICERS[:2]))
    with refuses("HISTORY_FORKED"):
        office.custodian.showing.snapshot([signed])


def test_no_log_is_written_for_somebody_who_has_seen_more_than_there_is(office):
    size = office.scenario.history().size
    for since in (size + 1, 2**64):
        with refuses("NOT_IN_LOG"):
            office.custodian.showing.log_file(since)


def test_sealing_again_at_once_enters_nothing():
    with closing(Scenario.begin()) as scenario:
        first, size = scenario.custodian.seal(), scenario.history().size
        assert scenario.custodian.seal() == first
        assert scenario.history().size == size


def test_signatures_are_joined_in_any_order_and_once(office):
    charter = office.scenario.cast.charter
    one, two = office.confirmations
    assert joined([one, two], charter) == joined([two, one, two], charter)


def test_a_settled_transfer_is_examined_and_not_signed_again(office):
    station, scenario = office.folded(), office.scenario
    evidence = office.custodian.evidence(office.past)
    assert station.examine(evidence, Stage.SIGN).transfer_id == office.past
    with refuses("TRANSFER_OVER"):
        station.sign(evidence, scenario.cast.signers[2])
