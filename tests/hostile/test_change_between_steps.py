"""What was swapped between two steps is noticed at the next one (THREATS D3): rows, files, the clock, the charter.

One transfer goes its whole way on a store on disk, and the file is copied after every step. Each test takes the copy of
one moment, changes something in it as whoever owns the database can, and goes on from there with a fresh coordinator.
Nothing may be sent, and no node may have seen the transaction.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from custody.backends.bitcointx import BitcointxJudge
from custody.backends.kernel import KernelJudge
from custody.backends.sql import create_store, open_store
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import PreviousTransaction
from custody.custodian import Custodian, Outside
from custody.envelope import Envelope
from custody.errors import CustodyError
from custody.examine.evidence import Evidence, Stage
from custody.examine.examination import examine
from custody.history import kinds, tables
from custody.history.difference import encoded, first_difference
from custody.history.fold import fold
from custody.history.holdings import holdings
from custody.history.maps import MapRows
from custody.history.rows import Rows
from custody.history.state import State
from custody.log import EntryHead, Frontier, LogEntry, SignedCheckpoint, cosign, seal, sign_checkpoint
from custody.log.checkpoint import Checkpoint
from custody.log.witnessing import LogKey
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, ORIGIN, WITNESS, Chance, Setting, SoftwareWitness, make_cast, person_key
from custody.testing.chain import RegtestChain
from custody.testing.scenario import HOUR, RATE, RememberedState, Scenario
from custody.transfer.observe import ChainSeen
from custody.transfer.signing import signing_psbt
from custody.transfer.state import Status
from custody.units import Network
from custody.words import show_words

DAY = 24 * HOUR


class Shifted:
    """A clock that somebody has moved."""

    def __init__(self, chain: RegtestChain, seconds: int) -> None:
        self._chain, self._seconds = chain, seconds

    def now(self) -> int:
        return self._chain.now() + self._seconds


@dataclass
class Moment:
    """The store after one step, and what the witness had seen by then."""

    path: Path
    seen: Frontier | None


@dataclass
class Route:
    """One transfer's way, and what was carried in between."""

    story: Scenario
    folder: Path
    moments: dict[str, Moment] = field(default_factory=dict)
    request: Envelope | None = None
    transfer_id: bytes = b""
    approvals: list[Envelope] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    asked: Evidence | None = None
    """What the last officer was shown."""
    returned: list[Psbt] = field(default_factory=list)
    copies: int = 0

    @property
    def funding(self) -> bytes:
        """A raw transaction whose output the transfer spends."""
        return self.evidence[0].previous[0]

    @property
    def foreign(self) -> bytes:
        """A raw transaction that pays the vault, but nothing that the transfer spends."""
        with self.story.store.read() as view:
            kept = [view.document(each.txid) for each in holdings(self.story.history(), self.story.cast.vault.id)]
        return next(raw for raw in kept if raw is not None and raw not in self.evidence[0].previous)

    def keep(self, name: str) -> None:
        path = self.folder / f"{name}.sqlite".replace(" ", "-")
        shutil.copy(self.folder / "log.sqlite", path)
        self.moments[name] = Moment(path, self.story.witnesses[0].state)

    def copy(self, name: str) -> Path:
        self.copies += 1
        path = self.folder / f"copy-{self.copies}.sqlite"
        shutil.copy(self.moments[name].path, path)
        # Whoever owns the file takes its triggers away first; they are there against accidents.
        for (trigger,) in read(path, "SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            write(path, f"DROP TRIGGER {trigger}", is_schema=True)
        return path

    def custodian(self, path: Path, name: str, *, charter: bytes | None = None, shift: int = 0) -> Custodian:
        """A coordinator that was just started on this file."""
        cast, chain = self.story.cast, self.story.chain
        clock = Shifted(chain, shift)
        witness = SoftwareWitness(WITNESS, cast.witness, LogKey(ORIGIN, cast.charter.coordinator), clock)
        witness.state = self.moments[name].seen
        chance = Chance(len(name))
        outside = Outside(
            views=(chain.view,),
            relay=chain.view,
            judges=(KernelJudge(), BitcointxJudge()),
            clock=clock,
            below=chance.below,
            salt=chance.salt,
            witnesses=(witness,),
        )
        return Custodian(open_store(path, Network.REGTEST), charter or cast.digest, cast.coordinator, outside)

    def next_step(self, name: str) -> Callable[[Custodian], object]:
        """What comes after this moment."""
        transfer = self.transfer_id
        return {
            "requested": lambda c: c.draft(self.story.history().transfer(transfer).draft.identity.request, RATE),
            "drafted": lambda c: c.decide(transfer),
            "decided": lambda c: c.approve(self.approvals[0]),
            "approved once": lambda c: c.approve(self.approvals[1]),
            "approved": lambda c: c.authorize(transfer),
            "authorized": lambda c: c.request_signatures(transfer),
            "signing": lambda c: c.receive(transfer, self.returned[0]),
            "signed once": lambda c: c.receive(transfer, self.returned[1]),
            "signed": lambda c: c.combine(transfer),
            "combined": lambda c: c.verify(transfer),
            "verified": lambda c: c.release(transfer),
            "released": lambda c: c.deliver(),
        }[name]


STEPS = (
    "requested",
    "drafted",
    "decided",
    "approved once",
    "approved",
    "authorized",
    "signing",
    "signed once",
    "signed",
    "combined",
    "verified",
    "released",
)


@pytest.fixture(scope="module")
def route(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Route]:
    folder = tmp_path_factory.mktemp("route")
    cast = make_cast()
    store = create_store(folder / "log.sqlite", Network.REGTEST, cast.charter.origin)
    story = Scenario.begin(chain=RegtestChain.funded(4), store=store)
    story.custodian.observe()
    for amount in (60_000_000, 40_000_000, 30_000_000):
        story.deposit(amount)
    story.mine(1)
    route = Route(story, folder)
    custodian = story.custodian
    route.request = story.request()
    request_id = custodian.submit(route.request).digest()
    route.keep("requested")
    transfer = route.transfer_id = custodian.draft(request_id, RATE).transfer_id
    route.keep("drafted")
    custodian.decide(transfer)
    route.keep("decided")
    for officer, name in zip(OFFICERS, ("approved once", "approved"), strict=False):
        route.asked = custodian.evidence(transfer)
        approval = story.approval(route.asked, officer)
        route.approvals.append(approval)
        custodian.approve(approval)
        route.keep(name)
    custodian.authorize(transfer)
    route.keep("authorized")
    custodian.request_signatures(transfer)
    route.keep("signing")
    for cosigner, name in enumerate(("signed once", "signed")):
        route.evidence.append(custodian.evidence(transfer))
        route.returned.append(story.signature(transfer, cosigner))
        custodian.receive(transfer, route.returned[-1])
        route.keep(name)
    custodian.combine(transfer)
    route.keep("combined")
    custodian.verify(transfer)
    route.keep("verified")
    custodian.release(transfer)
    route.keep("released")
    assert tuple(route.moments) == STEPS
    yield route
    story.close()


@pytest.fixture(autouse=True)
def nothing_was_sent(route) -> Iterator[None]:
    """Whatever a test does, no node has seen a transaction when it ends."""
    assert not route.story.chain.view.pending()
    yield
    assert not route.story.chain.view.pending()


def write(path: Path, statement: str, *values: object, is_schema: bool = False) -> None:
    """What somebody does who has the file and a text book."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("PRAGMA synchronous=OFF")
        assert connection.execute(statement, values).rowcount > 0 or is_schema, statement
    connection.close()


def read(path: Path, statement: str, *values: object) -> list[tuple]:
    connection = sqlite3.connect(path)
    rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


def entries_of(path: Path) -> list[LogEntry]:
    rows = read(
        path, 'SELECT head, salt, body FROM entries LEFT JOIN bodies ON bodies."index" = entries."index" ORDER BY 1'
    )
    found = [LogEntry(EntryHead.from_bytes(head), salt or b"", body) for head, salt, body in rows]
    return sorted(found, key=lambda entry: entry.head.index)


def rewrite(path: Path, entries: list[LogEntry], *, is_whole: bool = True) -> None:
    """Write another log, every hash of it computed anew; unless `is_whole`, the roots and the log's head stay."""
    connection = sqlite3.connect(path)
    frontier = Frontier()
    with connection:
        connection.execute("PRAGMA synchronous=OFF")
        roots = dict(connection.execute('SELECT "index", root FROM entries'))
        connection.execute("DELETE FROM bodies")
        connection.execute("DELETE FROM entries")
        for entry in entries:
            frontier = frontier.append(entry.leaf)
            index = entry.head.index
            root = frontier.root if is_whole else roots[index]
            connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?)", (index, entry.head.to_bytes(), entry.leaf, root)
            )
            if entry.body is not None:
                connection.execute("INSERT INTO bodies VALUES (?, ?, ?)", (index, entry.salt, entry.body))
        if is_whole:
            values = (frontier.size, b"".join(frontier.peaks))
            connection.execute("UPDATE log_head SET size = ?, peaks = ?", values)
            connection.execute("UPDATE state_head SET size = ?, peaks = ?", values)
    connection.close()


