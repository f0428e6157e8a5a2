"""Checkpoints: exact notes, the log's own signature, witnesses counted once, and the one rule of a witness."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from custody.envelope import Ed25519Signer
from custody.errors import CustodyError
from custody.log import (
    EMPTY_ROOT,
    Checkpoint,
    Cosignature,
    MerkleTree,
    NoteKey,
    NoteSignature,
    SignatureType,
    SignedCheckpoint,
    WitnessState,
    check_name,
    cosign,
    faults_of,
    hash_leaf,
    sign_checkpoint,
    split_note,
    verify_checkpoint,
    verify_note,
    with_cosignatures_of,
    witness,
    witnesses_of,
)
from custody.log.checkpoint import MAX_CHECKPOINT, MAX_SIGNATURES, MAX_SIZE, MAX_TIME
from custody.testing.asserts import refuses

ORIGIN = "custody.example/reserve"
LOG, ALICE, BOB, MALLORY = (Ed25519Signer(bytes([number]) * 32) for number in range(1, 5))
WITNESSES = {"alice.example": ALICE.public_key, "bob.example": BOB.public_key}
TREE = MerkleTree(hash_leaf(b"%d" % number) for number in range(40))
NOW = 1_760_000_000

# A checkpoint of sum.golang.org, as anybody can fetch it, and that log's published key.
GO_SUM_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_SUM_NOTE = (
    "go.sum database tree\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\u2014 sum.golang.org "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
# The example in C2SP tlog-cosignature; its keys are not published.
EXAMPLE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\u2014 example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


def checkpoint(size=7, tree=TREE, origin=ORIGIN):
    return Checkpoint(origin, size, tree.root(size))


def signed(size=7, tree=TREE):
    return sign_checkpoint(checkpoint(size, tree), ORIGIN, LOG)


def accept(state, note, proof=()):
    return witness(state, note, proof, ORIGIN, LOG.public_key)


def test_a_checkpoint_is_three_lines():
    root = base64.b64encode(TREE.root(7)).decode()
    assert checkpoint().body() == f"{ORIGIN}\n7\n{root}\n"


def test_a_note_of_a_public_log_verifies_with_its_published_key():
    body, signatures = split_note(GO_SUM_NOTE)
    key = NoteKey.parse(GO_SUM_KEY)
    verify_note(body, signatures, key)
    with refuses("CHECKPOINT_INVALID"):
        verify_note(body.replace("20852163", "20852164"), signatures, key)


def test_a_note_signed_by_go_verifies():
    # golang.org/x/mod/sumdb/note, package documentation.
    body, signatures = split_note(
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u2014 "
        "PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    verify_note(body, signatures, NoteKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"))


def test_the_example_of_the_specification_reads_and_writes_back():
    note = SignedCheckpoint.parse(EXAMPLE)
    assert note.text() == EXAMPLE
    assert (note.checkpoint.origin, note.checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    cosignature = note.signatures[1]
    assert cosignature.key_id.hex() == "8d66cf3f"
    assert int.from_bytes(cosignature.signature[:8], "big") == 1679315147


@pytest.mark.parametrize(
    "text",
    [
        GO_SUM_KEY,
        # golang.org/x/mod/sumdb/note and transparency-dev/formats: a log's key and a witness's.
        "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    ],
)
def test_published_verifier_keys_read_and_write_back(text):
    assert str(NoteKey.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sum.golang.org",
        "sum.golang.org+033de0ae",
        GO_SUM_KEY.replace("033de0ae", "033de0af"),
        GO_SUM_KEY.replace("033de0ae", "033DE0AE"),
        GO_SUM_KEY.replace("sum", "sun"),
        GO_SUM_KEY.replace("+Ac4z", "+Cc4z"),
        GO_SUM_KEY.replace("An8", "An9"),
        GO_SUM_KEY + "=",
        "a+00000000+",
        "sum golang+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ],
)
def test_a_damaged_verifier_key_is_refused(text):
    with refuses("CHECKPOINT_INVALID"):
        NoteKey.parse(text)


def test_a_verifier_key_of_small_order_is_refused():
    with refuses("KEY_INVALID"):
        NoteKey("a.example", SignatureType.LOG, b"\1" + bytes(31))


def test_the_key_id_covers_name_type_and_key():
    expected = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + LOG.public_key).digest()[:4]
    assert NoteKey(ORIGIN, SignatureType.LOG, LOG.public_key).key_id == expected
    expected = hashlib.sha256(b"alice.example\n\x04" + ALICE.public_key).digest()[:4]
    assert NoteKey("alice.example", SignatureType.COSIGNATURE, ALICE.public_key).key_id == expected


def test_a_cosignature_is_over_the_message_of_the_specification():
    note = cosign(signed(), "alice.example", ALICE, NOW)
    stamped = note.signatures[-1].signature
    assert stamped[:8] == NOW.to_bytes(8, "big")
    message = f"cosignature/v1\ntime {NOW}\n{checkpoint().body()}".encode()
    # Another implementation: verify raises unless the signature is good.
    Ed25519PublicKey.from_public_bytes(ALICE.public_key).verify(stamped[8:], message)


def test_a_signed_checkpoint_verifies_and_reads_back():
    note = cosign(cosign(signed(), "alice.example", ALICE, NOW), "bob.example", BOB, NOW + 5)
    assert SignedCheckpoint.parse(note.text()) == note
    assert verify_checkpoint(note, ORIGIN, LOG.public_key) == checkpoint()
    assert witnesses_of(note, WITNESSES) == (Cosignature(ALICE.public_key, NOW), Cosignature(BOB.public_key, NOW + 5))


def test_strangers_lines_are_passed_over():
    note = cosign(signed(), "mallory.example", MALLORY, NOW)
    assert verify_checkpoint(note, ORIGIN, LOG.public_key) == checkpoint()
    assert witnesses_of(note, WITNESSES) == ()
    # A stranger who takes a witness's name still has another key id.
    named = cosign(signed(), "alice.example", MALLORY, NOW)
    assert witnesses_of(named, WITNESSES) == ()


def test_the_logs_own_line_is_no_cosignature():
    assert witnesses_of(signed(), {ORIGIN: LOG.public_key}) == ()


def test_a_cosignature_is_not_the_logs_signature():
    note = SignedCheckpoint(checkpoint(), cosign(signed(), ORIGIN, LOG, NOW).signatures[1:])
    with refuses("CHECKPOINT_INVALID"):
        verify_checkpoint(note, ORIGIN, LOG.public_key)


def test_one_witness_under_two_names_counts_once():
    note = cosign(cosign(signed(), "alice.example", ALICE, NOW), "alice.two", ALICE, NOW + 1)
    both = {"alice.example": ALICE.public_key, "alice.two": ALICE.public_key}
    assert len(witnesses_of(note, both)) == 1


def test_cosigning_again_replaces_the_earlier_line():
    note = cosign(cosign(signed(), "alice.example", ALICE, NOW), "alice.example", ALICE, NOW + 60)
    assert witnesses_of(note, WITNESSES) == (Cosignature(ALICE.public_key, NOW + 60),)


DAMAGED = "its cosignature does not verify"


def bent(note: SignedCheckpoint, at: int) -> SignedCheckpoint:
    """With one bit of its last line changed."""
    line = note.signatures[-1]
    data = bytearray(line.signature)
    data[at] ^= 1
    return note.with_signature(NoteSignature(line.name, line.key_id, bytes(data)))


@pytest.mark.parametrize("at", [0, 7, 8, 71])
def test_a_known_witnesss_damaged_line_is_left_out_and_named_and_spoils_no_other(at):
    note = bent(cosign(cosign(signed(), "bob.example", BOB, NOW + 5), "alice.example", ALICE, NOW), at)
    assert witnesses_of(note, WITNESSES) == (Cosignature(BOB.public_key, NOW + 5),)
    assert faults_of(note, WITNESSES) == {"alice.example": DAMAGED}


def test_good_lines_have_no_faults_and_neither_have_strangers():
    note = cosign(cosign(signed(), "alice.example", ALICE, NOW), "mallory.example", MALLORY, NOW)
    assert faults_of(note, WITNESSES) == {}
    assert faults_of(bent(note, 8), WITNESSES) == {}


def test_a_cosignature_does_not_move_to_another_checkpoint():
    line = cosign(signed(7), "alice.example", ALICE, NOW).signatures[-1]
    moved = signed(8).with_signature(line)
    assert witnesses_of(moved, WITNESSES) == ()
    assert faults_of(moved, WITNESSES) == {"alice.example": DAMAGED}


@pytest.mark.parametrize("size", [0, 8, 63])
def test_a_line_of_a_known_key_that_is_too_short_does_not_count(size):
    key = NoteKey("alice.example", SignatureType.COSIGNATURE, ALICE.public_key)
    note = signed().with_signature(NoteSignature("alice.example", key.key_id, bytes(size)))
    assert witnesses_of(note, WITNESSES) == ()
    assert faults_of(note, WITNESSES) == {"alice.example": DAMAGED}


def test_what_another_copy_brings_is_its_good_lines_of_listed_witnesses_and_nothing_else():
    known = cosign(signed(), "alice.example", ALICE, NOW)
    other = bent(cosign(signed(), "alice.example", ALICE, NOW + 60), 8)
    other = cosign(cosign(other, "mallory.example", MALLORY, NOW), "bob.example", BOB, NOW + 5)
    both = with_cosignatures_of(known, other, WITNESSES)
    assert both == cosign(known, "bob.example", BOB, NOW + 5)


def test_a_checkpoint_by_another_key_or_of_another_log_is_refused():
    with refuses("CHECKPOINT_INVALID"):
        verify_checkpoint(sign_checkpoint(checkpoint(), ORIGIN, MALLORY), ORIGIN, LOG.public_key)
    with refuses("CHECKPOINT_INVALID"):
        verify_checkpoint(signed(), "other.example", LOG.public_key)
    with refuses("CHECKPOINT_INVALID"):
        verify_checkpoint(SignedCheckpoint(checkpoint(8), signed(7).signatures), ORIGIN, LOG.public_key)


def test_a_checkpoint_of_another_log_is_refused_though_this_logs_key_signed_it():
    other = checkpoint(origin="other.example")
    line = NoteSignature(
        ORIGIN, NoteKey(ORIGIN, SignatureType.LOG, LOG.public_key).key_id, LOG.sign(other.body().encode())
    )
    with refuses("CHECKPOINT_INVALID"):
        verify_checkpoint(SignedCheckpoint(other, (line,)), ORIGIN, LOG.public_key)


def test_a_cosignature_that_is_good_but_of_an_impossible_time_does_not_count():
    key = NoteKey("alice.example", SignatureType.COSIGNATURE, ALICE.public_key)
    for time, is_possible in ((MAX_TIME, True), (MAX_TIME + 1, False), (2**40, False), (2**63, False)):
        stamped = ALICE.sign(f"cosignature/v1\ntime {time}\n{checkpoint().body()}".encode())
        note = signed().with_signature(NoteSignature("alice.example", key.key_id, time.to_bytes(8, "big") + stamped))
        assert witnesses_of(note, WITNESSES) == ((Cosignature(ALICE.public_key, time),) if is_possible else ())
        assert bool(faults_of(note, WITNESSES)) is not is_possible


def test_a_log_signs_in_its_own_name_only():
    with refuses("CHECKPOINT_INVALID"):
        sign_checkpoint(checkpoint(), "other.example", LOG)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u202eb", "[bold]", "a" * 201])
def test_a_name_that_notes_or_screens_cannot_carry_is_refused(name):
    with refuses("CHECKPOINT_INVALID"):
        check_name(name)
    with refuses("CHECKPOINT_INVALID"):
        Checkpoint(name, 0, EMPTY_ROOT)


@pytest.mark.parametrize(("size", "root"), [(-1, bytes(32)), (2**53, bytes(32)), (1, bytes(31)), (0, bytes(32))])
def test_a_checkpoint_no_log_can_have_is_refused(size, root):
    with refuses("CHECKPOINT_INVALID"):
        Checkpoint(ORIGIN, size, root)


@pytest.mark.parametrize("time", [-1, 2**40 + 1])
def test_a_cosignature_at_no_possible_time_is_refused(time):
    with refuses("CHECKPOINT_INVALID"):
        cosign(signed(), "alice.example", ALICE, time)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n20852163\n", "\n020852163\n"),
        ("\n20852163\n", "\n+20852163\n"),
        ("\n20852163\n", "\n\u0662\n"),
        ("\n20852163\n", "\n-1\n"),
        ("\n20852163\n", "\n99999999999999999\n"),
        ("q2I=\n\n", "q2J=\n\n"),
        ("q2I=\n\n", "q2I\n\n"),
        ("q2I=\n\n", "q2I=\nextension\n\n"),
        ("q2I=\n\n", "\n\n"),
        ("q2I=\n\n", "q2I=\n"),
        ("q2I=\n\n", "q2I=\r\n\r\n"),
        ("20852163\n", ""),
        ("\u2014 witness", "\u2013 witness"),
        ("\u2014 witness", "\u2014  witness"),
        ("\u2014 witness", "witness"),
        ("qnA==\n", "qnA==\n\n"),
        ("qnA==\n", "qnA=="),
        ("qnA==\n", "qnA==\nmore\n"),
        ("qnA==\n", "qnB==\n"),
        ("qnA==", "qnA"),
        ("\u2014 witness.example.com/w1 ", "\u2014 witness.example.com/\u202ew1 "),
        ("example.com/behind-the-sofa\n", "example.com/behind the sofa\n"),
    ],
)
def test_a_note_in_another_spelling_is_refused(old, new):
    assert old in EXAMPLE
    with refuses("CHECKPOINT_INVALID"):
        SignedCheckpoint.parse(EXAMPLE.replace(old, new, 1))


def test_two_lines_by_one_key_are_refused():
    line = EXAMPLE.splitlines(keepends=True)[-1]
    with refuses("CHECKPOINT_INVALID"):
        SignedCheckpoint.parse(EXAMPLE + line)


def test_a_note_too_long_or_with_too_many_lines_is_refused():
    line = NoteSignature("a.example", bytes(4), b"x")
    many = "".join(NoteSignature(f"a{number}.example", bytes(4), b"x").line() for number in range(101))
    with refuses("CHECKPOINT_INVALID"):
        SignedCheckpoint.parse(checkpoint().body() + "\n" + many)
    with refuses("CHECKPOINT_INVALID"):
        SignedCheckpoint.parse(checkpoint().body() + "\n" + line.line() + "x" * 262_144)


@given(st.text(max_size=120))
def test_any_text_reads_as_itself_or_is_refused(text):
    for candidate in (text, EXAMPLE + text, text + EXAMPLE):
        try:
            outcome = SignedCheckpoint.parse(candidate).text()
        except CustodyError as error:
            outcome = error.code
        assert outcome in {candidate, "CHECKPOINT_INVALID"}


def test_a_signer_that_returns_something_else_is_found_at_once():
    class Liar:
        public_key = LOG.public_key

        def sign(self, message: bytes) -> bytes:
            return MALLORY.sign(message)

    with refuses("SIG_INVALID"):
        sign_checkpoint(checkpoint(), ORIGIN, Liar())
    with refuses("SIG_INVALID"):
        cosign(signed(), "alice.example", Liar(), NOW)


def test_a_witness_follows_a_log_that_grows():
    state = accept(None, signed(0))
    assert state == WitnessState(0, EMPTY_ROOT)
    for old, new in ((0, 3), (3, 3), (3, 4), (4, 11), (11, 40)):
        state = accept(state, signed(new), TREE.consistency(old, new))
        assert state == WitnessState(new, TREE.root(new))


def test_a_witness_that_knows_nothing_takes_the_first_checkpoint_without_proof():
    assert accept(None, signed(9)) == WitnessState(9, TREE.root(9))
    with refuses("PROOF_INVALID"):
        accept(None, signed(9), TREE.consistency(3, 9))


def test_a_witness_refuses_a_smaller_size():
    with refuses("WITNESS_CONFLICT") as caught:
        accept(WitnessState(9, TREE.root(9)), signed(8))
    assert caught.error.values()["seen_size"] == 9


def test_a_witness_refuses_another_root_for_the_same_size():
    other = MerkleTree(hash_leaf(b"other %d" % number) for number in range(9))
    with refuses("WITNESS_CONFLICT"):
        accept(WitnessState(9, TREE.root(9)), signed(9, other))


def test_a_witness_refuses_growth_that_is_not_proved():
    state = WitnessState(9, TREE.root(9))
    with refuses("PROOF_INVALID"):
        accept(state, signed(20), TREE.consistency(10, 20))
    with refuses("PROOF_INVALID"):
        accept(state, signed(20))


def test_a_witness_first_asks_who_signed():
    with refuses("CHECKPOINT_INVALID"):
        witness(None, sign_checkpoint(checkpoint(), ORIGIN, MALLORY), (), ORIGIN, LOG.public_key)


# --- one input for each check, told apart by what it says -------------------------------------------------------------


def says(problem: str, read: Callable[[], object]) -> None:
    """What is refused for this problem and no other: one code stands for all that may be wrong with a note."""
    with refuses("CHECKPOINT_INVALID") as caught:
        read()
    assert problem in caught.error.problem


def lines(count: int) -> str:
    """That many signature lines of different keys."""
    return "".join(f"\u2014 k{number} {base64.b64encode(bytes(72)).decode()}\n" for number in range(count))


def test_a_key_s_name_is_checked_like_an_origin():
    says("name", lambda: NoteKey("a b", SignatureType.LOG, LOG.public_key))


def test_the_largest_log_and_the_latest_and_first_times_are_possible():
    assert Checkpoint(ORIGIN, MAX_SIZE, bytes(32)).size == MAX_SIZE
    for time in (0, MAX_TIME):
        assert witnesses_of(cosign(signed(), "alice.example", ALICE, time), WITNESSES)[0].time == time


def test_a_note_is_as_long_as_allowed_and_not_longer():
    body = f"{ORIGIN}\n7\n{base64.b64encode(bytes(32)).decode()}\n"
    tail = lines(1)
    filled = body + "x" * (MAX_CHECKPOINT - len(body) - len(tail) - 2) + "\n\n" + tail
    assert len(filled) == MAX_CHECKPOINT
    assert split_note(filled)[1]
    says("longer than", lambda: split_note("y" + filled))


def test_a_note_has_as_many_signatures_as_allowed_and_not_more():
    body = f"{ORIGIN}\n7\n{base64.b64encode(bytes(32)).decode()}\n\n"
    assert len(split_note(body + lines(MAX_SIGNATURES))[1]) == MAX_SIGNATURES
    says("more than", lambda: split_note(body + lines(MAX_SIGNATURES + 1)))


@pytest.mark.parametrize("text", ["", "no blank line", f"{ORIGIN}\n\n", f"{ORIGIN}\n\n{lines(1)[:-1]}"])
def test_a_text_without_signatures_is_called_so(text):
    says("has no signatures", lambda: split_note(text))


@pytest.mark.parametrize("size", [0, 3, 4])
def test_a_signature_is_more_than_the_id_of_its_key(size):
    line = f"\u2014 k {base64.b64encode(bytes(size)).decode() or '=' * 4}\n"
    says("too short" if size else "base64", lambda: split_note(f"{ORIGIN}\n\n{line}"))


def test_a_signature_of_one_byte_is_one():
    text = f"\u2014 k {base64.b64encode(bytes(5)).decode()}\n"
    assert split_note(f"{ORIGIN}\n\n{text}")[1][0].signature == bytes(1)


def test_what_is_no_base64_is_called_so_and_not_another_spelling():
    says("is not base64", lambda: SignedCheckpoint.parse(EXAMPLE.replace("CsUYapGG", "CsUY*pGG")))
