"""The charter: what it may not say, who must have signed it, and the text people write."""

import base64
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin import curve
from custody.bitcoin.script import address
from custody.charter.document import (
    OWN_INDEXES,
    SHOWN_VAULTS,
    AddressPayee,
    Charter,
    VaultPayee,
    read_charter,
    unsigned_by,
    verify_charter,
)
from custody.charter.people import Person, Role, Witness
from custody.charter.rules import MAX_PAYEES, MAX_RULES, MAX_VAULTS, AllowRule, ApprovalsRule, FeeRule
from custody.charter.text import MAX_CHARTER_TEXT, parse_charter
from custody.envelope import MAX_SIGNATURES, Envelope, payload_type, sign
from custody.errors import CustodyError
from custody.record import canonical, tagged_hash
from custody.testing.asserts import refuses
from custody.testing.cast import (
    OFFICERS,
    REQUESTER,
    SUPPLIER,
    WITNESS,
    account_path,
    make_cast,
    payee_address,
    person_key,
    vault_of,
)
from custody.units import Network
from custody.vault.descriptor import Branch, Vault, checksum
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin
from custody.vault.templates import ScriptType

CAST = make_cast()
GOOD = CAST.charter
VAULTS: Final = 90


def edited(record: Any, **changes: Any) -> Any:
    return type(record)(**({name: getattr(record, name) for name in type(record).model_fields} | changes))


def person(name: str, *roles: Role) -> Person:
    return Person(name=name, key=person_key(name).public_key, roles=roles or (Role.OFFICER,))


def witness(name: str) -> Witness:
    return Witness(name=name, key=person_key(name).public_key)


# --- what it may not say ----------------------------------------------------------------------------------------------


