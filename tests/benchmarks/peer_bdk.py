"""How does bdkpython do the work: bdk_wallet and rust-miniscript in a native library?"""

from __future__ import annotations

from collections.abc import Callable

import bdkpython as bdk
from material import Transfer, descriptor
from measure import Racer, always
from peers import SIGNER, from_text, is_whole, same
from plan import BDK

from custody.vault.descriptor import Branch, Vault


class Bdk:
    """bdkpython: bdk_wallet and rust-miniscript in a native library."""

    _KIND = bdk.NetworkKind.TEST
    _SIGN = bdk.SignOptions(
        trust_witness_utxo=False,
        assume_height=None,
        allow_all_sighashes=False,
        try_finalize=False,
        sign_with_tap_internal_key=True,
        allow_grinding=True,
    )

    def derive(self, vault: Vault, count: int) -> list[Racer[object]]:
        def run(wallet: bdk.Wallet) -> list[str]:
            return [str(each.address) for each in wallet.reveal_addresses_to(bdk.KeychainKind.EXTERNAL, count - 1)]

        racer = Racer(BDK, lambda: self._wallet(vault), run, same(vault.addresses(Branch.RECEIVE, 0, count)))
        return [racer]

    def parse(self, transfer: Transfer) -> list[Racer[object]]:
        text = transfer.unsigned.to_base64()
        racer = Racer(BDK, always(text), bdk.Psbt, same(text, lambda psbt: psbt.serialize()))
        return [racer]

    def sign(self, transfer: Transfer) -> list[Racer[object]]:
        wallet, text = self._wallet(transfer.vault, SIGNER), transfer.unsigned.to_base64()

        def run(psbt: bdk.Psbt) -> bdk.Psbt:
            wallet.sign(psbt, self._SIGN)
            return psbt

        signed = same(transfer.returned[0].to_base64(), lambda psbt: psbt.serialize())
        return [Racer(BDK, lambda: bdk.Psbt(text), run, signed)]

    def combine(self, transfer: Transfer) -> list[Racer[object]]:
        check = is_whole(transfer, lambda psbt: from_text(psbt.serialize()))
        return [Racer(BDK, self._three(transfer), self._combined, check)]

    def write_combined(self, transfer: Transfer) -> list[Racer[object]]:
        def run(three: list[bdk.Psbt]) -> str:
            return self._combined(three).serialize()

        return [Racer(BDK, self._three(transfer), run, is_whole(transfer, from_text))]

    def finalize(self, transfer: Transfer) -> list[Racer[object]]:
        text = transfer.whole.to_base64()

        def final(answer: bdk.FinalizedPsbtResult) -> bytes:
            return bytes(answer.psbt.extract_tx_unchecked_fee_rate().serialize())

        racer = Racer(BDK, lambda: bdk.Psbt(text), bdk.Psbt.finalize, same(transfer.final, final))
        return [racer]

    def _wallet(self, vault: Vault, private: str = "") -> bdk.Wallet:
        branches = [bdk.Descriptor(descriptor(vault, branch, private), self._KIND) for branch in Branch]
        return bdk.Wallet(*branches, bdk.Network.REGTEST, bdk.Persister.new_in_memory())

    def _three(self, transfer: Transfer) -> Callable[[], list[bdk.Psbt]]:
        texts = [each.to_base64() for each in transfer.returned]
        return lambda: [bdk.Psbt(text) for text in texts]

    def _combined(self, three: list[bdk.Psbt]) -> bdk.Psbt:
        return three[0].combine(three[1]).combine(three[2])
