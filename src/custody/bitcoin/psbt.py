"""Is this a PSBT, and what are its fields, in their order and to the byte?

Versions 0 and 2. A PSBT is kept as it came: three kinds of maps of raw keys and values. Parsing checks everything that
can be said without knowing whose coins these are, and writing gives the same bytes back. One PSBT has one spelling: no
duplicate key, no length in a longer form than needed, nothing after the end, one base64.

Sizes come first. Counts and lengths are compared with the limits and with the bytes that are left before memory is
taken, and every step is linear in the file.

Not here: the shape of each field (`psbt_fields`), which fields a vault transfer may carry (`profile`), and what a
signer must check: amounts, scripts, whose keys they are.

Sources: BIP 174 (version 0), BIP 370 (version 2, locktime), BIP 371, BIP 373. Amounts are sats.
"""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from custody.bitcoin.psbt_fields import (
    GLOBAL_RULES,
    INPUT_RULES,
    OUTPUT_RULES,
    Field,
    GlobalField,
    InputField,
    OutputField,
    Rules,
    field_name,
)
from custody.bitcoin.serialize import (
    WIDE,
    TransactionEncoding,
    compact_size,
    read_compact_size,
)
from custody.bitcoin.transaction import (
    OutPoint,
    PreviousTransaction,
    Transaction,
    TxIn,
    TxOut,
)
from custody.bounds import LimitExceeded
from custody.errors import InvalidInput, Refused

MAGIC: Final = b"psbt\xff"
MAX_PSBT: Final = 100_000_000
"""Bytes of the largest PSBT that is read; Bitcoin Core's limit (MAX_FILE_SIZE_PSBT)."""
MAX_MAPS: Final = 10_000
"""Most inputs, and most outputs, of a PSBT: several times what fits in a transaction that nodes relay."""
MAX_WITNESS_ITEMS: Final = 1_000_000
"""Most items in the witnesses of all previous transactions; those of 32 MB of them have some 300,000."""
MAX_FIELDS: Final = 5_000
"""Most keys in one map; an input that 15 cosigners signed has 35."""
_MAX_TEXT: Final = MAX_PSBT // 3 * 4 + 6


class PsbtEncoding(InvalidInput, code="PSBT_ENCODING"):
    """Bytes or text that are not one PSBT in its one spelling."""

    message = "not a valid PSBT: {where}: {what}"
    hint = (
        "Export the PSBT again from the program or device that made it, as a .psbt file or as base64 text; it may have "
        "been altered on the way."
    )
    where: str
    what: str


class PrevtxTxid(Refused, code="PREVTX_TXID"):
    """A previous transaction that is not the one spent."""

    message = "input {index} spends {outpoint}, but the previous transaction given is {actual}"
    hint = "Do not sign: the file was put together wrongly, or somebody is lying about an amount."
    index: int
    outpoint: OutPoint
    actual: str


class PrevtxOutput(Refused, code="PREVTX_OUTPUT"):
    """An input that spends an output its previous transaction does not have."""

    message = "input {index} spends {outpoint}, but that transaction has {outputs} outputs"
    hint = "Do not sign: the file was put together wrongly."
    index: int
    outpoint: OutPoint
    outputs: int


@dataclass(frozen=True, slots=True, init=False)
class PsbtMap:
    """One map, kept as its bytes and decoded when asked; made from keys (type included) and values in their order.

    Raises:
        ValueError: a key that is empty, which in the bytes would be the end of the map.
    """

    raw: bytes = field(init=False)

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        parts: list[bytes] = []
        for key, value in pairs:
            if not key:
                raise ValueError("a PSBT key has at least its type")
            size = len(value)
            parts += (compact_size(len(key)), key, _ONE_BYTE[size] if size < WIDE else compact_size(size), value)
        object.__setattr__(self, "raw", b"".join((*parts, b"\x00")))

    @classmethod
    def _of_checked(cls, raw: bytes) -> Self:
        self = object.__new__(cls)
        object.__setattr__(self, "raw", raw)
        return self

    @property
    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        """Keys (type included) and values, raw, in the order they came; decoded anew each time."""
        pairs = []
        raw, at = self.raw, 0
        while size := raw[at]:
            at += 1
            if size >= WIDE:
                size, at = read_compact_size(raw, at - 1)
            end = at + size
            key = raw[at:end]
            size = raw[end]
            at = end + 1
            if size >= WIDE:
                size, at = read_compact_size(raw, end)
            end = at + size
            pairs.append((key, raw[at:end]))
            at = end
        return tuple(pairs)

    def get(self, key: bytes) -> bytes | None:
        """The value of exactly this key, or None."""
        for each, value in self.pairs:
            if each == key:
                return value
        return None

    def with_field(self, key: bytes, value: bytes) -> PsbtMap:
        """This map with one more field, before the first whose key is greater; one with the same key is replaced."""
        name = compact_size(len(key)) + key
        # Bytes that stand nowhere in the map are no key of it; only where they do is it taken apart to see.
        raw = self.raw if name not in self.raw else PsbtMap(pair for pair in self.pairs if pair[0] != key).raw
        at = 0
        while raw[at]:
            size, start = read_compact_size(raw, at)
            if raw[start : start + size] > key:
                break
            size, start = read_compact_size(raw, start + size)
            at = start + size
        return self._of_checked(b"".join((raw[:at], name, compact_size(len(value)), value, raw[at:])))

    def of_type(self, key_type: int) -> list[tuple[bytes, bytes]]:
        """(key data, value) of every key of this type, in their order."""
        prefix = compact_size(key_type)
        return [(key[len(prefix) :], value) for key, value in self.pairs if key.startswith(prefix)]


