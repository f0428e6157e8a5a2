"""What commits to a taproot script, and what spends past it."""

import pytest

from custody.bitcoin.curve import public_key, x_only_tweak
from custody.bitcoin.script import sha256
from custody.bitcoin.sighash import tap_tweak
from custody.bitcoin.taproot import (
    control_block,
    is_control_block,
    output_key,
    output_keys,
    refuse_past_script,
)
from custody.testing.asserts import refuses

KEYS = [public_key(sha256(bytes([number])))[1:] for number in range(20)]
ROOTS = [sha256(key) for key in KEYS]


def test_many_output_keys_are_what_each_alone_is():
    assert output_keys(KEYS, ROOTS) == [output_key(key, root)[0] for key, root in zip(KEYS, ROOTS, strict=True)]
    assert output_key(KEYS[0], ROOTS[0]) == x_only_tweak(KEYS[0], tap_tweak(KEYS[0], ROOTS[0]))
    assert {output_key(key, root)[1] for key, root in zip(KEYS, ROOTS, strict=True)} == {0, 1}
    assert output_keys([], []) == []


def test_what_is_no_point_has_no_output_key():
    for keys in ([bytes(32)], [KEYS[0], KEYS[0][:-1]], [b"\x02" + KEYS[0]]):
        with refuses("PUBLIC_KEY_INVALID"):
            output_keys(keys, ROOTS[: len(keys)])
    with pytest.raises(ValueError, match=r"longer|shorter"):
        output_keys(KEYS, ROOTS[:-1])


def test_a_control_block_holds_parity_version_and_key():
    assert control_block(KEYS[0], 1) == b"\xc1" + KEYS[0]
    for parity in (0, 1):
        assert is_control_block(control_block(KEYS[0], parity))
    for other in (b"\xc2" + KEYS[0], b"\x02" + KEYS[0], b"\xc0" + KEYS[0][:-1], b"\xc0" + KEYS[0] + bytes(32), b""):
        assert not is_control_block(other)


@pytest.mark.parametrize(
    "stack",
    [
        (bytes(64),),
        (bytes(64) + b"\x01",),
        (bytes(64), b"\x50"),
        (bytes(64), b"\x51", b"\xc0" + KEYS[0], b"\x50"),
        (bytes(64), b"\x51", b"\xc0" + KEYS[0], b"\x50data"),
    ],
)
def test_a_key_path_and_an_annex_are_refused(stack):
    with refuses("TAPROOT_KEYPATH") as caught:
        refuse_past_script(stack, "input 3")
    assert "input 3" in str(caught.error)


@pytest.mark.parametrize(
    "stack", [(), (b"\x50",), (bytes(64), b"\x51", b"\xc0" + KEYS[0]), (b"", bytes(71), b"\x52"), (b"\x50", b"\x51")]
)
def test_other_witnesses_pass(stack):
    refuse_past_script(stack, "input 3")
