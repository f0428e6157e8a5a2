"""What a file says about money (THREATS A1, A6 to A11): amounts, scripts, forms, hash types, fees, coins of others.

Each lie is told twice where it can be: in a PSBT that somebody hands over, and in the evidence of a coordinator that
owns its own key. The honest file beside it passes, so what refuses is the check for that one lie.
"""

from __future__ import annotations

from dataclasses import replace

import pbk
import pytest

from custody.bitcoin.curve import sign_ecdsa
from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import InputField
from custody.bitcoin.script import hash160, multisig_script, p2wpkh, p2wsh
from custody.bitcoin.sighash import SegwitV0
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.charter.decide import Verdict, decide
from custody.charter.facts import Facts
from custody.charter.rules import Case, Payment
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, Setting, make_cast, secret, vault_of
from custody.transfer.draft import Draft
from custody.transfer.request import Purpose, TransferRequest
from custody.units import MAX_MONEY
from custody.vault.templates import ScriptType

from .altered import ATTACKER, change_at, with_input

# --- the honest ones ------------------------------------------------------------------------------------------------


def test_the_honest_psbt_and_the_honest_evidence_pass(forger, stage):
    drafted = forger.draft()
    reading = forger.read(forger.psbt(drafted))
    assert [each.change for each in reading.outputs].count(0) == 1
    examined = forger.judge(drafted, stage)
    assert (examined.case.fee, examined.case.change) == (reading.fee, 29_995_000)


# --- A1: amounts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [-1, +1])
def test_an_amount_that_is_one_satoshi_off_is_refused(forger, stage, edit, lie):
    psbt, drafted = forger.psbt(), forger.draft()
    claimed = psbt.inputs[0].witness_utxo
    lying = with_input(psbt, 0, witness_utxo=TxOut(claimed.amount + lie, claimed.script_pubkey))
    with refuses("UTXO_CONFLICT"):
        forger.read(lying)
    spent = drafted.identity.spent
    lied = (edit(spent[0], amount=spent[0].amount + lie), *spent[1:])
    with refuses("UTXO_CONFLICT"):
        forger.judge(forger.redrafted(drafted, spent=lied), stage)


def test_a_script_that_is_not_the_previous_output_s_is_refused(forger):
    psbt = forger.psbt()
    claimed = psbt.inputs[0].witness_utxo
    with refuses("UTXO_CONFLICT"):
        forger.read(with_input(psbt, 0, witness_utxo=TxOut(claimed.amount, psbt.inputs[1].witness_utxo.script_pubkey)))


def test_an_amount_without_its_previous_transaction_is_only_a_claim(forger, stage):
    psbt = forger.psbt()
    with refuses("PREVTX_MISSING") as caught:
        forger.read(with_input(psbt, 1, previous_transaction=b""))
    assert caught.error.index == 1
    drafted = forger.draft()
    first = forger.previous[drafted.identity.spent[0].txid]
    with refuses("PREVTX_MISSING"):
        forger.judge(drafted, stage, previous=(first,))


def test_another_previous_transaction_is_refused(forger, stage):
    psbt = forger.psbt()
    other = with_input(psbt, 0, previous_transaction=psbt.inputs[1].previous_transaction)
    with refuses("PREVTX_TXID"):
        forger.read(other)
    # Evidence carries each previous transaction once, by its own txid: another one is simply not the one needed.
    drafted = forger.draft()
    raw = forger.previous[drafted.identity.spent[0].txid]
    bloated = Transaction.parse(raw)
    bloated = replace(bloated, outputs=(bloated.outputs[0], replace(bloated.outputs[1], amount=90_000_000)))
    rest = forger.previous[drafted.identity.spent[1].txid]
    with refuses("PREVTX_MISSING"):
        forger.judge(drafted, stage, previous=(bloated.serialize(), rest))


def test_an_output_that_the_previous_transaction_does_not_have_is_refused(forger, stage, edit):
    psbt = forger.psbt()
    spending = psbt.transaction.inputs
    beyond = replace(spending[0], outpoint=OutPoint(spending[0].outpoint.txid, 2))
    with refuses("PREVTX_OUTPUT"):
        forger.read(replace(psbt, transaction=replace(psbt.transaction, inputs=(beyond, spending[1]))))
    drafted = forger.draft()
    spent = drafted.identity.spent
    lied = forger.redrafted(drafted, inputs=(beyond, spending[1]), spent=(edit(spent[0], vout=2), spent[1]))
    with refuses("PREVTX_OUTPUT"):
        forger.judge(lied, stage)


