"""A station from its first key to its last signature, as its people use it: by its commands, with files in between.

Keys are made on the station, their public parts exported, a charter written from these, signed by everyone, trusted by
voice. A real coordinator drafts a transfer on a real chain; the officer's station examines and approves it, the
cosigners' stations sign it, a witness's station cosigns the log, and the chain confirms what came of it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custody.apps.station import program
from custody.apps.station_commands.desk import Desk
from custody.backends.kernel import KernelJudge
from custody.backends.keyfile import KeyFile, create_document_key, create_master_key, open_document_key
from custody.bitcoin.psbt import Psbt
from custody.charter.document import Charter
from custody.charter.text import parse_charter
from custody.custodian import Custodian, Outside
from custody.envelope import Ed25519Signer, Envelope, sign
from custody.examine.evidence import Stage
from custody.examine.examination import examine
from custody.history.state import State
from custody.log import SignedCheckpoint
from custody.testing.cast import (
    OFFICERS,
    PASSPHRASE,
    REQUESTER,
    WITNESS,
    Chance,
    Setting,
    expected,
    make_cast,
    payee_address,
    secret,
)
from custody.testing.chain import RegtestChain
from custody.testing.memory import InMemoryStore
from custody.testing.scenario import Scenario
from custody.transfer.annex import Annex
from custody.transfer.approval import Approval
from custody.transfer.request import Purpose, ReasonAnnex, RequestedPayment, RequestPaper, TransferRequest
from custody.transfer.state import Status
from custody.units import Network
from custody.vault.descriptor import Branch, Vault, checksum
from custody.vault.keys import Cosigner
from custody.vault.templates import ScriptType
from custody.words import show_words

WRONG = show_words(bytes(32))


@dataclass
class Machine:
    """One station: a folder of its own, and the clock of the story."""

    folder: Path
    name: str
    clock: object

    def run(self, *arguments: object, **environment: str) -> Result:
        passphrase = self.folder / "passphrase"
        if not passphrase.exists():
            passphrase.write_bytes(PASSPHRASE + b"\n")
        return CliRunner().invoke(
            program,
            ["--state", str(self.folder / f"state-{self.name}"), *map(str, arguments)],
            obj=self.clock,
            env={"CUSTODY_PASSPHRASE_FILE": str(passphrase)} | environment,
        )

    def does(self, *arguments: object) -> str:
        """What the command prints on stdout, when it ends well."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def tells(self, *arguments: object) -> dict:
        """The same as data."""
        return json.loads(self.does(*arguments, "--json"))

    def refuses(self, code: str, *arguments: object, **environment: str) -> Result:
        """The command is refused by this code, says what to do, and nothing the size of a crash is shown."""
        result = self.run(*arguments, **environment)
        assert result.exit_code in {3, 4, 5, 6}, result.output
        assert f"error {code}: " in result.stderr
        assert "what to do: " in result.stderr
        assert "Traceback" not in result.output
        return result


# --- the whole story --------------------------------------------------------------------------------------------------


@pytest.fixture
def chain():
    with RegtestChain.funded(4) as chain:
        yield chain


PEOPLE = ("Aigerim", "Dana", "coordinator")
COSIGNERS = ("astana", "almaty")


