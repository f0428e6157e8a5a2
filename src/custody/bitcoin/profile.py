"""Which fields may a vault transfer carry to a signer and back, and what is the one way to write them?

A PSBT is also a place to hide things: BIP 174 passes unknown fields on, and a file that crosses an air gap can bring a
key out. So this is a list of what is allowed, in each direction; everything else is refused, whatever its size. What is
written is rebuilt from the values here, never copied from a file: version 0, the keys of each map in ascending order,
previous transactions without their witness (no txid commits to it). An input or output is of segwit v0 or of taproot,
never of both, and has one script. Signatures are for the whole transaction: SIGHASH_ALL, in the field and in the last
byte of every signature; in taproot DEFAULT, whose byte is not written.

Not here: whether the bytes are a PSBT (`psbt`), whether amounts, scripts, keys and signatures are right (`transfer`).
Finished inputs come back as fields; what they are worth is the combiner's to say. A signature by a taproot internal
key has no place here.

Sources: BIP 174, 370, 371; Bitcoin Core's policy.h for the size of a witness script. Sizes are bytes, amounts sats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from custody.bitcoin.key_paths import KeyPath, KeyPaths, TapKeyPaths
from custody.bitcoin.psbt import Psbt, PsbtMap, read_psbt_file
from custody.bitcoin.psbt_fields import Field, GlobalField, InputField, OutputField, field_name
from custody.bitcoin.psbt_secrets import SECRET, is_private, named_keys, refuse_private_keys
from custody.bitcoin.serialize import (
    Reader,
    compact_size,
    serialize_stack,
)
from custody.bitcoin.sighash import ALL, DEFAULT, TAPSCRIPT, tap_leaf_hash
from custody.bitcoin.taproot import CONTROL_BLOCK, SCHNORR_SIGNATURE, is_control_block, refuse_past_script
from custody.bitcoin.transaction import PreviousTransaction, Transaction, TxOut
from custody.bounds import LimitExceeded
from custody.errors import Refused
from custody.record import SecretMaterial
from custody.units import MAX_TRANSACTION_WEIGHT, WITNESS_SCALE

MAX_FILE: Final = 32_000_000
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
"""Most items of a final witness: an empty one, the signatures, the script; or in taproot a control block after it."""
_MAX_OUTPUT_SCRIPT: Final = 10_000
_COMPRESSED: Final = 33
_X_ONLY: Final = 32
_HASH: Final = 32
_XPUB: Final = 78
_STEP: Final = 4
_UTXO: Final = 8 + 1 + 42  # an amount, and the longest script that is a witness program (BIP 141)
_PATH: Final = _STEP + _STEP * MAX_PATH
_TYPE: Final = tuple(bytes((number,)) for number in range(256))
"""The key of a field that stands once in a map."""
_TAP_PATH: Final = 1 + _HASH + _PATH
_ONE_LEAF: Final = bytes([0, TAPSCRIPT])  # a tree's depth and leaf version before its only script
_LEAF: Final = len(_ONE_LEAF) + 3 + MAX_SCRIPT
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
    InputField.TAP_SCRIPT_SIG: SCHNORR_SIGNATURE + 1,
    InputField.TAP_LEAF_SCRIPT: MAX_SCRIPT + 1,
    InputField.TAP_BIP32_DERIVATION: _TAP_PATH,
    InputField.TAP_INTERNAL_KEY: _X_ONLY,
    InputField.TAP_MERKLE_ROOT: _HASH,
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
    OutputField.TAP_INTERNAL_KEY: _X_ONLY,
    OutputField.TAP_TREE: _LEAF,
    OutputField.TAP_BIP32_DERIVATION: _TAP_PATH,
}
# Where bytes of any kind may stand, so that a key of 32 would not be noticed.
_ANYTHING: Final[Mapping[type[Field], tuple[int, ...]]] = {
    GlobalField: (),
    InputField: (InputField.REDEEM_SCRIPT, InputField.WITNESS_SCRIPT, InputField.TAP_INTERNAL_KEY),
    OutputField: (OutputField.REDEEM_SCRIPT, OutputField.WITNESS_SCRIPT, OutputField.TAP_INTERNAL_KEY),
}
_TAPROOT: Final[Mapping[type[Field], frozenset[Field]]] = {
    kind: frozenset(each for each in kind if each.name.startswith("TAP_")) for kind in (InputField, OutputField)
}
_SEGWIT: Final[Mapping[type[Field], frozenset[Field]]] = {
    InputField: frozenset(
        {
            InputField.PARTIAL_SIG,
            InputField.REDEEM_SCRIPT,
            InputField.WITNESS_SCRIPT,
            InputField.BIP32_DERIVATION,
            InputField.FINAL_SCRIPTSIG,
        }
    ),
    OutputField: frozenset({OutputField.REDEEM_SCRIPT, OutputField.WITNESS_SCRIPT, OutputField.BIP32_DERIVATION}),
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

    message = "{where}: {field} asks for hash type 0x{hash_type:02x} instead of 0x01 (ALL; in taproot DEFAULT alone)"
    hint = "Sign the whole transaction (ALL or DEFAULT). If nobody chose another type, find out who changed this file."
    where: str
    field: str
    hash_type: int


class Direction(Enum):
    """Which way a file goes over the air gap."""

    TO_SIGNER = "to signer"
    FROM_SIGNER = "from signer"


@dataclass(frozen=True, slots=True)
class ProfileInput:
    """What a transfer says about one input. Absent scripts and bytes are empty.

    `previous_transaction` is raw and, once written or read, without witness. Keys are compressed (33 bytes), in taproot
    x-only (32). `signatures` by key are DER with the hash type byte, in taproot 64 bytes for the one leaf. `final_*`
    come from signers that finalise. The rest is taproot's: `leaf_script` without its version, `control_block`,
    `internal_key` (x-only), and `merkle_root`, which is the hash of the one leaf.
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
    leaf_script: bytes = b""
    control_block: bytes = b""
    internal_key: bytes = b""
    merkle_root: bytes = b""

    @property
    def scripts(self) -> tuple[tuple[str, bytes], ...]:
        """Its scripts and what commits to them, each with what people call it."""
        return (
            ("witness script", self.witness_script),
            ("redeem script", self.redeem_script),
            ("leaf script", self.leaf_script),
            ("control block", self.control_block),
            ("internal key", self.internal_key),
            ("merkle root", self.merkle_root),
        )

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
            self.leaf_script,
            self.control_block,
            self.internal_key,
            self.merkle_root,
        )

    def to_map(self) -> PsbtMap:
        """The PSBT map of this input, its keys in ascending order."""
        utxo = b"" if self.witness_utxo is None else self.witness_utxo.serialize()
        sighash = b"" if self.sighash_type is None else self.sighash_type.to_bytes(4, "little")
        witness = serialize_stack(self.final_witness) if self.final_witness else b""
        leaf = ((self.control_block, self.leaf_script + bytes([TAPSCRIPT])),) if self.leaf_script else ()
        signatures, schnorr = _by_kind(self.signatures)
        key_paths, tap_key_paths = _by_kind(self.key_paths)
        return PsbtMap(
            (
                *_once(InputField.NON_WITNESS_UTXO, _without_witness(self.previous_transaction)),
                *_once(InputField.WITNESS_UTXO, utxo),
                *_by_key(InputField.PARTIAL_SIG, signatures),
                *_once(InputField.SIGHASH_TYPE, sighash),
                *_once(InputField.REDEEM_SCRIPT, self.redeem_script),
                *_once(InputField.WITNESS_SCRIPT, self.witness_script),
                *_by_key(InputField.BIP32_DERIVATION, key_paths),
                *_once(InputField.FINAL_SCRIPTSIG, self.final_script_sig),
                *_once(InputField.FINAL_SCRIPTWITNESS, witness),
                *_by_key(InputField.TAP_SCRIPT_SIG, [(key + self.merkle_root, value) for key, value in schnorr]),
                *_by_key(InputField.TAP_LEAF_SCRIPT, leaf),
                *_by_key(InputField.TAP_BIP32_DERIVATION, tap_key_paths),
                *_once(InputField.TAP_INTERNAL_KEY, self.internal_key),
                *_once(InputField.TAP_MERKLE_ROOT, self.merkle_root),
            )
        )


