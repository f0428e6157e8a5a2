"""How fast is it beside its peers? `make bench` runs this, prints a table and writes build/bench.json."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ageing import ageing
from contests import Course
from growth import growth
from measure import Row, conclusion, show, write, write_page
from node import Node
from peers import library_peers
from plan import MANY_ENTRIES, MILLION
from programs import Programs

from custody.ports import NodeUnavailable

LAPS = 5
_FETCH = Path(__file__).resolve().parents[2] / "scripts" / "fetch_bitcoind.sh"


def main() -> int:
    """Race everything; 0 also when a target is missed, because times depend on the machine. The table says it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--laps", type=int, default=LAPS, help="timed laps of each contest (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"), help="where the rows go")
    parser.add_argument("--page", type=Path, help="a page with marks for the table, to put it in")
    parser.add_argument("--million", action="store_true", help="only what is done on a log, of 1,000,000 entries")
    options = parser.parse_args()
    # Before this process has made anything, because it is a copy of this one.
    aged = ageing(MILLION if options.million else MANY_ENTRIES, options.laps)
    if options.million:
        show(aged, with_headings=True)
        sys.stdout.write("\n" + "\n".join(conclusion(aged)) + "\n")
        return 0
    grown = growth(options.laps)
    with ExitStack() as stack:
        node = _node(stack)
        peers = library_peers()
        programs = Programs(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        introduction = _introduction(node, options.laps)
        sys.stdout.write(introduction + "\n")
        show([], with_headings=True)
        rows: list[Row] = []
        for found in Course([*grown, *aged], peers, node, programs, options.laps).rows():
            show(found)
            rows += found
    sys.stdout.write("\n" + "\n".join(conclusion(rows)) + "\n")
    write(rows, options.output)
    sys.stdout.write(f"rows: {options.output}\n")
    if options.page:
        write_page(introduction, rows, options.page)
    return 0


def _node(stack: ExitStack) -> Node | None:
    """A node of the bitcoind that tests use; None, and the reason said, where there is none."""
    found = subprocess.run([_FETCH], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        sys.stderr.write(f"bitcoind is not raced: {found.stderr}")
        return None
    try:
        return stack.enter_context(Node(found.stdout.strip()))
    except NodeUnavailable as error:
        sys.stderr.write(f"bitcoind is not raced: {error}\n")
        return None


def _introduction(node: Node | None, laps: int) -> str:
    libraries = ", ".join(map(_named, ("coincurve", "embit", "bdkpython", "wallycore", "hwi")))
    return (
        f"{_processor()}, {os.cpu_count()} processors; Python {platform.python_version()}; {libraries}; "
        f"{node.version if node else 'no bitcoind'}.\n"
        f"CPU time of the whole work, medians of {laps} interleaved laps; 3-of-5, previous transactions included.\n"
    )


def _named(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def _processor() -> str:
    """The processor's model, as Linux tells it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


if __name__ == "__main__":
    raise SystemExit(main())
