"""What a request, an id and an amount may look like, and how one is made where there is no coordinator."""

import json
from pathlib import Path

import pytest

from custody.testing.cast import Setting

ASK = ("transfer", "request", "--reason", "invoice 17", "--key")


def test_a_request_is_signed_offline_and_submitted_elsewhere(office):
    office.funded()
    out = office.path("request.json")
    offline = {"CUSTODY_DIR": office.path("nowhere")}
    given = office.types(
        *ASK, office.key("Dana"), "--pay", "Supplier=100000", "--offline", "--charter", office.path("charter.json"),
        "-o", out, "--json", **offline,
    )  # fmt: skip
    assert given.exit_code == 0, given.output
    assert not Path(office.path("nowhere")).exists()
    request = json.loads(given.stdout)
    assert office.does("transfer", "submit", out)["id"] == request["id"]
    # Submitting it again changes nothing.
    size = office.does("log", "verify")["size"]
    office.does("transfer", "submit", out)
    assert office.does("log", "verify")["size"] == size
    assert office.does("transfer", "list")["requests"][0]["id"] == request["id"]
    assert office.does("transfer", "show", request["id"][:6])["reason"] == "invoice 17"


def test_what_is_asked_for_must_be_one_thing(office):
    office.set_up()
    for options in ([], ["--consolidate", "--sweep", "Supplier"], ["--pay", "Supplier=1", "--cancel", "00" * 32]):
        result = office.types(*ASK, office.key("Dana"), *options)
        assert (result.exit_code, "one of --pay" in result.stderr) == (2, True)
    result = office.types(*ASK, office.key("Dana"), "--consolidate", "--offline", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (2, "USAGE")


@pytest.mark.parametrize(
    ("payment", "code"),
    [
        ("Supplier", "PAYMENT_UNREADABLE"),
        ("=5", "PAYMENT_UNREADABLE"),
        ("Supplier=0.1", "AMOUNT_INVALID"),
        ("Supplier=-5", "AMOUNT_INVALID"),
        ("Supplier=22000000 BTC", "AMOUNT_RANGE"),
        ("Supplier=0", "REQUEST_INVALID"),
        ("Nobody=5", "NAME_UNKNOWN"),
    ],
)
def test_a_payment_is_a_payee_of_the_charter_and_whole_sats(office, payment, code):
    office.set_up()
    office.refuses(code, *ASK, office.key("Dana"), "--pay", payment)
    assert office.does("transfer", "list") == {"requests": [], "transfers": [], "before": None, "frozen_by": None}


def test_only_a_requester_of_the_charter_asks(office):
    office.set_up()
    office.refuses("REQUEST_AUTHOR", *ASK, office.key("Aigerim"), "--pay", "Supplier=5000")
    office.refuses("KEY_NOT_LISTED", *ASK, office.key("coordinator"), "--pay", "Supplier=5000")
    office.refuses("KEY_FILE_INVALID", *ASK, office.key("astana"), "--pay", "Supplier=5000")


def test_text_that_lies_on_a_screen_enters_no_request(office):
    office.set_up()
    office.refuses(
        "TEXT_FORBIDDEN", "transfer", "request", "--pay", "Supplier=5000", "--reason", "ok\x1b[2J", "--key",
        office.key("Dana"),
    )  # fmt: skip


def test_ids_are_named_by_their_beginning_or_not_at_all(office):
    office.funded()
    transfer = office.drafted()
    assert office.does("transfer", "show", transfer[:6].upper())["id"] == transfer
    assert office.does("transfer", "show", "newest")["id"] == transfer
    office.refuses("ID_INVALID", "transfer", "show", transfer[:5])
    office.refuses("ID_INVALID", "transfer", "show", "not hexadecimal")
    office.refuses("ID_INVALID", "transfer", "show", transfer + "00")
    wrong = "0" * 6 if not transfer.startswith("0" * 6) else "1" * 6
    office.refuses("TRANSFER_UNKNOWN", "transfer", "show", wrong)
    office.refuses("TRANSFER_UNKNOWN", "transfer", "draft", transfer)
    offline = ("--offline", "--charter", office.path("charter.json"), "-o", office.path("cancel.json"))
    office.refuses("ID_INVALID", *ASK, office.key("Dana"), "--cancel", transfer[:12], *offline)
    replaced = office.does(*ASK, office.key("Dana"), "--cancel", transfer, *offline)["replaces"]
    assert replaced == [transfer]


def test_sweep_consolidation_and_cancellation_are_drafted(open_office):
    office = open_office(Setting(is_witnessed=False, max_outflow=2_000_000_000)).funded()
    swept = office.does("transfer", "show", office.drafted("--sweep", "Supplier"))
    assert [each["sats"] for each in swept["payments"]] == [60_000_000 - swept["sats"]["fee"]]
    office.does("transfer", "cancel", swept["id"], "--reason", "no", "--key", office.key("Dana"))

    address = office.does(*office.address_for("a second coin"))["address"]
    office.does("regtest", "pay", address, "30000000")
    both = office.does("transfer", "show", office.drafted("--consolidate"))
    assert (len(both["inputs"]), both["payments"]) == (2, [])
    evidence = office.new_path("evidence.json")
    office.approved(both["id"])
    office.does("transfer", "evidence", both["id"], "--for", "sign", "-o", evidence)

    cancelled = office.does("transfer", "show", office.drafted("--cancel", both["id"]))
    assert set(cancelled["inputs"]) < set(both["inputs"])
    assert cancelled["group"] == both["group"]
    assert cancelled["request"]["replaces"] == [both["id"]]


def test_a_charter_without_witnesses_needs_no_checkpoint(open_office):
    office = open_office(Setting(is_witnessed=False)).funded()
    transfer = office.drafted()
    office.delivered(transfer)
    assert "confirmed" in office.does("regtest", "mine", "1")["added"]
    exported = office.path("log.jsonl")
    log = office.does("log", "export", "-o", exported)
    assert len(Path(exported).read_bytes().splitlines()) == log["size"]
