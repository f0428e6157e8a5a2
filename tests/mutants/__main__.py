"""Does a test fail when a check is changed? Changes the core one place at a time and runs the tests that go there.

    python tests/mutants [--sample N] [--seed N] [--only TEXT] [--workers N]

First every test runs once while it is noted which lines it reaches (`build/mutants/reached`, made anew when the code or
the tests change). Then one process that has loaded them all forks for each mutant, exchanges the code of one function,
and runs the tests that reach the changed line until one fails. Survivors stand in `build/mutants/survived.txt`. A test
that takes ten times as long as before has failed: the change made a loop without an end.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from types import FunctionType
from typing import Final

import coverage
import pytest
from mutate import Mutant, code_of, mutants_of

ROOT: Final = Path(__file__).resolve().parents[2]
CORE: Final = ("examine", "history", "transfer", "charter", "log", "envelope.py", "vault", "bitcoin")
BUILD: Final = ROOT / "build" / "mutants"
BUDGET: Final = 60.0
"""Seconds that the tests of one mutant may take; one that lived so long is run by all of them at the end."""
SURVIVED, KILLED, LATE = 0, 1, 3


def main() -> int:
    """Run, and say how many were killed."""
    parser = argparse.ArgumentParser(description="mutate the core, and see whether a test fails")
    parser.add_argument("--sample", type=int, default=0, help="how many mutants, by chance; all without it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="those whose name has this text")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="run these tests only")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    campaign = _Campaign(options)
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "-W", "ignore", *options.tests]
    os.chdir(ROOT)
    pytest.main(arguments, plugins=[campaign])
    return campaign.status


class _Campaign:
    """A plugin that runs the tests as often as there are mutants."""

    status = 2

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._has_failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._has_failed = self._has_failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self._screen = session.config.get_terminal_writer()
        reached = _Reached(self._folder_of_reached(list(items.values())))
        chosen = self._chosen()
        self._say(f"{len(chosen)} mutants, {len(items)} tests")
        functions = _functions()
        results: dict[Mutant, str] = {}
        late = self._run(chosen, items, reached, functions, results, BUDGET)
        self._run(late, items, reached, functions, results, float("inf"))
        self._report(results)
        return True

    def _chosen(self) -> list[Mutant]:
        found = []
        for part in CORE:
            path = ROOT / "src" / "custody" / part
            for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
                found += mutants_of(file)
        found = [each for each in found if self._options.only in each.name]
        sample = self._options.sample
        return random.Random(self._options.seed).sample(found, sample) if 0 < sample < len(found) else found

    # --- which test reaches what ---------------------------------------------------------------------------------------

    def _folder_of_reached(self, items: Sequence[pytest.Item]) -> Path:
        digest = hashlib.sha256(repr(self._options.tests).encode())
        for file in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]):
            if "mutants" not in file.parts:
                digest.update(file.read_bytes())
        folder = BUILD / f"reached-{digest.hexdigest()[:16]}"
        if not folder.exists():
            self._say(f"running {len(items)} tests once, to note which lines each reaches")
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            workers = self._options.workers
            children = [
                self._fork(lambda number=number: self._note(items[number::workers], unfinished / str(number)))
                for number in range(workers)
            ]
            if any(os.waitpid(each, 0)[1] for each in children):
                raise SystemExit("mutants: a test fails without any change")
            unfinished.rename(folder)
        return folder

    def _note(self, items: Sequence[pytest.Item], data: Path) -> int:
        measured = coverage.Coverage(data_file=str(data), config_file=False, source_pkgs=["custody"])
        took = {}
        measured.start()
        for item, after in zip_longest(items, items[1:]):
            measured.switch_context(item.nodeid)
            began = time.perf_counter()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            took[item.nodeid] = time.perf_counter() - began
            if self._has_failed:
                sys.stderr.write(f"mutants: {item.nodeid} fails without any change\n")
                self._has_failed = False
                del took[item.nodeid]
        measured.stop()
        measured.save()
        data.with_suffix(".json").write_text(json.dumps(took), encoding="utf-8")
        return 0

    # --- mutants -------------------------------------------------------------------------------------------------------

    def _run(
        self,
        mutants: Iterable[Mutant],
        items: dict[str, pytest.Item],
        reached: _Reached,
        functions: dict[tuple[str, str, int], list[FunctionType]],
        results: dict[Mutant, str],
        budget: float,
    ) -> list[Mutant]:
        """Every mutant's result into `results`; those that nobody decided within the budget are returned."""
        running: dict[int, Mutant] = {}
        late = []

        def wait() -> None:
            child, status = os.wait()
            mutant = running.pop(child)
            if os.WIFSIGNALED(status):
                results[mutant] = "killed: no end"
            elif os.WEXITSTATUS(status) == LATE:
                late.append(mutant)
            else:
                results[mutant] = {SURVIVED: "survived", KILLED: "killed"}.get(os.WEXITSTATUS(status), "broken")
                if results[mutant] != "killed":
                    self._say(f"{results[mutant]}: {mutant.name}")
            if (len(results) + len(late)) % 50 == 0:
                self._say(f"{len(results) + len(late)} done, {_count(results)}")

        for mutant in mutants:
            tests = reached.by(mutant)
            where = (str(mutant.path), mutant.function, mutant.first_line)
            if not tests:
                results[mutant] = "not reached"
                self._say(f"not reached: {mutant.name}")
                continue
            chosen = [(items[name], reached.took[name]) for name in tests if name in items]
            while len(running) >= self._options.workers:
                wait()
            child = self._fork(lambda m=mutant, c=chosen, w=where: self._try(m, functions[w], c, budget))
            running[child] = mutant
        while running:
            wait()
        return late

    def _try(
        self, mutant: Mutant, functions: Sequence[FunctionType], tests: Sequence[tuple[pytest.Item, float]], budget: float
    ) -> int:
        code = code_of(mutant, functions[0].__code__.co_filename)
        for function in functions:
            function.__code__ = code
        began = time.perf_counter()
        for (item, took), after in zip_longest(tests, tests[1:]):
            if time.perf_counter() - began > budget:
                return LATE
            signal.alarm(int(5 + 10 * took))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after[0] if after else None)
            if self._has_failed:
                return KILLED
        return SURVIVED

    def _fork(self, work: object) -> int:
        child = os.fork()
        if child:
            return child
        folder = tempfile.mkdtemp(prefix="custody-mutant-")
        status = 4
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1):
                os.dup2(silence, stream)
            self._screen._file = os.fdopen(silence, "w")
            tempfile.tempdir = folder
            os.environ["TMPDIR"] = folder
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
            status = work()  # type: ignore[operator]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(status)

    # --- what is said --------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")

    def _report(self, results: dict[Mutant, str]) -> None:
        lived = sorted(each.name for each, result in results.items() if not result.startswith("killed"))
        (BUILD / "survived.txt").write_text("".join(f"{name}\n" for name in lived), encoding="utf-8")
        by_part: dict[str, Counter[str]] = defaultdict(Counter)
        for mutant, result in results.items():
            part = mutant.path.relative_to(ROOT / "src" / "custody").parts[0]
            by_part[part][result] += 1
        for part, counts in sorted(by_part.items()):
            self._say(f"{part:12} {_count(counts.elements())}")
        self._say(f"{'all':12} {_count(results.values())}")
        self.status = 0


