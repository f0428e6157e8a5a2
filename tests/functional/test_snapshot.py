"""A station that begins with a snapshot: it knows what one knows that has folded everything, and says how it began."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from custody.backends.station import FileStationMemory
from custody.custodian import Custodian
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

    def folded(self, lines=None) -> Station:
        station, given = self.fresh(), lines or list(self.custodian.showing.log_file())
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


def test_one_that_is_behind_may_begin_again(office):
    station = office.folded(office.early)
    assert 0 < station.seen().size < office.sealed.size
    station.begin(lambda: iter(office.lines))
    assert station.seen().digest() == office.begun().seen().digest()
    assert station.state().start.size == office.sealed.size


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


def test_sealing_again_at_once_enters_nothing():
    with closing(Scenario.begin()) as scenario:
        first, size = scenario.custodian.seal(), scenario.history().size
        assert scenario.custodian.seal() == first
        assert scenario.history().size == size


def test_signatures_are_joined_in_any_order_and_once(office):
    charter = office.scenario.cast.charter
    one, two = office.confirmations
    assert joined([one, two], charter) == joined([two, one, two], charter)
