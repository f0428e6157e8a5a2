"""One suite for every device: it is found, gives its key, shows our address, signs what we ask and nothing else.

Runs against a vendor's emulator or the device itself; tests/device/conftest.py says how. What it shows about one device
is worth as much as what it ran against: only firmware, in an emulator or not, is tested on firmware.
"""

from dataclasses import replace

import pytest

from custody.backends.hwi.errors import DeviceRefused
from custody.backends.hwi.signer import HwiSigner, find_devices, open_device
from custody.backends.kernel import KernelJudge
from custody.bitcoin.profile import Direction, ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.script import p2wpkh
from custody.bitcoin.sighash import ALL
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.errors import CustodyError
from custody.testing.asserts import refuses
from custody.transfer.signing import account_keys
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import Cosigner, KeyOrigin, show_path
from custody.vault.ownership import claims_of, read_ownership, spent_outputs

pytestmark = pytest.mark.device

PLACES = ((Branch.RECEIVE, 0), (Branch.RECEIVE, 1), (Branch.CHANGE, 3))
CHANGE = 4
COIN = 1_000_000
PAID = 1_200_000
FEE = 5_000


@pytest.fixture(scope="module")
def enrolled(bench, holder):
    """The device, told of the vault; it has shown its first address."""
    with holder.asked("register the vault where it asks for that, then confirm the first address"):
        bench.signer.enrol(bench.vault)
    return bench


def transfer_from(vault: Vault, paid: int = PAID) -> TransferPsbt:
    """Three coins, one payee, change: what a station hands to its signer.

    Tests pay different amounts: some devices refuse a payment like the last one.
    """
    spending, inputs = [], []
    for number, (branch, index) in enumerate(PLACES):
        coin = TxOut(COIN + number, vault.script_pubkey(branch, index))
        source = TxIn(OutPoint(bytes([number + 1]) * 32, 0), b"", 0xFFFFFFFD)
        # Every previous transaction has another output too.
        previous = Transaction(2, (source,), (TxOut(777, p2wpkh(b"\x02" * 20)), coin), 0)
        spending.append(TxIn(OutPoint(previous.txid, 1), b"", 0xFFFFFFFD))
        inputs.append(
            ProfileInput(
                previous_transaction=previous.serialize(),
                witness_utxo=coin,
                witness_script=vault.witness_script(branch, index),
                redeem_script=vault.redeem_script(branch, index),
                key_paths=vault.key_paths(branch, index),
                sighash_type=ALL,
            )
        )
    total = sum(each.witness_utxo.amount for each in inputs)
    outputs = (
        TxOut(paid, p2wpkh(b"\x05" * 20)),
        TxOut(total - paid - FEE, vault.script_pubkey(Branch.CHANGE, CHANGE)),
    )
    claims = (ProfileOutput(), claims_of(vault, Branch.CHANGE, CHANGE))
    transaction = Transaction(2, tuple(spending), outputs, 0)
    return TransferPsbt(transaction, account_keys(vault), tuple(inputs), claims)


def finished(signed: Psbt, vault: Vault) -> bytes:
    """The transaction, finalized with the two signatures of each input in the order of the script's keys."""
    transfer = TransferPsbt.from_psbt(signed, Direction.FROM_SIGNER)
    witness, spending = [], []
    for spent, claims, (branch, index) in zip(transfer.transaction.inputs, transfer.inputs, PLACES, strict=True):
        signatures = [signature for _, signature in claims.signatures]
        assert len(signatures) == vault.threshold
        witness.append((b"", *signatures, vault.witness_script(branch, index)))
        redeem = vault.redeem_script(branch, index)
        spending.append(replace(spent, script_sig=bytes([len(redeem)]) + redeem if redeem else b""))
    return replace(transfer.transaction, inputs=tuple(spending), witness=tuple(witness)).serialize()


def shown(transfer: TransferPsbt) -> str:
    """What the device's screen is to show of `transfer`."""
    paid, change = (each.amount for each in transfer.transaction.outputs)
    return f"{paid:,} sat to the payee, {FEE:,} sat fee, {change:,} sat change (some devices hide or mark it)"


def test_it_is_found_with_its_fingerprint(bench, holder):
    with holder.asked("nothing: it is only looked for"):
        found = list(find_devices(bench.network, [bench.device], program=bench.program))
    known = {each.device: each.fingerprint for each in found if each.fingerprint}
    problems = [f"{each.device}: {each.problem}" for each in found if each.problem]
    assert known.get(bench.signer.device) == bench.signer.fingerprint, problems


def test_its_account_key_is_the_same_each_time_and_of_the_network(bench, holder):
    own = bench.vault.cosigner_of(bench.signer.fingerprint)
    with holder.asked(f"its account key at m{show_path(own.origin.path)}"):
        origin, key = bench.signer.account_key(own.origin.path)
    assert (origin, key) == (own.origin, own.key)
    assert key.network_version == bench.network.xpub_version


