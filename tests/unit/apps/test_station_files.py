"""What a file that somebody gives claims to be, and what the hook of the program refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.apps import files
from custody.apps.files import FileKind, alone_in, kind_of, signed_in
from custody.apps.station import StationOffline, _refuse, program
from custody.apps.terminal import shown
from custody.backends.keyfile import KeyFile, create_document_key
from custody.charter.document import Charter
from custody.record import FileRecord
from custody.testing.asserts import refuses
from custody.testing.cast import PASSPHRASE, make_cast
from custody.transfer.annex import AnnexedPaper
from custody.transfer.approval import Approval
from custody.units import Network


@pytest.fixture(scope="module")
def key_file():
    return create_document_key(PASSPHRASE, name="Aigerim", network=Network.REGTEST, seed=bytes(32), cost=2)


@given(st.binary(max_size=300))
def test_every_file_is_some_kind(data):
    assert kind_of(data) in FileKind


def envelope_of(kind: str) -> bytes:
    return b'{"payload":"e30=","payloadType":"application/vnd.custody.%b.v1+json","signatures":[]}' % kind.encode()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"psbt\xff\x01", FileKind.PSBT),
        (b"cHNidP8BAHEC", FileKind.PSBT),
        (b"log.example\n3\nAAAA\n\n\xe2\x80\x94 log.example AAAA\n", FileKind.CHECKPOINT),
        (b'{"_type":"custody/evidence-file/v1","body":{', FileKind.EVIDENCE),
        (b'{"_type":"custody/witness-request/v1",', FileKind.WITNESS_REQUEST),
        (b'{"_type":"custody/witness-request/v2",', FileKind.UNKNOWN),
        (b'{"_type":"custody/something-else/v1",', FileKind.UNKNOWN),
        (envelope_of("charter"), FileKind.CHARTER),
        (envelope_of("approval"), FileKind.APPROVAL),
        (b'{"_type":"custody/withdrawal-paper/v1",', FileKind.WITHDRAWAL),
        # A request and a withdrawal travel with their reasons.
        (envelope_of("request"), FileKind.DOCUMENT),
        (envelope_of("charter-2"), FileKind.DOCUMENT),
        (b'{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[]}', FileKind.DOCUMENT),
        # What else stands in a file says nothing of what it is.
        (b'{"body":{"draft":{', FileKind.UNKNOWN),
        (b'{"checkpoint":"', FileKind.UNKNOWN),
        (b'{"line":"{\\"payloadType\\":\\"application/vnd.custody.charter.v1+json\\"}"}', FileKind.UNKNOWN),
        (b"", FileKind.EMPTY),
        (b"#!/bin/sh", FileKind.UNKNOWN),
        (b'{"other":1}', FileKind.UNKNOWN),
    ],
)
def test_a_file_is_known_by_what_it_says_it_is(data, kind):
    assert kind_of(data) is kind


def test_every_record_that_travels_alone_is_a_kind_of_file():
    records = [*FileRecord.__subclasses__(), *AnnexedPaper.__subclasses__()]
    ours = (each for each in records if each.__module__.startswith("custody.") and each is not AnnexedPaper)
    kinds = {each.kind for each in ours}
    assert {kind_of(b'{"_type":"custody/%b/v1"' % each.encode()) for each in kinds} == set(files._ALONE.values())
    assert len(kinds) == len(files._ALONE)


def test_every_kind_but_four_has_a_command_that_takes_it():
    nowhere = {each for each in FileKind if not each.taken_by}
    assert nowhere == {FileKind.WITHDRAWAL, FileKind.DOCUMENT, FileKind.EMPTY, FileKind.UNKNOWN}


def test_a_key_file_given_for_a_charter_is_named_and_where_it_goes_said(key_file):
    with refuses("FILE_KIND") as caught:
        signed_in(key_file.to_bytes(), Charter, "aigerim\x1b[2J.json")
    assert "is a key file; this command needs a charter" in str(caught.error)
    assert "Give it to the --key of a command that signs" in caught.error.advice()
    assert "\x1b" not in str(caught.error)


def test_a_signed_document_of_another_kind_is_named():
    with refuses("FILE_KIND") as caught:
        signed_in(make_cast().envelope.to_bytes(), Approval, "-")
    assert str(caught.error) == "stdin is a charter; this command needs an officer's signed yes or no"
    assert "custody-station trust" in caught.error.advice()


def test_what_an_envelope_carries_is_what_it_says_and_not_what_a_search_finds():
    inner = envelope_of("charter").replace(b"e30=", b"").decode()
    with refuses("RECORD_INVALID"):
        signed_in(b'{"first":' + inner.encode() + b"}", Charter, "nested.json")


def test_a_record_that_an_editor_indented_is_still_known_and_refused(key_file):
    envelope = make_cast().envelope
    with refuses("RECORD_NOT_CANONICAL"):
        signed_in(b" " + envelope.to_bytes(), Charter, "charter.json")
    with refuses("RECORD_NOT_CANONICAL"):
        alone_in(b" " + key_file.to_bytes(), KeyFile, "aigerim.json")


def test_a_record_of_the_right_kind_is_read(key_file):
    assert alone_in(key_file.to_bytes(), KeyFile, "aigerim.json") == key_file


def test_a_path_is_shown_escaped():
    assert shown("a\u202eb\n") == "a\\u202eb\\n"


@pytest.mark.parametrize(
    "event",
    [
        "socket.__new__",
        "socket.connect",
        "socket.bind",
        "socket.getaddrinfo",
        "socket.sendto",
        "subprocess.Popen",
        "os.system",
        "os.fork",
        "os.exec",
        "os.posix_spawn",
        "sqlite3.connect",
        "urllib.Request",
    ],
)
def test_what_reaches_outside_is_refused(event):
    with pytest.raises(StationOffline) as caught:
        _refuse(event, ())
    assert caught.value.code == "STATION_OFFLINE"
    assert event in str(caught.value)
    assert caught.value.advice()


@pytest.mark.parametrize("name", [":memory:", "", "/etc/other.db", "file:///x/other.db?mode=rw", "station.db-wal"])
def test_any_other_database_than_the_station_s_own_is_refused(name):
    with pytest.raises(StationOffline):
        _refuse("sqlite3.connect", (name,))


@pytest.mark.parametrize("name", ["file:///home/a/station.db?mode=rw", "/home/a/.station.db.new"])
def test_the_station_s_own_file_is_opened(name):
    _refuse("sqlite3.connect", (name,))


@pytest.mark.parametrize("event", ["open", "import", "os.listdir", "compile", "object.__getattr__", "os.mkdir"])
def test_what_stays_on_the_machine_is_not(event):
    _refuse(event, ())


def test_every_command_of_the_program_can_be_loaded_and_says_what_it_does():
    for name, entry in program.table.items():
        command = program.get_command(None, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(200).split()[0] == entry.help.split()[0]
