"""A coordinator on a real node, by commands alone: set-up, a transfer, how the node stands, and what its coins say."""

import hmac
import json
import stat
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from custody.apps.chains import open_chain
from custody.apps.config import Folders, Settings
from custody.apps.unspent import Differs, differences, owners
from custody.backends.bitcoind import UnspentOutput
from custody.bitcoin.script import address as script_address
from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import OutPoint, TxOut
from custody.charter.document import AddressPayee
from custody.envelope import sign
from custody.history.holdings import holding
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, Setting, payee_address
from custody.testing.node import OfflineNode
from custody.testing.scenario import Scenario
from custody.transfer.state import Status
from custody.units import Network
from custody.vault.descriptor import Branch
from custody.words import show_words

FAR = 1_500
"""Beyond the window of addresses that a look at the chain watches."""
DEPOSIT = 60_000_000
SECRET = "hunter2-correct-horse"  # noqa: S105 - looked for in files and messages
COSIGNERS = "astana", "almaty"
NEAR = "--ahead", 2_000


def named(node):
    return "--node", f"http://{node.rpc.name}", "--cookie", node.credentials.path


@pytest.fixture
def chain(node_chain):
    return node_chain.fund(4)


@pytest.fixture
def placed(office, chain):
    """An office set up with the node."""
    return office.set_up(*named(chain.node))


def deposit(office, chain, amount=DEPOSIT):
    address = office.does(*office.address_for("seized, case 17"))["address"]
    outpoint = chain.pay(script_of(address, Network.REGTEST), amount)
    chain.mine()
    office.does("observe")
    return outpoint


def config(office):
    return office.folder / "coordinator" / "regtest" / "config.toml"


# --- set-up -----------------------------------------------------------------------------------------------------------


def test_the_node_is_pinned_by_its_address_and_the_path_of_its_cookie(placed, chain):
    pinned = tomllib.loads(config(placed).read_text())
    assert pinned["chain"] == "bitcoind"
    assert pinned["node"] == f"http://{chain.node.rpc.name}"
    assert pinned["cookie"] == str(chain.node.credentials.path)
    assert {"rpc_user", "rpc_password_file"}.isdisjoint(pinned)
    cookie = chain.node.credentials.path.read_text()
    written = [each for each in (placed.folder / "coordinator").rglob("*") if each.is_file()]
    assert written
    assert not any(cookie.partition(":")[2].encode() in each.read_bytes() for each in written)
    assert not (placed.folder / "coordinator" / "regtest" / "chain").exists()


def test_a_password_is_read_from_its_file_and_stands_nowhere_else(office, bitcoind, request):
    # What rpcauth holds is a salt and HMAC-SHA-256 of the password under it (Bitcoin Core, share/rpcauth).
    salted = "00ff$" + hmac_of("00ff", SECRET)
    running = OfflineNode(bitcoind, options=(f"-rpcauth=clerk:{salted}",))
    request.addfinalizer(running.stop)
    password = office.folder / "node.password"
    password.write_text(SECRET + "\n")
    user = "--rpc-user", "clerk", "--rpc-password-file", password
    result = office.types(*init(office), "--node", f"http://{running.rpc.name}", *user)
    assert result.exit_code == 0, result.output
    assert "custody observe" in result.stderr
    assert tomllib.loads(config(office).read_text())["rpc_password_file"] == str(password)
    written = [each for each in (office.folder / "coordinator").rglob("*") if each.is_file()]
    assert not any(SECRET.encode() in each.read_bytes() for each in written)
    # The newest block of this node is the first one there ever was.
    assert office.does("node", "status")["unready"] == "it is still downloading the chain"
    office.refuses("NODE_NOT_READY", "observe")
    assert "the node is not ready" in office.types("doctor").stdout

    password.write_text("wrong-" + SECRET)
    assert SECRET not in office.refuses("NODE_UNAVAILABLE", "node", "status")
    password.unlink()
    office.refuses("FILE_MISSING", "node", "status")
    password.write_bytes(b"\xff")
    office.refuses("CONFIG_INVALID", "node", "status")


def hmac_of(salt, password):
    return hmac.new(salt.encode(), password.encode(), "sha256").hexdigest()


def init(office):
    return "init", office.path("charter.json"), *office.words, "--coordinator-key", office.key("coordinator")


def test_half_of_what_names_a_node_sets_nothing_up(office):
    node, cookie = ("--node", "http://127.0.0.1:18443"), ("--cookie", office.path("cookie"))
    user, password = ("--rpc-user", "clerk"), ("--rpc-password-file", office.path("passphrase"))
    for wrong in (
        node,
        cookie,
        user,
        ("--cookie", ""),
        (*node, *user),
        (*node, *password),
        (*node, *cookie, *user, *password),
    ):
        result = office.types(*init(office), *wrong)
        assert result.exit_code == 2, wrong
        assert "--node" in result.output
    assert not Path(office.path("coordinator")).exists()


