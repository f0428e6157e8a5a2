"""Hardware devices as custodians name them: on the command lines of both programs.

The programs are the real ones, and so is the device's process; in it `hwilib.devices.soft` of tests/soft stands beside
the vendors' drivers (tests/soft/site).
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from custody.apps.station import program as custody_station
from custody.testing.cast import Setting, vault_of
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType

SITE = Path(__file__).resolve().parents[1] / "soft" / "site"
NAMES = Setting().cosigners
DEVICES = [part for name in NAMES for part in ("--device", f"soft=soft:{name}")]


@pytest.fixture(autouse=True)
def plugged_in(monkeypatch):
    """Devices in software can be plugged in; call with their paths."""
    monkeypatch.setenv("PYTHONPATH", str(SITE))
    return lambda *paths: monkeypatch.setenv("SOFT_DEVICES", " ".join(paths))


def at_station(office, whose, *arguments):
    """What the program does at the station of `whose`, however it ends."""
    return CliRunner().invoke(
        custody_station,
        ["--state", office.path(f"station-{whose}"), *map(str, arguments)],
        env={"CUSTODY_PASSPHRASE_FILE": office.path("passphrase")},
    )


def refused(office, code, whose, *arguments):
    """The message of the refusal by this code."""
    result = at_station(office, whose, *arguments, "--json")
    assert result.exit_code in {3, 4, 5, 6}, result.output
    error = json.loads(result.stdout)["error"]
    assert (error["code"], bool(error["hint"])) == (code, True), error
    return error["message"]


@pytest.fixture
def to_sign(office):
    """The office, a transfer that waits for signatures, and its evidence; astana's station trusts the charter."""
    office.funded()
    transfer = office.drafted()
    office.approved(transfer)
    for name in NAMES:
        office.trusted_by(name)
    return office, transfer, office.ready_to_sign(transfer)


# --- a vault's keys ---


@pytest.mark.parametrize("script_type", ScriptType)
def test_a_vault_is_made_from_devices_alone(office, script_type):
    vault, _ = vault_of(NAMES, 2, script_type)
    command = ("vault", "create", "-k", 2, "--network", "regtest", "--script-type", script_type.value)
    made = office.does(*command, *DEVICES)
    assert (made["descriptor"], made["id"]) == (vault.descriptor, vault.id.hex())
    assert made["first_receive_address"] == vault.address(Branch.RECEIVE, 0)


def test_a_vault_is_made_from_a_typed_key_and_the_device_that_is_plugged_in(office, plugged_in):
    vault, _ = vault_of(("almaty", "astana"), 2)
    typed = ("--cosigner", vault.cosigners[0].expression())
    plugged_in("soft:astana")
    command = ("vault", "create", "-k", 2, "--network", "regtest", *typed)
    assert office.does(*command, "--device", "soft")["descriptor"] == vault.descriptor
    plugged_in("soft:astana", "soft:shymkent")
    assert "soft:astana, soft:shymkent" in office.refuses("DEVICE_AMBIGUOUS", *command, "--device", "soft")


def test_what_a_charter_can_say_of_the_devices_is_printed_with_the_vault(office, plugged_in):
    vault, _ = vault_of(("almaty", "astana"), 2)
    plugged_in("soft:astana")
    typed = ("--cosigner", vault.cosigners[0].expression())
    command = ("vault", "create", "-k", 2, "--network", "regtest", *typed, "--device", "soft")
    own = {"fingerprint": vault.cosigners[1].fingerprint.hex(), "is_deterministic": False}
    other = {"fingerprint": vault.cosigners[0].fingerprint.hex(), "is_deterministic": False}
    wanted = [own | {"maker": "soft", "model": "soft_1"}, other | {"maker": "?", "model": "?"}]
    assert office.does(*command)["devices"] == sorted(wanted, key=lambda each: each["fingerprint"])
    shown = office.types(*command).stdout
    tables = tomllib.loads("[[vault]]\n" + shown[shown.index("[[vault.device]]") :])
    assert tables["vault"][0]["device"] == sorted(wanted, key=lambda each: each["fingerprint"])
    # Without a device there is nothing to say.
    both = [part for each in vault.cosigners for part in ("--cosigner", each.expression())]
    assert office.does("vault", "create", "-k", 2, "--network", "regtest", *both)["devices"] == []


