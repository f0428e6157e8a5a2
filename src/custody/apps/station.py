"""`custody-station`: the program of the air-gapped machine.

It reaches no network and no database, and starts no program but the one that talks to a hardware device: a hook set
before anything else refuses them (PEP 578). The hook is no sandbox, which this process could not be to itself; it makes
every accident and every careless dependency loud. The cable that is not plugged in is what keeps the machine offline.

Commands are in `station_commands`, imported one at a time; what they decide is in `custody.station`.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Final, NoReturn

import click

from custody.apps.terminal import Lazy, Program, run
from custody.errors import Refused

_COMMANDS: Final = "custody.apps.station_commands"


class StationOffline(Refused, code="STATION_OFFLINE"):
    """Something in this program reached for the outside."""

    message = "this program reaches nothing outside its machine, and something asked for {event}"
    hint = "Report it with the command that was run, and do not use this installation: it is not what was reviewed."
    event: str


_REFUSED: Final = ("socket.", "sqlite3.", "subprocess.", "urllib.", "http.", "ftplib.", "smtplib.", "telnetlib.")
_REFUSED_EXACTLY: Final = frozenset(
    {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn"}
)
MEMORY: Final = "station.db"
"""The file of what this station trusts and has seen, in its folder."""
_HARMLESS: Final = frozenset({"socket.gethostname"})


def refuse_outside() -> None:
    """Refuse sockets, other programs, and databases but the station's own file, from here on, for good."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    is_refused = event in _REFUSED_EXACTLY or (event.startswith(_REFUSED) and event not in _HARMLESS)
    if is_refused and not (
        _is_own_file(event, arguments) or (event == "subprocess.Popen" and _is_device(event, arguments))
    ):
        raise StationOffline(event=event)


def _is_own_file(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether SQLite opens what this station has seen, and nothing else."""
    if event == "sqlite3.connect/handle":
        return True  # the second word about a file whose name was looked at
    name = str(arguments[0]).partition("?")[0].rpartition("/")[2] if arguments else ""
    return event == "sqlite3.connect" and name in {MEMORY, f".{MEMORY}.new"}


def _is_device(event: str, arguments: tuple[object, ...]) -> bool:
    # Loaded when a device was named, and then it is there already; otherwise only to refuse another program.
    from custody.backends.hwi.program import is_device_start  # noqa: PLC0415

    return is_device_start(event, arguments)


program: Final = Program(
    "custody-station",
    "The air-gapped machine: trust a charter, examine transfers, approve and sign.",
    {
        "new-key": Lazy(f"{_COMMANDS}.keys:new_key", "Make a key and write it to an encrypted file."),
        "export": Lazy(f"{_COMMANDS}.keys:export", "Print the public part of a key file or device."),
        "sign-charter": Lazy(f"{_COMMANDS}.charters:sign_charter", "Show a charter, then add your signature."),
        "trust": Lazy(f"{_COMMANDS}.charters:trust", "Trust the charter whose words were told to you by voice."),
        "status": Lazy(f"{_COMMANDS}.charters:status", "Show what this station trusts and has seen."),
        "address": Lazy(f"{_COMMANDS}.charters:address", "Print a vault's address, derived here."),
        "unlock": Lazy(f"{_COMMANDS}.devices:unlock", "Unlock a Trezor One or KeepKey with its PIN."),
        "enrol": Lazy(f"{_COMMANDS}.devices:enrol", "Have a hardware device learn a vault."),
        "inspect": Lazy(f"{_COMMANDS}.inspecting:inspect", "Show what a file says, and how far it was checked."),
        "approve": Lazy(f"{_COMMANDS}.transfers:approve", "Examine a transfer and sign an officer's yes, or no."),
        "sign": Lazy(f"{_COMMANDS}.transfers:sign", "Examine a transfer and sign it with a cosigner's key."),
        "statement": Lazy(f"{_COMMANDS}.statements:statement", "Examine an address, and sign an officer's statement."),
        "verify-statement": Lazy(f"{_COMMANDS}.statements:verify", "Verify, before you pay, what officers state."),
        "release-coin": Lazy(f"{_COMMANDS}.coins:release_coin", "Look at a quarantined coin, and sign its release."),
        "catch-up": Lazy(f"{_COMMANDS}.catchup:catch_up", "Take in the log from a file; evidence is short then."),
        "confirm": Lazy(f"{_COMMANDS}.snapshots:confirm", "Confirm a state of the log, for stations that are new."),
        "witness": Lazy(f"{_COMMANDS}.witnesses:witness", "Cosign a checkpoint of the log."),
        "completion": Lazy("custody.apps.manual:completion", "Print what a shell needs to complete commands."),
        "man": Lazy("custody.apps.manual:man", "Write a manual page for each command to a folder."),
    },
    epilog="Every file that is written is new; but for manual pages, its owner alone reads it. See COMMAND --help.",
    options=[
        click.Option(
            ["--state"],
            metavar="DIR",
            envvar="CUSTODY_STATION_DIR",
            help="The station's own folder; otherwise one among the user's data.",
        )
    ],
    names=f"{_COMMANDS}.completing:names",
    other="custody.apps.cli:program",
)


def main() -> NoReturn:
    """Run the program, offline."""
    refuse_outside()
    # What a process knows is written to the disk when it crashes: keys and passphrases too.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # pydantic would load what any installed package announces as a plugin, and show it every record.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    run(program)


if __name__ == "__main__":
    main()
