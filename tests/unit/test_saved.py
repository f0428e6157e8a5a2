"""Text as machines and people save it: one reading, or a refusal that names what it looks like."""

import pytest

from custody.saved import looks_like, text_in
from custody.testing.asserts import refuses

WORD = "\u043f\u0430\u0440\u043e\u043b\u044c naive"


@pytest.mark.parametrize(
    "data",
    [b"a\nb\n", b"a\r\nb\r\n", b"a\rb\r", b"\xef\xbb\xbfa\nb\n", b"\xef\xbb\xbfa\r\nb\r\n"],
)
def test_a_mark_before_it_and_line_ends_change_nothing(data):
    assert text_in(data, "it") == "a\nb\n"


def test_letters_are_kept_as_they_are():
    assert text_in(WORD.encode(), "it") == WORD
    assert looks_like(b"") is None


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (WORD.encode("utf-16"), "UTF-16"),
        (WORD.encode("utf-16-be"), "UTF-16"),
        (("a" * 40).encode("utf-16-le"), "UTF-16 without"),
        (WORD.encode("utf-32"), "UTF-32"),
        (WORD.encode("cp1251"), "code page"),
        ("caf\u00e9".encode("latin-1"), "code page"),
        (b"PK\x03\x04rest", "word processor"),
        (b"%PDF-1.7", "PDF"),
        (b"psbt\xff\x01", "a PSBT"),
        (bytes([1, 2, 200, 3]), "bytes that are no text"),
        (b"\x00" * 8, "UTF-16 without"),
        (b"text " * 50 + b"\x00", "bytes that are no text"),
    ],
)
def test_what_is_no_utf_8_is_refused_by_the_name_of_what_it_looks_like(data, found):
    if data.startswith("\u043f".encode("utf-16-be")):
        data = b"\xfe\xff" + data
    with refuses("FILE_NOT_TEXT") as caught:
        text_in(data, "the list")
    assert found in str(caught.error)
    assert "the list" in str(caught.error)
