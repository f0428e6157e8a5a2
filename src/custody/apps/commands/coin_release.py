"""How is a quarantined coin let go, by an officer's word?

The word is signed at once with the officer's key, where that is on this machine; or a paper is written, which the
officer signs on their own (custody-station release-coin) and which comes back.
"""

from __future__ import annotations

import secrets

import click

from custody.apps.commands.transfer_ask import person_of
from custody.apps.coordinator import coordinator, open_own_key, own_clock
from custody.apps.files import read_alone, refuse_existing
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output
from custody.apps.views.coin import releasing_data, releasing_text
from custody.bitcoin.transaction import OutPoint
from custody.custodian import refuse_unreleasable
from custody.envelope import sign
from custody.history.holdings import CoinUnknown, holding
from custody.history.questions import History
from custody.log.entry import SALT_SIZE
from custody.transfer.annex import Annex
from custody.transfer.coin_release import CoinRelease, CoinReleasePaper, read_coin_release
from custody.transfer.request import NONCE_SIZE, ReasonAnnex


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  custody coin release 5f3a...:0 --reason 'the ministry, letter of 3 May' --key aigerim.key.json
  custody coin release 5f3a...:0 --reason 'the ministry, letter of 3 May' --officer Aigerim -o to-release.json
  custody coin release --signed released.json""",
)
@click.argument("coin", metavar="[TXID:N]", required=False)
@click.option("--reason", metavar="TEXT", help="Who sent it, and why it may be spent. It stands in the log.")
@click.option("--key", "keyfile", metavar="KEYFILE", help="An officer's key file.")
@click.option("--officer", metavar="NAME", help="The officer who is to sign it elsewhere; needs -o.")
@out_option("the paper for that officer", is_required=False)
@click.option("--signed", metavar="FILE", help="What an officer signed elsewhere, in place of all of these.")
@passphrase_option()
def release(  # noqa: PLR0913 - click gives each option by its name
    *,
    coin: str | None,
    reason: str | None,
    keyfile: str | None,
    officer: str | None,
    out: str | None,
    signed: str | None,
    passphrase_file: str | None,
) -> None:
    """Let a quarantined coin be spent, by an officer's word.

    A coin is quarantined when nobody was to send it: at an address nobody was given, or before it was given out, or at
    a change address without being our change. Nothing spends it, and no station signs for it, until an officer has
    found out who sent it and releases it. After a reorganisation that moved it, it is to be released again.
    """
    desk = coordinator()
    history = desk.history()
    if signed is not None:
        if any(each is not None for each in (coin, reason, keyfile, officer, out)):
            raise click.UsageError("--signed FILE goes alone: the file says which coin, and why")
        paper = read_alone(CoinReleasePaper, signed)
    elif coin is None or reason is None or (keyfile is None) == (officer is None) or (officer is None) != (out is None):
        raise click.UsageError("say which coin, with --reason, and either --key, or --officer and -o")
    elif officer is not None and out is not None:
        _write_paper(_unsigned(history, OutPoint.parse(coin), reason, officer), history, out)
        return
    else:
        signer = open_own_key(keyfile or "", passphrase_file)
        name = person_of(history.charter, signer.public_key).name
        unsigned = _unsigned(history, OutPoint.parse(coin), reason, name)
        asked = read_coin_release(unsigned.signed)
        paper = CoinReleasePaper(signed=sign(asked, signer), annex=unsigned.annex)
    with desk.work() as work:
        released = work.custodian.release_coin(paper)
        history = work.custodian.history()
    output().emit(releasing_data(released, history), lambda: releasing_text(released, history))


def _write_paper(paper: CoinReleasePaper, history: History, out: str) -> None:
    refuse_existing(out)
    asked = read_coin_release(paper.signed)
    refuse_unreleasable(history, asked)
    write_output(out, paper.to_bytes())
    text = f"written to {shown(out)}, for {asked.officer} to sign"
    output().emit({**releasing_data(asked, history), "file": out}, text)
    output().next_step(f"carry it there: custody-station release-coin {shown(out)} --key KEYFILE -o FILE")


def _unsigned(history: History, outpoint: OutPoint, reason: str, officer: str) -> CoinReleasePaper:
    row = holding(history, outpoint)
    if row is None:
        raise CoinUnknown(outpoint=outpoint)
    annex = Annex.of(ReasonAnnex(reason=reason), secrets.token_bytes(SALT_SIZE))
    released = CoinRelease(
        network=history.charter.network,
        charter=history.charter.digest(),
        vault=row.vault,
        txid=row.txid,
        vout=row.vout,
        amount=row.amount,
        block=row.block,
        officer=history.charter.person(officer).name,
        annex=annex.named,
        issued=own_clock().now(),
        nonce=secrets.token_bytes(NONCE_SIZE),
    )
    return CoinReleasePaper(signed=sign(released), annex=annex)
