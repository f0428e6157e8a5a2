"""How is a vault restored elsewhere, so that it can be seen and spent without this program?

What is written comes from the pinned charter and the log; nothing of it is secret, and all of it is confidential.
"""

from __future__ import annotations

import json
import shlex
from contextlib import closing
from enum import StrEnum

import click

from custody.apps.chains import ChainMissing, open_chain
from custody.apps.coordinator import Coordinator, coordinator
from custody.apps.terminal import STANDARD, JsonValue, Verb, out_option, output, write_output
from custody.errors import BackendError
from custody.history.holdings import unused_from
from custody.units import Network
from custody.vault.bitcoind import watched
from custody.vault.descriptor import Branch


class Form(StrEnum):
    """How a vault is written for what will read it."""

    DESCRIPTOR = "descriptor"
    BITCOIND = "bitcoind"


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  custody vault export reserve -o reserve.descriptor.txt
  custody vault export reserve --to bitcoind -o reserve.json""",
)
@click.argument("name")
@click.option(
    "--to",
    "form",
    type=click.Choice([each.value for each in Form]),
    default=Form.DESCRIPTOR.value,
    show_default=True,
    help="What reads it: any wallet, or bitcoind's importdescriptors.",
)
@out_option("it", is_required=False)
def export(*, name: str, form: str, out: str | None) -> None:
    """Print a vault's descriptor, from which any wallet restores it.

    With --to bitcoind, print what bitcoind's importdescriptors takes instead: a descriptor for each branch, with every
    index used so far and 1,000 more. The time of the birthday's block is asked of the chain; where nobody can say it
    stands as 0, and bitcoind reads every block. Which commands to type then is said beside it.

    It shows every coin of the vault to whoever has it: keep it confidential, and keep copies at the signers' sites.
    """
    desk = coordinator()
    if Form(form) is Form.BITCOIND:
        _export_to_bitcoind(desk, name, out)
        return
    vault = desk.charter().vault(name)
    if out is not None:
        write_output(out, f"{vault.descriptor}\n".encode("ascii"))
    output().emit({"name": name, "descriptor": vault.descriptor, "id": vault.id.hex()}, vault.descriptor)


def _export_to_bitcoind(desk: Coordinator, name: str, out: str | None) -> None:
    history = desk.history()
    vault = history.charter.vault(name)
    since = _birth(desk, history.charter.vault_entry(name).birthday)
    branches = [watched(vault, branch, unused_from(history, vault.id, branch)) for branch in Branch]
    requests: list[JsonValue] = [each.request(since) for each in branches]
    text = json.dumps(requests, indent=2)
    if out is not None:
        write_output(out, f"{text}\n".encode("ascii"))
    output().emit(requests, text)
    chain = "" if vault.network is Network.MAIN else f"-chain={vault.network.value} "
    wallet, file = shlex.quote(name), shlex.quote(out if out not in {None, STANDARD} else f"{name}.json")
    output().talk("for bitcoind, a wallet that watches the vault and holds no key:")
    output().talk(f"  bitcoin-cli {chain}-named createwallet wallet_name={wallet} disable_private_keys=true blank=true")
    output().talk(f'  bitcoin-cli {chain}-rpcwallet={wallet} importdescriptors "$(cat {file})"')


def _birth(desk: Coordinator, birthday: int) -> int:
    """Unix seconds of the first block that can hold a coin, 0 when nobody here can say."""
    if not birthday:
        return 0
    try:
        with closing(open_chain(desk.folders, desk.settings)) as chain:
            return chain.view.block(min(birthday, chain.view.tip().height)).time
    except (BackendError, ChainMissing) as error:
        output().talk(f"the time of block {birthday} is not known here, so bitcoind will read every block: {error}")
        return 0
