"""Where there is tissue, pixel by pixel: not on glass, not under pen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.images.coarse import CoarseTile, camera_noise, relative_chroma
from napari_selfseg.core.images.pen import coarse_pen

# Glass is what is bright, without colour and smooth, all three. The least stained stroma seen is
# as bright and nearly as colourless as glass, but its fibres spread by more than 0.01 of white
# within 5 µm, glass by 0.001 to 0.006.
SMOOTH = 0.008  # of white; standard deviation of brightness within 5 µm
NOISE = 2.0  # times what is left of the camera's noise in a square may come on top
BRIGHT = 0.65  # of white; pale grey, as of a dim lamp
GREY = 0.1  # chroma of what may be glass ...
CAST = 0.06  # ... and of the light itself
COLOURLESS = 0.045  # chroma beside the light
SHADE = 0.75  # of the brightest glass; where the light falls off
LEAST_GLASS_UM2 = 400.0  # smaller gaps are part of the tissue
LEAST_TISSUE_UM2 = 15.0  # smaller specks are dust; a small nucleus has 20
NARROW_UM = 2.0  # half the width below which glass is a cleft
RIM_UM = 3.0  # how far glass reaches into the window in which an edge disturbs it
PEN_SEAM_UM = 8.0  # how far from ink its own fringe can be
FLAT = 0.02  # of white; a dark tile that varies less is empty


def tissue_mask(pixels: NDArray[np.float32], um_per_px: float | None = None) -> NDArray[np.bool_]:
    """Return where there is tissue: False on glass and on pen marks.

    Glass is bright, colourless beside the colour of the light, and smooth; the light may be
    uneven or slightly tinted. Nothing else is cut off: pale tissue has fibres or colour, nuclei
    are neither bright nor smooth. Gaps below 400 µm² count as tissue, large lumens and fat do not.

    In grey images only brightness and smoothness can tell glass, and only black pen is looked for.
    With a dark background (fluorescence) there is no glass: all is tissue, or nothing if the tile
    is flat. A stained tile that is so dark that it looks like one is all tissue, too; so is one
    that black ink covers by more than half.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1; C is 1 or 3.
    um_per_px : float, optional
        Microns per pixel; without it 0.25, which is careful: on coarser pixels only larger areas
        are cut off.

    Returns
    -------
    ndarray of bool, shape (M, N)
    """
    if not pixels.size:
        return np.zeros(pixels.shape[:2], dtype=bool)
    coarse = CoarseTile(pixels, um_per_px)
    left = camera_noise(pixels) / coarse.factor  # averaging takes most of the noise away
    if coarse.is_dark_field:
        low, high = np.percentile(coarse.means, (0.1, 99.9))
        return np.full(pixels.shape[:2], bool(high - low > max(FLAT, 7 * left)))
    pen = coarse_pen(coarse)
    tissue = ~(_glass(coarse, left, pen) | pen)
    if pen.any():
        tissue &= ~_seam(coarse, tissue, pen)
    tissue = _without_small(tissue, LEAST_TISSUE_UM2 / coarse.um**2)
    return coarse.full(tissue)


def tissue_sentence(mask: NDArray[np.bool_]) -> str:
    """Say in one sentence how much of a tile is tissue.

    Parameters
    ----------
    mask : ndarray of bool, shape (M, N)
        From `tissue_mask`.
    """
    share = float(mask.mean()) if mask.size else 0.0
    if share == 0:
        return "No tissue was found: the tile looks like empty glass or pen."
    if share >= 0.995:
        return "All of the tile is tissue."
    percent = "less than 1" if share < 0.01 else f"{100 * share:.0f}"
    return f"{percent} % of the tile is tissue.".capitalize()


def _glass(coarse: CoarseTile, noise: float, pen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which squares are glass, (m, n); ``noise`` is that of a square."""
    brightness = coarse.brightness
    smooth = coarse.spread < np.sqrt(SMOOTH**2 + (NOISE * noise) ** 2)
    likely = smooth & (brightness > BRIGHT) & (coarse.chroma < GREY) & ~pen
    if not likely.any():
        return np.zeros_like(likely)
    brightest = likely & (brightness >= np.percentile(brightness[likely], 90))
    light = np.median(coarse.means[brightest], axis=0)
    if relative_chroma(light) > CAST:  # the palest tissue, or a lamp of unknown colour
        return np.zeros_like(likely)
    colourless = relative_chroma(coarse.means / light) < COLOURLESS
    pale = colourless & (brightness > max(BRIGHT, SHADE * float(light.mean())))
    narrow = coarse.squares(NARROW_UM)
    glass = _opened(pale & smooth, narrow)
    rim = coarse.squares(RIM_UM)
    glass = ndimage.binary_dilation(glass, iterations=rim, mask=pale | glass)
    least = min(LEAST_GLASS_UM2 / coarse.um**2, glass.size / 2)  # of a tile that is small
    return _without_small(glass, least)


def _seam(
    coarse: CoarseTile, tissue: NDArray[np.bool_], pen: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the thin fringe of ink on glass, which is neither ink nor glass."""
    near = ndimage.distance_transform_edt(~pen) <= PEN_SEAM_UM / coarse.um
    thin = tissue & ~_opened(tissue, coarse.squares(PEN_SEAM_UM / 2))
    return np.asarray(near & thin)


def _opened(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Keep what a disc of this radius fits into; beyond the edges there is more of the same."""
    inner = ndimage.distance_transform_edt(mask) > radius if not mask.all() else mask
    if not inner.any():
        return np.zeros_like(mask)
    return np.asarray(ndimage.distance_transform_edt(~inner) <= radius) & mask


def _without_small(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """Drop connected parts of fewer than ``least`` squares."""
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    keep = sizes >= least
    keep[0] = False
    return np.asarray(keep[parts])
