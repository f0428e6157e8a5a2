"""Which tables is the history kept in?

Sealed ones are made from bodies that every reader gets, so that everybody has the same digest of them. Local ones are
made from what a coordinator alone says of the chain: stations neither have nor need them, and an erased body takes its
row away. Two repeat the log itself, for whoever has no log beside the rows.

Hashes in keys and rows are in internal order, amounts are sats, `at` and the like are indexes of log entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from custody.bitcoin.transaction import OutPoint
from custody.charter.rules import Case
from custody.history.rows import Key, Named, Nothing, Number, Sealing, Table, number
from custody.history.state import State
from custody.record import canonical, tagged_hash
from custody.transfer.state import TransferRow
from custody.vault.coins import CoinClass, Deposit


@dataclass(frozen=True, slots=True)
class CharterRow:
    """A version of the charter: its digest, and the entry that adopted it, from which on it is in force."""

    digest: bytes
    adopted: int


@dataclass(frozen=True, slots=True)
class FreezeRow:
    """Why everything stands still, and the entry that says so."""

    why: str
    at: int


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A block up to which the chain was looked at: its hash, its own time, and when (Unix seconds) by the coordinator.

    `first` is the entry that first said so.
    """

    block: bytes
    time: int
    at: int
    first: int


@dataclass(frozen=True, slots=True)
class TakenRow:
    """A spend that freezes everything: the txid of what spent the coin, its block's height, and the entry about it."""

    spender: bytes
    height: int
    at: int


@dataclass(frozen=True, slots=True)
class AddressRow:
    """A receive address that was given out: for coins of which class, by which entry, and where the chain stood."""

    coin_class: CoinClass
    issued: int
    height: int


@dataclass(frozen=True, slots=True)
class CameRow:
    """What heads say of the deposits of a transaction: the entry that first spoke of one, and how many stand."""

    first: int
    standing: int


@dataclass(frozen=True, slots=True)
class ClearedRow:
    """A quarantined coin that an officer has released: of which vault, who did, and by which entry."""

    vault: bytes
    officer: str
    at: int


@dataclass(frozen=True, slots=True)
class NonceRow:
    """The signature that a nonce was used in."""

    public_key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """A deposit: whose it is, where its block stands, and what has become of it.

    `spent_by` is the txid of the transaction in a block that spent it.
    """

    vault: bytes
    txid: bytes
    vout: int
    amount: int
    script_pubkey: bytes
    branch: int
    index: int
    height: int
    block: bytes
    is_coinbase: bool
    seen: int
    is_mature: bool = False
    spent_by: bytes | None = None

    @property
    def outpoint(self) -> OutPoint:
        """Where it is."""
        return OutPoint(self.txid, self.vout)

    @property
    def deposit(self) -> Deposit:
        """The deposit as a value."""
        return Deposit(
            outpoint=self.outpoint,
            amount=self.amount,
            script_pubkey=self.script_pubkey,
            branch=self.branch,
            index=self.index,
            height=self.height,
            is_coinbase=self.is_coinbase,
            block_hash=self.block,
        )


ONLY: Final = b""
"""The key of a table's only row."""

# What people agreed and asked for.
CHARTERS: Final = Table("charters", CharterRow)
"""By version."""
IN_FORCE: Final = Table("in_force", CharterRow)
"""The newest of them, to be found without looking through them."""
FREEZE: Final = Table("freeze", FreezeRow)
"""By the entry that says so."""
REQUESTS: Final = Table("requests", Number)
"""The entries that have them, by RequestId."""
ASKED: Final = Table("asked", Named)
"""RequestIds by the entry that has them."""
UNDRAFTED: Final = Table("undrafted", Named)
"""The same of those that no transfer was drafted for."""
ADDRESSES: Final = Table("addresses", AddressRow)
"""By vault id and receive index, oldest first."""
NEXT_INDEX: Final = Table("next_index", Number)
"""First index behind all that were issued or that signatures were asked for, by vault id and branch."""
DRAWN: Final = Table("drawn", Nothing)
"""Indexes of drafts that are live and not asked to be signed: by vault id, branch, index and the entry that drafted."""

