"""`inspect` where a file cannot be proved: it is shown, and first and last stands that nothing of it is proved.

Every kind of file there is, on a machine that trusts no charter and on one that trusts it but saw nothing of the log.
"""

from pathlib import Path

import pytest

from custody.apps.views.framing import UNTRUSTED
from custody.examine.lack import NOTHING_PROVED
from custody.testing.cast import OFFICERS, REQUESTER
from custody.words import show_words

STRANGER = "nobody"


@pytest.fixture
def drafted(office):
    """An office with a transfer that was decided, its witness up to date, and no station but the witness's."""
    office.funded()
    office.transfer = office.drafted()
    office.witnessed()
    return office


def evidence_of(office, *options: object) -> str:
    out = office.new_path("evidence.json")
    office.does("transfer", "evidence", office.transfer, *options, "-o", out)
    return out


def size_before(office, kind: str) -> int:
    """Entries of the log before the first of this kind."""
    path = office.new_path("log.jsonl")
    office.does("log", "export", "-o", path)
    lines = Path(path).read_text().splitlines()
    return next(at for at, line in enumerate(lines) if f'"entry":"{kind}"' in line)


def framed(office, whose: str, line: str, *arguments: object) -> list[str]:
    """The lines of a screen that begins and ends with this line, and lists what was not checked."""
    ended = office.types_at(whose, "inspect", *arguments)
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert (lines[0], lines[-1]) == (line, line)
    assert "Not checked here" in lines
    return lines


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_the_whole_log_without_a_charter_is_shown_as_what_the_file_says(drafted):
    evidence = evidence_of(drafted, "--whole")
    lines = framed(drafted, STRANGER, UNTRUSTED, evidence)
    assert "Pays, as the file says" in lines
    assert not any(each.startswith(("Examined here", "Transfer to approve")) for each in lines)
    assert f"  - {NOTHING_PROVED}" in lines
    told = drafted.at_station(STRANGER, "inspect", evidence)
    assert (told["proved"], told["trusted"], told["not_checked"][0]) == (False, False, NOTHING_PROVED)
    # What was not judged stands where no program looks for what was.
    assert not {"steps", "transfer", "payments", "verdict", "stage"} & set(told)
    assert told["says"]["transfer"] == drafted.transfer
    assert told["says"]["words"] == show_words(bytes.fromhex(drafted.transfer))


def test_lines_alone_without_a_charter_show_what_stands_in_them(drafted):
    evidence = evidence_of(drafted, "--since", size_before(drafted, "requested"))
    lines = framed(drafted, STRANGER, UNTRUSTED, evidence)
    text = "\n".join(lines)
    assert "which only the file names" in text
    assert "not checked whose: no charter is trusted here" in text
    told = drafted.at_station(STRANGER, "inspect", evidence)
    assert told["says"]["steps"] == []
    assert told["says"]["request"]["payments"] == [{"payee": "Supplier", "sats": 25_000_000}]
    assert told["says"]["request"]["signed_by"] == [drafted.cast.people[REQUESTER].public_key.hex()]
    assert {each["payee"] for each in told["says"]["outputs"]} == {None}
    assert sum(each.startswith("step ") for each in told["not_checked"]) == 8


def test_a_charter_without_the_log_answers_what_it_can(drafted):
    since = size_before(drafted, "requested")
    evidence = evidence_of(drafted, "--since", since)
    officer = OFFICERS[0]
    drafted.trusted_by(officer)
    line = f"NOT PROVED: the log before entry {since} was not seen here, so nothing shows that this is in it."
    text = "\n".join(framed(drafted, officer, line, evidence))
    assert "Supplier" in text
    assert "by the charter trusted here" in text
    told = drafted.at_station(officer, "inspect", evidence)
    assert (told["proved"], told["trusted"]) == (False, True)
    assert [each["number"] for each in told["says"]["steps"]] == [1, 2, 3]
    assert NOTHING_PROVED not in told["not_checked"]
    assert any(f"the log before entry {since}, of which 0 entries" in each for each in told["not_checked"])
    # The file that was made for this machine is judged as ever.
    proved = drafted.at_station(officer, "inspect", evidence_of(drafted, "--whole"))
    assert (proved["proved"], len(proved["steps"])) == (True, 8)


