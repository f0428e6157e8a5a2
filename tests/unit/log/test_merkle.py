"""Roots and proofs: the same as RFC 6962 defines, as another implementation computes, and nothing else verifies."""

from __future__ import annotations

import hashlib

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.log import (
    EMPTY_ROOT,
    Frontier,
    MerkleTree,
    hash_leaf,
    hash_node,
    verify_consistency,
    verify_inclusion,
)
from custody.testing.asserts import refuses

MAX = 300
LEAVES = tuple(hash_leaf(b"%d" % number) for number in range(MAX))
TREE = MerkleTree(LEAVES)
sizes = st.integers(min_value=0, max_value=MAX)


def defined_root(leaves):
    """MTH of RFC 6962, 2.1, over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return hash_node(defined_root(leaves[:k]), defined_root(leaves[k:]))


def defined_path(index, leaves):
    """PATH of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if index < k:
        return [*defined_path(index, leaves[:k]), defined_root(leaves[k:])]
    return [*defined_path(index - k, leaves[k:]), defined_root(leaves[:k])]


def defined_subproof(old, leaves, *, is_known):
    """SUBPROOF of RFC 6962, 2.1.2."""
    if old == len(leaves):
        return [] if is_known else [defined_root(leaves)]
    k = largest_power_below(len(leaves))
    if old <= k:
        return [*defined_subproof(old, leaves[:k], is_known=is_known), defined_root(leaves[k:])]
    return [*defined_subproof(old - k, leaves[k:], is_known=False), defined_root(leaves[:k])]


def largest_power_below(number):
    k = 1
    while 2 * k < number:
        k *= 2
    return k


@pytest.fixture(scope="module")
def peer():
    """The same entries in another implementation; it counts entries from 1."""
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(MAX):
        tree.append_entry(b"%d" % number)
    return tree


def test_leaf_and_node_hashes_are_apart():
    left, right = LEAVES[:2]
    assert hash_leaf(left + right) != hash_node(left, right)
    assert hash_leaf(b"") == bytes.fromhex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")


def test_an_empty_log_has_the_root_of_no_bytes():
    assert MerkleTree().root() == Frontier().root == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_roots_are_those_of_another_implementation_at_every_size(peer):
    for size in range(1, MAX + 1):
        assert TREE.root(size) == peer.get_root(size)


