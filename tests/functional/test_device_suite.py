"""The suite that runs against hardware and emulators (tests/device) is itself run here, against devices in software.

It passes for a device that behaves and fails for one that does not; without a device it says what it needs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from custody.testing.cast import secret

ROOT = Path(__file__).resolve().parents[2]


def suite(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/device", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_it_passes_for_a_device_that_behaves():
    ended = suite("-m", "device", "--device", "soft=soft:astana", SOFT_DEVICES="soft:astana")
    assert ended.returncode == 0, ended.stdout
    assert "10 passed, 2 skipped" in ended.stdout


@pytest.fixture
def coldcard(soft_coldcard):
    """A Coldcard's protocol on a socket, and the socket."""
    path = Path(tempfile.gettempdir()) / f"ckcc-simulator-{os.getpid()}.sock"
    path.unlink(missing_ok=True)
    device = soft_coldcard(str(path), secret("cosigner astana"))
    yield device, path
    device.close()
    path.unlink()


def test_it_passes_for_a_coldcards_protocol(coldcard):
    device, path = coldcard
    ended = suite("-m", "device", "--device", f"coldcard={path}")
    assert ended.returncode == 0, ended.stdout
    assert device.commands.count("enrl") == 1


@pytest.mark.parametrize("grinds", [True, False])
def test_a_coldcard_that_draws_its_nonces_is_told_from_one_that_does_not(coldcard, grinds):
    device, path = coldcard
    device.grinds = grinds
    ended = suite("-m", "device", "--device", f"coldcard={path}", "-k", "asked_twice")
    assert ended.returncode == int(grinds), ended.stdout


@pytest.mark.parametrize("script", ["wsh", "sh-wsh"])
def test_it_passes_for_a_jades_protocol(soft_jade, script):
    device = soft_jade(secret("cosigner astana"))
    ended = suite("-m", "device", "--device", f"jade={device.path}", "--device-script", script)
    device.close()
    assert ended.returncode == 0, ended.stdout
    assert device.methods.count("register_multisig") == 4


@pytest.mark.parametrize(
    ("fault", "claim"),
    [
        ("silent", "test_bitcoins_own_rules_accept_what_it_signed"),
        ("swaps", "test_the_address_it_shows_is_ours"),
        ("mainnet", "test_its_account_key_is_the_same_each_time"),
    ],
)
def test_it_fails_for_a_device_that_does_not(fault, claim):
    ended = suite("-m", "device", "--device", f"soft=soft:astana?{fault}", "-k", claim)
    assert ended.returncode == 1, ended.stdout


def test_a_failure_says_what_was_asked_and_what_came_back():
    claim = "test_bitcoins_own_rules_accept_what_it_signed"
    ended = suite("-m", "device", "--device", "soft=soft:astana?busy", "-k", claim)
    asked = "asked of the soft at soft:astana?busy: register the vault where it asks for that"
    assert asked in ended.stdout
    assert "came back: DEVICE_BUSY: soft at soft:astana?busy is busy" in ended.stdout
    assert "may help: Finish or cancel what its screen shows" in ended.stdout
    assert "soft at soft:astana?busy: register the vault" in ended.stdout.partition("= ERRORS =")[0]


def test_a_holder_who_says_no_has_a_test_of_their_own():
    ended = suite("-m", "device", "--device", "soft=soft:astana?cancels", "--device-refuses")
    assert ended.returncode == 0, ended.stdout
    assert "1 passed, 11 skipped" in ended.stdout


def test_it_is_left_out_unless_asked_for_and_says_what_it_needs():
    assert "12 deselected" in suite().stdout
    ended = suite("-m", "device")
    assert ended.returncode == 0
    assert "no device was named: --device TYPE[=PATH]" in ended.stdout
