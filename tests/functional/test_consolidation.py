"""720 small coins become one: as many as fit into a transaction, then the rest, by commands on a real node.

Until the first 700 are in a block every command is a process of its own, at the coordinator and at each station. What
the largest of them needed in memory is held against a limit; so is what the whole route needs in one process.
"""

import json
import os
import sys
from pathlib import Path
from random import Random

import pytest

from custody.bitcoin.transaction import OutPoint, TxOut
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, SUPPLIER, Setting, expected
from custody.testing.chain import RegtestChain
from custody.testing.node import NodeChain, OfflineNode
from custody.testing.scenario import Scenario
from custody.transfer.request import Purpose
from custody.units import MAX_TRANSACTION_WEIGHT
from custody.vault.descriptor import Branch

COINS = 720
FIT = 700
IN_ONE_PAYMENT = 60
SIGNERS = "astana", "almaty", "shymkent"
SETTING = Setting(
    threshold=3, cosigners=(*SIGNERS, "aktau", "oral"), max_inputs=FIT, max_outflow=10_000_000_000, max_fee=1_000_000
)
MOST_MEMORY = 250_000_000
"""Bytes that no process of the route may reach."""


class Story:
    """Both consolidations, told once; the tests below read it."""

    def __init__(self, office, node):
        self.office, self.chain = office, NodeChain(node).fund(4)
        office.set_up("--node", f"http://{node.rpc.name}", "--cookie", node.credentials.path)
        amounts = list(range(30_000, 30_000 + 17 * COINS, 17))
        Random(7).shuffle(amounts)  # noqa: S311 - the same on every run
        office.does(*office.address_for("small deposits"))
        scripts = [office.cast.vault.script_pubkey(Branch.RECEIVE, 0)] * COINS
        self.amounts = self.pay([TxOut(*each) for each in zip(amounts, scripts, strict=True)])
        self.chain.mine()
        office.does("observe")
        self.told = office.types("transfer", "draft", office.requested("--consolidate"), "--feerate", "2000")
        self.first = self.finish(office, office.does("transfer", "list", "--live")["transfers"][0]["id"])
        self.later = office.unweighed()
        self.second_draft = self.later.does("transfer", "draft", self.later.requested("--consolidate"))
        self.second = self.finish(self.later, self.second_draft["transfer"])

    def pay(self, outputs):
        """Pay `outputs`, many in one transaction, as batches of withdrawals come; sats by outpoint."""
        found = {}
        for start in range(0, len(outputs), IN_ONE_PAYMENT):
            batch = outputs[start : start + IN_ONE_PAYMENT]
            txid = self.chain.pay_all(batch).txid
            found |= {str(OutPoint(txid, index)): output.amount for index, output in enumerate(batch)}
        return found

    def finish(self, office, transfer):
        """The transfer from its draft to its block: what `combine` and `show` said, the transaction, the PSBTs."""
        office.approved(transfer, *OFFICERS[:2])
        evidence = office.ready_to_sign(transfer)
        files = [office.signed(evidence, each) for each in SIGNERS]
        combined = office.does("transfer", "combine", transfer, *files)
        office.witnessed()
        office.does("transfer", "release", transfer)
        office.does("transfer", "deliver")
        (waiting,) = self.chain.view.pending()
        self.chain.mine()
        office.does("observe")
        return combined, waiting, office.does("transfer", "show", transfer), files


@pytest.fixture(scope="module")
def story(bitcoind, open_weighed_office):
    with OfflineNode(bitcoind) as node:
        yield Story(open_weighed_office(SETTING), node)


def test_as_many_coins_as_fit_go_into_one_transaction_the_smallest_first(story):
    _, transaction, shown, _ = story.first
    assert len(transaction.inputs) == FIT
    assert transaction.weight < MAX_TRANSACTION_WEIGHT
    assert len(transaction.outputs) == 1
    assert shown["status"] == "confirmed"
    spent = sorted(story.amounts[each] for each in shown["inputs"])
    assert spent == sorted(story.amounts.values())[:FIT]
    assert transaction.outputs[0].amount == sum(spent) - shown["sats"]["fee"]


