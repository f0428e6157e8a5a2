"""What is so: the state that a log's entries make, and the questions that are asked of it.

Nothing here reads an entry; `history` does, and only it changes this state. What is kept twice (live transfers, groups,
drafts by request) is kept for speed, and both are changed together.
"""

from __future__ import annotations

from typing import Final

from custody.bitcoin.transaction import OutPoint, PreviousTransaction, Transaction
from custody.charter.document import Charter
from custody.charter.facts import Facts
from custody.charter.rules import Case
from custody.envelope import Envelope
from custody.errors import IntegrityError, InvalidInput, Refused
from custody.log import Frontier
from custody.transfer.child import ChildParent, change_of, check_waiting, with_fees_before
from custody.transfer.draft import case_of
from custody.transfer.observe import ChainSeen
from custody.transfer.request import TransferRequest
from custody.transfer.settlement import Ending
from custody.transfer.signing import InputSignature
from custody.transfer.state import AddressIssued, Holding, Kind, Transfer
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch


class HistoryInvalid(IntegrityError, code="HISTORY_INVALID"):
    """An entry that contradicts what stands before it."""

    message = "log entry {index} ({entry}) {problem}"
    hint = "Stop: the log was written by a broken or hostile coordinator. Compare it with a witness's copy."
    index: int
    entry: str
    problem: str


class RequestInUse(Refused, code="REQUEST_IN_USE"):
    """A request that is drafted again while its first transfer may still pay, or has paid."""

    message = "request {request} is already transfer {transfer}, which is {status}"
    hint = "One request pays once. Withdraw that transfer first, or have a new request signed that replaces it."
    request: str
    transfer: str
    status: str


class TransferUnknown(InvalidInput, code="TRANSFER_UNKNOWN"):
    """No such transfer or request in the log."""

    message = "the log has no {what} {shown}"
    hint = "List what there is with: custody transfer list."
    what: str
    shown: str


