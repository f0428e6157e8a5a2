"""How does a transfer read to whoever follows it at the coordinator, and what is to be done with it next?

Everything comes from the log, folded again. What is shown here is the coordinator's word: officers and custodians read
the same from evidence on machines of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from custody.apps.commands.payments_file import total_of
from custody.apps.coordinator import Coordinator, coordinator, find_id
from custody.apps.station_commands.layout import INDENT, bitcoin, block, moment, rate, sats, screen, table
from custody.apps.station_commands.ties import fee_rows, fees_data, named, tied, tied_data
from custody.apps.terminal import JsonValue, Verb, output
from custody.charter.decide import Decision
from custody.charter.rules import Case
from custody.delivery import Underway, underway
from custody.envelope import Envelope
from custody.errors import BackendError
from custody.ports import Standing
from custody.transfer.approval import ApprovalMissing, RoleTally, tallies
from custody.transfer.draft import paid_outputs
from custody.transfer.history import History
from custody.transfer.request import Purpose, TransferRequest, read_request
from custody.transfer.signing import signed_tally
from custody.transfer.state import Status, Transfer
from custody.units import rate_of
from custody.words import show_words

SHORT = 12
"""Digits of an id in lists: enough for the commands, and for a few thousand transfers."""


@click.command(name="list", cls=Verb)
@click.option("--live", "is_live", is_flag=True, help="Only what is not settled or over yet.")
def list_transfers(*, is_live: bool) -> None:
    """List requests and transfers, and how far they are.

    An id may be shortened in every command: six digits are enough while they name one transfer only.
    """
    history = coordinator().history()
    warn_frozen(history)
    transfers = [each for each in history.transfers.values() if each.is_live or not is_live]
    requests = undrafted(history)
    output().emit(
        {
            "requests": [request_data(each) for each in requests],
            "transfers": [transfer_data(each, history) for each in transfers],
        },
        lambda: _table(requests, transfers, history),
    )


def undrafted(history: History) -> list[TransferRequest]:
    """Requests that no transfer was drafted for."""
    drafted = {each.draft.identity.request for each in history.transfers.values()}
    return [read_request(each) for key, each in history.requests.items() if key not in drafted]


def _table(requests: Sequence[TransferRequest], transfers: Sequence[Transfer], history: History) -> str:
    rows = [(each.digest().hex()[:SHORT], "requested", "", each.requester, each.reason) for each in requests]
    for each in transfers:
        outflow = bitcoin(case(each, history).outflow)
        rows.append((each.id.hex()[:SHORT], status_text(each), outflow, each.request.requester, each.request.reason))
    if not rows:
        return "no transfers yet"
    return "\n".join(table([("id", "state", "leaves", "asked by", "why"), *rows], frozenset({2})))


@click.command(cls=Verb)
@click.argument("transfer_id", metavar="ID")
def show(*, transfer_id: str) -> None:
    """Show one transfer: payees, rules, approvals, signatures.

    ID is a transfer's or a request's, whole or its beginning. Where the node has what was sent is asked of it.
    """
    desk = coordinator()
    history = desk.history()
    warn_frozen(history)
    requests = {each.digest(): each for each in undrafted(history)}
    found = find_id(transfer_id, [*history.transfers, *requests], "transfer")
    if found in requests:
        request = requests[found]
        output().emit(request_data(request), lambda: request_text(request))
        output().next_step(f"custody transfer draft {found.hex()[:SHORT]}")
        return
    transfer = history.transfer(found)
    sent = _underway(desk, transfer)
    standing = sent[0].standing if sent else None
    output().emit(
        {**transfer_data(transfer, history), "standing": standing},
        lambda: screen(transfer_text(transfer, history), block("At the node", _standing(standing))),
    )
    warn_dropped(sent)
    tell_next(transfer, history)


def _underway(desk: Coordinator, transfer: Transfer) -> list[Underway]:
    """Where the node has the transfer, if it was sent and no block is known to hold it; nothing when it is away."""
    if transfer.release is None or transfer.seen is not None or not transfer.is_live:
        return []
    try:
        with desk.chain() as chain:
            return [
                each for each in underway(desk.history(), desk.outbox(), chain.relay) if each.transfer == transfer.id
            ]
    except BackendError as error:
        output().talk(f"whether it still waits for a block is not known: {error}")
        return []


def _standing(standing: Standing | None) -> list[str]:
    return [] if standing is None else [f"{INDENT}{standing_text(standing)}"]


def warn_frozen(history: History) -> None:
    """Say before anything else that everything stands still."""
    if history.frozen_by is not None:
        output().talk(f"FROZEN: {history.frozen_by}")


# --- what a transfer is -----------------------------------------------------------------------------------------------


def case(transfer: Transfer, history: History) -> Case:
    """What the transfer means to the rules."""
    return history.case(transfer)


def status_text(transfer: Transfer) -> str:
    """How far it has come, and why it is over when it is."""
    return f"{transfer.status}: {transfer.ended.reason}" if transfer.ended is not None else str(transfer.status)


def tallies_of(transfer: Transfer, history: History) -> tuple[RoleTally, ...]:
    """How far each demand is met; nothing before the rules were asked, or when they said no.

    Raises:
        ApprovalMissing: a demand can never be met, since too few may approve what this requester asks for.
    """
    if transfer.decision is None or transfer.ended is not None:
        return ()
    return tallies(transfer.decision, transfer.request, history.charter, transfer.opinions)


def is_agreed(transfer: Transfer, history: History) -> bool:
    """Whether every demand is met."""
    try:
        return all(each.tally.is_met for each in tallies_of(transfer, history))
    except ApprovalMissing:
        return False


def transfer_text(transfer: Transfer, history: History) -> str:
    """The whole transfer for a person."""
    meaning, request = case(transfer, history), transfer.request
    spent = sum(each.amount for each in transfer.draft.identity.spent)
    asked = [
        ("state", status_text(transfer)),
        ("by", request.requester),
        ("why", request.reason),
        ("what", f"a {request.purpose} from vault {meaning.vault}"),
        ("until", moment(request.expires)),
        *tied(transfer),
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
        block("Rules", decision_lines(transfer.decision)),
        block("Approvals", approval_lines(transfer, history)),
        block("Signatures", _signatures(transfer, history)),
        block("In the chain", _settlement(transfer)),
        f"In twelve words\n{INDENT}{show_words(transfer.id)}",
    )


def _payees(transfer: Transfer, history: History) -> list[str]:
    paid = paid_outputs(transfer.draft, transfer.request, history.charter)
    if not paid:
        return [f"{INDENT}nobody: everything but the fee returns to the vault"]
    return table([(bitcoin(each.amount), each.payee, each.address) for each in paid], frozenset({0}))


def decision_lines(decision: Decision | None) -> list[str]:
    """What each rule said."""
    if decision is None:
        return []
    findings = [(each.verdict.value, each.code or "", each.rule, each.reason) for each in decision.findings]
    return table([*findings, (decision.verdict.value, "", "in all", "")])


def approval_lines(transfer: Transfer, history: History) -> list[str]:
    """Who agreed and who may still."""
    try:
        found = tallies_of(transfer, history)
    except ApprovalMissing as never:
        return [f"{INDENT}{never}"]
    lines: list[str] = []
    for each in found:
        tally = each.tally
        state = "met" if tally.is_met else f"{tally.needed} more needed from {', '.join(tally.missing)}"
        who = ", ".join(tally.acted) or "nobody yet"
        lines.append(f"{INDENT}{each.demand.rule}: {len(tally.acted)} of {tally.threshold} ({who}), {state}")
    return lines


def _signatures(transfer: Transfer, history: History) -> list[str]:
    if transfer.signing is None:
        return []
    _, vault = history.charter.vault_by_id(transfer.draft.identity.vault)
    tally = signed_tally(vault, transfer.signed)
    signed = ", ".join(each.hex() for each in tally.acted) or "nobody yet"
    missing = ", ".join(each.hex() for each in tally.missing)
    lines = [f"{INDENT}{len(tally.acted)} of {tally.threshold} cosigners ({signed})"]
    return lines if tally.is_met else [*lines, f"{INDENT}these may still sign: {missing}"]


def _settlement(transfer: Transfer) -> list[str]:
    rows = [] if transfer.release is None else [("txid", txid(transfer.release.txid))]
    if transfer.seen is not None:
        rows.append(("block", f"{transfer.seen.height} {transfer.seen.block[::-1].hex()}"))
    return table(rows)


def txid(internal: bytes) -> str:
    """A txid or block hash as people and nodes write it."""
    return internal[::-1].hex()


_STANDINGS = {
    Standing.WAITING: "waits for a block",
    Standing.MINED: "stands in a block: custody observe",
    Standing.GONE: "DROPPED: it waits nowhere, and stands in no block",
}


def standing_text(standing: Standing) -> str:
    """Where a sent transaction is, by the node's word."""
    return _STANDINGS[standing]


