"""People, cosigners and a charter made from seeds, so that a test or a demo is the same on every run.

Regtest only: everybody can compute these keys.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Final

from custody.backends.keyfile import LEAST_TEST_COST, KeyFileSigner, create_master_key
from custody.bitcoin.script import address, p2wpkh
from custody.charter.document import AddressPayee, Charter, CharterVault, Payee, VaultPayee
from custody.charter.makers import CosignerDevice
from custody.charter.people import CosignerName, Person, Role, Witness
from custody.charter.rules import AllowRule, ApprovalsRule, FeeRule, LimitRule, Rule
from custody.envelope import Ed25519Signer, Envelope, sign
from custody.log import Frontier, SignedCheckpoint
from custody.log.witnessing import LogKey, WitnessRequest, answer
from custody.ports import Clock
from custody.transfer.address import ExpectedDeposit
from custody.transfer.request import NONCE_SIZE
from custody.units import Network
from custody.vault import templates
from custody.vault.descriptor import Vault
from custody.vault.keys import Cosigner
from custody.vault.templates import ScriptType

ORIGIN: Final = "custody.example/demo"
PASSPHRASE: Final = b"correct horse battery staple regtest only"
WITNESS: Final = "parliament.example"


def secret(label: str) -> bytes:
    """32 bytes that stand for a secret in tests; everybody can compute them."""
    return hashlib.sha256(f"custody regtest {label}".encode()).digest()


def person_key(name: str) -> Ed25519Signer:
    """A person's document key."""
    return Ed25519Signer(secret(f"person {name}"))


def cosigner_key(name: str) -> KeyFileSigner:
    """A cosigner's software signer, opened from a real key file."""
    file = create_master_key(
        PASSPHRASE, name=name, network=Network.REGTEST, seed=secret(f"cosigner {name}"), cost=LEAST_TEST_COST
    )
    return KeyFileSigner(file, PASSPHRASE)


def account_path(script_type: ScriptType, account: int = 0) -> tuple[int, ...]:
    """m/48h/1h/0h/2h for wsh; the last step is 1h for sh-wsh and 3h for tr (BIP 48)."""
    return templates.account_path(script_type, Network.REGTEST, account)


def vault_of(
    names: tuple[str, ...], threshold: int, script_type: ScriptType = ScriptType.WSH, birthday: int = 0
) -> tuple[Vault, tuple[KeyFileSigner, ...]]:
    """A vault of the named cosigners, and their signers in the same order."""
    signers = tuple(cosigner_key(name) for name in names)
    return _vault_at(0, dict(zip(names, signers, strict=True)), threshold, script_type, birthday), signers


def _vault_at(
    account: int, signers: dict[str, KeyFileSigner], threshold: int, script_type: ScriptType, birthday: int
) -> Vault:
    """The vault that these signers, by cosigner's name, have at one of their accounts."""
    cosigners: list[Cosigner] = []
    for name, signer in signers.items():
        origin, key = signer.account_key(account_path(script_type, account))
        cosigners.append(Cosigner(name, origin, key))
    return Vault.create(threshold, tuple(cosigners), script_type, Network.REGTEST, birthday)


def names_of(vault: Vault, sites: tuple[str, ...]) -> tuple[CosignerName, ...]:
    """What a charter says of who the vault's cosigners are, and of where each is, in turn."""
    named = (
        CosignerName(fingerprint=each.fingerprint, name=each.name, site=site)
        for each, site in zip(vault.cosigners, sites, strict=False)
    )
    return tuple(sorted(named, key=lambda each: each.fingerprint))


