"""Text that lies on a screen (THREATS F13), at every place where text enters a record.

Escape codes, a direction override, a letter in two spellings, markup: what is kept holds none of it, so nothing that is
shown later can. `FIELDS` finds the places by itself: a field of text that is added without the check fails here.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import pkgutil
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

import custody
from custody.charter.document import Charter, CharterVault
from custody.charter.text import parse_charter
from custody.errors import CustodyError
from custody.examine.evidence import Stage
from custody.history import kinds
from custody.log import Checkpoint, check_name, read_line, seal, write_line
from custody.record import MAX_TEXT, Record, canonical, check_text
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, expected, make_cast
from custody.testing.scenario import Scenario
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.transfer.approval import Approval, Withdrawal
from custody.transfer.request import ReasonAnnex, TransferRequest
from custody.transfer.settlement import Ended, Ending
from custody.transfer.verify import VerifiedTransaction
from custody.units import Network
from custody.vault.descriptor import Vault
from custody.vault.keys import Cosigner

LIES = {
    "escape code": "Supplier\x1b[2K\x1b[1A",
    "eight-bit escape code": "Supplier\x9b2K",
    "right-to-left override": "Supplier \u202e000,1",
    "right-to-left isolate": "Supplier \u2067000,1\u2069",
    "right-to-left mark": "Supplier\u200f",
    "zero-width space": "Supp\u200blier",
    "zero-width joiner": "Supp\u200dlier",
    "soft hyphen": "Supp\u00adlier",
    "byte order mark": "\ufeffSupplier",
    "decomposed": "Cafe\u0301",
    "ohm sign for omega": "\u2126mega",
    "kelvin sign for K": "\u212aazbank",
    "markup": "Supplier[/bold]",
    "markup of a page": "<b>Supplier</b>",
    "line feed": "Supplier\nDana",
    "carriage return": "Supplier\rDana",
    "tab": "Supplier\tDana",
    "line separator": "Supplier\u2028Dana",
    "null": "Supplier\x00",
    "backspace": "Supplier\x08\x08",
    "delete": "Supplier\x7f",
    "no-break space": "Supplier\u00a0Ltd",
    "ideographic space": "Supplier\u3000Ltd",
    "private use": "Supplier\ue000",
    "unassigned": "Supplier\u0378",
    "tag character": "Supplier\U000e0041",
    "a blank before": " Supplier",
    "a blank behind": "Supplier ",
    "too long": "S" * (MAX_TEXT + 1),
    # What nobody sees (THREATS F22).
    "Hangul filler": "Supplier\u3164",
    "halfwidth Hangul filler": "Supplier\uffa0",
    "Hangul initial filler": "Supplier\u115f",
    "Khmer vowel that is not drawn": "Supplier\u17b4",
    "grapheme joiner": "Supp\u034flier",
    "variation selector": "Supplier\ufe0f",
    "variation selector of the supplement": "Supplier\U000e0100",
    "Mongolian variation selector": "Supplier\u180b",
    "Braille blank": "Supplier\u2800",
    "null notehead": "Supplier\U0001d159",
    "object replacement": "Supplier\ufffc",
    "two blanks": "Supplier  Ltd",
    "a row of blanks": f"Supplier{' ' * 150}0.1 BTC",
    "a mark on a blank": "Supplier \u0332Ltd",
    "a mark at the start": "\u0332Supplier",
    "one mark twice": "Suppl\u0332\u0332ier",
    "a heap of marks": "Suppl\u0316\u0317\u0318\u0319\u031cier",
    "wide bracket": "Supplier\uff3d",
    "white bracket": "Supplier\u27e7",
}


def spoken(text: str) -> bool:
    """Whether a refusal is fit to be shown: one line of characters that do nothing."""
    return all(unicodedata.category(each)[0] != "C" and each not in "\u2028\u2029" for each in text)


@pytest.mark.parametrize("lie", LIES)
def test_the_one_type_of_text_takes_none_of_them(lie):
    with refuses("TEXT_FORBIDDEN") as caught:
        check_text(LIES[lie])
    assert spoken(str(caught.error))
    assert spoken(repr(caught.error))


IGNORABLE = (
    *(0x00AD, 0x034F, 0x061C, *range(0x115F, 0x1161), *range(0x17B4, 0x17B6), *range(0x180B, 0x1810)),
    *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10)),
    *(0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)),
    *range(0xE0000, 0xE1000),
)
"""Default_Ignorable_Code_Point, as Unicode's DerivedCoreProperties 15.0 lists them."""


def test_nothing_that_unicode_calls_ignorable_is_in_a_text():
    assert len(IGNORABLE) == 4174
    for each in IGNORABLE:
        with refuses("TEXT_FORBIDDEN"):
            check_text(f"Supp{chr(each)}lier")


