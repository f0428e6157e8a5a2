"""One suite for every device: it is found, gives its key, shows our address, signs what we ask and nothing else.

Runs against a vendor's emulator or the device itself; tests/device/conftest.py says how. What it shows about one device
is worth as much as what it ran against: only firmware, in an emulator or not, is tested on firmware.
"""

from dataclasses import replace

import pytest

from custody.backends.hwi.signer import HwiSigner, find_devices, open_device
from custody.backends.kernel import KernelJudge
from custody.bitcoin.profile import Direction, ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.script import p2wpkh
from custody.bitcoin.sighash import ALL
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.errors import CustodyError
from custody.testing.asserts import refuses
from custody.testing.cast import account_path
from custody.transfer.signing import account_keys
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import Cosigner, KeyOrigin
from custody.vault.ownership import claims_of, read_ownership, spent_outputs
from custody.vault.templates import ScriptType

pytestmark = pytest.mark.device

PLACES = ((Branch.RECEIVE, 0), (Branch.RECEIVE, 1), (Branch.CHANGE, 3))
CHANGE = 4
COIN = 1_000_000
PAID = 1_200_000
FEE = 5_000


@pytest.fixture(scope="module")
def enrolled(bench):
    """The device, told of the vault; it has shown its first address."""
    bench.signer.enrol(bench.vault)
    return bench


def transfer_from(vault: Vault) -> TransferPsbt:
    """Three coins, one payee, change: what a station hands to its signer."""
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
        TxOut(PAID, p2wpkh(b"\x05" * 20)),
        TxOut(total - PAID - FEE, vault.script_pubkey(Branch.CHANGE, CHANGE)),
    )
    claims = (ProfileOutput(), claims_of(vault, Branch.CHANGE, CHANGE))
    transaction = Transaction(2, tuple(spending), outputs, 0)
    return TransferPsbt(transaction, account_keys(vault), tuple(inputs), claims)


def finished(signed: Psbt, vault: Vault) -> bytes:
    """The transaction, finalized with the two signatures of each input in the order of the script's keys."""
    transfer = TransferPsbt.from_psbt(signed, Direction.FROM_SIGNER)
    witness = []
    for claims, (branch, index) in zip(transfer.inputs, PLACES, strict=True):
        signatures = [signature for _, signature in claims.signatures]
        assert len(signatures) == vault.threshold
        witness.append((b"", *signatures, vault.witness_script(branch, index)))
    return replace(transfer.transaction, witness=tuple(witness)).serialize()


def test_it_is_found_with_its_fingerprint(bench):
    found = [each for each in find_devices(bench.network, [bench.device], program=bench.program) if each.fingerprint]
    assert bench.signer.fingerprint in [each.fingerprint for each in found]
    assert bench.signer.device in [each.device for each in found]


def test_its_account_key_is_the_same_each_time_and_of_the_network(bench):
    path = (*account_path(ScriptType.WSH)[:2], bench.vault.cosigners[0].origin.path[2], 2 + 2**31)
    origin, key = bench.signer.account_key(path)
    own = bench.vault.cosigner_of(bench.signer.fingerprint)
    assert (origin, key) == (own.origin, own.key)
    assert key.network_version == bench.network.xpub_version


@pytest.mark.parametrize("place", [(Branch.RECEIVE, 0), (Branch.RECEIVE, 5), (Branch.CHANGE, 2)])
def test_the_address_it_shows_is_ours(enrolled, place):
    assert enrolled.signer.show_address(enrolled.vault, *place) == enrolled.vault.address(*place)


def test_bitcoins_own_rules_accept_what_it_signed_together_with_a_key_file(enrolled):
    sent = transfer_from(enrolled.vault)
    assert read_ownership(sent, enrolled.vault).fee == FEE
    signed = enrolled.signer.sign(sent.to_psbt())
    bare = TransferPsbt.from_psbt(signed, Direction.FROM_SIGNER)
    assert replace(bare, inputs=tuple(replace(each, signatures=()) for each in bare.inputs)) == sent
    raw = finished(enrolled.others[0].sign(signed), enrolled.vault)
    assert KernelJudge().judge(raw, spent_outputs(sent)) is None


def test_what_it_signed_it_signs_again_to_the_same_end(enrolled):
    signed = enrolled.signer.sign(transfer_from(enrolled.vault).to_psbt())
    again = TransferPsbt.from_psbt(enrolled.signer.sign(signed), Direction.FROM_SIGNER)
    assert [len(each.signatures) for each in again.inputs] == [1] * len(PLACES)


def test_asked_twice_it_signs_alike_if_its_kind_is_said_to(enrolled):
    if not enrolled.signer.device.kind.is_deterministic:
        pytest.skip("nobody says of this kind that it signs by RFC 6979")
    sent = transfer_from(enrolled.vault).to_psbt()
    assert enrolled.signer.sign(sent) == enrolled.signer.sign(sent)


def test_a_vault_it_has_no_key_of_is_not_shown_to_it(bench):
    names = (*bench.vault.cosigners[1:], _cosigner(bench, b"\x11\x22\x33\x44"))
    other = Vault.create(2, names, ScriptType.WSH, bench.network)
    with refuses("SIGNER_REFUSED"):
        bench.signer.sign(transfer_from(other).to_psbt())
    with refuses("NOT_A_MEMBER"):
        bench.signer.show_address(other, Branch.RECEIVE, 0)


def test_in_its_name_but_with_anothers_key_nothing_is_signed(enrolled):
    forged = _cosigner(enrolled, enrolled.signer.fingerprint)
    vault = Vault.create(2, (forged, *enrolled.vault.cosigners[1:]), ScriptType.WSH, enrolled.network)
    with pytest.raises(CustodyError) as caught:
        enrolled.signer.sign(transfer_from(vault).to_psbt())
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
    with refuses("DEVICE_MISMATCH"):
        HwiSigner(bench.signer.device, expected, bench.network, bench.program).account_key(account_path(ScriptType.WSH))


@pytest.mark.refusal
def test_when_its_holder_says_no_nothing_is_signed(bench):
    with refuses("DEVICE_REFUSED"):
        bench.signer.sign(transfer_from(bench.vault).to_psbt())


def _cosigner(bench, fingerprint: bytes) -> Cosigner:
    """A cosigner of this fingerprint with a key that nobody holds."""
    own = bench.vault.cosigners[0]
    key = replace(
        own.key, public_key=bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    )
    return Cosigner("nobody", KeyOrigin(fingerprint, own.origin.path), key)
