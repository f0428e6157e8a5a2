"""Which fields may a vault transfer carry to a signer and back, and what is the one way to write them?

A PSBT is also a place to hide things: BIP 174 passes unknown fields on, and a file that crosses an air gap can bring a
key out. So this is a list of what is allowed, in each direction; everything else is refused, whatever its size. What is
written is rebuilt from the values here, never copied from a file: version 0, the keys of each map in ascending order,
previous transactions without their witness (no txid commits to it). Signatures are for the whole transaction,
SIGHASH_ALL, in the field and in the last byte of every signature.

Not here: whether the bytes are a PSBT (`psbt`), whether amounts, scripts, keys and signatures are right (`transfer`).
Finished inputs come back as fields; what they are worth is the combiner's to say. Taproot fields are not on the list.

Sources: BIP 174, BIP 370; Bitcoin Core's policy.h for the size of a witness script. Sizes are bytes, amounts sats.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self, SupportsIndex, TypeVar, cast, overload

from custody.bitcoin.curve import public_key
from custody.bitcoin.psbt import Psbt, PsbtMap, read_psbt_file
from custody.bitcoin.psbt_fields import Field, GlobalField, InputField, OutputField, field_name
from custody.bitcoin.transaction import (
    LimitExceeded,
    PreviousTransaction,
    Reader,
    Transaction,
    TxOut,
    serialize_stack,
)
from custody.errors import Refused
from custody.record import SecretMaterial
from custody.units import HARDENED, MAX_TRANSACTION_WEIGHT, WITNESS_SCALE

SIGHASH_ALL: Final = 1
MAX_FILE: Final = 20_000_000
"""Bytes of the largest transfer file; devices stop far below."""
MAX_MAPS: Final = MAX_TRANSACTION_WEIGHT // WITNESS_SCALE // 31
"""Most inputs, and most outputs, of a transaction that nodes relay: each takes 31 bytes or more besides its witness."""
MAX_KEYS: Final = 20
"""Most keys of one script, of one kind of field in one map, and of one file's account keys."""
MAX_PATH: Final = 10
"""Most steps of a derivation path; BIP 48 uses six."""
MAX_SCRIPT: Final = 3_600
"""Bytes of the longest witness script nodes relay (Bitcoin Core, MAX_STANDARD_P2WSH_SCRIPT_SIZE)."""
MAX_REDEEM_SCRIPT: Final = 520
"""Bytes of the longest push in a script."""
MAX_SIGNATURE: Final = 73
"""Bytes of the longest strict DER signature with its hash type (BIP 66)."""
MAX_PREVIOUS: Final = 4_000_000
"""Bytes of the largest previous transaction: a whole block's weight."""
MAX_FINAL_SCRIPT_SIG: Final = 35
"""Bytes of the one push that a nested witness script needs: 34 and the push."""
MAX_WITNESS_ITEMS: Final = MAX_KEYS + 2
"""Most items of a final witness: an empty one, the signatures, the script."""
_MAX_OUTPUT_SCRIPT: Final = 10_000
_COMPRESSED: Final = 33
_SECRET: Final = 32
_MOST_SEARCHED: Final = 256
_MOST_TRIES: Final = 5_000
_XPUB: Final = 78
_STEP: Final = 4
_UTXO: Final = 8 + 1 + 42  # an amount, and the longest script that is a witness program (BIP 141)
_PATH: Final = _STEP + _STEP * MAX_PATH
_TYPE: Final = tuple(bytes((number,)) for number in range(256))
"""The key of a field that stands once in a map."""
_FINAL_WITNESS: Final = 1 + MAX_WITNESS_ITEMS * (1 + MAX_SIGNATURE) + 3 + MAX_SCRIPT

