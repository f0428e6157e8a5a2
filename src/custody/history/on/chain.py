"""What has the chain shown: blocks, deposits, what they became, and spends that nobody released?

A coordinator says these things alone. What stands still because of them tightens; coins are for drafting only, and no
station believes an amount because it stands here. So their bodies need not travel and may be erased: then what they say
is not known, and everything else is as before.

A freeze ends for everybody who folds the log, so it takes more than the coordinator's word: a branch of blocks, each of
about the work of the one that held the spend, that goes higher than it, from a block that was looked at before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from custody.bitcoin.block import BlockHeader
from custody.bitcoin.transaction import OutPoint
from custody.bitcoin.work import Displaced, headers_of
from custody.history import tables
from custody.history.entry import EntryKind, Misfit, Needed, require
from custody.history.holdings import past_height
from custody.history.questions import History
from custody.history.rows import Key, Named, Nothing, Number, Table, number
from custody.history.state import State
from custody.history.tables import (
    ONLY,
    BlockRow,
    CameRow,
    FreezeRow,
    HoldingRow,
    TakenRow,
    height_key,
    outpoint_key,
    place_key,
)
from custody.log import EntryHead
from custody.transfer.observe import (
    CameEarly,
    ChainSeen,
    CoinMatured,
    DepositReversed,
    DepositSeen,
    PastClosed,
    PastSpend,
    SpendReversed,
    UnexplainedSpend,
)
from custody.transfer.state import Transfer
from custody.vault.coins import COINBASE_MATURITY

_BLOCK: Final = 36
"""Bytes of a height and a block's hash as part of a key."""
_OUTPOINT: Final = 36
"""Bytes of an outpoint as part of a key."""
_PAST_SPEND: Final = b"\x01"
"""Behind an outpoint in a block: it does not stand there, but was spent."""


def _close_past(state: State, closed: PastClosed, at: int) -> State:
    # Later it could make history of a theft.
    require(at == 1, "does not come right after the charter")
    return state.put(tables.PAST, ONLY, Number(closed.height))


def _see_chain(state: State, seen: ChainSeen, at: int) -> State:
    key = height_key(seen.height)
    before = state.get(tables.CHAIN, key)
    # A shorter chain replaces what was seen above it: those blocks are no longer scanned.
    above = [each for each, _row in state.scan(tables.CHAIN, key)]
    for each in above:
        state = state.put(tables.CHAIN, each, None)
    if above and above[-1] != key:
        state = _unripen(state, seen.height)
    first = at if before is None or before.block != seen.block else before.first
    return state.put(tables.CHAIN, key, BlockRow(seen.block, seen.time, seen.at, first))


def _unripen(state: State, height: int) -> State:
    """The state in which coins that are not deep enough any more, the chain being `height` high, wait again."""
    charter = History(state).charter
    deepest = max(COINBASE_MATURITY, *(each.confirmations for each in charter.vaults))
    # What stands lower is deep enough for everybody.
    shallow = list(state.scan(tables.IN_BLOCKS, height_key(max(0, height - deepest))))
    for key in (key[_BLOCK:] for key, _row in shallow if len(key) == _BLOCK + _OUTPOINT):
        row = state.get(tables.HOLDINGS, key)
        if row is None or not row.is_mature:
            continue
        if not row.deposit.is_mature(height, charter.vault_by_id(row.vault)[0].confirmations):
            state = _become(state, row, replace(row, is_mature=False))
    return state


