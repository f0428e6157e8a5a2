"""What can a hostile coordinator write? Logs, checkpoints and evidence with a lie in them, and all else right.

It owns its key, its log and every file it hands out; a witness cosigns what extends its log, since witnesses read no
bodies. So entries follow each other, heads fit bodies, and the checkpoint is signed and cosigned: a lie reaches the
check that is meant to stop it. What is entered is filed as its kind declares, unless a lie about that is asked for.

Regtest only: everybody can compute these keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self, TypeVar

from custody.bitcoin.script import NetworkMismatch
from custody.charter.decide import Decision
from custody.envelope import Envelope
from custody.errors import CustodyError
from custody.examine.evidence import Evidence, EvidenceBody, in_order
from custody.examine.shown import lines_of, read_lines
from custody.history import kinds
from custody.history.entry import COORDINATOR, EntryKind
from custody.history.fold import fold
from custody.history.maps import MapRows
from custody.history.questions import History
from custody.history.rows import Head
from custody.history.snapshot import read_rows, rows_of_entry, sealed_rows, total_of, write_row
from custody.history.state import State
from custody.log import Checkpoint, EntryHead, Frontier, LogEntry, SignedCheckpoint, seal, sign_checkpoint
from custody.log.witnessing import LogKey, WitnessRequest, answer
from custody.record import Record
from custody.testing.cast import WITNESS, Cast
from custody.transfer.annex import Annex
from custody.transfer.approval import Authorization
from custody.transfer.draft import Draft
from custody.transfer.observe import ChainSeen
from custody.transfer.signing import SigningRequested
from custody.units import Network

Body = TypeVar("Body", bound=Record)
_BLOCK: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Story:
    """What a log is to say of a transfer, true or not. `previous` are raw previous transactions."""

    request: Envelope
    draft: Draft
    decision: Decision
    previous: tuple[bytes, ...]
    approvals: tuple[Envelope, ...] = ()
    authorization: Authorization | None = None

    def dated(self, size: int) -> Story:
        """The story with its decision made on `size` entries, and authorized as such if it was authorized before."""
        decision = dated(self.decision, size)
        authorization = self.authorization
        if authorization is not None and authorization.decision == self.decision.digest():
            authorization = Authorization(
                transfer=authorization.transfer,
                charter=authorization.charter,
                decision=decision.digest(),
                approvals=authorization.approvals,
                at=authorization.at,
            )
        return replace(self, decision=decision, authorization=authorization)

    def body(self, charter: bytes) -> EvidenceBody:
        """What a reader of this story judges; `charter` is its digest."""
        return EvidenceBody(
            charter=charter,
            request=self.request,
            draft=self.draft,
            previous=in_order(self.previous),
            decision=self.decision,
            approvals=self.approvals,
            authorization=self.authorization,
        )


class Forge:
    """A log in the making, as it stands at `now` (Unix seconds); `entries` are what it begins with.

    Raises:
        NetworkMismatch: for any network but regtest.
    """

    def __init__(self, cast: Cast, now: int, entries: Iterable[LogEntry] = ()) -> None:
        network = cast.charter.network
        if network is not Network.REGTEST:
            raise NetworkMismatch(what="a forged log", expected=Network.REGTEST.value, actual=network.value)
        self.cast: Final = cast
        self.now: Final = now
        self.entries: Final = list(entries)

    @classmethod
    def begun(cls, cast: Cast, now: int, height: int) -> Self:
        """A log with the charter, and a look at the chain up to `height`."""
        forge = cls(cast, now)
        forge.write(kinds.CHARTER_ADOPTED, cast.envelope)
        forge.write(kinds.CHAIN_SEEN, ChainSeen(height=height, block=_BLOCK, time=now, at=now))
        return forge

    # --- what is entered ---------------------------------------------------------------------------------------------

    def write(
        self, kind: EntryKind[Body], body: Body, *, author: str | None = None, subjects: Iterable[bytes] | None = None
    ) -> None:
        """Enter a body as its kind declares; `author` and `subjects` are lies."""
        self.entries.append(sealed(self.size, kind, body, author=author, subjects=subjects))

    def write_bytes(self, kind: str, body: bytes, *, author: str = COORDINATOR, subjects: Iterable[bytes] = ()) -> None:
        """Enter any bytes as an entry of any name."""
        self.entries.append(seal(self.size, kind, author, subjects, body, _salt(self.size)))

    def annex(self, annex: Annex) -> None:
        """Enter an annex under its own salt."""
        body = annex.body.encode("utf-8")
        self.entries.append(seal(self.size, kinds.ANNEXED, COORDINATOR, (), body, annex.salt))

    def copy(self, *entries: LogEntry) -> None:
        """Enter next what other entries say, bodies and salts as they are; a decision is judged where it stands now."""
        self.entries.extend([moved(entry, index) for index, entry in enumerate(entries, self.size)])

    def rewrite(self, index: int, body: Record) -> None:
        """Have entry `index` say something else, of the same kind and filed as it declares."""
        kind = kinds.BY_NAME[self.entries[index].head.entry]
        self.entries[index] = sealed(index, kind, body)

    def tell(self, story: Story, asked_at: int | None = None) -> None:
        """Enter a transfer from its draft up to as far as the story goes; of an authorized one, the signing request.

        Signatures were asked for at `asked_at` (Unix seconds), or now.
        """
        self.write(kinds.DRAFTED, story.draft)
        story = story.dated(self.size)
        self.write(kinds.DECIDED, story.decision)
        for each in story.approvals:
            self.write(kinds.APPROVED, each)
        if story.authorization is not None:
            self.write(kinds.AUTHORIZED, story.authorization)
            self.ask_for_signatures(story, self.now if asked_at is None else asked_at)

    def ask_for_signatures(self, story: Story, at: int) -> None:
        """Enter that signatures were asked for at `at` (Unix seconds), on just this story."""
        digest = story.body(self.cast.digest).digest()
        signing = SigningRequested(transfer=story.draft.transfer_id, evidence=digest, at=at)
        self.write(kinds.SIGNING_REQUESTED, signing)

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Entries so far."""
        return len(self.entries)

    @property
    def root(self) -> bytes:
        """Merkle root of the entries so far, 32 bytes."""
        return Frontier.of(entry.leaf for entry in self.entries).root

    def history(self) -> History:
        """What the entries so far say.

        Raises:
            HistoryInvalid, EntryAuthor, ...: as `fold`.
        """
        return History(fold(State(self.cast.digest), self.entries))

    def signed(self) -> SignedCheckpoint:
        """The checkpoint of this log with its coordinator's signature and no other."""
        checkpoint = Checkpoint(self.cast.charter.origin, self.size, self.root)
        return sign_checkpoint(checkpoint, checkpoint.origin, self.cast.coordinator)

    def asked(self) -> WitnessRequest:
        """What a witness is asked to cosign."""
        leaves = tuple(entry.leaf for entry in self.entries)
        return WitnessRequest(checkpoint=self.signed().text(), since=0, leaves=leaves)

    def cosigned(self) -> SignedCheckpoint:
        """The checkpoint after the witness has cosigned it, who sees this log for the first time."""
        charter = self.cast.charter
        key = LogKey(charter.origin, charter.coordinator)
        return answer(self.asked(), None, key, WITNESS, self.cast.witness, self.now).signed

    def evidence(
        self, transfer_id: bytes, previous: Iterable[bytes], since: int = 0, annex: Annex | None = None
    ) -> Evidence:
        """The file of a transfer for a reader who has seen the first `since` entries."""
        return Evidence(
            transfer=transfer_id,
            since=since,
            checkpoint=self.cosigned().text(),
            lines=lines_of(self.entries[since:]),
            previous=tuple(previous),
            annex=annex,
        )


