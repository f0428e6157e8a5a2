"""What harming every command by chance has found, each by itself."""

import os
import resource
from pathlib import Path

import pytest

from custody.backends import files
from custody.backends.files import remove_leftovers, write_new
from custody.backends.station import FileStationMemory
from custody.history.rows import NoRows
from custody.history.state import State
from custody.ports import StationState
from custody.testing.asserts import refuses
from custody.units import Network

PINNED = bytes(32)
TRUSTED = StationState(
    network=Network.REGTEST, origin="bank.example", charter=PINNED, charter_version=1, witnessed_at=0
)


@pytest.mark.parametrize("write", [write_new, lambda path, _: files.refuse_existing(path)])
def test_who_was_killed_between_a_file_s_two_names_leaves_one_after_the_next_try(tmp_path, write):
    whole, left = tmp_path / "signed.psbt", tmp_path / ".signed.psbt.0123456789abcdef.tmp"
    left.write_bytes(b"whole")
    os.link(left, whole)
    with refuses("FILE_EXISTS"):
        write(whole, b"again")
    assert [each.name for each in tmp_path.iterdir()] == ["signed.psbt"]
    assert whole.read_bytes() == b"whole"


def test_the_journal_of_a_store_that_was_being_made_goes_with_it(tmp_path):
    store = tmp_path / ".log.sqlite.0123456789abcdef.tmp"
    journal = store.with_name(f"{store.name}-journal")
    ours = tmp_path / "log.sqlite-journal"
    for each in (store, journal, ours):
        each.write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [ours]


def test_a_station_s_memory_that_cannot_be_made_is_told_of_by_name_and_leaves_nothing(tmp_path):
    memory, limit = FileStationMemory(tmp_path / "station.db"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with refuses("FILE_UNUSABLE") as caught:
            memory.save(TRUSTED, State.over(NoRows(), PINNED))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "station.db" in str(caught.error)
    assert list(tmp_path.iterdir()) == []


def test_a_station_s_lock_that_cannot_be_opened_is_told_of_by_name(office):
    (Path(office.path("station-Aigerim")) / "lock").mkdir(parents=True, mode=0o700)
    Path(office.path("station-Aigerim")).chmod(0o700)
    said = office.refused_at("Aigerim", "FILE_UNUSABLE", "trust", office.path("charter.json"), *office.words)
    assert "lock" in said
