"""What one sentence of a charter says about one case.

Four kinds: `allow` (which payees), `approvals` (how many of which role), `limit` (how much leaves in one transfer) and
`fee` (how much may go to miners). A rule names the vaults it governs. It answers with a refusal, a demand, or nothing.
Amounts are total outflow including the fee, in sats. None of these kinds uses a fact that the witnessed log does not
give, so all of them are judged at drafting, at the station and at release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from custody.charter.people import Role
from custody.errors import Refused
from custody.record import SORTED, Record, Text
from custody.units import Count, FeeRate, Sat, rate_of
from custody.vault.keys import PublicText

PER_TEN_THOUSAND: Final = 10_000
# A charter that nobody has pinned yet is checked whole before anybody can look at it, so its size is what it costs:
# each vault of fifteen keys takes a station some 50 ms. Histories are tested with a thousand vaults; a national bank
# with one for each region and kind of coin stays below two.
MAX_VAULTS: Final = 2_000
MAX_PAYEES: Final = 10_000
MAX_RULES: Final = 500


class DestNotAllowed(Refused, code="DEST_NOT_ALLOWED"):
    """A payee that no rule allows."""

    message = "no rule of the charter allows paying {payee} from vault {vault}"
    hint = "Pay a payee the charter allows, or amend the charter: default is no."
    payee: str
    vault: str


class OverLimit(Refused, code="LIMIT_TRANSFER"):
    """More would leave in one transfer than a rule allows."""

    message = "{outflow} sat would leave vault {vault}; rule {rule} allows {limit} sat a transfer"
    hint = "Ask for less, or amend the charter. The fee counts as outflow."
    outflow: int
    vault: str
    rule: str
    limit: int


class FeeAbsolute(Refused, code="FEE_ABSOLUTE"):
    """A fee above the ceiling in sats."""

    message = "the fee of {fee} sat is above the {limit} sat of rule {rule}"
    hint = "Draft again at a lower fee rate or with fewer inputs."
    fee: int
    limit: int
    rule: str


class FeeTotal(Refused, code="REPLACE_FEE_TOTAL"):
    """A fee that stays below the ceiling in sats only by itself: with those before it, it does not."""

    message = (
        "the fee of {fee} sat and the {before} sat of what it replaces or speeds up come to {total} sat, above the "
        "{limit} sat of rule {rule}"
    )
    hint = "Draft again at a lower fee rate, or wait for what was sent: however often a fee is raised, it is one fee."
    fee: int
    before: int
    total: int
    limit: int
    rule: str


class FeeRateTooHigh(Refused, code="FEE_RATE"):
    """A fee above the ceiling for its size."""

    message = "the fee rate of {rate} sat/kvB is above the {limit} sat/kvB of rule {rule}"
    hint = "Draft again at a lower fee rate. What a child cannot pay for, a replacement of its parent can: --replaces."
    rate: int
    limit: int
    rule: str


class FeeShare(Refused, code="FEE_SHARE"):
    """A fee above the ceiling for the amount moved."""

    message = "the fee of {fee} sat is more than {share} in 10000 of the {moved} sat moved, which rule {rule} allows"
    hint = "Move more at once, or draft again at a lower fee rate."
    fee: int
    share: int
    moved: int
    rule: str


@dataclass(frozen=True, slots=True)
class Payment:
    """One output that is not change: `payee` is its name in the charter, `amount` in sats."""

    payee: str
    amount: int


@dataclass(frozen=True, slots=True)
class Carried:
    """A waiting transaction that one of its outputs is spent to speed up: its fee in sats, its size once signed."""

    fee: int
    vbytes: int


@dataclass(frozen=True, slots=True)
class Case:
    """What a draft means to rules.

    `vault` is its name in the charter; `change` is what returns to the vault, in sats; `vbytes` the size once signed.
    `fees_before` is earned from the log: sats of fees of what it replaces or speeds up. `carried` is what it speeds up.
    """

    vault: str
    purpose: str
    requester: str
    payments: tuple[Payment, ...]
    change: int
    fee: int
    vbytes: int
    fees_before: int = 0
    carried: Carried | None = None

    @property
    def fees(self) -> int:
        """Sats of its fee and of those before it."""
        return self.fee + self.fees_before

    @property
    def rate(self) -> int:
        """sat/kvB that miners get for this transaction, rounded up."""
        return rate_of(self.fee, self.vbytes)

    @property
    def rate_together(self) -> int:
        """The same for it and for what it carries."""
        carried = self.carried or Carried(0, 0)
        return rate_of(self.fee + carried.fee, self.vbytes + carried.vbytes)

    @property
    def outflow(self) -> int:
        """Sats that leave the vault, fee included."""
        return sum(payment.amount for payment in self.payments) + self.fee

    @property
    def moved(self) -> int:
        """Sats the transfer is about: what is paid, or what returns when nothing is."""
        return sum(payment.amount for payment in self.payments) or self.change


class Demand(Record):
    """`count` people of `role` must approve, says `rule`."""

    kind: ClassVar[str] = "demand"

    rule: Text
    role: Role
    count: Annotated[Count, Field(ge=1)]


class _Rule(Record):
    """What all rules share. `vaults` are the names of the vaults it governs: an empty list would govern nothing."""

    name: PublicText
    vaults: Annotated[tuple[PublicText, ...], SORTED, Field(min_length=1, max_length=MAX_VAULTS)]

    def governs(self, case: Case) -> bool:
        """Whether this rule speaks about the case's vault."""
        return case.vault in self.vaults


