"""What every store promises: one suite, run on each backend; then what only the one on disk can get wrong."""

import hashlib
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st

from custody.backends.sql import create_store, open_store, schema, upgrade_store
from custody.backends.sql.entries import PAGE
from custody.backends.sql.sqlite import reader
from custody.backends.sql.store import check_revision
from custody.bitcoin.transaction import OutPoint
from custody.envelope import Ed25519Signer
from custody.log import Checkpoint, LogEntry, MerkleTree, open_body, seal, sign_checkpoint, withhold
from custody.ports import OutboxRow, Store, StoreTransaction, plain_reason
from custody.testing.asserts import refuses
from custody.testing.memory import InMemoryStore
from custody.units import Network

ORIGIN = "custody.example/regtest"
COIN_1, COIN_2, COIN_3 = (OutPoint(bytes([n]) * 32, n) for n in (1, 2, 3))
ALICE, BOB = b"\xa1" * 32, b"\xb0" * 32
SIGNER = Ed25519Signer(b"\x07" * 32)


def entry(index: int, body: bytes = b'{"what":"something"}') -> LogEntry:
    return seal(index, "requested", "officer alice", (), body, hashlib.sha256(b"salt %d" % index).digest())


def fill(store: Store, count: int) -> list[LogEntry]:
    with store.transaction() as t:
        start = t.size
        added = [entry(index) for index in range(start, start + count)]
        for each in added:
            t.append(each)
    return added


def note(store: Store, size: int | None = None, origin: str = ORIGIN, root: bytes | None = None) -> str:
    with store.read() as view:
        size = view.size if size is None else size
        checkpoint = Checkpoint(origin=origin, size=size, root=root or view.root_at(size))
    return sign_checkpoint(checkpoint, origin, SIGNER).text()


@dataclass(frozen=True)
class Backend:
    """A fresh store, and a second handle on the same one, as another coordinator would have."""

    make: Callable[[], Store]
    again: Callable[[Store], Store]


@pytest.fixture(params=["sqlite", "memory"])
def backend(request, tmp_path) -> Backend:
    if request.param == "memory":
        return Backend(make=lambda: InMemoryStore(Network.REGTEST, ORIGIN), again=lambda store: store)
    path = tmp_path / "custody.sqlite"
    return Backend(
        make=lambda: create_store(path, Network.REGTEST, ORIGIN),
        again=lambda _: open_store(path, Network.REGTEST),
    )


@pytest.fixture
def store(backend) -> Store:
    return backend.make()


# --- The log ---


def test_a_new_store_is_empty_and_says_whose_it_is(store):
    assert (store.network, store.origin) == (Network.REGTEST, ORIGIN)
    with store.read() as view:
        assert (view.size, view.root) == (0, hashlib.sha256(b"").digest())
        assert list(view.entries()) == []
        assert view.outbox() == ()
        assert view.checkpoint() is None
        assert view.root_at(0) == view.root
    assert store.verify().size == 0


def test_what_was_appended_is_read_by_another_handle_with_the_root_of_a_merkle_tree(backend, store):
    added = fill(store, 3) + fill(store, 4)
    tree = MerkleTree(each.leaf for each in added)
    with backend.again(store).read() as view:
        assert list(view.entries()) == added
        assert [open_body(each) for each in view.entries()] == [open_body(each) for each in added]
        assert list(view.leaves()) == [each.leaf for each in added]
        assert (view.size, view.root) == (7, tree.root())
        assert [view.root_at(size) for size in range(8)] == [tree.root(size) for size in range(8)]
        assert view.frontier().root == view.root
    assert store.verify() == view.frontier()


def test_entries_and_leaves_start_and_stop_where_they_are_told(store):
    added = fill(store, 6)
    with store.read() as view:
        for start, stop in ((0, None), (2, None), (2, 4), (5, 99), (6, None), (4, 2), (99, None)):
            assert list(view.entries(start, stop)) == added[start:stop]
            assert list(view.leaves(start, stop)) == [each.leaf for each in added[start:stop]]


def test_reading_goes_on_over_pages(store):
    count = PAGE + 3
    fill(store, count)
    with store.read() as view:
        assert [each.head.index for each in view.entries()] == list(range(count))
        assert len(list(view.leaves(1))) == count - 1
    assert store.verify().size == count


