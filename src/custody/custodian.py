"""The route: from a signed request to a confirmed transfer, one short method a step.

    observe -> (coins) ; submit -> draft -> decide -> approve... -> authorize -> request_signatures
            -> [stations sign] -> receive -> combine -> verify -> release -> deliver -> observe (settles)

Every method has one shape: inside one store transaction, read the history, call one pure verb, append. Nobody holds
the store while the outside is asked: witnesses by `showing`, nodes by `observer`, judges and nodes by `delivery`. The
log is the truth; what a method returns stands in it.

The custodian is the coordinator's side and is trusted by nobody: stations judge its evidence from bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import OutPoint
from custody.charter.decide import Decision, Verdict, decide
from custody.charter.document import Charter, verify_charter
from custody.clock import ClockSkew, by_block, refuse_behind
from custody.delivery import Delivery, Underway, refuse_denied_now
from custody.drafter import NOBODY_ASKED, choose, draft_chosen, rivals
from custody.entering import abandon
from custody.envelope import DocumentSigner, Envelope, unsafe_payload
from custody.errors import Refused
from custody.examine.evidence import Evidence, Stage, gather
from custody.examine.examination import check_authorized, judge_draft, refuse_quarantined
from custody.history import kinds, tables
from custody.history.holdings import CoinUnknown, held_by, holding
from custody.history.on.annex import ERASABLE, Erased
from custody.history.on.charter import StateSealed
from custody.history.quarantine import cleared, quarantined, seated
from custody.history.questions import History
from custody.history.relations import coins_gone
from custody.history.rows import number
from custody.log import EntryHead, LogEntry, NotInLog
from custody.logbook import Logbook, Work, all_previous
from custody.looking import past_closed, seen_height
from custody.observer import Observation, Progress, Since, look_again, observe
from custody.ports import ChainView, Clock, Judge, NodeNotReady, Relay, Store, StoreView
from custody.rate import rate_for
from custody.record import digest_given
from custody.showing import Showing, Witness
from custody.transfer.address import ExpectedDeposit
from custody.transfer.approval import (
    Approval,
    ApprovalTwice,
    Authorization,
    Opinion,
    Withdrawal,
    WithdrawalPaper,
    authorize,
    check_approval,
    check_withdrawal,
    may_follow,
    refuse_forked,
    refuse_misdated,
)
from custody.transfer.coin_release import (
    CoinRelease,
    CoinReleaseMismatch,
    CoinReleasePaper,
    check_coin_release,
    refuse_other,
)
from custody.transfer.draft import Draft
from custody.transfer.observe import DepositSeen
from custody.transfer.plain import leaving
from custody.transfer.replacement import Waiting
from custody.transfer.request import (
    RequestPaper,
    TransferRequest,
    check_request,
    read_reason,
    refuse_early_request,
    refuse_expired_request,
)
from custody.transfer.selection import LONG_TERM_RATE, Below, Rates
from custody.transfer.settlement import Broadcast, Ending, Release
from custody.transfer.signing import (
    CombinedPsbt,
    SignedPsbt,
    SigningRequested,
    accept_read,
    combine,
    read_answer,
    refuse_repeated_nonces,
)
from custody.transfer.state import Status, Transfer, unready
from custody.transfer.verify import VerifiedTransaction
from custody.units import Network
from custody.vault.descriptor import Branch

MAX_TIP_AGE: Final = 2 * 3600
"""Seconds after which a newest block says that the node is cut off. Honest gaps this long come a few times a decade."""


class TransferLive(Refused, code="TRANSFER_LIVE"):
    """An attempt to withdraw, approve or veto a transfer whose signatures may be around."""

    message = "signatures were requested for transfer {transfer} ({status}): people's words cannot end it any more"
    hint = (
        "Cancel it by a conflicting spend: custody transfer request --cancel TRANSFER. Only one whose coin is gone "
        "after a reorganisation may be given up."
    )
    transfer: str
    status: str


class CoinNotQuarantined(Refused, code="COIN_NOT_QUARANTINED"):
    """A release of a coin that nothing keeps from being spent, or that is gone."""

    message = "coin {outpoint} is not quarantined: it {problem}"
    hint = (
        "Nothing is to be released. One that is only small is left alone by its size: a lower rate takes it "
        "(custody transfer draft --long-term-feerate)."
    )
    outpoint: OutPoint
    problem: str


class EraseRefused(Refused, code="ERASE_REFUSED"):
    """An attempt to erase what may not be erased, or is gone already."""

    message = "entry {index} ({entry}) cannot be erased: {problem}"
    hint = (
        "Only annexes (payers, purposes, reasons) and deposits may be, once no live transfer spends them: "
        "nobody needs them to read the log."
    )
    index: int
    entry: str
    problem: str


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
        self._pinned = digest_given(charter_digest, "the pinned charter")
        self._outside = outside
        self._logbook = Logbook(store, charter_digest, outside.salt)
        self._showing = Showing(store, self._logbook, outside.clock, signer, outside.witnesses)
        self._delivery = Delivery(store, self._logbook, outside.clock, outside.relay, outside.judges, self._showing)

    # --- what is so --------------------------------------------------------------------------------------------------

    def history(self) -> History:
        """The history as of now, folded from the whole log. Read it; it changes only by this custodian's methods."""
        return self._logbook.read()

    def adopt_charter(self, envelope: Envelope) -> Charter:
        """Begin the log with the pinned charter, signed by everyone it lists, and with where the chain stands.

        Up to there a vault may have been spent from by whoever kept it before; while no node can say, by nobody.
        """
        charter = verify_charter(envelope, self._pinned)
        closed = past_closed(self._outside.views, self._outside.clock.now())
        with self._work() as work:
            if not work.history.has_charter:
                work.append(kinds.CHARTER_ADOPTED, envelope)
                if closed is not None:
                    work.append(kinds.PAST_CLOSED, closed)
        return charter

    def issue_address(self, vault_name: str, expected: ExpectedDeposit) -> Issued:
        """The vault's next receive address, entered in the log with what it is for.

        Never one that was given out before, nor one that was seen to be paid already.
        """
        (issued,) = self.issue_addresses(vault_name, [expected])
        return issued

    def issue_addresses(self, vault_name: str, expected: Sequence[ExpectedDeposit]) -> tuple[Issued, ...]:
        """The same for several deposits, in their order: an address for each, or none at all."""
        height = seen_height(self._outside.views, self._outside.clock.now())
        with self._work() as work:
            vault = work.history.charter.vault(vault_name)
            indexes = [work.issue(vault.id, each, height) for each in expected]
        return tuple(Issued(vault_name, index, vault.address(Branch.RECEIVE, index)) for index in indexes)

    def release_coin(self, paper: CoinReleasePaper) -> CoinRelease:
        """Let a quarantined coin be spent like any other, on an officer's signed word.

        Raises:
            CoinUnknown: there is no such coin.
            CoinReleaseMismatch: it is another one than the officer was shown, or in another block by now.
            CoinNotQuarantined: nothing keeps it from being spent.
            AnnexMismatch: the annex is not the one that was signed.
        """
        with self._work() as work:
            released = check_coin_release(paper.signed, work.history.charter)
            refuse_unreleasable(work.history, released)
            read_reason(released.annex, paper.annex)
            work.annex(paper.annex)
            work.append(kinds.COIN_RELEASED, paper.signed)
        return released

    # --- asking and agreeing -----------------------------------------------------------------------------------------

    def submit(self, paper: RequestPaper) -> TransferRequest:
        """Enter a request that its requester signed, and the annex with its reason.

        Raises:
            AnnexMismatch: the annex is not the one that was signed.
        """
        with self._work() as work:
            request = check_request(paper.signed, work.history.charter)
            refuse_early_request(request, work.now)
            refuse_expired_request(request, work.now)
            read_reason(request.annex, paper.annex)
            if not work.state.has(tables.REQUESTS, request.digest()):
                work.annex(paper.annex)
                work.append(kinds.REQUESTED, paper.signed)
        return request

    def draft(self, request_id: bytes, rate: int | None = None, long_term_rate: int = LONG_TERM_RATE) -> Draft:
        """Choose coins at `rate` sat/kvB (else as `rate_for` says), make the transaction, and hold its coins.

        What spending a coin costs later is reckoned at `long_term_rate`: one worth no more is left alone.
        """
        refuse_unready_nodes(self._outside)
        rates, below = Rates(rate_for(self._outside.relay, rate).rate, long_term_rate), self._outside.below
        while True:
            history = self._logbook.read()
            choice = choose(history, request_id, rates, below, self._outside.clock.now())
            waiting = waiting_at(self._outside.relay, rivals(history, request_id))
            with self._work() as work:
                # Whoever took one of the coins meanwhile has come first: others are chosen then, from what is left.
                if (made := draft_chosen(work, choice, below, waiting)) is not None:
                    drafted, group = made
                    work.store.hold(drafted.outpoints, group)
                    work.append(kinds.DRAFTED, drafted)
                    return drafted

    def decide(self, transfer_id: bytes) -> Decision:
        """Apply the rules. A denied draft ends at once and frees its coins."""
        # Nobody waits for the store to hear what stands there already.
        known = self._logbook.read().transfer(transfer_id).decision
        if known is not None:
            return known
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.decision is not None:
                return transfer.decision
            history = work.history
            previous = all_previous(history, work.store, transfer.draft)
            proposal = history.proposal(transfer)
            judged = judge_draft(transfer, proposal, previous, history.height)
            refuse_quarantined(history, proposal.vault, judged.reading.inputs)
            decision = decide(transfer_id, judged.case, history.charter, history.facts(work.now))
            work.append(kinds.DECIDED, decision)
            if decision.verdict is Verdict.DENY:
                reasons = [each.code or "" for each in decision.findings if each.verdict is Verdict.DENY]
                work.end(transfer, Ending.DENIED, ", ".join(dict.fromkeys(reasons)))
        return decision

    def approve(self, envelope: Envelope) -> Approval:
        """Enter an officer's signed yes or no. A no ends a transfer for which no signature was requested yet."""
        with self._work() as work:
            transfer = work.history.transfer(unsafe_payload(envelope, Approval).transfer)
            approval = check_approval(envelope, work.history.proposal(transfer))
            refuse_misdated(approval, transfer.draft.at, work.now)
            for each in transfer.opinions:
                if each.officer == approval.officer and not may_follow(each, approval):
                    raise ApprovalTwice(officer=approval.officer)
            if transfer.is_bearer:
                raise TransferLive(transfer=transfer.id.hex(), status=transfer.status)
            is_reached = approval.log_size <= work.store.size
            refuse_forked(approval, work.store.root_at(approval.log_size) if is_reached else b"")
            work.append(kinds.APPROVED, envelope)
            if approval.verdict is Opinion.VETO:
                work.end(transfer, Ending.VETOED, f"by {approval.officer}")
        return approval

    def withdraw(self, paper: WithdrawalPaper) -> Transfer:
        """End a transfer on its requester's or an officer's signed word.

        Once signatures were requested, that is possible only while a coin of it is gone: nobody can send it then.

        Raises:
            TransferLive: signatures were requested for it, and its coins are there.
            AnnexMismatch: the annex is not the one that was signed.
        """
        with self._work() as work:
            transfer = work.history.transfer(unsafe_payload(paper.signed, Withdrawal).transfer)
            withdrawal = check_withdrawal(paper.signed, work.history.proposal(transfer))
            if transfer.is_bearer and not coins_gone(work.history, transfer):
                raise TransferLive(transfer=transfer.id.hex(), status=transfer.status)
            read_reason(withdrawal.annex, paper.annex)
            work.annex(paper.annex)
            if transfer.is_bearer:
                abandon(work, transfer, paper.signed)
            else:
                work.append(kinds.WITHDRAWN, paper.signed)
                work.free(transfer)
            return work.history.transfer(transfer.id)

    def authorize(self, transfer_id: bytes) -> Authorization:
        """Check that every demand of the decision is met."""
        known = self._logbook.read().transfer(transfer_id).authorization
        if known is not None:
            return known
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.authorization is not None:
                return transfer.authorization
            if transfer.decision is None:
                raise unready(transfer, "asking for the approvals to be counted", Status.DECIDED)
            refuse_denied_now(work.history, transfer, work.now)
            proposal = work.history.proposal(transfer)
            authorization = authorize(proposal, transfer.decision, transfer.approvals, work.now)
            work.append(kinds.AUTHORIZED, authorization)
        return authorization

    # --- sealing and forgetting ---------------------------------------------------------------------------------------

    def seal(self) -> StateSealed:
        """Enter what the log's state is now, beside the times when that is due; nothing when it was sealed just now."""
        with self._work() as work:
            before = number(max(work.state.size - 1, 0))
            sealed = work.state.get(tables.SEALS, before)
            return work.seal() if sealed is None else StateSealed(size=work.state.size - 1, state=sealed.value)

    def erase(self, index: int, why: str) -> Erased:
        """Erase the body of an entry for good, and enter that it was erased.

        Raises:
            NotInLog: there is no such entry.
            EraseRefused: somebody needs its body, or a transfer its coin, or it has none any more.
        """
        with self._work() as work:
            head = erasable(work.history, work.store, index)
            erased = Erased(index=index, entry=head.entry, body=head.body, why=why, at=work.now)
            # Folded first: the fold takes out of the rows what it finds in the body.
            work.append(kinds.ERASED, erased)
            work.store.erase_body(index)
        return erased

    # --- signing -----------------------------------------------------------------------------------------------------

    def request_signatures(self, transfer_id: bytes) -> SigningRequested:
        """Enter that signatures are asked for. From here on the transfer ends only by another spend of its coins."""
        known = self._logbook.read().transfer(transfer_id).signing
        if known is not None:
            return known
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.signing is not None:
                return transfer.signing
            if transfer.authorization is None or transfer.decision is None:
                raise unready(transfer, "asking for signatures", Status.AUTHORIZED)
            refuse_expired_request(transfer.request, work.now)
            # What no station would sign must not become a bearer instrument: it could not be withdrawn any more.
            proposal = work.history.proposal(transfer)
            check_authorized(transfer, proposal, transfer.decision, work.now)
            refuse_quarantined(work.history, proposal.vault, seated(transfer.draft))
            refuse_denied_now(work.history, transfer, work.now)
            previous = all_previous(work.history, work.store, transfer.draft)
            body = gather(transfer, work.state.pinned, previous)
            requested = SigningRequested(transfer=transfer_id, evidence=body.digest(), at=work.now)
            work.append(kinds.SIGNING_REQUESTED, requested)
        return requested

    def receive(self, transfer_id: bytes, returned: Psbt) -> tuple[SignedPsbt, ...]:
        """Take the signatures that a returned PSBT adds; nothing else of it is believed."""
        content = read_answer(returned)  # not under the lock: somebody else made the file, perhaps to keep us busy
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.signing is None:
                raise unready(transfer, "taking signatures in", Status.SIGNING)
            vault = work.vault_of(transfer)
            sent = work.psbt(transfer)
            known = {each.cosigner for each in transfer.signed}
            signed = accept_read(content, sent, transfer.draft, vault, work.now)
            refuse_repeated_nonces(signed, work.history)
            for each in signed:
                if each.cosigner not in known and transfer.status in (Status.SIGNING, Status.COMBINED):
                    work.append(kinds.SIGNED, each)
        return signed

    def combine(self, transfer_id: bytes) -> CombinedPsbt:
        """Put together the signatures of as many cosigners as the vault needs."""
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            if transfer.combined is not None:
                return transfer.combined
            combined = combine(transfer.draft, work.vault_of(transfer), transfer.signed, work.now)
            work.append(kinds.COMBINED, combined)
            work.shelve_children(transfer)
        return combined

    def psbt(self, transfer_id: bytes) -> TransferPsbt:
        """A plain PSBT with the signatures so far, judged here since none can by it. Raises as `leaving`, `examine`."""
        with self._work() as work:
            transfer = work.history.transfer(transfer_id)
            plain = leaving(transfer, work.vault_of(transfer), work.psbt(transfer))
            refuse_denied_now(work.history, transfer, work.now)
        if transfer.release is None:
            self._showing.examined(transfer_id, Stage.SIGN)
        return plain

    # --- what others are shown ---------------------------------------------------------------------------------------

    @property
    def showing(self) -> Showing:
        """The log as others see it: what witnesses cosign, and what readers who are far behind are given."""
        return self._showing

    def evidence(self, transfer_id: bytes, since: int = 0) -> Evidence:
        """The file for a reader who has seen `since` entries. Raises as `Showing.evidence`."""
        return self._showing.evidence(transfer_id, since)

    # --- sending -----------------------------------------------------------------------------------------------------

    def verify(self, transfer_id: bytes) -> VerifiedTransaction:
        """Finalize, extract, and have every judge agree."""
        return self._delivery.verify(transfer_id)

    def release(self, transfer_id: bytes) -> Release:
        """Run the whole gate again and let the outbox have the transaction."""
        refuse_unready_nodes(self._outside)
        return self._delivery.release(transfer_id)

    def deliver(self) -> tuple[Broadcast, ...]:
        """Send what was released and is not confirmed yet, the gate run before each; safe to repeat at any time."""
        return self._delivery.deliver()

    def underway(self) -> tuple[Underway, ...]:
        """Where the node has what was sent and stands in no block yet: one that was dropped is to be sent again."""
        return self._delivery.underway()

    # --- looking at the chain ----------------------------------------------------------------------------------------

    def observe(self, progress: Progress | None = None, since: Since | None = None) -> Observation:
        """Look at the chain: deposits, maturity, confirmations, reorganisations, and spends nobody released.

        With `since`, blocks that were read before, or lie before any birthday, are then read for coins nobody watched
        for. A long look tells `progress` the height it has reached and the one it goes to, now and then.
        """
        logbook, clock, views = self._logbook, self._outside.clock, self._outside.views
        if since is None:
            return observe(logbook, clock, views, progress)
        return look_again(logbook, clock, views, since, progress)

    # --- what the steps share ----------------------------------------------------------------------------------------

    def _work(self) -> AbstractContextManager[Work]:
        return self._logbook.write(self._outside.clock.now())


