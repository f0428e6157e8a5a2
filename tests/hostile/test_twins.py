"""F22: names that differ by nothing visible, so that one is taken for the other.

Text holds nothing that is not seen (`test_text.py`). What is drawn alike is told apart nowhere, so one charter does not
have both; a name of mixed scripts alone is nobody's twin.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from custody.charter.card import PayerCard, card_of
from custody.charter.document import Charter, VaultPayee
from custody.charter.text import parse_charter
from custody.record import canonical
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, SUPPLIER, Setting, make_cast, payee_address, person_key
from custody.twins import Named, refuse_twins, skeleton
from custody.vault.descriptor import Vault

TWINS = {
    "Cyrillic letters": ("Supplier", "Su\u0440\u0440lier"),
    "a Greek letter": ("Bolat", "B\u03bflat"),
    "case": ("Bolat", "bolat"),
    "case, in Cyrillic": ("\u0411\u043e\u043b\u0430\u0442", "\u0431\u043e\u043b\u0430\u0442"),
    "a digit for a letter": ("Ivan", "1van"),
    "zero for O": ("Office O", "Office 0"),
    "a small l for a capital I": ("Ivan", "lvan"),
    "the same, with case": ("IVAN", "lvan"),
    "two letters for one": ("Amir", "Arnir"),
    "mathematical letters": ("Bolat", "\U0001d401olat"),
    "a ligature": ("Office", "O\ufb03ce"),
    "dashes": ("Tax-office", "Tax\u2013office"),
    "quotes": ("O'Brien", "O\u2019Brien"),
    "a Kazakh letter": ("\u04ae\u0441\u0435\u043d", "\u0423\u0441\u0435\u043d"),
    "a stretched word": ("\u0645\u062d\u0645\u062f", "\u0645\u062d\u0640\u0645\u062f"),
    "a digit on either side of Hebrew": ("\u05d0\u05d11", "1\u05d0\u05d1"),
    "CJK strokes": ("\u4e00", "\u2f00"),
}
APART = {
    "letters that resemble each other": ("Ali", "All"),
    "an accent": ("Resume", "R\u00e9sum\u00e9"),
    "a letter with a tail": ("\u041a\u0430\u043d\u0430\u0442", "\u049a\u0430\u043d\u0430\u0442"),
    "scripts": ("Dana", "\u0414\u0430\u043d\u0430"),
    "mixed scripts": ("Bank \u0411\u0430\u043d\u043a", "Bank"),
    "word order in Hebrew": ("\u05d0\u05d1 \u05d2\u05d3", "\u05d2\u05d3 \u05d0\u05d1"),
    "numbers": ("Reserve 1", "Reserve 11"),
    "a blank": ("Taxoffice", "Tax office"),
}


@pytest.mark.parametrize("pair", TWINS)
def test_twins_of_one_table_are_refused_in_either_order(pair):
    first, second = TWINS[pair]
    for a, b in ((first, second), (second, first)):
        with refuses("LOOKALIKE") as caught:
            refuse_twins([Named("payees", a), Named("payees", b)])
        assert (caught.error.first, caught.error.second) == (a, b)
        at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False), 1) if x != y), min(len(a), len(b)) + 1)
        assert f"at character {at} it has" in caught.error.how


@pytest.mark.parametrize("pair", APART)
def test_names_that_people_tell_apart_may_stand_side_by_side(pair):
    refuse_twins([Named("payees", each) for each in APART[pair]])


def test_names_of_two_tables_may_be_the_same_and_not_be_drawn_the_same():
    refuse_twins([Named("vaults", "reserve")], [Named("payees", "reserve")])
    refuse_twins([Named("vaults", "reserve")], [Named("payees", "Reserve")])
    with refuses("LOOKALIKE") as caught:
        refuse_twins([Named("vaults", "reserve")], [Named("payees", "reserv\u0435")])
    assert "it stands in payees, the other in vaults" in str(caught.error)
    assert "at character 7 it has U+0435, the other U+0065" in str(caught.error)


@pytest.mark.parametrize("text", ['Supplier 10 | "m" 50% `I`', "", "nothing to do"])
def test_the_few_of_ascii_are_those_of_the_whole_table(text):
    # A letter of another script has the whole table asked.
    assert skeleton(f"{text}\u0416") == f"{skeleton(text)}\u0416"


@pytest.mark.parametrize("each", [chr(code) for code in range(0x20, 0x7F)])
def test_every_letter_of_ascii_is_drawn_as_the_whole_table_says(each):
    assert skeleton(f"{each}\u0416")[:-1] == skeleton(each)


# --- one charter ------------------------------------------------------------------------------------------------------


CAST = make_cast()
GOOD = CAST.charter


def twin_of(entries, name, twin, **changes):
    """The entries with one more: that of `name` under another name."""
    found = next(each for each in entries if each.name == name)
    fields = {field: getattr(found, field) for field in type(found).model_fields}
    return tuple(sorted((*entries, type(found)(**fields | {"name": twin} | changes)), key=lambda each: each.name))


SUPPLIERS = "Su\u0440\u0440lier"
CHARTERS = {
    "payees": lambda: {"payees": twin_of(GOOD.payees, SUPPLIER, SUPPLIERS, address=payee_address("the thief"))},
    "people": lambda: {"people": twin_of(GOOD.people, "Bolat", "bolat", key=person_key("thief").public_key)},
    "rules": lambda: {"rules": twin_of(GOOD.rules, "known payees", "kn\u043ewn payees")},
    "people and payees": lambda: {
        "people": twin_of(GOOD.people, "Bolat", SUPPLIERS, key=person_key("thief").public_key)
    },
    "vaults and payees": lambda: {
        "payees": tuple(
            sorted((*GOOD.payees, VaultPayee(name="r\u0435serve", vault="reserve")), key=lambda each: each.name)
        )
    },
    "people and witnesses": lambda: {
        "people": twin_of(GOOD.people, "Bolat", GOOD.witnesses[0].name, key=person_key("thief").public_key)
    },
    "the institution": lambda: {
        "payees": twin_of(
            GOOD.payees, SUPPLIER, GOOD.institution.replace("a", "\u0430"), address=payee_address("the thief")
        )
    },
    "the coordinator": lambda: {
        "people": twin_of(GOOD.people, "Bolat", "The Coordinator", key=person_key("thief").public_key)
    },
    "nobody": lambda: {"people": twin_of(GOOD.people, "Bolat", "Nobody yet", key=person_key("thief").public_key)},
    "all rules together": lambda: {"rules": twin_of(GOOD.rules, "known payees", "In all")},
}


@pytest.mark.parametrize("where", CHARTERS)
def test_no_charter_has_two_names_that_read_alike(edit, where):
    changes = CHARTERS[where]()
    with refuses("LOOKALIKE") as caught:
        edit(GOOD, **changes)
    assert "it stands in" in str(caught.error)


def test_a_charter_with_twins_is_refused_as_a_file_and_as_text():
    tree = json.loads(GOOD.to_bytes())
    thief = {"type": "address", "name": SUPPLIERS, "address": payee_address("the thief")}
    tree["payees"] = sorted((*tree["payees"], thief), key=lambda each: each["name"])
    with refuses("LOOKALIKE"):
        Charter.from_bytes(canonical(tree))
    text = f"""
