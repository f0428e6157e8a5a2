"""A charter comes to be: keys from stations, a vault of them, the text filled in, signed on copies, joined, trusted."""

import json
import tomllib
from pathlib import Path

import pytest

from custody.envelope import Envelope, EnvelopeSignature
from custody.testing.cast import OFFICERS, REQUESTER, WITNESS, Setting, payee_address
from custody.vault.descriptor import Vault
from custody.words import word_rows

PEOPLE = ("coordinator", REQUESTER, *OFFICERS[:2], WITNESS)


@pytest.fixture
def written(office):
    """A filled-in template, and the office it is for."""
    template = office.does("charter", "template")["toml"]
    keys = [office.at_station(name, "export", office.key(name))["public_key"] for name in PEOPLE]
    for key in keys:
        template = template.replace('"KEY"', f'"{key}"', 1)
    vault = office.does("vault", "create", "--threshold", "2", *_cosigners(office))
    filled = template.replace('"DESCRIPTOR"', f'"{vault["descriptor"]}"').replace("ADDRESS", payee_address("Supplier"))
    text = office.path("charter.toml")
    Path(text).write_text(filled)
    return text


def _cosigners(office):
    keys = [
        office.at_station(name, "export", office.key(name))["expression"] for name in ("astana", "almaty", "shymkent")
    ]
    return [each for key in keys for each in ("--cosigner", key)]


def test_a_filled_in_template_becomes_a_charter_in_force(office, written):
    unsigned = office.path("unsigned.json")
    made = office.does("charter", "new", written, "-o", unsigned)
    assert (made["signed"], len(made["missing"])) == (0, 5)

    copies = []
    for name in PEOPLE:
        copies.append(office.path(f"signed-{name}.json"))
        office.at_station(name, "sign-charter", unsigned, "--key", office.key(name), "--yes", "-o", copies[-1])
    most = office.does("charter", "merge", *copies[:4], "-o", office.path("most.json"))
    assert most["missing"] == [WITNESS]
    whole = office.path("whole.json")
    assert office.does("charter", "merge", office.path("most.json"), copies[4], "-o", whole)["missing"] == []
    shown = office.does("charter", "show", whole)
    assert (shown["digest"], shown["missing"]) == (made["digest"], [])

    text = office.types("charter", "show", whole).stdout
    assert text.rstrip().endswith(word_rows(bytes.fromhex(made["digest"]))[-1])
    assert "Supplier" in text
    office.does("init", whole, *made["words"].split(), "--coordinator-key", office.key("coordinator"))
    assert office.does("charter", "show")["digest"] == made["digest"]


def test_a_requester_among_too_few_officers_is_told_that_it_can_never_be_approved(office, written):
    text = Path(written).read_text().replace('roles = ["requester"]', 'roles = ["requester", "officer"]')
    Path(written).write_text(text.replace("count = 2", "count = 3").replace("confirmations = 6", "confirmations = 1"))
    unsigned = office.path("unsigned.json")
    words = office.does("charter", "new", written, "-o", unsigned)["words"].split()
    for name in PEOPLE:
        signed = office.new_path("signed.json")
        office.at_station(name, "sign-charter", unsigned, "--key", office.key(name), "--yes", "-o", signed)
        unsigned = signed
    office.does("init", unsigned, *words, "--coordinator-key", office.key("coordinator"))
    address = office.does(*office.address_for("seized, case 17"))["address"]
    office.does("regtest", "pay", address, "60000000")
    transfer = office.drafted()
    shown = office.types("transfer", "show", transfer)
    assert (shown.exit_code, "only 2 besides the requester" in shown.stdout) == (0, True)
    assert office.does("transfer", "list")["transfers"][0]["approvals"] == []


def test_the_template_is_toml_and_refused_until_it_is_filled_in(office):
    template = office.types("charter", "template").stdout
    tree = tomllib.loads(template)
    assert {each["type"] for each in tree["rule"]} == {"allow", "approvals", "limit", "fee"}
    Path(office.path("empty.toml")).write_text(template)
    office.refuses("KEY_INVALID", "charter", "new", office.path("empty.toml"), "-o", office.path("charter-2.json"))
    assert not Path(office.path("charter-2.json")).exists()


def test_private_material_in_a_charter_is_refused_and_not_repeated(office, written):
    key = "cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW"
    Path(written).write_text(Path(written).read_text() + f"# {key}\n")
    result = office.types("charter", "new", written, "-o", office.path("never.json"))
    assert (result.exit_code, key in result.output) == (3, False)
    assert "error SECRET_MATERIAL" in result.stderr


