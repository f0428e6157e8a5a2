"""In which form did another program write the PSBT in a file, and what is it in one of its two spellings?

What this library signs, pins and digests has one spelling (`psbt`): the binary form, or base64 on one line. People's
programs write others, in which nothing but the wrapping differs: base64 over several lines, in its alphabet for web
addresses or without padding, hexadecimal, quoted, in the JSON of hwi and bitcoin-cli. They are unwrapped here, at the
front door only, and which form it was is told. What comes out is read as strictly as ever.

Nothing is guessed: a file that holds two PSBTs, none, or one that was damaged on its way is refused, with what it
looks like. A finished transaction in hexadecimal stays what it is, for whoever takes one (`transfer.plain`).

Sources: RFC 4648 (base64, base64url, hexadecimal), RFC 8259 (JSON), BIP 174 (binary and base64 forms).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.psbt import MAGIC, Psbt, PsbtEncoding
from custody.bounds import LimitExceeded
from custody.saved import text_in

PSBT_BASE64: Final = "cHNidP"
"""How the base64 of every PSBT begins."""
_PSBT_HEX: Final = MAGIC.hex()
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_HEX_BYTES: Final = re.compile(rb"[0-9a-fA-F]+\s*")
_BASE64: Final = re.compile(r"(?P<text>[A-Za-z0-9+/_-]+)(?P<padding>={0,2})(?P<after>.*)", re.DOTALL)
_QUOTES: Final = "\"'`\u2018\u2019\u201c\u201d"
_LOOKS: Final = (
    ("ur:", "the text of a QR code in pieces (UR)"),
    ("b$", "the text of a QR code in pieces (BBQr)"),
    ("-----begin", "a PEM file"),
    ("wsh(", "a descriptor"),
    ("sh(", "a descriptor"),
    ("tr(", "a descriptor"),
    ("[", "a key with its origin"),
    ("xpub", "an extended public key"),
    ("tpub", "an extended public key"),
    ("bc1", "an address"),
    ("tb1", "an address"),
    ("bcrt1", "an address"),
)
_NEITHER: Final = "it is neither a binary PSBT nor base64 text"


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """`data` is a PSBT in one of its two spellings, or a transaction in hexadecimal; `form` in words what it was in.

    `form` is empty where it was in such a spelling already.
    """

    data: bytes
    form: str

    @property
    def psbt(self) -> bytes:
        """The PSBT.

        Raises:
            PsbtEncoding: it is a transaction in hexadecimal.
        """
        if _HEX_BYTES.fullmatch(self.data):
            raise _fault("it looks like a finished transaction in hexadecimal, which custody transfer import takes")
        return self.data


def unwrap(data: bytes) -> Unwrapped:
    """What stands in a file, without what another program wrapped it in.

    Raises:
        PsbtEncoding: no PSBT and no hexadecimal, or more than one; what it looks like is told.
        FileNotText: text in another encoding than UTF-8.
    """
    if data.startswith(MAGIC):
        _refuse_copied_as_text(data)
        return Unwrapped(data, "")
    if data.startswith(b"psbt\xc3\xbf"):
        raise _fault("it looks like a binary PSBT that was saved as text; copy the file without opening it")
    text = text_in(data, "the file of a PSBT")
    forms: list[str] = []
    bare = _unquoted(text, forms)
    if bare[:1] == "{":
        bare = _unquoted(_from_json(bare), [])
        forms.append("the JSON of hwi or bitcoin-cli")
    joined = "".join(bare.split())
    if _HEX.fullmatch(joined) and not len(joined) % 2:
        return _of_hexadecimal(joined, data, forms)
    return _of_base64(bare, data, forms)


def is_wrapped_psbt(data: bytes) -> bool:
    """Whether `data` begins like a PSBT in one of these forms. Reading it shows whether it is one."""
    begin = data[:_BEGIN].decode("utf-8", "replace").removeprefix("\ufeff").lstrip(_QUOTES + " \t\r\n")
    if begin[:1] == "{":
        return _PSBT_IN_JSON.search(begin) is not None
    return begin.startswith(PSBT_BASE64) or begin[: len(_PSBT_HEX)].lower() == _PSBT_HEX


_BEGIN: Final = 4096
_PSBT_IN_JSON: Final = re.compile(rf'"psbt"\s*:\s*"{PSBT_BASE64}')


def _unquoted(text: str, forms: list[str]) -> str:
    """`text` without the blanks and quotes around it."""
    bare = text.strip()
    unquoted = bare.strip(_QUOTES)
    if unquoted != bare:
        forms.append("quotes around it")
    return unquoted.strip()


def _from_json(text: str) -> str:
    """The PSBT or transaction that a program's answer names."""
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise _fault("it begins like JSON, and is none or says something twice") from None
    for _ in range(2):
        if isinstance(found, dict) and isinstance(found.get("result"), (dict, str)):
            found = found["result"]  # bitcoind's whole answer
    if isinstance(found, str):
        return found
    for name in ("psbt", "hex"):
        if isinstance(found, dict) and isinstance(found.get(name), str):
            return str(found[name])
    if isinstance(found, dict) and found.get("error") is not None:
        raise _fault("it looks like what a program wrote when it failed; look at its message and sign again")
    raise _fault("it looks like JSON in which no PSBT stands under the name psbt")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _of_hexadecimal(joined: str, data: bytes, forms: list[str]) -> Unwrapped:
    if joined[: len(_PSBT_HEX)].lower() == _PSBT_HEX:
        return Unwrapped(bytes.fromhex(joined), _told("hexadecimal", forms))
    plain = joined.encode("ascii")
    return Unwrapped(plain, "" if data.rstrip() == plain else _told("hexadecimal over several lines", forms))


