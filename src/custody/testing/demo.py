"""The main job told as a story: coins come in, a transfer goes out, and two attempts at cheating fail.

Everything in it is real but the network: keys, signatures, consensus rules, stations and a witness. The same story
every time. Regtest only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import Transaction, TxOut
from custody.errors import CustodyError
from custody.examine.evidence import Evidence
from custody.examine.shown import lines_of
from custody.ports import Store
from custody.testing.cast import OFFICERS, REQUESTER, SUPPLIER, TAX_OFFICE, expected, payee_address
from custody.testing.chain import RegtestChain
from custody.testing.forge import Forge
from custody.testing.scenario import Scenario
from custody.transfer.draft import Draft, TransferIdentity
from custody.transfer.state import Status
from custody.units import Network, show_amount
from custody.vault.coins import COINBASE_MATURITY
from custody.vault.descriptor import Branch
from custody.words import show_words, word_rows

SEIZED: Final = 60_000_000
RETURNED: Final = 40_000_000
TO_SUPPLIER: Final = 25_000_000
TO_TAX_OFFICE: Final = 15_000_000
THIEF: Final = "Thief"


@dataclass(frozen=True, slots=True)
class Event:
    """One step of the story: a headline, what a person reads, and the same as data (amounts in sats)."""

    number: int
    title: str
    lines: tuple[str, ...]
    data: Mapping[str, object] = field(default_factory=dict)


Tell = Callable[[Event], None]


def run(tell: Tell, store: Store | None = None) -> None:
    """Play the story, telling each event as it happens. Without a `store` the log lives in memory."""
    story = _Story(tell, Scenario.begin(store=store, chain=RegtestChain.funded(2)))
    try:
        story.play()
    finally:
        story.close()


class _Story:
    """The story in chapters; each method is one."""

    def __init__(self, tell: Tell, scenario: Scenario) -> None:
        self._tell = tell
        self._scenario = scenario
        self._count = 0

    def close(self) -> None:
        self._scenario.close()

    def play(self) -> None:
        self._charter()
        self._deposits()
        transfer_id = self._request()
        self._one_officer_too_few(transfer_id)
        self._agreement(transfer_id)
        self._swapped_payee(transfer_id)
        self._rewritten_log(transfer_id)
        self._signatures(transfer_id)
        self._settlement(transfer_id)
        self._accounts(transfer_id)

    def _say(self, title: str, *lines: str, **data: object) -> None:
        self._count += 1
        self._tell(Event(self._count, title, lines, data))

    def _charter(self) -> None:
        cast = self._scenario.cast
        charter, vault = cast.charter, cast.vault
        cosigners = ", ".join(each.name for each in vault.cosigners)
        self._say(
            "A charter that everyone signed",
            f"{charter.institution}, on {charter.network}",
            f"vault reserve: {vault.threshold} of {len(vault.cosigners)} cosigners ({cosigners})",
            f"people: {REQUESTER} may ask; {', '.join(OFFICERS)} may approve, two of them must",
            f"witness: {charter.witnesses[0].name} cosigns the log",
            "its digest, as people read it to each other:",
            *(f"  {row}" for row in word_rows(cast.digest)),
            charter=cast.digest.hex(),
            words=show_words(cast.digest),
            vault=vault.id.hex(),
            descriptor=vault.descriptor,
        )

    def _deposits(self) -> None:
        scenario = self._scenario
        scenario.custodian.observe()
        scenario.deposit(SEIZED, "seized, case 17")
        scenario.deposit(RETURNED, "returned by the exchange")
        mined = scenario.custodian.issue_address("reserve", expected("state mining", "mined"))
        script = scenario.cast.vault.script_pubkey(Branch.RECEIVE, mined.index)
        scenario.mine(1, script)
        young = scenario.history()
        total, spendable = scenario.balance, _spendable(scenario)
        mined_amount = total - SEIZED - RETURNED
        scenario.mine(COINBASE_MATURITY - 1)
        self._say(
            "Coins come in",
            f"{show_amount(SEIZED)} seized, {show_amount(RETURNED)} returned, {show_amount(mined_amount)} mined",
            f"all addresses derive from the charter; the last issued is {mined.address}",
            f"after one block: {show_amount(total)} held, {show_amount(spendable)} spendable (a coinbase must mature)",
            f"after {COINBASE_MATURITY} blocks: {show_amount(_spendable(scenario))} spendable",
            deposits=[SEIZED, RETURNED, mined_amount],
            held=total,
            spendable_before=spendable,
            spendable_after=_spendable(scenario),
            height_before=young.height,
        )

    def _request(self) -> bytes:
        scenario = self._scenario
        request = scenario.request(
            (SUPPLIER, TO_SUPPLIER), (TAX_OFFICE, TO_TAX_OFFICE), reason="invoice 2024-17 and its tax"
        )
        draft, decision = scenario.drafted(request)
        change = sum(output.amount for output in draft.transaction.outputs) - TO_SUPPLIER - TO_TAX_OFFICE
        self._say(
            f"{REQUESTER} asks for a transfer",
            f"{show_amount(TO_SUPPLIER)} to {SUPPLIER}, {show_amount(TO_TAX_OFFICE)} to {TAX_OFFICE}",
            f"drafted: {len(draft.outpoints)} coin(s) in, change {show_amount(change)}, fee {draft.fee} sat",
            f"the rules say: {decision.verdict}",
            *(f"  {finding.rule}: {finding.reason}" for finding in decision.findings),
            "the transfer, in words:",
            *(f"  {row}" for row in word_rows(draft.transfer_id)),
            transfer=draft.transfer_id.hex(),
            words=show_words(draft.transfer_id),
            fee=draft.fee,
            change=change,
            verdict=decision.verdict,
        )
        return draft.transfer_id

    def _one_officer_too_few(self, transfer_id: bytes) -> None:
        scenario = self._scenario
        scenario.approved(transfer_id, OFFICERS[:1])
        refusal = _refusal(lambda: scenario.custodian.authorize(transfer_id))
        self._say(
            "One officer too few",
            f"{OFFICERS[0]} examined the evidence on her own machine and approved.",
            "The coordinator tries to go on:",
            *_shown(refusal),
            refused=refusal.code,
        )

    def _agreement(self, transfer_id: bytes) -> None:
        scenario = self._scenario
        scenario.approved(transfer_id, OFFICERS[1:2])
        scenario.custodian.authorize(transfer_id)
        scenario.custodian.request_signatures(transfer_id)
        self._say(
            "Two officers agree",
            f"{OFFICERS[0]} and {OFFICERS[1]} approved exactly this transaction; signatures are requested.",
            "From here on only another spend of its coins could end it.",
            approvals=list(OFFICERS[:2]),
        )

    def _swapped_payee(self, transfer_id: bytes) -> None:
        scenario = self._scenario
        honest = scenario.custodian.evidence(transfer_id)
        swapped = _swap_payee(scenario.transfer(transfer_id).draft)
        forged = Evidence(
            transfer=swapped.transfer_id,
            since=honest.since,
            checkpoint=honest.checkpoint,
            lines=lines_of(_forged(scenario, transfer_id).entries),
            previous=honest.previous,
        )
        refusal = _refusal(lambda: scenario.stations[0].sign(forged, scenario.cast.signers[0]))
        self._say(
            "A coordinator that swaps the payee",
            f"The file that reaches the station now pays {payee_address(THIEF)}.",
            "The station, offline, with the charter's digest as its only trust:",
            *_shown(refusal),
            "No device was asked to sign.",
            refused=refusal.code,
        )

    def _rewritten_log(self, transfer_id: bytes) -> None:
        scenario = self._scenario
        asked = _forged(scenario, transfer_id).asked()
        refusal = _refusal(lambda: [witness.cosign(asked) for witness in scenario.witnesses])
        self._say(
            "And one that rewrites its log to match",
            "It shows the witness a log of the same length with another draft in it:",
            *_shown(refusal),
            "Without the witness's signature no station signs.",
            refused=refusal.code,
        )

    def _signatures(self, transfer_id: bytes) -> None:
        scenario = self._scenario
        for number in range(scenario.cast.vault.threshold):
            scenario.custodian.receive(transfer_id, scenario.signature(transfer_id, number))
        scenario.custodian.combine(transfer_id)
        verified = scenario.custodian.verify(transfer_id)
        names = [each.name for each in scenario.cast.vault.cosigners[: scenario.cast.vault.threshold]]
        self._say(
            f"{' and '.join(names)} sign at their stations",
            "Each checked charter, request, outputs, log, amounts, rules and approvals before a device signed.",
            f"combined, finalized and judged by our own check, {' and '.join(verified.judges)}",
            cosigners=names,
            judges=list(verified.judges),
            txid=Transaction.parse(verified.raw).txid_hex,
        )

    def _settlement(self, transfer_id: bytes) -> None:
        scenario = self._scenario
        scenario.custodian.release(transfer_id)
        scenario.custodian.deliver()
        scenario.mine()
        transfer = scenario.transfer(transfer_id)
        height = transfer.confirmation.height if transfer.confirmation else 0
        self._say(
            "Released, delivered, confirmed",
            "The whole gate ran again before release, and once more before sending.",
            f"block {height} holds it: {transfer.status}",
            status=transfer.status,
            is_confirmed=transfer.status is Status.CONFIRMED,
            height=height,
        )

    def _accounts(self, transfer_id: bytes) -> None:
        scenario = self._scenario
        history = scenario.history()
        paid, fee = TO_SUPPLIER + TO_TAX_OFFICE, scenario.transfer(transfer_id).draft.fee
        came_in = sum(each.amount for each in scenario.holdings.values() if each.branch == Branch.RECEIVE)
        left = scenario.balance
        self._say(
            "The balances add up",
            f"  {show_amount(came_in):>15} came in",
            f"- {show_amount(paid):>15} paid",
            f"- {show_amount(fee):>15} fee",
            f"= {show_amount(left):>15} held",
            f"the log has {history.size} entries under root {history.frontier.root.hex()[:16]}...",
            came_in=came_in,
            paid=paid,
            fee=fee,
            held=left,
            adds_up=came_in - paid - fee == left,
            log_size=history.size,
            log_root=history.frontier.root.hex(),
        )


def _spendable(scenario: Scenario) -> int:
    return sum(coin.amount for coin in scenario.spendable)


def _refusal(attempt: Callable[[], object]) -> CustodyError:
    """The refusal that `attempt` must end in; a story in which cheating works is not told."""
    try:
        attempt()
    except CustodyError as refusal:
        return refusal
    raise AssertionError("an attempt that must be refused went through")


def _shown(refusal: CustodyError) -> tuple[str, str]:
    return f"  refused {refusal.code}: {refusal}", f"  what to do: {refusal.advice()}"


def _swap_payee(honest: Draft) -> Draft:
    """What a hostile coordinator makes of an honest draft: the supplier's money goes to the thief."""
    script = script_of(payee_address(THIEF), Network.REGTEST)
    transaction, old = honest.transaction, honest.identity
    outputs = tuple(
        TxOut(output.amount, script) if output.amount == TO_SUPPLIER else output for output in transaction.outputs
    )
    swapped = Transaction(transaction.version, transaction.inputs, outputs, transaction.locktime, ())
    identity = TransferIdentity(
        network=old.network,
        vault=old.vault,
        charter=old.charter,
        request=old.request,
        transactions=(swapped.stripped(),),
        spent=old.spent,
    )
    return Draft(
        identity=identity,
        seats=honest.seats,
        change=honest.change,
        destinations=honest.destinations,
        rate=honest.rate,
        long_term_rate=honest.long_term_rate,
        left=honest.left,
        height=honest.height,
        at=honest.at,
    )


def _forged(scenario: Scenario, transfer_id: bytes) -> Forge:
    """The log with the swapped draft in the honest one's place, every hash of it computed anew."""
    with scenario.store.read() as view:
        forge = Forge(scenario.cast, scenario.chain.now(), view.entries())
    transfer = scenario.transfer(transfer_id)
    forge.rewrite(transfer.row.drafted, _swap_payee(transfer.draft))
    return forge