@pytest.mark.parametrize(
    "honest",
    [
        *("Қазақстан Ұлттық Банкі", "Café № 17", "支付", "a" * MAX_TEXT, "", "O'Brien & Co., 50 %"),
        *(
            "\u0422\u041e\u041e «Қазмырыш»",
            "Әлия Жүнісқызы",
            "中国人民银行\uff08北京\uff09",
            "بنك كازاخستان",
            "مُحَمَّد بن سلمان",
        ),
        *("מֹשֶׁה כֹּהֵן", "בנק ישראל בע״מ", "Nguyễn Thị Ánh", "Банк — филиал “Юг”"),
    ],
)
def test_names_of_real_people_and_banks_pass(honest):
    assert check_text(honest) == honest


# --- every field of every record ------------------------------------------------------------------------------------


OUTER = ("custody.apps", "custody.backends", "custody.testing", "custody.__main__")
"""Front ends and doors: what they keep comes from this machine's own owner."""


def all_records() -> Iterator[type[Record]]:
    """Every kind of record in the package."""
    for module in pkgutil.walk_packages(custody.__path__, "custody."):
        if not module.name.startswith(OUTER):
            importlib.import_module(module.name)
    waiting = [Record]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            # What several kinds share is none itself; its fields are theirs.
            is_kind = hasattr(kind, "kind") and kind.__module__.startswith("custody.")
            if is_kind and not kind.__module__.startswith(OUTER):
                yield kind


FREE = {
    # Bytes in another alphabet, read strictly as what they are; none is shown before that.
    ("Envelope", "payload"): "base64",
    ("Envelope", "payloadType"): "compared with ours; printable ASCII in any case",
    ("EnvelopeSignature", "sig"): "base64",
    ("Evidence", "checkpoint"): "a signed note",
    ("Evidence", "lines"): "log lines",
    ("LogFile", "checkpoint"): "a signed note",
    ("SnapshotFile", "checkpoint"): "a signed note",
    ("StatementPaper", "checkpoint"): "a signed note",
    ("StatementPaper", "lines"): "log lines",
    ("WitnessRequest", "checkpoint"): "a signed note",
    ("LogLine", "body"): "a record",
    ("Annex", "body"): "a record",
    ("CharterVault", "descriptor"): "a descriptor with checksum, printable in any case",
}
"""Fields of free text that are not `Text`, and what reads them."""


def text_fields() -> Iterator[tuple[type[Record], str]]:
    for kind in sorted(set(all_records()), key=lambda each: each.__name__):
        for name, about in kind.model_fields.items():
            if "str" in repr(about.annotation) and not inspect.isclass(_literal(about.annotation)):
                yield kind, name


def _literal(annotation: Any) -> Any:
    return None if "Literal" not in repr(annotation) else str


def takes(kind: type[Record], name: str, value: object) -> bool:
    """Whether a field takes a value, whatever stands in the others."""
    try:
        kind.__pydantic_validator__.validate_assignment(kind.model_construct(), name, value)
    except CustodyError:
        return False
    except ValidationError as error:
        return not any(each["loc"][:1] == (name,) for each in error.errors())
    return True


def test_the_search_for_fields_of_text_finds_those_that_matter():
    found = {(kind.__name__, name) for kind, name in text_fields()}
    assert {
        ("ReasonAnnex", "reason"),
        ("TransferRequest", "requester"),
        ("RequestedPayment", "payee"),
        ("Approval", "officer"),
        ("Withdrawal", "person"),
        ("AddressAnnex", "purpose"),
        ("AddressAnnex", "payer"),
        ("AddressIssued", "coin_class"),
        ("AddressStatement", "payer"),
        ("AddressStatement", "address"),
        ("CardOfficer", "name"),
        ("Charter", "institution"),
        ("Charter", "origin"),
        ("CharterVault", "descriptor"),
        ("AddressPayee", "address"),
        ("AllowRule", "payees"),
        ("Person", "name"),
        ("Witness", "name"),
        ("Finding", "reason"),
        ("Finding", "code"),
        ("Ended", "detail"),
        ("VerifiedTransaction", "judges"),
        ("EntryHead", "author"),
        ("EntryHead", "entry"),
        ("StationState", "origin"),
    } <= found
    assert set(FREE) <= found


@pytest.mark.parametrize(
    "lie", ["escape code", "right-to-left override", "line feed", "markup of a page", "decomposed"]
)
def test_no_field_of_any_record_takes_text_that_lies(lie):
    taken = {
        (kind.__name__, name)
        for kind, name in text_fields()
        for value in (LIES[lie], (LIES[lie],))
        if (kind.__name__, name) not in FREE and takes(kind, name, value)
    }
    assert not taken


