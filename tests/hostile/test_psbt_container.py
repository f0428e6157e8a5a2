"""The PSBT container as an attacker writes it: each input trips one check and nothing else happens.

A carrier of files (a USB stick, a QR code, the coordinator) chooses every byte; the reader must refuse by name, in
little memory, and with no error but our own. Sources: BIP 174, 370, 371, 373; the reports beside each group.
"""

import base64
import hashlib
import os
import random
import struct
import tracemalloc

import pytest

from custody.bitcoin.profile import Direction, ProfileInput, ProfileOutput, TransferPsbt, read_transfer_file
from custody.bitcoin.psbt import Psbt, PsbtMap, read_psbt_file
from custody.bitcoin.transaction import OutPoint, PreviousTransaction, Transaction, TxIn, TxOut
from custody.errors import CustodyError
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast
from custody.vault.templates import ScriptType

TO, FROM = Direction.TO_SIGNER, Direction.FROM_SIGNER
KEYS = [
    bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
    bytes.fromhex("02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"),
    bytes.fromhex("02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9"),
]
SCRIPT = b"\x52" + b"".join(b"\x21" + key for key in KEYS) + b"\x53\xae"
SPENT = TxOut(70_000, b"\x00\x20" + hashlib.sha256(SCRIPT).digest())
PREVIOUS = [
    Transaction(2, (TxIn(OutPoint(bytes([n]) * 32, n), b"", 0xFFFFFFFD),), (SPENT, SPENT), 0, ((b"s" * 71, KEYS[0]),))
    for n in range(1, 4)
]
UNSIGNED = Transaction(
    2,
    tuple(TxIn(OutPoint(each.txid, 1), b"", 0xFFFFFFFD) for each in PREVIOUS),
    (TxOut(100_000, b"\x00\x14" + bytes(20)), TxOut(60_000, SPENT.script_pubkey)),
    100,
)
ORIGIN = b"\xde\xad\xbe\xef" + struct.pack("<6I", 0x80000030, 0x80000001, 0x80000000, 0x80000002, 0, 5)
XPUB = bytes.fromhex("043587cf") + b"\x04" + bytes(8) + b"\x07" * 32 + KEYS[0]
SIGNATURE = bytes.fromhex("3006020101020101") + b"\x01"

GLOBAL = ((b"\x00", UNSIGNED.stripped()), (b"\x01" + XPUB, ORIGIN[:20]))
INPUTS = tuple(
    (
        (b"\x00", each.stripped()),
        (b"\x01", SPENT.serialize()),
        (b"\x02" + KEYS[1], SIGNATURE),
        (b"\x03", b"\x01\x00\x00\x00"),
        (b"\x05", SCRIPT),
        *((b"\x06" + key, ORIGIN) for key in KEYS),
    )
    for each in PREVIOUS
)
OUTPUTS = ((), ((b"\x01", SCRIPT), *((b"\x02" + key, ORIGIN) for key in KEYS)))


def psbt(*, more: tuple = (), first: tuple = (), last: tuple = ()) -> Psbt:
    """An honest transfer of three inputs and two outputs, with fields added to the first or last of its maps."""
    return Psbt(
        0,
        PsbtMap((*GLOBAL, *more)),
        tuple(PsbtMap((*fields, *(first if number == 0 else ()))) for number, fields in enumerate(INPUTS)),
        tuple(PsbtMap((*fields, *(last if number == 1 else ()))) for number, fields in enumerate(OUTPUTS)),
    )


HONEST = psbt().serialize()


def test_the_honest_transfer_passes_everywhere():
    for direction in Direction:
        assert TransferPsbt.from_psbt(Psbt.parse(HONEST), direction).to_psbt().serialize() == HONEST
        assert read_transfer_file(HONEST, direction) == read_transfer_file(base64.b64encode(HONEST), direction)


# B1: one spelling. embit accepts versions 1 and 7, long integers and base64 junk; Core wrote duplicate keys (#35665).


MAPS = (GLOBAL, *INPUTS, *OUTPUTS)


