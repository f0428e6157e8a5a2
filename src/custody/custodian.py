"""The route: from a signed request to a confirmed transfer, one short method a step.

    observe -> (coins) ; submit -> draft -> decide -> approve... -> authorize -> request_signatures
            -> [stations sign] -> receive -> combine -> verify -> release -> deliver -> observe (settles)

Every method has one shape: inside one store transaction, load the history, call one pure verb, append. Nobody holds
the store while the outside is asked: nodes in `observe`, judges and nodes in the last steps, which are `delivery`'s.
The log is the truth; what a method returns stands in it.

The custodian is the coordinator's side and is trusted by nobody: stations judge its evidence from bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.charter.decide import Decision, Verdict, decide
from custody.charter.document import Charter, verify_charter
from custody.delivery import Delivery, Underway, refuse_denied_now
from custody.drafter import draft_for
from custody.envelope import DocumentSigner, Envelope, unsafe_payload
from custody.errors import Refused
from custody.log import (
    Checkpoint,
    Cosignature,
    NotInLog,
    SignedCheckpoint,
    sign_checkpoint,
    verify_checkpoint,
    witnesses_of,
)
from custody.log.witnessing import WitnessBehind, WitnessRequest, sizes_seen
from custody.logbook import Logbook, Work
from custody.observer import Lookout, Observation, Progress, observe
from custody.ports import ChainView, Clock, Judge, NodeNotReady, Relay, StateChanged, Store
from custody.rate import rate_for
from custody.transfer.approval import (
    Approval,
    ApprovalTwice,
    Authorization,
    Opinion,
    Withdrawal,
    authorize,
    check_approval,
    check_withdrawal,
    may_follow,
    refuse_forked,
)
from custody.transfer.draft import Draft
from custody.transfer.evidence import (
    Evidence,
    EvidenceBody,
    Examination,
    Stage,
    Trust,
    check_authorized,
    check_witnesses,
    examine,
    gather,
    judge_draft,
    part_of,
)
from custody.transfer.history import History
from custody.transfer.plain import leaving
from custody.transfer.request import TransferRequest, check_request, refuse_expired_request
from custody.transfer.selection import Below
from custody.transfer.settlement import Broadcast, Ending, Release
from custody.transfer.signing import (
    CombinedPsbt,
    SignedPsbt,
    SigningRequested,
    accept,
    combine,
    refuse_repeated_nonces,
)
from custody.transfer.state import AddressIssued, ExpectedDeposit, Kind, Status, Transfer
from custody.transfer.verify import VerifiedTransaction
from custody.units import Network
from custody.vault.descriptor import Branch

MAX_TIP_AGE: Final = 2 * 3600
"""Seconds after which a newest block says that the node is cut off. Honest gaps this long come a few times a decade."""


class TransferLive(Refused, code="TRANSFER_LIVE"):
    """An attempt to withdraw, approve or veto a transfer whose signatures may be around."""

    message = "signatures were requested for transfer {transfer} ({status}): people's words cannot end it any more"
    hint = "Cancel it by a conflicting spend: custody transfer request --cancel TRANSFER."
    transfer: str
    status: str


class Witness(Protocol):
    """Somebody who cosigns checkpoints, reached by whatever carrier."""

    def cosign(self, request: WitnessRequest) -> SignedCheckpoint:
        """The checkpoint with this witness's cosignature.

        Raises:
            WitnessConflict: it has seen another history.
            WitnessBehind: it has seen less than the request begins with.
        """


@dataclass(frozen=True, slots=True)
class Outside:
    """What a custodian needs from outside. Chance and time come in here, so that a run can be repeated exactly.

    `views` see the chain, and must agree; `below(n)` gives a whole number from 0 to n - 1; `salt()` 32 fresh bytes.
    """

    views: tuple[ChainView, ...]
    relay: Relay
    judges: tuple[Judge, ...]
    clock: Clock
    below: Below
    salt: Callable[[], bytes]
    witnesses: tuple[Witness, ...] = ()


@dataclass(frozen=True, slots=True)
class Issued:
    """A deposit address that was just given out."""

    vault: str
    index: int
    address: str


class Custodian:
    """The coordinator's side of the route. One instance for one store; any number of processes may run one."""

    def __init__(self, store: Store, charter_digest: bytes, signer: DocumentSigner, outside: Outside) -> None:
        """`charter_digest` is pinned outside the store; `signer` is the coordinator's own key."""
        self._store = store
        self._pinned = charter_digest
        self._signer = signer
        self._outside = outside
        self._logbook = Logbook(store, charter_digest, outside.salt)
        self._lookout = Lookout()
        self._delivery = Delivery(
            store, self._logbook, outside.clock, outside.relay, outside.judges, self._examine_for_release
        )

    # --- what is so --------------------------------------------------------------------------------------------------

    def history(self) -> History:
        """The history as of now, folded from the whole log. Read it; it changes only by this custodian's methods."""
        return self._logbook.read()

    def adopt_charter(self, envelope: Envelope) -> Charter:
        """Begin the log with the pinned charter, signed by everyone it lists."""
        charter = verify_charter(envelope, self._pinned)
        with self._work() as work:
            if not work.history.has_charter:
                work.append(Kind.CHARTER_ADOPTED, envelope, charter.digest())
        return charter

    def issue_address(self, vault_name: str, expected: ExpectedDeposit) -> Issued:
        """The vault's next receive address, never one given out before, entered in the log with what it is for."""
        with self._work() as work:
            vault = work.history.charter.vault(vault_name)
            index = work.history.next_index(vault.id, Branch.RECEIVE)
            work.append(Kind.ADDRESS_ISSUED, AddressIssued.of(expected, vault.id, index, work.now), vault.id)
        return Issued(vault_name, index, vault.address(Branch.RECEIVE, index))

    # --- asking and agreeing -----------------------------------------------------------------------------------------

    def submit(self, envelope: Envelope) -> TransferRequest:
        """Enter a request that its requester signed."""
        with self._work() as work:
            request = check_request(envelope, work.history.charter)
            refuse_expired_request(request, work.now)
            if request.digest() not in work.history.requests:
                work.append(Kind.REQUESTED, envelope, request.digest(), author=request.requester)
        return request

    def draft(self, request_id: bytes, rate: int | None = None) -> Draft:
        """Choose coins at `rate` sat/kvB (else as `rate_for` says), make the transaction, and hold its coins."""
        self._refuse_unready()
        chosen = rate_for(self._outside.relay, rate)
        with self._work() as work:
            drafted, group = draft_for(work, request_id, chosen.rate, self._outside.below)
            work.store.hold(drafted.outpoints, group)
            work.append(Kind.DRAFTED, drafted, drafted.transfer_id, request_id)
        return drafted

    def decide(self, transfer_id: bytes) -> Decision:
        """Apply the rules. A denied draft ends at once and frees its coins."""
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.decision is not None:
                return transfer.decision
            charter = work.history.charter
            previous = work.previous(transfer.draft)
            judged = judge_draft(transfer, transfer.request, charter, previous, work.history)
            decision = decide(transfer_id, judged.case, charter, work.history.facts(work.now))
            work.append(Kind.DECIDED, decision, transfer_id)
            if decision.verdict is Verdict.DENY:
                reasons = [each.code or "" for each in decision.findings if each.verdict is Verdict.DENY]
                work.end(transfer, Ending.DENIED, ", ".join(dict.fromkeys(reasons)))
        return decision

    def approve(self, envelope: Envelope) -> Approval:
        """Enter an officer's signed yes or no. A no ends a transfer for which no signature was requested yet."""
        with self._work() as work:
            transfer = work.history.transfer(unsafe_payload(envelope, Approval).transfer)
            approval = check_approval(envelope, transfer.draft, transfer.request, work.history.charter)
            for each in transfer.opinions:
                if each.officer == approval.officer and not may_follow(each, approval):
                    raise ApprovalTwice(officer=approval.officer)
            if transfer.is_bearer:
                raise TransferLive(transfer=transfer.id.hex(), status=transfer.status)
            is_reached = approval.log_size <= work.store.size
            refuse_forked(approval, work.store.root_at(approval.log_size) if is_reached else b"")
            work.append(Kind.APPROVED, envelope, transfer.id, author=approval.officer)
            if approval.verdict is Opinion.VETO:
                work.end(transfer, Ending.VETOED, f"by {approval.officer}")
        return approval

    def withdraw(self, envelope: Envelope) -> Transfer:
        """End a transfer for which no signature was requested yet, on its requester's or an officer's signed word."""
        with self._work() as work:
            transfer = work.history.transfer(unsafe_payload(envelope, Withdrawal).transfer)
            withdrawal = check_withdrawal(envelope, transfer.draft, transfer.request, work.history.charter)
            if transfer.is_bearer:
                raise TransferLive(transfer=transfer.id.hex(), status=transfer.status)
            work.append(Kind.WITHDRAWN, envelope, transfer.id, author=withdrawal.person)
            work.free(transfer)
        return transfer

    def authorize(self, transfer_id: bytes) -> Authorization:
        """Check that every demand of the decision is met."""
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.authorization is not None:
                return transfer.authorization
            if transfer.decision is None:
                raise StateChanged(what="the transfer", expected=Status.DECIDED, actual=transfer.status)
            refuse_denied_now(work.history, transfer, work.now)
            authorization = authorize(
                transfer.draft,
                transfer.request,
                work.history.charter,
                transfer.decision,
                transfer.approvals,
                work.now,
            )
            work.append(Kind.AUTHORIZED, authorization, transfer_id)
        return authorization

    # --- signing -----------------------------------------------------------------------------------------------------

    def request_signatures(self, transfer_id: bytes) -> SigningRequested:
        """Enter that signatures are asked for. From here on the transfer ends only by another spend of its coins."""
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.signing is not None:
                return transfer.signing
            if transfer.authorization is None or transfer.decision is None:
                raise StateChanged(what="the transfer", expected=Status.AUTHORIZED, actual=transfer.status)
            refuse_expired_request(transfer.request, work.now)
            # What no station would sign must not become a bearer instrument: it could not be withdrawn any more.
            check_authorized(transfer, work.history.charter, transfer.decision, work.now)
            refuse_denied_now(work.history, transfer, work.now)
            body = self._body(work, transfer)
            requested = SigningRequested(transfer=transfer_id, evidence=body.digest(), at=work.now)
            work.append(Kind.SIGNING_REQUESTED, requested, transfer_id, body.digest())
        return requested

    def evidence(self, transfer_id: bytes) -> Evidence:
        """The file for officers and stations: the body, and the log under a checkpoint that its witnesses cosigned.

        Raises:
            HistoryUnwitnessed: too few witnesses have cosigned a checkpoint that holds what the reader must see.
        """
        with self._work() as work:
            return self._evidence_in(work, work.history.transfer(transfer_id))

    def checkpoint(self, since: int | None = None) -> WitnessRequest:
        """A checkpoint of the log as it stands, signed, with the leaf hashes that a witness of size `since` needs.

        Without `since`, those that the witness who is furthest behind needs, as far as is known here.

        Raises:
            NotInLog: the log has fewer entries.
        """
        with self._work() as work:
            return self._checkpoint_in(work, since)

    def sizes_seen(self) -> dict[str, int]:
        """How many entries each of the charter's witnesses has cosigned, by name, as far as is known here."""
        with self._work() as work:
            return _sizes_seen(work)

    def cosigned(self, signed: SignedCheckpoint) -> tuple[Cosignature, ...]:
        """Keep a checkpoint that came back from a witness; which of the charter's witnesses stand under it."""
        with self._work() as work:
            charter = work.history.charter
            verify_checkpoint(signed, charter.origin, charter.coordinator)
            known = work.store.checkpoint(signed.checkpoint.size)
            merged = _merged(SignedCheckpoint.parse(known), signed) if known else signed
            cosignatures = witnesses_of(merged, {each.name: each.key for each in charter.witnesses})
            work.store.save_checkpoint(merged.text())
        return cosignatures

    def receive(self, transfer_id: bytes, returned: Psbt) -> tuple[SignedPsbt, ...]:
        """Take the signatures that a returned PSBT adds; nothing else of it is believed."""
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.signing is None:
                raise StateChanged(what="the transfer", expected=Status.SIGNING, actual=transfer.status)
            vault = work.vault_of(transfer)
            sent = work.psbt(transfer)
            known = {each.cosigner for each in transfer.signed}
            signed = accept(returned, sent, transfer.draft, vault, work.now)
            refuse_repeated_nonces(signed, work.history.nonces)
            for each in signed:
                if each.cosigner not in known and transfer.status in (Status.SIGNING, Status.COMBINED):
                    work.append(Kind.SIGNED, each, transfer_id)
        return signed

    def combine(self, transfer_id: bytes) -> CombinedPsbt:
        """Put together the signatures of as many cosigners as the vault needs."""
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.combined is not None:
                return transfer.combined
            combined = combine(transfer.draft, work.vault_of(transfer), transfer.signed, work.now)
            work.append(Kind.COMBINED, combined, transfer_id)
            work.shelve_children(transfer)
        return combined

    def psbt(self, transfer_id: bytes) -> TransferPsbt:
        """A plain PSBT with the signatures so far, judged here since none can by it. Raises as `leaving`, `examine`."""
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            plain = leaving(transfer, work.vault_of(transfer), work.psbt(transfer))
            refuse_denied_now(work.history, transfer, work.now)
            if transfer.release is None:
                examine(self._evidence_in(work, transfer), Trust(self._pinned), Stage.SIGN, work.now)
        return plain

    # --- sending -----------------------------------------------------------------------------------------------------

    def verify(self, transfer_id: bytes) -> VerifiedTransaction:
        """Finalize, extract, and have every judge agree."""
        return self._delivery.verify(transfer_id)

    def release(self, transfer_id: bytes) -> Release:
        """Run the whole gate again and let the outbox have the transaction."""
        self._refuse_unready()
        return self._delivery.release(transfer_id)

    def deliver(self) -> tuple[Broadcast, ...]:
        """Send what was released and is not confirmed yet, the gate run before each; safe to repeat at any time."""
        return self._delivery.deliver()

    def underway(self) -> tuple[Underway, ...]:
        """Where the node has what was sent and stands in no block yet: one that was dropped is to be sent again."""
        return self._delivery.underway()

    # --- looking at the chain ----------------------------------------------------------------------------------------

    def observe(self, progress: Progress | None = None) -> Observation:
        """Look at the chain: deposits, maturity, confirmations, reorganisations, and spends nobody released.

        A long look tells `progress` the height it has reached and the one it goes to, now and then.
        """
        return observe(self._logbook, self._outside.clock, self._outside.views, self._lookout, progress)

    # --- what the steps share ----------------------------------------------------------------------------------------

    def _work(self) -> AbstractContextManager[Work]:
        return self._logbook.write(self._outside.clock.now())

    def _refuse_unready(self) -> None:
        now = self._outside.clock.now()
        for view in self._outside.views:
            if reason := why_unready(view, now):
                raise NodeNotReady(reason=reason)

    def _body(self, work: Work, transfer: Transfer) -> EvidenceBody:
        envelope = work.history.charter_envelope
        if envelope is None:
            raise StateChanged(what="the log", expected="a charter", actual="none")
        return gather(transfer, envelope, work.previous(transfer.draft))

    def _evidence_in(self, work: Work, transfer: Transfer) -> Evidence:
        body = self._body(work, transfer)
        charter = work.history.charter
        note = work.store.checkpoint()
        signed = SignedCheckpoint.parse(note) if note else None
        if (
            signed is None
            or signed.checkpoint.size < work.history.needed_size(transfer.id)
            or not _is_witnessed(signed, charter)
        ):
            signed = self._cosigned_now(work)
        check_witnesses(signed, charter)
        return Evidence(body=body, part=part_of(signed, work.store.entries(0, signed.checkpoint.size)))

    def _examine_for_release(self, work: Work, transfer: Transfer) -> Examination:
        return examine(self._evidence_in(work, transfer), Trust(self._pinned), Stage.RELEASE, work.now)

    def _cosigned_now(self, work: Work) -> SignedCheckpoint:
        """A fresh checkpoint with the cosignatures of every witness that can be reached from here."""
        request = self._checkpoint_in(work)
        signed = SignedCheckpoint.parse(request.checkpoint)
        for witness in self._outside.witnesses:
            try:
                answered = witness.cosign(request)
            except WitnessBehind as behind:
                answered = witness.cosign(self._checkpoint_in(work, behind.size))
            signed = _merged(signed, answered)
        work.store.save_checkpoint(signed.text())
        return signed

    def _checkpoint_in(self, work: Work, since: int | None = None) -> WitnessRequest:
        charter = work.history.charter
        frontier = work.store.frontier()
        start = min(_sizes_seen(work).values(), default=0) if since is None else since
        if start > frontier.size:
            raise NotInLog(index=start, size=frontier.size, entries=frontier.size)
        checkpoint = Checkpoint(charter.origin, frontier.size, frontier.root)
        signed = sign_checkpoint(checkpoint, charter.origin, self._signer)
        return WitnessRequest(checkpoint=signed.text(), since=start, leaves=tuple(work.store.leaves(start)))


