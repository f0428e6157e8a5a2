"""How is a transfer asked for?

A request is signed at once, with the key of the person at this machine; with --offline that machine needs no
coordinator, and the file is submitted later.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import click

from custody.apps.commands.csv_file import MAX_CSV
from custody.apps.commands.payments_file import check_total, parse_payments
from custody.apps.coordinator import IdInvalid, coordinator, find_transfer, open_own_key, own_clock
from custody.apps.files import FileKind, read_alone, read_foreign, read_signed, refuse_existing
from custody.apps.keys import KeyNotListed
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output
from custody.apps.views.alike import known_blocks, known_data
from custody.apps.views.layout import SHORT, Data, listed, rate, screen, spoken
from custody.apps.views.left import is_of_all, left_data, left_lines
from custody.apps.views.request import request_data, request_text
from custody.charter.document import Charter, read_charter, verify_charter
from custody.charter.people import Person
from custody.drafter import choose
from custody.envelope import show_key, sign
from custody.errors import CustodyError, InvalidInput, Refused
from custody.history.questions import History
from custody.log.entry import SALT_SIZE
from custody.ports import FileExists
from custody.transfer.annex import Annex
from custody.transfer.proposal import refuse_hopeless
from custody.transfer.request import (
    MAX_PAYMENTS,
    NONCE_SIZE,
    Purpose,
    ReasonAnnex,
    RequestedPayment,
    RequestPaper,
    TransferRequest,
    check_request,
    read_reason,
)
from custody.transfer.selection import LONG_TERM_RATE, LeftBehind, Rates
from custody.units import parse_amount

HOUR = 3600
MAX_HOURS = 24 * 90
_WHOLE_ID = re.compile("[0-9a-f]{64}")


class PaymentUnreadable(InvalidInput, code="PAYMENT_UNREADABLE"):
    """A payment that is not a payee, an equals sign and an amount."""

    message = "{shown} is not PAYEE=AMOUNT"
    hint = "Write it such as --pay 'Supplier=0.25 BTC' or --pay Supplier=25000000 (sats). Payees stand in the charter."
    shown: str


class VaultUnclear(InvalidInput, code="VAULT_UNCLEAR"):
    """No vault named where the charter has several."""

    message = "the charter has several vaults: {names}"
    hint = "Say which one pays: --vault NAME."
    names: str


class RequestWritten(InvalidInput, code="REQUEST_WRITTEN"):
    """A signed request that stands already where one was to be written, as after a command that was interrupted."""

    message = "a signed request stands in {path} already, and may not be entered yet"
    hint = (
        "Enter it: custody transfer submit {path}, which twice does no harm. For another request choose another name."
    )
    path: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options of `transfer request` ask for. `replaces` and `parent` are ids, whole or their beginnings.

    `list_file` names a file that holds the payments; it is read once there is a charter to read it under.
    """

    purpose: Purpose
    payments: tuple[RequestedPayment, ...]
    replaces: tuple[str, ...]
    parent: str | None = None
    list_file: str | None = None


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  custody transfer request --pay 'Supplier=0.25 BTC' --reason 'invoice 17' --key dana.key.json
  custody transfer request --pay-csv wages.csv --total '12.5 BTC' --reason 'May' --key dana.key.json
  custody transfer request --cancel 3fd1c0a9b2 --reason 'lost trust in it' --key dana.key.json
  custody transfer request --replaces 3fd1c0a9b2 --reason 'it waits too long' --key dana.key.json""",
)
@click.option("--vault", metavar="NAME", help="The vault that pays; may be left out when the charter has one.")
@click.option("--pay", "pays", metavar="PAYEE=AMOUNT", multiple=True, help="Pay this much: sats, or with its unit BTC.")
@click.option("--pay-csv", metavar="FILE", help="Pay everybody in a CSV file with the columns payee,amount.")
@click.option("--total", metavar="AMOUNT", help="Refuse unless all payments come to this.")
@click.option("--sweep", metavar="PAYEE", help="Send everything the vault can spend to one payee.")
@click.option("--consolidate", "is_consolidation", is_flag=True, help="Turn many coins of the vault into one.")
@click.option("--cancel", metavar="TRANSFER", help="Spend this transfer's coins back to the vault.")
@click.option(
    "--replaces",
    metavar="TRANSFER",
    multiple=True,
    help="Pay the same as this transfer, at another fee, in its place; what it is for is taken over without --pay.",
)
@click.option("--speed-up", metavar="TRANSFER", help="Spend the change of this transfer, which waits, to pay for both.")
@click.option("--reason", metavar="TEXT", required=True, help="Why. Officers read it, and it stands in the log.")
@click.option("--key", "keyfile", metavar="KEYFILE", required=True, help="The requester's key file.")
@click.option(
    "--hours", type=click.IntRange(1, MAX_HOURS), default=72, show_default=True, help="How long the request holds."
)
@out_option("the signed request", is_required=False)
@click.option("--offline", "is_offline", is_flag=True, help="Only write the file; needs --charter and -o.")
@click.option("--charter", "charter_file", metavar="FILE", help="The signed charter, for --offline.")
@passphrase_option("the requester's key")
def request(  # noqa: PLR0913 - click gives each option by its name
    *,
    vault: str | None,
    pays: tuple[str, ...],
    pay_csv: str | None,
    total: str | None,
    sweep: str | None,
    is_consolidation: bool,
    cancel: str | None,
    replaces: tuple[str, ...],
    speed_up: str | None,
    reason: str,
    keyfile: str,
    hours: int,
    out: str | None,
    is_offline: bool,
    charter_file: str | None,
    passphrase_file: str | None,
) -> None:
    """Ask for a transfer, and sign the request.

    Say what it is for with one of --pay (any number of times), --pay-csv, --sweep, --consolidate, --cancel and
    --speed-up; with --replaces alone it is for what that transfer is for. Payees are names of the charter; a request
    carries no addresses. The request is entered in the log, unless --offline is given.
    """
    wanted = _wanted(pays, pay_csv, sweep, cancel, speed_up, replaces, is_consolidation=is_consolidation)
    expected = _control_total(total, wanted)
    if is_offline and (charter_file is None or out is None):
        raise click.UsageError("--offline needs --charter FILE and -o FILE")
    if out is not None:
        _refuse_written(out)
    desk = None if is_offline else coordinator()
    history = None if desk is None else desk.history()
    charter = _offline_charter(charter_file or "") if history is None else history.charter
    wanted = wanted or _repeated(replaces, history)
    payments = _payments(wanted, charter)
    if expected is not None:
        check_total(payments, expected)
    annex = Annex.of(ReasonAnnex(reason=reason), secrets.token_bytes(SALT_SIZE))
    signer = open_own_key(keyfile, passphrase_file)
    requester = person_of(charter, signer.public_key)
    now = own_clock().now()
    parent = None if wanted.parent is None else _named(wanted.parent, history)
    replaced = tuple(_named(each, history) for each in wanted.replaces)
    envelope = sign(
        TransferRequest(
            network=charter.network,
            charter=charter.digest(),
            vault=_vault_id(vault, charter, history, replaced if parent is None else (parent,)),
            purpose=wanted.purpose,
            payments=payments,
            replaces=replaced,
            parent=parent,
            annex=annex.named,
            requester=requester.name,
            issued=now,
            expires=now + hours * HOUR,
            nonce=secrets.token_bytes(NONCE_SIZE),
        ),
        signer,
    )
    signed, paper = check_request(envelope, charter), RequestPaper(signed=envelope, annex=annex)
    refuse_hopeless(signed, charter)
    if out is not None:
        write_output(out, paper.to_bytes())
    if desk is None:
        output().emit(request_data(signed, reason), lambda: request_text(signed, reason))
        output().next_step(f"carry the file to the coordinator: custody transfer submit {shown(out or '')}")
        return
    with desk.work() as work:
        work.custodian.submit(paper)
        history = work.custodian.history()
    _show_entered(signed, reason, history)


def _show_entered(request: TransferRequest, reason: str | None, history: History) -> None:
    """A request that is in the log, and what else the log knows of such payments."""
    expected_left = would_leave(request, history)
    output().emit(
        {**_data(request, reason, expected_left), **known_data(request, history)},
        lambda: screen(request_text(request, reason), *known_blocks(request, history)),
    )
    tell_left(expected_left)
    output().next_step(f"custody transfer draft {request.digest().hex()[:SHORT]}")


def _refuse_written(out: str) -> None:
    """Pass when nothing stands where the request is to be written.

    Raises:
        RequestWritten: a request does: the command was given before, and perhaps stopped between the file and the log.
        FileExists: something else does.
    """
    try:
        refuse_existing(out)
    except FileExists:
        if not _is_request(out):
            raise
        raise RequestWritten(path=shown(out)) from None


def _is_request(path: str) -> bool:
    try:
        read_alone(RequestPaper, path)
    except CustodyError:
        return False
    return True


def _wanted(  # noqa: PLR0913 - one for each option
    pays: tuple[str, ...],
    pay_csv: str | None,
    sweep: str | None,
    cancel: str | None,
    speed_up: str | None,
    replaces: tuple[str, ...],
    *,
    is_consolidation: bool,
) -> Wanted | None:
    """What is asked for; None when that is for the transfer to say that is replaced."""
    asked = [bool(pays), pay_csv is not None, sweep is not None, is_consolidation]
    asked += [cancel is not None, speed_up is not None]
    if not any(asked) and replaces:
        return None
    if sum(asked) != 1:
        purposes = "--pay, --pay-csv, --sweep, --consolidate, --cancel and --speed-up, or --replaces alone"
        raise click.UsageError(f"say what the transfer is for: one of {purposes}")
    if len(pays) > MAX_PAYMENTS:
        raise click.UsageError(f"one request pays {MAX_PAYMENTS} payees at most")
    if sweep is not None:
        return Wanted(Purpose.SWEEP, (RequestedPayment(payee=sweep, amount=None),), replaces)
    if is_consolidation:
        return Wanted(Purpose.CONSOLIDATION, (), replaces)
    if cancel is not None:
        return Wanted(Purpose.CANCELLATION, (), (cancel, *replaces))
    if speed_up is not None:
        return Wanted(Purpose.CHILD, (), replaces, speed_up)
    payments = tuple(_payment(each) for each in pays)
    return Wanted(Purpose.PAYMENT, payments, replaces, list_file=pay_csv)


def _payments(wanted: Wanted, charter: Charter) -> tuple[RequestedPayment, ...]:
    if wanted.list_file is None:
        return wanted.payments
    data = read_foreign(wanted.list_file, MAX_CSV, FileKind.UNKNOWN, "a list of payments")
    return parse_payments(data, charter)


def _control_total(text: str | None, wanted: Wanted | None) -> int | None:
    """Sats that the payments must come to; None when nobody said so."""
    if text is None:
        return None
    if wanted is None or wanted.purpose is not Purpose.PAYMENT:
        raise click.UsageError("--total goes with --pay or --pay-csv")
    return parse_amount(text)


def _repeated(replaces: tuple[str, ...], history: History | None) -> Wanted:
    """What the first of the transfers to be replaced is for."""
    if history is None:
        raise click.UsageError("--offline, no log says what is replaced: say beside --replaces what it is for")
    request = history.transfer(_named(replaces[0], history)).request
    parent = None if request.parent is None else request.parent.hex()
    return Wanted(request.purpose, request.payments, replaces, parent)


def _payment(text: str) -> RequestedPayment:
    payee, mark, amount = text.rpartition("=")
    if not mark or not payee.strip():
        raise PaymentUnreadable(shown=ascii(text[:60]))
    return RequestedPayment(payee=payee.strip(), amount=parse_amount(amount))


def _offline_charter(path: str) -> Charter:
    """The charter in a file, signed by everyone it lists. Nothing pins it here; the request names its digest."""
    envelope = read_signed(Charter, path)
    charter = verify_charter(envelope, read_charter(envelope).digest())
    output().talk(f"under the charter\n{spoken(charter.digest())}")
    return charter


def person_of(charter: Charter, key: bytes) -> Person:
    """Whom the charter lists under this raw key.

    Raises:
        KeyNotListed: nobody.
    """
    found = next((each for each in charter.people if each.key == key), None)
    if found is None:
        raise KeyNotListed(role="person", key=show_key(key))
    return found


def _named(text: str, history: History | None) -> bytes:
    """A transfer's id; without a log it must be whole."""
    if history is not None:
        return find_transfer(text, history)
    if _WHOLE_ID.fullmatch(text) is None:
        raise IdInvalid(shown=ascii(text[:80]), least=64)
    return bytes.fromhex(text)