@pytest.mark.parametrize(
    ("device", "code"),
    [
        ("soft=soft:almaty", "DUP_COSIGNER"),
        ("soft=soft:astana?mainnet", "NETWORK_MISMATCH"),
        ("soft=soft:astana?elsewhere", "SIGNER_PROTOCOL"),
        ("soft=soft:astana?private", "SECRET_MATERIAL"),
        ("nosuch", "DEVICE_UNSUPPORTED"),
        ("soft;rm", "DEVICE_NAME"),
    ],
)
def test_a_key_that_does_not_fit_makes_no_vault(office, device, code):
    vault, _ = vault_of(("almaty", "astana"), 2)
    out = Path(office.path("descriptor"))
    command = ("vault", "create", "-k", 2, "--network", "regtest", "--cosigner", vault.cosigners[0].expression())
    office.refuses(code, *command, "--device", device, "-o", out)
    assert not out.exists()


def test_an_emulator_makes_no_vault_of_the_main_network(office):
    command = ("vault", "create", "-k", 2, "--network", "main", "--emulator")
    office.refuses("DEVICE_EMULATED", *command, *DEVICES)


def test_a_vault_needs_keys_and_an_emulator_a_device(office):
    vault, _ = vault_of(("almaty", "astana"), 2)
    typed = ("--cosigner", vault.cosigners[0].expression())
    for options in ((), (*typed, "--emulator")):
        result = office.types("vault", "create", "-k", 2, "--network", "regtest", *options)
        assert (result.exit_code, "--device" in result.stderr) == (2, True)


def test_at_a_terminal_each_devices_holder_is_waited_for(tmp_path, converse):
    code = f"import os; os.environ['PYTHONPATH'] = {str(SITE)!r}; from custody.apps.cli import main; main()"
    command = ("vault", "create", "-k", "2", "--network", "regtest", *DEVICES[:4])
    shown = converse(tmp_path, [("device 1 of 2", ""), ("device 2 of 2", "")], "-c", code, *command)
    vault, _ = vault_of(NAMES[:2], 2)
    assert shown.count("Press Enter") == 2
    assert vault.descriptor in shown


def test_a_station_exports_a_devices_key_as_it_does_a_files(office):
    own = office.at_station("astana", "export", office.key("astana"))
    read = office.at_station("astana", "export", "--device", "soft=soft:astana", "--network", "regtest")
    assert read == own | {"name": ""}
    for options in ((), (office.key("astana"), "--device", "soft"), ("--device", "soft")):
        assert at_station(office, "astana", "export", *options).exit_code == 2


# --- signatures ---


def test_a_transfer_is_signed_by_devices_and_judged(to_sign):
    office, transfer, evidence = to_sign
    files = [office.new_path(f"{name}.psbt") for name in NAMES[:2]]
    for name, out in zip(NAMES, files, strict=False):
        told = office.at_station(name, "sign", evidence, "--device", f"soft=soft:{name}", "--yes", "-o", out)
        assert told["signatures"] == 1
    # A device's signed PSBT is to the byte what the same key in a file makes.
    assert Path(files[0]).read_bytes() == Path(office.signed(evidence, NAMES[0])).read_bytes()
    assert office.does("transfer", "combine", transfer, *files)["status"] == "verified"


def test_the_program_with_its_hook_starts_the_devices_process_and_no_other(to_sign, tmp_path):
    office, _, evidence = to_sign
    out = tmp_path / "astana.psbt"
    state = ("--state", office.path("station-astana"))
    command = (*state, "sign", evidence, "--device", "soft=soft:astana", "--yes", "-o", out, "--json")
    program = (sys.executable, "-m", "custody.apps.station")
    done = subprocess.run([*program, *map(str, command)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signatures"] == 1
    assert out.read_bytes() == Path(office.signed(evidence, "astana")).read_bytes()
    # The same, where the device's process is another's.
    other = "import custody.backends.hwi.program as p; p.Program.__init__.__defaults__ = (('true',), p.PATIENCE);"
    code = f"{other} from custody.apps.station import main; main()"
    command = (*state, "sign", evidence, "--device", "soft=soft:astana", "--yes", "-o", tmp_path / "x", "--json")
    program = (sys.executable, "-c", code)
    done = subprocess.run([*program, *map(str, command)], capture_output=True, text=True, check=False, timeout=120)
    assert json.loads(done.stdout)["error"]["code"] == "STATION_OFFLINE"


def test_the_holder_is_told_what_the_device_will_show_before_the_question(to_sign):
    office, _, evidence = to_sign
    out = office.path("x.psbt")
    result = at_station(office, "astana", "sign", evidence, "--device", "soft=soft:astana", "-o", out)
    assert "error CONFIRMATION_NEEDED" in result.stderr
    told = result.stderr.split("error CONFIRMATION_NEEDED")[0]
    assert told.index("Supplier") < told.index("compare every output")
    assert "tb1" in told
    assert not os.path.lexists(out)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("cancels", "DEVICE_REFUSED"), ("silent", "SIGNER_PROTOCOL"), ("other-transaction", "SIGNER_PROTOCOL")],
)
def test_what_a_device_does_not_sign_is_not_written(to_sign, fault, code):
    office, _, evidence = to_sign
    out = office.path("x.psbt")
    refused(office, code, "astana", "sign", evidence, "--device", f"soft=soft:astana?{fault}", "--yes", "-o", out)
    assert not os.path.lexists(out)


