"""Which coins do the vaults have by the chain alone, and does the log agree?

The log knows what blocks showed within a window of addresses. The set of unspent outputs knows no window and no log:
it is asked for every script of every vault, far beyond that window. What is only in one of the two, or not the same in
both, is a difference, and each of them is for a person to explain. Amounts are sats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import click

from custody.apps.commands.coin import warn_of_theft
from custody.apps.commands.sending import tell_progress
from custody.apps.coordinator import Work, coordinator
from custody.apps.station_commands.layout import bitcoin, counted, table
from custody.apps.terminal import JsonValue, Verb, output
from custody.bitcoin.script import address
from custody.bitcoin.transaction import OutPoint
from custody.errors import IntegrityError
from custody.observer import ChainMoved
from custody.transfer.history import History
from custody.transfer.state import Holding
from custody.units import HARDENED
from custody.vault.coins import ScriptIndex
from custody.vault.descriptor import Branch

# The node's client takes long to load, and only its types are needed here.
if TYPE_CHECKING:
    from custody.backends.bitcoind import UnspentOutput, UtxoScan

AHEAD: Final = 10_000
"""Indexes of each branch that are asked for beyond the last one used: ten times what a look at the chain watches."""
_MOST_AHEAD: Final = 1_000_000
_LOOKS: Final = 3
_RIGHT: Final = frozenset({1, 2, 3})


class CoinsDiffer(IntegrityError, code="COINS_DIFFER"):
    """A log and a chain that do not know the same coins."""

    message = "the log and the set of unspent outputs differ in {count} coin(s) at height {height}"
    hint = "Explain each before anything is signed: compare with another node, and look at the vault's descriptor."
    count: int
    height: int


class Differs(StrEnum):
    """What a difference is, as a person would say it."""

    NOT_IN_LOG = "missing in the log"
    NOT_ON_CHAIN = "missing on chain"
    SPENT_IN_LOG = "spent by the log, unspent on chain"
    NOT_THE_SAME = "not the same"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a script belongs: vault, branch and index."""

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
    place: Place
    logged: Told | None
    found: Told | None


def places(history: History, ahead: int) -> dict[bytes, Place]:
    """Every script of every vault up to `ahead` indexes beyond the last that was issued, drafted or paid."""
    scripts, names = ScriptIndex(), {}
    for entry in history.charter.vaults:
        vault = history.charter.vault(entry.name)
        names[vault.id] = entry.name
        for branch in Branch:
            scripts.grow(vault, branch, min(history.unused_from(vault.id, branch) + ahead, HARDENED))
    return {script: Place(names[each.vault_id], each.branch, each.number) for script, each in scripts.items()}


def differences(history: History, scan: UtxoScan, known: dict[bytes, Place]) -> list[Difference]:
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
            place = Place(names[seen.vault], seen.branch, seen.index)
            found.append(Difference(what, outpoint, place, Told(seen.amount, seen.height), _told(coin)))
    found += (
        Difference(Differs.NOT_IN_LOG, outpoint, known[coin.output.script_pubkey], None, _told(coin))
        for outpoint, coin in on_chain.items()
    )
    return sorted(found, key=lambda each: (each.place.vault, each.outpoint))


def _difference(holding: Holding, coin: UnspentOutput | None, *, is_spent: bool) -> Differs | None:
    if coin is None:
        return None if is_spent else Differs.NOT_ON_CHAIN
    if is_spent:
        return Differs.SPENT_IN_LOG
    seen = holding.seen
    logged = (seen.amount, seen.script_pubkey, seen.height, seen.is_coinbase)
    is_same = logged == (coin.output.amount, coin.output.script_pubkey, coin.height, coin.is_coinbase)
    return None if is_same else Differs.NOT_THE_SAME


def _told(coin: UnspentOutput | None) -> Told | None:
    return None if coin is None else Told(coin.output.amount, coin.height)


_ahead_option = click.option(
    "--ahead",
    type=click.IntRange(0, _MOST_AHEAD),
    default=AHEAD,
    show_default=True,
    metavar="N",
    help="Addresses of each branch beyond the last one used.",
)


@click.command(cls=Verb)
@_ahead_option
def scan(*, ahead: int) -> None:
    """Ask the chain for every coin of every vault.

    The whole set of unspent outputs is searched, whatever the log says: on the main network it takes minutes. A pruned
    node has all of it. Nothing is entered in the log.
    """
    desk = coordinator()
    history = desk.history()
    known = places(history, ahead)
    with desk.work() as work:
        found = work.chain.scan(known.keys())
    output().emit(
        {
            "height": found.height,
            "block": found.block_hash[::-1].hex(),
            "scripts": len(known),
            "total": found.total,
            "coins": [_coin_data(each, known, history) for each in found.outputs],
        },
        lambda: _scan_text(found, known, history),
    )


