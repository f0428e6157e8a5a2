"""Which coins are there, in which state, and how do they read?

A deposit is `seen` until it is deep enough, then `mature`; `held` while a live transfer spends it; `spent` once that is
buried. Confirmations count from the height the log has seen. Amounts are sats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.views.layout import SHORT, Cell, Data, bitcoin, said, table
from custody.bitcoin.script import address
from custody.bitcoin.transaction import OutPoint
from custody.history import kinds, tables
from custody.history.holdings import CoinUnknown, held_by, holding, holdings, issued_for, unspent
from custody.history.questions import History
from custody.history.tables import HoldingRow
from custody.observer import Observation
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.vault.coins import depth


_RIGHT: Final = frozenset({3})
_TOTALS_RIGHT: Final = frozenset({1, 2, 3, 4})


@dataclass(frozen=True, slots=True)
class ListedCoin:
    """A deposit in its vault. `holder` is the id of the group of transfers that holds it, if any.

    `issued` says to whom its address was given out; `is_own` that a released transfer of ours made the coin.
    """

    vault: str
    holding: HoldingRow
    holder: bytes | None
    issued: AddressIssued | None
    is_own: bool

    @property
    def state(self) -> str:
        """seen, mature, held or spent."""
        if self.holding.spent_by is not None:
            return "spent"
        if self.holder is not None:
            return "held"
        return "mature" if self.holding.is_mature else "seen"

    @property
    def origin(self) -> str:
        """Why it may have come: to an address that was issued, by a transfer of ours, or nobody knows."""
        if self.issued is not None:
            return "issued"
        return "own transfer" if self.is_own else "not issued"


def coins_of(history: History, vault: str | None = None, after: OutPoint | None = None) -> Iterator[ListedCoin]:
    """Every deposit of every vault, or of the one named, in the order they were seen; those behind `after`, if given.

    Raises:
        CoinUnknown: no deposit stands at `after`.
    """
    behind = None if after is None else holding(history, after)
    if after is not None and behind is None:
        raise CoinUnknown(outpoint=after)
    for name, vault_id in vaults_of(history, vault):
        if behind is not None and vault_id != behind.vault:
            continue
        for each in holdings(history, vault_id, -1 if behind is None else behind.seen):
            yield _listed(history, name, each)
        behind = None


def vaults_of(history: History, vault: str | None) -> list[tuple[str, bytes]]:
    """Names and ids of the charter's vaults, or of the one named."""
    charter = history.charter
    entries = charter.vaults if vault is None else (charter.vault_entry(vault),)
    return [(entry.name, charter.vault(entry.name).id) for entry in entries]


def _listed(history: History, vault: str, row: HoldingRow) -> ListedCoin:
    is_own = history.state.has(tables.RELEASED, row.txid)
    return ListedCoin(vault, row, held_by(history, row.outpoint), _issued(row, history), is_own)


def _issued(row: HoldingRow, history: History) -> AddressIssued | None:
    issued = issued_for(history, row)
    return None if issued is None else history.read(AddressIssued, issued.issued)


def coins_table(coins: Sequence[ListedCoin], history: History) -> str:
    """Coins for a person, a line each."""
    if not coins:
        return "no coins were seen yet"
    rows = [
        (
            each.vault,
            each.state if each.holder is None else f"held by {each.holder.hex()[:SHORT]}",
            str(depth(each.holding.height, history.height)),
            bitcoin(each.holding.amount),
            each.origin if each.issued is None else each.issued.coin_class,
            "" if each.issued is None else _payer(each.issued, history),
            address(each.holding.script_pubkey, history.charter.network),
            str(each.holding.outpoint),
        )
        for each in coins
    ]
    return "\n".join(table([("vault", "state", "deep", "amount", "class", "payer", "address", "coin"), *rows], _RIGHT))


def _payer(issued: AddressIssued, history: History) -> Cell:
    annex = history.annex(AddressAnnex, issued.annex)
    return said(None if annex is None else annex.payer)


def coin_data(coin: ListedCoin, history: History) -> Data:
    """One of them for a program."""
    seen = coin.holding
    annex = None if coin.issued is None else history.annex(AddressAnnex, coin.issued.annex)
    return {
        "vault": coin.vault,
        "state": coin.state,
        "confirmations": depth(seen.height, history.height),
        "amount": seen.amount,
        "origin": coin.origin,
        "class": None if coin.issued is None else coin.issued.coin_class,
        "payer": None if annex is None else annex.payer,
        "purpose": None if annex is None else annex.purpose,
        "annex_entry": None if coin.issued is None else history.annexed_at(coin.issued.annex),
        "entry": seen.seen,
        "address": address(seen.script_pubkey, history.charter.network),
        "outpoint": str(seen.outpoint),
        "branch": seen.branch,
        "index": seen.index,
        "height": seen.height,
        "is_coinbase": seen.is_coinbase,
        "held_by": None if coin.holder is None else coin.holder.hex(),
        "spent_by": None if seen.spent_by is None else seen.spent_by[::-1].hex(),
    }


def totals_of(history: History, vault: str | None) -> list[tuple[str, Counter[str]]]:
    """Sats by state of each vault, spent ones left out."""
    found: list[tuple[str, Counter[str]]] = []
    for name, vault_id in vaults_of(history, vault):
        sums: Counter[str] = Counter()
        for row in unspent(history, vault_id):
            sums[_listed(history, name, row).state] += row.amount
        found.append((name, sums))
    return found


def totals_data(totals: Sequence[tuple[str, Counter[str]]]) -> Data:
    """The same for a program, with what they come to."""
    return {
        name: {"mature": sums["mature"], "held": sums["held"], "seen": sums["seen"], "total": sums.total()}
        for name, sums in totals
    }


def totals_table(totals: Sequence[tuple[str, Counter[str]]]) -> str:
    """The same for a person."""
    rows = [
        (name, *(bitcoin(sums[state]) for state in ("mature", "held", "seen")), bitcoin(sums.total()))
        for name, sums in totals
    ]
    return "\n".join(table([("vault", "mature", "held", "seen", "total"), *rows], _TOTALS_RIGHT))


def observation_text(seen: Observation) -> str:
    """What a look at the chain added, in a line."""
    counts = Counter(str(each) for each in seen.added if each is not kinds.CHAIN_SEEN)
    added = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing new"
    return f"height {seen.height}: {added}"
