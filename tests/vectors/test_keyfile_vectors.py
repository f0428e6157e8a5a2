"""BIP 32's own vectors, through the private derivation of key files."""

import json

from custody.backends.keyfile import KeyFileSigner, create_master_key
from custody.units import HARDENED, Network


def numbers_of(path: str) -> tuple[int, ...]:
    steps = path.split("/")[1:]
    return tuple(int(step.rstrip("hH'")) + (0 if step[-1].isdigit() else HARDENED) for step in steps)


def test_every_extended_public_key_of_bip_32_comes_out_of_its_seed(vectors):
    cases = json.loads((vectors / "bips-extracted" / "bip032.json").read_bytes())["valid"]
    assert cases
    for case in cases:
        file = create_master_key(
            b"correct horse battery staple",
            name="vector",
            network=Network.MAIN,
            seed=bytes.fromhex(case["seed"]),
            cost=2**15,
            unsafe_mainnet_key_file=True,
        )
        signer = KeyFileSigner(file, b"correct horse battery staple", unsafe_mainnet_key_file=True)
        for chain in case["chains"]:
            assert str(signer.account_key(numbers_of(chain["path"]))[1]) == chain["xpub"], chain["path"]
