"""What does all of it look like in one go? The story of `testing.demo`, told on a terminal.

It needs nothing that was set up and leaves nothing behind, unless it is told where to keep its log.
"""

from __future__ import annotations

from pathlib import Path

import click

from custody.apps.terminal import JsonValue, Verb, output, shown
from custody.apps.views.layout import INDENT
from custody.backends.files import create_directory
from custody.backends.sql import create_store
from custody.ports import Store
from custody.testing.cast import ORIGIN
from custody.testing.demo import Event, run
from custody.units import Network


@click.command(cls=Verb)
@click.option("--keep", metavar="DIR", help="Keep the story's log in this folder.")
def demo(*, keep: str | None) -> None:
    """Play a whole story on a regtest chain of its own.

    Deposits, a transfer from the request to its confirmation, and two attempts at cheating that fail. Everything in it
    is real but the network. It takes a few seconds and touches nothing that was set up.
    """
    told: list[Event] = []
    talk = output()

    def tell(event: Event) -> None:
        told.append(event)
        if not talk.is_json:
            talk.emit(None, _text(event))

    run(tell, _store(keep))
    if talk.is_json:
        talk.emit([_data(event) for event in told], "")
    elif keep is not None:
        talk.next_step(f"the log is in {shown(Path(keep) / 'log.sqlite')}")


def _store(keep: str | None) -> Store | None:
    if keep is None:
        return None
    folder = Path(keep)
    create_directory(folder)
    return create_store(folder / "log.sqlite", Network.REGTEST, ORIGIN)


def _text(event: Event) -> str:
    return "\n".join((f"{event.number}. {event.title}", *(f"{INDENT}{line}" for line in event.lines), ""))


def _data(event: Event) -> JsonValue:
    return {"number": event.number, "title": event.title, "lines": list(event.lines), "data": _plain(event.data)}


def _plain(value: object) -> JsonValue:
    """Data of an event as JSON has it."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"an event carries {type(value).__name__}")