def resealed(entry: LogEntry, kind: str, body: bytes, author: str = "coordinator") -> LogEntry:
    return seal(entry.head.index, kind, author, entry.head.subjects, body, entry.salt)


BEFORE_SIGNING = (kinds.REQUESTED, kinds.DRAFTED, kinds.DECIDED, kinds.APPROVED, kinds.AUTHORIZED)
GOES_BY = {
    "requested": (kinds.REQUESTED,),
    "drafted": BEFORE_SIGNING[:2],
    "decided": BEFORE_SIGNING[:2],
    "approved once": (*BEFORE_SIGNING[:2], kinds.APPROVED),
    "approved": BEFORE_SIGNING[:4],
    "authorized": BEFORE_SIGNING,
    "signing": (kinds.DRAFTED, kinds.SIGNING_REQUESTED),
    "signed once": (kinds.DRAFTED, kinds.SIGNING_REQUESTED, kinds.SIGNED),
    "signed": (kinds.DRAFTED, kinds.SIGNED),
    "combined": (kinds.DRAFTED, kinds.COMBINED),
    "verified": (*BEFORE_SIGNING, kinds.SIGNING_REQUESTED, kinds.COMBINED, kinds.VERIFIED),
    "released": (kinds.DRAFTED, kinds.VERIFIED, kinds.RELEASED),
}
"""What the step after each moment reads of the log, beside the charter. All else it knows from rows."""


