"""A whole route, from the set-up to a confirmed transfer, whose every command can be harmed and is then typed again."""

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from custody.apps.chains import OwnChain
from custody.apps.config import Folders
from custody.backends.sql import open_store
from custody.testing.cast import OFFICERS, REQUESTER, WITNESS
from custody.testing.chain import RegtestChain
from custody.units import Network
from custody.vault.descriptor import Branch

SITE = Path(__file__).with_name("site")
HARMS = ("kill", "killed", "cut", "enospc", "eio", "short")
KILLS = frozenset({"kill", "killed", "cut"})
LEFT_BEHIND = re.compile(r".*(\.tmp|\.new|-journal|-wal|-shm)")
CALLS = {"init": 71, "trust": 19, "observe": 27, "checkpoint": 6, "cosign": 3, "evidence": 6, "export": 9, "draft": 21}
MOST_CALLS = 15
SAYS_DONE = {
    ("init",): "ALREADY_INITIALISED",
    ("transfer", "draft"): "REQUEST_IN_USE",
    ("transfer", "approve"): "APPROVAL_TWICE",
}
"""By which code a command is refused that has been done; its hint says that nothing is left to do, or what is."""
SIGNERS = ("astana", "almaty")


@dataclass(frozen=True)
class Step:
    """A command as it is typed: `whose` station, or the coordinator's. `ends` is the code that is expected of it.

    What makes another one when it is typed again (`is_once`) is typed again only where nothing of it stands.
    """

    arguments: tuple[str, ...]
    whose: str = ""
    ends: str = ""
    is_once: bool = False
    world: Callable[[RegtestChain], object] | None = None
    """Blocks and payments come from elsewhere: what happens on the chain, in place of a command."""

    @property
    def out(self) -> str:
        """The file it writes; empty when it writes none."""
        return self.arguments[self.arguments.index("-o") + 1] if "-o" in self.arguments else ""

    @property
    def calls(self) -> int:
        """About as many calls as it makes that can be harmed."""
        return next((CALLS[word] for word in self.arguments[:2] if word in CALLS), MOST_CALLS)

    def __str__(self) -> str:
        words = " ".join(each for each in self.arguments if each.replace("-", "").isalpha())
        return f"{self.whose or 'coordinator'}: {words[:60]}"


def route(office) -> tuple[Step, ...]:
    """The commands of everybody in their order."""
    path, key = office.path, office.key
    charter, evidence = path("charter.json"), path("evidence.json")
    trusting = [Step(("trust", charter, *office.words), whose) for whose in (WITNESS, *OFFICERS[:2], *SIGNERS)]
    script = office.cast.vault.script_pubkey(Branch.RECEIVE, 0)
    asks = ("transfer", "request", "--pay", "Supplier=0.25 BTC", "--reason", "invoice 17", "--key", key(REQUESTER))
    return (
        Step(("init", charter, *office.words, "--coordinator-key", key("coordinator"))),
        *trusting,
        Step(tuple(office.address_for("seized, case 17")), is_once=True),
        Step((), world=lambda chain: (chain.pay(script, 60_000_000), chain.mine(1))),
        Step(("observe",)),
        Step((*asks, "-o", path("request.json"))),
        Step(("transfer", "draft", "newest")),
        *_witnessed(office, 1, "--first"),
        Step(("transfer", "evidence", "newest", "-o", evidence)),
        *(step for officer in OFFICERS[:2] for step in _agreed(office, officer, evidence)),
        Step(("transfer", "evidence", "newest", "--for", "sign", "-o", path("sign.json")), ends="HISTORY_UNWITNESSED"),
        *_witnessed(office, 2),
        Step(("transfer", "evidence", "newest", "--for", "sign", "-o", path("sign.json"))),
        *(step for cosigner in SIGNERS for step in _signed(office, cosigner)),
        *_witnessed(office, 3),
        Step(("transfer", "release", "newest")),
        Step(("transfer", "deliver")),
        Step((), world=lambda chain: chain.mine(1)),
        Step(("observe",)),
        Step(("log", "export", "-o", path("log.json"))),
    )


def _witnessed(office, number: int, *more: str) -> tuple[Step, ...]:
    request, cosigned = office.path(f"checkpoint-{number}.json"), office.path(f"cosigned-{number}.txt")
    named = ("--key", office.key(WITNESS), "--name", WITNESS, *more, "-o", cosigned)
    return (
        Step(("log", "checkpoint", "-o", request)),
        Step(("witness", request, *named), WITNESS),
        Step(("log", "cosign", cosigned)),
    )


def _agreed(office, officer: str, evidence: str) -> tuple[Step, ...]:
    said = office.path(f"{officer}.approval.json")
    return (
        Step(("approve", evidence, "--key", office.key(officer), "--yes", "-o", said), officer),
        Step(("transfer", "approve", said)),
    )