@pytest.mark.parametrize("has_previous", [True, False])
def test_the_pair_that_lies_about_one_input_each_is_refused_both_times(forger, has_previous):
    # CVE-2020-14199: each file lies about the input that the other one tells the truth about, and a signer that
    # believes both has signed two inputs whose true sum nobody showed to anybody.
    psbt = forger.psbt()
    for liar, truthful in ((0, 1), (1, 0)):
        claimed = psbt.inputs[liar].witness_utxo
        lying = with_input(psbt, liar, witness_utxo=TxOut(claimed.amount - 20_000_000, claimed.script_pubkey))
        if not has_previous:
            lying = with_input(lying, liar, previous_transaction=b"")
            lying = with_input(lying, truthful, previous_transaction=b"")
        with refuses("UTXO_CONFLICT" if has_previous else "PREVTX_MISSING"):
            forger.read(lying)


def test_an_input_signs_for_its_true_amount_whatever_the_file_says_of_the_others(forger):
    # The other half of the same attack: what is signed comes from the reading, never from a claim.
    drafted = forger.draft()
    reading = forger.read(forger.psbt(drafted))
    assert [each.amount for each in reading.spent] == [spent.amount for spent in drafted.identity.spent]


# --- A6: scripts ----------------------------------------------------------------------------------------------------


def lying_scripts(forger) -> dict[str, bytes]:
    keys = sorted(forger.vault.public_keys(0, 0))
    return {
        "one of two with an attacker": multisig_script(1, [keys[0], ATTACKER]),
        "keys not sorted": multisig_script(2, keys[::-1]),
        "another threshold": multisig_script(1, keys),
        "one key swapped": multisig_script(2, sorted([*keys[:2], ATTACKER])),
        "the script of another place": forger.vault.witness_script(0, 1),
        "a byte more": forger.vault.witness_script(0, 0) + b"\x51",
        "nothing": b"",
    }


LYING_SCRIPTS = (
    "one of two with an attacker",
    "keys not sorted",
    "another threshold",
    "one key swapped",
    "the script of another place",
    "a byte more",
    "nothing",
)


@pytest.mark.parametrize("which", LYING_SCRIPTS)
def test_a_witness_script_that_is_not_the_vault_s_own_is_refused(forger, which):
    script = lying_scripts(forger)[which]
    with refuses("SCRIPT_MISMATCH"):
        forger.read(with_input(forger.psbt(), 0, witness_script=script))


@pytest.mark.parametrize("which", LYING_SCRIPTS)
def test_a_script_that_hashes_to_the_output_it_spends_is_refused_all_the_same(forger, which):
    # The coin is the attacker's own, so hash and script agree; only the vault's derivation does not know it.
    script = lying_scripts(forger)[which]
    coin = forger.coin(60_000_000, 0, 0, p2wsh(script))
    drafted = forger.draft(coins=(coin, forger.coins[1]))
    psbt = forger.psbt(drafted)
    at = [spent.outpoint for spent in drafted.identity.spent].index(coin.outpoint)
    with refuses("FOREIGN_INPUT"):
        forger.read(with_input(psbt, at, witness_script=script))


@pytest.mark.parametrize("which", ["p2sh for p2sh-p2wsh", "p2sh-p2wsh for p2wsh"])
def test_a_swapped_script_type_is_refused(forger, forger_of, which):
    if which == "p2sh for p2sh-p2wsh":
        nested = forger_of(make_cast(Setting(script_type=ScriptType.SH_WSH)))
        psbt = nested.psbt()
        assert nested.read(psbt).fee
        script = psbt.inputs[0].witness_script
        with refuses("SCRIPT_MISMATCH"):
            nested.read(with_input(psbt, 0, redeem_script=script, witness_script=b""))
    else:
        psbt = forger.psbt()
        with refuses("SCRIPT_MISMATCH"):
            forger.read(with_input(psbt, 0, redeem_script=p2wsh(psbt.inputs[0].witness_script)))


# --- A7: what a parser rewrites -------------------------------------------------------------------------------------


SPELLINGS = [
    *({"sequence": sequence} for sequence in (0, 1, 10, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF)),
    *({"version": version} for version in (0, 1, 2, 3, -1, -(2**31), 2**31 - 1)),
    *({"locktime": locktime} for locktime in (0, 1, 499_999_999, 500_000_000, 2**32 - 1)),
]