def gone_by(path: Path, moment: str) -> list[LogEntry]:
    """The entries that the step after this moment goes by."""
    read_again = {kinds.CHARTER_ADOPTED, *GOES_BY[moment]}
    return [entry for entry in entries_of(path) if entry.head.entry in read_again]


def altered(body: bytes) -> bytes:
    """The same with one bit turned, in its last text if it has one."""
    at = body.rindex(b'"') - 1 if b'"' in body else len(body) - 1
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


# --- nothing changed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [each for each in STEPS if each != "released"])
def test_an_untouched_copy_goes_on(route, moment):
    route.next_step(moment)(route.custodian(route.copy(moment), moment))


# --- rows of the log ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", STEPS)
def test_no_body_that_a_step_goes_by_can_be_changed(route, moment):
    path = route.copy(moment)
    for entry in gone_by(path, moment):
        body, index = entry.body, entry.head.index
        write(path, 'UPDATE bodies SET body = ? WHERE "index" = ?', altered(body), index)
        with refuses("LOG_CORRUPT") as caught:
            route.next_step(moment)(route.custodian(path, moment))
        assert caught.error.index == index
        write(path, 'UPDATE bodies SET body = ? WHERE "index" = ?', body, index)


@pytest.mark.parametrize("moment", STEPS)
def test_no_head_that_a_step_goes_by_can_be_changed(route, moment):
    path = route.copy(moment)
    for entry in gone_by(path, moment):
        head, index = entry.head.to_bytes(), entry.head.index
        other = head.replace(b'"author":"', b'"author":"x', 1)
        write(path, 'UPDATE entries SET head = ? WHERE "index" = ?', other, index)
        with refuses("LOG_CORRUPT") as caught:
            route.next_step(moment)(route.custodian(path, moment))
        assert caught.error.index == index
        write(path, 'UPDATE entries SET head = ? WHERE "index" = ?', head, index)


