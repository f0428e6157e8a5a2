"""May a quarantined coin be spent, and which officer says so?

A coin that came to an address which nobody was given, or before it was given out, or to a change address without being
our change, is somebody's doing and nobody knows whose: spent beside others, it tells who owns them, and it may be the
proceeds of something. An officer who has found out signs a release of that one coin, in the block where it stands. What
a reorganisation moves elsewhere is another deposit, and to be released again.

Which coins are quarantined is for `history.quarantine` to say, and who may be paid for the rules.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from custody.bitcoin.script import NetworkMismatch
from custody.bitcoin.transaction import OutPoint
from custody.charter.document import Charter
from custody.charter.people import Role
from custody.envelope import Envelope, SigInvalid, unsafe_payload, verify_one
from custody.errors import Refused
from custody.record import Digest, HexBytes, Record
from custody.transfer.annex import AnnexedPaper
from custody.transfer.request import NONCE_SIZE
from custody.units import Count, Network, Sat, UnixTime
from custody.vault.keys import PublicText


class CoinReleaseAuthor(Refused, code="COIN_RELEASE_AUTHOR"):
    """A release of a coin that no officer has signed."""

    message = "the release of coin {outpoint} names {officer}, but {problem}"
    hint = "An officer of the charter releases coins, with the key that it lists: custody coin release COIN --key FILE."
    outpoint: OutPoint
    officer: str
    problem: str


class CoinReleaseMismatch(Refused, code="COIN_RELEASE_MISMATCH"):
    """A release made for something else."""

    message = "the release of coin {outpoint} is for {what} {actual}, not {expected}"
    hint = "A release holds for one coin in one block: look at it with custody coin list, and have it released again."
    outpoint: OutPoint
    what: str
    actual: str
    expected: str


class CoinRelease(Record):
    """An officer's word that a quarantined coin may be spent like any other.

    `amount` and `block` are what the officer was shown of it; `txid` and `block` in internal byte order.
    """

    kind: ClassVar[str] = "coin-release"

    network: Network
    charter: Digest
    vault: Digest
    txid: Digest
    vout: Count
    amount: Sat
    block: Digest
    officer: PublicText
    annex: Digest
    """Salted digest of the `ReasonAnnex` that says why."""
    issued: UnixTime
    nonce: Annotated[HexBytes, Field(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]

    @property
    def outpoint(self) -> OutPoint:
        """Where the coin is."""
        return OutPoint(self.txid, self.vout)


class CoinReleasePaper(AnnexedPaper):
    """A signed release of a coin, with its reason."""

    kind: ClassVar[str] = "coin-release-paper"


def read_coin_release(envelope: Envelope) -> CoinRelease:
    """The release in `envelope`, whoever signed it."""
    return unsafe_payload(envelope, CoinRelease)


def check_coin_release(envelope: Envelope, charter: Charter) -> CoinRelease:
    """The release in `envelope`, signed by an officer of this charter, for a vault of it.

    Raises:
        CoinReleaseAuthor: no such person, no officer, or not signed by their key.
        CoinReleaseMismatch, NetworkMismatch: made for another charter or network.
        VaultUnknown: made for another vault.
    """
    released = read_coin_release(envelope)
    person = next((each for each in charter.people if each.name == released.officer), None)
    problem = None
    if person is None:
        problem = "the charter has no such person"
    elif not person.has_role(Role.OFFICER):
        problem = "that person is no officer"
    if person is None or problem is not None:
        raise CoinReleaseAuthor(outpoint=released.outpoint, officer=released.officer, problem=problem or "")
    try:
        verify_one(envelope, CoinRelease, person.key)
    except SigInvalid:
        problem = "no valid signature by that person's key"
        raise CoinReleaseAuthor(outpoint=released.outpoint, officer=person.name, problem=problem) from None
    if released.network is not charter.network:
        raise NetworkMismatch(what="the release of a coin", expected=charter.network, actual=released.network)
    refuse_other(released, "charter", released.charter, charter.digest())
    charter.vault_by_id(released.vault)
    return released


def refuse_other(released: CoinRelease, what: str, actual: bytes, expected: bytes) -> None:
    """Pass when both are the same.

    Raises:
        CoinReleaseMismatch: it was made for another.
    """
    if actual != expected:
        raise CoinReleaseMismatch(outpoint=released.outpoint, what=what, actual=actual.hex(), expected=expected.hex())
