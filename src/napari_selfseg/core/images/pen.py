"""Pen on the slide: blue, green, red or black ink, told from stain by hue, size and smoothness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.images.coarse import CoarseTile
from napari_selfseg.core.images.stain import DARKEST, is_colourless

# Optical densities in natural units, averaged over squares of about 1 µm. Haematoxylin, eosin and
# DAB absorb green more than red there; blue and green inks absorb red as much or more, also over
# tissue. Red ink hardly absorbs red, but blue nearly as much as green; eosin and blood do not.
COLD_RATIO, COLD_LEAST = 0.95, 1.0  # red to green, red: dense blue and green ink
THIN_RATIO, THIN_LEAST = 1.2, 0.5  # the same of thin ink
WARM_BLUE, WARM_RED, WARM_LEAST = 0.65, 0.25, 1.5  # blue and red to green, green: red ink
YELLOW = 1.2  # blue to green, of what is yellow or brown and no red ink
BLACK, BLACK_CHROMA = 0.25, 0.08  # brightest channel, channels apart: black ink
BLACK_SPREAD = 0.03  # of brightness within 5 µm; crowded dark nuclei vary more

# Half the width of the thinnest stroke, µm. On 57 H&E tiles and a DAB tile no disc with a larger
# radius than 2 µm has all its squares of these colours; 4 µm at 1.6 times their density.
LEAST_RADIUS_UM = 6.0
GREY_RADIUS_UM = 12.0  # in grey, crowded dark nuclei are black, too, and up to 8 µm deep
GAP_UM = 5.0  # nuclei below the ink spoil its colour
EDGE_UM = 4.0  # ink thins out this far beyond what looks like ink


def pen_mask(pixels: NDArray[np.float32], um_per_px: float | None = None) -> NDArray[np.bool_]:
    """Return where there is pen ink: large areas of a colour that no stain of nuclei has.

    Blue, green, red and black ink are known; yellow is not. Ink over tissue is found where it
    covers the colour of the tissue. Blue and green special stains (Alcian blue, the aniline blue
    of trichromes) are taken for ink where they fill more than 12 µm: use it on H&E and on
    haematoxylin with DAB. In grey images only broad black strokes are ink, with a dark background
    nothing is.

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
    if coarse.is_dark_field:
        return pen
    if is_colourless(means):
        pen |= _strokes(_black(coarse), GREY_RADIUS_UM / coarse.um)
    else:
        for ink in (_cold(means), _warm(means), _black(coarse)):
            pen |= _strokes(ink, LEAST_RADIUS_UM / coarse.um)
    if not pen.any():
        return pen
    # Grown by edge and gap, then shrunk by the gap, which fills what lies between.
    edge, gap = EDGE_UM / coarse.um, GAP_UM / coarse.um
    grown = ndimage.distance_transform_edt(~pen) <= edge + gap
    return np.asarray(grown if grown.all() else ndimage.distance_transform_edt(grown) > gap)


def _cold(means: NDArray[np.float32]) -> NDArray[np.bool_]:
    red, green, _ = _density(means)
    dense = (red > COLD_RATIO * green) & (red > COLD_LEAST)
    thin = (red > THIN_RATIO * green) & (red > THIN_LEAST)
    return np.asarray(dense | thin)


def _warm(means: NDArray[np.float32]) -> NDArray[np.bool_]:
    red, green, blue = _density(means)
    hue = (blue > WARM_BLUE * green) & (blue < YELLOW * green) & (red < WARM_RED * green)
    return np.asarray(hue & (green > WARM_LEAST))


def _black(coarse: CoarseTile) -> NDArray[np.bool_]:
    largest, smallest = coarse.means.max(axis=2), coarse.means.min(axis=2)
    dark = (largest < BLACK) & (largest - smallest < BLACK_CHROMA)
    if not dark.any():
        return np.asarray(dark)
    # The edge of a stroke is steep, so it is the inside that has to be smooth.
    smooth = dark & (coarse.spread < BLACK_SPREAD)
    return np.asarray(ndimage.binary_dilation(smooth, iterations=2, mask=dark))


def _density(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the optical density in natural units, (3, m, n)."""
    return np.asarray(np.moveaxis(-np.log(np.maximum(means, DARKEST)), 2, 0))


def _strokes(ink: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Return the connected parts of ``ink`` that hold a disc of this radius, in squares."""
    if not ink.any():
        return ink
    if ink.all():
        return ink
    # Beyond the edge of the tile there is more of the same; a tile may be smaller than a disc.
    depth = np.asarray(ndimage.distance_transform_edt(ink))
    wide = depth >= min(radius, max(1.0, min(ink.shape) / 2))
    return np.asarray(ndimage.binary_propagation(wide, mask=ink))
