"""What is there, one by one: transfers, requests, addresses, blocks looked at, and how much each reader has seen.

Lists come in the order in which things came about, and a part of a list costs no more than that part.
"""

from __future__ import annotations

from collections.abc import Iterator

from custody.bitcoin.transaction import Transaction
from custody.envelope import Envelope
from custody.history import tables
from custody.history.questions import History, TransferUnknown
from custody.history.rows import number
from custody.history.tables import AddressRow, BlockRow
from custody.transfer.address import AddressIssued
from custody.transfer.state import Transfer
from custody.vault.descriptor import Branch

# --- transfers and requests -------------------------------------------------------------------------------------------


def transfers(history: History) -> Iterator[Transfer]:
    """All transfers, in the order they were drafted."""
    return (history.transfer(row.value) for _, row in history.state.scan(tables.DRAFTED))


def drafted(history: History, before: int | None = None) -> Iterator[Transfer]:
    """All transfers, or those drafted before entry number `before`, the newest first."""
    stop = None if before is None else number(before)
    return (history.transfer(row.value) for _, row in history.state.scan(tables.DRAFTED, b"", stop, backwards=True))


def live(history: History) -> tuple[Transfer, ...]:
    """The transfers that are neither over nor confirmed, in the order they were drafted."""
    return tuple(history.transfer(row.value) for _, row in history.state.scan(tables.LIVE))


def drafts_of(history: History, request_id: bytes) -> tuple[Transfer, ...]:
    """The transfers that were drafted for a request, in their order."""
    return tuple(history.transfer(row.value) for _, row in history.state.under(tables.OF_REQUEST, request_id))


def transfer_of(history: History, unsigned: bytes) -> Transfer:
    """The transfer whose raw unsigned transaction this is; of several, the one that signatures were asked for.

    Raises:
        TransferUnknown: there is none.
    """
    transaction = Transaction.parse(unsigned)
    rows = history.state.under(tables.UNSIGNED, transaction.txid)
    found = [history.transfer(row.value) for _, row in rows]
    if not found:
        raise TransferUnknown(what="transfer of the transaction", shown=transaction.txid_hex)
    return max(found, key=lambda each: each.is_bearer)


def undrafted(history: History) -> tuple[Envelope, ...]:
    """The signed requests that no transfer was drafted for, in the order they came."""
    return tuple(history.request(row.value) for _, row in history.state.scan(tables.UNDRAFTED))


# --- addresses --------------------------------------------------------------------------------------------------------


def addresses(history: History, vault_id: bytes, *, backwards: bool = False) -> Iterator[AddressIssued]:
    """The receive addresses of a vault that were given out, by their indexes."""
    rows = history.state.under(tables.ADDRESSES, vault_id, backwards=backwards)
    return (history.read(AddressIssued, row.issued) for _, row in rows)


def address(history: History, vault_id: bytes, index: int) -> AddressRow | None:
    """The receive address of a vault that was given out at this index, if it was."""
    return history.state.get(tables.ADDRESSES, tables.index_key(vault_id, index))


def next_receive(history: History, vault: str) -> int:
    """Next unused receive index of the charter's vault of this name."""
    return history.next_index(history.charter.vault(vault).id, Branch.RECEIVE)


# --- the chain, and readers -------------------------------------------------------------------------------------------


def blocks(history: History) -> Iterator[tuple[int, BlockRow]]:
    """Heights and hashes of the blocks up to which the coordinator has looked at the chain, the highest first."""
    rows = history.state.scan(tables.CHAIN, backwards=True)
    return ((int.from_bytes(key, "big"), row) for key, row in rows)


def newest_block(history: History) -> tuple[int, BlockRow] | None:
    """Height and hash of the highest block that the coordinator has looked at."""
    return next(blocks(history), None)


def seen_by(history: History, who: str | bytes) -> int:
    """Entries that an officer (by name) or a cosigner (by fingerprint) has seen at least."""
    seen = history.state.get(tables.READERS, tables.reader_key(who))
    return 0 if seen is None else seen.value
