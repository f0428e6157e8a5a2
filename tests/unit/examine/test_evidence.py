"""Evidence: each numbered step of `examine` has an input that trips it, and everything before it passes."""

from dataclasses import replace

import pytest

from custody.bitcoin.script import script_of
from custody.charter.decide import Decision, Verdict
from custody.envelope import Envelope, sign
from custody.log import Checkpoint, LogEntry, SignedCheckpoint, seal, sign_checkpoint
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, STRANGER, SUPPLIER, TAX_OFFICE, payee_address, person_key
from custody.transfer.approval import Authorization, Opinion
from custody.transfer.draft import Draft
from custody.transfer.evidence import (
    Evidence,
    EvidenceBody,
    Examination,
    Stage,
    Trust,
    check_seen,
    check_witnesses,
    examine,
    gather,
    judge_draft,
)
from custody.transfer.request import RequestedPayment, TransferRequest
from custody.transfer.settlement import Ended, Ending
from custody.transfer.signing import SigningRequested
from custody.transfer.state import Kind


@pytest.fixture
def look(told):
    """Examine evidence as somebody who trusts the story's charter."""

    def examined(
        evidence: Evidence, stage: Stage = Stage.SIGN, now: int | None = None, trust: Trust | None = None
    ) -> Examination:
        return examine(evidence, trust or Trust(told.cast.digest), stage, told.now if now is None else now)

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
    assert found.checkpoint.size == len(evidence.part.lines)


def test_a_file_reads_back_from_its_bytes(told, look):
    again = Evidence.from_bytes(told.to_sign.to_bytes())
    assert look(again).body_digest == told.to_sign.body.digest()


def test_what_the_coordinator_says_of_deposits_is_not_in_the_file(told):
    for line in told.to_sign.part.lines:
        assert "deposit_seen" not in line or '"body":null' in line


def test_evidence_is_gathered_only_once_it_was_decided(told):
    transfer = told.after(Kind.DRAFTED).transfer(told.transfer_id)
    with refuses("EVIDENCE_INVALID"):
        gather(transfer, told.cast.envelope, told.to_sign.body.previous)


def test_previous_transactions_stand_once_and_in_order(told):
    raws = told.to_sign.body.previous
    transfer = told.transfer
    assert gather(transfer, told.cast.envelope, [*raws[::-1], *raws]).previous == raws


# --- 1: the charter ---------------------------------------------------------------------------------------------------


def test_step_1_another_charter(told, look):
    with refuses("CHARTER_MISMATCH"):
        look(told.to_sign, trust=Trust(bytes(32)))


@pytest.mark.parametrize("left_out", range(6))
def test_step_1_a_signature_that_is_missing(told, edit, look, left_out):
    signatures = told.cast.envelope.signatures
    assert len(signatures) == 6
    short = edit(told.cast.envelope, signatures=signatures[:left_out] + signatures[left_out + 1 :])
    evidence = edit(told.to_sign, body=edit(told.to_sign.body, charter=short))
    with refuses("CHARTER_UNSIGNED"):
        look(evidence)


# --- 2: the history ---------------------------------------------------------------------------------------------------


def test_step_2_a_checkpoint_that_the_coordinator_did_not_sign(told, edit, forge, look):
    size, root = forge.seen
    forged = sign_checkpoint(Checkpoint(told.charter.origin, size, root), told.charter.origin, person_key("Mallory"))
    part = edit(told.to_sign.part, checkpoint=forged.text())
    with refuses("CHECKPOINT_INVALID"):
        look(edit(told.to_sign, part=part))


def test_step_2_a_checkpoint_that_no_witness_cosigned(told, edit, look):
    signed = SignedCheckpoint.parse(told.to_sign.part.checkpoint)
    bare = sign_checkpoint(signed.checkpoint, told.charter.origin, told.cast.coordinator)
    with refuses("HISTORY_UNWITNESSED") as caught:
        look(edit(told.to_sign, part=edit(told.to_sign.part, checkpoint=bare.text())))
    assert (caught.error.given, caught.error.needed) == (0, 1)


