"""What one file must hold so that somebody who trusts nothing but a charter's digest can judge a transfer.

The evidence of a transfer has a *body*, the same for everybody, whose digest is logged when signatures are requested;
and a *part* for one reader: a checkpoint of the log, cosigned by witnesses, with the log's entries. `examine` judges
it in numbered steps. Officer, station and release use the same function, so none can be shown something else:

1. The charter is the pinned one, signed by everyone it lists.
2. The request is signed by its requester, for this charter and this vault, and has not expired.
3. The outputs are exactly the request's payees, and change of this vault.
4. The log is the charter's: checkpoint signed, cosigned by the witness quorum, every entry in its place, and it extends
   every log seen before.
5. This transfer stands in that log with these very bytes.
6. The transaction is what its TransferId covers: amounts proved by previous transactions, inputs of this vault, change
   at the next index of the log, nothing that makes it valid later instead of now; what replaces another transfer is
   for the same, and what speeds one up spends its change.
7. The rules allow it, and the decision in the log is the one they give.
8. Officers have approved it, or what is still missing is said.

What a reader cannot judge is listed, never passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.transaction import PreviousTransaction
from custody.charter.decide import Decision, decide, refuse_denied
from custody.charter.document import Charter, verify_charter
from custody.charter.rules import Case
from custody.envelope import Envelope
from custody.errors import InvalidInput, Refused
from custody.log import (
    Checkpoint,
    Cosignature,
    Frontier,
    LogEntry,
    SignedCheckpoint,
    check_history,
    read_line,
    verify_checkpoint,
    withhold,
    witnesses_of,
    write_line,
)
from custody.quorum import Tally
from custody.record import FileRecord, HexBytes, Record
from custody.transfer.approval import Authorization, RoleTally, authorize, refuse_forked, refuse_vetoed, tallies
from custody.transfer.child import check_child, with_fees_before
from custody.transfer.draft import Draft, Paid, case_of, check_indexes, check_transaction, paid_outputs
from custody.transfer.history import History, replay
from custody.transfer.replacement import check_replacement
from custody.transfer.request import Purpose, TransferRequest, check_request, refuse_expired_request
from custody.transfer.signing import InputSignature, signing_psbt
from custody.transfer.state import Kind, Transfer
from custody.transfer.verify import StateChanged
from custody.vault.descriptor import Vault
from custody.vault.ownership import Reading, read_ownership

MAX_ENTRIES: Final = 1_000_000
MAX_PREVIOUS: Final = 1_000


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


class NotLogged(Refused, code="NOT_LOGGED"):
    """A transfer that the log given does not hold, or holds with other bytes."""

    message = "the log does not hold {what} of this transfer"
    hint = "Export the evidence again; if that does not help, do not go on: it was put together from pieces."
    what: str


class DecisionDiffers(Refused, code="DECISION_DIFFERS"):
    """A decision that the rules do not give."""

    message = "the log says {logged}; the charter's rules say {own}"
    hint = "Do not sign: the coordinator's decision is not what the charter gives."
    logged: str
    own: str


class EvidenceInvalid(InvalidInput, code="EVIDENCE_INVALID"):
    """An evidence file with parts missing for its purpose."""

    message = "the evidence file {problem}"
    hint = "Export it again with: custody transfer evidence."
    problem: str


class Stage(StrEnum):
    """What the reader is about to do."""

    APPROVE = "approve"
    SIGN = "sign"
    RELEASE = "release"


class EvidenceBody(Record):
    """The same for every reader. `previous` are raw previous transactions, each once, in the order of their txids."""

    kind: ClassVar[str] = "evidence"

    charter: Envelope
    request: Envelope
    draft: Draft
    previous: Annotated[tuple[HexBytes, ...], Field(min_length=1, max_length=MAX_PREVIOUS)]
    decision: Decision
    approvals: tuple[Envelope, ...]
    authorization: Authorization | None


class StationPart(Record):
    """What one reader needs beside the body: a signed checkpoint (C2SP note) and the log's lines up to it."""

    kind: ClassVar[str] = "evidence-part"

    checkpoint: Annotated[str, Field(max_length=100_000)]
    lines: Annotated[tuple[str, ...], Field(max_length=MAX_ENTRIES)]


class Evidence(FileRecord):
    """The file."""

    kind: ClassVar[str] = "evidence-file"

    body: EvidenceBody
    part: StationPart