# What is allowed: type to the longest value. The fields of version 2 that make up the transaction are read and dropped.
_GLOBAL_ALLOWED: Final[Mapping[int, int]] = {
    GlobalField.UNSIGNED_TX: MAX_FILE,
    GlobalField.XPUB: _PATH,
    GlobalField.TX_VERSION: 4,
    GlobalField.FALLBACK_LOCKTIME: 4,
    GlobalField.INPUT_COUNT: 9,
    GlobalField.OUTPUT_COUNT: 9,
    GlobalField.TX_MODIFIABLE: 1,
    GlobalField.VERSION: 4,
}
_INPUT_TO_SIGNER: Final[Mapping[int, int]] = {
    InputField.NON_WITNESS_UTXO: MAX_PREVIOUS,
    InputField.WITNESS_UTXO: _UTXO,
    InputField.PARTIAL_SIG: MAX_SIGNATURE,
    InputField.SIGHASH_TYPE: 4,
    InputField.REDEEM_SCRIPT: MAX_REDEEM_SCRIPT,
    InputField.WITNESS_SCRIPT: MAX_SCRIPT,
    InputField.BIP32_DERIVATION: _PATH,
    InputField.PREVIOUS_TXID: 32,
    InputField.OUTPUT_INDEX: 4,
    InputField.SEQUENCE: 4,
    InputField.REQUIRED_TIME_LOCKTIME: 4,
    InputField.REQUIRED_HEIGHT_LOCKTIME: 4,
}
_INPUT_FROM_SIGNER: Final[Mapping[int, int]] = {
    **_INPUT_TO_SIGNER,
    InputField.FINAL_SCRIPTSIG: MAX_FINAL_SCRIPT_SIG,
    InputField.FINAL_SCRIPTWITNESS: _FINAL_WITNESS,
}
_OUTPUT_ALLOWED: Final[Mapping[int, int]] = {
    OutputField.REDEEM_SCRIPT: MAX_REDEEM_SCRIPT,
    OutputField.WITNESS_SCRIPT: MAX_SCRIPT,
    OutputField.BIP32_DERIVATION: _PATH,
    OutputField.AMOUNT: 8,
    OutputField.SCRIPT: _MAX_OUTPUT_SCRIPT,
}
# Where bytes of any kind may stand, so that a key of 32 would not be noticed.
_SCRIPTS: Final[Mapping[type[Field], tuple[int, ...]]] = {
    GlobalField: (),
    InputField: (InputField.REDEEM_SCRIPT, InputField.WITNESS_SCRIPT),
    OutputField: (OutputField.REDEEM_SCRIPT, OutputField.WITNESS_SCRIPT),
}


class FieldForbidden(Refused, code="FIELD_FORBIDDEN"):
    """A field that a vault transfer does not carry in this direction, or not like this."""

    message = "{where}: {field} {why}"
    hint = "Export a plain PSBT without other programs' fields. If a device added this, do not use the file."
    where: str
    field: str
    why: str


class SighashForbidden(Refused, code="SIGHASH_FORBIDDEN"):
    """A signature, or the wish for one, that leaves a part of the transaction open."""

    message = "{where}: {field} asks for hash type 0x{hash_type:02x} instead of 0x01 (ALL)"
    hint = "Sign the whole transaction (SIGHASH_ALL). If nobody chose another type, find out who changed this file."
    where: str
    field: str
    hash_type: int


class Direction(Enum):
    """Which way a file goes over the air gap."""

    TO_SIGNER = "to signer"
    FROM_SIGNER = "from signer"


class KeyPath(bytes):
    """Where a key comes from: the master's fingerprint (4 bytes) and raw child numbers, hardened ones plus 2^31.

    It is the value of its PSBT field, decoded when asked.

    Raises:
        ValueError: a fingerprint that is not 4 bytes, or a child number outside 32 bits.
    """

    __slots__ = ()

    def __new__(cls, fingerprint: bytes, path: Iterable[int]) -> Self:
        if len(fingerprint) != _STEP:
            raise ValueError("a fingerprint has 4 bytes")
        try:
            return super().__new__(cls, fingerprint + b"".join([step.to_bytes(_STEP, "little") for step in path]))
        except OverflowError:
            raise ValueError("a child number has 32 bits") from None

    @classmethod
    def of_field(cls, value: bytes) -> Self:
        """Read the value of a PSBT field: at least 4 bytes, a multiple of 4."""
        return super().__new__(cls, value)

    @property
    def fingerprint(self) -> bytes:
        """The first four bytes of the master key's HASH160."""
        return bytes(self[:_STEP])

    @property
    def path(self) -> tuple[int, ...]:
        """Raw child numbers from the master down."""
        return struct.unpack_from(f"<{len(self) // _STEP - 1}I", self, _STEP)

    def __str__(self) -> str:
        steps = (f"{step - HARDENED}h" if step >= HARDENED else str(step) for step in self.path)
        return "/".join((self.fingerprint.hex(), *steps))

    def __repr__(self) -> str:
        return f"KeyPath({self})"


