"""Which transaction a request becomes, what names it, and what it means to the rules.

A transfer is named by its `TransferId`: the digest of network, vault, charter, request, the raw unsigned transaction,
and each input's outpoint, amount and script. Every machine computes it from bytes. What else stands in a draft (where
coins and change sit in the vault) only helps to check those bytes; a lie in it is found out, never believed.

An output is a payee's or it is change. Change is what returns to the vault's own next change index, and nothing else:
what a PSBT says about its outputs is never asked (THREATS A2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final, TypeVar

from custody.bitcoin.script import NetworkMismatch, OutputTypeRefused, address, output_type, script_of
from custody.bitcoin.sighash import Sighashes
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.charter.document import PAYABLE, AddressPayee, Charter, CharterVault, VaultPayee
from custody.charter.rules import Case, Payment
from custody.errors import InvalidInput, Refused
from custody.record import Digest, HexBytes, Record
from custody.transfer.request import Purpose, TransferRequest
from custody.transfer.selection import Below, Selection, Terms
from custody.units import (
    MAX_MONEY,
    MAX_TRANSACTION_WEIGHT,
    Count,
    FeeRate,
    Height,
    Index,
    Network,
    Sat,
    UnixTime,
    check_amount,
    vsize,
)
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import PublicText
from custody.vault.ownership import DupInput, FeeNegative

_Item = TypeVar("_Item")

TRANSACTION_VERSION: Final = 2
REPLACEABLE: Final = 0xFFFFFFFD
"""nSequence of every input: replaceable (BIP 125), locktime in force, no relative lock."""
SEQUENCES: Final = (0xFFFFFFFD, 0xFFFFFFFE)
LOCKTIME_IS_TIME: Final = 500_000_000
"""From here on nLockTime is Unix seconds; below it is a height."""
_SNIPING_ODDS: Final = 10
_SNIPING_DEPTH: Final = 100


class OutputsNotRequested(Refused, code="OUTPUTS_NOT_REQUESTED"):
    """Outputs that are neither exactly the request's payees nor change."""

    message = "the transaction {problem}"
    hint = "Do not sign or approve it: the payees were changed after they were asked for. Report it to the officers."
    problem: str


class IndexNotNext(Refused, code="INDEX_NOT_NEXT"):
    """Change or a vault payee at another index than the next unused one."""

    message = "{what} goes to index {actual}; the log says the next unused one is {expected}"
    hint = "Draft again. An index far away is money that nobody will find."
    what: str
    actual: int
    expected: int


class LocktimeRefused(Refused, code="LOCKTIME"):
    """A locktime that makes the transaction valid later rather than now."""

    message = "nLockTime {locktime} is not a height up to {height}"
    hint = "Draft again: a transaction that is dead today and valid in a month outlives its approvals."
    locktime: int
    height: int


class SequenceRefused(Refused, code="SEQUENCE"):
    """An nSequence that carries a relative lock, or is final."""

    message = "input {index} has nSequence {sequence:#010x}; allowed are 0xfffffffd and 0xfffffffe"
    hint = "Draft again: every input signals replacement and carries no relative lock."
    index: int
    sequence: int


class VersionRefused(Refused, code="TX_VERSION"):
    """A transaction version other than 2."""

    message = "the transaction has version {version}, not 2"
    hint = "Draft again: version 2 is the only one used here."
    version: int


class AmountSum(InvalidInput, code="AMOUNT_SUM"):
    """Amounts that together pass 21 million BTC."""

    message = "{what} come to {total} sat, more than there can be"
    hint = "The file is corrupt or forged; get it again."
    what: str
    total: int


class SpentMismatch(Refused, code="SPENT_MISMATCH"):
    """A draft whose inputs are not the outputs it says they spend."""

    message = "input {index} {problem}"
    hint = "The draft is corrupt or forged; draft again."
    index: int
    problem: str


class ReplaceNoConflict(Refused, code="REPLACE_NO_CONFLICT"):
    """A replacement that could confirm beside what it replaces."""

    message = "the transaction spends no coin of transfer {transfer}, which it should replace"
    hint = "Spend a coin of each transfer that is replaced: otherwise both can confirm, and both would pay."
    transfer: str


class TransferMismatch(Refused, code="TRANSFER_MISMATCH"):
    """A transfer whose identity names another network, charter, request or vault than it is judged by."""

    message = "the transfer is for {what} {actual}, but is judged by {expected}"
    hint = "The draft is corrupt or forged; draft again from the signed request."
    what: str
    actual: str
    expected: str


