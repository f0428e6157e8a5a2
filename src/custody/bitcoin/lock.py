"""What locks a coin, and what does spending it take: which script, what is signed and how, what goes into a witness?

A `Lock` is all that a signer, a check or a PSBT has to know about script types. There are two kinds: `WitnessScript`
is a multi-signature script of segwit v0, plain or inside P2SH, with ECDSA; `TapLeaf` is the one script of a taproot
output, with Schnorr. Each answers for itself, so that nobody else asks which it is.

Signatures sign the whole transaction: hash type ALL, which is written, or DEFAULT in taproot, which is not. Whose keys
these are, and whether a lock is a vault's, is decided in `vault/`. Keys are as the script has them: compressed (33
bytes) for ECDSA, x-only (32 bytes) for Schnorr.

Sources: BIP 141 and 143 (segwit v0), BIP 147 (its empty first item), BIP 341 and 342 (taproot), BIP 174 and 371 (PSBT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from custody.bitcoin import curve
from custody.bitcoin.key_paths import KeyPath, TapKeyPath
from custody.bitcoin.profile import ProfileInput, ProfileOutput
from custody.bitcoin.psbt_fields import InputField
from custody.bitcoin.script import p2sh, p2tr, p2wsh, push
from custody.bitcoin.sighash import ALL, Sighashes, tap_leaf_hash
from custody.bitcoin.taproot import SCHNORR_SIGNATURE, control_block, is_control_block, output_key

Origins = tuple[tuple[bytes, KeyPath], ...]
"""Keys as a lock names them, with their origins."""

_ECDSA_SIGNATURE: Final = 72
_ALL: Final = bytes([ALL])


class Lock(Protocol):
    """How one coin is locked. `script` is what its keys stand in, `script_pubkey` what the coin pays."""

    longest_signature: ClassVar[int]
    """Bytes of the longest signature with its hash type, if that is written."""

    @property
    def script(self) -> bytes: ...

    @property
    def script_pubkey(self) -> bytes: ...

    @property
    def script_sig(self) -> bytes:
        """What a spending input carries outside its witness."""

    @property
    def unheld(self) -> Origins:
        """Keys of the lock that nobody holds, with the origins that PSBTs give them."""

    def key(self, public_key: bytes) -> bytes:
        """What a compressed public key is called in the script and in PSBTs."""

    def key_path(self, path: KeyPath) -> KeyPath:
        """A key's origin as PSBTs carry it for this lock."""

    def signature_field(self, key: bytes) -> bytes:
        """The whole key, type included, of the PSBT field that holds a signature by `key`."""

    def input_fields(self, key_paths: Origins = ()) -> ProfileInput:
        """What a PSBT says to signers about an input that spends such a coin, but for the coin itself."""

    def output_fields(self, key_paths: Origins = ()) -> ProfileOutput:
        """What a PSBT says about an output that pays here."""

    def digest(self, sighashes: Sighashes, index: int) -> bytes:
        """The 32 bytes that signatures of input `index` sign."""

    def sign(self, secret: bytes, digest: bytes) -> bytes:
        """A signature as the witness takes it, the same on every run. Raises as `curve.sign_ecdsa`."""

    def fault(self, key: bytes, digest: bytes, signature: bytes) -> str | None:
        """What is wrong with a signature by `key`, in words, or None when it is good."""

    def witness(self, signatures: Sequence[bytes]) -> tuple[bytes, ...]:
        """The witness that spends; `signatures` are one for each key of the script, in its order, or empty."""


@dataclass(frozen=True, slots=True)
class WitnessScript:
    """A coin locked by the hash of a script: P2WSH, or P2WSH inside P2SH when `is_nested`. A `Lock`."""

    longest_signature: ClassVar[int] = _ECDSA_SIGNATURE
    """With low S (BIP 146); r may need 33 bytes."""

    unheld: ClassVar[Origins] = ()

    script: bytes
    is_nested: bool = False

    @property
    def redeem_script(self) -> bytes:
        """What the scriptSig pushes; empty for plain P2WSH."""
        return p2wsh(self.script) if self.is_nested else b""

    @property
    def script_pubkey(self) -> bytes:
        program = p2wsh(self.script)
        return p2sh(program) if self.is_nested else program

    @property
    def script_sig(self) -> bytes:
        return push(self.redeem_script) if self.is_nested else b""

    def key(self, public_key: bytes) -> bytes:
        return public_key

    def key_path(self, path: KeyPath) -> KeyPath:
        return path

    def signature_field(self, key: bytes) -> bytes:
        return bytes([InputField.PARTIAL_SIG]) + key

    def input_fields(self, key_paths: Origins = ()) -> ProfileInput:
        return ProfileInput(
            witness_script=self.script, redeem_script=self.redeem_script, key_paths=key_paths, sighash_type=ALL
        )

    def output_fields(self, key_paths: Origins = ()) -> ProfileOutput:
        return ProfileOutput(witness_script=self.script, redeem_script=self.redeem_script, key_paths=key_paths)

    def digest(self, sighashes: Sighashes, index: int) -> bytes:
        return sighashes.segwit_v0(index, self.script)

    def sign(self, secret: bytes, digest: bytes) -> bytes:
        return curve.sign_ecdsa(secret, digest) + _ALL

    def fault(self, key: bytes, digest: bytes, signature: bytes) -> str | None:
        der, hash_type = signature[:-1], signature[-1:]
        # `verify_ecdsa` is all of these rules but the hash type. Which one was broken is asked only when one was.
        if hash_type == _ALL and curve.verify_ecdsa(key, digest, der):
            return None
        if hash_type != _ALL:
            return f"hash type {hash_type.hex()} is not ALL"
        if not curve.is_strict_der(der):
            return "it is not strict DER (BIP 66)"
        return "it does not verify" if curve.is_low_s(der) else "its S is high (BIP 146)"

    def witness(self, signatures: Sequence[bytes]) -> tuple[bytes, ...]:
        # OP_CHECKMULTISIG takes one item too many, which must be empty (BIP 147).
        return (b"", *(signature for signature in signatures if signature), self.script)


