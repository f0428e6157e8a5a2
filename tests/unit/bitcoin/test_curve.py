"""Keys, signatures and children, against the definitions and against embit's independent code."""

from __future__ import annotations

import copy
import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor

import pytest
from embit import ec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from custody.bitcoin.curve import (
    ORDER,
    ParentKey,
    add_secret,
    add_tweak,
    is_low_s,
    is_public_key,
    is_strict_der,
    nonce_of,
    public_key,
    sign_ecdsa,
    sign_schnorr,
    verify_ecdsa,
    verify_schnorr,
    x_only_tweak,
    x_only_tweaks,
)
from custody.testing.asserts import refuses

GENERATOR = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
SECRET = hashlib.sha256(b"a secret").digest()
DIGEST = hashlib.sha256(b"a digest").digest()
CHAIN_CODE = hashlib.sha256(b"a chain code").digest()

scalars = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


def scalar(number: int) -> bytes:
    return number.to_bytes(32, "big")


def der(r: int, s: int) -> bytes:
    body = b""
    for number in (r, s):
        content = number.to_bytes(number.bit_length() // 8 + 1, "big")
        body += bytes([2, len(content)]) + content
    return bytes([0x30, len(body)]) + body


def test_the_key_of_one_is_the_generator():
    assert public_key(scalar(1)) == GENERATOR


def test_the_key_of_n_minus_one_is_the_generator_mirrored():
    assert public_key(scalar(ORDER - 1)) == b"\x03" + GENERATOR[1:]


@pytest.mark.parametrize(
    "secret",
    [bytes(32), scalar(ORDER), b"\xff" * 32, SECRET[:31], SECRET + b"\0", b""],
    ids=["zero", "n", "all ones", "short", "long", "empty"],
)
def test_a_secret_out_of_range_is_refused_and_not_shown(secret):
    for use in (public_key, lambda key: sign_ecdsa(key, DIGEST), lambda key: sign_schnorr(key, DIGEST)):
        with pytest.raises(ValueError, match="secret") as caught:
            use(secret)
        assert not secret or secret.hex() not in str(caught.value)


def test_only_compressed_points_of_the_curve_are_public_keys():
    uncompressed = bytes.fromhex(
        "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    )
    assert is_public_key(GENERATOR)
    assert not is_public_key(uncompressed)
    assert not is_public_key(b"\x06" + uncompressed[1:])  # hybrid form
    assert not is_public_key(b"\x02" + scalar(5))  # no point has x = 5
    assert is_public_key(b"\x02" + scalar(1))
    assert not is_public_key(b"\x02" + scalar(1 + 2**256 - 2**32 - 977))  # the same x and the field's size
    assert not is_public_key(b"\x00" * 33)
    assert not is_public_key(b"\x04" + GENERATOR[1:])
    assert not is_public_key(GENERATOR[:32])
    assert not is_public_key(b"")


@given(scalars, digests)
@settings(max_examples=60)
def test_a_signature_is_strict_low_and_verifies(secret, digest):
    signature = sign_ecdsa(secret, digest)
    assert verify_ecdsa(public_key(secret), digest, signature)
    assert is_strict_der(signature)
    assert is_low_s(signature)
    assert len(signature) <= 70
    assert nonce_of(signature)[0] < 0x80
    assert sign_ecdsa(secret, digest) == signature


@given(scalars, digests)
@settings(max_examples=40)
def test_signatures_equal_those_of_embit(secret, digest):
    signature = ec.PrivateKey(secret).sign(digest, grind=True).serialize()
    # embit looks at the size alone, so a short s lets a high r through once in a hundred.
    assume(nonce_of(signature)[0] < 0x80)
    assert sign_ecdsa(secret, digest) == signature


def test_an_r_of_exactly_2_to_the_255_and_a_little_is_high():
    # The first RFC 6979 nonce for this digest gives an r that begins 0x80: one more than fits in 32 bytes of DER.
    signature = sign_ecdsa(SECRET, hashlib.sha256(b"317").digest())
    assert nonce_of(signature)[0] < 0x80
    assert len(signature) <= 70


def test_a_signature_is_good_for_one_digest_and_one_key():
    signature = sign_ecdsa(SECRET, DIGEST)
    assert not verify_ecdsa(public_key(SECRET), hashlib.sha256(DIGEST).digest(), signature)
    assert not verify_ecdsa(GENERATOR, DIGEST, signature)


@given(st.binary(max_size=80), st.binary(max_size=40), st.binary(max_size=80))
def test_bad_bytes_are_a_false_and_never_an_error(key, digest, signature):
    assert not verify_ecdsa(key, digest, signature)
    assert not verify_schnorr(key, digest, signature)
    assert not is_low_s(signature) or is_strict_der(signature)


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1), st.data())
def test_what_is_strict_is_the_one_spelling_of_its_integers(r, s, data):
    signature = der(r, s)
    at = data.draw(st.integers(0, len(signature) - 1))
    mutated = signature[:at] + data.draw(st.binary(max_size=2)) + signature[at + 1 :]
    if is_strict_der(mutated):
        r_end = 4 + mutated[3]
        integers = (int.from_bytes(field, "big") for field in (mutated[4:r_end], mutated[r_end + 2 :]))
        assert der(*integers) == mutated