class AllowRule(_Rule):
    """Vaults may pay these payees. Alone it allows nothing else: limits and approvals still apply."""

    kind: ClassVar[str] = "rule-allow"

    type: Literal["allow"] = "allow"
    payees: Annotated[tuple[PublicText, ...], SORTED, Field(min_length=1, max_length=MAX_PAYEES)]


class ApprovalsRule(_Rule):
    """Transfers whose outflow reaches `from_amount` need `count` approvals by people of `role`."""

    kind: ClassVar[str] = "rule-approvals"

    type: Literal["approvals"] = "approvals"
    role: Role
    count: Annotated[Count, Field(ge=1, le=100)]
    from_amount: Sat = 0

    def demand(self, case: Case) -> Demand | None:
        """What this rule asks of the case, if it applies."""
        if case.outflow < self.from_amount:
            return None
        return Demand(rule=self.name, role=self.role, count=self.count)


class LimitRule(_Rule):
    """At most `max_outflow` sats leave in one transfer, fee included."""

    kind: ClassVar[str] = "rule-limit"

    type: Literal["limit"] = "limit"
    max_outflow: Sat

    def refusals(self, case: Case) -> tuple[Refused, ...]:
        """The refusal, when the case is over the limit."""
        if case.outflow <= self.max_outflow:
            return ()
        return (OverLimit(outflow=case.outflow, vault=case.vault, rule=self.name, limit=self.max_outflow),)


class FeeRule(_Rule):
    """Ceilings of the fee: sats, sat/kvB, and parts in 10000 of the amount moved. All three hold.

    The one in sats is for a purpose, not for an attempt: fees of what is replaced or sped up are added. The one in
    sat/kvB is for each transaction by itself, a child too: whether its parent still waits, so that both are taken
    together, no station can see.
    """

    kind: ClassVar[str] = "rule-fee"

    type: Literal["fee"] = "fee"
    max_fee: Sat
    max_rate: FeeRate
    max_share: Annotated[Count, Field(le=PER_TEN_THOUSAND)]

    def refusals(self, case: Case) -> tuple[Refused, ...]:
        """Each ceiling the case's fee is above. The rate is rounded up and the share down, so a tie never passes."""
        found: list[Refused] = []
        if case.fee > self.max_fee:
            found.append(FeeAbsolute(fee=case.fee, limit=self.max_fee, rule=self.name))
        elif case.fees > self.max_fee:
            found.append(
                FeeTotal(fee=case.fee, before=case.fees_before, total=case.fees, limit=self.max_fee, rule=self.name)
            )
        if case.rate > self.max_rate:
            found.append(FeeRateTooHigh(rate=case.rate, limit=self.max_rate, rule=self.name))
        if case.fee * PER_TEN_THOUSAND > self.max_share * case.moved:
            found.append(FeeShare(fee=case.fee, share=self.max_share, moved=case.moved, rule=self.name))
        return tuple(found)


Rule = Annotated[AllowRule | ApprovalsRule | LimitRule | FeeRule, Field(discriminator="type")]
