"""How does a person look at evidence, an address statement's paper, a log or a snapshot?

What can be judged is judged, as `approve`, `sign` and `statement` do it, and the log that it proves is remembered. What
cannot be, because no charter is trusted here or the log was not seen far enough, is shown as that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from custody.apps.files import FileKind, alone_in
from custody.apps.station_commands.desk import Desk
from custody.apps.terminal import output, shown
from custody.apps.views.examination import examination_data, examination_screen
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
from custody.examine.catchup import MAX_LINE
from custody.examine.evidence import Evidence, Stage, stage_of
from custody.examine.examination import Examination
from custody.examine.lack import Lack
from custody.examine.statement import StatementExamination, StatementPaper, signed_so_far
from custody.examine.unproved import (
    Glimpse,
    Reader,
    StatementGlimpse,
    Unproved,
    look_at_evidence,
    look_at_log,
    look_at_snapshot,
    look_at_statement,
)
from custody.ports import Untrusted
from custody.station import told


def show(place: Desk, kind: FileKind, data: bytes, file: str, charter_file: str | None) -> None:
    """Evidence, or an address statement's paper."""
    if kind is FileKind.EVIDENCE:
        _show_evidence(place, alone_in(data, Evidence, file), file, charter_file)
    else:
        _show_statement(place, alone_in(data, StatementPaper, file), file, charter_file)


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


def show_long(place: Desk, kind: FileKind, file: str, charter_file: str | None) -> None:
    """A log or a snapshot, which is read twice."""

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
