"""A store whose pages were exchanged, emptied or spoiled is refused by name, whoever reads it: never by a traceback."""

import json
import random
import sqlite3
from contextlib import closing
from itertools import permutations

import pytest

from custody.testing.cast import Setting

READ = (
    ("coin", "balance"),
    ("coin", "list"),
    ("transfer", "list"),
    ("vault", "addresses", "reserve"),
    ("node", "status"),
    ("log", "verify"),
    ("log", "verify", "--deep"),
    ("doctor",),
)


@pytest.fixture
def office(open_office):
    office = open_office(Setting(is_witnessed=False))
    office.funded()
    office.approved(office.drafted())
    return office


def store_of(office):
    return office.folder / "coordinator" / "regtest" / "log.sqlite"


def pages_of(data):
    size = int.from_bytes(data[16:18], "big")
    return [data[at : at + size] for at in range(0, len(data), size)]


def root_pages(path):
    """The first page of each table and index, from 0."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0 ORDER BY rootpage")
        return [page - 1 for (page,) in found]


def answers(office, pages, command):
    """Its code by which the command ends on these pages; an empty one when it ends well."""
    path = store_of(office)
    path.with_name("log.sqlite-journal").unlink(missing_ok=True)
    path.write_bytes(b"".join(pages))
    result = office.types(*command, "--json")
    assert result.exception is None or isinstance(result.exception, SystemExit), (command, repr(result.exception))
    return json.loads(result.stdout)["error"]["code"] if result.exit_code else ""


def test_one_table_read_as_another_is_a_damaged_store(office):
    sound, codes = pages_of(store_of(office).read_bytes()), set()
    for at, instead in permutations(root_pages(store_of(office)), 2):
        pages = list(sound)
        pages[at] = sound[instead]
        codes.add(answers(office, pages, ("coin", "balance")))
    assert "STORE_CORRUPT" in codes
    assert answers(office, sound, ("log", "verify", "--deep")) == ""


def spoiled(sound, chance):
    """The pages with something done to one or two of them."""
    pages, (one, other) = list(sound), chance.sample(range(1, len(sound)), 2)
    match chance.choice(["exchange", "empty", "double", "noise"]):
        case "exchange":
            pages[one], pages[other] = pages[other], pages[one]
        case "empty":
            pages[one] = bytes(len(pages[one]))
        case "double":
            pages[one] = pages[other]
        case _:
            one = chance.choice([0, one])
            noisy = bytearray(pages[one])
            for _ in range(chance.choice([1, 8, 64])):
                noisy[chance.randrange(100, len(noisy))] = chance.randrange(256)
            pages[one] = bytes(noisy)
    return pages


def spoil(office, seed, rounds):
    chance, sound = random.Random(seed), pages_of(store_of(office).read_bytes())  # noqa: S311 - the same on every run
    for _ in range(rounds):
        answers(office, spoiled(sound, chance), chance.choice(READ))


def test_spoiled_pages_are_refused_by_name(office):
    spoil(office, 1, 120)


@pytest.mark.campaign
def test_many_spoiled_pages_are_refused_by_name(office):
    spoil(office, 2, 20_000)
