"""A vault transfer carries the fields on the list, and is written in one way."""

import dataclasses
import itertools

import embit.psbt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin.key_paths import KeyPath, TapKeyPath
from custody.bitcoin.profile import (
    MAX_FILE,
    MAX_KEYS,
    MAX_MAPS,
    MAX_SCRIPT,
    Direction,
    ProfileInput,
    ProfileOutput,
    TransferPsbt,
    read_transfer_file,
)
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.serialize import serialize_stack
from custody.bitcoin.sighash import tap_leaf_hash
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.asserts import refuses
from custody.units import HARDENED

TO, FROM = Direction.TO_SIGNER, Direction.FROM_SIGNER
G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
H = bytes.fromhex("02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")
WHOLE = b"\x04" + bytes.fromhex(
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
PATH = KeyPath(b"\xde\xad\xbe\xef", (48 + HARDENED, 1 + HARDENED, HARDENED, 2 + HARDENED, 0, 7))
XPUB = bytes.fromhex("043587cf") + b"\x04" + bytes(8) + b"\x07" * 32 + G
SIGNATURE = bytes.fromhex("3006020101020101") + b"\x01"
SCRIPT = b"\x52" + b"\x21" + G + b"\x21" + H + b"\x52\xae"
PREVIOUS = Transaction(2, (TxIn(OutPoint(b"\x11" * 32, 3), b"", 1),), (TxOut(5000, b"\x00\x20" + b"s" * 32),), 0)
WITNESSED = dataclasses.replace(PREVIOUS, witness=((b"hidden",),))
UNSIGNED = Transaction(
    2, (TxIn(OutPoint(PREVIOUS.txid, 0), b"", 0xFFFFFFFD),), (TxOut(4000, b"\x00\x14" + b"z" * 20),), 9
)

INPUT = ProfileInput(
    previous_transaction=PREVIOUS.serialize(),
    witness_utxo=PREVIOUS.outputs[0],
    witness_script=SCRIPT,
    redeem_script=b"\x00\x20" + b"s" * 32,
    key_paths=((G, PATH), (H, PATH)),
    signatures=((G, SIGNATURE),),
    sighash_type=1,
)
OUTPUT = ProfileOutput(witness_script=SCRIPT, redeem_script=b"\x51", key_paths=((H, PATH),))
X, Y = G[1:], H[1:]
SCHNORR = b"s" * 64
LEAF = b"\x20" + X + b"\xac\x20" + Y + b"\xba\x52\x9c"
ROOT = tap_leaf_hash(LEAF)
CONTROL = b"\xc1" + Y
TAP_PATHS = ((X, TapKeyPath.of(PATH, ROOT)), (Y, TapKeyPath(b"\xca\xfe\xca\xfe", (0, 7))))
TAP_INPUT = ProfileInput(
    previous_transaction=PREVIOUS.serialize(),
    witness_utxo=PREVIOUS.outputs[0],
    key_paths=TAP_PATHS,
    signatures=((X, SCHNORR),),
    leaf_script=LEAF,
    control_block=CONTROL,
    internal_key=Y,
    merkle_root=ROOT,
)
TAP_OUTPUT = ProfileOutput(key_paths=TAP_PATHS, leaf_script=LEAF, internal_key=Y)
TRANSFER = TransferPsbt(UNSIGNED, ((XPUB, KeyPath(b"\xde\xad\xbe\xef", PATH.path[:4])),), (INPUT,), (OUTPUT,))

TAP_TRANSFER = TransferPsbt(UNSIGNED, TRANSFER.account_keys, (TAP_INPUT,), (TAP_OUTPUT,))

Field = tuple[bytes, bytes]


def with_fields(
    *, more: tuple[Field, ...] = (), inputs: tuple[Field, ...] = (), outputs: tuple[Field, ...] = ()
) -> Psbt:
    """A small transfer with more fields in its maps."""
    psbt = TransferPsbt(UNSIGNED, (), (ProfileInput(),), (ProfileOutput(),)).to_psbt()
    return Psbt(0, PsbtMap((*psbt.global_map.pairs, *more)), (PsbtMap(inputs),), (PsbtMap(outputs),))


# Writing and reading back


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("transfer", [TRANSFER, TAP_TRANSFER])
def test_what_is_written_is_read_back(direction: Direction, transfer: TransferPsbt):
    psbt = transfer.to_psbt()
    assert TransferPsbt.from_psbt(psbt, direction) == transfer
    assert TransferPsbt.from_psbt(Psbt.parse(psbt.serialize()), direction) == transfer
    assert read_transfer_file(psbt.serialize(), direction) == transfer
    assert read_transfer_file(psbt.to_base64().encode() + b"\n", direction) == transfer


def test_a_finished_input_comes_back_and_does_not_go_out():
    finished = dataclasses.replace(INPUT, final_script_sig=b"\x22" + bytes(34), final_witness=(b"", SIGNATURE, SCRIPT))
    psbt = dataclasses.replace(TRANSFER, inputs=(finished,)).to_psbt()
    assert TransferPsbt.from_psbt(psbt, FROM).inputs == (finished,)
    with refuses("FIELD_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(psbt, TO)
    assert caught.error.field == "FINAL_SCRIPTSIG"


def test_keys_stand_in_ascending_order_whatever_the_order_of_values():
    mixed = dataclasses.replace(INPUT, key_paths=INPUT.key_paths[::-1], signatures=((H, SIGNATURE), (G, SIGNATURE)))
    psbt = dataclasses.replace(TRANSFER, inputs=(mixed,)).to_psbt()
    for each in (psbt.global_map, *psbt.inputs, *psbt.outputs):
        keys = [key for key, _ in each.pairs]
        assert all(a < b for a, b in itertools.pairwise(keys))
    assert psbt.version == 0
    assert psbt.global_map.get(b"\xfb") is None


def test_order_leaves_no_trace():
    psbt = TRANSFER.to_psbt()
    mixed = Psbt(
        0,
        PsbtMap(psbt.global_map.pairs[::-1]),
        tuple(PsbtMap(each.pairs[::-1]) for each in psbt.inputs),
        tuple(PsbtMap(each.pairs[::-1]) for each in psbt.outputs),
    )
    assert mixed != psbt
    assert TransferPsbt.from_psbt(mixed, FROM) == TRANSFER
    assert TransferPsbt.from_psbt(mixed, FROM).to_psbt() == psbt


def test_the_witness_of_a_previous_transaction_leaves_no_trace():
    psbt = with_fields(inputs=((b"\x00", WITNESSED.serialize()),))
    read = TransferPsbt.from_psbt(psbt, FROM)
    assert read.inputs[0].previous_transaction == PREVIOUS.serialize()
    written = TransferPsbt(
        UNSIGNED, (), (ProfileInput(previous_transaction=WITNESSED.serialize()),), (ProfileOutput(),)
    )
    assert b"hidden" not in written.to_psbt().serialize()
    assert written.to_psbt() == read.to_psbt()


def test_version_2_is_read_and_written_as_version_0():
    def number(value: int, size: int = 4) -> bytes:
        return value.to_bytes(size, "little")

    psbt = Psbt(
        2,
        PsbtMap(
            [
                (b"\x02", number(2)),
                (b"\x03", number(9)),
                (b"\x04", b"\x01"),
                (b"\x05", b"\x01"),
                (b"\x06", b"\x00"),
                (b"\xfb", number(2)),
            ]
        ),
        (
            PsbtMap(
                [
                    (b"\x0e", PREVIOUS.txid),
                    (b"\x0f", number(0)),
                    (b"\x10", number(0xFFFFFFFD)),
                    *TRANSFER.to_psbt().inputs[0].pairs,
                ]
            ),
        ),
        (PsbtMap([(b"\x03", number(4000, 8)), (b"\x04", UNSIGNED.outputs[0].script_pubkey)]),),
    )
    read = TransferPsbt.from_psbt(psbt, TO)
    assert read.transaction == UNSIGNED
    assert read.inputs == TRANSFER.inputs
    assert read.to_psbt().version == 0
    modifiable = PsbtMap([(key, b"\x01" if key == b"\x06" else value) for key, value in psbt.global_map.pairs])
    with refuses("FIELD_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(dataclasses.replace(psbt, global_map=modifiable), TO)
    assert caught.error.field == "TX_MODIFIABLE"


def test_another_program_reads_the_same():
    raw = TRANSFER.to_psbt().serialize()
    other = embit.psbt.PSBT.parse(raw)
    assert other.tx.txid() == UNSIGNED.txid[::-1]
    assert other.inputs[0].non_witness_utxo.txid() == PREVIOUS.txid[::-1]
    assert other.inputs[0].utxo.value == 5000
    assert {
        key.sec(): (path.fingerprint, tuple(path.derivation)) for key, path in other.inputs[0].bip32_derivations.items()
    } == {key: (path.fingerprint, path.path) for key, path in INPUT.key_paths}
    assert {key.sec(): value for key, value in other.inputs[0].partial_sigs.items()} == dict(INPUT.signatures)
    assert other.inputs[0].witness_script.data == other.outputs[0].witness_script.data == SCRIPT
    assert [key.serialize() for key in other.xpubs] == [XPUB]


keys = st.sampled_from([G, H, b"\x03" + G[1:], b"\x03" + H[1:]])
paths = st.builds(KeyPath, st.binary(min_size=4, max_size=4), st.lists(st.integers(0, 2**32 - 1), max_size=10))
key_paths = st.dictionaries(keys, paths).map(lambda found: tuple(sorted(found.items())))
signed = st.dictionaries(keys, st.binary(min_size=8, max_size=72).map(lambda der: der + b"\x01"))
profile_inputs = st.builds(
    ProfileInput,
    previous_transaction=st.sampled_from([b"", PREVIOUS.serialize()]),
    witness_utxo=st.sampled_from([None, PREVIOUS.outputs[0]]),
    witness_script=st.binary(max_size=300),
    redeem_script=st.binary(max_size=34),
    key_paths=key_paths,
    signatures=signed.map(lambda found: tuple(sorted(found.items()))),
    sighash_type=st.sampled_from([None, 1]),
    final_script_sig=st.binary(max_size=35),
    final_witness=st.sampled_from([(), (b"", SIGNATURE, SCRIPT), (b"",), (SIGNATURE, G)]),
)
profile_outputs = st.builds(
    ProfileOutput, witness_script=st.binary(max_size=300), redeem_script=st.binary(max_size=34), key_paths=key_paths
)


@given(profile_inputs, profile_outputs)
def test_every_transfer_has_one_psbt(one: ProfileInput, out: ProfileOutput):
    transfer = TransferPsbt(UNSIGNED, (), (one,), (out,))
    raw = transfer.to_psbt().serialize()
    read = TransferPsbt.from_psbt(Psbt.parse(raw), FROM)
    assert read == transfer
    assert hash(read) == hash(transfer)
    assert read.to_psbt().serialize() == raw


# What is not on the list


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(
    "field",
    [
        (b"\x09", b"proof of reserves"),
        (b"\x0b" + bytes(32), b"preimage"),
        (b"\x13", bytes(64)),
        (b"\x1a" + G, G),
        (b"\x19", b""),
        (b"\x60", b""),
        (b"\xf0x", b""),
        (b"\xfc\x04abcd\x00", b""),
        (b"\xfd\x00\x01", b""),
    ],
)
def test_other_input_fields_are_refused(field: Field, direction: Direction):
    with refuses("FIELD_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(with_fields(inputs=(field,)), direction)
    assert caught.error.where == "input 0"


@pytest.mark.parametrize(
    "field", [(b"\x08" + G, G), (b"\x06", b"\x00\xc0\x00"), (b"\x09", b""), (b"\xfc\x00\x00", b"")]
)
def test_other_output_fields_are_refused(field: Field):
    with refuses("FIELD_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(with_fields(outputs=(field,)), TO)
    assert caught.error.where == "output 0"


@pytest.mark.parametrize("field", [(b"\x07", b""), (b"\x60", b""), (b"\xfa", b""), (b"\xfc\x01x\x00key", b"secret")])
def test_other_global_fields_are_refused(field: Field):
    with refuses("FIELD_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(with_fields(more=(field,)), TO)
    assert caught.error.where == "global map"
    assert "secret" not in str(caught.error)


OVERSIZED = {
    "witness script": (b"\x05", bytes(MAX_SCRIPT + 1)),
    "redeem script": (b"\x04", bytes(521)),
    "path of 11 steps": (b"\x06" + G, bytes(4 + 44)),
    "signature of 74": (b"\x02" + G, bytes(73) + b"\x01"),
    "signature of 100 kB": (b"\x02" + G, bytes(100_000) + b"\x01"),
    "whole key in a signature": (b"\x02" + WHOLE, SIGNATURE),
    "whole key in a path": (b"\x06" + WHOLE, bytes(PATH)),
    "witness utxo with a long script": (b"\x01", TxOut(1, bytes(43)).serialize()),
    "final scriptSig of 36": (b"\x07", bytes(36)),
    "final witness of 23 items": (b"\x08", serialize_stack((b"",) * 23)),
    "final witness with a long item": (b"\x08", serialize_stack((b"", bytes(73) + b"\x01", SCRIPT))),
    "final witness with a long script": (b"\x08", serialize_stack((b"", bytes(MAX_SCRIPT + 1)))),
    "final witness of 100 kB": (b"\x08", serialize_stack((bytes(100_000),))),
}


@pytest.mark.parametrize("name", OVERSIZED)
def test_oversized_input_fields_are_refused(name: str):
    with refuses("FIELD_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(with_fields(inputs=(OVERSIZED[name],)), FROM)
    assert caught.error.where == "input 0"


def test_too_many_keys_are_refused():
    found = [(G[:-2] + number.to_bytes(2, "big"), bytes(PATH)) for number in range(MAX_KEYS + 1)]
    for kind in (b"\x06", b"\x02"):
        fields = tuple((kind + key, SIGNATURE if kind == b"\x02" else path) for key, path in found)
        TransferPsbt.from_psbt(with_fields(inputs=fields[:-1]), FROM)
        with refuses("FIELD_FORBIDDEN"):
            TransferPsbt.from_psbt(with_fields(inputs=fields), FROM)


# Hash types


@pytest.mark.parametrize("hash_type", [0x00, 0x02, 0x03, 0x04, 0x41, 0x81, 0x82, 0x83, 0xFF, 0x101, 0x01000000])
@pytest.mark.parametrize("direction", Direction)
def test_a_sighash_field_other_than_all_is_refused(hash_type: int, direction: Direction):
    with refuses("SIGHASH_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(with_fields(inputs=((b"\x03", hash_type.to_bytes(4, "little")),)), direction)
    assert caught.error.hash_type == hash_type
    assert caught.error.field == "SIGHASH_TYPE"


@pytest.mark.parametrize("hash_type", [0x00, 0x02, 0x03, 0x04, 0x41, 0x81, 0x82, 0x83, 0xFF])
@pytest.mark.parametrize("says_all", [True, False])
def test_a_signature_for_another_hash_type_is_refused(hash_type: int, says_all: bool):  # noqa: FBT001 - a case
    signature = SIGNATURE[:-1] + bytes([hash_type])
    field = ((b"\x03", b"\x01\x00\x00\x00"),) if says_all else ()
    with refuses("SIGHASH_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(with_fields(inputs=(*field, (b"\x02" + G, signature))), FROM)
    assert caught.error.field == "PARTIAL_SIG"
    stack = serialize_stack((b"", SIGNATURE, signature, SCRIPT))
    with refuses("SIGHASH_FORBIDDEN") as caught:
        TransferPsbt.from_psbt(with_fields(inputs=(*field, (b"\x08", stack))), FROM)
    assert caught.error.field == "FINAL_SCRIPTWITNESS"


def test_all_is_accepted_in_every_place():
    stack = serialize_stack((b"", SIGNATURE, SIGNATURE, SCRIPT))
    fields = ((b"\x02" + G, SIGNATURE), (b"\x03", b"\x01\x00\x00\x00"), (b"\x08", stack))
    read = TransferPsbt.from_psbt(with_fields(inputs=fields), FROM)
    assert read.inputs[0].sighash_type == 1
    assert read.inputs[0].final_witness == (b"", SIGNATURE, SIGNATURE, SCRIPT)


# Taproot


TAP_FIELDS = {
    "signature": (b"\x14" + X + ROOT, SCHNORR),
    "leaf script": (b"\x15" + CONTROL, LEAF + b"\xc0"),
    "derivation": (b"\x16" + X, bytes(TAP_PATHS[0][1])),
    "internal key": (b"\x17", Y),
    "merkle root": (b"\x18", ROOT),
}


def read_tap(*fields: Field) -> ProfileInput:
    return TransferPsbt.from_psbt(with_fields(inputs=fields), FROM).inputs[0]


def test_taproot_fields_are_written_as_bip_371_says():
    expected = {
        b"\x00": TAP_INPUT.previous_transaction,
        b"\x01": PREVIOUS.outputs[0].serialize(),
        b"\x14" + X + ROOT: SCHNORR,
        b"\x15" + CONTROL: LEAF + b"\xc0",
        b"\x16" + X: b"\x01" + ROOT + PATH,
        b"\x16" + Y: b"\x00" + bytes(KeyPath(b"\xca\xfe\xca\xfe", (0, 7))),
        b"\x17": Y,
        b"\x18": ROOT,
    }
    psbt = TAP_TRANSFER.to_psbt()
    assert psbt.inputs[0].pairs == tuple(sorted(expected.items()))
    tree = b"\x00\xc0" + bytes([len(LEAF)]) + LEAF
    paths = {b"\x07" + key: bytes(path) for key, path in TAP_PATHS}
    assert psbt.outputs[0].pairs == tuple(sorted({b"\x05": Y, b"\x06": tree, **paths}.items()))


def test_another_program_reads_the_same_of_taproot():
    other = embit.psbt.PSBT.parse(TAP_TRANSFER.to_psbt().serialize()).inputs[0]
    assert other.taproot_internal_key.xonly() == Y
    assert other.taproot_merkle_root == ROOT
    assert other.taproot_scripts == {CONTROL: LEAF + b"\xc0"}
    assert {(key.xonly(), leaf): each for (key, leaf), each in other.taproot_sigs.items()} == {(X, ROOT): SCHNORR}
    assert {
        key.xonly(): (tuple(leaves), path.fingerprint, tuple(path.derivation))
        for key, (leaves, path) in other.taproot_bip32_derivations.items()
    } == {key: (path.leaf_hashes, path.fingerprint, path.path) for key, path in TAP_PATHS}


@pytest.mark.parametrize("name", TAP_FIELDS)
@pytest.mark.parametrize(
    "beside",
    [
        (b"\x02" + G, SIGNATURE),
        (b"\x04", b"\x51"),
        (b"\x05", SCRIPT),
        (b"\x06" + G, bytes(PATH)),
        (b"\x07", b"\x22" + bytes(34)),
    ],
)
def test_an_input_is_of_segwit_v0_or_of_taproot(name: str, beside: Field):
    assert read_tap(TAP_FIELDS[name])
    with refuses("FIELD_FORBIDDEN") as caught:
        read_tap(TAP_FIELDS[name], beside)
    assert "taproot" in str(caught.error)


@pytest.mark.parametrize("own", [(b"\x05", Y), (b"\x06", b"\x00\xc0\x01\x51"), (b"\x07" + X, b"\x00" + PATH)])
@pytest.mark.parametrize("beside", [(b"\x00", b"\x51"), (b"\x01", SCRIPT), (b"\x02" + G, bytes(PATH))])
def test_an_output_is_of_segwit_v0_or_of_taproot(own: Field, beside: Field):
    TransferPsbt.from_psbt(with_fields(outputs=(own,)), TO)
    with refuses("FIELD_FORBIDDEN"):
        TransferPsbt.from_psbt(with_fields(outputs=(own, beside)), TO)


def test_the_merkle_root_is_known_from_whatever_names_the_script():
    for name in ("signature", "leaf script", "merkle root"):
        assert read_tap(TAP_FIELDS[name]).merkle_root == ROOT
    assert read_tap(TAP_FIELDS["internal key"]).merkle_root == b""


OTHER_SCRIPT = {
    "signature": (b"\x14" + Y + bytes(32), SCHNORR),
    "merkle root": (b"\x18", bytes(32)),
    "leaf script": (b"\x15" + CONTROL, b"\x51\xc0"),
}


@pytest.mark.parametrize(("name", "other"), [*itertools.permutations(OTHER_SCRIPT, 2), ("signature", "signature")])
def test_what_names_a_script_names_the_same_one(name: str, other: str):
    with refuses("FIELD_FORBIDDEN"):
        read_tap(TAP_FIELDS[name], OTHER_SCRIPT[other])


TAP_FORBIDDEN = {
    "signature by the internal key": (b"\x13", SCHNORR),
    "branch of a larger tree": (b"\x15" + CONTROL + bytes(32), LEAF + b"\xc0"),
    "other leaf version": (b"\x15" + CONTROL, LEAF + b"\xc2"),
    "other leaf version in the control block": (b"\x15\xc2" + Y, LEAF + b"\xc0"),
    "empty leaf": (b"\x15" + CONTROL, b"\xc0"),
    "leaf of 3601": (b"\x15" + CONTROL, bytes(MAX_SCRIPT + 1) + b"\xc0"),
    "key in two scripts": (b"\x16" + X, b"\x02" + bytes(64) + PATH),
    "path of 11 steps": (b"\x16" + X, b"\x01" + ROOT + bytes(4 + 44)),
}


@pytest.mark.parametrize("place", ["root", "signature"])
def test_a_private_key_in_the_place_of_a_root_is_a_secret(place: str):
    # The private key of X is 1.
    one = bytes(31) + b"\x01"
    named = (b"\x16" + X, b"\x00" + PATH)
    with refuses("SECRET_MATERIAL"):
        read_tap(named, (b"\x18", one) if place == "root" else (b"\x14" + Y + one, SCHNORR))


@pytest.mark.parametrize("name", TAP_FORBIDDEN)
@pytest.mark.parametrize("direction", Direction)
def test_other_taproot_fields_are_refused(name: str, direction: Direction):
    with refuses("FIELD_FORBIDDEN"):
        TransferPsbt.from_psbt(with_fields(inputs=(TAP_FORBIDDEN[name],)), direction)


def test_two_scripts_in_one_input_are_refused():
    with refuses("FIELD_FORBIDDEN"):
        read_tap(TAP_FIELDS["leaf script"], (b"\x15\xc0" + Y, LEAF + b"\xc0"))


@pytest.mark.parametrize(
    "tree", [b"\x01\xc0\x01\x51\x01\xc0\x01\x52", b"\x00\xc2\x01\x51", b"\x00\xc0\xfd\x11\x0e" + bytes(3601)]
)
def test_other_trees_are_refused(tree: bytes):
    with refuses("FIELD_FORBIDDEN"):
        TransferPsbt.from_psbt(with_fields(outputs=((b"\x06", tree),)), TO)


@pytest.mark.parametrize("hash_type", [0x01, 0x02, 0x03, 0x04, 0x41, 0x81, 0x82, 0x83, 0xFF, 0x100])
@pytest.mark.parametrize("name", TAP_FIELDS)
def test_taproot_asks_for_default_alone(hash_type: int, name: str):
    assert read_tap(TAP_FIELDS[name], (b"\x03", bytes(4))).sighash_type == 0
    with refuses("SIGHASH_FORBIDDEN") as caught:
        read_tap(TAP_FIELDS[name], (b"\x03", hash_type.to_bytes(4, "little")))
    assert caught.error.hash_type == hash_type


@pytest.mark.parametrize("hash_type", [0x00, 0x01, 0x02, 0x03, 0x04, 0x41, 0x81, 0x82, 0x83, 0xFF])
def test_a_schnorr_signature_does_not_write_its_hash_type(hash_type: int):
    typed = SCHNORR + bytes([hash_type])
    with refuses("SIGHASH_FORBIDDEN") as caught:
        read_tap((b"\x14" + X + ROOT, typed))
    assert (caught.error.field, caught.error.hash_type) == ("TAP_SCRIPT_SIG", hash_type)
    for stack in ((typed, LEAF, CONTROL), (SCHNORR, b"", typed, LEAF, CONTROL)):
        with refuses("SIGHASH_FORBIDDEN") as caught:
            read_tap((b"\x08", serialize_stack(stack)))
        assert (caught.error.field, caught.error.hash_type) == ("FINAL_SCRIPTWITNESS", hash_type)


def test_a_finished_taproot_input_comes_back_and_does_not_go_out():
    stack = (b"", SCHNORR, LEAF, CONTROL)
    psbt = with_fields(inputs=((b"\x08", serialize_stack(stack)),))
    assert TransferPsbt.from_psbt(psbt, FROM).inputs[0].final_witness == stack
    with refuses("FIELD_FORBIDDEN"):
        TransferPsbt.from_psbt(psbt, TO)


@pytest.mark.parametrize(
    "stack", [(SCHNORR,), (SCHNORR + b"\x01",), (SCHNORR, b"\x50"), (b"", SCHNORR, LEAF, CONTROL, b"\x50note")]
)
def test_a_final_witness_spends_by_the_script_alone(stack: tuple[bytes, ...]):
    with refuses("TAPROOT_KEYPATH"):
        read_tap((b"\x08", serialize_stack(stack)))


x_only = st.sampled_from([X, Y])
tap_paths = st.dictionaries(
    x_only, st.builds(TapKeyPath.of, paths) | st.builds(TapKeyPath.of, paths, st.binary(min_size=32, max_size=32))
).map(lambda found: tuple(sorted(found.items())))
tap_signed = st.dictionaries(x_only, st.binary(min_size=64, max_size=64)).map(
    lambda found: tuple(sorted(found.items()))
)
tap_inputs = st.builds(
    ProfileInput,
    previous_transaction=st.sampled_from([b"", PREVIOUS.serialize()]),
    witness_utxo=st.sampled_from([None, PREVIOUS.outputs[0]]),
    key_paths=tap_paths,
    signatures=tap_signed,
    sighash_type=st.sampled_from([None, 0]),
    final_witness=st.sampled_from([(), (b"", SCHNORR, LEAF, CONTROL)]),
    leaf_script=st.just(LEAF),
    control_block=st.just(CONTROL),
    internal_key=st.sampled_from([b"", Y]),
    merkle_root=st.just(ROOT),
)
tap_outputs = st.builds(
    ProfileOutput,
    key_paths=tap_paths,
    leaf_script=st.binary(max_size=300),
    internal_key=st.sampled_from([b"", Y]),
)


@given(tap_inputs, tap_outputs)
def test_every_taproot_transfer_has_one_psbt(one: ProfileInput, out: ProfileOutput):
    transfer = TransferPsbt(UNSIGNED, (), (one,), (out,))
    raw = transfer.to_psbt().serialize()
    read = TransferPsbt.from_psbt(Psbt.parse(raw), FROM)
    assert read == transfer
    assert hash(read) == hash(transfer)
    assert read.to_psbt().serialize() == raw


# Sizes


def test_a_transaction_too_heavy_for_nodes_is_refused():
    outputs = (TxOut(1000, b"\x00\x20" + bytes(32)),) * 2400
    heavy = dataclasses.replace(UNSIGNED, outputs=outputs)
    psbt = TransferPsbt(heavy, (), (ProfileInput(),), (ProfileOutput(),) * 2400).to_psbt()
    with refuses("LIMIT") as caught:
        TransferPsbt.from_psbt(psbt, TO)
    assert caught.error.what == "weight units"
    assert TransferPsbt.from_psbt(psbt, TO, max_weight=caught.error.count).transaction == heavy


def test_more_inputs_than_a_transaction_holds_are_refused_before_they_are_read():
    many = (TxIn(OutPoint(bytes(32), 0), b"", 0),) * (MAX_MAPS + 1)
    raw = Transaction(2, many, UNSIGNED.outputs, 0).stripped()
    # The maps that it announces do not follow: the count is looked at first.
    data = b"psbt\xff\x01\x00\xfe" + len(raw).to_bytes(4, "little") + raw + b"\x00"
    with refuses("LIMIT") as caught:
        read_transfer_file(data, TO)
    assert caught.error.what == "inputs"


def test_a_file_above_the_largest_size_is_refused():
    with refuses("LIMIT"):
        read_transfer_file(bytes(MAX_FILE + 1), TO)
    with refuses("PSBT_ENCODING"):
        read_transfer_file(bytes(MAX_FILE), TO)