@dataclass(frozen=True, slots=True)
class Psbt:
    """A partially signed transaction of version 0 or 2, checked, with every field as it came.

    `unsigned_transaction` is the transaction it is about, without scriptSigs and witness: read (version 0), or
    assembled with the locktime that its inputs require (version 2). A PSBT that was built rather than parsed is checked
    alike, but for `check_previous`.

    Raises:
        PsbtEncoding: a field, or the set of fields, that its version does not allow.
        LimitExceeded: too many inputs, outputs or fields.
        SecretMaterial: an extended private key where the public one belongs.
    """

    version: int
    global_map: PsbtMap
    inputs: tuple[PsbtMap, ...]
    outputs: tuple[PsbtMap, ...]
    unsigned_transaction: Transaction = field(init=False, compare=False, repr=False)
    _is_previous_checked: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        head = _Header.read(self.global_map, MAX_MAPS)
        if self.version != head.version:
            raise PsbtEncoding(where="global map", what=f"it says version {head.version}, not {self.version}")
        if (len(self.inputs), len(self.outputs)) != (head.inputs, head.outputs):
            raise PsbtEncoding(where="global map", what="its transaction has other numbers of inputs and outputs")
        # The maps are walked as they would be in a file: one way in, whoever made them.
        walk = _Walk(b"", 0)
        for rules, kind, maps in (
            (INPUT_RULES[head.version], InputField, self.inputs),
            (OUTPUT_RULES[head.version], OutputField, self.outputs),
        ):
            for index, each in enumerate(maps):
                walk.data, walk.at = each.raw, 0
                walk.step(rules, kind, index)
        self._fill(head, self.inputs, self.outputs)

    def _fill(self, head: _Header, inputs: tuple[PsbtMap, ...], outputs: tuple[PsbtMap, ...]) -> None:
        object.__setattr__(self, "version", head.version)
        object.__setattr__(self, "global_map", head.fields)
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "outputs", outputs)
        object.__setattr__(self, "unsigned_transaction", head.transaction or _assemble(head, inputs, outputs))
        object.__setattr__(self, "_is_previous_checked", False)

    @classmethod
    def parse(cls, data: bytes, *, most: int = MAX_MAPS) -> Psbt:
        """Read the binary form.

        Raises:
            PsbtEncoding: not exactly one PSBT.
            PrevtxTxid, PrevtxOutput: a previous transaction that is not the one its input spends from.
            LimitExceeded: longer than 100 MB, more than `most` inputs or outputs, or a map of more than 5,000 fields.
            SecretMaterial: it carries an extended private key.
        """
        if len(data) > MAX_PSBT:
            raise LimitExceeded(what="bytes of a PSBT", count=len(data), most=MAX_PSBT)
        if not data.startswith(MAGIC):
            raise PsbtEncoding(where="start", what="it does not begin with 'psbt' and the byte ff")
        walk = _Walk(data, len(MAGIC))
        head = _Header.read(walk.step({}, GlobalField, 0), most)
        if head.inputs + head.outputs > walk.remaining:
            what = f"{head.inputs} inputs and {head.outputs} outputs are announced and {walk.remaining} bytes follow"
            raise PsbtEncoding(where="global map", what=what)
        psbt = object.__new__(cls)
        inputs, outputs = walk.inputs(head), walk.outputs(head)
        if walk.remaining:
            raise PsbtEncoding(where="end", what=_after(data[-walk.remaining :]))
        psbt._fill(head, inputs, outputs)
        psbt._check_previous(walk.previous)
        return psbt

    @classmethod
    def from_base64(cls, text: str, *, most: int = MAX_MAPS) -> Psbt:
        """Read the text form: standard base64 with its padding, on one line that may end in one line break.

        Raises:
            PsbtEncoding: other characters, blanks inside, another spelling of the same bytes; and as `parse`.
            PrevtxTxid, PrevtxOutput, LimitExceeded, SecretMaterial: as `parse`.
        """
        if len(text) > _MAX_TEXT:
            raise LimitExceeded(what="characters of a PSBT", count=len(text), most=_MAX_TEXT)
        line = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
        try:
            data = base64.b64decode(line, validate=True)
        except ValueError:  # binascii.Error is one, and so is text that is not ASCII
            raise PsbtEncoding(where="text", what="it is not base64") from None
        # The last character may hold spare bits: without this, up to sixteen texts could be one PSBT.
        if binascii.b2a_base64(data, newline=False).decode("ascii") != line:
            raise PsbtEncoding(where="text", what="it is not the base64 of its bytes")
        return cls.parse(data, most=most)

    def serialize(self) -> bytes:
        """The binary form; the bytes that were parsed."""
        return b"".join((MAGIC, self.global_map.raw, *(each.raw for each in (*self.inputs, *self.outputs))))

    def to_base64(self) -> str:
        """The text form, without a line break."""
        return base64.b64encode(self.serialize()).decode("ascii")

    def with_signatures(self, signatures: Sequence[Iterable[tuple[bytes, bytes]]]) -> Psbt:
        """This PSBT with signatures added, all else as it is: for each input, whole keys of fields, and signatures.

        Raises:
            PsbtEncoding: a field that is no signature, a key that is none, or an empty signature.
            ValueError: not one collection for each input.
        """
        rules = INPUT_RULES[self.version]
        inputs = []
        for index, (fields, added) in enumerate(zip(self.inputs, signatures, strict=True)):
            signed = fields
            for key, signature in added:
                problem = rules[key[0]](key, signature) if key[0] in _SIGNATURES else "it is no signature"
                if problem is not None:
                    raise _fault(InputField, index, key, problem)
                signed = signed.with_field(key, signature)
            inputs.append(signed)
        psbt = copy.copy(self)
        object.__setattr__(psbt, "inputs", tuple(inputs))
        return psbt

    def previous_transaction(self, index: int) -> PreviousTransaction | None:
        """The whole previous transaction that input `index` carries, or None; stepped over anew each time."""
        raw = self.inputs[index].get(_IN_PREVIOUS)
        return None if raw is None else PreviousTransaction(raw)

    def check_previous(self) -> None:
        """Check that every previous transaction is the one its input spends from; `parse` has done so.

        Raises:
            PrevtxTxid: it has another txid.
            PrevtxOutput: it has no output of that index.
        """
        if not self._is_previous_checked:
            self._check_previous(map(self.previous_transaction, range(len(self.inputs))))

    def _check_previous(self, previous: Iterable[PreviousTransaction | None]) -> None:
        for index, (spent, found) in enumerate(zip(self.unsigned_transaction.inputs, previous, strict=True)):
            if found is None:
                continue
            if found.txid != spent.outpoint.txid:
                raise PrevtxTxid(index=index, outpoint=spent.outpoint, actual=found.txid[::-1].hex())
            if spent.outpoint.index >= found.output_count:
                raise PrevtxOutput(index=index, outpoint=spent.outpoint, outputs=found.output_count)
        object.__setattr__(self, "_is_previous_checked", True)


