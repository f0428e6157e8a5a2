"""A file that would carry too much of the log is not made; its reader takes in the log first."""

import pytest

from custody.examine import catchup, shown
from custody.examine.evidence import Stage
from custody.history import lists
from custody.testing.asserts import refuses
from custody.testing.scenario import Scenario
from custody.transfer.approval import Opinion


@pytest.fixture
def story():
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


def test_evidence_for_a_reader_too_far_behind_is_not_made(story, monkeypatch):
    transfer = story.drafted()[0].transfer_id
    size = story.history().size
    monkeypatch.setattr(shown, "MAX_LINES", size - 1)
    with refuses("LOG_LINES") as caught:
        story.custodian.evidence(transfer)
    assert (caught.error.lines, caught.error.since) == (size, 0)


def test_a_reader_that_has_caught_up_is_shown_the_rest_and_decides_by_it(story):
    lines = list(story.custodian.showing.log_file())
    desk = story.desks["Aigerim"]
    seen = desk.catch_up(lambda: iter(lines)).state.size
    assert seen == desk.seen().size
    transfer = story.drafted()[0].transfer_id
    evidence = story.custodian.evidence(transfer, seen)
    assert (evidence.since, len(evidence.lines)) == (seen, story.history().size - seen)
    signed = desk.approve(evidence, story.cast.people["Aigerim"], Opinion.APPROVE, story.chance.nonce())
    assert story.custodian.approve(signed).log_size == story.history().size - 1
    assert lists.seen_by(story.history(), "Aigerim") == story.history().size - 1
    with refuses("HISTORY_GAP") as caught:
        story.desks["Bolat"].examine(evidence, Stage.APPROVE)
    assert (caught.error.since, caught.error.seen) == (seen, 0)


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ("left out", "EVIDENCE_INVALID"),
        ("cut short", "EVIDENCE_INVALID"),
        ("repeated", "EVIDENCE_INVALID"),
        ("swapped", "PROOF_INVALID"),
        ("changed", "LOG_CORRUPT"),
    ],
)
def test_a_log_file_with_a_lie_in_it_is_not_taken_in(story, lie, code):
    lines = list(story.custodian.showing.log_file())
    match lie:
        case "left out":
            lines.pop(3)
        case "repeated":
            lines.insert(3, lines[3])
        case "swapped":
            lines[3], lines[4] = lines[4], lines[3]
        case "changed":
            lines[2] = lines[2].replace(b'height\\":', b'height\\":1')
        case _:
            lines.pop()
    station = story.stations[0]
    with refuses(code):
        station.catch_up(lambda: iter(lines))
    assert station.seen().size == 0


def test_a_file_that_changes_between_its_two_readings_is_found_out(story):
    lines = list(story.custodian.showing.log_file())
    last = max(at for at, line in enumerate(lines) if b'"salt":"' in line)
    other = [*lines[:last], lines[last].replace(b'"salt":"', b'"salt":"00'), *lines[last + 1 :]]
    readings = iter((lines, lines, other))
    with refuses("LOG_CORRUPT"):
        story.stations[0].catch_up(lambda: iter(next(readings)))
    assert story.stations[0].seen().size == 0


def test_a_station_that_was_stopped_goes_on_from_there(story, monkeypatch):
    monkeypatch.setattr(catchup, "BATCH", 4)
    lines = list(story.custodian.showing.log_file())
    station, reached = story.stations[0], []

    class StoppedError(Exception):
        pass

    def stop(size: int, _: int) -> None:
        reached.append(size)
        if len(reached) == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        station.catch_up(lambda: iter(lines), stop)
    assert station.seen().size == 8
    assert station.catch_up(lambda: iter(lines)).state.digest() == story.history().state.digest()