_Other = TypeVar("_Other")


class KeyPaths(tuple[tuple[bytes, KeyPath], ...]):
    """Public keys, or extended ones, with their origins: a tuple that holds fields as they came and decodes when asked.

    Read from a file it is ascending by key, each once. It equals a plain tuple of the same pairs, because an origin is
    bytes. A transfer has thousands of origins; as objects of their own they would cost more than all the rest of it.
    """

    __slots__ = ()

    @classmethod
    def of_fields(cls, fields: Iterable[tuple[bytes, bytes]]) -> Self:
        """Take keys and field values."""
        return super().__new__(cls, cast("Iterable[tuple[bytes, KeyPath]]", fields))

    def __iter__(self) -> Iterator[tuple[bytes, KeyPath]]:
        return ((key, KeyPath.of_field(value)) for key, value in super().__iter__())

    @overload
    def __getitem__(self, at: SupportsIndex) -> tuple[bytes, KeyPath]: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[tuple[bytes, KeyPath], ...]: ...
    def __getitem__(self, at: SupportsIndex | slice) -> tuple[bytes, KeyPath] | tuple[tuple[bytes, KeyPath], ...]:
        return tuple(self)[at]

    @overload
    def __add__(self, other: tuple[tuple[bytes, KeyPath], ...]) -> tuple[tuple[bytes, KeyPath], ...]: ...
    @overload
    def __add__(self, other: tuple[_Other, ...]) -> tuple[tuple[bytes, KeyPath] | _Other, ...]: ...
    def __add__(self, other: tuple[object, ...]) -> tuple[object, ...]:
        return (*self, *other)


def paths_of(key_paths: tuple[tuple[bytes, KeyPath], ...], fingerprint: bytes) -> list[tuple[bytes, KeyPath]]:
    """Those of `key_paths` under the master with `fingerprint` (4 bytes), in their order; only they are decoded."""
    own = [(key, value) for key, value in tuple.__iter__(key_paths) if value.startswith(fingerprint)]
    return [(key, KeyPath.of_field(value)) for key, value in own]


@dataclass(frozen=True, slots=True)
class ProfileInput:
    """What a transfer says about one input. Absent scripts and bytes are empty.

    `previous_transaction` is raw and, once written or read, without witness. `signatures` are DER with the hash type
    byte, by compressed public key. The last two come from signers that finalise.
    """

    previous_transaction: bytes = b""
    witness_utxo: TxOut | None = None
    witness_script: bytes = b""
    redeem_script: bytes = b""
    key_paths: tuple[tuple[bytes, KeyPath], ...] = ()
    signatures: tuple[tuple[bytes, bytes], ...] = ()
    sighash_type: int | None = None
    final_script_sig: bytes = b""
    final_witness: tuple[bytes, ...] = ()

    def with_signatures(self, signatures: tuple[tuple[bytes, bytes], ...]) -> ProfileInput:
        """The same input with these signatures in place of its own."""
        # By position, and not through `replace`: a transfer has a thousand inputs, and this halves what each costs.
        return ProfileInput(
            self.previous_transaction,
            self.witness_utxo,
            self.witness_script,
            self.redeem_script,
            self.key_paths,
            signatures,
            self.sighash_type,
            self.final_script_sig,
            self.final_witness,
        )

    def to_map(self) -> PsbtMap:
        """The PSBT map of this input, its keys in ascending order."""
        utxo = b"" if self.witness_utxo is None else self.witness_utxo.serialize()
        sighash = b"" if self.sighash_type is None else self.sighash_type.to_bytes(4, "little")
        witness = serialize_stack(self.final_witness) if self.final_witness else b""
        return PsbtMap(
            (
                *_once(InputField.NON_WITNESS_UTXO, _without_witness(self.previous_transaction)),
                *_once(InputField.WITNESS_UTXO, utxo),
                *_by_key(InputField.PARTIAL_SIG, self.signatures),
                *_once(InputField.SIGHASH_TYPE, sighash),
                *_once(InputField.REDEEM_SCRIPT, self.redeem_script),
                *_once(InputField.WITNESS_SCRIPT, self.witness_script),
                *_by_key(InputField.BIP32_DERIVATION, self.key_paths),
                *_once(InputField.FINAL_SCRIPTSIG, self.final_script_sig),
                *_once(InputField.FINAL_SCRIPTWITNESS, witness),
            )
        )


