"""What a log means, told a second time and as plainly as can be: lists, and every question scans them all.

Written from what kinds of entries declare and questions promise. It shares with `custody.history` the records that
bodies are read as, and nothing else: no tables, no rows, no fold. It refuses nothing, since it is given logs that were
taken, and it is slow on purpose.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from custody.bitcoin.transaction import OutPoint, Transaction
from custody.charter.decide import Decision
from custody.charter.document import Charter, VaultPayee, read_charter
from custody.envelope import Envelope, unsafe_payload
from custody.history.on.annex import Erased
from custody.log import LogEntry
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.transfer.approval import Approval, Authorization, Withdrawal
from custody.transfer.coin_release import CoinRelease
from custody.transfer.draft import Draft
from custody.transfer.observe import (
    CameEarly,
    ChainSeen,
    CoinMatured,
    DepositReversed,
    DepositSeen,
    PastClosed,
    PastSpend,
    SpendReversed,
    SpendSeen,
    UnexplainedSpend,
)
from custody.transfer.request import ReasonAnnex, TransferRequest, read_request
from custody.transfer.settlement import Broadcast, Confirmation, Ended, Release, Unconfirmation
from custody.transfer.signing import CombinedPsbt, SignedPsbt, SigningRequested
from custody.transfer.verify import VerifiedTransaction
from custody.vault.descriptor import Branch, Vault

RECORDS = {
    "charter_adopted": Envelope,
    "past_closed": PastClosed,
    "address_issued": AddressIssued,
    "erased": Erased,
    "chain_seen": ChainSeen,
    "deposit_seen": DepositSeen,
    "deposit_reversed": DepositReversed,
    "came_early": CameEarly,
    "coin_matured": CoinMatured,
    "coin_released": Envelope,
    "past_spend": PastSpend,
    "unexplained_spend": UnexplainedSpend,
    "spend_reversed": SpendReversed,
    "requested": Envelope,
    "drafted": Draft,
    "decided": Decision,
    "approved": Envelope,
    "withdrawn": Envelope,
    "abandoned": Envelope,
    "authorized": Authorization,
    "signing_requested": SigningRequested,
    "signed": SignedPsbt,
    "combined": CombinedPsbt,
    "verified": VerifiedTransaction,
    "released": Release,
    "broadcast": Broadcast,
    "spend_seen": SpendSeen,
    "sent_early": SpendSeen,
    "confirmed": Confirmation,
    "unconfirmed": Unconfirmation,
    "ended": Ended,
}
Answers = dict[str, object]
"""By question; plain values, so that two of them can be compared."""


@dataclass
class Received:
    """A deposit that stands."""

    said: DepositSeen
    at: int
    is_mature: bool = False
    spent_by: bytes | None = None

    @property
    def outpoint(self) -> OutPoint:
        return OutPoint(self.said.txid, self.said.vout)


@dataclass
class Told:
    """A transfer, and what its entries said so far. `outflow` is all that it spends but what comes back as `change`."""

    id: bytes
    group: bytes
    draft: Draft
    request: TransferRequest
    at: int
    newest: int
    spends: list[OutPoint]
    change: tuple[int, int] | None
    """Its output's number, and sats."""
    outflow: int
    due_change: int
    due_receive: dict[str, int]
    replaced: list[bytes]
    status: str = "drafted"
    decision: Decision | None = None
    approvals: list[Approval] = field(default_factory=list)
    authorization: Authorization | None = None
    signing_at: int | None = None
    signed: list[SignedPsbt] = field(default_factory=list)
    combined: CombinedPsbt | None = None
    verified: VerifiedTransaction | None = None
    release: Release | None = None
    seen: SpendSeen | None = None
    early: SpendSeen | None = None
    """The newest block that held it without its release."""
    ending: tuple[str, str] | None = None
    """Kept while it stands in a block all the same."""
    withdrawn: bytes | None = None
    """The annex that says why."""

    @property
    def is_live(self) -> bool:
        return self.status not in ("ended", "confirmed")

    @property
    def is_bearer(self) -> bool:
        return self.signing_at is not None or self.early is not None

    @property
    def is_superseded(self) -> bool:
        return self.status == "ended" and self.ending is not None and self.ending[0] == "superseded"

    @property
    def is_abandoned(self) -> bool:
        return self.status == "ended" and self.ending is not None and self.ending[0] == "abandoned"

    @property
    def txid(self) -> bytes | None:
        found = self.release or self.early
        return None if found is None else found.txid

    @property
    def reached(self) -> str:
        """How far it had come by what was entered of it, blocks left aside."""
        steps = (
            (self.release, "released"),
            (self.verified, "verified"),
            (self.combined, "combined"),
            (self.signing_at, "signing"),
            (self.authorization, "authorized"),
            (self.decision, "decided"),
        )
        return next((status for step, status in steps if step is not None), "drafted")


