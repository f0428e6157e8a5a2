"""What may stand next on a command line, for a shell that asks while somebody types?

1. Commands and options come from the table and from the command; ids and names from the program's `names`, which reads
   the store (`custody`) or the charter that was typed (`custody-station`); files from the shell.
2. Nothing is written, asked for or opened but for reading, no program is started, and no device is touched.
3. It never fails: where something is wrong, nothing is offered, and the command that is typed in the end says why.

What is offered is believed by nobody: the command looks it up as if it had been typed.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, TypeAlias

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete
from click.shell_completion import add_completion_class as add

SHELLS: Final = ("bash", "zsh", "fish")


class Kind(Enum):
    """What a value on the command line names."""

    TRANSFER = "transfer"
    REQUEST = "request"
    VAULT = "vault"
    PAYEE = "payee"
    PERSON = "person"
    WITNESS = "witness"


Names: TypeAlias = Callable[[Kind, click.Context, str], Iterable[tuple[str, str]]]
"""The values of a kind that may begin so, each with a word about it."""

_FILE: Final = "file"
_FOLDER: Final = "dir"
_BY_METAVAR: Final[Mapping[str, Kind | str]] = {
    "CARD": _FILE,
    "CHARTER": _FILE,
    "DIR": _FOLDER,
    "FILE": _FILE,
    "ID": Kind.TRANSFER,
    "KEYFILE": _FILE,
    "PAYEE": Kind.PAYEE,
    "PAYEE=AMOUNT": Kind.PAYEE,
    "REQUEST": Kind.REQUEST,
    "STATEMENT": _FILE,
    "TOML": _FILE,
    "TRANSFER": Kind.TRANSFER,
    "VAULT": Kind.VAULT,
    "[ID] FILE...": _FILE,
    "[PSBT]...": _FILE,
}
_BY_NAME: Final[Mapping[str, Kind | str]] = {
    "charter_file": _FILE,
    "confirmations": _FILE,
    "evidence": _FILE,
    "file": _FILE,
    "files": _FILE,
    "keyfile": _FILE,
    "officer": Kind.PERSON,
    "paper": _FILE,
    "readers": Kind.PERSON,
    "request_file": _FILE,
    "vault": Kind.VAULT,
}
_NAME_OF: Final = {"vault": Kind.VAULT, "checkpoint": Kind.WITNESS}
"""What `name` is the name of, by the command or else the group that asks for it."""
_LISTS: Final = {Kind.VAULT: "vaults", Kind.PAYEE: "payees", Kind.PERSON: "people", Kind.WITNESS: "witnesses"}


def kind_of(parameter: click.Parameter, context: click.Context) -> Kind | str | None:
    """What a parameter names: something of the log, a file or a folder; None where people write what they like."""
    found = _BY_METAVAR.get(parameter.metavar or "") or _BY_NAME.get(parameter.name or "")
    if found is not None or parameter.name != "name":
        return found
    group = context.parent.info_name if context.parent is not None else None
    return _NAME_OF.get(context.info_name or "") or _NAME_OF.get(group or "")


def named_in(charter: bytes, kind: Kind, begun: str) -> list[tuple[str, str]]:
    """The names of a kind in a charter of these bytes, those that begin so: its names alone are read."""
    entries = json.loads(charter)[_LISTS[kind]]
    return [(each["name"], kind.value) for each in entries if each["name"].startswith(begun)]


def offer(parameters: Iterable[click.Parameter], context: click.Context) -> None:
    """Have these parameters of a command offer what they name."""
    for each in parameters:
        kind = kind_of(each, context)
        if kind is not None:
            # As if it had been given where the parameter was made.
            vars(each)["shell_complete"] = functools.partial(_offered, each, kind)


def _offered(parameter: click.Parameter, kind: Kind | str, context: click.Context, begun: str) -> list[CompletionItem]:
    if not isinstance(kind, Kind):
        return [CompletionItem(begun, type=kind)]
    target = getattr(context.find_root().command, "names", None)
    if target is None:
        return []
    module, _, name = target.partition(":")
    names: Names = getattr(importlib.import_module(module), name)
    # After a payee stands the amount.
    after = "=" if parameter.metavar == "PAYEE=AMOUNT" else ""
    with context.scope(cleanup=False):
        return [CompletionItem(value + after, help=about) for value, about in names(kind, context, begun)]


class _Quiet(ShellComplete):
    """Offers nothing where something is wrong: whoever presses a key does not want a trace."""

    def complete(self) -> str:
        try:
            return super().complete()
        except Exception:  # noqa: BLE001 - rule 3; the command itself says what is wrong
            return ""


_BASH: Final = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
        dir) compopt -o dirnames ;;
        file) compopt -o default ;;
        plain)
            COMPREPLY+=("$(printf %%q "$value")")
            [[ $value == *= ]] && compopt -o nospace
            ;;
        esac
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1" 2>/dev/null)
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(_Quiet, BashComplete):
    """Bash 4.4 and newer. Click would start a bash to ask for its version, which no station does."""

    source_template = _BASH

    def source(self) -> str:
        """What a bash reads."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Words before the one that is typed, and that one. Bash takes `--name=value` for three words."""
        words, begun = super().get_completion_args()
        return [each for each in words if each != "="], begun


class Zsh(_Quiet, ZshComplete):
    """Zsh."""


class Fish(_Quiet, FishComplete):
    """Fish."""


_CLASSES: Final[Sequence[type[ShellComplete]]] = (Bash, Zsh, Fish)


def register() -> None:
    """Have click use these shells in place of its own."""
    for each in _CLASSES:
        add(each)


def source(shell: str, program: click.Command, name: str) -> str:
    """What `shell` reads so that it completes `program`, called `name`."""
    (found,) = (each for each in _CLASSES if each.name == shell)
    return found(program, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper()).source()
