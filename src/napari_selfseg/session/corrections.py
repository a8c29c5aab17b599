"""Which pixels a person touched, and how a new prediction leaves them alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.instances import instance_dtype

Mask = NDArray[np.bool_]
LabelImage = NDArray[np.integer[Any]]

UNDECIDED = -1


class Touched:
    """The pixels inside any stroke, fill or other edit that was not undone.

    How many edits touched a pixel is counted, so that undoing one of two strokes over the
    same place leaves it touched.

    An edit is an *atom* as napari's ``Labels.events.paint`` gives them, in either form, or a
    list of atoms (what the event gives for one stroke):

    - ``(slice_key, mask, old_values, new_value)``, since napari 0.8: a bounding box, and the
      changed pixels in it or None for all of them;
    - ``(indices, old_values, new_values)``, from ``data_setitem`` and older versions.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the label image.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._times = np.zeros(shape, dtype=np.uint16)

    @property
    def mask(self) -> Mask:
        """Where a person touched the label image, (M, N)."""
        return np.asarray(self._times > 0)

    def add(self, *atoms: Any) -> None:
        """Count edits that were made or redone.

        Raises
        ------
        ValueError
            If an atom has another form, or does not fit the label image.
        """
        self._count(atoms, 1)

    def remove(self, *atoms: Any) -> None:
        """Take back edits that were undone; what was never added stays untouched.

        Raises
        ------
        ValueError
            If an atom has another form, or does not fit the label image.
        """
        self._count(atoms, -1)

    def clear(self) -> None:
        """Forget everything: the label image is a prediction again."""
        self._times[:] = 0

    def _count(self, atoms: tuple[Any, ...], step: int) -> None:
        for atom in atoms:
            if isinstance(atom, list):
                self._count(tuple(atom), step)
                continue
            try:
                self._count_one(atom, step)
            except (IndexError, TypeError, ValueError) as error:
                raise ValueError(
                    f"An edit of the labels layer could not be understood: {error}."
                ) from error

    def _count_one(self, atom: Any, step: int) -> None:
        if len(atom) not in (3, 4):
            raise ValueError(f"it has {len(atom)} parts")
        where = atom[0]
        before = self._times[where]
        after = np.clip(before.astype(np.int32) + step, 0, np.iinfo(np.uint16).max)
        if len(atom) == 4 and atom[1] is not None:
            if atom[1].shape != before.shape:
                raise ValueError(f"its mask is {atom[1].shape}, its box {before.shape}")
            after = np.where(atom[1], after, before)
        self._times[where] = after


def merge(
    new: LabelImage,
    current: LabelImage,
    touched: Touched | Mask,
    instances: bool | None = None,
) -> LabelImage:
    """Put a new prediction into a label image that a person has corrected.

    Touched pixels keep their value, whatever was predicted. Of instances, moreover:

    - objects with a touched pixel keep their number. The predicted object that covers most of
      such an object gets this number, so that they stay one object; it has to cover more than
      half of it, or lie in it with more than half of its own area;
    - a predicted object that lies in touched pixels with more than half of its area was decided
      by the person: what sticks out of an erased object is dropped, what sticks out of a
      painted one belongs to it;
    - all other predicted objects get the free numbers, from 1 up.

    Parameters
    ----------
    new : ndarray of int, shape (M, N)
        The prediction; 0 is background.
    current : ndarray of int, shape (M, N)
        What the person sees.
    touched : Touched or ndarray of bool, shape (M, N)
    instances : bool, optional
        Whether numbers are objects, or classes that mean the same in both images. If omitted,
        8-bit images hold classes.

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
    number = _numbers_for(new, current, mask)
    largest = max(int(number.max()), int(current[mask].max(initial=0)))
    return np.where(mask, current, number[new]).astype(instance_dtype(largest))


def _numbers_for(new: LabelImage, current: LabelImage, mask: Mask) -> NDArray[np.int64]:
    """Return for every predicted object 0..n the number that it gets, 0 for none."""
    area = np.bincount(new.ravel())
    number = np.full(len(area), UNDECIDED, dtype=np.int64)
    number[0] = 0

    predicted, value, shared = _pairs(new[mask], current[mask])
    mostly_touched = 2 * shared > area[predicted]
    number[predicted[mostly_touched]] = value[mostly_touched]

    kept = np.unique(current[mask])
    kept = kept[kept > 0]
    _hand_down(number, area, kept, new, current)

    rest = number == UNDECIDED
    free = np.setdiff1d(np.arange(1, rest.sum() + len(kept) + 1), kept)
    number[rest] = free[: rest.sum()]
    return number


def _hand_down(
    number: NDArray[np.int64],
    area: NDArray[np.int64],
    kept: LabelImage,
    new: LabelImage,
    current: LabelImage,
) -> None:
    """Give each kept number to the undecided predicted object that is its object now."""
    of_kept = np.isin(current, kept)
    _, old_area = np.unique(current[of_kept], return_counts=True)
    predicted, old, shared = _pairs(new[of_kept], current[of_kept])
    same = (2 * shared > area[predicted]) | (2 * shared > old_area[np.searchsorted(kept, old)])
    same &= number[predicted] == UNDECIDED
    given: set[int] = set()
    for pair in np.argsort(-shared, kind="stable"):
        if same[pair] and number[predicted[pair]] == UNDECIDED and int(old[pair]) not in given:
            number[predicted[pair]] = old[pair]
            given.add(int(old[pair]))


def _pairs(
    predicted: LabelImage, other: LabelImage
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return which predicted objects meet which values, and in how many pixels."""
    is_object = predicted > 0
    both = np.stack([predicted[is_object], other[is_object]]).astype(np.int64)
    base = int(both[1].max(initial=0)) + 1
    code, shared = np.unique(both[0] * base + both[1], return_counts=True)
    return code // base, code % base, shared