def _count(results: Iterable[str]) -> str:
    counts = Counter(results.values() if isinstance(results, dict) else results)
    killed = sum(number for result, number in counts.items() if result.startswith("killed"))
    total = counts.total()
    others = ", ".join(f"{number} {result}" for result, number in sorted(counts.items()) if result != "killed")
    return f"{killed} of {total} killed ({100 * killed / max(total, 1):.1f} %){'; ' + others if others else ''}"


class _Reached:
    """Which tests run which lines, and how long each takes."""

    def __init__(self, folder: Path) -> None:
        self._data = []
        self.took: dict[str, float] = {}
        for file in sorted(folder.glob("*.json")):
            data = coverage.CoverageData(str(file.with_suffix("")))
            data.read()
            self._data.append(data)
            self.took |= json.loads(file.read_text(encoding="utf-8"))
        self._lines: dict[Path, dict[int, set[str]]] = {}

    def by(self, mutant: Mutant) -> list[str]:
        """The tests that reach the statement, one of each file in turn, and the fastest of each file first."""
        lines = self._of(mutant.path)
        first, last = mutant.around
        names = lines.get(mutant.line) or set().union(*(lines.get(each, set()) for each in range(first, last + 1)))
        files: dict[str, list[str]] = defaultdict(list)
        for name in sorted(names & self.took.keys(), key=lambda each: (self.took[each], each)):
            files[name.partition("::")[0]].append(name)
        turns = zip_longest(*sorted(files.values(), key=lambda each: self.took[each[0]]))
        return [name for turn in turns for name in turn if name is not None]

    def _of(self, path: Path) -> dict[int, set[str]]:
        if path not in self._lines:
            lines: dict[int, set[str]] = defaultdict(set)
            for data in self._data:
                for line, names in data.contexts_by_lineno(str(path)).items():
                    lines[line].update(name for name in names if name)
            self._lines[path] = lines
        return self._lines[path]


def _functions() -> dict[tuple[str, str, int], list[FunctionType]]:
    """Every function that was loaded, by file, name and first line."""
    found: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
    for each in _all_functions():
        code = each.__code__
        found[code.co_filename, code.co_qualname, code.co_firstlineno].append(each)
    return found


def _all_functions() -> Iterator[FunctionType]:
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            yield each


if __name__ == "__main__":
    sys.exit(main())
