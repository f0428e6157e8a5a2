"""What does a transaction say, byte by byte, and what is its txid?

Reading is strict: every length in its shortest form, nothing after the end, no witness marker without a witness. So a
transaction has one spelling, and reading then writing gives the same bytes. A count is compared with the bytes that are
left before anything is made of it. `Transaction` decodes everything; `PreviousTransaction` and `txid_of` are for the
many previous transactions of a transfer, where a txid and one output are all that is wanted, `MinedTransaction` for the
thousands of a block, of which hardly any is ours.

Not here: how lengths are spelled (`serialize`), whether amounts are in range (`custody.units.check_amount`), what
scripts mean (`script`), what is signed (`sighash`). txids are bytes in internal order; text shows them reversed.
Amounts are sats.

Sources: BIP 141 and BIP 144 (serialisation, weight).
"""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

from custody.bitcoin.serialize import (
    WIDE,
    Reader,
    TransactionEncoding,
    check_count,
    check_end,
    check_room,
    compact_size,
    read_compact_size,
    serialize_stack,
)
from custody.bounds import LimitExceeded
from custody.units import MAX_BLOCK_WEIGHT, WITNESS_SCALE
from custody.units import vsize as vsize_of

MIN_INPUT: Final = 41
"""Bytes of an input with an empty scriptSig."""
MIN_OUTPUT: Final = 9
"""Bytes of an output with an empty script."""


