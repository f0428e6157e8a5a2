"""A deposit by commands: issued, stated by two officers, verified by the payer with a card, paid and listed."""

import json
import time
from pathlib import Path

import pytest

from custody.testing.cast import DEPOSITOR, OFFICERS, REQUESTER, Setting
from custody.words import show_words, word_rows

DAY = 86_400
WRONG = show_words(bytes(32))


class Later:
    """A clock that is ahead of everybody's."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def now(self) -> int:
        return int(time.time()) + self.seconds


@pytest.fixture
def issued(office):
    """An office whose reserve has given its first address to the ministry, in a log that the witness has cosigned."""
    office.set_up()
    office.does(*office.address_for("seized, case 17"))
    office.witnessed()
    return office


def paper_for(office, index=0, *more):
    out = office.new_path("paper.json")
    office.does("vault", "statement", "reserve", index, *more, "-o", out)
    return out


def stated_by(office, officer, paper, *more):
    """The statement as this officer's station lets it out."""
    office.trusted_by(officer)
    out = office.new_path(f"{officer}.stated.json")
    key = ("--key", office.key(officer))
    return out, office.at_station(officer, "statement", paper, *key, *more, "--yes", "-o", out)


def card_of(office):
    """The card, and the words that an officer's station publishes."""
    out = office.new_path("card.json")
    office.does("charter", "card", "-o", out)
    office.trusted_by(OFFICERS[0])
    told = office.at_station(OFFICERS[0], "inspect", out)
    assert "may be published" in told["checked"]
    return out, told["words"]


def test_a_deposit_is_announced_stated_verified_and_paid(issued):
    address = issued.cast.vault.address(0, 0)
    listed = issued.does("vault", "addresses", "reserve")["addresses"]
    assert [(each["index"], each["address"], each["is_paid"], each["paid"]) for each in listed] == [
        (0, address, False, 0)
    ]
    assert (listed[0]["payer"], listed[0]["purpose"], listed[0]["class"]) == (DEPOSITOR, "seized, case 17", "seized")

    # Two officers sign in turn, each at a station that derives the address itself.
    paper = paper_for(issued)
    first, said = stated_by(issued, OFFICERS[0], paper)
    assert (said["address"], said["signed"], said["is_enough"]) == (address, [OFFICERS[0]], False)
    assert said["witnessed"]
    card, words = card_of(issued)
    payer = ("--words", words, "--payer", DEPOSITOR, "--address", address)
    message = issued.refused_at("payer", "STATEMENT_UNSIGNED", "verify-statement", first, card, *payer)
    assert OFFICERS[1] in message
    second, said = stated_by(issued, OFFICERS[1], paper, "--signed", first, "--words", said["words"])
    assert (said["signed"], said["is_enough"]) == (list(OFFICERS[:2]), True)

    # The payer has the statement, the card and words: no station, no charter, no coordinator.
    assert not Path(issued.path("station-payer")).exists()
    verified = issued.at_station("payer", "verify-statement", second, card, *payer)
    assert (verified["address"], verified["signed"], verified["threshold"]) == (address, list(OFFICERS[:2]), 2)
    assert verified["compared"] == ["payer", "address"]
    assert not Path(issued.path("station-payer")).exists()
    for key in issued.cast.vault.cosigners:
        assert key.expression().rpartition("]")[2] not in Path(second).read_text() + Path(card).read_text()

    issued.does("regtest", "pay", verified["address"], "0.6 BTC")
    (paid,) = issued.does("vault", "addresses", "reserve")["addresses"]
    assert (paid["is_paid"], paid["paid"], len(paid["deposits"])) == (True, 60_000_000, 1)
    (coin,) = issued.does("coin", "list")["coins"]
    assert (coin["origin"], coin["class"], coin["payer"]) == ("issued", "seized", DEPOSITOR)
    shown = issued.types("vault", "addresses", "reserve").stdout
    assert "0.60000000 BTC" in shown
    assert DEPOSITOR in shown


