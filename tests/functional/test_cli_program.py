"""The program as it is started: from the shell, as a module, into a pipe that closes, and how little `--help` loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from custody.apps.terminal import INTERRUPTED_EXIT

HEAVY = {"pydantic", "sqlalchemy", "embit", "coincurve", "cryptography", "pbk", "bitcointx", "rich", "custody.record"}
LOADED = """
import sys
from custody.apps.cli import program
try:
    program.main(sys.argv[1:])
finally:
    print("LOADED", *sorted(sys.modules), file=sys.stderr)
"""


def start(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"} | environment,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments", [["--help"], ["vault", "--help"], ["transfer", "-h"], ["--version"], ["nonsense"]]
)
def test_help_loads_nothing_but_click(arguments):
    done = start("-c", LOADED, *arguments)
    loaded = set(done.stderr.rpartition("LOADED")[2].split())
    assert "click" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("program", ["cli", "station"])
def test_it_says_which_version_it_is(program):
    done = start("-c", f"from custody.apps.{program} import program; program.main(['--version'])")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("custody")


def test_it_runs_as_a_module():
    done = start("-m", "custody", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: custody [OPTIONS] COMMAND")


def test_no_colour_and_no_code_reaches_a_file():
    done = start("-m", "custody", "vault", "list", CUSTODY_DIR="/nonexistent/place")
    assert done.returncode == 3
    assert done.stderr.startswith("error NOT_INITIALISED: ")
    assert done.stderr.replace("\n", "").isprintable()


def test_a_closed_pipe_is_no_error_to_talk_about(tmp_path):
    command = f"'{sys.executable}' -m custody demo | head -n 1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60
    )
    assert done.stdout.startswith("1. ")
    assert done.stderr == ""


def test_a_bug_is_one_line_and_the_trace_comes_on_request(tmp_path):
    broken = "from custody.apps import cli, terminal; cli.program.table['demo'] = 1; terminal.run(cli.program)"
    done = start("-c", broken, "demo", HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("error UNEXPECTED: this is a bug")
    assert len(done.stderr.splitlines()) == 2
    shown = start("-c", broken, "demo", HOME=str(tmp_path), CUSTODY_DEBUG="1")
    assert "Traceback" in shown.stderr


def test_ctrl_c_at_a_question_ends_with_130(office, converse):
    shown = converse(
        office.folder,
        [("24 words", "\x03")],
        "-c",
        # A terminal sends signals to those whose controlling terminal it is; a shell in the background, such as a build
        # server's, has its programs ignore this one.
        "import fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from custody.apps.cli import program\n"
        "try:\n    program.main()\nexcept SystemExit as ended:\n    print('ended with', ended.code)",
        "--dir",
        office.path("coordinator"),
        "init",
        office.path("charter.json"),
        "--coordinator-key",
        office.key("coordinator"),
    )
    assert f"ended with {INTERRUPTED_EXIT}" in shown
    assert not Path(office.path("coordinator")).exists()


def test_the_demo_tells_its_story_and_keeps_its_log_when_asked(office):
    kept = office.folder / "kept"
    told = office.does("demo", "--keep", kept)
    refused = [each["data"]["refused"] for each in told if "refused" in each["data"]]
    assert refused == ["APPROVAL_MISSING", "OUTPUTS_NOT_REQUESTED", "WITNESS_CONFLICT"]
    assert told[-1]["data"]["adds_up"] is True
    assert (kept / "log.sqlite").stat().st_size > 0
    assert not Path(office.path("coordinator")).exists()


def test_a_file_goes_to_stdout_when_asked_and_the_rest_to_stderr(office):
    office.set_up()
    result = office.types("log", "checkpoint", "-o", "-", "--json")
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)) == {"_type", "checkpoint", "leaves", "since"}
    assert json.loads(result.stderr)["size"] == len(json.loads(result.stdout)["leaves"])


def test_a_file_comes_from_stdin_when_asked(office):
    shown = office.types("charter", "show", "-", "--json", stdin=Path(office.path("charter.json")).read_bytes())
    assert json.loads(shown.stdout)["digest"] == office.cast.digest.hex()
