"""Who signed this document? DSSE envelopes with Ed25519 signatures, checked by our own rules.

An envelope carries the bytes of one record and the signatures over them. What is signed is DSSE's pre-authentication
encoding, which includes the kind of the record, so a signature on one kind never passes for another.

The rules, in the order they are applied:

1. The payload type is exactly that of the record expected.
2. Signatures stand in the order of their keys, one for each key: one set of signatures has one spelling.
3. A signature is looked up by the keys the caller trusts. Key ids inside the envelope never add trust.
4. An Ed25519 signature counts when R and the key are canonical encodings of points that are not of small order, S is
   below the group order, and the equation without cofactor holds (RFC 8032, 5.1.7, made strict).
5. A known key with a signature that does not verify refuses the whole envelope; unknown keys are passed over.
6. Only then is the payload read as a record.

People are counted by raw public key: the same key as an SSH line, as PEM and as hexadecimal is one key. Whether enough
people signed is for `quorum` to say, and who may sign is for the charter.

Sources: DSSE v1.0.2 (secure-systems-lab/dsse, protocol.md and envelope.md), RFC 8032, RFC 8410, RFC 4253 and RFC 8709.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Container, Iterable, Sequence
from functools import cached_property
from typing import Annotated, Final, Protocol, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, Field

from custody.errors import InvalidInput
from custody.record import Record, SecretMaterial, read

MAX_SIGNATURES: Final = 200
"""Signatures one envelope may carry, so that checking one is bounded."""

R = TypeVar("R", bound=Record)


class KeyInvalid(InvalidInput, code="KEY_INVALID"):
    """Text or bytes that are not a usable Ed25519 public key."""

    message = "not a usable Ed25519 public key: {problem}"
    hint = "Give an Ed25519 public key as 64 hexadecimal digits, as an 'ssh-ed25519' line, or as PEM."
    problem: str


class SigInvalid(InvalidInput, code="SIG_INVALID"):
    """A signature that is missing or does not verify."""

    message = "no valid signature by {whose}: {problem}"
    hint = (
        "Do not act on it. Get it again from the person whose signature it should carry, and ask them what they signed."
    )
    whose: str
    problem: str = "the signature does not verify"


class EnvelopeType(InvalidInput, code="ENVELOPE_TYPE"):
    """An envelope that carries another kind of document."""

    message = "the envelope carries {found}, expected {expected}"
    hint = "This is another kind of document, or one for another version of this program: check which file you gave."
    found: str
    expected: str


class DocumentSigner(Protocol):
    """What signs documents: a key file, a token, an HSM."""

    @property
    def public_key(self) -> bytes:
        """Raw Ed25519 public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature over `message`, 64 bytes."""


def _check_base64(text: str) -> str:
    _from_base64(text)
    return text


def _check_signature(text: str) -> str:
    if len(_from_base64(text)) != _SIGNATURE_SIZE:
        raise ValueError("expected a signature of 64 bytes")
    return text


_SIGNATURE_SIZE: Final = 64
_KEY_SIZE: Final = 32
_KEY_ID: Final = r"^[0-9a-f]{64}$"
_PAYLOAD_TYPE: Final = r"^[!-~]{1,120}$"


class EnvelopeSignature(Record):
    """One signature: `keyid` is the raw public key in lower-case hexadecimal, `sig` standard base64 of 64 bytes."""

    kind = "envelope-signature"

    keyid: Annotated[str, Field(pattern=_KEY_ID)]
    sig: Annotated[str, AfterValidator(_check_signature)]

    @property
    def public_key(self) -> bytes:
        """The key this signature claims to be by. A hint: nothing is proved before `verify`."""
        return bytes.fromhex(self.keyid)

    @property
    def signature(self) -> bytes:
        """64 bytes: R and S."""
        return _from_base64(self.sig)


def _sorted_by_key(signatures: tuple[EnvelopeSignature, ...]) -> tuple[EnvelopeSignature, ...]:
    if any(a.keyid >= b.keyid for a, b in itertools.pairwise(signatures)):
        raise ValueError("expected in ascending order of keyid, each once")
    return signatures


class Envelope(Record):
    """A record and its signatures, with the field names of DSSE's JSON envelope."""

    kind = "envelope"

    payload: Annotated[str, AfterValidator(_check_base64)]
    payloadType: Annotated[str, Field(pattern=_PAYLOAD_TYPE)]  # noqa: N815 - DSSE's own name
    signatures: Annotated[
        tuple[EnvelopeSignature, ...], Field(max_length=MAX_SIGNATURES), AfterValidator(_sorted_by_key)
    ]

    @cached_property
    def body(self) -> bytes:
        """The bytes that were signed, not checked in any way."""
        return _from_base64(self.payload)

    @property
    def claimed_keys(self) -> tuple[bytes, ...]:
        """Raw public keys the signatures claim to be by, in order. Nothing is proved before `verify`."""
        return tuple(signature.public_key for signature in self.signatures)