def test_what_no_step_reads_again_is_found_by_whoever_checks_the_store(route):
    path = route.copy("released")
    for entry in entries_of(path):
        index, head, body = entry.head.index, entry.head.to_bytes(), entry.body
        other = head.replace(b'"author":"', b'"author":"x', 1)
        for table, column, good, bad in (("bodies", "body", body, altered(body)), ("entries", "head", head, other)):
            statement = f'UPDATE {table} SET {column} = ? WHERE "index" = ?'  # noqa: S608 - two constants
            write(path, statement, bad, index)
            with refuses("LOG_CORRUPT") as caught:
                open_store(path, Network.REGTEST).verify()
            assert caught.error.index == index
            write(path, statement, good, index)
    assert open_store(path, Network.REGTEST).verify()


@pytest.mark.parametrize("moment", STEPS)
def test_two_entries_cannot_change_places(route, moment):
    path = route.copy(moment)
    first, *_, second = gone_by(path, moment)
    for one, other in ((first, second), (second, first)):
        write(path, 'UPDATE bodies SET body = ?, salt = ? WHERE "index" = ?', one.body, one.salt, other.head.index)
    with refuses("LOG_CORRUPT"):
        route.next_step(moment)(route.custodian(path, moment))


@pytest.mark.parametrize("moment", STEPS)
def test_no_entry_can_be_replaced_by_another_that_is_right_in_itself(route, moment):
    # Head, leaf and body fit each other; only the roots above still tell of the entry that stood there. Steps go by
    # what was folded when it was written, the store's check and every reader by the roots.
    path = route.copy(moment)
    entries = entries_of(path)
    at = next(index for index, entry in enumerate(entries) if entry.head.entry == kinds.CHAIN_SEEN)
    seen = ChainSeen.from_bytes(entries[at].body)
    taller = ChainSeen(height=seen.height + 1_000, block=seen.block, time=seen.at, at=seen.at)
    entries[at] = resealed(entries[at], kinds.CHAIN_SEEN, taller.to_bytes())
    rewrite(path, entries, is_whole=False)
    with refuses("LOG_CORRUPT"):
        open_store(path, Network.REGTEST).verify()
    custodian = route.custodian(path, moment)
    assert custodian.history().height < taller.height
    if moment not in ("requested", "drafted"):
        stage = Stage.APPROVE if STEPS.index(moment) < STEPS.index("signing") else Stage.SIGN
        with refuses("PROOF_INVALID"):
            examine(
                custodian.evidence(route.transfer_id), State(route.story.cast.digest), stage, route.story.chain.now()
            )


@pytest.mark.parametrize("moment", STEPS)
def test_no_body_that_a_step_goes_by_can_be_taken_away(route, moment):
    path = route.copy(moment)
    for entry in gone_by(path, moment):
        write(path, 'DELETE FROM bodies WHERE "index" = ?', entry.head.index)
        with refuses("BODY_WITHHELD") as caught:
            route.next_step(moment)(route.custodian(path, moment))
        assert caught.error.index == entry.head.index
        write(path, "INSERT INTO bodies VALUES (?, ?, ?)", entry.head.index, entry.salt, entry.body)


