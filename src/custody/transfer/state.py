"""How far a transfer has come, and what is known of a deposit: the values that the log's entries build up.

What each kind of entry does to them is for `history` to say; nothing here reads the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import model_validator

from custody.charter.decide import Decision
from custody.envelope import Envelope
from custody.errors import InvalidInput
from custody.record import Digest, Record
from custody.transfer.approval import Approval, Authorization
from custody.transfer.draft import Draft
from custody.transfer.observe import DepositSeen, SpendSeen
from custody.transfer.request import TransferRequest
from custody.transfer.settlement import Confirmation, Ended, Release
from custody.transfer.signing import CombinedPsbt, SignedPsbt, SigningRequested
from custody.transfer.verify import VerifiedTransaction
from custody.units import Count, Index, UnixTime
from custody.vault.coins import CoinClass, Deposit
from custody.vault.descriptor import Branch
from custody.vault.keys import PublicText


class Kind(StrEnum):
    """What happened, in the past tense."""

    CHARTER_ADOPTED = "charter_adopted"
    ADDRESS_ISSUED = "address_issued"
    CHAIN_SEEN = "chain_seen"
    DEPOSIT_SEEN = "deposit_seen"
    DEPOSIT_REVERSED = "deposit_reversed"
    COIN_MATURED = "coin_matured"
    REQUESTED = "requested"
    DRAFTED = "drafted"
    DECIDED = "decided"
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"
    AUTHORIZED = "authorized"
    SIGNING_REQUESTED = "signing_requested"
    SIGNED = "signed"
    COMBINED = "combined"
    VERIFIED = "verified"
    RELEASED = "released"
    BROADCAST = "broadcast"
    SPEND_SEEN = "spend_seen"
    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    ENDED = "ended"
    UNEXPLAINED_SPEND = "unexplained_spend"


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


class DepositUnsaid(InvalidInput, code="DEPOSIT_UNSAID"):
    """An address that is given out without saying what for."""

    message = "an address is given out to a payer, for a purpose and for coins of a class; missing: {missing}"
    hint = "Say who will pay (--payer), why (--purpose) and where the coins come from (--class): it stands in the log."
    missing: str


@dataclass(frozen=True, slots=True)
class ExpectedDeposit:
    """What an address is given out for: who will pay there, why, and where the coins come from (a `CoinClass`).

    Raises:
        DepositUnsaid: one of them is empty.
    """

    payer: str
    purpose: str
    coin_class: str

    def __post_init__(self) -> None:
        said = (("payer", self.payer), ("purpose", self.purpose), ("class", self.coin_class))
        missing = [what for what, text in said if not text.strip()]
        if missing:
            raise DepositUnsaid(missing=", ".join(missing))


class AddressIssued(Record):
    """An address was given out: by a vault, at its next receive index, to one payer, for a purpose."""

    kind: ClassVar[str] = "address-issued"

    vault: Digest
    branch: Count
    index: Index
    payer: PublicText
    purpose: PublicText
    coin_class: CoinClass
    at: UnixTime

    @model_validator(mode="after")
    def _is_said(self) -> Self:
        ExpectedDeposit(self.payer, self.purpose, self.coin_class)
        return self

    @classmethod
    def of(cls, expected: ExpectedDeposit, vault_id: bytes, index: int, at: int) -> Self:
        """For this deposit, at this receive index of a vault, at `at` (Unix seconds)."""
        return cls(
            vault=vault_id,
            branch=Branch.RECEIVE.value,
            index=index,
            payer=expected.payer,
            purpose=expected.purpose,
            coin_class=expected.coin_class,
            at=at,
        )

    @property
    def expected(self) -> ExpectedDeposit:
        """What it was given out for."""
        return ExpectedDeposit(self.payer, self.purpose, self.coin_class)


@dataclass(slots=True)
class Transfer:
    """One transfer as the log tells it.

    `due_change` and `due_receive` were the next unused indexes when it was drafted; `group` is the id of the first of
    the transfers that conflict with it on purpose, and `replaced` those of them it had to conflict with at that moment,
    in the order they were drafted. `parent` is the transfer that a child speeds up.
    """

    draft: Draft
    request: TransferRequest
    request_envelope: Envelope
    due_change: int
    due_receive: Mapping[str, int]
    group: bytes
    replaced: tuple[Transfer, ...] = field(default=(), repr=False)
    parent: Transfer | None = field(default=None, repr=False)
    status: Status = Status.DRAFTED
    decision: Decision | None = None
    approvals: list[Envelope] = field(default_factory=list)
    opinions: list[Approval] = field(default_factory=list)
    authorization: Authorization | None = None
    signing: SigningRequested | None = None
    signing_index: int | None = None
    signed: list[SignedPsbt] = field(default_factory=list)
    combined: CombinedPsbt | None = None
    verified: VerifiedTransaction | None = None
    release: Release | None = None
    seen: SpendSeen | None = None
    confirmation: Confirmation | None = None
    ended: Ended | None = None

    @property
    def id(self) -> bytes:
        """Its TransferId."""
        return self.draft.transfer_id

    @property
    def is_live(self) -> bool:
        """Whether it still holds its coins: neither ended nor confirmed."""
        return self.status not in (Status.ENDED, Status.CONFIRMED)

    @property
    def is_bearer(self) -> bool:
        """Whether signatures were asked for, so that it can end only by another spend."""
        return self.signing is not None

    @property
    def bearer_status(self) -> Status:
        """How far it had come, signatures having been asked for, before something superseded it."""
        for reached, status in (
            (self.release, Status.RELEASED),
            (self.verified, Status.VERIFIED),
            (self.combined, Status.COMBINED),
        ):
            if reached is not None:
                return status
        return Status.SIGNING


@dataclass(slots=True)
class Holding:
    """A deposit as the log tells it."""

    seen: DepositSeen
    is_mature: bool = False
    spent_by: bytes | None = None
    """txid of the transaction in a block that spent it."""

    @property
    def deposit(self) -> Deposit:
        """The deposit as a value."""
        return self.seen.deposit
