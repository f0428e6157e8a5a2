"""What a locking script is, what its address is, and what it costs to spend its dust.

It builds and recognises the standard output types and reads and writes their addresses. It runs no script, and which
types a vault may pay is decided elsewhere. Scripts are `bytes`, amounts whole sats.

Sources: BIP 11, 13, 16, 141, 341 (output types), BIP 387 (multi_a), BIP 173 and 350 (segwit addresses), Bitcoin Core's
policy/policy.cpp (dust) and script/solver.cpp (recognition).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from custody.bitcoin import ripemd160 as _ripemd160
from custody.errors import InvalidInput, Refused
from custody.record import SecretMaterial
from custody.units import Network

MAX_MULTISIG_KEYS: Final = 20
MAX_SCRIPT_SIZE: Final = 10_000
"""Longer output scripts can never be spent (Bitcoin Core, MAX_SCRIPT_SIZE)."""

_OP_1NEGATE: Final = 0x4F
_OP_1: Final = 0x51
_OP_16: Final = 0x60
_OP_RETURN: Final = 0x6A
_OP_CHECKSIG: Final = 0xAC
_OP_CHECKMULTISIG: Final = 0xAE
_P2PKH: Final = (b"\x76\xa9\x14", b"\x88\xac")
_P2SH: Final = (b"\xa9\x14", b"\x87")
_ANCHOR: Final = bytes.fromhex("51024e73")


class NetworkMismatch(InvalidInput, code="NETWORK_MISMATCH"):
    """Something of one network where another's belongs."""

    message = "{what} belongs to {actual}, but {expected} is expected here"
    hint = "Check which network each file and address was made for; never move coins or keys between networks."
    what: str
    expected: str
    actual: str


class AddressInvalid(InvalidInput, code="ADDRESS_INVALID"):
    """Text that is no Bitcoin address. It is not shown: it may be something private pasted in the wrong place."""

    message = "this is not a valid address: {problem}"
    hint = "Copy the whole address again from where it was made, and compare it there character by character."
    problem: str


class OutputTypeRefused(Refused, code="OUTPUT_TYPE"):
    """An output script of a kind that has no place here."""

    message = "an output of type {output_type} is not allowed here (script {script})"
    hint = "Use an address of a standard type: P2PKH, P2SH, P2WPKH, P2WSH or P2TR."
    output_type: str
    script: str


class Base58Invalid(InvalidInput, code="BASE58_INVALID"):
    """Text that is not base58 with a checksum. It is not shown."""

    message = "this is not valid base58check text: {problem}"
    hint = "Copy the whole text again from where it was made; one wrong character is enough."
    problem: str


class OutputType(StrEnum):
    """What kind of locking script an output has, as Bitcoin Core's solver tells them apart."""

    P2PKH = "p2pkh"
    P2SH = "p2sh"
    P2WPKH = "p2wpkh"
    P2WSH = "p2wsh"
    P2TR = "p2tr"
    ANCHOR = "anchor"
    WITNESS_UNKNOWN = "witness-unknown"
    OP_RETURN = "op-return"
    BARE_MULTISIG = "bare-multisig"
    P2PK = "p2pk"
    UNKNOWN = "unknown"


# --- hashes --------------------------------------------------------------------------------------------------------


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def double_sha256(data: bytes) -> bytes:
    """SHA-256 of SHA-256, 32 bytes: transaction and block ids, checksums."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256, 20 bytes: P2SH and key hashes, BIP 32 fingerprints."""
    return _outer_hash160(hashlib.sha256(data).digest())


def _openssl_ripemd160(data: bytes) -> bytes:
    return hashlib.new("ripemd160", data).digest()


def _choose_ripemd160() -> bool:
    try:
        hashlib.new("ripemd160")
    except ValueError:
        return False
    return True


_outer_hash160: Final = _openssl_ripemd160 if _choose_ripemd160() else _ripemd160.ripemd160


# --- scripts -------------------------------------------------------------------------------------------------------


