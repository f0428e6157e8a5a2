"""Where does a key come from, as PSBTs say it: fingerprint and path, for one key and for all keys of a map?

Values are kept as they came and decoded when asked. Which paths a vault accepts is decided in `vault/`.

Sources: BIP 174 (PSBT_IN_BIP32_DERIVATION), BIP 371 (PSBT_IN_TAP_BIP32_DERIVATION). Paths are raw child numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final, Self, SupportsIndex, TypeVar, cast, overload

from custody.units import HARDENED

_STEP: Final = 4
_HASH: Final = 32
_X_ONLY: Final = 32
_Other = TypeVar("_Other")


class KeyPath(bytes):
    """Where a key comes from: the master's fingerprint (4 bytes) and raw child numbers, hardened ones plus 2^31.

    It is the value of its PSBT field, decoded when asked.

    Raises:
        ValueError: a fingerprint that is not 4 bytes, or a child number outside 32 bits.
    """

    __slots__ = ()

    def __new__(cls, fingerprint: bytes, path: Iterable[int]) -> Self:
        if len(fingerprint) != _STEP:
            raise ValueError("a fingerprint has 4 bytes")
        try:
            return super().__new__(cls, fingerprint + b"".join([step.to_bytes(_STEP, "little") for step in path]))
        except OverflowError:
            raise ValueError("a child number has 32 bits") from None

    @classmethod
    def of_field(cls, value: bytes) -> Self:
        """Read the value of a PSBT field: at least 4 bytes, a multiple of 4."""
        return bytes.__new__(cls, value)

    @property
    def fingerprint(self) -> bytes:
        """The first four bytes of the master key's HASH160."""
        return bytes(self[:_STEP])

    @property
    def path(self) -> tuple[int, ...]:
        """Raw child numbers from the master down."""
        return struct.unpack_from(f"<{len(self) // _STEP - 1}I", self, _STEP)

    def __str__(self) -> str:
        steps = (f"{step - HARDENED}h" if step >= HARDENED else str(step) for step in self.path)
        return "/".join((self.fingerprint.hex(), *steps))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class TapKeyPath(KeyPath):
    """The same for a key of a taproot output, with the hashes of the scripts it stands in: none, or one (32 bytes).

    The internal key stands in none. Source: BIP 371, PSBT_IN_TAP_BIP32_DERIVATION.

    Raises:
        ValueError: as `KeyPath`; more than one script, or a hash that is not 32 bytes.
    """

    __slots__ = ()

    def __new__(cls, fingerprint: bytes, path: Iterable[int], *leaf_hashes: bytes) -> Self:
        return cls.of(KeyPath(fingerprint, path), *leaf_hashes)

    @classmethod
    def of(cls, path: KeyPath, *leaf_hashes: bytes) -> Self:
        """`path` of a key that stands in these scripts. Raises as the class says."""
        if len(leaf_hashes) > 1 or any(len(each) != _HASH for each in leaf_hashes):
            raise ValueError("a key stands in one script, whose hash has 32 bytes, or in none")
        return cls.of_field(b"".join((bytes([len(leaf_hashes)]), *leaf_hashes, path)))

    @property
    def leaf_hashes(self) -> tuple[bytes, ...]:
        """Hashes of the scripts the key stands in."""
        return (bytes(self[1 : 1 + _HASH]),) if self[0] else ()

    @property
    def fingerprint(self) -> bytes:
        """The first four bytes of the master key's HASH160."""
        at = 1 + _HASH * self[0]
        return bytes(self[at : at + _STEP])

    @property
    def path(self) -> tuple[int, ...]:
        """Raw child numbers from the master down."""
        at = 1 + _HASH * self[0] + _STEP
        return struct.unpack_from(f"<{(len(self) - at) // _STEP}I", self, at)


class KeyPaths(tuple[tuple[bytes, KeyPath], ...]):
    """Public keys, or extended ones, with their origins: a tuple that holds fields as they came and decodes when asked.

    Read from a file it is ascending by key, each once. It equals a plain tuple of the same pairs, because an origin is
    bytes. A transfer has thousands of origins; as objects of their own they would cost more than all the rest of it.
    """

    __slots__ = ()

    _kind: ClassVar[type[KeyPath]] = KeyPath

    @classmethod
    def of_fields(cls, fields: Iterable[tuple[bytes, bytes]]) -> Self:
        """Take keys and field values."""
        return super().__new__(cls, cast("Iterable[tuple[bytes, KeyPath]]", fields))

    def __iter__(self) -> Iterator[tuple[bytes, KeyPath]]:
        of_field = self._kind.of_field
        return ((key, of_field(value)) for key, value in super().__iter__())

    @overload
    def __getitem__(self, at: SupportsIndex) -> tuple[bytes, KeyPath]: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[tuple[bytes, KeyPath], ...]: ...
    def __getitem__(self, at: SupportsIndex | slice) -> tuple[bytes, KeyPath] | tuple[tuple[bytes, KeyPath], ...]:
        return tuple(self)[at]

    @overload
    def __add__(self, other: tuple[tuple[bytes, KeyPath], ...]) -> tuple[tuple[bytes, KeyPath], ...]: ...
    @overload
    def __add__(self, other: tuple[_Other, ...]) -> tuple[tuple[bytes, KeyPath] | _Other, ...]: ...
    def __add__(self, other: tuple[object, ...]) -> tuple[object, ...]:
        return (*self, *other)


class TapKeyPaths(KeyPaths):
    """The same for x-only keys of taproot."""

    __slots__ = ()

    _kind: ClassVar[type[KeyPath]] = TapKeyPath


def paths_of(key_paths: tuple[tuple[bytes, KeyPath], ...], fingerprint: bytes) -> list[tuple[bytes, KeyPath]]:
    """Those of `key_paths` under the master with `fingerprint` (4 bytes), in their order; only they are decoded."""
    own: list[tuple[bytes, KeyPath]] = []
    for key, value in tuple.__iter__(key_paths):
        if len(key) != _X_ONLY:
            if value.startswith(fingerprint):
                own.append((key, KeyPath.of_field(value)))
        elif (path := TapKeyPath.of_field(value)).fingerprint == fingerprint:
            own.append((key, path))
    return own
