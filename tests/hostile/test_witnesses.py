"""One witness of several is the attacker's, or broken: it spoils nothing that the others say (THREATS F21).

Three witnesses, of which two are needed. Each of the three has a real key; what the third answers is bad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from custody.charter.people import Witness
from custody.custodian import Custodian, Outside
from custody.envelope import Ed25519Signer, sign
from custody.examine.evidence import Stage
from custody.log import (
    NoteKey,
    NoteSignature,
    SignatureType,
    SignedCheckpoint,
    WitnessConflict,
    cosign,
    sign_checkpoint,
    witnesses_of,
)
from custody.log.witnessing import LogKey, WitnessRequest
from custody.testing.asserts import refuses
from custody.testing.cast import Cast, SoftwareWitness, make_cast, person_key
from custody.testing.memory import InMemoryStore
from custody.units import Network

NAMES = ("a.example", "b.example", "c.example")
KEYS = {name: person_key(name) for name in NAMES}
LATE = 2**40
Sign = Callable[[SignedCheckpoint], SignedCheckpoint]


def three_witnesses() -> Cast:
    cast = make_cast()
    listed = tuple(Witness(name=name, key=key.public_key) for name, key in KEYS.items())
    fields = {name: getattr(cast.charter, name) for name in type(cast.charter).model_fields}
    charter = type(cast.charter)(**fields | {"witnesses": listed, "witness_threshold": 2, "faulty_witnesses": 0})
    return replace(
        cast, charter=charter, envelope=sign(charter, cast.coordinator, *cast.people.values(), *KEYS.values())
    )


@pytest.fixture(scope="module")
def forger(forger_of):
    return forger_of(three_witnesses())


def by(name: str, time: int) -> Sign:
    return lambda note: cosign(note, name, KEYS[name], time)


def line(name: str, signature: bytes) -> Sign:
    key = NoteKey(name, SignatureType.COSIGNATURE, KEYS[name].public_key)
    return lambda note: note.with_signature(NoteSignature(name, key.key_id, signature))


def stamped(name: str, time: int) -> Sign:
    """A true signature over a time that no clock shows."""

    def add(note: SignedCheckpoint) -> SignedCheckpoint:
        message = f"cosignature/v1\ntime {time}\n{note.checkpoint.body()}".encode()
        return line(name, time.to_bytes(8, "big") + KEYS[name].sign(message))(note)

    return add


def of_another(name: str) -> Sign:
    """A line that is good under another checkpoint."""

    def add(note: SignedCheckpoint) -> SignedCheckpoint:
        other = replace(note, checkpoint=replace(note.checkpoint, size=note.checkpoint.size + 1))
        return note.with_signature(cosign(other, name, KEYS[name], 1_735_000_000).signatures[-1])

    return add


def stranger(note: SignedCheckpoint) -> SignedCheckpoint:
    return cosign(note, "d.example", Ed25519Signer(bytes([9]) * 32), 1_735_000_000)


BAD = {
    "does not verify": line("c.example", (1).to_bytes(8, "big") + bytes(64)),
    "too short": line("c.example", b"\x00"),
    "of a time that is none": stamped("c.example", LATE),
    "of another checkpoint": of_another("c.example"),
    "a stranger's": stranger,
}
bad = pytest.mark.parametrize("spoiled", BAD.values(), ids=BAD)


def judged(forger, *lines: Sign):
    """What an officer makes of a transfer whose log has these lines under its checkpoint."""
    log = forger.log()
    evidence = forger.evidence(None, Stage.SIGN, log=log)
    note = SignedCheckpoint.parse(evidence.checkpoint)
    note = sign_checkpoint(note.checkpoint, forger.cast.charter.origin, forger.cast.coordinator)
    for each in lines:
        note = each(note)
    return forger.examine(evidence.model_copy(update={"checkpoint": note.text()}), Stage.SIGN)


@bad
def test_two_good_ones_are_enough_whatever_the_third_says(forger, spoiled):
    found = judged(forger, by("a.example", forger.now), by("b.example", forger.now), spoiled)
    assert {each.key for each in found.cosignatures} == {KEYS[name].public_key for name in NAMES[:2]}
    assert {each.time for each in found.cosignatures} == {forger.now}


@bad
def test_one_good_one_and_a_bad_one_are_one(forger, spoiled):
    with refuses("HISTORY_UNWITNESSED") as caught:
        judged(forger, by("a.example", forger.now), spoiled)
    assert caught.error.given == 1
    assert "c.example" in caught.error.missing
    if spoiled is not stranger:
        assert "c.example (its cosignature" in caught.error.missing


def test_one_key_under_two_names_is_one_witness(forger):
    def again(note: SignedCheckpoint) -> SignedCheckpoint:
        return cosign(note, "b.example", KEYS["a.example"], forger.now)

    with refuses("HISTORY_UNWITNESSED"):
        judged(forger, by("a.example", forger.now), again)


# --- whoever asks them ------------------------------------------------------------------------------------------------


class Spoiling:
    """A witness that answers with its own line spoiled, and with others' lines spoiled too."""

    def cosign(self, request: WitnessRequest) -> SignedCheckpoint:
        note = request.signed()
        for name in NAMES:
            note = line(name, (1).to_bytes(8, "big") + bytes(64))(note)
        return note


