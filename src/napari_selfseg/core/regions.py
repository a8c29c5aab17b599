"""From soft memberships to a label image of K classes, and one class as objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from napari_selfseg.core.instances import DEFAULT_SCALE, instance_dtype
from napari_selfseg.core.masks import Mask

BACKGROUND = "background"
LONGEST_NAME = 60  # letters
CELLS_PER_SIGMA = 2  # a map is reduced before it is blurred: finer cells change no outline
BLUR_REACH = 2.5  # standard deviations
BLOCK_ROWS = 1024  # counted at a time: counting takes eight times the memory of the labels

ClassImage = NDArray[np.uint8]


class RegionLabelSettings(BaseModel):
    """How memberships become regions; the sliders of the result. Sizes are in µm or µm²."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_area_um2: float = Field(
        default=400.0,
        ge=0,
        le=1e8,
        title="Smallest region (µm²)",
        description="Smaller regions are given to what surrounds them.",
    )
    max_hole_um2: float = Field(
        default=20_000.0,
        ge=0,
        le=1e8,
        title="Fill holes up to (µm²)",
        description="In one class shown as objects: holes up to this size are filled, "
        "such as the lumen of a gland.",
    )
    smoothing_um: float = Field(
        default=0.0,
        ge=0,
        le=200.0,
        title="Smoothing (µm)",
        description="Blurs the classes first: smoother outlines, fewer specks. 0 is off.",
    )

    def smallest_object(self, um_per_px: float | None = None) -> int:
        """Return the fewest pixels of an object of one class; None: as for 0.25 µm/px."""
        return round(self.min_area_um2 / _scale(um_per_px) ** 2)


def region_labels(
    maps: NDArray[np.floating[Any]],
    um_per_px: float | None = None,
    settings: RegionLabelSettings | None = None,
) -> ClassImage:
    """Give every pixel the class it belongs to most, without specks.

    Parameters
    ----------
    maps : ndarray of float, shape (K, M, N)
        Memberships in 0..1; K is at most 255.
    um_per_px : float, optional
        None: as for 0.25 µm/px.
    settings : RegionLabelSettings, optional

    Returns
    -------
    ndarray of uint8, shape (M, N)
        1..K.

    Raises
    ------
    ValueError
        If the maps are not (K, M, N) or the scale is not above 0.
    """
    settings = settings or RegionLabelSettings()
    scale = _scale(um_per_px)
    if maps.ndim != 3 or not 1 <= len(maps) <= 255:
        raise ValueError(f"Memberships have the shape (K, rows, columns), not {maps.shape}.")
    sigma = settings.smoothing_um / scale
    best = _blurred(maps[0], sigma)
    labels = np.ones(best.shape, np.uint8)
    for number, one in enumerate(maps[1:], start=2):
        smooth = _blurred(one, sigma)
        more = smooth > best
        labels[more] = number
        best = np.maximum(best, smooth)
    return without_specks(labels, settings.min_area_um2 / scale**2)


def mask_of_class(
    labels: NDArray[np.integer[Any]],
    number: int,
    um_per_px: float | None = None,
    settings: RegionLabelSettings | None = None,
) -> NDArray[np.integer[Any]]:
    """Return one class as objects: specks dropped, holes filled, connected parts numbered.

    Where the border cuts through a hole, the image is taken to go on mirrored.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
        As from `region_labels`, or corrected by a person.
    number : int
        Of the class.
    um_per_px : float, optional
        None: as for 0.25 µm/px.
    settings : RegionLabelSettings, optional

    Returns
    -------
    ndarray of uint16 or int32, shape (M, N)
        1..n, 0 elsewhere. Parts that touch at a corner are two.
    """
    settings = settings or RegionLabelSettings()
    area = _scale(um_per_px) ** 2
    mask = _without_small(labels == number, settings.min_area_um2 / area)
    mask = _without_holes(mask, settings.max_hole_um2 / area)
    parts, n_parts = ndimage.label(mask)
    return np.asarray(parts, dtype=instance_dtype(n_parts))


def class_at(image: NDArray[Any], row: int, column: int) -> int:
    """Return the class (from 1) at a place; 0 if nothing was labelled there.

    Parameters
    ----------
    image : ndarray, shape (M, N) or (K, M, N)
        Labels, or memberships.
    row, column : int

    Raises
    ------
    ValueError
        If the place is outside the image.
    """
    n_rows, n_columns = image.shape[-2:]
    if not (0 <= row < n_rows and 0 <= column < n_columns):
        raise ValueError("The click is outside the tile.")
    if image.ndim == 2:
        return int(image[row, column])
    return int(image[:, row, column].argmax()) + 1


def area_shares(labels: NDArray[np.integer[Any]], n_classes: int) -> tuple[float, ...]:
    """Return which part of the image each of the classes 1..K covers, 0..1."""
    counts = np.zeros(n_classes + 1, np.int64)
    for top in range(0, len(labels), BLOCK_ROWS):
        block = labels[top : top + BLOCK_ROWS].ravel()
        counts += np.bincount(block, minlength=n_classes + 1)[: n_classes + 1]
    return tuple(float(count) / max(1, labels.size) for count in counts[1:])


def default_names(n_classes: int, glass: int | None = None) -> tuple[str, ...]:
    """Return "region 1", "region 2", ...; the class ``glass`` (from 0) is "background"."""
    return tuple(BACKGROUND if k == glass else f"region {k + 1}" for k in range(n_classes))


