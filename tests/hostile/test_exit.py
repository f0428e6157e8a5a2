"""What comes back from any software, as an attacker would have made it (THREATS A8, B3, B4, B6, C9, F7).

Every file begins as what honest software gives back, finished or not, and differs from that in one thing, which is what
refuses it. What may leave as a plain PSBT at all is tried at the end.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from custody.apps.terminal import read_input
from custody.bitcoin.curve import public_key, sign_ecdsa, sign_schnorr
from custody.bitcoin.lock import TapLeaf
from custody.bitcoin.profile import MAX_FILE
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import GlobalField, InputField, OutputField
from custody.bitcoin.script import multisig_a_script, multisig_script, p2wpkh
from custody.bitcoin.serialize import serialize_stack
from custody.bitcoin.sighash import SegwitV0, Sighashes, Taproot
from custody.history import lists
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, Setting, make_cast, secret
from custody.testing.scenario import HOUR, Scenario
from custody.testing.theft import steal_coin
from custody.transfer.plain import as_answer, read_returned
from custody.transfer.signing import SignedPsbt, accept, combine
from custody.transfer.verify import finalize
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType

EVE = secret("eve")
EVE_KEY = public_key(EVE)
Stack = tuple[bytes, ...]


class Returns:
    """A transfer that left, all its cosigners' signatures on it, and what the coordinator makes of what comes back."""

    def __init__(self, forger) -> None:
        self.forger, self.vault = forger, forger.vault
        self.drafted = forger.draft(coins=forger.coins)
        self.sent = forger.psbt(self.drafted)
        self.asked = self.sent.to_psbt()
        self.partial = [signer.sign(self.asked) for signer in forger.cast.signers]
        sighashes = self.drafted.sighashes()
        self.digests = [self.lock(index).digest(sighashes, index) for index in range(len(self.drafted.seats))]

    def lock(self, index: int):
        seat = self.drafted.seats[index]
        return self.vault.lock(seat.branch, seat.index)

    def keys(self, index: int) -> list[bytes]:
        """The keys of an input's script, in its order."""
        seat = self.drafted.seats[index]
        return list(self.vault.holders(seat.branch, seat.index))

    def signature(self, cosigner: int, index: int) -> tuple[bytes, bytes]:
        """A cosigner's key and signature at an input."""
        kind = InputField.TAP_SCRIPT_SIG if self.is_taproot else InputField.PARTIAL_SIG
        ((key, signature),) = self.partial[cosigner].inputs[index].of_type(kind)
        return (key[:32] if self.is_taproot else key), signature

    @property
    def is_taproot(self) -> bool:
        return self.vault.script_type is ScriptType.TR

    def signatures(self, index: int, cosigners: tuple[int, ...] = (0, 1)) -> list[bytes]:
        """One for each key of the script, in its order, or empty."""
        found = dict(self.signature(cosigner, index) for cosigner in cosigners)
        return [found.get(key, b"") for key in self.keys(index)]

    def stacks(self, cosigners: tuple[int, ...] = (0, 1)) -> list[Stack]:
        """The honest witnesses."""
        return [self.lock(index).witness(self.signatures(index, cosigners)) for index in range(len(self.drafted.seats))]

    def finished(self, stacks: list[Stack] | None = None, script_sigs: list[bytes] | None = None) -> Psbt:
        """The PSBT as a finaliser leaves it."""
        stacks = stacks or self.stacks()
        script_sigs = script_sigs or [self.lock(index).script_sig for index in range(len(stacks))]
        inputs = []
        for each, stack, script_sig in zip(self.asked.inputs, stacks, script_sigs, strict=True):
            kept = [pair for pair in each.pairs if pair[0][0] in (0, 1)]
            final = [(bytes([InputField.FINAL_SCRIPTSIG]), script_sig)] if script_sig else []
            final.append((bytes([InputField.FINAL_SCRIPTWITNESS]), serialize_stack(stack)))
            inputs.append(PsbtMap([*kept, *final]))
        return Psbt(0, self.asked.global_map, tuple(inputs), self.asked.outputs)

    def transaction(self, stacks: list[Stack] | None = None, script_sigs: list[bytes] | None = None) -> bytes:
        """The network transaction in hexadecimal, as wallets print it."""
        stacks = stacks or self.stacks()
        bare = self.drafted.transaction
        script_sigs = script_sigs or [self.lock(index).script_sig for index in range(len(stacks))]
        inputs = tuple(replace(each, script_sig=own) for each, own in zip(bare.inputs, script_sigs, strict=True))
        return replace(bare, inputs=inputs, witness=tuple(stacks)).serialize().hex().encode() + b"\n"

    def forms(self, stacks: list[Stack] | None = None, script_sigs: list[bytes] | None = None) -> list[bytes]:
        """Both files that a finaliser may give."""
        return [self.finished(stacks, script_sigs).serialize(), self.transaction(stacks, script_sigs)]

    def with_stack(self, stack: Stack) -> list[bytes]:
        """The same with another witness on the first input."""
        return self.forms([stack, *self.stacks()[1:]])

    def take(self, file: bytes | Psbt) -> tuple[tuple[SignedPsbt, ...], tuple[bytes, ...]]:
        """Whose signatures count, and whose stood on some inputs only."""
        data = file.serialize() if isinstance(file, Psbt) else file
        answer = as_answer(read_returned(data), self.drafted, self.forger.cast.charter)
        return accept(answer.psbt, self.sent, self.drafted, self.vault, 0), answer.partial

    def fingerprints(self, *cosigners: int) -> set[bytes]:
        return {self.forger.cast.signers[each].fingerprint for each in cosigners}


