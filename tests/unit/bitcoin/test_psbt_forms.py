"""A PSBT in the forms in which programs write it is the same PSBT, read as strictly; whatever else it is, is said."""

import base64
import json
import textwrap
from pathlib import Path

import pytest

from custody.bitcoin.psbt import read_psbt_file
from custody.bitcoin.psbt_forms import is_wrapped_psbt, unwrap
from custody.testing.asserts import refuses

FIXTURES = Path(__file__).parents[3] / "fixtures" / "transfer"
RAW = (FIXTURES / "signed-astana.psbt").read_bytes()
TEXT = base64.b64encode(RAW).decode()
URL = base64.urlsafe_b64encode(RAW).decode()


def wrapped(width: int, end: str = "\n") -> bytes:
    return end.join(textwrap.wrap(TEXT, width)).encode()


SPELLINGS = {
    "binary": RAW,
    "base64": TEXT.encode(),
    "base64 and a line feed": TEXT.encode() + b"\n",
    "base64 and CRLF": TEXT.encode() + b"\r\n",
}
FORMS = {
    "two line feeds": TEXT.encode() + b"\n\n",
    "blanks around": b"  " + TEXT.encode() + b" \t\n",
    "byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "wrapped at 76": wrapped(76) + b"\n",
    "wrapped at 64, CRLF": wrapped(64, "\r\n"),
    "web alphabet": URL.encode(),
    "without padding": TEXT.rstrip("=").encode(),
    "quoted": f'"{TEXT}"\n'.encode(),
    "quoted by a word processor": f"\u201c{TEXT}\u201d".encode(),
    "hwi": json.dumps({"psbt": TEXT, "signed": True}).encode(),
    "bitcoin-cli": json.dumps({"psbt": TEXT, "complete": True, "hex": "00"}, indent=2).encode(),
    "bitcoind's answer": json.dumps({"result": {"psbt": TEXT}, "error": None, "id": 1}).encode(),
    "bitcoind's text answer": json.dumps({"result": TEXT, "error": None, "id": 1}).encode(),
    "hexadecimal": RAW.hex().encode(),
    "hexadecimal in capitals, wrapped": "\n".join(textwrap.wrap(RAW.hex().upper(), 80)).encode(),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_its_two_spellings_pass_untouched_and_unsaid(name):
    assert unwrap(SPELLINGS[name]).data == SPELLINGS[name]
    assert not unwrap(SPELLINGS[name]).form


@pytest.mark.parametrize("name", FORMS)
def test_other_forms_are_the_same_psbt_and_said(name):
    found = unwrap(FORMS[name])
    assert found.form
    assert read_psbt_file(found.psbt).serialize() == RAW


@pytest.mark.parametrize(
    "name", [*SPELLINGS, *(each for each in FORMS if "text answer" not in each and "bitcoind's" not in each)]
)
def test_each_is_known_for_a_psbt_by_how_it_begins(name):
    assert is_wrapped_psbt((SPELLINGS | FORMS)[name]) or name == "binary"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (TEXT.encode() * 2, "no base64, or stand after its end" if TEXT.endswith("=") else ""),
        (TEXT.encode() + b"\n" + TEXT.encode(), "more than one PSBT"),
        (TEXT.encode() + b"==garbage", "after its end"),
        (TEXT.encode() + b"\ngarbage!", "after its end"),
        (RAW + b"\n", "a line break"),
        (RAW + RAW, "another PSBT"),
        (RAW + b"xyz", "3 bytes follow"),
        (RAW.replace(b"\n", b"\r\n"), "copied as text"),
        (RAW.decode("latin-1").encode("utf-8"), "saved as text"),
        (json.dumps({"error": "no", "code": -13}).encode(), "when it failed"),
        (json.dumps({"fee": 1}).encode(), "no PSBT stands under"),
        (b'{"psbt": "' + TEXT.encode() + b'", "psbt": "x"}', "says something twice"),
        (b"{" * 100_000, "is none"),
        (b'{"psbt":' * 50_000, "is none"),
        (b"ur:crypto-psbt/1-3/abc", "QR code"),
        (b"wsh(sortedmulti(2,a,b))", "a descriptor"),
        (b"", "neither"),
        (b"hello", "neither"),
        ((URL.rstrip("=") + "+-").encode(), "mixes"),
        ((FIXTURES / "transaction.hex").read_bytes(), "finished transaction in hexadecimal"),
    ],
)
def test_what_is_no_psbt_is_refused_with_what_it_looks_like(data, said):
    with refuses("PSBT_ENCODING") as caught:
        read_psbt_file(unwrap(data).psbt)
    assert said in str(caught.error)


def test_spare_bits_stay_refused_behind_every_form():
    spare = TEXT.rstrip("=")
    if len(spare) % 4 == 0:
        spare = base64.b64encode(b"psbt\xff\x00").decode().rstrip("=")
    with refuses("PSBT_ENCODING"):
        read_psbt_file(unwrap((spare[:-1] + chr(ord(spare[-1]) + 1)).encode()).psbt)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_another_encoding_is_refused_by_name(encoding):
    with refuses("FILE_NOT_TEXT") as caught:
        unwrap(TEXT.encode(encoding))
    assert "UTF-" in str(caught.error)
