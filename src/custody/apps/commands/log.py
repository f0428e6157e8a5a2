"""How do witnesses come to stand behind the log, and how is it checked and taken away?

A checkpoint leaves as a file, is cosigned elsewhere (custody-station witness), and comes back. What is exported is a
line an entry, each with its own hash, so that damage is located.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from custody.apps.asking import confirm
from custody.apps.commands.telling import LineCount, tell_folded
from custody.apps.coordinator import Coordinator, coordinator
from custody.apps.files import FileKind, read_text, refuse_existing
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output, yes_option
from custody.apps.views.layout import table
from custody.apps.views.log import names_of, witnessed_data, witnessed_rows
from custody.charter.document import UnknownName
from custody.custodian import erasable
from custody.history import kinds
from custody.likely import did_you_mean, some_of
from custody.log import NotInLog, SignedCheckpoint, write_line
from custody.log.checkpoint import MAX_CHECKPOINT
from custody.logbook import read_entries
from custody.rebuild import verify_deep

_ERASABLE: Final = {
    str(kinds.ANNEXED): "an annex: for whom an address was given out, or a reason",
    str(kinds.DEPOSIT_SEEN): "a deposit: the coin will not be known here any more, and no transfer will spend it",
}


@click.command(cls=Verb, epilog="Example: custody log checkpoint -o checkpoint.json")
@click.option("--since", type=click.IntRange(min=0), metavar="SIZE", help="For a witness that has seen SIZE entries.")
@click.option("--for-witness", "name", metavar="NAME", help="For this witness, from what it cosigned last.")
@out_option("the checkpoint")
@passphrase_option("the coordinator's key")
def checkpoint(*, since: int | None, name: str | None, out: str, passphrase_file: str | None) -> None:
    """Sign the log as it stands, for witnesses to cosign.

    The file holds the checkpoint and the hashes of the entries that the witness who is furthest behind has not cosigned
    yet; no amounts and no names. One that has seen more skips some, one that has seen less says where to begin.
    """
    if since is not None and name is not None:
        raise click.UsageError("give --since or --for-witness, not both")
    refuse_existing(out)
    with coordinator().work(passphrase_file) as work:
        if name is not None:
            sizes = work.custodian.showing.sizes_seen()
            if name not in sizes:
                known = some_of(sizes) + did_you_mean(name, sizes)
                raise UnknownName(what="witness", name=ascii(name[:60]), known=known)
            since = sizes[name]
        work.key.unlock()
        request = work.custodian.showing.checkpoint(since)
        rest = work.custodian.history().size - request.signed().checkpoint.size
    write_output(out, request.to_bytes())
    made = request.signed().checkpoint
    output().emit(
        {
            "origin": made.origin,
            "size": made.size,
            "since": request.since,
            "root": made.root.hex(),
            "file": out,
        },
        f"checkpoint of {made.size} entries under root {made.root.hex()}, with those after the first {request.since}",
    )
    output().next_step(
        f"at each witness: custody-station witness {shown(out)} --key KEYFILE --name NAME -o FILE"
        + (f"; then for the other {rest} entries: custody log checkpoint --since {made.size}" if rest > 0 else "")
    )


@click.command(cls=Verb)
@click.argument("files", nargs=-1, required=True)
def cosign(*, files: tuple[str, ...]) -> None:
    """Take in checkpoints that witnesses have cosigned.

    Give every witness's file, at once or one after the other: cosignatures on the same checkpoint are joined.
    """
    desk = coordinator()
    with desk.work() as work:
        charter = work.custodian.history().charter
        given = [
            SignedCheckpoint.parse(read_text(path, MAX_CHECKPOINT, "the checkpoint's file", FileKind.CHECKPOINT))
            for path in files
        ]
        sizes = {each.checkpoint.size for each in given}
        before = desk.notes(sizes)
        # A later file of the same checkpoint answers with the cosignatures of the earlier ones as well.
        kept = [names_of(work.custodian.showing.cosigned(each), charter) for each in given]
    checkpoint, names, is_new = given[-1].checkpoint, kept[-1], desk.notes(sizes) != before
    is_enough = len(names) >= charter.witness_threshold
    needed = f"{len(names)} of {charter.witness_threshold} needed"
    output().emit(
        {
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "witnesses": names,
            "threshold": charter.witness_threshold,
            "is_enough": is_enough,
            "is_new": is_new,
        },
        f"checkpoint of {checkpoint.size} entries, cosigned by {', '.join(names) or 'no witness'} ({needed})",
    )
    if not is_new:
        output().talk("nothing in it was new: all of this was taken in before")
    if is_enough:
        output().next_step("go on with what needed it: custody transfer evidence, or custody transfer release")


@click.command(cls=Verb)
@click.option("--deep", "is_deep", is_flag=True, help="Fold the log anew as well, and compare what is kept of it.")
def verify(*, is_deep: bool) -> None:
    """Recompute every hash of the log.

    Checks each entry and its body, the root, and every kept checkpoint. With --deep also that each entry fits what
    stands before it, and that what is kept beside the log is what the log makes: it trusts nothing in the store but the
    charter's digest, which is pinned outside. Nothing is changed; custody store rebuild does that.
    """
    desk = coordinator()
    store, charter = desk.store, desk.settings.charter
    frontier = verify_deep(store, charter, tell_folded).frontier if is_deep else store.verify()
    if is_deep:
        desk.check_beside()
    history = desk.history()
    with desk.store.read() as view:
        desk.folders.check_seen(view)
        note = view.checkpoint()
        desk.folders.remember_seen(view)
    rows = [
        ("entries", f"{frontier.size}, every one in its place{' and folded' if is_deep else ''}"),
        ("root", frontier.root.hex()),
        *witnessed_rows(note, history.charter),
    ]
    output().emit(
        {
            "size": frontier.size,
            "root": frontier.root.hex(),
            "is_folded": is_deep,
            "charter": desk.settings.charter.hex(),
            "checkpoint": witnessed_data(note, history.charter),
        },
        lambda: "\n".join(("The log is sound", *table(rows))),
    )


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  custody log export -o log.jsonl
  custody log export --for-stations -o log-for-stations.jsonl""",
)
@click.option(
    "--for-stations", "is_for_stations", is_flag=True, help="What stations take in: custody-station catch-up."
)
@click.option("--since", type=click.IntRange(0), default=0, metavar="SIZE", help="What has come since SIZE entries.")
@out_option("the log")
@passphrase_option("the coordinator's key")
def export(*, is_for_stations: bool, since: int, out: str, passphrase_file: str | None) -> None:
    """Write the whole log, a line an entry.

    Each line carries its leaf hash, so that anybody can check it against a checkpoint. It shows everything: amounts,
    addresses and names.

    With --for-stations it begins with a checkpoint that witnesses cosigned, and leaves out what no station needs. A
    station that is new, or far behind, takes it in at once; evidence for it is short from then on.
    """
    refuse_existing(out)
    desk = coordinator()
    if is_for_stations:
        with desk.work(passphrase_file) as work:
            if not work.custodian.history().charter.witnesses:
                work.key.unlock()
            lines = work.custodian.showing.log_file(since)
    else:
        lines = _all_lines(desk, since)
    counted = LineCount()
    write_output(out, counted.told(lines))
    size = since + counted.lines - int(is_for_stations)
    left_out = desk.history().size - size
    more = f"; {left_out} more were left out, which no witness has cosigned yet (custody log checkpoint)"
    output().emit(
        {"since": since, "size": size, "left_out": left_out, "file": out},
        f"{size - since} entries, up to {size}: {shown(out)}{more if is_for_stations and left_out else ''}",
    )
    if is_for_stations:
        output().next_step(f"at the station: custody-station catch-up {shown(out)}")


