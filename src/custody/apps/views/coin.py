"""Which coins are there, in which state, and how do they read?

A deposit is `seen` until it is deep enough, then `mature`; `held` while a live transfer spends it; `spent` once that is
buried. Confirmations count from the height the log has seen. Amounts are sats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.views.layout import SHORT, Data, bitcoin, table
from custody.bitcoin.script import address
from custody.observer import Observation
from custody.transfer.history import History
from custody.transfer.state import AddressIssued, Holding, Kind
from custody.vault.coins import depth
from custody.vault.descriptor import Branch

_RIGHT: Final = frozenset({3})
_TOTALS_RIGHT: Final = frozenset({1, 2, 3, 4})


@dataclass(frozen=True, slots=True)
class ListedCoin:
    """A deposit in its vault. `holder` is the id of the group of transfers that holds it, if any.

    `issued` says to whom its address was given out; `is_own` that a released transfer of ours made the coin.
    """

    vault: str
    holding: Holding
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


def coins_of(history: History, vault: str | None = None) -> list[ListedCoin]:
    """Every deposit of every vault, or of the one named, oldest first."""
    names = {history.charter.vault(entry.name).id: entry.name for entry in history.charter.vaults}
    if vault is not None:
        history.charter.vault_entry(vault)
    held = history.held()
    own = {each.release.txid for each in history.transfers.values() if each.release is not None}
    found = [
        ListedCoin(
            names[holding.seen.vault], holding, held.get(outpoint), _issued(holding, history), outpoint.txid in own
        )
        for outpoint, holding in history.holdings.items()
    ]
    chosen = (each for each in found if vault is None or each.vault == vault)
    return sorted(chosen, key=lambda each: (each.vault, each.holding.seen.height, each.holding.deposit.outpoint))


def _issued(holding: Holding, history: History) -> AddressIssued | None:
    seen = holding.seen
    return history.addresses.get((seen.vault, seen.index)) if seen.branch == Branch.RECEIVE else None


def coins_table(coins: Sequence[ListedCoin], history: History) -> str:
    """Coins for a person, a line each."""
    if not coins:
        return "no coins were seen yet"
    rows = [
        (
            each.vault,
            each.state if each.holder is None else f"held by {each.holder.hex()[:SHORT]}",
            str(depth(each.holding.seen.height, history.height)),
            bitcoin(each.holding.seen.amount),
            each.origin if each.issued is None else each.issued.coin_class,
            "" if each.issued is None else each.issued.payer,
            address(each.holding.seen.script_pubkey, history.charter.network),
            str(each.holding.deposit.outpoint),
        )
        for each in coins
    ]
    return "\n".join(table([("vault", "state", "deep", "amount", "class", "payer", "address", "coin"), *rows], _RIGHT))


def coin_data(coin: ListedCoin, history: History) -> Data:
    """One of them for a program."""
    seen = coin.holding.seen
    return {
        "vault": coin.vault,
        "state": coin.state,
        "confirmations": depth(seen.height, history.height),
        "amount": seen.amount,
        "origin": coin.origin,
        "class": None if coin.issued is None else coin.issued.coin_class,
        "payer": None if coin.issued is None else coin.issued.payer,
        "purpose": None if coin.issued is None else coin.issued.purpose,
        "address": address(seen.script_pubkey, history.charter.network),
        "outpoint": str(coin.holding.deposit.outpoint),
        "branch": seen.branch,
        "index": seen.index,
        "height": seen.height,
        "is_coinbase": seen.is_coinbase,
        "held_by": None if coin.holder is None else coin.holder.hex(),
        "spent_by": None if coin.holding.spent_by is None else coin.holding.spent_by[::-1].hex(),
    }


def totals_of(history: History, vault: str | None) -> list[tuple[str, Counter[str]]]:
    """Sats by state of each vault, spent ones left out."""
    coins, found = coins_of(history, vault), []
    for entry in history.charter.vaults:
        if vault is None or entry.name == vault:
            sums: Counter[str] = Counter()
            for each in coins:
                if each.vault == entry.name and each.state != "spent":
                    sums[each.state] += each.holding.seen.amount
            found.append((entry.name, sums))
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
    counts = Counter(each.value for each in seen.added if each is not Kind.CHAIN_SEEN)
    added = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing new"
    return f"height {seen.height}: {added}"
