"""Does a PSBT that is refused carry the private key of a key that it names?

A field that no transfer carries is refused anyway, but whoever reads why must know when a key is exposed (THREATS C9).
32 bytes alone cannot be told apart from a hash: a private key is one whose public key stands in the same file. Secrets
that are written as text are found in `vault/keys`.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator
from typing import Final

from custody.bitcoin.curve import public_key
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.record import SecretMaterial

SECRET: Final = 32
"""Bytes of a private key."""

_MOST_SEARCHED: Final = 256
_MOST_TRIES: Final = 5_000
_COMPRESSED: Final = 33
_X_ONLY: Final = 32
_XPUB: Final = 78


def refuse_private_keys(psbt: Psbt, allowed: tuple[Container[int], Container[int], Container[int]]) -> None:
    """Look for private keys of the keys that `psbt` names, in the fields that no transfer carries.

    `allowed` are the types that it does carry: of the global map, of inputs, of outputs. Only the first bytes of a
    field, and only so many fields, are looked at: the file may be made to keep us busy.

    Raises:
        SecretMaterial: there is one.
    """
    named = named_keys((psbt.global_map, *psbt.inputs, *psbt.outputs))
    for where, candidate in itertools.islice(_candidates(psbt, allowed), _MOST_TRIES):
        if is_private(candidate, named):
            raise SecretMaterial(where=f"{where} of the PSBT", what="a private key")


def named_keys(maps: Iterable[PsbtMap]) -> frozenset[bytes]:
    """The x of every public key that stands in a key of these maps, those of extended keys included.

    Taproot's keys are 32 bytes, with a leaf hash after them where they name a signature.
    """
    named: set[bytes] = set()
    for key in (key for each in maps for key, _ in each.pairs):
        if len(key) in {1 + _COMPRESSED, 1 + _XPUB}:
            named.add(key[-_X_ONLY:])
        elif len(key) in {1 + _X_ONLY, 1 + 2 * _X_ONLY}:
            named.add(key[1 : 1 + _X_ONLY])
    return frozenset(named)


def is_private(secret: bytes, named: frozenset[bytes]) -> bool:
    """Whether `secret` (32 bytes) is the private key of one of `named`."""
    try:
        return public_key(secret)[1:] in named
    except ValueError:
        return False


def _candidates(
    psbt: Psbt, allowed: tuple[Container[int], Container[int], Container[int]]
) -> Iterator[tuple[str, bytes]]:
    """Every 32 bytes in a row in the fields that are not on the list, and where."""
    groups = (("global map", (psbt.global_map,)), ("inputs", psbt.inputs), ("outputs", psbt.outputs))
    for (where, maps), known in zip(groups, allowed, strict=True):
        for key, value in (pair for each in maps for pair in each.pairs if pair[0][0] not in known):
            for data in (key[1:_MOST_SEARCHED], value[:_MOST_SEARCHED]):
                for at in range(len(data) - SECRET + 1):
                    yield where, data[at : at + SECRET]
