"""How does it read whose signatures a transfer has, and what a returned file brought?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from custody.apps.terminal import shown
from custody.apps.views.charter import cosigners_data
from custody.apps.views.judgement import tally_data
from custody.apps.views.layout import SHORT, Data, block, table, txid
from custody.apps.views.transfer import status_text
from custody.history.questions import History
from custody.quorum import Tally
from custody.transfer.state import Transfer


@dataclass(frozen=True, slots=True)
class Signatures:
    """How far a transfer's signatures have come: who signed and who may still, by fingerprint."""

    transfer: Transfer
    tally: Tally[bytes]
    history: History


def signatures_text(signatures: Signatures) -> str:
    """Whose signatures there are, for a person."""
    transfer, tally = signatures.transfer, signatures.tally
    vault = signatures.history.proposal(transfer).vault
    signers = vault.shown(tally.acted) or "nobody yet"
    rows = [
        ("state", status_text(transfer)),
        ("signed by", f"{signers} ({len(tally.acted)} of {tally.threshold})"),
    ]
    if not tally.is_met:
        rows.append(("may still", vault.shown(tally.missing)))
    if transfer.verified is not None:
        rows.append(("judged by", ", ".join(("our own check", *transfer.verified.judges))))
        rows.append(("txid", txid(transfer.verified.txid)))
    return block(f"Transfer {transfer.id.hex()}", table(rows))


def signatures_data(signatures: Signatures) -> Data:
    """The same for a program."""
    verified, tally = signatures.transfer.verified, signatures.tally
    proposal = signatures.history.proposal(signatures.transfer)
    return {
        "cosigners": cosigners_data(proposal.entry, proposal.vault),
        "transfer": signatures.transfer.id.hex(),
        "status": signatures.transfer.status.value,
        **tally_data(tally, bytes.hex),
        "judges": [] if verified is None else list(verified.judges),
        "txid": None if verified is None else txid(verified.txid),
    }


class Outcome(StrEnum):
    """What became of one cosigner's signatures in a file."""

    TAKEN = "signed"
    KNOWN = "had signed before"
    LATE = "not needed any more"
    PARTIAL = "not taken, since some inputs lack its signature"


@dataclass(frozen=True, slots=True)
class Taken:
    """What one file brought, by the fingerprints of the cosigners in it."""

    file: str
    transfer: bytes
    cosigners: dict[bytes, Outcome]


def taken_text(taken: Taken) -> str:
    """What one file brought, for a person."""
    rows = [(each.hex(), outcome) for each, outcome in sorted(taken.cosigners.items())]
    return "\n".join((f"{shown(taken.file)}, of transfer {taken.transfer.hex()[:SHORT]}", *table(rows)))


def taken_data(taken: Taken) -> Data:
    """The same for a program."""
    cosigners = {each.hex(): outcome.name.lower() for each, outcome in taken.cosigners.items()}
    return {"file": taken.file, "transfer": taken.transfer.hex(), "cosigners": cosigners}
