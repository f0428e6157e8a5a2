"""The log's checkpoints by commands: what a request carries, and for whom."""

import json
from pathlib import Path

import pytest

from custody.log.witnessing import WitnessRequest
from custody.testing.cast import WITNESS


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
    assert (said["since"], said["size"]) == (3, 6)
    assert asked(grown, "--for-witness", WITNESS)[1]["since"] == 3
    assert "without the first 3;" in grown.types_at(WITNESS, "inspect", out).output
    answered = grown.at_station(WITNESS, "witness", *cosigns(grown, out))
    assert (answered["before"], answered["size"]) == (3, 6)
    assert grown.does("log", "cosign", answered["file"])["is_enough"]
    assert asked(grown)[1]["since"] == 6


def test_a_witness_skips_what_it_has_seen_already(grown):
    whole, _ = asked(grown, "--since", 0)
    assert "the root was computed from them" in grown.types_at(WITNESS, "inspect", whole).output
    assert grown.at_station(WITNESS, "witness", *cosigns(grown, whole))["before"] == 3


def test_a_witness_that_has_lost_its_memory_says_where_to_begin(grown):
    (memory,) = Path(grown.path(f"station-{WITNESS}")).glob("witness-*.json")
    memory.unlink()
    out, _ = asked(grown)
    ended = grown.types_at(WITNESS, "witness", *cosigns(grown, out), "--json")
    error = json.loads(ended.stdout)["error"]
    assert error["code"] == "WITNESS_BEHIND"
    assert "custody log checkpoint --since 0 " in error["hint"]
    again, _ = asked(grown, "--since", 0)
    assert grown.at_station(WITNESS, "witness", *cosigns(grown, again))["before"] == 0


@pytest.mark.parametrize("peaks", [[], ["00" * 32, "11" * 32], ["00" * 31]])
def test_a_memory_that_no_log_leads_to_is_refused(grown, peaks):
    (memory,) = Path(grown.path(f"station-{WITNESS}")).glob("witness-*.json")
    damaged = json.loads(memory.read_bytes()) | {"peaks": peaks}
    memory.write_text(json.dumps(damaged, sort_keys=True, separators=(",", ":")))
    out, _ = asked(grown)
    grown.refused_at(WITNESS, "RECORD_INVALID", "witness", *cosigns(grown, out))


def test_a_request_for_nobody_is_not_made(grown):
    out = grown.new_path("checkpoint.json")
    grown.refuses("NAME_UNKNOWN", "log", "checkpoint", "--for-witness", "Mallory", "-o", out)
    grown.refuses("NOT_IN_LOG", "log", "checkpoint", "--since", 7, "-o", out)
    both = grown.types("log", "checkpoint", "--since", 0, "--for-witness", WITNESS, "-o", out)
    assert both.exit_code == 2
    assert not Path(out).exists()
