"""A tree of groups: Ward's hierarchical clustering, kept whole and cut wherever it is wanted.

Ward, "Hierarchical Grouping to Optimize an Objective Function", Journal of the American
Statistical Association 58, 1963; by scipy, which needs the memory of all pairwise distances
(100 MB for 5,000 rows).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, is_valid_linkage, linkage
from scipy.cluster.vq import vq

MOST_ROWS = 5000


@dataclass(frozen=True, eq=False)
class GroupTree:
    """Rows, and in which order they are merged into groups.

    Parameters
    ----------
    rows : ndarray of float32, shape (n, D)
    merges : ndarray of float64, shape (n - 1, 4)
        As `scipy.cluster.hierarchy.linkage` tells them.
    """

    rows: NDArray[np.float32]
    merges: NDArray[np.float64]

    @classmethod
    def grown(cls, rows: NDArray[np.float32]) -> GroupTree:
        """Merge rows (n, D) step by step, always the two groups that cost least variance.

        Raises
        ------
        ValueError
            If there are fewer than two rows or more than 5,000, or one is not finite.
        """
        if not 2 <= len(rows) <= MOST_ROWS:
            raise ValueError(f"A tree takes 2 to {MOST_ROWS:,} rows, not {len(rows):,}.")
        if not np.isfinite(rows).all():
            raise ValueError("A row is not finite.")
        return cls(np.ascontiguousarray(rows), linkage(rows.astype(np.float64), "ward"))

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.rows)

    def is_sound(self) -> bool:
        """Whether numbers that came from a file describe a tree of these rows."""
        fits = self.merges.shape == (self.n_rows - 1, 4) and np.isfinite(self.rows).all()
        return bool(fits and is_valid_linkage(self.merges))

    def groups(self, k: int) -> NDArray[np.intp]:
        """Return the group 0..k-1 of every row (n,), the largest group first.

        Raises
        ------
        ValueError
            If k is not 1..n.
        """
        if not 1 <= k <= self.n_rows:
            raise ValueError(f"{self.n_rows:,} rows cannot be cut into {k:,} groups.")
        cut = cut_tree(self.merges, k)[:, 0]
        by_size = np.argsort(-np.bincount(cut), kind="stable")
        rank = np.empty(k, np.intp)
        rank[by_size] = np.arange(k)
        found: NDArray[np.intp] = rank[cut]
        return found

    def centroids(self, k: int) -> NDArray[np.float32]:
        """Return the mean rows of the groups at a cut, (k, D)."""
        groups = self.groups(k)
        sums = np.zeros((k, self.rows.shape[1]))
        np.add.at(sums, groups, self.rows)
        return (sums / np.bincount(groups, minlength=k)[:, None]).astype(np.float32)

    def nearest(self, rows: NDArray[np.float32], k: int) -> NDArray[np.intp]:
        """Return the group of further rows (m, D) at a cut: that of the nearest centroid, (m,)."""
        found: NDArray[np.intp] = vq(rows, self.centroids(k))[0].astype(np.intp)
        return found