def test_a_transaction_sees_what_it_has_done_before_anybody_else_does(store):
    with store.transaction() as t:
        t.append(entry(0))
        t.hold([COIN_1], ALICE)
        assert (t.size, [each.head.index for each in t.entries()], t.holder(COIN_1)) == (1, [0], ALICE)
        assert t.root == t.root_at(1) == MerkleTree([entry(0).leaf]).root()
        with store.read() as view:
            assert (view.size, view.holder(COIN_1)) == (0, None)


def test_a_view_stays_as_it_was_when_it_was_opened(store):
    fill(store, 2)
    with store.read() as view:
        before = (view.size, view.root)
        assert list(view.leaves())[-1] == entry(1).leaf
    fill(store, 1)
    assert (view.size, view.root) == before


@pytest.mark.parametrize("index", [0, 1, 3])
def test_an_entry_with_another_index_than_the_next_is_refused(store, index):
    fill(store, 2)
    with refuses("STATE_CHANGED"), store.transaction() as t:
        t.append(entry(index))
    with store.read() as view:
        assert view.size == 2


def test_an_entry_whose_body_is_not_the_sealed_one_is_refused(store):
    with refuses("LOG_CORRUPT") as caught, store.transaction() as t:
        t.append(replace(entry(0), body=b'{"what":"something else"}'))
    assert caught.error.index == 0
    with store.read() as view:
        assert view.size == 0


def test_an_entry_without_its_body_is_kept_as_such(backend, store):
    with store.transaction() as t:
        t.append(withhold(entry(0)))
    with backend.again(store).read() as view:
        assert list(view.entries()) == [withhold(entry(0))]
        assert view.root == MerkleTree([entry(0).leaf]).root()


def test_an_erased_body_is_gone_and_every_root_stays(backend, store):
    added = fill(store, 5)
    with store.read() as view:
        roots = [view.root_at(size) for size in range(6)]
    with store.transaction() as t:
        t.erase_body(2)
    with backend.again(store).read() as view:
        found = list(view.entries())
        assert (found[2].body, found[2].salt) == (None, b"")
        assert found == [*added[:2], withhold(added[2]), *added[3:]]
        assert [view.root_at(size) for size in range(6)] == roots
    assert store.verify().size == 5


def test_only_an_entry_that_is_there_is_erased(store):
    fill(store, 2)
    for index in (-1, 2):
        with refuses("STATE_CHANGED"), store.transaction() as t:
            t.erase_body(index)


def test_a_root_beyond_the_log_is_not_known(store):
    fill(store, 2)
    for size in (-1, 3):
        with refuses("STATE_CHANGED"), store.read() as view:
            view.root_at(size)


# --- One change, all or nothing ---


class Interrupted(Exception):
    """What ends a transaction in the middle."""


def change_all_and_fail(t: StoreTransaction, checkpoint: str) -> None:
    t.append(entry(1))
    t.hold([COIN_2], BOB)
    t.release_holds(ALICE)
    t.queue(BOB, b"raw", 2)
    t.dequeue(ALICE)
    t.erase_body(0)
    t.save_checkpoint(checkpoint)
    raise Interrupted


def test_an_exception_undoes_everything(backend, store):
    fill(store, 1)
    with store.transaction() as t:
        t.hold([COIN_1], ALICE)
        t.queue(ALICE, b"raw", 1)
    before = note(store)
    with pytest.raises(Interrupted), store.transaction() as t:
        change_all_and_fail(t, before)
    with backend.again(store).read() as view:
        assert list(view.entries()) == [entry(0)]
        assert (view.holder(COIN_1), view.holder(COIN_2)) == (ALICE, None)
        assert [row.transfer_id for row in view.outbox()] == [ALICE]
        assert view.checkpoint() is None
    with store.transaction() as t:
        t.append(entry(1))


def test_a_refusal_that_leaves_the_block_undoes_what_came_before_it(store):
    with store.transaction() as t:
        t.hold([COIN_1], ALICE)
    with refuses("UTXO_RESERVED"), store.transaction() as t:
        t.append(entry(0))
        t.hold([COIN_1], BOB)
    with store.read() as view:
        assert view.size == 0


# --- Holds ---


