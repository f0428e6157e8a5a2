"""What the node backend does beyond the contract: networks, proofs, scans, pruning, and every way of not answering."""

import hmac
import json
import socket
import threading
import time
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from custody.backends.bitcoind import (
    SIGNET_CHALLENGE,
    BitcoindJudge,
    BitcoindRelay,
    BitcoindView,
    CookieFile,
    Refusal,
    Rpc,
    UserPassword,
)
from custody.backends.bitcoind.rpc import MAX_ANSWER, _Incoming
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.ports import Standing
from custody.rate import RateSource, rate_for
from custody.testing.asserts import refuses
from custody.testing.chain import START
from custody.testing.node import NodeChain, OfflineNode
from custody.units import COIN, Network

ELSEWHERE = b"\x00\x14" + bytes(range(20))
PAYEE = b"\x00\x20" + bytes(range(32))
NUMBER = TypeAdapter(int)
ANY = TypeAdapter(object)
SOME = Transaction(2, (TxIn(OutPoint(bytes(32), 0), b"", 0),), (TxOut(1, b"\x51"),), 0)
SECRET = "hunter2-correct-horse"  # noqa: S105 - looked for in errors


@pytest.fixture
def chain(node_chain):
    return node_chain.fund(4)


def spend(chain, *outputs, coin=0):
    outpoint, unspent = chain._coins()[coin]
    return chain._sign(Transaction(2, (TxIn(outpoint, b"", 0xFFFFFFFD),), outputs, 0), [unspent.output])


# --- networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", list(Network))
def test_a_node_is_taken_for_its_own_network_and_no_other(bitcoind, network):
    with OfflineNode(bitcoind, network) as running:
        view = BitcoindView(running.rpc, network)
        assert view.tip().hash[::-1].hex() == network.genesis
        assert view.is_initial_download()
        for other in Network:
            if other is not network:
                with refuses("NETWORK_MISMATCH"):
                    BitcoindView(running.rpc, other)


def test_signets_differ_by_their_challenge(bitcoind):
    with OfflineNode(bitcoind, Network.SIGNET, ("-signetchallenge=51",)) as running:
        view = BitcoindView(running.rpc, Network.SIGNET, signet_challenge=b"\x51")
        assert view.network is Network.SIGNET
        with refuses("NETWORK_MISMATCH") as caught:
            BitcoindView(running.rpc, Network.SIGNET)
    assert SIGNET_CHALLENGE.hex()[:16] in caught.error.expected
    assert "51" in caught.error.actual


# --- the mempool, sending, the node's opinion -------------------------------------------------------------------------


def test_what_waits_is_told_with_what_it_depends_on(chain):
    parent = chain.pay_all([TxOut(COIN, PAYEE)])
    bare = Transaction(2, (TxIn(OutPoint(parent.txid, 1), b"", 0xFFFFFFFD),), (TxOut(48 * COIN, ELSEWHERE),), 0)
    child = chain._sign(bare, [parent.outputs[1]])
    chain.view.send(child.serialize())
    view = chain.node_view
    first, second = view.waiting(parent.txid), view.waiting(child.txid)
    assert (first.vsize, second.vsize) == (parent.vsize, child.vsize)
    assert first.fee == first.package_fee == 50 * COIN - sum(output.amount for output in parent.outputs)
    assert second.package_fee == first.fee + second.fee
    assert second.package_vsize == first.vsize + second.vsize
    assert view.waiting_transaction(child.txid) == child
    spent = [each.outpoint for each in (*parent.inputs, *child.inputs)]
    unspent = OutPoint(child.txid, 0)
    assert view.waiting_spends([*spent, unspent]) == ((spent[0], parent.txid), (spent[1], child.txid))
    assert view.waiting_spends([]) == ()
    assert view.waiting(bytes(32)) is None
    assert view.waiting_transaction(bytes(32)) is None


