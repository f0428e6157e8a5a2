"""How is work timed side by side, and what becomes of the times? CPU time, interleaved laps, medians, ratios.

All who race do the same work one after another, lap after lap, so that a busy machine slows everybody. Each has a clock
of its own: this process's CPU time, or that of the node which works for it. What a racer needs anew for each lap is
made outside the clock, and the first lap, which nobody times, is where their answers are checked.

Times are microseconds of CPU for the whole piece of work.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from plan import Goal

Ready = TypeVar("Ready")
Clock = Callable[[], int]
"""Nanoseconds of CPU so far."""


def always(value: object) -> Callable[[], object]:
    """Nothing to prepare: the same `value` in every lap."""
    return lambda: value


@dataclass(frozen=True)
class Racer(Generic[Ready]):
    """Somebody who can do a piece of work: `run(prepare())`, of which only `run` is timed.

    `check` looks at what the untimed lap gave and raises AssertionError where it is not what it should be.
    """

    name: str
    prepare: Callable[[], Ready]
    run: Callable[[Ready], object]
    check: Callable[[object], None] = lambda _: None
    clock: Clock = time.process_time_ns


def race(racers: Sequence[Racer[object]], laps: int) -> dict[str, float]:
    """Median microseconds by name, over `laps` laps after one that is not timed."""
    times: dict[str, list[int]] = {each.name: [] for each in racers}
    for each in racers:
        each.check(each.run(each.prepare()))
    # What has been made so far stays until the end; without this every collection would walk through it.
    gc.collect()
    gc.freeze()
    for _ in range(laps):
        for each in racers:
            ready = each.prepare()
            start = each.clock()
            answer = each.run(ready)
            times[each.name].append(each.clock() - start)
            del answer, ready
    return {name: statistics.median(found) / 1000 for name, found in times.items()}


@dataclass(frozen=True)
class Row:
    """One line of the table. Without a peer's time there is no ratio; without a target nothing to meet."""

    name: str
    size: int
    ours_us: float | None
    peer: str
    peer_us: float | None
    ratio: float | None
    target: float | None
    met: bool | None

    @classmethod
    def of(cls, goal: Goal, ours_us: float, peer_us: float | None) -> Row:
        """What became of a goal; `peer_us` is None where the peer could not be measured."""
        ratio = None if peer_us is None else ours_us / peer_us
        return cls(
            name=goal.title,
            size=goal.size,
            ours_us=round(ours_us, 1),
            peer=goal.peer,
            peer_us=None if peer_us is None else round(peer_us, 1),
            ratio=None if ratio is None else round(ratio, 4),
            target=goal.target,
            met=None if ratio is None or goal.target is None else ratio <= goal.target,
        )

    @property
    def verdict(self) -> str:
        """What the table says in its last column."""
        if self.ratio is None:
            return "not measured"
        return {True: "met", False: "MISSED", None: ""}[self.met]


def contest(planned: Sequence[Goal], racers: Sequence[Racer[object]], laps: int) -> list[Row]:
    """Race those whom these goals compare, and a row for each goal; a peer that is not among them has no time."""
    wanted = {goal.ours for goal in planned} | {goal.peer for goal in planned}
    times = race([each for each in racers if each.name in wanted], laps)
    return [Row.of(goal, times[goal.ours], times.get(goal.peer)) for goal in planned]


_HEADINGS = ("work", "size", "ours ms", "peer", "peer ms", "ratio", "target", "")
_PAGE_START = "<!-- what `make bench` wrote: do not edit by hand -->\n"
_PAGE_END = "<!-- end -->\n"


def show(rows: Iterable[Row], *, with_headings: bool = False) -> None:
    """Print rows, as they come."""
    for work, size, ours, peer, theirs, ratio, target, verdict in (
        *((_HEADINGS,) if with_headings else ()),
        *map(_columns, rows),
    ):
        line = f"{work:<53} {size:>7} {ours:>9}  {peer:<31} {theirs:>9} {ratio:>6} {target:>7}  {verdict}"
        sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def _columns(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.size:,}",
        _number(row.ours_us, 1000, 2),
        row.peer,
        _number(row.peer_us, 1000, 2),
        _number(row.ratio, 1, 3),
        "" if row.target is None else f"<= {row.target:g}",
        row.verdict,
    )


def _number(value: float | None, divisor: int, digits: int) -> str:
    return "-" if value is None else f"{value / divisor:,.{digits}f}"


def conclusion(rows: Sequence[Row]) -> list[str]:
    """Which targets were met, missed and not measured, a line each."""
    judged = [row for row in rows if row.met is not None]
    missed = [row for row in judged if not row.met]
    unmeasured = [row for row in rows if row.target is not None and row.met is None]
    return [
        f"{len(judged) - len(missed)} of {len(judged)} targets met",
        *(f"MISSED: {row.name}, {row.size:,}: {row.ratio} of {row.peer}, target {row.target:g}" for row in missed),
        *(f"not measured: {row.name}, {row.size:,}, against {row.peer}" for row in unmeasured),
    ]


def write(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as JSON: a list of objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="ascii")


def write_page(introduction: str, rows: Sequence[Row], page: Path) -> None:
    """Put the run into a page, between the two marks that stand there; what is around them stays.

    Raises:
        ValueError: the page has not both marks.
    """
    before, start, rest = page.read_text(encoding="utf-8").partition(_PAGE_START)
    _, end, after = rest.partition(_PAGE_END)
    if not start or not end:
        raise ValueError(f"{page} has no place for the table")
    lines = [f"| {' | '.join(columns)} |" for columns in (_HEADINGS, _RULE, *map(_columns, rows))]
    summary = "".join(f"- {line}\n" for line in conclusion(rows))
    table = "\n".join(lines)
    page.write_text(f"{before}{start}\n{introduction}\n{table}\n\n{summary}\n{end}{after}", encoding="utf-8")


_RULE = ("---", "---:", "---:", "---", "---:", "---:", "---:", "---")
