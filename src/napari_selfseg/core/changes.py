"""What another label image of the same tile would change, and taking over only a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_selfseg.core.editing import free_numbers, is_mask
from napari_selfseg.core.instances import instance_dtype
from napari_selfseg.core.metrics import Overlaps, overlaps_of
from napari_selfseg.core.object_table import ObjectTable, object_table

LabelImage = NDArray[np.integer[Any]]
ChangeKind = Literal["appears", "disappears", "changes"]
KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)

SMALLEST_IOU = 0.8  # a ring of one px around a nucleus of 25 px still counts as the same outline


@dataclass(frozen=True)
class Counts:
    """How many objects a change concerns.

    Parameters
    ----------
    appear, disappear, change, stay : int
        New objects, those that are gone, those with another outline, and those that are the same.
    """

    appear: int
    disappear: int
    change: int
    stay: int

    def sentence(self) -> str:
        """Return them in words."""
        told = [
            (self.appear, "appears", "appear"),
            (self.disappear, "disappears", "disappear"),
            (self.change, "changes its outline", "change their outline"),
            (self.stay, "stays", "stay"),
        ]
        parts = [f"{n:,} {one if n == 1 else many}" for n, one, many in told]
        noun = "object" if self.appear == 1 else "objects"
        return ", ".join([parts[0].replace(" ", f" {noun} ", 1), *parts[1:]]) + "."


@dataclass(frozen=True, eq=False)
class Changes:
    """The K changes between two label images, the largest first.

    Objects of the two that share a pixel belong to the same change, so that it can be taken over
    without cutting any object. An object that is split, or objects that touch differently, are
    one change.

    Parameters
    ----------
    before, after : ndarray of integers, shape (M, N)
        An object of ``after`` that is one of ``before`` has its number.
    of_before, of_after : ndarray of intp, shape (M, N)
        To which change the object at a pixel belongs; -1 for those that stay, and for background.
    kind : ndarray of intp, shape (K,)
        Places in `KINDS`: only new objects, only gone ones, or anything else.
    box : ndarray of int64, shape (K, 4)
        First row and column, and those after the last.
    counts : Counts
    """

    before: LabelImage
    after: LabelImage
    of_before: NDArray[np.int32]
    of_after: NDArray[np.int32]
    kind: NDArray[np.intp]
    box: NDArray[np.int64]
    counts: Counts

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def centre(self) -> NDArray[np.float64]:
        """The middle of every box, row and column: (K, 2)."""
        return np.asarray((self.box[:, :2] + self.box[:, 2:] - 1) / 2)

    def within(self, region: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the changes whose middle lies in a region (M, N)."""
        row, column = self.centre.astype(np.intp).T
        return np.flatnonzero(region[row, column])

    def accepted(self, which: ArrayLike | None = None) -> LabelImage:
        """Return the label image (M, N) with some of the changes; without ``which`` all of it.

        Every object is one of before or one of after, as a whole. Without ``which`` those that
        stay get the outline of after, too.
        """
        if which is None:
            return self.after.copy()
        is_taken = np.zeros(len(self) + 1, bool)  # the last place stands for -1
        is_taken[np.asarray(which, dtype=np.intp)] = True
        taken = is_taken[self.of_before] | is_taken[self.of_after]
        return np.where(taken, self.after, self.before)

    def outlines(self) -> NDArray[np.uint8]:
        """Return the outlines (M, N) of what changes: 0, or one more than the place in `KINDS`.

        Of objects that only go, as they are; of all others, as they would be.
        """
        code = np.append(self.kind + 1, 0).astype(np.uint8)
        coming = code[self.of_after] * _edges(self.after)
        going = np.append(np.where(self.kind == KINDS.index("disappears"), self.kind + 1, 0), 0)
        return np.maximum(coming, going.astype(np.uint8)[self.of_before] * _edges(self.before))


def changes_between(
    before: LabelImage,
    after: LabelImage,
    reserved: ArrayLike = (),
    smallest_iou: float = SMALLEST_IOU,
) -> Changes:
    """Compare two label images of a tile, object by object.

    An object after is one of before if it shares most pixels with it, and these are more than
    half of either.

    Parameters
    ----------
    before, after : ndarray of integers, shape (M, N)
        0 is background. Of 8-bit images, where numbers mean classes, the connected parts are
        compared.
    reserved : array of int
        Numbers that mean the same object in both images, and that no other object may get.
    smallest_iou : float
        An object whose intersection over union with what it was is smaller has changed.

    Raises
    ------
    ValueError
        If the shapes differ, or an image does not hold labels.
    """
    of_classes = is_mask(after)
    old, new = (object_table(_parts(x) if of_classes else x) for x in (before, after))
    kept = np.empty(0, np.int64) if of_classes else np.asarray(reserved, dtype=np.int64)
    shared = overlaps_of(old.place, new.place)
    partner, iou = _partners(shared, old, new, kept)
    stays, is_new = iou >= smallest_iou, partner < 0
    is_gone = np.ones(len(old), bool)
    is_gone[partner[~is_new]] = False
    group = _groups(shared, len(old), len(new))
    differs = np.unique(group[np.append(is_gone, ~stays)])
    counts = Counts(
        appear=int(is_new.sum()),
        disappear=int(is_gone.sum()),
        change=int((~stays & ~is_new).sum()),
        stay=int(stays.sum()),
    )
    if not of_classes:
        after = _renumbered(before, old, new, partner, kept)
    change = _order(before, after, old, new, group, differs)
    return _made(before, after, old, new, change, counts)


