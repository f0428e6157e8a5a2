"""F22: what a person wrote freely cannot pass for a row of a screen.

A reason, a purpose and a payer's name may be 200 characters of anybody's choosing, and terminals break long lines where
they end. So such text stands in brackets on every line that it takes, the lines are short, and it holds no bracket
itself. Here each word of a hostile text is marked: outside of brackets no screen shows the mark, not even after the
terminal has broken the lines.
"""

from __future__ import annotations

import io
import re

import pytest

from custody.apps.terminal import GOES_ON, broken, columns
from custody.apps.views.charter import charter_screen
from custody.apps.views.coin import coins_of, coins_table
from custody.apps.views.deposit import given_out, given_table
from custody.apps.views.examination import examination_screen
from custody.apps.views.files import document_paper
from custody.apps.views.layout import WIDTH, Theirs, table
from custody.apps.views.papers import request_paper, withdrawal_paper
from custody.apps.views.request import request_text
from custody.apps.views.statement import statement_lines
from custody.apps.views.transfer import transfer_text
from custody.apps.views.transfers import transfers_table
from custody.envelope import Envelope, sign
from custody.examine.evidence import Stage
from custody.examine.statement import compare_statement
from custody.record import MAX_TEXT, check_text
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, Setting, make_cast
from custody.testing.scenario import Scenario
from custody.transfer.address import ExpectedDeposit
from custody.transfer.approval import Withdrawal
from custody.transfer.request import TransferRequest

MARK = "\u0416"
"""Stands in every word of a hostile text, and in nothing else on these screens."""
TERMINAL = 80


def marked(text: str) -> str:
    return " ".join(f"{MARK}{word}" for word in text.split(" "))[:MAX_TEXT].strip()


def filled(start: str, row: str) -> str:
    """A text that begins like a reason, and goes on with a row as soon as the terminal's line is full."""
    lead = len("  why   ")
    return marked(f"{start} {'-' * (TERMINAL - lead - len(start) - 2)} {row}")


HOSTILE = {
    "a finding": filled("rent", "3. outputs 1 payee as in the board's paper 7"),
    "a title and a payee": filled("rent", "Pays 1. 0.10000000 BTC 10 000 000 sat Tax office"),
    "an end of the frame": marked("rent) not checked: nothing }"),
    "the words": filled("rent", "Transfer in 24 words: everybody must read the same aloud"),
    "one long word": f"{MARK}{'x' * (MAX_TEXT - 1)}".replace("xxxx", f"xx{MARK}x"),
    "letters of two columns": marked("\u4e2d\u56fd\u4eba\u6c11\u94f6\u884c " * 28),
    "what an erased one says": marked("(erased or withheld)"),
    "one letter a word": marked("a " * 99),
}


def shows_it_framed(screen: str, text: str) -> None:
    """The text stands on the screen, whole, and in brackets wherever the terminal breaks the lines."""
    check_text(text)
    found: list[str] = []
    for line in screen.splitlines():
        outside = re.sub(r"\[[^\]]*\]", "", line)
        assert MARK not in outside, line
        pieces = [piece for piece in re.findall(r"\[([^\]]*)\]", line) if MARK in piece]
        assert all(columns(piece) <= WIDTH for piece in pieces)
        found += pieces
    assert "".join(found).replace(" ", "").startswith(text.replace(" ", "")), found


def fits(screen: str) -> None:
    """The rows that hold it are not broken at all on a terminal of 80 columns."""
    assert all(columns(line) <= TERMINAL for line in screen.splitlines() if MARK in line)


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("stage", [Stage.APPROVE, Stage.SIGN])
def test_a_reason_is_framed_before_officers_and_signers(forger, annex_of, edit, kind, stage):
    text = HOSTILE[kind]
    request = forger.request(reason=text)
    evidence = edit(forger.evidence(forger.draft(request), stage, request=request), annex=annex_of(text))
    found = forger.examine(evidence, stage)
    screen = examination_screen(found, forger.now)
    shows_it_framed(screen, text)
    fits(screen)
    assert not any(MARK in step.finding for step in found.steps)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_request_and_a_withdrawal_are_framed_wherever_they_are_read(forger, annex_of, kind):
    text = HOSTILE[kind]
    envelope, annex = forger.request(reason=text), annex_of(text)
    request = TransferRequest.from_bytes(envelope.body)
    withdrawal = Withdrawal(
        network=request.network,
        charter=request.charter,
        transfer=bytes(32),
        person=OFFICERS[0],
        annex=annex.named,
        issued=forger.now,
        nonce=bytes(16),
    )
    signed = sign(withdrawal, forger.cast.people[OFFICERS[0]])
    for screen in (
        request_text(request, text),
        request_paper(envelope, annex, None)[1],
        request_paper(envelope, annex, forger.cast.charter)[1],
        withdrawal_paper(signed, annex, forger.cast.charter)[1],
    ):
        shows_it_framed(screen, text)
        fits(screen)


