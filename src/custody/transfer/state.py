"""How far has a transfer come?

A `TransferRow` is what is kept of it: its status, and where in the log each step stands. A `Transfer` is that row with
the log at hand, from which it reads what a step said when somebody asks. Both are values: they stay as they were read.

What each kind of entry does to a row is for `history` to say; nothing here folds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Protocol, TypeVar

from custody.charter.decide import Decision
from custody.envelope import Envelope
from custody.record import Record
from custody.transfer.approval import Approval, Authorization, Withdrawal
from custody.transfer.draft import Draft
from custody.transfer.observe import SpendSeen
from custody.transfer.request import ReasonAnnex, TransferRequest, read_request
from custody.transfer.settlement import Confirmation, Ended, Ending, Release
from custody.transfer.signing import CombinedPsbt, SignedPsbt, SigningRequested
from custody.transfer.verify import VerifiedTransaction

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


@dataclass(frozen=True, slots=True)
class TransferRow:
    """What is kept of a transfer. Numbers named for a step are the index of the log entry that tells it.

    `group` is the id of the first of the transfers that conflict with it on purpose; `replaced` are those of them it
    had to conflict with when it was drafted, in the order they were drafted, and `parent` what it speeds up.
    `due_change` and `due_receive` (of the vaults it pays, by name) were the next unused indexes then, `asked_change`
    the next behind those that signatures had been asked for. `newest` is the latest entry about it.
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
        """Whether signatures were asked for, so that it can end only by another spend."""
        return self.row.signing is not None

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
        if self.row.ended is None or self.row.ending is not Ending.WITHDRAWN:
            return self._maybe(Ended, self.row.ended)
        # Whoever withdrew it has said so themselves: there is no second entry of the coordinator's.
        withdrawn = Withdrawal.from_bytes(self.source.read(Envelope, self.row.ended).body)
        return Ended(
            transfer=self.id, reason=Ending.WITHDRAWN, detail=self._reason(withdrawn.annex) or "", at=withdrawn.issued
        )

    def _reason(self, named: bytes) -> str | None:
        found = self.source.annex(ReasonAnnex, named)
        return None if found is None else found.reason

    def _maybe(self, record: type[Body], index: int | None) -> Body | None:
        return None if index is None else self.source.read(record, index)