def test_a_known_output_is_success_only_where_the_transaction_itself_is_found(chain):
    relay = chain.node_view.relay
    payment = chain.pay_all([TxOut(COIN, PAYEE)])
    assert relay.standing(payment) is Standing.WAITING
    assert relay.mined_in(payment) is None
    (mined,) = chain.mine()
    assert relay.standing(payment) is Standing.MINED
    assert relay.mined_in(payment) == mined
    answer = chain.node.rpc.attempt(ANY, "sendrawtransaction", payment.serialize().hex(), 0)
    assert isinstance(answer, Refusal)
    assert answer.code == -27
    relay.send(payment.serialize())


def test_a_transaction_whose_inputs_are_gone_and_that_no_block_holds_is_refused(chain):
    loser = spend(chain, TxOut(49 * COIN, PAYEE))
    winner = spend(chain, TxOut(48 * COIN, ELSEWHERE))
    chain.view.send(winner.serialize())
    chain.mine()
    with refuses("RELAY_REFUSED"):
        chain.view.send(loser.serialize())
    assert chain.node_view.relay.standing(loser) is Standing.GONE


def test_the_node_judges_without_sending(chain):
    judge = BitcoindJudge(chain.node_view)
    good = spend(chain, TxOut(49 * COIN, PAYEE))
    spent = [TxOut(50 * COIN, chain.faucet_script)]
    assert judge.applies_to(1, spent)
    assert judge.judge(good.serialize(), spent) is None
    assert chain.view.pending() == ()
    chain.view.send(good.serialize())
    assert judge.judge(good.serialize(), spent) is None
    signature, key = good.witness[0]
    forged = Transaction(2, good.inputs, good.outputs, 0, ((signature[:-10] + b"\x01" + signature[-9:], key),))
    assert judge.judge(forged.serialize(), spent)
    assert judge.judge(b"\x02", spent).startswith("it is not a transaction")
    chain.mine()
    assert judge.judge(good.serialize(), spent)
    inflating = spend(chain, TxOut(51 * COIN, PAYEE))
    assert "bad-txns-in-belowout" in judge.judge(inflating.serialize(), spent)


def test_a_high_fee_is_not_the_node_s_to_refuse(chain):
    generous = spend(chain, TxOut(40 * COIN, PAYEE))
    assert BitcoindJudge(chain.node_view).judge(generous.serialize(), []) is None
    chain.view.send(generous.serialize())


# --- proofs and scans -------------------------------------------------------------------------------------------------


def test_each_transaction_of_a_block_is_proven_to_be_in_it(chain):
    payments = [chain.pay_all([TxOut(COIN, PAYEE)]) for _ in range(6)]
    (mined,) = chain.mine()
    view = chain.node_view
    block = view.block(104)
    for position, each in enumerate(block.transactions):
        proof = view.tx_out_proof(each.txid, mined)
        assert proof.places == ((position, each.txid),)
        assert proof.count == len(payments) + 1
        assert proof.header.hash == mined
    assert view.tx_out_proof(payments[0].txid, view.block_hash(103)) is None
    with refuses("BLOCK_UNKNOWN"):
        view.tx_out_proof(payments[0].txid, bytes(32))
    chain.invalidate(104)
    assert view.tx_out_proof(payments[0].txid, mined) is None


def test_a_scan_finds_every_coin_in_batches_of_any_size(chain):
    scripts = [b"\x00\x14" + bytes(18) + number.to_bytes(2, "big") for number in range(300)]
    paid = {scripts[number]: 10_000 + number for number in (0, 99, 100, 299)}
    chain.pay_all([TxOut(amount, script) for script, amount in paid.items()])
    assert chain.node_view.scan(scripts).outputs == ()
    chain.mine(1, script_pubkey=scripts[7])
    paid[scripts[7]] = 50 * COIN
    expected = None
    for batch in (1_000, 300, 100, 7):
        scan = chain.node_view.scan([*scripts, scripts[0]], batch)
        assert {each.output.script_pubkey: each.output.amount for each in scan.outputs} == paid
        assert scan.total == sum(paid.values())
        assert (scan.height, scan.block_hash) == (104, chain.view.tip().hash)
        assert [each.height for each in scan.outputs] == [104] * 5
        assert [each.output.script_pubkey for each in scan.outputs if each.is_coinbase] == [scripts[7]]
        expected = expected or scan
        assert scan == expected
    assert chain.node_view.scan([]).outputs == ()


