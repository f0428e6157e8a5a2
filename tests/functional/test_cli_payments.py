"""Paying many at once: fifty payees of a CSV file, by commands, on a real node; and what a list is refused for."""

import json
from pathlib import Path

import pytest

from custody.bitcoin.script import script_of
from custody.testing.cast import SUPPLIER, Setting, payee_address
from custody.units import COIN, MAX_TRANSACTION_WEIGHT, Network

FIFTY = tuple(f"Payee {number:02d}" for number in range(50))
AMOUNTS = {name: 100_000 + 1_111 * at for at, name in enumerate(FIFTY)}
ASK = ("transfer", "request", "--reason", "May 2025")


@pytest.fixture
def office(open_office):
    return open_office(Setting(more_payees=FIFTY))


def listed(office, amounts, name="payments.csv"):
    """A file as a spreadsheet saves it, every second amount in BTC."""
    lines = ["payee,amount"]
    for at, (payee, amount) in enumerate(amounts.items()):
        lines.append(f"{payee},{amount}" if at % 2 else f"{payee},{amount // COIN}.{amount % COIN:08d} BTC")
    path = Path(office.path(name))
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join((*lines, "")).encode())
    return path


def key(office):
    return "--key", office.key("Dana")


def test_fifty_payees_of_a_file_are_paid_on_the_node(office, node_chain):
    chain = node_chain.fund(4)
    node = "--node", f"http://{chain.node.rpc.name}", "--cookie", chain.node.credentials.path
    office.set_up(*node)
    address = office.does(*office.address_for("seized, case 17"))["address"]
    for amount in (5_000_000, 4_000_000, 3_000_000):
        chain.pay(script_of(address, Network.REGTEST), amount)
    chain.mine()
    office.does("observe")

    total = sum(AMOUNTS.values())
    path = listed(office, AMOUNTS)
    request = office.does(*ASK, "--pay-csv", path, "--total", total, *key(office))
    assert {each["payee"]: each["sats"] for each in request["payments"]} == AMOUNTS
    assert request["total"] == total
    transfer = office.does("transfer", "draft", request["id"])["transfer"]
    txid = office.delivered(transfer)
    chain.mine()
    office.does("observe")

    shown = office.does("transfer", "show", transfer)
    assert (shown["status"], shown["txid"], len(shown["payments"])) == ("confirmed", txid, len(FIFTY))
    transactions = chain.view.block(chain.view.tip().height).transactions
    (sent,) = (each.decode() for each in transactions if each.txid[::-1].hex() == txid)
    found = {each.script_pubkey: each.amount for each in sent.outputs}
    for name, amount in AMOUNTS.items():
        assert found.pop(script_of(payee_address(name), Network.REGTEST)) == amount
    assert list(found.values()) == [shown["sats"]["change"]]
    assert sent.weight < MAX_TRANSACTION_WEIGHT


def test_a_person_reads_how_many_are_paid_and_how_much(office):
    office.set_up()
    result = office.types(*ASK, "--pay-csv", listed(office, AMOUNTS), *key(office))
    assert result.exit_code == 0, result.output
    total = sum(AMOUNTS.values())
    assert f"0.{total:08d} BTC in 50 payments" in result.stdout
    assert all(name in result.stdout for name in FIFTY)
    # One payment needs no sum.
    alone = office.types(*ASK, "--pay", "Supplier=5000", *key(office)).stdout
    assert "in all" not in alone


def test_a_list_is_signed_offline_and_comes_from_standard_input(office):
    office.set_up()
    out = office.path("request.json")
    data = listed(office, AMOUNTS).read_bytes()
    result = office.types(
        *ASK, "--pay-csv", "-", "--total", str(sum(AMOUNTS.values())), *key(office), "--offline", "--charter",
        office.path("charter.json"), "-o", out, "--json", stdin=data, CUSTODY_DIR=office.path("nowhere"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["payments"]) == len(FIFTY)
    assert office.does("transfer", "submit", out)["id"] == json.loads(result.stdout)["id"]


def test_nothing_is_signed_for_a_list_that_is_wrong(office):
    office.set_up()
    out = office.path("request.json")
    path = listed(office, AMOUNTS)

    def refuses(code, *options):
        message = office.refuses(code, *ASK, *options, *key(office), "-o", out)
        assert not Path(out).exists()
        return message

    assert "control total" in refuses("CONTROL_TOTAL", "--pay-csv", path, "--total", "1 BTC")
    refuses("AMOUNT_INVALID", "--pay-csv", path, "--total", "0.5")
    refuses("FILE_MISSING", "--pay-csv", office.path("none.csv"))
    path.write_bytes(b"x" * 1_000_001)
    refuses("FILE_TOO_LARGE", "--pay-csv", path)
    assert "line 3" in refuses("PAYMENT_PAYEE", "--pay-csv", listed(office, {SUPPLIER: 5_000, "Nobody": 1_000}))
    path.write_text("payee;amount\nSupplier;5000\n")
    refuses("CSV_SEPARATOR", "--pay-csv", path)
    assert office.does("transfer", "list") == {"requests": [], "transfers": [], "before": None, "frozen_by": None}


def test_a_control_total_holds_for_payments_on_the_command_line_too(office):
    office.set_up()
    pays = "--pay", "Supplier=5000", "--pay", "Tax office=7000"
    office.refuses("CONTROL_TOTAL", *ASK, *pays, "--total", "12001", *key(office))
    assert office.does(*ASK, *pays, "--total", "0.00012 BTC", *key(office))["total"] == 12_000


@pytest.mark.parametrize(
    "options",
    [
        ("--pay-csv", "list.csv", "--pay", "Supplier=5000"),
        ("--pay-csv", "list.csv", "--consolidate"),
        ("--pay-csv", "list.csv", "--sweep", "Supplier"),
        ("--sweep", "Supplier", "--total", "5000"),
        ("--consolidate", "--total", "5000"),
    ],
)
def test_a_list_goes_with_nothing_else_and_a_total_with_payments_only(office, options):
    office.set_up()
    result = office.types(*ASK, *options, *key(office))
    assert (result.exit_code, "--pay-csv" in result.stderr) == (2, True)
