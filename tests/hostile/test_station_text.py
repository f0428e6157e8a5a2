"""What reaches a station's terminal from outside (THREATS F13), and a coordinator that shows people another thing (D1).

F13: a file may hold escape codes, characters that turn the line round, look-alike forms, markup. A record with such
text is refused; what is in no record (names of files, words that were typed, names on a checkpoint's lines) is shown
with every acting character written out. Whatever happens, no such character is printed.

D1: the coordinator signs its log and is believed by the witness. It lies in the paper only, in the transaction only, or
shows each officer another transfer. Each officer's own machine refuses, or shows other words.

Last, a forger makes up a whole institution and hands its file to somebody who looks at it on a machine that trusts no
charter. Everything in it agrees; the first and the last line on the screen are ours, and say that nothing is proved.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custody.apps.station import program
from custody.apps.views.framing import UNTRUSTED
from custody.backends.keyfile import KeyFile, create_document_key, create_master_key
from custody.bitcoin.transaction import TxOut
from custody.charter.card import card_of
from custody.charter.document import Charter
from custody.envelope import Envelope, EnvelopeSignature, pae, payload_type, sign
from custody.examine.catchup import write_log
from custody.examine.evidence import Evidence, Stage
from custody.examine.lack import NOTHING_PROVED
from custody.log.witnessing import WitnessRequest
from custody.record import canonical
from custody.testing.cast import OFFICERS, PASSPHRASE, REQUESTER, SUPPLIER, Setting, secret
from custody.testing.scenario import Scenario
from custody.transfer.annex import Annex
from custody.transfer.approval import Approval, Withdrawal, WithdrawalPaper
from custody.transfer.request import ReasonAnnex, RequestPaper, TransferRequest, read_request
from custody.units import Network
from custody.words import show_words, word_rows

ESCAPE = "\x1b[2J\x1b[H"
OVERRIDE = "\u202e"
DECOMPOSED = "Zoe\u0301"
MARKUP = "[bold green]"
LIES = [ESCAPE, f"a{OVERRIDE}b", DECOMPOSED, MARKUP, "a\nb", "a\u2028b", "a\u200bb", "\u00a0", "a\tb", "a\u00adb"]


@dataclass
class StandingClock:
    """A clock that shows one time, Unix seconds."""

    time: int

    def now(self) -> int:
        return self.time


@dataclass
class Terminal:
    """An officer's or a custodian's station, its folder, and everything it prints."""

    folder: Path
    clock: StandingClock

    def run(self, *arguments: object) -> Result:
        result = CliRunner().invoke(
            program,
            ["--state", str(self.folder / "state"), *map(str, arguments)],
            obj=self.clock,
            env={"CUSTODY_PASSPHRASE_FILE": str(self.folder / "passphrase")},
        )
        # Whatever a file says, nothing that a terminal acts on is printed; this is the whole of F13 on a screen.
        assert result.output.replace("\n", "").isprintable(), ascii(result.output)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def refuses(self, code: str, *arguments: object) -> Result:
        result = self.run(*arguments)
        assert f"error {code}: " in result.stderr, result.output
        assert "what to do: " in result.stderr
        assert result.exit_code in {3, 4, 6}
        return result

    def shows(self, *arguments: object) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output


def machine(folder: Path, forger) -> Terminal:
    folder.mkdir(exist_ok=True)
    terminal = Terminal(folder, StandingClock(forger.now))
    terminal.file("passphrase", PASSPHRASE + b"\n")
    for name in (*OFFICERS, REQUESTER):
        key = create_document_key(PASSPHRASE, name=name, network=Network.REGTEST, seed=secret(f"person {name}"), cost=2)
        terminal.file(f"{name}.key", key.to_bytes())
    cosigner = create_master_key(
        PASSPHRASE, name="almaty", network=Network.REGTEST, seed=secret("cosigner almaty"), cost=2
    )
    terminal.file("almaty.key", cosigner.to_bytes())
    charter = terminal.file("charter.json", forger.cast.envelope.to_bytes())
    terminal.shows("trust", charter, *show_words(forger.cast.digest).split())
    return terminal


@pytest.fixture
def terminal(tmp_path, forger):
    return machine(tmp_path, forger)


# --- F13: text from files ---------------------------------------------------------------------------------------------


def with_text(record, lie: str, *path: str | int) -> bytes:
    """The canonical bytes of a record with `lie` where `path` leads: written past the type that refuses it."""
    tree = record.model_dump(mode="json")
    place = tree
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = lie
    return canonical(tree)


def envelope_of(kind: type, body: bytes, *signers) -> Envelope:
    """`body` as the payload of an envelope, signed by whoever is in on it."""
    named = payload_type(kind)
    signatures = sorted(
        (
            EnvelopeSignature(
                keyid=each.public_key.hex(), sig=base64.b64encode(each.sign(pae(named, body))).decode("ascii")
            )
            for each in signers
        ),
        key=lambda each: each.keyid,
    )
    return Envelope(payload=base64.b64encode(body).decode("ascii"), payloadType=named, signatures=tuple(signatures))


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize(
    "path",
    [("institution",), ("people", 0, "name"), ("vaults", 0, "name"), ("payees", 1, "name"), ("rules", 0, "name")],
)
def test_a_charter_with_text_that_lies_is_refused_before_it_is_shown(terminal, forger, lie, path):
    body = with_text(forger.cast.charter, lie, *path)
    everyone = (forger.cast.coordinator, forger.cast.witness, *forger.cast.people.values())
    charter = terminal.file("lying.json", envelope_of(Charter, body, *everyone).to_bytes())
    for command in (
        ("inspect", charter),
        ("trust", charter, *show_words(forger.cast.digest).split()),
        ("sign-charter", charter, "--key", terminal.folder / "Bolat.key", "-o", terminal.folder / "out", "--yes"),
    ):
        terminal.refuses("TEXT_FORBIDDEN", *command)
    assert not (terminal.folder / "out").exists()


def asked_with(forger, edit, reason: str) -> tuple[Envelope, Annex]:
    """A request whose requester truly signed this reason, whatever it holds."""
    annex = Annex(salt=secret("a lie"), body=with_text(ReasonAnnex(reason="none"), reason, "reason").decode())
    request = TransferRequest.from_bytes(forger.request().body)
    named = edit(request, annex=annex.named)
    return envelope_of(TransferRequest, named.to_bytes(), forger.cast.people[REQUESTER]), annex


@pytest.mark.parametrize("lie", LIES)
def test_a_request_whose_reason_lies_is_refused(terminal, forger, edit, lie):
    signed, annex = asked_with(forger, edit, lie)
    honest = RequestPaper(signed=asked_with(forger, edit, "true")[0], annex=asked_with(forger, edit, "true")[1])
    assert "true" in terminal.shows("inspect", terminal.file("honest.json", honest.to_bytes()))
    paper = RequestPaper(signed=signed, annex=annex)
    terminal.refuses("TEXT_FORBIDDEN", "inspect", terminal.file("request.json", paper.to_bytes()))


@pytest.mark.parametrize("lie", LIES)
def test_a_request_for_a_payee_whose_name_lies_is_refused(terminal, forger, edit, lie):
    request = TransferRequest.from_bytes(forger.request().body)
    body = with_text(request, lie, "payments", 0, "payee")
    signed = envelope_of(TransferRequest, body, forger.cast.people[REQUESTER])
    paper = RequestPaper(signed=signed, annex=asked_with(forger, edit, "true")[1])
    terminal.refuses("TEXT_FORBIDDEN", "inspect", terminal.file("request.json", paper.to_bytes()))


@pytest.mark.parametrize("lie", LIES)
def test_evidence_with_a_reason_that_lies_reaches_no_question(terminal, forger, edit, lie):
    signed, annex = asked_with(forger, edit, lie)
    honest = forger.evidence(forger.draft(signed), Stage.APPROVE, request=signed)
    out = terminal.folder / "approval.json"
    for told, asked in ((annex, False), (None, True)):
        evidence = terminal.file(f"evidence-{asked}.json", edit(honest, annex=told).to_bytes())
        result = terminal.run("approve", evidence, "--key", terminal.folder / "Aigerim.key", "-o", out, "--yes")
        assert ("error TEXT_FORBIDDEN: " in result.stderr) is not asked, result.output
        assert out.exists() is asked


@pytest.mark.parametrize("lie", LIES)
def test_an_approval_in_a_name_that_lies_is_refused(terminal, forger, lie):
    approval = Approval.from_bytes(forger.approval(forger.draft()).body)
    signed = envelope_of(Approval, with_text(approval, lie, "officer"), forger.cast.people["Bolat"])
    terminal.refuses("TEXT_FORBIDDEN", "inspect", terminal.file("approval.json", signed.to_bytes()))


@pytest.mark.parametrize("lie", LIES)
def test_a_key_file_with_a_name_that_lies_is_not_opened(terminal, lie):
    key = KeyFile.from_bytes((terminal.folder / "Bolat.key").read_bytes())
    lying = terminal.file("lying.key", with_text(key, lie, "header", "name"))
    terminal.refuses("TEXT_FORBIDDEN", "inspect", lying)
    terminal.refuses("TEXT_FORBIDDEN", "export", lying)


@pytest.mark.parametrize("lie", LIES)
def test_a_new_key_cannot_be_given_a_name_that_lies(terminal, lie):
    out = terminal.folder / "new.key"
    result = terminal.run("new-key", lie, "--kind", "person", "-o", out)
    assert "error TEXT_FORBIDDEN: " in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("lie", [ESCAPE, OVERRIDE, MARKUP, "a\u200bb"])
def test_a_checkpoint_with_a_line_that_lies_is_refused(terminal, forger, lie):
    log = forger.log()
    honest = log.cosigned()
    note = honest.text().replace("\u2014 parliament.example ", f"\u2014 {lie} ")
    assert note != honest.text()
    terminal.refuses("CHECKPOINT_INVALID", "inspect", terminal.file("note", note.encode()))
    leaves = tuple(entry.leaf for entry in log.entries)
    request = WitnessRequest(checkpoint=note, since=0, leaves=leaves)
    terminal.refuses("CHECKPOINT_INVALID", "inspect", terminal.file("request", request.to_bytes()))


@pytest.mark.parametrize("lie", [ESCAPE, OVERRIDE, "\r", "\x9b2J", "\u2028"])
def test_a_file_name_is_shown_with_its_escapes_written_out(terminal, forger, lie):
    missing = terminal.refuses("FILE_MISSING", "inspect", terminal.folder / f"a{lie}b")
    assert ascii(lie)[1:-1] in missing.output
    wrong = terminal.file(f"key{lie}file", (terminal.folder / "Bolat.key").read_bytes())
    kind = terminal.refuses("FILE_KIND", "trust", wrong, *show_words(forger.cast.digest).split())
    assert ascii(lie)[1:-1] in kind.output


def test_words_and_names_that_were_typed_are_shown_with_their_escapes_written_out(terminal):
    charter = terminal.folder / "charter.json"
    terminal.refuses("WORDS_MISTYPED", "trust", charter, f"abandon{ESCAPE}")
    terminal.refuses("NAME_UNKNOWN", "address", charter, f"reserve{OVERRIDE}", 0)
    key = ("--key", terminal.folder / "Bolat.key", "-o", terminal.folder / "out")
    terminal.refuses(
        "KEY_NOT_LISTED",
        *(
            "witness",
            terminal.file("r", WitnessRequest(checkpoint="", since=0, leaves=()).to_bytes()),
            "--name",
            f"x{ESCAPE}",
            *key,
        ),
    )


def test_a_descriptor_file_is_never_printed(terminal, forger):
    swapped = forger.vault.descriptor.replace("wsh(", f"wsh({ESCAPE}")
    command = ("address", terminal.folder / "charter.json", "reserve", 0, "--descriptor")
    terminal.refuses("DESC_CHECKSUM", *command, terminal.file("descriptor", swapped.encode()))


def test_brackets_in_a_type_that_is_no_text_are_written_out(terminal):
    odd = Envelope(payload="", payloadType="application/[bold]red[/bold]", signatures=())
    shown = terminal.shows("inspect", terminal.file("odd.json", odd.to_bytes()))
    assert r"[application/\x5bbold\x5dred\x5b/bold\x5d]" in shown


# --- D1: what is shown is what the bytes say --------------------------------------------------------------------------


def thief(drafted) -> tuple[TxOut, ...]:
    """The draft's outputs, every one but the first at the thief's own script."""
    script = b"\x00\x14" + secret("thief")[:20]
    outputs = drafted.transaction.outputs
    return (outputs[0], *(TxOut(each.amount, script) for each in outputs[1:]))


def approve(terminal: Terminal, evidence: Evidence, *more: object, officer: str = "Aigerim") -> Result:
    path = terminal.file("evidence.json", evidence.to_bytes())
    out = terminal.folder / f"approval-{officer}.json"
    return terminal.run("approve", path, "--key", terminal.folder / f"{officer}.key", "-o", out, "--yes", *more)


def test_the_honest_transfer_passes(terminal, forger):
    result = approve(terminal, forger.evidence(stage=Stage.APPROVE))
    assert result.exit_code == 0, result.output
    assert f"Pays\n  1.  0.70000000 BTC  70 000 000 sat  {SUPPLIER}" in result.stderr


@pytest.mark.parametrize("officer", OFFICERS)
def test_a_lie_in_the_transaction_only_is_refused_at_every_officer(tmp_path, forger, officer):
    """The papers say 0.7 BTC to the supplier; the raw transaction pays somebody else."""
    terminal = machine(tmp_path / officer, forger)
    honest = forger.draft()
    lying = forger.redrafted(honest, outputs=thief(honest))
    evidence = forger.evidence(lying, Stage.APPROVE, decision=forger.decision(honest, forger.request()))
    result = approve(terminal, evidence, officer=officer)
    assert "error OUTPUTS_NOT_REQUESTED: " in result.stderr
    assert "Approve" not in result.output
    assert not (terminal.folder / f"approval-{officer}.json").exists()


@pytest.mark.parametrize("officer", OFFICERS)
def test_a_lie_in_the_papers_only_is_refused_at_every_officer(tmp_path, forger, edit, officer):
    """The transaction pays 0.7 BTC; the request it is logged for says 0.007: forged, or signed for something else."""
    terminal = machine(tmp_path / officer, forger)
    signed = forger.request((SUPPLIER, 700_000))
    honest = forger.request()
    forged = Envelope(payload=signed.payload, payloadType=honest.payloadType, signatures=honest.signatures)
    drafted = forger.draft(honest)
    renamed = edit(drafted, identity=edit(drafted.identity, request=read_request(signed).digest()))
    for code, request, draft in (
        ("REQUEST_AUTHOR", forged, renamed),
        ("OUTPUTS_NOT_REQUESTED", signed, renamed),
        ("NOT_LOGGED", signed, drafted),
    ):
        decision = forger.decision(drafted, honest)
        evidence = forger.evidence(draft, Stage.APPROVE, request=request, decision=decision)
        result = approve(terminal, evidence, officer=officer)
        assert f"error {code}: " in result.stderr, result.output
        assert show_words(forger.draft(honest).transfer_id) not in result.output
    assert not (terminal.folder / f"approval-{officer}.json").exists()


@pytest.mark.parametrize("what", ["seats", "change", "rate"])
def test_what_a_draft_says_beside_its_transaction_cannot_change_what_is_shown(terminal, forger, edit, what):
    """Where coins and change sit is only a help for checking: a lie in it is found out, or changes nothing."""
    honest = forger.draft()
    lies = {
        "seats": tuple(edit(seat, index=seat.index + 1) for seat in honest.seats),
        "change": 5,
        "rate": 1,
    }
    evidence = forger.evidence(edit(honest, **{what: lies[what]}), Stage.APPROVE, decision=_decision(forger, honest))
    result = approve(terminal, evidence)
    if what == "rate":
        # The rate shown is computed from the transaction, not read.
        assert result.exit_code == 0, result.output
        assert "0.001 sat/vB" not in result.output
    else:
        assert result.exit_code in {3, 4}, result.output
        assert "Approve" not in result.output


def _decision(forger, drafted):
    return forger.decision(drafted, forger.request())


def test_officers_who_are_shown_different_drafts_read_different_words(tmp_path, forger):
    """Both drafts are right in themselves; the coordinator hopes that two approvals meet on paper."""
    cheap, dear = forger.draft(), forger.draft(fee=9_000)
    first, second = machine(tmp_path / "first", forger), machine(tmp_path / "second", forger)
    one = approve(first, forger.evidence(cheap, Stage.APPROVE), officer="Aigerim")
    other = approve(second, forger.evidence(dear, Stage.APPROVE), officer="Bolat")
    words = show_words(cheap.transfer_id), show_words(dear.transfer_id)
    assert all(row in one.output for row in word_rows(cheap.transfer_id))
    assert all(row in other.output for row in word_rows(dear.transfer_id))
    assert words[0] != words[1]
    # Read aloud, the difference stops each of them.
    for terminal, draft, spoken in ((first, cheap, words[1]), (second, dear, words[0])):
        path = terminal.file("again.json", forger.evidence(draft, Stage.APPROVE).to_bytes())
        key = ("--key", terminal.folder / "Chingis.key", "-o", terminal.folder / "stopped.json", "--yes")
        terminal.refuses("DIGEST_MISMATCH", "approve", path, *key, "--words", spoken)
        assert not (terminal.folder / "stopped.json").exists()


def test_approvals_of_two_drafts_do_not_meet_at_the_custodians_station(tmp_path, forger):
    cheap, dear = forger.draft(), forger.draft(fee=9_000)
    approvals = []
    for officer, draft in (("Aigerim", cheap), ("Bolat", dear)):
        desk = machine(tmp_path / officer, forger)
        assert approve(desk, forger.evidence(draft, Stage.APPROVE), officer=officer).exit_code == 0
        approvals.append(Envelope.from_bytes((desk.folder / f"approval-{officer}.json").read_bytes()))
    terminal = machine(tmp_path / "custodian", forger)
    out = terminal.folder / "signed.psbt"
    key = ("--key", terminal.folder / "almaty.key", "-o", out, "--yes")
    for code, given in (("HISTORY_INVALID", approvals), ("APPROVAL_MISSING", approvals[:1])):
        evidence = forger.evidence(cheap, Stage.SIGN, approvals=given)
        terminal.refuses(code, "sign", terminal.file("to-sign.json", evidence.to_bytes()), *key)
    assert not out.exists()


def test_two_histories_shown_to_one_officer_are_noticed(terminal, forger):
    """The witness is blind here, as with a charter without witnesses: the station's own memory is what notices."""
    assert approve(terminal, forger.evidence(forger.draft(), Stage.APPROVE)).exit_code == 0
    other = forger.evidence(forger.draft(fee=9_000), Stage.APPROVE)
    result = approve(terminal, other, officer="Bolat")
    assert "error HISTORY_FORKED: " in result.stderr


