"""How do people write a charter? TOML, of which the record is made.

Keys may be hex, OpenSSH or PEM; lists may stand in any order; what has a default may be left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from custody.bitcoin.script import script_of
from custody.bounds import LimitExceeded
from custody.charter.document import DEFAULT_CONFIRMATIONS, AddressPayee, Charter, CharterInvalid, CharterVault
from custody.charter.makers import CosignerDevice, maker_called
from custody.charter.people import CosignerName, Person, Role, Witness
from custody.charter.places import Entry, Places
from custody.charter.rules import AllowRule, ApprovalsRule, FeeRule, LimitRule
from custody.envelope import parse_public_key
from custody.errors import CustodyError
from custody.likely import did_you_mean
from custody.record import Record, RecordInvalid, canonical, check_text
from custody.toml import TomlInvalid, read_toml
from custody.units import Network, RateInvalid, check_amount, parse_amount, parse_rate
from custody.vault.formats import own_descriptor
from custody.vault.keys import refuse_secrets

MAX_CHARTER_TEXT: Final = 4_000_000
"""Characters of the longest charter that people write: two thousand vaults of 3 of 7 take some."""


def parse_charter(text: str, told: Callable[[str], None] = lambda _: None) -> Charter:
    """A charter from its TOML text. Keys may be hex, OpenSSH or PEM; lists may stand in any order.

    A vault may be spelled as another program writes it (`vault.formats`), if its text shows that it was not mistyped;
    the record has its one spelling. What was read as something else is `told`.

    Raises:
        CharterInvalid: what is wrong and where.
        LimitExceeded: the text is too long, or costs more to read than its size.
        SecretMaterial: private material anywhere in the text.
        NetworkMismatch, DescriptorChecksum, KeyInvalid, ...: of the parts.
    """
    if len(text) > MAX_CHARTER_TEXT:
        raise LimitExceeded(what="characters of a charter's text", count=len(text), most=MAX_CHARTER_TEXT)
    refuse_secrets(text)
    try:
        tree = read_toml(text)
    except TomlInvalid as error:
        raise CharterInvalid(where=f"line {error.line}, {error.where}", problem=error.problem) from None
    places = Places(text)
    data = canonical(_record_of(tree, places, told))
    try:
        return Charter.from_bytes(data)
    except RecordInvalid as error:
        entry, name = _place_of(error.where, places)
        where = error.where if entry is None else f"{_called(entry)}, {name}"
        refused = CharterInvalid(where=where, problem=_problem(error.problem))
        places.note(refused, entry, name)
        raise refused from None
    except CharterInvalid as error:
        places.note(error, places.of(error.where.partition(" ")[2]))
        raise
    except CustodyError as error:
        places.note(error, places.of(*error.values().values()))
        raise


_LISTS: Final = {"person": "people", "witness": "witnesses", "vault": "vaults", "payee": "payees", "rule": "rules"}
_PROBLEMS: Final = {
    "Field required": "is missing",
    "Input should be a valid integer": "is no whole number",
    "Input should be a valid string": "is no text",
    "Input should be a valid boolean": "is neither true nor false",
    "Input should be a valid array": "is no list",
    "Value should have at least 1 item": "is an empty list",
    "String should have at least 1 character": "is empty",
    "String should match pattern": "holds characters that it may not, or none",
    "Value error, expected in ascending order": "has an entry twice",
    "Value error, non-hexadecimal number": "is not hexadecimal",
}
"""How what a record refuses is said to whoever wrote a text."""


def _problem(said: str) -> str:
    return next((told for begins, told in _PROBLEMS.items() if said.startswith(begins)), said)


def _place_of(where: str, places: Places) -> tuple[Entry | None, str]:
    """The entry and the field that a place in the record (`rules.2.approvals.count`) is of."""
    plural, _, rest = where.partition(".")
    number, _, path = rest.partition(".")
    if plural not in places.lists or not number.isdigit():
        return None, where
    entry = places.lists[plural][int(number)]
    return entry, path.rpartition(".")[2] if entry.table == "rule" else path


def _record_of(tree: Mapping[str, object], places: Places, told: Callable[[str], None]) -> dict[str, object]:
    """The record's JSON tree: lists named in the plural, sorted by name; keys as raw hex; defaults spelled out."""
    filled: dict[str, object] = {"version": 1, "witness_threshold": 0, "faulty_witnesses": 0}
    filled |= {name: value for name, value in tree.items() if name not in _LISTS}
    for singular, plural in _LISTS.items():
        if plural in tree:
            with places.within(None, plural):
                raise CharterInvalid(where=plural, problem=f"write one [[{singular}]] table for each")
    _refuse_unknown("the charter", tree, _FIELDS[""], places, None)
    if isinstance(filled.get("coordinator"), str):
        with places.within(None, "coordinator"):
            filled["coordinator"] = parse_public_key(str(filled["coordinator"])).hex()
    network = next((each for each in Network if each == filled.get("network")), None)
    if network is None and "network" in filled:
        with places.within(None, "network"):
            raise CharterInvalid(where="network", problem=_unknown(filled["network"], "network", Network))
    reader = _Reader(network, places, told)
    lists: dict[str, list[Entry]] = {}
    for singular, plural in _LISTS.items():
        with places.within(None, singular):
            written = _tables(singular, tree.get(singular, []))
        entries = [Entry(singular, number, each) for number, each in enumerate(written)]
        read = sorted(((each, reader.entry(each)) for each in entries), key=lambda each: str(each[1].get("name")))
        lists[plural] = [at for at, _ in read]
        filled[plural] = [each for _, each in read]
    places.lists = lists
    return filled