@pytest.mark.parametrize(("at", "field"), [(at, field) for at, each in enumerate(MAPS) for field in each])
def test_b1_every_field_is_refused_when_it_stands_twice(at: int, field: tuple[bytes, bytes]):
    parts = [PsbtMap((field, *each) if place == at else each).raw for place, each in enumerate(MAPS)]
    with refuses("PSBT_ENCODING") as caught:
        Psbt.parse(b"psbt\xff" + b"".join(parts))
    assert "twice" in str(caught.error)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_b1_every_length_in_a_longer_form_is_refused(width: int):
    prefix = {2: b"\xfd", 4: b"\xfe", 8: b"\xff"}[width]
    at, lengths = 5, []
    while at < len(HONEST):
        for _ in range(2):
            lengths.append(at)
            wide = {0xFD: 2}.get(HONEST[at], 0)
            size = int.from_bytes(HONEST[at + 1 : at + 1 + wide], "little") if wide else HONEST[at]
            at += 1 + wide + size
            if size == 0 and not wide and len(lengths) % 2:
                lengths.append(-1)  # a separator has no value
                break
    changed = 0
    for start in lengths:
        if start < 0 or HONEST[start] >= 0xFD:
            continue
        changed += 1
        longer = HONEST[:start] + prefix + HONEST[start].to_bytes(width, "little") + HONEST[start + 1 :]
        with refuses("PSBT_ENCODING"):
            Psbt.parse(longer)
    assert changed > 60


@pytest.mark.parametrize("tail", [b"\x00", b"\n", b"\x01\xf0\x00\x00", HONEST])
def test_b1_trailing_bytes_are_refused(tail: bytes):
    with refuses("PSBT_ENCODING"):
        Psbt.parse(HONEST + tail)


@pytest.mark.parametrize("change", ["\n\n", " ", "=", "%", "\x00"])
def test_b1_base64_junk_is_refused(change: str):
    text = base64.b64encode(HONEST).decode()
    for place in (0, 76, len(text)):
        with refuses("PSBT_ENCODING"):
            read_psbt_file((text[:place] + change + text[place:]).encode())
    with refuses("PSBT_ENCODING"):
        read_psbt_file((text + "AAAA").encode())


@pytest.mark.parametrize("version", [1, 2, 3, 7, 255, 2**31])
def test_b1_another_version_is_refused(version: int):
    raw = b"psbt\xff" + PsbtMap((*GLOBAL, (b"\xfb", version.to_bytes(4, "little")))).raw
    with refuses("PSBT_ENCODING"):
        Psbt.parse(raw + b"".join(PsbtMap(each).raw for each in (*INPUTS, *OUTPUTS)))


# B2: one version. A field of version 2 in version 0 is a second opinion about the transaction (BIP 370).


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ("global", (b"\x02", bytes(4))),
        ("global", (b"\x03", bytes(4))),
        ("global", (b"\x04", b"\x03")),
        ("global", (b"\x05", b"\x02")),
        ("global", (b"\x06", b"\x00")),
        ("input", (b"\x0e", bytes(32))),
        ("input", (b"\x0f", bytes(4))),
        ("input", (b"\x10", bytes(4))),
        ("input", (b"\x11", b"\xff\xff\xff\xff")),
        ("input", (b"\x12", b"\x01\x00\x00\x00")),
        ("output", (b"\x03", bytes(8))),
        ("output", (b"\x04", b"\x51")),
    ],
)
def test_b2_a_version_2_field_in_version_0_is_refused(place: str, field: tuple[bytes, bytes]):
    adds = {"global": "more", "input": "first", "output": "last"}
    with refuses("PSBT_ENCODING") as caught:
        psbt(**{adds[place]: (field,)})
    assert "version 2 only" in str(caught.error)


