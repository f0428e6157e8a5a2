"""How does a reader that is new, or far behind, take in the whole log from a file?

1. The file's first line is a checkpoint with its witnesses, the others are the log's lines from some size on.
2. It is read once for its hashes alone: with what the reader has seen they must make the checkpoint's root. Nothing is
   folded before that.
3. It is read again, folded, and kept a batch at a time. The hashes of each batch are those of the first reading, or it
   is not kept: a file that changes in between is found out.

What was kept stays kept: a reader that is stopped goes on from there. Memory holds one batch and a root for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Annotated, ClassVar, Final

from pydantic import Field

from custody.charter.document import Charter, verify_charter
from custody.envelope import Envelope
from custody.examine.shown import (
    EvidenceInvalid,
    HistoryForked,
    HistoryGap,
    HistoryStale,
    Shown,
    check_witnesses,
    line_of,
)
from custody.history.fold import fold, folding_many
from custody.history.state import State
from custody.log import Checkpoint, Frontier, LogCorrupt, LogEntry, ProofInvalid, SignedCheckpoint, read_line
from custody.record import FileRecord
from custody.units import Count

BATCH: Final = 1_000
"""Entries that are folded before they are kept."""
MAX_LINE: Final = 64 * 1024 * 1024
_LEAF: Final = b'"leaf":"'


class LogFile(FileRecord):
    """The first line of the file: the log's lines from `since` on follow, up to the checkpoint (a C2SP note)."""

    kind: ClassVar[str] = "log-file"

    charter: Envelope
    since: Count
    checkpoint: Annotated[str, Field(max_length=100_000)]


Lines = Callable[[], Iterator[bytes]]
"""Opens the file anew and gives its lines, without their line feeds."""
Keep = Callable[[Shown], State]
"""Keeps what has been folded, and gives the same state over what is kept."""
Progress = Callable[[int, int], None]
"""Told how many entries are folded, and how many there are."""


def write_log(charter: Envelope, signed: SignedCheckpoint, entries: Iterable[LogEntry], since: int) -> Iterator[bytes]:
    """The lines of the file for readers who have seen `since` entries: `entries` go from there to the checkpoint."""
    yield LogFile(charter=charter, since=since, checkpoint=signed.text()).to_bytes()
    yield from map(line_of, entries)


def catch_up(lines: Lines, known: State, keep: Keep, progress: Progress | None = None) -> Shown:
    """Fold a log from a file, over what is known already.

    Raises:
        CharterMismatch: it is another charter's.
        HistoryUnwitnessed, CheckpointInvalid: too few stand behind it.
        HistoryGap, HistoryStale, HistoryForked, ProofInvalid: it does not go on from what is known.
        HistoryInvalid, EntryAuthor, LogCorrupt: an entry does not fit, or is not what it was.
    """
    head = head_of(lines())
    signed = SignedCheckpoint.parse(head.checkpoint)
    charter: Charter = verify_charter(head.charter, known.pinned)
    cosignatures = check_witnesses(signed, charter)
    frontiers = hash_log(lines(), head, signed.checkpoint, known)
    shown = Shown(known, signed.checkpoint, cosignatures)
    return fold_lines(islice(lines(), _new(head, known), None), shown, frontiers, keep, progress)


def hash_log(lines: Iterator[bytes], head: LogFile, checkpoint: Checkpoint, known: State) -> list[Frontier]:
    """As `hash_lines`, for the whole file: the lines that are known already are passed over.

    Raises:
        HistoryGap, HistoryStale: the lines begin after what is known, or end before it.
        EvidenceInvalid, HistoryForked, ProofInvalid, LogCorrupt: as `hash_lines`.
    """
    if head.since > known.size:
        raise HistoryGap(since=head.since, seen=known.size)
    if checkpoint.size < known.size:
        raise HistoryStale(size=checkpoint.size, seen=known.size)
    return hash_lines(islice(lines, _new(head, known), None), known.frontier, checkpoint)


def _new(head: LogFile, known: State) -> int:
    """The file's first line that is not known; the head is line 0."""
    return known.size - head.since + 1


