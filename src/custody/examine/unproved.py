"""What can be read from a file on a machine that cannot prove it, and what could not be asked there?

A machine that trusts no charter can compare a file only with itself. One that trusts a charter, and has not seen the
log up to where the file's lines begin, can ask what the charter answers, and not what the log does. Both may show the
file to a person; neither may approve or sign by it, and what they find is another type than a judgement, so that it
cannot be taken for one.

1. The steps are those of `evidence` and `statement`; those that can be asked are asked, and the others are listed.
2. What is wrong by itself is refused as ever, by its own code. A file is only ever shown as less than it claims.
3. Whoever trusts no charter and is given the log from its first entry on goes through all steps by the charter that
   the file itself carries: then the file agrees with itself, and whoever wrote it may have written that charter too.
4. Nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from custody.bitcoin.profile import ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.transaction import PreviousTransaction, TxOut
from custody.charter.document import Charter, read_charter, verify_charter
from custody.envelope import Envelope, unsafe_payload, unsafe_signers
from custody.examine.catchup import Lines, hash_log, head_of, leaf_of
from custody.examine.evidence import Evidence, Told, adopted_in, stage_of, told_of
from custody.examine.examination import (
    TITLES,
    UNKNOWABLE,
    Examination,
    NotLogged,
    Step,
    examine,
    read_draft,
    step_charter,
    step_outputs,
    step_request,
)
from custody.examine.lack import Lack
from custody.examine.shown import check_witnesses, read_lines, refuse_wrong_count
from custody.examine.snapshot import CheckedSnapshot, check_snapshot, snapshot_head
from custody.examine.statement import (
    AddressNotIssued,
    AddressStatement,
    StatementExamination,
    StatementPaper,
    compare_issuing,
    examine_statement,
    judge_time,
    open_statement,
    unknowable,
)
from custody.history import kinds, lists
from custody.history.questions import History
from custody.history.state import State
from custody.log import Cosignature, EntryHead, LogEntry, SignedCheckpoint, open_body
from custody.quorum import Quorum
from custody.record import read
from custody.transfer.address import AddressIssued
from custody.transfer.approval import Approval, ApprovalMismatch, check_approval
from custody.transfer.draft import Draft
from custody.transfer.proposal import Proposal, TransferMismatch, check_amounts, check_inputs, propose
from custody.transfer.request import TransferRequest, check_request, read_reason, read_request
from custody.vault.descriptor import Branch
from custody.vault.ownership import spent_outputs

Said_co = TypeVar("Said_co", covariant=True)
_NO_LOG: Final = State(b"")
"""What somebody knows who has seen nothing; no charter has this digest."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What a machine has to judge by: the charter it trusts, None without one, and the log as far as it has seen it.

    `taken` says what of that log it has taken on others' word.
    """

    charter: Charter | None = None
    known: State = _NO_LOG
    taken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unproved(Generic[Said_co]):
    """What a file says, and why it may be otherwise."""

    said: Said_co
    lack: Lack
    not_checked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines of a log: `lines` of them from `since` on, up to a checkpoint.

    `cosignatures` are those that a charter counts, None where there is no charter to ask.
    """

    since: int
    lines: int
    signed: SignedCheckpoint
    cosignatures: tuple[Cosignature, ...] | None


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A transfer of which the file tells a part. `steps` are those that passed, `unasked` say why they were not.

    `transfer_id` was computed here if there is a draft, else the file names it. `request_keys` signed the request, and
    are named by nobody but the file; there are none where the charter said who asks. `spent` are by previous
    transactions, `proposal` is there when a trusted charter said what the draft means.
    """

    transfer_id: bytes
    charter: Charter | None
    draft: Draft | None
    request: TransferRequest | None
    request_keys: tuple[bytes, ...]
    reason: str | None
    proposal: Proposal | None
    spent: tuple[TxOut, ...]
    opinions: tuple[Approval, ...]
    about: tuple[EntryHead, ...]
    excerpt: Excerpt
    steps: tuple[Step, ...]
    unasked: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class StatementGlimpse:
    """An address statement of whose log the paper shows a part. `is_issuing_shown` is whether that part tells of it."""

    charter: Charter
    vault_name: str
    statement: AddressStatement
    quorum: Quorum[bytes]
    is_issuing_shown: bool
    excerpt: Excerpt
    steps: tuple[Step, ...]
    unasked: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class LogGlimpse:
    """A log in a file, hashed and not folded. `is_joined` is whether the lines lead from what was seen to its root."""

    charter: Charter
    excerpt: Excerpt
    is_joined: bool


def _lack(reader: Reader, since: int) -> Lack:
    lack = Lack(reader.charter is not None, since, reader.known.size)
    if not lack.is_any:
        raise ValueError("nothing is missing here: the file can be judged")
    return lack


@dataclass(frozen=True, slots=True)
class SnapshotGlimpse:
    """A snapshot that agrees with its charter, its officers' confirmation and its log; no station has begun with it."""

    charter: Charter
    checked: CheckedSnapshot


