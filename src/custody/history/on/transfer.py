"""Who asked for what, what was drafted of it, what do the rules and the officers say, and is it over before signing?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from custody.bitcoin.transaction import OutPoint
from custody.charter.decide import Decision, Verdict
from custody.charter.document import VaultPayee
from custody.charter.rules import Case
from custody.envelope import Envelope, unsafe_payload
from custody.errors import CustodyError
from custody.history import lists, tables
from custody.history.entry import EntryKind, require
from custody.history.holdings import held_by
from custody.history.on.charter import use_index
from custody.history.questions import History
from custody.history.relations import is_superseded, members, parent_of, refuse_drafted, replaced_by
from custody.history.rows import Key, Named, Nothing, Number, number
from custody.history.state import State
from custody.history.tables import outpoint_key
from custody.transfer.approval import (
    Approval,
    Authorization,
    Opinion,
    Withdrawal,
    check_approval,
    check_withdrawal,
    may_follow,
)
from custody.transfer.child import in_context
from custody.transfer.draft import Draft
from custody.transfer.proposal import check_conflicts
from custody.transfer.request import check_asked, check_request, read_request
from custody.transfer.settlement import Ended, Ending
from custody.transfer.state import Status, Transfer, TransferRow
from custody.vault.descriptor import Branch


def at_status(state: State, transfer_id: bytes, *allowed: Status) -> Transfer:
    """The transfer, when it has come just so far.

    Raises:
        TransferUnknown, Misfit: it is not there, or elsewhere.
    """
    transfer = History(state).transfer(transfer_id)
    require(transfer.status in allowed, f"comes while the transfer is {transfer.status}")
    return transfer


def become(state: State, row: TransferRow) -> State:
    """Put this row in the place of the transfer's; it holds its coins and may pay while it is live, and not after."""
    was_live, is_live = state.has(tables.LIVE, number(row.drafted)), _is_live(row)
    state = state.put(tables.TRANSFERS, row.id, row)
    if was_live == is_live:
        return state
    named = Named(row.id) if is_live else None
    state = state.put(tables.LIVE, number(row.drafted), named)
    for each in History(state).transfer(row.id).request.payments:
        state = state.put(tables.PAYING, tables.payment_key(each.payee, each.amount) + number(row.drafted), named)
    return _hold(state, row) if is_live else _let_go(state, row)


def _is_live(row: TransferRow) -> bool:
    return row.status not in (Status.ENDED, Status.CONFIRMED)


def _hold(state: State, row: TransferRow) -> State:
    history = History(state)
    for outpoint in history.transfer(row.id).draft.outpoints:
        # One that was free meanwhile may be another's by now: only one of the two can confirm.
        if held_by(history, outpoint) is None:
            state = state.put(tables.HELD, outpoint_key(outpoint), Named(row.group))
    return state


def _let_go(state: State, row: TransferRow) -> State:
    state = _give_back(state, row)
    history = History(state)
    kept = {o for each in members(history, row.group) if each.is_live for o in each.draft.outpoints}
    outpoints = history.transfer(row.id).draft.outpoints
    free = [each for each in outpoints if each not in kept and held_by(history, each) == row.group]
    wanted = {txid: _wanted(history, txid) for txid in {each.txid for each in free}}
    for outpoint in free:
        state = state.put(tables.HELD, outpoint_key(outpoint), wanted[outpoint.txid].get(outpoint))
    return state


def _wanted(history: History, txid: bytes) -> dict[OutPoint, Named]:
    """The outputs of a transaction that live transfers spend, each with the group of the first that does."""
    # One that came back to life found its coin another's; when that lets go, it is its own again.
    wanted: dict[OutPoint, Named] = {}
    for _, row in history.state.under(tables.SPENDERS, txid):
        rival = history.transfer(row.value)
        for outpoint in rival.draft.outpoints if rival.is_live else ():
            wanted.setdefault(outpoint, Named(rival.group))
    return wanted


def _ask(state: State, envelope: Envelope, at: int) -> State:
    request_id = check_request(envelope, History(state).charter).digest()
    require(not state.has(tables.REQUESTS, request_id), "repeats a request")
    state = state.put(tables.REQUESTS, request_id, Number(at))
    for table in (tables.ASKED, tables.UNDRAFTED):
        state = state.put(table, number(at), Named(request_id))
    return state