def test_lines_after_the_draft_tell_of_it_what_they_do(drafted):
    evidence = evidence_of(drafted, "--since", size_before(drafted, "decided"))
    told = drafted.at_station(STRANGER, "inspect", evidence)
    assert (told["says"]["transfer"], told["says"]["request"], told["says"]["sats"]) == (drafted.transfer, None, None)
    assert told["says"]["entries"][0]["entry"] == "decided"
    text = "\n".join(framed(drafted, STRANGER, UNTRUSTED, evidence))
    assert "the draft does not stand in the lines of this file" in text


def test_what_inspect_shows_is_neither_approved_nor_signed(drafted):
    whole, late = evidence_of(drafted), evidence_of(drafted, "--since", size_before(drafted, "requested"))
    officer, never = OFFICERS[0], ("--yes", "-o", drafted.path("never"))
    approve, sign = ("--key", drafted.key(officer), *never), ("--key", drafted.key("almaty"), *never)
    for evidence in (whole, late):
        drafted.at_station(STRANGER, "inspect", evidence)
        drafted.refused_at(STRANGER, "STATION_UNTRUSTED", "approve", evidence, *approve)
        drafted.refused_at(STRANGER, "STATION_UNTRUSTED", "sign", evidence, *sign)
    drafted.trusted_by(officer)
    drafted.at_station(officer, "inspect", late)
    assert drafted.at_station(officer, "status")["size"] == 0
    drafted.refused_at(officer, "HISTORY_GAP", "approve", late, *approve)
    drafted.refused_at(officer, "HISTORY_GAP", "sign", late, *sign)
    assert not Path(drafted.path("never")).exists()


def test_a_look_leaves_nothing_behind(drafted):
    evidence = evidence_of(drafted)
    drafted.at_station("visitor", "inspect", evidence)
    # A charter from a file is not trusted for being given.
    drafted.refused_at("visitor", "STATION_UNTRUSTED", "inspect", evidence, "--charter", drafted.path("charter.json"))
    assert not Path(drafted.path("station-visitor")).exists()


# --- papers and logs --------------------------------------------------------------------------------------------------


def test_a_statement_s_paper_is_shown_as_what_it_says(drafted):
    whole, late = drafted.new_path("paper.json"), drafted.new_path("paper.json")
    drafted.does("vault", "statement", "reserve", 0, "-o", whole)
    drafted.does("vault", "statement", "reserve", 0, "--since", size_before(drafted, "requested"), "-o", late)
    for paper, steps in ((whole, 6), (late, 4)):
        framed(drafted, STRANGER, UNTRUSTED, paper)
        told = drafted.at_station(STRANGER, "inspect", paper)
        assert (told["proved"], told["not_checked"][0]) == (False, NOTHING_PROVED)
        assert len(told["says"]["steps"]) == steps
        assert "address" not in told
    officer = OFFICERS[0]
    drafted.trusted_by(officer)
    told = drafted.at_station(officer, "inspect", late)
    assert (told["proved"], told["trusted"], told["says"]["issuing_shown"]) == (False, True, False)
    key = ("--key", drafted.key(officer), "--yes", "-o", drafted.path("never"))
    drafted.refused_at(officer, "HISTORY_GAP", "statement", late, *key)
    assert drafted.at_station(officer, "inspect", whole)["proved"] is True


