"""How does a witness stand behind a checkpoint?

It recomputes the root from the leaf hashes, checks that the log still begins with what it cosigned before, remembers
the new end, and only then lets its cosignature out. It judges no transfer: it makes sure that there is one history.
"""

from __future__ import annotations

import click

from custody.apps.files import read_alone, refuse_existing
from custody.apps.keys import KeyNotListed, open_person, read_key_file
from custody.apps.station_commands.desk import desk
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output
from custody.apps.views.layout import table
from custody.dates import moment
from custody.envelope import show_key
from custody.errors import Refused
from custody.log.witnessing import LogKey, WitnessRequest, answer


class WitnessNew(Refused, code="WITNESS_NEW"):
    """A witness of whose cosignatures this machine remembers none."""

    message = "this machine remembers nothing that {name} has cosigned of the log {origin}"
    hint = (
        "If {name} has never cosigned this log, anywhere, begin with: --first. If it has, its memory is lost: bring "
        "back the folder of its station, or call the institution. Without memory it can be shown another history."
    )
    name: str
    origin: str


@click.command(
    cls=Verb,
    epilog="Example: custody-station witness checkpoint.json --key site.key.json --name site.example -o cosigned.txt\n"
    "The first time: add --first.",
)
@click.argument("request_file")
@click.option("--key", "keyfile", metavar="KEYFILE", required=True, help="The witness's key file (kind person).")
@click.option("--name", required=True, help="The witness's name in the charter.")
@click.option("--charter", "charter_file", metavar="FILE", help="The charter; otherwise the copy kept by `trust`.")
@click.option("--first", "is_first", is_flag=True, help="This witness has never cosigned this log, anywhere.")
@out_option("the cosigned checkpoint")
@passphrase_option()
def witness(  # noqa: PLR0913 - click gives each option by its name
    *,
    request_file: str,
    keyfile: str,
    name: str,
    charter_file: str | None,
    is_first: bool,
    out: str,
    passphrase_file: str | None,
) -> None:
    """Cosign a checkpoint of the log, if it extends what this witness saw before.

    The station must trust the charter. That nothing was seen before is to be said: --first. What was seen is stored
    before the cosignature is written; restoring an old copy of this station's folder would let it be shown another
    history.
    """
    request = read_alone(WitnessRequest, request_file)
    refuse_existing(out)
    place = desk()
    with place.alone():
        charter = place.charter(charter_file)
        file = read_key_file(keyfile)
        if charter.witness_keys.get(name) != file.header.identity:
            raise KeyNotListed(role=f"witness {name[:60]!a}", key=show_key(file.header.identity))
        known, now = place.witness_state(charter, name), place.clock.now()
        if known is None and not is_first:
            raise WitnessNew(name=name, origin=charter.origin)
        signer = open_person(file, passphrase_file)
        given = answer(request, known, LogKey(charter.origin, charter.coordinator), name, signer, now)
        place.remember_witnessed(charter, name, given.state)
        write_output(out, given.signed.text().encode("utf-8"))
    before = known.size if known is not None else 0
    checkpoint = given.signed.checkpoint
    rows = [
        ("log", checkpoint.origin),
        ("entries", f"{checkpoint.size}, of which {before} were cosigned before; all of these are still there"),
        ("root", checkpoint.root.hex()),
        ("cosigned", f"by {name} at {moment(now)} by the clock of this machine"),
        ("written to", shown(out)),
    ]
    output().emit(
        {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "before": before,
            "witness": name,
            "time": now,
            "file": out,
        },
        lambda: "\n".join(("Checkpoint cosigned", *table(rows))),
    )
    output().next_step(f"carry {shown(out)} to the coordinator: custody log cosign {shown(out)}")