# --- evidence ---------------------------------------------------------------------------------------------------------


def look_at_evidence(evidence: Evidence, reader: Reader, now: int) -> Unproved[Examination] | Unproved[Glimpse]:
    """What evidence says to a reader who cannot judge it, at `now` (Unix seconds).

    Raises:
        CustodyError: the first fact that is wrong by itself, by its own code.
    """
    lack = _lack(reader, evidence.since)
    if lack.is_gap:
        glimpse = _glimpse(evidence, reader)
        unasked = tuple(f"step {each.number}, {each.title}: {each.finding}" for each in glimpse.unasked)
        return Unproved(glimpse, lack, (*lack.not_checked(), *unasked, *reader.taken, *UNKNOWABLE))
    adopted = adopted_in(read_lines(evidence.lines, evidence.since))
    if adopted is None:
        raise NotLogged(what="the charter")
    own = State(read_charter(adopted).digest())
    found = examine(evidence, own, stage_of(evidence, own), now)
    return Unproved(found, lack, (*lack.not_checked(), *found.not_checked))


def _glimpse(evidence: Evidence, reader: Reader) -> Glimpse:
    signed, charter = SignedCheckpoint.parse(evidence.checkpoint), reader.charter
    entries = read_lines(evidence.lines, evidence.since)
    refuse_wrong_count(len(entries), evidence.since, signed.checkpoint)
    told = told_of(evidence.transfer, reader.known, entries)
    # 1
    steps = [] if charter is None else [step_charter(charter)]
    # 2
    request = None if told.request is None else _request(told.request, charter)
    reason = None if request is None else read_reason(request.annex, evidence.annex)
    if request is not None and charter is not None:
        steps.append(step_request(request))
    # 3
    proposal = _proposed(told.draft, request, charter)
    if proposal is not None:
        steps.append(step_outputs(proposal))
    # 4 and 6, in part
    cosignatures = None if charter is None else check_witnesses(signed, charter)
    spent = () if told.draft is None else _spent(told.draft, evidence.previous, proposal)
    about = tuple(each for each in entries if evidence.transfer in each.head.subjects)
    return Glimpse(
        transfer_id=evidence.transfer,
        charter=charter,
        draft=told.draft,
        request=request,
        request_keys=()
        if told.request is None or charter is not None
        else unsafe_signers(told.request, TransferRequest),
        reason=reason,
        proposal=proposal,
        spent=spent,
        opinions=tuple(_opinions(evidence.transfer, about, proposal)),
        about=tuple(each.head for each in about),
        excerpt=Excerpt(evidence.since, len(entries), signed, cosignatures),
        steps=tuple(steps),
        unasked=tuple(_unasked(told, charter, {each.number for each in steps})),
    )


def _request(envelope: Envelope, charter: Charter | None) -> TransferRequest:
    return read_request(envelope) if charter is None else check_request(envelope, charter)


def _proposed(drafted: Draft | None, request: TransferRequest | None, charter: Charter | None) -> Proposal | None:
    """What a charter says of a draft; without one, the draft must at least be of the same charter as its request."""
    if drafted is None or request is None:
        return None
    if charter is not None:
        return propose(drafted, request, charter)
    for what, actual, expected in (
        ("charter", drafted.identity.charter, request.charter),
        ("vault", drafted.identity.vault, request.vault),
    ):
        if actual != expected:
            raise TransferMismatch(what=what, actual=actual.hex(), expected=expected.hex())
    return None


