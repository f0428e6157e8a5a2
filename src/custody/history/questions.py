"""What may be asked of a log: who may do what now, how far a transfer has come, what is frozen.

Each question reads the rows that it is about and no others, so it costs the same in an old log as in a new one. What
there is one by one is for `lists`, what is held is for `holdings`, how transfers stand to each other is for
`relations`; nothing here folds, decides or sends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from custody.charter.document import Charter
from custody.charter.facts import Facts
from custody.charter.rules import Case
from custody.envelope import Envelope
from custody.errors import InvalidInput
from custody.history import tables
from custody.history.entry import HistoryInvalid
from custody.history.rows import number
from custody.history.state import State
from custody.history.tables import ONLY, CharterRow, FreezeRow, NonceRow
from custody.log import BodyWithheld, Frontier
from custody.record import Record, digest_given, read
from custody.transfer.draft import Draft
from custody.transfer.proposal import Proposal, propose
from custody.transfer.request import read_request
from custody.transfer.state import Transfer

Body = TypeVar("Body", bound=Record)


class TransferUnknown(InvalidInput, code="TRANSFER_UNKNOWN"):
    """No such transfer or request in the log."""

    message = "the log has no {what} {shown}"
    hint = "List what there is with: custody transfer list."
    what: str
    shown: str


@dataclass(frozen=True, slots=True)
class History:
    """What the first `size` entries of a log say. It never changes, and implements `Source` and `KnownNonces`."""

    state: State

    @property
    def size(self) -> int:
        """Entries that it is of."""
        return self.state.size

    @property
    def frontier(self) -> Frontier:
        """What stands for these entries."""
        return self.state.frontier

    # --- the charter -------------------------------------------------------------------------------------------------

    @property
    def charter_row(self) -> CharterRow | None:
        """The version in force, as the log names it; None before one was adopted."""
        return self.state.get(tables.IN_FORCE, ONLY)

    @property
    def has_charter(self) -> bool:
        """Whether a charter was adopted."""
        return self.charter_row is not None

    @property
    def charter_envelope(self) -> Envelope:
        """The charter in force, with its signatures.

        Raises:
            HistoryInvalid: none was adopted.
        """
        return self.read(Envelope, _adopted(self.charter_row))

    @property
    def charter(self) -> Charter:
        """The charter in force.

        Raises:
            HistoryInvalid: none was adopted.
        """
        return self._charter_of(self.charter_row)

    def charter_version(self, version: int) -> Charter:
        """The charter that had this number.

        Raises:
            HistoryInvalid: none had.
        """
        return self._charter_of(self.state.get(tables.CHARTERS, number(version)))

    def _charter_of(self, row: CharterRow | None) -> Charter:
        # The digest is the pinned one, so whoever rewrites rows cannot bring in another charter.
        adopted = _adopted(row)
        return _charter(self.state.pinned, lambda: self.body(adopted))

    # --- the chain, and what stands still ----------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Highest block the coordinator has looked at; 0 before the first look."""
        newest = next(self.state.scan(tables.CHAIN, backwards=True), None)
        return 0 if newest is None else int.from_bytes(newest[0], "big")

    @property
    def frozen_by(self) -> str | None:
        """Why everything stands still, or None."""
        freeze = self.freeze
        return None if freeze is None else freeze.why

    @property
    def freeze(self) -> FreezeRow | None:
        """The newest entry for which everything stands still, or None."""
        return tables.newest_freeze(self.state)

    def facts(self, at: int) -> Facts:
        """What cases are judged on at `at` (Unix seconds)."""
        return Facts(at=at, size=self.size, frozen_by=self.frozen_by)

    def next_index(self, vault_id: bytes, branch: int) -> int:
        """The first index of a branch behind every issued address, and behind every draft that may be or was signed.

        A draft that came to nothing gives its index back: whoever looks for the coins with another wallet stops where
        nothing was paid for a while. Deposits do not count: they are the coordinator's word alone, and it could push an
        index out of reach with them.
        """
        asked = self.asked_index(vault_id, branch)
        drawn = next(self.state.under(tables.DRAWN, tables.place_key(vault_id, branch), backwards=True), None)
        return max(asked, 0 if drawn is None else tables.drawn_index(drawn[0]) + 1)

    def asked_index(self, vault_id: bytes, branch: int) -> int:
        """The same without drafts that nobody was asked to sign."""
        found = self.state.get(tables.NEXT_INDEX, tables.place_key(digest_given(vault_id, "a vault"), branch))
        return 0 if found is None else found.value

    # --- transfers ---------------------------------------------------------------------------------------------------

    def transfer(self, transfer_id: bytes) -> Transfer:
        """The transfer with this id.

        Raises:
            TransferUnknown: there is none.
        """
        row = self.state.get(tables.TRANSFERS, digest_given(transfer_id, "a transfer"))
        if row is None:
            raise TransferUnknown(what="transfer", shown=transfer_id.hex())
        return Transfer(row, self)

    def request(self, request_id: bytes) -> Envelope:
        """The signed request with this id.

        Raises:
            TransferUnknown: there is none.
        """
        row = self.state.get(tables.REQUESTS, digest_given(request_id, "a request"))
        if row is None:
            raise TransferUnknown(what="request", shown=request_id.hex())
        return self.read(Envelope, row.value)

    def case(self, transfer: Transfer) -> Case:
        """What a transfer meant to rules when it was drafted: what its transaction says, and what stood before it.

        Raises:
            Refused: it means nothing: an output is neither a payee's nor change, for instance.
        """
        kept = self.state.get(tables.CASES, transfer.id)
        if kept is not None:
            return kept
        # A draft that is none of the charter's: the same question raises what was wrong with it.
        return self.proposal(transfer).case

    def proposal(self, transfer: Transfer) -> Proposal:
        """A transfer's draft with its request, under the charter version it was drafted under, checked.

        Raises:
            Refused: it means nothing: an output is neither a payee's nor change, for instance.
        """
        row = transfer.row
        pinned = _Pinned(self.state.pinned, self.charter_version(row.charter))
        return _proposal(self.body(row.drafted), self.body(row.requested), pinned)

    def committed(self) -> int:
        """Sats that may leave or have left: from the moment signatures were asked for, a conflicting group once.

        A group counts at its largest member, and expiry gives nothing back (THREATS F2).
        """
        total = self.state.get(tables.COMMITTED_ALL, ONLY)
        return 0 if total is None else total.value

    def get(self, nonce: bytes) -> NonceRow | None:
        """The signature that this nonce (32 bytes) was used in."""
        return self.state.get(tables.NONCES, nonce)

    # --- the log itself ----------------------------------------------------------------------------------------------

    def body(self, index: int) -> bytes:
        """What entry `index` carries.

        Raises:
            BodyWithheld: this copy of the log does not have it.
        """
        found = self.state.get(tables.BODIES, number(index))
        if found is None:
            raise BodyWithheld(index=index)
        return found

    def read(self, record: type[Body], index: int) -> Body:
        """The record that entry `index` carries.

        Raises:
            BodyWithheld: this copy of the log does not have it.
        """
        return read(record, self.body(index))

    def annex(self, record: type[Body], named: bytes) -> Body | None:
        """What the annex of this salted digest says; None when it was erased or withheld, or never came."""
        at = self.annexed_at(named)
        found = None if at is None else self.state.get(tables.BODIES, number(at))
        return None if found is None else read(record, found)

    def annexed_at(self, named: bytes) -> int | None:
        """The entry that is the annex of this salted digest, whether its body is still there or not."""
        row = self.state.get(tables.ANNEXES, digest_given(named, "an annex"))
        return None if row is None else row.value

    def root_at(self, size: int) -> bytes | None:
        """Merkle root of the first `size` entries, 32 bytes; None when it is not known here."""
        if size == self.size:
            return self.frontier.root
        return self.state.get(tables.ROOTS, number(size))


