"""How does an officer confirm, at a station that has folded the whole log, what it comes to?"""

from __future__ import annotations

import click

from custody.apps.asking import confirm as ask
from custody.apps.files import refuse_existing
from custody.apps.keys import open_person, read_key_file
from custody.apps.station_commands.desk import desk
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output, yes_option
from custody.apps.views.layout import block, screen, table, words_block
from custody.examine.confirmed import confirming, officer_of


@click.command(cls=Verb, epilog="Example: custody-station confirm --key aigerim.key.json -o confirmed-aigerim.json")
@click.option("--key", "keyfile", metavar="KEYFILE", required=True, help="The officer's key file.")
@click.option("--size", type=click.IntRange(1), metavar="SIZE", help="The state after SIZE entries, not the last one.")
@out_option("the confirmation")
@yes_option()
@passphrase_option()
def confirm(*, keyfile: str, size: int | None, out: str, is_confirmed: bool, passphrase_file: str | None) -> None:
    """Confirm a state of the log, for stations that are new.

    The log seals its state now and then, and this station has compared it with what it folded itself. With as many
    officers' confirmations as the charter's strictest rule asks for, a station may begin with a snapshot of that state.
    """
    file = read_key_file(keyfile)
    refuse_existing(out)
    place = desk()
    charter = place.charter()
    officer, quorum = officer_of(charter, file.header.identity), confirming(charter)
    with place.alone():
        found = place.station.confirmation(size)
    rows = [
        ("entries", f"{found.size}, all of them folded here"),
        ("root", found.root.hex()),
        ("state", found.state.hex()),
        ("needed", f"{quorum.threshold} of {len(quorum.members)} officers"),
    ]
    output().talk(screen(block("A state that the log has sealed", table(rows)), words_block("State", found.digest())))
    ask("Confirm it?", is_given=is_confirmed)
    signer = open_person(file, passphrase_file)
    with place.alone():
        signed = place.station.confirm(signer, found.size)
    write_output(out, signed.to_bytes())
    output().emit(
        {
            "size": found.size,
            "root": found.root.hex(),
            "state": found.state.hex(),
            "officer": officer,
            "needed": quorum.threshold,
            "file": out,
        },
        f"{officer} confirms the state after {found.size} entries; written to {shown(out)}",
    )
    output().next_step(f"with {quorum.threshold} officers' files: custody log snapshot {shown(out)} ... -o FILE")
