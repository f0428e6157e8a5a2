"""For whom was an address given out, and what for?

Payer and purpose stand in an annex, which may be withheld or erased; that the address was given out, and for which
class of coins, stands in the log for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from pydantic import model_validator

from custody.errors import InvalidInput, Refused
from custody.record import Digest, Record
from custody.units import Count, Height, Index, UnixTime
from custody.vault.coins import CoinClass
from custody.vault.descriptor import Branch
from custody.vault.keys import PublicText


class DepositUnsaid(InvalidInput, code="DEPOSIT_UNSAID"):
    """An address that is given out without saying what for."""

    message = "an address is given out to a payer, for a purpose and for coins of a class; missing: {missing}"
    hint = "Say who will pay (--payer), why (--purpose) and where the coins come from (--class): it stands in the log."
    missing: str


MOST_SKIPPED: Final = 1_000
"""Receive indexes that may be left out at most because they were paid already: so far ahead everybody looks."""


@dataclass(frozen=True, slots=True)
class ExpectedDeposit:
    """What an address is given out for: who will pay there, why, and where the coins come from (a `CoinClass`).

    Raises:
        DepositUnsaid: one of them is empty.
    """

    payer: str
    purpose: str
    coin_class: str

    def __post_init__(self) -> None:
        _refuse_unsaid(**{"payer": self.payer, "purpose": self.purpose, "class": self.coin_class})


class IndexesPaid(Refused, code="INDEXES_PAID"):
    """A vault whose next addresses have all been paid before anybody was given them."""

    message = "receive indexes {first} to {last} of vault {vault} have been paid already, though nobody was given them"
    hint = (
        "Find out who pays to addresses of this vault: somebody knows its keys. Deposits go to another vault meanwhile."
    )
    vault: str
    first: int
    last: int


class AddressAnnex(Record):
    """Who will pay to an address, and what for."""

    kind: ClassVar[str] = "address-annex"

    payer: PublicText
    purpose: PublicText

    @model_validator(mode="after")
    def _is_said(self) -> Self:
        _refuse_unsaid(payer=self.payer, purpose=self.purpose)
        return self

    @classmethod
    def of(cls, expected: ExpectedDeposit) -> Self:
        """For this deposit."""
        return cls(payer=expected.payer, purpose=expected.purpose)


class AddressIssued(Record):
    """An address was given out by a vault, at its next receive index, for coins of a class.

    `annex` is the salted digest of the `AddressAnnex` that says to whom, and what for. `height` is where the chain
    stood: what came in a block up to there was not sent on account of it.
    """

    kind: ClassVar[str] = "address-issued"

    vault: Digest
    branch: Count
    index: Index
    coin_class: CoinClass
    annex: Digest
    height: Height
    at: UnixTime

    @classmethod
    def of(cls, coin_class: str, annex: bytes, vault_id: bytes, index: int, height: int, at: int) -> Self:
        """For coins of this class, at this receive index of a vault, on a chain so high, at `at` (Unix seconds)."""
        return cls(
            vault=vault_id,
            branch=Branch.RECEIVE.value,
            index=index,
            coin_class=coin_class,
            annex=annex,
            height=height,
            at=at,
        )


def _refuse_unsaid(**said: str) -> None:
    missing = [what for what, text in said.items() if not text.strip()]
    if missing:
        raise DepositUnsaid(missing=", ".join(missing))
