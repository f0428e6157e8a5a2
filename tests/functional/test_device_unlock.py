"""A device whose PIN is typed at the station: it shows a square, and is told where its digits stand.

The device is `hwilib.devices.soft` of tests/soft with a PIN; hwilib's own commands run, in the device's process.
"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from custody.apps.station import program as custody_station
from custody.backends.hwi.signer import Device, find_devices, open_device
from custody.backends.hwi.unlock import ask_positions, unlock, waiting_device
from custody.testing.asserts import refuses
from custody.testing.cast import vault_of
from custody.units import Network

PINNED = Device("soft", "soft:astana?pinned")
POSITIONS = "7351"
SITE = Path(__file__).resolve().parents[1] / "soft" / "site"


@pytest.fixture(autouse=True)
def plugged_in(monkeypatch, tmp_path):
    """A device with a PIN is plugged in, locked; call with other paths for other devices."""
    monkeypatch.setenv("SOFT_PIN", str(tmp_path / "remembered"))
    monkeypatch.setenv("SOFT_DEVICES", PINNED.path)
    return lambda *paths: monkeypatch.setenv("SOFT_DEVICES", " ".join(paths))


def fingerprint() -> bytes:
    _, signers = vault_of(("astana", "almaty"), 2)
    return signers[0].fingerprint


def test_a_locked_device_is_found_without_a_fingerprint_and_tells_the_way(soft):
    (found,) = find_devices(Network.REGTEST, [Device("soft")], program=soft)
    assert (found.device, found.fingerprint, found.problem.code) == (PINNED, None, "DEVICE_LOCKED")
    assert "custody-station unlock" in found.problem.advice()
    with refuses("DEVICE_LOCKED"):
        open_device(PINNED, Network.REGTEST, program=soft)


def test_the_right_positions_open_it_for_every_later_question(soft):
    device = waiting_device(Device("soft"), Network.REGTEST, program=soft)
    assert device == PINNED
    assert ask_positions(device, Network.REGTEST, program=soft)
    assert unlock(device, POSITIONS, Network.REGTEST, program=soft).fingerprint == fingerprint()
    assert open_device(PINNED, Network.REGTEST, program=soft).fingerprint == fingerprint()
    assert not ask_positions(device, Network.REGTEST, program=soft)


def test_wrong_positions_leave_it_locked_and_a_square_is_good_for_one_attempt(soft):
    ask_positions(PINNED, Network.REGTEST, program=soft)
    for positions in ("1234", POSITIONS):
        with refuses("DEVICE_LOCKED") as caught:
            unlock(PINNED, positions, Network.REGTEST, program=soft)
        assert "not its PIN" in str(caught.error)


@pytest.mark.parametrize("positions", ["", "0", "12a4", "12 34", "1" * 51, "\u0661\u0662"])
def test_what_is_no_row_of_positions_is_not_sent(soft, positions):
    ask_positions(PINNED, Network.REGTEST, program=soft)
    with refuses("PIN_POSITIONS"):
        unlock(PINNED, positions, Network.REGTEST, program=soft)
    # The attempt was not spent.
    unlock(PINNED, POSITIONS, Network.REGTEST, program=soft)


def test_a_device_that_takes_its_pin_itself_says_so(soft):
    with refuses("DEVICE_UNSUPPORTED"):
        ask_positions(Device("soft", "soft:astana"), Network.REGTEST, program=soft)


def test_two_devices_are_not_chosen_between_and_none_is_said(soft, plugged_in):
    plugged_in("soft:astana?pinned", "soft:almaty?pinned")
    with refuses("DEVICE_AMBIGUOUS"):
        waiting_device(Device("soft"), Network.REGTEST, program=soft)
    assert waiting_device(PINNED, Network.REGTEST, program=soft) == PINNED
    plugged_in()
    with refuses("DEVICE_NOT_FOUND"):
        waiting_device(Device("soft"), Network.REGTEST, program=soft)
    with refuses("DEVICE_UNSUPPORTED"):
        waiting_device(Device("nosuch"), Network.REGTEST, program=soft)


# --- at the station ---


def test_at_a_terminal_the_positions_are_typed_unseen(tmp_path, converse):
    known = {"PYTHONPATH": str(SITE), "SOFT_PIN": str(tmp_path / "remembered"), "SOFT_DEVICES": PINNED.path}
    code = f"import os; os.environ |= {known}; from custody.apps.station import main; main()"
    command = ("--state", str(tmp_path / "state"), "unlock", "--device", "soft")
    shown = converse(tmp_path, [("positions", POSITIONS)], "-c", code, *command)
    assert "7 8 9" in shown
    assert POSITIONS not in shown
    assert f"is unlocked; its fingerprint is {fingerprint().hex()}" in shown


@pytest.mark.parametrize(("remembered", "code"), [("locked", "TERMINAL_NEEDED"), ("open", "")])
def test_without_a_terminal_only_an_open_device_is_opened(tmp_path, monkeypatch, remembered, code):
    monkeypatch.setenv("PYTHONPATH", str(SITE))
    (tmp_path / "remembered").write_text(remembered)
    command = ["--state", str(tmp_path / "state"), "unlock", "--device", "soft", "--json"]
    told = json.loads(CliRunner().invoke(custody_station, command).stdout)
    assert told.get("error", {}).get("code", "") == code
    assert told.get("cosigner", "") == ("" if code else fingerprint().hex())
