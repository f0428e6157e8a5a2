"""Several coordinators at once on one store (THREATS A10, D5, D6): one coin is held once, and no entry is lost."""

import hashlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from custody.backends.sql import create_store, open_store
from custody.bitcoin.transaction import OutPoint
from custody.errors import CustodyError
from custody.log import seal
from custody.ports import Store
from custody.testing.asserts import refuses
from custody.testing.memory import InMemoryStore
from custody.units import Network

ORIGIN = "custody.example/regtest"
COIN = OutPoint(b"\x01" * 32, 0)
PROCESSES, APPENDS = 4, 8

# A coordinator of its own: each round is one transaction that appends an entry and holds a coin of its own.
APPENDER = """
import hashlib, sys
from pathlib import Path
from custody.backends.sql import open_store
from custody.bitcoin.transaction import OutPoint
from custody.log import seal
from custody.units import Network

path, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = open_store(path, Network.REGTEST, busy_seconds=60)
for n in range(rounds):
    own = hashlib.sha256(f"{name} {n}".encode()).digest()
    with store.transaction() as t:
        t.append(seal(t.size, "requested", name, (), b'{"n":%d}' % n, own))
        t.hold([OutPoint(own, 0)], own)
"""

# It appends and holds, and is gone before the transaction ends; the store must not know of it.
KILLED = """
import os, signal, sys
from pathlib import Path
from custody.backends.sql import open_store
from custody.bitcoin.transaction import OutPoint
from custody.log import seal
from custody.units import Network

store = open_store(Path(sys.argv[1]), Network.REGTEST)
with store.transaction() as t:
    for n in range(500):
        t.append(seal(t.size, "requested", "killed", (), b'{"pad":"' + b"x" * 4000 + b'"}', bytes(32)))
    t.hold([OutPoint(b"\\x01" * 32, 0)], b"\\x02" * 32)
    t.finish()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "custody.sqlite"


@pytest.fixture(params=["sqlite", "memory"])
def store(request, path) -> Store:
    if request.param == "memory":
        return InMemoryStore(Network.REGTEST, ORIGIN)
    return create_store(path, Network.REGTEST, ORIGIN)


def hold_all_at_once(store: Store, holders: list[bytes]) -> list[CustodyError | None]:
    """Each holder, in a thread of its own, looks whether the coin is free, and when it is, waits for the others."""
    start = threading.Barrier(len(holders))

    def act(holder: bytes) -> CustodyError | None:
        with store.read() as view:
            assert view.holder(COIN) is None
        start.wait()
        try:
            with store.transaction() as t:
                t.append(seal(t.size, "drafted", "coordinator", (holder,), b"{}", holder))
                t.hold([COIN], holder)
        except CustodyError as error:
            return error
        return None

    with ThreadPoolExecutor(len(holders)) as pool:
        return list(pool.map(act, holders))


def test_of_two_requests_for_one_coin_one_gets_it_and_the_other_is_told_by_whom_it_is_held(store):
    holders = [b"\xa1" * 32, b"\xb0" * 32]
    outcome = hold_all_at_once(store, holders)
    winner = holders[outcome.index(None)]
    (loser,) = [error for error in outcome if error is not None]
    assert (loser.code, loser.outpoint, loser.holder) == ("UTXO_RESERVED", COIN, winner.hex())
    assert loser.advice()
    with store.read() as view:
        assert view.holder(COIN) == winner
        assert [each.head.subjects for each in view.entries()] == [(winner,)]


def test_of_many_requests_for_one_coin_exactly_one_gets_it(store):
    holders = [hashlib.sha256(b"%d" % n).digest() for n in range(16)]
    outcome = hold_all_at_once(store, holders)
    assert outcome.count(None) == 1
    assert {error.code for error in outcome if error is not None} == {"UTXO_RESERVED"}
    assert store.verify().size == 1


def test_two_requests_that_both_saw_the_log_at_one_size_cannot_both_append(store):
    with store.read() as view:
        entries = [seal(view.size, "drafted", name, (), b"{}", bytes(32)) for name in ("one", "two")]
    with store.transaction() as t:
        t.append(entries[0])
    with refuses("STATE_CHANGED"), store.transaction() as t:
        t.append(entries[1])


def test_several_processes_append_at_once_and_nothing_is_lost(path):
    store = create_store(path, Network.REGTEST, ORIGIN)
    names = [f"coordinator {n}" for n in range(PROCESSES)]
    running = [
        subprocess.Popen([sys.executable, "-c", APPENDER, path, name, str(APPENDS)], stderr=subprocess.PIPE)
        for name in names
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [(process.returncode, error) for process, error in zip(running, errors, strict=True)] == [(0, b"")] * len(
        names
    )
    with store.read() as view:
        entries = list(view.entries())
        held = [each for each in entries if view.holder(OutPoint(each.salt, 0)) == each.salt]
    assert [each.head.index for each in entries] == list(range(PROCESSES * APPENDS))
    assert held == entries
    for name in names:
        bodies = [each.body for each in entries if each.head.author == name]
        assert bodies == [b'{"n":%d}' % n for n in range(APPENDS)]
    assert store.verify().size == PROCESSES * APPENDS


def test_a_coordinator_killed_before_the_end_of_its_transaction_has_done_nothing(path):
    store = create_store(path, Network.REGTEST, ORIGIN)
    with store.transaction() as t:
        t.append(seal(0, "requested", "before", (), b"{}", bytes(32)))
    killed = subprocess.run([sys.executable, "-c", KILLED, path], check=False, timeout=120, stderr=subprocess.PIPE)
    assert (killed.returncode, killed.stderr) == (-9, b"")
    again = open_store(path, Network.REGTEST)
    with again.transaction() as t:
        assert ([each.head.author for each in t.entries()], t.holder(COIN)) == (["before"], None)
        t.append(seal(1, "requested", "after", (), b"{}", bytes(32)))
    assert again.verify().size == 2


def test_whoever_waits_too_long_is_told_so_and_has_changed_nothing(path):
    create_store(path, Network.REGTEST, ORIGIN)
    slow, hasty = (open_store(path, Network.REGTEST, busy_seconds=seconds) for seconds in (10, 0))
    with slow.transaction() as t:
        t.hold([COIN], b"\xa1" * 32)
        with refuses("STORE_BUSY"), hasty.transaction() as other:
            other.hold([COIN], b"\xb0" * 32)
    with hasty.read() as view:
        assert view.holder(COIN) == b"\xa1" * 32


def test_a_reader_that_stays_keeps_a_commit_waiting_and_loses_nothing(path):
    create_store(path, Network.REGTEST, ORIGIN)
    reader, writer = (open_store(path, Network.REGTEST, busy_seconds=seconds) for seconds in (10, 0))
    with reader.read() as view:
        assert view.holder(COIN) is None
        with refuses("STORE_BUSY"), writer.transaction() as t:
            t.hold([COIN], b"\xa1" * 32)
        assert view.holder(COIN) is None
    with writer.transaction() as t:
        t.hold([COIN], b"\xb0" * 32)


def test_threads_wait_for_each_other_in_memory_too():
    store = InMemoryStore(Network.REGTEST, ORIGIN, busy_seconds=0)
    with store.transaction(), refuses("STORE_BUSY"), store.transaction():
        pass
