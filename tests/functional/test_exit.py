"""Leaving: bitcoind alone restores a vault and spends it, and signs for transfers of ours that come back and go on.

Everything crosses by commands and files, as people would do it: `custody` on one side, `bitcoin-cli` on the other. The
cosigners' wallets in bitcoind are made from their seeds, and from the exported vault.
"""

import base64
import json
import os
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from embit.bip32 import HDKey

from custody.bitcoin.psbt import Psbt
from custody.bitcoin.psbt_fields import InputField
from custody.bitcoin.script import script_of
from custody.testing.cast import SUPPLIER, Setting, payee_address, secret
from custody.testing.node import NodeChain, OfflineNode
from custody.units import COIN, HARDENED, Network
from custody.vault.descriptor import Branch, checksum
from custody.vault.templates import ScriptType

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "leaving.md"
COSIGNERS = Setting().cosigners
AHEAD = 1_000
DEPOSITS = 30_000_000, 20_000_000, 7_000_000
"""The last one is paid to the last index that is looked at."""


@dataclass(frozen=True)
class Cli:
    """`bitcoin-cli`, talking to one node."""

    program: Path
    chain: NodeChain

    @property
    def options(self) -> tuple[str, ...]:
        node = self.chain.node
        port = node.rpc.name.rpartition(":")[2]
        return "-chain=regtest", f"-rpcport={port}", f"-rpccookiefile={node.credentials.path}"

    def asks(self, *arguments: object, wallet: str = "") -> object:
        """The answer of the node, or of a wallet of it; the command must end well."""
        words = [each if isinstance(each, str) else json.dumps(each) for each in arguments]
        named = [f"-rpcwallet={wallet}"] if wallet else []
        done = subprocess.run(
            [self.program, *self.options, *named, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words[0]}: {done.stderr}"
        try:
            return json.loads(done.stdout, parse_float=Decimal)
        except ValueError:
            return done.stdout.strip()

    def restores(self, wallet: str, branches: list[dict], *, is_watching: bool) -> None:
        """Make a wallet of what a vault's export holds."""
        self.asks(
            "-named",
            "createwallet",
            f"wallet_name={wallet}",
            "blank=true",
            f"disable_private_keys={is_watching}".lower(),
        )
        answers = self.asks("importdescriptors", branches, wallet=wallet)
        assert all(each["success"] for each in answers), answers

    def signs(self, wallet: str, psbt: str, *more: object) -> str:
        """The PSBT after a wallet has worked on it, in base64."""
        return str(self.asks("walletprocesspsbt", psbt, *more, wallet=wallet)["psbt"])


@pytest.fixture(scope="session")
def bitcoin_cli(bitcoind):
    """Path of the bitcoin-cli that stands beside the bitcoind."""
    beside = Path(bitcoind).with_name("bitcoin-cli")
    if beside.exists():
        return beside
    if os.environ.get("CI"):
        pytest.fail(f"no bitcoin-cli beside {bitcoind}")
    pytest.skip(f"no bitcoin-cli beside {bitcoind}")


@pytest.fixture
def cli(bitcoind, bitcoin_cli):
    # A wallet of the node waits for the disk at each of its thousands of keys, unless it need not outlive the test.
    with OfflineNode(bitcoind, options=("-unsafesqlitesync",)) as running, NodeChain(running) as chain:
        yield Cli(bitcoin_cli, chain.fund(4))


def named(node):
    return "--node", f"http://{node.rpc.name}", "--cookie", node.credentials.path


def paid(office, chain, amount, index=None):
    """Pay the next address of the vault, or the one at `index`."""
    if index is None:
        address = office.does("vault", "address", "reserve", "--purpose", "seized, case 17")["address"]
    else:
        address = office.cast.vault.address(Branch.RECEIVE, index)
    return chain.pay(script_of(address, Network.REGTEST), amount)


def master(cosigner):
    return HDKey.from_seed(secret(f"cosigner {cosigner}"))


def private(branches, cosigner, vault):
    """The same descriptors with one cosigner's private key in its place: what a holder of that seed can write."""
    root = master(cosigner)
    own = vault.cosigner_of(root.my_fingerprint)
    path = "m" + "".join(f"/{step - HARDENED}h" for step in own.origin.path)
    account = root.derive(path).to_base58(bytes.fromhex("04358394"))
    origin = own.expression().partition("]")[0]
    made = []
    for each in branches:
        body = each["desc"].partition("#")[0]
        assert own.expression() in body
        body = body.replace(own.expression(), f"{origin}]{account}")
        made.append(each | {"desc": f"{body}#{checksum(body)}"})
    return made


def asked(office, *what):
    """A transfer that waits for signatures."""
    transfer = office.drafted(*what)
    office.approved(transfer)
    office.ready_to_sign(transfer)
    return transfer


@pytest.mark.parametrize("script_type", list(ScriptType))
def test_a_vault_and_its_transfers_leave_for_bitcoind_and_come_back(open_office, cli, tmp_path, script_type):
    office = open_office(Setting(script_type=script_type))
    office.set_up(*named(cli.chain.node))
    branches = the_vault_is_restored(office, cli, tmp_path)
    for cosigner in COSIGNERS:
        cli.restores(cosigner, private(branches, cosigner, office.cast.vault), is_watching=False)
    signatures_come_back(office, cli, tmp_path)
    a_finished_transaction_comes_back(office, cli, tmp_path)
    assert watched(cli) == office.does("coin", "balance")["reserve"]["total"]
    bitcoind_spends_alone(office, cli)


def watched(cli):
    """Sats that bitcoind's watching wallet has."""
    return cli.asks("getbalances", wallet="watch")["mine"]["trusted"] * COIN


def observed(office, chain):
    chain.mine()
    return office.does("observe")["added"]


def the_vault_is_restored(office, cli, folder):
    """With nothing of ours at hand but one file, bitcoind finds every deposit, before and after."""
    for amount in DEPOSITS[:2]:
        paid(office, cli.chain, amount)
    file = folder / "reserve.json"
    office.does("vault", "export", "reserve", "--to", "bitcoind", "-o", file)
    branches = json.loads(file.read_text())
    last = len(DEPOSITS[:2]) + AHEAD - 1
    assert [each["range"] for each in branches] == [[0, last], [0, AHEAD - 1]]
    paid(office, cli.chain, DEPOSITS[2], last)
    observed(office, cli.chain)
    cli.restores("watch", branches, is_watching=True)
    assert watched(cli) == sum(DEPOSITS)
    paid(office, cli.chain, 1_000_000)
    observed(office, cli.chain)
    assert watched(cli) == office.does("coin", "balance")["reserve"]["total"] == sum(DEPOSITS) + 1_000_000
    return branches


def signatures_come_back(office, cli, folder):
    """Two wallets each sign what left, and give back a signature of their own."""
    transfer = asked(office)
    left = office.does("transfer", "export", transfer)["psbt"]
    files = [folder / f"{cosigner}.txt" for cosigner in COSIGNERS[:2]]
    for cosigner, file in zip(COSIGNERS, files, strict=False):
        file.write_text(cli.signs(cosigner, left) + "\n")
    (one,) = office.does("transfer", "import", transfer, files[0])["transfers"]
    assert (one["status"], len(one["signed"]), one["threshold"]) == ("signing", 1, 2)
    two = office.does("transfer", "import", *files)
    assert [list(each["cosigners"].values()) for each in two["files"]] == [["known"], ["taken"]]
    assert [each["status"] for each in two["transfers"]] == ["verified"]
    confirmed(office, cli.chain, transfer)


def a_finished_transaction_comes_back(office, cli, folder):
    """One wallet after the other signs, bitcoind finishes, and the vault itself is one of the payees."""
    transfer = asked(office, "--pay", "Supplier=0.02 BTC", "--pay", "Reserve=0.03 BTC")
    left = folder / "left.psbt"
    office.does("transfer", "export", transfer[:8], "-o", left)
    half = cli.signs(COSIGNERS[2], base64.b64encode(left.read_bytes()).decode())
    whole = cli.signs(COSIGNERS[0], half)
    finished = cli.asks("finalizepsbt", whole, "false")["psbt"]
    kinds = {key[0] for each in Psbt.from_base64(finished).inputs for key, _ in each.pairs}
    assert InputField.FINAL_SCRIPTWITNESS in kinds
    assert not kinds & {InputField.PARTIAL_SIG, InputField.TAP_SCRIPT_SIG}
    # bitcoind has described both outputs that are the vault's; only one of them is change.
    assert sum(bool(each.pairs) for each in Psbt.from_base64(finished).outputs) == 2
    files = [folder / name for name in ("finished.txt", "transaction.txt")]
    files[0].write_text(finished)
    files[1].write_text(cli.asks("finalizepsbt", whole)["hex"] + "\n")
    (came,) = office.does("transfer", "import", files[0])["transfers"]
    assert (came["transfer"], came["status"], len(came["signed"])) == (transfer, "verified", 2)
    (again,) = office.does("transfer", "import", "newest", files[1])["files"]
    assert list(again["cosigners"].values()) == ["known", "known"]
    confirmed(office, cli.chain, transfer)
    assert cli.asks("gettransaction", came["txid"], wallet="watch")["hex"] == files[1].read_text().strip()


def confirmed(office, chain, transfer):
    office.witnessed()
    office.does("transfer", "release", transfer)
    office.does("transfer", "deliver")
    assert "confirmed" in observed(office, chain)
    assert office.does("transfer", "show", transfer)["status"] == "confirmed"


def bitcoind_spends_alone(office, cli):
    """It drafts, two wallets sign, it finishes and sends; to us that is a spend that nobody released."""
    outputs = json.dumps([{payee_address(SUPPLIER): "0.05"}])
    draft = cli.asks("-named", "walletcreatefundedpsbt", f"outputs={outputs}", "fee_rate=5", wallet="watch")
    signed = cli.signs(COSIGNERS[1], cli.signs(COSIGNERS[2], draft["psbt"]))
    txid = cli.asks("sendrawtransaction", cli.asks("finalizepsbt", signed)["hex"])
    cli.chain.mine()
    assert cli.asks("gettransaction", txid, wallet="watch")["confirmations"] == 1
    assert "ALARM" in office.types("observe").stderr
    assert txid in office.types("coin", "list").stderr
    office.refuses("FROZEN", "transfer", "draft", office.requested())