def push(data: bytes) -> bytes:
    """The shortest script that pushes `data` (BIP 62, rule 3): numbers -1 to 16 have opcodes of their own."""
    size = len(data)
    if size == 0:
        return b"\x00"
    if size == 1 and (1 <= data[0] <= 16 or data[0] == 0x81):  # noqa: PLR2004 - 0x81 is -1
        return bytes([_OP_1NEGATE if data[0] == 0x81 else _OP_1 - 1 + data[0]])  # noqa: PLR2004
    if size < 0x4C:  # noqa: PLR2004
        return bytes([size]) + data
    if size <= 0xFF:  # noqa: PLR2004
        return b"\x4c" + size.to_bytes(1, "little") + data
    if size <= 0xFFFF:  # noqa: PLR2004
        return b"\x4d" + size.to_bytes(2, "little") + data
    return b"\x4e" + size.to_bytes(4, "little") + data


def multisig_script(threshold: int, public_keys: Sequence[bytes]) -> bytes:
    """`threshold` of `public_keys` (33 bytes each), in the order given: the caller sorts (BIP 67).

    Raises:
        ValueError: unless 1 <= threshold <= number of keys <= 20 and every key has 33 bytes.
    """
    count = len(public_keys)
    if not 1 <= threshold <= count <= MAX_MULTISIG_KEYS or any(len(key) != 33 for key in public_keys):  # noqa: PLR2004
        raise ValueError("expected up to 20 compressed keys and a threshold that they can meet")
    keys = b"\x21".join(public_keys)
    return b"%b\x21%b%b\xae" % (_number(threshold), keys, _number(count))


def multisig_a_script(threshold: int, x_only_keys: Sequence[bytes]) -> bytes:
    """The tapscript that counts the signatures of `x_only_keys` (32 bytes each), in the order given, up to `threshold`.

    Each key is asked, and has an empty signature where it did not sign. Source: BIP 342, OP_CHECKSIGADD; BIP 387.

    Raises:
        ValueError: unless 1 <= threshold <= number of keys <= 20 and every key has 32 bytes.
    """
    count = len(x_only_keys)
    if not 1 <= threshold <= count <= MAX_MULTISIG_KEYS or any(len(key) != 32 for key in x_only_keys):  # noqa: PLR2004
        raise ValueError("expected up to 20 x-only keys and a threshold that they can meet")
    return b"\x20%b\xac%b%b\x9c" % (
        x_only_keys[0],
        b"".join([b"\x20%b\xba" % key for key in x_only_keys[1:]]),
        _number(threshold),
    )


def read_multisig(script: bytes) -> tuple[int, tuple[bytes, ...]] | None:
    """Threshold and keys of a multisig script, or None when `script` is none.

    Keys are told by size and first byte only, as Bitcoin Core does.
    """
    if len(script) < 3 or script[-1] != _OP_CHECKMULTISIG:  # noqa: PLR2004
        return None
    items = [_multisig_item(opcode, data) for opcode, data in _operations(script[:-1])]
    if len(items) < 3 or not isinstance(items[0], int) or not isinstance(items[-1], int):  # noqa: PLR2004
        return None
    threshold, count = items[0], items[-1]
    keys = tuple(item for item in items[1:-1] if isinstance(item, bytes))
    is_whole = len(keys) == len(items) - 2 == count
    return (threshold, keys) if is_whole and threshold <= count else None


def p2wsh(witness_script: bytes) -> bytes:
    """Pays whoever satisfies `witness_script` (BIP 141)."""
    return b"\x00\x20" + hashlib.sha256(witness_script).digest()


def p2sh(redeem_script: bytes) -> bytes:
    """Pays whoever satisfies `redeem_script` (BIP 16)."""
    return b"\xa9\x14%b\x87" % hash160(redeem_script)


def p2wpkh(key_hash: bytes) -> bytes:
    """Pays the key whose HASH160 is `key_hash` (20 bytes, BIP 141).

    Raises:
        ValueError: not 20 bytes.
    """
    return b"\x00\x14" + _sized(key_hash, 20)


def p2pkh(key_hash: bytes) -> bytes:
    """Pays the key whose HASH160 is `key_hash` (20 bytes).

    Raises:
        ValueError: not 20 bytes.
    """
    return b"\x76\xa9\x14%b\x88\xac" % _sized(key_hash, 20)


def p2tr(output_key: bytes) -> bytes:
    """Pays the x-only `output_key` (32 bytes, BIP 341).

    Raises:
        ValueError: not 32 bytes.
    """
    return b"\x51\x20" + _sized(output_key, 32)


def witness_program(script: bytes) -> tuple[int, bytes] | None:
    """Version (0 to 16) and program (2 to 40 bytes) when `script` is a witness program (BIP 141), else None."""
    if not 4 <= len(script) <= 42 or script[1] != len(script) - 2:  # noqa: PLR2004
        return None
    if script[0] == 0:
        return 0, script[2:]
    return (script[0] - _OP_1 + 1, script[2:]) if _OP_1 <= script[0] <= _OP_16 else None


