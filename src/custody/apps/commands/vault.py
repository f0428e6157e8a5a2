"""What vaults are there, what are their addresses, and how is a new one put together from its cosigners' keys?

Addresses come from the pinned charter and from nothing else. How they are given out is in `deposit`.
"""

from __future__ import annotations

import click

from custody.apps.config import folders
from custody.apps.coordinator import coordinator
from custody.apps.devices import check_emulator, device_cosigners, device_option, emulator_option
from custody.apps.terminal import Verb, out_option, output, write_output
from custody.apps.vaults import cosigner_in, vault_in
from custody.apps.views.layout import Data
from custody.apps.views.vault import created_data, created_text, makers_of, vault_data, vault_text, vaults_table
from custody.units import Network
from custody.vault.descriptor import Vault
from custody.vault.templates import ScriptType


@click.command(
    cls=Verb,
    epilog="Example: custody vault create --threshold 2 --cosigner '[73c5da0a/48h/1h/0h/2h]tpub...' --cosigner ...",
)
@click.option("--threshold", "-k", type=int, required=True, help="How many cosigners must sign.")
@click.option(
    "--cosigner",
    "cosigners",
    metavar="KEY",
    multiple=True,
    help="A cosigner's key with its origin, as custody-station export prints it. Once for each cosigner.",
)
@device_option("A hardware device that holds a cosigner's key. Once for each such cosigner.", is_multiple=True)
@emulator_option()
@click.option(
    "--script-type",
    type=click.Choice([each.value for each in ScriptType]),
    default=ScriptType.WSH.value,
    show_default=True,
    help="How the multi-signature script is wrapped. Hardly any device signs tr yet.",
)
@click.option("--network", type=click.Choice([each.value for each in Network]), help="The network the vault is for.")
@click.option("--birthday", type=int, default=0, show_default=True, help="First block that can hold a coin of it.")
@out_option("the descriptor", is_required=False)
def create(  # noqa: PLR0913 - click gives each option by its name
    *,
    threshold: int,
    cosigners: tuple[str, ...],
    devices: tuple[str, ...],
    is_emulator: bool,
    script_type: str,
    network: str | None,
    birthday: int,
    out: str | None,
) -> None:
    """Make a vault's descriptor from its cosigners' keys.

    Keys given as text come first, then those read from devices. Nothing is stored: the descriptor goes into the
    charter, and so does what is printed of the devices' makers. Every cosigner compares the vault's 24 words and
    its first address on their own device before the charter is signed.
    """
    if not cosigners and not devices:
        raise click.UsageError("give each cosigner's key, with --cosigner or --device")
    check_emulator(bool(devices), is_emulator=is_emulator)
    typed = tuple(cosigner_in(each, ScriptType(script_type)) for each in cosigners)
    where = folders(None if network is None else Network(network)).network
    read = device_cosigners(devices, ScriptType(script_type), where, is_emulator=is_emulator)
    keys = (*typed, *(cosigner for cosigner, _ in read))
    vault = Vault.create(threshold, keys, ScriptType(script_type), where, birthday)
    makers = makers_of(vault, {device.fingerprint: device for _, device in read})
    _give(vault, birthday, makers, out)


@click.command(
    name="import",
    cls=Verb,
    epilog="""\b
Examples:
  custody vault import from-sparrow.txt --network main
  custody vault import coldcard-multisig.txt -o reserve.descriptor.txt""",
)
@click.argument("file")
@click.option("--network", type=click.Choice([each.value for each in Network]), help="The network the vault is for.")
@click.option("--birthday", type=int, default=0, show_default=True, help="First block that can hold a coin of it.")
@out_option("the descriptor", is_required=False)
def import_vault(*, file: str, network: str | None, birthday: int, out: str | None) -> None:
    """Read a vault from what another program exported, and print its descriptor.

    FILE is a descriptor, with both branches or one descriptor for each, a BSMS record, Coldcard's multisig file, or the
    JSON of Specter, Caravan or bitcoind. Whatever was read as something else is said. Nothing is stored: the descriptor
    goes into the charter once every cosigner has compared the vault's 24 words on their own device.
    """
    where = folders(None if network is None else Network(network)).network
    vault = vault_in(file, where, birthday).vault
    _give(vault, birthday, makers_of(vault, {}), out)


def _give(vault: Vault, birthday: int, makers: tuple[Data, ...], out: str | None) -> None:
    if out is not None:
        write_output(out, f"{vault.descriptor}\n".encode("ascii"))
    output().emit(
        created_data(vault, birthday, makers),
        lambda: created_text(vault, makers),
    )
    output().next_step("paste the descriptor into the charter (custody charter template), and compare the words")


@click.command(name="list", cls=Verb)
def list_vaults() -> None:
    """List the charter's vaults and what they hold."""
    history = coordinator().history()
    charter = history.charter
    listed = [vault_data(charter, entry, history) for entry in charter.vaults]
    output().emit({"vaults": listed}, lambda: vaults_table(history))


@click.command(cls=Verb)
@click.argument("name")
def show(*, name: str) -> None:
    """Show one vault: signers, limits, descriptor, words."""
    history = coordinator().history()
    charter = history.charter
    entry = charter.vault_entry(name)
    output().emit(vault_data(charter, entry, history), lambda: vault_text(entry, charter.vault(name), history))
