"""The outline of a nucleus around a click, from what is known of the image there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon

from napari_selfseg.core.centres import USUAL_UM_PER_PX
from napari_selfseg.core.editing import Edit, EditError, LabelImage, Place, add, grown
from napari_selfseg.core.images.stain import is_dark_field, optical_density
from napari_selfseg.core.masks import Mask
from napari_selfseg.core.nucleus_size import NUCLEUS_UM

# As the next five, chosen on nuclei that were missed in the MoNuSeg training tiles.
SMOOTHING = 1.5 / 26  # sigma of the Gaussian before edges are sought, in typical diameters
SMALLEST, LARGEST = 0.3, 1.7  # radius, in typical radii
N_RAYS = 32
STEP = 0.5 / 13  # between two places on a ray, in typical radii
USUAL_SIZE = 4.0  # how much an unusual radius speaks against an outline, per squared logarithm
BEND = 1  # steps by which the radii of two neighbouring rays may differ
ODD = 1.6  # factor by which nuclei may be smaller or larger than usual, where the scale is known
NEIGHBOURS, AROUND = 5, 256  # objects that tell a size, and px around a click to look for them


def propose(
    labels: LabelImage,
    place: Place,
    confidence: NDArray[np.floating[Any]],
    pixels: Callable[[slice, slice], NDArray[np.floating[Any]]],
    um_per_px: float | None,
    reserved: Iterable[int] = (),
) -> Edit:
    """Make an object of the nucleus at a row and column.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    place : (int, int)
        Somewhere near its middle.
    confidence : ndarray of float, shape (M, N)
        The map in which it was missed.
    pixels : callable (rows, columns) -> ndarray (m, n, C)
        Reads intensities in 0..1.
    um_per_px : float or None
        Microns per pixel; None: unknown.
    reserved : iterable of int
        As `free_numbers` takes it.

    Raises
    ------
    EditError
        If there is an object already, or no room for one.
    """
    if not all(0 <= i < n for i, n in zip(place, labels.shape, strict=True)):
        raise EditError("That was beside the tile: click a nucleus inside it.")
    if labels[place]:
        raise EditError("There is an object here already: delete it first, or draw around it.")
    diameter = typical_diameter(labels, place, um_per_px)
    reach = ceil(LARGEST * diameter / 2) + 4
    rows, columns = (grown(i, i + 1, reach, n) for i, n in zip(place, labels.shape, strict=True))
    centre = place[0] - rows.start, place[1] - columns.start
    seen = np.asarray(pixels(rows, columns), dtype=np.float32)
    stain = seen[..., 0] if is_dark_field(seen) else optical_density(seen)[..., 0]
    free = labels[rows, columns] == 0
    reliefs = [confidence[rows, columns], stain]
    mask = outline_around(centre, reliefs, free, diameter)
    return add(labels, rows, columns, mask, reserved)


def typical_diameter(labels: LabelImage, place: Place, um_per_px: float | None) -> float:
    """Return how large nuclei are here, in px: half of the area nearby lies in smaller objects.

    Without objects nearby, and not far from it, the usual size of a nucleus counts.
    """
    usual = NUCLEUS_UM / (um_per_px or USUAL_UM_PER_PX)
    rows, columns = (grown(i, i + 1, AROUND, n) for i, n in zip(place, labels.shape, strict=True))
    areas = np.bincount(labels[rows, columns].ravel())[1:]
    areas = np.sort(areas[areas > 0])
    if len(areas) < NEIGHBOURS:
        return usual
    middle = areas[np.searchsorted(areas.cumsum(), areas.sum() / 2)]
    found = float(2 * np.sqrt(middle / pi))
    return found if um_per_px is None else min(max(found, usual / ODD), usual * ODD)


def outline_around(
    centre: Place,
    reliefs: Sequence[NDArray[np.floating[Any]]],
    free: Mask,
    diameter: float,
) -> Mask:
    """Return the pixels (m, n) inside the best outline around a centre.

    On rays from the centre the outline goes where all reliefs together fall most steeply
    outwards, at radii that change little from ray to ray and are not unusual; where nothing
    falls that is a disk of the typical size. The best closed outline is found by dynamic
    programming over two turns more than are used.

    Parameters
    ----------
    centre : (int, int)
    reliefs : sequence of ndarray of float, shape (m, n)
        High on nuclei.
    free : ndarray of bool, shape (m, n)
        Where the object may be.
    diameter : float
        The typical one, px.
    """
    radii = np.arange(SMALLEST, LARGEST, STEP)
    angles = np.arange(N_RAYS) * 2 * pi / N_RAYS
    down, right = np.sin(angles)[:, None], np.cos(angles)[:, None]
    rows = centre[0] + radii * diameter / 2 * down
    columns = centre[1] + radii * diameter / 2 * right
    gain = np.repeat(-USUAL_SIZE * np.log(radii)[None] ** 2, N_RAYS, axis=0)
    for relief in reliefs:
        smooth = ndimage.gaussian_filter(
            np.nan_to_num(relief.astype(np.float32)), SMOOTHING * diameter, mode="nearest"
        )
        in_row, in_column = (
            ndimage.map_coordinates(slope, [rows, columns], order=1, mode="nearest")
            for slope in np.gradient(smooth)
        )
        fall = -(in_row * down + in_column * right)
        gain += fall / max(float(fall.std()), np.finfo(np.float32).eps)
    is_free = ndimage.map_coordinates(free.astype(np.uint8), [rows, columns], order=0)
    gain[is_free == 0] = gain.min()
    best = radii[_best_circle(gain)] * diameter / 2
    mask = np.zeros(free.shape, bool)
    inside = polygon(centre[0] + best * down[:, 0], centre[1] + best * right[:, 0], mask.shape)
    mask[inside] = True
    mask &= free
    parts, _ = ndimage.label(mask)
    return np.asarray(mask & (parts == parts[centre]))


def _best_circle(gain: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return for every ray (n_rays, n_radii) the index of the radius on the best outline."""
    three_turns = np.concatenate([gain] * 3)
    shifts = np.arange(-BEND, BEND + 1)
    reached = three_turns[0]
    came_from = []
    for ray in three_turns[1:]:
        padded = np.pad(reached, BEND, constant_values=-np.inf)
        options = np.stack([padded[BEND + s : BEND + s + len(reached)] for s in shifts])
        choice = options.argmax(axis=0)
        came_from.append(np.arange(len(reached)) + shifts[choice])
        reached = options.max(axis=0) + ray
    path = [int(reached.argmax())]
    for step in reversed(came_from):
        path.append(int(step[path[-1]]))
    return np.array(path[::-1])[len(gain) : 2 * len(gain)]
