"""What a charter says: people, vaults, payees, rules and witnesses, in numbered versions.

Version 1 is signed by everyone it lists. Its digest is pinned outside every database: it is what a station, a
coordinator and an auditor are started with, by voice. People write TOML; the record is what is signed. Later versions
come with the amendment quorum; this version of the library takes version 1 only, and says so.
"""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from custody.bitcoin.curve import is_public_key
from custody.bitcoin.script import OutputType, OutputTypeRefused, output_type, script_of
from custody.charter.makers import CosignerDevice, refuse_concentration
from custody.charter.people import CosignerName, Person, Role, Witness, refuse_shared_keys
from custody.charter.rules import MAX_PAYEES, MAX_RULES, MAX_VAULTS, AllowRule, ApprovalsRule, FeeRule, Rule
from custody.envelope import MAX_SIGNATURES, Envelope, check_type, unsafe_payload, verify
from custody.errors import InvalidInput, Refused
from custody.likely import did_you_mean, some_of
from custody.record import Digest, Record, digest_given, tagged_hash
from custody.twins import Lookalike, Named, refuse_twins
from custody.units import Count, Height, Network
from custody.vault.descriptor import Branch, Vault, likely_id
from custody.vault.keys import PublicText, refuse_secrets
from custody.vault.templates import MAX_KEYS

DEFAULT_CONFIRMATIONS: Final = 6
MAX_DESCRIPTOR: Final = 4_000
PAYABLE: Final = (OutputType.P2PKH, OutputType.P2SH, OutputType.P2WPKH, OutputType.P2WSH, OutputType.P2TR)
"""Kinds of output a payee may have: those whose spending rules are settled (THREATS A12)."""
LOOKALIKE_ENDS: Final = 6
"""Characters at either end of an address that people compare when they compare too little."""
OWN_WORDS: Final = ("the coordinator", "nobody", "nobody yet", "in all")
"""What screens say in a place where a name may stand, so that no name may be read as it."""
SHOWN_VAULTS: Final = 4
"""Ids at most in the message about a vault that is none of the charter's."""


class CharterInvalid(InvalidInput, code="CHARTER_INVALID"):
    """A charter that contradicts itself or leaves a door open."""

    message = "{where}: {problem}"
    hint = "Correct the charter's text, then have everyone sign the new one."
    where: str
    problem: str


class CharterUnsigned(Refused, code="CHARTER_UNSIGNED"):
    """Somebody the charter lists has not signed it."""

    message = "the charter lacks the signature of {missing}"
    hint = "Version 1 is signed by everyone it lists: carry the file to each of them (custody-station sign-charter)."
    missing: str


class CharterMismatch(Refused, code="CHARTER_MISMATCH"):
    """Another charter than the pinned one."""

    message = "this charter is {actual}; pinned is {expected}"
    hint = "Do not go on: somebody has swapped the charter, or this machine was set up for another one. Ask by voice."
    expected: str
    actual: str


class VaultMismatch(Refused, code="VAULT_ID_MISMATCH"):
    """A vault that is not the one the charter names."""

    message = "{what} has vault id {actual}, but the charter's is {expected}"
    hint = "Show no address and sign nothing: the vault's descriptor was swapped. Ask for the signed charter by voice."
    what: str
    expected: str
    actual: str


class UnknownName(InvalidInput, code="NAME_UNKNOWN"):
    """A vault, payee or person that the charter does not name."""

    message = "the charter has no {what} named {name}; it has: {known}"
    hint = "Use one of the names in the charter."
    what: str
    name: str
    known: str


class PayeeIsVault(InvalidInput, code="PAYEE_IS_VAULT"):
    """An outside payee whose address belongs to one of the charter's own vaults."""

    message = "payee {payee} is to be paid outside, and its address is {branch} index {index} of vault {vault}"
    hint = 'Was it copied from the wrong list? To pay a vault write type = "vault" and vault = "{vault}" for the payee.'
    payee: str
    vault: str
    branch: str
    index: int


