"""What do bitcoind's RPCs cost it, its reading and writing of text included?"""

from __future__ import annotations

from material import Transfer, descriptor
from measure import Racer, always
from node import Node
from peers import SIGNER, same

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.vault.descriptor import Branch, Vault


class Bitcoind:
    """bitcoind: what an RPC costs the node, its reading and writing of text included."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._has_signer = False

    def derive(self, vault: Vault, count: int) -> list[Racer[object]]:
        text = self._node.with_checksum(descriptor(vault, Branch.RECEIVE))

        def run(text: str) -> object:
            return self._node.call("deriveaddresses", text, [0, count - 1])

        check = same(vault.addresses(Branch.RECEIVE, 0, count))
        return [Racer("bitcoind deriveaddresses", always(text), run, check, self._node.cpu)]

    def parse(self, transfer: Transfer) -> list[Racer[object]]:
        del transfer
        return []

    def sign(self, transfer: Transfer) -> list[Racer[object]]:
        if not self._has_signer:
            branches = [descriptor(transfer.vault, branch, SIGNER) for branch in Branch]
            self._node.open_wallet("signer", branches, 1_000, has_keys=True)
            self._has_signer = True

        def run(text: str) -> object:
            # Sign with ALL, do not finalise.
            return self._node.call("walletprocesspsbt", text, True, "ALL", True, False, wallet="signer")  # noqa: FBT003

        def check(answer: dict[str, str]) -> None:
            theirs = TransferPsbt.from_psbt(Psbt.from_base64(answer["psbt"]), Direction.FROM_SIGNER)
            ours = TransferPsbt.from_psbt(transfer.returned[0], Direction.FROM_SIGNER)
            assert [each.signatures for each in theirs.inputs] == [each.signatures for each in ours.inputs]

        text = transfer.unsigned.to_base64()
        racer = Racer("bitcoind walletprocesspsbt", always(text), run, check, self._node.cpu)
        return [racer]

    def combine(self, transfer: Transfer) -> list[Racer[object]]:
        del transfer
        return []

    write_combined = combine

    def finalize(self, transfer: Transfer) -> list[Racer[object]]:
        def run(text: str) -> object:
            return self._node.call("finalizepsbt", text)

        check = same(transfer.final.hex(), lambda answer: answer["hex"])
        text = transfer.whole.to_base64()
        return [Racer("bitcoind finalizepsbt", always(text), run, check, self._node.cpu)]