# --- files, one by one ----------------------------------------------------------------------------------------------


def with_value(record: Record, *path: object, value: str) -> bytes:
    """The record's bytes with one text in it replaced."""
    tree = json.loads(record.to_bytes())
    at: Any = tree
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return canonical(tree)


@pytest.mark.parametrize("lie", LIES)
def test_no_document_carries_text_that_lies(forger, lie):
    charter = forger.cast.charter
    request = TransferRequest.from_bytes(forger.request().body)
    approval = Approval.from_bytes(forger.approval(forger.draft()).body)
    withdrawal = Withdrawal(
        network=Network.REGTEST,
        charter=forger.cast.digest,
        transfer=bytes(32),
        person=REQUESTER,
        annex=bytes(32),
        issued=1,
        nonce=bytes(16),
    )
    issued = AddressIssued.of("seized", bytes(32), bytes(32), 0, 0, 0)
    ended = Ended(transfer=bytes(32), reason=Ending.EXPIRED, detail="past its time", at=0)
    verified = VerifiedTransaction(transfer=bytes(32), raw=b"", judges=("libbitcoinkernel",), at=0)
    decision = forger.decision(forger.draft(), forger.request())
    for record, path in (
        (charter, ("institution",)),
        (charter, ("people", 0, "name")),
        (charter, ("payees", 1, "name")),
        (charter, ("payees", 0, "vault")),
        (charter, ("vaults", 0, "name")),
        (charter, ("rules", 0, "name")),
        (charter, ("rules", 0, "payees", 0)),
        (charter, ("rules", 0, "vaults", 0)),
        (ReasonAnnex(reason="invoice 17"), ("reason",)),
        (request, ("requester",)),
        (request, ("payments", 0, "payee")),
        (approval, ("officer",)),
        (withdrawal, ("person",)),
        (AddressAnnex.of(expected()), ("purpose",)),
        (AddressAnnex.of(expected()), ("payer",)),
        (issued, ("coin_class",)),
        (ended, ("detail",)),
        (verified, ("judges", 0)),
        (decision, ("findings", 0, "rule")),
        (decision, ("findings", 0, "reason")),
        (decision, ("demands", 0, "rule")),
    ):
        with refuses("TEXT_FORBIDDEN") as caught:
            type(record).from_bytes(with_value(record, *path, value=LIES[lie]))
        assert spoken(str(caught.error)), path


@pytest.mark.parametrize("lie", LIES)
def test_no_place_for_names_of_machines_takes_text_that_lies(forger, lie):
    # Log and witness names, descriptors and addresses have alphabets of their own, all of them printable ASCII.
    charter = forger.cast.charter
    for path in (("origin",), ("witnesses", 0, "name"), ("payees", 1, "address")):
        with refuses("RECORD_INVALID") as caught:
            Charter.from_bytes(with_value(charter, *path, value=LIES[lie]))
        assert spoken(str(caught.error)), path
    # A descriptor holds brackets; what has its alphabet and is none lacks at least the checksum.
    is_printable = all("!" <= each <= "~" for each in LIES[lie])
    with refuses("DESC_CHECKSUM" if is_printable else "RECORD_INVALID") as caught:
        Charter.from_bytes(with_value(charter, "vaults", 0, "descriptor", value=LIES[lie]))
    assert spoken(str(caught.error))
    with refuses("CHECKPOINT_INVALID") as caught:
        check_name(LIES[lie])
    assert spoken(str(caught.error))
    with refuses("CHECKPOINT_INVALID"):
        Checkpoint(origin=LIES[lie], size=0, root=bytes(32))


@pytest.mark.parametrize("lie", LIES)
def test_a_refusal_does_not_say_what_it_refuses(forger, lie):
    # An unknown key, tag or name stands in the message of whoever refuses it.
    tree = json.loads(forger.cast.charter.to_bytes())
    for change in (
        {LIES[lie]: 1},
        {"network": LIES[lie]},
        {"payees": [tree["payees"][1] | {"type": LIES[lie]}]},
        {"people": [tree["people"][0] | {LIES[lie]: 1}]},
        {"people": [tree["people"][0] | {"roles": [LIES[lie]]}]},
    ):
        with refuses("RECORD_INVALID") as caught:
            Charter.from_bytes(canonical(tree | change))
        assert spoken(str(caught.error) + caught.error.advice())
    for find in (forger.cast.charter.payee, forger.cast.charter.vault, forger.cast.charter.person):
        with refuses("NAME_UNKNOWN") as caught:
            find(LIES[lie])
        assert spoken(str(caught.error) + caught.error.advice())