def _parts(labels: LabelImage) -> NDArray[np.int32]:
    """Return the connected parts of every class, numbered (M, N)."""
    parts = np.zeros(labels.shape, np.int32)
    n = 0
    for value in np.unique(labels[labels > 0]):
        found, n_found = ndimage.label(labels == value)
        parts[found > 0] = found[found > 0] + n
        n += n_found
    return parts


def _partners(
    shared: Overlaps, old: ObjectTable, new: ObjectTable, reserved: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return for every object after the one before that it is, or -1, and their overlap (m,)."""
    a, b = shared.pairs
    same_number = old.number[a] == new.number[b]
    is_known = np.isin(old.number[a], reserved) | np.isin(new.number[b], reserved)
    is_half = (2 * shared.shared > old.area[a]) | (2 * shared.shared > new.area[b])
    may = np.flatnonzero(np.where(is_known, same_number, is_half))
    rank = np.lexsort((shared.shared[may], is_known[may]))  # what is written last is kept
    best = np.full(len(new), -1, np.intp)
    best[b[may[rank]]] = may[rank]
    chosen = best[best >= 0]
    chosen = chosen[np.lexsort((shared.shared[chosen], is_known[chosen]))]
    of_old = np.full(len(old), -1, np.intp)
    of_old[a[chosen]] = chosen
    pairs = of_old[of_old >= 0]
    partner, iou = np.full(len(new), -1, np.intp), np.zeros(len(new))
    partner[b[pairs]] = a[pairs]
    iou[b[pairs]] = (shared.shared / shared.union)[pairs]
    return partner, iou


def _groups(shared: Overlaps, n_old: int, n_new: int) -> NDArray[np.intp]:
    """Return which objects, first all of before and then all of after, hang together."""
    a, b = shared.pairs
    n = n_old + n_new
    links = coo_array((np.ones(len(a), bool), (a, b + n_old)), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.intp)


def _renumbered(
    before: LabelImage,
    old: ObjectTable,
    new: ObjectTable,
    partner: NDArray[np.intp],
    reserved: NDArray[np.int64],
) -> LabelImage:
    """Return the label image after, with the numbers of before where objects are the same."""
    number = np.zeros(len(new) + 1, np.int64)
    is_known = partner >= 0
    number[1:][is_known] = old.number[partner[is_known]]
    n_free = int((~is_known).sum())
    # in a dtype with room: nobody asks how wide the labels before were
    number[1:][~is_known] = free_numbers(before.astype(np.int32), n_free, reserved)
    return np.asarray(number.astype(instance_dtype(int(number.max())))[new.place])


def _order(
    before: LabelImage,
    after: LabelImage,
    old: ObjectTable,
    new: ObjectTable,
    group: NDArray[np.intp],
    differs: NDArray[np.intp],
) -> NDArray[np.int32]:
    """Return to which change each object belongs, the largest first; -1 for none (n + m,)."""
    of_group = np.full(len(group) + 1, -1, np.int32)
    of_group[differs] = np.arange(len(differs))
    change = of_group[group]
    row, column = np.nonzero(before != after)
    old_at, new_at = old.place[row, column], new.place[row, column]
    objects = np.where(old_at > 0, old_at - 1, new_at - 1 + len(old))
    at = change[objects]
    size = np.bincount(at[at >= 0], minlength=len(differs))
    place = np.empty(len(differs) + 1, np.int32)
    place[np.argsort(-size, kind="stable")] = np.arange(len(differs))
    place[-1] = -1
    return place[change]


def _made(
    before: LabelImage,
    after: LabelImage,
    old: ObjectTable,
    new: ObjectTable,
    change: NDArray[np.int32],
    counts: Counts,
) -> Changes:
    n = int(change.max(initial=-1)) + 1
    of_old, of_new = change[: len(old)], change[len(old) :]
    box = np.full((n, 4), [np.iinfo(np.int64).max] * 2 + [0] * 2, np.int64)
    for of_objects, table in ((of_old, old), (of_new, new)):
        is_in = of_objects >= 0
        np.minimum.at(box[:, :2], of_objects[is_in], table.box[is_in, :2])
        np.maximum.at(box[:, 2:], of_objects[is_in], table.box[is_in, 2:])
    has_old, has_new = (np.bincount(x[x >= 0], minlength=n) > 0 for x in (of_old, of_new))
    kind = np.select([~has_old, ~has_new], [0, 1], KINDS.index("changes"))
    of_before, of_after = (
        np.insert(of_objects, 0, -1)[table.place]
        for of_objects, table in ((of_old, old), (of_new, new))
    )
    return Changes(before, after, of_before, of_after, kind, box, counts)


def _edges(labels: LabelImage) -> NDArray[np.bool_]:
    """Return the pixels (M, N) of objects beside another object, or background, or the edge."""
    inside = np.zeros(labels.shape, bool)
    middle = labels[1:-1, 1:-1]
    inside[1:-1, 1:-1] = (
        (middle == labels[:-2, 1:-1])
        & (middle == labels[2:, 1:-1])
        & (middle == labels[1:-1, :-2])
        & (middle == labels[1:-1, 2:])
    )
    return np.asarray((labels > 0) & ~inside)
