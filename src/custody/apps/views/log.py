"""How does it read who stands behind the log, and behind how much of it?"""

from __future__ import annotations

from custody.apps.terminal import JsonValue
from custody.charter.document import Charter
from custody.dates import moment
from custody.log import SignedCheckpoint, verify_checkpoint, witnesses_of
from custody.log.checkpoint import Cosignature


def names_of(cosignatures: tuple[Cosignature, ...], charter: Charter) -> list[str]:
    """Names of the charter's witnesses who stand under a checkpoint."""
    names = {each.key: each.name for each in charter.witnesses}
    return sorted(names[each.key] for each in cosignatures if each.key in names)


def witnessed_rows(note: str | None, charter: Charter) -> list[tuple[str, str]]:
    """Who stands behind how much of the log, by the checkpoint that is kept."""
    if note is None:
        return [("witnessed", "no checkpoint is kept: nobody else stands behind this log yet")]
    signed, cosignatures = _checked(note, charter)
    times = ", ".join(moment(each.time) for each in cosignatures)
    by = ", ".join(names_of(cosignatures, charter)) or "no witness"
    return [("witnessed", f"the first {signed.checkpoint.size} by {by}{f' at {times}' if times else ''}")]


def witnessed_data(note: str | None, charter: Charter) -> JsonValue:
    """The same for a program."""
    if note is None:
        return None
    signed, cosignatures = _checked(note, charter)
    return {
        "size": signed.checkpoint.size,
        "root": signed.checkpoint.root.hex(),
        "witnesses": names_of(cosignatures, charter),
    }


def _checked(note: str, charter: Charter) -> tuple[SignedCheckpoint, tuple[Cosignature, ...]]:
    signed = SignedCheckpoint.parse(note)
    verify_checkpoint(signed, charter.origin, charter.coordinator)
    return signed, witnesses_of(signed, charter.witness_keys)
