"""The station's own process: what it loads, what it refuses to reach, and how it talks to a person at a terminal.

These tests start `custody-station` as a shell does. The hook that refuses the outside cannot be taken back, so it is
set in a process of its own, and what it refuses is tried there.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from custody.apps.terminal import GOES_ON, columns
from custody.backends.keyfile import create_document_key
from custody.charter.document import read_charter
from custody.envelope import Envelope
from custody.testing.cast import PASSPHRASE, Setting, make_cast, secret
from custody.testing.scenario import Scenario
from custody.units import Network
from custody.words import show_words, word_rows

FORBIDDEN = {
    "alembic",
    "asyncio",
    "bitcointx",
    "custody.backends.sql",
    "custody.backends.kernel",
    "custody.custodian",
    "http.client",
    "pbk",
    "sqlalchemy",
    "ssl",
}


def process(folder: Path, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `code` in an interpreter whose command line is that of custody-station."""
    return subprocess.run(
        [sys.executable, "-c", code, "--state", str(folder / "state"), *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


RUN = """
import sys
from custody.apps.station import main
try:
    main()
except SystemExit as ended:
    code = ended.code
"""


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """A folder with a charter, evidence that is fresh by this machine's clock, and an officer's key file."""
    folder = tmp_path_factory.mktemp("papers")
    story = Scenario.funded()
    story.chain.wait(int(time.time()) - story.chain.now())
    evidence = story.custodian.evidence(story.drafted()[0].transfer_id)
    story.close()
    seed = secret("person Aigerim")
    key = create_document_key(PASSPHRASE, name="Aigerim", network=Network.REGTEST, seed=seed, cost=2)
    (folder / "charter.json").write_bytes(story.cast.envelope.to_bytes())
    (folder / "evidence.json").write_bytes(evidence.to_bytes())
    (folder / "Aigerim.key").write_bytes(key.to_bytes())
    (folder / "words").write_text(show_words(story.cast.digest))
    return folder


@pytest.fixture(scope="module")
def trusting(papers):
    """The same, where the station trusts the charter already."""
    words = (papers / "words").read_text()
    done = process(papers, RUN, "trust", papers / "charter.json", *words.split())
    assert done.returncode == 0, done.stderr
    return papers


@pytest.mark.parametrize(
    "command", [("--help",), ("status",), ("inspect", "evidence.json"), ("inspect", "Aigerim.key")]
)
def test_the_process_loads_no_database_no_network_and_no_coordinator(trusting, command):
    code = RUN + "print('modules', *sys.modules, file=sys.stderr)"
    given = [trusting / each if (trusting / each).exists() else each for each in command]
    done = process(trusting, code, *given)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split("modules ", 1)[1].split())
    assert "custody.apps.terminal" in loaded
    assert loaded.isdisjoint(FORBIDDEN), loaded & FORBIDDEN
    assert not any(name.startswith(("sqlalchemy.", "custody.backends.sql")) for name in loaded)


def test_help_loads_no_record_and_no_curve(papers):
    done = process(papers, RUN + "print('modules', *sys.modules, file=sys.stderr)", "--help")
    loaded = set(done.stderr.split("modules ", 1)[1].split())
    assert loaded.isdisjoint({"pydantic", "coincurve", "embit", "cryptography", "custody.station"})
    assert "sign-charter" in done.stdout


@pytest.mark.parametrize(
    "reach",
    [
        "import socket; socket.socket()",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import socket; socket.socketpair()",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import sqlite3; sqlite3.connect(':memory:')",
    ],
)
def test_the_process_refuses_to_reach_outside(trusting, reach):
    code = f"{RUN}\nfrom custody.errors import CustodyError\ntry:\n    {reach}\nexcept CustodyError as error:\n"
    code += "    print(error.code, error.advice())\nelse:\n    print('reached')"
    done = process(trusting, code, "status")
    assert done.stdout.splitlines()[-1].startswith("STATION_OFFLINE Report it"), done.stdout + done.stderr


def test_a_person_at_a_terminal_types_the_words_before_they_are_shown(talk, papers, tmp_path):
    words = (papers / "words").read_text()
    shown = talk(tmp_path, [("as read to you", words)], "trust", papers / "charter.json")
    assert "This charter, trusted here from now on" in shown
    assert words not in shown.split("as read to you")[0]


def test_words_are_typed_row_by_row_too(talk, papers, tmp_path):
    digest = read_charter(Envelope.from_bytes((papers / "charter.json").read_bytes())).digest()
    first, *others = word_rows(digest)
    rows = [(f"Word {4 * at + 5} and on", row) for at, row in enumerate(others)]
    shown = talk(tmp_path, [("as read to you", first), *rows], "trust", papers / "charter.json")
    assert "This charter, trusted here from now on" in shown


def test_fewer_rows_end_with_an_empty_one(talk, papers, tmp_path):
    shown = talk(
        tmp_path, [("as read to you", "abandon ability"), ("Word 3 and on", "")], "trust", papers / "charter.json"
    )
    assert "2 words were typed, and 24 are needed" in shown


def test_a_terminal_is_given_no_line_that_it_would_break(talk, tmp_path):
    name = f"Supplier {'-' * 60} Payees Tax office, at an address of its own"
    cast = make_cast(Setting(more_payees=(name,)))
    (tmp_path / "charter.json").write_bytes(cast.envelope.to_bytes())
    lines = talk(tmp_path, [], "inspect", tmp_path / "charter.json").replace("\r", "").split("\n")
    assert all(columns(line) <= 80 for line in lines if " " in line.strip())
    rest = [line for line in lines if "at an address" in line or "its own" in line]
    assert rest
    assert all(line.startswith(GOES_ON) for line in rest)


def test_only_yes_is_yes(talk, trusting, tmp_path):
    command = ("approve", trusting / "evidence.json", "--key", trusting / "Aigerim.key", "-o", tmp_path / "approval")
    shown = talk(trusting, [("Approve this transfer?", "y")], *command)
    assert "NOT_CONFIRMED" in shown
    assert not (tmp_path / "approval").exists()


def test_a_person_reads_says_yes_and_types_a_passphrase_that_is_not_shown(talk, trusting, tmp_path):
    out, passphrase = tmp_path / "approval", PASSPHRASE.decode()
    command = ("approve", trusting / "evidence.json", "--key", trusting / "Aigerim.key", "-o", out)
    shown = talk(trusting, [("Approve this transfer?", "yes"), ("Passphrase of", passphrase)], *command)
    assert shown.index("Transfer in 24 words") < shown.index("Approve this transfer?")
    assert "Aigerim approves transfer" in shown
    assert passphrase not in shown
    assert Envelope.from_bytes(out.read_bytes()).claimed_keys


ON_A_TERMINAL = """
import os
os.close(os.open(os.ttyname(0), os.O_RDWR))  # makes it this session's own, as a login does
from custody.apps.station import main
main()
"""


@pytest.fixture
def talk(converse: Callable[..., str]) -> Callable[..., str]:
    """A conversation with the station's program on a terminal: (folder, [(question, answer), ...], arguments)."""

    def talked(folder: Path, answers: list[tuple[str, str]], *arguments: object) -> str:
        state = str(folder / "state")
        return converse(folder, answers, "-c", ON_A_TERMINAL, "--state", state, *map(str, arguments))

    return talked
