"""A transfer that waits too long, by commands: replaced at a higher fee, or sped up by a child."""

from custody.testing.cast import SUPPLIER


def sent(office, *what, feerate="1500"):
    """A transfer that was released and waits; its id."""
    transfer = str(office.does("transfer", "draft", office.requested(*what), "--feerate", feerate)["transfer"])
    office.delivered(transfer)
    return transfer


def test_a_bump_repeats_by_itself_what_it_replaces(office):
    office.funded()
    first = sent(office)
    shown = office.types("transfer", "show", first)
    assert f"custody transfer request --replaces {first[:12]} or --speed-up {first[:12]}" in shown.stderr

    asked = office.does(
        "transfer", "request", "--replaces", first[:10], "--reason", "too slow", "--key", office.key("Dana")
    )
    assert asked["payments"] == [{"payee": SUPPLIER, "sats": 25_000_000}]
    assert (asked["purpose"], asked["replaces"]) == ("payment", [first])
    message = office.refuses("REPLACE_FEE_LOW", "transfer", "draft", asked["id"], "--feerate", "1600")
    assert "too low to replace what waits" in message
    second = str(office.does("transfer", "draft", asked["id"], "--feerate", "9000")["transfer"])

    text = office.types("transfer", "show", second).stdout
    fee = office.does("transfer", "show", first)["sats"]["fee"]
    assert f"replaces  {first}, a payment with a fee of {fee} sat" in text
    assert "with those of what it replaces: one fee to the rules" in text
    data = office.does("transfer", "show", second)
    assert (data["fees_before"], data["tied"]["replaces"]) == (fee, [{"transfer": first, "fee": fee}])
    office.delivered(second)
    office.does("regtest", "mine", "1")
    states = {each["id"]: each["status"] for each in office.does("transfer", "list")["transfers"]}
    assert states == {first: "ended", second: "confirmed"}


def test_a_bump_to_somebody_else_is_refused_and_says_what_to_do(office):
    office.funded()
    first = sent(office)
    request = office.requested("--pay", "Supplier=24000000", "--replaces", first)
    result = office.types("transfer", "draft", request, "--feerate", "9000")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "error REPLACE_PAYEES" in result.stderr
    assert "--replaces TRANSFER, without --pay" in result.stderr


def test_a_child_is_asked_for_signed_and_confirms_with_its_parent(office):
    office.funded()
    parent = sent(office)
    asked = office.does(
        "transfer", "request", "--speed-up", parent[:10], "--reason", "too slow", "--key", office.key("Dana")
    )
    assert (asked["purpose"], asked["parent"], asked["payments"]) == ("child-pays-for-parent", parent, [])
    assert f"speeds up  {parent}" in office.types("transfer", "show", asked["id"]).stdout
    child = str(office.does("transfer", "draft", asked["id"], "--feerate", "9000")["transfer"])
    text = office.types("transfer", "show", child).stdout
    assert f"speeds up  {parent}, which waits with a fee of" in text
    assert "9.000 sat/vB with what it speeds up" in text
    office.delivered(child)
    stuck = office.types("transfer", "show", child).stderr
    assert f"--replaces {child[:12]}" in stuck
    assert "--speed-up" not in stuck

    # A child that waits is bumped like anything else.
    bumped = office.does(
        "transfer", "request", "--replaces", child, "--reason", "still too slow", "--key", office.key("Dana")
    )
    assert (bumped["purpose"], bumped["parent"], bumped["replaces"]) == ("child-pays-for-parent", parent, [child])

    office.does("regtest", "mine", "1")
    states = {each["id"]: each["status"] for each in office.does("transfer", "list")["transfers"]}
    assert states == {parent: "confirmed", child: "confirmed"}
    assert "when it waits too long" not in office.types("transfer", "show", child).stderr


def test_what_cannot_be_sped_up_is_said(office):
    office.funded()
    transfer = office.drafted()
    request = office.requested("--speed-up", transfer)
    assert "was not released" in office.refuses("CHILD_PARENT", "transfer", "draft", request)


def test_without_a_log_it_must_be_said_what_a_replacement_is_for(office):
    office.funded()
    transfer = office.drafted()
    offline = ("--offline", "--charter", office.path("charter.json"), "--reason", "x", "--key", office.key("Dana"))
    out = office.path("request.json")
    result = office.types("transfer", "request", "--replaces", transfer, *offline, "-o", out)
    assert result.exit_code == 2
    assert "say beside --replaces what it is for" in result.stderr
    written = office.does("transfer", "request", "--speed-up", transfer, *offline, "-o", out)
    assert written["parent"] == transfer
    paper = office.at_station("Aigerim", "inspect", out)
    assert paper["kind"] == "request"
    both = office.types("transfer", "request", "--speed-up", transfer, "--consolidate", *offline, "-o", out)
    assert both.exit_code == 2


def test_a_fee_rate_is_read_in_sat_per_vbyte_too(office):
    office.funded()
    request = office.requested()
    office.refuses("RATE_INVALID", "transfer", "draft", request, "--feerate", "fast")
    office.refuses("RATE_INVALID", "transfer", "draft", request, "--feerate", "7.5")
    office.refuses("RATE_FINE", "transfer", "draft", request, "--feerate", "7.1234sat/vB")
    office.refuses("RATE_RANGE", "transfer", "draft", request, "--feerate", "0")
    office.refuses("RATE_RANGE", "transfer", "draft", request, "--long-term-feerate", "0sat/vB")
    assert office.does("transfer", "draft", request, "--feerate", "7.5 sat/vB")["fee_rate"] == 7_500
