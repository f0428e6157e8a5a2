"""What do the node's answers look like? The fields that are used, and how they become ours.

The others are ignored, as nodes differ in them. Hashes turn into bytes in internal order, amounts in BTC into sats and
BTC/kvB into sat/kvB; a fraction of a sat is no amount, a fraction of a rate rounds up.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, FailFast, Field, TypeAdapter

from custody.units import COIN, MAX_MONEY


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("hexadecimal text belongs here")  # noqa: TRY004 - pydantic listens to this one
    return bytes.fromhex(value)


def _hash(value: object) -> bytes:
    found = _bytes(value)
    if len(found) != 32:  # noqa: PLR2004 - SHA-256
        raise ValueError("a hash has 32 bytes")
    return found[::-1]


def _scaled(value: object) -> Decimal:
    """An amount in BTC as sats, perhaps with a fraction. Bounded first: 1e999999999 is a short number to write."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= MAX_MONEY // COIN:
        raise ValueError("an amount in BTC belongs here")
    return Decimal(value) * COIN


def _sats(value: object) -> int:
    sats = _scaled(value)
    if sats != int(sats):
        raise ValueError("an amount has at most eight decimals")
    return int(sats)


def _rate(value: object) -> int:
    return int(_scaled(value).to_integral_value(ROUND_CEILING))


Hash = Annotated[bytes, BeforeValidator(_hash)]
Bytes = Annotated[bytes, BeforeValidator(_bytes)]
Amount = Annotated[int, BeforeValidator(_sats)]
Rate = Annotated[int, BeforeValidator(_rate)]
Height = Annotated[int, Field(ge=0, lt=2**31)]


class _Answer(BaseModel, frozen=True, strict=True, extra="ignore", hide_input_in_errors=True):
    """Reads what it needs."""


class ChainInfo(_Answer):
    """getblockchaininfo. `prune_height` is the lowest block that is kept."""

    chain: str
    blocks: Height
    headers: Height
    best: Hash = Field(alias="bestblockhash")
    time: Annotated[int, Field(ge=0, lt=2**32)]
    initial_download: bool = Field(alias="initialblockdownload")
    prune_height: Height = Field(0, alias="pruneheight")
    signet_challenge: Bytes = b""


class NetworkInfo(_Answer):
    """getnetworkinfo."""

    subversion: str


class Fees(_Answer):
    """Sats: of the transaction, and with everything unconfirmed that it spends."""

    base: Amount
    ancestor: Amount
    descendant: Amount


class MempoolEntry(_Answer):
    """getmempoolentry."""

    vsize: int
    ancestor_size: int = Field(alias="ancestorsize")
    descendants: int = Field(alias="descendantcount")
    fees: Fees


class Spending(_Answer):
    """One element of gettxspendingprevout."""

    txid: Hash
    vout: int
    spender: Hash | None = Field(None, alias="spendingtxid")


class HeaderInfo(_Answer):
    """getblockheader. `confirmations` is -1 off the best chain."""

    confirmations: int
    transactions: int = Field(alias="nTx")


class BlockTxids(_Answer):
    """getblock with verbosity 1."""

    txids: Annotated[list[Hash], FailFast()] = Field(alias="tx")


class OutputInfo(_Answer):
    """gettxout."""

    confirmations: int


class ScannedOutput(_Answer):
    """An unspent output that a scan found."""

    txid: Hash
    vout: int
    script_pubkey: Bytes = Field(alias="scriptPubKey")
    amount: Amount
    height: Height
    coinbase: bool


class Scan(_Answer):
    """scantxoutset."""

    success: bool
    height: Height
    best: Hash = Field(alias="bestblock")
    unspents: Annotated[list[ScannedOutput], FailFast()]


class FeeEstimate(_Answer):
    """estimatesmartfee. No rate when the node has seen too little."""

    rate: Rate | None = Field(None, alias="feerate")


class MempoolInfo(_Answer):
    """getmempoolinfo: what is taken now, what is relayed at all, and what replaces something pays on top."""

    min_fee: Rate = Field(alias="mempoolminfee")
    min_relay_fee: Rate = Field(alias="minrelaytxfee")
    step: Rate = Field(alias="incrementalrelayfee")


class Acceptance(_Answer):
    """One element of testmempoolaccept. `details` is Bitcoin Core's longer reason, since 29."""

    txid: Hash
    allowed: bool | None = None
    reason: str = Field("", alias="reject-reason")
    details: str = Field("", alias="reject-details")


class PackageResult(_Answer):
    """What submitpackage says of one transaction. No error: it waits now, or did before."""

    txid: Hash
    error: str = ""


class PackageAnswer(_Answer):
    """submitpackage. Results are by wtxid."""

    message: str = Field(alias="package_msg")
    results: dict[str, PackageResult] = Field(alias="tx-results")


HASH: Final = TypeAdapter(Hash)
BYTES: Final = TypeAdapter(Bytes)
CHAIN_INFO: Final = TypeAdapter(ChainInfo)
NETWORK_INFO: Final = TypeAdapter(NetworkInfo)
MEMPOOL_ENTRY: Final = TypeAdapter(MempoolEntry)
SPENDING: Final = TypeAdapter(Annotated[list[Spending], FailFast()])
HEADER_INFO: Final = TypeAdapter(HeaderInfo)
BLOCK_TXIDS: Final = TypeAdapter(BlockTxids)
OUTPUT_INFO: Final[TypeAdapter[OutputInfo | None]] = TypeAdapter(OutputInfo | None)
SCAN: Final = TypeAdapter(Scan)
FEE_ESTIMATE: Final = TypeAdapter(FeeEstimate)
MEMPOOL_INFO: Final = TypeAdapter(MempoolInfo)
PACKAGE: Final = TypeAdapter(PackageAnswer)
ACCEPTANCES: Final = TypeAdapter(Annotated[list[Acceptance], FailFast()])