def output_type(script: bytes) -> OutputType:
    """What kind of locking script this is."""
    program = witness_program(script)
    if program is not None:
        return _witness_type(script, *program)
    if len(script) == 25 and script.startswith(_P2PKH[0]) and script.endswith(_P2PKH[1]):  # noqa: PLR2004
        return OutputType.P2PKH
    if len(script) == 23 and script.startswith(_P2SH[0]) and script.endswith(_P2SH[1]):  # noqa: PLR2004
        return OutputType.P2SH
    if script[:1] == bytes([_OP_RETURN]) and all(opcode <= _OP_16 for opcode, _ in _operations(script[1:])):
        return OutputType.OP_RETURN
    if len(script) in {35, 67} and script[0] == len(script) - 2 and script[-1] == _OP_CHECKSIG:
        return OutputType.P2PK if _has_key_shape(script[1:-1]) else OutputType.UNKNOWN
    return OutputType.BARE_MULTISIG if read_multisig(script) is not None else OutputType.UNKNOWN


def dust_limit(script: bytes) -> int:
    """The smallest amount, in sats, that nodes relay to `script`; 0 when it can never be spent anyway.

    What creating the output and spending it again would cost at Bitcoin Core's default `-dustrelayfee`, 3 sat/vB. The
    sizes of a spend are that policy's round numbers (a signature of 107 bytes, a quarter of it in a witness).
    Source: Bitcoin Core, policy.cpp, GetDustThreshold.
    """
    if script[:1] == bytes([_OP_RETURN]) or len(script) > MAX_SCRIPT_SIZE:
        return 0
    output_size = 8 + (1 if len(script) < 0xFD else 3) + len(script)  # noqa: PLR2004
    spend_size = 32 + 4 + 1 + 4 + (107 // 4 if witness_program(script) else 107)
    return 3 * (output_size + spend_size)


def _witness_type(script: bytes, version: int, program: bytes) -> OutputType:
    if version == 0:
        return {20: OutputType.P2WPKH, 32: OutputType.P2WSH}.get(len(program), OutputType.UNKNOWN)
    if version == 1 and len(program) == 32:  # noqa: PLR2004
        return OutputType.P2TR
    return OutputType.ANCHOR if script == _ANCHOR else OutputType.WITNESS_UNKNOWN


def _number(value: int) -> bytes:
    return bytes([_OP_1 - 1 + value]) if value <= 16 else bytes([1, value])  # noqa: PLR2004


def _sized(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError(f"expected {size} bytes, got {len(data)}")
    return data


def _has_key_shape(key: bytes) -> bool:
    if len(key) == 33:  # noqa: PLR2004
        return key[0] in {2, 3}
    return len(key) == 65 and key[0] in {4, 6, 7}  # noqa: PLR2004


def _multisig_item(opcode: int, data: bytes) -> int | bytes | None:
    """A number 1 to 20 or a key, as a multisig script has them; None for anything else."""
    if _OP_1 <= opcode <= _OP_16:
        return opcode - _OP_1 + 1
    if opcode == 1 and 16 < data[0] <= MAX_MULTISIG_KEYS:  # noqa: PLR2004
        return data[0]
    return data if opcode == len(data) and _has_key_shape(data) else None


def _operations(script: bytes) -> Iterator[tuple[int, bytes]]:
    """Each opcode with what it pushes; a push beyond the end comes out as opcode 255 (OP_INVALIDOPCODE)."""
    at = 0
    while at < len(script):
        opcode = script[at]
        at += 1
        size = opcode
        if opcode > 0x4E:  # noqa: PLR2004 - no push with data
            yield opcode, b""
            continue
        if opcode >= 0x4C:  # noqa: PLR2004 - OP_PUSHDATA1, 2 and 4
            width = 1 << opcode - 0x4C
            size = int.from_bytes(script[at : at + width], "little") if at + width <= len(script) else len(script)
            at += width
        if at + size > len(script):
            yield 0xFF, b""
            return
        yield opcode, script[at : at + size]
        at += size


# --- addresses -----------------------------------------------------------------------------------------------------


def address(script: bytes, network: Network) -> str:
    """The address of `script` on `network`.

    Raises:
        OutputTypeRefused: the script has no address.
    """
    program = witness_program(script)
    kind = output_type(script)
    if program is not None and kind is not OutputType.UNKNOWN:
        return _segwit_address(network.hrp, *program)
    if kind is OutputType.P2PKH:
        return base58check_encode(bytes([network.p2pkh_version]) + script[3:23])
    if kind is OutputType.P2SH:
        return base58check_encode(bytes([network.p2sh_version]) + script[2:22])
    raise OutputTypeRefused(output_type=str(kind), script=script[:40].hex())


def script_of(address: str, network: Network) -> bytes:
    """The locking script that `address` on `network` stands for.

    Raises:
        AddressInvalid: misspelt, or of no type known.
        NetworkMismatch: a good address of another network.
        SecretMaterial: it is a private key.
    """
    # Python lowers some letters outside ASCII into it, the Kelvin sign to k: those would be other spellings.
    if not address.isascii():
        raise AddressInvalid(problem="it holds a character that is not ASCII")
    hrp, separator, _ = address.lower().rpartition("1")
    # Base58 text may hold a 1 anywhere, so what stands before it decides; no base58 address starts with an hrp and 1.
    if separator and hrp in _HRPS:
        return _segwit_script(address, network)
    return _base58_script(address, network)


_HRPS: Final = {
    "bc": (Network.MAIN,),
    "tb": (Network.TESTNET4, Network.SIGNET),
    "bcrt": (Network.REGTEST,),
}
_TEST_NETWORKS: Final = (Network.TESTNET4, Network.SIGNET, Network.REGTEST)
_VERSIONS: Final = {0: (Network.MAIN,), 5: (Network.MAIN,), 111: _TEST_NETWORKS, 196: _TEST_NETWORKS}
_PRIVATE_VERSIONS: Final = frozenset({0x80, 0xEF})


def _check_network(found: tuple[Network, ...], network: Network) -> None:
    if network not in found:
        raise NetworkMismatch(what="this address", expected=str(network), actual=" or ".join(found))


def _base58_script(address: str, network: Network) -> bytes:
    try:
        payload = base58check_decode(address)
    except Base58Invalid as error:
        raise AddressInvalid(problem=error.problem) from None
    if len(payload) in {33, 34} and payload[0] in _PRIVATE_VERSIONS:
        raise SecretMaterial(where="address", what="a private key (WIF)")
    if len(payload) == 78 and payload[45] == 0:  # noqa: PLR2004 - BIP 32: a private key is written 0x00 || key
        raise SecretMaterial(where="address", what="an extended private key")
    if len(payload) != 21 or payload[0] not in _VERSIONS:  # noqa: PLR2004
        raise AddressInvalid(problem="it is base58 text of another kind")
    _check_network(_VERSIONS[payload[0]], network)
    is_script = payload[0] in {Network.MAIN.p2sh_version, Network.REGTEST.p2sh_version}
    return b"\xa9\x14%b\x87" % payload[1:] if is_script else p2pkh(payload[1:])


# --- bech32 --------------------------------------------------------------------------------------------------------
# Two characters at a time: `_REMAINDERS` carries the checksum over ten bits and `_PAIRS` spells them.

_CHARSET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES: Final = {character: value for value, character in enumerate(_CHARSET)}
_PAIRS: Final = tuple(first + second for first in _CHARSET for second in _CHARSET)
_BECH32: Final = 1
_BECH32M: Final = 0x2BC830A3
_MAX_BECH32: Final = 90
_CHECKSUM: Final = 6


def _remainder(value: int, top: int) -> int:
    """One step of the checksum over a fresh `value`, for the five bits `top` that leave it."""
    for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
        value ^= generator if top >> bit & 1 else 0
    return value


_STEP: Final = tuple(_remainder(0, top) for top in range(32))


def _two_steps(top: int) -> int:
    value = _STEP[top >> 5]
    return (value & 0x1FFFFFF) << 5 ^ _STEP[value >> 25 ^ top & 31]


_REMAINDERS: Final = tuple(_two_steps(top) for top in range(1024))


def _polymod(state: int, values: Sequence[int]) -> int:
    for value in values:
        state = (state & 0x1FFFFFF) << 5 ^ value ^ _STEP[state >> 25]
    return state


@functools.lru_cache(maxsize=64)
def _prefix_state(hrp: str, version: int) -> int:
    """The checksum after the prefix and the version: the same for all addresses of one type."""
    letters = hrp.encode("ascii")
    return _polymod(1, [*(letter >> 5 for letter in letters), 0, *(letter & 31 for letter in letters), version])


def _segwit_address(hrp: str, version: int, program: bytes) -> str:
    state = _prefix_state(hrp, version)
    groups = -(-8 * len(program) // 5)
    bits = int.from_bytes(program, "big") << 5 * groups - 8 * len(program)
    text = ""
    for shift in range(5 * groups - 10, -1, -10):
        pair = bits >> shift & 1023
        state = (state & 0xFFFFF) << 10 ^ pair ^ _REMAINDERS[state >> 20]
        text += _PAIRS[pair]
    if groups % 2:
        state = _polymod(state, [bits & 31])
        text += _CHARSET[bits & 31]
    state = _polymod(state, [0] * _CHECKSUM) ^ (_BECH32M if version else _BECH32)
    return f"{hrp}1{_CHARSET[version]}{text}{_PAIRS[state >> 20]}{_PAIRS[state >> 10 & 1023]}{_PAIRS[state & 1023]}"


def _segwit_script(address: str, network: Network) -> bytes:
    """Steps as in BIP 173, "Decoding", and BIP 350: case, characters, checksum, version, padding, size."""
    lowered = address.lower()
    if len(address) > _MAX_BECH32:
        raise AddressInvalid(problem=f"it has more than {_MAX_BECH32} characters")
    if address not in (lowered, address.upper()):
        raise AddressInvalid(problem="it mixes capital and small letters")
    hrp, _, data = lowered.rpartition("1")
    values = [_VALUES.get(character, -1) for character in data]
    if -1 in values:
        raise AddressInvalid(problem=f"character {len(hrp) + 2 + values.index(-1)} cannot stand in an address")
    if len(values) < _CHECKSUM + 1:
        raise AddressInvalid(problem="it is too short")
    version, groups = values[0], values[1:-_CHECKSUM]
    checksum = _polymod(_prefix_state(hrp, version), values[1:])
    if checksum != (_BECH32M if version else _BECH32):
        raise AddressInvalid(problem="its checksum is wrong")
    program = _program(version, groups)
    _check_network(_HRPS[hrp], network)
    return bytes([version and _OP_1 - 1 + version, len(program)]) + program


def _program(version: int, groups: list[int]) -> bytes:
    bits = 0
    for group in groups:
        bits = bits << 5 | group
    size, padding = divmod(5 * len(groups), 8)
    if padding > 4 or bits & (1 << padding) - 1:  # noqa: PLR2004
        raise AddressInvalid(problem="it ends in bits that mean nothing")
    if version > 16 or not 2 <= size <= 40 or (version == 0 and size not in {20, 32}):  # noqa: PLR2004
        raise AddressInvalid(problem=f"witness version {version} has no program of {size} bytes")
    return (bits >> padding).to_bytes(size, "big")


# --- base58 --------------------------------------------------------------------------------------------------------

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {character: value for value, character in enumerate(_ALPHABET)}
_MAX_BASE58: Final = 512
"""Characters read at most: the time to read base58 grows with their square. An xpub has 111."""


def base58_encode(data: bytes) -> str:
    """`data` in base58, without checksum."""
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def base58_decode(text: str) -> bytes:
    """The bytes that `text` stands for, without looking for a checksum.

    Raises:
        Base58Invalid: another character, or more than 512 of them.
    """
    if len(text) > _MAX_BASE58:
        raise Base58Invalid(problem=f"it has more than {_MAX_BASE58} characters")
    number = 0
    for at, character in enumerate(text):
        digit = _DIGITS.get(character)
        if digit is None:
            raise Base58Invalid(problem=f"character {at + 1} cannot stand in base58")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base58check_encode(payload: bytes) -> str:
    """`payload` and the first four bytes of its double SHA-256 in base58."""
    return base58_encode(payload + double_sha256(payload)[:4])


def base58check_decode(text: str) -> bytes:
    """The payload of base58 `text`, its checksum checked and taken off.

    Raises:
        Base58Invalid: another character, too long, or a wrong checksum.
    """
    data = base58_decode(text)
    if len(data) < 4 or double_sha256(data[:-4])[:4] != data[-4:]:  # noqa: PLR2004
        raise Base58Invalid(problem="its checksum is wrong")
    return data[:-4]
