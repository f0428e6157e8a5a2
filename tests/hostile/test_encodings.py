"""One spelling all the way down (THREATS B1, B4, B7): sizes inside fields, text around files, witnesses of others.

`test_psbt_container` spoils the maps of a PSBT. Here the lie stands inside a value that is well-formed as a field: a
count in a transaction, a stack, a tree; or outside of the PSBT, in how its text is written.
"""

from __future__ import annotations

import base64
import hashlib
import tracemalloc
from dataclasses import replace

import pytest

from custody.bitcoin.lock import WitnessScript
from custody.bitcoin.profile import Direction, read_transfer_file
from custody.bitcoin.psbt import Psbt, PsbtMap, read_psbt_file
from custody.bitcoin.psbt_fields import GlobalField, InputField, OutputField
from custody.bitcoin.script import multisig_script
from custody.bitcoin.serialize import serialize_stack
from custody.bitcoin.transaction import TxOut
from custody.errors import CustodyError
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast
from custody.transfer.signing import accept
from custody.vault.templates import ScriptType

FROM = Direction.FROM_SIGNER
WIDTHS = {2: b"\xfd", 4: b"\xfe", 8: b"\xff"}


@pytest.fixture(scope="module")
def honest(forger) -> Psbt:
    return forger.psbt().to_psbt()


@pytest.fixture(scope="module")
def tr_forger(forger_of):
    return forger_of(make_cast(Setting(script_type=ScriptType.TR)))


def longer(data: bytes, at: int, width: int) -> bytes:
    """`data` with the size at `at`, one byte, written in `width` more."""
    assert data[at] < 0xFD
    return data[:at] + WIDTHS[width] + data[at].to_bytes(width, "little") + data[at + 1 :]


def as_file(psbt: Psbt, where: str, index: int, key: bytes, value: bytes) -> bytes:
    """The file with one field of one map set to a value, whatever that is."""
    maps = {"global": [psbt.global_map], "input": list(psbt.inputs), "output": list(psbt.outputs)}
    kept = [pair for pair in maps[where][index].pairs if pair[0] != key]
    maps[where][index] = PsbtMap([(key, value), *kept])
    return b"psbt\xff" + b"".join(each.raw for group in maps.values() for each in group)


# --- B1: sizes inside values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["inputs", "scriptSig", "outputs", "script"])
def test_b1_a_size_in_the_unsigned_transaction_in_a_longer_form_is_refused(honest, which, width):
    raw = honest.unsigned_transaction.stripped()
    inputs = len(honest.unsigned_transaction.inputs)
    outputs = 5 + 41 * inputs
    at = {"inputs": 4, "scriptSig": 5 + 36, "outputs": outputs, "script": outputs + 1 + 8}[which]
    key = bytes([GlobalField.UNSIGNED_TX])
    with refuses("PSBT_ENCODING"):
        read_psbt_file(as_file(honest, "global", 0, key, longer(raw, at, width)))
    assert read_psbt_file(as_file(honest, "global", 0, key, raw)).unsigned_transaction.stripped() == raw


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["inputs", "scriptSig", "outputs", "script"])
def test_b1_a_size_in_a_previous_transaction_in_a_longer_form_is_refused(honest, which, width):
    # With its txid taken from the longer bytes it would be another coin; with the honest one, a second spelling.
    key = bytes([InputField.NON_WITNESS_UTXO])
    raw = honest.inputs[0].get(key)
    assert raw[4] == 1
    at = {"inputs": 4, "scriptSig": 5 + 36, "outputs": 5 + 41, "script": 5 + 41 + 1 + 8}[which]
    with refuses("PSBT_ENCODING"):
        read_psbt_file(as_file(honest, "input", 0, key, longer(raw, at, width)))


