"""Where the objects of a label image are and how large they are, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels

from napari_selfseg.core.metrics import numbered

STRIP = 1024  # rows that are expanded at a time


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """The n objects of a label image, in increasing order of their numbers.

    Parameters
    ----------
    place : ndarray of int, shape (M, N)
        The label image with its objects numbered 1..n; 0 is background.
    number : ndarray of int64, shape (n,)
        In the label image.
    area : ndarray of int64, shape (n,)
        In px.
    centre : ndarray of float64, shape (n, 2)
        Row and column of the middle of its pixels.
    box : ndarray of int64, shape (n, 4)
        First row and column, and those after the last.
    """

    place: NDArray[np.integer[Any]]
    number: NDArray[np.int64]
    area: NDArray[np.int64]
    centre: NDArray[np.float64]
    box: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)

    @property
    def is_cut(self) -> NDArray[np.bool_]:
        """Which objects touch the edge of the image, (n,)."""
        return self.share < 1

    @property
    def share(self) -> NDArray[np.float64]:
        """How much of each object counts towards a number per area, (n,).

        An object at the edge also belongs to the next field. It counts in one of two neighbouring
        fields if it is left out at two of the four edges (Gundersen, Journal of Microscopy 111,
        1977); on average over the choice of those edges it counts half, in a corner a quarter.
        """
        n_rows, n_columns = self.place.shape
        top, left, bottom, right = self.box.T
        cut = np.stack([(top == 0) | (bottom == n_rows), (left == 0) | (right == n_columns)])
        return np.asarray(0.5 ** cut.sum(axis=0), dtype=np.float64)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sum over the pixels of every object of an image (M, N): (n,)."""
        sums = np.bincount(self.place.ravel(), values.ravel(), len(self) + 1)
        return np.asarray(sums[1:], dtype=np.float64)

    def grown(self, reach: float) -> NDArray[np.int32]:
        """Return `place` with its objects grown into the background by ``reach`` px, (M, N)."""
        n_rows = self.place.shape[0]
        halo = int(np.ceil(reach)) + 1
        grown = np.empty(self.place.shape, np.int32)
        for start in range(0, n_rows, STRIP):
            stop, first = min(start + STRIP, n_rows), max(start - halo, 0)
            strip = self.place[first : stop + halo].astype(np.int32)
            grown[start:stop] = expand_labels(strip, reach)[start - first : stop - first]
        return grown


def object_table(labels: NDArray[np.integer[Any]]) -> ObjectTable:
    """Return the objects of a label image (M, N); 0 is background."""
    flat, area = numbered(labels)
    n, n_columns = len(area), labels.shape[1]
    place = flat.reshape(labels.shape).astype(np.int32)
    where = np.flatnonzero(flat)
    at = flat[where]
    row, column = np.divmod(where, max(n_columns, 1))
    number = np.zeros(n, np.int64)
    number[at - 1] = labels.ravel()[where]
    total = np.maximum(area, 1)
    centre = np.stack([np.bincount(at, axis, n + 1)[1:] / total for axis in (row, column)], axis=1)
    found = ndimage.find_objects(place, n)
    spans = [(r.start, c.start, r.stop, c.stop) for r, c in found]
    box = np.array(spans, np.int64).reshape(n, 4)
    return ObjectTable(place, number, area, centre, box)
