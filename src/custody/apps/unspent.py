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
from custody.transfer.history import History
from custody.transfer.state import Holding
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
    found: dict[bytes, Owner] = {}
    for entry in history.charter.vaults:
        vault = history.charter.vault(entry.name)
        ends = [min(history.unused_from(vault.id, branch) + ahead, HARDENED) for branch in Branch]
        scripts = ScriptIndex(vault, *ends)
        for script in scripts:
            branch_and_index = scripts.find(script)
            if branch_and_index is not None:
                found[script] = Owner(entry.name, *branch_and_index)
    return found


def differences(history: History, scan: Scan, known: dict[bytes, Owner]) -> list[Difference]:
    """Every coin that the log and `scan`, both as of one block, do not tell alike; sorted by vault and outpoint."""
    names = {history.charter.vault(entry.name).id: entry.name for entry in history.charter.vaults}
    leaving = {o for each in history.transfers.values() if each.seen is not None for o in each.draft.outpoints}
    on_chain = {each.outpoint: each for each in scan.outputs}
    found: list[Difference] = []
    for outpoint, holding in history.holdings.items():
        coin = on_chain.pop(outpoint, None)
        is_spent = holding.spent_by is not None or outpoint in leaving
        what = _difference(holding, coin, is_spent=is_spent)
        if what is not None:
            seen = holding.seen
            owner = Owner(names[seen.vault], seen.branch, seen.index)
            found.append(Difference(what, outpoint, owner, Told(seen.amount, seen.height), _told(coin)))
    found += (
        Difference(Differs.NOT_IN_LOG, outpoint, known[coin.output.script_pubkey], None, _told(coin))
        for outpoint, coin in on_chain.items()
    )
    return sorted(found, key=lambda each: (each.owner.vault, each.outpoint))


def _difference(holding: Holding, coin: Unspent | None, *, is_spent: bool) -> Differs | None:
    if coin is None:
        return None if is_spent else Differs.NOT_ON_CHAIN
    if is_spent:
        return Differs.SPENT_IN_LOG
    seen = holding.seen
    logged = (seen.amount, seen.script_pubkey, seen.height, seen.is_coinbase)
    is_same = logged == (coin.output.amount, coin.output.script_pubkey, coin.height, coin.is_coinbase)
    return None if is_same else Differs.NOT_THE_SAME


def _told(coin: Unspent | None) -> Told | None:
    return None if coin is None else Told(coin.output.amount, coin.height)