class PayeeUnspendable(InvalidInput, code="PAYEE_UNSPENDABLE"):
    """A taproot address whose key is no point: what is paid to it is lost (BIP 341)."""

    message = "nobody can ever spend what is paid to {payee}: its taproot address holds no public key"
    hint = "Have the payee send the address again: one character of it may have been made up with its checksum."
    payee: str


OWN_INDEXES: Final = 100
"""So many addresses of each branch of each vault are compared with the payees'."""


_Said = TypeVar("_Said", CosignerDevice, CosignerName)


def _is_empty(said: tuple[_Said, ...]) -> bool:
    return not said


def _in_order(said: tuple[_Said, ...]) -> tuple[_Said, ...]:
    if any(a.fingerprint >= b.fingerprint for a, b in itertools.pairwise(said)):
        raise ValueError("expected in the order of their fingerprints, each once")
    return said


class CharterVault(Record):
    """A vault under its name: descriptor text, birthday, and the depth at which its deposits count.

    `devices` and `cosigners` stand in the order of their fingerprints, one for each cosigner. Where none is stated the
    field is not written, so that charters from before it keep their bytes, their digest and their signatures.
    """

    kind: ClassVar[str] = "charter-vault"

    name: PublicText
    descriptor: Annotated[str, Field(max_length=MAX_DESCRIPTOR, pattern=r"^[\x21-\x7e]+$")]
    birthday: Height
    confirmations: Annotated[Count, Field(ge=1, le=1000)] = DEFAULT_CONFIRMATIONS
    max_inputs: Annotated[Count, Field(ge=1, le=700)] = 250
    devices: Annotated[
        tuple[CosignerDevice, ...], AfterValidator(_in_order), Field(exclude_if=_is_empty, max_length=MAX_KEYS)
    ] = ()
    cosigners: Annotated[
        tuple[CosignerName, ...], AfterValidator(_in_order), Field(exclude_if=_is_empty, max_length=MAX_KEYS)
    ] = ()

    def device_of(self, fingerprint: bytes) -> CosignerDevice | None:
        """The device stated for the cosigner of this fingerprint; None where makers are not stated."""
        return next((each for each in self.devices if each.fingerprint == fingerprint), None)


class AddressPayee(Record):
    """A payee outside, at one address."""

    kind: ClassVar[str] = "payee-address"

    type: Literal["address"] = "address"
    name: PublicText
    address: Annotated[str, Field(max_length=100, pattern=r"^[a-zA-Z0-9]+$")]


class VaultPayee(Record):
    """A payee that is one of the charter's own vaults, paid at its next unused receive index, never a chosen one."""

    kind: ClassVar[str] = "payee-vault"

    type: Literal["vault"] = "vault"
    name: PublicText
    vault: PublicText


Payee = Annotated[AddressPayee | VaultPayee, Field(discriminator="type")]


@dataclass(frozen=True, slots=True)
class _Verified:
    """The context in which a charter is read that was verified before: under which name to look for which id."""

    names: Mapping[bytes, str] | None