@pytest.mark.parametrize("place", [(Branch.RECEIVE, 0), (Branch.RECEIVE, 5), (Branch.CHANGE, 2)])
def test_the_address_it_shows_is_ours(enrolled, holder, place):
    expected = enrolled.vault.address(*place)
    with holder.asked(f"compare and confirm the address of the script of {expected}"):
        assert enrolled.signer.show_address(enrolled.vault, *place) == expected


def test_bitcoins_own_rules_accept_what_it_signed_together_with_a_key_file(enrolled, holder):
    sent = transfer_from(enrolled.vault)
    assert read_ownership(sent, enrolled.vault).fee == FEE
    with holder.asked(f"review and sign {shown(sent)}"):
        signed = enrolled.signer.sign(sent.to_psbt())
    bare = TransferPsbt.from_psbt(signed, Direction.FROM_SIGNER)
    assert replace(bare, inputs=tuple(replace(each, signatures=()) for each in bare.inputs)) == sent
    raw = finished(enrolled.others[0].sign(signed), enrolled.vault)
    assert KernelJudge().judge(raw, spent_outputs(sent)) is None


def test_what_it_signed_it_signs_again_to_the_same_end(enrolled, holder):
    sent = transfer_from(enrolled.vault, PAID + 1)
    with holder.asked(f"review and sign {shown(sent)}"):
        signed = enrolled.signer.sign(sent.to_psbt())
    with holder.asked(f"once more, review and sign {shown(sent)}"):
        try:
            again = TransferPsbt.from_psbt(enrolled.signer.sign(signed), Direction.FROM_SIGNER)
        except DeviceRefused:
            if enrolled.device.kind.signs_again:
                raise
            return
    assert [len(each.signatures) for each in again.inputs] == [1] * len(PLACES)


def test_asked_twice_it_signs_alike_if_its_kind_is_said_to(enrolled):
    if not enrolled.signer.device.kind.is_deterministic:
        pytest.skip("nobody says of this kind that it signs by RFC 6979")
    sent = transfer_from(enrolled.vault).to_psbt()
    assert enrolled.signer.sign(sent) == enrolled.signer.sign(sent)


def test_a_vault_it_has_no_key_of_is_not_shown_to_it(bench):
    names = (*bench.vault.cosigners[1:], _cosigner(bench, b"\x11\x22\x33\x44"))
    other = Vault.create(2, names, bench.vault.script_type, bench.network)
    with refuses("SIGNER_REFUSED"):
        bench.signer.sign(transfer_from(other).to_psbt())
    with refuses("NOT_A_MEMBER"):
        bench.signer.show_address(other, Branch.RECEIVE, 0)


def test_in_its_name_but_with_anothers_key_nothing_is_signed(enrolled, holder):
    forged = _cosigner(enrolled, enrolled.signer.fingerprint)
    vault = Vault.create(2, (forged, *enrolled.vault.cosigners[1:]), enrolled.vault.script_type, enrolled.network)
    sent = transfer_from(vault, PAID + 2)
    with (
        holder.asked(f"should it show {shown(sent)}, approve: no signature may come of it"),
        pytest.raises(CustodyError) as caught,
    ):
        enrolled.signer.sign(sent.to_psbt())
    assert caught.value.code in {
        "DEVICE_FAILED",
        "DEVICE_NOT_ENROLLED",
        "DEVICE_REFUSED",
        "DEVICE_UNSUPPORTED",
        "SIGNER_PROTOCOL",
    }
    assert caught.value.advice()


def test_another_device_in_its_place_would_be_noticed(bench):
    expected = bytes(each ^ 0xFF for each in bench.signer.fingerprint)
    with refuses("DEVICE_MISMATCH"):
        open_device(bench.signer.device, bench.network, [expected], program=bench.program)
    other = HwiSigner(bench.signer.device, expected, bench.network, bench.program)
    with refuses("DEVICE_MISMATCH"):
        other.account_key(bench.vault.cosigners[0].origin.path)


@pytest.mark.refusal
def test_when_its_holder_says_no_nothing_is_signed(bench, holder):
    sent = transfer_from(bench.vault, PAID + 3)
    with holder.asked(f"say no to {shown(sent)}"), refuses("DEVICE_REFUSED"):
        bench.signer.sign(sent.to_psbt())


def _cosigner(bench, fingerprint: bytes) -> Cosigner:
    """A cosigner of this fingerprint with a key that nobody holds."""
    own = bench.vault.cosigners[0]
    key = replace(
        own.key, public_key=bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    )
    return Cosigner("nobody", KeyOrigin(fingerprint, own.origin.path), key)