def spelled(drafted: Draft, forger, sequence: int | None = None, **changes) -> Draft:
    if sequence is not None:
        first, *rest = drafted.transaction.inputs
        changes["inputs"] = (replace(first, sequence=sequence), *rest)
    return forger.redrafted(drafted, **changes)


def test_two_parsers_read_the_same_transaction_and_each_spelling_is_another_transfer(forger):
    drafted = forger.draft()
    ids = {}
    for spelling in SPELLINGS:
        other = spelled(drafted, forger, **spelling)
        raw = other.identity.transactions[0]
        assert Transaction.parse(raw).serialize() == raw
        assert Transaction.parse(raw).txid == bytes(pbk.Transaction(raw).txid)
        psbt = replace(forger.psbt(), transaction=other.transaction).to_psbt()
        read = Psbt.parse(psbt.serialize())
        assert read.serialize() == psbt.serialize()
        assert read.unsigned_transaction.stripped() == raw
        ids.setdefault(other.transfer_id, raw)
        assert ids[other.transfer_id] == raw
    assert len(ids) == len({spelled(drafted, forger, **each).identity.transactions[0] for each in SPELLINGS})


@pytest.mark.parametrize("version", [0, 1, 3, -1])
def test_another_version_is_refused(forger, stage, version):
    with refuses("TX_VERSION"):
        forger.judge(forger.redrafted(forger.draft(), version=version), stage)


def test_a_transaction_that_brings_its_own_signatures_is_refused(forger, stage, edit):
    # Scripts and witnesses are not what officers approve, but they would be part of the name they approve it by.
    drafted = forger.draft()
    bare = drafted.transaction
    witness = replace(bare, witness=((b"\x01",), ())).serialize()
    first, *rest = bare.inputs
    signed = replace(bare, inputs=(replace(first, script_sig=b"\x51"), *rest)).serialize()
    for raw in (witness, signed):
        with refuses("SPENT_MISMATCH"):
            forger.judge(edit(drafted, identity=edit(drafted.identity, transactions=(raw,))), stage)


def test_two_transactions_to_choose_from_are_refused(forger, stage, edit):
    drafted = forger.draft()
    raw = drafted.identity.transactions[0]
    with refuses("SPENT_MISMATCH"):
        forger.judge(edit(drafted, identity=edit(drafted.identity, transactions=(raw, raw))), stage)


# --- A8: hash types -------------------------------------------------------------------------------------------------


HASH_TYPES = [0x02, 0x03, 0x81, 0x82, 0x83, 0x00, 0x04, 0x41, 0xFF]


def psbt_with(psbt: TransferPsbt, index: int, key: bytes, value: bytes) -> Psbt:
    """The PSBT with one field of one input set to this value."""
    made = psbt.to_psbt()
    maps = list(made.inputs)
    maps[index] = PsbtMap([*((k, v) for k, v in maps[index].pairs if k != key), (key, value)])
    return Psbt(0, made.global_map, tuple(maps), made.outputs)


