"""Does anything cost more because much has happened? The same work on a log of 1,000 entries and on a long one.

Both histories are what `custody.testing.years` writes, kept in build/ between runs, and worked on in copies. Each lap
takes one new transfer on each of them from its request to its release, and every step has its own time; so does what a
process costs that starts, opens the store and looks at one transfer. Reading a whole log, and beginning
with a snapshot of it, is done once.

Everything happens in a process of its own, as in `growth`.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import multiprocessing
import shutil
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import Row
from plan import (
    ALONE,
    BALANCE,
    BLOCK,
    CATCH_UP,
    CATCH_UP_MEMORY,
    DEEDS,
    EVIDENCE_SIZE,
    EXAMINE,
    FEW_ENTRIES,
    LOCKED,
    LOOK,
    MEMORY,
    NEW_LINES,
    REBUILD,
    REBUILD_MEMORY,
    SNAPSHOT,
    TOGETHER,
    ageing_goals,
)

from custody.backends.sql.store import SqlStore
from custody.backends.station import FileStationMemory
from custody.bitcoin.block import Block, merkle_root
from custody.bitcoin.script import p2wpkh
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.custodian import Custodian, Outside
from custody.envelope import sign
from custody.examine.confirmed import confirmation
from custody.examine.evidence import Evidence, Stage
from custody.examine.examination import examine
from custody.history import lists, tables
from custody.history.state import State
from custody.history.tables import outpoint_key
from custody.log.witnessing import LogKey
from custody.logbook import Logbook
from custody.ports import StationState, StoreTransaction
from custody.testing.cast import OFFICERS, SUPPLIER, WITNESS, Chance, SoftwareWitness, expected, make_cast
from custody.testing.years import HUGE, LARGE, RATE, SMALL, MadeUpChain, People, Size, kept_years
from custody.units import Network

BUILD = Path("build")
SIZES = {size.entries: size for size in (SMALL, LARGE, HUGE)}
UNIT = 1_000
"""Entries appended in one unit of work, and those that reading a whole log is counted by."""
_LOOK = Path(__file__).with_name("look.py")


def ageing(entries: int, laps: int) -> list[Row]:
    """The rows of a long log beside a short one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as other:
        return other.submit(_age, entries, laps).result()


def _age(entries: int, laps: int) -> list[Row]:
    with TemporaryDirectory() as folder:
        offices = [_Office(SIZES[each], Path(folder)) for each in (FEW_ENTRIES, entries)]
        for office in offices:
            office.read_again()
        gc.collect()
        gc.freeze()
        for _ in range(laps + 1):
            for office in offices:
                office.lap()
        for office in offices:
            office.examine()
        young, old = (office.times() for office in offices)
    return [Row.of(goal, old[goal.name], _theirs(goal.peer, young.get(goal.name))) for goal in ageing_goals(entries)]


def _theirs(peer: str, young: float | None) -> float | None:
    """The peer's time: of the young log, or a bound as the goal words it, such as "150 MB"."""
    if peer.startswith("ours"):
        return young
    number, unit = peer.split()
    return float(number) * {"ms": 1e3, "s": 1e6, "kB": 1e3, "MB": 1e3}[unit]


class _LockedStore(SqlStore):
    """A store that notes the CPU time of its longest transaction, in microseconds."""

    longest = 0.0

    @contextmanager
    def transaction(self) -> Iterator[StoreTransaction]:
        start = time.process_time_ns()
        with super().transaction() as transaction:
            yield transaction
        self.longest = max(self.longest, (time.process_time_ns() - start) / 1000)


