"""The whole route in one process, on a real chain, with real keys: what tests, fixtures and the demo play on.

Nothing is replaced by a double: consensus is libbitcoinkernel's, keys come from key files, stations and the witness are
the ones that ship. Only time and chance are seeded. Regtest only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from custody.backends.bitcointx import BitcointxJudge
from custody.backends.kernel import KernelJudge
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import OutPoint
from custody.charter.decide import Decision
from custody.custodian import Custodian, Outside
from custody.envelope import Envelope, sign
from custody.examine.evidence import Evidence
from custody.examine.statement import DAY, StatementPaper, state_address, write_paper
from custody.history import lists
from custody.history.holdings import balance, coins, holdings, spendable
from custody.history.maps import MapRows
from custody.history.questions import History
from custody.history.rows import Head, NoRows, Rows
from custody.history.snapshot import Written
from custody.history.state import State
from custody.history.tables import HoldingRow
from custody.log import SignedCheckpoint
from custody.log.witnessing import LogKey
from custody.logbook import annex_of
from custody.ports import StationState, Store
from custody.station import Station
from custody.testing.cast import (
    SUPPLIER,
    Cast,
    Chance,
    Setting,
    SoftwareWitness,
    expected,
    make_cast,
    person_key,
)
from custody.testing.chain import RegtestChain
from custody.testing.memory import InMemoryStore
from custody.transfer.address import AddressIssued
from custody.transfer.annex import Annex
from custody.transfer.approval import Opinion, Withdrawal, WithdrawalPaper
from custody.transfer.coin_release import CoinRelease, CoinReleasePaper
from custody.transfer.draft import Draft
from custody.transfer.request import Purpose, ReasonAnnex, RequestedPayment, RequestPaper, TransferRequest
from custody.transfer.state import Transfer
from custody.units import Network
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch
from custody.words import show_words

HOUR: Final = 3600
RATE: Final = 5_000
"""sat/kvB of the story's transfers."""


class RememberedState:
    """A station's memory that lasts as long as the process."""

    def __init__(self) -> None:
        self._trusted: StationState | None = None
        self._rows: Rows = NoRows()

    def load(self) -> StationState | None:
        """What was saved last."""
        return self._trusted

    def rows(self) -> Rows:
        """The rows that were saved last."""
        return self._rows

    def save(self, trusted: StationState, seen: State) -> None:
        """Remember both."""
        self._trusted, self._rows = trusted, MapRows.of(seen)

    def begin(self, trusted: StationState, seen: State, head: Head, rows: Iterable[Written]) -> None:
        """Remember these rows and no others."""
        del seen
        self._trusted, self._rows = trusted, MapRows.begun(head, rows)