def without(entries: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    return tuple(each for each in entries if each.name != name)


def named(entries: tuple[Any, ...], name: str) -> Any:
    return next(each for each in entries if each.name == name)


def with_rule(rule: Any) -> dict[str, Any]:
    rules = (*without(GOOD.rules, rule.name), rule)
    return {"rules": tuple(sorted(rules, key=lambda each: each.name))}


WRONG: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "a person without a name": (
        lambda: {"people": (GOOD.people[0].model_copy(update={"name": ""}), *GOOD.people[1:])},
        "CHARTER_INVALID",
    ),
    "a rule without a name": (
        lambda: {"rules": (GOOD.rules[0].model_copy(update={"name": ""}), *GOOD.rules[1:])},
        "CHARTER_INVALID",
    ),
    "a person twice": (lambda: {"people": (GOOD.people[0], *GOOD.people)}, "CHARTER_INVALID"),
    "people in another order": (lambda: {"people": GOOD.people[::-1]}, "CHARTER_INVALID"),
    "payees in another order": (lambda: {"payees": GOOD.payees[::-1]}, "CHARTER_INVALID"),
    "rules in another order": (lambda: {"rules": GOOD.rules[::-1]}, "CHARTER_INVALID"),
    "nobody who may ask": (lambda: {"people": without(GOOD.people, REQUESTER)}, "CHARTER_INVALID"),
    "an officer with the coordinator's key": (
        lambda: {"people": (edited(GOOD.people[0], key=GOOD.coordinator), *GOOD.people[1:])},
        "DUP_OFFICER_KEY",
    ),
    "an officer with a witness's key": (
        lambda: {"people": (edited(GOOD.people[0], key=GOOD.witnesses[0].key), *GOOD.people[1:])},
        "DUP_OFFICER_KEY",
    ),
    "two officers with one key": (
        lambda: {"people": (edited(GOOD.people[0], key=GOOD.people[1].key), *GOOD.people[1:])},
        "DUP_OFFICER_KEY",
    ),
    "a witness quorum of none": (lambda: {"witness_threshold": 0}, "CHARTER_INVALID"),
    "more witnesses needed than there are": (lambda: {"witness_threshold": 2}, "CHARTER_INVALID"),
    "witness quorums that need not meet": (
        lambda: {"witnesses": tuple(witness(f"w{n}.example") for n in range(4)), "witness_threshold": 2},
        "CHARTER_INVALID",
    ),
    "witness quorums that meet in a faulty one": (
        lambda: {
            "witnesses": tuple(witness(f"w{n}.example") for n in range(3)),
            "witness_threshold": 2,
            "faulty_witnesses": 1,
        },
        "CHARTER_INVALID",
    ),
    "witnesses needed where there are none": (lambda: {"witnesses": ()}, "CHARTER_INVALID"),
    "two payees at one address": (
        lambda: {"payees": (*GOOD.payees, AddressPayee(name="Zed", address=payee_address(SUPPLIER)))},
        "CHARTER_INVALID",
    ),
    "a payee that is a vault nobody has": (
        lambda: {"payees": (*GOOD.payees, VaultPayee(name="Zed", vault="nowhere"))},
        "NAME_UNKNOWN",
    ),
    "a payee of another network": (
        lambda: {"payees": (*GOOD.payees, AddressPayee(name="Zed", address="1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"))},
        "NETWORK_MISMATCH",
    ),
    "a payee at a mistyped address": (
        lambda: {"payees": (*GOOD.payees, AddressPayee(name="Zed", address=payee_address("Zed")[:-1] + "q"))},
        "ADDRESS_INVALID",
    ),
    "a payee whose output nobody can judge yet": (
        lambda: {
            "payees": (
                *GOOD.payees,
                AddressPayee(name="Zed", address=address(b"\x52\x20" + bytes(32), Network.REGTEST)),
            )
        },
        "OUTPUT_TYPE",
    ),
    "a vault of another network": (lambda: {"network": Network.MAIN}, "NETWORK_MISMATCH"),
    "a rule about a vault nobody has": (
        lambda: with_rule(edited(named(GOOD.rules, "per transfer"), vaults=("nowhere",))),
        "NAME_UNKNOWN",
    ),
    "a rule about a payee nobody knows": (
        lambda: with_rule(AllowRule(name="known payees", vaults=("reserve",), payees=("Mallory",))),
        "CHARTER_INVALID",
    ),
    "more approvals than officers": (
        lambda: with_rule(ApprovalsRule(name="two officers", vaults=("reserve",), role=Role.OFFICER, count=4)),
        "CHARTER_INVALID",
    ),
    "a vault whose small transfers nobody approves": (
        lambda: with_rule(
            ApprovalsRule(name="two officers", vaults=("reserve",), role=Role.OFFICER, count=2, from_amount=1)
        ),
        "CHARTER_INVALID",
    ),
    "a vault without approvals": (lambda: {"rules": without(GOOD.rules, "two officers")}, "CHARTER_INVALID"),
    "a vault without a fee cap": (lambda: {"rules": without(GOOD.rules, "modest fees")}, "CHARTER_INVALID"),
}


def test_the_good_charter_is_sound():
    assert edited(GOOD) == GOOD
    assert Charter.from_bytes(GOOD.to_bytes()) == GOOD


@pytest.mark.parametrize("what", WRONG)
def test_a_charter_that_contradicts_itself_or_leaves_a_door_open_is_refused(what):
    changes, code = WRONG[what]
    values = changes()
    with refuses(code):
        edited(GOOD, **values)


@pytest.mark.parametrize("what", WRONG)
def test_the_same_is_refused_when_it_comes_as_bytes(what):
    changes, code = WRONG[what]
    forged = json.loads(GOOD.to_bytes()) | {name: as_json(value) for name, value in changes().items()}
    with refuses(code):
        Charter.from_bytes(canonical(forged))


def as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [each.model_dump(mode="json") for each in value]
    return value


@pytest.mark.parametrize(
    ("count", "needed", "faulty"), [(1, 1, 0), (2, 2, 0), (3, 2, 0), (3, 3, 1), (4, 3, 1), (5, 4, 2)]
)
def test_witness_quorums_that_share_an_honest_one_pass(count, needed, faulty):
    witnesses = tuple(witness(f"w{n}.example") for n in range(count))
    assert edited(GOOD, witnesses=witnesses, witness_threshold=needed, faulty_witnesses=faulty)


