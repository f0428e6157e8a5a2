"""For whom was an address given out, and what for?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import model_validator

from custody.errors import InvalidInput
from custody.record import Digest, Record
from custody.units import Count, Index, UnixTime
from custody.vault.coins import CoinClass
from custody.vault.descriptor import Branch
from custody.vault.keys import PublicText


class DepositUnsaid(InvalidInput, code="DEPOSIT_UNSAID"):
    """An address that is given out without saying what for."""

    message = "an address is given out to a payer, for a purpose and for coins of a class; missing: {missing}"
    hint = "Say who will pay (--payer), why (--purpose) and where the coins come from (--class): it stands in the log."
    missing: str


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
        said = (("payer", self.payer), ("purpose", self.purpose), ("class", self.coin_class))
        missing = [what for what, text in said if not text.strip()]
        if missing:
            raise DepositUnsaid(missing=", ".join(missing))


class AddressIssued(Record):
    """An address was given out: by a vault, at its next receive index, to one payer, for a purpose."""

    kind: ClassVar[str] = "address-issued"

    vault: Digest
    branch: Count
    index: Index
    payer: PublicText
    purpose: PublicText
    coin_class: CoinClass
    at: UnixTime

    @model_validator(mode="after")
    def _is_said(self) -> Self:
        ExpectedDeposit(self.payer, self.purpose, self.coin_class)
        return self

    @classmethod
    def of(cls, expected: ExpectedDeposit, vault_id: bytes, index: int, at: int) -> Self:
        """For this deposit, at this receive index of a vault, at `at` (Unix seconds)."""
        return cls(
            vault=vault_id,
            branch=Branch.RECEIVE.value,
            index=index,
            payer=expected.payer,
            purpose=expected.purpose,
            coin_class=expected.coin_class,
            at=at,
        )

    @property
    def expected(self) -> ExpectedDeposit:
        """What it was given out for."""
        return ExpectedDeposit(self.payer, self.purpose, self.coin_class)
