"""A device, or what stands in its place, that lies: nothing of it is taken (THREATS B6, C11).

Two attackers: a program instead of the device's process (tests/soft/hostile.py), and a device behind hwilib's own
commands that misbehaves in one way (tests/soft/soft.py).
"""

import tracemalloc

import pytest

from custody.backends.hwi.program import Patience, Program
from custody.backends.hwi.signer import Device, HwiSigner, find_devices, open_device, vault_signer
from custody.bitcoin.psbt import Psbt
from custody.examine.evidence import Stage
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, account_path, secret, vault_of
from custody.testing.scenario import Scenario
from custody.units import Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.templates import ScriptType

ANY = Device("soft", "somewhere")
PATH = account_path(ScriptType.WSH)
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def vault() -> Vault:
    return vault_of(("astana", "almaty", "shymkent"), 2)[0]


@pytest.fixture(scope="module")
def sent() -> Psbt:
    """What a station sends to a device: two inputs, change, account keys, previous transactions."""
    with_coins = Scenario.funded(20_000_000, 20_000_000, setting=Setting())
    evidence = with_coins.custodian.evidence(with_coins.authorized())
    examined = with_coins.stations[0].examine(evidence, Stage.SIGN)
    with_coins.close()
    return examined.psbt.to_psbt()


@pytest.fixture
def misbehaving(soft, vault):
    """The cosigner astana's device with one fault; it is opened without one."""

    def signer(fault: str) -> HwiSigner:
        return HwiSigner(Device("soft", f"soft:astana?{fault}"), vault.cosigners[0].fingerprint, vault.network, soft)

    return signer


# --- C11: a program in the device's place ---


@pytest.mark.parametrize(
    "how",
    [
        "injects",
        "capitals",
        "five-bytes",
        "number",
        "signed-true",
        "an-extra-field",
        "spaced",
        "twice",
        "no-json",
        "not-utf-8",
        "deep",
        "escape-codes",
        "right-to-left",
        "a-long-reason",
        "an-unknown-fault",
        "no-fingerprint",
    ],
)
def test_an_answer_of_any_other_shape_is_nonsense(hostile, how):
    with refuses("SIGNER_PROTOCOL") as caught:
        open_device(ANY, Network.REGTEST, program=hostile(how))
    assert str(caught.error).isascii()
    assert str(caught.error).isprintable()


@pytest.mark.parametrize("how", ["injects-when-listed", "an-escape-in-a-path", "65-devices"])
def test_a_list_of_any_other_shape_is_nonsense(hostile, how):
    (found,) = find_devices(Network.REGTEST, (Device("soft"),), program=hostile(how))
    assert (found.problem.code, found.fingerprint) == ("SIGNER_PROTOCOL", None)


def test_a_hundred_megabytes_are_not_read(hostile):
    tracemalloc.start()
    try:
        with refuses("SIGNER_PROTOCOL"):
            open_device(ANY, Network.REGTEST, program=hostile("floods"))
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


def test_a_hundred_megabytes_of_signed_psbt_are_not_read_either(hostile, vault, sent):
    signer = HwiSigner(ANY, vault.cosigners[0].fingerprint, Network.REGTEST, hostile("floods"))
    with refuses("SIGNER_PROTOCOL") as caught:
        signer.sign(sent)
    assert "more than" in str(caught.error)


@pytest.mark.parametrize("how", ["hangs", "deaf", "drips"])
def test_a_program_that_never_ends_is_ended(hostile, how):
    with refuses("DEVICE_TIMEOUT") as caught:
        open_device(ANY, Network.REGTEST, program=hostile(how, 1))
    assert caught.error.seconds == 1


def test_a_program_that_reads_nothing_is_ended_although_more_than_a_pipe_holds_was_sent(hostile, vault):
    signer = HwiSigner(ANY, vault.cosigners[0].fingerprint, Network.REGTEST, hostile("deaf", 1))
    with refuses("DEVICE_TIMEOUT"):
        signer.account_key(PATH * 10_000)


@pytest.mark.parametrize("how", ["nothing", "dies"])
def test_a_program_that_ends_without_a_word_has_failed(hostile, how):
    with refuses("DEVICE_FAILED"):
        open_device(ANY, Network.REGTEST, program=hostile(how))


