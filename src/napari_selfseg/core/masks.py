"""Operations on masks that have to keep up with a slider: disks, holes, distance, basins.

SciPy and scikit-image have all of them, and the tests compare: the disks, the holes and the
distance are equal pixel by pixel, the basins differ along some cuts. Working on whole arrays, or on
whole levels, takes a fraction of the time on images full of small objects.
"""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Mask = NDArray[np.bool_]

LONGEST_SCAN = 48  # px; for thicker objects the general distance transform is as fast
COLUMN_STEPS = (1, 2, 4, 8, 16, 32)  # any distance up to 63 px is a sum of some of these
BEYOND = 64  # px; stands for "farther than the steps reach", and fits into 8 bit with a step


def open_with_disk(mask: Mask, radius: int) -> Mask:
    """Remove what a disk of this radius (px) does not fit into; (M, N) to (M, N)."""
    return _disk_filter(_disk_filter(mask, radius, np.logical_and), radius, np.logical_or)


def close_with_disk(mask: Mask, radius: int) -> Mask:
    """Fill what a disk of this radius (px) outside does not reach; (M, N) to (M, N)."""
    return _disk_filter(_disk_filter(mask, radius, np.logical_or), radius, np.logical_and)


def _disk_filter(mask: Mask, radius: int, combine: np.ufunc) -> Mask:
    """Erode (``np.logical_and``) or dilate (``np.logical_or``) with a disk.

    A disk is a stack of horizontal runs, and a run is made from the next shorter one. What lies
    outside the image does not count, so objects at the edge stay whole.
    """
    runs = [mask]
    for reach in range(1, radius + 1):
        run = runs[-1].copy()
        _combine_shifted(run, mask, reach, combine, axis=1)
        runs.append(run)
    result = runs[radius].copy()
    for row in range(1, radius + 1):
        run = runs[isqrt(radius * radius - row * row)]
        _combine_shifted(result, run, row, combine, axis=0)
    return result


def _combine_shifted(
    target: NDArray[Any], source: NDArray[Any], shift: int, combine: np.ufunc, axis: int
) -> None:
    """Combine ``source``, moved by ``shift`` both ways along ``axis``, into ``target``."""
    target, source = np.moveaxis(target, axis, 0), np.moveaxis(source, axis, 0)
    combine(target[shift:], source[:-shift], out=target[shift:])
    combine(target[:-shift], source[shift:], out=target[:-shift])


def fill_holes(mask: Mask, max_hole: int) -> Mask:
    """Fill background regions (4-connected) of at most ``max_hole`` pixels; (M, N) to (M, N)."""
    regions, _ = ndimage.label(~mask)
    small = np.bincount(regions.ravel()) <= max_hole
    small[0] = False
    return mask | small[regions] if small.any() else mask


def inner_edge(mask: Mask) -> Mask:
    """Return the pixels of a mask with a 4-neighbour, or the image's edge, outside; (M, N)."""
    inside = mask.copy()
    inside[1:] &= mask[:-1]
    inside[:-1] &= mask[1:]
    inside[:, 1:] &= mask[:, :-1]
    inside[:, :-1] &= mask[:, 1:]
    for border in (inside[:1], inside[-1:], inside[:, :1], inside[:, -1:]):
        border[...] = False
    return mask & ~inside


def squared_distance(mask: Mask) -> NDArray[np.integer[Any]]:
    """Return the squared distance in px² to the nearest background pixel, exactly.

    The distance within the column comes first. Then neighbouring columns are scanned, but only
    as far as the thickest object reaches, so thin objects, the usual case, cost little. The
    outside of the image is no background.

    Source of the two passes: Felzenszwalb and Huttenlocher, Theory of Computing 8, 2012.

    Parameters
    ----------
    mask : ndarray of bool, shape (M, N)

    Returns
    -------
    ndarray of uint16 or int32, shape (M, N)
        0 in the background, and everywhere if there is no background.
    """
    if mask.all():
        return np.zeros(mask.shape, dtype=np.uint16)
    in_column = np.where(mask, np.uint8(BEYOND), np.uint8(0))
    for step in COLUMN_STEPS:
        _combine_shifted(in_column, in_column + np.uint8(step), step, np.minimum, axis=0)
    squared: NDArray[np.uint16] = np.square(in_column, dtype=np.uint16)
    nearest = squared.copy()
    for step in range(1, LONGEST_SCAN + 1):
        if step * step >= nearest.max():  # farther columns cannot be nearer
            return nearest
        _combine_shifted(nearest, squared + np.uint16(step * step), step, np.minimum, axis=1)
    distance = ndimage.distance_transform_edt(mask)
    return np.asarray(np.rint(np.square(distance)), dtype=np.int32)


