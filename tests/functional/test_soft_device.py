"""A cosigner whose key is in a device: read into a vault, shown its addresses, asked to sign at a station.

The device is `hwilib.devices.soft` of tests/soft: hwilib's own commands run, in the device's process, and no vendor's
driver does.
"""

import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from custody.backends.hwi.program import is_device_start
from custody.backends.hwi.protocol import DeviceRequest, Operation
from custody.backends.hwi.signer import Device, find_devices, open_device, read_cosigner, vault_signer
from custody.examine.evidence import Stage
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, vault_of
from custody.testing.scenario import Scenario
from custody.units import Network
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType

ASTANA = Device("soft", "soft:astana")


@pytest.fixture
def plugged_in(monkeypatch):
    return lambda *paths: monkeypatch.setenv("SOFT_DEVICES", " ".join(paths))


@pytest.fixture(scope="module", params=[ScriptType.WSH, ScriptType.SH_WSH])
def waiting(request):
    """A transfer that waits for signatures, in a vault of each script type."""
    scenario = Scenario.funded(20_000_000, 20_000_000, setting=Setting(script_type=request.param))
    transfer = scenario.authorized()
    yield scenario, scenario.custodian.evidence(transfer), transfer
    scenario.close()


# --- Finding it ---


def test_what_is_plugged_in_is_listed_with_its_fingerprint_or_with_what_is_wrong(soft, plugged_in):
    plugged_in("soft:astana", "soft:almaty?locked", "soft:shymkent?pin")
    _, signers = vault_of(("astana", "almaty", "shymkent"), 2)
    first, second, third = find_devices(Network.REGTEST, (Device("soft"),), program=soft)
    assert (first.device, first.model, first.fingerprint) == (ASTANA, "soft_1", signers[0].fingerprint)
    assert first.problem is None
    assert (second.fingerprint, second.problem.code) == (None, "DEVICE_LOCKED")
    assert (third.fingerprint, third.problem.code) == (None, "DEVICE_LOCKED")


def test_a_type_whose_driver_breaks_down_hides_no_other(soft, plugged_in):
    plugged_in("soft:astana?crashes")
    found = list(find_devices(Network.REGTEST, [Device("soft"), Device("nosuch"), Device("ledger")], program=soft))
    problems = {each.device.type: each.problem.code for each in found if not each.device.path}
    assert problems == {"soft": "DEVICE_FAILED", "nosuch": "DEVICE_UNSUPPORTED"}


def test_the_device_that_has_a_key_of_the_vault_is_found_among_others(soft, plugged_in):
    plugged_in("soft:stranger", "soft:almaty", "soft:nobody")
    vault, signers = vault_of(("astana", "almaty"), 2)
    found = vault_signer(Device("soft"), vault, program=soft)
    assert found.fingerprint == signers[1].fingerprint
    assert found.device == Device("soft", "soft:almaty")


def test_two_devices_of_one_vault_are_not_chosen_between(soft, plugged_in):
    plugged_in("soft:astana", "soft:almaty")
    vault, signers = vault_of(("astana", "almaty"), 2)
    with refuses("DEVICE_AMBIGUOUS") as caught:
        vault_signer(Device("soft"), vault, program=soft)
    assert "soft:astana, soft:almaty" in str(caught.error)
    assert vault_signer(ASTANA, vault, program=soft).fingerprint == signers[0].fingerprint


def test_nothing_plugged_in_is_said_and_so_is_a_device_of_another_vault(soft, plugged_in):
    vault, _ = vault_of(("astana", "almaty"), 2)
    plugged_in()
    with refuses("DEVICE_NOT_FOUND"):
        vault_signer(Device("soft"), vault, program=soft)
    plugged_in("soft:stranger")
    for device in (Device("soft"), Device("soft", "soft:stranger")):
        with refuses("DEVICE_MISMATCH"):
            vault_signer(device, vault, program=soft)
    plugged_in("soft:astana?locked")
    with refuses("DEVICE_LOCKED"):
        vault_signer(Device("soft"), vault, program=soft)


@pytest.mark.parametrize("text", ["", "Ledger Nano", "ledger;rm", "ledger=\x1b[2J", "ledger=" + "x" * 300, "=path"])
def test_what_is_no_type_and_no_path_is_refused(text):
    with refuses("DEVICE_NAME"):
        Device.parse(text)