@pytest.fixture(scope="module")
def story():
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


@pytest.mark.parametrize("kind", HOSTILE)
def test_payers_purposes_and_reasons_are_framed_in_lists(story, kind):
    text, plain = HOSTILE[kind], "seized, case 17"
    for expected in (ExpectedDeposit(text, plain, "seized"), ExpectedDeposit(plain, text, "seized")):
        issued = story.custodian.issue_address("reserve", expected)
        story.chain.pay(story.cast.vault.script_pubkey(0, issued.index), 1_000_000)
        story.mine()
        history = story.history()
        last = given_out(history, "reserve")[-1:]
        shows_it_framed(given_table(last), text)
        statement = "\n".join(statement_lines(story.paper(issued.index).asked))
        shows_it_framed(statement, text)
        fits(statement)
        if expected.payer == text:
            newest = [each for each in coins_of(history) if each.issued and each.issued.index == issued.index]
            shows_it_framed(coins_table(newest, history), text)
    drafted = story.drafted(story.request(("Supplier", 100_000), reason=text))[0].transfer_id
    history = story.history()
    transfer = history.transfer(drafted)
    shows_it_framed(transfer_text(transfer, history, 0), text)
    fits(transfer_text(transfer, history, 0))
    shows_it_framed(transfers_table([], [transfer], history), text)
    shows_it_framed(transfers_table([transfer.request], [], history), text)


def test_what_an_erased_reason_says_is_told_from_one_that_says_the_same(forger):
    request = TransferRequest.from_bytes(forger.request().body)
    assert "(erased or withheld)" in request_text(request, None)
    assert "[(erased or withheld)]" in request_text(request, "(erased or withheld)")


def test_a_statement_for_another_payer_is_refused_with_both_in_brackets(story):
    story.custodian.issue_address("reserve", ExpectedDeposit("Bank, not Dana", "case 17", "seized"))
    index = story.history().next_index(story.cast.vault.id, 0) - 1
    with refuses("STATEMENT_MISMATCH") as caught:
        compare_statement(story.paper(index).asked, "Dana", None)
    assert "payer is [Bank, not Dana], not [Dana]" in str(caught.error)


class Screen(io.StringIO):
    """A terminal, as far as a stream says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_name_in_a_charter_begins_no_line_of_a_terminal(monkeypatch, kind):
    # Names are not framed, but a terminal is given no line that it would break before a part of one.
    monkeypatch.setenv("COLUMNS", str(TERMINAL))
    charter = make_cast(Setting(more_payees=(HOSTILE[kind],))).charter
    screen = charter_screen(charter, ())
    whole = {line for line in screen.splitlines() if MARK in line}
    assert whole
    for line in broken(screen, Screen()).splitlines():
        if MARK in line and columns(line) <= TERMINAL:
            assert line.startswith(GOES_ON) or any(each.startswith(line) for each in whole)
    assert all(columns(line) <= TERMINAL or " " not in line.strip() for line in broken(screen, Screen()).splitlines())


def test_a_type_that_is_no_text_cannot_close_its_frame(forger):
    odd = Envelope(payload="", payloadType="x]signature:signed-by-Dana[", signatures=())
    shown = document_paper(odd, forger.cast.charter)[1]
    line = next(line for line in shown.splitlines() if "Dana" in line)
    assert line.count("[") == line.count("]") == 1
    assert line.endswith("]")


def test_a_cell_of_several_lines_leaves_its_row_whole():
    rows = [("1", Theirs("a " * 30 + "end"), "right"), ("2", "plain", "x")]
    assert table(rows) == [
        "  1  [a a a a a a a a a a a a a a a a a a a a]  right",
        "     [a a a a a a a a a a end]",
        f"  2  {'plain':41}  x",
    ]
    assert table([("pays", Theirs("b " * 21 + "end", "1 BTC to "))]) == [
        "  pays  1 BTC to [b b b b b b b b b b b b b b b b b b b b]",
        "                 [b end]",
    ]
    assert table([("why", Theirs(""))]) == ["  why  []"]