def test_every_judge_agrees_and_python_bitcointx_is_not_asked_beyond_its_size(story):
    assert story.first[0]["judges"] == ["libbitcoinkernel", "testmempoolaccept"]
    assert story.second[0]["judges"] == ["libbitcoinkernel", "python-bitcointx", "testmempoolaccept"]


def test_the_draft_says_how_many_coins_it_leaves_for_another(story):
    assert story.told.exit_code == 0, story.told.output
    assert f"{COINS - FIT} coins, " in story.told.stdout
    assert "in all, stay: no room for them" in story.told.stdout
    left = sum(sorted(story.amounts.values())[FIT:])
    stays = [{"why": "no-room", "coins": COINS - FIT, "sats": left}]
    assert story.first[2]["left_behind"] == stays
    assert story.second_draft["left_behind"] == []


def test_a_second_consolidation_takes_what_was_left_and_one_coin_remains(story):
    _, transaction, shown, _ = story.second
    left = {key for key in story.amounts if key not in story.first[2]["inputs"]}
    made = str(OutPoint(story.first[1].txid, 0))
    assert set(shown["inputs"]) == {*left, made}
    assert story.later.does("coin", "balance")["vaults"]["reserve"]["mature"] == transaction.outputs[0].amount
    assert [each["state"] for each in story.later.does("coin", "list", "--most", 1_000)["coins"]].count("mature") == 1


def test_what_stations_gave_back_is_the_transaction_that_was_mined(story):
    combined, transaction, shown, files = story.first
    assert combined["txid"] == shown["txid"] == transaction.txid_hex
    block = story.chain.view.block(shown["height"])
    assert transaction.serialize() in [each.raw for each in block.transactions]
    assert all(Path(each).stat().st_size > FIT * 500 for each in files)


def test_coins_whose_file_nobody_would_take_back_are_refused_while_the_draft_can_be_withdrawn():
    with RegtestChain.funded(4) as chain:
        scenario = Scenario.begin(SETTING, chain=chain)
        scenario.custodian.observe()
        scripts = [scenario.cast.vault.script_pubkey(Branch.RECEIVE, 0)] * 1_000
        scenario.custodian.issue_address("reserve", expected("small deposits"))
        chain.pay_all([TxOut(30_000 + at, script) for at, script in enumerate(scripts)])
        scenario.mine()
        request = scenario.custodian.submit(scenario.request(purpose=Purpose.CONSOLIDATION))
        drafted = scenario.custodian.draft(request.digest(), 2_000)
        with refuses("SIGNING_FILE") as caught:
            scenario.custodian.decide(drafted.transfer_id)
        assert caught.error.inputs == FIT
        assert not scenario.transfer(drafted.transfer_id).is_bearer
        scenario.custodian.withdraw(scenario.withdrawal(drafted.transfer_id))
        assert len(scenario.spendable) == len(scripts)
        # The same coins can be moved in smaller parts.
        few, _ = scenario.drafted(scenario.request((SUPPLIER, 5_000_000)))
        assert len(few.outpoints) < FIT


def test_the_whole_route_in_one_process_needs_no_more_than_that_either(bitcoind, weigh):
    # One payment made most of the coins, so that each of the 700 inputs carries a large transaction.
    command = sys.executable, "-P", str(Path(__file__).with_name("whole_route.py")), bitcoind, str(COINS), "640"
    ended, _ = weigh(command, {"PATH": os.environ["PATH"]})
    assert ended.exit_code == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["inputs"], told["status"]) == ([FIT, COINS - FIT + 1], ["confirmed", "confirmed"])
    assert told["largest_file"] > FIT * 640 * 40
    assert max(told["weight"]) < MAX_TRANSACTION_WEIGHT
    assert told["peak"] < MOST_MEMORY


def test_no_process_of_the_route_needs_a_quarter_of_a_gigabyte(story):
    commands = {name for name, _ in story.office.peaks}
    steps = "request", "draft", "evidence", "approve", "combine", "release", "deliver"
    assert {f"custody transfer {each}" for each in steps} < commands
    assert {"custody observe", "custody-station approve", "custody-station sign"} < commands
    name, most = max(story.office.peaks, key=lambda peak: peak[1])
    print(f"the largest was {name}: {most / 1e6:.0f} MB")  # noqa: T201 - `-s` shows it
    assert most < MOST_MEMORY, name
