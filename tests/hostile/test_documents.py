"""Forged signatures, one key dressed as two people, and edited history (THREATS D11, F10, E1, E2)."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from custody.envelope import (
    Ed25519Signer,
    Envelope,
    EnvelopeSignature,
    pae,
    parse_public_key,
    payload_type,
    sign,
    verify,
)
from custody.log import (
    Checkpoint,
    Frontier,
    MerkleTree,
    SignedCheckpoint,
    WitnessState,
    check_history,
    cosign,
    hash_leaf,
    read_line,
    seal,
    sign_checkpoint,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
    witness,
    witnesses_of,
    write_line,
)
from custody.record import Record, Text
from custody.testing.asserts import refuses

L = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19
ENTRIES = 1_000


class Letter(Record):
    kind = "letter"

    says: Text


SEED = bytes(range(1, 33))
OFFICER = Ed25519Signer(SEED)
LETTER = Letter(says="pay nobody")


def envelope_with(signature: bytes, key: bytes = OFFICER.public_key) -> Envelope:
    unsigned = sign(LETTER)
    line = EnvelopeSignature(keyid=key.hex(), sig=base64.b64encode(signature).decode())
    return Envelope(payload=unsigned.payload, payloadType=unsigned.payloadType, signatures=(line,))


# D11: signatures nobody made, or a second one made from the first


def test_the_second_spelling_of_a_good_signature_is_refused():
    good = OFFICER.sign(pae(payload_type(Letter), LETTER.to_bytes()))
    assert verify(envelope_with(good), Letter, [OFFICER.public_key])[0] == LETTER
    scalar = int.from_bytes(good[32:], "little") + L
    with refuses("SIG_INVALID"):
        verify(envelope_with(good[:32] + scalar.to_bytes(32, "little")), Letter, [OFFICER.public_key])


def test_a_key_that_verifies_anything_is_refused_as_key_and_as_signature():
    # With the identity as key, R = S*G holds for every message whatever the officer never said.
    identity = b"\x01" + bytes(31)
    anything = identity + bytes(32)
    ed25519.Ed25519PublicKey.from_public_bytes(identity).verify(anything, b"a message nobody signed")
    with refuses("KEY_INVALID"):
        parse_public_key(identity.hex())
    with refuses("SIG_INVALID"):
        verify(envelope_with(anything, identity), Letter, [identity])


@pytest.mark.parametrize(
    "key",
    [
        (0).to_bytes(32, "little"),
        (1 << 255).to_bytes(32, "little"),
        (P - 1).to_bytes(32, "little"),
        P.to_bytes(32, "little"),
        (P + 1).to_bytes(32, "little"),
        (2**255 - 1).to_bytes(32, "little"),
        (1 | 1 << 255).to_bytes(32, "little"),
        (2).to_bytes(32, "little"),
        b"\xff" * 32,
    ],
    ids=["order-4", "order-4-sign", "order-2", "p", "p-plus-1", "all-ones", "identity-sign", "off-curve", "ff"],
)
def test_keys_of_small_order_not_canonical_or_off_the_curve_are_refused(key):
    with refuses("KEY_INVALID"):
        parse_public_key(key.hex())


def test_a_signature_whose_r_is_of_small_order_is_refused():
    # Whoever holds the key can make it without a nonce; RFC 8032 allows it, so others take it for good.
    message = pae(payload_type(Letter), LETTER.to_bytes())
    secret = int.from_bytes(hashlib.sha512(SEED).digest()[:32], "little") & (2**254 - 8) | 2**254
    identity = b"\x01" + bytes(31)
    challenge = int.from_bytes(hashlib.sha512(identity + OFFICER.public_key + message).digest(), "little")
    signature = identity + (challenge * secret % L).to_bytes(32, "little")
    ed25519.Ed25519PublicKey.from_public_bytes(OFFICER.public_key).verify(signature, message)
    with refuses("SIG_INVALID"):
        verify(envelope_with(signature), Letter, [OFFICER.public_key])


def test_a_signature_does_not_pass_from_one_kind_of_document_to_another():
    bare = OFFICER.sign(LETTER.to_bytes())
    other = OFFICER.sign(pae("application/vnd.custody.charter.v1+json", LETTER.to_bytes()))
    for signature in (bare, other):
        with refuses("SIG_INVALID"):
            verify(envelope_with(signature), Letter, [OFFICER.public_key])


def test_a_checkpoint_signature_is_no_approval_and_an_approval_no_checkpoint():
    checkpoint = Checkpoint("log.example", 1, hash_leaf(b"x"))
    note = sign_checkpoint(checkpoint, "log.example", OFFICER)
    with refuses("SIG_INVALID"):
        verify(envelope_with(note.signatures[0].signature), Letter, [OFFICER.public_key])
    stolen = sign(LETTER, OFFICER).signatures[0].signature
    line = type(note.signatures[0])("log.example", note.signatures[0].key_id, stolen)
    with refuses("CHECKPOINT_INVALID"):
        verify_checkpoint(SignedCheckpoint(checkpoint, (line,)), "log.example", OFFICER.public_key)


# F10: one key, two people


def spellings() -> dict[str, str]:
    """The officer's public key as an independent implementation writes it, and as people paste it."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    ssh = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    raw = key.public_bytes_raw().hex()
    return {
        "ssh": ssh,
        "ssh-comment": f"{ssh} alice at the desk\n",
        "pem": pem,
        "pem-crlf": pem.replace("\n", "\r\n"),
        "hex": raw,
        "hex-upper": f"  {raw.upper()}\n",
    }