@dataclass(frozen=True, slots=True)
class Trust:
    """What a reader trusts: the charter's digest, and the longest log seen before (size and root), if any."""

    charter: bytes
    seen_size: int = 0
    seen_root: bytes = b""


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step that passed, and what it found."""

    number: int
    title: str
    finding: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What a reader knows after every step has passed. `size` and `root` are the log it must remember."""

    stage: Stage
    charter: Charter
    vault: Vault
    vault_name: str
    transfer: Transfer
    request: TransferRequest
    reading: Reading
    case: Case
    payments: tuple[Paid, ...]
    decision: Decision
    tallies: tuple[RoleTally, ...]
    psbt: TransferPsbt
    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]
    body_digest: bytes
    nonces: Mapping[bytes, InputSignature]
    """The signatures of that log, each under its nonce."""
    steps: tuple[Step, ...]
    not_checked: tuple[str, ...] = field(default=())

    @property
    def transfer_id(self) -> bytes:
        """The TransferId, computed from bytes here."""
        return self.transfer.id

    @property
    def is_witnessed(self) -> bool:
        """Whether anybody but the coordinator stands behind the history."""
        return bool(self.charter.witnesses)

    @property
    def draft(self) -> Draft:
        """The draft that was examined."""
        return self.transfer.draft


def gather(transfer: Transfer, charter: Envelope, previous: Sequence[bytes]) -> EvidenceBody:
    """The evidence body for a transfer that was decided, with what has been approved so far.

    Raises:
        EvidenceInvalid: it was not decided yet.
    """
    if transfer.decision is None:
        raise EvidenceInvalid(problem="cannot be made: the transfer was not decided yet")
    return EvidenceBody(
        charter=charter,
        request=transfer.request_envelope,
        draft=transfer.draft,
        previous=tuple(sorted(set(previous), key=lambda raw: PreviousTransaction(raw).txid)),
        decision=transfer.decision,
        approvals=tuple(transfer.approvals),
        authorization=transfer.authorization,
    )


def part_of(checkpoint: SignedCheckpoint, entries: Iterable[LogEntry]) -> StationPart:
    """The part for a reader: the log up to the checkpoint. Deposits stay heads only: amounts are proved by the body."""
    shown = (withhold(entry) if entry.head.entry in _WITHHELD else entry for entry in entries)
    return StationPart(checkpoint=checkpoint.text(), lines=tuple(write_line(entry).decode("utf-8") for entry in shown))


def read_part(part: StationPart) -> list[LogEntry]:
    """The log's entries in a part. That they are the checkpoint's is for `check_seen` to say.

    Raises:
        LogCorrupt, RecordInvalid: a line is no entry, or not in its place.
    """
    return [read_line(line.encode("utf-8"), index) for index, line in enumerate(part.lines)]