class Refusing:
    """A witness that says it has seen another history."""

    def cosign(self, request: WitnessRequest) -> SignedCheckpoint:
        size = request.signed().checkpoint.size
        raise WitnessConflict(size=size, root="00", seen_size=size, seen_root="11")


class Noon:
    """A clock that stands."""

    def now(self) -> int:
        return 1_735_000_000


def custodian(*witnesses: object) -> Custodian:
    """A coordinator that asks these, in this order, under a charter that lists three and needs two."""
    cast = three_witnesses()
    store = InMemoryStore(Network.REGTEST, cast.charter.origin)
    outside = Outside((), None, (), Noon(), lambda below: below - 1, lambda: bytes(32), witnesses)  # no chain is asked
    found = Custodian(store, cast.digest, cast.coordinator, outside)
    found.adopt_charter(cast.envelope)
    return found


def honest(name: str) -> SoftwareWitness:
    charter = three_witnesses().charter
    return SoftwareWitness(name, KEYS[name], LogKey(charter.origin, charter.coordinator), Noon())


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("other", [Spoiling, Refusing])
def test_two_that_answer_well_are_enough(other, position):
    witnesses: list[object] = [honest("a.example"), honest("b.example")]
    witnesses.insert(position, other())
    office = custodian(*witnesses)
    assert list(office.showing.log_file())
    with office.showing.store.read() as view:
        kept = SignedCheckpoint.parse(view.checkpoint())
    assert {each.key for each in witnesses_of(kept, {n: k.public_key for n, k in KEYS.items()})} == {
        KEYS[name].public_key for name in NAMES[:2]
    }
    # What was not good is not kept, and is shown to nobody.
    assert [each.name for each in kept.signatures] == [kept.checkpoint.origin, *NAMES[:2]]


@pytest.mark.parametrize(("other", "code"), [(Spoiling, "HISTORY_UNWITNESSED"), (Refusing, "WITNESS_CONFLICT")])
def test_one_that_answers_well_is_not(other, code):
    with refuses(code):
        list(custodian(honest("a.example"), other()).showing.log_file())


def test_a_file_of_bad_lines_is_refused_and_replaces_nothing():
    office = custodian(honest("a.example"), honest("b.example"))
    list(office.showing.log_file())
    with office.showing.store.read() as view:
        before = view.checkpoint()
    note = SignedCheckpoint.parse(before)
    only_bad = Spoiling().cosign(office.showing.checkpoint(0))
    with refuses("CHECKPOINT_INVALID"):
        office.showing.cosigned(only_bad)
    assert {each.key for each in office.showing.cosigned(line("a.example", bytes(72))(note))} == {
        KEYS[name].public_key for name in NAMES[:2]
    }
    with office.showing.store.read() as view:
        assert view.checkpoint() == before