@pytest.mark.parametrize("how", ["another", "answers-then-hangs"])
def test_another_fingerprint_than_the_cosigners_ends_it(hostile, vault, sent, how):
    fingerprint = vault.cosigners[0].fingerprint
    with refuses("DEVICE_MISMATCH") as caught:
        HwiSigner(ANY, fingerprint, Network.REGTEST, hostile(how)).sign(sent)
    assert (caught.error.expected, caught.error.actual) == (fingerprint.hex(), "deadbeef")


# --- C11, B6: a device that lies ---


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("silent", "returned no signature"),
        ("half", "left out input 0"),
        ("stranger", "a key that is not its own"),
        ("impostor", "a wrong signature on input 0"),
        ("other-hash-type", "a wrong signature on input 0"),
        ("other-transaction", "another transaction"),
    ],
)
def test_of_what_a_device_signed_wrongly_nothing_is_taken(misbehaving, sent, fault, problem):
    with refuses("SIGNER_PROTOCOL") as caught:
        misbehaving(fault).sign(sent)
    assert problem in str(caught.error)


def test_another_device_at_the_same_path_is_asked_nothing(soft, vault, sent):
    # Were it asked to sign, it would hang.
    signer = HwiSigner(Device("soft", "soft:almaty?hangs"), vault.cosigners[0].fingerprint, Network.REGTEST, soft)
    for ask in (
        lambda: signer.sign(sent),
        lambda: signer.account_key(PATH),
        lambda: signer.show_address(vault, Branch.RECEIVE, 0),
    ):
        with refuses("DEVICE_MISMATCH"):
            ask()


def test_a_fingerprint_that_is_none_is_nonsense_even_through_hwilib(soft, monkeypatch):
    with refuses("SIGNER_PROTOCOL"):
        open_device(Device("soft", "soft:astana?misnamed"), Network.REGTEST, program=soft)
    monkeypatch.setenv("SOFT_DEVICES", "soft:astana?injects")
    (found,) = find_devices(Network.REGTEST, (Device("soft"),), program=soft)
    assert found.problem.code == "SIGNER_PROTOCOL"


@pytest.mark.parametrize(
    ("fault", "code"),
    [("mainnet", "NETWORK_MISMATCH"), ("elsewhere", "SIGNER_PROTOCOL"), ("private", "SECRET_MATERIAL")],
)
def test_a_key_of_another_network_another_path_or_a_private_one_is_refused(misbehaving, fault, code):
    with refuses(code) as caught:
        misbehaving(fault).account_key(PATH)
    assert "prv" not in f"{caught.error!r} {caught.error.advice()} {caught.error.values()}"


def test_an_address_that_is_not_the_vaults_is_an_alarm(misbehaving, vault):
    with refuses("DEVICE_ADDRESS") as caught:
        misbehaving("swaps").show_address(vault, Branch.RECEIVE, 0)
    assert caught.error.expected == vault.address(Branch.RECEIVE, 0)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("asserts", "DEVICE_FAILED"),
        ("busy", "DEVICE_BUSY"),
        ("calls-home", "DEVICE_NOT_FOUND"),
        ("cancels", "DEVICE_REFUSED"),
        ("crashes", "DEVICE_FAILED"),
        ("denies", "DEVICE_REFUSED"),
        ("duplicate", "DEVICE_FAILED"),
        ("exits", "DEVICE_FAILED"),
        ("gone", "DEVICE_NOT_FOUND"),
        ("leaks", "DEVICE_FAILED"),
        ("locked", "DEVICE_LOCKED"),
        ("protocol", "DEVICE_UNSUPPORTED"),
        ("swells", "DEVICE_FAILED"),
        ("unable", "DEVICE_UNSUPPORTED"),
        ("unsupported", "DEVICE_UNSUPPORTED"),
    ],
)
def test_whatever_a_driver_raises_has_a_name_and_a_hint(misbehaving, sent, fault, code):
    with refuses(code) as caught:
        misbehaving(fault).sign(sent)
    shown = f"{caught.error} {caught.error.advice()}"
    assert shown.isascii()
    assert shown.isprintable()
    assert "tpubDDD" not in shown
    assert "AAAAAAAA" not in shown


def test_a_device_that_hangs_is_ended_and_nothing_is_taken(soft, vault, sent):
    hurried = type(soft)(soft.command, type(soft.patience)(2, 2, 2))
    signer = HwiSigner(Device("soft", "soft:astana?hangs"), vault.cosigners[0].fingerprint, Network.REGTEST, hurried)
    with refuses("DEVICE_TIMEOUT"):
        signer.sign(sent)