# --- pruning ----------------------------------------------------------------------------------------------------------


def test_a_pruned_node_says_which_blocks_it_can_give_and_refuses_the_others(bitcoind):
    with OfflineNode(bitcoind, options=("-prune=1", "-fastprune")) as running:
        running.set_time(START)
        running.rpc.ask(ANY, "generatetodescriptor", 900, "raw(51)")
        view = BitcoindView(running.rpc, Network.REGTEST)
        assert view.status().first_block == 0
        running.rpc.ask(NUMBER, "pruneblockchain", 500)
        first = view.status().first_block
        assert 0 < first <= 501
        assert view.block(first).hash == view.block_hash(first)
        with refuses("BLOCK_UNKNOWN") as caught:
            view.block(1)
        assert "pruned" in caught.error.reason
        with refuses("BLOCK_UNKNOWN"):
            view.tx_out_proof(bytes(32), view.block_hash(1))
        assert not view.is_initial_download()


# --- not answering ----------------------------------------------------------------------------------------------------


def test_a_node_that_was_started_again_is_asked_with_its_new_cookie(node_chain):
    before = node_chain.node.credentials.path.read_bytes()
    node_chain.node.halt()
    with refuses("NODE_UNAVAILABLE") as caught:
        node_chain.view.tip()
    assert "cookie" in caught.error.reason
    node_chain.node.resume()
    assert node_chain.node.credentials.path.read_bytes() != before
    assert node_chain.view.tip().height == 0


def test_a_connection_that_the_node_gave_up_is_made_again(bitcoind):
    with OfflineNode(bitcoind, options=("-rpcservertimeout=1",)) as running:
        assert running.rpc.ask(NUMBER, "getblockcount") == 0
        kept = running.rpc._connection
        # The node hangs up on its own after a second; waiting for that shows in the socket.
        sock = kept._inner.sock
        sock.settimeout(30)
        assert sock.recv(1) == b""
        assert running.rpc.ask(NUMBER, "getblockcount") == 0
        assert running.rpc._connection is not kept


@pytest.mark.parametrize(
    "credentials", [UserPassword("custody", SECRET), UserPassword("", ""), UserPassword("__cookie__", SECRET)]
)
def test_wrong_credentials_are_refused_and_never_shown(node, credentials):
    rpc = Rpc(f"http://{node.rpc.name}", credentials)
    with refuses("NODE_UNAVAILABLE") as caught:
        BitcoindView(rpc, Network.REGTEST)
    assert "credentials" in caught.error.reason
    assert SECRET not in f"{caught.error}{caught.error!r}{caught.error.values()}{rpc!r}{credentials!r}"