def warn_dropped(found: Sequence[Underway]) -> None:
    """Say loudly what the node no longer has, and what brings it back."""
    for each in found:
        if each.standing is Standing.GONE:
            name = each.transfer.hex()[:SHORT]
            output().talk(
                f"DROPPED: transfer {name} was sent as {txid(each.txid)}, but it stands in no block, and the node does "
                "not keep it waiting any more.\n"
                "Send it again: custody transfer deliver. If its fee has become too low for that, ask for one that "
                f"pays more in its place: custody transfer request --replaces {name} ..."
            )


def transfer_data(transfer: Transfer, history: History) -> dict[str, JsonValue]:
    """The whole transfer for a program."""
    meaning = case(transfer, history)
    return {
        "id": transfer.id.hex(),
        "words": show_words(transfer.id),
        "status": transfer.status.value,
        "is_live": transfer.is_live,
        "group": transfer.group.hex(),
        "vault": meaning.vault,
        "request": request_data(transfer.request),
        "payments": [
            {"payee": each.payee, "address": each.address, "sats": each.amount}
            for each in paid_outputs(transfer.draft, transfer.request, history.charter)
        ],
        "inputs": [str(each) for each in transfer.draft.outpoints],
        "sats": {"fee": meaning.fee, "change": meaning.change, "outflow": meaning.outflow},
        "sat_per_kvb": rate_of(meaning.fee, meaning.vbytes),
        **fees_data(meaning),
        "tied": tied_data(transfer),
        "verdict": None if transfer.decision is None else transfer.decision.verdict.value,
        "findings": findings_data(transfer.decision),
        "approvals": approvals_data(transfer, history),
        "signed": [each.cosigner.hex() for each in transfer.signed],
        "txid": None if transfer.release is None else txid(transfer.release.txid),
        "height": None if transfer.seen is None else transfer.seen.height,
        "ended": None if transfer.ended is None else {"reason": transfer.ended.reason, "detail": transfer.ended.detail},
    }


