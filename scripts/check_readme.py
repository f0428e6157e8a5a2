"""Does the README show the help that the programs really print?

Every fenced block of README.md that starts with `$ custody ... --help` or `$ custody-station ... --help` is compared
with the output of that command at 80 columns. A block may hold several such commands. A README without one is wrong.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
_FENCE = re.compile(r"^```[a-z]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (?P<command>(?:custody|custody-station)(?: .*)? --help)$")


def shown_helps(markdown: str) -> Iterator[tuple[str, list[str]]]:
    """Each help command of `markdown` and the lines shown under it."""
    for block in _FENCE.finditer(markdown):
        command, lines = None, []
        for line in [*block["body"].splitlines(), "$ "]:
            if not line.startswith("$ "):
                lines.append(line)
                continue
            if command is not None:
                yield command, lines
            match = _COMMAND.match(line)
            command, lines = (match["command"] if match else None), []


def real_help(command: str) -> list[str]:
    """What `command` prints, run from the environment that runs this check."""
    program, *arguments = shlex.split(command)
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    path = Path(sys.executable).with_name(program)
    ended = subprocess.run([path, *arguments], capture_output=True, text=True, env=environment, check=False)
    return (ended.stdout if ended.returncode == 0 else ended.stdout + ended.stderr).splitlines()


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(line.rstrip() for line in lines).strip("\n").splitlines()


def main() -> int:
    """0 when every block agrees, 1 with a difference printed otherwise."""
    if not README.exists():
        print("check_readme: there is no README.md")
        return 1
    checked = wrong = 0
    for command, shown in shown_helps(README.read_text(encoding="utf-8")):
        checked += 1
        difference = list(
            difflib.unified_diff(_trimmed(shown), _trimmed(real_help(command)), "README.md", command, lineterm="", n=1)
        )
        if difference:
            wrong += 1
            print("\n".join(difference))
    if not checked:
        print("check_readme: README.md shows no help of custody or custody-station")
        return 1
    print(f"check_readme: {checked - wrong} of {checked} help texts agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