def test_each_coin_says_where_it_came_from(office):
    office.funded()
    # Nobody was given this address; the second deposit at one address is the same payer's.
    office.does("regtest", "pay", office.cast.vault.address(0, 7), "0.1 BTC")
    office.does("regtest", "pay", office.cast.vault.address(0, 0), "0.2 BTC")
    office.delivered(office.drafted())
    office.does("regtest", "mine", "1")
    # A deposit at a change address is nobody's of ours, though the vault can spend it.
    office.does("regtest", "pay", office.cast.vault.address(1, 9), "0.3 BTC")
    coins = {(each["branch"], each["index"], each["amount"]): each for each in office.does("coin", "list")["coins"]}
    origins = {key: each["origin"] for key, each in coins.items() if key[2] in {60_000_000, 10_000_000, 20_000_000}}
    assert origins == {(0, 0, 60_000_000): "issued", (0, 7, 10_000_000): "not issued", (0, 0, 20_000_000): "issued"}
    assert coins[1, 9, 30_000_000]["origin"] == "not issued"
    (change,) = [each for key, each in coins.items() if key[:2] == (1, 0)]
    assert (change["origin"], change["class"], change["payer"]) == ("own transfer", None, None)
    shown = office.types("coin", "list").stdout
    assert all(each in shown for each in ("not issued", "own transfer", "seized", DEPOSITOR))
    (given,) = office.does("vault", "addresses", "reserve")["addresses"]
    assert (given["paid"], len(given["deposits"])) == (80_000_000, 2)
    assert "in 2 deposits" in office.types("vault", "addresses", "reserve").stdout


# --- quarantine -------------------------------------------------------------------------------------------------------


def states(office):
    return {each["outpoint"]: (each["state"], each["quarantine"]) for each in office.does("coin", "list")["coins"]}


def examined(office, transfer):
    """What an officer's machine makes of a transfer."""
    office.witnessed()
    evidence = office.new_path("evidence.json")
    office.does("transfer", "evidence", transfer, "-o", evidence)
    office.trusted_by(OFFICERS[0])
    return office.at_station(OFFICERS[0], "inspect", evidence), evidence


def test_what_nobody_was_to_send_is_quarantined_and_counted_apart(office):
    office.funded()
    office.does("regtest", "pay", office.cast.vault.address(0, 40), "0.3 BTC")
    office.does("regtest", "pay", office.cast.vault.address(0, 0), "1000")
    found = [("mature", None), ("quarantined", "not-issued"), ("quarantined", "small")]
    assert sorted(states(office).values(), key=str) == found
    totals = {"mature": 60_000_000, "held": 0, "seen": 0, "quarantined": 30_001_000, "total": 90_001_000}
    assert office.does("coin", "balance")["vaults"]["reserve"] == totals
    assert "quarantined: not-issued" in office.types("coin", "list").stdout
    assert "quarantined" in office.types("coin", "balance").stdout
    assert "0.30001000 BTC of it, until an officer releases it" in office.types("vault", "show", "reserve").stdout
    office.refuses("INSUFFICIENT_FUNDS", "transfer", "draft", office.requested("--pay", "Supplier=0.7 BTC"))


def test_what_a_sweep_leaves_is_said_wherever_it_is_looked_at(office):
    office.funded()
    office.does("regtest", "pay", office.cast.vault.address(0, 40), "0.3 BTC")
    office.does("regtest", "pay", office.cast.vault.address(0, 0), "1000")
    left = [{"why": "quarantined", "coins": 1, "sats": 30_000_000}, {"why": "small", "coins": 1, "sats": 1_000}]
    options = ("--sweep", "Supplier", "--reason", "closing", "--key", office.key(REQUESTER))
    asked = office.does("transfer", "request", *options)
    assert asked["would_leave"] == left
    told = office.types("transfer", "request", *options)
    assert "at 10.000 sat/vB, not everything would be taken" in told.stderr, told.stderr
    drafted = office.does("transfer", "draft", asked["id"], "--feerate", "1000")
    assert (drafted["left_behind"], drafted["long_term_fee_rate"]) == (left, 10_000)
    assert office.does("transfer", "show", drafted["transfer"])["left_behind"] == left
    assert (
        "1 coin, 0.30000000 BTC in all, stays: quarantined"
        in office.types("transfer", "show", drafted["transfer"]).stdout
    )
    found, evidence = examined(office, drafted["transfer"])
    assert found["left_behind"] == left
    assert any("which other coins the vault has" in each for each in found["not_checked"])
    shown = office.types_at(OFFICERS[0], "inspect", evidence).output
    assert "Stays in the vault, as the coordinator says" in shown
    assert "worth no more than spending them costs at the long-term rate" in shown


