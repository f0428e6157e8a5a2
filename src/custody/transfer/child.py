"""May a transfer speed up the one whose change it spends, and at which fee?

A transfer that waits too long has a child: a spend of its unconfirmed change back to the vault, with a fee that miners
get only when they take both. A child is a request like all others; what it spends does not stand in a block, so the
parent's own transaction proves the amount, and the log must say that it was released.

1. The parent was released by this vault, waits for a block, and is not replaced already.
2. The child spends exactly the parent's change.
3. Both together reach the rate that was asked for. Their fees are one to the charter's ceiling in sats; the ceiling in
   sat/kvB is for the child alone, since nobody who only sees the log knows whether the parent still waits.
4. The parent is what its log says: this vault's cosigners have signed it.

1 holds at the moment the child is drafted: the fold asks. 2 to 4 are judged wherever a draft is.

Sizes are those of transactions with every signature at its largest. Amounts in sats, rates in sat/kvB.
"""

from __future__ import annotations

from dataclasses import replace

from custody.bitcoin.transaction import OutPoint, Transaction
from custody.charter.rules import Carried, Case
from custody.envelope import SigInvalid
from custody.errors import Refused
from custody.transfer.draft import Draft, signed_weight
from custody.transfer.proposal import Proposal
from custody.transfer.replacement import fees_before
from custody.transfer.request import Purpose
from custody.transfer.selection import Algorithm, InsufficientFunds, Selection, Terms, weight_of
from custody.transfer.signing import SignaturesMissing
from custody.transfer.state import Transfer
from custody.transfer.verify import finalize, refuse_other_transaction
from custody.units import fee_at, rate_of, vsize
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch, Vault


class ChildParent(Refused, code="CHILD_PARENT"):
    """A transfer that no child can speed up now."""

    message = "transfer {parent} cannot be sped up by a child: it {problem}"
    hint = "Look at it with: custody transfer show TRANSFER. What waits may also be replaced: --replaces TRANSFER."
    parent: str
    problem: str


class ChildInputs(Refused, code="CHILD_INPUTS"):
    """A child that spends something else than its parent's change."""

    message = "the child spends {spent}, not the change of transfer {parent}, which is {change}"
    hint = "Draft again: what speeds a transfer up spends its change and nothing else."
    spent: str
    parent: str
    change: str


class ChildFeeLow(Refused, code="CHILD_FEE_LOW"):
    """A rate that the parent reaches by itself."""

    message = "at {asked} sat/kvB a child speeds nothing up: its parent pays {rate} sat/kvB already"
    hint = "Draft again at a higher rate: custody transfer draft REQUEST --feerate RATE, above {rate}."
    asked: int
    rate: int


def change_of(parent: Transfer, vault: Vault) -> Coin | None:
    """The coin that the released `parent` returns to its vault; None when it was not released or returns nothing.

    The height is where it could be next, as the coin stands in no block.

    Raises:
        StateChanged: what was released is not what was drafted.
    """
    if parent.release is None or parent.verified is None or parent.draft.change is None:
        return None
    refuse_other_transaction(parent.verified.raw, parent.draft)
    script = vault.script_pubkey(Branch.CHANGE, parent.draft.change)
    for index, output in enumerate(Transaction.parse(parent.verified.raw).outputs):
        if output.script_pubkey == script:
            return Coin(
                outpoint=OutPoint(parent.release.txid, index),
                amount=output.amount,
                script_pubkey=script,
                branch=Branch.CHANGE,
                index=parent.draft.change,
                height=parent.draft.height + 1,
                is_coinbase=False,
            )
    return None


def check_waiting(parent: Transfer, vault: Vault) -> Coin:
    """Rule 1, as far as the parent alone says: its change, while it waits.

    Raises:
        ChildParent: it has none to spend, or does not wait.
    """
    problem = _why_not(parent, vault)
    change = None if problem else change_of(parent, vault)
    if change is None:
        raise ChildParent(parent=parent.id.hex(), problem=problem or "returns no change")
    return change


def _why_not(parent: Transfer, vault: Vault) -> str | None:
    if parent.draft.identity.vault != vault.id:
        return "is another vault's"
    if parent.ended is not None:
        return f"is over ({parent.ended.reason})"
    if parent.release is None:
        return f"was not released ({parent.status})"
    if parent.seen is not None:
        return f"stands in a block already, at height {parent.seen.height}"
    return "is a child itself: replace it" if parent.request.purpose is Purpose.CHILD else None


def refuse_unsigned(parent: Transfer, vault: Vault) -> None:
    """Rule 4: the signatures in the log make what was released, and each is verified here.

    Raises:
        ChildParent: they do not.
    """
    combined, verified = parent.combined, parent.verified
    try:
        if combined and verified and finalize(combined, parent.draft, vault).serialize() == verified.raw:
            return
    except (SignaturesMissing, SigInvalid):
        pass
    raise ChildParent(parent=parent.id.hex(), problem="is not signed by this vault's cosigners in the log")


def check_child(drafted: Draft, parent: Transfer, vault: Vault) -> None:
    """Rule 2: one input, the parent's change. That its amount is true, its previous transaction proves.

    Raises:
        ChildInputs: it spends something else.
        StateChanged: what was released is not what was drafted.
    """
    change = change_of(parent, vault)
    if change is None or drafted.outpoints != (change.outpoint,):
        raise ChildInputs(
            spent=", ".join(str(each) for each in drafted.outpoints[:3]),
            parent=parent.id.hex(),
            change="nothing" if change is None else str(change.outpoint),
        )


def carried(parent: Transfer, vault: Vault) -> Carried:
    """Rule 3: the fee and the size that a child of `parent` carries with its own."""
    return Carried(max(0, parent.draft.fee), vsize(signed_weight(parent.draft, vault)))


def in_context(proposal: Proposal, transfer: Transfer) -> Case:
    """What the proposal of `transfer` means to rules, with what the log says stands before it."""
    parent = transfer.parent
    both = None if parent is None else carried(parent, proposal.vault)
    return replace(proposal.case, fees_before=fees_before(transfer), carried=both)


def select_change(change: Coin, carried: Carried, terms: Terms) -> Selection:
    """Spend `change` back to the vault so that child and parent together reach the rate of `terms`.

    Raises:
        ChildFeeLow: the parent reaches it alone.
        InsufficientFunds: the change is too little for that.
    """
    size = vsize(weight_of(terms, 1, has_change=True))
    fee = fee_at(terms.rate, size + carried.vbytes) - carried.fee
    if fee <= fee_at(terms.rate, size):
        raise ChildFeeLow(asked=terms.rate, rate=rate_of(carried.fee, carried.vbytes))
    if change.amount - fee < terms.dust:
        raise InsufficientFunds(needed=fee + terms.dust, available=change.amount, coins=1)
    return Selection((change,), change.amount - fee, fee, 0, Algorithm.EVERYTHING)
