"""How is a device unlocked whose PIN is typed on this machine?

A Trezor One and a KeepKey have two buttons and one, and no way to enter digits. They show the digits 1 to 9 shuffled in
a square of three by three; what is typed here is where each digit of the PIN stands in it, in the order of a number
pad, so that this machine never learns the PIN. The square is shown by one process (`ask_positions`) and answered by
another (`unlock`); the device waits in between. Other devices take their PIN themselves.

Source: Trezor's messages PinMatrixRequest and PinMatrixAck, as hwilib's prompt_pin and send_pin use them.
"""

from __future__ import annotations

import re
from typing import Final

from custody.backends.hwi.errors import DeviceAmbiguous, DeviceNotFound
from custody.backends.hwi.program import Program
from custody.backends.hwi.protocol import Operation
from custody.backends.hwi.signer import Device, HwiSigner, checked, find_devices, open_device, request_of
from custody.errors import InvalidInput
from custody.units import Network

SQUARE: Final = "7 8 9\n4 5 6\n1 2 3"
"""How the positions are counted: as on a number pad."""
_POSITIONS: Final = re.compile(r"[1-9]{1,50}")
_PROGRAM: Final = Program()


class PinPositions(InvalidInput, code="PIN_POSITIONS"):
    """What was typed is not a row of positions."""

    message = "these are no positions: they are digits from 1 to 9, one for each digit of the PIN"
    hint = "Find each digit of the PIN in the device's square; type where it stands, with 7 8 9 as the upper row."


def waiting_device(device: Device, network: Network, *, program: Program = _PROGRAM) -> Device:
    """The one device of this type that is plugged in, with its path: locked ones tell no fingerprint.

    Raises:
        DeviceNotFound: there is none.
        DeviceAmbiguous: there are several; one must be named.
        CustodyError: what was wrong instead, where the type could not even be looked for.
    """
    found = list(find_devices(network, (device,), program=program))
    placed = [each.device for each in found if each.device.path and device.path in {"", each.device.path}]
    if len(placed) > 1:
        paths = ", ".join(each.path for each in placed)
        raise DeviceAmbiguous(device=device.type, count=len(placed), paths=paths)
    if placed:
        return placed[0]
    problem = next((each.problem for each in found if each.problem is not None), None)
    raise problem or DeviceNotFound(device=str(device), reason="none is plugged in")


def ask_positions(device: Device, network: Network, *, program: Program = _PROGRAM) -> bool:
    """Have the device show its square. False when it is unlocked already and shows none.

    Raises:
        DeviceUnsupported: it takes its PIN itself.
        CustodyError: as `open_device`.
    """
    request = request_of(Operation.PROMPT, device, network, program)
    return checked(program.ask(request, is_emulator=device.is_emulator), device).result == "asked"


def unlock(device: Device, positions: str, network: Network, *, program: Program = _PROGRAM) -> HwiSigner:
    """The device, unlocked by the positions of its PIN's digits in the square that it shows.

    Raises:
        PinPositions: they are none.
        DeviceLocked: the PIN was another.
        CustodyError: as `open_device`.
    """
    if _POSITIONS.fullmatch(positions) is None:
        raise PinPositions
    request = request_of(Operation.UNLOCK, device, network, program, positions)
    checked(program.ask(request, is_emulator=device.is_emulator), device)
    return open_device(device, network, program=program)