def test_a_second_vault_needs_its_own_rules():
    vault, _ = vault_of(("x", "y"), 2)
    second = edited(GOOD.vaults[0], name="warm", descriptor=vault.descriptor)
    with refuses("CHARTER_INVALID") as caught:
        edited(GOOD, vaults=(*GOOD.vaults, second))
    assert "warm" in str(caught.error)


def test_an_address_made_to_be_taken_for_another_is_refused(monkeypatch):
    # Two real addresses that begin and end alike take hours to find, so fewer characters are compared here.
    monkeypatch.setattr("custody.charter.document.LOOKALIKE_ENDS", 1)
    target = payee_address(SUPPLIER)
    double = next(
        other for n in range(1_000) if (other := payee_address(f"look-alike {n}"))[-1] == target[-1] and other != target
    )
    others = tuple(each for each in GOOD.payees if not isinstance(each, AddressPayee) or each.name == SUPPLIER)
    rule = edited(named(GOOD.rules, "known payees"), payees=(SUPPLIER,))
    rules = with_rule(rule)
    assert edited(GOOD, payees=others, **rules)
    with refuses("LOOKALIKE") as caught:
        edited(GOOD, payees=(*others, AddressPayee(name="Zed", address=double)), **rules)
    assert (caught.error.first, caught.error.second) == (SUPPLIER, "Zed")


# --- what is looked up ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("find", [GOOD.vault, GOOD.payee, GOOD.person, GOOD.vault_entry])
def test_an_unknown_name_is_said_with_the_known_ones(find):
    with refuses("NAME_UNKNOWN") as caught:
        find("Mallory\x1b[31m")
    assert "\x1b" not in str(caught.error)


def test_a_vault_is_found_by_its_id_and_by_no_other():
    entry, vault = GOOD.vault_by_id(CAST.vault.id)
    assert (entry.name, vault.id, vault.descriptor) == ("reserve", CAST.vault.id, CAST.vault.descriptor)
    with refuses("VAULT_ID_MISMATCH"):
        GOOD.vault_by_id(bytes(32))


@pytest.fixture(scope="module")
def many() -> Charter:
    """A charter of more vaults than any fixed number of places would hold cheaply."""
    vaults = tuple(
        edited(GOOD.vaults[0], name=f"v{number:03}", descriptor=descriptor_of(number)) for number in range(VAULTS)
    )
    names = tuple(each.name for each in vaults)
    payees = without(GOOD.payees, "Reserve")
    rules = [edited(each, vaults=names) for each in GOOD.rules]
    rules[0] = edited(rules[0], payees=tuple(each.name for each in payees))
    return edited(GOOD, vaults=vaults, payees=payees, rules=tuple(rules))


def descriptor_of(number: int) -> str:
    """A vault of two made-up cosigners; quicker than those whose signers are made as well."""
    chance = Random(number)  # noqa: S311 - the same on every run
    path = account_path(ScriptType.WSH)
    cosigners = tuple(
        Cosigner(
            "",
            KeyOrigin(chance.randbytes(4), path),
            AccountKey(
                public_key=curve.public_key(chance.randbytes(32)),
                chain_code=chance.randbytes(32),
                depth=len(path),
                parent_fingerprint=chance.randbytes(4),
                child_number=path[-1],
                network_version=Network.REGTEST.xpub_version,
            ),
        )
        for _ in range(2)
    )
    return Vault.create(2, cosigners, ScriptType.WSH, Network.REGTEST).descriptor


@pytest.fixture
def parsed(monkeypatch) -> list[str]:
    """The descriptors that were parsed since the test began."""
    seen: list[str] = []
    parse = Vault.parse

    def note(descriptor: str, *given: Any, **named: Any) -> Vault:
        seen.append(descriptor)
        return parse(descriptor, *given, **named)

    monkeypatch.setattr(Vault, "parse", note)
    return seen


def test_a_charter_parses_each_of_its_vaults_once_however_many_there_are(many, parsed):
    ids = [many.vault(each.name).id for each in many.vaults]
    assert [many.vault_by_id(each)[0] for each in ids] == list(many.vaults)
    again = Charter.from_bytes(many.to_bytes())
    assert again.vault_by_id(ids[-1])[1] is many.vault(many.vaults[-1].name)
    assert parsed == []