def test_step_2_a_checkpoint_of_another_log(told, edit, look):
    signed = sign_checkpoint(
        Checkpoint("somewhere.example/else", 3, bytes(32)), "somewhere.example/else", told.cast.coordinator
    )
    with refuses("CHECKPOINT_INVALID"):
        look(edit(told.to_sign, part=edit(told.to_sign.part, checkpoint=signed.text())))


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_step_2_a_line_too_few(told, edit, look, cut):
    lines = list(told.to_sign.part.lines)
    del lines[cut]
    with refuses("EVIDENCE_INVALID" if cut == -1 else "LOG_CORRUPT"):
        look(edit(told.to_sign, part=edit(told.to_sign.part, lines=tuple(lines))))


def test_step_2_two_lines_that_changed_places(told, edit, look):
    lines = list(told.to_sign.part.lines)
    lines[3], lines[4] = lines[4], lines[3]
    with refuses("LOG_CORRUPT") as caught:
        look(edit(told.to_sign, part=edit(told.to_sign.part, lines=tuple(lines))))
    assert caught.error.index == 3


def test_step_2_an_entry_swapped_under_a_cosigned_checkpoint(told, edit, forge, look):
    # Another log of the same length: each of its lines is whole, but it is not the one that was cosigned.
    signed = told.to_sign.part
    forge.copy(Kind.REQUESTED, Kind.DRAFTED, Kind.DECIDED, Kind.APPROVED)
    while len(forge.entries) < len(signed.lines):
        forge.copy(Kind.CHAIN_SEEN)
    other = forge.evidence(told.to_sign.body).part
    with refuses("PROOF_INVALID"):
        look(edit(told.to_sign, part=edit(signed, lines=other.lines)))


def test_step_2_a_shorter_log_than_was_seen_before(told, look):
    with refuses("HISTORY_STALE") as caught:
        look(told.to_sign, trust=Trust(told.cast.digest, seen_size=1_000, seen_root=bytes(32)))
    assert (caught.error.size, caught.error.seen) == (len(told.to_sign.part.lines), 1_000)


def test_step_2_another_log_than_was_seen_before(told, look):
    with refuses("HISTORY_FORKED"):
        look(told.to_sign, trust=Trust(told.cast.digest, seen_size=3, seen_root=bytes(32)))


def test_step_2_a_log_that_extends_what_was_seen_passes(told, look):
    earlier = SignedCheckpoint.parse(told.to_approve.part.checkpoint).checkpoint
    assert look(told.to_sign, trust=Trust(told.cast.digest, earlier.size, earlier.root))


def test_step_2_an_entry_that_does_not_fit(told, forge, look):
    forge.copy(Kind.REQUESTED, Kind.DECIDED)
    with refuses("HISTORY_INVALID"):
        look(forge.evidence(told.to_sign.body))


def test_step_2_an_entry_in_another_s_name(told, forge, look):
    forge.write(Kind.REQUESTED, told.request_envelope, told.request.digest(), author="coordinator")
    with refuses("ENTRY_AUTHOR"):
        look(forge.evidence(told.to_sign.body))


# --- 3: this transfer in that history ---------------------------------------------------------------------------------


def test_step_3_a_log_without_the_transfer(told, forge, look):
    with refuses("NOT_LOGGED"):
        look(forge.evidence(told.to_sign.body))


@pytest.mark.parametrize("part", ["rate", "approvals", "authorization", "decision", "request"])
def test_step_3_a_body_that_differs_from_the_log(told, edit, look, part):
    body = told.to_sign.body
    other = {
        "rate": lambda: edit(body, draft=edit(body.draft, rate=1)),
        "approvals": lambda: edit(body, approvals=body.approvals[:1]),
        "authorization": lambda: edit(body, authorization=None),
        "decision": lambda: edit(body, decision=edit(body.decision, findings=())),
        "request": lambda: edit(body, request=_signed_twice(told, edit, body.request)),
    }[part]()
    with refuses("NOT_LOGGED"):
        look(edit(told.to_sign, body=other))


def _signed_twice(told, edit, envelope: Envelope) -> Envelope:
    """The envelope with the signature of somebody else beside its author's."""
    second = sign(TransferRequest.from_bytes(envelope.body), told.cast.people[OFFICERS[0]])
    both = sorted((*envelope.signatures, *second.signatures), key=lambda each: each.keyid)
    return edit(envelope, signatures=tuple(both))


def test_step_3_no_signatures_were_asked_for(told, look):
    with refuses("NOT_LOGGED") as caught:
        look(told.to_approve, Stage.SIGN)
    assert "signing request" in str(caught.error)


