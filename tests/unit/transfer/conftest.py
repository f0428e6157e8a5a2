"""One whole story, played once on a real chain, and what is needed to tell it otherwise.

`told` holds its log, with an entry of every kind there is. Tests fold the beginning of it and add entries of their own,
as a coordinator would who means well or does not; nothing in a test itself needs a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import Transaction
from custody.charter.document import Charter
from custody.envelope import Envelope
from custody.log import Checkpoint, Frontier, LogEntry, SignedCheckpoint, seal, sign_checkpoint
from custody.log.witnessing import LogKey, WitnessRequest, answer
from custody.record import Record
from custody.testing.cast import OFFICERS, STRANGER, SUPPLIER, WITNESS, Cast, Setting
from custody.testing.scenario import Scenario
from custody.transfer.draft import Draft
from custody.transfer.evidence import Evidence, EvidenceBody, StationPart, part_of
from custody.transfer.history import COORDINATOR, History, replay
from custody.transfer.request import TransferRequest
from custody.transfer.state import Kind, Transfer
from custody.transfer.verify import VerifiedTransaction

Some = TypeVar("Some", bound=Record)
RATE = 5_000


def edited(record: Some, **changes: Any) -> Some:
    """The record with other values."""
    return type(record)(**{name: getattr(record, name) for name in type(record).model_fields} | changes)


@dataclass(frozen=True)
class Told:
    """The story: its people, its log, and what the stations were shown and answered on the way."""

    cast: Cast
    entries: tuple[LogEntry, ...]
    now: int
    transfer_id: bytes
    to_approve: Evidence
    to_sign: Evidence
    to_release: Evidence
    answers: tuple[Psbt, ...]
    """What each cosigner's station let out, in the vault's order."""

    @property
    def charter(self) -> Charter:
        return self.cast.charter

    @property
    def draft(self) -> Draft:
        return self.to_sign.body.draft

    @property
    def request_envelope(self) -> Envelope:
        return self.to_sign.body.request

    @property
    def request(self) -> TransferRequest:
        return TransferRequest.from_bytes(self.request_envelope.body)

    @property
    def after_verified(self) -> VerifiedTransaction:
        """The finished transaction."""
        verified = self.after(Kind.VERIFIED).transfer(self.transfer_id).verified
        assert verified is not None
        return verified

    @property
    def transfer(self) -> Transfer:
        """The transfer as it stood when the stations were asked."""
        return self.until(Kind.SIGNED).transfer(self.transfer_id)

    def index(self, kind: Kind, nth: int = 0) -> int:
        """Where the entry number `nth` of a kind stands."""
        return [entry.head.index for entry in self.entries if entry.head.entry == kind][nth]

    def entry(self, kind: Kind, nth: int = 0) -> LogEntry:
        return self.entries[self.index(kind, nth)]

    def until(self, kind: Kind, nth: int = 0) -> History:
        """The history just before an entry."""
        return replay(self.entries[: self.index(kind, nth)], self.cast.digest)

    def after(self, kind: Kind, nth: int = 0) -> History:
        """The history just after an entry."""
        return replay(self.entries[: self.index(kind, nth) + 1], self.cast.digest)


def play() -> Told:
    story = Scenario.funded(60_000_000, 40_000_000, 30_000_000, setting=Setting(confirmations=2))
    try:
        return _play(story)
    finally:
        story.close()


def _play(story: Scenario) -> Told:
    custodian = story.custodian
    draft, _ = story.drafted(story.request((SUPPLIER, 85_000_000)), RATE)
    transfer_id = draft.transfer_id
    to_approve = custodian.evidence(transfer_id)
    story.approved(transfer_id, OFFICERS[:2])
    custodian.authorize(transfer_id)
    custodian.request_signatures(transfer_id)
    to_sign = custodian.evidence(transfer_id)
    answers = tuple(story.signature(transfer_id, cosigner) for cosigner in range(3))
    now = story.chain.now()
    for each in answers[:2]:
        custodian.receive(transfer_id, each)
    custodian.combine(transfer_id)
    custodian.verify(transfer_id)
    to_release = custodian.evidence(transfer_id)
    custodian.release(transfer_id)
    custodian.deliver()
    story.mine()
    story.chain.reorganise(1, leave_out=[story.transfer(transfer_id).release.txid])
    custodian.observe()
    story.mine(2)
    # One that is withdrawn, one that the rules deny, and one that its custodians send past release.
    withdrawn, _ = story.drafted(story.request((SUPPLIER, 1_000_000)))
    custodian.withdraw(story.withdrawal(withdrawn.transfer_id))
    story.drafted(story.request((STRANGER, 1_000_000)))
    stolen = story.authorized(story.request((SUPPLIER, 2_000_000)))
    story.signed(stolen)
    story.chain.view.send(story.transfer(stolen).verified.raw)
    story.mine()
    with story.store.read() as view:
        entries = tuple(view.entries())
    return Told(story.cast, entries, now, transfer_id, to_approve, to_sign, to_release, answers)


@pytest.fixture(scope="session")
def told() -> Told:
    return play()


@pytest.fixture(scope="session")
def edit() -> Callable[..., Any]:
    return edited


def add(history: History, kind: str, body: Record, *subjects: bytes, author: str = COORDINATOR) -> History:
    """Fold one more entry."""
    salt = history.size.to_bytes(32, "big")
    return history.extend([seal(history.size, kind, author, subjects, body.to_bytes(), salt)])


@pytest.fixture(scope="session", name="add")
def _add() -> Callable[..., History]:
    return add


class Forge:
    """A coordinator that writes what it likes, signs it with its own key, and has it cosigned.

    A witness reads no bodies, so it does not mind. It begins with the log up to the first request.
    """

    def __init__(self, told: Told) -> None:
        self.told = told
        self.entries = list(told.entries[: told.index(Kind.REQUESTED)])

    def write(self, kind: str, body: Record, *subjects: bytes, author: str = COORDINATOR) -> None:
        index = len(self.entries)
        self.entries.append(seal(index, kind, author, subjects, body.to_bytes(), index.to_bytes(32, "big")))

    def copy(self, *kinds: Kind) -> None:
        """Write the story's own entries of these kinds next."""
        for kind in kinds:
            entry = self.told.entry(kind)
            head = entry.head
            body = entry.body or b""
            self.entries.append(seal(len(self.entries), head.entry, head.author, head.subjects, body, entry.salt))

    @property
    def seen(self) -> tuple[int, bytes]:
        """Size and root so far: what an officer who looks now has seen."""
        return len(self.entries), Frontier.of(entry.leaf for entry in self.entries).root

    def cosigned(self, *, by_witness: bool = True) -> SignedCheckpoint:
        charter, cast = self.told.charter, self.told.cast
        signed = sign_checkpoint(Checkpoint(charter.origin, *self.seen), charter.origin, cast.coordinator)
        if not by_witness:
            return signed
        asked = WitnessRequest(checkpoint=signed.text(), since=0, leaves=tuple(entry.leaf for entry in self.entries))
        key = LogKey(charter.origin, charter.coordinator)
        return answer(asked, None, key, WITNESS, cast.witness, self.told.now).signed

    def evidence(self, body: EvidenceBody) -> Evidence:
        return Evidence(body=body, part=part_of(self.cosigned(), self.entries))


@pytest.fixture
def forge(told: Told) -> Forge:
    return Forge(told)


def redrafted(drafted: Draft, **changes: Any) -> Draft:
    """A draft with another transaction (`version`, `inputs`, `outputs`, `locktime`) or other fields of its own."""
    parts = {name: changes.pop(name) for name in ("version", "inputs", "outputs", "locktime") if name in changes}
    spent: Sequence[Any] = changes.pop("spent", drafted.identity.spent)
    transaction: Transaction = replace(drafted.transaction, **parts)
    identity = edited(drafted.identity, transactions=(transaction.stripped(),), spent=tuple(spent))
    return edited(drafted, identity=identity, **changes)


@pytest.fixture(scope="session", name="redrafted")
def _redrafted() -> Callable[..., Draft]:
    return redrafted


@pytest.fixture(scope="session")
def part() -> Callable[..., StationPart]:
    return part_of
