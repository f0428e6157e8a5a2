"""Which public key belongs to which cosigner, where it came from, and is a secret among what we were given?

A cosigner's key is an extended public key with its origin: the fingerprint of the seed's master key and the path from
there. Keys are read strictly: one spelling, sizes before decoding, every field checked, the point on the curve. Which
paths a vault accepts is the business of templates.py; officers' approval keys are read in envelope.py.

Extended public keys are no secrets but confidential: they show every coin of the vault, and one of them together with
one child private key gives the parent's private key (BIP 32, Security). They are therefore never shown in an error.

Sources: BIP 32 (serialization), BIP 380 (key expressions), SLIP 132 (other version bytes, refused), BIP 39, 93.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self

from embit.wordlists.bip39 import WORDLIST
from embit.wordlists.slip39 import SLIP39_WORDS
from pydantic import AfterValidator

from custody.bitcoin import curve
from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.script import Base58Invalid, base58check_decode, base58check_encode, hash160
from custody.bounds import LimitExceeded
from custody.errors import InvalidInput
from custody.record import SecretMaterial, Text, check_text
from custody.twins import readings
from custody.units import HARDENED, IndexRange, Network

MAX_KEY_EXPRESSION: Final = 400
"""Characters of the longest key expression read; a path of the kinds in use takes some 30, an xpub 111."""
RELATED_INDEXES: Final = 20
"""How many children at each level are searched for another cosigner's key: wallets' usual gap limit."""
MAIN_NETWORK: Final = "the main network"
TEST_NETWORKS: Final = "test networks"

_XPUB_LENGTH: Final = 111
_SERIALIZED: Final = 78
_VERSIONS: Final = {network.xpub_version for network in Network}
_SLIP132: Final = frozenset(["ypub", "zpub", "Ypub", "Zpub", "upub", "vpub", "Upub", "Vpub"])


class ExtendedKeyInvalid(InvalidInput, code="XPUB_INVALID"):
    """Text or bytes that are not an extended public key. They are not shown."""

    message = "not an extended public key: {problem}"
    hint = "Export the xpub (tpub on test networks) again from its device, with its origin, and do not retype it."
    problem: str


class PathNonstandard(InvalidInput, code="PATH_NONSTANDARD"):
    """An origin or path that other wallets and the key's own device may not find again (THREATS C5)."""

    message = "{whose}: {problem}"
    hint = (
        "Export the key from its device as a multisig account: m/48h/COIN/ACCOUNTh/2h for wsh, .../1h for sh(wsh), "
        ".../3h for tr, or m/87h/COIN/ACCOUNTh, with the fingerprint of its master key."
    )
    whose: str
    problem: str


class DupCosigner(InvalidInput, code="DUP_COSIGNER"):
    """Two cosigners that are one holder, which makes k of n less than it says (THREATS C2)."""

    message = "{first} and {second} are one holder: {why}"
    hint = "Each cosigner brings a key from a seed of their own. Ask both to export their keys again."
    first: str
    second: str
    why: str


_ORIGIN: Final = re.compile(r"\[(?P<fingerprint>[0-9a-fA-F]{8})(?P<path>(?:/(?:0|[1-9][0-9]{0,9})[h'H]?)*)\]")