def test_from_new_keys_to_a_confirmed_transfer(tmp_path, chain):
    machine = Machine(tmp_path, "office", chain)
    vault, charter = charter_from_new_keys(machine)
    paper = signed_by_everyone(machine, charter)

    # Words told by voice, and no others, make the station trust it.
    machine.refuses("STATION_UNTRUSTED", "status")
    machine.does("trust", paper, *show_words(charter.digest()).split())
    assert machine.tells("status")["charter"] == charter.digest().hex()

    # The coordinator drafts what the requester signed, with a coin at an address the station knows as the vault's.
    custodian = coordinator(tmp_path, charter, chain)
    custodian.adopt_charter(Envelope.from_bytes(paper.read_bytes()))
    issued = custodian.issue_address("reserve", expected("seized coins"))
    assert machine.does("address", paper, "reserve", issued.index).strip() == issued.address
    chain.pay(vault.script_pubkey(Branch.RECEIVE, issued.index), 50_000_000)
    chain.mine(1)
    custodian.observe()
    annex = Annex.of(ReasonAnnex(reason="invoice 17"), bytes(range(32)))
    request = sign(request_for(charter, vault, annex, chain.now()), document_key(tmp_path, "Dana"))
    submitted = custodian.submit(RequestPaper(signed=request, annex=annex))
    transfer = custodian.draft(submitted.digest(), 5_000).transfer_id
    custodian.decide(transfer)

    approved_by_the_officer(machine, custodian, transfer)
    custodian.authorize(transfer)
    custodian.request_signatures(transfer)

    # Both cosigners sign; only then there is a transaction.
    to_sign = tmp_path / "to-sign.json"
    to_sign.write_bytes(custodian.evidence(transfer).to_bytes())
    for name in COSIGNERS:
        custodian.receive(transfer, signed_by(machine, to_sign, name))
    custodian.combine(transfer)
    custodian.verify(transfer)
    custodian.release(transfer)
    custodian.deliver()
    chain.mine(1)
    custodian.observe()
    assert custodian.history().transfer(transfer).status is Status.CONFIRMED


def charter_from_new_keys(machine: Machine) -> tuple[Vault, Charter]:
    """Everybody makes a key and shows its public part; the parts make a vault, and vault and parts a charter."""
    folder = machine.folder
    for name in PEOPLE:
        machine.does("new-key", name, "--kind", "person", "-o", folder / f"{name}.key")
    for name in COSIGNERS:
        machine.does("new-key", name, "--kind", "cosigner", "-o", folder / f"{name}.key")
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in folder.glob("*.key"))
    expressions = {name: machine.does("export", folder / f"{name}.key").strip() for name in COSIGNERS}
    people = {name: machine.tells("export", folder / f"{name}.key")["public_key"] for name in PEOPLE}
    cosigners = tuple(Cosigner.parse(expression, name) for name, expression in expressions.items())
    vault = Vault.create(2, cosigners, ScriptType.WSH, Network.REGTEST)
    return vault, parse_charter(charter_text(vault, people))


def signed_by_everyone(machine: Machine, charter: Charter) -> Path:
    paper = machine.folder / "charter.json"
    paper.write_bytes(sign(charter).to_bytes())
    for count, name in enumerate(PEOPLE, 1):
        signed = machine.folder / f"charter-{name}.json"
        key = machine.folder / f"{name}.key"
        told = machine.tells("sign-charter", paper, "--key", key, "-o", signed, "--yes")
        assert told["words"] == show_words(charter.digest())
        assert len(told["missing"]) == len(PEOPLE) - count
        paper = signed
    return paper


def document_key(folder: Path, name: str) -> Ed25519Signer:
    return open_document_key(KeyFile.from_bytes((folder / f"{name}.key").read_bytes()), PASSPHRASE)


def coordinator(folder: Path, charter: Charter, chain: RegtestChain) -> Custodian:
    chance = Chance()
    outside = Outside((chain.view,), chain.view, (KernelJudge(),), chain, chance.below, chance.salt)
    store = InMemoryStore(Network.REGTEST, charter.origin)
    return Custodian(store, charter.digest(), document_key(folder, "coordinator"), outside)


def approved_by_the_officer(machine: Machine, custodian: Custodian, transfer: bytes) -> None:
    """The officer looks, compares words, and says yes; a cosigner would be refused at this stage."""
    folder = machine.folder
    evidence = folder / "to-approve.json"
    evidence.write_bytes(custodian.evidence(transfer).to_bytes())
    seen = machine.tells("inspect", evidence)
    assert seen["stage"] == "approve"
    assert seen["words"] == show_words(transfer)
    assert seen["payments"] == [{"payee": "Supplier", "address": payee_address("Supplier"), "sats": 20_000_000}]
    machine.refuses("NOT_LOGGED", "sign", evidence, "--key", folder / "almaty.key", "-o", folder / "x", "--yes")
    key = ("--key", folder / "Aigerim.key", "-o", folder / "approval.json")
    machine.does("approve", evidence, *key, "--yes", "--words", seen["words"])
    custodian.approve(Envelope.from_bytes((folder / "approval.json").read_bytes()))


