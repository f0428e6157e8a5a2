"""An office with a coordinator and everybody's stations, all of it by commands, with files in between.

Keys are those of `testing.cast`, in real key files with the cheapest passphrase check that regtest allows, so that a
story takes seconds.
"""

import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Self

import pytest
from click.testing import CliRunner, Result

from custody.apps.cli import program as custody
from custody.apps.station import program as custody_station
from custody.apps.terminal import Program
from custody.backends.keyfile import LEAST_TEST_COST, KeyFile, create_document_key, create_master_key
from custody.testing.cast import DEPOSITOR, OFFICERS, PASSPHRASE, REQUESTER, WITNESS, Cast, Setting, make_cast, secret
from custody.testing.scenario import Scenario
from custody.units import Network
from custody.words import show_words

DEPOSIT = "0.6 BTC"


@dataclass
class Office:
    """A folder that holds everybody's files. Commands are given as they are typed."""

    folder: Path
    cast: Cast
    counter: int = field(default=0)

    @classmethod
    def open(cls, folder: Path, setting: Setting | None = None) -> Self:
        office = cls(folder, make_cast(setting))
        (folder / "passphrase").write_bytes(PASSPHRASE + b"\n")
        (folder / "charter.json").write_bytes(office.cast.envelope.to_bytes())
        for name in ("coordinator", REQUESTER, *OFFICERS, WITNESS):
            office._write_key(name, _document_key(name))
        for cosigner in (setting or Setting()).cosigners:
            office._write_key(cosigner, _master_key(cosigner))
        return office

    def _write_key(self, name: str, key: KeyFile) -> None:
        (self.folder / f"{name}.key.json").write_bytes(key.to_bytes())

    @property
    def words(self) -> list[str]:
        return show_words(self.cast.digest).split()

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def key(self, name: str) -> str:
        return self.path(f"{name}.key.json")

    @staticmethod
    def address_for(purpose: str, payer: str = DEPOSITOR, coin_class: str = "seized") -> list[str]:
        """The command that issues the reserve's next address."""
        return ["vault", "address", "reserve", "--payer", payer, "--purpose", purpose, "--class", coin_class]

    def new_path(self, name: str) -> str:
        self.counter += 1
        return self.path(f"{self.counter:03d}-{name}")

    def types(
        self, *arguments: object, stdin: bytes | None = None, clock: object = None, **environment: str | None
    ) -> "Result | Ended":
        """What a `custody` command does, however it ends."""
        variables = {
            "CUSTODY_DIR": self.path("coordinator"),
            "CUSTODY_PASSPHRASE_FILE": self.path("passphrase"),
            "CUSTODY_NETWORK": None,
        }
        return self.run(custody, [str(each) for each in arguments], variables | environment, stdin, clock)

    def run(
        self,
        program: Program,
        arguments: list[str],
        environment: dict[str, str | None],
        stdin: bytes | None = None,
        clock: object = None,
    ) -> "Result | Ended":
        """Run a command in this process, by the machine's own clock or another."""
        return CliRunner().invoke(program, arguments, input=stdin, env=environment, obj=clock)

    def does(self, *arguments: object) -> object:
        """What a `custody` command answers as JSON; it must end well."""
        result = self.types(*arguments, "--json")
        assert result.exit_code == 0, f"{arguments}: {result.output}"
        return json.loads(result.stdout)

    def refuses(self, code: str, *arguments: object, **environment: str | None) -> str:
        """The message with which a command is refused, by the code; it says what to do, and its exit code fits."""
        result = self.types(*arguments, "--json", **environment)
        assert result.exit_code in {3, 4, 5, 6}, f"{arguments}: {result.output}"
        error = json.loads(result.stdout)["error"]
        assert error["code"] == code, error
        assert error["hint"].strip()
        return str(error["message"])

    def at_station(self, whose: str, *arguments: object) -> object:
        """What a `custody-station` command answers on the machine of `whose`."""
        result = self.types_at(whose, *arguments, "--json")
        assert result.exit_code == 0, f"{whose}: {arguments}: {result.output}"
        return json.loads(result.stdout)

    def refused_at(self, whose: str, code: str, *arguments: object, clock: object = None) -> str:
        """The message with which a command is refused there, by the code; it says what to do."""
        result = self.types_at(whose, *arguments, "--json", clock=clock)
        assert result.exit_code in {3, 4, 5, 6}, f"{whose}: {arguments}: {result.output}"
        error = json.loads(result.stdout)["error"]
        assert error["code"] == code, error
        assert error["hint"].strip()
        return str(error["message"])

    def types_at(self, whose: str, *arguments: object, clock: object = None) -> "Result | Ended":
        """What a `custody-station` command does there, however it ends."""
        given = ["--state", self.path(f"station-{whose}"), *(str(each) for each in arguments)]
        return self.run(custody_station, given, {"CUSTODY_PASSPHRASE_FILE": self.path("passphrase")}, clock=clock)

    # --- strides of a story ------------------------------------------------------------------------------------------

    def set_up(self, *more: object) -> "Office":
        self.does("init", self.path("charter.json"), *self.words, "--coordinator-key", self.key("coordinator"), *more)
        return self

    def funded(self) -> "Office":
        self.set_up()
        address = self.does(*self.address_for("seized, case 17"))["address"]
        self.does("regtest", "pay", address, DEPOSIT)
        return self

    def requested(self, *what: str) -> str:
        options = what or ("--pay", "Supplier=0.25 BTC")
        given = self.does("transfer", "request", *options, "--reason", "invoice 17", "--key", self.key(REQUESTER))
        return str(given["id"])

    def drafted(self, *what: str) -> str:
        return str(self.does("transfer", "draft", self.requested(*what))["transfer"])

    def trusted_by(self, whose: str) -> None:
        if not Path(self.path(f"station-{whose}")).exists():
            self.at_station(whose, "trust", self.path("charter.json"), *self.words)

    def witnessed(self) -> None:
        """Have the log as it stands cosigned by the charter's witness, if it names one."""
        if not self.cast.charter.witnesses:
            return
        request, cosigned = self.new_path("checkpoint.json"), self.new_path("cosigned.txt")
        self.does("log", "checkpoint", "-o", request)
        self.trusted_by(WITNESS)
        named = ("--key", self.key(WITNESS), "--name", WITNESS, "-o", cosigned)
        is_first = not any(Path(self.path(f"station-{WITNESS}")).glob("witness-*.json"))
        self.at_station(WITNESS, "witness", request, *named, *(["--first"] if is_first else []))
        assert self.does("log", "cosign", cosigned)["is_enough"]

    def approved(self, transfer: str, *officers: str, veto: bool = False) -> None:
        self.witnessed()
        evidence = self.new_path("evidence.json")
        self.does("transfer", "evidence", transfer, "-o", evidence)
        for officer in officers or OFFICERS[:2]:
            self.trusted_by(officer)
            approval = self.new_path(f"{officer}.approval.json")
            more = ["--veto"] if veto else []
            self.at_station(officer, "approve", evidence, "--key", self.key(officer), *more, "--yes", "-o", approval)
            self.does("transfer", "approve", approval)

    def ready_to_sign(self, transfer: str) -> str:
        """Evidence for cosigners of a transfer that was approved."""
        result = self.types("transfer", "evidence", transfer, "--for", "sign", "-o", self.new_path("evidence.json"))
        if result.exit_code == 0:
            return self.path(max(each.name for each in self.folder.glob("*-evidence.json")))
        self.witnessed()
        evidence = self.new_path("evidence.json")
        self.does("transfer", "evidence", transfer, "--for", "sign", "-o", evidence)
        return evidence

    def signed(self, evidence: str, cosigner: str) -> str:
        psbt = self.new_path(f"{cosigner}.psbt")
        self.trusted_by(cosigner)
        self.at_station(cosigner, "sign", evidence, "--key", self.key(cosigner), "--yes", "-o", psbt)
        return psbt

    def verified(self, transfer: str) -> None:
        """Two officers agree, two cosigners sign, and the result is judged."""
        self.approved(transfer)
        evidence = self.ready_to_sign(transfer)
        files = [self.signed(evidence, each) for each in ("astana", "almaty")]
        assert self.does("transfer", "combine", transfer, *files)["status"] == "verified"

    def delivered(self, transfer: str) -> str:
        self.verified(transfer)
        self.witnessed()
        self.does("transfer", "release", transfer)
        sent = self.does("transfer", "deliver")["sent"]
        return str(sent[0]["txid"])


