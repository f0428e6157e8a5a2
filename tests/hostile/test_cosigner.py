"""A cosigner whose device is the attacker's (THREATS B6, B7): what comes back is not what was sent, plus signatures.

Every file here carries true signatures on what was sent, so what refuses it is the check for the one difference.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody.bitcoin.curve import ORDER, public_key, sign_ecdsa, verify_ecdsa
from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import GlobalField, InputField, OutputField
from custody.bitcoin.script import p2wpkh
from custody.bitcoin.sighash import SegwitV0
from custody.bitcoin.transaction import Transaction, TxOut
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, cosigner_key, secret
from custody.testing.scenario import RememberedState, Scenario
from custody.transfer.signing import SignedPsbt, accept, combine
from custody.transfer.verify import finalize
from custody.units import HARDENED
from custody.words import show_words

EVE = secret("eve")
EVE_KEY = bytes.fromhex("02") + secret("eve's key")


@pytest.fixture(scope="module")
def story():
    scenario = Scenario.funded(40_000_000, 30_000_000, setting=Setting(approvals=1))
    yield scenario
    scenario.close()


@pytest.fixture(scope="module")
def transfer_id(story) -> bytes:
    """A transfer of two coins that waits for signatures."""
    request = story.request(("Supplier", 60_000_000))
    draft, _ = story.drafted(request)
    story.approved(draft.transfer_id, ("Aigerim",))
    story.custodian.authorize(draft.transfer_id)
    story.custodian.request_signatures(draft.transfer_id)
    assert len(draft.seats) == 2
    return draft.transfer_id


@pytest.fixture(scope="module")
def sent(story, transfer_id) -> TransferPsbt:
    return story.custodian.psbt(transfer_id)


@pytest.fixture(scope="module")
def honest(story, transfer_id) -> Psbt:
    """What the first cosigner's own device gives back."""
    return story.cast.signers[0].sign(story.custodian.psbt(transfer_id).to_psbt())


@pytest.fixture(scope="module")
def receives(story, transfer_id, sent):
    """What the coordinator makes of a returned file. Nothing is kept: the transfer is the same for every test."""
    draft = story.transfer(transfer_id).draft

    def receive(returned: Psbt) -> tuple[SignedPsbt, ...]:
        return accept(Psbt.parse(returned.serialize()), sent, draft, story.cast.vault, 0)

    return receive


def signatures_of(psbt: Psbt) -> list[tuple[int, bytes, bytes]]:
    """(input, key, signature with its hash type) of each partial signature."""
    return [
        (index, key, value)
        for index, each in enumerate(psbt.inputs)
        for key, value in each.of_type(InputField.PARTIAL_SIG)
    ]


def changed(psbt: Psbt, where: str, index: int, *fields: tuple[bytes, bytes | None]) -> Psbt:
    """The PSBT with these fields of one map set, or dropped where the value is None."""
    maps = {"global": [psbt.global_map], "input": list(psbt.inputs), "output": list(psbt.outputs)}
    keys = {key for key, _ in fields}
    kept = [pair for pair in maps[where][index].pairs if pair[0] not in keys]
    maps[where][index] = PsbtMap([*kept, *((key, value) for key, value in fields if value is not None)])
    return Psbt(0, maps["global"][0], tuple(maps["input"]), tuple(maps["output"]))


def with_signature(psbt: Psbt, index: int, key: bytes, signature: bytes | None) -> Psbt:
    return changed(psbt, "input", index, (bytes([InputField.PARTIAL_SIG]) + key, signature))


def with_transaction(psbt: Psbt, transaction: Transaction) -> Psbt:
    return changed(psbt, "global", 0, (bytes([GlobalField.UNSIGNED_TX]), transaction.stripped()))


def test_the_honest_file_is_taken(receives, honest, story):
    (signed,) = receives(honest)
    assert signed.cosigner == story.cast.signers[0].fingerprint
    assert [(each.input, each.public_key, each.signature) for each in signed.signatures] == signatures_of(honest)


# --- B6: another transaction ----------------------------------------------------------------------------------------


