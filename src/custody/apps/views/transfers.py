"""How do many transfers read: a line each, with when, from where, to whom, how much, and in whose place?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from custody.apps.views.layout import SHORT, Cell, bitcoin, said, table
from custody.apps.views.request import total_of
from custody.apps.views.transfer import reason_of, replacing, status_text
from custody.dates import day
from custody.history.questions import History
from custody.transfer.request import Purpose, TransferRequest
from custody.transfer.state import Transfer

_COLUMNS = ("id", "date", "state", "vault", "pays", "leaves", "tied to", "asked by", "why")


def transfers_table(
    requests: Sequence[TransferRequest], transfers: Sequence[Transfer], history: History, *, is_all: bool = True
) -> str:
    """Requests without a transfer, and transfers, for a person; `is_all` says that nothing was left out."""
    rows = [*_requested(requests, history), *_drafted(transfers, history)]
    if not rows:
        return "no transfers yet" if is_all else "no such transfers"
    return "\n".join(table([_COLUMNS, *rows], frozenset({5})))


def _requested(requests: Sequence[TransferRequest], history: History) -> Iterator[tuple[Cell, ...]]:
    for each in requests:
        total = total_of(each.payments)
        yield (
            each.digest().hex()[:SHORT],
            day(each.issued),
            "requested",
            history.charter.vault_by_id(each.vault)[0].name,
            _payees(each),
            bitcoin(total) if total else "",
            ", ".join(_named(each)),
            each.requester,
            said(reason_of(each, history)),
        )


def _drafted(transfers: Sequence[Transfer], history: History) -> Iterator[tuple[Cell, ...]]:
    for each in transfers:
        case = history.case(each)
        replaced_by = [f"replaced by {other.id.hex()[:SHORT]}" for other in replacing(each, history)]
        yield (
            each.id.hex()[:SHORT],
            day(each.draft.at),
            status_text(each),
            case.vault,
            _payees(each.request),
            bitcoin(case.outflow),
            ", ".join([*_named(each.request), *replaced_by]),
            each.request.requester,
            said(each.reason),
        )


def _payees(request: TransferRequest) -> str:
    """The first payee and how many more; what it is for when it pays nobody."""
    if not request.payments:
        return f"({request.purpose})"
    first, *others = request.payments
    more = f" and {len(others)} more" if others else ""
    return f"{first.payee}{more}{' (sweep)' if request.purpose is Purpose.SWEEP else ''}"


def _named(request: TransferRequest) -> list[str]:
    what = "cancels" if request.purpose is Purpose.CANCELLATION else "replaces"
    found = [f"{what} {each.hex()[:SHORT]}" for each in request.replaces]
    return found if request.parent is None else [*found, f"speeds up {request.parent.hex()[:SHORT]}"]
