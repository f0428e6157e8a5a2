"""What in blocks is ours: which scripts are watched, what came to them, and what of ours was spent?

A vault is watched well beyond the last index that was issued, drafted or paid, since restored wallets and old lists pay
further on. A deposit far ahead moves the window with it. Scripts are derived while nobody holds the store.

A window of the store ends where every block that was looked at was looked through. What a deposit adds to it is watched
once these were read again (`overdue`): until then the log says that somebody paid that far, and the window does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.transaction import OutPoint, Transaction
from custody.history import lists, tables
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
from custody.vault.coins import ScriptPlace
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

    In the first blocks of all a deposit far ahead moves its window with it, and what stands behind it in the same
    blocks is found then. Where no block is new, nothing has to be watched for. At least `ahead` addresses of a branch
    are watched beyond those in use.
    """
    if not blocks:
        return []
    used = _used(history, _vaults(history, logbook.windows()))
    is_first = lists.newest_block(history) is None
    late = {} if is_first else _late(logbook, history, used)
    _watch_ahead(logbook, clock, history, _further({each: used[each] for each in used if each not in late}, ahead))
    while True:
        found = _found(logbook, clock, history, blocks, {})
        before = dict(used)
        for seen in (seen for each in found for seen, _ in each.deposits):
            place = (seen.vault, seen.branch)
            used[place] = max(used.get(place, 0), seen.index + 1)
        if not is_first or used == before:
            return found
        _watch_ahead(logbook, clock, history, _further(used, ahead))


@dataclass(frozen=True, slots=True)
class Overdue:
    """Scripts that deposits have moved into the windows, and that blocks read before were not looked through for."""

    ranges: tuple[tuple[bytes, Branch, int, list[bytes]], ...]

    def find(self, logbook: Logbook, clock: Clock, history: History, blocks: Sequence[BlockView]) -> list[Found]:
        """What is ours in each block, these scripts included."""
        known = {
            script: ScriptPlace(vault_id, branch, index)
            for vault_id, branch, start, scripts in self.ranges
            for index, script in enumerate(scripts, start)
        }
        return _found(logbook, clock, history, blocks, known)

    def watch(self, logbook: Logbook, clock: Clock) -> None:
        """Watch them from now on: every block was looked through."""
        _watch(logbook, clock, self.ranges)


def overdue(logbook: Logbook, history: History) -> Overdue | None:
    """What blocks that were read are still to be looked through for; None when there is nothing."""
    windows = logbook.windows()
    late = _late(logbook, history, _used(history, _vaults(history, windows)))
    ranges = tuple(
        (vault_id, branch, start, history.charter.vault_by_id(vault_id)[1].scripts(branch, start, stop))
        for vault_id, branch, start, stop in _unwatched(windows, late)
    )
    return Overdue(ranges) if ranges else None


def _late(logbook: Logbook, history: History, used: Mapping[tuple[bytes, int], int]) -> dict[tuple[bytes, int], int]:
    """Those of the branches whose windows do not reach as far beyond the last deposit as they should."""
    windows, late = logbook.windows(), {}
    for key, row in history.state.scan(tables.FURTHEST):
        place = (key[:-1], key[-1])
        if place in used and windows.get(place, 0) < min(row.value + 1 + _gap(Branch(place[1])), HARDENED):
            late[place] = used[place]
    return late


def _found(
    logbook: Logbook,
    clock: Clock,
    history: History,
    blocks: Sequence[BlockView],
    more: Mapping[bytes, ScriptPlace],
) -> list[Found]:
    """What in each block is of the scripts that are watched, or of `more`."""
    scripts = {script for block in blocks for transaction in block.transactions for script in transaction.scripts}
    known = {**logbook.watched(scripts), **{each: more[each] for each in scripts if each in more}}
    deposits = [tuple(deposits_in(block, known.get, clock.now())) for block in blocks]
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
