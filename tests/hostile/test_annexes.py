"""Words that are not the ones that were signed, and bodies erased that somebody needs.

The liar owns the coordinator and every file it hands out. Nothing is judged by an annex, but people go by its words.
"""

import pytest

from custody.examine.statement import DAY, examine_statement, state_address, write_paper
from custody.history import kinds
from custody.history.on.annex import Erased
from custody.history.state import State
from custody.testing.asserts import refuses
from custody.testing.cast import expected
from custody.testing.scenario import Scenario
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.transfer.annex import Annex
from custody.transfer.request import RequestPaper

OTHERS = "invoice 18"


@pytest.fixture
def wrong(annex_of, edit):
    """Annexes that are not the one that was signed."""
    own = annex_of()
    return {
        "another's": annex_of(OTHERS),
        "a wrong salt": edit(own, salt=bytes(32)),
        "another's salt": edit(own, salt=annex_of(OTHERS).salt),
        "other words under its salt": edit(own, body=annex_of(OTHERS).body),
        "other bytes": edit(own, body=own.body + " "),
        "an address's": Annex.of(AddressAnnex.of(expected()), own.salt),
    }


@pytest.fixture(scope="module")
def story():
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


ways = pytest.mark.parametrize(
    "way",
    ["another's", "a wrong salt", "another's salt", "other words under its salt", "other bytes", "an address's"],
)


@ways
def test_evidence_with_another_reason_is_refused(forger, edit, wrong, stage, way):
    evidence = edit(forger.evidence(stage=stage), annex=wrong[way])
    with refuses("ANNEX_MISMATCH"):
        forger.examine(evidence, stage)


def test_evidence_with_its_own_reason_shows_it_and_without_says_that_it_does_not(forger, edit, annex_of, stage):
    evidence = forger.evidence(stage=stage)
    told = forger.examine(edit(evidence, annex=annex_of()), stage)
    assert (told.reason, any("reason" in each for each in told.not_checked)) == ("invoice 17", False)
    untold = forger.examine(evidence, stage)
    assert (untold.reason, any("reason" in each for each in untold.not_checked)) == (None, True)
    assert untold.body_digest == told.body_digest


@ways
def test_a_request_with_another_reason_is_not_entered(story, wrong, way):
    paper = story.request()
    size = story.history().size
    with refuses("ANNEX_MISMATCH"):
        story.custodian.submit(RequestPaper(signed=paper.signed, annex=wrong[way]))
    assert story.history().size == size
    story.custodian.submit(paper)


def test_words_that_are_no_reason_are_refused_though_they_were_signed(forger, edit):
    address = Annex.of(AddressAnnex.of(expected()), bytes(32))
    evidence = edit(forger.evidence(request=forger.request(annex=address.named)), annex=address)
    with refuses("RECORD_INVALID"):
        forger.examine(evidence)


def test_a_statement_goes_by_the_annex_that_the_log_names(forger, edit):
    log = forger.bare_log()
    honest = Annex.of(AddressAnnex.of(expected()), bytes(32))
    issued = AddressIssued.of("seized", honest.named, forger.vault.id, 0, 0, forger.now)
    log.annex(honest)
    log.write(kinds.ADDRESS_ISSUED, issued)
    signed = log.cosigned()
    asked = state_address(issued, honest, forger.cast.charter, signed.checkpoint, forger.now, 30 * DAY)
    paper = write_paper(asked, honest, forger.cast.envelope, signed, log.entries)
    examine_statement(paper, State(forger.cast.digest), forger.now)
    others = Annex.of(AddressAnnex(payer="Eve", purpose="a gift"), bytes(32))
    lies = (
        edit(paper, asked=edit(asked, payer="Eve", purpose="a gift"), annex=others),
        edit(paper, annex=edit(honest, salt=b"\x01" * 32)),
    )
    for lie in lies:
        with refuses("ANNEX_MISMATCH"):
            examine_statement(lie, State(forger.cast.digest), forger.now)
    with refuses("STATEMENT_MISMATCH"):
        examine_statement(edit(paper, asked=edit(asked, payer="Eve")), State(forger.cast.digest), forger.now)
    with refuses("ANNEX_WITHHELD"):
        state_address(issued, None, forger.cast.charter, signed.checkpoint, forger.now, 30 * DAY)


def test_a_log_that_erases_what_is_needed_is_refused(forger, stage):
    for lie in (kinds.REQUESTED, kinds.ANNEXED, kinds.DEPOSIT_SEEN):
        log = forger.log()
        log.write(kinds.REQUESTED, forger.request())
        head = log.entries[-1].head
        log.write(kinds.ERASED, Erased(index=head.index, entry=lie, body=head.body, why="oops", at=forger.now))
        with refuses("HISTORY_INVALID") as caught:
            forger.examine(forger.evidence(stage=stage, log=log, ask=False), stage)
        assert caught.error.entry == kinds.ERASED