@pytest.mark.parametrize("moment", STEPS)
def test_the_log_s_end_cannot_be_cut_off(route, moment):
    path = route.copy(moment)
    last = len(entries_of(path)) - 1
    write(path, 'DELETE FROM bodies WHERE "index" = ?', last)
    write(path, 'DELETE FROM entries WHERE "index" = ?', last)
    with refuses("LOG_CORRUPT"):
        route.next_step(moment)(route.custodian(path, moment))


# --- rows of the history --------------------------------------------------------------------------------------------


SAY_OTHERWISE = "UPDATE state_rows SET value = CAST(replace(value, '{}', '{}') AS BLOB) WHERE name = 'transfers'"
"""One status for another."""


def folded(route, path: Path) -> tuple[Rows, Rows]:
    """The rows in a file, and those that its log makes."""
    store = open_store(path, Network.REGTEST)
    with store.read() as view:
        return view.rows(), MapRows.of(fold(State(route.story.cast.digest), view.entries()))


@pytest.mark.parametrize("moment", STEPS)
def test_the_rows_are_what_the_log_makes(route, moment):
    kept, made = folded(route, route.copy(moment))
    assert first_difference(encoded(made), encoded(kept), tables.ALL) is None
    assert (kept.head.frontier, kept.head.total.digest()) == (made.head.frontier, made.head.total.digest())


def test_a_row_that_was_changed_taken_away_or_added_is_named(route):
    for name, change in (
        ("transfers", SAY_OTHERWISE.format("signing", "drafted")),
        ("held", "DELETE FROM state_rows WHERE name = 'held'"),
        ("spoken", "INSERT INTO state_rows VALUES ('spoken', x'00', 1, 9223372036854775807, x'5b5d')"),
    ):
        path = route.copy("signing")
        write(path, change)
        kept, made = folded(route, path)
        assert first_difference(encoded(made), encoded(kept), tables.ALL).table == name


def test_a_row_that_does_not_read_stops_whoever_reads_it(route):
    path = route.copy("verified")
    write(path, "UPDATE state_rows SET value = x'00' WHERE name = 'transfers'")
    with refuses("STATE_CORRUPT") as caught:
        route.custodian(path, "verified").release(route.transfer_id)
    assert caught.error.key == route.transfer_id.hex()


@pytest.mark.parametrize("moment", STEPS[1:])
def test_rows_of_another_log_than_the_one_beside_them_stop_everything(route, moment):
    path = route.copy(moment)
    ((size, peaks),) = read(route.copy(STEPS[STEPS.index(moment) - 1]), "SELECT size, peaks FROM state_head")
    write(path, "UPDATE state_head SET size = ?, peaks = ?", size, peaks)
    with refuses("STATE_BEHIND"):
        route.next_step(moment)(route.custodian(path, moment))


def test_a_row_that_says_signed_releases_nothing_that_was_not(route):
    # The status alone says that a transaction was verified; where the log tells of that is another field.
    path = route.copy("authorized")
    write(path, SAY_OTHERWISE.format("authorized", "verified"))
    with refuses("STATE_CHANGED"):
        route.custodian(path, "authorized").release(route.transfer_id)


def test_a_previous_transaction_that_was_swapped_is_none(route):
    path = route.copy("authorized")
    for other in (b"", altered(route.funding), route.foreign):
        write(path, "UPDATE documents SET data = ?", other)
        with refuses("PREVTX_MISSING"):
            route.custodian(path, "authorized").request_signatures(route.transfer_id)


@pytest.mark.parametrize("moment", STEPS[1:])
def test_a_coordinator_at_work_notices_that_an_older_copy_was_put_in_place(route, moment):
    # The older copy is a good store in itself.
    path = route.copy(moment)
    custodian = route.custodian(path, moment)
    custodian.history()
    earlier = route.moments[STEPS[STEPS.index(moment) - 1]].path
    shutil.copy(earlier, path)
    # The older copy has nothing to send yet, which is as good a reason.
    code = "NOTHING_TO_SEND" if moment == "released" else "ROLLBACK"
    for _ in range(2):
        with refuses(code):
            route.next_step(moment)(custodian)
    with refuses("ROLLBACK"):
        custodian.history()