def test_another_transaction_is_refused(receives, honest):
    bare = honest.unsigned_transaction
    first, *rest = bare.outputs
    for other in (
        replace(bare, outputs=(replace(first, amount=first.amount - 1), *rest)),
        replace(bare, outputs=(replace(first, script_pubkey=p2wpkh(EVE[:20])), *rest)),
        replace(bare, outputs=bare.outputs[::-1]),
        replace(bare, locktime=bare.locktime - 1),
        replace(bare, version=1),
        replace(bare, inputs=(replace(bare.inputs[0], sequence=0xFFFFFFFE), bare.inputs[1])),
    ):
        with refuses("COSIGNER_ALTERED"):
            receives(with_transaction(honest, other))


def test_the_same_inputs_in_another_order_are_another_transaction(receives, honest):
    bare = honest.unsigned_transaction
    swapped = Psbt(
        0,
        with_transaction(honest, replace(bare, inputs=bare.inputs[::-1])).global_map,
        honest.inputs[::-1],
        honest.outputs,
    )
    with refuses("COSIGNER_ALTERED"):
        receives(swapped)


def test_an_input_or_an_output_more_or_less_is_refused(receives, honest):
    bare = honest.unsigned_transaction
    extra = (*bare.outputs, TxOut(1_000, p2wpkh(EVE[:20])))
    for transaction, inputs, outputs in (
        (replace(bare, outputs=bare.outputs[:1]), honest.inputs, honest.outputs[:1]),
        (replace(bare, outputs=extra), honest.inputs, (*honest.outputs, PsbtMap())),
        (replace(bare, inputs=bare.inputs[:1]), honest.inputs[:1], honest.outputs),
    ):
        fields = PsbtMap([(bytes([GlobalField.UNSIGNED_TX]), transaction.stripped())])
        with refuses("COSIGNER_ALTERED"):
            receives(Psbt(0, fields, inputs, outputs))


# --- B6: what stands beside it --------------------------------------------------------------------------------------


def test_a_changed_amount_is_refused(receives, honest, sent):
    utxo = sent.inputs[1].witness_utxo
    lying = replace(utxo, amount=utxo.amount - 1)
    with refuses("COSIGNER_ALTERED"):
        receives(changed(honest, "input", 1, (bytes([InputField.WITNESS_UTXO]), lying.serialize())))


def test_changed_scripts_and_paths_are_refused(receives, honest, sent):
    script = sent.inputs[0].witness_script
    key, path = next(iter(sent.inputs[0].key_paths))
    other_path = KeyPath(path.fingerprint, (*path.path[:-1], 777))
    change = next(index for index, each in enumerate(sent.outputs) if each.key_paths)
    change_key, change_path = next(iter(sent.outputs[change].key_paths))
    payee = 1 - change
    for where, index, field, value in (
        ("input", 0, bytes([InputField.WITNESS_SCRIPT]), script[:-1] + b"\xaf"),
        ("input", 0, bytes([InputField.REDEEM_SCRIPT]), script),
        ("input", 0, bytes([InputField.BIP32_DERIVATION]) + key, bytes(other_path)),
        ("input", 0, bytes([InputField.BIP32_DERIVATION]) + EVE_KEY, bytes(path)),
        ("output", change, bytes([OutputField.BIP32_DERIVATION]) + change_key, bytes(other_path)),
        ("output", change, bytes([OutputField.WITNESS_SCRIPT]), script),
        ("output", payee, bytes([OutputField.BIP32_DERIVATION]) + change_key, bytes(change_path)),
        ("output", payee, bytes([OutputField.WITNESS_SCRIPT]), script),
        ("output", payee, bytes([OutputField.REDEEM_SCRIPT]), script),
    ):
        with refuses("COSIGNER_ALTERED"):
            receives(changed(honest, where, index, (field, value)))


def test_changed_account_keys_are_refused(receives, honest, sent):
    key, path = sent.account_keys[0]
    field = bytes([GlobalField.XPUB]) + key
    other = KeyPath(path.fingerprint, (*path.path[:-2], HARDENED + 5, path.path[-1]))
    for value in (bytes(other), None):
        with refuses("COSIGNER_ALTERED"):
            receives(changed(honest, "global", 0, (field, value)))


