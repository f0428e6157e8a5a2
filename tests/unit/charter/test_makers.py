"""Makers: one name for each, whatever it was called, and what a charter keeps of a device."""

import pytest

from custody.charter.document import Charter
from custody.charter.makers import MAKERS, CosignerDevice, maker_called, refuse_concentration
from custody.record import canonical
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast

STATED = make_cast(Setting(makers=("coinkite", "ledger", "satoshilabs"), is_deterministic=True)).charter
SILENT = make_cast().charter


@pytest.mark.parametrize(
    "name", ["coinkite", "Coinkite", "COIN KITE", "coin-kite", "Coin_Kite.", "Coldcard", "COLD CARD"]
)
def test_a_maker_has_one_name(name):
    assert maker_called(name) == "coinkite"


@pytest.mark.parametrize("maker", MAKERS)
def test_no_other_name_of_a_maker_is_a_maker(maker):
    assert maker_called(maker) == maker
    assert not [other for other in MAKERS[maker] if other in MAKERS or maker_called(other) != maker]


def test_a_maker_that_nobody_knows_here_keeps_its_own_name():
    assert maker_called("Acme Vaults") == "acmevaults"


def devices(*makers):
    return [
        CosignerDevice(fingerprint=bytes([n] * 4), maker=maker, model="", is_deterministic=False)
        for n, maker in enumerate(makers)
    ]


@pytest.mark.parametrize("makers", [(), ("ledger",), ("ledger", "coinkite", "ledger", "coinkite", "acme")])
def test_below_the_threshold_one_maker_may_have_several(makers):
    refuse_concentration("reserve", 3, devices(*makers))


def test_at_the_threshold_it_is_refused_with_the_numbers():
    with refuses("VENDOR_CONCENTRATION") as caught:
        refuse_concentration("reserve", 3, devices("ledger", "coinkite", "ledger", "acme", "ledger"))
    assert (caught.error.vault, caught.error.maker, caught.error.count) == ("reserve", "ledger", 3)


# --- bytes ---


def test_what_is_stated_is_written_and_read_again():
    assert Charter.from_bytes(STATED.to_bytes()) == STATED
    assert [each.is_deterministic for each in STATED.vaults[0].devices] == [True] * 3
    for each in STATED.vaults[0].devices:
        assert STATED.vaults[0].device_of(each.fingerprint) == each


def test_a_charter_that_states_none_has_the_bytes_it_always_had():
    assert b"device" not in SILENT.to_bytes()
    assert Charter.from_bytes(SILENT.to_bytes()).vaults[0].devices == ()
    assert SILENT.vaults[0].device_of(bytes(4)) is None


def test_none_has_no_second_spelling():
    tree = SILENT.model_dump(mode="json")
    tree["vaults"][0]["devices"] = []
    with refuses("RECORD_NOT_CANONICAL"):
        Charter.from_bytes(canonical(tree))
