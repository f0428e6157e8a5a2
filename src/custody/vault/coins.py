"""Which coins a vault has: what was seen on chain, when it may be spent, whose script that is, and of which class.

A deposit is an output seen in a block; a coin is a deposit deep enough to spend. How deep is the charter's to say, and
consensus says 100 for coinbases. Heights are block heights, amounts sats.

What it does not do: look at a chain (that is observe) or choose coins (that is selection).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

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


class ScriptIndex:
    """Which branch and index of a vault a locking script belongs to, within a window that can grow.

    A vault's script outside the window is unknown here, so keep the window ahead of every address shown (THREATS C8).

    Raises:
        IndexRange, ChildKeyInvalid: as `Vault.scripts`.
    """

    __slots__ = ("_end", "_places", "vault")

    def __init__(self, vault: Vault, receive_to: int, change_to: int) -> None:
        """Index `vault`'s receive addresses below `receive_to` and change addresses below `change_to`."""
        self.vault: Final = vault
        self._places: Final[dict[bytes, tuple[Branch, int]]] = {}
        self._end: Final = dict.fromkeys(Branch, 0)
        self.grow(receive_to, change_to)

    def grow(self, receive_to: int, change_to: int) -> None:
        """Widen the window to these ends; it never shrinks. Only what is new is derived."""
        for branch, stop in ((Branch.RECEIVE, receive_to), (Branch.CHANGE, change_to)):
            start = self._end[branch]
            if stop > start:
                scripts = self.vault.scripts(branch, start, stop)
                self._places.update((each, (branch, start + i)) for i, each in enumerate(scripts))
                self._end[branch] = stop

    def find(self, script_pubkey: bytes) -> tuple[Branch, int] | None:
        """Branch and index of `script_pubkey`, or None when it is not the vault's within the window."""
        return self._places.get(script_pubkey)

    def end(self, branch: int) -> int:
        """The first index of `branch` beyond the window."""
        return self._end[Branch(branch)]

    def __contains__(self, script_pubkey: object) -> bool:
        return script_pubkey in self._places

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
