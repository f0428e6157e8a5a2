"""Is what a transfer's evidence says true, and may it go on? In numbered steps, the same for everybody.

Officer, station and release use the same steps, so none can be shown something else:

1. The charter is the pinned one, signed by everyone it lists.
2. The request is signed by its requester, for this charter and this vault.
3. The outputs are exactly the request's payees, and change of this vault.
4. The log is the charter's: checkpoint signed, cosigned by the witness quorum, every entry in its place, and it extends
   every log seen before. By its times, and those of all that people signed, this machine's clock can be right; only
   then is it asked whether the request has expired.
5. This transfer stands in that log with these very bytes.
6. The transaction is what its TransferId covers: amounts proved by previous transactions, inputs of this vault, change
   at the next index of the log, nothing that makes it valid later instead of now; what replaces another transfer is
   for the same, and what speeds one up spends its change; no coin is spent that nobody was to send, unless an officer
   has released it.
7. The rules allow it, and the decision in the log is the one they give.
8. Officers have approved it, or what is still missing is said.

What a reader cannot judge is listed, never passed over. 1 to 3 are asked of what the file claims before 4 proves that
it stands in the log, so that a wrong file is refused for what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.transaction import OutPoint, PreviousTransaction
from custody.charter.decide import Decision, decide, refuse_denied
from custody.charter.document import Charter
from custody.charter.facts import Facts
from custody.charter.rules import Case
from custody.clock import refuse_behind, refuse_old
from custody.envelope import Envelope
from custody.errors import CustodyError, Refused
from custody.examine.evidence import Evidence, Stage, adopted_in, gather, in_order, told_of
from custody.examine.shown import (
    Shown,
    check_witnesses,
    extended,
    needed_size,
    own_shown,
    pinned_charter,
    proved,
    read_lines,
    times_shown,
    unseen,
    witness_finding,
)
from custody.history.quarantine import CoinQuarantined, Placed, cleared, makers, quarantined
from custody.history.questions import History
from custody.history.relations import PaidAlike, VetoedAlike, paid_alike, refuse_vetoed_request, vetoed_alike
from custody.history.state import State
from custody.history.tables import ClearedRow
from custody.log import Checkpoint, Cosignature, LogEntry, SignedCheckpoint
from custody.quorum import Tally
from custody.transfer.approval import RoleTally, authorize, refuse_forked, refuse_vetoed, tallies
from custody.transfer.child import check_child, in_context, refuse_unsigned
from custody.transfer.draft import Draft
from custody.transfer.proposal import Paid, Proposal, check_indexes, check_transaction, propose
from custody.transfer.replacement import check_replacement
from custody.transfer.request import (
    Purpose,
    TransferRequest,
    check_request,
    read_reason,
    refuse_early_request,
    refuse_expired_request,
)
from custody.transfer.signing import KnownNonces, signing_psbt
from custody.transfer.state import Transfer, over
from custody.transfer.verify import StateChanged, final_txid
from custody.vault.descriptor import Vault
from custody.vault.ownership import Reading, read_ownership


class NotLogged(Refused, code="NOT_LOGGED"):
    """A transfer that the log given does not hold, or holds with other bytes."""

    message = "the log does not hold {what} of this transfer"
    hint = (
        "Have the evidence made again for this very step: custody transfer evidence ID, for cosigners with --for sign. "
        "If that is no help, do not go on: it was put together from pieces."
    )
    what: str


class DecisionDiffers(Refused, code="DECISION_DIFFERS"):
    """A decision that the rules do not give."""

    message = "the log says {logged}; the charter's rules say {own}"
    hint = "Do not sign: the coordinator's decision is not what the charter gives."
    logged: str
    own: str


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step that passed, and what it found."""

    number: int
    title: str
    finding: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What a reader knows after every step has passed. `shown` is the log it must remember.

    `vetoed_alike` is who has said no to the same payments before, in other requests, and `paid_alike` what else may
    still make them; `reason` is why the transfer was asked for, None when that was erased or withheld; `released` are
    the coins that it spends although nobody was to send them, each with the officer who released it.
    """

    stage: Stage
    transfer: Transfer
    proposal: Proposal
    reason: str | None
    reading: Reading
    case: Case
    decision: Decision
    tallies: tuple[RoleTally, ...]
    psbt: TransferPsbt
    shown: Shown
    body_digest: bytes
    steps: tuple[Step, ...]
    vetoed_alike: tuple[VetoedAlike, ...] = field(default=())
    paid_alike: tuple[PaidAlike, ...] = field(default=())
    released: tuple[tuple[OutPoint, ClearedRow], ...] = field(default=())
    not_checked: tuple[str, ...] = field(default=())

    @property
    def transfer_id(self) -> bytes:
        """The TransferId, computed from bytes here."""
        return self.transfer.id

    @property
    def charter(self) -> Charter:
        """The charter it was judged by."""
        return self.proposal.charter

    @property
    def vault(self) -> Vault:
        """The vault it spends from."""
        return self.proposal.vault

    @property
    def vault_name(self) -> str:
        """What the charter calls that vault."""
        return self.proposal.entry.name

    @property
    def request(self) -> TransferRequest:
        """What was asked for."""
        return self.proposal.request

    @property
    def payments(self) -> tuple[Paid, ...]:
        """Who gets what, and at which address."""
        return self.proposal.paid

    @property
    def checkpoint(self) -> Checkpoint:
        """The end of the log that was shown."""
        return self.shown.checkpoint

    @property
    def cosignatures(self) -> tuple[Cosignature, ...]:
        """Who stands behind that log, beside its coordinator."""
        return self.shown.cosignatures

    @property
    def nonces(self) -> KnownNonces:
        """The signatures of that log, each under its nonce."""
        return History(self.shown.state)

    @property
    def is_witnessed(self) -> bool:
        """Whether anybody but the coordinator stands behind the history."""
        return bool(self.charter.witnesses)

    @property
    def draft(self) -> Draft:
        """The draft that was examined."""
        return self.transfer.draft


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said of a transfer before it is known to stand in the log; no charter is the one that is known."""

    charter: Envelope | None
    request: Envelope
    draft: Draft