def test_the_message_about_a_strange_vault_stays_short(many):
    with refuses("VAULT_ID_MISMATCH") as caught:
        many.vault_by_id(bytes(32))
    assert str(caught.error).endswith(f"or one of {VAULTS - SHOWN_VAULTS} more")


def test_what_was_looked_up_is_no_part_of_the_record(many):
    fresh = Charter.from_bytes(many.to_bytes())
    many.vault_by_id(many.vault("v000").id)
    assert (fresh, hash(fresh), fresh.digest()) == (many, hash(many), many.digest())


@pytest.mark.parametrize("is_deep", [False, True])
def test_an_edited_copy_does_not_answer_for_its_original(many, is_deep):
    assert many.vault("v000").id != many.vault("v001").id
    swapped = edited(many.vaults[0], descriptor=many.vaults[1].descriptor)
    copied = many.model_copy(update={"vaults": (swapped, *many.vaults[2:])}, deep=is_deep)
    assert copied.vault("v000").id == many.vault("v001").id
    with refuses("NAME_UNKNOWN"):
        copied.vault("v001")


# --- a charter that was verified before -------------------------------------------------------------------------------


def test_a_verified_charter_parses_only_the_vaults_that_are_asked_for(parsed):
    vault, _ = vault_of(("p", "q"), 2)
    second = edited(GOOD.vaults[0], name="warm", descriptor=vault.descriptor)
    rules = tuple(edited(each, vaults=("reserve", "warm")) for each in GOOD.rules)
    data, pinned, kept = forged(vaults=(GOOD.vaults[0], second), rules=rules)
    charter = Charter.unsafe_from_verified(data, pinned)
    assert parsed == []
    found, derived = charter.vault_by_id(vault.id)
    assert (found, derived.id) == (second, vault.id)
    assert parsed == [vault.descriptor]
    assert charter.vault("warm") is derived
    assert parsed == [vault.descriptor]
    assert kept == charter


def test_a_verified_charter_has_the_pinned_digest():
    with refuses("CHARTER_MISMATCH") as caught:
        Charter.unsafe_from_verified(GOOD.to_bytes(), bytes(32))
    assert caught.error.values()["actual"] == GOOD.digest().hex()


@given(data=st.data())
def test_names_that_a_caller_kept_are_never_believed(many, data):
    ids = [many.vault(each.name).id for each in many.vaults[:4]]
    name = st.sampled_from(["v000", "v001", "v002", "v003", "nobody's", ""])
    names = data.draw(st.dictionaries(st.sampled_from([*ids, bytes(32)]), name))
    charter = Charter.unsafe_from_verified(many.to_bytes(), many.digest(), names)
    for vault_id, entry in zip(ids, many.vaults, strict=False):
        found, vault = charter.vault_by_id(vault_id)
        assert (found, vault.id) == (entry, vault_id)
    with refuses("VAULT_ID_MISMATCH"):
        charter.vault_by_id(bytes(32))


def test_a_vault_in_another_spelling_is_found_by_its_id_too():
    body = re.sub(r"\[.*?\]", lambda each: each[0].replace("h", "'"), GOOD.vaults[0].descriptor.partition("#")[0])
    other = edited(GOOD.vaults[0], descriptor=f"{body}#{checksum(body)}")
    data, pinned, _ = forged(vaults=(other,))
    charter = Charter.unsafe_from_verified(data, pinned)
    assert other.descriptor != GOOD.vaults[0].descriptor
    found, vault = charter.vault_by_id(CAST.vault.id)
    assert (found, vault.id) == (other, CAST.vault.id)


def test_what_is_not_derived_again_is_read_as_strictly_as_ever():
    data, pinned, _ = forged(people=without(GOOD.people, REQUESTER))
    with refuses("CHARTER_INVALID"):
        Charter.unsafe_from_verified(data, pinned)
    spaced = GOOD.to_bytes().replace(b":", b": ", 1)
    with refuses("RECORD_NOT_CANONICAL"):
        Charter.unsafe_from_verified(spaced, tagged_hash("custody/charter/v1", spaced))