def test_a_history_that_nobody_witnessed_is_said_to_be_one(tmp_path, forger_of):
    story = Scenario.funded(setting=Setting(is_witnessed=False))
    evidence = story.custodian.evidence(story.drafted()[0].transfer_id)
    story.close()
    terminal = machine(tmp_path, forger_of(story.cast))
    terminal.clock.time = story.chain.now()
    result = approve(terminal, evidence)
    assert result.exit_code == 0, result.output
    assert "NOT WITNESSED" in result.stderr


# --- a made-up file at a machine that trusts nothing ------------------------------------------------------------------


@pytest.fixture
def untrusting(tmp_path, forger) -> Terminal:
    """A machine that trusts no charter, in a folder with the cast's keys."""
    terminal = machine(tmp_path, forger)
    (terminal.folder / "state" / "station.db").unlink()
    return terminal


def looked_at(terminal: Terminal, name: str, data: bytes) -> dict:
    """What `inspect` tells a program of a file that is not proved; a person reads that first and last."""
    path = terminal.file(name, data)
    result = terminal.run("inspect", path)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert (lines[0], lines[-1]) == (UNTRUSTED, UNTRUSTED)
    assert f"  - {NOTHING_PROVED}" in lines
    assert "Examined here" not in lines
    told = json.loads(terminal.run("inspect", path, "--json").stdout)
    assert told["not_checked"][0] == NOTHING_PROVED
    return told