@click.command(cls=Verb, epilog="Example: custody log erase 17 --why 'asked for by the payer, letter of 3 May'")
@click.argument("index", type=click.IntRange(min=0))
@click.option("--why", metavar="TEXT", required=True, help="Why. It stands in the log, for good: name nobody.")
@yes_option()
def erase(*, index: int, why: str, is_confirmed: bool) -> None:
    """Erase what an entry says about people, for good.

    INDEX is an entry of the log: the annex of an address (custody vault addresses) or of a request (custody transfer
    show) or a deposit (custody coin list --json) that no live transfer spends. No other may be erased. That it was
    erased is entered; the entry's hash stays, and so does everything else that the log says. Backups and files written
    before are not touched.
    """
    desk = coordinator()
    history = desk.history()
    with desk.store.read() as view:
        entry = erasable(history, view, index).entry
    output().talk(f"entry {index} is {_ERASABLE[entry]}")
    confirm("Erase it for good?", is_given=is_confirmed)
    with desk.work() as work:
        erased = work.custodian.erase(index, why)
    output().emit(
        {"index": erased.index, "entry": erased.entry, "why": erased.why, "at": erased.at},
        f"entry {erased.index} ({erased.entry}) is erased, and the log says so",
    )


def _all_lines(desk: Coordinator, since: int) -> Iterator[bytes]:
    with desk.store.read() as view:
        size = view.size
    if since > size:
        raise NotInLog(index=since, size=size, entries=size)
    return (write_line(entry) for entry in read_entries(desk.store, since, size))
