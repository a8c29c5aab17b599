"""The evidence of nuclei in a tile: amount and hue of its stain, each computed once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_selfseg.core.images.dab import has_dab
from napari_selfseg.core.images.stain import nuclear_cue, optical_density, stain_hue
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.keeping import kept_with_first

MOST_KEPT = 4_000_000  # px; what is known of their stain takes some 40 bytes each
EVIDENCE_SIGMA = 1.0  # px; takes away the noise of the camera and of JPEG, leaves nuclei


class Stain:
    """What the stain of a tile says about its nuclei, each part computed once, when asked for.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    name : {"haematoxylin", "darkness", "brightness"}, optional
        Which cue to take; without it the pixels decide.

    Attributes
    ----------
    pixels : ndarray of float32, shape (M, N, C)
    """

    def __init__(self, pixels: NDArray[np.float32], name: str | None = None) -> None:
        self.pixels, self._name = pixels, name

    @classmethod
    def of(cls, pixels: NDArray[np.float32] | Stain) -> Stain:
        """Return the stain of these pixels; what is one already is returned as it is."""
        return pixels if isinstance(pixels, Stain) else cls(pixels)

    @cached_property
    def cue_and_name(self) -> tuple[NDArray[np.float32], str]:
        """See `nuclear_cue`."""
        return nuclear_cue(self.pixels, self._name)

    @cached_property
    def amount(self) -> NDArray[np.float32]:
        """The nuclear cue, smoothed by 1 px, (M, N)."""
        smooth = gaussian_filter(self.cue_and_name[0], EVIDENCE_SIGMA, mode="nearest")
        return np.asarray(smooth, dtype=np.float32)

    @cached_property
    def hue(self) -> NDArray[np.float32] | None:
        """The `stain_hue`, smoothed by 1 px, (M, N); None where it says nothing about nuclei.

        That is where there is no stain, and beside DAB: there everything is blue that is not
        brown.
        """
        if self.cue_and_name[1] != "haematoxylin" or has_dab(self.pixels):
            return None
        smooth = gaussian_filter(stain_hue(self.pixels), EVIDENCE_SIGMA, mode="nearest")
        return np.asarray(smooth, dtype=np.float32)

    @cached_property
    def red_density(self) -> NDArray[np.float32]:
        """The optical density of red light, smoothed by 1 px, (M, N); of grey where grey."""
        density = optical_density(self.pixels[..., 0])
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


def stain_of(tile: Tile) -> Stain:
    """Return the stain of a whole tile; that of a small one is kept as long as the tile."""
    return _kept_stain_of(tile) if is_kept(tile) else Stain(tile.read())


def is_kept(tile: Tile) -> bool:
    """Whether `stain_of` keeps the stain of a tile of this size."""
    return tile.shape[0] * tile.shape[1] <= MOST_KEPT


@kept_with_first
def _kept_stain_of(tile: Tile) -> Stain:
    return Stain(tile.read())


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


def standardised(
    values: NDArray[np.float32], where: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return values with mean 0 and standard deviation 1; 0 everywhere if they are uniform.

    Parameters
    ----------
    values : ndarray of float32, any shape
    where : ndarray of bool, same shape, optional
        What mean and deviation are measured of; all of it if omitted, or if it is nowhere.
    """
    measured = values if where is None or not where.any() else values[where]
    centred = values - measured.mean()
    spread = float(measured.std())
    return np.asarray(centred / spread if spread > 1e-6 else 0 * centred, dtype=np.float32)
