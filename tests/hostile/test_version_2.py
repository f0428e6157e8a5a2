"""PSBT version 2 as a disguise (THREATS A7, A9, B2, B6): the transaction is put together from fields that lie.

Devices may answer in version 2, so it is read. What it adds up to is compared with what was sent, byte for byte.
"""

from __future__ import annotations

import pytest

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import GlobalField, InputField, OutputField
from custody.bitcoin.script import p2wpkh
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast
from custody.transfer.signing import accept
from custody.units import MAX_MONEY
from custody.vault.templates import ScriptType


@pytest.fixture(scope="module", params=list(ScriptType), ids=str)
def forger(forger_of, request):
    return forger_of(make_cast(Setting(script_type=request.param)))


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little", signed=value < 0)


def as_version_2(psbt: Psbt) -> tuple[list[dict[bytes, bytes]], ...]:
    """The fields of the same PSBT in version 2: of its global map, its inputs and its outputs."""
    transaction = psbt.unsigned_transaction
    head = dict(psbt.global_map.pairs)
    del head[bytes([GlobalField.UNSIGNED_TX])]
    head |= {
        bytes([GlobalField.TX_VERSION]): number(transaction.version),
        bytes([GlobalField.FALLBACK_LOCKTIME]): number(transaction.locktime),
        bytes([GlobalField.INPUT_COUNT]): bytes([len(transaction.inputs)]),
        bytes([GlobalField.OUTPUT_COUNT]): bytes([len(transaction.outputs)]),
        bytes([GlobalField.VERSION]): number(2),
    }
    inputs = [
        dict(fields.pairs)
        | {
            bytes([InputField.PREVIOUS_TXID]): each.outpoint.txid,
            bytes([InputField.OUTPUT_INDEX]): number(each.outpoint.index),
            bytes([InputField.SEQUENCE]): number(each.sequence),
        }
        for fields, each in zip(psbt.inputs, transaction.inputs, strict=True)
    ]
    outputs = [
        dict(fields.pairs)
        | {bytes([OutputField.AMOUNT]): number(each.amount, 8), bytes([OutputField.SCRIPT]): each.script_pubkey}
        for fields, each in zip(psbt.outputs, transaction.outputs, strict=True)
    ]
    return [head], inputs, outputs


def written(parts: tuple[list[dict[bytes, bytes]], ...]) -> Psbt:
    return Psbt.parse(b"psbt\xff" + b"".join(PsbtMap(each.items()).raw for group in parts for each in group))


@pytest.fixture
def answer(forger):
    """What an honest device answers, in version 2, to be altered; and what the coordinator makes of it."""
    drafted = forger.draft()
    sent = forger.psbt(drafted)
    parts = as_version_2(forger.cast.signers[0].sign(sent.to_psbt()))
    return parts, lambda: accept(written(parts), sent, drafted, forger.vault, 0)


def test_the_same_transfer_means_the_same_in_either_version(forger, answer):
    parts, receive = answer
    honest = forger.psbt()
    assert forger.read(written(as_version_2(honest.to_psbt()))) == forger.read(honest)
    assert [each.cosigner for each in receive()] == [forger.cast.signers[0].fingerprint]
    # Nothing of version 2 is written again.
    assert TransferPsbt.from_psbt(written(parts), Direction.FROM_SIGNER).to_psbt().version == 0


LIES: dict[str, tuple[int, int, bytes, bytes]] = {
    "another version": (0, 0, bytes([GlobalField.TX_VERSION]), number(1)),
    "another locktime": (0, 0, bytes([GlobalField.FALLBACK_LOCKTIME]), number(1)),
    "a locktime that an input asks for": (1, 0, bytes([InputField.REQUIRED_HEIGHT_LOCKTIME]), number(151)),
    "a time that an input asks for": (1, 1, bytes([InputField.REQUIRED_TIME_LOCKTIME]), number(500_000_000)),
    "another sequence": (1, 1, bytes([InputField.SEQUENCE]), number(0xFFFFFFFE)),
    "a relative lock": (1, 0, bytes([InputField.SEQUENCE]), number(10)),
    "another amount": (2, 0, bytes([OutputField.AMOUNT]), number(1, 8)),
    "another payee": (2, 1, bytes([OutputField.SCRIPT]), p2wpkh(bytes(20))),
}


@pytest.mark.parametrize("which", LIES)
def test_a_field_that_makes_another_transaction_is_refused(answer, which):
    parts, receive = answer
    group, at, key, value = LIES[which]
    assert parts[group][at].get(key) != value
    parts[group][at][key] = value
    with refuses("COSIGNER_ALTERED") as caught:
        receive()
    assert caught.error.what == "the transaction itself"


@pytest.mark.parametrize("flags", [0x01, 0x02, 0x04, 0x07, 0x80])
def test_leave_to_change_the_transaction_is_refused(forger, answer, flags):
    parts, receive = answer
    parts[0][0][bytes([GlobalField.TX_MODIFIABLE])] = bytes([flags])
    with refuses("FIELD_FORBIDDEN"):
        receive()
    asked = as_version_2(forger.psbt().to_psbt())
    asked[0][0][bytes([GlobalField.TX_MODIFIABLE])] = bytes([flags])
    with refuses("FIELD_FORBIDDEN"):
        forger.read(written(asked))


@pytest.mark.parametrize("amount", [-(2**63), -1, MAX_MONEY + 1, 2**63 - 1])
def test_an_amount_that_cannot_be_is_refused(forger, amount):
    parts = as_version_2(forger.psbt().to_psbt())
    parts[2][0][bytes([OutputField.AMOUNT])] = number(amount, 8)
    with refuses("AMOUNT_RANGE"):
        forger.read(written(parts))


def test_another_index_of_the_same_previous_transaction_is_another_coin(forger, answer):
    parts, receive = answer
    parts[1][0][bytes([InputField.OUTPUT_INDEX])] = number(0)
    with refuses("COSIGNER_ALTERED"):
        receive()
    asked = as_version_2(forger.psbt().to_psbt())
    asked[1][0][bytes([InputField.OUTPUT_INDEX])] = number(0)
    with refuses("UTXO_CONFLICT"):
        forger.read(written(asked))


@pytest.mark.parametrize("which", ["both versions' transactions", "version 0 with counts", "version 2 without counts"])
def test_a_file_of_both_versions_is_refused(forger, which):
    honest = forger.psbt().to_psbt()
    parts = as_version_2(honest)
    head = parts[0][0]
    unsigned = {bytes([GlobalField.UNSIGNED_TX]): honest.unsigned_transaction.stripped()}
    match which:
        case "both versions' transactions":
            parts[0][0] = unsigned | head
        case "version 0 with counts":
            head[bytes([GlobalField.VERSION])] = number(0)
        case _:
            del head[bytes([GlobalField.INPUT_COUNT])]
    with refuses("PSBT_ENCODING"):
        written(parts)