@dataclass(frozen=True)
class Ended:
    """How a command's own process ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@dataclass
class WeighedOffice(Office):
    """The same with a process of its own for each command, whose memory is noted."""

    peaks: list[tuple[str, int]] = field(default_factory=list)
    """Each command, and the most bytes of memory that its process had at a time."""

    def run(
        self,
        program: Program,
        arguments: list[str],
        environment: dict[str, str | None],
        stdin: bytes | None = None,
        clock: object = None,
    ) -> Ended:
        assert clock is None, "a process has the machine's clock"
        given = {key: value for key, value in environment.items() if value is not None}
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder)} | given
        command = (str(Path(sys.executable).with_name(str(program.name))), *arguments)
        ended, peak = weighed(command, variables, stdin)
        words = takewhile(str.isalpha, arguments[2:] if arguments[0] == "--state" else arguments)
        self.peaks.append((" ".join((str(program.name), *words)), peak))
        return ended

    def unweighed(self) -> Office:
        """The same office with its commands in this process, which is quicker."""
        return Office(self.folder, self.cast, self.counter)


_WEIGH = """
import os, sys
report, *command = sys.argv[1:]
child = os.posix_spawn(command[0], command, os.environ)
_, status, usage = os.wait4(child, 0)
with open(report, "w") as file:
    file.write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def weighed(command: tuple[str, ...], environment: dict[str, str], stdin: bytes | None = None) -> tuple[Ended, int]:
    """Run `command` as a process; how it ended, and the most bytes of memory it had at a time (ru_maxrss)."""
    # A process begins with what its parent had at most, as Linux counts, and this one is large: a small one stands
    # between them.
    with tempfile.NamedTemporaryFile() as report:
        between = [sys.executable, "-I", "-S", "-c", _WEIGH, report.name, *command]
        done = subprocess.run(between, input=stdin or b"", capture_output=True, env=environment, check=False)
        peak = int(Path(report.name).read_text()) * 1024
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode()), peak


