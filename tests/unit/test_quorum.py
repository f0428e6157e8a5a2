"""k of n: counted in one place, and counted right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.quorum import Quorum
from custody.testing.asserts import refuses

members = st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=9, unique=True)


@st.composite
def quorums(draw: st.DrawFn) -> Quorum[bytes]:
    named = tuple(draw(members))
    return Quorum(draw(st.integers(1, len(named))), named)


@given(quorums(), st.lists(st.binary(min_size=1, max_size=3), max_size=20))
def test_a_tally_counts_members_once_and_strangers_never(quorum, acted):
    tally = quorum.tally(acted)
    counted = set(acted) & set(quorum.members)
    assert set(tally.acted) == counted
    assert tally.acted + tally.missing == tuple(sorted(quorum.members, key=lambda each: each not in counted))
    assert tally.is_met is (len(counted) >= quorum.threshold)
    assert tally.needed == max(0, quorum.threshold - len(counted))
    assert tally.is_met is (tally.needed == 0)


@given(quorums(), st.randoms(use_true_random=False))
def test_the_order_in_which_members_act_does_not_matter(quorum, chance):
    acted = [*quorum.members, *quorum.members]
    chance.shuffle(acted)
    assert quorum.tally(acted) == quorum.tally(quorum.members)


def test_one_member_acting_twice_counts_once():
    assert not Quorum(2, ("a", "b", "c")).tally(["a", "a", "a"]).is_met


def test_acting_once_more_never_undoes_a_quorum():
    quorum = Quorum(2, ("a", "b", "c"))
    assert [quorum.tally("abc"[:count]).is_met for count in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("threshold", "named"), [(0, "ab"), (-1, "ab"), (3, "ab"), (1, ""), (1, "aa"), (2, "aab"), (0, "")]
)
def test_a_quorum_that_cannot_be_met_or_counts_somebody_twice_is_refused(threshold, named):
    with refuses("QUORUM_INVALID") as caught:
        Quorum(threshold, tuple(named))
    assert caught.error.values() == {"threshold": threshold, "members": len(named), "distinct": len(set(named))}
