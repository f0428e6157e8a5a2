"""What does a command say beside its answer: what is stolen or dropped, how far it is, and what is next?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.coordinator import Coordinator, own_clock
from custody.apps.terminal import output
from custody.apps.views.layout import SHORT, txid
from custody.apps.views.transfer import expired_of, is_agreed
from custody.delivery import Stuck, Underway
from custody.examine.shown import needed_size
from custody.history import kinds
from custody.history.questions import History
from custody.logbook import vault_of
from custody.observer import Observation, Progress
from custody.ports import MethodRefused, Standing
from custody.transfer.request import Purpose
from custody.transfer.signing import signed_tally
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


def warn_unread(seen: Observation) -> None:
    """Say where coins may be that this look could not find, and what finds them."""
    if seen.unread:
        output().talk(
            f"NOT READ: a deposit far ahead has blocks {seen.unread[0]} to {seen.unread[-1]} looked through once more, "
            "and the node has pruned them. Coins at addresses that nobody gave out may stand there unseen.\n"
            "See whether there are any: custody coin reconcile. If so, have a node look that keeps old blocks: "
            f"custody observe --from {seen.unread[0]}"
        )


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


def tell_next(desk: Coordinator, transfer: Transfer, history: History) -> None:
    """Say what whoever runs the coordinator would do next."""
    step = next_step(transfer, history, desk.witnessed_size(), own_clock().now())
    if step is not None:
        output().next_step(f"{step.command} ({step.why})")


@dataclass(frozen=True, slots=True)
class NextStep:
    """The one command that brings a transfer further, and why it is this one."""

    command: str
    why: str


def next_step(transfer: Transfer, history: History, witnessed: int, now: int) -> NextStep | None:  # noqa: PLR0911 - one a state
    """What is to be done next at `now`; None when nothing is.

    `witnessed` is how many entries of the log enough witnesses have cosigned. A checkpoint is asked for only when what
    comes next needs it: evidence that is out already needs no other, and neither does a release under it.
    """
    name = transfer.id.hex()[:SHORT]
    match transfer.status:
        case Status.DRAFTED:
            request = transfer.request.digest().hex()[:SHORT]
            return NextStep(f"custody transfer draft {request}", "the rules were not asked yet")
        case Status.DECIDED | Status.AUTHORIZED:
            return _towards_approval(transfer, history, witnessed, now)
        case Status.SIGNING if signed_tally(vault_of(history, transfer), transfer.signed).is_met:
            return NextStep(f"custody transfer combine {name}", "enough have signed")
        case Status.SIGNING if transfer.signed:
            why = "as another cosigner signs, by the same evidence"
            return NextStep(f"custody transfer combine {name} PSBT", why)
        case Status.SIGNING:
            evidence = NextStep(f"custody transfer evidence {name} -o FILE", "each cosigner signs by it")
            return _under_witnesses(transfer, history, witnessed, evidence)
        case Status.COMBINED:
            return NextStep(f"custody transfer combine {name}", "enough have signed; the judges were not asked yet")
        case Status.VERIFIED:
            released = NextStep(f"custody transfer release {name}", "it is signed and finished")
            return _under_witnesses(transfer, history, witnessed, released)
        case Status.RELEASED:
            return NextStep("custody transfer deliver", "it may leave")
        case Status.BROADCAST:
            return NextStep("custody observe", f"until it is deep enough{_if_stuck(transfer, name)}")
        case _:
            return None


def _towards_approval(transfer: Transfer, history: History, witnessed: int, now: int) -> NextStep:
    """What a transfer needs that the rules allow."""
    name = transfer.id.hex()[:SHORT]
    if is_agreed(transfer, history, now):
        why = "enough officers agree: it asks for signatures"
        return NextStep(f"custody transfer evidence {name} --for sign -o FILE", why)
    if len(transfer.opinions) > len(expired_of(transfer, now)):
        return NextStep("custody transfer approve FILE", "as another officer answers, by the same evidence")
    # One that was authorized before its approvals expired would otherwise be made for cosigners.
    again = " --for approve" if transfer.status is Status.AUTHORIZED else ""
    evidence = NextStep(f"custody transfer evidence {name}{again} -o FILE", "officers judge by it")
    return _under_witnesses(transfer, history, witnessed, evidence)


def _under_witnesses(transfer: Transfer, history: History, witnessed: int, step: NextStep) -> NextStep:
    """`step`, or what it waits for: witnesses under all that a judge of the transfer must see."""
    if not history.charter.witnesses or witnessed >= needed_size(history, transfer.id):
        return step
    return NextStep("custody log checkpoint -o FILE", f"a witness cosigns it; then: {step.command}")


def _if_stuck(transfer: Transfer, name: str) -> str:
    """What helps a transfer that waits too long; empty for one that stands in a block."""
    if transfer.seen is not None:
        return ""
    # A child is replaced by another: one that speeds up a child would carry two.
    is_parent = transfer.draft.change is not None and transfer.request.purpose is not Purpose.CHILD
    ways = f"--replaces {name}" + (f" or --speed-up {name}" if is_parent else "")
    return f"; when it waits too long: custody transfer request {ways}"
