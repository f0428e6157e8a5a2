"""What does a release of a quarantined coin say, signed or to be signed?"""

from __future__ import annotations

from custody.apps.views.framing import Shown, framed_paper
from custody.apps.views.layout import Cell, Theirs, bitcoin, block, listed, said, sats, screen, table
from custody.apps.views.papers import document_data, signed_by, vault_name
from custody.charter.document import Charter
from custody.dates import moment
from custody.envelope import Envelope, unsafe_payload
from custody.transfer.annex import Annex
from custody.transfer.coin_release import CoinRelease
from custody.transfer.request import read_reason


def coin_release_paper(envelope: Envelope, annex: Annex | None, charter: Charter | None) -> Shown:
    """A release of a coin, with its reason when the annex is there.

    Raises:
        AnnexMismatch: it is another's.
    """
    released = unsafe_payload(envelope, CoinRelease)
    reason = read_reason(released.annex, annex)
    state = "nobody has signed it yet"
    if envelope.signatures:
        state = signed_by(envelope, CoinRelease, released.officer, charter)
    return framed_paper(
        charter,
        {**document_data("coin-release", released, state), "reason": reason},
        ["whether there is such a coin, and whether it is quarantined: no log is in this file"],
        block("Release of a coin", table([*_rows(released, reason, charter), ("signature", state)])),
        "",
        "",
    )


def coin_release_asked(released: CoinRelease, reason: str | None, charter: Charter) -> str:
    """The same for the officer who is to sign it."""
    unchecked = [
        "what the coin is worth, and that it stands in this block: the coordinator says so",
        "who sent it, and why: that is for you to find out",
    ]
    return screen(
        block("A quarantined coin that you are asked to release", table(_rows(released, reason, charter))),
        block("Not checked here", listed(unchecked)),
    )


def _rows(released: CoinRelease, reason: str | None, charter: Charter | None) -> list[tuple[str, Cell]]:
    return [
        ("by", Theirs(released.officer)),
        ("why", said(reason)),
        ("of", vault_name(released.vault, charter)),
        ("coin", str(released.outpoint)),
        ("amount", f"{bitcoin(released.amount)}, {sats(released.amount)}"),
        ("block", released.block[::-1].hex()),
        ("issued", moment(released.issued)),
    ]
