"""Who said yes to exactly this draft, and whether that is enough.

An approval is an officer's signature over the TransferId and everything it must not outlive: network, vault, charter
and its version, the log as the officer saw it, a time. It is never a coin signature. People are counted by raw key;
whoever asked for a transfer does not count among those who agree to it; one veto ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from custody.bitcoin.script import NetworkMismatch
from custody.charter.decide import Decision
from custody.charter.document import Charter
from custody.charter.people import Person, Role
from custody.charter.rules import Demand
from custody.clock import CLOCK_SKEW
from custody.envelope import Envelope, SigInvalid, unsafe_payload, verify_one
from custody.errors import Refused
from custody.quorum import Quorum, Tally
from custody.record import Digest, HexBytes, Record
from custody.transfer.annex import AnnexedPaper
from custody.transfer.proposal import Proposal
from custody.transfer.request import NONCE_SIZE
from custody.units import Count, Network, UnixTime
from custody.vault.keys import PublicText


class ApprovalMissing(Refused, code="APPROVAL_MISSING"):
    """Fewer officers agreed than a rule demands."""

    message = (
        "rule {rule} needs {count} approvals by the role {role}; {given} given, {needed} more needed from: {missing}"
    )
    hint = "Send the evidence file to one of those named: custody-station approve EVIDENCE."
    rule: str
    role: str
    count: int
    given: int
    needed: int
    missing: str


class ApprovalSelf(Refused, code="APPROVAL_SELF"):
    """The requester approving their own transfer."""

    message = "{officer} asked for this transfer and cannot approve it"
    hint = "Somebody else must agree: ask another officer."
    officer: str


class ApprovalMismatch(Refused, code="APPROVAL_MISMATCH"):
    """An approval of something else, carried over to this transfer."""

    message = "the approval by {officer} is for {what} {actual}, not {expected}"
    hint = "An approval holds for one draft only. Ask the officer to approve this one, after looking at it."
    officer: str
    what: str
    actual: str
    expected: str


class ApprovalExpired(Refused, code="APPROVAL_EXPIRED"):
    """An approval past its time."""

    message = "the approval by {officer} held from {issued!t} to {expires!t}; it is {now!t} here"
    hint = "Ask the officer to approve again, and check both clocks."
    officer: str
    issued: int
    expires: int
    now: int


class ApprovalEarly(Refused, code="APPROVAL_NOT_YET"):
    """An approval that is dated later than now."""

    message = "the approval by {officer} holds from {issued!t} on; it is {now!t} here"
    hint = (
        "One of the two clocks is wrong: compare both with a third, in UTC. If it is the officer's, set it and have "
        "the officer approve again; if it is this machine's, set it and take this approval then."
    )
    officer: str
    issued: int
    now: int


class ApprovalBeforeDraft(Refused, code="APPROVAL_BEFORE_DRAFT"):
    """An approval that is dated earlier than what it approves."""

    message = "the approval by {officer} is dated {issued!t}, and the transfer was drafted at {drafted!t}"
    hint = (
        "The clock of the officer's machine is behind, or this one's ahead: compare both with a third, in UTC. Set the "
        "one that is wrong; if it is the officer's, have the officer approve again."
    )
    officer: str
    issued: int
    drafted: int


class ApprovalAuthor(Refused, code="APPROVAL_AUTHOR"):
    """An approval not signed by the person it names, or by somebody who may not approve."""

    message = "the approval names {officer}, but {problem}"
    hint = "Ask the officer to sign it on their own machine with the key the charter lists."
    officer: str
    problem: str


class ApprovalTwice(Refused, code="APPROVAL_TWICE"):
    """A second approval by one officer, or an old one sent again."""

    message = "{officer} has already spoken on this transfer"
    hint = (
        "One person counts once. If it is this very word that was entered before, nothing is left to do with it: "
        "custody transfer show TRANSFER lists who has spoken. Else ask another officer."
    )
    officer: str


class ApprovalForked(Refused, code="APPROVAL_FORKED"):
    """An approval given while looking at another history."""

    message = "{officer} approved after seeing a log of {size} entries with root {seen}; this log's was {own} then"
    hint = "Do not go on: somebody showed the officer another history. Call the officers and the witnesses."
    officer: str
    size: int
    seen: str
    own: str


class Vetoed(Refused, code="VETOED"):
    """An officer said no."""

    message = "{officer} vetoed this transfer, or another of its request"
    hint = "Talk to the officer. Nothing of this request goes on; a new one starts over, and names the veto to all."
    officer: str


class Opinion(StrEnum):
    """An officer's answer."""

    APPROVE = "approve"
    VETO = "veto"


