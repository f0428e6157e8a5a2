"""Which transaction a request becomes, what names it, and what it means to the rules.

A transfer is named by its `TransferId`: the digest of network, vault, charter, request, the raw unsigned transaction,
and each input's outpoint, amount and script. Every machine computes it from bytes. What else stands in a draft (where
coins and change sit in the vault) only helps to check those bytes; a lie in it is found out, never believed.

An output is a payee's or it is change. Change is what returns to the vault's own next change index, and nothing else:
what a PSBT says about its outputs is never asked (THREATS A2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Final, TypeVar

from pydantic import Field

from custody.bitcoin.script import script_of
from custody.bitcoin.sighash import Sighashes
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.charter.document import AddressPayee, Charter, CharterVault, VaultPayee
from custody.charter.rules import FeeRule
from custody.errors import Refused
from custody.record import Digest, HexBytes, Record
from custody.transfer.request import Purpose, TransferRequest
from custody.transfer.selection import LONG_TERM_RATE, Below, Left, LeftBehind, Selection, Terms
from custody.units import (
    MAX_MONEY,
    Count,
    FeeRate,
    Height,
    Index,
    Network,
    Sat,
    UnixTime,
)
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import PublicText

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


class SpentMismatch(Refused, code="SPENT_MISMATCH"):
    """A draft whose inputs are not the outputs it says they spend."""

    message = "input {index} {problem}"
    hint = "The draft is corrupt or forged; draft again."
    index: int
    problem: str


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
    """A transfer as drafted. `seats` places each input; `change` is its index, or None without change.

    `rate` and `long_term_rate` are those that its coins were chosen by. `left` says of a sweep or a consolidation,
    which are to take all there is, what stays in the vault and why: the coordinator's word, as deposits are.
    """

    kind: ClassVar[str] = "draft"

    identity: TransferIdentity
    seats: tuple[Seat, ...]
    change: Index | None
    destinations: tuple[VaultDestination, ...]
    rate: FeeRate
    long_term_rate: FeeRate
    left: Annotated[tuple[LeftBehind, ...], Field(max_length=len(Left))]
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
    seen; `rate` and `long_term_rate` in sat/kvB; `at` Unix seconds; `left` is what stays of all that was to be taken.
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
    long_term_rate: int = LONG_TERM_RATE
    left: tuple[LeftBehind, ...] = ()

    @property
    def max_fee(self) -> int:
        """Sats that the charter lets a transfer of this vault pay in fees at most."""
        rules = (each for each in self.charter.rules if isinstance(each, FeeRule) and self.entry.name in each.vaults)
        return min((each.max_fee for each in rules), default=MAX_MONEY)


def outputs_of(plan: Plan) -> tuple[TxOut, ...]:
    """The payees' outputs in the request's order. A sweep's amount stands as 0 until its coins are known."""
    destinations = iter(_destinations(plan))
    return tuple(
        TxOut(payment.amount or 0, script_for(plan.charter, payment.payee, destinations))
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
        long_term_rate=plan.long_term_rate,
        left=plan.left,
        height=plan.height,
        at=plan.at,
    )


def signed_weight(drafted: Draft, vault: Vault) -> int:
    """Weight units of the transaction with every signature at its largest."""
    transaction = drafted.transaction
    # The unsigned inputs weigh 41 bytes each (outpoint, empty script, sequence), which input_weight counts again.
    unsigned_inputs = 41 * len(transaction.inputs)
    return 4 * (len(transaction.stripped()) - unsigned_inputs) + 2 + vault.input_weight * len(transaction.inputs)


def terms_of(plan: Plan, must: tuple[Coin, ...] = ()) -> Terms:
    """What coin selection must satisfy for this plan. A sweep's payee stands where change would."""
    outputs = outputs_of(plan)
    is_sweep = plan.request.purpose is Purpose.SWEEP
    return Terms(
        outputs=() if is_sweep else outputs,
        change_script=outputs[0].script_pubkey if is_sweep else change_script(plan),
        input_weight=plan.vault.input_weight,
        max_inputs=plan.entry.max_inputs,
        rate=plan.rate,
        long_term_rate=plan.long_term_rate,
        must=must,
        max_fee=plan.max_fee,
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


def script_for(charter: Charter, name: str, destinations: Iterator[VaultDestination]) -> bytes:
    """A payee's script: its address, or the vault it is at the index the next destination gives."""
    payee = charter.payee(name)
    if isinstance(payee, AddressPayee):
        return script_of(payee.address, charter.network)
    destination = next(destinations, None)
    if destination is None or destination.payee != name:
        raise OutputsNotRequested(problem=f"gives payee {name} no index")
    return charter.vault(payee.vault).script_pubkey(Branch.RECEIVE, destination.index)


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