def test_another_previous_transaction_is_refused(receives, honest, sent):
    raw = Transaction.parse(sent.inputs[0].previous_transaction)
    other = replace(raw, outputs=(*raw.outputs[:-1], replace(raw.outputs[-1], amount=1)))
    with refuses("PREVTX_TXID"):
        receives(changed(honest, "input", 0, (bytes([InputField.NON_WITNESS_UTXO]), other.serialize())))


@pytest.mark.parametrize("where", ["global", "input", "output"])
@pytest.mark.parametrize(
    "field", [b"\xfc\x04evil\x00", b"\x70", b"\x71" + bytes(32)], ids=["proprietary", "type", "key"]
)
def test_a_field_of_the_device_s_own_is_refused(receives, honest, where, field):
    with refuses("FIELD_FORBIDDEN"):
        receives(changed(honest, where, 0, (field, b"what a seed would fit in" * 2)))


@pytest.mark.parametrize(("where", "at"), [("global", 0), ("input", 0), ("input", 1), ("output", 1)])
def test_words_of_a_seed_in_such_a_field_are_said_to_be_that_wherever_it_stands(receives, honest, where, at):
    with refuses("SECRET_MATERIAL"):
        receives(changed(honest, where, at, (b"\xfc\x04evil\x00", b"zoo " * 11 + b"wrong")))


def test_what_a_device_leaves_out_is_not_missed(receives, honest):
    # Many devices give back signatures only: nothing but signatures is taken anyway.
    bare = honest
    for index in range(2):
        pairs = [(key, None) for key, _ in bare.inputs[index].pairs if key[0] != InputField.PARTIAL_SIG]
        bare = changed(bare, "input", index, *pairs)
        bare = changed(bare, "output", index, *[(key, None) for key, _ in bare.outputs[index].pairs])
    bare = changed(bare, "global", 0, *[(k, None) for k, _ in bare.global_map.pairs if k[0] == GlobalField.XPUB])
    assert receives(bare) == receives(honest)


# --- B6: signatures -------------------------------------------------------------------------------------------------


def test_a_file_without_a_signature_is_refused(receives, sent):
    with refuses("NOTHING_SIGNED"):
        receives(sent.to_psbt())


def test_a_signature_that_is_missing_on_one_input_is_refused(receives, honest):
    index, key, _ = signatures_of(honest)[1]
    with refuses("COSIGNER_ALTERED") as caught:
        receives(with_signature(honest, index, key, None))
    assert "missing" in str(caught.error)


def test_a_signature_of_another_input_is_refused(receives, honest):
    (first, first_key, first_signature), (second, second_key, second_signature) = signatures_of(honest)
    swapped = with_signature(honest, first, first_key, second_signature)
    with refuses("SIG_INVALID"):
        receives(with_signature(swapped, second, second_key, first_signature))
    # Under the other input's key as well: a true signature, key and all, that stands on the wrong input.
    moved = with_signature(with_signature(honest, first, first_key, None), first, second_key, second_signature)
    with refuses("SIG_INVALID"):
        receives(moved)


def test_a_signature_by_a_foreign_key_is_refused(receives, honest, story, transfer_id):
    draft = story.transfer(transfer_id).draft
    seat, spent = draft.seats[0], draft.identity.spent[0]
    script = story.cast.vault.witness_script(seat.branch, seat.index)
    digest = SegwitV0(draft.transaction).digest(0, script, spent.amount)
    signature = sign_ecdsa(EVE, digest) + b"\x01"
    assert verify_ecdsa(public_key(EVE), digest, signature[:-1])
    with refuses("SIG_INVALID"):
        receives(with_signature(honest, 0, public_key(EVE), signature))


