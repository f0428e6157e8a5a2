"""A device that uses a nonce twice (THREATS B8), or one of its own choice (B9): each signature is true all the same.

The device here signs with nonces of its own choice. What two with one nonce give away, the first test computes. A
nonce that was chosen to carry a seed out looks like any other; but who promised the nonces of RFC 6979 can be asked
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from embit import bip32

from custody.bitcoin.curve import ORDER, nonce_of, public_key, sign_ecdsa
from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import InputField
from custody.bitcoin.sighash import SegwitV0
from custody.history.tables import NONCES
from custody.ports import Signer, SignerRefused
from custody.station import Asked, Asking
from custody.testing.asserts import refuses
from custody.testing.cast import Chance, Setting, secret
from custody.testing.scenario import Scenario
from custody.transfer.plain import as_answer, read_returned
from custody.transfer.signing import InputSignature, SignedPsbt, nonces, refuse_repeated_nonces
from custody.vault.templates import ScriptType

ONE = 0x1234567890ABCDEF
NAMES = Setting().cosigners


def der(r: int, s: int) -> bytes:
    numbers = b"".join(
        b"\x02" + bytes([len(data)]) + data
        for data in (each.to_bytes(each.bit_length() // 8 + 1, "big") for each in (r, s))
    )
    return b"\x30" + bytes([len(numbers)]) + numbers


def signed_with(key: int, digest: int, nonce: int) -> tuple[int, int]:
    """ECDSA with low S: (r, s)."""
    r = int.from_bytes(public_key(nonce.to_bytes(32, "big"))[1:], "big") % ORDER
    s = pow(nonce, -1, ORDER) * (digest + r * key) % ORDER
    return r, min(s, ORDER - s)


class ChosenNonces:
    """A cosigner's device, with its true key; `nonce_at(input)` is what should have been chance."""

    def __init__(self, story: Scenario, cosigner: int, nonce_at: Callable[[int], int]) -> None:
        self._root = bip32.HDKey.from_seed(secret(f"cosigner {NAMES[cosigner]}"))
        self._nonce_at = nonce_at
        self.fingerprint = story.cast.signers[cosigner].fingerprint

    def sign(self, psbt: Psbt) -> Psbt:
        content = TransferPsbt.from_psbt(psbt, Direction.TO_SIGNER)
        hasher = SegwitV0(content.transaction)
        maps = []
        for index, (claims, each) in enumerate(zip(content.inputs, psbt.inputs, strict=True)):
            own, path = next((key, path) for key, path in claims.key_paths if path.fingerprint == self.fingerprint)
            key = int.from_bytes(self._root.derive(list(path.path)).key.secret, "big")
            digest = hasher.digest(index, claims.witness_script, claims.witness_utxo.amount)
            signature = der(*signed_with(key, int.from_bytes(digest, "big"), self._nonce_at(index)))
            field = (bytes([InputField.PARTIAL_SIG]) + own, signature + b"\x01")
            maps.append(PsbtMap([*each.pairs, field]))
        return Psbt(0, psbt.global_map, tuple(maps), psbt.outputs)


@pytest.fixture
def story() -> Iterator[Scenario]:
    scenario = Scenario.funded(40_000_000, 30_000_000, 50_000_000, 20_000_000)
    yield scenario
    scenario.close()


def two_inputs(story: Scenario) -> bytes:
    """A transfer of at least two coins that waits for signatures."""
    transfer_id = story.authorized(story.request(("Supplier", 65_000_000)))
    assert len(story.transfer(transfer_id).draft.seats) >= 2
    return transfer_id


def asked(story: Scenario, transfer_id: bytes) -> Psbt:
    return story.custodian.psbt(transfer_id).to_psbt()


def signed_by(story: Scenario, transfer_id: bytes, cosigner: int, nonce_at: Callable[[int], int]) -> Psbt:
    return ChosenNonces(story, cosigner, nonce_at).sign(asked(story, transfer_id))


def test_two_signatures_with_one_nonce_give_the_key_away():
    # Not a refusal but the reason for all of them.
    key = int.from_bytes(secret("any key"), "big") % ORDER
    first, second = 17, 18
    (r, s), (_, t) = (signed_with(key, digest, ONE) for digest in (first, second))
    found = {pow(r * (t - sign * s), -1, ORDER) * (sign * s * second - t * first) % ORDER for sign in (1, -1)}
    assert key in found