@dataclass(slots=True)
class Scenario:
    """A cast on a chain: a coordinator, a station for each cosigner and officer, a witness.

    `chain` is also the clock of everybody.
    """

    cast: Cast
    chain: RegtestChain
    store: Store
    custodian: Custodian
    chance: Chance
    stations: tuple[Station, ...]
    desks: dict[str, Station]
    """Each officer's own machine, by name."""
    witnesses: tuple[SoftwareWitness, ...]

    @classmethod
    def begin(
        cls,
        setting: Setting | None = None,
        *,
        cast: Cast | None = None,
        chain: RegtestChain | None = None,
        store: Store | None = None,
        seed: int = 0,
    ) -> Self:
        """A vault under a charter that everyone signed and every machine trusts; no coins yet.

        With `cast`, another charter's people (`testing.own`); `setting` says nothing then.
        """
        cast = cast or make_cast(setting)
        chain = chain or RegtestChain()
        chance = Chance(seed)
        log = LogKey(cast.charter.origin, cast.charter.coordinator)
        witnesses = tuple(
            SoftwareWitness(each.name, person_key(each.name), log, chain) for each in cast.charter.witnesses
        )
        outside = Outside(
            views=(chain.view,),
            relay=chain.view,
            judges=(KernelJudge(), BitcointxJudge(), *chain.judges),
            clock=chain,
            below=chance.below,
            salt=chance.salt,
            witnesses=witnesses,
        )
        store = store or InMemoryStore(Network.REGTEST, cast.charter.origin)
        custodian = Custodian(store, cast.digest, cast.coordinator, outside)
        custodian.adopt_charter(cast.envelope)
        stations = tuple(Station(RememberedState(), chain) for _ in cast.signers)
        desks = {name: Station(RememberedState(), chain) for name in cast.officers}
        for station in (*stations, *desks.values()):
            station.trust(cast.envelope, show_words(cast.digest))
        return cls(cast, chain, store, custodian, chance, stations, desks, witnesses)

    @classmethod
    def funded(
        cls, *amounts: int, setting: Setting | None = None, chain: RegtestChain | None = None, seed: int = 0
    ) -> Self:
        """The same with coins of these amounts, mature; on a fresh `chain`, else on one in the process."""
        scenario = cls.begin(setting, chain=(chain or RegtestChain()).fund(4), seed=seed)
        scenario.custodian.observe()
        for amount in amounts or (60_000_000, 40_000_000, 30_000_000):
            scenario.deposit(amount)
        scenario.mine(scenario.depth)
        return scenario

    def at(self, vault: str) -> Self:
        """The same story, told of the vault called `vault`: requests and deposits are its.

        Raises:
            UnknownName: the charter has no such vault.
        """
        return replace(self, cast=self.cast.at(vault))

    @property
    def depth(self) -> int:
        """Blocks after which the vault's deposits count, and a payment of its is settled."""
        return self.cast.charter.vault_entry(self.cast.vault_name).confirmations

    # --- the chain ---------------------------------------------------------------------------------------------------

    def deposit(self, amount: int, purpose: str = "seized coins") -> OutPoint:
        """Pay `amount` sats to the vault's next address; unconfirmed until the next block."""
        issued = self.custodian.issue_address(self.cast.vault_name, expected(purpose))
        return self.chain.pay(self.cast.vault.script_pubkey(Branch.RECEIVE, issued.index), amount)

    def mine(self, count: int = 1, script_pubkey: bytes | None = None) -> None:
        """Mine, and have the custodian look."""
        self.chain.mine(count, script_pubkey)
        self.custodian.observe()

    @property
    def balance(self) -> int:
        """Sats of the vault's unspent deposits."""
        return balance(self.history(), self.cast.vault.id)

    @property
    def holdings(self) -> dict[OutPoint, HoldingRow]:
        """The vault's deposits by where they are, spent ones too."""
        return {each.outpoint: each for each in holdings(self.history(), self.cast.vault.id)}

    @property
    def coins(self) -> tuple[Coin, ...]:
        """The vault's mature, unspent coins, those that a transfer holds too."""
        return coins(self.history(), self.cast.vault.id)

    @property
    def spendable(self) -> tuple[Coin, ...]:
        """Those of them that no transfer holds."""
        return spendable(self.history(), self.cast.vault.id)

    # --- the people --------------------------------------------------------------------------------------------------

    def request(
        self,
        *payments: tuple[str, int | None],
        purpose: Purpose = Purpose.PAYMENT,
        requester: str | None = None,
        replaces: tuple[bytes, ...] = (),
        parent: bytes | None = None,
        reason: str = "invoice 2024-17",
        lifetime: int = 72 * HOUR,
    ) -> RequestPaper:
        """A request as `requester` (else whoever first may) signs it, with its reason.

        A payment to the supplier unless said otherwise.
        """
        requester = requester or self.cast.requester
        if not payments and purpose is Purpose.PAYMENT:
            payments = ((SUPPLIER, 25_000_000),)
        now, annex = self.chain.now(), Annex.of(ReasonAnnex(reason=reason), self.chance.salt())
        record = TransferRequest(
            network=self.cast.charter.network,
            charter=self.cast.digest,
            vault=self.cast.vault.id,
            purpose=purpose,
            payments=tuple(RequestedPayment(payee=payee, amount=amount) for payee, amount in payments),
            replaces=replaces,
            parent=parent,
            annex=annex.named,
            requester=requester,
            issued=now,
            expires=now + lifetime,
            nonce=self.chance.nonce(),
        )
        return RequestPaper(signed=sign(record, self.cast.people[requester]), annex=annex)

    def approval(self, evidence: Evidence, officer: str, verdict: Opinion = Opinion.APPROVE) -> Envelope:
        """What an officer signs at their own machine, after examining the evidence there."""
        nonce = self.chance.nonce()
        return self.desks[officer].approve(evidence, self.cast.people[officer], verdict, nonce)

    def withdrawal(self, transfer_id: bytes, person: str | None = None) -> WithdrawalPaper:
        """What ends a transfer before signatures are requested, on the word of `person`, else of a requester."""
        person = person or self.cast.requester
        annex = Annex.of(ReasonAnnex(reason="no longer needed"), self.chance.salt())
        record = Withdrawal(
            network=self.cast.charter.network,
            charter=self.cast.digest,
            transfer=transfer_id,
            person=person,
            annex=annex.named,
            issued=self.chain.now(),
            nonce=self.chance.nonce(),
        )
        return WithdrawalPaper(signed=sign(record, self.cast.people[person]), annex=annex)

    def coin_release(self, outpoint: OutPoint, officer: str | None = None, **lies: object) -> CoinReleasePaper:
        """What `officer`, else the first, signs to have a quarantined coin spent; `lies` are other fields of it."""
        officer = officer or self.cast.officers[0]
        row = self.holdings[outpoint]
        annex = Annex.of(ReasonAnnex(reason="a ministry paid twice"), self.chance.salt())
        fields: dict[str, object] = {
            "network": self.cast.charter.network,
            "charter": self.cast.digest,
            "vault": row.vault,
            "txid": row.txid,
            "vout": row.vout,
            "amount": row.amount,
            "block": row.block,
            "officer": officer,
            "annex": annex.named,
            "issued": self.chain.now(),
            "nonce": self.chance.nonce(),
        }
        record = CoinRelease.model_validate(fields | lies)
        return CoinReleasePaper(signed=sign(record, self.cast.people[officer]), annex=annex)

    # --- addresses ---------------------------------------------------------------------------------------------------

    def paper(self, index: int) -> StatementPaper:
        """What officers judge a statement of the vault's address at `index` by; it holds for a month."""
        request = self.custodian.showing.checkpoint()
        signed = SignedCheckpoint.parse(request.checkpoint)
        for witness in self.witnesses:
            signed = witness.cosign(request)
        row = lists.address(self.history(), self.cast.vault.id, index)
        assert row is not None  # noqa: S101
        issued = self.history().read(AddressIssued, row.issued)
        with self.store.read() as view:
            annex = annex_of(self.history(), view, issued.annex)
            assert annex is not None  # noqa: S101
            asked = state_address(issued, annex, self.cast.charter, signed.checkpoint, self.chain.now(), 30 * DAY)
            return write_paper(asked, annex, self.cast.envelope, signed, list(view.entries(0, asked.log_size)))

    def stated(self, paper: StatementPaper, officers: tuple[str, ...] | None = None) -> Envelope:
        """The statement, after each of `officers` (else enough) has signed it in turn at their own machine."""
        signed: Envelope | None = None
        for officer in self.cast.enough_officers if officers is None else officers:
            signed = self.desks[officer].sign_statement(paper, self.cast.people[officer], signed)
        return signed or sign(paper.asked)

    # --- the route, in strides ---------------------------------------------------------------------------------------

    def drafted(self, request: RequestPaper | None = None, rate: int = RATE) -> tuple[Draft, Decision]:
        """Submit, draft, decide."""
        submitted = self.custodian.submit(request or self.request())
        draft = self.custodian.draft(submitted.digest(), rate)
        return draft, self.custodian.decide(draft.transfer_id)

    def approved(self, transfer_id: bytes, officers: tuple[str, ...] | None = None) -> None:
        """Each of `officers`, else as many as the charter asks for, examines and approves at their own machine."""
        for officer in self.cast.enough_officers if officers is None else officers:
            self.custodian.approve(self.approval(self.custodian.evidence(transfer_id), officer))

    def authorized(self, request: RequestPaper | None = None, rate: int = RATE) -> bytes:
        """A transfer whose signatures are requested; its id."""
        draft, _ = self.drafted(request, rate)
        self.approved(draft.transfer_id)
        self.custodian.authorize(draft.transfer_id)
        self.custodian.request_signatures(draft.transfer_id)
        return draft.transfer_id

    @property
    def members(self) -> tuple[int, ...]:
        """Which of the cast's cosigners are the vault's, by their numbers."""
        own = {each.fingerprint for each in self.cast.vault.cosigners}
        return tuple(number for number, each in enumerate(self.cast.signers) if each.fingerprint in own)

    def signature(self, transfer_id: bytes, cosigner: int) -> Psbt:
        """What cosigner number `cosigner`'s station lets out."""
        evidence = self.custodian.evidence(transfer_id)
        return self.stations[cosigner].sign(evidence, self.cast.signers[cosigner]).psbt.to_psbt()

    def signed(self, transfer_id: bytes) -> None:
        """As many cosigners as the vault needs sign, and the result is verified."""
        for cosigner in self.members[: self.cast.vault.threshold]:
            self.custodian.receive(transfer_id, self.signature(transfer_id, cosigner))
        self.custodian.combine(transfer_id)
        self.custodian.verify(transfer_id)

    def sent(self, request: RequestPaper | None = None, rate: int = RATE) -> bytes:
        """A transfer that was released and delivered, in no block yet; its id."""
        transfer_id = self.authorized(request, rate)
        self.signed(transfer_id)
        self.custodian.release(transfer_id)
        self.custodian.deliver()
        return transfer_id

    def confirmed(self, request: RequestPaper | None = None, rate: int = RATE) -> bytes:
        """A transfer that is settled; its id."""
        transfer_id = self.sent(request, rate)
        self.mine(self.depth)
        return transfer_id

    def transfer(self, transfer_id: bytes) -> Transfer:
        """The transfer as the log tells it."""
        return self.custodian.history().transfer(transfer_id)

    def history(self) -> History:
        """The history as of now."""
        return self.custodian.history()

    def close(self) -> None:
        """Let go of the chain."""
        self.chain.close()
