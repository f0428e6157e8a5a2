"""How does a station start from a state that it has not folded itself: who has, and what is it checked against?

Officers' stations that have folded the whole log sign a `StateConfirmed`: after so many entries, under this root, the
log has sealed this state, and so have I found it. A snapshot is a file of that state. `check_snapshot` believes it in
numbered steps, and nothing is kept before all have passed:

1. The charter is the pinned one.
2. As many officers as its strictest rule asks for have signed what the snapshot is of. The coordinator is no officer.
3. Its rows make the state that they have signed.
4. The log's lines make the root that they have signed, go on from what this station has seen, and go on to a checkpoint
   that is the charter's log's, with enough witnesses.
5. The first entry behind the snapshot is the seal of that state.

What nobody here has folded are the entries before the seal: their bodies hash to that log, but who signed what in them
was judged by the officers' stations. Whoever starts so is told for ever (`SnapshotStart`), and confirms no state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, dropwhile, islice, takewhile
from typing import Annotated, ClassVar, Final

from pydantic import Field

from custody.charter.document import verify_charter
from custody.envelope import Envelope
from custody.errors import Refused
from custody.examine.catchup import (
    BATCH,
    Keep,
    Lines,
    Progress,
    fold_lines,
    frontiers_of,
    hash_lines,
    read_batch,
    refuse_changed,
)
from custody.examine.confirmed import SnapshotDiffers, StateConfirmed, check_confirmed
from custody.examine.shown import HistoryForked, Shown, check_witnesses, line_of
from custody.history import kinds, tables
from custody.history.multiset import Multiset
from custody.history.on.charter import SealBroken, StateSealed
from custody.history.rows import Head, number
from custody.history.snapshot import SnapshotInvalid, Written, read_rows, rows_of_entry, total_of, write_row
from custody.history.state import State
from custody.log import Cosignature, Frontier, LogEntry, SignedCheckpoint, open_body, read_line
from custody.record import FileRecord, read

_ROW: Final = b"["
"""How lines of rows begin, and no others."""


class SnapshotBehind(Refused, code="SNAPSHOT_BEHIND"):
    """A snapshot for a station that knows more by itself."""

    message = "the snapshot is of {size} entries; this station has seen {seen}"
    hint = "It needs no snapshot. Have it given the rest: custody log export --for-stations --since {seen}."
    size: int
    seen: int


class SnapshotFile(FileRecord):
    """The first line of the file. Rows follow, then all lines of the log up to the checkpoint (a C2SP note)."""

    kind: ClassVar[str] = "snapshot"

    charter: Envelope
    confirmed: Envelope
    checkpoint: Annotated[str, Field(max_length=100_000)]


# --- made by the coordinator ------------------------------------------------------------------------------------------


def sealed_at(confirmed: StateConfirmed, rows: Iterable[Written]) -> Iterator[Written]:
    """The rows of the state that was sealed, of those just behind its seal.

    Raises:
        SealBroken: they are not those that were sealed; once the last was asked for.
    """
    seal = (tables.SEALS, number(confirmed.size))
    given, total = (row for row in rows if row[:2] != seal), Multiset()
    while some := list(islice(given, BATCH)):
        total = total.changed(table.element_of(key, data) for table, key, data in some)
        yield from some
    if total.digest() != confirmed.state:
        raise SealBroken(size=confirmed.size, sealed=confirmed.state.hex(), own=total.digest().hex())


def write_snapshot(
    charter: Envelope,
    signed: SignedCheckpoint,
    confirmed: Envelope,
    rows: Iterable[Written],
    entries: Iterable[LogEntry],
) -> Iterator[bytes]:
    """The lines of the file: `rows` are those of the state that was confirmed, `entries` all up to the checkpoint."""
    yield SnapshotFile(charter=charter, confirmed=confirmed, checkpoint=signed.text()).to_bytes()
    yield from map(write_row, rows)
    yield from map(line_of, entries)


# --- taken in by a station --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckedSnapshot:
    """A snapshot after every step has passed: `head` is where a station stands that begins with it.

    `signed` goes to the end of the file's log. `before` and `after` are frontiers a batch apart, up to the snapshot and
    from there on; `rows` is a digest of the lines with rows.
    """

    head: Head
    confirmed: StateConfirmed
    officers: tuple[str, ...]
    signed: SignedCheckpoint
    cosignatures: tuple[Cosignature, ...]
    before: tuple[Frontier, ...]
    after: tuple[Frontier, ...]
    rows: bytes


def offered(lines: Lines, pinned: bytes) -> tuple[StateConfirmed, tuple[str, ...]]:
    """What a snapshot is of, and which officers have confirmed it: steps 1 and 2, which look at its first line alone.

    Raises:
        CharterMismatch, CharterUnsigned: it is another charter's than the pinned one.
        CustodyError: as `check_confirmed`.
    """
    file = snapshot_head(lines())
    return check_confirmed(file.confirmed, verify_charter(file.charter, pinned))


def refuse_behind(confirmed: StateConfirmed, known: State) -> None:
    """Pass when what is confirmed goes beyond what is known.

    Raises:
        SnapshotBehind: it does not.
    """
    if known.size >= confirmed.size:
        raise SnapshotBehind(size=confirmed.size, seen=known.size)


def check_snapshot(lines: Lines, known: State, progress: Progress | None = None) -> CheckedSnapshot:
    """Judge a snapshot for a station that has seen `known` of the log. The lines are opened more than once.

    Raises:
        SnapshotInvalid, StateCorrupt: it cannot be read.
        CustodyError: the first fact that is wrong, by its own code.
    """
    file = snapshot_head(lines())
    # 1
    charter = verify_charter(file.charter, known.pinned)
    # 2
    confirmed, officers = check_confirmed(file.confirmed, charter)
    refuse_behind(confirmed, known)
    # 3
    hashed = hashlib.sha256()
    total = total_of(read_rows(_noted(_row_lines(lines()), hashed.update)))
    _compare(confirmed, "state", confirmed.state, total.digest())
    # 4
    signed = SignedCheckpoint.parse(file.checkpoint)
    cosignatures = check_witnesses(signed, charter)
    log = _log_lines(lines())
    tell = _halves(progress, confirmed.size)
    seen = list(frontiers_of(log, Frontier(), known.size))
    if seen and seen[-1] != known.frontier:
        raise HistoryForked(size=confirmed.size, seen=known.size, root=known.frontier.root.hex())
    rest = frontiers_of(log, seen[-1] if seen else Frontier(), confirmed.size)
    before = (*seen, *_telling(rest, tell))
    reached = before[-1] if before else Frontier()
    if reached.size != confirmed.size:
        raise SnapshotInvalid(problem=f"is of {confirmed.size} entries and has lines for {reached.size}")
    _compare(confirmed, "root", confirmed.root, reached.root)
    # 5
    sealing = next(log, None)
    _check_seal(sealing, confirmed)
    after = hash_lines(chain([sealing] if sealing else (), log), reached, signed.checkpoint)
    head = Head(reached, total)
    return CheckedSnapshot(head, confirmed, officers, signed, cosignatures, before, tuple(after), hashed.digest())


def rows_to_keep(lines: Lines, checked: CheckedSnapshot, progress: Progress | None = None) -> Iterator[Written]:
    """All rows of a station that begins with a snapshot: those of its state, and those that repeat its log.

    Raises:
        SnapshotInvalid, LogCorrupt: the file is another one than was judged; once the last row was asked for at most.
        BodyWithheld, HistoryInvalid: as `rows_of_entry`.
    """
    hashed = hashlib.sha256()
    yield from read_rows(_noted(_row_lines(lines()), hashed.update))
    if hashed.digest() != checked.rows:
        raise SnapshotInvalid(problem="changed while it was read")
    log, at = _log_lines(lines()), Frontier()
    tell = _halves(progress, checked.confirmed.size)
    for frontier in checked.before:
        for entry in read_batch(log, at.size, frontier.size):
            yield from rows_of_entry(entry, at)
            at = at.append(entry.leaf)
        refuse_changed(at, frontier)
        tell(1, at.size)


def go_on(lines: Lines, checked: CheckedSnapshot, state: State, keep: Keep, progress: Progress | None = None) -> Shown:
    """Fold what the file's log has behind the snapshot, over the state that a station began with.

    Raises:
        HistoryInvalid, EntryAuthor, LogCorrupt, SealBroken: an entry does not fit, or is not what it was.
    """
    shown = Shown(state, checked.signed.checkpoint, checked.cosignatures)
    return fold_lines(islice(_log_lines(lines()), state.size, None), shown, checked.after, keep, progress)


def snapshot_head(lines: Iterator[bytes]) -> SnapshotFile:
    """The first line of the file.

    Raises:
        SnapshotInvalid: there is none.
        RecordInvalid, RecordNotCanonical: it is no such line.
    """
    first = next(lines, None)
    if first is None:
        raise SnapshotInvalid(problem="is empty")
    return SnapshotFile.from_bytes(first)


def _row_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
    return takewhile(_is_row, islice(lines, 1, None))


def _log_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
    return dropwhile(_is_row, islice(lines, 1, None))


def _is_row(line: bytes) -> bool:
    return line.startswith(_ROW)


def _halves(progress: Progress | None, size: int) -> Callable[[int, int], None]:
    """Tells how far two readings of `size` entries are, of which the given number is over."""

    def tell(over: int, reached: int) -> None:
        if progress is not None:
            progress(over * size + reached, 2 * size)

    return tell


def _telling(frontiers: Iterator[Frontier], tell: Callable[[int, int], None]) -> Iterator[Frontier]:
    for frontier in frontiers:
        tell(0, frontier.size)
        yield frontier


def _noted(lines: Iterator[bytes], note: Callable[[bytes], object]) -> Iterator[bytes]:
    for line in lines:
        note(b"%d:" % len(line) + line)
        yield line


def _compare(confirmed: StateConfirmed, what: str, expected: bytes, actual: bytes) -> None:
    if actual != expected:
        raise SnapshotDiffers(what=what, expected=expected.hex(), actual=actual.hex(), size=confirmed.size)


def _check_seal(line: bytes | None, confirmed: StateConfirmed) -> None:
    """Pass when the line behind the snapshot seals the state that officers have confirmed.

    Raises:
        SnapshotInvalid: it is no seal, or there is none.
        SealBroken: it seals another state.
    """
    entry = None if line is None else read_line(line, confirmed.size)
    if entry is None or entry.head.entry != kinds.STATE_SEALED:
        raise SnapshotInvalid(problem=f"is of {confirmed.size} entries, and no seal of their state follows")
    sealed = read(StateSealed, open_body(entry)).state
    if sealed != confirmed.state:
        raise SealBroken(size=confirmed.size, sealed=sealed.hex(), own=confirmed.state.hex())
