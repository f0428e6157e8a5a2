"""What text stands in a file that a person saved, whatever program saved it?

1. It is UTF-8. A byte order mark before it belongs to the file and not to the text.
2. Lines end as on any system: CRLF and CR are read as LF.
3. Anything else is refused by the name of what it looks like. A code page is never guessed: the same bytes are other
   letters in another one, and a passphrase or a name would be another.

Records are not read here: they have one spelling, which no editor may touch.

Sources: RFC 3629 (UTF-8), Unicode 15, 2.13 (byte order mark).
"""

from __future__ import annotations

from typing import Final

from custody.errors import InvalidInput


class FileNotText(InvalidInput, code="FILE_NOT_TEXT"):
    """A file of something else where text in UTF-8 belongs."""

    message = "{what} is not plain text in UTF-8: it looks like {found}"
    hint = (
        "Check which file you gave. If it is the right one, save it again as plain text in UTF-8: editors ask for the "
        "encoding under 'Save as', and PowerShell writes it with Out-File -Encoding utf8."
    )
    what: str
    found: str


_MARK: Final = "\ufeff"
_BEGINNINGS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16, as Windows programs write it"),
    (b"\xfe\xff", "UTF-16, as Windows programs write it"),
    (b"PK\x03\x04", "a document of a word processor or spreadsheet, or another archive"),
    (b"\xd0\xcf\x11\xe0", "a document of an old word processor or spreadsheet"),
    (b"%PDF-", "a PDF"),
    (b"{\\rtf", "a document of a word processor (RTF)"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x1f\x8b", "a compressed file"),
    (b"psbt\xff", "a PSBT"),
)
_LOOKED_AT: Final = 4096
"""Bytes from the beginning that say what a file looks like."""
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f")) + b"\x7f"


def text_in(data: bytes, what: str) -> str:
    """The text in `data`, lines ending in LF. `what` it is, such as "the charter's text", is for messages.

    Raises:
        FileNotText: it is not UTF-8, or no text at all; what it looks like is told.
    """
    found = looks_like(data)
    if found is not None:
        raise FileNotText(what=what, found=found)
    return data.decode("utf-8").removeprefix(_MARK).replace("\r\n", "\n").replace("\r", "\n")


def looks_like(data: bytes) -> str | None:
    """What `data` looks like when it is no text in UTF-8; None when it is that."""
    for beginning, found in _BEGINNINGS:
        if data.startswith(beginning):
            return found
    begin = data[:_LOOKED_AT]
    if b"\x00" in data:
        # Every second byte of a Latin letter is zero: text in UTF-16 without its mark.
        is_wide = max(begin[::2].count(0), begin[1::2].count(0)) > len(begin) // 8
        return "UTF-16 without a byte order mark" if is_wide else "bytes that are no text"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        is_text = begin.translate(None, _CONTROLS) == begin
        return "a code page, such as Windows-1252 or Windows-1251" if is_text else "bytes that are no text"
    return None
