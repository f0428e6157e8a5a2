"""How does an officer state an address, and how does a payer verify that, each on a machine without a network?

An officer's station judges the paper with the charter it was told by voice. A payer has neither a station nor a
charter: the payer card is enough, and its 24 words are typed, never read off the file that is to be checked.
"""

from __future__ import annotations

import click

from custody.apps.asking import confirm, read_words
from custody.apps.files import read_alone, read_signed, refuse_existing
from custody.apps.keys import open_person, read_key_file
from custody.apps.pasted import Spoken
from custody.apps.station_commands.desk import desk
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output, yes_option
from custody.apps.views.statement import (
    stating_data,
    stating_screen,
    verified_data,
    verified_screen,
)
from custody.charter.card import PayerCard
from custody.examine.statement import (
    AddressStatement,
    StatementPaper,
    check_signer,
    compare_statement,
    signed_so_far,
    verify_statement,
)
from custody.words import check_spoken


@click.command(
    cls=Verb,
    epilog="Example: custody-station statement for-officers.json --key aigerim.key.json -o stated.json",
)
@click.argument("paper")
@click.option("--key", "keyfile", metavar="KEYFILE", required=True, help="The officer's key file.")
@click.option("--signed", "signed_file", metavar="FILE", help="The statement with other officers' signatures.")
@click.option(
    "--words",
    type=Spoken(),
    metavar="TEXT",
    help="The statement's 24 words as another officer reads them: others are refused.",
)
@out_option("the signed statement, for the payer or the next officer")
@yes_option()
@passphrase_option()
def statement(  # noqa: PLR0913 - click gives each option by its name
    *,
    paper: str,
    keyfile: str,
    signed_file: str | None,
    words: str | None,
    out: str,
    is_confirmed: bool,
    passphrase_file: str | None,
) -> None:
    """Examine an address, and sign an officer's statement.

    It says that the address is the vault's. The address is derived here from the trusted charter, and its issuing is
    looked up in a witnessed log. Compare it with a signing device too: custody-station address --device. Officers sign
    in turn: each gives the file that the one before has written with --signed.
    """
    given = read_alone(StatementPaper, paper)
    signed = None if signed_file is None else read_signed(AddressStatement, signed_file)
    file = read_key_file(keyfile)
    refuse_existing(out)
    place = desk()
    with place.alone():
        found = place.station.examine_statement(given)
    officer = check_signer(found.charter, file.header.identity)
    output().talk(stating_screen(found, signed_so_far(signed, found.statement, found.quorum)))
    if words is not None:
        check_spoken(found.statement.digest(), words)
    confirm("Sign this statement?", is_given=is_confirmed)
    signer = open_person(file, passphrase_file)
    with place.alone():
        made = place.station.sign_statement(given, signer, signed)
    write_output(out, made.to_bytes())
    tally = signed_so_far(made, found.statement, found.quorum)
    output().emit(
        {**stating_data(found, tally), "file": out, "officer": officer},
        f"{officer} states {found.statement.address}\n"
        f"  {len(tally.acted)} of {tally.threshold} officers have signed; written to {shown(out)}",
    )
    if tally.is_met:
        output().next_step(f"give {shown(out)} to the payer, with the payer card; the paper stays here")
    else:
        output().next_step(
            f"another officer: custody-station statement {shown(paper)} --signed {shown(out)} --key KEYFILE -o FILE"
        )


@click.command(
    "verify-statement",
    cls=Verb,
    epilog="Example: custody-station verify-statement stated.json card.json --payer 'Ministry of Justice'",
)
@click.argument("statement_file", metavar="STATEMENT")
@click.argument("card_file", metavar="CARD")
@click.option("--words", type=Spoken(), metavar="TEXT", help="The card's 24 words, as the institution told them.")
@click.option("--payer", metavar="TEXT", help="Who you are: a statement for another payer is refused.")
@click.option("--address", "pay_to", metavar="ADDRESS", help="What your wallet is about to pay: others are refused.")
def verify(*, statement_file: str, card_file: str, words: str | None, payer: str | None, pay_to: str | None) -> None:
    """Verify, before you pay, what officers state.

    Nothing but the statement, the card and its 24 words is needed: no station is set up and no charter trusted.
    Have the words from the institution over a line you trust, and not from whoever sent you the files.
    """
    envelope, card = read_signed(AddressStatement, statement_file), read_alone(PayerCard, card_file)
    spoken = read_words(() if words is None else (words,), "the payer card")
    check_spoken(card.digest(), spoken)
    found = verify_statement(envelope, card, desk().clock.now())
    compare_statement(found.statement, payer, pay_to)
    compared = [what for what, given in (("payer", payer), ("address", pay_to)) if given is not None]
    output().emit(verified_data(found, compared), lambda: verified_screen(found, compared))
