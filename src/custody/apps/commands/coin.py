"""What coins are there, in which state, and what did a look at the chain add?

A deposit is `seen` until it is deep enough, then `mature`; `held` while a live transfer spends it; `spent` once that is
buried. Confirmations count from the height the log has seen. Amounts are sats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from custody.apps.commands.sending import tell_progress, underway_data
from custody.apps.commands.transfer_show import warn_dropped, warn_frozen
from custody.apps.coordinator import coordinator
from custody.apps.station_commands.layout import bitcoin, table
from custody.apps.terminal import JsonValue, Verb, output
from custody.bitcoin.script import address
from custody.observer import Observation
from custody.transfer.history import History
from custody.transfer.state import AddressIssued, Holding, Kind
from custody.vault.coins import depth
from custody.vault.descriptor import Branch

RIGHT = frozenset({3})
_BALANCE_RIGHT = frozenset({1, 2, 3, 4})


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


_vault_option = click.option("--vault", metavar="NAME", help="This vault only.")


@click.command(name="list", cls=Verb)
@_vault_option
def list_coins(*, vault: str | None) -> None:
    """List the coins: state, amount, class, payer, address.

    A coin is seen, then mature; held by a transfer; and at last spent. One that came to an address nobody was given
    says "not issued": find out who sent it before it is counted as anybody's.
    """
    history = coordinator().history()
    warn_frozen(history)
    coins = coins_of(history, vault)
    output().emit([_coin_data(each, history) for each in coins], lambda: _coin_table(coins, history))


def _coin_table(coins: Sequence[ListedCoin], history: History) -> str:
    if not coins:
        return "no coins were seen yet"
    rows = [
        (
            each.vault,
            each.state if each.holder is None else f"held by {each.holder.hex()[:12]}",
            str(depth(each.holding.seen.height, history.height)),
            bitcoin(each.holding.seen.amount),
            each.origin if each.issued is None else each.issued.coin_class,
            "" if each.issued is None else each.issued.payer,
            address(each.holding.seen.script_pubkey, history.charter.network),
            str(each.holding.deposit.outpoint),
        )
        for each in coins
    ]
    return "\n".join(table([("vault", "state", "deep", "amount", "class", "payer", "address", "coin"), *rows], RIGHT))


def _coin_data(coin: ListedCoin, history: History) -> JsonValue:
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


@click.command(cls=Verb)
@_vault_option
def balance(*, vault: str | None) -> None:
    """Show what the vaults hold: mature, held and only seen."""
    history = coordinator().history()
    warn_frozen(history)
    totals = list(_totals(history, vault))
    output().emit(
        {
            name: {"mature": sums["mature"], "held": sums["held"], "seen": sums["seen"], "total": sums.total()}
            for name, sums in totals
        },
        lambda: "\n".join(
            table(
                [
                    ("vault", "mature", "held", "seen", "total"),
                    *(
                        (name, *(bitcoin(sums[state]) for state in ("mature", "held", "seen")), bitcoin(sums.total()))
                        for name, sums in totals
                    ),
                ],
                _BALANCE_RIGHT,
            )
        ),
    )


def _totals(history: History, vault: str | None) -> Iterator[tuple[str, Counter[str]]]:
    """Sats by state of each vault, spent ones left out."""
    coins = coins_of(history, vault)
    for entry in history.charter.vaults:
        if vault is None or entry.name == vault:
            sums: Counter[str] = Counter()
            for each in coins:
                if each.vault == entry.name and each.state != "spent":
                    sums[each.state] += each.holding.seen.amount
            yield entry.name, sums


@click.command(cls=Verb)
def observe() -> None:
    """Look at the chain: deposits, maturity, confirmations, alarms.

    Everything found is entered in the log. A spend that no released transfer explains freezes everything. What was sent
    and has been dropped since by the node is told; that is the node's word, and not entered.
    """
    with coordinator().work() as work:
        seen = work.custodian.observe(tell_progress())
        # Before the node is asked again, which may fail: the alarm must not.
        warn_of_theft(seen)
        underway = work.custodian.underway()
    counts = Counter(each.value for each in seen.added)
    output().emit(
        {"height": seen.height, "added": dict(counts), "underway": underway_data(underway)}, observation_text(seen)
    )
    warn_dropped(underway)


def observation_text(seen: Observation) -> str:
    """What a look at the chain added, in a line."""
    counts = Counter(each.value for each in seen.added if each is not Kind.CHAIN_SEEN)
    added = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing new"
    return f"height {seen.height}: {added}"


def warn_of_theft(seen: Observation) -> None:
    """The loudest alarm there is, beside what was asked for."""
    if Kind.UNEXPLAINED_SPEND in seen.added:
        output().talk(
            "ALARM: a coin of a vault was spent by a transaction that no released transfer explains.\n"
            "Everything is frozen. Call the officers and every key holder now."
        )