def payload_type(record_type: type[Record]) -> str:
    """The DSSE payload type of a kind of record: `application/vnd.custody.<kind>.v1+json`."""
    return f"application/vnd.custody.{record_type.kind}.v1+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed. Source: DSSE protocol.md, pre-authentication encoding."""
    named = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(named), named, len(payload), payload)


def sign(record: Record, *signers: DocumentSigner) -> Envelope:
    """An envelope of `record` signed by each of `signers`; a key given twice signs once.

    Raises:
        KeyInvalid: a signer's key is not a usable public key.
        SigInvalid: a signer returned something that is not its signature.
    """
    unsigned = Envelope(
        payload=base64.b64encode(record.to_bytes()).decode("ascii"),
        payloadType=payload_type(type(record)),
        signatures=(),
    )
    return _signed_by(unsigned, signers)


def add_signature(envelope: Envelope, signer: DocumentSigner) -> Envelope:
    """`envelope` with one more signature; an earlier one by the same key is replaced.

    It looks at no signature that is already there, and it does not read the payload: show that to the signer first.

    Raises:
        KeyInvalid: the signer's key is not a usable public key.
        SigInvalid: the signer returned something that is not its signature.
    """
    return _signed_by(envelope, (signer,))


def merged(copies: Sequence[Envelope], keys: Container[bytes]) -> Envelope:
    """The first of copies of one document, with the signatures by `keys` (raw public keys) that any of them has.

    It looks at no signature and reads no payload: whoever calls has compared the documents.
    """
    signatures = {each.keyid: each for copy in copies for each in copy.signatures if each.public_key in keys}
    first = copies[0]
    return Envelope(
        payload=first.payload,
        payloadType=first.payloadType,
        signatures=tuple(signatures[keyid] for keyid in sorted(signatures)),
    )


def check_type(envelope: Envelope, record_type: type[Record]) -> None:
    """Pass when `envelope` carries this kind of document.

    Raises:
        EnvelopeType: it carries another.
    """
    expected = payload_type(record_type)
    if envelope.payloadType != expected:
        raise EnvelopeType(found=ascii(envelope.payloadType), expected=expected)


def unsafe_payload(envelope: Envelope, record_type: type[R]) -> R:
    """The record inside, with no signature checked: to show it, or to learn which keys to check it with.

    Raises:
        EnvelopeType: it carries another kind of document.
        RecordInvalid, RecordNotCanonical: the payload is not such a record.
    """
    check_type(envelope, record_type)
    return read(record_type, envelope.body)


def verify(envelope: Envelope, record_type: type[R], keys: Iterable[bytes]) -> tuple[R, frozenset[bytes]]:
    """The record inside and who of `keys` (raw public keys) signed it, each key once and at least one of them.

    Raises:
        EnvelopeType: it carries another kind of document.
        SigInvalid: a signature by one of `keys` does not verify, or none of `keys` signed.
        RecordInvalid, RecordNotCanonical: the payload is not such a record.
    """
    check_type(envelope, record_type)
    body = envelope.body
    message = pae(envelope.payloadType, body)
    trusted = frozenset(keys)
    signed: set[bytes] = set()
    for each in envelope.signatures:
        key = each.public_key
        if key not in trusted:
            continue
        if not verify_ed25519(key, message, each.signature):
            raise SigInvalid(whose=show_key(key))
        signed.add(key)
    # Nobody having signed is never an answer a caller could overlook.
    if not signed:
        raise SigInvalid(whose=_show_keys(trusted), problem="none of the keys it should be signed by has signed it")
    return read(record_type, body), frozenset(signed)


