"""Which fields does a PSBT know, and what must the key and the value of each look like?

One rule a field: the length of its key data, the shape of its value, public keys that are points of the curve, numbers
in range, Taproot trees that are whole. A rule says what is wrong in words, never with the value, which may be secret. A
type that is not listed is somebody else's field and passes, as BIP 174 asks; `profile` refuses such fields.

Not here: how maps follow each other, what must be present and what depends on two fields (`psbt`), what a vault
transfer may carry (`profile`). Of silent payments (BIP 375) only the lengths are known; what they prove is not read.

Sources: BIP 174 (version 0), BIP 370 (version 2), BIP 371 (Taproot), BIP 373 (MuSig2), BIP 375 (lengths).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from custody.bitcoin.curve import is_public_key
from custody.bitcoin.serialize import WIDE, Reader
from custody.bounds import LimitExceeded
from custody.record import SecretMaterial

LOCKTIME_THRESHOLD: Final = 500_000_000
"""Locktimes below are block heights, from here on Unix seconds."""
MAX_STACK: Final = 1_003
"""Witness items of one input: what a tapscript may begin with, its script, control block and annex (BIP 341, 342)."""
MAX_TAPROOT_DEPTH: Final = 128
"""Longest path in a script tree (BIP 341)."""


class GlobalField(IntEnum):
    """Types of the global map."""

    UNSIGNED_TX = 0x00
    XPUB = 0x01
    TX_VERSION = 0x02
    FALLBACK_LOCKTIME = 0x03
    INPUT_COUNT = 0x04
    OUTPUT_COUNT = 0x05
    TX_MODIFIABLE = 0x06
    SP_ECDH_SHARE = 0x07
    SP_DLEQ = 0x08
    VERSION = 0xFB
    PROPRIETARY = 0xFC


class InputField(IntEnum):
    """Types of an input map."""

    NON_WITNESS_UTXO = 0x00
    WITNESS_UTXO = 0x01
    PARTIAL_SIG = 0x02
    SIGHASH_TYPE = 0x03
    REDEEM_SCRIPT = 0x04
    WITNESS_SCRIPT = 0x05
    BIP32_DERIVATION = 0x06
    FINAL_SCRIPTSIG = 0x07
    FINAL_SCRIPTWITNESS = 0x08
    POR_COMMITMENT = 0x09
    RIPEMD160 = 0x0A
    SHA256 = 0x0B
    HASH160 = 0x0C
    HASH256 = 0x0D
    PREVIOUS_TXID = 0x0E
    OUTPUT_INDEX = 0x0F
    SEQUENCE = 0x10
    REQUIRED_TIME_LOCKTIME = 0x11
    REQUIRED_HEIGHT_LOCKTIME = 0x12
    TAP_KEY_SIG = 0x13
    TAP_SCRIPT_SIG = 0x14
    TAP_LEAF_SCRIPT = 0x15
    TAP_BIP32_DERIVATION = 0x16
    TAP_INTERNAL_KEY = 0x17
    TAP_MERKLE_ROOT = 0x18
    MUSIG2_PARTICIPANT_PUBKEYS = 0x1A
    MUSIG2_PUB_NONCE = 0x1B
    MUSIG2_PARTIAL_SIG = 0x1C
    SP_ECDH_SHARE = 0x1D
    SP_DLEQ = 0x1E
    PROPRIETARY = 0xFC


class OutputField(IntEnum):
    """Types of an output map."""

    REDEEM_SCRIPT = 0x00
    WITNESS_SCRIPT = 0x01
    BIP32_DERIVATION = 0x02
    AMOUNT = 0x03
    SCRIPT = 0x04
    TAP_INTERNAL_KEY = 0x05
    TAP_TREE = 0x06
    TAP_BIP32_DERIVATION = 0x07
    MUSIG2_PARTICIPANT_PUBKEYS = 0x08
    SP_V0_INFO = 0x09
    SP_V0_LABEL = 0x0A
    PROPRIETARY = 0xFC


Field = GlobalField | InputField | OutputField
Rule = Callable[[bytes, bytes], str | None]
"""From a whole key (type included) and its value to what is wrong with them, or None. It may also raise
TransactionEncoding with that in `what`: rules read with `Reader`."""
Rules = Mapping[int, Rule]
"""First byte of the key to its rule; a type without one is unknown."""


def field_name(kind: type[Field], key: bytes) -> str:
    """How to call a field in an error: its name in the BIP, or its type in hexadecimal."""
    try:
        return kind(key[0]).name
    except ValueError:
        return f"type 0x{key[0]:02x}"


# Public keys --------------------------------------------------------------------------------------------------------


def _check_key(key: bytes) -> str | None:
    """Length and first byte of the public key in a key; hybrid keys (06, 07) are nobody's and refused.

    Not whether it is a point: that costs more than all the rest of a large PSBT, and these keys count for something
    only where they equal one that a vault's descriptor gives.
    """
    size = len(key) - 1
    if (size == _COMPRESSED and key[1] in _COMPRESSED_PREFIX) or (size == _UNCOMPRESSED and key[1] == _WHOLE_PREFIX):
        return None
    return "its key is not a public key"


def _check_participants(value: bytes) -> str | None:
    if not value or len(value) % _COMPRESSED:
        return f"its value is not a list of {_COMPRESSED}-byte keys"
    if not all(is_public_key(value[at : at + _COMPRESSED]) for at in range(0, len(value), _COMPRESSED)):
        return "a participant's key is not a public key"
    return None


# Rules with key data ------------------------------------------------------------------------------------------------


def _check_path(value: bytes) -> str | None:
    # A fingerprint, then child numbers of four bytes each.
    return "its value is not a fingerprint and a path" if not value or len(value) % 4 else None


def _derivation(key: bytes, value: bytes) -> str | None:
    # Most fields of a large PSBT are these, and nearly all are right: one look at both before asking what is wrong.
    if len(key) == 1 + _COMPRESSED and key[1] in _COMPRESSED_PREFIX and value and not len(value) % 4:
        return None
    return _check_path(value) or _check_key(key)


def _partial_signature(key: bytes, value: bytes) -> str | None:
    return _check_key(key) if value else "its signature is empty"


def _xpub(key: bytes, value: bytes) -> str | None:
    if len(key) != 1 + _XPUB:
        return f"its key data is {len(key) - 1} bytes instead of {_XPUB}"
    if key[_XPUB_POINT] == 0:
        # An extended private key stores a zero and the secret where a public one stores the point (BIP 32).
        raise SecretMaterial(where="global map of the PSBT", what="an extended private key")
    if not is_public_key(key[_XPUB_POINT:]):
        return "its key is not a public key"
    depth = key[5]
    return None if len(value) == 4 + 4 * depth else f"its path does not have the {depth} steps of the key's depth"


def _preimage(size: int) -> Rule:
    def rule(key: bytes, value: bytes) -> str | None:  # noqa: ARG001 - every rule has this shape
        return None if len(key) == 1 + size else f"its key data is {len(key) - 1} bytes instead of {size}"

    return rule


def _tap_script_signature(key: bytes, value: bytes) -> str | None:
    if len(key) != 1 + 64:
        return f"its key data is {len(key) - 1} bytes instead of 64"
    return _check_schnorr(value)


def _tap_leaf_script(key: bytes, value: bytes) -> str | None:
    path, rest = divmod(len(key) - 1 - _CONTROL_BASE, 32)
    if rest or not 0 <= path <= MAX_TAPROOT_DEPTH:
        return f"its control block is {len(key) - 1} bytes"
    return None if value else "it has no leaf version"


def _tap_derivation(key: bytes, value: bytes) -> str | None:
    if len(key) != 1 + 32:
        return f"its key is {len(key) - 1} bytes instead of 32"
    reader = Reader(value)
    reader.take(32 * reader.count(32, "leaf hashes"))
    return _check_path(reader.take(reader.remaining))


def _musig_participants(key: bytes, value: bytes) -> str | None:
    if len(key) != 1 + _COMPRESSED or not is_public_key(key[1:]):
        return "its aggregate key is not a public key of 33 bytes"
    return _check_participants(value)


def _musig_contribution(size: int) -> Rule:
    def rule(key: bytes, value: bytes) -> str | None:
        # Participant, aggregate, and for a script path the leaf hash.
        if len(key) - 1 not in (2 * _COMPRESSED, 2 * _COMPRESSED + 32):
            return f"its key data is {len(key) - 1} bytes instead of 66 or 98"
        if not is_public_key(key[1 : 1 + _COMPRESSED]) or not is_public_key(key[1 + _COMPRESSED : 1 + 2 * _COMPRESSED]):
            return "its participant or aggregate key is not a public key"
        return None if len(value) == size else f"its value is {len(value)} bytes instead of {size}"

    return rule


def _silent_payment(size: int) -> Rule:
    def rule(key: bytes, value: bytes) -> str | None:
        if len(key) != 1 + _COMPRESSED:
            return f"its key data is {len(key) - 1} bytes instead of {_COMPRESSED}"
        return None if len(value) == size else f"its value is {len(value)} bytes instead of {size}"

    return rule


def _proprietary(key: bytes, value: bytes) -> str | None:  # noqa: ARG001 - every rule has this shape
    reader = Reader(key, 1)
    reader.sized()
    reader.compact_size()
    return None


def _wide_type(key: bytes, value: bytes) -> str | None:  # noqa: ARG001 - every rule has this shape
    Reader(key).compact_size()
    return None


# Rules without key data ---------------------------------------------------------------------------------------------


def _any_value(key: bytes, value: bytes) -> str | None:  # noqa: ARG001 - every rule has this shape
    return None if len(key) == 1 else "it has key data"


def _plain(check: Callable[[bytes], str | None]) -> Rule:
    def rule(key: bytes, value: bytes) -> str | None:
        return check(value) if len(key) == 1 else "it has key data"

    return rule


def _fixed(size: int) -> Rule:
    def rule(key: bytes, value: bytes) -> str | None:
        if len(key) != 1:
            return "it has key data"
        return None if len(value) == size else f"its value is {len(value)} bytes instead of {size}"

    return rule


def _check_tx_out(value: bytes) -> str | None:
    # An amount, a length of one byte and that many bytes; only other shapes need a reader to tell what is wrong.
    if len(value) > _AMOUNT and value[_AMOUNT] < WIDE and len(value) == _AMOUNT + 1 + value[_AMOUNT]:
        return None
    reader = Reader(value)
    reader.i64()
    reader.sized()
    reader.finish()
    return None


def _check_stack(value: bytes) -> str | None:
    reader = Reader(value)
    # Counted before an item is made: 31 MB of empty ones took 12 seconds.
    if (count := Reader(value).count(1, "witness items")) > MAX_STACK:
        raise LimitExceeded(what="witness items of one input", count=count, most=MAX_STACK)
    reader.stack()
    reader.finish()
    return None


def _check_count(value: bytes) -> str | None:
    reader = Reader(value)
    reader.compact_size()
    reader.finish()
    return None


def _check_text(value: bytes) -> str | None:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return "its value is not UTF-8"
    return None


def _check_schnorr(value: bytes) -> str | None:
    return None if len(value) in (64, 65) else f"its signature is {len(value)} bytes instead of 64 or 65"


def _check_height(value: bytes) -> str | None:
    if len(value) != _LOCKTIME:
        return f"its value is {len(value)} bytes instead of {_LOCKTIME}"
    return None if 0 < int.from_bytes(value, "little") < LOCKTIME_THRESHOLD else "its value is not a block height"


def _check_time(value: bytes) -> str | None:
    if len(value) != _LOCKTIME:
        return f"its value is {len(value)} bytes instead of {_LOCKTIME}"
    return None if int.from_bytes(value, "little") >= LOCKTIME_THRESHOLD else "its value is not a time"


def _check_tree(value: bytes) -> str | None:
    """Leaves depth first; each must fit beside what is still open, and the last must close the root (BIP 371)."""
    if not value:
        return "its tree is empty"
    reader = Reader(value)
    waiting: list[int] = []  # depths of left halves that have no right half yet, each deeper than the one before it
    is_whole = False
    while reader.remaining:
        depth, version = reader.u8(), reader.u8()
        reader.sized()
        if depth > MAX_TAPROOT_DEPTH:
            return f"a leaf is {depth} levels deep"
        if version & 1:
            return "a leaf version is odd"
        if is_whole or (waiting and depth < waiting[-1]):
            return "its leaves do not form one tree"
        while waiting and waiting[-1] == depth:
            waiting.pop()
            depth -= 1
        is_whole = depth == 0
        if not is_whole:
            waiting.append(depth)
    return None if is_whole else "its tree lacks leaves"


def _only_in(version: int) -> Rule:
    def rule(key: bytes, value: bytes) -> str | None:  # noqa: ARG001 - every rule has this shape
        return f"it belongs to version {version} only"

    return rule


# Tables -------------------------------------------------------------------------------------------------------------

_COMPRESSED: Final = 33
_COMPRESSED_PREFIX: Final = (2, 3)
_UNCOMPRESSED: Final = 65
_WHOLE_PREFIX: Final = 4
_XPUB: Final = 78
_XPUB_POINT: Final = 1 + 45
_CONTROL_BASE: Final = 33
_LOCKTIME: Final = 4
_AMOUNT: Final = 8

_EVERYWHERE: Final[dict[int, Rule]] = {
    GlobalField.PROPRIETARY: _proprietary,
    0xFD: _wide_type,
    0xFE: _wide_type,
    0xFF: _wide_type,
}
_GLOBAL: Final[dict[int, Rule]] = _EVERYWHERE | {
    GlobalField.XPUB: _xpub,
    GlobalField.VERSION: _fixed(4),
}
_INPUT: Final[dict[int, Rule]] = _EVERYWHERE | {
    InputField.NON_WITNESS_UTXO: _any_value,  # psbt reads it, once for all inputs that carry the same
    InputField.WITNESS_UTXO: _plain(_check_tx_out),
    InputField.PARTIAL_SIG: _partial_signature,
    InputField.SIGHASH_TYPE: _fixed(4),
    InputField.REDEEM_SCRIPT: _any_value,
    InputField.WITNESS_SCRIPT: _any_value,
    InputField.BIP32_DERIVATION: _derivation,
    InputField.FINAL_SCRIPTSIG: _any_value,
    InputField.FINAL_SCRIPTWITNESS: _plain(_check_stack),
    InputField.POR_COMMITMENT: _plain(_check_text),
    InputField.RIPEMD160: _preimage(20),
    InputField.SHA256: _preimage(32),
    InputField.HASH160: _preimage(20),
    InputField.HASH256: _preimage(32),
    InputField.TAP_KEY_SIG: _plain(_check_schnorr),
    InputField.TAP_SCRIPT_SIG: _tap_script_signature,
    InputField.TAP_LEAF_SCRIPT: _tap_leaf_script,
    InputField.TAP_BIP32_DERIVATION: _tap_derivation,
    InputField.TAP_INTERNAL_KEY: _fixed(32),
    InputField.TAP_MERKLE_ROOT: _fixed(32),
    InputField.MUSIG2_PARTICIPANT_PUBKEYS: _musig_participants,
    InputField.MUSIG2_PUB_NONCE: _musig_contribution(66),
    InputField.MUSIG2_PARTIAL_SIG: _musig_contribution(32),
}
_OUTPUT: Final[dict[int, Rule]] = _EVERYWHERE | {
    OutputField.REDEEM_SCRIPT: _any_value,
    OutputField.WITNESS_SCRIPT: _any_value,
    OutputField.BIP32_DERIVATION: _derivation,
    OutputField.TAP_INTERNAL_KEY: _fixed(32),
    OutputField.TAP_TREE: _plain(_check_tree),
    OutputField.TAP_BIP32_DERIVATION: _tap_derivation,
    OutputField.MUSIG2_PARTICIPANT_PUBKEYS: _musig_participants,
}
_GLOBAL_V2: Final[dict[int, Rule]] = {
    GlobalField.TX_VERSION: _fixed(4),
    GlobalField.FALLBACK_LOCKTIME: _fixed(4),
    GlobalField.INPUT_COUNT: _plain(_check_count),
    GlobalField.OUTPUT_COUNT: _plain(_check_count),
    GlobalField.TX_MODIFIABLE: _fixed(1),
}
_INPUT_V2: Final[dict[int, Rule]] = {
    InputField.PREVIOUS_TXID: _fixed(32),
    InputField.OUTPUT_INDEX: _fixed(4),
    InputField.SEQUENCE: _fixed(4),
    InputField.REQUIRED_TIME_LOCKTIME: _plain(_check_time),
    InputField.REQUIRED_HEIGHT_LOCKTIME: _plain(_check_height),
}
_OUTPUT_V2: Final[dict[int, Rule]] = {
    OutputField.AMOUNT: _fixed(8),
    OutputField.SCRIPT: _any_value,
}
# Silent payments are of version 2 only; in version 0 their types are unknown ones.
_GLOBAL_SILENT: Final[dict[int, Rule]] = {
    GlobalField.SP_ECDH_SHARE: _silent_payment(33),
    GlobalField.SP_DLEQ: _silent_payment(64),
}
_INPUT_SILENT: Final[dict[int, Rule]] = {
    InputField.SP_ECDH_SHARE: _silent_payment(33),
    InputField.SP_DLEQ: _silent_payment(64),
}
_OUTPUT_SILENT: Final[dict[int, Rule]] = {OutputField.SP_V0_INFO: _fixed(66), OutputField.SP_V0_LABEL: _fixed(4)}


def _tables(
    shared: dict[int, Rule], v0: dict[int, Rule], v2: dict[int, Rule], silent: dict[int, Rule]
) -> Mapping[int, Rules]:
    """The rules of version 0 and of version 2; a field of the other version is known, and refused."""
    return MappingProxyType(
        {
            0: MappingProxyType(shared | dict.fromkeys(v2, _only_in(2)) | v0),
            2: MappingProxyType(shared | dict.fromkeys(v0, _only_in(0)) | v2 | silent),
        }
    )


GLOBAL_RULES: Final = _tables(_GLOBAL, {GlobalField.UNSIGNED_TX: _any_value}, _GLOBAL_V2, _GLOBAL_SILENT)
"""Rules of the global map, by PSBT version."""
INPUT_RULES: Final = _tables(_INPUT, {}, _INPUT_V2, _INPUT_SILENT)
"""Rules of an input map, by PSBT version."""
OUTPUT_RULES: Final = _tables(_OUTPUT, {}, _OUTPUT_V2, _OUTPUT_SILENT)
"""Rules of an output map, by PSBT version."""
