"""One transfer by commands alone, from an empty folder to a confirmed transaction, with a witness."""

from custody.testing.cast import SUPPLIER, payee_address


def test_a_transfer_goes_from_a_request_to_the_chain(office):
    office.funded()
    transfer = office.drafted()
    assert office.does("transfer", "show", transfer)["status"] == "decided"

    txid = office.delivered(transfer)
    mined = office.does("regtest", "mine", "1")
    assert "confirmed" in mined["added"]

    shown = office.does("transfer", "show", transfer[:8])
    assert (shown["status"], shown["txid"], shown["height"]) == ("confirmed", txid, mined["height"])
    assert shown["payments"] == [{"payee": SUPPLIER, "address": payee_address(SUPPLIER), "sats": 25_000_000}]

    balance = office.does("coin", "balance")["reserve"]
    assert balance["total"] == 60_000_000 - 25_000_000 - shown["sats"]["fee"]
    states = [each["state"] for each in office.does("coin", "list")]
    assert sorted(states) == ["mature", "spent"]
    log = office.does("log", "verify")
    assert log["checkpoint"]["witnesses"] == ["parliament.example"]


def test_each_refusal_on_the_way_has_its_code(office):
    office.funded()
    transfer = office.drafted()
    out = office.path("too-early.json")

    # Nobody has cosigned a checkpoint that holds the draft.
    office.refuses("HISTORY_UNWITNESSED", "transfer", "evidence", transfer, "-o", out)
    office.approved(transfer, "Aigerim")
    office.refuses("APPROVAL_MISSING", "transfer", "evidence", transfer, "--for", "sign", "-o", out)
    office.refuses("STATE_CHANGED", "transfer", "release", transfer)
    office.refuses("NOTHING_TO_SEND", "transfer", "deliver")
    office.approved(transfer, "Bolat")
    evidence = office.ready_to_sign(transfer)

    one = office.does("transfer", "combine", transfer, office.signed(evidence, "astana"))
    assert (one["status"], len(one["signed"]), one["txid"]) == ("signing", 1, None)
    assert len(one["missing"]) == 2
    message = office.refuses(
        "TRANSFER_LIVE", "transfer", "cancel", transfer, "--reason", "late", "--key", office.key("Dana")
    )
    assert transfer[:12] in message
    assert not (office.folder / "too-early.json").exists()


def test_a_second_draft_of_one_request_is_refused(office):
    office.funded()
    request = office.requested()
    office.does("transfer", "draft", request)
    office.refuses("REQUEST_IN_USE", "transfer", "draft", request)


def test_a_denied_draft_ends_with_the_rules_code_and_frees_its_coins(office):
    office.funded()
    request = office.requested("--pay", "Stranger=0.1 BTC")
    result = office.types("transfer", "draft", request)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "error DEST_NOT_ALLOWED" in result.stderr
    assert "what to do:" in result.stderr
    listed = office.does("transfer", "list")["transfers"]
    assert [(each["status"], each["ended"]["reason"]) for each in listed] == [("ended", "denied")]
    assert office.does("transfer", "list", "--live")["transfers"] == []
    assert office.does("coin", "balance")["reserve"]["held"] == 0


def test_a_veto_ends_a_transfer(office):
    office.funded()
    transfer = office.drafted()
    office.approved(transfer, "Aigerim", veto=True)
    assert office.does("transfer", "show", transfer)["ended"]["reason"] == "vetoed"


def test_the_requester_gives_a_transfer_up_before_signatures(office):
    office.funded()
    transfer = office.drafted()
    assert office.does("coin", "balance")["reserve"]["held"] == 60_000_000
    done = office.does("transfer", "cancel", transfer, "--reason", "sent twice", "--key", office.key("Dana"))
    assert (done["status"], done["freed"]) == ("ended", 60_000_000)
    assert office.does("coin", "balance")["reserve"]["mature"] == 60_000_000


def test_a_replacement_confirms_in_place_of_what_it_replaces(office):
    office.funded()
    first = office.drafted()
    office.delivered(first)
    second = office.requested("--pay", "Supplier=0.25 BTC", "--replaces", first[:10])
    replacement = office.does("transfer", "draft", second, "--feerate", "9000")["transfer"]
    txid = office.delivered(replacement)
    office.does("regtest", "mine", "1")
    assert office.does("transfer", "show", replacement)["txid"] == txid
    states = {each["id"]: each["status"] for each in office.does("transfer", "list")["transfers"]}
    assert states == {first: "ended", replacement: "confirmed"}