def examine(evidence: Evidence, known: State, stage: Stage, now: int) -> Examination:
    """Judge a transfer from its evidence and what this reader has seen before, at `now` (Unix seconds).

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """
    signed = SignedCheckpoint.parse(evidence.checkpoint)
    entries = read_lines(evidence.lines, evidence.since)

    def show(charter: Charter) -> Shown:
        cosignatures = check_witnesses(signed, charter)
        state = extended(known, entries, evidence.since, signed.checkpoint)
        shown = Shown(state, signed.checkpoint, cosignatures)
        told = times_shown(shown, charter)
        refuse_behind(now, told)
        refuse_old(now, (*(each.at for each in told), *_dates(History(state).transfer(evidence.transfer))))
        return shown

    # Lines that were seen before are proved by nothing: were they read, a file could claim by them what no log says.
    try:
        claim = _claimed(evidence.transfer, known, unseen(known, entries, evidence.since))
    except NotLogged:
        # Perhaps it stands in another log than this reader has seen, and that is what must be said.
        proved(known, entries, evidence.since, signed.checkpoint)
        raise
    asked = _Asked(known, stage, now, lambda request: read_reason(request.annex, evidence.annex))
    return _examine(evidence.transfer, claim, show, evidence.previous, asked)


def examine_own(
    transfer: Transfer, history: History, signed: SignedCheckpoint, previous: Sequence[bytes], stage: Stage, now: int
) -> Examination:
    """The same for whoever keeps the log itself: the checkpoint must be of this log, and hold all about the transfer.

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """

    def show(charter: Charter) -> Shown:
        return own_shown(history, signed, charter, needed_size(history, transfer.id))

    claim = Claim(None, transfer.request_envelope, transfer.draft)
    asked = _Asked(history.state, stage, now, lambda _: transfer.reason)
    return _examine(transfer.id, claim, show, in_order(previous), asked)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks: knowing what of the log, what for, when (Unix seconds), and with which annex at hand."""

    known: State
    stage: Stage
    now: int
    reason: Callable[[TransferRequest], str | None]


def _claimed(transfer_id: bytes, known: State, entries: Sequence[LogEntry]) -> Claim:
    """What memory and the file's new entries say of a transfer together; the entries are not proved yet.

    Raises:
        NotLogged: they do not speak of it.
    """
    told, has_charter = told_of(transfer_id, known, entries), History(known).has_charter
    charter = None if has_charter else adopted_in(entries)
    if told.draft is None or (charter is None and not has_charter):
        raise NotLogged(what="the draft")
    if told.request is None:
        raise NotLogged(what="the request")
    return Claim(charter, told.request, told.draft)


def _examine(
    transfer_id: bytes, claim: Claim, show: Callable[[Charter], Shown], previous: Sequence[bytes], asked: _Asked
) -> Examination:
    stage, now = asked.stage, asked.now
    # 1
    charter = pinned_charter(asked.known, claim.charter)
    steps = [step_charter(charter)]
    # 2
    request = check_request(claim.request, charter)
    reason = asked.reason(request)
    steps.append(step_request(request))
    # 3
    proposal = propose(claim.draft, request, charter)
    steps.append(step_outputs(proposal))
    # 4
    shown = show(charter)
    history = History(shown.state)
    if stage is Stage.APPROVE:
        refuse_early_request(request, now)
        refuse_expired_request(request, now)
    steps.append(_step(4, witness_finding(shown.checkpoint, shown.cosignatures, charter)))
    # 5
    transfer, body_digest = _logged(history, transfer_id, previous, stage)
    requested = "" if stage is Stage.APPROVE else ", signatures requested"
    steps.append(_step(5, f"drafted and decided{requested} in that log"))
    # 6
    proposal = history.proposal(transfer)
    judged = judge_draft(transfer, proposal, previous, history.height)
    for parent in _parents(transfer):
        check_parent(history, parent)
    refuse_quarantined(history, proposal.vault, judged.reading.inputs)
    spent = sum(each.amount for each in judged.reading.spent)
    steps.append(
        _step(
            6,
            f"{len(judged.reading.inputs)} inputs of vault {proposal.entry.name}, {spent} sat by previous transactions",
        )
    )
    # 7
    decision = _decided(transfer, judged.case, charter, history, now)
    steps.append(_step(7, f"{decision.verdict}: {len(decision.findings)} findings"))
    # 8
    for approval in transfer.opinions:
        refuse_forked(approval, history.root_at(approval.log_size) or b"")
    tallied = tallies(proposal, decision, transfer.opinions)
    if stage is not Stage.APPROVE:
        check_authorized(transfer, proposal, decision, now)
    steps.append(_step(8, "; ".join(_show_tally(each) for each in tallied) or "no approvals are demanded"))
    return Examination(
        stage=stage,
        transfer=transfer,
        proposal=proposal,
        reason=reason,
        reading=judged.reading,
        case=judged.case,
        decision=decision,
        tallies=tallied,
        psbt=judged.psbt,
        shown=shown,
        body_digest=body_digest,
        steps=tuple(steps),
        vetoed_alike=vetoed_alike(history, request),
        paid_alike=paid_alike(history, request),
        released=_released(history, judged.reading),
        not_checked=tuple(_not_checked(charter, transfer, reason, now)),
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """A proposal after step 6: what goes to signers, what that says, and what it means to rules."""

    psbt: TransferPsbt
    reading: Reading
    case: Case


def judge_draft(transfer: Transfer, proposal: Proposal, previous: Sequence[bytes], height: int) -> Judged:
    """Step 6: the transaction is the vault's, spends what it says, and takes its place among others rightly.

    `height` is the highest block that the log knows.

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """
    drafted, vault = proposal.draft, proposal.vault
    psbt, reading = read_draft(proposal, previous, height)
    case = in_context(proposal, transfer)
    check_replacement(drafted, proposal.request, transfer.replaced)
    if transfer.parent is not None:
        check_child(drafted, transfer.parent, vault)
    check_indexes(proposal, transfer.row.due_change, transfer.row.asked_change, dict(transfer.row.due_receive))
    return Judged(psbt, reading, case)


def read_draft(proposal: Proposal, previous: Sequence[bytes], height: int) -> tuple[TransferPsbt, Reading]:
    """What of step 6 asks nothing of the log but the highest block: form, amounts, inputs and change.

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """
    check_transaction(proposal, height)
    psbt = signing_psbt(proposal.draft, proposal.vault, {PreviousTransaction(raw).txid: raw for raw in previous})
    reading = read_ownership(psbt, proposal.vault)
    _refuse_differing(reading, proposal.case)
    return psbt, reading


TITLES: Final = (
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
    return Step(number, TITLES[number - 1], finding)


def step_charter(charter: Charter) -> Step:
    """Step 1, passed."""
    signers = sum(1 for _ in charter.signers())
    return _step(1, f"{charter.institution}, version {charter.version}, signed by all {signers}")


def step_request(request: TransferRequest) -> Step:
    """Step 2, passed. Why it was asked for is the requester's text, and no finding: it is shown elsewhere."""
    return _step(2, f"{request.requester} asked for it")