@pytest.fixture(scope="module", params=list(ScriptType))
def returns(forger_of, request) -> Returns:
    return Returns(forger_of(make_cast(Setting(script_type=request.param))))


@pytest.fixture(scope="module")
def plain(forger_of) -> Returns:
    """The same for `wsh` alone."""
    return Returns(forger_of(make_cast()))


def changed(psbt: Psbt, where: str, index: int, *fields: tuple[bytes, bytes]) -> Psbt:
    """The PSBT with these fields of one map set."""
    maps = {"global": [psbt.global_map], "input": list(psbt.inputs), "output": list(psbt.outputs)}
    keys = {key for key, _ in fields}
    maps[where][index] = PsbtMap([*(pair for pair in maps[where][index].pairs if pair[0] not in keys), *fields])
    return Psbt(0, maps["global"][0], tuple(maps["input"]), tuple(maps["output"]))


# --- what honest software gives back ----------------------------------------------------------------------------------


def test_finished_files_are_worth_their_signatures_and_no_more(returns):
    for cosigners in itertools.combinations(range(3), 2):
        expected = [returns.take(returns.partial[each])[0][0] for each in cosigners]
        for file in returns.forms(returns.stacks(cosigners)):
            signed, partial = returns.take(file)
            assert (set(signed), partial) == (set(expected), ())
            made = finalize(combine(returns.drafted, returns.vault, signed, 0), returns.drafted, returns.vault)
            assert made.serialize().hex().encode() == returns.transaction(returns.stacks(cosigners)).strip()


def test_a_file_that_is_finished_in_part_counts_for_whoever_signed_all_of_it(returns):
    both = returns.forger.cast.signers[1].sign(returns.partial[0])
    halves = Psbt(0, both.global_map, (returns.finished().inputs[0], *both.inputs[1:]), both.outputs)
    signed, partial = returns.take(halves)
    assert ({each.cosigner for each in signed}, partial) == (returns.fingerprints(0, 1), ())
    # The third signed only where nothing was finished yet.
    three = returns.forger.cast.signers[2].sign(both)
    halves = Psbt(0, both.global_map, (returns.finished().inputs[0], *three.inputs[1:]), both.outputs)
    signed, partial = returns.take(halves)
    assert ({each.cosigner for each in signed}, set(partial)) == (returns.fingerprints(0, 1), returns.fingerprints(2))


def test_inputs_that_were_finished_by_different_cosigners_count_for_those_on_all_of_them(forger_of):
    returns = Returns(forger_of(make_cast(), amounts=(50_000_000, 40_000_000, 30_000_000)))
    one, two, three = (returns.stacks(each) for each in ((0, 1), (1, 2), (0, 2)))
    for file in returns.forms([one[0], two[1], one[2]]):
        signed, partial = returns.take(file)
        assert ({each.cosigner for each in signed}, set(partial)) == (
            returns.fingerprints(1),
            returns.fingerprints(0, 2),
        )
    for file in returns.forms([one[0], two[1], three[2]]):
        with refuses("SIGNERS_DIFFER") as caught:
            returns.take(file)
        assert caught.error.signers.count(",") == 2


