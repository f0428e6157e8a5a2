"""How does a vault read: a new one, one of the charter's, and what it holds? Amounts are sats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import tomli_w

from custody.apps.views.charter import cosigners_data, devices_of
from custody.apps.views.coin import totals_of
from custody.apps.views.layout import INDENT, Data, bitcoin, block, in_words, screen, table
from custody.charter.document import Charter, CharterVault
from custody.charter.makers import CosignerDevice
from custody.history.holdings import balance
from custody.history.questions import History
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import Cosigner
from custody.words import show_words

_UNKNOWN: Final = "?"
"""Stands for a maker that nobody told: no charter takes it for one."""


def makers_of(vault: Vault, known: Mapping[bytes, CosignerDevice]) -> tuple[Data, ...]:
    """What the charter can say of each cosigner's device; nothing at all when none was read here."""
    if not known:
        return ()
    return tuple(
        known[each.fingerprint].model_dump(mode="json")
        if each.fingerprint in known
        else {"fingerprint": each.fingerprint.hex(), "maker": _UNKNOWN, "model": _UNKNOWN, "is_deterministic": False}
        for each in sorted(vault.cosigners, key=lambda each: each.fingerprint)
    )


def created_data(vault: Vault, birthday: int, makers: tuple[Data, ...]) -> Data:
    """A vault that was just put together, for a program."""
    return {
        "descriptor": vault.descriptor,
        "id": vault.id.hex(),
        "words": show_words(vault.id),
        "network": vault.network.value,
        "birthday": birthday,
        "first_receive_address": vault.address(Branch.RECEIVE, 0),
        "first_change_address": vault.address(Branch.CHANGE, 0),
        "devices": list(makers),
    }


def created_text(vault: Vault, makers: tuple[Data, ...]) -> str:
    """The same for a person."""
    tables = (f"[[vault.device]]\n{tomli_w.dumps(each)}" for each in makers)
    return screen(
        vault.descriptor,
        block(f"Vault: {vault.threshold} of {len(vault.cosigners)}, network {vault.network}", table(_identity(vault))),
        in_words(vault.id),
        block("For the charter, under its [[vault]]: correct it first, and replace every ?", ("", *tables))
        if makers
        else "",
    )


def _identity(vault: Vault) -> list[tuple[str, str]]:
    return [
        ("id", vault.id.hex()),
        ("first address", vault.address(Branch.RECEIVE, 0)),
        ("first change", vault.address(Branch.CHANGE, 0)),
    ]


def vaults_table(history: History) -> str:
    """Every vault of the charter for a person, a line each."""
    rows = [("vault", "signers", "holds", "id")]
    for entry in history.charter.vaults:
        vault = history.charter.vault(entry.name)
        signers = f"{vault.threshold} of {len(vault.cosigners)}"
        rows.append((entry.name, signers, bitcoin(balance(history, vault.id)), vault.id.hex()))
    return "\n".join(table(rows))


def vault_text(entry: CharterVault, vault: Vault, history: History) -> str:
    """One vault of the charter for a person."""
    ((_, totals),) = totals_of(history, entry.name)
    shut = totals["quarantined"]
    rows = [
        ("signers", f"{vault.threshold} of {len(vault.cosigners)}, script {vault.script_type}"),
        ("holds", bitcoin(balance(history, vault.id))),
        *([("quarantined", f"{bitcoin(shut)} of it, until an officer releases it")] if shut else []),
        ("next address", f"index {history.next_index(vault.id, Branch.RECEIVE)}"),
        ("next change", f"index {history.next_index(vault.id, Branch.CHANGE)}"),
        ("deposits", f"count from {entry.confirmations} confirmations on, found from block {entry.birthday} on"),
        *_identity(vault),
    ]
    return screen(
        block(f"Vault {entry.name}, network {vault.network}", table(rows)),
        in_words(vault.id),
        block("Cosigners", [f"{INDENT}{_named(each)}" for each in vault.cosigners]),
        block("Devices", devices_of(entry)),
        block("Descriptor", [f"{INDENT}{vault.descriptor}"]),
    )


def _named(cosigner: Cosigner) -> str:
    return f"{cosigner.expression()}{f'  {cosigner.name}' if cosigner.name else ''}"


def vault_data(charter: Charter, entry: CharterVault, history: History) -> Data:
    """The same for a program."""
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
        "cosigner_names": cosigners_data(entry, vault),
        "next_receive": history.next_index(vault.id, Branch.RECEIVE),
        "next_change": history.next_index(vault.id, Branch.CHANGE),
        "balance": balance(history, vault.id),
    }