def _tables(name: str, written: object) -> list[dict[str, object]]:
    if not isinstance(written, list) or not all(isinstance(each, dict) for each in written):
        raise CharterInvalid(where=name, problem=f"write one [[{name}]] table for each")
    return written


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the tables of one text; `network` is None when the text names none that there is."""

    network: Network | None
    places: Places
    told: Callable[[str], None]
    within: Counter[str] = field(default_factory=Counter)
    """How many tables within vaults were read, by their kind."""

    def entry(self, at: Entry) -> dict[str, object]:
        """What the record has of one table."""
        kind = self._kind(at)
        # A rule's kind has defaults of its own; what else has a type is no less a payee for it.
        entry: dict[str, object] = {**_DEFAULTS.get(kind, {}), **at.written}
        if at.table == "payee" and "type" not in entry:
            entry["type"] = "vault" if "vault" in entry else "address"
        if isinstance(at.written.get("name"), str):
            with self.places.within(at, "name"):
                check_text(str(at.written["name"]))
        with self.places.within(at):
            for name, plural in _WITHIN.items():
                if plural in entry:
                    where = f"{at.table}.{plural}"
                    raise CharterInvalid(where=where, problem=f"write one [[vault.{name}]] table for each")
            _refuse_unknown(_called(at), at.written, _FIELDS[kind], self.places, at)
        self._convert(at, kind, entry)
        if at.table == "payee":
            self._check_payee(at, entry)
        self._check_roles(at, entry)
        for name, plural in _WITHIN.items():
            if name in entry:
                with self.places.within(at, name):
                    written = _tables(f"vault.{name}", entry.pop(name))
                entry[plural] = self._within_vault(name, written)
        for name in ("roles", "vaults", "payees"):
            listed = entry.get(name)
            if isinstance(listed, list):
                entry[name] = sorted(listed, key=str)
        return entry

    def _convert(self, at: Entry, kind: str, entry: dict[str, object]) -> None:
        """Write in the record's way what people may write in others."""
        for name, read in _READERS.items():
            if name in entry and name in _FIELDS[kind]:
                with self.places.within(at, name):
                    entry[name] = read(entry[name])
        if isinstance(entry.get("descriptor"), str) and self.network is not None:
            with self.places.within(at, "descriptor"):
                entry["descriptor"], notes = own_descriptor(str(entry["descriptor"]), self.network)
            for note in notes:
                self.told(f"vault {entry.get('name')}: {note}")

    def _kind(self, at: Entry) -> str:
        """What the table is to have: of a rule that is by its type."""
        if at.table != "rule":
            return at.table
        given = at.written.get("type")
        if given not in tuple(_RULES):
            with self.places.within(at, "type"):
                problem = "lacks its type" if given is None else _unknown(given, "type of rule", _RULES)
                raise CharterInvalid(where=_called(at), problem=problem)
        return str(given)

    def _check_roles(self, at: Entry, entry: Mapping[str, object]) -> None:
        roles = entry.get("roles") if at.table == "person" else [entry["role"]] if "role" in entry else []
        for each in roles if isinstance(roles, list) else ():
            if each not in tuple(Role):
                with self.places.within(at, "roles" if at.table == "person" else "role"):
                    raise CharterInvalid(where=_called(at), problem=_unknown(each, "role", Role))

    def _within_vault(self, name: str, written: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
        """What is said of each cosigner of a vault, in the order of fingerprints; makers under their one name."""
        entries: list[dict[str, object]] = []
        for each in written:
            at = Entry(f"vault.{name}", self.within[name], each)
            self.within[name] += 1
            entry = {**_DEFAULTS.get(name, {}), **each}
            _refuse_unknown(f"[[{at.table}]]", each, _FIELDS[name], self.places, at)
            for missing in (one for one in _FIELDS[name] if one not in entry):
                with self.places.within(at, missing):
                    raise CharterInvalid(where=f"[[{at.table}]], {missing}", problem="is missing")
            fingerprint = entry["fingerprint"]
            if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
                with self.places.within(at, "fingerprint"):
                    problem = f"{ascii(fingerprint)[:_SHOWN]} is no fingerprint: 8 digits of 0-9 and a-f"
                    raise CharterInvalid(where=f"[[{at.table}]]", problem=problem)
            if any(one["fingerprint"] == fingerprint for one in entries):
                with self.places.within(at, "fingerprint"):
                    raise CharterInvalid(where=f"[[{at.table}]]", problem=f"{fingerprint} stands twice in this vault")
            if isinstance(entry.get("maker"), str):
                entry["maker"] = maker_called(str(entry["maker"]))
            entries.append(entry)
        return sorted(entries, key=lambda each: str(each["fingerprint"]))

    def _check_payee(self, at: Entry, entry: Mapping[str, object]) -> None:
        """An address outside, or a vault of the charter, and never both."""
        with self.places.within(at, "type"):
            if entry.get("type") not in _PAID:
                raise CharterInvalid(where=_called(at), problem=_unknown(entry.get("type"), "type of payee", _PAID))
        with self.places.within(at):
            if ("address" in entry) is ("vault" in entry):
                raise CharterInvalid(where=_called(at), problem="has an address or names a vault, one of the two")
        with self.places.within(at, "address"):
            self._check_address(entry)

    def _check_address(self, entry: Mapping[str, object]) -> None:
        """Say what an address looks like that is not written alone."""
        address = entry.get("address")
        if not isinstance(address, str):
            return
        if not address.isalnum():
            found = "a payment link (BIP 21)" if address.lower().startswith("bitcoin:") else "more than an address"
            where = f"payee {entry.get('name')}, address"
            raise CharterInvalid(where=where, problem=f"it looks like {found}; write the address alone, without blanks")
        if self.network is not None:
            script_of(address, self.network)


def _called(at: Entry) -> str:
    return f"{at.table}{at.shown}"


def _unknown(given: object, what: str, known: Iterable[str]) -> str:
    names = [str(each) for each in known]
    shown = str(given)[:_SHOWN]
    return f"{shown!a} is no {what}; there are {', '.join(names)}{did_you_mean(shown, names)}"


def _refuse_unknown(
    what: str, written: Mapping[str, object], known: Sequence[str], places: Places, at: Entry | None
) -> None:
    """Pass when every field of a table is one that there is."""
    for name in written:
        if name not in known:
            with places.within(at, name):
                raise CharterInvalid(where=what, problem=_unknown(name, "field of it", known))


def _sats(given: object) -> int:
    """Whole sats, or a text with its unit; one without may be meant as BTC by some and as sats by others."""
    if isinstance(given, str) and not _BARE.fullmatch(given):
        return parse_amount(_THOUSANDS.sub("", given))
    return check_amount(given)


def _rate(given: object) -> object:
    """The same of a rate."""
    if isinstance(given, str) and _BARE.fullmatch(given):
        raise RateInvalid(shown=ascii(given[:_SHOWN]))
    return parse_rate(given) if isinstance(given, str) else given


def _key(given: object) -> object:
    return parse_public_key(given).hex() if isinstance(given, str) else given


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "key": _key,
    "from_amount": _sats,
    "max_outflow": _sats,
    "max_fee": _sats,
    "max_rate": _rate,
}
"""How what people write in a field becomes what the record has there."""
_BARE: Final = re.compile(r"[0-9\s]*")
_THOUSANDS: Final = re.compile(r"(?<=[0-9]) (?=[0-9]{3}(?![0-9]))")
"""A blank between thousands, as screens show sats."""
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{8}")
_PAID: Final = ("address", "vault")
_WITHIN: Final = {"device": "devices", "cosigner": "cosigners"}
"""Tables within a vault's, and the record's lists of them."""
_RULES: Final[Mapping[str, type[Record]]] = {
    "allow": AllowRule,
    "approvals": ApprovalsRule,
    "fee": FeeRule,
    "limit": LimitRule,
}
_FIELDS: Final[Mapping[str, Sequence[str]]] = {
    "": (*(each for each in Charter.model_fields if each not in _LISTS.values()), *_LISTS),
    "person": tuple(Person.model_fields),
    "witness": tuple(Witness.model_fields),
    "vault": (*(each for each in CharterVault.model_fields if each not in _WITHIN.values()), *_WITHIN),
    "device": tuple(CosignerDevice.model_fields),
    "cosigner": tuple(CosignerName.model_fields),
    "payee": (*AddressPayee.model_fields, "vault"),
    **{name: tuple(rule.model_fields) for name, rule in _RULES.items()},
}
"""Which fields a table may have, in the order in which a charter has them."""
_DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = {
    "vault": {"birthday": 0, "confirmations": DEFAULT_CONFIRMATIONS, "max_inputs": 250},
    "device": {"is_deterministic": False},
    "approvals": {"from_amount": 0},
}
_SHOWN: Final = 40
