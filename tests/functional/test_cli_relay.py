"""By commands on a real node: fee rates and where they are from, what was dropped, signets, and a node that prunes."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from custody.backends.bitcoind import SIGNET_CHALLENGE
from custody.bitcoin.script import address as script_address
from custody.bitcoin.script import script_of
from custody.charter.document import AddressPayee
from custody.envelope import sign
from custody.testing.node import NodeChain, OfflineNode
from custody.units import Network
from custody.vault.descriptor import Branch
from custody.watching import RECEIVE_GAP
from custody.words import show_words

DAY = 24 * 3600
DEPOSIT = 60_000_000
NEAR = "--ahead", 100
ANY = TypeAdapter(object)


def named(node):
    return "--node", f"http://{node.rpc.name}", "--cookie", node.credentials.path


@pytest.fixture
def on_node(office, bitcoind, request):
    """Set the office up on a node of its own with these options; the chain."""

    def place(*options):
        running = OfflineNode(bitcoind, options=options)
        request.addfinalizer(running.stop)
        chain = NodeChain(running).fund(4)
        office.set_up(*named(running))
        return chain

    return place


def deposit(office, chain, amount=DEPOSIT):
    address = office.does(*office.address_for("seized, case 17"))["address"]
    outpoint = chain.pay(script_of(address, Network.REGTEST), amount)
    chain.mine()
    return outpoint


def mined_deposit(office, chain):
    """Block rewards to the vault, mature: the faucet pays less than some nodes take."""
    address = office.does(*office.address_for("state mining"))["address"]
    chain.mine(1, script_of(address, Network.REGTEST))
    chain.mine(100)
    office.does("observe")


def log_size(office):
    return office.does("log", "verify")["size"]


# --- fee rates --------------------------------------------------------------------------------------------------------


def test_a_draft_says_its_fee_rate_and_where_it_is_from(office, on_node):
    chain = on_node()
    for _ in range(3):
        deposit(office, chain, 30_000_000)
    office.does("observe")
    drafted = office.does("transfer", "draft", office.requested())
    assert (drafted["fee_rate"], drafted["fee_rate_source"]) == (2_000, "fallback")
    drafted = office.does("transfer", "draft", office.requested(), "--feerate", 7_500)
    assert (drafted["fee_rate"], drafted["fee_rate_source"]) == (7_500, "asked")
    text = office.types("transfer", "draft", office.requested()).stdout
    assert "2.000 sat/vB (FALLBACK: the node has no estimate)" in text


def test_a_fallback_is_never_below_what_the_node_takes(office, on_node):
    chain = on_node("-minrelaytxfee=0.00005")
    mined_deposit(office, chain)
    status = office.does("node", "status")
    assert (status["fee_rate"], status["fee_rate_source"], status["min_fee_rate"]) == (5_000, "fallback", 5_000)
    drafted = office.does("transfer", "draft", office.requested())
    assert (drafted["fee_rate"], drafted["fee_rate_source"]) == (5_000, "fallback")
    office.delivered(drafted["transfer"])


def test_a_rate_that_the_node_does_not_take_is_refused_before_a_coin_is_held(office, on_node):
    chain = on_node("-minrelaytxfee=0.00005")
    mined_deposit(office, chain)
    request, size = office.requested(), log_size(office)
    result = office.types("transfer", "draft", request, "--feerate", 4_999, "--json")
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, error["code"]) == (4, "FEE_RATE_LOW")
    assert "4999 sat/kvB is below the 5000 sat/kvB" in error["message"]
    assert "--feerate 5000" in error["hint"]
    assert log_size(office) == size
    assert [each["state"] for each in office.does("coin", "list")["coins"]] == ["mature"]
    assert office.does("transfer", "draft", request, "--feerate", 5_000)["fee_rate"] == 5_000


def test_a_draft_that_a_power_cut_left_undecided_keeps_its_rate(office, on_node, monkeypatch):
    chain = on_node()
    deposit(office, chain)
    office.does("observe")
    request = office.requested()

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("custody.custodian.Custodian.decide", cut)
        assert office.types("transfer", "draft", request, "--feerate", 3_000).exit_code == 130
    again = office.types("transfer", "draft", request, "--feerate", 9_000)
    assert "3.000 sat/vB (drafted earlier)" in again.stdout


def test_the_chain_in_the_folder_has_a_fallback_and_a_least_rate_too(office):
    office.funded()
    assert office.does("node", "status")["fee_rate_source"] == "fallback"
    request = office.requested()
    office.refuses("FEE_RATE_LOW", "transfer", "draft", request, "--feerate", 999)
    assert office.does("transfer", "draft", request)["fee_rate"] == 2_000


# --- what was dropped -------------------------------------------------------------------------------------------------


def drop(chain):
    """Nodes forget what waits for two weeks, and look when the next one comes in."""
    chain.wait(15 * DAY)
    chain.pay(b"\x00\x14" + bytes(20), 100_000)


def test_what_the_node_dropped_is_said_loudly_and_delivering_brings_it_back(office, on_node):
    chain = on_node()
    deposit(office, chain)
    office.does("observe")
    transfer = office.drafted()
    txid = office.delivered(transfer)
    for command in (("observe",), ("node", "status")):
        (found,) = office.does(*command)["underway"]
        assert found == {"transfer": transfer, "txid": txid, "standing": "waiting"}
    assert office.does("transfer", "show", transfer)["standing"] == "waiting"
    assert "DROPPED" not in office.types("observe").output

    drop(chain)
    size = log_size(office)
    for command in (("observe",), ("node", "status"), ("transfer", "show", transfer)):
        result = office.types(*command)
        assert result.exit_code == 0
        assert f"DROPPED: transfer {transfer[:12]} was sent as {txid}" in result.stderr
        assert "custody transfer deliver" in result.stderr
    assert f"{txid} DROPPED" in office.types("node", "status").stdout
    shown = office.types("transfer", "show", transfer)
    assert "DROPPED: it waits nowhere" in shown.stdout
    assert office.does("transfer", "show", transfer)["standing"] == "gone"
    # What one node says is told, and never entered.
    assert log_size(office) == size

    assert [each["txid"] for each in office.does("transfer", "deliver")["sent"]] == [txid]
    assert office.does("transfer", "show", transfer)["standing"] == "waiting"
    chain.mine()
    assert office.does("transfer", "show", transfer)["standing"] == "mined"
    assert office.does("observe")["underway"] == []
    shown = office.does("transfer", "show", transfer)
    assert (shown["status"], shown["standing"]) == ("confirmed", None)


def test_a_transfer_is_shown_without_the_node(office, on_node):
    chain = on_node()
    deposit(office, chain)
    office.does("observe")
    transfer = office.drafted()
    office.delivered(transfer)
    chain.node.halt()
    shown = office.types("transfer", "show", transfer)
    assert shown.exit_code == 0
    assert "is not known" in shown.stderr
    assert office.does("transfer", "show", transfer)["standing"] is None


def test_on_the_chain_in_the_folder_nothing_is_ever_missed(office):
    office.funded()
    transfer = office.drafted()
    office.delivered(transfer)
    # Each command is another process for that chain: what waits there does not outlive it.
    for _ in range(2):
        (found,) = office.does("observe")["underway"]
        assert found["standing"] == "waiting"
    assert office.does("transfer", "show", transfer)["standing"] == "waiting"
    office.does("regtest", "mine", "1")
    assert office.does("observe")["underway"] == []


# --- signets ----------------------------------------------------------------------------------------------------------


BLOCK_ONE = bytes.fromhex(
    "00000020f61eee3b63a380a477a063af32b2bbc97c9ff9f01f2c4225e973988108000000409f1191f1233ae25ae28920a522"
    "3696b034517be710f0cb01031aba966d5e3280857467ae77031eec8149000102000000000101000000000000000000000000"
    "0000000000000000000000000000000000000000ffffffff025100ffffffff0200f2052a01000000220020ace1313d8b0ddf"
    "b3567259780b7858af0d3d8909127f318e18c009cb053894770000000000000000266a24aa21a9ede2f61c3f71d1defd3fa9"
    "99dfa36953755c690689799962b48bebd836974e8cf901200000000000000000000000000000000000000000000000000000"
    "00000000000000000000"
)
"""Block 1 of every signet whose challenge is OP_TRUE: it pays the cast's vault at its first address.

