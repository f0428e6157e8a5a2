"""A charter of one's own for tests: say who there is and what the rules are, and everybody gets a key.

Names decide keys: whoever is called the same has the same key in every charter, and everybody can compute it. Regtest
only. What a charter may not say is refused as it always is (`custody.charter.document`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from custody.charter.document import AddressPayee, Charter, CharterVault, Payee
from custody.charter.people import Person, Role, Witness
from custody.charter.rules import Rule
from custody.envelope import sign
from custody.quorum import Quorum
from custody.testing.cast import ORIGIN, WITNESS, Cast, account_path, cosigner_key, payee_address, person_key
from custody.units import Network
from custody.vault.descriptor import Vault
from custody.vault.keys import Cosigner
from custody.vault.templates import ScriptType


@dataclass(frozen=True, slots=True)
class OwnVault:
    """A vault, by who its cosigners are; `confirmations` is the depth at which its deposits count."""

    cosigners: Quorum[str]
    script_type: ScriptType = ScriptType.WSH
    confirmations: int = 1
    max_inputs: int = 250


@dataclass(frozen=True, slots=True)
class OwnCharter:
    """What differs between one institution and another. Nothing need be sorted but what stands inside the rules.

    A payee that is only a name is somebody outside, at a made-up address. Every witness must cosign.
    """

    people: Mapping[str, tuple[Role, ...]]
    vaults: Mapping[str, OwnVault]
    payees: tuple[str | Payee, ...]
    rules: tuple[Rule, ...]
    witnesses: tuple[str, ...] = (WITNESS,)
    institution: str = "An institution, in tests"


def cast_for(own: OwnCharter) -> Cast:
    """Everybody in a charter of one's own, which each of them has signed; the cast's vault is the first named.

    Raises:
        CharterInvalid, UnknownName, ...: the charter contradicts itself, or leaves a door open.
    """
    vaults = {name: _vault(account, each) for account, (name, each) in enumerate(own.vaults.items())}
    people = {name: person_key(name) for name in own.people}
    witnesses = {name: person_key(name) for name in own.witnesses}
    coordinator = person_key("coordinator")
    payees = (each if not isinstance(each, str) else _outside(each) for each in own.payees)
    charter = Charter(
        version=1,
        institution=own.institution,
        network=Network.REGTEST,
        origin=ORIGIN,
        coordinator=coordinator.public_key,
        people=tuple(
            Person(name=name, key=people[name].public_key, roles=tuple(sorted(roles)))
            for name, roles in sorted(own.people.items())
        ),
        witnesses=tuple(Witness(name=name, key=key.public_key) for name, key in sorted(witnesses.items())),
        witness_threshold=len(witnesses),
        faulty_witnesses=0,
        vaults=tuple(
            CharterVault(
                name=name,
                descriptor=vaults[name].descriptor,
                birthday=0,
                confirmations=each.confirmations,
                max_inputs=each.max_inputs,
            )
            for name, each in sorted(own.vaults.items())
        ),
        payees=tuple(sorted(payees, key=lambda payee: payee.name)),
        rules=tuple(sorted(own.rules, key=lambda rule: rule.name)),
    )
    # Each once, in the order in which the vaults first name them.
    cosigners = dict.fromkeys(name for each in own.vaults.values() for name in each.cosigners.members)
    return Cast(
        charter=charter,
        envelope=sign(charter, coordinator, *people.values(), *witnesses.values()),
        vault=next(iter(vaults.values())),  # a charter without a vault was refused above
        coordinator=coordinator,
        people=people,
        signers=tuple(map(cosigner_key, cosigners)),
        witness=person_key(next(iter(own.witnesses), WITNESS)),
    )


def _vault(account: int, own: OwnVault) -> Vault:
    """The vault that its cosigners have at one of their accounts, so that no two vaults share a key."""
    cosigners: list[Cosigner] = []
    for name in own.cosigners.members:
        origin, key = cosigner_key(name).account_key(account_path(own.script_type, account))
        cosigners.append(Cosigner(name, origin, key))
    return Vault.create(own.cosigners.threshold, tuple(cosigners), own.script_type, Network.REGTEST, 0)


def _outside(name: str) -> AddressPayee:
    return AddressPayee(name=name, address=payee_address(name))