def test_a_password_with_any_characters_is_sent_as_it_is(bitcoind):
    strange = "p@ss:w/rd %41#?"
    # What the node keeps of it: a salt, and the HMAC-SHA-256 of the password under it.
    digest = hmac.new(b"5eed", strange.encode(), "sha256").hexdigest()
    with (
        OfflineNode(bitcoind, options=(f"-rpcauth=custody:5eed${digest}",)) as running,
        Rpc(f"http://{running.rpc.name}/", UserPassword("custody", strange)) as rpc,
    ):
        assert BitcoindView(rpc, Network.REGTEST).tip().height == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:18443",
        "https://127.0.0.1:18443",
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        f"http://custody:{SECRET}@127.0.0.1:18443",
        "http://127.0.0.1:18443/wallet/ours",
        "http://127.0.0.1:18443?x",
        "http://host name:18443",
        "file:///etc/passwd",
        "http://..:8332",
        "http://a..b:8332",
        f"http://{'a' * 64}:8332",
        f"http://{'a.' * 127}a:8332",
        "http://:8332",
        "http://a\x1b[31m:8332",
        "http://[]:8332",
        "http://[::g]:8332",
        "http://[1:2:3]:8332",
        "http://[fe80::1%]:8332",
        "http://[fe80::1%eth 0]:8332",
        "http://[127.0.0.1]:8332",
        "http://::1:8332",
        "http://127.0.0.1:8332 ",
    ],
)
def test_an_address_that_is_not_host_and_port_is_refused_and_not_shown(url):
    with refuses("NODE_ADDRESS") as caught:
        Rpc(url, UserPassword("custody", SECRET))
    assert SECRET not in str(caught.error)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("127.0.0.1:8332", "http://"),
        ("https://node.example:8332", "tunnel"),
        ("http://127.0.0.1:8332/wallet/reserve", "no wallet"),
        ("http://127.0.0.1", "8332"),
        ("http://::1:8332", "brackets"),
        ("http://узел:8332", "xn--"),
        ("http://[fe80::1%]:8332", "%eth0"),
        ("http://a b:8332", "hyphens and underscores"),
    ],
)
def test_what_is_wrong_with_an_address_says_what_to_write(url, problem):
    with refuses("NODE_ADDRESS") as caught:
        Rpc(url, UserPassword("custody", SECRET))
    assert problem in caught.error.problem


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://btcpayserver_bitcoind:43782", "btcpayserver_bitcoind:43782"),
        ("http://my_node_1:8332/", "my_node_1:8332"),
        ("HTTP://BITCOIND:8332", "BITCOIND:8332"),
        ("http://node-1.internal.:8332", "node-1.internal.:8332"),
        ("http://xn--e1aybc:8332", "xn--e1aybc:8332"),
        ("http://[::1]:8332", "[::1]:8332"),
        ("http://[fe80::1%eth0]:8332", "[fe80::1%eth0]:8332"),
        ("http://[fe80::1%25eth0]:8332", "[fe80::1%eth0]:8332"),
        ("http://[::ffff:127.0.0.1]:8332", "[::ffff:127.0.0.1]:8332"),
    ],
)
def test_hosts_as_containers_and_links_name_them_are_addresses(url, name):
    assert Rpc(url, UserPassword("custody", SECRET)).name == name


def test_a_host_is_asked_by_the_name_it_was_given():
    with answering(lambda _: result(7)) as rpc:
        rpc.ask(NUMBER, "getblockcount")
        assert rpc._connection._headers["Host"] == rpc.name
    link = Rpc("http://[fe80::1%eth0]:8332", UserPassword("custody", SECRET))
    assert link._connect().connection._headers["Host"] == "[fe80::1]:8332"


def test_a_cookie_that_is_not_there_is_named(tmp_path):
    rpc = Rpc("http://127.0.0.1:1", CookieFile(tmp_path / "missing"))
    with refuses("NODE_UNAVAILABLE") as caught:
        rpc.ask(NUMBER, "getblockcount")
    assert "cookie" in caught.error.reason


