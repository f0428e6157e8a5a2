"""Does every input of a finished transaction satisfy what it spends, by Bitcoin Core's own script interpreter?

Scripts only: whether inputs exist, are mature or are spent elsewhere is the chain's business, and sums are the
drafter's. All consensus flags are on, taproot included, so what every input spends must be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pbk
import pbk.script

from custody.bitcoin.transaction import TxOut
from custody.units import MAX_MONEY

_FLAGS: Final = pbk.ScriptVerificationFlags.ALL


class KernelJudge:
    """Implements `Judge` on libbitcoinkernel. It has an opinion on every transaction."""

    name: Final = "libbitcoinkernel"

    def applies_to(self, inputs: int, spent: Sequence[TxOut]) -> bool:  # noqa: ARG002 - the port asks
        """True: it knows every kind of script."""
        return True

    def judge(self, raw: bytes, spent: Sequence[TxOut]) -> str | None:
        """None when every input of `raw` satisfies the output it spends, in order; else the first that does not."""
        try:
            transaction = pbk.Transaction(raw)
        except RuntimeError:
            return "it is not a transaction"
        return _mismatch(raw, transaction, spent) or _first_failure(transaction, spent)


def _mismatch(raw: bytes, transaction: pbk.Transaction, spent: Sequence[TxOut]) -> str | None:
    """Why the library must not be asked about these at all."""
    # It stops reading where a transaction ends, and says nothing about what follows.
    if bytes(transaction) != raw:
        return "it is not one transaction in its one spelling"
    # It would read past the end of what it was given.
    inputs = len(transaction.inputs)
    if inputs != len(spent) or not inputs:
        return f"it has {inputs} inputs, but {len(spent)} spent outputs were given"
    # Amounts go to C as 64 bits: a larger one would be cut, not refused.
    if not all(0 <= output.amount <= MAX_MONEY for output in spent):
        return "a spent output's amount is out of range"
    return None


def _first_failure(transaction: pbk.Transaction, spent: Sequence[TxOut]) -> str | None:
    scripts = [pbk.ScriptPubkey(output.script_pubkey) for output in spent]
    outputs = [pbk.TransactionOutput(script, each.amount) for script, each in zip(scripts, spent, strict=True)]
    precomputed = pbk.script.PrecomputedTransactionData(transaction, outputs)
    for index, (script, output) in enumerate(zip(scripts, spent, strict=True)):
        try:
            is_valid = script.verify(output.amount, transaction, precomputed, index, _FLAGS)
        except pbk.ScriptVerifyException as error:
            return f"input {index} could not be judged: {error.status.name}"
        if not is_valid:
            return f"input {index} does not satisfy the script it spends"
    return None
