"""Which numbers and networks there are: whole sats, whole vbytes, whole sat/kvB, and the four networks.

Floats stand nowhere. Every division says which way it rounds.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from custody.errors import InvalidInput

COIN: Final = 100_000_000
MAX_MONEY: Final = 21_000_000 * COIN
WITNESS_SCALE: Final = 4
MAX_TRANSACTION_WEIGHT: Final = 400_000
"""Weight units of the heaviest transaction nodes relay (Bitcoin Core, MAX_STANDARD_TX_WEIGHT)."""
MAX_BLOCK_WEIGHT: Final = 4_000_000
"""Weight units of the heaviest block (BIP 141)."""
HARDENED: Final = 2**31
"""First hardened child number (BIP 32)."""


class AmountInvalid(InvalidInput, code="AMOUNT_INVALID"):
    """An amount that is not a whole number of sats."""

    message = "{shown} is not a whole number of sats"
    hint = "Write amounts in whole sats, such as 150000, or as a decimal with its unit, such as '0.0015 BTC'."
    shown: str


class AmountRange(InvalidInput, code="AMOUNT_RANGE"):
    """An amount below zero or above all the bitcoin there can be."""

    message = "amount {amount} sat is outside 0 to 2100000000000000 sat"
    hint = "Check the unit: amounts are in sats, not in BTC."
    amount: int


class IndexRange(InvalidInput, code="INDEX_RANGE"):
    """A child number that is negative or hardened."""

    message = "index {index} is outside 0 to 2147483647"
    hint = "Address indexes are unhardened child numbers (BIP 32): use one below 2^31."
    index: int


class RateInvalid(InvalidInput, code="RATE_INVALID"):
    """A text that is no fee rate."""

    message = "{shown} is not a fee rate"
    hint = "Write it with its unit, such as 12.5sat/vB, or in whole sats for a thousand vbytes, such as 12500."
    shown: str


class RateFine(InvalidInput, code="RATE_FINE"):
    """A fee rate with a part of a sat for a thousand vbytes."""

    message = "fee rate {shown} is finer than 1 sat/kvB, which is 0.001 sat/vB"
    hint = "Write three digits behind the point at most, such as 12.345sat/vB; in sat/kvB none."
    shown: str


class RateRange(InvalidInput, code="RATE_RANGE"):
    """A fee rate that is too low or too high to be one."""

    message = "fee rate {rate} sat/kvB is outside {least} to 2100000000000000 sat/kvB"
    hint = "Check the unit: a number without one is in sat/kvB, and 1 sat/vB is 1000 of them."
    rate: int
    least: int


def check_amount(amount: object) -> int:
    """`amount` itself when it is a whole number of sats between 0 and 21 million BTC.

    Raises:
        AmountInvalid: it is no whole number.
        AmountRange: it is out of range.
    """
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise AmountInvalid(shown=_shown(repr(amount)))
    if not 0 <= amount <= MAX_MONEY:
        raise AmountRange(amount=amount)
    return amount


def _shown(text: str) -> str:
    """What was given instead of an amount, unless it is so long that it may be something private (THREATS C9)."""
    return ascii(text) if len(text) <= _MOST_SHOWN else f"a text of {len(text)} characters"


_MOST_SHOWN: Final = 24


def check_index(index: object) -> int:
    """`index` itself when it is an unhardened child number.

    Raises:
        IndexRange: it is negative or 2^31 or more.
    """
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < HARDENED:
        raise IndexRange(index=index if isinstance(index, int) else -1)
    return index


Sat = Annotated[int, BeforeValidator(check_amount)]
"""Whole sats, 0 to 21 million BTC."""
Index = Annotated[int, BeforeValidator(check_index)]
"""An unhardened BIP 32 child number."""
VBytes = Annotated[int, Field(ge=0, le=2**32)]
Weight = Annotated[int, Field(ge=0, le=2**34)]
FeeRate = Annotated[int, Field(ge=0, le=MAX_MONEY)]
"""Whole sats for a thousand vbytes (sat/kvB)."""
Height = Annotated[int, Field(ge=0, le=2**31 - 1)]
UnixTime = Annotated[int, Field(ge=0, le=2**40)]
"""Whole seconds since 1970-01-01 UTC."""
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Any other whole number; RFC 8785 loses precision above 2^53."""


