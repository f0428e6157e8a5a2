"""Signed documents: what is signed, who signed, and one spelling for each set of signatures."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from custody.envelope import (
    Ed25519Signer,
    Envelope,
    EnvelopeSignature,
    add_signature,
    check_public_key,
    pae,
    payload_type,
    sign,
    unsafe_payload,
    verify,
    verify_ed25519,
    verify_one,
)
from custody.quorum import Quorum
from custody.record import Record, Text
from custody.testing.asserts import refuses


class Letter(Record):
    kind = "letter"

    says: Text


class Postcard(Record):
    kind = "postcard"

    says: Text


SIGNERS = tuple(Ed25519Signer(bytes([number]) * 32) for number in range(1, 5))
KEYS = tuple(signer.public_key for signer in SIGNERS)
LETTER = Letter(says="pay nobody")


class Liar:
    """A signer whose signature is another message's."""

    public_key = KEYS[0]

    def sign(self, message: bytes) -> bytes:
        return SIGNERS[0].sign(message + b"!")


def mutate(envelope: Envelope, **changes: object) -> bytes:
    """The envelope's file with fields replaced, canonical as JSON whatever they hold."""
    fields = json.loads(envelope.to_bytes()) | changes
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def test_pae_is_the_one_published_with_dsse():
    # protocol.md of DSSE, its "Hello world" example.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(max_size=20), st.binary(max_size=20), st.text(max_size=20), st.binary(max_size=20))
def test_no_two_documents_are_signed_as_the_same_bytes(type_a, body_a, type_b, body_b):
    assert (pae(type_a, body_a) == pae(type_b, body_b)) == ((type_a, body_a) == (type_b, body_b))


def test_every_signer_of_an_envelope_is_found():
    record, signed = verify(sign(LETTER, *SIGNERS), Letter, KEYS)
    assert record == LETTER
    assert signed == frozenset(KEYS)


def test_the_file_is_what_dsse_says():
    fields = json.loads(sign(LETTER, SIGNERS[0]).to_bytes())
    assert set(fields) == {"payload", "payloadType", "signatures"}
    assert base64.b64decode(fields["payload"]) == LETTER.to_bytes()
    assert fields["payloadType"] == "application/vnd.custody.letter.v1+json" == payload_type(Letter)
    (signature,) = fields["signatures"]
    assert set(signature) == {"keyid", "sig"}
    # Checked by another implementation: verify raises unless the signature is good.
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature["keyid"])).verify(
        base64.b64decode(signature["sig"]), pae(fields["payloadType"], LETTER.to_bytes())
    )


def test_the_order_of_signing_makes_no_difference():
    spellings = {sign(LETTER, *order).to_bytes() for order in itertools.permutations(SIGNERS[:3])}
    one_by_one = add_signature(add_signature(sign(LETTER, SIGNERS[2]), SIGNERS[0]), SIGNERS[1])
    assert spellings == {one_by_one.to_bytes()}


def test_a_file_reads_back_as_the_same_envelope():
    envelope = sign(LETTER, *SIGNERS)
    assert Envelope.from_bytes(envelope.to_bytes()) == envelope


def test_one_person_signing_twice_counts_once():
    envelope = add_signature(sign(LETTER, SIGNERS[0], SIGNERS[0]), SIGNERS[0])
    assert len(envelope.signatures) == 1
    _, signed = verify(envelope, Letter, [KEYS[0], KEYS[0], KEYS[1]])
    assert not Quorum(2, KEYS[:2]).tally(signed).is_met


@pytest.mark.parametrize("order", [(1, 0), (0, 0)])
def test_signatures_out_of_order_or_repeated_do_not_read(order):
    signatures = sorted(json.loads(sign(LETTER, *SIGNERS[:2]).to_bytes())["signatures"], key=lambda each: each["keyid"])
    with refuses("RECORD_INVALID"):
        Envelope.from_bytes(mutate(sign(LETTER), signatures=[signatures[index] for index in order]))


def test_a_stranger_adds_nothing_and_breaks_nothing():
    record, signed = verify(sign(LETTER, SIGNERS[0], SIGNERS[3]), Letter, KEYS[:3])
    assert (record, signed) == (LETTER, frozenset(KEYS[:1]))


def test_an_envelope_nobody_known_signed_is_refused():
    with refuses("SIG_INVALID"):
        verify(sign(LETTER, SIGNERS[3]), Letter, KEYS[:3])
    with refuses("SIG_INVALID"):
        verify(sign(LETTER), Letter, KEYS)
    with refuses("SIG_INVALID"):
        verify(sign(LETTER, *SIGNERS), Letter, [])


def test_the_one_asked_for_must_have_signed():
    envelope = sign(LETTER, *SIGNERS[:3])
    assert verify_one(envelope, Letter, KEYS[1]) == LETTER
    with refuses("SIG_INVALID") as caught:
        verify_one(envelope, Letter, KEYS[3])
    assert KEYS[3][:8].hex() in str(caught.error)


def test_one_bad_signature_by_a_known_key_refuses_the_envelope():
    good = sign(LETTER, *SIGNERS[:2])
    swapped = Envelope(
        payload=good.payload,
        payloadType=good.payloadType,
        signatures=tuple(
            EnvelopeSignature(keyid=a.keyid, sig=b.sig)
            for a, b in zip(good.signatures, reversed(good.signatures), strict=True)
        ),
    )
    with refuses("SIG_INVALID"):
        verify(swapped, Letter, KEYS)