@given(st.integers(1, 2**256 - 1), st.integers(1, 2**256 - 1))
def test_two_positive_integers_in_der_are_strict(r, s):
    signature = der(r, s)
    assert is_strict_der(signature)
    assert is_low_s(signature) == (s <= ORDER // 2)
    assert nonce_of(signature) == r.to_bytes(32, "big")


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param("300702020001020101", id="r is 1 behind a zero"),
        pytest.param("30070202007f020101", id="r is 127 behind a zero"),
        pytest.param("300702010102020001", id="s is 1 behind a zero"),
        pytest.param("3006020180020101", id="r is negative"),
        pytest.param("3006020301010101", id="r reaches the end"),
        pytest.param("3006020401010101", id="r reaches beyond the end"),
        pytest.param("3006020101020201", id="s reaches beyond the end"),
        pytest.param("3006020101020001", id="s ends before the end"),
        pytest.param("3006020002020101", id="r has no bytes"),
        pytest.param("3006020201010200", id="s has no bytes"),
        pytest.param("3006010101020101", id="r is a boolean"),
        pytest.param("3006020101010101", id="s is a boolean"),
        pytest.param("3005020101020101", id="a length too small"),
        pytest.param("3007020101020101", id="a length too large"),
        pytest.param("3106020101020101", id="no sequence"),
        pytest.param("30", id="one byte"),
    ],
)
def test_each_rule_of_bip_66_has_an_encoding_that_breaks_it(signature):
    assert is_strict_der(bytes.fromhex("3006020101020101"))
    assert is_strict_der(bytes.fromhex("300702020080020101"))
    assert not is_strict_der(bytes.fromhex(signature))