def _vault_id(name: str | None, charter: Charter, history: History | None, replaced: tuple[bytes, ...]) -> bytes:
    if name is not None:
        return charter.vault(name).id
    if history is not None and replaced:
        return history.transfer(replaced[0]).draft.identity.vault
    if len(charter.vaults) > 1:
        raise VaultUnclear(names=", ".join(each.name for each in charter.vaults))
    return charter.vault(charter.vaults[0].name).id


def would_leave(request: TransferRequest, history: History) -> tuple[LeftBehind, ...] | None:
    """What a sweep or a consolidation would leave if it were drafted now at the long-term rate; None for others.

    Nothing when it could not be drafted so: why not, drafting it says.
    """
    if not is_of_all(request.purpose) or request.replaces:
        return None
    try:
        rates = Rates(LONG_TERM_RATE)
        return choose(history, request.digest(), rates, secrets.randbelow, own_clock().now()).left
    except Refused:
        return ()


def _data(request: TransferRequest, reason: str | None, left: Sequence[LeftBehind] | None) -> Data:
    return {**request_data(request, reason), "would_leave": None if left is None else left_data(left)}


def tell_left(left: Sequence[LeftBehind] | None) -> None:
    """Say it to a person."""
    if left:
        lines = [f"at {rate(LONG_TERM_RATE)}, not everything would be taken:"]
        output().talk("\n".join([*lines, *listed(left_lines(left, Rates(LONG_TERM_RATE)))]))


@click.command(cls=Verb)
@click.argument("file")
def submit(*, file: str) -> None:
    """Enter a request that was signed elsewhere.

    Submitting the same request again changes nothing.
    """
    paper = read_alone(RequestPaper, file)
    with coordinator().work() as work:
        charter = work.custodian.history().charter
        refuse_hopeless(check_request(paper.signed, charter), charter)
        submitted = work.custodian.submit(paper)
        history = work.custodian.history()
    _show_entered(submitted, read_reason(submitted.annex, paper.annex), history)
