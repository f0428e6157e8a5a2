"""A PSBT with another field, as a liar passes it on, and where in a draft to lie."""

from __future__ import annotations

from dataclasses import replace

from custody.bitcoin.profile import TransferPsbt
from custody.testing.cast import secret
from custody.transfer.draft import Draft
from custody.vault.descriptor import Branch, Vault

ATTACKER = b"\x02" + secret("attacker")
"""A public key of nobody's vault."""


def with_input(psbt: TransferPsbt, index: int, **changes) -> TransferPsbt:
    inputs = list(psbt.inputs)
    inputs[index] = replace(inputs[index], **changes)
    return replace(psbt, inputs=tuple(inputs))


def with_output(psbt: TransferPsbt, index: int, **changes) -> TransferPsbt:
    outputs = list(psbt.outputs)
    outputs[index] = replace(outputs[index], **changes)
    return replace(psbt, outputs=tuple(outputs))


def change_at(drafted: Draft, vault: Vault) -> int:
    """Which output is its change."""
    script = vault.script_pubkey(Branch.CHANGE, drafted.change)
    return [output.script_pubkey for output in drafted.transaction.outputs].index(script)