def _spent(drafted: Draft, previous: Sequence[bytes], proposal: Proposal | None) -> tuple[TxOut, ...]:
    """What the draft spends, by previous transactions; also that it is the vault's where a charter says whose it is."""
    if proposal is not None:
        # The coordinator's word for the highest block: what the log says of it was not seen.
        return read_draft(proposal, previous, drafted.height)[1].spent
    check_inputs(drafted)
    check_amounts(drafted)
    raws = {PreviousTransaction(raw).txid: raw for raw in previous}
    inputs = tuple(
        ProfileInput(previous_transaction=raws.get(each.txid, b""), witness_utxo=each.output)
        for each in drafted.identity.spent
    )
    transaction = drafted.transaction
    outputs = (ProfileOutput(),) * len(transaction.outputs)
    return spent_outputs(TransferPsbt(transaction=transaction, account_keys=(), inputs=inputs, outputs=outputs))


def _opinions(transfer_id: bytes, about: Sequence[LogEntry], proposal: Proposal | None) -> Iterator[Approval]:
    for entry in about:
        if entry.head.entry != kinds.APPROVED:
            continue
        envelope = read(Envelope, open_body(entry))
        if proposal is not None:
            yield check_approval(envelope, proposal)
            continue
        approval = unsafe_payload(envelope, Approval)
        unsafe_signers(envelope, Approval)
        if approval.transfer != transfer_id:
            raise ApprovalMismatch(
                officer=approval.officer, what="transfer", actual=approval.transfer.hex(), expected=transfer_id.hex()
            )
        yield approval


def _unasked(told: Told, charter: Charter | None, passed: set[int]) -> Iterator[Step]:
    """The steps that did not pass, with what therefore nobody can say."""
    absent = "does not stand in these lines"
    request = f"it {absent}" if told.request is None else "whether its signer may ask, for this vault"
    outputs = "whose the outputs are, and which of them is change"
    if told.draft is None or (told.request is None and charter is not None):
        outputs = f"the {'draft' if told.draft is None else 'request'} {absent}"
    coins = "" if 3 in passed else "whose the coins are, "  # noqa: PLR2004 - the step that says what a draft means
    whys = (
        "none is trusted here, and this file carries none",
        request,
        outputs,
        f"whether lines and checkpoint are of one log{'' if charter is not None else ', and who signed it'}",
        "whether it stands in that log, and has not ended",
        f"{coins}whether change is at the next index, and whether what it replaces or speeds up is so",
        "whether the rules allow it: a decision in these lines is the coordinator's word",
        "whether enough officers have approved, and none said no",
    )
    for number, (title, why) in enumerate(zip(TITLES, whys, strict=True), 1):
        if number not in passed:
            yield Step(number, title, why)


# --- an address statement's paper -------------------------------------------------------------------------------------


def look_at_statement(
    paper: StatementPaper, reader: Reader, now: int
) -> Unproved[StatementExamination] | Unproved[StatementGlimpse]:
    """What a paper says to an officer whose machine cannot judge it, at `now` (Unix seconds).

    Raises:
        CustodyError: the first fact that is wrong by itself, by its own code.
    """
    lack = _lack(reader, paper.since)
    # A paper carries its charter, so that without another one it is at least compared with that.
    pinned = (reader.charter or read_charter(paper.charter)).digest()
    if lack.is_gap:
        glimpse = _statement_glimpse(paper, reader.known, pinned, now)
        unasked = tuple(f"step {each.number}, {each.title}: {each.finding}" for each in glimpse.unasked)
        return Unproved(glimpse, lack, (*lack.not_checked(), *unasked, *reader.taken, *unknowable(glimpse.charter)))
    found = examine_statement(paper, State(pinned), now)
    return Unproved(found, lack, (*lack.not_checked(), *found.not_checked))