def test_a_signature_on_another_amount_is_refused(receives, honest, story, transfer_id):
    # What a device signs that was told another amount: the reason why amounts are proved (A1).
    draft = story.transfer(transfer_id).draft
    first = story.custodian.psbt(transfer_id).inputs[0]
    utxo = replace(first.witness_utxo, amount=first.witness_utxo.amount - 1)
    seat = draft.seats[0]
    script = story.cast.vault.witness_script(seat.branch, seat.index)
    right = SegwitV0(draft.transaction).digest(0, script, first.witness_utxo.amount)
    wrong = SegwitV0(draft.transaction).digest(0, script, utxo.amount)
    index, key, good = signatures_of(honest)[0]
    assert verify_ecdsa(key, right, good[:-1])
    assert not verify_ecdsa(key, wrong, good[:-1])
    forged = with_signature(honest, index, key, sign_ecdsa(EVE, wrong) + b"\x01")
    with refuses("SIG_INVALID"):
        receives(forged)


def test_a_finalised_input_is_refused(receives, honest, sent):
    script = sent.inputs[0].witness_script
    _, _, signature = signatures_of(honest)[0]
    stack = b"\x03\x00" + bytes([len(signature)]) + signature + bytes([len(script)]) + script
    final = changed(honest, "input", 0, (bytes([InputField.FINAL_SCRIPTWITNESS]), stack))
    with refuses("COSIGNER_ALTERED") as caught:
        receives(final)
    assert "finalized" in str(caught.error)
    # A device that finalises also drops what it needed for that.
    with refuses("COSIGNER_ALTERED"):
        receives(with_signature(final, 0, signatures_of(honest)[0][1], None))
    nested = changed(honest, "input", 0, (bytes([InputField.FINAL_SCRIPTSIG]), b"\x22" + bytes(34)))
    with refuses("COSIGNER_ALTERED"):
        receives(nested)


# --- B7: signatures that are almost right ---------------------------------------------------------------------------


def numbers(signature: bytes) -> tuple[int, int]:
    end = 4 + signature[3]
    return int.from_bytes(signature[4:end], "big"), int.from_bytes(signature[end + 2 :], "big")