@contextmanager
def answering(respond):
    """A server on loopback that answers every request with what `respond(method)` gives: status, and bytes or JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = respond(asked["method"])
            if isinstance(body, dict):
                body = json.dumps({"id": asked["id"]} | body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            with Rpc(f"http://127.0.0.1:{server.server_address[1]}", UserPassword("u", SECRET), timeout=5) as rpc:
                yield rpc
        finally:
            server.shutdown()
            serving.join()


def result(value):
    return 200, {"result": value, "error": None}


GARBAGE = {
    "nothing": (200, b""),
    "text": (200, b"<html>proxy</html>"),
    "no unicode": (200, b"\xff\xfe"),
    "null": (200, b"null"),
    "a list": (200, b"[]"),
    "a number": (200, b"1"),
    "no result": (200, {}),
    "deep": (200, b"[" * 100_000),
    "overloaded": (503, b"Work queue depth exceeded"),
    "not there": (404, b""),
    "error as text": (500, {"error": "no"}),
    "error code as text": (500, {"error": {"code": "-1", "message": "no"}}),
    "error without code": (500, {"error": {"message": "no"}}),
    "error code too deep": (500, {"error": {"code": {}, "message": {}}}),
    "starting": (500, {"error": {"code": -28, "message": "Loading block index"}}),
    "wrong type": result("103"),
    "a fraction": (200, {"result": 103.5}),
    "null result": result(None),
    "no question": (200, b'{"result": 7, "error": null}'),
    "another question": (200, {"result": 7, "error": None, "id": 987_654}),
    "another question, as text": (200, {"result": 7, "error": None, "id": "1"}),
    "another question, as a fraction": (200, b'{"result": 7, "error": null, "id": 1.0}'),
    "another question, as a yes": (200, b'{"result": 7, "error": null, "id": true}'),
    "no to another question": (500, {"error": {"code": -5, "message": "no"}, "id": 0}),
    "a long number": (200, b'{"id": 1, "result": ' + b"1" * 200_000 + b"}"),
    "long": (200, {"result": 7, "more": "0" * MAX_ANSWER}),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_answer_is_a_node_that_failed(answer):
    with answering(lambda _: answer) as rpc:
        for _ in range(2):
            with refuses("NODE_UNAVAILABLE") as caught:
                rpc.attempt(NUMBER, "getblockcount")
            assert SECRET not in str(caught.error)
            assert str(caught.error).isprintable()


UNASKED = {
    "unknown": (404, {"error": {"code": -32601, "message": "Method not found"}}),
    "forbidden": (403, b""),
}


@pytest.mark.parametrize("answer", UNASKED.values(), ids=UNASKED)
def test_a_question_that_is_not_answered_is_named_with_what_is_not_to_be_had_without_it(answer):
    with answering(lambda _: answer) as rpc:
        for _ in range(2):
            with refuses("NODE_METHOD") as caught:
                rpc.attempt(NUMBER, "sendrawtransaction")
            assert "Without it nothing can be sent" in str(caught.error)
            assert SECRET not in str(caught.error)


def test_after_garbage_the_next_answer_is_read_for_itself():
    answers = [(200, b"\xff"), result(7)]
    with answering(lambda _: answers.pop(0)) as rpc:
        with refuses("NODE_UNAVAILABLE"):
            rpc.ask(NUMBER, "getblockcount")
        assert rpc.ask(NUMBER, "getblockcount") == 7


def test_a_refusal_is_a_value_made_plain():
    words = "bad \x1b[31m\u202e" + "x" * 500
    with answering(lambda _: (500, {"error": {"code": -26, "message": words}, "result": None})) as rpc:
        refusal = rpc.attempt(NUMBER, "sendrawtransaction")
        assert refusal.code == -26
        assert refusal.reason.isascii()
        assert refusal.reason.isprintable()
        assert len(refusal.reason) <= 200
        with refuses("NODE_UNAVAILABLE"):
            rpc.ask(NUMBER, "sendrawtransaction")


def test_a_node_that_says_nothing_is_waited_for_only_so_long():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with Rpc(f"http://127.0.0.1:{silent.getsockname()[1]}", UserPassword("u", SECRET), timeout=1) as rpc:
            with refuses("NODE_UNAVAILABLE") as caught:
                rpc.ask(NUMBER, "getblockcount")
            assert "1 seconds" in caught.error.reason


@contextmanager
def sending(first, again, every=0):
    """A node that answers with `first`, and then with `again` and again, one of them in so many seconds."""
    ended = threading.Event()

    def serve(listening):
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(first)
            while not ended.wait(every):
                connection.sendall(again)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        serving = threading.Thread(target=serve, args=(listening,))
        serving.start()
        try:
            with Rpc(f"http://127.0.0.1:{listening.getsockname()[1]}", UserPassword("u", SECRET), timeout=1) as rpc:
                yield rpc
        finally:
            ended.set()
            serving.join()


def test_a_node_that_goes_on_and_on_before_its_answer_is_not_listened_to():
    with sending(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100) as rpc, refuses("NODE_UNAVAILABLE") as caught:
        rpc.ask(NUMBER, "getblockcount")
    assert "more than an answer" in caught.error.reason


def test_an_answer_in_pieces_is_not_put_together():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with sending(head, b"1\r\n \r\n" * 100) as rpc, refuses("NODE_UNAVAILABLE") as caught:
        rpc.ask(NUMBER, "getblockcount")
    assert "how long" in caught.error.reason


@pytest.mark.parametrize("says", [b"Content-Length: 100000000\r\n", b""])
def test_an_answer_that_is_too_long_is_not_waited_for(says):
    with sending(b"HTTP/1.1 200 OK\r\n" + says + b"\r\n", b"0" * 65536) as rpc:
        with refuses("NODE_UNAVAILABLE") as caught:
            rpc.ask(NUMBER, "getblockcount")
        assert f"larger than {MAX_ANSWER} bytes" in caught.error.reason


@pytest.mark.parametrize("every", [0.05, 0], ids=["a drop now and then", "drops without a pause"])
def test_a_node_whose_answer_never_ends_is_waited_for_only_so_long(every):
    """Python's timeout begins anew with each byte; this one does not."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n"
    with sending(head, b" ", every=every) as rpc, refuses("NODE_UNAVAILABLE") as caught:
        rpc.ask(NUMBER, "scantxoutset")
    assert "1 seconds" in caught.error.reason


