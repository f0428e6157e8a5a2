"""What a vault is as text, and what its text says: its scripts, its addresses, its name.

A vault is a quorum of cosigners, a script type, a network and a birthday. Its descriptor is its whole text, and the
digest of network and descriptor is its id, which every cosigner and officer compares. Reading is strict and linear: the
checksum must be there, the outline must be a template's (templates.py), each key must have its origin (keys.py), or be
the internal key that nobody has (internal_key.py), and end in `/<0;1>/*`. Nothing is recursive, so depth costs nothing.

The coordinator's database is not asked for addresses; this derivation is (THREATS F6). Where coins lie is coins.py.

Sources: BIP 380 (descriptors, checksum), 382 (wsh), 383 (sortedmulti), 386 (tr), 387 (sortedmulti_a), 389 (multipath),
141 (weights).
"""

from __future__ import annotations

import functools
import itertools
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from enum import IntEnum
from operator import itemgetter
from typing import Annotated, ClassVar, Final, Self

from custody.bitcoin import curve, script
from custody.bitcoin.curve import PublicKey
from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.lock import Lock
from custody.bitcoin.profile import ProfileInput, ProfileOutput
from custody.bitcoin.script import base58check_decode
from custody.bitcoin.serialize import compact_size, serialize_stack
from custody.bitcoin.taproot import TaprootKeypath
from custody.errors import CustodyError, InvalidInput, Refused
from custody.quorum import Quorum
from custody.record import SORTED, HexBytes, Record
from custody.units import HARDENED, WITNESS_SCALE, Count, IndexRange, Network, check_index
from custody.vault.internal_key import check_internal_key, internal_key_of, read_internal_key
from custody.vault.keys import AccountKey, Cosigner, PathNonstandard, branches_of, refuse_duplicates, refuse_secrets
from custody.vault.templates import ScriptType, Template, TemplateRefused, check_path, check_quorum, template_of

MAX_DESCRIPTOR: Final = 4096
"""Characters of the longest descriptor read. Fifteen cosigners take some 2,300."""


class DescriptorChecksum(InvalidInput, code="DESC_CHECKSUM"):
    """A descriptor whose checksum is missing or wrong. The right one is not told: it would bless a typing error."""

    message = "the descriptor {problem}"
    hint = (
        "Get the descriptor again, with its checksum, from where it was made; what another program exported is read by "
        "custody vault import. "
        "Do not compute a new checksum for text that was typed or edited."
    )
    problem: str


class NotAMember(Refused, code="NOT_A_MEMBER"):
    """A key that is not one of the vault's."""

    message = "no cosigner of this vault has fingerprint {fingerprint}"
    hint = "Use the device that was enrolled in this vault, or the vault in which this device was enrolled."
    fingerprint: str


class Branch(IntEnum):
    """The two chains of a vault's addresses. Source: BIP 44, change; BIP 389, `<0;1>`."""

    RECEIVE = 0
    CHANGE = 1


# --- checksum -------------------------------------------------------------------------------------------------------
# A BCH code over GF(32), after BIP 380. A character gives a symbol (its place in its row of the charset) and, three
# characters together, one more symbol (their rows). The state is eight symbols, one to a byte of a 64-bit number, and
# eight symbols are fed at a time: what the old state comes back as is looked up two symbols at a time.