def _draft(state: State, drafted: Draft, at: int) -> State:
    history = History(state)
    identity, transfer_id = drafted.identity, drafted.transfer_id
    # Signed it is: that was verified when it was entered, and a body that stands in the log does not change.
    request = read_request(history.request(identity.request))
    check_asked(request, history.charter)
    require(not state.has(tables.TRANSFERS, transfer_id), "repeats a draft")
    refuse_drafted(history, identity.request)
    replaced = replaced_by(history, request)
    group = _group(drafted, replaced)
    if request.parent is not None:
        parent_of(history, request)
    for outpoint in drafted.outpoints:
        require(held_by(history, outpoint) in (None, group), f"takes {outpoint}, which another transfer holds")
    asked = state.get(tables.REQUESTS, identity.request) or Number(0)
    row = TransferRow(
        id=transfer_id,
        vault=identity.vault,
        request=identity.request,
        group=group,
        charter=history.charter.version,
        requested=asked.value,
        drafted=at,
        newest=at,
        due_change=history.next_index(identity.vault, Branch.CHANGE),
        asked_change=history.asked_index(identity.vault, Branch.CHANGE),
        due_receive=_due_receive(history, drafted),
        replaced=tuple(each.id for each in replaced),
        parent=request.parent,
    )
    state = _enlist(become(state, row), row, drafted).put(tables.UNDRAFTED, number(asked.value), None)
    case = _case(History(state), row)
    if case is not None:
        state = state.put(tables.CASES, transfer_id, case)
    return _draw(state, drafted, at)


def _enlist(state: State, row: TransferRow, drafted: Draft) -> State:
    """Have a transfer found by everything that it is looked up by."""
    named, behind = Named(row.id), number(row.drafted)
    state = state.put(tables.DRAFTED, behind, named)
    state = state.put(tables.MEMBERS, row.group + behind, named)
    state = state.put(tables.OF_REQUEST, row.request + behind, named)
    state = state.put(tables.UNSIGNED, drafted.transaction.txid + behind, named)
    for txid in {each.txid for each in drafted.identity.spent}:
        state = state.put(tables.SPENDERS, txid + behind, named)
    return state


def _case(history: History, row: TransferRow) -> Case | None:
    """What the draft means to rules; None when it means nothing, which whoever judges it will say."""
    transfer = history.transfer(row.id)
    try:
        return in_context(history.proposal(transfer), transfer)
    except CustodyError:
        return None


def _group(drafted: Draft, replaced: Sequence[Transfer]) -> bytes:
    """The group of a draft: its own id, or that of what it replaces.

    It must spend a coin of every rival in the group, not only of those it names: were two members free of each
    other, both could confirm, and a group counts once.
    """
    if not replaced:
        return drafted.transfer_id
    groups = {each.group for each in replaced}
    require(len(groups) == 1, "replaces transfers that do not conflict with each other")
    check_conflicts(drafted, {each.id: each.draft for each in replaced})
    return groups.pop()


def _paid_vaults(history: History, drafted: Draft) -> list[tuple[str, int]]:
    """The vaults that a draft pays, by name, each with the receive index it pays at."""
    payees = ((history.charter.payee(each.payee), each.index) for each in drafted.destinations)
    return [(payee.vault, index) for payee, index in payees if isinstance(payee, VaultPayee)]


def _due_receive(history: History, drafted: Draft) -> tuple[tuple[str, int], ...]:
    names = sorted({name for name, _ in _paid_vaults(history, drafted)})
    return tuple((name, lists.next_receive(history, name)) for name in names)


def _places(history: History, drafted: Draft) -> Iterator[tuple[bytes, int, int]]:
    """Where a draft returns to and pays vaults: vault id, branch and index of each."""
    if drafted.change is not None:
        yield drafted.identity.vault, Branch.CHANGE, drafted.change
    for name, index in _paid_vaults(history, drafted):
        yield history.charter.vault(name).id, Branch.RECEIVE, index


def _draw(state: State, drafted: Draft, at: int) -> State:
    """Keep the indexes of a draft for it, when they are the ones that were due.

    One far away is refused when the draft is judged; counted here, it would push every later one out of reach.
    """
    for vault_id, branch, index in _places(History(state), drafted):
        if index == History(state).next_index(vault_id, branch):
            state = state.put(tables.DRAWN, tables.drawn_key(vault_id, branch, index, at), Nothing())
    return state


