"""Which pixels a person touched, and how a new prediction leaves them alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.instances import instance_dtype

Mask = NDArray[np.bool_]
LabelImage = NDArray[np.integer[Any]]
Box = tuple[slice, ...]
"""A part of an image, with start and stop in every direction."""

UNDECIDED = np.iinfo(np.int64).min
ROWS_AT_ONCE = 16
MOST_TIMES = 255  # counted for a pixel; napari takes back at most 100 actions


class Touched:
    """The pixels inside any stroke, fill or other action that was not undone.

    How many actions touched a pixel is counted, so that undoing one of two strokes over the
    same place leaves it touched. One byte per pixel.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the label image.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._times = np.zeros(shape, dtype=np.uint8)

    @property
    def mask(self) -> Mask:
        """Where a person touched the label image, (M, N)."""
        return np.asarray(self._times > 0)

    def mask_in(self, box: Box) -> Mask:
        """Return `mask` in a part (m, n) of the image."""
        return np.asarray(self._times[box] > 0)

    def any(self) -> bool:
        """Whether there is a touched pixel."""
        return bool(self._times.any())

    def add(self, box: Box, mask: Mask) -> None:
        """Count an action that covers ``mask`` (m, n) in a part of the image.

        Raises
        ------
        ValueError
            If the mask does not fit the part.
        """
        times = self._part(box, mask)
        times[mask & (times < MOST_TIMES)] += 1

    def remove(self, box: Box, mask: Mask) -> None:
        """Take back an action that was undone; what was never added stays untouched.

        Raises
        ------
        ValueError
            If the mask does not fit the part.
        """
        times = self._part(box, mask)
        times[mask & (times > 0)] -= 1

    def forget(self, box: Box, mask: Mask) -> NDArray[np.uint8]:
        """Make pixels unknown again; return what `bring_back` needs."""
        times = self._part(box, mask)
        counted = times[mask]
        times[mask] = 0
        return counted

    def bring_back(self, box: Box, mask: Mask, counted: NDArray[np.uint8]) -> None:
        """Take a `forget` back, if nothing was counted since."""
        self._part(box, mask)[mask] = counted

    def clear(self) -> None:
        """Forget everything: the label image is a prediction again."""
        self._times[:] = 0

    def _part(self, box: Box, mask: Mask) -> NDArray[np.uint8]:
        times = self._times[box]
        if times.shape != mask.shape:
            raise ValueError(f"A mask of {mask.shape} does not fit a part of {times.shape}.")
        return times


