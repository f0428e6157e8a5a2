"""What an officer and a custodian read before they answer."""

import json
from dataclasses import dataclass, replace

import pytest

from custody.apps.views.charter import charter_data, charter_screen
from custody.apps.views.examination import NOT_WITNESSED, examination_data, examination_screen
from custody.apps.views.files import checkpoint_paper, document_paper
from custody.apps.views.layout import grouped, sats
from custody.apps.views.transfer import transfer_data
from custody.envelope import sign
from custody.examine.evidence import Stage
from custody.examine.examination import Examination
from custody.log import Cosignature
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import REQUESTER, WITNESS, Setting, make_cast
from custody.testing.scenario import RememberedState, Scenario
from custody.transfer.request import Purpose, TransferRequest
from custody.vault.descriptor import Branch
from custody.words import show_words, word_rows


@dataclass(frozen=True)
class Examined:
    """One transfer as an officer's desk and as a cosigner's station judged it; `now` is the story's time."""

    scenario: Scenario
    to_approve: Examination
    to_sign: Examination
    now: int


def examined(setting: Setting | None = None) -> Examined:
    scenario = Scenario.funded(setting=setting)
    station = Station(RememberedState(), scenario.chain)
    station.trust(scenario.cast.envelope, show_words(scenario.cast.digest))
    draft, _ = scenario.drafted(scenario.request(("Supplier", 25_000_000), ("Reserve", 1_000_000)))
    to_approve = station.examine(scenario.custodian.evidence(draft.transfer_id), Stage.APPROVE)
    scenario.approved(draft.transfer_id)
    scenario.custodian.authorize(draft.transfer_id)
    scenario.custodian.request_signatures(draft.transfer_id)
    to_sign = station.examine(scenario.custodian.evidence(draft.transfer_id), Stage.SIGN)
    return Examined(scenario, to_approve, to_sign, scenario.chain.now())


@pytest.fixture(scope="module")
def witnessed():
    found = examined()
    yield found
    found.scenario.close()


@pytest.fixture(scope="module")
def unwitnessed():
    found = examined(Setting(is_witnessed=False))
    yield found
    found.scenario.close()


def test_the_coordinator_and_a_station_spell_a_transfer_alike(witnessed):
    history = witnessed.scenario.custodian.history()
    found = witnessed.to_sign
    told, judged = transfer_data(history.transfer(found.transfer_id), history, witnessed.now), examination_data(found)
    both = told.keys() & judged.keys()
    assert both >= {"request", "payments", "inputs", "sats", "sat_per_kvb", "verdict", "findings", "approvals", "tied"}
    assert {each: told[each] for each in both} == {each: judged[each] for each in both}
    (approvals,) = judged["approvals"]
    assert approvals == {
        "rule": approvals["rule"],
        "role": "officer",
        "threshold": 2,
        "signed": ["Aigerim", "Bolat"],
        "needed": 0,
        "missing": approvals["missing"],
        "is_enough": True,
    }


def test_the_screen_says_who_asked_why_and_who_is_paid_how_much_at_which_address(witnessed):
    text = examination_screen(witnessed.to_approve, witnessed.now)
    assert REQUESTER in text
    assert "invoice 2024-17" in text
    for paid in witnessed.to_approve.payments:
        assert paid.payee in text
        for line in grouped(paid.address):
            assert line in text
    assert "0.25000000 BTC  25 000 000 sat  Supplier" in text


def test_the_screen_says_fee_rate_share_and_change(witnessed):
    found = witnessed.to_approve
    text = examination_screen(found, witnessed.now)
    assert "5.000 sat/vB" in text
    assert f"{found.case.fee:,} sat".replace(",", " ") in text
    own = found.vault.address(Branch.CHANGE, found.draft.change)
    assert f"to its own change address {found.draft.change}, derived here:" in text
    for line in grouped(own):
        assert line in text


def test_the_eight_steps_stand_there_in_order(witnessed):
    text = examination_screen(witnessed.to_approve, witnessed.now)
    places = [text.index(f"  {number}.  ") for number in range(1, 9)]
    assert places == sorted(places)


