"""What do an officer and a custodian read before they say yes?

Everything shown was computed on this machine from bytes, by `examine`; no summary that came with a
file is repeated. What was not checked is said on the same screen, and the 24 words come last, right above the
question, because they are what people compare aloud.

Each screen has its twin for `--json`: whole sats, digests in hexadecimal, the words as one text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from custody.apps.terminal import JsonValue
from custody.apps.views.alike import alike_blocks, alike_data
from custody.apps.views.judgement import approvals_data, decision_data
from custody.apps.views.layout import (
    INDENT,
    Data,
    bitcoin,
    block,
    counted,
    grouped,
    listed,
    plain,
    rate,
    said,
    sats,
    screen,
    share,
    span,
    table,
    under,
    words_block,
)
from custody.apps.views.left import left_block, left_of_data
from custody.apps.views.released import released_data, released_lines
from custody.apps.views.request import request_data
from custody.apps.views.ties import fee_rows, fees_data, tied, tied_data
from custody.bitcoin.script import address
from custody.clock import CLOCK_SKEW
from custody.dates import moment
from custody.examine.evidence import Stage
from custody.examine.examination import Examination, Step
from custody.transfer.approval import RoleTally
from custody.transfer.request import Purpose
from custody.units import rate_of
from custody.words import show_words

NOT_WITNESSED: Final = (
    "NOT WITNESSED: nobody but the coordinator says that this is the whole history,\nor that others see the same one."
)
_RIGHT: Final = frozenset({1, 2})


def examination_screen(found: Examination, now: int) -> str:
    """The whole transfer as this machine judged it; `now` is this machine's clock."""
    task = "approve" if found.stage is Stage.APPROVE else "sign"
    return screen(
        f"Transfer to {task}: {headline(found)}",
        block("Examined here", steps_table(found.steps)),
        *transfer_blocks(found, now),
        *alike_blocks(found.vetoed_alike, found.paid_alike),
        block("Not checked here", listed(found.not_checked)),
        "" if found.is_witnessed else NOT_WITNESSED,
        words_block("Transfer", found.transfer_id),
    )


def headline(found: Examination) -> str:
    """Whose transfer it is."""
    charter = found.charter
    return f"vault {plain(found.vault_name)} of {plain(charter.institution)}, on {charter.network}"


def steps_table(steps: Iterable[Step]) -> list[str]:
    """Steps that passed, a line each."""
    return table((f"{each.number}.", each.title, each.finding) for each in steps)


def transfer_blocks(found: Examination, now: int, standing: str = "") -> list[str]:
    """What a transfer is; `standing` goes with each title, where that must be said."""
    return [
        block(f"Asked for{standing}", _asked(found, now)),
        block(f"Pays{standing}", _payees(found)),
        block(f"Money{standing}", _money(found)),
        left_block(found.draft, found.request.purpose, standing),
        block(f"Released from quarantine{standing}", listed(released_lines(found.released))),
        block(f"Rules{standing}", _rules(found)),
        block(f"Approvals{standing}", _approvals(found)),
        block(f"Signatures{standing}", _signatures(found)) if found.stage is Stage.SIGN else "",
    ]


def _asked(found: Examination, now: int) -> list[str]:
    request = found.request
    rows = [
        ("by", request.requester),
        ("why", said(found.reason)),
        ("what", _purpose(found)),
        ("when", f"{moment(request.issued)}, holds until {moment(request.expires)}"),
        ("now", f"{moment(now)} by the clock of this machine{_history_age(found, now)}"),
    ]
    return table([*rows, *tied(found.transfer)])


def _purpose(found: Examination) -> str:
    match found.request.purpose:
        case Purpose.PAYMENT:
            return f"a payment to {counted(len(found.payments), 'payee')}"
        case Purpose.SWEEP:
            return "a sweep: everything this vault can spend goes to one payee"
        case Purpose.CONSOLIDATION:
            return "a consolidation: many coins of the vault become one, nobody else is paid"
        case Purpose.CANCELLATION:
            return "a cancellation: the coins return to the vault, so that what it replaces can never confirm"
        case Purpose.CHILD:
            return "a child that pays for its parent: the change of a waiting transfer returns, and both get its fee"


def _history_age(found: Examination, now: int) -> str:
    """How old the newest witnessing is, and whether a clock is wrong."""
    if not found.cosignatures:
        return ""
    newest = max(each.time for each in found.cosignatures)
    if newest > now + CLOCK_SKEW:
        return f"; the history was witnessed {span(newest - now)} LATER: one clock is wrong"
    return f"; history witnessed {span(max(0, now - newest))} ago"