def devices_of(vault: Vault, makers: tuple[str, ...], *, is_deterministic: bool) -> tuple[CosignerDevice, ...]:
    """What a charter says of the vault's devices: of each cosigner's in turn, its maker."""
    devices = (
        CosignerDevice(fingerprint=each.fingerprint, maker=maker, model="made up", is_deterministic=is_deterministic)
        for each, maker in zip(vault.cosigners, makers, strict=bool(makers))
    )
    return tuple(sorted(devices, key=lambda each: each.fingerprint))


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody a story needs. `people` and `signers` are by name, in the charter's and the vault's order."""

    charter: Charter
    envelope: Envelope
    vault: Vault
    coordinator: Ed25519Signer
    people: dict[str, Ed25519Signer]
    signers: tuple[KeyFileSigner, ...]
    witness: Ed25519Signer

    @property
    def digest(self) -> bytes:
        """The charter's digest: what everybody pins."""
        return self.charter.digest()

    @property
    def vault_name(self) -> str:
        """What the charter calls the vault."""
        entry, _ = self.charter.vault_by_id(self.vault.id)
        return entry.name

    @property
    def officers(self) -> tuple[str, ...]:
        """Whoever may approve, in the order of `people`."""
        return tuple(name for name in self.people if self.charter.person(name).has_role(Role.OFFICER))

    @property
    def enough_officers(self) -> tuple[str, ...]:
        """The first of them, as many as any rule asks for, and none who asks."""
        rules = [each for each in self.charter.rules if isinstance(each, ApprovalsRule) and each.role is Role.OFFICER]
        others = [name for name in self.officers if name != self.requester]
        return tuple(others[: max((each.count for each in rules), default=0)])

    @property
    def requester(self) -> str:
        """Who asks unless a story says otherwise: whoever may ask and not approve, else the first who may ask."""
        may = [name for name in self.people if self.charter.person(name).has_role(Role.REQUESTER)]
        return next((name for name in may if name not in self.officers), may[0])

    def at(self, vault: str) -> Cast:
        """The same people, whose vault is the one called `vault`.

        Raises:
            UnknownName: the charter has no such vault.
        """
        return replace(self, vault=self.charter.vault(vault))


@dataclass(frozen=True, slots=True)
class Setting:
    """What may differ between stories; everything else is the same."""

    threshold: int = 2
    cosigners: tuple[str, ...] = ("astana", "almaty", "shymkent")
    script_type: ScriptType = ScriptType.WSH
    approvals: int = 2
    max_outflow: int = 500_000_000
    max_fee: int = 200_000
    max_rate: int = 100_000
    max_share: int = 1_000
    max_inputs: int = 250
    confirmations: int = 1
    birthday: int = 0
    is_witnessed: bool = True
    more_payees: tuple[str, ...] = ()
    """Names of payees beyond the usual four; the rule on known payees allows them."""
    makers: tuple[str, ...] = ()
    """Of each cosigner's device, in the order of `cosigners`; not stated when there are none."""
    sites: tuple[str, ...] = ()
    """Where each cosigner is, in their order; then the charter says who they are, too."""
    is_deterministic: bool = False
    """Said of every device whose maker is stated."""
    more_vaults: int = 0
    """Vaults beyond the reserve, of the same cosigners at further accounts, under the same rules."""


REQUESTER: Final = "Dana"
OFFICERS: Final = ("Aigerim", "Bolat", "Chingis")
SUPPLIER: Final = "Supplier"
TAX_OFFICE: Final = "Tax office"
STRANGER: Final = "Stranger"
DEPOSITOR: Final = "Ministry of Justice"


def expected(purpose: str = "seized coins", coin_class: str = "seized") -> ExpectedDeposit:
    """A deposit that the ministry announced."""
    return ExpectedDeposit(DEPOSITOR, purpose, coin_class)


def payee_address(name: str) -> str:
    """A regtest address that stands for somebody outside."""
    return address(p2wpkh(secret(f"payee {name}")[:20]), Network.REGTEST)