@pytest.mark.parametrize("address", ["http://user:hunter2@127.0.0.1:8332", "127.0.0.1:8332", "http://127.0.0.1", ""])
def test_an_address_that_is_none_sets_nothing_up(office, address):
    message = office.refuses("NODE_ADDRESS", *init(office), "--node", address, "--cookie", office.path("cookie"))
    assert "hunter2" not in message
    assert not Path(office.path("coordinator")).exists()


def test_a_node_that_is_away_or_of_another_network_pins_nothing_and_set_up_can_be_repeated(office, chain, bitcoind):
    away = "--node", "http://127.0.0.1:1", "--cookie", office.path("passphrase")
    office.refuses("NODE_UNAVAILABLE", *init(office), *away)
    with OfflineNode(bitcoind, Network.SIGNET) as signet:
        office.refuses("NETWORK_MISMATCH", *init(office), *named(signet))
    assert not config(office).exists()
    office.set_up(*named(chain.node))
    office.refuses("ALREADY_INITIALISED", *init(office), *named(chain.node))


@pytest.mark.parametrize("network", [Network.MAIN, Network.TESTNET4, Network.SIGNET])
def test_every_network_has_its_chain_from_a_node(bitcoind, tmp_path, network):
    here = Folders(tmp_path, network)
    with OfflineNode(bitcoind, network) as running:
        here.prepare()
        here.pin(settings(network, node=f"http://{running.rpc.name}", cookie=str(running.credentials.path)))
        chain = open_chain(here, here.settings())
        assert chain.view.tip().hash[::-1].hex() == network.genesis
        assert chain.status().is_initial_download
        chain.close()
    assert stat.S_IMODE((here.folder / "config.toml").stat().st_mode) == 0o600


@pytest.mark.parametrize("network", [Network.MAIN, Network.TESTNET4, Network.SIGNET])
def test_without_a_node_only_regtest_has_a_chain(tmp_path, network):
    with refuses("CHAIN_MISSING") as caught:
        open_chain(Folders(tmp_path, network), settings(network))
    assert "--node" in caught.error.advice()


def settings(network, **node):
    rest = dict.fromkeys(("node", "cookie", "rpc_user", "rpc_password_file", "signet_challenge")) | node
    chain = "bitcoind" if node else "kernel"
    return Settings(network=network, charter=bytes(32), coordinator_key="k", passphrase_file=None, chain=chain, **rest)


def test_a_coordinator_of_another_network_is_set_up_with_a_node_of_it(office, bitcoind):
    charter, cast = on_signet(office.cast.charter), office.cast
    envelope = sign(charter, cast.coordinator, *cast.people.values(), cast.witness)
    Path(office.path("charter.json")).write_bytes(envelope.to_bytes())
    words = show_words(charter.digest()).split()
    command = "init", office.path("charter.json"), *words, "--coordinator-key", office.key("coordinator")
    office.refuses("CHAIN_MISSING", *command)
    with OfflineNode(bitcoind, Network.SIGNET) as signet:
        office.does(*command, *named(signet))
        found = office.does("node", "status")
        assert (found["network"], found["height"], found["log"]) == ("signet", 0, "nothing seen")
        assert not found["is_ready"]
        address = office.does(*office.address_for("seized, case 17"))["address"]
        assert address.startswith("tb1q")
        # The network that was set up first is the usual one.
        assert office.does("--network", "signet", "node", "scan", *NEAR)["coins"] == []
        office.refuses("NODE_NOT_READY", "observe")


def on_signet(charter):
    payees = [
        each.model_copy(update={"address": script_address(script_of(each.address, Network.REGTEST), Network.SIGNET)})
        if isinstance(each, AddressPayee)
        else each
        for each in charter.payees
    ]
    return charter.model_copy(update={"network": Network.SIGNET, "payees": tuple(payees)})


def test_a_configuration_that_names_half_a_node_is_refused(placed):
    whole = config(placed).read_text()
    for damaged in (
        whole.replace('chain = "bitcoind"', 'chain = "kernel"'),
        "".join(line for line in whole.splitlines(keepends=True) if not line.startswith("cookie")),
        whole + 'rpc_user = "clerk"\n',
    ):
        config(placed).write_text(damaged)
        placed.refuses("CONFIG_INVALID", "node", "status")


