"""TOML as people write it is read as before; what no file of ours has is refused with its line and its key."""

import math
import random
import tomllib
from contextlib import suppress

import pytest

from custody.testing.asserts import refuses
from custody.toml import MAX_DEPTH, MAX_STEPS, MAX_WORD, TomlInvalid, read_toml

PLAIN = '''
# a comment of 1979-05-27, with 1.5 and [[[[[[[[[[[[ in it
network = "regtest"   # "unclosed
empty = ""
three = """"""
quotes = """ "a" ""b"" \\""" 1.5 = [ """"
literal = '1979-05-27'
lines = \'\'\'
[not.a.table.at.all.of.so.many.steps]
x = nan ''\'\'\'
escaped = "\\\\"
number = -1_000
hex = 0xff
yes = true
[vault.device]
"a.b" . 'c' = [1, 2, ["three",
  { four = 4, five.six = "." },  # 5.5
]]
inline = { a = { b = [] }, c = "}" }
[[person]]
[[ person . roles ]]
no = false
'''


def test_plain_toml_is_what_python_reads():
    assert read_toml(PLAIN) == tomllib.loads(PLAIN)
    assert read_toml(PLAIN.replace("\n", "\r\n")) == tomllib.loads(PLAIN.replace("\n", "\r\n"))


DEEP = MAX_DEPTH + 1
REFUSED = {
    "a date": ("a = 1\n[vault]\nbirthday = 1979-05-27\n", 3, "birthday"),
    "a time": ("[vault]\n\nbirthday = 07:32:00", 3, "birthday"),
    "a moment": ("at = 1979-05-27 07:32:00Z", 1, "at"),
    "an exponent": ("fee = 1e5", 1, "fee"),
    "not a number": ("fee = nan", 1, "fee"),
    "infinity": ("x = 1\nfee = [\n1,\n-inf]", 4, "fee"),
    "a word in a table": ("fee = { most = [{ sat = inf }] }", 1, "sat"),
    "a word behind lines of text": ('a = """\n\n"""\nb = nan', 4, "b"),
    "a word behind quotes": ('a = """"""""\nb = nan', 2, "b"),
    "digits": ("x = " + "1" * 5_000, 1, "x"),
    "a name too long": ("a" * (MAX_WORD + 1) + " = 1", 1, "the first key"),
    "steps": (".".join("a" * (MAX_STEPS + 1)) + " = 1", 1, "a.a.a.a.a.a.a.a"),
    "steps in a header": ("x = 1\n[" + ".".join("a" * 10_000) + "]", 2, "a.a.a.a.a.a.a.a"),
    "steps in quotes": ("'a' . \"b\" ." * 50 + " c = 1", 1, "a.b.a.b.a.b.a.b"),
    "steps in a table": ("x = { " + ".".join("a" * 50) + " = 1 }", 1, "a.a.a.a.a.a.a.a"),
    "lists": ("x = " + "[" * DEEP + "]" * DEEP, 1, "x"),
    "tables": ("x = " + "{a=" * DEEP + "1" + "}" * DEEP, 1, "a"),
    "no TOML": ("a = 1\nb = \n", 2, "TOML"),
    "a key twice": ("a = 1\na = 2\n", 2, "TOML"),
    "a text without end": ('a = "b', 1, "TOML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_file_of_ours_has_is_refused_with_its_line_and_its_key(name):
    text, line, where = REFUSED[name]
    with refuses("TOML_INVALID") as caught:
        read_toml(text)
    assert str(caught.error).startswith(f"line {line}, {where}: ")


@pytest.mark.parametrize(
    "line", ["[a{}]\n", "a{} = 1\n", "[[a]]\n", "[a{}.b.b.b.b]\n", "b = [" + "{{}}," * 60 + "]\nc{} = 0\n"]
)
def test_more_tables_than_a_text_of_that_size_has_are_refused_before_they_are_made(line):
    with refuses("LIMIT"):
        read_toml("".join(line.format(at) for at in range(400_000 if len(line) < 20 else 8_000)))


def test_whatever_is_read_holds_texts_numbers_and_truth_alone():
    """And what is not read is refused by name: nothing that Python's reader lets through comes out otherwise."""
    chance = random.Random(7)  # noqa: S311 - the same texts every time
    pieces = [
        '"',
        "'",
        '"""',
        "'''",
        "\\",
        "#",
        "\n",
        "\r\n",
        "=",
        ".",
        ",",
        "[",
        "]",
        "{",
        "}",
        "a",
        "1",
        "-",
        ":",
        "_",
    ]
    pieces += [" ", "nan", "true", "1979-05-27", "1.5", "x = ", "\u00e9", "\0", "0x", "T07:32:00"]
    for _ in range(3_000):
        at = chance.randrange(len(PLAIN))
        text = PLAIN[:at] + "".join(chance.choices(pieces, k=chance.randrange(1, 6))) + PLAIN[at:]
        with suppress(TomlInvalid):
            assert is_plain(read_toml(text))


def is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and is_plain(each) for name, each in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