@pytest.mark.parametrize("form", spellings())
def test_one_key_in_any_form_is_the_same_person(form):
    assert parse_public_key(spellings()[form]) == OFFICER.public_key


def test_one_key_listed_in_every_form_signs_once():
    keys = [parse_public_key(text) for text in spellings().values()]
    _, signed = verify(sign(LETTER, OFFICER, OFFICER), Letter, keys)
    assert signed == {OFFICER.public_key}


def other_algorithms() -> dict[str, str]:
    ssh = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    pem = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    curve = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    exchange = x25519.X25519PrivateKey.from_private_bytes(SEED).public_key()
    line = spellings()["ssh"]
    blob = base64.b64decode(line.split()[1])
    return {
        "ecdsa-ssh": curve.public_bytes(*ssh).decode(),
        "ecdsa-pem": curve.public_bytes(*pem).decode(),
        "x25519-pem": exchange.public_bytes(*pem).decode(),
        "rsa-pem": rsa.RSAPublicNumbers(65537, (1 << 2047) + 9).public_key().public_bytes(*pem).decode(),
        "rsa-label": spellings()["pem"].replace("PUBLIC KEY", "RSA PUBLIC KEY"),
        "fido-ssh": line.replace("ssh-ed25519", "sk-ssh-ed25519@openssh.com"),
        "ecdsa-blob-under-our-name": "ssh-ed25519 " + curve.public_bytes(*ssh).decode().split()[1],
        "trailing-byte": "ssh-ed25519 " + base64.b64encode(blob + b"\0").decode(),
        "short": "ssh-ed25519 " + base64.b64encode(blob[:-1]).decode(),
        "not-base64": "ssh-ed25519 !!!!",
        "with-options": f'command="x" {line}',
        "two-lines": f"{line} a\n{line} b",
        "two-pems": spellings()["pem"] * 2,
        "hex-short": OFFICER.public_key.hex()[:-2],
        "hex-prefixed": "0x" + OFFICER.public_key.hex(),
        "pem-damaged": spellings()["pem"].replace("MCow", "MCo!"),
        "empty": "",
    }


@pytest.mark.parametrize("form", other_algorithms())
def test_anything_but_one_ed25519_key_is_refused(form):
    with refuses("KEY_INVALID"):
        parse_public_key(other_algorithms()[form])


def private_forms() -> dict[str, str]:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
    curve = ec.derive_private_key(7, ec.SECP256R1())
    nothing = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    pkcs8 = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, nothing).decode()
    openssh = key.private_bytes(pem, serialization.PrivateFormat.OpenSSH, nothing).decode()
    return {
        "pkcs8": pkcs8,
        "pkcs8-bare": "".join(pkcs8.splitlines()[1:-1]),
        "openssh": openssh,
        "openssh-bare": "".join(openssh.splitlines()[1:-1]),
        "ec": curve.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, nothing).decode(),
        "encrypted": key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        ).decode(),
        "note-signer": "PRIVATE+KEY+log.example+00000000+" + base64.b64encode(b"\1" + SEED).decode(),
        "after-a-public-key": f"{spellings()['ssh']} x\n{pkcs8}",
    }


@pytest.mark.parametrize("form", private_forms())
def test_a_private_key_where_a_public_one_belongs_is_refused_and_not_shown(form):
    text = private_forms()[form]
    with refuses("SECRET_MATERIAL") as caught:
        parse_public_key(text)
    shown = f"{caught.error!r} {caught.error.advice()} {caught.error.values()}"
    assert not any(line[:16] in shown for line in text.splitlines() if len(line) > 16)


# E1: an entry edited, deleted or moved


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return [
        write_line(seal(index, "observed", f"desk {index % 3}", (hash_leaf(b"%d" % index),), b'{"n":%d}' % index, SEED))
        for index in range(ENTRIES)
    ]


@pytest.fixture(scope="module")
def checkpoint(lines) -> Checkpoint:
    return Checkpoint("log.example", ENTRIES, Frontier.of(read_line(line, i).leaf for i, line in enumerate(lines)).root)


def load(lines):
    return (read_line(line, index) for index, line in enumerate(lines))


def test_every_bit_of_an_entry_is_guarded_and_located(lines):
    index = 7
    for bit in range(8 * len(lines[index])):
        assert_located(lines[index], index, bit)


def test_flipped_bits_in_each_of_a_thousand_entries_are_located(lines):
    for index, line in enumerate(lines):
        # Ten bits of each line, moving on from line to line, so that together they cover every place.
        for step in range(10):
            assert_located(line, index, (10 * index + step) % (8 * len(line)))


