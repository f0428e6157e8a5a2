"""Whether the combined signatures make exactly the approved transaction, and one that the network accepts.

1. Exactly k signatures stand on every input, by keys of this vault, each verified on our own signature hash.
2. The witness is built from our own script; nothing from outside enters it but signatures.
3. The finished transaction, with scriptSigs emptied, is byte for byte the one that was approved.
4. Every judge that is given agrees. A judge can only refuse; when two disagree nothing moves.

Source: BIP 174, roles Input Finalizer and Transaction Extractor. How a witness is built: `bitcoin/lock`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from custody.bitcoin.transaction import Transaction, TxIn, TxOut
from custody.envelope import SigInvalid
from custody.errors import Refused
from custody.record import Digest, HexBytes, Record, Text
from custody.transfer.draft import Draft
from custody.transfer.signing import CombinedPsbt, SignaturesMissing, check_signature
from custody.units import UnixTime
from custody.vault.descriptor import Vault


class StateChanged(Refused, code="STATE_CHANGED"):
    """Something that was approved is no longer what it was."""

    message = "{what} changed between two steps: it was {expected}, it is {actual}"
    hint = "Stop: something was swapped after it was approved. Compare the log with a witness's copy before going on."
    what: str
    expected: str
    actual: str


class ChangedMeanwhile(Refused, code="CHANGED_MEANWHILE"):
    """What a command began with, and another has carried on while it ran."""

    message = "{what} changed while this command ran: it was {expected}, it is {actual}"
    hint = "Somebody else is at work on it too, and nothing was done here. Look at it again, then repeat the command."
    what: str
    expected: str
    actual: str


class JudgeRefused(Refused, code="JUDGE_REFUSED"):
    """An independent opinion against the finished transaction."""

    message = "{judge} refuses the finished transaction: {reason}"
    hint = "Do not broadcast. Our own check accepted it, so one of the two is wrong: report it with the evidence file."
    judge: str
    reason: str


class Judge(Protocol):
    """An independent opinion on a finished transaction."""

    @property
    def name(self) -> str:
        """What this judge is called in findings."""

    def applies_to(self, inputs: int, spent: Sequence[TxOut]) -> bool:
        """Whether this judge can speak about such a transaction at all."""

    def judge(self, raw: bytes, spent: Sequence[TxOut]) -> str | None:
        """None when `raw`, spending `spent` in order, is valid; otherwise why not."""


class VerifiedTransaction(Record):
    """A finished transaction that is the approved one. `judges` names who agreed beside our own check."""

    kind: ClassVar[str] = "verified"

    transfer: Digest
    raw: HexBytes
    judges: tuple[Text, ...]
    at: UnixTime

    @property
    def txid(self) -> bytes:
        """Its txid, in internal byte order."""
        return Transaction.parse(self.raw).txid


def verify(
    combined: CombinedPsbt, drafted: Draft, vault: Vault, judges: Sequence[Judge], now: int
) -> VerifiedTransaction:
    """Finalize, extract and check; what comes out may be released.

    Raises:
        SignaturesMissing, SigInvalid: by the signatures on an input.
        StateChanged: the result is not the approved transaction.
        JudgeRefused: somebody else says no.
    """
    # 1, 2
    raw = finalize(combined, drafted, vault).serialize()
    # 3
    refuse_other_transaction(raw, drafted)
    # 4
    spent = [each.output for each in drafted.identity.spent]
    agreed: list[str] = []
    for judge in judges:
        if not judge.applies_to(len(spent), spent):
            continue
        reason = judge.judge(raw, spent)
        if reason is not None:
            raise JudgeRefused(judge=judge.name, reason=reason)
        agreed.append(judge.name)
    return VerifiedTransaction(transfer=drafted.transfer_id, raw=raw, judges=tuple(agreed), at=now)


def finalize(combined: CombinedPsbt, drafted: Draft, vault: Vault) -> Transaction:
    """The transaction with exactly k verified signatures in every witness, in the order of the script's keys.

    Raises:
        SignaturesMissing: an input has fewer or more than k signatures.
        SigInvalid: one does not verify, or is by a key that is not the vault's there.
    """
    unsigned = drafted.transaction
    sighashes = drafted.sighashes()
    by_input: list[dict[bytes, bytes]] = [{} for _ in unsigned.inputs]
    for each in combined.signatures:
        if each.input >= len(by_input):
            raise SigInvalid(whose=each.public_key.hex(), problem=f"there is no input {each.input}")
        by_input[each.input][each.public_key] = each.signature
    inputs: list[TxIn] = []
    witnesses: list[tuple[bytes, ...]] = []
    places = vault.places((seat.branch, seat.index) for seat in drafted.seats)
    for index, (spending, place) in enumerate(zip(unsigned.inputs, places, strict=True)):
        lock, holders, signatures = place.lock, place.holders, by_input[index]
        for public_key in signatures:
            if public_key not in holders:
                raise SigInvalid(whose=public_key.hex(), problem=f"that key is no cosigner's at input {index}")
        digest = lock.digest(sighashes, index)
        # By the vault's own keys, not by those that came with the signatures: equal, but these still have their points.
        for public_key in holders:
            if public_key in signatures:
                check_signature(lock, public_key, digest, signatures[public_key], index)
        if len(signatures) != vault.threshold:
            raise SignaturesMissing(given=len(signatures), threshold=vault.threshold, missing=f"on input {index}")
        inputs.append(TxIn(spending.outpoint, lock.script_sig, spending.sequence))
        witnesses.append(lock.witness([signatures.get(key, b"") for key in holders]))
    return Transaction(unsigned.version, tuple(inputs), unsigned.outputs, unsigned.locktime, tuple(witnesses))


def final_txid(drafted: Draft, vault: Vault) -> bytes:
    """The txid of the draft's transaction once it is signed, whoever signs: it covers all but the witnesses."""
    unsigned = drafted.transaction
    places = vault.places((seat.branch, seat.index) for seat in drafted.seats)
    pairs = zip(unsigned.inputs, places, strict=True)
    inputs = tuple(TxIn(spending.outpoint, place.lock.script_sig, spending.sequence) for spending, place in pairs)
    return Transaction(unsigned.version, inputs, unsigned.outputs, unsigned.locktime).txid


def refuse_other_transaction(raw: bytes, drafted: Draft) -> None:
    """Pass when `raw`, scriptSigs emptied, is the transaction the draft names.

    Raises:
        StateChanged: it is another one.
    """
    actual = Transaction.parse(raw).without_script_sigs().stripped()
    if actual != drafted.identity.transactions[0]:
        raise StateChanged(
            what="the transaction", expected=drafted.transaction.txid_hex, actual=Transaction.parse(actual).txid_hex
        )
