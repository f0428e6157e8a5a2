"""Which bytes are the passphrase that a person typed, or keeps in a file?

One reader for both programs, so that one passphrase is the same bytes on every machine:

1. It is text. Its letters are composed (NFC), since one machine types an accented letter as one character and another
   as two, and are then written in UTF-8.
2. In a file it is the first line. A byte order mark and the line's end are not of it. A file in UTF-16 or in a code
   page is refused by name: its bytes would be another passphrase where somebody types the same letters.
3. Blanks count, also at its ends; since nobody sees them there, they are told, and so is what stands after the first
   line. A control character is refused: nobody could type it again.
4. It is never shown, and neither is the name of a file that is not there: whoever sets CUSTODY_PASSPHRASE_FILE may take
   it for the passphrase itself.

Sources: UAX 15 (normalization forms), `custody.saved` for files.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from custody.apps.asking import ask, is_attended
from custody.apps.terminal import PASSPHRASE_VARIABLE, output, plain, read_input
from custody.errors import InvalidInput
from custody.ports import FileMissing, FileUnusable
from custody.saved import text_in

MAX_PASSPHRASE_FILE: Final = 4096
"""Bytes of the longest file that is read."""


class PassphraseNeeded(InvalidInput, code="PASSPHRASE_NEEDED"):
    """A passphrase is needed and nobody is there to type it."""

    message = "the passphrase of {what} is needed, and there is no terminal to ask on"
    hint = "Give --passphrase-file FILE (its first line is the passphrase), or set CUSTODY_PASSPHRASE_FILE."
    what: str


class PassphraseDiffers(InvalidInput, code="PASSPHRASE_DIFFERS"):
    """A new passphrase that was typed differently the second time."""

    message = "the passphrase for {what} was typed differently the second time"
    hint = "Nothing was written. Start again, and type it the same way twice."
    what: str


class PassphraseUnclear(InvalidInput, code="PASSPHRASE_UNCLEAR"):
    """A passphrase that could not be typed again, or none."""

    message = "the passphrase of {what} cannot be used: {problem}"
    hint = "Write it on the first line of a plain text file in UTF-8, or type it: letters, digits, signs and blanks."
    what: str
    problem: str


def read_passphrase(path: str | None, what: str, *, is_new: bool = False) -> bytes:
    """A passphrase: the first line of the file at `path` (`-` is stdin), or typed unseen; twice when it `is_new`.

    Raises:
        PassphraseNeeded: no file is given and there is no terminal.
        PassphraseDiffers: the two are not the same.
        PassphraseUnclear: it is empty or holds what nobody can type.
        FileNotText, TypedUnreadable: it is in another encoding.
        FileMissing, FileTooLarge, FileUnusable: the file cannot be read.
    """
    if path is not None:
        return passphrase_of(_first_line(path, what), what)
    if not is_attended():
        raise PassphraseNeeded(what=what)
    typed = passphrase_of(ask(f"Passphrase of {plain(what)}", is_unseen=True), what)
    if is_new and passphrase_of(ask("The same again", is_unseen=True), what, is_told=False) != typed:
        raise PassphraseDiffers(what=what)
    return typed


def passphrase_of(text: str, what: str, *, is_told: bool = True) -> bytes:
    """The bytes of the passphrase that reads `text`. What is easily overseen in it is told, unless it was before.

    Raises:
        PassphraseUnclear: it is empty or holds what nobody can type.
    """
    composed = unicodedata.normalize("NFC", text)
    if not composed:
        raise PassphraseUnclear(what=what, problem="it is empty")
    if any(unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} for each in composed):
        raise PassphraseUnclear(what=what, problem="it holds a control character, such as a tab")
    if is_told:
        for told in _overseen(composed):
            output().talk(f"note: the passphrase of {what} {told}")
    return composed.encode("utf-8")


_UNNAMED: Final = f"where --passphrase-file or {PASSPHRASE_VARIABLE} points"


def _first_line(path: str, what: str) -> str:
    try:
        data = read_input(path, MAX_PASSPHRASE_FILE)
    except FileMissing:
        raise FileMissing(path=_UNNAMED) from None
    except FileUnusable as error:
        raise FileUnusable(path=f"the file {_UNNAMED}", reason=error.reason) from None
    line, _, rest = text_in(data, f"the file with the passphrase of {what}").partition("\n")
    if rest.strip():
        output().talk(f"note: the file with the passphrase of {what} goes on after its first line, which alone counts")
    return line


def _overseen(passphrase: str) -> list[str]:
    """What a person may not see of it."""
    found = []
    for end, stripped in (("begins", passphrase.lstrip()), ("ends", passphrase.rstrip())):
        count = len(passphrase) - len(stripped)
        if count:
            found.append(f"{end} with {count} blank{'s' if count > 1 else ''}, which count{'' if count > 1 else 's'}")
    if any(each != " " and unicodedata.category(each) in {"Zs", "Cf"} for each in passphrase):
        found.append("holds a blank of another kind than the space bar types, or a character that is not seen")
    return found