class _Office:
    """Everybody around one store. What is measured lies in `_found`, in microseconds, bytes or kB."""

    def __init__(self, size: Size, folder: Path) -> None:
        self._size = size
        self._cast = make_cast(size.setting)
        self._chance = Chance(size.entries)
        self._people = People(self._cast, self._chance)
        self._path = folder / f"{size.entries}.sqlite"
        shutil.copy(kept_years(size, BUILD, _tell(size)), self._path)
        self._store = _LockedStore(self._path, Network.REGTEST, 10)
        self._logbook = Logbook(self._store, self._cast.digest, self._chance.salt)
        newest, before = islice(lists.blocks(self._logbook.read()), 2)
        chain = MadeUpChain(newest[0], before[1].block)
        self._clock = chain
        charter = self._cast.charter
        self._witness = SoftwareWitness(WITNESS, self._cast.witness, LogKey(charter.origin, charter.coordinator), chain)
        outside = Outside((chain,), chain, (), chain, self._chance.below, self._chance.salt, (self._witness,))
        self._custodian = Custodian(self._store, self._cast.digest, self._cast.coordinator, outside)
        self._found: dict[str, list[float]] = {}
        self._kept: dict[str, list[float]] = {}
        self._laps = 0
        self._station = folder / f"{size.entries}.station"

    def times(self) -> dict[str, float]:
        """What was found, the median of each."""
        return {name: statistics.median(found) for name, found in self._found.items()}

    def lap(self) -> None:
        """One transfer from request to release, and one process that looks at it; the first time nothing is noted."""
        self._laps += 1
        if self._laps == 2:
            self._found = dict(self._kept)
        self._store.longest = 0.0
        transfer_id = self._transfer()
        self._note(LOCKED, self._store.longest)
        self._look(transfer_id)
        self._append()
        self._note(BLOCK, _cpu(self._read_block))

    def read_again(self) -> None:
        """Make the rows of the whole log again, and read it as a new reader does."""
        size = self._logbook.read().size
        spent, memory = self._run(REBUILD)
        self._note(REBUILD, spent / size * UNIT)
        self._note(REBUILD_MEMORY, memory)
        self._custodian.seal()
        history = self._logbook.read()
        confirmed = sign(confirmation(history), *(self._cast.people[each] for each in OFFICERS[:2]))
        showing = self._custodian.showing
        spent, memory = self._read_by(self._station, CATCH_UP, showing.log_file())
        self._note(CATCH_UP, spent / size * UNIT)
        self._note(CATCH_UP_MEMORY, memory)
        begun = self._station.with_suffix(".begun")
        spent, _ = self._read_by(begun, SNAPSHOT, showing.snapshot([confirmed]))
        self._note(SNAPSHOT, spent / size * UNIT)
        begun.unlink()
        self._kept = dict(self._found)

    def _read_by(self, station: Path, what: str, lines: Iterable[bytes]) -> tuple[float, float]:
        """Microseconds and kB of a station that knows the charter and nothing else, and is given these lines."""
        charter, digest = self._cast.charter, self._cast.digest
        trusted = StationState(
            network=charter.network, origin=charter.origin, charter=digest, charter_version=1, witnessed_at=0
        )
        FileStationMemory(station).save(trusted, State(digest))
        file = station.with_suffix(".lines")
        with file.open("wb") as out:
            out.writelines(line + b"\n" for line in lines)
        found = self._run(what, str(file), path=station)
        file.unlink()
        return found

    def examine(self) -> None:
        """Judge a transfer by a file of many lines that this reader has not seen."""
        known = State.over(FileStationMemory(self._station).rows(), self._cast.digest)
        self._append_entries(max(0, NEW_LINES - (self._logbook.read().size - known.size)))
        transfer_id = self._requested()
        evidence = self._custodian.evidence(transfer_id, known.size)
        raw = evidence.to_bytes()
        self._note(EXAMINE, _cpu(lambda: examine(Evidence.from_bytes(raw), known, Stage.SIGN, self._clock.now())))

    # --- one transfer ------------------------------------------------------------------------------------------------

    def _transfer(self) -> bytes:
        custodian, cast, now = self._custodian, self._cast, self._clock.now()
        with self._store.read() as view:
            since = view.size
        vault = self._vault()
        request = self._people.request(now, vault, SUPPLIER)
        asked = self._timed("submit", lambda: custodian.submit(request))
        transfer_id = self._timed("draft", lambda: custodian.draft(asked.digest(), RATE)).transfer_id
        self._timed("decide", lambda: custodian.decide(transfer_id))
        for officer in OFFICERS[:2]:
            with self._logbook.write(now) as work:
                approval = self._people.approval(work, work.history.transfer(transfer_id), officer)
            self._timed("approve", lambda approval=approval: custodian.approve(approval))
        self._timed("authorize", lambda: custodian.authorize(transfer_id))
        self._timed("request signatures", lambda: custodian.request_signatures(transfer_id))
        evidence = self._timed("write the evidence", lambda: custodian.evidence(transfer_id, since))
        self._note(EVIDENCE_SIZE, len(evidence.to_bytes()) - 2 * sum(len(each) for each in evidence.previous))
        with self._logbook.write(now) as work:
            psbt = work.psbt(work.history.transfer(transfer_id)).to_psbt()
        for signer in cast.signers[: cast.vault.threshold]:
            signed = signer.sign(psbt)
            self._timed("receive", lambda signed=signed: custodian.receive(transfer_id, signed))
        self._timed("combine", lambda: custodian.combine(transfer_id))
        self._timed("verify", lambda: custodian.verify(transfer_id))
        self._timed("release", lambda: custodian.release(transfer_id))
        return transfer_id

    def _requested(self) -> bytes:
        """A transfer whose signatures are asked for, not timed."""
        asked = self._custodian.submit(self._people.request(self._clock.now(), self._vault(), SUPPLIER))
        transfer_id = self._custodian.draft(asked.digest(), RATE).transfer_id
        self._custodian.decide(transfer_id)
        for officer in OFFICERS[:2]:
            with self._logbook.write(self._clock.now()) as work:
                approval = self._people.approval(work, work.history.transfer(transfer_id), officer)
            self._custodian.approve(approval)
        self._custodian.authorize(transfer_id)
        self._custodian.request_signatures(transfer_id)
        return transfer_id

    def _vault(self) -> bytes:
        """A vault that has not paid in this run, as far as there is one."""
        vaults = self._cast.charter.vaults
        return self._cast.charter.vault(vaults[self._laps % len(vaults)].name).id

    # --- the rest ----------------------------------------------------------------------------------------------------

    def _look(self, transfer_id: bytes) -> None:
        """A new process for one transfer, and one for a balance."""
        for name, what in ((LOOK, transfer_id.hex()), (BALANCE, self._vault().hex())):
            spent, memory = self._run(name, what)
            self._note(name, spent)
            if name == LOOK:
                self._note(MEMORY, memory)

    def _run(self, *what: str, path: Path | None = None) -> tuple[float, float]:
        """Microseconds and kB of a new process that does something with the store, or with a station's file."""
        arguments = [sys.executable, _LOOK, path or self._path, self._cast.digest.hex(), *what]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        spent, memory = done.stdout.split()[-2:]
        return float(spent), float(memory)

    def _read_block(self) -> None:
        """What a look does with a block in which nothing is ours: read it, and look for every script and outpoint."""
        block = Block.parse(_foreign_block())
        scripts = {script for each in block.transactions for script in each.scripts}
        spent = {outpoint_key(outpoint) for each in block.transactions for outpoint in each.spends}
        found = self._logbook.watched(scripts)
        if found or self._logbook.read().state.get_many(tables.HOLDINGS, spent):
            raise AssertionError("nothing in it is ours")

    def _append(self) -> None:
        self._note(ALONE, _cpu(lambda: self._append_entries(2)))
        self._note(TOGETHER, _cpu(lambda: self._append_entries(UNIT)))

    def _append_entries(self, count: int) -> None:
        """So many entries, in one unit of work: of each address that is given out, itself and what it is for."""
        with self._logbook.write(self._clock.now()) as work:
            for _ in range(count // 2):
                work.issue(self._vault(), expected())

    def _timed(self, name: str, step: Callable[[], Any]) -> Any:
        start = time.process_time_ns()
        answer = step()
        self._note(DEEDS[name], (time.process_time_ns() - start) / 1000)
        return answer

    def _note(self, name: str, value: float) -> None:
        self._found.setdefault(name, []).append(value)


@functools.cache
def _foreign_block(count: int = 3_000) -> bytes:
    """A block whose transactions spend two coins and pay two people each, all of them strangers."""
    transactions = []
    for number in range(count):
        seed = hashlib.sha256(b"foreign %d" % number).digest()
        inputs = tuple(TxIn(OutPoint(seed, place), b"", 0xFFFFFFFD) for place in (0, 1))
        outputs = tuple(TxOut(10_000, p2wpkh(seed[place : place + 20])) for place in (0, 12))
        transactions.append(Transaction(2, inputs, outputs, 0))
    root = merkle_root([each.txid for each in transactions])
    header = struct.pack("<i32s32sIII", 2, bytes(32), root, 0, 0x207FFFFF, 0)
    return header + b"\xfd" + struct.pack("<H", count) + b"".join(each.serialize() for each in transactions)


def _cpu(work: Callable[[], object]) -> float:
    """Microseconds of CPU."""
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1000


def _tell(size: Size) -> Callable[[int, int], None] | None:
    """Say on a terminal how far a history is that is being written."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int, of: int) -> None:
        end = "\n" if done == of else ""
        sys.stderr.write(f"\r{size.entries:,} entries of history: week {done} of {of}{end}")
        sys.stderr.flush()

    return tell
