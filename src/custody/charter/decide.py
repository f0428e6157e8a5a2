"""Whether a charter allows a case, needs approvals for it, or denies it.

A pure function: same case, same charter, same facts, same answer, years later. Every output that is not change must be
allowed by some rule, no rule may refuse, and what every matching rule demands must be met. Nothing is allowed because
nothing was said.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from custody.charter.document import Charter
from custody.charter.facts import Fact, Facts
from custody.charter.rules import AllowRule, ApprovalsRule, Case, Demand, DestNotAllowed, FeeRule, LimitRule
from custody.errors import Refused
from custody.record import MAX_TEXT, Digest, Record, Text
from custody.units import Count


class Frozen(Refused, code="FROZEN"):
    """Everything stands still until people have looked."""

    message = "the vaults are frozen: {why}"
    hint = "Call the officers: a freeze is lifted by the quorum the charter names, never by one person."
    why: str


class Verdict(StrEnum):
    """What a charter says of a case."""

    ALLOW = "allow"
    NEEDS = "needs"
    DENY = "deny"


class Finding(Record):
    """What one rule said: `code` and `reason` of its refusal, or how it is content."""

    kind: ClassVar[str] = "finding"

    rule: Text
    verdict: Verdict
    code: Text | None
    reason: Text


class Decision(Record):
    """A verdict on one transfer with each rule's reason. `demands` are what approvals must still meet.

    `facts` are what was asked of the log's first `size` entries.
    """

    kind: ClassVar[str] = "decision"

    transfer: Digest
    charter: Digest
    size: Count
    facts: tuple[Fact, ...]
    verdict: Verdict
    findings: tuple[Finding, ...]
    demands: tuple[Demand, ...]


def refuse_frozen(why: str | None) -> None:
    """Pass when nothing stands still.

    Raises:
        Frozen: everything does, and this is why.
    """
    if why is not None:
        raise Frozen(why=why)


def decide(transfer: bytes, case: Case, charter: Charter, facts: Facts) -> Decision:
    """Judge `case`, the meaning of the transfer with id `transfer` (32 bytes)."""
    findings = [
        Finding(rule=name, verdict=Verdict.DENY, code=refusal.code, reason=_shortened(str(refusal)))
        for name, refusal in _refusals(case, charter, facts)
    ]
    demands = _demands(case, charter)
    findings.extend(
        Finding(
            rule=demand.rule,
            verdict=Verdict.NEEDS,
            code=None,
            reason=f"needs {demand.count} approval(s) by the role {demand.role}",
        )
        for demand in demands
    )
    spoke = {finding.rule for finding in findings}
    findings.extend(
        Finding(rule=rule.name, verdict=Verdict.ALLOW, code=None, reason="has no objection")
        for rule in charter.rules
        if rule.governs(case) and rule.name not in spoke
    )
    if any(finding.verdict is Verdict.DENY for finding in findings):
        verdict = Verdict.DENY
    else:
        verdict = Verdict.NEEDS if demands else Verdict.ALLOW
    return Decision(
        transfer=transfer,
        charter=charter.digest(),
        size=facts.size,
        facts=facts.asked(),
        verdict=verdict,
        findings=tuple(findings),
        demands=demands,
    )


def refuse_denied(case: Case, charter: Charter, facts: Facts) -> None:
    """Pass when no rule refuses the case.

    Raises:
        Refused: the first rule's refusal, by its own code.
    """
    for _, refusal in _refusals(case, charter, facts):
        raise refusal


def _refusals(case: Case, charter: Charter, facts: Facts) -> Iterator[tuple[str, Refused]]:
    """Each refusal with the name of the rule it comes from, in a fixed order."""
    if facts.frozen_by is not None:
        yield "freeze", Frozen(why=facts.frozen_by)
    allowed = {
        payee for rule in charter.rules if isinstance(rule, AllowRule) and rule.governs(case) for payee in rule.payees
    }
    for payment in case.payments:
        if payment.payee not in allowed:
            yield "default", DestNotAllowed(payee=payment.payee, vault=case.vault)
    for rule in charter.rules:
        if isinstance(rule, LimitRule | FeeRule) and rule.governs(case):
            for refusal in rule.refusals(case):
                yield rule.name, refusal


def _shortened(reason: str) -> str:
    """A reason that fits in a record: a freeze names two transactions, and names may be long."""
    return reason[:MAX_TEXT].strip()


def _demands(case: Case, charter: Charter) -> tuple[Demand, ...]:
    asked = (rule.demand(case) for rule in charter.rules if isinstance(rule, ApprovalsRule) and rule.governs(case))
    return tuple(demand for demand in asked if demand is not None)
