"""What a tile's stain alone says about its nuclei: several cues, and the clearest of them.

Which mixture of the amount and the hue of the stain shows the nuclei differs from slide to slide.
Nuclei are round: the cue whose objects are most like ellipses is taken, without any label.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from napari_selfseg.core.images.evidence import Stain, standardised
from napari_selfseg.core.images.tissue_mask import tissue_mask
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.keeping import kept_with_first
from napari_selfseg.core.masks import Mask
from napari_selfseg.core.shapes import shapes_of

BLUR_UM = 6.25  # sigma of the background that is taken away: about a nucleus
USUAL_UM_PER_PX = 0.25  # taken where the scale is unknown
BACKGROUND_SHARE = 0.5  # of the blurred cue
MOST = 2.0  # standard deviations; beyond, a pixel is as sure as it can be
AT_ONCE = 2  # mixtures; each needs some images of its own
STEEPNESS = 4.0  # of the logistic function that turns a margin into a confidence


@dataclass(frozen=True, eq=False)
class Cue:
    """One way to tell nuclei by their stain.

    Parameters
    ----------
    name : str
    margin : ndarray of float32, shape (M, N)
        How far a pixel lies above Otsu's threshold of the cue, in standard deviations of the
        cue over the tile, -2..2.
    """

    name: str
    margin: NDArray[np.float32]

    def confidence(self) -> NDArray[np.float32]:
        """Return the margin as a confidence in 0..1, one half at the threshold: (M, N)."""
        return np.asarray(1 / (1 + np.exp(-STEEPNESS * self.margin)), dtype=np.float32)


def cues_of(stain: Stain, um_per_px: float | None) -> Iterator[Cue]:
    """Yield the cues of a tile.

    Mixtures of the amount of nuclear stain with its hue, and each of them minus half its own
    blur, which takes uneven staining away. Images without hue have only the amount. Glass and
    pen marks have no nuclei, and take no part in mean, deviation and threshold.

    Parameters
    ----------
    stain : Stain
        Of the tile, (M, N).
    um_per_px : float or None
        Microns per pixel; None: unknown.
    """
    tissue, sigma = tissue_mask(stain.pixels, um_per_px), _background_sigma(um_per_px)
    for mixture in _mixtures(stain, tissue):
        yield from _with_and_without_background(mixture, tissue, sigma)


@kept_with_first
def clearest_cue(stain: Stain, um_per_px: float | None) -> Cue:
    """Return the cue whose objects fit ellipses best, averaged over their area.

    Parameters are those of `cues_of`. On training tiles this found a cue as good as the
    solidity of the objects did, at a twentieth of the time (docs/results.md).
    """
    settings = LabelSettings.for_scale(um_per_px)
    tissue, sigma = tissue_mask(stain.pixels, um_per_px), _background_sigma(um_per_px)

    def clearer_of(mixture: tuple[str, NDArray[np.float32]]) -> tuple[float, Cue]:
        cues = _with_and_without_background(mixture, tissue, sigma)
        fits = ((shapes_of(label_image(c.confidence(), settings)).mean_fit, c) for c in cues)
        return max(fits, key=_fit)

    with ThreadPoolExecutor(AT_ONCE, "selfseg-cue") as threads:
        return max(threads.map(clearer_of, _mixtures(stain, tissue)), key=_fit)[1]


def _fit(fit_and_cue: tuple[float, Cue]) -> float:
    return fit_and_cue[0]


def _background_sigma(um_per_px: float | None) -> float:
    """In px."""
    return BLUR_UM / (um_per_px or USUAL_UM_PER_PX)


def _with_and_without_background(
    mixture: tuple[str, NDArray[np.float32]], tissue: Mask, sigma: float
) -> Iterator[Cue]:
    name, values = mixture
    yield _cue(name, values, tissue)
    background = gaussian_filter(values, sigma, mode="nearest")
    yield _cue(f"{name}, background removed", values - BACKGROUND_SHARE * background, tissue)


def _mixtures(stain: Stain, tissue: Mask) -> Iterator[tuple[str, NDArray[np.float32]]]:
    amount = standardised(stain.amount, tissue)
    yield stain.cue_and_name[1], amount
    if stain.hue is None:
        return
    hue = standardised(stain.hue, tissue)
    yield "twice haematoxylin and hue", 2 * amount + hue
    yield "haematoxylin and hue", amount + hue
    yield "red density and hue", standardised(stain.red_density, tissue) + hue


def _cue(name: str, values: NDArray[np.float32], tissue: Mask) -> Cue:
    values = standardised(values, tissue)
    inside = values[tissue]
    if not inside.size or not np.ptp(inside) > 0:
        return Cue(name, np.full(values.shape, -MOST, np.float32))
    margin = np.clip(values - np.float32(threshold_otsu(inside)), -MOST, MOST)
    return Cue(name, np.where(tissue, margin, np.float32(-MOST)))
