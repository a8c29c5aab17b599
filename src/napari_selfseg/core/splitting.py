"""Splitting one object of a label image: along a drawn line, or where it looks like two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.centres import SMOOTHING_UM, Centres, centres_of
from napari_selfseg.core.drawn_line import along
from napari_selfseg.core.editing import (
    Edit,
    EditError,
    LabelImage,
    LabelledObject,
    Place,
    free_numbers,
    is_mask,
    object_at,
    object_of,
)
from napari_selfseg.core.masks import flood
from napari_selfseg.core.shapes import shapes_of

STEADY = 3.0  # px; a line's direction at its end is that of so much of it
LEAST_PIECE = 6  # px; what a line cuts off and is smaller stays with the rest
DIRECTIONS = 24  # of the straight cuts that are tried
BALANCE = 0.75  # power of the smaller part's area that a straight cut's length is divided by
ROUND = 0.97, 0.8  # ellipse fit and axis ratio above which an object does not look like two
ONE_MASK = "These labels are one mask: take Objects instead of Mask, above, to give each a number."


def cut(
    labels: LabelImage, points: NDArray[np.floating[Any]], reserved: Iterable[int] = ()
) -> Edit:
    """Split objects along a drawn line.

    All objects that the line divides are split. If it divides none, it is taken to go on
    straight at both ends through the object in which most of it lies. The largest piece keeps
    the number; the pixels of the line go to the pieces beside it.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    points : ndarray of float, shape (P, 2)
        Rows and columns of the line's corners.
    reserved : iterable of int
        As `free_numbers` takes it.

    Raises
    ------
    EditError
        If the line touches no object, or cannot divide one.
    """
    _check_numbered(labels)
    line = along(points, labels.shape)
    passed = labels[line[:, 0], line[:, 1]]
    numbers, times = np.unique(passed[passed > 0], return_counts=True)
    if not numbers.size:
        raise EditError("The line touches no object: draw it across the one to be cut.")
    objects = [object_of(labels, int(number)) for number in numbers]
    tried = [(found, _divided(found, line)) for found in objects]
    pieces = [(found, parts) for found, parts in tried if parts is not None]
    if not pieces:
        found = objects[int(times.argmax())]
        parts = _divided(found, along(_longer(points, found), labels.shape))
        if parts is None:
            raise EditError("The line divides no object: draw it from one side to the other.")
        pieces = [(found, parts)]
    return _renumbered(labels, pieces, reserved)


def split(
    labels: LabelImage,
    place: Place,
    reserved: Iterable[int] = (),
    centres: Centres | None = None,
) -> Edit:
    """Split the object at a row and column in two, or into the pieces it already has.

    Where centres were learned and two of them lie in the object, it is cut between the two most
    prominent ones, else between the two most prominent peaks of the distance to its outline,
    else straight where it is narrowest. The larger part keeps the number. The order, and what
    the constants of this module say, were found on neighbours in the MoNuSeg training tiles that
    were taken for one object.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    place : (int, int)
    reserved : iterable of int
        As `free_numbers` takes it.
    centres : Centres, optional
        Of the image (M, N).

    Raises
    ------
    EditError
        If there is no object, if it is too small, or if it is round: nothing then tells where.
    """
    _check_numbered(labels)
    found = object_at(labels, place, margin=1)
    parts, n = ndimage.label(found.mask)
    if n == 1:
        parts = _in_two(found, centres)
    return _renumbered(labels, [(found, parts)], reserved)


def _in_two(found: LabelledObject, centres: Centres | None) -> NDArray[np.int32]:
    """Return the two parts (m, n) of a connected object, 1 and 2."""
    if found.area < 2 * LEAST_PIECE:
        raise EditError("This object is too small to be split.")
    if centres is not None:
        parts = _between(found, _inside(centres, found))
        if parts is not None:
            return parts
    depth = ndimage.distance_transform_edt(np.pad(found.mask, 1))[1:-1, 1:-1]
    one_pixel = SMOOTHING_UM  # µm/px at which the smoothing is one pixel
    parts = _between(found, centres_of((depth / depth.max()).astype(np.float32), one_pixel))
    if parts is not None:
        return parts
    shape = shapes_of(found.mask.astype(np.uint8))
    if shape.ellipse_fit[0] > ROUND[0] and shape.axis_ratio[0] > ROUND[1]:
        raise EditError("This object is round, nothing tells where to split it: cut it by a line.")
    return _where_narrow(found)


def _inside(centres: Centres, found: LabelledObject) -> Centres:
    """Return the centres in the box of an object, in its rows and columns."""
    box = found.rows, found.columns
    start = np.array([part.start for part in box])
    stop = np.array([part.stop for part in box])
    near = ((centres.places >= start) & (centres.places < stop)).all(axis=1)
    return Centres(centres.places[near] - start, centres.prominence[near], centres.relief[box])


def _between(found: LabelledObject, centres: Centres) -> NDArray[np.int32] | None:
    """Return the parts of an object around its two most prominent centres; None with fewer."""
    inside = found.mask[centres.places[:, 0], centres.places[:, 1]]
    places, prominence = centres.places[inside], centres.prominence[inside]
    if len(places) < 2:
        return None
    two = places[np.argsort(-prominence, kind="stable")[:2]]
    markers = np.zeros(found.mask.shape, np.int32)
    markers[two[:, 0], two[:, 1]] = 1, 2
    parts = flood(markers, centres.relief, found.mask)
    smaller = min(np.count_nonzero(parts == 1), np.count_nonzero(parts == 2))
    return parts if smaller >= LEAST_PIECE else None


def _where_narrow(found: LabelledObject) -> NDArray[np.int32]:
    """Return the parts of an object on both sides of the best straight cut.

    The best one is short and leaves two large parts.
    """
    places = np.argwhere(found.mask)
    offset = places - places.mean(axis=0)
    best, side = np.inf, np.zeros(len(places), bool)
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        position = np.rint(offset @ (np.sin(angle), np.cos(angle))).astype(int)
        position -= position.min()
        width = np.bincount(position)
        below = np.cumsum(width)[:-1]
        smaller = np.minimum(below, len(places) - below)
        length = np.minimum(width[:-1], width[1:])
        cost = np.where(smaller >= LEAST_PIECE, length / smaller**BALANCE, np.inf)
        if cost.size and cost.min() < best:
            best, side = cost.min(), position <= cost.argmin()
    parts = np.zeros(found.mask.shape, np.int32)
    parts[found.mask] = np.where(side, 1, 2)
    return parts


def _divided(found: LabelledObject, line: NDArray[np.intp]) -> NDArray[np.int32] | None:
    """Return the parts (m, n) into which a line cuts an object; None if it stays whole."""
    start = found.rows.start, found.columns.start
    inside = line - start
    inside = inside[((inside >= 0) & (inside < found.mask.shape)).all(axis=1)]
    left = found.mask.copy()
    left[inside[:, 0], inside[:, 1]] = False
    whole, _ = ndimage.label(found.mask)
    parts, n = ndimage.label(left)
    if not n:
        return None
    large = np.bincount(parts.ravel()) >= LEAST_PIECE
    large[0] = False
    if np.count_nonzero(large) < 2:
        return None
    # what was no part of the same piece before was not divided by the line
    piece = np.zeros(len(large), np.int64)
    piece[parts[left]] = whole[left]
    _, times = np.unique(piece[large], return_counts=True)
    if times.max() < 2:
        return None
    markers = np.where(large[parts], parts, 0).astype(np.int32)
    return flood(markers, np.zeros(parts.shape, np.uint16), found.mask)


def _longer(points: NDArray[np.floating[Any]], found: LabelledObject) -> NDArray[np.float64]:
    """Return a line that goes on straight at both ends, as far as an object can reach."""
    points = np.asarray(points, float)
    reach = np.hypot(*found.mask.shape)
    ends = []
    for end, others in ((points[0], points[1:]), (points[-1], points[-2::-1])):
        distance = np.hypot(*(others - end).T)
        before = others[np.argmax(distance >= STEADY)] if (distance >= STEADY).any() else others[-1]
        away = end - before
        ends.append(end + away * reach / max(np.hypot(*away), 1e-9))
    return np.concatenate([ends[:1], points, ends[1:]])


def _renumbered(
    labels: LabelImage,
    divided: list[tuple[LabelledObject, NDArray[np.int32]]],
    reserved: Iterable[int],
) -> Edit:
    """Return the edit that gives every part but the largest of each object a free number."""
    rows = slice(min(o.rows.start for o, _ in divided), max(o.rows.stop for o, _ in divided))
    columns = slice(
        min(o.columns.start for o, _ in divided), max(o.columns.stop for o, _ in divided)
    )
    values = labels[rows, columns].copy()
    mask = np.zeros(values.shape, bool)
    areas = [np.bincount(parts[found.mask]) for found, parts in divided]
    n_new = sum(int(np.count_nonzero(area[1:])) - 1 for area in areas)
    free = iter(free_numbers(labels, n_new, reserved))
    for (found, parts), area in zip(divided, areas, strict=True):
        here = (
            slice(found.rows.start - rows.start, found.rows.stop - rows.start),
            slice(found.columns.start - columns.start, found.columns.stop - columns.start),
        )
        area[0] = 0
        table = np.full(len(area), found.number)
        for part in np.flatnonzero(area):
            if part != area.argmax():
                table[part] = next(free)
        values[here][found.mask] = table[parts[found.mask]]
        mask[here] |= found.mask
    return Edit(rows, columns, mask, values)


def _check_numbered(labels: LabelImage) -> None:
    if is_mask(labels):
        raise EditError(ONE_MASK)