def test_version_2_is_read_as_well(plain):
    bare = plain.drafted.transaction
    fields = [
        *(pair for pair in plain.asked.global_map.pairs if pair[0][0] != GlobalField.UNSIGNED_TX),
        (bytes([GlobalField.TX_VERSION]), bare.version.to_bytes(4, "little")),
        (bytes([GlobalField.FALLBACK_LOCKTIME]), bare.locktime.to_bytes(4, "little")),
        (bytes([GlobalField.INPUT_COUNT]), bytes([len(bare.inputs)])),
        (bytes([GlobalField.OUTPUT_COUNT]), bytes([len(bare.outputs)])),
        (bytes([GlobalField.VERSION]), b"\x02\x00\x00\x00"),
    ]
    inputs = tuple(
        PsbtMap(
            [
                *each.pairs,
                (bytes([InputField.PREVIOUS_TXID]), spent.outpoint.txid),
                (bytes([InputField.OUTPUT_INDEX]), spent.outpoint.index.to_bytes(4, "little")),
                (bytes([InputField.SEQUENCE]), spent.sequence.to_bytes(4, "little")),
            ]
        )
        for each, spent in zip(plain.partial[0].inputs, bare.inputs, strict=True)
    )
    outputs = tuple(
        PsbtMap(
            [
                *each.pairs,
                (bytes([OutputField.AMOUNT]), paid.amount.to_bytes(8, "little")),
                (bytes([OutputField.SCRIPT]), paid.script_pubkey),
            ]
        )
        for each, paid in zip(plain.asked.outputs, bare.outputs, strict=True)
    )
    assert plain.take(Psbt(2, PsbtMap(fields), inputs, outputs)) == plain.take(plain.partial[0])


# --- B6: another transaction ------------------------------------------------------------------------------------------


def test_another_transaction_is_refused_however_it_is_written(returns):
    bare = returns.drafted.transaction
    first, *rest = bare.outputs
    for other in (
        replace(bare, outputs=(replace(first, amount=first.amount - 1), *rest)),
        replace(bare, outputs=(replace(first, script_pubkey=p2wpkh(EVE[:20])), *rest)),
        replace(bare, inputs=(replace(bare.inputs[0], sequence=0xFFFFFFFE), *bare.inputs[1:])),
        replace(bare, locktime=bare.locktime + 1),
    ):
        unsigned = (bytes([GlobalField.UNSIGNED_TX]), other.stripped())
        signed = [replace(each, script_sig=returns.lock(index).script_sig) for index, each in enumerate(other.inputs)]
        network = replace(other, inputs=tuple(signed), witness=tuple(returns.stacks()))
        for file in (
            changed(returns.partial[0], "global", 0, unsigned),
            changed(returns.finished(), "global", 0, unsigned),
            network.serialize().hex().encode(),
        ):
            with refuses("COSIGNER_ALTERED"):
                returns.take(file)


def test_an_input_or_an_output_more_or_less_is_another_transaction(returns):
    bare = returns.drafted.transaction
    for other in (replace(bare, inputs=bare.inputs[:1]), replace(bare, outputs=bare.outputs[:1])):
        signed = [replace(each, script_sig=returns.lock(index).script_sig) for index, each in enumerate(other.inputs)]
        network = replace(other, inputs=tuple(signed), witness=tuple(returns.stacks()[: len(signed)]))
        with refuses("COSIGNER_ALTERED"):
            returns.take(network.serialize().hex().encode())


def test_a_transaction_that_is_nobody_s_finds_no_transfer():
    story = Scenario.funded()
    story.authorized()
    other = story.transfer(story.authorized(story.request((SUPPLIER, 1_000_000)))).draft.transaction
    history = story.history()
    assert lists.transfer_of(history, other.stripped()).draft.transaction == other
    with refuses("TRANSFER_UNKNOWN"):
        lists.transfer_of(history, replace(other, locktime=other.locktime + 1).stripped())
    story.close()


# --- B6, F7: a witness that is not this vault's -----------------------------------------------------------------------