def test_signatures_with_nonces_of_their_own_are_taken(story):
    transfer_id = two_inputs(story)
    for cosigner in (0, 1):
        returned = signed_by(story, transfer_id, cosigner, lambda at, first=ONE + 10 * cosigner: first + at)
        story.custodian.receive(transfer_id, returned)
    assert story.custodian.combine(transfer_id).cosigners
    assert story.custodian.verify(transfer_id).judges


def test_one_nonce_on_two_inputs_is_refused(story):
    transfer_id = two_inputs(story)
    before = story.history().size
    with refuses("NONCE_REUSE") as caught:
        story.custodian.receive(transfer_id, signed_by(story, transfer_id, 0, lambda _: ONE))
    assert (caught.error.cosigner, caught.error.input) == (story.cast.signers[0].fingerprint.hex(), 1)
    assert story.history().size == before


def test_one_nonce_on_two_inputs_is_found_in_a_finished_transaction(story):
    transfer_id = two_inputs(story)
    transfer, vault = story.transfer(transfer_id), story.cast.vault
    files = [story.signature(transfer_id, 1), signed_by(story, transfer_id, 0, lambda _: ONE)]
    stacks = []
    for index, seat in enumerate(transfer.draft.seats):
        signed = dict(pair for each in files for pair in each.inputs[index].of_type(InputField.PARTIAL_SIG))
        keys = vault.holders(seat.branch, seat.index)
        stacks.append(vault.lock(seat.branch, seat.index).witness([signed.get(key, b"") for key in keys]))
    finished = replace(transfer.draft.transaction, witness=tuple(stacks)).serialize().hex().encode()
    answer = as_answer(read_returned(finished), transfer.draft, story.cast.charter)
    before = story.history().size
    with refuses("NONCE_REUSE") as caught:
        story.custodian.receive(transfer_id, answer.psbt)
    assert caught.error.cosigner == story.cast.signers[0].fingerprint.hex()
    assert story.history().size == before


def test_a_mirrored_nonce_is_the_same_nonce(story):
    transfer_id = two_inputs(story)
    with refuses("NONCE_REUSE"):
        story.custodian.receive(transfer_id, signed_by(story, transfer_id, 0, lambda at: ONE if at else ORDER - ONE))


def test_a_nonce_of_an_earlier_transfer_is_refused_and_the_others_go_on(story):
    first = story.authorized(story.request(("Supplier", 15_000_000)))
    story.custodian.receive(first, signed_by(story, first, 0, lambda at: ONE + at))
    second = story.authorized(story.request(("Supplier", 16_000_000)))
    before = story.history().size
    with refuses("NONCE_REUSE"):
        story.custodian.receive(second, signed_by(story, second, 0, lambda at: ONE + at))
    assert story.history().size == before
    for cosigner in (1, 2):
        story.custodian.receive(second, story.signature(second, cosigner))
    assert story.custodian.combine(second).cosigners


def test_a_nonce_of_what_is_replaced_is_refused_though_it_was_by_the_same_key(story):
    first = story.sent(story.request(("Supplier", 15_000_000)), rate=2_000)
    (coin,) = story.transfer(first).draft.outpoints
    second = story.authorized(story.request(("Supplier", 15_000_000), replaces=(first,)), rate=12_000)
    assert story.transfer(second).draft.outpoints == (coin,)
    story.custodian.receive(second, signed_by(story, second, 0, lambda at: ONE + at))
    third = story.authorized(story.request(("Supplier", 15_000_000), replaces=(first, second)), rate=24_000)
    assert story.transfer(third).draft.outpoints == (coin,)
    before = story.history().size
    with refuses("NONCE_REUSE"):
        story.custodian.receive(third, signed_by(story, third, 0, lambda at: ONE + at))
    assert story.history().size == before
    assert story.custodian.receive(third, signed_by(story, third, 0, lambda at: ONE + 50 + at))


def test_a_nonce_of_another_cosigner_is_refused(story):
    # Two devices of one maker with one bad generator: each of the two holders can compute the other's key.
    transfer_id = two_inputs(story)
    story.custodian.receive(transfer_id, signed_by(story, transfer_id, 0, lambda at: ONE + at))
    with refuses("NONCE_REUSE") as caught:
        story.custodian.receive(transfer_id, signed_by(story, transfer_id, 1, lambda at: ONE + at))
    assert caught.error.cosigner == story.cast.signers[1].fingerprint.hex()