def refuse_unreleasable(history: History, released: CoinRelease) -> None:
    """Pass when a coin stands as the officer was shown it, and is quarantined.

    Raises:
        CoinUnknown, CoinReleaseMismatch, CoinNotQuarantined: it does not, or is not.
    """
    row = holding(history, released.outpoint)
    if row is None:
        raise CoinUnknown(outpoint=released.outpoint)
    refuse_other(released, "vault", released.vault, row.vault)
    refuse_other(released, "block", released.block[::-1], row.block[::-1])
    if released.amount != row.amount:
        raise CoinReleaseMismatch(
            outpoint=released.outpoint, what="sats", actual=str(released.amount), expected=str(row.amount)
        )
    if row.spent_by is not None:
        raise CoinNotQuarantined(outpoint=released.outpoint, problem="was spent already")
    if not quarantined(history, row.vault, [row]):
        before = cleared(history, released.outpoint)
        problem = "was sent for a reason that the log knows" if before is None else f"was released by {before.officer}"
        raise CoinNotQuarantined(outpoint=released.outpoint, problem=problem)


def erasable(history: History, store: StoreView, index: int) -> EntryHead:
    """The head of the entry at `index`, when its body is there and may be erased.

    Raises:
        NotInLog: there is no such entry.
        EraseRefused: somebody needs its body, or a transfer its coin, or it has none any more.
    """
    if not 0 <= index < store.size:
        raise NotInLog(index=index, size=store.size, entries=store.size)
    entry = next(store.entries(index, index + 1))
    problem = None
    if entry.head.entry not in ERASABLE:
        problem = "whoever reads the log needs its body"
    elif entry.body is None:
        problem = "it has no body any more"
    elif entry.head.entry == kinds.DEPOSIT_SEEN and (holder := _holder(history, entry)) is not None:
        # What signatures were asked for ends only by another spend of its coins: they have to be known for that.
        problem = f"live transfer {holder.hex()} spends its coin"
    if problem is not None:
        raise EraseRefused(index=index, entry=entry.head.entry, problem=problem)
    return entry.head


