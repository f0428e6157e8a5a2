"""Which internal key has a taproot vault, so that nobody can spend without its quorum?

An extended public key of the point that BIP 341 gives for this, without an origin, because nobody holds it. Each
address has a child of it, at the branch and index of the cosigners' keys, so that addresses do not show that they are
one vault's, nor that their internal key is of no use. Its chain code decides which children those are and nothing
else: a new vault takes the SHA-256 of its sorted account public keys, which every cosigner computes alike whatever the
order, and a vault that was made elsewhere keeps its own.

A key of another point may be held by somebody, whose signature alone would move every coin (THREATS F7).

Sources: BIP 341, "Constructing and spending Taproot outputs"; BIP 371 and BIP 380 for its fingerprint in PSBTs.
"""

from __future__ import annotations

from collections.abc import Iterable

from custody.bitcoin.key_paths import TapKeyPath
from custody.bitcoin.script import NetworkMismatch, sha256
from custody.bitcoin.taproot import UNSPENDABLE, UNSPENDABLE_FINGERPRINT, TaprootKeypath
from custody.units import Network
from custody.vault.keys import AccountKey, Cosigner, networks_of

_WHERE = "the internal key"


def internal_key_of(cosigners: Iterable[Cosigner], network: Network) -> AccountKey:
    """The internal key of a new vault of these cosigners, in whatever order they stand."""
    keys = sorted(cosigner.key.public_key for cosigner in cosigners)
    return AccountKey(
        public_key=UNSPENDABLE,
        chain_code=sha256(b"".join(keys)),
        depth=0,
        parent_fingerprint=bytes(4),
        child_number=0,
        network_version=network.xpub_version,
    )


def read_internal_key(expression: str) -> AccountKey:
    """Read the internal key of a descriptor, without its derivation steps.

    Raises:
        TaprootKeypath: it is no extended key, or one with an origin, or one of another point.
        SecretMaterial, ExtendedKeyInvalid: as `AccountKey.parse`.
    """
    if expression.startswith("["):
        raise TaprootKeypath(where=_WHERE, problem="it has an origin, so somebody holds it")
    if expression[:4] not in {"xpub", "tpub"}:
        raise TaprootKeypath(where=_WHERE, problem="it is no extended public key of the BIP 341 point")
    key = AccountKey.parse(expression)
    _check_point(key)
    return key


def check_internal_key(key: AccountKey, cosigners: Iterable[Cosigner], network: Network) -> None:
    """Check that nobody holds `key`, and that no cosigner claims to.

    Raises:
        TaprootKeypath: it is of another point; or a cosigner has that point, or goes by its fingerprint.
        NetworkMismatch: its version bytes are another network's.
    """
    _check_point(key)
    if key.network_version != network.xpub_version:
        actual = networks_of(key.network_version)
        raise NetworkMismatch(what=_WHERE, expected=str(network), actual=actual)
    for cosigner in cosigners:
        # A device finds its keys by fingerprint: this one would take the internal key of every input for its own.
        if cosigner.fingerprint == UNSPENDABLE_FINGERPRINT:
            raise TaprootKeypath(where=cosigner.label, problem="its fingerprint is the internal key's")
        if cosigner.key.public_key[1:] == UNSPENDABLE[1:]:
            raise TaprootKeypath(where=cosigner.label, problem="its key is the internal key, for which nobody can sign")


def internal_path(branch: int, index: int) -> TapKeyPath:
    """Where PSBTs say that the internal key at this place comes from: from itself, and it stands in no script."""
    return TapKeyPath(UNSPENDABLE_FINGERPRINT, (branch, index))


def _check_point(key: AccountKey) -> None:
    if key.public_key != UNSPENDABLE:
        raise TaprootKeypath(where=_WHERE, problem="it is not the BIP 341 point, so somebody may hold it")
    if key.depth:
        raise TaprootKeypath(
            where=_WHERE, problem="it says that it is the child of another key, which that point is not"
        )
