"""Stain without labels: optical density, haematoxylin, and the cue that nuclei give."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2hed

LEAST_DENSITY = 0.2  # natural units; glass and very pale tissue have no hue to speak of
EVIDENCE_SIGMA = 1.0  # px; takes away the noise of the camera and of JPEG, leaves nuclei
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


class Stain:
    """What the stain of a tile says about its nuclei, each part computed once, when asked for.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    name : {"haematoxylin", "darkness", "brightness"}, optional
        Which cue to take; without it the pixels decide.
    """

    def __init__(self, pixels: NDArray[np.float32], name: str | None = None) -> None:
        self._pixels, self._name = pixels, name

    @classmethod
    def of(cls, pixels: NDArray[np.float32] | Stain) -> Stain:
        """Return the stain of these pixels; what is one already is returned as it is."""
        return pixels if isinstance(pixels, Stain) else cls(pixels)

    @cached_property
    def cue_and_name(self) -> tuple[NDArray[np.float32], str]:
        """See `nuclear_cue`."""
        return nuclear_cue(self._pixels, self._name)

    @cached_property
    def amount(self) -> NDArray[np.float32]:
        """The nuclear cue, smoothed by 1 px, (M, N)."""
        smooth = gaussian_filter(self.cue_and_name[0], EVIDENCE_SIGMA, mode="nearest")
        return np.asarray(smooth, dtype=np.float32)

    @cached_property
    def hue(self) -> NDArray[np.float32] | None:
        """The `stain_hue`, smoothed by 1 px, (M, N); None where there is no stain."""
        if self.cue_and_name[1] != "haematoxylin":
            return None
        smooth = gaussian_filter(stain_hue(self._pixels), EVIDENCE_SIGMA, mode="nearest")
        return np.asarray(smooth, dtype=np.float32)

    @cached_property
    def red_density(self) -> NDArray[np.float32]:
        """The optical density of red light, smoothed by 1 px, (M, N); of grey where grey."""
        density = optical_density(self._pixels[..., 0])
        smooth = gaussian_filter(density, EVIDENCE_SIGMA, mode="nearest")
        return np.asarray(smooth, dtype=np.float32)

    @cached_property
    def evidence(self) -> NDArray[np.float32]:
        """See `nuclear_evidence`."""
        return self.weighted_evidence(1.0)

    def weighted_evidence(self, amount: float) -> NDArray[np.float32]:
        """Return hue plus ``amount`` times the amount of stain, each standardised: (M, N).

        Without a hue it is ``amount`` times the standardised cue.
        """
        evidence = np.float32(amount) * standardised(self.amount)
        return evidence if self.hue is None else evidence + standardised(self.hue)


def nuclear_evidence(
    pixels: NDArray[np.float32] | Stain,
) -> tuple[NDArray[np.float32], str]:
    """Return the label-free evidence that learned maps are judged by, and what it rests on.

    For stained tissue the amount of haematoxylin plus the hue of the stain, each smoothed by
    1 px and standardised over the tile; otherwise the nuclear cue alone, treated alike. On
    training tiles masks that fit this sum were closer to the reference than masks that fit
    either part (docs/results.md).

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C), or Stain
        Intensity in 0..1; a `Stain` is not computed again.

    Returns
    -------
    evidence : ndarray of float32, shape (M, N)
        Mean 0; 0 everywhere if the tile is uniform.
    name : {"haematoxylin", "darkness", "brightness"}
        As in `nuclear_cue`.
    """
    stain = Stain.of(pixels)
    return stain.evidence, stain.cue_and_name[1]


def standardised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values with mean 0 and standard deviation 1; 0 everywhere if they are uniform."""
    centred = values - values.mean()
    spread = float(centred.std())
    return np.asarray(centred / spread if spread > 1e-6 else 0 * centred, dtype=np.float32)
