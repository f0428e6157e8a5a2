"""What do we need from outside? One protocol for each thing, and the errors that stand for its failures.

    ChainView       what the chain says        Relay           sends, and knows what fees are paid
    Store           our log, holds, outbox     StationMemory   what an offline station must not forget
    Signer          fills the PSBT Signer role (BIP 174)       Clock           what time it is

Nothing here does anything: `backends/` does, and one contract suite for each port runs on every backend of it. A
backend raises the errors of this folder and turns everything its own libraries raise into them. `Judge`,
`Tip` and `BlockView` belong here too; they stand in `transfer/`, beside the verbs that need them.

Hashes and txids are bytes in internal order, amounts are sats, fee rates are sat/kvB, times are Unix seconds.
"""

from __future__ import annotations

from custody.ports.chain import (
    BlockUnknown,
    ChainView,
    Clock,
    MethodRefused,
    NodeNotReady,
    NodeUnavailable,
    Relay,
    RelayRefused,
    Standing,
)
from custody.ports.station import (
    FileExists,
    FileIsFolder,
    FileMissing,
    FileTooLarge,
    FileUnusable,
    Signer,
    SignerRefused,
    SnapshotStart,
    StationDamaged,
    StationMemory,
    StationState,
    Untrusted,
)
from custody.ports.store import (
    NotQueued,
    OutboxRow,
    Scratch,
    StateGone,
    Store,
    StoreBusy,
    StoreCorrupt,
    StoreFailed,
    StoreMissing,
    StoreOutdated,
    StoreTransaction,
    StoreVersion,
    StoreView,
    UtxoReserved,
)
from custody.record import MAX_REASON, plain_reason
from custody.transfer.observe import BlockView, Tip
from custody.transfer.verify import ChangedMeanwhile, Judge, StateChanged

__all__ = [
    "MAX_REASON",
    "BlockUnknown",
    "BlockView",
    "ChainView",
    "ChangedMeanwhile",
    "Clock",
    "FileExists",
    "FileIsFolder",
    "FileMissing",
    "FileTooLarge",
    "FileUnusable",
    "Judge",
    "MethodRefused",
    "NodeNotReady",
    "NodeUnavailable",
    "NotQueued",
    "OutboxRow",
    "Relay",
    "RelayRefused",
    "Scratch",
    "Signer",
    "SignerRefused",
    "SnapshotStart",
    "Standing",
    "StateChanged",
    "StateGone",
    "StationDamaged",
    "StationMemory",
    "StationState",
    "Store",
    "StoreBusy",
    "StoreCorrupt",
    "StoreFailed",
    "StoreMissing",
    "StoreOutdated",
    "StoreTransaction",
    "StoreVersion",
    "StoreView",
    "Tip",
    "Untrusted",
    "UtxoReserved",
    "plain_reason",
]
