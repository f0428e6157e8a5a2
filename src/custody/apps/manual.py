"""How do a person's shell and `man` learn of a program? Its completions, and a manual page for each command.

Both are made from the commands themselves. Pages are roff for section 1, named as git names its own
(`custody-transfer-draft.1`). Source: man-pages(7), groff_man(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import click

from custody.apps.completion import SHELLS, source
from custody.apps.terminal import LazyGroup, Verb, output, shown, write_output

_MODE: Final = 0o644
"""Everybody on the machine may read a manual."""
_EXITS: Final = (
    ("0", "It is done."),
    ("1", "A mistake in the program."),
    ("2", "Wrong usage of the command line."),
    ("3", "The input is wrong: fix it and try again."),
    ("4", "A rule said no."),
    ("5", "Something outside failed; the same command may work later."),
    ("6", "Records disagree, or everything is frozen: stop, and call a person."),
    ("130", "Interrupted."),
)


@click.command(cls=Verb)
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("-o", "--out", metavar="FILE", default="-", help="Write it to a new FILE, else to stdout.")
def completion(shell: str, out: str) -> None:
    """Print what a shell needs to complete commands.

    For bash: eval "$(PROGRAM completion bash)" in ~/.bashrc; for zsh the same in ~/.zshrc after compinit; for fish:
    PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish. Ids and names come from what is stored here;
    completing writes nothing, asks for no passphrase and touches no device.
    """
    program = click.get_current_context().find_root().command
    text = source(shell, program, program.name or "")
    if output().is_json:
        output().emit({"shell": shell, "source": text}, text)
        return
    write_output(out, text.encode("utf-8"))


@click.command(cls=Verb)
@click.argument("folder", metavar="DIR")
def man(folder: str) -> None:
    """Write a manual page for each command to a folder.

    The folder is made if it is not there; pages that stand in it already are left alone, and the command is refused. To
    read them: man -M, or any folder called man1 in a place that man searches, such as ~/.local/share/man/man1.
    """
    from custody.apps.files import refuse_existing  # noqa: PLC0415 - as below
    from custody.backends.files import write_new  # noqa: PLC0415 - records take long to load, and --help needs none
    from custody.ports import FileUnusable  # noqa: PLC0415

    where = Path(folder)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileUnusable(path=shown(where), reason=error.strerror or type(error).__name__) from None
    made = dict(pages(click.get_current_context().find_root().command))
    for name in made:
        refuse_existing(str(where / name))
    for name, text in made.items():
        write_new(where / name, text.encode("utf-8"), _MODE)
    output().emit({"folder": str(where), "pages": list(made)}, f"{len(made)} pages in {shown(where)}")


def pages(program: click.Command) -> Iterator[tuple[str, str]]:
    """The file name and text of each page of a program, its own first."""
    yield from _pages(click.Context(program, info_name=program.name))


def _pages(context: click.Context) -> Iterator[tuple[str, str]]:
    yield f"{_title(context)}.1", page(context)
    for name, each in _commands(context):
        yield from _pages(click.Context(each, info_name=name, parent=context))


def _commands(context: click.Context) -> list[tuple[str, click.Command]]:
    group = context.command
    if not isinstance(group, LazyGroup):
        return []
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return [(name, each) for name, each in found if each is not None]


def page(context: click.Context) -> str:
    """The manual page of one command or group of commands."""
    command, title = context.command, _title(context)
    first, *more = _paragraphs(command.help or "")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{title.upper()}" "1" "" "custody {_version()}" "custody"',
        ".SH NAME",
        f"{_text(title)} \\- {_text(first.rstrip('.'))}",
        ".SH SYNOPSIS",
        f"\\fB{_text(context.command_path)}\\fR {_text(usage)}",
        ".SH DESCRIPTION",
        *_told([first, *more]),
        ".SH OPTIONS",
        *_options(context),
    ]
    commands = _commands(context)
    if commands:
        lines.append(".SH COMMANDS")
        for name, each in commands:
            lines += [".TP", f"\\fB{_text(name)}\\fR", _text(_paragraphs(each.help or "")[0])]
    if context.parent is None:
        lines.append(".SH EXIT STATUS")
        for code, meaning in _EXITS:
            lines += [".TP", f"\\fB{code}\\fR", _text(meaning)]
    beside = [f"{title}-{name}" for name, _ in commands]
    if context.parent is not None:
        beside.insert(0, _title(context.parent))
    lines.append(".SH SEE ALSO")
    lines += [f"\\fB{_text(each)}\\fR(1){',' if each != beside[-1] else ''}" for each in beside]
    return "\n".join(lines) + "\n"


def _options(context: click.Context) -> Iterator[str]:
    for each in context.command.get_params(context):
        record = each.get_help_record(context)
        if record is not None:
            yield ".TP"
            yield f"\\fB{_text(record[0])}\\fR"
            yield _text(record[1])


def _told(paragraphs: list[str]) -> Iterator[str]:
    for each in paragraphs:
        yield ".PP"
        yield _text(each)


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a help text, each in one line; click's marks for what is not to be wrapped are taken out."""
    found = (" ".join(each.replace("\b", "").split()) for each in re.split(r"\n\s*\n", text.strip()))
    return [each for each in found if each] or [""]


def _text(text: str) -> str:
    """Text as roff reads it: no character of it is a command."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _title(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _version() -> str:
    try:
        return version("custody")
    except PackageNotFoundError:
        return ""
