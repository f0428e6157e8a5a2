from collections.abc import Callable
from random import Random

import pytest

from custody.bitcoin import curve
from custody.units import HARDENED, Network
from custody.vault.descriptor import Vault
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin, fingerprint
from custody.vault.templates import ScriptType


def account_path(network: Network, script_type: ScriptType, account: int = 0) -> tuple[int, ...]:
    return (*(n + HARDENED for n in (48, network.coin_type, account)), script_type.bip48_script)


@pytest.fixture(name="cosigner")
def cosigner_maker() -> Callable[..., Cosigner]:
    """A cosigner whose key comes out of `seed`; the same seed gives the same cosigner."""

    def make(
        seed: int,
        network: Network = Network.REGTEST,
        script_type: ScriptType = ScriptType.WSH,
        path: tuple[int, ...] | None = None,
        name: str = "",
    ) -> Cosigner:
        random = Random(seed)  # noqa: S311 - the same keys on every run
        path = account_path(network, script_type, random.randrange(5)) if path is None else path
        key = AccountKey(
            public_key=curve.public_key(random.randbytes(32)),
            chain_code=random.randbytes(32),
            depth=len(path),
            parent_fingerprint=random.randbytes(4),
            child_number=path[-1],
            network_version=network.xpub_version,
        )
        return Cosigner(name, KeyOrigin(fingerprint(curve.public_key(random.randbytes(32))), path), key)

    return make


@pytest.fixture(name="vault")
def vault_maker(cosigner: Callable[..., Cosigner]) -> Callable[..., Vault]:
    """A vault of `threshold` of `keys` cosigners out of `seed`."""

    def make(
        threshold: int = 2,
        keys: int = 3,
        script_type: ScriptType = ScriptType.WSH,
        network: Network = Network.REGTEST,
        seed: int = 1,
    ) -> Vault:
        cosigners = [cosigner(seed * 1000 + i, network, script_type) for i in range(keys)]
        return Vault.create(threshold, cosigners, script_type, network)

    return make
