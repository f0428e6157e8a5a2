"""How does a station that is new, or far behind, take in the log?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from custody.apps.asking import confirm
from custody.apps.files import FileKind, WrongFile, kind_of
from custody.apps.station_commands.desk import desk
from custody.apps.terminal import STANDARD, Verb, output, shown, yes_option
from custody.apps.views.layout import table
from custody.apps.views.station import began, began_data
from custody.backends.files import read_lines
from custody.examine.catchup import MAX_LINE

_BEGINNING = 4096


@click.command(name="catch-up", cls=Verb, epilog="Example: custody-station catch-up log-for-stations.jsonl")
@click.argument("file")
@yes_option()
def catch_up(*, file: str, is_confirmed: bool) -> None:
    """Take in the log from a file, so that evidence can be short.

    The file is hashed first: nothing is believed that the charter's witnesses do not stand behind. Then it is folded
    and kept a part at a time. When it is stopped, the same command goes on from there.

    Of a snapshot (custody log snapshot) the past is not folded: enough officers have confirmed at their stations what
    it comes to. That this station began so is asked first, and told for ever.
    """
    path = Path(file)
    if file == STANDARD:
        raise click.UsageError("give a file: it is read twice")
    begun = next(read_lines(path, MAX_LINE), b"")[:_BEGINNING]
    kind = kind_of(begun)
    if kind not in {FileKind.LOG, FileKind.SNAPSHOT}:
        raise WrongFile(path=shown(file), found=kind, taken_by=kind.taken_by, expected=FileKind.LOG)

    def lines() -> Iterator[bytes]:
        return read_lines(path, MAX_LINE)

    place = desk()
    agreed = None
    if kind is FileKind.SNAPSHOT:
        confirmed, officers = agreed = place.station.offered(lines)
        folded = place.station.seen().size
        own = f" The {folded} that it has seen so far are taken from the snapshot, too." if folded else ""
        output().talk(
            f"A snapshot of {confirmed.size} entries, confirmed by {', '.join(officers)}.{own}\n"
            "This station will not have folded those entries itself, and will say so for ever. To fold them, take in "
            "the whole log instead: custody log export --for-stations."
        )
        confirm("Begin with it?", is_given=is_confirmed)
    with place.alone():
        before = place.station.seen().size
        taken = place.station.catch_up(lines, _tell) if agreed is None else place.station.begin(lines, _tell, agreed)
        start, size = place.station.state().start, place.station.seen().size
    place.tell_frozen()
    checkpoint = taken.checkpoint
    names = {each.key: each.name for each in place.charter().witnesses}
    witnesses = [names[each.key] for each in taken.cosignatures]
    rows = [
        ("log", checkpoint.origin),
        ("entries", f"{taken.state.size}, of which {before} were seen here before"),
        ("began", began(start, size)),
        ("root", checkpoint.root.hex()),
        ("witnessed", ", ".join(witnesses) or "NOT WITNESSED: this charter names no witness"),
        ("state", taken.state.digest().hex()),
    ]
    output().emit(
        {
            "origin": checkpoint.origin,
            "size": taken.state.size,
            "before": before,
            "began": began_data(start, size),
            "root": checkpoint.root.hex(),
            "witnesses": witnesses,
            "state": taken.state.digest().hex(),
        },
        lambda: "\n".join(("This station has taken in the log", *table(rows))),
    )
    if taken.state.size == before:
        output().talk("nothing in it was new: this station had seen all of it before")
    output().next_step(f"evidence for this machine: custody transfer evidence ID --since {taken.state.size} -o FILE")


def _tell(reached: int, goal: int) -> None:
    output().progress(f"{reached} of {goal} entries ({reached * 100 // max(goal, 1)} %)")