# --- a transfer -------------------------------------------------------------------------------------------------------


def test_a_transfer_goes_by_commands_from_a_deposit_to_a_block_of_the_node(placed, chain):
    deposit(placed, chain)
    assert placed.does("coin", "balance")["vaults"]["reserve"]["mature"] == DEPOSIT
    transfer = placed.drafted()
    placed.approved(transfer)
    evidence = placed.ready_to_sign(transfer)
    combined = placed.does("transfer", "combine", transfer, *(placed.signed(evidence, each) for each in COSIGNERS))
    assert combined["judges"] == ["libbitcoinkernel", "python-bitcointx", "testmempoolaccept"]
    placed.witnessed()
    placed.does("transfer", "release", transfer)
    (sent,) = placed.does("transfer", "deliver")["sent"]
    # Nothing is named that a node's regtest refuses.
    assert "custody regtest" not in placed.types("transfer", "deliver").output
    assert [each.txid_hex for each in chain.view.pending()] == [sent["txid"]]
    chain.mine()
    placed.does("observe")
    assert placed.does("transfer", "show", transfer)["status"] == "confirmed"
    paid = chain.view.scan([script_of(payee_address(SUPPLIER), Network.REGTEST)])
    assert paid.total == 25_000_000
    answer = placed.does("coin", "reconcile", *NEAR)
    assert (answer["differences"], answer["coins"]) == ([], 1)
    checks = {each["name"]: each for each in placed.does("doctor")["checks"]}
    assert "height 105" in checks["chain"]["finding"]


def test_whoever_does_not_look_at_the_chain_does_not_wait_for_the_node(placed, chain):
    chain.node.halt()
    assert placed.does(*placed.address_for("seized, case 17"))["index"] == 0
    assert placed.does("coin", "list")["coins"] == []
    for command in (("observe",), ("node", "status"), ("node", "scan", *NEAR), ("coin", "reconcile", *NEAR)):
        placed.refuses("NODE_UNAVAILABLE", *command)
    chain.node.resume()
    assert placed.does("observe")["height"] == 103


def test_nothing_here_mines_or_pays_on_a_node(placed):
    placed.refuses("CHAIN_NOT_OURS", "regtest", "mine", "1")
    placed.refuses("CHAIN_NOT_OURS", "regtest", "pay", payee_address(SUPPLIER), "1 BTC")


# --- how the node stands ----------------------------------------------------------------------------------------------


def test_the_node_s_status_tells_how_far_it_is_and_what_it_takes(placed, chain):
    tip = chain.view.tip()
    found = placed.does("node", "status")
    assert found.pop("version").startswith("/Satoshi:")
    assert found.pop("min_fee_rate") == chain.view.min_fee_rate()
    assert found == {
        "node": chain.node.rpc.name,
        "network": "regtest",
        "height": 103,
        "block": tip.hash[::-1].hex(),
        "tip_time": tip.time,
        "headers": 103,
        "is_initial_download": False,
        "first_block": 0,
        "fee_rate": 2_000,
        "fee_rate_source": "fallback",
        "missing_blocks": None,
        "underway": [],
        "log_height": 103,
        "log": "agrees",
        "is_ready": True,
        "unready": None,
        "frozen_by": None,
    }
    text = placed.types("node", "status").stdout
    assert "103 of 103" in text
    assert "no estimate" in text


def test_the_status_says_when_the_node_is_not_where_the_log_is(placed, chain):
    top = chain.view.block_hash(103)
    chain.invalidate(103)
    assert placed.does("node", "status")["log"] == "behind"
    chain.mine(1)
    assert placed.does("node", "status")["log"] == "differs"
    assert "ANOTHER CHAIN" in placed.types("node", "status").stdout
    chain.reconsider(top)
    placed.does("observe")
    assert placed.does("node", "status")["log"] == "agrees"


def test_regtest_s_own_chain_has_a_status_too(office):
    office.set_up()
    found = office.does("node", "status")
    assert (found["height"], found["version"], found["log"]) == (109, "libbitcoinkernel", "agrees")
    assert found["is_ready"]


# --- coins by the chain alone -----------------------------------------------------------------------------------------


def pay_far(office, chain, branch=Branch.RECEIVE, amount=7_000_000):
    outpoint = chain.pay(office.cast.vault.script_pubkey(branch, FAR), amount)
    chain.mine()
    return outpoint


