"""What vaults are there, what are their addresses, and how is a new one put together from its cosigners' keys?

Addresses come from the pinned charter and from nothing else. How they are given out is in `deposit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click
import tomli_w

from custody.apps.config import folders
from custody.apps.coordinator import coordinator
from custody.apps.devices import check_emulator, device_cosigners, device_option, emulator_option
from custody.apps.station_commands.layout import INDENT, bitcoin, block, screen, table
from custody.apps.station_commands.screens import devices_of
from custody.apps.terminal import JsonValue, Verb, out_option, output, write_output
from custody.charter.document import Charter, CharterVault
from custody.charter.makers import CosignerDevice
from custody.errors import InvalidInput
from custody.transfer.history import History
from custody.units import Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import Cosigner
from custody.vault.templates import ScriptType
from custody.words import show_words

_UNKNOWN: Final = "?"
"""Stands for a maker that nobody told: no charter takes it for one."""


class FileNotText(InvalidInput, code="FILE_NOT_TEXT"):
    """A file of bytes where text belongs."""

    message = "{what} is not plain text"
    hint = "Check which file you gave: this command reads text as it was exported."
    what: str


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
    charter, and so does what is printed of the devices' makers. Every cosigner compares the vault's twelve words and
    its first address on their own device before the charter is signed.
    """
    if not cosigners and not devices:
        raise click.UsageError("give each cosigner's key, with --cosigner or --device")
    check_emulator(bool(devices), is_emulator=is_emulator)
    typed = tuple(Cosigner.parse(each.strip()) for each in cosigners)
    where = folders(None if network is None else Network(network)).network
    read = device_cosigners(devices, ScriptType(script_type), where, is_emulator=is_emulator)
    keys = (*typed, *(cosigner for cosigner, _ in read))
    vault = Vault.create(threshold, keys, ScriptType(script_type), where, birthday)
    makers = _makers(vault, {device.fingerprint: device for _, device in read})
    if out is not None:
        write_output(out, f"{vault.descriptor}\n".encode("ascii"))
    output().emit(
        {
            "descriptor": vault.descriptor,
            "id": vault.id.hex(),
            "words": show_words(vault.id),
            "network": vault.network.value,
            "birthday": birthday,
            "first_receive_address": vault.address(Branch.RECEIVE, 0),
            "first_change_address": vault.address(Branch.CHANGE, 0),
            "devices": list(makers),
        },
        lambda: _created(vault, makers),
    )
    output().next_step("paste the descriptor into the charter (custody charter template), and compare the words")


def _makers(vault: Vault, known: Mapping[bytes, CosignerDevice]) -> tuple[dict[str, JsonValue], ...]:
    """What the charter can say of each cosigner's device; nothing at all when none was read here."""
    if not known:
        return ()
    return tuple(
        known[each.fingerprint].model_dump(mode="json")
        if each.fingerprint in known
        else {"fingerprint": each.fingerprint.hex(), "maker": _UNKNOWN, "model": _UNKNOWN, "is_deterministic": False}
        for each in sorted(vault.cosigners, key=lambda each: each.fingerprint)
    )


def _created(vault: Vault, makers: tuple[dict[str, JsonValue], ...]) -> str:
    tables = (f"[[vault.device]]\n{tomli_w.dumps(each)}" for each in makers)
    return screen(
        vault.descriptor,
        block(f"Vault: {vault.threshold} of {len(vault.cosigners)}, network {vault.network}", table(_identity(vault))),
        block("For the charter, under its [[vault]]: correct it first, and replace every ?", ("", *tables))
        if makers
        else "",
    )


def _identity(vault: Vault) -> list[tuple[str, str]]:
    return [
        ("id", vault.id.hex()),
        ("in words", show_words(vault.id)),
        ("first address", vault.address(Branch.RECEIVE, 0)),
        ("first change", vault.address(Branch.CHANGE, 0)),
    ]


@click.command(name="list", cls=Verb)
def list_vaults() -> None:
    """List the charter's vaults and what they hold."""
    history = coordinator().history()
    charter = history.charter
    rows = [_balance_row(entry, history) for entry in charter.vaults]
    output().emit(
        [_vault_data(charter, entry, history) for entry in charter.vaults],
        lambda: "\n".join(table([("vault", "signers", "holds", "id"), *rows])),
    )


def _balance_row(entry: CharterVault, history: History) -> tuple[str, ...]:
    vault = history.charter.vault(entry.name)
    signers = f"{vault.threshold} of {len(vault.cosigners)}"
    return entry.name, signers, bitcoin(history.balance(vault.id)), vault.id.hex()


@click.command(cls=Verb)
@click.argument("name")
def show(*, name: str) -> None:
    """Show one vault: signers, limits, descriptor, words."""
    history = coordinator().history()
    charter = history.charter
    entry = charter.vault_entry(name)
    output().emit(_vault_data(charter, entry, history), lambda: _shown(entry, charter.vault(name), history))


def _shown(entry: CharterVault, vault: Vault, history: History) -> str:
    rows = [
        ("signers", f"{vault.threshold} of {len(vault.cosigners)}, script {vault.script_type}"),
        ("holds", bitcoin(history.balance(vault.id))),
        ("next address", f"index {history.next_index(vault.id, Branch.RECEIVE)}"),
        ("next change", f"index {history.next_index(vault.id, Branch.CHANGE)}"),
        ("deposits", f"count from {entry.confirmations} confirmations on, found from block {entry.birthday} on"),
        *_identity(vault),
    ]
    return screen(
        block(f"Vault {entry.name}, network {vault.network}", table(rows)),
        block("Cosigners", [f"{INDENT}{each.expression()}" for each in vault.cosigners]),
        block("Devices", devices_of(entry)),
        block("Descriptor", [f"{INDENT}{vault.descriptor}"]),
    )


def _vault_data(charter: Charter, entry: CharterVault, history: History) -> JsonValue:
    vault = charter.vault(entry.name)
    return {
        "name": entry.name,
        "id": vault.id.hex(),
        "words": show_words(vault.id),
        "network": vault.network.value,
        "script_type": vault.script_type.value,
        "threshold": vault.threshold,
        "cosigners": [each.expression() for each in vault.cosigners],
        "descriptor": vault.descriptor,
        "birthday": entry.birthday,
        "confirmations": entry.confirmations,
        "max_inputs": entry.max_inputs,
        "devices": [each.model_dump(mode="json") for each in entry.devices],
        "next_receive": history.next_index(vault.id, Branch.RECEIVE),
        "next_change": history.next_index(vault.id, Branch.CHANGE),
        "balance": history.balance(vault.id),
    }
