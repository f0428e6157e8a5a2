"""The other side: a machine that never saw a network decides for itself whether a device may sign.

A station trusts one thing, the charter's digest, told to it by voice. From evidence files it works out everything else,
and it remembers the longest log it has seen, so that nobody can show it a shorter or another one later. Before a device
is driven the memory is written; after, only signatures that verify leave, in a PSBT this program wrote.

The station cannot stop k custodians who sign elsewhere, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from custody.bitcoin.profile import TransferPsbt
from custody.charter.document import Charter, VaultMismatch, read_charter, verify_charter
from custody.charter.people import Person, Role
from custody.envelope import DocumentSigner, Envelope, add_signature, sign
from custody.errors import Refused
from custody.examine.catchup import Keep, Lines, Progress, catch_up
from custody.examine.confirmed import NotFolded, StateConfirmed, confirmation, officer_of
from custody.examine.evidence import Evidence, Stage
from custody.examine.examination import Examination, examine
from custody.examine.shown import Shown
from custody.examine.snapshot import check_snapshot, go_on, offered, refuse_behind, rows_to_keep
from custody.examine.statement import (
    StatementExamination,
    StatementPaper,
    check_signer,
    examine_statement,
    signed_so_far,
)
from custody.history.questions import History
from custody.history.snapshot import SnapshotInvalid, check_sum
from custody.history.state import State
from custody.ports import Clock, Signer, SnapshotStart, StationMemory, StationState, Untrusted
from custody.transfer.approval import Approval, ApprovalAuthor, ApprovalSelf, Opinion
from custody.transfer.signing import (
    CosignerAltered,
    SignedPsbt,
    accept,
    refuse_repeated_nonces,
    refuse_unlike,
    with_signatures,
)
from custody.transfer.state import Status, over
from custody.vault.descriptor import Branch, Vault
from custody.vault.templates import ScriptType
from custody.words import check_spoken

APPROVAL_LIFETIME: Final = 7 * 24 * 3600
"""Seconds an approval holds when nobody says otherwise."""


class AlreadyTrusts(Refused, code="STATION_TRUSTS_ANOTHER"):
    """A station that trusts another charter already."""

    message = "this station trusts charter {known}, not {given}"
    hint = "A station serves one charter. Use another state directory, or find out who wants it changed."
    known: str
    given: str


class Asking(Enum):
    """How often a signer is to be asked for one transfer."""

    AS_STATED = "as stated"
    """Twice when the charter says that the device is deterministic, else once."""
    TWICE = "twice"


class Asked(Enum):
    """How often a signer is asked, and what its answers can show."""

    ONCE = "once"
    TWICE = "twice"
    """Two answers, which must be the same."""
    NOT_COMPARABLE = "not comparable"
    """Once, although twice was meant: Schnorr signatures may differ each time."""


def asked_of(found: Examination, fingerprint: bytes, asking: Asking) -> Asked:
    """How often the signer with this fingerprint is asked for the transfer."""
    stated = found.charter.vault_entry(found.vault_name).device_of(fingerprint)
    if asking is Asking.AS_STATED and (stated is None or not stated.is_deterministic):
        return Asked.ONCE
    return Asked.NOT_COMPARABLE if found.vault.script_type is ScriptType.TR else Asked.TWICE


@dataclass(frozen=True, slots=True)
class Answer:
    """What leaves the station: whose signatures, in a PSBT of our own making, and how often they were asked for."""

    signed: tuple[SignedPsbt, ...]
    psbt: TransferPsbt
    asked: Asked


class Station:
    """Examines evidence and drives a signer. Chance and time are arguments of its methods or of its clock."""

    def __init__(self, memory: StationMemory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock

    def trust(self, envelope: Envelope, spoken: str) -> Charter:
        """Trust the charter whose digest was told by voice, as 24 words or in hexadecimal.

        Raises:
            WordsMismatch: the file is another charter than the one spoken of.
            CharterUnsigned: somebody it lists has not signed it.
            AlreadyTrusts: this station serves another charter.
        """
        digest = read_charter(envelope).digest()
        check_spoken(digest, spoken)
        charter = verify_charter(envelope, digest)
        known = self._memory.load()
        if known is not None and known.charter != digest:
            raise AlreadyTrusts(known=known.charter.hex(), given=digest.hex())
        if known is None:
            self._memory.save(
                StationState(
                    network=charter.network,
                    origin=charter.origin,
                    charter=digest,
                    charter_version=charter.version,
                    witnessed_at=0,
                ),
                State(digest),
            )
        return charter

    def state(self) -> StationState:
        """What this station trusts and has seen.

        Raises:
            Untrusted: nothing yet.
        """
        known = self._memory.load()
        if known is None:
            raise Untrusted
        return known

    def examine(self, evidence: Evidence, stage: Stage) -> Examination:
        """Judge the evidence, and remember the log it showed.

        Raises:
            Untrusted: no charter is trusted yet.
            CustodyError: the first fact that is wrong, by its own code.
        """
        seen, known = self._known()
        examination = examine(evidence, seen, stage, self._clock.now())
        self._remember(known, examination.shown)
        return replace(examination, not_checked=(*told(known.start), *examination.not_checked))

    def catch_up(self, lines: Lines, progress: Progress | None = None) -> Shown:
        """Take in the log from a file, a batch at a time; what was kept stays kept when it is stopped.

        Raises:
            Untrusted: no charter is trusted yet.
            CustodyError: as `custody.examine.catchup.catch_up`.
        """
        seen, known = self._known()
        return catch_up(lines, seen, self._keeping(known), progress)

    def offered(self, lines: Lines) -> tuple[StateConfirmed, tuple[str, ...]]:
        """What a snapshot is of, and which officers have confirmed it; nothing else of it is looked at.

        Raises:
            Untrusted: no charter is trusted yet.
            SnapshotBehind: this station has seen as much by itself.
            CustodyError: as `custody.examine.snapshot.offered`.
        """
        confirmed, officers = offered(lines, self.state().charter)
        refuse_behind(confirmed, self.seen())
        return confirmed, officers

    def begin(
        self,
        lines: Lines,
        progress: Progress | None = None,
        agreed: tuple[StateConfirmed, tuple[str, ...]] | None = None,
    ) -> Shown:
        """Begin with a snapshot that enough officers have confirmed, and go on with the log behind it.

        What was kept before is replaced, once all has been checked. That this station began so is kept for ever.
        `agreed` is what was `offered` to a person who said yes; another one is not begun with.

        Raises:
            Untrusted: no charter is trusted yet.
            SnapshotInvalid: it is another snapshot than was agreed to.
            ChangedMeanwhile: this station was shown more of the log meanwhile.
            CustodyError: as `custody.examine.snapshot.check_snapshot` and `go_on`.
        """
        seen, known = self._known()
        checked = check_snapshot(lines, seen, progress)
        confirmed = checked.confirmed
        if agreed is not None and agreed != (confirmed, checked.officers):
            raise SnapshotInvalid(problem="is another one than was agreed to")
        start = SnapshotStart(size=confirmed.size, state=confirmed.state, officers=checked.officers)
        began = _remembering(known, witnessed_at=known.witnessed_at, start=start)
        self._memory.begin(began, seen, checked.head, rows_to_keep(lines, checked, progress))
        return go_on(lines, checked, self.seen(), self._keeping(began), progress)

    def confirmation(self, size: int | None = None) -> StateConfirmed:
        """What an officer can confirm here: the state that the log has sealed after `size` entries, or last.

        Raises:
            Untrusted: no charter is trusted yet.
            NotSealed: it has sealed none there, as far as it was shown here.
            NotFolded: this station began with a snapshot itself.
        """
        seen, known = self._known()
        if known.start is not None:
            raise NotFolded(size=known.start.size)
        return confirmation(History(seen), size)

    def confirm(self, officer: DocumentSigner, size: int | None = None) -> Envelope:
        """The same, signed by this officer.

        Raises:
            ConfirmationAuthor: the key is no officer's.
            CustodyError: as `confirmation`.
        """
        found = self.confirmation(size)
        officer_of(History(self.seen()).charter, officer.public_key)
        return sign(found, officer)

    def seen(self) -> State:
        """What the log says, as far as it was shown here.

        Raises:
            Untrusted: no charter is trusted yet.
        """
        return State.over(self._memory.rows(), self.state().charter)

    def verify(self) -> None:
        """Add up the rows kept here that the digest of the state covers, as long as that takes.

        Raises:
            Untrusted: no charter is trusted yet.
            StateCorrupt: something was changed where it lies.
        """
        check_sum(self.seen().base)

    def _known(self) -> tuple[State, StationState]:
        """What the log says, and whom this station trusts and how it began.

        In this order: should it begin with a snapshot in between, it is said so of rows that were folded, never the
        other way round.
        """
        return self.seen(), self.state()

    def _keeping(self, known: StationState) -> Keep:
        """Keeps a part of a log that is taken in, and goes on over what is kept."""

        def keep(shown: Shown) -> State:
            self._remember(known, shown)
            return self.seen()

        return keep

    def _remember(self, known: StationState, shown: Shown) -> None:
        """Keep the longest log that was shown here."""
        if shown.state.size > shown.state.base.head.frontier.size:
            witnessed_at = max([known.witnessed_at, *(each.time for each in shown.cosignatures)])
            self._memory.save(_remembering(known, witnessed_at=witnessed_at, start=known.start), shown.state)

    def approve(
        self,
        evidence: Evidence,
        officer: DocumentSigner,
        verdict: Opinion,
        nonce: bytes,
        lifetime: int = APPROVAL_LIFETIME,
    ) -> Envelope:
        """An officer's signed yes or no to what the evidence holds.

        `nonce` is 16 fresh random bytes, `lifetime` is in seconds.

        Raises:
            TransferOver: the transfer is confirmed already.
            ApprovalAuthor: the key is no officer's.
            ApprovalSelf: the officer asked for this transfer.
            CustodyError: as `examine`.
        """
        examination = self.examine(evidence, Stage.APPROVE)
        person, charter = speaker(examination, officer.public_key, verdict), examination.charter
        now = self._clock.now()
        return sign(
            Approval(
                network=charter.network,
                vault=examination.draft.identity.vault,
                transfer=examination.transfer_id,
                charter=charter.digest(),
                charter_version=charter.version,
                officer=person.name,
                key=person.key,
                verdict=verdict,
                log_size=examination.checkpoint.size,
                log_root=examination.checkpoint.root,
                issued=now,
                expires=now + lifetime,
                nonce=nonce,
            ),
            officer,
        )

    def sign(self, evidence: Evidence, signer: Signer, asking: Asking = Asking.AS_STATED) -> Answer:
        """Examine, let the signer sign, and check what it signed.

        Raises:
            CustodyError: as `examine`, before the signer has seen anything.
            TransferOver: the transfer is confirmed already.
            NotAMember: the signer holds no key of this vault.
            SigInvalid, CosignerAltered, NothingSigned: the signer answered wrongly.
            NonceReuse: it repeated a nonce, so what it signed must not leave.
            SignerNondeterministic: asked twice, it signed in two ways. Neither is kept.
        """
        examination = self.examine(evidence, Stage.SIGN)
        refuse_settled(examination)
        # Read once: whose key it is must not change while it is asked.
        cosigner = examination.vault.cosigner_of(signer.fingerprint).fingerprint
        signed = self._signed(examination, signer, cosigner)
        asked = asked_of(examination, cosigner, asking)
        if asked is Asked.TWICE:
            refuse_unlike(signed, self._signed(examination, signer, cosigner))
        fresh = (each for contribution in signed for each in contribution.signatures)
        return Answer(signed, with_signatures(fresh, examination.psbt), asked)

    def _signed(self, examination: Examination, signer: Signer, cosigner: bytes) -> tuple[SignedPsbt, ...]:
        """What the signer answers when it is asked once, checked in everything that one answer shows."""
        returned = signer.sign(examination.psbt.to_psbt())
        signed = accept(returned, examination.psbt, examination.draft, examination.vault, self._clock.now())
        refuse_repeated_nonces(signed, examination.nonces)
        others = [each.cosigner.hex() for each in signed if each.cosigner != cosigner]
        if others:
            raise CosignerAltered(what=f"carrying signatures of {others[0]}, who was not asked")
        return signed

    def address(self, envelope: Envelope, vault_name: str, branch: Branch, index: int) -> str:
        """An address of a vault, derived here from the trusted charter and from nothing else.

        Raises:
            CharterMismatch: another charter than the trusted one.
        """
        charter = verify_charter(envelope, self.state().charter)
        return charter.vault(vault_name).address(branch, index)

    def examine_statement(self, paper: StatementPaper) -> StatementExamination:
        """Judge an address statement that an officer is asked to sign, and remember the log the paper showed.

        Raises:
            Untrusted: no charter is trusted yet.
            CustodyError: the first fact that is wrong, by its own code.
        """
        seen, known = self._known()
        examination = examine_statement(paper, seen, self._clock.now())
        self._remember(known, examination.shown)
        return replace(examination, not_checked=(*told(known.start), *examination.not_checked))

    def sign_statement(
        self, paper: StatementPaper, officer: DocumentSigner, signed: Envelope | None = None
    ) -> Envelope:
        """The statement with this officer's signature, beside those that `signed` carries already.

        Raises:
            StatementAuthor: the key is no officer's.
            StatementMismatch: `signed` carries another statement than the paper.
            CustodyError: as `examine_statement`.
        """
        found = self.examine_statement(paper)
        check_signer(found.charter, officer.public_key)
        signed_so_far(signed, found.statement, found.quorum)
        return add_signature(signed or sign(found.statement), officer)


def told(start: SnapshotStart | None) -> tuple[str, ...]:
    """What whoever works with a station is told for ever, when it has not folded the log from its first entry on."""
    if start is None:
        return ()
    names = " and ".join(start.officers)
    return (f"the first {start.size} entries of the log: this station began with a snapshot that {names} confirmed",)


def _remembering(known: StationState, *, witnessed_at: int, start: SnapshotStart | None) -> StationState:
    """Whom a station trusts, as before, and what has changed."""
    return StationState(
        network=known.network,
        origin=known.origin,
        charter=known.charter,
        charter_version=known.charter_version,
        witnessed_at=witnessed_at,
        start=start,
    )


def speaker(found: Examination, key: bytes, verdict: Opinion) -> Person:
    """The officer whose raw public key this is, when that officer may say `verdict` to a transfer.

    Raises:
        TransferOver: it is confirmed already.
        ApprovalAuthor: the key is no officer's.
        ApprovalSelf: the officer asked for this transfer.
    """
    refuse_settled(found)
    person = next((each for each in found.charter.people if each.key == key), None)
    if person is None or not person.has_role(Role.OFFICER):
        name = "nobody" if person is None else person.name
        raise ApprovalAuthor(officer=name, problem="this key is no officer's of the charter")
    if person.name == found.request.requester and verdict is Opinion.APPROVE:
        raise ApprovalSelf(officer=person.name)
    return person


def refuse_settled(found: Examination) -> None:
    """Pass when a transfer still waits for what people say to it. It may be examined long after.

    Raises:
        TransferOver: it is confirmed.
    """
    if found.transfer.status is Status.CONFIRMED:
        raise over(found.transfer)


def compare_vault(charter: Charter, name: str, descriptor: str) -> Vault:
    """The charter's vault called `name`, when `descriptor` is its text.

    Raises:
        VaultMismatch: the descriptor is another vault's: it was swapped.
    """
    own = charter.vault(name)
    given = Vault.parse(descriptor, charter.network)
    if given.id != own.id:
        raise VaultMismatch(what=f"the descriptor given for {name}", expected=own.id.hex(), actual=given.id.hex())
    return own
