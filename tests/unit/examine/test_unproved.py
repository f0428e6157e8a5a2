"""A file that cannot be judged: what can be asked is asked, the rest is listed, what is wrong by itself is refused."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from custody.envelope import Envelope, sign
from custody.examine.catchup import write_log
from custody.examine.evidence import Evidence
from custody.examine.examination import UNKNOWABLE, Examination
from custody.examine.lack import NOTHING_PROVED
from custody.examine.statement import AddressStatement, StatementExamination, StatementPaper, state_address, write_paper
from custody.examine.unproved import (
    Glimpse,
    Reader,
    StatementGlimpse,
    look_at_evidence,
    look_at_log,
    look_at_statement,
)
from custody.history import kinds
from custody.history.state import State
from custody.log import SignedCheckpoint
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, SUPPLIER, person_key
from custody.testing.forge import Forge
from custody.transfer.annex import Annex
from custody.transfer.approval import Approval

DAY = 86_400


@pytest.fixture
def cut(told, edit) -> Callable[..., Evidence]:
    """Evidence for signers without the lines before the first of a kind."""

    def shortened(kind: str, **lies: Any) -> Evidence:
        since = told.index(kind)
        return edit(told.to_sign, since=since, lines=told.to_sign.lines[since:], **lies)

    return shortened


@pytest.fixture
def trusting(told) -> Reader:
    """Somebody who trusts the charter and has seen nothing of its log."""
    return Reader(told.charter, State(told.cast.digest))


def numbers(steps) -> list[int]:
    return [each.number for each in steps]


# --- evidence, where no charter is trusted ----------------------------------------------------------------------------


def test_a_whole_log_is_judged_by_its_own_charter_and_that_proves_nothing(told):
    found = look_at_evidence(told.to_sign, Reader(), told.now)
    assert isinstance(found.said, Examination)
    assert (found.said.transfer_id, numbers(found.said.steps)) == (told.transfer_id, [1, 2, 3, 4, 5, 6, 7, 8])
    assert found.not_checked[0] == NOTHING_PROVED
    assert set(found.said.not_checked) < set(found.not_checked)
    assert (found.lack.is_trusting, found.lack.is_gap) == (False, False)


def test_lines_alone_show_what_stands_in_them_and_no_step_is_said_to_pass(told, cut):
    found = look_at_evidence(cut(kinds.REQUESTED), Reader(), told.now)
    glimpse = found.said
    assert isinstance(glimpse, Glimpse)
    assert (glimpse.charter, glimpse.proposal, glimpse.steps) == (None, None, ())
    assert numbers(glimpse.unasked) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert glimpse.draft == told.draft
    assert glimpse.request == told.request
    assert glimpse.request_keys == (person_key(REQUESTER).public_key,)
    assert [each.amount for each in glimpse.spent] == [each.amount for each in told.draft.identity.spent]
    assert [each.officer for each in glimpse.opinions] == list(OFFICERS[:2])
    assert glimpse.excerpt.cosignatures is None
    assert {each.entry for each in glimpse.about} >= {kinds.DRAFTED, kinds.DECIDED, kinds.SIGNING_REQUESTED}
    assert found.not_checked[0] == NOTHING_PROVED
    assert set(UNKNOWABLE) < set(found.not_checked)
    for number in range(1, 9):
        assert any(each.startswith(f"step {number}, ") for each in found.not_checked)


def test_lines_that_begin_after_the_draft_show_less(told, cut):
    glimpse = look_at_evidence(cut(kinds.AUTHORIZED), Reader(), told.now).said
    assert (glimpse.draft, glimpse.request, glimpse.spent, glimpse.transfer_id) == (None, None, (), told.transfer_id)
    begun = look_at_evidence(cut(kinds.DRAFTED), Reader(), told.now).said
    assert (begun.draft, begun.request, begun.reason) == (told.draft, None, None)


def test_a_log_without_a_charter_is_refused(told, edit):
    bare = Forge(told.cast, told.now)
    evidence = edit(told.to_sign, checkpoint=bare.signed().text(), lines=(), since=0)
    with refuses("NOT_LOGGED"):
        look_at_evidence(evidence, Reader(), told.now)


# --- evidence, where the charter is trusted and the log was not seen --------------------------------------------------


def test_a_trusted_charter_answers_what_it_can(told, cut, trusting):
    found = look_at_evidence(cut(kinds.REQUESTED), trusting, told.now)
    glimpse = found.said
    assert (numbers(glimpse.steps), numbers(glimpse.unasked)) == ([1, 2, 3], [4, 5, 6, 7, 8])
    assert [each.payee for each in glimpse.proposal.paid] == [SUPPLIER]
    assert (glimpse.request_keys, len(glimpse.excerpt.cosignatures)) == ((), 1)
    assert NOTHING_PROVED not in found.not_checked
    assert f"the log before entry {told.index(kinds.REQUESTED)}" in found.not_checked[0]


def test_what_was_seen_before_is_shown_with_lines_that_begin_later(told, cut):
    known = told.after(kinds.DECIDED).state
    found = look_at_evidence(cut(kinds.AUTHORIZED), Reader(told.charter, known), told.now)
    assert numbers(found.said.steps) == [1, 2, 3]
    assert (found.lack.seen, found.said.draft) == (known.size, told.draft)


def test_nothing_is_folded_and_the_reader_knows_what_it_knew(told, cut, trusting):
    before = trusting.known.digest()
    look_at_evidence(cut(kinds.REQUESTED), trusting, told.now)
    assert (trusting.known.size, trusting.known.digest()) == (0, before)


def test_a_reader_who_can_judge_is_not_shown_less(told, trusting):
    with pytest.raises(ValueError, match="can be judged"):
        look_at_evidence(told.to_sign, trusting, told.now)


# --- what is wrong by itself ------------------------------------------------------------------------------------------


@pytest.fixture(params=["no charter", "a charter"])
def reader(request, trusting) -> Reader:
    return Reader() if request.param == "no charter" else trusting


def test_amounts_that_previous_transactions_contradict_are_refused(told, edit, redrafted, forge, reader):
    spent = told.draft.identity.spent
    lying = redrafted(told.draft, spent=(edit(spent[0], amount=spent[0].amount + 1), *spent[1:]))
    forge.copy(told.entry(kinds.REQUESTED))
    since = forge.size - 1
    forge.write(kinds.DRAFTED, lying)
    evidence = forge.evidence(lying.transfer_id, told.previous, since)
    with refuses("UTXO_CONFLICT"):
        look_at_evidence(evidence, reader, told.now)


def test_a_coin_is_the_vault_s_where_a_charter_says_whose_it_is(told, edit, redrafted, forge, trusting):
    seats = told.draft.seats
    lying = redrafted(told.draft, seats=(edit(seats[0], index=seats[0].index + 7), *seats[1:]))
    forge.copy(told.entry(kinds.REQUESTED))
    since = forge.size - 1
    forge.write(kinds.DRAFTED, lying)
    with refuses("FOREIGN_INPUT"):
        look_at_evidence(forge.evidence(lying.transfer_id, told.previous, since), trusting, told.now)


def test_a_previous_transaction_that_is_missing_is_refused(told, cut, reader):
    with refuses("PREVTX_MISSING"):
        look_at_evidence(cut(kinds.REQUESTED, previous=told.previous[:1]), reader, told.now)


def test_a_line_that_was_edited_or_left_out_is_refused(told, cut, edit, reader):
    honest = cut(kinds.REQUESTED)
    with refuses("LOG_CORRUPT"):
        look_at_evidence(edit(honest, lines=honest.lines[1:]), reader, told.now)
    with refuses("EVIDENCE_INVALID"):
        look_at_evidence(edit(honest, lines=honest.lines[:-1]), reader, told.now)


def test_a_whole_log_of_another_root_is_refused(told, edit):
    other = Forge(told.cast, told.now, told.entries[: len(told.to_sign.lines) - 1])
    other.copy(told.entry(kinds.ANNEXED))
    with refuses("PROOF_INVALID"):
        look_at_evidence(edit(told.to_sign, checkpoint=other.cosigned().text()), Reader(), told.now)


def test_a_request_whose_signature_does_not_verify_is_refused(told, forge, reader):
    envelope = told.request_envelope
    forged = sign(told.request, person_key(OFFICERS[0])).signatures[0]
    forged = Envelope(
        payload=envelope.payload,
        payloadType=envelope.payloadType,
        signatures=(type(forged)(keyid=envelope.signatures[0].keyid, sig=forged.sig),),
    )
    since = forge.size
    forge.write(kinds.REQUESTED, forged)
    forge.write(kinds.DRAFTED, told.draft)
    with refuses("SIG_INVALID" if reader.charter is None else "REQUEST_AUTHOR"):
        look_at_evidence(forge.evidence(told.transfer_id, told.previous, since), reader, told.now)


def test_a_draft_of_another_vault_than_its_request_is_refused(told, edit, forge, reader):
    identity = edit(told.draft.identity, vault=bytes(32))
    drafted = edit(told.draft, identity=identity)
    since = forge.size
    forge.copy(told.entry(kinds.REQUESTED))
    forge.write(kinds.DRAFTED, drafted)
    with refuses("TRANSFER_MISMATCH"):
        look_at_evidence(forge.evidence(drafted.transfer_id, told.previous, since), reader, told.now)


def test_an_approval_of_another_transfer_is_refused(told, edit, forge, reader):
    approval = Approval.from_bytes(told.body(kinds.APPROVED).body)
    other = sign(edit(approval, transfer=bytes(32)), person_key(approval.officer))
    since = forge.size
    forge.copy(told.entry(kinds.REQUESTED), told.entry(kinds.DRAFTED))
    forge.write(kinds.APPROVED, other, author=approval.officer, subjects=(told.transfer_id,))
    with refuses("APPROVAL_MISMATCH"):
        look_at_evidence(forge.evidence(told.transfer_id, told.previous, since), reader, told.now)


def test_another_reason_than_the_one_that_was_signed_is_refused(told, cut, reader):
    annex = Annex(salt=bytes(32), body='{"reason":"another"}')
    with refuses("ANNEX_MISMATCH"):
        look_at_evidence(cut(kinds.REQUESTED, annex=annex), reader, told.now)


def test_a_checkpoint_that_no_witness_of_the_trusted_charter_signed_is_refused(told, cut, trusting):
    signed = SignedCheckpoint.parse(told.to_sign.checkpoint)
    bare = replace(signed, signatures=tuple(each for each in signed.signatures if each.name == told.charter.origin))
    with refuses("HISTORY_UNWITNESSED"):
        look_at_evidence(cut(kinds.REQUESTED, checkpoint=bare.text()), trusting, told.now)
    # Without a charter nobody can say who should have signed it, and so nothing is said of it.
    assert look_at_evidence(cut(kinds.REQUESTED, checkpoint=bare.text()), Reader(), told.now).said.steps == ()


# --- papers for address statements ------------------------------------------------------------------------------------


@pytest.fixture
def paper(told, edit) -> Callable[..., StatementPaper]:
    """The paper for the story's first address, from some entry on; `lies` are other fields of the statement."""
    signed = SignedCheckpoint.parse(told.to_sign.checkpoint)
    entries = told.entries[: signed.checkpoint.size]
    issued = told.body(kinds.ADDRESS_ISSUED)
    annexes = (each for each in told.entries if each.head.entry == kinds.ANNEXED and each.head.body == issued.annex)
    annexed = next(annexes)
    annex = Annex(salt=annexed.salt, body=(annexed.body or b"").decode())

    def write(since: int = 0, **lies: Any) -> StatementPaper:
        asked: AddressStatement = state_address(issued, annex, told.charter, signed.checkpoint, told.now, DAY)
        return write_paper(edit(asked, **lies), annex, told.cast.envelope, signed, entries[since:], since)

    return write


