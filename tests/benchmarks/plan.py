"""What is raced, at which size, against whom, and what may ours cost beside them? The rows of the table, before a run.

Every row of a run stands here, measured or not, and a run that would give others fails. Nothing here needs a peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OBJECTS = "ours"
"""Our racer from objects to objects, or from and to bytes."""
TEXT = "ours, text"
"""Our racer that reads and writes text, for peers that do."""
NEW_PROCESS = "ours, in a new process"
"""Our racer that has derived no key of the vault yet."""

BDK = "bdkpython"
WALLY = "wallycore"
EMBIT = "embit"
HWI = "hwi --version"

ADDRESSES = 10_000
FEW_ADDRESSES = 1_000
"""For embit."""
SIZES = (100, 1_000)
GROWTH = (1_000, 10_000)
COINS = 10_000
MANY_COINS = 100_000
MANY_COINS_US = 150_000.0
SMALL_REQUEST = 1
"""Inputs of the transfer in fixtures/transfer."""

DERIVE, DERIVE_TR = "derive addresses", "derive addresses, tr"
PARSE = "parse, previous txids checked"
SIGN = "sign with one key"
COMBINE, WRITE_COMBINED = "combine three", "combine three and write the PSBT"
FINALIZE = "finalize, every signature verified"
SELECT = "coin selection"
HELP, STATION_HELP, INSPECT = "custody --help", "custody-station --help", "custody-station inspect"
STEPS = (
    "derive addresses",
    "make the PSBT for signers",
    "parse",
    "read as a transfer",
    "check against the vault",
    "sign with one key",
    "accept one cosigner's signatures",
    "combine three",
    "write the combined PSBT",
    "finalize",
)
"""Our own steps, at 10,000 inputs held against themselves at 1,000."""

FEW_ENTRIES, MANY_ENTRIES, MILLION = 1_000, 100_000, 1_000_000
"""Of logs, about: what is done on the longer ones is held against the same on the short one."""
NEW_LINES = 10_000
DEEDS = {
    each: f"one transfer: {each}"
    for each in (
        "submit",
        "draft",
        "decide",
        "approve",
        "authorize",
        "request signatures",
        "write the evidence",
        "receive",
        "combine",
        "verify",
        "release",
    )
}
"""The coordinator's steps, on one transfer among all that stand in the log."""
LOOK, BALANCE = "a new process shows one transfer", "a new process shows one balance"
MEMORY = "a new process shows one transfer, MB"
EVIDENCE_SIZE = "evidence for who is current, kB"
EXAMINE = "examine with 10,000 new lines"
ALONE, TOGETHER = "append two entries in a unit of their own", "append 1,000 entries in one unit"
LOCKED = "longest hold of the store in any step"
BLOCK = "a block of 3,000 foreign transactions"
REBUILD, CATCH_UP = "make the rows again, for 1,000 entries", "a new reader's whole log, for 1,000 entries"
REBUILD_MEMORY, CATCH_UP_MEMORY = "make the rows again, MB", "a new reader's whole log, MB"
SNAPSHOT = "a new reader's snapshot, for 1,000 entries"


@dataclass(frozen=True)
class Goal:
    """One row: a piece of work, its size, the peer, the most that ours may cost of theirs, and which of ours it is."""

    name: str
    size: int
    peer: str
    target: float | None = None
    ours: str = OBJECTS

    @property
    def title(self) -> str:
        """The work as the table calls it."""
        return self.name if self.ours == OBJECTS else f"{self.name} ({self.ours.removeprefix('ours, ')})"


def _derivation() -> list[Goal]:
    wsh = [
        Goal(DERIVE, FEW_ADDRESSES, BDK),
        Goal(DERIVE, FEW_ADDRESSES, WALLY),
        Goal(DERIVE, FEW_ADDRESSES, EMBIT),
        Goal(DERIVE, FEW_ADDRESSES, "bitcoind deriveaddresses"),
        Goal(DERIVE, ADDRESSES, BDK, 0.45),
        Goal(DERIVE, ADDRESSES, WALLY),
        Goal(DERIVE, ADDRESSES, "bitcoind deriveaddresses", 0.5),
    ]
    return [*wsh, Goal(DERIVE_TR, ADDRESSES, "bitcoind deriveaddresses", 0.55)]