Its proof of work took millions of attempts, so it was made once, dated 2025-01-01.
"""


@dataclass
class SignetOffice:
    """An office whose charter is for signet."""

    office: object
    words: list

    def init(self, *options):
        keyfile = "--coordinator-key", self.office.key("coordinator")
        return "init", self.office.path("charter.json"), *self.words, *keyfile, *options

    @property
    def config(self):
        return self.office.folder / "coordinator" / "signet" / "config.toml"


@pytest.fixture
def signet_office(office):
    cast = office.cast
    payees = [
        each.model_copy(update={"address": script_address(script_of(each.address, Network.REGTEST), Network.SIGNET)})
        if isinstance(each, AddressPayee)
        else each
        for each in cast.charter.payees
    ]
    charter = cast.charter.model_copy(update={"network": Network.SIGNET, "payees": tuple(payees)})
    envelope = sign(charter, cast.coordinator, *cast.people.values(), cast.witness)
    Path(office.path("charter.json")).write_bytes(envelope.to_bytes())
    return SignetOffice(office, show_words(charter.digest()).split())


@pytest.fixture
def own_signet(bitcoind):
    """A signet whose blocks anybody may make: its challenge is OP_TRUE."""
    # However old its newest block is by now, it is not to wait for others.
    options = "-signetchallenge=51", "-maxtipage=2000000000"
    with OfflineNode(bitcoind, Network.SIGNET, options) as running:
        yield running


def test_a_signet_of_one_s_own_is_told_by_its_challenge_and_looked_at(signet_office, own_signet):
    office = signet_office.office
    office.does(*signet_office.init(*named(own_signet), "--signet-challenge", "51"))
    assert tomllib.loads(signet_office.config.read_text())["signet_challenge"] == "51"
    assert office.does("node", "status")["network"] == "signet"
    address = office.does(*office.address_for("state mining"))["address"]
    assert own_signet.rpc.ask(ANY, "submitblock", BLOCK_ONE.hex()) is None
    assert office.does("observe")["added"] == {"chain_seen": 1, "deposit_seen": 1}
    (coin,) = office.does("node", "scan", *NEAR)["coins"]
    assert coin["address"] == address
    assert office.does("coin", "reconcile", *NEAR)["differences"] == []


@pytest.mark.parametrize("options", [(), ("--signet-challenge", "52"), ("--signet-challenge", "5151")])
def test_a_signet_with_another_challenge_sets_nothing_up(signet_office, own_signet, options):
    message = signet_office.office.refuses("NETWORK_MISMATCH", *signet_office.init(*named(own_signet), *options))
    assert "one with 51" in message
    assert (options[1] if options else SIGNET_CHALLENGE.hex()) in message
    assert not signet_office.config.exists()


def test_the_public_signet_is_no_signet_of_one_s_own(signet_office, bitcoind):
    with OfflineNode(bitcoind, Network.SIGNET) as public:
        office = signet_office.office
        own = "--signet-challenge", "51"
        office.refuses("NETWORK_MISMATCH", *signet_office.init(*named(public), *own))
        office.does(*signet_office.init(*named(public)))
    assert "signet_challenge" not in tomllib.loads(signet_office.config.read_text())


def test_another_signet_in_the_node_s_place_is_noticed_at_every_look(signet_office, own_signet):
    office = signet_office.office
    office.does(*signet_office.init(*named(own_signet), "--signet-challenge", "51"))
    changed = signet_office.config.read_text().replace('signet_challenge = "51"', 'signet_challenge = "52"')
    signet_office.config.write_text(changed)
    for command in (("observe",), ("node", "status"), ("node", "scan", *NEAR), ("coin", "reconcile", *NEAR)):
        office.refuses("NETWORK_MISMATCH", *command)


def test_a_challenge_that_is_none_or_belongs_to_no_signet_is_wrong_usage(office, signet_office):
    node = "--node", "http://127.0.0.1:1", "--cookie", office.path("passphrase")
    for wrong in ("zz", "5", ""):
        assert office.types(*signet_office.init(*node, "--signet-challenge", wrong)).exit_code == 2
    Path(office.path("charter.json")).write_bytes(office.cast.envelope.to_bytes())
    regtest = "init", office.path("charter.json"), *office.words, "--coordinator-key", office.key("coordinator")
    result = office.types(*regtest, *node, "--signet-challenge", "51")
    assert result.exit_code == 2
    assert "belongs to a signet" in result.output
    assert not Path(office.path("coordinator")).exists()


def test_a_configuration_with_a_challenge_that_cannot_be_is_refused(office, signet_office, own_signet, on_node):
    office.does(*signet_office.init(*named(own_signet), "--signet-challenge", "51"))
    whole = signet_office.config.read_text()
    for wrong in ('"zz"', '""', "51"):
        signet_office.config.write_text(whole.replace('signet_challenge = "51"', f"signet_challenge = {wrong}"))
        office.refuses("CONFIG_INVALID", "node", "status")
    Path(office.path("charter.json")).write_bytes(office.cast.envelope.to_bytes())
    on_node()
    regtest = office.folder / "coordinator" / "regtest" / "config.toml"
    regtest.write_text(regtest.read_text() + 'signet_challenge = "51"\n')
    office.refuses("CONFIG_INVALID", "--network", "regtest", "node", "status")


# --- a node that prunes -----------------------------------------------------------------------------------------------

PRUNING = "-prune=1", "-fastprune"


def prune(chain):
    """Have the node forget what it may; the lowest block it still has. It keeps the newest 288."""
    chain.mine(700)
    chain.node.rpc.ask(ANY, "pruneblockchain", chain.view.tip().height - 300)
    first = chain.view.first_block()
    assert first > 200
    return first


def test_a_pruned_node_says_which_blocks_are_missing_and_what_it_still_can(office, on_node):
    chain = on_node(*PRUNING)
    outpoint = deposit(office, chain)
    first, size = prune(chain), log_size(office)
    for command in (("observe",), ("coin", "reconcile", *NEAR)):
        message = office.refuses("BLOCK_UNKNOWN", *command)
        assert f"heights 104 to {first - 1}" in message
        assert f"from {first} on" in message
    assert "custody node scan" in office.types("observe").output
    assert log_size(office) == size

    status = office.does("node", "status")
    assert status["missing_blocks"] == {"first": 104, "last": first - 1}
    assert (status["first_block"], status["log"], status["is_ready"]) == (first, "agrees", True)
    assert f"blocks 104 to {first - 1} are still to be looked at" in office.types("node", "status").stdout
    checks = office.types("doctor").stdout
    assert f"heights 104 to {first - 1}" in checks
    assert "blocks (BLOCK_UNKNOWN)" in office.refuses("UNSOUND", "doctor")

    # The set of unspent outputs is whole on every node.
    (coin,) = office.does("node", "scan", *NEAR)["coins"]
    assert (coin["outpoint"], coin["is_in_log"]) == (str(outpoint), False)
    # What needs no old block goes on.
    assert office.does("coin", "list")["coins"] == []
    assert office.does(*office.address_for("seized, case 18"))["index"] == 1


def test_a_pruned_node_that_was_looked_at_in_time_is_as_good_as_any(office, on_node):
    chain = on_node(*PRUNING)
    deposit(office, chain)
    chain.mine(700)
    office.does("observe")
    chain.node.rpc.ask(ANY, "pruneblockchain", 500)
    chain.mine(3)
    assert office.does("node", "status")["missing_blocks"] is None
    assert office.does("observe")["height"] == chain.view.tip().height
    assert office.does("coin", "reconcile", *NEAR)["differences"] == []
    assert office.does("doctor")
    transfer = office.drafted()
    txid = office.delivered(transfer)
    chain.mine()
    office.does("observe")
    assert office.does("transfer", "show", transfer)["txid"] == txid
    assert office.does("transfer", "show", transfer)["status"] == "confirmed"


def test_blocks_that_a_coin_far_ahead_would_have_read_again_and_that_are_pruned_are_told(office, on_node):
    chain = on_node(*PRUNING)

    def paid(index):
        outpoint = chain.pay(office.cast.vault.script_pubkey(Branch.RECEIVE, index), DEPOSIT)
        chain.mine()
        return outpoint

    far = paid(2 * RECEIVE_GAP - 10)
    assert office.does("observe")["unread_blocks"] is None
    chain.mine(700)
    office.does("observe")
    chain.node.rpc.ask(ANY, "pruneblockchain", 500)
    first = chain.view.first_block()
    paid(RECEIVE_GAP - 5)
    seen = office.types("observe", "--json")
    assert json.loads(seen.stdout)["unread_blocks"] == {"first": 0, "last": first - 1}
    assert "NOT READ" in seen.stderr
    # What it advises finds the coin; what comes from now on is watched for.
    compared = office.types("coin", "reconcile", "--ahead", RECEIVE_GAP)
    assert compared.exit_code == 6
    assert str(far) in compared.stdout
    assert "NOT READ" not in compared.stderr
    late = paid(2 * RECEIVE_GAP - 20)
    assert office.does("observe")["added"]["deposit_seen"] == 1
    assert str(late) in json.dumps(office.does("coin", "list"))


def test_a_node_that_has_pruned_since_the_vaults_birthday_sets_nothing_up(office, bitcoind):
    with OfflineNode(bitcoind, options=PRUNING) as running:
        chain = NodeChain(running).fund(4)
        first = prune(chain)
        command = "init", office.path("charter.json"), *office.words, "--coordinator-key", office.key("coordinator")
        message = office.refuses("BLOCK_UNKNOWN", *command, *named(running))
        assert f"heights 0 to {first - 1}" in message
        assert not (office.folder / "coordinator" / "regtest" / "config.toml").exists()
    # With a node that has them the same command goes through.
    with OfflineNode(bitcoind) as whole, NodeChain(whole) as chain:
        chain.fund(4)
        office.does(*command, *named(whole))
        assert office.does("node", "status")["log"] == "agrees"


# --- a long look ------------------------------------------------------------------------------------------------------


def test_a_long_look_tells_how_far_it_is_at_a_terminal_only(office, on_node, converse):
    chain = on_node()
    chain.mine(1_100)
    folder = office.path("coordinator")
    shown = converse(office.folder, [], "-m", "custody", "--dir", folder, "observe")
    assert "height 1103 of 1203 (91 %)" in shown
    chain.mine(1_100)
    assert office.types("observe").stderr == ""
