"""What goes to a signer, what is taken from what comes back, and how signatures meet."""

from dataclasses import replace

import pytest

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.sighash import ALL
from custody.bitcoin.transaction import PreviousTransaction, TxOut
from custody.testing.asserts import refuses
from custody.transfer.signing import (
    MAX_PREVIOUS_TOTAL,
    SignedPsbt,
    accept,
    check_signature,
    combine,
    signed_tally,
    signing_psbt,
    with_signatures,
)
from custody.vault.descriptor import Branch

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture(scope="module")
def sent(told) -> TransferPsbt:
    previous = {PreviousTransaction(raw).txid: raw for raw in told.previous}
    return signing_psbt(told.draft, told.cast.vault, previous)


def taken(told, sent: TransferPsbt, returned: Psbt) -> tuple[SignedPsbt, ...]:
    return accept(returned, sent, told.draft, told.cast.vault, told.now)


@pytest.fixture(scope="module")
def answers(told, sent) -> tuple[SignedPsbt, ...]:
    """What each of the three cosigners contributed."""
    return tuple(each for returned in told.answers for each in taken(told, sent, returned))


@pytest.fixture(scope="module")
def returned(told) -> TransferPsbt:
    """What the first cosigner's station let out."""
    return TransferPsbt.from_psbt(told.answers[0], Direction.FROM_SIGNER)


# --- going out --------------------------------------------------------------------------------------------------------


def test_the_psbt_goes_out_with_all_a_device_needs_to_check_it(told, sent):
    vault = told.cast.vault
    assert sent.transaction.stripped() == told.draft.identity.transactions[0]
    for claims, spent, seat in zip(sent.inputs, told.draft.identity.spent, told.draft.seats, strict=True):
        assert (
            PreviousTransaction(claims.previous_transaction).output(spent.vout) == claims.witness_utxo == spent.output
        )
        assert claims.witness_script == vault.witness_script(seat.branch, seat.index)
        assert claims.key_paths == vault.key_paths(seat.branch, seat.index)
        assert claims.sighash_type == ALL
        assert claims.signatures == ()
    assert len(sent.account_keys) == len(vault.cosigners)


def test_only_the_vault_s_own_change_is_explained_to_a_device(told, sent):
    own = told.cast.vault.script_pubkey(Branch.CHANGE, told.draft.change)
    for output, claims in zip(sent.transaction.outputs, sent.outputs, strict=True):
        assert bool(claims.key_paths) is (output.script_pubkey == own)


def test_the_psbt_is_the_same_bytes_each_time(told, sent):
    previous = {PreviousTransaction(raw).txid: raw for raw in reversed(told.previous)}
    assert signing_psbt(told.draft, told.cast.vault, previous).to_psbt().serialize() == sent.to_psbt().serialize()


def test_a_file_that_nobody_would_take_back_is_not_made(told):
    inputs = told.draft.transaction.inputs
    fits = MAX_PREVIOUS_TOTAL // len(inputs)
    assert signing_psbt(told.draft, told.cast.vault, {each.outpoint.txid: bytes(fits) for each in inputs})
    with refuses("SIGNING_FILE") as caught:
        signing_psbt(told.draft, told.cast.vault, {each.outpoint.txid: bytes(fits + 1) for each in inputs})
    assert caught.error.size > MAX_PREVIOUS_TOTAL


def test_an_amount_without_proof_is_not_sent_out(told):
    with refuses("PREVTX_MISSING"):
        signing_psbt(told.draft, told.cast.vault, {})


# --- coming back ------------------------------------------------------------------------------------------------------


def test_each_cosigner_signed_every_input(told, answers):
    assert [each.cosigner for each in answers] == [signer.fingerprint for signer in told.cast.signers]
    for each in answers:
        assert [signature.input for signature in each.signatures] == list(range(len(told.draft.transaction.inputs)))


def test_signatures_of_several_come_apart_by_cosigner(told, sent, answers):
    together = with_signatures((s for each in answers[:2] for s in each.signatures), sent)
    found = taken(told, sent, together.to_psbt())
    assert {each.cosigner: each.signatures for each in found} == {
        each.cosigner: each.signatures for each in answers[:2]
    }


