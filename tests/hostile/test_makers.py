"""A vault whose keys lie with one maker's devices (THREATS B9, C10): refused as soon as the makers are stated.

The attacker is that maker, or whoever sells its devices on; or an officer who would have the charter look diverse.
"""

from __future__ import annotations

import pytest

from custody.charter.document import Charter
from custody.charter.makers import CosignerDevice
from custody.charter.text import parse_charter
from custody.record import canonical
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast, person_key

FIVE = ("astana", "almaty", "shymkent", "oral", "taraz")


def stated(makers: tuple[str, ...], threshold: int) -> Charter:
    return make_cast(Setting(threshold=threshold, cosigners=FIVE[: len(makers)], makers=makers)).charter


@pytest.mark.parametrize(
    ("threshold", "makers"),
    [
        (3, ("coinkite", "coinkite", "coinkite", "ledger", "satoshilabs")),
        (3, ("ledger", "coinkite", "coinkite", "satoshilabs", "coinkite")),
        (2, ("coinkite", "coinkite", "ledger")),
        (2, ("software", "software", "ledger")),
        (2, ("acme", "acme", "ledger")),
        (2, ("ledger", "ledger")),
    ],
)
def test_one_maker_s_devices_that_are_enough_to_spend_are_refused(threshold, makers):
    with refuses("VENDOR_CONCENTRATION") as caught:
        stated(makers, threshold)
    assert (caught.error.threshold, caught.error.vault) == (threshold, "reserve")
    assert caught.error.count >= threshold


@pytest.mark.parametrize(
    ("threshold", "makers"),
    [(3, ("coinkite", "coinkite", "ledger", "ledger", "satoshilabs")), (2, ("coinkite", "ledger", "software"))],
)
def test_one_key_fewer_is_not(threshold, makers):
    assert len(stated(makers, threshold).vaults[0].devices) == len(makers)


# --- other spellings ---

CAST = make_cast()
PRINTS = [each.fingerprint.hex() for each in CAST.vault.cosigners]


def text(*makers: str, prints: list[str] | None = None) -> str:
    """A charter's text that states these makers, of the cosigners in turn."""
    devices = "".join(
        f'[[vault.device]]\nfingerprint = "{fingerprint}"\nmaker = "{maker}"\nmodel = "any"\n'
        for fingerprint, maker in zip(prints or PRINTS, makers, strict=False)
    )
    people = "".join(
        f'[[person]]\nname = "{name}"\nkey = "{person_key(name).public_key.hex()}"\nroles = ["{role}"]\n'
        for name, role in (("Dana", "requester"), ("Aigerim", "officer"))
    )
    return f"""
institution = "National Bank"
network = "regtest"
origin = "custody.example/demo"
coordinator = "{CAST.coordinator.public_key.hex()}"
{people}
[[vault]]
name = "reserve"
descriptor = "{CAST.vault.descriptor}"
{devices}
[[rule]]
name = "approvals"
type = "approvals"
vaults = ["reserve"]
role = "officer"
count = 1
[[rule]]
name = "fees"
type = "fee"
vaults = ["reserve"]
max_fee = 1000
max_rate = 1000
max_share = 100
"""


def test_a_text_that_states_makers_gives_them_their_one_name():
    devices = parse_charter(text("Cold Card", "LEDGER", "Acme Vaults")).vaults[0].devices
    assert {each.fingerprint.hex(): each.maker for each in devices} == dict(
        zip(PRINTS, ("coinkite", "ledger", "acmevaults"), strict=True)
    )


@pytest.mark.parametrize(
    "pair",
    [
        ("Coinkite", "coinkite"),
        ("COIN KITE", "coin-kite"),
        ("coldcard", "Coinkite"),
        ("Trezor", "SatoshiLabs"),
        ("BitBox02", "Shift Crypto"),
        ("Jade", "blockstream"),
        ("Acme", "A C M E"),
        ("file", "software"),
    ],
)
def test_one_maker_under_two_names_is_one_maker(pair):
    with refuses("VENDOR_CONCENTRATION"):
        parse_charter(text(*pair, "Foundation"))


@pytest.mark.parametrize(
    "maker", ["Coinkite", "coin kite", "coin-kite", "coldcard", "", "c\u043einkite", "?", "x" * 41]
)
def test_a_record_takes_a_maker_under_its_one_name_only(maker):
    tree = CAST.charter.model_dump(mode="json")
    tree["vaults"][0]["devices"] = [
        {"fingerprint": fingerprint, "is_deterministic": False, "maker": name, "model": "any"}
        for fingerprint, name in sorted(zip(PRINTS, (maker, "ledger", "satoshilabs"), strict=True))
    ]
    with refuses("RECORD_INVALID") as caught:
        Charter.from_bytes(canonical(tree))
    assert "maker" in caught.error.where


@pytest.mark.parametrize("maker", ["?", "c\u043einkite", "\uff23oinkite"])
def test_a_text_s_look_alike_letters_make_no_second_maker(maker):
    with refuses("CHARTER_INVALID") as caught:
        parse_charter(text(maker, "coinkite", "ledger"))
    assert "maker" in caught.error.where


# --- who is left out ---


def test_a_cosigner_of_whom_nothing_is_said_is_refused():
    with refuses("CHARTER_INVALID") as caught:
        parse_charter(text("coinkite", "ledger"))
    assert (PRINTS[2] in str(caught.error), caught.error.where) == (True, "vault reserve, devices")


def test_a_device_of_nobody_is_refused():
    with refuses("CHARTER_INVALID") as caught:
        parse_charter(text("coinkite", "ledger", "satoshilabs", "acme", prints=[*PRINTS, "deadbeef"]))
    assert ("deadbeef" in str(caught.error), caught.error.where) == (True, "vault reserve, devices")


def test_a_device_in_the_place_of_another_is_refused():
    with refuses("CHARTER_INVALID"):
        parse_charter(text("coinkite", "ledger", "satoshilabs", prints=[*PRINTS[:2], "deadbeef"]))


def test_one_cosigner_with_two_devices_is_refused():
    with refuses("CHARTER_INVALID") as caught:
        parse_charter(text("coinkite", "ledger", "satoshilabs", "acme", prints=[*PRINTS, PRINTS[0]]))
    assert "stands twice" in str(caught.error)


def test_devices_in_another_order_are_another_record_and_refused():
    tree = make_cast(Setting(makers=("coinkite", "ledger", "satoshilabs"))).charter.model_dump(mode="json")
    tree["vaults"][0]["devices"].reverse()
    with refuses("RECORD_INVALID"):
        Charter.from_bytes(canonical(tree))


@pytest.mark.parametrize(
    "written",
    ['device = "coinkite"', "device = [1]", "device = { maker = 1 }", "devices = []", "device = []\ndevices = []"],
)
def test_devices_that_are_no_tables_are_refused(written):
    with refuses("CHARTER_INVALID"):
        parse_charter(text().replace("[[rule]]", f"{written}\n[[rule]]", 1))


def test_a_model_that_lies_on_a_screen_is_refused():
    with refuses("TEXT_FORBIDDEN"):
        CosignerDevice(fingerprint=bytes(4), maker="ledger", model="Nano \u202e", is_deterministic=False)