def test_low_s_ends_at_half_the_order():
    assert is_low_s(der(1, ORDER // 2))
    assert not is_low_s(der(1, ORDER // 2 + 1))
    assert not is_low_s(der(1, 0))


@pytest.mark.parametrize("signature", [b"", bytes(9), b"\x30\x06\x02\x01\x01\x02\x01", der(2**256, 1)])
def test_what_is_no_signature_has_no_nonce(signature):
    with pytest.raises(ValueError, match=r"DER|32 bytes"):
        nonce_of(signature)


@given(scalars, digests, digests)
@settings(max_examples=40)
def test_a_schnorr_signature_verifies_for_its_digest_only(secret, digest, aux):
    key = public_key(secret)[1:]
    signature = sign_schnorr(secret, digest, aux)
    assert len(signature) == 64
    assert verify_schnorr(key, digest, signature)
    assert not verify_schnorr(key, bytes([digest[0] ^ 1]) + digest[1:], signature)
    assert sign_schnorr(secret, digest, aux) == signature


@pytest.mark.parametrize(
    ("digest", "aux"),
    [(DIGEST[:31], bytes(32)), (DIGEST, bytes(31)), (DIGEST + b"\0", bytes(32))],
    ids=["digest short", "aux short", "digest long"],
)
def test_schnorr_signs_32_bytes_with_32_auxiliary_bytes(digest, aux):
    with pytest.raises(ValueError, match="32 bytes"):
        sign_schnorr(SECRET, digest, aux)


def test_ecdsa_signs_32_bytes():
    with pytest.raises(ValueError, match="32 bytes"):
        sign_ecdsa(SECRET, DIGEST + b"\0")


@given(scalars, scalars)
@settings(max_examples=40)
def test_tweaking_a_key_and_its_secret_comes_to_the_same(secret, tweak):
    assume(int.from_bytes(secret, "big") + int.from_bytes(tweak, "big") != ORDER)
    assert add_tweak(public_key(secret), tweak) == public_key(add_secret(secret, tweak))


def test_a_tweak_to_infinity_or_out_of_range_is_refused():
    negated = scalar(ORDER - int.from_bytes(SECRET, "big"))
    for tweak in (negated, scalar(ORDER), b"\xff" * 32, SECRET[:31]):
        with pytest.raises(ValueError, match="tweak"):
            add_tweak(public_key(SECRET), tweak)
        with pytest.raises(ValueError, match="tweak"):
            add_secret(SECRET, tweak)


@given(scalars, scalars)
@settings(max_examples=40)
def test_an_x_only_tweak_starts_from_the_even_point(secret, tweak):
    # Else the sum is infinity: for one of the two when the point is even, for the other when it is odd.
    assume(int.from_bytes(tweak, "big") not in {number := int.from_bytes(secret, "big"), ORDER - number})
    x_only = public_key(secret)[1:]
    whole = add_tweak(b"\x02" + x_only, tweak)
    assert x_only_tweak(x_only, tweak) == (whole[1:], whole[0] - 2)


def test_an_x_only_tweak_refuses_what_is_no_point():
    with refuses("PUBLIC_KEY_INVALID"):
        x_only_tweak(scalar(5), SECRET)
    with pytest.raises(ValueError, match="tweak"):
        x_only_tweak(GENERATOR[1:], scalar(ORDER))


def test_many_x_only_tweaks_are_what_each_alone_is():
    keys = [public_key(scalar(number))[1:] for number in range(1, 30)]
    tweaks = [scalar(number * 7) for number in range(1, 30)]
    expected = [x_only_tweak(key, tweak)[0] for key, tweak in zip(keys, tweaks, strict=True)]
    assert x_only_tweaks(keys, tweaks) == expected
    with refuses("PUBLIC_KEY_INVALID"):
        x_only_tweaks([*keys[:3], scalar(5)], tweaks[:4])
    for wrong in (scalar(ORDER), bytes(31)):
        with pytest.raises(ValueError, match="out of range"):
            x_only_tweaks(keys[:1], [wrong])
    with pytest.raises(ValueError, match="out of range"):
        # lift_x(x) is G, so this sum is the point at infinity.
        x_only_tweaks([GENERATOR[1:]], [scalar(ORDER - 1)])


def reference_child(index: int) -> tuple[bytes, bytes]:
    """BIP 32's CKDpub as its text has it."""
    parent = public_key(SECRET)
    both = hmac.new(CHAIN_CODE, parent + index.to_bytes(4, "big"), "sha512").digest()
    return add_tweak(parent, both[:32]), both[32:]


@pytest.mark.parametrize("index", [0, 1, 255, 256, 70000, 2**31 - 1])
def test_a_child_is_what_bip_32_says(index):
    assert ParentKey(public_key(SECRET), CHAIN_CODE).child_with_chain_code(index) == reference_child(index)


def test_a_column_of_children_is_each_child_in_order():
    branch = ParentKey(public_key(SECRET), CHAIN_CODE)
    assert branch.children(5, 25) == [branch.child(index) for index in range(5, 25)]
    assert branch.children(2**31 - 2, 2**31) == [branch.child(2**31 - 2), branch.child(2**31 - 1)]
    assert branch.children(7, 7) == []


def test_an_index_that_is_hardened_or_negative_is_refused():
    branch = ParentKey(public_key(SECRET), CHAIN_CODE)
    for attempt in (
        lambda: branch.child(2**31),
        lambda: branch.child(-1),
        lambda: branch.child_with_chain_code(2**32),
        lambda: branch.children(2**31 - 1, 2**31 + 1),
        lambda: branch.children(-1, 3),
    ):
        with refuses("INDEX_RANGE"):
            attempt()


class ForcedHash:
    """Stands where the outer hash of an HMAC stood and gives the digest it is told: no real one gives these."""

    def __init__(self, digest: bytes) -> None:
        self.forced = digest

    def copy(self) -> ForcedHash:
        return self

    def update(self, data: bytes) -> None:
        assert len(data) == 64

    def digest(self) -> bytes:
        return self.forced


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(scalar(ORDER), id="I_L is n"),
        pytest.param(b"\xff" * 32, id="I_L is above n"),
        pytest.param(scalar(ORDER - int.from_bytes(SECRET, "big")), id="the sum is infinity"),
    ],
)
def test_a_child_that_bip_32_leaves_out_is_a_named_error(left):
    branch = ParentKey(public_key(SECRET), CHAIN_CODE)
    branch._outer = ForcedHash(left + bytes(32))
    with refuses("CHILD_KEY_INVALID") as caught:
        branch.children(3, 6)
    assert caught.error.index == 3


def test_the_last_allowed_left_half_still_gives_a_child():
    branch = ParentKey(public_key(SECRET), CHAIN_CODE)
    branch._outer = ForcedHash(scalar(ORDER - 1) + bytes(32))
    assert branch.child(0) == add_tweak(public_key(SECRET), scalar(ORDER - 1))


def test_a_branch_needs_a_point_and_a_chain_code():
    with refuses("PUBLIC_KEY_INVALID") as caught:
        ParentKey(b"\0" + SECRET, CHAIN_CODE)
    assert SECRET.hex() not in str(caught.error)
    with pytest.raises(ValueError, match="chain code"):
        ParentKey(public_key(SECRET), CHAIN_CODE[:31])


def test_one_branch_serves_many_threads():
    branch = ParentKey(public_key(SECRET), CHAIN_CODE)
    expected = branch.children(0, 400)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: branch.children(0, 400), range(16))) == [expected] * 16