@dataclass(frozen=True, slots=True)
class ProfileOutput:
    """What a transfer says about one output: how to recognise our own change. Absent scripts are empty."""

    witness_script: bytes = b""
    redeem_script: bytes = b""
    key_paths: tuple[tuple[bytes, KeyPath], ...] = ()

    def to_map(self) -> PsbtMap:
        """The PSBT map of this output, its keys in ascending order."""
        return PsbtMap(
            (
                *_once(OutputField.REDEEM_SCRIPT, self.redeem_script),
                *_once(OutputField.WITNESS_SCRIPT, self.witness_script),
                *_by_key(OutputField.BIP32_DERIVATION, self.key_paths),
            )
        )


@dataclass(frozen=True, slots=True)
class TransferPsbt:
    """A vault transfer as it crosses the air gap: the unsigned transaction and what signers need to check it.

    `account_keys` are extended public keys (78 bytes) with their origins. Inputs and outputs stand in the transaction's
    order.
    """

    transaction: Transaction
    account_keys: tuple[tuple[bytes, KeyPath], ...]
    inputs: tuple[ProfileInput, ...]
    outputs: tuple[ProfileOutput, ...]

    def to_psbt(self) -> Psbt:
        """The one PSBT of this transfer: version 0, the keys of each map in ascending order of their bytes.

        Raises:
            PsbtEncoding: a value that no PSBT may hold, such as a key that is none.
            TransactionEncoding: a previous transaction that is none.
        """
        unsigned = _once(GlobalField.UNSIGNED_TX, self.transaction.stripped())
        return Psbt(
            version=0,
            global_map=PsbtMap((*unsigned, *_by_key(GlobalField.XPUB, self.account_keys))),
            inputs=tuple([each.to_map() for each in self.inputs]),
            outputs=tuple([each.to_map() for each in self.outputs]),
        )

    @classmethod
    def from_psbt(cls, psbt: Psbt, direction: Direction, *, max_weight: int = MAX_TRANSACTION_WEIGHT) -> TransferPsbt:
        """What `psbt` says, when it says nothing that a transfer going in `direction` does not.

        Version 2 is read as well. Order, the witness of previous transactions and the version leave no trace: equal
        transfers are equal values.

        Raises:
            FieldForbidden: an unknown, proprietary or other field that is not on the list, or a key, value or number of
                fields above its limit.
            SighashForbidden: a hash type other than ALL in the field, or at the end of a partial or final signature.
            LimitExceeded: the transaction alone weighs more than `max_weight`.
            SecretMaterial: a field holds the private key of a public key that the PSBT names.
        """
        transaction = psbt.unsigned_transaction
        weight = len(transaction.stripped()) * WITNESS_SCALE
        if weight > max_weight:
            raise LimitExceeded(what="weight units", count=weight, most=max_weight)
        try:
            return cls(
                transaction=transaction,
                account_keys=_read_global(psbt.global_map),
                inputs=tuple([_read_input(each, index, direction) for index, each in enumerate(psbt.inputs)]),
                outputs=tuple([_read_output(each, index) for index, each in enumerate(psbt.outputs)]),
            )
        except FieldForbidden:
            _refuse_private_keys(psbt)
            raise


def read_transfer_file(data: bytes, direction: Direction) -> TransferPsbt:
    """Read a file that crossed the air gap, sizes first: at most 20 MB and 3,225 inputs or outputs.

    Raises:
        LimitExceeded: larger, before more is read than the count.
        PsbtEncoding, PrevtxTxid, PrevtxOutput, SecretMaterial: as `custody.bitcoin.psbt.read_psbt_file`.
        FieldForbidden, SighashForbidden: as `TransferPsbt.from_psbt`.
    """
    if len(data) > MAX_FILE:
        raise LimitExceeded(what="bytes of a transfer file", count=len(data), most=MAX_FILE)
    return TransferPsbt.from_psbt(read_psbt_file(data, most=MAX_MAPS), direction)


# Reading --------------------------------------------------------------------------------------------------------------


