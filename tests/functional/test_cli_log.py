"""The log's checkpoints by commands: what a request carries, and for whom."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from custody import showing
from custody.log import SignedCheckpoint
from custody.log.witnessing import WitnessRequest
from custody.testing.cast import OFFICERS, WITNESS
from custody.testing.scenario import Scenario


@pytest.fixture
def grown(office):
    """An office whose witness has cosigned the log's first entries, and whose log has two more by now."""
    office.set_up()
    office.witnessed()
    for case in (17, 18):
        office.does(*office.address_for(f"seized, case {case}"))
    return office


def asked(office, *options):
    out = office.new_path("checkpoint.json")
    said = office.does("log", "checkpoint", *options, "-o", out)
    request = WitnessRequest.from_bytes(Path(out).read_bytes())
    assert (said["since"], said["size"]) == (request.since, request.since + len(request.leaves))
    return out, said


def cosigns(office, request):
    return (request, "--key", office.key(WITNESS), "--name", WITNESS, "-o", office.new_path("cosigned.txt"))


def test_a_request_carries_what_the_witness_has_not_cosigned_yet(grown):
    out, said = asked(grown)
    assert (said["since"], said["size"]) == (3, 7)
    assert asked(grown, "--for-witness", WITNESS)[1]["since"] == 3
    assert "without the first 3;" in grown.types_at(WITNESS, "inspect", out).output
    answered = grown.at_station(WITNESS, "witness", *cosigns(grown, out))
    assert (answered["before"], answered["size"]) == (3, 7)
    assert grown.does("log", "cosign", answered["file"])["is_enough"]
    assert asked(grown)[1]["since"] == 7


def test_a_witness_skips_what_it_has_seen_already(grown):
    whole, _ = asked(grown, "--since", 0)
    assert "the root was computed from them" in grown.types_at(WITNESS, "inspect", whole).output
    assert grown.at_station(WITNESS, "witness", *cosigns(grown, whole))["before"] == 3


def test_a_witness_that_has_lost_its_memory_says_where_to_begin(grown):
    (memory,) = Path(grown.path(f"station-{WITNESS}")).glob("witness-*.json")
    memory.unlink()
    out, _ = asked(grown)
    grown.refused_at(WITNESS, "WITNESS_NEW", "witness", *cosigns(grown, out))
    ended = grown.types_at(WITNESS, "witness", *cosigns(grown, out), "--first", "--json")
    error = json.loads(ended.stdout)["error"]
    assert error["code"] == "WITNESS_BEHIND"
    assert "custody log checkpoint --since 0 " in error["hint"]
    again, _ = asked(grown, "--since", 0)
    assert grown.at_station(WITNESS, "witness", *cosigns(grown, again), "--first")["before"] == 0


@pytest.mark.parametrize("peaks", [[], ["00" * 32], ["00" * 31, "11" * 32]])
def test_a_memory_that_no_log_leads_to_is_refused(grown, peaks):
    (memory,) = Path(grown.path(f"station-{WITNESS}")).glob("witness-*.json")
    damaged = json.loads(memory.read_bytes()) | {"peaks": peaks}
    memory.write_text(json.dumps(damaged, sort_keys=True, separators=(",", ":")))
    out, _ = asked(grown)
    assert memory.name in grown.refused_at(WITNESS, "STATION_DAMAGED", "witness", *cosigns(grown, out))


def test_a_request_for_nobody_is_not_made(grown):
    out = grown.new_path("checkpoint.json")
    grown.refuses("NAME_UNKNOWN", "log", "checkpoint", "--for-witness", "Mallory", "-o", out)
    grown.refuses("NOT_IN_LOG", "log", "checkpoint", "--since", 8, "-o", out)
    both = grown.types("log", "checkpoint", "--since", 0, "--for-witness", WITNESS, "-o", out)
    assert both.exit_code == 2
    assert not Path(out).exists()


