"""300 random transfers: the node accepts each, and finishes it to the same bytes as we do.

Seeded: vaults of all three kinds, 1 to 20 inputs, 1 to 4 payees, with change and without, signed by any of the
cosigners who suffice. Drafted, signed, combined and verified by the route's own functions, on one regtest node.
"""

import base64
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from pydantic import TypeAdapter

from custody.backends.bitcointx import BitcointxJudge
from custody.backends.kernel import KernelJudge
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import Transaction, TxOut
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting, expected
from custody.testing.node import NodeChain, OfflineNode
from custody.testing.scenario import Scenario
from custody.transfer.signing import accept, combine, signing_psbt, with_signatures
from custody.transfer.verify import verify
from custody.units import fee_at, vsize
from custody.vault.descriptor import Branch
from custody.vault.templates import ScriptType

TRANSFERS = 300
QUORUMS = (2, 2), (2, 3), (3, 5), (7, 11)
NAMES = "astana", "almaty", "shymkent", "aktau", "oral", "taraz", "semey", "turan", "kokshetau", "atyrau", "aktobe"
COINS = 60
MOST_INPUTS = 20
SMALLEST, SPREAD = 1_000_000, 300_000
"""Sats of the coins: alike enough that a sum says how many are needed."""
PAYEES = SUPPLIER, TAX_OFFICE, "Reserve", "Landlord"
OBJECT = TypeAdapter(dict[str, object])
ANSWERS = TypeAdapter(list[dict[str, object]])


@dataclass(frozen=True)
class Made:
    """A finished transfer: its transaction, and what others made of it."""

    script_type: ScriptType
    transaction: Transaction
    has_change: bool
    payees: int
    judges: tuple[str, ...]
    accepted: dict[str, object]
    finished: dict[str, object]


def opened(chain, script_type, quorum):
    """A vault on `chain` with coins of random amounts at addresses of their own."""
    threshold, size = quorum
    setting = Setting(
        threshold=threshold, cosigners=NAMES[:size], script_type=script_type, is_witnessed=False,
        more_payees=("Landlord",), max_fee=1_000_000, max_inputs=MOST_INPUTS,
    )  # fmt: skip
    story = Scenario.begin(setting, chain=chain)
    story.custodian.observe()
    random = Random(f"coins {script_type} {quorum}")  # noqa: S311 - the same on every run
    for _ in range(COINS):
        story.custodian.issue_address("reserve", expected())
    scripts = story.cast.vault.scripts(Branch.RECEIVE, 0, COINS)
    outputs = [TxOut(SMALLEST + random.randrange(SPREAD), script) for script in scripts]
    # Few payments with many outputs, as exchanges make them, and some with one.
    for part in (outputs[:1], outputs[1:2], outputs[2:20], outputs[20:]):
        chain.pay_all(part)
    story.mine()
    return story


def wanted(random, story):
    """Payments that about `count` coins make up, exactly in half of the cases so that nothing comes back."""
    count, payees = random.randint(1, MOST_INPUTS), random.sample(PAYEES, random.randint(1, len(PAYEES)))
    rate = random.choice([1_000, 2_500, 9_999, 30_000])
    coins = random.sample(story.spendable, count)
    vault = story.cast.vault
    base = fee_at(rate, 11 + 43 * len(payees)) + count * fee_at(rate, vsize(vault.input_weight))
    total = sum(coin.amount for coin in coins) - base
    if random.random() < 0.5:
        total -= random.randrange(SMALLEST // 2)
    parts = [total // len(payees)] * len(payees)
    parts[0] += total - sum(parts)
    return list(zip(payees, parts, strict=True)), rate


def made(random, story, node):
    payments, rate = wanted(random, story)
    custodian, vault, signers = story.custodian, story.cast.vault, story.cast.signers
    drafted, _ = story.drafted(story.request(*payments), rate)
    with story.store.read() as view:
        previous = {each.txid: view.document(each.txid) for each in drafted.outpoints}
    sent = signing_psbt(drafted, vault, previous)
    psbt = Psbt.parse(sent.to_psbt().serialize())
    chosen = random.sample(signers, vault.threshold)
    signed = [each for signer in chosen for each in accept(signer.sign(psbt), sent, drafted, vault, drafted.at)]
    combined = combine(drafted, vault, signed, drafted.at)
    judges = (KernelJudge(), BitcointxJudge(), *story.chain.judges)
    verified = verify(combined, drafted, vault, judges, drafted.at)
    whole = with_signatures(combined.signatures, sent).to_psbt().serialize()
    (accepted,) = node.rpc.ask(ANSWERS, "testmempoolaccept", [verified.raw.hex()])
    finished = node.rpc.ask(OBJECT, "finalizepsbt", base64.b64encode(whole).decode())
    # Nobody sends it: its coins are free for the next one.
    custodian.withdraw(story.withdrawal(drafted.transfer_id))
    return Made(
        script_type=story.cast.vault.script_type,
        transaction=Transaction.parse(verified.raw),
        has_change=drafted.change is not None,
        payees=len(payments),
        judges=verified.judges,
        accepted=accepted,
        finished=finished,
    )


@pytest.fixture(scope="module")
def transfers(bitcoind):
    found = []
    with OfflineNode(bitcoind) as node, NodeChain(node) as chain:
        chain.fund(12)
        # A locktime may be up to 99 blocks back, and Knots takes one of 21 for a sign of something else.
        chain.mine(110)
        for script_type in ScriptType:
            for quorum in QUORUMS:
                story = opened(chain, script_type, quorum)
                random = Random(f"transfers {script_type} {quorum}")  # noqa: S311 - the same on every run
                each = TRANSFERS // len(ScriptType) // len(QUORUMS)
                found += [made(random, story, node) for _ in range(each)]
        yield found


def test_the_transfers_are_of_every_kind_and_size(transfers):
    assert len(transfers) == TRANSFERS
    assert Counter(each.script_type for each in transfers) == dict.fromkeys(ScriptType, TRANSFERS // 3)
    # Of coins that come to a payment, as few are taken as reach it: hardly ever all of the most that there may be.
    assert {len(each.transaction.inputs) for each in transfers} >= set(range(1, MOST_INPUTS))
    assert {each.payees for each in transfers} == {1, 2, 3, 4}
    changes = Counter(each.has_change for each in transfers)
    assert min(changes.values()) > TRANSFERS // 5
    for each in transfers:
        assert len(each.transaction.outputs) == each.payees + each.has_change


def test_the_node_accepts_every_one(transfers):
    for each in transfers:
        assert each.accepted["allowed"] is True, each.accepted
        assert each.accepted["txid"] == each.transaction.txid_hex
        assert each.accepted["vsize"] == vsize(each.transaction.weight)


def test_the_node_finishes_every_one_to_the_same_bytes(transfers):
    for each in transfers:
        assert each.finished == {"complete": True, "hex": each.transaction.serialize().hex()}


def test_every_judge_that_knows_the_kind_agrees(transfers):
    for each in transfers:
        known = {"libbitcoinkernel", "testmempoolaccept"}
        assert set(each.judges) == (known if each.script_type is ScriptType.TR else {*known, "python-bitcointx"})
