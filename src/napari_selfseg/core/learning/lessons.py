"""What a tile can teach without labels: the objects that cues and starts agree on.

A cue is right about some objects and wrong about others, and its mistakes are not random: clumps,
folds, dark stroma. What is taught is therefore chosen object by object: only those that look like
one nucleus and are seen by the starts too. Other objects, and their surroundings, are left open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.cues import Cue
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.masks import Mask, squared_distance
from napari_selfseg.core.shapes import shapes_of

USUAL_UM_PER_PX = 0.25  # taken where the scale is unknown
LEAST_AREA_UM2, LARGEST_AREA_UM2 = 12.0, 150.0  # of a nucleus
LEAST_FIT = 0.94  # of an ellipse; clumps and ragged objects have less
LEAST_RATIO = 0.4  # minor over major axis; thinner ones are mostly fibres
LEAST_MARGIN = 0.6  # standard deviations of the cue, on average over the object
CLEARLY_BACKGROUND = -0.25  # standard deviations; what lies above it is left open
LEAST_AFFIRMED = 0.5  # of the objects; starts that deny more have found something else
RING_UM, HALO_UM = 0.5, 1.5  # around doubtful objects left open, around sure ones taught


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one tile teaches, at the scale at which it is learned.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    objects : ndarray of float32, shape (M, N)
        1 inside objects, 0 elsewhere.
    weight : ndarray of float32, shape (M, N)
        1 where something is taught, 0 where the answer is left open.
    depth : ndarray of float32, shape (M, N)
        Distance to the outline of the own object, over the largest within it: 1 at centres.
    """

    pixels: NDArray[np.float32]
    objects: NDArray[np.float32]
    weight: NDArray[np.float32]
    depth: NDArray[np.float32]

    @property
    def share_taught(self) -> float:
        """The share of the pixels whose answer is not left open."""
        return float(self.weight.mean())


def lesson_of(
    pixels: NDArray[np.float32],
    cue: Cue,
    um_per_px: float | None,
    shrink: int,
    consensus: NDArray[np.float32] | None = None,
) -> Lesson:
    """Return what a tile teaches.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    cue : Cue
        What tells objects apart in this tile, (M, N).
    um_per_px : float or None
        Microns per pixel; None: unknown.
    shrink : int
        How many times smaller the lesson is.
    consensus : ndarray of float32, shape (M, N), optional
        How far the starts' object map lies above its threshold. Objects that it denies on
        average are left open, unless it denies more than half of them.
    """
    labels = label_image(cue.confidence(), LabelSettings.for_scale(um_per_px))
    sure = sure_objects(labels, cue, um_per_px, consensus)
    taught = np.where(sure[labels], labels, 0).astype(np.int32)
    weight = _where_taught(labels, taught, cue, um_per_px or USUAL_UM_PER_PX)
    small = taught[shrink // 2 :: shrink, shrink // 2 :: shrink]
    rows, columns = (side // shrink for side in labels.shape)
    small = small[:rows, :columns]
    return Lesson(
        pixels=shrunk(pixels, shrink),
        objects=(small > 0).astype(np.float32),
        weight=weight[shrink // 2 :: shrink, shrink // 2 :: shrink][:rows, :columns].astype(
            np.float32
        ),
        depth=depth_of(small),
    )


def sure_objects(
    labels: NDArray[np.integer[Any]],
    cue: Cue,
    um_per_px: float | None,
    consensus: NDArray[np.float32] | None = None,
) -> Mask:
    """Return for every label 0..n whether it looks like one nucleus; parameters as `lesson_of`."""
    shapes, scale = shapes_of(labels), um_per_px or USUAL_UM_PER_PX
    area = shapes.area * scale**2
    numbers = np.arange(1, len(area) + 1)
    good = (area > LEAST_AREA_UM2) & (area < LARGEST_AREA_UM2)
    good &= (shapes.ellipse_fit > LEAST_FIT) & (shapes.axis_ratio > LEAST_RATIO)
    good &= ndimage.mean(cue.margin, labels, numbers) > LEAST_MARGIN
    if consensus is not None:
        affirmed = good & (ndimage.mean(consensus, labels, numbers) > 0)
        if affirmed.sum() >= LEAST_AFFIRMED * good.sum():
            good = affirmed
    return np.concatenate([[False], good])


def depth_of(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return how deep inside its object a pixel is, 0..1, (M, N); touching objects are told apart.

    Distances are measured to the outline of the own object, also where it touches another one.
    """
    inside = labels > 0
    for axis in (0, 1):
        one, within = np.moveaxis(labels, axis, 0), np.moveaxis(inside, axis, 0)
        touch = (one[1:] != one[:-1]) & (one[1:] > 0) & (one[:-1] > 0)
        within[1:][touch] = False
        within[:-1][touch] = False
    distance = np.sqrt(squared_distance(inside), dtype=np.float32) + 0.5
    distance[labels == 0] = 0
    n = int(labels.max(initial=0))
    largest = np.ones(n + 1, np.float32)
    if n:
        largest[1:] = np.maximum(ndimage.maximum(distance, labels, np.arange(1, n + 1)), 0.5)
    return np.asarray(distance / largest[labels], dtype=np.float32)


def shrunk(pixels: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Return the means of squares of ``times`` px: (M, N, C) to (M // times, N // times, C)."""
    rows, columns = (side // times for side in pixels.shape[:2])
    squares = pixels[: rows * times, : columns * times].reshape(rows, times, columns, times, -1)
    means: NDArray[np.float32] = squares.mean(axis=(1, 3))
    return means


def _where_taught(
    labels: NDArray[np.integer[Any]], taught: NDArray[np.int32], cue: Cue, um_per_px: float
) -> Mask:
    """Return where the answer is known: sure objects, their surroundings, clear background."""
    doubtful = (labels > 0) & (taught == 0)
    near_doubtful = _grown(doubtful, RING_UM / um_per_px)
    near_sure = _grown(taught > 0, HALO_UM / um_per_px) & (labels == 0)
    background = (cue.margin < CLEARLY_BACKGROUND) | near_sure
    return np.asarray((taught > 0) | (background & ~near_doubtful))


def _grown(mask: Mask, radius: float) -> Mask:
    return np.asarray(ndimage.binary_dilation(mask, iterations=max(1, round(radius))))