def vsize(weight: int) -> int:
    """Virtual bytes of `weight` units, rounded up (BIP 141)."""
    return -(-weight // WITNESS_SCALE)


def fee_at(rate: int, vbytes: int) -> int:
    """Sats that `vbytes` cost at `rate` sat/kvB, rounded up so that the rate is reached."""
    return -(-rate * vbytes // 1000)


def rate_of(fee: int, vbytes: int) -> int:
    """sat/kvB that `fee` comes to, rounded up so that a ceiling is never passed by rounding."""
    return -(-fee * 1000 // vbytes)


_AMOUNT = re.compile(
    r"(?P<whole>[0-9]{1,16})(?:\.(?P<part>[0-9]{1,8}))?\s*(?P<unit>sats?|btc)?", re.ASCII | re.IGNORECASE
)


def parse_amount(text: str) -> int:
    """Sats written by a person: `150000`, `150000 sat` or `0.0015 BTC`.

    Raises:
        AmountInvalid: the text is none of these.
        AmountRange: the amount is out of range.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise AmountInvalid(shown=_shown(text))
    is_bitcoin = (match["unit"] or "").lower() == "btc"
    if not is_bitcoin:
        if match["part"]:
            raise AmountInvalid(shown=_shown(text))
        return check_amount(int(match["whole"]))
    return check_amount(int(match["whole"]) * COIN + int((match["part"] or "").ljust(8, "0")))


def show_amount(amount: int) -> str:
    """`amount` sats for a person: `0.00150000 BTC`."""
    return f"{amount // COIN}.{amount % COIN:08d} BTC"


_RATE = re.compile(
    r"(?P<whole>[0-9]{1,16})(?:\.(?P<part>[0-9]{1,16}))?\s*(?P<unit>sats?/k?vb)?", re.ASCII | re.IGNORECASE
)
_RATE_DIGITS: Final = 3
"""Digits of sat/vB behind the point: one in the last place is 1 sat/kvB."""


def parse_rate(text: str, least: int = 0) -> int:
    """sat/kvB written by a person: `12500`, `12500 sat/kvB` or `12.5 sat/vB`.

    Raises:
        RateInvalid: the text is none of these.
        RateFine: it has a part of a sat/kvB.
        RateRange: it is below `least`, or more than all the bitcoin there can be.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise RateInvalid(shown=_shown(text))
    unit, part = (match["unit"] or "").lower(), match["part"] or ""
    if part and not unit:
        raise RateInvalid(shown=_shown(text))  # which unit was meant, nobody knows
    digits = _RATE_DIGITS if unit.endswith("/vb") else 0
    if part[digits:].strip("0"):
        raise RateFine(shown=_shown(text))
    rate = int(match["whole"] + part[:digits].ljust(digits, "0"))
    if not least <= rate <= MAX_MONEY:
        raise RateRange(rate=rate, least=least)
    return rate


def show_rate(rate: int) -> str:
    """`rate` sat/kvB for a person: `5.000 sat/vB`."""
    return f"{rate // 1000}.{rate % 1000:03d} sat/vB"


class Network(StrEnum):
    """A Bitcoin network. Tests and the demo use REGTEST."""

    MAIN = "main"
    TESTNET4 = "testnet4"
    SIGNET = "signet"
    REGTEST = "regtest"

    @property
    def hrp(self) -> str:
        """Human-readable part of segwit addresses (BIP 173)."""
        return {Network.MAIN: "bc", Network.REGTEST: "bcrt"}.get(self, "tb")

    @property
    def coin_type(self) -> int:
        """Coin type in derivation paths, hardened there (SLIP 44)."""
        return 0 if self is Network.MAIN else 1

    @property
    def xpub_version(self) -> bytes:
        """Version bytes of an extended public key (BIP 32)."""
        return bytes.fromhex("0488b21e" if self is Network.MAIN else "043587cf")

    @property
    def p2sh_version(self) -> int:
        """Version byte of a P2SH address (BIP 13)."""
        return 5 if self is Network.MAIN else 196

    @property
    def p2pkh_version(self) -> int:
        """Version byte of a P2PKH address."""
        return 0 if self is Network.MAIN else 111

    @property
    def genesis(self) -> str:
        """Hash of block 0 as nodes show it; signet's is shared by every challenge."""
        return _GENESIS[self]


_GENESIS: Final = {
    Network.MAIN: "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    Network.TESTNET4: "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
    Network.SIGNET: "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
    Network.REGTEST: "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
}
