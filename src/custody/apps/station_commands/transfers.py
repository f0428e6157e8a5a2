"""How does a person look at a transfer, approve it, and let a key sign it?

Evidence is examined before anything is asked, and the station examines it again when it acts; both read the same bytes
in memory. The screen goes to stderr, next to the question, so that it cannot be redirected out of sight.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

import click

from custody.apps.asking import confirm
from custody.apps.devices import check_one_key, device_option, device_signer, emulator_option
from custody.apps.files import read_alone, refuse_existing
from custody.apps.keys import open_cosigner, open_person, read_key_file
from custody.apps.pasted import Spoken
from custody.apps.station_commands.desk import Desk, desk, unsafe_option
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output, yes_option
from custody.apps.views.examination import examination_data, examination_screen
from custody.apps.views.layout import counted
from custody.backends.keyfile import Purpose, refuse_other_purpose
from custody.dates import moment
from custody.envelope import unsafe_payload
from custody.examine.evidence import Evidence, Stage
from custody.examine.examination import Examination
from custody.ports import Signer
from custody.station import Asked, Asking, asked_of, refuse_settled, speaker
from custody.transfer.approval import Approval, Opinion
from custody.transfer.request import NONCE_SIZE
from custody.words import check_spoken

DAY: Final = 86_400
MAX_DAYS: Final = 90
_ASKED: Final = {
    Asked.ONCE: "",
    Asked.TWICE: ", twice and both times the same",
    Asked.NOT_COMPARABLE: ", once: Schnorr signatures may differ each time, so that a second one shows nothing",
}
_Command = TypeVar("_Command", bound=Callable[..., None])


def _words_option() -> Callable[[_Command], _Command]:
    return click.option(
        "--words",
        type=Spoken(),
        metavar="TEXT",
        help="The transfer's 24 words as somebody else reads them: another transfer is then refused.",
    )


@click.command(
    cls=Verb,
    epilog="Example: custody-station approve transfer.evidence.json --key aigerim.key.json -o approval.json",
)
@click.argument("evidence")
@click.option("--key", "keyfile", metavar="KEYFILE", required=True, help="The officer's key file.")
@click.option("--veto", "is_veto", is_flag=True, help="Say no, for good: the transfer then ends.")
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=7, show_default=True, help="How long the approval holds."
)
@out_option("the approval")
@_words_option()
@yes_option()
@passphrase_option()
def approve(  # noqa: PLR0913 - click gives each option by its name
    *,
    evidence: str,
    keyfile: str,
    is_veto: bool,
    days: int,
    out: str,
    words: str | None,
    is_confirmed: bool,
    passphrase_file: str | None,
) -> None:
    """Examine a transfer, and sign an officer's yes, or no.

    Read the payees, compare the 24 words with the other officers over a line you trust, then answer.
    """
    given = read_alone(Evidence, evidence)
    file = read_key_file(keyfile)
    refuse_existing(out)
    place = desk()
    found = _examine(place, given, Stage.APPROVE)
    verdict = Opinion.VETO if is_veto else Opinion.APPROVE
    # Whoever may not answer need not read it all first.
    refuse_other_purpose(file, Purpose.DOCUMENTS)
    speaker(found, file.header.identity, verdict)
    _show(found, place, words)
    confirm("Veto this transfer?" if is_veto else "Approve this transfer?", is_given=is_confirmed)
    officer = open_person(file, passphrase_file)
    with place.alone():
        signed = place.station.approve(given, officer, verdict, secrets.token_bytes(NONCE_SIZE), days * DAY)
    approval = unsafe_payload(signed, Approval)
    write_output(out, signed.to_bytes())
    done = "vetoes" if is_veto else "approves"
    output().emit(
        {
            **examination_data(found),
            "file": out,
            "officer": approval.officer,
            "opinion": approval.verdict.value,
            "expires": approval.expires,
        },
        f"{approval.officer} {done} transfer {found.transfer_id.hex()}\n"
        f"  until {moment(approval.expires)}; written to {shown(out)}",
    )
    output().next_step(f"carry {shown(out)} to the coordinator: custody transfer approve {shown(out)}")


@click.command(
    cls=Verb, epilog="Example: custody-station sign transfer.evidence.json --key almaty.key.json -o almaty.psbt"
)
@click.argument("evidence")
@click.option("--key", "keyfile", metavar="KEYFILE", help="The cosigner's key file.")
@device_option("The hardware device that holds the cosigner's key, in place of --key.")
@emulator_option()
@click.option(
    "--twice",
    "is_twice",
    is_flag=True,
    help="Have it sign twice, and refuse two answers that differ. So it is done where the charter asks for it.",
)
@out_option("the signed PSBT")
@_words_option()
@yes_option()
@passphrase_option()
@unsafe_option()
def sign(  # noqa: PLR0913 - as above
    *,
    evidence: str,
    keyfile: str | None,
    device: str | None,
    is_emulator: bool,
    is_twice: bool,
    out: str,
    words: str | None,
    is_confirmed: bool,
    passphrase_file: str | None,
    is_risk_accepted: bool,
) -> None:
    """Examine a transfer and its approvals, and sign it with a cosigner's key, from a file or in a device.

    A signed transaction is like a cheque: with enough signatures anybody can send it, and it stays valid until one of
    its coins is spent otherwise. What this machine cannot check is listed on the screen.
    """
    check_one_key(keyfile, device, is_emulator=is_emulator)
    given = read_alone(Evidence, evidence)
    file = None if keyfile is None else read_key_file(keyfile)
    refuse_existing(out)
    place = desk()
    found = _examine(place, given, Stage.SIGN)
    refuse_settled(found)
    if file is not None:
        found.vault.cosigner_of(file.header.identity)
    _show(found, place, words)
    asking = Asking.TWICE if is_twice else Asking.AS_STATED
    signer: Signer
    if file is None:
        signer = _device(device or "", found, is_emulator=is_emulator)
        if asked_of(found, signer.fingerprint, asking) is Asked.TWICE:
            output().talk("it is asked twice for the same, and its answers are compared: confirm on it both times")
        confirm("Sign this transfer?", is_given=is_confirmed)
        output().talk("now read the transfer on the device, and answer there")
    else:
        confirm("Sign this transfer?", is_given=is_confirmed)
        signer = open_cosigner(file, passphrase_file, is_risk_accepted=is_risk_accepted)
    with place.alone():
        answer = place.station.sign(given, signer, asking)
    write_output(out, answer.psbt.to_psbt().serialize())
    who = found.vault.shown([signer.fingerprint])
    count = sum(len(each.signatures) for each in answer.signed)
    output().emit(
        {
            **examination_data(found),
            "file": out,
            "cosigner": signer.fingerprint.hex(),
            "signatures": count,
            "asked": answer.asked.value,
        },
        f"transfer {found.transfer_id.hex()}\n"
        f"  signed by {who} on {counted(count, 'input')}{_ASKED[answer.asked]}; written to {shown(out)}",
    )
    output().next_step(
        f"carry {shown(out)} to the coordinator: custody transfer combine {found.transfer_id.hex()[:12]} {shown(out)}"
    )


def _device(name: str, found: Examination, *, is_emulator: bool) -> Signer:
    """The device that holds a key of the transfer's vault, once its holder was told what it will show.

    Raises:
        CustodyError: as `device_signer`.
    """
    signer = device_signer(name, found.vault, is_emulator=is_emulator)
    notes = signer.notes(found.psbt.to_psbt())
    output().talk(
        "\n".join(
            (f"{signer.device} signs as {found.vault.shown([signer.fingerprint])}", *(f"  {each}" for each in notes))
        )
    )
    return signer


def _examine(place: Desk, evidence: Evidence, stage: Stage) -> Examination:
    with place.alone():
        return place.station.examine(evidence, stage)


def _show(found: Examination, place: Desk, words: str | None) -> None:
    """Put the transfer before the person who decides; `words` are what somebody else reads, if they were typed.

    Raises:
        WordsMismatch: somebody else looks at another transfer.
    """
    output().talk(examination_screen(found, place.clock.now()))
    if words is not None:
        check_spoken(found.transfer_id, words)
