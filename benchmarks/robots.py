"""Simulated users who correct labels: one clicks, one scribbles. They know the reference mask.

Both look for the largest connected error, as a person's eye does, and correct it as a person would
with the brush of the labels layer: a false positive is painted with 0, a false negative with the
number of the object it belongs to, or with a new one. Their hand shakes, and one action in twenty
is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import route_through_array

from napari_selfseg.core.editing import Edit

Kind = Literal["click", "scribble"]
BRUSH_UM = 1.0  # radius of the brush, a third of a nucleus
JITTER_UM = 0.4  # standard deviation of the hand
WRONG = 0.05  # of the actions
NEAR_UM = 0.75  # a piece of a nucleus this close to its object is given the object's number
LEAST_ERROR_PX = 12  # smaller errors are not seen
USUAL_UM_PER_PX = 0.25


@dataclass
class Robot:
    """A simulated user.

    Parameters
    ----------
    kind : {"click", "scribble"}
        A click paints one disk at the middle of an error, a scribble a stroke along it.
    reference : ndarray of integers, shape (M, N)
        The true objects; a binary mask (one number only) is taken apart into its components.
    um_per_px : float or None
    seed : int
    """

    kind: Kind
    reference: NDArray[np.integer]
    um_per_px: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        scale = self.um_per_px or USUAL_UM_PER_PX
        self._rng = np.random.default_rng(self.seed)
        self._brush, self._jitter = BRUSH_UM / scale, JITTER_UM / scale
        self._near = max(1, round(NEAR_UM / scale))
        self._truth = np.asarray(self.reference)
        if len(np.unique(self._truth)) <= 2:
            self._truth = ndimage.label(self._truth > 0)[0]

    def correct(
        self, labels: NDArray[np.integer], touched: NDArray[np.bool_], free: int
    ) -> Edit | None:
        """Return the next correction of labels (M, N); None if no error is left to be seen.

        Parameters
        ----------
        labels : ndarray of integers, shape (M, N)
        touched : ndarray of bool, shape (M, N)
            What was painted before is not looked at again.
        free : int
            The number that a new object gets.
        """
        error = self._largest_error(labels, touched)
        if error is None:
            return None
        is_wrong = self._rng.random() < WRONG
        if is_wrong:
            error = self._somewhere(error, labels, touched)
        stroke = self._stroke(error)
        rows, columns = np.nonzero(stroke)
        if not len(rows):
            return None
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        value = self._value(error, labels, free)
        if is_wrong:
            value = 0 if value else free
        mask = stroke[box]
        return Edit(*box, mask, np.full(mask.shape, value, np.int32))

    def _largest_error(
        self, labels: NDArray[np.integer], touched: NDArray[np.bool_]
    ) -> NDArray[np.bool_] | None:
        found, wanted = labels > 0, self._truth > 0
        best, largest = None, LEAST_ERROR_PX - 1
        for errors in (found & ~wanted & ~touched, wanted & ~found & ~touched):
            parts, n = ndimage.label(errors)
            if n:
                area = np.bincount(parts.ravel())
                area[0] = 0
                if area.max() > largest:
                    largest, best = int(area.max()), parts == area.argmax()
        if best is None:
            return None
        numbers = self._truth[best]
        if numbers.max() > 0:  # nobody paints two nuclei with one stroke
            best = best & (self._truth == np.bincount(numbers).argmax())
        return best

    def _somewhere(
        self,
        error: NDArray[np.bool_],
        labels: NDArray[np.integer],
        touched: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Return a place of the error's size where nothing is wrong."""
        right = ((labels > 0) == (self._truth > 0)) & ~touched
        where = np.argwhere(right)
        row, column = where[self._rng.integers(len(where))]
        radius = min(np.sqrt(error.sum() / np.pi), 2 * self._brush)
        return _disk(error.shape, row, column, radius) & right

    def _stroke(self, error: NDArray[np.bool_]) -> NDArray[np.bool_]:
        depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
        radius = min(self._brush, float(depth.max()))
        path = [np.unravel_index(depth.argmax(), depth.shape)]
        if self.kind == "scribble":
            path = _along(error, depth)
        stroke = np.zeros(error.shape, bool)
        shake = self._rng.normal(0, self._jitter, 2)
        for row, column in path:
            shake = 0.9 * shake + self._rng.normal(0, 0.44 * self._jitter, 2)
            stroke |= _disk(error.shape, row + shake[0], column + shake[1], radius)
        return stroke

    def _value(self, error: NDArray[np.bool_], labels: NDArray[np.integer], free: int) -> int:
        number = int(np.bincount(self._truth[error]).argmax())
        if number == 0:
            return 0
        near = ndimage.binary_dilation(error, iterations=self._near)
        own = near & (self._truth == number) & (labels > 0)
        if not own.any():
            return free
        candidate = int(np.bincount(labels[own]).argmax())
        # the object must be this nucleus, not a neighbour that reaches into it
        inside = labels == candidate
        mine = (inside & (self._truth == number)).sum()
        return candidate if 2 * mine > inside.sum() else free


def _along(error: NDArray[np.bool_], depth: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return a way through the middle of an error, between its two farthest ends."""
    cost = np.where(error, 1 + 4 * (depth.max() - depth) / max(depth.max(), 1), np.inf)
    inner = np.argwhere(depth >= 0.5 * depth.max())
    middle = inner.mean(0)
    first = inner[((inner - middle) ** 2).sum(1).argmax()]
    last = inner[((inner - first) ** 2).sum(1).argmax()]
    cost[~error] = 1e6
    path, _ = route_through_array(cost, tuple(first), tuple(last))
    return path


def _disk(shape: tuple[int, ...], row: float, column: float, radius: float) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    reach = int(np.ceil(radius))
    top, left = max(0, int(row) - reach), max(0, int(column) - reach)
    rows, columns = np.ogrid[top : int(row) + reach + 2, left : int(column) + reach + 2]
    near = (rows - row) ** 2 + (columns - column) ** 2 <= max(radius, 0.7) ** 2
    view = mask[top : int(row) + reach + 2, left : int(column) + reach + 2]
    view |= near[: view.shape[0], : view.shape[1]]
    return mask