def _statement_glimpse(paper: StatementPaper, known: State, pinned: bytes, now: int) -> StatementGlimpse:
    signed, asked = SignedCheckpoint.parse(paper.checkpoint), paper.asked
    entries = read_lines(paper.lines, paper.since)
    refuse_wrong_count(len(entries), paper.since, signed.checkpoint)
    # 1 to 3
    opened = open_statement(asked, paper.charter, State(pinned))
    # 4 and 5, in part
    cosignatures = check_witnesses(signed, opened.charter)
    found = _issuing(asked, known, entries)
    if found is not None:
        index, issued = found
        if index >= asked.log_size:
            raise AddressNotIssued(vault=opened.vault_name, index=asked.index, size=asked.log_size)
        compare_issuing(asked, issued, paper.annex)
    # 6
    time = judge_time(asked, now)
    return StatementGlimpse(
        charter=opened.charter,
        vault_name=opened.vault_name,
        statement=asked,
        quorum=opened.quorum,
        is_issuing_shown=found is not None,
        excerpt=Excerpt(paper.since, len(entries), signed, cosignatures),
        steps=(*opened.steps, time),
        unasked=(
            Step(4, "history", "whether lines and checkpoint are of one log, and of the one that it names"),
            Step(5, "issuing", "whether it was given out in that log, once, and nothing is frozen"),
        ),
    )


def _issuing(asked: AddressStatement, known: State, entries: Sequence[LogEntry]) -> tuple[int, AddressIssued] | None:
    """The entry that says the address was given out, from memory or else from lines that nothing proves."""
    row = lists.address(History(known), asked.vault, asked.index)
    if row is not None:
        return row.issued, History(known).read(AddressIssued, row.issued)
    for entry in entries:
        if entry.head.entry == kinds.ADDRESS_ISSUED:
            issued = read(AddressIssued, open_body(entry))
            if (issued.vault, issued.branch, issued.index) == (asked.vault, Branch.RECEIVE, asked.index):
                return entry.head.index, issued
    return None


# --- the log in a file ------------------------------------------------------------------------------------------------


def look_at_log(lines: Lines, reader: Reader) -> Unproved[LogGlimpse]:
    """What a log in a file is, by the hashes that its lines state; `catchup.catch_up` takes it in.

    Raises:
        CharterMismatch, CharterUnsigned: it is another charter's than the trusted one, or of one that does not hold.
        HistoryUnwitnessed, CheckpointInvalid: too few stand behind it.
        HistoryStale, HistoryForked, ProofInvalid: it does not go on from what is known.
        EvidenceInvalid, LogCorrupt: a line is missing, or is none.
    """
    head = head_of(lines())
    signed = SignedCheckpoint.parse(head.checkpoint)
    pinned = (reader.charter or read_charter(head.charter)).digest()
    charter = verify_charter(head.charter, pinned)
    cosignatures = check_witnesses(signed, charter)
    lack = Lack(reader.charter is not None, head.since, reader.known.size)
    if lack.is_gap:
        stated = (leaf_of(line, at) for at, line in enumerate(islice(lines(), 1, None), head.since))
        refuse_wrong_count(sum(1 for _ in stated), head.since, signed.checkpoint)
    else:
        hash_log(lines(), head, signed.checkpoint, reader.known)
    excerpt = Excerpt(head.since, signed.checkpoint.size - head.since, signed, cosignatures)
    unread = "what the entries say, and whether they fit each other: they are read when the log is taken in"
    return Unproved(LogGlimpse(charter, excerpt, not lack.is_gap), lack, (*lack.not_checked(), *reader.taken, unread))


def look_at_snapshot(lines: Lines, reader: Reader) -> Unproved[SnapshotGlimpse]:
    """What a snapshot is of; `Station.begin` is what begins with it.

    Raises:
        CustodyError: as `check_snapshot`.
    """
    head = snapshot_head(lines())
    charter = reader.charter or read_charter(head.charter)
    known = reader.known if reader.charter is not None else State(charter.digest())
    found = SnapshotGlimpse(charter, check_snapshot(lines, known))
    lack = Lack(reader.charter is not None, 0, reader.known.size)
    unread = (
        "what the entries say: they are read when a station begins with it",
        "whether what is confirmed follows from these entries: officers say so, and they are not folded here",
    )
    return Unproved(found, lack, (*lack.not_checked(), *reader.taken, *unread))