@dataclass(frozen=True, slots=True)
class ProfileOutput:
    """What a transfer says about one output: how to recognise our own change. Fields as of `ProfileInput`."""

    witness_script: bytes = b""
    redeem_script: bytes = b""
    key_paths: tuple[tuple[bytes, KeyPath], ...] = ()
    leaf_script: bytes = b""
    internal_key: bytes = b""

    @property
    def scripts(self) -> tuple[tuple[str, bytes], ...]:
        """Its scripts and what commits to them, each with what people call it."""
        return (
            ("witness script", self.witness_script),
            ("redeem script", self.redeem_script),
            ("leaf script", self.leaf_script),
            ("internal key", self.internal_key),
        )

    def to_map(self) -> PsbtMap:
        """The PSBT map of this output, its keys in ascending order."""
        key_paths, tap_key_paths = _by_kind(self.key_paths)
        tree = _ONE_LEAF + compact_size(len(self.leaf_script)) + self.leaf_script if self.leaf_script else b""
        return PsbtMap(
            (
                *_once(OutputField.REDEEM_SCRIPT, self.redeem_script),
                *_once(OutputField.WITNESS_SCRIPT, self.witness_script),
                *_by_key(OutputField.BIP32_DERIVATION, key_paths),
                *_once(OutputField.TAP_INTERNAL_KEY, self.internal_key),
                *_once(OutputField.TAP_TREE, tree),
                *_by_key(OutputField.TAP_BIP32_DERIVATION, tap_key_paths),
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
            global_map=PsbtMap((*unsigned, *_by_key(GlobalField.XPUB, tuple.__iter__(self.account_keys)))),
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
                fields above its limit; fields of segwit v0 beside fields of taproot; more than one script.
            SighashForbidden: a hash type other than ALL in the field, or at the end of a partial or final signature; in
                taproot any but DEFAULT.
            TaprootKeypath: a final witness that spends by an internal key, or with an annex.
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
            refuse_private_keys(psbt, (_GLOBAL_ALLOWED, _INPUT_FROM_SIGNER, _OUTPUT_ALLOWED))
            raise


def read_transfer_file(data: bytes, direction: Direction) -> TransferPsbt:
    """Read a file that crossed the air gap, sizes first: at most 32 MB and 3,225 inputs or outputs.

    Raises:
        LimitExceeded: larger, before more is read than the count.
        PsbtEncoding, PrevtxTxid, PrevtxOutput, SecretMaterial: as `custody.bitcoin.psbt.read_psbt_file`.
        FieldForbidden, SighashForbidden, TaprootKeypath: as `TransferPsbt.from_psbt`.
    """
    if len(data) > MAX_FILE:
        raise LimitExceeded(what="bytes of a transfer file", count=len(data), most=MAX_FILE)
    return TransferPsbt.from_psbt(read_psbt_file(data, most=MAX_MAPS), direction)


# Reading --------------------------------------------------------------------------------------------------------------


class _Fields:
    """The fields of one map, each on the list and within its limits, by type."""

    __slots__ = ("_fields", "_keyed", "_kind", "_single", "where")

    def __init__(self, fields: PsbtMap, kind: type[Field], where: str, allowed: Mapping[int, int]) -> None:
        self.where = where
        self._fields = fields
        self._kind = kind
        single: dict[int, bytes] = {}
        keyed: dict[int, list[tuple[bytes, bytes]]] = {}
        for key, value in fields.pairs:
            number = key[0]
            most = allowed.get(number)
            if most is None:
                raise self.forbidden(number, "is not a field of a vault transfer")
            if len(value) == SECRET and number in _ANYTHING[kind]:
                self.refuse_private(value)
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

    def refuse_private(self, value: bytes) -> None:
        if is_private(value, named_keys([self._fields])):
            raise SecretMaterial(where=f"{self.where} of the PSBT", what="a private key")

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

    def tap_key_paths(self, number: int) -> TapKeyPaths:
        found = self.by_key(number, _X_ONLY)
        for _, value in found:
            if value[0] > 1:
                raise self.forbidden(number, f"says that a key stands in {value[0]} scripts; at most one is allowed")
        return TapKeyPaths.of_fields(found)

    def is_taproot(self) -> bool:
        """Whether it has fields of taproot, which exclude those of segwit v0."""
        taproot, segwit = _TAPROOT[self._kind], _SEGWIT[self._kind]
        if taproot.isdisjoint(self._single) and taproot.isdisjoint(self._keyed):
            return False
        for number in (*self._single, *self._keyed):
            if number in segwit:
                raise self.forbidden(number, "stands beside fields of taproot")
        return True


def _read_global(fields: PsbtMap) -> KeyPaths:
    known = _Fields(fields, GlobalField, "global map", _GLOBAL_ALLOWED)
    if known.get(GlobalField.TX_MODIFIABLE).strip(b"\x00"):
        raise known.forbidden(GlobalField.TX_MODIFIABLE, "lets signers change the transaction")
    return known.key_paths(GlobalField.XPUB, _XPUB)


def _read_input(fields: PsbtMap, index: int, direction: Direction) -> ProfileInput:
    allowed = _INPUT_TO_SIGNER if direction is Direction.TO_SIGNER else _INPUT_FROM_SIGNER
    known = _Fields(fields, InputField, f"input {index}", allowed)
    if known.is_taproot():
        return _read_taproot_input(known)
    signatures = known.by_key(InputField.PARTIAL_SIG, _COMPRESSED)
    for _, signature in signatures:
        if signature[-1] != ALL:
            raise _sighash(known, InputField.PARTIAL_SIG, signature[-1])
    return ProfileInput(
        previous_transaction=_without_witness(known.get(InputField.NON_WITNESS_UTXO)),
        witness_utxo=_read_utxo(known),
        witness_script=known.get(InputField.WITNESS_SCRIPT),
        redeem_script=known.get(InputField.REDEEM_SCRIPT),
        key_paths=known.key_paths(InputField.BIP32_DERIVATION),
        signatures=tuple(signatures),
        sighash_type=_read_sighash(known, ALL),
        final_script_sig=known.get(InputField.FINAL_SCRIPTSIG),
        final_witness=_read_final_witness(known),
    )


def _read_taproot_input(known: _Fields) -> ProfileInput:
    """What names a script names the same one: the leaf itself, the root above it, and each signature's leaf hash."""
    control_block, leaf_script = _read_leaf(known)
    signatures = known.by_key(InputField.TAP_SCRIPT_SIG, _X_ONLY + _HASH)
    for _, signature in signatures:
        if len(signature) != SCHNORR_SIGNATURE:
            raise _sighash(known, InputField.TAP_SCRIPT_SIG, signature[-1])
    roots = {key[_X_ONLY:] for key, _ in signatures} | {known.get(InputField.TAP_MERKLE_ROOT)} - {b""}
    own = {tap_leaf_hash(leaf_script)} if leaf_script else set()
    for root in roots - own:
        known.refuse_private(root)
    roots |= own
    if len(roots) > 1:
        raise known.forbidden(InputField.TAP_MERKLE_ROOT, "is not the hash of the one script that this input has")
    return ProfileInput(
        previous_transaction=_without_witness(known.get(InputField.NON_WITNESS_UTXO)),
        witness_utxo=_read_utxo(known),
        key_paths=known.tap_key_paths(InputField.TAP_BIP32_DERIVATION),
        signatures=tuple([(key[:_X_ONLY], signature) for key, signature in signatures]),
        sighash_type=_read_sighash(known, DEFAULT),
        final_witness=_read_final_witness(known),
        leaf_script=leaf_script,
        control_block=control_block,
        internal_key=known.get(InputField.TAP_INTERNAL_KEY),
        merkle_root=roots.pop() if roots else b"",
    )


def _read_utxo(known: _Fields) -> TxOut | None:
    utxo = known.get(InputField.WITNESS_UTXO)
    # Checked by `psbt_fields`, and within its limit its script's length is one byte.
    return TxOut(int.from_bytes(utxo[:8], "little", signed=True), utxo[9:]) if utxo else None


def _read_sighash(known: _Fields, wanted: int) -> int | None:
    value = known.get(InputField.SIGHASH_TYPE)
    if value and int.from_bytes(value, "little") != wanted:
        raise _sighash(known, InputField.SIGHASH_TYPE, int.from_bytes(value, "little"))
    return wanted if value else None


def _read_leaf(known: _Fields) -> tuple[bytes, bytes]:
    """Control block and script of the one leaf; both empty without one."""
    leaves = known.by_key(InputField.TAP_LEAF_SCRIPT, CONTROL_BLOCK)
    if not leaves:
        return b"", b""
    (control_block, leaf), *others = leaves
    if others:
        raise known.forbidden(InputField.TAP_LEAF_SCRIPT, f"stands {len(leaves)} times; one script is allowed")
    if len(leaf) == 1 or leaf[-1] != TAPSCRIPT or not is_control_block(control_block):
        raise known.forbidden(InputField.TAP_LEAF_SCRIPT, "is empty or of another version than tapscript")
    return control_block, leaf[:-1]


def _read_final_witness(known: _Fields) -> tuple[bytes, ...]:
    """Signatures and the script, each bounded, each signature for the whole transaction (BIP 141, BIP 341).

    In segwit v0 an empty item stands first, for CHECKMULTISIG; in taproot a control block last.
    """
    raw = known.get(InputField.FINAL_SCRIPTWITNESS)
    if not raw:
        return ()
    stack = Reader(raw).stack()
    if len(stack) > MAX_WITNESS_ITEMS:
        why = f"holds {len(stack)} items; at most {MAX_WITNESS_ITEMS} are allowed"
        raise known.forbidden(InputField.FINAL_SCRIPTWITNESS, why)
    refuse_past_script(stack, known.where)
    is_tapscript = len(stack) > 1 and is_control_block(stack[-1])
    *signatures, script = stack[:-1] if is_tapscript else stack or (b"",)
    for signature in signatures:
        if len(signature) > MAX_SIGNATURE:
            why = f"holds an item of {len(signature)} bytes; at most {MAX_SIGNATURE} are allowed before the script"
            raise known.forbidden(InputField.FINAL_SCRIPTWITNESS, why)
        is_whole = len(signature) == SCHNORR_SIGNATURE if is_tapscript else signature[-1:] == bytes([ALL])
        if signature and not is_whole:
            raise _sighash(known, InputField.FINAL_SCRIPTWITNESS, signature[-1])
    if len(script) > MAX_SCRIPT:
        why = f"holds a script of {len(script)} bytes; at most {MAX_SCRIPT} are allowed"
        raise known.forbidden(InputField.FINAL_SCRIPTWITNESS, why)
    return stack


def _read_output(fields: PsbtMap, index: int) -> ProfileOutput:
    known = _Fields(fields, OutputField, f"output {index}", _OUTPUT_ALLOWED)
    if not known.is_taproot():
        return ProfileOutput(
            witness_script=known.get(OutputField.WITNESS_SCRIPT),
            redeem_script=known.get(OutputField.REDEEM_SCRIPT),
            key_paths=known.key_paths(OutputField.BIP32_DERIVATION),
        )
    tree = known.get(OutputField.TAP_TREE)
    leaf_script = Reader(tree, len(_ONE_LEAF)).sized() if tree.startswith(_ONE_LEAF) else b""
    if tree and not leaf_script:
        raise known.forbidden(OutputField.TAP_TREE, "holds another tree than one tapscript")
    return ProfileOutput(
        key_paths=known.tap_key_paths(OutputField.TAP_BIP32_DERIVATION),
        leaf_script=leaf_script,
        internal_key=known.get(OutputField.TAP_INTERNAL_KEY),
    )


def _sighash(known: _Fields, kind: InputField, hash_type: int) -> SighashForbidden:
    return SighashForbidden(where=known.where, field=kind.name, hash_type=hash_type)


# Writing --------------------------------------------------------------------------------------------------------------


def _once(kind: Field, value: bytes) -> list[tuple[bytes, bytes]]:
    return [(_TYPE[kind], value)] if value else []


_Pairs = list[tuple[bytes, bytes]]


def _by_kind(values: tuple[tuple[bytes, bytes], ...]) -> tuple[_Pairs, _Pairs]:
    """What is said of keys of segwit v0, and of x-only ones."""
    # tuple's own iteration: what KeyPaths holds, undecoded.
    pairs = list(tuple.__iter__(values))
    x_only = [each for each in pairs if len(each[0]) == _X_ONLY]
    return (pairs, []) if not x_only else ([each for each in pairs if len(each[0]) != _X_ONLY], x_only)


def _by_key(kind: Field, values: Iterable[tuple[bytes, bytes]]) -> _Pairs:
    prefix = _TYPE[kind]
    return sorted([(prefix + key, value) for key, value in values])


def _without_witness(raw: bytes) -> bytes:
    # A witness is not in the txid, so whoever carries the file could fill it with anything.
    return PreviousTransaction(raw).stripped if raw[4:6] == b"\x00\x01" else raw
