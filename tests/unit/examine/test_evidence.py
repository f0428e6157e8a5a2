"""Evidence: each numbered step of `examine` has an input that trips it, and everything before it passes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from custody.bitcoin.script import script_of
from custody.charter import document
from custody.charter.decide import Decision, Verdict
from custody.envelope import Envelope, sign
from custody.examine.evidence import Evidence, Stage, gather
from custody.examine.examination import Examination, examine, examine_own, judge_draft
from custody.examine.shown import lines_of
from custody.history import kinds
from custody.history.state import State
from custody.log import Checkpoint, SignedCheckpoint, sign_checkpoint
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, STRANGER, SUPPLIER, TAX_OFFICE, payee_address, person_key
from custody.testing.forge import READ_BEFORE, Forge, Story
from custody.transfer.approval import Authorization, Opinion
from custody.transfer.draft import Draft
from custody.transfer.proposal import propose
from custody.transfer.request import RequestedPayment, TransferRequest
from custody.transfer.settlement import Ended, Ending


@pytest.fixture(params=["at once", *READ_BEFORE])
def visits(request) -> str:
    """Whether a reader sees the log for the first time, has seen a beginning of it, or began with that."""
    return request.param


@pytest.fixture
def look(told, edit, visits):
    """Examine evidence as somebody who trusts the story's charter."""

    def examined(
        evidence: Evidence, stage: Stage = Stage.SIGN, now: int | None = None, known: State | None = None
    ) -> Examination:
        if known is None:
            known = State(told.cast.digest)
            if visits != "at once":
                known = READ_BEFORE[visits](told.cast.digest, evidence.lines[: len(evidence.lines) // 2])
                evidence = edit(evidence, since=known.size, lines=evidence.lines[known.size :])
        return examine(evidence, known, stage, told.now if now is None else now)

    return examined


# --- the honest file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", list(Stage))
def test_honest_evidence_passes_every_step(told, look, stage):
    evidence = {Stage.APPROVE: told.to_approve, Stage.SIGN: told.to_sign, Stage.RELEASE: told.to_release}[stage]
    found = look(evidence, stage)
    assert [step.number for step in found.steps] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (found.transfer_id, found.stage) == (told.transfer_id, stage)
    assert [each.payee for each in found.payments] == [SUPPLIER]
    assert found.is_witnessed
    assert found.not_checked
    assert found.tallies[0].tally.is_met is (stage is not Stage.APPROVE)
    assert found.reading.fee == found.case.fee == told.draft.fee
    assert found.checkpoint.size == found.shown.state.size == len(evidence.lines)


def test_a_file_reads_back_from_its_bytes(told, look):
    again = Evidence.from_bytes(told.to_sign.to_bytes())
    assert again == told.to_sign
    assert look(again).body_digest == told.transfer.signing.evidence


def test_what_the_coordinator_says_of_deposits_is_not_in_the_file(told):
    for line in told.to_sign.lines:
        assert "deposit_seen" not in line or '"body":null' in line


def test_evidence_is_gathered_only_once_it_was_decided(told):
    transfer = told.after(kinds.DRAFTED).transfer(told.transfer_id)
    with refuses("EVIDENCE_INVALID"):
        gather(transfer, told.cast.digest, told.previous)


def test_previous_transactions_stand_once_and_in_order(told):
    raws = told.previous
    assert gather(told.transfer, told.cast.digest, [*raws[::-1], *raws]).previous == raws


def test_whoever_keeps_the_log_judges_as_every_reader_does(told, look):
    signed = SignedCheckpoint.parse(told.to_sign.checkpoint)
    history = told.until(kinds.SIGNED)
    own = examine_own(told.transfer, history, signed, told.previous, Stage.SIGN, told.now)
    theirs = look(told.to_sign)
    assert (own.body_digest, own.steps, own.case) == (theirs.body_digest, theirs.steps, theirs.case)
    assert own.shown.state.digest() == theirs.shown.state.digest()


def test_whoever_keeps_another_log_is_told_that_it_is_another(told):
    signed = SignedCheckpoint.parse(told.to_sign.checkpoint)
    with refuses("HISTORY_FORKED"):
        examine_own(told.transfer, told.until(kinds.SIGNING_REQUESTED), signed, told.previous, Stage.SIGN, told.now)
    early = SignedCheckpoint.parse(told.to_approve.checkpoint)
    with refuses("HISTORY_STALE"):
        examine_own(told.transfer, told.until(kinds.SIGNED), early, told.previous, Stage.SIGN, told.now)


# --- 1: the charter ---------------------------------------------------------------------------------------------------


def test_step_1_another_charter(told, look):
    with refuses("CHARTER_MISMATCH"):
        look(told.to_sign, known=State(bytes(32)))


@pytest.mark.parametrize("left_out", range(6))
def test_step_1_a_signature_that_is_missing(told, edit, look, left_out):
    signatures = told.cast.envelope.signatures
    assert len(signatures) == 6
    short = edit(told.cast.envelope, signatures=signatures[:left_out] + signatures[left_out + 1 :])
    forge = Forge(told.cast, told.now, told.entries[: len(told.to_sign.lines)])
    forge.rewrite(0, short)
    with refuses("CHARTER_UNSIGNED"):
        look(forge.evidence(told.transfer_id, told.previous))


# --- 2: the request ---------------------------------------------------------------------------------------------------


def test_step_2_an_expired_request_is_not_approved_but_may_still_be_signed(told, look):
    late = told.request.expires
    with refuses("REQUEST_EXPIRED"):
        look(told.to_approve, Stage.APPROVE, now=late)
    assert look(told.to_approve, Stage.APPROVE, now=late - 1)
    assert look(told.to_sign, Stage.SIGN, now=late)


# --- 4: the history ---------------------------------------------------------------------------------------------------


def test_step_4_a_checkpoint_that_the_coordinator_did_not_sign(told, edit, forge, look):
    checkpoint = Checkpoint(told.charter.origin, forge.size, forge.root)
    forged = sign_checkpoint(checkpoint, told.charter.origin, person_key("Mallory"))
    with refuses("CHECKPOINT_INVALID"):
        look(edit(told.to_sign, checkpoint=forged.text()))


def test_step_4_a_checkpoint_that_no_witness_cosigned(told, edit, look):
    signed = SignedCheckpoint.parse(told.to_sign.checkpoint)
    bare = sign_checkpoint(signed.checkpoint, told.charter.origin, told.cast.coordinator)
    with refuses("HISTORY_UNWITNESSED") as caught:
        look(edit(told.to_sign, checkpoint=bare.text()))
    assert (caught.error.given, caught.error.needed) == (0, 1)


def test_step_4_a_checkpoint_of_another_log(told, edit, look):
    signed = sign_checkpoint(
        Checkpoint("somewhere.example/else", 3, bytes(32)), "somewhere.example/else", told.cast.coordinator
    )
    with refuses("CHECKPOINT_INVALID"):
        look(edit(told.to_sign, checkpoint=signed.text()))


def test_step_4_a_shorter_log_than_was_seen_before(told, look):
    seen = told.after(kinds.SIGNING_REQUESTED)
    with refuses("HISTORY_STALE") as caught:
        look(told.to_approve, Stage.APPROVE, known=seen.state)
    assert (caught.error.size, caught.error.seen) == (len(told.to_approve.lines), seen.size)


def test_step_4_another_log_than_was_seen_before(told, forge, look):
    # The story goes another way after the first request: each of the two is whole, cosigned and in order.
    seen = told.until(kinds.DRAFTED)
    forge.copy(told.entry(kinds.REQUESTED, 1), told.entry(kinds.REQUESTED))
    forge.copy(*(told.entry(kind) for kind in (kinds.DRAFTED, kinds.DECIDED)))
    evidence = forge.evidence(told.transfer_id, told.previous)
    assert look(evidence, Stage.APPROVE)
    with refuses("HISTORY_FORKED") as caught:
        look(evidence, Stage.APPROVE, known=seen.state)
    assert caught.error.seen == seen.size


def test_step_4_a_log_that_extends_what_was_seen_passes(told, look):
    assert look(told.to_sign, known=told.states[len(told.to_approve.lines)])


def test_step_4_a_file_for_somebody_who_has_seen_more(told, edit, look):
    half = len(told.to_sign.lines) // 2
    later = edit(told.to_sign, since=half + 1, lines=told.to_sign.lines[half + 1 :])
    with refuses("HISTORY_GAP") as caught:
        look(later, known=told.states[half])
    assert (caught.error.since, caught.error.seen) == (half + 1, half)
    assert look(later, known=told.states[half + 1])


def test_step_4_lines_that_were_seen_before_are_not_read_again(told, edit, look):
    # Nothing proves them: a request and a draft that stand there alone are not in the log.
    known = told.until(kinds.REQUESTED).state
    twice = edit(told.to_approve, lines=("{}", *told.to_approve.lines[1:]))
    with refuses("LOG_CORRUPT"):
        look(twice, Stage.APPROVE, known=known)
    other = Forge(told.cast, told.now, told.entries[:2])
    other.copy(told.entry(kinds.REQUESTED), told.entry(kinds.DRAFTED))
    lines = (*lines_of(other.entries), *told.to_approve.lines[other.size : known.size])
    signed = Forge(told.cast, told.now, told.entries[: known.size]).cosigned()
    evidence = edit(told.to_approve, checkpoint=signed.text(), lines=lines)
    with refuses("NOT_LOGGED"):
        look(evidence, Stage.APPROVE, known=known)


def test_step_4_an_entry_that_does_not_fit(told, forge, look):
    forge.copy(*(told.entry(kind) for kind in (kinds.REQUESTED, kinds.DRAFTED, kinds.AUTHORIZED, kinds.DECIDED)))
    with refuses("HISTORY_INVALID"):
        look(forge.evidence(told.transfer_id, told.previous))


def test_step_4_an_entry_in_another_s_name(told, forge, look):
    forge.write(kinds.REQUESTED, told.request_envelope, author="coordinator")
    forge.copy(told.entry(kinds.DRAFTED))
    with refuses("ENTRY_AUTHOR"):
        look(forge.evidence(told.transfer_id, told.previous))


def test_step_4_an_entry_filed_under_another_transfer(told, forge, look):
    forge.copy(*(told.entry(kind) for kind in (kinds.REQUESTED, kinds.DRAFTED)))
    forge.write(kinds.DECIDED, told.transfer.decision, subjects=(bytes(32),))
    with refuses("HISTORY_INVALID") as caught:
        look(forge.evidence(told.transfer_id, told.previous), Stage.APPROVE)
    assert "subjects" in str(caught.error)


# --- 5: this transfer in that history ---------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["request", "draft", "decision"])
def test_step_5_a_log_without_the_transfer(told, forge, look, missing):
    steps = {"request": (), "draft": (kinds.REQUESTED,), "decision": (kinds.REQUESTED, kinds.DRAFTED)}[missing]
    forge.copy(*(told.entry(kind) for kind in steps))
    with refuses("NOT_LOGGED"):
        look(forge.evidence(told.transfer_id, told.previous), Stage.APPROVE)


def test_step_5_a_draft_without_its_request(told, forge, look):
    forge.copy(told.entry(kinds.DRAFTED))
    with refuses("NOT_LOGGED") as caught:
        look(forge.evidence(told.transfer_id, told.previous))
    assert caught.error.what == "the request"


@pytest.mark.parametrize("part", ["draft", "decision", "request", "approvals", "authorization", "charter"])
def test_step_5_signatures_that_were_asked_for_on_something_else(told, edit, look, part):
    # Limits count from an entry that names this very evidence: another one, for other eyes, is not it.
    at = told.index(kinds.SIGNING_REQUESTED)
    own = gather(told.transfer, told.cast.digest, told.previous)
    other = {
        "draft": lambda: edit(own, draft=edit(own.draft, rate=1)),
        "approvals": lambda: edit(own, approvals=own.approvals[:1]),
        "authorization": lambda: edit(own, authorization=None),
        "decision": lambda: edit(own, decision=edit(own.decision, findings=())),
        "request": lambda: edit(own, request=_signed_twice(told, edit, own.request)),
        "charter": lambda: edit(own, charter=bytes(32)),
    }[part]()
    forge = Forge(told.cast, told.now, told.entries[:at])
    forge.write(kinds.SIGNING_REQUESTED, edit(told.body(kinds.SIGNING_REQUESTED), evidence=other.digest()))
    with refuses("NOT_LOGGED") as caught:
        look(forge.evidence(told.transfer_id, told.previous))
    assert "this evidence" in str(caught.error)


def _signed_twice(told, edit, envelope: Envelope) -> Envelope:
    """The envelope with the signature of somebody else beside its author's."""
    second = sign(TransferRequest.from_bytes(envelope.body), told.cast.people[OFFICERS[0]])
    both = sorted((*envelope.signatures, *second.signatures), key=lambda each: each.keyid)
    return edit(envelope, signatures=tuple(both))


def test_step_5_no_signatures_were_asked_for(told, look):
    with refuses("NOT_LOGGED") as caught:
        look(told.to_approve, Stage.SIGN)
    assert "signing request" in str(caught.error)


def test_step_5_signatures_were_asked_for_with_other_previous_transactions(told, edit, look):
    with refuses("NOT_LOGGED") as caught:
        look(edit(told.to_sign, previous=(*told.previous, told.after_verified.raw)))
    assert "this evidence" in str(caught.error)


def test_step_5_a_transfer_that_is_over(told, forge, look):
    forge.copy(*(told.entry(kind) for kind in (kinds.REQUESTED, kinds.DRAFTED, kinds.DECIDED)))
    forge.write(
        kinds.ENDED, Ended(transfer=told.transfer_id, reason=Ending.EXPIRED, detail="late", at=told.request.expires)
    )
    with refuses("TRANSFER_OVER"):
        look(forge.evidence(told.transfer_id, told.previous), Stage.APPROVE)


# --- forging what comes after -----------------------------------------------------------------------------------------


@pytest.fixture
def lie(told, edit, forge) -> Callable[..., Evidence]:
    """Evidence of another transfer: a cosigned log that says the same, and the approvals of fooled officers."""

    def told_otherwise(
        drafted: Draft | None = None,
        stage: Stage = Stage.SIGN,
        *,
        request: Envelope | None = None,
        decision: Decision | None = None,
        previous: tuple[bytes, ...] | None = None,
        officers: tuple[str, ...] = OFFICERS[:2],
        **changes: object,
    ) -> Evidence:
        drafted = drafted or told.draft
        envelope = request or told.request_envelope
        record = TransferRequest.from_bytes(envelope.body)
        if drafted.identity.request != record.digest():
            drafted = edit(drafted, identity=edit(drafted.identity, request=record.digest()))
        decision = edit(decision or told.transfer.decision, transfer=drafted.transfer_id)
        forge.write(kinds.REQUESTED, envelope)
        approvals: tuple[Envelope, ...] = ()
        authorization: Authorization | None = None
        if stage is not Stage.APPROVE:
            approvals = tuple(_fooled(told, edit, forge, drafted, officer, **changes) for officer in officers)
            authorization = Authorization(
                transfer=drafted.transfer_id,
                charter=told.cast.digest,
                decision=decision.digest(),
                approvals=tuple(each.digest() for each in approvals),
                at=told.now,
            )
        shown = told.previous if previous is None else previous
        forge.tell(Story(envelope, drafted, decision, shown, approvals, authorization))
        return forge.evidence(drafted.transfer_id, shown)

    return told_otherwise


def _fooled(told, edit, forge: Forge, drafted: Draft, officer: str, **changes: object) -> Envelope:
    """What an officer signs who was shown the log as it stands."""
    own = {
        "transfer": drafted.transfer_id,
        "officer": officer,
        "key": told.cast.people[officer].public_key,
        "nonce": officer.encode().ljust(16)[:16],
        "log_size": forge.size,
        "log_root": forge.root,
    }
    return sign(edit(told.transfer.opinions[0], **(own | changes)), told.cast.people[officer])


@pytest.mark.parametrize("stage", [Stage.APPROVE, Stage.SIGN])
def test_the_same_transfer_told_again_passes(lie, look, stage):
    assert look(lie(stage=stage), stage).steps[-1].number == 8


# --- 6: the transaction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.APPROVE, Stage.SIGN])
def test_step_6_a_locktime_that_has_not_come(told, redrafted, lie, look, stage):
    height = told.after(kinds.DRAFTED).height
    with refuses("LOCKTIME"):
        look(lie(redrafted(told.draft, locktime=height + 1), stage), stage)


@pytest.mark.parametrize("stage", [Stage.APPROVE, Stage.SIGN])
def test_step_6_an_amount_that_its_previous_transaction_does_not_say(told, edit, redrafted, lie, look, stage):
    spent = told.draft.identity.spent
    more = (edit(spent[0], amount=spent[0].amount + 1), *spent[1:])
    with refuses("UTXO_CONFLICT"):
        look(lie(redrafted(told.draft, spent=more), stage), stage)


def test_step_6_a_previous_transaction_that_is_missing(told, lie, look):
    with refuses("PREVTX_MISSING"):
        look(lie(previous=told.previous[:1]))


def test_step_6_a_seat_that_is_not_the_coin_s(told, edit, lie, look):
    seats = tuple(edit(each, index=each.index + 50) for each in told.draft.seats)
    with refuses("FOREIGN_INPUT"):
        look(lie(edit(told.draft, seats=seats)))


@pytest.mark.parametrize("branch", [2, 7, 2**31])
def test_step_6_a_seat_on_no_branch_at_all(told, edit, lie, look, branch):
    seats = (edit(told.draft.seats[0], branch=branch), *told.draft.seats[1:])
    with refuses("PATH_NONSTANDARD"):
        look(lie(edit(told.draft, seats=seats)))


# --- 3 and 6: the outputs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [1, 2**31 - 1])
def test_step_6_change_at_another_index_than_the_next(told, redrafted, lie, look, change):
    vault = told.cast.vault
    own = vault.script_pubkey(1, told.draft.change)
    outputs = tuple(
        replace(each, script_pubkey=vault.script_pubkey(1, change)) if each.script_pubkey == own else each
        for each in told.draft.transaction.outputs
    )
    with refuses("INDEX_NOT_NEXT"):
        look(lie(redrafted(told.draft, outputs=outputs, change=change)))


def test_step_3_a_payee_who_was_not_asked_for(told, edit, lie, look):
    payments = (RequestedPayment(payee=TAX_OFFICE, amount=85_000_000),)
    request = sign(edit(told.request, payments=payments), told.cast.people[REQUESTER])
    with refuses("OUTPUTS_NOT_REQUESTED"):
        look(lie(request=request))


def test_step_6_a_payee_at_the_vault_s_own_change_address_is_read_two_ways_and_refused(
    told, edit, redrafted, retold, monkeypatch
):
    # To the request it is a payment, to a device it is change: where the two readings differ nobody signs.
    # A charter does not take such a payee, as far as it compares.
    monkeypatch.setattr(document, "OWN_INDEXES", 0)
    own = told.cast.vault.address(1, 0)
    payees = tuple(edit(each, address=own) if each.name == SUPPLIER else each for each in told.charter.payees)
    charter = edit(told.charter, payees=payees)
    request = edit(told.request, charter=charter.digest())
    script = told.cast.vault.script_pubkey(1, 0)
    outputs = tuple(replace(each, script_pubkey=script) for each in told.draft.transaction.outputs)
    made = redrafted(told.draft, outputs=outputs)
    made = edit(made, identity=edit(made.identity, charter=charter.digest(), request=request.digest()))
    transfer = retold(told.transfer, draft=made, request=request)
    with refuses("STATE_CHANGED"):
        judge_draft(transfer, propose(made, request, charter), told.previous, told.until(kinds.SIGNED).height)


# --- 7: the rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"verdict": Verdict.ALLOW}, {"findings": ()}, {"demands": ()}, {"charter": bytes(32)}],
    ids=["verdict", "findings", "demands", "charter"],
)
@pytest.mark.parametrize("stage", [Stage.APPROVE, Stage.SIGN])
def test_step_7_a_decision_that_the_rules_do_not_give(told, edit, lie, look, changes, stage):
    with refuses("DECISION_DIFFERS"):
        look(lie(stage=stage, decision=edit(told.transfer.decision, **changes)), stage)


def test_step_7_a_payee_that_no_rule_allows(told, edit, redrafted, lie, look):
    script = next(each for each in told.draft.transaction.outputs if each.amount == 85_000_000).script_pubkey
    payments = (RequestedPayment(payee=STRANGER, amount=85_000_000),)
    request = sign(edit(told.request, payments=payments), told.cast.people[REQUESTER])
    theirs = script_of(payee_address(STRANGER), told.charter.network)
    outputs = tuple(
        replace(each, script_pubkey=theirs) if each.script_pubkey == script else each
        for each in told.draft.transaction.outputs
    )
    with refuses("DEST_NOT_ALLOWED"):
        look(lie(redrafted(told.draft, outputs=outputs), request=request))


def test_step_7_a_freeze_that_the_log_tells_of(told, forge, look):
    steps = (kinds.REQUESTED, kinds.DRAFTED, kinds.DECIDED, kinds.UNEXPLAINED_SPEND)
    forge.copy(*(told.entry(kind) for kind in steps))
    with refuses("FROZEN"):
        look(forge.evidence(told.transfer_id, told.previous), Stage.APPROVE)


# --- 8: the approvals -------------------------------------------------------------------------------------------------


def test_step_8_too_few_approvals(lie, look):
    with refuses("APPROVAL_MISSING"):
        look(lie(officers=OFFICERS[:1]))


def test_step_8_a_veto_among_enough(lie, look):
    with refuses("VETOED"):
        look(lie(officers=OFFICERS, verdict=Opinion.VETO))


def test_step_8_an_approval_that_has_expired(told, look):
    expires = min(each.expires for each in told.transfer.opinions)
    assert look(told.to_sign, now=expires - 1)
    with refuses("APPROVAL_EXPIRED"):
        look(told.to_sign, now=expires)


@pytest.mark.parametrize("changes", [{"log_root": bytes(32)}, {"log_size": 4}, {"log_size": 10_000}])
def test_step_8_an_approval_given_on_another_history(lie, look, changes):
    with refuses("APPROVAL_FORKED"):
        look(lie(**changes))


def test_step_8_an_approval_is_on_the_log_its_officer_saw_however_long_ago(forge, lie, look):
    assert look(lie(log_size=forge.size, log_root=forge.root))


def test_step_8_an_authorization_that_counts_an_approval_the_log_does_not_have(told, forge, look):
    transfer = told.transfer
    steps = (kinds.REQUESTED, kinds.DRAFTED, kinds.DECIDED, kinds.APPROVED)
    forge.copy(*(told.entry(kind) for kind in steps))
    forge.write(kinds.AUTHORIZED, transfer.authorization)
    story = Story(
        told.request_envelope,
        told.draft,
        transfer.decision,
        told.previous,
        transfer.approvals[:1],
        transfer.authorization,
    )
    forge.ask_for_signatures(story, told.now)
    with refuses("APPROVAL_MISSING"):
        look(forge.evidence(told.transfer_id, told.previous))
