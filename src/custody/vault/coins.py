"""Which coins a vault has: what was seen on chain, when it may be spent, whose script that is, and of which class.

A deposit is an output seen in a block; a coin is a deposit deep enough to spend. How deep is the charter's to say, and
consensus says 100 for coinbases. Heights are block heights, amounts sats.

What it does not do: look at a chain (that is observe) or choose coins (that is selection).
"""

from __future__ import annotations

import re
from collections.abc import ItemsView
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator

from custody.bitcoin.transaction import OutPoint
from custody.errors import InvalidInput
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import PublicText

COINBASE_MATURITY: Final = 100
"""Blocks, its own included, before nodes let a coinbase output be spent in the next one (Bitcoin Core)."""

_CLASS: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")


class ClassInvalid(InvalidInput, code="CLASS_INVALID"):
    """Text that is no label for where coins come from."""

    message = "{shown} is no class of coins"
    hint = (
        "Write one label for where the coins come from, such as seized, mined or bought: a lower-case letter first, "
        "then letters, digits and hyphens, 40 characters at most."
    )
    shown: str


def check_class(label: str) -> str:
    """`label` itself when it is a class of coins: lower-case letters, digits and hyphens, the first a letter.

    One spelling, so that `Seized` and `seized` are not counted as two.

    Raises:
        ClassInvalid: it is something else.
    """
    if _CLASS.fullmatch(label) is None:
        raise ClassInvalid(shown=ascii(label[:60]))
    return label


CoinClass = Annotated[PublicText, AfterValidator(check_class)]
"""The institution's own label for where coins come from: seized, mined, bought."""


@dataclass(frozen=True, slots=True)
class Coin:
    """An output of a vault that may be spent: at `branch` and `index`, `amount` sats, in the block at `height`."""

    outpoint: OutPoint
    amount: int
    script_pubkey: bytes
    branch: int
    index: int
    height: int
    is_coinbase: bool


@dataclass(frozen=True, slots=True)
class Deposit:
    """An output of a vault seen in block `block_hash` (32 bytes, internal order) at `height`.

    The block is part of it: after a reorganisation the same output in another block is another deposit (THREATS D7).
    """

    outpoint: OutPoint
    amount: int
    script_pubkey: bytes
    branch: int
    index: int
    height: int
    is_coinbase: bool
    block_hash: bytes

    def is_mature(self, tip: int, confirmations: int) -> bool:
        """Whether it is a coin when the newest block is at height `tip` and `confirmations` blocks are asked for."""
        return depth(self.height, tip) >= needed_depth(confirmations, is_coinbase=self.is_coinbase)

    @property
    def coin(self) -> Coin:
        """The coin it becomes once it is mature."""
        return Coin(
            outpoint=self.outpoint,
            amount=self.amount,
            script_pubkey=self.script_pubkey,
            branch=self.branch,
            index=self.index,
            height=self.height,
            is_coinbase=self.is_coinbase,
        )


def depth(height: int, tip: int) -> int:
    """Blocks from `height` to `tip`, both counted: 1 for an output in the newest block, 0 when it lies beyond it."""
    return max(0, tip - height + 1)


def needed_depth(confirmations: int, *, is_coinbase: bool) -> int:
    """The depth at which an output is a coin when `confirmations` blocks are asked for, never less than 1."""
    return max(confirmations, COINBASE_MATURITY if is_coinbase else 1)


class ScriptPlace(NamedTuple):
    """Where a locking script belongs: the vault's id, the branch, the number on it."""

    vault_id: bytes
    branch: Branch
    number: int


class ScriptIndex:
    """Whose a locking script is: one map for all vaults, each within windows that can grow.

    A vault's script outside its windows is unknown here, so keep them ahead of every address shown (THREATS C8).
    """

    __slots__ = ("_ends", "_places")

    def __init__(self) -> None:
        self._places: Final[dict[bytes, ScriptPlace]] = {}
        self._ends: Final[dict[tuple[bytes, Branch], int]] = {}

    def grow(self, vault: Vault, branch: Branch, stop: int) -> bool:
        """Widen the window on `branch` to the indexes below `stop`; it never shrinks. Whether it is wider now.

        Raises:
            IndexRange, ChildKeyInvalid: as `Vault.scripts`. Only what is new is derived.
        """
        start = self.end(vault.id, branch)
        if stop <= start:
            return False
        for number, script in enumerate(vault.scripts(branch, start, stop), start):
            self._places[script] = ScriptPlace(vault.id, branch, number)
        self._ends[vault.id, branch] = stop
        return True

    def find(self, script_pubkey: bytes) -> ScriptPlace | None:
        """Where `script_pubkey` belongs, or None when it is no vault's within its windows."""
        return self._places.get(script_pubkey)

    def end(self, vault_id: bytes, branch: Branch) -> int:
        """The first index of `branch` beyond that vault's window."""
        return self._ends.get((vault_id, branch), 0)

    def items(self) -> ItemsView[bytes, ScriptPlace]:
        """Every script and where it belongs."""
        return self._places.items()

    def __len__(self) -> int:
        return len(self._places)