def test_a_coin_has_one_holder(store):
    with store.transaction() as t:
        t.hold([COIN_1, COIN_2], ALICE)
    with refuses("UTXO_RESERVED") as caught, store.transaction() as t:
        t.hold([COIN_3, COIN_2], BOB)
    assert (caught.error.outpoint, caught.error.holder) == (COIN_2, ALICE.hex())
    with store.read() as view:
        assert [view.holder(each) for each in (COIN_1, COIN_2, COIN_3)] == [ALICE, ALICE, None]


def test_a_refused_hold_holds_nothing_even_when_the_transaction_goes_on(store):
    with store.transaction() as t:
        t.hold([COIN_2], ALICE)
        with refuses("UTXO_RESERVED"):
            t.hold([COIN_1, COIN_2, COIN_3], BOB)
    with store.read() as view:
        assert (view.held(ALICE), view.held(BOB)) == ((COIN_2,), ())
        assert view.holds() == {COIN_2: ALICE}


def test_outputs_of_one_transaction_are_different_coins(store):
    with store.transaction() as t:
        t.hold([OutPoint(b"\x09" * 32, 0)], ALICE)
        t.hold([OutPoint(b"\x09" * 32, 2**32 - 1)], BOB)
    with store.read() as view:
        assert view.held(BOB) == (OutPoint(b"\x09" * 32, 2**32 - 1),)


def test_a_replacement_keeps_what_its_group_holds_and_adds_to_it(store):
    with store.transaction() as t:
        t.hold([COIN_1, COIN_2], ALICE)
        t.hold([COIN_2, COIN_3, COIN_3], ALICE)
        assert t.held(ALICE) == (COIN_1, COIN_2, COIN_3)


def test_released_coins_are_free_for_others_and_only_those(store):
    with store.transaction() as t:
        t.hold([COIN_1], ALICE)
        t.hold([COIN_2], BOB)
        t.release_holds(ALICE)
        t.release_holds(ALICE)
        assert (t.holder(COIN_1), t.holder(COIN_2)) == (None, BOB)
        t.hold([COIN_1], BOB)


def test_more_coins_than_a_page_are_held_and_told_apart(store):
    many = [OutPoint(hashlib.sha256(b"%d" % n).digest(), n) for n in range(PAGE + 5)]
    with store.transaction() as t:
        t.hold(many, ALICE)
    with refuses("UTXO_RESERVED") as caught, store.transaction() as t:
        t.hold([COIN_1, many[-1]], BOB)
    assert caught.error.outpoint == many[-1]
    with store.read() as view:
        assert view.held(ALICE) == tuple(sorted(many))


# --- The outbox ---


def test_the_outbox_keeps_its_order_and_counts_attempts(backend, store):
    with store.transaction() as t:
        t.queue(BOB, b"raw of bob", 5)
        t.queue(ALICE, b"raw of alice", 4)
        t.attempted(ALICE, "bad-txns-inputs-missingorspent")
        t.attempted(ALICE, None)
        t.attempted(BOB, "connection refused")
    with backend.again(store).transaction() as t:
        assert t.outbox() == (
            OutboxRow(BOB, b"raw of bob", 5, attempts=1, was_sent=False, last_error="connection refused"),
            OutboxRow(ALICE, b"raw of alice", 4, attempts=2, was_sent=True, last_error=""),
        )
        t.attempted(ALICE, "mempool full")
        assert t.outbox()[1] == OutboxRow(ALICE, b"raw of alice", 4, 3, was_sent=True, last_error="mempool full")
        t.dequeue(BOB)
        assert [row.transfer_id for row in t.outbox()] == [ALICE]


def test_queueing_again_changes_nothing_and_other_bytes_are_refused(store):
    with store.transaction() as t:
        t.queue(ALICE, b"raw", 4)
        t.attempted(ALICE, None)
        t.queue(ALICE, b"raw", 9)
        assert t.outbox() == (OutboxRow(ALICE, b"raw", 4, attempts=1, was_sent=True),)
    with refuses("STATE_CHANGED") as caught, store.transaction() as t:
        t.queue(ALICE, b"swapped", 4)
    assert b"swapped".hex() not in str(caught.error)


def test_a_transfer_that_is_not_queued_has_no_attempts(store):
    for act in (lambda t: t.attempted(ALICE, None), lambda t: t.attempted(ALICE, "no"), lambda t: t.dequeue(ALICE)):
        with refuses("NOT_QUEUED"), store.transaction() as t:
            act(t)