@pytest.mark.parametrize("hash_type", HASH_TYPES)
@pytest.mark.parametrize("direction", list(Direction))
def test_a_wish_for_another_hash_type_is_refused(forger, hash_type, direction):
    asked = psbt_with(forger.psbt(), 1, bytes([InputField.SIGHASH_TYPE]), hash_type.to_bytes(4, "little"))
    with refuses("SIGHASH_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(asked, direction)
    assert caught.error.hash_type == hash_type


@pytest.mark.parametrize("hash_type", HASH_TYPES)
@pytest.mark.parametrize("has_field", [True, False])
def test_a_true_signature_of_another_hash_type_is_refused(forger, hash_type, has_field):
    # It verifies on the digest of its own hash type: nothing is wrong with it but what it leaves open.
    drafted = forger.draft()
    psbt = forger.psbt(drafted)
    if not has_field:
        psbt = with_input(psbt, 0, sighash_type=None)
    spent, seat = drafted.identity.spent[0], drafted.seats[0]
    key = min(forger.vault.public_keys(seat.branch, seat.index))
    known = hash_type & 0x1F in (1, 2, 3) and hash_type & 0x60 == 0
    script = forger.vault.witness_script(seat.branch, seat.index)
    digest = SegwitV0(drafted.transaction).digest(0, script, spent.amount, hash_type) if known else bytes(32)
    signature = sign_ecdsa(secret("attacker"), digest) + bytes([hash_type])
    partial = psbt_with(psbt, 0, bytes([InputField.PARTIAL_SIG]) + key, signature)
    stack = b"\x04\x00" + 2 * (bytes([len(signature)]) + signature) + b"\x69" + script
    final = psbt_with(psbt, 0, bytes([InputField.FINAL_SCRIPTWITNESS]), stack)
    for returned in (partial, final):
        with refuses("SIGHASH_FORBIDDEN"):
            TransferPsbt.from_psbt(returned, Direction.FROM_SIGNER)


@pytest.mark.parametrize("size", [64, 65])
def test_a_taproot_signature_has_no_place_in_a_transfer(forger, size):
    returned = psbt_with(forger.psbt(), 0, bytes([InputField.TAP_KEY_SIG]), bytes(size))
    with refuses("FIELD_FORBIDDEN"):
        TransferPsbt.from_psbt(returned, Direction.FROM_SIGNER)


# --- A9: fees and amounts -------------------------------------------------------------------------------------------


def test_a_fee_at_its_ceiling_passes_and_one_satoshi_more_does_not(forger_of, stage):
    wide = {"max_fee": 10_000_000, "max_rate": 10_000_000, "max_share": 10_000}
    forger = forger_of(make_cast(Setting(**wide)))
    weight = forger.proposal(forger.draft()).case.vbytes
    for limit, fee, code in (
        ({"max_fee": 50_000}, 50_000, "FEE_ABSOLUTE"),
        ({"max_rate": 100_000}, 100 * weight, "FEE_RATE"),
        ({"max_share": 10}, 70_000, "FEE_SHARE"),
    ):
        forger = forger_of(make_cast(Setting(**wide | limit)))
        assert forger.judge(forger.draft(fee=fee), stage).case.fee == fee
        with refuses(code):
            forger.judge(forger.draft(fee=fee + 1), stage)


def test_each_ceiling_is_found_alone():
    charter = make_cast(Setting(max_fee=1_000, max_rate=10_000, max_share=100)).charter
    for fee, vbytes, moved, code in (
        (1_001, 1_000, 1_000_000, "FEE_ABSOLUTE"),
        (1_000, 99, 1_000_000, "FEE_RATE"),
        (1_000, 1_000, 99_999, "FEE_SHARE"),
    ):
        payments = (Payment(SUPPLIER, moved),)
        case = Case("reserve", Purpose.PAYMENT, "Dana", payments, change=0, fee=fee, vbytes=vbytes)
        decision = decide(bytes(32), case, charter, Facts(at=0))
        assert decision.verdict is Verdict.DENY
        assert [each.code for each in decision.findings if each.code] == [code]


@pytest.mark.parametrize("excess", [0, 1, 1_000_000])
def test_outputs_that_reach_or_pass_the_inputs_are_refused(forger, stage, excess):
    drafted = forger.draft()
    at = change_at(drafted, forger.vault)
    outputs = list(drafted.transaction.outputs)
    outputs[at] = replace(outputs[at], amount=outputs[at].amount + 5_000 + excess)
    with refuses("FEE_NEGATIVE"):
        forger.judge(forger.redrafted(drafted, outputs=outputs), stage)
    psbt = forger.psbt()
    with refuses("FEE_NEGATIVE"):
        forger.read(replace(psbt, transaction=replace(psbt.transaction, outputs=tuple(outputs))))


@pytest.mark.parametrize("amount", [-(2**63), -1, MAX_MONEY + 1, 2**63 - 1])
def test_an_amount_that_cannot_be_is_refused(forger, stage, amount):
    drafted = forger.draft()
    at = change_at(drafted, forger.vault)
    outputs = list(drafted.transaction.outputs)
    outputs[at] = replace(outputs[at], amount=amount)
    with refuses("AMOUNT_RANGE"):
        forger.judge(forger.redrafted(drafted, outputs=outputs), stage)
    psbt = forger.psbt()
    with refuses("AMOUNT_RANGE"):
        forger.read(replace(psbt, transaction=replace(psbt.transaction, outputs=tuple(outputs))))


@pytest.mark.parametrize("amount", [-1, MAX_MONEY + 1])
def test_a_coin_of_an_impossible_amount_is_refused(forger, amount):
    script = forger.vault.script_pubkey(0, 0)
    funding = Transaction(2, (TxIn(OutPoint(bytes(32), 0), b"", 0),), (TxOut(amount, script),), 0)
    psbt = forger.psbt()
    first, second = psbt.transaction.inputs
    made = replace(psbt.transaction, inputs=(replace(first, outpoint=OutPoint(funding.txid, 0)), second))
    lying = with_input(replace(psbt, transaction=made), 0, previous_transaction=funding.serialize(), witness_utxo=None)
    with refuses("AMOUNT_RANGE"):
        forger.read(lying)


def test_amounts_that_only_together_are_impossible_are_refused(forger, stage):
    drafted = forger.draft()
    at = change_at(drafted, forger.vault)
    outputs = list(drafted.transaction.outputs)
    outputs[at] = replace(outputs[at], amount=MAX_MONEY)
    with refuses("AMOUNT_SUM"):
        forger.judge(forger.redrafted(drafted, outputs=outputs), stage)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (b"0.1", "AMOUNT_INVALID"),
        (b"%r" % (0.1 + 0.2), "AMOUNT_INVALID"),
        (b"70000000.00000001", "AMOUNT_INVALID"),
        (b"1.0", "AMOUNT_INVALID"),
        (b"1e3", "AMOUNT_INVALID"),
        (b'"1000"', "AMOUNT_INVALID"),
        (b"true", "AMOUNT_INVALID"),
        (b"[]", "AMOUNT_INVALID"),
        (b"9007199254740992", "AMOUNT_RANGE"),
        (b"9007199254740993", "AMOUNT_RANGE"),
        (b"9223372036854775807", "AMOUNT_RANGE"),
        (b"9223372036854775808", "AMOUNT_RANGE"),
        (b"18446744073709551616", "AMOUNT_RANGE"),
        (b"2100000000000001", "AMOUNT_RANGE"),
        (b"-1", "AMOUNT_RANGE"),
    ],
)
def test_an_amount_that_json_would_round_is_refused(forger, written, code):
    body = forger.request().body.replace(b'"amount":70000000', b'"amount":' + written)
    assert written in body
    with refuses(code):
        TransferRequest.from_bytes(body)


