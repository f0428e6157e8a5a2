"""What does a second script interpreter, written in Python, say about a finished transaction?

python-bitcointx shares no code with Bitcoin Core's interpreter or with ours. It judges segwit v0, plain or inside P2SH,
up to 100 inputs: its time grows with their square, it accepts taproot spends that are invalid, and it does not look at
relative locks.

It needs a libsecp256k1 and is pointed at the one that coincurve's wheel carries. Which coin its classes are for is a
context variable that is unset in a new thread, so every judgement runs in a context of its own, with Bitcoin's classes.
"""

from __future__ import annotations

import contextvars
from collections.abc import Sequence
from typing import Final

import coincurve

from custody.extras import part_of_an_extra

with part_of_an_extra:
    import bitcointx

bitcointx.set_custom_secp256k1_path(coincurve._libsecp256k1.__file__)  # noqa: SLF001 - must stand before the next imports

from bitcointx.core import CBitcoinTransaction, CoreBitcoinClassDispatcher, ValidationError  # noqa: E402
from bitcointx.core.script import CBitcoinScript, CScriptInvalidError, ScriptBitcoinClassDispatcher  # noqa: E402
from bitcointx.core.scripteval import VerifyScript  # noqa: E402
from bitcointx.core.serialize import SerializationError  # noqa: E402
from bitcointx.util import activate_class_dispatcher  # noqa: E402

from custody.bitcoin.script import OutputType, output_type  # noqa: E402
from custody.bitcoin.transaction import TxOut  # noqa: E402
from custody.ports import plain_reason  # noqa: E402

MAX_INPUTS: Final = 100
_JUDGED: Final = frozenset({OutputType.P2WPKH, OutputType.P2WSH, OutputType.P2SH})


class BitcointxJudge:
    """Implements `Judge` on python-bitcointx."""

    name: Final = "python-bitcointx"

    def applies_to(self, inputs: int, spent: Sequence[TxOut]) -> bool:
        """Whether there are at most 100 inputs, each spending segwit v0 or P2SH."""
        return inputs <= MAX_INPUTS and all(output_type(each.script_pubkey) in _JUDGED for each in spent)

    def judge(self, raw: bytes, spent: Sequence[TxOut]) -> str | None:
        """None when every input of `raw` satisfies the output it spends, in order; else why not.

        What it does not apply to, it refuses: silence would read as consent.
        """
        if not self.applies_to(len(spent), spent):
            return "this judge cannot speak about such a transaction"
        return contextvars.Context().run(_judge, raw, spent)


def _judge(raw: bytes, spent: Sequence[TxOut]) -> str | None:
    activate_class_dispatcher(CoreBitcoinClassDispatcher)
    activate_class_dispatcher(ScriptBitcoinClassDispatcher)
    try:
        transaction = CBitcoinTransaction.deserialize(raw)
    except (SerializationError, ValidationError, ValueError):
        return "it is not a transaction"
    if len(transaction.vin) != len(spent) or not spent:
        return f"it has {len(transaction.vin)} inputs, but {len(spent)} spent outputs were given"
    witnesses = transaction.wit.vtxinwit
    for index, (spending, output) in enumerate(zip(transaction.vin, spent, strict=True)):
        try:
            # No flags: hand-picked ones leave out checks.
            VerifyScript(
                spending.scriptSig,
                CBitcoinScript(output.script_pubkey),
                transaction,
                index,
                amount=output.amount,
                witness=witnesses[index].scriptWitness if witnesses else None,
            )
        except (ValidationError, CScriptInvalidError, ValueError) as error:
            return plain_reason(f"input {index}: {error}")
    return None
