"""How do our two programs speak with a person at a terminal, or with a script?

1. Data goes to stdout, talk (prompts, hints, what to do next) to stderr. With `--json` the data is JSON: sorted keys,
   whole sats, lower-case hexadecimal.
2. An error on purpose prints its code, its message and what to do, and ends with its branch's exit code: 3 input, 4
   refused, 5 outside, 6 integrity. 2 is wrong usage, 130 an interruption, 1 a bug. While everything stands still,
   every answer about the log says so beside its own, and commands that watch end with 6.
3. No character that a terminal acts on is ever printed: files and the log carry text from outside. A terminal does not
   break our lines either: where they are too long, they are broken here, and what goes on is marked.
4. No file is overwritten; `-` is stdin or stdout.
5. `--help` loads nothing but click: a group knows its commands by name and first line, and imports one to use it.
6. Nothing that prints can fail (`streams`): when a command is over, the exit code 5 says that stdout did not hold all
   of it. A reader who left is no failure.
7. No secret that was pasted where it does not belong is printed, kept or acted upon (`pasted`).

How a passphrase is read stands in `passphrase`. What the commands do stands elsewhere. Exit codes: `custody.errors`.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar

import click

from custody.apps.pasted import refuse_pasted, refuse_pasted_in
from custody.apps.streams import Patient, occupy_closed, patient
from custody.errors import BackendError, CustodyError
from custody.extras import extra_missing

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

JsonValue: TypeAlias = "bool | int | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"

USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130
FROZEN_EXIT: Final = 6
"""As for records that disagree: stop, and call a person."""
FROZEN_BY: Final = "frozen_by"
PASSPHRASE_VARIABLE: Final = "CUSTODY_PASSPHRASE_FILE"  # noqa: S105 - the variable's name
DEBUG_VARIABLE: Final = "CUSTODY_DEBUG"
STANDARD: Final = "-"
"""The file name that stands for stdin or stdout."""


class OutputLost(BackendError, code="OUTPUT_LOST"):
    """Output that did not arrive where stdout leads."""

    message = "not all that this command had to say could be written to stdout: {reason}"
    hint = (
        "What the command does, it has done: look at what stands in the log before you repeat it (custody transfer "
        "list, custody vault addresses). Then write to where there is room, or to a file with -o."
    )
    reason: str


class ReaderLeft(BackendError, code="READER_LEFT"):
    """Whoever read what was written has left before its end. They know: it is the one error that is not told."""

    message = "whoever read stdout left before all of it was written"
    hint = "Read all of it, or write to a file with -o FILE."


# --- what is printed --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Output:
    """Where a command's data and talk go. Get it with `output()`."""

    is_json: bool = False
    is_stdout_taken: bool = False
    """Whether a file's bytes go to stdout; what else there is to say then goes to stderr."""
    standing: dict[str, JsonValue] = field(default_factory=dict)
    """What every answer of this command says beside its own: why everything stands still, where that is known."""
    is_watching: bool = False
    """Whether this command's exit code says that everything stands still, whatever else came of it."""

    def freeze(self, why: str | None) -> None:
        """Say with every answer that everything stands still, and why; None is that nothing does."""
        if why is not None and self.standing.get(FROZEN_BY) != why:
            self.talk(f"FROZEN: {why}")
        self.standing[FROZEN_BY] = why

    def exit_code(self, ended: int) -> int:
        """What the program ends with: `ended`, or what calls a person while everything stands still."""
        return FROZEN_EXIT if self.is_watching and self.standing.get(FROZEN_BY) is not None else ended

    def emit(self, data: JsonValue, text: str | Callable[[], str]) -> None:
        """The command's answer: `data` with `--json`, otherwise `text` (made only then)."""
        if self.is_json:
            # What another program reads as a list stays one.
            answer = {**data, **self.standing} if isinstance(data, Mapping) else data
            shown = json.dumps(answer, sort_keys=True, indent=2, ensure_ascii=True, allow_nan=False)
        else:
            stream = sys.stderr if self.is_stdout_taken else sys.stdout
            shown = broken(plain(text if isinstance(text, str) else text()), stream)
        click.echo(shown, err=self.is_stdout_taken)

    def talk(self, text: str) -> None:
        """Something for a person only: it stands on stderr."""
        click.echo(broken(plain(text), sys.stderr), err=True)

    def progress(self, text: str) -> None:
        """How far a long task has come: said at a terminal only."""
        if sys.stderr.isatty():
            self.talk(text)

    def next_step(self, text: str) -> None:
        """What a person would do next. Scripts are not told."""
        if not self.is_json:
            self.talk(f"next: {text}")


_META_KEY: Final = "custody.terminal.output"


