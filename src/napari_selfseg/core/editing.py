"""What one action of a person does to a label image: add, erase, delete, fill, smooth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.masks import Mask

LabelImage = NDArray[np.integer[Any]]
Place = tuple[int, int]

ABSORBED = 0.5  # an object of which more than this lies in a new outline is replaced by it
SMOOTHING = 0.15  # sigma of the Gaussian that smooths an outline, in radii of its object
LEAST_SMOOTHING = 1.0  # px


class EditError(ValueError):
    """An action that cannot be done; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of a part of a label image that is done and undone as one step.

    Parameters
    ----------
    rows, columns : slice
        The part, with start and stop inside the image.
    mask : ndarray of bool, shape (m, n)
        Which pixels of the part the action covers; all of them are known from now on, also those
        that keep their label.
    values : ndarray of integers, shape (m, n)
        The labels they get; only read where the mask is set.
    """

    rows: slice
    columns: slice
    mask: NDArray[np.bool_]
    values: NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class LabelledObject:
    """One object of a label image, in a box around it.

    Parameters
    ----------
    number : int
    rows, columns : slice
        The box, inside the image.
    mask : ndarray of bool, shape (m, n)
        Its pixels in the box.
    """

    number: int
    rows: slice
    columns: slice
    mask: Mask

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return int(np.count_nonzero(self.mask))


def is_mask(labels: LabelImage) -> bool:
    """Whether numbers mean classes; an object is then a connected part of its class."""
    return labels.dtype.itemsize == 1


def object_at(labels: LabelImage, place: Place, margin: int = 0) -> LabelledObject:
    """Return the object at a row and column.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
        0 is background.
    place : (int, int)
    margin : int
        How many px of the image the box holds around the object.

    Raises
    ------
    EditError
        If there is none.
    """
    inside = all(0 <= i < n for i, n in zip(place, labels.shape, strict=True))
    number = int(labels[place]) if inside else 0
    if number == 0:
        raise EditError("There is no object here.")
    found = object_of(labels, number, margin)
    if not is_mask(labels):
        return found
    rows, columns = found.rows, found.columns
    parts, _ = ndimage.label(found.mask)
    is_part = parts == parts[place[0] - rows.start, place[1] - columns.start]
    top, left = (np.flatnonzero(is_part.any(axis=1 - axis)) for axis in (0, 1))
    box = (
        grown(rows.start + top[0], rows.start + top[-1] + 1, margin, labels.shape[0]),
        grown(columns.start + left[0], columns.start + left[-1] + 1, margin, labels.shape[1]),
    )
    inner = tuple(
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(box, (rows, columns), strict=True)
    )
    return LabelledObject(number, *box, is_part[inner])


def object_of(labels: LabelImage, number: int, margin: int = 0) -> LabelledObject:
    """Return all pixels of a number, found in one pass over the image (M, N).

    Raises
    ------
    EditError
        If no pixel has it.
    """
    in_row = np.flatnonzero((labels == number).any(axis=1))
    if number == 0 or not in_row.size:
        raise EditError(f"There is no object {number}.")
    rows = grown(int(in_row[0]), int(in_row[-1]) + 1, margin, labels.shape[0])
    in_column = np.flatnonzero((labels[rows] == number).any(axis=0))
    columns = grown(int(in_column[0]), int(in_column[-1]) + 1, margin, labels.shape[1])
    return LabelledObject(number, rows, columns, np.asarray(labels[rows, columns] == number))


def grown(start: int, stop: int, margin: int, n: int) -> slice:
    """Return a range that is larger at both ends, within 0..n."""
    return slice(max(int(start) - margin, 0), min(int(stop) + margin, n))


def free_numbers(labels: LabelImage, n: int = 1, reserved: Iterable[int] = ()) -> list[int]:
    """Return n numbers that no object has and that are not reserved, in increasing order.

    They come after all others; only where the dtype of the labels ends before, gaps are filled.
    In a mask there is one number, 1, for all objects.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    n : int
    reserved : iterable of int
        Numbers of objects that a person has touched, also of those that are gone.

    Raises
    ------
    EditError
        If the dtype has no number left.
    """
    if is_mask(labels):
        return [1] * n
    kept = np.fromiter(reserved, dtype=np.int64)
    largest = max(int(labels.max(initial=0)), int(kept.max(initial=0)))
    most = int(np.iinfo(labels.dtype).max)
    if largest + n <= most:
        return list(range(largest + 1, largest + 1 + n))
    used = np.zeros(most + 1, bool)
    used[labels.ravel()] = True
    used[kept[kept <= most]] = True
    used[0] = True
    free = np.flatnonzero(~used)
    if len(free) < n:
        raise EditError(f"There are {most:,} objects already: no number is left for another one.")
    return [int(number) for number in free[-n:]]


def add(
    labels: LabelImage,
    rows: slice,
    columns: slice,
    mask: Mask,
    reserved: Iterable[int] = (),
    number: int | None = None,
) -> Edit:
    """Make an object of an outline.

    Neighbours keep their pixels; an object that lies mostly in the outline is replaced. If
    neighbours leave several pieces of it, the largest one becomes the object.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    rows, columns : slice
    mask : ndarray of bool, shape (m, n)
        The pixels inside the outline, at these rows and columns.
    reserved : iterable of int
        As `free_numbers` takes it.
    number : int, optional
        What it is called; the next free number if omitted.

    Raises
    ------
    EditError
        If nothing is left for it.
    """
    height, width = mask.shape
    reach = max(mask.shape)  # objects that reach farther are no smaller than the new one
    window = (
        grown(rows.start, rows.stop, reach, labels.shape[0]),
        grown(columns.start, columns.stop, reach, labels.shape[1]),
    )
    here = labels[window]
    top, left = rows.start - window[0].start, columns.start - window[1].start
    inside = np.zeros(here.shape, bool)
    inside[top : top + height, left : left + width] = mask
    replaced = np.zeros(here.shape, bool) if is_mask(labels) else _mostly_inside(here, inside)
    room = inside & ((here == 0) | replaced)
    if not room.any():
        raise EditError("Other objects fill this place: there is no room for a new one.")
    room = largest_piece(room)
    if number is None:
        (number,) = free_numbers(labels, 1, reserved)
    values = np.where(room, number, 0).astype(labels.dtype)
    return Edit(*window, room | replaced, values)


def erase(labels: LabelImage, rows: slice, columns: slice, mask: Mask) -> Edit:
    """Make background of all pixels of a stroke or an outline (m, n)."""
    return Edit(rows, columns, mask, np.zeros(mask.shape, labels.dtype))


def delete(labels: LabelImage, place: Place) -> Edit:
    """Make background of the object at a row and column.

    Raises
    ------
    EditError
        If there is none.
    """
    found = object_at(labels, place)
    return erase(labels, found.rows, found.columns, found.mask)


def fill_holes(labels: LabelImage, place: Place) -> Edit:
    """Fill the background that the object at a row and column encloses.

    Raises
    ------
    EditError
        If there is no object, or no hole in it.
    """
    found = object_at(labels, place)
    here = labels[found.rows, found.columns]
    whole = found.mask | (ndimage.binary_fill_holes(found.mask) & (here == 0))
    if whole.sum() == found.area:
        raise EditError("This object has no holes.")
    return _became(labels, found, whole)


def smooth(labels: LabelImage, place: Place) -> Edit:
    """Smooth the outline of the object at a row and column; its area stays nearly the same.

    It grows into background only, and stays in one piece; a hole in it stays.

    Raises
    ------
    EditError
        If there is no object, or nothing to smooth.
    """
    found = object_at(labels, place)
    sigma = max(SMOOTHING * sqrt(found.area / pi), LEAST_SMOOTHING)
    found = object_at(labels, place, margin=int(np.ceil(3 * sigma)))
    here = labels[found.rows, found.columns]
    room = found.mask | (here == 0)
    # what lies beyond the edge of the image counts like the edge itself
    blurred = ndimage.gaussian_filter(found.mask.astype(np.float32), sigma, mode="nearest")
    blurred[~room] = 0
    level = np.partition(blurred, -found.area, axis=None)[-found.area]
    smoothed = largest_piece(blurred >= max(level, np.float32(1e-3)))
    if np.array_equal(smoothed, found.mask):
        raise EditError("This outline is as smooth as it gets.")
    return _became(labels, found, smoothed)


def locked_part(labels: LabelImage, touched: Mask, place: Place) -> Mask:
    """Return the pixels (M, N) that a person touched and that belong together at a place.

    Of an object, its touched pixels; of background, the connected touched part of it.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    touched : ndarray of bool, shape (M, N)
    place : (int, int)
        Row and column inside the image.

    Raises
    ------
    EditError
        If nothing is locked there.
    """
    part = np.zeros(labels.shape, bool)
    if labels[place]:
        found = object_at(labels, place)
        part[found.rows, found.columns] = found.mask & touched[found.rows, found.columns]
    elif touched[place]:
        parts, _ = ndimage.label(touched & (labels == 0))
        part = np.asarray(parts == parts[place])
    if not part.any():
        raise EditError("Nobody has touched this: there is nothing to unlock.")
    return part


def largest_piece(mask: Mask) -> Mask:
    """Return the largest 4-connected part of a mask (m, n); the first one of equals."""
    parts, n = ndimage.label(mask)
    if n < 2:
        return mask
    area = np.bincount(parts.ravel())
    area[0] = 0
    return np.asarray(parts == area.argmax())


def _became(labels: LabelImage, found: LabelledObject, mask: Mask) -> Edit:
    """Return the edit after which an object has these pixels (m, n) of its box."""
    values = np.where(mask, found.number, 0).astype(labels.dtype)
    return Edit(found.rows, found.columns, mask | found.mask, values)


def _mostly_inside(labels: LabelImage, inside: Mask) -> Mask:
    """Return the pixels of the objects (m, n) of which most pixels are inside."""
    area = np.bincount(labels.ravel())
    covered = np.bincount(labels[inside], minlength=len(area))
    replaced = covered > ABSORBED * area
    replaced[0] = False
    return np.asarray(replaced[labels])