def hash_lines(lines: Iterator[bytes], known: Frontier, checkpoint: Checkpoint) -> list[Frontier]:
    """Frontiers a batch apart from what is known up to the checkpoint, by the leaf hashes that the lines state.

    Raises:
        EvidenceInvalid: there are more lines, or fewer.
        HistoryForked, ProofInvalid: they do not make the checkpoint's log.
        LogCorrupt: a line states no leaf hash.
    """
    frontiers = list(frontiers_of(lines, known, checkpoint.size))
    reached = frontiers[-1] if frontiers else known
    # One line more is as wrong as one less.
    beyond = reached.size + (next(lines, None) is not None)
    if beyond != checkpoint.size:
        raise EvidenceInvalid(problem=f"has lines up to entry {beyond}, for a checkpoint of {checkpoint.size}")
    if reached.root != checkpoint.root:
        if known.size:
            raise HistoryForked(size=checkpoint.size, seen=known.size, root=known.root.hex())
        claim = f"a history of {checkpoint.size} entries"
        raise ProofInvalid(claim=claim, problem="they have another root than the checkpoint")
    return frontiers


def frontiers_of(lines: Iterator[bytes], frontier: Frontier, size: int) -> Iterator[Frontier]:
    """Frontiers a batch apart from `frontier` up to `size`, or as far as there are lines; those are taken, not more.

    Raises:
        LogCorrupt: a line states no leaf hash.
    """
    while frontier.size < size:
        batch = islice(lines, min(BATCH, size - frontier.size))
        leaves = [leaf_of(line, at) for at, line in enumerate(batch, frontier.size)]
        if not leaves:
            return
        frontier = frontier.extend(leaves)
        yield frontier


def fold_lines(
    lines: Iterator[bytes], known: Shown, frontiers: Iterable[Frontier], keep: Keep, progress: Progress | None
) -> Shown:
    """Fold lines whose hashes are known, a batch at a time, and keep each.

    Raises:
        HistoryInvalid, EntryAuthor, LogCorrupt: an entry does not fit, or is not what it was.
    """
    state, checkpoint, cosignatures = known.state, known.checkpoint, known.cosignatures
    with folding_many():
        for frontier in frontiers:
            folded = fold(state, read_batch(lines, state.size, frontier.size))
            refuse_changed(folded.frontier, frontier)
            state = keep(Shown(folded, checkpoint, cosignatures))
            if progress is not None:
                progress(state.size, checkpoint.size)
    return Shown(state, checkpoint, cosignatures)


def read_batch(lines: Iterator[bytes], start: int, stop: int) -> list[LogEntry]:
    """The entries from index `start` up to but not including `stop`, as far as there are lines."""
    return [read_line(line, at) for at, line in enumerate(islice(lines, stop - start), start)]


def refuse_changed(found: Frontier, hashed: Frontier) -> None:
    """Pass when lines that are read again are those that were hashed.

    Raises:
        LogCorrupt: they are not.
    """
    if found != hashed:
        raise LogCorrupt(index=found.size, problem="the file changed while it was read")


def head_of(lines: Iterator[bytes]) -> LogFile:
    """The first line of the file.

    Raises:
        EvidenceInvalid: there is none.
        RecordInvalid, RecordNotCanonical: it is no such line.
    """
    first = next(lines, None)
    if first is None:
        raise EvidenceInvalid(problem="is empty")
    return LogFile.from_bytes(first)


def leaf_of(line: bytes, index: int) -> bytes:
    """The leaf hash that a line states; whether it is the entry's is found when the line is read as a whole.

    Raises:
        LogCorrupt: it states none.
    """
    at = line.rfind(_LEAF)
    stated = line[at + len(_LEAF) : at + len(_LEAF) + 64]
    try:
        leaf = bytes.fromhex(stated.decode("ascii"))
    except ValueError:
        leaf = b""
    if at < 0 or len(leaf) != 32:  # noqa: PLR2004 - as SHA-256
        raise LogCorrupt(index=index, problem="its line states no leaf hash")
    return leaf
