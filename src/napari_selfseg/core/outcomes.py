"""What became of the objects of a label image after a person has corrected it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.metrics import Overlaps, overlaps_of
from napari_selfseg.core.object_table import ObjectTable


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Which objects came of which.

    Parameters
    ----------
    before, after : ObjectTable
        Of n and of m objects.
    parent : ndarray of intp, shape (m,)
        The object before, as its place in the table, that an object is or is a piece of; -1 for
        one that was added.
    iou : ndarray of float64, shape (n,)
        Intersection over union of an object with the piece of it that fits best: 1 if it did not
        change, 0 if there is nothing of it any more.
    """

    before: ObjectTable
    after: ObjectTable
    parent: NDArray[np.intp]
    iou: NDArray[np.float64]

    def of_before(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up values (m,) of the objects after, for every object before: (n,)."""
        stayed = self.parent >= 0
        sums = np.bincount(self.parent[stayed], values[stayed], len(self.before))
        return np.asarray(sums, dtype=np.float64)

    @property
    def added(self) -> NDArray[np.intp]:
        """The objects after that were added, as places in the table."""
        return np.flatnonzero(self.parent < 0)


def outcomes_of(before: ObjectTable, after: ObjectTable) -> Outcomes:
    """Compare a label image with what it was before.

    An object is what is left of the one before that it shares most pixels with, if those are more
    than half of either; pieces of one have the same parent, and of two that were joined the
    smaller one has gone.

    Raises
    ------
    ValueError
        If the images differ in size.
    """
    shared = overlaps_of(before.place, after.place)
    old, new = shared.pairs
    is_half = (2 * shared.shared > before.area[old]) | (2 * shared.shared > after.area[new])
    order = np.lexsort((shared.shared, is_half))  # the largest share last, so that it is kept
    parent = np.full(len(after), -1, np.intp)
    kept = order[is_half[order]]
    parent[new[kept]] = old[kept]
    return Outcomes(before, after, parent, _best_iou(shared, parent, len(before)))


def _best_iou(shared: Overlaps, parent: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    old, new = shared.pairs
    of_family = parent[new] == old
    iou = np.zeros(n)
    np.maximum.at(iou, old[of_family], (shared.shared / shared.union)[of_family])
    return iou