def test_a_script_that_was_swapped_is_refused(returns):
    # Fewer signatures would do for it, or Eve's; the coin is not locked by it.
    make = multisig_a_script if returns.is_taproot else multisig_script
    eve = EVE_KEY[1:] if returns.is_taproot else EVE_KEY
    own = returns.lock(0)
    for script in (make(1, returns.keys(0)), make(2, sorted([*returns.keys(0)[:2], eve])), b"\x51"):
        stack = tuple(script if item == own.script else item for item in own.witness(returns.signatures(0)))
        for file in returns.with_stack(stack):
            with refuses("FINAL_WITNESS") as caught:
                returns.take(file)
            assert "script" in caught.error.problem


def test_a_witness_that_is_put_together_otherwise_is_refused(returns):
    signatures = returns.signatures(0)
    given = [each for each in signatures if each]
    own = returns.lock(0)
    honest = list(own.witness(signatures))
    swapped = tuple(own.witness([each and given[1 - given.index(each)] for each in signatures]))
    shifted = (b"", *honest)
    missing = tuple(honest[1:]) if not honest[0] else tuple(item for item in honest if item)
    for stack in (swapped, shifted, missing):
        assert stack != tuple(honest)
        for file in returns.with_stack(stack):
            with refuses("FINAL_WITNESS"):
                returns.take(file)


def test_a_control_block_that_is_not_the_vault_s_is_refused(forger_of):
    returns = Returns(forger_of(make_cast(Setting(script_type=ScriptType.TR))))
    own = returns.lock(0)
    assert isinstance(own, TapLeaf)
    for block in (bytes([own.control_block[0] ^ 1]) + own.internal_key, own.control_block[:1] + EVE_KEY[1:]):
        stack = tuple(block if item == own.control_block else item for item in own.witness(returns.signatures(0)))
        for file in returns.with_stack(stack):
            with refuses("FINAL_WITNESS"):
                returns.take(file)


def test_a_key_path_spend_and_an_annex_are_refused(forger_of):
    returns = Returns(forger_of(make_cast(Setting(script_type=ScriptType.TR))))
    for stack in ((bytes(64),), (*returns.stacks()[0], b"\x50")):
        for file in returns.with_stack(stack):
            with refuses("TAPROOT_KEYPATH"):
                returns.take(file)


def test_a_script_sig_that_is_not_the_vault_s_is_refused(returns):
    own = [returns.lock(index).script_sig for index in range(2)]
    for script_sig in {b"\x01\x51", b"\x22" + bytes(34), b""} - {own[0]}:
        for file in returns.forms(None, [script_sig, own[1]]):
            with refuses("FINAL_WITNESS") as caught:
                returns.take(file)
            assert "scriptSig" in caught.error.problem


def test_more_signatures_than_the_vault_takes_are_refused_and_so_are_fewer(returns):
    for cosigners in ((0, 1, 2), (0,)):
        with refuses("FINAL_WITNESS") as caught:
            returns.take(returns.with_stack(returns.lock(0).witness(returns.signatures(0, cosigners)))[0])
        assert str(len(cosigners)) in caught.error.problem
        with refuses("FINAL_WITNESS"):
            returns.take(returns.transaction(returns.stacks(cosigners)))


def test_another_signature_beside_the_finished_one_is_refused(returns):
    # Two by one key on one message: had they one nonce, both together would give the key away (THREATS B8).
    key, good = returns.signature(0, 0)
    own = returns.lock(0)
    file = returns.finished()
    same = changed(file, "input", 0, (own.signature_field(key), good))
    assert returns.take(same) == returns.take(file)
    other = good[:40] + bytes([good[40] ^ 1]) + good[41:]
    with refuses("FINAL_WITNESS"):
        returns.take(changed(file, "input", 0, (own.signature_field(key), other)))


# --- B6: a signature that is nobody's ---------------------------------------------------------------------------------


def eve_signs(returns: Returns, digest: bytes) -> bytes:
    return sign_schnorr(EVE, digest) if returns.is_taproot else sign_ecdsa(EVE, digest) + b"\x01"


def test_a_signature_that_no_cosigner_made_for_this_input_is_refused(returns):
    good = returns.signatures(0)
    at = next(index for index, each in enumerate(good) if each)
    _, elsewhere = returns.signature(0, 1)
    for wrong in (eve_signs(returns, returns.digests[0]), elsewhere, next(each for each in good[at + 1 :] if each)):
        stack = returns.lock(0).witness([*good[:at], wrong, *good[at + 1 :]])
        for file in returns.with_stack(stack):
            with refuses("SIG_INVALID"):
                returns.take(file)


