"""Who holds each key of a vault, and where: said in the charter, shown wherever a cosigner is shown."""

import pytest

from custody.apps.views.charter import charter_screen
from custody.apps.views.examination import examination_screen
from custody.apps.views.transfer import transfer_data, transfer_text
from custody.charter.document import Charter
from custody.charter.text import parse_charter
from custody.examine.evidence import Stage
from custody.record import canonical
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast

SITES = ("Astana", "Almaty", "Almaty")
CAST = make_cast(Setting(sites=SITES))
PRINTS = [each.fingerprint.hex() for each in CAST.vault.cosigners]
SHOWN = [f"{PRINTS[0]} (astana, Astana)", f"{PRINTS[1]} (almaty, Almaty)", f"{PRINTS[2]} (shymkent, Almaty)"]


def text(*named: tuple[str, str, str]) -> str:
    """A charter's text that says so of cosigners: fingerprint, name and site."""
    plain = make_cast().charter
    tables = "".join(
        f'[[vault.cosigner]]\nfingerprint = "{fingerprint}"\nname = "{name}"\nsite = "{site}"\n'
        for fingerprint, name, site in named
    )
    people = "".join(
        f'[[person]]\nname = "{each.name}"\nkey = "{each.key.hex()}"\nroles = {[role.value for role in each.roles]}\n'
        for each in plain.people
    )
    return f"""
institution = "National Bank"
network = "regtest"
origin = "{plain.origin}"
coordinator = "{plain.coordinator.hex()}"
{people}
[[vault]]
name = "reserve"
descriptor = "{plain.vaults[0].descriptor}"
{tables}
[[rule]]
type = "approvals"
name = "two officers"
vaults = ["reserve"]
role = "officer"
count = 2
[[rule]]
type = "fee"
name = "modest fees"
vaults = ["reserve"]
max_fee = 200000
max_rate = 100000
max_share = 100
"""


def test_a_charter_s_text_says_who_holds_each_key_and_where():
    charter = parse_charter(text(*zip(PRINTS[::-1], ("Saule", "Erlan", "Aru"), SITES[::-1], strict=True)))
    said = {each.fingerprint.hex(): (each.name, each.site) for each in charter.vaults[0].cosigners}
    assert said == dict(zip(PRINTS, (("Aru", "Astana"), ("Erlan", "Almaty"), ("Saule", "Almaty")), strict=True))
    vault = charter.vault("reserve")
    assert [each.name for each in vault.cosigners] == ["Aru, Astana", "Erlan, Almaty", "Saule, Almaty"]
    # Names are no part of the vault.
    assert (vault.id, vault.descriptor) == (CAST.vault.id, CAST.vault.descriptor)
    assert "cosigners" not in parse_charter(text()).to_bytes().decode()


@pytest.mark.parametrize(
    ("named", "code"),
    [
        (zip(PRINTS[:2], ("A", "B"), SITES, strict=False), "CHARTER_INVALID"),
        (zip((*PRINTS[:2], "00000001"), ("A", "B", "C"), SITES, strict=True), "CHARTER_INVALID"),
        (zip(PRINTS, ("A", "B", "A"), SITES, strict=True), "LOOKALIKE"),
        (zip((*PRINTS, PRINTS[0]), ("A", "B", "C", "D"), (*SITES, "Oral"), strict=True), "CHARTER_INVALID"),
        (zip(PRINTS, ("A", "", "C"), SITES, strict=True), "CHARTER_INVALID"),
        (zip(PRINTS, ("A", "B", "C"), ("Astana", "", "Oral"), strict=True), "CHARTER_INVALID"),
        (zip(PRINTS, ("Erlan", "ERLAN", "C"), SITES, strict=True), "LOOKALIKE"),
        (zip(PRINTS, ("A", "B", "C"), ("Astana", "Almaty", "\u0410lmaty"), strict=True), "LOOKALIKE"),
        (zip(PRINTS, ("nobody", "B", "C"), SITES, strict=True), "LOOKALIKE"),
        (zip(PRINTS, ("A\\u202E", "B", "C"), SITES, strict=True), "TEXT_FORBIDDEN"),
    ],
    ids=[
        "one left out",
        "a stranger",
        "one name twice",
        "one key twice",
        "no name",
        "no site",
        "a twin",
        "a site's twin",
        "nobody",
        "a mark",
    ],
)
def test_names_that_say_too_little_or_could_lie_are_refused(named, code):
    with refuses(code):
        parse_charter(text(*named))


def test_a_record_has_its_names_in_one_order():
    tree = CAST.charter.model_dump(mode="json")
    tree["vaults"][0]["cosigners"] = tree["vaults"][0]["cosigners"][::-1]
    with refuses("RECORD_INVALID"):
        Charter.from_bytes(canonical(tree))


def test_every_screen_about_cosigners_says_who_they_are(begin):
    story = begin(setting=Setting(sites=SITES))
    assert all(each in charter_screen(story.cast.charter, ()) for each in SHOWN)
    transfer_id = story.authorized()
    with refuses("SIGNATURES_MISSING") as caught:
        story.custodian.combine(transfer_id)
    assert all(each in caught.error.missing for each in SHOWN)
    story.custodian.receive(transfer_id, story.signature(transfer_id, 0))
    shown = transfer_text(story.transfer(transfer_id), story.history(), 0)
    assert f"1 of 2 cosigners ({SHOWN[0]})" in shown
    assert all(each in shown for each in SHOWN[1:])
    found = story.stations[1].examine(story.custodian.evidence(transfer_id), Stage.SIGN)
    assert all(each in examination_screen(found, 0) for each in SHOWN)


def test_programs_are_told_name_and_site_apart(begin):
    story = begin(setting=Setting(sites=SITES))
    told = transfer_data(story.transfer(story.authorized()), story.history(), 0)["cosigners"]
    assert told == [
        {"fingerprint": each.fingerprint.hex(), "name": each.name, "site": site}
        for each, site in zip(story.cast.vault.cosigners, SITES, strict=True)
    ]
    plain = begin()
    told = transfer_data(plain.transfer(plain.authorized()), plain.history(), 0)["cosigners"]
    assert [(each["name"], each["site"]) for each in told] == [(None, None)] * 3
