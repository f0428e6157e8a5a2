"""What does a draft mean: whose are its outputs, what would leave the vault, and is it valid in one way, now?

A `Proposal` is one draft of one request, under the charter version it was drafted under, from its vault, with its
`Case`. It is made once and checked when it is made: an output is a payee's or it is change. Change is what returns to
the vault's own change index that the draft names, and nothing else: what a PSBT says about its outputs is never asked
(THREATS A2). Everybody who judges a transfer passes this value on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.script import NetworkMismatch, OutputTypeRefused, address, output_type, script_of
from custody.bitcoin.transaction import OutPoint, TxOut
from custody.charter.document import PAYABLE, AddressPayee, Charter, CharterVault, VaultPayee
from custody.charter.rules import Case, LimitRule, Payment
from custody.errors import InvalidInput, Refused
from custody.transfer.draft import (
    TRANSACTION_VERSION,
    Draft,
    OutputsNotRequested,
    SpentMismatch,
    TransferIdentity,
    script_for,
    signed_weight,
)
from custody.transfer.request import Purpose, TransferRequest
from custody.transfer.selection import refuse_dust
from custody.units import MAX_MONEY, MAX_TRANSACTION_WEIGHT, check_amount, vsize
from custody.vault.descriptor import Branch, Vault
from custody.vault.ownership import DupInput, FeeNegative

_FIRST: Final = 0
"""Index of the address that a vault's dust limit is told by: each has the same."""
SEQUENCES: Final = (0xFFFFFFFD, 0xFFFFFFFE)
LOCKTIME_IS_TIME: Final = 500_000_000
"""From here on nLockTime is Unix seconds; below it is a height."""


class IndexNotNext(Refused, code="INDEX_NOT_NEXT"):
    """Change or a vault payee at another index than the next unused one."""

    message = "{what} goes to index {actual}; the log says the next unused one is {expected}"
    hint = (
        "Draft again; when many drafts wait, have some of them signed or withdrawn first. An index far away is money "
        "that nobody will find."
    )
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


def refuse_hopeless(request: TransferRequest, charter: Charter) -> None:
    """Pass when what is asked for might be drafted: no payment is dust, and together they break no limit.

    No draft of another request could pass: it would only hold coins, and end. Rules speak of more, when it is drafted.

    Raises:
        OutputDust: a payment is too small for its payee's kind of address.
        OverLimit: without any fee more would leave than a rule lets.
    """
    for payment in request.wanted():
        payee = charter.payee(payment.payee)
        if isinstance(payee, AddressPayee):
            script = script_of(payee.address, charter.network)
        else:
            script = charter.vault(payee.vault).script_pubkey(Branch.RECEIVE, _FIRST)
        refuse_dust(payment.amount, script)
    entry, _ = charter.vault_by_id(request.vault)
    asked = Case(
        vault=entry.name,
        purpose=request.purpose,
        requester=request.requester,
        payments=request.wanted(),
        change=0,
        fee=0,
        vbytes=1,
    )
    for rule in charter.rules:
        if isinstance(rule, LimitRule) and rule.governs(asked):
            for refusal in rule.refusals(asked):
                raise refusal


@dataclass(frozen=True, slots=True)
class Paid:
    """An output that is not change, for people: `address` is what their devices show."""

    payee: str
    address: str
    amount: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """One draft of one request, checked: `case` is what it means to rules by itself, `paid` who gets what."""

    draft: Draft
    request: TransferRequest
    charter: Charter
    entry: CharterVault
    vault: Vault
    case: Case
    paid: tuple[Paid, ...]

    @property
    def transfer_id(self) -> bytes:
        """The TransferId, 32 bytes."""
        return self.draft.transfer_id