def read_psbt_file(data: bytes, *, most: int = MAX_MAPS) -> Psbt:
    """Read what a `.psbt` file holds: the binary form, or base64 text with at most one line break at its end.

    Raises:
        PsbtEncoding: neither; and as `Psbt.parse`.
        PrevtxTxid, PrevtxOutput, LimitExceeded, SecretMaterial: as `Psbt.parse`.
    """
    if data.startswith(MAGIC):
        return Psbt.parse(data, most=most)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise PsbtEncoding(where="file", what="it is neither a binary PSBT nor base64 text") from None
    return Psbt.from_base64(text, most=most)


# Walking over maps ----------------------------------------------------------------------------------------------------


def _after(rest: bytes) -> str:
    """What follows the last map, where nothing may."""
    looks = ""
    if rest.startswith(MAGIC):
        looks = ": another PSBT, which belongs in a file of its own"
    elif not rest.strip(b"\r\n"):
        looks = ": a line break, as programs add it to text"
    return f"{len(rest)} bytes follow the last map{looks}"


class _Walk:
    """A cursor over maps that checks every field it steps over and notes the previous transactions it meets."""

    __slots__ = ("_items", "_known", "at", "data", "previous")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.previous: list[PreviousTransaction | None] = []
        self._known: dict[bytes, PreviousTransaction] = {}
        self._items = 0

    @property
    def remaining(self) -> int:
        return len(self.data) - self.at

    def inputs(self, head: _Header) -> tuple[PsbtMap, ...]:
        rules = INPUT_RULES[head.version]
        return tuple([self.step(rules, InputField, index) for index in range(head.inputs)])

    def outputs(self, head: _Header) -> tuple[PsbtMap, ...]:
        rules = OUTPUT_RULES[head.version]
        return tuple([self.step(rules, OutputField, index) for index in range(head.outputs)])

    def step(self, rules: Rules, kind: type[Field], index: int) -> PsbtMap:  # noqa: C901, PLR0912 - one hot loop
        """The map at the cursor, each key of it once and each field as its rule says."""
        data, at, start = self.data, self.at, self.at
        rule_of = rules.get
        seen: set[bytes] = set()
        previous = None
        try:
            # Over raw bytes and written out, because it runs for every field of every input.
            for _ in range(MAX_FIELDS + 1):
                size = data[at]
                at += 1
                if not size:
                    break
                if size >= WIDE:
                    size, at = read_compact_size(data, at - 1)
                end = at + size
                key = data[at:end]
                size = data[end]
                at = end + 1
                if size >= WIDE:
                    size, at = read_compact_size(data, end)
                end = at + size
                value = data[at:end]
                at = end
                if key in seen:
                    raise _fault(kind, index, key, "it stands there twice with the same key")
                seen.add(key)
                rule = rule_of(key[0])
                if rule is not None:
                    try:
                        problem = rule(key, value)
                    except TransactionEncoding as error:
                        problem = error.what
                    if problem is not None:
                        raise _fault(kind, index, key, problem if end <= len(data) else "the file ends inside it")
                    if key == _IN_PREVIOUS:
                        previous = value
            else:
                raise LimitExceeded(what="fields in one map", count=MAX_FIELDS + 1, most=MAX_FIELDS)
        except TransactionEncoding as error:
            raise PsbtEncoding(where=_place(kind, index), what=error.what) from None
        except IndexError:
            raise PsbtEncoding(where=_place(kind, index), what="the file ends too early") from None
        self.at = at
        if kind is InputField:
            self.previous.append(None if previous is None else self._read_previous(previous, index))
        return PsbtMap._of_checked(data[start:at])  # noqa: SLF001 - the one place that checks raw maps

    def _read_previous(self, raw: bytes, index: int) -> PreviousTransaction:
        """Read a previous transaction, once however many inputs carry it."""
        found = self._known.get(raw)
        if found is None:
            try:
                found = self._known[raw] = PreviousTransaction(raw)
            except TransactionEncoding as error:
                raise _fault(InputField, index, _IN_PREVIOUS, error.what) from None
            self._items += found.witness_items
            if self._items > MAX_WITNESS_ITEMS:
                what = "witness items of previous transactions"
                raise LimitExceeded(what=what, count=self._items, most=MAX_WITNESS_ITEMS)
        return found


