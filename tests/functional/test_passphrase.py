"""One passphrase is the same bytes, wherever it is typed or kept; what could be another is refused or told."""

import unicodedata

import click
import pytest

from custody.apps import asking, passphrase
from custody.apps.passphrase import MAX_PASSPHRASE_FILE, passphrase_of, read_passphrase
from custody.apps.terminal import Output
from custody.testing.asserts import refuses

WORD = "\u043f\u0430\u0440\u043e\u043b\u044c \u0439 \u0451 caf\u00e9"
NFD = unicodedata.normalize("NFD", WORD)


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """What was said, outside of a command."""
    said: list[str] = []
    monkeypatch.setattr(Output, "talk", lambda _, text: said.append(text))
    monkeypatch.setattr(passphrase, "output", Output)
    return said


def kept(tmp_path, data: bytes) -> bytes:
    (tmp_path / "p").write_bytes(data)
    return read_passphrase(str(tmp_path / "p"), "the key")


@pytest.mark.parametrize(
    "data",
    [
        WORD.encode(),
        NFD.encode(),
        WORD.encode() + b"\n",
        WORD.encode() + b"\r\n",
        WORD.encode() + b"\r",
        WORD.encode("utf-8-sig"),
        NFD.encode("utf-8-sig") + b"\r\n",
    ],
)
def test_a_file_gives_the_bytes_that_are_typed(tmp_path, monkeypatch, told, data):
    for module in (passphrase, asking):
        monkeypatch.setattr(module, "is_attended", lambda: True)
    for typed in (WORD, NFD):
        monkeypatch.setattr(click, "prompt", lambda *_, typed=typed, **__: typed)
        assert read_passphrase(None, "the key") == kept(tmp_path, data) == WORD.encode()
    assert not told


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1251", "utf-32"])
def test_a_file_in_another_encoding_is_refused_by_name(tmp_path, encoding):
    text = (
        "correct horse"
        if encoding == "utf-16-le"
        else "\u043f\u0430\u0440\u043e\u043b\u044c \u043a\u0440\u0435\u043f\u043a\u0438\u0439"
    )
    with refuses("FILE_NOT_TEXT"):
        kept(tmp_path, text.encode(encoding))


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n", b"\xef\xbb\xbf\n", b"tab\there\n", b"bell\x07\n"])
def test_none_and_one_that_nobody_can_type_are_refused(tmp_path, data):
    with refuses("PASSPHRASE_UNCLEAR"):
        kept(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b" word\n", "begins with 1 blank"),
        (b"word  \n", "ends with 2 blanks"),
        ("wo\u00a0rd".encode(), "another kind"),
        (b"word\nmore\n", "goes on after its first line"),
    ],
)
def test_what_nobody_sees_of_it_is_told_without_showing_it(tmp_path, told, data, said):
    kept(tmp_path, data)
    assert said in "\n".join(told)
    assert "word" not in "\n".join(told)


def test_blanks_are_part_of_it():
    assert passphrase_of(" a  b ", "the key", is_told=False) == b" a  b "


def test_a_file_that_is_not_there_is_not_named_since_its_name_may_be_the_passphrase():
    for secret in ("correct horse battery", "x" * 300):
        with refuses("FILE_MISSING" if len(secret) < 255 else "FILE_UNUSABLE") as caught:
            read_passphrase(secret, "the key")
        assert secret not in str(caught.error)


def test_a_file_that_is_too_large_or_no_file_is_refused(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**9)
    with refuses("FILE_TOO_LARGE"):
        read_passphrase(str(tmp_path / "sparse"), "the key")
    with refuses("FILE_IS_FOLDER"):
        read_passphrase(str(tmp_path), "the key")
    assert len(kept(tmp_path, b"a" * MAX_PASSPHRASE_FILE)) == MAX_PASSPHRASE_FILE


def test_letters_that_the_terminal_cannot_tell_are_refused(monkeypatch):
    for module in (passphrase, asking):
        monkeypatch.setattr(module, "is_attended", lambda: True)

    def undecodable(*_: object, **__: object) -> str:
        return b"\xd0".decode("ascii")

    for answer in (undecodable, lambda *_, **__: "\udcd0\udcbf"):
        monkeypatch.setattr(click, "prompt", answer)
        with refuses("TYPED_UNREADABLE"):
            read_passphrase(None, "the key")