def examine(evidence: Evidence, trust: Trust, stage: Stage, now: int) -> Examination:
    """Judge a transfer from its evidence alone, at `now` (Unix seconds).

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """
    body = evidence.body
    # 1
    charter = verify_charter(body.charter, trust.charter)
    steps = [_step(1, f"{charter.institution}, version {charter.version}, signed by all {_count_signers(charter)}")]
    # 2
    request = check_request(body.request, charter)
    if stage is Stage.APPROVE:
        refuse_expired_request(request, now)
    steps.append(_step(2, f"{request.requester} asked for it: {request.reason}"))
    # 3
    case = case_of(body.draft, request, charter)
    paid = paid_outputs(body.draft, request, charter)
    steps.append(_step(3, f"{len(paid)} payee(s) as requested, change {case.change} sat, fee {case.fee} sat"))
    # 4
    signed = SignedCheckpoint.parse(evidence.part.checkpoint)
    cosignatures = check_witnesses(signed, charter)
    entries = read_part(evidence.part)
    check_seen(entries, signed.checkpoint, trust)
    history = replay(entries, trust.charter)
    steps.append(_step(4, witness_finding(signed.checkpoint, cosignatures, charter)))
    # 5
    transfer = _logged(history, evidence, stage)
    asked = "" if stage is Stage.APPROVE else ", signatures requested"
    steps.append(_step(5, f"drafted and decided{asked} in that log"))
    # 6
    judged = judge_draft(transfer, request, charter, body.previous, history)
    spent = sum(each.amount for each in judged.reading.spent)
    steps.append(_step(6, f"{len(judged.reading.inputs)} inputs of vault {judged.vault_name}, {spent} sat, all proved"))
    # 7
    decision = _decided(transfer, judged.case, charter, history, now)
    steps.append(_step(7, f"{decision.verdict}: {len(decision.findings)} findings"))
    # 8
    _refuse_forked(entries, transfer)
    tallied = tallies(decision, request, charter, transfer.opinions)
    if stage is not Stage.APPROVE:
        check_authorized(transfer, charter, decision, now)
    steps.append(_step(8, "; ".join(_show_tally(each) for each in tallied) or "no approvals are demanded"))
    return Examination(
        stage=stage,
        charter=charter,
        vault=judged.vault,
        vault_name=judged.vault_name,
        transfer=transfer,
        request=request,
        reading=judged.reading,
        case=judged.case,
        payments=paid,
        decision=decision,
        tallies=tallied,
        psbt=judged.psbt,
        checkpoint=signed.checkpoint,
        cosignatures=cosignatures,
        body_digest=body.digest(),
        nonces=history.nonces,
        steps=tuple(steps),
        not_checked=_not_checked(charter, transfer, now),
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """A draft after steps 3 and 6."""

    vault_name: str
    vault: Vault
    psbt: TransferPsbt
    reading: Reading
    case: Case


def judge_draft(
    transfer: Transfer, request: TransferRequest, charter: Charter, previous: Sequence[bytes], history: History
) -> Judged:
    """Steps 3 and 6: the transaction is the vault's and pays what was asked, and nothing else.

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """
    drafted = transfer.draft
    entry, vault = charter.vault_by_id(drafted.identity.vault)
    check_transaction(drafted, history.height, entry, vault)
    psbt = signing_psbt(drafted, vault, {PreviousTransaction(raw).txid: raw for raw in previous})
    reading = read_ownership(psbt, vault)
    case = with_fees_before(case_of(drafted, request, charter), transfer, vault)
    check_replacement(drafted, request, transfer.replaced)
    if transfer.parent is not None:
        check_child(drafted, transfer.parent, vault)
    check_indexes(drafted, charter, transfer.due_change, transfer.due_receive)
    _refuse_differing(reading, case)
    return Judged(entry.name, vault, psbt, reading, case)


def check_witnesses(signed: SignedCheckpoint, charter: Charter) -> tuple[Cosignature, ...]:
    """The cosignatures that the charter counts, when they are enough.

    Raises:
        CheckpointInvalid: not signed by the charter's log.
        HistoryUnwitnessed: too few witnesses.
    """
    verify_checkpoint(signed, charter.origin, charter.coordinator)
    witnesses = {witness.name: witness.key for witness in charter.witnesses}
    cosignatures = witnesses_of(signed, witnesses)
    cosigned = {each.key for each in cosignatures}
    if len(cosigned) < charter.witness_threshold:
        raise HistoryUnwitnessed(
            given=len(cosigned),
            needed=charter.witness_threshold,
            size=signed.checkpoint.size,
            missing=", ".join(name for name, key in sorted(witnesses.items()) if key not in cosigned),
        )
    return cosignatures


def check_seen(entries: Sequence[LogEntry], checkpoint: Checkpoint, trust: Trust) -> None:
    """Every entry is in its place under the checkpoint, and the log extends what was seen before.

    Raises:
        LogCorrupt, ProofInvalid: the entries are not the checkpoint's.
        HistoryStale: shorter than what was seen.
        HistoryForked: different from what was seen.
    """
    if len(entries) != checkpoint.size:
        raise EvidenceInvalid(problem=f"has {len(entries)} log lines for a checkpoint of {checkpoint.size}")
    check_history(entries, checkpoint)
    if not trust.seen_size:
        return
    if checkpoint.size < trust.seen_size:
        raise HistoryStale(size=checkpoint.size, seen=trust.seen_size)
    if Frontier.of(entry.leaf for entry in entries[: trust.seen_size]).root != trust.seen_root:
        raise HistoryForked(size=checkpoint.size, seen=trust.seen_size, root=trust.seen_root.hex())


_WITHHELD: Final = frozenset({Kind.DEPOSIT_SEEN, Kind.DEPOSIT_REVERSED, Kind.COIN_MATURED})
"""Entries a station needs no bodies of: what they claim about money, it proves from the body or not at all."""

_TITLES: Final = (
    "charter",
    "request",
    "outputs",
    "history",
    "this transfer in that history",
    "transaction",
    "rules",
    "approvals",
)


def _step(number: int, finding: str) -> Step:
    return Step(number, _TITLES[number - 1], finding)


def _count_signers(charter: Charter) -> int:
    return sum(1 for _ in charter.signers())


def _logged(history: History, evidence: Evidence, stage: Stage) -> Transfer:
    """The transfer as the log tells it, when the log holds the very bytes of the body."""
    body = evidence.body
    transfer = history.transfers.get(body.draft.transfer_id)
    if transfer is None:
        raise NotLogged(what="the draft")
    for what, logged, given in (
        ("the same draft", transfer.draft, body.draft),
        ("the same request", transfer.request_envelope, body.request),
        ("the same decision", transfer.decision, body.decision),
        ("the same approvals", tuple(transfer.approvals), body.approvals),
        ("the same authorization", transfer.authorization, body.authorization),
    ):
        if logged != given:
            raise NotLogged(what=what)
    if transfer.ended is not None:
        raise StateChanged(what="the transfer", expected="live", actual=f"ended: {transfer.ended.reason}")
    if stage is not Stage.APPROVE:
        # The log must say that signatures were asked for on exactly this body: limits count from there.
        if transfer.signing is None:
            raise NotLogged(what="the signing request")
        if transfer.signing.evidence != body.digest():
            raise NotLogged(what="the signing request for this evidence")
        # Once asked for in time, signatures may come later; but approvals outlive requests, so time is asked here too.
        refuse_expired_request(transfer.request, transfer.signing.at)
    return transfer


def _decided(transfer: Transfer, case: Case, charter: Charter, history: History, now: int) -> Decision:
    facts = history.facts(now)
    refuse_denied(case, charter, facts)
    own = decide(transfer.id, case, charter, facts)
    if own != transfer.decision:
        logged = "nothing" if transfer.decision is None else transfer.decision.digest().hex()
        raise DecisionDiffers(logged=logged, own=own.digest().hex())
    return own


def _refuse_forked(entries: Sequence[LogEntry], transfer: Transfer) -> None:
    """Every officer who spoke saw this very log as far as it went then (THREATS F1)."""
    frontier = Frontier()
    for approval in sorted(transfer.opinions, key=lambda each: each.log_size):
        frontier = frontier.extend(entry.leaf for entry in entries[frontier.size : approval.log_size])
        refuse_forked(approval, frontier.root if frontier.size == approval.log_size else b"")


def check_authorized(transfer: Transfer, charter: Charter, decision: Decision, now: int) -> None:
    """Check that the approvals which the log's authorization counts meet every demand at `now` (Unix seconds).

    Raises:
        NotLogged: there is no authorization, or not this one.
        Vetoed: somebody said no, before it or after.
        ApprovalExpired, ApprovalMissing, ...: as `authorize`.
    """
    logged = transfer.authorization
    if logged is None:
        raise NotLogged(what="the authorization")
    # An approval that came after the authorization changes nothing; a veto at any time does.
    counted = [envelope for envelope in transfer.approvals if envelope.digest() in logged.approvals]
    refuse_vetoed(transfer.opinions)
    own = authorize(transfer.draft, transfer.request, charter, decision, counted, now)
    if (own.decision, own.approvals) != (logged.decision, logged.approvals):
        raise NotLogged(what="the authorization by these approvals")


def _refuse_differing(reading: Reading, case: Case) -> None:
    """Two ways to read one transaction agree: the PSBT against the vault, the draft against the request."""
    change = sum(each.output.amount for each in reading.outputs if each.change is not None)
    if (reading.fee, change) != (case.fee, case.change):
        raise StateChanged(
            what="fee and change", expected=f"{case.fee} and {case.change}", actual=f"{reading.fee} and {change}"
        )


def witness_finding(checkpoint: Checkpoint, cosignatures: Sequence[Cosignature], charter: Charter) -> str:
    """How far somebody else stands behind a log, in words."""
    if not charter.witnesses:
        return f"{checkpoint.size} entries; NOT WITNESSED: this charter names no witness"
    return f"{checkpoint.size} entries, cosigned by {len(cosignatures)} of {len(charter.witnesses)} witnesses"


def _show_tally(each: RoleTally) -> str:
    tally: Tally[str] = each.tally
    state = "met" if tally.is_met else f"{tally.needed} more needed from {', '.join(tally.missing)}"
    return f"rule {each.demand.rule}: {len(tally.acted)} of {tally.threshold} ({state})"


def _not_checked(charter: Charter, transfer: Transfer, now: int) -> tuple[str, ...]:
    found = [
        "whether the coins are still unspent (the chain is not seen here)",
        "what k custodians do together on other machines",
    ]
    if locktime := transfer.draft.transaction.locktime:
        # A height nobody mined would let the transaction lie dead and come to life later (THREATS F8).
        found.insert(0, f"whether block {locktime} was mined: the coordinator says so")
    if transfer.request.purpose is Purpose.CHILD:
        found.insert(0, "whether what it speeds up still waits for a block: the coordinator says so")
    if now >= transfer.request.expires:
        found.insert(0, "whether signatures were asked for before the request expired: the coordinator says so")
    if not charter.witnesses:
        found.insert(0, "whether others were shown the same history: the charter names no witness")
    return tuple(found)
