"""How does a charter come to be: written as text, signed by everyone on copies, joined again, and shown?

A signature is taken over only when it is by somebody the charter lists and verifies. Signing itself happens on each
person's own machine: custody-station sign-charter.
"""

from __future__ import annotations

import click

from custody.apps.commands.charter_template import TEMPLATE
from custody.apps.coordinator import coordinator
from custody.apps.files import read_signed, read_text
from custody.apps.terminal import Verb, out_option, output, shown, write_output
from custody.apps.views.charter import charter_data, charter_screen
from custody.apps.views.layout import in_words, screen, spoken
from custody.apps.views.statement import card_data, card_screen
from custody.charter.card import card_of
from custody.charter.document import Charter, read_charter, unsigned_by
from custody.charter.text import MAX_CHARTER_TEXT, parse_charter
from custody.envelope import merged, sign
from custody.errors import InvalidInput
from custody.words import show_words


class CharterDiffers(InvalidInput, code="CHARTER_DIFFERS"):
    """Two files that should be signed copies of one charter, and are not."""

    message = "{path} holds the charter {actual}, and the first file {expected}"
    hint = "Signatures on one text say nothing about another: send everybody the same file, and compare its words."
    path: str
    expected: str
    actual: str


@click.command(cls=Verb, epilog="Example: custody charter template > charter.toml")
def template() -> None:
    """Print a charter's text to fill in.

    It is TOML with a comment at each part. Nothing in it may be a private key: people, witnesses and the coordinator
    are listed by public keys.
    """
    output().emit({"toml": TEMPLATE}, TEMPLATE.rstrip("\n"))


@click.command(cls=Verb, epilog="Example: custody charter new charter.toml -o charter.json")
@click.argument("toml_file", metavar="TOML")
@out_option("the unsigned charter")
def new(*, toml_file: str, out: str) -> None:
    """Make the document to be signed from a charter's text.

    The text is checked as a whole: names, keys, vaults, payees, and that no vault is left without approvals or a cap on
    fees. What is written carries no signature yet.
    """
    charter = parse_charter(read_text(toml_file, MAX_CHARTER_TEXT, "the charter's text"), _note)
    envelope = sign(charter)
    write_output(out, envelope.to_bytes())
    _tell(charter, unsigned_by(envelope))
    output().next_step(
        f"everyone it lists signs a copy: custody-station sign-charter {shown(out)} --key KEYFILE -o OUT"
    )


@click.command(cls=Verb, epilog="Example: custody charter merge from-dana.json from-bolat.json -o charter.json")
@click.argument("files", nargs=-1, required=True)
@out_option("the charter with all signatures")
def merge(*, files: tuple[str, ...], out: str) -> None:
    """Join the signatures that people made on copies of one charter.

    Every signature is verified. Signatures by people the charter does not list are left out.
    """
    copies = [(path, read_signed(Charter, path)) for path in files]
    charter = read_charter(copies[0][1])
    listed = {key for _, key in charter.signers()}
    for path, envelope in copies:
        other = read_charter(envelope)
        if other.digest() != charter.digest():
            raise CharterDiffers(path=shown(path), expected=charter.digest().hex(), actual=other.digest().hex())
        unsigned_by(envelope)  # verifies every signature by somebody who is listed
    signed = merged([envelope for _, envelope in copies], listed)
    missing = unsigned_by(signed)
    write_output(out, signed.to_bytes())
    _tell(charter, missing)
    if missing:
        output().next_step(f"have it signed by {', '.join(missing)}, and merge again")
    else:
        output().next_step(f"everyone trusts it by voice: custody-station trust {shown(out)}, and here: custody init")


@click.command(cls=Verb, epilog="Example: custody charter card -o card.json")
@out_option("the payer card")
def card(*, out: str) -> None:
    """Write the payer card, by which outsiders verify addresses.

    It lists the officers, their keys, and how many must have signed for each vault; no keys of coins, no rules. Payers
    compare its 24 words with what the institution says, so publish the words from an officer's own station
    (custody-station inspect CARD), and never from this screen.
    """
    made = card_of(coordinator().charter())
    write_output(out, made.to_bytes())
    output().emit(card_data(made), lambda: card_screen(made))
    output().next_step(f"at an officer's station: custody-station inspect {shown(out)}; publish the words it shows")


@click.command(cls=Verb)
@click.argument("file", required=False)
def show(*, file: str | None) -> None:
    """Show a charter: who signed, who is missing, vaults, rules.

    Without FILE it is the charter in force here. Its 24 words come last: compare them aloud.
    """
    envelope = coordinator().history().charter_envelope if file is None else read_signed(Charter, file)
    charter, missing = read_charter(envelope), unsigned_by(envelope)
    output().emit(
        charter_data(charter, missing),
        lambda: screen(charter_screen(charter, missing), in_words(charter.digest())),
    )


def _note(told: str) -> None:
    output().talk(f"note: {told}")


def _tell(charter: Charter, missing: tuple[str, ...]) -> None:
    digest = charter.digest()
    signed = sum(1 for _ in charter.signers()) - len(missing)
    text = [
        f"Charter version {charter.version} of {charter.institution}, network {charter.network}",
        spoken(digest),
        f"  {digest.hex()}",
        f"  signed by {signed}, missing: {', '.join(missing) or 'nobody'}",
    ]
    output().emit(
        {"digest": digest.hex(), "words": show_words(digest), "signed": signed, "missing": list(missing)},
        "\n".join(text),
    )
