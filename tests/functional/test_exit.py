"""Leaving: bitcoind alone restores a vault and spends it, and signs for transfers of ours that come back and go on.

Everything crosses by commands and files, as people would do it: `custody` on one side, `bitcoin-cli` on the other. The
cosigners' wallets in bitcoind are made from their seeds, and from the exported vault.
"""

import base64
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from embit.bip32 import HDKey

from custody.bitcoin.psbt import Psbt
from custody.bitcoin.psbt_fields import GlobalField, InputField
from custody.bitcoin.script import script_of
from custody.testing.cast import SUPPLIER, Setting, payee_address, secret
from custody.testing.chain import RegtestChain
from custody.testing.node import NodeChain, OfflineNode
from custody.units import COIN, HARDENED, Network
from custody.vault.descriptor import Branch, check, checksum
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
        address = office.does(*office.address_for("seized, case 17"))["address"]
    else:
        address = office.cast.vault.address(Branch.RECEIVE, index)
    return chain.pay(script_of(address, Network.REGTEST), amount)


def master(cosigner):
    return HDKey.from_seed(secret(f"cosigner {cosigner}"))


def account_key(cosigner, vault):
    """The extended private key of a cosigner's account, as text."""
    root = master(cosigner)
    origin = vault.cosigner_of(root.my_fingerprint).origin
    path = "m" + "".join(f"/{step - HARDENED}h" for step in origin.path)
    return root.derive(path).to_base58(bytes.fromhex("04358394"))


def private(branches, cosigner, vault):
    """The same descriptors with one cosigner's private key in its place: what a holder of that seed can write."""
    own, account = vault.cosigner_of(master(cosigner).my_fingerprint), account_key(cosigner, vault)
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
    assert watched(cli) == office.does("coin", "balance")["vaults"]["reserve"]["total"]
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
    assert watched(cli) == office.does("coin", "balance")["vaults"]["reserve"]["total"] == sum(DEPOSITS) + 1_000_000
    return branches


def signatures_come_back(office, cli, folder):
    """Two wallets each sign what left, and give back a signature of their own."""
    transfer = asked(office)
    left = office.does("transfer", "export", transfer)["psbt"]
    files = [folder / f"{cosigner}.txt" for cosigner in COSIGNERS[:2]]
    for cosigner, file in zip(COSIGNERS, files, strict=False):
        file.write_text(cli.signs(cosigner, left, "true", "ALL") + "\n")
    if office.cast.vault.script_type is ScriptType.TR:
        # A hash type that is written is a second spelling of the same signature: 65 bytes instead of 64.
        office.refuses("SIGHASH_FORBIDDEN", "transfer", "import", files[0])
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
    # Bitcoin Core wants change like most of its wallets', and such a wallet has none but its own kind.
    nested = office.cast.vault.script_type is ScriptType.SH_WSH
    more = ("fee_rate=5", "change_type=p2sh-segwit") if nested else ("fee_rate=5",)
    draft = cli.asks("-named", "walletcreatefundedpsbt", f"outputs={outputs}", *more, wallet="watch")
    signed = cli.signs(COSIGNERS[1], cli.signs(COSIGNERS[2], draft["psbt"]))
    txid = cli.asks("sendrawtransaction", cli.asks("finalizepsbt", signed)["hex"])
    cli.chain.mine()
    assert cli.asks("gettransaction", txid, wallet="watch")["confirmations"] == 1
    assert "ALARM" in office.types("observe").stderr
    assert txid in office.types("coin", "list").stderr
    office.refuses("FROZEN", "transfer", "draft", office.requested())


# --- what does not leave ----------------------------------------------------------------------------------------------


def test_no_psbt_leaves_before_it_may_be_signed_nor_a_whole_one_before_it_may_be_sent(office):
    office.funded()
    transfer, out = office.drafted(), office.path("left.psbt")
    export = "transfer", "export", transfer, "-o", out
    office.refuses("SIGNATURES_NOT_ASKED", *export)
    office.approved(transfer)
    message = office.refuses("SIGNATURES_NOT_ASKED", *export)
    assert "decided" in message
    # Signatures are asked for now, and no witness has seen it: no station would sign.
    office.refuses(
        "HISTORY_UNWITNESSED", "transfer", "evidence", transfer, "--for", "sign", "-o", office.path("no.json")
    )
    assert office.does("transfer", "show", transfer)["status"] == "signing"
    office.refuses("HISTORY_UNWITNESSED", *export)
    assert not Path(out).exists()

    evidence = office.ready_to_sign(transfer)
    office.does(*export)
    office.refuses("FILE_EXISTS", *export)
    bare = Psbt.parse(Path(out).read_bytes())
    assert signers_in(bare) == 0
    # Nothing is said of hash types, so that software takes the one it would take anyway.
    assert not any(each.of_type(InputField.SIGHASH_TYPE) for each in bare.inputs)
    assert all(each.of_type(InputField.NON_WITNESS_UTXO) for each in bare.inputs)
    assert len(bare.global_map.of_type(GlobalField.XPUB)) == 3

    office.does("transfer", "combine", transfer, office.signed(evidence, "astana"))
    assert signers_in(Psbt.from_base64(office.does("transfer", "export", transfer)["psbt"])) == 1
    office.does("transfer", "combine", transfer, office.signed(evidence, "almaty"))
    office.refuses("NOT_RELEASED", "transfer", "export", transfer)
    office.witnessed()
    office.does("transfer", "release", transfer)
    assert signers_in(Psbt.from_base64(office.does("transfer", "export", transfer)["psbt"])) == 2


def signers_in(psbt):
    (count,) = {len(each.of_type(InputField.PARTIAL_SIG)) for each in psbt.inputs}
    return count