def peaks(values: NDArray[Any], apart: int, at_least: float) -> NDArray[np.intp]:
    """Return where the values are largest within ``apart`` px in rows and in columns.

    Of equal values that near to each other the last in reading order is taken, so that the
    ridge of a rod gives one peak and not a row of them.

    Parameters
    ----------
    values : ndarray, shape (M, N)
        Not negative.
    apart : int
        Two peaks are farther than this from each other, in rows or in columns.
    at_least : float
        Lower values are no peaks.

    Returns
    -------
    ndarray of int, shape (P, 2)
        Rows and columns.
    """
    highest = _window_maximum(values, apart)
    places = np.argwhere((values == highest) & (values >= at_least))
    ties = cKDTree(places).query_pairs(apart, p=np.inf, output_type="ndarray")
    is_peak = np.ones(len(places), dtype=bool)
    is_peak[ties[:, 0]] = False  # the pairs come as (i, j) with i < j
    return places[is_peak]


def flood(markers: NDArray[np.int32], level: NDArray[np.uint16], region: Mask) -> NDArray[np.int32]:
    """Grow markers into a region, from the highest level down: a marker-controlled watershed.

    A pixel joins a marker over one of its four sides, once its level is reached. scikit-image
    takes one pixel after the other from a queue; here all pixels of a level are tried at once,
    until none finds a neighbour. Where two markers arrive together the larger number wins.

    Parameters
    ----------
    markers : ndarray of int32, shape (M, N)
        0 where there is no marker.
    level : ndarray of uint16, shape (M, N)
        Few different values; each costs some calls.
    region : ndarray of bool, shape (M, N)
        Where markers may grow.

    Returns
    -------
    ndarray of int32, shape (M, N)
        0 outside the region and where no marker gets to.
    """
    labels = np.pad(markers, 1)  # a frame of zeros: every pixel has four neighbours
    flat, width = labels.ravel(), labels.shape[1]
    place = np.flatnonzero(np.pad(region & (markers == 0), 1)).astype(np.int32)
    height = np.pad(level, 1).ravel()[place]
    downwards = np.argsort(height, kind="stable")[::-1]
    place, height = place[downwards], height[downwards]
    waiting = place[:0]
    for group in np.split(place, np.flatnonzero(np.diff(height)) + 1):
        waiting = np.concatenate((waiting, group))
        while waiting.size:
            in_row = np.maximum(flat[waiting - 1], flat[waiting + 1])
            in_column = np.maximum(flat[waiting - width], flat[waiting + width])
            neighbour = np.maximum(in_row, in_column)
            reached = neighbour > 0
            if not reached.any():
                break
            flat[waiting[reached]] = neighbour[reached]
            waiting = waiting[~reached]
    return labels[1:-1, 1:-1]


def _window_maximum(values: NDArray[Any], reach: int) -> NDArray[Any]:
    """Return the maximum of the square of side 2 · ``reach`` + 1 around every pixel."""
    width = 2 * reach + 1
    highest = np.pad(values, reach)
    for axis in (0, 1):
        highest = np.moveaxis(highest, axis, 0)
        covered = 1
        while covered < width:
            shift = min(covered, width - covered)
            highest = np.maximum(highest[:-shift], highest[shift:])
            covered += shift
        highest = np.moveaxis(highest, 0, axis)
    return highest