@dataclass(frozen=True, slots=True)
class _Header:
    """What the global map says about the rest of the file; `transaction` is None in version 2."""

    fields: PsbtMap
    version: int
    inputs: int
    outputs: int
    transaction: Transaction | None

    @classmethod
    def read(cls, fields: PsbtMap, most: int) -> _Header:
        """Check the global map and find how many maps follow.

        Raises:
            PsbtEncoding: fields of it are missing or wrong.
            LimitExceeded: it announces more than `most` inputs or outputs.
        """
        version = _version(fields)
        _Walk(fields.raw, 0).step(GLOBAL_RULES[version], GlobalField, 0)
        known = dict(fields.pairs)
        if version == 0:
            transaction = _unsigned(known.get(_key(GlobalField.UNSIGNED_TX)), most)
            return cls(fields, version, len(transaction.inputs), len(transaction.outputs), transaction)
        for kind in (GlobalField.TX_VERSION, GlobalField.INPUT_COUNT, GlobalField.OUTPUT_COUNT):
            if _key(kind) not in known:
                raise PsbtEncoding(where="global map", what=f"{kind.name} is missing")
        inputs, _ = read_compact_size(known[_key(GlobalField.INPUT_COUNT)], 0)
        outputs, _ = read_compact_size(known[_key(GlobalField.OUTPUT_COUNT)], 0)
        for what, count in (("inputs", inputs), ("outputs", outputs)):
            if count > most:
                raise LimitExceeded(what=what, count=count, most=most)
        return cls(fields, version, inputs, outputs, None)