class TransferWeight(Refused, code="TRANSFER_WEIGHT"):
    """A drafted transaction above the weight nodes relay, or with more inputs than the vault's devices take."""

    message = "{inputs} inputs come to {weight} weight units once signed; at most {limit} and {max_inputs} inputs"
    hint = "Draft again with fewer inputs; consolidate small coins first."
    inputs: int
    weight: int
    limit: int
    max_inputs: int


class SpentOutput(Record):
    """An output this transfer spends: `txid` in internal byte order, `amount` in sats."""

    kind: ClassVar[str] = "spent-output"

    txid: Digest
    vout: Count
    amount: Sat
    script_pubkey: HexBytes

    @property
    def outpoint(self) -> OutPoint:
        """Where the output is."""
        return OutPoint(self.txid, self.vout)

    @property
    def output(self) -> TxOut:
        """What the output is."""
        return TxOut(self.amount, self.script_pubkey)


class TransferIdentity(Record):
    """What a TransferId covers. `transactions` are raw unsigned transactions: one today."""

    kind: ClassVar[str] = "transfer"

    network: Network
    vault: Digest
    charter: Digest
    request: Digest
    transactions: tuple[HexBytes, ...]
    spent: tuple[SpentOutput, ...]


class Seat(Record):
    """Where a script sits in a vault: branch 0 receives, branch 1 takes change."""

    kind: ClassVar[str] = "seat"

    branch: Count
    index: Index


class VaultDestination(Record):
    """The index at which a payee that is a vault is paid; one for each such payment, in the request's order."""

    kind: ClassVar[str] = "vault-destination"

    payee: PublicText
    index: Index


class Draft(Record):
    """A transfer as drafted. `seats` places each input; `change` is its index, or None without change."""

    kind: ClassVar[str] = "draft"

    identity: TransferIdentity
    seats: tuple[Seat, ...]
    change: Index | None
    destinations: tuple[VaultDestination, ...]
    rate: FeeRate
    height: Height
    at: UnixTime

    @cached_property
    def transfer_id(self) -> bytes:
        """The TransferId, 32 bytes."""
        return self.identity.digest()

    @cached_property
    def transaction(self) -> Transaction:
        """The unsigned transaction.

        Raises:
            SpentMismatch: there is not exactly one.
        """
        if len(self.identity.transactions) != 1:
            raise SpentMismatch(index=0, problem=f"has {len(self.identity.transactions)} transactions to choose from")
        return Transaction.parse(self.identity.transactions[0])

    def sighashes(self) -> Sighashes:
        """What signatures of the unsigned transaction sign, spending what the identity covers."""
        spent = [each.output for each in self.identity.spent]
        return Sighashes(self.transaction, spent.__getitem__)

    @property
    def fee(self) -> int:
        """Sats that go to miners; negative when outputs exceed inputs."""
        return sum(spent.amount for spent in self.identity.spent) - sum(o.amount for o in self.transaction.outputs)

    @property
    def outpoints(self) -> tuple[OutPoint, ...]:
        """The coins this transfer holds."""
        return tuple(spent.outpoint for spent in self.identity.spent)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a draft is made from, beside its coins.

    `next_change` and `next_receive` (by vault name) are the next unused indexes of the log; `height` the highest block
    seen; `rate` in sat/kvB; `at` Unix seconds.
    """

    request: TransferRequest
    charter: Charter
    entry: CharterVault
    vault: Vault
    next_change: int
    next_receive: Mapping[str, int]
    height: int
    rate: int
    at: int


def outputs_of(plan: Plan) -> tuple[TxOut, ...]:
    """The payees' outputs in the request's order. A sweep's amount stands as 0 until its coins are known."""
    destinations = iter(_destinations(plan))
    return tuple(
        TxOut(payment.amount or 0, _script_of(plan.charter, payment.payee, destinations))
        for payment in plan.request.payments
    )


def change_script(plan: Plan) -> bytes:
    """The script at the vault's next change index."""
    return plan.vault.script_pubkey(Branch.CHANGE, plan.next_change)