@pytest.mark.parametrize("moment", STEPS[1:])
def test_a_coordinator_at_work_notices_that_the_whole_log_was_rewritten(route, moment):
    path = route.copy(moment)
    custodian = route.custodian(path, moment)
    custodian.history()
    entries = entries_of(path)
    entries[-1] = resealed(
        entries[-1], kinds.CHAIN_SEEN, ChainSeen(height=10_000, block=bytes(32), time=1, at=1).to_bytes()
    )
    rewrite(path, entries)
    with refuses("ROLLBACK"):
        route.next_step(moment)(custodian)


@pytest.mark.parametrize("moment", ["approved", "authorized", "signing", "verified"])
def test_a_rewritten_log_finds_no_witness_even_after_a_restart(route, moment):
    # Everything in the file agrees with itself, and the coordinator has just been started: it cannot know. What leaves
    # its machine needs a witness, who does.
    path = route.copy(moment)
    entries = entries_of(path)
    at = next(index for index, entry in enumerate(entries) if entry.head.entry == kinds.CHAIN_SEEN)
    seen = ChainSeen.from_bytes(entries[at].body)
    taller = ChainSeen(height=seen.height + 1_000, block=seen.block, time=seen.at, at=seen.at)
    entries[at] = resealed(entries[at], kinds.CHAIN_SEEN, taller.to_bytes())
    rewrite(path, entries)
    write(path, "DELETE FROM checkpoints")
    custodian = route.custodian(path, moment)
    with refuses("PROOF_INVALID"):
        custodian.evidence(route.transfer_id)
    if moment == "verified":
        with refuses("PROOF_INVALID"):
            custodian.release(route.transfer_id)


@pytest.mark.parametrize("moment", ["approved", "authorized", "signing"])
def test_a_restored_backup_finds_no_witness_even_after_a_restart(route, moment):
    path = route.copy(moment)
    rewrite(path, entries_of(path)[:-1])
    write(path, "DELETE FROM checkpoints")
    custodian = route.custodian(path, "released")
    with refuses("WITNESS_CONFLICT"):
        custodian.evidence(route.transfer_id)


# --- the outbox -----------------------------------------------------------------------------------------------------


def test_other_bytes_in_the_outbox_are_not_sent(route):
    transfer = route.story.transfer(route.transfer_id)
    raw = transfer.verified.raw
    other_signature = raw.replace(b"\x47\x30\x44", b"\x47\x30\x45", 1)
    for swapped in (
        raw[:-1] + bytes([raw[-1] ^ 1]),
        transfer.draft.identity.transactions[0],
        other_signature,
        b"",
        raw + b"\x00",
    ):
        path = route.copy("released")
        write(path, "UPDATE outbox SET raw = ?", swapped)
        with refuses("STATE_CHANGED"):
            route.custodian(path, "released").deliver()


def test_a_row_under_another_transfer_s_name_sends_nothing(route):
    path = route.copy("released")
    write(path, "UPDATE outbox SET transfer_id = ?", bytes(32))
    custodian = route.custodian(path, "released")
    assert custodian.deliver() == ()
    assert custodian.history().transfer(route.transfer_id).status is Status.RELEASED


def test_an_emptied_outbox_sends_nothing(route):
    path = route.copy("released")
    write(path, "DELETE FROM outbox")
    with refuses("NOTHING_TO_SEND"):
        route.custodian(path, "released").deliver()


@pytest.mark.parametrize("moment", [each for each in STEPS if each not in {"requested", "released"}])
def test_a_row_in_the_outbox_is_no_release(route, moment):
    # The finished, valid transaction, put into the outbox by hand before anybody released it.
    raw = route.story.transfer(route.transfer_id).verified.raw
    path = route.copy(moment)
    write(path, "INSERT INTO outbox VALUES (1, ?, ?, 1, 0, 0, '')", route.transfer_id, raw)
    with refuses("STATE_CHANGED"):
        route.custodian(path, moment).deliver()