def signed_by(machine: Machine, evidence: Path, name: str) -> Psbt:
    signed = machine.folder / f"{name}.psbt"
    key = machine.folder / f"{name}.key"
    assert machine.tells("inspect", evidence)["stage"] == "sign"
    told = machine.tells("sign", evidence, "--key", key, "-o", signed, "--yes")
    plain = machine.tells("inspect", signed, "--vault", "reserve")
    assert plain["signatures"] == [[told["cosigner"], "1 of 1 inputs, verified"]]
    return Psbt.parse(signed.read_bytes())


def charter_text(vault: Vault, people: dict[str, str]) -> str:
    return f"""
institution = "National Bank, demonstration"
network = "regtest"
origin = "custody.example/station"
coordinator = "{people["coordinator"]}"

[[person]]
name = "Aigerim"
key = "{people["Aigerim"]}"
roles = ["officer"]

[[person]]
name = "Dana"
key = "{people["Dana"]}"
roles = ["requester"]

[[vault]]
name = "reserve"
descriptor = "{vault.descriptor}"
confirmations = 1

[[payee]]
name = "Supplier"
address = "{payee_address("Supplier")}"

[[rule]]
name = "known payees"
type = "allow"
vaults = ["reserve"]
payees = ["Supplier"]

[[rule]]
name = "one officer"
type = "approvals"
vaults = ["reserve"]
role = "officer"
count = 1

[[rule]]
name = "modest fees"
type = "fee"
vaults = ["reserve"]
max_fee = 200000
max_rate = 100000
max_share = 1000
"""


def request_for(charter, vault: Vault, annex: Annex, now: int) -> TransferRequest:
    return TransferRequest(
        network=charter.network,
        charter=charter.digest(),
        vault=vault.id,
        purpose=Purpose.PAYMENT,
        payments=(RequestedPayment(payee="Supplier", amount=20_000_000),),
        replaces=(),
        annex=annex.named,
        requester="Dana",
        issued=now,
        expires=now + 72 * 3600,
        nonce=bytes(16),
    )


# --- what may go wrong on the way -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenario():
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


@pytest.fixture(scope="module")
def transfer(scenario):
    return scenario.drafted()[0].transfer_id


@pytest.fixture
def station(tmp_path, scenario, transfer):
    """A station that trusts the cast's charter, with everybody's key files, the charter and evidence beside it."""
    write_cast(tmp_path, scenario)
    (tmp_path / "evidence.json").write_bytes(scenario.custodian.evidence(transfer).to_bytes())
    station = Machine(tmp_path, "trusted", scenario.chain)
    station.does("trust", tmp_path / "charter.json", "--digest", scenario.cast.digest.hex())
    return station


def write_cast(folder: Path, scenario: Scenario) -> None:
    network = Network.REGTEST
    (folder / "charter.json").write_bytes(scenario.cast.envelope.to_bytes())
    for name in (*OFFICERS, REQUESTER, WITNESS):
        file = create_document_key(PASSPHRASE, name=name, network=network, seed=secret(f"person {name}"), cost=2)
        (folder / f"{name}.key").write_bytes(file.to_bytes())
    for name in (*Setting().cosigners, "stranger"):
        seed = secret(f"cosigner {name}")
        file = create_master_key(PASSPHRASE, name=name, network=network, seed=seed, cost=2)
        (folder / f"{name}.key").write_bytes(file.to_bytes())


def test_wrong_words_are_refused_and_the_right_ones_are_not_told(tmp_path, scenario):
    (tmp_path / "charter.json").write_bytes(scenario.cast.envelope.to_bytes())
    machine = Machine(tmp_path, "new", scenario.chain)
    result = machine.refuses("DIGEST_MISMATCH", "trust", tmp_path / "charter.json", *WRONG.split())
    assert show_words(scenario.cast.digest) not in result.output
    assert scenario.cast.digest.hex() not in result.output
    machine.refuses("STATION_UNTRUSTED", "status")