class Charter(Record):
    """The document. Tuples of people, witnesses, vaults, payees and rules are sorted by name."""

    kind: ClassVar[str] = "charter"

    version: Annotated[Count, Field(ge=1)]
    institution: PublicText
    network: Network
    origin: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9./-]{0,99}$")]
    """Name of the log, in every checkpoint (C2SP tlog-checkpoint)."""
    coordinator: Digest
    """Raw Ed25519 key that signs checkpoints. It can approve nothing."""
    people: Annotated[tuple[Person, ...], Field(min_length=1, max_length=MAX_SIGNATURES)]
    witnesses: Annotated[tuple[Witness, ...], Field(max_length=MAX_SIGNATURES)]
    witness_threshold: Count
    faulty_witnesses: Count
    vaults: Annotated[tuple[CharterVault, ...], Field(min_length=1, max_length=MAX_VAULTS)]
    payees: Annotated[tuple[Payee, ...], Field(max_length=MAX_PAYEES)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=MAX_RULES)]

    @classmethod
    def digest_of(cls, data: bytes) -> bytes:
        """The digest (32 bytes) that a charter of these bytes has, if they are one; nothing is read for it."""
        return tagged_hash(f"custody/{cls.kind}/v1", data)

    @classmethod
    def unsafe_from_verified(cls, data: bytes, pinned: bytes, names: Mapping[bytes, str] | None = None) -> Charter:
        """A charter that `verify_charter` has accepted before, read again without deriving a single key.

        Everything is checked but the slow parts: how names read, and the vaults, each of which is parsed when it is
        first asked for. What is relied on is that the charter pinned as `pinned` (32 bytes) was verified once: never
        begin with this.
        `names` says which vault has which id, as far as the caller kept it; it saves time and is never believed.

        Raises:
            CharterMismatch: the bytes are not those of the pinned charter.
            RecordInvalid, CharterInvalid, ...: as `from_bytes`.
        """
        refuse_other_charter(cls.digest_of(data), pinned)
        return cls._read(data, _Verified(names))

    @model_validator(mode="after")
    def _is_sound(self, info: ValidationInfo) -> Charter:
        _check_names(self)
        if isinstance(info.context, _Verified):
            self._index.suggest(info.context.names)
        else:
            _check_twins(self)
            _check_vaults(self)
            _check_addresses(self)
        _check_witnesses(self)
        _check_payees(self)
        _check_rules(self)
        return self

    @cached_property
    def _index(self) -> _Index:
        return _Index(self)

    # What is looked up by name, in one step however many there are. Each raises UnknownName.

    def vault(self, name: str) -> Vault:
        """The vault called `name`, parsed and checked."""
        return self._index.vault(self.vault_entry(name))

    def vault_entry(self, name: str) -> CharterVault:
        """What the charter says of the vault called `name`."""
        return _named("vault", name, self._index.entries)

    @property
    def witness_keys(self) -> dict[str, bytes]:
        """The witnesses' keys (32 bytes each), by name."""
        return {each.name: each.key for each in self.witnesses}

    @property
    def officers(self) -> dict[bytes, str]:
        """The officers' names, by their keys (32 bytes each)."""
        return {each.key: each.name for each in self.people if each.has_role(Role.OFFICER)}

    def holder(self, key: bytes) -> str:
        """Whoever is listed with this raw key, or words for nobody."""
        return next((name for name, known in self.signers() if known == key), "somebody whom the charter does not list")

    def vault_by_id(self, vault_id: bytes) -> tuple[CharterVault, Vault]:
        """The vault whose id is `vault_id`, with what the charter says of it.

        Raises:
            VaultMismatch: the charter has no such vault.
        """
        found = self._index.by_id(digest_given(vault_id, "a vault"))
        if found is None:
            shown = [self.vault(entry.name).id.hex() for entry in self.vaults[:SHOWN_VAULTS]]
            more = f" or one of {rest} more" if (rest := len(self.vaults) - len(shown)) else ""
            raise VaultMismatch(what="what was given", expected=" or ".join(shown) + more, actual=vault_id.hex())
        return found

    def payee(self, name: str) -> AddressPayee | VaultPayee:
        """The payee called `name`."""
        return _named("payee", name, self._index.payees)

    def person(self, name: str) -> Person:
        """The person called `name`."""
        return _named("person", name, self._index.people)

    def signers(self) -> Iterator[tuple[str, bytes]]:
        """Everyone this charter lists: (name, raw key)."""
        yield "the coordinator", self.coordinator
        yield from ((person.name, person.key) for person in self.people)
        yield from ((witness.name, witness.key) for witness in self.witnesses)


