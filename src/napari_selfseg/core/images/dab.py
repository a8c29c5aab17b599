"""Haematoxylin with DAB (immunohistochemistry), told from H&E by the brown of its stain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from skimage.color import rgb2hed

from napari_selfseg.core.images.stain import DARKEST, is_dark_field

# Optical densities in natural units, summed over the channels where it is about amount. DAB
# absorbs blue most (Ruifrok and Johnston 2001: .27 .57 .78), haematoxylin and eosin green.
STAINED = 0.6
BROWN = 0.8  # paler brown may be unstained collagen in yellow light
OVER_GREEN, OVER_RED = 1.2, 1.5  # how much more blue is absorbed by what is brown
# Over the haematoxylin of a nucleus it is less brown, but dense, which yellow collagen is not.
MIXED_OVER_GREEN, MIXED = 1.02, 2.0
LEAST_STAINED = 0.001  # share of a tile; less than this is dirt on glass
DAB_SHARE = 0.05  # of the stained pixels; see `has_dab`
SMOOTHING = 3  # px; noise gives single dark pixels any hue
TINT = 0.25  # of the brightest channel; a light that is more coloured is no light but stain
LIGHT = 0.6  # of white; darker is no light either


def has_dab(pixels: NDArray[np.float32]) -> bool:
    """Whether a tile is stained with haematoxylin and DAB, not with eosin.

    It is if at least five in a hundred stained pixels are brown. On 57 H&E tiles of six sets, also
    at 0.5 to 1.6 times their density, at most .008 of them are, in yellowish light .026; of the
    DAB tile of scikit-image .69. Of drawn nuclei one in seven has to be brown. A tile whose marker
    is nearly negative cannot be told from H&E. Iron, bile, melanin and formalin pigment are brown
    without DAB.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1. Grey images and images with a dark background have no DAB.
    """
    return dab_share(pixels) >= DAB_SHARE


def dab_share(pixels: NDArray[np.float32]) -> float:
    """Return how much of the stained part of a tile is brown, 0..1.

    Glass does not count, however much of it there is.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    """
    if not pixels.size or pixels.shape[2] == 1 or is_dark_field(pixels):
        return 0.0
    window = (SMOOTHING, SMOOTHING, 1)
    smooth = uniform_filter(pixels, window, mode="nearest")[::SMOOTHING, ::SMOOTHING]
    density = -np.log(np.clip(smooth, DARKEST, 1.0))
    density[..., 2] = np.maximum(density[..., 2] - _yellowness(smooth), 0)
    red, green, blue = np.moveaxis(density, 2, 0)
    amount = density.sum(axis=2)
    n_stained = max(np.count_nonzero(amount > STAINED), LEAST_STAINED * amount.size)
    brown = (blue > OVER_GREEN * green) & (amount > BROWN)
    mixed = (blue > MIXED_OVER_GREEN * green) & (amount > MIXED)
    brown = (brown | mixed) & (blue > OVER_RED * red)
    return float(np.count_nonzero(brown) / n_stained)


def dab(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the DAB channel of an RGB tile (M, N, 3): (M, N), unbounded.

    Colour deconvolution with the vectors of Ruifrok and Johnston (2001), as in
    `stain.haematoxylin`.
    """
    return np.asarray(rgb2hed(pixels)[..., 2], dtype=np.float32)


def _yellowness(pixels: NDArray[np.float32]) -> float:
    """Return how much denser the light is in blue than in green, in natural units, at least 0.

    The light is the colour of the brightest pixels. Yellow light makes eosin look brown; a light
    of another colour does not matter here and stays as it is.
    """
    light = np.percentile(pixels, 99.5, axis=(0, 1))
    if light.min() < LIGHT or light.max() - light.min() > TINT * light.max():
        return 0.0
    return max(0.0, float(np.log(light[1] / light[2])))
