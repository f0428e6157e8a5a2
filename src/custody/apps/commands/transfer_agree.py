"""How is a transfer drafted, judged, agreed to, or given up?

An approval is signed elsewhere: custody-station approve. A withdrawal is signed at once, with the key of the person at
this machine. What happens after signatures were asked for is not here.
"""

from __future__ import annotations

import secrets

import click

from custody.apps.commands.telling import tell_next
from custody.apps.commands.transfer_ask import person_of
from custody.apps.coordinator import coordinator, find_request, find_transfer, open_own_key, own_clock
from custody.apps.files import read_signed
from custody.apps.terminal import Verb, output, passphrase_option
from custody.apps.views.alike import known_blocks, known_data
from custody.apps.views.judgement import decision_data
from custody.apps.views.layout import INDENT, SHORT, bitcoin, block, rate, screen
from custody.apps.views.left import left_of_data
from custody.apps.views.sending import rate_text
from custody.apps.views.transfer import agreed_data, approval_lines, decision_lines, transfer_text
from custody.charter.decide import Verdict, refuse_denied
from custody.custodian import TransferLive
from custody.envelope import sign
from custody.history import lists
from custody.history.questions import History
from custody.history.relations import coins_gone
from custody.log.entry import SALT_SIZE
from custody.rate import ChosenRate, rate_for
from custody.transfer.annex import Annex
from custody.transfer.approval import Approval, Withdrawal, WithdrawalPaper
from custody.transfer.request import NONCE_SIZE, ReasonAnnex
from custody.transfer.selection import LONG_TERM_RATE
from custody.transfer.state import Status, Transfer
from custody.units import parse_rate, show_rate
from custody.words import show_words


@click.command(cls=Verb)
@click.argument("request_id", metavar="REQUEST")
@click.option(
    "--feerate",
    metavar="RATE",
    help="Fee rate, such as 12.5sat/vB or 12500 (sat/kvB), at least what the node takes; otherwise its estimate.",
)
@click.option(
    "--long-term-feerate",
    metavar="RATE",
    default=show_rate(LONG_TERM_RATE),
    show_default=True,
    help="What a coin could be spent for another time: one worth no more is left alone.",
)
def draft(*, request_id: str, feerate: str | None, long_term_feerate: str) -> None:
    """Make the transaction for a request, and apply the rules.

    Chooses coins, holds them, and decides. A denied draft ends at once, frees its coins and exits with 4. Without
    --feerate and without an estimate of the node, a fallback is used, and said.

    A payment takes few coins. A sweep takes the most valuable that fit, a consolidation the smallest; what stays is
    said, and why. No transfer takes a coin that is quarantined (custody coin list).
    """
    rate = None if feerate is None else parse_rate(feerate, least=1)
    long_term = parse_rate(long_term_feerate, least=1)
    desk = coordinator()
    with desk.work() as work:
        history = work.custodian.history()
        found = find_request(request_id, history)
        transfer_id, chosen = _unfinished(history, found), None
        if transfer_id is None:
            chosen = rate_for(work.chain.relay, rate)
            transfer_id = work.custodian.draft(found, chosen.rate, long_term).transfer_id
        decision = work.custodian.decide(transfer_id)
        history = work.custodian.history()
        transfer = history.transfer(transfer_id)
    if decision.verdict is Verdict.DENY:
        output().talk("\n".join(decision_lines(decision)))
        refuse_denied(history.case(transfer), history.charter, history.facts(own_clock().now()))
    output().emit(
        {
            "transfer": transfer_id.hex(),
            "words": show_words(transfer_id),
            "request": found.hex(),
            **decision_data(decision),
            "fee": transfer.draft.fee,
            "fee_rate": transfer.draft.rate,
            "fee_rate_source": None if chosen is None else chosen.source.value,
            "long_term_fee_rate": transfer.draft.long_term_rate,
            "left_behind": left_of_data(transfer.draft, transfer.request.purpose),
            **known_data(transfer.request, history),
        },
        lambda: screen(
            transfer_text(transfer, history, own_clock().now()),
            block("Fee rate", [f"{INDENT}{_rate(chosen, transfer)}"]),
            *known_blocks(transfer.request, history),
        ),
    )
    tell_next(desk, transfer, history)


def _rate(chosen: ChosenRate | None, transfer: Transfer) -> str:
    return f"{rate(transfer.draft.rate)} (drafted earlier)" if chosen is None else rate_text(chosen)


def _unfinished(history: History, request_id: bytes) -> bytes | None:
    """The transfer of this request that was drafted and not decided, as a power cut leaves it; None without one."""
    drafts = (each.id for each in lists.drafts_of(history, request_id) if each.status is Status.DRAFTED)
    return next(drafts, None)


@click.command(cls=Verb)
@click.argument("file")
def approve(*, file: str) -> None:
    """Enter an officer's signed yes or no.

    The approval is verified against the charter and this very transfer. A no ends the transfer, as long as no signature
    was asked for.
    """
    envelope = read_signed(Approval, file)
    desk = coordinator()
    with desk.work() as work:
        approval = work.custodian.approve(envelope)
        history = work.custodian.history()
    transfer, now = history.transfer(approval.transfer), own_clock().now()
    lines = [f"{approval.officer} said {approval.verdict} to transfer {approval.transfer.hex()}"]
    output().emit(
        {
            "officer": approval.officer,
            "verdict": approval.verdict.value,
            "transfer": approval.transfer.hex(),
            "status": transfer.status.value,
            "approvals": agreed_data(transfer, history, now),
        },
        lambda: "\n".join([*lines, *approval_lines(transfer, history, now)]),
    )
    tell_next(desk, transfer, history)


@click.command(cls=Verb)
@click.argument("transfer_id", metavar="ID")
@click.option("--reason", metavar="TEXT", required=True, help="Why. It stands in the log.")
@click.option("--key", "keyfile", metavar="KEYFILE", required=True, help="Key file of the requester or an officer.")
@passphrase_option()
def cancel(*, transfer_id: str, reason: str, keyfile: str, passphrase_file: str | None) -> None:
    """Give up a transfer before signatures were asked for.

    Afterwards it cannot be called back: somebody may hold its signatures. Then only another transfer that spends its
    coins ends it: custody transfer request --cancel ID. One whose coin is gone after a reorganisation may be given up
    all the same; it goes on being counted, for the coin may come back.
    """
    desk = coordinator()
    history = desk.history()
    transfer = history.transfer(find_transfer(transfer_id, history))
    if transfer.is_bearer and not coins_gone(history, transfer):
        raise TransferLive(transfer=transfer.id.hex()[:SHORT], status=transfer.status.value)
    signer = open_own_key(keyfile, passphrase_file)
    annex = Annex.of(ReasonAnnex(reason=reason), secrets.token_bytes(SALT_SIZE))
    withdrawal = Withdrawal(
        network=history.charter.network,
        charter=history.charter.digest(),
        transfer=transfer.id,
        person=person_of(history.charter, signer.public_key).name,
        annex=annex.named,
        issued=own_clock().now(),
        nonce=secrets.token_bytes(NONCE_SIZE),
    )
    with desk.work() as work:
        work.custodian.withdraw(WithdrawalPaper(signed=sign(withdrawal, signer), annex=annex))
    freed = sum(each.amount for each in transfer.draft.identity.spent)
    output().emit(
        {"transfer": transfer.id.hex(), "status": Status.ENDED.value, "freed": freed},
        f"transfer {transfer.id.hex()} is withdrawn; {bitcoin(freed)} are free again",
    )