_ROWS: Final = (
    "0123456789()[],'/*abcdefgh@:$%{}",
    "IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~",
    'ijklmnopqrstuvwxyzABCDEFGH`#"\\ ',
)
_CHECK_CHARSET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_CHECK_LENGTH: Final = 8
_SYMBOLS: Final = bytes.maketrans("".join(_ROWS).encode(), bytes(i % 32 for i in range(95)))
_CLASSES: Final = tuple(
    bytes.maketrans("".join(_ROWS).encode(), bytes(weight * (i // 32) for i in range(95))) for weight in (9, 3, 1)
)
_LETTERS: Final = frozenset("".join(_ROWS))


def checksum(body: str) -> str:
    """The eight characters that follow `#` after `body`. Source: BIP 380, Checksum.

    Raises:
        DescriptorChecksum: `body` holds a character that no descriptor has.
    """
    if not _LETTERS.issuperset(body):
        raise DescriptorChecksum(problem="holds a character that cannot stand in a descriptor")
    symbols = _symbols(body.encode("ascii"))
    # Zeros before the leading 1 change nothing: the 1 is the state that the code starts from.
    stream = bytes(-(len(symbols) + 1) % 8) + b"\x01" + symbols + bytes(_CHECK_LENGTH)
    first, second, third, fourth = _reduction_tables()
    state = 0
    for eight in struct.unpack(f">{len(stream) // 8}Q", stream):
        state = (
            first[state >> 48]
            ^ second[state >> 32 & 0xFFFF]
            ^ third[state >> 16 & 0xFFFF]
            ^ fourth[state & 0xFFFF]
            ^ eight
        )
    return "".join(_CHECK_CHARSET[value] for value in (state ^ 1).to_bytes(_CHECK_LENGTH, "big"))


def check(text: str) -> str:
    """The descriptor `text` without its checksum, which must be there and right.

    Raises:
        DescriptorChecksum: it is missing or wrong.
    """
    body, mark, given = text.rpartition("#")
    if not mark or len(given) != _CHECK_LENGTH:
        raise DescriptorChecksum(problem="has no checksum of eight characters after a #")
    if checksum(body) != given:
        raise DescriptorChecksum(problem="does not match its checksum: some of it was changed")
    return body


def _symbols(body: bytes) -> bytes:
    """For each three characters their three symbols and the symbol of their rows; the last group may be shorter."""
    whole = len(body) - len(body) % 3
    symbols = bytearray(whole // 3 * 4)
    own = body.translate(_SYMBOLS)
    for offset in range(3):
        symbols[offset::4] = own[offset:whole:3]
    # Row sums stay below 256, so three long numbers add byte by byte without a carry.
    rows = sum(int.from_bytes(body[offset:whole:3].translate(_CLASSES[offset]), "big") for offset in range(3))
    symbols[3::4] = rows.to_bytes(whole // 3, "big")
    rest = body[whole:]
    if rest:
        symbols += own[whole:]
        symbols.append(sum(rest[-1 - i : len(rest) - i].translate(_CLASSES[2 - i])[0] for i in range(len(rest))))
    return bytes(symbols)


_GENERATORS: Final = (0xF5DEE51989, 0xA9FDCA3312, 0x1BAB10E32D, 0x3706B1677A, 0x644D626FFD)


@functools.lru_cache(maxsize=1)
def _reduction_tables() -> tuple[list[int], ...]:
    """For each pair of the state's symbols, upper pair first, what it comes back as once eight more are fed."""
    single = [[_spread(_feed_zeros(symbol << 5 * place)) for symbol in range(32)] for place in range(8)]
    tables = []
    for place in (6, 4, 2, 0):
        table = [0] * (1 << 13)
        for (i, upper), (j, lower) in itertools.product(enumerate(single[place + 1]), enumerate(single[place])):
            table[i << 8 | j] = upper ^ lower
        tables.append(table)
    return tuple(tables)


def _feed_zeros(state: int) -> int:
    """The state (40 bits) after eight symbols of zero, as BIP 380 writes it."""
    for _ in range(_CHECK_LENGTH):
        top = state >> 35
        state = (state & 0x7FFFFFFFF) << 5
        for bit, generator in enumerate(_GENERATORS):
            state ^= generator if top >> bit & 1 else 0
    return state


def _spread(state: int) -> int:
    """Eight symbols of five bits as eight bytes."""
    return int.from_bytes(bytes(state >> 35 - 5 * place & 31 for place in range(8)), "big")


# --- the vault ------------------------------------------------------------------------------------------------------

_MAX_MEMO: Final = 4096
_BATCH: Final = 256
"""Places derived at a time: enough for columns to pay, few enough to stay in a processor's cache."""


class VaultIdentity(Record):
    """What a vault's id is the digest of: all that its addresses come from, and nothing else.

    `keys` are the cosigners' account keys as chain code and public key (65 bytes each), sorted; `internal` is taproot's
    internal key likewise. The order in which somebody lists the keys, where they say that these come from, their names
    and the birthday change no address.
    """

    kind: ClassVar[str] = "vault"

    network: Network
    script_type: ScriptType
    threshold: Count
    keys: Annotated[tuple[HexBytes, ...], SORTED]
    internal: HexBytes | None


def likely_id(descriptor: str, network: Network) -> bytes:
    """The id of the vault that a descriptor is of, if it is of one: a hint, for which no point is looked at.

    Empty where the text is too far from a descriptor's.
    """
    try:
        script_type, internal, threshold, expressions = _outline(descriptor.rpartition("#")[0])
        keys = sorted(_account(expression) for expression in expressions)
        return _identity(network, script_type, threshold, keys, None if internal is None else _account(internal))
    except (CustodyError, ValueError):
        return b""


def _account(expression: str) -> bytes:
    """Chain code and public key of a key expression, unchecked."""
    return base58check_decode(expression.rpartition("]")[2].partition("/")[0])[13:]


def _identity(
    network: Network, script_type: ScriptType, threshold: int, keys: Iterable[bytes], internal: bytes | None
) -> bytes:
    return VaultIdentity.model_construct(
        network=network, script_type=script_type, threshold=threshold, keys=tuple(keys), internal=internal
    ).digest()


@dataclass(frozen=True, slots=True)
class Place:
    """What a vault has at one branch and index.

    `keys` are the cosigners' (33 bytes), in their order; `holders` says who holds each key of the script, in its order.
    """

    keys: tuple[PublicKey, ...]
    lock: Lock
    holders: Mapping[bytes, Cosigner]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Vault:
    """A quorum of cosigners whose coins one kind of script holds. Values of this type are valid by construction.

    `threshold` of `cosigners` must sign; `birthday` is the height of the first block that can hold a coin of it. In
    taproot, `internal_key` is the key that nobody has; None takes the one of these cosigners.

    Raises:
        TemplateRefused: threshold, number of keys or birthday out of limits; an internal key without taproot.
        DupCosigner: two cosigners are one holder.
        NetworkMismatch, PathNonstandard: a key belongs elsewhere.
        TaprootKeypath: somebody may hold the internal key, or a cosigner claims it.
    """

    threshold: int
    cosigners: tuple[Cosigner, ...] = field(repr=False)
    script_type: ScriptType
    network: Network
    birthday: int = 0
    internal_key: AccountKey | None = field(default=None, repr=False)
    descriptor: str = field(init=False, repr=False, compare=False)
    """Canonical text with checksum, cosigners in the order given."""
    id: bytes = field(init=False, compare=False)
    """32 bytes: digest of the `VaultIdentity`. One set of addresses has one."""
    _branches: tuple[tuple[curve.ParentKey, curve.ParentKey], ...] = field(init=False, repr=False, compare=False)
    _template: Template = field(init=False, repr=False, compare=False)
    _memo: dict[tuple[int, int], Place] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_quorum(self.threshold, len(self.cosigners))
        if not 0 <= self.birthday < 2**31:
            raise TemplateRefused(problem=f"birthday {self.birthday} is no block height")
        refuse_duplicates(self.cosigners)
        for cosigner in self.cosigners:
            check_path(cosigner, self.script_type, self.network)
        internal_key = self.internal_key
        if internal_key is None and self.script_type is ScriptType.TR:
            internal_key = internal_key_of(self.cosigners, self.network)
        if internal_key is not None:
            check_internal_key(internal_key, self.cosigners, self.network)
        body = _body(self.threshold, self.cosigners, self.script_type, internal_key)
        derived: dict[str, object] = {
            "internal_key": internal_key,
            "descriptor": f"{body}#{checksum(body)}",
            "_branches": tuple(branches_of(each.key) for each in self.cosigners),
            "_template": template_of(self.script_type, self.threshold, internal_key),
            "_memo": {},
        }
        keys = sorted(each.key.material for each in self.cosigners)
        internal = None if internal_key is None else internal_key.material
        derived["id"] = _identity(self.network, self.script_type, self.threshold, keys, internal)
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @classmethod
    def create(
        cls,
        threshold: int,
        cosigners: Iterable[Cosigner],
        script_type: ScriptType,
        network: Network,
        birthday: int = 0,
    ) -> Self:
        """A new vault. Raises as the class says."""
        return cls(threshold, tuple(cosigners), script_type, network, birthday)

    @classmethod
    def parse(cls, descriptor: str, network: Network, birthday: int = 0, names: Sequence[str] = ()) -> Self:
        """Read a descriptor with checksum. `names` are the cosigners' names in its order, or none.

        Raises:
            SecretMaterial: a private key or mnemonic anywhere in it.
            DescriptorChecksum: checksum missing or wrong.
            TemplateRefused: it is not one of the templates, or `names` are not as many as its keys.
            ExtendedKeyInvalid, PathNonstandard, IndexRange, DupCosigner, NetworkMismatch: about its keys.
            TaprootKeypath: its internal key is not one that nobody has.
        """
        if len(descriptor) > MAX_DESCRIPTOR:
            raise TemplateRefused(problem=f"a descriptor of more than {MAX_DESCRIPTOR} characters")
        refuse_secrets(descriptor, where="descriptor")
        script_type, internal, threshold, expressions = _outline(check(descriptor))
        internal_key = None if internal is None else _internal_key(internal)
        if names and len(names) != len(expressions):
            raise TemplateRefused(problem=f"{len(names)} names for {len(expressions)} keys")
        parts = [_split(expression) for expression in expressions]
        whose = names or [""] * len(parts)
        cosigners = [Cosigner.parse(key, name) for (key, _), name in zip(parts, whose, strict=True)]
        if any(steps != _STEPS for _, steps in parts):
            # First of all: one key under two pairs of branches is one holder, not a typing error.
            refuse_duplicates(cosigners)
        for position, (_, steps) in enumerate(parts):
            _check_steps(steps, f"key {position + 1}")
        return cls(threshold, tuple(cosigners), script_type, network, birthday, internal_key)

    def with_names(self, names: Mapping[bytes, str]) -> Self:
        """The same vault, its cosigners called so, by fingerprint (4 bytes); nothing is derived again.

        Raises:
            TextForbidden: a name could lie on a screen.
        """
        found = copy(self)
        called = tuple(replace(each, name=names.get(each.fingerprint, "")) for each in self.cosigners)
        object.__setattr__(found, "cosigners", called)
        object.__setattr__(found, "_memo", {})  # it says who holds which key
        return found

    @property
    def quorum(self) -> Quorum[bytes]:
        """The cosigners as fingerprints, to count who has signed."""
        return Quorum(self.threshold, tuple(cosigner.fingerprint for cosigner in self.cosigners))

    def find_cosigner(self, fingerprint: bytes) -> Cosigner | None:
        """The cosigner whose master key has `fingerprint` (4 bytes), or None."""
        return next((each for each in self.cosigners if each.fingerprint == fingerprint), None)

    def shown(self, fingerprints: Iterable[bytes]) -> str:
        """Cosigners (4 bytes each) for a screen, with their names; a stranger by the fingerprint alone."""
        named = {each.fingerprint: each.shown for each in self.cosigners}
        return ", ".join(named.get(each, each.hex()) for each in fingerprints)

    def cosigner_of(self, fingerprint: bytes) -> Cosigner:
        """The cosigner whose master key has `fingerprint` (4 bytes).

        Raises:
            NotAMember: there is none.
        """
        cosigner = self.find_cosigner(fingerprint)
        if cosigner is None:
            raise NotAMember(fingerprint=fingerprint[:4].hex())
        return cosigner

    @property
    def accounts(self) -> dict[bytes, tuple[int, ...]]:
        """Account paths by fingerprint, of every key that its locks have: cosigners' and, in taproot, the internal."""
        accounts = {cosigner.origin.fingerprint: cosigner.origin.path for cosigner in self.cosigners}
        return accounts | dict(self._template.unheld_accounts)

    def public_keys(self, branch: int, index: int) -> tuple[bytes, ...]:
        """The cosigners' 33-byte keys at `branch` and `index`, in the order of the cosigners.

        Raises:
            PathNonstandard: there is no such branch.
            IndexRange: `index` is negative or hardened.
            ChildKeyInvalid: BIP 32 gives one of the keys no such child.
        """
        return self.place(branch, index).keys

    def lock(self, branch: int, index: int) -> Lock:
        """What locks the coins at `branch` and `index`, and how they are spent. Raises as `public_keys`."""
        return self.place(branch, index).lock

    def holders(self, branch: int, index: int) -> Mapping[bytes, Cosigner]:
        """Who holds each key of the script at `branch` and `index`, in the script's order. Raises as `public_keys`."""
        return self.place(branch, index).holders

    def key_paths(self, branch: int, index: int) -> tuple[tuple[bytes, KeyPath], ...]:
        """Each key at `branch` and `index` with its origin, sorted by key. Raises as `public_keys`."""
        lock = self.lock(branch, index)
        held = [
            (key, lock.key_path(cosigner.key_path(branch, index)))
            for key, cosigner in self.holders(branch, index).items()
        ]
        return tuple(sorted([*held, *lock.unheld]))

    def input_fields(self, branch: int, index: int) -> ProfileInput:
        """What a PSBT says of an input that spends from this place, but for the coin. Raises as `public_keys`."""
        return self.lock(branch, index).input_fields(self.key_paths(branch, index))

    def output_fields(self, branch: int, index: int) -> ProfileOutput:
        """What a PSBT says of an output that pays to this place. Raises as `public_keys`."""
        return self.lock(branch, index).output_fields(self.key_paths(branch, index))

    def witness_script(self, branch: int, index: int) -> bytes:
        """The multi-signature script over the sorted keys (BIP 67); empty for tr. Raises as `public_keys`."""
        return self.lock(branch, index).output_fields().witness_script

    def redeem_script(self, branch: int, index: int) -> bytes:
        """What the scriptSig of sh(wsh) pushes; empty for wsh and tr. Raises as `public_keys`."""
        return self.lock(branch, index).output_fields().redeem_script

    def script_pubkey(self, branch: int, index: int) -> bytes:
        """The locking script. Raises as `public_keys`."""
        return self.lock(branch, index).script_pubkey

    def address(self, branch: int, index: int) -> str:
        """The address. Raises as `public_keys`."""
        return script.address(self.script_pubkey(branch, index), self.network)

    def scripts(self, branch: int, start: int, stop: int) -> list[bytes]:
        """The locking scripts of indexes `start` to `stop` - 1, derived one cosigner after another: for many at once.

        Raises:
            PathNonstandard, IndexRange, ChildKeyInvalid: as `public_keys`.
        """
        _check_branch(branch)
        columns = [branches[branch].children(start, stop) for branches in self._branches]
        return self._template.scripts(branch, start, columns)

    def addresses(self, branch: int, start: int, stop: int) -> list[str]:
        """The addresses of indexes `start` to `stop` - 1. Raises as `scripts`."""
        return [script.address(each, self.network) for each in self.scripts(branch, start, stop)]

    @property
    def input_weight(self) -> int:
        """Weight units of one signed input at most: outpoint, sequence, scriptSig and witness. Source: BIP 141.

        Signatures are counted at their longest, since devices need not look for a short r.
        """
        lock = self.lock(Branch.RECEIVE, 0)
        missing = len(self.cosigners) - self.threshold
        witness = lock.witness([bytes(lock.longest_signature)] * self.threshold + [b""] * missing)
        base = 36 + 4 + len(compact_size(len(lock.script_sig))) + len(lock.script_sig)
        return base * WITNESS_SCALE + len(serialize_stack(witness))

    def place(self, branch: int, index: int) -> Place:
        """What the vault has at `branch` and `index`. Raises as `public_keys`."""
        return self._memo.get((_check_branch(branch), check_index(index))) or self._places([(branch, index)])[0]

    def places(self, where: Iterable[tuple[int, int]]) -> Iterator[Place]:
        """What it has at each branch and index, in that order, one cosigner's keys after another's: for many at once.

        Raises:
            PathNonstandard, IndexRange, ChildKeyInvalid: as `public_keys`.
        """
        remaining = iter(where)
        while batch := list(itertools.islice(remaining, _BATCH)):
            yield from self._places(batch)

    def _places(self, where: Iterable[tuple[int, int]]) -> list[Place]:
        wanted = [(_check_branch(branch), check_index(index)) for branch, index in where]
        found = {each: self._memo.get(each) for each in wanted}
        missing = [each for each, known in found.items() if known is None]
        new = dict(zip(missing, self._derived(missing), strict=True))
        if len(self._memo) + len(new) > _MAX_MEMO:
            self._memo.clear()
        self._memo.update(new)
        return [found[each] or new[each] for each in wanted]

    def _derived(self, where: Sequence[tuple[int, int]]) -> Iterator[Place]:
        for branch, group in itertools.groupby(where, key=itemgetter(0)):
            indexes = [index for _, index in group]
            columns = [branches[branch].keys(indexes) for branches in self._branches]
            for index, *keys in zip(indexes, *columns, strict=True):
                lock = self._template.lock(branch, index, keys)
                holders = sorted(zip(map(lock.key, keys), self.cosigners, strict=True), key=itemgetter(0))
                yield Place(tuple(keys), lock, dict(holders))


def _check_branch(branch: int) -> int:
    if branch not in (Branch.RECEIVE, Branch.CHANGE):
        raise PathNonstandard(whose="vault", problem=f"it has the branches 0 (receive) and 1 (change), not {branch}")
    return branch


# --- text -----------------------------------------------------------------------------------------------------------

_STEPS: Final = "/<0;1>/*"
_THRESHOLD: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_EXPRESSION: Final = re.compile(r"(?P<key>(?:\[[^\[\]]*\])?[0-9A-Za-z]+)(?P<steps>(?:/[0-9hH'<;>*/]*)?)")
_RAW_KEY: Final = re.compile(r"(?:\[[^\[\]]*\])?(?:0[0-9a-fA-F]{65}|0[0-9a-fA-F]{129}|[0-9a-fA-F]{64})")
_NUMBER: Final = re.compile(r"(?P<number>[0-9]{1,20})(?P<mark>[h'H]?)")


def _body(
    threshold: int, cosigners: Iterable[Cosigner], script_type: ScriptType, internal_key: AccountKey | None
) -> str:
    before, after = script_type.outline
    keys = ",".join(f"{cosigner.expression()}{_STEPS}" for cosigner in cosigners)
    return f"{before.format(f'{internal_key}{_STEPS}')}{threshold},{keys}{after}"


def _outline(body: str) -> tuple[ScriptType, str | None, int, list[str]]:
    """Script type, internal key (None where there is none), threshold and key expressions of a descriptor's body."""
    for script_type in ScriptType:
        start, mark, middle = script_type.outline[0].partition("{}")
        end = script_type.outline[1]
        if not body.startswith(start) or not body.endswith(end):
            continue
        inside = body[len(start) : -len(end)]
        internal, found, keys = inside.partition(middle) if mark else ("", start, inside)
        if not found:
            continue
        threshold, *expressions = keys.split(",")
        if _THRESHOLD.fullmatch(threshold) is None:
            raise TemplateRefused(problem="the threshold is no number")
        return script_type, internal if mark else None, int(threshold), expressions
    raise TemplateRefused(problem="it has the form of neither wsh(), sh(wsh()) nor tr() with sorted keys")


def _internal_key(expression: str) -> AccountKey:
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise TaprootKeypath(where="the internal key", problem="it is no extended public key")
    key = read_internal_key(match["key"])
    _check_steps(match["steps"], "the internal key")
    return key


def _split(expression: str) -> tuple[str, str]:
    """A key expression's origin and key, and the derivation steps after them."""
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise TemplateRefused(problem="what stands in a key's place is no key expression")
    if _RAW_KEY.fullmatch(match["key"]):
        raise TemplateRefused(problem="a bare public key, where an extended one with its origin belongs")
    return match["key"], match["steps"]


def _check_steps(steps: str, whose: str) -> None:
    if steps == _STEPS:
        return
    for match in _NUMBER.finditer(steps):
        if int(match["number"]) >= HARDENED:
            raise IndexRange(index=int(match["number"]))
    if any(mark in steps for mark in "h'H"):
        raise TemplateRefused(problem=f"{whose} has a hardened step, which no public key can take")
    raise TemplateRefused(problem=f"{whose} does not end in {_STEPS} (receive and change, every index)")