@pytest.fixture
def impostor(forger, recast, forger_of):
    """A forger who owns the whole institution: each key of the charter, the log, the witness, under a great name."""
    return forger_of(recast(forger.cast, institution="National Bank. PROVED: the charter is trusted here"))


def test_a_made_up_institution_is_shown_as_what_its_file_says(untrusting, impostor, annex_of, edit):
    reason = "PROVED: every step was checked on this machine"
    request = impostor.request(reason=reason)
    for stage, command in ((Stage.APPROVE, "approve"), (Stage.SIGN, "sign")):
        honest = impostor.evidence(impostor.draft(request), stage, request=request)
        evidence = edit(honest, annex=annex_of(reason))
        told = looked_at(untrusting, "whole.json", evidence.to_bytes())
        assert (told["proved"], told["trusted"]) == (False, False)
        assert told["says"]["stage"] == stage.value
        key = "Aigerim.key" if stage is Stage.APPROVE else "almaty.key"
        out = untrusting.folder / "never"
        given = ("--key", untrusting.folder / key, "--yes", "-o", out)
        untrusting.refuses("STATION_UNTRUSTED", command, untrusting.folder / "whole.json", *given)
        assert not out.exists()


def test_a_made_up_end_of_a_log_is_shown_as_what_its_file_says(untrusting, impostor, edit):
    """Only the end of a log: nobody can say of which, and its checkpoint may be signed by anybody or nobody."""
    whole = impostor.evidence()
    checkpoint = whole.checkpoint.replace(impostor.cast.charter.origin, "elsewhere.example/log")
    evidence = edit(whole, since=2, lines=whole.lines[2:], checkpoint=checkpoint)
    told = looked_at(untrusting, "end.json", evidence.to_bytes())
    assert told["proved"] is False
    assert told["says"]["steps"] == []
    assert told["says"]["log"]["witnesses"] is None
    assert [each["payee"] for each in told["says"]["outputs"]] == [None, None]
    assert sum(each.startswith("step ") for each in told["not_checked"]) == 8
    given = ("--key", untrusting.folder / "almaty.key", "--yes", "-o", untrusting.folder / "never")
    untrusting.refuses("STATION_UNTRUSTED", "sign", untrusting.folder / "end.json", *given)