class _Index:
    """What a charter names, found in one step; made once for each charter and no part of its record.

    A vault is parsed when it is first asked for. A charter that is checked asks for all of them at once.
    """

    __slots__ = ("_by_id", "_likely", "_network", "_vaults", "entries", "payees", "people")

    def __init__(self, charter: Charter) -> None:
        self.people: Final = {each.name: each for each in charter.people}
        self.payees: Final = {each.name: each for each in charter.payees}
        self.entries: Final = {each.name: each for each in charter.vaults}
        self._network: Final = charter.network
        self._vaults: Final[dict[str, Vault]] = {}
        self._likely: Mapping[bytes, str] | None = None
        self._by_id: Mapping[bytes, str] | None = None

    def suggest(self, names: Mapping[bytes, str] | None) -> None:
        """Under which name to look first for the vault of an id."""
        self._likely = names

    def vault(self, entry: CharterVault) -> Vault:
        """The vault of `entry`."""
        found = self._vaults.get(entry.name)
        if found is None:
            found = self._vaults[entry.name] = _parsed(entry, self._network)
        return found

    def by_id(self, vault_id: bytes) -> tuple[CharterVault, Vault] | None:
        """The vault whose id is `vault_id`, and what is said of it."""
        if self._by_id is None and len(self._vaults) < len(self.entries):
            if self._likely is None:
                self._likely = {likely_id(each.descriptor, self._network): each.name for each in self.entries.values()}
            entry = self.entries.get(self._likely.get(vault_id, ""))
            # A name under an id is where to look, and no more: the vault itself says which it is.
            if entry is not None and (vault := self.vault(entry)).id == vault_id:
                return entry, vault
        if self._by_id is None:
            self._by_id = {self.vault(each).id: each.name for each in self.entries.values()}
        name = self._by_id.get(vault_id)
        return None if name is None else (self.entries[name], self._vaults[name])


_KNOWN: Final[weakref.WeakValueDictionary[tuple[object, ...], Vault]] = weakref.WeakValueDictionary()
"""Every vault that some charter of this process holds: the same charter, read from another file, parses nothing."""


def _parsed(entry: CharterVault, network: Network) -> Vault:
    text = (entry.descriptor, network, entry.birthday, *((each.fingerprint, each.shown) for each in entry.cosigners))
    found = _KNOWN.get(text)
    if found is None:
        found = Vault.parse(entry.descriptor, network, birthday=entry.birthday)
        if entry.cosigners:
            found = found.with_names({each.fingerprint: each.shown for each in entry.cosigners})
        _KNOWN[text] = found
    return found


_Entry = TypeVar("_Entry", Person, CharterVault, "AddressPayee | VaultPayee")


def _named(what: str, name: str, entries: Mapping[str, _Entry]) -> _Entry:
    found = entries.get(name)
    if found is None:
        refuse_secrets(name, where=f"{what} name")
        raise UnknownName(what=what, name=ascii(name[:60]), known=some_of(entries) + did_you_mean(name, entries))
    return found


def _check_names(charter: Charter) -> None:
    if not charter.institution.strip():
        raise CharterInvalid(where="institution", problem="is empty")
    for what, names in (
        ("person", [person.name for person in charter.people]),
        ("witness", [witness.name for witness in charter.witnesses]),
        ("vault", [vault.name for vault in charter.vaults]),
        ("payee", [payee.name for payee in charter.payees]),
        ("rule", [rule.name for rule in charter.rules]),
    ):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise CharterInvalid(where=f"{what} {twice[0]}", problem="stands twice")
        if not all(map(str.strip, names)):
            raise CharterInvalid(where=what, problem="one of them has no name")
        if names != sorted(names):
            raise CharterInvalid(where=what, problem="the record lists them in the order of their names")
    refuse_shared_keys(charter.signers())
    if (count := sum(1 for _ in charter.signers())) > MAX_SIGNATURES:
        problem = f"everyone listed signs it, {count} in all, and an envelope holds {MAX_SIGNATURES} signatures"
        raise CharterInvalid(where="people", problem=problem)


def _check_twins(charter: Charter) -> None:
    """No two names of the charter read alike, and none passes for a word by which screens say that it is nobody."""
    own = [Named("this program's own words", each) for each in OWN_WORDS]
    refuse_twins(
        # Who signs is told by name alone, so a person may not be called like a witness.
        [*own, *_named_in("people", charter.people), *_named_in("witnesses", charter.witnesses)],
        [*own, *_named_in("vaults", charter.vaults)],
        [*own, *_named_in("payees", charter.payees)],
        [*own, *_named_in("rules", charter.rules)],
        [Named("institution", charter.institution)],
        # Under two names that read alike, one maker would be counted as two.
        [Named("makers", each) for each in sorted({d.maker for vault in charter.vaults for d in vault.devices})],
        [Named("sites", each) for each in sorted({c.site for vault in charter.vaults for c in vault.cosigners})],
        # One person may hold a key of several vaults, and is called the same in each.
        *([*own, *(Named("cosigners", each.name) for each in vault.cosigners)] for vault in charter.vaults),
    )


