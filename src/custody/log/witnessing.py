"""What a witness is given, and when it answers.

A witness remembers one size and root. It is given a signed checkpoint and the leaf hashes under it, recomputes the
root, checks that what it remembers is a beginning of it, and only then adds its cosignature. It sees no bodies and
judges no transfers: it makes sure that there is one history.

Source: C2SP tlog-witness, with the log's leaf hashes in place of a proof, because files travel and cannot be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import Field

from custody.envelope import DocumentSigner
from custody.log.checkpoint import SignedCheckpoint, WitnessState, cosign, witness
from custody.log.merkle import MerkleTree, NotInLog, ProofInvalid
from custody.record import Digest, FileRecord

MAX_LEAVES: Final = 1_000_000


class WitnessRequest(FileRecord):
    """A signed checkpoint (C2SP note) and the hashes of all leaves under it."""

    kind: ClassVar[str] = "witness-request"

    checkpoint: Annotated[str, Field(max_length=100_000)]
    leaves: Annotated[tuple[Digest, ...], Field(max_length=MAX_LEAVES)]


@dataclass(frozen=True, slots=True)
class LogKey:
    """Which log a witness follows: its name and its raw Ed25519 key."""

    origin: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The cosigned checkpoint, and what the witness must remember before it leaves."""

    signed: SignedCheckpoint
    state: WitnessState


def answer(
    request: WitnessRequest, state: WitnessState | None, log: LogKey, name: str, signer: DocumentSigner, time: int
) -> Witnessed:
    """Cosign `request`'s checkpoint as the witness `name` at `time` (Unix seconds), if it extends what was seen.

    Raises:
        CheckpointInvalid: not signed by this log.
        ProofInvalid: the leaves are not those under the checkpoint.
        WitnessConflict: smaller than what was cosigned before, or another history.
    """
    signed = SignedCheckpoint.parse(request.checkpoint)
    tree = MerkleTree(request.leaves)
    size = signed.checkpoint.size
    if tree.size != size or tree.root() != signed.checkpoint.root:
        claim = f"the leaves under a checkpoint of {size} entries"
        raise ProofInvalid(claim=claim, problem="they have another size or root")
    try:
        proof = tree.consistency(state.size, size) if state is not None and state.size <= size else ()
    except NotInLog:
        proof = ()
    remembered = witness(state, signed, proof, log.origin, log.key)
    return Witnessed(cosign(signed, name, signer, time), remembered)