class Ledger:
    """The state that the first `size` entries of a log make, to be read."""

    def __init__(self, charter_digest: bytes) -> None:
        """An empty history, judged under the charter with this digest (32 bytes, pinned outside the log)."""
        self._pinned: Final = charter_digest
        self.frontier = Frontier()
        self.charter_envelope: Envelope | None = None
        self._charter: Charter | None = None
        self.requests: dict[bytes, Envelope] = {}
        self.transfers: dict[bytes, Transfer] = {}
        self.holdings: dict[OutPoint, Holding] = {}
        self.tips: list[ChainSeen] = []
        self.addresses: dict[tuple[bytes, int], AddressIssued] = {}
        """The addresses given out, each under its vault's id and its receive index, oldest first."""
        self.frozen_by: str | None = None
        self.nonces: dict[bytes, InputSignature] = {}
        """The signatures of all cosigners, each under its nonce."""
        self._next: dict[tuple[bytes, int], int] = {}
        self._spoken: set[bytes] = set()
        self._last: dict[bytes, int] = {}
        self._frozen_at = -1
        # Kept beside `transfers`, or every draft would look at all transfers there ever were.
        self._live: dict[bytes, Transfer] = {}
        self._groups: dict[bytes, list[Transfer]] = {}
        self._drafts: dict[bytes, list[Transfer]] = {}
        self._released: dict[bytes, Transfer] = {}
        self._spenders: dict[bytes, list[Transfer]] = {}

    @property
    def size(self) -> int:
        """Entries folded so far."""
        return self.frontier.size

    @property
    def charter(self) -> Charter:
        """The charter in force.

        Raises:
            HistoryInvalid: none was adopted.
        """
        if self._charter is None:
            raise HistoryInvalid(index=0, entry=Kind.CHARTER_ADOPTED, problem="is missing: no charter was adopted")
        return self._charter

    @property
    def has_charter(self) -> bool:
        """Whether a charter was adopted."""
        return self._charter is not None

    @property
    def height(self) -> int:
        """Highest block the coordinator has looked at; 0 before the first look."""
        return self.tips[-1].height if self.tips else 0

    def facts(self, at: int) -> Facts:
        """What cases are judged on at `at` (Unix seconds)."""
        return Facts(at=at, frozen_by=self.frozen_by)

    def next_index(self, vault_id: bytes, branch: int) -> int:
        """The first index of a branch that neither an issued address nor a draft has used.

        Deposits do not count: they are the coordinator's word alone, and it could push an index out of reach with them.
        """
        return self._next.get((vault_id, branch), 0)

    def unused_from(self, vault_id: bytes, branch: int) -> int:
        """The first index of a branch beyond every one that was issued, drafted or seen to be paid.

        For looking only: what is issued next is for `next_index` to say.
        """
        seen = (holding.seen for holding in self.holdings.values())
        last = max((each.index for each in seen if (each.vault, each.branch) == (vault_id, branch)), default=-1)
        return max(self.next_index(vault_id, branch), last + 1)

    def next_receive(self) -> dict[str, int]:
        """Next unused receive index of each of the charter's vaults, by name."""
        return {
            entry.name: self.next_index(self.charter.vault(entry.name).id, Branch.RECEIVE)
            for entry in self.charter.vaults
        }

    def transfer(self, transfer_id: bytes) -> Transfer:
        """The transfer with this id.

        Raises:
            TransferUnknown: there is none.
        """
        found = self.transfers.get(transfer_id)
        if found is None:
            raise TransferUnknown(what="transfer", shown=transfer_id.hex())
        return found

    def request(self, request_id: bytes) -> Envelope:
        """The signed request with this id.

        Raises:
            TransferUnknown: there is none.
        """
        found = self.requests.get(request_id)
        if found is None:
            raise TransferUnknown(what="request", shown=request_id.hex())
        return found

    def transfer_of(self, unsigned: bytes) -> Transfer:
        """The transfer whose raw unsigned transaction this is; of several, the one that signatures were asked for.

        Raises:
            TransferUnknown: there is none.
        """
        found = [each for each in self.transfers.values() if each.draft.identity.transactions[0] == unsigned]
        if not found:
            raise TransferUnknown(what="transfer of the transaction", shown=Transaction.parse(unsigned).txid_hex)
        return max(found, key=lambda each: each.is_bearer)

    def refuse_drafted(self, request_id: bytes) -> None:
        """Pass when no transfer of this request can pay or has: one request pays once.

        Raises:
            RequestInUse: there is one. Two drafts of one request, both approved, would pay twice.
        """
        for transfer in self._drafts.get(request_id, ()):
            if transfer.is_live or transfer.is_bearer:
                raise RequestInUse(request=request_id.hex(), transfer=transfer.id.hex(), status=transfer.status)

    def last_index(self, transfer_id: bytes) -> int:
        """Index of the newest entry about this transfer."""
        return self._last.get(transfer_id, -1)

    def needed_size(self, transfer_id: bytes) -> int:
        """Entries that whoever judges this transfer must see at least: all about it, and a freeze.

        Once signatures were requested, what is judged does not change any more: that entry is enough.
        """
        asked = self.transfer(transfer_id).signing_index
        return max(self.last_index(transfer_id) if asked is None else asked, self._frozen_at) + 1

    def live(self) -> tuple[Transfer, ...]:
        """The transfers that are neither over nor confirmed."""
        return tuple(self._live.values())

    def members(self, group: bytes) -> tuple[Transfer, ...]:
        """The transfers of a group, in the order they were drafted."""
        return tuple(self._groups.get(group, ()))

    def rivals(self, group: bytes) -> tuple[Transfer, ...]:
        """Those of a group that hold coins or whose signatures may be around: a replacement conflicts with each."""
        return tuple(each for each in self.members(group) if each.is_live or each.is_bearer)

    def replaced_by(self, request: TransferRequest) -> tuple[Transfer, ...]:
        """What a draft of `request` has to conflict with now, in the order it was drafted.

        Of each group that it names: the transfers named, and all rivals, since it could meet any of them.

        Raises:
            TransferUnknown: it names a transfer that is not there.
        """
        named = {each: self.transfer(each) for each in request.replaces}
        groups = dict.fromkeys(each.group for each in named.values())
        members = (each for group in groups for each in self.members(group))
        return tuple(each for each in members if each.id in named or each.is_live or each.is_bearer)

    def parent_of(self, request: TransferRequest) -> Transfer:
        """The transfer that the child which `request` asks for would speed up now.

        Raises:
            TransferUnknown: there is no such transfer.
            ChildParent: it does not wait for a block with change that is free.
        """
        parent = self.transfer(request.parent or b"")
        change = check_waiting(parent, self.charter.vault_by_id(request.vault)[1])
        holder = self.held().get(change.outpoint)
        problem = None
        if any(self.unconfirmed(outpoint) is not None for outpoint in parent.draft.outpoints):
            problem = "spends what waits for a block itself"
        elif self.is_displaced(parent):
            problem = "is replaced by a transfer that is signed already"
        elif holder is not None and all(each.group != holder for each in self.replaced_by(request)):
            problem = f"has a child already, {holder.hex()}: replace that"
        if problem is not None:
            raise ChildParent(parent=parent.id.hex(), problem=problem)
        return parent

    def children(self, transfer: Transfer) -> tuple[Transfer, ...]:
        """The transfers that spend an output of a released one: they can confirm with it and never without."""
        return () if transfer.release is None else tuple(self._spenders.get(transfer.release.txid, ()))

    def is_orphaned(self, transfer: Transfer) -> bool:
        """Whether something else was buried in the place of a transfer whose output this one spends."""
        return any(each.ended and each.ended.reason is Ending.SUPERSEDED for each in self._parents(transfer))

    def is_stranded(self, transfer: Transfer) -> bool:
        """Whether it spends an output of a transfer that a signed one is to take the place of."""
        return any(self.is_displaced(each) for each in self._parents(transfer))

    def _parents(self, transfer: Transfer) -> list[Transfer]:
        txids = dict.fromkeys(outpoint.txid for outpoint in transfer.draft.outpoints)
        return [self._released[txid] for txid in txids if txid in self._released]

    def is_displaced(self, transfer: Transfer) -> bool:
        """Whether a transfer that waits has a newer rival with enough signatures to be sent in its place."""
        members = self.members(transfer.group)
        newer = members[[each.id for each in members].index(transfer.id) + 1 :]
        return transfer.seen is None and any(each.is_live and each.combined for each in newer)

    def unconfirmed(self, outpoint: OutPoint) -> Coin | None:
        """The change of a released transfer that stands in no block, when `outpoint` is where it will be."""
        parent = self._released.get(outpoint.txid)
        if parent is None or not parent.is_live or parent.seen is not None:
            return None
        change = change_of(parent, self.charter.vault_by_id(parent.draft.identity.vault)[1])
        return change if change is not None and change.outpoint == outpoint else None

    def previous(self, outpoint: OutPoint) -> bytes | None:
        """The raw transaction, without witness, that made a coin: a deposit's, or a released one of our own."""
        holding = self.holdings.get(outpoint)
        if holding is not None:
            return holding.seen.transaction
        parent = self._released.get(outpoint.txid)
        return None if parent is None or parent.verified is None else PreviousTransaction(parent.verified.raw).stripped

    def case(self, transfer: Transfer) -> Case:
        """What a transfer means to rules: what its transaction says, and what the log says stands before it."""
        own = case_of(transfer.draft, transfer.request, self.charter)
        return with_fees_before(own, transfer, self.charter.vault_by_id(transfer.draft.identity.vault)[1])

    def held(self) -> dict[OutPoint, bytes]:
        """Coins in live transfers, each with the transfer's group."""
        return {outpoint: each.group for each in self._live.values() for outpoint in each.draft.outpoints}

    def coins(self, vault_id: bytes) -> tuple[Coin, ...]:
        """Mature, unspent coins of a vault, held ones included."""
        return tuple(
            holding.deposit.coin
            for holding in self.holdings.values()
            if holding.seen.vault == vault_id and holding.is_mature and holding.spent_by is None
        )

    def spendable(self, vault_id: bytes, groups: frozenset[bytes] = frozenset()) -> tuple[Coin, ...]:
        """Coins that no live transfer holds, or only one of `groups`."""
        held = self.held()
        return tuple(
            coin for coin in self.coins(vault_id) if coin.outpoint not in held or held[coin.outpoint] in groups
        )

    def balance(self, vault_id: bytes) -> int:
        """Sats of all unspent deposits of a vault, mature or not."""
        return sum(
            holding.seen.amount
            for holding in self.holdings.values()
            if holding.seen.vault == vault_id and holding.spent_by is None
        )

    def committed(self) -> int:
        """Sats that may leave or have left: from the moment signatures were asked for, a conflicting group once.

        A group counts at its largest member, and expiry gives nothing back (THREATS F2).
        """
        largest: dict[bytes, int] = {}
        for transfer in self.transfers.values():
            if transfer.is_bearer:
                case = case_of(transfer.draft, transfer.request, self.charter)
                largest[transfer.group] = max(largest.get(transfer.group, 0), case.outflow)
        return sum(largest.values())
