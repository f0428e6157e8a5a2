"""In which form did another program write a vault, and which vault is it?

    a descriptor, or one for each branch        Sparrow, bitcoind, BTCPay, a letter (`spellings`)
    JSON with a descriptor in it                Specter, bitcoind's listdescriptors and importdescriptors, this program
    JSON with quorum and extendedPublicKeys     Caravan
    BSMS 1.0, the descriptor record             BIP 129: its first address is compared with the vault's own
    a text with Policy, Derivation and Format   Coldcard, and who writes its multisig file

One file is one vault or is refused, with what it looks like. Nothing of it is kept: what is kept is the vault's own
text, which is the same whichever form it came in, but for the order of the keys.

Sources: BIP 129 (BSMS), Coldcard docs/multisig, Caravan's wallet configuration, Bitcoin Core help listdescriptors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from custody.bitcoin.script import NetworkMismatch
from custody.bounds import LimitExceeded
from custody.errors import InvalidInput
from custody.units import Network
from custody.vault.descriptor import Branch, DescriptorChecksum, Vault, checksum
from custody.vault.keys import Cosigner, PathNonstandard, refuse_secrets
from custody.vault.spellings import STEPS, Half, Spelled, descriptors_in, own_key, own_origin, same, spelled
from custody.vault.templates import ScriptType

MAX_VAULT_TEXT: Final = 64 * 1024
"""Characters of the longest text read. Two descriptors of fifteen keys take some 5,000."""
_MOST_DESCRIPTORS: Final = 8


class VaultForm(InvalidInput, code="VAULT_FORM"):
    """A text in which no vault stands, or not one whole one."""

    message = "no vault can be read from this text: {problem}"
    hint = (
        "Give the vault's descriptor as bitcoind, Sparrow or Specter export it, with both branches, or a BSMS record, "
        "Coldcard's multisig file, or Caravan's JSON."
    )
    problem: str


@dataclass(frozen=True, slots=True)
class FoundVault:
    """The vault in a text. `notes` say in words what was read as something else.

    `is_checked` says that the text carried a right checksum, or its first address: without, a mistyped letter of a
    fingerprint or a path is found on no screen but the devices'.
    """

    vault: Vault
    is_checked: bool
    notes: tuple[str, ...]


def read_vault(text: str, network: Network, birthday: int = 0) -> FoundVault:
    """The vault that `text` describes, in whichever form another program wrote it.

    Raises:
        SecretMaterial: a private key or mnemonic anywhere in it.
        LimitExceeded: it is too long for one vault.
        VaultForm, TemplateRefused, DescriptorChecksum: it is none of the forms, or not one whole vault.
        ExtendedKeyInvalid, PathNonstandard, IndexRange, DupCosigner, NetworkMismatch, TaprootKeypath: about its keys.
    """
    if len(text) > MAX_VAULT_TEXT:
        raise LimitExceeded(what="characters of a vault's text", count=len(text), most=MAX_VAULT_TEXT)
    refuse_secrets(text, where="text of a vault")
    bare = text.strip().removeprefix("\ufeff").strip()
    if not bare:
        raise VaultForm(problem="it is empty")
    if bare[0] in "{[":
        return _from_json(bare, network, birthday)
    if bare.startswith("BSMS"):
        return _from_bsms(bare.split("\n"), network, birthday)
    if _POLICY.search(bare):
        return _from_coldcard(bare, network, birthday)
    return _from_descriptors(*descriptors_in(bare), network, birthday)


def own_descriptor(text: str, network: Network) -> tuple[str, tuple[str, ...]]:
    """The vault's own text, and notes of what in `text` was read as something else.

    Raises:
        DescriptorChecksum: nothing in it shows whether it was mistyped; and as `read_vault`.
    """
    found = read_vault(text, network)
    if not found.is_checked:
        raise DescriptorChecksum(problem="has no checksum of eight characters after a #")
    return found.vault.descriptor, found.notes


def read_cosigner(text: str, script_type: ScriptType, name: str = "") -> tuple[Cosigner, tuple[str, ...]]:
    """A cosigner's key with its origin, as devices and programs write it, and notes of what was read as something else.

    Raises:
        SecretMaterial, ExtendedKeyInvalid, PathNonstandard, IndexRange: it is no such key, or not for such a vault.
    """
    refuse_secrets(text, where="key expression")
    bare, notes = _expression(text.strip().removeprefix("\ufeff").strip(), script_type)
    match = _EXPRESSION.fullmatch(bare)
    if match is None:
        # Whatever else it is, what it should be is said where keys are read.
        return Cosigner.parse(bare, name), tuple(notes)
    steps = match["steps"]
    if steps and steps not in _ALL_STEPS:
        raise PathNonstandard(whose=f"cosigner {name}".rstrip(), problem="steps that no vault has follow its key")
    if steps:
        notes.append(f"the steps {steps} after the key were left out")
    key, note = own_key(match["key"], script_type)
    return Cosigner.parse(f"{own_origin(match['origin'])}{key}", name), (*notes, *([note] if note else []))


_ALL_STEPS: Final = frozenset({STEPS, "/{0,1}/*", "/**", "/0/*", "/1/*", "/*"})
_EXPRESSION: Final = re.compile(
    r"(?P<origin>\[[0-9a-fA-F]{8}(?:/[0-9]{1,10}[h'H]?)*\])(?P<key>[0-9A-Za-z]+)(?P<steps>.*)"
)
_COLDCARD_KEYS: Final = {
    ScriptType.WSH: ("p2wsh",),
    ScriptType.SH_WSH: ("p2sh_p2wsh", "p2wsh_p2sh"),
    ScriptType.TR: ("p2tr",),
}


def _expression(text: str, script_type: ScriptType) -> tuple[str, list[str]]:
    """The key expression in a text or in a program's JSON; quotes and word processors' apostrophes put right."""
    if text[:1] == "{":
        found = _json(text)
        if isinstance(found, dict):
            if isinstance(found.get("expression"), str):
                return str(found["expression"]), ["the key was taken from the JSON of custody-station export"]
            for name in _COLDCARD_KEYS[script_type]:
                path, key = found.get(f"{name}_deriv"), found.get(name)
                if isinstance(path, str) and isinstance(key, str):
                    origin = f"[{found.get('xfp')}{path.removeprefix('m')}]"
                    return f"{origin}{key}", ["the key was taken from the JSON of a Coldcard"]
        raise PathNonstandard(whose="cosigner", problem="the JSON holds no key with its origin for such a vault")
    joined = "".join(text.split())
    plain = joined.translate(_PLAIN).strip("\"'")
    notes = [] if plain == text else ["blanks, quotes or apostrophes of a word processor in it were put right"]
    return plain, notes


_PLAIN: Final = str.maketrans({**dict.fromkeys("\u2018\u2019\u2032`", "'"), **dict.fromkeys("\u201c\u201d", '"')})


# --- descriptors ------------------------------------------------------------------------------------------------------


def _from_descriptors(found: list[str], notes: list[str], network: Network, birthday: int) -> FoundVault:
    if len(found) > _MOST_DESCRIPTORS:
        raise VaultForm(problem=f"{len(found)} descriptors stand in it")
    return _found(same([spelled(each) for each in found]), notes, network, birthday)


def _found(read: Spelled, notes: list[str], network: Network, birthday: int) -> FoundVault:
    vault = Vault.parse(f"{read.body}#{checksum(read.body)}", network, birthday)
    told = [*notes, *read.notes]
    if not read.is_checked:
        told.append(_UNCHECKED)
    return FoundVault(vault, read.is_checked, tuple(told))


_UNCHECKED: Final = "nothing in it shows whether it was mistyped: compare the vault's words on every cosigner's device"


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise VaultForm(problem="it begins like JSON, and is none or says something twice") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _from_json(text: str, network: Network, birthday: int) -> FoundVault:
    found = _json(text)
    if isinstance(found, dict) and isinstance(found.get("result"), dict):
        found = found["result"]
    if isinstance(found, dict):
        if isinstance(found.get("extendedPublicKeys"), list):
            return _from_caravan(found, network, birthday)
        if "wallet_type" in found or "keystore" in found:
            raise VaultForm(problem="it looks like an Electrum wallet; import that in Sparrow, and export a descriptor")
        if isinstance(found.get("descriptor"), str):
            return _from_named(found, network, birthday)
        found = found.get("descriptors")
    texts = [each.get("desc") for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    whole = [each for each in texts if isinstance(each, str)]
    if not whole or len(whole) != len(texts):
        raise VaultForm(problem="it looks like JSON of another kind: no descriptor stands in it")
    pieces, notes = descriptors_in("\n".join(whole))
    return _from_descriptors(pieces, ["taken from the JSON of bitcoind", *notes], network, birthday)


def _from_named(found: Mapping[str, object], network: Network, birthday: int) -> FoundVault:
    """One descriptor in JSON. Specter and who writes its form mean both branches by the receiving one."""
    pieces, _ = descriptors_in(str(found["descriptor"]))
    read = [spelled(each) for each in pieces]
    notes = ["taken from the JSON of a wallet"]
    if "label" in found and {each.half for each in read} == {Half.RECEIVE}:
        read = [replace(each, half=Half.BOTH) for each in read]
        notes.append("/0/* was read as both branches, as Specter's form means it")
    return _found(same(read), notes, network, birthday)


# --- forms that name the parts ----------------------------------------------------------------------------------------

_SCRIPTS: Final = {"P2WSH": ScriptType.WSH, "P2SH-P2WSH": ScriptType.SH_WSH, "P2WSH-P2SH": ScriptType.SH_WSH}
_POLICY: Final = re.compile(r"^\s*Policy:\s*([0-9]{1,3})\s*(?:of|/)\s*([0-9]{1,3})\s*$", re.MULTILINE | re.IGNORECASE)
_POLICY_OF: Final = re.compile(r"[0-9]+")
_COLDCARD: Final = "it looks like a Coldcard's multisig file"
_COLDCARD_FIELDS: Final = frozenset({"name", "policy", "format"})
_FIELD: Final = re.compile(r"\s*(?P<name>[A-Za-z0-9]+)\s*:\s*(?P<value>\S.*?)\s*")
_FINGERPRINT: Final = re.compile(r"[0-9a-fA-F]{8}")
_PATH: Final = re.compile(r"m?((?:/[0-9]{1,10}[h'H]?)+)")


def _from_caravan(found: Mapping[str, object], network: Network, birthday: int) -> FoundVault:
    quorum, keys = found.get("quorum"), found["extendedPublicKeys"]
    script_type = _SCRIPTS.get(str(found.get("addressType")))
    needed = quorum.get("requiredSigners") if isinstance(quorum, dict) else None
    if script_type is None or type(needed) is not int or not isinstance(keys, list):
        raise VaultForm(problem="it looks like Caravan's JSON, of a kind of address or quorum that no vault has")
    expressions = []
    for each in keys:
        parts = [each.get(name) for name in ("xfp", "bip32Path", "xpub")] if isinstance(each, dict) else [None]
        if not all(isinstance(part, str) for part in parts):
            raise VaultForm(problem="it looks like Caravan's JSON, and a key in it lacks its fingerprint or its path")
        expressions.append(_expression_of(*map(str, parts)))
    return _of_parts(needed, script_type, expressions, "taken from Caravan's JSON", network, birthday)


def _from_coldcard(text: str, network: Network, birthday: int) -> FoundVault:
    said: dict[str, str] = {}
    expressions: list[str] = []
    for line in text.split("\n"):
        match = _FIELD.fullmatch(line)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if match is None:
            raise VaultForm(problem=f"{_COLDCARD}, and a line of it is none")
        name, value = match["name"].lower(), match["value"]
        if _FINGERPRINT.fullmatch(name):
            expressions.append(_expression_of(name, said.get("derivation", ""), value))
        elif name == "derivation" or (name in _COLDCARD_FIELDS and name not in said):
            said[name] = value
        else:
            raise VaultForm(problem=f"{_COLDCARD}, and says something twice or unknown")
    script_type = _SCRIPTS.get(said.get("format", "").upper())
    if script_type is None:
        raise VaultForm(problem=f"{_COLDCARD}, and its format is neither P2WSH nor P2SH-P2WSH")
    needed, count = map(int, _POLICY_OF.findall(said["policy"]))
    if count != len(expressions):
        raise VaultForm(problem=f"{_COLDCARD}: its policy has {count} keys, and {len(expressions)} stand in it")
    return _of_parts(needed, script_type, expressions, "taken from a Coldcard's multisig file", network, birthday)


def _expression_of(master: str, path: str, key: str) -> str:
    match = _PATH.fullmatch(path.replace("\u2019", "'"))
    if match is None or not _FINGERPRINT.fullmatch(master):
        raise VaultForm(problem="a key in it lacks its fingerprint or its path")
    return f"[{master}{match[1]}]{key}"


def _of_parts(
    threshold: int, script_type: ScriptType, expressions: list[str], note: str, network: Network, birthday: int
) -> FoundVault:
    read = [read_cosigner(each, script_type) for each in expressions]
    notes = [note, *(each for _, told in read for each in told), _UNCHECKED]
    vault = Vault.create(threshold, [cosigner for cosigner, _ in read], script_type, network, birthday)
    return FoundVault(vault, is_checked=False, notes=tuple(dict.fromkeys(notes)))


def _from_bsms(lines: list[str], network: Network, birthday: int) -> FoundVault:
    """A descriptor record: version, descriptor, path restrictions, first address."""
    kept = [line.strip() for line in lines if line.strip()]
    if kept[0] != "BSMS 1.0" or len(kept) != _BSMS_LINES:
        raise VaultForm(problem="it looks like BSMS, and is no descriptor record of version 1.0, which has four lines")
    _, text, restrictions, address = kept
    if restrictions not in {"/0/*,/1/*", "No path restrictions"}:
        raise VaultForm(problem="it looks like a BSMS record of other branches than 0 and 1")
    pieces, notes = descriptors_in(text)
    found = _from_descriptors(pieces, ["taken from a BSMS record", *notes], network, birthday)
    own = found.vault.address(Branch.RECEIVE, 0)
    if own.lower() != address.lower():
        if own.partition("1")[0] != address.lower().partition("1")[0]:
            what = "the BSMS record's first address"
            raise NetworkMismatch(what=what, expected=network.value, actual="another network")
        raise VaultForm(problem="it looks like a BSMS record, and its first address is not that of its descriptor")
    return replace(found, is_checked=True, notes=tuple(each for each in found.notes if each != _UNCHECKED))


_BSMS_LINES: Final = 4
