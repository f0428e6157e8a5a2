"""Who asks for what, from which vault, and why: the transfer request, signed by its requester.

Payees are names from the charter. A name becomes a script only through the charter and, for a vault that is paid, its
next unused receive index; a request carries neither addresses nor scripts. The reason stands in an annex: it may be
withheld or erased, and nothing is decided by it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from custody.bitcoin.script import NetworkMismatch
from custody.charter.document import Charter
from custody.charter.people import Person, Role
from custody.charter.rules import Payment
from custody.clock import CLOCK_SKEW
from custody.envelope import Envelope, SigInvalid, unsafe_payload, verify_one
from custody.errors import InvalidInput, Refused
from custody.record import Digest, HexBytes, Record
from custody.transfer.annex import Annex, AnnexedPaper
from custody.units import Network, Sat, UnixTime
from custody.vault.keys import PublicText

MAX_PAYMENTS: Final = 500
NONCE_SIZE: Final = 16


class RequestInvalid(InvalidInput, code="REQUEST_INVALID"):
    """A request that contradicts itself."""

    message = "the request {problem}"
    hint = "Write the request again: payees and amounts for a payment, one payee for a sweep, none for a consolidation."
    problem: str


class RequestAuthor(Refused, code="REQUEST_AUTHOR"):
    """A request that its requester did not sign."""

    message = "the request names {requester} as its requester, but {problem}"
    hint = "A request is text until its requester signs it: have them sign it on their own machine."
    requester: str
    problem: str


class RequestExpired(Refused, code="REQUEST_EXPIRED"):
    """A request past its time."""

    message = "the request expired at {expires!t}; it is {now!t} here"
    hint = "Ask again, if it is still wanted, and check the clock of this machine."
    expires: int
    now: int


class RequestEarly(Refused, code="REQUEST_NOT_YET"):
    """A request that is dated later than now."""

    message = "the request is dated {issued!t}; it is {now!t} here"
    hint = (
        "One of the two clocks is wrong: compare both with a third, in UTC. If it is the requester's, set it and ask "
        "again; if it is this machine's, set it and go on."
    )
    issued: int
    now: int


class RequestMismatch(Refused, code="REQUEST_MISMATCH"):
    """A request made for another charter, vault or network."""

    message = "the request was made for {what} {actual}, not for {expected}"
    hint = "A request holds for one charter and one vault only: ask again under the charter in force."
    what: str
    actual: str
    expected: str


class ReasonMissing(InvalidInput, code="REASON_MISSING"):
    """A reason without a word in it."""

    message = "the reason is empty"
    hint = "Say why in a few words: officers judge by it, and it stands in the log."


class Purpose(StrEnum):
    """What a transfer is for."""

    PAYMENT = "payment"
    """Pays payees; what is left returns as change."""
    SWEEP = "sweep"
    """Sends everything the vault can spend to one payee; no change."""
    CONSOLIDATION = "consolidation"
    """Turns many coins of the vault into one, at its next change index."""
    CANCELLATION = "cancellation"
    """Spends a coin of the transfers it replaces back to the vault, so that they can never confirm."""
    CHILD = "child-pays-for-parent"
    """Spends the change of a transfer that waits back to the vault, at a fee that makes both worth a miner's while."""


class RequestedPayment(Record):
    """A payee's name and sats; the amount is None for a sweep, where it is whatever the coins come to."""

    kind: ClassVar[str] = "requested-payment"

    payee: PublicText
    amount: Sat | None


