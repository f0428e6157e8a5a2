"""Two judges that share no code say the same about the same spends."""

import threading
from dataclasses import replace

import pytest

from custody.backends.bitcointx import MAX_INPUTS, BitcointxJudge
from custody.backends.kernel import KernelJudge
from custody.bitcoin import curve
from custody.bitcoin.script import multisig_script, p2sh, p2tr, p2wsh, push
from custody.bitcoin.sighash import ALL, SegwitV0, Taproot
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut

JUDGES = (KernelJudge(), BitcointxJudge())
SECRETS = tuple(bytes([number]) * 32 for number in (1, 2, 3))
SCRIPT = multisig_script(2, sorted(curve.public_key(secret) for secret in SECRETS))
KEY_OF = {curve.public_key(secret): secret for secret in SECRETS}
AMOUNT = 1_000_000


def unsigned(inputs, sequence=0xFFFFFFFD):
    spending = tuple(TxIn(OutPoint(bytes([number + 1]) * 32, number), b"", sequence) for number in range(inputs))
    return Transaction(2, spending, (TxOut(inputs * AMOUNT - 1000, p2wsh(SCRIPT)),), 0)


def signed(transaction, signers=2, hash_type=ALL):
    hasher = SegwitV0(transaction)
    stacks = []
    for index in range(len(transaction.inputs)):
        digest = hasher.digest(index, SCRIPT, AMOUNT, hash_type)
        keys = sorted(KEY_OF)[:signers]
        signatures = [curve.sign_ecdsa(KEY_OF[key], digest) + bytes([hash_type]) for key in keys]
        stacks.append((b"", *signatures, SCRIPT))
    return replace(transaction, witness=tuple(stacks))


def spent_by(transaction, script=None):
    return [TxOut(AMOUNT, script or p2wsh(SCRIPT)) for _ in transaction.inputs]


def with_item(transaction, index, position, item):
    stacks = [list(stack) for stack in transaction.witness]
    stacks[index][position] = item
    return replace(transaction, witness=tuple(tuple(stack) for stack in stacks))


@pytest.fixture(params=JUDGES, ids=lambda judge: judge.name)
def judge(request):
    return request.param


def test_a_good_spend_is_accepted(judge):
    transaction = signed(unsigned(3))
    assert judge.applies_to(3, spent_by(transaction))
    assert judge.judge(transaction.serialize(), spent_by(transaction)) is None


def test_a_good_nested_spend_is_accepted(judge):
    transaction = signed(unsigned(2))
    program = p2wsh(SCRIPT)
    inputs = tuple(replace(each, script_sig=push(program)) for each in transaction.inputs)
    nested = replace(transaction, inputs=inputs)
    assert judge.judge(nested.serialize(), spent_by(nested, p2sh(program))) is None
    assert judge.judge(transaction.serialize(), spent_by(transaction, p2sh(program))) is not None


def test_the_same_judge_accepts_in_another_thread(judge):
    transaction = signed(unsigned(2))
    said = []
    thread = threading.Thread(target=lambda: said.append(judge.judge(transaction.serialize(), spent_by(transaction))))
    thread.start()
    thread.join()
    assert said == [None]


def corruptions():
    good = signed(unsigned(2))
    first, second = good.witness[1][1:3]
    flipped = bytearray(first)
    flipped[20] ^= 1
    output = replace(good.outputs[0], amount=good.outputs[0].amount - 1)
    other = multisig_script(1, sorted(KEY_OF))
    yield "a flipped bit in a signature", with_item(good, 1, 1, bytes(flipped))
    yield "the same signature twice", with_item(good, 1, 2, first)
    yield "signatures in the wrong order", with_item(with_item(good, 1, 1, second), 1, 2, first)
    yield "another hash type byte", with_item(good, 1, 1, first[:-1] + b"\x83")
    yield "another witness script", with_item(good, 1, 3, other)
    yield "a first element that is not empty", with_item(good, 1, 0, b"\x01")
    yield "no witness at all", replace(good, witness=())
    yield "one signature", signed(unsigned(2), signers=1)
    yield "another output", replace(good, outputs=(output,))
    yield "another locktime", replace(good, locktime=1)
    yield "another sequence", replace(good, inputs=(replace(good.inputs[0], sequence=1), good.inputs[1]))


@pytest.mark.parametrize(
    ("what", "transaction"), list(corruptions()), ids=lambda value: value if type(value) is str else ""
)
def test_a_corrupted_spend_is_refused(judge, what, transaction):
    assert judge.judge(transaction.serialize(), spent_by(transaction)) is not None, what


def test_another_amount_than_was_signed_is_refused(judge):
    transaction = signed(unsigned(1))
    assert judge.judge(transaction.serialize(), [TxOut(AMOUNT + 1, p2wsh(SCRIPT))]) is not None


def test_another_number_of_spent_outputs_is_refused(judge):
    transaction = signed(unsigned(2))
    for spent in ([], spent_by(transaction)[:1], spent_by(transaction) * 2):
        assert judge.judge(transaction.serialize(), spent) is not None


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", signed(unsigned(1)).serialize()[:-1], signed(unsigned(1)).serialize() + b"0"]
)
def test_bytes_that_are_no_transaction_are_refused(judge, raw):
    assert judge.judge(raw, [TxOut(AMOUNT, p2wsh(SCRIPT))]) is not None


def test_the_kernel_refuses_an_amount_that_c_would_cut():
    transaction = signed(unsigned(1))
    assert KernelJudge().judge(transaction.serialize(), [TxOut(AMOUNT + 2**64, p2wsh(SCRIPT))]) is not None


def taproot_spend(signature=None):
    secret = SECRETS[0]
    script = p2tr(curve.public_key(secret)[1:])
    transaction = unsigned(1)
    spent = [TxOut(AMOUNT, script)]
    signature = signature or curve.sign_schnorr(secret, Taproot(transaction, spent).digest(0))
    return replace(transaction, witness=((signature,),)), spent


def test_the_kernel_judges_taproot():
    transaction, spent = taproot_spend()
    assert KernelJudge().judge(transaction.serialize(), spent) is None
    transaction, spent = taproot_spend(bytes(64))
    assert KernelJudge().judge(transaction.serialize(), spent) is not None


def test_bitcointx_does_not_speak_about_taproot_and_refuses_when_asked():
    transaction, spent = taproot_spend()
    assert not BitcointxJudge().applies_to(1, spent)
    assert BitcointxJudge().judge(transaction.serialize(), spent) is not None


def test_bitcointx_speaks_about_a_hundred_inputs_and_no_more():
    spent = [TxOut(AMOUNT, p2wsh(SCRIPT))]
    assert BitcointxJudge().applies_to(MAX_INPUTS, spent * MAX_INPUTS)
    assert not BitcointxJudge().applies_to(MAX_INPUTS + 1, spent * (MAX_INPUTS + 1))