def draft(plan: Plan, selection: Selection, below: Below) -> Draft:
    """Turn a selection into the unsigned transaction that everybody will judge.

    Inputs and outputs are shuffled so that their order says nothing. `below` is chance, as in selection. nLockTime is
    the height seen, sometimes a little less, so that a miner gains nothing from reordering recent blocks (as in
    Bitcoin Core).
    """
    coins = list(selection.coins)
    outputs = list(outputs_of(plan))
    change: int | None = None
    if plan.request.purpose is Purpose.SWEEP:
        outputs = [TxOut(selection.change or 0, outputs[0].script_pubkey)]
    elif selection.change is not None:
        outputs.append(TxOut(selection.change, change_script(plan)))
        change = plan.next_change
    _shuffle(coins, below)
    _shuffle(outputs, below)
    transaction = Transaction(
        version=TRANSACTION_VERSION,
        inputs=tuple(TxIn(coin.outpoint, b"", REPLACEABLE) for coin in coins),
        outputs=tuple(outputs),
        locktime=_locktime(plan.height, below),
        witness=(),
    )
    identity = TransferIdentity(
        network=plan.charter.network,
        vault=plan.vault.id,
        charter=plan.charter.digest(),
        request=plan.request.digest(),
        transactions=(transaction.stripped(),),
        spent=tuple(
            SpentOutput(
                txid=coin.outpoint.txid,
                vout=coin.outpoint.index,
                amount=coin.amount,
                script_pubkey=coin.script_pubkey,
            )
            for coin in coins
        ),
    )
    return Draft(
        identity=identity,
        seats=tuple(Seat(branch=coin.branch, index=coin.index) for coin in coins),
        change=change,
        destinations=tuple(_destinations(plan)),
        rate=plan.rate,
        height=plan.height,
        at=plan.at,
    )


def case_of(drafted: Draft, request: TransferRequest, charter: Charter) -> Case:
    """What a draft means to rules, read from its transaction.

    Raises:
        TransferMismatch: it was drafted for another network, charter, request or vault.
        OutputTypeRefused: an output is of a kind that nobody may be paid to.
        OutputsNotRequested: an output is neither a payee's nor the vault's own change.
        FeeNegative, AmountSum, AmountRange: by its amounts.
    """
    _check_identity(drafted.identity, request, charter)
    entry, vault = charter.vault_by_id(drafted.identity.vault)
    fee = _check_amounts(drafted)
    _check_output_types(drafted)
    payments, change = _split_outputs(drafted, request, charter, vault)
    return Case(
        vault=entry.name,
        purpose=request.purpose,
        requester=request.requester,
        payments=payments,
        change=change,
        fee=fee,
        vbytes=vsize(signed_weight(drafted, vault)),
    )


def signed_weight(drafted: Draft, vault: Vault) -> int:
    """Weight units of the transaction with every signature at its largest."""
    transaction = drafted.transaction
    # The unsigned inputs weigh 41 bytes each (outpoint, empty script, sequence), which input_weight counts again.
    unsigned_inputs = 41 * len(transaction.inputs)
    return 4 * (len(transaction.stripped()) - unsigned_inputs) + 2 + vault.input_weight * len(transaction.inputs)


def check_transaction(drafted: Draft, height: int, entry: CharterVault, vault: Vault) -> None:
    """Check the form of the drafted transaction: one way to be valid, now, on this chain.

    `height` is the highest block the judge knows of.

    Raises:
        VersionRefused, SequenceRefused, LocktimeRefused, DupInput, SpentMismatch, TransferWeight.
    """
    transaction = drafted.transaction
    if transaction.version != TRANSACTION_VERSION:
        raise VersionRefused(version=transaction.version)
    _check_inputs(drafted)
    if transaction.locktime >= LOCKTIME_IS_TIME or transaction.locktime > height:
        raise LocktimeRefused(locktime=transaction.locktime, height=height)
    weight = signed_weight(drafted, vault)
    if weight > MAX_TRANSACTION_WEIGHT or len(transaction.inputs) > entry.max_inputs:
        raise TransferWeight(
            inputs=len(transaction.inputs), weight=weight, limit=MAX_TRANSACTION_WEIGHT, max_inputs=entry.max_inputs
        )


