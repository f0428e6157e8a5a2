"""Published transactions are read and written to the byte, and their txids are the ones Bitcoin Core computes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pbk
import pytest

from custody.bitcoin.transaction import PreviousTransaction, Transaction

DATA = "bitcoin-core/src/test/data/"


def raw_transactions(vectors: Path, name: str) -> Iterator[bytes]:
    """The raw transactions of a file of Bitcoin Core's; rows of one column are comments."""
    column = 0 if name == "sighash.json" else 1
    for row in json.loads((vectors / DATA / name).read_text()):
        if len(row) > 1:
            yield bytes.fromhex(row[column])


@pytest.mark.parametrize(("name", "count"), [("tx_valid.json", 121), ("sighash.json", 500)])
def test_valid_transactions(vectors: Path, name: str, count: int):
    raws = list(raw_transactions(vectors, name))
    assert len(raws) == count
    for raw in raws:
        transaction = Transaction.parse(raw)
        previous = PreviousTransaction(raw)
        assert transaction.serialize() == raw
        assert transaction.txid_hex == str(pbk.Transaction(raw).txid)
        assert previous.txid == transaction.txid
        assert previous.stripped == transaction.stripped()
        assert [previous.output(n) for n in range(previous.output_count)] == list(transaction.outputs)


def test_transactions_invalid_for_other_reasons_are_read_to_the_byte(vectors: Path):
    # These break consensus rules, not the encoding; judging them is not this module's business.
    raws = list(raw_transactions(vectors, "tx_invalid.json"))
    assert len(raws) == 93
    for raw in raws:
        assert Transaction.parse(raw).serialize() == raw


def test_taproot_wallet_transactions(vectors: Path):
    cases = json.loads((vectors / "bips/bip-0341/wallet-test-vectors.json").read_text())["keyPathSpending"]
    assert cases
    for case in cases:
        unsigned = bytes.fromhex(case["given"]["rawUnsignedTx"])
        signed = bytes.fromhex(case["auxiliary"]["fullySignedTx"])
        assert Transaction.parse(signed).serialize() == signed
        assert Transaction.parse(unsigned).stripped() == unsigned
        assert Transaction.parse(signed).without_script_sigs().txid == Transaction.parse(unsigned).txid
