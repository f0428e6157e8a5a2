"""How does a test get a log as long as an institution's after years, true in every entry?

People sign with their keys, cosigners with theirs, and every entry is one that the route's own verbs make: what is
written here passes every check that a log passes. Only the chain is made up: blocks hold transactions that nobody
validated, since nobody's rules but ours are asked. A week is two units of work, so that a transfer costs what its
signatures cost and not fifteen commits.

The same size and seed give the same log. Regtest only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from custody.backends.sql import schema
from custody.backends.sql.store import create_store
from custody.bitcoin.block import Block, BlockHeader
from custody.bitcoin.script import p2wpkh
from custody.bitcoin.transaction import MinedTransaction, OutPoint, Transaction, TxIn, TxOut
from custody.charter.decide import Verdict, decide
from custody.drafter import draft_for
from custody.envelope import Envelope, sign
from custody.examine.evidence import gather
from custody.examine.examination import judge_draft
from custody.history import kinds, tables
from custody.logbook import Logbook, Work, all_previous
from custody.observer import observe
from custody.ports import BlockUnknown, BlockView, Standing, Store, Tip
from custody.record import tagged_hash
from custody.testing.cast import OFFICERS, REQUESTER, STRANGER, SUPPLIER, Cast, Chance, Setting, expected, make_cast
from custody.testing.chain import build_block
from custody.transfer.annex import Annex
from custody.transfer.approval import Approval, Opinion, Withdrawal, WithdrawalPaper, authorize
from custody.transfer.replacement import INCREMENTAL_RATE, Evicted
from custody.transfer.request import Purpose, ReasonAnnex, RequestedPayment, RequestPaper, TransferRequest
from custody.transfer.selection import Rates
from custody.transfer.settlement import Ending, broadcast, release
from custody.transfer.signing import SigningRequested, accept, combine
from custody.transfer.state import Transfer
from custody.transfer.verify import verify
from custody.units import Network
from custody.vault.descriptor import Branch

WEEK: Final = 7 * 24 * 3600
START: Final = 1_735_689_600
"""2025-01-01 00:00 UTC."""
DEPOSIT: Final = 40_000_000
PAYMENT: Final = 25_000_000
RATE: Final = 5_000
"""sat/kvB of a transfer; what replaces one pays three times as much."""
_REPLACEABLE: Final = 0xFFFFFFFD

Tell = Callable[[int, int], None]
"""Told the weeks that were written, and how many there will be."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much has happened: about `entries` entries, with `transfers` transfers and twice as many deposits."""

    entries: int
    vaults: int
    transfers: int
    weeks: int

    @property
    def setting(self) -> Setting:
        """What its charter says."""
        return Setting(more_vaults=self.vaults - 1)


SMALL: Final = Size(entries=1_000, vaults=1, transfers=50, weeks=10)
LARGE: Final = Size(entries=100_000, vaults=100, transfers=5_000, weeks=100)
HUGE: Final = Size(entries=1_000_000, vaults=1_000, transfers=50_000, weeks=1_000)


