"""Pen on the slide: blue, green, red or black ink, told from stain by hue, size and smoothness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.images.coarse import CoarseTile
from napari_selfseg.core.images.stain import DARKEST, is_colourless, is_dark_field

# Optical densities in natural units. Haematoxylin, eosin and DAB all absorb green at least as
# much as red; blue and green inks absorb red far more. Red ink absorbs no red, but blue nearly as
# much as green, as eosin and blood do not.
COLD_RATIO, COLD_LEAST = 1.2, 0.5  # red to green, red: blue and green ink
WARM_BLUE, WARM_RED, WARM_LEAST = 0.65, 0.15, 1.0  # blue and red to green, green: red ink
BLACK, BLACK_CHROMA = 0.25, 0.08  # brightest channel, channels apart: black ink
BLACK_SPREAD = 0.03  # of brightness within 5 µm; crowded dark nuclei vary more

# Half the width of a stroke, µm. On 56 H&E tiles and a DAB tile, also darkened to 1.6 times their
# density, no disc wider than 3 µm has all its pixels of the colours above.
LEAST_RADIUS_UM = 6.0
EDGE_UM = 4.0  # ink thins out this far beyond what looks like ink


def pen_mask(pixels: NDArray[np.float32], um_per_px: float | None = None) -> NDArray[np.bool_]:
    """Return where there is pen ink: large areas of a colour that no stain of nuclei has.

    Blue, green, red and black ink are known; yellow is not. Ink over tissue is found where it
    covers the colour of the tissue. Blue and green special stains (Alcian blue, the aniline blue
    of trichromes) are taken for ink where they fill more than 12 µm: use it on H&E and on
    haematoxylin with DAB. In images that are grey or have a dark background nothing is ink.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    um_per_px : float, optional
        Microns per pixel; without it 0.25.

    Returns
    -------
    ndarray of bool, shape (M, N)
    """
    if not pixels.size:
        return np.zeros(pixels.shape[:2], dtype=bool)
    coarse = CoarseTile(pixels, um_per_px)
    return coarse.full(coarse_pen(coarse))


def coarse_pen(coarse: CoarseTile) -> NDArray[np.bool_]:
    """Return which squares of a coarse tile are pen, (m, n); see `pen_mask`."""
    means = coarse.means
    pen = np.zeros(means.shape[:2], dtype=bool)
    if is_colourless(means) or is_dark_field(means):
        return pen
    for ink in (_cold(means), _warm(means), _black(coarse)):
        pen |= _strokes(ink, LEAST_RADIUS_UM / coarse.um)
    if not pen.any():
        return pen
    return np.asarray(ndimage.distance_transform_edt(~pen) <= EDGE_UM / coarse.um)


def _cold(means: NDArray[np.float32]) -> NDArray[np.bool_]:
    red, green, _ = _density(means)
    return np.asarray((red > COLD_RATIO * green) & (red > COLD_LEAST))


def _warm(means: NDArray[np.float32]) -> NDArray[np.bool_]:
    red, green, blue = _density(means)
    hue = (blue > WARM_BLUE * green) & (red < WARM_RED * green)
    # DAB and yellow absorb blue most; red ink does not.
    return np.asarray(hue & (blue < 1.2 * green) & (green > WARM_LEAST))


def _black(coarse: CoarseTile) -> NDArray[np.bool_]:
    largest, smallest = coarse.means.max(axis=2), coarse.means.min(axis=2)
    dark = (largest < BLACK) & (largest - smallest < BLACK_CHROMA)
    if not dark.any():
        return np.asarray(dark)
    # The edge of a stroke is steep, so it is the inside that has to be smooth.
    smooth = dark & (coarse.spread() < BLACK_SPREAD)
    return np.asarray(ndimage.binary_dilation(smooth, iterations=2, mask=dark))


def _density(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the optical density in natural units, (3, m, n)."""
    return np.asarray(np.moveaxis(-np.log(np.maximum(means, DARKEST)), 2, 0))


def _strokes(ink: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Return the connected parts of ``ink`` that hold a disc of this radius, in squares."""
    if not ink.any():
        return ink
    # Beyond the edge of the tile there is more of the same; a tile may be smaller than a disc.
    depth = np.asarray(ndimage.distance_transform_edt(ink))
    if ink.all():
        return ink
    wide = depth >= min(radius, max(1.0, min(ink.shape) / 2))
    return np.asarray(ndimage.binary_propagation(wide, mask=ink))