def _document_key(name: str) -> KeyFile:
    seed = secret(f"person {name}")
    return create_document_key(PASSPHRASE, name=name, network=Network.REGTEST, seed=seed, cost=LEAST_TEST_COST)


def _master_key(name: str) -> KeyFile:
    seed = secret(f"cosigner {name}")
    return create_master_key(PASSPHRASE, name=name, network=Network.REGTEST, seed=seed, cost=LEAST_TEST_COST)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """Nothing set up yet; a charter with one witness."""
    return Office.open(tmp_path)


@pytest.fixture
def open_office(tmp_path: Path) -> Callable[[Setting], Office]:
    """An office under another charter."""
    return lambda setting: Office.open(tmp_path, setting)


@pytest.fixture(scope="module")
def open_weighed_office(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Setting], WeighedOffice]:
    """An office whose commands are processes, for all tests of a file."""
    return lambda setting: WeighedOffice.open(tmp_path_factory.mktemp("office"), setting)


@pytest.fixture(scope="session")
def weigh() -> Callable[..., tuple[Ended, int]]:
    """Run (command, environment): how it ended, and the most bytes of memory it had at a time."""
    return weighed


Begin = Callable[..., Scenario]
"""Begin a story on the chain in the process: (amounts of its coins, rest of `Scenario.funded`)."""