def test_a_whole_paper_is_judged_by_its_own_charter_and_that_proves_nothing(told, paper):
    found = look_at_statement(paper(), Reader(), told.now)
    assert isinstance(found.said, StatementExamination)
    assert found.not_checked[0] == NOTHING_PROVED


def test_a_paper_whose_lines_begin_late_shows_what_its_charter_says(told, paper, reader):
    after = told.index(kinds.ADDRESS_ISSUED) + 1
    found = look_at_statement(paper(after), reader, told.now)
    assert isinstance(found.said, StatementGlimpse)
    assert (numbers(found.said.steps), numbers(found.said.unasked)) == ([1, 2, 3, 6], [4, 5])
    assert not found.said.is_issuing_shown
    assert (found.not_checked[0] == NOTHING_PROVED) is (reader.charter is None)
    assert look_at_statement(paper(after - 1), reader, told.now).said.is_issuing_shown


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"payer": "Somebody else"}, "STATEMENT_MISMATCH"),
        ({"index": 1}, "STATEMENT_MISMATCH"),
        ({"log_size": 1}, "ADDRESS_NOT_ISSUED"),
        ({"issued": 1, "expires": 2}, "STATEMENT_EXPIRED"),
    ],
)
def test_a_statement_that_its_own_paper_contradicts_is_refused(told, paper, reader, lie, code):
    with refuses(code):
        look_at_statement(paper(told.index(kinds.ADDRESS_ISSUED), **lie), reader, told.now)