def test_what_comes_after_the_deadline_is_not_read_though_it_is_there():
    near, far = socket.socketpair()
    with near, far, closing(_Incoming(near, time.monotonic() - 1)) as incoming:
        far.sendall(b"HTTP/1.1 200 OK")
        with pytest.raises(TimeoutError):
            incoming.readinto(bytearray(1))


DENSE = {
    "lists": b"[" + b"[]," * 1_300_000 + b"[]]",
    "zeros": b"[" + b"0," * 1_900_000 + b"0]",
    "tables": b"[" + b'{"a":0},' * 490_000 + b"0]",
}


@pytest.mark.parametrize("kind", DENSE)
def test_an_answer_that_would_fill_memory_is_not_read(kind):
    with (
        answering(lambda _: (200, b'{"id": 1, "error": null, "result": ' + DENSE[kind] + b"}")) as rpc,
        refuses("NODE_UNAVAILABLE") as caught,
    ):
        rpc.ask(NUMBER, "getblockcount")
    assert "bytes of memory" in caught.error.reason


def test_a_node_that_is_not_there_is_unavailable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        rpc = Rpc(f"http://127.0.0.1:{taken.getsockname()[1]}", UserPassword("u", SECRET))
        with refuses("NODE_UNAVAILABLE"):
            rpc.ask(NUMBER, "getblockcount")


def regtest(**answers):
    """A node that answers like an empty regtest one, but for `answers` by method."""
    genesis = Network.REGTEST.genesis
    chain = {"chain": "regtest", "blocks": 0, "headers": 0, "bestblockhash": genesis, "time": 1}
    usual = {"getblockhash": genesis, "getblockchaininfo": chain | {"initialblockdownload": False}}
    return lambda method: result((usual | answers)[method])


ALTERED = {
    "another block": ({"getblock": "00" * 81}, lambda view: view.block(0)),
    "no block": ({"getblock": "zz"}, lambda view: view.block(0)),
    "a short hash": ({"getblockhash": "00"}, lambda view: view.block_hash(0)),
    "another transaction taken": (
        {"sendrawtransaction": "11" * 32},
        lambda view: BitcoindRelay(view).send(SOME.serialize()),
    ),
    "a found coin nobody asked for": (
        {
            "scantxoutset": {
                "success": True,
                "height": 0,
                "bestblock": "00" * 32,
                "unspents": [
                    {"txid": "00" * 32, "vout": 0, "scriptPubKey": "51", "amount": 1, "height": 0, "coinbase": False}
                ],
            }
        },
        lambda view: view.scan([b"\x52"]),
    ),
    "a scan that was ended": (
        {"scantxoutset": {"success": False, "height": 0, "bestblock": "00" * 32, "unspents": []}},
        lambda view: view.scan([b"\x52"]),
    ),
    "a rate below zero": (
        {"getmempoolinfo": {"mempoolminfee": -1, "minrelaytxfee": 0, "incrementalrelayfee": 0}},
        lambda view: BitcoindRelay(view).min_fee_rate(),
    ),
    "an opinion on another transaction": (
        {"testmempoolaccept": [{"txid": "11" * 32, "allowed": True}]},
        lambda view: BitcoindJudge(view).judge(SOME.serialize(), []),
    ),
    "a package of others": (
        {"submitpackage": {"package_msg": "success", "tx-results": {"11" * 32: {"txid": "11" * 32}}}},
        lambda view: BitcoindRelay(view).send_package([SOME.serialize()]),
    ),
    "a package of none": (
        {"submitpackage": {"package_msg": "success", "tx-results": {}}},
        lambda view: BitcoindRelay(view).send_package([SOME.serialize()]),
    ),
    "no opinion": (
        {"testmempoolaccept": []},
        lambda view: BitcoindJudge(view).judge(SOME.serialize(), []),
    ),
}


