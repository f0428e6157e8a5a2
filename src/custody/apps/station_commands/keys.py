"""How is a key made on a station, and which part of it may leave?

Two kinds: a cosigner's key signs coins, a person's key signs documents (officers, requesters, the coordinator,
witnesses). The secret stays in its encrypted file; what leaves is what belongs in a vault's descriptor or in a charter.
"""

from __future__ import annotations

import re
from typing import Final

import click

from custody.apps.devices import check_one_key, device_cosigner, device_option, emulator_option
from custody.apps.files import refuse_existing
from custody.apps.keys import open_cosigner, open_person, read_key_file
from custody.apps.passphrase import read_passphrase
from custody.apps.station_commands.desk import unsafe_option
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output
from custody.backends.keyfile import KeyFile, KeyFileHeader, Purpose, create_document_key, create_master_key
from custody.record import check_text
from custody.units import HARDENED, Network
from custody.vault.keys import Cosigner, show_path
from custody.vault.templates import ScriptType, account_path

COSIGNER: Final = "cosigner"
PERSON: Final = "person"
MAX_ACCOUNT: Final = HARDENED - 1


@click.command(
    "new-key",
    cls=Verb,
    epilog="Example: custody-station new-key Aigerim --kind person -o aigerim.key.json",
)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice([COSIGNER, PERSON]),
    required=True,
    help="cosigner: signs coins. person: signs documents (officer, requester, coordinator, witness).",
)
@click.option(
    "--network", type=click.Choice([each.value for each in Network]), default=Network.REGTEST.value, show_default=True
)
@out_option("the key file", is_required=False)
@passphrase_option("the new key file")
@unsafe_option()
def new_key(
    *,
    name: str,
    kind: str,
    network: str,
    out: str | None,
    passphrase_file: str | None,
    is_risk_accepted: bool,
) -> None:
    """Make a key and write it to an encrypted file.

    The key comes from this machine's random numbers. Whoever has the file and its passphrase has the key; whoever has
    lost either has lost the key: keep a copy of the file on another medium, and the passphrase somewhere else.
    """
    check_text(name)
    path = out or _file_name(name)
    refuse_existing(path)
    if kind == COSIGNER and Network(network) is not Network.REGTEST and not is_risk_accepted:
        # Before a passphrase is asked for; it raises.
        create_master_key(b"", name=name, network=Network(network))
    passphrase = read_passphrase(passphrase_file, f"the new key {name}", is_new=True)
    file = _create(kind, name, Network(network), passphrase, is_risk_accepted=is_risk_accepted)
    write_output(path, file.to_bytes())
    header = file.header
    output().emit(
        {"file": path, "kind": kind, "name": name, "network": network, **_identity(header)},
        f"key of the {kind} {name} for {network}, {_shown_identity(header)}, written to {shown(path)}",
    )
    output().next_step(
        f"copy {shown(path)} to a second medium; show its public part: custody-station export {shown(path)}"
    )


@click.command(
    cls=Verb,
    epilog="Example: custody-station export almaty.key.json --script-type wsh",
)
@click.argument("keyfile", required=False)
@click.option(
    "--script-type",
    type=click.Choice([each.value for each in ScriptType]),
    default=ScriptType.WSH.value,
    show_default=True,
    help="Of the vault that a cosigner's key is for.",
)
@click.option("--account", type=click.IntRange(0, MAX_ACCOUNT), default=0, show_default=True, help="BIP 48 account.")
@device_option("The hardware device that holds a cosigner's key, in place of KEYFILE.")
@emulator_option()
@click.option(
    "--network",
    type=click.Choice([each.value for each in Network]),
    help="Of a device's key; a key file knows its own.",
)
@passphrase_option()
@unsafe_option()
def export(  # noqa: PLR0913 - click gives each option by its name
    *,
    keyfile: str | None,
    script_type: str,
    account: int,
    device: str | None,
    is_emulator: bool,
    network: str | None,
    passphrase_file: str | None,
    is_risk_accepted: bool,
) -> None:
    """Print the public part of a key file, or of a cosigner's key in a hardware device.

    For a cosigner it is the key expression with its origin, for `custody vault create --cosigner`; for a person the raw
    public key, for the charter's text. The file is opened, so what is printed is known to be the key inside.
    """
    check_one_key(keyfile, device, is_emulator=is_emulator, named="KEYFILE")
    if (device is None) != (network is None):
        raise click.UsageError("--network goes with --device: give both or neither")
    if device is not None and network is not None:
        where = Network(network)
        cosigner = device_cosigner(device, ScriptType(script_type), where, account, is_emulator=is_emulator)
        _print_cosigner(cosigner, where)
        return
    file = read_key_file(keyfile or "")
    if file.header.purpose is Purpose.COINS:
        signer = open_cosigner(file, passphrase_file, is_risk_accepted=is_risk_accepted)
        path = account_path(ScriptType(script_type), signer.network, account)
        origin, key = signer.account_key(path)
        _print_cosigner(Cosigner(file.header.name, origin, key), signer.network)
        return
    person = open_person(file, passphrase_file)
    key_text = person.public_key.hex()
    output().emit(
        {"kind": PERSON, "name": file.header.name, "network": file.header.network.value, "public_key": key_text},
        key_text,
    )
    output().next_step(f'give it to whoever writes the charter: name = "{file.header.name}", key = "{key_text}"')


def _print_cosigner(cosigner: Cosigner, network: Network) -> None:
    expression = cosigner.expression()
    output().emit(
        {
            "kind": COSIGNER,
            "name": cosigner.name,
            "network": network.value,
            "fingerprint": cosigner.fingerprint.hex(),
            "path": f"m{show_path(cosigner.origin.path)}",
            "expression": expression,
        },
        expression,
    )
    output().next_step("give it to whoever creates the vault: custody vault create --cosigner EXPRESSION")


def _create(kind: str, name: str, network: Network, passphrase: bytes, *, is_risk_accepted: bool) -> KeyFile:
    if kind == PERSON:
        return create_document_key(passphrase, name=name, network=network)
    return create_master_key(passphrase, name=name, network=network, unsafe_mainnet_key_file=is_risk_accepted)


def _file_name(name: str) -> str:
    """A plain file name for a key: lower-case letters, digits and hyphens."""
    return f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'new'}.key.json"


def _identity(header: KeyFileHeader) -> dict[str, str]:
    what = "fingerprint" if header.purpose is Purpose.COINS else "public_key"
    return {what: header.identity.hex()}


def _shown_identity(header: KeyFileHeader) -> str:
    ((what, value),) = _identity(header).items()
    return f"{what.replace('_', ' ')} {value}"
