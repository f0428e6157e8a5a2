"""How does a hardware device learn the vault that it holds a key of, and how is one unlocked that has no keys?

The vault is the trusted charter's. What the device shows is compared as a script.
"""

from __future__ import annotations

import click

from custody.apps.asking import read_unseen
from custody.apps.devices import device_option, device_signer, emulator_option, unlocked
from custody.apps.station_commands.desk import desk
from custody.apps.terminal import Verb, output
from custody.vault.descriptor import Branch


@click.command(cls=Verb, epilog="Example: custody-station enrol charter.json reserve --device coldcard")
@click.argument("charter_file")
@click.argument("vault")
@device_option("The device that holds a key of the vault.", is_required=True)
@click.option(
    "--name", metavar="TEXT", default="", help="What a Coldcard calls the vault: 20 plain letters and digits."
)
@emulator_option()
def enrol(*, charter_file: str, vault: str, device: str, name: str, is_emulator: bool) -> None:
    """Have a device learn a vault of the trusted charter and show its first address.

    Compare what the device asks with this screen: threshold, number of keys, your own key's fingerprint, the address.
    """
    known = desk().charter(charter_file).vault(vault)
    signer = device_signer(device, known, is_emulator=is_emulator)
    fingerprint = signer.fingerprint.hex()
    output().talk(
        f"vault {vault}: {known.threshold} of {len(known.cosigners)}, the key on {signer.device} is {fingerprint}\n"
        f"  the first address must be {known.address(Branch.RECEIVE, 0)}"
    )
    first = signer.enrol(known, name)
    output().emit(
        {"vault": vault, "id": known.id.hex(), "cosigner": fingerprint, "first_receive_address": first},
        f"{signer.device} shows the vault's first address\n  {first}",
    )
    output().next_step("have every other cosigner do the same: all devices must show this address")


@click.command(cls=Verb, epilog="Example: custody-station unlock --device trezor")
@device_option("The device to unlock.", is_required=True)
@emulator_option()
def unlock(*, device: str, is_emulator: bool) -> None:
    """Unlock a Trezor One or a KeepKey, which take their PIN through this machine without telling it.

    The device shows a square of nine digits. For each digit of the PIN, type where it stands in the square. It stays
    unlocked until it is unplugged or locks itself. Every other device takes its PIN on its own screen.
    """

    def ask(square: str) -> str:
        output().talk(f"find each digit of the PIN on the device, and type where it stands:\n{square}")
        return read_unseen("positions")

    signer = unlocked(device, ask, is_emulator=is_emulator)
    fingerprint = signer.fingerprint.hex()
    output().emit(
        {"device": str(signer.device), "cosigner": fingerprint},
        f"{signer.device} is unlocked; its fingerprint is {fingerprint}",
    )