def verify_one(envelope: Envelope, record_type: type[R], key: bytes) -> R:
    """The record inside, signed by `key` (a raw public key), whoever else signed it.

    Raises:
        EnvelopeType: it carries another kind of document.
        SigInvalid: `key` has not signed it, or its signature does not verify.
        RecordInvalid, RecordNotCanonical: the payload is not such a record.
    """
    record, _ = verify(envelope, record_type, (key,))
    return record


def unsafe_signers(envelope: Envelope, record_type: type[R]) -> tuple[bytes, ...]:
    """The raw keys that `envelope` itself names and that have signed it. Whose they are nobody has said: only to show.

    Raises:
        EnvelopeType: it carries another kind of document.
        SigInvalid: a signature does not verify by the key it names.
        RecordInvalid, RecordNotCanonical: the payload is not such a record.
    """
    claimed = envelope.claimed_keys
    return tuple(sorted(verify(envelope, record_type, claimed)[1])) if claimed else ()


def show_key(key: bytes) -> str:
    """A raw public key short enough for a message: its first 8 bytes in hexadecimal. Not an identity."""
    return f"key {key[:8].hex()}"


def check_public_key(key: bytes) -> bytes:
    """`key` itself when it is the canonical encoding of a point on the curve that is not of small order.

    Raises:
        KeyInvalid: it is something else. A key of small order verifies signatures nobody made.
    """
    if len(key) != _KEY_SIZE:
        raise KeyInvalid(problem=f"{len(key)} bytes where there should be {_KEY_SIZE}")
    y = _y_of(key)
    if y >= _P:
        raise KeyInvalid(problem="its encoding is not canonical")
    if y in _SMALL_ORDER_Y:
        raise KeyInvalid(problem="it is a point of small order")
    if not _is_on_curve(y):
        raise KeyInvalid(problem="it is not a point on the curve")
    return key


def parse_public_key(text: str) -> bytes:
    """Raw public key, 32 bytes, from hexadecimal, an `ssh-ed25519` line or PEM; the same key gives the same bytes.

    Raises:
        KeyInvalid: another algorithm, another form, or a key `check_public_key` refuses.
        SecretMaterial: the text holds a private key.
    """
    stripped = text.strip()
    for mark in _PRIVATE_MARKS:
        if mark in stripped:
            raise SecretMaterial(where="key", what="a private key")
    if re.fullmatch(r"[0-9a-fA-F]{64}", stripped):
        return check_public_key(bytes.fromhex(stripped))
    if stripped.startswith("-----BEGIN"):
        return check_public_key(_from_pem(stripped))
    return check_public_key(_from_ssh(stripped))


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes: R and S) over `message` is by `public_key` (32 bytes); False for malformed bytes.

    Stricter than RFC 8032: non-canonical encodings and points of small order are refused for the key and for R, so
    nobody can make a signature that holds for two messages or a second signature from a first one. The equation is
    the one without cofactor.
    """
    if len(public_key) != _KEY_SIZE or len(signature) != _SIGNATURE_SIZE:
        return False
    for point in (public_key, signature[:_KEY_SIZE]):
        y = _y_of(point)
        if y >= _P or y in _SMALL_ORDER_Y:
            return False
    if int.from_bytes(signature[_KEY_SIZE:], "little") >= _L:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


class Ed25519Signer:
    """Signs documents with a key held in memory. `seed` is the 32-byte private key of RFC 8032.

    Raises:
        ValueError: the seed is not 32 bytes.
    """

    __slots__ = ("_key", "_public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _KEY_SIZE:
            raise ValueError("an Ed25519 seed has 32 bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public_key = self._key.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """Raw public key, 32 bytes."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Signature over `message`, 64 bytes; the same every time (RFC 8032)."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"Ed25519Signer({show_key(self._public_key)})"


_P: Final = 2**255 - 19
"""The field: RFC 8032, 5.1."""
_L: Final = 2**252 + 27742317777372353535851937790883648493
"""Order of the prime-order subgroup: RFC 8032, 5.1."""
_D: Final = -121665 * pow(121666, -1, _P) % _P
_Y8: Final = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
# The eight points of small order have five y coordinates: 1 (order 1), -1 (order 2), 0 (order 4), and two of order 8.
_SMALL_ORDER_Y: Final = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})

