"""What does a person type: an answer, words, a yes, something that nobody may see?

Questions go to stderr; where nobody sits at a terminal, none is asked. How a passphrase is read stands in `passphrase`.
"""

from __future__ import annotations

import locale
import sys
from collections.abc import Iterable

import click

from custody.apps.terminal import output, plain
from custody.errors import InvalidInput, Refused


class TypedUnreadable(InvalidInput, code="TYPED_UNREADABLE"):
    """Letters that were typed and that the terminal's encoding cannot tell."""

    message = "what was typed holds letters that this terminal's encoding ({encoding}) does not have"
    hint = "Nothing was done. Set the terminal and LC_ALL to UTF-8 (LC_ALL=C.UTF-8), then type it again."
    encoding: str


class TerminalNeeded(InvalidInput, code="TERMINAL_NEEDED"):
    """Something that only a person can type, and nobody is there."""

    message = "{what} can only be typed at a terminal"
    hint = "Run the command at a terminal, in front of the device."
    what: str


class WordsNeeded(InvalidInput, code="WORDS_NEEDED"):
    """Words that a person must bring, and nobody is there to type them."""

    message = "the 24 words of {what} are needed"
    hint = "Have them read to you over a line you trust, then give them as arguments. They are never shown first."
    what: str


class ConfirmationNeeded(InvalidInput, code="CONFIRMATION_NEEDED"):
    """A question that only a person may answer, and nobody is there."""

    message = "'{question}' has to be answered, and there is no terminal to ask on"
    hint = "Read what was printed. If it is what you want, run the command again with --yes."
    question: str


class NotConfirmed(Refused, code="NOT_CONFIRMED"):
    """A person who did not say yes."""

    message = "'{question}' was not answered with yes"
    hint = "Nothing was done. Run the command again when you are sure."
    question: str


def ask(question: str, *, is_unseen: bool = False, default: str | None = None) -> str:
    """What a person types at this terminal as an answer to `question`.

    Raises:
        TypedUnreadable: it holds letters that the terminal's encoding does not have.
    """
    if is_unseen:
        # Written past stdout and stderr, strictly, in the machine's own encoding.
        own = locale.getpreferredencoding(False)  # noqa: FBT003 - the signature of the standard library
        question = question.encode(own, "backslashreplace").decode(own)
    try:
        typed: str = click.prompt(question, hide_input=is_unseen, default=default, show_default=False, err=True)
    except UnicodeDecodeError as error:
        raise TypedUnreadable(encoding=error.encoding) from None
    if not typed.isascii() and any("\ud800" <= each <= "\udfff" for each in typed):
        # A byte that is no letter, carried as half of one: another machine would read other letters.
        raise TypedUnreadable(encoding=sys.stdin.encoding)
    return typed


def read_unseen(what: str) -> str:
    """`what`, typed unseen by a person.

    Raises:
        TerminalNeeded: there is no terminal.
    """
    if not is_attended():
        raise TerminalNeeded(what=what)
    return ask(plain(what), is_unseen=True)


def read_words(given: Iterable[str], what: str) -> str:
    """24 words or a digest in hexadecimal: from the command line, otherwise typed, in one line or row by row.

    They are not shown first.

    Raises:
        WordsNeeded: none are given and there is no terminal.
        WordsMistyped: the numbers of a list do not agree with its words.
    """
    from custody.words import WORD_COUNT, words_so_far  # noqa: PLC0415 - records take long to load, --help needs none

    joined = " ".join(given).strip()
    if joined:
        return joined
    if not is_attended():
        raise WordsNeeded(what=what)
    typed = ask(f"The {WORD_COUNT} words of {plain(what)}, as read to you")
    while (count := words_so_far(typed)) < WORD_COUNT:
        more = ask(f"Word {count + 1} and on", default="")
        if not more.strip():
            break
        typed = f"{typed}\n{more}"
    return typed


def confirm(question: str, *, is_given: bool) -> None:
    """Pass when a person types `yes`, or has said so on the command line (`is_given`).

    Raises:
        ConfirmationNeeded: there is no terminal.
        NotConfirmed: the answer is anything else.
    """
    if is_given:
        return
    if not is_attended():
        raise ConfirmationNeeded(question=question)
    answer = ask(f"{plain(question)} Type yes to go on", default="no")
    if answer.strip().lower() != "yes":
        raise NotConfirmed(question=question)


def wait_for_person(text: str) -> None:
    """Say what a person has to do, and wait at a terminal until they press Enter; elsewhere go on at once."""
    output().talk(text)
    if is_attended():
        ask("Press Enter to go on", default="")


def is_attended() -> bool:
    """Whether a person sits at a terminal here."""
    return sys.stdin is not None and sys.stdin.isatty()
