"""What a file that reaches a station claims to be, and what the hook of the program refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.apps.files import Paper, kind_of, read_as
from custody.apps.station import StationOffline, _refuse, program
from custody.apps.terminal import shown
from custody.backends.keyfile import KeyFile, create_document_key
from custody.envelope import Envelope
from custody.testing.asserts import refuses
from custody.testing.cast import PASSPHRASE, make_cast
from custody.units import Network


@pytest.fixture(scope="module")
def key_file():
    return create_document_key(PASSPHRASE, name="Aigerim", network=Network.REGTEST, seed=bytes(32), cost=2)


@given(st.binary(max_size=300))
def test_every_file_is_some_kind(data):
    assert kind_of(data) in Paper


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"psbt\xff\x01", Paper.PSBT),
        (b"cHNidP8BAHEC", Paper.PSBT),
        (b"log.example\n3\nAAAA\n\n\xe2\x80\x94 log.example AAAA\n", Paper.CHECKPOINT),
        (b'{"body":{', Paper.EVIDENCE),
        (b'{"checkpoint":"', Paper.WITNESS_REQUEST),
        (b"", Paper.UNKNOWN),
        (b"#!/bin/sh", Paper.UNKNOWN),
        (b'{"other":1}', Paper.UNKNOWN),
    ],
)
def test_a_file_is_known_by_how_it_begins(data, kind):
    assert kind_of(data) is kind


def test_a_key_file_given_for_a_charter_is_named(key_file):
    with refuses("FILE_KIND") as caught:
        read_as(Envelope, key_file.to_bytes(), "aigerim\x1b[2J.json")
    assert "a key file" in str(caught.error)
    assert "\x1b" not in str(caught.error)


def test_a_record_that_an_editor_indented_is_still_known_and_refused():
    envelope = make_cast().envelope
    with refuses("RECORD_NOT_CANONICAL"):
        read_as(Envelope, b" " + envelope.to_bytes(), "charter.json")


def test_a_record_of_the_right_kind_is_read(key_file):
    assert read_as(KeyFile, key_file.to_bytes(), "aigerim.json") == key_file


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


@pytest.mark.parametrize("event", ["open", "import", "os.listdir", "compile", "object.__getattr__", "os.mkdir"])
def test_what_stays_on_the_machine_is_not(event):
    _refuse(event, ())


def test_every_command_of_the_program_can_be_loaded_and_says_what_it_does():
    for name, entry in program.table.items():
        command = program.get_command(None, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(200).split()[0] == entry.help.split()[0]