def test_a_derived_key_verifies_as_its_bytes_do():
    branch = ParentKey(public_key(SECRET), CHAIN_CODE)
    secrets = [add_secret(SECRET, branch._hmac(index)[:32]) for index in range(4)]
    keys = branch.keys(range(4))
    for key, secret in zip(keys, secrets, strict=True):
        signature = sign_ecdsa(secret, DIGEST)
        assert key == public_key(secret)
        assert hash(key) == hash(bytes(key))
        assert verify_ecdsa(key, DIGEST, signature)
        assert verify_ecdsa(bytes(key), DIGEST, signature)
        for other in keys:
            assert verify_ecdsa(other, DIGEST, signature) is (other == key)


def test_a_derived_key_keeps_its_point_whatever_else_is_computed_from_it():
    key = ParentKey(public_key(SECRET), CHAIN_CODE).child(7)
    signature = sign_ecdsa(add_secret(SECRET, ParentKey(public_key(SECRET), CHAIN_CODE)._hmac(7)[:32]), DIGEST)
    assert add_tweak(key, scalar(5)) == add_tweak(bytes(key), scalar(5))
    assert ParentKey(key, CHAIN_CODE).children(0, 3) == ParentKey(bytes(key), CHAIN_CODE).children(0, 3)
    assert verify_ecdsa(key, DIGEST, signature)


def test_a_copy_of_a_derived_key_is_its_bytes():
    key = ParentKey(public_key(SECRET), CHAIN_CODE).child(7)
    for copied in (copy.deepcopy(key), bytes(key)):
        assert type(copied) is bytes
        assert copied == key
