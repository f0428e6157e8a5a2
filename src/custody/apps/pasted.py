"""Did somebody paste a secret where none belongs, on the command line of either program?

One scan for every argument and option, and for what the environment gives in their place, before a command acts: what
it prints, keeps or enters may be any of them. A mnemonic may come as twelve arguments, so that what stands in a row is
looked at together too. Words by which people compare digests look the same; where those belong is marked `Spoken`.

What `refuse_secrets` cannot tell, such as raw hexadecimal, this cannot either (THREATS C9).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import click

_TOGETHER: Final = "command line"


class Spoken(click.types.StringParamType):
    """Words by which people compare digests: 24 of the list that mnemonics are written with."""


def refuse_pasted(context: click.Context) -> None:
    """Pass when nothing that the running command and its groups were given is a secret.

    Raises:
        SecretMaterial: it does not carry what was found.
    """
    given = [
        (_called(param), text)
        for each in _line(context)
        for param in each.command.params
        if not isinstance(param.type, Spoken)
        for text in _texts(each.params.get(param.name or ""))
    ]
    for where, text in given:
        _refuse(text, where)
    _refuse(" ".join(text for _, text in given), _TOGETHER)


def refuse_pasted_in(given: Sequence[str], error: click.ClickException) -> None:
    """The same where the arguments could not be read as a command's: neither they nor `error` may show a secret.

    Raises:
        SecretMaterial: it does not carry what was found.
    """
    _refuse(error.format_message(), _TOGETHER)
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None and any(isinstance(param.type, Spoken) for param in context.command.params):
        return
    _refuse(" ".join(given), _TOGETHER)


def _line(context: click.Context) -> list[click.Context]:
    """The command's own context after those of the groups above it."""
    found = [context]
    while (above := found[0].parent) is not None:
        found.insert(0, above)
    return found


def _called(param: click.Parameter) -> str:
    return f"{param.param_type_name} {param.opts[0] if isinstance(param, click.Option) else param.human_readable_name}"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, list)):
        # One after the other, and together: a list of files may be a mnemonic's words.
        yield " ".join(each for each in value if isinstance(each, str))


def _refuse(text: str, where: str) -> None:
    if len(text) < _SHORTEST:
        return
    from custody.vault.keys import refuse_secrets  # noqa: PLC0415 - keys take long to load, and --help needs none

    refuse_secrets(text, where=where)


_SHORTEST: Final = 30
"""Characters: twelve words of three letters take more, and so does every key in base58."""