def test_what_is_wrong_in_a_charter_s_text_is_told_with_its_place(office, written):
    text = Path(written).read_text()
    Path(written).write_text(text.replace('max_fee = "0.002 BTC"', "max_fee = -1"))
    line = text[: text.index("max_fee")].count("\n") + 1
    result = office.types("charter", "new", written, "-o", office.path("never.json"))
    assert f"\n  where: line {line}, [[rule]] number " in result.stderr
    told = json.loads(office.types("charter", "new", written, "-o", office.path("never.json"), "--json").stdout)
    assert told["error"]["where"][0].endswith("(modest fees), max_fee")
    assert not Path(office.path("never.json")).exists()


def test_copies_of_two_charters_are_not_joined(office, written):
    first, second = office.path("first.json"), office.path("second.json")
    office.does("charter", "new", written, "-o", first)
    Path(written).write_text(Path(written).read_text().replace('max_fee = "0.002 BTC"', "max_fee = 300000"))
    office.does("charter", "new", written, "-o", second)
    office.refuses("CHARTER_DIFFERS", "charter", "merge", first, second, "-o", office.path("joined.json"))


def test_signatures_of_strangers_are_left_out_and_false_ones_refused(office, written):
    unsigned, out = office.path("unsigned.json"), office.path("joined.json")
    office.does("charter", "new", written, "-o", unsigned)
    stranger = office.path("stranger.json")
    good = Envelope.from_bytes(Path(office.path("charter.json")).read_bytes())
    plain = Envelope.from_bytes(Path(unsigned).read_bytes())

    def with_signatures(*signatures):
        ordered = tuple(sorted(signatures, key=lambda each: each.keyid))
        return Envelope(payload=plain.payload, payloadType=plain.payloadType, signatures=ordered).to_bytes()

    # Chingis is an officer of the demonstration's charter and stands in this one nowhere.
    chingis = office.cast.people["Chingis"].public_key.hex()
    Path(stranger).write_bytes(with_signatures(next(s for s in good.signatures if s.keyid == chingis)))
    assert office.does("charter", "merge", unsigned, stranger, "-o", out)["signed"] == 0
    assert Envelope.from_bytes(Path(out).read_bytes()).signatures == ()

    dana = office.cast.people[REQUESTER].public_key.hex()
    other = next(s for s in good.signatures if s.keyid == dana)
    false = office.path("false.json")
    Path(false).write_bytes(with_signatures(EnvelopeSignature(keyid=dana, sig=other.sig)))
    office.refuses("SIG_INVALID", "charter", "merge", unsigned, false, "-o", office.path("never.json"))


def test_a_vault_is_made_from_keys_and_compared_by_words(office):
    out = office.path("reserve.txt")
    made = office.does("vault", "create", "-k", "2", *_cosigners(office), "-o", out)
    assert (made["descriptor"], made["id"]) == (office.cast.vault.descriptor, office.cast.vault.id.hex())
    assert len(made["words"].split()) == 24
    assert Path(out).read_text() == f"{made['descriptor']}\n"
    assert Vault.parse(made["descriptor"], office.cast.vault.network).address(0, 0) == made["first_receive_address"]
    office.refuses("FILE_EXISTS", "vault", "create", "-k", "2", *_cosigners(office), "-o", out)


def test_a_vault_with_a_secret_a_stranger_or_a_double_is_refused(office):
    keys = _cosigners(office)
    office.refuses("DUP_COSIGNER", "vault", "create", "-k", "2", *keys, *keys[:2])
    office.refuses("NETWORK_MISMATCH", "vault", "create", "-k", "2", *keys, "--network", "main")
    office.refuses("TEMPLATE", "vault", "create", "-k", "4", *keys)
    mnemonic = "abandon " * 11 + "about"
    result = office.types("vault", "create", "-k", "2", *keys, "--cosigner", mnemonic, "--json")
    assert json.loads(result.stdout)["error"]["code"] == "SECRET_MATERIAL"
    assert "about" not in result.output