def test_step_3_signatures_were_asked_for_on_other_evidence(told, edit, look):
    previous = told.to_sign.body.previous
    more = edit(told.to_sign.body, previous=(*previous, told.after_verified.raw))
    with refuses("NOT_LOGGED") as caught:
        look(edit(told.to_sign, body=more))
    assert "this evidence" in str(caught.error)


def test_step_3_a_transfer_that_is_over(told, forge, look):
    forge.copy(Kind.REQUESTED, Kind.DRAFTED, Kind.DECIDED)
    ended = Ended(transfer=told.transfer_id, reason=Ending.EXPIRED, detail="late", at=told.request.expires)
    forge.write(Kind.ENDED, ended, told.transfer_id)
    with refuses("STATE_CHANGED"):
        look(forge.evidence(told.to_approve.body), Stage.APPROVE)


# --- forging what comes after -----------------------------------------------------------------------------------------


@pytest.fixture
def lie(told, edit, forge):
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
        forge.write(Kind.REQUESTED, envelope, record.digest(), author=record.requester)
        forge.write(Kind.DRAFTED, drafted, drafted.transfer_id)
        forge.write(Kind.DECIDED, decision, drafted.transfer_id)
        approvals: list[Envelope] = []
        authorization: Authorization | None = None
        if stage is not Stage.APPROVE:
            approvals = [_fooled(told, edit, forge, drafted, officer, **changes) for officer in officers]
            authorization = Authorization(
                transfer=drafted.transfer_id,
                charter=told.cast.digest,
                decision=decision.digest(),
                approvals=tuple(each.digest() for each in approvals),
                at=told.now,
            )
            forge.write(Kind.AUTHORIZED, authorization, drafted.transfer_id)
        body = EvidenceBody(
            charter=told.cast.envelope,
            request=envelope,
            draft=drafted,
            previous=told.to_sign.body.previous if previous is None else previous,
            decision=decision,
            approvals=tuple(approvals),
            authorization=authorization,
        )
        if stage is not Stage.APPROVE:
            asked = SigningRequested(transfer=drafted.transfer_id, evidence=body.digest(), at=told.now)
            forge.write(Kind.SIGNING_REQUESTED, asked, drafted.transfer_id)
        return forge.evidence(body)

    return told_otherwise


def _fooled(told, edit, forge, drafted: Draft, officer: str, **changes: object) -> Envelope:
    size, root = forge.seen
    word = edit(
        told.transfer.opinions[0],
        **(
            {
                "transfer": drafted.transfer_id,
                "officer": officer,
                "key": told.cast.people[officer].public_key,
                "nonce": officer.encode().ljust(16)[:16],
                "log_size": size,
                "log_root": root,
            }
            | changes
        ),
    )
    envelope = sign(word, told.cast.people[officer])
    forge.write(Kind.APPROVED, envelope, drafted.transfer_id, author=officer)
    return envelope


@pytest.mark.parametrize("stage", [Stage.APPROVE, Stage.SIGN])
def test_the_same_transfer_told_again_passes(lie, look, stage):
    assert look(lie(stage=stage), stage).steps[-1].number == 8


# --- 4: the request ---------------------------------------------------------------------------------------------------


def test_step_4_an_expired_request_is_not_approved_but_may_still_be_signed(told, look):
    late = told.request.expires
    with refuses("REQUEST_EXPIRED"):
        look(told.to_approve, Stage.APPROVE, now=late)
    assert look(told.to_approve, Stage.APPROVE, now=late - 1)
    assert look(told.to_sign, Stage.SIGN, now=late)


# --- 5: the transaction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.APPROVE, Stage.SIGN])
def test_step_5_a_locktime_that_has_not_come(told, redrafted, lie, look, stage):
    height = told.after(Kind.DRAFTED).height
    with refuses("LOCKTIME"):
        look(lie(redrafted(told.draft, locktime=height + 1), stage), stage)


@pytest.mark.parametrize("stage", [Stage.APPROVE, Stage.SIGN])
def test_step_5_an_amount_that_its_previous_transaction_does_not_say(told, edit, redrafted, lie, look, stage):
    spent = told.draft.identity.spent
    more = (edit(spent[0], amount=spent[0].amount + 1), *spent[1:])
    with refuses("UTXO_CONFLICT"):
        look(lie(redrafted(told.draft, spent=more), stage), stage)


def test_step_5_a_previous_transaction_that_is_missing(told, lie, look):
    with refuses("PREVTX_MISSING"):
        look(lie(previous=told.to_sign.body.previous[:1]))