def test_a_type_and_a_path_are_read_as_they_are_typed():
    assert Device.parse("Jade=/dev/ttyACM0") == Device("jade", "/dev/ttyACM0")
    assert Device.parse("ledger") == Device("ledger")
    assert Device.parse("ledger=tcp:127.0.0.1:9999").path == "tcp:127.0.0.1:9999"


# --- Its keys and addresses ---


@pytest.mark.parametrize("script_type", ScriptType)
def test_a_vaults_cosigner_is_read_from_the_device_as_from_a_key_file(soft, script_type):
    vault, _ = vault_of(("astana", "almaty"), 2, script_type)
    assert read_cosigner(ASTANA, "astana", script_type, Network.REGTEST, program=soft) == vault.cosigners[0]


def test_the_keys_network_is_the_one_asked_for(soft):
    origin, key = open_device(ASTANA, Network.MAIN, program=soft).account_key((48 + 2**31,))
    assert str(key).startswith("xpub")
    assert len(origin.path) == 1


@pytest.mark.parametrize("script_type", [ScriptType.WSH, ScriptType.SH_WSH])
@pytest.mark.parametrize("place", [(Branch.RECEIVE, 0), (Branch.CHANGE, 41)])
def test_the_address_that_the_device_shows_is_compared_as_a_script(soft, script_type, place):
    vault, _ = vault_of(("astana", "almaty", "shymkent"), 2, script_type)
    signer = vault_signer(ASTANA, vault, program=soft)
    # It shows tb1..., as most devices do on regtest.
    assert signer.show_address(vault, *place) == vault.address(*place)


def test_enrolment_shows_the_first_address(soft):
    vault, _ = vault_of(("astana", "almaty"), 2)
    assert vault_signer(ASTANA, vault, program=soft).enrol(vault) == vault.address(Branch.RECEIVE, 0)


def test_a_device_of_another_vault_shows_no_address(soft):
    vault, _ = vault_of(("almaty", "shymkent"), 2)
    with refuses("NOT_A_MEMBER"):
        open_device(ASTANA, Network.REGTEST, program=soft).show_address(vault, Branch.RECEIVE, 0)


# --- Signing ---


def test_at_a_station_a_device_signs_as_a_key_file_does(soft, waiting):
    scenario, evidence, _ = waiting
    signer = vault_signer(ASTANA, scenario.cast.vault, program=soft)
    answer = scenario.stations[0].sign(evidence, signer)
    assert [each.cosigner for each in answer.signed] == [signer.fingerprint]
    assert answer.psbt == scenario.stations[0].sign(evidence, scenario.cast.signers[0]).psbt


def test_signatures_of_two_devices_make_the_transaction_that_judges_accept(soft):
    scenario = Scenario.funded(20_000_000, 20_000_000)
    transfer = scenario.authorized()
    for number, path in enumerate(("soft:astana", "soft:shymkent?chatty")):
        signer = vault_signer(Device("soft", path), scenario.cast.vault, program=soft)
        answer = scenario.stations[number].sign(scenario.custodian.evidence(transfer), signer)
        scenario.custodian.receive(transfer, answer.psbt.to_psbt())
    scenario.custodian.combine(transfer)
    assert len(scenario.custodian.verify(transfer).judges) == 2
    scenario.close()


@pytest.mark.parametrize("fault", ["careless", "breaks-late", "chatty"])
def test_what_a_device_does_besides_signing_leaves_no_trace(soft, waiting, fault):
    scenario, evidence, _ = waiting
    signer = vault_signer(Device("soft", f"soft:astana?{fault}"), scenario.cast.vault, program=soft)
    answer = scenario.stations[0].sign(evidence, signer)
    assert answer.psbt == scenario.stations[0].sign(evidence, scenario.cast.signers[0]).psbt


def test_a_device_signs_beside_signatures_that_are_there_and_keeps_them(soft, waiting):
    scenario, evidence, _ = waiting
    sent = scenario.stations[1].examine(evidence, Stage.SIGN).psbt.to_psbt()
    astana, almaty, _ = scenario.cast.signers
    signer = vault_signer(ASTANA, scenario.cast.vault, program=soft)
    assert signer.sign(almaty.sign(sent)) == almaty.sign(astana.sign(sent))
    assert signer.sign(signer.sign(sent)) == astana.sign(sent)


