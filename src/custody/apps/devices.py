"""How is a hardware device named on the command line, and what is its holder told before it is asked?

Nothing that talks to devices is loaded until one was named. What a device may do, and what of its answers is kept, is
for `custody.backends.hwi`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from custody.apps.asking import wait_for_person
from custody.apps.terminal import output

if TYPE_CHECKING:
    from custody.backends.hwi.signer import Device, HwiSigner
    from custody.charter.makers import CosignerDevice
    from custody.units import Network
    from custody.vault.descriptor import Branch, Vault
    from custody.vault.keys import Cosigner
    from custody.vault.templates import ScriptType

_Command = TypeVar("_Command", bound=Callable[..., Any])


def device_option(help: str, *, is_multiple: bool = False, is_required: bool = False) -> Callable[[_Command], _Command]:  # noqa: A002 - click's name
    """`--device`, given to the command as `device`, or as `devices` when it may be repeated."""
    return click.option(
        "--device",
        "devices" if is_multiple else "device",
        metavar="TYPE[=PATH]",
        multiple=is_multiple,
        required=is_required,
        help=help,
    )


def emulator_option() -> Callable[[_Command], _Command]:
    """`--emulator`, given to the command as `is_emulator`."""
    return click.option(
        "--emulator",
        "is_emulator",
        is_flag=True,
        help="The device is its vendor's emulator; never on the main network.",
    )


def check_one_key(keyfile: str | None, device: str | None, *, is_emulator: bool, named: str = "--key") -> None:
    """Pass when the key comes from a file or from a device: from one of them.

    Raises:
        UsageError: it comes from both or from neither, or an emulator is spoken of where no device is.
    """
    if (keyfile is None) == (device is None):
        raise click.UsageError(f"give either {named} or --device")
    check_emulator(device is not None, is_emulator=is_emulator)


def check_emulator(is_device: bool, *, is_emulator: bool) -> None:  # noqa: FBT001 - reads as a sentence
    """Pass unless an emulator is spoken of and no device is.

    Raises:
        UsageError: it is.
    """
    if is_emulator and not is_device:
        raise click.UsageError("--emulator says what the --device is, and none is given")


def device_signer(device: str, vault: Vault, *, is_emulator: bool) -> HwiSigner:
    """The device that holds a key of `vault`, by the name that was typed.

    Raises:
        CustodyError: as `Device.parse` and `vault_signer`.
    """
    from custody.backends.hwi.signer import vault_signer  # noqa: PLC0415 - not without a device

    return vault_signer(_named(device, is_emulator=is_emulator), vault)


def device_cosigner(
    device: str, script_type: ScriptType, network: Network, account: int, *, is_emulator: bool
) -> Cosigner:
    """The key for a new vault that the device holds, with its origin; without a name.

    Raises:
        CustodyError: as `Device.parse` and `read_cosigner`.
    """
    from custody.backends.hwi.signer import read_cosigner  # noqa: PLC0415 - as above

    return read_cosigner(_named(device, is_emulator=is_emulator), "", script_type, network, account=account)


def device_cosigners(
    devices: tuple[str, ...], script_type: ScriptType, network: Network, *, is_emulator: bool
) -> tuple[tuple[Cosigner, CosignerDevice], ...]:
    """The same of several devices, each with what a charter can say of it. One after another, as their holders come.

    Raises:
        CustodyError: as `device_cosigner`.
    """
    from custody.backends.hwi.signer import stated_device  # noqa: PLC0415 - as above

    # All names are read before anybody is asked to plug a device in.
    for each in devices:
        _named(each, is_emulator=is_emulator)
    found = []
    for number, each in enumerate(devices, 1):
        if len(devices) > 1:
            wait_for_person(f"device {number} of {len(devices)}: plug in the {ascii(each)[1:-1]} and unlock it")
        cosigner = device_cosigner(each, script_type, network, 0, is_emulator=is_emulator)
        stated = stated_device(_named(each, is_emulator=is_emulator), cosigner.fingerprint, network)
        found.append((cosigner, stated))
    return tuple(found)


def shown_on_device(signer: HwiSigner, vault: Vault, branch: Branch, index: int) -> str:
    """Have the device show an address beside this screen's; it is returned when both are the same.

    Raises:
        DeviceAddress: they are not.
        CustodyError: as `HwiSigner.show_address`.
    """
    output().talk(f"on the screen of {signer.device}, the address must be\n  {vault.address(branch, index)}")
    return signer.show_address(vault, branch, index)


def unlocked(device: str, ask: Callable[[str], str], *, is_emulator: bool) -> HwiSigner:
    """The device, unlocked by what `ask` returns for the square of positions; at once when it is unlocked already.

    Raises:
        CustodyError: as `Device.parse`, `waiting_device`, `ask_positions` and `unlock`.
    """
    from custody.backends.hwi import unlock  # noqa: PLC0415 - as above
    from custody.backends.hwi.signer import open_device  # noqa: PLC0415 - as above
    from custody.units import Network  # noqa: PLC0415 - as above

    # A PIN belongs to no network; an emulator is never opened on the main one.
    network = Network.REGTEST if is_emulator else Network.MAIN
    found = unlock.waiting_device(_named(device, is_emulator=is_emulator), network)
    if unlock.ask_positions(found, network):
        return unlock.unlock(found, ask(unlock.SQUARE), network)
    return open_device(found, network)


def _named(device: str, *, is_emulator: bool) -> Device:
    from custody.backends.hwi.signer import Device  # noqa: PLC0415 - as above

    return Device.parse(device, is_emulator=is_emulator)