class OutPoint(NamedTuple):
    """One output of one transaction: `txid` (32 bytes, internal order) and `index`.

    A tuple and no dataclass: every block has ten thousand of them, each to be looked for among all coins.
    """

    txid: bytes
    index: int  # type: ignore[assignment] # what tuples call `index` is not wanted here

    def __str__(self) -> str:
        return f"{self.txid[::-1].hex()}:{self.index}"

    def to_bytes(self) -> bytes:
        """36 bytes, as in an input."""
        return _OUTPOINT.pack(self.txid, self.index)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `txid:index` as people write it: 64 lower-case hexadecimal digits, a colon, a decimal number.

        Raises:
            TransactionEncoding: anything else, other spellings of the same outpoint included.
        """
        match = _OUTPOINT_TEXT.fullmatch(text)
        if match is None or int(match["index"]) >= 2**32:
            # Not shown: it may be something private pasted in the wrong place.
            raise TransactionEncoding(what="this is not an outpoint (txid:index)", at=0)
        return cls(bytes.fromhex(match["txid"])[::-1], int(match["index"]))


@dataclass(frozen=True, slots=True)
class TxIn:
    """What an input spends, its scriptSig, and its sequence number (unsigned 32 bits)."""

    outpoint: OutPoint
    script_sig: bytes
    sequence: int

    def serialize(self) -> bytes:
        """Wire bytes of this input."""
        script = self.script_sig
        return self.outpoint.to_bytes() + compact_size(len(script)) + script + _U32.pack(self.sequence)


@dataclass(frozen=True, slots=True)
class TxOut:
    """Sats as read (signed 64 bits, range unchecked) and the script they are locked to."""

    amount: int
    script_pubkey: bytes

    def serialize(self) -> bytes:
        """Wire bytes of this output."""
        return _I64.pack(self.amount) + compact_size(len(self.script_pubkey)) + self.script_pubkey


@dataclass(frozen=True)
class Transaction:
    """A transaction, fully decoded.

    `version` is signed 32 bits, `locktime` unsigned 32 bits. `witness` is `()` when no input has a witness, else one
    stack for each input.

    Raises:
        ValueError: a witness that is neither, or whose stacks are all empty (the other spelling of none).
    """

    version: int
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    locktime: int
    witness: tuple[tuple[bytes, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.witness and (len(self.witness) != len(self.inputs) or not any(self.witness)):
            raise ValueError("a witness has one stack for each input, at least one of them filled")

    @classmethod
    def parse(cls, data: bytes) -> Transaction:
        """Read the network serialisation, with or without witness.

        Raises:
            TransactionEncoding: not exactly one transaction in its one spelling. Source: BIP 144.
        """
        return _parse(data, None, is_witness_form=_is_witness_form(data, 0))

    @classmethod
    def parse_stripped(cls, data: bytes, most: int | None = None) -> Transaction:
        """Read the serialisation without witness, in which a transaction may have outputs but no inputs (BIP 174).

        Raises:
            TransactionEncoding: not exactly one transaction in that form.
            LimitExceeded: more than `most` inputs or outputs.
        """
        return _parse(data, most, is_witness_form=False)

    def serialize(self) -> bytes:
        """Network serialisation (BIP 144); the stripped one when there is no witness."""
        if not self.witness:
            return self.stripped()
        stacks = (serialize_stack(stack) for stack in self.witness)
        return b"".join((_I32.pack(self.version), b"\x00\x01", *self._body(), *stacks, _U32.pack(self.locktime)))

    def stripped(self) -> bytes:
        """Serialisation without the witness: what the txid is the hash of."""
        return b"".join((_I32.pack(self.version), *self._body(), _U32.pack(self.locktime)))

    def _body(self) -> Iterable[bytes]:
        yield compact_size(len(self.inputs))
        for each in self.inputs:
            yield each.serialize()
        yield compact_size(len(self.outputs))
        for output in self.outputs:
            yield output.serialize()

    @functools.cached_property
    def txid(self) -> bytes:
        """32 bytes, internal order."""
        return _double_sha256(self.stripped())

    @functools.cached_property
    def wtxid(self) -> bytes:
        """32 bytes, internal order; equal to the txid when there is no witness (BIP 141)."""
        return _double_sha256(self.serialize()) if self.witness else self.txid

    @property
    def txid_hex(self) -> str:
        """The txid as people see it."""
        return self.txid[::-1].hex()

    @functools.cached_property
    def weight(self) -> int:
        """Weight units (BIP 141)."""
        stripped = len(self.stripped())
        whole = len(self.serialize()) if self.witness else stripped
        return stripped * (WITNESS_SCALE - 1) + whole

    @property
    def vsize(self) -> int:
        """Virtual bytes, rounded up (BIP 141)."""
        return vsize_of(self.weight)

    def without_script_sigs(self) -> Transaction:
        """The same transaction with every scriptSig emptied and no witness: what a v0 PSBT carries."""
        bare = tuple(replace(each, script_sig=b"") if each.script_sig else each for each in self.inputs)
        return replace(self, inputs=bare, witness=())


class PreviousTransaction:
    """A previous transaction, checked in one pass without decoding it: its txid, and outputs one at a time.

    Raises:
        TransactionEncoding: not exactly one transaction with an input and an output, in its one spelling.
    """

    __slots__ = ("_has_witness", "_outputs", "_txid", "_witness_at", "raw", "witness_items")

    raw: bytes
    witness_items: int
    """How many it has, over all inputs."""

    def __init__(self, raw: bytes) -> None:
        _check_size(raw)
        self.raw = raw
        self.witness_items = 0
        self._txid: bytes | None = None
        self._has_witness = raw[4:6] == b"\x00\x01"
        try:
            self._outputs, self._witness_at = self._walk()
        except IndexError:
            raise TransactionEncoding(what="it ends too early", at=len(raw)) from None

    def _walk(self) -> tuple[array[int], int]:
        """Step over every field; where each output starts, and where the outputs end."""
        # The loops of this file are written out rather than built on `Reader`: a transfer has a thousand of these.
        raw = self.raw
        inputs, at = read_compact_size(raw, 6 if self._has_witness else 4)
        check_count(raw, at, inputs, MIN_INPUT, "inputs")
        if not inputs:
            raise TransactionEncoding(what="it has no inputs", at=at - 1)
        for _ in range(inputs):
            size = raw[at + 36]
            at += 37
            if size >= WIDE:
                size, at = read_compact_size(raw, at - 1)
            at += size + 4
        count, at = read_compact_size(raw, at)
        check_count(raw, at, count, MIN_OUTPUT, "outputs")
        if not count:
            raise TransactionEncoding(what="it has no outputs", at=at - 1)
        outputs = []
        for _ in range(count):
            outputs.append(at)
            size = raw[at + 8]
            at += 9
            if size >= WIDE:
                size, at = read_compact_size(raw, at - 1)
            at += size
        end = at
        if self._has_witness:
            end, self.witness_items = _skip_witness(raw, at, inputs)
        check_end(raw, end + 4)
        return array("I", outputs), at

    @property
    def stripped(self) -> bytes:
        """Its bytes without the witness; `raw` itself when it has none."""
        if not self._has_witness:
            return self.raw
        return self.raw[:4] + self.raw[6 : self._witness_at] + self.raw[-4:]

    @property
    def txid(self) -> bytes:
        """32 bytes, internal order, hashed from `raw` when first asked for."""
        if self._txid is None:
            self._txid = _double_sha256(self.stripped)
        return self._txid

    @property
    def output_count(self) -> int:
        """How many outputs it has; at least 1."""
        return len(self._outputs)

    def output(self, index: int) -> TxOut | None:
        """The output at `index`, or None when there is none."""
        if not 0 <= index < len(self._outputs):
            return None
        at = self._outputs[index]
        size, start = read_compact_size(self.raw, at + 8)
        return TxOut(int.from_bytes(self.raw[at : at + 8], "little", signed=True), self.raw[start : start + size])


def txid_of(raw: bytes) -> bytes:
    """The txid (32 bytes, internal order) of a previous transaction, checked and hashed without decoding it.

    Raises:
        TransactionEncoding: as `PreviousTransaction`.
    """
    return PreviousTransaction(raw).txid


@dataclass(frozen=True, slots=True)
class MinedTransaction:
    """A transaction of a block, checked in one pass without decoding it: what tells whether it is any of our business.

    `scripts` are those of its outputs, in order; `spends` are its inputs' outpoints. `raw` is the whole of it, with its
    witness; `decode` gives the rest.
    """

    txid: bytes
    scripts: tuple[bytes, ...]
    spends: tuple[OutPoint, ...]
    raw: bytes

    @classmethod
    def read(cls, data: bytes, start: int) -> tuple[Self, int]:
        """The transaction that begins at byte `start` of a block, and where it ends.

        Raises:
            TransactionEncoding: whatever `Transaction.parse` would refuse, and for the same reason.
        """
        is_witness_form = _is_witness_form(data, start)
        try:
            spends, at = _read_spends(data, start + (6 if is_witness_form else 4))
            scripts, at = _read_scripts(data, at)
            end = (_skip_witness(data, at, len(spends))[0] if is_witness_form else at) + 4
        except (IndexError, struct.error):
            raise TransactionEncoding(what="it ends too early", at=len(data)) from None
        if end > len(data):
            raise TransactionEncoding(what="it ends too early", at=len(data))
        raw = data[start:end]
        stripped = raw[:4] + data[start + 6 : at] + raw[-4:] if is_witness_form else raw
        return cls(_double_sha256(stripped), scripts, spends, raw), end

    def decode(self) -> Transaction:
        """All that it says."""
        return Transaction.parse(self.raw)


def _parse(data: bytes, most: int | None, *, is_witness_form: bool) -> Transaction:
    _check_size(data)
    transaction, end = _read(data, 0, most, is_witness_form=is_witness_form)
    check_end(data, end)
    return transaction


def _check_size(data: bytes) -> None:
    if len(data) > MAX_BLOCK_WEIGHT:
        raise TransactionEncoding(
            what=f"it is longer than the {MAX_BLOCK_WEIGHT} bytes of a block", at=MAX_BLOCK_WEIGHT
        )


def _is_witness_form(data: bytes, at: int) -> bool:
    # A zero where the number of inputs stands is BIP 144's marker; only "no inputs, no outputs" reads otherwise.
    mark = data[at + 4 : at + 6]
    if mark[:1] != b"\x00" or mark == b"\x00\x00":
        return False
    if mark != b"\x00\x01":
        raise TransactionEncoding(what="unknown flag after the witness marker", at=at + 5)
    return True


def _read(data: bytes, at: int, most: int | None, *, is_witness_form: bool) -> tuple[Transaction, int]:
    try:
        (version,) = _I32.unpack_from(data, at)
        inputs, at = _read_inputs(data, at + (6 if is_witness_form else 4), most)
        outputs, at = _read_outputs(data, at, most)
        witness: tuple[tuple[bytes, ...], ...] = ()
        if is_witness_form:
            witness, at = _read_witness(data, at, len(inputs))
        (locktime,) = _U32.unpack_from(data, at)
    except (IndexError, struct.error):
        raise TransactionEncoding(what="it ends too early", at=len(data)) from None
    return Transaction(version, inputs, outputs, locktime, witness), at + 4


def _read_inputs(data: bytes, at: int, most: int | None) -> tuple[tuple[TxIn, ...], int]:
    count, at = read_compact_size(data, at)
    _check_most(count, most, "inputs")
    check_count(data, at, count, MIN_INPUT, "inputs")
    inputs = []
    for _ in range(count):
        txid, index = _OUTPOINT.unpack_from(data, at)
        size = data[at + 36]
        start = at + 37
        if size >= WIDE:
            size, start = read_compact_size(data, start - 1)
            check_room(data, start, size)
        end = start + size
        (sequence,) = _U32.unpack_from(data, end)
        inputs.append(TxIn(OutPoint(txid, index), data[start:end], sequence))
        at = end + 4
    return tuple(inputs), at


def _read_outputs(data: bytes, at: int, most: int | None) -> tuple[tuple[TxOut, ...], int]:
    count, at = read_compact_size(data, at)
    _check_most(count, most, "outputs")
    check_count(data, at, count, MIN_OUTPUT, "outputs")
    outputs = []
    for _ in range(count):
        (amount,) = _I64.unpack_from(data, at)
        size = data[at + 8]
        start = at + 9
        if size >= WIDE:
            size, start = read_compact_size(data, start - 1)
        check_room(data, start, size)
        at = start + size
        outputs.append(TxOut(amount, data[start:at]))
    return tuple(outputs), at


def _read_witness(data: bytes, at: int, inputs: int) -> tuple[tuple[tuple[bytes, ...], ...], int]:
    reader = Reader(data, at)
    witness = tuple([reader.stack() for _ in range(inputs)])
    if not any(witness):
        raise TransactionEncoding(what="a witness marker without a witness", at=at)
    return witness, reader.at


# The four below are the three above without making anything of what is read, and refuse the same with the same words.
# They too are written out: a block has thousands of transactions, and a check is called only where it will raise.


def _read_spends(data: bytes, at: int) -> tuple[tuple[OutPoint, ...], int]:
    """What each input spends, and where the inputs end; beyond the data when the last one is cut short."""
    count, at = _read_count(data, at, MIN_INPUT, "inputs")
    unpack, new = _OUTPOINT.unpack_from, tuple.__new__
    spends = []
    for _ in range(count):
        spends.append(new(OutPoint, unpack(data, at)))
        size = data[at + 36]
        at += 37
        if size >= WIDE:
            size, at = read_compact_size(data, at - 1)
            check_room(data, at, size)
        at += size + 4
    return tuple(spends), at


def _read_scripts(data: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """The script of each output, and where the outputs end."""
    count, at = _read_count(data, at, MIN_OUTPUT, "outputs")
    limit = len(data)
    scripts = []
    for _ in range(count):
        size = data[at + 8]
        start = at + 9
        if size >= WIDE:
            size, start = read_compact_size(data, start - 1)
        at = start + size
        if at > limit:
            check_room(data, start, size)
        scripts.append(data[start:at])
    return tuple(scripts), at


def _read_count(data: bytes, at: int, smallest: int, what: str) -> tuple[int, int]:
    count = data[at]
    at += 1
    if count >= WIDE:
        count, at = read_compact_size(data, at - 1)
    if count * smallest > len(data) - at:
        check_count(data, at, count, smallest, what)
    return count, at


def _skip_witness(data: bytes, start: int, inputs: int) -> tuple[int, int]:
    """Where the witness that begins at `start` ends, and how many items it has."""
    at, limit = start, len(data)
    items = 0
    for _ in range(inputs):
        count = data[at]
        at += 1
        if count >= WIDE:
            count, at = read_compact_size(data, at - 1)
        if count > limit - at:
            check_count(data, at, count, 1, "witness items")
        items += count
        for _ in range(count):
            size = data[at]
            at += 1
            if size >= WIDE:
                size, at = read_compact_size(data, at - 1)
            if size > limit - at:
                check_room(data, at, size)
            at += size
    if not items:
        raise TransactionEncoding(what="a witness marker without a witness", at=start)
    return at, items


def _check_most(count: int, most: int | None, what: str) -> None:
    if most is not None and count > most:
        raise LimitExceeded(what=what, count=count, most=most)


def _double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


_OUTPOINT_TEXT: Final = re.compile(r"(?P<txid>[0-9a-f]{64}):(?P<index>0|[1-9][0-9]{0,9})")
_OUTPOINT: Final = struct.Struct("<32sI")
_I32: Final = struct.Struct("<i")
_U32: Final = struct.Struct("<I")
_I64: Final = struct.Struct("<q")