def step_outputs(proposal: Proposal) -> Step:
    """Step 3, passed."""
    case, paid = proposal.case, proposal.paid
    return _step(3, f"{len(paid)} payee(s) as requested, change {case.change} sat, fee {case.fee} sat")


def _dates(transfer: Transfer) -> Iterator[int]:
    """When people signed what is judged, by their clocks, and when it was drafted."""
    yield transfer.request.issued
    yield transfer.draft.at
    yield from (each.issued for each in transfer.opinions)


def _logged(history: History, transfer_id: bytes, previous: Sequence[bytes], stage: Stage) -> tuple[Transfer, bytes]:
    """The transfer as the log tells it, and the digest of all that is judged."""
    transfer = history.transfer(transfer_id)
    if transfer.decision is None:
        raise NotLogged(what="the decision")
    refuse_vetoed_request(history, transfer.row.request)
    if transfer.ended is not None:
        raise over(transfer)
    digest = gather(transfer, history.state.pinned, previous).digest()
    if stage is not Stage.APPROVE:
        # The log must say that signatures were asked for on exactly this body: limits count from there.
        if transfer.signing is None:
            raise NotLogged(what="the signing request")
        if transfer.signing.evidence != digest:
            raise NotLogged(what="the signing request for this evidence")
        # Once asked for in time, signatures may come later; but approvals outlive requests, so time is asked here too.
        refuse_expired_request(transfer.request, transfer.signing.at)
    return transfer, digest