def test_a_psbt_that_names_the_device_nowhere_is_not_shown_to_it(soft, waiting):
    scenario, evidence, _ = waiting
    sent = scenario.stations[0].examine(evidence, Stage.SIGN).psbt.to_psbt()
    # Were it asked, it would hang.
    stranger = open_device(Device("soft", "soft:stranger?hangs"), Network.REGTEST, program=soft)
    with refuses("SIGNER_REFUSED"):
        stranger.sign(sent)


def test_a_device_without_previous_transactions_is_not_asked(soft, waiting):
    scenario, evidence, _ = waiting
    sent = scenario.stations[0].examine(evidence, Stage.SIGN).psbt
    bare = tuple(replace(each, previous_transaction=b"") for each in sent.inputs)
    unproven = replace(sent, inputs=bare)
    with refuses("PREVTX_MISSING"):
        vault_signer(ASTANA, scenario.cast.vault, program=soft).sign(unproven.to_psbt())


def test_notes_say_what_the_holder_will_see(soft, waiting):
    scenario, evidence, _ = waiting
    sent = scenario.stations[0].examine(evidence, Stage.SIGN).psbt.to_psbt()
    said = vault_signer(ASTANA, scenario.cast.vault, program=soft).notes(sent)
    assert any("tb1" in each for each in said)
    assert any("compare every output" in each for each in said)


# --- What a machine may lack ---


@pytest.mark.parametrize(
    ("without", "device", "install"),
    [
        ("hwilib", ASTANA, "pip install '.[hwi]'"),
        ("libusb", Device("trezor"), "libusb-1.0-0"),
        ("hid", Device("ledger"), "libusb-1.0-0"),
    ],
)
def test_without_the_extra_or_its_libraries_the_install_line_is_told(soft, monkeypatch, without, device, install):
    monkeypatch.setenv("WITHOUT", without)
    with refuses("DEVICE_SUPPORT_MISSING") as caught:
        open_device(device, Network.REGTEST, program=soft)
    assert install in caught.error.advice()


# --- The vendors' own drivers, with nothing behind them ---


@pytest.mark.parametrize("name", ["bitbox02", "coldcard", "jade", "ledger", "trezor"])
def test_an_emulator_that_does_not_run_is_not_found(name, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = str(tmp_path / "nobody.sock") if name == "coldcard" else f"127.0.0.1:{port}"
    emulator = Device(name, path, is_emulator=True)
    with refuses("DEVICE_NOT_FOUND"):
        open_device(emulator, Network.REGTEST)
    assert [each for each in find_devices(Network.REGTEST, [emulator]) if each.fingerprint] == []


@pytest.mark.parametrize("name", ["bitbox02", "coldcard", "jade", "ledger"])
def test_a_device_that_is_not_there_is_not_found(name):
    with refuses("DEVICE_NOT_FOUND"):
        open_device(Device(name, "/dev/none-such"), Network.REGTEST)


# --- The process ---


def test_the_process_that_is_started_is_the_one_a_station_lets_through():
    seen, is_listening = [], True

    def listen(event, arguments):  # a hook cannot be taken back
        if is_listening and event == "subprocess.Popen":
            seen.append((event, arguments))

    sys.addaudithook(listen)
    found = list(find_devices(Network.REGTEST, (Device("nosuch"),)))
    is_listening = False
    assert [each.problem.code for each in found] == ["DEVICE_UNSUPPORTED"]
    assert len(seen) == 1
    assert is_device_start(*seen[0])
    (_, (executable, command, *rest)) = seen[0]
    assert not is_device_start("subprocess.Popen", ("/bin/sh", command, *rest))
    assert not is_device_start("subprocess.Popen", (executable, [*command, "x"], *rest))
    assert not is_device_start("os.system", (executable, command, *rest))


def test_the_process_runs_no_module_that_lies_in_the_present_directory(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('taken for ours')")
    monkeypatch.chdir(tmp_path)
    found = list(find_devices(Network.REGTEST, (Device("nosuch"),)))
    assert [each.problem.code for each in found] == ["DEVICE_UNSUPPORTED"]


def test_the_process_ends_itself_when_nobody_ends_it(soft):
    request = DeviceRequest(
        operation=Operation.OPEN,
        device="soft",
        path="soft:astana?dozes",
        network=Network.REGTEST,
        fingerprint=b"",
        subject="",
        threshold=0,
        members=(),
        seconds=1,
    )
    ended = subprocess.run(soft.command, input=request.to_bytes(), capture_output=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (-signal.SIGALRM, b"")