def sealed(
    index: int,
    kind: EntryKind[Body],
    body: Body,
    *,
    author: str | None = None,
    subjects: Iterable[bytes] | None = None,
) -> LogEntry:
    """Entry `index` with this body, filed as its kind declares; `author` and `subjects` are lies."""
    own_author = kind.author(body) if author is None else author
    own_subjects = kind.subjects(body) if subjects is None else tuple(subjects)
    return seal(index, kind, own_author, own_subjects, body.to_bytes(), _salt(index))


def moved(entry: LogEntry, index: int) -> LogEntry:
    """What an entry says, at another place of a log; a decision, as judged there."""
    head, body = entry.head, entry.body
    if body is None:
        there = EntryHead(index=index, entry=head.entry, author=head.author, subjects=head.subjects, body=head.body)
        return LogEntry(there, b"", None)
    if head.entry == kinds.DECIDED:
        body = dated(Decision.from_bytes(body), index).to_bytes()
    return seal(index, head.entry, head.author, head.subjects, body, entry.salt)


def dated(decision: Decision, size: int) -> Decision:
    """The decision as it is when the log has `size` entries and nothing that was asked of it is another."""
    return Decision(
        transfer=decision.transfer,
        charter=decision.charter,
        size=size,
        facts=decision.facts,
        verdict=decision.verdict,
        findings=decision.findings,
        demands=decision.demands,
    )


def believed(pinned: bytes, lines: Iterable[str]) -> State:
    """What a reader has seen who was shown these lines from the beginning, up to the first it would not believe."""
    state = State(pinned)
    for entry in read_lines(tuple(lines), 0):
        try:
            state = fold(state, [entry])
        except CustodyError:
            break
    return state


def begun(pinned: bytes, lines: Iterable[str]) -> State:
    """The same for a reader who began with a snapshot of that, and has folded none of it."""
    seen = believed(pinned, lines := tuple(lines))
    rows = list(read_rows(write_row(row) for row in sealed_rows(MapRows.of(seen))))
    head, at = Head(seen.frontier, total_of(rows)), Frontier()
    for entry in read_lines(lines[: seen.size], 0):
        rows += rows_of_entry(entry, at)
        at = at.append(entry.leaf)
    return State.over(MapRows.begun(head, rows), pinned)


READ_BEFORE: Final = {"in two visits": believed, "from a snapshot": begun}
"""How somebody may have come by the beginning of a log, beside not having seen any of it ("at once")."""


def _salt(index: int) -> bytes:
    return hashlib.sha256(b"salt %d" % index).digest()