def test_addresses_come_from_the_charter_and_never_from_another_descriptor(office):
    office.set_up()
    first = office.does(*office.address_for("seized, case 17"))
    second = office.does(*office.address_for("seized, case 18"))
    vault = office.cast.vault
    assert [first["address"], second["address"]] == vault.addresses(0, 0, 2)

    own, swapped = office.path("own.txt"), office.path("swapped.txt")
    office.does("vault", "export", "reserve", "-o", own)
    assert office.does(*office.address_for("compared"), "--descriptor", own)["index"] == 2
    office.does("vault", "create", "-k", "3", *_cosigners(office), "-o", swapped)
    result = office.types(*office.address_for("never"), "--descriptor", swapped)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "error VAULT_ID_MISMATCH" in result.stderr
    shown = office.does("vault", "show", "reserve")
    assert (shown["next_receive"], shown["descriptor"]) == (3, vault.descriptor)
    assert office.refuses("NAME_UNKNOWN", "vault", "show", "treasury")


# --- makers of devices ---


def test_a_charter_that_states_no_makers_says_so_on_every_screen(office):
    shown = office.types("charter", "show", office.path("charter.json"))
    assert "makers not stated" in shown.stdout
    assert not office.does("charter", "show", office.path("charter.json"))["vaults"][0]["makers_stated"]
    office.set_up()
    assert "makers not stated" in office.types("doctor").stdout
    assert "makers not stated" in office.types("vault", "show", "reserve").stdout


def test_makers_that_are_stated_are_shown_with_what_is_asked_of_their_devices(open_office):
    office = open_office(Setting(makers=("coinkite", "ledger", "software"), is_deterministic=True))
    shown = office.types("charter", "show", office.path("charter.json")).stdout
    assert "makers not stated" not in shown
    assert all(f"by {maker}" in shown for maker in ("coinkite", "ledger", "software"))
    assert shown.count("asked twice for each transfer") == 3
    office.set_up()
    assert "makers not stated" not in office.types("doctor").stdout
    devices = office.does("vault", "show", "reserve")["devices"]
    assert sorted(each["maker"] for each in devices) == ["coinkite", "ledger", "software"]


def test_what_the_template_says_of_devices_is_taken_once_it_is_filled_in(office, written):
    text = Path(written).read_text()
    example = "\n".join(line.removeprefix("# ") for line in text.splitlines() if "vault.device" in line)
    assert example == "[[vault.device]]"
    prints = [each.fingerprint.hex() for each in office.cast.vault.cosigners]
    commented = text[text.index("# [[vault.device]]") : text.index("# --- payees")]
    table = "\n".join(line.removeprefix("# ") for line in commented.splitlines())
    makers = zip(prints, ("coinkite", "Ledger", "file"), strict=True)
    tables = "\n".join(table.replace("73c5da0a", each).replace("coinkite", maker) for each, maker in makers)
    Path(written).write_text(text.replace(commented, f"{tables}\n"))
    office.does("charter", "new", written, "-o", office.path("stated.json"))
    shown = office.does("charter", "show", office.path("stated.json"))["charter"]["vaults"][0]["devices"]
    assert {each["fingerprint"]: each["maker"] for each in shown} == dict(
        zip(prints, ("coinkite", "ledger", "software"), strict=True)
    )
    Path(written).write_text(text.replace(commented, f"{tables}\n".replace('"Ledger"', '"Cold Card"')))
    office.refuses("VENDOR_CONCENTRATION", "charter", "new", written, "-o", office.path("one-maker.json"))


def test_what_the_template_says_of_cosigners_is_taken_once_it_is_filled_in(office, written):
    text = Path(written).read_text()
    commented = text[text.index("# [[vault.cosigner]]") : text.index("# Who made the devices")]
    table = "\n".join(line.removeprefix("# ") for line in commented.splitlines())
    prints = [each.fingerprint.hex() for each in office.cast.vault.cosigners]
    names = ("Saule", "Erlan", "Aru")
    tables = (table.replace("73c5da0a", each).replace("Saule", name) for each, name in zip(prints, names, strict=True))
    Path(written).write_text(text.replace(commented, "\n".join((*tables, ""))))
    office.does("charter", "new", written, "-o", office.path("named.json"))
    shown = office.does("charter", "show", office.path("named.json"))["charter"]["vaults"][0]["cosigners"]
    said = {each["fingerprint"]: (each["name"], each["site"]) for each in shown}
    assert said == {each: (name, "Astana") for each, name in zip(prints, names, strict=True)}
    told = office.types("charter", "show", office.path("named.json")).stdout
    assert all(f"{each} ({name}, Astana)" in " ".join(told.split()) for each, name in zip(prints, names, strict=True))