def _see_deposit(state: State, seen: DepositSeen, at: int) -> State:
    key = outpoint_key(seen.deposit.outpoint)
    before = state.get(tables.HOLDINGS, key)
    if before is not None:
        # It could not be seen again, had it not been taken back in between: by an entry that this copy does not have.
        require(_is_untold(state, seen.txid), "repeats a deposit that stands already")
        state = _take_away(state, before)
    state = _come(state, seen.txid, at)
    History(state).charter.vault_by_id(seen.vault)
    row = HoldingRow(
        vault=seen.vault,
        txid=seen.txid,
        vout=seen.vout,
        amount=seen.amount,
        script_pubkey=seen.script_pubkey,
        branch=seen.branch,
        index=seen.index,
        height=seen.height,
        block=seen.block,
        is_coinbase=seen.is_coinbase,
        seen=at,
    )
    state = state.put(tables.HOLDINGS, key, row).put(tables.UNSPENT, seen.vault + key, row)
    state = state.put(tables.RECEIVED, tables.index_key(seen.vault, at), Named(key))
    state = state.put(tables.MATURING, height_key(seen.height) + key, Nothing())
    state = state.put(tables.IN_BLOCKS, in_block(seen.height, seen.block, key), Nothing())
    state = _count_paid(state, seen, 1)
    return _add(state, tables.BALANCES, seen.vault, seen.amount)


def _reverse_deposit(state: State, reversed_: DepositReversed, _: int) -> State:
    row = _standing(state, OutPoint(reversed_.txid, reversed_.vout), reversed_.block)
    state = _go(state, reversed_.txid)
    if row is None:
        require(_is_untold(state, reversed_.txid), "reverses a deposit that was never seen")
        return state
    return _take_away(state, row)


def _come(state: State, txid: bytes, at: int) -> State:
    """Note the first entry that speaks of a deposit of a transaction: it was made before, whatever is said later."""
    row = state.get(tables.CAME, txid) or CameRow(at, 0)
    return state.put(tables.CAME, txid, replace(row, standing=row.standing + 1))


def _come_early(state: State, early: CameEarly, _: int) -> State:
    key = outpoint_key(early.outpoint)
    require(state.has(tables.CAME, early.txid), "speaks of a deposit that was never seen")
    require(not state.has(tables.EARLY, key), "repeats what was said of a deposit")
    return state.put(tables.EARLY, key, Nothing())


def _go(state: State, txid: bytes) -> State:
    """The state with a deposit of a transaction fewer, and none released: in another block they are other deposits."""
    row = state.get(tables.CAME, txid)
    if row is not None:
        state = state.put(tables.CAME, txid, replace(row, standing=max(0, row.standing - 1)))
    for key, _ in list(state.under(tables.CLEARED, txid)):
        state = state.put(tables.CLEARED, key, None)
    return state


def _take_away(state: State, row: HoldingRow) -> State:
    """The state without a deposit."""
    key = outpoint_key(row.outpoint)
    state = state.put(tables.HOLDINGS, key, None).put(tables.UNSPENT, row.vault + key, None)
    state = state.put(tables.RECEIVED, tables.index_key(row.vault, row.seen), None)
    state = state.put(tables.MATURING, height_key(row.height) + key, None)
    state = state.put(tables.IN_BLOCKS, in_block(row.height, row.block, key), None)
    return state if row.spent_by is not None else _add(state, tables.BALANCES, row.vault, -row.amount)


def forget_deposit(state: State, seen: DepositSeen, at: int) -> State:
    """The state as it were, had entry `at` come without the body that it has, in a log that lacks no other."""
    row = state.get(tables.HOLDINGS, outpoint_key(seen.deposit.outpoint))
    if row is not None and row.seen == at:
        state = _take_away(state, row)
    return _leave_untold(_count_paid(state, seen, -1), seen.txid)


def _mature(state: State, matured: CoinMatured, _: int) -> State:
    row = _standing(state, OutPoint(matured.txid, matured.vout), matured.block)
    if row is None:
        require(_is_untold(state, matured.txid), "names a deposit that is not there")
        return state
    # Seen again in the same block, it matures again: of that, this copy need not have every entry.
    require(not row.is_mature or _is_untold(state, matured.txid), "matures a coin again")
    return _become(state, row, replace(row, is_mature=True))


def _withhold(state: State, head: EntryHead) -> State:
    """Remember that this copy does not say all about a transaction: what follows upon it is not contradicted."""
    return _leave_untold(state, _named(head))


def _withhold_seen(state: State, head: EntryHead) -> State:
    return _come(_withhold(state, head), _named(head), head.index)