@pytest.mark.parametrize("lie", LIES)
def test_no_cosigner_is_named_by_text_that_lies(lie):
    vault = make_cast().vault
    cosigner = vault.cosigners[0]
    with refuses("TEXT_FORBIDDEN"):
        Cosigner(LIES[lie], cosigner.origin, cosigner.key)
    with refuses("TEXT_FORBIDDEN"):
        Vault.parse(vault.descriptor, Network.REGTEST, names=(LIES[lie], "almaty", "shymkent"))


TOML = """
institution = {institution}
network = "regtest"
origin = "custody.example/test"
coordinator = "{key}"
"""


@pytest.mark.parametrize("lie", LIES)
def test_no_charter_is_written_with_text_that_lies(lie):
    key = make_cast().coordinator.public_key.hex()
    escaped = '"' + "".join(f"\\U{ord(each):08x}" for each in LIES[lie]) + '"'
    with refuses("TEXT_FORBIDDEN"):
        parse_charter(TOML.format(institution=escaped, key=key))
    # Written as it is, TOML itself takes some of it; whoever refuses, the answer is plain.
    for text in (TOML.format(institution=f'"{LIES[lie]}"', key=key), f'"{LIES[lie]}" = 1', f"{LIES[lie]} = 1"):
        with pytest.raises(CustodyError) as caught:
            parse_charter(text)
        assert caught.value.code in {"TEXT_FORBIDDEN", "CHARTER_INVALID"}
        assert spoken(str(caught.value) + caught.value.advice())


# --- the log --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", LIES)
def test_no_entry_is_written_by_or_called_text_that_lies(forger, lie):
    with refuses("TEXT_FORBIDDEN"):
        seal(0, LIES[lie], "coordinator", (), b"{}", bytes(32))
    with refuses("TEXT_FORBIDDEN"):
        seal(0, "requested", LIES[lie], (), b"{}", bytes(32))
    line = json.loads(write_line(forger.log().entries[1]))
    line["head"]["author"] = LIES[lie]
    with refuses("LOG_CORRUPT") as caught:
        read_line(canonical(line), 1)
    assert spoken(str(caught.error))


def test_a_kind_of_entry_nobody_knows_is_named_in_plain_text(forger):
    log = forger.log()
    log.write_bytes("Supplier paid twice", forger.cast.envelope.to_bytes())
    with refuses("HISTORY_INVALID") as caught:
        log.history()
    assert spoken(str(caught.error))


def test_a_body_in_the_log_that_lies_is_refused_before_anybody_reads_it(forger):
    # The coordinator seals what no honest program writes: a request whose requester's name turns the line round.
    log = forger.log()
    envelope = forger.request()
    body = with_value(TransferRequest.from_bytes(envelope.body), "requester", value=LIES["right-to-left override"])
    tree = json.loads(envelope.to_bytes()) | {"payload": base64.b64encode(body).decode()}
    log.write_bytes(kinds.REQUESTED, canonical(tree), author=REQUESTER)
    with refuses("HISTORY_INVALID") as caught:
        log.history()
    assert caught.error.__cause__.code == "TEXT_FORBIDDEN"
    assert spoken(str(caught.error))


# --- the coordinator's doors ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def story():
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


@pytest.mark.parametrize("lie", LIES)
def test_nothing_that_lies_is_entered(story, lie):
    before = story.history().size
    with refuses("TEXT_FORBIDDEN"):
        story.deposit(1_000_000, LIES[lie])
    with refuses("TEXT_FORBIDDEN"):
        story.custodian.submit(story.request(reason=LIES[lie]))
    with refuses("NAME_UNKNOWN") as caught:
        story.custodian.issue_address(LIES[lie], expected("seized coins"))
    assert spoken(str(caught.error))
    assert story.history().size == before


def test_every_step_that_a_station_shows_is_plain(forger):
    request = forger.request(reason="Қарыз: invoice № 17, 50 % of O'Brien & Co.")
    for stage in (Stage.APPROVE, Stage.SIGN):
        examined = forger.judge(forger.draft(request), stage, request=request)
        shown = "".join(f"{step.title}{step.finding}" for step in examined.steps) + "".join(examined.not_checked)
        assert spoken(shown)
        assert OFFICERS[0] in shown or stage is Stage.SIGN


def test_a_descriptor_is_printable_as_far_as_it_goes():
    vault = make_cast().charter.vaults[0]
    for character in ("\x1b", "\u202e", "\n", " ", "é"):
        with refuses("RECORD_INVALID"):
            CharterVault.from_bytes(with_value(vault, "descriptor", value=vault.descriptor + character))