def test_a_log_is_hashed_and_not_taken_in(drafted):
    whole, late = drafted.new_path("log.jsonl"), drafted.new_path("log.jsonl")
    drafted.does("log", "export", "--for-stations", "-o", whole)
    drafted.does("log", "export", "--for-stations", "--since", 3, "-o", late)
    assert "they lead to that root" in "\n".join(framed(drafted, STRANGER, UNTRUSTED, whole))
    assert "was not checked" in "\n".join(framed(drafted, STRANGER, UNTRUSTED, late))
    officer = OFFICERS[0]
    drafted.trusted_by(officer)
    told = drafted.at_station(officer, "inspect", whole)
    assert (told["trusted"], told["says"]["is_joined"], told["says"]["since"]) == (True, True, 0)
    assert drafted.at_station(officer, "inspect", late)["says"]["is_joined"] is False
    assert drafted.at_station(officer, "status")["size"] == 0
    lines = Path(whole).read_text().splitlines()
    Path(whole).write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    drafted.refused_at(officer, "EVIDENCE_INVALID", "inspect", whole)
    drafted.refused_at(STRANGER, "EVIDENCE_INVALID", "inspect", whole)


def test_every_other_file_is_framed_and_lists_what_was_not_checked(drafted):
    officer = OFFICERS[0]
    checkpoint, card, request = (drafted.new_path(each) for each in ("c.json", "card.json", "r.json"))
    drafted.does("log", "checkpoint", "--since", 0, "-o", checkpoint)
    drafted.does("charter", "card", "-o", card)
    ask = ("transfer", "request", "--pay", "Supplier=5000", "--reason", "invoice 18", "--key", drafted.key(REQUESTER))
    drafted.does(*ask, "--offline", "--charter", drafted.path("charter.json"), "-o", request)
    paper, stated = drafted.new_path("paper.json"), drafted.new_path("stated.json")
    drafted.does("vault", "statement", "reserve", 0, "-o", paper)
    drafted.trusted_by(officer)
    key = ("--key", drafted.key(officer), "--yes", "-o")
    drafted.at_station(officer, "statement", paper, *key, stated)
    approval = drafted.new_path("approval.json")
    drafted.at_station(officer, "approve", evidence_of(drafted), *key, approval)
    files = [drafted.path("charter.json"), checkpoint, card, request, stated, approval]
    for file in files:
        lines = framed(drafted, STRANGER, UNTRUSTED, file)
        assert f"  - {NOTHING_PROVED}" in lines
        assert drafted.at_station(STRANGER, "inspect", file)["not_checked"][0] == NOTHING_PROVED
        # Where the charter is trusted the same file says no such thing.
        assert NOTHING_PROVED not in drafted.at_station(officer, "inspect", file)["not_checked"]
        assert UNTRUSTED not in drafted.types_at(officer, "inspect", file).output
    for file, named in ((request, REQUESTER), (approval, officer)):
        told = drafted.at_station(STRANGER, "inspect", file)["signature"]
        assert told.startswith("not checked: no charter is trusted here; it verifies by ")
        assert drafted.cast.people[named].public_key.hex() in told
    assert drafted.at_station(STRANGER, "inspect", drafted.key(officer))["not_checked"]


def test_a_snapshot_and_what_officers_confirm_of_it_are_framed_too(drafted):
    drafted.does("log", "seal")
    drafted.witnessed()
    log, snapshot = drafted.new_path("log.jsonl"), drafted.new_path("snapshot.jsonl")
    drafted.does("log", "export", "--for-stations", "-o", log)
    confirmed = []
    for officer in OFFICERS[:2]:
        drafted.trusted_by(officer)
        drafted.at_station(officer, "catch-up", log)
        confirmed.append(drafted.new_path("confirmed.json"))
        key = ("--key", drafted.key(officer), "--yes", "-o", confirmed[-1])
        drafted.at_station(officer, "confirm", *key)
    drafted.does("log", "snapshot", *confirmed, "-o", snapshot)
    for file in (confirmed[0], snapshot):
        assert f"  - {NOTHING_PROVED}" in framed(drafted, STRANGER, UNTRUSTED, file)
    assert f"signed by {OFFICERS[0]};" in drafted.at_station(OFFICERS[1], "inspect", confirmed[0])["signature"]
    new = OFFICERS[2]
    drafted.trusted_by(new)
    told = drafted.at_station(new, "inspect", snapshot)
    assert (told["trusted"], told["says"]["officers"]) == (True, list(OFFICERS[:2]))
    assert drafted.at_station(new, "status")["size"] == 0