def _withhold_reversed(state: State, head: EntryHead) -> State:
    return _go(_withhold(state, head), _named(head))


def _named(head: EntryHead) -> bytes:
    if len(head.subjects) != 1:
        raise Misfit("does not name one transaction")
    return head.subjects[0]


def _leave_untold(state: State, txid: bytes) -> State:
    return _add(state, tables.UNTOLD, txid, 1)


def _is_untold(state: State, txid: bytes) -> bool:
    return state.has(tables.UNTOLD, txid)


def _see_theft(state: State, spend: UnexplainedSpend, at: int) -> State:
    outpoint = OutPoint(spend.txid, spend.vout)
    key, explained = outpoint_key(outpoint) + spend.block, "no released transfer explains"
    if spend.transfer is not None:
        transfer = History(state).transfer(spend.transfer)
        explained = f"is transfer {transfer.id.hex()}: {_why_not_agreed(transfer)}"
    if state.has(tables.TAKEN, key):
        # Said again, it would count as of now, and so would blocks that nobody had looked at before it.
        return spend_holding(state, outpoint, spend.spender)
    why = f"{outpoint} was spent by {spend.spender[::-1].hex()}, which {explained}"
    state = state.put(tables.TAKEN, key, TakenRow(spend.spender, spend.height, at))
    return spend_holding(state, outpoint, spend.spender).put(tables.FREEZE, number(at), FreezeRow(why, at))


def _why_not_agreed(transfer: Transfer) -> str:
    """Why nobody should have sent it."""
    ending = transfer.row.ending
    return "signatures were never asked for" if ending is None else f"it was over ({ending})"


def _see_past_spend(state: State, spend: PastSpend, _: int) -> State:
    outpoint = OutPoint(spend.txid, spend.vout)
    require(spend.height <= past_height(History(state)), "is of a block that came after the charter")
    state = state.put(tables.IN_BLOCKS, _past_key(outpoint, spend.height, spend.block), Nothing())
    return spend_holding(state, outpoint, spend.spender)


def _reverse_spend(state: State, reversed_: SpendReversed, _: int) -> State:
    outpoint = OutPoint(reversed_.txid, reversed_.vout)
    key = outpoint_key(outpoint)
    taken = state.get(tables.TAKEN, key + reversed_.block)
    if taken is None:
        require(not reversed_.branch, "shows that a block is gone, of which nothing was said")
        state = state.put(tables.IN_BLOCKS, _past_key(outpoint, reversed_.height, reversed_.block), None)
    else:
        is_same = (taken.spender, taken.height) == (reversed_.spender, reversed_.height)
        require(is_same, "takes back another spend than was seen")
        _check_displaced(History(state), taken, reversed_)
        state = state.put(tables.TAKEN, key + reversed_.block, None).put(tables.FREEZE, number(taken.at), None)
    row = state.get(tables.HOLDINGS, key)
    # The same spend may stand in another block by now.
    stands = any(each.spender == reversed_.spender for _, each in state.under(tables.TAKEN, key))
    is_ours = row is not None and row.spent_by == reversed_.spender
    return spend_holding(state, outpoint, None) if is_ours and not stands else state


def _check_displaced(history: History, taken: TakenRow, reversed_: SpendReversed) -> None:
    fork = history.state.get(tables.CHAIN, height_key(reversed_.since))
    # Of a block that was first told of later, a coordinator could say any height.
    if fork is None or fork.first >= taken.at:
        raise Misfit("goes by a block that was not looked at before the spend")
    lost = BlockHeader(history.read(UnexplainedSpend, taken.at).header)
    branch = headers_of(reversed_.branch)
    Displaced(lost, taken.height, reversed_.since, fork.block, branch).check(history.charter.network)


def _past_key(outpoint: OutPoint, height: int, block: bytes) -> Key:
    return in_block(height, block, outpoint_key(outpoint) + _PAST_SPEND)


def spend_holding(state: State, outpoint: OutPoint, spender: bytes | None) -> State:
    """Note that `spender` (a txid) spent a deposit, or None that nothing has; one that is not known is left alone."""
    row = state.get(tables.HOLDINGS, outpoint_key(outpoint))
    return state if row is None else _become(state, row, replace(row, spent_by=spender))