def test_what_repeats_a_nonce_does_not_leave_the_station(story):
    first = story.authorized(story.request(("Supplier", 15_000_000)))
    station = story.stations[0]
    answer = station.sign(story.custodian.evidence(first), ChosenNonces(story, 0, lambda at: ONE + at))
    story.custodian.receive(first, answer.psbt.to_psbt())
    second = story.authorized(story.request(("Supplier", 16_000_000)))
    with refuses("NONCE_REUSE"):
        station.sign(story.custodian.evidence(second), ChosenNonces(story, 0, lambda at: ONE + at))
    assert station.sign(story.custodian.evidence(second), ChosenNonces(story, 0, lambda at: ONE + 50 + at)).signed


def test_the_same_signature_again_gives_nothing_away(story):
    transfer_id = two_inputs(story)
    for _ in range(2):
        story.custodian.receive(transfer_id, story.signature(transfer_id, 0))
    assert len(story.transfer(transfer_id).signed) == 1


def test_the_index_of_a_log_holds_every_signature_once(story):
    transfer_id = two_inputs(story)
    for cosigner in (0, 1):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    signatures = [each for signed in story.transfer(transfer_id).signed for each in signed.signatures]
    nonces_ = {key: (row.public_key, row.signature) for key, row in story.history().state.scan(NONCES)}
    assert nonces_ == {nonce_of(each.signature[:-1]): (each.public_key, each.signature) for each in signatures}
    assert len(nonces_) == len(signatures) >= 4


def test_what_is_no_signature_has_no_nonce():
    good = sign_ecdsa(secret("somebody"), bytes(32)) + b"\x01"
    kept = InputSignature(input=0, public_key=b"\x02" * 33, signature=good)
    spoilt = InputSignature(input=1, public_key=b"\x02" * 33, signature=b"\x30" + bytes(70))
    signed = SignedPsbt(transfer=bytes(32), cosigner=bytes(4), signatures=(kept, spoilt), at=0)
    assert [each for _, each in nonces(signed)] == [kept]
    refuse_repeated_nonces([signed, signed], {})


# --- B9: a device that promised RFC 6979, asked twice ---

MAKERS = ("coinkite", "ledger", "satoshilabs")


@pytest.fixture
def promised() -> Iterator[Scenario]:
    """A story whose charter calls every device deterministic."""
    setting = Setting(makers=MAKERS, is_deterministic=True)
    scenario = Scenario.funded(40_000_000, 30_000_000, 50_000_000, 20_000_000, setting=setting)
    yield scenario
    scenario.close()


@dataclass
class Watched:
    """A signer that counts how often it was asked; `until` is after how many answers it says no."""

    signer: Signer
    until: int = 9
    asked: int = 0

    @property
    def fingerprint(self) -> bytes:
        return self.signer.fingerprint

    def sign(self, psbt: Psbt) -> Psbt:
        if self.asked == self.until:
            raise SignerRefused(fingerprint=self.fingerprint.hex(), reason="its holder said no")
        self.asked += 1
        return self.signer.sign(psbt)


def low_r(nonce: int) -> bool:
    return public_key(nonce.to_bytes(32, "big"))[1] < 0x80


def ground(story: Scenario, only_at: int | None = None) -> Watched:
    """A device that grinds for a low R with fresh chance each time; with `only_at`, on that input alone."""
    chance = Chance(17)

    def nonce_at(at: int) -> int:
        if only_at not in {None, at}:
            return ONE + at
        nonce = 1 + chance.below(ORDER - 1)
        while not low_r(nonce):
            nonce = 1 + chance.below(ORDER - 1)
        return nonce

    return Watched(ChosenNonces(story, 0, nonce_at))


def counted_up(story: Scenario) -> Watched:
    """A device that grinds for a low R as Bitcoin Core does: by a counter, from where it always starts."""

    def nonce_at(at: int) -> int:
        return next(nonce for nonce in range(ONE + 1_000 * at, ORDER) if low_r(nonce))

    return Watched(ChosenNonces(story, 0, nonce_at))


