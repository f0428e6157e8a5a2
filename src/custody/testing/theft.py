"""How do enough cosigners spend a coin past all of us? Regtest only: everybody can compute these keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from custody.bitcoin.profile import Direction, ProfileOutput, TransferPsbt
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.cast import Cast
from custody.testing.scenario import Scenario
from custody.vault.descriptor import Branch

_FEE: Final = 10_000
_FAR: Final = 70
"""A change index that no story comes to."""
_NOBODY: Final = b"\x00\x14" + bytes(20)


def steal(
    cast: Cast,
    funding: Transaction,
    vout: int,
    index: int,
    branch: Branch = Branch.RECEIVE,
    outputs: Sequence[TxOut] | None = None,
) -> Transaction:
    """A finished spend of the output `vout` of `funding`, which lies at an index of the cast's vault.

    It pays nobody known, or `outputs`.
    """
    vault, spent = cast.vault, funding.outputs[vout]
    paid = tuple(outputs) if outputs is not None else (TxOut(max(spent.amount - _FEE, 300), _NOBODY),)
    unsigned = Transaction(2, (TxIn(OutPoint(funding.txid, vout), b"", 0xFFFFFFFD),), paid, 0)
    fields = replace(vault.input_fields(branch, index), previous_transaction=funding.stripped(), witness_utxo=spent)
    asked = TransferPsbt(
        transaction=unsigned,
        account_keys=(),
        inputs=(fields,),
        outputs=(ProfileOutput(),) * len(paid),
    )
    signatures: dict[bytes, bytes] = {}
    for signer in cast.signers[: vault.threshold]:
        returned = TransferPsbt.from_psbt(signer.sign(asked.to_psbt()), Direction.FROM_SIGNER)
        signatures |= dict(returned.inputs[0].signatures)
    lock = vault.lock(branch, index)
    witness = lock.witness([signatures.get(key, b"") for key in vault.holders(branch, index)])
    spending = replace(unsigned.inputs[0], script_sig=lock.script_sig)
    return replace(unsigned, inputs=(spending,), witness=(witness,))


def steal_coin(story: Scenario) -> Transaction:
    """A coin that comes to a story's vault and is stolen in the same block, the next one; what steals it."""
    script = story.cast.vault.script_pubkey(Branch.CHANGE, _FAR)
    funding = story.chain.pay_all([TxOut(7_000_000, script)])
    stolen = steal(story.cast, funding, 0, _FAR, Branch.CHANGE)
    story.chain.view.send(stolen.serialize())
    return stolen
