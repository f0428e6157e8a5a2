"""Who has folded the log and says what it comes to: what do officers' stations confirm, and how many must?

A `StateConfirmed` says: after so many entries, under this root, the log has sealed this state, and so have I found it.
Every station finds the same, so officers sign the same record, and their signatures are joined in one envelope.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, ClassVar, Final

from pydantic import Field

from custody.charter.document import Charter
from custody.charter.people import Role
from custody.charter.rules import ApprovalsRule
from custody.envelope import Envelope, merged, unsafe_payload, verify
from custody.errors import Refused
from custody.examine.shown import HistoryForked
from custody.history import tables
from custody.history.questions import History
from custody.history.rows import Key, Named, number
from custody.quorum import Quorum, Tally
from custody.record import Digest, Record
from custody.units import Count, Network

SHOWN_SEALS: Final = 5
"""Sizes at most in the message about one that is not sealed."""


class SnapshotUnconfirmed(Refused, code="SNAPSHOT_UNCONFIRMED"):
    """A snapshot that too few officers' stations have confirmed."""

    message = (
        "{given} of {needed} officers confirmed the state after {size} entries; it may still be confirmed by: {missing}"
    )
    hint = (
        "Have more officers confirm it, each at a station that has folded the whole log (custody-station confirm), and "
        "write the snapshot again with all their files. Or take in the whole log: custody log export --for-stations."
    )
    given: int
    needed: int
    size: int
    missing: str


class SnapshotDiffers(Refused, code="SNAPSHOT_DIFFERS"):
    """A snapshot of something else than officers have confirmed."""

    message = "the snapshot's {what} is {actual}; officers confirmed {expected} after {size} entries"
    hint = (
        "Do not use it: it was cut short, or changed after it was confirmed. Have it copied again; if that does not "
        "help, call the officers, and take in the whole log instead."
    )
    what: str
    expected: str
    actual: str
    size: int


class NobodyConfirms(Refused, code="SNAPSHOT_NOBODY"):
    """A charter under which no officers are asked for anything."""

    message = "no rule of this charter asks for an officer, so nobody can confirm a snapshot"
    hint = "Have the station take in the whole log: custody log export --for-stations, custody-station catch-up."


class NotSealed(Refused, code="STATE_NOT_SEALED"):
    """A size after which the log, as far as it is known here, says no state of itself."""

    message = "{known} entries of the log were seen here, and none seals {what}; sealed are the states after: {sealed}"
    hint = (
        "Confirm one that is sealed, if there is any. Or have the state sealed now (custody log seal), the log "
        "cosigned, and the rest shown to this station: custody log export --for-stations --since {known}, "
        "custody-station catch-up."
    )
    known: int
    what: str
    sealed: str


class ConfirmationAuthor(Refused, code="CONFIRMATION_AUTHOR"):
    """Somebody confirming a state who may not."""

    message = "{signer} may not confirm a state: this key is no officer's of the charter"
    hint = "An officer confirms it at their own station, with the key that the charter lists."
    signer: str


class NotFolded(Refused, code="STATE_NOT_FOLDED"):
    """A state to be confirmed by a station that has not folded the whole log."""

    message = "this station began with a snapshot of {size} entries, so it cannot confirm what they make"
    hint = "Confirm it at a station that took in the whole log; this one has only others' word for it."
    size: int


class StateConfirmed(Record):
    """What officers sign: after `size` entries, under this root, the log has sealed this state, and rightly."""

    kind: ClassVar[str] = "state-confirmed"

    network: Network
    charter: Digest
    size: Annotated[Count, Field(ge=1)]
    root: Digest
    state: Digest


def confirmation(history: History, size: int | None = None) -> StateConfirmed:
    """What can be confirmed of a log that was folded here: the state it has sealed after `size` entries, or last.

    Raises:
        NotSealed: it has sealed none there.
    """
    seals = history.state.scan(tables.SEALS, backwards=True)
    found = next(seals, None) if size is None else _seal_after(history, size)
    key, sealed = found if found is not None else (b"", None)
    root = None if sealed is None else history.root_at(int.from_bytes(key, "big"))
    if sealed is None or root is None:
        known = [str(int.from_bytes(each, "big")) for each, _ in islice(seals, SHOWN_SEALS)]
        what = "the log's state" if size is None else f"its state after {size}"
        raise NotSealed(known=history.size, what=what, sealed=", ".join(known) or "none")
    return StateConfirmed(
        network=history.charter.network,
        charter=history.state.pinned,
        size=int.from_bytes(key, "big"),
        root=root,
        state=sealed.value,
    )


