"""Can a taproot coin be spent past its script? The internal key that nobody holds, and what commits to the script.

Whoever knows the secret of an output's internal key spends it without its script (BIP 341, key path): in a vault, past
the quorum. So the internal key is the point H that BIP 341 gives, whose secret nobody knows because its x is the hash
of another point, or an unhardened child of it: that is H + t * G with t known to all, and whoever knew the child's
secret would know that of H. Anything else is refused, and so is an annex, which no rule gives a meaning.

The tree under it has one leaf, so that the hash of the leaf is the root, and a control block holds only a key. Not
here: what the script says (`script`), what a signature signs (`sighash`), how a coin is spent (`lock`).

Sources: BIP 341, BIP 342.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from custody.bitcoin import curve
from custody.bitcoin.script import hash160
from custody.bitcoin.sighash import TAPSCRIPT, tap_tweak
from custody.errors import Refused

UNSPENDABLE: Final = bytes.fromhex("0250929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""H of BIP 341, compressed: the point whose x is the SHA-256 of G's uncompressed encoding."""
UNSPENDABLE_FINGERPRINT: Final = hash160(UNSPENDABLE)[:4]
"""By what PSBTs and devices name H: the fingerprint of a master key that it would be (BIP 32)."""
CONTROL_BLOCK: Final = 33
"""Bytes of the control block of a tree with one leaf."""
SCHNORR_SIGNATURE: Final = 64
"""Bytes of a signature with hash type DEFAULT, which is not written; every other type takes a byte more."""

_ANNEX: Final = 0x50


class TaprootKeypath(Refused, code="TAPROOT_KEYPATH"):
    """A way to spend a taproot coin that is not its quorum's script."""

    message = "{where}: {problem}"
    hint = (
        "Do not sign, and pay nothing there: somebody could spend past the quorum. A taproot vault's internal key is "
        "an xpub of the BIP 341 point without an origin, as custody vault create writes it."
    )
    where: str
    problem: str


def output_key(internal_key: bytes, root: bytes) -> tuple[bytes, int]:
    """The key that an output with this internal key (x-only) and this tree pays to: x-only, and its parity.

    Raises:
        PublicKeyInvalid, ValueError: as `curve.x_only_tweak`.
    """
    return curve.x_only_tweak(internal_key, tap_tweak(internal_key, root))


def output_keys(internal_keys: Sequence[bytes], roots: Sequence[bytes]) -> list[bytes]:
    """The x-only output key of each internal key (x-only) with its root: for many at once.

    Raises:
        PublicKeyInvalid, ValueError: as `curve.x_only_tweaks`.
    """
    return curve.x_only_tweaks(internal_keys, [tap_tweak(*each) for each in zip(internal_keys, roots, strict=True)])


def control_block(internal_key: bytes, parity: int) -> bytes:
    """What proves in a witness that the only leaf of the tree is a tapscript: 33 bytes. Source: BIP 341."""
    return bytes([TAPSCRIPT | parity]) + internal_key


def is_control_block(data: bytes) -> bool:
    """Whether `data` is what `control_block` gives for some key."""
    return len(data) == CONTROL_BLOCK and data[0] & ~1 == TAPSCRIPT


def refuse_past_script(stack: Sequence[bytes], where: str) -> None:
    """Refuse a witness that spends by the internal key or carries an annex. Source: BIP 341, Script validation rules.

    Raises:
        TaprootKeypath: it does.
    """
    if len(stack) > 1 and stack[-1][:1] == bytes([_ANNEX]):
        raise TaprootKeypath(where=where, problem="its witness carries an annex")
    if len(stack) == 1 and len(stack[0]) in {SCHNORR_SIGNATURE, SCHNORR_SIGNATURE + 1}:
        raise TaprootKeypath(where=where, problem="its witness spends by the internal key")