def _of_base64(bare: str, data: bytes, forms: list[str]) -> Unwrapped:
    lines = bare.split()
    if sum(line.strip(_QUOTES).startswith(PSBT_BASE64) for line in lines) > 1:
        raise _fault("it holds more than one PSBT; give each in a file of its own")
    joined = "".join(lines)
    match = _BASE64.fullmatch(joined)
    if match is None or not joined.startswith(PSBT_BASE64):
        raise _fault(_look(bare))
    if match["after"]:
        raise _fault(f"{len(match['after'])} characters that are no base64, or stand after its end")
    if len(lines) > 1:
        forms.append("base64 over several lines")
    text = match["text"]
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise _fault("it mixes base64's alphabet with the one for web addresses")
        text = text.replace("-", "+").replace("_", "/")
        forms.append("base64 in the alphabet for web addresses")
    padding = match["padding"]
    if not padding and len(text) % 4:
        padding = "=" * (-len(text) % 4)
        forms.append("base64 without its padding")
    whole = f"{text}{padding}".encode("ascii")
    is_spelling = data in {whole, whole + b"\n", whole + b"\r\n"}
    return Unwrapped(data if is_spelling else whole, "" if is_spelling else _told("", forms))


def _told(form: str, forms: list[str]) -> str:
    return ", ".join([*([form] if form else []), *forms]) or "base64 with blanks or a byte order mark around it"


def _look(bare: str) -> str:
    begin = bare[:_BEGIN].lower()
    found = next((what for start, what in _LOOKS if begin.startswith(start)), None)
    return _NEITHER if found is None else f"it looks like {found}, and not like a PSBT"


def _refuse_copied_as_text(data: bytes) -> None:
    """Pass unless every line feed of a binary file has a carriage return before it, as copying it as text makes it."""
    if not 0 < data.count(b"\n") == data.count(b"\r\n"):
        return
    try:
        # Chance does that too where there are few: then it reads.
        Psbt.parse(data)
    except (PsbtEncoding, LimitExceeded):
        what = "it looks like a binary PSBT that was copied as text (LF became CR LF); copy it as binary"
        raise _fault(what) from None


def _fault(what: str) -> PsbtEncoding:
    return PsbtEncoding(where="file", what=what)