class TransferRequest(Record):
    """What an officer asks for. Its digest is the RequestId."""

    kind: ClassVar[str] = "request"

    network: Network
    charter: Digest
    vault: Digest
    purpose: Purpose
    payments: Annotated[tuple[RequestedPayment, ...], Field(max_length=MAX_PAYMENTS)]
    replaces: tuple[Digest, ...]
    """TransferIds this one conflicts with on purpose: it spends an input of each."""
    parent: Digest | None = None
    """TransferId of the transfer that a child speeds up. No other request has this field, so there is one spelling."""
    annex: Digest
    """Salted digest of the `ReasonAnnex` that says why."""
    requester: PublicText
    issued: UnixTime
    expires: UnixTime
    nonce: Annotated[HexBytes, Field(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]

    @model_serializer(mode="wrap")
    def _without_absent_parent(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if self.parent is None:
            del written["parent"]
        return written

    @model_validator(mode="after")
    def _is_sound(self) -> TransferRequest:
        amounts = [payment.amount for payment in self.payments]
        match self.purpose:
            case Purpose.PAYMENT:
                if not amounts or any(not amount for amount in amounts):
                    raise RequestInvalid(problem="is a payment and needs payees, each with an amount above zero")
            case Purpose.SWEEP:
                if amounts != [None]:
                    raise RequestInvalid(problem="is a sweep and needs exactly one payee, without an amount")
            case Purpose.CONSOLIDATION | Purpose.CANCELLATION | Purpose.CHILD:
                if amounts:
                    raise RequestInvalid(problem=f"is a {self.purpose} and pays nobody, but names payees")
        self._check_named()
        if self.expires <= self.issued:
            raise RequestInvalid(problem="expires before it was issued")
        return self

    def _check_named(self) -> None:
        """The other transfers it names are those that its purpose needs."""
        if self.purpose is Purpose.CANCELLATION and not self.replaces:
            raise RequestInvalid(problem="is a cancellation and names no transfer to cancel")
        if self.purpose is Purpose.CHILD and self.parent is None:
            raise RequestInvalid(problem=f"is a {self.purpose} and names no transfer to speed up")
        if self.purpose is not Purpose.CHILD and self.parent is not None:
            raise RequestInvalid(problem=f"is a {self.purpose}, but names a transfer to speed up")
        if len(set(self.replaces)) != len(self.replaces):
            raise RequestInvalid(problem="names one transfer to replace twice")

    def wanted(self) -> tuple[Payment, ...]:
        """The payments whose amount is known."""
        return tuple(Payment(payment.payee, payment.amount) for payment in self.payments if payment.amount is not None)


class ReasonAnnex(Record):
    """Why somebody asks for a transfer, or ends one."""

    kind: ClassVar[str] = "reason-annex"

    reason: PublicText

    @model_validator(mode="after")
    def _says_something(self) -> ReasonAnnex:
        if not self.reason.strip():
            raise ReasonMissing
        return self


class RequestPaper(AnnexedPaper):
    """The file in which a request comes from its requester."""

    kind: ClassVar[str] = "request-paper"


def read_reason(named: bytes, annex: Annex | None) -> str | None:
    """The reason that a signed document names, None when its annex is not there.

    Raises:
        AnnexMismatch: it is another annex.
        RecordInvalid, TextForbidden, ...: it holds no reason.
    """
    return None if annex is None else annex.words(ReasonAnnex, named).reason


def read_request(envelope: Envelope) -> TransferRequest:
    """The request in `envelope`, whoever signed it."""
    return unsafe_payload(envelope, TransferRequest)


def check_request(envelope: Envelope, charter: Charter) -> TransferRequest:
    """The request in `envelope`, signed by its requester under this charter.

    Raises:
        RequestAuthor: no such person, without the role requester, or not signed by their key.
        RequestMismatch: made for another charter or an unknown vault.
        NetworkMismatch: made for another network.
    """
    request = read_request(envelope)
    requester = check_asked(request, charter)
    try:
        verify_one(envelope, TransferRequest, requester.key)
    except SigInvalid:
        raise RequestAuthor(requester=request.requester, problem="no valid signature by that person's key") from None
    return request


def check_asked(request: TransferRequest, charter: Charter) -> Person:
    """Check a request whose signature was verified when it was entered in the log; whoever signed it.

    Raises:
        RequestAuthor: no such person, or without the role requester.
        RequestMismatch, NetworkMismatch: as `check_request`.
    """
    if request.network is not charter.network:
        raise NetworkMismatch(what="the request", expected=charter.network, actual=request.network)
    if request.charter != charter.digest():
        raise RequestMismatch(what="charter", actual=request.charter.hex(), expected=charter.digest().hex())
    charter.vault_by_id(request.vault)
    requester = next((person for person in charter.people if person.name == request.requester), None)
    if requester is None:
        raise RequestAuthor(requester=request.requester, problem="the charter has no such person")
    if not requester.has_role(Role.REQUESTER):
        raise RequestAuthor(requester=request.requester, problem="that person may not request transfers")
    for payment in request.payments:
        charter.payee(payment.payee)
    return requester


def refuse_early_request(request: TransferRequest, now: int) -> None:
    """Pass when the request was made by a clock that differs from ours as honest ones may.

    Raises:
        RequestEarly: it is dated later.
    """
    if now < request.issued - CLOCK_SKEW:
        raise RequestEarly(issued=request.issued, now=now)


def refuse_expired_request(request: TransferRequest, now: int) -> None:
    """Pass while the request holds.

    Raises:
        RequestExpired: it is past its time.
    """
    if now >= request.expires:
        raise RequestExpired(expires=request.expires, now=now)