def propose(drafted: Draft, request: TransferRequest, charter: Charter) -> Proposal:
    """What a draft of `request` under `charter` means, read from its transaction.

    Raises:
        TransferMismatch: it was drafted for another network, charter, request or vault.
        OutputTypeRefused: an output is of a kind that nobody may be paid to.
        OutputsNotRequested: an output is neither a payee's nor the vault's own change.
        FeeNegative, AmountSum, AmountRange: by its amounts.
    """
    _check_identity(drafted.identity, request, charter)
    entry, vault = charter.vault_by_id(drafted.identity.vault)
    fee = check_amounts(drafted)
    _check_output_types(drafted)
    assigned = _assigned(drafted, request, charter)
    case = Case(
        vault=entry.name,
        purpose=request.purpose,
        requester=request.requester,
        payments=tuple(Payment(payee, output.amount) for payee, output in assigned),
        change=_change(drafted, request, vault, [output for _, output in assigned]),
        fee=fee,
        vbytes=vsize(signed_weight(drafted, vault)),
    )
    paid = tuple(
        Paid(payee, address(output.script_pubkey, charter.network), output.amount) for payee, output in assigned
    )
    return Proposal(drafted, request, charter, entry, vault, case, paid)


def check_transaction(proposal: Proposal, height: int) -> None:
    """Check the form of the drafted transaction: one way to be valid, now, on this chain.

    `height` is the highest block the judge knows of.

    Raises:
        VersionRefused, SequenceRefused, LocktimeRefused, DupInput, SpentMismatch, TransferWeight.
    """
    drafted, entry = proposal.draft, proposal.entry
    transaction = drafted.transaction
    if transaction.version != TRANSACTION_VERSION:
        raise VersionRefused(version=transaction.version)
    check_inputs(drafted)
    if transaction.locktime >= LOCKTIME_IS_TIME or transaction.locktime > height:
        raise LocktimeRefused(locktime=transaction.locktime, height=height)
    weight = signed_weight(drafted, proposal.vault)
    if weight > MAX_TRANSACTION_WEIGHT or len(transaction.inputs) > entry.max_inputs:
        raise TransferWeight(
            inputs=len(transaction.inputs), weight=weight, limit=MAX_TRANSACTION_WEIGHT, max_inputs=entry.max_inputs
        )


CHANGE_GAP: Final = 100
"""Change indexes behind the last one that signatures were asked for, at which coins are looked for."""


def refuse_far(change: int, asked_change: int) -> None:
    """Pass when change is no farther than people look for it: `asked_change` is behind all that may be signed.

    Drafts are the coordinator's word alone: with enough of them it would push change out of everybody's sight.

    Raises:
        IndexNotNext: it is.
    """
    if change >= asked_change + CHANGE_GAP:
        raise IndexNotNext(what="change", actual=change, expected=asked_change)


def check_indexes(proposal: Proposal, next_change: int, asked_change: int, next_receive: Mapping[str, int]) -> None:
    """Check that change and vault payees sit at the next unused indexes of the log, and change not far away.

    `asked_change` is the next one behind those that signatures were asked for.

    Raises:
        IndexNotNext: one does not.
    """
    drafted = proposal.draft
    if drafted.change is not None:
        refuse_far(drafted.change, asked_change)
    if drafted.change is not None and drafted.change != next_change:
        raise IndexNotNext(what="change", actual=drafted.change, expected=next_change)
    due = dict(next_receive)
    for destination in drafted.destinations:
        payee = proposal.charter.payee(destination.payee)
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


def check_inputs(drafted: Draft) -> None:
    """Pass when inputs spend what the draft says, each once, with nothing but a sequence number that is allowed.

    Raises:
        SpentMismatch, DupInput, SequenceRefused: they do not.
    """
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


def check_amounts(drafted: Draft) -> int:
    """The fee, once every amount and both sums are in range.

    Raises:
        AmountRange, AmountSum, FeeNegative: they are not.
    """
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
        script = script_for(charter, payment.payee, destinations)
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


def _change(drafted: Draft, request: TransferRequest, vault: Vault, assigned: list[TxOut]) -> int:
    """Sats of change; every output that is nobody's is the vault's own, at the change index that the draft names."""
    rest = Counter(drafted.transaction.outputs)
    rest.subtract(assigned)
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
            f"{other.amount} sat to {address(other.script_pubkey, vault.network)}" for other in others[:3]
        )
        raise OutputsNotRequested(problem=f"also pays {shown}: neither requested nor the vault's change")
    if request.purpose is Purpose.SWEEP and drafted.change is not None:
        raise OutputsNotRequested(problem="is a sweep that keeps something back as change")
    if not request.payments and drafted.change is None:
        raise OutputsNotRequested(problem=f"is a {request.purpose} that returns nothing to the vault")
    return change
