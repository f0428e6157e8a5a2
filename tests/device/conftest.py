"""Which device is tested, the vault it is a cosigner of, and what its holder is told.

    pytest -m device --device coldcard=/tmp/ckcc-simulator.sock
    pytest -m device --device ledger=tcp:127.0.0.1:9999 --device-network testnet4 --device-script sh-wsh
    pytest -m device --device jade=/dev/ttyACM0
    pytest -m device --device trezor --device-refuses

A network address or a Unix socket is an emulator's; anything else is hardware, whose holder presses what is asked. A
device holds any seed and is unlocked. An emulator that has none is given one (emulators.py), and confirms by itself or
is scripted to: docs/how-to/devices.md says how each is started.
"""

import importlib.util
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from custody.backends.hwi.errors import DeviceLocked
from custody.backends.hwi.program import PATIENCE, Patience, Program
from custody.backends.hwi.signer import Device, HwiSigner, open_device, read_cosigner
from custody.backends.keyfile import KeyFileSigner
from custody.errors import CustodyError
from custody.testing.cast import account_path, cosigner_key
from custody.units import Network
from custody.vault.descriptor import Vault
from custody.vault.keys import Cosigner
from custody.vault.templates import ScriptType

OTHERS = ("almaty", "shymkent")
SCRIPTED = Patience(look=60, ask=120, confirm=300)
"""Seconds an emulator gets: a script presses at once, or never."""


class Holder:
    """Who presses the buttons: a person, or an emulator's script. Told what is asked; named when it goes wrong."""

    def __init__(self, config: pytest.Config, device: Device) -> None:
        self._report = config.pluginmanager.get_plugin("terminalreporter")
        self._capture = config.pluginmanager.get_plugin("capturemanager")
        self._device = device

    @contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Say `what` is asked while it is; should something else come back, both stand in the failure."""
        with self._capture.global_and_fixture_disabled():
            self._report.ensure_newline()
            self._report.write_line(f"{self._device}: {what}")
        try:
            yield
        except CustodyError as error:
            came = f"{error.code}: {error}"
            told = f"asked of the {self._device}: {what}\ncame back: {came}\nmay help: {error.advice()}"
        else:
            return
        pytest.fail(told, pytrace=False)


@dataclass(frozen=True)
class Bench:
    """The device under test, in a 2-of-3 vault with two software cosigners."""

    device: Device
    network: Network
    program: Program
    signer: HwiSigner
    vault: Vault
    others: tuple[KeyFileSigner, ...]


@pytest.fixture(scope="session")
def holder(request, bench) -> Holder:
    return Holder(request.config, bench.signer.device)


@pytest.fixture(scope="session")
def bench(request, soft) -> Bench:
    named = request.config.getoption("--device")
    if named is None:
        pytest.skip("no device was named: --device TYPE[=PATH]")
    network = Network(request.config.getoption("--device-network"))
    script_type = ScriptType(request.config.getoption("--device-script"))
    path = named.partition("=")[2]
    device = Device.parse(named, is_emulator=_is_address(path))
    # The device in software, on which the suite itself is tested.
    program = soft if device.type == "soft" else Program(patience=SCRIPTED if device.is_emulator else PATIENCE)
    signer = _opened(device, network, program)
    own = read_cosigner(signer.device, "under test", script_type, network, program=program)
    vault = Vault.create(2, (own, *(software_cosigner(each, script_type) for each in OTHERS)), script_type, network)
    return Bench(device, network, program, signer, vault, tuple(map(cosigner_key, OTHERS)))


def software_cosigner(name: str, script_type: ScriptType) -> Cosigner:
    return Cosigner(name, *cosigner_key(name).account_key(account_path(script_type)))


def _opened(device: Device, network: Network, program: Program) -> HwiSigner:
    try:
        return open_device(device, network, program=program)
    except DeviceLocked:
        if not device.is_emulator:
            raise
    # A vendor's emulator starts without a seed. It is given one that everybody knows; hardware never is.
    spec = importlib.util.spec_from_file_location("emulators", Path(__file__).with_name("emulators.py"))
    emulators = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(emulators)
    emulators.seed(device.type, device.kind.emulator_path(device.path))
    return open_device(device, network, program=program)


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
