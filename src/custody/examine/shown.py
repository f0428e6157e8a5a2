"""What log is a reader shown, and does it go on from what this reader has seen?

A reader keeps what it has seen: its state. A file for it carries a checkpoint, cosigned by witnesses, and the log's
lines from some size on. Nothing can be left out: lines are numbered, each is hashed, and what the reader has seen and
the lines after it must together have the root that witnesses signed. Lines that it has seen already are passed over.

Bodies that no station needs are withheld from the lines; their heads are not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from custody.charter.document import Charter, verify_charter
from custody.clock import Told, by_block, by_witnesses
from custody.envelope import Envelope
from custody.errors import InvalidInput, Refused
from custody.history import lists
from custody.history.entry import Needed
from custody.history.fold import fold
from custody.history.kinds import BY_NAME
from custody.history.quarantine import cleared
from custody.history.questions import History
from custody.history.state import State
from custody.log import (
    Checkpoint,
    Cosignature,
    LogEntry,
    ProofInvalid,
    SignedCheckpoint,
    faults_of,
    read_line,
    verify_checkpoint,
    withhold,
    witnesses_of,
    write_line,
)

MAX_LINES: Final = 100_000
"""Lines of one file. A reader that is further behind takes the log by itself (`custody log export`)."""


class HistoryUnwitnessed(Refused, code="HISTORY_UNWITNESSED"):
    """A log that too few witnesses stand behind."""

    message = "{given} of {needed} witnesses cosigned the checkpoint of {size} entries; missing: {missing}"
    hint = "Have the checkpoint cosigned by a witness (custody log checkpoint, custody log cosign), then export again."
    given: int
    needed: int
    size: int
    missing: str


class HistoryForked(Refused, code="HISTORY_FORKED"):
    """A log that does not extend what was seen before."""

    message = "this log has {size} entries and does not extend the {seen} seen before (root {root})"
    hint = "Do not sign. Somebody shows different people different histories: call the officers and the witnesses."
    size: int
    seen: int
    root: str


class HistoryStale(Refused, code="HISTORY_STALE"):
    """A log that ends before what was seen already."""

    message = "this file shows the log up to entry {size}; {seen} entries were seen here before"
    hint = "The file is an older one: have it exported again (custody transfer evidence). Never sign by the older one."
    size: int
    seen: int


class HistoryGap(Refused, code="HISTORY_GAP"):
    """A file whose lines begin after what this reader has seen."""

    message = "this file shows the log from entry {since} on, but only {seen} entries were seen here"
    hint = (
        "Have it exported for this machine: custody transfer evidence TRANSFER --since {seen}, or with --whole; a log, "
        "with custody log export --for-stations --since {seen}."
    )
    since: int
    seen: int


class FileTooLong(Refused, code="LOG_LINES"):
    """A file that would carry more of the log than anybody reads at once."""

    message = "the file would have {lines} log lines, from entry {since} on; it holds {most} at most"
    hint = (
        "Have the reader take in the log first (custody log export --for-stations, custody-station catch-up), then "
        "make the file for that reader: --for-reader NAME, or --since SIZE."
    )
    lines: int
    since: int
    most: int


def refuse_long(since: int, size: int) -> None:
    """Pass when the lines from `since` up to `size` entries fit into one file.

    Raises:
        FileTooLong: they do not.
    """
    if size - since > MAX_LINES:
        raise FileTooLong(lines=size - since, since=since, most=MAX_LINES)


def pinned_charter(known: State, claimed: Envelope | None) -> Charter:
    """The pinned charter, when it is what `claimed` holds; None claims no other than the one that is known.

    Who has folded its adoption has verified it then.

    Raises:
        CharterMismatch, CharterUnsigned, CharterInvalid, SigInvalid: as `verify_charter`.
        HistoryInvalid: none is known, and none claimed.
    """
    history = History(known)
    if claimed is None:
        return history.charter
    if history.has_charter:
        return Charter.unsafe_from_verified(claimed.body, known.pinned)
    return verify_charter(claimed, known.pinned)


@dataclass(frozen=True, slots=True)
class Shown:
    """A log as a reader knows it: its state, and the checkpoint with its witnesses."""

    state: State
    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]


def lines_of(entries: Iterable[LogEntry]) -> tuple[str, ...]:
    """The lines that readers get: every head, and every body but those that no station needs."""
    return tuple(line_of(entry).decode("utf-8") for entry in entries)


def line_of(entry: LogEntry) -> bytes:
    """One of them, as bytes without a line feed."""
    return write_line(entry if _travels(entry) else withhold(entry))


def _travels(entry: LogEntry) -> bool:
    kind = BY_NAME.get(entry.head.entry)
    return kind is None or kind.needed is Needed.BY_READERS


def read_lines(lines: Sequence[str], since: int) -> list[LogEntry]:
    """The entries in lines that begin at index `since`. That they are the checkpoint's is for `extended` to say.

    Raises:
        LogCorrupt, RecordInvalid: a line is no entry, or not in its place.
    """
    return [read_line(line.encode("utf-8"), index) for index, line in enumerate(lines, since)]


def unseen(known: State, entries: Sequence[LogEntry], since: int) -> Sequence[LogEntry]:
    """The entries, of those from `since` on, that come after what is known: no others are to be read.

    Raises:
        HistoryGap: they begin after what is known.
    """
    if since > known.size:
        raise HistoryGap(since=since, seen=known.size)
    return entries[known.size - since :]


def extended(known: State, entries: Sequence[LogEntry], since: int, checkpoint: Checkpoint) -> State:
    """The state of whoever knew `known`, after the lines from `since` on, which the checkpoint is of.

    Raises:
        EvidenceInvalid, HistoryGap, HistoryStale, HistoryForked, ProofInvalid: as `proved`.
        HistoryInvalid, EntryAuthor, LogCorrupt: an entry does not fit.
    """
    # Heads first: nothing is folded that witnesses do not stand behind.
    return fold(known, proved(known, entries, since, checkpoint))


def proved(known: State, entries: Sequence[LogEntry], since: int, checkpoint: Checkpoint) -> Sequence[LogEntry]:
    """Of lines from `since` on those that are new, when they lead from what is known to the checkpoint.

    Raises:
        EvidenceInvalid: not as many lines as the checkpoint has entries.
        HistoryGap: the lines begin after what is known.
        HistoryStale: the checkpoint is shorter than what is known.
        HistoryForked: what is known and the lines do not make the checkpoint's log.
        ProofInvalid: nothing was known, and the lines do not make it.
    """
    refuse_wrong_count(len(entries), since, checkpoint)
    new = unseen(known, entries, since)
    if checkpoint.size < known.size:
        raise HistoryStale(size=checkpoint.size, seen=known.size)
    if known.frontier.extend(entry.leaf for entry in new).root != checkpoint.root:
        if known.size:
            raise HistoryForked(size=checkpoint.size, seen=known.size, root=known.frontier.root.hex())
        claim = f"a history of {checkpoint.size} entries"
        raise ProofInvalid(claim=claim, problem="they have another root than the checkpoint")
    return new


def refuse_wrong_count(lines: int, since: int, checkpoint: Checkpoint) -> None:
    """Pass when so many lines from `since` on are as many as the checkpoint has entries.

    Raises:
        EvidenceInvalid: they are not.
    """
    if since + lines != checkpoint.size:
        problem = f"has {lines} log lines from {since} on, for a checkpoint of {checkpoint.size}"
        raise EvidenceInvalid(problem=problem)


class EvidenceInvalid(InvalidInput, code="EVIDENCE_INVALID"):
    """An evidence file with parts missing for its purpose."""

    message = "the file {problem}"
    hint = (
        "Have it exported and copied again: custody transfer evidence, or custody log export --for-stations if it is "
        "the log."
    )
    problem: str


def needed_size(history: History, transfer_id: bytes) -> int:
    """Entries that whoever judges this transfer must see at least: all about it, releases of its coins, and a freeze.

    Once signatures were requested, what is judged of it does not change any more: that entry is enough.
    """
    transfer, freeze = history.transfer(transfer_id), history.freeze
    row = transfer.row
    own = row.newest if row.signing is None else row.signing
    released = (cleared(history, outpoint) for outpoint in transfer.draft.outpoints)
    return max(own, -1 if freeze is None else freeze.at, *(each.at for each in released if each is not None)) + 1


def own_shown(history: History, signed: SignedCheckpoint, charter: Charter, needed: int = 0) -> Shown:
    """What whoever keeps the log knows of it: the checkpoint is of this log, and of `needed` entries at least.

    Raises:
        HistoryUnwitnessed, CheckpointInvalid: too few stand behind it.
        HistoryForked, HistoryStale: it is of another log, or of too short a one.
    """
    cosignatures, checkpoint = check_witnesses(signed, charter), signed.checkpoint
    if history.root_at(checkpoint.size) != checkpoint.root:
        raise HistoryForked(size=checkpoint.size, seen=history.size, root=history.frontier.root.hex())
    if checkpoint.size < needed:
        raise HistoryStale(size=checkpoint.size, seen=needed)
    return Shown(history.state, checkpoint, cosignatures)


def check_witnesses(signed: SignedCheckpoint, charter: Charter) -> tuple[Cosignature, ...]:
    """The cosignatures that the charter counts, when they are enough.

    Raises:
        CheckpointInvalid: not signed by the charter's log.
        HistoryUnwitnessed: too few witnesses.
    """
    verify_checkpoint(signed, charter.origin, charter.coordinator)
    witnesses = charter.witness_keys
    cosignatures = witnesses_of(signed, witnesses)
    cosigned = {each.key for each in cosignatures}
    if len(cosigned) < charter.witness_threshold:
        faults = faults_of(signed, witnesses)
        missing = [name for name, key in sorted(witnesses.items()) if key not in cosigned]
        raise HistoryUnwitnessed(
            given=len(cosigned),
            needed=charter.witness_threshold,
            size=signed.checkpoint.size,
            missing=", ".join(f"{name} ({faults[name]})" if name in faults else name for name in missing),
        )
    return cosignatures


@functools.lru_cache(maxsize=64)
def noted_at(note: str, witnesses: frozenset[tuple[str, bytes]], needed: int) -> int | None:
    """When the last of `needed` witnesses had cosigned this checkpoint (Unix seconds); None when too few have.

    So many say at least that it is so late, and one of them at least is honest. Every step asks it of the newest: the
    cosignatures of one text are verified once.
    """
    return _latest([each.time for each in witnesses_of(SignedCheckpoint.parse(note), dict(witnesses))], needed)


def _latest(times: Sequence[int], needed: int) -> int | None:
    return sorted(times, reverse=True)[needed - 1] if 0 < needed <= len(times) else None


def times_shown(shown: Shown, charter: Charter) -> tuple[Told, ...]:
    """What time it is by the log that is shown: by its newest block, and by as many witnesses as are needed.

    Blocks are the coordinator's word: it can stop a reader by them, as it can by showing nothing.
    """
    newest = lists.newest_block(History(shown.state))
    cosigned = _latest([each.time for each in shown.cosignatures], charter.witness_threshold)
    told = (None if newest is None else by_block(newest[1].time), None if cosigned is None else by_witnesses(cosigned))
    return tuple(each for each in told if each is not None)


def witness_finding(checkpoint: Checkpoint, cosignatures: Sequence[Cosignature], charter: Charter) -> str:
    """How far somebody else stands behind a log, in words."""
    if not charter.witnesses:
        return f"{checkpoint.size} entries; NOT WITNESSED: this charter names no witness"
    return f"{checkpoint.size} entries, cosigned by {len(cosignatures)} of {len(charter.witnesses)} witnesses"