def why_unready(view: ChainView, now: int) -> str | None:
    """Why nothing is drafted or released on what `view` shows at `now` (Unix seconds); None when it is up to date.

    Regtest has blocks when somebody asks for them, so there none is too old.
    """
    if view.is_initial_download():
        return "it is still downloading the chain"
    age = now - view.tip().time
    if view.network is not Network.REGTEST and age > MAX_TIP_AGE:
        return f"its newest block is {age // 60} minutes old, more than {MAX_TIP_AGE // 60}"
    return None


def _sizes_seen(work: Work) -> dict[str, int]:
    return sizes_seen(work.store.checkpoints(), {each.name: each.key for each in work.history.charter.witnesses})


def _is_witnessed(signed: SignedCheckpoint, charter: Charter) -> bool:
    found = witnesses_of(signed, {each.name: each.key for each in charter.witnesses})
    return len(found) >= charter.witness_threshold


def _merged(known: SignedCheckpoint, other: SignedCheckpoint) -> SignedCheckpoint:
    """One checkpoint with the signature lines of both.

    Raises:
        StateChanged: they are different checkpoints.
    """
    if known.checkpoint != other.checkpoint:
        raise StateChanged(
            what="the checkpoint", expected=known.checkpoint.root.hex(), actual=other.checkpoint.root.hex()
        )
    for line in other.signatures:
        known = known.with_signature(line)
    return known
