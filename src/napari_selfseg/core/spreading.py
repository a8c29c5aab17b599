"""How far a stroke reaches: what lies beside it and looks like it is most likely the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
    maximum_filter,
)

from napari_selfseg.core.images.stain import DARKEST

# chosen on the MoNuSeg training tiles, docs/results.md
STRENGTH = 8.0  # of the evidence on a stroke, as a logit
FALL_UM = 1.5  # along which the evidence falls to a third
NUCLEUS_UM = 3.5  # radius: a stroke and what it speaks for are no thicker than a nucleus
UNLIKE = 0.15  # in optical density (natural units): what differs more is hardly spoken for
MIDDLE_SHARE = 0.25  # of an object that is erased at least, if it is all meant
MIDDLE_THINNER = 0.5  # than it was is the rest of it
BLUR_PX, NEAR_PX = 1.0, 2.0  # of the density, and of the stroke's own density along it
USUAL_UM_PER_PX = 0.25  # taken where the scale is unknown


def spread(
    classes: NDArray[np.uint8], pixels: NDArray[np.float32], um_per_px: float | None
) -> NDArray[np.float32]:
    """Return what strokes say of being an object, on them and beside them.

    The evidence falls with the distance to the stroke and with the difference in stain. Added to
    a map it decides where the map is unsure: a thin stroke through a nucleus takes in the rest of
    it, one that covers all of a nucleus says nothing of what surrounds it.

    Parameters
    ----------
    classes : ndarray of uint8, shape (M, N)
        0 not painted, 1 background, 2 and above objects.
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    um_per_px : float or None
        Microns per pixel; None: unknown.

    Returns
    -------
    ndarray of float32, shape (M, N)
        A logit: `STRENGTH` on objects, minus that on background, 0 far from any stroke.
    """
    scale = um_per_px or USUAL_UM_PER_PX
    evidence = np.zeros(classes.shape, np.float32)
    for painted, sign in ((classes > 1, 1), (classes == 1, -1)):
        for box in _boxes(painted, NUCLEUS_UM / scale):
            evidence[box] += sign * _spoken_for(painted[box], pixels[box], scale)
    return evidence


def denied(objects: NDArray[np.integer[Any]], classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where objects lie that strokes of background go right through: they are none.

    A stroke along the edge of an object only trims it; of one through its middle, which takes a
    quarter of it, nothing is left that is half as thick as it was.

    Parameters
    ----------
    objects : ndarray of integers, shape (M, N)
        What was found without labels, 0 is background.
    classes : ndarray of uint8, shape (M, N)
        0 not painted, 1 background, 2 and above objects.

    Returns
    -------
    ndarray of bool, shape (M, N)
        All of the objects that were erased so, without what was painted in them.
    """
    found = np.zeros(classes.shape, bool)
    boxes = find_objects(objects)
    for number in np.unique(objects[classes == 1]):
        if number:
            box = boxes[number - 1]
            rest = _rest_of(objects[box] == number, classes[box])
            if rest is not None:
                found[box] |= rest
    return found


def _rest_of(whole: NDArray[np.bool_], classes: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return what strokes left of an object that they deny; None if they only trim it."""
    rest = whole & (classes != 1)
    if (classes[whole] > 1).any() or rest.sum() > (1 - MIDDLE_SHARE) * whole.sum():
        return None
    return rest if _thickness(rest) < MIDDLE_THINNER * _thickness(whole) else None


def _thickness(mask: NDArray[np.bool_]) -> float:
    return float(distance_transform_edt(np.pad(mask, 1)).max())


def _boxes(painted: NDArray[np.bool_], reach: float) -> list[tuple[slice, slice]]:
    """Return boxes that hold all strokes with what they reach; no pixel is in two of them."""
    coarse = max(1, round(8 * reach))
    n_rows, n_columns = (-(-side // coarse) for side in painted.shape)
    rows, columns = np.nonzero(painted)
    grid = np.zeros((n_rows, n_columns), bool)
    grid[rows // coarse, columns // coarse] = True
    near = maximum_filter(grid, 3, mode="constant")  # what is reached may lie in the next square
    while True:
        parts, _ = label(near, np.ones((3, 3)))
        found = find_objects(parts)
        filled = np.zeros_like(near)
        for box in found:
            filled[box] = True
        if (filled == near).all():
            break
        near = filled  # boxes that overlap become one
    return [
        (
            slice(box[0].start * coarse, min(box[0].stop * coarse, painted.shape[0])),
            slice(box[1].start * coarse, min(box[1].stop * coarse, painted.shape[1])),
        )
        for box in found
    ]


def _spoken_for(
    stroke: NDArray[np.bool_], pixels: NDArray[np.float32], scale: float
) -> NDArray[np.float32]:
    """Return the evidence, 0 or more, of the strokes in a box (m, n)."""
    far, nearest = distance_transform_edt(~stroke, return_indices=True)
    thick = maximum_filter(distance_transform_edt(stroke), 2 * round(NUCLEUS_UM / scale) + 1)
    reach = NUCLEUS_UM - thick[tuple(nearest)] * scale
    speaks = STRENGTH * np.exp(-far * scale / FALL_UM) * (far * scale <= reach)
    density = -np.log(np.clip(pixels, DARKEST, 1))
    density = gaussian_filter(density, (BLUR_PX, BLUR_PX, 0))
    unlike = density - _along(stroke, density)[tuple(nearest)]
    speaks *= np.exp(-(unlike**2).sum(-1) / (2 * UNLIKE**2))
    speaks[stroke] = STRENGTH
    return np.asarray(speaks, np.float32)


def _along(stroke: NDArray[np.bool_], density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the stroke's own density around each of its pixels, (m, n, C)."""
    share = gaussian_filter(stroke.astype(np.float32), NEAR_PX)[..., None]
    blurred = gaussian_filter(density * stroke[..., None], (NEAR_PX, NEAR_PX, 0))
    return np.asarray(blurred / np.maximum(share, 1e-6), np.float32)
