"""How do enough cosigners spend a coin past all of us? Regtest only: everybody can compute these keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from custody.bitcoin.profile import Direction, ProfileOutput, TransferPsbt
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.cast import Cast
from custody.vault.descriptor import Branch

_FEE = 10_000
_NOBODY = b"\x00\x14" + bytes(20)


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