def test_a_vault_that_was_never_sound_is_refused_when_it_is_asked_for():
    broken = edited(GOOD.vaults[0], descriptor=GOOD.vaults[0].descriptor[:-1])
    data, pinned, _ = forged(vaults=(broken,))
    charter = Charter.unsafe_from_verified(data, pinned)
    with refuses("DESC_CHECKSUM"):
        charter.vault("reserve")


def forged(**changes: Any) -> tuple[bytes, bytes, Charter]:
    """A charter that nobody checked: its bytes, their digest, and the values."""
    made = GOOD.model_copy(update=changes)
    return made.to_bytes(), made.digest(), made


def test_everyone_is_listed_as_a_signer():
    assert [name for name, _ in GOOD.signers()] == ["the coordinator", *sorted([*OFFICERS, REQUESTER]), WITNESS]


# --- who signed it ----------------------------------------------------------------------------------------------------


def everyone() -> list[Any]:
    return [CAST.coordinator, *CAST.people.values(), CAST.witness]


def test_a_charter_that_everyone_signed_is_in_force():
    assert verify_charter(CAST.envelope, CAST.digest) == GOOD
    assert unsigned_by(CAST.envelope) == ()


@pytest.mark.parametrize("missing", range(6))
def test_one_missing_signature_is_named(missing):
    signers = everyone()
    left_out = signers.pop(missing)
    envelope = sign(GOOD, *signers)
    name = next(name for name, key in GOOD.signers() if key == left_out.public_key)
    assert unsigned_by(envelope) == (name,)
    with refuses("CHARTER_UNSIGNED") as caught:
        verify_charter(envelope, CAST.digest)
    assert caught.error.missing == name


def test_somebody_else_s_signature_counts_for_nobody():
    envelope = sign(GOOD, *everyone()[:-1], person_key("Mallory"))
    assert unsigned_by(envelope) == (WITNESS,)


def test_a_signature_that_is_false_is_refused():
    signatures = list(CAST.envelope.signatures)
    signatures[0] = edited(signatures[0], sig=signatures[1].sig)
    with refuses("SIG_INVALID"):
        verify_charter(edited(CAST.envelope, signatures=tuple(signatures)), CAST.digest)


def test_another_charter_than_the_pinned_one_shows_both():
    with refuses("CHARTER_MISMATCH") as caught:
        verify_charter(CAST.envelope, bytes(32))
    assert caught.error.actual == CAST.digest.hex()
    assert caught.error.expected == bytes(32).hex()


def test_another_charter_than_the_pinned_one_is_not_read(many, parsed):
    """Whoever wrote it may have had hours of key derivation in mind (THREATS F23)."""
    tree = json.loads(many.to_bytes())
    tree["vaults"][0]["descriptor"] = descriptor_of(VAULTS + 1)
    for body in (canonical(tree), b"no charter at all"):
        envelope = Envelope(payload=base64.b64encode(body).decode(), payloadType=payload_type(Charter), signatures=())
        parsed.clear()
        with refuses("CHARTER_MISMATCH"):
            verify_charter(envelope, many.digest())
        assert parsed == []


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("people", MAX_SIGNATURES),
        ("witnesses", MAX_SIGNATURES),
        ("vaults", MAX_VAULTS),
        ("payees", MAX_PAYEES),
        ("rules", MAX_RULES),
    ],
)
def test_a_list_longer_than_any_charter_s_is_refused_before_it_is_checked(field, most, parsed):
    tree = json.loads(GOOD.to_bytes())
    tree[field] = [tree[field][0]] * (most + 1)
    with refuses("RECORD_INVALID") as caught:
        Charter.from_bytes(canonical(tree))
    assert caught.error.where == field
    assert parsed == []


@pytest.mark.parametrize(("field", "most"), [("vaults", MAX_VAULTS), ("payees", MAX_PAYEES)])
def test_a_rule_names_no_more_than_a_charter_has(field, most):
    tree = json.loads(GOOD.to_bytes())
    tree["rules"][0][field] = [f"{number:06}" for number in range(most + 1)]
    with refuses("RECORD_INVALID") as caught:
        Charter.from_bytes(canonical(tree))
    assert caught.error.where.endswith(field)