class _Fields:
    """The fields of one map, each on the list and within its limits, by type."""

    __slots__ = ("_keyed", "_kind", "_single", "where")

    def __init__(self, fields: PsbtMap, kind: type[Field], where: str, allowed: Mapping[int, int]) -> None:
        self.where = where
        self._kind = kind
        single: dict[int, bytes] = {}
        keyed: dict[int, list[tuple[bytes, bytes]]] = {}
        for key, value in fields.pairs:
            number = key[0]
            most = allowed.get(number)
            if most is None:
                raise self.forbidden(number, "is not a field of a vault transfer")
            if len(value) == _SECRET and number in _SCRIPTS[kind] and _is_private(value, _named_keys([fields])):
                raise SecretMaterial(where=f"{where} of the PSBT", what="a private key")
            if len(value) > most:
                raise self.forbidden(number, f"holds {len(value)} bytes; at most {most} are allowed")
            if len(key) == 1:
                single[number] = value
            elif number in keyed:
                keyed[number].append((key[1:], value))
            else:
                keyed[number] = [(key[1:], value)]
        self._single, self._keyed = single, keyed

    def forbidden(self, number: int, why: str) -> FieldForbidden:
        return FieldForbidden(where=self.where, field=field_name(self._kind, bytes((number,))), why=why)

    def get(self, number: int) -> bytes:
        """The value of the field that stands once in a map; empty when it is absent."""
        return self._single.get(number, b"")

    def by_key(self, number: int, size: int) -> list[tuple[bytes, bytes]]:
        """Key data and value of a field that stands once a key, ascending; key data of exactly `size` bytes."""
        found = self._keyed.get(number)
        if found is None:
            return []
        if len(found) > MAX_KEYS:
            raise self.forbidden(number, f"stands {len(found)} times; at most {MAX_KEYS} are allowed")
        for key, _ in found:
            if len(key) != size:
                raise self.forbidden(number, f"has a key of {len(key)} bytes; only {size} are allowed")
        return sorted(found)

    def key_paths(self, number: int, size: int = _COMPRESSED) -> KeyPaths:
        return KeyPaths.of_fields(self.by_key(number, size))


def _read_global(fields: PsbtMap) -> KeyPaths:
    known = _Fields(fields, GlobalField, "global map", _GLOBAL_ALLOWED)
    if known.get(GlobalField.TX_MODIFIABLE).strip(b"\x00"):
        raise known.forbidden(GlobalField.TX_MODIFIABLE, "lets signers change the transaction")
    return known.key_paths(GlobalField.XPUB, _XPUB)


def _read_input(fields: PsbtMap, index: int, direction: Direction) -> ProfileInput:
    allowed = _INPUT_TO_SIGNER if direction is Direction.TO_SIGNER else _INPUT_FROM_SIGNER
    known = _Fields(fields, InputField, f"input {index}", allowed)
    utxo = known.get(InputField.WITNESS_UTXO)
    sighash = known.get(InputField.SIGHASH_TYPE)
    if sighash and int.from_bytes(sighash, "little") != SIGHASH_ALL:
        raise _sighash(known, InputField.SIGHASH_TYPE, int.from_bytes(sighash, "little"))
    signatures = known.by_key(InputField.PARTIAL_SIG, _COMPRESSED)
    for _, signature in signatures:
        if signature[-1] != SIGHASH_ALL:
            raise _sighash(known, InputField.PARTIAL_SIG, signature[-1])
    return ProfileInput(
        previous_transaction=_without_witness(known.get(InputField.NON_WITNESS_UTXO)),
        # Checked by `psbt_fields`, and within its limit its script's length is one byte.
        witness_utxo=TxOut(int.from_bytes(utxo[:8], "little", signed=True), utxo[9:]) if utxo else None,
        witness_script=known.get(InputField.WITNESS_SCRIPT),
        redeem_script=known.get(InputField.REDEEM_SCRIPT),
        key_paths=known.key_paths(InputField.BIP32_DERIVATION),
        signatures=tuple(signatures),
        sighash_type=SIGHASH_ALL if sighash else None,
        final_script_sig=known.get(InputField.FINAL_SCRIPTSIG),
        final_witness=_read_final_witness(known),
    )


