"""Does a test fail when a check is changed? Changes the core one place at a time and runs the tests that go there.

    python tests/mutants [--sample N] [--seed N] [--only TEXT] [--tests FILE ...] [--workers N]

First every test runs once while it is noted which lines it reaches; that is kept in `build/mutants` as long as code and
tests stay the same. Then the process that has loaded them all forks for each mutant, exchanges the code of one
function, and runs the tests that reach the change until one fails. A test that takes ten times as long as before has
failed: the change made a loop without an end. Survivors stand in `build/mutants/survived.txt`; what is made while a
file is loaded cannot be tried so, and is counted apart.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from types import FunctionType
from typing import Final, TypeAlias

import pytest
from mutate import Mutant, code_of, made_at_import, mutants_of
from reached import Noting, Reached, folder_of

ROOT: Final = Path(__file__).resolve().parents[2]
CORE: Final = ("examine", "history", "transfer", "charter", "log", "envelope.py", "vault", "bitcoin")
BUDGETS: Final = (20.0, 120.0)
"""Seconds that the tests of one mutant may take: first, and at the end for those that lived; who lives on, survived."""
SURVIVED, KILLED, LATE, BROKEN = 0, 1, 3, 4
WORDS: Final = {SURVIVED: "survived", KILLED: "killed", BROKEN: "broken"}

Functions: TypeAlias = dict[tuple[str, str, int], list[FunctionType]]
"""Loaded functions by file, name and first line."""


def main() -> int:
    """Run, and say how many were killed."""
    parser = argparse.ArgumentParser(description="change the core, one place at a time, and see whether a test fails")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants, by chance; without it all")
    parser.add_argument("--seed", type=int, default=1, help="of that chance")
    parser.add_argument("--only", default="", help="mutants whose file, function or change has this text")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="run these tests only")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "mutants", help="the folder for what was found")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    campaign = Campaign(parser.parse_args())
    os.chdir(ROOT)
    campaign.options.build.mkdir(parents=True, exist_ok=True)
    quiet = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "-W", "ignore"]
    pytest.main([*quiet, *campaign.options.tests], plugins=[campaign])
    return campaign.status


class Campaign:
    """A plugin of pytest that runs the collected tests once for each mutant."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options: Final = options
        self.status = 2
        self._has_failed = False
        self._late: list[Mutant] = []
        self._results: dict[Mutant, str] = {}
        self._running: dict[int, Mutant] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._has_failed = self._has_failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        self._screen = session.config.get_terminal_writer()
        self._reached = Reached(self._noted(session.items))
        self._functions = _loaded_functions()
        chosen = self._chosen()
        say(f"{len(chosen)} mutants, {len(self._items)} tests")
        gc.collect()
        gc.freeze()  # or every fork would copy what its first collection touches
        for budget in BUDGETS:
            self._run(chosen, budget)
            chosen, self._late = self._late, []
        for mutant in chosen:
            self._found(mutant, "survived")
        report(self._results, self.options.build / "survived.txt")
        self.status = 0
        return True

    def _chosen(self) -> list[Mutant]:
        found = []
        for part in CORE:
            path = ROOT / "src" / "custody" / part
            for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
                found += [each for each in mutants_of(file) if self.options.only in each.name]
        sample = self.options.sample
        return random.Random(self.options.seed).sample(found, sample) if 0 < sample < len(found) else found  # noqa: S311

    def _noted(self, items: Sequence[pytest.Item]) -> Path:
        """The folder that says which test reaches what, filled if it is not there."""
        folder = folder_of(self.options.build, ROOT, self.options.tests)
        if not folder.exists():
            say(f"running {len(items)} tests once, to note which lines each reaches")
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            workers = self.options.workers
            for number in range(workers):
                self._fork(lambda n=number: self._note(items[n::workers], unfinished / str(n)))
            for _ in range(workers):
                if self._ended()[1]:
                    sys.exit("mutants: the tests did not run to their end")
            unfinished.rename(folder)
        return folder

    def _note(self, items: Sequence[pytest.Item], data: Path) -> int:
        Noting(data).run(items, iter(self._passed, None))
        return 0

    def _passed(self) -> bool:
        has_failed, self._has_failed = self._has_failed, False
        return not has_failed

    # --- mutants -----------------------------------------------------------------------------------------------------

    def _run(self, mutants: Iterable[Mutant], budget: float) -> None:
        """Find every mutant's result, or that nobody decided within the budget (seconds)."""
        for mutant in mutants:
            tests = [name for name in self._reached.by(mutant) if name in self._items]
            if not tests:
                is_made = mutant.function in made_at_import(mutant.path)
                self._found(mutant, "made at import" if is_made else "not reached")
                continue
            while len(self._running) >= self.options.workers:
                self._wait()
            child = self._fork(lambda m=mutant, t=tests: self._try(m, t, budget))
            self._running[child] = mutant
        while self._running:
            self._wait()

    def _wait(self) -> None:
        child, status = self._ended()
        mutant = self._running.pop(child)
        if os.WIFSIGNALED(status):
            self._found(mutant, "killed: no end")
        elif os.WEXITSTATUS(status) == LATE:
            self._late.append(mutant)
        else:
            self._found(mutant, WORDS.get(os.WEXITSTATUS(status), "broken"))

    def _found(self, mutant: Mutant, result: str) -> None:
        self._results[mutant] = result
        if not result.startswith("killed"):
            say(f"{result}: {mutant.name}")
        if len(self._results) % 50 == 0:
            say(f"{len(self._results)} done, {counted(self._results.values())}")

    def _try(self, mutant: Mutant, names: Sequence[str], budget: float) -> int:
        """In a process of its own: make the change, and run tests until one fails."""
        functions = self._functions[str(mutant.path), mutant.function, mutant.first_line]
        code = code_of(mutant, str(mutant.path))
        for function in functions:
            function.__code__ = code
        began = time.perf_counter()
        for name, after in zip_longest(names, names[1:]):
            if time.perf_counter() - began > budget:
                return LATE
            signal.alarm(int(5 + 10 * self._reached.took[name]))
            item = self._items[name]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=self._items[after] if after else None)
            if self._has_failed:
                return KILLED
        return SURVIVED if functions else BROKEN

    def _ended(self) -> tuple[int, int]:
        """A process that has ended, and how. What it left is cleaned up: scratch files, and nodes of its tests."""
        child, status = os.wait()
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        shutil.rmtree(_scratch(child), ignore_errors=True)
        return child, status

    def _fork(self, work: Callable[[], int]) -> int:
        """A process that does `work`, silently and in a folder of its own, and ends with what it returns."""
        child = os.fork()
        if child:
            return child
        os.setsid()
        folder = _scratch(os.getpid())
        status = BROKEN
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1):
                os.dup2(silence, stream)
            self._screen._file = os.fdopen(silence, "w")
            folder.mkdir()
            tempfile.tempdir = str(folder)
            os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
            status = work()
        finally:
            os._exit(status)


