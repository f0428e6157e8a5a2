"""How does a transfer leave for any other software as a plain PSBT, and come back with signatures?

Stations get evidence, from which they judge. Other software gets a PSBT, from which it can judge amounts and addresses
only; so it leaves when a station would sign. What comes back is judged like a station's answer, whatever made it.
"""

from __future__ import annotations

from pathlib import Path

import click

from custody.apps.commands.telling import tell_next
from custody.apps.commands.transfer_sign import advance
from custody.apps.coordinator import NEWEST, OpenCoordinator, coordinator, find_transfer
from custody.apps.files import read_psbt_or_transaction, refuse_existing
from custody.apps.terminal import (
    Verb,
    out_option,
    output,
    passphrase_option,
    shown,
    write_output,
)
from custody.apps.views.layout import SHORT, spoken
from custody.apps.views.signatures import Outcome, Taken, signatures_data, signatures_text, taken_data, taken_text
from custody.bitcoin.profile import MAX_FILE
from custody.history import lists
from custody.transfer.plain import as_answer, read_returned
from custody.words import show_words


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  custody transfer export 3fd1c0a9b2 -o transfer.psbt
  custody transfer export newest > transfer.txt""",
)
@click.argument("transfer_id", metavar="ID")
@out_option("the PSBT", is_required=False)
@click.option(
    "--base64", "is_base64", is_flag=True, help="Write text instead of the binary form; printed it always is."
)
@passphrase_option("the coordinator's key")
def export(*, transfer_id: str, out: str | None, is_base64: bool, passphrase_file: str | None) -> None:
    """Write a transfer as a plain PSBT, for any software to sign.

    It holds the previous transactions, where every key comes from, and the signatures so far (BIP 174, version 0).
    What it cannot hold is what a station judges by: the charter, the approvals and the log. So it leaves only once
    signatures were asked for (custody transfer evidence ID --for sign) and a station would sign; and with enough
    signatures to be sent only once the transfer was released.
    """
    if out is not None:
        refuse_existing(out)
    with coordinator().work(passphrase_file) as work:
        found = find_transfer(transfer_id, work.custodian.history())
        psbt = work.custodian.psbt(found).to_psbt()
        transfer = work.custodian.history().transfer(found)
    text = psbt.to_base64()
    if out is not None:
        write_output(out, f"{text}\n".encode("ascii") if is_base64 else psbt.serialize())
    signed = [each.cosigner.hex() for each in transfer.signed]
    output().emit(
        {"transfer": found.hex(), "words": show_words(found), "psbt": text, "signed": signed, "file": out},
        text if out is None else f"plain PSBT of transfer {found.hex()}: {shown(out)}\n{spoken(found)}",
    )
    output().talk("whoever signs it judges by their own screen: payees, amounts and fee, and not the charter's rules")
    if transfer.release is None:
        output().next_step(f"with what comes back: custody transfer import {found.hex()[:SHORT]} FILE")
    else:
        output().next_step("it is released, so anybody may send it; from here: custody transfer deliver")


@click.command(
    name="import",
    cls=Verb,
    epilog="""\b
Examples:
  custody transfer import 3fd1c0a9b2 from-sparrow.psbt from-bitcoind.txt
  custody transfer import signed.psbt""",
)
@click.argument("words", metavar="[ID] FILE...", nargs=-1, required=True)
def import_files(*, words: tuple[str, ...]) -> None:
    """Take signatures from what any software gives back.

    A FILE is a PSBT (version 0 or 2), finished or not, or the transaction in hexadecimal. The PSBT may be binary,
    base64 or hexadecimal, or stand in the JSON that hwi or bitcoin-cli printed; which it was is said. Signatures by
    the vault's keys are taken from it, each verified, and nothing else of it is believed. Whose transfer it is, its
    transaction says; with ID it must be that one. A cosigner counts whose signature is on every input.

    With enough of them the transaction is finished and judged by every independent judge, as by transfer combine.
    """
    name, files = _split(words)
    desk = coordinator()
    with desk.work() as work:
        found = None if name is None else find_transfer(name, work.custodian.history())
        taken = [_take(work, path, found) for path in files]
        reached = [advance(work, each) for each in dict.fromkeys(each.transfer for each in taken)]
    output().emit(
        {"files": [taken_data(each) for each in taken], "transfers": [signatures_data(each) for each in reached]},
        lambda: "\n\n".join(map(signatures_text, reached)),
    )
    for each in reached:
        if each.transfer.verified is None:
            name = each.transfer.id.hex()[:SHORT]
            output().next_step(f"have another cosigner sign: custody transfer export {name} -o FILE, then import it")
        else:
            tell_next(desk, each.transfer, each.history)


def _split(words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The id, if the first word is one, and the files. A word that names a file is a file."""
    first, *rest = words
    is_id = first.lower() == NEWEST or not set(first.lower()) - set("0123456789abcdef")
    if not is_id or Path(first).exists():
        return None, words
    if not rest:
        raise click.UsageError("give the files that came back")
    return first, tuple(rest)


def _take(work: OpenCoordinator, path: str, named: bytes | None) -> Taken:
    returned = read_returned(read_psbt_or_transaction(path, MAX_FILE))
    history = work.custodian.history()
    unsigned = returned.unsigned_transaction.stripped()
    transfer = lists.transfer_of(history, unsigned) if named is None else history.transfer(named)
    answer = as_answer(returned, transfer.draft, history.charter)
    before = {each.cosigner for each in transfer.signed}
    signed = [each.cosigner for each in work.custodian.receive(transfer.id, answer.psbt)]
    after = {each.cosigner for each in work.custodian.history().transfer(transfer.id).signed}
    taken = Taken(path, transfer.id, dict.fromkeys(answer.partial, Outcome.PARTIAL))
    for each in signed:
        taken.cosigners[each] = Outcome.KNOWN if each in before else Outcome.TAKEN if each in after else Outcome.LATE
    output().talk(taken_text(taken))
    return taken
