"""The tree of groups: cuts, centroids, and the nearest group of further rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_selfseg.core.grouping import MOST_ROWS, GroupTree


def blobs(n=30, k=3, size=4, seed=0):
    """Return rows (k * n, size) in k heaps far from each other, and the heap of each."""
    rng = np.random.default_rng(seed)
    heap = np.repeat(np.arange(k), n)
    middles = 20 * rng.standard_normal((k, size))
    return (middles[heap] + rng.standard_normal((k * n, size))).astype(np.float32), heap


def same_partition(one, other):
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def test_heaps_are_found_and_further_rows_join_them():
    rows, heap = blobs()
    tree = GroupTree.grown(rows)
    assert tree.is_sound()
    assert same_partition(tree.groups(3), heap)
    more = rows + np.float32(0.1)
    assert np.array_equal(tree.nearest(more, 3), tree.groups(3))


@given(st.integers(2, 40), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_cuts_are_nested_and_end_at_all_and_at_one(n, seed):
    rows = np.random.default_rng(seed).standard_normal((n, 3)).astype(np.float32)
    tree = GroupTree.grown(rows)
    assert len(set(tree.groups(n).tolist())) == n
    assert not tree.groups(1).any()
    finer = tree.groups(n)
    for k in range(n - 1, 0, -1):
        groups = tree.groups(k)
        assert set(groups.tolist()) == set(range(k))
        assert np.all(np.diff(np.bincount(groups)) <= 0)  # the largest first
        # who is together stays together
        assert len(set(zip(finer.tolist(), groups.tolist(), strict=True))) == k + 1
        finer = groups


def test_centroids_are_means():
    rows, _ = blobs(seed=2)
    tree = GroupTree.grown(rows)
    for k in (1, 3, 7):
        groups = tree.groups(k)
        wanted = np.stack([rows[groups == g].mean(0) for g in range(k)])
        np.testing.assert_allclose(tree.centroids(k), wanted, rtol=1e-4)


def test_what_cannot_be_a_tree_is_refused():
    with pytest.raises(ValueError, match="2 to 5,000"):
        GroupTree.grown(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match="2 to 5,000"):
        GroupTree.grown(np.zeros((MOST_ROWS + 1, 1), np.float32))
    with pytest.raises(ValueError, match="finite"):
        GroupTree.grown(np.array([[0.0], [np.nan]], np.float32))
    tree = GroupTree.grown(blobs()[0])
    for k in (0, tree.n_rows + 1):
        with pytest.raises(ValueError, match="cannot be cut"):
            tree.groups(k)
    assert not GroupTree(tree.rows, tree.merges[:-1]).is_sound()
    broken = tree.merges.copy()
    broken[0, 0] = 10_000
    assert not GroupTree(tree.rows, broken).is_sound()
