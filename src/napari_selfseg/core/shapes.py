"""The shape of every object of a label image, from its moments: fast enough to compare cues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIXEL = 1 / 12  # px²; the second moment of a single pixel along an axis


@dataclass(frozen=True, eq=False)
class Shapes:
    """Area, ellipse fit and axis ratio of the objects 1..n; arrays of shape (n,).

    Parameters
    ----------
    area : ndarray of float64
        In px; 0 for a number that no pixel has.
    ellipse_fit : ndarray of float64
        Area over the area of the ellipse with the same second moments, 0..1. 1 for an ellipse;
        clumps, hooks and ragged or hollow objects have less.
    axis_ratio : ndarray of float64
        Minor over major axis of that ellipse, 0..1.
    """

    area: NDArray[np.float64]
    ellipse_fit: NDArray[np.float64]
    axis_ratio: NDArray[np.float64]

    @property
    def mean_fit(self) -> float:
        """The ellipse fit, averaged over the area; 0 without objects."""
        total = float(self.area.sum())
        return float((self.area * self.ellipse_fit).sum()) / total if total else 0.0


def shapes_of(labels: NDArray[np.integer[Any]]) -> Shapes:
    """Measure the objects of a label image.

    The ellipse with second moments a and b along its axes has the area 4 π √(ab). That is how
    scikit-image and ImageJ define the axes of an object; here pixels are squares, not points.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
        0 is background.

    Returns
    -------
    Shapes
        Of the objects 1 to the largest number.
    """
    where = np.flatnonzero(labels)
    number = labels.ravel()[where].astype(np.intp)
    row, column = np.divmod(where, labels.shape[1])
    n = int(number.max(initial=0)) + 1

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(number, values, n) / np.maximum(area, 1)

    area = np.bincount(number, minlength=n).astype(np.float64)
    row_offset = row - mean(row)[number]
    column_offset = column - mean(column)[number]
    rows = mean(row_offset**2) + PIXEL
    columns = mean(column_offset**2) + PIXEL
    mixed = mean(row_offset * column_offset)
    product = np.maximum(rows * columns - mixed**2, PIXEL**2)
    half_sum = (rows + columns) / 2
    half_difference = np.sqrt(np.maximum(half_sum**2 - product, 0))
    ratio = np.sqrt((half_sum - half_difference) / (half_sum + half_difference))
    fit = np.minimum(area / (4 * np.pi * np.sqrt(product)), 1)
    return Shapes(area[1:], fit[1:], ratio[1:])
