"""What does it cost to start our programs, beside another signing program? CPU time of the whole process.

Every program has its byte code cached, as after an installation, in a folder that only this run uses.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from measure import Racer, always
from plan import HWI, OBJECTS

_BIN: Final = Path(sys.executable).parent
_FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures" / "transfer"


class Programs:
    """The programs of this environment; `folder` is theirs."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "station"
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment = plain | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}

    def help(self, program: str) -> Racer[object]:
        """`program --help`."""
        return self._racer(OBJECTS, [program, "--help"], "Usage:")

    def inspect(self) -> Racer[object]:
        """A station that trusts the charter says what a signed request asks, and whether its signature is good."""
        words = (_FIXTURES / "words.txt").read_text(encoding="ascii").splitlines()[0].split()[1:]
        station = ["custody-station", "--state", str(self._state)]
        self._run([*station, "trust", str(_FIXTURES / "charter.json"), *words])
        return self._racer(OBJECTS, [*station, "inspect", str(_FIXTURES / "request.json")], "signed by Dana")

    def hwi(self) -> list[Racer[object]]:
        """`hwi --version`, where hwi is installed."""
        if not (_BIN / "hwi").exists():
            sys.stderr.write("hwi is not raced: it is not installed\n")
            return []
        return [self._racer(HWI, ["hwi", "--version"], "hwi")]

    def _racer(self, name: str, command: Sequence[str], expected: str) -> Racer[object]:
        def check(answer: object) -> None:
            assert expected in str(answer), f"{command} says something else"

        return Racer(name, always(command), self._run, check, _children)

    def _run(self, command: Sequence[str]) -> str:
        program, *arguments = command
        done = subprocess.run(
            [_BIN / program, *arguments], env=self._environment, capture_output=True, text=True, check=True
        )
        return done.stdout


def _children() -> int:
    """Nanoseconds of CPU that finished child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((used.ru_utime + used.ru_stime) * 1e9)