def test_a_signature_is_kept_although_its_device_then_sticks(soft, vault, sent):
    signer = HwiSigner(Device("soft", "soft:astana?sticks"), vault.cosigners[0].fingerprint, Network.REGTEST, soft)
    assert signer.sign(sent) == vault_signer(Device("soft", "soft:astana"), vault, program=soft).sign(sent)


# --- Emulators ---


def test_an_emulator_holds_no_key_to_coins_with_value(soft, vault):
    emulator = Device("soft", "soft:astana", is_emulator=True)
    with refuses("DEVICE_EMULATED"):
        open_device(emulator, Network.MAIN, program=soft)
    with refuses("DEVICE_EMULATED"):
        HwiSigner(emulator, vault.cosigners[0].fingerprint, Network.MAIN, soft)
    assert open_device(emulator, Network.REGTEST, program=soft).fingerprint == vault.cosigners[0].fingerprint


def test_only_an_emulators_process_may_use_sockets(soft, vault, sent):
    fingerprint = vault.cosigners[0].fingerprint
    with refuses("DEVICE_NOT_FOUND") as caught:
        HwiSigner(Device("soft", "soft:astana?calls-home"), fingerprint, Network.REGTEST, soft).sign(sent)
    assert "sockets are for emulators only" in str(caught.error)
    emulator = Device("soft", "soft:astana?calls-home", is_emulator=True)
    with refuses("DEVICE_NOT_FOUND") as caught:
        HwiSigner(emulator, fingerprint, Network.REGTEST, soft).sign(sent)
    assert "refused" in str(caught.error)


# --- a device's wire, behind a vendor's own driver ---


@pytest.fixture
def jade(soft_jade, vault):
    """The cosigner astana's Jade, in software, and what asks it; hwilib's real driver stands between them."""
    device = soft_jade(secret("cosigner astana"))
    name = Device("jade", device.path, is_emulator=True)
    yield device, HwiSigner(name, vault.cosigners[0].fingerprint, vault.network)
    device.close()


@pytest.mark.parametrize(
    ("odd", "codes"),
    [
        ("another-request", ("DEVICE_FAILED", "DEVICE_FAILED", "DEVICE_FAILED")),
        ("neither", ("DEVICE_FAILED", "DEVICE_FAILED", "DEVICE_FAILED")),
        ("a-number", ("DEVICE_FAILED", "SIGNER_PROTOCOL", "DEVICE_FAILED")),
        ("nothing", ("DEVICE_UNSUPPORTED", "SIGNER_PROTOCOL", "DEVICE_FAILED")),
        ("other-bytes", ("DEVICE_FAILED", "SIGNER_PROTOCOL", "DEVICE_UNSUPPORTED")),
        ("a-private-key", ("SECRET_MATERIAL", "SECRET_MATERIAL", "DEVICE_FAILED")),
        ("an-address-of-another", ("DEVICE_UNSUPPORTED", "DEVICE_ADDRESS", "DEVICE_FAILED")),
        ("escape-codes", ("DEVICE_FAILED", "DEVICE_FAILED", "DEVICE_FAILED")),
    ],
)
def test_nothing_odd_on_the_wire_becomes_a_key_an_address_or_a_signature(jade, vault, sent, odd, codes):
    device, signer = jade
    device.odd = odd
    asked = (
        lambda: signer.account_key(PATH),
        lambda: signer.show_address(vault, Branch.RECEIVE, 0),
        lambda: signer.sign(sent),
    )
    for code, ask in zip(codes, asked, strict=True):
        with refuses(code) as caught:
            ask()
        assert str(caught.error).isascii()
        assert str(caught.error).isprintable()
        assert "prv" not in str(caught.error)


@pytest.mark.parametrize("odd", ["no-cbor", "a-terabyte"])
def test_a_wire_that_never_makes_sense_is_ended_at_its_time(jade, odd):
    device, signer = jade
    hasty = HwiSigner(signer.device, signer.fingerprint, Network.REGTEST, Program(patience=Patience(3, 3, 3)))
    device.odd = odd
    with refuses("DEVICE_TIMEOUT"):
        hasty.account_key(PATH)


@pytest.mark.parametrize("odd", ["signs-nothing", "signs-anothers"])
def test_what_a_driver_takes_for_signed_is_looked_at(jade, sent, odd):
    device, signer = jade
    device.odd = odd
    with refuses("SIGNER_PROTOCOL"):
        signer.sign(sent)
