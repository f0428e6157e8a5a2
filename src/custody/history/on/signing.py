"""Were signatures asked for, who has signed, and what did the signatures make?"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from custody.history import tables
from custody.history.entry import EntryKind, require
from custody.history.on.transfer import at_status, become, note_reader, use_indexes
from custody.history.questions import History
from custody.history.rows import Number
from custody.history.state import State
from custody.history.tables import ONLY, NonceRow
from custody.transfer.signing import CombinedPsbt, SignedPsbt, SigningRequested, nonces
from custody.transfer.state import Status, Transfer
from custody.transfer.verify import VerifiedTransaction


def _request_signatures(state: State, signing: SigningRequested, at: int) -> State:
    transfer = at_status(state, signing.transfer, Status.AUTHORIZED)
    state = become(state, replace(transfer.row, signing=at, status=Status.SIGNING, newest=at))
    state = use_indexes(state, transfer.row)
    return _commit(state, transfer)


def _commit(state: State, transfer: Transfer) -> State:
    """Count what may leave from here on: of a group that conflicts, its largest member."""
    case = state.get(tables.CASES, transfer.id)
    # Of a draft that means nothing to rules, all that it spends may leave.
    outflow = sum(each.amount for each in transfer.draft.identity.spent) if case is None else case.outflow
    before = (state.get(tables.COMMITTED, transfer.group) or Number(0)).value
    if outflow <= before:
        return state
    total = History(state).committed() + outflow - before
    return state.put(tables.COMMITTED, transfer.group, Number(outflow)).put(tables.COMMITTED_ALL, ONLY, Number(total))


def _sign(state: State, signed: SignedPsbt, at: int) -> State:
    transfer = at_status(state, signed.transfer, Status.SIGNING, Status.COMBINED)
    is_first = all(each.cosigner != signed.cosigner for each in transfer.signed)
    require(is_first, f"is the second by {signed.cosigner.hex()}")
    for nonce, each in nonces(signed):
        state = state.put(tables.NONCES, nonce, NonceRow(each.public_key, each.signature))
    # A station signs only what it has seen asked for; who signs elsewhere is told so by their own station.
    state = note_reader(state, signed.cosigner, (transfer.row.signing or 0) + 1)
    return become(state, replace(transfer.row, signed=(*transfer.row.signed, at), newest=at))


def _combine(state: State, combined: CombinedPsbt, at: int) -> State:
    transfer = at_status(state, combined.transfer, Status.SIGNING)
    have_signed = {each.cosigner for each in transfer.signed}
    require(have_signed.issuperset(combined.cosigners), "names a cosigner who has not signed")
    return become(state, replace(transfer.row, combined=at, status=Status.COMBINED, newest=at))


def _verify(state: State, verified: VerifiedTransaction, at: int) -> State:
    transfer = at_status(state, verified.transfer, Status.COMBINED)
    return become(state, replace(transfer.row, verified=at, status=Status.VERIFIED, newest=at))


SIGNING_REQUESTED: Final = EntryKind(
    "signing_requested",
    SigningRequested,
    _request_signatures,
    subjects=lambda signing: (signing.transfer, signing.evidence),
)
SIGNED: Final = EntryKind("signed", SignedPsbt, _sign, subjects=lambda signed: (signed.transfer,))
COMBINED: Final = EntryKind("combined", CombinedPsbt, _combine, subjects=lambda combined: (combined.transfer,))
VERIFIED: Final = EntryKind("verified", VerifiedTransaction, _verify, subjects=lambda verified: (verified.transfer,))