def check_indexes(drafted: Draft, charter: Charter, next_change: int, next_receive: Mapping[str, int]) -> None:
    """Check that change and vault payees sit at the next unused indexes of the log.

    Raises:
        IndexNotNext: one does not.
    """
    if drafted.change is not None and drafted.change != next_change:
        raise IndexNotNext(what="change", actual=drafted.change, expected=next_change)
    due = dict(next_receive)
    for destination in drafted.destinations:
        payee = charter.payee(destination.payee)
        if not isinstance(payee, VaultPayee):
            raise OutputsNotRequested(problem=f"gives payee {payee.name} an index, but it is an address")
        expected = due.get(payee.vault, 0)
        if destination.index != expected:
            raise IndexNotNext(what=f"payee {payee.name}", actual=destination.index, expected=expected)
        due[payee.vault] = expected + 1


def check_conflicts(drafted: Draft, predecessors: Mapping[bytes, Draft]) -> None:
    """Check that a draft spends a coin of each transfer it replaces: an expired one is not dead (THREATS F2).

    Raises:
        ReplaceNoConflict: it does not.
    """
    own = set(drafted.outpoints)
    for transfer_id, predecessor in predecessors.items():
        if own.isdisjoint(predecessor.outpoints):
            raise ReplaceNoConflict(transfer=transfer_id.hex())


@dataclass(frozen=True, slots=True)
class Paid:
    """An output that is not change, for people: `address` is what their devices show."""

    payee: str
    address: str
    amount: int


def paid_outputs(drafted: Draft, request: TransferRequest, charter: Charter) -> tuple[Paid, ...]:
    """Who is paid at which address, read from the transaction."""
    return tuple(
        Paid(payee, address(output.script_pubkey, charter.network), output.amount)
        for payee, output in _assigned(drafted, request, charter)
    )


def terms_of(plan: Plan, long_term_rate: int, must: tuple[Coin, ...] = ()) -> Terms:
    """What coin selection must satisfy for this plan. A sweep's payee stands where change would."""
    outputs = outputs_of(plan)
    is_sweep = plan.request.purpose is Purpose.SWEEP
    return Terms(
        outputs=() if is_sweep else outputs,
        change_script=outputs[0].script_pubkey if is_sweep else change_script(plan),
        input_weight=plan.vault.input_weight,
        max_inputs=plan.entry.max_inputs,
        rate=plan.rate,
        long_term_rate=long_term_rate,
        must=must,
    )


def _destinations(plan: Plan) -> list[VaultDestination]:
    due = dict(plan.next_receive)
    found: list[VaultDestination] = []
    for payment in plan.request.payments:
        payee = plan.charter.payee(payment.payee)
        if isinstance(payee, VaultPayee):
            index = due.get(payee.vault, 0)
            found.append(VaultDestination(payee=payee.name, index=index))
            due[payee.vault] = index + 1
    return found


def _script_of(charter: Charter, name: str, destinations: Iterator[VaultDestination]) -> bytes:
    """A payee's script: its address, or the vault it is at the index the next destination gives."""
    payee = charter.payee(name)
    if isinstance(payee, AddressPayee):
        return script_of(payee.address, charter.network)
    destination = next(destinations, None)
    if destination is None or destination.payee != name:
        raise OutputsNotRequested(problem=f"gives payee {name} no index")
    return charter.vault(payee.vault).script_pubkey(Branch.RECEIVE, destination.index)


def _check_identity(identity: TransferIdentity, request: TransferRequest, charter: Charter) -> None:
    if identity.network is not charter.network:
        raise NetworkMismatch(what="the transfer", expected=charter.network, actual=identity.network)
    for what, actual, expected in (
        ("charter", identity.charter, charter.digest()),
        ("request", identity.request, request.digest()),
        ("vault", identity.vault, request.vault),
    ):
        if actual != expected:
            raise TransferMismatch(what=what, actual=actual.hex(), expected=expected.hex())


def _check_inputs(drafted: Draft) -> None:
    """The inputs spend what the draft says, each once, and carry nothing but a sequence number that is allowed."""
    transaction = drafted.transaction
    if transaction.witness:
        # A witness is no part of what is signed, so one transfer could go by many names (TransferId covers raw bytes).
        raise SpentMismatch(index=0, problem="already carries a witness")
    if len(transaction.inputs) != len(drafted.identity.spent) or len(transaction.inputs) != len(drafted.seats):
        raise SpentMismatch(index=min(len(transaction.inputs), len(drafted.identity.spent)), problem="is unexplained")
    seen: dict[OutPoint, int] = {}
    for index, (spending, spent) in enumerate(zip(transaction.inputs, drafted.identity.spent, strict=True)):
        if spending.outpoint in seen:
            raise DupInput(outpoint=spending.outpoint, first=seen[spending.outpoint], second=index)
        seen[spending.outpoint] = index
        if spending.outpoint != spent.outpoint:
            raise SpentMismatch(index=index, problem=f"spends {spending.outpoint}, not {spent.outpoint}")
        if spending.script_sig:
            raise SpentMismatch(index=index, problem="already carries a scriptSig")
        if spending.sequence not in SEQUENCES:
            raise SequenceRefused(index=index, sequence=spending.sequence)


