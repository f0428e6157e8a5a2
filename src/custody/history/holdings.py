"""What do the vaults hold, and what of it is free?

Deposits are what the coordinator says of the chain. Nothing that loosens at a station is taken from here. What is
quarantined is not free.
"""

from __future__ import annotations

from collections.abc import Iterator

from custody.bitcoin.transaction import OutPoint
from custody.errors import InvalidInput
from custody.history import tables
from custody.history.quarantine import came_before, quarantined
from custody.history.questions import History
from custody.history.rows import number
from custody.history.tables import AddressRow, HoldingRow, outpoint_key, place_key
from custody.transfer.child import change_of
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch


class CoinUnknown(InvalidInput, code="COIN_UNKNOWN"):
    """A coin that the log does not have."""

    message = "the log has no coin {outpoint}"
    hint = "List what there is with: custody coin list."
    outpoint: OutPoint


def holding(history: History, outpoint: OutPoint) -> HoldingRow | None:
    """The deposit at this outpoint, if it stands."""
    return history.state.get(tables.HOLDINGS, outpoint_key(outpoint))


def holdings(history: History, vault_id: bytes, behind: int = -1) -> Iterator[HoldingRow]:
    """Every deposit of a vault that stands, in the order they were seen by entries behind number `behind`."""
    start, stop = tables.index_key(vault_id, behind + 1), vault_id + b"\xff" * 8
    for _, row in history.state.scan(tables.RECEIVED, start, stop):
        found = history.state.get(tables.HOLDINGS, row.value)
        if found is not None:
            yield found


def unspent(history: History, vault_id: bytes) -> Iterator[HoldingRow]:
    """The deposits of a vault that were not spent, mature or not, in the order of their outpoints."""
    return (row for _, row in history.state.under(tables.UNSPENT, vault_id))


def coins(history: History, vault_id: bytes) -> tuple[Coin, ...]:
    """Mature, unspent coins of a vault in the order they were seen, held ones included."""
    mature = sorted((row for row in unspent(history, vault_id) if row.is_mature), key=lambda row: row.seen)
    return tuple(row.deposit.coin for row in mature)


def spendable(history: History, vault_id: bytes, groups: frozenset[bytes] = frozenset()) -> tuple[Coin, ...]:
    """Coins that are not quarantined, and that no live transfer holds, or only one of `groups`."""
    found = coins(history, vault_id)
    held = history.state.get_many(tables.HELD, [outpoint_key(coin.outpoint) for coin in found])
    holders = ((coin, held.get(outpoint_key(coin.outpoint))) for coin in found)
    free = [coin for coin, holder in holders if holder is None or holder.value in groups]
    shut = quarantined(history, vault_id, free)
    return tuple(coin for coin in free if coin.outpoint not in shut)


def still_free(history: History, vault_id: bytes, coin: Coin, groups: frozenset[bytes]) -> bool:
    """Whether a coin of a vault can be spent, and no live transfer holds it but those of `groups`: asked of one coin.

    One that is quarantined cannot.

    Change of a released transfer that stands in no block counts too: a child spends it.
    """
    if held_by(history, coin.outpoint) not in {None, *groups}:
        return False
    row = history.state.get(tables.UNSPENT, vault_id + outpoint_key(coin.outpoint))
    found = row.deposit.coin if row is not None and row.is_mature else unconfirmed(history, coin.outpoint)
    return found == coin and not quarantined(history, vault_id, [coin])


def held_by(history: History, outpoint: OutPoint) -> bytes | None:
    """The group of the live transfers that spend this outpoint, if there are any."""
    row = history.state.get(tables.HELD, outpoint_key(outpoint))
    return None if row is None else row.value


def balance(history: History, vault_id: bytes) -> int:
    """Sats of all unspent deposits of a vault, mature or not."""
    row = history.state.get(tables.BALANCES, vault_id)
    return 0 if row is None else row.value


def unused_from(history: History, vault_id: bytes, branch: int) -> int:
    """The first index of a branch beyond every one that was issued, drafted or seen to be paid.

    For looking only: what is issued next is for `History.next_index` to say.
    """
    furthest = history.state.get(tables.FURTHEST, place_key(vault_id, branch))
    return max(history.next_index(vault_id, branch), 0 if furthest is None else furthest.value + 1)


def past_height(history: History) -> int:
    """The height up to which spends are older than the charter; -1 when the log does not say."""
    height = history.state.get(tables.PAST, tables.ONLY)
    return -1 if height is None else height.value


def is_paid(history: History, vault_id: bytes, branch: int, index: int) -> bool:
    """Whether anything was ever seen to come to an index, spent or taken back since or not."""
    return history.state.has(tables.PAID, place_key(vault_id, branch) + number(index))


def issued_for(history: History, row: HoldingRow) -> AddressRow | None:
    """The address that was given out for a deposit; None when it was not, or only after the deposit had come.

    An address that was given out later says nothing of whoever paid to it before.
    """
    if row.branch != Branch.RECEIVE:
        return None
    issued = history.state.get(tables.ADDRESSES, tables.index_key(row.vault, row.index))
    return None if issued is None or came_before(history, row, issued) else issued


def unconfirmed(history: History, outpoint: OutPoint) -> Coin | None:
    """The change of a released transfer that stands in no block, when `outpoint` is where it will be."""
    released = history.state.get(tables.RELEASED, outpoint.txid)
    if released is None:
        return None
    parent = history.transfer(released.value)
    if not parent.is_live or parent.row.seen is not None:
        return None
    charter = history.charter_version(parent.row.charter)
    change = change_of(parent, charter.vault_by_id(parent.row.vault)[1])
    return change if change is not None and change.outpoint == outpoint else None
