"""What in blocks is ours: which scripts are watched, what came to them, and what of ours was spent?

A vault is watched well beyond the last index that was issued, drafted or paid, since restored wallets and old lists pay
further on. A deposit far ahead moves the window with it. Scripts are derived while nobody holds the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.transaction import OutPoint, Transaction
from custody.history import tables
from custody.history.questions import History
from custody.history.tables import outpoint_key
from custody.logbook import Logbook
from custody.ports import Clock
from custody.transfer.observe import (
    BlockView,
    DepositSeen,
    Spend,
    deposits_in,
    spends_in,
)
from custody.transfer.proposal import CHANGE_GAP
from custody.units import HARDENED
from custody.vault.descriptor import Branch

RECEIVE_GAP: Final = 1_000
"""Receive addresses watched beyond the next unused one: restored wallets and old lists pay further on (THREATS C8)."""
BATCH_SCRIPTS: Final = 1_000
"""Scripts that are watched in one unit of work."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is ours in a block: deposits, each with its transaction, and spends of what we hold."""

    deposits: tuple[tuple[DepositSeen, Transaction], ...]
    spends: tuple[Spend, ...]

    def told(self, history: History) -> Found:
        """The same without deposits of transactions of which the log does not say everything: those were erased."""
        kept = tuple(each for each in self.deposits if not history.state.has(tables.UNTOLD, each[0].txid))
        return Found(kept, self.spends)


def find_ours(
    logbook: Logbook, clock: Clock, history: History, blocks: Sequence[BlockView], ahead: int = 0
) -> list[Found]:
    """What is ours in each block. Everything is looked for at once, and while nobody holds the store.

    A deposit far ahead moves its window with it; what stands behind it in the same blocks is found then. Where no
    block is new, nothing has to be watched for. At least `ahead` addresses of a branch are watched beyond those in use.
    """
    if not blocks:
        return []
    used = _used(history, _vaults(history, logbook.windows()))
    scripts = {script for block in blocks for transaction in block.transactions for script in transaction.scripts}
    while True:
        _watch_ahead(logbook, clock, history, _further(used, ahead))
        known = logbook.watched(scripts)
        deposits = [tuple(deposits_in(block, known.get, clock.now())) for block in blocks]
        before = dict(used)
        for seen in (seen for each in deposits for seen, _ in each):
            place = (seen.vault, seen.branch)
            used[place] = max(used.get(place, 0), seen.index + 1)
        if used == before:
            break
    coins = _coins(history, blocks) | {seen.deposit.outpoint for each in deposits for seen, _ in each}
    spends = [tuple(spends_in(block, coins)) for block in blocks]
    return [Found(*each) for each in zip(deposits, spends, strict=True)]


def _further(used: Mapping[tuple[bytes, int], int], ahead: int) -> dict[tuple[bytes, int], int]:
    """The same indexes so much further on that, with what is watched beyond anyhow, `ahead` are."""
    return {place: min(index + max(0, ahead - _gap(Branch(place[1]))), HARDENED) for place, index in used.items()}


def _gap(branch: Branch) -> int:
    return RECEIVE_GAP if branch is Branch.RECEIVE else CHANGE_GAP


def _vaults(history: History, windows: Iterable[tuple[bytes, int]]) -> set[bytes]:
    """The ids of all vaults. Once each has a window these say so, and no key has to be derived for it."""
    watched, charter = {vault_id for vault_id, _ in windows}, history.charter
    if len(watched) == len(charter.vaults):
        return watched
    return {charter.vault(entry.name).id for entry in charter.vaults}


def _used(history: History, vaults: Iterable[bytes]) -> dict[tuple[bytes, int], int]:
    """The first index of each vault and branch beyond every one that was issued, asked to be signed or seen paid."""
    used = {(vault_id, branch.value): 0 for vault_id in vaults for branch in Branch}
    for table, beyond in ((tables.NEXT_INDEX, 0), (tables.FURTHEST, 1)):
        for key, row in history.state.scan(table):
            place = (key[:-1], key[-1])
            used[place] = max(used.get(place, 0), row.value + beyond)
    return used


def _watch_ahead(logbook: Logbook, clock: Clock, history: History, used: Mapping[tuple[bytes, int], int]) -> None:
    """Watch well beyond the used indexes of every branch. Scripts are derived before anybody has to wait."""
    due: list[tuple[bytes, Branch, int, list[bytes]]] = []
    for vault_id, branch, start, stop in _unwatched(logbook.windows(), used):
        due.append((vault_id, branch, start, history.charter.vault_by_id(vault_id)[1].scripts(branch, start, stop)))
        if sum(len(scripts) for *_, scripts in due) >= BATCH_SCRIPTS:
            _watch(logbook, clock, due)
            due = []
    if due:
        _watch(logbook, clock, due)


def _watch(logbook: Logbook, clock: Clock, due: Iterable[tuple[bytes, Branch, int, list[bytes]]]) -> None:
    with logbook.write(clock.now()) as work:
        for each in due:
            work.store.watch(*each)


def _unwatched(
    windows: Mapping[tuple[bytes, int], int], used: Mapping[tuple[bytes, int], int]
) -> Iterator[tuple[bytes, Branch, int, int]]:
    """Vaults, branches and ranges of indexes that are to be watched and are not, few at a time."""
    for (vault_id, number), index in used.items():
        branch = Branch(number)
        stop = min(index + _gap(branch), HARDENED)
        for start in range(windows.get((vault_id, number), 0), stop, BATCH_SCRIPTS):
            yield vault_id, branch, start, min(stop, start + BATCH_SCRIPTS)


def _coins(history: History, blocks: Iterable[BlockView]) -> set[OutPoint]:
    """What the blocks spend of what we hold, and whatever released transfers spend: of that a deposit may be erased."""
    transactions = {each.txid: each for block in blocks for each in block.transactions[1:]}
    spent = {outpoint_key(outpoint): outpoint for each in transactions.values() for outpoint in each.spends}
    released = history.state.get_many(tables.RELEASED, transactions)
    ours = {outpoint for txid in released for outpoint in transactions[txid].spends}
    return ours | {spent[key] for key in history.state.get_many(tables.HOLDINGS, spent)}