def _named_in(
    table: str, entries: Iterable[Person | Witness | CharterVault | AddressPayee | VaultPayee | Rule]
) -> list[Named]:
    return [Named(table, each.name) for each in entries]


def _check_vaults(charter: Charter) -> None:
    """Each vault is sound and stands once: under a second name, whichever rules are laxer would govern its coins."""
    names: dict[bytes, str] = {}
    for entry in charter.vaults:
        # By script and not by id: the same keys in another order are another descriptor of the same coins.
        script = charter.vault(entry.name).script_pubkey(Branch.RECEIVE, 0)
        if script in names:
            problem = f"has the same addresses as vault {names[script]}"
            raise CharterInvalid(where=f"vault {entry.name}", problem=problem)
        names[script] = entry.name
        _check_cosigners(charter, entry)


def _check_cosigners(charter: Charter, entry: CharterVault) -> None:
    """Makers and names are stated of all of a vault's cosigners or of none; no maker's devices are enough to sign."""
    vault = charter.vault(entry.name)
    cosigners = {each.fingerprint for each in vault.cosigners}
    for what, stated in (
        ("devices", {each.fingerprint for each in entry.devices}),
        ("cosigners", {each.fingerprint for each in entry.cosigners}),
    ):
        where = f"vault {entry.name}, {what}"
        if unknown := sorted(stated - cosigners):
            raise CharterInvalid(where=where, problem=f"{unknown[0].hex()} is no cosigner's fingerprint")
        # With one left out, its maker would be the one that nobody counts.
        if stated and (missing := sorted(cosigners - stated)):
            raise CharterInvalid(where=where, problem=f"nothing is said of cosigner {missing[0].hex()}")
    refuse_concentration(entry.name, vault.threshold, entry.devices)


def _check_witnesses(charter: Charter) -> None:
    count, needed, faulty = len(charter.witnesses), charter.witness_threshold, charter.faulty_witnesses
    if count == 0 and needed == faulty == 0:
        return
    # Two quorums must share an honest witness, or two of them could cosign two histories (THREATS E2).
    if not (1 <= needed <= count and 2 * needed > count + faulty):
        problem = f"{needed} of {count} with {faulty} faulty: 2 x threshold must be more than witnesses + faulty ones"
        raise CharterInvalid(where="witnesses", problem=problem)


def _check_payees(charter: Charter) -> None:
    scripts: dict[bytes, str] = {}
    ends: dict[tuple[str, str], str] = {}
    for payee in charter.payees:
        if isinstance(payee, VaultPayee):
            charter.vault_entry(payee.vault)
            continue
        script = script_of(payee.address, charter.network)
        kind = output_type(script)
        if kind not in PAYABLE:
            raise OutputTypeRefused(output_type=kind, script=script.hex())
        if script in scripts:
            raise CharterInvalid(where=f"payee {payee.name}", problem=f"has the address of payee {scripts[script]}")
        scripts[script] = payee.name
        shown = payee.address.lower()
        seen = ends.setdefault((shown[:LOOKALIKE_ENDS], shown[-LOOKALIKE_ENDS:]), payee.name)
        if seen != payee.name:
            how = "it stands in payees, the other too; the address of one begins and ends like the other's"
            raise Lookalike(first=seen, second=payee.name, how=how)


def _check_addresses(charter: Charter) -> None:
    """What is paid outside leaves, and can be spent there."""
    outside = {script_of(each.address, charter.network): each for each in charter.payees if each.type == "address"}
    for script, payee in outside.items():
        if output_type(script) is OutputType.P2TR and not is_public_key(b"\x02" + script[2:]):
            raise PayeeUnspendable(payee=payee.name)
    for entry, branch in itertools.product(charter.vaults if outside else (), Branch):
        for index, script in enumerate(charter.vault(entry.name).scripts(branch, 0, OWN_INDEXES)):
            if script in outside:
                where = branch.name.lower()
                raise PayeeIsVault(payee=outside[script].name, vault=entry.name, branch=where, index=index)


