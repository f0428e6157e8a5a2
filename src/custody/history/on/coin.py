"""Which quarantined coins has an officer released?

Who signed, and what, everybody checks who folds the log. Whether the coin stands in the block that the officer was
shown, only they know who have the bodies of deposits; that a deposit was seen and not taken back since, heads say.
"""

from __future__ import annotations

from typing import Final

from custody.envelope import Envelope
from custody.history import tables
from custody.history.entry import EntryKind, require
from custody.history.questions import History
from custody.history.rows import Nothing
from custody.history.state import State
from custody.history.tables import ClearedRow, outpoint_key
from custody.transfer.coin_release import check_coin_release, read_coin_release


def _release(state: State, envelope: Envelope, at: int) -> State:
    released = check_coin_release(envelope, History(state).charter)
    key = outpoint_key(released.outpoint)
    # The same paper may not release what a reorganisation has moved since.
    require(not state.has(tables.SPOKEN, released.nonce), "repeats a release")
    require(not state.has(tables.CLEARED, key), "releases a coin again")
    came = state.get(tables.CAME, released.txid)
    require(came is not None, "releases a coin that was never seen")
    require(came is None or came.standing > 0, "releases a coin whose block is gone")
    row = state.get(tables.HOLDINGS, key)
    if row is not None:
        shown = (released.vault, released.amount, released.block)
        require((row.vault, row.amount, row.block) == shown, "releases another coin than stands there")
    state = state.put(tables.SPOKEN, released.nonce, Nothing())
    return state.put(tables.CLEARED, key, ClearedRow(released.vault, released.officer, at))


COIN_RELEASED: Final = EntryKind(
    "coin_released",
    Envelope,
    _release,
    subjects=lambda envelope: (read_coin_release(envelope).txid,),
    author=lambda envelope: read_coin_release(envelope).officer,
)
