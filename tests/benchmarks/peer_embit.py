"""How does embit do the work: Python over its own libsecp256k1?"""

from __future__ import annotations

from embit import bip32
from embit.descriptor import Descriptor
from embit.networks import NETWORKS
from embit.psbt import PSBT
from material import Transfer, master_xprv
from measure import Racer, always
from peers import SIGNER, same
from plan import EMBIT, FEW_ADDRESSES, SIZES

from custody.vault.descriptor import Branch, Vault


class Embit:
    """embit: Python over its own libsecp256k1."""

    def derive(self, vault: Vault, count: int) -> list[Racer[object]]:
        if count > FEW_ADDRESSES:
            return []
        parsed = Descriptor.from_string(vault.descriptor.partition("#")[0])

        def run(parsed: Descriptor) -> list[str]:
            derived = (parsed.derive(index, branch_index=Branch.RECEIVE) for index in range(count))
            return [each.address(NETWORKS["regtest"]) for each in derived]

        return [Racer(EMBIT, always(parsed), run, same(vault.addresses(Branch.RECEIVE, 0, count)))]

    def parse(self, transfer: Transfer) -> list[Racer[object]]:
        raw = transfer.unsigned.serialize()
        return [Racer(EMBIT, always(raw), PSBT.parse, same(raw, PSBT.serialize))]

    def sign(self, transfer: Transfer) -> list[Racer[object]]:
        if transfer.size > min(SIZES):
            return []
        raw, root = transfer.unsigned.serialize(), bip32.HDKey.from_string(master_xprv(SIGNER))

        def run(psbt: PSBT) -> PSBT:
            psbt.sign_with(root)
            return psbt

        # It does not look for a short r, so its signatures are others, and as good.
        def check(answer: PSBT) -> None:
            assert all(len(each.partial_sigs) == 1 for each in answer.inputs)

        return [Racer(EMBIT, lambda: PSBT.parse(raw), run, check)]

    def combine(self, transfer: Transfer) -> list[Racer[object]]:
        del transfer
        return []

    write_combined = finalize = combine
