"""What a witness is given, and when it answers: it follows one history, and a request carries what is new of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.envelope import Ed25519Signer
from custody.log import Checkpoint, Frontier, MerkleTree, SignedCheckpoint, cosign, hash_leaf, sign_checkpoint
from custody.log.checkpoint import Cosignature, witnesses_of
from custody.log.witnessing import LogKey, Witnessed, WitnessRequest, answer, refuse_wrong_root, sizes_seen
from custody.testing.asserts import refuses

ORIGIN, ALICE, BOB = "custody.example/reserve", "alice.example", "bob.example"
LOG, ALICES, BOBS, MALLORYS = (Ed25519Signer(bytes([number]) * 32) for number in range(1, 5))
WITNESSES = {ALICE: ALICES.public_key, BOB: BOBS.public_key}
MAX = 70
HONEST = tuple(hash_leaf(b"%d" % number) for number in range(MAX))
FORK_AT = 20
FORKED = HONEST[:FORK_AT] + tuple(hash_leaf(b"other %d" % number) for number in range(FORK_AT, MAX))
NOW = 1_760_000_000
sizes = st.integers(0, MAX)


def note(size: int, leaves: tuple[bytes, ...] = HONEST, signer: Ed25519Signer = LOG) -> SignedCheckpoint:
    return sign_checkpoint(Checkpoint(ORIGIN, size, Frontier.of(leaves[:size]).root), ORIGIN, signer)


def request(since: int, size: int, leaves: tuple[bytes, ...] = HONEST) -> WitnessRequest:
    return WitnessRequest(checkpoint=note(size, leaves).text(), since=since, leaves=leaves[since:size])


def ask(known: int | None, asked: WitnessRequest, leaves: tuple[bytes, ...] = HONEST) -> Witnessed:
    """The answer of a witness that has seen the first `known` of `leaves`."""
    state = None if known is None else Frontier.of(leaves[:known])
    return answer(asked, state, LogKey(ORIGIN, LOG.public_key), ALICE, ALICES, NOW)


@given(st.lists(sizes, min_size=3, max_size=3).map(sorted))
def test_a_witness_extends_what_it_knows_from_wherever_the_request_begins(drawn):
    since, known, size = drawn
    given_ = ask(known, request(since, size))
    assert given_.state == Frontier.of(HONEST[:size])
    assert given_.signed.checkpoint == note(size).checkpoint
    assert witnesses_of(given_.signed, WITNESSES) == (Cosignature(ALICES.public_key, NOW),)


def test_a_witness_that_has_seen_nothing_is_given_everything():
    assert ask(None, request(0, 40)) == ask(0, request(0, 40))
    assert ask(None, request(0, 0)).state == Frontier()


@given(known=st.integers(0, MAX - 1), data=st.data())
def test_a_witness_that_is_behind_says_where_to_begin(known, data):
    since = data.draw(st.integers(known + 1, MAX))
    size = data.draw(st.integers(since, MAX))
    with refuses("WITNESS_BEHIND") as caught:
        ask(known, request(since, size))
    assert caught.error.values() == {"size": known, "since": since}
    assert f"--since {known} " in caught.error.advice()
    assert ask(known, request(caught.error.size, size)).state.size == size


@given(since=sizes, size=sizes, known=sizes)
def test_a_log_that_was_cut_short_is_refused_wherever_the_request_begins(since, size, known):
    if since <= size < known:
        with refuses("WITNESS_CONFLICT"):
            ask(known, request(since, size))


@given(st.integers(FORK_AT + 1, MAX), sizes, sizes)
def test_another_history_is_refused_wherever_the_request_begins(known, since, size):
    if since <= known <= size:
        with refuses("WITNESS_CONFLICT" if size == known else "PROOF_INVALID"):
            ask(known, request(since, size, FORKED))


@given(st.integers(0, FORK_AT), st.integers(FORK_AT, MAX))
def test_before_the_fork_both_histories_are_one(known, size):
    assert ask(known, request(0, size, FORKED)).state == Frontier.of(FORKED[:size])


@pytest.mark.parametrize("known", [None, 0, 5, 8])
@pytest.mark.parametrize("place", [8, 11])
def test_a_leaf_that_is_not_under_the_checkpoint_is_found(known, place):
    asked = request(0, 12)
    leaves = (*asked.leaves[:place], hash_leaf(b"x"), *asked.leaves[place + 1 :])
    with refuses("PROOF_INVALID"):
        ask(known, asked.model_copy(update={"leaves": leaves}))


def test_what_a_witness_has_seen_is_taken_from_its_memory_and_not_from_the_request():
    asked = request(0, 12)
    leaves = (hash_leaf(b"x"), *asked.leaves[1:])
    assert ask(5, asked.model_copy(update={"leaves": leaves})).state == Frontier.of(HONEST[:12])


@pytest.mark.parametrize("changes", [{"leaves": HONEST[3:11]}, {"leaves": HONEST[3:13]}, {"since": 2}, {"leaves": ()}])
def test_a_request_with_another_number_of_leaves_is_refused(changes):
    asked = request(3, 12).model_copy(update=changes)
    with refuses("PROOF_INVALID"):
        ask(3, asked)
    with refuses("PROOF_INVALID"):
        asked.signed()


def test_a_checkpoint_of_another_log_is_refused():
    asked = WitnessRequest(checkpoint=note(12, signer=MALLORYS).text(), since=0, leaves=HONEST[:12])
    with refuses("CHECKPOINT_INVALID"):
        ask(None, asked)


def test_a_request_grows_with_what_is_new():
    assert len(request(64, 70).to_bytes()) < len(request(0, 70).to_bytes()) / 4


def test_whoever_has_no_memory_checks_the_root_of_a_request_that_is_whole():
    refuse_wrong_root(request(0, 12))
    refuse_wrong_root(request(5, 12))
    with refuses("PROOF_INVALID"):
        refuse_wrong_root(request(0, 12).model_copy(update={"leaves": FORKED[-12:]}))
    with refuses("PROOF_INVALID"):
        refuse_wrong_root(request(5, 12).model_copy(update={"since": 6}))


# --- how far each is --------------------------------------------------------------------------------------------------


def kept(size: int, *names: str) -> str:
    signed = note(size)
    for name in names:
        signed = cosign(signed, name, {ALICE: ALICES, BOB: BOBS}[name], NOW)
    return signed.text()


def test_a_witness_is_where_it_last_cosigned():
    notes = [kept(30), kept(20, ALICE), kept(10, BOB, ALICE), kept(5, ALICE, BOB)]
    assert sizes_seen(notes, WITNESSES) == {ALICE: 20, BOB: 10}
    assert sizes_seen(notes[:2], WITNESSES) == {ALICE: 20, BOB: 0}
    assert sizes_seen([], WITNESSES) == {ALICE: 0, BOB: 0}
    assert sizes_seen(notes, {}) == {}


def test_a_line_by_another_key_of_the_same_name_is_not_the_witness_s():
    forged = cosign(note(30), ALICE, MALLORYS, NOW).text()
    assert sizes_seen([forged, kept(10, ALICE)], WITNESSES) == {ALICE: 10, BOB: 0}


def test_no_more_is_read_than_is_needed():
    def notes() -> Iterator[str]:
        yield kept(20, ALICE)
        yield kept(10, BOB)
        raise AssertionError("both are known")

    assert sizes_seen(notes(), WITNESSES) == {ALICE: 20, BOB: 10}


def test_the_witness_s_rule_agrees_with_proofs_that_others_make():
    tree = MerkleTree(HONEST)
    for known in range(MAX):
        assert Frontier.of(HONEST[:known]).consistency(HONEST[known:]) == tree.consistency(known, MAX)
