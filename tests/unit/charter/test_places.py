"""A charter's text that is wrong: told with its line, its table and its field, and with what was meant."""

import pytest

from custody.charter.text import parse_charter
from custody.errors import CustodyError
from custody.testing.asserts import refuses
from custody.testing.cast import make_cast, person_key

from .test_document import TEXT, named


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


DANA = person_key("Dana").public_key.hex()
PERSON, VAULT, PAYEE = "[[person]] number 1 (Dana)", "[[vault]] number 1 (reserve)", "[[payee]] number 1 (Tax office)"
OFFICERS, KNOWN, LIMIT = (
    f"[[rule]] number {number} ({name})"
    for number, name in ((1, "two officers"), (2, "known payees"), (4, "per transfer"))
)
AMOUNT = f"{LIMIT}, max_outflow"
RATE = "[[rule]] number 3 (modest fees), max_rate"
PLACED = {
    "a field": (changed("count = 2", "cuont = 2"), "cuont", f"{OFFICERS}, cuont", "'count'"),
    "a field above": (changed("institution", "institutoin"), "institutoin", "institutoin", "'institution'"),
    "a table": (changed("[[payee]]", "[[paye]]"), "[[paye]]", "paye", "'payee'"),
    "a role": (changed('"requester"', '"requestor"'), '"requestor"', f"{PERSON}, roles", "'requester'"),
    "a rule's role": (changed('= "officer"', '= "oficer"'), '"oficer"', f"{OFFICERS}, role", "'officer'"),
    "a type": (changed('"limit"', '"limits"'), '"limits"', f"{LIMIT}, type", "'limit'"),
    "no type": (changed('type = "limit"\n', ""), None, f"{LIMIT}, type", ""),
    "a network": (changed('"regtest"', '"regtst"'), '"regtst"', "network", "'regtest'"),
    "a vault's name": (changed('["reserve"]', '["reserv"]'), None, OFFICERS, "'reserve'"),
    "a payee's name": (changed('["Tax office"', '["Tax ofice"'), None, KNOWN, "'Tax office'"),
    "a key": (changed(DANA, "00" * 32), "00" * 32, f"{PERSON}, key", ""),
    "a coordinator": (changed('coordinator = "', 'coordinator = "x'), "coordinator", "coordinator", ""),
    "a missing field": (changed("max_outflow = 500000000\n", ""), None, AMOUNT, ""),
    "a negative amount": (changed("500000000", "-1"), "max_outflow", AMOUNT, ""),
    "a part of a sat": (changed("500000000", '"0.123456789 BTC"'), "max_outflow", AMOUNT, ""),
    "a rate without its unit": (changed("max_rate = 100000", 'max_rate = "100"'), "max_rate", RATE, ""),
    "a text without its unit": (changed("500000000", '"5"'), "max_outflow", AMOUNT, ""),
    "a number out of range": (changed("tions = 1", "tions = 0"), "confirmations", f"{VAULT}, confirmations", ""),
    "a descriptor": (changed("/<0;1>/*,", "/<0;1>/*."), "descriptor", f"{VAULT}, descriptor", ""),
    "an address": (changed('= "bcrt1', '= "bcrt1q'), "bcrt1q", f"{PAYEE}, address", ""),
    "too few officers": (changed("count = 2", "count = 20"), None, OFFICERS, ""),
    "a vault that nobody approves for": (changed("count = 2", "count = 2\nfrom_amount = 1"), None, VAULT, ""),
}


@pytest.mark.parametrize("what", PLACED)
def test_what_is_wrong_in_a_text_is_told_with_its_line_table_and_field_and_what_was_meant(what):
    text, part, place, meant = PLACED[what]
    with pytest.raises(CustodyError) as caught:
        parse_charter(text)
    (note,) = caught.value.__notes__
    line, _, rest = note.partition(", ")
    assert rest == place
    number = int(line.removeprefix("line "))
    assert part is None or number == line_of(text, part)
    table = place.split(" ")[0]
    assert not table.startswith("[[") or table in text.split("\n")[number - 1 :: -1]
    assert (f"did you mean {meant}?" in str(caught.value)) is bool(meant)


@pytest.mark.parametrize(
    ("written", "sats"),
    [
        ("500000000", 500_000_000),
        ('"5 BTC"', 500_000_000),
        ('"0.00000001 BTC"', 1),
        ('"150000 sat"', 150_000),
        ('"150 000 sat"', 150_000),
        ('"2 500.5 btc"', 250_050_000_000),
        ('"7 SATS"', 7),
        ('"20999999.99999999 BTC"', 20_999_999_99999999),
    ],
)
def test_an_amount_is_whole_sats_or_a_text_with_its_unit(written, sats):
    charter = parse_charter(changed("max_outflow = 500000000", f"max_outflow = {written}"))
    assert named(charter.rules, "per transfer").max_outflow == sats


@pytest.mark.parametrize(
    ("written", "rate"), [("100000", 100_000), ('"100 sat/vB"', 100_000), ('"12.345 sat/vB"', 12_345)]
)
def test_a_rate_is_sat_per_kvb_or_a_text_with_its_unit(written, rate):
    assert (
        named(parse_charter(changed("max_rate = 100000", f"max_rate = {written}")).rules, "modest fees").max_rate
        == rate
    )


