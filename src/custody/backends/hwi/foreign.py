"""Which of our faults is this foreign exception?

hwilib turns part of what its drivers raise into `HWWError`s with a number, and lets the rest through: the vendors' own
classes, assertions, the operating system's errors. Whatever arrives here is given one of our names; what nothing here
knows is FAILED, with its class and text, so that nothing is ever lost.

Exceptions are told by the names of their classes: their modules exist only where that vendor's driver was loaded.
hwilib 3.2.0 is what was read.
"""

from __future__ import annotations

import re
from typing import Final

from custody.backends.hwi.errors import Fault
from custody.record import plain_reason


class Nonsense(Exception):
    """A driver's answer that cannot be true."""


def plain(text: str) -> str:
    """`text` fit to be shown: printable ASCII, at most 200 characters, keys and PSBTs cut out of it."""
    return plain_reason(_LONG.sub("...", text))


def judge(error: BaseException) -> tuple[Fault, str]:
    """The fault that stands for a foreign exception, and what to tell people of it."""
    names = tuple(each.__name__ for each in type(error).__mro__)
    # An OSError's own text would repeat paths, or list every place where a library was looked for.
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    reason = plain(f"{names[0]}: {text}" if text else names[0])
    for name, part, fault in _BY_TEXT:
        if name in names and part in text:
            return fault, reason
    if "HWWError" in names:
        return _HWI.get(getattr(error, "code", 0), Fault.FAILED), reason
    if "JadeError" in names:
        return _JADE.get(getattr(error, "code", 0), Fault.FAILED), reason
    for name in names:
        if name in _BY_NAME:
            return _BY_NAME[name], reason
    return Fault.FAILED, reason


def judge_report(code: object, text: str) -> tuple[Fault, str]:
    """The same for what hwilib reports of a device it could not open: an error number and a text (hwilib.errors)."""
    for _, part, fault in _BY_TEXT:
        if part in text:
            return fault, plain(text)
    return _HWI.get(code, Fault.FAILED) if isinstance(code, int) else Fault.FAILED, plain(text)


_LONG: Final = re.compile(r"[A-Za-z0-9+/=]{40,}")

_HWI: Final = {
    -3: Fault.NOT_FOUND,  # cannot connect
    -4: Fault.UNSUPPORTED,  # unknown type
    -5: Fault.UNSUPPORTED,  # invalid transaction, by hwilib's reader
    -6: Fault.LOCKED,  # password needed
    -7: Fault.UNSUPPORTED,  # bad argument: what devices say to a request they do not take
    -8: Fault.UNSUPPORTED,
    -9: Fault.UNSUPPORTED,
    -12: Fault.LOCKED,  # not ready
    -14: Fault.REFUSED,
    -15: Fault.BUSY,
    -16: Fault.NOT_FOUND,  # only root may
    -18: Fault.LOCKED,  # not set up
}

_JADE: Final = {-32000: Fault.REFUSED, -32002: Fault.LOCKED, -32003: Fault.UNSUPPORTED}

# Where a class says less than its text.
_BY_TEXT: Final = (
    ("ModuleNotFoundError", "hwilib", Fault.EXTRA_MISSING),
    ("FileNotFoundError", "libusb", Fault.LIBRARY_MISSING),
    ("RuntimeError", "MiTM", Fault.PROTOCOL),  # Coldcard: the signature over the session key is wrong
    ("RuntimeError", "Cannot connect to simulator", Fault.NOT_FOUND),
    ("AssertionError", "any secrets yet", Fault.LOCKED),  # Coldcard without a seed
    ("NotImplementedError", "get_pin", Fault.LOCKED),  # Trezor One: the PIN would be typed on this machine
    ("OSError", "exclusively lock", Fault.BUSY),  # a serial port that another program has
    ("OSError", "Resource busy", Fault.BUSY),
    ("OSError", "open failed", Fault.NOT_FOUND),  # hidapi: not there, or not allowed
    ("BadArgumentError", "Could not find device by path", Fault.NOT_FOUND),
    ("BadArgumentError", "Multisig wallet with those fingerprints not found", Fault.NOT_ENROLLED),  # Coldcard
    # Trezor's driver swallows the holder's no, asks again for each cosigner and ends with this.
    ("BadArgumentError", "No path supplied matched device keys", Fault.REFUSED),
    ("DeviceConnectionError", "locked", Fault.LOCKED),
    ("DeviceConnectionError", "asleep", Fault.LOCKED),
    ("DeviceConnectionError", "Testnet app", Fault.LOCKED),
    ("DeviceConnectionError", "Network/chain", Fault.UNSUPPORTED),
    ("UnknownDeviceError", "0x5515", Fault.LOCKED),  # Ledger's status word for a locked device
    ("ApduException", "0x5515", Fault.LOCKED),
    ("TrezorFailure", "ActionCancelled", Fault.REFUSED),
    ("TrezorFailure", "Pin", Fault.LOCKED),
    ("TrezorFailure", "NotInitialized", Fault.LOCKED),
)

_BY_NAME: Final = {
    "BlockingIOError": Fault.BUSY,
    "CCBusyError": Fault.BUSY,
    "CCProtoError": Fault.UNSUPPORTED,
    "CCUserRefused": Fault.REFUSED,
    "Cancelled": Fault.REFUSED,
    "ClaNotSupportedError": Fault.UNSUPPORTED,
    "ConnectionRefusedError": Fault.NOT_FOUND,
    "DenyError": Fault.REFUSED,
    "FileNotFoundError": Fault.NOT_FOUND,
    "FirmwareVersionOutdatedException": Fault.UNSUPPORTED,
    "ImportError": Fault.LIBRARY_MISSING,
    "InsNotSupportedError": Fault.UNSUPPORTED,
    "LibraryVersionOutdatedException": Fault.UNSUPPORTED,
    "NoneFoundException": Fault.NOT_FOUND,
    "Nonsense": Fault.PROTOCOL,
    "NotSupportedError": Fault.UNSUPPORTED,
    "OutdatedFirmwareError": Fault.UNSUPPORTED,
    "PermissionError": Fault.NOT_FOUND,
    "PinException": Fault.LOCKED,
    "SecurityStatusNotSatisfiedError": Fault.REFUSED,
    "SerialException": Fault.NOT_FOUND,
    "USBErrorAccess": Fault.NOT_FOUND,
    "USBErrorBusy": Fault.BUSY,
    "USBErrorNoDevice": Fault.NOT_FOUND,
    "USBErrorNotFound": Fault.NOT_FOUND,
    "UnsupportedException": Fault.UNSUPPORTED,
    "UserAbortException": Fault.REFUSED,
}