_SPKI_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")
"""DER of SubjectPublicKeyInfo up to the 32 key bytes of Ed25519 (RFC 8410, 4); it has no other spelling."""
_SSH_PREFIX: Final = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]{1,4000})\r?\n-----END \1-----")
_PRIVATE_MARKS: Final = (
    "PRIVATE KEY",  # every PEM private key, OpenSSH's included
    "PRIVATE+KEY",  # signer keys of signed notes
    "PuTTY-User-Key-File",
    "b3BlbnNzaC1rZXktdjE",  # 'openssh-key-v1' with its armour lost
    "MC4CAQAwBQYDK2VwBCIE",  # PKCS#8 of an Ed25519 key with its armour lost
)


def _signed_by(envelope: Envelope, signers: Iterable[DocumentSigner]) -> Envelope:
    message = pae(envelope.payloadType, envelope.body)
    by_key = {each.keyid: each for each in envelope.signatures}
    for signer in signers:
        key = check_public_key(signer.public_key)
        signature = signer.sign(message)
        # A faulty or hostile signer is found here and not by whoever receives the envelope.
        if not verify_ed25519(key, message, signature):
            raise SigInvalid(whose=show_key(key), problem="the signer returned something else")
        encoded = base64.b64encode(signature).decode("ascii")
        by_key[key.hex()] = EnvelopeSignature(keyid=key.hex(), sig=encoded)
    return Envelope(
        payload=envelope.payload,
        payloadType=envelope.payloadType,
        signatures=tuple(by_key[keyid] for keyid in sorted(by_key)),
    )


def _show_keys(keys: frozenset[bytes]) -> str:
    if len(keys) == 1:
        return show_key(next(iter(keys)))
    return f"any of {len(keys)} keys"


def _from_base64(text: str) -> bytes:
    """Standard base64 (RFC 4648, 4) in its one spelling: padded, no line breaks, unused bits zero.

    Raises:
        ValueError: any other spelling. `binascii.Error` is one.
    """
    decoded = base64.b64decode(text, validate=True)
    if base64.b64encode(decoded).decode("ascii") != text:
        raise ValueError("expected base64 in its canonical spelling")
    return decoded


def _y_of(point: bytes) -> int:
    return int.from_bytes(point, "little") & ((1 << 255) - 1)


def _is_on_curve(y: int) -> bool:
    """Whether some x has this y: whether (y^2 - 1) / (d y^2 + 1) is a square (RFC 8032, 5.1.3)."""
    numerator, denominator = y * y - 1, _D * y * y + 1
    return pow(numerator * denominator, (_P - 1) // 2, _P) in {0, 1}


def _from_pem(text: str) -> bytes:
    match = _PEM.fullmatch(text)
    if match is None:
        raise KeyInvalid(problem="the PEM is damaged or holds more than one thing")
    if match[1] != "PUBLIC KEY":
        raise KeyInvalid(problem=f"the PEM is labelled {match[1]!r} and not 'PUBLIC KEY'")
    try:
        der = _from_base64("".join(match[2].split()))
    except ValueError:
        raise KeyInvalid(problem="the PEM is not base64") from None
    if not der.startswith(_SPKI_PREFIX) or len(der) != len(_SPKI_PREFIX) + _KEY_SIZE:
        raise KeyInvalid(problem="the PEM holds a key of another algorithm")
    return der[len(_SPKI_PREFIX) :]


def _from_ssh(text: str) -> bytes:
    words = text.split(maxsplit=2)
    if len(words) < 2 or "\n" in text or "\r" in text:  # noqa: PLR2004 - the algorithm, then the key
        raise KeyInvalid(problem="it is none of hexadecimal, an SSH line and PEM")
    if words[0] != "ssh-ed25519":
        # Shown only when it looks like an algorithm: it may be something private pasted in the wrong place.
        shown = words[0] if re.fullmatch(r"(?:ssh|sk|ecdsa)-[a-z0-9@.-]{1,60}", words[0]) else "given"
        raise KeyInvalid(problem=f"the algorithm {shown} is not ssh-ed25519")
    try:
        blob = _from_base64(words[1])
    except ValueError:
        raise KeyInvalid(problem="the SSH line is not base64") from None
    if not blob.startswith(_SSH_PREFIX) or len(blob) != len(_SSH_PREFIX) + _KEY_SIZE:
        raise KeyInvalid(problem="the SSH line does not hold an Ed25519 key")
    return blob[len(_SSH_PREFIX) :]