def _holder(history: History, seen: LogEntry) -> bytes | None:
    """The group of the live transfers that spend the deposit which stands by this entry, if there are any."""
    row = holding(history, history.read(DepositSeen, seen.head.index).deposit.outpoint)
    return None if row is None or row.seen != seen.head.index else held_by(history, row.outpoint)


def waiting_at(relay: Relay, txids: Sequence[bytes]) -> Waiting:
    """What a node would throw out for a replacement of these: a payee may have built on them, which no log knows."""
    if not txids:
        return NOBODY_ASKED
    found = (relay.evicted(each) for each in txids)
    return Waiting(tuple(each for each in found if each is not None), relay.step_rate())


def refuse_unready_nodes(outside: Outside) -> None:
    """Pass when every node is up to date.

    Raises:
        NodeNotReady, ClockSkew: one is not, or our clock is behind it.
    """
    now = outside.clock.now()
    for view in outside.views:
        refuse_unready(view, now)


def refuse_unready(view: ChainView, now: int) -> None:
    """Pass when `view` is up to date at `now` (Unix seconds): on anything else nothing is drafted or released.

    Regtest has blocks when somebody asks for them, so there none is too old.

    Raises:
        NodeNotReady: the node is behind.
        ClockSkew: our clock is.
    """
    if view.is_initial_download():
        raise NodeNotReady(reason="it is still downloading the chain")
    newest = view.tip().time
    refuse_behind(now, [by_block(newest)])
    if view.network is not Network.REGTEST and now > newest + MAX_TIP_AGE:
        age = (now - newest) // 60
        raise NodeNotReady(reason=f"its newest block is {age} minutes old, more than {MAX_TIP_AGE // 60}")


def why_unready(view: ChainView, now: int) -> str | None:
    """Why it is not, in words; None when it is."""
    try:
        refuse_unready(view, now)
    except NodeNotReady as error:
        return error.reason
    except ClockSkew as error:
        return str(error)
    return None
