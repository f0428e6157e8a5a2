"""What JSON would cost is known before it is read: texts that are mostly texts pass, those that nest or list do not."""

import json
import random

import pytest

from custody.bounds import FREE, refuse_costly_json
from custody.testing.asserts import refuses

MB = 1_000_000


@pytest.mark.parametrize(
    "dense",
    [
        b"[" * MB,
        b"[" + b"[]," * MB + b"0]",
        b"[" + b"{}," * MB + b"0]",
        b'{"a":' * MB,
        b"[" + b"0," * MB + b"0]",
        b"[" + b'"\\n",' * MB + b'""]',
        b"{" + b'"a":0,' * MB + b'"b":0}',
        b'["' + b"x" * 2 * MB + b'",' + b"[]," * MB + b"0]",
        b'["\\\\",' + b"[]," * MB + b"0]",
        b'["\\\\\\"",' + b"{}," * MB + b"0]",
    ],
    ids=["lists in lists", "lists", "objects", "deep", "numbers", "escapes", "fields", "padded", "slash", "quote"],
)
def test_a_text_that_would_take_many_times_its_size_is_refused(dense):
    with refuses("LIMIT"):
        refuse_costly_json(dense)


@pytest.mark.parametrize("inside", ['[{"a":0},[],{}],' * 250_000, '"[{\\' * 800_000, "\\" * 2 * MB])
def test_whatever_stands_inside_a_text_is_text(inside):
    refuse_costly_json(json.dumps([inside]).encode())
    refuse_costly_json(json.dumps({"lines": [inside, inside], "more": json.dumps([inside])}).encode())


def test_what_follows_such_a_text_is_counted_all_the_same():
    honest = json.dumps(['[{"a":0},[],{}],"\\' * 250_000]).encode()
    refuse_costly_json(honest)
    with refuses("LIMIT"):
        refuse_costly_json(honest[:-1] + b"," + b"[]," * 200_000 + b"0]")


def test_texts_are_told_from_what_stands_between_them_wherever_pieces_end():
    chance = random.Random(5)  # noqa: S311 - the same texts every time
    for _ in range(20):
        texts = ["[" * chance.randrange(40_000) + '\\"' * chance.randrange(40_000) for _ in range(40)]
        refuse_costly_json(json.dumps(texts).encode())


def test_what_is_small_is_not_counted():
    refuse_costly_json(b"[" * FREE)
