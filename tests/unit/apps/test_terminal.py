"""How the two programs print, ask and fail."""

import io
import json
import sys

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from custody.apps import asking, passphrase, terminal
from custody.apps.asking import confirm, read_words
from custody.apps.passphrase import read_passphrase
from custody.apps.terminal import (
    GOES_ON,
    Lazy,
    LazyGroup,
    Program,
    Verb,
    broken,
    columns,
    output,
    passphrase_option,
    plain,
    write_output,
)
from custody.errors import CustodyError
from custody.examine.examination import DecisionDiffers
from custody.testing.asserts import refuses
from custody.units import AmountRange

HOSTILE = "\x1b[2J\u202egnp.exe\r\x07\u2066"


@click.command(cls=Verb)
@click.argument("what")
@passphrase_option()
def act(*, what, passphrase_file):  # noqa: ARG001 - asked for, not needed
    """Do what the test says.

    More about it.
    """
    match what:
        case "emit":
            output().emit({"b": 1, "a": [True, None, HOSTILE]}, f"said {HOSTILE}")
            output().talk(f"talk {HOSTILE}")
            output().next_step("go on")
        case "input":
            raise AmountRange(amount=-1)
        case "refuse":
            raise DecisionDiffers(logged=HOSTILE, own="b")
        case "abort":
            raise click.Abort
        case "interrupt":
            raise KeyboardInterrupt
        case "bytes":
            write_output("-", b"\x00\xff")
            output().emit({"written": 2}, "two bytes")
        case "bug":
            raise ZeroDivisionError("with secret 123")


TABLE = {"act": Lazy(f"{__name__}:act", "Do what the test says."), "deep": LazyGroup("deep", "Deeper.", {})}
PROGRAM = Program(
    "prog",
    "A program.",
    TABLE | {"lost": Lazy("nowhere_at_all.module:act", "Gone.")},
    other="custody.apps.station:program",
)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())


def _this():
    module = type(sys)(__name__)
    module.act = act
    return module


def run(*arguments):
    return CliRunner().invoke(PROGRAM, list(arguments))


def test_data_goes_to_stdout_and_talk_to_stderr():
    result = run("act", "emit")
    assert result.exit_code == 0
    assert result.stdout.startswith("said ")
    assert result.stderr.splitlines()[0].startswith("talk ")
    assert result.stderr.splitlines()[1] == "next: go on"


@pytest.mark.parametrize("arguments", [("--json", "act", "emit"), ("act", "--json", "emit"), ("act", "emit", "--json")])
def test_json_is_sorted_and_complete_wherever_the_option_stands(arguments):
    result = run(*arguments)
    assert json.loads(result.stdout) == {"a": [True, None, HOSTILE], "b": 1}
    assert result.stdout.index('"a"') < result.stdout.index('"b"')
    assert "next:" not in result.stderr


@pytest.mark.parametrize("arguments", [("act", "emit"), ("act", "emit", "--json"), ("act", "refuse")])
def test_no_character_that_a_terminal_acts_on_is_printed(arguments):
    result = run(*arguments)
    assert (result.stdout + result.stderr).replace("\n", "").isprintable()


@given(st.text(max_size=60))
def test_plain_text_is_printable_and_printable_text_is_left_alone(text):
    shown = plain(text)
    assert shown.replace("\n", "").isprintable()
    if text.replace("\n", "").isprintable():
        assert shown == text


@pytest.mark.parametrize(("what", "code", "status"), [("input", "AMOUNT_RANGE", 3), ("refuse", "DECISION_DIFFERS", 4)])
def test_an_error_prints_code_message_and_advice_and_ends_with_its_branchs_code(what, code, status):
    result = run("act", what)
    assert (result.exit_code, result.stdout) == (status, "")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"error {code}: ")
    assert second.startswith("  what to do: ")
    as_json = run("act", what, "--json")
    assert as_json.exit_code == status
    error = json.loads(as_json.stdout)["error"]
    assert (sorted(error), error["code"]) == (["code", "hint", "message"], code)


