"""What this institution relies on, played on a chain of its own with its own charter."""

from custody import Status, Verdict
from custody.testing.asserts import refuses


def test_the_treasury_pays_the_mint(custody_story):
    transfer = custody_story.confirmed(custody_story.request(("Mint", 10_000_000)))
    assert custody_story.transfer(transfer).status is Status.CONFIRMED
    assert 59_900_000 < custody_story.balance < 60_000_000


def test_more_than_the_limit_is_denied(custody_story):
    _, decision = custody_story.drafted(custody_story.request(("Mint", 40_000_000)))
    assert decision.verdict is Verdict.DENY
    assert "LIMIT_TRANSFER" in [finding.code for finding in decision.findings]


def test_two_officers_are_too_few(custody_story):
    draft, _ = custody_story.drafted(custody_story.request(("Mint", 10_000_000)))
    custody_story.approved(draft.transfer_id, ("Bela", "Cyd"))
    with refuses("APPROVAL_MISSING"):
        custody_story.custodian.authorize(draft.transfer_id)


def test_savings_have_no_limit_and_three_cosigners_sign(custody_story):
    savings = custody_story.at("savings")
    transfer = savings.confirmed(savings.request(("Tax office", 60_000_000)))
    assert savings.transfer(transfer).status is Status.CONFIRMED
    assert len(savings.transfer(transfer).signed) == 3


def test_the_machines_are_there_by_themselves(custody_custodian, custody_stations, custody_desks, custody_chain):
    assert len(custody_stations) == 4
    assert list(custody_desks) == ["Bela", "Cyd", "Dora"]
    height = custody_custodian.history().height
    custody_chain.mine()
    custody_custodian.observe()
    assert custody_custodian.history().height == height + 1
