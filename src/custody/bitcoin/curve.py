"""What secp256k1 says: is this a key, is this signature good, what is the child of that key.

The only door to libsecp256k1 (coincurve's build of it). Everything that crosses it is `bytes`: secrets, tweaks,
digests and x-only keys of 32, compressed public keys of 33, Schnorr signatures of 64, ECDSA signatures in DER without
the hash type byte.

What it does not do: it decides no digest (sighash.py) and no path (vault/), and keeps no secret.

One context serves every thread: the library only reads it, and each call has its own buffers, because the interpreter
lets other threads run during a native call. The context is not randomised. Blinding guards a device against whoever
measures its power while it signs; here it would need randomness, which the pure core does not have.

Sources: SEC 1 and 2, RFC 6979, BIP 32, BIP 66, BIP 146 (low S), BIP 340, BIP 341.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Self

from coincurve._libsecp256k1 import ffi, lib

from custody.errors import InvalidInput
from custody.units import check_index

ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Number of points of the curve, the `n` of SEC 2."""

_SECRET: Final = 32
_COMPRESSED: Final = 33
_COMPRESSED_FLAG: Final = lib.SECP256K1_EC_COMPRESSED
_MAX_DER: Final = 72
_SHA512_BLOCK: Final = 128
_CONTEXT: Final = ffi.gc(lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE), lib.secp256k1_context_destroy)


class PublicKeyInvalid(InvalidInput, code="PUBLIC_KEY_INVALID"):
    """Bytes that name no point of the curve. They are not shown: a private key in the wrong place is such bytes."""

    message = "these {size} bytes are not a compressed public key on secp256k1"
    hint = "Export the public key again from the device it came from; one wrong digit is enough."
    size: int


class ChildKeyInvalid(InvalidInput, code="CHILD_KEY_INVALID"):
    """The one child in 2^127 that BIP 32 says does not exist."""

    message = "this key has no child number {index} (BIP 32)"
    hint = "Use the next index instead."
    index: int


class PublicKey(bytes):
    """A compressed public key (33 bytes) that was derived here and still has its point.

    Verifying by it takes no square root, which is an eighth of verifying by its bytes alone. It is equal to those, and
    a copy of it is no more than those.
    """

    _point: ffi.CData

    @classmethod
    def _of(cls, compressed: bytes, point: ffi.CData) -> Self:
        self = cls(compressed)
        self._point = point
        return self

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (bytes(self),)


def is_public_key(public_key: bytes) -> bool:
    """Whether `public_key` is 33 bytes that name a point in compressed form."""
    return _parsed(public_key) is not None


def public_key(secret: bytes) -> bytes:
    """The compressed public key (33 bytes) of `secret` (32 bytes).

    Raises:
        ValueError: `secret` is not 32 bytes between 1 and n - 1. It is not shown.
    """
    point = ffi.new("secp256k1_pubkey *")
    if len(secret) != _SECRET or not lib.secp256k1_ec_pubkey_create(_CONTEXT, point, secret):
        raise ValueError("not a secret key")
    return _serialized(point)


def is_strict_der(signature: bytes) -> bool:
    """Whether `signature`, without its hash type byte, is in the one encoding BIP 66 allows.

    Encoding only: r and s may still be out of range.
    """
    if not 8 <= len(signature) <= _MAX_DER or signature[0] != 0x30 or signature[1] != len(signature) - 2:  # noqa: PLR2004
        return False
    r_size = signature[3]
    if 5 + r_size >= len(signature):
        return False
    s_size = signature[5 + r_size]
    if 6 + r_size + s_size != len(signature):
        return False
    return _is_strict_integer(signature[2 : 4 + r_size]) and _is_strict_integer(signature[4 + r_size :])


def is_low_s(signature: bytes) -> bool:
    """Whether `signature` (DER, without hash type) is strict and its s lies in 1 to n/2 (BIP 146).

    With s a signature, n - s is one too: without this rule anyone could change a signed transaction's witness.
    """
    if not is_strict_der(signature):
        return False
    s = int.from_bytes(signature[6 + signature[3] :], "big")
    return 1 <= s <= ORDER // 2


def nonce_of(signature: bytes) -> bytes:
    """The r of an ECDSA signature (strict DER, without hash type), 32 bytes: two equal ones give the key away.

    Raises:
        ValueError: the signature is not strict DER, or its r does not fit in 32 bytes.
    """
    if not is_strict_der(signature):
        raise ValueError("not a strict DER signature")
    r = int.from_bytes(signature[4 : 4 + signature[3]], "big")
    if r >= 1 << 256:
        raise ValueError("r does not fit in 32 bytes")
    return r.to_bytes(32, "big")