def _scratch(child: int) -> Path:
    return Path(tempfile.gettempdir()) / f"custody-mutant-{child}"


def _loaded_functions() -> Functions:
    found: Functions = defaultdict(list)
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            code = each.__code__
            found[code.co_filename, code.co_qualname, code.co_firstlineno].append(each)
    return found


# --- what is said -----------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def report(results: dict[Mutant, str], survivors: Path) -> None:
    """Write who survived, and say how many were killed in each part."""
    lived = sorted(each.name for each, result in results.items() if not result.startswith("killed"))
    survivors.write_text("".join(f"{name}\n" for name in lived), encoding="utf-8")
    parts: dict[str, list[str]] = defaultdict(list)
    for mutant, result in results.items():
        parts[mutant.path.relative_to(ROOT / "src" / "custody").parts[0]].append(result)
    for part, found in sorted(parts.items()):
        say(f"{part:12} {counted(found)}")
    say(f"{'all':12} {counted(results.values())}")


def counted(results: Iterable[str]) -> str:
    """Results in words."""
    counts = Counter(results)
    killed = sum(number for result, number in counts.items() if result.startswith("killed"))
    others = "".join(f"; {number} {result}" for result, number in sorted(counts.items()) if result != "killed")
    # What was made while a file was loaded is not changed by changing its maker afterwards.
    tried = counts.total() - counts["made at import"]
    return f"{killed} of {tried} killed ({100 * killed / max(tried, 1):.1f} %){others}"


if __name__ == "__main__":
    sys.exit(main())
