"""Who made the devices that hold a vault's keys, and do one maker's devices reach its threshold?

Whatever is wrong with a maker's random numbers or firmware is wrong with all of its devices at once, so they count as
one where it matters (THREATS B9, C10). A vault states a device for each of its cosigners, or none at all: then nothing
is known of makers, and whoever shows the vault says so.

What is stated is the word of those who signed the charter. No device is asked here, and none could be believed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from custody.errors import InvalidInput
from custody.record import Fingerprint, Record
from custody.vault.keys import PublicText


class VendorConcentration(InvalidInput, code="VENDOR_CONCENTRATION"):
    """A vault that one maker's devices can spend from alone."""

    message = "{count} devices of vault {vault} are made by {maker}, and {threshold} signatures are enough"
    hint = "Give some of the keys to devices of other makers: one flaw or one dishonest firmware could take every coin."
    vault: str
    maker: str
    count: int
    threshold: int


MAKERS: Final[Mapping[str, tuple[str, ...]]] = {
    "blockstream": ("jade",),
    "coinkite": ("coldcard", "tapsigner"),
    "cryptoadvance": ("specter", "specterdiy"),
    "foundation": ("foundationdevices", "passport"),
    "keepkey": ("shapeshift",),
    "keystone": ("cobo", "cobovault"),
    "ledger": ("ledgersas",),
    "satoshilabs": ("trezor",),
    "shiftcrypto": ("bitbox", "bitbox02", "bitboxswiss", "digitalbitbox"),
    "software": ("file", "keyfile"),
}
"""Makers that are known here, with other names of theirs. A key in a file is made by "software"."""

_KNOWN_AS: Final = {other: maker for maker, others in MAKERS.items() for other in others}
_BETWEEN: Final = re.compile(r"[ ._-]")


def maker_called(name: str) -> str:
    """The one name of a maker, however it was spelled: `Coin-Kite` and `coldcard` are `coinkite`.

    A name that is not known here stays, in lower case and without blanks, dots, dashes and underscores.
    """
    folded = _BETWEEN.sub("", name).lower()
    return _KNOWN_AS.get(folded, folded)


def _under_its_one_name(maker: str) -> str:
    # Under two names, one maker would be counted as two.
    if maker != maker_called(maker):
        raise ValueError(f"this maker is called {maker_called(maker)}")
    return maker


Maker = Annotated[str, Field(pattern=r"^[a-z0-9]{1,40}$"), AfterValidator(_under_its_one_name)]
"""A maker's one name: lower-case letters and digits, so that case and spacing make no second one."""


class CosignerDevice(Record):
    """The device that holds one cosigner's key: who made it, and which model or firmware line it is.

    `is_deterministic` says that it signs with the nonces of RFC 6979: stations then ask it twice for every transfer.
    """

    kind: ClassVar[str] = "cosigner-device"

    fingerprint: Fingerprint
    maker: Maker
    model: PublicText
    is_deterministic: bool


def refuse_concentration(vault: str, threshold: int, devices: Iterable[CosignerDevice]) -> None:
    """Check that no maker's devices are as many as sign for `vault`.

    Raises:
        VendorConcentration: one maker's are.
    """
    counts = Counter(each.maker for each in devices)
    for maker, count in sorted(counts.items()):
        if count >= threshold:
            raise VendorConcentration(vault=vault, maker=maker, count=count, threshold=threshold)
