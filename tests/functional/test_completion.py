"""What a shell offers while somebody types: commands, ids and names, from what lies here; nothing happens by it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from custody.apps import cli, completion, station
from custody.testing.cast import Setting, make_cast

PROGRAMS = {each.name: each for each in (cli.program, station.program)}
BIN = Path(sys.executable).parent
# What bash does when a person presses Tab: words as it splits them, the last of which is being typed.
PRESSED = r"""
{source}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
compopt() {{ local IFS=' '; echo "compopt $*"; }}
_{function}_completion "$1"
printf '%s\n' "${{COMPREPLY[@]}}"
"""


def run(command, folder, stdin="", **variables):
    """A process with nothing but what it is given in its environment; neither shell nor program says a word besides."""
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    environment["CUSTODY_DIR"] = str(folder / "coordinator")
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment | variables,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
    )
    assert ended.stderr == ""
    return ended


def pressed(folder, *words, stdin=""):
    """What bash offers after these words, the last of which is being typed."""
    source = completion.source("bash", PROGRAMS[words[0]], words[0])
    script = PRESSED.format(source=source, function=words[0].replace("-", "_"))
    ended = run(["bash", "--norc", "-c", script, "bash", *words], folder, stdin)
    assert ended.returncode == 0
    return ended.stdout.splitlines()


def left(folder):
    """Every file of a folder, with what tells that somebody wrote to it."""
    return {
        each: (each.stat().st_mtime_ns, each.stat().st_size) for each in folder.rglob("*") if ".cache" not in each.parts
    }


@pytest.fixture
def drafted(office):
    """An office with a draft; its id."""
    return office.funded().drafted()


def test_commands_are_offered_from_the_table(tmp_path):
    assert pressed(tmp_path, "custody", "tr") == ["transfer"]
    assert pressed(tmp_path, "custody", "transfer", "release", "--pass") == ["--passphrase-file"]


def test_a_station_offers_its_own_and_starts_no_other_program(tmp_path):
    assert pressed(tmp_path, "custody-station", "si") == ["sign-charter", "sign"]
    source = run(["custody-station"], tmp_path, _CUSTODY_STATION_COMPLETE="bash_source").stdout
    assert source == run(["custody-station", "completion", "bash"], tmp_path).stdout


def test_files_are_the_shell_s_to_offer(tmp_path):
    assert pressed(tmp_path, "custody", "transfer", "submit", "re")[0] == "compopt -o default"
    assert pressed(tmp_path, "custody", "man", "")[0] == "compopt -o dirnames"


def test_ids_are_offered_newest_first_and_by_their_first_digits(office, drafted):
    request = office.does("transfer", "show", drafted)["request"]["id"]
    assert pressed(office.folder, "custody", "transfer", "show", "") == ["newest", drafted[:12]]
    assert pressed(office.folder, "custody", "transfer", "show", drafted[:20]) == [drafted[:20]]
    assert pressed(office.folder, "custody", "transfer", "draft", request[:7]) == [request[:12]]
    assert pressed(office.folder, "custody", "transfer", "show", "xyz") == [""]


def test_names_are_offered_as_the_shell_must_be_given_them(office, drafted):  # noqa: ARG001 - a log is there
    folder = office.folder
    assert pressed(folder, "custody", "vault", "show", "") == ["reserve"]
    # Bash takes `--vault=re` for three words.
    assert pressed(folder, "custody", "coin", "list", "--vault", "=", "re") == ["reserve"]
    assert pressed(folder, "custody", "transfer", "request", "--sweep", "Ta") == [r"Tax\ office"]
    assert pressed(folder, "custody", "transfer", "request", "--pay", "Su") == ["compopt -o nospace", "Supplier="]
    assert pressed(folder, "custody", "transfer", "evidence", "newest", "--for-reader", "A") == ["Aigerim"]
    assert pressed(folder, "custody", "log", "checkpoint", "--for-witness", "") == ["parliament.example"]


def test_other_shells_are_told_what_each_is(office, drafted):
    words = {"COMP_WORDS": f"custody transfer show {drafted[:4]}", "COMP_CWORD": "3"}
    zsh = run(["custody"], office.folder, _CUSTODY_COMPLETE="zsh_complete", **words).stdout
    assert zsh.splitlines() == ["plain", drafted[:12], "decided"]
    fish = run(["custody"], office.folder, _CUSTODY_COMPLETE="fish_complete", **words | {"COMP_CWORD": drafted[:4]})
    assert fish.stdout.splitlines() == [f"plain,{drafted[:12]}\tdecided"]
    for shell, begins in (("zsh", "#compdef custody"), ("fish", "function _custody_completion")):
        assert completion.source(shell, cli.program, "custody").startswith(begins)


def test_a_station_offers_the_vaults_of_the_charter_that_was_typed(office):
    charter = office.path("charter.json")
    assert pressed(office.folder, "custody-station", "address", charter, "") == ["reserve"]
    # What stands on stdin is for the command, and not for the shell.
    assert pressed(office.folder, "custody-station", "address", "-", "", stdin=Path(charter).read_text()) == [""]
    assert pressed(office.folder, "custody-station", "address", office.key("Aigerim"), "") == [""]


def test_nothing_is_written_by_it(office, drafted):
    before = left(office.folder)
    pressed(office.folder, "custody", "transfer", "show", drafted[:4])
    pressed(office.folder, "custody", "vault", "show", "")
    pressed(office.folder, "custody-station", "--state", "station-new", "address", office.path("charter.json"), "")
    assert left(office.folder) == before


@pytest.mark.parametrize("damage", ["nothing", "config", "store", "journal", "charter"])
def test_where_something_is_wrong_nothing_is_offered_and_nothing_said(office, drafted, damage):  # noqa: ARG001
    folder = office.folder / "coordinator" / "regtest"
    match damage:
        case "nothing":
            (folder / "config.toml").rename(folder / "elsewhere.toml")
        case "config":
            (folder / "config.toml").write_text("charter = 7")
        case "store":
            (folder / "log.sqlite").write_bytes(b"no database at all")
        case "journal":
            # What a writer that was killed leaves: reading would take it back.
            (folder / "log.sqlite-journal").write_bytes(b"left behind")
        case "charter":
            config = folder / "config.toml"
            other = make_cast(Setting(approvals=1)).digest
            config.write_text(config.read_text().replace(office.cast.digest.hex(), other.hex()))
    before = left(office.folder)
    words = {"COMP_WORDS": "custody vault show ", "COMP_CWORD": "3"}
    ended = run(["custody"], office.folder, _CUSTODY_COMPLETE="bash_complete", **words)
    assert (ended.returncode, ended.stdout.strip()) == (0, "")
    assert left(office.folder) == before
