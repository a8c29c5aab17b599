"""Where touching objects have their centres: peaks of a learned map, and how prominent they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_selfseg.core.masks import flood, peaks

SMOOTHING_UM = 0.25  # sigma; found on training tiles, as are the next two
LEAST_DEPTH = 0.2  # of the learned depth; a peak below it is no centre
USUAL_UM_PER_PX = 0.25  # taken where the scale is unknown
LEVELS = 255  # of the depth


@dataclass(frozen=True, eq=False)
class Centres:
    """Possible centres of objects, and the relief between them.

    Parameters
    ----------
    places : ndarray of int, shape (P, 2)
        Rows and columns.
    prominence : ndarray of float32, shape (P,)
        How far one must go down from a centre to reach a higher one, 0..1 in units of depth.
    relief : ndarray of uint16, shape (M, N)
        The depth in levels 0..255: objects are cut along its valleys.
    """

    places: NDArray[np.intp]
    prominence: NDArray[np.float32]
    relief: NDArray[np.uint16]

    def at_least(self, prominence: float) -> NDArray[np.intp]:
        """Return the places of the centres that are at least that prominent, (Q, 2)."""
        return self.places[self.prominence >= prominence]


def centres_of(depth: NDArray[np.floating[Any]], um_per_px: float | None = None) -> Centres:
    """Find the peaks of a depth map and their prominence.

    Every peak floods its basin; where two basins meet, the highest point of their border is the
    pass between them. Going through the passes from the highest down, the lower of two peaks
    ends: its prominence is its height above the pass. Keeping peaks of a prominence h or more is
    the same as keeping the h-maxima (Soille, Morphological Image Analysis, 2nd ed., 6.3), but
    for all h at once, so that a slider can choose it.

    Parameters
    ----------
    depth : ndarray of float, shape (M, N)
        How deep inside its object a pixel is: near 1 at centres, 0 at outlines and outside.
    um_per_px : float, optional
        Microns per pixel; None: unknown.
    """
    sigma = SMOOTHING_UM / (um_per_px or USUAL_UM_PER_PX)
    smooth = gaussian_filter(np.nan_to_num(depth.astype(np.float32)), sigma, mode="nearest")
    relief = np.round(np.clip(smooth, 0, 1) * LEVELS).astype(np.uint16)
    lowest = round(LEAST_DEPTH * LEVELS)
    places = peaks(relief, 1, at_least=lowest)
    basins = np.zeros(relief.shape, np.int32)
    basins[places[:, 0], places[:, 1]] = 1 + np.arange(len(places))
    basins = flood(basins, relief, relief >= lowest)
    height = relief[places[:, 0], places[:, 1]].astype(np.int64)
    prominence = _prominence(height, *_passes(basins, relief))
    return Centres(places, (prominence / LEVELS).astype(np.float32), relief)


def _passes(
    basins: NDArray[np.int32], relief: NDArray[np.uint16]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return which basins meet, (Q, 2) from 0, and the height of the pass, the highest first."""
    pairs, heights = [], []
    for axis in (0, 1):
        one, other = np.moveaxis(basins, axis, 0), np.moveaxis(relief, axis, 0)
        meet = (one[1:] != one[:-1]) & (one[1:] > 0) & (one[:-1] > 0)
        pairs.append(np.stack([one[1:][meet], one[:-1][meet]], axis=1))
        heights.append(np.minimum(other[1:][meet], other[:-1][meet]))
    ends = np.concatenate(pairs).astype(np.intp) - 1
    height = np.concatenate(heights).astype(np.int64)
    downwards = np.argsort(-height, kind="stable")
    return ends[downwards], height[downwards]


def _prominence(
    height: NDArray[np.int64], ends: NDArray[np.intp], passes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the height of every peak above the pass to a higher one; all of it without one."""
    prominence = height.copy()
    highest = list(range(len(height)))  # of the land that a peak belongs to; found by climbing

    def climb(peak: int) -> int:
        while highest[peak] != peak:
            highest[peak] = highest[highest[peak]]
            peak = highest[peak]
        return peak

    for (one, other), level in zip(ends.tolist(), passes.tolist(), strict=True):
        upper, lower = climb(one), climb(other)
        if upper == lower:
            continue
        if (height[upper], -upper) < (height[lower], -lower):
            upper, lower = lower, upper
        prominence[lower] = height[lower] - level
        highest[lower] = upper
    return prominence
