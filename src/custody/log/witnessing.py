"""What a witness is given, and when it answers.

A witness remembers the frontier of the log as it last cosigned it. It is given a signed checkpoint and the leaf hashes
from some size on, skips those that it has seen, and sees for itself that the rest leads from what it remembers to the
checkpoint's root; only then does it add its cosignature. It sees no bodies and judges no transfers: it makes sure that
there is one history.

A request therefore grows with what is new and not with the log. Whoever makes it need not know how far the witness is:
what begins too early costs a few hashes, what begins too late is refused with the size it should begin at.

Source: C2SP tlog-witness, with the log's leaf hashes in place of a proof, because files travel and cannot be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import Field

from custody.envelope import DocumentSigner
from custody.errors import InvalidInput
from custody.log.checkpoint import NoteKey, SignatureType, SignedCheckpoint, WitnessState, cosign, witness
from custody.log.merkle import Frontier, ProofInvalid
from custody.record import Digest, FileRecord
from custody.units import Count

MAX_LEAVES: Final = 500_000
"""Leaf hashes of one request, some 34 MB. A witness that is further behind is brought along by several."""


class WitnessBehind(InvalidInput, code="WITNESS_BEHIND"):
    """A request that begins after the last entry that the witness has seen."""

    message = "this witness has seen {size} entries, and the request begins after the first {since}"
    hint = "Have the coordinator make it for this witness: custody log checkpoint --since {size} -o FILE."
    size: int
    since: int


class WitnessRequest(FileRecord):
    """A signed checkpoint (C2SP note) and the hashes of the leaves under it, without the first `since`."""

    kind: ClassVar[str] = "witness-request"

    checkpoint: Annotated[str, Field(max_length=100_000)]
    since: Count
    leaves: Annotated[tuple[Digest, ...], Field(max_length=MAX_LEAVES)]

    def signed(self) -> SignedCheckpoint:
        """The checkpoint, its signatures not verified yet.

        Raises:
            CheckpointInvalid: the text is none.
            ProofInvalid: it stands over another number of leaves.
        """
        signed = SignedCheckpoint.parse(self.checkpoint)
        if self.since + len(self.leaves) != signed.checkpoint.size:
            raise _wrong_leaves(signed)
        return signed


@dataclass(frozen=True, slots=True)
class LogKey:
    """Which log a witness follows: its name and its raw Ed25519 key."""

    origin: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The cosigned checkpoint, and what the witness must remember before it leaves."""

    signed: SignedCheckpoint
    state: Frontier


def answer(
    request: WitnessRequest, state: Frontier | None, log: LogKey, name: str, signer: DocumentSigner, time: int
) -> Witnessed:
    """Cosign `request`'s checkpoint as the witness `name` at `time` (Unix seconds), if it extends what was seen.

    `state` is the log as far as this witness has seen it, `None` before its first checkpoint.

    Raises:
        CheckpointInvalid: not signed by this log.
        WitnessBehind: the request begins after what was seen.
        WitnessConflict: smaller than what was cosigned before, or another history of the same size.
        ProofInvalid: the leaves are not those under the checkpoint, or it does not extend what was cosigned.
    """
    signed = request.signed()
    known = state or Frontier()
    if request.since > known.size:
        raise WitnessBehind(size=known.size, since=request.since)
    new = request.leaves[known.size - request.since :]
    witness(WitnessState(known.size, known.root), signed, known.consistency(new), log.origin, log.key)
    extended = known.extend(new)
    # A log of which nothing was seen needs no proof, so that its leaves come to this root is for this line to say.
    if extended.root != signed.checkpoint.root:
        raise _wrong_leaves(signed)
    return Witnessed(cosign(signed, name, signer, time), extended)


def refuse_wrong_root(request: WitnessRequest) -> None:
    """Pass when the request's leaves lead to its checkpoint's root, as far as that shows: from the first leaf on.

    Raises:
        CheckpointInvalid: the checkpoint is none.
        ProofInvalid: they do not.
    """
    signed = request.signed()
    if request.since == 0 and Frontier.of(request.leaves).root != signed.checkpoint.root:
        raise _wrong_leaves(signed)


def sizes_seen(notes: Iterable[str], witnesses: Mapping[str, bytes]) -> dict[str, int]:
    """How far each of `witnesses` (name to raw public key) has cosigned; 0 for one that has not.

    `notes` are signed checkpoints, the largest first, read as far as needed. No signature is verified: this says where
    a request should begin, and a witness that is elsewhere says so itself.
    """
    sizes = dict.fromkeys(witnesses, 0)
    missing = {(name, NoteKey(name, SignatureType.COSIGNATURE, key).key_id): name for name, key in witnesses.items()}
    for note in notes:
        signed = SignedCheckpoint.parse(note)
        for line in signed.signatures:
            name = missing.pop((line.name, line.key_id), None)
            if name is not None:
                sizes[name] = signed.checkpoint.size
        if not missing:
            break
    return sizes


def _wrong_leaves(signed: SignedCheckpoint) -> ProofInvalid:
    claim = f"the leaves under a checkpoint of {signed.checkpoint.size} entries"
    return ProofInvalid(claim=claim, problem="they have another size or root")