def test_step_5_a_seat_that_is_not_the_coin_s(told, edit, lie, look):
    seats = tuple(edit(each, index=each.index + 50) for each in told.draft.seats)
    with refuses("FOREIGN_INPUT"):
        look(lie(edit(told.draft, seats=seats)))


@pytest.mark.parametrize("branch", [2, 7, 2**31])
def test_step_5_a_seat_on_no_branch_at_all(told, edit, lie, look, branch):
    seats = (edit(told.draft.seats[0], branch=branch), *told.draft.seats[1:])
    with refuses("PATH_NONSTANDARD"):
        look(lie(edit(told.draft, seats=seats)))


# --- 6: the outputs ---------------------------------------------------------------------------------------------------


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


def test_step_6_a_payee_who_was_not_asked_for(told, edit, lie, look):
    payments = (RequestedPayment(payee=TAX_OFFICE, amount=85_000_000),)
    request = sign(edit(told.request, payments=payments), told.cast.people[REQUESTER])
    with refuses("OUTPUTS_NOT_REQUESTED"):
        look(lie(request=request))


def test_step_6_a_payee_at_the_vault_s_own_change_address_is_read_two_ways_and_refused(told, edit, redrafted):
    # To the request it is a payment, to a device it is change: where the two readings differ nobody signs.
    own = told.cast.vault.address(1, 0)
    payees = tuple(edit(each, address=own) if each.name == SUPPLIER else each for each in told.charter.payees)
    charter = edit(told.charter, payees=payees)
    request = edit(told.request, charter=charter.digest())
    script = told.cast.vault.script_pubkey(1, 0)
    outputs = tuple(replace(each, script_pubkey=script) for each in told.draft.transaction.outputs)
    made = redrafted(told.draft, outputs=outputs)
    made = edit(made, identity=edit(made.identity, charter=charter.digest(), request=request.digest()))
    transfer = replace(told.transfer, draft=made, request=request)
    with refuses("STATE_CHANGED"):
        judge_draft(transfer, request, charter, told.to_sign.body.previous, told.until(Kind.SIGNED))


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
    forge.copy(Kind.REQUESTED, Kind.DRAFTED, Kind.DECIDED, Kind.UNEXPLAINED_SPEND)
    with refuses("FROZEN"):
        look(forge.evidence(told.to_approve.body), Stage.APPROVE)


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
    size, root = forge.seen
    assert look(lie(log_size=size, log_root=root))


def test_step_8_an_authorization_that_counts_an_approval_the_log_does_not_have(told, edit, forge, look):
    forge.copy(Kind.REQUESTED, Kind.DRAFTED, Kind.DECIDED)
    forge.entries.append(_again(told, forge, 0))
    body = edit(told.to_sign.body, approvals=told.to_sign.body.approvals[:1])
    assert body.authorization is not None
    forge.write(Kind.AUTHORIZED, body.authorization, told.transfer_id)
    forge.write(
        Kind.SIGNING_REQUESTED,
        SigningRequested(transfer=told.transfer_id, evidence=body.digest(), at=told.now),
        told.transfer_id,
    )
    with refuses("APPROVAL_MISSING"):
        look(forge.evidence(body))


def _again(told, forge, nth: int) -> LogEntry:
    entry = told.entry(Kind.APPROVED, nth)
    return seal(len(forge.entries), entry.head.entry, entry.head.author, entry.head.subjects, entry.body, entry.salt)


# --- its parts --------------------------------------------------------------------------------------------------------


def test_witnesses_are_counted_by_key_and_only_the_charter_s(told):
    signed = SignedCheckpoint.parse(told.to_sign.part.checkpoint)
    (cosignature,) = check_witnesses(signed, told.charter)
    assert cosignature.key == told.cast.witness.public_key
    assert cosignature.time <= told.now


def test_seen_logs_are_compared_entry_by_entry(told):
    entries = list(told.entries)
    size = len(entries)
    checkpoint = SignedCheckpoint.parse(told.to_sign.part.checkpoint).checkpoint
    with refuses("EVIDENCE_INVALID"):
        check_seen(entries, checkpoint, Trust(told.cast.digest))
    check_seen(entries[: checkpoint.size], checkpoint, Trust(told.cast.digest, checkpoint.size, checkpoint.root))
    assert size > checkpoint.size
