"""What is a reader shown, and who has cosigned it?

1. checkpoint: the log as it stands, signed by the coordinator, with what a witness needs to follow it.
2. cosigned: what came back from a witness is kept; only the charter's witnesses count.
3. evidence and log_file: the log from where a reader has come to, under a checkpoint with enough witnesses.
4. examined: what our own log makes of a transfer, judged by the steps that every reader takes.

Witnesses take their time, so they are asked while nobody holds the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from custody.charter.document import Charter
from custody.clock import CLOCK_SKEW, Told, refuse_behind
from custody.envelope import DocumentSigner, Envelope
from custody.errors import CustodyError
from custody.examine.catchup import write_log
from custody.examine.confirmed import check_confirmed, joined, refuse_unsealed
from custody.examine.evidence import Evidence, Stage, evidence_of
from custody.examine.examination import Examination, examine_own
from custody.examine.shown import EvidenceInvalid, check_witnesses, needed_size, refuse_long
from custody.examine.snapshot import sealed_at, write_snapshot
from custody.log import (
    Checkpoint,
    CheckpointInvalid,
    Cosignature,
    NotInLog,
    SignedCheckpoint,
    faults_of,
    sign_checkpoint,
    verify_checkpoint,
    with_cosignatures_of,
    witnesses_of,
)
from custody.log.witnessing import MAX_LEAVES, WitnessBehind, WitnessRequest, sizes_seen
from custody.logbook import Logbook, all_previous, annex_of, read_entries
from custody.ports import Clock, StateChanged, Store
from custody.transfer.state import Status, unready


class Witness(Protocol):
    """Somebody who cosigns checkpoints, reached by whatever carrier."""

    def cosign(self, request: WitnessRequest) -> SignedCheckpoint:
        """The checkpoint with this witness's cosignature.

        Raises:
            WitnessConflict: it has seen another history.
            WitnessBehind: it has seen less than the request begins with.
        """


@dataclass(frozen=True, slots=True)
class Showing:
    """The log as others see it. `signer` is the coordinator's own key, `witnesses` those that can be reached."""

    store: Store
    logbook: Logbook
    clock: Clock
    signer: DocumentSigner
    witnesses: tuple[Witness, ...]

    def checkpoint(self, since: int | None = None) -> WitnessRequest:
        """A checkpoint of the log as it stands, signed, with the leaf hashes that a witness of size `since` needs.

        Without `since`, those that the witness who is furthest behind needs, as far as is known here. For one that is
        further behind than one request can hold it is a checkpoint of the log as it stood earlier.

        Raises:
            NotInLog: the log has fewer entries.
        """
        return self._request(self._furthest_behind() if since is None else since)

    def _furthest_behind(self) -> int:
        """How many entries the witness who has cosigned fewest has, as far as is known here."""
        return min(self.sizes_seen().values(), default=0)

    def _request(self, since: int, size: int | None = None) -> WitnessRequest:
        """The same up to `size` entries, or all."""
        with self.store.read() as view:
            charter = self.logbook.history_in(view).charter
            if since > view.size:
                raise NotInLog(index=since, size=view.size, entries=view.size)
            end = min(view.size if size is None else size, since + MAX_LEAVES)
            checkpoint, leaves = Checkpoint(charter.origin, end, view.root_at(end)), tuple(view.leaves(since, end))
        signed = sign_checkpoint(checkpoint, charter.origin, self.signer)
        return WitnessRequest(checkpoint=signed.text(), since=since, leaves=leaves)

    def sizes_seen(self) -> dict[str, int]:
        """How many entries each of the charter's witnesses has cosigned, by name, as far as is known here."""
        with self.store.read() as view:
            return sizes_seen(view.checkpoints(), self.logbook.history_in(view).charter.witness_keys)

    def cosigned(self, signed: SignedCheckpoint) -> tuple[Cosignature, ...]:
        """Keep a checkpoint that came back from a witness; which of the charter's witnesses stand under it.

        Lines of strangers, and lines that are not good, are left out.

        Raises:
            CheckpointInvalid: it is not this log's, or what a witness of the charter has put under it is not good.
            ClockSkew: a witness's clock is ahead of ours.
        """
        # No entry is made, so no told time is asked: a newer cosignature is what sets a wrong one right.
        with self.store.transaction() as transaction:
            charter = self.logbook.history_in(transaction).charter
            verify_checkpoint(signed, charter.origin, charter.coordinator)
            _refuse_ahead(signed, charter, self.clock.now())
            known = transaction.checkpoint(signed.checkpoint.size)
            merged = _merged(SignedCheckpoint.parse(known) if known else _alone(signed, charter), signed, charter)
            cosignatures = witnesses_of(merged, charter.witness_keys)
            _refuse_worthless(signed, charter)
            transaction.save_checkpoint(merged.text())
        return cosignatures

    def evidence(self, transfer_id: bytes, since: int = 0) -> Evidence:
        """The file for a reader who has seen `since` entries: the log from there, under a checkpoint that is cosigned.

        Raises:
            HistoryUnwitnessed: too few witnesses have cosigned a checkpoint that holds what the reader must see.
            EvidenceInvalid: the transfer was not decided yet, or the log is not that long.
            FileTooLong: the reader has to catch up first.
        """
        signed = self._witnessed_for(transfer_id, since)
        with self.store.read() as view:
            history = self.logbook.history_in(view)
            size = signed.checkpoint.size
            transfer = history.transfer(transfer_id)
            if transfer.decision is None:
                raise unready(transfer, "making evidence of it", Status.DECIDED)
            if since > size:
                raise EvidenceInvalid(problem=f"cannot be made for a reader of {since} entries: there are {size}")
            previous = all_previous(history, view, transfer.draft)
            annex = annex_of(history, view, transfer.request.annex)
        refuse_long(since, size)
        return evidence_of(transfer_id, signed, read_entries(self.store, since, size), since, previous, annex)

    def log_file(self, since: int = 0) -> Iterator[bytes]:
        """The log from entry `since` on, line by line, for readers who are new or far behind.

        Raises:
            HistoryUnwitnessed: there is none.
            NotInLog: it has fewer entries.
        """
        with self.store.read() as view:
            history = self.logbook.history_in(view)
            note = view.checkpoint()
        # As far as it goes, when nobody has to carry a file to a witness for it.
        can_ask = bool(self.witnesses) or not history.charter.witnesses
        signed = self._witnessed(note, history.charter, history.size if can_ask else 0)
        size = signed.checkpoint.size
        if since > size:
            raise NotInLog(index=since, size=size, entries=size)
        entries = read_entries(self.store, since, size)
        return write_log(history.charter_envelope, signed, entries, since)

    def snapshot(self, confirmations: Sequence[Envelope]) -> Iterator[bytes]:
        """The state that officers' stations have confirmed, and the log, line by line: for a station that is new.

        Raises:
            SnapshotUnconfirmed, SnapshotDiffers: too few have, or they confirm different states.
            HistoryForked: they confirm what is not this log's.
            HistoryUnwitnessed: too few witnesses have cosigned a checkpoint that holds the seal.
            StateGone: it was sealed too long ago.
            SealBroken: the rows that stand here are not those that were sealed.
        """
        with self.store.read() as view:
            history = self.logbook.history_in(view)
            note = view.checkpoint()
        charter = history.charter
        envelope = joined(confirmations, charter)
        confirmed, _ = check_confirmed(envelope, charter)
        refuse_unsealed(confirmed, history)
        signed = self._witnessed(note, charter, confirmed.size + 1)
        rows = sealed_at(confirmed, self.store.sealed_rows(confirmed.size + 1))
        entries = read_entries(self.store, 0, signed.checkpoint.size)
        return write_snapshot(history.charter_envelope, signed, envelope, rows, entries)

    def examined(self, transfer_id: bytes, stage: Stage) -> Examination:
        """What our own log makes of a transfer, judged as every station judges it; raises as `examine`."""
        signed = self._witnessed_for(transfer_id)
        with self.store.read() as view:
            history = self.logbook.history_in(view)
            transfer = history.transfer(transfer_id)
            previous = all_previous(history, view, transfer.draft)
        return examine_own(transfer, history, signed, previous, stage, self.clock.now())

    def _witnessed_for(self, transfer_id: bytes, since: int = 0) -> SignedCheckpoint:
        """A checkpoint with enough witnesses that holds all that a judge of this transfer must see."""
        with self.store.read() as view:
            history = self.logbook.history_in(view)
            charter, needed = history.charter, max(since, needed_size(history, transfer_id))
            note = view.checkpoint()
        return self._witnessed(note, charter, needed)

    def _witnessed(self, note: str | None, charter: Charter, needed: int) -> SignedCheckpoint:
        """The checkpoint in `note`, or a fresh one when it holds too little or too few stand under it."""
        signed = SignedCheckpoint.parse(note) if note else None
        if signed is None or signed.checkpoint.size < needed or not _is_witnessed(signed, charter):
            signed = self._cosigned_now()
        check_witnesses(signed, charter)
        return signed

    def _cosigned_now(self) -> SignedCheckpoint:
        """A fresh checkpoint with the good cosignatures of every witness that can be reached from here.

        Raises:
            CustodyError: what the first witness said that refused or failed, when the others are too few.
        """
        with self.store.read() as view:
            size, charter = view.size, self.logbook.history_in(view).charter
        since = self._furthest_behind()
        signed, failed = self._request(size, size).signed(), list[CustodyError]()
        for witness in self.witnesses:
            try:
                cosigned = self._cosigned_by(witness, since, size)
                _refuse_ahead(cosigned, charter, self.clock.now())
                signed = _merged(signed, cosigned, charter)
            except CustodyError as error:
                failed.append(error)
        if failed and not _is_witnessed(signed, charter):
            raise failed[0]
        with self.store.read() as view:
            known = view.checkpoint(size)
        if known != signed.text():
            with self.store.transaction() as transaction:
                transaction.save_checkpoint(signed.text())
        return signed

    def _cosigned_by(self, witness: Witness, since: int, size: int) -> SignedCheckpoint:
        """The checkpoint of `size` entries as a witness cosigns it, who has perhaps to be brought along first."""
        try:
            request = self._request(since, size)
            answered = witness.cosign(request)
        except WitnessBehind as behind:
            request = self._request(behind.size, size)
            answered = witness.cosign(request)
        while (reached := request.signed().checkpoint.size) < size:
            request = self._request(reached, size)
            answered = witness.cosign(request)
        return answered