class MadeUpChain:
    """A chain that has whatever block it is told to have. Implements `ChainView`, `Relay` and `Clock`.

    It is taken up at `height`, where a block with nobody's transactions followed `previous`: so the one that a log was
    written on is had again from what that log says. Blocks have regtest's work; none of them is examined by anybody.
    """

    network: Final = Network.REGTEST

    def __init__(self, height: int = 0, previous: bytes = bytes(32)) -> None:
        self._height = height - 1
        self._headers: dict[int, BlockHeader] = {}
        self._mined: dict[int, tuple[MinedTransaction, ...]] = {}
        self._add(previous, ())

    def mine(self, transactions: Sequence[Transaction]) -> None:
        """Have one more block, a week later."""
        self._add(self._headers[self._height].hash, transactions)

    def _add(self, previous: bytes, transactions: Sequence[Transaction]) -> None:
        self._height += 1
        raw = build_block(
            previous=previous,
            height=self._height,
            time=self.now(),
            reward_to=p2wpkh(bytes(20)),
            transactions=transactions,
        )
        block = Block.parse(raw)
        self._headers[self._height] = block.header
        self._mined = {self._height: block.transactions} | {
            height: mined for height, mined in self._mined.items() if height == self._height - 1
        }

    def now(self) -> int:
        """Unix seconds."""
        return START + self._height * WEEK

    def tip(self) -> Tip:
        """The newest block."""
        return Tip(self._height, self._headers[self._height].hash, self.now())

    def block_hash(self, height: int) -> bytes:
        """Hash of the block at `height`."""
        return self.header(height).hash

    def header(self, height: int) -> BlockHeader:
        """The header of the block at `height`, of those that were made in this process."""
        if height not in self._headers:
            raise BlockUnknown(block=f"height {height}", reason="this chain was not told of it")
        return self._headers[height]

    def block(self, height: int) -> BlockView:
        """The block at `height`, one of the newest two: a coinbase that pays nobody known, and what was mined there."""
        if height not in self._mined:
            raise BlockUnknown(block=f"height {height}", reason="only the newest two are kept")
        return BlockView(height, self.header(height), self._mined[height])

    def first_block(self) -> int:
        """It prunes nothing."""
        return 0

    def is_initial_download(self) -> bool:
        """Never."""
        return False

    def send(self, raw: bytes) -> None:
        """Take anything."""

    def send_package(self, raws: Sequence[bytes]) -> None:
        """Take anything."""

    def standing(self, transaction: Transaction) -> Standing:
        """Everything waits."""
        del transaction
        return Standing.WAITING

    def evicted(self, txid: bytes) -> Evicted | None:
        """Nothing is known of what waits."""
        del txid
        return None

    def step_rate(self) -> int:
        """What nodes ask for by default, sat/kvB."""
        return INCREMENTAL_RATE

    def fee_rate(self) -> int | None:
        """No estimate."""
        return None

    def min_fee_rate(self) -> int:
        """What nodes take by default, sat/kvB."""
        return 1_000


def _funding(label: str, outputs: Sequence[TxOut]) -> Transaction:
    """Somebody's transaction: from an outpoint that follows from `label`, with change to nobody known."""
    seed = hashlib.sha256(label.encode()).digest()
    change = TxOut(5_000_000_000, p2wpkh(seed[:20]))
    return Transaction(2, (TxIn(OutPoint(seed, 0), b"", _REPLACEABLE),), (*outputs, change), 0)