# What the log has said of itself.
SEALS: Final = Table("seals", Named)
"""Digests of the state, by the size after which the log says so."""

# Words about people, and what was erased of them.
ANNEXES: Final = Table("annexes", Number)
"""The entries that have them, by their salted digest."""
ERASED: Final = Table("erased", Number)
"""The entries that say so, by the entry whose body was erased."""

# How transfers went.
TRANSFERS: Final = Table("transfers", TransferRow)
"""By TransferId."""
CASES: Final = Table("cases", Case)
"""What each transfer meant to the rules when it was drafted, by TransferId; none for one that means nothing."""
DRAFTED: Final = Table("drafted", Named)
"""TransferIds by the entry that drafted them."""
LIVE: Final = Table("live", Named)
"""TransferIds of those that are neither over nor confirmed, by the entry that drafted them."""
MEMBERS: Final = Table("members", Named)
"""TransferIds by group and the entry that drafted them."""
OF_REQUEST: Final = Table("of_request", Named)
"""TransferIds by RequestId and the entry that drafted them."""
UNSIGNED: Final = Table("unsigned", Named)
"""TransferIds by the txid of the unsigned transaction and the entry that drafted them."""
SPENDERS: Final = Table("spenders", Named)
"""TransferIds by the txid of what they spend and the entry that drafted them."""
RELEASED: Final = Table("released", Named)
"""TransferIds by the txid of what was released, or was found in a block without having been."""
HELD: Final = Table("held", Named)
"""Groups by the outpoint that a live transfer of them spends."""
COMMITTED: Final = Table("committed", Number)
"""Sats that may leave or have left, by group: at its largest member."""
COMMITTED_ALL: Final = Table("committed_all", Number)
"""The same of all groups together."""
SPOKEN: Final = Table("spoken", Nothing)
"""Nonces of approvals, and of releases of coins."""
VETOES: Final = Table("vetoes", Named)
"""TransferIds of those that an officer vetoed, by RequestId and the entry that says so."""
VETOED: Final = Table("vetoed", Named)
"""The same by `payment_key` of what they would have paid, and that entry."""
PAYING: Final = Table("paying", Named)
"""Live transfers by `payment_key` of what each pays, and the entry that drafted it."""
NONCES: Final = Table("nonces", NonceRow)
"""By nonce of a cosigner's signature (r, 32 bytes)."""

READERS: Final = Table("readers", Number)
"""How much of the log they have seen at least: officers by name, cosigners by fingerprint (`reader_key`)."""

# What the chain showed.
PAST: Final = Table("past", Number)
"""The height of the best block when the charter was adopted."""
CHAIN: Final = Table("chain", BlockRow)
"""By height."""
TAKEN: Final = Table("taken", TakenRow)
"""By outpoint and block."""
CAME: Final = Table("came", CameRow)
"""By txid: from heads, which everybody has."""
EARLY: Final = Table("early", Nothing)
"""Outpoints of what stood in a block before its address was given out, though it was entered after that."""
CLEARED: Final = Table("cleared", ClearedRow)
"""Quarantined coins that an officer has released, by outpoint."""
HOLDINGS: Final = Table("holdings", HoldingRow, Sealing.LOCAL)
"""By outpoint."""
UNSPENT: Final = Table("unspent", HoldingRow, Sealing.LOCAL)
"""The same rows, of what is not spent, by vault id and outpoint."""
RECEIVED: Final = Table("received", Named, Sealing.LOCAL)
"""Outpoints by vault id and the entry that saw them."""
MATURING: Final = Table("maturing", Nothing, Sealing.LOCAL)
"""Heights and outpoints of what is neither a coin yet nor spent."""
BALANCES: Final = Table("balances", Number, Sealing.LOCAL)
"""Sats of what is not spent, by vault id."""
FURTHEST: Final = Table("furthest", Number, Sealing.LOCAL)
"""Highest index that was paid to, by vault id and branch."""
PAID: Final = Table("paid", Number, Sealing.LOCAL)
"""How many deposits were seen at each index that was paid to, by vault id, branch and index."""
IN_BLOCKS: Final = Table("in_blocks", Nothing, Sealing.LOCAL)
"""What stands in a block: by height, block, and an outpoint (36 bytes), a TransferId (32), or the outpoint of what a
past spend there spent (36 and one more)."""
UNTOLD: Final = Table("untold", Number, Sealing.LOCAL)
"""Entries about deposits of a transaction whose bodies this copy of the log has not, by txid."""

