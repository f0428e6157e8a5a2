"""How does a person look at any file, whatever this machine has to judge it by?

What can be judged is judged, as `approve`, `sign` and `statement` do it, and the log that it proves is remembered. What
cannot be, because no charter is trusted here or the log was not seen far enough, is shown as that: nothing is kept of
it, and on a machine that trusts no charter nothing is written at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from custody.apps.files import FileKind, alone_in, kind_of, wrong_file
from custody.apps.station_commands.desk import Desk, desk
from custody.apps.terminal import STANDARD, JsonValue, Verb, output, read_input, shown
from custody.apps.views.examination import examination_data, examination_screen
from custody.apps.views.files import (
    PsbtPaper,
    card_paper,
    checkpoint_paper,
    coin_release_paper,
    document_paper,
    key_paper,
    psbt_paper,
    request_paper,
    withdrawal_paper,
)
from custody.apps.views.statement import stating_data, stating_screen
from custody.apps.views.unproved import (
    evidence_data,
    evidence_screen,
    log_data,
    log_screen,
    paper_data,
    paper_screen,
    snapshot_data,
    snapshot_screen,
)
from custody.backends.files import read_lines
from custody.backends.keyfile import KeyFile
from custody.bitcoin.profile import Direction, read_transfer_file
from custody.charter.card import PayerCard
from custody.charter.document import Charter
from custody.envelope import Envelope
from custody.examine.catchup import MAX_LINE
from custody.examine.evidence import Evidence, Stage, stage_of
from custody.examine.examination import Examination
from custody.examine.statement import StatementExamination, StatementPaper, signed_so_far
from custody.examine.unproved import (
    Glimpse,
    Lack,
    Reader,
    StatementGlimpse,
    Unproved,
    look_at_evidence,
    look_at_log,
    look_at_snapshot,
    look_at_statement,
)
from custody.log import SignedCheckpoint
from custody.log.witnessing import WitnessRequest
from custody.record import MAX_RECORD
from custody.station import Untrusted, told
from custody.transfer.approval import WithdrawalPaper
from custody.transfer.coin_release import CoinReleasePaper
from custody.transfer.request import RequestPaper

_BEGINNING: Final = 4096
_LONG: Final = frozenset({FileKind.LOG, FileKind.SNAPSHOT})


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
        _show_long(place, long, file, charter_file)
        return
    data = read_input(file, MAX_RECORD)
    kind = kind_of(data)
    if kind is FileKind.EVIDENCE:
        _show_evidence(place, alone_in(data, Evidence, file), file, charter_file)
        return
    if kind is FileKind.STATEMENT_PAPER:
        _show_statement(place, alone_in(data, StatementPaper, file), file, charter_file)
        return
    if kind in _LONG:
        raise click.UsageError(f"give {kind} as a file: it is read twice")
    shown_data, text = _paper(place, kind, data, file, charter_file, vault)
    output().emit(shown_data, text)


# --- what is judged where it can be -----------------------------------------------------------------------------------


def _is_untrusting(place: Desk, charter_file: str | None) -> bool:
    """Whether no charter is trusted here.

    Raises:
        Untrusted: although one was given to judge by.
    """
    if place.is_trusting:
        return False
    if charter_file is not None:
        raise Untrusted
    return True


def _reader(place: Desk, charter_file: str | None) -> Reader:
    """What this machine has to judge by, which trusts a charter."""
    station = place.station
    return Reader(place.charter(charter_file), station.seen(), told(station.state().start))


def _show_evidence(place: Desk, evidence: Evidence, file: str, charter_file: str | None) -> None:
    found, now = _evidence(place, evidence, charter_file), place.clock.now()
    if isinstance(found, Examination):
        output().emit(examination_data(found), lambda: examination_screen(found, now))
        verb = "approve" if found.stage is Stage.APPROVE else "sign"
        output().next_step(f"if this is right: custody-station {verb} {shown(file)} --key KEYFILE -o OUT")
        return
    output().emit(evidence_data(found), lambda: evidence_screen(found, now))
    _say_what_proves(found.lack, "custody transfer evidence ID")


def _evidence(
    place: Desk, evidence: Evidence, charter_file: str | None
) -> Examination | Unproved[Examination] | Unproved[Glimpse]:
    if _is_untrusting(place, charter_file):
        return look_at_evidence(evidence, Reader(), place.clock.now())
    with place.alone():
        known = place.station.seen()
        if evidence.since > known.size:
            return look_at_evidence(evidence, _reader(place, charter_file), place.clock.now())
        return place.station.examine(evidence, stage_of(evidence, known))


def _show_statement(place: Desk, paper: StatementPaper, file: str, charter_file: str | None) -> None:
    found = _statement(place, paper, charter_file)
    if isinstance(found, StatementExamination):
        nobody = signed_so_far(None, found.statement, found.quorum)
        output().emit(stating_data(found, nobody), lambda: stating_screen(found, nobody))
        output().next_step(f"if this is right: custody-station statement {shown(file)} --key KEYFILE -o OUT")
        return
    output().emit(paper_data(found), lambda: paper_screen(found))
    _say_what_proves(found.lack, "custody vault statement VAULT INDEX")


def _statement(
    place: Desk, paper: StatementPaper, charter_file: str | None
) -> StatementExamination | Unproved[StatementExamination] | Unproved[StatementGlimpse]:
    if _is_untrusting(place, charter_file):
        return look_at_statement(paper, Reader(), place.clock.now())
    with place.alone():
        known = place.station.seen()
        if paper.since > known.size:
            return look_at_statement(paper, _reader(place, charter_file), place.clock.now())
        return place.station.examine_statement(paper)


def _say_what_proves(lack: Lack, made_by: str) -> None:
    if not lack.is_trusting:
        output().next_step(
            "this proves nothing yet; have the charter's words told to you by voice, then: custody-station trust"
        )
    else:
        output().next_step(f"this proves nothing yet; to have it checked: {made_by} --since {lack.seen} -o FILE")


# --- logs and snapshots -----------------------------------------------------------------------------------------------


def _long(file: str) -> FileKind | None:
    """The kind of a file that may be longer than any other, read by its first line; None for all others."""
    if file == STANDARD:
        return None
    kind = kind_of(next(read_lines(Path(file), MAX_LINE), b"")[:_BEGINNING])
    return kind if kind in _LONG else None


def _show_long(place: Desk, kind: FileKind, file: str, charter_file: str | None) -> None:
    def lines() -> Iterator[bytes]:
        return read_lines(Path(file), MAX_LINE)

    reader = Reader()
    if not _is_untrusting(place, charter_file):
        reader = _reader(place, charter_file)
    if kind is FileKind.SNAPSHOT:
        snapshot = look_at_snapshot(lines, reader)
        output().emit(snapshot_data(snapshot), lambda: snapshot_screen(snapshot))
        lack = snapshot.lack
    else:
        log = look_at_log(lines, reader)
        output().emit(log_data(log), lambda: log_screen(log))
        lack = log.lack
    if not lack.is_any:
        output().next_step(f"to take it in: custody-station catch-up {shown(file)}")
        return
    _say_what_proves(lack, "custody log export --for-stations")


# --- any other file ---------------------------------------------------------------------------------------------------


def _paper(
    place: Desk, kind: FileKind, data: bytes, path: str, charter_file: str | None, vault: str | None
) -> tuple[JsonValue, str]:
    """Any file but evidence, as data and as a screen."""
    if kind is FileKind.KEY_FILE:
        return key_paper(alone_in(data, KeyFile, path))
    charter = place.known_charter(charter_file)
    if kind.is_signed or kind in {FileKind.REQUEST, FileKind.WITHDRAWAL, FileKind.COIN_RELEASE}:
        return _signed_paper(kind, data, path, charter)
    match kind:
        case FileKind.CARD:
            return card_paper(alone_in(data, PayerCard, path), charter)
        case FileKind.PSBT:
            psbt = read_transfer_file(data, Direction.FROM_SIGNER)
            return psbt_paper(PsbtPaper.of(psbt, charter, vault))
        case FileKind.WITNESS_REQUEST:
            request = alone_in(data, WitnessRequest, path)
            return checkpoint_paper(request.signed(), request, charter)
        case FileKind.CHECKPOINT:
            return checkpoint_paper(SignedCheckpoint.parse(data.decode("utf-8", errors="replace")), None, charter)
    known = (
        "evidence, a PSBT, a signed document, an address statement's paper, a payer card, a checkpoint, a log or a key "
        "file"
    )
    raise wrong_file(path, kind, known)


def _signed_paper(kind: FileKind, data: bytes, path: str, charter: Charter | None) -> tuple[JsonValue, str]:
    """A signed document, with the annex that came with it."""
    if kind is FileKind.REQUEST:
        asked = alone_in(data, RequestPaper, path)
        return request_paper(asked.signed, asked.annex, charter)
    if kind is FileKind.WITHDRAWAL:
        given_up = alone_in(data, WithdrawalPaper, path)
        return withdrawal_paper(given_up.signed, given_up.annex, charter)
    if kind is FileKind.COIN_RELEASE:
        released = alone_in(data, CoinReleasePaper, path)
        return coin_release_paper(released.signed, released.annex, charter)
    return document_paper(Envelope.from_bytes(data), charter)
