"""Which coins are there, in which state, and how do they read?

A deposit is `seen` until it is deep enough, then `mature`; `held` while a live transfer spends it; `spent` once that is
buried. One that nobody was to send is `quarantined`, deep or not, until an officer releases it; so is one that is too
small to be worth spending at the long-term rate, which needs nobody's release and is left alone by its size. Neither is
money that may be spent. Confirmations count from the height the log has seen. Amounts are sats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.views.layout import SHORT, Cell, Data, bitcoin, said, table
from custody.bitcoin.script import address
from custody.bitcoin.transaction import OutPoint
from custody.history import kinds, tables
from custody.history.holdings import CoinUnknown, held_by, holding, holdings, issued_for, unspent
from custody.history.quarantine import Quarantine, cleared, quarantined
from custody.history.questions import History
from custody.history.tables import ClearedRow, HoldingRow
from custody.observer import Observation
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.transfer.coin_release import CoinRelease
from custody.transfer.selection import Left, small_below
from custody.vault.coins import depth

_RIGHT: Final = frozenset({3})
_UNSPENT: Final = ("mature", "held", "seen", "quarantined")
_TOTALS_RIGHT: Final = frozenset(range(1, len(_UNSPENT) + 2))


@dataclass(frozen=True, slots=True)
class ListedCoin:
    """A deposit in its vault. `holder` is the id of the group of transfers that holds it, if any.

    `issued` says to whom its address was given out; `is_own` that a released transfer of ours made the coin.
    `quarantine` is why nobody was to send it, or `small`; `released` who has released it all the same.
    """

    vault: str
    holding: HoldingRow
    holder: bytes | None
    issued: AddressIssued | None
    is_own: bool
    quarantine: str | None
    released: ClearedRow | None

    @property
    def state(self) -> str:
        """seen, mature, held, quarantined or spent."""
        if self.holding.spent_by is not None:
            return "spent"
        if self.holder is not None:
            return "held"
        if self.quarantine is not None:
            return "quarantined"
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
            yield _listed(history, name, each, quarantined(history, vault_id, [each]))
        behind = None


def vaults_of(history: History, vault: str | None) -> list[tuple[str, bytes]]:
    """Names and ids of the charter's vaults, or of the one named."""
    charter = history.charter
    entries = charter.vaults if vault is None else (charter.vault_entry(vault),)
    return [(entry.name, charter.vault(entry.name).id) for entry in entries]


def _listed(history: History, vault: str, row: HoldingRow, quarantine: Mapping[OutPoint, Quarantine]) -> ListedCoin:
    is_own, issued = history.state.has(tables.RELEASED, row.txid), _issued(row, history)
    why = quarantine.get(row.outpoint)
    is_small = not is_own and row.amount <= small_below(history.charter.vault(vault).input_weight)
    shut = Left.SMALL.value if why is None and is_small else why
    return ListedCoin(vault, row, held_by(history, row.outpoint), issued, is_own, shut, cleared(history, row.outpoint))


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
            _state(each),
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


def _state(coin: ListedCoin) -> str:
    if coin.holder is not None:
        return f"held by {coin.holder.hex()[:SHORT]}"
    return f"{coin.state}: {coin.quarantine}" if coin.state == "quarantined" else coin.state


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
        "quarantine": coin.quarantine,
        "released_by": None if coin.released is None else coin.released.officer,
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
        "block": seen.block[::-1].hex(),
        "is_coinbase": seen.is_coinbase,
        "held_by": None if coin.holder is None else coin.holder.hex(),
        "spent_by": None if seen.spent_by is None else seen.spent_by[::-1].hex(),
    }


def totals_of(history: History, vault: str | None) -> list[tuple[str, Counter[str]]]:
    """Sats by state of each vault, spent ones left out."""
    found: list[tuple[str, Counter[str]]] = []
    for name, vault_id in vaults_of(history, vault):
        sums: Counter[str] = Counter()
        rows = list(unspent(history, vault_id))
        # Together: a vault may have as many as strangers like.
        shut = quarantined(history, vault_id, rows)
        for row in rows:
            sums[_listed(history, name, row, shut).state] += row.amount
        found.append((name, sums))
    return found


def totals_data(totals: Sequence[tuple[str, Counter[str]]]) -> Data:
    """The same for a program, with what they come to."""
    return {name: {**{state: sums[state] for state in _UNSPENT}, "total": sums.total()} for name, sums in totals}


def totals_table(totals: Sequence[tuple[str, Counter[str]]]) -> str:
    """The same for a person."""
    rows = [(name, *(bitcoin(sums[state]) for state in _UNSPENT), bitcoin(sums.total())) for name, sums in totals]
    return "\n".join(table([("vault", *_UNSPENT, "total"), *rows], _TOTALS_RIGHT))


def releasing_data(released: CoinRelease, history: History) -> Data:
    """An officer's release of a coin, for a program."""
    return {
        "coin": str(released.outpoint),
        "vault": history.charter.vault_by_id(released.vault)[0].name,
        "amount": released.amount,
        "block": released.block[::-1].hex(),
        "officer": released.officer,
        "annex_entry": history.annexed_at(released.annex),
    }


def releasing_text(released: CoinRelease, history: History) -> str:
    """The same for a person."""
    vault = history.charter.vault_by_id(released.vault)[0].name
    coin = f"coin {released.outpoint} of vault {vault}, {bitcoin(released.amount)}"
    return f"{coin}: released by {released.officer}; it is spent like any other from here on"


def observation_text(seen: Observation) -> str:
    """What a look at the chain added, in a line."""
    counts = Counter(str(each) for each in seen.added if each is not kinds.CHAIN_SEEN)
    added = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing new"
    return f"height {seen.height}: {added}"