def output() -> Output:
    """The output of the command that is running."""
    meta = click.get_current_context().meta
    found = meta.setdefault(_META_KEY, Output())
    if not isinstance(found, Output):
        raise TypeError("another object stands in the output's place")
    return found


def plain(text: str) -> str:
    """`text` with every character that a terminal could act on written out; line breaks stay.

    The type `Text` keeps such characters out of records (THREATS F13); this holds for what is in no record.
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(each if each == "\n" or each.isprintable() else ascii(each)[1:-1] for each in text)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: marks take none, and letters of East Asian scripts take two."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def room(stream: IO[str] | None = None) -> int | None:
    """How many columns a line on `stream`, else on stdout, may take; None where nobody counts them."""
    to = sys.stdout if stream is None else stream
    return max(shutil.get_terminal_size().columns, 2 * len(GOES_ON)) if to.isatty() else None


GOES_ON: Final = "  ... "
"""Begins what goes on from the line above; no line of ours begins so."""


def broken(text: str, stream: IO[str]) -> str:
    """`text` as it is written to `stream`: at a terminal, long lines are broken here, and what goes on is marked.

    The terminal would break them too, and begin a line with whatever stands there: a part of a name that somebody chose
    so that it reads like a line of ours (THREATS F22). A line without blanks, such as a descriptor, is left whole.
    """
    width = room(stream)
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _parts(line, width))


def _parts(line: str, width: int) -> Iterator[str]:
    if columns(line) <= width or " " not in line.strip():
        yield line
        return
    part, used = "", 0
    for each in line:
        if used + _columns(each) > width:
            yield part
            part, used = GOES_ON, len(GOES_ON)
        part += each
        used += _columns(each)
    yield part


def shown(path: Path | str) -> str:
    """A path for a message: names come from outside and may hold escape codes."""
    return ascii(os.fspath(path))[1:-1]


# --- files ------------------------------------------------------------------------------------------------------------


def read_input(path: str, cap: int) -> bytes:
    """Contents of the file at `path`, or of stdin for `-`, at most `cap` bytes.

    Raises:
        FileMissing, FileTooLarge, FileUnusable: see `backends.files`.
    """
    from custody.backends.files import read_file  # noqa: PLC0415 - records take long to load, and --help needs none
    from custody.ports import FileTooLarge, FileUnusable  # noqa: PLC0415

    if path != STANDARD:
        return read_file(Path(path), cap)
    try:
        data = b"" if sys.stdin is None else sys.stdin.buffer.read(cap + 1)
    except OSError as error:
        raise FileUnusable(path="stdin", reason=error.strerror or type(error).__name__) from None
    if len(data) > cap:
        raise FileTooLarge(path="stdin", limit=cap)
    return data


def write_output(path: str, data: bytes | Iterable[bytes]) -> None:
    """Write `data`, at once or in pieces, to a new file at `path` (0600), or to stdout for `-`.

    Raises:
        FileExists, FileMissing, FileUnusable: see `backends.files`.
        OutputLost, ReaderLeft: stdout did not take all of it, and nothing else may come of it.
    """
    from custody.backends.files import write_new  # noqa: PLC0415 - as above

    if path != STANDARD:
        write_new(Path(path), data)
        return
    output().is_stdout_taken = True
    for piece in [data] if isinstance(data, bytes) else data:
        sys.stdout.buffer.write(piece)
        refuse_lost(sys.stdout, needs_reader=True)
    sys.stdout.buffer.flush()
    refuse_lost(sys.stdout, needs_reader=True)


# --- commands ---------------------------------------------------------------------------------------------------------

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_Decorator: TypeAlias = Callable[[_Decorated], _Decorated]


def passphrase_option(what: str = "the key file") -> _Decorator[Any]:
    """`--passphrase-file`, given to the command as `passphrase_file`."""
    return click.option(
        "--passphrase-file",
        metavar="FILE",
        envvar=PASSPHRASE_VARIABLE,
        help=f"Read the passphrase of {what} from the first line of FILE; otherwise it is asked for.",
    )


def out_option(what: str, *, is_required: bool = True) -> _Decorator[Any]:
    """`-o`, given to the command as `out`."""
    return click.option(
        "-o", "--out", metavar="FILE", required=is_required, help=f"Write {what} to a new FILE, or to - ."
    )


def yes_option() -> _Decorator[Any]:
    """`--yes`, given to the command as `is_confirmed`."""
    return click.option("--yes", "is_confirmed", is_flag=True, help="Do not ask: you have read it and mean it.")


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's callback
    if value:
        with context.scope(cleanup=False):
            output().is_json = True


def json_option() -> click.Option:
    """`--json`, for a program and for each of its commands."""
    return click.Option(
        ["--json"], is_flag=True, expose_value=False, is_eager=True, callback=_set_json, help="Print JSON."
    )


_CONTEXT: Final[Mapping[str, Any]] = {"help_option_names": ["-h", "--help"]}


class Verb(click.Command):
    """A command that takes `--json`. Use it as `@click.command(cls=Verb)`."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 - click's own signature
        keywords["context_settings"] = {**_CONTEXT, **(keywords.get("context_settings") or {})}
        super().__init__(*arguments, **keywords)
        self.params.append(json_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what was typed; where a shell is completing it, have parameters offer what they name."""
        if ctx.resilient_parsing:
            from custody.apps.completion import offer  # noqa: PLC0415 - only needed here

            offer(self.params, ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run the command, unless a secret stands among what it was given."""
        refuse_pasted(ctx)
        return super().invoke(ctx)


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command by where it stands (`module:name`), and the first line of its help, known without loading it."""

    target: str
    help: str


class LazyGroup(click.Group):
    """A group that imports a command when it is used. `table` gives commands in the order in which help shows them."""

    def __init__(self, name: str, help: str, table: Mapping[str, Lazy | LazyGroup], epilog: str = "") -> None:  # noqa: A002 - click's name
        super().__init__(name=name, help=help, epilog=epilog or None, context_settings=dict(_CONTEXT))
        self.table: Final = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command, imported; None when there is none."""
        found = self.table.get(cmd_name)
        return _load(found) if isinstance(found, Lazy) else found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's own, but that a name which is not there is answered with where to find it, or what is like it."""
        given = args[0]
        if given not in self.table and given[:1].isalpha():
            raise click.UsageError(f"No such command {given!r}{_elsewhere(given, ctx) or self._like(given)}", ctx)
        return super().resolve_command(ctx, args)

    def _like(self, given: str) -> str:
        from custody.likely import did_you_mean  # noqa: PLC0415 - nobody needs it who types well

        return did_you_mean(given, self.table) or "."

    def places_of(self, name: str, path: str) -> Iterator[str]:
        """Every command of this name, as it is typed behind `path`."""
        for each, found in self.table.items():
            if each == name:
                yield f"{path} {each}"
            if isinstance(found, LazyGroup):
                yield from found.places_of(name, f"{path} {each}")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands that begin so, from the table alone, or options."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only needed here

        found = [
            CompletionItem(name, help=(each.help or "").partition("\n")[0])
            for name, each in self.table.items()
            if name.startswith(incomplete)
        ]
        return found or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The list of commands, from the table alone."""
        rows = [(name, (each.help or "").partition("\n")[0]) for name, each in self.table.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _elsewhere(name: str, ctx: click.Context) -> str:
    """Where this program or the other has a command of this name; empty when neither has."""
    own = ctx.find_root().command
    programs = [own, own.other()] if isinstance(own, Program) else []
    found = [f"'{place}'" for each in programs for place in each.places_of(name, each.name or "")]
    return f"; there is {' and '.join(found)}." if found else ""


def _load(lazy: Lazy) -> click.Command:
    module, _, name = lazy.target.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not isinstance(found, click.Command):
        raise TypeError(f"{lazy.target} is no command")
    return found


class Program(LazyGroup):
    """The outermost group: it turns errors into what a person, or a script, reads, and into the exit code."""

    def __init__(  # noqa: PLR0913 - what a program is made of
        self,
        name: str,
        help: str,  # noqa: A002 - click's name
        table: Mapping[str, Lazy | LazyGroup],
        epilog: str = "",
        options: Sequence[click.Option] = (),
        names: str | None = None,
        *,
        other: str,
    ) -> None:
        super().__init__(name, help, table, epilog)
        self.names: Final = names
        """Where it stands (`module:name`) what ids and names there are, for a shell that completes them."""
        self._other: Final = other
        self.params.extend([*options, json_option(), _version_option(name)])

    def other(self) -> LazyGroup:
        """The other of our two programs, whose commands people type here by mistake."""
        module, _, name = self._other.partition(":")
        found = getattr(importlib.import_module(module), name)
        if not isinstance(found, LazyGroup):
            raise TypeError(f"{self._other} is no program")
        return found

    def main(  # type: ignore[override]  # it always ends the program, in click's standalone mode or not
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        **extra: Any,  # noqa: ANN401 - click's own signature
    ) -> NoReturn:
        """Run the command that `args` (else the command line) names, and exit."""
        extra.pop("standalone_mode", None)
        given = list(sys.argv[1:] if args is None else args)
        is_json = "--json" in given
        with patient() as (out, _):
            ended = self._ended(given, prog_name or self.name, complete_var, extra, is_json=is_json)
            out.flush()
            try:
                refuse_lost(out)
            except OutputLost as error:
                # After an error of its own there is no more to say than that.
                ended = ended or _told(error, is_json=False)
        sys.exit(ended)

    def _ended(
        self,
        given: Sequence[str],
        prog_name: str | None,
        complete_var: str | None,
        extra: Mapping[str, Any],
        *,
        is_json: bool,
    ) -> int:
        """Run the command; whatever became of it is told, and gives the exit code."""
        try:
            ended = self._run(given, prog_name, complete_var, extra)
        except ReaderLeft as error:
            return error.exit_code
        except CustodyError as error:
            return _told(error, is_json=is_json)
        except click.Abort:
            click.echo("stopped; what was not finished was not written", err=True)
            return INTERRUPTED_EXIT
        except click.ClickException as error:
            try:
                # What could not be read as a command may hold what should never have been typed, and is shown as it is.
                refuse_pasted_in(given, error)
            except CustodyError as refused:
                return _told(refused, is_json=is_json)
            if is_json:
                print_error("USAGE", error.format_message(), "See --help.", is_json=True)
            else:
                error.show()
            return error.exit_code
        return ended if isinstance(ended, int) else 0

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an error of it is told here, where what stands beside every answer is still known."""
        ended: object = 0
        try:
            ended = super().invoke(ctx)
        except ReaderLeft:
            raise
        except CustodyError as error:
            ended = _told(error, is_json=output().is_json, standing=output().standing)
        return output().exit_code(ended if isinstance(ended, int) else 0)

    def _run(
        self, args: Sequence[str], prog_name: str | None, complete_var: str | None, extra: Mapping[str, Any]
    ) -> object:
        """Click's part, errors let through; a package that was left out at installation has an error of its own."""
        if f"_{self.name}_COMPLETE".replace("-", "_").upper() in os.environ:
            from custody.apps.completion import register  # noqa: PLC0415 - only needed here

            register()
        try:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except ModuleNotFoundError as error:
            missing = extra_missing(error)
            if missing is None:
                raise
            raise missing from None


def run(program: Program) -> NoReturn:
    """Run `program` with this process's arguments; what nobody foresaw is reported in a line, as the bug that it is."""
    if os.environ.get(DEBUG_VARIABLE) != "1":
        sys.excepthook = _report_bug
    occupy_closed()
    program.main()


def _told(error: CustodyError, *, is_json: bool, standing: Mapping[str, JsonValue] | None = None) -> int:
    """Tell of an error; gives its exit code. `standing` goes with every answer."""
    print_error(error.code, str(error), error.advice(), is_json=is_json, standing=standing)
    return error.exit_code


def refuse_lost(stream: object, *, needs_reader: bool = False) -> None:
    """Pass when `stream` has held everything so far, or its reader has left who is not needed.

    Raises:
        OutputLost: it has not.
        ReaderLeft: its reader left.
    """
    lost = stream.lost if isinstance(stream, Patient) else None
    if lost is None or (lost.is_left and not needs_reader):
        return
    raise ReaderLeft if lost.is_left else OutputLost(reason=lost.reason)


def print_error(
    code: str, message: str, hint: str, *, is_json: bool, standing: Mapping[str, JsonValue] | None = None
) -> None:
    """Tell of an error: on stderr for a person, as JSON on stdout for a script. `standing` goes with every answer."""
    if is_json:
        error: JsonValue = {"error": {"code": code, "message": message, "hint": hint}, **(standing or {})}
        click.echo(json.dumps(error, sort_keys=True, indent=2))
        if not (isinstance(sys.stdout, Patient) and sys.stdout.lost):
            return
    label = click.style("error", fg="red", bold=True) if _has_colour(sys.stderr) else "error"
    told = broken(f"{plain(code)}: {plain(message)}\n  what to do: {plain(hint)}", sys.stderr)
    click.echo(f"{label} {told}", err=True)


def _report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's last resort, in one line. The error's own text is left out: it may hold what was being worked on."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "unknown place"
    del error
    with patient():
        print_error(
            "UNEXPECTED",
            f"this is a bug in the program ({kind.__name__} at {place})",
            f"Report it with the command that was run. {DEBUG_VARIABLE}=1 shows the whole trace.",
            is_json="--json" in sys.argv,
        )


def _has_colour(stream: IO[str]) -> bool:
    is_wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_wanted and stream.isatty()


def _version_option(name: str) -> click.Option:
    def show(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's callback
        if not value or context.resilient_parsing:
            return
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to load, only needed here

        try:
            click.echo(f"{name} {version('custody')}")
        except PackageNotFoundError:
            click.echo(f"{name}, run from its source and not installed")
        context.exit()

    return click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show, help="Show the version and exit."
    )
