"""What a file shows of the log: every line in its place, none left out, and nothing that goes on from elsewhere."""

import pytest

from custody.examine.shown import (
    MAX_LINES,
    check_witnesses,
    extended,
    lines_of,
    read_lines,
    unseen,
    witness_finding,
)
from custody.history import kinds
from custody.history.entry import Needed
from custody.history.state import State
from custody.log import Checkpoint, SignedCheckpoint
from custody.testing.asserts import refuses
from custody.testing.forge import Forge


@pytest.fixture(params=["nothing", "a beginning"])
def known(told, request) -> State:
    """What a reader has seen before."""
    return told.states[0 if request.param == "nothing" else len(told.to_sign.lines) // 2]


def show(told, known: State, lines: list[str], since: int | None = None, checkpoint: Checkpoint | None = None) -> State:
    since = known.size if since is None else since
    checkpoint = checkpoint or SignedCheckpoint.parse(told.to_sign.checkpoint).checkpoint
    return extended(known, read_lines(lines, since), since, checkpoint)


def after(told, known: State) -> list[str]:
    """The honest lines after what is known."""
    return list(told.to_sign.lines[known.size :])


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_heads_always_travel_and_bodies_that_no_station_needs_do_not(told):
    entries = read_lines(lines_of(told.entries), 0)
    assert [each.head for each in entries] == [each.head for each in told.entries]
    for entry in entries:
        assert (entry.body is None) is (kinds.BY_NAME[entry.head.entry].needed is not Needed.BY_READERS)


def test_the_lines_make_the_state_that_the_coordinator_has_as_far_as_readers_can_know(told, known):
    shown = show(told, known, after(told, known))
    size = len(told.to_sign.lines)
    assert (shown.size, shown.frontier) == (size, told.states[size].frontier)
    assert shown.digest() == told.states[size].digest()


@pytest.mark.parametrize("back", [1, 5, 1_000])
def test_lines_that_were_seen_already_are_passed_over(told, known, back):
    since = max(0, known.size - back)
    shown = show(told, known, list(told.to_sign.lines[since:]), since)
    assert shown.digest() == show(told, known, after(told, known)).digest()
    assert unseen(known, read_lines(told.to_sign.lines, 0), 0) == read_lines(after(told, known), known.size)


def test_a_file_with_nothing_new_changes_nothing(told):
    known = told.states[len(told.to_sign.lines)]
    assert show(told, known, []) == known
    assert show(told, known, list(told.to_sign.lines), 0) == known


# --- lines that lie ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_a_line_too_few(told, known, cut):
    lines = after(told, known)
    del lines[cut]
    with refuses("EVIDENCE_INVALID" if cut == -1 else "LOG_CORRUPT"):
        show(told, known, lines)


@pytest.mark.parametrize("twice", [0, 3, -1])
def test_a_line_twice(told, known, twice):
    lines = after(told, known)
    lines.insert(len(lines) if twice == -1 else twice, lines[twice])
    with refuses("LOG_CORRUPT"):
        show(told, known, lines)


def test_two_lines_that_changed_places(told, known):
    lines = after(told, known)
    lines[3], lines[4] = lines[4], lines[3]
    with refuses("LOG_CORRUPT") as caught:
        show(told, known, lines)
    assert caught.error.index == known.size + 3


@pytest.mark.parametrize("off", [-1, 1])
def test_lines_that_are_said_to_begin_elsewhere(told, known, off):
    if known.size + off < 0:
        return
    with refuses("LOG_CORRUPT"):
        show(told, known, after(told, known), known.size + off)


def test_lines_that_begin_after_what_is_known(told, known):
    with refuses("HISTORY_GAP") as caught:
        show(told, known, list(told.to_sign.lines[known.size + 1 :]), known.size + 1)
    assert (caught.error.since, caught.error.seen) == (known.size + 1, known.size)


@pytest.mark.parametrize("how", ["left out", "repeated", "reordered", "rewritten"])
def test_another_log_of_the_same_length_under_a_cosigned_checkpoint(told, known, how):
    # Each line is whole and numbered as it should be, but they are not those that were cosigned.
    size, at = len(told.to_sign.lines), known.size + 2
    own = list(told.entries[:size])
    spare = told.entry(kinds.CHAIN_SEEN)
    other = {
        "left out": [*own[:at], *own[at + 1 :], spare],
        "repeated": [*own[: at + 1], own[at], *own[at + 1 : -1]],
        "reordered": [*own[:at], own[at + 1], own[at], *own[at + 2 :]],
        "rewritten": own,
    }[how]
    forge = Forge(told.cast, told.now)
    forge.copy(*other)
    if how == "rewritten":
        at = told.index(kinds.APPROVED)
        forge.rewrite(at, told.body(kinds.APPROVED, 1))
    with refuses("HISTORY_FORKED" if known.size else "PROOF_INVALID"):
        show(told, known, list(lines_of(forge.entries[known.size :])))


@pytest.mark.parametrize("longer", [-1, 1])
def test_a_checkpoint_of_another_size_than_the_lines(told, known, longer):
    checkpoint = SignedCheckpoint.parse(told.to_sign.checkpoint).checkpoint
    other = Checkpoint(checkpoint.origin, checkpoint.size + longer, checkpoint.root)
    with refuses("EVIDENCE_INVALID"):
        show(told, known, after(told, known), checkpoint=other)


def test_a_log_that_ends_before_what_was_seen(told):
    size = len(told.to_approve.lines)
    checkpoint = SignedCheckpoint.parse(told.to_approve.checkpoint).checkpoint
    with refuses("HISTORY_STALE") as caught:
        show(told, told.states[size + 1], list(told.to_approve.lines), 0, checkpoint)
    assert (caught.error.size, caught.error.seen) == (size, size + 1)


def test_nothing_is_folded_that_witnesses_do_not_stand_behind(told, known):
    # The last line says what cannot be; before that is looked at, the lines are found to be another log.
    forge = Forge(told.cast, told.now, told.entries[: len(told.to_sign.lines)])
    forge.copy(told.entry(kinds.CHARTER_ADOPTED))
    lines = list(lines_of(forge.entries[known.size :]))
    lie = Checkpoint(told.charter.origin, forge.size, bytes(32))
    with refuses("HISTORY_FORKED" if known.size else "PROOF_INVALID"):
        show(told, known, lines, checkpoint=lie)
    with refuses("HISTORY_INVALID"):
        show(told, known, lines, checkpoint=forge.signed().checkpoint)


def test_a_file_has_no_more_lines_than_it_may(told):
    with refuses("RECORD_INVALID"):
        type(told.to_sign).from_bytes(
            told.to_sign.to_bytes().replace(b'"lines":[', b'"lines":[' + b'"x",' * MAX_LINES, 1)
        )


# --- witnesses --------------------------------------------------------------------------------------------------------


def test_witnesses_are_counted_by_key_and_only_the_charter_s(told):
    signed = SignedCheckpoint.parse(told.to_sign.checkpoint)
    (cosignature,) = check_witnesses(signed, told.charter)
    assert cosignature.key == told.cast.witness.public_key
    assert cosignature.time <= told.now


def test_that_nobody_stands_behind_a_history_is_said_aloud(told, edit):
    signed = SignedCheckpoint.parse(told.to_sign.checkpoint)
    nobody = edit(told.charter, witnesses=(), witness_threshold=0)
    assert "NOT WITNESSED" in witness_finding(signed.checkpoint, check_witnesses(signed, nobody), nobody)
    assert "1 of 1" in witness_finding(signed.checkpoint, check_witnesses(signed, told.charter), told.charter)
