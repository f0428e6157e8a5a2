"""hwilib's real Jade driver against a Jade's protocol in software (tests/soft/jade.py); no firmware runs.

What is tested is what a Jade needs of us: its name for a network, a vault registered when it first shows an address,
a signed PSBT that comes in pieces, and its errors under our names.
"""

import pytest

from custody.backends.hwi.program import Patience, Program
from custody.backends.hwi.signer import Device, find_devices, open_device, read_cosigner, vault_signer
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, secret, vault_of
from custody.testing.scenario import Scenario
from custody.units import Network
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType


@pytest.fixture
def jade(soft_jade):
    device = soft_jade(secret("cosigner astana"))
    yield device
    device.close()


@pytest.fixture
def device(jade):
    return Device("jade", jade.path, is_emulator=True)


@pytest.fixture(scope="module", params=[ScriptType.WSH, ScriptType.SH_WSH])
def story(request):
    with_coins = Scenario.funded(20_000_000, 20_000_000, setting=Setting(script_type=request.param))
    evidence = with_coins.custodian.evidence(with_coins.authorized())
    yield with_coins, evidence
    with_coins.close()


@pytest.mark.parametrize("script_type", [ScriptType.WSH, ScriptType.SH_WSH])
def test_it_is_found_and_gives_its_key(device, script_type):
    (found,) = [each for each in find_devices(Network.REGTEST, [device]) if each.device == device]
    vault, signers = vault_of(("astana", "almaty"), 2, script_type)
    assert (found.fingerprint, found.problem) == (signers[0].fingerprint, None)
    assert read_cosigner(device, "astana", script_type, Network.REGTEST) == vault.cosigners[0]


@pytest.mark.parametrize("network", [Network.TESTNET4, Network.SIGNET])
def test_it_is_asked_for_test_networks_by_the_one_name_it_knows(device, network):
    cosigner = read_cosigner(device, "astana", ScriptType.WSH, network)
    assert cosigner.key.network_version == network.xpub_version


@pytest.mark.parametrize("script_type", [ScriptType.WSH, ScriptType.SH_WSH])
def test_it_registers_a_vault_when_it_first_shows_an_address(device, jade, script_type):
    vault, _ = vault_of(("astana", "almaty", "shymkent"), 2, script_type)
    signer = vault_signer(device, vault)
    assert signer.enrol(vault) == vault.address(Branch.RECEIVE, 0)
    assert signer.show_address(vault, Branch.CHANGE, 7) == vault.address(Branch.CHANGE, 7)
    assert [each["threshold"] for each in jade.wallets.values()] == [2]


def test_it_signs_a_vault_that_it_was_never_told_of(device, jade, story):
    scenario, evidence = story
    answer = scenario.stations[0].sign(evidence, vault_signer(device, scenario.cast.vault))
    assert answer.psbt == scenario.stations[0].sign(evidence, scenario.cast.signers[0]).psbt
    assert jade.wallets == {}
    (seen,) = jade.psbts
    assert (len(seen.xpubs), seen.version) == (3, None)
    assert jade.methods.count("get_extended_data") > 0


def test_its_holders_no_is_a_refusal(device, jade, story):
    scenario, evidence = story
    signer = vault_signer(device, scenario.cast.vault)
    jade.is_willing = False
    with refuses("DEVICE_REFUSED"):
        scenario.stations[0].sign(evidence, signer)
    with refuses("DEVICE_REFUSED"):
        signer.enrol(scenario.cast.vault)


@pytest.mark.parametrize("state", ["LOCKED", "UNINIT"])
def test_a_jade_that_is_locked_or_empty_is_called_so(device, jade, state):
    jade.state = state
    with refuses("DEVICE_LOCKED"):
        open_device(device, Network.REGTEST)


def test_a_jade_that_never_stops_sending_is_ended(device, jade, story):
    scenario, evidence = story
    signer = vault_signer(device, scenario.cast.vault, program=Program(patience=Patience(10, 10, 3)))
    jade.odd = "never-ends"
    with refuses("DEVICE_TIMEOUT"):
        scenario.stations[0].sign(evidence, signer)
