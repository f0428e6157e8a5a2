"""How does a person look at a file that no log is needed for: a PSBT, a document, a card, a checkpoint, a key file?"""

from __future__ import annotations

from custody.apps.files import FileKind, alone_in, psbt_in, wrong_file
from custody.apps.terminal import JsonValue
from custody.apps.views.coin_release import coin_release_paper
from custody.apps.views.files import PsbtPaper, card_paper, checkpoint_paper, document_paper, key_paper, psbt_paper
from custody.backends.keyfile import KeyFile
from custody.bitcoin.profile import Direction, read_transfer_file
from custody.charter.card import PayerCard
from custody.charter.document import Charter
from custody.envelope import Envelope
from custody.log import SignedCheckpoint
from custody.log.witnessing import WitnessRequest
from custody.transfer.coin_release import CoinReleasePaper


def other_paper(
    kind: FileKind, data: bytes, path: str, charter: Charter | None, vault: str | None
) -> tuple[JsonValue, str]:
    """Such a file, as data and as a screen.

    Raises:
        WrongFile: it is of no kind that can be shown.
    """
    if kind.is_signed or kind is FileKind.COIN_RELEASE:
        return _signed(kind, data, path, charter)
    match kind:
        case FileKind.KEY_FILE:
            return key_paper(alone_in(data, KeyFile, path))
        case FileKind.CARD:
            return card_paper(alone_in(data, PayerCard, path), charter)
        case FileKind.PSBT:
            psbt = read_transfer_file(psbt_in(data, path), Direction.FROM_SIGNER)
            return psbt_paper(PsbtPaper.of(psbt, charter, vault))
        case FileKind.WITNESS_REQUEST:
            request = alone_in(data, WitnessRequest, path)
            return checkpoint_paper(request.signed(), request, charter)
        case FileKind.CHECKPOINT:
            return checkpoint_paper(SignedCheckpoint.parse(data.decode("utf-8", errors="replace")), None, charter)
    known = (
        "evidence, a PSBT, a signed document, an address statement's paper, a payer card, a checkpoint, a log or a key "
        "file"
    )
    raise wrong_file(path, kind, known)


def _signed(kind: FileKind, data: bytes, path: str, charter: Charter | None) -> tuple[JsonValue, str]:
    if kind is FileKind.COIN_RELEASE:
        released = alone_in(data, CoinReleasePaper, path)
        return coin_release_paper(released.signed, released.annex, charter)
    return document_paper(Envelope.from_bytes(data), charter)
