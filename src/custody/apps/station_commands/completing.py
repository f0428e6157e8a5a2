"""Which vaults does the charter hold that was typed before their name? For a shell; no other file is read."""

from __future__ import annotations

from pathlib import Path

import click

from custody.apps.completion import Kind, named_in
from custody.apps.files import read_signed
from custody.charter.document import Charter


def names(kind: Kind, context: click.Context, begun: str) -> list[tuple[str, str]]:
    """What of a kind begins so in the charter on the command line, and a word about it."""
    path = context.params.get("charter_file")
    # Of a pipe, or of a terminal, whoever completes would take what the command is to read.
    if not path or not Path(path).is_file():
        return []
    return named_in(read_signed(Charter, path).body, kind, begun)