def _seal_after(history: History, size: int) -> tuple[Key, Named] | None:
    # A seal stands behind what it seals, so there is none of all entries; a number of no log need not fit into a key.
    key = number(min(size, history.size))
    sealed = history.state.get(tables.SEALS, key)
    return None if sealed is None else (key, sealed)


def officer_of(charter: Charter, key: bytes) -> str:
    """The officer whose raw key this is.

    Raises:
        ConfirmationAuthor: no officer's.
    """
    if key not in charter.officers:
        raise ConfirmationAuthor(signer=charter.holder(key))
    return charter.officers[key]


def confirming(charter: Charter) -> Quorum[bytes]:
    """Whose keys count under a confirmation: as many officers as the strictest rule asks for, whatever it governs.

    Raises:
        NobodyConfirms: none asks for any.
    """
    asked = [each.count for each in charter.rules if isinstance(each, ApprovalsRule) and each.role is Role.OFFICER]
    if not asked:
        raise NobodyConfirms
    return Quorum(max(asked), tuple(charter.officers))


def confirmed_by(envelope: Envelope, charter: Charter) -> tuple[StateConfirmed, Tally[bytes]]:
    """What was confirmed under this charter, and which of its officers did, enough or not.

    Raises:
        SnapshotDiffers: it is of another charter or network.
        NobodyConfirms: as `confirming`.
        SigInvalid: an officer's signature does not verify.
        EnvelopeType: it confirms no state.
    """
    found, quorum = unsafe_payload(envelope, StateConfirmed), confirming(charter)
    for what, stated, own in (
        ("charter", found.charter.hex(), charter.digest().hex()),
        ("network", str(found.network), str(charter.network)),
    ):
        if stated != own:
            raise SnapshotDiffers(what=what, expected=stated, actual=own, size=found.size)
    claimed = set(envelope.claimed_keys).intersection(quorum.members)
    signed = verify(envelope, StateConfirmed, claimed)[1] if claimed else ()
    return found, quorum.tally(signed)


def joined(envelopes: Sequence[Envelope], charter: Charter) -> Envelope:
    """One envelope with the officers' signatures of all, which confirm the same.

    Raises:
        SnapshotDiffers: they confirm different states.
        SigInvalid, EnvelopeType: as `confirmed_by`.
    """
    first, _ = confirmed_by(envelopes[0], charter)
    for envelope in envelopes:
        other, _ = confirmed_by(envelope, charter)
        for what in ("size", "root", "state"):
            one, another = _shown(getattr(first, what)), _shown(getattr(other, what))
            if one != another:
                raise SnapshotDiffers(what=what, expected=another, actual=one, size=other.size)
    return merged(envelopes, charter.officers)


def _shown(value: int | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def check_confirmed(envelope: Envelope, charter: Charter) -> tuple[StateConfirmed, tuple[str, ...]]:
    """What enough officers have confirmed, and their names.

    Raises:
        SnapshotUnconfirmed: too few have.
        SnapshotDiffers, NobodyConfirms, SigInvalid, EnvelopeType: as `confirmed_by`.
    """
    found, tally = confirmed_by(envelope, charter)
    names = charter.officers
    if not tally.is_met:
        raise SnapshotUnconfirmed(
            given=len(tally.acted),
            needed=tally.threshold,
            size=found.size,
            missing=", ".join(names[key] for key in tally.missing),
        )
    return found, tuple(names[key] for key in tally.acted)


def refuse_unsealed(confirmed: StateConfirmed, history: History) -> None:
    """Pass when what officers have confirmed is what this log has sealed.

    Raises:
        NotSealed: it has sealed nothing there.
        HistoryForked: they have seen another log.
    """
    own = confirmation(history, confirmed.size)
    if own != confirmed:
        raise HistoryForked(size=history.size, seen=confirmed.size, root=confirmed.root.hex())