@dataclass(frozen=True, slots=True, order=True)
class KeyOrigin:
    """Where a key comes from. Source: BIP 380, key origin.

    `fingerprint` is 4 bytes, those of the master key; `path` holds raw child numbers, hardened ones 2^31 and more.

    Raises:
        PathNonstandard: the fingerprint is not 4 bytes.
        IndexRange: a number does not fit in 32 bits.
    """

    fingerprint: bytes
    path: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.fingerprint) != 4:  # noqa: PLR2004
            raise PathNonstandard(whose="key origin", problem="a fingerprint is 4 bytes")
        for number in self.path:
            if not 0 <= number < 2 * HARDENED:
                raise IndexRange(index=number)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `[73c5da0a/48h/1h/0h/2h]`; `'` and `H` are read as `h`.

        Raises:
            PathNonstandard: the text is no key origin.
            IndexRange: a number is 2^31 or more before its hardened mark.
        """
        match = _ORIGIN.fullmatch(text) if len(text) <= MAX_KEY_EXPRESSION else None
        if match is None:
            raise PathNonstandard(whose="key origin", problem="expected one such as [73c5da0a/48h/0h/0h/2h]")
        steps = match["path"].split("/")[1:]
        return cls(bytes.fromhex(match["fingerprint"]), tuple(_child_number(step) for step in steps))

    def __str__(self) -> str:
        return f"[{self.fingerprint.hex()}{show_path(self.path)}]"


def show_path(path: Iterable[int]) -> str:
    """Raw child numbers as people write them, without the leading m: `/48h/1h/0h/2h`."""
    return "".join(f"/{n - HARDENED}h" if n >= HARDENED else f"/{n}" for n in path)


def _child_number(step: str) -> int:
    number = int(step.rstrip("h'H"))
    if number >= HARDENED:
        raise IndexRange(index=number)
    return number if step[-1].isdigit() else number + HARDENED


@dataclass(frozen=True, slots=True, order=True)
class AccountKey:
    """An extended public key. Source: BIP 32, serialization format.

    `public_key` is compressed (33 bytes), `chain_code` 32 bytes, `parent_fingerprint` 4 bytes; `child_number` is raw,
    hardened from 2^31; `network_version` is the 4 version bytes of an xpub or a tpub.

    Raises:
        ExtendedKeyInvalid: a field is out of range, the fields contradict each other, or the point is not on the curve.
    """

    public_key: bytes
    chain_code: bytes
    depth: int
    parent_fingerprint: bytes
    child_number: int
    network_version: bytes

    def __post_init__(self) -> None:
        if self.network_version not in _VERSIONS:
            raise ExtendedKeyInvalid(problem="its version bytes are neither an xpub's nor a tpub's")
        if len(self.chain_code) != 32 or len(self.parent_fingerprint) != 4:  # noqa: PLR2004
            raise ExtendedKeyInvalid(problem="its chain code or parent fingerprint has another size")
        if not 0 <= self.depth <= 255 or not 0 <= self.child_number < 2 * HARDENED:  # noqa: PLR2004 - one byte
            raise ExtendedKeyInvalid(problem="its depth or child number is out of range")
        if self.depth == 0 and (self.child_number or any(self.parent_fingerprint)):
            raise ExtendedKeyInvalid(problem="a master key has neither a parent nor a child number")
        if not curve.is_public_key(self.public_key):
            raise ExtendedKeyInvalid(problem="it holds no compressed public key on the curve")

    @property
    def material(self) -> bytes:
        """Chain code and public key, 65 bytes: all that its children come from."""
        return self.chain_code + self.public_key

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an xpub or tpub.

        Raises:
            SecretMaterial: the text is or holds private material.
            ExtendedKeyInvalid: anything else but a valid xpub or tpub; for a zpub and its like it says to convert.
        """
        refuse_secrets(text, where="key")
        if text[:4] in _SLIP132:
            raise ExtendedKeyInvalid(
                problem=f"it starts with {text[:4]} (SLIP 132); ask the device for the same key as xpub or tpub"
            )
        if len(text) != _XPUB_LENGTH:
            raise ExtendedKeyInvalid(problem=f"expected {_XPUB_LENGTH} characters, not {len(text)}")
        payload = _base58(text)
        if payload is None:
            raise ExtendedKeyInvalid(problem="it is not base58 with a right checksum")
        return cls.from_bytes(payload)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the 78 bytes that an xpub encodes, as PSBTs carry them.

        Raises:
            ExtendedKeyInvalid: they are no extended public key.
        """
        if len(data) != _SERIALIZED:
            raise ExtendedKeyInvalid(problem=f"expected {_SERIALIZED} bytes, not {len(data)}")
        return cls(
            public_key=data[45:],
            chain_code=data[13:45],
            depth=data[4],
            parent_fingerprint=data[5:9],
            child_number=int.from_bytes(data[9:13], "big"),
            network_version=data[:4],
        )

    def to_bytes(self) -> bytes:
        """The 78 bytes that an xpub encodes."""
        head = self.network_version + bytes([self.depth]) + self.parent_fingerprint
        return head + self.child_number.to_bytes(4, "big") + self.chain_code + self.public_key

    def __str__(self) -> str:
        return base58check_encode(self.to_bytes())

    def __repr__(self) -> str:
        # Confidential: a log line or a traceback must not show the vault to its reader.
        return f"AccountKey(depth={self.depth}, fingerprint={fingerprint(self.public_key).hex()})"


def networks_of(xpub_version: bytes) -> str:
    """Which networks an extended key with these version bytes is for, in words."""
    return MAIN_NETWORK if xpub_version == Network.MAIN.xpub_version else TEST_NETWORKS


def fingerprint(public_key: bytes) -> bytes:
    """First 4 bytes of the HASH160 of a compressed key. Source: BIP 32, key identifiers."""
    return hash160(public_key)[:4]


def branches_of(key: AccountKey) -> tuple[curve.ParentKey, curve.ParentKey]:
    """The two parents of a key's addresses, of branch 0 (receive) and 1 (change), each hashed and parsed once.

    Raises:
        ChildKeyInvalid: BIP 32 gives the key no such child.
    """
    account = curve.ParentKey(key.public_key, key.chain_code)
    return curve.ParentKey(*account.child_with_chain_code(0)), curve.ParentKey(*account.child_with_chain_code(1))


_EXPRESSION: Final = re.compile(r"(?P<origin>\[[^\]]*\])?(?P<key>[^\[\]]*)")


@dataclass(frozen=True, slots=True)
class Cosigner:
    """Holder of one vault key. `name` is who that is; it may be empty and is no part of the vault's identity.

    Raises:
        PathNonstandard: the origin's path does not lead to a key of this depth and child number, or the fingerprint is
            00000000, which programs write when they do not know it.
        TextForbidden: the name could lie on a screen.
    """

    name: str
    origin: KeyOrigin
    key: AccountKey

    def __post_init__(self) -> None:
        _check_public(check_text(self.name))
        path = self.origin.path
        if not any(self.origin.fingerprint):
            raise PathNonstandard(
                whose=self.label, problem="its fingerprint is 00000000, so no device will know its key"
            )
        if len(path) != self.key.depth:
            raise PathNonstandard(
                whose=self.label,
                problem=f"m{show_path(path)} has {len(path)} steps, its key is at depth {self.key.depth}",
            )
        if path and path[-1] != self.key.child_number:
            last = show_path([self.key.child_number])[1:]
            raise PathNonstandard(
                whose=self.label, problem=f"m{show_path(path)} does not end in its key's number, {last}"
            )

    @classmethod
    def parse(cls, text: str, name: str = "") -> Self:
        """Read `[73c5da0a/48h/1h/0h/2h]tpub...`. Source: BIP 380, key expressions, less what no vault uses.

        Raises:
            SecretMaterial: private material anywhere in it.
            PathNonstandard: the origin is missing, malformed, or not that of this key.
            ExtendedKeyInvalid: what follows the origin is no xpub or tpub.
            IndexRange: a path step is 2^31 or more before its hardened mark.
        """
        refuse_secrets(text, where="key expression")
        match = _EXPRESSION.fullmatch(text) if len(text) <= MAX_KEY_EXPRESSION else None
        # BIP 380 knows h and ' only; people's notes, which KeyOrigin reads, have H too.
        if match is None or not match["origin"] or "H" in match["origin"]:
            raise PathNonstandard(
                whose=f"cosigner {name}".rstrip(), problem="its key has no origin such as [73c5da0a/48h/0h/0h/2h]"
            )
        return cls(name, KeyOrigin.parse(match["origin"]), AccountKey.parse(match["key"]))

    @property
    def fingerprint(self) -> bytes:
        """Fingerprint (4 bytes) of the master key, by which a device knows its own keys."""
        return self.origin.fingerprint

    @property
    def label(self) -> str:
        """How messages call this cosigner: by name and fingerprint."""
        return f"cosigner {self.name} {self.fingerprint.hex()}".replace("  ", " ")

    @property
    def shown(self) -> str:
        """How screens show this cosigner: by fingerprint, and by name if there is one."""
        return f"{self.fingerprint.hex()} ({self.name})" if self.name else self.fingerprint.hex()

    def expression(self) -> str:
        """The canonical key expression: origin, then xpub."""
        return f"{self.origin}{self.key}"

    def key_path(self, branch: int, index: int) -> KeyPath:
        """Fingerprint and full path of the key at `branch` and `index`, as PSBTs carry them (BIP 174)."""
        return KeyPath(fingerprint=self.fingerprint, path=(*self.origin.path, branch, index))


def refuse_duplicates(cosigners: Sequence[Cosigner]) -> None:
    """Refuse cosigners of which two are visibly one holder.

    That is: one name or two that read alike, one fingerprint, one public key (whatever surrounds it in the xpub, and
    whichever of the two points that share its x, since both have the same holder), or keys of which one is a child or
    grandchild of the other at a small index. A holder who hides the relation behind a hardened step cannot be seen from
    public keys.

    Raises:
        DupCosigner: with both.
    """
    for field, why in (
        (_name, "they have the same name"),
        (_folded, "their names read alike"),
        (_drawn, "their names read alike"),
        (_fingerprint, "their keys have the same fingerprint"),
    ):
        seen: dict[object, Cosigner] = {}
        for cosigner in cosigners:
            value = field(cosigner)
            if value in seen:
                raise DupCosigner(first=seen[value].label, second=cosigner.label, why=why)
            if value:
                seen[value] = cosigner
    _refuse_related(cosigners)


def _name(cosigner: Cosigner) -> object:
    return cosigner.name


def _folded(cosigner: Cosigner) -> object:
    return readings(cosigner.name)[0]


def _drawn(cosigner: Cosigner) -> object:
    return readings(cosigner.name)[1]


def _fingerprint(cosigner: Cosigner) -> object:
    return cosigner.fingerprint


def _refuse_related(cosigners: Sequence[Cosigner]) -> None:
    owner: dict[bytes, int] = {}
    for position, cosigner in enumerate(cosigners):
        for x_only in _family(cosigner.key.public_key, cosigner.key.chain_code):
            first = owner.setdefault(x_only, position)
            if first != position:
                other = cosigners[first]
                is_same = other.key.public_key[1:] == cosigner.key.public_key[1:]
                why = "they have the same public key" if is_same else "one key is derived from the other"
                raise DupCosigner(first=other.label, second=cosigner.label, why=why)


def _family(public_key: bytes, chain_code: bytes) -> frozenset[bytes]:
    """The x of a key, of its first children, and of the first children of its two branches."""
    node = curve.ParentKey(public_key, chain_code)
    keys = [public_key, *node.children(0, RELATED_INDEXES)]
    for branch in (0, 1):
        keys += curve.ParentKey(*node.child_with_chain_code(branch)).children(0, RELATED_INDEXES)
    return frozenset(key[1:] for key in keys)


# --- secrets --------------------------------------------------------------------------------------------------------

_MIN_WORDS: Final = 12
_B58: Final = "[1-9A-HJ-NP-Za-km-z]"
_MARKED: Final = (
    # A mistyped private key is still one, so its checksum is not asked for.
    (re.compile(rf"(?<!{_B58})[xyzYZtuvUV]prv{_B58}{{40}}"), "an extended private key"),
    (re.compile(r"(?<![a-z0-9])ms1[02-9ac-hj-np-z]{40}", re.IGNORECASE), "a codex32 seed (BIP 93)"),
    (re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"), "a private key file"),
)
_CHECKSUMMED: Final = re.compile(
    rf"(?=(5[HJK]{_B58}{{49}}|9[1-3]{_B58}{{49}}"  # WIF of the main and of test networks
    rf"|K[w-z]{_B58}{{50}}|L[1-5]{_B58}{{50}}|c[M-W]{_B58}{{50}}"  # the same for compressed keys
    rf"|6P{_B58}{{56}}"  # BIP 38
    rf"|[xyzYZtuvUV]prv{_B58}{{107}}|(?<!{_B58}){_B58}{{111}}(?!{_B58})))"  # BIP 32, also with unknown version bytes
)
"""What may be a private key in base58, wherever it stands: an escaped line break before it is a letter more."""
_LIKE_ONE: Final = re.compile(rf"(?<!{_B58}){_B58}{{51,}}")
"""Where such a key may stand: no other text is searched from every letter on."""
_MOST_LIKE_ONE: Final = 1_000
"""Texts like a key, without its checksum, that are looked at in any text; and one more for so many characters:"""
_CHARACTERS_FOR_ONE: Final = 64
"""An xpub is 111 long, and every second one has such a text in it by chance."""
_WIF_VERSIONS: Final = b"\x80\xef"
_BIP38_VERSIONS: Final = (b"\x01\x42", b"\x01\x43")


def refuse_secrets(text: str | bytes, where: str = "input") -> None:
    """Refuse `text` if a private key, seed or mnemonic stands anywhere in it. `where` names the text in the error.

    Found: extended private keys of every version, WIF, BIP 38, codex32, private key files, and twelve or more words of
    the BIP 39 or SLIP 39 list in a row, whole or as their first four letters, whatever stands between them. The
    words by which people compare digests look the same: they are not for files. Raw hexadecimal cannot be told apart
    from a digest.

    Raises:
        SecretMaterial: it never carries what was found. (THREATS C9)
        LimitExceeded: so much of it looks like private keys that it was made to keep us busy. (THREATS F23)
    """
    found = _find_secret(_as_text(text))
    if found is not None:
        raise SecretMaterial(where=where, what=found)


@functools.lru_cache(maxsize=1024)
def _check_public(text: str) -> str:
    refuse_secrets(text, where="text")
    return text


PublicText = Annotated[Text, AfterValidator(_check_public)]
"""Words from outside that are kept and shown for ever: safe to show, and no private key or mnemonic among them."""


def _as_text(text: str | bytes) -> str:
    # Without the zeros of UTF-16, in which some editors save.
    return text.replace(b"\0", b"").decode("latin-1") if isinstance(text, bytes) else text


def _find_secret(text: str) -> str | None:
    for pattern, what in _MARKED:
        if pattern.search(text):
            return what
    return _checksummed(text) or _mnemonic(text)


def _checksummed(text: str) -> str | None:
    tried, most = 0, _MOST_LIKE_ONE + len(text) // _CHARACTERS_FOR_ONE
    for run in _LIKE_ONE.finditer(text):
        for match in _CHECKSUMMED.finditer(text, run.start(), run.end()):
            kind = _private_kind(_base58(match[1]))
            if kind is not None:
                return kind
            tried += 1
            if tried > most:
                raise LimitExceeded(what="texts like private keys", count=tried, most=most)
    return None


def _private_kind(payload: bytes | None) -> str | None:
    if payload is None:
        return None
    if payload[0] in _WIF_VERSIONS and (len(payload) == 33 or (len(payload) == 34 and payload[-1] == 1)):  # noqa: PLR2004
        return "a private key (WIF)"
    if len(payload) == 39 and payload[:2] in _BIP38_VERSIONS:  # noqa: PLR2004
        return "an encrypted private key (BIP 38)"
    if len(payload) == _SERIALIZED and payload[45] == 0:
        return "an extended private key"
    return None


def _base58(text: str) -> bytes | None:
    try:
        return base58check_decode(text)
    except Base58Invalid:
        return None


_LETTERS: Final = re.compile(r"[a-z]+")


@functools.lru_cache(maxsize=1)
def _word_lists() -> tuple[frozenset[str], tuple[tuple[frozenset[str], str], ...]]:
    """All known words, and those of each list by what they make.

    Each with its unique first four letters, which steel backups use.
    """
    lists = tuple(
        (frozenset(words) | {word[:4] for word in words}, what)
        for words, what in ((WORDLIST, "a mnemonic"), (SLIP39_WORDS, "a mnemonic share"))
    )
    return frozenset().union(*(words for words, _ in lists)), lists


def _mnemonic(text: str) -> str | None:
    known, lists = _word_lists()
    none = (0,) * len(lists)
    runs = [*none]
    for token in _LETTERS.finditer(text.lower()):
        word = token[0]
        if word not in known:
            runs[:] = none
            continue
        for at, (words, what) in enumerate(lists):
            runs[at] = runs[at] + 1 if word in words else 0
            if runs[at] >= _MIN_WORDS:
                return what
    return None
