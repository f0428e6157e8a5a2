"""Are the rows of the history what the log makes, and how are they made again from it?

1. The whole log is folded from nothing, a batch at a time, into rows that nobody else sees. Every entry is checked as
   it is read, and every state that the log has sealed is compared on the way.
2. What stands beside the log is compared with them, row by row. The first that differs is named by table and key.
3. Who asked for it has the rows replaced, after what was appended meanwhile is folded too.

Only the third step has the store for itself. What an erased body had made was taken out of the rows when it was erased,
so a log without that body makes the same rows, those of a coordinator's own as well: all are compared, always. A body
that is gone though no entry says that it was erased is found here too, and one that came back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from custody.history import kinds, tables
from custody.history.fold import fold, folding_many
from custody.history.rows import StateCorrupt
from custody.history.state import State
from custody.log import Frontier, LogCorrupt, LogEntry
from custody.ports import Scratch, Store, StoreView

BATCH: Final = 1_000
"""Entries that are folded before their rows are written."""

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many entries were folded, and how many there are."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of it: the log's end, how many bodies it lacks, and the first row that was another, if any."""

    frontier: Frontier
    erased: int
    replaced: StateCorrupt | None


def rebuild(store: Store, pinned: bytes, progress: Progress | None = None) -> Rebuilt:
    """Make the rows again from the log alone, under the charter whose digest is `pinned`.

    Raises:
        LogCorrupt, HistoryInvalid, EntryAuthor, SealBroken: the log is not sound; the rows stay as they are.
    """
    while True:
        with store.scratch() as scratch:
            folding = _Folding(store, scratch, State.over(scratch.rows, pinned))
            folding.go_on(_size(store), progress)
            with store.transaction() as transaction:
                folding.take(transaction.entries(folding.state.size))
                if not folding.is_outdated(transaction):
                    replaced = transaction.replace_rows(scratch)
                    return Rebuilt(folding.state.frontier, len(folding.missing), replaced)


def verify_deep(store: Store, pinned: bytes, progress: Progress | None = None) -> Rebuilt:
    """Recompute every hash of the log, fold it anew, and compare the rows with what it makes. Nothing is changed.

    Raises:
        LogCorrupt: as `Store.verify`; or a body is missing that nobody erased, or there that somebody did.
        StoreCorrupt: as `Store.verify`.
        StateGone: something was erased meanwhile, and with it the rows that were to be compared. Ask again.
        HistoryInvalid, EntryAuthor, SealBroken: an entry cannot stand where it does.
        StateCorrupt: a row is not what the log makes; the first one.
    """
    store.verify()
    with store.scratch() as scratch:
        folding = _Folding(store, scratch, State.over(scratch.rows, pinned))
        folding.go_on(_size(store), progress)
        wrong = store.difference(scratch, tables.ALL)
        if wrong is not None:
            raise wrong
        for index in sorted(folding.missing ^ folding.erased):
            is_missing = index in folding.missing
            problem = "is missing, and nothing says that it was erased" if is_missing else "is there, and was erased"
            raise LogCorrupt(index=index, problem=f"its body {problem}")
        return Rebuilt(folding.state.frontier, len(folding.missing), None)


@dataclass(slots=True)
class _Folding:
    """A log on its way into rows: how far it is, and the entries whose bodies were missing."""

    store: Store
    scratch: Scratch
    state: State
    missing: set[int] = field(default_factory=set)

    @property
    def erased(self) -> set[int]:
        """The entries whose bodies were erased, as the log says."""
        return {int.from_bytes(key, "big") for key, _ in self.state.scan(tables.ERASED)}

    def is_outdated(self, view: StoreView) -> bool:
        """Whether a body was erased after it was folded: then `erased` found nothing any more that it could undo."""
        there = self.erased - self.missing
        return any(each.body is None for index in there for each in view.entries(index, index + 1))

    def go_on(self, size: int, progress: Progress | None) -> None:
        """Fold up to an entry, in views so short that nobody has to wait."""
        with folding_many():
            while self.state.size < size:
                with self.store.read() as view:
                    batch = list(_batch(view, self.state.size, size))
                self.take(batch)
                if progress is not None:
                    progress(self.state.size, size)

    def take(self, entries: Iterable[LogEntry]) -> None:
        """Fold these too."""
        batch: list[LogEntry] = []
        for entry in entries:
            # What a seal is compared with is known once the rows before it are written.
            if batch and (len(batch) == BATCH or entry.head.entry == kinds.STATE_SEALED):
                self._add(batch)
                batch = []
            batch.append(entry)
        if batch:
            self._add(batch)

    def _add(self, batch: list[LogEntry]) -> None:
        self.missing.update(each.head.index for each in batch if each.body is None)
        self.state = self.scratch.add(fold(self.state, batch))


def _batch(view: StoreView, start: int, size: int) -> Iterator[LogEntry]:
    return view.entries(start, min(size, start + BATCH))


def _size(store: Store) -> int:
    with store.read() as view:
        return view.size
