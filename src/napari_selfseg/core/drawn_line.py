"""From a line that a person draws to pixels: those it passes, those it encloses."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line as pixels_between
from skimage.draw import polygon

from napari_selfseg.core.masks import Mask

Part = tuple[slice, slice]


def along(points: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.intp]:
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


def enclosed(points: NDArray[np.floating], shape: tuple[int, int]) -> tuple[Part, Mask] | None:
    """Return the pixels inside an outline, its line included; None if all are outside the image.

    The last point is joined to the first one.

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
    mask = np.zeros(box, bool)
    mask[polygon(points[:, 0] - low[0], points[:, 1] - low[1], box)] = True
    mask[tuple(along(np.concatenate([points, points[:1]]) - low, box).T)] = True
    return (slice(low[0], high[0]), slice(low[1], high[1])), mask
