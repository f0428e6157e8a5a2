"""How do witnesses come to stand behind the log, and how is it checked and taken away?

A checkpoint leaves as a file, is cosigned elsewhere (custody-station witness), and comes back. What is exported is a
line an entry, each with its own hash, so that damage is located.
"""

from __future__ import annotations

import click

from custody.apps.coordinator import coordinator
from custody.apps.files import FileKind, read_text, refuse_existing
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output
from custody.apps.views.layout import table
from custody.apps.views.log import names_of, witnessed_data, witnessed_rows
from custody.log import SignedCheckpoint, write_line
from custody.log.checkpoint import MAX_CHECKPOINT


@click.command(cls=Verb, epilog="Example: custody log checkpoint -o checkpoint.json")
@out_option("the checkpoint")
@passphrase_option("the coordinator's key")
def checkpoint(*, out: str, passphrase_file: str | None) -> None:
    """Sign the log as it stands, for witnesses to cosign.

    The file holds the checkpoint and the hashes of all entries; a witness sees no amounts and no names.
    """
    refuse_existing(out)
    with coordinator().work(passphrase_file) as work:
        work.key.unlock()
        request = work.custodian.checkpoint()
    write_output(out, request.to_bytes())
    made = SignedCheckpoint.parse(request.checkpoint).checkpoint
    output().emit(
        {"origin": made.origin, "size": made.size, "root": made.root.hex(), "file": out},
        f"checkpoint of {made.size} entries under root {made.root.hex()}",
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
        given = [
            SignedCheckpoint.parse(read_text(path, MAX_CHECKPOINT, "the checkpoint's file", FileKind.CHECKPOINT))
            for path in files
        ]
        # A later file of the same checkpoint answers with the cosignatures of the earlier ones as well.
        kept = [names_of(work.custodian.cosigned(each), charter) for each in given]
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
        desk.folders.check_seen(view)
        note = view.checkpoint()
        desk.folders.remember_seen(view)
    rows = [
        ("entries", f"{frontier.size}, every one in its place and folded"),
        ("root", frontier.root.hex()),
        *witnessed_rows(note, history.charter),
    ]
    output().emit(
        {
            "size": frontier.size,
            "root": frontier.root.hex(),
            "charter": desk.settings.charter.hex(),
            "frozen_by": history.frozen_by,
            "checkpoint": witnessed_data(note, history.charter),
        },
        lambda: "\n".join(("The log is sound", *table(rows))),
    )


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