def _check_rules(charter: Charter) -> None:
    payees = {payee.name for payee in charter.payees}
    for rule in charter.rules:
        for vault in rule.vaults:
            charter.vault_entry(vault)
        unknown = [name for name in rule.payees if name not in payees] if isinstance(rule, AllowRule) else []
        if unknown:
            problem = f"names an unknown payee, {unknown[0]}{did_you_mean(unknown[0], payees)}"
            raise CharterInvalid(where=f"rule {rule.name}", problem=problem)
        if isinstance(rule, ApprovalsRule):
            able = sum(person.has_role(rule.role) for person in charter.people)
            if able < rule.count:
                problem = f"asks for {rule.count} approvals, but {able} people have the role {rule.role}"
                raise CharterInvalid(where=f"rule {rule.name}", problem=problem)
    if not any(person.has_role(Role.REQUESTER) for person in charter.people):
        raise CharterInvalid(where="people", problem="nobody has the role requester")
    _check_coverage(charter)


def _check_coverage(charter: Charter) -> None:
    """A vault whose small transfers nobody approves is one person's vault; one without a fee cap is the miners'."""
    approved = {
        vault
        for rule in charter.rules
        if isinstance(rule, ApprovalsRule) and rule.from_amount == 0
        for vault in rule.vaults
    }
    capped = {vault for rule in charter.rules if isinstance(rule, FeeRule) for vault in rule.vaults}
    for vault in charter.vaults:
        if vault.name not in approved:
            raise CharterInvalid(where=f"vault {vault.name}", problem="no approvals rule covers it from amount 0 up")
        if vault.name not in capped:
            raise CharterInvalid(where=f"vault {vault.name}", problem="no fee rule caps what may go to miners")


def refuse_other_charter(actual: bytes, pinned: bytes) -> None:
    """Pass when the digest of a charter is the pinned one (32 bytes each).

    Raises:
        CharterMismatch: it is not.
    """
    if actual != digest_given(pinned, "the pinned charter"):
        raise CharterMismatch(expected=pinned.hex(), actual=actual.hex())


def verify_charter(envelope: Envelope, pinned: bytes) -> Charter:
    """The charter in `envelope`, when it is the pinned one and everyone it lists has signed it.

    Raises:
        CharterMismatch: its digest is not `pinned` (32 bytes).
        CharterUnsigned: a signature is missing.
        CharterInvalid: another version than 1.
        SigInvalid: a listed key's signature does not verify.
    """
    check_type(envelope, Charter)
    # Before it is read: whoever wrote another one may have had hours of key derivation in mind (THREATS F23).
    refuse_other_charter(Charter.digest_of(envelope.body), pinned)
    charter = read_charter(envelope)
    missing = _unsigned(envelope, charter)
    if missing:
        raise CharterUnsigned(missing=", ".join(missing))
    return charter


def read_charter(envelope: Envelope) -> Charter:
    """The charter in `envelope`, whoever signed it: to be shown, compared by voice, and signed.

    Raises:
        CharterInvalid: another version than 1.
    """
    charter = unsafe_payload(envelope, Charter)
    if charter.version != 1:
        raise CharterInvalid(where="version", problem=f"{charter.version}: this program knows version 1 only")
    return charter


def unsigned_by(envelope: Envelope) -> tuple[str, ...]:
    """Names of those the charter lists who have not signed it yet, in the charter's order."""
    return _unsigned(envelope, read_charter(envelope))


def _unsigned(envelope: Envelope, charter: Charter) -> tuple[str, ...]:
    claimed = set(envelope.claimed_keys).intersection(key for _, key in charter.signers())
    signed = verify(envelope, Charter, claimed)[1] if claimed else frozenset()
    return tuple(name for name, key in charter.signers() if key not in signed)