def test_a_rate_finer_than_a_charter_has_is_refused_where_it_stands():
    text = changed("max_rate = 100000", 'max_rate = "12.3456 sat/vB"')
    with refuses("RATE_FINE") as caught:
        parse_charter(text)
    (note,) = caught.error.__notes__
    assert note.startswith(f"line {line_of(text, 'max_rate')}, [[rule]]")


NUMBERS = ("max_outflow", "max_rate", "confirmations")


@pytest.mark.parametrize("value", ["[]", "{}", "[[]]", "[{}]", "{a = 1}", "true", '["regtest"]', '""', '" "'])
@pytest.mark.parametrize(
    "field",
    [
        'network = "regtest"', 'type = "limit"', 'roles = ["requester"]', 'role = "officer"', "count = 2",
        "max_outflow = 500000000", "max_rate = 100000", 'vaults = ["reserve"]', 'name = "reserve"', 'name = "Dana"',
        'payees = ["Tax office", "Supplier", "Reserve"]', f'key = "{DANA}"', "confirmations = 1",
    ],
)  # fmt: skip
def test_whatever_stands_where_something_else_belongs_is_refused_by_name(field, value):
    name = field.partition(" = ")[0]
    if name not in NUMBERS:
        with pytest.raises(CustodyError):
            parse_charter(changed(field, f"{name} = 7"))
    for text in (changed(field, f"{name} = {value}"), changed(field, f"{name} = 1\n{name} = {value}")):
        with pytest.raises(CustodyError) as caught:
            parse_charter(text)
        assert caught.value.advice()


@pytest.mark.parametrize("table", ["person", "witness", "vault", "payee", "rule", "vault.device", "vault.cosigner"])
@pytest.mark.parametrize("written", ["[{}]", "[[{}]]\n[[{}]]", "[[{}]]\n[{}]", "{} = 7", '{} = [["a"]]', "{} = [[]]"])
def test_a_table_of_another_form_is_refused_by_name(table, written):
    text = changed("[[person]]", f"{written.replace('{}', table)}\n[[person]]")
    with pytest.raises(CustodyError) as caught:
        parse_charter(text)
    assert caught.value.advice()


PRINT = make_cast().vault.cosigners[0].fingerprint.hex()


@pytest.mark.parametrize(
    ("table", "written", "place", "said"),
    [
        ("cosigner", f'fingerprint = "{PRINT}"\nnmae = "A"\nsite = "B"', ", nmae", "did you mean 'name'?"),
        ("cosigner", f'fingerprint = "{PRINT}"\nname = "A"', ", site", "is missing"),
        ("cosigner", 'fingerprint = "zz"\nname = "A"\nsite = "B"', ", fingerprint", "'zz' is no fingerprint"),
        (
            "cosigner",
            f'fingerprint = "{PRINT}"\nname = "A"\nsite = "B"',
            ", fingerprint",
            f"{PRINT} stands twice in this vault",
        ),
        ("device", f'fingerprint = "{PRINT}"\nmakr = "A"\nmodel = "B"', ", makr", "did you mean 'maker'?"),
        ("device", f'fingerprint = "{PRINT}"\nmaker = "A"', ", model", "is missing"),
    ],
)
def test_a_table_within_a_vault_s_has_a_place_of_its_own(table, written, place, said):
    good = f'[[vault.{table}]]\nfingerprint = "{PRINT}"\n' + (
        'name = "A"\nsite = "B"\n' if table == "cosigner" else 'maker = "a"\nmodel = "b"\n'
    )
    text = changed("[[payee]]", f"{good}[[vault.{table}]]\n{written}\n[[payee]]")
    with refuses("CHARTER_INVALID") as caught:
        parse_charter(text)
    (note,) = caught.error.__notes__
    assert note.endswith(f"[[vault.{table}]] number 2{' (A)' if 'name' in written.split() else ''}{place}")
    assert said in str(caught.error)
    assert int(note.partition(", ")[0].removeprefix("line ")) > line_of(text, f"[[vault.{table}]]") + 3


@pytest.mark.parametrize(
    ("payee", "said"),
    [
        ('type = "adress"\naddress = "x"', "did you mean 'address'?"),
        ('type = "vaul"\nvault = "reserve"', "did you mean 'vault'?"),
        ('address = "x"\nvault = "reserve"', "one of the two"),
        ("", "one of the two"),
    ],
)
def test_a_payee_is_an_address_or_a_vault(payee, said):
    text = changed("[[payee]]", f'[[payee]]\nname = "Other"\n{payee}\n[[payee]]')
    with refuses("CHARTER_INVALID") as caught:
        parse_charter(text)
    assert said in str(caught.error)
    assert "[[payee]] number 1 (Other)" in caught.error.__notes__[0]


def test_of_two_that_cannot_stand_together_the_later_is_named():
    again = f'[[person]]\nname = "Dana"\nkey = "{person_key("Dana").public_key.hex()}"\nroles = ["officer"]\n'
    with refuses("CHARTER_INVALID") as caught:
        parse_charter(f"{TEXT}\n{again}")
    assert caught.error.__notes__ == [f"line {TEXT.count(chr(10)) + 2}, [[person]] number 5 (Dana)"]
