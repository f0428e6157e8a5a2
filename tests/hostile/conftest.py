"""The attacker of these tests: a coordinator that owns its own key, its database and every file it hands out.

What it writes is right in every way but the one that a test is about; `custody.testing.forge` keeps its log. So an
attack reaches the check that is meant to stop it. `forger` needs no chain: a previous transaction is any that pays the
vault.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.charter.decide import Decision, Verdict, decide
from custody.charter.facts import Facts
from custody.envelope import Ed25519Signer, Envelope, sign
from custody.errors import CustodyError
from custody.examine.evidence import Evidence, Stage
from custody.examine.examination import Examination, examine
from custody.history import kinds
from custody.history.state import State
from custody.log import EMPTY_ROOT
from custody.record import Record
from custody.testing.cast import OFFICERS, REQUESTER, SUPPLIER, Cast, make_cast
from custody.testing.forge import READ_BEFORE, Forge, Story
from custody.transfer.address import AddressIssued
from custody.transfer.annex import Annex
from custody.transfer.approval import Approval, Authorization, Opinion
from custody.transfer.draft import Draft, Plan, draft, outputs_of
from custody.transfer.proposal import Proposal, propose
from custody.transfer.request import Purpose, ReasonAnnex, RequestedPayment, TransferRequest, read_request
from custody.transfer.selection import Algorithm, Selection
from custody.transfer.signing import signing_psbt
from custody.vault.coins import Coin
from custody.vault.ownership import Reading, read_ownership

WYCHEPROOF = "shared/vectors/wycheproof/testvectors_v1/ecdsa_secp256k1_sha256_bitcoin_test.json"
NOW = 1_767_225_600
HEIGHT = 150
FEE = 5_000

Some = TypeVar("Some", bound=Record)


def edited(record: Some, **changes: Any) -> Some:
    """The record with other values, written anew as an attacker writes it."""
    return type(record)(**{name: getattr(record, name) for name in type(record).model_fields} | changes)


def annex_of(reason: str = "invoice 17") -> Annex:
    """A reason as somebody signed it, under a salt that is the same for the same words."""
    return Annex.of(ReasonAnnex(reason=reason), hashlib.sha256(reason.encode()).digest())


def recast(cast: Cast, **changes: Any) -> Cast:
    """The cast under a charter with other parts, signed by everyone."""
    charter = edited(cast.charter, **changes)
    everyone = [cast.coordinator, *cast.people.values(), cast.witness]
    return replace(cast, charter=charter, envelope=sign(charter, *everyone))


class Forger:
    """A coordinator with two coins of its vault and no scruples.

    `visits` is how its readers come by the log: "at once"; "in two visits", when they have seen half of it before; or
    "from a snapshot", when they began with one of that half.
    """

    visits = "at once"

    def __init__(self, cast: Cast | None = None, amounts: Sequence[int] = (60_000_000, 40_000_000)) -> None:
        self.cast = cast or make_cast()
        self.vault = self.cast.vault
        self.now = NOW
        self.previous: dict[bytes, bytes] = {}
        self._count = itertools.count()
        self.coins = tuple(self.coin(amount, 0, place) for place, amount in enumerate(amounts))

    # --- money -------------------------------------------------------------------------------------------------------

    def coin(self, amount: int, branch: int, index: int, script: bytes | None = None) -> Coin:
        """A coin at this place, or wherever `script` says, whose previous transaction is known."""
        script = script or self.vault.script_pubkey(branch, index)
        number = next(self._count)
        spends = TxIn(OutPoint(hashlib.sha256(b"funds %d" % number).digest(), 0), b"", 0xFFFFFFFE)
        funding = Transaction(2, (spends,), (TxOut(1_000, b"\x00\x14" + bytes(20)), TxOut(amount, script)), 0)
        self.previous[funding.txid] = funding.serialize()
        return Coin(OutPoint(funding.txid, 1), amount, script, branch, index, 100, is_coinbase=False)

    def plan(self, request: TransferRequest, change: int = 0, receive: int = 2) -> Plan:
        charter = self.cast.charter
        return Plan(
            request=request,
            charter=charter,
            entry=charter.vaults[0],
            vault=self.vault,
            next_change=change,
            next_receive={charter.vaults[0].name: receive},
            height=HEIGHT,
            rate=FEE,
            at=self.now,
        )

    # --- papers ------------------------------------------------------------------------------------------------------

    def request(
        self,
        *payments: tuple[str, int | None],
        requester: str = REQUESTER,
        signer: Ed25519Signer | None = None,
        reason: str = "invoice 17",
        **changes: Any,
    ) -> Envelope:
        """A request, signed by its requester unless another signer is given."""
        wanted = payments or (
            () if changes.get("purpose", Purpose.PAYMENT) is not Purpose.PAYMENT else ((SUPPLIER, 70_000_000),)
        )
        fields: dict[str, Any] = {
            "network": self.cast.charter.network,
            "charter": self.cast.digest,
            "vault": self.vault.id,
            "purpose": Purpose.PAYMENT,
            "payments": tuple(RequestedPayment(payee=payee, amount=amount) for payee, amount in wanted),
            "replaces": (),
            "annex": annex_of(reason).named,
            "requester": requester,
            "issued": self.now,
            "expires": self.now + 72 * 3600,
            "nonce": bytes(16),
        }
        return sign(TransferRequest(**fields | changes), signer or self.cast.people[requester])

    def draft(self, request: Envelope | None = None, fee: int = FEE, coins: Sequence[Coin] | None = None) -> Draft:
        """The honest draft of a request: everything that is not paid returns as change."""
        record = TransferRequest.from_bytes((request or self.request()).body)
        coins = tuple(coins or self.coins)
        plan = self.plan(record)
        paid = sum(output.amount for output in outputs_of(plan))
        change = sum(coin.amount for coin in coins) - paid - fee
        return draft(plan, Selection(coins, change, fee, 0, Algorithm.EVERYTHING), lambda below: below - 1)

    def redrafted(self, drafted: Draft, **changes: Any) -> Draft:
        """The draft with another transaction (`version`, `inputs`, `outputs`, `locktime`), its digest computed anew."""
        old = drafted.transaction
        made = Transaction(
            changes.pop("version", old.version),
            tuple(changes.pop("inputs", old.inputs)),
            tuple(changes.pop("outputs", old.outputs)),
            changes.pop("locktime", old.locktime),
        )
        spent = changes.pop("spent", drafted.identity.spent)
        identity = edited(drafted.identity, transactions=(made.stripped(),), spent=spent)
        return edited(drafted, identity=identity, **changes)

    def proposal(self, drafted: Draft, request: Envelope | None = None) -> Proposal:
        """The proposal of a draft, as a liar would pass it on who had none of it checked."""
        request = request or self.request()
        return replace(propose(self.draft(request), read_request(request), self.cast.charter), draft=drafted)

    def decision(self, drafted: Draft, request: Envelope) -> Decision:
        """What the rules say; where they could not even be asked, what they would say of an honest draft."""
        record = TransferRequest.from_bytes(request.body)
        charter = self.cast.charter
        try:
            honest = decide(drafted.transfer_id, propose(drafted, record, charter).case, charter, Facts(at=self.now))
        except CustodyError:
            case = propose(self.draft(), TransferRequest.from_bytes(self.request().body), charter).case
            honest = decide(drafted.transfer_id, case, charter, Facts(at=self.now))
        # A refusal would end it: the liar writes down what it needs.
        return edited(honest, verdict=Verdict.NEEDS) if honest.verdict is Verdict.DENY else honest

    def approval(
        self, drafted: Draft, person: str = OFFICERS[0], signer: Ed25519Signer | None = None, **changes: Any
    ) -> Envelope:
        """An approval by `person`, who may have been fooled, or be in on it."""
        fields: dict[str, Any] = {
            "network": self.cast.charter.network,
            "vault": drafted.identity.vault,
            "transfer": drafted.transfer_id,
            "charter": self.cast.digest,
            "charter_version": 1,
            "officer": person,
            "key": self.cast.people[person].public_key,
            "verdict": Opinion.APPROVE,
            "log_size": 0,
            "log_root": EMPTY_ROOT,
            "issued": self.now,
            "expires": self.now + 7 * 24 * 3600,
            "nonce": hashlib.sha256(person.encode() + drafted.transfer_id).digest()[:16],
        }
        return sign(Approval(**fields | changes), signer or self.cast.people[person])

    # --- the log -----------------------------------------------------------------------------------------------------

    def log(self) -> Forge:
        """A log with the charter, a look at the chain, and the addresses of the first coins, given out."""
        log = self.bare_log()
        for index in range(len(self.coins)):
            self.issue(log, index)
        return log

    def bare_log(self) -> Forge:
        """A log with the charter and a look at the chain."""
        return Forge.begun(self.cast, self.now, HEIGHT)

    def issue(self, log: Forge, index: int) -> None:
        """Enter that the address at a receive index was given out."""
        annex = annex_of(f"deposit {index}").named
        log.write(kinds.ADDRESS_ISSUED, AddressIssued.of("seized", annex, self.vault.id, index, 0, self.now))

    def previous_of(self, drafted: Draft) -> tuple[bytes, ...]:
        """The previous transactions of what a draft spends, as far as they are known."""
        spent = {each.txid for each in drafted.identity.spent}
        return tuple(raw for txid, raw in sorted(self.previous.items()) if txid in spent)

    def story(
        self,
        drafted: Draft | None = None,
        stage: Stage = Stage.SIGN,
        *,
        request: Envelope | None = None,
        approvals: Sequence[Envelope] | None = None,
        **lies: Any,
    ) -> Story:
        """What is to be said of a draft; `lies` are other parts of it."""
        request = request or self.request()
        drafted = drafted or self.draft(request)
        decision = lies.pop("decision", None) or self.decision(drafted, request)
        authorization = None
        if stage is not Stage.APPROVE:
            if approvals is None:
                approvals = [self.approval(drafted, officer) for officer in OFFICERS[:2]]
            authorization = lies.pop("authorization", None) or Authorization(
                transfer=drafted.transfer_id,
                charter=self.cast.digest,
                decision=decision.digest(),
                approvals=tuple(each.digest() for each in approvals),
                at=self.now,
            )
        previous = lies.pop("previous", self.previous_of(drafted))
        assert not lies, lies
        return Story(request, drafted, decision, previous, tuple(approvals or ()), authorization)

    def evidence(
        self, drafted: Draft | None = None, stage: Stage = Stage.SIGN, *, log: Forge | None = None, **lies: Any
    ) -> Evidence:
        """Evidence of a draft with a log that says the same; `lies` as in `story`.

        `author` enters the request in another name; without `ask` it is entered already.
        """
        log = log or self.log()
        asks, author = lies.pop("ask", True), lies.pop("author", None)
        story = self.story(drafted, stage, **lies)
        if asks:
            log.write(kinds.REQUESTED, story.request, author=author)
        log.tell(story)
        return log.evidence(story.draft.transfer_id, story.previous)

    def examine(self, evidence: Evidence, stage: Stage = Stage.SIGN, now: int | None = None) -> Examination:
        """What an officer's desk or a station makes of it."""
        known = State(self.cast.digest)
        if self.visits != "at once":
            known = READ_BEFORE[self.visits](self.cast.digest, evidence.lines[: len(evidence.lines) // 2])
            evidence = edited(evidence, since=known.size, lines=evidence.lines[known.size :])
        return examine(evidence, known, stage, self.now if now is None else now)

    def judge(self, drafted: Draft, stage: Stage = Stage.SIGN, **lies: Any) -> Examination:
        """Forge evidence of a draft and have it examined."""
        return self.examine(self.evidence(drafted, stage, **lies), stage)

    # --- PSBTs -------------------------------------------------------------------------------------------------------

    def psbt(self, drafted: Draft | None = None) -> TransferPsbt:
        """The PSBT of a draft as this library writes it."""
        return signing_psbt(drafted or self.draft(), self.vault, self.previous)

    def read(self, psbt: TransferPsbt | Psbt) -> Reading:
        """What a station reads from a PSBT that came as a file."""
        psbt = psbt.to_psbt() if isinstance(psbt, TransferPsbt) else psbt
        parsed = Psbt.parse(psbt.serialize())
        return read_ownership(TransferPsbt.from_psbt(parsed, Direction.TO_SIGNER), self.vault)


@pytest.fixture(scope="module")
def forger() -> Forger:
    return Forger()


@pytest.fixture(params=["at once", *READ_BEFORE])
def visits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether readers see the log for the first time, have seen half of it before, or began with that half."""
    monkeypatch.setattr(Forger, "visits", request.param)
    return request.param


@pytest.fixture(scope="session")
def forger_of() -> Callable[..., Forger]:
    """For another cast, or other coins."""
    return Forger


@pytest.fixture(scope="session")
def edit() -> Callable[..., Any]:
    return edited


@pytest.fixture(scope="session", name="annex_of")
def give_annex_of() -> Callable[..., Annex]:
    return annex_of


@pytest.fixture(scope="session", name="recast")
def give_recast() -> Callable[..., Cast]:
    return recast


@pytest.fixture(params=[Stage.APPROVE, Stage.SIGN])
def stage(request: pytest.FixtureRequest, visits: str) -> Stage:
    """At an officer's desk, who has signed nothing; and at a station, when the officers were fooled or are in on it.

    Each as readers who see the log for the first time, who have seen half of it before, and who began with that half.
    """
    del visits
    return request.param


@pytest.fixture(scope="session")
def wycheproof() -> list[tuple[bytes, dict]]:
    """Compressed key and case of each; read in place beside the checkout."""
    path = Path(__file__).resolve().parents[3] / WYCHEPROOF
    if not path.is_file():
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"the published vectors are not beside this checkout (expected ../{WYCHEPROOF})")
    cases = []
    for group in json.loads(path.read_text())["testGroups"]:
        point = bytes.fromhex(group["publicKey"]["uncompressed"])
        key = bytes([2 + point[-1] % 2]) + point[1:33]
        cases += [(key, case) for case in group["tests"]]
    return cases
