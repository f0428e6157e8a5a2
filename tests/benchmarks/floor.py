"""What does libsecp256k1 alone take for a finalization? No program that verifies and derives with it can be faster.

`.venv/bin/python tests/benchmarks/floor.py` prints it for this machine: a verification of a signature by a parsed key,
and a child key, which is a multiplication of the generator and an addition; nothing else is timed.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections.abc import Callable

from coincurve._libsecp256k1 import ffi, lib
from material import COSIGNERS, THRESHOLD
from plan import SIZES

from custody.bitcoin import curve

ROUNDS = 2_000
LAPS = 9


def main() -> None:
    """Print microseconds of CPU for each call, and what they come to for each size."""
    context = lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE)
    secret, digest = (hashlib.sha256(text).digest() for text in (b"secret", b"digest"))
    key, total = ffi.new("secp256k1_pubkey *"), ffi.new("secp256k1_pubkey *")
    lib.secp256k1_ec_pubkey_create(context, key, secret)
    tweak = ffi.new("secp256k1_pubkey *")
    terms = ffi.new("secp256k1_pubkey *[2]", [key, tweak])
    der = curve.sign_ecdsa(secret, digest)
    signature = ffi.new("secp256k1_ecdsa_signature *")
    lib.secp256k1_ecdsa_signature_parse_der(context, signature, der, len(der))

    def derive() -> bool:
        created = lib.secp256k1_ec_pubkey_create(context, tweak, digest)
        return bool(created and lib.secp256k1_ec_pubkey_combine(context, total, terms, 2))

    verifying = _us(lambda: bool(lib.secp256k1_ecdsa_verify(context, signature, digest, key)))
    deriving = _us(derive)
    sys.stdout.write(f"one verification {verifying:.1f} us, one child key {deriving:.1f} us\n")
    for size in SIZES:
        known = size * THRESHOLD * verifying / 1000
        new = known + size * len(COSIGNERS) * deriving / 1000
        sys.stdout.write(f"finalize {size:,} inputs: {known:.1f} ms, in a new process {new:.1f} ms\n")


def _us(call: Callable[[], bool]) -> float:
    """Median microseconds of CPU of one call, which must give True."""
    times = []
    for _ in range(LAPS):
        start = time.process_time_ns()
        for _ in range(ROUNDS):
            assert call()
        times.append((time.process_time_ns() - start) / ROUNDS / 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