@pytest.mark.parametrize(("answers", "ask"), ALTERED.values(), ids=ALTERED)
def test_an_answer_to_another_question_is_noticed(answers, ask):
    with answering(regtest()) as rpc:
        view = BitcoindView(rpc, Network.REGTEST)
    with answering(regtest(**answers)) as liar:
        view.node = liar
        with refuses("NODE_UNAVAILABLE"):
            ask(view)


@pytest.mark.parametrize(
    ("feerate", "rate"),
    [(0.00001, 5_000), (0.00012345, 12_345), (0.000123451, 12_346), (1, 100_000_000), (None, None)],
)
def test_an_estimate_rounds_up_and_is_never_below_what_the_node_takes(feerate, rate):
    estimate = {"blocks": 6} if feerate is None else {"feerate": feerate, "blocks": 6}
    pool = {"mempoolminfee": 0.00005, "minrelaytxfee": 0.00001, "incrementalrelayfee": 0.00001}
    with answering(regtest(estimatesmartfee=estimate, getmempoolinfo=pool)) as rpc:
        assert BitcoindRelay(BitcoindView(rpc, Network.REGTEST)).fee_rate() == rate


NO_ESTIMATE = {
    "none is made": (500, {"error": {"code": -32603, "message": "Fee estimation disabled"}}),
    **UNASKED,
}


@pytest.mark.parametrize("answer", NO_ESTIMATE.values(), ids=NO_ESTIMATE)
def test_a_node_that_gives_no_estimate_leaves_it_to_the_fallback(answer):
    pool = {"mempoolminfee": 0.00005, "minrelaytxfee": 0.00001, "incrementalrelayfee": 0.00001}
    usual = regtest(getmempoolinfo=pool)
    with answering(lambda method: answer if method == "estimatesmartfee" else usual(method)) as rpc:
        chosen = rate_for(BitcoindRelay(BitcoindView(rpc, Network.REGTEST)))
    assert (chosen.rate, chosen.source) == (5_000, RateSource.FALLBACK)


def test_a_node_need_not_say_what_it_is():
    usual = regtest()
    with answering(lambda method: (403, b"") if method == "getnetworkinfo" else usual(method)) as rpc:
        assert BitcoindView(rpc, Network.REGTEST).status().version == "not told"


def test_opinions_that_give_no_reason_are_still_refusals():
    for answer in ({}, {"allowed": False}, {"package-error": "x"}):
        said = [{"txid": SOME.txid_hex} | answer]
        with answering(regtest(testmempoolaccept=said)) as rpc:
            assert BitcoindJudge(BitcoindView(rpc, Network.REGTEST)).judge(SOME.serialize(), []) is not None


# --- the fixture itself -----------------------------------------------------------------------------------------------


def test_a_node_that_does_not_start_says_why(bitcoind):
    with refuses("NODE_UNAVAILABLE") as caught:
        OfflineNode(bitcoind, options=("-nonsense",))
    assert "nonsense" in caught.error.reason


def test_a_node_that_is_halted_ends_in_order(bitcoind):
    with OfflineNode(bitcoind) as running:
        process = running._process
        running.halt()
        assert process.returncode == 0


def test_a_node_leaves_nothing_behind(bitcoind):
    with OfflineNode(bitcoind) as running:
        directory, process = running.directory, running._process
        assert directory.is_dir()
    assert process.returncode is not None
    assert not Path(directory).exists()


def test_a_chain_is_mined_on_regtest_alone(bitcoind):
    with OfflineNode(bitcoind, Network.SIGNET) as running, refuses("NETWORK_MISMATCH"):
        NodeChain(running)