def _adopted(row: CharterRow | None) -> int:
    """The entry that adopted a charter.

    Raises:
        HistoryInvalid: none did.
    """
    if row is None:
        raise HistoryInvalid(index=0, entry="charter_adopted", problem="is missing: no charter was adopted")
    return row.adopted


@dataclass(frozen=True, slots=True)
class _Pinned:
    """A charter that is the same as another when its digest is: comparing a thousand vaults would take long."""

    digest: bytes
    charter: Charter = field(compare=False, repr=False)


@functools.lru_cache(maxsize=8)
def _proposal(drafted: bytes, requested: bytes, pinned: _Pinned) -> Proposal:
    """Made once, however often it is asked for: the steps of one transfer follow each other."""
    return propose(read(Draft, drafted), read_request(read(Envelope, requested)), pinned.charter)


_MOST_CHARTERS: Final = 4
_charters: Final[dict[bytes, Charter]] = {}
"""Those that were read last, by digest: one of a thousand vaults is a megabyte, and every step asks for it."""


def forget_charters() -> None:
    """Have charters read again: whoever starts to work on a store goes by what stands there."""
    _charters.clear()


def remember_charter(charter: Charter) -> None:
    """Keep a charter that was verified: what comes next asks for it."""
    for oldest in list(_charters)[: 1 - _MOST_CHARTERS]:
        _charters.pop(oldest, None)
    _charters[charter.digest()] = charter


def _charter(digest: bytes, body: Callable[[], bytes]) -> Charter:
    found = _charters.get(digest)
    if found is None:
        found = Charter.unsafe_from_verified(read(Envelope, body()).body, digest)
        remember_charter(found)
    return found