def test_a_device_that_draws_its_nonces_is_caught_and_nothing_leaves(promised):
    transfer_id = two_inputs(promised)
    evidence, before = promised.custodian.evidence(transfer_id), promised.history().size
    device = ground(promised)
    with refuses("SIGNER_NONDETERMINISTIC") as caught:
        promised.stations[0].sign(evidence, device)
    assert (caught.error.cosigner, caught.error.input, device.asked) == (device.fingerprint.hex(), 0, 2)
    assert (promised.history().size, len(promised.transfer(transfer_id).signed)) == (before, 0)
    # The station goes on; so does the transfer, with signers that keep the promise.
    for cosigner in (0, 1):
        promised.custodian.receive(transfer_id, promised.signature(transfer_id, cosigner))
    assert promised.custodian.combine(transfer_id).cosigners


def test_one_input_signed_by_chance_is_enough(promised):
    transfer_id = two_inputs(promised)
    last = len(promised.transfer(transfer_id).draft.seats) - 1
    with refuses("SIGNER_NONDETERMINISTIC") as caught:
        promised.stations[0].sign(promised.custodian.evidence(transfer_id), ground(promised, only_at=last))
    assert caught.error.input == last


def test_what_such_a_refusal_says_holds_neither_signature(promised):
    transfer_id = two_inputs(promised)
    kept: list[bytes] = []

    class Keeping(Watched):
        def sign(self, psbt: Psbt) -> Psbt:
            answer = super().sign(psbt)
            kept.extend(value for each in answer.inputs for _, value in each.of_type(InputField.PARTIAL_SIG))
            return answer

    with refuses("SIGNER_NONDETERMINISTIC") as caught:
        promised.stations[0].sign(promised.custodian.evidence(transfer_id), Keeping(ground(promised)))
    told = f"{caught.error} {caught.error.advice()} {caught.error.values()}"
    assert len(kept) >= 4
    assert not [each for each in kept if nonce_of(each[:-1]).hex() in told or each.hex() in told]


def test_low_r_by_counting_keeps_the_promise(promised):
    transfer_id = two_inputs(promised)
    device = counted_up(promised)
    answer = promised.stations[0].sign(promised.custodian.evidence(transfer_id), device)
    assert (answer.asked, device.asked) == (Asked.TWICE, 2)
    promised.custodian.receive(transfer_id, answer.psbt.to_psbt())


def test_a_second_no_is_a_no(promised):
    transfer_id = two_inputs(promised)
    device = Watched(promised.cast.signers[0], until=1)
    with refuses("SIGNER_REFUSED"):
        promised.stations[0].sign(promised.custodian.evidence(transfer_id), device)
    assert device.asked == 1


def test_who_promised_nothing_is_asked_once_unless_somebody_says_twice(story):
    transfer_id = two_inputs(story)
    evidence, device = story.custodian.evidence(transfer_id), ground(story)
    assert story.stations[0].sign(evidence, device).asked is Asked.ONCE
    assert device.asked == 1
    with refuses("SIGNER_NONDETERMINISTIC"):
        story.stations[0].sign(evidence, device, Asking.TWICE)


def test_a_device_that_changes_its_name_while_it_is_asked_is_held_to_the_first(promised):
    # It says whose it is, which decides what it promised and whose signatures it may give; then it is somebody else.
    class Turncoat(Watched):
        @property
        def fingerprint(self) -> bytes:
            return promised.cast.signers[1 if self.asked else 0].fingerprint

    transfer_id = two_inputs(promised)
    with refuses("COSIGNER_ALTERED") as caught:
        promised.stations[0].sign(promised.custodian.evidence(transfer_id), Turncoat(promised.cast.signers[1]))
    assert "was not asked" in caught.error.what


@pytest.mark.parametrize("asking", Asking)
def test_schnorr_signatures_are_said_to_be_not_comparable(asking):
    setting = Setting(makers=MAKERS, is_deterministic=True, script_type=ScriptType.TR)
    story = Scenario.funded(40_000_000, setting=setting)
    device = Watched(story.cast.signers[0])
    answer = story.stations[0].sign(story.custodian.evidence(story.authorized()), device, asking)
    story.close()
    assert (answer.asked, device.asked) == (Asked.NOT_COMPARABLE, 1)


def test_a_seed_that_leaves_the_same_way_twice_is_not_seen(promised):
    # The limit of asking twice, and why makers must differ: this nonce is the key's own secret, in a thin disguise.
    transfer_id = two_inputs(promised)
    leaking = int.from_bytes(secret("a seed that is to leave"), "big")
    device = ChosenNonces(promised, 0, lambda at: (leaking + at) % ORDER)
    assert promised.stations[0].sign(promised.custodian.evidence(transfer_id), device).asked is Asked.TWICE