class Years:
    """Writes history into an empty store, week by week."""

    def __init__(self, store: Store, size: Size, seed: int = 0) -> None:
        self.cast: Final = make_cast(size.setting)
        self.chain: Final = MadeUpChain()
        self._size: Final = size
        self._chance: Final = Chance(seed)
        self._people: Final = People(self.cast, self._chance)
        self._logbook: Final = Logbook(store, self.cast.digest, self._chance.salt)
        self._asked = 0
        self._given_out = 0
        self._waiting: list[Transaction] = []

    def write(self, tell: Tell | None = None) -> None:
        """All of it."""
        with self._logbook.write(self.chain.now()) as work:
            work.append(kinds.CHARTER_ADOPTED, self.cast.envelope)
        # Every vault has something to pay from before the first transfer is asked for.
        self._pass_week(max(2 * self._size.vaults, 2 * self._size.transfers // self._size.weeks))
        for week in range(self._size.weeks):
            count = self._size.transfers * (week + 1) // self._size.weeks - self._asked
            with self._logbook.write(self.chain.now()) as work:
                for _ in range(count):
                    self._transfer(work)
            self._pass_week(2 * count)
            if tell is not None:
                tell(week + 1, self._size.weeks)
        self._pass_week(0)

    def _pass_week(self, deposits: int) -> None:
        """Give out addresses, have them paid in one block with what was sent, and look at it."""
        paid = list(self._waiting)
        with self._logbook.write(self.chain.now()) as work:
            vaults = [(each.name, work.history.charter.vault(each.name)) for each in work.history.charter.vaults]
            for _ in range(deposits):
                _, vault = vaults[self._given_out % len(vaults)]
                self._given_out += 1
                index = work.issue(vault.id, expected(f"case {self._given_out}"))
                amount = DEPOSIT + self._chance.below(DEPOSIT)
                output = TxOut(amount, vault.script_pubkey(Branch.RECEIVE, index))
                paid.append(_funding(f"deposit {self._given_out}", [output]))
        self._waiting.clear()
        self.chain.mine(paid)
        observe(self._logbook, self.chain, [self.chain])

    def _transfer(self, work: Work) -> None:
        """One transfer from the vault whose turn it is: most are sent, a few end in each of the other ways."""
        self._asked += 1
        vaults = work.history.charter.vaults
        vault = work.history.charter.vault(vaults[self._asked % len(vaults)].name).id
        turn = self._asked % 50
        if turn == 10:  # noqa: PLR2004 - each way once in fifty transfers
            self._drafted(work, self._people.request(work.now, vault, STRANGER))
            return
        transfer = self._drafted(work, self._people.request(work.now, vault, SUPPLIER))
        if turn == 20:  # noqa: PLR2004
            withdrawal = self._people.withdrawal(transfer, work.now)
            work.annex(withdrawal.annex)
            work.append(kinds.WITHDRAWN, withdrawal.signed)
            work.free(transfer)
        elif turn == 30:  # noqa: PLR2004
            work.append(kinds.APPROVED, self._people.approval(work, transfer, OFFICERS[0], Opinion.VETO))
            work.end(transfer, Ending.VETOED, f"by {OFFICERS[0]}")
        elif turn == 40:  # noqa: PLR2004
            self._sent(work, transfer)
            request = self._people.request(work.now, vault, SUPPLIER, replaces=(transfer.id,))
            self._waiting.append(self._sent(work, self._drafted(work, request, 3 * RATE)))
        else:
            self._waiting.append(self._sent(work, transfer))

    def _drafted(self, work: Work, request: RequestPaper, rate: int = RATE) -> Transfer:
        """Ask, draft and decide; what is denied ends."""
        work.annex(request.annex)
        work.append(kinds.REQUESTED, request.signed)
        request_id = tagged_hash("custody/request/v1", request.signed.body)
        drafted, group = draft_for(work, request_id, Rates(rate), self._chance.below)
        work.store.hold(drafted.outpoints, group)
        work.append(kinds.DRAFTED, drafted)
        transfer = work.history.transfer(drafted.transfer_id)
        history = work.history
        previous = all_previous(history, work.store, drafted)
        judged = judge_draft(transfer, history.proposal(transfer), previous, history.height)
        decision = decide(transfer.id, judged.case, history.charter, history.facts(work.now))
        work.append(kinds.DECIDED, decision)
        if decision.verdict is Verdict.DENY:
            work.end(transfer, Ending.DENIED, "as it should be")
        return work.history.transfer(transfer.id)

    def _sent(self, work: Work, transfer: Transfer) -> Transaction:
        """Everything from the officers to the network; the finished transaction."""
        for officer in OFFICERS[:2]:
            work.append(kinds.APPROVED, self._people.approval(work, transfer, officer))
        transfer = work.history.transfer(transfer.id)
        history, drafted = work.history, transfer.draft
        if transfer.decision is None:
            raise AssertionError("a transfer is decided before it is approved")
        authorization = authorize(history.proposal(transfer), transfer.decision, transfer.approvals, work.now)
        work.append(kinds.AUTHORIZED, authorization)
        transfer = work.history.transfer(transfer.id)
        body = gather(transfer, history.state.pinned, all_previous(history, work.store, drafted))
        work.append(
            kinds.SIGNING_REQUESTED, SigningRequested(transfer=transfer.id, evidence=body.digest(), at=work.now)
        )
        vault, sent = work.vault_of(transfer), work.psbt(transfer)
        psbt = sent.to_psbt()
        for signer in self.cast.signers[: vault.threshold]:
            for signed in accept(signer.sign(psbt), sent, drafted, vault, work.now):
                work.append(kinds.SIGNED, signed)
        combined = combine(drafted, vault, work.history.transfer(transfer.id).signed, work.now)
        work.append(kinds.COMBINED, combined)
        work.shelve_children(transfer)
        verified = verify(combined, drafted, vault, (), work.now)
        work.append(kinds.VERIFIED, verified)
        released = release(verified, work.now)
        work.append(kinds.RELEASED, released)
        work.store.queue(transfer.id, verified.raw, work.now)
        work.append(kinds.BROADCAST, broadcast(released, work.now))
        return Transaction.parse(verified.raw)


@dataclass(frozen=True, slots=True)
class People:
    """What people sign, each with their own key, without looking: their stations are another test's."""

    cast: Cast
    chance: Chance

    def request(self, now: int, vault: bytes, payee: str, replaces: tuple[bytes, ...] = ()) -> RequestPaper:
        """A payment from the vault with this id; what replaces another asks for the same."""
        annex = Annex.of(ReasonAnnex(reason="invoice"), self.chance.salt())
        record = TransferRequest(
            network=Network.REGTEST,
            charter=self.cast.digest,
            vault=vault,
            purpose=Purpose.PAYMENT,
            payments=(RequestedPayment(payee=payee, amount=PAYMENT),),
            replaces=replaces,
            annex=annex.named,
            requester=REQUESTER,
            issued=now,
            expires=now + 2 * WEEK,
            nonce=self.chance.nonce(),
        )
        return RequestPaper(signed=sign(record, self.cast.people[REQUESTER]), annex=annex)

    def approval(self, work: Work, transfer: Transfer, officer: str, verdict: Opinion = Opinion.APPROVE) -> Envelope:
        """What an officer says who has seen the log as it stands."""
        record = Approval(
            network=Network.REGTEST,
            vault=transfer.row.vault,
            transfer=transfer.id,
            charter=self.cast.digest,
            charter_version=1,
            officer=officer,
            key=self.cast.people[officer].public_key,
            verdict=verdict,
            log_size=work.history.size,
            log_root=work.history.frontier.root,
            issued=work.now,
            expires=work.now + WEEK,
            nonce=self.chance.nonce(),
        )
        return sign(record, self.cast.people[officer])

    def withdrawal(self, transfer: Transfer, now: int) -> WithdrawalPaper:
        """The requester thinks better of it."""
        annex = Annex.of(ReasonAnnex(reason="no longer needed"), self.chance.salt())
        record = Withdrawal(
            network=Network.REGTEST,
            charter=self.cast.digest,
            transfer=transfer.id,
            person=REQUESTER,
            annex=annex.named,
            issued=now,
            nonce=self.chance.nonce(),
        )
        return WithdrawalPaper(signed=sign(record, self.cast.people[REQUESTER]), annex=annex)


def kept_years(size: Size, folder: Path, tell: Tell | None = None) -> Path:
    """The store of such a history in `folder`, written when it is not there. Copy it before changing it.

    Its name holds a digest of all that decides what is in it, so a changed format makes another.
    """
    inputs = json.dumps([[getattr(size, each.name) for each in fields(size)], *_formats()])
    digest = hashlib.sha256(inputs.encode() + Path(__file__).read_bytes()).hexdigest()
    path = folder / f"years-{size.entries}-{digest[:16]}.sqlite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        store = create_store(unfinished, Network.REGTEST, make_cast(size.setting).charter.origin)
        Years(store, size).write(tell)
        unfinished.rename(path)
    return path


def _formats() -> Iterator[object]:
    """How entries, rows and tables are written."""
    yield [schema.FORMAT, *schema.REVISIONS]
    for kind in kinds.ALL:
        yield [str(kind), kind.record.model_json_schema()]
    for table in tables.ALL:
        yield [table.name, repr(table.row), [str(each) for each in getattr(table.row, "__annotations__", {}).items()]]