def test_what_a_node_said_is_kept_so_that_it_can_be_shown(store):
    with store.transaction() as t:
        t.queue(ALICE, b"raw", 4)
        t.attempted(ALICE, "\x1b[2J\ud800\u202e" + "x" * 1000)
        kept = t.outbox()[0].last_error
    assert kept == "\\x1b[2J\\ud800\\u202e" + "x" * (200 - 19)


@given(st.text())
def test_a_reason_is_printable_and_short(reason):
    plain = plain_reason(reason)
    assert plain.isascii()
    assert plain.isprintable()
    assert len(plain) <= 200


# --- Checkpoints ---


def test_checkpoints_are_found_by_size_and_the_largest_without(backend, store):
    fill(store, 3)
    notes = {size: note(store, size) for size in (3, 0, 2)}
    with store.transaction() as t:
        for each in notes.values():
            t.save_checkpoint(each)
    with backend.again(store).read() as view:
        assert view.checkpoint() == notes[3]
        assert [view.checkpoint(size) for size in range(4)] == [notes[0], None, notes[2], notes[3]]
        assert list(view.checkpoints()) == [notes[3], notes[2], notes[0]]
        assert list(view.checkpoints(2)) == [notes[3], notes[2]]
    assert store.verify().size == 3


def test_a_checkpoint_with_more_signatures_replaces_the_one_of_its_size(store):
    fill(store, 1)
    first = note(store)
    more = first + first.splitlines()[-1].replace(ORIGIN, "witness.example") + "\n"
    with store.transaction() as t:
        t.save_checkpoint(first)
        t.save_checkpoint(more)
        assert t.checkpoint() == more


def test_a_checkpoint_of_another_history_is_refused(store):
    fill(store, 2)
    for wrong in (
        note(store, 2, root=b"\x01" * 32),
        note(store, 3, root=b"\x01" * 32),
        note(store, origin="else.example"),
    ):
        with refuses("STATE_CHANGED"), store.transaction() as t:
            t.save_checkpoint(wrong)
    with refuses("CHECKPOINT_INVALID"), store.transaction() as t:
        t.save_checkpoint(note(store).replace("\n2\n", "\n02\n"))


# --- Only in memory ---


def test_the_store_in_memory_is_for_regtest_only():
    with refuses("NETWORK_MISMATCH"):
        InMemoryStore(Network.MAIN, ORIGIN)


# --- Only on disk ---


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "custody.sqlite"


@pytest.fixture
def on_disk(path) -> Store:
    return create_store(path, Network.REGTEST, ORIGIN)