def test_no_more_people_are_listed_than_can_sign():
    people = {
        each.name: each for each in (*GOOD.people, *(person(f"p{number:03}") for number in range(MAX_SIGNATURES)))
    }
    crowd = tuple(people[name] for name in sorted(people))[: MAX_SIGNATURES - len(GOOD.witnesses)]
    assert edited(GOOD, people=crowd[:-1])
    with refuses("CHARTER_INVALID") as caught:
        edited(GOOD, people=crowd)
    assert caught.error.where == "people"


def test_a_later_version_is_not_understood_rather_than_half_understood():
    later = edited(GOOD, version=2)
    with refuses("CHARTER_INVALID"):
        read_charter(sign(later, *everyone()))


# --- the text people write --------------------------------------------------------------------------------------------

TEXT = f"""
institution = "National Bank, demonstration"
network = "regtest"
origin = "custody.example/demo"
coordinator = "{CAST.coordinator.public_key.hex()}"
witness_threshold = 1

[[person]]
name = "Dana"
key = "{person_key("Dana").public_key.hex()}"
roles = ["requester"]

[[person]]
name = "Bolat"
key = "{person_key("Bolat").public_key.hex()}"
roles = ["officer"]

[[person]]
name = "Chingis"
key = "{person_key("Chingis").public_key.hex()}"
roles = ["officer"]

[[person]]
name = "Aigerim"
key = "{person_key("Aigerim").public_key.hex()}"
roles = ["officer"]

[[witness]]
name = "{WITNESS}"
key = "{CAST.witness.public_key.hex()}"

[[vault]]
name = "reserve"
descriptor = "{CAST.vault.descriptor}"
confirmations = 1

[[payee]]
name = "Tax office"
address = "{payee_address("Tax office")}"

[[payee]]
name = "Supplier"
address = "{payee_address("Supplier")}"

[[payee]]
name = "Stranger"
address = "{payee_address("Stranger")}"

[[payee]]
name = "Reserve"
vault = "reserve"

[[rule]]
name = "two officers"
type = "approvals"
vaults = ["reserve"]
role = "officer"
count = 2

[[rule]]
name = "known payees"
type = "allow"
vaults = ["reserve"]
payees = ["Tax office", "Supplier", "Reserve"]

[[rule]]
name = "modest fees"
type = "fee"
vaults = ["reserve"]
max_fee = 200000
max_rate = 100000
max_share = 1000

[[rule]]
name = "per transfer"
type = "limit"
vaults = ["reserve"]
max_outflow = 500000000
"""


def test_the_text_says_the_same_as_the_record_in_whatever_order_it_stands():
    assert parse_charter(TEXT) == GOOD


def test_defaults_that_are_left_out_are_spelled_out_in_the_record():
    charter = parse_charter(TEXT.replace("confirmations = 1\n", ""))
    assert (charter.vaults[0].confirmations, charter.vaults[0].max_inputs, charter.vaults[0].birthday) == (6, 250, 0)
    assert named(charter.rules, "two officers").from_amount == 0


