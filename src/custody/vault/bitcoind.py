"""How does bitcoind, alone, restore a vault and see all of its coins?

A wallet of its own takes one descriptor for each branch, with the range of indexes it looks at and where the next
address comes from. Every version that knows the script reads these; a descriptor of both branches at once (BIP 389)
only newer ones. There is nothing private in them, since a vault has nothing private.

Source: Bitcoin Core, doc/descriptors.md and `help importdescriptors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from custody.units import HARDENED
from custody.vault.descriptor import Branch, Vault, check, checksum

AHEAD: Final = 1_000
"""Indexes of each branch that are watched beyond the last one used, as a look at the chain watches deposits."""

_BOTH: Final = "/<0;1>/*"


@dataclass(frozen=True, slots=True)
class WatchedBranch:
    """One branch of a vault, as `importdescriptors` takes it.

    `descriptor` ends in its checksum; `next_index` is where the next address comes from, `last` the last index that is
    looked at.
    """

    branch: Branch
    descriptor: str
    next_index: int
    last: int

    def request(self, timestamp: int) -> dict[str, bool | int | str | list[int]]:
        """The JSON object of it; `timestamp` is Unix seconds from which blocks are read again."""
        return {
            "desc": self.descriptor,
            "active": True,
            "internal": self.branch is Branch.CHANGE,
            "range": [0, self.last],
            "next_index": self.next_index,
            "timestamp": timestamp,
        }


def watched(vault: Vault, branch: Branch, next_index: int) -> WatchedBranch:
    """A branch of `vault` with the indexes from `next_index` on unused."""
    body = check(vault.descriptor).replace(_BOTH, f"/{branch:d}/*")
    return WatchedBranch(branch, f"{body}#{checksum(body)}", next_index, min(next_index + AHEAD, HARDENED) - 1)