def _signed(office, cosigner: str) -> tuple[Step, ...]:
    psbt = office.path(f"{cosigner}.psbt")
    return (
        Step(("sign", office.path("sign.json"), "--key", office.key(cosigner), "--yes", "-o", psbt), cosigner),
        Step(("transfer", "combine", "newest", psbt)),
    )


@dataclass
class Play:
    """The route once through, harmed by chance. `told` says what happened, for whoever reads a failure."""

    office: object
    chance: random.Random
    told: list[str] = field(default_factory=list)
    harmed: Counter = field(default_factory=Counter)
    kept: set[str] = field(default_factory=set)

    def lives(self, happens: Callable[[RegtestChain], object]) -> None:
        """Let something happen on the chain, which nobody has looked at yet."""
        where = Folders(Path(self.office.path("coordinator")), Network.REGTEST)
        with open_store(where.store, where.network).read() as view:
            sent = [row.raw for row in view.outbox() if row.was_sent]
        with closing(OwnChain(where, lambda: sent)) as chain:
            happens(chain.regtest())

    def kinds(self) -> Counter:
        """How many entries of each kind the log has."""
        path = Path(self.office.path("coordinator")) / "regtest" / "log.sqlite"
        if not path.exists():
            return Counter()
        with closing(sqlite3.connect(path)) as connection:
            heads = connection.execute("SELECT head FROM entries").fetchall()
        return Counter(json.loads(head)["entry"] for (head,) in heads)

    def typed(self, step: Step) -> tuple[int, str]:
        """The command in this process: how it ends, and the code it is refused by."""
        arguments = (*step.arguments, "--json")
        ended = self.office.types_at(step.whose, *arguments) if step.whose else self.office.types(*arguments)
        self._is_named(step, ended.exit_code, ended.output)
        return ended.exit_code, _code(ended.stdout) if ended.exit_code else ""

    def start(self, step: Step, **environment: str) -> tuple[int, str]:
        """The same as a process of its own, which may be harmed; a code below zero is the signal that ended it."""
        office = self.office
        program = "custody-station" if step.whose else "custody"
        before = ("--state", office.path(f"station-{step.whose}")) if step.whose else ()
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": office.path(""),
            "CUSTODY_DIR": office.path("coordinator"),
            "CUSTODY_PASSPHRASE_FILE": office.path("passphrase"),
            "PYTHONPATH": str(SITE),
        }
        ended = subprocess.run(
            [Path(sys.executable).with_name(program), *before, *step.arguments, "--json"],
            env=variables | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode >= 0:
            self._is_named(step, ended.returncode, ended.stdout + ended.stderr)
        return ended.returncode, _code(ended.stdout) if ended.returncode > 0 else ""

    def _is_named(self, step: Step, exit_code: int, output: str) -> None:
        assert "Traceback" not in output, (step, self.told, output)
        assert exit_code in {0, 3, 4, 5, 6}, (step, self.told, output)

    def take(self, step: Step) -> None:
        """Let it happen: on the chain as it is, and harmed where it is a command."""
        if step.world is None:
            self.harm(step)
        else:
            self.lives(step.world)

    def harm(self, step: Step) -> None:
        """Type the command and harm it; then type it again, as people would."""
        how, at = self.chance.choice(HARMS), self.chance.randint(1, step.calls)
        before = self.kinds()
        exit_code, code = self.start(step, CUSTODY_FAULT=f"{how}@{at}")
        self.told.append(f"{step} ({how}@{at}): {exit_code} {code}")
        self.harmed[how if exit_code else f"{how}, unnoticed"] += 1
        meanwhile = self.kinds()
        # Nothing is lost, whatever happened.
        assert before <= meanwhile, self.told
        if exit_code > 0 and how in KILLS:
            assert code == step.ends, self.told
        if exit_code == 0 and how == "eio":
            # Where taking a file away is what failed, it stays, and nobody reads it.
            self.kept |= set(self.left_behind())
        if exit_code == 0 or (step.is_once and meanwhile != before):
            return
        self.again(step)

    def again(self, step: Step) -> None:
        """Type it again: it ends as it should, or says that it was done."""
        exit_code, code = self.typed(step)
        self.told.append(f"  again: {exit_code} {code}")
        if code == "REQUEST_WRITTEN":
            submitted = Step(("transfer", "submit", step.out))
            assert self.typed(submitted)[0] == 0, self.told
        else:
            # What stands under its name is whole: the next command reads it.
            done = {"FILE_EXISTS"} if step.out and Path(step.out).exists() else set()
            done |= {SAYS_DONE[each] for each in SAYS_DONE if step.arguments[: len(each)] == each and not step.whose}
            assert code in {step.ends, *done}, self.told

    def left_behind(self) -> list[str]:
        """Files that are nobody's."""
        found = (each for each in Path(self.office.path("")).rglob("*") if "chain" not in each.parts)
        return sorted({str(each) for each in found if LEFT_BEHIND.fullmatch(each.name)} - self.kept)


def _code(printed: str) -> str:
    """The code in the JSON that a command printed last."""
    return json.loads(printed)["error"]["code"]
