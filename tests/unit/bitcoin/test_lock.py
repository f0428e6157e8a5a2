"""Locks build what libbitcoinkernel accepts, and find fault where it does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random

import pytest

from custody.backends.kernel import KernelJudge
from custody.bitcoin import curve
from custody.bitcoin.key_paths import KeyPath, TapKeyPath
from custody.bitcoin.lock import Lock, TapLeaf, WitnessScript, lock_of
from custody.bitcoin.script import multisig_a_script, multisig_script, p2wpkh, p2wsh, sha256
from custody.bitcoin.sighash import ALL, DEFAULT, NONE, SINGLE, Sighashes, Taproot, tap_leaf_hash
from custody.bitcoin.taproot import UNSPENDABLE, control_block, output_key
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut

KINDS = ("wsh", "sh-wsh", "tr")
INTERNAL = UNSPENDABLE[1:]
JUDGE = KernelJudge()
ANYBODY = b"\x51"
"""A script that nobody has to satisfy."""


def secrets(count: int) -> list[bytes]:
    return [sha256(b"lock %d" % number) for number in range(count)]


def lock_made(kind: str, threshold: int, holders: list[bytes]) -> tuple[Lock, list[bytes]]:
    """The lock of `threshold` of these secrets, and the secrets in the order of its script."""
    if kind == "tr":
        order = sorted(holders, key=lambda each: curve.public_key(each)[1:])
        return TapLeaf(multisig_a_script(threshold, [curve.public_key(each)[1:] for each in order]), INTERNAL), order
    order = sorted(holders, key=curve.public_key)
    script = multisig_script(threshold, [curve.public_key(each) for each in order])
    return WitnessScript(script, is_nested=kind == "sh-wsh"), order


class Spend:
    """Spends a coin of `lock` and one that anybody may spend, and asks the kernel what it thinks."""

    def __init__(self, lock: Lock, index: int = 0) -> None:
        self.lock, self.index = lock, index
        spent = [TxOut(60_000, p2wsh(ANYBODY))]
        spent.insert(index, TxOut(50_000, lock.script_pubkey))
        self.spent = tuple(spent)
        scripts = [b""]
        scripts.insert(index, lock.script_sig)
        inputs = tuple(TxIn(OutPoint(sha256(bytes([n])), n), each, 0xFFFFFFFD) for n, each in enumerate(scripts))
        self.transaction = Transaction(2, inputs, (TxOut(100_000, p2wpkh(bytes(20))),), 800_000)
        self.sighashes = Sighashes(self.transaction, self.spent.__getitem__)

    @property
    def digest(self) -> bytes:
        return self.lock.digest(self.sighashes, self.index)

    def signed(self, order: list[bytes], chosen: set[bytes]) -> list[bytes]:
        return [self.lock.sign(each, self.digest) if each in chosen else b"" for each in order]

    def verdict(self, witness: tuple[bytes, ...], spent: tuple[TxOut, ...] | None = None) -> str | None:
        """What the kernel says against the transaction with this witness; None when it is valid."""
        stacks = [(ANYBODY,)]
        stacks.insert(self.index, witness)
        return JUDGE.judge(replace(self.transaction, witness=tuple(stacks)).serialize(), spent or self.spent)


def accepted(lock: Lock, order: list[bytes], chosen: set[bytes]) -> bool:
    return Spend(lock).verdict(lock.witness(Spend(lock).signed(order, chosen))) is None


# --- spends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (3, 5), (7, 10), (15, 15)])
def test_the_kernel_accepts_exactly_k_signatures(kind, threshold, count):
    lock, order = lock_made(kind, threshold, secrets(count))
    chosen = set(Random(count).sample(order, threshold))  # noqa: S311 - the same choice on every run
    assert accepted(lock, order, chosen)
    chosen.pop()
    assert not accepted(lock, order, chosen)


@pytest.mark.parametrize("kind", KINDS)
def test_any_k_of_the_keys_will_do(kind):
    lock, order = lock_made(kind, 3, secrets(5))
    for chosen in itertools.combinations(order, 3):
        assert accepted(lock, order, set(chosen))


def test_a_tapscript_refuses_one_signature_too_many():
    # NUMEQUAL, not at least: the finaliser uses exactly k.
    lock, order = lock_made("tr", 2, secrets(3))
    assert not accepted(lock, order, set(order))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", [0, 1])
def test_a_signature_is_good_at_its_own_input_only(kind, index):
    lock, order = lock_made(kind, 2, secrets(2))
    witness = lock.witness(Spend(lock, index).signed(order, set(order)))
    assert Spend(lock, index).verdict(witness) is None
    assert Spend(lock, 1 - index).verdict(witness) is not None


def test_a_tapscript_signature_signs_every_amount_and_script():
    lock, order = lock_made("tr", 2, secrets(3))
    spend = Spend(lock)
    witness = lock.witness(spend.signed(order, set(order[:2])))
    assert spend.verdict(witness) is None
    raised = TxOut(60_001, p2wsh(ANYBODY))
    assert "input 0" in spend.verdict(witness, (spend.spent[0], raised))


def test_an_annex_and_another_control_block_spoil_a_spend():
    lock, order = lock_made("tr", 2, secrets(3))
    spend = Spend(lock)
    witness = lock.witness(spend.signed(order, set(order[1:])))
    assert spend.verdict(witness) is None
    flipped = bytes([witness[-1][0] ^ 1]) + witness[-1][1:]
    other = control_block(curve.public_key(sha256(b"live"))[1:], 0)
    for wrong in (
        (*witness, b"\x50"),
        (*witness[:-1], flipped),
        (*witness[:-1], other),
        (*witness[1::-1], *witness[2:]),
        witness[1:],
        (b"", *witness),
    ):
        assert spend.verdict(wrong) is not None


def test_a_key_that_somebody_has_would_spend_alone():
    # Why the internal key matters: here it is live, and one signature moves a coin that is locked by 2 of 3.
    secret = sha256(b"live")
    script = multisig_a_script(2, [curve.public_key(each)[1:] for each in secrets(3)])
    lock = TapLeaf(script, curve.public_key(secret)[1:])
    spend = Spend(lock)
    root = tap_leaf_hash(script)
    even = secret if curve.public_key(secret)[0] == 2 else (curve.ORDER - int.from_bytes(secret, "big")).to_bytes(32)
    tweak = curve.add_secret(even, _tap_tweak(lock.internal_key, root))
    signature = curve.sign_schnorr(tweak, Taproot(spend.transaction, spend.spent).digest(0))
    assert spend.verdict((signature,)) is None
    assert lock.script_pubkey[2:] == curve.public_key(tweak)[1:] == output_key(lock.internal_key, root)[0]


def _tap_tweak(internal_key: bytes, root: bytes) -> bytes:
    tag = sha256(b"TapTweak")
    return sha256(tag + tag + internal_key + root)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_true_signature_has_no_fault_and_another_has(kind):
    lock, order = lock_made(kind, 2, secrets(3))
    digest = Spend(lock).digest
    key = lock.key(curve.public_key(order[0]))
    signature = lock.sign(order[0], digest)
    assert len(signature) <= lock.longest_signature
    assert signature == lock.sign(order[0], digest)
    assert lock.fault(key, digest, signature) is None
    assert lock.fault(lock.key(curve.public_key(order[1])), digest, signature)
    assert lock.fault(key, sha256(digest), signature)
    for at in range(len(signature)):
        assert lock.fault(key, digest, signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :])
    for wrong in (b"", signature[:-1], signature + b"\x00", signature + b"\x01", b"\x00" + signature):
        assert lock.fault(key, digest, wrong)


@pytest.mark.parametrize("hash_type", [DEFAULT, ALL, NONE, SINGLE, 0x81, 0x82, 0x83])
def test_a_schnorr_signature_that_names_its_hash_type_is_a_fault(hash_type):
    # The kernel takes every type but a written DEFAULT, and the network would: here the whole transaction is signed.
    lock, order = lock_made("tr", 2, secrets(2))
    spend = Spend(lock)
    digest = Taproot(spend.transaction, spend.spent).digest(0, hash_type, leaf_hash=tap_leaf_hash(lock.script))
    signatures = [curve.sign_schnorr(each, digest) + bytes([hash_type]) for each in order]
    assert (spend.verdict(lock.witness(signatures)) is None) == (hash_type != DEFAULT)
    assert lock.fault(curve.public_key(order[0])[1:], digest, signatures[0])


# --- PSBT fields ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_is_read_from_the_fields_it_writes(kind):
    lock, _ = lock_made(kind, 2, secrets(3))
    assert lock_of(lock.input_fields()) == lock
    assert lock_of(lock.input_fields()).script_pubkey == lock.script_pubkey
    assert dict(lock.output_fields().scripts).items() <= dict(lock.input_fields().scripts).items()


def test_fields_that_contradict_each_other_are_no_lock():
    wsh, _ = lock_made("wsh", 2, secrets(3))
    tap, _ = lock_made("tr", 2, secrets(3))
    fields = tap.input_fields()
    other = curve.public_key(sha256(b"live"))[1:]
    flipped = bytes([fields.control_block[0] ^ 1]) + fields.control_block[1:]
    for contradicting in (
        replace(wsh.input_fields(), redeem_script=p2wsh(b"\x51")),
        replace(fields, internal_key=other),
        replace(fields, merkle_root=bytes(32)),
        replace(fields, merkle_root=b""),
        replace(fields, control_block=flipped),
        replace(fields, control_block=b""),
        replace(fields, control_block=fields.control_block[:1] + bytes(32)),
        replace(fields, control_block=fields.control_block + bytes(32)),
        replace(fields, leaf_script=b"\x51"),
    ):
        assert lock_of(contradicting) is None
    assert lock_of(replace(fields, internal_key=b"")) == tap


def test_key_paths_are_as_psbts_carry_them():
    path = KeyPath(b"abcd", (1, 2))
    wsh, _ = lock_made("wsh", 2, secrets(3))
    tap, _ = lock_made("tr", 2, secrets(3))
    key = curve.public_key(secrets(1)[0])
    assert (wsh.key(key), wsh.key_path(path)) == (key, path)
    assert (tap.key(key), tap.key_path(path)) == (key[1:], TapKeyPath(b"abcd", (1, 2), tap_leaf_hash(tap.script)))
    assert wsh.signature_field(key) == b"\x02" + key
    assert tap.signature_field(key[1:]) == b"\x14" + key[1:] + tap_leaf_hash(tap.script)