# B3: nothing rides along. BIP 174 passes unknown fields on, which is a channel out of an air gap.


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("size", [0, 32, 100_000])
@pytest.mark.parametrize("place", ["more", "first", "last"])
@pytest.mark.parametrize(
    "key", [b"\xfc\x04abcd\x00", b"\xfc\x00\x00" + bytes(200), b"\x60", b"\xf0" + bytes(2000), b"\xfa"]
)
def test_b3_unknown_and_proprietary_fields_are_refused(direction: Direction, size: int, place: str, key: bytes):
    carried = Psbt.parse(psbt(**{place: ((key, bytes(size)),)}).serialize())
    with refuses("FIELD_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(carried, direction)
    assert len(str(caught.error)) < 200


@pytest.mark.parametrize("kind", [b"\x09", b"\x13", b"\x17", b"\x18"])
def test_b3_known_fields_that_no_transfer_needs_are_refused(kind: bytes):
    value = {b"\x09": b"", b"\x13": bytes(64)}.get(kind, bytes(32))
    for direction in Direction:
        with refuses("FIELD_FORBIDDEN"):
            TransferPsbt.from_psbt(psbt(first=((kind, value),)), direction)


def test_b3_a_blob_in_an_allowed_field_is_refused():
    for field in ((b"\x04", bytes(100_000)), (b"\x02" + KEYS[0], bytes(100_000)), (b"\x07", bytes(100_000))):
        with refuses("FIELD_FORBIDDEN"):
            TransferPsbt.from_psbt(psbt(first=(field,)), FROM)


def test_b3_a_previous_transaction_s_witness_carries_nothing_across():
    hidden = hashlib.sha256(b"a key on its way out").digest()
    carrier = Transaction(2, PREVIOUS[0].inputs, PREVIOUS[0].outputs, 0, ((hidden,),))
    assert carrier.txid == PREVIOUS[0].txid
    fields = [(key, carrier.serialize() if key == b"\x00" else value) for key, value in INPUTS[0]]
    raw = Psbt(0, PsbtMap(GLOBAL), (PsbtMap(fields), *psbt().inputs[1:]), psbt().outputs).serialize()
    assert hidden in raw
    assert read_transfer_file(raw, FROM).to_psbt().serialize() == HONEST


# B4: sizes before memory. embit allocates the announced count; CVE-2024-44073 and bitcoin#36032 are the same family.


def peak_of_refusal(code: str, raw: bytes) -> int:
    tracemalloc.start()
    try:
        with refuses(code):
            read_transfer_file(raw, TO)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("count", "size"), [(b"\xfe" + b"\xff" * 4, 32), (b"\xff" + b"\x00" * 4 + b"\x01" + bytes(3), 36)]
)
def test_b4_a_few_bytes_that_announce_four_billion_inputs(count: bytes, size: int):
    two = b"\x02\x00\x00\x00"
    raw = b"psbt\xff" + PsbtMap([(b"\x02", two), (b"\x04", count), (b"\x05", b"\x00"), (b"\xfb", two)]).raw
    assert len(raw) == size
    assert peak_of_refusal("LIMIT", raw) < 64_000


def test_b4_an_unsigned_transaction_that_announces_2_to_the_32_inputs():
    raw = b"psbt\xff\x01\x00\x0e\x02\x00\x00\x00\xff\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00"
    assert len(raw) < 32
    assert peak_of_refusal("LIMIT", raw) < 64_000


def test_b4_ten_thousand_real_inputs_are_counted_and_not_read():
    many = tuple(TxIn(OutPoint(number.to_bytes(32, "big"), 0), b"", 0) for number in range(10_000))
    transaction = Transaction(2, many, UNSIGNED.outputs, 0)
    empty = (ProfileInput(),) * 10_000
    raw = TransferPsbt(transaction, (), empty, (ProfileOutput(),) * 2).to_psbt().serialize()
    assert len(Psbt.parse(raw).inputs) == 10_000
    assert peak_of_refusal("LIMIT", raw) < 64_000_000


@pytest.mark.parametrize("size", [2**31, 2**32, 2**63, 2**64 - 1])
def test_b4_announced_lengths_take_no_memory(size: int):
    length = b"\xff" + size.to_bytes(8, "little")
    for raw in (b"psbt\xff" + length, b"psbt\xff\x01\x00" + length, b"psbt\xff\x01\xaa" + length + bytes(99)):
        assert peak_of_refusal("PSBT_ENCODING", raw) < 64_000


def test_b4_a_map_of_a_million_fields_is_refused():
    fields = b"".join(b"\x04\xaa" + number.to_bytes(3, "little") + b"\x00" for number in range(1_000_000))
    assert peak_of_refusal("LIMIT", b"psbt\xff" + fields + b"\x00") < 8_000_000


def test_b4_a_deep_taproot_tree_is_walked_without_recursion():
    leaf = b"\xc0\x00"
    tree = b"".join(b"\x80" + leaf for _ in range(100_000))
    with refuses("PSBT_ENCODING"):
        psbt(last=((b"\x06", tree),))


# B5: our own errors only. bitcoin#17149 and #30077 crashed on inputs like these.