def in_block(height: int, block: bytes, what: bytes) -> bytes:
    """The key of something that stands in a block."""
    return height_key(height) + block + what


def _standing(state: State, outpoint: OutPoint, block: bytes) -> HoldingRow | None:
    """The deposit at this outpoint in this very block."""
    row = state.get(tables.HOLDINGS, outpoint_key(outpoint))
    return row if row is not None and row.block == block else None


def _become(state: State, before: HoldingRow, after: HoldingRow) -> State:
    """Put another row in the place of a deposit's, wherever it stands."""
    key = outpoint_key(after.outpoint)
    state = state.put(tables.HOLDINGS, key, after)
    is_spent = after.spent_by is not None
    state = state.put(tables.UNSPENT, after.vault + key, None if is_spent else after)
    waits = not is_spent and not after.is_mature
    state = state.put(tables.MATURING, height_key(after.height) + key, Nothing() if waits else None)
    if is_spent == (before.spent_by is not None):
        return state
    return _add(state, tables.BALANCES, after.vault, -after.amount if is_spent else after.amount)


def _count_paid(state: State, seen: DepositSeen, count: int) -> State:
    """Count deposits to an index, and note the furthest that has any. One that is taken back stays counted."""
    place = place_key(seen.vault, seen.branch)
    state = _add(state, tables.PAID, place + number(seen.index), count)
    furthest = state.get(tables.FURTHEST, place)
    if count > 0:
        is_further = furthest is None or furthest.value < seen.index
        return state.put(tables.FURTHEST, place, Number(seen.index)) if is_further else state
    last, _ = next(state.under(tables.PAID, place, backwards=True), (None, None))
    return state.put(
        tables.FURTHEST, place, None if last is None else Number(int.from_bytes(last[len(place) :], "big"))
    )


def _add(state: State, table: Table[Number], key: Key, count: int) -> State:
    """The state with a number changed; one that comes to nothing has no row, as if there had never been one."""
    before = state.get(table, key) or Number(0)
    total = before.value + count
    return state.put(table, key, Number(total) if total else None)


CHAIN_SEEN: Final = EntryKind("chain_seen", ChainSeen, _see_chain, subjects=lambda _: ())
DEPOSIT_SEEN: Final = EntryKind(
    "deposit_seen",
    DepositSeen,
    _see_deposit,
    subjects=lambda seen: (seen.txid,),
    needed=Needed.BY_COORDINATOR,
    withheld=_withhold_seen,
)
DEPOSIT_REVERSED: Final = EntryKind(
    "deposit_reversed",
    DepositReversed,
    _reverse_deposit,
    subjects=lambda reversed_: (reversed_.txid,),
    needed=Needed.BY_COORDINATOR,
    withheld=_withhold_reversed,
)
CAME_EARLY: Final = EntryKind("came_early", CameEarly, _come_early, subjects=lambda early: (early.txid,))
COIN_MATURED: Final = EntryKind(
    "coin_matured",
    CoinMatured,
    _mature,
    subjects=lambda matured: (matured.txid,),
    needed=Needed.BY_COORDINATOR,
)
UNEXPLAINED_SPEND: Final = EntryKind(
    "unexplained_spend",
    UnexplainedSpend,
    _see_theft,
    subjects=lambda spend: (spend.txid,) if spend.transfer is None else (spend.txid, spend.transfer),
)
PAST_CLOSED: Final = EntryKind("past_closed", PastClosed, _close_past, subjects=lambda _: ())
PAST_SPEND: Final = EntryKind(
    "past_spend",
    PastSpend,
    _see_past_spend,
    subjects=lambda spend: (spend.txid,),
    needed=Needed.BY_COORDINATOR,
    withheld=_withhold,
)
SPEND_REVERSED: Final = EntryKind(
    "spend_reversed", SpendReversed, _reverse_spend, subjects=lambda reversed_: (reversed_.txid,)
)
