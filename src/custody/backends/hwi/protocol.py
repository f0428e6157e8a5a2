"""What is a device's process asked, and what may it answer?

One request on its standard input, one answer on its standard output, both records, so that an answer which is not
exactly of this shape is no answer. Every text in an answer came from a foreign driver or from the device: it is short,
printable ASCII here, and stands in errors only.

Times are seconds, sizes bytes. A device's process imports this, so it loads little.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from custody.backends.hwi.errors import Fault
from custody.record import MAX_REASON, Fingerprint, HexBytes, Record
from custody.units import Count, Network

MAX_SUBJECT: Final = 44_000_000
"""Characters of the largest PSBT in base64, a transfer file of 32 MB and some."""
MAX_SMALL_ANSWER: Final = 64 * 1024
MAX_SIGNED_ANSWER: Final = MAX_SUBJECT + MAX_SMALL_ANSWER
MAX_PATH: Final = 256
MAX_FOUND: Final = 64
"""Most devices one machine reports of one type."""

DEVICE_TYPE: Final = re.compile(r"[a-z][a-z0-9]{0,19}")
_PRINTABLE: Final = r"^[ -~]*$"


def _four_bytes_or_none(value: bytes) -> bytes:
    if len(value) not in {0, 4}:
        raise ValueError("expected 4 bytes or none")
    return value


KnownFingerprint = Annotated[HexBytes, AfterValidator(_four_bytes_or_none)]
"""A master key's fingerprint, 4 bytes, or nothing where it is not known."""
DeviceType = Annotated[str, Field(pattern=rf"^{DEVICE_TYPE.pattern}$")]
"""hwilib's name of a kind of device: coldcard, ledger."""
DevicePath = Annotated[str, Field(pattern=_PRINTABLE, max_length=MAX_PATH)]
"""Where hwilib finds a device: a HID path, a serial port, an emulator's address."""
Reason = Annotated[str, Field(pattern=_PRINTABLE, max_length=MAX_REASON)]
"""What a driver said, after `foreign.plain`."""


class Operation(StrEnum):
    """What a device is asked to do."""

    LIST = "list"
    OPEN = "open"
    KEY = "key"
    ADDRESS = "address"
    ENROL = "enrol"
    SIGN = "sign"
    PROMPT = "prompt"
    UNLOCK = "unlock"


class DeviceRequest(Record):
    """One thing asked of one device, or of all devices of one type.

    `subject` is a derivation path for KEY, a descriptor of one address for ADDRESS, Coldcard's text for ENROL, a PSBT
    in base64 for SIGN, where a PIN's digits stand for UNLOCK. `fingerprint` is the one the device must have, empty
    when nobody knows it yet. `threshold` and `members` are the vault's quorum where the operation is about a vault.
    After `seconds` the process ends itself.
    """

    kind: ClassVar[str] = "device-request"

    operation: Operation
    device: DeviceType
    path: DevicePath
    network: Network
    fingerprint: KnownFingerprint
    subject: Annotated[str, Field(pattern=r"^[ -~\n]*$", max_length=MAX_SUBJECT)]
    threshold: Count
    members: tuple[Fingerprint, ...]
    seconds: Count


class FoundDevice(Record):
    """A device that a driver found. `fingerprint` is empty when it did not say, and then `fault` may tell why."""

    kind: ClassVar[str] = "found-device"

    path: DevicePath
    model: Annotated[str, Field(pattern=_PRINTABLE, max_length=64)]
    fingerprint: KnownFingerprint
    fault: Fault | None
    reason: Reason


class DeviceAnswer(Record):
    """What came of a request: `result`, or a `fault`.

    `fingerprint` is what the opened device says it is, empty when none was opened.
    """

    kind: ClassVar[str] = "device-answer"

    fault: Fault | None
    reason: Reason
    fingerprint: KnownFingerprint
    result: Annotated[str, Field(pattern=_PRINTABLE, max_length=MAX_SUBJECT)]
    found: Annotated[tuple[FoundDevice, ...], Field(max_length=MAX_FOUND)]


def failed(fault: Fault, reason: str, fingerprint: bytes = b"") -> DeviceAnswer:
    """The answer that says no more than what went wrong."""
    return DeviceAnswer(fault=fault, reason=reason, fingerprint=fingerprint, result="", found=())


def done(fingerprint: bytes, result: str) -> DeviceAnswer:
    """The answer of an opened device."""
    return DeviceAnswer(fault=None, reason="", fingerprint=fingerprint, result=result, found=())