def test_who_has_approved_and_who_is_missing_is_said(witnessed):
    before = examination_screen(witnessed.to_approve, witnessed.now)
    after = examination_screen(witnessed.to_sign, witnessed.now)
    assert "two officers: 0 of 2, 2 more needed" in before
    assert "may still  Aigerim, Bolat, Chingis" in before
    assert "two officers: 2 of 2, met" in after
    assert "approved  Aigerim, Bolat" in after


def test_only_a_custodian_is_shown_who_signs(witnessed):
    fingerprints = [each.fingerprint.hex() for each in witnessed.to_sign.vault.cosigners]
    assert not any(each in examination_screen(witnessed.to_approve, witnessed.now) for each in fingerprints)
    assert all(each in examination_screen(witnessed.to_sign, witnessed.now) for each in fingerprints)


@pytest.fixture(scope="module")
def bumped():
    """A scenario with a transfer that waits, and ids of the transfer that replaces it and of a child of that one."""
    scenario = Scenario.funded()
    first = scenario.sent(rate=2_000)
    second = scenario.sent(scenario.request(replaces=(first,)), rate=5_000)
    child, _ = scenario.drafted(scenario.request(purpose=Purpose.CHILD, parent=second), rate=20_000)
    yield scenario, first, second, child.transfer_id
    scenario.close()


def test_a_replacement_says_what_it_replaces_and_what_the_fees_add_up_to(bumped):
    scenario, first, second, _ = bumped
    found = scenario.stations[2].examine(scenario.custodian.evidence(second), Stage.SIGN)
    text = examination_screen(found, scenario.chain.now())
    fees = [scenario.transfer(each).draft.fee for each in (first, second)]
    assert f"replaces  {first.hex()}, a payment with a fee of {sats(fees[0])}" in text
    assert f"{sats(sum(fees))}  with those of what it replaces: one fee to the rules" in text
    data = examination_data(found)
    assert data["tied"] == {"replaces": [{"transfer": first.hex(), "fee": fees[0]}], "speeds_up": None}
    assert data["fees_before"] == fees[0]


def test_a_child_says_what_it_speeds_up_and_at_which_rate_together(bumped):
    scenario, first, second, child = bumped
    found = scenario.stations[2].examine(scenario.custodian.evidence(child), Stage.APPROVE)
    text = examination_screen(found, scenario.chain.now())
    fees = [scenario.transfer(each).draft.fee for each in (first, second, child)]
    assert "a child that pays for its parent" in text
    assert f"speeds up  {second.hex()}, which waits with a fee of {sats(fees[1])}" in text
    assert f"{sats(sum(fees))}  with those of what it speeds up or replaces: one fee to the rules" in text
    assert f"{sats(fees[1] + fees[2])}  20.000 sat/vB with what it speeds up" in text
    assert "whether what it speeds up still waits for a block: the coordinator says so" in text
    data = examination_data(found)
    assert data["tied"]["speeds_up"] == {"transfer": second.hex(), "fee": fees[1]}
    assert (data["request"]["parent"], data["sat_per_kvb_together"]) == (second.hex(), found.case.rate_together)


def test_the_words_come_last_in_rows(witnessed):
    text = examination_screen(witnessed.to_sign, witnessed.now)
    assert tuple(line[2:] for line in text.splitlines()[-6:]) == word_rows(witnessed.to_sign.transfer_id)


def test_what_is_not_checked_is_on_the_screen(witnessed, unwitnessed):
    for found in (witnessed, unwitnessed):
        text = examination_screen(found.to_sign, found.now)
        assert found.to_sign.not_checked
        assert all(each in text for each in found.to_sign.not_checked)


def test_a_history_without_witnesses_is_called_that_beside_the_words(witnessed, unwitnessed):
    assert NOT_WITNESSED not in examination_screen(witnessed.to_sign, witnessed.now)
    text = examination_screen(unwitnessed.to_sign, unwitnessed.now)
    assert text.index(NOT_WITNESSED) > text.index("Not checked here")
    assert examination_data(unwitnessed.to_sign)["witnessed"] is False


