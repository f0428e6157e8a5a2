"""Published PSBTs: every valid one is kept to the byte, every invalid one is refused by name."""

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, read_psbt_file
from custody.bitcoin.serialize import TransactionEncoding
from custody.bitcoin.transaction import PreviousTransaction, Transaction
from custody.errors import CustodyError
from custody.testing.asserts import refuses

BIPS = {  # file: (invalid, valid)
    "bip174_psbt": (20, 24),
    "bip370_psbt": (24, 23),
    "bip371_psbt": (11, 6),
    "bip373_psbt": (10, 14),
}
EXTRACTED_TRANSACTION = "a transaction extractor must create this Bitcoin transaction"
NO_LOCKTIME = "cannot be computed"
REFUSALS = {"PSBT_ENCODING", "PREVTX_TXID", "PREVTX_OUTPUT"}


def cases(vectors: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Label and bytes of each case of a BIP that claims to be a PSBT."""
    for case in json.loads((vectors / "bips-extracted" / f"{name}.json").read_text())["cases"]:
        raw = base64.b64decode(case["base64"]) if case.get("base64") else bytes.fromhex(case["hex"])
        if EXTRACTED_TRANSACTION not in case["group"] and NO_LOCKTIME not in case["group"]:
            yield case["group"], raw


def core(vectors: Path) -> dict[str, list]:
    return json.loads((vectors / "bitcoin-core/test/functional/data/rpc_psbt.json").read_text())


def valid(vectors: Path) -> list[bytes]:
    """Every PSBT that a BIP or Bitcoin Core calls valid, or makes in the course of its examples."""
    found = [raw for name in BIPS for group, raw in cases(vectors, name) if "invalid" not in group]
    return found + [base64.b64decode(text) for text in core(vectors)["valid"]]


@pytest.mark.parametrize("name", BIPS)
def test_the_valid_psbts_of_a_bip(vectors: Path, name: str):
    raws = [raw for group, raw in cases(vectors, name) if "invalid" not in group]
    assert len(raws) == BIPS[name][1]
    for raw in raws:
        psbt = Psbt.parse(raw)
        assert psbt.serialize() == raw
        assert Psbt.from_base64(psbt.to_base64()) == psbt == read_psbt_file(raw)


@pytest.mark.parametrize("name", BIPS)
def test_the_invalid_psbts_of_a_bip(vectors: Path, name: str):
    raws = [raw for group, raw in cases(vectors, name) if "invalid" in group]
    assert len(raws) == BIPS[name][0]
    for raw in raws:
        with refuses("PSBT_ENCODING"):
            Psbt.parse(raw)


def test_the_valid_psbts_of_bitcoin_core(vectors: Path):
    texts = core(vectors)["valid"]
    assert len(texts) == 48
    for text in texts:
        assert Psbt.from_base64(text).to_base64() == text


@pytest.mark.parametrize(("part", "count"), [("invalid", 63), ("invalid_with_msg", 23)])
def test_the_invalid_psbts_of_bitcoin_core(vectors: Path, part: str, count: int):
    texts = [each if isinstance(each, str) else each[0] for each in core(vectors)[part]]
    assert len(texts) == count
    for text in texts:
        with pytest.raises(CustodyError) as caught:
            Psbt.from_base64(text)
        assert caught.value.code in REFUSALS
        assert caught.value.advice()


def test_bitcoin_core_s_two_wrong_previous_transactions_have_their_own_names(vectors: Path):
    # Its messages: "Non-witness UTXO does not match outpoint hash", "Input specifies output index that does not exist".
    wrong, beyond = core(vectors)["invalid"][39:41]
    with refuses("PREVTX_TXID"):
        Psbt.from_base64(wrong)
    with refuses("PREVTX_OUTPUT"):
        Psbt.from_base64(beyond)


def test_the_psbts_of_bitcoin_core_s_roles(vectors: Path):
    found = 0
    for role in ("signer", "combiner", "finalizer", "extractor"):
        for case in core(vectors)[role]:
            for value in case.values():
                for text in value if isinstance(value, list) else [value]:
                    if text.startswith("cHNi"):
                        found += 1
                        assert Psbt.from_base64(text).to_base64() == text
    assert found == 18


def test_the_unsigned_transaction_that_bitcoin_core_extracts_is_the_psbt_s(vectors: Path):
    case = core(vectors)["extractor"][0]
    final = Transaction.parse(bytes.fromhex(case["result"]))
    assert Psbt.from_base64(case["extract"]).unsigned_transaction == final.without_script_sigs()


def test_the_locktimes_of_bip_370(vectors: Path):
    checked = 0
    for case in json.loads((vectors / "bips-extracted/bip370_psbt.json").read_text())["cases"]:
        group = case["group"]
        if "timelock" not in group:
            continue
        checked += 1
        raw = bytes.fromhex(case["hex"])
        if NO_LOCKTIME in group:
            with refuses("PSBT_ENCODING") as caught:
                Psbt.parse(raw)
            assert "locktime" in str(caught.error)
        else:
            assert Psbt.parse(raw).unsigned_transaction.locktime == int(group.rstrip(":").rsplit(" ", 1)[1])
    assert checked == 10


def test_silent_payments_pass_unless_their_structure_is_wrong(vectors: Path):
    # What these fields prove is not read (BIP 375): only their lengths, and that each output has a script.
    found = json.loads((vectors / "bips/bip-0375/bip375_test_vectors.json").read_text())
    refused = ("incorrect byte length", "missing PSBT_OUT_SCRIPT field", "when PSBT_OUT_SCRIPT field is not set")
    count = 0
    for case in (*found["valid"], *found["invalid"]):
        if any(why in case["description"] for why in refused):
            count += 1
            with refuses("PSBT_ENCODING"):
                Psbt.from_base64(case["psbt"])
        else:
            assert Psbt.from_base64(case["psbt"]).to_base64() == case["psbt"]
    assert count == 7


def test_no_valid_psbt_survives_a_cut_or_an_extra_byte(vectors: Path):
    for raw in valid(vectors):
        for changed in (raw[:-1], raw[: len(raw) // 2], raw + b"\x00", raw + raw):
            with refuses("PSBT_ENCODING"):
                Psbt.parse(changed)


def test_no_valid_psbt_survives_a_key_twice(vectors: Path):
    for raw in valid(vectors):
        psbt = Psbt.parse(raw)
        first = _fields(psbt.global_map.raw)[0]
        with refuses("PSBT_ENCODING"):
            Psbt.parse(raw.replace(b"psbt\xff", b"psbt\xff" + first, 1))


def _fields(raw: bytes) -> list[bytes]:
    """The fields of a map as bytes, each with its two lengths; written apart from the code under test."""
    fields, at = [], 0
    while raw[at]:
        start = at
        for _ in range(2):
            wide = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(raw[at], 0)
            size = int.from_bytes(raw[at + 1 : at + 1 + wide], "little") if wide else raw[at]
            at += 1 + wide + size
        fields.append(raw[start:at])
    return fields


def test_mutations_of_valid_psbts_raise_nothing_of_others(vectors: Path):
    # Whatever comes in, only our own errors come out, and what is accepted is kept to the byte (THREATS B5).
    chance = random.Random(174)  # noqa: S311 - the same every time, and nothing secret
    sources = valid(vectors)
    accepted, refusals = 0, set()
    for _ in range(4000):
        raw = bytearray(chance.choice(sources))
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(raw))
            kind = chance.randrange(4)
            if kind == 0:
                raw[at] = chance.randrange(256)
            elif kind == 1:
                raw[at] ^= 1 << chance.randrange(8)
            elif kind == 2:
                del raw[at : at + chance.choice((1, 2, 33))]
            else:
                raw[at:at] = chance.randbytes(chance.choice((1, 2, 33)))
            if not raw:
                raw += b"\x00"
        try:
            psbt = Psbt.parse(bytes(raw))
            assert psbt.serialize() == raw
            accepted += 1
            for direction in Direction:
                TransferPsbt.from_psbt(psbt, direction).to_psbt()
        except CustodyError as error:
            refusals.add((error.code, str(error) != "", error.advice() != ""))
    assert accepted > 100
    assert refusals <= {(code, True, True) for code in (*REFUSALS, "LIMIT", "FIELD_FORBIDDEN", "SIGHASH_FORBIDDEN")}


def test_every_previous_transaction_is_the_same_for_both_readers(vectors: Path):
    compared = 0
    for raw in valid(vectors):
        psbt = Psbt.parse(raw)
        for index in range(len(psbt.inputs)):
            previous = psbt.previous_transaction(index)
            if previous is None:
                continue
            compared += 1
            assert previous.txid == Transaction.parse(previous.raw).txid
            with pytest.raises(TransactionEncoding):
                PreviousTransaction(previous.raw[:-1])
    assert compared > 20