def test_an_address_that_was_seen_to_be_given_out_is_compared_with_that(told, paper):
    known = Reader(told.charter, told.after(kinds.ADDRESS_ISSUED).state)
    late = told.index(kinds.REQUESTED)
    assert look_at_statement(paper(late), known, told.now).said.is_issuing_shown
    with refuses("STATEMENT_MISMATCH"):
        look_at_statement(paper(late, coin_class="mined"), known, told.now)


# --- a log in a file --------------------------------------------------------------------------------------------------


@pytest.fixture
def log(told) -> Callable[[int], Callable[[], Iterator[bytes]]]:
    signed = SignedCheckpoint.parse(told.to_sign.checkpoint)
    entries = told.entries[: signed.checkpoint.size]

    def lines(since: int) -> Callable[[], Iterator[bytes]]:
        return lambda: write_log(told.cast.envelope, signed, entries[since:], since)

    return lines


def test_a_log_is_hashed_from_where_its_reader_stands(told, log, reader):
    whole = look_at_log(log(0), reader)
    assert whole.said.is_joined
    assert whole.said.excerpt.lines == len(told.to_sign.lines)
    late = look_at_log(log(3), reader)
    assert not late.said.is_joined
    assert (late.lack.since, late.lack.seen) == (3, 0)
    for found in (whole, late):
        assert (found.not_checked[0] == NOTHING_PROVED) is (reader.charter is None)
        assert "what the entries say" in found.not_checked[-1]


def test_a_log_with_a_line_too_few_or_another_is_refused(log, reader):
    for since in (0, 3):
        lines = list(log(since)())
        with refuses("EVIDENCE_INVALID"):
            look_at_log(lambda lines=lines: iter(lines[:-1]), reader)
        with refuses("LOG_CORRUPT"):
            look_at_log(lambda lines=lines: iter([*lines[:-1], b"{}"]), reader)
    whole = list(log(0)())
    with refuses("PROOF_INVALID"):
        look_at_log(lambda: iter([whole[0], whole[2], whole[1], *whole[3:]]), reader)