@pytest.fixture
def setting() -> Setting | None:
    """The charter of the stories of a file, which may say another."""
    return None


@pytest.fixture
def begin(setting: Setting | None) -> Iterator[Begin]:
    """Stories with mature coins, closed at the end of the test."""
    opened: list[Scenario] = []

    def make(*amounts: int, **rest: object) -> Scenario:
        opened.append(Scenario.funded(*amounts, **{"setting": setting} | rest))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def story(begin: Begin) -> Scenario:
    """The usual story: three coins."""
    return begin()


INTERRUPT = "\x03"
"""What Ctrl-C sends."""


def _converse(folder: Path, answers: list[tuple[str, str]], *arguments: str) -> str:
    """Run Python on a terminal of its own, answer each question when it appears, and give all that was shown."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while select.select([ours], [], [], 60)[0]:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
            shown += chunk
            if answers and answers[0][0].encode() in shown:
                answer = answers.pop(0)[1]
                if answer == INTERRUPT:
                    # Between showing a question and reading the answer CPython loses an interrupt. People are slower.
                    time.sleep(1)
                os.write(ours, answer.encode() + (b"" if answer == INTERRUPT else b"\n"))
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    assert not answers, shown.decode()
    return shown.decode()


@pytest.fixture
def converse() -> Callable[..., str]:
    """A conversation on a terminal: (folder, [(question, answer), ...], arguments of Python) -> everything shown."""
    return _converse


FENCE = re.compile(r"^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"\s+# exit (?P<code>\d+)$")


@dataclass(frozen=True)
class Typed:
    """A command on a page, what it prints there, and how it ends."""

    command: str
    printed: str
    exit_code: int

    @classmethod
    def on(cls, page: Path) -> list["Typed"]:
        found = []
        for block in FENCE.finditer(page.read_text(encoding="utf-8")):
            for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
                lines = part.splitlines()
                count = 1
                while count < len(lines) and lines[count].startswith(">"):
                    count += 1
                command = "\n".join([lines[0], *(line[1:].removeprefix(" ") for line in lines[1:count])])
                expected = EXIT.search(command)
                code = int(expected["code"]) if expected else 0
                found.append(cls(EXIT.sub("", command), "\n".join(lines[count:]), code))
        return found

    def is_met(self, code: int, printed: str) -> bool:
        pattern = re.escape(self.printed.strip()).replace(r"\.\.\.", ".*?")
        is_said = not self.printed or re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
        return code == self.exit_code and is_said


@pytest.fixture
def types_page(tmp_path: Path) -> Callable[..., int]:
    """Type every command of pages as they stand, in one shell, and compare: (pages, folder, variables) -> how many.

    A `console` block holds commands (after `$ `, going on after `>`) and what they print. `...` stands for any text,
    also for whole lines. A command that says `# exit 4` at its end must end so; all others end with 0. Nothing is typed
    when a program asks. The folder is also the home, unless a variable says otherwise.
    """

    def types(pages: Path | tuple[Path, ...], folder: Path, **variables: str) -> int:
        out = tmp_path / "typed"
        out.mkdir()
        steps = [step for page in (pages if isinstance(pages, tuple) else (pages,)) for step in Typed.on(page)]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "NO_COLOR": "1"} | variables
        script = "\n".join(
            f"{{\n{step.command}\n}} > {out}/{n}.out 2>&1 < /dev/null; echo $? > {out}/{n}.code"
            for n, step in enumerate(steps)
        )
        subprocess.run(["bash", "-c", script], cwd=folder, env=environment, check=True, timeout=900)
        for n, step in enumerate(steps):
            code, printed = int((out / f"{n}.code").read_text()), (out / f"{n}.out").read_text()
            if not step.is_met(code, printed):
                pytest.fail(
                    f"$ {step.command}\nended with {code} (expected {step.exit_code}) and printed:\n{printed}\n"
                    f"the page says:\n{step.printed}"
                )
        return len(steps)

    return types
