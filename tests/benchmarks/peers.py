"""How do embit, bdkpython, wallycore and bitcoind do the same work, each in its fastest way?

A peer answers with racers for a piece of work, or with none where it has no such thing. Where a peer reads and writes
text, `against` names our own racer that does so too. Everything a peer gives is compared with ours before a clock runs,
so nobody is fast by doing something else.

What they are not asked: libwally and embit finalise without verifying a signature, and embit has no combiner.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import bdkpython as bdk
import wallycore as wally
from embit import bip32
from embit.descriptor import Descriptor
from embit.networks import NETWORKS
from embit.psbt import PSBT
from material import COSIGNERS, Transfer, any_weight, descriptor, master_xprv
from measure import Racer, always
from node import Node

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.vault.descriptor import Branch, Vault

OBJECTS = "ours"
"""Our racer from objects to objects, or from and to bytes."""
TEXT = "ours, text"
MOST_EMBIT_ADDRESSES = 1_000
MOST_EMBIT_INPUTS = 100
"""Its signing grows with the square of the inputs."""
SIGNER = COSIGNERS[0]
"""Who signs: the first cosigner, whose result is `transfer.returned[0]`."""


@dataclass(frozen=True)
class Entry:
    """A peer's racer, our racer it is compared with, and the target of their ratio."""

    racer: Racer[object]
    against: str = OBJECTS
    target: float | None = None


class Peer(Protocol):
    """Somebody to race against."""

    def derive(self, vault: Vault, count: int) -> list[Entry]:
        """The vault's first `count` receive addresses, as text."""

    def parse(self, transfer: Transfer) -> list[Entry]:
        """Read the unsigned PSBT."""

    def sign(self, transfer: Transfer) -> list[Entry]:
        """Sign every input with the first cosigner's key."""

    def combine(self, transfer: Transfer) -> list[Entry]:
        """Make one PSBT of three."""

    def write_combined(self, transfer: Transfer) -> list[Entry]:
        """The same, and write it."""

    def finalize(self, transfer: Transfer) -> list[Entry]:
        """Make the finished transaction, every signature verified."""


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

    def derive(self, vault: Vault, count: int) -> list[Entry]:
        def run(wallet: bdk.Wallet) -> list[str]:
            return [str(each.address) for each in wallet.reveal_addresses_to(bdk.KeychainKind.EXTERNAL, count - 1)]

        racer = Racer("bdkpython", lambda: self._wallet(vault), run, _same(vault.addresses(Branch.RECEIVE, 0, count)))
        return [Entry(racer, target=0.45)]

    def parse(self, transfer: Transfer) -> list[Entry]:
        text = transfer.unsigned.to_base64()
        racer = Racer("bdkpython", always(text), bdk.Psbt, _same(text, lambda psbt: psbt.serialize()))
        return [Entry(racer, TEXT, 0.1)]

    def sign(self, transfer: Transfer) -> list[Entry]:
        wallet, text = self._wallet(transfer.vault, SIGNER), transfer.unsigned.to_base64()

        def run(psbt: bdk.Psbt) -> bdk.Psbt:
            wallet.sign(psbt, self._SIGN)
            return psbt

        signed = _same(transfer.returned[0].to_base64(), lambda psbt: psbt.serialize())
        return [Entry(Racer("bdkpython", lambda: bdk.Psbt(text), run, signed), target=0.35)]

    def combine(self, transfer: Transfer) -> list[Entry]:
        check = _is_whole(transfer, lambda psbt: _from_text(psbt.serialize()))
        return [Entry(Racer("bdkpython", self._three(transfer), self._combined, check), target=0.5)]

    def write_combined(self, transfer: Transfer) -> list[Entry]:
        def run(three: list[bdk.Psbt]) -> str:
            return self._combined(three).serialize()

        return [Entry(Racer("bdkpython", self._three(transfer), run, _is_whole(transfer, _from_text)), TEXT)]

    def finalize(self, transfer: Transfer) -> list[Entry]:
        text = transfer.whole.to_base64()

        def final(answer: bdk.FinalizedPsbtResult) -> bytes:
            return bytes(answer.psbt.extract_tx_unchecked_fee_rate().serialize())

        racer = Racer("bdkpython", lambda: bdk.Psbt(text), bdk.Psbt.finalize, _same(transfer.final, final))
        return [Entry(racer, target=0.4 if transfer.size < 1_000 else 0.1)]

    def _wallet(self, vault: Vault, private: str = "") -> bdk.Wallet:
        branches = [bdk.Descriptor(descriptor(vault, branch, private), self._KIND) for branch in Branch]
        return bdk.Wallet(*branches, bdk.Network.REGTEST, bdk.Persister.new_in_memory())

    def _three(self, transfer: Transfer) -> Callable[[], list[bdk.Psbt]]:
        texts = [each.to_base64() for each in transfer.returned]
        return lambda: [bdk.Psbt(text) for text in texts]

    def _combined(self, three: list[bdk.Psbt]) -> bdk.Psbt:
        return three[0].combine(three[1]).combine(three[2])