def _coin_data(coin: UnspentOutput, known: dict[bytes, Place], history: History) -> JsonValue:
    place = known[coin.output.script_pubkey]
    return {
        "vault": place.vault,
        "branch": place.branch,
        "index": place.index,
        "amount": coin.output.amount,
        "address": address(coin.output.script_pubkey, history.charter.network),
        "outpoint": str(coin.outpoint),
        "height": coin.height,
        "is_coinbase": coin.is_coinbase,
        "is_in_log": coin.outpoint in history.holdings,
    }


def _scan_text(found: UtxoScan, known: dict[bytes, Place], history: History) -> str:
    head = (
        f"height {found.height}: {counted(len(found.outputs), 'coin')} of {bitcoin(found.total)} "
        f"on {len(known)} addresses"
    )
    rows = [("vault", "place", "amount", "height", "coin", "")]
    for each in found.outputs:
        place = known[each.output.script_pubkey]
        note = "" if each.outpoint in history.holdings else "not in the log"
        rows.append(
            (
                place.vault,
                f"{place.branch}/{place.index}",
                bitcoin(each.output.amount),
                str(each.height),
                str(each.outpoint),
                note,
            )
        )
    return "\n".join([head, *(table(rows, _RIGHT) if found.outputs else [])])


@click.command(cls=Verb)
@_ahead_option
@click.pass_context
def reconcile(context: click.Context, *, ahead: int) -> None:
    """Compare the log with the chain's unspent outputs.

    The chain is looked at first, as observe does. Every coin that only one of the two knows, or that they tell
    differently, is listed; then the command exits with 6.
    """
    with coordinator().work() as work:
        history, found, known = _at_one_block(work, ahead)
    listed = differences(history, found, known)
    answer: dict[str, JsonValue] = {
        "height": found.height,
        "block": found.block_hash[::-1].hex(),
        "scripts": len(known),
        "coins": len(found.outputs),
        "total": found.total,
        "differences": [_difference_data(each) for each in listed],
    }
    if not listed:
        output().emit(
            answer,
            f"height {found.height}: the log and the chain agree on {counted(len(found.outputs), 'coin')} "
            f"of {bitcoin(found.total)}; {len(known)} addresses were searched",
        )
        return
    error = CoinsDiffer(count=len(listed), height=found.height)
    if output().is_json:
        # A script gets one object: what is wrong, and what it is wrong in.
        answer["error"] = {"code": error.code, "message": str(error), "hint": error.advice()}
        output().emit(answer, "")
        context.exit(error.exit_code)
    output().emit(answer, lambda: "\n".join(table(_difference_rows(listed), _RIGHT)))
    raise error


def _at_one_block(work: Work, ahead: int) -> tuple[History, UtxoScan, dict[bytes, Place]]:
    """Log, unspent outputs and the scripts asked for, all as of one block.

    Raises:
        ChainMoved: new blocks came each time.
    """
    height = 0
    for _ in range(_LOOKS):
        warn_of_theft(work.custodian.observe(tell_progress()))
        history = work.custodian.history()
        known = places(history, ahead)
        found = work.chain.scan(known.keys())
        if history.tips[-1].block == found.block_hash:
            return history, found, known
        height = found.height
    raise ChainMoved(height=height)


def _difference_data(each: Difference) -> JsonValue:
    return {
        "what": each.what.value,
        "outpoint": str(each.outpoint),
        "vault": each.place.vault,
        "branch": each.place.branch,
        "index": each.place.index,
        "in_log": _told_data(each.logged),
        "on_chain": _told_data(each.found),
    }


def _told_data(told: Told | None) -> JsonValue:
    return None if told is None else {"amount": told.amount, "height": told.height}


def _difference_rows(listed: list[Difference]) -> Iterator[tuple[str, ...]]:
    yield "vault", "place", "in the log", "on chain", "coin", "what"
    for each in listed:
        yield (
            each.place.vault,
            f"{each.place.branch}/{each.place.index}",
            _told_text(each.logged),
            _told_text(each.found),
            str(each.outpoint),
            each.what.value,
        )


def _told_text(told: Told | None) -> str:
    return "-" if told is None else f"{bitcoin(told.amount)} at {told.height}"
