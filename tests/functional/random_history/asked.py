"""The same questions, asked of the history that ships: as `naive` answers them, from public methods alone."""

from itertools import islice

from custody.bitcoin.transaction import OutPoint
from custody.examine.shown import needed_size
from custody.history import lists, tables
from custody.history.holdings import balance, coins, held_by, holdings, spendable, unconfirmed, unused_from
from custody.history.questions import History
from custody.history.relations import (
    RequestInUse,
    children,
    is_displaced,
    is_stranded,
    is_superseded,
    members,
    paid_alike,
    refuse_drafted,
)
from custody.history.tables import HoldingRow, outpoint_of
from custody.testing.cast import OFFICERS
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.transfer.request import TransferRequest, read_request
from custody.transfer.settlement import Ending
from custody.transfer.state import Transfer
from custody.vault.descriptor import Branch

from .naive import Answers

BY_PEOPLE = (Ending.WITHDRAWN, Ending.ABANDONED)
"""Endings that people sign: why stands in an annex."""


def answers(history: History) -> Answers:
    """What everybody knows who has read as far as this."""
    if not history.has_charter:
        return {"size": history.size}
    vaults = [history.charter.vault(each.name) for each in history.charter.vaults]
    transfers = list(lists.transfers(history))
    requests = [row.value for _, row in history.state.scan(tables.ASKED)]
    spent = {outpoint for each in transfers for outpoint in each.draft.outpoints}
    released = [each.txid for each in transfers if each.txid is not None]
    outputs = [OutPoint(txid, index) for txid in released for index in range(4)]
    change = {outpoint: unconfirmed(history, outpoint) for outpoint in outputs}
    held = {outpoint: held_by(history, outpoint) for outpoint in spent}
    people = [*OFFICERS, *(each.fingerprint for each in vaults[0].cosigners)]
    return {
        "size": history.size,
        "transfers": [_answer(history, each) for each in transfers],
        "live": [each.id for each in lists.live(history)],
        "members": {each.group: [one.id for one in members(history, each.group)] for each in transfers},
        "newest": [each.id for each in islice(lists.drafted(history), 5)][::-1],
        "held": {outpoint: group for outpoint, group in held.items() if group is not None},
        "committed": history.committed(),
        "unconfirmed": {outpoint: coin.amount for outpoint, coin in change.items() if coin is not None},
        "undrafted": [read_request(each).digest() for each in lists.undrafted(history)],
        "in_use": {each for each in requests if _is_in_use(history, each)},
        "alike": {each.id: _alike(history, each.request) for each in transfers},
        "frozen_by": history.frozen_by,
        "blocks": [(height, row.block) for height, row in lists.blocks(history)],
        "next": {(vault.id, branch): history.next_index(vault.id, branch) for vault in vaults for branch in Branch},
        "addresses": {vault.id: _addresses(history, vault.id) for vault in vaults},
        "nonces": {key: row.signature for key, row in history.state.scan(tables.NONCES)},
        "seen_by": {
            who if isinstance(who, str) else who.hex(): lists.seen_by(history, who)
            for who in people
            if lists.seen_by(history, who)
        },
        "annexes": {named: history.annexed_at(named) for named, _ in history.state.scan(tables.ANNEXES)},
        "released_coins": {outpoint_of(key): row.at for key, row in history.state.scan(tables.CLEARED)},
        "erased": {int.from_bytes(key, "big"): row.value for key, row in history.state.scan(tables.ERASED)},
    }


def _alike(history: History, request: TransferRequest) -> set[tuple[bytes, str, int | None]]:
    return {(each.transfer, each.payee, each.amount) for each in paid_alike(history, request)}


def answers_of_bodies(history: History) -> Answers:
    """What only they know who have the bodies that may be withheld or erased: deposits, and words about people."""
    if not history.has_charter:
        return {}
    vaults = [history.charter.vault(each.name).id for each in history.charter.vaults]
    ended = [each.ended for each in lists.transfers(history)]
    maturing = [outpoint_of(key[4:]) for key, _ in history.state.scan(tables.MATURING)]
    return {
        "holdings": {each: [_answer_of(one) for one in holdings(history, each)] for each in vaults},
        "balance": {each: balance(history, each) for each in vaults},
        "coins": {each: [coin.outpoint for coin in coins(history, each)] for each in vaults},
        "spendable": {each: [coin.outpoint for coin in spendable(history, each)] for each in vaults},
        "unused": {(each, branch): unused_from(history, each, branch) for each in vaults for branch in Branch},
        "maturing": set(maturing),
        "payers": [_payer(history, issued) for each in vaults for issued in lists.addresses(history, each)],
        "reasons": [each.reason for each in lists.transfers(history)],
        "withdrawn": [each.detail for each in ended if each is not None and each.reason in BY_PEOPLE],
    }


def _payer(history: History, issued: AddressIssued) -> tuple[str, str] | None:
    annex = history.annex(AddressAnnex, issued.annex)
    return None if annex is None else (annex.payer, annex.purpose)


def _answer_of(row: HoldingRow) -> tuple[object, ...]:
    return row.outpoint, row.block, row.seen, row.is_mature, row.spent_by


def _addresses(history: History, vault_id: bytes) -> list[tuple[int, bytes, int | None]]:
    issued = {each.index: lists.address(history, vault_id, each.index) for each in lists.addresses(history, vault_id)}
    said = list(lists.addresses(history, vault_id))
    return [(each.index, each.annex, row.issued if (row := issued[each.index]) else None) for each in said]


def _is_in_use(history: History, request_id: bytes) -> bool:
    try:
        refuse_drafted(history, request_id)
    except RequestInUse:
        return True
    return False


def _answer(history: History, transfer: Transfer) -> Answers:
    ended = transfer.ended
    # Why something was withdrawn stands in an annex, which not everybody has.
    detail = "" if ended is None or ended.reason in BY_PEOPLE else ended.detail
    return {
        "id": transfer.id,
        "status": transfer.status.value,
        "group": transfer.group,
        "replaced": [each.id for each in transfer.replaced],
        "parent": None if transfer.parent is None else transfer.parent.id,
        "ending": None if ended is None else (ended.reason.value, detail),
        "due_change": transfer.row.due_change,
        "due_receive": dict(transfer.row.due_receive),
        "verdict": None if transfer.decision is None else transfer.decision.verdict,
        "opinions": [(each.officer, each.verdict, each.nonce) for each in transfer.opinions],
        "authorization": transfer.authorization,
        "signed": [each.cosigner for each in transfer.signed],
        "released": None if transfer.release is None else transfer.release.txid,
        "seen": None if transfer.seen is None else (transfer.seen.height, transfer.seen.block),
        "needed_size": needed_size(history, transfer.id),
        "children": [each.id for each in children(history, transfer)],
        "is_displaced": is_displaced(history, transfer),
        "is_stranded": is_stranded(history, transfer),
        "has_lost": is_superseded(history, transfer),
        "of_transaction": lists.transfer_of(history, transfer.draft.identity.transactions[0]).id,
    }
