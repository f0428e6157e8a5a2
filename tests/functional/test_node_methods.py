"""A node that relays blocks only, or lets its clerk ask only some questions: what goes on, and what is named?"""

import hmac

import pytest

from custody.bitcoin.script import script_of
from custody.testing.node import NodeChain, OfflineNode
from custody.units import Network

PASSWORD = "hunter2-correct-horse"  # noqa: S105 - a test node's
CHAIN = ("getblockhash", "getblockchaininfo", "getblock", "getblockheader")
ALL = (
    *CHAIN,
    "getnetworkinfo",
    "getmempoolinfo",
    "estimatesmartfee",
    "getmempoolentry",
    "gettxout",
    "gettxoutproof",
    "testmempoolaccept",
    "sendrawtransaction",
    "scantxoutset",
)


@pytest.fixture
def limited(office, bitcoind, request):
    """A node of these options, and how it is named at set-up by a clerk who may ask these questions only."""

    def start(*options, methods=ALL):
        salted = "00ff$" + hmac.new(b"00ff", PASSWORD.encode(), "sha256").hexdigest()
        allowed = f"-rpcwhitelist=clerk:{','.join(methods)}"
        user = (f"-rpcauth=clerk:{salted}", allowed, "-rpcwhitelistdefault=0")
        node = OfflineNode(bitcoind, options=(*user, *options))
        request.addfinalizer(node.stop)
        password = office.folder / "node.password"
        password.write_text(PASSWORD)
        named = ("--node", f"http://{node.rpc.name}", "--rpc-user", "clerk", "--rpc-password-file", password)
        return node, named

    return start


@pytest.fixture
def clerk(office, limited, request):
    """Sets an office up with such a node, and a deposit."""

    def set_up(*options, methods=ALL):
        node, named = limited(*options, methods=methods)
        chain = NodeChain(node).fund(4)
        request.addfinalizer(chain.close)
        office.set_up(*named)
        address = office.does(*office.address_for("seized, case 17"))["address"]
        chain.pay(script_of(address, Network.REGTEST), 60_000_000)
        chain.mine()
        office.does("observe")
        return chain

    return set_up


def without(*methods):
    return tuple(each for each in ALL if each not in methods)


def test_a_node_that_relays_blocks_only_has_no_estimate_and_a_draft_its_fallback(office, clerk):
    clerk("-blocksonly=1")
    drafted = office.does("transfer", "draft", office.requested())
    assert drafted["fee_rate_source"] == "fallback"
    assert office.does("node", "status")["fee_rate_source"] == "fallback"
    assert office.does("doctor")


@pytest.mark.parametrize("method", ["estimatesmartfee", "getnetworkinfo", "scantxoutset", "submitpackage"])
def test_what_can_be_done_without_goes_on(office, clerk, method):
    chain = clerk(methods=without(method))
    office.does("node", "status")
    transfer = office.drafted()
    office.delivered(transfer)
    chain.mine()
    assert "confirmed" in office.does("observe")["added"]


def test_what_cannot_is_named_with_what_to_allow(office, clerk):
    clerk(methods=without("scantxoutset", "testmempoolaccept"))
    message = office.refuses("NODE_METHOD", "node", "scan")
    assert "scantxoutset" in message
    assert "custody observe" in message
    transfer = office.drafted()
    office.approved(transfer)
    evidence = office.ready_to_sign(transfer)
    files = [office.signed(evidence, each) for each in ("astana", "almaty")]
    assert "nothing can be released" in office.refuses("NODE_METHOD", "transfer", "combine", transfer, *files)


def test_a_look_is_entered_though_nobody_can_say_where_what_was_sent_is(office, clerk):
    chain = clerk(methods=without("getmempoolentry"))
    transfer = office.drafted()
    office.delivered(transfer)
    seen = office.types("observe", "--json")
    assert seen.exit_code == 0, seen.output
    assert '"underway": null' in seen.stdout
    assert "getmempoolentry" in seen.stderr
    assert "where what was sent is" in office.types("transfer", "show", transfer).stderr
    chain.mine()
    assert "confirmed" in office.does("observe")["added"]


def test_without_the_chain_s_own_questions_nothing_is_set_up(office, limited):
    _, named = limited(methods=without("getblockhash"))
    init = ("init", office.path("charter.json"), *office.words, "--coordinator-key", office.key("coordinator"))
    assert "the chain cannot be looked at" in office.refuses("NODE_METHOD", *init, *named)
    assert not (office.folder / "coordinator" / "regtest" / "config.toml").exists()