def _drawn(state: State, row: TransferRow) -> Iterator[tuple[Key, bytes, int, int]]:
    """Which indexes are kept for a transfer: the key of each, and where it is."""
    history = History(state)
    for vault_id, branch, index in _places(history, history.transfer(row.id).draft):
        key = tables.drawn_key(vault_id, branch, index, row.drafted)
        if state.has(tables.DRAWN, key):
            yield key, vault_id, branch, index


def _give_back(state: State, row: TransferRow) -> State:
    """Have the indexes that were kept for a transfer be free again."""
    for key, *_ in list(_drawn(state, row)):
        state = state.put(tables.DRAWN, key, None)
    return state


def use_indexes(state: State, row: TransferRow) -> State:
    """Count the indexes that were kept for a transfer as used for good: it may be signed from here on."""
    for key, vault_id, branch, index in list(_drawn(state, row)):
        state = use_index(state.put(tables.DRAWN, key, None), vault_id, branch, index)
    return state


def use_sent_indexes(state: State, row: TransferRow) -> State:
    """The same of a transfer that stands in a block, whatever has become of it: those that were due for its draft."""
    state, history = use_indexes(state, row), History(state)
    due = {(row.vault, int(Branch.CHANGE)): row.due_change}
    due |= {(history.charter.vault(name).id, int(Branch.RECEIVE)): index for name, index in row.due_receive}
    places = list(_places(history, history.transfer(row.id).draft))
    for vault_id, branch, index in places:
        first = due.get((vault_id, int(branch)))
        if first is not None and first <= index < first + len(places):
            state = use_index(state, vault_id, branch, index)
    return state


def _decide(state: State, decision: Decision, at: int) -> State:
    transfer = at_status(state, decision.transfer, Status.DRAFTED)
    # As of here, and not as of whenever somebody reads it: a rule about time would find other facts by then.
    require(decision.size == at, f"was judged by {decision.size} entries, where {at} stand before it")
    require(decision.facts == History(state).facts(at=0).asked(), "names other facts than the log has there")
    return become(state, replace(transfer.row, decided=at, status=Status.DECIDED, newest=at))


def _approve(state: State, envelope: Envelope, at: int) -> State:
    history = History(state)
    transfer = at_status(state, _approval_of(envelope).transfer, Status.DECIDED, Status.AUTHORIZED)
    approval = check_approval(envelope, history.proposal(transfer))
    require(not state.has(tables.SPOKEN, approval.nonce), "repeats an approval")
    row = replace(transfer.row, approved=(*transfer.row.approved, at), newest=at)
    for index, earlier in zip(transfer.row.approved, transfer.opinions, strict=True):
        if earlier.officer == approval.officer:
            require(may_follow(earlier, approval), f"is the second by {approval.officer}")
            approved = tuple(each for each in row.approved if each != index)
            # The authorization may have counted the one that expired: it has to be given again.
            row = replace(row, approved=approved, authorized=None, status=Status.DECIDED)
    state = note_reader(state, approval.officer, approval.log_size)
    if approval.verdict is Opinion.VETO:
        state = _note_veto(state, transfer, at)
    return become(state.put(tables.SPOKEN, approval.nonce, Nothing()), row)


def _note_veto(state: State, transfer: Transfer, at: int) -> State:
    """A no is to the request, and to be remembered whenever the same is asked for again."""
    named, request = Named(transfer.id), transfer.request
    state = state.put(tables.VETOES, transfer.row.request + number(at), named)
    for each in request.payments:
        state = state.put(tables.VETOED, tables.payment_key(each.payee, each.amount) + number(at), named)
    return state


def note_reader(state: State, who: str | bytes, size: int) -> State:
    """Note how much of the log somebody has seen at least."""
    seen = state.get(tables.READERS, tables.reader_key(who)) or Number(0)
    return state.put(tables.READERS, tables.reader_key(who), Number(max(size, seen.value)))


