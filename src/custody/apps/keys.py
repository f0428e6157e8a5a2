"""How is a person's or a cosigner's key opened from its file?"""

from __future__ import annotations

from custody.apps.files import read_alone
from custody.apps.passphrase import read_passphrase
from custody.backends.keyfile import MAX_KEY_FILE, KeyFile, KeyFileSigner, open_document_key
from custody.envelope import Ed25519Signer
from custody.errors import Refused


class KeyNotListed(Refused, code="KEY_NOT_LISTED"):
    """A key that the charter does not name, or not in this role."""

    message = "the charter lists no {role} with the {key}"
    hint = "Check which key file you gave; custody-station export KEYFILE shows the key that belongs in the charter."
    role: str
    key: str


def read_key_file(path: str) -> KeyFile:
    """The key file at `path`, still locked."""
    return read_alone(KeyFile, path, MAX_KEY_FILE)


def open_person(file: KeyFile, passphrase_file: str | None) -> Ed25519Signer:
    """The document key of a person, the coordinator or a witness.

    Raises:
        PassphraseNeeded, PassphraseWrong, KeyFileInvalid: it does not open.
    """
    return open_document_key(file, _passphrase(file, passphrase_file))


def open_cosigner(file: KeyFile, passphrase_file: str | None, *, is_risk_accepted: bool) -> KeyFileSigner:
    """The software cosigner inside. `is_risk_accepted` says that coins of value may be signed for with a file.

    Raises:
        PassphraseNeeded, PassphraseWrong, KeyFileInvalid, NetworkUnsafe: it does not open.
    """
    return KeyFileSigner(file, _passphrase(file, passphrase_file), unsafe_mainnet_key_file=is_risk_accepted)


def _passphrase(file: KeyFile, path: str | None) -> bytes:
    return read_passphrase(path, f"the key file {file.header.name}")