def test_inclusion_proofs_are_those_of_another_implementation(peer):
    for size in (*range(1, 34), 64, 65, 127, 255, 256, 257, 300):
        for index in range(0, size, 1 + size // 40):
            # Its path begins with the leaf itself.
            assert list(TREE.inclusion(index, size)) == peer.prove_inclusion(index + 1, size).path[1:]


def test_another_implementation_proves_consistency_between_our_roots(peer):
    for new in (*range(1, 18), 31, 32, 33, 300):
        for old in range(1, new + 1):
            proof = peer.prove_consistency(old, new)
            pymerkle.verify_consistency(TREE.root(old), TREE.root(new), proof)


def test_proofs_are_those_the_rfc_defines_for_every_pair_of_small_sizes():
    for size in range(1, 34):
        leaves = LEAVES[:size]
        assert TREE.root(size) == defined_root(leaves)
        for index in range(size):
            assert list(TREE.inclusion(index, size)) == defined_path(index, leaves)
        for old in range(1, size + 1):
            assert list(TREE.consistency(old, size)) == defined_subproof(old, leaves, is_known=True)


def test_every_proof_between_small_sizes_verifies():
    for size in range(1, 34):
        for index in range(size):
            verify_inclusion(LEAVES[index], index, size, TREE.inclusion(index, size), TREE.root(size))
        for old in range(size + 1):
            verify_consistency(old, TREE.root(old), size, TREE.root(size), TREE.consistency(old, size))


def test_a_frontier_has_the_trees_root_at_every_size():
    frontier = Frontier()
    for size in range(MAX):
        assert frontier.root == TREE.root(size)
        assert len(frontier.peaks) == size.bit_count()
        frontier = frontier.append(LEAVES[size])
    assert frontier == Frontier.of(LEAVES)


@given(st.lists(sizes, max_size=6))
def test_a_tree_grown_in_steps_is_the_tree_grown_at_once(cuts):
    grown, frontier, start = MerkleTree(), Frontier(), 0
    for stop in [*sorted(cuts), MAX]:
        grown.extend(LEAVES[start:stop])
        frontier = frontier.extend(LEAVES[start:stop])
        assert grown.size == frontier.size == stop
        assert grown.root() == frontier.root == TREE.root(stop)
        start = stop
    assert grown.inclusion(7, MAX) == TREE.inclusion(7, MAX)


@given(st.data(), st.integers(min_value=1, max_value=MAX))
def test_inclusion_holds_for_its_own_leaf_place_and_root_only(data, size):
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    proof, root = TREE.inclusion(index, size), TREE.root(size)
    verify_inclusion(LEAVES[index], index, size, proof, root)
    other = data.draw(sizes)
    if other != index:
        with refuses("PROOF_INVALID"):
            verify_inclusion(LEAVES[index], other, size, proof, root)
    if other < MAX and other != index:
        with refuses("PROOF_INVALID"):
            verify_inclusion(LEAVES[other], index, size, proof, root)
    with refuses("PROOF_INVALID"):
        verify_inclusion(LEAVES[index], index, size, proof, TREE.root(size - 1))
    with refuses("PROOF_INVALID"):
        verify_inclusion(LEAVES[index], index, size, (*proof, LEAVES[0]), root)
    if proof:
        at = data.draw(st.integers(min_value=0, max_value=len(proof) - 1))
        with refuses("PROOF_INVALID"):
            verify_inclusion(LEAVES[index], index, size, proof[:at] + proof[at + 1 :], root)
        with refuses("PROOF_INVALID"):
            verify_inclusion(LEAVES[index], index, size, (*proof[:at], hash_leaf(b"x"), *proof[at + 1 :]), root)
        with refuses("PROOF_INVALID"):
            verify_inclusion(LEAVES[index], index, size, (*proof[:at], proof[at][:31], *proof[at + 1 :]), root)


@given(st.data(), st.integers(min_value=1, max_value=MAX))
def test_consistency_holds_for_its_own_sizes_and_roots_only(data, new):
    old = data.draw(st.integers(min_value=0, max_value=new))
    proof, old_root, new_root = TREE.consistency(old, new), TREE.root(old), TREE.root(new)
    verify_consistency(old, old_root, new, new_root, proof)
    with refuses("PROOF_INVALID"):
        verify_consistency(old, hash_leaf(b"x"), new, new_root, proof)
    with refuses("PROOF_INVALID"):
        verify_consistency(old, old_root, new, new_root, (*proof, LEAVES[0]))
    if old:
        with refuses("PROOF_INVALID"):
            verify_consistency(old, old_root, new, hash_leaf(b"x"), proof)
    if old < new:
        with refuses("PROOF_INVALID"):
            verify_consistency(new, new_root, old, old_root, proof)
    if proof:
        at = data.draw(st.integers(min_value=0, max_value=len(proof) - 1))
        with refuses("PROOF_INVALID"):
            verify_consistency(old, old_root, new, new_root, proof[:at] + proof[at + 1 :])
        with refuses("PROOF_INVALID"):
            verify_consistency(old, old_root, new, new_root, (*proof[:at], hash_leaf(b"x"), *proof[at + 1 :]))
        with refuses("PROOF_INVALID"):
            verify_consistency(old, old_root, new, new_root, (*proof[:at], b"", *proof[at + 1 :]))


@given(st.data(), sizes)
def test_a_frontier_proves_what_the_whole_tree_proves(data, new):
    old = data.draw(st.integers(min_value=0, max_value=new))
    assert Frontier.of(LEAVES[:old]).consistency(LEAVES[old:new]) == TREE.consistency(old, new)


@given(st.lists(st.sampled_from(LEAVES[:4]), max_size=12), sizes, sizes)
def test_made_up_proofs_end_in_a_refusal(proof, one, other):
    with refuses("PROOF_INVALID"):
        verify_inclusion(LEAVES[0], one, other, proof, hash_leaf(b"no root"))
    with refuses("PROOF_INVALID"):
        verify_consistency(one, hash_leaf(b"no root"), other, hash_leaf(b"nor this"), proof)


def test_a_byte_moved_from_one_hash_to_its_neighbour_is_refused():
    # Side by side they are the same 64 bytes, so the node above is the same.
    left, right = LEAVES[:2]
    assert hash_node(left[:-1], left[-1:] + right) == TREE.root(2)
    with refuses("PROOF_INVALID"):
        verify_inclusion(left[:-1], 0, 2, (left[-1:] + right,), TREE.root(2))
    with refuses("PROOF_INVALID"):
        verify_consistency(1, left[:-1], 2, TREE.root(2), (left[-1:] + right,))


def test_a_proof_longer_than_its_tree_is_refused_though_it_leads_to_the_root():
    taller = hash_node(LEAVES[1], LEAVES[0])
    with refuses("PROOF_INVALID"):
        verify_inclusion(LEAVES[0], 0, 1, (LEAVES[1],), taller)
    with refuses("PROOF_INVALID"):
        verify_consistency(1, LEAVES[0], 2, hash_node(LEAVES[2], TREE.root(2)), (LEAVES[1], LEAVES[2]))


def test_a_proof_between_other_logs_is_refused_though_it_leads_to_both_roots():
    # One node more than the tree is high, above both: it leads to two roots that agree about it.
    above, proof = LEAVES[9], TREE.consistency(3, 4)
    old, new = (hash_node(above, TREE.root(size)) for size in (3, 4))
    with refuses("PROOF_INVALID"):
        verify_consistency(3, old, 4, new, (*proof, above))


def test_a_proof_of_a_smaller_log_is_refused_though_it_leads_to_the_root():
    # The root of two entries, said to be that of three.
    with refuses("PROOF_INVALID"):
        verify_inclusion(LEAVES[0], 0, 3, TREE.inclusion(0, 2), TREE.root(2))
    with refuses("PROOF_INVALID"):
        verify_consistency(1, LEAVES[0], 3, TREE.root(2), TREE.consistency(1, 2))


def test_an_empty_log_under_one_other_root_is_refused_though_nothing_changed():
    with refuses("PROOF_INVALID"):
        verify_consistency(0, LEAVES[0], 0, LEAVES[0], ())


def test_a_log_that_became_shorter_is_refused_though_its_root_is_the_same():
    with refuses("PROOF_INVALID"):
        verify_consistency(2, TREE.root(2), 1, TREE.root(2), ())


def test_a_log_does_not_extend_itself_under_another_root():
    with refuses("PROOF_INVALID"):
        verify_consistency(5, TREE.root(5), 5, TREE.root(6), ())
    with refuses("PROOF_INVALID"):
        verify_consistency(0, EMPTY_ROOT, 0, TREE.root(1), ())
    with refuses("PROOF_INVALID"):
        verify_consistency(0, TREE.root(1), 3, TREE.root(3), ())


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (4, 3), (0, MAX + 1), (0, -1)])
def test_there_is_no_proof_of_what_the_tree_does_not_have(index, size):
    with refuses("NOT_IN_LOG"):
        TREE.inclusion(index, size)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (0, MAX + 1)])
def test_there_is_no_consistency_with_what_the_tree_does_not_have(old, new):
    with refuses("NOT_IN_LOG"):
        TREE.consistency(old, new)


def test_there_is_no_root_of_what_the_tree_does_not_have():
    with refuses("NOT_IN_LOG"):
        TREE.root(MAX + 1)


def test_hashes_of_another_size_never_enter():
    with pytest.raises(ValueError, match="32 bytes"):
        MerkleTree([b"short"])
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier().append(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier().extend((b"short", b"as well"))  # what stands above both has its 32 bytes
    with pytest.raises(ValueError, match="one peak"):
        Frontier(size=3, peaks=(LEAVES[0],))
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier(size=1, peaks=(b"short",))
