"""How do other programs spell a descriptor or a key, and what is it in the one spelling that is kept?

A vault's id is a digest of its descriptor's text, so that text has one spelling (`descriptor`). Programs, word
processors and people write the same vault in others. Here, at the front door and nowhere else, those are turned into
the one, and each change is told in words for the screen. What is taken:

1. Blanks and line breaks within, quotes around; typographic apostrophes and backquotes as hardened marks, and H.
2. A checksum over the text with ' or with h, in small or capital letters. A wrong one is refused: something was typed
   or edited. Without one the text is taken as one that nobody has checked, and is said to be.
3. Keys with the version bytes of SLIP 132 for multi-signature, Ypub, Zpub, Upub and Vpub, where they fit the script.
   The others are for single-signature accounts, and refused.
4. For both branches `/<0;1>/*`, `/{0,1}/*` and `/**`, or a descriptor for each. Half of such a pair is half a vault.

What is no such spelling is refused with what it looks like. What comes out is read by `Vault.parse`, as strictly as
ever; nothing here judges keys.

Sources: BIP 380 (checksum, hardened marks), 388 (/**), 389 (<0;1>); SLIP 132 (version bytes).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from custody.bitcoin.script import Base58Invalid, base58check_decode, base58check_encode
from custody.units import Network
from custody.vault.descriptor import DescriptorChecksum, checksum
from custody.vault.keys import ExtendedKeyInvalid
from custody.vault.templates import ScriptType, TemplateRefused

STEPS: Final = "/<0;1>/*"
"""What follows a key for both branches, every index."""


class Half(StrEnum):
    """Which branches the steps after a descriptor's keys stand for."""

    BOTH = STEPS
    RECEIVE = "/0/*"
    CHANGE = "/1/*"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A descriptor with its steps for both branches, whichever it had (`half`), and without a checksum.

    `is_checked` says that a right one stood there; `notes` what was changed, in words.
    """

    body: str
    half: Half
    is_checked: bool
    notes: tuple[str, ...]


_BLANKS: Final = re.compile(r"[\s\u200b\ufeff]+")
_AROUND: Final = "\"'\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019`"
_APOSTROPHES: Final = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u2032\u02bc\u00b4\uff07`", "'"))
_QUOTES: Final = str.maketrans("", "", '"\u201c\u201d\u201e\u00ab\u00bb')
_START: Final = re.compile(r"[a-z_]{2,20}\(")
_CHECKSUM: Final = re.compile(r"#[0-9a-zA-Z]{8}")
_KEY: Final = re.compile(
    r"(?P<origin>\[(?P<fingerprint>[0-9a-fA-F]{8})(?P<path>(?:/[0-9]{1,10}[h'H]?)*)\])?"
    r"(?P<key>[1-9A-HJ-NP-Za-km-z]{50,120})(?P<steps>(?:/(?:\{0,1\}|[0-9h'H<;>*]+))*)"
)
_STEPS: Final = {
    "/<0;1>/*": Half.BOTH,
    "/{0,1}/*": Half.BOTH,
    "/**": Half.BOTH,
    "/0/*": Half.RECEIVE,
    "/1/*": Half.CHANGE,
    "": Half.NONE,
}
_SLIP132: Final = {
    "Ypub": (bytes.fromhex("0295b43f"), Network.MAIN, ScriptType.SH_WSH),
    "Zpub": (bytes.fromhex("02aa7ed3"), Network.MAIN, ScriptType.WSH),
    "Upub": (bytes.fromhex("024289ef"), Network.TESTNET4, ScriptType.SH_WSH),
    "Vpub": (bytes.fromhex("02575483"), Network.TESTNET4, ScriptType.WSH),
}
_SINGLE: Final = frozenset({"ypub", "zpub", "upub", "vpub"})
_LOOKS: Final = (
    (re.compile(r"(sh\(wpkh|wpkh|pkh)\("), "a wallet with one signature"),
    (
        re.compile(r"(wsh|sh\(wsh)\(multi\("),
        "multi, with its keys in a fixed order; a vault has sortedmulti",
    ),
    (re.compile(r"sh\((sorted)?multi\("), "a multi-signature wallet without witness (legacy P2SH)"),
    (re.compile(r"tr\([^,()]*\)"), "a taproot wallet with one signature"),
    (re.compile(r"(addr|raw)\("), "an address, from which no other can be derived"),
    (re.compile(r"(wsh|sh\(wsh|tr)\("), "a script of another form (miniscript)"),
)


def descriptors_in(text: str) -> tuple[list[str], list[str]]:
    """The descriptors in `text`, each in one line and with its checksum where it has one; and notes of what that took.

    Raises:
        TemplateRefused: something else stands there.
    """
    lines = [line.strip() for line in text.split("\n")]
    kept = [line for line in lines if not line.startswith("#") or _CHECKSUM.fullmatch(line)]
    bare = "\n".join(kept).strip()
    joined = _BLANKS.sub("", bare).translate(_APOSTROPHES).translate(_QUOTES).strip(_AROUND)
    notes = []
    if any(each in bare for each in "\u2018\u2019\u201b\u2032\u02bc\u00b4\uff07`"):
        notes.append("apostrophes of a word processor were read as '")
    if any(each in bare for each in '"\u201c\u201d\u201e\u00ab\u00bb'):
        notes.append("the quotes around it were left out")
    found, at = [], 0
    while at < len(joined):
        end = _end(joined, at)
        found.append(joined[at:end])
        at = end
    if len(_BLANKS.findall(bare)) > len(found) - 1:
        notes.append("blanks and line breaks in it were left out")
    return found, notes


def _end(text: str, at: int) -> int:
    """Where the descriptor that begins at `at` ends, with its checksum."""
    if _START.match(text, at) is None:
        what = "something stands after it" if at else "it does not begin like a descriptor"
        raise TemplateRefused(problem=what)
    depth = 0
    for place in range(at, len(text)):
        if text[place] == "(":
            depth += 1
        elif text[place] == ")":
            depth -= 1
            if not depth:
                mark = _CHECKSUM.match(text, place + 1)
                return mark.end() if mark else place + 1
    raise TemplateRefused(problem="it ends before its last bracket is closed: some of it is missing")


def spelled(text: str) -> Spelled:
    """The descriptor `text`, of one line, in our spelling.

    Raises:
        DescriptorChecksum: its checksum is wrong.
        TemplateRefused: it is none of the templates; what it looks like is told.
        ExtendedKeyInvalid: a key with version bytes that do not fit.
    """
    body, _, given = text.partition("#")
    notes: list[str] = []
    if given:
        _check(body, given, notes)
    script_type = _script_type(body)
    halves: set[Half] = set()

    def own(match: re.Match[str]) -> str:
        half = _STEPS.get(match["steps"])
        if half is None:
            return match[0]  # for `Vault.parse` to refuse by name
        halves.add(half)
        key, note = own_key(match["key"], script_type)
        if note and note not in notes:
            notes.append(note)
        if match["steps"] not in {"", STEPS, Half.RECEIVE, Half.CHANGE}:
            notes.append(f"{match['steps']} was read as {STEPS}")
        return f"{own_origin(match['origin'] or '')}{key}{STEPS}"

    read = _KEY.sub(own, body)
    if len(halves) > 1:
        raise TemplateRefused(problem="its keys do not all end in the same steps")
    unique = tuple(dict.fromkeys(notes))
    return Spelled(read, next(iter(halves), Half.BOTH), bool(given), unique)


def own_origin(origin: str) -> str:
    """A key origin as it is kept: the fingerprint in small letters, h as hardened mark."""
    return origin.lower().replace("'", "h")


def own_key(key: str, script_type: ScriptType) -> tuple[str, str]:
    """An extended key as xpub or tpub, and a note when it was not one.

    Raises:
        ExtendedKeyInvalid: it is for another kind of script.
    """
    prefix = key[:4]
    if prefix in _SINGLE:
        raise ExtendedKeyInvalid(
            problem=f"it starts with {prefix} (SLIP 132), as keys of single-signature accounts do; export the key of "
            "the multisig account"
        )
    if prefix not in _SLIP132:
        return key, ""
    version, network, own = _SLIP132[prefix]
    if own is not script_type:
        raise ExtendedKeyInvalid(
            problem=f"it starts with {prefix} (SLIP 132), which is for {own}, and it stands in a vault of {script_type}"
        )
    try:
        payload = base58check_decode(key)
    except Base58Invalid:
        raise ExtendedKeyInvalid(problem="it is not base58 with a right checksum") from None
    if payload[:4] != version:
        raise ExtendedKeyInvalid(problem=f"it starts with {prefix} and has other version bytes")
    plain = "xpub" if network is Network.MAIN else "tpub"
    return base58check_encode(network.xpub_version + payload[4:]), f"{prefix} was read as the same key as {plain}"


def same(bodies: Sequence[Spelled]) -> Spelled:
    """The one vault that all of these descriptors are of, both branches of it.

    Raises:
        TemplateRefused: they are of several vaults, or of half a vault.
    """
    first = bodies[0]
    if any(each.body != first.body for each in bodies):
        raise TemplateRefused(problem=f"there are {len(bodies)} descriptors, and they are not of one vault")
    halves = {each.half for each in bodies}
    notes = [note for each in bodies for note in each.notes]
    if Half.BOTH not in halves:
        if halves != {Half.RECEIVE, Half.CHANGE}:
            raise TemplateRefused(problem=_HALVES[first.half])
        notes.append(f"two descriptors, of the branches 0 and 1, were read as one with {STEPS}")
    return Spelled(first.body, Half.BOTH, all(each.is_checked for each in bodies), tuple(dict.fromkeys(notes)))


_HALVES: Final = {
    Half.RECEIVE: f"it is of the receiving branch only (/0/*); give the one for change (/1/*) too, or one with {STEPS}",
    Half.CHANGE: f"it is of the change branch only (/1/*); give the one for receiving (/0/*) too, or one with {STEPS}",
    Half.NONE: f"its keys end without steps, so that it is one address only; export it with {STEPS} after each key",
}


def _check(body: str, given: str, notes: list[str]) -> None:
    spellings = (body, _marked(body, "h"), _marked(body, "'"))
    right = [checksum(each) for each in spellings]
    if given in right:
        return
    if given.lower() not in right:
        raise DescriptorChecksum(problem="does not match its checksum: some of it was changed")
    notes.append("the checksum's capital letters were read as small ones")


def _marked(body: str, mark: str) -> str:
    return re.sub(r"(?<=[0-9])[h'H](?=[/\]])", mark, body)


def _script_type(body: str) -> ScriptType:
    """Which template it is of.

    Raises:
        TemplateRefused: none; what it looks like is told.
    """
    for script_type in ScriptType:
        start, mark, middle = script_type.outline[0].partition("{}")
        if body.startswith(start) and (not mark or middle in body):
            return script_type
    found = next((what for pattern, what in _LOOKS if pattern.match(body)), "something else")
    raise TemplateRefused(problem=f"it looks like {found}")