def findings_data(decision: Decision | None) -> list[JsonValue]:
    """What each rule said, for a program."""
    if decision is None:
        return []
    return [
        {"rule": each.rule, "verdict": each.verdict.value, "code": each.code, "reason": each.reason}
        for each in decision.findings
    ]


def approvals_data(transfer: Transfer, history: History) -> list[JsonValue]:
    """How far each demand is met, for a program; nothing when one can never be."""
    try:
        found = tallies_of(transfer, history)
    except ApprovalMissing:
        return []
    return [
        {
            "rule": each.demand.rule,
            "threshold": each.tally.threshold,
            "approved": list(each.tally.acted),
            "needed": each.tally.needed,
            "missing": list(each.tally.missing),
        }
        for each in found
    ]


# --- what a request is ------------------------------------------------------------------------------------------------


def request_data(request: TransferRequest) -> JsonValue:
    """A request for a program."""
    return {
        "id": request.digest().hex(),
        "requester": request.requester,
        "reason": request.reason,
        "purpose": request.purpose.value,
        "vault_id": request.vault.hex(),
        "payments": [{"payee": each.payee, "sats": each.amount} for each in request.payments],
        "total": total_of(request.payments),
        "replaces": [each.hex() for each in request.replaces],
        "parent": None if request.parent is None else request.parent.hex(),
        "issued": request.issued,
        "expires": request.expires,
    }


def request_text(request: TransferRequest) -> str:
    """A request for a person."""
    rows = [
        ("by", request.requester),
        ("why", request.reason),
        ("what", f"a {request.purpose}"),
        *(
            ("pays", f"{'everything' if each.amount is None else bitcoin(each.amount)} to {each.payee}")
            for each in request.payments
        ),
        *_in_all(request),
        *named(request),
        ("until", moment(request.expires)),
    ]
    return block(f"Request {request.digest().hex()}", table(rows))


def _in_all(request: TransferRequest) -> list[tuple[str, str]]:
    """Count and sum of several payments."""
    count, total = len(request.payments), total_of(request.payments)
    return [("in all", f"{bitcoin(total)} in {count} payments")] if total is not None and count > 1 else []


def describe(envelope: Envelope) -> str:
    """A signed request for a person."""
    return request_text(read_request(envelope))


# --- what is next -----------------------------------------------------------------------------------------------------


def tell_next(transfer: Transfer, history: History) -> None:
    """Say what whoever runs the coordinator would do next."""
    step = next_step(transfer, history)
    if step:
        output().next_step(step)


def next_step(transfer: Transfer, history: History) -> str:
    """What is to be done next; empty when nothing is."""
    name = transfer.id.hex()[:SHORT]
    witness = " (have a checkpoint cosigned first: custody log checkpoint)" if history.charter.witnesses else ""
    evidence = f"custody transfer evidence {name}"
    return {
        Status.DRAFTED: f"custody transfer draft {transfer.request.digest().hex()[:SHORT]}",
        Status.DECIDED: f"ask for signatures: {evidence} --for sign -o FILE{witness}"
        if is_agreed(transfer, history)
        else f"give the officers evidence: {evidence} -o FILE{witness}",
        Status.AUTHORIZED: f"ask for signatures: {evidence} --for sign -o FILE{witness}",
        Status.SIGNING: f"{evidence} -o FILE{witness}, and with what comes back: custody transfer combine {name} PSBT",
        Status.COMBINED: f"custody transfer combine {name}",
        Status.VERIFIED: f"custody transfer release {name}{witness}",
        Status.RELEASED: "custody transfer deliver",
        Status.BROADCAST: f"custody observe, until it is deep enough{_if_stuck(transfer, name)}",
    }.get(transfer.status, "")


def _if_stuck(transfer: Transfer, name: str) -> str:
    """What helps a transfer that waits too long; empty for one that stands in a block."""
    if transfer.seen is not None:
        return ""
    # A child is replaced by another: one that speeds up a child would carry two.
    is_parent = transfer.draft.change is not None and transfer.request.purpose is not Purpose.CHILD
    ways = f"--replaces {name}" + (f" or --speed-up {name}" if is_parent else "")
    return f"; when it waits too long: custody transfer request {ways}"
