"""Who stands behind a root? The log's signature on it, and the cosignatures of witnesses.

A checkpoint is three lines: the log's name, its size, its root. It travels as a signed note, whose signature lines name
a key and carry the first bytes of that key's digest. A verifier looks only for lines of keys it was given:

1. The note is read in its one spelling: base64 and decimals are canonical, and each key has at most one line.
2. A line whose name and key id belong to no given key is passed over.
3. A line of a given key that does not verify refuses the whole note.
4. The log's own line must be there, and the first line must be the log's name.
5. A witness's line counts once for each raw public key, with the time it states.

A witness itself follows one rule, `witness`: never cosign a size smaller than one it has cosigned, never another root
for the same size, and a larger size only with a proof that it extends the earlier one.

Times are Unix seconds. Keeping a witness's state, asking witnesses and choosing whom to believe stand elsewhere.

Sources: C2SP signed-note, tlog-checkpoint, tlog-cosignature (Ed25519, v1) and tlog-witness.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from custody.envelope import DocumentSigner, SigInvalid, check_public_key, show_key, verify_ed25519
from custody.errors import IntegrityError, InvalidInput
from custody.log.merkle import EMPTY_ROOT, HASH_SIZE, verify_consistency
from custody.record import TextForbidden, check_text

MAX_CHECKPOINT: Final = 256 * 1024
"""Characters of the longest note that is read; C2SP asks for room for 16 signatures of 5 kB."""
MAX_SIGNATURES: Final = 100
MAX_SIZE: Final = 2**53 - 1
MAX_TIME: Final = 4_102_444_799
"""Unix seconds, the last of the year 2099: what is said to be later is no time at which anybody saw anything."""


class CheckpointInvalid(InvalidInput, code="CHECKPOINT_INVALID"):
    """A checkpoint that is damaged, of another log, or not signed by those it should be."""

    message = "not a valid checkpoint: {problem}"
    hint = "Get the checkpoint again from the log or a witness, and compare the log's name and key with the charter's."
    problem: str


class WitnessConflict(IntegrityError, code="WITNESS_CONFLICT"):
    """A checkpoint that cannot stand beside one already cosigned."""

    message = "size {size} with root {root} conflicts with size {seen_size} and root {seen_root}, cosigned earlier"
    hint = (
        "Do not cosign. An older file given by mistake does no harm: take the newest (custody log checkpoint). If this "
        "is the newest, the log was cut short, restored from an old copy or shows two histories: keep this checkpoint "
        "as evidence and call the institution and the other witnesses."
    )
    size: int
    root: str
    seen_size: int
    seen_root: str


class SignatureType(IntEnum):
    """What a key signs in notes; the byte is part of the key id. Source: C2SP signed-note, signature types."""

    LOG = 1
    """Ed25519 over the note's text."""
    COSIGNATURE = 4
    """Ed25519 over a time and the note's text (cosignature/v1)."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key under a name, as verifiers of notes are given it.

    Raises:
        CheckpointInvalid: the name is empty, over 200 characters, or holds a space, a plus or anything unsafe to show.
        KeyInvalid: the key is not a usable Ed25519 public key.
    """

    name: str
    signature_type: SignatureType
    public_key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        check_public_key(self.public_key)

    @classmethod
    def parse(cls, text: str) -> NoteKey:
        """Read `name+<key id>+<key>`, as `str()` writes it.

        Raises:
            CheckpointInvalid: it is not such a text, or of another signature type, or its key id is wrong.
            KeyInvalid: the key is not a usable Ed25519 public key.
        """
        parts = text.split("+", 2)
        if len(parts) != 3:  # noqa: PLR2004 - name, id, key; the key may hold further plus signs
            raise CheckpointInvalid(problem="a verifier key is name+id+key")
        material = _from_base64(parts[2], "the verifier key")
        if not material or material[0] not in {each.value for each in SignatureType}:
            raise CheckpointInvalid(problem="the verifier key is of another signature type")
        key = cls(name=parts[0], signature_type=SignatureType(material[0]), public_key=material[1:])
        if key.key_id.hex() != parts[1]:
            raise CheckpointInvalid(problem="the verifier key's id is not that of its name and key")
        return key

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that stand before this key's signatures. A hint, never a proof of identity."""
        named = self.name.encode("utf-8") + b"\n" + bytes((self.signature_type,)) + self.public_key
        return hashlib.sha256(named).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes((self.signature_type,)) + self.public_key)}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A signature line, by whoever it may be: a name, a 4-byte key id, and the signature's bytes."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """The line, with its line feed."""
        return f"{_DASH} {self.name} {_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log `origin` had `size` entries and this root.

    Raises:
        CheckpointInvalid: the origin is no name, the size is out of range, the root is not 32 bytes, or the log is
            empty and the root is another than that of no entries.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_name(self.origin)
        if not 0 <= self.size <= MAX_SIZE:
            raise CheckpointInvalid(problem="its size is out of range")
        if len(self.root) != HASH_SIZE:
            raise CheckpointInvalid(problem="its root is not 32 bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise CheckpointInvalid(problem="a log without entries has another root")

    def body(self) -> str:
        """The text that is signed: three lines, each with its line feed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint and the signature lines under it, none of them verified yet."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]

    @classmethod
    def parse(cls, text: str) -> SignedCheckpoint:
        """Read a note in its one spelling; `text()` gives the same text again.

        Raises:
            CheckpointInvalid: not a signed note, not three lines, or two lines by one key.
        """
        body, signatures = split_note(text)
        lines = body.split("\n")
        # Extension lines are allowed by C2SP but no reader of the log could check what they say.
        if len(lines) != 4 or not _DECIMAL.fullmatch(lines[1]):  # noqa: PLR2004 - three lines, each ended
            raise CheckpointInvalid(problem="it is not three lines: the log's name, its size, its root")
        root = _from_base64(lines[2], "the root")
        return cls(Checkpoint(origin=lines[0], size=int(lines[1]), root=root), signatures)

    def text(self) -> str:
        """The signed note."""
        return self.checkpoint.body() + "\n" + "".join(each.line() for each in self.signatures)

    def with_signature(self, signature: NoteSignature) -> SignedCheckpoint:
        """The same with one more line; an earlier line by the same key is replaced."""
        kept = tuple(each for each in self.signatures if _key_of(each) != _key_of(signature))
        return replace(self, signatures=(*kept, signature))


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's raw public key, and when it says it saw the checkpoint (Unix seconds)."""

    key: bytes
    time: int


@dataclass(frozen=True, slots=True)
class WitnessState:
    """What one rule for witnesses turns on: the last size and root that one of them cosigned."""

    size: int
    root: bytes


def check_name(name: str) -> str:
    """`name` itself when it can name a log or a witness: no spaces, no plus, safe to show.

    C2SP allows any other character; we allow what may stand on a screen, for lines of strangers too.

    Raises:
        CheckpointInvalid: it is empty or holds something else.
    """
    try:
        check_text(name)
    except TextForbidden as error:
        raise CheckpointInvalid(problem=f"a name holds {error.what}") from None
    if not name or " " in name or "+" in name:
        raise CheckpointInvalid(problem="a name is empty or holds a space or a plus")
    return name


def sign_checkpoint(checkpoint: Checkpoint, name: str, signer: DocumentSigner) -> SignedCheckpoint:
    """The checkpoint with the log's own signature.

    Raises:
        CheckpointInvalid: the name is not the checkpoint's origin.
        SigInvalid: the signer returned something that is not its signature.
    """
    if name != checkpoint.origin:
        raise CheckpointInvalid(problem=f"the log {checkpoint.origin} does not sign as {name[:40]!a}")
    key = NoteKey(name, SignatureType.LOG, signer.public_key)
    signature = _sign(signer, checkpoint.body().encode("utf-8"))
    return SignedCheckpoint(checkpoint, (NoteSignature(name, key.key_id, signature),))


def cosign(signed: SignedCheckpoint, name: str, signer: DocumentSigner, time: int) -> SignedCheckpoint:
    """The checkpoint with a witness's cosignature/v1 at `time` (Unix seconds). First ask `witness` whether it may.

    Raises:
        CheckpointInvalid: the name or the time is out of range.
        SigInvalid: the signer returned something that is not its signature.
    """
    if not 0 <= time <= MAX_TIME:
        raise CheckpointInvalid(problem="a cosignature's time is out of range")
    key = NoteKey(name, SignatureType.COSIGNATURE, signer.public_key)
    signature = _sign(signer, _cosigned(signed.checkpoint.body(), time))
    return signed.with_signature(NoteSignature(name, key.key_id, time.to_bytes(8, "big") + signature))


def verify_checkpoint(signed: SignedCheckpoint, origin_name: str, origin_key: bytes) -> Checkpoint:
    """The checkpoint, signed by the log's own key; whoever cosigned it is for `witnesses_of`.

    Raises:
        CheckpointInvalid: it is another log's, unsigned, or the signature does not verify.
        KeyInvalid: the log's key is not a usable Ed25519 public key.
    """
    if signed.checkpoint.origin != origin_name:
        raise CheckpointInvalid(problem=f"it is of the log {signed.checkpoint.origin}, expected {origin_name}")
    verify_note(signed.checkpoint.body(), signed.signatures, NoteKey(origin_name, SignatureType.LOG, origin_key))
    return signed.checkpoint


def split_note(text: str) -> tuple[str, tuple[NoteSignature, ...]]:
    """The text that is signed, with its last line feed, and the signature lines. Source: C2SP signed-note, format.

    Raises:
        CheckpointInvalid: not a signed note in its one spelling, or two lines by one key.
    """
    if len(text) > MAX_CHECKPOINT:
        raise CheckpointInvalid(problem=f"it is longer than {MAX_CHECKPOINT} characters")
    body, blank, tail = text.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise CheckpointInvalid(problem="it has no signatures")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise CheckpointInvalid(problem=f"it has more than {MAX_SIGNATURES} signatures")
    signatures = tuple(_read_signature(line) for line in lines)
    if len({_key_of(each) for each in signatures}) != len(signatures):
        raise CheckpointInvalid(problem="it has two signatures by one key")
    return body + "\n", signatures


def verify_note(body: str, signatures: Sequence[NoteSignature], key: NoteKey) -> None:
    """Check that `key`, of the type that signs whole notes, has signed the text.

    Raises:
        CheckpointInvalid: there is no line by this key, or it does not verify.
    """
    for each in _lines_of(signatures, key):
        if not verify_ed25519(key.public_key, body.encode("utf-8"), each.signature):
            raise CheckpointInvalid(problem=f"the signature of {key.name} does not verify")
        return
    raise CheckpointInvalid(problem=f"{key.name} has not signed it")


def witnesses_of(signed: SignedCheckpoint, witnesses: Mapping[str, bytes]) -> tuple[Cosignature, ...]:
    """The good cosignatures by `witnesses` (name to raw public key), in order of name, each raw key once.

    Strangers' lines are passed over, and so is the log's own. Verify that with `verify_checkpoint`. Lines that are not
    good are passed over too, or one witness could spoil what all others say; `faults_of` names them. Source: C2SP
    signed-note, verifying signatures.

    Raises:
        KeyInvalid: one of the keys is not a usable Ed25519 public key.
    """
    found: dict[bytes, Cosignature] = {}
    for key, line, fault in _cosigned_lines(signed, witnesses):
        if fault is None:
            time = int.from_bytes(line.signature[:8], "big")
            found.setdefault(key.public_key, Cosignature(key=key.public_key, time=time))
    return tuple(found.values())


def faults_of(signed: SignedCheckpoint, witnesses: Mapping[str, bytes]) -> dict[str, str]:
    """What is wrong with lines of `witnesses` that do not count, by name."""
    return {key.name: fault for key, _, fault in _cosigned_lines(signed, witnesses) if fault is not None}


def with_cosignatures_of(
    known: SignedCheckpoint, other: SignedCheckpoint, witnesses: Mapping[str, bytes]
) -> SignedCheckpoint:
    """The checkpoint with the good cosignatures of another copy of it; one that is not good takes no other's place."""
    for _, line, fault in _cosigned_lines(other, witnesses):
        if fault is None:
            known = known.with_signature(line)
    return known


def _cosigned_lines(
    signed: SignedCheckpoint, witnesses: Mapping[str, bytes]
) -> Iterator[tuple[NoteKey, NoteSignature, str | None]]:
    """Each line by one of `witnesses`, in order of name, with its key, and what is wrong with it."""
    body = signed.checkpoint.body()
    for name in sorted(witnesses):
        key = NoteKey(name, SignatureType.COSIGNATURE, witnesses[name])
        for each in _lines_of(signed.signatures, key):
            yield key, each, _fault_of(each.signature, key, body)


def _fault_of(cosignature: bytes, key: NoteKey, body: str) -> str | None:
    time = int.from_bytes(cosignature[:8], "big")
    if not verify_ed25519(key.public_key, _cosigned(body, time), cosignature[8:]):
        return "its cosignature does not verify"
    return "its cosignature is of an impossible time" if time > MAX_TIME else None


def witness(
    state: WitnessState | None,
    signed: SignedCheckpoint,
    proof: Sequence[bytes],
    origin_name: str,
    origin_key: bytes,
) -> WitnessState:
    """What a witness remembers once it has cosigned `signed`. Store it before the cosignature leaves.

    `state` is what it remembers of this log, `None` at first; `proof` leads from there to the checkpoint. Two
    checkpoints must not be judged on one state at the same time: the later write would forget the earlier.

    Raises:
        CheckpointInvalid: not signed by this log's key.
        WitnessConflict: smaller than what was cosigned, or the same size with another root.
        ProofInvalid: larger, but not proved to extend it.
    """
    checkpoint = verify_checkpoint(signed, origin_name, origin_key)
    if state is None:
        state = WitnessState(size=0, root=EMPTY_ROOT)
    is_same_size = checkpoint.size == state.size
    if checkpoint.size < state.size or (is_same_size and checkpoint.root != state.root):
        raise WitnessConflict(
            size=checkpoint.size, root=checkpoint.root.hex(), seen_size=state.size, seen_root=state.root.hex()
        )
    verify_consistency(state.size, state.root, checkpoint.size, checkpoint.root, proof)
    return WitnessState(size=checkpoint.size, root=checkpoint.root)


_DASH: Final = "\u2014"
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_LINE: Final = re.compile(rf"{_DASH} ([^ ]+) ([A-Za-z0-9+/=]+)")


def _read_signature(line: str) -> NoteSignature:
    match = _LINE.fullmatch(line)
    if match is None:
        raise CheckpointInvalid(problem="a signature line is damaged")
    data = _from_base64(match[2], "a signature")
    if len(data) <= 4:  # noqa: PLR2004 - the key id, then the signature
        raise CheckpointInvalid(problem="a signature line is too short")
    return NoteSignature(name=check_name(match[1]), key_id=data[:4], signature=data[4:])


def _key_of(signature: NoteSignature) -> tuple[str, bytes]:
    return signature.name, signature.key_id


def _lines_of(signatures: Sequence[NoteSignature], key: NoteKey) -> Iterator[NoteSignature]:
    wanted = (key.name, key.key_id)
    return (each for each in signatures if _key_of(each) == wanted)


def _cosigned(body: str, time: int) -> bytes:
    """What a witness signs. Source: C2SP tlog-cosignature, Ed25519 signed message."""
    return f"cosignature/v1\ntime {time}\n{body}".encode()


def _sign(signer: DocumentSigner, message: bytes) -> bytes:
    signature = signer.sign(message)
    if not verify_ed25519(signer.public_key, message, signature):
        raise SigInvalid(whose=show_key(signer.public_key), problem="the signer returned something else")
    return signature


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise CheckpointInvalid(problem=f"{what} is not base64") from None
    if _base64(data) != text:
        raise CheckpointInvalid(problem=f"{what} is base64 in another spelling")
    return data