def test_a_signature_for_other_amounts_is_refused(returns):
    spent = [replace(each.output, amount=each.output.amount - 1) for each in returns.drafted.identity.spent]
    digest = returns.lock(0).digest(Sighashes(returns.drafted.transaction, lambda index: spent[index]), 0)
    signer = returns.forger.cast.signers[0]
    seat = returns.drafted.seats[0]
    node = signer._node((*returns.vault.cosigners[0].origin.path, seat.branch, seat.index))
    own = returns.lock(0).key(node.public_key)
    good = dict(zip(returns.keys(0), returns.signatures(0), strict=True))
    assert good[own]
    stack = returns.lock(0).witness(list((good | {own: returns.lock(0).sign(node.secret, digest)}).values()))
    for file in returns.with_stack(stack):
        with refuses("SIG_INVALID"):
            returns.take(file)


# --- A8: hash types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_type", [0x00, 0x02, 0x03, 0x81, 0x82, 0x83, 0xFF])
def test_a_finished_signature_of_another_hash_type_is_refused(returns, hash_type):
    digest = other_digest(returns, hash_type)
    seat = returns.drafted.seats[0]
    node = returns.forger.cast.signers[0]._node((*returns.vault.cosigners[0].origin.path, seat.branch, seat.index))
    signature = sign_schnorr(node.secret, digest) if returns.is_taproot else sign_ecdsa(node.secret, digest)
    own = returns.lock(0).key(node.public_key)
    good = dict(zip(returns.keys(0), returns.signatures(0), strict=True))
    stack = returns.lock(0).witness(list((good | {own: signature + bytes([hash_type])}).values()))
    for file in returns.with_stack(stack):
        with refuses("SIGHASH_FORBIDDEN") as caught:
            returns.take(file)
        assert caught.error.hash_type == hash_type


def other_digest(returns: Returns, hash_type: int) -> bytes:
    """What a signature of this hash type signs; of one that means nothing, what any signature signs."""
    spent = [each.output for each in returns.drafted.identity.spent]
    own = returns.lock(0)
    known = hash_type if hash_type in {0x02, 0x03, 0x81, 0x82, 0x83} else None
    if returns.is_taproot:
        return Taproot(returns.drafted.transaction, spent).digest(0, known or 0, leaf_hash=own.leaf_hash)
    return SegwitV0(returns.drafted.transaction).digest(0, own.script, spent[0].amount, known or 1)


# --- B3, C9: what else a file carries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["global", "input", "output"])
def test_a_field_that_no_transfer_carries_is_refused(returns, where):
    for file in (returns.partial[0], returns.finished()):
        for key in (b"\xfc\x04evil\x00", b"\x70"):
            with refuses("FIELD_FORBIDDEN"):
                returns.take(changed(file, where, 0, (key, b"what a seed would fit in" * 2)))


def test_a_secret_in_a_file_is_called_one(returns):
    node = returns.forger.cast.signers[0]._node(returns.vault.cosigners[0].origin.path)
    words = b"zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong"
    for file in (returns.partial[0], returns.finished()):
        for value in (node.secret, words):
            with refuses("SECRET_MATERIAL") as caught:
                returns.take(changed(file, "global", 0, (b"\xfc\x04evil\x00", value)))
            assert "zoo" not in str(caught.error)


def test_claims_about_outputs_are_dropped_only_when_they_are_true(forger_of):
    cast = make_cast()
    forger = forger_of(cast)
    request = forger.request(("Reserve", 20_000_000), (SUPPLIER, 5_000_000))
    returns = Returns(forger)
    returns.drafted = forger.draft(request)
    returns.sent = forger.psbt(returns.drafted)
    file = forger.cast.signers[0].sign(returns.sent.to_psbt())
    paid = [each.script_pubkey for each in returns.drafted.transaction.outputs]
    own, change = (
        next(branch_at for branch_at in range(len(paid)) if paid[branch_at] == script)
        for script in (
            forger.vault.script_pubkey(Branch.RECEIVE, 2),
            forger.vault.script_pubkey(Branch.CHANGE, returns.drafted.change),
        )
    )
    payee = ({0, 1, 2} - {own, change}).pop()
    true = forger.vault.output_fields(Branch.RECEIVE, 2).to_map().pairs
    expected = returns.take(file)
    assert returns.take(changed(file, "output", own, *true)) == expected
    claims = forger.vault.output_fields(Branch.CHANGE, returns.drafted.change).to_map().pairs
    assert returns.take(changed(file, "output", change, *claims)) == expected
    lies: list[tuple[int, tuple[tuple[bytes, bytes], ...]]] = [
        (payee, true),
        (own, forger.vault.output_fields(Branch.RECEIVE, 3).to_map().pairs),
        (own, (*true[:-1], (true[-1][0][:-1] + bytes([true[-1][0][-1] ^ 1]), true[-1][1]))),
        (own, tuple((k, v[:-1] + b"\xaf" if k[0] == OutputField.WITNESS_SCRIPT else v) for k, v in true)),
        (own, (*true, (bytes([OutputField.REDEEM_SCRIPT]), b"\x51"))),
        (change, true),
        (payee, claims),
    ]
    for index, fields in lies:
        with refuses("COSIGNER_ALTERED"):
            returns.take(changed(file, "output", index, *fields))


