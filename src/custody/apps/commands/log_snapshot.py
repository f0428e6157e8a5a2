"""How does a station begin that is to fold nothing of the past: seal the state, have it confirmed, write it out?"""

from __future__ import annotations

import click

from custody.apps.commands.telling import LineCount
from custody.apps.coordinator import coordinator
from custody.apps.files import read_signed, refuse_existing
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output
from custody.apps.views.layout import table
from custody.examine.confirmed import StateConfirmed, check_confirmed, joined


@click.command(cls=Verb)
def seal() -> None:
    """Enter what the log's state is, for officers to confirm.

    The log does so by itself every thousand entries. Whoever folds past it compares; a snapshot for stations that are
    new is of a state that was sealed.
    """
    with coordinator().work() as work:
        before = work.custodian.history().size
        sealed = work.custodian.seal()
    is_new = sealed.size >= before
    rows = [("entries", str(sealed.size)), ("state", sealed.state.hex())]
    output().emit(
        {"size": sealed.size, "state": sealed.state.hex(), "is_new": is_new},
        lambda: "\n".join(("The state is sealed" if is_new else "The state was sealed already", *table(rows))),
    )
    output().next_step(
        "have the log cosigned, and shown to officers' stations (custody log export --for-stations, custody-station "
        "catch-up); then at each: custody-station confirm --key KEYFILE -o FILE"
    )


@click.command(
    cls=Verb, epilog="Example: custody log snapshot confirmed-aigerim.json confirmed-bolat.json -o snapshot.jsonl"
)
@click.argument("confirmations", nargs=-1, required=True)
@out_option("the snapshot")
@passphrase_option("the coordinator's key")
def snapshot(*, confirmations: tuple[str, ...], out: str, passphrase_file: str | None) -> None:
    """Write a confirmed state, for a station to begin with.

    CONFIRMATIONS are what officers' stations have signed (custody-station confirm), all of the same state, by as many
    officers as the charter's strictest rule asks for. The file holds the rows of that state and the whole log without
    what no station needs. A station that begins with it does not fold that log, and says so for ever.
    """
    refuse_existing(out)
    given = [read_signed(StateConfirmed, path) for path in confirmations]
    desk = coordinator()
    with desk.work(passphrase_file) as work:
        charter = work.custodian.history().charter
        confirmed, officers = check_confirmed(joined(given, charter), charter)
        if not charter.witnesses:
            work.key.unlock()
        lines = work.custodian.showing.snapshot(given)
    write_output(out, LineCount().told(lines))
    rows = [
        ("entries", str(confirmed.size)),
        ("state", confirmed.state.hex()),
        ("confirmed", f"by {', '.join(officers)}"),
        ("written to", shown(out)),
    ]
    output().emit(
        {
            "size": confirmed.size,
            "root": confirmed.root.hex(),
            "state": confirmed.state.hex(),
            "officers": list(officers),
            "file": out,
        },
        lambda: "\n".join(("Snapshot of the log's state", *table(rows))),
    )
    output().next_step(f"at the station, once it trusts the charter: custody-station catch-up {shown(out)}")