def test_an_officer_s_release_is_entered_and_shown(office):
    office.funded()
    office.does("regtest", "pay", office.cast.vault.address(0, 40), "0.3 BTC")
    (far,) = [each for each in office.does("coin", "list")["coins"] if each["index"] == 40]
    release = ("coin", "release", far["outpoint"], "--reason", "the ministry, by mistake")
    office.refuses("COIN_RELEASE_AUTHOR", *release, "--key", office.key(REQUESTER))
    done = office.does(*release, "--key", office.key(OFFICERS[0]))
    assert (done["officer"], done["coin"], done["vault"]) == (OFFICERS[0], far["outpoint"], "reserve")
    assert states(office)[far["outpoint"]] == ("mature", None)
    office.refuses("COIN_NOT_QUARANTINED", *release, "--key", office.key(OFFICERS[1]))
    transfer = office.drafted("--pay", "Supplier=0.7 BTC")
    for told in (office.does("transfer", "show", transfer), examined(office, transfer)[0]):
        assert [(each["outpoint"], each["officer"]) for each in told["released_coins"]] == [
            (far["outpoint"], OFFICERS[0])
        ]
    assert "Released from quarantine" in office.types("transfer", "show", transfer).stdout
    office.delivered(transfer)


def test_an_officer_releases_at_a_machine_of_their_own(office):
    office.funded()
    office.does("regtest", "pay", office.cast.vault.address(1, 5), "0.3 BTC")
    (coin,) = [each for each in office.does("coin", "list")["coins"] if each["branch"] == 1]
    paper, signed = office.new_path("to-release.json"), office.new_path("released.json")
    release = ("coin", "release", coin["outpoint"], "--reason", "a payer's old note", "--officer", OFFICERS[0])
    written = office.does(*release, "-o", paper)
    assert (written["file"], written["block"]) == (paper, coin["block"])
    office.trusted_by(OFFICERS[0])
    assert office.at_station(OFFICERS[0], "inspect", paper)["signature"] == "nobody has signed it yet"
    at_station = ("release-coin", paper, "-o", signed, "--yes")
    office.refused_at(OFFICERS[0], "COIN_RELEASE_AUTHOR", *at_station, "--key", office.key(OFFICERS[1]))
    told = office.at_station(OFFICERS[0], *at_station, "--key", office.key(OFFICERS[0]))
    assert (told["coin"], told["amount"], told["reason"]) == (coin["outpoint"], 30_000_000, "a payer's old note")
    inspected = office.at_station(OFFICERS[0], "inspect", signed)
    assert inspected["signature"] == f"signed by {OFFICERS[0]}, with the key in the charter trusted here"
    # Unsigned, the paper is nobody's word.
    office.refuses("COIN_RELEASE_AUTHOR", "coin", "release", "--signed", paper)
    assert office.does("coin", "release", "--signed", signed)["officer"] == OFFICERS[0]
    assert states(office)[coin["outpoint"]] == ("mature", None)
    for wrong in ((), ("--signed", signed, "--reason", "x"), (coin["outpoint"], "--reason", "x")):
        assert office.types("coin", "release", *wrong).exit_code == 2
    office.refuses("COIN_UNKNOWN", "coin", "release", f"{'0' * 64}:0", *release[3:], "-o", office.new_path("x.json"))


# --- issuing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_out", "missing"), [("--payer", "payer"), ("--purpose", "purpose"), ("--class", "class")]
)
def test_an_address_is_not_issued_without_saying_what_for(office, left_out, missing):
    office.set_up()
    command = office.address_for("seized, case 17")
    at = command.index(left_out)
    message = office.refuses("DEPOSIT_UNSAID", *command[:at], *command[at + 2 :])
    assert message.endswith(f"missing: {missing}")
    assert office.types("vault", "addresses", "reserve").stdout.strip() == "no address was issued yet"


