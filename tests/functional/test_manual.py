"""A manual page for each command of both programs, made from the commands, in roff that says what they say."""

import re

import click
import pytest

from custody.apps import cli, manual, station
from custody.apps.terminal import LazyGroup

PAGES = {**dict(manual.pages(cli.program)), **dict(manual.pages(station.program))}


def commands(program):
    """Each command with the name of its page."""

    def walk(group, title):
        yield title, group
        if isinstance(group, LazyGroup):
            for name in group.list_commands(None):
                yield from walk(group.get_command(None, name), f"{title}-{name}")

    return list(walk(program, program.name))


COMMANDS = [*commands(cli.program), *commands(station.program)]


def read(text):
    """Roff as a person reads it: marks for fonts gone, what was escaped in its own form."""
    return re.sub(r"\\f[BR]", "", text).replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


def test_there_is_a_page_for_each_command_and_no_other():
    assert {f"{title}.1" for title, _ in COMMANDS} == set(PAGES)


@pytest.mark.parametrize(("title", "command"), COMMANDS, ids=[title for title, _ in COMMANDS])
def test_a_page_says_what_the_command_says(title, command):
    text = PAGES[f"{title}.1"]
    shown = read(text)
    first = command.help.split("\n")[0]
    assert text.startswith(f'.TH "{title.upper()}" "1" ')
    assert f".SH NAME\n{title} - {first.rstrip('.')}\n" in shown
    assert all(option in shown for each in command.params if isinstance(each, click.Option) for option in each.opts)
    if isinstance(command, LazyGroup):
        assert all(f".TP\n{name}\n" in shown for name in command.list_commands(None))
    # Whatever begins a line with a point is one of our own requests.
    assert set(re.findall(r"^[.'].*?(?= |$)", text, re.MULTILINE)) <= {".TH", ".SH", ".PP", ".TP"}


def test_text_that_roff_would_obey_is_text():
    command = click.Command("odd", help=".so /etc/passwd\n\n'bd \\n(xx -1")
    text = manual.page(click.Context(command, info_name="odd"))
    assert "\n\\&.so /etc/passwd\n" in text
    assert "\n\\&'bd \\en(xx \\-1\n" in text


def test_pages_are_written_for_everybody_and_never_over_others(office):
    folder = office.folder / "man" / "man1"
    answer = office.does("man", folder)
    assert sorted(answer["pages"]) == sorted(each.name for each in folder.iterdir())
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o644}
    (folder / "custody.1").unlink()
    office.refuses("FILE_EXISTS", "man", folder)
    assert not (folder / "custody.1").exists()
    office.at_station("anybody", "man", folder)
    assert {each.name for each in folder.iterdir()} == set(PAGES) - set(answer["pages"]) | {
        each for each in answer["pages"] if each != "custody.1"
    }
