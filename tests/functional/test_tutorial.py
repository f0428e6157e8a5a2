"""The tutorial is the first functional test: every command in it is typed as it stands, in an empty home.

A `console` block holds commands (after `$ `, going on after `>`) and what they print. `...` stands for any text,
also for whole lines. A command that says `# exit 4` at its end must end so; all others end with 0.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-transfer.md"
FENCE = re.compile(r"^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"\s+# exit (?P<code>\d+)$")


@dataclass(frozen=True)
class Typed:
    command: str
    printed: str
    exit_code: int


def typed() -> list[Typed]:
    found: list[Typed] = []
    for block in FENCE.finditer(TUTORIAL.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            count = 1
            while count < len(lines) and lines[count].startswith(">"):
                count += 1
            command = "\n".join([lines[0], *(line[1:].removeprefix(" ") for line in lines[1:count])])
            expected = EXIT.search(command)
            code = int(expected["code"]) if expected else 0
            found.append(Typed(EXIT.sub("", command), "\n".join(lines[count:]), code))
    return found


def matches(printed: str, shown: str) -> bool:
    pattern = re.escape(shown.strip()).replace(r"\.\.\.", ".*?")
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def script(steps: list[Typed]) -> str:
    """One shell for all of them, as one terminal; nothing is typed when a program asks."""
    blocks = (f"{{\n{step.command}\n}} > {n}.out 2>&1 < /dev/null; echo $? > {n}.code" for n, step in enumerate(steps))
    return "\n".join(blocks)


def test_every_command_of_the_tutorial_does_what_it_says(tmp_path):
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
    }
    steps = typed()
    assert len(steps) > 40
    subprocess.run(["bash", "-c", script(steps)], cwd=out, env=environment, check=True, timeout=300)
    for n, step in enumerate(steps):
        code, printed = int((out / f"{n}.code").read_text()), (out / f"{n}.out").read_text()
        if code != step.exit_code or (step.printed and not matches(printed, step.printed)):
            pytest.fail(
                f"$ {step.command}\nended with {code} (expected {step.exit_code}) and printed:\n{printed}\n"
                f"the tutorial says:\n{step.printed}"
            )