def test_a_class_is_one_label(office):
    office.set_up()
    office.refuses("CLASS_INVALID", *office.address_for("case 17", coin_class="Seized Coins"))
    office.refuses("TEXT_FORBIDDEN", *office.address_for("case 17", payer="Ministry\x1b[2J"))
    office.refuses("NAME_UNKNOWN", "vault", "addresses", "treasury")
    assert office.does("vault", "addresses", "reserve")["addresses"] == []


def test_the_same_payer_is_never_given_an_address_twice(office):
    office.set_up()
    first = office.does(*office.address_for("seized, case 17"))
    assert first["issued_before"] == []
    again = office.types(*office.address_for("seized, case 17"))
    assert again.exit_code == 0
    assert "index 0" in again.stderr
    assert "this one is new" in again.stderr
    assert again.stdout.strip() == office.cast.vault.address(0, 1) != first["address"]
    other = office.types(*office.address_for("seized, case 18"))
    assert "before" not in other.stderr
    assert office.does(*office.address_for("seized, case 17"))["issued_before"] == [0, 1]


# --- stating ----------------------------------------------------------------------------------------------------------


def test_no_paper_is_written_that_no_officer_would_sign(office):
    office.set_up()
    out = office.path("never.json")
    ask = ("vault", "statement", "reserve")
    office.refuses("ADDRESS_NOT_ISSUED", *ask, 0, "-o", out)
    office.does(*office.address_for("seized, case 17"))
    office.refuses("HISTORY_UNWITNESSED", *ask, 0, "-o", out)
    office.witnessed()
    office.does(*office.address_for("seized, case 18"))
    # The newest checkpoint does not hold the second one yet.
    message = office.refuses("ADDRESS_NOT_ISSUED", *ask, 1, "-o", out)
    assert "index 1" in message
    office.refuses("NAME_UNKNOWN", "vault", "statement", "treasury", 0, "-o", out)
    assert not Path(out).exists()
    assert office.types(*ask, 0).exit_code == 2
    office.does(*ask, 0, "-o", out)
    office.refuses("FILE_EXISTS", *ask, 0, "-o", out)


def test_the_coordinator_shows_who_has_signed_and_writes_a_fresh_paper(issued):
    first, said = stated_by(issued, OFFICERS[0], paper_for(issued))
    ask = ("vault", "statement", "reserve", 0)
    begun = issued.does(*ask, "--signed", first)
    assert (begun["signed"], begun["missing"], begun["needed"]) == ([OFFICERS[0]], list(OFFICERS[1:]), 1)
    assert begun["statement"] == said["statement"]
    # Meanwhile the log grew and the second officer's station has seen it: only a fresh paper shows enough.
    old = paper_for(issued, 0, "--signed", first)
    transfer = issued.does(*issued.address_for("seized, case 18"))
    issued.witnessed()
    second = OFFICERS[1]
    stated_by(issued, second, paper_for(issued, transfer["index"]))
    key = ("--key", issued.key(second), "--signed", first, "--yes", "-o", issued.path("never.json"))
    issued.refused_at(second, "HISTORY_STALE", "statement", old, *key)
    both, said = stated_by(issued, second, paper_for(issued, 0, "--signed", first), "--signed", first)
    done = issued.types(*ask, "--signed", both)
    assert "verify-statement" in done.stderr
    assert issued.does(*ask, "--signed", both)["is_enough"]
    issued.refuses("STATEMENT_MISMATCH", "vault", "statement", "reserve", 1, "--signed", both)