def _route(size: int) -> list[Goal]:
    # embit signs in time that grows with the square of the inputs.
    embit = [Goal(SIGN, size, EMBIT)] if size <= min(SIZES) else []
    finalize = 0.4 if size <= min(SIZES) else 0.1
    return [
        Goal(PARSE, size, BDK, 0.1, TEXT),
        Goal(PARSE, size, "wallycore (bare parse)", 1.0),
        Goal(PARSE, size, EMBIT),
        Goal(SIGN, size, BDK, 0.35),
        Goal(SIGN, size, WALLY, 0.7),
        Goal(SIGN, size, "wallycore, signing cache on", 0.7),
        *embit,
        Goal(SIGN, size, "bitcoind walletprocesspsbt", 0.3, TEXT),
        Goal(COMBINE, size, BDK, 0.5),
        Goal(COMBINE, size, WALLY),
        Goal(WRITE_COMBINED, size, BDK, None, TEXT),
        Goal(WRITE_COMBINED, size, WALLY),
        Goal(FINALIZE, size, BDK, finalize),
        Goal(FINALIZE, size, "bitcoind finalizepsbt"),
        Goal(FINALIZE, size, BDK, finalize, NEW_PROCESS),
        Goal(FINALIZE, size, "bitcoind finalizepsbt", None, NEW_PROCESS),
    ]


def ageing_goals(entries: int) -> list[Goal]:
    """Work on a log so long, beside the same on one of 1,000 entries or a bound of its own."""
    young = f"ours at {FEW_ENTRIES:,}"
    return [
        *(Goal(deed, entries, young, 1.3) for deed in DEEDS.values()),
        Goal(DEEDS["decide"], entries, "5 ms", 1.0),
        Goal(LOCKED, entries, "20 ms", 1.0),
        Goal(LOOK, entries, young, 1.3),
        Goal(LOOK, entries, "1 s", 1.0),
        Goal(BALANCE, entries, young, 1.3),
        Goal(MEMORY, entries, "150 MB", 1.0),
        Goal(EVIDENCE_SIZE, entries, "60 kB", 1.0),
        Goal(EXAMINE, entries, "4 s", 1.0),
        Goal(ALONE, entries, young, 1.3),
        Goal(TOGETHER, entries, "1 s", 1.0),
        Goal(BLOCK, entries, young, 1.3),
        Goal(BLOCK, entries, "300 ms", 1.0),
        Goal(REBUILD, entries, young, 1.3),
        Goal(REBUILD, entries, "300 ms", 1.0),
        Goal(REBUILD_MEMORY, entries, "400 MB", 1.0),
        Goal(CATCH_UP, entries, young, 1.3),
        Goal(CATCH_UP_MEMORY, entries, "400 MB", 1.0),
        Goal(SNAPSHOT, entries, young, 1.3),
    ]


PLAN: Sequence[Goal] = (
    *(Goal(f"growth: {step}", max(GROWTH), f"ours at {min(GROWTH):,}", 11.0) for step in STEPS),
    *ageing_goals(MANY_ENTRIES),
    *_derivation(),
    *(goal for size in SIZES for goal in _route(size)),
    Goal(SELECT, COINS, "bitcoind walletcreatefundedpsbt", 0.3),
    Goal(SELECT, MANY_COINS, "150 ms", 1.0),
    Goal(HELP, 1, HWI, 1.0),
    Goal(STATION_HELP, 1, HWI, 1.0),
    Goal(INSPECT, SMALL_REQUEST, HWI, 4.0),
)


def goals(name: str, size: int) -> list[Goal]:
    """The rows of one piece of work at one size."""
    return [goal for goal in PLAN if (goal.name, goal.size) == (name, size)]
