"""How doubtful the objects of a label image are, and where something may have been missed.

What is measured needs no labels of the tile. How much each measure counts was fitted once, on the
training tiles of MoNuSeg (`python -m benchmarks.review`): the doubt is the probability that an
object is wrong, or that something is missing, as it was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, xlogy

from napari_selfseg.core.object_table import ObjectTable
from napari_selfseg.core.shapes import shapes_of

Values = NDArray[np.float64]

RIM_UM = 1.0  # how far around an object its outline may be unsure
USUAL_UM_PER_PX = 0.25  # taken where the scale is unknown
DIAMETERS = 4.0  # of a usual object: the side of a place that is looked at for missing ones
USUAL_DIAMETER_UM = 7.0  # where there is no object
FEWEST_FOR_SHAPE = 8  # objects; of fewer nobody can say what is odd
ODD = 2.0  # robust standard deviations
MOST_ODD = 5.0
TO_DEVIATION = 1.4826  # from the median distance of a normal distribution
LEAST_DEVIATION = 0.02  # of a shape measure; objects that are all alike are not odd by rounding
FELT = 0.25  # of the logit: what a measure must add to be given as a reason

Weights = Mapping[str, float]
# measure: what it adds to the logit; for maps of networks that can disagree, and for other maps
OBJECT_WEIGHTS: dict[str, Weights] = {
    "networks": {
        "constant": -3.64,
        "entropy inside": 3.6,
        "entropy around": 5.02,
        "disagreement": 1.72,
        "large": 3.17,
        "small": 1.07,
        "ragged": 0.28,
        "long": 2.66,
    },
    "one map": {
        "constant": -7.9,
        "entropy inside": 3.43,
        "entropy around": 6.19,
        "large": 0.89,
        "small": 4.13,
        "ragged": 0.33,
        "long": 0.27,
    },
}
PLACE_WEIGHTS: dict[str, Weights] = {
    "networks": {
        "constant": -2.65,
        "left over": 1.17,
        "entropy": 11.79,
        "disagreement": 0.34,
        "stained": 4.91,
    },
    "one map": {"constant": -3.23, "left over": 4.49, "entropy": 0.0, "stained": 9.97},
}
REASONS = {
    "entropy inside": "unsure inside",
    "entropy around": "unsure outline",
    "disagreement": "the networks disagree",
    "large": "unusually large",
    "small": "unusually small",
    "ragged": "odd shape",
    "long": "unusually long",
    "left over": "may be missed",
    "entropy": "unsure background",
    "stained": "stained like an object",
}
CUT = "cut by the edge of the tile"


@dataclass(frozen=True, eq=False)
class Places:
    """The cells of a grid over a tile, at which a person looks for missing objects.

    Parameters
    ----------
    row_edges, column_edges : ndarray of int64, shape (m + 1,) and (n + 1,)
    """

    row_edges: NDArray[np.int64]
    column_edges: NDArray[np.int64]

    def __len__(self) -> int:
        return (len(self.row_edges) - 1) * (len(self.column_edges) - 1)

    @property
    def box(self) -> NDArray[np.int64]:
        """First row and column of every place, and those after the last; (P, 4)."""
        low = np.meshgrid(self.row_edges[:-1], self.column_edges[:-1], indexing="ij")
        high = np.meshgrid(self.row_edges[1:], self.column_edges[1:], indexing="ij")
        return np.stack([*low, *high], axis=-1).reshape(-1, 4)

    def of(self, centres: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
        """Return in which place each of n (row, column) lies, (n,)."""
        row = np.searchsorted(self.row_edges, np.floor(centres[:, 0]), "right") - 1
        column = np.searchsorted(self.column_edges, np.floor(centres[:, 1]), "right") - 1
        return np.asarray(row * (len(self.column_edges) - 1) + column, dtype=np.intp)

    def reduced(self, image: NDArray[Any], by: np.ufunc) -> Values:
        """Return `numpy.add` or `numpy.maximum` of an image (M, N) over every place, (P,)."""
        rows = by.reduceat(image, self.row_edges[:-1], axis=0, dtype=np.float64)
        return np.asarray(by.reduceat(rows, self.column_edges[:-1], axis=1), np.float64).ravel()


def places_of(table: ObjectTable, um_per_px: float | None) -> Places:
    """Cut a tile into places of about four objects a side."""
    if len(table):
        diameter = float(np.sqrt(4 / np.pi * np.median(table.area)))
    else:
        diameter = USUAL_DIAMETER_UM / (um_per_px or USUAL_UM_PER_PX)
    side = max(DIAMETERS * diameter, 8.0)

    def edges(length: int) -> NDArray[np.int64]:
        n = max(1, round(length / side))
        return np.round(np.linspace(0, length, n + 1)).astype(np.int64)

    return Places(edges(table.place.shape[0]), edges(table.place.shape[1]))


@dataclass(frozen=True, eq=False)
class Doubtful:
    """How doubtful n objects or places are, and why.

    Parameters
    ----------
    doubt : ndarray of float64, shape (n,)
        In 0..1.
    reasons : tuple of tuple of str
        In a user's words, the strongest first; often none.
    """

    doubt: Values
    reasons: tuple[tuple[str, ...], ...]


def entropy_map(confidence: NDArray[np.floating[Any]], threshold: float) -> NDArray[np.float32]:
    """Return how undecided a map is, in bits per pixel: 1 at the threshold, 0 at both ends."""
    q = _as_probability(confidence, threshold)
    return np.asarray(-(xlogy(q, q) + xlogy(1 - q, 1 - q)) / np.log(2), dtype=np.float32)


def object_measures(
    table: ObjectTable,
    confidence: NDArray[np.floating[Any]],
    threshold: float,
    disagreement: NDArray[np.floating[Any]] | None,
    um_per_px: float | None,
) -> dict[str, Values]:
    """Return what speaks against each object, by name; arrays of shape (n,), never negative.

    Parameters
    ----------
    table : ObjectTable
    confidence : ndarray of float, shape (M, N)
    threshold : float
        Above which the map is object.
    disagreement : ndarray of float, shape (M, N), or None
        Between the networks; None where there is only one.
    um_per_px : float or None
    """
    entropy = entropy_map(confidence, threshold)
    grown = table.grown(RIM_UM / (um_per_px or USUAL_UM_PER_PX))
    n, area = len(table), table.area
    inside = table.sums(entropy)
    n_grown = np.bincount(grown.ravel(), minlength=n + 1)[1:]
    all_in_all = np.bincount(grown.ravel(), entropy.ravel(), n + 1)[1:]
    measures = {
        "entropy inside": inside / area,
        "entropy around": (all_in_all - inside) / np.maximum(n_grown - area, 1),
    }
    if disagreement is not None:
        of_grown = np.bincount(grown.ravel(), disagreement.ravel(), n + 1)[1:]
        measures["disagreement"] = of_grown / n_grown
    return measures | _odd_shapes(table)


def place_measures(
    places: Places,
    table: ObjectTable,
    confidence: NDArray[np.floating[Any]],
    threshold: float,
    disagreement: NDArray[np.floating[Any]] | None,
    um_per_px: float | None,
    stain: NDArray[np.floating[Any]] | None = None,
) -> dict[str, Values]:
    """Return what speaks for a missing object at each place, as `object_measures` does.

    ``stain`` (M, N) is the evidence of the objects in the image itself: what the network denies
    may be stained like what it found.
    """
    reach = RIM_UM / (um_per_px or USUAL_UM_PER_PX)
    free = table.grown(reach) == 0
    q = _as_probability(confidence, threshold) * free
    left_over = ndimage.gaussian_filter(q, 2 * reach, mode="nearest")
    n_px = np.maximum(places.reduced(free, np.add), 1)
    measures = {
        "left over": places.reduced(left_over, np.maximum),
        "entropy": places.reduced(entropy_map(confidence, threshold) * free, np.add) / n_px,
    }
    if disagreement is not None:
        smooth = ndimage.gaussian_filter(disagreement.astype(np.float32) * free, 2 * reach)
        measures["disagreement"] = places.reduced(smooth, np.maximum)
    if stain is not None:
        usual = np.median(stain[table.place > 0]) if len(table) else np.inf
        alike = ndimage.gaussian_filter(((stain > usual) & free).astype(np.float32), 2 * reach)
        measures["stained"] = places.reduced(alike, np.maximum)
    return measures


def doubtful(measures: Mapping[str, Values], weights: Mapping[str, Weights]) -> Doubtful:
    """Return how doubtful objects or places are by what was measured of them.

    Parameters
    ----------
    measures : mapping of ndarray, shape (n,)
    weights : mapping
        `OBJECT_WEIGHTS` or `PLACE_WEIGHTS`.
    """
    of_these = weights["networks" if "disagreement" in measures else "one map"]
    names = [name for name in of_these if name in measures]
    added = np.stack([of_these[name] * measures[name] for name in names], axis=1)
    doubt = expit(of_these["constant"] + added.sum(axis=1))
    above = added - np.median(added, axis=0, keepdims=True) if len(added) else added
    reasons = tuple(
        tuple(REASONS[names[k]] for k in np.argsort(-line) if line[k] > FELT) for line in above
    )
    return Doubtful(doubt, reasons)


def _as_probability(confidence: NDArray[np.floating[Any]], threshold: float) -> Values:
    """Return a map with its threshold moved to one half."""
    t = min(max(threshold, 1e-3), 1 - 1e-3)
    c = np.clip(np.nan_to_num(confidence.astype(np.float32)), 0, 1)
    return np.asarray(np.where(c < t, c / (2 * t), 0.5 + (c - t) / (2 * (1 - t))))


def _odd_shapes(table: ObjectTable) -> dict[str, Values]:
    """Return how unlike the others an object is, in robust deviations beyond `ODD`, (n,).

    Objects that are cut by the edge are no measure for others, and only too large themselves:
    what is missing of them makes them small and angular.
    """
    shapes, whole = shapes_of(table.place), ~table.is_cut
    size = np.log(table.area) / 2

    def beyond(values: Values, applies: NDArray[np.bool_] | bool) -> Values:
        sample = values[whole]
        if len(sample) < FEWEST_FOR_SHAPE:
            return np.zeros(len(values))
        middle = np.median(sample)
        spread = max(TO_DEVIATION * float(np.median(np.abs(sample - middle))), LEAST_DEVIATION)
        return np.asarray(np.clip((values - middle) / spread - ODD, 0, MOST_ODD) * applies)

    return {
        "large": beyond(size, True),
        "small": beyond(-size, whole),
        "ragged": beyond(-shapes.ellipse_fit, whole),
        "long": beyond(-shapes.axis_ratio, whole),
    }
