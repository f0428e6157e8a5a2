"""How does a station that is new, or far behind, take in the log?"""

from __future__ import annotations

from pathlib import Path

import click

from custody.apps.files import FileKind, WrongFile, kind_of
from custody.apps.station_commands.desk import desk
from custody.apps.terminal import STANDARD, Verb, output, shown
from custody.apps.views.layout import table
from custody.backends.files import read_lines
from custody.examine.catchup import MAX_LINE

_BEGINNING = 4096


@click.command(name="catch-up", cls=Verb, epilog="Example: custody-station catch-up log-for-stations.jsonl")
@click.argument("file")
def catch_up(*, file: str) -> None:
    """Take in the log from a file, so that evidence can be short.

    The file is hashed first: nothing is believed that the charter's witnesses do not stand behind. Then it is folded
    and kept a part at a time. When it is stopped, the same command goes on from there.
    """
    path = Path(file)
    if file == STANDARD:
        raise click.UsageError("give a file: it is read twice")
    begun = next(read_lines(path, MAX_LINE), b"")[:_BEGINNING]
    if kind_of(begun) is not FileKind.LOG:
        found = kind_of(begun)
        raise WrongFile(path=shown(file), found=found, taken_by=found.taken_by, expected=FileKind.LOG)
    place = desk()
    with place.alone():
        before = place.station.seen().size
        taken = place.station.catch_up(lambda: read_lines(path, MAX_LINE), _tell)
    checkpoint = taken.checkpoint
    names = {each.key: each.name for each in place.charter().witnesses}
    witnesses = [names[each.key] for each in taken.cosignatures]
    rows = [
        ("log", checkpoint.origin),
        ("entries", f"{taken.state.size}, of which {before} were seen here before"),
        ("root", checkpoint.root.hex()),
        ("witnessed", ", ".join(witnesses) or "NOT WITNESSED: this charter names no witness"),
        ("state", taken.state.digest().hex()),
    ]
    output().emit(
        {
            "origin": checkpoint.origin,
            "size": taken.state.size,
            "before": before,
            "root": checkpoint.root.hex(),
            "witnesses": witnesses,
            "state": taken.state.digest().hex(),
        },
        lambda: "\n".join(("This station has taken in the log", *table(rows))),
    )
    output().next_step(f"evidence for this machine: custody transfer evidence ID --since {taken.state.size} -o FILE")


def _tell(reached: int, goal: int) -> None:
    output().progress(f"{reached} of {goal} entries ({reached * 100 // max(goal, 1)} %)")