def _version(fields: PsbtMap) -> int:
    raw = fields.get(_key(GlobalField.VERSION))
    version = 0 if raw is None else int.from_bytes(raw[:4], "little")
    if version not in GLOBAL_RULES:
        raise PsbtEncoding(where="global map", what=f"its version is {version}, and only 0 and 2 exist")
    return version


def _unsigned(raw: bytes | None, most: int) -> Transaction:
    if raw is None:
        raise PsbtEncoding(where="global map", what="UNSIGNED_TX is missing")
    try:
        transaction = Transaction.parse_stripped(raw, most)
    except TransactionEncoding as error:
        what = f"UNSIGNED_TX: {error.what}; a transaction without witness is expected"
        raise PsbtEncoding(where="global map", what=what) from None
    for index, each in enumerate(transaction.inputs):
        if each.script_sig:
            raise PsbtEncoding(where="global map", what=f"UNSIGNED_TX: its input {index} has a scriptSig")
    return transaction


def _fault(kind: type[Field], index: int, key: bytes, problem: str) -> PsbtEncoding:
    return PsbtEncoding(where=_place(kind, index), what=f"{field_name(kind, key)}: {problem}")


def _place(kind: type[Field], index: int) -> str:
    if kind is GlobalField:
        return "global map"
    return f"{'input' if kind is InputField else 'output'} {index}"


# Version 2 ------------------------------------------------------------------------------------------------------------


def _assemble(head: _Header, inputs: tuple[PsbtMap, ...], outputs: tuple[PsbtMap, ...]) -> Transaction:
    """The transaction of a version 2 PSBT, its scriptSigs empty. Source: BIP 370."""
    spent = []
    heights: list[int | None] = []
    times: list[int | None] = []
    for index, each in enumerate(inputs):
        fields = dict(each.pairs)
        txid = _required(fields, InputField.PREVIOUS_TXID, index)
        position = int.from_bytes(_required(fields, InputField.OUTPUT_INDEX, index), "little")
        sequence = _number(fields, InputField.SEQUENCE)
        spent.append(TxIn(OutPoint(txid, position), b"", _FINAL if sequence is None else sequence))
        height = _number(fields, InputField.REQUIRED_HEIGHT_LOCKTIME)
        time = _number(fields, InputField.REQUIRED_TIME_LOCKTIME)
        if height is not None or time is not None:
            heights.append(height)
            times.append(time)
    paid = []
    for index, each in enumerate(outputs):
        fields = dict(each.pairs)
        amount = int.from_bytes(_required(fields, OutputField.AMOUNT, index), "little", signed=True)
        paid.append(TxOut(amount, _required(fields, OutputField.SCRIPT, index)))
    known = dict(head.fields.pairs)
    version = int.from_bytes(known[_key(GlobalField.TX_VERSION)], "little", signed=True)
    fallback = _number(known, GlobalField.FALLBACK_LOCKTIME) or 0
    return Transaction(version, tuple(spent), tuple(paid), _locktime(heights, times, fallback))


def _locktime(heights: list[int | None], times: list[int | None], fallback: int) -> int:
    """The locktime that satisfies every input that requires one. Source: BIP 370, Determining Lock Time."""
    if not heights:
        return fallback
    # Heights win when both would do. Without a kind that all of them name there is no transaction at all.
    for required in (heights, times):
        numbers = [each for each in required if each is not None]
        if len(numbers) == len(required):
            return max(numbers)
    raise PsbtEncoding(where="inputs", what="some require a height as locktime and others a time")


def _required(fields: dict[bytes, bytes], kind: InputField | OutputField, index: int) -> bytes:
    value = fields.get(_key(kind))
    if value is None:
        raise PsbtEncoding(where=_place(type(kind), index), what=f"{kind.name} is missing")
    return value


def _number(fields: dict[bytes, bytes], kind: Field) -> int | None:
    value = fields.get(_key(kind))
    return None if value is None else int.from_bytes(value, "little")


def _key(kind: Field) -> bytes:
    return _ONE_BYTE[kind]


_FINAL: Final = 0xFFFF_FFFF
_ONE_BYTE: Final = tuple(bytes((number,)) for number in range(256))
_IN_PREVIOUS: Final = _key(InputField.NON_WITNESS_UTXO)
_SIGNATURES: Final = frozenset({InputField.PARTIAL_SIG, InputField.TAP_SCRIPT_SIG})
