"""How does a transfer reach its officers and signers, come back with signatures, and leave for the network?

Evidence goes out, signatures come in. What a returned PSBT says is not believed: only new signatures by the vault's
keys are taken from it. A transfer leaves in two steps, release and deliver, and the whole gate runs before each.
"""

from __future__ import annotations

import click

from custody.apps.commands.readers import reader_options, since_of
from custody.apps.commands.telling import tell_next, warn_stuck
from custody.apps.coordinator import OpenCoordinator, coordinator, find_transfer
from custody.apps.files import read_psbt, refuse_existing
from custody.apps.terminal import (
    Verb,
    out_option,
    output,
    passphrase_option,
    shown,
    write_output,
)
from custody.apps.views.layout import SHORT, spoken, txid
from custody.apps.views.signatures import Signatures, signatures_data, signatures_text
from custody.bitcoin.profile import MAX_FILE
from custody.bitcoin.psbt import read_psbt_file
from custody.delivery import stuck
from custody.examine.evidence import Evidence, Stage
from custody.history.questions import History
from custody.logbook import vault_of
from custody.transfer.signing import signed_tally
from custody.transfer.state import Status, Transfer, over
from custody.words import show_words

_BEFORE_AUTHORIZATION = frozenset({Status.DRAFTED, Status.DECIDED})


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  custody transfer evidence 3fd1c0a9b2 -o for-officers.json
  custody transfer evidence 3fd1c0a9b2 --for sign -o for-cosigners.json""",
)
@click.argument("transfer_id", metavar="ID")
@click.option("--for", "purpose", type=click.Choice(["approve", "sign"]), help="Who will read it; the state decides.")
@out_option("the evidence")
@reader_options()
@passphrase_option("the coordinator's key")
def evidence(  # noqa: PLR0913 - click gives each option by its name
    *,
    transfer_id: str,
    purpose: str | None,
    readers: tuple[str, ...],
    since: int | None,
    is_whole: bool,
    out: str,
    passphrase_file: str | None,
) -> None:
    """Write the file that officers and cosigners judge a transfer by.

    Until the transfer is authorized it is for officers. With --for sign the approvals are checked, the transfer is
    authorized, and it is entered that signatures are asked for: from then on it counts against limits and ends only by
    another spend of its coins.

    It carries the whole log, or with --for-reader or --since only what those who read it have not seen yet.

    A charter with witnesses needs a checkpoint that they cosigned and that holds all of this (custody log checkpoint).
    Without it nothing is written: have one cosigned, then give the same command again.
    """
    refuse_existing(out)
    with coordinator().work(passphrase_file) as work:
        history = work.custodian.history()
        found = find_transfer(transfer_id, history)
        transfer = history.transfer(found)
        if transfer.status is Status.ENDED:
            raise over(transfer)
        is_settled = transfer.status is Status.CONFIRMED
        stage = _stage(purpose, transfer)
        if stage is Stage.SIGN and not is_settled:
            work.custodian.authorize(found)
            if transfer.signing is None:
                work.custodian.request_signatures(found)
                output().talk("entered in the log: signatures are asked for")
        _unlock(work, history)
        begin = since_of(history, readers, since, is_whole=is_whole)
        made = work.custodian.evidence(found, begin)
    write_output(out, made.to_bytes())
    size = made.since + len(made.lines)
    output().emit(
        {
            "transfer": found.hex(),
            "words": show_words(found),
            "for": "inspect" if is_settled else stage.value,
            "since": made.since,
            "log_size": size,
            "file": out,
        },
        f"evidence of transfer {found.hex()} {_reading(stage, is_settled=is_settled)}, {_lines(made)}: {shown(out)}\n"
        f"{spoken(found)}",
    )
    if is_settled:
        output().next_step(f"for whoever asks how it came about: custody-station inspect {shown(out)}")
        return
    back = (
        "custody transfer approve FILE"
        if stage is Stage.APPROVE
        else f"custody transfer combine {found.hex()[:SHORT]} FILE"
    )
    output().next_step(f"at the station: custody-station {stage} {shown(out)} --key KEYFILE -o FILE; then here: {back}")


def _reading(stage: Stage, *, is_settled: bool) -> str:
    """What the file is for: a settled transfer can only be looked at."""
    return "to read, since it is confirmed" if is_settled else f"to {stage}"


def _lines(made: Evidence) -> str:
    whole = f"with {made.since + len(made.lines)} log entries"
    return whole if not made.since else f"{whole}, those from {made.since} on for who has seen the others"


def _stage(purpose: str | None, transfer: Transfer) -> Stage:
    if purpose is not None:
        return Stage(purpose)
    return Stage.APPROVE if transfer.status in _BEFORE_AUTHORIZATION else Stage.SIGN


def _unlock(work: OpenCoordinator, history: History) -> None:
    """Ask for the passphrase before others have to wait. With witnesses the checkpoint was signed long before."""
    if not history.charter.witnesses:
        work.key.unlock()


@click.command(cls=Verb, epilog="Example: custody transfer combine 3fd1c0a9b2 from-astana.psbt from-almaty.psbt")
@click.argument("transfer_id", metavar="ID")
@click.argument("files", metavar="[PSBT]...", nargs=-1)
def combine(*, transfer_id: str, files: tuple[str, ...]) -> None:
    """Take signatures from returned PSBTs; combine once enough.

    A returned file adds signatures by the vault's keys and nothing else; each is verified. With enough of them the
    transaction is finished and judged by every independent judge. Otherwise it says who may still sign.
    """
    desk = coordinator()
    with desk.work() as work:
        history = work.custodian.history()
        found = find_transfer(transfer_id, history)
        vault = history.proposal(history.transfer(found)).vault
        for path in files:
            signed = work.custodian.receive(found, read_psbt_file(read_psbt(path, MAX_FILE)))
            output().talk(f"{shown(path)}: signed by {vault.shown(each.cosigner for each in signed)}")
        signatures = advance(work, found)
    output().emit(signatures_data(signatures), lambda: signatures_text(signatures))
    tell_next(desk, signatures.transfer, signatures.history)


def advance(work: OpenCoordinator, transfer_id: bytes) -> Signatures:
    """Combine the signatures, finish the transaction and have it judged, once enough cosigners have signed."""
    history = work.custodian.history()
    transfer = history.transfer(transfer_id)
    vault = vault_of(history, transfer)
    tally = signed_tally(vault, transfer.signed)
    if tally.is_met:
        work.custodian.combine(transfer_id)
        work.custodian.verify(transfer_id)
        history = work.custodian.history()
    return Signatures(history.transfer(transfer_id), tally, history)


@click.command(cls=Verb)
@click.argument("transfer_id", metavar="ID")
@passphrase_option("the coordinator's key")
def release(*, transfer_id: str, passphrase_file: str | None) -> None:
    """Run the whole gate again, and let the transfer go.

    The transfer is judged from its evidence as a station would, the transaction is finished and judged anew, and put
    into the outbox. Nothing is sent yet. A charter with witnesses needs a checkpoint that they cosigned after
    signatures were asked for: the one under the evidence that cosigners signed by will do.
    """
    desk = coordinator()
    with desk.work(passphrase_file) as work:
        history = work.custodian.history()
        found = find_transfer(transfer_id, history)
        _unlock(work, history)
        released = work.custodian.release(found)
        history = work.custodian.history()
    output().emit(
        {"transfer": found.hex(), "txid": txid(released.txid)},
        f"transfer {found.hex()} is released as transaction {txid(released.txid)}",
    )
    tell_next(desk, history.transfer(found), history)


@click.command(cls=Verb)
def deliver() -> None:
    """Send every released transfer to the network.

    The gate runs again before each. Delivering again does no harm: a transfer stays in the outbox until it is settled.
    One whose coin is gone after a reorganisation is left out and named.
    """
    desk = coordinator()
    with desk.work() as work:
        sent = work.custodian.deliver()
    warn_stuck(stuck(desk.history(), desk.outbox()))
    output().emit(
        {"sent": [{"transfer": each.transfer.hex(), "txid": txid(each.txid)} for each in sent]},
        "\n".join(f"sent {txid(each.txid)} (transfer {each.transfer.hex()[:SHORT]})" for each in sent),
    )
    # A node is not mined on from here, be it on regtest.
    mining = " (on regtest: custody regtest mine 1)" if desk.settings.chain == "kernel" else ""
    output().next_step(f"custody observe, until it is deep enough{mining}")
