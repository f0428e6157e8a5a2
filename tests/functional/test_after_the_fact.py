"""What a command prints or notes after it has acted, and cannot: that is no failure of the step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from custody.apps import config
from custody.apps.terminal import ReaderLeft
from custody.ports import FileUnusable

REASON = "\u0441\u0447\u0451\u0442 17"


def started(office, arguments, *, out=subprocess.PIPE, talk=subprocess.PIPE, program="cli", **environment):
    """A command in a process of its own, with streams as they are given."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": office.path(""),
        "CUSTODY_DIR": office.path("coordinator"),
        "CUSTODY_PASSPHRASE_FILE": office.path("passphrase"),
    }
    line = [sys.executable, "-c", f"from custody.apps.{program} import main; main()", *map(str, arguments)]
    return subprocess.run(line, env=variables | environment, stdout=out, stderr=talk, check=False)


def asks(office, reason=REASON):
    return ["transfer", "request", "--pay", "Supplier=0.25 BTC", "--reason", reason, "--key", office.key("Dana")]


def requests(office) -> int:
    return len(office.does("transfer", "list")["requests"])


@pytest.fixture
def office(office):
    return office.funded()


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "iso-8859-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX"},
    ],
    ids=lambda each: " ".join(each.values()),
)
def test_letters_that_an_output_lacks_are_escaped(office, environment):
    # In the C locale without UTF-8 an argument's letters are bytes, which no record takes: those are refused before.
    asked = {} if "PYTHONUTF8" in environment else environment
    before = requests(office)
    ended = started(office, asks(office), **asked)
    assert ended.returncode == 0, ended.stderr
    assert requests(office) == before + 1
    for command in (["transfer", "list"], ["transfer", "list", "--json"]):
        shown = started(office, command, **environment)
        assert shown.returncode == 0, shown.stderr
        assert not shown.stderr
    assert json.loads(shown.stdout)["requests"][-1]["reason"] == REASON


def test_a_full_output_is_told_with_an_exit_code_of_its_own_and_the_step_stands(office):
    before = requests(office)
    with Path("/dev/full").open("wb") as full:
        ended = started(office, asks(office), out=full)
        both = started(office, asks(office), out=full, talk=full)
        shown = started(office, ["transfer", "list", "--json"], out=full)
    assert (ended.returncode, both.returncode, shown.returncode) == (5, 5, 5)
    assert b"OUTPUT_LOST" in ended.stderr
    assert b"Traceback" not in ended.stderr + shown.stderr
    assert requests(office) == before + 2


def test_a_closed_output_is_told_and_no_file_takes_its_number(office):
    before = requests(office)
    script = '"$0" -c "from custody.apps.cli import main; main()" "$@" >&-'
    variables = os.environ | {
        "CUSTODY_DIR": office.path("coordinator"),
        "CUSTODY_PASSPHRASE_FILE": office.path("passphrase"),
    }
    ended = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, *map(str, asks(office))],
        env=variables,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 5
    assert b"OUTPUT_LOST" in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert requests(office) == before + 1
    assert office.does("log", "verify")


def test_a_reader_who_left_is_no_failure(office):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = started(office, asks(office), out=writer)
        exported = started(office, ["log", "export", "-o", "-"], out=writer)
    finally:
        os.close(writer)
    assert ended.returncode == 0
    assert exported.returncode == ReaderLeft.exit_code
    assert b"error" not in ended.stderr + exported.stderr


def test_what_was_seen_and_cannot_be_noted_is_a_warning_and_the_step_stands(office, monkeypatch):
    def full(*_: object) -> None:
        raise FileUnusable(path="seen.json", reason="No space left on device")

    before = requests(office)
    monkeypatch.setattr(config, "replace_atomically", full)
    result = office.types(*asks(office))
    assert result.exit_code == 0
    assert "could not be noted" in result.output
    assert requests(office) == before + 1
    # An error of the command's own is not hidden by it either.
    assert (
        "NAME_UNKNOWN"
        in office.types("vault", "address", "nowhere", "--payer", "p", "--purpose", "p", "--class", "c").output
    )


@pytest.mark.parametrize("damaged", [b"", b"{}", b"\xff\xfe", b"{" * 70_000])
def test_a_damaged_note_is_named_as_itself(office, damaged):
    note = Path(office.path("coordinator")) / "regtest" / "seen.json"
    note.write_bytes(damaged)
    assert "seen.json" in office.refuses("SEEN_DAMAGED", "transfer", "list")


def test_what_a_killed_command_left_behind_is_gone_after_the_next(office):
    folder = Path(office.path("coordinator")) / "regtest"
    left = folder / ".seen.json.0123456789abcdef.tmp"
    left.write_bytes(b"half")
    office.does("transfer", "list")
    assert not left.exists()


def test_a_request_that_was_written_and_not_entered_says_how_to_enter_it(office):
    before = requests(office)
    out = office.new_path("request.json")
    office.does(*asks(office), "-o", out)
    message = office.refuses("REQUEST_WRITTEN", *asks(office), "-o", out)
    assert out in message
    office.does("transfer", "submit", out)
    assert requests(office) == before + 1
    Path(out).write_bytes(b"something else")
    office.refuses("FILE_EXISTS", *asks(office), "-o", out)


def test_a_station_leaves_no_core_behind():
    code = (
        "import resource\n"
        "from custody.apps import station\n"
        "station.run = lambda _: print(resource.getrlimit(resource.RLIMIT_CORE))\n"
        "station.main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ended.stdout.strip() == b"(0, 0)"


@pytest.mark.parametrize("damaged", [b"", b"{}", b"\xff\xfe{", b"not a charter"])
def test_a_damaged_file_of_a_station_is_named_as_itself(office, damaged):
    office.trusted_by("Aigerim")
    request = office.new_path("request.json")
    office.does(*asks(office), "-o", request)
    copy = Path(office.path("station-Aigerim")) / "charter.json"
    copy.write_bytes(damaged)
    assert "charter.json" in office.refused_at("Aigerim", "STATION_DAMAGED", "inspect", request)
    (Path(office.path("station-Aigerim")) / "station.db").write_bytes(damaged + b"no database")
    assert "station.db" in office.refused_at("Aigerim", "STATION_DAMAGED", "status")


def test_what_a_killed_station_left_behind_is_gone_after_the_next(office):
    office.trusted_by("Aigerim")
    left = Path(office.path("station-Aigerim")) / ".witness-0011223344556677.json.0123456789abcdef.tmp"
    left.write_bytes(b"half")
    office.at_station("Aigerim", "trust", office.path("charter.json"), *office.words)
    assert not left.exists()