@pytest.mark.parametrize(
    "signature",
    [
        b"\x01",
        b"\x30\x01",
        b"\x30\x06\x02\x01\x00\x02\x01\x00\x01",
        bytes(72) + b"\x01",
        b"\xff" * 72 + b"\x01",
        b"0" * 73,
    ],
)
def test_b5_an_invalid_signature_is_a_value_or_a_refusal(signature: bytes):
    read = psbt(first=((b"\x02" + KEYS[0], signature),))
    try:
        found = dict(TransferPsbt.from_psbt(Psbt.parse(read.serialize()), FROM).inputs[0].signatures)
    except CustodyError as error:
        found = error.code
    # Whether it signs anything is the combiner's to find out; its hash type is looked at here.
    assert found == ({KEYS[0]: signature, KEYS[1]: SIGNATURE} if signature[-1] == 1 else "SIGHASH_FORBIDDEN")


def test_b5_an_empty_signature_is_refused():
    with refuses("PSBT_ENCODING"):
        psbt(first=((b"\x02" + KEYS[0], b""),))


def spoil(chance: random.Random, raw: bytearray) -> None:
    """Change `raw` once, the way a bad medium or an attacker would."""
    at = chance.randrange(len(raw))
    other = chance.randrange(len(raw))
    sizes = (1, 2, 4, 33, 36, 300)
    match chance.randrange(7):
        case 0:
            raw[at] = chance.randrange(256)
        case 1:
            raw[at] ^= 1 << chance.randrange(8)
        case 2:
            del raw[at : at + chance.choice(sizes)]
        case 3:
            raw[at:at] = chance.randbytes(chance.choice(sizes))
        case 4:
            raw[at:at] = raw[other : other + chance.choice(sizes)]
        case 5:
            raw[at] = chance.choice((0x00, 0x01, 0xFC, 0xFD, 0xFE, 0xFF))
        case _:
            raw[at : at + 9] = b"\xff" + chance.choice((2**16, 2**32, 2**63, 2**64 - 1)).to_bytes(8, "little")
    if not raw:
        raw += b"\x00"


def read_as_transfer(data: bytes) -> None:
    read_transfer_file(data, FROM).to_psbt()


def read_as_psbt(data: bytes) -> None:
    assert Psbt.parse(data).serialize() == data


def read_as_transaction(data: bytes) -> None:
    assert Transaction.parse(data).serialize() == data


def read_as_previous_transaction(data: bytes) -> None:
    assert PreviousTransaction(data).output(0) is not None


READERS = (read_as_transfer, read_as_psbt, read_as_transaction, read_as_previous_transaction)


def test_b5_spoiled_files_give_our_own_errors_only(forger_of):
    # CUSTODY_FUZZ_ROUNDS=1000000 makes a campaign of it; a failure prints its round, which is its seed.
    finished = ProfileInput(final_script_sig=b"\x22" + bytes(34), final_witness=(b"", SIGNATURE, SIGNATURE, SCRIPT))
    sources = [
        HONEST,
        base64.b64encode(HONEST),
        TransferPsbt(UNSIGNED, (), (finished,) * 3, (ProfileOutput(),) * 2).to_psbt().serialize(),
        *(each.serialize() for each in PREVIOUS),
    ]
    for script_type in (ScriptType.SH_WSH, ScriptType.TR):
        asked = forger_of(make_cast(Setting(script_type=script_type)))
        sources += [
            each.serialize() for each in (asked.psbt().to_psbt(), asked.cast.signers[0].sign(asked.psbt().to_psbt()))
        ]
    codes: set[str] = set()
    for number in range(int(os.environ.get("CUSTODY_FUZZ_ROUNDS", "3000"))):
        chance = random.Random(number)  # noqa: S311 - the same every time, and nothing secret
        raw = bytearray(chance.choice(sources))
        for _ in range(chance.choice((1, 1, 2, 6))):
            spoil(chance, raw)
        for read in READERS:
            try:
                read(bytes(raw))
            except CustodyError as error:
                codes.add(error.code)
            except Exception as error:  # noqa: BLE001 - that none comes out is the claim
                pytest.fail(f"round {number}, {read.__name__}: {error!r}")
            else:
                codes.add("accepted")
    assert codes >= {"accepted", "PSBT_ENCODING", "TX_ENCODING", "PREVTX_TXID", "FIELD_FORBIDDEN", "LIMIT"}
