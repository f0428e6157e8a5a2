"""How does a request for a transfer read, to whoever asked, to officers, and to a program?"""

from __future__ import annotations

from collections.abc import Iterable

from custody.apps.views.layout import Data, bitcoin, block, said, table
from custody.apps.views.ties import named
from custody.dates import moment
from custody.transfer.request import RequestedPayment, TransferRequest


def request_data(request: TransferRequest, reason: str | None) -> Data:
    """A request for a program; `reason` is None when it was erased or withheld."""
    return {
        "id": request.digest().hex(),
        "requester": request.requester,
        "reason": reason,
        "purpose": request.purpose.value,
        "vault_id": request.vault.hex(),
        "payments": [{"payee": each.payee, "sats": each.amount} for each in request.payments],
        "total": total_of(request.payments),
        "replaces": [each.hex() for each in request.replaces],
        "parent": None if request.parent is None else request.parent.hex(),
        "issued": request.issued,
        "expires": request.expires,
    }


def request_text(request: TransferRequest, reason: str | None) -> str:
    """A request for a person."""
    rows = [
        ("by", request.requester),
        ("why", said(reason)),
        ("what", f"a {request.purpose}"),
        *(
            ("pays", f"{'everything' if each.amount is None else bitcoin(each.amount)} to {each.payee}")
            for each in request.payments
        ),
        *_in_all(request),
        *named(request),
        ("until", moment(request.expires)),
    ]
    return block(f"Request {request.digest().hex()}", table(rows))


def _in_all(request: TransferRequest) -> list[tuple[str, str]]:
    """Count and sum of several payments."""
    count, total = len(request.payments), total_of(request.payments)
    return [("in all", f"{bitcoin(total)} in {count} payments")] if total is not None and count > 1 else []


def total_of(payments: Iterable[RequestedPayment]) -> int | None:
    """Sats that the payments come to; None for a sweep, whose amount nobody knows yet."""
    amounts = [each.amount for each in payments]
    known = [each for each in amounts if each is not None]
    return sum(known) if len(known) == len(amounts) else None
