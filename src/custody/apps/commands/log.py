"""How do witnesses come to stand behind the log, and how is it checked and taken away?

A checkpoint leaves as a file, is cosigned elsewhere (custody-station witness), and comes back. What is exported is a
line an entry, each with its own hash, so that damage is located.
"""

from __future__ import annotations

import click

from custody.apps.commands.vault import FileNotText
from custody.apps.config import shown
from custody.apps.coordinator import coordinator
from custody.apps.station_commands.desk import refuse_existing
from custody.apps.station_commands.layout import moment, table
from custody.apps.terminal import JsonValue, Verb, out_option, output, passphrase_option, read_input, write_output
from custody.charter.document import Charter, UnknownName
from custody.log import SignedCheckpoint, verify_checkpoint, witnesses_of, write_line
from custody.log.checkpoint import MAX_CHECKPOINT, Cosignature


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
            sizes = work.custodian.sizes_seen()
            if name not in sizes:
                raise UnknownName(what="witness", name=ascii(name[:60]), known=", ".join(sizes) or "none")
            since = sizes[name]
        work.key.unlock()
        request = work.custodian.checkpoint(since)
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
    output().next_step(f"at each witness: custody-station witness {shown(out)} --key KEYFILE --name NAME -o FILE")


@click.command(cls=Verb)
@click.argument("files", nargs=-1, required=True)
def cosign(*, files: tuple[str, ...]) -> None:
    """Take in checkpoints that witnesses have cosigned.

    Give every witness's file, at once or one after the other: cosignatures on the same checkpoint are joined.
    """
    with coordinator().work() as work:
        charter = work.custodian.history().charter
        given = [SignedCheckpoint.parse(_text(path)) for path in files]
        # A later file of the same checkpoint answers with the cosignatures of the earlier ones as well.
        kept = [_names(work.custodian.cosigned(each), charter) for each in given]
    checkpoint, names = given[-1].checkpoint, kept[-1]
    is_enough = len(names) >= charter.witness_threshold
    needed = f"{len(names)} of {charter.witness_threshold} needed"
    output().emit(
        {
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "witnesses": names,
            "threshold": charter.witness_threshold,
            "is_enough": is_enough,
        },
        f"checkpoint of {checkpoint.size} entries, cosigned by {', '.join(names) or 'no witness'} ({needed})",
    )
    if is_enough:
        output().next_step("go on with what needed it: custody transfer evidence, or custody transfer release")


def _text(path: str) -> str:
    try:
        return read_input(path, MAX_CHECKPOINT).decode("utf-8")
    except UnicodeDecodeError:
        raise FileNotText(what="the checkpoint's file") from None


def _names(cosignatures: tuple[Cosignature, ...], charter: Charter) -> list[str]:
    """Names of the charter's witnesses who stand under a checkpoint."""
    names = {each.key: each.name for each in charter.witnesses}
    return sorted(names[each.key] for each in cosignatures if each.key in names)


@click.command(cls=Verb)
def verify() -> None:
    """Recompute every hash of the log, and fold it anew.

    Checks each entry and its body, the root, every kept checkpoint, and that each entry fits what stands before it. It
    trusts nothing in the store but the charter's digest, which is pinned outside.
    """
    desk = coordinator()
    frontier = desk.store.verify()
    history = desk.history()
    with desk.store.read() as view:
        desk.place.check_seen(view)
        note = view.checkpoint()
        desk.place.remember_seen(view)
    rows = [
        ("entries", f"{frontier.size}, every one in its place and folded"),
        ("root", frontier.root.hex()),
        *_witnessed_rows(note, history.charter),
    ]
    output().emit(
        {
            "size": frontier.size,
            "root": frontier.root.hex(),
            "charter": desk.settings.charter.hex(),
            "frozen_by": history.frozen_by,
            "checkpoint": _checkpoint_data(note, history.charter),
        },
        lambda: "\n".join(("The log is sound", *table(rows))),
    )


def _witnessed_rows(note: str | None, charter: Charter) -> list[tuple[str, str]]:
    if note is None:
        return [("witnessed", "no checkpoint is kept: nobody else stands behind this log yet")]
    signed, cosignatures = _checked(note, charter)
    times = ", ".join(moment(each.time) for each in cosignatures)
    by = ", ".join(_names(cosignatures, charter)) or "no witness"
    return [("witnessed", f"the first {signed.checkpoint.size} by {by}{f' at {times}' if times else ''}")]


def _checkpoint_data(note: str | None, charter: Charter) -> JsonValue:
    if note is None:
        return None
    signed, cosignatures = _checked(note, charter)
    return {
        "size": signed.checkpoint.size,
        "root": signed.checkpoint.root.hex(),
        "witnesses": _names(cosignatures, charter),
    }


def _checked(note: str, charter: Charter) -> tuple[SignedCheckpoint, tuple[Cosignature, ...]]:
    signed = SignedCheckpoint.parse(note)
    verify_checkpoint(signed, charter.origin, charter.coordinator)
    return signed, witnesses_of(signed, {each.name: each.key for each in charter.witnesses})


@click.command(cls=Verb, epilog="Example: custody log export -o log.jsonl")
@out_option("the log")
def export(*, out: str) -> None:
    """Write the whole log, a line an entry.

    Each line carries its leaf hash, so that anybody can check it against a checkpoint. It shows everything: amounts,
    addresses and names.
    """
    refuse_existing(out)
    desk = coordinator()
    with desk.store.read() as view:
        lines = [write_line(entry) for entry in view.entries()]
        root = view.root
    write_output(out, b"".join(line + b"\n" for line in lines))
    output().emit(
        {"size": len(lines), "root": root.hex(), "file": out}, f"{len(lines)} entries under root {root.hex()}"
    )
