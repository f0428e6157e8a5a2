"""How far has a transfer come?

A `TransferRow` is what is kept of it: its status, and where in the log each step stands. A `Transfer` is that row with
the log at hand, from which it reads what a step said when somebody asks. Both are values: they stay as they were read.

What each kind of entry does to a row is for `history` to say; nothing here folds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final, Protocol, TypeVar

from custody.charter.decide import Decision
from custody.envelope import Envelope
from custody.errors import CustodyError, Refused
from custody.record import Record
from custody.transfer.approval import Approval, Authorization, Withdrawal
from custody.transfer.draft import Draft
from custody.transfer.observe import SpendSeen
from custody.transfer.request import ReasonAnnex, TransferRequest, read_request
from custody.transfer.settlement import Confirmation, Ended, Ending, Release
from custody.transfer.signing import CombinedPsbt, SignedPsbt, SigningRequested
from custody.transfer.verify import StateChanged, VerifiedTransaction

Body = TypeVar("Body", bound=Record)


class Status(StrEnum):
    """How far a transfer has come."""

    DRAFTED = "drafted"
    DECIDED = "decided"
    AUTHORIZED = "authorized"
    SIGNING = "signing"
    COMBINED = "combined"
    VERIFIED = "verified"
    RELEASED = "released"
    BROADCAST = "broadcast"
    CONFIRMED = "confirmed"
    ENDED = "ended"


class StepEarly(Refused, code="STEP_EARLY"):
    """A step for which the transfer has not come far enough."""

    message = "transfer {transfer} is only {status}: {step} needs one that is {needed}"
    hint = "Nothing is wrong, and nothing was done. What comes next is said by: custody transfer show {transfer}"
    transfer: str
    status: str
    step: str
    needed: str


class TransferOver(Refused, code="TRANSFER_OVER"):
    """A step for a transfer that needs none any more."""

    message = "transfer {transfer} is over: {how}"
    hint = "Nothing more is to be done with it. If the same is wanted again, ask for it anew: custody transfer request."
    transfer: str
    how: str


@dataclass(frozen=True, slots=True)
class TransferRow:
    """What is kept of a transfer. Numbers named for a step are the index of the log entry that tells it.

    `group` is the id of the first of the transfers that conflict with it on purpose; `replaced` are those of them it
    had to conflict with when it was drafted, in the order they were drafted, and `parent` what it speeds up.
    `due_change` and `due_receive` (of the vaults it pays, by name) were the next unused indexes then, `asked_change`
    the next behind those that signatures had been asked for. `newest` is the latest entry about it, and `early` the
    latest that saw it in a block without its release. One that was over before keeps saying so (`ended`, `ending`)
    while it stands there.
    """

    id: bytes
    vault: bytes
    request: bytes
    group: bytes
    charter: int
    requested: int
    drafted: int
    newest: int
    due_change: int
    asked_change: int
    due_receive: tuple[tuple[str, int], ...] = ()
    replaced: tuple[bytes, ...] = ()
    parent: bytes | None = None
    status: Status = Status.DRAFTED
    decided: int | None = None
    approved: tuple[int, ...] = ()
    authorized: int | None = None
    signing: int | None = None
    signed: tuple[int, ...] = ()
    combined: int | None = None
    verified: int | None = None
    released: int | None = None
    seen: int | None = None
    early: int | None = None
    confirmed: int | None = None
    ended: int | None = None
    ending: Ending | None = None


class Source(Protocol):
    """The log that a transfer is read from, as it was when the transfer was asked for."""

    def read(self, record: type[Body], index: int) -> Body:
        """The record that entry `index` carries.

        Raises:
            BodyWithheld: this copy of the log does not have it.
        """

    def annex(self, record: type[Body], named: bytes) -> Body | None:
        """What the annex of this salted digest says; None when it was erased or withheld, or never came."""

    def transfer(self, transfer_id: bytes) -> Transfer:
        """Another transfer.

        Raises:
            TransferUnknown: there is none.
        """


@dataclass(frozen=True)
class Transfer:
    """One transfer as the log tells it."""

    row: TransferRow
    source: Source = field(repr=False, compare=False)

    @property
    def id(self) -> bytes:
        """Its TransferId."""
        return self.row.id

    @property
    def status(self) -> Status:
        """How far it has come."""
        return self.row.status

    @property
    def group(self) -> bytes:
        """The id of the first of the transfers that conflict with it on purpose; its own when there are none."""
        return self.row.group

    @property
    def is_live(self) -> bool:
        """Whether it still holds its coins: neither ended nor confirmed."""
        return self.status not in (Status.ENDED, Status.CONFIRMED)

    @property
    def is_bearer(self) -> bool:
        """Whether signatures were asked for, or are out, so that it can end only by another spend."""
        return self.row.signing is not None or self.row.early is not None

    @property
    def is_agreed(self) -> bool:
        """Whether it may stand in a block: signatures were asked for, and nobody ended it since but for want of a coin.

        A coin that was gone may come back, and then whatever was sent goes on.
        """
        return self.row.signing is not None and self.row.ending in (None, Ending.ABANDONED)

    @property
    def is_early(self) -> bool:
        """Whether the block it stands in held it without its release."""
        return self.row.seen is not None and self.row.seen == self.row.early

    @property
    def txid(self) -> bytes | None:
        """The txid under which it was released, or was found without that; None when neither happened yet."""
        if self.release is not None:
            return self.release.txid
        early = self._maybe(SpendSeen, self.row.early)
        return None if early is None else early.txid

    # --- what each step said -----------------------------------------------------------------------------------------

    @cached_property
    def draft(self) -> Draft:
        """Its transaction."""
        return self.source.read(Draft, self.row.drafted)

    @cached_property
    def request_envelope(self) -> Envelope:
        """What was asked for, as its requester signed it."""
        return self.source.read(Envelope, self.row.requested)

    @cached_property
    def request(self) -> TransferRequest:
        """What was asked for."""
        return read_request(self.request_envelope)

    @cached_property
    def reason(self) -> str | None:
        """Why it was asked for; None when that was erased or withheld."""
        return self._reason(self.request.annex)

    @cached_property
    def replaced(self) -> tuple[Transfer, ...]:
        """The transfers that it had to conflict with when it was drafted, in the order they were drafted."""
        return tuple(self.source.transfer(each) for each in self.row.replaced)

    @cached_property
    def parent(self) -> Transfer | None:
        """The transfer that a child speeds up."""
        return None if self.row.parent is None else self.source.transfer(self.row.parent)

    @cached_property
    def decision(self) -> Decision | None:
        """What the rules said."""
        return self._maybe(Decision, self.row.decided)

    @cached_property
    def approvals(self) -> tuple[Envelope, ...]:
        """What officers said, as each signed it: the last word of each."""
        return tuple(self.source.read(Envelope, each) for each in self.row.approved)

    @cached_property
    def opinions(self) -> tuple[Approval, ...]:
        """What officers said, in the same order."""
        return tuple(Approval.from_bytes(each.body) for each in self.approvals)

    @cached_property
    def authorization(self) -> Authorization | None:
        """That every demand was met."""
        return self._maybe(Authorization, self.row.authorized)

    @cached_property
    def signing(self) -> SigningRequested | None:
        """That signatures were asked for."""
        return self._maybe(SigningRequested, self.row.signing)

    @cached_property
    def signed(self) -> tuple[SignedPsbt, ...]:
        """What cosigners signed, each once, in the order they came."""
        return tuple(self.source.read(SignedPsbt, each) for each in self.row.signed)

    @cached_property
    def combined(self) -> CombinedPsbt | None:
        """The signatures of as many cosigners as the vault needs."""
        return self._maybe(CombinedPsbt, self.row.combined)

    @cached_property
    def verified(self) -> VerifiedTransaction | None:
        """The finished transaction."""
        return self._maybe(VerifiedTransaction, self.row.verified)

    @cached_property
    def release(self) -> Release | None:
        """Leave to send it."""
        return self._maybe(Release, self.row.released)

    @cached_property
    def seen(self) -> SpendSeen | None:
        """The block it stands in."""
        return self._maybe(SpendSeen, self.row.seen)

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """That this block is buried deep enough."""
        return self._maybe(Confirmation, self.row.confirmed)

    @cached_property
    def ended(self) -> Ended | None:
        """Why it is over without having moved anything."""
        reason = self.row.ending
        if self.row.ended is None or reason not in (Ending.WITHDRAWN, Ending.ABANDONED):
            return self._maybe(Ended, self.row.ended)
        # Whoever withdrew it has said so themselves: there is no second entry of the coordinator's.
        withdrawn = Withdrawal.from_bytes(self.source.read(Envelope, self.row.ended).body)
        return Ended(transfer=self.id, reason=reason, detail=self._reason(withdrawn.annex) or "", at=withdrawn.issued)

    def _reason(self, named: bytes) -> str | None:
        found = self.source.annex(ReasonAnnex, named)
        return None if found is None else found.reason

    def _maybe(self, record: type[Body], index: int | None) -> Body | None:
        return None if index is None else self.source.read(record, index)


_DIGITS: Final = 12
"""Hexadecimal digits by which an error names a transfer: enough to find it by."""


def unready(transfer: Transfer, step: str, needed: Status) -> CustodyError:
    """Why `step`, which needs a transfer that is `needed` and finds nothing that says so, cannot be taken.

    A wrong turn of whoever types is told from a row that says more than the log does.
    """
    if not transfer.is_live:
        return over(transfer)
    order = list(Status)
    if order.index(transfer.status) >= order.index(needed):
        return StateChanged(what="the transfer", expected=needed, actual=f"{transfer.status}, though no entry says so")
    return StepEarly(transfer=transfer.id.hex()[:_DIGITS], status=transfer.status, step=step, needed=needed)


def over(transfer: Transfer) -> TransferOver:
    """That a transfer is over, and how it came to be."""
    how = str(transfer.status) if transfer.ended is None else f"{transfer.status}, {transfer.ended.reason}"
    return TransferOver(transfer=transfer.id.hex()[:_DIGITS], how=how)
