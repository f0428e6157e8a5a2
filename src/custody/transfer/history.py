"""What the log says is so: the one fold from entries to facts.

Coordinator, station, store and auditor all use this fold, so they cannot disagree about what entries mean. Everything
that is not in the log can be built again from it. Each kind of entry has its author: what loosens is signed by somebody
the charter allows, and what the coordinator claims alone may only tighten at a station (THREATS F3).

An entry that does not fit what stands before it is an integrity error, at its index. Nothing here decides or sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from custody.bitcoin.transaction import OutPoint
from custody.charter.decide import Decision, Verdict
from custody.charter.document import CharterMismatch, VaultPayee, verify_charter
from custody.envelope import Envelope, unsafe_payload
from custody.errors import CustodyError, IntegrityError
from custody.log import LogEntry, open_body
from custody.record import Record
from custody.transfer.approval import (
    Approval,
    Authorization,
    Opinion,
    Withdrawal,
    check_approval,
    check_withdrawal,
    may_follow,
)
from custody.transfer.draft import Draft, check_conflicts
from custody.transfer.ledger import HistoryInvalid, Ledger
from custody.transfer.observe import (
    ChainSeen,
    CoinMatured,
    DepositReversed,
    DepositSeen,
    SpendSeen,
    UnexplainedSpend,
)
from custody.transfer.request import check_request
from custody.transfer.settlement import Broadcast, Confirmation, Ended, Ending, Release, Unconfirmation
from custody.transfer.signing import CombinedPsbt, SignedPsbt, SigningRequested, nonces
from custody.transfer.state import AddressIssued, Holding, Kind, Status, Transfer
from custody.transfer.verify import VerifiedTransaction
from custody.vault.descriptor import Branch

COORDINATOR: Final = "coordinator"
_Body = TypeVar("_Body", bound=Record)


class EntryAuthor(IntegrityError, code="ENTRY_AUTHOR"):
    """An entry not written by whoever may write its kind."""

    message = "log entry {index} ({entry}) names {actual} as its author, but {expected} writes such entries"
    hint = "Stop: somebody wrote in another's name. Compare the log with a witness's copy."
    index: int
    entry: str
    expected: str
    actual: str


_WITH_SIGNATURES: Final = {Status.SIGNING, Status.COMBINED}


@dataclass(frozen=True, slots=True)
class _Fold(Generic[_Body]):
    """How one kind of entry is read and folded; `may_be_withheld` when a copy without its body still makes sense."""

    record: type[_Body]
    step: Callable[[History, _Body, int], str]
    may_be_withheld: bool = False

    def __call__(self, history: History, entry: LogEntry) -> str:
        return self.step(history, self.record.from_bytes(open_body(entry)), entry.head.index)


class History(Ledger):
    """The ledger of a log, grown entry by entry with `extend`; it is never written otherwise."""

    def extend(self, entries: Iterable[LogEntry]) -> History:
        """Fold more entries; gives itself back.

        Raises:
            HistoryInvalid, EntryAuthor: an entry does not fit.
            LogCorrupt: an entry's body is not the one that was written.
        """
        for entry in entries:
            self._apply(entry)
        return self

    def _apply(self, entry: LogEntry) -> None:
        index = entry.head.index
        if index != self.size:
            raise HistoryInvalid(index=index, entry=entry.head.entry, problem=f"stands where {self.size} should")
        rule = self._FOLDS.get(entry.head.entry)
        if rule is None:
            raise HistoryInvalid(index=index, entry=entry.head.entry, problem="is of a kind this program does not know")
        try:
            is_withheld = entry.body is None and rule.may_be_withheld
            author = COORDINATOR if is_withheld else rule(self, entry)
        except (IntegrityError, CharterMismatch):
            # Under another charter than the pinned one this is not our log; that says nothing against its entries.
            raise
        except CustodyError as error:
            raise HistoryInvalid(index=index, entry=entry.head.entry, problem=f"is refused: {error}") from error
        if entry.head.author != author:
            raise EntryAuthor(index=index, entry=entry.head.entry, expected=author, actual=entry.head.author)
        for subject in entry.head.subjects:
            self._last[subject] = index
        self.frontier = self.frontier.append(entry.leaf)

    def _adopt(self, envelope: Envelope, index: int) -> str:
        self._require(index == 0, index, Kind.CHARTER_ADOPTED, "comes after others: this version keeps one charter")
        self._charter = verify_charter(envelope, self._pinned)
        self.charter_envelope = envelope
        return COORDINATOR

    def _issue(self, issued: AddressIssued, index: int) -> str:
        due = self.next_index(issued.vault, issued.branch)
        is_next = issued.branch == Branch.RECEIVE and issued.index == due
        self._require(is_next, index, Kind.ADDRESS_ISSUED, f"is index {issued.index}, but {due} is next")
        self.charter.vault_by_id(issued.vault)
        self._use(issued.vault, issued.branch, issued.index)
        self.addresses[issued.vault, issued.index] = issued
        return COORDINATOR

    def _see_chain(self, seen: ChainSeen, _: int) -> str:
        # A shorter chain replaces what was seen above it: those blocks are no longer scanned.
        while self.tips and self.tips[-1].height >= seen.height:
            self.tips.pop()
        self.tips.append(seen)
        return COORDINATOR

    def _see_deposit(self, seen: DepositSeen, index: int) -> str:
        known = self.holdings.get(seen.deposit.outpoint)
        self._require(known is None, index, Kind.DEPOSIT_SEEN, "repeats a deposit that stands already")
        self.charter.vault_by_id(seen.vault)
        self.holdings[seen.deposit.outpoint] = Holding(seen)
        return COORDINATOR

    def _reverse_deposit(self, reversed_: DepositReversed, index: int) -> str:
        outpoint = OutPoint(reversed_.txid, reversed_.vout)
        known = self.holdings.get(outpoint)
        is_known = known is not None and known.seen.block == reversed_.block
        self._require(is_known, index, Kind.DEPOSIT_REVERSED, "reverses a deposit that was never seen")
        del self.holdings[outpoint]
        return COORDINATOR

    def _mature(self, matured: CoinMatured, index: int) -> str:
        known = self.holdings.get(OutPoint(matured.txid, matured.vout))
        if known is None or known.seen.block != matured.block:
            raise HistoryInvalid(index=index, entry=Kind.COIN_MATURED, problem="names a deposit that is not there")
        self._require(not known.is_mature, index, Kind.COIN_MATURED, "matures a coin again")
        known.is_mature = True
        return COORDINATOR

    def _see_theft(self, spend: UnexplainedSpend, index: int) -> str:
        outpoint = OutPoint(spend.txid, spend.vout)
        known = self.holdings.get(outpoint)
        if known is not None:
            known.spent_by = spend.spender
        self.frozen_by = f"{outpoint} was spent by {spend.spender[::-1].hex()}, which no released transfer explains"
        self._frozen_at = index
        return COORDINATOR

    def _ask(self, envelope: Envelope, index: int) -> str:
        request = check_request(envelope, self.charter)
        self._require(request.digest() not in self.requests, index, Kind.REQUESTED, "repeats a request")
        self.requests[request.digest()] = envelope
        return request.requester

    def _draft(self, drafted: Draft, index: int) -> str:
        envelope = self.request(drafted.identity.request)
        request = check_request(envelope, self.charter)
        vault_id = drafted.identity.vault
        self._require(drafted.transfer_id not in self.transfers, index, Kind.DRAFTED, "repeats a draft")
        self.refuse_drafted(drafted.identity.request)
        replaced = self.replaced_by(request)
        group = self._group(drafted, replaced, index)
        parent = None if request.parent is None else self.parent_of(request)
        held = self.held()
        taken = [o for o in drafted.outpoints if held.get(o, group) != group]
        self._require(
            not taken, index, Kind.DRAFTED, f"takes {taken[0] if taken else ''}, which another transfer holds"
        )
        transfer = Transfer(
            draft=drafted,
            request=request,
            request_envelope=envelope,
            due_change=self.next_index(vault_id, Branch.CHANGE),
            due_receive=self.next_receive(),
            group=group,
            replaced=replaced,
            parent=parent,
        )
        self.transfers[transfer.id] = self._live[transfer.id] = transfer
        self._groups.setdefault(group, []).append(transfer)
        self._drafts.setdefault(drafted.identity.request, []).append(transfer)
        for txid in {each.txid for each in drafted.identity.spent}:
            self._spenders.setdefault(txid, []).append(transfer)
        self._use_indexes(drafted)
        return COORDINATOR

    def _group(self, drafted: Draft, replaced: Sequence[Transfer], index: int) -> bytes:
        """The group of a draft: its own id, or that of what it replaces.

        It must spend a coin of every rival in the group, not only of those it names: were two members free of each
        other, both could confirm, and a group counts once.
        """
        if not replaced:
            return drafted.transfer_id
        groups = {each.group for each in replaced}
        self._require(len(groups) == 1, index, Kind.DRAFTED, "replaces transfers that do not conflict with each other")
        check_conflicts(drafted, {each.id: each.draft for each in replaced})
        return groups.pop()

    def _use_indexes(self, drafted: Draft) -> None:
        """Count the indexes of a draft as used, when they are the ones that were due.

        One far away is refused when the draft is judged; counted here, it would push every later one out of reach.
        """
        if drafted.change is not None:
            self._use(drafted.identity.vault, Branch.CHANGE, drafted.change)
        for destination in drafted.destinations:
            payee = self.charter.payee(destination.payee)
            if isinstance(payee, VaultPayee):
                self._use(self.charter.vault(payee.vault).id, Branch.RECEIVE, destination.index)

    def _decide(self, decision: Decision, index: int) -> str:
        transfer = self._at(decision.transfer, {Status.DRAFTED}, index, Kind.DECIDED)
        transfer.decision, transfer.status = decision, Status.DECIDED
        return COORDINATOR

    def _approve(self, envelope: Envelope, index: int) -> str:
        transfer_id = _approval_of(envelope).transfer
        transfer = self._at(transfer_id, {Status.DECIDED, Status.AUTHORIZED}, index, Kind.APPROVED)
        approval = check_approval(envelope, transfer.draft, transfer.request, self.charter)
        self._require(approval.nonce not in self._spoken, index, Kind.APPROVED, "repeats an approval")
        for at, earlier in enumerate(transfer.opinions):
            if earlier.officer == approval.officer:
                is_new = may_follow(earlier, approval)
                self._require(is_new, index, Kind.APPROVED, f"is the second by {approval.officer}")
                del transfer.opinions[at], transfer.approvals[at]
                # The authorization may have counted the one that expired: it has to be given again.
                transfer.authorization, transfer.status = None, Status.DECIDED
                break
        self._spoken.add(approval.nonce)
        transfer.approvals.append(envelope)
        transfer.opinions.append(approval)
        return approval.officer

    def _withdraw(self, envelope: Envelope, index: int) -> str:
        transfer = self.transfer(_withdrawal_of(envelope).transfer)
        withdrawal = check_withdrawal(envelope, transfer.draft, transfer.request, self.charter)
        self._require(transfer.is_live, index, Kind.WITHDRAWN, f"comes while the transfer is {transfer.status}")
        self._require(not transfer.is_bearer, index, Kind.WITHDRAWN, "comes after signatures were requested")
        self._close(
            transfer,
            Ended(transfer=transfer.id, reason=Ending.WITHDRAWN, detail=withdrawal.reason, at=withdrawal.issued),
        )
        return withdrawal.person

    def _authorize(self, authorization: Authorization, index: int) -> str:
        transfer = self._at(authorization.transfer, {Status.DECIDED}, index, Kind.AUTHORIZED)
        self._require(
            transfer.decision is not None and transfer.decision.verdict is not Verdict.DENY,
            index,
            Kind.AUTHORIZED,
            "authorizes what was denied",
        )
        transfer.authorization, transfer.status = authorization, Status.AUTHORIZED
        return COORDINATOR

    def _request_signatures(self, signing: SigningRequested, index: int) -> str:
        transfer = self._at(signing.transfer, {Status.AUTHORIZED}, index, Kind.SIGNING_REQUESTED)
        transfer.signing, transfer.signing_index, transfer.status = signing, index, Status.SIGNING
        return COORDINATOR

    def _sign(self, signed: SignedPsbt, index: int) -> str:
        transfer = self._at(signed.transfer, _WITH_SIGNATURES, index, Kind.SIGNED)
        is_first = all(each.cosigner != signed.cosigner for each in transfer.signed)
        self._require(is_first, index, Kind.SIGNED, f"is the second by {signed.cosigner.hex()}")
        transfer.signed.append(signed)
        self.nonces.update(nonces(signed))
        return COORDINATOR

    def _combine(self, combined: CombinedPsbt, index: int) -> str:
        transfer = self._at(combined.transfer, {Status.SIGNING}, index, Kind.COMBINED)
        have_signed = {each.cosigner for each in transfer.signed}
        is_known = have_signed.issuperset(combined.cosigners)
        self._require(is_known, index, Kind.COMBINED, "names a cosigner who has not signed")
        transfer.combined, transfer.status = combined, Status.COMBINED
        return COORDINATOR

    def _verify(self, verified: VerifiedTransaction, index: int) -> str:
        transfer = self._at(verified.transfer, {Status.COMBINED}, index, Kind.VERIFIED)
        transfer.verified, transfer.status = verified, Status.VERIFIED
        return COORDINATOR

    def _release(self, released: Release, index: int) -> str:
        transfer = self._at(released.transfer, {Status.VERIFIED}, index, Kind.RELEASED)
        is_same = (
            transfer.verified is not None
            and transfer.verified.digest() == released.verified
            and transfer.verified.txid == released.txid
        )
        self._require(is_same, index, Kind.RELEASED, "releases another transaction than the verified one")
        transfer.release, transfer.status = released, Status.RELEASED
        self._released[released.txid] = transfer
        return COORDINATOR

    def _broadcast(self, sent: Broadcast, index: int) -> str:
        transfer = self._at(sent.transfer, {Status.RELEASED, Status.BROADCAST}, index, Kind.BROADCAST)
        self._require_released(transfer, sent.txid, index, Kind.BROADCAST)
        transfer.status = Status.BROADCAST
        return COORDINATOR

    def _see_spend(self, seen: SpendSeen, index: int) -> str:
        transfer = self._at(seen.transfer, {Status.RELEASED, Status.BROADCAST}, index, Kind.SPEND_SEEN)
        self._require(transfer.seen is None, index, Kind.SPEND_SEEN, "sees a transaction in a second block")
        self._require_released(transfer, seen.txid, index, Kind.SPEND_SEEN)
        transfer.seen, transfer.status = seen, Status.BROADCAST
        # Spent from here on: its change is a deposit of the same block, and one coin must not be counted twice.
        self._mark_spent(transfer, seen.txid)
        return COORDINATOR

    def _confirm(self, confirmation: Confirmation, index: int) -> str:
        transfer = self._at(confirmation.transfer, {Status.BROADCAST}, index, Kind.CONFIRMED)
        seen = transfer.seen
        is_seen = seen is not None and (seen.txid, seen.block, seen.height) == (
            confirmation.txid,
            confirmation.block,
            confirmation.height,
        )
        self._require(is_seen, index, Kind.CONFIRMED, "confirms what was not seen in that block")
        transfer.confirmation, transfer.status = confirmation, Status.CONFIRMED
        self._live.pop(transfer.id, None)
        return COORDINATOR

    def _unconfirm(self, gone: Unconfirmation, index: int) -> str:
        transfer = self._at(gone.transfer, {Status.BROADCAST, Status.CONFIRMED}, index, Kind.UNCONFIRMED)
        is_seen = transfer.seen is not None and transfer.seen.block == gone.block
        self._require(is_seen, index, Kind.UNCONFIRMED, "takes back what was not seen in that block")
        transfer.seen = transfer.confirmation = None
        transfer.status = Status.BROADCAST
        self._live[transfer.id] = transfer
        self._mark_spent(transfer, None)
        # What it had superseded is live again too: any of the group may now be the one that confirms.
        for other in self.members(transfer.group):
            self._revive(other)
        return COORDINATOR

    def _revive(self, transfer: Transfer) -> None:
        """Make a superseded transfer live again, unless something in its place still stands, and its children too."""
        is_over = transfer.ended is not None and transfer.ended.reason is Ending.SUPERSEDED
        if is_over and transfer.is_bearer and not self._is_superseded(transfer):
            transfer.ended, transfer.status = None, transfer.bearer_status
            self._live[transfer.id] = transfer
            for child in self.children(transfer):
                self._revive(child)

    def _is_superseded(self, transfer: Transfer) -> bool:
        """Whether another of its group is confirmed, or it spends what can never be."""
        others = self.members(transfer.group)
        return any(each.status is Status.CONFIRMED for each in others) or self.is_orphaned(transfer)

    def _end(self, ended: Ended, index: int) -> str:
        transfer = self.transfer(ended.transfer)
        self._require(transfer.is_live, index, Kind.ENDED, f"comes while the transfer is {transfer.status}")
        may_end = not transfer.is_bearer or ended.reason is Ending.SUPERSEDED
        self._require(may_end, index, Kind.ENDED, "ends a transfer whose signatures may be around")
        holds = False  # a withdrawal has an entry of its own, signed by who withdrew
        match ended.reason:
            case Ending.SUPERSEDED:
                holds = self._is_superseded(transfer)
            case Ending.DENIED:
                holds = transfer.decision is not None and transfer.decision.verdict is Verdict.DENY
            case Ending.VETOED:
                holds = any(each.verdict is Opinion.VETO for each in transfer.opinions)
            case Ending.EXPIRED:
                holds = ended.at >= transfer.request.expires
        self._require(holds, index, Kind.ENDED, f"says {ended.reason}, but nothing before it does")
        self._close(transfer, ended)
        return COORDINATOR

    def _close(self, transfer: Transfer, ended: Ended) -> None:
        transfer.ended, transfer.status = ended, Status.ENDED
        self._live.pop(transfer.id, None)

    def _mark_spent(self, transfer: Transfer, txid: bytes | None) -> None:
        for outpoint in transfer.draft.outpoints:
            if outpoint in self.holdings:
                self.holdings[outpoint].spent_by = txid

    def _require_released(self, transfer: Transfer, txid: bytes, index: int, kind: Kind) -> None:
        is_same = transfer.release is not None and transfer.release.txid == txid
        self._require(is_same, index, kind, "names another transaction than the released one")

    def _at(self, transfer_id: bytes, allowed: set[Status], index: int, kind: Kind) -> Transfer:
        transfer = self.transfer(transfer_id)
        self._require(transfer.status in allowed, index, kind, f"comes while the transfer is {transfer.status}")
        return transfer

    def _require(self, holds: bool, index: int, kind: Kind, problem: str) -> None:  # noqa: FBT001 - as in assert
        if not holds:
            raise HistoryInvalid(index=index, entry=kind, problem=problem)

    def _use(self, vault_id: bytes, branch: int, index: int) -> None:
        if index == self.next_index(vault_id, branch):
            self._next[vault_id, branch] = index + 1

    # Every kind of entry there is.
    _FOLDS: ClassVar[Mapping[str, _Fold[Any]]] = {
        Kind.CHARTER_ADOPTED: _Fold(Envelope, _adopt),
        Kind.ADDRESS_ISSUED: _Fold(AddressIssued, _issue),
        Kind.CHAIN_SEEN: _Fold(ChainSeen, _see_chain),
        Kind.DEPOSIT_SEEN: _Fold(DepositSeen, _see_deposit, may_be_withheld=True),
        Kind.DEPOSIT_REVERSED: _Fold(DepositReversed, _reverse_deposit, may_be_withheld=True),
        Kind.COIN_MATURED: _Fold(CoinMatured, _mature, may_be_withheld=True),
        Kind.REQUESTED: _Fold(Envelope, _ask),
        Kind.DRAFTED: _Fold(Draft, _draft),
        Kind.DECIDED: _Fold(Decision, _decide),
        Kind.APPROVED: _Fold(Envelope, _approve),
        Kind.WITHDRAWN: _Fold(Envelope, _withdraw),
        Kind.AUTHORIZED: _Fold(Authorization, _authorize),
        Kind.SIGNING_REQUESTED: _Fold(SigningRequested, _request_signatures),
        Kind.SIGNED: _Fold(SignedPsbt, _sign),
        Kind.COMBINED: _Fold(CombinedPsbt, _combine),
        Kind.VERIFIED: _Fold(VerifiedTransaction, _verify),
        Kind.RELEASED: _Fold(Release, _release),
        Kind.BROADCAST: _Fold(Broadcast, _broadcast),
        Kind.SPEND_SEEN: _Fold(SpendSeen, _see_spend),
        Kind.CONFIRMED: _Fold(Confirmation, _confirm),
        Kind.UNCONFIRMED: _Fold(Unconfirmation, _unconfirm),
        Kind.ENDED: _Fold(Ended, _end),
        Kind.UNEXPLAINED_SPEND: _Fold(UnexplainedSpend, _see_theft),
    }


def replay(entries: Iterable[LogEntry], charter_digest: bytes) -> History:
    """The history that these entries make, from the first one on, under the pinned charter.

    Raises:
        HistoryInvalid, EntryAuthor, LogCorrupt: as `History.extend`.
    """
    return History(charter_digest).extend(entries)


def _approval_of(envelope: Envelope) -> Approval:
    return unsafe_payload(envelope, Approval)


def _withdrawal_of(envelope: Envelope) -> Withdrawal:
    return unsafe_payload(envelope, Withdrawal)
