"""A file of another kind than a command takes: it is named, and so is the command it is for."""

from pathlib import Path

import pytest

from custody.apps.files import FileKind, kind_of
from custody.testing.cast import WITNESS

FIXTURES = Path(__file__).parents[2] / "fixtures" / "transfer"

GIVEN = {
    FileKind.EVIDENCE: "evidence-sign.json",
    FileKind.STATEMENT_PAPER: "statement-paper.json",
    FileKind.CARD: "card.json",
    FileKind.CHARTER: "charter.json",
    FileKind.REQUEST: "request.json",
    FileKind.APPROVAL: "approval-aigerim.json",
    FileKind.STATEMENT: "statement.json",
    FileKind.CHECKPOINT: "checkpoint.txt",
    FileKind.PSBT: "signed-astana.psbt",
}
"""A file of each kind, among the fixtures."""

WORDS = "abandon " * 11 + "about"
AT_COORDINATOR = {
    "init": (FileKind.CHARTER, ("init", "FILE", WORDS, "--coordinator-key", "KEY")),
    "charter merge": (FileKind.CHARTER, ("charter", "merge", "FILE", "-o", "OUT")),
    "charter show": (FileKind.CHARTER, ("charter", "show", "FILE")),
    "charter new": (None, ("charter", "new", "FILE", "-o", "OUT")),
    "offline charter": (
        FileKind.CHARTER,
        (
            "transfer",
            "request",
            "--pay",
            "Supplier=1",
            "--reason",
            "r",
            "--key",
            "KEY",
            "--offline",
            "--charter",
            "FILE",
            "-o",
            "OUT",
        ),
    ),
    "payments": (None, ("transfer", "request", "--pay-csv", "FILE", "--reason", "r", "--key", "KEY")),
    "submit": (FileKind.REQUEST, ("transfer", "submit", "FILE")),
    "approve": (FileKind.APPROVAL, ("transfer", "approve", "FILE")),
    "combine": (FileKind.PSBT, ("transfer", "combine", "newest", "FILE")),
    "import": (FileKind.PSBT, ("transfer", "import", "FILE")),
    "log cosign": (FileKind.CHECKPOINT, ("log", "cosign", "FILE")),
    "statement signed": (FileKind.STATEMENT, ("vault", "statement", "reserve", "0", "--signed", "FILE")),
    "address descriptor": (
        None,
        ("vault", "address", "reserve", "--payer", "p", "--purpose", "p", "--class", "c", "--descriptor", "FILE"),
    ),
}
AT_STATION = {
    "trust": (FileKind.CHARTER, ("trust", "FILE", WORDS)),
    "sign-charter": (FileKind.CHARTER, ("sign-charter", "FILE", "--key", "KEY", "--yes", "-o", "OUT")),
    "address": (FileKind.CHARTER, ("address", "FILE", "reserve", "0")),
    "approve": (FileKind.EVIDENCE, ("approve", "FILE", "--key", "KEY", "--yes", "-o", "OUT")),
    "sign": (FileKind.EVIDENCE, ("sign", "FILE", "--key", "KEY", "--yes", "-o", "OUT")),
    "statement": (FileKind.STATEMENT_PAPER, ("statement", "FILE", "--key", "KEY", "--yes", "-o", "OUT")),
    "statement signed": (
        FileKind.STATEMENT,
        ("statement", "PAPER", "--signed", "FILE", "--key", "KEY", "--yes", "-o", "OUT"),
    ),
    "verify-statement": (FileKind.STATEMENT, ("verify-statement", "FILE", "CARD", "--words", WORDS)),
    "verify-statement card": (FileKind.CARD, ("verify-statement", "STATEMENT", "FILE", "--words", WORDS)),
    "witness": (FileKind.WITNESS_REQUEST, ("witness", "FILE", "--key", "KEY", "--name", WITNESS, "-o", "OUT")),
    "key": (FileKind.KEY_FILE, ("export", "FILE")),
}


def filled(office, arguments, file):
    known = {
        "FILE": file,
        "KEY": office.key("Dana"),
        "OUT": office.path("never.out"),
        "PAPER": FIXTURES / GIVEN[FileKind.STATEMENT_PAPER],
        "CARD": FIXTURES / GIVEN[FileKind.CARD],
        "STATEMENT": FIXTURES / GIVEN[FileKind.STATEMENT],
    }
    return [known.get(each, each) for each in arguments]


def every_file(office):
    found = {kind: FIXTURES / name for kind, name in GIVEN.items()}
    found[FileKind.KEY_FILE] = Path(office.key("Aigerim"))
    found[FileKind.WITNESS_REQUEST] = Path(office.path("request.json"))
    return found


def test_every_command_names_a_file_of_another_kind_and_where_it_goes(office):
    office.funded()
    office.drafted()
    office.does("log", "checkpoint", "-o", office.path("request.json"))
    for kind, file in every_file(office).items():
        assert kind_of(file.read_bytes()) is kind
        for expected, arguments in (*AT_COORDINATOR.values(), *AT_STATION.values()):
            if expected is kind:
                continue
            given = filled(office, arguments, file)
            ended = (
                office.types_at("anyone", *given)
                if (expected, arguments) in AT_STATION.values()
                else office.types(*given)
            )
            assert ended.exit_code == 3, (kind, given, ended.output)
            message = " ".join(ended.stderr.split())
            assert "error FILE_KIND" in message, (kind, given, ended.output)
            assert f" is {kind}; this command needs " in message
            assert f"Give it to {kind.taken_by}. custody-station inspect FILE" in message
    assert not Path(office.path("never.out")).exists()


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-8-sig", "an editor has saved again"), ("utf-16", "UTF-16"), ("utf-32", "UTF-32")]
)
def test_a_record_that_an_editor_saved_again_is_named_as_that(office, encoding, said):
    saved = Path(office.new_path("request.json"))
    saved.write_bytes((FIXTURES / "request.json").read_text(encoding="utf-8").encode(encoding))
    office.set_up()
    assert said in office.refuses("FILE_KIND", "transfer", "submit", saved)
