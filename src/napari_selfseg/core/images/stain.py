"""Stain without labels: optical density, haematoxylin, hue, and the cue that nuclei give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2hed

LEAST_DENSITY = 0.2  # natural units; glass and very pale tissue have no hue to speak of
DARKEST = 1 / 256  # optical density of a black pixel is capped at log10(256) = 2.4
DARK = 0.25  # of white; the median pixel of an image with a dark background is below
COLOUR = 0.05  # of white; how far the channels of a coloured pixel are apart at least
COLOURED = 99  # percentile: a hundredth of coloured pixels makes an image coloured


def optical_density(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return -log10 of intensity, scaled so that white is 0 and black is 1.

    Parameters
    ----------
    pixels : ndarray, shape (M, N, C)
        Intensity in 0..1.

    Returns
    -------
    ndarray of float32, shape (M, N, C)
    """
    density = np.log10(np.clip(pixels, DARKEST, 1.0)) / np.log10(DARKEST)
    return np.asarray(density, dtype=np.float32)


def haematoxylin(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the haematoxylin channel of an RGB tile (M, N, 3): (M, N), unbounded.

    Colour deconvolution with the vectors of Ruifrok and Johnston (2001), which separate
    haematoxylin from eosin and from DAB.
    """
    return np.asarray(rgb2hed(pixels)[..., 0], dtype=np.float32)


def is_dark_field(pixels: NDArray[np.float32]) -> bool:
    """Whether the background is dark (fluorescence): the median pixel is below a quarter."""
    return bool(np.median(pixels[::2, ::2]) < DARK)


def is_colourless(pixels: NDArray[np.float32]) -> bool:
    """Whether an image is grey: one channel, or three that hardly differ.

    A little tissue on much white glass is still coloured, so the mean would mislead.
    """
    spread = np.ptp(pixels[::2, ::2], axis=2)
    return pixels.shape[2] == 1 or bool(np.percentile(spread, COLOURED) < COLOUR)


def nuclear_cue(
    pixels: NDArray[np.float32], name: str | None = None
) -> tuple[NDArray[np.float32], str]:
    """Return what tells nuclei apart without learning, and what it is called.

    Parameters
    ----------
    pixels : ndarray, shape (M, N, C)
        Intensity in 0..1.
    name : {"haematoxylin", "darkness", "brightness"}, optional
        Which cue to take; without it the pixels decide.

    Returns
    -------
    cue : ndarray of float32, shape (M, N)
        Higher where a nucleus is more likely; no fixed range.
    name : {"haematoxylin", "darkness", "brightness"}
        Haematoxylin for stained tissue, darkness for grey images, brightness for images with
        a dark background.
    """
    if name is None:
        name = "haematoxylin"
        if is_dark_field(pixels):
            name = "brightness"
        elif is_colourless(pixels):
            name = "darkness"
    match name:
        case "brightness":
            return pixels.max(axis=2), name
        case "darkness":
            return 1 - pixels.mean(axis=2), name
        case _:
            return haematoxylin(pixels), name


def stain_hue(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how blue the stain of an RGB tile (M, N, 3) is, whatever its amount: (M, N).

    The red channel's share of the optical density, 0..1: haematoxylin absorbs red light more
    than eosin or DAB do, also where it is pale.
    """
    density = -np.log(np.clip(pixels, DARKEST, 1.0))
    share = density[..., 0] / (density.sum(axis=2) + LEAST_DENSITY)
    return np.asarray(share, dtype=np.float32)
