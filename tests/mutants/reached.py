"""Which tests run a line, and how long does each take? Every test runs once, and it is noted."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

import coverage
import pytest
from mutate import Mutant


class Reached:
    """What was noted, in a folder that `write` filled."""

    def __init__(self, folder: Path) -> None:
        self._data = []
        self.took: Final[dict[str, float]] = {}
        for file in sorted(folder.glob("*.json")):
            data = coverage.CoverageData(str(file.with_suffix("")))
            data.read()
            self._data.append(data)
            self.took.update(json.loads(file.read_text(encoding="utf-8")))
        self._lines: dict[Path, dict[int, set[str]]] = {}

    def by(self, mutant: Mutant) -> list[str]:
        """The tests that reach the change: one of each file in turn, its own file and the fastest first."""
        lines = self._of(mutant.path)
        # Of an expression over several lines, a test may run some only; of a statement, whoever noted it knows best.
        own, around = range(mutant.line, mutant.last_line + 1), range(mutant.around[0], mutant.around[1] + 1)
        names = next(
            filter(None, (set().union(*(lines.get(each, set()) for each in part)) for part in (own, around))), set()
        )
        files: dict[str, list[str]] = defaultdict(list)
        for name in sorted(names & self.took.keys(), key=lambda each: (self.took[each], each)):
            files[name.partition("::")[0]].append(name)
        own = f"/test_{mutant.path.stem}.py"
        turns = zip_longest(*sorted(files.values(), key=lambda each: (own not in each[0], self.took[each[0]])))
        return [name for turn in turns for name in turn if name is not None]

    def _of(self, path: Path) -> dict[int, set[str]]:
        if path not in self._lines:
            lines: dict[int, set[str]] = defaultdict(set)
            for data in self._data:
                for line, names in data.contexts_by_lineno(str(path)).items():
                    lines[line].update(name for name in names if name)
            self._lines[path] = lines
        return self._lines[path]


class Noting:
    """Runs tests and writes what each reaches."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._measured = coverage.Coverage(data_file=str(data), config_file=False, source_pkgs=["custody"])

    def run(self, items: Sequence[pytest.Item], passed: Iterator[bool]) -> None:
        """Run them; `passed` says after each whether it did. One that fails by itself decides nothing."""
        took = {}
        self._measured.start()
        for item, after in zip_longest(items, items[1:]):
            self._measured.switch_context(item.nodeid)
            began = time.perf_counter()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if next(passed):
                took[item.nodeid] = time.perf_counter() - began
        self._measured.stop()
        self._measured.save()
        self._data.with_suffix(".json").write_text(json.dumps(took), encoding="utf-8")


def folder_of(build: Path, root: Path, asked: Sequence[str]) -> Path:
    """Where it is noted what the tests `asked` for reach, with code and tests as they are; older notes are removed."""
    named, digest = hashlib.sha256(json.dumps(list(asked)).encode()), hashlib.sha256()
    for file in sorted([*(root / "src").rglob("*.py"), *(root / "tests").rglob("*.py")]):
        if "mutants" not in file.relative_to(root).parts:
            digest.update(file.read_bytes())
    begins = f"reached-{named.hexdigest()[:8]}-"
    folder = build / f"{begins}{digest.hexdigest()[:16]}"
    for older in build.glob(f"{begins}*"):
        if older != folder:
            shutil.rmtree(older)
    return folder
