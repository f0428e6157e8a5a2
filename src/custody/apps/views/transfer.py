"""How does a transfer read to whoever follows it at the coordinator?

Everything comes from the log. What is shown here is the coordinator's word: officers and custodians read
the same from evidence on machines of their own (`examination`).
"""

from __future__ import annotations

from custody.apps.terminal import JsonValue
from custody.apps.views.charter import cosigners_data
from custody.apps.views.judgement import approvals_data, decision_data
from custody.apps.views.layout import (
    INDENT,
    Data,
    bitcoin,
    block,
    in_words,
    listed,
    rate,
    said,
    sats,
    screen,
    table,
    txid,
)
from custody.apps.views.left import left_block, left_of_data
from custody.apps.views.released import released_data, released_lines, released_of
from custody.apps.views.request import request_data
from custody.apps.views.ties import fee_rows, fees_data, tied, tied_data
from custody.charter.decide import Decision
from custody.dates import moment
from custody.history.questions import History
from custody.history.relations import members
from custody.transfer.approval import Approval, ApprovalMissing, Opinion, RoleTally, tallies
from custody.transfer.request import ReasonAnnex, TransferRequest
from custody.transfer.signing import signed_tally
from custody.transfer.state import Status, Transfer
from custody.units import rate_of
from custody.words import show_words


def reason_of(request: TransferRequest, history: History) -> str | None:
    """Why somebody asks, None when that was erased."""
    found = history.annex(ReasonAnnex, request.annex)
    return None if found is None else found.reason


def replacing(transfer: Transfer, history: History) -> tuple[Transfer, ...]:
    """The transfers that were drafted to take its place, in their order."""
    return tuple(each for each in members(history, transfer.group) if transfer.id in each.row.replaced)


def annex_rows(request: TransferRequest, history: History) -> list[tuple[str, str]]:
    """Where the reason stands, to be erased by."""
    at = history.annexed_at(request.annex)
    return [] if at is None else [("annex", f"entry {at} of the log")]


# --- one --------------------------------------------------------------------------------------------------------------


def status_text(transfer: Transfer) -> str:
    """How far it has come, and why it is over when it is."""
    said = str(transfer.status)
    if transfer.ended is not None:
        joint = ": " if transfer.status is Status.ENDED else ", though it was "
        said += f"{joint}{transfer.ended.reason}"
    return f"{said} (sent by somebody else)" if transfer.is_early else said


def expired_of(transfer: Transfer, now: int) -> tuple[Approval, ...]:
    """Approvals that do not hold at `now` any more, while they still have to: until enough cosigners have signed."""
    if not transfer.is_live or transfer.row.combined is not None:
        return ()
    return tuple(each for each in transfer.opinions if each.verdict is Opinion.APPROVE and now >= each.expires)


def tallies_of(transfer: Transfer, history: History, now: int) -> tuple[RoleTally, ...]:
    """How far each demand is met at `now`; nothing before the rules were asked, or when they said no.

    Raises:
        ApprovalMissing: a demand can never be met, since too few may approve what this requester asks for.
    """
    if transfer.decision is None or transfer.ended is not None:
        return ()
    expired = expired_of(transfer, now)
    holding = [each for each in transfer.opinions if each not in expired]
    return tallies(history.proposal(transfer), transfer.decision, holding)


def is_agreed(transfer: Transfer, history: History, now: int) -> bool:
    """Whether every demand is met at `now`."""
    try:
        return all(each.tally.is_met for each in tallies_of(transfer, history, now))
    except ApprovalMissing:
        return False


def transfer_text(transfer: Transfer, history: History, now: int) -> str:
    """The whole transfer for a person, as it stands at `now` (Unix seconds)."""
    meaning, request = history.case(transfer), transfer.request
    spent = sum(each.amount for each in transfer.draft.identity.spent)
    asked = [
        ("state", status_text(transfer)),
        ("by", request.requester),
        ("why", said(transfer.reason)),
        ("what", f"a {request.purpose} from vault {meaning.vault}"),
        ("until", moment(request.expires)),
        *annex_rows(request, history),
        *tied(transfer),
        *(("replaced by", f"{each.id.hex()}, {status_text(each)}") for each in replacing(transfer, history)),
    ]
    fee_rate = rate(rate_of(meaning.fee, meaning.vbytes))
    money = [
        ("spends", bitcoin(spent), sats(spent), f"{len(transfer.draft.outpoints)} coin(s)"),
        ("fee", bitcoin(meaning.fee), sats(meaning.fee), fee_rate),
        *fee_rows(meaning),
        ("leaves", bitcoin(meaning.outflow), sats(meaning.outflow), "payees and fee together"),
        ("change", bitcoin(meaning.change), sats(meaning.change), "returns to the vault"),
    ]
    return screen(
        block(f"Transfer {transfer.id.hex()}", table(asked)),
        block("Pays", _payees(transfer, history)),
        block("Money", table(money, frozenset({1, 2}))),
        left_block(transfer.draft, request.purpose),
        block("Released from quarantine", listed(released_lines(released_of(transfer, history)))),
        block("Rules", decision_lines(transfer.decision)),
        block("Approvals", approval_lines(transfer, history, now)),
        block("Signatures", _signatures(transfer, history)),
        block("In the chain", _settlement(transfer)),
        in_words(transfer.id),
    )