@pytest.mark.parametrize("width", WIDTHS)
def test_b1_a_size_in_an_amount_s_script_in_a_longer_form_is_refused(honest, width):
    key = bytes([InputField.WITNESS_UTXO])
    with refuses("PSBT_ENCODING"):
        read_psbt_file(as_file(honest, "input", 1, key, longer(honest.inputs[1].get(key), 8, width)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("at", [0, 1])
def test_b1_a_size_in_a_final_witness_in_a_longer_form_is_refused(honest, at, width):
    stack = serialize_stack((b"\x01" * 9, b"\x51"))
    with refuses("PSBT_ENCODING"):
        read_psbt_file(as_file(honest, "input", 0, bytes([InputField.FINAL_SCRIPTWITNESS]), longer(stack, at, width)))


@pytest.mark.parametrize("width", WIDTHS)
def test_b1_a_size_in_a_taproot_field_in_a_longer_form_is_refused(tr_forger, width):
    psbt = tr_forger.psbt().to_psbt()
    at = next(index for index, each in enumerate(psbt.outputs) if each.pairs)
    tree, prefix = bytes([OutputField.TAP_TREE]), bytes([InputField.TAP_BIP32_DERIVATION])
    with refuses("PSBT_ENCODING"):
        read_psbt_file(as_file(psbt, "output", at, tree, longer(psbt.outputs[at].get(tree), 2, width)))
    key, value = next(each for each in psbt.inputs[0].pairs if each[0][:1] == prefix)
    with refuses("PSBT_ENCODING"):
        read_psbt_file(as_file(psbt, "input", 0, key, longer(value, 0, width)))


@pytest.mark.parametrize("where", ["global", "input", "output"])
def test_b1_a_field_s_type_in_a_longer_form_is_another_field_and_refused(honest, where):
    # fd0200 is type 2 to a reader that does not mind; to one that does, it must not be type 2.
    key = b"\xfd" + bytes([InputField.PARTIAL_SIG]) + b"\x00" + bytes(33)
    with refuses("PSBT_ENCODING"):
        read_transfer_file(as_file(honest, where, 0, key, bytes(71) + b"\x01"), FROM)


# --- B1: the text -----------------------------------------------------------------------------------------------------


def test_b1_the_last_character_of_base64_has_no_spare_bits(honest):
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    texts, refused = 0, 0
    for extra in range(3):
        # Of every length that leaves spare bits: another locktime field pads the file by a byte or two.
        raw = b"psbt\xff" + bytes(extra)
        text = base64.b64encode(raw)
        if not text.endswith(b"="):
            continue
        texts += 1
        at = len(text.rstrip(b"=")) - 1
        for each in alphabet:
            other = text[:at] + bytes([each]) + text[at + 1 :]
            if other != text and base64.b64decode(other) == raw:
                with refuses("PSBT_ENCODING") as caught:
                    read_psbt_file(other)
                assert "not the base64 of its bytes" in str(caught.error)
                refused += 1
    assert (texts, refused) == (2, 3 + 15)
    assert read_psbt_file(base64.b64encode(honest.serialize())) == honest


@pytest.mark.parametrize("junk", ["-", "_", "\t", "\r", "\r\n", ",", "\u00e9", "\ufeff", "psbt:"])
def test_b1_other_characters_in_the_text_are_refused(honest, junk):
    text = honest.to_base64()
    for changed in (junk + text, text[:8] + junk + text[8:], text[:8] + junk + text[9:]):
        with refuses("PSBT_ENCODING"):
            read_psbt_file(changed.encode("utf-8"))


@pytest.mark.parametrize(
    "start", [b"psbt\xfe", b"PSBT\xff", b"psbt", b"\x70\x73\x65\x74\xff", b"psbt\x00\xff", b"\xff", b""]
)
def test_b1_another_start_is_no_psbt(honest, start):
    with refuses("PSBT_ENCODING"):
        read_psbt_file(start + honest.serialize()[5:])


def test_b1_hexadecimal_and_twice_encoded_text_are_no_psbt(honest):
    for text in (honest.serialize().hex(), base64.b64encode(honest.to_base64().encode()).decode()):
        with refuses("PSBT_ENCODING"):
            read_psbt_file(text.encode())


# --- B4: many outputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [4_000, 10_000, 60_000])
def test_b4_outputs_without_number_are_counted_and_not_read(honest, count):
    # bitcoin#36032: a reader that is quadratic in outputs hangs on a file of this size.
    many = (TxOut(1, b"\x51"),) * count
    made = replace(honest.unsigned_transaction, outputs=many)
    raw = as_file(honest, "global", 0, bytes([GlobalField.UNSIGNED_TX]), made.stripped())
    raw = raw[: -len(b"".join(each.raw for each in honest.outputs))] + b"\x00" * count
    tracemalloc.start()
    try:
        with refuses("LIMIT"):
            read_transfer_file(raw, FROM)
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()


# --- B7: the published signatures at our own door, and in finished witnesses ------------------------------------------


def published(wycheproof) -> list[tuple[bytes, bytes, bytes, bool]]:
    """Compressed key, digest, signature and verdict of each."""
    return [
        (
            key,
            hashlib.sha256(bytes.fromhex(case["msg"])).digest(),
            bytes.fromhex(case["sig"]),
            case["result"] == "valid",
        )
        for key, case in wycheproof
    ]


def test_b7_a_lock_gives_all_463_the_published_verdict(wycheproof):
    verdicts = [0, 0]
    for key, digest, signature, is_good in published(wycheproof):
        lock = WitnessScript(multisig_script(1, [key]))
        assert (lock.fault(key, digest, signature + b"\x01") is None) is is_good
        # A good one under another hash type, or without any, is none.
        for wrong in (signature, signature + b"\x02", signature + b"\x01\x01"):
            assert lock.fault(key, digest, wrong) is not None
        verdicts[is_good] += 1
    assert verdicts == [301, 162]


def test_b7_none_of_the_463_comes_back_as_a_cosigner_s_or_in_a_finished_witness(forger, wycheproof):
    drafted = forger.draft()
    sent = forger.psbt(drafted)
    good = forger.cast.signers[0].sign(sent.to_psbt())
    key, _ = good.inputs[0].of_type(InputField.PARTIAL_SIG)[0]
    field, final = bytes([InputField.PARTIAL_SIG]) + key, bytes([InputField.FINAL_SCRIPTWITNESS])
    script = sent.inputs[0].witness_script
    codes: dict[str, set[str]] = {"partial": set(), "final": set()}
    for _, _, signature, _ in published(wycheproof):
        stack = serialize_stack((b"", signature + b"\x01", signature + b"\x01", script))
        for where, name, value in (("partial", field, signature + b"\x01"), ("final", final, stack)):
            with pytest.raises(CustodyError) as caught:
                accept(Psbt.parse(as_file(good, "input", 0, name, value)), sent, drafted, forger.vault, 0)
            codes[where].add(caught.value.code)
    assert codes == {"partial": {"SIG_INVALID", "FIELD_FORBIDDEN"}, "final": {"COSIGNER_ALTERED", "FIELD_FORBIDDEN"}}


def finished(forger, good: Psbt, other: Psbt) -> tuple[bytes, ...]:
    """The honest witness of the first input, from two cosigners' answers."""
    lock, holders = forger.vault.lock(0, 0), forger.vault.holders(0, 0)
    found = dict([*good.inputs[0].of_type(InputField.PARTIAL_SIG), *other.inputs[0].of_type(InputField.PARTIAL_SIG)])
    return lock.witness([found.get(key, b"") for key in holders])


WITNESSES = {
    "as it will be": lambda zero, a, b, script: (zero, a, b, script),
    "a first item that is not empty": lambda _, a, b, script: (b"\x01", a, b, script),
    "without the first item": lambda _, a, b, script: (a, b, script),
    "signatures in another order": lambda zero, a, b, script: (zero, b, a, script),
    "one signature twice": lambda zero, a, _, script: (zero, a, a, script),
    "one signature more": lambda zero, a, b, script: (zero, a, b, b, script),
    "one signature too few": lambda zero, a, _, script: (zero, a, script),
    "another script": lambda zero, a, b, script: (zero, a, b, script[:-1] + b"\xaf"),
    "no script": lambda zero, a, b, _: (zero, a, b),
    "an empty item behind": lambda zero, a, b, script: (zero, a, b, script, b""),
    "an empty item in between": lambda zero, a, b, script: (zero, a, b"", b, script),
    "the script alone": lambda _zero, _a, _b, script: (script,),
    "nothing": lambda *_: (b"",),
}


@pytest.mark.parametrize("which", WITNESSES)
def test_b7_a_finished_witness_is_never_taken_over(forger, which):
    # Not even the right one: whose signatures those are, nobody could say, and no one was asked to finish.
    drafted = forger.draft()
    sent = forger.psbt(drafted)
    first, second = (each.sign(sent.to_psbt()) for each in forger.cast.signers[:2])
    stack = WITNESSES[which](*finished(forger, first, second))
    made = as_file(first, "input", 0, bytes([InputField.FINAL_SCRIPTWITNESS]), serialize_stack(stack))
    # A script where a signature belongs is too long for one, before anybody asks whose it is.
    with refuses("FIELD_FORBIDDEN" if which == "an empty item behind" else "COSIGNER_ALTERED"):
        accept(Psbt.parse(made), sent, drafted, forger.vault, 0)
