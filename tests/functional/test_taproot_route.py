"""A taproot vault from its descriptor to a spent change output, on the kernel's chain, and what is different there.

Every cosigner signs with Schnorr for one leaf, nobody has the internal key, and libbitcoinkernel alone judges.
"""

from collections.abc import Iterator

import pytest

from custody.bitcoin.profile import Direction, TransferPsbt, read_transfer_file
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.psbt_fields import InputField
from custody.bitcoin.script import script_of
from custody.bitcoin.taproot import is_control_block
from custody.bitcoin.transaction import Transaction
from custody.examine.evidence import Evidence, Stage
from custody.history import lists
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting, payee_address
from custody.testing.scenario import RATE, Scenario
from custody.transfer.request import Purpose
from custody.transfer.state import Status
from custody.units import Network, vsize
from custody.vault.descriptor import Branch, Vault
from custody.vault.templates import ScriptType

FIVE = ("astana", "almaty", "shymkent", "aktau", "oskemen")
SETTING = Setting(threshold=3, cosigners=FIVE, script_type=ScriptType.TR)


@pytest.fixture
def story() -> Iterator[Scenario]:
    scenario = Scenario.funded(60_000_000, 40_000_000, setting=SETTING)
    yield scenario
    scenario.close()


def on_chain(story: Scenario, transfer_id: bytes) -> Transaction:
    seen = story.transfer(transfer_id).seen
    assert seen is not None
    return next(each.decode() for each in story.chain.view.block(seen.height).transactions if each.txid == seen.txid)


def test_a_taproot_vault_is_paid_pays_and_spends_its_change(story):
    vault = story.cast.vault
    # The charter carries the vault as text: whoever has the text has the same addresses.
    assert Vault.parse(story.cast.charter.vaults[0].descriptor, Network.REGTEST).addresses(0, 0, 5) == [
        vault.address(0, index) for index in range(5)
    ]
    assert vault.address(0, 0).startswith("bcrt1p")

    first = story.confirmed(story.request((SUPPLIER, 70_000_000)))
    assert story.transfer(first).status is Status.CONFIRMED
    assert story.transfer(first).verified.judges == ("libbitcoinkernel",)
    paid = {output.script_pubkey: output.amount for output in on_chain(story, first).outputs}
    assert paid[script_of(payee_address(SUPPLIER), Network.REGTEST)] == 70_000_000
    change = vault.script_pubkey(Branch.CHANGE, 0)
    assert story.balance == paid[change]

    # The change is the only coin left, so the next transfer spends it, at a place of the other branch.
    second = story.confirmed(story.request((TAX_OFFICE, 20_000_000)))
    (seat,) = story.transfer(second).draft.seats
    assert (seat.branch, seat.index) == (Branch.CHANGE, 0)
    assert story.transfer(second).status is Status.CONFIRMED


def test_each_witness_holds_exactly_three_signatures_in_the_order_of_the_script(story):
    transaction = on_chain(story, story.confirmed(story.request((SUPPLIER, 90_000_000))))
    assert len(transaction.inputs) == 2
    for spending, stack in zip(transaction.inputs, transaction.witness, strict=True):
        *signatures, script, control_block = stack
        assert spending.script_sig == b""
        assert is_control_block(control_block)
        assert script.endswith(b"\x53\x9c")
        assert sorted(len(each) for each in signatures) == [0, 0, 64, 64, 64]
    # What the fee was reckoned with is what the transaction weighs, to the byte: Schnorr signatures have one size.
    fee = sum(each.amount for each in story.transfer(_only(story)).draft.identity.spent) - sum(
        output.amount for output in transaction.outputs
    )
    assert fee == -(-RATE * vsize(transaction.weight) // 1000)


def _only(story: Scenario) -> bytes:
    (transfer,) = lists.transfers(story.history())
    return transfer.id


@pytest.mark.parametrize("cosigners", [(0, 1, 2), (4, 2, 0), (3, 4, 2)])
def test_any_three_of_the_five_will_do(story, cosigners):
    transfer_id = story.authorized()
    for cosigner in cosigners:
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    story.custodian.combine(transfer_id)
    story.custodian.verify(transfer_id)
    story.custodian.release(transfer_id)
    story.custodian.deliver()
    story.mine()
    assert story.transfer(transfer_id).status is Status.CONFIRMED


def test_the_psbt_that_leaves_says_what_a_device_needs(story):
    transfer_id = story.authorized()
    asked = story.custodian.psbt(transfer_id).to_psbt()
    kinds = {pair[0][0] for each in asked.inputs for pair in each.pairs}
    assert kinds == {
        InputField.NON_WITNESS_UTXO,
        InputField.WITNESS_UTXO,
        InputField.TAP_LEAF_SCRIPT,
        InputField.TAP_BIP32_DERIVATION,
        InputField.TAP_INTERNAL_KEY,
        InputField.TAP_MERKLE_ROOT,
    }
    # Every key with its origin: five cosigners and the internal key, in inputs and in change.
    for each in (*asked.inputs, *(output for output in asked.outputs if output.pairs)):
        number = InputField.TAP_BIP32_DERIVATION if each in asked.inputs else 0x07
        assert len(each.of_type(number)) == 6
    # As a file, and back.
    assert read_transfer_file(asked.to_base64().encode(), Direction.TO_SIGNER).to_psbt() == asked


def test_the_log_alone_tells_the_whole_transfer_again(story):
    transfer_id = story.sent()
    evidence = Evidence.from_bytes(story.custodian.evidence(transfer_id).to_bytes())
    examined = story.stations[4].examine(evidence, Stage.RELEASE)
    assert examined.transfer_id == transfer_id
    assert examined.vault.script_type is ScriptType.TR
    assert TransferPsbt.from_psbt(examined.psbt.to_psbt(), Direction.TO_SIGNER) == examined.psbt


def test_two_of_three_signatures_are_not_enough_and_a_fourth_is_left_out(story):
    transfer_id = story.authorized()
    for cosigner in (3, 0):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    with refuses("SIGNATURES_MISSING"):
        story.custodian.combine(transfer_id)
    for cosigner in (4, 1):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    assert len(story.custodian.combine(transfer_id).cosigners) == 3
    raw = story.custodian.verify(transfer_id).raw
    assert [[len(item) for item in stack].count(64) for stack in Transaction.parse(raw).witness] == [3]


def test_a_file_that_went_through_both_hands_counts_for_both(story):
    # Cosigners may pass one file on instead of answering each on their own.
    transfer_id = story.authorized()
    file: Psbt = story.custodian.psbt(transfer_id).to_psbt()
    for signer in story.cast.signers[1:4]:
        file = signer.sign(file)
    story.custodian.receive(transfer_id, file)
    story.custodian.combine(transfer_id)
    assert story.custodian.verify(transfer_id).judges == ("libbitcoinkernel",)


def test_a_sweep_leaves_a_taproot_vault_empty():
    setting = Setting(threshold=3, cosigners=FIVE, script_type=ScriptType.TR, max_outflow=2_100_000_000)
    story = Scenario.funded(*(5_000_000 + each for each in range(12)), setting=setting)
    try:
        transfer_id = story.confirmed(story.request((TAX_OFFICE, None), purpose=Purpose.SWEEP))
        assert len(on_chain(story, transfer_id).inputs) == 12
        assert story.balance == 0
    finally:
        story.close()