def _decided(transfer: Transfer, case: Case, charter: Charter, history: History, now: int) -> Decision:
    refuse_denied(case, charter, history.facts(now))
    return _as_logged(transfer, case, charter, now)


def _as_logged(transfer: Transfer, case: Case, charter: Charter, at: int) -> Decision:
    """The decision that the rules give of a transfer, when it is the one in the log."""
    logged = transfer.decision
    if logged is None:
        raise NotLogged(what="the decision")
    # By the facts that it names, which the fold has found to be the log's at that size.
    own = decide(transfer.id, case, charter, Facts.named(at, logged.size, logged.facts))
    if own != logged:
        raise DecisionDiffers(logged=logged.digest().hex(), own=own.digest().hex())
    return own


def _parents(transfer: Transfer) -> tuple[Transfer, ...]:
    """What a transfer, or one that it replaces, speeds up: it spends their change."""
    found = (each.parent for each in (transfer, *transfer.replaced))
    return tuple({each.id: each for each in found if each is not None}.values())


def check_parent(history: History, parent: Transfer) -> None:
    """Pass when the log proves of a parent what it would prove to a signer: allowed, approved, and signed besides.

    Raises:
        NotLogged, DecisionDiffers, ApprovalMissing, ...: as for a transfer of its own.
        ChildParent: it is not signed.
    """
    if parent.signing is None:
        raise NotLogged(what="that signatures were asked for on the parent, and a child")
    _check_agreed(history, parent, parent.signing.at)
    refuse_unsigned(parent, history.proposal(parent).vault)