class Naive:
    """What the entries that it has read say. It changes with every entry."""

    def __init__(self) -> None:
        self.size = 0
        self.charter: Charter | None = None
        self.vaults: dict[bytes, tuple[str, Vault]] = {}
        self.addresses: list[tuple[AddressIssued, int]] = []
        self.blocks: list[ChainSeen] = []
        self.deposits: list[Received] = []
        self.paid: dict[int, tuple[bytes, int, int]] = {}
        """Vault, branch and index that were paid to, by the entry that says so."""
        self.came: dict[bytes, int] = {}
        """The first entry that spoke of a deposit of a transaction."""
        self.early: set[OutPoint] = set()
        self.released: dict[OutPoint, int] = {}
        """The entries by which officers released coins, until they were taken back."""
        self.annexes: dict[bytes, int] = {}
        self.words: dict[bytes, bytes | None] = {}
        """What annexes say, by their digest."""
        self.erased: dict[int, int] = {}
        """The entries that say so, by what was erased."""
        self.thefts: list[tuple[UnexplainedSpend, str, int]] = []
        self.requests: dict[bytes, TransferRequest] = {}
        self.transfers: list[Told] = []
        self.held: dict[OutPoint, bytes] = {}
        self.seen_by: dict[str, int] = {}

    def read(self, entries: Iterable[LogEntry]) -> None:
        """Take in the next entries; one without its body says nothing."""
        for entry in entries:
            if entry.head.entry == "deposit_seen":
                self.came.setdefault(entry.head.subjects[0], self.size)
            if entry.head.entry == "deposit_reversed":
                gone = entry.head.subjects[0]
                self.released = {each: at for each, at in self.released.items() if each.txid != gone}
            if entry.head.entry == "annexed":
                self.annexes[entry.head.body], self.words[entry.head.body] = self.size, entry.body
            record = RECORDS.get(entry.head.entry)
            if record is not None and entry.body is not None:
                getattr(self, f"_{entry.head.entry}")(record.from_bytes(entry.body), self.size)
                self._see_who_holds()
            self.size += 1

    def transfer(self, transfer_id: bytes) -> Told:
        return next(each for each in self.transfers if each.id == transfer_id)

    def _see_who_holds(self) -> None:
        """Whoever holds a coin keeps it while a live transfer of theirs spends it; then the next one has it."""
        live = [each for each in self.transfers if each.is_live]
        wanted = {(outpoint, each.group) for each in live for outpoint in each.spends}
        self.held = {outpoint: group for outpoint, group in self.held.items() if (outpoint, group) in wanted}
        for each in live:
            for outpoint in each.spends:
                self.held.setdefault(outpoint, each.group)

    # --- the charter, addresses, the chain ---------------------------------------------------------------------------

    def _charter_adopted(self, envelope: Envelope, _: int) -> None:
        self.charter = read_charter(envelope)
        vaults = [(entry.name, self.charter.vault(entry.name)) for entry in self.charter.vaults]
        self.vaults = {vault.id: (name, vault) for name, vault in vaults}

    def _address_issued(self, issued: AddressIssued, at: int) -> None:
        self.addresses.append((issued, at))

    def _past_closed(self, closed: PastClosed, _: int) -> None:
        """What it is good for, whoever looks at the chain decides."""

    def _chain_seen(self, seen: ChainSeen, _: int) -> None:
        if self.charter is not None and any(each.height > seen.height for each in self.blocks):
            # The chain is shorter: what is not deep enough any more waits again.
            for each in self.deposits:
                needed = self.charter.vault_by_id(each.said.vault)[0].confirmations
                each.is_mature = each.is_mature and each.said.deposit.is_mature(seen.height, needed)
        self.blocks = [each for each in self.blocks if each.height < seen.height] + [seen]

    def _deposit_seen(self, seen: DepositSeen, at: int) -> None:
        # One that stands still was taken back by an entry that this copy does not have.
        found = Received(seen, at)
        self.deposits = [each for each in self.deposits if each.outpoint != found.outpoint] + [found]
        self.paid[at] = (seen.vault, seen.branch, seen.index)

    def _deposit_reversed(self, gone: DepositReversed, _: int) -> None:
        self.deposits = [each for each in self.deposits if not _is_of(each, gone)]

    def _came_early(self, early: CameEarly, _: int) -> None:
        self.early.add(OutPoint(early.txid, early.vout))

    def _coin_released(self, envelope: Envelope, at: int) -> None:
        self.released[unsafe_payload(envelope, CoinRelease).outpoint] = at

    def _coin_matured(self, matured: CoinMatured, _: int) -> None:
        for each in self.deposits:
            each.is_mature = each.is_mature or _is_of(each, matured)

    def _unexplained_spend(self, spend: UnexplainedSpend, at: int) -> None:
        outpoint = OutPoint(spend.txid, spend.vout)
        self._spent([outpoint], spend.spender)
        why = "no released transfer explains"
        if spend.transfer is not None:
            ending = self.transfer(spend.transfer).ending
            over = "signatures were never asked for" if ending is None else f"it was over ({ending[0]})"
            why = f"is transfer {spend.transfer.hex()}: {over}"
        self.thefts.append((spend, f"{outpoint} was spent by {spend.spender[::-1].hex()}, which {why}", at))

    def _past_spend(self, spend: PastSpend, _: int) -> None:
        self._spent([OutPoint(spend.txid, spend.vout)], spend.spender)

    def _spend_reversed(self, gone: SpendReversed, _: int) -> None:
        place = (gone.txid, gone.vout, gone.block)
        self.thefts = [each for each in self.thefts if (each[0].txid, each[0].vout, each[0].block) != place]
        outpoint = OutPoint(gone.txid, gone.vout)
        elsewhere = [
            each for each, _, _ in self.thefts if (each.txid, each.vout, each.spender) == (*place[:2], gone.spender)
        ]
        for each in self.deposits:
            if each.outpoint == outpoint and each.spent_by == gone.spender and not elsewhere:
                each.spent_by = None

    @property
    def frozen(self) -> tuple[str, int] | None:
        newest = max(self.thefts, key=lambda each: each[2], default=None)
        return None if newest is None else newest[1:]

    def _spent(self, outpoints: list[OutPoint], spender: bytes | None) -> None:
        for each in self.deposits:
            if each.outpoint in outpoints:
                each.spent_by = spender

    def _erased(self, erased: Erased, at: int) -> None:
        """Nothing of what the entry said is known from here on, as if it had come without its body."""
        self.erased[erased.index] = at
        self.deposits = [each for each in self.deposits if each.at != erased.index]
        self.paid.pop(erased.index, None)
        if erased.entry == "annexed":
            self.words[erased.body] = None

    # --- asking and agreeing -----------------------------------------------------------------------------------------

    def _requested(self, envelope: Envelope, _: int) -> None:
        request = read_request(envelope)
        self.requests[request.digest()] = request

    def _drafted(self, draft: Draft, at: int) -> None:
        request = self.requests[draft.identity.request]
        named = [each.group for each in self.transfers if each.id in request.replaces]
        rivals = [each for each in self.transfers if each.group in named]
        replaced = [each for each in rivals if each.id in request.replaces or each.is_live or each.is_bearer]
        vault_id, transfer_id = draft.identity.vault, draft.identity.digest()
        spent = sum(each.amount for each in draft.identity.spent)
        change = self._change(draft)
        paid = [name for name, _ in self._paid_vaults(draft)]
        due = {name: self.next_index(each, Branch.RECEIVE) for each, (name, _) in self.vaults.items() if name in paid}
        told = Told(
            id=transfer_id,
            group=replaced[0].group if replaced else transfer_id,
            draft=draft,
            request=request,
            at=at,
            newest=at,
            spends=[each.outpoint for each in draft.identity.spent],
            change=change,
            outflow=spent - (0 if change is None else change[1]),
            due_change=self.next_index(vault_id, Branch.CHANGE),
            due_receive=due,
            replaced=[each.id for each in replaced],
        )
        self.transfers.append(told)

    def _change(self, draft: Draft) -> tuple[int, int] | None:
        if draft.change is None:
            return None
        script = self.vaults[draft.identity.vault][1].script_pubkey(Branch.CHANGE, draft.change)
        outputs = enumerate(Transaction.parse(draft.identity.transactions[0]).outputs)
        return next((index, output.amount) for index, output in outputs if output.script_pubkey == script)

    def _paid_vaults(self, draft: Draft) -> list[tuple[str, int]]:
        payees = [(self.charter.payee(each.payee), each.index) for each in draft.destinations]
        return [(payee.vault, index) for payee, index in payees if isinstance(payee, VaultPayee)]

    def _decided(self, decision: Decision, at: int) -> None:
        told = self._at(decision.transfer, at, "decided")
        told.decision = decision

    def _approved(self, envelope: Envelope, at: int) -> None:
        approval = unsafe_payload(envelope, Approval)
        told = self._at(approval.transfer, at)
        others = [each for each in told.approvals if each.officer != approval.officer]
        if len(others) < len(told.approvals):
            # What was authorized may have counted the word that this one takes the place of.
            told.status, told.authorization = "decided", None
        told.approvals = [*others, approval]
        self._saw(approval.officer, approval.log_size)

    def _withdrawn(self, envelope: Envelope, at: int) -> None:
        withdrawal = unsafe_payload(envelope, Withdrawal)
        told = self._at(withdrawal.transfer, at, "ended")
        told.ending, told.withdrawn = ("withdrawn", ""), withdrawal.annex

    def _abandoned(self, envelope: Envelope, at: int) -> None:
        withdrawal = unsafe_payload(envelope, Withdrawal)
        told = self._at(withdrawal.transfer, at, "ended")
        told.ending, told.withdrawn = ("abandoned", ""), withdrawal.annex

    def _authorized(self, authorization: Authorization, at: int) -> None:
        told = self._at(authorization.transfer, at, "authorized")
        told.authorization = authorization

    def _ended(self, ended: Ended, at: int) -> None:
        told = self._at(ended.transfer, at, "ended")
        told.ending = (ended.reason.value, ended.detail)

    # --- signing and sending -----------------------------------------------------------------------------------------

    def _signing_requested(self, signing: SigningRequested, at: int) -> None:
        told = self._at(signing.transfer, at, "signing")
        told.signing_at = at

    def _signed(self, signed: SignedPsbt, at: int) -> None:
        told = self._at(signed.transfer, at)
        told.signed.append(signed)
        self._saw(signed.cosigner.hex(), (told.signing_at or 0) + 1)

    def _combined(self, combined: CombinedPsbt, at: int) -> None:
        told = self._at(combined.transfer, at, "combined")
        told.combined = combined

    def _verified(self, verified: VerifiedTransaction, at: int) -> None:
        told = self._at(verified.transfer, at, "verified")
        told.verified = verified

    def _released(self, release: Release, at: int) -> None:
        told = self._at(release.transfer, at, "released")
        told.release = release

    def _broadcast(self, sent: Broadcast, at: int) -> None:
        self._at(sent.transfer, at, "broadcast")

    def _spend_seen(self, seen: SpendSeen, at: int) -> None:
        told = self._at(seen.transfer, at, "broadcast")
        told.seen = seen
        self._spent(told.spends, seen.txid)

    def _sent_early(self, seen: SpendSeen, at: int) -> None:
        told = self._at(seen.transfer, at, "broadcast")
        told.seen = told.early = seen
        self._spent(told.spends, seen.txid)

    def _confirmed(self, confirmation: Confirmation, at: int) -> None:
        self._at(confirmation.transfer, at, "confirmed")

    def _unconfirmed(self, gone: Unconfirmation, at: int) -> None:
        told = self._at(gone.transfer, at)
        told.seen = None
        if told.ending is not None:
            told.status = "ended"
        else:
            told.status = "broadcast" if told.release is not None else told.reached
        self._spent(told.spends, None)
        while back := [each for each in self.transfers if self._may_come_back(each)]:
            for each in back:
                each.status, each.ending = each.reached, None

    def _may_come_back(self, told: Told) -> bool:
        return told.is_superseded and told.is_bearer and not self.has_lost(told)

    def _at(self, transfer_id: bytes, at: int, status: str | None = None) -> Told:
        told = self.transfer(transfer_id)
        told.newest, told.status = at, status or told.status
        return told

    def _saw(self, who: str, size: int) -> None:
        self.seen_by[who] = max(size, self.seen_by.get(who, 0))

    # --- questions ---------------------------------------------------------------------------------------------------

    def next_index(self, vault_id: bytes, branch: int) -> int:
        # What came to nothing before anybody was asked to sign gives its index back.
        counted = [each for each in self.transfers if each.is_live or each.is_bearer]
        if branch == Branch.CHANGE:
            ours = [each.draft.change for each in counted if each.draft.identity.vault == vault_id]
            used = [index for index in ours if index is not None]
        else:
            used = [issued.index for issued, _ in self.addresses if issued.vault == vault_id]
            name = self.vaults[vault_id][0]
            paid = [place for each in counted for place in self._paid_vaults(each.draft)]
            used += [index for vault, index in paid if vault == name]
        return max(used, default=-1) + 1

    def _issued(self, vault_id: bytes) -> list[tuple[AddressIssued, int]]:
        return [(issued, at) for issued, at in self.addresses if issued.vault == vault_id]

    def members(self, group: bytes) -> list[Told]:
        return [each for each in self.transfers if each.group == group]

    def parents(self, told: Told) -> list[Told]:
        txids = {each.txid for each in told.spends}
        return [each for each in self.transfers if each.txid in txids]

    def children(self, told: Told) -> list[Told]:
        if told.txid is None:
            return []
        return [each for each in self.transfers if any(one.txid == told.txid for one in each.spends)]

    def is_displaced(self, told: Told) -> bool:
        newer = [each for each in self.members(told.group) if each.at > told.at]
        return told.seen is None and any(each.is_live and each.combined is not None for each in newer)

    def has_lost(self, told: Told) -> bool:
        """Whether another is confirmed in its place, or in that of one whose output it spends."""
        is_beaten = any(each.status == "confirmed" for each in self.members(told.group))
        return is_beaten or any(each.is_superseded or each.is_abandoned for each in self.parents(told))

    def committed(self) -> int:
        """Of each group in which signatures were asked for, the most that may leave."""
        most: dict[bytes, int] = {}
        for each in self.transfers:
            if each.is_bearer:
                most[each.group] = max(each.outflow, most.get(each.group, 0))
        return sum(most.values())

    def nonces(self) -> dict[bytes, bytes]:
        """Each signature by its nonce: the first number in DER, without the zero that keeps it positive."""
        made = [each for told in self.transfers for signed in told.signed for each in signed.signatures]
        found = {}
        for each in made:
            length = each.signature[3]
            found[each.signature[4 : 4 + length].lstrip(b"\x00").rjust(32, b"\x00")] = each.signature
        return found

    def needed_size(self, told: Told) -> int:
        own = told.newest if told.signing_at is None else told.signing_at
        released = [self.released.get(each, -1) for each in told.spends]
        return max(own, -1 if self.frozen is None else self.frozen[1], *released) + 1

    def is_unasked(self, deposit: Received) -> bool:
        """Whether nobody was to send it, and no officer has released it."""
        said = deposit.said
        ours = [each for each in self.transfers if each.txid == said.txid and each.signing_at is not None]
        if (
            any(each.ending is None or each.ending[0] == "abandoned" for each in ours)
            or deposit.outpoint in self.released
        ):
            return False
        given = [at for issued, at in self._issued(said.vault) if issued.index == said.index]
        if said.branch != Branch.RECEIVE or not given:
            return True
        return self.came[said.txid] < given[0] or deposit.outpoint in self.early

    def answers(self) -> Answers:
        """What everybody knows who has read as far as this."""
        if self.charter is None:
            return {"size": self.size}
        drafted = {each.draft.identity.request for each in self.transfers}
        places = [(vault_id, branch) for vault_id in self.vaults for branch in Branch]
        return {
            "size": self.size,
            "transfers": [self._answer(each) for each in self.transfers],
            "live": [each.id for each in self.transfers if each.is_live],
            "members": {each.group: [one.id for one in self.members(each.group)] for each in self.transfers},
            "newest": [each.id for each in self.transfers][-5:],
            "held": dict(self.held),
            "committed": self.committed(),
            "unconfirmed": dict(self._unconfirmed_change()),
            "undrafted": [each for each in self.requests if each not in drafted],
            "in_use": {each.draft.identity.request for each in self.transfers if each.is_live or each.is_bearer},
            "alike": {each.id: self._alike(each) for each in self.transfers},
            "frozen_by": None if self.frozen is None else self.frozen[0],
            "blocks": [(each.height, each.block) for each in reversed(self.blocks)],
            "next": {place: self.next_index(*place) for place in places},
            "addresses": {
                vault_id: [(each.index, each.annex, at) for each, at in self._issued(vault_id)]
                for vault_id in self.vaults
            },
            "nonces": self.nonces(),
            "seen_by": dict(self.seen_by),
            "annexes": dict(self.annexes),
            "erased": dict(self.erased),
            "released_coins": dict(self.released),
        }

    def _alike(self, told: Told) -> set[tuple[bytes, str, int | None]]:
        """Live transfers of other groups that pay a payee of this one the same; the five newest of each payment."""
        own = {(each.payee, each.amount) for each in told.request.payments}
        groups = {each.group for each in self.transfers if each.draft.identity.request == told.draft.identity.request}
        groups |= {each.group for each in self.transfers if each.id in told.request.replaces}
        others = [each for each in self.transfers if each.is_live and each.group not in groups]
        paid = {each.id: {(one.payee, one.amount) for one in each.request.payments} & own for each in others}
        newest = {one: [each.id for each in others if one in paid[each.id]][-5:] for one in own}
        return {(each, *one) for one, ids in newest.items() for each in ids}

    def _unconfirmed_change(self) -> Iterator[tuple[OutPoint, int]]:
        for each in self.transfers:
            if each.is_live and each.seen is None and each.release is not None and each.change is not None:
                yield OutPoint(each.release.txid, each.change[0]), each.change[1]

    def _answer(self, told: Told) -> Answers:
        return {
            "id": told.id,
            "status": told.status,
            "group": told.group,
            "replaced": told.replaced,
            "parent": told.request.parent,
            "ending": told.ending,
            "due_change": told.due_change,
            "due_receive": told.due_receive,
            "verdict": None if told.decision is None else told.decision.verdict,
            "opinions": [(each.officer, each.verdict, each.nonce) for each in told.approvals],
            "authorization": told.authorization,
            "signed": [each.cosigner for each in told.signed],
            "released": None if told.release is None else told.release.txid,
            "seen": None if told.seen is None else (told.seen.height, told.seen.block),
            "needed_size": self.needed_size(told),
            "children": [each.id for each in self.children(told)],
            "is_displaced": self.is_displaced(told),
            "is_stranded": any(self.is_displaced(each) for each in self.parents(told)),
            "has_lost": self.has_lost(told),
            "of_transaction": self._of_transaction(told),
        }

    def _of_transaction(self, told: Told) -> bytes:
        same = [each for each in self.transfers if each.draft.identity.transactions == told.draft.identity.transactions]
        return next((each.id for each in same if each.is_bearer), same[0].id)

    def answers_of_bodies(self) -> Answers:
        """What only they know who have the bodies that may be withheld or erased: deposits, and words about people."""
        if self.charter is None:
            return {}
        shut = {each.outpoint for each in self.deposits if self.is_unasked(each)}
        taken = shut | set(self.held)
        free = {vault_id: [each for each in self._coins(vault_id) if each not in taken] for vault_id in self.vaults}
        places = [(vault_id, branch) for vault_id in self.vaults for branch in Branch]
        return {
            "holdings": {vault_id: [_answer_of(each) for each in self._of(vault_id)] for vault_id in self.vaults},
            "balance": {vault_id: self._balance(vault_id) for vault_id in self.vaults},
            "coins": {vault_id: self._coins(vault_id) for vault_id in self.vaults},
            "spendable": free,
            "unused": {place: max(self.next_index(*place), self._furthest(*place) + 1) for place in places},
            "maturing": {each.outpoint for each in self.deposits if not each.is_mature and each.spent_by is None},
            "payers": [self._payer(issued) for vault_id in self.vaults for issued, _ in self._issued(vault_id)],
            "reasons": [self._reason(each.request.annex) for each in self.transfers],
            "withdrawn": [self._reason(each.withdrawn) or "" for each in self.transfers if each.withdrawn is not None],
        }

    def _furthest(self, vault_id: bytes, branch: int) -> int:
        return max((index for *place, index in self.paid.values() if place == [vault_id, branch]), default=-1)

    def _payer(self, issued: AddressIssued) -> tuple[str, str] | None:
        words = self.words[issued.annex]
        annex = None if words is None else AddressAnnex.from_bytes(words)
        return None if annex is None else (annex.payer, annex.purpose)

    def _reason(self, named: bytes) -> str | None:
        words = self.words[named]
        return None if words is None else ReasonAnnex.from_bytes(words).reason

    def _balance(self, vault_id: bytes) -> int:
        return sum(each.said.amount for each in self._of(vault_id) if each.spent_by is None)

    def _of(self, vault_id: bytes) -> list[Received]:
        return [each for each in self.deposits if each.said.vault == vault_id]

    def _coins(self, vault_id: bytes) -> list[OutPoint]:
        return [each.outpoint for each in self._of(vault_id) if each.is_mature and each.spent_by is None]


def _answer_of(deposit: Received) -> tuple[object, ...]:
    return deposit.outpoint, deposit.said.block, deposit.at, deposit.is_mature, deposit.spent_by


def _is_of(deposit: Received, said: DepositReversed | CoinMatured) -> bool:
    return (deposit.outpoint, deposit.said.block) == (OutPoint(said.txid, said.vout), said.block)