def test_a_station_does_not_sign_for_everybody_nor_everything(issued):
    paper, out = paper_for(issued), issued.path("never.json")
    officer = OFFICERS[0]
    issued.trusted_by(officer)
    for who in (REQUESTER, "coordinator"):
        issued.refused_at(officer, "STATEMENT_AUTHOR", "statement", paper, "--key", issued.key(who), "--yes", "-o", out)
    key = ("--key", issued.key(officer), "-o", out)
    issued.refused_at(officer, "DIGEST_MISMATCH", "statement", paper, *key, "--yes", "--words", WRONG)
    issued.refused_at(officer, "CONFIRMATION_NEEDED", "statement", paper, *key)
    issued.refused_at(officer, "STATEMENT_EXPIRED", "statement", paper, *key, "--yes", clock=Later(31 * DAY))
    issued.refused_at(officer, "FILE_KIND", "statement", issued.path("charter.json"), *key, "--yes")
    issued.refused_at("nobody", "STATION_UNTRUSTED", "statement", paper, *key, "--yes")
    # The coordinator puts its own address on the paper: the station derives another.
    swapped = json.loads(Path(paper).read_text())
    swapped["asked"]["address"] = "bcrt1qj3kxdlvzwdsdd9mv6yglgq2v02fmqsec3hpg5v"
    forged = Path(issued.path("forged.json"))
    forged.write_text(json.dumps(swapped, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    issued.refused_at(officer, "STATEMENT_MISMATCH", "statement", forged, *key, "--yes")
    issued.refused_at(officer, "STATEMENT_MISMATCH", "inspect", forged)
    assert not Path(out).exists()


def test_an_officer_reads_everything_before_the_question(issued):
    officer, paper = OFFICERS[0], paper_for(issued)
    issued.trusted_by(officer)
    out = issued.path("stated.json")
    result = issued.types_at(officer, "statement", paper, "--key", issued.key(officer), "--yes", "-o", out)
    assert result.exit_code == 0, result.output
    screen = result.stderr
    stated = bytes.fromhex(issued.does("vault", "statement", "reserve", 0, "--signed", out)["statement"])
    grouped = issued.cast.vault.address(0, 0)
    assert grouped in screen.replace(" ", "").replace("\n", "")
    for text in (
        DEPOSITOR,
        "seized, case 17",
        "derived here",
        "Not checked here",
        "cosigned by 1 of 1",
        *word_rows(stated),
    ):
        assert text in screen
    assert f"--signed {out}" in screen
    told = issued.at_station(officer, "inspect", out)
    assert told["signature"]["signed"] == officer
    assert told["signature"]["may still"] == ", ".join(OFFICERS[1:])
    assert issued.at_station("nobody", "inspect", out)["signature"]["signed by"].startswith("not checked")
    assert issued.at_station(officer, "inspect", paper)["kind"] == "statement-paper"


def test_without_witnesses_the_paper_says_so(open_office):
    office = open_office(Setting(is_witnessed=False))
    office.set_up()
    office.does(*office.address_for("seized, case 17"))
    paper = paper_for(office)
    office.trusted_by(OFFICERS[0])
    shown = office.types_at(OFFICERS[0], "inspect", paper).stdout
    assert "NOT WITNESSED" in shown
    assert "the charter names no witness" in shown


# --- verifying --------------------------------------------------------------------------------------------------------


def test_a_payer_is_not_misled(issued):
    paper = paper_for(issued, 0, "--days", 1)
    first, _ = stated_by(issued, OFFICERS[0], paper)
    both, _ = stated_by(issued, OFFICERS[1], paper, "--signed", first)
    card, words = card_of(issued)
    verify = ("verify-statement", both, card)
    # Wrong words are not answered with the right ones.
    assert words not in issued.refused_at("payer", "DIGEST_MISMATCH", *verify, "--words", WRONG)
    issued.refused_at("payer", "WORDS_NEEDED", *verify)
    told = (*verify, "--words", words)
    issued.refused_at("payer", "STATEMENT_MISMATCH", *told, "--payer", "Ministry of Finance")
    issued.refused_at("payer", "STATEMENT_MISMATCH", *told, "--address", issued.cast.vault.address(0, 1))
    issued.refused_at("payer", "STATEMENT_EXPIRED", *told, clock=Later(DAY))
    issued.refused_at("payer", "FILE_KIND", "verify-statement", paper, card, "--words", words)
    issued.refused_at("payer", "FILE_KIND", "verify-statement", both, both, "--words", words)
    shown = issued.types_at("payer", *told)
    assert shown.exit_code == 0
    assert "--payer compares" in shown.stdout
    assert f"{OFFICERS[0]}, {OFFICERS[1]}" in shown.stdout
    # Another institution's card, or one that somebody made up, has other words.
    forged = Path(issued.path("forged-card.json"))
    forged.write_text(Path(card).read_text().replace('"threshold":2', '"threshold":1'))
    issued.refused_at("payer", "DIGEST_MISMATCH", "verify-statement", first, forged, "--words", words)
    issued.refused_at(OFFICERS[0], "CARD_MISMATCH", "inspect", forged)


def listed_in(office, *lines: str) -> str:
    path = office.new_path("deposits.csv")
    Path(path).write_text("".join(f"{line}\n" for line in lines))
    return path


def test_many_addresses_are_issued_in_one_step_in_the_order_in_which_they_are_asked_for(office):
    office.set_up()
    vault = office.cast.vault
    same = office.does(*office.address_for("case 17"), "--count", 3)["addresses"]
    assert [(each["index"], each["address"]) for each in same] == [(at, vault.address(0, at)) for at in range(3)]
    rows = ("payer,purpose,class", "Ministry of Justice,case 17,seized", '"Mint, State",may 2026,mined', "A,b,bought")
    listed = office.does("vault", "address", "reserve", "--from", listed_in(office, *rows))["addresses"]
    assert [(each["index"], each["payer"], each["purpose"], each["class"]) for each in listed] == [
        (3, "Ministry of Justice", "case 17", "seized"),
        (4, "Mint, State", "may 2026", "mined"),
        (5, "A", "b", "bought"),
    ]
    assert [each["issued_before"] for each in listed] == [[0, 1, 2], [], []]
    given = office.does("vault", "addresses", "reserve")["addresses"]
    assert [each["payer"] for each in given] == [DEPOSITOR] * 4 + ["Mint, State", "A"]
    shown = office.types("vault", "address", "reserve", "--from", listed_in(office, *rows))
    assert "[Mint, State]" in shown.stdout
    assert vault.address(0, 8) in shown.stdout
    assert "Ministry of Justice was given index 0, 1, 2, 3 for this before" in shown.stderr


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        ((), "CSV_UNREADABLE", "line 1 "),
        (("payer,purpose,class",), "CSV_UNREADABLE", "line 2 "),
        (("payer,class,purpose", "A,b,c"), "CSV_UNREADABLE", "should be payer,purpose,class"),
        (("payer,purpose,class", "A,b,c", "A,b"), "CSV_UNREADABLE", "line 3 "),
        (("payer,purpose,class", "A,,c"), "CSV_UNREADABLE", "line 2 of the deposits file lacks its purpose"),
        (("payer;purpose;class", "A;b;c"), "CSV_SEPARATOR", "semicolons"),
        (("payer,purpose,class", "=A1,b,c"), "CSV_FORMULA", "line 2 "),
        (("payer,purpose,class", "A,b\u202e,c"), "TEXT_FORBIDDEN", "in line 2 "),
        (("payer,purpose,class", "A,b,c", "A,b,Seized"), "CLASS_INVALID", "Seized"),
        (("payer,purpose,class", *["A,b,c"] * 501), "DEPOSITS_TOO_MANY", "line 502 "),
    ],
)
def test_a_file_of_deposits_is_read_strictly_and_issues_all_or_none(office, lines, code, said):
    office.set_up()
    message = office.refuses(code, "vault", "address", "reserve", "--from", listed_in(office, *lines))
    assert said in message
    assert office.does("vault", "addresses", "reserve")["addresses"] == []


def test_a_wrong_class_is_told_with_its_line(office):
    office.set_up()
    path = listed_in(office, "payer,purpose,class", "A,b,c", "A,b,Seized")
    assert "where: line 3 of the deposits file" in office.types("vault", "address", "reserve", "--from", path).stderr


def test_what_a_file_says_is_not_said_beside_it(office):
    office.set_up()
    path = listed_in(office, "payer,purpose,class", "A,b,c")
    for more in (("--count", 2), ("--payer", "B"), ("--class", "mined")):
        assert office.types("vault", "address", "reserve", "--from", path, *more).exit_code == 2
    assert office.types(*office.address_for("x"), "--count", 501).exit_code == 2
