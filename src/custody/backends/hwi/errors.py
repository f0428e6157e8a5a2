"""How can a device fail, as the custodian in front of it must understand it?

hwilib and the vendors' drivers below it raise dozens of exceptions of their own, and report others as success. Here are
the few that a person can act upon, each with what to do next. Which foreign exception is which stands in `foreign`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from custody.errors import BackendError, CustodyError, InvalidInput, Refused

INSTALL_EXTRA: Final = "pip install '.[hwi]'"
INSTALL_LIBRARIES: Final = "apt install libusb-1.0-0 libudev1 (on macOS: brew install libusb)"


class Fault(StrEnum):
    """What went wrong with a device, in the words of the answer that its process gives."""

    BUSY = "busy"
    EXTRA_MISSING = "extra-missing"
    FAILED = "failed"
    LIBRARY_MISSING = "library-missing"
    LOCKED = "locked"
    NOT_ENROLLED = "not-enrolled"
    NOT_FOUND = "not-found"
    PROTOCOL = "protocol"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"


class DeviceNotFound(BackendError, code="DEVICE_NOT_FOUND"):
    """Nothing answers where a device was expected, or this program may not open it."""

    message = "{device} was not found: {reason}"
    hint = (
        "Plug the device in, unlock it and close other wallet programs. On Linux a user needs the vendor's udev rules "
        "to open it: docs/how-to/devices.md."
    )
    device: str
    reason: str


class DeviceAmbiguous(InvalidInput, code="DEVICE_AMBIGUOUS"):
    """Several devices fit, and this program does not choose for a custodian."""

    message = "{count} devices of type {device} are plugged in: {paths}"
    hint = "Unplug all but one, or name the one you mean: --device TYPE=PATH."
    device: str
    count: int
    paths: str


class DeviceBusy(BackendError, code="DEVICE_BUSY"):
    """Another program has the device, or it is still showing something else."""

    message = "{device} is busy: {reason}"
    hint = "Finish or cancel what its screen shows, close other wallet programs, and try again."
    device: str
    reason: str


class DeviceLocked(BackendError, code="DEVICE_LOCKED"):
    """A device that waits for its PIN, for its Bitcoin app to be opened, or to be set up."""

    message = "{device} is not ready: {reason}"
    hint = (
        "Unlock it with its PIN (a Trezor One or KeepKey: custody-station unlock), open its Bitcoin app where it has "
        "one (the test app on test networks), try again."
    )
    device: str
    reason: str


class DeviceTimeout(BackendError, code="DEVICE_TIMEOUT"):
    """A device that did not answer in time; its process was ended."""

    message = "{device} did not answer within {seconds} seconds"
    hint = "Look at its screen: it may wait for a button. Unplug it, plug it in again and repeat; nothing was taken."
    device: str
    seconds: int


class DeviceRefused(Refused, code="DEVICE_REFUSED"):
    """The person at the device said no."""

    message = "{device}: its holder said no: {reason}"
    hint = "If that was a mistake, ask again. If it was not, find out what its screen showed before anything is signed."
    device: str
    reason: str


class DeviceUnsupported(Refused, code="DEVICE_UNSUPPORTED"):
    """Something this kind of device, or its firmware, does not do."""

    message = "{device} does not do this: {reason}"
    hint = "See docs/how-to/devices.md for what each device can do; update its firmware, or use another cosigner."
    device: str
    reason: str


class DeviceNotEnrolled(Refused, code="DEVICE_NOT_ENROLLED"):
    """A device that signs only for vaults it was told of before."""

    message = "{device} does not know this vault: {reason}"
    hint = "Enrol the vault on the device first, and compare what it shows with the charter's descriptor."
    device: str
    reason: str


class DeviceMismatch(Refused, code="DEVICE_MISMATCH"):
    """Another device than the one expected, or the right one under another passphrase."""

    message = "{device} has fingerprint {actual}, not {expected}"
    hint = "Use the cosigner's own device. If it is the right one, its passphrase is another: enter that on the device."
    device: str
    expected: str
    actual: str


class DeviceAddress(Refused, code="DEVICE_ADDRESS"):
    """A device that shows another address than the vault's."""

    message = "{device} shows {shown}, but the vault's address there is {expected}"
    hint = "Let nobody pay to either. The vault on the device, or this machine's descriptor, was swapped: stop and ask."
    device: str
    shown: str
    expected: str


class DeviceEmulated(Refused, code="DEVICE_EMULATED"):
    """An emulator, whose keys lie in some program's memory, where coins have value."""

    message = "{device} is an emulator, and {network} coins have value"
    hint = "Use the device itself. Emulators are for regtest, signet and testnet4."
    device: str
    network: str


class DeviceFailed(BackendError, code="DEVICE_FAILED"):
    """A device or its driver that broke down in a way nothing else here describes."""

    message = "{device} failed: {reason}"
    hint = "Unplug it, plug it in again and repeat. If it fails again, update its firmware or use another cosigner."
    device: str
    reason: str


class DeviceSupportMissing(BackendError, code="DEVICE_SUPPORT_MISSING"):
    """A machine without the packages or libraries that talk to devices."""

    message = "this machine cannot talk to devices: {missing} is missing"
    hint = "Install it: {install}"
    missing: str
    install: str


class SignerProtocol(Refused, code="SIGNER_PROTOCOL"):
    """An answer that no honest device and driver give (THREATS C11)."""

    message = "{device} answered with nonsense: {problem}"
    hint = (
        "Nothing was taken from it. Check the device's firmware, unplug every other one, and repeat; if it happens "
        "again, treat the device and this machine as suspect."
    )
    device: str
    problem: str


def error_of(fault: Fault, device: str, reason: str) -> CustodyError:
    """The error that stands for `fault`; `device` and `reason` are what people are told."""
    return _BY_FAULT[fault](device, reason)


def _extra_missing(device: str, reason: str) -> CustodyError:
    return DeviceSupportMissing(missing=f"the package hwi, for {device} ({reason})", install=INSTALL_EXTRA)


def _library_missing(device: str, reason: str) -> CustodyError:
    return DeviceSupportMissing(missing=f"a library for {device} ({reason})", install=INSTALL_LIBRARIES)


_BY_FAULT: Final[Mapping[Fault, Callable[[str, str], CustodyError]]] = {
    Fault.BUSY: DeviceBusy,
    Fault.EXTRA_MISSING: _extra_missing,
    Fault.FAILED: DeviceFailed,
    Fault.LIBRARY_MISSING: _library_missing,
    Fault.LOCKED: DeviceLocked,
    Fault.NOT_ENROLLED: DeviceNotEnrolled,
    Fault.NOT_FOUND: DeviceNotFound,
    Fault.PROTOCOL: SignerProtocol,
    Fault.REFUSED: DeviceRefused,
    Fault.UNSUPPORTED: DeviceUnsupported,
}
