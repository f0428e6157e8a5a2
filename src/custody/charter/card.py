"""What may the public know of a charter, so that a payer can tell whose word an address statement is?

The payer card: who the officers are, their keys, and how many of them must have signed a statement for each vault. It
holds no extended public key, no payee and no rule: a payer learns nothing of the coins. Like the charter it is told by
24 words; whoever made the file does not matter.

How many officers: the most that the vault's approvals rules ask for from the first sat on. A charter says that already,
and everybody it lists has signed it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from custody.charter.document import Charter
from custody.charter.people import Role, refuse_shared_keys
from custody.charter.rules import ApprovalsRule
from custody.errors import InvalidInput, Refused
from custody.quorum import Quorum
from custody.record import Digest, FileRecord, Record, digest_given
from custody.twins import Named, refuse_twins
from custody.units import Count, Network
from custody.vault.keys import PublicText


class CardInvalid(InvalidInput, code="CARD_INVALID"):
    """A payer card that contradicts itself."""

    message = "the payer card {problem}"
    hint = "Get the card again from the institution, and compare its 24 words by voice."
    problem: str


class CardMismatch(Refused, code="CARD_MISMATCH"):
    """A card that is not the one the trusted charter gives."""

    message = "this payer card is {actual}; the charter's is {expected}"
    hint = "Publish neither: somebody has made a card with other keys or numbers. Make it anew: custody charter card."
    actual: str
    expected: str


class NobodyVouches(Refused, code="NOBODY_VOUCHES"):
    """A vault for whose small transfers the charter asks no officers."""

    message = "no rule asks officers to approve transfers of vault {vault} from amount 0 on, so none can vouch for it"
    hint = "Amend the charter: give the vault an approvals rule for the role officer, from amount 0."
    vault: str


class CardOfficer(Record):
    """Somebody whose signature counts: `key` is the raw Ed25519 public key, 32 bytes."""

    kind: ClassVar[str] = "card-officer"

    name: PublicText
    key: Digest


class CardVault(Record):
    """A vault by its id, and how many officers must have signed a statement for it."""

    kind: ClassVar[str] = "card-vault"

    vault: Digest
    threshold: Annotated[Count, Field(ge=1)]


class PayerCard(FileRecord):
    """What a payer trusts. Officers are sorted by name, vaults by id; `charter` is its digest."""

    kind: ClassVar[str] = "payer-card"

    charter: Digest
    institution: PublicText
    network: Network
    officers: Annotated[tuple[CardOfficer, ...], Field(min_length=1, max_length=200)]
    vaults: Annotated[tuple[CardVault, ...], Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _is_sound(self) -> PayerCard:
        names, vaults = [each.name for each in self.officers], [each.vault for each in self.vaults]
        if any(a >= b for a, b in pairwise(names)) or any(a >= b for a, b in pairwise(vaults)):
            raise CardInvalid(problem="does not list officers by name and vaults by id, each once")
        refuse_twins([Named("officers", each.name) for each in self.officers])
        # A key under two names would let one person make a quorum of two (THREATS F10).
        refuse_shared_keys((each.name, each.key) for each in self.officers)
        if any(each.threshold > len(names) for each in self.vaults):
            raise CardInvalid(problem="asks for more officers than it lists")
        return self

    def quorum(self, vault_id: bytes) -> Quorum[bytes] | None:
        """Whose keys count for a vault, and how many of them must; None when the card does not list it."""
        named = digest_given(vault_id, "a vault")
        for each in self.vaults:
            if each.vault == named:
                return Quorum(each.threshold, tuple(officer.key for officer in self.officers))
        return None

    def name_of(self, key: bytes) -> str:
        """Whose key it is."""
        return next(each.name for each in self.officers if each.key == key)


def card_of(charter: Charter) -> PayerCard:
    """The card of a charter. Vaults that no officers vouch for are not on it.

    Raises:
        NobodyVouches: that is every vault.
    """
    asked = {entry.name: _asked(charter, entry.name) for entry in charter.vaults}
    vaults = [CardVault(vault=charter.vault(name).id, threshold=count) for name, count in asked.items() if count]
    if not vaults:
        raise NobodyVouches(vault=charter.vaults[0].name)
    return PayerCard(
        charter=charter.digest(),
        institution=charter.institution,
        network=charter.network,
        officers=tuple(CardOfficer(name=name, key=key) for key, name in charter.officers.items()),
        vaults=tuple(sorted(vaults, key=lambda each: each.vault)),
    )


def check_card(card: PayerCard, charter: Charter) -> None:
    """Pass when the card is the charter's.

    Raises:
        CardMismatch: it is another one.
        NobodyVouches: the charter has none.
    """
    own = card_of(charter)
    if card != own:
        raise CardMismatch(actual=card.digest().hex(), expected=own.digest().hex())


def statement_quorum(charter: Charter, vault_name: str) -> Quorum[bytes]:
    """Whose keys count under a statement for a vault, and how many of them must.

    Raises:
        NobodyVouches: no officers are asked for.
    """
    quorum = card_of(charter).quorum(charter.vault(vault_name).id)
    if quorum is None:
        raise NobodyVouches(vault=vault_name)
    return quorum


def _asked(charter: Charter, vault_name: str) -> int:
    """Officers that every transfer of a vault needs, however small; 0 when none are asked for."""
    return max(
        (
            rule.count
            for rule in charter.rules
            if isinstance(rule, ApprovalsRule)
            and rule.role is Role.OFFICER
            and rule.from_amount == 0
            and vault_name in rule.vaults
        ),
        default=0,
    )