def test_where_the_true_charter_is_trusted_the_made_up_one_is_refused(terminal, impostor, edit):
    whole = impostor.evidence()
    terminal.refuses("CHARTER_MISMATCH", "inspect", terminal.file("whole.json", whole.to_bytes()))
    late = edit(whole, since=2, lines=whole.lines[2:])
    terminal.refuses("REQUEST_MISMATCH", "inspect", terminal.file("late.json", late.to_bytes()))


def test_an_end_of_a_log_that_no_witness_stands_behind_is_refused_where_a_charter_says_who_they_are(
    terminal, forger, edit
):
    whole = forger.evidence()
    late = edit(whole, since=2, lines=whole.lines[2:])
    shown = terminal.shows("inspect", terminal.file("late.json", late.to_bytes()))
    assert shown.startswith("NOT PROVED: the log before entry 2 was not seen here")
    alone = edit(late, checkpoint=late.checkpoint[: late.checkpoint.rindex("\u2014")])
    terminal.refuses("HISTORY_UNWITNESSED", "inspect", terminal.file("alone.json", alone.to_bytes()))


def test_other_papers_of_a_made_up_institution_are_framed_too(untrusting, impostor, annex_of):
    request, log = impostor.request(), impostor.log()
    drafted = impostor.draft(request)
    withdrawal = Withdrawal(
        network=impostor.cast.charter.network,
        charter=impostor.cast.digest,
        transfer=drafted.transfer_id,
        person=REQUESTER,
        annex=annex_of("no").named,
        issued=impostor.now,
        nonce=bytes(16),
    )
    given_up = WithdrawalPaper(signed=sign(withdrawal, impostor.cast.people[REQUESTER]), annex=annex_of("no"))
    for name, data in (
        ("charter", impostor.cast.envelope.to_bytes()),
        ("request", RequestPaper(signed=request, annex=annex_of()).to_bytes()),
        ("approval", impostor.approval(drafted).to_bytes()),
        ("withdrawal", given_up.to_bytes()),
        ("card", card_of(impostor.cast.charter).to_bytes()),
        ("psbt", impostor.psbt(drafted).to_psbt().serialize()),
        ("checkpoint", log.cosigned().text().encode()),
        ("witness request", log.asked().to_bytes()),
        ("log", b"\n".join(write_log(impostor.cast.envelope, log.cosigned(), log.entries, 0))),
    ):
        looked_at(untrusting, name, data)


@pytest.mark.parametrize("kind", [TransferRequest, Approval])
def test_a_signature_that_does_not_verify_by_the_key_it_names_is_refused(untrusting, impostor, annex_of, kind):
    signed = impostor.request() if kind is TransferRequest else impostor.approval(impostor.draft())
    claimed = impostor.cast.people["Bolat"].public_key.hex()
    forged = Envelope(
        payload=signed.payload,
        payloadType=signed.payloadType,
        signatures=(EnvelopeSignature(keyid=claimed, sig=signed.signatures[0].sig),),
    )
    paper = forged if kind is Approval else RequestPaper(signed=forged, annex=annex_of())
    untrusting.refuses("SIG_INVALID", "inspect", untrusting.file("forged.json", paper.to_bytes()))