institution = "Bank"
network = "regtest"
origin = "bank.example/log"
coordinator = "{CAST.coordinator.public_key.hex()}"
[[person]]
name = "Bolat"
key = "{person_key("Bolat").public_key.hex()}"
roles = ["officer"]
[[person]]
name = "B\u043elat"
key = "{person_key("thief").public_key.hex()}"
roles = ["requester"]
[[vault]]
name = "reserve"
descriptor = "{GOOD.vaults[0].descriptor}"
[[payee]]
name = "Supplier"
address = "{payee_address(SUPPLIER)}"
[[rule]]
name = "two officers"
type = "approvals"
vaults = ["reserve"]
role = "officer"
count = 1
"""
    with refuses("LOOKALIKE") as caught:
        parse_charter(text)
    assert "U+043E" in str(caught.error)


def test_no_maker_is_counted_as_two_under_names_that_read_alike(edit):
    charter = make_cast(Setting(makers=("ledger", "blockstream", "coinkite"))).charter
    vault = charter.vaults[0]
    devices = tuple(edit(each, maker="1edger") if each.maker == "coinkite" else each for each in vault.devices)
    with refuses("LOOKALIKE"):
        edit(charter, vaults=(edit(vault, devices=devices),))


def test_mixed_scripts_alone_are_refused_nowhere(edit):
    changes = {"people": twin_of(GOOD.people, "Bolat", "Se\u0440ik", key=person_key("Serik").public_key)}
    assert edit(GOOD, **changes).person("Se\u0440ik")


def test_no_card_lists_an_officer_twice_under_names_that_read_alike(edit):
    card = card_of(GOOD)
    officer = edit(card.officers[0], name=f"{OFFICERS[0][:-1]}\u043c", key=person_key("thief").public_key)
    twin = edit(card.officers[0], name=OFFICERS[0].upper(), key=person_key("thief").public_key)
    assert edit(card, officers=tuple(sorted((*card.officers, officer), key=lambda each: each.name)))
    data = edit(card, officers=(*card.officers,)).to_bytes()
    assert PayerCard.from_bytes(data) == card
    with refuses("LOOKALIKE"):
        edit(card, officers=tuple(sorted((*card.officers, twin), key=lambda each: each.name)))


@pytest.mark.parametrize("twin", ["Astana", "\u0430stana"])
def test_no_vault_has_cosigners_whose_names_read_alike(twin):
    vault = CAST.vault
    with refuses("DUP_COSIGNER"):
        replace(vault, cosigners=(vault.cosigners[0], replace(vault.cosigners[1], name=twin), vault.cosigners[2]))
    with refuses("DUP_COSIGNER"):
        Vault.parse(vault.descriptor, vault.network, names=("astana", twin, "shymkent"))