def assert_located(line: bytes, index: int, bit: int) -> None:
    damaged = bytearray(line)
    damaged[bit // 8] ^= 1 << bit % 8
    with refuses("LOG_CORRUPT") as caught:
        read_line(bytes(damaged), index)
    assert caught.error.values()["index"] == index


def test_each_deleted_entry_is_missed_at_its_place(lines, checkpoint):
    for index in range(ENTRIES - 1):
        # What stood after it has moved up: its line is read in the place of the deleted one.
        with refuses("LOG_CORRUPT") as caught:
            read_line(lines[index + 1], index)
        assert caught.error.values()["index"] == index
    with refuses("LOG_CORRUPT") as caught:
        check_history(load(lines[:-1]), checkpoint)
    assert caught.error.values()["index"] == ENTRIES - 1


@pytest.mark.parametrize(("one", "other"), [(0, 1), (0, 999), (500, 501), (998, 999), (3, 700)])
def test_swapped_entries_are_found_at_the_first_of_them(lines, checkpoint, one, other):
    swapped = list(lines)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    with refuses("LOG_CORRUPT") as caught:
        check_history(load(swapped), checkpoint)
    assert caught.error.values()["index"] == one


def test_a_repeated_entry_is_found_at_its_second_place(lines, checkpoint):
    with refuses("LOG_CORRUPT") as caught:
        check_history(load([*lines[:41], lines[40], *lines[41:]]), checkpoint)
    assert caught.error.values()["index"] == 41


def test_an_entry_rewritten_with_all_its_own_hashes_still_has_another_root(lines, checkpoint):
    assert check_history(load(lines), checkpoint).size == ENTRIES
    rewritten = list(lines)
    rewritten[600] = write_line(seal(600, "observed", "desk 0", (), b'{"n":1}', SEED))
    assert read_line(rewritten[600], 600).head.index == 600
    with refuses("PROOF_INVALID"):
        check_history(load(rewritten), checkpoint)


def test_an_entry_given_another_body_is_found(lines):
    fields = json.loads(lines[5]) | {"body": '{"n":6}'}
    with refuses("LOG_CORRUPT") as caught:
        read_line(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode(), 5)
    assert caught.error.values()["index"] == 5


def test_an_inner_node_does_not_pass_for_an_entry():
    leaves = [hash_leaf(b"%d" % number) for number in range(4)]
    tree = MerkleTree(leaves)
    # The two upper nodes as if they were the entries of a log of two: a shorter history with the same root.
    left, right = tree.root(2), tree.inclusion(0, 4)[1]
    verify_inclusion(left, 0, 2, (right,), tree.root(4))
    with refuses("PROOF_INVALID"):
        verify_inclusion(hash_leaf(leaves[0] + leaves[1]), 0, 2, (right,), tree.root(4))
    with refuses("PROOF_INVALID"):
        verify_inclusion(left, 0, 4, (right,), tree.root(4))


# E2: a history cut short, or two at once


LOG, WITNESS = Ed25519Signer(b"\x11" * 32), Ed25519Signer(b"\x12" * 32)
HONEST = MerkleTree(hash_leaf(b"entry %d" % number) for number in range(64))
FORKED = MerkleTree(hash_leaf(b"entry %d" % number if number < 20 else b"other %d" % number) for number in range(64))


def note(tree: MerkleTree, size: int) -> SignedCheckpoint:
    return sign_checkpoint(Checkpoint("log.example", size, tree.root(size)), "log.example", LOG)


def ask(state: WitnessState, tree: MerkleTree, size: int) -> WitnessState:
    proof = tree.consistency(state.size, size) if size >= state.size else ()
    return witness(state, note(tree, size), proof, "log.example", LOG.public_key)


@pytest.mark.parametrize("size", range(30))
def test_a_log_cut_short_is_refused_by_its_witness_at_every_size(size):
    with refuses("WITNESS_CONFLICT"):
        ask(WitnessState(30, HONEST.root(30)), HONEST, size)


def test_two_histories_of_one_size_are_refused_by_the_witness_of_the_first():
    with refuses("WITNESS_CONFLICT"):
        ask(WitnessState(30, HONEST.root(30)), FORKED, 30)


@pytest.mark.parametrize("size", range(31, 65))
def test_a_fork_that_outgrew_the_honest_log_is_refused_at_every_size(size):
    with refuses("PROOF_INVALID"):
        ask(WitnessState(30, HONEST.root(30)), FORKED, size)
    with refuses("PROOF_INVALID"):
        verify_consistency(30, HONEST.root(30), size, FORKED.root(size), HONEST.consistency(30, size))


def test_before_the_fork_both_histories_are_one():
    assert ask(WitnessState(12, HONEST.root(12)), FORKED, 20) == WitnessState(20, HONEST.root(20))


def test_a_cosignature_does_not_move_to_the_other_history():
    line = cosign(note(HONEST, 30), "witness.example", WITNESS, 1_760_000_000).signatures[-1]
    moved = note(FORKED, 30).with_signature(line)
    assert witnesses_of(moved, {"witness.example": WITNESS.public_key}) == ()