class Approval(Record):
    """An officer's yes or no to one draft. `log_size` and `log_root` are the log as the officer saw it."""

    kind: ClassVar[str] = "approval"

    network: Network
    vault: Digest
    transfer: Digest
    charter: Digest
    charter_version: Count
    officer: PublicText
    key: Digest
    verdict: Opinion
    log_size: Count
    log_root: Digest
    issued: UnixTime
    expires: UnixTime
    nonce: Annotated[HexBytes, Field(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]


class Withdrawal(Record):
    """The requester or an officer ending a transfer for which no signature was requested yet."""

    kind: ClassVar[str] = "withdrawal"

    network: Network
    charter: Digest
    transfer: Digest
    person: PublicText
    annex: Digest
    """Salted digest of the `ReasonAnnex` that says why."""
    issued: UnixTime
    nonce: Annotated[HexBytes, Field(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]


class WithdrawalPaper(AnnexedPaper):
    """A signed withdrawal with its reason."""

    kind: ClassVar[str] = "withdrawal-paper"


class Authorization(Record):
    """A decision whose demands are met: by which decision and which approvals, each by its envelope's digest."""

    kind: ClassVar[str] = "authorization"

    transfer: Digest
    charter: Digest
    decision: Digest
    approvals: tuple[Digest, ...]
    at: UnixTime


@dataclass(frozen=True, slots=True)
class RoleTally:
    """How far one demand is met, by people's names."""

    demand: Demand
    tally: Tally[str]


def check_approval(envelope: Envelope, proposal: Proposal) -> Approval:
    """The approval in `envelope`, signed by an officer of the charter for exactly this draft.

    Raises:
        ApprovalAuthor: signed by somebody else or by nobody who may.
        ApprovalSelf: by whoever asked for the transfer.
        ApprovalMismatch, NetworkMismatch: made for something else.
    """
    approval, charter = unsafe_payload(envelope, Approval), proposal.charter
    officer = _officer(approval.officer, charter)
    try:
        verify_one(envelope, Approval, officer.key)
    except SigInvalid:
        raise ApprovalAuthor(officer=officer.name, problem="no valid signature by that person's key") from None
    if approval.key != officer.key:
        raise ApprovalAuthor(officer=officer.name, problem="it names another key than the charter's")
    if approval.network is not charter.network:
        raise NetworkMismatch(what="the approval", expected=charter.network, actual=approval.network)
    for what, actual, expected in (
        ("vault", approval.vault, proposal.vault.id),
        ("charter", approval.charter, charter.digest()),
        ("transfer", approval.transfer, proposal.transfer_id),
    ):
        if actual != expected:
            raise ApprovalMismatch(officer=officer.name, what=what, actual=actual.hex(), expected=expected.hex())
    if approval.charter_version != charter.version:
        raise ApprovalMismatch(
            officer=officer.name,
            what="charter version",
            actual=str(approval.charter_version),
            expected=str(charter.version),
        )
    # A no may come from anybody who may speak: it only ever stops things.
    if officer.name == proposal.request.requester and approval.verdict is Opinion.APPROVE:
        raise ApprovalSelf(officer=officer.name)
    return approval


def check_withdrawal(envelope: Envelope, proposal: Proposal) -> Withdrawal:
    """The withdrawal in `envelope`, signed by the transfer's requester or by an officer, for this transfer.

    Raises:
        ApprovalAuthor, ApprovalMismatch: signed by somebody else, or for another transfer.
    """
    withdrawal, charter = unsafe_payload(envelope, Withdrawal), proposal.charter
    person = next((each for each in charter.people if each.name == withdrawal.person), None)
    if person is None:
        raise ApprovalAuthor(officer=withdrawal.person, problem="the charter has no such person")
    if person.name != proposal.request.requester and not person.has_role(Role.OFFICER):
        raise ApprovalAuthor(officer=person.name, problem="that person is neither its requester nor an officer")
    try:
        verify_one(envelope, Withdrawal, person.key)
    except SigInvalid:
        raise ApprovalAuthor(officer=person.name, problem="no valid signature by that person's key") from None
    for what, actual, expected in (
        ("charter", withdrawal.charter, charter.digest()),
        ("transfer", withdrawal.transfer, proposal.transfer_id),
    ):
        if actual != expected:
            raise ApprovalMismatch(officer=person.name, what=what, actual=actual.hex(), expected=expected.hex())
    return withdrawal


def tallies(proposal: Proposal, decision: Decision, approvals: Sequence[Approval]) -> tuple[RoleTally, ...]:
    """For each demand of the decision, who agreed and who may still be asked. The requester is no member."""
    agreed = [approval.officer for approval in approvals if approval.verdict is Opinion.APPROVE]
    requester, people = proposal.request.requester, proposal.charter.people
    found: list[RoleTally] = []
    for demand in decision.demands:
        able = tuple(p.name for p in people if p.has_role(demand.role) and p.name != requester)
        if len(able) < demand.count:
            raise ApprovalMissing(
                rule=demand.rule,
                role=demand.role,
                count=demand.count,
                given=0,
                needed=demand.count,
                missing=f"only {len(able)} besides the requester",
            )
        found.append(RoleTally(demand, Quorum(demand.count, able).tally(agreed)))
    return tuple(found)


def authorize(proposal: Proposal, decision: Decision, approvals: Sequence[Envelope], now: int) -> Authorization:
    """The authorization, when no officer vetoed and every demand is met by approvals that hold at `now` (Unix seconds).

    Raises:
        ApprovalTwice: one officer stands twice.
        Vetoed: one said no.
        ApprovalEarly, ApprovalExpired: one is outside its time.
        ApprovalMissing: a demand is not met.
        ...: as `check_approval` raises.
    """
    read = [check_approval(envelope, proposal) for envelope in approvals]
    refuse_unfit(read, now)
    for each in tallies(proposal, decision, read):
        if not each.tally.is_met:
            raise ApprovalMissing(
                rule=each.demand.rule,
                role=each.demand.role,
                count=each.demand.count,
                given=len(each.tally.acted),
                needed=each.tally.needed,
                missing=", ".join(each.tally.missing),
            )
    return Authorization(
        transfer=proposal.transfer_id,
        charter=proposal.charter.digest(),
        decision=decision.digest(),
        approvals=tuple(envelope.digest() for envelope in approvals),
        at=now,
    )


def refuse_unfit(approvals: Sequence[Approval], now: int) -> None:
    """Pass when nobody speaks twice, nobody said no, and all hold at `now`.

    Raises:
        ApprovalTwice, Vetoed, ApprovalEarly, ApprovalExpired.
    """
    heard: set[bytes] = set()
    for approval in approvals:
        if approval.key in heard:
            raise ApprovalTwice(officer=approval.officer)
        heard.add(approval.key)
    refuse_vetoed(approvals)
    for approval in approvals:
        refuse_untimely(approval, now)


def refuse_untimely(approval: Approval, now: int) -> None:
    """Pass when an approval holds at `now`, or by a clock that differs from its officer's as honest ones may.

    Raises:
        ApprovalEarly: not yet.
        ApprovalExpired: not any more.
    """
    if now < approval.issued - CLOCK_SKEW:
        raise ApprovalEarly(officer=approval.officer, issued=approval.issued, now=now)
    if now >= approval.expires:
        raise ApprovalExpired(officer=approval.officer, issued=approval.issued, expires=approval.expires, now=now)


def refuse_misdated(approval: Approval, drafted: int, now: int) -> None:
    """Pass when a yes that comes in holds now, and was given after the draft; a no counts whatever its date.

    What is counted here and refused at every station later helps nobody, and could not be given again.

    Raises:
        ApprovalBeforeDraft, ApprovalEarly, ApprovalExpired.
    """
    if approval.verdict is Opinion.VETO:
        return
    # A draft that is dated later than now was made while our own clock was ahead: it says nothing of the officer's.
    if approval.issued < min(drafted, now) - CLOCK_SKEW:
        raise ApprovalBeforeDraft(officer=approval.officer, issued=approval.issued, drafted=drafted)
    refuse_untimely(approval, now)


def may_follow(earlier: Approval, later: Approval) -> bool:
    """Whether an officer's later word may stand in place of an earlier yes: a no at any time, a yes of another time.

    The earlier one has expired by then, or it was given by a clock that was ahead. A no stays: what one officer has
    stopped, the same officer does not set going again.
    """
    is_apart = later.issued >= earlier.expires or later.expires <= earlier.issued
    return earlier.verdict is Opinion.APPROVE and (later.verdict is Opinion.VETO or is_apart)


def refuse_forked(approval: Approval, root: bytes) -> None:
    """Pass when the officer saw the log whose root was `root` (32 bytes; empty when it was never that long).

    Raises:
        ApprovalForked: they saw another one.
    """
    if approval.log_root != root:
        raise ApprovalForked(
            officer=approval.officer,
            size=approval.log_size,
            seen=approval.log_root.hex(),
            own=root.hex() or "none",
        )


def refuse_vetoed(approvals: Iterable[Approval]) -> None:
    """Pass when nobody said no.

    Raises:
        Vetoed: somebody did.
    """
    for approval in approvals:
        if approval.verdict is Opinion.VETO:
            raise Vetoed(officer=approval.officer)


def _officer(name: str, charter: Charter) -> Person:
    person = next((each for each in charter.people if each.name == name), None)
    if person is None:
        raise ApprovalAuthor(officer=name, problem="the charter has no such person")
    if not person.has_role(Role.OFFICER):
        raise ApprovalAuthor(officer=name, problem="that person is no officer")
    return person