def test_a_payer_is_erased_by_command_and_the_log_stays_sound(office):
    office.funded()
    (given,) = office.does("vault", "addresses", "reserve")["addresses"]
    root = office.does("log", "verify")["root"]
    entry, why = given["annex_entry"], ("--why", "asked for by the payer")
    # Nobody is there to be asked; then somebody says that it is meant.
    office.refuses("CONFIRMATION_NEEDED", "log", "erase", entry, *why)
    said = office.does("log", "erase", entry, *why, "--yes")
    assert (said["index"], said["entry"], said["why"]) == (entry, "annexed", why[1])
    (left,) = office.does("vault", "addresses", "reserve")["addresses"]
    assert left == given | {"payer": None, "purpose": None}
    assert "(erased or withheld)" in office.types("vault", "addresses", "reserve").stdout
    (coin,) = office.does("coin", "list")["coins"]
    assert (coin["class"], coin["payer"], coin["purpose"]) == ("seized", None, None)
    assert office.does("log", "verify")["root"] != root
    office.witnessed()
    office.refuses("ANNEX_WITHHELD", "vault", "statement", "reserve", 0, "-o", office.new_path("paper.json"))

    office.refuses("ERASE_REFUSED", "log", "erase", entry, *why, "--yes")
    office.refuses("ERASE_REFUSED", "log", "erase", 0, *why, "--yes")
    office.refuses("NOT_IN_LOG", "log", "erase", 1_000, *why, "--yes")
    assert office.types("log", "erase", entry).exit_code == 2

    office.does("log", "erase", coin["entry"], *why, "--yes")
    assert office.does("coin", "list")["coins"] == []


def test_a_reason_is_erased_and_the_transfer_goes_on(office):
    office.funded()
    transfer = office.drafted()
    shown = office.does("transfer", "show", transfer)
    assert shown["request"]["reason"]
    assert shown["request"]["reason"] in office.types("transfer", "show", transfer).stdout
    office.does("log", "erase", shown["annex_entry"], "--why", "it named somebody", "--yes")
    again = office.does("transfer", "show", transfer)
    assert again["request"] == shown["request"] | {"reason": None}
    office.approved(transfer, *OFFICERS[:2])
    office.trusted_by("almaty")
    found = office.at_station("almaty", "inspect", office.ready_to_sign(transfer))
    assert found["request"]["reason"] is None
    assert any("the reason was withheld or erased" in each for each in found["not_checked"])


def test_a_witness_too_far_behind_for_one_request_is_brought_along_by_several(grown, monkeypatch):
    monkeypatch.setattr(showing, "MAX_LEAVES", 4)
    whole = grown.types("log", "checkpoint", "--since", 0, "-o", grown.new_path("checkpoint.json"))
    assert "then for the other 3 entries: custody log checkpoint --since 4" in whole.output
    for since, size in ((0, 4), (4, 7)):
        out, said = asked(grown, "--since", since)
        assert said["size"] == size
        assert grown.at_station("other", "trust", grown.path("charter.json"), *grown.words)
        first = [] if since else ["--first"]
        assert grown.at_station("other", "witness", *cosigns(grown, out), *first)["size"] == size


def test_a_witness_that_can_be_asked_is_brought_along_by_itself(monkeypatch):
    with closing(Scenario.funded()) as story:
        monkeypatch.setattr(showing, "MAX_LEAVES", 3)
        transfer, _ = story.drafted()
        assert story.history().size > 3 * 2
        evidence = story.custodian.evidence(transfer.transfer_id)
        assert story.witnesses[0].state.size == SignedCheckpoint.parse(evidence.checkpoint).checkpoint.size


def test_what_was_taken_in_before_is_said_to_be_nothing_new(office):
    office.funded()
    request, cosigned = office.new_path("checkpoint.json"), office.new_path("cosigned.txt")
    office.does("log", "checkpoint", "-o", request)
    office.trusted_by(WITNESS)
    named = ("--first", "--key", office.key(WITNESS), "--name", WITNESS, "-o", cosigned)
    office.at_station(WITNESS, "witness", request, *named)
    first, again = (office.types("log", "cosign", cosigned) for _ in range(2))
    assert ("nothing in it was new" in first.stderr, "nothing in it was new" in again.stderr) == (False, True)
    assert office.does("log", "cosign", cosigned)["is_new"] is False
    assert [office.does("log", "seal")["is_new"] for _ in range(2)] == [True, False]
    assert "sealed already" in office.types("log", "seal").stdout
    out = office.new_path("log.jsonl")
    office.does("log", "export", "--for-stations", "-o", out)
    office.trusted_by("Aigerim")
    first, again = (office.types_at("Aigerim", "catch-up", out) for _ in range(2))
    assert ("nothing in it was new" in first.stderr, "nothing in it was new" in again.stderr) == (False, True)


def test_a_folder_and_an_empty_file_are_told_as_themselves(office, tmp_path):
    office.set_up()
    empty = tmp_path / "empty.json"
    empty.write_bytes(b" \n")
    for whose in ("Aigerim",):
        folder = office.types_at(whose, "inspect", str(tmp_path))
        assert (folder.exit_code, "FILE_IS_FOLDER" in folder.stderr) == (3, True)
        told = office.types_at(whose, "inspect", str(empty))
        assert (told.exit_code, "is empty; this command needs" in told.stderr) == (3, True)
    office.refuses("FILE_IS_FOLDER", "log", "cosign", str(tmp_path))
