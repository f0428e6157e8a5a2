"""What does a command say beside its answer: what is stolen or dropped, how far it is, and what is next?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.terminal import output
from custody.apps.views.layout import SHORT, txid
from custody.apps.views.transfer import is_agreed
from custody.delivery import Stuck, Underway
from custody.history import kinds
from custody.history.questions import History
from custody.observer import Observation, Progress
from custody.ports import MethodRefused, Standing
from custody.transfer.request import Purpose
from custody.transfer.state import Status, Transfer

LINES_TOLD: Final = 1_000
"""Lines after which a person is told how far it is."""

# --- warnings ---------------------------------------------------------------------------------------------------------


def warn_of_theft(seen: Observation) -> None:
    """The loudest alarms there are, beside what was asked for."""
    if kinds.SENT_EARLY in seen.added:
        output().talk(
            "ALARM: a transfer was sent by somebody else before it was released; it is settled like any other.\n"
            "Find out who had enough signatures: custody transfer list."
        )
    if kinds.UNEXPLAINED_SPEND in seen.added:
        output().talk(
            "ALARM: a coin of a vault was spent by a transaction that no released transfer explains.\n"
            "Everything is frozen. Call the officers and every key holder now."
        )
    elif kinds.SPEND_REVERSED in seen.added:
        output().talk("A spend that is no transfer's was taken back: its block is no longer part of the chain.")


def warn_stuck(found: Sequence[Stuck]) -> None:
    """Say loudly what cannot be sent for want of a coin, and what can be done."""
    for each in found:
        name = each.transfer.hex()[:SHORT]
        output().talk(
            f"LEFT OUT: transfer {name} spends {each.gone[0]}, which is gone: its block lost its place, or it was "
            "spent otherwise.\n"
            f"Wait for it, or give the transfer up: custody transfer cancel {name} --reason TEXT --key KEYFILE"
        )


def ask_underway(ask: Callable[[], tuple[Underway, ...]]) -> tuple[Underway, ...] | None:
    """Where the node has what was sent; None when it does not let that be asked, and then it is said."""
    try:
        return ask()
    except MethodRefused as error:
        output().talk(f"{error}.\n{error.advice()}")
        return None


def warn_dropped(found: Sequence[Underway]) -> None:
    """Say loudly what the node no longer has, and what brings it back."""
    for each in found:
        if each.standing is Standing.GONE:
            name = each.transfer.hex()[:SHORT]
            output().talk(
                f"DROPPED: transfer {name} was sent as {txid(each.txid)}, but it stands in no block, and the node does "
                "not keep it waiting any more.\n"
                "Send it again: custody transfer deliver. If its fee has become too low for that, ask for one that "
                f"pays more in its place: custody transfer request --replaces {name} ..."
            )


# --- how far, and what is next ----------------------------------------------------------------------------------------


def tell_progress() -> Progress:
    """Tells a person at a terminal how far a long look has come, whenever another hundredth is done."""
    told: list[int] = []

    def tell(reached: int, goal: int) -> None:
        percent = reached * 100 // max(goal, 1)
        if percent not in told:
            told.append(percent)
            output().progress(f"height {reached} of {goal} ({percent} %)")

    return tell


def tell_folded(reached: int, goal: int) -> None:
    """Tells a person at a terminal how much of the log is folded."""
    output().progress(f"{reached} of {goal} entries ({reached * 100 // max(goal, 1)} %)")


@dataclass(slots=True)
class LineCount:
    """Counts the lines that go into a file, and tells a person at a terminal how many have."""

    lines: int = 0

    def told(self, given: Iterable[bytes]) -> Iterator[bytes]:
        """The same lines, each with its line feed."""
        for line in given:
            self.lines += 1
            if self.lines % LINES_TOLD == 0:
                output().progress(f"{self.lines} lines")
            yield line + b"\n"


def tell_next(transfer: Transfer, history: History) -> None:
    """Say what whoever runs the coordinator would do next."""
    step = next_step(transfer, history)
    if step:
        output().next_step(step)


def next_step(transfer: Transfer, history: History) -> str:
    """What is to be done next; empty when nothing is."""
    name = transfer.id.hex()[:SHORT]
    witness = " (have a checkpoint cosigned first: custody log checkpoint)" if history.charter.witnesses else ""
    evidence = f"custody transfer evidence {name}"
    return {
        Status.DRAFTED: f"custody transfer draft {transfer.request.digest().hex()[:SHORT]}",
        Status.DECIDED: f"ask for signatures: {evidence} --for sign -o FILE{witness}"
        if is_agreed(transfer, history)
        else f"give the officers evidence: {evidence} -o FILE{witness}",
        Status.AUTHORIZED: f"ask for signatures: {evidence} --for sign -o FILE{witness}",
        Status.SIGNING: f"{evidence} -o FILE{witness}, and with what comes back: custody transfer combine {name} PSBT",
        Status.COMBINED: f"custody transfer combine {name}",
        Status.VERIFIED: f"custody transfer release {name}{witness}",
        Status.RELEASED: "custody transfer deliver",
        Status.BROADCAST: f"custody observe, until it is deep enough{_if_stuck(transfer, name)}",
    }.get(transfer.status, "")


def _if_stuck(transfer: Transfer, name: str) -> str:
    """What helps a transfer that waits too long; empty for one that stands in a block."""
    if transfer.seen is not None:
        return ""
    # A child is replaced by another: one that speeds up a child would carry two.
    is_parent = transfer.draft.change is not None and transfer.request.purpose is not Purpose.CHILD
    ways = f"--replaces {name}" + (f" or --speed-up {name}" if is_parent else "")
    return f"; when it waits too long: custody transfer request {ways}"