# --- B4: sizes --------------------------------------------------------------------------------------------------------


def test_a_file_of_a_hundred_megabytes_is_not_read(tmp_path, plain):
    huge = tmp_path / "huge.psbt"
    with huge.open("wb") as file:
        file.truncate(100_000_000)
    with refuses("FILE_TOO_LARGE"):
        read_input(str(huge), MAX_FILE)
    with refuses("LIMIT"):
        read_returned(bytes(MAX_FILE + 1))
    with refuses("LIMIT"):
        read_returned(b"00" * 400_001)
    assert plain.take(plain.transaction())


def test_what_is_no_file_of_the_kind_is_refused(plain):
    good = plain.transaction().strip()
    for data, code in (
        (b"", "PSBT_ENCODING"),
        (b"00", "TX_ENCODING"),
        (good[:-2], "TX_ENCODING"),
        (good + b"00", "TX_ENCODING"),
        (good[:-1], "PSBT_ENCODING"),
        (b" " + good, "PSBT_ENCODING"),
        (good + b"\n\n", "PSBT_ENCODING"),
        (b'{"psbt": "cHNidP8B"}', "PSBT_ENCODING"),
        (b"\xff\xfe\x00", "PSBT_ENCODING"),
    ):
        with refuses(code):
            read_returned(data)


def test_a_transaction_without_signatures_brings_none(plain):
    bare = plain.drafted.transaction.stripped().hex().encode()
    with refuses("NOTHING_SIGNED"):
        plain.take(bare)


# --- what may leave ---------------------------------------------------------------------------------------------------


def test_nothing_leaves_that_a_station_would_not_sign():
    story = Scenario.funded()
    drafted, _ = story.drafted()
    transfer = drafted.transfer_id
    story.approved(transfer)
    story.custodian.authorize(transfer)
    with refuses("SIGNATURES_NOT_ASKED") as caught:
        story.custodian.psbt(transfer)
    assert caught.error.status == "authorized"
    story.custodian.request_signatures(transfer)
    assert story.custodian.psbt(transfer).inputs
    # The approvals are for a week.
    story.chain.wait(8 * 24 * HOUR)
    with refuses("APPROVAL_EXPIRED"):
        story.custodian.psbt(transfer)
    story.close()


def test_nothing_leaves_while_everything_is_frozen():
    story = Scenario.funded()
    first = story.authorized(story.request((SUPPLIER, 20_000_000)))
    steal_coin(story)
    story.mine()
    assert story.history().frozen_by is not None
    with refuses("FROZEN"):
        story.custodian.psbt(first)
    story.close()


def test_what_anybody_could_send_leaves_only_once_it_was_released():
    story = Scenario.funded()
    transfer = story.authorized()
    sent = story.custodian.psbt(transfer)
    for cosigner, signatures in ((0, 1), (1, None), (2, None)):
        story.custodian.receive(transfer, story.signature(transfer, cosigner))
        if signatures is None:
            with refuses("NOT_RELEASED"):
                story.custodian.psbt(transfer)
        else:
            assert {len(each.signatures) for each in story.custodian.psbt(transfer).inputs} == {signatures}
    for step in (story.custodian.combine, story.custodian.verify):
        step(transfer)
        with refuses("NOT_RELEASED"):
            story.custodian.psbt(transfer)
    story.custodian.release(transfer)
    # Exactly as many as it takes, whoever else has signed.
    left = story.custodian.psbt(transfer)
    assert {len(each.signatures) for each in left.inputs} == {2}
    assert left.transaction == sent.transaction
    story.close()