def test_the_age_of_the_history_and_a_wrong_clock_are_said(witnessed):
    found = witnessed.to_sign
    assert "history witnessed 3 days ago" in examination_screen(found, witnessed.now + 3 * 86_400)
    late = replace(
        found, shown=replace(found.shown, cosignatures=(Cosignature(found.cosignatures[0].key, witnessed.now + 7_200),))
    )
    assert "witnessed 2 hours LATER: one clock is wrong" in examination_screen(late, witnessed.now)


def test_no_line_is_wider_than_it_has_to_be(witnessed):
    for line in examination_screen(witnessed.to_sign, witnessed.now).splitlines():
        assert len(line) <= 110, line


def test_the_data_is_json_with_whole_sats_and_the_same_words(witnessed):
    data = json.loads(json.dumps(examination_data(witnessed.to_sign), allow_nan=False))
    assert data["words"] == show_words(witnessed.to_sign.transfer_id)
    assert data["sats"]["spent"] == data["sats"]["outflow"] + data["sats"]["change"]
    assert {each["address"] for each in data["payments"]} == {p.address for p in witnessed.to_sign.payments}
    assert data["stage"] == "sign"
    assert [each["number"] for each in data["steps"]] == list(range(1, 9))


def test_a_charter_is_shown_whole():
    charter = make_cast().charter
    text = charter_screen(charter, ())
    for name in (
        *(p.name for p in charter.people),
        *(p.name for p in charter.payees),
        *(r.name for r in charter.rules),
    ):
        assert name in text
    for line in grouped(charter.vault("reserve").address(Branch.RECEIVE, 0)):
        assert line in text
    assert "fee at most 200 000 sat, 100.000 sat/vB and 10.00 % of what is moved" in text
    assert "at most 5.00000000 BTC in one transfer" in text
    assert "Signed by everyone it lists (6)." in text


def test_who_has_not_signed_a_charter_stands_out():
    charter = make_cast().charter
    text = charter_screen(charter, ("Bolat", WITNESS))
    assert f"NOT IN FORCE: still to be signed by Bolat, {WITNESS}" in text
    assert text.count("NOT SIGNED") == 2
    assert charter_data(charter, ("Bolat",))["missing"] == ["Bolat"]


def test_a_request_counts_as_signed_only_by_its_requester(witnessed):
    cast = witnessed.scenario.cast
    envelope = witnessed.to_sign.transfer.request_envelope
    data, text = document_paper(envelope, cast.charter)
    assert f"signed by {REQUESTER}" in text
    assert data["signature"].startswith("signed by")
    assert "not checked" in document_paper(envelope, None)[1]
    forged = sign(TransferRequest.from_bytes(envelope.body), cast.people["Bolat"])
    with refuses("REQUEST_AUTHOR"):
        document_paper(forged, cast.charter)


def test_an_approval_counts_as_signed_only_by_the_officer_it_names(witnessed):
    cast = witnessed.scenario.cast
    first, second = witnessed.to_sign.transfer.approvals
    _, text = document_paper(first, cast.charter)
    assert "signed by Aigerim, with the key in the charter trusted here" in text
    assert all(row in text for row in word_rows(witnessed.to_sign.transfer_id))
    swapped = first.__class__(payload=first.payload, payloadType=first.payloadType, signatures=second.signatures)
    with refuses("SIG_INVALID"):
        document_paper(swapped, cast.charter)


def test_a_checkpoint_says_who_stands_behind_it(witnessed):
    scenario = witnessed.scenario
    request = scenario.custodian.showing.checkpoint()
    _, text = checkpoint_paper(request.signed(), request, scenario.cast.charter)
    assert "signed by the coordinator" in text
    assert "cosigned" not in text
    with refuses("PROOF_INVALID"):
        checkpoint_paper(request.signed(), request.model_copy(update={"since": 1}), scenario.cast.charter)
