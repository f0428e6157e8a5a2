"""For whom is a file made, and so from which line of the log on?

A reader's own machine says how much it has seen (custody-station status). The coordinator knows the least it can be: an
officer's approval names the log they saw, and who signed a transfer had seen it asked for. If that is wrong the reader
is told which size to ask for; nobody is shown less than they need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from custody.charter.document import Charter
from custody.errors import InvalidInput
from custody.history import lists
from custody.history.questions import History

_Command = TypeVar("_Command", bound=Callable[..., Any])


class ReaderUnknown(InvalidInput, code="READER_UNKNOWN"):
    """Nobody who is shown evidence."""

    message = "{name} is neither an officer nor a cosigner; these are: {known}"
    hint = "Give an officer's name, or a cosigner's fingerprint, eight hexadecimal digits."
    name: str
    known: str


def reader_options() -> Callable[[_Command], _Command]:
    """`--for-reader`, `--since` and `--whole`."""

    def decorate(command: _Command) -> _Command:
        for option in (
            click.option("--whole", "is_whole", is_flag=True, help="The whole log, for a new machine."),
            click.option("--since", type=click.IntRange(0), metavar="SIZE", help="What has come since SIZE entries."),
            click.option(
                "--for-reader",
                "readers",
                metavar="NAME",
                multiple=True,
                help="What this officer or cosigner has not seen yet; may be given again.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def since_of(history: History, readers: tuple[str, ...], since: int | None, *, is_whole: bool) -> int:
    """The first line that a file for these readers needs; 0 when nobody is named.

    Raises:
        ReaderUnknown: somebody named reads no evidence.
        UsageError: more than one way was given.
    """
    if sum((bool(readers), since is not None, is_whole)) > 1:
        raise click.UsageError("give one of --for-reader, --since and --whole")
    if since is not None:
        return since
    charter = history.charter
    return min((lists.seen_by(history, _reader(name, charter)) for name in readers), default=0)


def _reader(name: str, charter: Charter) -> str | bytes:
    officers = list(charter.officers.values())
    if name in officers:
        return name
    vaults = (charter.vault(entry.name) for entry in charter.vaults)
    cosigners = dict.fromkeys(each.fingerprint.hex() for vault in vaults for each in vault.cosigners)
    if name.lower() in cosigners:
        return bytes.fromhex(name)
    raise ReaderUnknown(name=ascii(name[:60]), known=", ".join([*officers, *cosigners]))
