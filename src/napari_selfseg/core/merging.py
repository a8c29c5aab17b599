"""Merging objects of a label image that belong together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.drawn_line import along
from napari_selfseg.core.editing import (
    Edit,
    EditError,
    LabelImage,
    grown,
    is_mask,
    largest_piece,
    object_of,
)
from napari_selfseg.core.masks import Mask, close_with_disk
from napari_selfseg.core.splitting import ONE_MASK

WIDEST_GAP = 6  # px of background between objects that are still made one
CROSS = ndimage.generate_binary_structure(2, 1)  # a pixel and its four neighbours


def merge_along(
    labels: LabelImage, points: NDArray[np.floating[Any]], reserved: Collection[int] = ()
) -> Edit:
    """Make one object of all that a drawn line touches; see `merge`.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    points : ndarray of float, shape (P, 2)
        Rows and columns of the line's corners.
    reserved : collection of int

    Raises
    ------
    EditError
        If the line touches fewer than two objects, or they lie too far apart.
    """
    line = along(points, labels.shape)
    passed = labels[line[:, 0], line[:, 1]]
    numbers = np.unique(passed[passed > 0])
    if len(numbers) < 2 and not is_mask(labels):
        raise EditError("The line must touch two objects or more: draw it from one to the other.")
    return merge(labels, [int(number) for number in numbers], reserved)


def merge(labels: LabelImage, numbers: Sequence[int], reserved: Collection[int] = ()) -> Edit:
    """Make one object of several.

    It has the number of the largest one that was touched before, or of the largest one. Narrow
    gaps of background between them are closed.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    numbers : sequence of int
        At least two different ones.
    reserved : collection of int
        Numbers of objects that a person has touched.

    Raises
    ------
    EditError
        If one is missing, if there are fewer than two, or if they lie too far apart.
    """
    if is_mask(labels):
        raise EditError(ONE_MASK)
    if len(set(numbers)) < 2:
        raise EditError("This is one object already.")
    objects = [object_of(labels, number) for number in dict.fromkeys(numbers)]
    kept = max(objects, key=lambda one: (one.number in set(reserved), one.area))
    rows, columns = (
        grown(min(one.start for one in ranges), max(one.stop for one in ranges), WIDEST_GAP, n)
        for ranges, n in zip(
            zip(*((one.rows, one.columns) for one in objects), strict=True),
            labels.shape,
            strict=True,
        )
    )
    here = labels[rows, columns]
    whole = _joined([here == one.number for one in objects], here == 0)
    return Edit(rows, columns, whole, np.full(here.shape, kept.number, labels.dtype))


def _joined(objects: Sequence[Mask], background: Mask) -> Mask:
    """Return the objects (m, n) and the narrow gaps between them; they are connected then.

    What was a small piece apart from its own object before stays apart.
    """
    pieces = np.asarray(np.logical_or.reduce(objects))
    larger = np.logical_or.reduce([largest_piece(one) for one in objects])
    numbers, _ = ndimage.label(larger)
    whole = pieces
    for radius in range(WIDEST_GAP // 2 + 1):
        if radius:
            padded = close_with_disk(np.pad(larger, radius), radius)
            gaps = padded[radius:-radius, radius:-radius] & background
            whole = pieces | _between_pieces(gaps, numbers)
        parts, _ = ndimage.label(whole)
        if len(np.unique(parts[larger])) == 1:
            return whole
    raise EditError("These objects lie too far apart to be one: paint what is between them first.")


def _between_pieces(gaps: Mask, numbers: NDArray[np.int32]) -> Mask:
    """Return the parts of the gaps (m, n) that lie beside two different pieces."""
    parts, n = ndimage.label(gaps)
    most = np.iinfo(np.int32).max
    highest = ndimage.maximum_filter(numbers, footprint=CROSS)
    lowest = ndimage.minimum_filter(np.where(numbers > 0, numbers, most), footprint=CROSS)
    index = np.arange(1, n + 1)
    meets = ndimage.maximum(highest, parts, index) > ndimage.minimum(lowest, parts, index)
    return np.isin(parts, index[meets])
