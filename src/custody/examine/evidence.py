"""What one file must hold so that somebody who trusts nothing but a charter's digest can judge a transfer.

Evidence of a transfer is the log from where its reader has come to, under a checkpoint that witnesses cosigned, and the
previous transactions of what is spent. Everything else that is judged (request, draft, decision, approvals) stands in
the log, and is read there; its digest, with the previous transactions, was logged when signatures were requested.
`examination` judges it.

The reason of a request stands in an annex, which the file may hold: nothing is judged by it. When it is there it is the
one that was signed; when it was erased or withheld, that is listed. Nobody else's annex is in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from custody.bitcoin.transaction import PreviousTransaction
from custody.charter.decide import Decision
from custody.envelope import Envelope
from custody.examine.shown import MAX_LINES, EvidenceInvalid, lines_of
from custody.history import kinds, tables
from custody.history.questions import History
from custody.history.state import State
from custody.log import LogEntry, SignedCheckpoint, open_body, read_line
from custody.record import Digest, FileRecord, HexBytes, Record, read
from custody.transfer.annex import Annex
from custody.transfer.approval import Authorization
from custody.transfer.draft import Draft
from custody.transfer.request import read_request
from custody.transfer.state import Transfer
from custody.units import Count

MAX_PREVIOUS: Final = 1_000


class Stage(StrEnum):
    """What the reader is about to do."""

    APPROVE = "approve"
    SIGN = "sign"
    RELEASE = "release"


class EvidenceBody(Record):
    """What is judged, the same for every reader: its digest is logged when signatures are requested.

    All but `previous` stands in the log. These are raw previous transactions, each once, in the order of their txids.
    `charter` is its digest.
    """

    kind: ClassVar[str] = "evidence"

    charter: Digest
    request: Envelope
    draft: Draft
    previous: Annotated[tuple[HexBytes, ...], Field(min_length=1, max_length=MAX_PREVIOUS)]
    decision: Decision
    approvals: tuple[Envelope, ...]
    authorization: Authorization | None


class Evidence(FileRecord):
    """The file, for a reader who has seen the first `since` entries of the log, or more.

    `lines` are the log's from there to the checkpoint (a C2SP note), `previous` raw previous transactions, each once,
    in the order of their txids, `annex` the one with the request's reason, None when it was erased or is withheld.
    """

    kind: ClassVar[str] = "evidence-file"

    transfer: Digest
    since: Count
    checkpoint: Annotated[str, Field(max_length=100_000)]
    lines: Annotated[tuple[str, ...], Field(max_length=MAX_LINES)]
    previous: Annotated[tuple[HexBytes, ...], Field(min_length=1, max_length=MAX_PREVIOUS)]
    annex: Annex | None = None


def gather(transfer: Transfer, charter: bytes, previous: Sequence[bytes]) -> EvidenceBody:
    """The evidence body for a transfer that was decided, with what has been approved so far; `charter` is its digest.

    Raises:
        EvidenceInvalid: it was not decided yet.
    """
    if transfer.decision is None:
        raise EvidenceInvalid(problem="cannot be made: the transfer was not decided yet")
    return EvidenceBody(
        charter=charter,
        request=transfer.request_envelope,
        draft=transfer.draft,
        previous=in_order(previous),
        decision=transfer.decision,
        approvals=transfer.approvals,
        authorization=transfer.authorization,
    )


def evidence_of(
    transfer_id: bytes,
    signed: SignedCheckpoint,
    entries: Iterable[LogEntry],
    since: int,
    previous: Sequence[bytes],
    annex: Annex | None,
) -> Evidence:
    """The file for a reader who has seen `since` entries: `entries` are those from there up to the checkpoint."""
    return Evidence(
        transfer=transfer_id,
        since=since,
        checkpoint=signed.text(),
        lines=lines_of(entries),
        previous=in_order(previous),
        annex=annex,
    )


def in_order(previous: Iterable[bytes]) -> tuple[bytes, ...]:
    """Previous transactions as evidence has them: each once, in the order of their txids."""
    return tuple(sorted(set(previous), key=lambda raw: PreviousTransaction(raw).txid))


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a transfer, as far as it is: what is None stands elsewhere."""

    request: Envelope | None
    draft: Draft | None


def told_of(transfer_id: bytes, known: State, entries: Sequence[LogEntry]) -> Told:
    """What memory and a file's entries say of a transfer together, as far as they do. No entry is proved by that."""
    history = History(known)
    if known.has(tables.TRANSFERS, transfer_id):
        transfer = history.transfer(transfer_id)
        return Told(transfer.request_envelope, transfer.draft)
    drafts = (read(Draft, open_body(each)) for each in entries if each.head.entry == kinds.DRAFTED)
    draft = next((each for each in drafts if each.transfer_id == transfer_id), None)
    if draft is None:
        return Told(None, None)
    asked = draft.identity.request
    if known.has(tables.REQUESTS, asked):
        return Told(history.request(asked), draft)
    signed = (read(Envelope, open_body(each)) for each in entries if each.head.entry == kinds.REQUESTED)
    return Told(next((each for each in signed if read_request(each).digest() == asked), None), draft)


def adopted_in(entries: Sequence[LogEntry]) -> Envelope | None:
    """The charter that these entries say was adopted, if they do."""
    adopted = (each for each in entries if each.head.entry == kinds.CHARTER_ADOPTED)
    return next((read(Envelope, open_body(each)) for each in adopted), None)


def stage_of(evidence: Evidence, known: State) -> Stage:
    """What evidence was made for: signing, once its log holds that signatures were asked for."""
    seen = known.get(tables.TRANSFERS, evidence.transfer)
    if seen is not None and seen.signing is not None:
        return Stage.SIGN
    for index, line in enumerate(evidence.lines, evidence.since):
        # Most lines are of other kinds; reading them is for the examination.
        if kinds.SIGNING_REQUESTED in line:
            head = read_line(line.encode("utf-8"), index).head
            if head.entry == kinds.SIGNING_REQUESTED and evidence.transfer in head.subjects:
                return Stage.SIGN
    return Stage.APPROVE