def test_words_are_never_shown_before_they_were_typed(tmp_path, scenario):
    (tmp_path / "charter.json").write_bytes(scenario.cast.envelope.to_bytes())
    result = Machine(tmp_path, "new", scenario.chain).refuses("WORDS_NEEDED", "trust", tmp_path / "charter.json")
    assert not any(word in result.output.split() for word in show_words(scenario.cast.digest).split())


def test_an_untrusting_station_proves_nothing(tmp_path, scenario, station):
    assert station.tells("inspect", tmp_path / "evidence.json")
    new = Machine(tmp_path, "new", scenario.chain)
    key = ("--key", tmp_path / "Aigerim.key", "-o", tmp_path / "out", "--yes")
    assert new.tells("inspect", tmp_path / "evidence.json")["proved"] is False
    new.refuses("STATION_UNTRUSTED", "approve", tmp_path / "evidence.json", *key)
    new.refuses("STATION_UNTRUSTED", "sign", tmp_path / "evidence.json", *key)
    new.refuses("STATION_UNTRUSTED", "address", tmp_path / "charter.json", "reserve", 0)
    assert not (tmp_path / "out").exists()


def test_a_charter_that_somebody_has_not_signed_is_not_trusted(tmp_path, scenario):
    unsigned = tmp_path / "charter.json"
    unsigned.write_bytes(sign(scenario.cast.charter, *scenario.cast.people.values()).to_bytes())
    machine = Machine(tmp_path, "new", scenario.chain)
    machine.refuses("CHARTER_UNSIGNED", "trust", unsigned, *show_words(scenario.cast.digest).split())


def test_a_wrong_passphrase_opens_nothing_and_is_not_shown(tmp_path, station):
    wrong = tmp_path / "wrong"
    wrong.write_text("Tr0ub4dor&3\n")
    out = tmp_path / "approval.json"
    result = station.refuses(
        "PASSPHRASE_WRONG",
        *("approve", tmp_path / "evidence.json", "--key", tmp_path / "Aigerim.key", "-o", out, "--yes"),
        CUSTODY_PASSPHRASE_FILE=str(wrong),
    )
    assert "Tr0ub4dor" not in result.output
    assert not out.exists()


def test_without_a_terminal_a_passphrase_comes_from_a_file_or_not_at_all(tmp_path, station):
    command = ("export", tmp_path / "Aigerim.key")
    station.refuses("PASSPHRASE_NEEDED", *command, CUSTODY_PASSPHRASE_FILE="")
    given = station.run(*command, "--passphrase-file", tmp_path / "passphrase", CUSTODY_PASSPHRASE_FILE="")
    assert given.exit_code == 0


def test_without_a_terminal_nobody_says_yes_by_accident(tmp_path, station):
    out = tmp_path / "approval.json"
    result = station.refuses(
        "CONFIRMATION_NEEDED", "approve", tmp_path / "evidence.json", "--key", tmp_path / "Aigerim.key", "-o", out
    )
    assert not out.exists()
    assert "invoice 2024-17" in result.stderr


def test_a_requester_and_a_custodian_cannot_approve(tmp_path, station):
    command = ("approve", tmp_path / "evidence.json", "-o", tmp_path / "out", "--yes", "--key")
    station.refuses("APPROVAL_AUTHOR", *command, tmp_path / f"{REQUESTER}.key")
    station.refuses("KEY_FILE_INVALID", *command, tmp_path / "almaty.key")


def test_an_officer_can_say_no(tmp_path, station):
    told = station.tells(
        "approve", tmp_path / "evidence.json", "--veto", "--key", tmp_path / "Bolat.key", "-o", tmp_path / "no", "--yes"
    )
    assert told["opinion"] == "veto"
    envelope = Envelope.from_bytes((tmp_path / "no").read_bytes())
    assert Approval.from_bytes(envelope.body).verdict == "veto"
    assert "NO: veto" in station.does("inspect", tmp_path / "no")


