"""How do people write a charter? TOML, of which the record is made.

Keys may be hex, OpenSSH or PEM; lists may stand in any order; what has a default may be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from custody.bounds import LimitExceeded
from custody.charter.document import DEFAULT_CONFIRMATIONS, Charter, CharterInvalid
from custody.charter.makers import maker_called
from custody.envelope import parse_public_key
from custody.record import RecordInvalid, canonical
from custody.toml import TomlInvalid, read_toml
from custody.units import Network
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
    data = canonical(_record_of(tree, told))
    try:
        return Charter.from_bytes(data)
    except RecordInvalid as error:
        raise CharterInvalid(where=error.where, problem=error.problem) from None


_LISTS: Final = {"person": "people", "witness": "witnesses", "vault": "vaults", "payee": "payees", "rule": "rules"}


def _record_of(tree: Mapping[str, object], told: Callable[[str], None]) -> dict[str, object]:
    """The record's JSON tree: lists named in the plural, sorted by name; keys as raw hex; defaults spelled out."""
    filled: dict[str, object] = {"version": 1, "witness_threshold": 0, "faulty_witnesses": 0}
    filled |= {name: value for name, value in tree.items() if name not in _LISTS}
    if isinstance(filled.get("coordinator"), str):
        filled["coordinator"] = parse_public_key(str(filled["coordinator"])).hex()
    for singular, plural in _LISTS.items():
        if plural in tree:
            raise CharterInvalid(where=plural, problem=f"write one [[{singular}]] table for each")
        entries = _tables(singular, tree.get(singular, []))
        filled[plural] = sorted((_entry_of(singular, each) for each in entries), key=lambda each: str(each.get("name")))
    _spell_vaults(filled, told)
    return filled


def _spell_vaults(filled: Mapping[str, object], told: Callable[[str], None]) -> None:
    """Write each vault's descriptor in its one spelling; what is no text, or of no network, is left to be refused."""
    network, vaults = filled.get("network"), filled["vaults"]
    for entry in vaults if isinstance(vaults, list) and network in set(Network) else ():
        if isinstance(entry.get("descriptor"), str):
            entry["descriptor"], notes = own_descriptor(entry["descriptor"], Network(str(network)))
            for note in notes:
                told(f"vault {entry.get('name')}: {note}")


def _tables(name: str, written: object) -> list[dict[str, object]]:
    if not isinstance(written, list) or not all(isinstance(each, dict) for each in written):
        raise CharterInvalid(where=name, problem=f"write one [[{name}]] table for each")
    return written


def _entry_of(singular: str, written: Mapping[str, object]) -> dict[str, object]:
    # A rule's kind has defaults of its own; what else has a type is no less a payee for it.
    defaults = _DEFAULTS.get(str(written.get("type")) if singular == "rule" else singular, {})
    entry: dict[str, object] = {**defaults, **written}
    if singular == "payee" and "type" not in entry:
        entry["type"] = "vault" if "vault" in entry else "address"
    if singular == "payee":
        _check_address(entry)
    if singular in {"person", "witness"} and isinstance(entry.get("key"), str):
        entry["key"] = parse_public_key(str(entry["key"])).hex()
    if "devices" in entry:
        raise CharterInvalid(where=f"{singular}.devices", problem="write one [[vault.device]] table for each")
    if "device" in entry:
        entry["devices"] = _devices_of(entry.pop("device"))
    for name in ("roles", "vaults", "payees"):
        listed = entry.get(name)
        if isinstance(listed, list):
            entry[name] = sorted(listed, key=str)
    return entry


def _check_address(entry: Mapping[str, object]) -> None:
    """Say what an address looks like that is not written alone."""
    address = entry.get("address")
    if not isinstance(address, str) or address.isalnum():
        return
    found = "a payment link (BIP 21)" if address.lower().startswith("bitcoin:") else "more than an address"
    where = f"payee {entry.get('name')}, address"
    raise CharterInvalid(where=where, problem=f"it looks like {found}; write the address alone, without blanks")


def _devices_of(written: object) -> list[dict[str, object]]:
    """A vault's devices as the record has them: makers under their one name, in the order of fingerprints."""
    devices = [{**_DEFAULTS["device"], **each} for each in _tables("vault.device", written)]
    for each in devices:
        if isinstance(each.get("maker"), str):
            each["maker"] = maker_called(str(each["maker"]))
    return sorted(devices, key=lambda each: str(each.get("fingerprint")))


_DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = {
    "vault": {"birthday": 0, "confirmations": DEFAULT_CONFIRMATIONS, "max_inputs": 250},
    "device": {"is_deterministic": False},
    "approvals": {"from_amount": 0},
}