def make_cast(setting: Setting | None = None) -> Cast:
    """A vault, its people and the charter, signed by everyone it lists."""
    setting = setting or Setting()
    vault, signers = vault_of(setting.cosigners, setting.threshold, setting.script_type, setting.birthday)
    people = {name: person_key(name) for name in (*OFFICERS, REQUESTER)}
    coordinator, witness = person_key("coordinator"), person_key(WITNESS)
    payees: tuple[Payee, ...] = (
        VaultPayee(name="Reserve", vault="reserve"),
        AddressPayee(name=STRANGER, address=payee_address(STRANGER)),
        AddressPayee(name=SUPPLIER, address=payee_address(SUPPLIER)),
        AddressPayee(name=TAX_OFFICE, address=payee_address(TAX_OFFICE)),
        *(AddressPayee(name=name, address=payee_address(name)) for name in setting.more_payees),
    )
    known = tuple(sorted(("Reserve", SUPPLIER, TAX_OFFICE, *setting.more_payees)))
    vaults = _charter_vaults(setting, vault, dict(zip(setting.cosigners, signers, strict=True)))
    names = tuple(each.name for each in vaults)
    rules: tuple[Rule, ...] = (
        AllowRule(name="known payees", vaults=names, payees=known),
        FeeRule(
            name="modest fees",
            vaults=names,
            max_fee=setting.max_fee,
            max_rate=setting.max_rate,
            max_share=setting.max_share,
        ),
        LimitRule(name="per transfer", vaults=names, max_outflow=setting.max_outflow),
        ApprovalsRule(name="two officers", vaults=names, role=Role.OFFICER, count=setting.approvals),
    )
    charter = Charter(
        version=1,
        institution="National Bank, demonstration",
        network=Network.REGTEST,
        origin=ORIGIN,
        coordinator=coordinator.public_key,
        people=tuple(
            Person(name=name, key=key.public_key, roles=(Role.REQUESTER,) if name == REQUESTER else (Role.OFFICER,))
            for name, key in sorted(people.items())
        ),
        witnesses=(Witness(name=WITNESS, key=witness.public_key),) if setting.is_witnessed else (),
        witness_threshold=1 if setting.is_witnessed else 0,
        faulty_witnesses=0,
        vaults=vaults,
        payees=tuple(sorted(payees, key=lambda payee: payee.name)),
        rules=rules,
    )
    everyone = [coordinator, *people.values(), *([witness] if setting.is_witnessed else [])]
    return Cast(charter, sign(charter, *everyone), vault, coordinator, people, signers, witness)


def _charter_vaults(setting: Setting, reserve: Vault, signers: dict[str, KeyFileSigner]) -> tuple[CharterVault, ...]:
    """What the charter says of the reserve and of the vaults beyond it, by name."""
    more = (
        _vault_at(account, signers, setting.threshold, setting.script_type, setting.birthday)
        for account in range(1, setting.more_vaults + 1)
    )
    return tuple(
        CharterVault(
            name=f"vault-{account:04d}" if account else "reserve",
            descriptor=vault.descriptor,
            birthday=setting.birthday,
            confirmations=setting.confirmations,
            max_inputs=setting.max_inputs,
            devices=devices_of(vault, setting.makers, is_deterministic=setting.is_deterministic),
            cosigners=names_of(vault, setting.sites),
        )
        for account, vault in enumerate((reserve, *more))
    )


class SoftwareWitness:
    """A witness in this process, with a real key and a real memory."""

    def __init__(self, name: str, signer: Ed25519Signer, log: LogKey, clock: Clock) -> None:
        self._name, self._signer, self._log, self._clock = name, signer, log, clock
        self.state: Frontier | None = None

    def cosign(self, request: WitnessRequest) -> SignedCheckpoint:
        """The checkpoint, cosigned, if it extends what this witness saw before."""
        given = answer(request, self.state, self._log, self._name, self._signer, self._clock.now())
        self.state = given.state
        return given.signed


class Chance:
    """Seeded chance: the same seed tells the same story."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, regtest only

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        return self._random.randrange(limit)

    def salt(self) -> bytes:
        """32 bytes for a log entry."""
        return self._random.randbytes(32)

    def nonce(self) -> bytes:
        """16 bytes for a signed document."""
        return self._random.randbytes(NONCE_SIZE)
