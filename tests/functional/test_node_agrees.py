"""What we derive and finish is what others derive and finish: addresses, and transactions byte for byte.

bitcoind is asked in every run. bdkpython and wallycore are asked by `make agree`, which installs them.
"""

import functools
import importlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from random import Random

import pytest
from pydantic import TypeAdapter

from custody.bitcoin import curve
from custody.bitcoin.transaction import Transaction
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting
from custody.testing.node import OfflineNode
from custody.testing.scenario import Scenario
from custody.transfer.request import Purpose
from custody.units import COIN, HARDENED, Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin
from custody.vault.templates import MAX_KEYS, MIN_THRESHOLD, ScriptType

KINDS = list(product(ScriptType, Network))
VAULTS = 1_000
ADDRESSES = 20
ADDRESS_LISTS = TypeAdapter(list[list[str]])
OBJECT = TypeAdapter(dict[str, object])


def random_cosigner(random, script_type, network):
    account = (network.coin_type, random.randrange(1000))
    path = random.choice([(48, *account, script_type.bip48_script - HARDENED), (87, *account)])
    path = tuple(HARDENED + each for each in path)
    key = AccountKey(
        public_key=curve.public_key(random.randbytes(32)),
        chain_code=random.randbytes(32),
        depth=len(path),
        parent_fingerprint=random.randbytes(4),
        child_number=path[-1],
        network_version=network.xpub_version,
    )
    return Cosigner("", KeyOrigin(random.randbytes(4), path), key)


@dataclass(frozen=True)
class Drawn:
    """What a vault is to be: any quorum of any kind on any network; and the first index to look at."""

    script_type: ScriptType
    network: Network
    threshold: int
    size: int
    start: int

    @classmethod
    def by(cls, random):
        script_type, network = random.choice(KINDS)
        size = random.randint(MIN_THRESHOLD, MAX_KEYS)
        start = random.choice([0, random.randrange(HARDENED - ADDRESSES)])
        return cls(script_type, network, random.randint(MIN_THRESHOLD, size), size, start)


@functools.cache
def random_vault(seed):
    """A vault as drawn, and the first index."""
    random = Random(seed)  # noqa: S311 - the same vaults on every run
    drawn = Drawn.by(random)
    cosigners = [random_cosigner(random, drawn.script_type, drawn.network) for _ in range(drawn.size)]
    return Vault.create(drawn.threshold, cosigners, drawn.script_type, drawn.network), drawn.start


DRAWN = [Drawn.by(Random(seed)) for seed in range(VAULTS)]  # noqa: S311 - as above


def random_vaults(*networks):
    return [random_vault(seed) for seed, drawn in enumerate(DRAWN) if drawn.network in networks]


def own_addresses(vault, start):
    return [vault.addresses(branch, start, start + ADDRESSES) for branch in Branch]


def test_the_random_vaults_are_of_every_kind_network_and_size():
    kinds = [(each.script_type, each.network) for each in DRAWN]
    assert min(kinds.count(each) for each in KINDS) > VAULTS // 20
    quorums = {(each.threshold, each.size) for each in DRAWN}
    assert {(2, 2), (2, MAX_KEYS), (MAX_KEYS, MAX_KEYS)} <= quorums
    assert len(quorums) > 100
    for seed in range(0, VAULTS, 100):
        vault, start = random_vault(seed)
        made = Drawn(vault.script_type, vault.network, vault.threshold, len(vault.cosigners), start)
        assert made == DRAWN[seed]


@pytest.mark.parametrize("network", list(Network))
def test_addresses_of_random_vaults_are_bitcoind_s(request, bitcoind, network):
    is_shared = network is Network.REGTEST
    with nullcontext(request.getfixturevalue("node")) if is_shared else OfflineNode(bitcoind, network) as running:
        vaults = random_vaults(network)

        def ask(each):
            vault, start = each
            return running.rpc.ask(ADDRESS_LISTS, "deriveaddresses", vault.descriptor, [start, start + ADDRESSES - 1])

        # The node works on the next ones while we work on this one.
        with ThreadPoolExecutor(max_workers=1) as asking:
            for each, theirs in zip(vaults, asking.map(ask, vaults), strict=True):
                assert own_addresses(*each) == theirs, each[0].descriptor


@pytest.mark.campaign
def test_addresses_of_random_vaults_are_bdk_s():
    bdk = importlib.import_module("bdkpython")
    kinds = dict.fromkeys(Network, bdk.NetworkKind.TEST) | {Network.MAIN: bdk.NetworkKind.MAIN}
    names = {Network.MAIN: "BITCOIN"}
    for vault, start in random_vaults(*Network):
        network = getattr(bdk.Network, names.get(vault.network, vault.network.name))
        for branch in Branch:
            ours = vault.addresses(branch, start, start + ADDRESSES)
            if vault.script_type is ScriptType.TR:
                places = range(start, start + ADDRESSES)
                read = [(bdk.Descriptor(at_place(vault, branch, at), kinds[vault.network]), 0) for at in places]
            else:
                one = bdk.Descriptor(of_branch(vault, branch), kinds[vault.network])
                read = [(one, at) for at in range(start, start + ADDRESSES)]
            theirs = [str(descriptor.derive_address(at, network)) for descriptor, at in read]
            assert theirs == ours, vault.descriptor


# What SWIG made warns that its types have no module; as an error that breaks the interpreter when it ends.
@pytest.mark.filterwarnings("ignore:builtin type .* has no __module__ attribute:DeprecationWarning")
@pytest.mark.campaign
def test_addresses_of_random_vaults_are_wally_s():
    wally = importlib.import_module("wallycore")
    networks = dict.fromkeys(Network, wally.WALLY_NETWORK_BITCOIN_TESTNET) | {
        Network.MAIN: wally.WALLY_NETWORK_BITCOIN_MAINNET,
        Network.REGTEST: wally.WALLY_NETWORK_BITCOIN_REGTEST,
    }
    compared = 0
    for vault, start in random_vaults(*Network):
        # libwally reads no script in a taproot descriptor.
        if vault.script_type is ScriptType.TR:
            continue
        for branch in Branch:
            parsed = wally.descriptor_parse(of_branch(vault, branch), None, networks[vault.network], 0)
            theirs = wally.descriptor_to_addresses(parsed, 0, 0, start, 0, ADDRESSES)
            assert list(theirs) == vault.addresses(branch, start, start + ADDRESSES), vault.descriptor
        compared += 1
    assert compared > VAULTS // 2


def of_branch(vault, branch):
    """The descriptor of one branch, without a checksum."""
    return vault.descriptor.partition("#")[0].replace("<0;1>", str(int(branch)))


def at_place(vault, branch, index):
    """A taproot vault's descriptor of one place in terms that bdk knows: it has no sortedmulti_a, so we sort.

    It derives the keys, the leaf and the output key on its own; that they are sorted rightly is bitcoind's to say.
    """
    keys = sorted(zip(vault.public_keys(branch, index), vault.cosigners, strict=True), key=lambda each: each[0][1:])
    written = ",".join(f"{cosigner.expression()}/{int(branch)}/{index}" for _, cosigner in keys)
    return f"tr({vault.internal_key}/{int(branch)}/{index},multi_a({vault.threshold},{written}))"


def test_an_address_far_out_is_bitcoind_s(node):
    vault = next(vault for vault, _ in random_vaults(Network.REGTEST) if vault.script_type is ScriptType.WSH)
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