def test_a_device_may_leave_out_what_it_was_given(told, sent, returned):
    bare = tuple(
        replace(
            each,
            previous_transaction=b"",
            witness_utxo=None,
            witness_script=b"",
            redeem_script=b"",
            key_paths=(),
            sighash_type=None,
        )
        for each in returned.inputs
    )
    outputs = tuple(replace(each, witness_script=b"", key_paths=()) for each in returned.outputs)
    short = replace(returned, inputs=bare, outputs=outputs, account_keys=())
    assert taken(told, sent, short.to_psbt()) == taken(told, sent, told.answers[0])


def test_nothing_signed_is_said_so(told, sent):
    with refuses("NOTHING_SIGNED"):
        taken(told, sent, sent.to_psbt())


def altered(returned: TransferPsbt, **changes: object) -> TransferPsbt:
    return replace(returned, inputs=(replace(returned.inputs[0], **changes), *returned.inputs[1:]))


def changed_transaction(returned: TransferPsbt, change) -> TransferPsbt:
    return replace(returned, transaction=change(returned.transaction))


ALTERATIONS = {
    "a payee's amount": lambda r: changed_transaction(
        r, lambda t: replace(t, outputs=(replace(t.outputs[0], amount=t.outputs[0].amount - 1), *t.outputs[1:]))
    ),
    "the order of the outputs": lambda r: changed_transaction(r, lambda t: replace(t, outputs=t.outputs[::-1])),
    "the locktime": lambda r: changed_transaction(r, lambda t: replace(t, locktime=t.locktime - 1)),
    "a sequence": lambda r: changed_transaction(
        r, lambda t: replace(t, inputs=(replace(t.inputs[0], sequence=0xFFFFFFFE), *t.inputs[1:]))
    ),
    "the amount spent": lambda r: altered(r, witness_utxo=replace(r.inputs[0].witness_utxo, amount=1)),
    "the script spent": lambda r: altered(r, witness_utxo=TxOut(r.inputs[0].witness_utxo.amount, b"\x51")),
    "the witness script": lambda r: altered(r, witness_script=r.inputs[1].witness_script),
    "a redeem script": lambda r: altered(r, redeem_script=b"\x51"),
    "the previous transaction": lambda r: altered(
        r, previous_transaction=_other_previous(r.inputs[0].previous_transaction)
    ),
    "the key paths": lambda r: altered(r, key_paths=r.inputs[1].key_paths),
    "a lost key path": lambda r: altered(r, key_paths=r.inputs[0].key_paths[:2]),
    "the account keys": lambda r: replace(r, account_keys=r.account_keys[:1]),
    "an output's claims": lambda r: replace(
        r, outputs=tuple(replace(each, key_paths=r.inputs[0].key_paths) for each in r.outputs)
    ),
}


def _other_previous(raw: bytes) -> bytes:
    return raw[:-4] + b"\x01\x00\x00\x00"


@pytest.mark.parametrize("what", ALTERATIONS)
def test_anything_but_signatures_that_differs_is_refused(told, sent, returned, what):
    with refuses("COSIGNER_ALTERED"):
        taken(told, sent, ALTERATIONS[what](returned).to_psbt())


def test_a_finalized_psbt_is_refused(told, sent, returned):
    done = altered(returned, signatures=(), final_witness=(b"", b"\x01" * 72, b"\x51"))
    with refuses("COSIGNER_ALTERED"):
        taken(told, sent, done.to_psbt())


def test_a_signature_missing_on_one_input_is_refused(told, sent, returned):
    with refuses("COSIGNER_ALTERED") as caught:
        taken(told, sent, altered(returned, signatures=()).to_psbt())
    assert "on input 0" in str(caught.error)


def signature_at(returned: TransferPsbt, index: int = 0) -> tuple[bytes, bytes]:
    return returned.inputs[index].signatures[0]


def test_the_signature_of_another_input_is_refused(told, sent, returned):
    key, _ = signature_at(returned)
    with refuses("SIG_INVALID"):
        taken(told, sent, altered(returned, signatures=((key, signature_at(returned, 1)[1]),)).to_psbt())


def test_the_signature_of_another_cosigner_s_key_is_refused(told, sent, returned):
    key, signature = signature_at(returned)
    other = next(each for each, _ in sent.inputs[0].key_paths if each != key)
    with refuses("SIG_INVALID"):
        taken(told, sent, altered(returned, signatures=((other, signature),)).to_psbt())


