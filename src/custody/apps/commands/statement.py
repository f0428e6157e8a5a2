"""How do officers come to state an address: what is written for them, and who has signed so far?

The paper is for officers: it holds the charter and the log. What they sign leaves their stations without either, and is
for the payer. Before a paper is written it is judged here as a station would.
"""

from __future__ import annotations

import click

from custody.apps.commands.readers import reader_options, since_of
from custody.apps.coordinator import Coordinator, coordinator, own_clock
from custody.apps.files import read_signed, refuse_existing
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output
from custody.apps.views.judgement import tally_data
from custody.apps.views.layout import block, screen, table, words_block
from custody.apps.views.statement import (
    signers_text,
    statement_data,
    statement_lines,
)
from custody.charter.card import card_of
from custody.envelope import Envelope, unsafe_payload
from custody.examine.shown import refuse_long
from custody.examine.statement import (
    DAY,
    MAX_DAYS,
    AddressNotIssued,
    AddressStatement,
    StatementMismatch,
    examine_own_statement,
    signed_so_far,
    state_address,
    write_paper,
)
from custody.history import lists
from custody.history.questions import History
from custody.log import SignedCheckpoint
from custody.logbook import annex_of, read_entries
from custody.transfer.address import AddressIssued


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  custody vault statement reserve 0 -o for-officers.json
  custody vault statement reserve 0 --signed from-aigerim.json""",
)
@click.argument("name")
@click.argument("index", type=int)
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=30, show_default=True, help="How long a new statement holds."
)
@click.option("--signed", "signed_file", metavar="FILE", help="A statement that officers have begun to sign.")
@out_option("the paper for officers", is_required=False)
@reader_options()
@passphrase_option("the coordinator's key")
def statement(  # noqa: PLR0913 - click gives each option by its name
    *,
    name: str,
    index: int,
    days: int,
    signed_file: str | None,
    out: str | None,
    readers: tuple[str, ...],
    since: int | None,
    is_whole: bool,
    passphrase_file: str | None,
) -> None:
    """Write the paper by which officers state an address.

    Each officer signs at a station of their own (custody-station statement); what comes out there is for the payer.
    With --signed it shows who has signed that statement and who is missing, and -o writes a fresh paper for the next.

    A charter with witnesses needs a checkpoint that they cosigned after the address was issued (custody log
    checkpoint).
    """
    if out is None and signed_file is None:
        raise click.UsageError("give -o FILE for a new statement, or --signed FILE to see how far one has come")
    if out is not None:
        refuse_existing(out)
    signed = None if signed_file is None else read_signed(AddressStatement, signed_file)
    desk, now = coordinator(), own_clock().now()
    history = desk.history()
    checkpoint = _checkpoint(desk, history, passphrase_file)
    issued = _issued(history, name, index)
    with desk.store.read() as view:
        annex = annex_of(history, view, issued.annex)
    asked = state_address(issued, annex, history.charter, checkpoint.checkpoint, now, days * DAY)
    if signed is not None:
        asked = _begun(signed, history, name, index)
    begin = since_of(history, readers, since, is_whole=is_whole)
    # What no officer would sign is not written.
    found = examine_own_statement(asked, annex, history, checkpoint, now)
    tally = signed_so_far(signed, asked, found.quorum)
    if out is not None and annex is not None:
        refuse_long(begin, checkpoint.checkpoint.size)
        entries = read_entries(desk.store, begin, checkpoint.checkpoint.size)
        paper = write_paper(asked, annex, history.charter_envelope, checkpoint, entries, begin)
        write_output(out, paper.to_bytes())
    card = card_of(found.charter)
    output().emit(
        {
            **statement_data(asked),
            **tally_data(tally, card.name_of),
            "file": out,
        },
        lambda: screen(
            block(f"Statement of an address of vault {name}", statement_lines(asked)),
            block("Officers", table(signers_text(tally, card))),
            words_block("Statement", asked.digest()),
        ),
    )
    if tally.is_met:
        output().next_step(
            f"give {shown(signed_file or '')} and the card (custody charter card) to the payer: "
            "custody-station verify-statement STATEMENT CARD"
        )
    elif out is not None:
        more = "" if signed_file is None else f" --signed {shown(signed_file)}"
        output().next_step(
            f"at an officer's station: custody-station statement {shown(out)}{more} --key KEYFILE -o FILE"
        )


def _checkpoint(desk: Coordinator, history: History, passphrase_file: str | None) -> SignedCheckpoint:
    """The newest checkpoint that witnesses have cosigned; without witnesses, one of the log as it stands."""
    with desk.store.read() as view:
        note = view.checkpoint()
    if note is not None and history.charter.witnesses:
        return SignedCheckpoint.parse(note)
    with desk.work(passphrase_file) as work:
        work.key.unlock()
        return SignedCheckpoint.parse(work.custodian.showing.checkpoint().checkpoint)


def _issued(history: History, name: str, index: int) -> AddressIssued:
    row = lists.address(history, history.charter.vault(name).id, index)
    if row is None:
        raise AddressNotIssued(vault=name, index=index, size=history.size)
    return history.read(AddressIssued, row.issued)


def _begun(signed: Envelope, history: History, name: str, index: int) -> AddressStatement:
    """The statement that officers have begun to sign, when it is of the address that was named.

    Raises:
        StatementMismatch: it is of another.
    """
    asked = unsafe_payload(signed, AddressStatement)
    vault = history.charter.vault(name)
    if asked.vault != vault.id:
        raise StatementMismatch(what="vault", stated=asked.vault.hex(), expected=vault.id.hex())
    if asked.index != index:
        raise StatementMismatch(what="index", stated=str(asked.index), expected=str(index))
    return asked
