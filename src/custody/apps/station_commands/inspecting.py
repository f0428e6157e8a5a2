"""How does a person look at any file, whatever this machine has to judge it by?

What can be judged is judged, as `approve`, `sign` and `statement` do it, and the log that it proves is remembered. What
cannot be, because no charter is trusted here or the log was not seen far enough, is shown as that: nothing is kept of
it, and on a machine that trusts no charter nothing is written at all.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Final

import click

from custody.apps.files import FileKind, alone_in, kind_of
from custody.apps.station_commands.desk import Desk, desk
from custody.apps.terminal import STANDARD, JsonValue, Verb, output, read_input
from custody.apps.views.papers import request_paper, withdrawal_paper
from custody.backends.files import read_lines
from custody.record import MAX_RECORD
from custody.transfer.approval import WithdrawalPaper
from custody.transfer.request import RequestPaper

_BEGINNING: Final = 4096
_LONG: Final = frozenset({FileKind.LOG, FileKind.SNAPSHOT})
_JUDGED: Final = frozenset({FileKind.EVIDENCE, FileKind.STATEMENT_PAPER})


@click.command(cls=Verb, epilog="Example: custody-station inspect transfer.evidence.json")
@click.argument("file")
@click.option("--charter", "charter_file", metavar="FILE", help="The charter; otherwise the copy kept by `trust`.")
@click.option("--vault", metavar="NAME", help="The charter's vault that a plain PSBT spends from.")
def inspect(*, file: str, charter_file: str | None, vault: str | None) -> None:
    """Show what a file says, and how far it was checked.

    Evidence of a transfer is examined step by step. A plain PSBT carries no evidence: with --vault its amounts, inputs
    and change are checked, and the rest is listed as not checked. Charters, requests, approvals, address statements,
    payer cards, checkpoints, logs, snapshots and key files are shown, with what can be said of their signatures.

    On a machine that trusts no charter, or has not seen the log far enough, the file is shown all the same, as what it
    says and no more: first and last it is said that nothing is proved, and what was not checked is listed.
    """
    place = desk()
    if long := _long(file):
        _judging().show_long(place, long, file, charter_file)
        return
    data = read_input(file, MAX_RECORD)
    kind = kind_of(data)
    if kind in _LONG:
        raise click.UsageError(f"give {kind} as a file: it is read twice")
    if kind in _JUDGED:
        _judging().show(place, kind, data, file, charter_file)
        return
    shown_data, text = _paper(place, kind, data, file, charter_file, vault)
    output().emit(shown_data, text)


def _long(file: str) -> FileKind | None:
    """The kind of a file that may be longer than any other, read by its first line; None for all others."""
    if file == STANDARD:
        return None
    kind = kind_of(next(read_lines(Path(file), MAX_RECORD), b"")[:_BEGINNING])
    return kind if kind in _LONG else None


def _judging() -> ModuleType:
    """What judges takes as long to load as all the rest, and a request needs none of it."""
    return importlib.import_module("custody.apps.station_commands.judged")


def _paper(
    place: Desk, kind: FileKind, data: bytes, path: str, charter_file: str | None, vault: str | None
) -> tuple[JsonValue, str]:
    """Any file that is not judged, as data and as a screen."""
    charter = None if kind is FileKind.KEY_FILE else place.known_charter(charter_file)
    if kind is FileKind.REQUEST:
        asked = alone_in(data, RequestPaper, path)
        return request_paper(asked.signed, asked.annex, charter)
    if kind is FileKind.WITHDRAWAL:
        given_up = alone_in(data, WithdrawalPaper, path)
        return withdrawal_paper(given_up.signed, given_up.annex, charter)
    from custody.apps.station_commands.papers import other_paper  # noqa: PLC0415 - as above

    return other_paper(kind, data, path, charter, vault)
