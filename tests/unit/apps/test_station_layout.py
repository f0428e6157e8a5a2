"""How one fact stands on the station's terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.apps import terminal
from custody.apps.views import layout
from custody.apps.views.layout import Theirs
from custody.dates import moment


@given(st.text())
def test_nothing_a_terminal_acts_on_is_left_in_a_text(text):
    shown = layout.plain(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("two\nlines", "two\\nlines"),
        ("\u00a0", "\\xa0"),
        ("[bold]Supplier[/bold]", "[bold]Supplier[/bold]"),
        ("\u0410\u0439\u0433\u0435\u0440\u0456\u043c", "\u0410\u0439\u0433\u0435\u0440\u0456\u043c"),
    ],
)
def test_a_character_that_hides_or_moves_stands_as_its_escape_and_markup_as_itself(text, shown):
    assert layout.plain(text) == shown


@given(st.text(alphabet="abcdefghjkmnpqrstuvwxyz023456789", min_size=1, max_size=120))
def test_grouping_an_address_loses_no_character(address):
    lines = layout.grouped(address)
    assert "".join(lines).replace(" ", "") == address
    assert all(len(group) == 4 for line in lines for group in line.split(" ")[:-1])
    assert all(len(line) <= 54 for line in lines)


def test_a_short_address_stands_on_one_line_and_a_long_one_on_two():
    assert len(layout.grouped("b" * 42)) == 1
    assert [len(line) for line in layout.grouped("b" * 64)] == [39, 39]


def test_amounts_are_whole_sats_and_btc():
    assert layout.sats(2_100_000_000_000_000) == "2 100 000 000 000 000 sat"
    assert layout.bitcoin(25_000_001) == "0.25000001 BTC"
    assert layout.bitcoin(-1) == "-0.00000001 BTC"


def test_a_rate_is_not_rounded():
    assert layout.rate(5_001) == "5.001 sat/vB"


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_a_share_is_never_shown_smaller_than_it_is(part, whole):
    shown = layout.share(part, whole)
    hundredths = int(shown.removesuffix(" %").replace(".", ""))
    assert hundredths * whole >= part * 10_000 > (hundredths - 1) * whole


def test_a_share_of_nothing_is_all():
    assert layout.share(5, 0) == "all"


@given(st.integers(-(2**70), 2**70))
def test_no_number_is_too_late_to_be_shown_as_a_time(seconds):
    assert moment(seconds).isprintable()


def test_times_are_utc():
    assert moment(1_735_689_600) == "2025-01-01 00:00 UTC"
    assert moment(2**40) == "1099511627776 (Unix seconds)"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "less than a minute"), (60, "1 minute"), (7_199, "1 hour"), (86_400, "1 day"), (200_000, "2 days")],
)
def test_a_span_is_told_in_its_largest_unit(seconds, shown):
    assert layout.span(seconds) == shown


def test_columns_line_up_and_cells_are_escaped():
    assert layout.table([("a", "1"), ("long", "22\x1b")], right=frozenset({1})) == ["  a          1", "  long  22\\x1b"]
    assert layout.table([]) == []


def test_a_block_without_lines_takes_no_room():
    assert layout.screen("one", layout.block("title", []), "two") == "one\n\ntwo"


@pytest.mark.parametrize(
    ("text", "count"),
    [("abc", 3), ("\u4e2d\u56fd", 4), ("\uff21b", 3), ("\u05de\u05b9\u05e9\u05c1\u05d4", 3), ("\u049a\u0430\u0437", 3)],
)
def test_columns_are_counted_as_a_terminal_draws_them(text, count):
    assert terminal.columns(text) == count


@given(st.text(st.sampled_from("ab \u4e2d\u0436\u05d0\u05b8-"), max_size=200))
def test_what_somebody_wrote_is_framed_line_by_line_and_no_character_is_lost(text):
    lines = layout.Theirs(text).lines()
    assert all(line[0] == "[" and line[-1] == "]" for line in lines)
    assert all(terminal.columns(line) <= layout.WIDTH + 2 for line in lines)
    assert "".join(line[1:-1] for line in lines).replace(" ", "") == text.replace(" ", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ROWS = [
    ("id", "state", "why"),
    ("0123456789ab", "confirmed", Theirs("an invoice of the third quarter")),
    ("cd", "", ""),
]


def test_where_a_terminal_is_narrow_the_last_columns_go_on_below(monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    assert layout.table(ROWS) == [
        "  id            state",
        "      why",
        "  0123456789ab  confirmed",
        "      [an invoice of the third quarter]",
        "  cd",
    ]
    monkeypatch.setenv("COLUMNS", "20")
    assert layout.table(ROWS)[:4] == ["  id", "      state", "      why", "  0123456789ab"]
    # As wide as all of it is wide enough.
    monkeypatch.setenv("COLUMNS", str(2 + 12 + 2 + 9 + 2 + 33))
    whole = layout.table(ROWS)
    assert len(whole) == 3
    monkeypatch.setenv("COLUMNS", str(2 + 12 + 2 + 9 + 2 + 32))
    assert len(layout.table(ROWS)) == 5
    # A pipe and a file get every row on its line.
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert layout.table(ROWS) == whole
