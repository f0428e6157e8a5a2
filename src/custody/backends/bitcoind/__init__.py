"""What does a node say, and will it send? bitcoind over JSON-RPC, as the chain, as the relay, and as a judge.

    with Rpc("http://127.0.0.1:8332", CookieFile(path)) as node:
        view = BitcoindView(node, Network.MAIN)     # checked: genesis block, chain, signet challenge
        relay, judge = BitcoindRelay(view), BitcoindJudge(view)

`rpc` asks and says what failures mean, `view` reads the chain and the mempool, `relay` sends and judges. No wallet of
the node is used, and nothing that only one implementation of bitcoind has: Bitcoin Core from 29 on will do, or Knots.
"""

from custody.extras import part_of_an_extra

with part_of_an_extra:
    from custody.backends.bitcoind.relay import BitcoindJudge, BitcoindRelay
    from custody.backends.bitcoind.rpc import CookieFile, NodeAddressInvalid, Refusal, Rpc, UserPassword
    from custody.backends.bitcoind.view import (
        SIGNET_CHALLENGE,
        BitcoindView,
        ChainStatus,
        UnspentOutput,
        UtxoScan,
        WaitingTransaction,
    )

__all__ = [
    "SIGNET_CHALLENGE",
    "BitcoindJudge",
    "BitcoindRelay",
    "BitcoindView",
    "ChainStatus",
    "CookieFile",
    "NodeAddressInvalid",
    "Refusal",
    "Rpc",
    "UnspentOutput",
    "UserPassword",
    "UtxoScan",
    "WaitingTransaction",
]
