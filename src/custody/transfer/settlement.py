"""When a transfer may be sent, when it has been, and when it is done.

Release runs the whole gate again and hands the transaction to the outbox; delivery may happen any number of times; a
transfer is settled when its transaction is buried deep enough, and live again when a reorganisation digs it up. Once
signatures exist the transaction is a bearer instrument: only another spend of one of its inputs, buried, ends it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from custody.bitcoin.transaction import Transaction
from custody.record import Digest, Record, Text
from custody.transfer.verify import VerifiedTransaction
from custody.units import Height, UnixTime


class Release(Record):
    """Leave to send: the transaction may go out, any number of times. `txid` in internal byte order."""

    kind: ClassVar[str] = "release"

    transfer: Digest
    txid: Digest
    verified: Digest
    at: UnixTime


class Broadcast(Record):
    """The transaction was handed to the network."""

    kind: ClassVar[str] = "broadcast"

    transfer: Digest
    txid: Digest
    at: UnixTime


class Confirmation(Record):
    """The transaction stands in a block that is buried deep enough. `block` in internal byte order."""

    kind: ClassVar[str] = "confirmation"

    transfer: Digest
    txid: Digest
    block: Digest
    height: Height
    at: UnixTime


class Unconfirmation(Record):
    """The block that held the transaction is no longer part of the chain: the transfer is live again."""

    kind: ClassVar[str] = "unconfirmation"

    transfer: Digest
    txid: Digest
    block: Digest
    at: UnixTime


class Ending(StrEnum):
    """Why a transfer is over without having moved anything."""

    DENIED = "denied"
    VETOED = "vetoed"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    """Another transfer spent one of its coins, and is buried."""
    ABANDONED = "abandoned"
    """A coin of it is gone, and somebody signed that it is given up, though its signatures may be around."""


class Ended(Record):
    """The end of a transfer that did not move anything; its coins are free again."""

    kind: ClassVar[str] = "ended"

    transfer: Digest
    reason: Ending
    detail: Text
    at: UnixTime


def release(verified: VerifiedTransaction, now: int) -> Release:
    """Leave to send `verified`. Whoever calls has run the gate again."""
    txid = Transaction.parse(verified.raw).txid
    return Release(transfer=verified.transfer, txid=txid, verified=verified.digest(), at=now)


def broadcast(released: Release, now: int) -> Broadcast:
    """The record of a delivery."""
    return Broadcast(transfer=released.transfer, txid=released.txid, at=now)