BROKEN = {
    "no TOML": ("[[person", "CHARTER_INVALID"),
    "nothing": ("", "CHARTER_INVALID"),
    "a date": (TEXT + "\nsince = 2024-01-01\n", "CHARTER_INVALID"),
    "a time": (TEXT.replace("max_fee = 200000", "max_fee = 12:00:00"), "CHARTER_INVALID"),
    "not a number": (TEXT.replace("max_fee = 200000", "max_fee = nan"), "CHARTER_INVALID"),
    "infinity": (TEXT.replace("max_fee = 200000", "max_fee = inf"), "CHARTER_INVALID"),
    "a fraction": (TEXT.replace("count = 2", "count = 2.0"), "CHARTER_INVALID"),
    "a fraction of a satoshi": (TEXT.replace("max_fee = 200000", "max_fee = 0.5"), "AMOUNT_INVALID"),
    "an amount as text": (TEXT.replace("max_fee = 200000", 'max_fee = "200000"'), "AMOUNT_INVALID"),
    "more than there can be": (TEXT.replace("max_fee = 200000", f"max_fee = {2**62}"), "AMOUNT_RANGE"),
    "an unknown field": (TEXT.replace("count = 2", "count = 2\nurgent = true"), "CHARTER_INVALID"),
    "an unknown kind of rule": (TEXT.replace('type = "limit"', 'type = "trust"'), "CHARTER_INVALID"),
    "a single table": (TEXT.replace("[[witness]]", "[witness]"), "CHARTER_INVALID"),
    "people as text": ('person = "Dana"\n' + TEXT.split("[[person]]", maxsplit=1)[0], "CHARTER_INVALID"),
    "people as the record calls them": ("people = []\n" + TEXT, "CHARTER_INVALID"),
    "lists in lists": ("a = " + "[" * 5_000 + "]" * 5_000, "CHARTER_INVALID"),
    "a key that is none": (TEXT.replace(person_key("Dana").public_key.hex(), "00" * 32), "KEY_INVALID"),
    "a name with a direction": (TEXT.replace('"Dana"', '"Da\\u202Ena"'), "TEXT_FORBIDDEN"),
    "a name with markup": (TEXT.replace('"Dana"', '"[bold]Dana"'), "TEXT_FORBIDDEN"),
    "a descriptor with a typing error": (TEXT.replace("/<0;1>/*,", "/<0;1>/*.", 1), "DESC_CHECKSUM"),
    "a secret": (
        TEXT
        + '\nnote = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"\n',
        "SECRET_MATERIAL",
    ),
    "digits without end": ("version = " + "1" * 5_000 + "\n" + TEXT, "CHARTER_INVALID"),
    "a key of many steps": (".".join("a" * 10_000) + " = 1\n" + TEXT, "CHARTER_INVALID"),
    "tables in tables": ("a = " + "{a = " * 500 + "1" + "}" * 500 + "\n" + TEXT, "CHARTER_INVALID"),
    "a text without end": (TEXT + "#" * MAX_CHARTER_TEXT, "LIMIT"),
    "another version": ("version = 2\n" + TEXT, None),
}


@pytest.mark.parametrize("what", [name for name, (_, code) in BROKEN.items() if code])
def test_a_text_that_is_no_charter_is_refused_by_name(what):
    text, code = BROKEN[what]
    with refuses(code):
        parse_charter(text)


def test_a_text_of_a_later_version_reads_but_is_not_taken():
    charter = parse_charter(BROKEN["another version"][0])
    with refuses("CHARTER_INVALID"):
        verify_charter(sign(charter, *everyone()), charter.digest())


@pytest.mark.parametrize("cut", range(0, len(TEXT), 97))
def test_a_text_cut_anywhere_is_refused_by_name(cut):
    with pytest.raises(CustodyError) as caught:
        parse_charter(TEXT[:cut])
    assert caught.value.advice()


def test_fee_rules_are_not_optional_for_anybody():
    assert isinstance(named(GOOD.rules, "modest fees"), FeeRule)


@pytest.mark.parametrize("branch", Branch)
@pytest.mark.parametrize("index", [0, 3, OWN_INDEXES - 1])
def test_an_outside_payee_is_at_no_address_of_an_own_vault(branch, index):
    own = AddressPayee(name="Zed", address=CAST.vault.address(branch, index))
    with refuses("PAYEE_IS_VAULT") as caught:
        edited(GOOD, payees=(*GOOD.payees, own))
    assert (caught.error.branch, caught.error.index) == (branch.name.lower(), index)
    assert f'vault = "{caught.error.vault}"' in caught.error.advice()


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, (5).to_bytes(32, "big")])
def test_a_taproot_payee_has_a_key(key):
    # 5 is the x of no point (BIP 340, test vectors: public key not on the curve).
    lost = AddressPayee(name="Zed", address=address(b"\x51\x20" + key, Network.REGTEST))
    with refuses("PAYEE_UNSPENDABLE"):
        edited(GOOD, payees=(*GOOD.payees, lost))


def test_a_taproot_payee_with_a_key_is_taken():
    script = b"\x51\x20" + curve.public_key(bytes([7]) * 32)[1:]
    kept = AddressPayee(name="Zed", address=address(script, Network.REGTEST))
    assert kept in edited(GOOD, payees=(*GOOD.payees, kept)).payees