def _check_amounts(drafted: Draft) -> int:
    """The fee, once every amount and both sums are in range."""
    for output in drafted.transaction.outputs:
        check_amount(output.amount)
    spent = sum(spent.amount for spent in drafted.identity.spent)
    paid = sum(output.amount for output in drafted.transaction.outputs)
    for what, total in (("inputs", spent), ("outputs", paid)):
        if total > MAX_MONEY:
            raise AmountSum(what=what, total=total)
    if spent <= paid:
        raise FeeNegative(spent=spent, paid=paid, fee=spent - paid)
    return spent - paid


def _check_output_types(drafted: Draft) -> None:
    """Before the question whose an output is: data, an unsettled witness version and a bare script are nobody's."""
    for output in drafted.transaction.outputs:
        kind = output_type(output.script_pubkey)
        if kind not in PAYABLE:
            raise OutputTypeRefused(output_type=kind, script=output.script_pubkey[:40].hex())


def _assigned(drafted: Draft, request: TransferRequest, charter: Charter) -> list[tuple[str, TxOut]]:
    """Each requested payment with the output that pays it, in the request's order."""
    destinations = iter(drafted.destinations)
    left = Counter(drafted.transaction.outputs)
    found: list[tuple[str, TxOut]] = []
    for payment in request.payments:
        script = _script_of(charter, payment.payee, destinations)
        if payment.amount is None:
            output = next((each for each in left if each.script_pubkey == script), None)
        else:
            output = TxOut(payment.amount, script)
        if output is None or left[output] < 1:
            wanted = "everything" if payment.amount is None else f"{payment.amount} sat"
            raise OutputsNotRequested(problem=f"does not pay {wanted} to {payment.payee}, as was requested")
        left[output] -= 1
        found.append((payment.payee, output))
    if next(destinations, None) is not None:
        raise OutputsNotRequested(problem="places a vault payee that nobody requested")
    return found


def _split_outputs(
    drafted: Draft, request: TransferRequest, charter: Charter, vault: Vault
) -> tuple[tuple[Payment, ...], int]:
    """(payments in the request's order, sats of change); every output is exactly one of them."""
    assigned = _assigned(drafted, request, charter)
    rest = Counter(drafted.transaction.outputs)
    rest.subtract(output for _, output in assigned)
    others = list(rest.elements())
    change = 0
    if drafted.change is not None:
        due = vault.script_pubkey(Branch.CHANGE, drafted.change)
        own = [output for output in others if output.script_pubkey == due]
        if len(own) != 1:
            raise OutputsNotRequested(problem=f"has {len(own)} outputs at change index {drafted.change}, not one")
        change = own[0].amount
        others.remove(own[0])
    if others:
        shown = ", ".join(
            f"{other.amount} sat to {address(other.script_pubkey, charter.network)}" for other in others[:3]
        )
        raise OutputsNotRequested(problem=f"also pays {shown}: neither requested nor the vault's change")
    if request.purpose is Purpose.SWEEP and drafted.change is not None:
        raise OutputsNotRequested(problem="is a sweep that keeps something back as change")
    if not request.payments and drafted.change is None:
        raise OutputsNotRequested(problem=f"is a {request.purpose} that returns nothing to the vault")
    return tuple(Payment(payee, output.amount) for payee, output in assigned), change


def _shuffle(items: list[_Item], below: Below) -> None:
    """Put `items` in a random order (Fisher-Yates)."""
    for last in range(len(items) - 1, 0, -1):
        other = below(last + 1)
        items[last], items[other] = items[other], items[last]


def _locktime(height: int, below: Below) -> int:
    """The height seen, and one time in ten up to 99 blocks less: late signers do not stand out then."""
    if below(_SNIPING_ODDS) == 0:
        return max(0, height - below(_SNIPING_DEPTH))
    return height