def tamper(path: Path, *statements: str) -> None:
    """What somebody with the file and a database browser can do."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER entries_no_update")
    connection.execute("DROP TRIGGER entries_no_delete")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_store_is_one_file_for_its_owner_only(tmp_path, path, on_disk):
    fill(on_disk, 3)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["custody.sqlite"]


def test_a_store_is_never_made_over_a_file(tmp_path, path):
    path.write_bytes(b"something of value")
    with refuses("FILE_EXISTS"):
        create_store(path, Network.REGTEST, ORIGIN)
    assert path.read_bytes() == b"something of value"
    assert [each.name for each in tmp_path.iterdir()] == ["custody.sqlite"]


def test_a_store_needs_a_directory_and_a_name_for_its_log(tmp_path):
    with refuses("STORE_FAILED"):
        create_store(tmp_path / "nowhere" / "custody.sqlite", Network.REGTEST, ORIGIN)
    with refuses("CHECKPOINT_INVALID"):
        create_store(tmp_path / "custody.sqlite", Network.REGTEST, "two words")
    assert list(tmp_path.iterdir()) == []


def test_opening_never_makes_a_store(path):
    for act in (open_store, upgrade_store):
        with refuses("STORE_MISSING"):
            act(path, Network.REGTEST)
    assert not path.exists()


def test_a_store_of_another_network_is_not_opened(path, on_disk):
    fill(on_disk, 1)
    for act in (open_store, upgrade_store):
        with refuses("NETWORK_MISMATCH"):
            act(path, Network.MAIN)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE meta SET format = 2", "STORE_VERSION"),
        ("UPDATE alembic_version SET version_num = '9999'", "STORE_VERSION"),
        ("DELETE FROM alembic_version", "STORE_VERSION"),
        ("DROP TABLE meta", "STORE_VERSION"),
        ("DELETE FROM meta", "STORE_CORRUPT"),
        ("DELETE FROM log_head", "STORE_CORRUPT"),
        ("DROP TABLE log_head", "STORE_CORRUPT"),
        ("UPDATE log_head SET size = 4", "STORE_CORRUPT"),
        ("UPDATE log_head SET size = 4, peaks = substr(peaks, 1, 32)", "LOG_CORRUPT"),
        ("UPDATE log_head SET peaks = zeroblob(64)", "STORE_CORRUPT"),
        ('DELETE FROM entries WHERE "index" = 2', "LOG_CORRUPT"),
    ],
)
def test_a_store_that_disagrees_with_itself_is_not_opened(path, on_disk, statement, code):
    fill(on_disk, 3)
    tamper(path, statement)
    with refuses(code):
        open_store(path, Network.REGTEST)


def test_an_older_store_is_to_be_upgraded_and_an_unknown_one_is_not():
    check_revision("store", ["0002"], known=("0001", "0002"))
    with refuses("STORE_OUTDATED"):
        check_revision("store", ["0001"], known=("0001", "0002"))
    for found in ([], ["0003"], ["0001", "0002"]):
        with refuses("STORE_VERSION"):
            check_revision("store", found, known=("0001", "0002"))


def test_upgrading_a_store_that_is_up_to_date_changes_nothing(path, on_disk):
    fill(on_disk, 2)
    before = path.read_bytes()
    upgrade_store(path, Network.REGTEST)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_not_opened(path):
    path.write_bytes(b"not a database" * 1000)
    with refuses("STORE_CORRUPT"):
        open_store(path, Network.REGTEST)
    path.write_bytes(b"")
    with refuses("STORE_VERSION"):
        open_store(path, Network.REGTEST)


def test_the_migrations_make_the_tables_that_the_code_uses(path, on_disk):
    assert on_disk.verify().size == 0
    with reader(path, 1).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_schema WHERE type = 'table'").scalars().all()
    assert [each for each in made if "STRICT" not in each and "alembic_version" not in each] == []


def test_commits_are_durable_and_erased_bytes_do_not_stay(path, on_disk):
    fill(on_disk, 1)
    with on_disk.transaction() as t:
        t.append(entry(1, b'{"name":"a person who asked to be forgotten"}'))
        settings = {
            name: t._connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    # 3 is EXTRA: FULL, and the directory is synced after the journal is unlinked.
    assert settings == {"journal_mode": "delete", "synchronous": 3, "foreign_keys": 1, "secure_delete": 1}
    assert b"a person who asked" in path.read_bytes()
    with on_disk.transaction() as t:
        t.erase_body(1)
    assert b"a person who asked" not in path.read_bytes()


def test_a_reader_cannot_write(on_disk):
    with refuses("STORE_FAILED"), on_disk.read() as view:
        view._connection.exec_driver_sql("DELETE FROM holds")


def test_the_database_itself_refuses_to_change_an_entry(on_disk):
    fill(on_disk, 2)
    for statement in ("UPDATE entries SET leaf = zeroblob(32)", "DELETE FROM entries"):
        with refuses("STORE_CORRUPT"), on_disk.transaction() as t:
            t._connection.exec_driver_sql(statement)
    assert on_disk.verify().size == 2


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("UPDATE entries SET head = CAST(replace(head, 'alice', 'mallo') AS BLOB) WHERE \"index\" = 3", 3),
        ('UPDATE entries SET leaf = zeroblob(32) WHERE "index" = 3', 3),
        ('UPDATE entries SET root = zeroblob(32) WHERE "index" = 3', 3),
        ("UPDATE bodies SET body = CAST('{}' AS BLOB) WHERE \"index\" = 3", 3),
        ('UPDATE bodies SET salt = zeroblob(32) WHERE "index" = 3', 3),
        ('UPDATE bodies SET salt = zeroblob(31) WHERE "index" = 3', 3),
        ('DELETE FROM entries WHERE "index" = 3', 3),
        ('DELETE FROM entries WHERE "index" > 3', 4),
    ],
)
def test_damage_is_found_at_its_entry(path, on_disk, statement, index):
    fill(on_disk, 6)
    tamper(
        path,
        "PRAGMA foreign_keys = OFF",
        statement,
        'DELETE FROM bodies WHERE "index" NOT IN (SELECT "index" FROM entries)',
    )
    with refuses("LOG_CORRUPT") as caught:
        on_disk.verify()
    assert caught.error.index == index


def test_two_entries_that_changed_places_are_found_at_the_first(path, on_disk):
    fill(on_disk, 6)
    tamper(
        path,
        'UPDATE entries SET "index" = 99 WHERE "index" = 2',
        'UPDATE entries SET "index" = 2 WHERE "index" = 4',
        'UPDATE entries SET "index" = 4 WHERE "index" = 99',
        "DELETE FROM bodies",
    )
    with refuses("LOG_CORRUPT") as caught:
        on_disk.verify()
    assert caught.error.index == 2


def test_an_entry_that_moved_up_is_found_where_it_is_missing(path, on_disk):
    fill(on_disk, 6)
    tamper(
        path,
        "DELETE FROM bodies",
        'DELETE FROM entries WHERE "index" = 4',
        'UPDATE entries SET "index" = 4 WHERE "index" = 3',
    )
    with refuses("LOG_CORRUPT") as caught:
        on_disk.verify()
    assert caught.error.index == 3


def test_a_head_that_is_not_what_the_entries_give_is_found(path, on_disk):
    fill(on_disk, 3)
    tamper(path, "UPDATE log_head SET peaks = zeroblob(64)")
    with refuses("STORE_CORRUPT"):
        on_disk.verify()


def test_a_store_that_disappears_is_not_made_again(path, on_disk):
    path.unlink()
    with refuses("STORE_FAILED"), on_disk.transaction():
        pass
    assert not path.exists()


def test_a_reader_that_meets_damage_stops_at_it(path, on_disk):
    fill(on_disk, 6)
    tamper(path, "UPDATE entries SET head = CAST(replace(head, 'alice', 'mallo') AS BLOB) WHERE \"index\" = 3")
    seen = []
    with refuses("LOG_CORRUPT") as caught, on_disk.read() as view:
        seen.extend(each.head.index for each in view.entries())
    assert caught.error.index == 3
    with refuses("LOG_CORRUPT"), on_disk.read() as view:
        list(view.entries(3, 4))


def test_entries_behind_the_head_and_wrong_checkpoints_are_found(path, on_disk):
    fill(on_disk, 3)
    with on_disk.transaction() as t:
        t.save_checkpoint(note(on_disk, 2))
    tamper(path)
    connection = sqlite3.connect(path, isolation_level=None)
    for size in (1, 99):
        connection.execute("UPDATE checkpoints SET size = ?", (size,))
        with refuses("STORE_CORRUPT"):
            on_disk.verify()
    connection.execute("DELETE FROM checkpoints")
    connection.execute('INSERT INTO entries SELECT 3, head, leaf, root FROM entries WHERE "index" = 2')
    connection.close()
    with refuses("STORE_CORRUPT"):
        on_disk.verify()


def test_every_flipped_byte_of_an_entry_is_found_at_its_index(path, on_disk):
    fill(on_disk, 3)
    tamper(path)
    connection = sqlite3.connect(path, isolation_level=None)
    (head,) = connection.execute('SELECT head FROM entries WHERE "index" = 1').fetchone()
    for at in range(0, len(head), 7):
        flipped = head[:at] + bytes([head[at] ^ 1]) + head[at + 1 :]
        connection.execute('UPDATE entries SET head = ? WHERE "index" = 1', (flipped,))
        with refuses("LOG_CORRUPT") as caught:
            on_disk.verify()
        assert caught.error.index == 1
    connection.execute('UPDATE entries SET head = ? WHERE "index" = 1', (head,))
    connection.close()
    assert on_disk.verify().size == 3


def test_a_damaged_page_is_the_stores_damage_and_not_a_crash(path, on_disk):
    fill(on_disk, 200)
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[half : half + 8192] = b"\xff" * 8192
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"damaged") as caught:
        on_disk.verify()
    assert caught.value.code in {"STORE_CORRUPT", "LOG_CORRUPT"}
