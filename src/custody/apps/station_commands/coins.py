"""How does an officer release a quarantined coin at a machine of their own?"""

from __future__ import annotations

import click

from custody.apps.asking import confirm
from custody.apps.files import read_alone, refuse_existing
from custody.apps.keys import open_person, read_key_file
from custody.apps.station_commands.desk import desk
from custody.apps.terminal import Verb, out_option, output, passphrase_option, shown, write_output, yes_option
from custody.apps.views.coin_release import coin_release_asked
from custody.envelope import sign
from custody.transfer.coin_release import CoinReleasePaper, check_coin_release, read_coin_release
from custody.transfer.request import read_reason


@click.command(
    cls=Verb, epilog="Example: custody-station release-coin to-release.json --key aigerim.key.json -o released.json"
)
@click.argument("paper")
@click.option("--key", "keyfile", metavar="KEYFILE", required=True, help="The officer's key file.")
@out_option("the signed release")
@yes_option()
@passphrase_option()
def release_coin(*, paper: str, keyfile: str, out: str, is_confirmed: bool, passphrase_file: str | None) -> None:
    """Look at a quarantined coin, and sign its release.

    The paper is the coordinator's (custody coin release COIN --officer NAME -o FILE). What the coin is worth and where
    it stands is its word: find out by other means who sent it, and why, before you sign.
    """
    given = read_alone(CoinReleasePaper, paper)
    file = read_key_file(keyfile)
    refuse_existing(out)
    place = desk()
    charter, asked = place.charter(), read_coin_release(given.signed)
    reason = read_reason(asked.annex, given.annex)
    output().talk(coin_release_asked(asked, reason, charter))
    confirm("Release this coin?", is_given=is_confirmed)
    signed = sign(asked, open_person(file, passphrase_file))
    check_coin_release(signed, charter)
    write_output(out, CoinReleasePaper(signed=signed, annex=given.annex).to_bytes())
    output().emit(
        {
            "coin": str(asked.outpoint),
            "amount": asked.amount,
            "officer": asked.officer,
            "reason": reason,
            "digest": asked.digest().hex(),
            "file": out,
        },
        f"{asked.officer} releases coin {asked.outpoint}; written to {shown(out)}",
    )
    output().next_step(f"carry {shown(out)} to the coordinator: custody coin release --signed {shown(out)}")