# The log itself.
BODIES: Final = Table("bodies", bytes, Sealing.LOG)
"""What entries say, by index."""
ROOTS: Final = Table("roots", bytes, Sealing.LOG)
"""Merkle roots of the log by its size."""

ALL: Final[tuple[Table[Any], ...]] = (
    CHARTERS,
    IN_FORCE,
    FREEZE,
    REQUESTS,
    ASKED,
    UNDRAFTED,
    ADDRESSES,
    NEXT_INDEX,
    DRAWN,
    SEALS,
    ANNEXES,
    ERASED,
    TRANSFERS,
    CASES,
    DRAFTED,
    LIVE,
    MEMBERS,
    OF_REQUEST,
    UNSIGNED,
    SPENDERS,
    RELEASED,
    HELD,
    COMMITTED,
    COMMITTED_ALL,
    SPOKEN,
    VETOES,
    VETOED,
    PAYING,
    NONCES,
    READERS,
    PAST,
    CHAIN,
    TAKEN,
    CAME,
    EARLY,
    CLEARED,
    HOLDINGS,
    UNSPENT,
    RECEIVED,
    MATURING,
    BALANCES,
    FURTHEST,
    PAID,
    IN_BLOCKS,
    UNTOLD,
)
"""All but the two that repeat the log."""


def newest_freeze(state: State) -> FreezeRow | None:
    """The newest entry for which everything stands still, or None."""
    newest = next(state.scan(FREEZE, backwards=True), None)
    return None if newest is None else newest[1]


def outpoint_key(outpoint: OutPoint) -> Key:
    """An outpoint as (part of) a key, 36 bytes: the outputs of a transaction follow each other."""
    return outpoint.txid + outpoint.index.to_bytes(4, "big")


def outpoint_of(key: Key) -> OutPoint:
    """The outpoint whose key this is."""
    return OutPoint(key[:32], int.from_bytes(key[32:36], "big"))


def reader_key(who: str | bytes) -> Key:
    """An officer, by name, or a cosigner, by fingerprint, as a key."""
    return b"officer/" + who.encode("utf-8") if isinstance(who, str) else b"cosigner/" + who


def payment_key(payee: str, amount: int | None) -> Key:
    """A payee and sats (None: all there is) as (part of) a key, 32 bytes."""
    return tagged_hash("custody/payment/v1", canonical([payee, amount]))


def place_key(vault_id: bytes, branch: int) -> Key:
    """A branch of a vault as a key."""
    return vault_id + bytes([branch])


def drawn_key(vault_id: bytes, branch: int, index: int, drafted: int) -> Key:
    """An index of a branch as a key of `DRAWN`, for the draft of this entry."""
    return place_key(vault_id, branch) + number(index) + number(drafted)


def drawn_index(key: Key) -> int:
    """The index in such a key."""
    return int.from_bytes(key[-16:-8], "big")


def height_key(height: int) -> Key:
    """A height as (part of) a key, four bytes."""
    return height.to_bytes(4, "big")


def index_key(vault_id: bytes, index: int) -> Key:
    """An index of a vault as a key."""
    return vault_id + number(index)
