"""Signature hashes: the examples of BIP 143, independent code, and what libbitcoinkernel accepts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pbk
import pytest
from bitcointx.core import CTransaction
from bitcointx.core.script import SIGVERSION_WITNESS_V0, CScript, SIGHASH_Type, SignatureHash
from embit.script import Script as EmbitScript
from embit.transaction import Transaction as EmbitTransaction
from hypothesis import given, settings
from hypothesis import strategies as st
from pbk.script import PrecomputedTransactionData

from custody.bitcoin.curve import add_secret, public_key, sign_ecdsa, sign_schnorr, verify_ecdsa, x_only_tweak
from custody.bitcoin.script import multisig_script, p2sh, p2tr, p2wpkh, p2wsh, push, sha256
from custody.bitcoin.sighash import (
    ALL,
    ANYONE_CAN_PAY,
    DEFAULT,
    NONE,
    SINGLE,
    SegwitV0,
    Taproot,
    tap_branch,
    tap_leaf_hash,
    tap_tweak,
)
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.asserts import refuses

SEGWIT_TYPES = [kind | anyone for kind in (ALL, NONE, SINGLE) for anyone in (0, ANYONE_CAN_PAY)]
TAPROOT_TYPES = [DEFAULT, *SEGWIT_TYPES]


# --- the examples of BIP 143 ---------------------------------------------------------------------------------------

NATIVE_P2WPKH = Transaction.parse(
    bytes.fromhex(
        "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffffef51e1b804cc89d182"
        "d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f"
        "85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
    )
)
NATIVE_P2WSH = Transaction.parse(
    bytes.fromhex(
        "0100000002fe3dc9208094f3ffd12645477b3dc56f60ec4fa8e6f5d67c565d1c6b9216b36e0000000000ffffffff0815cf020f013ed6cf"
        "91d29f4202e8a58726b1ac6c79da47c23d1bee0a6925f80000000000ffffffff0100f2052a010000001976a914a30741f8145e5acadf23"
        "f751864167f32e0963f788ac00000000"
    )
)
SIX_OF_SIX = Transaction.parse(
    bytes.fromhex(
        "010000000136641869ca081e70f394c6948e8af409e18b619df2ed74aa106c1ca29787b96e0100000000ffffffff0200e9a43500000000"
        "1976a914389ffce9cd9ae88dcc0631e88a821ffdbe9bfe2688acc0832f05000000001976a9147480a33f950689af511e6e84c138dbbd3c"
        "3ee41588ac00000000"
    )
)
SIX_KEYS = [
    "0307b8ae49ac90a048e9b53357a2354b3334e9c8bee813ecb98e99a7e07e8c3ba3",
    "03b28f0c28bfab54554ae8c658ac5c3e0ce6e79ad336331f78c428dd43eea8449b",
    "034b8113d703413d57761b8b9781957b8c0ac1dfe69f492580ca4195f50376ba4a",
    "033400f6afecb833092a9a21cfdf1ed1376e58c5d1f47de74683123987e967a8f4",
    "03a6d48b1131e94ba04d9737d61acdaa1322008af9602b3b14862c07a1789aac16",
    "02d8b661b0b3302ee2f162b09e07a55ad5dfbe673a9f01d9f0c19617681024306b",
]


def test_the_native_p2wpkh_example():
    script_code = bytes.fromhex("76a9141d0f172a0ecb48aee1be1f2687d2963ae33f71a188ac")
    digest = SegwitV0(NATIVE_P2WPKH).digest(1, script_code, 600_000_000)
    assert digest.hex() == "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"


@pytest.mark.parametrize(
    ("script_code", "digest"),
    [
        pytest.param(
            "21026dccc749adc2a9d0d89497ac511f760f45c47dc5ed9cf352a58ac706453880aeadab"
            "210255a9626aebf5e29c0e6538428ba0d1dcf6ca98ffdf086aa8ced5e0d0215ea465ac",
            "82dde6e4f1e94d02c2b7ad03d2115d691f48d064e9d52f58194a6637e4194391",
            id="whole script",
        ),
        pytest.param(
            "210255a9626aebf5e29c0e6538428ba0d1dcf6ca98ffdf086aa8ced5e0d0215ea465ac",
            "fef7bd749cce710c5c052bd796df1af0d935e59cea63736268bcbe2d2134fc47",
            id="behind OP_CODESEPARATOR",
        ),
    ],
)
def test_the_native_p2wsh_example_with_single_beyond_the_outputs(script_code, digest):
    actual = SegwitV0(NATIVE_P2WSH).digest(1, bytes.fromhex(script_code), 4_900_000_000, SINGLE)
    assert actual.hex() == digest


@pytest.mark.parametrize(
    ("hash_type", "digest"),
    [
        (ALL, "185c0be5263dce5b4bb50a047973c1b6272bfbd0103a89444597dc40b248ee7c"),
        (NONE, "e9733bc60ea13c95c6527066bb975a2ff29a925e80aa14c213f686cbae5d2f36"),
        (SINGLE, "1e1f1c303dc025bd664acb72e583e933fae4cff9148bf78c157d1e8f78530aea"),
        (ALL | ANYONE_CAN_PAY, "2a67f03e63a6a422125878b40b82da593be8d4efaafe88ee528af6e5a9955c6e"),
        (NONE | ANYONE_CAN_PAY, "781ba15f3779d5542ce8ecb5c18716733a5ee42a6f51488ec96154934e2c890a"),
        (SINGLE | ANYONE_CAN_PAY, "511e8e52ed574121fc1b654970395502128263f62662e076dc6baf05c2e6a99b"),
    ],
)
def test_the_p2sh_p2wsh_example_for_all_six_hash_types(hash_type, digest):
    witness_script = multisig_script(6, [bytes.fromhex(key) for key in SIX_KEYS])
    assert SegwitV0(SIX_OF_SIX).digest(0, witness_script, 987_654_321, hash_type).hex() == digest


# --- against python-bitcointx and embit --------------------------------------------------------------------------

outpoints = st.builds(OutPoint, st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1))
outputs = st.builds(TxOut, st.integers(0, 21 * 10**14), st.binary(max_size=300))


def transactions(
    versions: st.SearchStrategy[int], sequences: st.SearchStrategy[int], locktimes: st.SearchStrategy[int]
) -> st.SearchStrategy[Transaction]:
    inputs = st.builds(TxIn, outpoints, st.just(b""), sequences)
    return st.builds(
        Transaction,
        versions,
        st.lists(inputs, min_size=1, max_size=5).map(tuple),
        st.lists(outputs, min_size=1, max_size=5).map(tuple),
        locktimes,
    )


# bitcointx cannot hash a lock time from 2^31 on; embit reads version 0 and sequence 0 as something else.
for_bitcointx = transactions(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1))
for_embit = transactions(st.integers(1, 2**31 - 1), st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1))


@given(for_bitcointx, st.binary(max_size=300), st.integers(0, 21 * 10**14), st.sampled_from(SEGWIT_TYPES))
@settings(max_examples=60)
def test_segwit_digests_equal_those_of_bitcointx(transaction, script_code, amount, hash_type):
    theirs = CTransaction.deserialize(transaction.serialize())
    ours = SegwitV0(transaction)
    for index in range(len(transaction.inputs)):
        expected = SignatureHash(
            CScript(script_code), theirs, index, SIGHASH_Type(hash_type), amount, SIGVERSION_WITNESS_V0
        )
        assert ours.digest(index, script_code, amount, hash_type) == expected


@given(for_embit, st.binary(max_size=300), st.integers(0, 21 * 10**14))
@settings(max_examples=60)
def test_segwit_digests_equal_those_of_embit(transaction, script_code, amount):
    theirs = EmbitTransaction.parse(transaction.serialize())
    ours = SegwitV0(transaction)
    for index in range(len(transaction.inputs)):
        expected = theirs.sighash_segwit(index, EmbitScript(script_code), amount)
        assert ours.digest(index, script_code, amount) == expected


# --- against libbitcoinkernel: it accepts what we sign -------------------------------------------------------------


def secret(number: int) -> bytes:
    return sha256(b"signer %d" % number)


@dataclass(frozen=True)
class Spend:
    """A transaction and what it spends."""

    transaction: Transaction
    spent: tuple[TxOut, ...]

    def accepted(self, index: int) -> bool:
        """What libbitcoinkernel says of one input, under every consensus rule."""
        transaction = pbk.Transaction(self.transaction.serialize())
        outputs = [pbk.TransactionOutput(pbk.ScriptPubkey(o.script_pubkey), o.amount) for o in self.spent]
        data = PrecomputedTransactionData(transaction, outputs)
        script = pbk.ScriptPubkey(self.spent[index].script_pubkey)
        return script.verify(self.spent[index].amount, transaction, data, index, pbk.ScriptVerificationFlags.ALL)

    def with_witness(self, index: int, *stack: bytes) -> Spend:
        witness = list(self.transaction.witness or [()] * len(self.spent))
        witness[index] = stack
        return replace(self, transaction=replace(self.transaction, witness=tuple(witness)))


def spend_of(*scripts: bytes, redeem: bytes = b"") -> Spend:
    """Two inputs more than `scripts` (strangers' coins), three outputs."""
    spent = [TxOut(100_000 + at, script) for at, script in enumerate([*scripts, p2wpkh(bytes(20)), p2tr(bytes(32))])]
    ins = [
        TxIn(OutPoint(sha256(bytes([at])), at), push(redeem) if redeem and at < len(scripts) else b"", 0xFFFFFFFD - at)
        for at in range(len(spent))
    ]
    outs = (TxOut(30_000, p2wsh(b"\x51")), TxOut(20_000, p2wpkh(bytes(20))), TxOut(10_000, b"\x6a\x01a"))
    return Spend(Transaction(2, tuple(ins), outs, 700_000), tuple(spent))


def signed_multisig(spend: Spend, index: int, witness_script: bytes, signers: list[bytes], hash_type: int) -> Spend:
    digest = SegwitV0(spend.transaction).digest(index, witness_script, spend.spent[index].amount, hash_type)
    signatures = [sign_ecdsa(each, digest) + bytes([hash_type]) for each in signers]
    return spend.with_witness(index, b"", *signatures, witness_script)


def multisig(threshold: int, count: int) -> tuple[bytes, list[bytes]]:
    """Witness script over sorted keys, and the secrets of the last `threshold` of them in the script's order."""
    secrets = sorted((secret(number) for number in range(count)), key=public_key)
    return multisig_script(threshold, [public_key(each) for each in secrets]), secrets[-threshold:]


SIZES = [(1, 2), (2, 3), (3, 5), (5, 7), (11, 15), (15, 15)]


@pytest.mark.parametrize(("threshold", "count"), SIZES)
def test_the_kernel_accepts_our_wsh_multisig(threshold, count):
    script, signers = multisig(threshold, count)
    spend = spend_of(p2wsh(script), p2wsh(script))
    for index in (0, 1):
        assert signed_multisig(spend, index, script, signers, ALL).accepted(index)


@pytest.mark.parametrize(("threshold", "count"), SIZES)
def test_the_kernel_accepts_our_sh_wsh_multisig(threshold, count):
    script, signers = multisig(threshold, count)
    spend = spend_of(p2sh(p2wsh(script)), redeem=p2wsh(script))
    assert signed_multisig(spend, 0, script, signers, ALL).accepted(0)


@pytest.mark.parametrize("hash_type", SEGWIT_TYPES)
def test_the_kernel_agrees_on_every_segwit_hash_type(hash_type):
    script, signers = multisig(2, 3)
    spend = signed_multisig(spend_of(p2wsh(script), p2wsh(script)), 1, script, signers, hash_type)
    assert spend.accepted(1)
    other_type = bytes([hash_type ^ ANYONE_CAN_PAY])
    stack = spend.transaction.witness[1]
    relabelled = spend.with_witness(1, stack[0], *(item[:-1] + other_type for item in stack[1:-1]), script)
    assert not relabelled.accepted(1)


@pytest.mark.parametrize("hash_type", [0x00, 0x04, 0x06, 0x07, 0x1F, 0x22, 0x23, 0x41, 0x86, 0xA3, 0xFF])
def test_the_kernel_agrees_on_hash_types_that_nobody_named(hash_type):
    # Consensus looks at the low five bits and the highest; our rules refuse these types, the digest is still known.
    script, signers = multisig(1, 2)
    spend = spend_of(p2wsh(script))
    assert signed_multisig(spend, 0, script, signers, hash_type).accepted(0)


def test_a_digest_over_a_wrong_amount_is_of_no_use():
    script, signers = multisig(2, 3)
    spend = spend_of(p2wsh(script))
    lied = replace(spend, spent=(replace(spend.spent[0], amount=spend.spent[0].amount + 1), *spend.spent[1:]))
    signed = signed_multisig(lied, 0, script, signers, ALL)
    assert signed.accepted(0)
    assert not replace(signed, spent=spend.spent).accepted(0)
    digest = SegwitV0(spend.transaction).digest(0, script, spend.spent[0].amount)
    assert not verify_ecdsa(public_key(signers[0]), digest, signed.transaction.witness[0][1][:-1])


def tweaked_secret(internal: bytes, root: bytes) -> bytes:
    """The secret of a taproot output key: of the even internal point, tweaked. Source: BIP 341."""
    key = public_key(internal)
    even = internal if key[0] == 2 else (-int.from_bytes(internal, "big") % N).to_bytes(32, "big")
    return add_secret(even, tap_tweak(key[1:], root))


N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def with_type(signature: bytes, hash_type: int) -> bytes:
    return signature + bytes([hash_type]) if hash_type else signature


@pytest.mark.parametrize("annex", [None, b"\x50", b"\x50 an annex"])
@pytest.mark.parametrize("hash_type", TAPROOT_TYPES)
def test_the_kernel_accepts_our_taproot_key_path(hash_type, annex):
    output_key = public_key(tweaked_secret(secret(1), b""))[1:]
    assert output_key == x_only_tweak(public_key(secret(1))[1:], tap_tweak(public_key(secret(1))[1:]))[0]
    spend = spend_of(p2wpkh(bytes(20)), p2tr(output_key))
    digest = Taproot(spend.transaction, spend.spent).digest(1, hash_type, annex=annex)
    signature = with_type(sign_schnorr(tweaked_secret(secret(1), b""), digest), hash_type)
    assert spend.with_witness(1, signature, *([annex] if annex else [])).accepted(1)
    assert not spend.with_witness(1, signature, *([] if annex else [b"\x50"])).accepted(1)


@pytest.mark.parametrize("annex", [None, b"\x50 an annex"])
@pytest.mark.parametrize("hash_type", TAPROOT_TYPES)
def test_the_kernel_accepts_our_taproot_multisig_by_script(hash_type, annex):
    keys = sorted(public_key(secret(number))[1:] for number in range(3))
    secrets = {public_key(secret(number))[1:]: secret(number) for number in range(3)}
    # 2 of 3 as sortedmulti_a writes it: <a> CHECKSIG <b> CHECKSIGADD <c> CHECKSIGADD 2 NUMEQUAL
    script = push(keys[0]) + b"\xac" + push(keys[1]) + b"\xba" + push(keys[2]) + b"\xba\x52\x9c"
    leaf, sibling = tap_leaf_hash(script), tap_leaf_hash(b"\x51")
    root = tap_branch(leaf, sibling)
    internal = public_key(secret(9))[1:]
    output_key, parity = x_only_tweak(internal, tap_tweak(internal, root))
    spend = spend_of(p2tr(output_key))
    digest = Taproot(spend.transaction, spend.spent).digest(0, hash_type, leaf_hash=leaf, annex=annex)
    first, last = (with_type(sign_schnorr(secrets[key], digest), hash_type) for key in (keys[0], keys[2]))
    control = bytes([0xC0 | parity]) + internal + sibling
    tail = (script, control, *([annex] if annex else []))
    assert spend.with_witness(0, last, b"", first, *tail).accepted(0)
    assert not spend.with_witness(0, b"", b"", first, *tail).accepted(0)
    wrong_leaf = Taproot(spend.transaction, spend.spent).digest(0, hash_type, leaf_hash=sibling, annex=annex)
    misplaced = with_type(sign_schnorr(secrets[keys[2]], wrong_leaf), hash_type)
    assert not spend.with_witness(0, misplaced, b"", first, *tail).accepted(0)


def test_the_kernel_agrees_on_the_position_of_a_code_separator():
    key = public_key(secret(1))[1:]
    script = push(b"x") + b"\x75\xab" + push(key) + b"\xac"  # <x> DROP CODESEPARATOR <key> CHECKSIG: at opcode 2
    leaf = tap_leaf_hash(script)
    internal = public_key(secret(9))[1:]
    output_key, parity = x_only_tweak(internal, tap_tweak(internal, leaf))
    spend = spend_of(p2tr(output_key))
    hashes = Taproot(spend.transaction, spend.spent)
    for separator, is_right in ((2, True), (0xFFFFFFFF, False)):
        digest = hashes.digest(0, leaf_hash=leaf, code_separator=separator)
        stack = (sign_schnorr(secret(1), digest), script, bytes([0xC0 | parity]) + internal)
        assert spend.with_witness(0, *stack).accepted(0) == is_right


# --- what a digest depends on --------------------------------------------------------------------------------------


def test_all_signs_every_part_of_the_transaction():
    spend = spend_of(p2wsh(b"\x51"))
    base = spend.transaction
    changed = [
        replace(base, version=1),
        replace(base, locktime=base.locktime + 1),
        replace(base, inputs=(base.inputs[0], replace(base.inputs[1], sequence=0), base.inputs[2])),
        replace(
            base, inputs=(base.inputs[0], replace(base.inputs[1], outpoint=OutPoint(bytes(32), 0)), base.inputs[2])
        ),
        replace(base, inputs=(base.inputs[0], base.inputs[2], base.inputs[1])),
        replace(base, outputs=(*base.outputs[:2], replace(base.outputs[2], amount=10_001))),
        replace(base, outputs=(*base.outputs[:2], replace(base.outputs[2], script_pubkey=b"\x6a\x01b"))),
        replace(base, outputs=base.outputs[:2]),
        replace(base, outputs=base.outputs[::-1]),
    ]
    segwit = {SegwitV0(each).digest(0, b"\x51", 5) for each in [base, *changed]}
    taproot = {Taproot(each, spend.spent).digest(0) for each in [base, *changed]}
    assert len(segwit) == len(taproot) == 1 + len(changed)
    own = [(0, b"\x51", 5), (1, b"\x51", 5), (0, b"\x52", 5), (0, b"\x51", 6), (0, b"\x51", 5, NONE)]
    assert len({SegwitV0(base).digest(*each) for each in own}) == len(own)


def test_taproot_signs_all_amounts_and_scripts_spent():
    spend = spend_of(p2tr(bytes(32)))
    digests = {Taproot(spend.transaction, spend.spent).digest(0)}
    for at, output in enumerate(spend.spent):
        for changed in (replace(output, amount=1), replace(output, script_pubkey=b"\x51")):
            spent = [*spend.spent[:at], changed, *spend.spent[at + 1 :]]
            digests.add(Taproot(spend.transaction, spent).digest(0))
    assert len(digests) == 1 + 2 * len(spend.spent)


def test_signatures_already_there_change_no_digest():
    script, signers = multisig(2, 3)
    spend = spend_of(p2sh(p2wsh(script)))
    filled = replace(spend.transaction, inputs=tuple(replace(i, script_sig=b"abc") for i in spend.transaction.inputs))
    signed = signed_multisig(replace(spend, transaction=filled), 0, script, signers, ALL)
    for transaction in (filled, signed.transaction):
        assert SegwitV0(transaction).digest(0, script, 7) == SegwitV0(spend.transaction).digest(0, script, 7)
        assert Taproot(transaction, spend.spent).digest(0) == Taproot(spend.transaction, spend.spent).digest(0)


# --- what has no digest --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_type", [x for x in range(256) if x not in TAPROOT_TYPES])
def test_taproot_has_seven_hash_types(hash_type):
    spend = spend_of(p2tr(bytes(32)))
    with refuses("SIGHASH_UNDEFINED"):
        Taproot(spend.transaction, spend.spent).digest(0, hash_type)


def test_taproot_single_needs_its_output():
    spend = spend_of(p2tr(bytes(32)), p2tr(bytes(32)))
    hashes = Taproot(spend.transaction, spend.spent)
    assert hashes.digest(2, SINGLE)
    for hash_type in (SINGLE, SINGLE | ANYONE_CAN_PAY):
        with refuses("SIGHASH_UNDEFINED") as caught:
            hashes.digest(3, hash_type)
        assert (caught.error.index, caught.error.hash_type) == (3, hash_type)


def test_an_input_that_is_not_there_has_no_digest():
    spend = spend_of(p2tr(bytes(32)))
    for index in (-1, 3):
        with refuses("SIGHASH_UNDEFINED"):
            SegwitV0(spend.transaction).digest(index, b"", 0)
        with refuses("SIGHASH_UNDEFINED"):
            Taproot(spend.transaction, spend.spent).digest(index)
    for hash_type in (-1, 256):
        with refuses("SIGHASH_UNDEFINED"):
            SegwitV0(spend.transaction).digest(0, b"", 0, hash_type)


def test_taproot_needs_every_spent_output_and_well_formed_extras():
    spend = spend_of(p2tr(bytes(32)))
    with pytest.raises(ValueError, match="3 inputs"):
        Taproot(spend.transaction, spend.spent[:2])
    for extras in ({"annex": b""}, {"annex": b"\x51"}, {"leaf_hash": bytes(31)}):
        with pytest.raises(ValueError, match="annex"):
            Taproot(spend.transaction, spend.spent).digest(0, **extras)


def test_a_branch_does_not_depend_on_the_order_of_its_two_sides():
    for a, b in itertools.combinations([tap_leaf_hash(bytes([n])) for n in range(4)], 2):
        assert tap_branch(a, b) == tap_branch(b, a) != tap_branch(a, a)


# --- cost ----------------------------------------------------------------------------------------------------------


class Counted(tuple):
    """A tuple that counts how many of its items are looked at."""

    __slots__ = ()
    looked_at = 0

    def __iter__(self):
        for item in super().__iter__():
            Counted.looked_at += 1
            yield item


def test_a_thousand_digests_look_at_inputs_and_outputs_once_for_all():
    ins = Counted(TxIn(OutPoint(sha256(bytes([at % 256])), at), b"", 0xFFFFFFFD) for at in range(1000))
    outs = Counted(TxOut(at, p2wsh(bytes([at % 256]))) for at in range(1000))
    transaction = Transaction(2, ins, outs, 0)
    for make in (
        lambda: (SegwitV0(transaction).digest, (b"\x51", 5)),
        lambda: (Taproot(transaction, outs).digest, ()),
    ):
        digest, extras = make()
        Counted.looked_at = 0
        assert len({digest(index, *extras) for index in range(1000)}) == 1000
        assert Counted.looked_at == 0