def _check_agreed(history: History, transfer: Transfer, at: int) -> None:
    """Pass when officers have agreed to a transfer that the rules allow; signatures were asked for at `at`."""
    proposal = history.proposal(transfer)
    own = _as_logged(transfer, history.case(transfer), proposal.charter, at)
    authorization = transfer.authorization
    check_authorized(transfer, proposal, own, at if authorization is None else authorization.at)


def refuse_quarantined(history: History, vault: Vault, coins: Sequence[Placed]) -> None:
    """Pass when every coin that is spent was to be sent by somebody, or was released by an officer since.

    A coin that a transfer of ours made is judged by that transfer: officers have agreed to it, and the coin is its
    output. The coordinator's entries alone make no stranger's transaction ours.

    Raises:
        CoinQuarantined: one was not.
    """
    for outpoint, why in quarantined(history, vault.id, coins).items():
        raise CoinQuarantined(outpoint=outpoint, problem=why.told)
    ours = makers(history, {each.outpoint.txid for each in coins})
    for each in coins:
        maker = ours.pop(each.outpoint.txid, None)
        problem = None if maker is None else _why_not_ours(history, maker, each.outpoint.txid)
        if problem is not None:
            raise CoinQuarantined(outpoint=each.outpoint, problem=problem)


def _why_not_ours(history: History, maker: Transfer, txid: bytes) -> str | None:
    """Why a transaction is not shown to be a transfer's of ours, None when it is."""
    own, signing = "the transfer that is said to have made it", maker.signing
    try:
        if signing is None or final_txid(maker.draft, history.proposal(maker).vault) != txid:
            return f"{own} is another transaction"
        _check_agreed(history, maker, signing.at)
    except CustodyError as error:
        return f"{own} was not agreed to: {error}"
    return None


def _released(history: History, reading: Reading) -> tuple[tuple[OutPoint, ClearedRow], ...]:
    rows = ((each.outpoint, cleared(history, each.outpoint)) for each in reading.inputs)
    return tuple((outpoint, row) for outpoint, row in rows if row is not None)


def check_authorized(transfer: Transfer, proposal: Proposal, decision: Decision, now: int) -> None:
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
    own = authorize(proposal, decision, counted, now)
    if (own.decision, own.approvals) != (logged.decision, logged.approvals):
        raise NotLogged(what="the authorization by these approvals")


def _refuse_differing(reading: Reading, case: Case) -> None:
    """Two ways to read one transaction agree: the PSBT against the vault, the draft against the request."""
    change = sum(each.output.amount for each in reading.outputs if each.change is not None)
    if (reading.fee, change) != (case.fee, case.change):
        raise StateChanged(
            what="fee and change", expected=f"{case.fee} and {case.change}", actual=f"{reading.fee} and {change}"
        )


def _show_tally(each: RoleTally) -> str:
    tally: Tally[str] = each.tally
    state = "met" if tally.is_met else f"{tally.needed} more needed from {', '.join(tally.missing)}"
    return f"rule {each.demand.rule}: {len(tally.acted)} of {tally.threshold} ({state})"


UNKNOWABLE: Final = (
    "whether the coins are still unspent (the chain is not seen here)",
    "what k custodians do together on other machines",
)
"""What no step can say."""


def _not_checked(charter: Charter, transfer: Transfer, reason: str | None, now: int) -> Iterator[str]:
    locktime = transfer.draft.transaction.locktime
    purpose = transfer.request.purpose
    if not charter.witnesses:
        yield "whether others were shown the same history: the charter names no witness"
    if now >= transfer.request.expires:
        yield "whether signatures were asked for before the request expired: the coordinator says so"
    if purpose is Purpose.CHILD:
        yield "whether what it speeds up still waits for a block: the coordinator says so"
    if purpose in (Purpose.SWEEP, Purpose.CONSOLIDATION):
        yield "which other coins the vault has, and why they stay: the coordinator says so"
    if locktime:
        # A height nobody mined would let the transaction lie dead and come to life later (THREATS F8).
        yield f"whether block {locktime} was mined: the coordinator says so"
    if reason is None:
        yield "why it was asked for: the reason was withheld or erased"
    yield from UNKNOWABLE
