"""Dead today, valid in a month (THREATS F8): a signature does not expire, so a transaction is valid now or never."""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody.examine.evidence import Stage
from custody.history import kinds
from custody.testing.asserts import refuses
from custody.transfer.draft import Draft
from custody.transfer.observe import ChainSeen

HEIGHT = 150
"""The highest block in the forged log."""


def with_sequences(drafted: Draft, forger, *sequences: int) -> Draft:
    inputs = zip(drafted.transaction.inputs, sequences, strict=True)
    return forger.redrafted(drafted, inputs=[replace(each, sequence=sequence) for each, sequence in inputs])


@pytest.mark.parametrize("locktime", [0, 1, HEIGHT - 20, HEIGHT])
def test_a_height_that_is_reached_passes(forger, stage, locktime):
    drafted = forger.redrafted(forger.draft(), locktime=locktime)
    assert forger.judge(drafted, stage).draft.transaction.locktime == locktime


@pytest.mark.parametrize("locktime", [HEIGHT + 1, HEIGHT + 20, HEIGHT + 4_320, 499_999_999])
def test_a_height_in_the_future_is_refused(forger, stage, locktime):
    with refuses("LOCKTIME"):
        forger.judge(forger.redrafted(forger.draft(), locktime=locktime), stage)


@pytest.mark.parametrize("locktime", [500_000_000, 1_300_000_000, 1_767_225_600, 2**32 - 1])
def test_a_time_is_refused_though_it_has_passed(forger, stage, locktime):
    # 1985 and 2011 are long gone; but a time is judged by miners' clocks and not by blocks anybody has witnessed.
    with refuses("LOCKTIME"):
        forger.judge(forger.redrafted(forger.draft(), locktime=locktime), stage)


@pytest.mark.parametrize("sequences", [(0xFFFFFFFD, 0xFFFFFFFD), (0xFFFFFFFE, 0xFFFFFFFE), (0xFFFFFFFD, 0xFFFFFFFE)])
def test_inputs_without_a_relative_lock_pass(forger, stage, sequences):
    assert forger.judge(with_sequences(forger.draft(), forger, *sequences), stage)


@pytest.mark.parametrize(
    "sequence",
    [
        pytest.param(10, id="ten blocks"),
        pytest.param(0, id="no blocks"),
        pytest.param(0xFFFF, id="as many blocks as can be"),
        pytest.param(1 << 22 | 144, id="a day in units of 512 seconds"),
        pytest.param(1 << 31, id="no meaning"),
        pytest.param(1 << 31 | 10, id="no meaning, ten blocks"),
        pytest.param(0xFFFFFFFC, id="replaceable, another number"),
        pytest.param(0xFFFFFFFF, id="final, so that the locktime is ignored"),
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_any_other_sequence_on_either_input_is_refused(forger, stage, sequence, at):
    sequences = [0xFFFFFFFD, 0xFFFFFFFD]
    sequences[at] = sequence
    with refuses("SEQUENCE") as caught:
        forger.judge(with_sequences(forger.draft(), forger, *sequences), stage)
    assert (caught.error.index, caught.error.sequence) == (at, sequence)


def test_final_inputs_do_not_make_a_far_locktime_harmless(forger, stage):
    # With every input final, nLockTime means nothing to miners; what is refused is the sequence, before that question.
    drafted = with_sequences(forger.draft(), forger, 0xFFFFFFFF, 0xFFFFFFFF)
    with refuses("SEQUENCE"):
        forger.judge(forger.redrafted(drafted, locktime=HEIGHT + 20), stage)


def test_a_block_that_was_taken_back_is_no_height_to_lock_at(forger, stage):
    log = forger.log()
    log.write(kinds.CHAIN_SEEN, ChainSeen(height=HEIGHT + 10, block=b"\x01" * 32, time=forger.now, at=forger.now))
    log.write(kinds.CHAIN_SEEN, ChainSeen(height=HEIGHT + 2, block=b"\x02" * 32, time=forger.now, at=forger.now))
    drafted = forger.redrafted(forger.draft(), locktime=HEIGHT + 3)
    with refuses("LOCKTIME"):
        forger.judge(drafted, stage, log=log)


def test_a_height_that_only_the_coordinator_has_seen_is_said_to_be_its_word(forger):
    # A station sees no chain: a coordinator that writes a height nobody mined can lock to it. It is said, not hidden.
    far = HEIGHT + 4_320
    log = forger.log()
    log.write(kinds.CHAIN_SEEN, ChainSeen(height=far, block=bytes(32), time=forger.now, at=forger.now))
    examined = forger.judge(forger.redrafted(forger.draft(), locktime=far), Stage.SIGN, log=log)
    assert any(str(far) in each for each in examined.not_checked), examined.not_checked
