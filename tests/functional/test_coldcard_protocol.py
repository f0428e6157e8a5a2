"""hwilib's real Coldcard driver against a Coldcard's protocol in software (tests/soft/coldcard.py); no firmware runs.

What is tested is what a Coldcard needs of us: a vault is enrolled before it signs, from a file its holder approves,
and it is never sent account keys, which would have it wait for ever.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from custody.backends.hwi import signer as signing
from custody.backends.hwi.kinds import AccountKeys
from custody.backends.hwi.program import Patience, Program
from custody.backends.hwi.signer import Device, find_devices, read_cosigner, vault_signer
from custody.examine.evidence import Stage
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, secret, vault_of
from custody.testing.scenario import Scenario
from custody.units import Network
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType


@pytest.fixture
def coldcard(soft_coldcard):
    # hwilib takes the last piece of the name for a process number, so it has one.
    path = Path(tempfile.gettempdir()) / f"ckcc-simulator-{os.getpid()}.sock"
    path.unlink(missing_ok=True)
    device = soft_coldcard(str(path), secret("cosigner astana"))
    yield device
    device.close()
    # A process that was ended has left its end of the line.
    for each in (path, *path.parent.glob(f"ckcc-client-{os.getpid()}-*.sock")):
        each.unlink()


@pytest.fixture
def device(coldcard):
    return Device("coldcard", coldcard.path, is_emulator=True)


@pytest.fixture(scope="module", params=[ScriptType.WSH, ScriptType.SH_WSH])
def story(request):
    with_coins = Scenario.funded(20_000_000, 20_000_000, setting=Setting(script_type=request.param))
    evidence = with_coins.custodian.evidence(with_coins.authorized())
    yield with_coins, evidence
    with_coins.close()


def test_it_is_found_and_gives_its_key(device):
    (found,) = find_devices(Network.REGTEST, [device])
    vault, signers = vault_of(("astana", "almaty"), 2)
    assert (found.fingerprint, found.problem) == (signers[0].fingerprint, None)
    assert read_cosigner(device, "astana", ScriptType.WSH, Network.REGTEST) == vault.cosigners[0]


def test_it_signs_a_vault_that_its_holder_enrolled(device, coldcard, story):
    scenario, evidence = story
    signer = vault_signer(device, scenario.cast.vault)
    assert signer.enrol(scenario.cast.vault, "Reserve") == scenario.cast.vault.address(Branch.RECEIVE, 0)
    assert [(each.name, each.threshold, len(each.keys)) for each in coldcard.wallets] == [("Reserve", 2, 3)]
    answer = scenario.stations[0].sign(evidence, signer)
    assert answer.psbt == scenario.stations[0].sign(evidence, scenario.cast.signers[0]).psbt
    (seen,) = coldcard.psbts
    assert (len(seen.xpubs), seen.version) == (0, None)
    assert all(each.non_witness_utxo is not None for each in seen.inputs)


def test_a_vault_is_enrolled_once(device, coldcard):
    vault, _ = vault_of(("astana", "almaty", "shymkent"), 2)
    signer = vault_signer(device, vault)
    signer.enrol(vault)
    signer.enrol(vault)
    assert coldcard.commands.count("enrl") == 1
    assert coldcard.wallets[0].name == f"custody-{vault.id[:4].hex()}"


def test_vaults_of_the_same_cosigners_are_enrolled_one_beside_the_other(device, coldcard):
    # Its own check is of fingerprints and threshold, which are the same.
    for script_type in (ScriptType.WSH, ScriptType.SH_WSH):
        vault, _ = vault_of(("astana", "almaty", "shymkent"), 2, script_type)
        assert vault_signer(device, vault).enrol(vault) == vault.address(Branch.RECEIVE, 0)
    assert len(coldcard.wallets) == 2


def test_a_vault_its_holder_did_not_accept_beside_another_is_not_enrolled(device, coldcard):
    vault, _ = vault_of(("astana", "almaty", "shymkent"), 2, ScriptType.WSH)
    vault_signer(device, vault).enrol(vault)
    coldcard.is_willing = False
    other, _ = vault_of(("astana", "almaty", "shymkent"), 2, ScriptType.SH_WSH)
    with refuses("DEVICE_NOT_ENROLLED"):
        vault_signer(device, other).enrol(other)
    assert len(coldcard.wallets) == 1


def test_a_vault_its_holder_did_not_accept_is_not_enrolled(device, coldcard):
    vault, _ = vault_of(("astana", "almaty", "shymkent"), 2)
    coldcard.is_willing = False
    with refuses("DEVICE_REFUSED"):
        vault_signer(device, vault).enrol(vault)
    assert coldcard.wallets == []


def test_a_vault_it_does_not_know_is_said_before_it_is_asked_to_sign(device, coldcard, story):
    scenario, evidence = story
    with refuses("DEVICE_NOT_ENROLLED"):
        scenario.stations[0].sign(evidence, vault_signer(device, scenario.cast.vault))
    assert coldcard.psbts == []
    with refuses("DEVICE_NOT_ENROLLED"):
        vault_signer(device, scenario.cast.vault).show_address(scenario.cast.vault, Branch.RECEIVE, 0)


def test_its_holders_no_is_a_refusal(device, coldcard, story):
    scenario, evidence = story
    signer = vault_signer(device, scenario.cast.vault)
    signer.enrol(scenario.cast.vault)
    coldcard.is_willing = False
    with refuses("DEVICE_REFUSED"):
        scenario.stations[0].sign(evidence, signer)


def test_account_keys_of_a_vault_it_does_not_know_would_have_it_wait_for_ever(device, coldcard, monkeypatch):
    # Its own check is of fingerprints only, so it takes the enrolled vault for the one that is spent from.
    names = ("astana", "almaty", "shymkent")
    enrolled, _ = vault_of(names, 2, ScriptType.SH_WSH)
    scenario = Scenario.funded(20_000_000, 20_000_000)
    sent = scenario.stations[0].examine(scenario.custodian.evidence(scenario.authorized()), Stage.SIGN).psbt.to_psbt()
    scenario.close()
    signer = vault_signer(device, enrolled, program=Program(patience=Patience(10, 10, 3)))
    signer.enrol(enrolled)
    with refuses("DEVICE_UNSUPPORTED"):
        signer.sign(sent)
    careless = replace(device.kind, account_keys=AccountKeys.WELCOME)
    monkeypatch.setattr(signing, "kind_of", lambda _name: careless)
    with refuses("DEVICE_TIMEOUT"):
        signer.sign(sent)
    assert len(coldcard.psbts[-1].xpubs) == 3


def test_a_taproot_vault_is_refused_before_the_device_sees_it(device, coldcard):
    vault, _ = vault_of(("astana", "almaty", "shymkent"), 2, ScriptType.TR)
    with refuses("DEVICE_UNSUPPORTED"):
        vault_signer(device, vault).enrol(vault)
    assert coldcard.wallets == []
