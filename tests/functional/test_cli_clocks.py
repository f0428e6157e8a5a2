"""A coordinator's wrong clock, by commands alone: what is said, what is not written, and what goes on afterwards."""

import json
import time

import pytest

HOUR = 3600
YEAR = 365 * 24 * HOUR


class Wrong:
    """A clock that is wrong by so many seconds."""

    def __init__(self, by):
        self.by = by

    def now(self):
        return int(time.time()) + self.by


@pytest.fixture
def agreed(office):
    """An office with a transfer that two officers have approved; its id."""
    office.funded()
    transfer = office.drafted()
    office.approved(transfer)
    return transfer


def size_of(office):
    return office.does("log", "verify")["size"]


def goes_on(office, transfer):
    """It is signed and verified by the approvals that were given."""
    evidence = office.ready_to_sign(transfer)
    files = [office.signed(evidence, each) for each in ("astana", "almaty")]
    return office.does("transfer", "combine", transfer, *files)["status"] == "verified"


def test_a_single_look_a_year_ahead_leaves_approvals_as_they_are(office, agreed):
    assert office.types("observe", clock=Wrong(YEAR)).exit_code == 0
    assert office.does("transfer", "show", agreed)["status"] == "decided"
    assert goes_on(office, agreed)


@pytest.mark.parametrize("by", [-HOUR, -YEAR, -int(time.time())])
def test_by_a_clock_that_is_behind_nothing_is_written_and_the_doctor_says_so(office, agreed, by):
    size = size_of(office)
    for command in (
        ("observe",),
        office.address_for("case 18"),
        ("transfer", "request", "--pay", "Supplier=1000", "--reason", "x", "--key", office.key("Dana")),
        ("transfer", "cancel", agreed, "--reason", "x", "--key", office.key("Dana")),
        ("transfer", "evidence", agreed, "--for", "sign", "-o", office.new_path("evidence.json")),
        ("log", "seal"),
    ):
        refused = office.types(*command, "--json", clock=Wrong(by))
        assert (refused.exit_code, json.loads(refused.stdout)["error"]["code"]) == (4, "CLOCK_SKEW"), command
        assert " UTC" in json.loads(refused.stdout)["error"]["message"]
    doctor = office.types("doctor", clock=Wrong(by))
    assert doctor.exit_code == 6
    assert "clock (CLOCK_SKEW)" in doctor.stderr
    assert size_of(office) == size
    assert goes_on(office, agreed)


def test_an_approval_from_an_hour_ahead_is_not_counted_and_is_given_again(office):
    office.funded()
    transfer = office.drafted()
    office.witnessed()
    evidence, early = office.new_path("evidence.json"), office.new_path("early.json")
    office.does("transfer", "evidence", transfer, "-o", evidence)
    office.trusted_by("Aigerim")
    signing = ("approve", evidence, "--key", office.key("Aigerim"), "--yes", "-o", early)
    assert office.types_at("Aigerim", *signing, clock=Wrong(HOUR)).exit_code == 0
    message = office.refuses("APPROVAL_NOT_YET", "transfer", "approve", early)
    assert message.count(" UTC") == 2
    assert [each["signed"] for each in office.does("transfer", "show", transfer)["approvals"]] == [[]]
    office.approved(transfer)
    assert goes_on(office, transfer)


@pytest.mark.parametrize("by", [-HOUR, -YEAR, YEAR])
def test_an_officer_s_machine_whose_clock_cannot_be_right_signs_nothing(office, by):
    office.funded()
    transfer = office.drafted()
    office.witnessed()
    evidence, out = office.new_path("evidence.json"), office.folder / "never.json"
    office.does("transfer", "evidence", transfer, "-o", evidence)
    office.trusted_by("Aigerim")
    given = ("approve", evidence, "--key", office.key("Aigerim"), "--yes", "-o", out)
    assert office.refused_at("Aigerim", "CLOCK_SKEW", *given, clock=Wrong(by)).count(" UTC") == 2
    assert not out.exists()
