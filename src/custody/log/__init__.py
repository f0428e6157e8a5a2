"""What happened, in which order, and can anybody have changed it since?

The log is append-only. Three files say how:

    entry.py       what one entry is: a small head that stays for ever, and a body that may be withheld or erased
    merkle.py      how entries become one root, and the proofs between roots (RFC 6962, RFC 9162)
    checkpoint.py  who stands behind a root: the log's signature and the witnesses' cosignatures (C2SP)

What entries mean is for `history`, where they are kept for a store, which witnesses count for the charter.
"""

from custody.log.checkpoint import (
    Checkpoint,
    CheckpointInvalid,
    Cosignature,
    NoteKey,
    NoteSignature,
    SignatureType,
    SignedCheckpoint,
    WitnessConflict,
    WitnessState,
    check_name,
    cosign,
    faults_of,
    sign_checkpoint,
    split_note,
    verify_checkpoint,
    verify_note,
    with_cosignatures_of,
    witness,
    witnesses_of,
)
from custody.log.entry import (
    BodyWithheld,
    EntryHead,
    LogCorrupt,
    LogEntry,
    LogLine,
    body_digest,
    check_history,
    open_body,
    read_line,
    seal,
    withhold,
    write_line,
)
from custody.log.merkle import (
    EMPTY_ROOT,
    HASH_SIZE,
    Frontier,
    MerkleTree,
    NotInLog,
    ProofInvalid,
    hash_leaf,
    hash_node,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "BodyWithheld",
    "Checkpoint",
    "CheckpointInvalid",
    "Cosignature",
    "EntryHead",
    "Frontier",
    "LogCorrupt",
    "LogEntry",
    "LogLine",
    "MerkleTree",
    "NotInLog",
    "NoteKey",
    "NoteSignature",
    "ProofInvalid",
    "SignatureType",
    "SignedCheckpoint",
    "WitnessConflict",
    "WitnessState",
    "body_digest",
    "check_history",
    "check_name",
    "cosign",
    "faults_of",
    "hash_leaf",
    "hash_node",
    "open_body",
    "read_line",
    "seal",
    "sign_checkpoint",
    "split_note",
    "verify_checkpoint",
    "verify_consistency",
    "verify_inclusion",
    "verify_note",
    "with_cosignatures_of",
    "withhold",
    "witness",
    "witnesses_of",
    "write_line",
]
