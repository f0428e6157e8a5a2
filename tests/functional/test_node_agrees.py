"""What we derive and finish is what bitcoind derives and finishes: addresses, and transactions byte for byte."""

from decimal import Decimal
from random import Random

import pytest
from pydantic import TypeAdapter

from custody.bitcoin import curve, script
from custody.bitcoin.transaction import Transaction
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting
from custody.testing.scenario import Scenario
from custody.transfer.request import Purpose
from custody.units import COIN, HARDENED, Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin
from custody.vault.templates import ScriptType

VAULTS = 200
ADDRESSES = 20
ADDRESS_LISTS = TypeAdapter(list[list[str]])
OBJECT = TypeAdapter(dict[str, object])


def random_cosigner(random, script_type):
    path = (*(HARDENED + each for each in (48, 1, random.randrange(1000))), script_type.bip48_script)
    key = AccountKey(
        public_key=curve.public_key(random.randbytes(32)),
        chain_code=random.randbytes(32),
        depth=len(path),
        parent_fingerprint=random.randbytes(4),
        child_number=path[-1],
        network_version=Network.REGTEST.xpub_version,
    )
    return Cosigner("", KeyOrigin(random.randbytes(4), path), key)


def random_vault(seed, script_type):
    random = Random(seed)  # noqa: S311 - the same vaults on every run
    size = random.randint(2, 15)
    cosigners = [random_cosigner(random, script_type) for _ in range(size)]
    return Vault.create(random.randint(2, size), cosigners, script_type, Network.REGTEST)


@pytest.mark.parametrize("script_type", list(ScriptType))
def test_addresses_of_random_vaults_are_bitcoind_s(node, script_type):
    for seed in range(VAULTS // len(ScriptType)):
        vault = random_vault(seed, script_type)
        theirs = node.rpc.ask(ADDRESS_LISTS, "deriveaddresses", vault.descriptor, [0, ADDRESSES - 1])
        ours = [
            [script.address(each, Network.REGTEST) for each in vault.scripts(branch, 0, ADDRESSES)] for branch in Branch
        ]
        assert ours == theirs, seed


def test_an_address_far_out_is_bitcoind_s(node):
    vault = random_vault(1, ScriptType.WSH)
    last = HARDENED - 1
    theirs = node.rpc.ask(ADDRESS_LISTS, "deriveaddresses", vault.descriptor, [last, last])
    assert [[vault.address(branch, last)] for branch in Branch] == theirs


SETTINGS = {
    "2-of-2 wsh": Setting(cosigners=("astana", "almaty")),
    "2-of-3 wsh": Setting(),
    "2-of-3 sh-wsh": Setting(script_type=ScriptType.SH_WSH),
    "3-of-5 sh-wsh": Setting(
        threshold=3, cosigners=("astana", "almaty", "shymkent", "aktau", "oral"), script_type=ScriptType.SH_WSH
    ),
    "4-of-7 wsh": Setting(threshold=4, cosigners=("astana", "almaty", "shymkent", "aktau", "oral", "taraz", "semey")),
    "2-of-3 tr": Setting(script_type=ScriptType.TR),
    "3-of-5 tr": Setting(
        threshold=3, cosigners=("astana", "almaty", "shymkent", "aktau", "oral"), script_type=ScriptType.TR
    ),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_finished_transactions_are_bitcoind_s_byte_for_byte(node, setting):
    story = Scenario.funded(*(3_000_000 + 10_000 * number for number in range(24)), setting=setting)
    requests = [
        story.request((SUPPLIER, 1_000_000)),
        story.request((SUPPLIER, 12_000_000), (TAX_OFFICE, 1_234_567)),
        story.request((TAX_OFFICE, None), purpose=Purpose.SWEEP),
    ]
    for request in requests:
        transfer_id = story.authorized(request)
        story.signed(transfer_id)
        story.custodian.release(transfer_id)
        transfer = story.transfer(transfer_id)
        psbt = story.custodian.psbt(transfer_id).to_psbt().to_base64()
        finished = node.rpc.ask(OBJECT, "finalizepsbt", psbt)
        assert finished["complete"]
        assert finished["hex"] == transfer.verified.raw.hex()
        analysis = node.rpc.ask(OBJECT, "analyzepsbt", psbt)
        assert analysis["next"] == "finalizer"
        assert analysis["fee"] * COIN == fee_of(transfer)
    assert len(Transaction.parse(transfer.verified.raw).inputs) > 10
    story.close()


def fee_of(transfer):
    spent = sum(each.amount for each in transfer.draft.identity.spent)
    return Decimal(spent - sum(output.amount for output in transfer.draft.transaction.outputs))


def test_every_signature_set_of_a_vault_finishes_as_bitcoind_finishes_it(node):
    for cosigners in ((0, 1), (0, 2), (1, 2), (2, 0)):
        story = Scenario.funded(30_000_000)
        transfer_id = story.authorized()
        for cosigner in cosigners:
            story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
        story.custodian.combine(transfer_id)
        raw = story.custodian.verify(transfer_id).raw
        story.custodian.release(transfer_id)
        psbt = story.custodian.psbt(transfer_id).to_psbt().to_base64()
        assert node.rpc.ask(OBJECT, "finalizepsbt", psbt)["hex"] == raw.hex()
        story.close()