def test_a_device_that_signs_by_chance_is_found_out_by_asking_twice(to_sign):
    office, _, evidence = to_sign
    out = office.path("x.psbt")
    command = ("sign", evidence, "--yes", "-o", out, "--device")
    refused(office, "SIGNER_NONDETERMINISTIC", "astana", *command, "soft=soft:astana?grinds", "--twice")
    assert not os.path.lexists(out)
    told = at_station(office, "astana", *command, "soft=soft:astana", "--twice")
    assert told.exit_code == 0, told.output
    assert "confirm on it both times" in told.stderr
    assert "twice and both times the same" in told.stdout


def test_asked_once_the_same_device_signs(to_sign):
    office, _, evidence = to_sign
    out = office.path("x.psbt")
    command = ("sign", evidence, "--yes", "-o", out, "--device", "soft=soft:astana?grinds")
    assert office.at_station("astana", *command)["asked"] == "once"


def test_a_charter_that_calls_a_device_deterministic_has_it_asked_twice(open_office):
    makers = ("soft", "ledger", "coinkite")
    office = open_office(Setting(makers=makers, is_deterministic=True))
    office.funded()
    transfer = office.drafted()
    office.approved(transfer)
    office.trusted_by("astana")
    evidence = office.ready_to_sign(transfer)
    command = ("sign", evidence, "--yes", "-o", office.path("x.psbt"))
    refused(office, "SIGNER_NONDETERMINISTIC", "astana", *command, "--device", "soft=soft:astana?grinds")
    assert office.at_station("astana", *command, "--device", "soft=soft:astana")["asked"] == "twice"
    file = ("sign", evidence, "--key", office.key("almaty"), "--yes", "-o", office.path("y.psbt"))
    office.trusted_by("almaty")
    assert office.at_station("almaty", *file)["asked"] == "twice"


def test_a_device_of_no_cosigner_is_not_asked(to_sign):
    office, _, evidence = to_sign
    # Were it asked to sign, it would hang.
    command = ("sign", evidence, "--device", "soft=soft:stranger?hangs", "--yes", "-o", office.path("x"))
    refused(office, "DEVICE_MISMATCH", "astana", *command)


def test_a_key_comes_from_a_file_or_from_a_device(office):
    both = ("--key", office.key("astana"), "--device", "soft=soft:astana")
    for options in ((), both, ("--key", office.key("astana"), "--emulator")):
        result = at_station(office, "astana", "sign", "no-evidence", *options, "-o", office.path("x"))
        assert (result.exit_code, "--device" in result.stderr) == (2, True)


# --- addresses ---


def test_a_device_learns_the_charters_vault_and_shows_its_addresses(office):
    office.trusted_by("astana")
    vault = office.cast.vault
    device = ("--device", "soft=soft:astana")
    told = office.at_station("astana", "enrol", office.path("charter.json"), "reserve", *device)
    assert told["first_receive_address"] == vault.address(Branch.RECEIVE, 0)
    shown = office.at_station("astana", "address", office.path("charter.json"), "reserve", 7, "--change", *device)
    assert shown["address"] == vault.address(Branch.CHANGE, 7)


def test_a_device_that_shows_another_address_stops_the_command(office):
    office.trusted_by("astana")
    device = ("--device", "soft=soft:astana?swaps")
    refused(office, "DEVICE_ADDRESS", "astana", "address", office.path("charter.json"), "reserve", 0, *device)
    refused(office, "DEVICE_ADDRESS", "astana", "enrol", office.path("charter.json"), "reserve", *device)


def test_without_a_device_nothing_that_talks_to_one_is_loaded(office):
    code = (
        "import sys\nfrom custody.apps.station import main\ntry:\n    main()\nexcept SystemExit as ended:\n"
        "    print(ended.code, any('hwi' in each for each in sys.modules))"
    )
    command = ("--state", office.path("station"), "export", office.key("Dana"))
    command += ("--passphrase-file", office.path("passphrase"))
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