def test_the_signature_of_a_key_that_is_no_cosigner_s_there_is_refused(told, sent, returned):
    foreign = signature_at(returned, 1)[0]
    with refuses("SIG_INVALID") as caught:
        taken(told, sent, altered(returned, signatures=((foreign, signature_at(returned)[1]),)).to_psbt())
    assert "no cosigner's" in str(caught.error)


# --- one signature ----------------------------------------------------------------------------------------------------


def high(signature: bytes) -> bytes:
    """The same signature with the other S."""
    size = signature[3]
    r, s = signature[4 : 4 + size], int.from_bytes(signature[6 + size : -1], "big")
    other = (ORDER - s).to_bytes(33, "big")
    body = b"\x02" + bytes([len(r)]) + r + b"\x02" + bytes([len(other)]) + other
    return b"\x30" + bytes([len(body)]) + body + signature[-1:]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s[:-1] + b"\x02",
        lambda s: s[:-1] + b"\x81",
        lambda s: s[:-1],
        lambda s: s[:0],
        lambda s: s[-1:],
        lambda s: s[:-2] + s[-1:],
        lambda s: s[:4] + bytes([s[4] ^ 1]) + s[5:],
        lambda s: b"\x30" + bytes([s[1] + 1]) + s[2:-1] + b"\x00\x01",
        high,
    ],
    ids=["single", "anyonecanpay", "no hash type", "empty", "hash type alone", "cut", "another r", "padded", "high S"],
)
def test_a_signature_is_strict_low_all_and_true(told, answers, spoil):
    from_first = answers[0].signatures[0]
    seat = told.draft.seats[0]
    lock = told.cast.vault.lock(seat.branch, seat.index)
    digest = lock.digest(told.draft.sighashes(), 0)
    check_signature(lock, from_first.public_key, digest, from_first.signature, 0)
    with refuses("SIG_INVALID"):
        check_signature(lock, from_first.public_key, digest, spoil(from_first.signature), 0)


# --- together ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (2, 0), (0, 1, 2), (2, 1, 0)])
def test_as_many_as_the_vault_needs_are_taken_the_first_in_its_order(told, answers, order):
    vault = told.cast.vault
    combined = combine(told.draft, vault, [answers[each] for each in order], told.now)
    wanted = sorted(order)[:2]
    assert combined.cosigners == tuple(sorted(answers[each].cosigner for each in wanted))
    assert len(combined.signatures) == 2 * len(told.draft.transaction.inputs)
    places = [(each.input, each.public_key) for each in combined.signatures]
    assert places == sorted(set(places))


def test_one_cosigner_twice_is_one(told, answers):
    with refuses("SIGNATURES_MISSING") as caught:
        combine(told.draft, told.cast.vault, [answers[0], answers[0]], told.now)
    assert (caught.error.given, caught.error.threshold) == (1, 2)
    assert answers[1].cosigner.hex() in caught.error.missing


def test_the_first_answer_of_a_cosigner_counts(told, answers, edit):
    second = edit(answers[0], signatures=answers[1].signatures)
    combined = combine(told.draft, told.cast.vault, [answers[0], second, answers[1]], told.now)
    assert combined == combine(told.draft, told.cast.vault, answers[:2], told.now)


def test_strangers_do_not_count(told, answers, edit):
    stranger = edit(answers[1], cosigner=b"\x00\x01\x02\x03")
    with refuses("SIGNATURES_MISSING"):
        combine(told.draft, told.cast.vault, [answers[0], stranger], told.now)
    assert not signed_tally(told.cast.vault, [answers[0], stranger]).is_met


def test_signatures_stand_in_the_psbt_by_input_and_key(sent, answers):
    scattered = [*answers[1].signatures[::-1], *answers[0].signatures]
    filled = with_signatures(scattered, sent)
    for index, claims in enumerate(filled.inputs):
        keys = [key for key, _ in claims.signatures]
        assert keys == sorted(keys)
        assert len(keys) == 2
        wanted = {each.public_key: each.signature for each in scattered if each.input == index}
        assert dict(claims.signatures) == wanted