def test_words_of_another_transfer_stop_an_approval(tmp_path, station):
    command = (
        "approve",
        tmp_path / "evidence.json",
        "--key",
        tmp_path / "Aigerim.key",
        "-o",
        tmp_path / "out",
        "--yes",
    )
    station.refuses("DIGEST_MISMATCH", *command, "--words", WRONG)
    station.refuses("WORDS_MISTYPED", *command, "--words", "abandon " * 11 + "about")
    assert not (tmp_path / "out").exists()


def test_no_file_is_overwritten_and_that_is_said_before_any_question(tmp_path, station):
    (tmp_path / "out").write_text("mine")
    key = ("--key", tmp_path / "Aigerim.key", "-o", tmp_path / "out")
    station.refuses("FILE_EXISTS", "approve", tmp_path / "evidence.json", *key)
    station.refuses("FILE_EXISTS", "sign-charter", tmp_path / "charter.json", *key)
    station.refuses("FILE_EXISTS", "new-key", "Erlan", "--kind", "person", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_strangers_key_signs_nothing(tmp_path, station, authorized):
    (tmp_path / "to-sign.json").write_bytes(authorized.to_bytes())
    key = ("--key", tmp_path / "stranger.key", "-o", tmp_path / "out", "--yes")
    station.refuses("NOT_A_MEMBER", "sign", tmp_path / "to-sign.json", *key)
    station.refuses("KEY_NOT_LISTED", "sign-charter", tmp_path / "charter.json", *key)


def test_a_signed_psbt_can_go_to_stdout_while_the_talk_goes_to_stderr(tmp_path, station, authorized):
    (tmp_path / "to-sign.json").write_bytes(authorized.to_bytes())
    result = station.run("sign", tmp_path / "to-sign.json", "--key", tmp_path / "almaty.key", "-o", "-", "--yes")
    assert result.exit_code == 0
    assert Psbt.parse(result.stdout_bytes).inputs
    assert "Not checked here" in result.stderr


@pytest.fixture(scope="module")
def authorized():
    """Evidence for cosigners, of a story of its own, made with the same seeds and so under the same charter."""
    scenario = Scenario.funded()
    evidence = scenario.custodian.evidence(scenario.authorized())
    scenario.close()
    return evidence


def test_a_station_that_saw_a_longer_log_refuses_a_shorter_one(tmp_path, scenario, station, transfer):
    (tmp_path / "later.json").write_bytes(later(scenario, transfer))
    station.does("inspect", tmp_path / "later.json")
    station.refuses("HISTORY_STALE", "inspect", tmp_path / "evidence.json")


def later(scenario: Scenario, transfer: bytes) -> bytes:
    scenario.custodian.issue_address("reserve", expected("one more"))
    scenario.custodian.approve(scenario.approval(scenario.custodian.evidence(transfer), OFFICERS[2]))
    return scenario.custodian.evidence(transfer).to_bytes()


def test_a_swapped_descriptor_shows_no_address(tmp_path, scenario, station):
    own = scenario.cast.vault.descriptor
    (tmp_path / "own").write_text(own + "\n")
    threshold = own.partition("#")[0].replace("sortedmulti(2", "sortedmulti(3")
    (tmp_path / "swapped").write_text(f"{threshold}#{checksum(threshold)}")
    derived = scenario.cast.vault.address(Branch.CHANGE, 7)
    command = ("address", tmp_path / "charter.json", "reserve", 7, "--change", "--descriptor")
    assert station.does(*command, tmp_path / "own").strip() == derived
    result = station.refuses("VAULT_ID_MISMATCH", *command, tmp_path / "swapped")
    assert "bcrt1" not in result.stdout
    station.refuses("INDEX_RANGE", "address", tmp_path / "charter.json", "reserve", 2**31)


def test_a_copy_of_the_charter_that_was_swapped_is_noticed(tmp_path, station):
    kept = tmp_path / "state-trusted" / "charter.json"
    kept.write_bytes(make_cast(Setting(threshold=3)).envelope.to_bytes())
    station.refuses("CHARTER_MISMATCH", "status")


def test_a_plain_psbt_is_checked_against_the_vault_as_far_as_it_goes(tmp_path, scenario, station, transfer):
    evidence, known = scenario.custodian.evidence(transfer), State(scenario.cast.digest)
    psbt = examine(evidence, known, Stage.APPROVE, scenario.chain.now()).psbt.to_psbt()
    (tmp_path / "a.psbt").write_bytes(psbt.serialize())
    (tmp_path / "a.txt").write_text(psbt.to_base64() + "\n")
    bare = station.tells("inspect", tmp_path / "a.txt")
    known = station.tells("inspect", tmp_path / "a.psbt", "--vault", "reserve")
    assert bare["change"] == []
    assert known["change"] == [0]
    assert any("--vault" in each for each in bare["not_checked"])
    assert not any("--vault" in each for each in known["not_checked"])
    assert "payee Supplier" in station.does("inspect", tmp_path / "a.psbt")


def test_mainnet_keys_in_files_need_a_word_that_says_so(tmp_path, station):
    command = ("new-key", "astana", "--kind", "cosigner", "--network", "main", "-o", tmp_path / "main.key")
    station.refuses("NETWORK_UNSAFE", *command, CUSTODY_PASSPHRASE_FILE="")
    assert not (tmp_path / "main.key").exists()
    station.does(*command, "--unsafe-mainnet-key-file")
    station.refuses("NETWORK_UNSAFE", "export", tmp_path / "main.key")
    assert "xpub" in station.does("export", tmp_path / "main.key", "--unsafe-mainnet-key-file")


def test_two_commands_do_not_use_one_stations_memory_at_once(tmp_path, scenario, station):
    with Desk(tmp_path / "state-trusted", scenario.chain).alone():
        station.refuses("STATION_BUSY", "inspect", tmp_path / "evidence.json")
    assert station.tells("inspect", tmp_path / "evidence.json")


def test_a_folder_in_which_others_may_write_is_no_stations(tmp_path, station):
    (tmp_path / "state-trusted").chmod(0o770)
    station.refuses("FILE_UNUSABLE", "inspect", tmp_path / "evidence.json")


# --- the witness's machine --------------------------------------------------------------------------------------------


def test_a_witness_cosigns_a_growing_log_and_no_other(tmp_path, chain):
    story = Scenario.begin(chain=chain)
    write_cast(tmp_path, story)
    station = Machine(tmp_path, "witness", chain)
    station.does("trust", tmp_path / "charter.json", *show_words(story.cast.digest).split())
    (tmp_path / "first").write_bytes(story.custodian.showing.checkpoint().to_bytes())
    story.custodian.issue_address("reserve", expected("one"))
    (tmp_path / "second").write_bytes(story.custodian.showing.checkpoint().to_bytes())
    other = Scenario.begin(chain=chain, seed=1)
    for _ in range(3):
        other.custodian.issue_address("reserve", expected("elsewhere"))
    (tmp_path / "fork").write_bytes(other.custodian.showing.checkpoint().to_bytes())
    key = ("--key", tmp_path / f"{WITNESS}.key", "--name", WITNESS, "-o")

    station.refuses("WITNESS_NEW", "witness", tmp_path / "first", *key, tmp_path / "one")
    assert station.tells("witness", tmp_path / "first", *key, tmp_path / "one", "--first")["before"] == 0
    assert station.tells("witness", tmp_path / "second", *key, tmp_path / "two")["before"] == 2
    cosigned = SignedCheckpoint.parse((tmp_path / "two").read_text("utf-8"))
    assert len(story.custodian.showing.cosigned(cosigned)) == 1
    assert f"by {WITNESS}" in station.does("inspect", tmp_path / "two")

    station.refuses("WITNESS_CONFLICT", "witness", tmp_path / "first", *key, tmp_path / "x")
    station.refuses("PROOF_INVALID", "witness", tmp_path / "fork", *key, tmp_path / "x")
    officer = ("--key", tmp_path / "Bolat.key", "--name", WITNESS, "-o", tmp_path / "x")
    station.refuses("KEY_NOT_LISTED", "witness", tmp_path / "second", *officer)
    assert not (tmp_path / "x").exists()