def test_a_scan_finds_the_coins_of_every_branch_however_far_out(placed, chain):
    near = deposit(placed, chain)
    far = {pay_far(placed, chain), pay_far(placed, chain, Branch.CHANGE)}
    before = placed.does("log", "verify")["size"]
    found = placed.does("node", "scan", *NEAR)
    assert found["total"] == DEPOSIT + 14_000_000
    coins = {each["outpoint"]: each for each in found["coins"]}
    assert set(coins) == {str(near), *map(str, far)}
    assert {(each["branch"], each["index"]) for each in coins.values()} == {(0, 0), (0, FAR), (1, FAR)}
    assert {key for key, each in coins.items() if each["is_in_log"]} == {str(near)}
    assert placed.does("log", "verify")["size"] == before
    assert "not in the log" in placed.types("node", "scan", *NEAR).stdout
    # Without the way that lies ahead they are not found, which is why it is long.
    assert placed.does("node", "scan", "--ahead", 10)["total"] == DEPOSIT


@pytest.fixture(params=["node", "own"])
def anywhere(request, office):
    """An office on a chain of each kind, and how to pay there: (office, pay(script, sats))."""
    if request.param == "node":
        chain = request.getfixturevalue("chain")
        office.set_up(*named(chain.node))

        def pay(address, amount):
            outpoint = chain.pay(script_of(address, Network.REGTEST), amount)
            chain.mine()
            return str(outpoint)
    else:
        office.set_up()

        def pay(address, amount):
            return office.does("regtest", "pay", address, amount)["outpoint"]

    return office, pay


def differing(office):
    """What `coin reconcile` lists, when it finds a difference: it exits with 6."""
    result = office.types("coin", "reconcile", *NEAR, "--json")
    assert result.exit_code == 6, result.output
    answer = json.loads(result.stdout)
    assert answer["error"]["code"] == "COINS_DIFFER"
    assert answer["error"]["hint"]
    return answer["differences"]


def test_a_coin_beyond_every_window_is_a_difference(anywhere):
    office, pay = anywhere
    address = office.does(*office.address_for("seized, case 17"))["address"]
    pay(address, DEPOSIT)
    agreed = office.does("coin", "reconcile", *NEAR)
    assert (agreed["differences"], agreed["coins"], agreed["total"]) == ([], 1, DEPOSIT)
    far = pay(office.cast.vault.address(Branch.RECEIVE, FAR), 7_000_000)
    (found,) = differing(office)
    height = found["on_chain"]["height"]
    assert found == {
        "what": "missing in the log",
        "outpoint": far,
        "vault": "reserve",
        "branch": 0,
        "index": FAR,
        "in_log": None,
        "on_chain": {"amount": 7_000_000, "height": height},
    }
    result = office.types("coin", "reconcile", *NEAR)
    assert result.exit_code == 6
    assert f"0/{FAR}" in result.stdout
    assert "error COINS_DIFFER" in result.stderr


def test_every_kind_of_difference_is_told(node_chain):
    story = Scenario.funded(30_000_000, 20_000_000, 10_000_000, chain=node_chain)
    spent = story.transfer(story.confirmed(story.request((SUPPLIER, 5_000_000)))).draft.outpoints[0]
    history = story.history()
    known = owners(history, 100)
    scan = story.chain.node_view.scan(known)
    first, second, *rest = scan.outputs

    def told(*outputs):
        found = differences(history, replace(scan, outputs=(*outputs, *rest)), known)
        return {each.outpoint: each.what for each in found}

    seen = holding(history, spent)
    back = UnspentOutput(spent, TxOut(seen.amount, seen.script_pubkey), seen.height, is_coinbase=False)
    stranger = replace(first, outpoint=OutPoint(bytes(32), 7))
    richer = replace(first, output=TxOut(first.output.amount + 1, first.output.script_pubkey))
    assert told(first, second) == {}
    assert told(first, second, stranger) == {stranger.outpoint: Differs.NOT_IN_LOG}
    assert told(first) == {second.outpoint: Differs.NOT_ON_CHAIN}
    assert told(first, second, back) == {spent: Differs.SPENT_IN_LOG}
    for other in (richer, replace(first, height=first.height + 1), replace(first, is_coinbase=True)):
        assert told(other, second) == {first.outpoint: Differs.NOT_THE_SAME}
    assert len(told(richer, back, stranger)) == 4


def test_a_transfer_that_is_seen_but_not_deep_enough_is_no_difference(node_chain):
    story = Scenario.funded(chain=node_chain, setting=Setting(confirmations=3))
    transfer_id = story.sent()
    for expected in (Status.BROADCAST, Status.BROADCAST, Status.BROADCAST, Status.CONFIRMED):
        history = story.history()
        known = owners(history, 100)
        assert history.transfer(transfer_id).status is expected
        assert differences(history, story.chain.node_view.scan(known), known) == []
        story.mine()