def _payees(found: Examination) -> list[str]:
    if not found.payments:
        return [f"{INDENT}nobody: everything but the fee returns to the vault"]
    rows = [
        (f"{number}.", bitcoin(each.amount), sats(each.amount), each.payee)
        for number, each in enumerate(found.payments, 1)
    ]
    lines: list[str] = []
    for row, each in zip(table(rows, _RIGHT), found.payments, strict=True):
        lines += [row, *under(grouped(each.address))]
    return lines


def _money(found: Examination) -> list[str]:
    case = found.case
    spent = sum(each.amount for each in found.reading.spent)
    fee_rate = rate(rate_of(case.fee, case.vbytes))
    fee = f"{fee_rate}, {share(case.fee, case.moved)} of what is moved"
    changes = list(_changes(found))
    rows = [
        (
            "spends",
            bitcoin(spent),
            sats(spent),
            f"{counted(len(found.reading.inputs), 'coin')} of the vault, by previous transactions",
        ),
        ("fee", bitcoin(case.fee), sats(case.fee), fee),
        *fee_rows(case),
        ("leaves", bitcoin(case.outflow), sats(case.outflow), "payees and fee together"),
        ("change", bitcoin(case.change), sats(case.change), "returns to the vault" if changes else "none"),
    ]
    lines = table(rows, _RIGHT)
    for index, text in changes:
        lines += under((f"to its own change address {index}, derived here:", *grouped(text)))
    return lines


def _changes(found: Examination) -> Iterator[tuple[int, str]]:
    for each in found.reading.outputs:
        if each.change is not None:
            yield each.change, address(each.output.script_pubkey, found.charter.network)


def _rules(found: Examination) -> list[str]:
    findings = [(each.verdict, each.rule, each.reason) for each in found.decision.findings]
    return table([*findings, (found.decision.verdict, "in all", "as the charter's rules give it here")])


def _approvals(found: Examination) -> list[str]:
    return [line for each in found.tallies for line in _tally_lines(each)] or [f"{INDENT}none are demanded"]


def _tally_lines(each: RoleTally) -> list[str]:
    tally = each.tally
    state = "met" if tally.is_met else f"{tally.needed} more needed"
    lines = [f"{INDENT}{plain(each.demand.rule)}: {len(tally.acted)} of {tally.threshold}, {state}"]
    rows = [("approved", ", ".join(tally.acted) or "nobody yet")]
    if not tally.is_met:
        rows.append(("may still", ", ".join(tally.missing)))
    return lines + [f"{INDENT}{line}" for line in table(rows)]


def _signatures(found: Examination) -> list[str]:
    vault = found.vault
    signed = {each.cosigner for each in found.transfer.signed}
    return [
        f"{INDENT}{vault.threshold} of {len(vault.cosigners)} cosigners must sign",
        *table(
            (each.shown, "has signed, says this log" if each.fingerprint in signed else "not in this log")
            for each in vault.cosigners
        ),
    ]


def examination_data(found: Examination) -> Data:
    """What `examination_screen` shows, for a program."""
    alike = alike_data(found.vetoed_alike, found.paid_alike)
    return {**transfer_data(found), "proved": True, **alike, "not_checked": list(found.not_checked)}


def transfer_data(found: Examination) -> Data:
    """The same without a word on how far it is proved."""
    case, draft = found.case, found.draft
    return {
        "stage": found.stage.value,
        "institution": found.charter.institution,
        "network": found.charter.network.value,
        "vault": found.vault_name,
        "vault_id": found.vault.id.hex(),
        "charter": found.charter.digest().hex(),
        "transfer": found.transfer_id.hex(),
        "words": show_words(found.transfer_id),
        "evidence": found.body_digest.hex(),
        "request": request_data(found.request, found.reason),
        "tied": tied_data(found.transfer),
        "payments": [{"payee": p.payee, "address": p.address, "sats": p.amount} for p in found.payments],
        "change": [{"index": index, "address": text} for index, text in _changes(found)],
        "sats": {
            "spent": sum(each.amount for each in found.reading.spent),
            "fee": case.fee,
            "change": case.change,
            "outflow": case.outflow,
        },
        "sat_per_kvb": rate_of(case.fee, case.vbytes),
        "long_term_sat_per_kvb": draft.long_term_rate,
        "left_behind": left_of_data(draft, found.request.purpose),
        "released_coins": released_data(found.released),
        **fees_data(case),
        "inputs": [str(each) for each in draft.outpoints],
        **decision_data(found.decision),
        "approvals": approvals_data(found.tallies),
        "log": {"size": found.checkpoint.size, "root": found.checkpoint.root.hex()},
        "witnessed": found.is_witnessed,
        "steps": steps_data(found.steps),
    }


def steps_data(steps: Iterable[Step]) -> list[JsonValue]:
    """Steps for a program."""
    return [{"number": each.number, "title": each.title, "finding": each.finding} for each in steps]