def test_the_same_psbt_leaves_as_text_and_as_bytes(office):
    office.funded()
    transfer = asked(office)
    shown = office.types("transfer", "export", transfer)
    text, told = shown.stdout, shown.stderr
    assert "not the charter's rules" in told
    assert f"custody transfer import {transfer[:12]}" in told
    psbt = Psbt.from_base64(text)
    for options, expected in (((), psbt.serialize()), (("--base64",), text.encode())):
        out = Path(office.new_path("left"))
        assert office.does("transfer", "export", transfer, "-o", out, *options)["psbt"] == text.strip()
        assert out.read_bytes() == expected
    piped = office.types("transfer", "export", transfer, "-o", "-")
    assert piped.stdout_bytes == psbt.serialize()


def test_what_came_back_names_its_transfer_and_each_cosigner(office):
    office.funded()
    transfer = asked(office)
    left = Psbt.from_base64(office.does("transfer", "export", transfer)["psbt"])
    files = []
    for signer in office.cast.signers:
        files.append(office.new_path("signed.psbt"))
        Path(files[-1]).write_bytes(signer.sign(left).serialize())
    result = office.types("transfer", "import", files[0])
    assert "signed" in result.stderr
    assert "1 of 2" in result.stdout
    assert f"custody transfer export {transfer[:12]}" in result.stderr
    result = office.types("transfer", "import", transfer[:8], *files[:2])
    for line in ("had signed before", "2 of 2", "verified", "libbitcoinkernel"):
        assert line in result.output
    assert f"custody transfer release {transfer[:12]}" in result.stderr
    # The third came when nobody needed it any more.
    assert office.does("transfer", "import", files[2])["files"][0]["cosigners"] == {fingerprint(office, 2): "late"}
    assert office.does("transfer", "show", transfer)["signed"] == [fingerprint(office, each) for each in (0, 1)]
    huge = office.folder / "huge.psbt"
    with huge.open("wb") as file:
        file.truncate(100_000_000)
    office.refuses("FILE_TOO_LARGE", "transfer", "import", huge)
    for nothing in ((), (transfer,), ("newest",)):
        assert office.types("transfer", "import", *nothing).exit_code == 2


def fingerprint(office, cosigner):
    return office.cast.signers[cosigner].fingerprint.hex()


@pytest.mark.parametrize("birthday", [0, 3, 100_000])
def test_bitcoind_reads_blocks_from_the_birthday_on_when_somebody_knows_its_time(open_office, birthday):
    office = open_office(Setting(birthday=birthday))
    office.set_up()
    chain = office.folder / "coordinator" / "regtest" / "chain"
    with RegtestChain(chain) as running:
        # A vault that begins after the newest block has nothing in any block so far.
        height = min(birthday, running.view.tip().height)
        expected = running.view.block(height).time if birthday else 0
    told = office.types("vault", "export", "reserve", "--to", "bitcoind")
    assert {each["timestamp"] for each in json.loads(told.stdout)} == {expected}
    assert told.stderr.count("bitcoin-cli -chain=regtest") == 2

    chain.rename(chain.with_name("away"))
    told = office.types("vault", "export", "reserve", "--to", "bitcoind", "-o", office.path("reserve.json"))
    assert {each["timestamp"] for each in json.loads(told.stdout)} == {0}
    assert ("every block" in told.stderr) == bool(birthday)
    assert json.loads(Path(office.path("reserve.json")).read_text()) == json.loads(told.stdout)


def test_what_restores_a_vault_holds_the_indexes_used_so_far_and_no_secret(office):
    office.funded()
    office.does(*office.address_for("another"))
    vault = office.cast.vault
    receive, change = office.does("vault", "export", "reserve", "--to", "bitcoind")
    assert (receive["next_index"], receive["range"], receive["internal"]) == (2, [0, 1_001], False)
    assert (change["next_index"], change["range"], change["internal"]) == (0, [0, 999], True)
    for each, branch in ((receive, Branch.RECEIVE), (change, Branch.CHANGE)):
        body = check(each["desc"])
        assert body == check(vault.descriptor).replace("<0;1>", str(int(branch)))
        assert "prv" not in body
    # One that was paid without having been issued counts as used.
    office.does("regtest", "pay", vault.address(Branch.RECEIVE, 40), "0.1 BTC")
    receive, _ = office.does("vault", "export", "reserve", "--to", "bitcoind")
    assert (receive["next_index"], receive["range"]) == (41, [0, 1_040])
    office.refuses("NAME_UNKNOWN", "vault", "export", "nowhere", "--to", "bitcoind")


# --- the page that says how -------------------------------------------------------------------------------------------


def test_every_command_of_the_page_does_what_it_says(office, cli, types_page):
    office.set_up(*named(cli.chain.node))
    paid(office, cli.chain, 60_000_000)
    observed(office, cli.chain)
    asked(office)
    folder = office.folder / "at-hand"
    folder.mkdir()
    # What the cosigners have: the private key of their account.
    for cosigner in COSIGNERS:
        (folder / f"{cosigner}.xprv").write_text(account_key(cosigner, office.cast.vault))
    tool = folder / "bin" / "bitcoin-cli"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {shlex.join([str(cli.program), *cli.options])} "$@"\n')
    tool.chmod(0o755)
    variables = {
        "CUSTODY_DIR": office.path("coordinator"),
        "CUSTODY_PASSPHRASE_FILE": office.path("passphrase"),
        "PATH": os.pathsep.join((str(tool.parent), str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    assert types_page(PAGE, folder, **variables) > 15
    cli.chain.mine()
    seen = office.types("observe", "--json")
    assert (seen.exit_code, json.loads(seen.stdout)["added"]["unexplained_spend"]) == (6, 1)
