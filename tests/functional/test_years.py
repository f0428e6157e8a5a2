"""A made-up history is one that a log may have: everybody who folds it comes to the same, and all ends occur."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from custody.backends.sql.store import SqlStore, open_store
from custody.history import kinds, lists
from custody.history.fold import fold
from custody.history.questions import History
from custody.history.state import State
from custody.logbook import Logbook
from custody.testing.cast import make_cast
from custody.testing.years import SMALL, kept_years
from custody.transfer.settlement import Ending
from custody.transfer.state import Status
from custody.units import Network

PINNED = make_cast(SMALL.setting).digest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("years")


@pytest.fixture(scope="module")
def store(folder: Path) -> SqlStore:
    return open_store(kept_years(SMALL, folder), Network.REGTEST)


def test_it_is_folded_to_what_stands_beside_it(store: SqlStore) -> None:
    with store.read() as view:
        folded = fold(State(PINNED), view.entries())
        head = view.rows().head
    assert folded.frontier == head.frontier
    assert folded.digest() == head.total.digest()


def test_transfers_go_the_whole_route_and_end_in_each_way(store: SqlStore) -> None:
    history: History = Logbook(store, PINNED, bytes).read()
    found = list(lists.transfers(history))
    # A transfer that is replaced is one more.
    assert len(found) == SMALL.transfers + 1
    assert {each.status for each in found} == {Status.CONFIRMED, Status.ENDED}
    endings = Counter(each.row.ending for each in found if each.row.ending)
    assert endings == dict.fromkeys((Ending.DENIED, Ending.WITHDRAWN, Ending.VETOED, Ending.SUPERSEDED), 1)
    with store.read() as view:
        said = Counter(each.head.entry for each in view.entries())
    assert said[kinds.SIGNED] == 2 * said[kinds.COMBINED]
    assert said[kinds.DEPOSIT_SEEN] == said[kinds.COIN_MATURED] > 2 * SMALL.transfers
    assert said[kinds.STATE_SEALED] > 0


def test_it_is_written_once_for_each_size(folder: Path, store: SqlStore) -> None:
    written = store.path.stat().st_mtime_ns
    told: list[tuple[int, int]] = []
    assert kept_years(SMALL, folder, lambda *week: told.append(week)) == store.path
    assert store.path.stat().st_mtime_ns == written
    assert told == []