def _given_up(state: State, envelope: Envelope) -> Transfer:
    """The live transfer that somebody who may has signed away."""
    history = History(state)
    transfer = history.transfer(_withdrawal_of(envelope).transfer)
    check_withdrawal(envelope, history.proposal(transfer))
    require(transfer.is_live, f"comes while the transfer is {transfer.status}")
    return transfer


def _withdraw(state: State, envelope: Envelope, at: int) -> State:
    transfer = _given_up(state, envelope)
    require(not transfer.is_bearer, "comes after signatures were requested")
    return _close(state, transfer, Ending.WITHDRAWN, at)


def _abandon(state: State, envelope: Envelope, at: int) -> State:
    """End a transfer whose signatures may be around, on somebody's signed word and never on the coordinator's.

    That a coin of it is gone only a coordinator can know. It goes on being counted, and its request pays no second
    time.
    """
    transfer = _given_up(state, envelope)
    require(transfer.is_bearer, "comes before signatures were requested")
    require(transfer.row.seen is None, "comes while the transfer stands in a block")
    return _close(state, transfer, Ending.ABANDONED, at)


def _authorize(state: State, authorization: Authorization, at: int) -> State:
    transfer = at_status(state, authorization.transfer, Status.DECIDED)
    is_allowed = transfer.decision is not None and transfer.decision.verdict is not Verdict.DENY
    require(is_allowed, "authorizes what was denied")
    return become(state, replace(transfer.row, authorized=at, status=Status.AUTHORIZED, newest=at))


def _end(state: State, ended: Ended, at: int) -> State:
    history = History(state)
    transfer = history.transfer(ended.transfer)
    require(transfer.is_live, f"comes while the transfer is {transfer.status}")
    may_end = not transfer.is_bearer or ended.reason is Ending.SUPERSEDED
    require(may_end, "ends a transfer whose signatures may be around")
    holds = False  # a withdrawal has an entry of its own, signed by who withdrew
    match ended.reason:
        case Ending.SUPERSEDED:
            holds = is_superseded(history, transfer)
        case Ending.DENIED:
            holds = transfer.decision is not None and transfer.decision.verdict is Verdict.DENY
        case Ending.VETOED:
            holds = any(each.verdict is Opinion.VETO for each in transfer.opinions)
        case Ending.EXPIRED:
            holds = ended.at >= transfer.request.expires
    require(holds, f"says {ended.reason}, but nothing before it does")
    return _close(state, transfer, ended.reason, at)


def _close(state: State, transfer: Transfer, why: Ending, at: int) -> State:
    return become(state, replace(transfer.row, ended=at, ending=why, status=Status.ENDED, newest=at))


def _approval_of(envelope: Envelope) -> Approval:
    return unsafe_payload(envelope, Approval)


def _withdrawal_of(envelope: Envelope) -> Withdrawal:
    return unsafe_payload(envelope, Withdrawal)


REQUESTED: Final = EntryKind(
    "requested",
    Envelope,
    _ask,
    subjects=lambda envelope: (read_request(envelope).digest(),),
    author=lambda envelope: read_request(envelope).requester,
)
DRAFTED: Final = EntryKind(
    "drafted", Draft, _draft, subjects=lambda drafted: (drafted.transfer_id, drafted.identity.request)
)
DECIDED: Final = EntryKind("decided", Decision, _decide, subjects=lambda decision: (decision.transfer,))
APPROVED: Final = EntryKind(
    "approved",
    Envelope,
    _approve,
    subjects=lambda envelope: (_approval_of(envelope).transfer,),
    author=lambda envelope: _approval_of(envelope).officer,
)
WITHDRAWN: Final = EntryKind(
    "withdrawn",
    Envelope,
    _withdraw,
    subjects=lambda envelope: (_withdrawal_of(envelope).transfer,),
    author=lambda envelope: _withdrawal_of(envelope).person,
)
ABANDONED: Final = EntryKind(
    "abandoned",
    Envelope,
    _abandon,
    subjects=lambda envelope: (_withdrawal_of(envelope).transfer,),
    author=lambda envelope: _withdrawal_of(envelope).person,
)
AUTHORIZED: Final = EntryKind(
    "authorized", Authorization, _authorize, subjects=lambda authorization: (authorization.transfer,)
)
ENDED: Final = EntryKind("ended", Ended, _end, subjects=lambda ended: (ended.transfer,))
