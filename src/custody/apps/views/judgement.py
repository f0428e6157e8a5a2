"""How does a program read what rules said, and who has agreed or signed so far?

The same for everybody: the coordinator's word and what a station worked out are spelled alike, so that they can be
compared field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from custody.apps.terminal import JsonValue
from custody.apps.views.layout import Data
from custody.charter.decide import Decision
from custody.quorum import Tally
from custody.transfer.approval import RoleTally

Member = TypeVar("Member")


def decision_data(decision: Decision | None) -> Data:
    """`verdict` and `findings`, each rule's with its reason and code; null and none before the rules were asked."""
    if decision is None:
        return {"verdict": None, "findings": []}
    return {
        "verdict": decision.verdict.value,
        "findings": [
            {"rule": each.rule, "verdict": each.verdict.value, "code": each.code, "reason": each.reason}
            for each in decision.findings
        ],
    }


def approvals_data(tallies: Iterable[RoleTally]) -> list[JsonValue]:
    """How far each demand for approvals is met: `rule`, `role`, and the names as `tally_data` gives them."""
    return [
        {"rule": each.demand.rule, "role": each.demand.role.value, **tally_data(each.tally, str)} for each in tallies
    ]


def tally_data(tally: Tally[Member], name: Callable[[Member], str]) -> Data:
    """How many must sign (`threshold`), who has, how many are still needed, who may still, and if that is enough."""
    return {
        "threshold": tally.threshold,
        "signed": [name(each) for each in tally.acted],
        "needed": tally.needed,
        "missing": [name(each) for each in tally.missing],
        "is_enough": tally.is_met,
    }