# --- A10: one coin twice --------------------------------------------------------------------------------------------


def test_one_coin_spent_by_two_inputs_is_refused(forger, stage):
    drafted = forger.draft()
    first, second = drafted.transaction.inputs
    spent, seats = drafted.identity.spent, drafted.seats
    outputs = drafted.transaction.outputs
    doubled = forger.redrafted(
        drafted, inputs=(first, second, first), spent=(*spent, spent[0]), seats=(*seats, seats[0]), outputs=outputs
    )
    # The fee would be the coin counted twice; it is not what refuses here.
    at = change_at(drafted, forger.vault)
    grown = list(outputs)
    grown[at] = replace(grown[at], amount=grown[at].amount + spent[0].amount)
    doubled = forger.redrafted(doubled, outputs=grown)
    with refuses("DUP_INPUT"):
        forger.judge(doubled, stage)
    psbt = forger.psbt()
    made = replace(psbt.transaction, inputs=(first, second, first), outputs=tuple(grown))
    with refuses("DUP_INPUT"):
        forger.read(replace(psbt, transaction=made, inputs=(*psbt.inputs, psbt.inputs[0])))


# --- A11: coins of others -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["a stranger's", "another vault's", "the same cosigners' other vault's"])
def test_a_coin_that_is_not_this_vault_s_is_refused(forger, stage, whose):
    names = tuple(each.name for each in forger.vault.cosigners)
    other = vault_of(("eve", "mallory", "trudy"), 2)[0] if whose == "another vault's" else vault_of(names, 3)[0]
    script = p2wpkh(hash160(ATTACKER)) if whose == "a stranger's" else other.script_pubkey(0, 0)
    coin = forger.coin(50_000_000, 0, 0, script)
    drafted = forger.draft(coins=(*forger.coins, coin))
    with refuses("FOREIGN_INPUT") as caught:
        forger.judge(drafted, stage)
    assert caught.error.outpoint == coin.outpoint
    psbt = forger.psbt(drafted)
    with refuses("FOREIGN_INPUT"):
        forger.read(psbt)
    # The same with every claim about the coin told truthfully.
    if whose == "a stranger's":
        return
    at = [spent.outpoint for spent in drafted.identity.spent].index(coin.outpoint)
    truthful = with_input(psbt, at, witness_script=other.witness_script(0, 0), key_paths=other.key_paths(0, 0))
    with refuses("FOREIGN_INPUT" if other.cosigners == forger.vault.cosigners else "PATH_MISMATCH"):
        forger.read(truthful)