def minimal(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def der(r: bytes, s: bytes) -> bytes:
    body = b"\x02" + bytes([len(r)]) + r + b"\x02" + bytes([len(s)]) + s
    return b"\x30" + bytes([len(body)]) + body


SPELLINGS = {
    "high S": lambda r, s: der(minimal(r), minimal(ORDER - s)),
    "r behind a zero": lambda r, s: der(b"\x00" + r.to_bytes(32, "big"), minimal(s)),
    "s behind a zero": lambda r, s: der(minimal(r), b"\x00" + minimal(s)),
    "length in two bytes": lambda r, s: b"\x30\x81" + der(minimal(r), minimal(s))[1:],
    "a byte behind": lambda r, s: der(minimal(r), minimal(s)) + b"\x00",
    "a byte missing": lambda r, s: der(minimal(r), minimal(s))[:-1],
    "r negative": lambda r, s: der((r - 2**256).to_bytes(33, "big", signed=True), minimal(s)),
    "r zero": lambda _, s: der(b"\x00", minimal(s)),
    "s zero": lambda r, _: der(minimal(r), b"\x00"),
    "s is n": lambda r, _: der(minimal(r), minimal(ORDER)),
    "r and s swapped": lambda r, s: der(minimal(s), minimal(r)),
    "without DER": lambda r, s: r.to_bytes(32, "big") + s.to_bytes(32, "big"),
    "a set": lambda r, s: b"\x31" + der(minimal(r), minimal(s))[1:],
    "r alone": lambda r, _: b"\x30\x22\x02\x20" + r.to_bytes(32, "big"),
    "nothing": lambda *_: b"",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_true_signature_in_another_spelling_is_refused(receives, honest, story, transfer_id, spelling):
    index, key, good = signatures_of(honest)[0]
    r, s = numbers(good[:-1])
    assert der(minimal(r), minimal(s)) + b"\x01" == good
    other = SPELLINGS[spelling](r, s) + b"\x01"
    assert other != good
    with refuses("SIG_INVALID"):
        receives(with_signature(honest, index, key, other))
    # The same when it gets past the door: what finalises looks at every signature again.
    draft, vault = story.transfer(transfer_id).draft, story.cast.vault
    signed = [*receives(honest), *receives(story.cast.signers[1].sign(story.custodian.psbt(transfer_id).to_psbt()))]
    combined = combine(draft, vault, signed, 0)
    assert finalize(combined, draft, vault).witness
    fields = {name: getattr(combined, name) for name in type(combined).model_fields}
    spoilt = tuple(
        type(each)(input=each.input, public_key=each.public_key, signature=other) if each.signature == good else each
        for each in combined.signatures
    )
    with refuses("SIG_INVALID"):
        finalize(type(combined)(**fields | {"signatures": spoilt}), draft, vault)


# --- the station's own device ---------------------------------------------------------------------------------------


class HostileSigner:
    """A device that answers what it likes."""

    def __init__(self, inner, answer) -> None:
        self.fingerprint = inner.fingerprint
        self._answer = answer

    def sign(self, psbt: Psbt) -> Psbt:
        return self._answer(psbt)


def test_what_a_hostile_device_returns_does_not_leave_the_station(story, transfer_id, honest):
    first, second = story.cast.signers[:2]
    index, key, signature = signatures_of(honest)[0]
    evidence = story.custodian.evidence(transfer_id)
    station = Station(RememberedState(), story.chain)
    station.trust(story.cast.envelope, show_words(story.cast.digest))
    for answer, code in (
        (lambda psbt: psbt, "NOTHING_SIGNED"),
        (second.sign, "COSIGNER_ALTERED"),
        (lambda psbt: second.sign(first.sign(psbt)), "COSIGNER_ALTERED"),
        (lambda psbt: changed(first.sign(psbt), "global", 0, (b"\xfc\x04evil\x00", b"seed")), "FIELD_FORBIDDEN"),
        (lambda psbt: with_signature(first.sign(psbt), index, key, signature[:-1] + b"\x02"), "SIGHASH_FORBIDDEN"),
        (lambda psbt: with_signature(first.sign(psbt), index, key, None), "COSIGNER_ALTERED"),
    ):
        with refuses(code):
            station.sign(evidence, HostileSigner(first, answer))
    # The station stayed as it was: the honest device is still served, and what leaves is of the station's own making.
    answer = station.sign(evidence, first)
    assert answer.psbt.to_psbt().serialize() == Psbt.parse(answer.psbt.to_psbt().serialize()).serialize()
    assert [each.cosigner for each in answer.signed] == [first.fingerprint]


def test_a_device_of_somebody_else_is_not_asked(story, transfer_id):
    station = Station(RememberedState(), story.chain)
    station.trust(story.cast.envelope, show_words(story.cast.digest))
    asked: list[Psbt] = []
    stranger = HostileSigner(cosigner_key("eve"), lambda psbt: (asked.append(psbt), psbt)[1])
    with refuses("NOT_A_MEMBER"):
        station.sign(story.custodian.evidence(transfer_id), stranger)
    assert not asked


# --- one bad cosigner stops nobody else -----------------------------------------------------------------------------


def test_a_refused_file_leaves_no_trace_and_the_others_go_on():
    story = Scenario.funded()
    transfer_id = story.authorized()
    before = story.history().size
    good = story.signature(transfer_id, 0)
    index, key, signature = signatures_of(good)[0]
    spoilt = with_signature(good, index, key, signature[:10] + bytes([signature[10] ^ 1]) + signature[11:])
    with refuses("SIG_INVALID"):
        story.custodian.receive(transfer_id, spoilt)
    # The other cosigner's true signature in the same file is not taken either: the file is refused as a whole.
    both = story.cast.signers[1].sign(spoilt)
    with refuses("SIG_INVALID"):
        story.custodian.receive(transfer_id, both)
    assert story.history().size == before
    story.custodian.receive(transfer_id, story.signature(transfer_id, 1))
    story.custodian.receive(transfer_id, story.signature(transfer_id, 2))
    assert story.custodian.combine(transfer_id).cosigners
    story.close()


def test_the_same_cosigner_twice_counts_once():
    story = Scenario.funded()
    transfer_id = story.authorized()
    for _ in range(2):
        story.custodian.receive(transfer_id, story.signature(transfer_id, 0))
    with refuses("SIGNATURES_MISSING"):
        story.custodian.combine(transfer_id)
    story.close()
