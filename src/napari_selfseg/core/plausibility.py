"""Label-free judgement of masks: how well they explain what the tile looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.channels import MAP_SIGMA, best_mask
from napari_selfseg.core.images.evidence import Stain
from napari_selfseg.core.instances import LabelSettings

USUAL_UM_PER_PX = 0.25  # taken where the scale is unknown
AMOUNT_WHEN_CUT = 3.0  # times the hue; measured on training tiles, docs/results.md
REFINED_AREA_UM2 = 10.0  # smaller objects are mostly pieces; found on training tiles
REFINED_RADIUS_UM = 0.5  # of the clean-up; refined outlines are smooth already
HEAD_START = 0.05  # of refined labels, in plausibility
MOST_SMOOTHING = 20.0  # px; what the slider allows


def suggested_threshold(
    confidence: NDArray[np.floating[Any]], pixels: NDArray[np.float32] | Stain
) -> float:
    """Return the threshold whose mask fits the tile's nuclear evidence best, without labels.

    Otsu's criterion (between-class variance), but of the image instead of the map: among all
    masks ``confidence > t`` the one that explains most of the nuclear evidence. It is less
    misled by maps that are blurred or saturated than Otsu's threshold of the map itself. The
    amount of stain counts three times the hue here: the hue reaches beyond the outlines.

    Parameters
    ----------
    confidence : ndarray, shape (M, N)
        In 0..1, high on objects.
    pixels : ndarray of float32, shape (M, N, C), or Stain
        Intensity in 0..1; a `Stain` is not computed again.

    Returns
    -------
    float
        In 0..1; 0.5 if no mask explains anything (a constant map or tile).
    """
    evidence = Stain.of(pixels).weighted_evidence(AMOUNT_WHEN_CUT)
    spread = float(evidence.std())
    if spread < 1e-6:
        return 0.5
    return best_mask(confidence, evidence / spread)[1]


def suggested_label_settings(
    confidence: NDArray[np.floating[Any]],
    pixels: NDArray[np.float32] | Stain,
    um_per_px: float | None = None,
    is_refined: bool = False,
) -> LabelSettings:
    """Return how a learned map is best turned into labels, chosen without labels.

    Parameters
    ----------
    confidence : ndarray, shape (M, N)
        In 0..1, high on objects.
    pixels : ndarray of float32, shape (M, N, C), or Stain
        Intensity in 0..1; a `Stain` is not computed again.
    um_per_px : float, optional
        Microns per pixel; None: unknown.
    is_refined : bool
        A refined map ends its objects at one half, and needs no smoothing.
    """
    if is_refined:
        scale = um_per_px or USUAL_UM_PER_PX
        return LabelSettings.for_scale(
            um_per_px,
            min_area=round(REFINED_AREA_UM2 / scale**2),
            morphology_radius=max(1, round(REFINED_RADIUS_UM / scale)),
        )
    sigma = min(MAP_SIGMA * USUAL_UM_PER_PX / (um_per_px or USUAL_UM_PER_PX), MOST_SMOOTHING)
    return LabelSettings.for_scale(um_per_px).model_copy(
        update={
            "threshold": round(suggested_threshold(confidence, pixels), 3),
            "smoothing": round(sigma, 2),
        }
    )


def plausibility(labels: NDArray[np.integer[Any]], pixels: NDArray[np.float32] | Stain) -> float:
    """Return how well the objects explain the tile's stain, in amount and in hue.

    The geometric mean of two correlations of the mask: with the amount of haematoxylin and with
    the hue of the stain. Both must speak for it: a threshold on the amount would win any
    question about the amount alone, and on IHC everything that is not brown has the hue. If
    either is negative the score is minus that mean. Grey images and images with a dark
    background have no hue; for them it is the correlation with the nuclear cue. Comparable
    between label images of the same tile, whatever made them; no labels are needed.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
        0 is background.
    pixels : ndarray of float32, shape (M, N, C), or Stain
        Intensity in 0..1; a `Stain` is not computed again.

    Returns
    -------
    float
        In -1..1; 0 for a mask that is empty or full.
    """
    mask = labels > 0
    stain = Stain.of(pixels)
    amount = _correlation(mask, stain.amount)
    if stain.hue is None:
        return amount
    hue = _correlation(mask, stain.hue)
    size = float(np.sqrt(abs(amount * hue)))
    return size if min(amount, hue) > 0 else -size


def is_learned_better(learned: float, threshold: float, is_refined: bool = False) -> bool:
    """Whether learned labels are to be recommended beside the plain threshold, by plausibility.

    A refined map is taken unless the threshold explains the stain clearly better: the threshold
    was made to explain it, and on training tiles the refined labels were closer to the reference
    on 12 of 13 tiles.

    Parameters
    ----------
    learned, threshold : float
        Their `plausibility`.
    is_refined : bool
    """
    return learned >= threshold - (HEAD_START if is_refined else 0)


def _correlation(mask: NDArray[np.bool_], values: NDArray[np.float32]) -> float:
    centred = mask - mask.mean()
    deviations = values - values.mean()
    size = float(np.sqrt((centred**2).sum() * (deviations**2).sum()))
    return float((centred * deviations).sum()) / size if size > 1e-6 else 0.0