# --- holds ----------------------------------------------------------------------------------------------------------


def test_a_coin_held_by_another_name_is_not_drafted(route):
    path = route.copy("requested")
    held = holdings(route.story.history(), route.story.cast.vault.id)
    for outpoint in (each.outpoint.to_bytes() for each in held):
        write(path, "INSERT INTO holds VALUES (?, ?)", outpoint, bytes(32))
    with refuses("UTXO_RESERVED"):
        route.next_step("requested")(route.custodian(path, "requested"))


@pytest.mark.parametrize("moment", ["drafted", "authorized", "signing", "verified", "released"])
def test_holds_that_were_deleted_free_no_coin(route, moment):
    # The log knows who holds what; the table is only there for two coordinators at once.
    path = route.copy(moment)
    write(path, "DELETE FROM holds")
    custodian = route.custodian(path, moment)
    second = custodian.submit(route.story.request(("Supplier", 20_000_000)))
    drafted = custodian.draft(second.digest(), RATE)
    assert set(drafted.outpoints).isdisjoint(route.story.transfer(route.transfer_id).draft.outpoints)


# --- checkpoints ----------------------------------------------------------------------------------------------------


def note(route: Route, path: Path, *, key: str = "coordinator", root: bytes | None = None, longer: int = 0) -> str:
    """A checkpoint of the log in this file, with the witness's own cosignature."""
    frontier = Frontier.of(entry.leaf for entry in entries_of(path))
    checkpoint = Checkpoint(ORIGIN, frontier.size + longer, root or frontier.root)
    signed = sign_checkpoint(checkpoint, ORIGIN, person_key(key))
    return cosign(signed, WITNESS, route.story.cast.witness, route.story.chain.now()).text()


def put(path: Path, text: str) -> None:
    size = SignedCheckpoint.parse(text).checkpoint.size
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM checkpoints")
        connection.execute("INSERT INTO checkpoints VALUES (?, ?)", (size, text))
    connection.close()


def test_the_checkpoint_of_these_tests_is_a_good_one(route):
    path = route.copy("verified")
    put(path, note(route, path))
    route.custodian(path, "verified").release(route.transfer_id)


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"key": "eve"}, "CHECKPOINT_INVALID"),
        ({"root": b"\x07" * 32}, "HISTORY_FORKED"),
        ({"longer": 3}, "HISTORY_FORKED"),
    ],
    ids=["signed by another key", "another root", "a longer log"],
)
def test_a_swapped_checkpoint_releases_nothing(route, lie, code):
    path = route.copy("verified")
    put(path, note(route, path, **lie))
    with refuses(code):
        route.custodian(path, "verified").release(route.transfer_id)


def test_a_damaged_checkpoint_releases_nothing(route):
    path = route.copy("verified")
    put(path, note(route, path))
    write(path, "UPDATE checkpoints SET note = 'nothing'")
    with refuses("CHECKPOINT_INVALID"):
        route.custodian(path, "verified").release(route.transfer_id)


# --- the charter ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", STEPS)
def test_another_pinned_charter_stops_everything(route, moment):
    with refuses("CHARTER_MISMATCH"):
        route.next_step(moment)(route.custodian(route.copy(moment), moment, charter=bytes(32)))


@pytest.mark.parametrize("moment", STEPS)
def test_another_charter_in_the_log_stops_everything(route, moment):
    path = route.copy(moment)
    entries = entries_of(path)
    other = make_cast(Setting(approvals=1))
    entries[0] = resealed(entries[0], kinds.CHARTER_ADOPTED, other.envelope.to_bytes())
    rewrite(path, entries)
    with refuses("CHARTER_MISMATCH"):
        route.next_step(moment)(route.custodian(path, moment))


def test_a_store_of_another_network_is_not_opened(route):
    path = route.copy("released")
    write(path, "UPDATE meta SET network = 'main'")
    with refuses("NETWORK_MISMATCH"):
        route.custodian(path, "released")