@dataclass(frozen=True, slots=True)
class TapLeaf:
    """A coin locked by an x-only internal key and one tapscript under it. A `Lock`.

    `internal_path` is the origin that PSBTs give the internal key, or None when nothing is said of it.
    """

    longest_signature: ClassVar[int] = SCHNORR_SIGNATURE

    script: bytes
    internal_key: bytes
    internal_path: TapKeyPath | None = field(default=None, compare=False)
    leaf_hash: bytes = field(init=False, compare=False)
    control_block: bytes = field(init=False, compare=False)
    script_pubkey: bytes = field(init=False, compare=False)
    script_sig: ClassVar[bytes] = b""

    def __post_init__(self) -> None:
        leaf_hash = tap_leaf_hash(self.script)
        key, parity = output_key(self.internal_key, leaf_hash)
        object.__setattr__(self, "leaf_hash", leaf_hash)
        object.__setattr__(self, "control_block", control_block(self.internal_key, parity))
        object.__setattr__(self, "script_pubkey", p2tr(key))

    @property
    def unheld(self) -> Origins:
        return () if self.internal_path is None else ((self.internal_key, self.internal_path),)

    def key(self, public_key: bytes) -> bytes:
        return public_key[1:]

    def key_path(self, path: KeyPath) -> KeyPath:
        return TapKeyPath.of(path, self.leaf_hash)

    def signature_field(self, key: bytes) -> bytes:
        return bytes([InputField.TAP_SCRIPT_SIG]) + key + self.leaf_hash

    def input_fields(self, key_paths: Origins = ()) -> ProfileInput:
        # No hash type: absent means DEFAULT, and some signers would write any type that is asked for (BIP 371).
        return ProfileInput(
            leaf_script=self.script,
            control_block=self.control_block,
            internal_key=self.internal_key,
            merkle_root=self.leaf_hash,
            key_paths=key_paths,
        )

    def output_fields(self, key_paths: Origins = ()) -> ProfileOutput:
        return ProfileOutput(leaf_script=self.script, internal_key=self.internal_key, key_paths=key_paths)

    def digest(self, sighashes: Sighashes, index: int) -> bytes:
        return sighashes.tapscript(index, self.leaf_hash)

    def sign(self, secret: bytes, digest: bytes) -> bytes:
        return curve.sign_schnorr(secret, digest)

    def fault(self, key: bytes, digest: bytes, signature: bytes) -> str | None:
        if len(signature) != SCHNORR_SIGNATURE:
            return f"it has {len(signature)} bytes; {SCHNORR_SIGNATURE} are one of hash type DEFAULT"
        return None if curve.verify_schnorr(key, digest, signature) else "it does not verify"

    def witness(self, signatures: Sequence[bytes]) -> tuple[bytes, ...]:
        # The script's first key takes its signature from the top of the stack (BIP 342).
        return (*reversed(signatures), self.script, self.control_block)


def lock_of(claims: ProfileInput) -> Lock | None:
    """The lock that a PSBT says an input spends; None when its fields contradict each other."""
    if not claims.leaf_script:
        lock = WitnessScript(claims.witness_script, is_nested=bool(claims.redeem_script))
        return lock if claims.redeem_script == lock.redeem_script else None
    if not is_control_block(claims.control_block) or not curve.is_public_key(b"\x02" + claims.control_block[1:]):
        return None
    leaf = TapLeaf(claims.leaf_script, claims.control_block[1:])
    # Compared with what they must be: a field that is absent claims nothing.
    said = ((claims.control_block, leaf.control_block), (claims.merkle_root, leaf.leaf_hash))
    is_true = all(value == own for value, own in said) and claims.internal_key in {b"", leaf.internal_key}
    return leaf if is_true else None
