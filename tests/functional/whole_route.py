"""How much memory does the whole route of a large consolidation need, coordinator and stations in one process?

    python tests/functional/whole_route.py BITCOIND COINS IN_ONE_PAYMENT

Consolidates twice on a node of its own, with the store in a file, and prints JSON: for both the inputs, the weight and
the state in the end; the largest PSBT in bytes; the most bytes of memory that this process had (ru_maxrss). The node is
a process beside it and does not count.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path

from custody.backends.sql import create_store
from custody.bitcoin.psbt import read_psbt_file
from custody.bitcoin.transaction import Transaction, TxOut
from custody.examine.evidence import Evidence
from custody.testing.cast import Setting, expected, make_cast
from custody.testing.node import NodeChain, OfflineNode
from custody.testing.scenario import Scenario
from custody.transfer.request import Purpose
from custody.transfer.state import Transfer
from custody.units import Network
from custody.vault.descriptor import Branch

SETTING = Setting(
    threshold=3,
    cosigners=("astana", "almaty", "shymkent", "aktau", "oral"),
    max_inputs=700,
    max_outflow=10_000_000_000,
    max_fee=1_000_000,
)
RATE = 2_000
"""sat/kvB."""
_WAITING = 20
"""Payments of one faucet that may wait for a block; nodes take 25 in a row."""


def main(bitcoind: str, coins: int, in_one_payment: int) -> None:
    """Play it and print what it took."""
    with OfflineNode(bitcoind) as node, NodeChain(node) as chain, tempfile.TemporaryDirectory() as place:
        chain.fund(4)
        store = create_store(Path(place) / "store", Network.REGTEST, make_cast(SETTING).charter.origin)
        story = Scenario.begin(SETTING, chain=chain, store=store)
        story.custodian.observe()
        story.custodian.issue_address("reserve", expected("small deposits"))
        script = story.cast.vault.script_pubkey(Branch.RECEIVE, 0)
        outputs = [TxOut(30_000 + at, script) for at in range(coins)]
        for start in range(0, coins, in_one_payment):
            chain.pay_all(outputs[start : start + in_one_payment])
            if start // in_one_payment % _WAITING == _WAITING - 1:
                chain.mine()
        story.mine()
        transfers, files = [], []
        for _ in range(2):
            transfer_id, sizes = consolidate(story, Path(place))
            transfers.append(story.transfer(transfer_id))
            files += sizes
        # Read while the store is there: a transfer reads what it is asked for.
        report(transfers, files)


def report(transfers: list[Transfer], files: list[int]) -> None:
    """Print what two transfers and their PSBTs took."""
    told = {
        "inputs": [len(each.draft.outpoints) for each in transfers],
        "weight": [Transaction.parse(each.verified.raw).weight for each in transfers],
        "status": [each.status.value for each in transfers],
        "largest_file": max(files),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(told))  # noqa: T201 - what this program is for


def consolidate(story: Scenario, place: Path) -> tuple[bytes, list[int]]:
    """One consolidation, evidence and PSBTs through files as they cross the air gap; its id and the PSBTs' sizes."""
    drafted, _ = story.drafted(story.request(purpose=Purpose.CONSOLIDATION), RATE)
    transfer_id = drafted.transfer_id
    story.approved(transfer_id)
    story.custodian.authorize(transfer_id)
    story.custodian.request_signatures(transfer_id)
    carried, sizes = place / "carried", []
    for station, signer in list(zip(story.stations, story.cast.signers, strict=True))[: SETTING.threshold]:
        carried.write_bytes(story.custodian.evidence(transfer_id).to_bytes())
        signed = station.sign(Evidence.from_bytes(carried.read_bytes()), signer)
        carried.write_bytes(signed.psbt.to_psbt().serialize())
        sizes.append(carried.stat().st_size)
        story.custodian.receive(transfer_id, read_psbt_file(carried.read_bytes()))
    story.custodian.combine(transfer_id)
    story.custodian.verify(transfer_id)
    story.custodian.release(transfer_id)
    story.custodian.deliver()
    story.mine()
    return transfer_id, sizes


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