# --- the clock ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "shift", "code"),
    [
        ("requested", 73 * HOUR, "REQUEST_EXPIRED"),
        ("approved", 8 * DAY, "APPROVAL_EXPIRED"),
        ("approved", -DAY, "CLOCK_SKEW"),
        ("authorized", 73 * HOUR, "REQUEST_EXPIRED"),
        ("verified", 8 * DAY, "APPROVAL_EXPIRED"),
        ("verified", -DAY, "CLOCK_SKEW"),
        ("verified", 365 * DAY, "APPROVAL_EXPIRED"),
    ],
)
def test_a_clock_that_was_moved_lets_nothing_pass_that_does_not_hold_then(route, moment, shift, code):
    with refuses(code):
        route.next_step(moment)(route.custodian(route.copy(moment), moment, shift=shift))


@pytest.mark.parametrize(("shift", "code"), [(8 * DAY, "APPROVAL_EXPIRED"), (-DAY, "CLOCK_SKEW")])
def test_a_station_does_not_sign_when_the_approvals_do_not_hold(route, shift, code):
    cast = route.story.cast
    station = Station(RememberedState(), Shifted(route.story.chain, shift))
    station.trust(cast.envelope, show_words(cast.digest))
    with refuses(code):
        station.sign(route.evidence[0], cast.signers[0])


# --- files between two machines -------------------------------------------------------------------------------------


def test_a_file_put_together_from_two_moments_is_refused(route, edit):
    # The lines of one export under the checkpoint of another: each is true.
    story = route.story
    now, nothing = story.chain.now(), State(story.cast.digest)
    early, late = route.asked, route.evidence[1]
    assert len(early.lines) < len(late.lines)
    seen = examine(early, nothing, Stage.APPROVE, now).shown.state
    for known in (nothing, seen):
        assert examine(late, known, Stage.SIGN, now)
        for file, checkpoint in ((early, late.checkpoint), (late, early.checkpoint)):
            with refuses("EVIDENCE_INVALID"):
                examine(edit(file, checkpoint=checkpoint), known, Stage.SIGN, now)
        with refuses("EVIDENCE_INVALID"):
            examine(edit(late, lines=late.lines[:-1]), known, Stage.SIGN, now)
        fewer = edit(late, previous=(*late.previous, route.foreign))
        with refuses("NOT_LOGGED"):
            examine(fewer, known, Stage.SIGN, now)


def test_every_byte_of_an_evidence_file_counts(route):
    story = route.story
    good = route.evidence[0].to_bytes()
    nothing = State(story.cast.digest)
    refusals = set()
    # A prime step, so that every part of the file is met.
    for at in range(0, len(good), 97):
        changed = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        with pytest.raises(CustodyError) as caught:
            examine(Evidence.from_bytes(changed), nothing, Stage.SIGN, story.chain.now())
        assert caught.value.advice()
        refusals.add(caught.value.code)
    assert refusals >= {"CHECKPOINT_INVALID", "LOG_CORRUPT", "NOT_LOGGED", "RECORD_INVALID"}


def test_the_signatures_of_another_transfer_are_not_taken(route):
    path = route.copy("signing")
    custodian = route.custodian(path, "signing")
    story = route.story
    second = custodian.submit(story.request(("Supplier", 20_000_000)))
    drafted = custodian.draft(second.digest(), RATE)
    custodian.decide(drafted.transfer_id)
    with refuses("STEP_EARLY"):
        custodian.receive(drafted.transfer_id, route.returned[0])
    previous = {PreviousTransaction(raw).txid: raw for raw in custodian.evidence(drafted.transfer_id).previous}
    asked = signing_psbt(drafted, story.cast.vault, previous).to_psbt()
    other = story.cast.signers[0].sign(asked)
    with refuses("COSIGNER_ALTERED"):
        custodian.receive(route.transfer_id, other)
    assert custodian.history().transfer(route.transfer_id).status is Status.SIGNING
