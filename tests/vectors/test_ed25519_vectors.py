"""Our rules for Ed25519 on every published edge case: canonical S, canonical A and R of no small order, no cofactor.

Sources: C2SP/CCTV ed25519 (914 cases, each labelled with what is odd about it) and C2SP/wycheproof ed25519.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Self

from custody import envelope
from custody.envelope import Ed25519Signer, KeyInvalid, check_public_key, verify_ed25519

KEY = Ed25519Signer(b"k" * 32).public_key
SIGNED = Ed25519Signer(b"k" * 32).sign(b"")

REFUSED_BY_RULE = {
    "low_order_A": "the key is of small order",
    "low_order_R": "R is of small order",
    "non_canonical_A": "the key is not canonical",
    "non_canonical_R": "R is not canonical",
    "low_order_residue": "the equation holds only when multiplied by the cofactor",
}


def is_usable(key: bytes) -> bool:
    try:
        check_public_key(key)
    except KeyInvalid:
        return False
    return True


def test_every_cctv_case_gets_the_verdict_of_our_rules(vectors):
    cases = json.loads((vectors / "c2sp/ed25519/ed25519vectors.json").read_text())
    assert len(cases) == 914
    verdicts = Counter()
    for case in cases:
        flags = set(case["flags"] or ())
        expected = not flags & REFUSED_BY_RULE.keys()
        key, signature = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"])
        assert verify_ed25519(key, case["msg"].encode(), signature) is expected, case["number"]
        verdicts[expected] += 1
    # Those that remain have A or R of mixed order, and the equation holds as it stands.
    assert verdicts == {True: 43, False: 871}


def test_each_rule_alone_refuses_some_cctv_case(vectors):
    cases = json.loads((vectors / "c2sp/ed25519/ed25519vectors.json").read_text())
    broken = [set(case["flags"] or ()) & REFUSED_BY_RULE.keys() for case in cases]
    assert {"low_order_A"} in broken
    assert {"low_order_R"} in broken
    assert {"low_order_residue"} in broken


def test_a_cctv_key_is_refused_exactly_when_small_or_not_canonical(vectors):
    cases = json.loads((vectors / "c2sp/ed25519/ed25519vectors.json").read_text())
    for case in cases:
        odd = set(case["flags"] or ()) & {"low_order_A", "non_canonical_A"}
        assert is_usable(bytes.fromhex(case["key"])) is not bool(odd), case["number"]


class Careless:
    """A library that takes every signature: what is refused then was refused before it was asked."""

    @classmethod
    def from_public_bytes(cls, _: bytes) -> Self:
        return cls()

    def verify(self, signature: bytes, message: bytes) -> None:
        """Take it."""


def test_each_rule_about_bytes_is_ours_and_not_the_library_s_alone(vectors, monkeypatch):
    cases = json.loads((vectors / "c2sp/ed25519/ed25519vectors.json").read_text())
    monkeypatch.setattr(envelope, "Ed25519PublicKey", Careless)
    ours = REFUSED_BY_RULE.keys() - {"low_order_residue"}
    for case in cases:
        key, signature = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"])
        assert verify_ed25519(key, b"", signature) is not bool(set(case["flags"] or ()) & ours), case["number"]
    # No case is odd in S alone, whose bound is the order of the group.
    s, order = int.from_bytes(SIGNED[32:], "little"), 2**252 + 27742317777372353535851937790883648493
    for value, is_below in ((s, True), (order - 1, True), (order, False), (s + order, False), (2**256 - 1, False)):
        assert verify_ed25519(KEY, b"", SIGNED[:32] + value.to_bytes(32, "little")) is is_below
    for size in (0, 63, 65):
        assert not verify_ed25519(KEY, b"", SIGNED.ljust(65, b"\x00")[:size])
    for size in (0, 31, 33):
        assert not verify_ed25519(KEY.ljust(33, b"\x00")[:size], b"", SIGNED)


def test_every_wycheproof_case_gets_its_published_verdict(vectors):
    groups = json.loads((vectors / "wycheproof/testvectors_v1/ed25519_test.json").read_text())["testGroups"]
    verdicts = Counter()
    for group in groups:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            is_valid = verify_ed25519(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert is_valid is (case["result"] == "valid"), case["tcId"]
            verdicts[case["result"]] += 1
    assert verdicts == {"valid": 88, "invalid": 63}