def _payees(transfer: Transfer, history: History) -> list[str]:
    paid = history.proposal(transfer).paid
    if not paid:
        return [f"{INDENT}nobody: everything but the fee returns to the vault"]
    return table([(bitcoin(each.amount), each.payee, each.address) for each in paid], frozenset({0}))


def decision_lines(decision: Decision | None) -> list[str]:
    """What each rule said."""
    if decision is None:
        return []
    findings = [(each.verdict.value, each.code or "", each.rule, each.reason) for each in decision.findings]
    return table([*findings, (decision.verdict.value, "", "in all", "")])


def approval_lines(transfer: Transfer, history: History, now: int) -> list[str]:
    """Who agreed, and while something still hangs on it who may do so."""
    try:
        found = tallies_of(transfer, history, now)
    except ApprovalMissing as never:
        return [f"{INDENT}{never}"]
    lines: list[str] = []
    for each in found:
        tally = each.tally
        needs = f"{tally.needed} more needed from {', '.join(tally.missing)}" if transfer.is_live else "not met"
        state = "met" if tally.is_met else needs
        who = ", ".join(tally.acted) or "nobody yet"
        lines.append(f"{INDENT}{each.demand.rule}: {len(tally.acted)} of {tally.threshold} ({who}), {state}")
    lines += [f"{INDENT}{each.officer}: agreed until {moment(each.expires)}" for each in expired_of(transfer, now)]
    return lines


def _signatures(transfer: Transfer, history: History) -> list[str]:
    if transfer.signing is None:
        return []
    vault = history.proposal(transfer).vault
    tally = signed_tally(vault, transfer.signed)
    signed, missing = vault.shown(tally.acted) or "nobody yet", vault.shown(tally.missing)
    lines = [f"{INDENT}{len(tally.acted)} of {tally.threshold} cosigners ({signed})"]
    return lines if tally.is_met or not transfer.is_live else [*lines, f"{INDENT}these may still sign: {missing}"]


def _settlement(transfer: Transfer) -> list[str]:
    rows = [] if transfer.txid is None else [("txid", txid(transfer.txid))]
    if transfer.is_early:
        was = "before it was released" if transfer.release is None else "though it was given up"
        rows.append(("ALARM", f"sent by somebody else {was}"))
    if transfer.seen is not None:
        rows.append(("block", f"{transfer.seen.height} {transfer.seen.block[::-1].hex()}"))
    return table(rows)


def transfer_data(transfer: Transfer, history: History, now: int) -> Data:
    """The whole transfer for a program, as it stands at `now` (Unix seconds)."""
    meaning, proposal = history.case(transfer), history.proposal(transfer)
    return {
        "id": transfer.id.hex(),
        "words": show_words(transfer.id),
        "status": transfer.status.value,
        "drafted": transfer.draft.at,
        "is_live": transfer.is_live,
        "group": transfer.group.hex(),
        "vault": meaning.vault,
        "request": request_data(transfer.request, transfer.reason),
        "annex_entry": history.annexed_at(transfer.request.annex),
        "payments": [{"payee": each.payee, "address": each.address, "sats": each.amount} for each in proposal.paid],
        "inputs": [str(each) for each in transfer.draft.outpoints],
        "sats": {
            "spent": sum(each.amount for each in transfer.draft.identity.spent),
            "fee": meaning.fee,
            "change": meaning.change,
            "outflow": meaning.outflow,
        },
        "sat_per_kvb": rate_of(meaning.fee, meaning.vbytes),
        "long_term_sat_per_kvb": transfer.draft.long_term_rate,
        "left_behind": left_of_data(transfer.draft, transfer.request.purpose),
        "released_coins": released_data(released_of(transfer, history)),
        **fees_data(meaning),
        "tied": tied_data(transfer),
        "replaced_by": [each.id.hex() for each in replacing(transfer, history)],
        **decision_data(transfer.decision),
        "approvals": agreed_data(transfer, history, now),
        "cosigners": cosigners_data(proposal.entry, proposal.vault),
        "signed": [each.cosigner.hex() for each in transfer.signed],
        "txid": None if transfer.txid is None else txid(transfer.txid),
        "is_early": transfer.is_early,
        "height": None if transfer.seen is None else transfer.seen.height,
        "ended": None if transfer.ended is None else {"reason": transfer.ended.reason, "detail": transfer.ended.detail},
    }


def agreed_data(transfer: Transfer, history: History, now: int) -> list[JsonValue]:
    """How far each demand is met, for a program; nothing when one can never be."""
    try:
        return approvals_data(tallies_of(transfer, history, now))
    except ApprovalMissing:
        return []