def _read_final_witness(known: _Fields) -> tuple[bytes, ...]:
    """Signatures between the item that CHECKMULTISIG drops and the script (BIP 141), each bounded and for ALL."""
    raw = known.get(InputField.FINAL_SCRIPTWITNESS)
    if not raw:
        return ()
    stack = Reader(raw).stack()
    if len(stack) > MAX_WITNESS_ITEMS:
        why = f"holds {len(stack)} items; at most {MAX_WITNESS_ITEMS} are allowed"
        raise known.forbidden(InputField.FINAL_SCRIPTWITNESS, why)
    for signature in stack[:-1]:
        if len(signature) > MAX_SIGNATURE:
            why = f"holds an item of {len(signature)} bytes; at most {MAX_SIGNATURE} are allowed before the script"
            raise known.forbidden(InputField.FINAL_SCRIPTWITNESS, why)
        if signature and signature[-1] != SIGHASH_ALL:
            raise _sighash(known, InputField.FINAL_SCRIPTWITNESS, signature[-1])
    if stack and len(stack[-1]) > MAX_SCRIPT:
        why = f"holds a script of {len(stack[-1])} bytes; at most {MAX_SCRIPT} are allowed"
        raise known.forbidden(InputField.FINAL_SCRIPTWITNESS, why)
    return stack


def _read_output(fields: PsbtMap, index: int) -> ProfileOutput:
    known = _Fields(fields, OutputField, f"output {index}", _OUTPUT_ALLOWED)
    return ProfileOutput(
        witness_script=known.get(OutputField.WITNESS_SCRIPT),
        redeem_script=known.get(OutputField.REDEEM_SCRIPT),
        key_paths=known.key_paths(OutputField.BIP32_DERIVATION),
    )


def _sighash(known: _Fields, kind: InputField, hash_type: int) -> SighashForbidden:
    return SighashForbidden(where=known.where, field=kind.name, hash_type=hash_type)


# Secrets --------------------------------------------------------------------------------------------------------------


def _refuse_private_keys(psbt: Psbt) -> None:
    """Look for private keys of the keys that `psbt` names, in the fields that no transfer carries.

    Such a field is refused anyway; whoever reads why must know that a key is exposed (THREATS C9). Only the first bytes
    of a field, and only so many fields, are looked at: the file may be made to keep us busy.
    """
    named = _named_keys((psbt.global_map, *psbt.inputs, *psbt.outputs))
    for where, candidate in itertools.islice(_candidates(psbt), _MOST_TRIES):
        if _is_private(candidate, named):
            raise SecretMaterial(where=f"{where} of the PSBT", what="a private key")


def _candidates(psbt: Psbt) -> Iterator[tuple[str, bytes]]:
    """Every 32 bytes in a row in the fields that are not on the list, and where."""
    for where, maps, allowed in (
        ("global map", (psbt.global_map,), _GLOBAL_ALLOWED),
        ("inputs", psbt.inputs, _INPUT_FROM_SIGNER),
        ("outputs", psbt.outputs, _OUTPUT_ALLOWED),
    ):
        for key, value in (pair for each in maps for pair in each.pairs if pair[0][0] not in allowed):
            for data in (key[1:_MOST_SEARCHED], value[:_MOST_SEARCHED]):
                for at in range(len(data) - _SECRET + 1):
                    yield where, data[at : at + _SECRET]


def _named_keys(maps: Iterable[PsbtMap]) -> frozenset[bytes]:
    """Every compressed public key that stands in a key of these maps, those of extended keys included."""
    keys = (key for each in maps for key, _ in each.pairs)
    return frozenset(key[-_COMPRESSED:] for key in keys if len(key) in (1 + _COMPRESSED, 1 + _XPUB))


def _is_private(secret: bytes, named: frozenset[bytes]) -> bool:
    """Whether `secret` (32 bytes) is the private key of one of `named`."""
    try:
        return public_key(secret) in named
    except ValueError:
        return False


# Writing --------------------------------------------------------------------------------------------------------------


def _once(kind: Field, value: bytes) -> list[tuple[bytes, bytes]]:
    return [(_TYPE[kind], value)] if value else []


def _by_key(kind: Field, values: tuple[tuple[bytes, bytes], ...]) -> list[tuple[bytes, bytes]]:
    if not values:
        return []
    prefix = _TYPE[kind]
    # tuple's own iteration: what KeyPaths holds, undecoded.
    return sorted([(prefix + key, value) for key, value in tuple.__iter__(values)])


def _without_witness(raw: bytes) -> bytes:
    # A witness is not in the txid, so whoever carries the file could fill it with anything.
    return PreviousTransaction(raw).stripped if raw[4:6] == b"\x00\x01" else raw
