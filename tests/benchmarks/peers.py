"""How do embit, bdkpython, wallycore and bitcoind do the same work, each in its fastest way, and who of them is here?

A peer answers with racers for a piece of work, or with none where it has no such thing; `plan` says which of ours each
is held against. Everything a peer gives is compared with ours before a clock runs, so nobody is fast by doing something
else.

What they are not asked: libwally and embit finalise without verifying a signature, and embit has no combiner.
"""

from __future__ import annotations

import base64
import importlib
import sys
from collections.abc import Callable
from typing import Final, Protocol

from material import COSIGNERS, Transfer, any_weight
from measure import Racer

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.vault.descriptor import Vault

SIGNER = COSIGNERS[0]
"""Who signs: the first cosigner, whose result is `transfer.returned[0]`."""

_LIBRARIES: Final = {
    "bdkpython": ("peer_bdk", "Bdk"),
    "wallycore": ("peer_wally", "Wally"),
    "embit": ("peer_embit", "Embit"),
}


class Peer(Protocol):
    """Somebody to race against."""

    def derive(self, vault: Vault, count: int) -> list[Racer[object]]:
        """The vault's first `count` receive addresses, as text."""

    def parse(self, transfer: Transfer) -> list[Racer[object]]:
        """Read the unsigned PSBT."""

    def sign(self, transfer: Transfer) -> list[Racer[object]]:
        """Sign every input with the first cosigner's key."""

    def combine(self, transfer: Transfer) -> list[Racer[object]]:
        """Make one PSBT of three."""

    def write_combined(self, transfer: Transfer) -> list[Racer[object]]:
        """The same, and write it."""

    def finalize(self, transfer: Transfer) -> list[Racer[object]]:
        """Make the finished transaction, every signature verified."""


def library_peers() -> list[Peer]:
    """The peers that are libraries in this process. One that is not installed is named and left out."""
    found: list[Peer] = []
    for name, (module, kind) in _LIBRARIES.items():
        try:
            found.append(getattr(importlib.import_module(module), kind)())
        except (ImportError, OSError) as error:
            sys.stderr.write(f"{name} is not raced: {error}\n")
    return found


def from_text(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def is_whole(transfer: Transfer, read: Callable[[object], bytes] = bytes) -> Callable[[object], None]:
    """The PSBT with three signatures on every input, in whatever order its fields stand."""
    with any_weight():
        whole = TransferPsbt.from_psbt(transfer.whole, Direction.FROM_SIGNER)
    return same(whole, lambda answer: TransferPsbt.from_psbt(Psbt.parse(read(answer)), Direction.FROM_SIGNER))


def same(expected: object, read: Callable[[object], object] = lambda answer: answer) -> Callable[[object], None]:
    def check(answer: object) -> None:
        found = read(answer)
        assert found == expected, "a peer gives another answer than ours"

    return check
