"""How does a station learn whom to believe, who signs a charter, and which addresses are a vault's own?

The charter's digest is told by voice and typed, never read off the file that is to be checked: a screen that showed the
words first would be asking a person to repeat them.
"""

from __future__ import annotations

import click

from custody.apps.asking import confirm, read_words
from custody.apps.devices import check_emulator, device_option, device_signer, emulator_option, shown_on_device
from custody.apps.files import read_signed, refuse_existing
from custody.apps.keys import KeyNotListed, open_person, read_key_file
from custody.apps.pasted import Spoken
from custody.apps.station_commands.desk import desk
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output, yes_option
from custody.apps.vaults import compare_vault_in
from custody.apps.views.charter import charter_data, charter_screen
from custody.apps.views.layout import block, grouped, in_words, screen, table, words_block
from custody.apps.views.station import began, began_data
from custody.backends.keyfile import KeyFileHeader
from custody.charter.document import Charter, read_charter, unsigned_by, verify_charter
from custody.dates import moment
from custody.envelope import add_signature, show_key
from custody.vault.descriptor import Branch
from custody.words import show_words


@click.command(cls=Verb, epilog="Example: custody-station trust charter.json  (the 24 words are then asked for)")
@click.argument("charter_file")
@click.argument("words", nargs=-1, type=Spoken())
@click.option(
    "--digest", type=Spoken(), metavar="HEX", help="The digest as 64 hexadecimal digits, in place of 24 words."
)
def trust(*, charter_file: str, words: tuple[str, ...], digest: str | None) -> None:
    """Trust the charter whose 24 words were told to you by voice.

    Have the words read to you over a line you trust, by somebody who took part in signing. This program shows them
    only after you have typed them.
    """
    if words and digest:
        raise click.UsageError("give the 24 words or --digest, not both")
    envelope = read_signed(Charter, charter_file)
    spoken = read_words([digest] if digest else words, "the charter")
    place = desk()
    with place.alone():
        charter = place.station.trust(envelope, spoken)
        place.keep_charter(envelope)
    output().emit(charter_data(charter, ()), lambda: _trusted_screen(charter))
    output().next_step("compare each vault's first address with your signing device")


def _trusted_screen(charter: Charter) -> str:
    return screen(charter_screen(charter, ()), words_block("This charter, trusted here from now on,", charter.digest()))


@click.command(
    "sign-charter",
    cls=Verb,
    epilog="Example: custody-station sign-charter charter.json --key aigerim.key.json -o charter-aigerim.json",
)
@click.argument("charter_file")
@click.option("--key", "keyfile", metavar="KEYFILE", required=True, help="Key file of somebody the charter lists.")
@out_option("the charter with your signature")
@yes_option()
@passphrase_option()
def sign_charter(
    *,
    charter_file: str,
    keyfile: str,
    out: str,
    is_confirmed: bool,
    passphrase_file: str | None,
) -> None:
    """Show a charter and its 24 words, then add your signature.

    Compare the words with everybody else who signs: it is the same charter only if all read the same 24.
    """
    envelope = read_signed(Charter, charter_file)
    charter, missing = read_charter(envelope), unsigned_by(envelope)
    file = read_key_file(keyfile)
    refuse_existing(out)
    signer_name = _listed(charter, file.header)
    output().talk(screen(charter_screen(charter, missing), words_block("This charter", charter.digest())))
    confirm(f"Sign this charter as {signer_name}?", is_given=is_confirmed)
    signed = add_signature(envelope, open_person(file, passphrase_file))
    write_output(out, signed.to_bytes())
    still = unsigned_by(signed)
    output().emit(
        {"file": out, "signer": signer_name, **charter_data(charter, still)},
        f"charter signed as {signer_name}, written to {shown(out)}",
    )
    output().next_step(
        f"still to sign: {', '.join(still)}"
        if still
        else "everyone has signed; read the 24 words to all who will trust it: custody-station trust"
    )


def _listed(charter: Charter, header: KeyFileHeader) -> str:
    """The name under which the charter lists a key file's key."""
    for name, key in charter.signers():
        if key == header.identity:
            return name
    raise KeyNotListed(role="person, coordinator or witness", key=show_key(header.identity))


@click.command(cls=Verb, epilog="Example: custody-station address charter.json reserve 5")
@click.argument("charter_file")
@click.argument("vault")
@click.argument("index", type=int)
@click.option("--change", "is_change", is_flag=True, help="On the change branch.")
@click.option("--descriptor", metavar="FILE", help="Compare with the descriptor in FILE, with its checksum.")
@device_option("Have this hardware device show the address as well, and compare.")
@emulator_option()
def address(  # noqa: PLR0913 - click gives each option by its name
    *,
    charter_file: str,
    vault: str,
    index: int,
    is_change: bool,
    descriptor: str | None,
    device: str | None,
    is_emulator: bool,
) -> None:
    """Print a vault's address, derived here from the trusted charter.

    Use it before you give out an address that a coordinator's screen or database shows.
    """
    check_emulator(device is not None, is_emulator=is_emulator)
    place = desk()
    envelope = read_signed(Charter, charter_file)
    if descriptor is not None:
        compare_vault_in(descriptor, verify_charter(envelope, place.station.state().charter), vault)
    branch = Branch.CHANGE if is_change else Branch.RECEIVE
    derived = place.station.address(envelope, vault, branch, index)
    if device is not None:
        known = verify_charter(envelope, place.station.state().charter).vault(vault)
        shown_on_device(device_signer(device, known, is_emulator=is_emulator), known, branch, index)
    output().emit({"vault": vault, "branch": int(branch), "index": index, "address": derived}, derived)
    if not output().is_json:
        output().talk("\n".join(f"  {line}" for line in grouped(derived)))
    output().next_step("compare every group with what the coordinator and your signing device show")


@click.command(cls=Verb)
@click.option(
    "--deep", "is_deep", is_flag=True, help="Add up the rows that the state is the digest of: was one changed here?"
)
def status(*, is_deep: bool) -> None:
    """Show which charter this station trusts and how far it has seen the log."""
    place = desk()
    known, now = place.station.state(), place.clock.now()
    if is_deep:
        place.station.verify()
    seen = place.station.seen()
    charter = place.charter()
    rows = [
        ("institution", f"{charter.institution}, network {known.network}"),
        ("charter", f"version {known.charter_version}, {known.charter.hex()}"),
        ("log", f"{known.origin}, seen up to {seen.size} entries"),
        ("began", began(known.start, seen.size)),
        ("root", seen.frontier.root.hex() if seen.size else "nothing seen yet"),
        ("state", f"{seen.digest().hex()}{', by every row it covers' if is_deep else ''}"),
        ("witnessed", moment(known.witnessed_at) if known.witnessed_at else "not yet"),
        ("clock here", moment(now)),
        ("folder", shown(place.folder)),
    ]
    output().emit(
        {
            "institution": charter.institution,
            "network": known.network.value,
            "charter": known.charter.hex(),
            "words": show_words(known.charter),
            "origin": known.origin,
            "size": seen.size,
            "began": began_data(known.start, seen.size),
            "root": seen.frontier.root.hex(),
            "state": seen.digest().hex(),
            "is_deep": is_deep,
            "witnessed_at": known.witnessed_at,
            "now": now,
        },
        lambda: screen(block("This station trusts", table(rows)), in_words(known.charter, "Its charter in")),
    )
