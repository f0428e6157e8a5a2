"""A snapshot by commands: sealed, confirmed at officers' stations, written, begun with, and told for ever."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from custody.testing.cast import OFFICERS, WITNESS


@pytest.fixture
def sealed(office):
    """An office with a transfer in its past, whose state is sealed and cosigned, and officers who have seen that."""
    office.funded()
    office.approved(office.drafted())
    size = office.does("log", "seal")["size"]
    office.witnessed()
    log = office.new_path("log.jsonl")
    office.does("log", "export", "--for-stations", "-o", log)
    for officer in OFFICERS[:2]:
        assert office.at_station(officer, "catch-up", log)["began"] == {"with": "the first entry"}
    return office, size


def confirmed(office, officer, *options):
    out = office.new_path("confirmed.json")
    office.at_station(officer, "confirm", "--key", office.key(officer), *options, "--yes", "-o", out)
    return out


def written(office):
    out = office.new_path("snapshot.jsonl")
    said = office.does("log", "snapshot", *(confirmed(office, each) for each in OFFICERS[:2]), "-o", out)
    assert said["officers"] == list(OFFICERS[:2])
    return out


def test_a_new_station_begins_with_it_and_says_so_for_ever(sealed):
    office, size = sealed
    snapshot = written(office)
    office.trusted_by("astana")
    assert office.at_station("astana", "status")["began"] == {"with": "nothing"}
    before = office.types_at("astana", "status").output
    assert "nothing seen yet" in before
    said = office.at_station("astana", "catch-up", snapshot, "--yes")
    assert (said["began"]["size"], said["before"]) == (size, 0)
    for _ in range(2):
        status = office.types_at("astana", "status").output
        assert f"WITH A SNAPSHOT of {size} entries, which {', '.join(OFFICERS[:2])} confirmed" in status
    transfer = office.does("transfer", "list")["transfers"][0]["id"]
    evidence = office.ready_to_sign(transfer)
    shown = office.types_at("astana", "inspect", evidence).output
    assert f"the first {size} entries of the log: this station began with a snapshot" in shown
    assert Path(office.signed(evidence, "astana")).exists()
    assert office.at_station("astana", "status")["began"]["officers"] == list(OFFICERS[:2])


def test_it_is_asked_before_anything_is_kept(sealed):
    office, _ = sealed
    office.trusted_by("astana")
    ended = office.types_at("astana", "catch-up", written(office))
    assert ended.exit_code != 0
    assert "will not have folded those entries itself" in ended.output
    assert office.at_station("astana", "status")["size"] == 0


def test_too_few_confirm_nothing(sealed):
    office, _ = sealed
    one = confirmed(office, OFFICERS[0])
    message = office.refuses("SNAPSHOT_UNCONFIRMED", "log", "snapshot", one, one, "-o", office.new_path("s.jsonl"))
    assert f"1 of 2 officers confirmed the state after {sealed[1]} entries" in message
    assert OFFICERS[1] in message


def test_only_an_officer_confirms(sealed):
    office, _ = sealed
    for whose in ("coordinator", WITNESS, "Dana"):
        out = office.new_path("confirmed.json")
        arguments = ("confirm", "--key", office.key(whose), "--yes", "-o", out)
        assert whose in office.refused_at(OFFICERS[0], "CONFIRMATION_AUTHOR", *arguments) or whose != "Dana"
        assert not Path(out).exists()


def test_a_size_that_was_not_sealed_is_told_which_were(sealed):
    office, size = sealed
    arguments = ("confirm", "--key", office.key(OFFICERS[0]), "--yes", "-o", office.new_path("c.json"))
    assert str(size) in office.refused_at(OFFICERS[0], "STATE_NOT_SEALED", *arguments, "--size", size - 1)
    office.refused_at(OFFICERS[0], "STATE_NOT_SEALED", *arguments, "--size", 2**64)
    assert office.at_station(OFFICERS[0], *arguments, "--size", size)["size"] == size


def test_a_station_that_began_so_confirms_nothing(sealed):
    office, _ = sealed
    snapshot = written(office)
    office.trusted_by(OFFICERS[2])
    office.at_station(OFFICERS[2], "catch-up", snapshot, "--yes")
    arguments = ("confirm", "--key", office.key(OFFICERS[2]), "--yes", "-o", office.new_path("c.json"))
    office.refused_at(OFFICERS[2], "STATE_NOT_FOLDED", *arguments)


def test_a_state_from_before_an_erasure_is_confirmed_anew(sealed):
    office, _ = sealed
    given = [confirmed(office, each) for each in OFFICERS[:2]]
    (address,) = office.does("vault", "addresses", "reserve")["addresses"]
    office.does("log", "erase", address["annex_entry"], "--why", "asked for by the payer", "--yes")
    office.refuses("STATE_GONE", "log", "snapshot", *given, "-o", office.new_path("s.jsonl"))


def test_each_file_is_told_where_it_belongs(sealed):
    office, _ = sealed
    snapshot, one = written(office), confirmed(office, OFFICERS[0])
    assert "a snapshot" in office.refuses("FILE_KIND", "log", "snapshot", snapshot, "-o", office.new_path("s.jsonl"))
    assert "confirmation" in office.refused_at(OFFICERS[0], "FILE_KIND", "catch-up", one)
    shown = office.types_at(OFFICERS[0], "inspect", one).output
    assert "Confirmation of a sealed state" in shown
    assert OFFICERS[0] in shown


def test_lines_from_beyond_the_end_are_not_written(sealed):
    office, _ = sealed
    for since in (10**6, 2**64):
        for options in (("--for-stations",), ()):
            out = office.new_path("log.jsonl")
            office.refuses("NOT_IN_LOG", "log", "export", *options, "--since", since, "-o", out)
            assert not Path(out).exists()


def test_what_lies_on_the_stick_when_it_is_begun_with_is_what_was_asked_about(sealed, monkeypatch):
    office, _ = sealed
    office.trusted_by("astana")
    one, other = Path(written(office)), Path(office.new_path("other.jsonl"))
    given = [confirmed(office, each) for each in OFFICERS[1:2]] + [confirmed(office, OFFICERS[0])]
    given.append(confirmed_by_the_third(office))
    office.does("log", "snapshot", *given, "-o", other)
    monkeypatch.setattr("custody.apps.station_commands.catchup.confirm", lambda *_, **__: other.replace(one))
    office.refused_at("astana", "SNAPSHOT_INVALID", "catch-up", one)
    assert office.at_station("astana", "status")["began"] == {"with": "nothing"}


def confirmed_by_the_third(office):
    log = min(office.folder.glob("*log.jsonl"))
    office.trusted_by(OFFICERS[2])
    office.at_station(OFFICERS[2], "catch-up", log)
    return confirmed(office, OFFICERS[2])


def test_a_row_that_was_changed_at_the_station_is_found(sealed):
    office, _ = sealed
    whose = OFFICERS[0]
    assert office.at_station(whose, "status", "--deep")["is_deep"]
    with closing(sqlite3.connect(Path(office.path(f"station-{whose}")) / "station.db")) as connection:
        changed = connection.execute(
            "UPDATE rows SET value = CAST('[0]' AS BLOB) WHERE name = 'committed_all'"
        ).rowcount
        changed += connection.execute("UPDATE rows SET value = CAST('[9]' AS BLOB) WHERE name = 'next_index'").rowcount
        connection.commit()
    assert changed
    office.refused_at(whose, "STATE_CORRUPT", "status", "--deep")
