"""From a line that a person draws to pixels: those it passes, those it encloses."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line as pixels_between

from napari_selfseg.core.masks import Mask

Part = tuple[slice, slice]


def along(points: NDArray[np.floating[Any]], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Return the pixels that a line passes, in its order, without those outside the image.

    Every pixel touches the one before at a side or a corner.

    Parameters
    ----------
    points : ndarray of float, shape (P, 2)
        Rows and columns of its corners; pixel centres have whole numbers.
    shape : tuple of int

    Returns
    -------
    ndarray of int, shape (Q, 2)
        Rows and columns.
    """
    ends = np.floor(np.asarray(points, float) + 0.5).astype(int)
    pieces = [ends[:1]]
    for one, other in pairwise(ends):
        pieces.append(np.stack(pixels_between(*one, *other), axis=1)[1:])
    passed = np.concatenate(pieces)
    inside = ((passed >= 0) & (passed < shape)).all(axis=1)
    return np.asarray(passed[inside], dtype=np.intp)


def enclosed(points: NDArray[np.floating[Any]], shape: tuple[int, int]) -> tuple[Part, Mask] | None:
    """Return the pixels inside an outline, its line included; None if all are outside the image.

    The last point is joined to the first one. Where a line crosses itself all loops count.

    Parameters
    ----------
    points : ndarray of float, shape (P, 2)
        Rows and columns of its corners; pixel centres have whole numbers.
    shape : tuple of int

    Returns
    -------
    part : (slice, slice)
        Rows and columns of a box around it, inside the image.
    mask : ndarray of bool, shape (m, n)
    """
    points = np.asarray(points, float)
    low = [max(floor(points[:, axis].min() + 0.5), 0) for axis in (0, 1)]
    high = [min(ceil(points[:, axis].max() + 0.5), n) for axis, n in enumerate(shape)]
    if high[0] <= low[0] or high[1] <= low[1]:
        return None
    box = (high[0] - low[0], high[1] - low[1])
    mask = _wound_around(points - low, box)
    mask[tuple(along(np.concatenate([points, points[:1]]) - low, box).T)] = True
    return (slice(low[0], high[0]), slice(low[1], high[1])), mask


def _wound_around(points: NDArray[np.floating[Any]], shape: tuple[int, int]) -> Mask:
    """Return the pixels (m, n) that a closed outline goes around.

    By the sum of its crossings to the left of a pixel, down less up. scikit-image's polygon
    leaves out what is gone around twice, and takes seconds for a few million pixels.
    """
    one, other = points, np.roll(points, -1, axis=0)
    is_down = other[:, 0] > one[:, 0]
    upper, lower = np.where(is_down[:, None], (one, other), (other, one))
    first, last = (np.clip(np.ceil(end[:, 0]).astype(int), 0, shape[0]) for end in (upper, lower))
    n_rows = last - first
    edge = np.repeat(np.arange(len(points)), n_rows)
    row = np.arange(n_rows.sum()) - np.repeat(n_rows.cumsum() - n_rows, n_rows) + first[edge]
    along_edge = (row - upper[edge, 0]) / (lower[edge, 0] - upper[edge, 0])
    column = upper[edge, 1] + along_edge * (lower[edge, 1] - upper[edge, 1])
    crossings = np.zeros((shape[0], shape[1] + 1), np.int16)
    place = row, np.clip(np.ceil(column).astype(int), 0, shape[1])
    np.add.at(crossings, place, np.where(is_down[edge], 1, -1).astype(np.int16))
    return np.asarray(crossings.cumsum(axis=1, dtype=np.int16)[:, :-1] != 0)