def clean_name(name: str, number: int) -> str:
    """Return a name as it may be stored: one line, not too long; empty: the default."""
    return " ".join(name.split())[:LONGEST_NAME] or f"region {number}"


def without_specks(labels: ClassImage, min_area: float) -> ClassImage:
    """Give connected regions below ``min_area`` px to the class most of their border touches.

    Parameters
    ----------
    labels : ndarray of uint8, shape (M, N)
        1..K.
    min_area : float
        In px.
    """
    if min_area <= 1:
        return labels
    part = np.pad(_small_parts(labels, min_area), 1).ravel()
    waiting = np.flatnonzero(part)
    width = labels.shape[1] + 2
    flat = np.pad(labels, 1).ravel()
    while waiting.size:
        given = _given_away(flat, part, waiting, width)
        if not given.any():
            break  # nothing but specks
        part[waiting[given]] = 0
        waiting = waiting[~given]
    return flat.reshape(-1, width)[1:-1, 1:-1]


def _small_parts(labels: ClassImage, min_area: float) -> NDArray[np.int32]:
    """Return the connected regions below a size, numbered from 1; 0 elsewhere."""
    small = np.zeros(labels.shape, np.int32)
    n_before = 0
    for number in range(1, int(labels.max(initial=0)) + 1):
        parts, n_parts = ndimage.label(labels == number)
        is_small = np.bincount(parts.ravel(), minlength=n_parts + 1) < min_area
        is_small[0] = False
        n_small = int(is_small.sum())
        if n_small:
            numbers = np.zeros(n_parts + 1, np.int32)
            numbers[is_small] = np.arange(n_before + 1, n_before + n_small + 1)
            small += numbers[parts]
        n_before += n_small
    return small


def _given_away(
    labels: ClassImage, part: NDArray[np.int32], waiting: NDArray[np.intp], width: int
) -> Mask:
    """Change every part to the class of most of its neighbours that stay.

    Parameters
    ----------
    labels, part : ndarray, flat
        Of an image with a frame of zeros; part is 0 for what stays.
    waiting : ndarray of int, shape (n,)
        The places of the parts.
    width : int
        Of the image with its frame.

    Returns
    -------
    ndarray of bool, shape (n,)
        Which of the places were changed; a part among parts waits for the next round.
    """
    own = part[waiting]
    n_classes = int(labels.max()) + 1
    ballots = np.zeros((int(own.max()) + 1) * n_classes, np.intp)
    for step in (-width, -1, 1, width):
        beside = labels[waiting + step]
        stays = (beside > 0) & (part[waiting + step] == 0)
        ballots += np.bincount(own[stays] * n_classes + beside[stays], minlength=ballots.size)
    votes = ballots.reshape(-1, n_classes)
    given: Mask = (votes.max(1) > 0)[own]
    labels[waiting[given]] = votes.argmax(1).astype(labels.dtype)[own[given]]
    return given


def _without_holes(mask: Mask, max_hole: float) -> Mask:
    """Fill holes up to ``max_hole`` px, counted as if the image went on mirrored at its border.

    So a hole that the border cuts through counts twice, one in a corner four times, and what
    reaches from one border to the opposite one is no hole.
    """
    holes, n_holes = ndimage.label(~mask)
    area = np.bincount(holes.ravel(), minlength=n_holes + 1).astype(np.float64)
    for edges in ((holes[0], holes[-1]), (holes[:, 0], holes[:, -1])):
        at_first, at_last = (np.isin(np.arange(n_holes + 1), edge) for edge in edges)
        area[at_first | at_last] *= 2
        area[at_first & at_last] = np.inf
    small = area <= max_hole
    small[0] = False
    filled: Mask = mask | small[holes]
    return filled


def _without_small(mask: Mask, min_area: float) -> Mask:
    parts, _ = ndimage.label(mask)
    large = np.bincount(parts.ravel()) >= min_area
    large[0] = False
    kept: Mask = large[parts]
    return kept


def _blurred(one: NDArray[np.floating[Any]], sigma: float) -> NDArray[np.float32]:
    """Blur a map (M, N) with a Gaussian of so many px, on cells where that is finer than needed."""
    image = np.asarray(one, dtype=np.float32)
    if sigma <= 0:
        return image
    side = max(1, int(sigma / CELLS_PER_SIGMA))
    n_rows, n_columns = image.shape
    padded = np.pad(image, ((0, -n_rows % side), (0, -n_columns % side)), mode="edge")
    cells = padded.reshape(padded.shape[0] // side, side, -1, side).mean((1, 3))
    smooth = ndimage.gaussian_filter(cells, sigma / side, mode="nearest", truncate=BLUR_REACH)
    if side == 1:
        return np.asarray(smooth)
    return _between(_between(smooth, side, n_rows).T, side, n_columns).T


def _between(cells: NDArray[np.float32], side: int, length: int) -> NDArray[np.float32]:
    """Interpolate along the rows of cells (m, n) to pixels: (length, n)."""
    place = np.clip((np.arange(length) + 0.5) / side - 0.5, 0, len(cells) - 1)
    before = place.astype(np.intp)
    after = np.minimum(before + 1, len(cells) - 1)
    share = (place - before).astype(np.float32)[:, None]
    return np.asarray(cells[before] * (1 - share) + cells[after] * share)


def _scale(um_per_px: float | None) -> float:
    scale = DEFAULT_SCALE if um_per_px is None else um_per_px
    if not scale > 0:
        raise ValueError("The microns per pixel must be above 0.")
    return scale
