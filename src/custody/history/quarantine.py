"""Which coins came to nobody's address, and who has let them be spent?

A coin is quarantined when nobody was to send it: it came to an address that was given to nobody, or was known before
its address was given out, or came to a change address without being made by a transfer of ours. It is spent by nothing
until an officer releases it. All of it follows from entries that everybody has: which addresses were given out by which
entry, which entry first spoke of a transaction, which transfers were agreed to, and who signed a release. So whoever
judges a draft finds it out without the coordinator.

What the coordinator could do is enter a deposit late, after it had given out the address: what of the order of entries
is true, it alone knows. Amounts are not asked here; what is too small to be worth spending, selection leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from custody.bitcoin.transaction import OutPoint
from custody.errors import Refused
from custody.history import tables
from custody.history.questions import History
from custody.history.rows import Named
from custody.history.tables import AddressRow, ClearedRow, HoldingRow, index_key, outpoint_key
from custody.transfer.draft import Draft
from custody.transfer.state import Transfer, TransferRow
from custody.vault.descriptor import Branch


class Quarantine(StrEnum):
    """Why nobody was to send a coin."""

    NOT_ISSUED = "not-issued"
    EARLY = "before-issue"
    NOT_OUR_CHANGE = "not-our-change"

    @property
    def told(self) -> str:
        """The same for a person."""
        match self:
            case Quarantine.NOT_ISSUED:
                return "it came to an address that was given to nobody"
            case Quarantine.EARLY:
                return "it came before its address was given out"
            case Quarantine.NOT_OUR_CHANGE:
                return "it came to a change address, and no transfer of ours made it"


class CoinQuarantined(Refused, code="COIN_QUARANTINED"):
    """A spend of a coin that nobody was to send, and no officer has released."""

    message = "coin {outpoint} is quarantined: {problem}"
    hint = "Find out who sent it, and leave it alone meanwhile. An officer may release it: custody coin release COIN."
    outpoint: OutPoint
    problem: str


class Placed(Protocol):
    """Whatever says where a coin is, and at which place of its vault."""

    @property
    def outpoint(self) -> OutPoint: ...
    @property
    def branch(self) -> int: ...
    @property
    def index(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Seated:
    """A coin where a draft says that it is."""

    outpoint: OutPoint
    branch: int
    index: int


def seated(drafted: Draft) -> list[Seated]:
    """The coins of a draft; that they are where it says, is for whoever reads its transaction to find."""
    pairs = zip(drafted.outpoints, drafted.seats, strict=True)
    return [Seated(outpoint, seat.branch, seat.index) for outpoint, seat in pairs]


def quarantined(history: History, vault_id: bytes, coins: Iterable[Placed]) -> dict[OutPoint, Quarantine]:
    """Those of a vault's coins that are quarantined, and why; in the order given. They are looked up together."""
    found = unasked(history, vault_id, coins)
    cleared = history.state.get_many(tables.CLEARED, [outpoint_key(each) for each in found])
    rows = {outpoint: cleared.get(outpoint_key(outpoint)) for outpoint in found}
    return {each: why for each, why in found.items() if (row := rows[each]) is None or row.vault != vault_id}


def unasked(history: History, vault_id: bytes, coins: Iterable[Placed]) -> dict[OutPoint, Quarantine]:
    """The same, whether an officer has released them or not."""
    asked = {each.outpoint: each for each in coins}
    ours = makers(history, {each.txid for each in asked})
    others = {outpoint: each for outpoint, each in asked.items() if outpoint.txid not in ours}
    state = history.state
    issued = state.get_many(
        tables.ADDRESSES,
        {index_key(vault_id, each.index) for each in others.values() if each.branch == Branch.RECEIVE},
    )
    came = state.get_many(tables.CAME, {each.txid for each in others})
    early = state.get_many(tables.EARLY, {outpoint_key(each) for each in others})
    found: dict[OutPoint, Quarantine] = {}
    for outpoint, each in others.items():
        row, seen = issued.get(index_key(vault_id, each.index)), came.get(outpoint.txid)
        if each.branch != Branch.RECEIVE:
            found[outpoint] = Quarantine.NOT_OUR_CHANGE
        elif row is None:
            found[outpoint] = Quarantine.NOT_ISSUED
        elif outpoint_key(outpoint) in early or (seen is not None and seen.first < row.issued):
            found[outpoint] = Quarantine.EARLY
    return found


def makers(history: History, txids: Iterable[bytes]) -> dict[bytes, Transfer]:
    """The transfers of ours that made these transactions, by txid: agreed to, and released or found in a block."""
    released = history.state.get_many(tables.RELEASED, set(txids))
    rows = history.state.get_many(tables.TRANSFERS, {each.value for each in released.values()})
    found = {txid: _transfer(rows, each, history) for txid, each in released.items()}
    return {txid: each for txid, each in found.items() if each is not None and each.is_agreed}


def _transfer(rows: dict[bytes, TransferRow], named: Named, history: History) -> Transfer | None:
    row = rows.get(named.value)
    return None if row is None else Transfer(row, history)


def cleared(history: History, outpoint: OutPoint) -> ClearedRow | None:
    """By whom a coin was released from quarantine; None when nobody did, or it was moved by a reorganisation since."""
    return history.state.get(tables.CLEARED, outpoint_key(outpoint))


def came_before(history: History, row: HoldingRow, issued: AddressRow) -> bool:
    """Whether a deposit was there before its address was given out: by its entry, its block, or what was said of it.

    Once it was, it stays so: a reorganisation that moves it further up does not make it somebody's answer.
    """
    seen = history.state.get(tables.CAME, row.txid)
    was_told = seen is not None and seen.first < issued.issued
    return was_told or row.height <= issued.height or history.state.has(tables.EARLY, outpoint_key(row.outpoint))


def is_to_be_told(history: History, row: HoldingRow) -> bool:
    """Whether it must be entered of a deposit that it came early, since nothing that everybody has says so."""
    issued = history.state.get(tables.ADDRESSES, index_key(row.vault, row.index))
    if row.branch != Branch.RECEIVE or issued is None or row.height > issued.height:
        return False
    return row.txid not in makers(history, [row.txid]) and not unasked(history, row.vault, [row])