class Wally:
    """wallycore: libwally, in C. Its signing cache is off unless asked for, so it is raced without and with it."""

    def derive(self, vault: Vault, count: int) -> list[Entry]:
        parsed = wally.descriptor_parse(descriptor(vault, Branch.RECEIVE), None, wally.WALLY_NETWORK_BITCOIN_REGTEST, 0)

        def run(parsed: object) -> list[str]:
            return wally.descriptor_to_addresses(parsed, 0, 0, 0, 0, count)

        return [Entry(Racer("wallycore", always(parsed), run, _same(vault.addresses(Branch.RECEIVE, 0, count))))]

    def parse(self, transfer: Transfer) -> list[Entry]:
        raw = transfer.unsigned.serialize()
        racer = Racer("wallycore (bare parse)", always(raw), _wally_read, _same(raw, _wally_bytes))
        return [Entry(racer, target=1.0)]

    def sign(self, transfer: Transfer) -> list[Entry]:
        raw, signed = transfer.unsigned.serialize(), _same(transfer.returned[0].serialize(), _wally_bytes)
        key = wally.bip32_key_from_base58(master_xprv(SIGNER))

        def run(psbt: object) -> object:
            wally.psbt_sign_bip32(psbt, key, wally.EC_FLAG_GRIND_R)
            return psbt

        def cached() -> object:
            psbt = _wally_read(raw)
            wally.psbt_signing_cache_enable(psbt, 0)
            return psbt

        return [
            Entry(Racer("wallycore", lambda: _wally_read(raw), run, signed), target=0.7),
            Entry(Racer("wallycore, signing cache on", cached, run, signed), target=0.7),
        ]

    def combine(self, transfer: Transfer) -> list[Entry]:
        return [Entry(Racer("wallycore", self._three(transfer), self._combined, _is_whole(transfer, _wally_bytes)))]

    def write_combined(self, transfer: Transfer) -> list[Entry]:
        def run(three: list[object]) -> bytes:
            return _wally_bytes(self._combined(three))

        return [Entry(Racer("wallycore", self._three(transfer), run, _is_whole(transfer)))]

    def finalize(self, transfer: Transfer) -> list[Entry]:
        del transfer
        return []

    def _three(self, transfer: Transfer) -> Callable[[], list[object]]:
        raws = [each.serialize() for each in transfer.returned]
        return lambda: [_wally_read(raw) for raw in raws]

    def _combined(self, three: list[object]) -> object:
        first, *others = three
        for other in others:
            wally.psbt_combine(first, other)
        return first


class Embit:
    """embit: Python over its own libsecp256k1."""

    def derive(self, vault: Vault, count: int) -> list[Entry]:
        if count > MOST_EMBIT_ADDRESSES:
            return []
        parsed = Descriptor.from_string(vault.descriptor.partition("#")[0])

        def run(parsed: Descriptor) -> list[str]:
            derived = (parsed.derive(index, branch_index=Branch.RECEIVE) for index in range(count))
            return [each.address(NETWORKS["regtest"]) for each in derived]

        return [Entry(Racer("embit", always(parsed), run, _same(vault.addresses(Branch.RECEIVE, 0, count))))]

    def parse(self, transfer: Transfer) -> list[Entry]:
        raw = transfer.unsigned.serialize()
        return [Entry(Racer("embit", always(raw), PSBT.parse, _same(raw, PSBT.serialize)))]

    def sign(self, transfer: Transfer) -> list[Entry]:
        if transfer.size > MOST_EMBIT_INPUTS:
            return []
        raw, root = transfer.unsigned.serialize(), bip32.HDKey.from_string(master_xprv(SIGNER))

        def run(psbt: PSBT) -> PSBT:
            psbt.sign_with(root)
            return psbt

        # It does not look for a short r, so its signatures are others, and as good.
        def check(answer: PSBT) -> None:
            assert all(len(each.partial_sigs) == 1 for each in answer.inputs)

        return [Entry(Racer("embit", lambda: PSBT.parse(raw), run, check))]

    def combine(self, transfer: Transfer) -> list[Entry]:
        del transfer
        return []

    write_combined = finalize = combine


class Bitcoind:
    """bitcoind: what an RPC costs the node, its reading and writing of text included."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._has_signer = False

    def derive(self, vault: Vault, count: int) -> list[Entry]:
        text = self._node.with_checksum(descriptor(vault, Branch.RECEIVE))

        def run(text: str) -> object:
            return self._node.call("deriveaddresses", text, [0, count - 1])

        check = _same(vault.addresses(Branch.RECEIVE, 0, count))
        return [Entry(Racer("bitcoind deriveaddresses", always(text), run, check, self._node.cpu), target=0.5)]

    def parse(self, transfer: Transfer) -> list[Entry]:
        del transfer
        return []

    def sign(self, transfer: Transfer) -> list[Entry]:
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
        return [Entry(racer, TEXT, 0.3)]

    def combine(self, transfer: Transfer) -> list[Entry]:
        del transfer
        return []

    write_combined = combine

    def finalize(self, transfer: Transfer) -> list[Entry]:
        def run(text: str) -> object:
            return self._node.call("finalizepsbt", text)

        check = _same(transfer.final.hex(), lambda answer: answer["hex"])
        text = transfer.whole.to_base64()
        return [Entry(Racer("bitcoind finalizepsbt", always(text), run, check, self._node.cpu))]


def library_peers() -> list[Peer]:
    """The peers that are libraries in this process."""
    return [Bdk(), Wally(), Embit()]


def _wally_read(raw: bytes) -> object:
    return wally.psbt_from_bytes(raw, 0)


def _wally_bytes(psbt: object) -> bytes:
    return bytes(wally.psbt_to_bytes(psbt, 0))


def _from_text(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _is_whole(transfer: Transfer, read: Callable[[object], bytes] = bytes) -> Callable[[object], None]:
    """The PSBT with three signatures on every input, in whatever order its fields stand."""
    with any_weight():
        whole = TransferPsbt.from_psbt(transfer.whole, Direction.FROM_SIGNER)
    return _same(whole, lambda answer: TransferPsbt.from_psbt(Psbt.parse(read(answer)), Direction.FROM_SIGNER))


def _same(expected: object, read: Callable[[object], object] = lambda answer: answer) -> Callable[[object], None]:
    def check(answer: object) -> None:
        found = read(answer)
        assert found == expected, "a peer gives another answer than ours"

    return check
