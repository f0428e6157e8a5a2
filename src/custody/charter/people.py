"""Who the people of a charter are, and that each is counted once.

A person is one raw Ed25519 key. The same key under two names, or as an officer here and a witness there, is refused: a
quorum of two would otherwise be one person (THREATS F10).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from custody.errors import InvalidInput
from custody.record import SORTED, Digest, Fingerprint, Record
from custody.vault.keys import PublicText


class DupOfficerKey(InvalidInput, code="DUP_OFFICER_KEY"):
    """One raw key that stands for two people."""

    message = "{first} and {second} have the same key {key}"
    hint = "One person, one key: give each officer, witness and the coordinator a key of their own."
    first: str
    second: str
    key: str


class Role(StrEnum):
    """What a person may do."""

    REQUESTER = "requester"
    """Asks for transfers."""
    OFFICER = "officer"
    """Approves or vetoes transfers that somebody else asked for."""


class Person(Record):
    """Somebody with a key: `key` is the raw Ed25519 public key, 32 bytes."""

    kind: ClassVar[str] = "person"

    name: PublicText
    key: Digest
    roles: Annotated[tuple[Role, ...], SORTED, Field(min_length=1)]

    def has_role(self, role: Role) -> bool:
        """Whether this person may act as `role`."""
        return role in self.roles


class Witness(Record):
    """A site or body that cosigns the log; `name` is its key name in C2SP signed notes."""

    kind: ClassVar[str] = "witness"

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9./-]{0,99}$")]
    key: Digest


class CosignerName(Record):
    """Who holds a vault's key, and where; `fingerprint` is the cosigner's (4 bytes). The key signs whatever it says."""

    kind: ClassVar[str] = "cosigner-name"

    fingerprint: Fingerprint
    name: Annotated[PublicText, Field(min_length=1)]
    site: Annotated[PublicText, Field(min_length=1)]

    @property
    def shown(self) -> str:
        """Name and site."""
        return f"{self.name}, {self.site}"


def refuse_shared_keys(holders: Iterable[tuple[str, bytes]]) -> None:
    """Check that no raw key stands for two holders.

    Raises:
        DupOfficerKey: two of `holders` (name, raw key) share a key.
    """
    owner: dict[bytes, str] = {}
    for name, key in holders:
        if key in owner:
            raise DupOfficerKey(first=owner[key], second=name, key=key.hex())
        owner[key] = name
