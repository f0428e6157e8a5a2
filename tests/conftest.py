"""How hypothesis runs, real nodes, and which device stands in for hardware.

A node is `$BITCOIND`, else `bitcoind` on PATH, else what scripts/fetch_bitcoind.sh fetches. Devices in software
stand in tests/soft.

No deadline anywhere, and the same examples every time on a build server.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from custody.backends.hwi.program import Patience, Program
from custody.testing.chain import RegtestChain
from custody.testing.node import NodeChain, OfflineNode

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest and tempfile make folders of their own in it
_ROOM = 4 << 30
"""Bytes that a run may take; some 800 MB stand at once."""


def _is_roomy(folder):
    return (
        os.access(folder, os.W_OK | os.X_OK)
        and not os.statvfs(folder).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(folder).free > _ROOM
    )


if "TMPDIR" not in os.environ and _is_roomy(_MEMORY):
    # A store is synced at every step, which takes a disk 3 ms each time: a sixth of the whole run.
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

_FETCH = Path(__file__).resolve().parents[1] / "scripts" / "fetch_bitcoind.sh"
_SOFT = Path(__file__).with_name("soft")


@pytest.fixture(scope="session")
def bitcoind():
    """Path of a bitcoind. Where none can be had, tests that need it are skipped; on a build server they fail."""
    return _fetched(os.environ)


@pytest.fixture(scope="session")
def bitcoin_cli(bitcoind):
    """Path of a bitcoin-cli: beside the bitcoind, on PATH, or the fetched one, which speaks to any of them."""
    beside = Path(bitcoind).with_name("bitcoin-cli")
    found = beside if beside.exists() else shutil.which("bitcoin-cli")
    if found is not None:
        return Path(found)
    environment = {key: value for key, value in os.environ.items() if key != "BITCOIND"}
    return Path(_fetched(environment)).with_name("bitcoin-cli")


def _fetched(environment):
    """What the script finds or fetches, in this environment."""
    found = subprocess.run([_FETCH], capture_output=True, text=True, check=False, env=environment)
    if found.returncode == 0:
        return found.stdout.strip()
    reason = (found.stderr.strip().splitlines() or ["no bitcoind"])[-1]
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node(bitcoind):
    """A regtest node that all tests share: only for questions that change nothing on it."""
    with OfflineNode(bitcoind) as running:
        yield running


@pytest.fixture
def node_chain(bitcoind):
    """A node of one's own with nothing on it but the genesis block."""
    with OfflineNode(bitcoind) as running, NodeChain(running) as chain:
        yield chain


@pytest.fixture(params=["kernel", "bitcoind"])
def any_chain(request):
    """A chain of each kind, with nothing on it but the genesis block."""
    if request.param == "bitcoind":
        yield request.getfixturevalue("node_chain")
    else:
        with RegtestChain() as chain:
            yield chain


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """How many processes `-n auto` means: as many as cores, but one for what is chosen by another -m.

    A device is asked one question at a time, and its holder is told on the terminal, which only one process has.
    """
    is_usual = config.getoption("markexpr") in config.getini("addopts")
    return None if is_usual else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("devices", "hardware devices and their emulators (-m device)")
    group.addoption("--device", metavar="TYPE[=PATH]", help="the device to test, such as ledger=tcp:127.0.0.1:9999")
    group.addoption(
        "--device-network", default="regtest", metavar="NETWORK", help="whose coins it is shown (default: %(default)s)"
    )
    group.addoption(
        "--device-script",
        default="wsh",
        choices=("wsh", "sh-wsh"),
        help="what locks the vault's coins (default: %(default)s)",
    )
    group.addoption(
        "--device-refuses",
        action="store_true",
        help="its holder, or the emulator's script, will say no: test only that",
    )


@pytest.fixture(scope="session")
def soft() -> Program:
    """The device's process with `hwilib.devices.soft` in it (tests/soft)."""
    return Program((sys.executable, "-P", str(_SOFT / "child.py")))


@pytest.fixture(scope="session")
def soft_coldcard():
    """A Coldcard's side of its protocol: call with the path of its socket and a seed (tests/soft/coldcard.py)."""
    return _soft_module("coldcard").SoftColdcard


@pytest.fixture(scope="session")
def soft_jade():
    """A Jade's side of its protocol: call with a seed (tests/soft/jade.py)."""
    return _soft_module("jade").SoftJade


def _soft_module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"soft_{name}", _SOFT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hostile():
    """Programs that answer in a device's stead as an attacker would, by what they do (tests/soft/hostile.py)."""

    def program(how: str, seconds: int = 60) -> Program:
        command = (sys.executable, "-P", str(_SOFT / "hostile.py"), how)
        return Program(command, Patience(seconds, seconds, seconds))

    return program


@pytest.fixture(scope="session")
def tapes() -> Path:
    """The folder of recorded device sessions, beside the checkout: read in place, never copied."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "tapes"
    if not folder.is_dir():
        reason = "recorded sessions are not beside this checkout (expected ../shared/tapes)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
