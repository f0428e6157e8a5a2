"""What exactly does a signature sign? The 32-byte digest of one input of a transaction.

Segwit version 0 (BIP 143) and taproot key and script paths (BIP 341, 342), all hash types. What is common to all inputs
is hashed once for a transaction, so that a thousand digests cost a thousand times one. Inputs older than segwit have no
digest here: a vault has none.

Which hash types are acceptable is decided elsewhere, and so are amounts: both classes take what they are told, and a
digest over a wrong amount is a digest that no valid signature fits. Amounts are sats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from custody.bitcoin.script import double_sha256, sha256
from custody.bitcoin.serialize import compact_size
from custody.bitcoin.transaction import Transaction, TxIn, TxOut
from custody.errors import InvalidInput
from custody.record import tagged_hash

DEFAULT: Final = 0
"""Taproot only: as ALL, but the signature has no hash type byte."""
ALL: Final = 1
NONE: Final = 2
SINGLE: Final = 3
ANYONE_CAN_PAY: Final = 0x80
TAPSCRIPT: Final = 0xC0
"""Leaf version of BIP 342 scripts."""
NO_CODE_SEPARATOR: Final = 0xFFFFFFFF

_TAPROOT_TYPES: Final = frozenset({DEFAULT, ALL, NONE, SINGLE, 0x81, 0x82, 0x83})
_ANNEX: Final = 0x50
_ZERO: Final = bytes(32)


class SighashUndefined(InvalidInput, code="SIGHASH_UNDEFINED"):
    """A hash type for which this input has no digest."""

    message = "input {index} has no digest for hash type {hash_type}: {problem}"
    hint = "Sign with hash type ALL (or DEFAULT, taproot only)."
    index: int
    hash_type: int
    problem: str


class SegwitV0:
    """The BIP 143 digests of one transaction: what all its inputs share is hashed here, once.

    The transaction may already carry signatures: they are not part of a digest.
    """

    __slots__ = ("_head", "_head_without_sequences", "_inputs", "_locktime", "_outputs", "_outputs_hash", "_version")

    def __init__(self, transaction: Transaction) -> None:
        self._inputs = transaction.inputs
        self._outputs = transaction.outputs
        self._version = _signed32(transaction.version)
        self._locktime = transaction.locktime.to_bytes(4, "little")
        prevouts = self._version + double_sha256(_prevouts(self._inputs))
        self._head = prevouts + double_sha256(_sequences(self._inputs))
        self._head_without_sequences = prevouts + _ZERO
        self._outputs_hash = double_sha256(b"".join(output.serialize() for output in self._outputs))

    def digest(self, index: int, script_code: bytes, amount: int, hash_type: int = ALL) -> bytes:
        """What a signature of input `index` signs, 32 bytes.

        `script_code` is the witness script for P2WSH (from behind the last executed OP_CODESEPARATOR) or the P2PKH
        script of the key for P2WPKH, without its length; `amount` is what the input spends, `hash_type` the byte at the
        end of the signature. Source: BIP 143, Specification.

        Raises:
            SighashUndefined: there is no such input, or the hash type is no byte.
        """
        spent = _input(self._inputs, index, hash_type)
        kind = hash_type & 0x1F
        if kind not in {NONE, SINGLE}:
            outputs = self._outputs_hash
        elif kind == SINGLE and index < len(self._outputs):
            outputs = double_sha256(self._outputs[index].serialize())
        else:
            outputs = _ZERO
        if hash_type & ANYONE_CAN_PAY:
            head = self._version + _ZERO + _ZERO
        else:
            head = self._head if kind not in {NONE, SINGLE} else self._head_without_sequences
        return double_sha256(
            b"".join(
                (
                    head,
                    spent.outpoint.to_bytes(),
                    compact_size(len(script_code)),
                    script_code,
                    _signed64(amount),
                    spent.sequence.to_bytes(4, "little"),
                    outputs,
                    self._locktime,
                    hash_type.to_bytes(4, "little"),
                )
            )
        )


class Taproot:
    """The BIP 341 digests of one transaction: what all its inputs share is hashed here, once.

    `spent` are the outputs its inputs spend, in their order, also those that are no taproot outputs: every signature
    signs all their amounts and scripts.

    Raises:
        ValueError: not as many outputs as inputs.
    """

    __slots__ = ("_all_inputs", "_head", "_inputs", "_outputs", "_outputs_hash", "_spent")

    def __init__(self, transaction: Transaction, spent: Sequence[TxOut]) -> None:
        if len(spent) != len(transaction.inputs):
            raise ValueError(f"{len(transaction.inputs)} inputs spend as many outputs, not {len(spent)}")
        self._inputs = transaction.inputs
        self._outputs = transaction.outputs
        self._spent = tuple(spent)
        self._head = _signed32(transaction.version) + transaction.locktime.to_bytes(4, "little")
        self._all_inputs = b"".join(
            (
                sha256(_prevouts(self._inputs)),
                sha256(b"".join(_signed64(output.amount) for output in spent)),
                sha256(b"".join(_sized(output.script_pubkey) for output in spent)),
                sha256(_sequences(self._inputs)),
            )
        )
        self._outputs_hash = sha256(b"".join(output.serialize() for output in self._outputs))

    def digest(
        self,
        index: int,
        hash_type: int = DEFAULT,
        *,
        leaf_hash: bytes | None = None,
        annex: bytes | None = None,
        code_separator: int = NO_CODE_SEPARATOR,
    ) -> bytes:
        """What a signature of input `index` signs, 32 bytes: the key path's, or with `leaf_hash` that script's.

        `annex` is given whole, with its 0x50; `code_separator` is the opcode position of the last one executed.
        Source: BIP 341, Common signature message; BIP 342, Signature validation.

        Raises:
            SighashUndefined: there is no such input; the hash type is none of the seven; SINGLE without an output at
                this index.
            ValueError: an annex that does not begin with 0x50, or a leaf hash that is not 32 bytes.
        """
        spent = _input(self._inputs, index, hash_type)
        if hash_type not in _TAPROOT_TYPES:
            raise SighashUndefined(index=index, hash_type=hash_type, problem="BIP 341 does not define it")
        if (annex is not None and annex[:1] != bytes([_ANNEX])) or (leaf_hash is not None and len(leaf_hash) != 32):  # noqa: PLR2004
            raise ValueError("expected an annex that begins with 0x50 and a leaf hash of 32 bytes")
        anyone, kind = hash_type & ANYONE_CAN_PAY, hash_type & 3
        parts = [bytes([0, hash_type]), self._head]
        if not anyone:
            parts.append(self._all_inputs)
        if kind not in {NONE, SINGLE}:
            parts.append(self._outputs_hash)
        parts.append(bytes([2 * (leaf_hash is not None) + (annex is not None)]))
        if anyone:
            parts += (spent.outpoint.to_bytes(), self._spent[index].serialize(), spent.sequence.to_bytes(4, "little"))
        else:
            parts.append(index.to_bytes(4, "little"))
        if annex is not None:
            parts.append(sha256(_sized(annex)))
        if kind == SINGLE:
            parts.append(self._single_output(index, hash_type))
        if leaf_hash is not None:
            parts += (leaf_hash, b"\x00", code_separator.to_bytes(4, "little"))
        return tagged_hash("TapSighash", b"".join(parts))

    def _single_output(self, index: int, hash_type: int) -> bytes:
        if index >= len(self._outputs):
            raise SighashUndefined(index=index, hash_type=hash_type, problem="no output stands at its place")
        return sha256(self._outputs[index].serialize())


class Sighashes:
    """The digests of one transaction whose signatures leave nothing of it open: ALL (segwit v0), DEFAULT (taproot).

    `spent` gives the output that an input spends, by the input's index. It is asked when a digest needs it: of segwit
    v0 for the input itself, of taproot for every input of the transaction. What inputs share is hashed once, when first
    asked for.
    """

    __slots__ = ("_segwit_v0", "_spent", "_taproot", "_transaction")

    def __init__(self, transaction: Transaction, spent: Callable[[int], TxOut]) -> None:
        self._transaction = transaction
        self._spent = spent
        self._segwit_v0: SegwitV0 | None = None
        self._taproot: Taproot | None = None

    def segwit_v0(self, index: int, script_code: bytes) -> bytes:
        """What a signature of input `index` signs with ALL. Raises as `SegwitV0.digest`, and what `spent` raises."""
        if self._segwit_v0 is None:
            self._segwit_v0 = SegwitV0(self._transaction)
        return self._segwit_v0.digest(index, script_code, self._spent(index).amount, ALL)

    def tapscript(self, index: int, leaf_hash: bytes) -> bytes:
        """What a signature of input `index` signs with DEFAULT, for the script of `leaf_hash` and without annex.

        Raises as `Taproot.digest`, and what `spent` raises.
        """
        if self._taproot is None:
            spent = [self._spent(each) for each in range(len(self._transaction.inputs))]
            self._taproot = Taproot(self._transaction, spent)
        return self._taproot.digest(index, DEFAULT, leaf_hash=leaf_hash)


def tap_leaf_hash(script: bytes, leaf_version: int = TAPSCRIPT) -> bytes:
    """The hash of one script of a taproot tree, 32 bytes. Source: BIP 341, Script validation rules."""
    return tagged_hash("TapLeaf", bytes([leaf_version]) + _sized(script))


def tap_branch(a: bytes, b: bytes) -> bytes:
    """The hash of the node above the nodes `a` and `b`, 32 bytes; their order does not matter. Source: BIP 341."""
    return tagged_hash("TapBranch", min(a, b) + max(a, b))


def tap_tweak(internal_key: bytes, root: bytes = b"") -> bytes:
    """What is added to the x-only `internal_key` to commit to the tree `root`; empty for no scripts. Source: BIP 341.

    `curve.x_only_tweak(internal_key, tap_tweak(internal_key, root))` is the output key.
    """
    return tagged_hash("TapTweak", internal_key + root)


def _input(inputs: Sequence[TxIn], index: int, hash_type: int) -> TxIn:
    if not 0 <= index < len(inputs):
        raise SighashUndefined(index=index, hash_type=hash_type, problem=f"there are {len(inputs)} inputs")
    if not 0 <= hash_type <= 0xFF:  # noqa: PLR2004
        raise SighashUndefined(index=index, hash_type=hash_type, problem="a hash type is one byte")
    return inputs[index]


def _prevouts(inputs: Iterable[TxIn]) -> bytes:
    return b"".join(spent.outpoint.to_bytes() for spent in inputs)


def _sequences(inputs: Iterable[TxIn]) -> bytes:
    return b"".join(spent.sequence.to_bytes(4, "little") for spent in inputs)


def _sized(data: bytes) -> bytes:
    return compact_size(len(data)) + data


def _signed32(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=True)


def _signed64(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)
