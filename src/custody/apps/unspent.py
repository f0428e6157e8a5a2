"""Does the log agree with the chain's unspent outputs, and whose is each?

The log knows what blocks showed within a window of addresses. The set of unspent outputs knows no window and no log:
it is asked for every script of every vault, far beyond that window. What is only in one of the two, or not the same in
both, is a difference, and each of them is for a person to explain. Amounts are sats.

What a chain answers is known here by its shape, so that nothing of a node's client is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from custody.bitcoin.transaction import OutPoint, TxOut
from custody.history.holdings import holdings, unused_from
from custody.history.questions import History
from custody.history.tables import HoldingRow
from custody.units import HARDENED
from custody.vault.coins import ScriptIndex
from custody.vault.descriptor import Branch


class Unspent(Protocol):
    """An unspent output, as the chain tells it."""

    @property
    def outpoint(self) -> OutPoint: ...
    @property
    def output(self) -> TxOut: ...
    @property
    def height(self) -> int: ...
    @property
    def is_coinbase(self) -> bool: ...


class Scan(Protocol):
    """Every unspent output of the scripts asked for, as of one block."""

    @property
    def height(self) -> int: ...
    @property
    def block_hash(self) -> bytes: ...
    @property
    def outputs(self) -> Sequence[Unspent]: ...
    @property
    def total(self) -> int: ...


class Differs(StrEnum):
    """What a difference is, as a person would say it."""

    NOT_IN_LOG = "missing in the log"
    NOT_ON_CHAIN = "missing on chain"
    SPENT_IN_LOG = "spent by the log, unspent on chain"
    NOT_THE_SAME = "not the same"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a script is: vault, branch and index."""

    vault: str
    branch: int
    index: int


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a coin: sats, and the height of its block."""

    amount: int
    height: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A coin that log and chain tell differently; None where one of them does not know it."""

    what: Differs
    outpoint: OutPoint
    owner: Owner
    logged: Told | None
    found: Told | None


def owners(history: History, ahead: int) -> dict[bytes, Owner]:
    """Every script of every vault up to `ahead` indexes beyond the last that was issued, drafted or paid."""
    scripts, names = ScriptIndex(), {}
    for entry in history.charter.vaults:
        vault = history.charter.vault(entry.name)
        names[vault.id] = entry.name
        for branch in Branch:
            scripts.grow(vault, branch, min(unused_from(history, vault.id, branch) + ahead, HARDENED))
    return {script: Owner(names[each.vault_id], each.branch, each.number) for script, each in scripts.items()}


def differences(history: History, scan: Scan, known: dict[bytes, Owner]) -> list[Difference]:
    """Every coin that the log and `scan`, both as of one block, do not tell alike; sorted by vault and outpoint."""
    names = {history.charter.vault(entry.name).id: entry.name for entry in history.charter.vaults}
    on_chain = {each.outpoint: each for each in scan.outputs}
    found: list[Difference] = []
    for seen in (row for vault_id in names for row in holdings(history, vault_id)):
        coin = on_chain.pop(seen.outpoint, None)
        what = _difference(seen, coin)
        if what is not None:
            owner = Owner(names[seen.vault], seen.branch, seen.index)
            found.append(Difference(what, seen.outpoint, owner, Told(seen.amount, seen.height), _told(coin)))
    found += (
        Difference(Differs.NOT_IN_LOG, outpoint, known[coin.output.script_pubkey], None, _told(coin))
        for outpoint, coin in on_chain.items()
    )
    return sorted(found, key=lambda each: (each.owner.vault, each.outpoint))


def _difference(seen: HoldingRow, coin: Unspent | None) -> Differs | None:
    is_spent = seen.spent_by is not None
    if coin is None:
        return None if is_spent else Differs.NOT_ON_CHAIN
    if is_spent:
        return Differs.SPENT_IN_LOG
    logged = (seen.amount, seen.script_pubkey, seen.height, seen.is_coinbase)
    is_same = logged == (coin.output.amount, coin.output.script_pubkey, coin.height, coin.is_coinbase)
    return None if is_same else Differs.NOT_THE_SAME


def _told(coin: Unspent | None) -> Told | None:
    return None if coin is None else Told(coin.output.amount, coin.height)
