"""May it be sent, has it been, does it stand in a block, and is that block still there?"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from custody.history import tables
from custody.history.entry import EntryKind, require
from custody.history.on.chain import in_block, spend_holding
from custody.history.on.signing import commit
from custody.history.on.transfer import at_status, become, use_sent_indexes
from custody.history.questions import History
from custody.history.relations import children, is_superseded, members
from custody.history.rows import Named, Nothing
from custody.history.state import State
from custody.transfer.observe import SpendSeen
from custody.transfer.settlement import Broadcast, Confirmation, Ending, Release, Unconfirmation
from custody.transfer.state import Status, Transfer, TransferRow
from custody.transfer.verify import final_txid

_OTHER: Final = "names another transaction than the released one"


def _release(state: State, released: Release, at: int) -> State:
    transfer = at_status(state, released.transfer, Status.VERIFIED)
    verified = transfer.verified
    is_same = verified is not None and verified.digest() == released.verified and verified.txid == released.txid
    require(is_same, "releases another transaction than the verified one")
    state = become(state, replace(transfer.row, released=at, status=Status.RELEASED, newest=at))
    return state.put(tables.RELEASED, released.txid, Named(transfer.id))


def _broadcast(state: State, sent: Broadcast, at: int) -> State:
    transfer = at_status(state, sent.transfer, Status.RELEASED, Status.BROADCAST)
    require(_is_released(transfer, sent.txid), _OTHER)
    return become(state, replace(transfer.row, status=Status.BROADCAST, newest=at))


def _see_spend(state: State, seen: SpendSeen, at: int) -> State:
    transfer = at_status(state, seen.transfer, Status.RELEASED, Status.BROADCAST)
    require(transfer.row.seen is None, "sees a transaction in a second block")
    require(_is_released(transfer, seen.txid), _OTHER)
    state = become(state, replace(transfer.row, seen=at, status=Status.BROADCAST, newest=at))
    return _place(state, transfer, seen)


def _place(state: State, transfer: Transfer, seen: SpendSeen) -> State:
    """Have a transfer stand in the block where it was seen."""
    state = state.put(tables.IN_BLOCKS, in_block(seen.height, seen.block, transfer.id), Nothing())
    # Spent from here on: its change is a deposit of the same block, and one coin must not be counted twice.
    return _spend(state, transfer, seen.txid)


def _see_early(state: State, seen: SpendSeen, at: int) -> State:
    transfer = History(state).transfer(seen.transfer)
    row = transfer.row
    is_sent = row.released is not None and row.ended is None
    require(not is_sent and row.seen is None, f"comes while the transfer is {transfer.status}")
    vault = History(state).charter_version(row.charter).vault_by_id(row.vault)[1]
    require(final_txid(transfer.draft, vault) == seen.txid, "names another transaction than the drafted one")
    # Whoever signed it was asked or not: what it moves has left, and counts.
    state = use_sent_indexes(commit(state, transfer), row)
    state = become(state, replace(row, seen=at, early=at, status=Status.BROADCAST, newest=at))
    return _place(state.put(tables.RELEASED, seen.txid, Named(transfer.id)), transfer, seen)


def _confirm(state: State, confirmation: Confirmation, at: int) -> State:
    transfer = at_status(state, confirmation.transfer, Status.BROADCAST)
    seen = transfer.seen
    is_seen = seen is not None and (seen.txid, seen.block, seen.height) == (
        confirmation.txid,
        confirmation.block,
        confirmation.height,
    )
    require(is_seen, "confirms what was not seen in that block")
    return become(state, replace(transfer.row, confirmed=at, status=Status.CONFIRMED, newest=at))


def _unconfirm(state: State, gone: Unconfirmation, at: int) -> State:
    transfer = at_status(state, gone.transfer, Status.BROADCAST, Status.CONFIRMED)
    seen = transfer.seen
    require(seen is not None and seen.block == gone.block, "takes back what was not seen in that block")
    if seen is not None:
        state = state.put(tables.IN_BLOCKS, in_block(seen.height, seen.block, transfer.id), None)
    row = replace(transfer.row, seen=None, confirmed=None, newest=at)
    state = _spend(become(state, replace(row, status=_without_block(row))), transfer, None)
    # What it had superseded is live again too: any of the group may now be the one that confirms.
    for other in members(History(state), transfer.group):
        state = _revive(state, other.id)
    return state


def _revive(state: State, transfer_id: bytes) -> State:
    """Make a superseded transfer live again, unless something in its place still stands, and its children too."""
    history = History(state)
    transfer = history.transfer(transfer_id)
    is_over = transfer.status is Status.ENDED and transfer.row.ending is Ending.SUPERSEDED
    if not is_over or not transfer.is_bearer or is_superseded(history, transfer):
        return state
    status = _reached(transfer.row)
    state = become(state, replace(transfer.row, ended=None, ending=None, status=status))
    for child in children(history, transfer):
        state = _revive(state, child.id)
    return state


def _without_block(row: TransferRow) -> Status:
    """How far a transfer has come whose block is gone."""
    if row.ended is not None:
        return Status.ENDED
    return Status.BROADCAST if row.released is not None else _reached(row)


def _reached(row: TransferRow) -> Status:
    """How far it had come before something superseded it, or it was found in a block without its release."""
    for step, status in (
        (row.released, Status.RELEASED),
        (row.verified, Status.VERIFIED),
        (row.combined, Status.COMBINED),
        (row.signing, Status.SIGNING),
        (row.authorized, Status.AUTHORIZED),
        (row.decided, Status.DECIDED),
    ):
        if step is not None:
            return status
    return Status.DRAFTED


def _spend(state: State, transfer: Transfer, txid: bytes | None) -> State:
    for outpoint in transfer.draft.outpoints:
        state = spend_holding(state, outpoint, txid)
    return state


def _is_released(transfer: Transfer, txid: bytes) -> bool:
    return transfer.release is not None and transfer.release.txid == txid


RELEASED: Final = EntryKind("released", Release, _release, subjects=lambda released: (released.transfer,))
BROADCAST: Final = EntryKind("broadcast", Broadcast, _broadcast, subjects=lambda sent: (sent.transfer,))
SPEND_SEEN: Final = EntryKind("spend_seen", SpendSeen, _see_spend, subjects=lambda seen: (seen.transfer,))
SENT_EARLY: Final = EntryKind("sent_early", SpendSeen, _see_early, subjects=lambda seen: (seen.transfer,))
CONFIRMED: Final = EntryKind("confirmed", Confirmation, _confirm, subjects=lambda each: (each.transfer,))
UNCONFIRMED: Final = EntryKind("unconfirmed", Unconfirmation, _unconfirm, subjects=lambda gone: (gone.transfer,))