def test_wrong_usage_ends_with_2_as_text_and_as_json():
    assert run("act").exit_code == 2
    assert run("nonsense").exit_code == 2
    result = run("act", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (2, "USAGE")


@pytest.mark.parametrize("what", ["abort", "interrupt"])
def test_an_interruption_ends_tidily_with_130(what):
    result = run("act", what)
    assert (result.exit_code, result.stdout) == (130, "")
    assert "stopped" in result.stderr


def test_a_file_on_stdout_is_alone_there():
    result = run("act", "bytes")
    assert result.stdout_bytes == b"\x00\xff"
    assert result.stderr == "two bytes\n"


def test_a_bug_is_reported_in_a_line_without_its_values(capsys):
    with pytest.raises(ZeroDivisionError) as caught:
        raise ZeroDivisionError("with secret 123")
    terminal._report_bug(caught.type, caught.value, caught.value.__traceback__)
    shown = capsys.readouterr().err
    assert "UNEXPECTED" in shown
    assert "ZeroDivisionError at test_terminal.py:" in shown
    assert "secret" not in shown


def test_a_missing_package_is_named_with_how_to_install_it():
    result = run("lost")
    assert result.exit_code == 3
    assert "error EXTRA_MISSING: this needs the package nowhere_at_all" in result.stderr
    assert "pip install" in result.stderr


def test_help_lists_commands_by_their_static_lines_without_loading_them():
    result = run("--help")
    assert result.exit_code == 0
    assert "Gone." in result.stdout
    assert "Do what the test says." in result.stdout
    assert "Deeper." in result.stdout
    assert "More about it." in run("act", "--help").stdout


def test_words_from_the_command_line_are_joined_and_asked_for_otherwise():
    assert read_words(["abandon", "about"], "the charter") == "abandon about"
    with refuses("WORDS_NEEDED"):
        read_words([], "the charter")


def attended(monkeypatch, *, is_so: bool) -> None:
    for each in (asking, passphrase):
        monkeypatch.setattr(each, "is_attended", lambda: is_so)


def test_nobody_there_to_ask_is_an_error_and_not_a_default(monkeypatch):
    attended(monkeypatch, is_so=False)
    with refuses("PASSPHRASE_NEEDED"):
        read_passphrase(None, "the key file Dana")
    with refuses("CONFIRMATION_NEEDED"):
        confirm("Approve?", is_given=False)
    confirm("Approve?", is_given=True)


@pytest.mark.parametrize(("answer", "passes"), [("yes", True), (" YES ", True), ("y", False), ("no", False)])
def test_only_yes_is_yes(monkeypatch, answer, passes):
    attended(monkeypatch, is_so=True)
    monkeypatch.setattr(click, "prompt", lambda *_, **__: answer)
    if passes:
        confirm("Approve?", is_given=False)
        return
    with refuses("NOT_CONFIRMED"):
        confirm("Approve?", is_given=False)


def test_a_new_passphrase_is_typed_twice_the_same(monkeypatch):
    attended(monkeypatch, is_so=True)
    typed = iter(["correct horse", "correct horse", "correct horse", "correct house"])
    monkeypatch.setattr(click, "prompt", lambda *_, **__: next(typed))
    assert read_passphrase(None, "the key", is_new=True) == b"correct horse"
    with refuses("PASSPHRASE_DIFFERS") as caught:
        read_passphrase(None, "the key", is_new=True)
    assert "horse" not in f"{caught.error!r}"


def test_every_error_of_the_terminal_says_what_to_do():
    found = [*vars(terminal).values(), *vars(asking).values()]
    own = [each for each in found if isinstance(each, type) and issubclass(each, CustodyError)]
    leaves = [each for each in own if each.__module__ in (terminal.__name__, asking.__name__)]
    assert len(leaves) == 7
    assert all(each.hint and each.message for each in leaves)


# --- long lines -------------------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    """A terminal, as far as a stream says it is one."""

    def isatty(self) -> bool:
        return True


@given(st.lists(st.text(st.sampled_from("ab \u4e2d\u0436-"), max_size=300), max_size=4), st.integers(20, 120))
def test_a_terminal_never_has_a_line_to_break_unless_it_is_one_word(lines, width):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        told = broken("\n".join(lines), Screen()).split("\n")
    assert all(columns(line) <= width or " " not in line.strip() for line in told)
    whole: list[str] = []
    for line in told:
        if line.startswith(GOES_ON):
            whole[-1] += line.removeprefix(GOES_ON)
        else:
            whole.append(line)
    assert "\n".join(whole) == "\n".join(lines)


def test_files_and_pipes_get_lines_as_they_are():
    assert broken("a " * 200, io.StringIO()) == "a " * 200
