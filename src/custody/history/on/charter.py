"""Which charter is in force, and which addresses were given out under it?"""

from __future__ import annotations

from typing import ClassVar, Final

from custody.charter.document import Charter, verify_charter
from custody.envelope import Envelope
from custody.errors import IntegrityError
from custody.history import tables
from custody.history.entry import EntryKind, require
from custody.history.questions import History, remember_charter
from custody.history.rows import Named, Number, number
from custody.history.state import State
from custody.history.tables import ONLY, AddressRow, CharterRow
from custody.record import Digest, Record
from custody.transfer.address import AddressIssued
from custody.units import Count
from custody.vault.descriptor import Branch


class SealBroken(IntegrityError, code="SEAL_BROKEN"):
    """A log that says another state of itself than its entries make."""

    message = "after {size} entries the log says that its state is {sealed}; its entries make {own}"
    hint = "Stop: either these rows or that entry are not what the log makes. Build again: custody store rebuild."
    size: int
    sealed: str
    own: str


class StateSealed(Record):
    """What the first `size` entries make: the digest of the state after them."""

    kind: ClassVar[str] = "state-sealed"

    size: Count
    state: Digest


def _adopt(state: State, envelope: Envelope, at: int) -> State:
    require(at == 0, "comes after others: this version keeps one charter")
    charter = verify_charter(envelope, state.pinned)
    remember_charter(charter)
    row = CharterRow(charter.digest(), at)
    return state.put(tables.CHARTERS, number(charter.version), row).put(tables.IN_FORCE, ONLY, row)


def _issue(state: State, issued: AddressIssued, at: int) -> State:
    history = History(state)
    due = history.next_index(issued.vault, issued.branch)
    is_next = issued.branch == Branch.RECEIVE and issued.index == due
    require(is_next, f"is index {issued.index}, but {due} is next")
    history.charter.vault_by_id(issued.vault)
    row = AddressRow(issued.coin_class, at)
    state = state.put(tables.ADDRESSES, tables.index_key(issued.vault, issued.index), row)
    return use_index(state, issued.vault, issued.branch, issued.index)


def use_index(state: State, vault_id: bytes, branch: int, index: int) -> State:
    """Count an index, and all before it, as used for good."""
    used = max(History(state).asked_index(vault_id, branch), index + 1)
    return state.put(tables.NEXT_INDEX, tables.place_key(vault_id, branch), Number(used))


def _seal(state: State, sealed: StateSealed, at: int) -> State:
    require(sealed.size == at, f"speaks of {sealed.size} entries, where {at} stand before it")
    own = state.digest()
    if own != sealed.state:
        raise SealBroken(size=at, sealed=sealed.state.hex(), own=own.hex())
    return state.put(tables.SEALS, number(at), Named(own))


CHARTER_ADOPTED: Final = EntryKind(
    "charter_adopted", Envelope, _adopt, subjects=lambda envelope: (Charter.digest_of(envelope.body),)
)
ADDRESS_ISSUED: Final = EntryKind("address_issued", AddressIssued, _issue, subjects=lambda issued: (issued.vault,))
STATE_SEALED: Final = EntryKind("state_sealed", StateSealed, _seal, subjects=lambda _: ())
