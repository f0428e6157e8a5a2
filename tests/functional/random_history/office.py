"""An office in which everybody does something at random: what steps there are, and what each does.

Whoever acts may be refused, by any of the library's own errors: then nothing has happened. Anything else that is raised
is a finding. The same seed gives the same steps.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from custody.backends.sql import SqlStore, create_store, open_store
from custody.backends.station import FileStationMemory
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import OutPoint, Transaction, TxOut
from custody.custodian import Custodian
from custody.envelope import Envelope
from custody.errors import CustodyError
from custody.examine.evidence import Stage
from custody.history import lists, tables
from custody.history.holdings import holding, holdings, unspent
from custody.history.quarantine import quarantined
from custody.history.questions import History
from custody.history.relations import coins_gone
from custody.log import LogEntry
from custody.ports import StoreTransaction, StoreView
from custody.station import Station
from custody.testing.cast import OFFICERS, REQUESTER, STRANGER, SUPPLIER, TAX_OFFICE, Setting, expected, make_cast
from custody.testing.chain import RegtestChain
from custody.testing.scenario import HOUR, Scenario
from custody.testing.theft import steal
from custody.transfer.approval import Opinion
from custody.transfer.request import Purpose, RequestPaper, read_request
from custody.transfer.signing import accept, combine
from custody.transfer.state import Status, Transfer
from custody.transfer.verify import finalize
from custody.units import Network
from custody.vault.descriptor import Branch

SETTING = Setting(confirmations=2, more_vaults=1, max_fee=2_000_000, max_rate=1_000_000, max_share=10_000)
PAYEES = (SUPPLIER, TAX_OFFICE, "Reserve", STRANGER)
DAY = 24 * HOUR


class Crash(Exception):
    """The program ends here, whatever it was doing."""


class CrashingStore:
    """A store whose user is gone at some call that changes it. Nothing may be left of the unit of work it was in."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.calls_left = 0
        self.crashes = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    @contextmanager
    def transaction(self) -> Iterator[StoreTransaction]:
        before = everything(self._store)
        try:
            with self._store.transaction() as transaction:
                yield Crashing(transaction, self)
        except Crash:
            self.crashes += 1
            assert everything(self._store) == before
            raise

    def count_down(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise Crash


class Crashing:
    """A transaction of it: it may be gone before a change and after it."""

    CHANGES = frozenset(
        {"append", "save", "watch", "keep_document", "hold", "release_holds", "queue", "dequeue", "erase_body"}
    )

    def __init__(self, transaction: StoreTransaction, store: CrashingStore) -> None:
        self._transaction, self._store = transaction, store

    def __getattr__(self, name: str) -> object:
        found = getattr(self._transaction, name)
        if name not in self.CHANGES:
            return found

        def change(*given: object) -> object:
            self._store.count_down()
            result = found(*given)
            self._store.count_down()
            return result

        return change


def everything(store: SqlStore) -> tuple[object, ...]:
    """What a unit of work that ends early must leave as it was."""
    with store.read() as view:
        whole = view.frontier(), view.rows().head, view.outbox(), view.windows(), view.checkpoint(), _holds(view)
    with closing(sqlite3.connect(store.path)) as connection:
        bodies = connection.execute('SELECT count(*), total("index") FROM bodies').fetchone()
    return (*whole, *bodies)


def _holds(view: StoreView) -> list[tuple[OutPoint, bytes | None]]:
    rows = view.rows()
    held = [OutPoint(row.txid, row.vout) for _, row in rows.scan(tables.HOLDINGS, b"", None)]
    return [(each, view.holder(each)) for each in held]


@dataclass
class Office:
    """People, two coordinators on one store, and a station for each cosigner and officer; one keeps a file."""

    story: Scenario
    chance: random.Random
    coordinators: tuple[Custodian, Custodian]
    crashing: CrashingStore
    unlucky: Custodian
    memory: Path
    answers: list[tuple[bytes, Psbt]] = field(default_factory=list)
    """What stations let out, each with its transfer: carriers may bring it late, and twice."""
    papers: dict[bytes, RequestPaper] = field(default_factory=dict)
    """What was submitted, by RequestId: the log alone does not give a signed paper back."""
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @classmethod
    def opened(cls, folder: Path, seed: int, seal_every: int = 30) -> "Office":
        chain = RegtestChain().fund(6)
        cast = make_cast(SETTING)
        # The vault has a past: somebody else was paid from it.
        funding = chain.pay_all([TxOut(3_000_000, cast.vault.script_pubkey(Branch.RECEIVE, 60))])
        chain.view.send(steal(cast, funding, 0, 60).serialize())
        chain.mine(2)
        store = create_store(folder / "custody.sqlite", Network.REGTEST, cast.charter.origin)
        story = Scenario.begin(SETTING, chain=chain, store=store, seed=seed)
        memory = folder / "station.sqlite"
        first = Station(FileStationMemory(memory), chain)
        first.trust(cast.envelope, cast.digest.hex())
        story.stations = (first, *story.stations[1:])
        outside = story.custodian._outside
        crashing = CrashingStore(open_store(folder / "custody.sqlite", Network.REGTEST))
        second = Custodian(
            open_store(folder / "custody.sqlite", Network.REGTEST), cast.digest, cast.coordinator, outside
        )
        unlucky = Custodian(crashing, cast.digest, cast.coordinator, outside)
        for each in (story.custodian, second, unlucky):
            each._logbook._seal_every = seal_every
        story.custodian.observe()
        for amount in (60_000_000, 40_000_000, 30_000_000, 5_000_000):
            story.deposit(amount)
        story.mine(SETTING.confirmations)
        chance = random.Random(seed)  # noqa: S311 - the same walk every time
        return cls(story, chance, (story.custodian, second), crashing, unlucky, memory)

    @property
    def figures(self) -> str:
        """How much has happened, for whoever runs a campaign: `pytest -rP` shows it."""
        counted = Counter(each.head.entry for each in self.entries())
        words = {row.value for _, row in self.story.history().state.scan(tables.ANNEXES)}
        erased = [int.from_bytes(key, "big") for key, _ in self.story.history().state.scan(tables.ERASED)]
        erased_words = len(words.intersection(erased))
        said = {
            "entries": counted.total(),
            "transfers": counted["drafted"],
            "confirmed": counted["confirmed"],
            "deposits taken back": counted["deposit_reversed"],
            "sent early": counted["sent_early"],
            "thefts": counted["unexplained_spend"],
            "thefts taken back": counted["spend_reversed"],
            "annexes erased": erased_words,
            "deposits erased": len(erased) - erased_words,
            "erasures refused": sum(count for what, count in self.refused.items() if "ERASE_REFUSED" in what),
            "crashes": self.crashing.crashes,
            "steps done": self.done.total(),
            "steps refused": self.refused.total(),
        }
        return ", ".join(f"{count:,} {what}" for what, count in said.items())

    # --- steps -------------------------------------------------------------------------------------------------------

    def step(self, *, may_steal: bool = False) -> None:
        """One thing that somebody does, by one of the coordinators."""
        self.story.custodian = self.chance.choice(self.coordinators)
        steps = [*STEPS, *(THEFTS if may_steal else ())]
        (act,) = self.chance.choices([act for _, act in steps], [weight for weight, _ in steps])
        try:
            act(self)
        except CustodyError as error:
            self.refused[f"{act.__name__}: {error.code}"] += 1
        else:
            self.done[act.__name__] += 1

    def crash(self) -> None:
        """Somebody does something else, and is gone in the middle of it."""
        self.crashing.calls_left = self.chance.randrange(8)
        self.story.custodian = self.unlucky
        steps = [(weight, act) for weight, act in STEPS if act is not Office.crash]
        (act,) = self.chance.choices([act for _, act in steps], [weight for weight, _ in steps])
        with suppress(Crash):
            try:
                act(self)
            finally:
                # Whoever goes on is not that one: it has some calls left, perhaps, and would be gone in the middle.
                self.story.custodian = self.coordinators[0]

    # --- who and what ------------------------------------------------------------------------------------------------

    def transfers(self) -> list[Transfer]:
        return list(islice(lists.drafted(self.story.history()), 30))[::-1]

    def a_transfer(self, *statuses: Status) -> Transfer:
        """One of the newest, preferably where it is to go on from; now and then any."""
        found = self.transfers()
        fitting = [each for each in found if each.status in statuses]
        if fitting and self.chance.random() < 0.9:
            found = fitting
        return self.chance.choice(found or self._nobody())

    def _nobody(self) -> list[Transfer]:
        """Of what is not there: a refusal like others."""
        return [self.story.history().transfer(self.chance.randbytes(32))]

    def an_amount(self) -> int:
        return self.chance.choice([self.chance.randrange(600, 100_000), self.chance.randrange(100_000, 40_000_000)])

    def a_rate(self) -> int:
        return self.chance.choice([1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 80_000])

    def entries(self) -> list[LogEntry]:
        with self.story.store.read() as view:
            return list(view.entries())

    # --- the chain ---------------------------------------------------------------------------------------------------

    def deposit(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            self.story.deposit(2 * self.an_amount())

    def deposit_elsewhere(self) -> None:
        """To the other vault, to an address that was used before, or far ahead of all of them."""
        charter = self.story.cast.charter
        vault = charter.vault(self.chance.choice(charter.vaults).name)
        issued = self.story.custodian.issue_address(self.chance.choice(charter.vaults).name, expected("at random"))
        index = self.chance.choice([issued.index, self.chance.randrange(issued.index + 1), issued.index + 40])
        self.story.chain.pay(vault.script_pubkey(self.chance.choice([Branch.RECEIVE, Branch.CHANGE]), index), 2_000_000)

    def release_coin(self) -> None:
        """Some coin, quarantined or not, by an officer's word or a requester's."""
        history, vault = self.story.history(), self.story.cast.vault
        rows = list(unspent(history, vault.id))
        shut = [row for row in rows if quarantined(history, vault.id, [row])]
        row = self.chance.choice(shut or rows)
        who = self.chance.choice([*OFFICERS, REQUESTER])
        self.story.custodian.release_coin(self.story.coin_release(row.outpoint, who))

    def mine(self) -> None:
        self.story.mine(self.chance.randrange(1, 3))

    def mine_unseen(self) -> None:
        self.story.chain.mine(self.chance.randrange(1, 4))

    def mine_to_the_vault(self) -> None:
        issued = self.story.custodian.issue_address("reserve", expected("mined here", "mined"))
        self.story.mine(1, self.story.cast.vault.script_pubkey(Branch.RECEIVE, issued.index))

    def observe(self) -> None:
        self.story.custodian.observe()

    def reorganise(self) -> None:
        """Blocks are replaced, with or without what is ours in them; the coordinator may look much later."""
        tip = self.story.chain.view.tip().height
        ours = [height for height, _ in _in_blocks(self.story.history()) if height > tip - 8]
        depth = tip - self.chance.choice([*ours, tip, tip - self.chance.randrange(5)]) + 1
        blocks = [self.story.chain.view.block(height) for height in range(tip - depth + 1, tip + 1)]
        txids = [each.txid for block in blocks for each in block.transactions[1:]]
        self.story.chain.reorganise(depth, self.chance.sample(txids, self.chance.randrange(len(txids) + 1)))
        if self.chance.random() < 0.7:
            self.story.custodian.observe()

    def reorganise_to_a_rival(self) -> None:
        """A transfer that stands in a block loses its place to one that it replaced, or was replaced by."""
        history = self.story.history()
        seen = self.chance.choice([each for each in self.transfers() if each.seen is not None] or self._nobody())
        rivals = [each for each in self.transfers() if each.group == seen.group and each.release and each.id != seen.id]
        rival = self.chance.choice(rivals or self._nobody())
        depth = history.height - seen.seen.height + 1
        raw = Transaction.parse(rival.verified.raw)
        self.story.chain.reorganise(depth, [seen.txid], [raw])
        self.story.custodian.observe()

    def wait(self) -> None:
        self.story.chain.wait(self.chance.choice([600, HOUR, 12 * HOUR, DAY]))

    # --- asking and agreeing -----------------------------------------------------------------------------------------

    def ask(self) -> None:
        payments = [(self.chance.choice(PAYEES[:3]), self.an_amount()) for _ in range(self.chance.choice([1, 1, 1, 2]))]
        if self.chance.random() < 0.1:
            payments = [(STRANGER, self.an_amount())]
        self._submit(payments=payments)

    def ask_for_all(self) -> None:
        purpose = self.chance.choice([Purpose.SWEEP, Purpose.CONSOLIDATION])
        self._submit(payments=[(SUPPLIER, None)] if purpose is Purpose.SWEEP else [], purpose=purpose)

    def ask_again(self) -> None:
        """For the same as a transfer that waits, in its place."""
        named = self.a_transfer(Status.SIGNING, Status.VERIFIED, Status.RELEASED, Status.BROADCAST)
        request = named.request
        payments = [(each.payee, each.amount) for each in request.payments]
        self._submit(payments=payments, purpose=request.purpose, parent=request.parent, replaces=(named.id,))

    def ask_to_cancel(self) -> None:
        named = self.a_transfer(Status.SIGNING, Status.COMBINED, Status.RELEASED, Status.BROADCAST)
        self._submit(payments=[], purpose=Purpose.CANCELLATION, replaces=(named.id,))

    def ask_for_a_child(self) -> None:
        parent = self.a_transfer(Status.RELEASED, Status.BROADCAST)
        self._submit(payments=[], purpose=Purpose.CHILD, parent=parent.id)

    def _submit(self, payments: Sequence[tuple[str, int | None]], **rest: object) -> None:
        lifetime = self.chance.choice([3 * HOUR, 3 * DAY, 30 * DAY, 30 * DAY])
        request = self.story.request(*payments, reason=f"no. {self.chance.random()}", lifetime=lifetime, **rest)
        submitted = self.story.custodian.submit(request)
        self.papers[submitted.digest()] = request
        if self.chance.random() < 0.8:
            self.story.custodian.draft(submitted.digest(), self.a_rate())

    def draft(self) -> None:
        """Of a request that waits for it, or of one that was drafted before."""
        asked = [each.request.digest() for each in self.transfers()]
        waiting = lists.undrafted(self.story.history())[-10:]
        if waiting and self.chance.random() < 0.7:
            request_id = read_request(self.chance.choice(waiting)).digest()
            if request_id in self.papers:
                self.story.custodian.submit(self.papers[request_id])
            asked = [request_id]
        self.story.custodian.draft(self.chance.choice(asked or [bytes(32)]), self.a_rate())

    def decide(self) -> None:
        self.story.custodian.decide(self.a_transfer(Status.DRAFTED).id)

    def approve(self) -> None:
        """At an officer's own machine; now and then a no, and now and then a yes that does not hold for long."""
        transfer, officer = self.a_transfer(Status.DECIDED), self.chance.choice(OFFICERS)
        verdict = Opinion.VETO if self.chance.random() < 0.07 else Opinion.APPROVE
        envelope = self._approval(transfer, officer, verdict, self.chance.choice([HOUR, DAY, 7 * DAY, 7 * DAY]))
        self.story.custodian.approve(envelope)
        if self.chance.random() < 0.1:
            self.story.custodian.approve(envelope)

    def _approval(
        self, transfer: Transfer, officer: str, verdict: Opinion = Opinion.APPROVE, lifetime: int = 7 * DAY
    ) -> Envelope:
        desk = self.story.desks[officer]
        evidence = self.story.custodian.evidence(transfer.id, self._since(desk))
        return desk.approve(evidence, self.story.cast.people[officer], verdict, self.story.chance.nonce(), lifetime)

    def withdraw(self) -> None:
        transfer = self.a_transfer(Status.DRAFTED, Status.DECIDED, Status.AUTHORIZED)
        self.story.custodian.withdraw(self.story.withdrawal(transfer.id, self.chance.choice([REQUESTER, OFFICERS[0]])))

    def give_up(self) -> None:
        """What a reorganisation took the coin of, or a theft."""
        history = self.story.history()
        found = [each for each in lists.live(history) if each.is_bearer and coins_gone(history, each)]
        transfer = self.chance.choice(found or self._nobody())
        self.story.custodian.withdraw(self.story.withdrawal(transfer.id, OFFICERS[0]))

    def authorize(self) -> None:
        self.story.custodian.authorize(self.a_transfer(Status.DECIDED).id)

    def request_signatures(self) -> None:
        self.story.custodian.request_signatures(self.a_transfer(Status.AUTHORIZED).id)

    # --- signing and sending -----------------------------------------------------------------------------------------

    def sign(self) -> None:
        transfer = self.a_transfer(Status.SIGNING, Status.COMBINED)
        cosigner = self.chance.randrange(len(self.story.stations))
        self.answers.append((transfer.id, self._signature(transfer, cosigner)))
        if self.chance.random() < 0.8:
            self.story.custodian.receive(*self.answers[-1])

    def _signature(self, transfer: Transfer, cosigner: int) -> Psbt:
        station = self.story.stations[cosigner]
        evidence = self.story.custodian.evidence(transfer.id, self._since(station))
        return station.sign(evidence, self.story.cast.signers[cosigner]).psbt.to_psbt()

    def receive(self) -> None:
        """What a carrier brings late, or again."""
        if not self.answers:
            self.story.history().transfer(bytes(32))  # nobody has let anything out, so nobody knows of what it would be
        self.story.custodian.receive(*self.chance.choice(self.answers[-20:]))

    def combine(self) -> None:
        self.story.custodian.combine(self.a_transfer(Status.SIGNING).id)

    def verify(self) -> None:
        self.story.custodian.verify(self.a_transfer(Status.COMBINED).id)

    def release(self) -> None:
        self.story.custodian.release(self.a_transfer(Status.VERIFIED).id)

    def deliver(self) -> None:
        self.story.custodian.deliver()

    def send_by_another_way(self) -> None:
        """Somebody who has the finished transaction sends it: a released one is everybody's."""
        transfer = self.a_transfer(Status.RELEASED, Status.BROADCAST)
        if transfer.release is not None:
            self.story.chain.view.send(transfer.verified.raw)

    def send_early(self) -> None:
        """Somebody who has enough signed files sends a transfer that was not released."""
        transfer = self.a_transfer(Status.SIGNING, Status.COMBINED, Status.VERIFIED)
        self._send_past(transfer)

    def go_on(self) -> None:
        """One transfer goes on from where it is, as far as it can in one go."""
        custodian, transfer = self.story.custodian, self.a_transfer(Status.DRAFTED, Status.DECIDED, Status.SIGNING)
        if not transfer.is_bearer:
            custodian.decide(transfer.id)
            said = {each.officer for each in transfer.opinions}
            for officer in self.chance.sample(OFFICERS, 3)[: 2 - len(said)]:
                custodian.approve(self._approval(transfer, officer))
            custodian.authorize(transfer.id)
            custodian.request_signatures(transfer.id)
        if self.chance.random() < 0.15:
            self._send_past(transfer)
            return
        for cosigner in self.chance.sample(range(len(self.story.stations)), self.story.cast.vault.threshold):
            custodian.receive(transfer.id, self._signature(transfer, cosigner))
        custodian.combine(transfer.id)
        custodian.verify(transfer.id)
        custodian.release(transfer.id)
        if self.chance.random() < 0.7:
            custodian.deliver()

    # --- stations ----------------------------------------------------------------------------------------------------

    def machines(self) -> list[Station]:
        return [*self.story.stations, *self.story.desks.values()]

    def _since(self, station: Station) -> int:
        """Where a file for this station begins: where it stands, before, or now and then too far on."""
        seen = station.seen().size
        return self.chance.choice([*[seen] * 12, 0, self.chance.randrange(seen + 1), seen + 1])

    def visit(self) -> None:
        """Somebody looks at a transfer at a station, and does nothing else."""
        station = self.chance.choice(self.machines())
        transfer = self.a_transfer(Status.DECIDED, Status.SIGNING)
        evidence = self.story.custodian.evidence(transfer.id, self._since(station))
        station.examine(evidence, self.chance.choice([Stage.APPROVE, Stage.SIGN]))

    def catch_up(self) -> None:
        station = self.chance.choice(self.machines())
        lines = list(self.story.custodian.showing.log_file(self._since(station)))
        station.catch_up(lambda: iter(lines))

    # --- erasing ---------------------------------------------------------------------------------------------------

    def erase(self) -> None:
        """Words or deposits, old or new; now and then what is gone already, what somebody needs, or nothing at all."""
        for _ in range(self.chance.choice([1, 1, 2, 5])):
            index = self.chance.choice(self._erasable(self.story.history()))
            self.story.custodian.erase(index, "asked for at random")

    def _erasable(self, history: History) -> list[int]:
        """Where one kind of what may be erased stands; or any entry, of which most may not be."""
        which = self.chance.random()
        if which < 0.4:
            found = [row.value for _, row in history.state.scan(tables.ANNEXES)]
        elif which < 0.65:
            found = [row.seen for _, row in history.state.scan(tables.HOLDINGS)]
        elif which < 0.85:
            spent = {outpoint for each in self.transfers() for outpoint in each.draft.outpoints}
            found = [row.seen for each in spent if (row := holding(history, each)) is not None]
        elif which < 0.9:
            found = [int.from_bytes(key, "big") for key, _ in history.state.scan(tables.ERASED)]
        else:
            found = [self.chance.randrange(history.size + 2)]
        found.sort()
        return (found[-20:] if self.chance.random() < 0.5 else found) or [history.size]

    # --- what is sent past us ---------------------------------------------------------------------------------------

    def steal(self) -> None:
        """Two cosigners spend a coin past all of us."""
        history, vault = self.story.history(), self.story.cast.vault
        row = self.chance.choice(list(unspent(history, vault.id)) or list(holdings(history, vault.id)))
        with self.story.store.read() as view:
            funding = view.document(row.txid)
        stolen = steal(self.story.cast, Transaction.parse(funding), row.vout, row.index, Branch(row.branch))
        self.story.chain.view.send(stolen.serialize())
        self.story.mine()

    def send_anyhow(self) -> None:
        """Two cosigners sign and send a transfer that is over, or that nobody asked signatures for."""
        over = [each for each in self.transfers() if not each.is_bearer and each.status is Status.ENDED]
        self._send_past(self.chance.choice(over or self._nobody()))

    def _send_past(self, transfer: Transfer) -> None:
        with self.story.custodian._work() as work:
            psbt, vault = work.psbt(transfer).to_psbt(), work.vault_of(transfer)
            sent = work.psbt(transfer)
        signers = self.story.cast.signers[: vault.threshold]
        returned = [each.sign(psbt) for each in signers]
        signed = [one for each in returned for one in accept(each, sent, transfer.draft, vault, 0)]
        raw = finalize(combine(transfer.draft, vault, signed, 0), transfer.draft, vault).serialize()
        self.story.chain.view.send(raw)
        self.story.mine()


def _in_blocks(history: History) -> list[tuple[int, bytes]]:
    """What the log says stands in blocks: each height with the block's hash."""
    keys = [key for key, _ in history.state.scan(tables.IN_BLOCKS)]
    return [(int.from_bytes(key[:4], "big"), key[4:36]) for key in keys]


STEPS = (
    (10, Office.deposit),
    (2, Office.deposit_elsewhere),
    (2, Office.release_coin),
    (10, Office.mine),
    (2, Office.mine_unseen),
    (1, Office.mine_to_the_vault),
    (2, Office.observe),
    (5, Office.reorganise),
    (4, Office.reorganise_to_a_rival),
    (3, Office.wait),
    (16, Office.ask),
    (2, Office.ask_for_all),
    (10, Office.ask_again),
    (6, Office.ask_to_cancel),
    (8, Office.ask_for_a_child),
    (3, Office.draft),
    (3, Office.decide),
    (6, Office.approve),
    (2, Office.withdraw),
    (3, Office.give_up),
    (4, Office.authorize),
    (4, Office.request_signatures),
    (6, Office.sign),
    (2, Office.receive),
    (3, Office.combine),
    (3, Office.verify),
    (3, Office.release),
    (4, Office.deliver),
    (1, Office.send_by_another_way),
    (3, Office.send_early),
    (30, Office.go_on),
    (3, Office.visit),
    (3, Office.catch_up),
    (8, Office.erase),
    (5, Office.crash),
)
THEFTS = ((3, Office.steal), (3, Office.send_anyhow))