def test_a_signature_under_anothers_key_id_is_not_theirs():
    ours = sign(LETTER, SIGNERS[0]).signatures[0]
    claimed = EnvelopeSignature(keyid=KEYS[1].hex(), sig=ours.sig)
    envelope = sign(LETTER)
    forged = Envelope(payload=envelope.payload, payloadType=envelope.payloadType, signatures=(claimed,))
    for keys in (KEYS[:1], KEYS[1:2], KEYS):
        with refuses("SIG_INVALID"):
            verify(forged, Letter, keys)


def test_a_changed_payload_is_refused_before_it_is_read():
    other = base64.b64encode(b"not even a record").decode()
    envelope = Envelope.from_bytes(mutate(sign(LETTER, SIGNERS[0]), payload=other))
    with refuses("SIG_INVALID"):
        verify(envelope, Letter, KEYS)


def test_a_signature_on_one_kind_is_none_on_another():
    envelope = sign(LETTER, SIGNERS[0])
    with refuses("ENVELOPE_TYPE"):
        verify(envelope, Postcard, KEYS)
    with refuses("ENVELOPE_TYPE"):
        unsafe_payload(envelope, Postcard)
    relabelled = Envelope.from_bytes(mutate(envelope, payloadType=payload_type(Postcard)))
    with refuses("SIG_INVALID"):
        verify(relabelled, Postcard, KEYS)


def test_a_payload_in_another_spelling_is_refused_though_signed():
    spaced = b'{"says": "pay nobody"}'
    message = pae(payload_type(Letter), spaced)
    signature = EnvelopeSignature(keyid=KEYS[0].hex(), sig=base64.b64encode(SIGNERS[0].sign(message)).decode())
    envelope = Envelope(
        payload=base64.b64encode(spaced).decode(), payloadType=payload_type(Letter), signatures=(signature,)
    )
    with refuses("RECORD_NOT_CANONICAL"):
        verify(envelope, Letter, KEYS)


def test_unsafe_payload_checks_no_signature():
    assert unsafe_payload(sign(LETTER), Letter) == LETTER


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": "eyJ9"[:3]},
        {"payload": "e30"},
        {"payload": "e31="},
        {"payload": "e30=\n"},
        {"payload": "__8="},
        {"payloadType": ""},
        {"payloadType": "a b"},
        {"payloadType": "x" * 121},
        {"signatures": [{"keyid": "00", "sig": "AA=="}]},
        {"signatures": [{"keyid": KEYS[0].hex().upper(), "sig": base64.b64encode(bytes(64)).decode()}]},
        {"signatures": [{"keyid": KEYS[0].hex(), "sig": base64.b64encode(bytes(63)).decode()}]},
        {"signatures": [{"keyid": KEYS[0].hex(), "sig": base64.b64encode(bytes(64)).decode(), "cert": "x"}]},
        {"extra": 1},
    ],
)
def test_an_envelope_in_another_form_does_not_read(changes):
    with refuses("RECORD_INVALID"):
        Envelope.from_bytes(mutate(sign(LETTER, SIGNERS[0]), **changes))


def test_more_signatures_than_can_be_needed_do_not_read():
    many = [{"keyid": f"{number:064x}", "sig": base64.b64encode(bytes(64)).decode()} for number in range(201)]
    with refuses("RECORD_INVALID"):
        Envelope.from_bytes(mutate(sign(LETTER), signatures=many))


def test_a_signer_that_returns_something_else_is_found_at_once():
    with refuses("SIG_INVALID"):
        sign(LETTER, Liar())
    with refuses("SIG_INVALID"):
        add_signature(sign(LETTER, SIGNERS[1]), Liar())


def test_signing_again_replaces_a_bad_signature():
    bad = EnvelopeSignature(keyid=KEYS[0].hex(), sig=base64.b64encode(bytes(64)).decode())
    envelope = sign(LETTER)
    broken = Envelope(payload=envelope.payload, payloadType=envelope.payloadType, signatures=(bad,))
    assert verify_one(add_signature(broken, SIGNERS[0]), Letter, KEYS[0]) == LETTER


def test_a_signer_never_shows_its_seed():
    seed = bytes(range(32))
    shown = repr(Ed25519Signer(seed))
    assert seed.hex() not in shown
    assert Ed25519Signer(seed).public_key[:8].hex() in shown


def test_a_seed_of_another_size_is_no_seed():
    with pytest.raises(ValueError, match="32 bytes"):
        Ed25519Signer(bytes(31))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64))
def test_what_a_seed_signs_its_key_verifies_and_no_other(seed, message):
    signer = Ed25519Signer(seed)
    signature = signer.sign(message)
    assert check_public_key(signer.public_key) == signer.public_key
    assert verify_ed25519(signer.public_key, message, signature)
    assert not verify_ed25519(signer.public_key, message + b"\0", signature)
    assert not verify_ed25519(KEYS[0], message, signature)


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_any_bytes_as_key_and_signature_are_only_false(key, signature):
    assert verify_ed25519(key, b"", signature) is False


@given(st.integers(min_value=0, max_value=511))
def test_every_bit_of_a_signature_matters(bit):
    signature = bytearray(SIGNERS[0].sign(b"message"))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify_ed25519(KEYS[0], b"message", bytes(signature))
