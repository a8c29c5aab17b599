"""From a confidence map to a label image, fast enough to follow a slider."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from napari_selfseg.core.centres import Centres
from napari_selfseg.core.masks import (
    Mask,
    close_with_disk,
    fill_holes,
    flood,
    open_with_disk,
    peaks,
    squared_distance,
)

DEFAULT_SCALE = 0.25  # µm/px of a 40x scan, for which the default areas and distances are meant
LARGEST_AREA = 1_000_000  # px, of an object or a hole, that the sliders offer
IN_PIXELS = {
    "min_area": (2, 0, LARGEST_AREA),
    "max_hole": (2, 0, LARGEST_AREA),
    "smoothing": (1, 0.0, 20.0),
    "split_distance": (1, 1, 500),
    "split_smoothing": (1, 0.0, 100.0),
    "morphology_radius": (1, 1, 50),
}
"""The settings that change with the scale: as which power of it, and their range."""

LEVELS_PER_PX = 2  # of the distance when clumps are cut; finer ones move no cut by a pixel
BLUR_REACH = 2.0  # standard deviations; longer tails move no peak
BUMP = 2.5  # standard deviations of the smoothing; found on the MoNuSeg training tiles


class LabelSettings(BaseModel):
    """How a confidence map becomes a label image; the sliders of the result.

    Areas and distances are in pixels; their defaults are meant for 0.25 µm/px, see
    `for_scale`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        title="Threshold",
        description="Pixels with more confidence than this are object. "
        "Lower finds more and larger objects.",
        json_schema_extra={"step": 0.01},
    )
    min_area: int = Field(
        default=30,
        ge=0,
        le=LARGEST_AREA,
        title="Smallest object (px)",
        description="Objects with fewer pixels are dropped as specks.",
    )
    max_hole: int = Field(
        default=100,
        ge=0,
        le=LARGEST_AREA,
        title="Largest hole filled (px)",
        description="Holes inside objects up to this many pixels are filled.",
    )
    smoothing: float = Field(
        default=0.0,
        ge=0.0,
        le=20.0,
        title="Smoothing (px)",
        description="Blurs the confidence first: smoother outlines, fewer specks. 0 is off.",
        json_schema_extra={"step": 0.25},
    )
    split: bool = Field(
        default=True,
        title="Split touching objects",
        description="Cuts clumps at their waists, so that every nucleus is an object of its own.",
    )
    split_distance: int = Field(
        default=5,
        ge=1,
        le=500,
        title="Distance between centres (px)",
        description="Centres closer than this belong to one object. "
        "Raise it if objects are cut into pieces.",
    )
    split_smoothing: float = Field(
        default=1.5,
        ge=0.0,
        le=100.0,
        title="Ignore bumps (px)",
        description="Uneven outlines and lobes narrower than a few times this start no object "
        "of their own. Raise it if bumpy objects are cut into pieces.",
        json_schema_extra={"step": 0.25},
    )
    split_prominence: float = Field(
        default=0.03,
        ge=0.0,
        le=1.0,
        title="Ignore weak centres",
        description="Where centres were learned: how far one must climb down from a centre to "
        "reach a higher one. Raise it if objects are cut into pieces.",
        json_schema_extra={"step": 0.01},
    )
    morphology: bool = Field(
        default=True,
        title="Clean outlines",
        description="Removes thin bridges and spurs and closes narrow cracks.",
    )
    morphology_radius: int = Field(
        default=3,
        ge=1,
        le=50,
        title="Clean-up radius (px)",
        description="Bridges and spurs thinner than about twice this are removed.",
    )
    instances: bool = Field(
        default=True,
        title="One number per object",
        description="Off: all objects get the number 1 (a mask).",
    )

    @classmethod
    def for_scale(cls, um_per_px: float | None, **changes: Any) -> Self:
        """Return the defaults for an image of this scale, with ``changes`` on top.

        Parameters
        ----------
        um_per_px : float or None
            Microns per pixel; None when nobody knows: the defaults as they are.
        **changes
            Values that are taken as they are.

        Raises
        ------
        ValueError
            If the scale is not positive, or a change is unknown or out of range.
        """
        defaults = cls()
        if um_per_px is not None:
            if not um_per_px > 0:
                raise ValueError("The microns per pixel must be above 0.")
            defaults = defaults.enlarged(DEFAULT_SCALE / um_per_px)
        return cls(**{**defaults.model_dump(), **changes})

    def enlarged(self, factor: float) -> Self:
        """Return the settings for the same image with ``factor`` times as many rows and columns.

        Areas grow with the square; a value that would leave its range stays at its limit.
        In doubt the clean-up radius is rounded down: too large a disk removes small nuclei.
        """
        values = self.model_dump()
        for name, (power, lowest, highest) in IN_PIXELS.items():
            value = values[name] * factor**power
            if isinstance(values[name], int):
                value = round(value - 0.25 if name == "morphology_radius" else value)
            values[name] = min(max(value, lowest), highest)
        return type(self)(**values)


