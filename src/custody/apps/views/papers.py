"""What do the signed papers of a transfer say outside its evidence: a request, an approval, a withdrawal?

Every `..._paper` gives the data for `--json` beside the screen. Signatures count only by keys of the charter this
station trusts; where it trusts none, first and last stands that nothing is proved.
"""

from __future__ import annotations

from typing import Final

from custody.apps.views.framing import Shown, framed_paper, self_signed
from custody.apps.views.layout import Data, Theirs, bitcoin, block, in_words, said, sats, table, words_block
from custody.apps.views.ties import named
from custody.charter.document import Charter
from custody.dates import moment
from custody.envelope import Envelope, unsafe_payload, unsafe_signers, verify_one
from custody.record import Record
from custody.transfer.annex import Annex
from custody.transfer.approval import Approval, Withdrawal
from custody.transfer.request import TransferRequest, check_request, read_reason

_RIGHT: Final = frozenset({1, 2})


def request_paper(envelope: Envelope, annex: Annex | None, charter: Charter | None) -> Shown:
    """A request, with its reason when the annex is there.

    Raises:
        AnnexMismatch: it is another's.
    """
    request = unsafe_payload(envelope, TransferRequest)
    reason = read_reason(request.annex, annex)
    if charter is None:
        state = self_signed(unsafe_signers(envelope, TransferRequest))
    else:
        check_request(envelope, charter)
        state = f"signed by {request.requester}, and made for the charter trusted here"
    rows = [
        ("by", Theirs(request.requester)),
        ("why", said(reason)),
        ("what", f"{request.purpose} on {request.network}, from {vault_name(request.vault, charter)}"),
        ("holds", f"{moment(request.issued)} to {moment(request.expires)}"),
        *named(request),
        ("signature", state),
    ]
    payments = [
        (f"{number}.", *_wanted(payment.amount), Theirs(payment.payee))
        for number, payment in enumerate(request.payments, 1)
    ]
    return framed_paper(
        charter,
        {**document_data("request", request, state), "reason": reason},
        ["what became of it: no log is in this file"],
        block("Transfer request", table(rows)),
        block("Pays", table(payments, _RIGHT)),
        words_block("Request", request.digest()),
    )


def _wanted(amount: int | None) -> tuple[str, str]:
    return ("everything", "") if amount is None else (bitcoin(amount), sats(amount))


def approval_paper(envelope: Envelope, charter: Charter | None) -> Shown:
    """An officer's yes or no."""
    approval = unsafe_payload(envelope, Approval)
    state = signed_by(envelope, Approval, approval.officer, charter)
    rows = [
        ("officer", Theirs(approval.officer)),
        ("says", "NO: veto" if approval.verdict == "veto" else "yes: approve"),
        ("transfer", approval.transfer.hex()),
        ("vault", f"{vault_name(approval.vault, charter)} on {approval.network}"),
        ("saw", f"a log of {approval.log_size} entries"),
        ("holds", f"{moment(approval.issued)} to {moment(approval.expires)}"),
        ("signature", state),
    ]
    unchecked = ["what the transfer pays, and whether this counts for it: no log is in this file"]
    return framed_paper(
        charter,
        document_data("approval", approval, state),
        unchecked,
        block("Approval", table(rows)),
        in_words(approval.transfer, "Transfer in"),
        "",
    )


def withdrawal_paper(envelope: Envelope, annex: Annex | None, charter: Charter | None) -> Shown:
    """A withdrawal, with its reason when the annex is there.

    Raises:
        AnnexMismatch: it is another's.
    """
    withdrawal = unsafe_payload(envelope, Withdrawal)
    reason = read_reason(withdrawal.annex, annex)
    state = signed_by(envelope, Withdrawal, withdrawal.person, charter)
    rows = [
        ("by", Theirs(withdrawal.person)),
        ("why", said(reason)),
        ("transfer", withdrawal.transfer.hex()),
        ("issued", moment(withdrawal.issued)),
        ("signature", state),
    ]
    data = {**document_data("withdrawal", withdrawal, state), "reason": reason}
    unchecked = ["what the transfer pays, and whether this ends it: no log is in this file"]
    return framed_paper(
        charter,
        data,
        unchecked,
        block("Withdrawal of a transfer", table(rows)),
        in_words(withdrawal.transfer, "Transfer in"),
        "",
    )


def document_data(kind: str, record: Record, signature: str) -> Data:
    """A signed record for a program, with what is said of its signature."""
    return {"kind": kind, "record": record.model_dump(mode="json"), "id": record.digest().hex(), "signature": signature}


def signed_by(envelope: Envelope, kind: type[Record], name: str, charter: Charter | None) -> str:
    """Whether the person the document names has signed it, in words.

    Raises:
        SigInvalid, UnknownName: not signed by that person's key in the trusted charter.
    """
    if charter is None:
        return self_signed(unsafe_signers(envelope, kind))
    verify_one(envelope, kind, charter.person(name).key)
    return f"signed by {name}, with the key in the charter trusted here"


def vault_name(vault_id: bytes, charter: Charter | None) -> str:
    """What a vault is called, by its id where no charter names it."""
    entries = charter.vaults if charter is not None else ()
    for entry in entries:
        if charter is not None and charter.vault(entry.name).id == vault_id:
            return f"vault {entry.name}"
    return f"vault {vault_id.hex()}"
