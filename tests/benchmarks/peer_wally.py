"""How does wallycore do the work: libwally, in C?"""

from __future__ import annotations

from collections.abc import Callable

import wallycore as wally
from material import Transfer, descriptor, master_xprv
from measure import Racer, always
from peers import SIGNER, is_whole, same
from plan import WALLY

from custody.vault.descriptor import Branch, Vault


class Wally:
    """wallycore: libwally, in C. Its signing cache is off unless asked for, so it is raced without and with it."""

    def derive(self, vault: Vault, count: int) -> list[Racer[object]]:
        parsed = wally.descriptor_parse(descriptor(vault, Branch.RECEIVE), None, wally.WALLY_NETWORK_BITCOIN_REGTEST, 0)

        def run(parsed: object) -> list[str]:
            return wally.descriptor_to_addresses(parsed, 0, 0, 0, 0, count)

        return [Racer(WALLY, always(parsed), run, same(vault.addresses(Branch.RECEIVE, 0, count)))]

    def parse(self, transfer: Transfer) -> list[Racer[object]]:
        raw = transfer.unsigned.serialize()
        racer = Racer("wallycore (bare parse)", always(raw), _wally_read, same(raw, _wally_bytes))
        return [racer]

    def sign(self, transfer: Transfer) -> list[Racer[object]]:
        raw, signed = transfer.unsigned.serialize(), same(transfer.returned[0].serialize(), _wally_bytes)
        key = wally.bip32_key_from_base58(master_xprv(SIGNER))

        def run(psbt: object) -> object:
            wally.psbt_sign_bip32(psbt, key, wally.EC_FLAG_GRIND_R)
            return psbt

        def cached() -> object:
            psbt = _wally_read(raw)
            wally.psbt_signing_cache_enable(psbt, 0)
            return psbt

        return [
            Racer(WALLY, lambda: _wally_read(raw), run, signed),
            Racer("wallycore, signing cache on", cached, run, signed),
        ]

    def combine(self, transfer: Transfer) -> list[Racer[object]]:
        return [Racer(WALLY, self._three(transfer), self._combined, is_whole(transfer, _wally_bytes))]

    def write_combined(self, transfer: Transfer) -> list[Racer[object]]:
        def run(three: list[object]) -> bytes:
            return _wally_bytes(self._combined(three))

        return [Racer(WALLY, self._three(transfer), run, is_whole(transfer))]

    def finalize(self, transfer: Transfer) -> list[Racer[object]]:
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


def _wally_read(raw: bytes) -> object:
    return wally.psbt_from_bytes(raw, 0)


def _wally_bytes(psbt: object) -> bytes:
    return bytes(wally.psbt_to_bytes(psbt, 0))
