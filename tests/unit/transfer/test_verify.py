"""From combined signatures to a finished transaction that is the approved one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.transaction import Transaction, TxOut
from custody.history import kinds
from custody.testing.asserts import refuses
from custody.transfer import verify as verify_module
from custody.transfer.signing import CombinedPsbt, InputSignature
from custody.transfer.verify import finalize, refuse_other_transaction, verify


@pytest.fixture(scope="module")
def combined(told) -> CombinedPsbt:
    found = told.after(kinds.COMBINED).transfer(told.transfer_id).combined
    assert found is not None
    return found


def finished(told, combined: CombinedPsbt) -> Transaction:
    return finalize(combined, told.draft, told.cast.vault)


def test_the_witness_has_k_signatures_in_the_order_of_the_script_s_keys(told, combined):
    vault = told.cast.vault
    made = finished(told, combined)
    assert made.stripped() == told.draft.identity.transactions[0]
    for index, (stack, seat) in enumerate(zip(made.witness, told.draft.seats, strict=True)):
        empty, *signatures, script = stack
        assert empty == b""
        assert script == vault.witness_script(seat.branch, seat.index)
        mine = {each.public_key: each.signature for each in combined.signatures if each.input == index}
        keys = sorted(vault.public_keys(seat.branch, seat.index))
        assert signatures == [mine[key] for key in keys if key in mine]
        assert len(signatures) == vault.threshold


def test_the_finished_transaction_is_the_one_that_went_out(told, combined):
    assert finished(told, combined).serialize() == told.after_verified.raw
    assert told.after_verified.txid == told.draft.transaction.txid


@pytest.mark.parametrize("keep", [0, 1])
def test_fewer_signatures_on_an_input_are_refused(told, combined, edit, keep):
    kept = [each for each in combined.signatures if each.input != 1]
    kept += [each for each in combined.signatures if each.input == 1][:keep]
    with refuses("SIGNATURES_MISSING") as caught:
        finished(told, edit(combined, signatures=tuple(kept)))
    assert caught.error.given == keep


def test_more_signatures_than_needed_are_refused(told, combined, edit):
    third = TransferPsbt.from_psbt(told.answers[2], Direction.FROM_SIGNER)
    more = tuple(
        InputSignature(input=index, public_key=key, signature=signature)
        for index, claims in enumerate(third.inputs)
        for key, signature in claims.signatures
    )
    with refuses("SIGNATURES_MISSING"):
        finished(told, edit(combined, signatures=(*combined.signatures, *more)))


def test_a_signature_for_an_input_that_is_not_there_is_refused(told, combined, edit):
    far = edit(combined.signatures[0], input=len(told.draft.transaction.inputs))
    with refuses("SIG_INVALID"):
        finished(told, edit(combined, signatures=(*combined.signatures, far)))


@pytest.mark.parametrize("field", ["public_key", "signature"])
def test_a_signature_that_was_swapped_after_it_was_received_is_refused(told, combined, edit, field):
    first, last = combined.signatures[0], combined.signatures[-1]
    swapped = edit(first, **{field: getattr(last, field)})
    with refuses("SIG_INVALID"):
        finished(told, edit(combined, signatures=(swapped, *combined.signatures[1:])))


# --- the approved one -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda t: replace(t, locktime=t.locktime - 1),
        lambda t: replace(t, outputs=(replace(t.outputs[0], amount=t.outputs[0].amount - 1), *t.outputs[1:])),
        lambda t: replace(t, outputs=(*t.outputs, TxOut(1, b"\x51"))),
        lambda t: replace(t, inputs=t.inputs[1:], witness=t.witness[1:]),
        lambda t: replace(t, version=1),
    ],
    ids=["locktime", "amount", "one output more", "one input less", "version"],
)
def test_another_transaction_is_not_the_approved_one(told, change):
    raw = told.after_verified.raw
    refuse_other_transaction(raw, told.draft)
    with refuses("STATE_CHANGED"):
        refuse_other_transaction(change(Transaction.parse(raw)).serialize(), told.draft)


def test_another_witness_is_the_same_transaction(told):
    # What the witness holds is for the signature checks and the judges to say.
    parsed = Transaction.parse(told.after_verified.raw)
    refuse_other_transaction(replace(parsed, witness=()).serialize(), told.draft)


# --- judges -----------------------------------------------------------------------------------------------------------


@dataclass
class Opinionated:
    """A judge that says what it is told to, and remembers what it was asked."""

    name: str
    reason: str | None = None
    is_competent: bool = True
    asked: int = 0

    def applies_to(self, inputs: int, spent: Sequence[TxOut]) -> bool:
        assert inputs == len(spent)
        return self.is_competent

    def judge(self, raw: bytes, spent: Sequence[TxOut]) -> str | None:
        self.asked += 1
        assert len(Transaction.parse(raw).inputs) == len(spent)
        return self.reason


def verified(told, combined, *judges: Opinionated):
    return verify(combined, told.draft, told.cast.vault, judges, told.now)


def test_what_comes_out_is_compared_with_the_draft_whatever_made_it(told, combined, monkeypatch):
    made = finished(told, combined)
    fewer = replace(made.outputs[0], amount=made.outputs[0].amount - 1)
    other = replace(made, outputs=(fewer, *made.outputs[1:]))
    monkeypatch.setattr(verify_module, "finalize", lambda *_: other)
    with refuses("STATE_CHANGED"):
        verify(combined, told.draft, told.cast.vault, (), told.now)


def test_who_agreed_is_written_down(told, combined):
    judges = Opinionated("one"), Opinionated("two", is_competent=False), Opinionated("three")
    assert verified(told, combined, *judges).judges == ("one", "three")
    assert [each.asked for each in judges] == [1, 0, 1]


@pytest.mark.parametrize("position", range(3))
def test_one_judge_that_refuses_is_enough(told, combined, position):
    judges = [Opinionated("yes"), Opinionated("yes too")]
    judges.insert(position, Opinionated("no", reason="bad witness"))
    with refuses("JUDGE_REFUSED") as caught:
        verified(told, combined, *judges)
    assert (caught.error.judge, caught.error.reason) == ("no", "bad witness")


def test_a_judge_is_not_asked_about_what_our_own_check_refuses(told, combined, edit):
    judge = Opinionated("late")
    with refuses("SIGNATURES_MISSING"):
        verified(told, edit(combined, signatures=combined.signatures[1:]), judge)
    assert judge.asked == 0