def label_image(
    confidence: NDArray[np.floating[Any]],
    settings: LabelSettings | None = None,
    centres: Centres | None = None,
) -> NDArray[np.integer[Any]]:
    """Turn a confidence map into a label image.

    Smoothing, threshold, cleaning with disks, holes, specks, splitting: each as the settings
    say. Objects are 4-connected: two that touch at a corner are two.

    Parameters
    ----------
    confidence : ndarray of float, shape (M, N)
        Confidence in 0..1 that a pixel is object; pixels that are not a number are background.
    settings : LabelSettings, optional
        The sliders; the defaults if omitted.
    centres : Centres, optional
        Learned centres, (M, N): touching objects are split between them instead of at their
        waists.

    Returns
    -------
    ndarray, shape (M, N)
        0 is background. Without `LabelSettings.instances` uint8 with 1 for object; otherwise
        the objects are numbered from 1 without gaps, uint16 for up to 65,535 objects and int32
        for more.

    Raises
    ------
    ValueError
        If the map is not two-dimensional or does not hold floating-point numbers.
    """
    settings = settings or LabelSettings()
    components, _ = ndimage.label(object_mask(confidence, settings))
    large = _large_enough(components, settings.min_area)
    if not settings.instances:
        return np.asarray(large.astype(np.uint8)[components])
    if settings.split:
        components = np.where(large, np.arange(len(large)), 0).astype(np.int32)[components]
        if centres is None:
            apart, smoothing = settings.split_distance, settings.split_smoothing
            components = split_touching(components, apart, smoothing)
        else:
            places = centres.at_least(settings.split_prominence)
            components = split_between(components, places, centres.relief)
        large = _large_enough(components, settings.min_area)
    number = np.cumsum(large)
    table = np.where(large, number, 0).astype(instance_dtype(int(number[-1])))
    return np.asarray(table[components])


def object_mask(confidence: NDArray[np.floating[Any]], settings: LabelSettings) -> Mask:
    """Return the pixels (M, N) that are object, specks included.

    As in the published method the disk of radius 1 comes after the large one.
    """
    if confidence.ndim != 2 or confidence.dtype.kind != "f":
        raise ValueError(
            "A confidence map holds one floating-point number per row and column; this array "
            f"has {confidence.ndim} dimensions of {confidence.dtype}."
        )
    if settings.smoothing > 0:
        finite = np.nan_to_num(confidence.astype(np.float32))
        confidence = ndimage.gaussian_filter(finite, settings.smoothing, mode="nearest")
    mask = np.asarray(confidence > confidence.dtype.type(settings.threshold))
    if settings.morphology:
        for radius in (settings.morphology_radius, 1):
            mask = close_with_disk(open_with_disk(mask, radius), radius)
    return fill_holes(mask, settings.max_hole) if settings.max_hole > 0 else mask


def split_touching(
    components: NDArray[np.int32], split_distance: int, split_smoothing: float = 0.0
) -> NDArray[np.int32]:
    """Cut components at their waists.

    Seeds are the peaks of the distance to the background; a watershed of that distance, started
    at the seeds, cuts between them. A component with fewer than two seeds stays as it is.

    Parameters
    ----------
    components : ndarray of int32, shape (M, N)
        Numbered 4-connected components; 0 is background.
    split_distance : int
        Seeds are farther than this from each other in px, in rows or in columns.
    split_smoothing : float
        Sigma in px of the Gaussian that smooths the distance before its peaks are sought;
        peaks lower than `BUMP` times this are bumps and no seeds.

    Returns
    -------
    ndarray of int32, shape (M, N)
        Labels, with gaps.
    """
    distance = np.sqrt(squared_distance(components > 0), dtype=np.float32)
    seeds = _seeds(distance, split_distance, split_smoothing)
    level = np.minimum(distance * LEVELS_PER_PX, np.iinfo(np.uint16).max).astype(np.uint16)
    return split_between(components, seeds, level)


def split_between(
    components: NDArray[np.int32], seeds: NDArray[np.intp], relief: NDArray[np.uint16]
) -> NDArray[np.int32]:
    """Cut components between seeds, along the valleys of a relief.

    Parameters
    ----------
    components : ndarray of int32, shape (M, N)
        Numbered 4-connected components; 0 is background.
    seeds : ndarray of int, shape (P, 2)
        Rows and columns; those outside the components are left out, and a component with fewer
        than two stays as it is.
    relief : ndarray of uint16, shape (M, N)

    Returns
    -------
    ndarray of int32, shape (M, N)
        Labels, with gaps.
    """
    seeds = seeds[components[seeds[:, 0], seeds[:, 1]] > 0]
    owner = components[seeds[:, 0], seeds[:, 1]]
    n_components = int(components.max())
    crowded = np.bincount(owner, minlength=n_components + 1) > 1
    if not crowded.any():
        return components
    seeds = seeds[crowded[owner]]
    # Most components hold one seed: their label is known, and the slow part leaves them out.
    to_cut = crowded[components]
    markers = np.zeros(components.shape, dtype=np.int32)
    markers[seeds[:, 0], seeds[:, 1]] = n_components + 1 + np.arange(len(seeds))
    return np.where(to_cut, flood(markers, relief, to_cut), components)


def _seeds(distance: NDArray[np.float32], apart: int, smoothing: float) -> NDArray[np.intp]:
    """Return rows and columns (P, 2) of the centres to cut between, all inside the mask."""
    if smoothing > 0:
        inside = distance > 0
        distance = ndimage.gaussian_filter(distance, smoothing, truncate=BLUR_REACH) * inside
    return peaks(distance, apart, at_least=max(BUMP * smoothing, 1.0))


def _large_enough(labels: NDArray[np.int32], min_area: int) -> Mask:
    """Return for every label 0..n whether it is an object of at least ``min_area`` px."""
    large = np.bincount(labels.ravel()) >= max(min_area, 1)
    large[0] = False
    return np.asarray(large)


def instance_dtype(largest: int) -> np.dtype[Any]:
    """Return the dtype of instance labels: uint16 up to 65,535, then int32."""
    if largest > np.iinfo(np.int32).max:
        raise ValueError(f"{largest} is more than a label image can hold.")
    return np.dtype(np.uint16 if largest <= np.iinfo(np.uint16).max else np.int32)
