"""How good the labels of a tile are expected to be, judged without labels of the tile.

What is measured needs no reference. How much each measure counts was fitted once, on the labelled
tiles of MoNuSeg's training set; docs/results.md says how well it ranks the tiles of other sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.shapes import shapes_of

# measure: mean and standard deviation over the training tiles, Dice per standard deviation; made
# by `python -m benchmarks.quality` from five runs of the standard preset
CALIBRATION = {
    "ellipse fit": (0.9282, 0.0192, 0.0096),
    "soft Dice": (0.9197, 0.0072, 0.0041),
    "confidence inside": (0.9362, 0.0114, 0.0073),
}
MEAN_DICE = 0.776  # of the training tiles
SPREAD = 0.05  # twice the error on training tiles that were left out of the fit, rounded up


@dataclass(frozen=True)
class Quality:
    """An expectation, not a measurement.

    Parameters
    ----------
    expected_dice : float
        0..1.
    spread : float
        Twice the error on training tiles that were left out of the fit. Tiles of other sources
        can be farther off.
    agreement : float
        How much the networks agree about the objects, 0..1: one minus their mean doubt there.
    """

    expected_dice: float
    spread: float
    agreement: float

    def sentence(self) -> str:
        """Return it in words."""
        return (
            f"Expected Dice {self.expected_dice:.2f} ± {self.spread:.2f} (an estimate), "
            f"agreement {self.agreement:.2f}."
        )


def expected_quality(
    labels: NDArray[np.integer[Any]],
    confidence: NDArray[np.floating[Any]],
    doubt: NDArray[np.floating[Any]],
) -> Quality | None:
    """Return how good the labels of a refined map are expected to be.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    confidence : ndarray of float, shape (M, N)
        The refined map, in 0..1.
    doubt : ndarray of float, shape (M, N)
        In 0..1.

    Returns
    -------
    Quality or None
        None if there are no objects.
    """
    mask = labels > 0
    if not mask.any():
        return None
    expected = MEAN_DICE
    for name, value in measures_of(labels, confidence).items():
        mean, deviation, weight = CALIBRATION[name]
        expected += weight * (value - mean) / deviation
    agreement = 1 - float(doubt[mask].mean(dtype=np.float64))
    return Quality(min(max(expected, 0.0), 1.0), SPREAD, agreement)


def measures_of(
    labels: NDArray[np.integer[Any]], confidence: NDArray[np.floating[Any]]
) -> dict[str, float]:
    """Return what the expectation rests on; parameters are those of `expected_quality`.

    Ellipse fit: how much the objects look like single nuclei (see `shapes_of`). Soft Dice: what
    the Dice would be on average if the confidence were the probability of being object.
    Confidence inside: its mean over the objects.
    """
    mask = labels > 0
    inside = float(confidence[mask].sum(dtype=np.float64))
    everywhere = float(confidence.sum(dtype=np.float64))
    size = int(mask.sum())
    return {
        "ellipse fit": shapes_of(labels).mean_fit,
        "soft Dice": 2 * inside / max(everywhere + size, 1),
        "confidence inside": inside / max(size, 1),
    }
