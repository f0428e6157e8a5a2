"""How fast is it beside its peers? `make bench` runs this, prints a table and writes build/bench.json."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from contests import Course
from measure import Row, conclude, show, write
from node import Node
from peers import library_peers

from custody.ports import NodeUnavailable

LAPS = 5
_FETCH = Path(__file__).resolve().parents[2] / "scripts" / "fetch_bitcoind.sh"


def main() -> int:
    """Race everything; 0 also when a target is missed, because times depend on the machine. The table says it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--laps", type=int, default=LAPS, help="timed laps of each contest (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"), help="where the rows go")
    options = parser.parse_args()
    with ExitStack() as stack:
        node = _node(stack)
        _introduce(node)
        show([], with_headings=True)
        rows: list[Row] = []
        for found in Course(library_peers(), node, options.laps).rows():
            show(found)
            rows += found
    conclude(rows)
    write(rows, options.output)
    sys.stdout.write(f"rows: {options.output}\n")
    return 0


def _node(stack: ExitStack) -> Node | None:
    """A node of the bitcoind that tests use; None, and the reason said, where there is none."""
    found = subprocess.run([_FETCH], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        sys.stderr.write(found.stderr)
        return None
    try:
        return stack.enter_context(Node(found.stdout.strip()))
    except NodeUnavailable as error:
        sys.stderr.write(f"bitcoind is not raced: {error}\n")
        return None


def _introduce(node: Node | None) -> None:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("coincurve", "embit", "bdkpython", "wallycore"))
    sys.stdout.write(
        f"Python {platform.python_version()}, {os.cpu_count()} processors, {libraries}, "
        f"{node.version if node else 'no bitcoind'}\n"
        "CPU time of the whole piece of work, medians; 3-of-5 wsh, previous transactions included\n\n"
    )


if __name__ == "__main__":
    raise SystemExit(main())