def verify_ecdsa(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` (DER, without hash type) by `public_key` (33 bytes) is good for `digest` (32 bytes).

    False unless it is strict DER, low S and both r and s are in 1 to n - 1. Bad bytes are a False, never an error.
    """
    if len(digest) != _SECRET or len(signature) > _MAX_DER:
        return False
    key = public_key._point if isinstance(public_key, PublicKey) else _parsed(public_key)  # noqa: SLF001
    parsed = ffi.new("secp256k1_ecdsa_signature *")
    if key is None or not lib.secp256k1_ecdsa_signature_parse_der(_CONTEXT, parsed, signature, len(signature)):
        return False
    # All rules are the library's own: it reads strict DER alone, makes 0 of an r or s from n on, and verifies neither
    # a 0 nor a high s. tests/hostile/test_signatures.py holds it to that.
    return bool(lib.secp256k1_ecdsa_verify(_CONTEXT, parsed, digest, key))


def sign_ecdsa(secret: bytes, digest: bytes) -> bytes:
    """Sign `digest` (32 bytes): DER without hash type, at most 70 bytes, the same on every run.

    The nonce is RFC 6979; as Bitcoin Core does, a counter is mixed in until r is below 2^255, so that the size is known
    beforehand. The result is not verified here: whoever takes a signature in verifies it.

    Raises:
        ValueError: `secret` is not a secret key or `digest` not 32 bytes.
    """
    if len(secret) != _SECRET or len(digest) != _SECRET or not lib.secp256k1_ec_seckey_verify(_CONTEXT, secret):
        raise ValueError("expected a secret key and a digest, 32 bytes each")
    signature = ffi.new("secp256k1_ecdsa_signature *")
    compact = ffi.new("unsigned char[64]")
    counter = 0
    extra = ffi.NULL
    while True:
        lib.secp256k1_ecdsa_sign(_CONTEXT, signature, digest, secret, ffi.NULL, extra)
        lib.secp256k1_ecdsa_signature_serialize_compact(_CONTEXT, compact, signature)
        if compact[0] < 0x80:  # noqa: PLR2004 - the top bit would cost DER a byte
            return _der(signature)
        counter += 1
        extra = ffi.from_buffer(counter.to_bytes(32, "little"))


def verify_schnorr(x_only: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) by `x_only` (32 bytes) is good for `digest`. Source: BIP 340, Verification.

    Bad bytes are a False, never an error. BIP 340 allows messages of any length; Bitcoin's are 32 bytes.
    """
    key = _parsed_x_only(x_only)
    if key is None or len(signature) != 2 * _SECRET:
        return False
    return bool(lib.secp256k1_schnorrsig_verify(_CONTEXT, signature, digest, len(digest), key))


def sign_schnorr(secret: bytes, digest: bytes, aux: bytes = bytes(32)) -> bytes:
    """Sign `digest` (32 bytes) for the x-only key of `secret`: 64 bytes. Source: BIP 340, Default Signing.

    `aux` is 32 bytes of randomness the caller may add; zeros are safe and give the same signature on every run.

    Raises:
        ValueError: `secret` is not a secret key, or `digest` or `aux` is not 32 bytes.
    """
    pair = ffi.new("secp256k1_keypair *")
    if len(digest) != _SECRET or len(aux) != _SECRET or len(secret) != _SECRET:
        raise ValueError("expected a secret key, a digest and auxiliary bytes, 32 bytes each")
    if not lib.secp256k1_keypair_create(_CONTEXT, pair, secret):
        raise ValueError("not a secret key")
    signature = ffi.new("unsigned char[64]")
    lib.secp256k1_schnorrsig_sign32(_CONTEXT, signature, digest, pair, aux)
    return bytes(ffi.buffer(signature))


def add_tweak(public_key: bytes, tweak: bytes) -> bytes:
    """The point `public_key` + `tweak` * G, compressed (33 bytes).

    Raises:
        PublicKeyInvalid: `public_key` is not a compressed key.
        ValueError: `tweak` is not 32 bytes below n, or the sum is the point at infinity.
    """
    point = _require(public_key)
    if len(tweak) != _SECRET or not lib.secp256k1_ec_pubkey_tweak_add(_CONTEXT, point, tweak):
        raise ValueError("the tweak is out of range or gives no point")
    return _serialized(point)


def x_only_tweak(x_only: bytes, tweak: bytes) -> tuple[bytes, int]:
    """The x-only key (32 bytes) of lift_x(`x_only`) + `tweak` * G and its parity, 0 even or 1 odd.

    With the TapTweak hash as `tweak` this is a taproot output key. Source: BIP 341, taproot_tweak_pubkey.

    Raises:
        PublicKeyInvalid: `x_only` is not the x of a point.
        ValueError: `tweak` is not 32 bytes below n, or the sum is the point at infinity.
    """
    key = _parsed_x_only(x_only)
    if key is None:
        raise PublicKeyInvalid(size=len(x_only))
    point = ffi.new("secp256k1_pubkey *")
    if len(tweak) != _SECRET or not lib.secp256k1_xonly_pubkey_tweak_add(_CONTEXT, point, key, tweak):
        raise ValueError("the tweak is out of range or gives no point")
    parity = ffi.new("int *")
    lib.secp256k1_xonly_pubkey_from_pubkey(_CONTEXT, key, parity, point)
    out = ffi.new("unsigned char[32]")
    lib.secp256k1_xonly_pubkey_serialize(_CONTEXT, out, key)
    return bytes(ffi.buffer(out)), int(parity[0])


def x_only_tweaks(x_only_keys: Sequence[bytes], tweaks: Sequence[bytes]) -> list[bytes]:
    """What `x_only_tweak` gives for each key with its tweak, without the parity: for many at once.

    Raises:
        PublicKeyInvalid: a key is not the x of a point.
        ValueError: a tweak is not 32 bytes between 1 and n - 1, a sum is the point at infinity, or there are not as
            many tweaks as keys.
    """
    # As in `ParentKey`: tweak * G and one addition are faster than the library's tweak_add. An x-only key is the point
    # with an even y (BIP 340), and the x of the sum is all that is wanted.
    parse, create = lib.secp256k1_ec_pubkey_parse, lib.secp256k1_ec_pubkey_create
    combine, serialize = lib.secp256k1_ec_pubkey_combine, lib.secp256k1_ec_pubkey_serialize
    point, addend, total = (ffi.new("secp256k1_pubkey *") for _ in range(3))
    terms = ffi.new("secp256k1_pubkey *[2]", [point, addend])
    out, size = ffi.new("unsigned char[33]"), ffi.new("size_t *", _COMPRESSED)
    view = ffi.buffer(out)
    keys: list[bytes] = []
    for x_only, tweak in zip(x_only_keys, tweaks, strict=True):
        if len(x_only) != _SECRET or not parse(_CONTEXT, point, b"\x02" + x_only, _COMPRESSED):
            raise PublicKeyInvalid(size=len(x_only))
        if len(tweak) != _SECRET or not create(_CONTEXT, addend, tweak) or not combine(_CONTEXT, total, terms, 2):
            raise ValueError("the tweak is out of range or gives no point")
        serialize(_CONTEXT, out, size, total, _COMPRESSED_FLAG)
        keys.append(view[1:])
    return keys


def add_secret(secret: bytes, tweak: bytes) -> bytes:
    """The secret (`secret` + `tweak`) mod n, 32 bytes: the private side of `add_tweak`.

    Raises:
        ValueError: either is out of range, or the sum is 0. Neither is shown.
    """
    if len(secret) != _SECRET or len(tweak) != _SECRET:
        raise ValueError("expected a secret key and a tweak, 32 bytes each")
    out = ffi.new("unsigned char[32]", secret)
    if not lib.secp256k1_ec_seckey_tweak_add(_CONTEXT, out, tweak):
        raise ValueError("the secret or the tweak is out of range")
    return bytes(ffi.buffer(out))


class ParentKey:
    """One BIP 32 parent (public), ready for many unhardened children.

    What HMAC-SHA512 makes of the chain code and of the parent's key is hashed once and copied for each child; the point
    is parsed once. Safe to share between threads.

    Raises:
        PublicKeyInvalid: `public_key` is not a compressed key.
        ValueError: `chain_code` is not 32 bytes.
    """

    __slots__ = ("_inner", "_outer", "_point")

    def __init__(self, public_key: bytes, chain_code: bytes) -> None:
        self._point = _require(public_key)
        if len(chain_code) != 32:  # noqa: PLR2004
            raise ValueError("a chain code is 32 bytes")
        key = chain_code.ljust(_SHA512_BLOCK, b"\0")
        # HMAC (RFC 2104) by hand: hashlib can copy a half-fed hash, and hmac would hash the key again for each child.
        self._inner = hashlib.sha512(bytes(byte ^ 0x36 for byte in key) + public_key)
        self._outer = hashlib.sha512(bytes(byte ^ 0x5C for byte in key))

    def child(self, index: int) -> PublicKey:
        """Public key (33 bytes) of child `index`. Source: BIP 32, CKDpub.

        Raises:
            IndexRange: `index` is negative or hardened.
            ChildKeyInvalid: BIP 32 says there is no such child.
        """
        return self.keys([check_index(index)])[0]

    def keys(self, indexes: Iterable[int]) -> list[PublicKey]:
        """Public keys of the children of these unhardened indexes, in their order, to verify signatures with.

        Raises:
            ChildKeyInvalid: BIP 32 says that one of them does not exist.
        """
        serialized = _serializer()
        return [PublicKey._of(serialized(point), point) for point in self._points(indexes)]  # noqa: SLF001

    def children(self, start: int, stop: int) -> list[bytes]:
        """Public keys of the children `start` to `stop` - 1, in order, without their points.

        Raises:
            IndexRange: one of them would be negative or hardened.
            ChildKeyInvalid: BIP 32 says that one of them does not exist.
        """
        if stop <= start:
            return []
        check_index(stop - 1)
        return list(map(_serializer(), self._points(range(check_index(start), stop))))

    def child_with_chain_code(self, index: int) -> tuple[bytes, bytes]:
        """Public key (33 bytes) and chain code (32 bytes) of child `index`.

        Raises:
            IndexRange, ChildKeyInvalid: as `child`.
        """
        return self.child(index), self._hmac(index)[32:]

    def _hmac(self, index: int) -> bytes:
        inner = self._inner.copy()
        inner.update(index.to_bytes(4, "big"))
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def _points(self, indexes: Iterable[int]) -> Iterator[ffi.CData]:
        # Written out rather than composed: this loop is what deriving ten thousand addresses costs. I_L * G and one
        # addition are faster than tweak_add, which multiplies the parent as well.
        create, combine, hmac = lib.secp256k1_ec_pubkey_create, lib.secp256k1_ec_pubkey_combine, self._hmac
        tweak = ffi.new("secp256k1_pubkey *")
        terms = ffi.new("secp256k1_pubkey *[2]", [self._point, tweak])
        for index in indexes:
            child = ffi.new("secp256k1_pubkey *")
            # create reads the first 32 of the 64 bytes, I_L, and refuses it from n on; combine refuses infinity. It
            # refuses I_L = 0 too, which BIP 32 does not mention: no less impossible, and the child would be the parent.
            if not create(_CONTEXT, tweak, hmac(index)) or not combine(_CONTEXT, child, terms, 2):
                raise ChildKeyInvalid(index=index)
            yield child


def _parsed(public_key: bytes) -> ffi.CData | None:
    point = ffi.new("secp256k1_pubkey *")
    if len(public_key) != _COMPRESSED or not lib.secp256k1_ec_pubkey_parse(_CONTEXT, point, public_key, _COMPRESSED):
        return None
    return point


def _require(public_key: bytes) -> ffi.CData:
    point = _parsed(public_key)
    if point is None:
        raise PublicKeyInvalid(size=len(public_key))
    return point


def _parsed_x_only(x_only: bytes) -> ffi.CData | None:
    point = ffi.new("secp256k1_xonly_pubkey *")
    if len(x_only) != _SECRET or not lib.secp256k1_xonly_pubkey_parse(_CONTEXT, point, x_only):
        return None
    return point


def _serialized(point: ffi.CData) -> bytes:
    return _serializer()(point)


def _serializer() -> Callable[[ffi.CData], bytes]:
    """What writes points in compressed form, one after another into one buffer: for one thread."""
    serialize = lib.secp256k1_ec_pubkey_serialize
    out, size = ffi.new("unsigned char[33]"), ffi.new("size_t *", _COMPRESSED)
    view = ffi.buffer(out)

    def serialized(point: ffi.CData) -> bytes:
        serialize(_CONTEXT, out, size, point, _COMPRESSED_FLAG)
        return bytes(view)

    return serialized


def _der(signature: ffi.CData) -> bytes:
    out, size = ffi.new("unsigned char[72]"), ffi.new("size_t *", _MAX_DER)
    lib.secp256k1_ecdsa_signature_serialize_der(_CONTEXT, out, size, signature)
    return bytes(ffi.buffer(out, size[0]))


def _is_strict_integer(field: bytes) -> bool:
    """Whether `field` (tag, length, content) is a positive integer without needless leading zeros."""
    tag, size, content = field[0], field[1], field[2:]
    if tag != 0x02 or size == 0 or content[0] & 0x80:  # noqa: PLR2004 - 0x02 is DER's INTEGER
        return False
    return not (size > 1 and content[0] == 0 and not content[1] & 0x80)