def merge(
    new: LabelImage,
    current: LabelImage,
    touched: Touched | Mask,
    instances: bool | None = None,
    reserved: Iterable[int] = (),
    smallest: int = 0,
) -> LabelImage:
    """Put a new prediction into a label image that a person has corrected.

    Touched pixels keep their value, whatever was predicted. Of instances, moreover:

    - objects with a touched pixel, and those whose number is reserved, keep their number. The
      predicted object that covers most of such an object gets this number, so that they stay one
      object; it has to cover more than half of it, or lie in it with more than half of its own
      area;
    - a predicted object that lies in touched pixels with more than half of its area was decided
      by the person: what sticks out of an erased object is dropped, what sticks out of a
      painted one belongs to it;
    - all other predicted objects get free numbers, from 1 up, and never a reserved one;
    - what is left of an object that meets touched pixels is looked at piece by piece
      (4-connected). A piece at touched pixels of its own number belongs to them. Of the others
      those smaller than ``smallest`` are dropped; the largest one keeps the number if no piece
      lies at touched pixels of it, and every other one is an object with a number of its own.

    Parameters
    ----------
    new : ndarray of int, shape (M, N)
        The prediction, 0..n; 0 is background.
    current : ndarray of int, shape (M, N)
        What the person sees.
    touched : Touched or ndarray of bool, shape (M, N)
    instances : bool, optional
        Whether numbers are objects, or classes that mean the same in both images. If omitted,
        8-bit images hold classes.
    reserved : iterable of int
        Numbers that no new object may get, beside those of touched pixels.
    smallest : int
        The fewest pixels of an object.

    Returns
    -------
    ndarray of int, shape (M, N)
        A new array. Classes: in the dtype of ``current``, or of ``new`` if that holds larger
        numbers. Instances: uint16, or int32 where a number is above 65,535.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    mask = touched.mask if isinstance(touched, Touched) else touched
    if not new.shape == current.shape == mask.shape:
        raise ValueError(
            f"Prediction, labels and edits differ in size: {new.shape}, {current.shape} "
            f"and {mask.shape}."
        )
    if instances is None:
        instances = new.dtype.itemsize > 1
    if not instances:
        larger = max(new.dtype, current.dtype, key=lambda dtype: np.iinfo(dtype).max)
        return np.where(mask, current, new).astype(larger)
    return _merged_objects(new, current, mask, numbers_in(reserved), smallest)


def numbers_in(values: LabelImage | Iterable[int]) -> NDArray[np.int64]:
    """Return the numbers above 0 in labels, in increasing order."""
    if not isinstance(values, np.ndarray):
        values = np.fromiter(values, dtype=np.int64)
    largest = int(values.max(initial=0))
    if 0 < largest < values.size and values.min() >= 0:  # one pass instead of sorting
        found = np.flatnonzero(np.bincount(values.ravel()))
    else:
        found = np.unique(values)
    return found[found > 0].astype(np.int64)


def _merged_objects(
    new: LabelImage, current: LabelImage, mask: Mask, reserved: NDArray[np.int64], smallest: int
) -> LabelImage:
    inside = np.flatnonzero(mask)
    predicted, painted = new.ravel()[inside], current.ravel()[inside]
    kept = numbers_in(painted)
    taken = np.union1d(kept, reserved)
    area = _areas(new)
    number = np.full(len(area), UNDECIDED, dtype=np.int64)
    number[0] = 0
    k, value, shared = _pairs(predicted, painted)
    mostly_touched = 2 * shared > area[k]
    number[k[mostly_touched]] = value[mostly_touched]
    _hand_down(number, area, taken, new, current)
    free = _free_numbers(taken)
    for i in np.flatnonzero(number == UNDECIDED):
        number[i] = next(free)
    clipped = np.unique(k[number[k] != 0])
    pieces = list(_loose_pieces(new, current, mask, clipped, number, max(smallest, 1), free))
    largest = max(int(number.max()), int(painted.max(initial=0)))
    largest = max([largest, *(n for _, _, n in pieces)])
    lowest = min(int(number.min()), int(painted.min(initial=0)))
    dtype = instance_dtype(largest) if lowest >= 0 else np.dtype(np.int32)
    merged = _looked_up(number.astype(dtype), new)
    for box, piece, n in pieces:
        merged[box][piece] = n
    merged.ravel()[inside] = painted
    return merged


def _hand_down(
    number: NDArray[np.int64],
    area: NDArray[np.intp],
    taken: NDArray[np.int64],
    new: LabelImage,
    current: LabelImage,
) -> None:
    """Give each taken number to the undecided predicted object that is its object now."""
    where = np.flatnonzero(_is_one_of(current, taken))
    mine, objects = new.ravel()[where], current.ravel()[where]
    values, old_area = np.unique(objects, return_counts=True)
    predicted, old, shared = _pairs(mine, objects)
    same = (2 * shared > area[predicted]) | (2 * shared > old_area[np.searchsorted(values, old)])
    same &= number[predicted] == UNDECIDED
    given: set[int] = set()
    for pair in np.argsort(-shared, kind="stable"):
        if same[pair] and number[predicted[pair]] == UNDECIDED and int(old[pair]) not in given:
            number[predicted[pair]] = old[pair]
            given.add(int(old[pair]))


def _loose_pieces(
    new: LabelImage,
    current: LabelImage,
    mask: Mask,
    clipped: NDArray[np.int64],
    number: NDArray[np.int64],
    smallest: int,
    free: Iterator[int],
) -> Iterator[tuple[Box, Mask, int]]:
    """Yield what clipping cut off predicted objects: box, pixels in it, number or 0 for none."""
    for k, box in zip(clipped, _boxes(new, clipped), strict=True):
        n = number[k]
        rest = (new[box] == k) & ~mask[box]
        anchor = mask[box] & (current[box] == n)
        piece, n_pieces = ndimage.label(rest | anchor)
        size = np.bincount(piece[rest], minlength=n_pieces + 1)
        size[0] = 0
        is_anchored = np.zeros(n_pieces + 1, bool)
        is_anchored[piece[anchor]] = True
        loose = np.flatnonzero((size > 0) & ~is_anchored)
        main = 0 if (is_anchored & (size > 0)).any() else int(np.argmax(size))
        for i in loose:
            if size[i] < smallest:
                yield box, rest & (piece == i), 0
            elif i != main:
                yield box, rest & (piece == i), next(free)


def _boxes(labels: LabelImage, wanted: NDArray[np.int64]) -> list[Box]:
    """Return the bounding box of each of some objects that are there, one pixel wider."""
    where = np.flatnonzero(_is_one_of(labels, wanted))
    if not len(where):
        return []
    order = np.argsort(labels.ravel()[where], kind="stable")
    rows, columns = np.divmod(where[order], labels.shape[1])
    first = np.searchsorted(labels.ravel()[where[order]], wanted)
    ends = (f.reduceat(x, first) for x in (rows, columns) for f in (np.minimum, np.maximum))
    return [
        (slice(max(top - 1, 0), bottom + 2), slice(max(left - 1, 0), right + 2))
        for top, bottom, left, right in zip(*ends, strict=True)
    ]


def _free_numbers(taken: NDArray[np.int64]) -> Iterator[int]:
    used = set(taken.tolist())
    return (n for n in count(1) if n not in used)


def _areas(labels: LabelImage) -> NDArray[np.int64]:
    """Return ``np.bincount(labels)``; some rows at a time, see `_looked_up`."""
    area = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    for top in range(0, len(labels), 8 * ROWS_AT_ONCE):
        part = np.bincount(labels[top : top + 8 * ROWS_AT_ONCE].ravel())
        area[: len(part)] += part
    return area


def _is_one_of(labels: LabelImage, numbers: NDArray[np.int64]) -> Mask:
    """Return where labels are one of some numbers above 0."""
    largest = int(labels.max(initial=0))
    if labels.min(initial=0) < 0 or largest > labels.size:
        return np.isin(labels, numbers)
    table = np.zeros(largest + 1, bool)
    table[numbers[numbers <= largest]] = True
    return _looked_up(table, labels)


def _looked_up(table: NDArray[Any], labels: LabelImage) -> NDArray[Any]:
    """Return ``table[labels]``; some rows at a time, so that what numpy needs stays in the cache."""
    found = np.empty(labels.shape, table.dtype)
    for top in range(0, len(labels), ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        np.take(table, labels[rows], out=found[rows], mode="clip")
    return found


def _pairs(
    predicted: LabelImage, other: LabelImage
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return which predicted objects meet which values, and in how many pixels."""
    is_object = predicted > 0
    both = np.stack([predicted[is_object], other[is_object]]).astype(np.int64)
    lowest = int(both[1].min(initial=0))
    base = int(both[1].max(initial=0)) - lowest + 1
    code, shared = np.unique(both[0] * base + both[1] - lowest, return_counts=True)
    return code // base, code % base + lowest, shared
