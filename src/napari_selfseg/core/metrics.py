"""How well a label image agrees with a reference.

Pixel scores take every label above 0 as foreground; object scores compare object with object.
All of them come from one table of how many pixels each pair of objects shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

LabelImage = NDArray[np.integer[Any]] | NDArray[np.bool_]


@dataclass(frozen=True)
class Overlaps:
    """The pairs of objects that share pixels, and the area of every object.

    ``pairs`` holds for each of P pairs the place of the predicted object in
    ``predicted_area``, that of the reference object in ``reference_area`` and is (2, P);
    ``shared`` (P,) holds their common pixels.
    """

    pairs: NDArray[np.intp]
    shared: NDArray[np.int64]
    predicted_area: NDArray[np.int64]
    reference_area: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """How many pixels each pair covers together, (P,)."""
        predicted, reference = self.pairs
        areas = self.predicted_area[predicted] + self.reference_area[reference]
        return np.asarray(areas - self.shared)


def dice(a: LabelImage, b: LabelImage) -> float:
    """Return Dice's coefficient of the foregrounds (labels above 0); 1 if both are empty.

    Parameters
    ----------
    a, b : ndarray of int or bool, shape (M, N)

    Raises
    ------
    ValueError
        If the shapes differ or the arrays do not hold labels.
    """
    _check(a, b)
    in_a, in_b = a > 0, b > 0
    total = np.count_nonzero(in_a) + np.count_nonzero(in_b)
    return 2 * np.count_nonzero(in_a & in_b) / total if total else 1.0


def aji(predicted: LabelImage, reference: LabelImage) -> float:
    """Return the aggregated Jaccard index, which is not symmetric; 1 if both are empty.

    Every reference object is compared with the predicted object of the largest intersection
    over union. Shared pixels are added up and divided by the added-up unions, to which the
    area of every predicted object that was never chosen is added.

    Source: Kumar et al., IEEE Transactions on Medical Imaging 36 (7), 2017.

    Parameters
    ----------
    predicted, reference : ndarray of int, shape (M, N)
        0 is background.

    Raises
    ------
    ValueError
        If the shapes differ or the arrays do not hold labels.
    """
    return _aji(overlaps_of(predicted, reference))


def panoptic_quality(predicted: LabelImage, reference: LabelImage) -> tuple[float, float, float]:
    """Return panoptic, segmentation and recognition quality, PQ = SQ · RQ.

    Objects match where their intersection over union is above one half, which can hold for
    one partner only. RQ is the F1 score of the matches, SQ their mean intersection over
    union (0 without a match). Two empty images agree perfectly: (1, 1, 1).

    Source: Kirillov et al., CVPR 2019; for nuclei Graham et al., Medical Image Analysis 58,
    2019.

    Parameters
    ----------
    predicted, reference : ndarray of int, shape (M, N)
        0 is background.

    Raises
    ------
    ValueError
        If the shapes differ or the arrays do not hold labels.
    """
    return _panoptic_quality(overlaps_of(predicted, reference))


def object_dice(predicted: LabelImage, reference: LabelImage) -> float:
    """Return the object-level Dice of the GlaS challenge; 1 if both are empty.

    Every object is compared with the one of the other image that shares most pixels with it;
    the Dice values are weighted by area, and both directions are averaged.

    Source: Sirinukunwattana et al., Medical Image Analysis 35, 2017.

    Parameters
    ----------
    predicted, reference : ndarray of int, shape (M, N)
        0 is background.

    Raises
    ------
    ValueError
        If the shapes differ or the arrays do not hold labels.
    """
    return _object_dice(overlaps_of(predicted, reference))


def compare(predicted: LabelImage, reference: LabelImage) -> dict[str, float]:
    """Return all scores of a prediction, and how many objects there are.

    Returns
    -------
    dict
        Keys dice, aji, pq, sq, rq, object_dice, n_predicted, n_reference.
    """
    overlaps = overlaps_of(predicted, reference)
    pq, sq, rq = _panoptic_quality(overlaps)
    return {
        "dice": dice(predicted, reference),
        "aji": _aji(overlaps),
        "pq": pq,
        "sq": sq,
        "rq": rq,
        "object_dice": _object_dice(overlaps),
        "n_predicted": float(len(overlaps.predicted_area)),
        "n_reference": float(len(overlaps.reference_area)),
    }


def _aji(overlaps: Overlaps) -> float:
    n_predicted, n_reference = len(overlaps.predicted_area), len(overlaps.reference_area)
    if n_predicted == 0 and n_reference == 0:
        return 1.0
    predicted, reference = overlaps.pairs
    union = overlaps.union
    iou = overlaps.shared / union
    best = _best_per_group(reference, iou)
    missed = np.ones(n_reference, dtype=bool)
    missed[reference[best]] = False
    spurious = np.ones(n_predicted, dtype=bool)
    spurious[predicted[best]] = False
    total = (
        union[best].sum()
        + overlaps.reference_area[missed].sum()
        + overlaps.predicted_area[spurious].sum()
    )
    return float(overlaps.shared[best].sum() / total)


def _panoptic_quality(overlaps: Overlaps) -> tuple[float, float, float]:
    n_predicted, n_reference = len(overlaps.predicted_area), len(overlaps.reference_area)
    if n_predicted == 0 and n_reference == 0:
        return 1.0, 1.0, 1.0
    iou = overlaps.shared / overlaps.union
    matched = iou[iou > 0.5]
    recognition = 2 * len(matched) / (n_predicted + n_reference)
    segmentation = float(matched.mean()) if len(matched) else 0.0
    return segmentation * recognition, segmentation, recognition


def _object_dice(overlaps: Overlaps) -> float:
    areas = (overlaps.predicted_area, overlaps.reference_area)
    if len(areas[0]) == 0 or len(areas[1]) == 0:
        return float(len(areas[0]) == len(areas[1]))
    pair_area = areas[0][overlaps.pairs[0]] + areas[1][overlaps.pairs[1]]
    pair_dice = 2 * overlaps.shared / pair_area
    means = []
    for side, area in zip(overlaps.pairs, areas, strict=True):
        best = _best_per_group(side, overlaps.shared)
        means.append((area[side[best]] * pair_dice[best]).sum() / area.sum())
    return float(np.mean(means))


def _best_per_group(group: NDArray[np.intp], score: NDArray[Any]) -> NDArray[np.intp]:
    """Return for every group that occurs the index of its highest score (ties: the first)."""
    order = np.lexsort((-score, group))
    first = np.ones(len(order), dtype=bool)
    first[1:] = group[order][1:] != group[order][:-1]
    return order[first]


def overlaps_of(predicted: LabelImage, reference: LabelImage) -> Overlaps:
    """Return which objects of two label images (M, N) share pixels; errors as in `dice`."""
    _check(predicted, reference)
    predicted_place, predicted_area = numbered(predicted)
    reference_place, reference_area = numbered(reference)
    both = (predicted_place > 0) & (reference_place > 0)
    rows, columns = predicted_place[both] - 1, reference_place[both] - 1
    shape = (len(predicted_area), len(reference_area))
    # Turning coordinates into rows adds up equal pairs: a sparse table without a sort.
    table = coo_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=shape)
    table = table.tocsr().tocoo()
    pairs = np.stack([np.asarray(axis, dtype=np.intp) for axis in table.coords])
    return Overlaps(pairs, table.data, predicted_area, reference_area)


def numbered(labels: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the labels as numbers 1..n without gaps, flat, and the areas of 1..n."""
    flat = labels.ravel()
    if flat.dtype == bool:
        flat = flat.astype(np.uint8)  # as an index it would be a mask
    if flat.size and int(flat.max()) > 4 * flat.size:  # too sparse for a table of all numbers
        _, flat = np.unique(np.append(flat, 0), return_inverse=True)
        flat = flat[:-1]
    area = np.bincount(flat, minlength=1)
    occurs = area > 0
    occurs[0] = False
    place = np.cumsum(occurs) * occurs
    return place[flat], area[occurs]


def _check(a: LabelImage, b: LabelImage) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"The two label images differ in size: {_size(a.shape)} and {_size(b.shape)}."
        )
    for labels in (a, b):
        if labels.dtype.kind not in "iub":
            raise ValueError(
                f"A label image holds whole numbers, but this one holds {labels.dtype} values."
            )
        if labels.size and labels.min() < 0:
            raise ValueError("A label image holds no negative numbers.")


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in shape) + " px"