def witnessed_size(note: str | None, charter: Charter) -> int:
    """Entries under the signed checkpoint that is kept in `note`, when enough witnesses stand under it; else 0."""
    signed = None if note is None else SignedCheckpoint.parse(note)
    return signed.checkpoint.size if signed is not None and _is_witnessed(signed, charter) else 0


def _is_witnessed(signed: SignedCheckpoint, charter: Charter) -> bool:
    found = witnesses_of(signed, charter.witness_keys)
    return len(found) >= charter.witness_threshold


def _alone(signed: SignedCheckpoint, charter: Charter) -> SignedCheckpoint:
    """The checkpoint with its log's own line only."""
    return replace(signed, signatures=tuple(each for each in signed.signatures if each.name == charter.origin))


def _refuse_worthless(signed: SignedCheckpoint, charter: Charter) -> None:
    """Pass when a good line stands under a checkpoint, or none at all: then it is only not cosigned yet.

    Raises:
        CheckpointInvalid: what stands there is not good.
    """
    if witnesses_of(signed, charter.witness_keys):
        return
    faults = faults_of(signed, charter.witness_keys)
    if faults:
        raise CheckpointInvalid(problem="; ".join(f"of {name}, {fault}" for name, fault in faults.items()))


def _refuse_ahead(signed: SignedCheckpoint, charter: Charter, now: int) -> None:
    """Pass when no witness's clock is ahead of ours: kept, its time would be told to everybody, and wait to come.

    Raises:
        ClockSkew: one is.
    """
    for name, key in sorted(charter.witness_keys.items()):
        for each in witnesses_of(signed, {name: key}):
            refuse_behind(now, [Told(f"the witness {name} cosigned the log at", each.time, CLOCK_SKEW)])


def _merged(known: SignedCheckpoint, other: SignedCheckpoint, charter: Charter) -> SignedCheckpoint:
    """One checkpoint with the good cosignatures of both.

    Raises:
        StateChanged: they are different checkpoints.
    """
    if known.checkpoint != other.checkpoint:
        raise StateChanged(
            what="the checkpoint", expected=known.checkpoint.root.hex(), actual=other.checkpoint.root.hex()
        )
    return with_cosignatures_of(known, other, charter.witness_keys)
