"""Which vault stands in the file, or which key in the text, that somebody brought from another program?

Whatever was read as something else than it said is told on the screen: the person at it knows what they brought.
"""

from __future__ import annotations

from collections.abc import Iterable

from custody.apps.files import read_text
from custody.apps.terminal import output
from custody.charter.document import Charter
from custody.station import compare_vault
from custody.units import Network
from custody.vault.formats import MAX_VAULT_TEXT, FoundVault, read_cosigner, read_vault
from custody.vault.keys import Cosigner
from custody.vault.templates import ScriptType

_WHAT = "the file of a vault"


def vault_in(path: str, network: Network, birthday: int = 0) -> FoundVault:
    """The vault in the file at `path` (`-` is stdin). Raises as `read_vault` and `read_text`."""
    found = read_vault(read_text(path, MAX_VAULT_TEXT, _WHAT), network, birthday)
    tell_notes(found.notes)
    return found


def compare_vault_in(path: str, charter: Charter, name: str) -> None:
    """Compare the vault in the file at `path` with the charter's that is called `name`.

    Raises:
        VaultMismatch: it is another vault.
        FileNotText, VaultForm, and what else `read_vault` and `read_text` raise: it cannot be read.
    """
    found = read_vault(read_text(path, MAX_VAULT_TEXT, _WHAT), charter.network)
    tell_notes(found.notes)
    own = charter.vault(name)
    if found.vault.id == own.id and found.vault.descriptor != own.descriptor:
        output().talk(
            "note: it is the charter's vault in another text: its keys stand in another order, or are said to be from "
            "elsewhere. Devices enrol that as another vault; give them the charter's: custody vault export"
        )
    compare_vault(charter, name, found.vault.descriptor)


def cosigner_in(text: str, script_type: ScriptType) -> Cosigner:
    """The cosigner's key that was given as `text`. Raises as `read_cosigner`."""
    cosigner, notes = read_cosigner(text, script_type)
    tell_notes(notes)
    return cosigner


def tell_notes(notes: Iterable[str]) -> None:
    """Say what was read as something else."""
    for note in notes:
        output().talk(f"note: {note}")
