"""Which device is tested, and the vault it is a cosigner of.

    pytest -m device --device coldcard=/tmp/ckcc-simulator.sock
    pytest -m device --device ledger=tcp:127.0.0.1:9999 --device-network testnet4
    pytest -m device --device jade=/dev/ttyACM0
    pytest -m device --device trezor --device-refuses

A network address or a Unix socket is an emulator's; anything else is hardware, whose holder presses what is asked. The
device holds a seed already and is unlocked; an emulator confirms by itself or is scripted to.
"""

import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from custody.backends.hwi.program import Program
from custody.backends.hwi.signer import Device, HwiSigner, open_device, read_cosigner
from custody.backends.keyfile import KeyFileSigner
from custody.testing.cast import account_path, cosigner_key
from custody.units import Network
from custody.vault.descriptor import Vault
from custody.vault.keys import Cosigner
from custody.vault.templates import ScriptType

OTHERS = ("almaty", "shymkent")


@dataclass(frozen=True)
class Bench:
    """The device under test, in a 2-of-3 vault with two software cosigners."""

    device: Device
    network: Network
    program: Program
    signer: HwiSigner
    vault: Vault
    others: tuple[KeyFileSigner, ...]


def software_cosigner(name: str) -> Cosigner:
    return Cosigner(name, *cosigner_key(name).account_key(account_path(ScriptType.WSH)))


@pytest.fixture(scope="session")
def bench(request, soft) -> Bench:
    named = request.config.getoption("--device")
    if named is None:
        pytest.skip("no device was named: --device TYPE[=PATH]")
    network = Network(request.config.getoption("--device-network"))
    path = named.partition("=")[2]
    device = Device.parse(named, is_emulator=_is_address(path))
    # The device in software, on which the suite itself is tested.
    program = soft if device.type == "soft" else Program()
    signer = open_device(device, network, program=program)
    own = read_cosigner(signer.device, "under test", ScriptType.WSH, network, program=program)
    vault = Vault.create(2, (own, *map(software_cosigner, OTHERS)), ScriptType.WSH, network)
    return Bench(device, network, program, signer, vault, tuple(map(cosigner_key, OTHERS)))


def _is_address(path: str) -> bool:
    is_network = path.startswith(("tcp:", "udp:", "127.", "localhost:"))
    return is_network or (bool(path) and Path(path).exists() and stat.S_ISSOCK(Path(path).stat().st_mode))


def pytest_collection_modifyitems(config, items):
    """With --device-refuses only the refusal is tested, and without it everything else."""
    says_no = config.getoption("--device-refuses")
    for item in items:
        is_refusal = item.get_closest_marker("refusal") is not None
        if item.get_closest_marker("device") is not None and is_refusal != says_no:
            reason = "its holder is to say no (--device-refuses)" if says_no else "only with --device-refuses"
            item.add_marker(pytest.mark.skip(reason=reason))
